/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the eBPF programs and user space say to each other. C includes this header, Rust gets it through bindgen.
 * All integers are in host byte order. User space copies records out byte by byte, so nothing depends on alignment.
 */
#ifndef TRACER_WIRE_H
#define TRACER_WIRE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* An argument number that stands for "there is none". */
#define NO_ARGUMENT 0xff

/*
 * Stands in raw tracepoint programs for the index of their probe, where the kernel has no cookies for them: each tracepoint
 * then has a copy of the program, into which the loader writes the index in place of this mark.
 */
#define INDEX_MARK 0x74726163657249ULL

/*
 * In the table of probes by address, return probes stand under the address of their function with this bit cleared: the same
 * function can have a probe at its entry too. Addresses of the kernel have it set.
 */
#define RETURN_ADDRESS_BIT 0x8000000000000000ULL

/* How functions get their arguments: so many in registers, the others so many bytes above the stack pointer. */
#if defined(__TARGET_ARCH_x86) || defined(__x86_64__)
#define REGISTER_ARGUMENTS 6
/* The return address is on top of the stack. */
#define STACK_ARGUMENTS 8
#else
#define REGISTER_ARGUMENTS 8
#define STACK_ARGUMENTS 0
#endif

/* Deepest stack that is recorded, in frames. */
#define STACK_DEPTH 64

/* Room for everything in an event but the packet's bytes. */
#define EVENT_FIXED_SIZE 1536

/* Room in front of an event, where the `sk_buff` that the event is about is copied to (232 bytes on 6.1 to 7.2). */
#define SKB_COPY_SIZE 256

/*
 * So many bytes of the beginning of a packet are at hand for a packet filter: Ethernet, a VLAN tag, IPv6 and ports fit. It asks for
 * others one by one.
 */
#define FILTER_WINDOW 64

/* So many arguments of probes can be asked for by collectors, all together. */
#define ARGUMENT_SLOTS 8

/* Slots of scratch memory a CPU has: task, softirq, hardirq and NMI can each be in the middle of an event. */
#define SCRATCH_SLOTS 4

enum probe_flags {
	/* The packet argument points to a pointer to the packet (or to a struct that holds one, at `packet_offset`). */
	PROBE_PACKET_INDIRECT = 1,
	/* Record the kernel stack. */
	PROBE_STACK = 2,
	/* The packet may have been freed already: never begin to track at this probe. */
	PROBE_PACKET_MAY_BE_GONE = 4,
	/* Its filter has a packet filter. */
	PROBE_FILTER_PACKET = 8,
	/* Its packet filter speaks of VLAN tags: one that is beside the packet's bytes counts as one of them. */
	PROBE_FILTER_VLAN = 16,
	/* Its filter has a metadata filter. */
	PROBE_FILTER_METADATA = 32,
	/* Its metadata filter asks about the packet, not only about the task. */
	PROBE_FILTER_NEEDS_PACKET = 64,
	/* A tracepoint: its programs see the arguments one after the other, not registers. */
	PROBE_TRACEPOINT = 128,
	/* A place in a program: the registers are those of user space, and there is no packet. */
	PROBE_USER = 256,
};

/* Filters are numbered from 1 on: one bit for each says which a packet has passed. */
#define MAX_FILTERS 64

/* A packet as a packet filter sees it. */
struct packet_view {
	/* Where its first byte is in the kernel's memory. */
	__u64 start;
	/* Where its struct sk_buff is, for the bytes that are not in one piece with the first. */
	__u64 skb;
	/* Bytes from `start` on that are in one piece. */
	__u32 linear;
	/* Bytes that there are. A filter that asks for others does not match. */
	__u32 length;
	/* What the filter calls its length (`len`, `greater`, `less`). */
	__u32 wire_length;
	/* Bytes that are in the window: `length`, or FILTER_WINDOW when that is less. */
	__u32 window_length;
	/* How many bytes of the packet's fragments lie before those of this view. */
	__u32 fragments_from;
	/* Bytes that the filter asked for and that could not be read. */
	__u32 unreadable;
	__u8 window[FILTER_WINDOW];
};

/* What the function `load` of a packet filter returns when the packet has no such bytes. */
#define OUT_OF_RANGE (~0ULL)

/* How a packet begins. */
enum packet_kind {
	/* It can't be filtered: there is no header, and nothing to build one from. */
	PACKET_HEADLESS,
	PACKET_ETHERNET,
	/* With an IPv4 or IPv6 header. */
	PACKET_RAW,
};

/* What is in the datagrams to a port. */
enum tunnel_kind {
	/* VXLAN or Geneve: they can be told apart. */
	TUNNEL_UNKNOWN,
	/* VXLAN-GPE too: a bit says so. */
	TUNNEL_VXLAN,
	TUNNEL_GENEVE,
	/* A packet of IP or GRE, right behind the UDP header. */
	TUNNEL_FOU,
	TUNNEL_GUE,
};

