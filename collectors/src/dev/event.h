/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_DEV_EVENT_H
#define TRACER_DEV_EVENT_H

enum dev_section { DEV_DEVICE = 0 };

struct dev_event {
	char name[16];
	__u32 ifindex;
	/* Interface that the packet came in by, 0: none. */
	__u32 rx_ifindex;
};

#endif
