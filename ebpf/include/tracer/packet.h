/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the headers and the bytes of a packet are. */
#ifndef TRACER_PACKET_H
#define TRACER_PACKET_H

#include <bpf/bpf_endian.h>
#include <tracer/hit.h>

#define ETHERNET_HEADER 14
#define ETHERTYPE_OFFSET 12
#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define PAGE_SHIFT 12
/* Fragments and listed buffers that are looked at: all that an sk_buff holds, and some of a list. */
#define MAX_PIECES 24
/* Both kinds of page fragment have this size. */
#define FRAGMENT_SIZE 16
#define HEADER_UNSET 0xffff

/* Where the kernel keeps the base addresses that lead from a page to its memory; 0: unknown, paged data is left out. */
extern volatile u64 vmemmap_base_at;
extern volatile u64 page_offset_base_at;

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

/* Where the bytes of the page fragment are that is described at `element`, 0 when it can't be told. */
static __always_inline u64 fragment_address(u64 element)
{
	u64 page;

	if (bpf_core_type_exists(struct skb_frag)) {
		struct skb_frag *fragment = (void *)element;

		page = page_address(BPF_CORE_READ(fragment, netmem));
		return page ? page + BPF_CORE_READ(fragment, offset) : 0;
	} else {
		struct bio_vec *fragment = (void *)element;

		page = page_address((u64)BPF_CORE_READ(fragment, bv_page));
		return page ? page + BPF_CORE_READ(fragment, bv_offset) : 0;
	}
}

static __always_inline u32 fragment_size(u64 element)
{
	if (bpf_core_type_exists(struct skb_frag))
		return BPF_CORE_READ((struct skb_frag *)element, len);
	return BPF_CORE_READ((struct bio_vec *)element, bv_len);
}

/* Whether the device of the packet, if it has one, is one whose packets begin with an Ethernet header. */
static __always_inline bool is_on_ethernet(u64 packet)
{
	struct net_device *device = NULL;
	unsigned short type = 0;

	if (bpf_core_read(&device, sizeof(device), &((struct sk_buff *)packet)->dev) ||
	    (device && bpf_core_read(&type, sizeof(type), &device->type)))
		return false;
	return !device || type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK;
}

/*
 * The valid MAC header of an Ethernet packet, as offset from `head`; HEADER_UNSET when there is none. A header behind the
 * data is a leftover: the packet was put into a tunnel since. `skb->mac_len` says nothing about transmitted packets.
 * `skb` is the `sk_buff` at address `packet`, or a copy of what is from `len` to `data` in it, which is where `data` and `tail` come from.
 */
static __always_inline u32 ethernet_header(const struct sk_buff *skb, u64 packet, u32 data, u32 tail)
{
	u32 mac = skb->mac_header, network = skb->network_header;

	if (mac == HEADER_UNSET || mac > data || mac == network || mac + ETHERNET_HEADER > tail)
		return HEADER_UNSET;
	if (network == mac + ETHERNET_HEADER || data == mac + ETHERNET_HEADER)
		return mac;
	/* An IP header that is not behind it: what stood between has been taken out (ESP), and the headers behind were moved. */
	if (network > mac) {
		unsigned char *head = NULL;
		__be16 ethertype = 0;

		bpf_core_read(&head, sizeof(head), &((struct sk_buff *)packet)->head);
		bpf_probe_read_kernel(&ethertype, sizeof(ethertype), head + mac + ETHERTYPE_OFFSET);
		if (ethertype == bpf_htons(ETH_P_IP) || ethertype == bpf_htons(ETH_P_IPV6))
			return HEADER_UNSET;
	}
	return is_on_ethernet(packet) ? mac : HEADER_UNSET;
}

/* Whether there is a VLAN tag beside the packet's bytes. */
static __always_inline bool has_vlan_tag(const struct sk_buff *skb)
{
	if (bpf_core_field_exists(skb->vlan_all))
		return skb->vlan_all;
	return BPF_CORE_READ_BITFIELD(skb, vlan_present);
}

#endif
