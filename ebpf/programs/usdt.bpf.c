// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * USDT probes. libbpf finds them in files, attaches to them, and writes down in a map where their arguments are: in registers, in memory,
 * or nowhere, being constants.
 *
 * Kernels before 6.15 may run another task, and another one of these programs, in the middle of this one. Nothing here or behind process() is
 * the CPU's alone, except for a slot of scratch memory that was claimed.
 */
#include <tracer/engine.h>
#include <tracer/preemption.h>
#include <tracer/usdt.h>

#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

static __noinline int usdt_hit(struct pt_regs *regs)
{
	int number = bpf_get_attach_cookie(regs);
	const struct __bpf_usdt_spec *spec;
	struct hit hit = {};

	if (!enabled)
		return 0;
	spec = bpf_map_lookup_elem(&__bpf_usdt_specs, &number);
	if (!spec || !configure(&hit, spec->usdt_cookie) || !hit.probe)
		return 0;
	hit.context = regs;
	hit.usdt = spec;
	return process(&hit);
}

SEC("usdt")
int usdt_probe(struct pt_regs *regs)
{
	keep_cpu();
	usdt_hit(regs);
	leave_cpu();
	return 0;
}

/* Reads a register. `offset` is where it is in the context; the verifier does not know it. */
static __always_inline bool read_register(struct hit *hit, u32 offset, u64 *value)
{
	return offset <= sizeof(*__PT_REGS_CAST((struct pt_regs *)NULL)) - sizeof(*value) &&
	       !bpf_probe_read_kernel(value, sizeof(*value), hit->context + offset);
}

/* libbpf has this as bpf_usdt_arg(), which takes the context as only programs of this type have it. */
INTERNAL int read_usdt_argument(struct hit *hit, u32 number, u64 *value)
{
	const struct __bpf_usdt_arg_spec *argument;
	u64 read = 0, index = 0;

	if (!value || !hit->usdt || number >= BPF_USDT_MAX_ARG_CNT)
		return 0;
	barrier_var(number);
	if (number >= hit->usdt->arg_cnt)
		return 0;
	argument = &hit->usdt->args[number];
	if (argument->arg_type == BPF_USDT_ARG_CONST) {
		read = argument->val_off;
	} else {
		if (!read_register(hit, argument->reg_off, &read))
			return 0;
		if (argument->arg_type == BPF_USDT_ARG_SIB && !read_register(hit, argument->idx_reg_off, &index))
			return 0;
		if (argument->arg_type != BPF_USDT_ARG_REG) {
			read += (index << argument->scale_bitshift) + argument->val_off;
			if (bpf_probe_read_user(&read, sizeof(read), (void *)read))
				return 0;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
			read >>= argument->arg_bitshift;
#endif
		}
	}
	read <<= argument->arg_bitshift;
	*value = argument->arg_signed ? (u64)((s64)read >> argument->arg_bitshift) : read >> argument->arg_bitshift;
	return 1;
}
