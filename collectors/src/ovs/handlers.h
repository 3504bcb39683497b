/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What threads of ovs-vswitchd do with the upcalls of upcalls.h: they receive them in batches, and send packets back. What ovs-vswitchd itself
 * says in between is in vswitchd.h.
 *
 * The life of a thread's state (`handlers`): made when it receives its first upcall. A batch begins with the first upcall that is
 * received after the end of the one before, which ends when 64 are received, when there is no more to receive, or with an execute.
 * Its packets are let go when the next batch begins.
 *
 * A step that nobody saw would let one packet be taken for the one behind it. So all programs here are there twice (IN_THREAD), and when
 * the kernel skips both at the beginning of a call, the end of it tells: a message that was received unseen is an unknown one in the
 * batch, and a packet that was executed unseen takes its place in the order. They do their work from when they are attached, so that a
 * thread is known, and where in a batch it is, when collection begins; until then nothing is counted.
 */
#ifndef TRACER_OVS_HANDLERS_H
#define TRACER_OVS_HANDLERS_H

#include "upcalls.h"

/* UPCALL_MAX_BATCH of Open vSwitch. */
#define BATCH 64

#define ENOBUFS 105

/* What is next in a batch of which nothing is known. */
#define NO_ORDER (BATCH + 1)

/* Upcalls that were received and whose way through the kernel was not seen. */
u64 ovs_unseen;
/*
 * Packets that a thread executed after it had received upcalls, and that are those of none of them, or can't be told from others, or whose
 * execution was not seen in time.
 */
u64 ovs_unmatched;
/* Packets with the hash of an upcall and other bytes. */
u64 ovs_disagreeing;
/* Hits of USDT probes that should have come and did not: of upcalls with a tracked packet that a thread received, or executed. */
u64 ovs_untold;

static __always_inline void count(u64 *counter, u64 more)
{
	if (enabled)
		__sync_fetch_and_add(counter, more);
}

/* A thread of ovs-vswitchd that receives upcalls. */
struct handler {
	/* The upcalls of the batch; 0: not known. */
	u64 upcalls[BATCH];
	u64 hashes[BATCH];
	u32 lengths[BATCH];
	u32 ports[BATCH];
	u32 count;
	/* The first one that has not been executed, nor left behind by one that was. */
	u32 next;
	/* No more will be received in this batch. */
	u32 closed;
	u32 queue_id;
	/* When the batch began, ns. */
	u64 began;
	/* By place in the batch, bits: there is something to tell; ovs-vswitchd has told that it received it, and that it executes it. */
	u64 tellable;
	u64 told_received;
	u64 told_executed;
	/* It tells; the place that it told of executing last; how many executions it has told of that have not begun. */
	u32 tells;
	u32 told_last;
	u32 told_ahead;
	/* What was next when a thread last read replies, and how many packets it has executed since: those it may send again. */
	u32 replied;
	u32 since_reply;
	/* For is_first(): the beginning and the end of what receives, of what executes, and a new packet in between. */
	u32 receiving;
	u32 received;
	u32 called;
	u32 resumed;
	u32 returned;
	/* What is being received is an upcall; where the last one came from: a struct socket. */
	u32 is_upcall;
	u64 socket;
	/* The upcall whose packet is being executed, its new sk_buff and its number. */
	u64 executing;
	u64 packet;
	u64 number;
	/* Of the packet that is handed in; how many upcalls are alike, and the last of them. */
	struct content content;
	u32 alike;
	u32 last_alike;
};

/* By thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct handler);
} handlers SEC(".maps");

/* Too large for the stack. */
static const struct handler new_handler = { .closed = 1 };

static __always_inline struct handler *this_handler(void)
{
	u32 thread = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&handlers, &thread);
}

/* The beginning of a message: struct nlmsghdr and struct genlmsghdr. */
struct message_start {
	u32 length;
	u16 type;
	u16 flags;
	u32 sequence;
	u32 port;
	u8 command;
	u8 version;
	u16 reserved;
};

/* Whether a message is an upcall; nothing but its form tells. */
static __always_inline bool is_upcall(struct sk_buff *message)
{
	struct message_start start;
	u32 length = BPF_CORE_READ(message, len);

	if (bpf_probe_read_kernel(&start, sizeof(start), BPF_CORE_READ(message, data)))
		return false;
	return start.length <= length && start.length + 4 > length && start.type >= 0x10 && !start.flags &&
	       !start.sequence && !start.port && (start.command == 1 || start.command == 2) && start.version == 1 &&
	       !start.reserved;
}

/* No more is received in this batch: what ovs-vswitchd tells of it, it has told. */
static __always_inline void close_batch(struct handler *handler)
{
	if (!handler->closed && handler->tells)
		count(&ovs_untold, __builtin_popcountll(handler->tellable & ~handler->told_received));
	handler->closed = 1;
}

