/*
 * resolver_events: libunbound's pluggable event interface on our loop.
 *
 * libunbound asks for descriptors and timers through two tables of functions; each of its events is a watch and a
 * timer of ours.
 */
#pragma once

#include "net/loop.h"

#include <unbound.h>

#include <unbound-event.h>

/* The base for ub_ctx_create_ub_event(); lives until free() after the context's end. NULL: no memory. */
struct ub_event_base *resolver_events_new(struct loop *loop);
