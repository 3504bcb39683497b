// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a packet to what a packet filter sees of it. */
#include <tracer/direct.h>
#include <tracer/filter.h>
#include <tracer/packet.h>
#include <tracer/window.h>

#include <bpf/bpf_endian.h>

#define ETHERNET_ADDRESSES 12
#define VLAN_TAG 4
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define TCP_TIME_WAIT 6
#define TCP_NEW_SYN_RECV 12
#define PORTS 4

/* The headers of IP, as they are built from a socket; what is not known of them is 0. */
struct ipv4_header {
	u8 version;
	u8 tos;
	__be16 length;
	u32 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6_header {
	u8 version;
	u8 flow[3];
	__be16 payload_length;
	u8 protocol;
	u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
};

/* A packet that can be in a packet, in a packet, in a packet. */
#define MAX_INNER 3

/* Longest beginning of a packet that is not in its memory: an IPv6 header and ports. */
#define MAX_PREFIX 44

__noinline u64 paged_address(u64 packet, u32 offset)
{
	struct sk_buff *skb = (void *)packet, *listed;
	struct skb_shared_info *shared = (void *)(BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end));
	u64 fragment = (u64)&shared->frags, end = fragment + BPF_CORE_READ(shared, nr_frags) * FRAGMENT_SIZE;

	listed = BPF_CORE_READ(shared, frag_list);
	for (int piece = 0; piece < MAX_PIECES; piece++) {
		u64 from;
		u32 size;

		if (fragment != end) {
			from = fragment_address(fragment);
			size = fragment_size(fragment);
			fragment += FRAGMENT_SIZE;
		} else if (listed) {
			from = (u64)BPF_CORE_READ(listed, data);
			size = BPF_CORE_READ(listed, len) - BPF_CORE_READ(listed, data_len);
			shared = (void *)(BPF_CORE_READ(listed, head) + BPF_CORE_READ(listed, end));
			fragment = (u64)&shared->frags;
			end = fragment + BPF_CORE_READ(shared, nr_frags) * FRAGMENT_SIZE;
			listed = BPF_CORE_READ(listed, next);
		} else {
			return 0;
		}
		if (offset < size)
			return from ? from + offset : 0;
		offset -= size;
	}
	return 0;
}

/*
 * Too early on its way out: there is no header of IP yet. It is built from the socket and stands in front of the transport
 * header, or of the ports alone when there is no such header either. Returns its size, 0: nothing is known. A global function, because
 * what it reads would take room on the stack from those that are called later.
 */
__noinline int header_from_socket(u32 slot, u64 owner, u32 payload, u32 has_transport)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);
	struct sock *socket = (void *)owner;
	struct sock_common *common = &socket->__sk_common;
	u32 protocol = IPPROTO_TCP, size;
	struct packet_view *view;
	struct ipv4_header *ipv4;
	struct ipv6_header *ipv6;
	__be16 *ports;
	u16 family = 0;
	u8 state = 0;

	if (!socket || !scratch)
		return 0;
	view = &scratch->view;
	ipv4 = (void *)view->window;
	ipv6 = (void *)view->window;
	ports = (void *)view->window;
	if (bpf_core_read(&family, sizeof(family), &common->skc_family) ||
	    bpf_core_read(&state, sizeof(state), &common->skc_state)) {
		view->unreadable++;
		return 0;
	}
	/* These are smaller structs, and always TCP's. */
	if (state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV)
		protocol = BPF_CORE_READ(socket, sk_protocol);
	/* An IPv6 socket that speaks IPv4 has both kinds of addresses. */
	if (family == AF_INET6 && BPF_CORE_READ(common, skc_v6_daddr.in6_u.u6_addr32[2]) == bpf_htonl(0xffff) &&
	    !BPF_CORE_READ(common, skc_v6_daddr.in6_u.u6_addr32[1]) && !BPF_CORE_READ(common, skc_v6_daddr.in6_u.u6_addr32[0]))
		family = AF_INET;
	__builtin_memset(view->window, 0, MAX_PREFIX);
	if (family == AF_INET) {
		size = sizeof(*ipv4);
		ipv4->version = 0x45;
		ipv4->length = bpf_htons(size + payload);
		ipv4->protocol = protocol;
		ipv4->source = BPF_CORE_READ(common, skc_rcv_saddr);
		ipv4->destination = BPF_CORE_READ(common, skc_daddr);
		ports += sizeof(*ipv4) / 2;
	} else if (family == AF_INET6) {
		size = sizeof(*ipv6);
		ipv6->version = 0x60;
		ipv6->payload_length = bpf_htons(payload);
		ipv6->protocol = protocol;
		BPF_CORE_READ_INTO(&ipv6->source, common, skc_v6_rcv_saddr.in6_u.u6_addr32);
		BPF_CORE_READ_INTO(&ipv6->destination, common, skc_v6_daddr.in6_u.u6_addr32);
		ports += sizeof(*ipv6) / 2;
	} else {
		return 0;
	}
	if (has_transport)
		return size;
	ports[0] = bpf_htons(BPF_CORE_READ(common, skc_num));
	ports[1] = BPF_CORE_READ(common, skc_dport);
	return size + PORTS;
}