/* Adds a message to the batch, or to a new one. NULL: nothing is known of it. */
static __always_inline void add_upcall(struct handler *handler, struct upcall *upcall)
{
	bool is_known = upcall && upcall->content.is_known;
	u32 at;

	if (handler->closed) {
#pragma unroll
		for (u32 i = 0; i < BATCH; i++) {
			if (i >= handler->count)
				break;
			let_go(handler->upcalls[i]);
		}
		handler->count = 0;
		handler->next = 0;
		handler->replied = 0;
		handler->since_reply = 0;
		handler->tellable = 0;
		handler->told_received = 0;
		handler->told_executed = 0;
		handler->told_last = BATCH;
		handler->told_ahead = 0;
		handler->closed = 0;
	}
	if (!upcall)
		count(&ovs_unseen, 1);
	at = handler->count;
	/* A batch is longer when ovs-vswitchd can't read some of it: then nothing is known of its order. */
	if (at >= BATCH) {
		handler->next = NO_ORDER;
		if (upcall)
			let_go(upcall->id);
		return;
	}
	if (!at)
		handler->began = bpf_ktime_get_ns();
	if (upcall && upcall->number)
		handler->tellable |= 1ULL << at;
	handler->upcalls[at] = upcall ? upcall->id : 0;
	handler->hashes[at] = is_known ? upcall->content.hash : 0;
	handler->lengths[at] = is_known ? upcall->content.length : 0;
	handler->ports[at] = is_known ? upcall->port : 0;
	handler->count = at + 1;
}

/* The upcall in a message that is received. NULL: not known. */
static __always_inline struct upcall *take_upcall(u64 message)
{
	u64 *found = bpf_map_lookup_elem(&upcall_messages, &message), id;
	u32 length = BPF_CORE_READ((struct sk_buff *)message, len);
	struct upcall *upcall;

	if (!found)
		return NULL;
	id = *found;
	bpf_map_delete_elem(&upcall_messages, &message);
	upcall = upcall_named(id);
	/* Up to three bytes stand behind the packet. Something else is there when the socket of the upcall was closed. */
	if (upcall && (upcall->message != message || length < upcall->offset + upcall->content.length ||
		       length > upcall->offset + upcall->content.length + 3)) {
		let_go(id);
		return NULL;
	}
	return upcall;
}

/* A thread takes a message out of its socket. */
static __noinline int note_received(void *context, u32 which)
{
	struct handler *handler = this_handler();
	u32 thread = bpf_get_current_pid_tgid();
	struct upcall *upcall;
	u64 message;

	if (bpf_probe_read_kernel(&message, sizeof(message), context))
		return 0;
	if (handler) {
		if (!is_first(&handler->receiving, which))
			return 0;
		handler->received = 0;
		handler->is_upcall = 0;
	}
	upcall = take_upcall(message);
	if (!upcall && !is_upcall((struct sk_buff *)message))
		return 0;
	if (!handler) {
		bpf_map_update_elem(&handlers, &thread, &new_handler, BPF_ANY);
		handler = this_handler();
		if (!handler)
			return 0;
		handler->receiving = which;
	}
	handler->is_upcall = 1;
	add_upcall(handler, upcall);
	return 0;
}

IN_THREAD("tp_btf/skb_copy_datagram_iovec", track_ovs_receive, note_received);

/*
 * Open vSwitch sends several packets at once and then reads replies: there are some when it goes wrong. When there is no room for them
 * (ENOBUFS), that is the first thing it is told, and it sends all of those again.
 */
static __always_inline void note_replies(struct handler *handler, int result)
{
	if (handler->next == NO_ORDER)
		return;
	if (result == -ENOBUFS) {
		handler->next = handler->replied;
		handler->told_ahead += handler->since_reply;
	}
	handler->replied = handler->next;
	handler->since_reply = 0;
}

/* A message has been received, or there is nothing in the socket: then the batch is complete. */
static __noinline int note_end_of_receiving(void *context, u32 which)
{
	struct handler *handler = this_handler();
	/* What it returned, behind four arguments. */
	int result = read_one(context, 4);
	u64 socket = read_one(context, 0);

	if (!handler || !is_first(&handler->received, which))
		return 0;
	if (!handler->receiving)
		/* Replies come from other sockets; but where a thread has several for upcalls, only the last one is known. */
		handler->is_upcall = result > 0 && (!reads_until_empty || socket == handler->socket);
	if (handler->is_upcall) {
		if (!handler->receiving)
			add_upcall(handler, NULL);
		handler->socket = socket;
	} else if (socket != handler->socket) {
		note_replies(handler, result);
	}
	/* What is in other sockets has to do with what became of the batch, when it is full. */
	if (reads_until_empty && (socket == handler->socket ? result < 0 : handler->count >= BATCH))
		close_batch(handler);
	handler->receiving = 0;
	handler->is_upcall = 0;
	return 0;
}

