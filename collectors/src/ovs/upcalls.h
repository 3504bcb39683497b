/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Following a packet through ovs-vswitchd and back.
 *
 *   ovs_dp_upcall ── queue_userspace_packet ── skb_zerocopy ──▶ socket of a handler thread
 *                    (once for each segment)    message                │ recvmsg: up to 64
 *                                                                      ▼
 *   ovs_execute_actions ◀── ovs_flow_key_extract_userspace ◀── ovs_packet_cmd_execute: up to 64
 *   (a new sk_buff)
 *
 * Each step is joined to the one before by what the kernel itself uses, never by content alone:
 * - from ovs_dp_upcall to queue_userspace_packet by the address of the `dp_upcall_info`, which is on the stack of the caller;
 * - from there to skb_zerocopy by the CPU: all of it runs with softirqs off;
 * - from there to recvmsg by the address of the message's `sk_buff`;
 * - from there to ovs_packet_cmd_execute by the thread and the order. A thread receives a batch, then executes what became of it in
 *   the same order; some are not executed. So the next upcall of the batch with the length and the first bytes of the packet is
 *   taken. While one is in front whose bytes are not known (it was queued before collection began, or the kernel skipped a program),
 *   the join is left out: the packet could be that one;
 * - from there to the new sk_buff by the thread, between entry and return: only ovs_packet_cmd_execute calls that function.
 *
 * The life of a thread's state (`handlers`): made when it receives its first upcall. A batch begins with the first upcall that is
 * received after the end of the one before, which ends when 64 are received, when there is no more to receive, or with an execute.
 * What was not executed is let go when the next batch begins. What ovs-vswitchd itself says in between is in vswitchd.h.
 *
 * Programs that run in a thread's own time are there twice: when the kernel skips one, because a thread was preempted in it, the other does its work.
 * A step that nobody saw would let one packet be taken for the one behind it.
 *
 * A packet is held in the table of tracked packets while it is with user space, though its buffer is freed. The upcalls are in a ring:
 * when there are too many, the oldest is let go.
 */
#ifndef TRACER_OVS_UPCALLS_H
#define TRACER_OVS_UPCALLS_H

#include <tracer/atomic.h>
#include <tracer/own.h>
#include <tracer/preemption.h>
#include <tracer/tracking.h>

#include "datapath.h"

/* Packets are followed through user space (--ovs-track). */
const volatile bool ovs_track;

/* Upcalls that can be with user space at a time, a power of two: more than the sockets of dozens of threads take. */
#define UPCALLS 16384

/* UPCALL_MAX_BATCH of Open vSwitch. */
#define BATCH 64

/* So many bytes of a packet are compared: they are always in one piece. */
#define COMPARED_BYTES 64
#define COMPARED_WORDS (COMPARED_BYTES / 8)

/* OVS_DP_F_DISPATCH_UPCALL_PER_CPU: each thread has one socket and reads it until it is empty. */
#define DISPATCH_PER_CPU 8

/* Upcalls that were received and whose way through the kernel was not seen. */
u64 ovs_unseen;
/* Packets that a thread executed after it had received upcalls, and that are those of none of them, or can't be told from others. */
u64 ovs_unmatched;
/* Upcalls that were let go because there were too many. */
u64 ovs_expired;
/* Packets with the hash of an upcall and other bytes. */
u64 ovs_disagreeing;

/* An upcall is named by its number; 0 stands for "none". */
static u64 next_upcall = 1;

/* Each thread reads its own socket until it is empty. */
static bool reads_until_empty;

/* The first bytes of a packet, zeros behind its end, and what is made of them. */
struct content {
	u64 words[COMPARED_WORDS];
	u64 hash;
	u32 length;
	u32 is_known;
};

/* A call of ovs_dp_upcall that has not returned. */
struct upcall_call {
	u64 id;
	u64 timestamp;
	u64 packet;
	u32 cpu;
	u32 port;
	u8 command;
	u8 padding[7];
};

/* By the address of its `dp_upcall_info`. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct upcall_call);
} upcall_calls SEC(".maps");

/* A call of queue_userspace_packet that has not returned: one a CPU. */
struct queueing {
	/* The address of the `dp_upcall_info`; 0: there is no such call. */
	u64 info;
	u64 packet;
	u64 upcall;
	/* Set once the packet is in it. */
	u64 message;
	struct content content;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct queueing);
} queueings SEC(".maps");

