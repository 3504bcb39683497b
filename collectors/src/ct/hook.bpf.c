// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <tracer/collectors.h>
#include <tracer/arguments.h>
#include <tracer/tracking.h>

#include "event.h"

enum sctp_conntrack {
	SCTP_CONNTRACK_NONE,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff___conntrack {
	unsigned long _nfct;
};

union nf_inet_addr {
	__u32 all[4];
};

union nf_conntrack_man_proto {
	__be16 all;
};

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
	u16 l3num;
};

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} u;
		u8 protonum;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct nf_conntrack_zone {
	u16 id;
	u8 dir;
};

struct ip_ct_tcp {
	u8 state;
};

struct ip_ct_sctp {
	enum sctp_conntrack state;
	__be32 vtag[2];
};

union nf_conntrack_proto {
	struct ip_ct_sctp sctp;
	struct ip_ct_tcp tcp;
};

struct nf_ct_ext {
	u8 offset[1];
};

struct nf_conntrack {
	/* Only its place matters. */
};

struct nf_conn {
	struct nf_conntrack ct_general;
	u32 timeout;
	struct nf_conntrack_zone zone;
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	possible_net_t ct_net;
	struct nf_conn *master;
	u32 mark;
	struct nf_ct_ext *ext;
	union nf_conntrack_proto proto;
};

#pragma clang attribute pop

enum nf_ct_ext_id {
	NF_CT_EXT_LABELS = 7,
};

/* enum ip_conntrack_info shares its word with a pointer. */
#define INFO_MASK 7UL
#define INFO_RELATED 1
#define INFO_NEW 2
#define INFO_UNTRACKED 7

/* enum ip_conntrack_status, which programs of users see, too */
#define STATUS_CONFIRMED (1 << 3)
#define STATUS_DYING (1 << 9)
#define STATUS_TEMPLATE (1 << 11)
#define STATUS_ALL 0xffffUL

#define PROTOCOL_TCP 6
#define PROTOCOL_SCTP 132

#define NF_ACCEPT 1

/* A connection is looked at in one piece; 256 bytes on 5.10, 248 later. */
#define CONNECTION_ROOM 320

/* What becomes of entries is told. */
const volatile bool ct_events;

/* Probes that are told from others. At the returns the packet is still there: both functions leave it to their caller. */
const volatile u32 ct_in_entry;
const volatile u32 ct_in_return;
const volatile u32 ct_confirm_entry;
const volatile u32 ct_confirm_return;
const volatile u32 ct_delete_entry;
const volatile u32 ct_destroy_entry;

/* `ct_delete_entry` is the part of that function behind its first condition, which says that the entry goes. */
const volatile bool ct_delete_is_split;

/* Where the arguments of the last two are: `struct nf_conn *`, `struct nf_conntrack *`, and who asked by netlink. */
const volatile u32 ct_connection_argument;
const volatile u32 ct_counted_argument;
const volatile u32 ct_port_argument;

static __always_inline void copy_tuple(struct ct_tuple *to, const struct nf_conntrack_tuple *from)
{
	__builtin_memcpy(to->source, &from->src.u3, sizeof(to->source));
	__builtin_memcpy(to->destination, &from->dst.u3, sizeof(to->destination));
	to->source_port = from->src.u.all;
	to->destination_port = from->dst.u.all;
	to->family = from->src.l3num;
	to->protocol = from->dst.protonum;
	to->padding = 0;
}

static __always_inline void copy_protocol_state(struct ct_connection_event *to, const struct nf_conn *from)
{
	to->protocol_state = 0;
	to->tags[0] = to->tags[1] = 0;
	if (to->original.protocol == PROTOCOL_TCP) {
		to->protocol_state = from->proto.tcp.state;
	} else if (to->original.protocol == PROTOCOL_SCTP && bpf_core_field_exists(from->proto.sctp)) {
		to->protocol_state = from->proto.sctp.state;
		to->tags[0] = from->proto.sctp.vtag[0];
		to->tags[1] = from->proto.sctp.vtag[1];
	}
}

