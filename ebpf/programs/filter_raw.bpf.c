// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The packet filters for packets that begin with an IP header. The loader puts the generated one in place of the body. */
#include <tracer/load.h>

INTERNAL int filter_raw(struct packet_view *view, u64 filter)
{
	return load(view, filter, filter);
}
