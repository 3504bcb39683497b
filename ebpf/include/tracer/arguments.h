/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For hooks: the arguments of the probed function or tracepoint that their collectors asked for (`Needs::argument`). They are read when
 * an event is built, from where the kernel has put them for the program, so they cost nothing where nobody wants them. That is done by
 * address: hooks are the same code in programs of all types, and for each type the verifier takes something else for the context.
 */
#ifndef TRACER_ARGUMENTS_H
#define TRACER_ARGUMENTS_H

#include <tracer/hit.h>

#include <bpf/bpf_tracing.h>

#define REGISTER_OFFSET(register)                                              \
	__builtin_offsetof(__typeof__(*__PT_REGS_CAST((struct pt_regs *)NULL)), register)

/* Where argument `number` of the function that is being entered is among the registers; only for those that are in one. */
static __always_inline u32 register_offset(u8 number)
{
	switch (number) {
	case 0:
		return REGISTER_OFFSET(__PT_PARM1_REG);
	case 1:
		return REGISTER_OFFSET(__PT_PARM2_REG);
	case 2:
		return REGISTER_OFFSET(__PT_PARM3_REG);
	case 3:
		return REGISTER_OFFSET(__PT_PARM4_REG);
	case 4:
		return REGISTER_OFFSET(__PT_PARM5_REG);
#if REGISTER_ARGUMENTS == 8
	case 5:
		return REGISTER_OFFSET(__PT_PARM6_REG);
	case 6:
		return REGISTER_OFFSET(__PT_PARM7_REG);
	default:
		return REGISTER_OFFSET(__PT_PARM8_REG);
#else
	default:
		return REGISTER_OFFSET(__PT_PARM6_REG);
#endif
	}
}

/* Reads a word that is `offset` bytes from where the stack pointer is at the entry of the function. */
static __always_inline bool read_stack(struct hit *hit, u32 offset, u64 *value)
{
	u64 stack;

	return !bpf_probe_read_kernel(&stack, sizeof(stack), hit->context + REGISTER_OFFSET(__PT_SP_REG)) &&
	       !bpf_probe_read_kernel(value, sizeof(*value), (void *)(stack + offset));
}

/* Whether the probe has the argument of this slot. Not at returns: registers no longer hold it. */
static __always_inline bool has_argument(struct hit *hit, u32 slot)
{
	return slot < ARGUMENT_SLOTS && !hit->is_return && hit->probe->arguments[slot] != NO_ARGUMENT;
}

/* Reads the argument of a slot, which the probe must have. What is above its own size is undefined. False: it can't be read. */
static __always_inline bool read_argument(struct hit *hit, u32 slot, u64 *value)
{
	u8 number = slot < ARGUMENT_SLOTS ? hit->probe->arguments[slot] : NO_ARGUMENT;
	u32 offset;

	if (hit->probe->flags & PROBE_TRACEPOINT)
		offset = number * sizeof(u64);
	else if (number < REGISTER_ARGUMENTS)
		offset = register_offset(number);
	else
		return read_stack(hit, STACK_ARGUMENTS + (number - REGISTER_ARGUMENTS) * sizeof(u64), value);
	return !bpf_probe_read_kernel(value, sizeof(*value), hit->context + offset);
}

/*
 * Reads where the probed function returns to, as it is noted at its entry: in its caller, or in a trampoline, when others
 * probe its return. False: it can't be read, or this is no entry of a function.
 */
static __always_inline bool read_return_address(struct hit *hit, u64 *address)
{
	if (hit->is_return || hit->probe->flags & PROBE_TRACEPOINT)
		return false;
#if STACK_ARGUMENTS
	return read_stack(hit, 0, address);
#else
	return !bpf_probe_read_kernel(address, sizeof(*address), hit->context + REGISTER_OFFSET(__PT_RET_REG));
#endif
}

#endif
