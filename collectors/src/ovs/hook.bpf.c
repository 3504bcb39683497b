// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>
#include <tracer/own.h>

#include "datapath.h"
#include "event.h"

/* The numbers of the probes. */
const volatile u32 ovs_action_index = NO_PROBE;
const volatile u32 ovs_lookup_index = NO_PROBE;
const volatile u32 ovs_upcall_index = NO_PROBE;
const volatile u32 ovs_enqueue_index = NO_PROBE;
const volatile u32 ovs_return_index = NO_PROBE;
const volatile u32 ovs_receive_index = NO_PROBE;
const volatile u32 ovs_send_index = NO_PROBE;

#include "upcalls.h"
#include "handlers.h"
#include "vswitchd.h"

/* The kernel's numbers of two actions and of an attribute of a key: they do not carry what user space knows. */
const volatile u32 ovs_action_ct;
const volatile u32 ovs_action_set;
const volatile u32 ovs_key_tunnel_info;

/* In the type of an attribute: what it is, without the flags. */
#define ATTRIBUTE_TYPE 0x3fff

#define UFID_LENGTH 16

/* So much of what an action carries is recorded. */
#define OVS_ACTION_BYTES 256

/* Ports of a bucket that are looked at to find the one that the datapath is named after. */
#define NAMING_PORTS 4

#define TUNNEL_IPV6 2

/* Packets whose flow is about to be looked up, by the address of their key, which is on the stack of who does so. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u64);
} packets_by_key SEC(".maps");

SEC("tp_btf/ovs_do_execute_action")
int ovs_action(unsigned long long *context)
{
	if (enabled)
		own_hit(context, ovs_action_index, read_one(context, 1));
	return 0;
}

SEC("fentry/ovs_dp_process_packet")
int track_ovs_key(unsigned long long *context)
{
	u64 arguments[2];

	if (enabled && !READ_ARGUMENTS(context, arguments))
		bpf_map_update_elem(&packets_by_key, &arguments[1], &arguments[0], BPF_ANY);
	return 0;
}

/* The packet whose flow has been looked up, 0 when it is not known. */
static __noinline u64 take_packet(void *context)
{
	u64 key = read_one(context, 1), packet = 0, *found;

	found = bpf_map_lookup_elem(&packets_by_key, &key);
	if (found) {
		packet = *found;
		bpf_map_delete_elem(&packets_by_key, &key);
	}
	return packet;
}

SEC("fexit/ovs_flow_tbl_lookup_stats")
int ovs_lookup(unsigned long long *context)
{
	if (enabled)
		own_hit(context, ovs_lookup_index, take_packet(context));
	return 0;
}

SEC("fentry/ovs_vport_receive")
int ovs_receive(unsigned long long *context)
{
	if (enabled)
		own_hit(context, ovs_receive_index, read_one(context, 1));
	return 0;
}

SEC("fentry/ovs_vport_send")
int ovs_send(unsigned long long *context)
{
	if (enabled)
		own_hit(context, ovs_send_index, read_one(context, 1));
	return 0;
}

static __always_inline bool append_conntrack(struct hit *hit, struct nlattr *attribute)
{
	const struct ovs_conntrack_info *info = (void *)(attribute + 1);
	struct ovs_conntrack_action *action;
	struct nf_conntrack_helper *helper;

	action = (void *)(hit->event + hit->length);
	if (hit->length > event_size - sizeof(*action))
		return false;
	__builtin_memset(action, 0, sizeof(*action));
	action->zone = BPF_CORE_READ(info, zone.id);
	action->family = BPF_CORE_READ(info, family);
	action->commit = BPF_CORE_READ_BITFIELD_PROBED(info, commit);
	action->force = BPF_CORE_READ_BITFIELD_PROBED(info, force);
	action->nat = BPF_CORE_READ_BITFIELD_PROBED(info, nat);
	action->range_flags = BPF_CORE_READ(info, range.flags);
	action->mark = BPF_CORE_READ(info, mark.value);
	action->mark_mask = BPF_CORE_READ(info, mark.mask);
	bpf_core_read(action->labels, sizeof(action->labels), &info->labels.value);
	bpf_core_read(action->labels_mask, sizeof(action->labels_mask), &info->labels.mask);
	bpf_core_read(action->min_address, sizeof(action->min_address), &info->range.min_addr);
	bpf_core_read(action->max_address, sizeof(action->max_address), &info->range.max_addr);
	bpf_core_read(&action->min_port, sizeof(action->min_port), &info->range.min_proto);
	bpf_core_read(&action->max_port, sizeof(action->max_port), &info->range.max_proto);
	bpf_core_read(action->timeout, sizeof(action->timeout), &info->timeout);
	helper = BPF_CORE_READ(info, helper);
	if (helper && bpf_core_field_exists(helper->name))
		bpf_core_read(action->helper, sizeof(action->helper), &helper->name);
	hit->length += sizeof(*action);
	return true;
}

