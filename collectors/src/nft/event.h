/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TRACER_NFT_EVENT_H
#define TRACER_NFT_EVENT_H

enum nft_section {
	NFT_STEP = 0,
	/* Names, which end with a zero byte. */
	NFT_TABLE,
	NFT_CHAIN,
	NFT_TARGET,
};

/* Room for a name: the kernel allows 255 bytes and a zero byte. */
#define NFT_NAME_SIZE 256

/* Among the bits that say which verdicts are wanted, verdict n >= 0 has bit n, verdict n < 0 has bit NFT_OWN_VERDICTS - n. */
#define NFT_OWN_VERDICTS 16

enum nft_flags {
	/* A rule has decided; else it is the end of a chain or a policy. */
	NFT_HAS_RULE = 1,
	NFT_IS_POLICY = 2,
	/* `hook` and `priority` are known. */
	NFT_HAS_BASE = 4,
};

/* A decision on the way of a packet through the rules. */
struct nft_event {
	__u64 table_handle;
	__u64 chain_handle;
	__u64 rule_handle;
	/* The network namespace, 0: not known. */
	__u64 net_cookie;
	__u32 net_inum;
	__s32 verdict;
	/* Of the chain in which the way began. */
	__u32 hook;
	__s32 priority;
	/* Of the table: NFPROTO_... */
	__u32 family;
	/* enum nft_flags */
	__u32 flags;
};

#endif
