// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a packet to what a metadata filter sees of it. */
#include <tracer/filter.h>

__noinline int filter_metadata(u32 slot, u32 filter, u64 packet)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);

	return scratch ? filter_fields(scratch->skb, packet, filter) : 0;
}
