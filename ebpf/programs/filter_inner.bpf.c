// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a packet to the one that is inside it, in a tunnel. */
#include <tracer/load.h>
#include <tracer/packet.h>
#include <tracer/window.h>

/* Types of what follows an Ethernet header, or a header that speaks in the same numbers. */
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ETH_P_QINQ1 0x9100
#define ETH_P_TEB 0x6558
#define ETH_P_ERSPAN 0x88be
#define ETH_P_ERSPAN2 0x22eb

/* Types of what follows an IP header: all are below 256, and those above from 1536 on, so that one number serves for both. */
#define IPPROTO_HOPOPTS 0
#define IPPROTO_IPIP 4
#define IPPROTO_UDP 17
#define IPPROTO_IPV6 41
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_GRE 47
#define IPPROTO_DSTOPTS 60

#define VLAN_TAG 4
#define IPV6_HEADER 40
#define FRAGMENT_HEADER 8
#define UDP_HEADER 8
#define VXLAN_HEADER 8
#define GENEVE_HEADER 8
#define GUE_HEADER 4
#define GRE_HEADER 4

/* As many as are looked through. */
#define MAX_VLAN_TAGS 3
#define MAX_EXTENSIONS 4

/* The first four bytes of VXLAN: there is a network number; the last byte says what follows (VXLAN-GPE). */
#define VXLAN_HAS_NUMBER 0x08000000
#define VXLAN_HAS_PROTOCOL 0x04000000

/* The first four bytes of GRE: parts of the header that may be missing, and what only other versions have. */
#define GRE_CHECKSUM 0x80000000
#define GRE_KEY 0x20000000
#define GRE_SEQUENCE 0x10000000
#define GRE_UNKNOWN 0x40070000

/* Sized and filled by the loader: UDP ports of tunnels, and what is in the datagrams to them (`enum tunnel_kind`). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} tunnel_ports SEC(".maps");

/* Where a header begins and of which type it is. */
struct header {
	u32 offset;
	/* NOTHING, where there is none. */
	u32 type;
};

#define NOTHING 0xffffffff

/* The number of `size` bytes at an offset of the packet; all bits are set when it has no such bytes. */
__noinline u64 number_at(u32 slot, u32 offset, u32 size)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);
	u64 at = offset;
	u32 value;

	if (!scratch)
		return OUT_OF_RANGE;
	/* Not all of what is in the window is in the packet's memory. */
	if (at + size <= scratch->view.window_length) {
		/* For the verifier: up to 6.1 it would look at a copy of the number. */
		barrier_var(at);
		if (at <= FILTER_WINDOW - sizeof(value)) {
			__builtin_memcpy(&value, scratch->view.window + at, sizeof(value));
			return bpf_ntohl(value) >> (32 - 8 * size);
		}
	}
	return load(&scratch->view, offset, size);
}

/* What is behind the headers of Ethernet and IP. */
static __always_inline struct header transport_header(u32 slot, u32 kind)
{
	struct header none = { .type = NOTHING }, header = { .offset = 0 };

	if (kind == PACKET_ETHERNET) {
		header.type = number_at(slot, ETHERNET_HEADER - 2, 2);
		header.offset = ETHERNET_HEADER;
		/* Here and below: calls in a loop are jumps back for the verifiers up to 6.1. */
#pragma unroll
		for (u32 tag = 0; tag < MAX_VLAN_TAGS; tag++) {
			if (header.type != ETH_P_8021Q && header.type != ETH_P_8021AD && header.type != ETH_P_QINQ1)
				break;
			header.offset += VLAN_TAG;
			header.type = number_at(slot, header.offset - 2, 2);
		}
	} else {
		header.type = number_at(slot, 0, 1) >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	}
	if (header.type == ETH_P_IP) {
		u32 size = number_at(slot, header.offset, 1) - 0x40;

		/* Only the first fragment has what is looked for. */
		if (size < 5 || size > 15 || number_at(slot, header.offset + 6, 2) & 0x1fff)
			return none;
		header.type = number_at(slot, header.offset + 9, 1);
		header.offset += size * 4;
		return header;
	}
	if (header.type != ETH_P_IPV6)
		return none;
	header.type = number_at(slot, header.offset + 6, 1);
	header.offset += IPV6_HEADER;
#pragma unroll
	for (u32 extension = 0; extension < MAX_EXTENSIONS; extension++) {
		u32 first;

		if (header.type != IPPROTO_HOPOPTS && header.type != IPPROTO_ROUTING && header.type != IPPROTO_DSTOPTS &&
		    header.type != IPPROTO_FRAGMENT)
			break;
		first = number_at(slot, header.offset, 4);
		if (header.type != IPPROTO_FRAGMENT)
			header.offset += ((first >> 16 & 0xff) + 1) * 8;
		else if (first & 0xfff8)
			return none;
		else
			header.offset += FRAGMENT_HEADER;
		header.type = first >> 24;
	}
	return header;
}

