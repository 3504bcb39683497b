/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_SKB_TRACKING_EVENT_H
#define TRACER_SKB_TRACKING_EVENT_H

enum skb_tracking_section {
	SKB_TRACKING_IDENTITY = 0,
	/* struct packet_link; the identity follows. */
	SKB_TRACKING_LINK = 1,
};

struct skb_tracking_event {
	/* Address of the buffer that the packet was first seen with. */
	__u64 orig_head;
	/* When that was: CLOCK_MONOTONIC, ns. */
	__u64 timestamp;
	/* Address of the sk_buff; at the return of a function, as it was at the entry. */
	__u64 skb;
	/* Hits of this packet before this one. */
	__u64 sequence;
};

#endif