/* What the programs know about one probe. Argument numbers count from 0. */
struct probe_config {
	/* Collectors that look at this probe, one bit for each (`COLLECTOR_...`). */
	__u32 collectors;
	__u16 flags;
	__u16 packet_offset;
	__u8 packet_argument;
	__u8 device_argument;
	__u8 namespace_argument;
	/* The filter that decides here, 0: none. */
	__u8 filter;
	/* Asked for only where a packet filter decides. */
	__u8 socket_argument;
	/* What collectors asked for, by slot. */
	__u8 arguments[ARGUMENT_SLOTS];
	/* The number under which the hooks of collectors know it, 0: under none. */
	__u8 mark;
	__u8 padding[2];
};

/* The beginning of every record in the ring. */
struct record_header {
	/* CLOCK_MONOTONIC, ns */
	__u64 timestamp;
	__u32 process_id;
	__u32 thread_id;
	char comm[16];
	/* Index of the probe, as in the configuration. */
	__u32 probe;
	__u16 cpu;
	/* Sections that had no room or could not be read, capped at 65535. */
	__u16 incomplete;
};

/* The beginning of every section in a record; `size` bytes follow. */
struct section_header {
	/* Collector, or COLLECTOR_CORE. */
	__u8 collector;
	/* Which of the collector's sections. */
	__u8 kind;
	__u16 padding;
	__u32 size;
};

/* The collector number under which the core itself writes sections. */
#define COLLECTOR_CORE 0xff

enum core_section {
	/* Return addresses, __u64 each, innermost first. */
	CORE_STACK = 0,
	/* Where in its program a process was, __u64; of every PROBE_USER. */
	CORE_USER = 1,
};

/* Why an event, or a part of one, is missing. */
enum loss_cause {
	/* No room in the ring. */
	LOSS_RING_FULL,
	/* All scratch slots of the CPU were in use. */
	LOSS_NO_SCRATCH,
	/* A section was left out: no room, or the kernel's memory could not be read. The event itself is there. */
	LOSS_INCOMPLETE,
	/* The return of a call whose entry could not be remembered. */
	LOSS_CALL_TABLE_FULL,
	/* The return of a call whose entry is not known: it was made before collection began, or pushed out by others. */
	LOSS_ENTRY_UNKNOWN,
	/* Bytes that a packet filter asked for could not be read: whether the packet matches is not known, and it is left out. */
	LOSS_FILTER_UNREADABLE,
	/* Left out to keep the cap on events: no loss, but what the user asked for. */
	LOSS_SAMPLED_OUT,
	LOSS_CAUSES,
};

struct loss_counters {
	__u64 count[LOSS_CAUSES];
};

/* Who a packet is. */
struct packet_id {
	/* When it was first seen: CLOCK_MONOTONIC, ns. */
	__u64 first_seen;
	/* The address of its buffer then. */
	__u64 first_head;
};

/* How a packet came out of another one, or took another one in. 0: not at all. */
enum link_kind {
	/* Its bytes were copied. */
	LINK_COPY = 1,
	/* It is a part of a packet that was too large for a device (GSO). */
	LINK_SEGMENT,
	/* It is a fragment of a datagram. */
	LINK_FRAGMENT,
	/* TCP sends it again. */
	LINK_RETRANSMISSION,
	/* Another one was appended to it (GRO). */
	LINK_MERGE,
	/* Another one is a fragment of the datagram that it has become. */
	LINK_REASSEMBLY,
};

struct packet_link {
	/* The packet that this one came out of, or that it took in. */
	struct packet_id other;
	/* The oldest ancestor of this packet. */
	struct packet_id root;
	/* enum link_kind */
	__u32 kind;
	__u32 padding;
};

/* A slot of the table of tracked packets. */
struct tracked_packet {
	/* The number of the packet in this slot; 0 while it is filled in. */
	__u64 number;
	__u64 first_seen;
	__u64 first_head;
	__u64 hits;
	/* Buffers that lead here. 0: the slot is free. */
	__u64 buffers;
	/* Filters that it has passed, one bit for each. */
	__u64 passed;
	/* Under a cap on events: how many of its events the budget has been charged with in advance. */
	__u64 expected;
	/* Its oldest ancestor; itself, when it came out of no other. */
	struct packet_id root;
	/* The other packet of the link that its next event is to tell; `link` 0: none. */
	struct packet_id other;
	__u32 link;
	__u32 padding;
};

/* Set in the number of a packet whose events are not recorded. */
#define LEFT_OUT (1ULL << 63)

/* Where tracking makes events of its own. They count as probes behind those of the session. */
enum link_place {
	PLACE_GRO,
	PLACE_GRO_LIST,
	PLACE_REASSEMBLY,
	LINK_PLACES,
};

/* What happened to the table of tracked packets. */
struct tracking_counters {
	__u64 tracked;
	/* Live packets that made room for newer ones. */
	__u64 evicted;
	/* Packets that could not be entered. */
	__u64 failed;
	/* Packets whose origin could not be noted: there were too many at once. */
	__u64 unlinked;
};

/* A share of the packets is given in parts of this. */
#define SAMPLING_ALL 0x100000000ULL

/* How many events a packet has on average is given in parts of this. */
#define AVERAGE_ONE 256

/* What became of packets under a cap on events. */
struct sampling {
	__u64 packets;
	__u64 packets_left_out;
	/* The share of the packets that pass, as it was last set, and the lowest one so far. */
	__u64 share;
	__u64 lowest_share;
};

#endif
