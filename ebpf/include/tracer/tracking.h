/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packet identity. A packet is known by the buffer that holds it (`skb->head`), which clones share; its identity is when
 * and with which buffer it was first seen. Every packet has a number, which is never given twice.
 */
#ifndef TRACER_TRACKING_H
#define TRACER_TRACKING_H

#include <tracer/hit.h>

/* Packets are followed. */
extern const volatile bool tracking_enabled;

/* The number of the next packet; 0 stands for "no packet". While it is 1, nothing is tracked. */
extern u64 next_number;

/* From the address of a buffer, multiplied, to its count: so many bits are shifted out. Set by the loader with the map's size. */
extern const volatile u32 count_shift;

struct count_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
};

/* How many of the tracked buffers have an address that leads here. */
extern struct count_map buffer_counts SEC(".maps");

static __always_inline u32 *buffer_count(u64 head)
{
	u32 place;

	/* Half of the address tells enough. From 6.17 on `skb->head` is no number but memory, and it is the copy that is a number. */
	asm volatile("%0 = %1" : "=w"(place) : "w"((u32)head));
	place = place * 0x9e3779b1 >> count_shift;
	return bpf_map_lookup_elem(&buffer_counts, &place);
}

/* False: this buffer is surely not tracked, which takes a fraction of a look-up. Where a filter decides that holds for most. */
static __always_inline bool may_be_tracked(u64 head)
{
	u32 *count = buffer_count(head);

	return count && *count;
}

/* The number of the packet in this buffer, 0 when it is not tracked. */
INTERNAL u64 tracked_number(u64 head);

/* Begins to track the packet in this buffer and returns its number, 0 when the table did not take it. */
INTERNAL u64 begin_tracking(u64 head, u64 timestamp);

/* Whether packet `number` has passed a filter at an earlier hit. */
INTERNAL int has_passed(u64 number, u32 filter);

/* Packet `number` has passed a filter. */
INTERNAL int note_passed(u64 number, u32 filter);

/*
 * The packet in this buffer came out of packet `number`, in the way that `kind` (enum link_kind) says: it is one of its own, passes
 * the filters that the other one has passed, and its first event tells the link. 0: it is not tracked, or was before.
 * A global function: the verifier goes through it once, however many packets come out of one.
 */
u64 derive_packet(u64 head, u64 number, u32 kind);

/* Packet `absorbed` was merged into packet `number`, whose next event tells it. False: it can't. */
INTERNAL int absorb_packet(u64 number, u64 absorbed, u32 kind);

/* The link that is to be told with an event of this packet, once. False: there is none. */
INTERNAL int take_link(u64 number, struct packet_link *link);

/* The kernel lets go of this buffer. */
INTERNAL int forget_buffer(u64 head);

/* Keeps the packet in this buffer while it gets another one, and returns its number; 0: not tracked. */
INTERNAL u64 hold_packet(u64 head);

/* The same for a packet whose number is known. 0: it is no longer there. */
INTERNAL u64 hold_numbered(u64 number);

/* The end of hold_packet(): the packet is in this buffer now; 0: in no other. */
INTERNAL int release_packet(u64 number, u64 head);

/* A packet that TCP is sending again. */
struct retransmission {
	/* The packet in its buffer. */
	u64 number;
	/* Somebody else has the buffer, too: that is still the packet of the first time, and TCP takes another one. */
	u64 will_copy;
};

struct retransmission_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct retransmission);
};

/* By the address of the sk_buff; see links.bpf.c. */
extern struct retransmission_map retransmissions SEC(".maps");

/* A link could not be followed. */
INTERNAL int count_unlinked(void);

/*
 * Makes an event of a packet's own for a link that was just told to the table: at `place` (enum link_place), which counts as a
 * probe. A global function for the same reason.
 */
int report_link(u64 packet, u64 number, u32 place);

/* Fills in who packet `number` is and counts this hit. False: it was evicted. */
INTERNAL int identify(struct hit *hit, u64 number);

#endif
