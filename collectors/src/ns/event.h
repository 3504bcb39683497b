/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_NS_EVENT_H
#define TRACER_NS_EVENT_H

enum ns_section { NS_NAMESPACE = 0 };

struct ns_event {
	/* 0: the kernel has not given one out (5.10 does on demand only) */
	__u64 cookie;
	__u32 inum;
	__u32 padding;
};

#endif
