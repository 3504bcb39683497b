// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs that sit where a packet comes out of another one, or is taken in by another one. What they note about a packet is
 * told by its next event; of a packet that takes others in there is an event for each.
 */
#include <tracer/tracking.h>

#include <bpf/bpf_tracing.h>

/* Packets of a list that are looked at: 64 KiB in segments of 536 bytes. Others are counted as unlinked. */
#define MAX_LISTED 128

/* Fragments of a datagram whose packets are remembered until it is complete. */
#define MAX_FRAGMENTS 64

/* Beyond this, a pointer is an error number. */
#define MAX_ERRNO 4095

static __always_inline u64 number_of(struct sk_buff *skb)
{
	u64 head = 0;

	if (next_number == 1)
		return 0;
	bpf_core_read(&head, sizeof(head), &skb->head);
	return head ? tracked_number(head) : 0;
}

static __always_inline int derive(struct sk_buff *parent, struct sk_buff *child, u32 kind)
{
	u64 number = number_of(parent), head = 0;

	if (!number || !child || (u64)child >= (u64)-MAX_ERRNO)
		return 0;
	bpf_core_read(&head, sizeof(head), &child->head);
	derive_packet(head, number, kind);
	return 0;
}

/* All packets of a list came out of one. */
static __always_inline int derive_list(struct sk_buff *parent, struct sk_buff *child, u32 kind)
{
	u64 number = number_of(parent);

	if (!number || !child || (u64)child >= (u64)-MAX_ERRNO)
		return 0;
	/* No loop: up to 6.1 the kernel takes a call in one for a jump back, depending on how it is laid out. */
#pragma unroll
	for (int i = 0; i < MAX_LISTED; i++) {
		u64 head = 0;

		bpf_core_read(&head, sizeof(head), &child->head);
		derive_packet(head, number, kind);
		if (bpf_core_read(&child, sizeof(child), &child->next) || !child)
			return 0;
	}
	count_unlinked();
	return 0;
}

struct retransmission_map retransmissions SEC(".maps");

static __always_inline bool will_copy(struct sk_buff *skb)
{
	u64 key = (u64)skb;
	struct retransmission *retransmission = bpf_map_lookup_elem(&retransmissions, &key);

	return retransmission && retransmission->will_copy;
}

/*
 * All copies come by here when they have their buffer: of skb_copy() and its relatives, and those that are made because XDP wants memory
 * of its own.
 */
SEC("fentry/skb_copy_header")
int BPF_PROG(link_copy, struct sk_buff *copy, struct sk_buff *skb)
{
	if (next_number == 1)
		return 0;
	return derive(skb, copy, will_copy(skb) ? LINK_RETRANSMISSION : LINK_COPY);
}

/*
 * What TCP sends again is in the buffer of the first time, and is a packet of its own nevertheless. While somebody else still has the
 * first one, TCP copies it, or moves to a buffer of its own: see track_expand_exit().
 */
static __always_inline int begin_retransmission(struct sk_buff *skb)
{
	struct skb_shared_info *shared = (void *)(skb->head + skb->end);
	struct retransmission *outer, begun = {};
	u64 key = (u64)skb, head = 0;

	begun.number = number_of(skb);
	if (!begun.number)
		return 0;
	/* The one function has called the other. */
	outer = bpf_map_lookup_elem(&retransmissions, &key);
	if (outer && outer->number == begun.number)
		return 0;
	/* The upper half counts references to the payload alone, as in the kernel's SKB_DATAREF_SHIFT. */
	if (BPF_CORE_READ_BITFIELD(skb, cloned) && (BPF_CORE_READ(shared, dataref.counter) & 0xffff) != 1) {
		begun.will_copy = 1;
	} else {
		/* Read as a number: from 7 on the verifier knows what the member points to, and global functions take no pointers. */
		bpf_core_read(&head, sizeof(head), &skb->head);
		forget_buffer(head);
		begun.number = derive_packet(head, begun.number, LINK_RETRANSMISSION);
	}
	bpf_map_update_elem(&retransmissions, &key, &begun, BPF_ANY);
	return 0;
}

static __always_inline int end_retransmission(struct sk_buff *skb)
{
	u64 key = (u64)skb;

	if (next_number != 1)
		bpf_map_delete_elem(&retransmissions, &key);
	return 0;
}