/* Labels are in memory that not every connection has, at a place that is noted there. */
static __always_inline void copy_labels(struct hit *hit, struct ct_connection_event *to, const struct nf_ct_ext *ext)
{
	u8 offset = 0;

	to->labels[0] = to->labels[1] = 0;
	if (!ext || !bpf_core_enum_value_exists(enum nf_ct_ext_id, NF_CT_EXT_LABELS))
		return;
	if (bpf_probe_read_kernel(&offset, sizeof(offset),
				  (void *)ext + bpf_core_field_offset(struct nf_ct_ext, offset) +
					  bpf_core_enum_value(enum nf_ct_ext_id, NF_CT_EXT_LABELS)) ||
	    (offset && bpf_probe_read_kernel(to->labels, sizeof(to->labels), (void *)ext + offset)))
		incomplete(hit);
	else if (offset)
		to->presence |= CT_HAS_LABELS;
}

/* Appends a connection and returns a copy of it, which is good until something else is appended; NULL: there is none to show. */
static __always_inline const struct nf_conn *append_connection(struct hit *hit, u8 kind, const struct nf_conn *from,
							       u8 info)
{
	struct ct_connection_event *to = append(hit, COLLECTOR_CT, kind, sizeof(*to));
	struct nf_conn *copy = to ? room(hit, CONNECTION_ROOM) : NULL;
	u32 size = bpf_core_type_size(struct nf_conn);

	if (size > CONNECTION_ROOM)
		size = CONNECTION_ROOM;
	if (!to)
		return NULL;
	if (!copy || bpf_probe_read_kernel(copy, size, from)) {
		take_back(hit, sizeof(*to));
		return NULL;
	}
	if (copy->status & STATUS_TEMPLATE) {
		retract(hit, sizeof(*to));
		return NULL;
	}
	copy_tuple(&to->original, &copy->tuplehash[0].tuple);
	copy_tuple(&to->reply, &copy->tuplehash[1].tuple);
	to->status = copy->status;
	to->info = info;
	to->presence = 0;
	to->zone = 0;
	to->zone_direction = 0;
	if (bpf_core_field_exists(copy->zone)) {
		to->zone = copy->zone.id;
		to->zone_direction = copy->zone.dir;
	}
	to->mark = 0;
	if (bpf_core_field_exists(copy->mark)) {
		to->mark = copy->mark;
		to->presence |= CT_HAS_MARK;
	}
	copy_protocol_state(to, copy);
	copy_labels(hit, to, copy->ext);
	__builtin_memset(to->padding, 0, sizeof(to->padding));
	return copy;
}

static __always_inline void append_with_parent(struct hit *hit, const struct nf_conn *connection, u8 info)
{
	const struct nf_conn *copy = append_connection(hit, CT_CONNECTION, connection, info);

	/* For other collectors: there is no packet to say so. */
	if (copy && !hit->skb && !hit->namespace_argument)
		hit->namespace_argument = copy->ct_net.net;
	if (copy && copy->master)
		append_connection(hit, CT_PARENT, copy->master, CT_NO_INFO);
}

static __always_inline void append_state(struct hit *hit, u32 state)
{
	struct ct_state_event *event = append(hit, COLLECTOR_CT, CT_STATE, sizeof(*event));

	if (event)
		event->state = state;
}

/* What is remembered, added to the address that it is about: these are multiples of 8. */
enum note_kind {
	/* Of an entry that is not confirmed: the packet that it was made for. */
	NOTE_CREATED,
	/* Of an entry that is being confirmed: the packet that it came with. */
	NOTE_CONFIRMING,
	/* Of a packet: it came to nf_conntrack_in() with an entry that was not confirmed. */
	NOTE_CREATED_BEFORE,
	/* Of a stack: the packet that nf_conntrack_in() is busy with. */
	NOTE_BUSY,
};

struct note {
	/* The packet's number, 0: it is not tracked. */
	u64 number;
	/* Its `sk_buff`. */
	u64 packet;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct note);
} ct_notes SEC(".maps");

/* Stacks of the kernel begin at multiples of their size, or of more. */
#define STACK_SIZE 16384UL

static __always_inline u64 stack_of(struct hit *hit)
{
	u64 stack = 0;

	bpf_probe_read_kernel(&stack, sizeof(stack), hit->context + REGISTER_OFFSET(__PT_SP_REG));
	return stack & ~(STACK_SIZE - 1);
}

