/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading a function call at its entry. */
#ifndef TRACER_CALL_H
#define TRACER_CALL_H

#include <tracer/engine.h>

#include <bpf/bpf_tracing.h>

/* Keeps the compiler from making one load of several, at an address that it computes: the verifier wants fixed offsets. */
#define KEPT_APART(register)                                                   \
	({                                                                     \
		u64 value_ = register;                                         \
		barrier_var(value_);                                           \
		value_;                                                        \
	})

/* Argument `number` of the function that is being entered; only integers and pointers are counted, as BTF does. */
static __always_inline u64 argument(struct pt_regs *regs, u8 number)
{
	u64 value = 0;

	switch (number) {
	case 0:
		return KEPT_APART(PT_REGS_PARM1(regs));
	case 1:
		return KEPT_APART(PT_REGS_PARM2(regs));
	case 2:
		return KEPT_APART(PT_REGS_PARM3(regs));
	case 3:
		return KEPT_APART(PT_REGS_PARM4(regs));
	case 4:
		return KEPT_APART(PT_REGS_PARM5(regs));
	case 5:
		return KEPT_APART(PT_REGS_PARM6(regs));
#if REGISTER_ARGUMENTS == 8
	case 6:
		return KEPT_APART(PT_REGS_PARM7(regs));
	case 7:
		return KEPT_APART(PT_REGS_PARM8(regs));
#endif
	case NO_ARGUMENT:
		return 0;
	}
	bpf_probe_read_kernel(&value, sizeof(value),
			      (void *)(PT_REGS_SP(regs) + STACK_ARGUMENTS + (number - REGISTER_ARGUMENTS) * 8));
	return value;
}

/* Fills in what the entry of a function says about the hit. False: this is no probe of ours. */
static __always_inline int at_entry(struct hit *hit, struct pt_regs *regs, bool of_return_probe)
{
	u64 index;

	if (has_cookies) {
		index = bpf_get_attach_cookie(regs);
	} else {
		/* A kprobe program sees the address behind the first byte of the function. */
		u64 address = PT_REGS_IP(regs) - 1;

		index = index_at(of_return_probe ? address & ~RETURN_ADDRESS_BIT : address);
	}
	if (!configure(hit, index) || !hit->probe)
		return 0;
	hit->context = regs;
	if (hit->probe->packet_argument != NO_ARGUMENT) {
		find_packet(hit, argument(regs, hit->probe->packet_argument));
		if (hit->probe && hit->probe->socket_argument != NO_ARGUMENT)
			hit->socket_argument = (void *)argument(regs, hit->probe->socket_argument);
	} else {
		hit->device_argument = (void *)argument(regs, hit->probe->device_argument);
		hit->namespace_argument = (void *)argument(regs, hit->probe->namespace_argument);
	}
	return 1;
}

#endif