#define AT_RETRANSMISSION(function, name)                                     \
	SEC("fentry/" #function)                                              \
	int BPF_PROG(name##_entry, struct sock *sk, struct sk_buff *skb)      \
	{                                                                     \
		return begin_retransmission(skb);                             \
	}                                                                     \
                                                                              \
	SEC("fexit/" #function)                                               \
	int BPF_PROG(name##_exit, struct sock *sk, struct sk_buff *skb)       \
	{                                                                     \
		return end_retransmission(skb);                               \
	}

AT_RETRANSMISSION(__tcp_retransmit_skb, track_retransmit)

/* This one calls the other; but where the compiler has split that (6.1), it calls the larger part, past the programs. */
AT_RETRANSMISSION(tcp_retransmit_skb, track_retransmit_outer)

SEC("fexit/__skb_gso_segment")
int BPF_PROG(link_segments, struct sk_buff *skb, u64 features, bool tx_path, struct sk_buff *segments)
{
	return derive_list(skb, segments, LINK_SEGMENT);
}

SEC("fexit/ip_frag_next")
int BPF_PROG(link_fragment, struct sk_buff *skb, void *state, struct sk_buff *fragment)
{
	return derive(skb, fragment, LINK_FRAGMENT);
}

SEC("fexit/ip6_frag_next")
int BPF_PROG(link_fragment6, struct sk_buff *skb, void *state, struct sk_buff *fragment)
{
	return derive(skb, fragment, LINK_FRAGMENT);
}

/* What is listed behind a packet's data becomes a fragment each. */
static __always_inline int derive_listed(struct sk_buff *skb)
{
	struct skb_shared_info *shared = (void *)(skb->head + skb->end);

	if (next_number == 1)
		return 0;
	return derive_list(skb, BPF_CORE_READ(shared, frag_list), LINK_FRAGMENT);
}

SEC("fentry/ip_fraglist_init")
int BPF_PROG(link_fragments, struct sk_buff *skb)
{
	return derive_listed(skb);
}

SEC("fentry/ip6_fraglist_init")
int BPF_PROG(link_fragments6, struct sk_buff *skb)
{
	return derive_listed(skb);
}

/* An argument of the traced function as a number: global functions take no pointers. */
static __always_inline u64 argument(const unsigned long long *ctx, u32 index)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), &ctx[index]);
	return value;
}

/* One packet has been appended to another. When only the one that is gone is known, the other one goes on in its place. */
static __always_inline int merge(const unsigned long long *ctx, struct sk_buff *packet, struct sk_buff *appended, int error, u32 place)
{
	u64 other = error ? 0 : number_of(appended), number, head = 0;

	if (!other)
		return 0;
	number = number_of(packet);
	if (number) {
		if (!absorb_packet(number, other, LINK_MERGE))
			return 0;
	} else {
		bpf_core_read(&head, sizeof(head), &packet->head);
		number = derive_packet(head, other, LINK_MERGE);
		if (!number)
			return 0;
	}
	report_link(argument(ctx, 0), number, place);
	return 0;
}

SEC("fexit/skb_gro_receive")
int BPF_PROG(link_merge, struct sk_buff *packet, struct sk_buff *appended, int error)
{
	return merge(ctx, packet, appended, error, PLACE_GRO);
}

SEC("fexit/skb_gro_receive_list")
int BPF_PROG(link_merge_list, struct sk_buff *packet, struct sk_buff *appended, int error)
{
	return merge(ctx, packet, appended, error, PLACE_GRO_LIST);
}

/* The packets of fragments, by the queue in which they wait for the others. */
struct fragments {
	u64 count;
	u64 numbers[MAX_FRAGMENTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, u64);
	__type(value, struct fragments);
} fragment_queues SEC(".maps");

/* A new list of fragments is too large for the stack. */
static const struct fragments no_fragments;

/* Whether a fragment is the only one in its queue. */
static __always_inline bool is_first_fragment(struct inet_frag_queue *queue, struct sk_buff *skb)
{
	struct rb_node *node = BPF_CORE_READ(queue, rb_fragments.rb_node);

	return (u64)node == (u64)skb + bpf_core_field_offset(skb->rbnode) && !BPF_CORE_READ(node, rb_left) &&
	       !BPF_CORE_READ(node, rb_right) && queue->fragments_tail == skb;
}

SEC("fexit/inet_frag_queue_insert")
int BPF_PROG(link_fragment_queued, struct inet_frag_queue *queue, struct sk_buff *skb, int offset, int end, int error)
{
	u64 key = (u64)queue, number = error ? 0 : number_of(skb), at;
	struct fragments *fragments;

	if (next_number == 1)
		return 0;
	/* Queues end without a word when fragments are missing: what is left of another one at the same place goes. */
	if (!error && is_first_fragment(queue, skb))
		bpf_map_delete_elem(&fragment_queues, &key);
	if (!number)
		return 0;
	fragments = bpf_map_lookup_elem(&fragment_queues, &key);
	if (!fragments) {
		bpf_map_update_elem(&fragment_queues, &key, &no_fragments, BPF_ANY);
		fragments = bpf_map_lookup_elem(&fragment_queues, &key);
	}
	/* The queue is locked. */
	if (!fragments || fragments->count >= MAX_FRAGMENTS) {
		count_unlinked();
		return 0;
	}
	at = fragments->count++;
	if (at < MAX_FRAGMENTS)
		fragments->numbers[at] = number;
	return 0;
}

/* Tells that a fragment has become a part of the datagram in `packet`. A global function: it is called many times. */
__noinline int reassemble(u64 packet, u64 fragment)
{
	u64 number = number_of((void *)packet), head = 0;

	if (number == fragment)
		return 0;
	if (number) {
		if (!absorb_packet(number, fragment, LINK_REASSEMBLY))
			return 0;
	} else {
		bpf_core_read(&head, sizeof(head), &((struct sk_buff *)packet)->head);
		number = derive_packet(head, fragment, LINK_REASSEMBLY);
		if (!number)
			return 0;
	}
	return report_link(packet, number, PLACE_REASSEMBLY);
}

SEC("fexit/inet_frag_reasm_finish")
int BPF_PROG(link_reassembly, struct inet_frag_queue *queue, struct sk_buff *packet)
{
	u64 key = (u64)queue, whole = argument(ctx, 1);
	struct fragments *fragments;

	if (next_number == 1)
		return 0;
	fragments = bpf_map_lookup_elem(&fragment_queues, &key);
	if (!fragments)
		return 0;
#pragma unroll
	for (u32 i = 0; i < MAX_FRAGMENTS; i++) {
		if (i >= fragments->count)
			break;
		reassemble(whole, fragments->numbers[i]);
	}
	bpf_map_delete_elem(&fragment_queues, &key);
	return 0;
}
