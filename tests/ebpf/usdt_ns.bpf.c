// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Takes the place of the hook of `ns`: all arguments of USDT probes, and what the third one points to. */
#include <tracer/usdt.h>

/* The number of `ns`. */
const volatile u8 own_number;
/* Probes that the test knows. */
const volatile u32 first_mark;
const volatile u32 second_mark;

struct usdt_arguments {
	/* 1: the first one, 2: the second one, 0: another one. */
	u64 which;
	/* A bit for each argument that could be read. */
	u64 readable;
	u64 arguments[12];
	u8 memory[16];
};

HOOK(ns)
{
	struct usdt_arguments *section = append(hit, own_number, 0, sizeof(*section));

	if (!section)
		return 0;
	section->which = is_probe(hit, first_mark) ? 1 : is_probe(hit, second_mark) ? 2 : 0;
	section->readable = 0;
#pragma unroll
	for (int i = 0; i < 12; i++) {
		u64 value = 0;

		if (read_usdt_argument(hit, i, &value))
			section->readable |= 1 << i;
		section->arguments[i] = value;
	}
	if (bpf_probe_read_user(section->memory, sizeof(section->memory), (void *)section->arguments[2]))
		__builtin_memset(section->memory, 0, sizeof(section->memory));
	return 0;
}
