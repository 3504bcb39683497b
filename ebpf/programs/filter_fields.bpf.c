// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The metadata filters. The loader puts the generated one in place of the last function's body. */
#include <tracer/filter.h>

__noinline int filter_metadata(u32 slot, u32 filter, u64 packet)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);

	return scratch ? filter_fields(scratch->skb, packet, filter) : 0;
}

INTERNAL int filter_fields(const void *skb, u64 packet, u64 filter)
{
	return packet == filter;
}
