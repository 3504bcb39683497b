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
 * sk_buff is used for the next packet as it is, head included.
 */
SEC("fentry/napi_reuse_skb")
int BPF_PROG(track_reuse, void *napi, struct sk_buff *skb)
{
	forget_buffer((u64)skb->head);
	return 0;
}

SEC("fentry/napi_reuse_skb")
int BPF_PROG(track_reuse_2, void *napi, struct sk_buff *skb)
{
	forget_buffer((u64)skb->head);
	return 0;
}

/* Packets whose buffer is being replaced right now: their numbers, by the address of what tells them from others meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u64);
} replacements SEC(".maps");

/* The buffer of a packet may be replaced: the packet is kept when the old one goes, until end_replacement(). */
static __always_inline int begin_replacement(u64 key, u64 head)
{
	u64 number = hold_packet(head);

	if (number && bpf_map_update_elem(&replacements, &key, &number, BPF_ANY))
		release_packet(number, 0);
	return 0;
}

/* The packet is in this buffer now, 0: it is gone. */
static __always_inline int end_replacement(u64 key, u64 head)
{
	u64 *number;

	if (next_number == 1)
		return 0;
	number = bpf_map_lookup_elem(&replacements, &key);
	if (!number)
		return 0;
	release_packet(*number, head);
	bpf_map_delete_elem(&replacements, &key);
	return 0;
}

SEC("fentry/pskb_expand_head")
int BPF_PROG(track_expand_entry, struct sk_buff *skb)
{
	return begin_replacement((u64)skb, (u64)skb->head);
}

SEC("fexit/pskb_expand_head")
int BPF_PROG(track_expand_exit, struct sk_buff *skb)
{
	return end_replacement((u64)skb, (u64)skb->head);
}

/* Where XDP looks at a packet that has an sk_buff already, it wants memory that it may write to. */
static __always_inline struct sk_buff **place_of(u64 *ctx)
{
	u64 place = 0;

	/* As an argument, the verifier refuses a pointer to a pointer. */
	return bpf_get_func_arg(ctx, 1, &place) ? NULL : (struct sk_buff **)place;
}

static __always_inline u64 head_behind(struct sk_buff **place)
{
	struct sk_buff *skb = NULL;
	u64 head = 0;

	if (!bpf_probe_read_kernel(&skb, sizeof(skb), place) && skb)
		bpf_core_read(&head, sizeof(head), &skb->head);
	return head;
}

SEC("fentry/skb_pp_cow_data")
int track_xdp_entry(u64 *ctx)
{
	struct sk_buff **place = place_of(ctx);

	if (next_number == 1)
		return 0;
	return begin_replacement((u64)place, head_behind(place));
}

SEC("fexit/skb_pp_cow_data")
int track_xdp_exit(u64 *ctx)
{
	struct sk_buff **place = place_of(ctx);

	if (next_number == 1)
		return 0;
	return end_replacement((u64)place, head_behind(place));
}

/* 6.1, where veth does it by itself, and returns the sk_buff that takes the place of the first. */
SEC("fentry/veth_xdp_rcv_skb")
int BPF_PROG(track_veth_entry, void *queue, struct sk_buff *skb)
{
	return begin_replacement((u64)skb, (u64)skb->head);
}

SEC("fexit/veth_xdp_rcv_skb")
int BPF_PROG(track_veth_exit, void *queue, struct sk_buff *skb, void *bulk, void *stats,
	     struct sk_buff *result)
{
	return end_replacement((u64)skb, result ? (u64)result->head : 0);
}
