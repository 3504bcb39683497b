/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs (one for each type of probe) need of the engine. */
#ifndef TRACER_ENGINE_H
#define TRACER_ENGINE_H

#include <tracer/hit.h>

/* Collection runs: set when all probes are attached, cleared before the ring is drained. */
extern volatile bool enabled;

/* The kernel hands programs the cookie of their attachment. 5.10 does not; there, functions are told apart by address. */
extern const volatile bool has_cookies;

struct probe_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct probe_config);
};

extern struct probe_map probes SEC(".maps");

/* Finds the configuration of the probe with this index. False: there is none. */
static __always_inline bool configure(struct hit *hit, u64 index)
{
	u32 key = index;

	hit->index = key;
	hit->probe = bpf_map_lookup_elem(&probes, &key);
	return hit->probe != NULL;
}

/* The index of the probe at a function's address, or ~0: for kernels without cookies. */
INTERNAL u64 index_at(u64 address);

/* The pointer that is at an address; 0 when it can't be read. */
static __always_inline u64 follow(struct hit *hit, u64 address)
{
	u64 pointer;

	if (!bpf_probe_read_kernel(&pointer, sizeof(pointer), (void *)address))
		return pointer;
	incomplete(hit);
	return 0;
}

/* From the value of the packet argument to the packet. */
static __always_inline void find_packet(struct hit *hit, u64 argument)
{
	const struct probe_config *probe = hit->probe;

	if (argument && probe->flags & PROBE_PACKET_INDIRECT)
		argument = follow(hit, argument + probe->packet_offset);
	if (argument && probe->flags & PROBE_PACKET_TWICE)
		argument = follow(hit, argument + probe->packet_then);
	hit->packet = (struct sk_buff *)argument;
}

/* Decides about the hit, and builds and sends its event. */
INTERNAL int process(struct hit *hit);

/*
 * A call, from its entry to its return. `place` is the session's number for it, or where its return address is on the stack;
 * there several calls can be alive, when a function ends by jumping to another: `which` tells them apart.
 */
struct call_key {
	u64 place;
	u64 which;
};

/* Decides at a call's entry whether its return is wanted, and finds out who the packet is. */
INTERNAL int wants_call(struct hit *hit);

/*
 * Remembers a call at its entry. False: it could not be remembered. A call that is not wanted is remembered as such where its
 * return comes anyway.
 */
INTERNAL int remember_call(struct hit *hit, struct call_key *key, bool wanted);

/* Gets back, at its return, what remember_call() knew of a call; without a probe when it is not wanted. False: nothing. */
INTERNAL int recall(struct hit *hit, struct call_key *key);

/* Whether remember_call() knows a call. */
INTERNAL int is_remembered(struct call_key *key);

/* Counts a loss for a probe. */
INTERNAL int count_loss(u32 index, u32 cause);

#endif
