/*
 * rate: how much has this client done lately?
 *
 * What `client.rate(KIND, WINDOW)` of a policy asks about is counted as it happens, client by client (ip_client_key()).
 * Steering brings all connections of a client to one worker, so each worker counts its own and nothing is shared; a
 * worker that is new, after a reload of the configuration or a crash, has counted nothing yet.
 *
 * A count is never less than what happened within the window (unless the client was forgotten for room), and never
 * more than what happened within a window that is one part in RATE_PARTS longer. Pure but for malloc(); the caller
 * says what time it is.
 */
#pragma once

#include "policy/policy.h"

enum {
    RATE_PARTS = 15,                /* of a window, counted apart */
    RATE_BYTES_MAX = 16 << 20,      /* all clients of a worker; those heard of longest ago give way */
};

struct rates;

/*
 * Makes what this policy's facts need, or NULL in *ret_rates where it asks about no rate: then counting costs nothing.
 * `bytes_max` bounds the memory of clients. Returns 0 or -ENOMEM.
 */
int rates_new(const struct policy *policy, size_t bytes_max, struct rates **ret_rates);

/* Accepts NULL. */
void rates_free(struct rates *take_rates);

/* It happened. `rates` may be NULL. Without memory for a client it is not counted. */
void rates_count(struct rates *rates, uint64_t client, enum rate_kind kind, uint64_t now_ms);

/* How often, within `window_s`. A kind and window that the policy does not ask about has 0. */
uint64_t rates_value(const struct rates *rates, uint64_t client, enum rate_kind kind, uint32_t window_s,
                     uint64_t now_ms);

/* How many clients are counted now, and how many there is room for. */
size_t rates_clients(const struct rates *rates);
size_t rates_clients_max(const struct rates *rates);
