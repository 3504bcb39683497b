/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A kernel for the tests: its types, whose description clang writes, and its memory, which clang lays out. So what the filters
 * find is compared with what a compiler made of the same declarations.
 */
typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;

#define NULL ((void *)0)
#define BE16(number) ((__be16)__builtin_bswap16(number))
#define BE32(number) ((__be32)__builtin_bswap32(number))

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be16 u6_addr16[8];
		__be32 u6_addr32[4];
	} in6_u;
};

struct in_addr {
	__be32 s_addr;
};

struct ns_common {
	void *stashed;
	unsigned int inum;
};

struct net {
	__u64 cookie;
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

enum reg_state {
	NETREG_UNINITIALIZED = 0,
	NETREG_REGISTERED = 1,
	NETREG_UNREGISTERED = 3,
};

enum verdict {
	VERDICT_ERROR = -1,
	VERDICT_NONE = 0,
	VERDICT_MAX = 0x7fffffff,
};

/* Names that no member's type has. */
enum {
	TCP_ESTABLISHED = 1,
	TCP_LISTEN = 10,
} states;

struct rtnl_link_ops {
	const char *kind;
};

struct queue {
	__u32 id;
	__s32 backlog;
};

struct net_device {
	char name[16];
	int ifindex;
	const unsigned char *dev_addr;
	__u8 perm_addr[8];
	possible_net_t nd_net;
	enum reg_state reg_state : 8;
	_Bool dismantle;
	const struct rtnl_link_ops *rtnl_link_ops;
	struct queue *tx;
	struct queue **all;
	struct net_device *upper;
	struct hidden *private;
	/* Defined by a module. */
	struct secret *secret;
	int flexible[];
};

struct sock_common {
	union {
		struct {
			__be32 skc_daddr;
			__be32 skc_rcv_saddr;
		};
		__u64 skc_addrpair;
	};
	__be16 skc_dport;
	__u16 skc_num;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in_addr plain;
	const struct in6_addr *router;
};

struct sock {
	struct sock_common __sk_common;
	void *sk_user_data;
};

struct tcp_sock {
	struct sock sk;
	__u32 snd_cwnd;
	__s32 rtt;
};

struct nf_conn {
	__u32 mark;
	char name[16];
};

struct control {
	__u16 length;
	__be16 port;
	__s64 when;
};

struct sk_buff {
	union {
		struct {
			struct sk_buff *next;
			struct sk_buff *prev;
		};
		__u64 pair[2];
	};
	union {
		struct net_device *dev;
		unsigned long dev_scratch;
	};
	struct sock *sk;
	char cb[48];
	unsigned long _nfct;
	unsigned int len;
	unsigned int data_len;
	__u16 mac_len;
	__be16 protocol;
	__u8 cloned : 1;
	__u8 nohdr : 1;
	__u8 fclone : 2;
	__u8 pkt_type : 3;
	_Bool flag;
	__s8 tiny;
	char letter;
	int skb_iif;
	/* Marks where a group of members begins, as in 5.10. */
	__u32 headers_start[0];
	__u32 mark;
	__s32 least;
	__u32 across : 5;
	__u32 wide : 13;
	__s32 signed_bits : 7;
	__u32 rest : 7;
	__u64 large;
	__s64 low;
	enum verdict verdict;
	__be64 cookie;
	struct {
		__u8 first;
		__u64 crossing : 40;
		__s64 crossing_signed : 21;
	} __attribute__((packed)) odd;
	struct queue queues[3];
	double ratio;
};

static const unsigned char address[6] = { 0x02, 0, 0xab, 0xcd, 0xef, 0x01 };
static const struct rtnl_link_ops ops = { .kind = "veth" };
static const struct rtnl_link_ops no_ops = { .kind = "" };
static const struct in6_addr router = { { .u6_addr8 = { 0xfe, 0x80, [15] = 1 } } };
struct net home = { .cookie = 7, .ns = { .inum = 4026531840u } };
struct queue queues[2] = { { 1, -1 }, { 2, -2147483648 } };
struct queue *all_queues[3] = { &queues[1], NULL, &queues[0] };
struct nf_conn connection = { .mark = 0x80000000, .name = "0123456789abcdef" };
struct control control;

struct net_device lower = {
	.name = "eth0",
	.ifindex = 3,
	.dev_addr = address,
	.perm_addr = { 1, 2, 3, 4, 5, 6, 7, 8 },
	.nd_net = { &home },
	.reg_state = NETREG_REGISTERED,
	.dismantle = 1,
	.rtnl_link_ops = &ops,
	.tx = queues,
	.all = all_queues,
	/* Not mapped. */
	.upper = (struct net_device *)0xdead0000,
	.private = (struct hidden *)0xdead0000,
	.secret = (struct secret *)queues,
	.flexible = { 10, 20, -30 },
};

struct tcp_sock stream = {
	.sk = { .__sk_common = {
		.skc_daddr = BE32(0x0a000001),
		.skc_rcv_saddr = BE32(0xc0a80001),
		.skc_dport = BE16(443),
		.skc_num = 51000,
		.skc_state = TCP_LISTEN,
		.skc_net = { &home },
		.skc_v6_daddr = { { .u6_addr8 = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } } },
		.plain = { BE32(0x7f000001) },
		.router = &router,
	} },
	.snd_cwnd = 10,
	.rtt = -5,
};

struct net_device nameless = { .name = "", .ifindex = -1, .rtnl_link_ops = &no_ops };
struct net_device longest = { .name = "abcdefghijklmno" };

/* On its way out of `eth0`. */
struct sk_buff packet = {
	.next = NULL,
	.dev = &lower,
	.sk = &stream.sk,
	.cb = { 0x39, 0x05, 0x00, 0x50, [8] = -2, -1, -1, -1, -1, -1, -1, -1 },
	.len = 1500,
	.data_len = 0xffffffff,
	.mac_len = 14,
	.protocol = BE16(0x0800),
	.cloned = 1,
	.nohdr = 0,
	.fclone = 2,
	.pkt_type = 7,
	.flag = 1,
	.tiny = -128,
	.letter = 'x',
	.skb_iif = -1,
	.mark = 0x80000001,
	.least = -2147483648,
	.across = 31,
	.wide = 4097,
	.signed_bits = -64,
	.rest = 5,
	.large = 0xfffffffffffffffeULL,
	.low = -9223372036854775807LL - 1,
	.verdict = VERDICT_ERROR,
	.cookie = __builtin_bswap64(0x1122334455667788ULL),
	.odd = { 0xff, 0xa5a5a5a5a5ULL, -1048576 },
	.queues = { { 5, -5 }, { 6, -6 }, { 7, -7 } },
};

/* Of no device and no socket. */
struct sk_buff lonely = { .len = 40 };

/* Where UDP keeps something else in the place of the device. */
struct sk_buff queued = { .prev = &packet, .dev_scratch = 0x12345, .sk = &stream.sk };

struct sk_buff anonymous = { .dev = &nameless };
struct sk_buff named_long = { .dev = &longest };
/* The lowest bits of the pointer to the connection say what state it is in. */
struct sk_buff tracked = { ._nfct = (unsigned long)((char *)&connection + 2) };
