/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One hit of a probe, as the collectors' hooks see it, and how they add sections to its event.
 *
 * A hook is `HOOK(name)` followed by a body in braces; its argument is `struct hit *hit`. It returns nothing of interest:
 * what it could not read, it leaves out, and says so with `incomplete()`.
 *
 * `SELECT(name)`, with such a body too, is for collectors that watch probes (`Needs::watch`): whether it has something to say there.
 * It is called before the hit counts as one of its packet.
 */
#ifndef TRACER_HIT_H
#define TRACER_HIT_H

#include <tracer/kernel.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include <tracer/wire.h>

/* Linked as a static function: 5.10 refuses global ones that take pointers. */
#define INTERNAL __attribute__((visibility("hidden")))

#define HOOK(name) INTERNAL int hook_##name(struct hit *hit)
#define SELECT(name) INTERNAL int select_##name(struct hit *hit)

/*
 * Beside its hook, a collector may have `REFUSE(name)` and a body, for probes at which it decides whether a hit is wanted
 * (`Needs::decides_at`). It returns true when no event is to be made. It is asked before anything else is done: the packet is neither
 * read nor tracked yet, and `hit->packet` can be set to NULL where it is not to be touched.
 *
 * A hit without a packet may be about one that is held while it has no buffer (tracking.h): when `REFUSE` sets `hit->number` to it, the
 * hit becomes one of its own, and is wanted when the packet has passed the probe's filter before.
 */
#define REFUSE(name) INTERNAL int refuse_##name(struct hit *hit)

/* Size of the memory an event is built in: EVENT_FIXED_SIZE and what the collectors asked for beyond. Set by the loader. */
extern const volatile u32 event_size;

/* Where events are built: SCRATCH_SLOTS for each CPU. The loader makes `event` as large as the session needs it. */
struct scratch {
	u64 busy;
	/* Events that were built here. */
	u64 built;
	u8 skb[SKB_COPY_SIZE];
	struct packet_view view;
	u8 event[EVENT_FIXED_SIZE];
};

struct scratch_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct scratch));
};

extern struct scratch_map scratch_memory SEC(".maps");

struct hit {
	const struct probe_config *probe;
	/*
	 * Where the packet is in the kernel. NULL when the hit has none, and at returns: the call may have freed it, and there is
	 * no way to tell (its buffer can live on in a clone, while the `sk_buff` is already somebody else's).
	 */
	struct sk_buff *packet;
	/* The address of the packet's `sk_buff`, at returns as it was at the entry. Not to be followed. */
	u64 address;
	/*
	 * A copy of the packet's `sk_buff` to read members from directly, NULL when there is no packet or it could not be
	 * read. Pointers in it point into the kernel: follow them with BPF_CORE_READ_INTO or bpf_probe_read_kernel.
	 */
	const struct sk_buff *skb;
	/* Other arguments that the probe has, NULL when it has not. */
	struct net_device *device_argument;
	struct net *namespace_argument;
	union {
		/* What the probed function returned; only at return probes. */
		u64 returned;
		/* Another argument, for packet filters; only at entries. In the same place: the stack is short. */
		struct sock *socket_argument;
	};
	/* The packet's number; 0: not tracked. */
	u64 number;
	/* Who the packet is: first seen at `first_seen` with its buffer at `first_head`. */
	u64 first_seen;
	u64 first_head;
	/* How many hits this packet had before. */
	u64 sequence;
	/* CLOCK_MONOTONIC, ns */
	u64 timestamp;
	/* The event being built: `event_size` bytes, in this slot of `scratch_memory`. */
	u8 *event;
	u32 slot;
	u32 length;
	/* Index of the probe. */
	u32 index;
	/* What could not be read. Small, like the rest: the stack is short. */
	u16 incomplete;
	/* A call has returned. */
	bool is_return;
	/* What the program was started with, for bpf_get_stack. */
	void *context;
	/* Where the arguments of a USDT probe are: see tracer/usdt.h. NULL: it is none. */
	const struct __bpf_usdt_spec *usdt;
};

/*
 * Whether this is a probe that the hook's collector wants to recognise (`Needs::recognise`). `mark` is a `const volatile u32` of the hook, which
 * the session sets.
 */
static __always_inline bool is_probe(struct hit *hit, u32 mark)
{
	return mark && hit->probe->mark == mark;
}

/* Says that something which belongs into the event is missing from it. */
static __always_inline void incomplete(struct hit *hit)
{
	if (hit->incomplete < 0xffff)
		hit->incomplete++;
}

/*
 * Adds a section whose size is known at compile time and returns where its content goes. NULL when the event is full.
 * The content is not zeroed.
 */
static __always_inline void *append(struct hit *hit, u8 collector, u8 kind, const u32 size)
{
	u32 at = hit->length;
	struct section_header *header;

	if (at > event_size - sizeof(*header) - size) {
		incomplete(hit);
		return NULL;
	}
	header = (void *)(hit->event + at);
	header->collector = collector;
	header->kind = kind;
	header->padding = 0;
	header->size = size;
	hit->length = at + sizeof(*header) + size;
	return header + 1;
}

/* Takes back the section that was appended last and has `size` bytes: there is nothing to say. */
static __always_inline void retract(struct hit *hit, const u32 size)
{
	hit->length -= sizeof(struct section_header) + size;
}

/* The same, because it could not be filled. */
static __always_inline void take_back(struct hit *hit, const u32 size)
{
	retract(hit, size);
	incomplete(hit);
}

/*
 * Adds a section with a text of the kernel's, which ends with a zero byte; what is behind that means nothing. It takes `size` bytes at
 * most, a multiple of 8; a longer text is cut short.
 */
static __always_inline void append_text(struct hit *hit, u8 collector, u8 kind, const char *text, const u32 size)
{
	char *content = append(hit, collector, kind, size);
	long length;

	if (!content)
		return;
	length = bpf_probe_read_kernel_str(content, size, text);
	if (length <= 0 || length > size) {
		take_back(hit, size);
		return;
	}
	length = (length + 7) & ~7;
	((struct section_header *)content - 1)->size = length;
	hit->length -= size - length;
}

/* Memory for `size` bytes that are looked at and not sent, until the next section is appended. NULL when the event is full. */
static __always_inline void *room(struct hit *hit, const u32 size)
{
	u32 at = hit->length;

	return at > event_size - size ? NULL : hit->event + at;
}

/* The device that the packet is on: an argument of the probed function, or what the packet says. */
static __always_inline struct net_device *device_of(struct hit *hit)
{
	if (hit->skb && hit->skb->dev)
		return hit->skb->dev;
	return hit->device_argument;
}

#endif
