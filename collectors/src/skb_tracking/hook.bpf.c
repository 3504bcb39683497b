// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>

#include "event.h"

HOOK(skb_tracking)
{
	struct skb_tracking_event *event;

	if (!hit->number)
		return 0;
	event = append(hit, COLLECTOR_SKB_TRACKING, SKB_TRACKING_IDENTITY, sizeof(*event));
	if (!event)
		return 0;
	event->orig_head = hit->first_head;
	event->timestamp = hit->first_seen;
	event->skb = hit->address;
	event->sequence = hit->sequence;
	return 0;
}
