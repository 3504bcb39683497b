// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a hit to a record in the ring. The programs of the probe types call process(). */
#include <tracer/engine.h>
#include <tracer/atomic.h>
#include <tracer/direct.h>
#include <tracer/dispatch.h>
#include <tracer/filter.h>
#include <tracer/packet.h>
#include <tracer/sampling.h>
#include <tracer/tracking.h>
#include <tracer/usdt.h>

#include <bpf/bpf_tracing.h>

volatile bool enabled;

const volatile bool has_cookies = true;

const volatile u32 event_size = EVENT_FIXED_SIZE;

/* There are probes at which only what a collector selects becomes an event. */
const volatile bool has_selective_probes;

/* The index under which the first link place stands among the probes. */
const volatile u32 first_link_place;

/* Bytes in the ring from which on the reader is woken; below it looks by itself, every few dozen milliseconds. */
const volatile u64 wake_level = 1 << 20;

/* Least time between two wake-ups, ns: one costs more than the rest of a hit. */
#define WAKE_INTERVAL 1000000

/* Only every so many events it is asked how full the ring is. */
#define WAKE_CHECK 16

/* When the reader was last woken. Two CPUs that meet here wake it twice. */
static volatile u64 woken;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

/* Sized by the loader: one entry a probe. */
struct probe_map probes SEC(".maps");

/* Which probe is at which address; used where there are no cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, u64);
} probes_by_address SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct loss_counters);
} losses SEC(".maps");

volatile u64 vmemmap_base_at;
volatile u64 page_offset_base_at;

/* Stand-ins for filters that a session does not have. */
__weak int filter_packet(u32 slot, u32 filter, u64 packet, u32 flags, u64 socket)
{
	return 1;
}

__weak int filter_metadata(u32 slot, u32 filter, u64 packet)
{
	return 1;
}

/* Stands in where there are no USDT probes. */
__weak INTERNAL int read_usdt_argument(struct hit *hit, u32 number, u64 *value)
{
	return 0;
}

/* What is known about calls that have not returned yet. A call that never returns (its task died) is pushed out. */
struct call {
	struct sk_buff *packet;
	struct net_device *device;
	u64 number;
	u32 index;
	/* The filter does not take it: its return is skipped. */
	u32 unwanted;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct call_key);
	__type(value, struct call);
} calls SEC(".maps");

struct scratch_map scratch_memory SEC(".maps");

INTERNAL int count_loss(u32 index, u32 cause)
{
	struct loss_counters *counters = bpf_map_lookup_elem(&losses, &index);

	if (counters && cause < LOSS_CAUSES)
		__sync_fetch_and_add(&counters->count[cause], 1);
	return 0;
}

INTERNAL u64 index_at(u64 address)
{
	u64 *index = bpf_map_lookup_elem(&probes_by_address, &address);

	return index ? *index : ~0ULL;
}

static __always_inline struct scratch *claim_scratch(struct hit *hit)
{
	u32 first = bpf_get_smp_processor_id() * SCRATCH_SLOTS;

	for (u32 i = 0; i < SCRATCH_SLOTS; i++) {
		u32 key = first + i;
		struct scratch *slot = bpf_map_lookup_elem(&scratch_memory, &key);

		if (slot && !exchange(&slot->busy, 1)) {
			hit->slot = key;
			return slot;
		}
	}
	return NULL;
}

/* Copies a part of the packet's `sk_buff`, and returns the packet's buffer. */
static __always_inline u64 copy_packet(struct hit *hit, struct scratch *scratch, u32 from, u32 to)
{
	struct sk_buff *copy = (void *)scratch->skb;

	if (to > SKB_COPY_SIZE)
		to = SKB_COPY_SIZE;
	if (bpf_probe_read_kernel(scratch->skb + from, to - from, (void *)hit->packet + from)) {
		incomplete(hit);
		hit->packet = NULL;
		return 0;
	}
	return (u64)copy->head;
}

/* Reads what there is to know of the packet, in one go. */
static __always_inline u64 read_packet(struct hit *hit, struct scratch *scratch)
{
	u64 head = copy_packet(hit, scratch, 0, bpf_core_type_size(struct sk_buff));

	if (hit->packet)
		hit->skb = (void *)scratch->skb;
	return head;
}

/* Reads what a packet filter needs, and returns the packet's buffer. */
static __always_inline u64 read_places(struct hit *hit, struct scratch *scratch)
{
	struct sk_buff *copy = (void *)scratch->skb;
	u64 head = head_of((u64)hit->packet);

	/* The filter reads the rest in its place. */
	if (head) {
		copy->head = (void *)head;
		return head;
	}
	return copy_packet(hit, scratch, bpf_core_field_offset(struct sk_buff, len),
			   bpf_core_field_offset(struct sk_buff, data) + sizeof(unsigned char *));
}

