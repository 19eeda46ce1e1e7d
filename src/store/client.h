/*
 * client: the store as a worker sees it: a question in, an answer later, nothing that blocks.
 *
 * One client a worker, over a stream socket to the store process that the master made. Questions of one turn leave in
 * one write, answers of one batch come in one read. The store may be absent, slow, or die at any time: then the answer
 * is STORE_UNAVAILABLE, at once or after `timeout_ms`, and the master brings a new descriptor with client_connect().
 * The three laws of net/loop.h hold. Bounded: at most STORE_PENDING_MAX questions wait; more are unavailable at once.
 */
#pragma once

#include "net/loop.h"
#include "store/greylist.h"

enum { STORE_PENDING_MAX = 4096 };

enum store_result { STORE_ANSWERED, STORE_UNAVAILABLE };

struct store_client;
struct store_ask;

typedef void store_ask_fn(void *arg, enum store_result result, const struct greylist_answer *answer);

/* Without a connection until client_connect(). Returns 0 or -errno. */
int store_client_new(struct loop *loop, struct store_client **ret_client);
void store_client_free(struct store_client *take_client); /* pending ones are cancelled silently; accepts NULL */

/* A (new) store process is at the other end of `take_fd`; what the old one owed is unavailable. -1: there is none. */
void store_client_connect(struct store_client *client, int take_fd);

/* `question` is copied. NULL: no memory. */
struct store_ask *store_ask_start(struct store_client *client, const struct greylist_question *question,
                                  uint64_t timeout_ms, store_ask_fn *done, void *arg);
void store_ask_cancel(struct store_ask *take_ask); /* not after `done`; accepts NULL */

/* Fire and forget: the transaction that was asked about ended well. */
void store_credit(struct store_client *client, const struct greylist_question *question);
