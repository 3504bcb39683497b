// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tracepoints. A program that reads more arguments than a tracepoint has cannot be attached to it, so there is one program
 * for each number of arguments to read; the loader takes the smallest that reaches what it needs.
 */
#include <tracer/engine.h>

#define MAX_ARGUMENTS 6

/* The kernel gives raw tracepoint programs cookies (6.10). Where not, each tracepoint has a copy of the program. */
const volatile bool has_tracepoint_cookies;

/* Not `const volatile` data, because copies of a program share their data. */
static __always_inline u64 own_index(void)
{
	u64 index;

	asm volatile("%0 = %1 ll" : "=r"(index) : "i"(INDEX_MARK));
	return index;
}

static __always_inline u64 pick(const u64 *arguments, u8 number)
{
	for (u8 i = 0; i < MAX_ARGUMENTS; i++)
		if (number == i)
			return arguments[i];
	return 0;
}

static __always_inline int tracepoint(struct bpf_raw_tracepoint_args *context, const u64 *arguments)
{
	u64 index = has_tracepoint_cookies ? bpf_get_attach_cookie(context) : own_index();
	struct hit hit = {};

	if (!configure(&hit, index) || !hit.probe)
		return 0;
	hit.context = context;
	if (hit.probe->packet_argument != NO_ARGUMENT) {
		find_packet(&hit, pick(arguments, hit.probe->packet_argument));
	} else {
		hit.device_argument = (void *)pick(arguments, hit.probe->device_argument);
		hit.namespace_argument = (void *)pick(arguments, hit.probe->namespace_argument);
	}
	return process(&hit);
}

#define TRACEPOINT(count)                                                      \
	SEC("raw_tp")                                                          \
	int raw_tracepoint_##count(struct bpf_raw_tracepoint_args *context)    \
	{                                                                      \
		u64 arguments[MAX_ARGUMENTS] = {};                             \
									       \
		if (!enabled)                                                  \
			return 0;                                              \
		for (int i = 0; i < count; i++)                                \
			arguments[i] = context->args[i];                       \
		return tracepoint(context, arguments);                         \
	}

TRACEPOINT(0)
TRACEPOINT(1)
TRACEPOINT(2)
TRACEPOINT(3)
TRACEPOINT(4)
TRACEPOINT(5)
TRACEPOINT(6)
