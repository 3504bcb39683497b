/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Following a packet through ovs-vswitchd and back: how upcalls begin, and are queued. What threads of ovs-vswitchd do with them is in
 * handlers.h.
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
 *   the same order; some are not executed. So the next upcall of the batch from the same port with the length and the first bytes of
 *   the packet is taken: what has all that in common has the same fate. While one is in front whose bytes are not known (it was queued before collection began, or the kernel skipped a program),
 *   the join is left out: the packet could be that one;
 * - from there to the new sk_buff by the thread, between entry and return: only ovs_packet_cmd_execute calls that function.
 *
 * A packet is held in the table of tracked packets while it can come back from user space, though its buffer is freed. The upcalls are in a ring:
 * when there are too many, the oldest is let go.
 */
#ifndef TRACER_OVS_UPCALLS_H
#define TRACER_OVS_UPCALLS_H

#include <tracer/atomic.h>
#include <tracer/own.h>
#include <tracer/tracking.h>

#include "datapath.h"

/* Packets are followed through user space (--ovs-track). */
const volatile bool ovs_track;

/* Upcalls that can be with user space at a time, a power of two: more than the sockets of dozens of threads take. */
#define UPCALLS 16384

/* So many bytes of a packet are compared: they are always in one piece. */
#define COMPARED_BYTES 64
#define COMPARED_WORDS (COMPARED_BYTES / 8)

/* OVS_DP_F_DISPATCH_UPCALL_PER_CPU: each thread has one socket and reads it until it is empty. */
#define DISPATCH_PER_CPU 8

/* Upcalls that were let go because there were too many. */
u64 ovs_expired;

/* An upcall is named by its number; 0 stands for "none". */
static u64 next_upcall = 1;

/* Each thread reads its own socket until it is empty. Known before collection begins. */
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
	u64 port;
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
	u64 message;
	/* Where in the message the packet begins. */
	u32 offset;
	/* The port that the packet came in at. */
	u32 port;
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

	if (!queueing || READ_ARGUMENTS(context, arguments))
		return 0;
	reads_until_empty = BPF_CORE_READ((struct datapath *)arguments[0], user_features) & DISPATCH_PER_CPU;
	if (!enabled)
		return 0;
	queueing->info = arguments[3];
	queueing->packet = arguments[1];
	queueing->message = 0;
	queueing->content.hash = 0;
	queueing->port = BPF_CORE_READ((struct sw_flow_key *)arguments[2], phy.in_port);
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
	upcall->number = head ? hold_packet(head) : 0;
	upcall->message = message;
	upcall->offset = BPF_CORE_READ(to, len);
	upcall->port = queueing->port;
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

#endif
