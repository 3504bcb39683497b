/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For hooks: the arguments of USDT probes. Which there are, and what they mean, is the program's business; they are counted from 0, as
 * where the program is written. What pointers lead to is read with bpf_probe_read_user(), and may be swapped out: then that fails.
 */
#ifndef TRACER_USDT_H
#define TRACER_USDT_H

#include <tracer/hit.h>

/*
 * Reads an argument, extended to 64 bits from the size and sign that it has in the program. False: the probe has no such argument, it can't
 * be read, or this is no USDT probe.
 */
INTERNAL int read_usdt_argument(struct hit *hit, u32 number, u64 *value);

#endif
