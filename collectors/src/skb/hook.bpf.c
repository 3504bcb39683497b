// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>

#include <tracer/packet.h>

#include <bpf/bpf_endian.h>

#include "event.h"

/* Most bytes of a packet that are recorded. */
const volatile u32 snaplen = 255;

/* Sections besides the packet itself, one bit for each `enum skb_section`. */
const volatile u32 skb_sections;

/* What stands in front of a packet's bytes. */
#define PACKET_HEADERS (sizeof(struct section_header) + sizeof(struct skb_packet_event))

/*
 * Copies up to `size` bytes of kernel memory into the packet section that begins `at` bytes from the start of the event,
 * behind those it has already, but no more than `want` in all. False: that failed, and copying is over.
 *
 * How many bytes there are so far is kept in the section: about memory in a map the verifier assumes nothing, so that all the
 * ways to get there look alike to it from then on. It does not see either that what is there and what comes stay within
 * `snaplen` together, only that each does: the collector asks for twice the room.
 */
static __always_inline bool copy_into(u8 *event, u32 at, const void *from, u32 size, u32 want)
{
	struct section_header *section = (void *)(event + at);
	u32 done, room;

	done = section->size;
	room = want - done;
	if (size > room)
		size = room;
	barrier_var(size);
	if (done > snaplen || size > snaplen)
		return false;
	if (bpf_probe_read_kernel(event + at + PACKET_HEADERS + done, size, from))
		return false;
	section->size = done + size;
	return true;
}

/*
 * The next three are global functions, which take plain numbers only: the verifier goes through such a function once, not once
 * for every call in every state. `slot` says which scratch memory holds the event.
 */
__noinline int copy_buffer(u32 slot, u32 at, u64 from, u32 size, u32 want)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);

	if (!scratch || at > EVENT_FIXED_SIZE - PACKET_HEADERS)
		return 0;
	return copy_into(scratch->event, at, (void *)from, size, want);
}

/* Copies the bytes of the page fragment that is described at `element`. */
__noinline int copy_fragment(u32 slot, u32 at, u64 element, u32 want)
{
	u64 from = fragment_address(element);
	u32 size = fragment_size(element);
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);

	/* Last of all: up to 6.1 the verifier forgets the limit of a number that is put on the stack. */
	barrier_var(at);
	if (!from || !scratch || at > EVENT_FIXED_SIZE - PACKET_HEADERS)
		return 0;
	return copy_into(scratch->event, at, (void *)from, size, want);
}

/* Data outside the linear part: page fragments first, then the buffers of the fragment list, each with fragments of its own. */
__noinline int copy_paged(u32 slot, u32 at, u64 shared_info, u32 want)
{
	struct skb_shared_info *shared = (void *)shared_info;
	u64 fragment = (u64)&shared->frags, end = fragment + BPF_CORE_READ(shared, nr_frags) * FRAGMENT_SIZE;
	struct sk_buff *listed = BPF_CORE_READ(shared, frag_list);

	for (int piece = 0; piece < MAX_PIECES; piece++) {
		if (fragment != end) {
			if (!copy_fragment(slot, at, fragment, want))
				return 0;
			fragment += FRAGMENT_SIZE;
		} else if (listed) {
			u32 linear = BPF_CORE_READ(listed, len) - BPF_CORE_READ(listed, data_len);

			if (!copy_buffer(slot, at, (u64)BPF_CORE_READ(listed, data), linear, want))
				return 0;
			shared = (void *)(BPF_CORE_READ(listed, head) + BPF_CORE_READ(listed, end));
			fragment = (u64)&shared->frags;
			end = fragment + BPF_CORE_READ(shared, nr_frags) * FRAGMENT_SIZE;
			listed = BPF_CORE_READ(listed, next);
		} else {
			return 0;
		}
	}
	return 0;
}

