// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>

#include <bpf/bpf_endian.h>

#include "event.h"

/* Most bytes of a packet that are recorded. */
const volatile u32 snaplen = 255;

/* Sections besides the packet itself, one bit for each `enum skb_section`. */
const volatile u32 skb_sections;

/* Where the kernel keeps the base addresses that lead from a page to its memory; 0: unknown, paged data is left out. */
volatile u64 vmemmap_base_at;
volatile u64 page_offset_base_at;

#define ETHERNET_HEADER 14
#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define PAGE_SHIFT 12
#define MAX_FRAGS 17
/* Buffers of a fragment list that are looked into. */
#define MAX_LISTED 4
#define HEADER_UNSET 0xffff

/* Bytes on their way into the event. */
struct copy {
	u8 *to;
	u32 done;
	u32 want;
};

/*
 * Copies up to `size` bytes from kernel memory behind what was copied before. False: that failed, and copying is over.
 *
 * The verifier does not see that `done` and `size` together stay within `snaplen`, only that each does: the collector asks
 * for twice the room.
 */
static __always_inline bool copy_bytes(struct copy *copy, const void *from, u32 size)
{
	u32 done = copy->done, room = copy->want - done;

	if (size > room)
		size = room;
	if (done > snaplen || size > snaplen || bpf_probe_read_kernel(copy->to + done, size, from))
		return false;
	copy->done = done + size;
	return true;
}

/* The memory of a page, 0 when it has no address or it can't be told. */
static __always_inline u64 page_address(u64 page)
{
	u64 vmemmap_base = 0, page_offset_base = 0;

	/* A set lowest bit says that this is device memory. */
	if (!page || page & 1 || !vmemmap_base_at || !page_offset_base_at)
		return 0;
	if (bpf_probe_read_kernel(&vmemmap_base, sizeof(vmemmap_base), (void *)vmemmap_base_at) ||
	    bpf_probe_read_kernel(&page_offset_base, sizeof(page_offset_base), (void *)page_offset_base_at))
		return 0;
	return page_offset_base + ((page - vmemmap_base) / bpf_core_type_size(struct page) << PAGE_SHIFT);
}

static __noinline int copy_fragments(struct copy *copy, struct skb_shared_info *shared)
{
	u8 count = 0;

	if (!copy || bpf_core_read(&count, sizeof(count), &shared->nr_frags))
		return 0;
	for (u32 i = 0; i < MAX_FRAGS; i++) {
		/* Both kinds of element have 16 bytes. */
		void *element = (void *)&shared->frags + i * 16;
		u32 offset, size;
		u64 page;

		if (i >= count || copy->done >= copy->want)
			break;
		if (bpf_core_type_exists(struct skb_frag)) {
			struct skb_frag *fragment = element;

			page = BPF_CORE_READ(fragment, netmem);
			offset = BPF_CORE_READ(fragment, offset);
			size = BPF_CORE_READ(fragment, len);
		} else {
			struct bio_vec *fragment = element;

			page = (u64)BPF_CORE_READ(fragment, bv_page);
			offset = BPF_CORE_READ(fragment, bv_offset);
			size = BPF_CORE_READ(fragment, bv_len);
		}
		page = page_address(page);
		if (!page || !copy_bytes(copy, (void *)(page + offset), size))
			return 0;
	}
	return 1;
}

/* Data outside the linear part: page fragments first, then the buffers of the fragment list. */
static __noinline int copy_paged(struct copy *copy, struct skb_shared_info *shared)
{
	struct sk_buff *listed = NULL;

	if (!copy || !copy_fragments(copy, shared) || bpf_core_read(&listed, sizeof(listed), &shared->frag_list))
		return 0;
	for (int i = 0; i < MAX_LISTED; i++) {
		unsigned char *data;
		u32 linear;

		if (!listed || copy->done >= copy->want)
			break;
		data = BPF_CORE_READ(listed, data);
		linear = BPF_CORE_READ(listed, len) - BPF_CORE_READ(listed, data_len);
		if (!copy_bytes(copy, data, linear))
			return 0;
		if (!copy_fragments(copy, (void *)(BPF_CORE_READ(listed, head) + BPF_CORE_READ(listed, end))))
			return 0;
		listed = BPF_CORE_READ(listed, next);
	}
	return 0;
}

/*
 * The valid MAC header of an Ethernet packet, as offset from `head`; HEADER_UNSET when there is none. A header behind the
 * data is a leftover: the packet was put into a tunnel since. `skb->mac_len` says nothing about transmitted packets.
 */
static __always_inline u32 ethernet_header(const struct sk_buff *skb, u32 data)
{
	u32 mac = skb->mac_header, network = skb->network_header;
	unsigned short type = 0;

	if (mac == HEADER_UNSET || mac > data || mac == network || mac + ETHERNET_HEADER > skb->tail)
		return HEADER_UNSET;
	if (network == mac + ETHERNET_HEADER || data == mac + ETHERNET_HEADER)
		return mac;
	if (skb->dev && bpf_core_read(&type, sizeof(type), &skb->dev->type))
		return HEADER_UNSET;
	return !skb->dev || type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK ? mac : HEADER_UNSET;
}

static __always_inline void append_packet(struct hit *hit, const struct sk_buff *skb)
{
	u32 data = skb->data - skb->head, tail = skb->tail, start, linear;
	struct skb_packet_event *event;
	struct copy copy = {};
	u16 ethertype = 0;

	start = ethernet_header(skb, data);
	if (start == HEADER_UNSET) {
		start = skb->network_header;
		ethertype = skb->protocol;
		/* Too early on its way out: there are no headers yet. */
		if (!start || start == HEADER_UNSET || start >= tail)
			return;
	}

	/* What follows this section may use the rest: the memory is larger than EVENT_FIXED_SIZE by `snaplen`. */
	if (hit->length > EVENT_FIXED_SIZE - sizeof(struct section_header) - sizeof(*event)) {
		incomplete(hit);
		return;
	}
	event = append(hit, COLLECTOR_SKB, SKB_PACKET, sizeof(*event));
	if (!event)
		return;
	event->length = skb->len + data - start;
	event->padding = 0;
	copy.to = (void *)(event + 1);
	copy.want = event->length;
	if (copy.want > snaplen)
		copy.want = snaplen;
	linear = tail - start;
	if (!copy_bytes(&copy, skb->head + start, linear)) {
		take_back(hit, sizeof(*event));
		return;
	}
	if (copy.done < copy.want && skb->data_len) {
		copy_paged(&copy, (void *)(skb->head + skb->end));
		if (copy.done < copy.want)
			incomplete(hit);
	}
	if (start == skb->network_header && !ethertype) {
		/* The protocol is set a little later than the header. */
		u8 version = *copy.to >> 4;

		ethertype = version == 4 ? bpf_htons(ETH_P_IP) : version == 6 ? bpf_htons(ETH_P_IPV6) : 0;
	}
	event->ethertype = ethertype;
	((struct section_header *)event - 1)->size += copy.done;
	hit->length += copy.done;
}

static __always_inline void append_vlan(struct hit *hit, const struct sk_buff *skb)
{
	struct skb_vlan_event *event;
	bool present;

	if (bpf_core_field_exists(skb->vlan_all))
		present = skb->vlan_all;
	else
		present = BPF_CORE_READ_BITFIELD(skb, vlan_present);
	if (!present)
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
