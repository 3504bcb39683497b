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

/* Calls at one place on the stack, where the kernel does not say whose return it is: the last one to begin returns first. */
#define CALLS_AT_A_PLACE 4

static __always_inline int function_return(struct hit *hit, struct pt_regs *regs)
{
	hit->timestamp = bpf_ktime_get_ns();
	hit->context = regs;
	hit->returned = PT_REGS_RC(regs);
	return process(hit);
}

/* Without sessions: a live call is known by where its return address is on the stack. */
SEC("kprobe")
int kretprobe_entry(struct pt_regs *regs)
{
	struct call_key key = { .place = PT_REGS_SP(regs) };
	struct hit hit = {};

	if (!enabled || !at_entry(&hit, regs, true))
		return 0;
	if (has_cookies) {
		key.which = hit.index;
	} else {
		for (int i = 0; i < CALLS_AT_A_PLACE - 1; i++) {
			if (!is_remembered(&key))
				break;
			key.which++;
		}
	}
	remember_call(&hit, &key, wants_call(&hit));
	return 0;
}

SEC("kretprobe")
int kretprobe_single(struct pt_regs *regs)
{
	/* The return address has been taken off the stack. */
	struct call_key key = { .place = PT_REGS_SP(regs) - STACK_ARGUMENTS };
	struct hit hit = {};

	if (!enabled)
		return 0;
	if (has_cookies) {
		key.which = bpf_get_attach_cookie(regs);
		if (recall(&hit, &key))
			return function_return(&hit, regs);
		count_loss(key.which, LOSS_ENTRY_UNKNOWN);
		return 0;
	}
	for (int i = CALLS_AT_A_PLACE - 1; i >= 0; i--) {
		key.which = i;
		if (recall(&hit, &key))
			return function_return(&hit, regs);
	}
	return 0;
}

SEC("kprobe.session")
int kretprobe_session(struct pt_regs *regs)
{
	struct call_key key = {};
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
	if (is_return) {
		if (!enabled)
			return 0;
		key.place = *cookie;
		if (recall(&hit, &key))
			return function_return(&hit, regs);
		count_loss(bpf_get_attach_cookie(regs), LOSS_ENTRY_UNKNOWN);
		return 0;
	}
	/* 1: the return of this call is of no interest. */
	if (!enabled || !at_entry(&hit, regs, true) || !wants_call(&hit))
		return 1;
	*cookie = key.place = fetch_add(&next_call, 1);
	return !remember_call(&hit, &key, true);
}
