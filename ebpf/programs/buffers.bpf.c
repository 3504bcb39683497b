// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs that sit where the kernel lets go of a packet's buffer or gives the packet another one. They are fentry programs,
 * which are not skipped when another probe's program is running on the CPU.
 */
#include <tracer/tracking.h>

#include <bpf/bpf_tracing.h>

/*
 * Two programs do the same at some functions. The kernel does not run a program on a CPU where it is running already: when it
 * is interrupted by a softirq that frees a packet too, it is skipped for that one, whose buffer would keep its identity for
 * the next packet. The other program is not running at that moment.
 */

/* 6.1 and later: the one place where a head goes back to the allocator. */
SEC("fentry/skb_free_head")
int BPF_PROG(track_free_head, struct sk_buff *skb)
{
	forget_buffer((u64)skb->head);
	return 0;
}

SEC("fentry/skb_free_head")
int BPF_PROG(track_free_head_2, struct sk_buff *skb)
{
	forget_buffer((u64)skb->head);
	return 0;
}

/* 5.10, where skb_free_head is inlined (and programs are never skipped): the last reference to the data is about to go. */
SEC("fentry/skb_release_data")
int BPF_PROG(track_release_data, struct sk_buff *skb)
{
	struct skb_shared_info *shared = (void *)(skb->head + skb->end);
	/* The upper half counts references to the payload alone, as in the kernel's SKB_DATAREF_SHIFT. */
	int mine = skb->nohdr ? (1 << 16) + 1 : 1;

	if (!skb->cloned || BPF_CORE_READ(shared, dataref.counter) == mine)
		forget_buffer((u64)skb->head);
	return 0;
}

/* The head becomes a fragment of another packet (GRO, coalescing): it lives on, but not as a buffer of this packet. */
SEC("fentry/napi_skb_free_stolen_head")
int BPF_PROG(track_stolen_napi, struct sk_buff *skb)
{
	forget_buffer((u64)skb->head);
	return 0;
}

SEC("fentry/kfree_skb_partial")
int BPF_PROG(track_stolen_partial, struct sk_buff *skb, bool head_stolen)
{
	if (head_stolen)
		forget_buffer((u64)skb->head);
	return 0;
}

SEC("fentry/kfree_skb_partial")
int BPF_PROG(track_stolen_partial_2, struct sk_buff *skb, bool head_stolen)
{
	if (head_stolen)
		forget_buffer((u64)skb->head);
	return 0;
}

/*
 * A packet without a head of its own (the driver puts its bytes into fragments) was appended to another one, or is not wanted: its
 * sk_buff is used for the next packet as it is, head included. One program is enough: nothing that gets here interrupts another.
 */
SEC("fentry/napi_reuse_skb")
int BPF_PROG(track_reuse, void *napi, struct sk_buff *skb)
{
	forget_buffer((u64)skb->head);
	return 0;
}

/* Packets whose buffer is being replaced right now: their numbers, by the address of their sk_buff. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u64);
} replacements SEC(".maps");

/* The packet is kept while the old buffer is gone and the new one not yet known. */
SEC("fentry/pskb_expand_head")
int BPF_PROG(track_expand_entry, struct sk_buff *skb)
{
	u64 key = (u64)skb, number = hold_packet((u64)skb->head);

	if (number && bpf_map_update_elem(&replacements, &key, &number, BPF_ANY))
		release_packet(number, 0);
	return 0;
}

SEC("fexit/pskb_expand_head")
int BPF_PROG(track_expand_exit, struct sk_buff *skb)
{
	struct retransmission *retransmission;
	u64 key = (u64)skb, head = 0, *number;

	if (next_number == 1)
		return 0;
	number = bpf_map_lookup_elem(&replacements, &key);
	if (!number)
		return 0;
	/* As a number: see begin_retransmission(). */
	bpf_core_read(&head, sizeof(head), &skb->head);
	retransmission = bpf_map_lookup_elem(&retransmissions, &key);
	if (retransmission && retransmission->will_copy) {
		/* The old buffer stays with the packet; what is sent again is another one. */
		derive_packet(head, *number, LINK_RETRANSMISSION);
		head = 0;
	}
	release_packet(*number, head);
	bpf_map_delete_elem(&replacements, &key);
	return 0;
}
