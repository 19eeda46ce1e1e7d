/*
 * fake_store: the other end of a store client, on the same loop: gives the answer it was told to give, or by the model
 * of greylisting and the time it is told, and keeps what it was asked, a line each:
 *
 *     ask org:example.com net:192.0.2.0/24 ip:192.0.2.7 anna@example.org bert@example.com
 *     look (net:192.0.2.0/24) ip:192.0.2.7 <> bert@example.com             read-only; in parentheses: looked up only
 *     credit ip:192.0.2.7 anna@example.org bert@example.com
 */
#pragma once

#include "net/stream.h"
#include "store/client.h"

enum { FAKE_STORE_ROWS_MAX = 256 };

struct fake_store {
    struct stream stream; /* first: found again by it */
    enum { FAKE_STORE_ANSWERS, FAKE_STORE_REMEMBERS, FAKE_STORE_IS_SILENT, FAKE_STORE_IS_AWAY } mood;
    struct greylist_answer answer; /* FAKE_STORE_ANSWERS */
    int64_t now;                   /* FAKE_STORE_REMEMBERS: in seconds */
    struct greylist_settings settings;
    struct row rows[FAKE_STORE_ROWS_MAX];
    size_t n_rows;
    struct buf heard;
};

/* Connects `client` to it. */
void fake_store_open(struct fake_store *store, struct loop *loop, struct store_client *client);
void fake_store_close(struct fake_store *store);
