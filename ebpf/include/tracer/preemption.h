/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For programs of USDT probes. Kernels that preempt threads anywhere (7.x of many distributions) preempt them in a program, too. When the next
 * thread comes to such a program on that CPU, it runs on the same stack, since 6.13: one for each CPU, which is meant for programs that
 * the kernel does not let run twice at a time, and takes this one for such a program. What is on the stack is then the other thread's.
 * Between these two calls that does not happen. They do nothing before 6.15: until then, no global function may be called in between.
 */
#ifndef TRACER_PREEMPTION_H
#define TRACER_PREEMPTION_H

#include <tracer/kernel.h>

#include <bpf/bpf_helpers.h>

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;
/* Came with 6.15. libbpf takes it for another function unless its argument is a struct. */
struct bpf_res_spin_lock {
	__u32 value;
};
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym __weak;

static __always_inline void keep_cpu(void)
{
	if (bpf_ksym_exists(bpf_res_spin_lock) && bpf_ksym_exists(bpf_preempt_disable))
		bpf_preempt_disable();
}

static __always_inline void leave_cpu(void)
{
	if (bpf_ksym_exists(bpf_res_spin_lock) && bpf_ksym_exists(bpf_preempt_enable))
		bpf_preempt_enable();
}

#endif
