// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>

#include "event.h"

HOOK(dev)
{
	struct net_device *device = device_of(hit);
	struct dev_event *event;

	if (!device)
		return 0;
	event = append(hit, COLLECTOR_DEV, DEV_DEVICE, sizeof(*event));
	if (!event)
		return 0;
	if (bpf_core_read(event->name, sizeof(event->name), &device->name) ||
	    bpf_core_read(&event->ifindex, sizeof(event->ifindex), &device->ifindex)) {
		take_back(hit, sizeof(*event));
		return 0;
	}
	event->rx_ifindex = hit->skb ? hit->skb->skb_iif : 0;
	return 0;
}
