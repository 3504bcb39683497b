/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What generated packet filters call. It stands in the same object as they, in front of them: so the call needs no relocation.
 */
#ifndef TRACER_LOAD_H
#define TRACER_LOAD_H

#include <tracer/filter.h>

#include <bpf/bpf_endian.h>

/* The number of `size` bytes (1, 2 or 4), in network byte order, that begins at an offset of the packet; or OUT_OF_RANGE. */
static __attribute__((noinline, used)) u64 load(struct packet_view *view, u64 offset, u64 size)
{
	u32 value = 0;

	if (offset + size > view->length)
		return OUT_OF_RANGE;
	if (offset + size <= view->linear) {
		if (bpf_probe_read_kernel(&value, sizeof(value), (void *)(view->start + offset)))
			goto unreadable;
		return bpf_ntohl(value) >> (32 - 8 * size);
	}
	/* No loop: up to 6.1 the kernel takes a call in one for a jump back, depending on how it is laid out. */
#pragma unroll
	for (u32 i = 0; i < sizeof(value); i++) {
		u64 at = offset + i, from;
		u8 byte = 0;

		if (i >= size)
			break;
		from = at < view->linear ? view->start + at : paged_address(view->skb, at - view->linear + view->fragments_from);
		if (!from || bpf_probe_read_kernel(&byte, sizeof(byte), (void *)from))
			goto unreadable;
		value = value << 8 | byte;
	}
	return value;
unreadable:
	view->unreadable++;
	return OUT_OF_RANGE;
}

#endif
