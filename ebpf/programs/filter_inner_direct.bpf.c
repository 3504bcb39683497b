// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For kernels on which programs can load from any address. */
#define DIRECT_READS
#include "filter_inner.bpf.c"