/* An action that sets a tunnel holds a pointer to what the kernel made of it. */
static __always_inline bool append_tunnel(struct hit *hit, struct nlattr *attribute)
{
	const struct ovs_tunnel_info *info = (void *)(attribute + 2);
	struct ovs_tunnel_action *action;
	struct metadata_dst *to;

	action = (void *)(hit->event + hit->length);
	if (hit->length > event_size - sizeof(*action))
		return false;
	__builtin_memset(action, 0, sizeof(*action));
	to = BPF_CORE_READ(info, tun_dst);
	if (!to)
		return false;
	action->ipv6 = BPF_CORE_READ(to, u.tun_info.mode) & TUNNEL_IPV6;
	bpf_core_read(action->tunnel_id, sizeof(action->tunnel_id), &to->u.tun_info.key.tun_id);
	if (action->ipv6) {
		bpf_core_read(action->source, 16, &to->u.tun_info.key.u.ipv6.src);
		bpf_core_read(action->destination, 16, &to->u.tun_info.key.u.ipv6.dst);
	} else {
		bpf_core_read(action->source, 4, &to->u.tun_info.key.u.ipv4.src);
		bpf_core_read(action->destination, 4, &to->u.tun_info.key.u.ipv4.dst);
	}
	action->tos = BPF_CORE_READ(to, u.tun_info.key.tos);
	action->ttl = BPF_CORE_READ(to, u.tun_info.key.ttl);
	action->source_port = BPF_CORE_READ(to, u.tun_info.key.tp_src);
	action->destination_port = BPF_CORE_READ(to, u.tun_info.key.tp_dst);
	hit->length += sizeof(*action);
	return true;
}

/* What the action carries, as it stands in the kernel. */
static __always_inline bool append_payload(struct hit *hit, struct nlattr *attribute, u64 length)
{
	u64 size = length < OVS_ACTION_BYTES ? length : OVS_ACTION_BYTES;
	u32 at = hit->length;

	if (!size)
		return true;
	/* For the verifier, in the register that it is passed in. */
	barrier_var(size);
	if (size > OVS_ACTION_BYTES)
		return false;
	if (at > event_size - OVS_ACTION_BYTES || bpf_probe_read_kernel(hit->event + at, size, attribute + 1))
		return false;
	hit->length = at + size;
	return true;
}

static __always_inline void executed_action(struct hit *hit)
{
	struct nlattr header, inner = {}, *attribute;
	struct ovs_action_event *event;
	u32 before = hit->length;
	u64 arguments[4];
	bool complete;

	if (READ_ARGUMENTS(hit->context, arguments))
		goto missing;
	attribute = (void *)arguments[3];
	if (bpf_probe_read_kernel(&header, sizeof(header), attribute) || header.nla_len < sizeof(header))
		goto missing;
	event = append(hit, COLLECTOR_OVS, OVS_ACTION, sizeof(*event));
	if (!event)
		return;
	event->type = header.nla_type & ATTRIBUTE_TYPE;
	event->length = header.nla_len - sizeof(header);
	event->form = 0;
	event->recirc_id = BPF_CORE_READ((struct sw_flow_key *)arguments[2], recirc_id);
	event->queue_id = 0;
	event->upcall_id = answered_upcall(hit->address, hit->number, &event->queue_id);
	if (event->type == ovs_action_set)
		bpf_probe_read_kernel(&inner, sizeof(inner), attribute + 1);
	if (event->type == ovs_action_ct) {
		event->form = OVS_FORM_CONNTRACK;
		complete = append_conntrack(hit, attribute);
	} else if (event->type == ovs_action_set && (inner.nla_type & ATTRIBUTE_TYPE) == ovs_key_tunnel_info) {
		event->form = OVS_FORM_TUNNEL;
		complete = append_tunnel(hit, attribute);
	} else {
		complete = append_payload(hit, attribute, event->length);
	}
	if (!complete)
		incomplete(hit);
	((struct section_header *)event - 1)->size = hit->length - before - sizeof(struct section_header);
	return;
missing:
	incomplete(hit);
}

static __always_inline void looked_up(struct hit *hit)
{
	struct ovs_lookup_event *event;
	struct sw_flow_actions *actions;
	struct sw_flow *flow;
	/* Five, and what it returned. */
	u64 arguments[6];

	if (READ_ARGUMENTS(hit->context, arguments)) {
		incomplete(hit);
		return;
	}
	event = append(hit, COLLECTOR_OVS, OVS_LOOKUP, sizeof(*event));
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	flow = (void *)arguments[5];
	event->flow = arguments[5];
	event->actions_length = OVS_LENGTH_UNKNOWN;
	if (flow) {
		actions = BPF_CORE_READ(flow, sf_acts);
		event->actions = (u64)actions;
		if (bpf_core_read(&event->actions_length, sizeof(event->actions_length), &actions->actions_len))
			event->actions_length = OVS_LENGTH_UNKNOWN;
		if (BPF_CORE_READ(flow, id.ufid_len) == UFID_LENGTH)
			bpf_core_read(event->ufid, sizeof(event->ufid), &flow->id.ufid);
	}
	if (bpf_probe_read_kernel(&event->mask_hits, sizeof(event->mask_hits), (void *)arguments[3]) ||
	    bpf_probe_read_kernel(&event->cache_hits, sizeof(event->cache_hits), (void *)arguments[4]))
		incomplete(hit);
}

