/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_SKB_EVENT_H
#define TRACER_SKB_EVENT_H

enum skb_section {
	SKB_PACKET = 0,
	SKB_VLAN,
	SKB_META,
	SKB_DATAREF,
	SKB_GSO,
};

/* The bytes of the packet follow, as many as the section has. */
struct skb_packet_event {
	/* Bytes of the whole packet from the MAC header on, without the header that stands in for a missing one. */
	__u32 length;
	/* The packet has no Ethernet header: a zeroed one with this type (network byte order) belongs in front. 0: it has. */
	__be16 ethertype;
	__u16 padding;
};

struct skb_vlan_event {
	/* network byte order */
	__be16 proto;
	/* host byte order */
	__u16 tci;
};

struct skb_meta_event {
	__u32 len;
	__u32 data_len;
	__u32 hash;
	__u32 csum;
	__u32 priority;
	__u32 mark;
	__u8 ip_summed;
	__u8 csum_level;
	__u16 padding;
};

struct skb_dataref_event {
	__u8 nohdr;
	__u8 cloned;
	__u8 fclone;
	__u8 padding;
	__u32 users;
	/* As the kernel has it: all references below, those to the payload alone in the upper half. */
	__u32 dataref;
};

struct skb_gso_event {
	__u8 flags;
	__u8 frags;
	__u16 size;
	__u16 segs;
	__u16 padding;
	__u32 type;
};

#endif
