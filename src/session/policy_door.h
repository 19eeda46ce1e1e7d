/*
 * policy_door: the second door: Postfix asks us by its policy delegation protocol (SMTPD_POLICY_README), and the same
 * policy answers.
 *
 * Set up in Postfix as `check_policy_service` under smtpd_recipient_restrictions. Postfix keeps relay control, TLS,
 * SASL and the message; we judge recipients. Only a request with protocol_state=RCPT is judged, and none of a client
 * that has logged in or stands in relay_clients. The answer to a pass is DUNNO, never OK, so that nothing that we say
 * can open a relay; a refusal is its code and text; whatever is temporary is DEFER_IF_PERMIT, so that a refusal of
 * Postfix's own still counts.
 *
 * A connection serves any number of requests, pipelined ones too, each answered in its turn. One that breaks the
 * protocol is closed without an answer, and Postfix does what its smtpd_policy_service_default_action says.
 *
 * All connections of a worker hang on one struct policy_door; they live by themselves on the worker's loop.
 */
#pragma once

#include "session/session.h"

struct policy_connection;

enum {
    POLICY_CONNECTIONS_MAX = 1000,     /* of all workers: Postfix has 100 smtpd processes as it comes */
    POLICY_CONNECTIONS_MIN = 200,      /* of a worker, however many there are */
    POLICY_IDLE_MS = 600 * 1000,       /* twice Postfix's smtpd_policy_service_max_idle */
    POLICY_REQUEST_TIME_MS = 60 * 1000, /* from a request's first byte to its last, and to take our answers */
};

struct policy_door {
    struct server *server;                /* borrowed */
    struct policy_connection *first, *last; /* silent longest is last */
    unsigned n, max;
    bool is_closing;           /* each connection ends when it has its answers */
    void (*on_empty)(void *arg); /* the last connection has ended; may be NULL */
    void *arg;
};

void policy_door_init(struct policy_door *door, struct server *server, unsigned max);

/* Serves `take_fd`, a TCP or Unix connection. At the limit the one silent longest gives way, or this one. */
void policy_door_start(struct policy_door *door, int take_fd);

/* No descriptors: closes the connection silent longest. False: each one waits for us, or there is none. */
bool policy_door_evict_one(struct policy_door *door);

/*
 * Closes what waits for no answer at once, the rest after it: requests that have been sent are answered. Postfix
 * connects anew.
 */
void policy_door_close(struct policy_door *door);

/* Ends all that is left. */
void policy_door_end_all(struct policy_door *door);
