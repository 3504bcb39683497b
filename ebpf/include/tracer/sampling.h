/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The cap on events a second: what does not fit is left out, packet by packet, so that what is recorded of one is whole. */
#ifndef TRACER_SAMPLING_H
#define TRACER_SAMPLING_H

#include <tracer/hit.h>

/* How much of the budget of time an event takes, ns; 0: there is no cap. */
extern const volatile u64 event_interval;

/* Decides about a packet that is seen for the first time. 0: left out; else how many events were taken from the budget. */
INTERNAL u64 admit_packet(u64 number, u64 now);

/* Decides about an event that belongs to no packet. False: left out. */
INTERNAL int admit_event(u64 now);

/* Takes an event from the budget that was let in already. */
INTERNAL int charge_event(void);

/* A packet is gone that had so many events, of those that were taken from the budget for it. */
INTERNAL int settle_packet(u64 hits, u64 expected);

#endif
