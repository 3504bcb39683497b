// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * For 5.10, where programs run with preemption off: what is per CPU is only ever interrupted by something that has finished
 * before we go on. What CPUs share may lose an increment when two of them meet: a repeated sequence number, nothing worse.
 */
#include <tracer/atomic.h>

INTERNAL u64 fetch_add(u64 *value, u64 amount)
{
	u64 old;

	if (!value)
		return 0;
	old = *(volatile u64 *)value;
	*(volatile u64 *)value = old + amount;
	return old;
}

INTERNAL u64 fetch_or(u64 *value, u64 bits)
{
	u64 old;

	if (!value)
		return 0;
	old = *(volatile u64 *)value;
	*(volatile u64 *)value = old | bits;
	return old;
}

INTERNAL u64 exchange(u64 *value, u64 new_value)
{
	u64 old;

	if (!value)
		return 0;
	old = *(volatile u64 *)value;
	*(volatile u64 *)value = new_value;
	return old;
}
