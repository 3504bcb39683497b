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

/* Fills in who packet `number` is and counts this hit. False: it was evicted. */
INTERNAL int identify(struct hit *hit, u64 number);

#endif
