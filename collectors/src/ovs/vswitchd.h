/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What ovs-vswitchd says of upcalls at its USDT probes, in the thread that has received them:
 *
 *   recvmsg ── recv_upcall, up to 64 times ──▶ op_flow_put, op_flow_execute, up to 50 at once ──▶ sendmsg ── ovs_packet_cmd_execute
 *
 * Each hit is joined to an upcall of the thread's batch (handlers.h):
 * - recv_upcall to the one that the thread has taken out of its socket last. One that ovs-vswitchd can't read is skipped without a hit;
 * - op_flow_execute by the address of the packet in user space, which is in the memory that it was received into. The last one at an
 *   address counts: that memory is used again when the upcall before could not be read;
 * - op_flow_put by the flow key, to the last byte as far as 64 bits of hash tell: ovs-vswitchd copies it. Of several with the same key
 *   in a batch, the first one puts the flow. All is done in the order of the batch. Only for what no flow fits one is put; that of
 *   others, and a flow that is changed, has nothing to do with an upcall.
 *
 * At recv_upcall and op_flow_execute length and first bytes of the packet have to be those that the kernel handed over.
 *
 * A program in user space is interrupted, and goes on on another CPU. What is here belongs to the thread.
 */
#ifndef TRACER_OVS_VSWITCHD_H
#define TRACER_OVS_VSWITCHD_H

#include <tracer/usdt.h>

#include "event.h"
#include "handlers.h"

/* The probes. */
const volatile u32 ovs_at_receive;
const volatile u32 ovs_at_put;
const volatile u32 ovs_at_execute;

/* DPIF_UC_MISS */
#define TYPE_MISS 0

/* Longer than any flow key, tunnel options included. */
#define KEY_BYTES 1024
#define KEY_WORDS (KEY_BYTES / 8)

/* What a thread has said of the upcalls of its batch. */
struct told {
	/* Which upcall an entry is about. When that is not the one of the batch, the entry is of an earlier batch. */
	u64 upcalls[BATCH];
	/* Where the packet is. */
	u64 packets[BATCH];
	/* A hash of the flow key; 0: no flow is put for it, or it is not known. */
	u64 keys[BATCH];
	/* The first upcall for which a flow may yet be put. */
	u32 next;
	/* The upcall that the hit at hand is about, and its place in the batch; 0: none. */
	u32 index;
	u64 upcall;
	/* Of the packet at hand. */
	u32 type;
	u32 length;
	u64 key_length;
	struct content content;
	u64 key[KEY_WORDS];
};

/* By thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct told);
} told_upcalls SEC(".maps");

/* Too large for the stack. */
static const struct told nothing_told;

static __always_inline struct told *this_told(void)
{
	u32 thread = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&told_upcalls, &thread);
}

/* The packet in user space is what the kernel handed over, as far as its content is known. */
static __always_inline bool is_content(struct told *told, struct handler *handler, u32 at, u64 packet, u32 length)
{
	u64 size = length < COMPARED_BYTES ? length : COMPARED_BYTES;

	if (at >= BATCH || !handler->lengths[at])
		return true;
	__builtin_memset(&told->content, 0, sizeof(told->content));
	/* For the verifier, in the register that it is passed in. */
	barrier_var(size);
	if (size > COMPARED_BYTES)
		return false;
	if (!bpf_probe_read_user(told->content.words, size, (void *)packet)) {
		told->content.length = length;
		hash_content(&told->content);
		if (handler->lengths[at] == length && handler->hashes[at] == told->content.hash)
			return true;
	}
	count(&ovs_disagreeing, 1);
	return false;
}

