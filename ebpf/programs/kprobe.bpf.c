// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Entries of functions. */
#include <tracer/call.h>

static __always_inline int function_entry(struct pt_regs *regs)
{
	struct hit hit = {};

	if (!enabled || !at_entry(&hit, regs, false))
		return 0;
	return process(&hit);
}

SEC("kprobe")
int kprobe_single(struct pt_regs *regs)
{
	return function_entry(regs);
}

SEC("kprobe.multi")
int kprobe_multi(struct pt_regs *regs)
{
	return function_entry(regs);
}
