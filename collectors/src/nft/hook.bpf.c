// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * At __nft_trace_packet(), which the kernel calls at each decision while some rule sets nftrace. Until 6.2 what was decided is in its
 * struct nft_traceinfo; since then it is in the arguments.
 */
#include <tracer/collectors.h>
#include <tracer/arguments.h>

#include "event.h"

/* Where the arguments are. Only the one function has the first. */
const volatile u32 nft_type_argument;
const volatile u32 nft_info_argument;
const volatile u32 nft_chain_argument;
const volatile u32 nft_packet_argument;
const volatile u32 nft_verdict_argument;
const volatile u32 nft_rule_argument;

/* The verdicts that are wanted, one bit for each: see NFT_OWN_VERDICTS. */
const volatile u32 nft_verdicts;

/* From include/uapi/linux/netfilter.h and nf_tables.h */
#define NF_VERDICT_MASK 0xff
#define NF_STOLEN 2
#define NFT_CONTINUE -1
#define NFT_JUMP -3
#define NFT_GOTO -4

/* Rules that are passed on the way to the end of a chain. */
#define MOST_RULES (1 << 20)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct nf_hook_ops {
	unsigned int hooknum;
	int priority;
};

struct nf_hook_state {
	struct net *net;
};

struct nft_pktinfo {
	const struct nf_hook_state *state;
};

struct nft_table {
	u64 handle;
	u16 family : 6;
	char *name;
};

struct nft_chain {
	struct nft_table *table;
	u64 handle;
	char *name;
};

struct nft_base_chain {
	struct nf_hook_ops ops;
	u8 policy;
	struct nft_chain chain;
};

struct nft_verdict {
	u32 code;
	struct nft_chain *chain;
};

struct nft_rule_dp {
	u64 is_last : 1;
	u64 dlen : 12;
	u64 handle : 42;
};

/* The end of a chain's rules, since 6.3. */
struct nft_rule_dp_last {
	const struct nft_chain *chain;
};

struct nft_traceinfo {
	bool trace;
	struct nft_base_chain *basechain;
	/* until 6.2 */
	const struct nft_pktinfo *pkt;
	const struct nft_rule_dp *rule;
	const struct nft_verdict *verdict;
};

#pragma clang attribute pop

/* What is decided, in the kernel's words. */
struct step {
	struct nft_traceinfo *info;
	struct nft_verdict *verdict;
	/* NULL: the policy decides. */
	struct nft_rule_dp *rule;
	s32 code;
};

static __always_inline bool read_step(struct hit *hit, struct step *step)
{
	struct nft_traceinfo *info = NULL;
	struct nft_verdict *verdict = NULL;
	struct nft_rule_dp *rule = NULL;
	bool is_read = read_argument(hit, nft_info_argument, (u64 *)&info);
	u32 code = 0;

	if (bpf_core_field_exists(info->verdict))
		is_read = is_read && !bpf_core_read(&verdict, sizeof(verdict), &info->verdict) &&
			  !bpf_core_read(&rule, sizeof(rule), &info->rule);
	else
		is_read = is_read && read_argument(hit, nft_verdict_argument, (u64 *)&verdict) &&
			  read_argument(hit, nft_rule_argument, (u64 *)&rule);
	if (rule) {
		is_read = is_read && !bpf_core_read(&code, sizeof(code), &verdict->code);
	} else {
		struct nft_base_chain *base = BPF_CORE_READ(info, basechain);
		u8 policy = 0;

		is_read = is_read && !bpf_core_read(&policy, sizeof(policy), &base->policy);
		code = policy;
	}
	step->info = info;
	step->verdict = verdict;
	step->rule = rule;
	/* What is beside the verdict in the same word is its argument, as the number of a queue. */
	step->code = (s32)code < 0 ? (s32)code : code & NF_VERDICT_MASK;
	return is_read;
}

static __always_inline bool is_wanted(s32 code)
{
	u32 bit = code < 0 ? NFT_OWN_VERDICTS - code : code;

	return bit < 32 && nft_verdicts & 1U << bit;
}

REFUSE(nft)
{
	struct step step = {};
	struct nft_traceinfo *info = NULL;

	if (!has_argument(hit, nft_type_argument))
		return 0;
	/* Tracing was switched on when the packet was already on its way through the rules: the rest is not filled in. */
	if (!read_argument(hit, nft_info_argument, (u64 *)&info) || !BPF_CORE_READ(info, trace))
		return 1;
	if (!read_step(hit, &step))
		return 0;
	/* Whoever took the packet may have freed it. */
	if (step.code == NF_STOLEN)
		hit->packet = NULL;
	return !is_wanted(step.code);
}