/* An upcall that is with user space, or on the way there. */
struct upcall {
	/* 0: the slot is free. */
	u64 id;
	/* The packet that is held for it; 0: it is not tracked, or let go. */
	u64 number;
	/* The same, remembered. */
	u64 was;
	u64 message;
	/* Where in the message the packet begins. */
	u32 offset;
	u32 padding;
	struct content content;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UPCALLS);
	__type(key, u32);
	__type(value, struct upcall);
} upcalls SEC(".maps");

/* The upcall in a message that has not been received. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UPCALLS);
	__type(key, u64);
	__type(value, u64);
} upcall_messages SEC(".maps");

/* A thread of ovs-vswitchd that receives upcalls. */
struct handler {
	/* The upcalls of the batch; 0: not known. */
	u64 upcalls[BATCH];
	u64 hashes[BATCH];
	u32 lengths[BATCH];
	u32 count;
	/* The first one that has not been executed, nor left behind by one that was. */
	u32 next;
	/* No more will be received in this batch. */
	u32 closed;
	u32 queue_id;
	/* When the batch began, ns. */
	u64 began;
	/* What is being received, and executed: noted already by the first of two programs. */
	u64 message;
	u64 call;
	/* The upcall whose packet is being executed, its new sk_buff and its number. */
	u64 executing;
	u64 packet;
	u64 number;
	/* Of the packet that is handed in. */
	struct content content;
};

/* By thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct handler);
} handlers SEC(".maps");

/* Too large for the stack. */
static const struct handler new_handler;

/* The hash in 32 bits, which users see. */
static __always_inline u32 queue_id(u64 hash)
{
	return hash ^ hash >> 32;
}

