/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The types of the kernel's datapath that are read; relocated against those of its module. */
#ifndef TRACER_OVS_DATAPATH_H
#define TRACER_OVS_DATAPATH_H

#include <tracer/kernel.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct datapath {
	struct hlist_head *ports;
	u32 user_features;
};

struct vport {
	struct net_device *dev;
	struct datapath *dp;
	u16 port_no;
	struct hlist_node dp_hash_node;
};

struct sw_flow_key {
	struct {
		u16 in_port;
	} phy;
	u32 recirc_id;
};

struct sw_flow_id {
	u32 ufid_len;
	u32 ufid[4];
};

struct sw_flow_actions {
	u32 actions_len;
};

struct sw_flow {
	struct sw_flow_id id;
	struct sw_flow_actions *sf_acts;
};

struct dp_upcall_info {
	u32 portid;
	u8 cmd;
};

struct nlattr {
	__u16 nla_len;
	__u16 nla_type;
};

struct genl_info {
	struct nlattr **attrs;
};

struct nf_conntrack_zone {
	u16 id;
};

struct nf_conntrack_helper {
	char name[16];
};

struct md_mark {
	u32 value;
	u32 mask;
};

struct ovs_key_ct_labels {
	__u8 ct_labels[16];
};

struct md_labels {
	struct ovs_key_ct_labels value;
	struct ovs_key_ct_labels mask;
};

union nf_inet_addr {
	__u32 all[4];
};

union nf_conntrack_man_proto {
	__be16 all;
};

struct nf_nat_range2 {
	unsigned int flags;
	union nf_inet_addr min_addr;
	union nf_inet_addr max_addr;
	union nf_conntrack_man_proto min_proto;
	union nf_conntrack_man_proto max_proto;
};

struct ovs_conntrack_info {
	struct nf_conntrack_helper *helper;
	struct nf_conntrack_zone zone;
	u8 commit : 1;
	u8 nat : 3;
	u8 force : 1;
	u16 family;
	struct md_mark mark;
	struct md_labels labels;
	char timeout[32];
	struct nf_nat_range2 range;
};

struct ip_tunnel_key {
	u64 tun_id;
	union {
		struct {
			__be32 src;
			__be32 dst;
		} ipv4;
		struct {
			struct in6_addr src;
			struct in6_addr dst;
		} ipv6;
	} u;
	__u8 tos;
	__u8 ttl;
	__be16 tp_src;
	__be16 tp_dst;
};

struct ip_tunnel_info {
	struct ip_tunnel_key key;
	u8 mode;
};

struct metadata_dst {
	union {
		struct ip_tunnel_info tun_info;
	} u;
};

struct ovs_tunnel_info {
	struct metadata_dst *tun_dst;
};

#pragma clang attribute pop

#endif