/* The hash of a flow key; 0: it can't be read. */
static __always_inline u64 hash_key(struct told *told, u64 key, u64 length)
{
	u64 hash = length * 0xff51afd7ed558ccdULL;

	barrier_var(length);
	if (!length || length > KEY_BYTES)
		return 0;
#pragma nounroll
	for (u32 i = 0; i < KEY_WORDS; i++)
		told->key[i] = 0;
	if (bpf_probe_read_user(told->key, length, (void *)key))
		return 0;
#pragma nounroll
	for (u32 i = 0; i < KEY_WORDS; i++) {
		hash = (hash ^ told->key[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return hash ? hash : 1;
}

/* The hit at hand is about this upcall of the batch. Returns the number of its packet, 0 when that is not tracked. */
static __always_inline u64 tell(struct told *told, struct handler *handler, u32 at)
{
	struct upcall *upcall = at < BATCH ? upcall_named(handler->upcalls[at]) : NULL;

	if (!upcall)
		return 0;
	told->upcall = upcall->id;
	told->index = at;
	return upcall->number;
}

/* Whether the entry is of this batch. */
static __always_inline bool is_told(struct told *told, struct handler *handler, u32 at)
{
	return at < handler->count && told->upcalls[at] && told->upcalls[at] == handler->upcalls[at];
}

/*
 * These are global functions, for the verifier to go through them once; they return the number of the packet, 0: none. What a loop has
 * found is kept in memory: the verifier would go on with each of the numbers that it can be.
 */

/* recv_upcall. */
__noinline u64 ovs_received(u64 type, u64 packet, u64 length, u64 key, u64 key_length)
{
	struct handler *handler = this_handler();
	u32 thread = bpf_get_current_pid_tgid(), at;
	struct told *told = this_told();

	if (told)
		told->upcall = 0;
	if (!handler || handler->closed)
		return 0;
	at = handler->count - 1;
	/* Should it have been told of this one already, what was taken out since then was not seen. */
	if (at >= BATCH || handler->told_received & 1ULL << at)
		return 0;
	handler->tells = 1;
	handler->told_received |= 1ULL << at;
	if (!told) {
		bpf_map_update_elem(&told_upcalls, &thread, &nothing_told, BPF_ANY);
		told = this_told();
		if (!told)
			return 0;
	}
	if (!is_content(told, handler, at, packet, length))
		return 0;
	told->upcalls[at] = handler->upcalls[at];
	told->packets[at] = packet;
	told->keys[at] = type == TYPE_MISS ? hash_key(told, key, key_length) : 0;
	told->next = 0;
	told->type = type;
	told->length = length;
	told->key_length = key_length;
	return tell(told, handler, at);
}

/* op_flow_execute. */
__noinline u64 ovs_executed(u64 packet, u64 length)
{
	struct handler *handler = this_handler();
	struct told *told = this_told();
	u32 found;

	if (!handler || !told)
		return 0;
	handler->told_ahead++;
	handler->told_last = BATCH;
	told->upcall = 0;
	told->index = BATCH;
#pragma nounroll
	for (u32 i = 1; i <= BATCH; i++) {
		if (told->packets[BATCH - i] == packet && is_told(told, handler, BATCH - i)) {
			told->index = BATCH - i;
			break;
		}
	}
	found = told->index;
	if (found >= BATCH)
		return 0;
	handler->told_executed |= 1ULL << found;
	handler->told_last = found;
	if (!is_content(told, handler, found, packet, length))
		return 0;
	told->next = found + 1;
	return tell(told, handler, found);
}

/* op_flow_put. */
__noinline u64 ovs_put(u64 key, u64 key_length)
{
	struct handler *handler = this_handler();
	struct told *told = this_told();
	u32 found;
	u64 hash;

	if (!handler || !told)
		return 0;
	told->upcall = 0;
	hash = hash_key(told, key, key_length);
	if (!hash)
		return 0;
	told->index = BATCH;
#pragma nounroll
	for (u32 i = 0; i < BATCH; i++) {
		if (told->keys[i] == hash && i >= told->next && is_told(told, handler, i)) {
			told->index = i;
			break;
		}
	}
	found = told->index;
	if (found >= BATCH)
		return 0;
	told->next = found + 1;
	return tell(told, handler, found);
}

/* The beginning of `struct dpif_flow_put`. */
struct flow_put_start {
	u64 flags;
	u64 key;
	u64 key_length;
};

/* The packet that a hit is about. */
static __always_inline u64 told_packet(struct hit *hit)
{
	u64 type, packet, length, key, key_length;
	struct flow_put_start put;

	if (is_probe(hit, ovs_at_receive)) {
		if (read_usdt_argument(hit, 1, &type) && read_usdt_argument(hit, 2, &packet) &&
		    read_usdt_argument(hit, 3, &length) && read_usdt_argument(hit, 4, &key) &&
		    read_usdt_argument(hit, 5, &key_length))
			return ovs_received(type, packet, length, key, key_length);
	} else if (is_probe(hit, ovs_at_execute)) {
		if (read_usdt_argument(hit, 2, &packet) && read_usdt_argument(hit, 3, &length))
			return ovs_executed(packet, length);
	} else if (is_probe(hit, ovs_at_put)) {
		if (read_usdt_argument(hit, 1, &packet) &&
		    !bpf_probe_read_user(&put, sizeof(put), (void *)packet))
			return ovs_put(put.key, put.key_length);
	}
	return 0;
}

static __always_inline void told_receive(struct hit *hit, struct told *told, struct handler *handler)
{
	struct ovs_received_event *event = append(hit, COLLECTOR_OVS, OVS_RECEIVED, sizeof(*event));

	if (!event || told->index >= BATCH)
		return;
	event->upcall_id = told->upcall;
	event->batch_timestamp = handler->began;
	event->key_size = told->key_length;
	event->type = told->type;
	event->packet_size = told->length;
	event->queue_id = handler->lengths[told->index] ? queue_id(handler->hashes[told->index]) : 0;
	event->batch_index = told->index;
}

static __always_inline void told_operation(struct hit *hit, struct told *told, struct handler *handler, u8 kind)
{
	struct ovs_operation_event *event = append(hit, COLLECTOR_OVS, kind, sizeof(*event));

	if (!event || told->index >= BATCH)
		return;
	event->upcall_id = told->upcall;
	event->batch_timestamp = handler->began;
	event->queue_id = handler->lengths[told->index] ? queue_id(handler->hashes[told->index]) : 0;
	event->batch_index = told->index;
}

static __always_inline void append_told(struct hit *hit)
{
	struct handler *handler = this_handler();
	struct told *told = this_told();

	if (!hit->number || !handler || !told || !told->upcall || told->index >= BATCH)
		return;
	if (is_probe(hit, ovs_at_receive))
		told_receive(hit, told, handler);
	else if (is_probe(hit, ovs_at_execute))
		told_operation(hit, told, handler, OVS_FLOW_EXECUTE);
	else if (is_probe(hit, ovs_at_put))
		told_operation(hit, told, handler, OVS_FLOW_PUT);
}

#endif
