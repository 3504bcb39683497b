/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The beginning of a packet, at hand for the packet filters. */
#ifndef TRACER_WINDOW_H
#define TRACER_WINDOW_H

#include <tracer/direct.h>
#include <tracer/filter.h>

/* Copies kernel memory into the window. */
static __always_inline bool copy_to_window(struct packet_view *view, u32 at, u32 size, u64 from)
{
	/* For the verifier: together they stay in the window, which it does not see. */
	barrier_var(at);
	barrier_var(size);
	if (at > FILTER_WINDOW || size > FILTER_WINDOW)
		return false;
	return !bpf_probe_read_kernel(view->window + at, size, (void *)from);
}

/* Fills the window from the packet's memory, behind the `prefix` bytes that are in it. */
static __always_inline void fill_window(struct packet_view *view, u32 prefix)
{
	u32 size = view->length < FILTER_WINDOW ? view->length : FILTER_WINDOW, linear;
	u64 first, last;

	view->window_length = size;
	linear = view->linear < size ? view->linear : size;
	if (linear > prefix && (prefix || !copy_whole_window(view)) &&
	    !copy_to_window(view, prefix, linear - prefix, view->start + prefix)) {
		view->window_length = prefix;
		return;
	}
	if (linear >= size)
		return;
	/* The driver has put next to nothing into the linear part. */
	first = paged_address(view->skb, view->fragments_from);
	last = paged_address(view->skb, view->fragments_from + size - linear - 1);
	if (first && last - first == size - linear - 1 && copy_to_window(view, linear, size - linear, first))
		return;
	for (u32 at = linear; at < FILTER_WINDOW && at < size; at++) {
		u64 from = paged_address(view->skb, view->fragments_from + at - linear);

		if (!from || !copy_to_window(view, at, 1, from)) {
			view->window_length = at;
			return;
		}
	}
}

#endif