static __always_inline void append_packet(struct hit *hit, const struct sk_buff *skb)
{
	u32 data = skb->data - skb->head, tail = skb->tail, at = hit->length, start, want, done;
	struct section_header *section;
	struct skb_packet_event *event;
	u16 ethertype = 0;

	start = ethernet_header(skb, hit->address, data, tail);
	if (start == HEADER_UNSET) {
		start = skb->network_header;
		ethertype = skb->protocol;
		/* Too early on its way out: there are no headers yet. */
		if (!start || start == HEADER_UNSET || start >= tail)
			return;
	}
	/* What follows this section may use the rest: the memory is larger than EVENT_FIXED_SIZE by what packets take. */
	if (at > EVENT_FIXED_SIZE - PACKET_HEADERS) {
		incomplete(hit);
		return;
	}
	section = (void *)(hit->event + at);
	section->collector = COLLECTOR_SKB;
	section->kind = SKB_PACKET;
	section->padding = 0;
	section->size = 0;
	event = (void *)(section + 1);
	event->length = want = skb->len + data - start;
	event->padding = 0;
	if (want > snaplen)
		want = snaplen;
	if (!copy_into(hit->event, at, skb->head + start, tail - start, want)) {
		incomplete(hit);
		return;
	}
	if (skb->data_len && section->size < want) {
		copy_paged(hit->slot, at, (u64)(skb->head + skb->end), want);
		if (section->size < want)
			incomplete(hit);
	}
	if (start == skb->network_header && !ethertype) {
		/* The protocol is set a little later than the header. */
		u8 version = *(u8 *)(event + 1) >> 4;

		ethertype = version == 4 ? bpf_htons(ETH_P_IP) : version == 6 ? bpf_htons(ETH_P_IPV6) : 0;
	}
	event->ethertype = ethertype;
	done = section->size;
	if (done > snaplen)
		return;
	section->size = sizeof(*event) + done;
	hit->length = at + PACKET_HEADERS + done;
}

static __always_inline void append_vlan(struct hit *hit, const struct sk_buff *skb)
{
	struct skb_vlan_event *event;

	if (!has_vlan_tag(skb))
		return;
	event = append(hit, COLLECTOR_SKB, SKB_VLAN, sizeof(*event));
	if (!event)
		return;
	event->proto = skb->vlan_proto;
	event->tci = skb->vlan_tci;
}

static __always_inline void append_meta(struct hit *hit, const struct sk_buff *skb)
{
	struct skb_meta_event *event = append(hit, COLLECTOR_SKB, SKB_META, sizeof(*event));

	if (!event)
		return;
	event->len = skb->len;
	event->data_len = skb->data_len;
	event->hash = skb->hash;
	event->csum = skb->csum;
	event->priority = skb->priority;
	event->mark = skb->mark;
	event->ip_summed = BPF_CORE_READ_BITFIELD(skb, ip_summed);
	event->csum_level = BPF_CORE_READ_BITFIELD(skb, csum_level);
	event->padding = 0;
}

static __always_inline void append_dataref(struct hit *hit, const struct sk_buff *skb)
{
	struct skb_dataref_event *event = append(hit, COLLECTOR_SKB, SKB_DATAREF, sizeof(*event));
	struct skb_shared_info *shared = (void *)(skb->head + skb->end);

	if (!event)
		return;
	event->nohdr = BPF_CORE_READ_BITFIELD(skb, nohdr);
	event->cloned = BPF_CORE_READ_BITFIELD(skb, cloned);
	event->fclone = BPF_CORE_READ_BITFIELD(skb, fclone);
	event->padding = 0;
	event->users = skb->users.refs.counter;
	if (bpf_core_read(&event->dataref, sizeof(event->dataref), &shared->dataref.counter))
		take_back(hit, sizeof(*event));
}

static __always_inline void append_gso(struct hit *hit, const struct sk_buff *skb)
{
	struct skb_shared_info *shared = (void *)(skb->head + skb->end);
	struct skb_gso_event *event;
	u16 size = 0;
	long error;

	if (bpf_core_read(&size, sizeof(size), &shared->gso_size)) {
		incomplete(hit);
		return;
	}
	if (!size)
		return;
	event = append(hit, COLLECTOR_SKB, SKB_GSO, sizeof(*event));
	if (!event)
		return;
	event->size = size;
	event->padding = 0;
	if (bpf_core_field_exists(shared->flags))
		error = bpf_core_read(&event->flags, sizeof(event->flags), &shared->flags);
	else
		error = bpf_core_read(&event->flags, sizeof(event->flags), &shared->tx_flags);
	error |= bpf_core_read(&event->frags, sizeof(event->frags), &shared->nr_frags);
	error |= bpf_core_read(&event->segs, sizeof(event->segs), &shared->gso_segs);
	error |= bpf_core_read(&event->type, sizeof(event->type), &shared->gso_type);
	if (error)
		take_back(hit, sizeof(*event));
}

HOOK(skb)
{
	const struct sk_buff *skb = hit->skb;

	if (!skb)
		return 0;
	append_vlan(hit, skb);
	if (skb_sections & 1 << SKB_META)
		append_meta(hit, skb);
	if (skb_sections & 1 << SKB_DATAREF)
		append_dataref(hit, skb);
	if (skb_sections & 1 << SKB_GSO)
		append_gso(hit, skb);
	append_packet(hit, skb);
	return 0;
}
