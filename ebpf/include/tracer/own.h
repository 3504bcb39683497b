/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For programs that a collector brings in its hook (`Needs::programs`). They are fentry, fexit or tp_btf programs, whose context is an
 * array: the arguments, and for fexit the result behind them. It is read by address, so that the verifier knows nothing of their types.
 */
#ifndef TRACER_OWN_H
#define TRACER_OWN_H

#include <tracer/engine.h>

/* What the number of a probe is until the session sets it. */
#define NO_PROBE 0xffffffff

/* Reads the first arguments (for fexit all, and the result behind them) into an array. */
#define READ_ARGUMENTS(context, array) bpf_probe_read_kernel(array, sizeof(array), context)

/*
 * One of them. Functions of their own keep the stack of programs that make events short: all that is called shares 512 bytes of it.
 */
static __noinline u64 read_one(void *context, u32 number)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), context + number * sizeof(value));
	return value;
}

/*
 * Makes an event of the hit of such a program, when it is wanted. `index` is the number of its probe. The packet, 0 when there is
 * none, must be alive. Returns when it was, in ns; 0: it is not wanted.
 */
static __always_inline u64 own_hit(void *context, u32 index, u64 packet)
{
	struct hit hit = { .packet = (void *)packet, .context = context };

	if (!enabled || !configure(&hit, index) || !hit.probe)
		return 0;
	process(&hit);
	return hit.timestamp;
}

/*
 * A program that runs in a thread's own time, where nothing may be missed: `name` and `name_2`, which call `note(context, 1)` and
 * `note(context, 2)`. Kernels that preempt threads anywhere (7.x of many distributions) preempt them in a program, too, and skip it when the next
 * thread comes there on that CPU. The other one then does its work; is_first() tells whether there is any. (To forbid preemption meanwhile does
 * not help: the thread is then preempted when the program allows it again.)
 */
#define IN_THREAD(place, name, note)                                           \
	SEC(place)                                                             \
	int name(unsigned long long *context)                                  \
	{                                                                      \
		note(context, 1);                                              \
		return 0;                                                      \
	}                                                                      \
                                                                               \
	SEC(place)                                                             \
	int name##_2(unsigned long long *context)                              \
	{                                                                      \
		note(context, 2);                                              \
		return 0;                                                      \
	}                                                                      \
	extern int name##_2(unsigned long long *context)

/*
 * Whether none of the two has run in this call. `seen` are those that have, by thread and place; what comes between two calls clears it. Should
 * that be skipped, the call is a new one for a program that has run already.
 */
static __always_inline bool is_first(u32 *seen, u32 which)
{
	bool is_second = *seen && !(*seen & which);

	*seen = is_second ? *seen | which : which;
	return !is_second;
}

#endif
