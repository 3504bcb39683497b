// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The table of tracked packets, and the programs that keep it true: they sit where the kernel lets go of a buffer or
 * replaces it. They are fentry programs, which are not skipped when another probe's program is running on the CPU.
 *
 * Two levels: a buffer's address leads to the number of its packet, the number to what is known of the packet. A packet
 * can have several buffers (a clone got a head of its own) and is forgotten with the last one.
 */
#include <tracer/tracking.h>
#include <tracer/atomic.h>
#include <tracer/sampling.h>

#include <bpf/bpf_tracing.h>

const volatile bool tracking_enabled;

/* Size of the table, a power of two. */
const volatile u64 table_size = 1;

/* How many slots a new packet tries before it takes one from a live packet. */
#define SLOT_TRIES 8

struct tracking_counters tracking_counters;

/* The number of the next packet; 0 stands for "no packet". */
static u64 next_number = 1;

struct packet {
	/* The number of the packet in this slot; 0 while it is filled in. */
	u64 number;
	u64 first_seen;
	u64 first_head;
	u64 hits;
	/* Buffers that lead here. 0: the slot is free. */
	u64 buffers;
	/* Filters that it has passed, one bit for each. */
	u64 passed;
	/* Under a cap on events: how many of its events the budget has been charged with in advance. */
	u64 expected;
};

/* Sized by the loader: `table_size`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct packet);
} packets SEC(".maps");

/* Buffer address to packet number. Sized by the loader, with room for several buffers a packet. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, u64);
} buffers SEC(".maps");

/*
 * Sized by the loader: several for each packet. A count is never too low: it is raised before a buffer is entered, and lowered when it has
 * been taken out. It stays too high for a buffer that `buffers` pushes out to make room, which costs look-ups and nothing else; and it
 * does not come to that: the buffer of a packet that is evicted is taken out, too.
 */
struct count_map buffer_counts SEC(".maps");

const volatile u32 count_shift = 31;

/* Packets whose buffer is being replaced right now, by the address of their sk_buff. */
struct replacement {
	u64 number;
	u64 head;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct replacement);
} replacements SEC(".maps");

static __always_inline struct packet *packet_at(u64 number)
{
	u32 slot = number & (table_size - 1);

	return bpf_map_lookup_elem(&packets, &slot);
}

/* The packet with this number, NULL when another one has its slot. */
static __always_inline struct packet *packet_numbered(u64 number)
{
	struct packet *packet = packet_at(number);

	return packet && packet->number == number ? packet : NULL;
}

/* Enters a buffer. False: the table did not take it. */
static __always_inline bool enter_buffer(u64 head, u64 number)
{
	u32 *count = buffer_count(head);

	if (!count)
		return false;
	__sync_fetch_and_add(count, 1);
	if (!bpf_map_update_elem(&buffers, &head, &number, BPF_NOEXIST))
		return true;
	/* When it is there already it has been counted. */
	__sync_fetch_and_add(count, -1);
	return !bpf_map_update_elem(&buffers, &head, &number, BPF_EXIST);
}

/* `count` is that of the buffer. */
static __always_inline void remove_buffer(u64 head, u32 *count)
{
	if (!bpf_map_delete_elem(&buffers, &head) && count)
		__sync_fetch_and_add(count, -1);
}

INTERNAL u64 tracked_number(u64 head)
{
	u64 *number;

	if (!may_be_tracked(head))
		return 0;
	number = bpf_map_lookup_elem(&buffers, &head);
	return number && packet_numbered(*number) ? *number : 0;
}

/* Makes room in a slot whose packet has buffers still: that one is forgotten. */
static __always_inline void evict(struct packet *packet)
{
	u64 head = packet->first_head, *number = bpf_map_lookup_elem(&buffers, &head);

	if (number && *number == packet->number)
		remove_buffer(head, buffer_count(head));
	__sync_fetch_and_add(&tracking_counters.evicted, 1);
}

