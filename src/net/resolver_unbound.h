/*
 * resolver_unbound: a libunbound context set up as the settings of a resolver say, with the bounds of ours.
 */
#pragma once

#include "net/resolver.h"
#include "net/resolver_events.h"

/*
 * `base` is borrowed for the context's life. The first question has been asked when this returns, so that nothing is
 * opened after the sandbox. Returns 0, -EINVAL (a setting that libunbound does not take; `ret_error` says which,
 * static) or -ENOMEM.
 */
int resolver_unbound_new(struct ub_event_base *base, const struct resolver_settings *settings, struct ub_ctx **ret_ub,
                         const char **ret_error);
