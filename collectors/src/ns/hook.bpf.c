// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>

#include "event.h"

/* Where the packet is: its device's namespace, else its socket's, else what the probed function was given. */
static __always_inline struct net *namespace_of(struct hit *hit)
{
	struct net_device *device = device_of(hit);
	struct sock *sk = hit->skb ? hit->skb->sk : NULL;
	struct net *net = NULL;

	if (device && !bpf_core_read(&net, sizeof(net), &device->nd_net.net) && net)
		return net;
	if (sk)
		bpf_core_read(&net, sizeof(net), &sk->__sk_common.skc_net.net);
	return net ? net : hit->namespace_argument;
}

HOOK(ns)
{
	struct net *net = namespace_of(hit);
	struct ns_event *event;
	long error;

	if (!net)
		return 0;
	event = append(hit, COLLECTOR_NS, NS_NAMESPACE, sizeof(*event));
	if (!event)
		return 0;
	event->padding = 0;
	error = bpf_core_read(&event->inum, sizeof(event->inum), &net->ns.inum);
	if (bpf_core_field_exists(net->net_cookie))
		error |= bpf_core_read(&event->cookie, sizeof(event->cookie), &net->net_cookie);
	else
		error |= bpf_core_read(&event->cookie, sizeof(event->cookie),
				       &((struct net___5_10 *)net)->net_cookie.counter);
	if (error)
		take_back(hit, sizeof(*event));
	return 0;
}
