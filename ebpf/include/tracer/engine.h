/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs (one for each type of probe) need of the engine. */
#ifndef TRACER_ENGINE_H
#define TRACER_ENGINE_H

#include <tracer/hit.h>

/* Collection runs: set when all probes are attached, cleared before the ring is drained. */
extern volatile bool enabled;

/* The kernel hands programs the cookie of their attachment. 5.10 does not; there, functions are told apart by address. */
extern const volatile bool has_cookies;

/* Finds the configuration of the probe with this index. False: there is none. */
INTERNAL int configure(struct hit *hit, u64 index);

/* The index of the probe at a function's address, or ~0: for kernels without cookies. */
INTERNAL u64 index_at(u64 address);

/* From the value of the packet argument to the packet. */
INTERNAL int find_packet(struct hit *hit, u64 argument);

/* Decides about the hit, and builds and sends its event. */
INTERNAL int process(struct hit *hit);

/* Remembers a call at its entry under a key that its return knows too. False: it could not be remembered. */
INTERNAL int remember_call(struct hit *hit, u64 key);

/* Gets back, at its return, what remember_call() knew of a call. False: nothing. */
INTERNAL int recall(struct hit *hit, u64 key);

/* Counts a loss for a probe. */
INTERNAL int count_loss(u32 index, u32 cause);

#endif