static __always_inline void hash_content(struct content *content)
{
	u64 hash = content->length * 0xff51afd7ed558ccdULL;

#pragma unroll
	for (int i = 0; i < COMPARED_WORDS; i++) {
		hash = (hash ^ content->words[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	content->hash = hash;
}

/* Reads the first bytes of a packet of `length` bytes at `data`. */
static __always_inline bool read_content(struct content *content, u64 data, u32 length)
{
	u64 size = length < COMPARED_BYTES ? length : COMPARED_BYTES;

	__builtin_memset(content, 0, sizeof(*content));
	/* For the verifier, in the register that it is passed in. */
	barrier_var(size);
	if (!size || size > COMPARED_BYTES)
		return false;
	if (bpf_probe_read_kernel(content->words, size, (void *)data))
		return false;
	content->length = length;
	content->is_known = true;
	hash_content(content);
	return true;
}

static __always_inline struct upcall *upcall_slot(u64 id)
{
	u32 slot = id & (UPCALLS - 1);

	return bpf_map_lookup_elem(&upcalls, &slot);
}

static __always_inline struct upcall *upcall_named(u64 id)
{
	struct upcall *upcall = id ? upcall_slot(id) : NULL;

	return upcall && upcall->id == id ? upcall : NULL;
}

static __always_inline struct handler *this_handler(void)
{
	u32 thread = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&handlers, &thread);
}

static __always_inline struct queueing *this_queueing(void)
{
	u32 key = 0;

	return bpf_map_lookup_elem(&queueings, &key);
}

/* Lets go of the packet of an upcall. A global function: it is called many times. */
__noinline int let_go(u64 id)
{
	struct upcall *upcall = upcall_named(id);
	u64 number = upcall ? exchange(&upcall->number, 0) : 0;

	if (number)
		release_packet(number, 0);
	return 0;
}

/* Forgets the message of an upcall, which is received or gone. */
static __always_inline void forget_message(struct upcall *upcall)
{
	u64 message = upcall->message, *id;

	id = bpf_map_lookup_elem(&upcall_messages, &message);
	if (id && *id == upcall->id)
		bpf_map_delete_elem(&upcall_messages, &message);
}

/* Notes that ovs_dp_upcall begins. */
static __noinline int note_call(void *context)
{
	struct upcall_call call = {};
	struct dp_upcall_info *from;
	u64 arguments[4];

	if (READ_ARGUMENTS(context, arguments))
		return 0;
	from = (void *)arguments[3];
	call.id = fetch_add(&next_upcall, 1);
	call.packet = arguments[1];
	call.cpu = bpf_get_smp_processor_id();
	call.port = BPF_CORE_READ(from, portid);
	call.command = BPF_CORE_READ(from, cmd);
	reads_until_empty = BPF_CORE_READ((struct datapath *)arguments[0], user_features) & DISPATCH_PER_CPU;
	bpf_map_update_elem(&upcall_calls, &arguments[3], &call, BPF_ANY);
	return 1;
}

/* Notes when it began: at the time of its event, when it has one. */
static __noinline int note_time(void *context, u64 timestamp)
{
	u64 info = read_one(context, 3);
	struct upcall_call *call = bpf_map_lookup_elem(&upcall_calls, &info);

	if (call)
		call->timestamp = timestamp ? timestamp : bpf_ktime_get_ns();
	return 0;
}

static __noinline int forget_call(void *context)
{
	u64 info = read_one(context, 3);

	bpf_map_delete_elem(&upcall_calls, &info);
	return 0;
}

SEC("tp_btf/ovs_dp_upcall")
int ovs_upcall(unsigned long long *context)
{
	if (enabled && note_call(context))
		note_time(context, own_hit(context, ovs_upcall_index, read_one(context, 1)));
	return 0;
}

SEC("fexit/ovs_dp_upcall")
int ovs_upcall_return(unsigned long long *context)
{
	if (!enabled)
		return 0;
	own_hit(context, ovs_return_index, read_one(context, 1));
	forget_call(context);
	return 0;
}

SEC("fentry/queue_userspace_packet")
int track_ovs_queue(unsigned long long *context)
{
	struct queueing *queueing = this_queueing();
	struct upcall_call *call;
	u64 arguments[4];

	if (!enabled || !queueing || READ_ARGUMENTS(context, arguments))
		return 0;
	queueing->info = arguments[3];
	queueing->packet = arguments[1];
	queueing->message = 0;
	queueing->content.hash = 0;
	call = bpf_map_lookup_elem(&upcall_calls, &arguments[3]);
	/* A segment is an upcall of its own. */
	queueing->upcall = call && call->packet == arguments[1] ? call->id : fetch_add(&next_upcall, 1);
	return 0;
}

/* The packet is about to be put into a message, as user space will see it. */
SEC("fentry/skb_zerocopy")
int track_ovs_message(unsigned long long *context)
{
	struct queueing *queueing = this_queueing();
	u64 arguments[3], message, id, head = 0;
	struct sk_buff *from, *to;
	struct upcall *upcall;

	/* Others call it, too. */
	if (!enabled || !queueing || !queueing->info || queueing->message || READ_ARGUMENTS(context, arguments))
		return 0;
	to = (void *)arguments[0];
	from = (void *)arguments[1];
	message = arguments[0];
	if (BPF_CORE_READ(from, len) - BPF_CORE_READ(from, data_len) >= COMPARED_BYTES ||
	    BPF_CORE_READ(from, data_len) == 0)
		read_content(&queueing->content, (u64)BPF_CORE_READ(from, data), (u32)arguments[2]);
	else
		__builtin_memset(&queueing->content, 0, sizeof(queueing->content));
	queueing->message = message;
	id = queueing->upcall;
	upcall = ovs_track ? upcall_slot(id) : NULL;
	if (!upcall)
		return 0;
	if (upcall->id) {
		if (upcall->number)
			__sync_fetch_and_add(&ovs_expired, 1);
		let_go(upcall->id);
		forget_message(upcall);
	}
	from = (void *)queueing->packet;
	bpf_core_read(&head, sizeof(head), &from->head);
	upcall->id = id;
	upcall->was = head ? hold_packet(head) : 0;
	upcall->number = upcall->was;
	upcall->message = message;
	upcall->offset = BPF_CORE_READ(to, len);
	upcall->content = queueing->content;
	bpf_map_update_elem(&upcall_messages, &message, &id, BPF_ANY);
	return 0;
}

/* The call of queue_userspace_packet ends. A packet that was not queued is not with user space. */
static __noinline int end_queueing(void *context)
{
	struct queueing *queueing = this_queueing();
	/* Five, and what it returned. */
	u64 arguments[6];
	struct upcall *upcall;

	if (!queueing || READ_ARGUMENTS(context, arguments))
		return 0;
	if ((int)arguments[5] && queueing->info == arguments[3] && queueing->message) {
		upcall = upcall_named(queueing->upcall);
		if (upcall) {
			forget_message(upcall);
			let_go(queueing->upcall);
		}
	}
	queueing->info = 0;
	return 0;
}

SEC("fexit/queue_userspace_packet")
int ovs_enqueue(unsigned long long *context)
{
	if (!enabled)
		return 0;
	own_hit(context, ovs_enqueue_index, read_one(context, 1));
	end_queueing(context);
	return 0;
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

/* Begins a batch when the one before has ended. */
static __always_inline void begin_batch(struct handler *handler)
{
	if (!handler->closed && handler->count < BATCH)
		return;
#pragma unroll
	for (u32 i = 0; i < BATCH; i++) {
		if (i >= handler->count)
			break;
		let_go(handler->upcalls[i]);
	}
	handler->count = 0;
	handler->next = 0;
	handler->closed = 0;
}

/* A thread takes a message out of its socket. */
static __noinline int note_received(void *context)
{
	u32 thread = bpf_get_current_pid_tgid(), length, at;
	u64 message, *found, id = 0;
	struct upcall *upcall = NULL;
	struct handler *handler;
	struct sk_buff *skb;

	if (!enabled || bpf_probe_read_kernel(&message, sizeof(message), context))
		return 0;
	handler = bpf_map_lookup_elem(&handlers, &thread);
	if (handler && handler->message == message)
		return 0;
	skb = (void *)message;
	found = bpf_map_lookup_elem(&upcall_messages, &message);
	if (found) {
		id = *found;
		upcall = upcall_named(id);
		bpf_map_delete_elem(&upcall_messages, &message);
		length = BPF_CORE_READ(skb, len);
		/* Up to three bytes stand behind the packet. Something else is there when the socket of the upcall was closed. */
		if (upcall && (upcall->message != message || length < upcall->offset + upcall->content.length ||
			       length > upcall->offset + upcall->content.length + 3)) {
			let_go(id);
			upcall = NULL;
		}
	}
	if (!upcall) {
		if (!is_upcall(skb))
			return 0;
		id = 0;
		__sync_fetch_and_add(&ovs_unseen, 1);
	}
	if (!handler) {
		bpf_map_update_elem(&handlers, &thread, &new_handler, BPF_ANY);
		handler = bpf_map_lookup_elem(&handlers, &thread);
		if (!handler)
			return 0;
	}
	handler->message = message;
	begin_batch(handler);
	at = handler->count;
	if (at >= BATCH)
		return 0;
	if (!at)
		handler->began = bpf_ktime_get_ns();
	handler->upcalls[at] = id;
	handler->hashes[at] = upcall && upcall->content.is_known ? upcall->content.hash : 0;
	handler->lengths[at] = upcall && upcall->content.is_known ? upcall->content.length : 0;
	handler->count = at + 1;
	return 0;
}

SEC("tp_btf/skb_copy_datagram_iovec")
int track_ovs_receive(unsigned long long *context)
{
	keep_cpu();
	note_received(context);
	leave_cpu();
	return 0;
}

SEC("tp_btf/skb_copy_datagram_iovec")
int track_ovs_receive_2(unsigned long long *context)
{
	keep_cpu();
	note_received(context);
	leave_cpu();
	return 0;
}

/* A message has been received, or there is nothing in the socket: then the batch is complete. */
static __noinline int note_end_of_receiving(void *context)
{
	struct handler *handler = this_handler();

	if (!enabled || !handler)
		return 0;
	handler->message = 0;
	/* What it returned, behind four arguments. */
	if (reads_until_empty && (int)read_one(context, 4) < 0)
		handler->closed = 1;
	return 0;
}

SEC("fexit/netlink_recvmsg")
int track_ovs_drained(unsigned long long *context)
{
	keep_cpu();
	note_end_of_receiving(context);
	leave_cpu();
	return 0;
}

SEC("fexit/netlink_recvmsg")
int track_ovs_drained_2(unsigned long long *context)
{
	keep_cpu();
	note_end_of_receiving(context);
	leave_cpu();
	return 0;
}

/* Finds the upcall of the batch that has this content; BATCH: none. */
static __always_inline u32 find_upcall(struct handler *handler, struct content *content)
{
	u32 found = BATCH, unknown = BATCH;

	for (u32 i = 0; i < BATCH; i++) {
		if (i >= handler->count || i < handler->next)
			continue;
		if (!handler->lengths[i]) {
			unknown = i;
			break;
		}
		if (handler->hashes[i] == content->hash && handler->lengths[i] == content->length) {
			found = i;
			break;
		}
	}
	/* The packet may be that one. */
	if (unknown < BATCH) {
		handler->next = unknown + 1;
		return BATCH;
	}
	if (found < BATCH) {
		handler->next = found + 1;
		return found;
	}
	/* Open vSwitch sends again what it does not know to have arrived. */
	for (u32 i = 0; i < BATCH; i++) {
		if (i >= handler->count || i >= handler->next)
			break;
		if (handler->lengths[i] && handler->hashes[i] == content->hash && handler->lengths[i] == content->length)
			return i;
	}
	return BATCH;
}

#define OVS_PACKET_ATTR_PACKET 1

/* Of bytes, in front of an attribute's content. */
#define ATTRIBUTE_HEADER 4

/* User space hands in a packet with what is to be done with it. */
static __noinline int note_execution(void *context)
{
	struct handler *handler = this_handler();
	struct nlattr **attributes, *attribute = NULL;
	struct content *content;
	struct upcall *upcall;
	u64 arguments[2];
	u16 length;
	u32 at;

	if (!enabled || !handler || READ_ARGUMENTS(context, arguments) || handler->call == arguments[1])
		return 0;
	handler->call = arguments[1];
	handler->closed = 1;
	handler->executing = 0;
	handler->packet = 0;
	handler->number = 0;
	if (!handler->count)
		return 0;
	attributes = BPF_CORE_READ((struct genl_info *)arguments[1], attrs);
	content = &handler->content;
	if (bpf_probe_read_kernel(&attribute, sizeof(attribute), &attributes[OVS_PACKET_ATTR_PACKET]) ||
	    !attribute || bpf_probe_read_kernel(&length, sizeof(length), attribute) || length <= ATTRIBUTE_HEADER ||
	    !read_content(content, (u64)attribute + ATTRIBUTE_HEADER, length - ATTRIBUTE_HEADER)) {
		__sync_fetch_and_add(&ovs_unmatched, 1);
		return 0;
	}
	at = find_upcall(handler, content);
	if (at >= BATCH) {
		__sync_fetch_and_add(&ovs_unmatched, 1);
		return 0;
	}
	upcall = upcall_named(handler->upcalls[at]);
	if (!upcall)
		return 0;
	for (int i = 0; i < COMPARED_WORDS; i++) {
		if (upcall->content.words[i] != content->words[i]) {
			__sync_fetch_and_add(&ovs_disagreeing, 1);
			return 0;
		}
	}
	handler->executing = upcall->id;
	handler->queue_id = queue_id(content->hash);
	return 0;
}

SEC("fentry/ovs_packet_cmd_execute")
int track_ovs_execute(unsigned long long *context)
{
	keep_cpu();
	note_execution(context);
	leave_cpu();
	return 0;
}

SEC("fentry/ovs_packet_cmd_execute")
int track_ovs_execute_2(unsigned long long *context)
{
	keep_cpu();
	note_execution(context);
	leave_cpu();
	return 0;
}

/* The packet has its new buffer: it goes on as what it was. */
static __noinline int resume_packet(void *context)
{
	struct handler *handler = this_handler();
	struct sk_buff *packet;
	struct upcall *upcall;
	u64 arguments[3], number, head = 0;

	/* One packet a call: it is known already. */
	if (!enabled || !handler || !handler->executing || handler->packet || READ_ARGUMENTS(context, arguments))
		return 0;
	upcall = upcall_named(handler->executing);
	if (!upcall)
		return 0;
	number = exchange(&upcall->number, 0);
	/* A second time: held only when it is still there. */
	if (!number)
		number = hold_numbered(upcall->was);
	packet = (void *)arguments[2];
	bpf_core_read(&head, sizeof(head), &packet->head);
	if (number)
		release_packet(number, head);
	handler->packet = arguments[2];
	handler->number = number;
	return 0;
}

SEC("fentry/ovs_flow_key_extract_userspace")
int track_ovs_resume(unsigned long long *context)
{
	keep_cpu();
	resume_packet(context);
	leave_cpu();
	return 0;
}

SEC("fentry/ovs_flow_key_extract_userspace")
int track_ovs_resume_2(unsigned long long *context)
{
	keep_cpu();
	resume_packet(context);
	leave_cpu();
	return 0;
}

static __noinline int note_executed(void)
{
	struct handler *handler = this_handler();

	if (!enabled || !handler)
		return 0;
	/* It did not come so far: then nobody goes on. */
	if (handler->executing)
		let_go(handler->executing);
	handler->executing = 0;
	handler->call = 0;
	return 0;
}

SEC("fexit/ovs_packet_cmd_execute")
int track_ovs_executed(unsigned long long *context)
{
	keep_cpu();
	note_executed();
	leave_cpu();
	return 0;
}

SEC("fexit/ovs_packet_cmd_execute")
int track_ovs_executed_2(unsigned long long *context)
{
	keep_cpu();
	note_executed();
	leave_cpu();
	return 0;
}

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