IN_THREAD("fexit/netlink_recvmsg", track_ovs_receive_end, note_end_of_receiving);

static __always_inline bool is_alike(struct handler *handler, u32 at, u64 hash, u32 length, u32 port)
{
	/* It is one of them, which the verifier does not see. */
	barrier_var(at);
	at &= BATCH - 1;
	return handler->hashes[at] == hash && handler->lengths[at] == length && handler->ports[at] == port;
}

/*
 * These are global functions, for the verifier to go through them once. Both return a place in the batch; BATCH: there is none. What a loop has
 * found is kept in memory: the verifier would go on with each of the numbers that it can be.
 */

/* The next upcall of the batch that is alike, or that is not known and may be. */
__noinline u32 ovs_next_alike(u64 hash, u32 length, u32 port)
{
	struct handler *handler = this_handler();

	if (!handler)
		return BATCH;
#pragma nounroll
	for (u32 i = 0; i < BATCH; i++) {
		if (i >= handler->next && i < handler->count &&
		    (!handler->lengths[i] || is_alike(handler, i, hash, length, port)))
			return i;
	}
	return BATCH;
}

/* The only one that is alike among those that have been executed. */
__noinline u32 ovs_executed_alike(u64 hash, u32 length, u32 port)
{
	struct handler *handler = this_handler();

	if (!handler)
		return BATCH;
	handler->alike = 0;
#pragma nounroll
	for (u32 i = 0; i < BATCH; i++) {
		if (i < handler->next && i < handler->count && is_alike(handler, i, hash, length, port)) {
			handler->alike++;
			handler->last_alike = i;
		}
	}
	return handler->alike == 1 ? handler->last_alike : BATCH;
}

/* Finds the upcall of the batch that has this content; BATCH: none. */
static __always_inline u32 find_upcall(struct handler *handler, struct content *content, u32 port)
{
	u64 hash = content->hash;
	u32 length = content->length, found, last = handler->told_last;
	bool is_told_one = handler->told_ahead == 1;

	if (handler->told_ahead)
		handler->told_ahead--;
	handler->since_reply++;
	if (handler->next == NO_ORDER)
		return BATCH;
	found = ovs_next_alike(hash, length, port);
	/* The packet may be that one. */
	if (found < BATCH && !handler->lengths[found]) {
		handler->next = found + 1;
		return BATCH;
	}
	/* What is executed by ovs-vswitchd itself it sends several times, once to each port, and tells so before each. */
	if (is_told_one && last < handler->next && last < BATCH && is_alike(handler, last, hash, length, port) &&
	    (found >= BATCH || !(handler->told_executed & 1ULL << found)))
		return last;
	if (found < BATCH) {
		handler->next = found + 1;
		return found;
	}
	/* Another copy; of which of several that are alike, nothing tells. */
	return ovs_executed_alike(hash, length, port);
}

#define OVS_PACKET_ATTR_PACKET 1
#define OVS_PACKET_ATTR_KEY 2
#define OVS_KEY_ATTR_IN_PORT 3

/* The kernel's number for "no port". */
#define DP_MAX_PORTS 0xffff

/* Of bytes, in front of an attribute's content. */
#define ATTRIBUTE_HEADER 4

/* What is beside the number of an attribute. */
#define ATTRIBUTE_TYPE 0x3fff

/* More than the key has that goes with a packet. */
#define KEY_ATTRIBUTES 32

/*
 * The port in a flow key, an attribute at this address; DP_MAX_PORTS: none. A global function, for the verifier to go through it
 * once.
 */
__noinline u32 ovs_port_in_key(u64 key)
{
	struct nlattr attribute;
	u64 at, end;
	u32 port;

	if (bpf_probe_read_kernel(&attribute, sizeof(attribute), (void *)key))
		return DP_MAX_PORTS;
	end = key + attribute.nla_len;
	at = key + ATTRIBUTE_HEADER;
#pragma nounroll
	for (int i = 0; i < KEY_ATTRIBUTES; i++) {
		if (at + ATTRIBUTE_HEADER > end ||
		    bpf_probe_read_kernel(&attribute, sizeof(attribute), (void *)at) ||
		    attribute.nla_len < ATTRIBUTE_HEADER)
			break;
		if ((attribute.nla_type & ATTRIBUTE_TYPE) == OVS_KEY_ATTR_IN_PORT)
			return bpf_probe_read_kernel(&port, sizeof(port), (void *)at + ATTRIBUTE_HEADER) ? DP_MAX_PORTS : port;
		at += (attribute.nla_len + 3) & ~3;
	}
	return DP_MAX_PORTS;
}

