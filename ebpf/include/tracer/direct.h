/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading packets for packet filters. A helper takes longer to be called than to read; where the kernel lets programs load from any
 * address that they give a type to (6.2, with a JIT compiler), objects that were compiled with DIRECT_READS are linked, which do without.
 * Such a load gives 0 where there is no memory. The others don't even mention that function: a kernel that does not compile programs
 * refuses them for it.
 */
#ifndef TRACER_DIRECT_H
#define TRACER_DIRECT_H

#include <tracer/hit.h>

#ifdef DIRECT_READS

/* For the verifier only: the call becomes a move. */
extern void *bpf_rdonly_cast(const void *object, u32 type) __ksym;

/* The packet's `sk_buff`: itself, or as much of it as the engine has copied, which is `head` at least. */
static __always_inline const struct sk_buff *places_of(u64 packet, struct scratch *scratch)
{
	return bpf_rdonly_cast((void *)packet, bpf_core_type_id_kernel(struct sk_buff));
}

/* A struct that is nothing but words, more than a window has. */
static __always_inline const u64 *words_at(u64 address)
{
	return bpf_rdonly_cast((void *)address, bpf_core_type_id_kernel(struct pt_regs));
}

/* As words, because from 6.17 on what is loaded as a pointer is memory, with which nothing can be calculated. 0: it can't be read. */
static __always_inline u64 head_of(u64 packet)
{
	return *words_at(packet + bpf_core_field_offset(struct sk_buff, head));
}

static __always_inline u64 data_of(u64 packet, struct scratch *scratch)
{
	return *words_at(packet + bpf_core_field_offset(struct sk_buff, data));
}

/*
 * Fills a window in which nothing has been put yet from the packet's memory. What is there behind the packet's end is read, too: there is
 * always more (`skb_shared_info`) than the window could reach. False: it could not be read, or not in this way.
 */
static __always_inline bool copy_whole_window(struct packet_view *view)
{
	const u64 *from = words_at(view->start);
	u64 *to = (void *)view->window, first = from[0], second = from[1];

	to[0] = first;
	to[1] = second;
#pragma unroll
	for (int i = 2; i < FILTER_WINDOW / sizeof(*to); i++)
		to[i] = from[i];
	/* No packet begins with so many zeros, but for addresses of Ethernet; what can't be read does. */
	return first | second;
}

#else

static __always_inline const struct sk_buff *places_of(u64 packet, struct scratch *scratch)
{
	return (void *)scratch->skb;
}

static __always_inline u64 head_of(u64 packet)
{
	return 0;
}

static __always_inline u64 data_of(u64 packet, struct scratch *scratch)
{
	return (u64)((struct sk_buff *)scratch->skb)->data;
}

static __always_inline bool copy_whole_window(struct packet_view *view)
{
	return false;
}

#endif

#endif
