// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The table of tracked packets. What keeps it true are the programs in buffers.bpf.c and links.bpf.c.
 *
 * Two levels: a buffer's address leads to the number of its packet, the number to what is known of the packet. A packet
 * can have several buffers (a clone got a head of its own) and is forgotten with the last one.
 */
#include <tracer/tracking.h>
#include <tracer/atomic.h>
#include <tracer/sampling.h>

const volatile bool tracking_enabled;

/* Size of the table, a power of two. */
const volatile u64 table_size = 1;

/* How many slots a new packet tries before it takes one from a live packet. */
#define SLOT_TRIES 8

struct tracking_counters tracking_counters;

u64 next_number = 1;

/* Sized by the loader: `table_size`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tracked_packet);
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

static __always_inline struct tracked_packet *packet_at(u64 number)
{
	u32 slot = number & (table_size - 1);

	return bpf_map_lookup_elem(&packets, &slot);
}

/* The packet with this number, NULL when another one has its slot. */
static __always_inline struct tracked_packet *packet_numbered(u64 number)
{
	struct tracked_packet *packet = packet_at(number);

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
static __always_inline void evict(struct tracked_packet *packet)
{
	u64 head = packet->first_head, *number = bpf_map_lookup_elem(&buffers, &head);

	if (number && *number == packet->number)
		remove_buffer(head, buffer_count(head));
	__sync_fetch_and_add(&tracking_counters.evicted, 1);
}

/* Enters the packet in this buffer: one of its own, or one that came out of `parent`. */
static __always_inline u64 enter(u64 head, u64 timestamp, struct tracked_packet *parent, u32 kind)
{
	struct tracked_packet *packet = NULL;
	u64 number = 0;

	for (int i = 0; i < SLOT_TRIES; i++) {
		number = fetch_add(&next_number, 1);
		packet = packet_at(number);
		if (packet && !packet->buffers)
			break;
	}
	/* All tries ended at live packets, the last one perhaps at the parent: it is not what makes room for its child. */
	if (!packet || packet == parent)
		return 0;
	if (packet->buffers)
		evict(packet);
	packet->number = 0;
	packet->first_seen = timestamp;
	packet->first_head = head;
	packet->hits = 0;
	packet->link = 0;
	if (parent) {
		/* What one of the family has passed, all have; so it is with being left out. */
		packet->passed = parent->passed;
		packet->expected = 0;
		packet->root = parent->root;
		packet->other.first_seen = parent->first_seen;
		packet->other.first_head = parent->first_head;
		packet->link = kind;
		number |= parent->number & LEFT_OUT;
	} else {
		packet->passed = 0;
		packet->root.first_seen = timestamp;
		packet->root.first_head = head;
		if (event_interval) {
			packet->expected = admit_packet(number, timestamp);
			if (!packet->expected)
				number |= LEFT_OUT;
		}
	}
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

INTERNAL u64 begin_tracking(u64 head, u64 timestamp)
{
	return enter(head, timestamp, NULL, 0);
}

__noinline u64 derive_packet(u64 head, u64 number, u32 kind)
{
	struct tracked_packet *parent = packet_numbered(number);

	if (!parent || !head)
		return 0;
	/* A part that was a packet before goes on as what it was. */
	if (tracked_number(head))
		return 0;
	return enter(head, bpf_ktime_get_ns(), parent, kind);
}

INTERNAL int absorb_packet(u64 number, u64 absorbed, u32 kind)
{
	struct tracked_packet *packet = packet_numbered(number), *other = packet_numbered(absorbed);

	if (!packet || !other || packet == other)
		return 0;
	packet->other.first_seen = other->first_seen;
	packet->other.first_head = other->first_head;
	packet->link = kind;
	return 1;
}

INTERNAL int take_link(u64 number, struct packet_link *link)
{
	struct tracked_packet *packet = packet_numbered(number);

	if (!packet || !packet->link)
		return 0;
	link->kind = packet->link;
	link->padding = 0;
	link->other = packet->other;
	link->root = packet->root;
	packet->link = 0;
	return 1;
}

INTERNAL int has_passed(u64 number, u32 filter)
{
	struct tracked_packet *packet = packet_numbered(number);

	return packet && packet->passed >> (filter % MAX_FILTERS) & 1;
}

INTERNAL int note_passed(u64 number, u32 filter)
{
	struct tracked_packet *packet = packet_numbered(number);

	if (packet)
		fetch_or(&packet->passed, 1ULL << (filter % MAX_FILTERS));
	return 0;
}

INTERNAL int identify(struct hit *hit, u64 number)
{
	struct tracked_packet *packet = packet_numbered(number);

	if (!packet)
		return 0;
	hit->first_seen = packet->first_seen;
	hit->first_head = packet->first_head;
	hit->sequence = fetch_add(&packet->hits, 1);
	if (event_interval && hit->sequence >= packet->expected)
		charge_event();
	return 1;
}

static __always_inline void drop_buffer(struct tracked_packet *packet)
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

INTERNAL int forget_buffer(u64 head)
{
	struct tracked_packet *packet;
	u64 *number;
	u32 *count;

	if (next_number == 1)
		return 0;
	count = buffer_count(head);
	if (!count || !*count)
		return 0;
	number = bpf_map_lookup_elem(&buffers, &head);
	if (!number)
		return 0;
	packet = packet_numbered(*number);
	if (packet && packet->buffers)
		drop_buffer(packet);
	remove_buffer(head, count);
	return 0;
}

INTERNAL u64 hold_numbered(u64 number)
{
	struct tracked_packet *packet = number ? packet_numbered(number) : NULL;

	if (!packet || !packet->buffers)
		return 0;
	__sync_fetch_and_add(&packet->buffers, 1);
	return number;
}

INTERNAL u64 hold_packet(u64 head)
{
	return hold_numbered(tracked_number(head));
}

INTERNAL int release_packet(u64 number, u64 head)
{
	struct tracked_packet *packet = packet_numbered(number);

	if (!packet)
		return 0;
	if (!head || tracked_number(head) == number) {
		drop_buffer(packet);
	} else if (!enter_buffer(head, number)) {
		drop_buffer(packet);
		__sync_fetch_and_add(&tracking_counters.failed, 1);
	}
	return 0;
}

INTERNAL int count_unlinked(void)
{
	__sync_fetch_and_add(&tracking_counters.unlinked, 1);
	return 0;
}
