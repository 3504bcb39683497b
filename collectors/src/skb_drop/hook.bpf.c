// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>
#include <tracer/arguments.h>

#include "event.h"

/* Where the arguments are. */
const volatile u32 skb_drop_reason_argument;
const volatile u32 skb_drop_qdisc_argument;
const volatile u32 skb_drop_location_argument;

/* The kernel has reasons (5.17). */
const volatile bool skb_drop_has_reasons;

/* The reason of packets that were used up, where the kernel has one (6.1 does not); else that of packets that were not dropped. */
const volatile u32 skb_drop_consumed;

#define NOT_DROPPED_YET 0

HOOK(skb_drop)
{
	bool has_location = has_argument(hit, skb_drop_location_argument);
	struct skb_drop_event *event;
	u64 reason = 0, location = 0;
	bool is_read;

	/* Lists of packets and what they are purged for lead to no packet. */
	if (!hit->address)
		return 0;
	if (has_argument(hit, skb_drop_qdisc_argument))
		is_read = read_argument(hit, skb_drop_qdisc_argument, &reason);
	else if (has_argument(hit, skb_drop_reason_argument))
		is_read = read_argument(hit, skb_drop_reason_argument, &reason);
	else if (!skb_drop_has_reasons && has_location)
		is_read = true;
	else
		return 0;
	if (!is_read) {
		incomplete(hit);
		return 0;
	}
	if (skb_drop_has_reasons && ((u32)reason == NOT_DROPPED_YET || (u32)reason == skb_drop_consumed))
		return 0;
	event = append(hit, COLLECTOR_SKB_DROP, SKB_DROP_DROP, sizeof(*event));
	if (!event)
		return 0;
	if (has_location ? !read_argument(hit, skb_drop_location_argument, &location) :
			   !read_return_address(hit, &location))
		location = 0;
	event->location = location;
	event->reason = reason;
	event->has_reason = skb_drop_has_reasons;
	return 0;
}
