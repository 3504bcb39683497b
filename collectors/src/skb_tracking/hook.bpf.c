// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>

#include <tracer/tracking.h>

#include "event.h"

HOOK(skb_tracking)
{
	struct skb_tracking_event *event;
	struct packet_link link, *told;

	if (!hit->number)
		return 0;
	/* In front of the section that it becomes a part of. */
	if (take_link(hit->number, &link)) {
		told = append(hit, COLLECTOR_SKB_TRACKING, SKB_TRACKING_LINK, sizeof(*told));
		if (told)
			*told = link;
	}
	event = append(hit, COLLECTOR_SKB_TRACKING, SKB_TRACKING_IDENTITY, sizeof(*event));
	if (!event)
		return 0;
	event->orig_head = hit->first_head;
	event->timestamp = hit->first_seen;
	event->skb = hit->address;
	event->sequence = hit->sequence;
	return 0;
}