/* Finds out how the packet begins, and makes the view of it. */
static __always_inline enum packet_kind view_packet(struct scratch *scratch, u32 slot, u64 packet, u32 flags, u64 socket)
{
	const struct sk_buff *skb = places_of(packet, scratch);
	struct packet_view *view = &scratch->view;
	u64 head = (u64)((struct sk_buff *)scratch->skb)->head;
	u32 data = data_of(packet, scratch) - head;
	u32 tail = skb->tail, start = ethernet_header(skb, packet, data, tail), prefix = 0;
	enum packet_kind kind = PACKET_ETHERNET;

	view->skb = packet;
	view->fragments_from = 0;
	view->unreadable = 0;
	if (start == HEADER_UNSET) {
		start = skb->network_header;
		if (!start || start == HEADER_UNSET || start >= tail) {
			start = skb->transport_header;
			bool has_transport = start != HEADER_UNSET && start >= data && start < tail;

			/* What waits in a socket's queue to be sent belongs to it without saying so. */
			prefix = header_from_socket(slot, (u64)BPF_CORE_READ((struct sk_buff *)packet, sk) ?: socket,
						    skb->len + (has_transport ? data - start : PORTS), has_transport);
			if (!prefix)
				return PACKET_HEADLESS;
			kind = PACKET_RAW;
			if (!has_transport) {
				/* Where in the packet its bytes will be is not known. */
				view->wire_length = skb->len + prefix;
				view->start = 0;
				view->linear = view->length = view->window_length = prefix;
				return kind;
			}
		} else if (!skb->protocol || skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6)) {
			kind = PACKET_RAW;
		} else {
			/* ARP and its like have no meaning without the type: an Ethernet header without addresses stands in. */
			__builtin_memset(view->window, 0, ETHERNET_ADDRESSES);
			*(__be16 *)(view->window + ETHERNET_ADDRESSES) = skb->protocol;
			prefix = ETHERNET_HEADER;
		}
	}
	view->wire_length = skb->len + data - start + prefix;
	view->length = view->wire_length;
	view->linear = tail - start + prefix;
	view->start = head + start - prefix;
	if (kind == PACKET_ETHERNET && !prefix && flags & PROBE_FILTER_VLAN && has_vlan_tag(skb)) {
		/* The length is what the kernel says it is, for the filters of packet sockets, too. */
		if (bpf_probe_read_kernel(view->window, ETHERNET_ADDRESSES, (void *)view->start)) {
			view->unreadable++;
			return PACKET_HEADLESS;
		}
		*(__be16 *)(view->window + ETHERNET_ADDRESSES) = skb->vlan_proto;
		*(__be16 *)(view->window + ETHERNET_ADDRESSES + 2) = bpf_htons(skb->vlan_tci);
		view->start -= VLAN_TAG;
		view->length += VLAN_TAG;
		view->linear += VLAN_TAG;
		prefix = ETHERNET_ADDRESSES + VLAN_TAG;
	}
	fill_window(view, prefix);
	return kind;
}

/* The filter also looks at the packets inside tunnels. */
const volatile bool filter_inner;

/* Stand-in where inner packets are not looked at. */
__weak int enter_inner(u32 slot, u32 kind)
{
	return PACKET_HEADLESS;
}

static __always_inline int run(struct packet_view *view, u32 filter, enum packet_kind kind)
{
	return kind == PACKET_ETHERNET ? filter_ethernet(view, filter) : filter_raw(view, filter);
}

/* The same as a global function: where a filter runs several times, the verifier goes through it once. */
__noinline int run_filter(u32 slot, u32 filter, u32 kind)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);

	return scratch ? run(&scratch->view, filter, kind) : 0;
}

__noinline int filter_packet(u32 slot, u32 filter, u64 packet, u32 flags, u64 socket)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_memory, &slot);
	enum packet_kind kind;

	if (!scratch)
		return 0;
	kind = view_packet(scratch, slot, packet, flags, socket);
	if (kind == PACKET_HEADLESS)
		return 0;
	if (!filter_inner)
		return run(&scratch->view, filter, kind);
	if (run_filter(slot, filter, kind))
		return 1;
	/* For the verifier, which up to 6.1 takes calls in a loop for jumps back. */
#pragma unroll
	for (u32 level = 0; level < MAX_INNER; level++) {
		kind = enter_inner(slot, kind);
		if (kind == PACKET_HEADLESS)
			return 0;
		if (run_filter(slot, filter, kind))
			return 1;
	}
	return 0;
}