/* Finds out which packet it is that user space hands in, with what is to be done with it. */
static __noinline int find_executed(void *context)
{
	struct handler *handler = this_handler();
	struct nlattr **attributes, *attribute = NULL, *key = NULL;
	struct content *content;
	struct upcall *upcall;
	u64 arguments[2];
	u16 length;
	u32 at;

	if (!handler || READ_ARGUMENTS(context, arguments))
		return 0;
	close_batch(handler);
	handler->executing = 0;
	handler->packet = 0;
	handler->number = 0;
	if (!handler->count)
		return 0;
	attributes = BPF_CORE_READ((struct genl_info *)arguments[1], attrs);
	content = &handler->content;
	if (bpf_probe_read_kernel(&attribute, sizeof(attribute), &attributes[OVS_PACKET_ATTR_PACKET]) ||
	    bpf_probe_read_kernel(&key, sizeof(key), &attributes[OVS_PACKET_ATTR_KEY]) || !attribute ||
	    bpf_probe_read_kernel(&length, sizeof(length), attribute) || length <= ATTRIBUTE_HEADER ||
	    !read_content(content, (u64)attribute + ATTRIBUTE_HEADER, length - ATTRIBUTE_HEADER)) {
		count(&ovs_unmatched, 1);
		return 0;
	}
	at = find_upcall(handler, content, ovs_port_in_key((u64)key));
	if (at >= BATCH) {
		count(&ovs_unmatched, 1);
		return 0;
	}
	if (handler->tells && handler->tellable & ~handler->told_executed & 1ULL << at)
		count(&ovs_untold, 1);
	upcall = upcall_named(handler->upcalls[at]);
	if (!upcall)
		return 0;
	for (int i = 0; i < COMPARED_WORDS; i++) {
		if (upcall->content.words[i] != content->words[i]) {
			count(&ovs_disagreeing, 1);
			return 0;
		}
	}
	handler->executing = upcall->id;
	handler->queue_id = queue_id(content->hash);
	return 0;
}

/* An execution begins. */
static __noinline int note_execution(void *context, u32 which)
{
	struct handler *handler = this_handler();

	if (!handler || !is_first(&handler->called, which))
		return 0;
	handler->resumed = 0;
	handler->returned = 0;
	return find_executed(context);
}

IN_THREAD("fentry/ovs_packet_cmd_execute", track_ovs_execute, note_execution);

/* The packet has its new buffer: it goes on as what it was. */
static __noinline int resume_packet(void *context, u32 which)
{
	struct handler *handler = this_handler();
	struct sk_buff *packet;
	struct upcall *upcall;
	u64 arguments[3], number, head = 0;

	if (!handler || !is_first(&handler->resumed, which) || !handler->executing || READ_ARGUMENTS(context, arguments))
		return 0;
	/* It is known already: the end of that execution was not seen, and not the beginning of this one. */
	if (handler->packet) {
		handler->executing = 0;
		handler->called = 0;
		return 0;
	}
	upcall = upcall_named(handler->executing);
	if (!upcall)
		return 0;
	/* What ovs-vswitchd executes itself may come several times. So it is held on, until the next batch begins. */
	number = hold_numbered(upcall->number);
	packet = (void *)arguments[2];
	bpf_core_read(&head, sizeof(head), &packet->head);
	if (number)
		release_packet(number, head);
	handler->packet = arguments[2];
	handler->number = number;
	return 0;
}

IN_THREAD("fentry/ovs_flow_key_extract_userspace", checked_ovs_resume, resume_packet);

/* An execution ends. */
static __noinline int note_executed(void *context, u32 which)
{
	struct handler *handler = this_handler();

	if (!handler || !is_first(&handler->returned, which))
		return 0;
	if (!handler->called)
		find_executed(context);
	/* Without an error, behind two arguments, and nobody saw the new packet. */
	if (handler->executing && !handler->packet && !(int)read_one(context, 2))
		count(&ovs_unmatched, 1);
	handler->executing = 0;
	handler->called = 0;
	return 0;
}

IN_THREAD("fexit/ovs_packet_cmd_execute", track_ovs_execute_end, note_executed);

/* The upcall whose answer is being executed on this packet, and its hash. 0: none. */
static __always_inline u64 answered_upcall(u64 packet, u64 number, u32 *queue_id)
{
	struct handler *handler = this_handler();

	if (!handler || !handler->executing)
		return 0;
	/* Other packets come in between: replies, and what a softirq handles. */
	if (handler->number ? handler->number != number : handler->packet != packet)
		return 0;
	*queue_id = handler->queue_id;
	return handler->executing;
}

#endif
