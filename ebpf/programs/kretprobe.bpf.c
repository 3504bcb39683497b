// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Returns of functions. Registers no longer hold the arguments at a return, so the call is remembered at its entry, under a
 * key of its own; that is also what tells nested calls apart.
 */
#include <tracer/call.h>
#include <tracer/atomic.h>

/* 6.10 and later; later ones want the context as well. */
extern bool bpf_session_is_return(void) __ksym __weak;
extern __u64 *bpf_session_cookie(void) __ksym __weak;
extern bool bpf_session_is_return___context(void *context) __ksym __weak;
extern __u64 *bpf_session_cookie___context(void *context) __ksym __weak;

static u64 next_call = 1;

static __always_inline int function_return(struct pt_regs *regs, u64 key)
{
	struct hit hit = {};

	if (!enabled || !recall(&hit, key))
		return 0;
	hit.timestamp = bpf_ktime_get_ns();
	hit.context = regs;
	hit.returned = PT_REGS_RC(regs);
	return process(&hit);
}

/* Without sessions: a live call is known by where its return address is on the stack. */
SEC("kprobe")
int kretprobe_entry(struct pt_regs *regs)
{
	struct hit hit = {};

	if (!enabled || !at_entry(&hit, regs))
		return 0;
	remember_call(&hit, PT_REGS_SP(regs));
	return 0;
}

SEC("kretprobe")
int kretprobe_single(struct pt_regs *regs)
{
	/* The return address has been taken off the stack. */
	return function_return(regs, PT_REGS_SP(regs) - STACK_ARGUMENTS);
}

SEC("kprobe.session")
int kretprobe_session(struct pt_regs *regs)
{
	struct hit hit = {};
	bool is_return;
	u64 *cookie;

	if (bpf_ksym_exists(bpf_session_is_return___context)) {
		is_return = bpf_session_is_return___context(regs);
		cookie = bpf_session_cookie___context(regs);
	} else {
		is_return = bpf_session_is_return();
		cookie = bpf_session_cookie();
	}
	if (is_return)
		return function_return(regs, *cookie);
	/* 1: the return of this call is of no interest. */
	if (!enabled || !at_entry(&hit, regs))
		return 1;
	*cookie = fetch_add(&next_call, 1);
	return !remember_call(&hit, *cookie);
}
