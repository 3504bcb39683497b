/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For libbpf's <bpf/usdt.bpf.h>: the system's header includes that of an architecture, and eBPF is none. */
#ifndef TRACER_LINUX_ERRNO_H
#define TRACER_LINUX_ERRNO_H

#define ENOENT 2
#define ESRCH 3
#define EINVAL 22

#endif