/* Rules stand one behind the other, each with its own length; the last one says whose they are. */
struct walk {
	u64 rule;
	u64 chain;
};

static __noinline int pass_rule(u32 index, struct walk *walk)
{
	struct nft_rule_dp *rule = (void *)walk->rule;
	struct nft_rule_dp_last *last = (void *)rule;

	if (BPF_CORE_READ_BITFIELD_PROBED(rule, is_last)) {
		bpf_core_read(&walk->chain, sizeof(walk->chain), &last->chain);
		return 1;
	}
	walk->rule += bpf_core_type_size(struct nft_rule_dp) + BPF_CORE_READ_BITFIELD_PROBED(rule, dlen);
	return 0;
}

/* The chain that decides. */
static __always_inline struct nft_chain *chain_of(struct hit *hit, struct step *step)
{
	struct walk walk = { .rule = (u64)step->rule };

	if (!step->rule) {
		struct nft_traceinfo *info = step->info;
		struct nft_base_chain *base = BPF_CORE_READ(info, basechain);

		return &base->chain;
	}
	if (bpf_core_type_exists(struct nft_rule_dp_last))
		bpf_loop(MOST_RULES, pass_rule, &walk, 0);
	else
		read_argument(hit, nft_chain_argument, &walk.chain);
	return (void *)walk.chain;
}

static __always_inline struct net *namespace_of(struct hit *hit, struct step *step)
{
	struct nft_traceinfo *info = step->info;
	struct nft_pktinfo *packet = NULL;

	if (bpf_core_field_exists(info->pkt))
		bpf_core_read(&packet, sizeof(packet), &info->pkt);
	else
		read_argument(hit, nft_packet_argument, (u64 *)&packet);
	return BPF_CORE_READ(packet, state, net);
}

static __always_inline void describe_base(struct nft_event *event, struct step *step)
{
	struct nft_traceinfo *info = step->info;
	struct nft_base_chain *base = BPF_CORE_READ(info, basechain);

	if (!base || bpf_core_read(&event->hook, sizeof(event->hook), &base->ops.hooknum) ||
	    bpf_core_read(&event->priority, sizeof(event->priority), &base->ops.priority)) {
		event->hook = event->priority = 0;
		return;
	}
	event->flags |= NFT_HAS_BASE;
}

HOOK(nft)
{
	struct step step = {};
	struct nft_event *event;
	struct nft_verdict *verdict;
	struct nft_rule_dp *rule;
	struct nft_chain *chain;
	struct nft_table *table;
	struct net *net;

	if (!has_argument(hit, nft_type_argument))
		return 0;
	if (!read_step(hit, &step)) {
		incomplete(hit);
		return 0;
	}
	rule = step.rule;
	verdict = step.verdict;
	chain = chain_of(hit, &step);
	event = append(hit, COLLECTOR_NFT, NFT_STEP, sizeof(*event));
	if (!event)
		return 0;
	table = BPF_CORE_READ(chain, table);
	net = namespace_of(hit, &step);
	event->table_handle = BPF_CORE_READ(table, handle);
	event->family = BPF_CORE_READ_BITFIELD_PROBED(table, family);
	event->chain_handle = BPF_CORE_READ(chain, handle);
	event->net_cookie = BPF_CORE_READ(net, net_cookie);
	event->net_inum = BPF_CORE_READ(net, ns.inum);
	event->verdict = step.code;
	event->rule_handle = 0;
	event->flags = 0;
	if (!rule) {
		event->flags = NFT_IS_POLICY;
	} else if (!BPF_CORE_READ_BITFIELD_PROBED(rule, is_last)) {
		event->rule_handle = BPF_CORE_READ_BITFIELD_PROBED(rule, handle);
		event->flags = NFT_HAS_RULE;
	}
	describe_base(event, &step);
	append_text(hit, COLLECTOR_NFT, NFT_TABLE, BPF_CORE_READ(table, name), NFT_NAME_SIZE);
	append_text(hit, COLLECTOR_NFT, NFT_CHAIN, BPF_CORE_READ(chain, name), NFT_NAME_SIZE);
	if (step.code == NFT_JUMP || step.code == NFT_GOTO)
		append_text(hit, COLLECTOR_NFT, NFT_TARGET, BPF_CORE_READ(verdict, chain, name), NFT_NAME_SIZE);
	return 0;
}