static __always_inline void upcall_began(struct hit *hit)
{
	struct ovs_upcall_event *event;
	struct upcall_call *call;
	u64 arguments[4];

	if (READ_ARGUMENTS(hit->context, arguments))
		goto missing;
	call = bpf_map_lookup_elem(&upcall_calls, &arguments[3]);
	if (!call)
		goto missing;
	event = append(hit, COLLECTOR_OVS, OVS_UPCALL, sizeof(*event));
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->upcall_id = call->id;
	event->port = call->port;
	event->cpu = call->cpu;
	event->command = call->command;
	return;
missing:
	incomplete(hit);
}

static __always_inline void upcall_queued(struct hit *hit)
{
	struct queueing *queueing = this_queueing();
	struct ovs_enqueue_event *event;
	struct upcall_call *call;
	u64 arguments[6];

	if (!queueing || READ_ARGUMENTS(hit->context, arguments))
		goto missing;
	call = bpf_map_lookup_elem(&upcall_calls, &arguments[3]);
	/* Their beginning was not seen. */
	if (!call || queueing->info != arguments[3])
		goto missing;
	event = append(hit, COLLECTOR_OVS, OVS_ENQUEUE, sizeof(*event));
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->upcall_id = queueing->upcall;
	event->upcall_timestamp = call->timestamp;
	event->upcall_cpu = call->cpu;
	event->port = call->port;
	event->command = call->command;
	event->queue_id = queueing->content.hash ? queue_id(queueing->content.hash) : 0;
	event->result = arguments[5];
	return;
missing:
	incomplete(hit);
}

static __always_inline void upcall_returned(struct hit *hit)
{
	struct ovs_return_event *event;
	struct upcall_call *call;
	u64 arguments[6];

	if (READ_ARGUMENTS(hit->context, arguments))
		goto missing;
	call = bpf_map_lookup_elem(&upcall_calls, &arguments[3]);
	if (!call)
		goto missing;
	event = append(hit, COLLECTOR_OVS, OVS_RETURN, sizeof(*event));
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->upcall_id = call->id;
	event->upcall_timestamp = call->timestamp;
	event->upcall_cpu = call->cpu;
	event->command = call->command;
	event->result = arguments[5];
	return;
missing:
	incomplete(hit);
}

/* The port with a number, by a node of the datapath's table. */
static __always_inline struct vport *vport_at(struct hlist_node *node)
{
	return (void *)node - bpf_core_field_offset(struct vport, dp_hash_node);
}

/* A datapath has the name of its port 0. */
static __always_inline struct net_device *naming_device(struct datapath *datapath)
{
	struct hlist_head *ports = BPF_CORE_READ(datapath, ports);
	struct hlist_node *node = BPF_CORE_READ(ports, first);

	for (int i = 0; i < NAMING_PORTS; i++) {
		struct vport *port;

		if (!node)
			return NULL;
		port = vport_at(node);
		if (!BPF_CORE_READ(port, port_no))
			return BPF_CORE_READ(port, dev);
		node = BPF_CORE_READ(node, next);
	}
	return NULL;
}

static __always_inline void at_port(struct hit *hit, u8 kind)
{
	struct ovs_vport_event *event;
	struct net_device *device;
	struct vport *port;

	if (bpf_probe_read_kernel(&port, sizeof(port), hit->context)) {
		incomplete(hit);
		return;
	}
	event = append(hit, COLLECTOR_OVS, kind, sizeof(*event));
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->port = BPF_CORE_READ(port, port_no);
	device = BPF_CORE_READ(port, dev);
	if (device)
		bpf_core_read(event->name, sizeof(event->name), &device->name);
	device = naming_device(BPF_CORE_READ(port, dp));
	if (device)
		bpf_core_read(event->datapath, sizeof(event->datapath), &device->name);
}

REFUSE(ovs)
{
	if (hit->usdt)
		hit->number = told_packet(hit);
	return 0;
}

SELECT(ovs)
{
	return hit->usdt && hit->number;
}

HOOK(ovs)
{
	u32 index = hit->index;

	if (hit->usdt) {
		append_told(hit);
		return 0;
	}
	if (!(hit->probe->flags & PROBE_OWN_PROGRAM))
		return 0;
	if (index == ovs_action_index)
		executed_action(hit);
	else if (index == ovs_lookup_index)
		looked_up(hit);
	else if (index == ovs_upcall_index)
		upcall_began(hit);
	else if (index == ovs_enqueue_index)
		upcall_queued(hit);
	else if (index == ovs_return_index)
		upcall_returned(hit);
	else if (index == ovs_receive_index)
		at_port(hit, OVS_VPORT_RECEIVE);
	else if (index == ovs_send_index)
		at_port(hit, OVS_VPORT_SEND);
	return 0;
}
