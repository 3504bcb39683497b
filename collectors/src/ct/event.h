/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_CT_EVENT_H
#define TRACER_CT_EVENT_H

enum ct_section {
	/* The connection of the packet, or that which the event is about. */
	CT_CONNECTION = 0,
	/* The connection that the one before came out of. */
	CT_PARENT,
	/* What is known of a packet without a connection. */
	CT_STATE,
	/* What becomes of an entry of the connection table. */
	CT_LIFE,
};

/* `info` of a connection that is not shown as a packet's. */
#define CT_NO_INFO 0xff

enum ct_presence {
	CT_HAS_MARK = 1,
	CT_HAS_LABELS = 2,
};

/* One direction of a connection. */
struct ct_tuple {
	__u8 source[16];
	__u8 destination[16];
	/* Ports, or what stands in their place, in network byte order: of ICMP the id; of GRE the keys. */
	__u16 source_port;
	/* Of ICMP the type and the code, in this order. */
	__u16 destination_port;
	/* NFPROTO_IPV4 or NFPROTO_IPV6 */
	__u16 family;
	__u8 protocol;
	__u8 padding;
};

struct ct_connection_event {
	struct ct_tuple original;
	struct ct_tuple reply;
	/* IPS_* */
	__u64 status;
	__u64 labels[2];
	__u32 mark;
	/* Verification tags of SCTP, by direction, in network byte order. */
	__u32 tags[2];
	__u16 zone;
	/* NF_CT_ZONE_DIR_* */
	__u8 zone_direction;
	/* enum ip_conntrack_info, or CT_NO_INFO */
	__u8 info;
	/* enum tcp_conntrack or sctp_conntrack, as the protocol has it. */
	__u8 protocol_state;
	/* enum ct_presence */
	__u8 presence;
	__u8 padding[6];
};

enum ct_packet_state {
	/* It was to be left alone. */
	CT_UNTRACKED,
	/* It fits no connection, and can't begin one. */
	CT_INVALID,
};

struct ct_state_event {
	/* enum ct_packet_state */
	__u32 state;
};

enum ct_life {
	CT_CREATED = 1,
	CT_CONFIRMED,
	CT_DESTROYED,
};

enum ct_why {
	/* Who takes it from the table says it, if anything does. */
	CT_BY_CALLER,
	/* Its time was up. */
	CT_TIMEOUT,
	/* Another packet of the same connection was faster. */
	CT_CLASH,
	/* Its first packet does not begin a connection. */
	CT_REFUSED,
	/* Its first packet went no further. */
	CT_UNCONFIRMED,
};

struct ct_life_event {
	/* Where the function that takes the entry from the table returns to; 0: not known. */
	__u64 caller;
	/* enum ct_life */
	__u32 event;
	/* enum ct_why */
	__u32 why;
	/* It was asked for through netlink. */
	__u32 by_netlink;
	__u32 padding;
};

#endif
