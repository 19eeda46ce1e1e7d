/*
 * fake_store: the other end of a store client, on the same loop: gives the answer it was told to give, and keeps what
 * it was asked, a line each:
 *
 *     ask org:example.com net:192.0.2.0/24 ip:192.0.2.7 anna@example.org bert@example.com
 *     look (net:192.0.2.0/24) ip:192.0.2.7 <> bert@example.com             read-only; in parentheses: looked up only
 *     credit ip:192.0.2.7 anna@example.org bert@example.com
 */
#pragma once

#include "net/stream.h"
#include "store/client.h"

struct fake_store {
    struct stream stream; /* first: found again by it */
    struct greylist_answer answer;
    enum { FAKE_STORE_ANSWERS, FAKE_STORE_IS_SILENT, FAKE_STORE_IS_AWAY } mood;
    struct buf heard;
};

/* Connects `client` to it. */
void fake_store_open(struct fake_store *store, struct loop *loop, struct store_client *client);
void fake_store_close(struct fake_store *store);
