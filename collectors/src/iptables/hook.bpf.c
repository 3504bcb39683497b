// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where a table of iptables-legacy has been gone through. The packet still belongs to the caller, whatever came out. Which rule decided is
 * known to local variables of that function only.
 */
#include <tracer/collectors.h>
#include <tracer/own.h>

#include "event.h"

/* The numbers of the probes. */
const volatile u32 iptables_ipv4_index = NO_PROBE;
const volatile u32 iptables_ipv6_index = NO_PROBE;

/* From linux/netfilter.h: what is above these bits is an error number. */
#define NF_VERDICT_MASK 0xff
#define NF_DROP 0

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct xt_table {
	char name[32];
};

struct nf_hook_state {
	u8 hook;
	u8 pf;
};

#pragma clang attribute pop

/* unsigned int ipt_do_table(struct xt_table *, struct sk_buff *, const struct nf_hook_state *) */
#define TABLE 0
#define PACKET 1
#define STATE 2
#define VERDICT 3

static __always_inline int leave_table(void *context, u32 index)
{
	if (enabled && (read_one(context, VERDICT) & NF_VERDICT_MASK) == NF_DROP)
		own_hit(context, index, read_one(context, PACKET));
	return 0;
}

SEC("fexit/ipt_do_table")
int iptables_ipv4(unsigned long long *context)
{
	return leave_table(context, iptables_ipv4_index);
}

SEC("fexit/ip6t_do_table")
int iptables_ipv6(unsigned long long *context)
{
	return leave_table(context, iptables_ipv6_index);
}

HOOK(iptables)
{
	struct iptables_event *event;
	struct nf_hook_state *state;
	struct xt_table *table;

	if (hit->index != iptables_ipv4_index && hit->index != iptables_ipv6_index)
		return 0;
	event = append(hit, COLLECTOR_IPTABLES, IPTABLES_DROP, sizeof(*event));
	if (!event)
		return 0;
	__builtin_memset(event->padding, 0, sizeof(event->padding));
	table = (void *)read_one(hit->context, TABLE);
	state = (void *)read_one(hit->context, STATE);
	if (bpf_core_read(&event->hook, sizeof(event->hook), &state->hook) ||
	    bpf_core_read(&event->family, sizeof(event->family), &state->pf) ||
	    bpf_core_read(event->table, sizeof(event->table), &table->name))
		take_back(hit, sizeof(*event));
	return 0;
}