/* Only the packet's buffer: without memory to read the rest into, or before it is known whether that is wanted. */
static __always_inline u64 read_head(struct hit *hit)
{
	struct sk_buff *packet = hit->packet;
	u64 head = 0;

	bpf_core_read(&head, sizeof(head), &packet->head);
	return head;
}

/* Asks the filter of the probe. */
static __always_inline bool passes_filter(struct hit *hit, struct scratch *scratch)
{
	u32 flags = hit->probe->flags, filter = hit->probe->filter;
	u64 packet = (u64)hit->packet;

	if (!packet && flags & PROBE_FILTER_NEEDS_PACKET) {
		if (hit->incomplete)
			count_loss(hit->index, LOSS_FILTER_UNREADABLE);
		return false;
	}
	if (!scratch) {
		count_loss(hit->index, LOSS_NO_SCRATCH);
		return false;
	}
	if (flags & PROBE_FILTER_PACKET && !filter_packet(hit->slot, filter, packet, flags, (u64)hit->socket_argument)) {
		if (scratch->view.unreadable)
			count_loss(hit->index, LOSS_FILTER_UNREADABLE);
		return false;
	}
	return !(flags & PROBE_FILTER_METADATA) || filter_metadata(hit->slot, filter, packet);
}

/*
 * Whether the filter takes a hit, which is decided before anything is paid for an event. Finds out who the packet is, beginning to
 * track it if need be. A packet passes a filter that it has passed before, whatever became of it since.
 */
static __always_inline bool is_wanted(struct hit *hit, struct scratch *scratch)
{
	u32 filter = hit->probe->filter;
	/* Most packets don't match: until it is known, no more is read than the filter needs. */
	bool is_partial = filter && scratch && !(hit->probe->flags & PROBE_FILTER_METADATA);
	u64 head = 0;

	if (hit->packet)
		head = is_partial ? read_places(hit, scratch) : scratch ? read_packet(hit, scratch) : read_head(hit);
	if (tracking_enabled && head && may_be_tracked(head))
		hit->number = tracked_number(head);
	if (filter && !(hit->number && has_passed(hit->number, filter))) {
		/* It is held, and can't be looked at. */
		if (hit->number && !hit->packet)
			return false;
		if (!passes_filter(hit, scratch))
			return false;
		if (hit->number)
			note_passed(hit->number, filter);
	}
	if (is_partial && hit->packet)
		read_packet(hit, scratch);
	hit->timestamp = bpf_ktime_get_ns();
	if (tracking_enabled && head && !hit->number && !(hit->probe->flags & PROBE_PACKET_MAY_BE_GONE)) {
		hit->number = begin_tracking(head, hit->timestamp);
		if (filter && hit->number)
			note_passed(hit->number, filter);
	}
	return true;
}

/* Under a cap on events: whether this one is left out. */
static __always_inline bool is_left_out(struct hit *hit)
{
	if (!event_interval)
		return false;
	return hit->number ? hit->number & LEFT_OUT : !admit_event(hit->timestamp);
}

static __always_inline void append_stack(struct hit *hit)
{
	const u32 room = STACK_DEPTH * sizeof(u64);
	u64 *frames = append(hit, COLLECTOR_CORE, CORE_STACK, room);
	long size;

	if (!frames)
		return;
	size = bpf_get_stack(hit->context, frames, room, 0);
	if (size <= 0 || size > room) {
		take_back(hit, room);
		return;
	}
	((struct section_header *)frames - 1)->size = size;
	hit->length -= room - size;
}

static __always_inline void append_user(struct hit *hit)
{
	u64 *place = append(hit, COLLECTOR_CORE, CORE_USER, sizeof(*place));
	const u32 offset = __builtin_offsetof(__typeof__(*__PT_REGS_CAST((struct pt_regs *)NULL)), __PT_IP_REG);

	if (place && bpf_probe_read_kernel(place, sizeof(*place), hit->context + offset))
		take_back(hit, sizeof(*place));
}