INTERNAL u64 begin_tracking(u64 head, u64 timestamp)
{
	struct packet *packet = NULL;
	u64 number = 0;

	for (int i = 0; i < SLOT_TRIES; i++) {
		number = fetch_add(&next_number, 1);
		packet = packet_at(number);
		if (packet && !packet->buffers)
			break;
	}
	if (!packet)
		return 0;
	if (packet->buffers)
		evict(packet);
	packet->number = 0;
	if (event_interval) {
		packet->expected = admit_packet(number, timestamp);
		if (!packet->expected)
			number |= LEFT_OUT;
	}
	packet->first_seen = timestamp;
	packet->first_head = head;
	packet->hits = 0;
	packet->passed = 0;
	packet->buffers = 1;
	packet->number = number;
	if (!enter_buffer(head, number)) {
		packet->buffers = 0;
		__sync_fetch_and_add(&tracking_counters.failed, 1);
		return 0;
	}
	__sync_fetch_and_add(&tracking_counters.tracked, 1);
	return number;
}

INTERNAL int has_passed(u64 number, u32 filter)
{
	struct packet *packet = packet_numbered(number);

	return packet && packet->passed >> (filter % MAX_FILTERS) & 1;
}

INTERNAL int note_passed(u64 number, u32 filter)
{
	struct packet *packet = packet_numbered(number);

	if (packet)
		fetch_or(&packet->passed, 1ULL << (filter % MAX_FILTERS));
	return 0;
}

INTERNAL int identify(struct hit *hit, u64 number)
{
	struct packet *packet = packet_numbered(number);

	if (!packet)
		return 0;
	hit->first_seen = packet->first_seen;
	hit->first_head = packet->first_head;
	hit->sequence = fetch_add(&packet->hits, 1);
	if (event_interval && hit->sequence >= packet->expected)
		charge_event();
	return 1;
}

static __always_inline void drop_buffer(struct packet *packet)
{
	if (!event_interval) {
		__sync_fetch_and_add(&packet->buffers, -1);
		return;
	}
	if (fetch_add(&packet->buffers, -1) != 1 || packet->number & LEFT_OUT)
		return;
	settle_packet(packet->hits, packet->expected);
	/* A call that the packet was handed to may yet return: that event is charged by itself. */
	packet->expected = 0;
}

static __always_inline void forget_buffer(u64 head)
{
	struct packet *packet;
	u64 *number;
	u32 *count;

	if (next_number == 1)
		return;
	count = buffer_count(head);
	if (!count || !*count)
		return;
	number = bpf_map_lookup_elem(&buffers, &head);
	if (!number)
		return;
	packet = packet_numbered(*number);
	if (packet && packet->buffers)
		drop_buffer(packet);
	remove_buffer(head, count);
}

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

SEC("fentry/pskb_expand_head")
int BPF_PROG(track_expand_entry, struct sk_buff *skb)
{
	u64 key = (u64)skb;
	struct replacement replacement = { .head = (u64)skb->head };
	struct packet *packet;

	replacement.number = tracked_number(replacement.head);
	if (!replacement.number)
		return 0;
	packet = packet_numbered(replacement.number);
	if (!packet)
		return 0;
	/* Keeps the slot while the old buffer is gone and the new one not yet known. */
	__sync_fetch_and_add(&packet->buffers, 1);
	if (bpf_map_update_elem(&replacements, &key, &replacement, BPF_ANY)) {
		__sync_fetch_and_add(&packet->buffers, -1);
		__sync_fetch_and_add(&tracking_counters.failed, 1);
	}
	return 0;
}

SEC("fexit/pskb_expand_head")
int BPF_PROG(track_expand_exit, struct sk_buff *skb)
{
	u64 key = (u64)skb, head = (u64)skb->head, number;
	struct replacement *replacement;
	struct packet *packet;

	if (next_number == 1)
		return 0;
	replacement = bpf_map_lookup_elem(&replacements, &key);
	if (!replacement)
		return 0;
	number = replacement->number;
	packet = packet_numbered(number);
	if (packet) {
		/* Same head: it failed, and the hold is given back. */
		if (head == replacement->head) {
			__sync_fetch_and_add(&packet->buffers, -1);
		} else if (!enter_buffer(head, number)) {
			__sync_fetch_and_add(&packet->buffers, -1);
			__sync_fetch_and_add(&tracking_counters.failed, 1);
		}
	}
	bpf_map_delete_elem(&replacements, &key);
	return 0;
}
