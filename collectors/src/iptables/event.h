/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_IPTABLES_EVENT_H
#define TRACER_IPTABLES_EVENT_H

enum iptables_section { IPTABLES_DROP = 0 };

struct iptables_event {
	/* NFPROTO_*, in linux/netfilter.h: 2 is IPv4, 10 is IPv6. */
	__u8 family;
	/* enum nf_inet_hooks, in linux/netfilter.h. */
	__u8 hook;
	__u8 padding[6];
	/* XT_TABLE_MAXNAMELEN bytes; the name ends with a zero byte. */
	__u8 table[32];
};

#endif