static __always_inline void send(struct hit *hit, struct scratch *scratch)
{
	u64 flags = BPF_RB_NO_WAKEUP;
	u32 length = hit->length;

	/* For the verifier: append() does not let it happen. */
	if (length > event_size) {
		count_loss(hit->index, LOSS_NO_SCRATCH);
		return;
	}
	if (!(++scratch->built % WAKE_CHECK) && hit->timestamp - woken > WAKE_INTERVAL &&
	    bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= wake_level) {
		woken = hit->timestamp;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	if (bpf_ringbuf_output(&ring, hit->event, length, flags))
		count_loss(hit->index, LOSS_RING_FULL);
}

/* Builds and sends the event of a hit that is wanted. */
static __always_inline void build_event(struct hit *hit, struct scratch *scratch)
{
	struct record_header *header = (void *)scratch->event;
	u64 task = bpf_get_current_pid_tgid();

	hit->event = scratch->event;
	header->timestamp = hit->timestamp;
	header->process_id = task >> 32;
	header->thread_id = task;
	bpf_get_current_comm(header->comm, sizeof(header->comm));
	header->probe = hit->index;
	header->cpu = bpf_get_smp_processor_id();
	hit->length = sizeof(*header);

	call_hooks(hit);
	if (hit->context && hit->probe->flags & PROBE_STACK)
		append_stack(hit);
	if (hit->context && hit->probe->flags & PROBE_USER)
		append_user(hit);

	header->incomplete = hit->incomplete;
	if (hit->incomplete)
		count_loss(hit->index, LOSS_INCOMPLETE);
	send(hit, scratch);
}

/* Counts the hit, and builds its event when there is memory to do so. */
static __always_inline void finish(struct hit *hit, struct scratch *scratch)
{
	if (hit->number && !identify(hit, hit->number)) {
		hit->number = 0;
		if (event_interval)
			charge_event();
	}
	if (scratch)
		build_event(hit, scratch);
	else
		count_loss(hit->index, LOSS_NO_SCRATCH);
}

INTERNAL int process(struct hit *hit)
{
	/* Under a cap most hits are left out: what they don't need is done when that is known. */
	bool late = event_interval && hit->probe && !hit->probe->filter;
	struct scratch *scratch = NULL;

	if (!hit->probe)
		return 0;
	if (hit->probe->flags & PROBE_DECIDED && !hit->is_return && is_refused(hit))
		return 0;
	hit->address = (u64)hit->packet;
	if (!late)
		scratch = claim_scratch(hit);
	if (!hit->is_return && !is_wanted(hit, scratch))
		goto release;
	if (has_selective_probes && hit->probe && hit->probe->flags & PROBE_SELECTIVE && !is_selected(hit))
		goto release;
	if (is_left_out(hit)) {
		count_loss(hit->index, LOSS_SAMPLED_OUT);
		goto release;
	}
	if (late)
		scratch = claim_scratch(hit);
	if (hit->is_return)
		hit->packet = NULL;
	else if (late && scratch && hit->packet)
		read_packet(hit, scratch);
	finish(hit, scratch);
release:
	if (scratch)
		scratch->busy = 0;
	return 0;
}

__noinline int report_link(u64 packet, u64 number, u32 place)
{
	struct hit hit = { .packet = (void *)packet, .address = packet, .number = number };
	struct scratch *scratch;

	if (!enabled || place >= LINK_PLACES || !configure(&hit, first_link_place + place))
		return 0;
	hit.timestamp = bpf_ktime_get_ns();
	if (is_left_out(&hit)) {
		count_loss(hit.index, LOSS_SAMPLED_OUT);
		return 0;
	}
	scratch = claim_scratch(&hit);
	if (scratch)
		read_packet(&hit, scratch);
	finish(&hit, scratch);
	if (scratch)
		scratch->busy = 0;
	return 0;
}

INTERNAL int wants_call(struct hit *hit)
{
	struct scratch *scratch = NULL;
	bool wanted;

	if (!hit->probe)
		return 0;
	/* Only a filter reads more of the packet than where its buffer is. */
	if (hit->probe->filter)
		scratch = claim_scratch(hit);
	wanted = is_wanted(hit, scratch);
	if (scratch)
		scratch->busy = 0;
	return wanted;
}

INTERNAL int remember_call(struct hit *hit, struct call_key *key, bool wanted)
{
	struct call call = { .number = hit->number, .index = hit->index, .unwanted = !wanted };
	struct sk_buff *packet = hit->packet;

	call.packet = packet;
	if (packet)
		bpf_core_read(&call.device, sizeof(call.device), &packet->dev);
	if (!call.device)
		call.device = hit->device_argument;
	if (key && !bpf_map_update_elem(&calls, key, &call, BPF_ANY))
		return 1;
	count_loss(hit->index, LOSS_CALL_TABLE_FULL);
	return 0;
}

INTERNAL int recall(struct hit *hit, struct call_key *key)
{
	struct call *call = key ? bpf_map_lookup_elem(&calls, key) : NULL;

	if (!call)
		return 0;
	hit->is_return = true;
	hit->packet = call->packet;
	hit->device_argument = call->device;
	hit->number = call->number;
	if (call->unwanted)
		hit->probe = NULL;
	else
		configure(hit, call->index);
	bpf_map_delete_elem(&calls, key);
	return 1;
}

INTERNAL int is_remembered(struct call_key *key)
{
	return key && bpf_map_lookup_elem(&calls, key);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
