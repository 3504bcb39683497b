/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Atomic operations that return the old value. 5.10 has none and refuses programs that contain one, so they are functions of
 * their own with two bodies (atomic_fetch.bpf.c, atomic_plain.bpf.c), and the loader links the one that the kernel takes.
 */
#ifndef TRACER_ATOMIC_H
#define TRACER_ATOMIC_H

#include <tracer/hit.h>

INTERNAL u64 fetch_add(u64 *value, u64 amount);
INTERNAL u64 fetch_or(u64 *value, u64 bits);
INTERNAL u64 exchange(u64 *value, u64 new_value);

#endif
