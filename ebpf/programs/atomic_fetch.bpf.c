// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For kernels with BPF_FETCH, 5.12 and later. */
#include <tracer/atomic.h>

INTERNAL u64 fetch_add(u64 *value, u64 amount)
{
	return value ? __sync_fetch_and_add(value, amount) : 0;
}

INTERNAL u64 fetch_or(u64 *value, u64 bits)
{
	return value ? __sync_fetch_and_or(value, bits) : 0;
}

INTERNAL u64 exchange(u64 *value, u64 new_value)
{
	return value ? __sync_lock_test_and_set(value, new_value) : 0;
}
