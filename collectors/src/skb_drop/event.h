/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_SKB_DROP_EVENT_H
#define TRACER_SKB_DROP_EVENT_H

enum skb_drop_section { SKB_DROP_DROP = 0 };

struct skb_drop_event {
	/* Where in the kernel's code the packet was dropped, 0: not known. */
	__u64 location;
	/* The kernel's number for the reason. */
	__u32 reason;
	/* 0: the kernel gives no reasons. */
	__u32 has_reason;
};

#endif
