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