static __always_inline bool is_packet(u32 type)
{
	return type == ETH_P_TEB || type == ETH_P_IP || type == ETH_P_IPV6;
}

/* What is behind the UDP header at `offset` and the header of the tunnel, if it is one. */
static __always_inline struct header behind_udp(u32 slot, u32 offset)
{
	u32 port = number_at(slot, offset + 2, 2), first = number_at(slot, offset + UDP_HEADER, 4);
	u32 *tunnel = bpf_map_lookup_elem(&tunnel_ports, &port), kind;
	struct header header = { .offset = offset + UDP_HEADER, .type = NOTHING };

	if (!tunnel)
		return header;
	kind = *tunnel;
	/* Where VXLAN has the type of a packet in these bits, another bit says that it is none of Geneve's versions. */
	if (kind == TUNNEL_UNKNOWN)
		kind = !(first >> 30) && is_packet(first & 0xffff) ? TUNNEL_GENEVE : TUNNEL_VXLAN;
	/* A GUE of version 1 is nothing but a packet of IP. */
	if (kind == TUNNEL_GUE && first >> 30 == 1)
		kind = TUNNEL_FOU;
	if (kind == TUNNEL_VXLAN && first & VXLAN_HAS_NUMBER) {
		u32 protocol = first & VXLAN_HAS_PROTOCOL ? first & 0xff : 3;

		header.offset += VXLAN_HEADER;
		if (protocol == 1)
			header.type = ETH_P_IP;
		else if (protocol == 2)
			header.type = ETH_P_IPV6;
		else if (protocol == 3)
			header.type = ETH_P_TEB;
	} else if (kind == TUNNEL_GENEVE && !(first >> 30)) {
		header.offset += GENEVE_HEADER + (first >> 24) * 4;
		header.type = first & 0xffff;
	} else if (kind == TUNNEL_FOU) {
		u32 version = first >> 28;

		header.type = version == 4 ? IPPROTO_IPIP : version == 6 ? IPPROTO_IPV6 : IPPROTO_GRE;
	} else if (kind == TUNNEL_GUE && !(first >> 29)) {
		header.offset += GUE_HEADER + (first >> 24) * 4;
		header.type = first >> 16 & 0xff;
	}
	return header;
}

/* What is behind the GRE header at `offset`. */
static __always_inline struct header behind_gre(u32 slot, u32 offset)
{
	u32 first = number_at(slot, offset, 4);
	struct header header = { .offset = offset + GRE_HEADER, .type = first & 0xffff };

	if (first & GRE_UNKNOWN)
		header.type = NOTHING;
	if (first & GRE_CHECKSUM)
		header.offset += 4;
	if (first & GRE_KEY)
		header.offset += 4;
	if (first & GRE_SEQUENCE)
		header.offset += 4;
	/* ERSPAN: without a sequence number there is no header either; that of its version 3 may have a second part. */
	if (header.type == ETH_P_ERSPAN) {
		header.type = ETH_P_TEB;
		if (first & GRE_SEQUENCE)
			header.offset += 8;
	} else if (header.type == ETH_P_ERSPAN2) {
		header.type = ETH_P_TEB;
		header.offset += number_at(slot, header.offset + 8, 4) & 1 ? 20 : 12;
	}
	return header;
}

/* Takes the first `offset` bytes off the view. False: there is nothing behind them. */
__noinline int take_off(u32 slot, u32 offset)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);
	struct packet_view *view;

	if (!scratch || offset >= scratch->view.length)
		return false;
	view = &scratch->view;
	view->start += offset;
	view->length -= offset;
	view->wire_length = view->length;
	if (offset > view->linear) {
		view->fragments_from += offset - view->linear;
		view->linear = 0;
	} else {
		view->linear -= offset;
	}
	fill_window(view, 0);
	return true;
}

__noinline int enter_inner(u32 slot, u32 kind)
{
	struct header inner = transport_header(slot, kind);

	if (inner.type == IPPROTO_UDP)
		inner = behind_udp(slot, inner.offset);
	if (inner.type == IPPROTO_GRE)
		inner = behind_gre(slot, inner.offset);
	if (inner.type != IPPROTO_IPIP && inner.type != IPPROTO_IPV6 && !is_packet(inner.type))
		return PACKET_HEADLESS;
	if (!take_off(slot, inner.offset))
		return PACKET_HEADLESS;
	return inner.type == ETH_P_TEB ? PACKET_ETHERNET : PACKET_RAW;
}
