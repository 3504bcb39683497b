/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the engine calls: defined by the dispatcher that the collectors' build script generates. */
#ifndef TRACER_DISPATCH_H
#define TRACER_DISPATCH_H

#include <tracer/hit.h>

/* Calls the hooks of the collectors that look at this probe. */
INTERNAL int call_hooks(struct hit *hit);

/* Asks the collectors that decide at this probe (PROBE_DECIDED). True: no event is to be made of the hit. */
INTERNAL int is_refused(struct hit *hit);

/* Whether one of these collectors selects the hit. */
INTERNAL int is_selected(struct hit *hit);

#endif
