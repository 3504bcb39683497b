/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_OVS_EVENT_H
#define TRACER_OVS_EVENT_H

enum ovs_section {
	OVS_ACTION = 0,
	OVS_LOOKUP,
	OVS_UPCALL,
	OVS_ENQUEUE,
	OVS_RETURN,
	OVS_VPORT_RECEIVE,
	OVS_VPORT_SEND,
	OVS_RECEIVED,
	OVS_FLOW_PUT,
	OVS_FLOW_EXECUTE,
};

/* In which form the content of an action follows, when it is not as it stands in the kernel. */
enum ovs_action_form {
	/* struct ovs_conntrack_action */
	OVS_FORM_CONNTRACK = 1,
	/* struct ovs_tunnel_action */
	OVS_FORM_TUNNEL,
};

/* An action is about to be executed. What it carries follows. */
struct ovs_action_event {
	/* The upcall whose answer this is; 0: none. */
	__u64 upcall_id;
	__u32 queue_id;
	__u32 recirc_id;
	/* The kernel's number for the action. */
	__u16 type;
	/* Bytes that it carries; not all may follow. */
	__u16 length;
	/* enum ovs_action_form, or 0 */
	__u32 form;
};

/* What follows for an action on the connection: of the kernel's struct what users know. */
struct ovs_conntrack_action {
	__u16 zone;
	/* The family of the addresses, as in AF_INET. */
	__u16 family;
	__u8 commit;
	__u8 force;
	/* 1: NAT; 2: of the source; 4: of the destination. */
	__u8 nat;
	__u8 padding;
	/* As in `enum nf_nat_range_flags` (NF_NAT_RANGE_...). */
	__u32 range_flags;
	__u32 mark;
	__u32 mark_mask;
	__u8 labels[16];
	__u8 labels_mask[16];
	/* In the byte order of the network. */
	__u8 min_address[16];
	__u8 max_address[16];
	__be16 min_port;
	__be16 max_port;
	__u8 helper[16];
	__u8 timeout[32];
};

/* What follows for an action that sets a tunnel: where it leads to. Addresses and ports in the byte order of the network. */
struct ovs_tunnel_action {
	__u8 tunnel_id[8];
	__u8 source[16];
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u8 tos;
	__u8 ttl;
	/* The addresses are of IPv6. */
	__u8 ipv6;
	__u8 padding;
};

#define OVS_LENGTH_UNKNOWN 0xffffffffU

/* The flow table has been searched. */
struct ovs_lookup_event {
	/* 0: nothing was found. */
	__u64 flow;
	__u64 actions;
	__u32 ufid[4];
	/* Masks that were tried, and hits of the cache of masks. */
	__u32 mask_hits;
	__u32 cache_hits;
	/* Bytes of its actions; OVS_LENGTH_UNKNOWN: they could not be read. */
	__u32 actions_length;
	__u32 padding;
};

/* A packet is about to be handed to ovs-vswitchd. */
struct ovs_upcall_event {
	__u64 upcall_id;
	/* The netlink port of the socket. */
	__u32 port;
	__u32 cpu;
	/* OVS_PACKET_CMD_... */
	__u8 command;
	__u8 padding[7];
};

/* It, or one of its segments, has been queued; or not. */
struct ovs_enqueue_event {
	__u64 upcall_id;
	/* When the upcall began, ns. */
	__u64 upcall_timestamp;
	__u32 upcall_cpu;
	__u32 port;
	__u32 queue_id;
	__s32 result;
	__u8 command;
	__u8 padding[7];
};

struct ovs_return_event {
	__u64 upcall_id;
	__u64 upcall_timestamp;
	__u32 upcall_cpu;
	__s32 result;
	__u8 command;
	__u8 padding[7];
};

/* ovs-vswitchd has received an upcall. */
struct ovs_received_event {
	__u64 upcall_id;
	/* When the batch began, ns. */
	__u64 batch_timestamp;
	__u64 key_size;
	/* 0: no flow fits it; 1: an action says so. */
	__u32 type;
	__u32 packet_size;
	__u32 queue_id;
	/* The place in the batch. */
	__u32 batch_index;
};

/* It is about to put a flow for it, or to execute it. */
struct ovs_operation_event {
	__u64 upcall_id;
	__u64 batch_timestamp;
	__u32 queue_id;
	__u32 batch_index;
};

struct ovs_vport_event {
	__u32 port;
	__u8 name[16];
	__u8 datapath[16];
};

#endif