static __always_inline void note(struct hit *hit, u64 about, u32 kind)
{
	struct note note = { .number = hit->number, .packet = hit->address };
	u64 key = about | kind;

	bpf_map_update_elem(&ct_notes, &key, &note, BPF_ANY);
}

static __always_inline struct note *find_note(u64 about, u32 kind)
{
	u64 key = about | kind;

	return bpf_map_lookup_elem(&ct_notes, &key);
}

static __always_inline void forget_note(u64 about, u32 kind)
{
	u64 key = about | kind;

	bpf_map_delete_elem(&ct_notes, &key);
}

/* What the packet's `sk_buff` has for a connection, where it can be read. */
static __always_inline unsigned long connection_word(struct hit *hit)
{
	struct sk_buff___conntrack *packet = (void *)hit->address;
	unsigned long word = 0;

	if (hit->skb)
		return ((const struct sk_buff___conntrack *)hit->skb)->_nfct;
	if (!packet || is_probe(hit, ct_destroy_entry) ||
	    (hit->is_return && !is_probe(hit, ct_in_return) && !is_probe(hit, ct_confirm_return)))
		return 0;
	if (bpf_core_read(&word, sizeof(word), &packet->_nfct))
		incomplete(hit);
	return word;
}

static __always_inline unsigned long status_of(u64 connection)
{
	struct nf_conn *entry = (void *)connection;
	unsigned long status = 0;

	bpf_core_read(&status, sizeof(status), &entry->status);
	return status;
}

/* Entries are taken from the table when they are used or looked for after this time, in jiffies. */
static __always_inline bool is_expired(u64 connection)
{
	struct nf_conn *entry = (void *)connection;
	u32 timeout = 0;

	return !bpf_core_read(&timeout, sizeof(timeout), &entry->timeout) && (s32)(timeout - (u32)bpf_jiffies64()) <= 0;
}

/* What happens to an entry at this hit. */
struct life {
	u64 connection;
	/* enum ct_life; 0: nothing. */
	u32 event;
	/* enum ct_why */
	u32 why;
	u32 by_netlink;
};

static __always_inline void see_deletion(struct hit *hit, struct life *life)
{
	unsigned long status;
	u64 port = 0;

	if (!has_argument(hit, ct_connection_argument) ||
	    !read_argument(hit, ct_connection_argument, &life->connection))
		return;
	status = status_of(life->connection);
	/* Nobody describes the arguments of a part. */
	if (!!(status & STATUS_DYING) != ct_delete_is_split || status & ~STATUS_ALL)
		return;
	if (has_argument(hit, ct_port_argument))
		read_argument(hit, ct_port_argument, &port);
	life->event = CT_DESTROYED;
	life->by_netlink = (u32)port != 0;
	if (!life->by_netlink && is_expired(life->connection))
		life->why = CT_TIMEOUT;
}

/* The last reference is gone. Entries that were in the table have been told of before, when they were taken out of it. */
static __always_inline void see_destruction(struct hit *hit, struct life *life)
{
	if (!has_argument(hit, ct_counted_argument) || !read_argument(hit, ct_counted_argument, &life->connection))
		return;
	life->connection -= bpf_core_field_offset(struct nf_conn, ct_general);
	if (status_of(life->connection) & (STATUS_CONFIRMED | STATUS_TEMPLATE))
		return;
	life->event = CT_DESTROYED;
	if (find_note(life->connection, NOTE_CONFIRMING))
		life->why = CT_CLASH;
	else if (find_note(stack_of(hit), NOTE_BUSY) && !find_note(life->connection, NOTE_CREATED))
		life->why = CT_REFUSED;
	else
		life->why = CT_UNCONFIRMED;
}

static __always_inline void see_life(struct hit *hit, struct life *life)
{
	unsigned long word;
	struct note *note;

	if (is_probe(hit, ct_delete_entry))
		return see_deletion(hit, life);
	if (is_probe(hit, ct_destroy_entry))
		return see_destruction(hit, life);
	if (!is_probe(hit, ct_in_return) && !is_probe(hit, ct_confirm_return))
		return;
	word = connection_word(hit);
	life->connection = word & ~INFO_MASK;
	if (!life->connection)
		return;
	if (is_probe(hit, ct_in_return)) {
		word &= INFO_MASK;
		if ((word == INFO_NEW || word == INFO_RELATED) && !(status_of(life->connection) & STATUS_CONFIRMED) &&
		    !find_note(hit->address, NOTE_CREATED_BEFORE))
			life->event = CT_CREATED;
	} else if ((u32)hit->returned == NF_ACCEPT) {
		/* Of two packets that begin the same connection, one gets the entry of the other here. */
		note = find_note(life->connection, NOTE_CONFIRMING);
		if (note && note->packet == hit->address)
			life->event = CT_CONFIRMED;
	}
}

