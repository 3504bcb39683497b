/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Filters. These are global functions, which take plain numbers only: the verifier goes through such a function once, however
 * large the filter is, and its caller sees nothing of it but the answer. Where a session has no such filter there is a weak
 * stand-in.
 */
#ifndef TRACER_FILTER_H
#define TRACER_FILTER_H

#include <tracer/hit.h>

/*
 * Whether the packet filter with this number takes the packet at address `packet`, whose `struct sk_buff` has been copied into the
 * scratch memory of this slot. `flags` are those of the probe, `socket` is what it has as an argument, 0: none.
 */
int filter_packet(u32 slot, u32 filter, u64 packet, u32 flags, u64 socket);

/* Whether the metadata filter with this number takes it; `packet` is 0 when there is none. */
int filter_metadata(u32 slot, u32 filter, u64 packet);

/*
 * Moves the view of a packet of this kind, in the scratch memory of this slot, to the packet that is inside it. Returns the kind of
 * that one; PACKET_HEADLESS: there is none.
 */
int enter_inner(u32 slot, u32 kind);

/* The address of a byte of a packet that is not in its linear part, counted from the end of that; 0: it can't be told. */
u64 paged_address(u64 packet, u32 offset);

/* Generated from the texts. */
INTERNAL int filter_ethernet(struct packet_view *view, u64 filter);
INTERNAL int filter_raw(struct packet_view *view, u64 filter);
INTERNAL int filter_fields(const void *skb, u64 packet, u64 filter);

#endif
