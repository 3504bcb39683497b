// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The cap on events a second. A packet is recorded whole or not at all, which is decided when it is first seen, by two things:
 *
 * - A share of the packets passes, chosen by a hash of their numbers. It follows what comes, several times a second. This
 *   makes what is recorded a sample: alone, the budget would favour packets that come after a pause.
 * - What passes must fit into the budget, which holds while the share is still too large. The budget is time: each event
 *   takes 1/N of a second, and `used_until` says how far it has been used up. A packet takes in advance what packets need on
 *   average, because its later events are not asked for; at its end it gives back what it did not need.
 */
#include <tracer/sampling.h>
#include <tracer/atomic.h>

const volatile u64 event_interval;

/* How far ahead of the clock the budget may be used up: a burst of so many ns is let in at once. */
#define BURST 50000000

/* Least time between two changes of the share, ns, and least number of events that the cap allows for in it. */
#define ADAPT_INTERVAL 100000000
#define ADAPT_EVENTS 16

/* A change of the share looks at no more events than this: what it multiplies must fit into 64 bits. */
#define ADAPT_LIMIT (1 << 20)

/* An average follows the last 16 packets or so. */
#define AVERAGE_WEIGHT 16

struct sampling sampling = { .share = SAMPLING_ALL, .lowest_share = SAMPLING_ALL };

/* Events of a packet on average, in parts of AVERAGE_ONE. The loader begins with the number of probes. */
volatile u64 average_events = AVERAGE_ONE;

/* Where CPUs meet in these, an event too many is let in, and nothing worse. */
static volatile u64 used_until;
static volatile u64 adapted;
static u64 adapting;

/* Events that passed by their share since it was adapted, whether or not they fitted into the budget. */
static u64 demand;

static __always_inline void adapt_share(u64 now)
{
	u64 interval = event_interval * ADAPT_EVENTS, budget, share = sampling.share;

	if (interval < ADAPT_INTERVAL)
		interval = ADAPT_INTERVAL;
	if (now < adapted + interval || fetch_or(&adapting, 1))
		return;
	/* Another CPU may have done it a moment ago. */
	if (now >= adapted + interval) {
		budget = (now - adapted) / event_interval;
		if (budget > ADAPT_LIMIT)
			budget = ADAPT_LIMIT;
		/* It grows slowly, or a pause would open it wide. */
		if (demand <= budget / 2)
			share *= 2;
		else
			share = share * budget / demand;
		if (share > SAMPLING_ALL)
			share = SAMPLING_ALL;
		if (!share)
			share = 1;
		if (share < sampling.lowest_share)
			sampling.lowest_share = share;
		sampling.share = share;
		demand = 0;
		adapted = now;
	}
	adapting = 0;
}

static __always_inline bool admit(u64 key, u64 events, u64 now)
{
	u64 used;

	adapt_share(now);
	/* The upper half of a product with 2^64 divided by the golden ratio is spread evenly, also for keys in a row. */
	if ((u32)(key * 0x9e3779b97f4a7c15ULL >> 32) >= sampling.share)
		return false;
	__sync_fetch_and_add(&demand, events);
	used = used_until;
	if (used < now)
		used_until = used = now;
	if (used > now + BURST)
		return false;
	__sync_fetch_and_add((u64 *)&used_until, events * event_interval);
	return true;
}

INTERNAL u64 admit_packet(u64 number, u64 now)
{
	u64 expected = (average_events + AVERAGE_ONE - 1) / AVERAGE_ONE;

	if (!expected)
		expected = 1;
	__sync_fetch_and_add(&sampling.packets, 1);
	if (admit(number, expected, now))
		return expected;
	__sync_fetch_and_add(&sampling.packets_left_out, 1);
	return 0;
}

INTERNAL int admit_event(u64 now)
{
	return admit(bpf_get_prandom_u32(), 1, now);
}

INTERNAL int charge_event(void)
{
	__sync_fetch_and_add((u64 *)&used_until, event_interval);
	return 0;
}

INTERNAL int settle_packet(u64 hits, u64 expected)
{
	u64 average = average_events;

	average_events = average - average / AVERAGE_WEIGHT + hits * (AVERAGE_ONE / AVERAGE_WEIGHT);
	if (hits < expected)
		__sync_fetch_and_add((u64 *)&used_until, -((expected - hits) * event_interval));
	return 0;
}