/* Remembers what later hits need to know. */
static __always_inline void remember(struct hit *hit)
{
	u64 connection;

	if (!is_probe(hit, ct_in_entry) && !is_probe(hit, ct_confirm_entry))
		return;
	connection = connection_word(hit) & ~INFO_MASK;
	if (is_probe(hit, ct_confirm_entry)) {
		if (connection)
			note(hit, connection, NOTE_CONFIRMING);
		return;
	}
	note(hit, stack_of(hit), NOTE_BUSY);
	if (connection && !(status_of(connection) & (STATUS_CONFIRMED | STATUS_TEMPLATE)))
		note(hit, hit->address, NOTE_CREATED_BEFORE);
}

/* Forgets what no later hit needs to know. */
static __always_inline void forget(struct hit *hit, struct life *life)
{
	if (is_probe(hit, ct_in_return)) {
		forget_note(stack_of(hit), NOTE_BUSY);
		forget_note(hit->address, NOTE_CREATED_BEFORE);
	} else if ((is_probe(hit, ct_confirm_return) && (u32)hit->returned == NF_ACCEPT) ||
		   is_probe(hit, ct_destroy_entry)) {
		/* One that was not accepted is about to be destroyed, and that it was confirmed says why. */
		forget_note(life->connection, NOTE_CONFIRMING);
		forget_note(life->connection, NOTE_CREATED);
	}
}

/* Makes the hit one of the packet for which, or because of which, an entry ends. */
static __always_inline void find_cause(struct hit *hit, struct life *life)
{
	struct note *note;

	if (is_probe(hit, ct_delete_entry)) {
		note = find_note(stack_of(hit), NOTE_BUSY);
	} else {
		note = find_note(life->connection, NOTE_CONFIRMING);
		if (!note)
			note = find_note(life->connection, NOTE_CREATED);
		if (!note)
			note = find_note(stack_of(hit), NOTE_BUSY);
	}
	if (note) {
		hit->number = note->number;
		hit->address = note->packet;
	}
}

SELECT(ct)
{
	struct life life = {};

	if (!ct_events)
		return 0;
	remember(hit);
	see_life(hit, &life);
	if (life.event == CT_DESTROYED)
		find_cause(hit, &life);
	if (!life.event)
		forget(hit, &life);
	return life.event != 0;
}

static __always_inline void append_life(struct hit *hit, const struct life *life)
{
	struct ct_life_event *event = append(hit, COLLECTOR_CT, CT_LIFE, sizeof(*event));

	if (!event)
		return;
	event->event = life->event;
	event->why = life->why;
	event->by_netlink = life->by_netlink;
	event->padding = 0;
	event->caller = 0;
	if (is_probe(hit, ct_delete_entry))
		read_return_address(hit, &event->caller);
}

HOOK(ct)
{
	unsigned long word = connection_word(hit);
	u64 connection = word & ~INFO_MASK;
	u8 info = word & INFO_MASK;
	struct life life = {};

	if (ct_events) {
		remember(hit);
		see_life(hit, &life);
		if (life.event)
			append_life(hit, &life);
		if (life.event && life.connection != connection) {
			connection = life.connection;
			info = CT_NO_INFO;
		}
		if (life.event == CT_CREATED)
			note(hit, connection, NOTE_CREATED);
		forget(hit, &life);
	}
	if (connection)
		append_with_parent(hit, (void *)connection, info);
	else if (info == INFO_UNTRACKED)
		append_state(hit, CT_UNTRACKED);
	else if (hit->is_return && is_probe(hit, ct_in_return) && hit->address && (u32)hit->returned == NF_ACCEPT)
		append_state(hit, CT_INVALID);
	return 0;
}
