/*
 * What a client hears and a mailbox server gets, whatever either does: one test a promise of design.md section 7.
 *
 * The mailbox servers are fakes on the same loop (fake_server.h) and the loop's clock is set by hand, so nothing here
 * waits.
 */
#include "session/relay.h"
#include "session/relay_text.h"

#include "fake_server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HELLO "EHLO mx.example\r\n"
#define MAIL "MAIL FROM:<a@far.example>\r\n"
#define RCPT "RCPT TO:<b@near.example>\r\n"
#define SIZED "MAIL FROM:<a@far.example> SIZE=15\r\n"
#define TEXT "X: 1\r\n\r\nhello\r\n"

enum { SECOND = 1000 };

struct world {
    struct loop *loop;
    uint64_t now;
    struct fake_server first, second;
    struct conf conf;
    struct conf_group group;
    struct conf_server servers[2];
    struct relay_events events;
    struct relay *relay;
    SSL_CTX *tls;
    char notes[4096], health[4096];
    enum relay_outcome orphan;
    unsigned n_orphans;
    bool is_client_there;
};

struct client {
    struct world *world;
    struct relay_transfer *transfer;
    struct relay_envelope envelope;
    struct relay_message message;
    struct spool spool;
    unsigned n_done, code;
    enum relay_outcome outcome;
    bool ends_in_done;
    char text[SMTP_ANSWER_TEXT_MAX + 1];
};

/* ---- the stage */

static void on_orphan(void *arg, struct str id, const struct relay_result *result) {
    struct world *w = arg;

    assert_true(str_eq(id, STR("session1")));
    w->n_orphans++;
    w->orphan = result->outcome;
}

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
    struct world *w = arg;
    size_t len = strlen(w->health);

    snprintf(w->health + len, sizeof(w->health) - len, "%d %.*s\n", (int)(server - w->servers), STR_ARG(what));
}

static void on_note(void *arg, struct str id, struct str what) {
    struct world *w = arg;
    size_t len = strlen(w->notes);

    snprintf(w->notes + len, sizeof(w->notes) - len, "%.*s\n", STR_ARG(what));
}

static void turns(struct world *w) {
    for (int i = 0; i < 40; i++)
        assert_int_equal(loop_turn(w->loop, 0), 0);
}

static void pass_time(struct world *w, uint64_t ms) {
    w->now += ms;
    loop_set_time(w->loop, w->now);
    turns(w);
}

static void world_init(struct world *w) {
    *w = (struct world){ .now = 1000000, .is_client_there = true };
    assert_int_equal(loop_new(&w->loop), 0);
    loop_set_time(w->loop, w->now);
    fake_server_start(&w->first, w->loop);
    fake_server_start(&w->second, w->loop);
    w->servers[0] = (struct conf_server){ .at = w->first.at, .name = "127.0.0.1" };
    w->servers[1] = (struct conf_server){ .at = w->second.at, .name = "127.0.0.1" };
    w->group = (struct conf_group){ .name = "g", .servers = w->servers, .n_servers = 1 };
    w->conf = (struct conf){ .groups = &w->group, .n_groups = 1, .set = {
        .hostname = "mx.example", .limits = { .server_connections = 4, .recipients = 1000 },
        .timeouts = { .tls_handshake = 30 * SECOND, .relay_hold = 3 * SECOND, .server_connect = 10 * SECOND,
            .server_greeting = 30 * SECOND,
                      .server_command = 60 * SECOND, .server_idle = 60 * SECOND, .server_wait = 5 * SECOND } } };
    w->events = (struct relay_events){ on_orphan, on_server, on_note, w };
}

/* After the test has put its wishes into conf and group. */
static void world_open(struct world *w) {
    assert_int_equal(relay_new(w->loop, &w->conf, w->tls ? &w->tls : NULL, 1, &w->events, &w->relay), 0);
}

static void world_close(struct world *w) {
    relay_free(w->relay);
    turns(w);
    fake_server_stop(&w->first);
    fake_server_stop(&w->second);
    SSL_CTX_free(w->tls);
    loop_free(w->loop);
}

static void on_done(void *arg, const struct relay_result *result) {
    struct client *c = arg;

    c->n_done++;
    c->outcome = result->outcome;
    c->code = result->answer ? result->answer->code : 0;
    c->text[0] = '\0';
    if (result->answer)
        snprintf(c->text, sizeof(c->text), "%.*s", (int)result->answer->text_len, result->answer->text);
    if (c->ends_in_done) {
        relay_end(c->transfer);
        c->transfer = NULL;
    }
}

static bool client_is_there(void *arg) {
    return ((struct client *)arg)->world->is_client_there;
}

static void client_init(struct client *c, struct world *w) {
    *c = (struct client){ .world = w, .envelope = { .sender = STR("a@far.example"), .helo = STR("far.example"),
        .id = STR("session1"), .is_esmtp = true } };
    c->envelope.client.family = IP_V4;
    memcpy(c->envelope.client.bytes, (uint8_t[]){ 192, 0, 2, 7 }, 4);
    c->envelope.client_port = 4711;
    spool_init(&c->spool, "/tmp", 100000);
}

static void client_begin(struct client *c) {
    c->transfer = relay_begin(c->world->relay, &c->world->group, &c->envelope);
    assert_non_null(c->transfer);
}

static void client_open(struct client *c, struct world *w) {
    client_init(c, w);
    client_begin(c);
}

static void client_close(struct client *c) {
    relay_end(c->transfer);
    c->transfer = NULL;
    spool_deinit(&c->spool);
}

static void start_rcpt(struct client *c, const char *address) {
    struct relay_recipient recipient = { .address = str_of(address) };
    unsigned before = c->n_done;

    assert_int_equal(relay_rcpt(c->transfer, &recipient, on_done, c), 0);
    assert_int_equal(c->n_done, before); /* law 1 */
}

static void rcpt(struct client *c, const char *address) {
    unsigned before = c->n_done;

    start_rcpt(c, address);
    turns(c->world);
    assert_int_equal(c->n_done, before + 1);
}

static void start_deliver(struct client *c) {
    const char text[] = "\r\nhello\r\n";
    unsigned before = c->n_done;

    if (spool_size(&c->spool) == 0) {
        memcpy(spool_room(&c->spool, sizeof(text) - 1), text, sizeof(text) - 1);
        assert_int_equal(spool_wrote(&c->spool, sizeof(text) - 1), 0);
    }
    c->message.head = STR("X: 1\r\n");
    c->message.spool = &c->spool;
    c->message.client_is_there = client_is_there;
    if (!c->message.deadline_ms)
        c->message.deadline_ms = c->world->now + 240 * SECOND;
    c->message.reserve_ms = RELAY_RESERVE_MS;
    assert_int_equal(relay_deliver(c->transfer, &c->message, on_done, c), 0);
    assert_int_equal(c->n_done, before);
}

static void deliver(struct client *c) {
    unsigned before = c->n_done;

    start_deliver(c);
    turns(c->world);
    assert_int_equal(c->n_done, before + 1);
}

/* ---- the ordinary way */

static void a_message_goes_out_on_the_connection_that_answered_its_recipient(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_ANSWERED);
    assert_int_equal(c.code, 250);
    deliver(&c);
    assert_int_equal(c.outcome, RELAY_ANSWERED);
    assert_int_equal(c.code, 250);
    assert_string_equal(c.text, "kept as 1");
    assert_string_equal(fake_server_heard(&w.first), HELLO MAIL RCPT "DATA\r\n" TEXT ".\r\n");
    client_close(&c);
    world_close(&w);
}

static void a_kept_connection_serves_the_next_message_without_a_new_hello(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    for (int i = 0; i < 3; i++) {
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        deliver(&c);
        client_close(&c);
    }
    assert_int_equal(w.first.connections, 1);
    assert_int_equal(w.first.messages, 3);
    pass_time(&w, 60 * SECOND); /* server_idle */
    fake_server_heard(&w.first);
    struct relay_stats stats;
    relay_server_stats(w.relay, 0, 0, &stats);
    assert_int_equal(stats.connections, 0);
    world_close(&w);
}

static void chunking_needs_no_dots(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    deliver(&c);
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first), HELLO MAIL RCPT "BDAT 15 LAST\r\n" TEXT);
    client_close(&c);
    world_close(&w);
}

static void fill(struct client *c, size_t lines) {
    for (size_t i = 0; i < lines; i++) {
        memcpy(spool_room(&c->spool, 100),
               ".123456789.123456789.123456789.123456789.123456789"
               ".123456789.123456789.123456789.123456789.1234567\r\n", 100);
        assert_int_equal(spool_wrote(&c->spool, 100), 0);
    }
}

static void a_large_message_goes_out_of_the_file_in_chunks_or_with_its_dots_stuffed(void **state) {
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        struct world w;
        struct client c;

        world_init(&w);
        w.first.ehlo = is_chunked
            ? "250-inner.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n" : "250-inner.example\r\n250 PIPELINING\r\n";
        world_open(&w);
        client_open(&c, &w);
        fill(&c, 30000); /* 3 MB: more than one turn may write, and more than the kernel takes */
        assert_true(c.spool.fd >= 0);
        rcpt(&c, "b@near.example");
        fake_server_heard(&w.first);
        start_deliver(&c);
        for (int i = 0; i < 20 && c.n_done < 2; i++)
            turns(&w);
        assert_int_equal(c.code, 250);
        if (is_chunked) /* 12 chunks: 11 of 262,144 bytes, one of 116,422 */
            assert_int_equal(w.first.heard.len,
                3000006 + 11 * strlen("BDAT 262144\r\n") + strlen("BDAT 116422 LAST\r\n"));
        else
            assert_int_equal(w.first.heard.len, 3000006 + 30000 + strlen("DATA\r\n.\r\n"));
        client_close(&c);
        world_close(&w);
    }
}

/* ---- a header that takes many turns to walk through: every other field is dropped */

enum { MANY_FIELDS = 20000 };

static void fill_header(struct client *c) {
    static const struct field_edit edit = { .authserv_id = STR_INIT("mx.example") };

    for (size_t i = 0; i < MANY_FIELDS / 2; i++) {
        memcpy(spool_room(&c->spool, 15), "a:\r\nX-Spam-B:\r\n", 15);
        assert_int_equal(spool_wrote(&c->spool, 15), 0);
    }
    c->message.edit = &edit;
}

static void a_header_that_takes_many_turns_goes_out_whole(void **state) {
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        struct world w;
        struct client c;
        unsigned n = 0;

        world_init(&w);
        w.first.ehlo = is_chunked ? "250-inner.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
                                  : "250-inner.example\r\n250 PIPELINING\r\n";
        world_open(&w);
        client_open(&c, &w);
        fill_header(&c);
        rcpt(&c, "b@near.example");
        fake_server_heard(&w.first);
        start_deliver(&c);
        for (; n < 1000 && c.n_done < 2; n++)
            assert_int_equal(loop_turn(w.loop, 0), 0);
        assert_int_equal(c.code, 250);
        assert_true(n >= 2 * MANY_FIELDS / RELAY_TEXT_STEPS); /* measured, then sent, in slices */
        assert_int_equal(w.first.heard.len,
                         6 + MANY_FIELDS / 2 * 4 + strlen(is_chunked ? "BDAT 40006 LAST\r\n" : "DATA\r\n.\r\n"));
        client_close(&c);
        world_close(&w);
    }
}

static void a_session_or_its_connection_may_go_while_a_header_is_walked_through(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    fill_header(&c);
    rcpt(&c, "b@near.example");
    start_deliver(&c);
    assert_int_equal(loop_turn(w.loop, 0), 0);
    client_close(&c); /* the spool with it */
    turns(&w);
    assert_int_equal(c.n_done, 1);
    client_open(&c, &w);
    fill_header(&c);
    rcpt(&c, "b@near.example");
    fake_server_heard(&w.first);
    start_deliver(&c);
    assert_int_equal(loop_turn(w.loop, 0), 0);
    fake_server_drop_all(&w.first);
    for (int i = 0; i < 20 && c.n_done < 2; i++)
        turns(&w);
    assert_int_equal(c.code, 250);
    assert_int_equal(strncmp(fake_server_heard(&w.first), "|" HELLO "MAIL", strlen("|" HELLO "MAIL")), 0);
    client_close(&c);
    world_close(&w);
}

static void without_pipelining_every_chunk_waits_for_its_answer(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.ehlo = "250-inner.example\r\n250 CHUNKING\r\n";
    w.first.bdat = NULL;
    world_open(&w);
    client_open(&c, &w);
    fill(&c, 3000);
    rcpt(&c, "b@near.example");
    fake_server_heard(&w.first);
    start_deliver(&c);
    turns(&w);
    assert_int_equal(w.first.heard.len, strlen("BDAT 262144\r\n") + 262144);
    fake_server_say(&w.first, 0, "250 ok\r\n");
    turns(&w);
    assert_int_equal(c.code, 250);
    assert_int_equal(w.first.heard.len, strlen("BDAT 262144\r\nBDAT 37862 LAST\r\n") + 300006);
    client_close(&c);
    world_close(&w);
}

static void without_pipelining_every_command_waits_for_its_answer(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.ehlo = "250 inner.example\r\n";
    w.first.mail = NULL;
    world_open(&w);
    client_open(&c, &w);
    start_rcpt(&c, "b@near.example");
    turns(&w);
    assert_string_equal(fake_server_heard(&w.first), HELLO MAIL);
    fake_server_say(&w.first, 0, "250 ok\r\n");
    turns(&w);
    assert_int_equal(c.n_done, 1);
    w.first.mail = "250 ok\r\n";
    rcpt(&c, "c@near.example");
    deliver(&c);
    assert_int_equal(c.code, 250);
    client_close(&c);
    world_close(&w);
}

static void a_server_that_knows_no_ehlo_is_greeted_with_helo(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.ehlo = "502 what\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first), HELLO "HELO mx.example\r\n" MAIL RCPT);
    client_close(&c);
    world_close(&w);
}

/* ---- answers */

static void the_servers_own_refusal_reaches_the_client_without_inner_names(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.rcpt = "550 5.1.1 <b@inner.example>: inner.example (127.0.0.1) knows no such user\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_ANSWERED);
    assert_int_equal(c.code, 550);
    assert_string_equal(c.text, "<b@inner.example>: mx.example (mx.example) knows no such user");
    client_close(&c);
    world_close(&w);
}

static void a_refused_sender_is_the_answer_to_the_recipient(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.mail = "550 5.7.1 not you\r\n";
    w.first.rcpt = "503 5.5.1 MAIL first\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 550);
    assert_string_equal(c.text, "not you");
    w.first.mail = "250 ok\r\n";
    w.first.rcpt = "250 ok\r\n";
    rcpt(&c, "b@near.example"); /* on the same connection, in step */
    assert_int_equal(c.code, 250);
    assert_int_equal(w.first.connections, 1);
    client_close(&c);
    world_close(&w);
}

static void a_421_becomes_451_and_the_connection_is_closed(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.rcpt = "421 4.3.2 going down\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_ANSWERED);
    assert_int_equal(c.code, 451);
    assert_false(w.first.conns[0]->is_open);
    client_close(&c);
    world_close(&w);
}

static void data_refused_is_the_servers_answer(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.data = "554 5.7.1 no\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    deliver(&c);
    assert_int_equal(c.outcome, RELAY_ANSWERED);
    assert_int_equal(c.code, 554);
    assert_true(w.first.conns[0]->is_open);
    client_close(&c);
    world_close(&w);
}

static void nonsense_before_the_final_dot_is_lost_and_behind_it_unknown(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    w.first.data = "hello there\r\n";
    deliver(&c);
    assert_int_equal(c.outcome, RELAY_LOST);
    w.first.data = "354 go\r\n";
    w.first.dot = "well\r\n";
    deliver(&c);
    assert_int_equal(c.outcome, RELAY_UNKNOWN);
    client_close(&c);
    world_close(&w);
}

static void an_answer_that_came_before_its_command_is_none(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    w.first.data = "354 go\r\n250 2.0.0 kept already\r\n";
    deliver(&c);
    assert_int_equal(c.outcome, RELAY_LOST);
    assert_null(memmem(w.first.heard.at, w.first.heard.len, "\r\n.\r\n", 5));
    client_close(&c);
    client_open(&c, &w);
    w.first.data = "354 go\r\n";
    w.first.dot = "250 2.0.0 kept\r\n421 4.3.2 and now I close\r\n";
    rcpt(&c, "b@near.example");
    deliver(&c); /* what was due counts, whatever stands behind it */
    assert_int_equal(c.outcome, RELAY_ANSWERED);
    assert_int_equal(c.code, 250);
    client_close(&c);
    client_open(&c, &w);
    w.first.rcpt = "250 2.1.5 ok\r\n250 2.0.0 kept already\r\n";
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 250);
    w.first.rcpt = "250 2.1.5 ok\r\n";
    w.first.dot = "550 5.7.1 no\r\n";
    deliver(&c);
    assert_int_equal(c.code, 550);
    assert_int_equal(w.first.connections, 4);
    client_close(&c);
    world_close(&w);
}

static void half_an_answer_before_its_command_is_none_either(void **state) {
    static const char *const halves[] = { "25", "250-kept\r\n" };

    for (int i = 0; i < 2; i++) {
        struct world w;
        struct client c;

        world_init(&w);
        w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
        w.first.dot = NULL;
        world_open(&w);
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        fake_server_say(&w.first, 0, halves[i]); /* the loan is lost, so the delivery goes elsewhere */
        turns(&w);
        w.first.dot = "250 kept\r\n";
        deliver(&c);
        assert_int_equal(c.code, 250);
        assert_int_equal(w.first.connections, 2);
        client_close(&c);
        world_close(&w);
    }
}

static void half_an_answer_before_the_end_keeps_the_end_back(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.bdat = NULL;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
    world_open(&w);
    client_open(&c, &w);
    fill(&c, 60000); /* 23 chunks, and more than a few turns write */
    rcpt(&c, "b@near.example");
    start_deliver(&c);
    fake_server_say(&w.first, 0, "250-half");
    turns(&w);
    assert_null(memmem(w.first.heard.at, w.first.heard.len, " LAST\r\n", 7));
    fake_server_say(&w.first, 0, "\r\n250 chunk\r\n");
    turns(&w);
    assert_int_equal(w.first.messages, 1);
    for (int i = 0; i < 21; i++) {
        assert_int_equal(c.n_done, 1);
        fake_server_say(&w.first, 0, "250 chunk\r\n");
        turns(&w);
    }
    assert_int_equal(c.code, 250);
    client_close(&c);
    world_close(&w);
}

static void a_server_that_talks_ahead_in_its_hello_is_no_server(void **state) {
    static const struct { const char *greeting, *ehlo; } cases[] = {
        { "220 hi\r\n250-hi\r\n250 PIPELINING\r\n", "250 hi\r\n" },
        { "220 hi\r\n220 hi", "250 hi\r\n" },
        { "220 hi\r\n", "250 hi\r\n250 and more\r\n" },
    };

    for (size_t i = 0; i < 3; i++) {
        struct world w;
        struct client c;

        world_init(&w);
        w.first.greeting = cases[i].greeting;
        w.first.ehlo = cases[i].ehlo;
        world_open(&w);
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        assert_int_equal(c.outcome, RELAY_NO_SERVER);
        assert_string_equal(w.health, "0 down: talks out of turn\n");
        client_close(&c);
        world_close(&w);
    }
}

/* ---- loans */

static void a_loan_ends_after_relay_hold_and_the_delivery_replays_in_one_group(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    rcpt(&c, "c@near.example");
    fake_server_heard(&w.first);
    pass_time(&w, 3 * SECOND - 1);
    assert_string_equal(fake_server_heard(&w.first), "");
    pass_time(&w, 1);
    assert_string_equal(fake_server_heard(&w.first), "RSET\r\n");
    deliver(&c);
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first), SIZED RCPT "RCPT TO:<c@near.example>\r\n" "DATA\r\n" TEXT ".\r\n");
    client_close(&c);
    world_close(&w);
}

static void the_oldest_loan_is_taken_back_for_one_who_waits(void **state) {
    struct world w;
    struct client slow, slower, good;

    world_init(&w);
    w.conf.set.limits.server_connections = 2;
    world_open(&w);
    client_open(&slower, &w);
    client_open(&slow, &w);
    client_open(&good, &w);
    rcpt(&slower, "b@near.example");
    pass_time(&w, 1);
    rcpt(&slow, "b@near.example");
    fake_server_heard(&w.first);
    rcpt(&good, "b@near.example");
    assert_int_equal(good.code, 250);
    assert_string_equal(fake_server_heard(&w.first), "RSET\r\n" MAIL RCPT);
    assert_int_equal(w.first.connections, 2);
    deliver(&slow); /* its loan was left alone */
    assert_string_equal(fake_server_heard(&w.first), "DATA\r\n" TEXT ".\r\n");
    client_close(&slow);
    deliver(&slower);
    assert_int_equal(slower.code, 250);
    client_close(&slower);
    client_close(&good);
    world_close(&w);
}

static void a_recipient_waits_server_wait_and_a_delivery_goes_first(void **state) {
    struct world w;
    struct client busy, late, complete;

    world_init(&w);
    w.conf.set.limits.server_connections = 1;
    world_open(&w);
    client_open(&complete, &w);
    rcpt(&complete, "b@near.example");
    pass_time(&w, 3 * SECOND);
    client_open(&busy, &w);
    w.first.rcpt = NULL;
    start_rcpt(&busy, "busy@near.example");
    turns(&w);
    client_open(&late, &w);
    start_rcpt(&late, "late@near.example");
    pass_time(&w, 2 * SECOND);
    start_deliver(&complete);
    struct relay_stats stats;
    relay_server_stats(w.relay, 0, 0, &stats);
    assert_int_equal(stats.waiting, 2);
    pass_time(&w, 3 * SECOND - 1);
    assert_int_equal(late.n_done, 0);
    pass_time(&w, 1);
    assert_int_equal(late.outcome, RELAY_BUSY);
    start_rcpt(&late, "late@near.example");
    fake_server_heard(&w.first);
    w.first.rcpt = "250 ok\r\n";
    fake_server_say(&w.first, 0, "250 ok\r\n");
    turns(&w);
    assert_int_equal(busy.code, 250);
    assert_int_equal(complete.code, 250);
    assert_int_equal(late.code, 250);
    assert_string_equal(fake_server_heard(&w.first),
                        "RSET\r\n" SIZED RCPT "DATA\r\n" TEXT ".\r\n" MAIL "RCPT TO:<late@near.example>\r\n");
    client_close(&busy);
    client_close(&late);
    client_close(&complete);
    world_close(&w);
}

static void a_user_that_leaves_with_answers_due_leaves_the_next_one_in_step(void **state) {
    for (int is_pipelining = 0; is_pipelining < 2; is_pipelining++) {
        struct world w;
        struct client gone, next;

        world_init(&w);
        if (!is_pipelining)
            w.first.ehlo = "250 inner.example\r\n";
        w.conf.set.limits.server_connections = 1;
        w.first.rcpt = NULL;
        world_open(&w);
        client_open(&gone, &w);
        client_open(&next, &w);
        start_rcpt(&gone, "gone@near.example");
        turns(&w);
        if (is_pipelining)
            w.first.mail = w.first.rset = NULL; /* answered below, in their order */
        client_close(&gone);
        start_rcpt(&next, "b@near.example");
        turns(&w);
        w.first.rcpt = "250 2.1.5 next\r\n";
        if (is_pipelining)
            fake_server_say(&w.first, 0, "550 gone\r\n250 ok\r\n250 ok\r\n250 2.1.5 next\r\n");
        else
            fake_server_say(&w.first, 0, "550 gone\r\n");
        turns(&w);
        assert_int_equal(next.n_done, 1);
        assert_string_equal(next.text, "next");
        assert_int_equal(w.first.connections, 1);
        client_close(&next);
        world_close(&w);
    }
}

/* ---- repair and replay */

static void a_kept_connection_that_the_server_closed_is_replaced_unnoticed(void **state) {
    static const char *const ends[] = { "!", "!421 4.4.2 idle too long\r\n" };

    for (int i = 0; i < 4; i++) {
        struct world w;
        struct client c;

        world_init(&w);
        world_open(&w);
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        deliver(&c);
        client_close(&c);
        client_open(&c, &w);
        if (i < 2) { /* closed while idle, and known before */
            fake_server_say(&w.first, 0, ends[i]);
            turns(&w);
            rcpt(&c, "b@near.example");
        } else { /* the close and our MAIL cross */
            start_rcpt(&c, "b@near.example");
            fake_server_say(&w.first, 0, ends[i - 2]);
            turns(&w);
        }
        assert_int_equal(c.outcome, RELAY_ANSWERED);
        assert_int_equal(c.code, 250);
        assert_int_equal(w.first.connections, 2);
        assert_string_equal(w.health, "");
        client_close(&c);
        world_close(&w);
    }
}

static void a_loan_that_the_server_dropped_is_repaired_by_the_replay(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    fake_server_drop_all(&w.first);
    turns(&w);
    fake_server_heard(&w.first);
    deliver(&c);
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first), "|" HELLO SIZED RCPT "DATA\r\n" TEXT ".\r\n");
    client_close(&c);
    world_close(&w);
}

static void a_loan_that_dies_when_a_whole_bdat_went_out_leaves_the_outcome_unknown_unless_it_says_421(void **state) {
    static const struct { const char *end; bool is_repaired; } cases[] = {
        { "!", false }, { "!421 4.4.2 idle too long\r\n", true },
    };

    for (int i = 0; i < 4; i++) {
        struct world w;
        struct client c;
        bool has_left = i >= 2;

        world_init(&w);
        w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
        world_open(&w);
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        start_deliver(&c); /* the chunk and the server's farewell cross */
        fake_server_say(&w.first, 0, cases[i % 2].end);
        if (has_left)
            client_close(&c);
        turns(&w);
        assert_int_equal(c.n_done, has_left ? 1 : 2);
        assert_int_equal(w.n_orphans, has_left);
        if (!has_left)
            assert_int_equal(c.outcome, cases[i].is_repaired ? RELAY_ANSWERED : RELAY_UNKNOWN);
        assert_int_equal(w.first.messages, !has_left && cases[i].is_repaired);
        client_close(&c);
        world_close(&w);
    }
}

static void a_replay_that_refuses_one_recipient_delivers_nothing(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    rcpt(&c, "moved@near.example");
    pass_time(&w, 3 * SECOND);
    w.first.refuse = "moved";
    deliver(&c);
    assert_int_equal(c.outcome, RELAY_LOST);
    assert_int_equal(c.code, 550);
    assert_int_equal(w.first.messages, 0);
    assert_null(memmem(w.first.heard.at, w.first.heard.len, "\r\n.\r\n", 5));
    client_close(&c);
    world_close(&w);
}

static void a_server_that_goes_away_after_mail_is_lost_and_no_other_is_tried(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.group.n_servers = 2;
    w.first.rcpt = "!";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_LOST);
    assert_int_equal(w.second.connections, 0);
    client_close(&c);
    world_close(&w);
}

static void the_replay_may_go_to_the_next_server_when_the_first_has_died_meanwhile(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.group.n_servers = 2;
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    fake_server_refuse(&w.first);
    fake_server_drop_all(&w.first);
    turns(&w);
    deliver(&c);
    assert_int_equal(c.code, 250);
    assert_int_equal(w.second.messages, 1);
    client_close(&c);
    world_close(&w);
}

static void what_only_the_next_server_lacks_is_no_fault_of_the_sender(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.group.n_servers = 2;
    w.first.ehlo = "250-inner.example\r\n250 SMTPUTF8\r\n";
    world_open(&w);
    client_init(&c, &w);
    c.envelope.parameters = SMTP_HAS_SMTPUTF8;
    client_begin(&c);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 250);
    fake_server_refuse(&w.first);
    fake_server_drop_all(&w.first);
    turns(&w);
    deliver(&c);
    assert_int_equal(w.second.connections, 1);
    assert_int_equal(c.outcome, RELAY_LOST); /* 451, and not the 550 that RCPT would have got */
    client_close(&c);
    world_close(&w);
}

static void as_many_recipients_as_the_limit_allows_are_kept(void **state) {
    struct world w;
    struct client c;
    char address[SMTP_PATH_MAX + 1], orcpt[SMTP_ORCPT_MAX + 1];

    world_init(&w);
    w.conf.set.limits.recipients = 30;
    world_open(&w);
    client_open(&c, &w);
    memset(address, 'a', sizeof(address) - 1);
    memset(orcpt, 'o', sizeof(orcpt) - 1);
    address[sizeof(address) - 1] = orcpt[sizeof(orcpt) - 1] = '\0';
    struct relay_recipient recipient = { .address = str_of(address), .orcpt = str_of(orcpt),
        .notify = STR("SUCCESS,FAILURE,DELAY"), .parameters = SMTP_HAS_ORCPT | SMTP_HAS_NOTIFY };
    for (unsigned i = 1; i <= 30; i++) {
        assert_int_equal(relay_rcpt(c.transfer, &recipient, on_done, &c), 0);
        turns(&w);
        assert_int_equal(c.n_done, i);
    }
    int r = 0;
    for (unsigned i = 0; i < 20 && r == 0; i++) { /* and no more than twice the limit */
        r = relay_rcpt(c.transfer, &recipient, on_done, &c);
        turns(&w);
    }
    assert_int_equal(r, -ENOMEM);
    client_close(&c);
    world_close(&w);
}

/* ---- servers that do not serve */

static void a_server_that_refuses_us_is_passed_over(void **state) {
    static const char *const greetings[] = { "!", "554 no\r\n", "421 later\r\n", "hello\r\n" };

    for (size_t i = 0; i < 4; i++) {
        struct world w;
        struct client c;

        world_init(&w);
        w.group.n_servers = 2;
        w.first.greeting = greetings[i];
        world_open(&w);
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        assert_int_equal(c.code, 250);
        assert_int_equal(w.second.connections, 1);
        assert_memory_equal(w.health, "0 down: ", 8);
        client_close(&c);
        world_close(&w);
    }
}

static void nobody_waits_for_servers_that_are_known_to_be_down_and_one_trial_a_pause_brings_them_back(void **state) {
    struct world w;
    struct client c;
    struct relay_stats stats;

    world_init(&w);
    world_open(&w);
    fake_server_refuse(&w.first);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_NO_SERVER);
    assert_string_equal(w.health, "0 down: Connection refused\n");
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_NO_SERVER);
    relay_server_stats(w.relay, 0, 0, &stats);
    assert_true(stats.is_open);
    uint64_t pause = SECOND;
    for (int i = 0; i < 8; i++) { /* 1 s, 2 s … 60 s */
        assert_int_equal(stats.retry_ms, w.now + pause);
        pass_time(&w, pause);
        relay_server_stats(w.relay, 0, 0, &stats);
        pause = 2 * pause < 60 * SECOND ? 2 * pause : 60 * SECOND;
    }
    fake_server_listen(&w.first);
    pass_time(&w, pause);
    assert_string_equal(w.health, "0 down: Connection refused\n0 up again\n");
    assert_int_equal(w.first.connections, 1);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 250);
    client_close(&c);
    world_close(&w);
}

static void a_server_that_limits_connections_goes_on_with_those_it_took(void **state) {
    struct world w;
    struct client a, b;

    world_init(&w);
    world_open(&w);
    client_open(&a, &w);
    client_open(&b, &w);
    rcpt(&a, "b@near.example");
    w.first.greeting = "!421 too many connections\r\n";
    rcpt(&b, "b@near.example");
    assert_int_equal(b.code, 250);
    assert_memory_equal(w.health, "0 takes no more connections: ", 29);
    deliver(&a);
    assert_int_equal(a.code, 250);
    client_close(&a);
    client_close(&b);
    world_close(&w);
}

static void a_limited_server_that_lost_its_last_connection_is_tried_again(void **state) {
    for (int is_paused = 0; is_paused < 2; is_paused++) {
        struct world w;
        struct client a, b;

        world_init(&w);
        world_open(&w);
        client_open(&a, &w);
        client_open(&b, &w);
        rcpt(&a, "b@near.example");
        w.first.greeting = "!421 too many connections\r\n";
        rcpt(&b, "b@near.example");
        client_close(&a);
        client_close(&b);
        turns(&w);
        w.first.greeting = "220 inner.example\r\n";
        pass_time(&w, is_paused ? 500 : 30 * SECOND);
        fake_server_drop_all(&w.first); /* within the pause the trial brings it back, behind it the next client */
        pass_time(&w, is_paused ? 500 : 30 * SECOND);
        client_open(&a, &w);
        rcpt(&a, "b@near.example");
        assert_int_equal(a.outcome, RELAY_ANSWERED);
        assert_int_equal(a.code, 250);
        client_close(&a);
        world_close(&w);
    }
}

static void a_server_that_is_silent_is_left_after_its_time_and_not_called_busy(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.group.n_servers = 2;
    w.first.greeting = NULL;
    world_open(&w);
    client_open(&c, &w);
    start_rcpt(&c, "b@near.example");
    turns(&w);
    for (int i = 0; i < 5; i++)
        pass_time(&w, 6 * SECOND);
    assert_int_equal(c.n_done, 1);
    assert_int_equal(c.code, 250);
    assert_string_equal(w.health, "0 down: greeting timed out\n");
    client_close(&c);
    world_close(&w);
}

static void each_answer_of_a_pipelined_group_has_its_own_time(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    for (int i = 0; i < 3; i++)
        rcpt(&c, "b@near.example");
    pass_time(&w, 3 * SECOND);
    w.first.mail = w.first.rcpt = w.first.data = NULL;
    start_deliver(&c);
    turns(&w);
    for (int i = 0; i < 4; i++) { /* MAIL and three RCPT, 40 of 60 s each */
        pass_time(&w, 40 * SECOND);
        fake_server_say(&w.first, 0, "250 ok\r\n");
        turns(&w);
        assert_int_equal(c.n_done, 3);
    }
    w.first.rset = NULL; /* and one that comes not at all ends its connection */
    fake_server_say(&w.first, 0, "554 no\r\n");
    turns(&w);
    assert_int_equal(c.outcome, RELAY_ANSWERED);
    assert_int_equal(c.code, 554);
    client_close(&c);
    client_open(&c, &w);
    start_rcpt(&c, "b@near.example");
    turns(&w);
    w.first.mail = w.first.rcpt = "250 ok\r\n";
    pass_time(&w, 60 * SECOND - 1);
    assert_int_equal(c.n_done, 0);
    pass_time(&w, 1);
    assert_int_equal(c.n_done, 1);
    assert_int_equal(c.code, 250);
    client_close(&c);
    world_close(&w);
}

/* ---- the end of a delivery */

static void nothing_is_delivered_when_the_client_is_gone_or_too_little_time_is_left(void **state) {
    static const struct { bool is_there; uint64_t left_ms; bool is_delivered; } cases[] = {
        { true, 60 * SECOND, true }, { true, 60 * SECOND - 1, false }, { false, 240 * SECOND, false },
    };

    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        for (size_t i = 0; i < 3; i++) {
            struct world w;
            struct client c;

            world_init(&w);
            if (is_chunked)
                w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
            world_open(&w);
            client_open(&c, &w);
            rcpt(&c, "b@near.example");
            w.is_client_there = cases[i].is_there;
            c.message.deadline_ms = w.now + cases[i].left_ms;
            deliver(&c);
            assert_int_equal(c.outcome, cases[i].is_delivered ? RELAY_ANSWERED : RELAY_TIMED_OUT);
            assert_int_equal(w.first.messages, cases[i].is_delivered);
            client_close(&c);
            world_close(&w);
        }
    }
}

static void the_answer_to_the_final_dot_is_waited_for_until_the_deadline(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.dot = NULL;
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    start_deliver(&c);
    turns(&w);
    pass_time(&w, 240 * SECOND - 1);
    assert_int_equal(c.n_done, 1);
    pass_time(&w, 1);
    assert_int_equal(c.outcome, RELAY_TIMED_OUT);
    client_close(&c);
    world_close(&w);
}

static void a_connection_that_breaks_behind_the_final_dot_leaves_the_outcome_unknown(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.dot = "!";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    deliver(&c);
    assert_int_equal(c.outcome, RELAY_UNKNOWN);
    client_close(&c);
    world_close(&w);
}

static void a_delivery_goes_on_without_its_session_once_the_final_dot_is_out(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.dot = NULL;
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    start_deliver(&c);
    turns(&w);
    client_close(&c);
    assert_int_equal(relay_orphans(w.relay), 1);
    fake_server_say(&w.first, 0, "250 2.0.0 kept\r\n");
    turns(&w);
    assert_int_equal(w.n_orphans, 1);
    assert_int_equal(w.orphan, RELAY_ANSWERED);
    assert_int_equal(relay_orphans(w.relay), 0);
    assert_int_equal(c.n_done, 1);
    world_close(&w);
}

static void a_relay_that_is_freed_reports_its_orphans_as_unknown(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.dot = NULL;
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    start_deliver(&c);
    turns(&w);
    client_close(&c);
    world_close(&w);
    assert_int_equal(w.n_orphans, 1);
    assert_int_equal(w.orphan, RELAY_UNKNOWN);
}

static void a_session_may_leave_while_anything_is_pending_and_hears_no_more(void **state) {
    for (int when = 0; when < 6; when++) {
        struct world w;
        struct client holder, c;

        world_init(&w);
        w.conf.set.limits.server_connections = 1;
        if (when <= 1)
            w.first.greeting = NULL;
        if (when == 2 || when == 3)
            w.first.rcpt = NULL;
        if (when == 4)
            w.first.data = NULL;
        world_open(&w);
        client_open(&holder, &w);
        client_open(&c, &w);
        if (when == 3) { /* waiting in line */
            start_rcpt(&holder, "holder@near.example");
            turns(&w);
        }
        if (when < 4) { /* connecting, greeting, answer of RCPT, in line */
            start_rcpt(&c, "b@near.example");
            if (when > 0)
                turns(&w);
        } else { /* 354 awaited; in the middle of the data */
            rcpt(&c, "b@near.example");
            if (when == 5)
                fill(&c, 100000);
            start_deliver(&c);
            for (int i = 0; i < 3; i++)
                assert_int_equal(loop_turn(w.loop, 0), 0);
        }
        unsigned before = c.n_done;
        client_close(&c);
        turns(&w);
        pass_time(&w, 300 * SECOND);
        assert_int_equal(c.n_done, before);
        assert_int_equal(w.first.messages, 0);
        client_close(&holder);
        world_close(&w);
    }
}

static void a_session_may_leave_inside_its_completion(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_open(&c, &w);
    c.ends_in_done = true;
    rcpt(&c, "b@near.example");
    client_close(&c);
    fake_server_refuse(&w.first);
    fake_server_drop_all(&w.first);
    turns(&w);
    client_open(&c, &w);
    c.ends_in_done = true;
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_NO_SERVER);
    client_close(&c);
    world_close(&w);
}

/* ---- extensions */

static void what_a_server_does_not_offer_is_left_out_noted_or_refused(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    world_open(&w);
    client_init(&c, &w);
    c.envelope.parameters = SMTP_HAS_SMTPUTF8;
    client_begin(&c);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_NEEDS_SMTPUTF8);
    client_close(&c);

    client_init(&c, &w);
    c.envelope.parameters = SMTP_HAS_SIZE;
    c.envelope.size = 1000001;
    client_begin(&c);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.outcome, RELAY_TOO_LARGE);
    client_close(&c);

    client_init(&c, &w);
    c.envelope.parameters = SMTP_HAS_SIZE | SMTP_HAS_RET;
    c.envelope.size = 1000000;
    c.envelope.ret = STR("HDRS");
    client_begin(&c);
    fake_server_heard(&w.first);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first), "MAIL FROM:<a@far.example> SIZE=1000000\r\n" RCPT);
    assert_string_equal(w.notes, "DSN parameters dropped: the server does not offer DSN\n");
    c.message.has_8bit = true;
    deliver(&c);
    assert_int_equal(c.code, 250);
    assert_non_null(strstr(w.notes, "8-bit message sent unchanged"));
    client_close(&c);
    world_close(&w);
}

static void what_a_server_offers_is_used(void **state) {
    struct world w;
    struct client c;
    struct relay_recipient recipient = { .address = STR("b@near.example"),
        .parameters = SMTP_HAS_NOTIFY | SMTP_HAS_ORCPT,
                                         .notify = STR("NEVER"), .orcpt = STR("rfc822;b@near.example") };

    world_init(&w);
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n";
    world_open(&w);
    assert_int_equal(relay_offer(w.relay).extensions, SMTP_EXT_SIZE | SMTP_EXT_8BITMIME);
    client_init(&c, &w);
    c.envelope.parameters = SMTP_HAS_SMTPUTF8 | SMTP_HAS_RET | SMTP_HAS_ENVID;
    c.envelope.ret = STR("FULL");
    c.envelope.envid = STR("e1");
    client_begin(&c);
    assert_int_equal(relay_rcpt(c.transfer, &recipient, on_done, &c), 0);
    turns(&w);
    assert_string_equal(fake_server_heard(&w.first), HELLO "MAIL FROM:<a@far.example> SMTPUTF8 RET=FULL ENVID=e1\r\n"
                        "RCPT TO:<b@near.example> NOTIFY=NEVER ORCPT=rfc822;b@near.example\r\n");
    assert_int_equal(relay_offer(w.relay).extensions,
        SMTP_EXT_SIZE | SMTP_EXT_8BITMIME | SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN);
    c.message.has_8bit = true; /* not declared by the client: MAIL must say so, so it is said again */
    deliver(&c);
    assert_string_equal(fake_server_heard(&w.first), "RSET\r\n"
                        "MAIL FROM:<a@far.example> SIZE=15 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=e1\r\n"
                        "RCPT TO:<b@near.example> NOTIFY=NEVER ORCPT=rfc822;b@near.example\r\nDATA\r\n" TEXT ".\r\n");
    client_close(&c);
    world_close(&w);
}

static void what_is_offered_is_what_all_servers_offered_when_last_met(void **state) {
    struct world w;

    world_init(&w);
    w.group.n_servers = 2;
    w.first.ehlo = "250-inner.example\r\n250-SIZE 2000\r\n250-SMTPUTF8\r\n250 DSN\r\n";
    w.second.ehlo = "250-inner.example\r\n250-SIZE 1000\r\n250 DSN\r\n";
    world_open(&w);
    relay_probe(w.relay);
    turns(&w);
    assert_int_equal(w.first.connections, 1);
    assert_int_equal(w.second.connections, 1);
    assert_int_equal(relay_offer(w.relay).extensions, SMTP_EXT_SIZE | SMTP_EXT_DSN);
    assert_int_equal(relay_offer(w.relay).size, 1000);
    world_close(&w);
}

static void no_transaction_has_more_recipients_than_its_server_allows(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    rcpt(&c, "c@near.example");
    rcpt(&c, "d@near.example");
    assert_int_equal(c.outcome, RELAY_TOO_MANY);
    assert_null(memmem(w.first.heard.at, w.first.heard.len, "d@", 2));
    deliver(&c);
    assert_int_equal(c.code, 250);
    client_close(&c);
    world_close(&w);
}

static void no_connection_carries_more_mails_than_its_server_allows(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=100 MAILMAX=2\r\n";
    world_open(&w);
    for (int i = 0; i < 3; i++) {
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        deliver(&c);
        assert_int_equal(c.code, 250);
        client_close(&c);
    }
    assert_int_equal(w.first.connections, 2);
    world_close(&w);
}

/* ---- the client's address */

static void xforward_goes_out_before_each_mail_and_with_it_once_accepted(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.group.forward_client = CONF_FORWARD_XFORWARD;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n";
    w.first.xforward = NULL;
    world_open(&w);
    client_open(&c, &w);
    start_rcpt(&c, "b@near.example");
    turns(&w);
    assert_string_equal(fake_server_heard(&w.first), HELLO "XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.7 PORT=4711\r\n"
                        "XFORWARD PROTO=ESMTP HELO=far.example IDENT=session1 SOURCE=REMOTE\r\n");
    w.first.xforward = "250 ok\r\n";
    fake_server_say(&w.first, 0, "250 ok\r\n250 ok\r\n");
    turns(&w);
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first), MAIL RCPT);
    client_close(&c);
    turns(&w);
    fake_server_heard(&w.first);
    w.first.xforward = NULL;
    client_open(&c, &w);
    start_rcpt(&c, "b@near.example");
    turns(&w);
    assert_non_null(strstr(fake_server_heard(&w.first), "SOURCE=REMOTE\r\n" MAIL RCPT));
    client_close(&c);
    world_close(&w);
}

static void a_server_that_refuses_xforward_is_passed_over(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.group.n_servers = 2;
    w.group.forward_client = CONF_FORWARD_XFORWARD;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XFORWARD ADDR\r\n";
    w.first.xforward = "550 5.7.0 not from you\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first), HELLO "XFORWARD ADDR=192.0.2.7\r\nQUIT\r\n");
    assert_string_equal(fake_server_heard(&w.second), HELLO MAIL RCPT); /* it offers none */
    assert_non_null(strstr(w.notes, "no XFORWARD"));
    client_close(&c);
    world_close(&w);
}

static void no_client_can_take_a_server_down_by_what_it_calls_itself(void **state) {
    struct world w;
    struct client bad, good;

    world_init(&w);
    w.group.forward_client = CONF_FORWARD_XFORWARD;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XFORWARD NAME HELO\r\n";
    w.first.xforward = "501 5.5.4 Bad HELO syntax\r\n";
    world_open(&w);
    client_init(&bad, &w);
    bad.envelope.client_name = STR("a name\nwith=anything");
    bad.envelope.helo = STR("+");
    client_begin(&bad);
    rcpt(&bad, "b@near.example");
    assert_int_equal(bad.code, 250); /* it costs no mail either */
    assert_string_equal(fake_server_heard(&w.first), HELLO "XFORWARD NAME=[UNAVAILABLE]\r\nXFORWARD HELO=+2B\r\n"
                        "XFORWARD NAME=[UNAVAILABLE]\r\nXFORWARD HELO=[UNAVAILABLE]\r\n" MAIL RCPT);
    assert_string_equal(w.health, "0 answers 501 5.5.4 Bad HELO syntax to XFORWARD, goes on with the client unknown\n");
    client_close(&bad);
    w.first.xforward = "250 ok\r\n";
    client_init(&good, &w);
    good.envelope.client_name = STR("mail_1.far.example");
    client_begin(&good);
    rcpt(&good, "b@near.example");
    assert_int_equal(good.code, 250);
    assert_non_null(strstr(fake_server_heard(&w.first), "XFORWARD NAME=mail_1.far.example\r\n"));
    client_close(&good);
    world_close(&w);
}

/* A Postfix with inet_protocols = ipv4 answers 501 5.5.4 Bad ADDR syntax. */
static void a_client_whose_address_is_refused_on_a_proven_connection_is_sent_again_without_it(void **state) {
    struct world w;
    struct client c, other;

    world_init(&w);
    w.group.forward_client = CONF_FORWARD_XFORWARD;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XFORWARD ADDR\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    client_close(&c);
    turns(&w);
    (void)fake_server_heard(&w.first);
    w.first.xforward = "501 5.5.4 Bad ADDR syntax\r\n";
    client_init(&other, &w);
    other.envelope.client.family = IP_V6;
    client_begin(&other);
    rcpt(&other, "b@near.example");
    assert_int_equal(other.code, 250);
    assert_non_null(strstr(fake_server_heard(&w.first), "|" HELLO "XFORWARD ADDR=[UNAVAILABLE]\r\n" MAIL RCPT));
    deliver(&other);
    assert_int_equal(other.code, 250);
    assert_int_equal(w.first.messages, 1);
    assert_non_null(strstr(w.health, "goes on with the client unknown\n"));
    assert_null(strstr(strstr(w.health, "unknown\n") + 1, "unknown\n"));
    client_close(&other);
    world_close(&w);
}

/* Without it the server would trust the client as it trusts us. */
static void a_client_that_xclient_cannot_name_is_unknown_or_goes_to_the_next_server(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.group.forward_client = CONF_FORWARD_XCLIENT;
    w.group.n_servers = 2;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XCLIENT ADDR HELO\r\n";
    w.first.xclient = "501 5.5.4 Bad ADDR syntax\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first), HELLO "XCLIENT ADDR=192.0.2.7 HELO=far.example\r\n"
                        "XCLIENT ADDR=[UNAVAILABLE] HELO=[UNAVAILABLE]\r\n");
    assert_string_equal(fake_server_heard(&w.second), HELLO MAIL RCPT);
    client_close(&c);
    world_close(&w);
}

/* Another client would be taken for the one named before. */
static void a_server_that_takes_one_xclient_gets_a_connection_for_each_client(void **state) {
    struct world w;
    struct client c, next;

    world_init(&w);
    w.group.forward_client = CONF_FORWARD_XCLIENT;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n";
    world_open(&w);
    client_open(&c, &w);
    start_rcpt(&c, "b@near.example");
    while (w.first.heard.len == 0 || memmem(w.first.heard.at, w.first.heard.len, "XCLIENT", 7) == NULL)
        assert_int_equal(loop_turn(w.loop, 0), 0);
    w.first.ehlo = "250-inner.example\r\n250 PIPELINING\r\n"; /* in the EHLO behind it */
    turns(&w);
    assert_int_equal(c.code, 250);
    client_close(&c);
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n";
    turns(&w);
    (void)fake_server_heard(&w.first);
    client_init(&next, &w);
    next.envelope.client.bytes[3] = 8;
    client_begin(&next);
    rcpt(&next, "b@near.example");
    assert_int_equal(next.code, 250);
    assert_int_equal(w.first.connections, 2);
    assert_non_null(strstr(fake_server_heard(&w.first), "|" HELLO "XCLIENT ADDR=192.0.2.8\r\n" HELLO MAIL RCPT));
    client_close(&next);
    world_close(&w);
}

static void a_server_that_does_not_know_bdat_gets_data(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
    w.first.bdat = "502 5.5.1 Not implemented\r\n";
    world_open(&w);
    for (unsigned i = 1; i <= 2; i++) {
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        deliver(&c);
        assert_int_equal(c.code, 250);
        assert_int_equal(w.first.messages, i);
        client_close(&c);
        turns(&w);
    }
    assert_int_equal(w.first.connections, 2); /* what followed BDAT on the first one is no message there */
    const char *heard = fake_server_heard(&w.first);
    assert_non_null(strstr(heard, "|" HELLO MAIL RCPT "DATA\r\n"));
    assert_null(strstr(strstr(heard, "BDAT") + 1, "BDAT"));
    assert_string_equal(w.health, "0 offers CHUNKING and answers 502 to BDAT: goes on with DATA\n");
    world_close(&w);
}

static void what_a_server_says_about_us_is_our_trouble_and_warned_of_once_a_minute(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.first.mail = "530 5.7.0 Must issue a STARTTLS command first\r\n";
    world_open(&w);
    client_open(&c, &w);
    for (unsigned i = 0; i < 5; i++) {
        rcpt(&c, "b@near.example");
        assert_int_equal(c.outcome, RELAY_TROUBLE);
    }
    assert_string_equal(w.health, "0 answers 530 5.7.0 Must issue a STARTTLS command first to MAIL, "
                        "which is about us: the sender gets 451\n");
    struct relay_stats stats;
    relay_server_stats(w.relay, 0, 0, &stats);
    assert_int_equal(stats.troubles, 5);
    w.health[0] = '\0';
    pass_time(&w, 60 * SECOND);
    rcpt(&c, "b@near.example");
    assert_non_null(strstr(w.health, "530"));
    client_close(&c);
    world_close(&w);
}

static void a_250_that_is_too_long_has_too_many_lines_or_no_end_is_a_250(void **state) {
    static char long_line[9000], many[300 * 9 + 20];
    const char *const answers[] = { long_line, many, "!250 2.0.0 queu" };
    struct world w;
    struct client c;

    memcpy(long_line, "250 ", 4);
    memset(long_line + 4, 'x', sizeof(long_line) - 7);
    strcpy(long_line + sizeof(long_line) - 3, "\r\n");
    for (unsigned i = 0; i < 300; i++)
        memcpy(many + 9 * i, "250-abc\r\n", 9);
    strcpy(many + 300 * 9, "250 abc\r\n");
    world_init(&w);
    world_open(&w);
    for (unsigned i = 0; i < 3; i++) {
        w.first.dot = answers[i];
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        deliver(&c);
        assert_int_equal(c.outcome, RELAY_ANSWERED);
        assert_int_equal(c.code, 250);
        client_close(&c);
        turns(&w);
    }
    world_close(&w);
}

static void xclient_is_followed_by_a_new_hello(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.group.forward_client = CONF_FORWARD_XCLIENT;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XCLIENT NAME ADDR PROTO HELO\r\n";
    world_open(&w);
    client_open(&c, &w);
    rcpt(&c, "b@near.example");
    assert_int_equal(c.code, 250);
    assert_string_equal(fake_server_heard(&w.first),
                        HELLO "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7 PROTO=ESMTP HELO=far.example\r\n"
                        HELLO MAIL RCPT);
    client_close(&c);
    world_close(&w);
}

static void a_user_that_leaves_behind_xclient_leaves_no_connection_without_a_hello(void **state) {
    struct world w;
    struct client gone, next;

    world_init(&w);
    w.conf.set.limits.server_connections = 1;
    w.group.forward_client = CONF_FORWARD_XCLIENT;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n";
    w.first.xclient = NULL;
    world_open(&w);
    client_open(&gone, &w);
    client_open(&next, &w);
    start_rcpt(&gone, "gone@near.example");
    turns(&w);
    client_close(&gone);
    w.first.xclient = "220 inner.example\r\n";
    fake_server_heard(&w.first);
    rcpt(&next, "b@near.example");
    assert_int_equal(next.code, 250);
    assert_string_equal(fake_server_heard(&w.first), "|" HELLO "XCLIENT ADDR=192.0.2.7\r\n" HELLO MAIL RCPT);
    client_close(&next);
    world_close(&w);
}

/* ---- TLS */

static void a_server_without_the_tls_that_is_required_is_no_server(void **state) {
    static const struct { const char *ehlo, *starttls, *why; } cases[] = {
        { "250 inner.example\r\n", NULL, "0 down: offers no STARTTLS\n" },
        { "250-inner.example\r\n250 STARTTLS\r\n", "454 not now\r\n", "0 down: STARTTLS: 454 not now\n" },
        { "250-inner.example\r\n250 STARTTLS\r\n", "220 go\r\n250 injected\r\n",
            "0 down: plaintext behind the answer to STARTTLS\n" },
        { "502 no\r\n", NULL, "0 down: EHLO: 502 no\n" },
    };

    for (size_t i = 0; i < 4; i++) {
        struct world w;
        struct client c;

        world_init(&w);
        w.tls = SSL_CTX_new(TLS_client_method());
        w.group.tls = CONF_TLS_REQUIRE;
        w.first.ehlo = cases[i].ehlo;
        w.first.starttls = cases[i].starttls;
        world_open(&w);
        client_open(&c, &w);
        rcpt(&c, "b@near.example");
        assert_int_equal(c.outcome, RELAY_NO_SERVER);
        assert_string_equal(w.health, cases[i].why);
        client_close(&c);
        world_close(&w);
    }
}

static void mode_may_goes_on_in_the_clear_on_a_new_connection_when_tls_fails(void **state) {
    struct world w;
    struct client c;

    world_init(&w);
    w.tls = SSL_CTX_new(TLS_client_method());
    w.group.tls = CONF_TLS_MAY;
    w.first.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n";
    world_open(&w);
    client_open(&c, &w);
    start_rcpt(&c, "b@near.example");
    turns(&w);
    fake_server_say(&w.first, 0, "!this is no TLS record\r\n"); /* where its handshake should stand */
    turns(&w);
    assert_int_equal(c.n_done, 1);
    assert_int_equal(c.code, 250);
    assert_int_equal(w.first.connections, 2);
    assert_non_null(strstr(w.health, "goes on without TLS"));
    client_close(&c);
    world_close(&w);
}

static void mode_may_says_once_that_a_server_gets_mail_in_the_clear(void **state) {
    static const struct {
        const char *ehlo, *starttls, *said;
    } rows[] = {
        { "250 inner.example\r\n", NULL, "0 goes on without TLS: it offers no STARTTLS\n" },
        { "250-inner.example\r\n250 STARTTLS\r\n", "454 4.7.0 TLS not available\r\n",
          "0 goes on without TLS: it refused STARTTLS\n" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        struct client c;
        struct relay_stats stats;

        world_init(&w);
        w.tls = SSL_CTX_new(TLS_client_method());
        w.group.tls = CONF_TLS_MAY;
        w.first.ehlo = rows[i].ehlo;
        w.first.starttls = rows[i].starttls;
        world_open(&w);
        for (unsigned n = 0; n < 2; n++) {
            client_open(&c, &w);
            rcpt(&c, "b@near.example");
            assert_int_equal(c.code, 250);
            client_close(&c);
            fake_server_drop_all(&w.first);
            turns(&w);
        }
        assert_int_equal(w.first.connections, 2);
        assert_string_equal(w.health, rows[i].said);
        relay_server_stats(w.relay, 0, 0, &stats);
        assert_true(stats.is_plain);
        world_close(&w);
    }
}

/* ---- all together */

static unsigned draw(uint32_t *seed, unsigned n) {
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 16) % n;
}

static void misbehave(struct world *w, uint32_t *seed) {
    static const char *const rcpt[] = { "250 ok\r\n", "250 ok\r\n", "550 no\r\n", "!", NULL, "421 bye\r\n",
        "what\r\n" };
    static const char *const dot[] = { "250 kept\r\n", "250 kept\r\n", "554 no\r\n", "!", NULL, "!250 kept\r\n" };
    static const char *const greeting[] = { "220 hi\r\n", "220 hi\r\n", "220 hi\r\n", "554 no\r\n", "!" };
    static const char *const ehlo[] = { "250-hi\r\n250 PIPELINING\r\n", "250 hi\r\n",
        "250-hi\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
                                        "250-hi\r\n250-CHUNKING\r\n250 LIMITS MAILMAX=2\r\n" };
    struct fake_server *server = draw(seed, 2) ? &w->first : &w->second;

    server->rcpt = rcpt[draw(seed, 7)];
    server->dot = dot[draw(seed, 6)];
    server->greeting = greeting[draw(seed, 5)];
    server->ehlo = ehlo[draw(seed, 4)];
    server->data = draw(seed, 6) ? "354 go\r\n" : draw(seed, 2) ? "452 no\r\n" : "!";
    if (draw(seed, 4) == 0)
        fake_server_drop_all(server);
}

/* One step of one client. An operation that is still out stays out, or the client leaves in its middle. */
static void step(struct client *c, struct world *w, uint32_t *seed, unsigned *started) {
    bool is_pending = *started != c->n_done;

    if (!c->transfer || draw(seed, is_pending ? 8 : 16) == 0) {
        client_close(c);
        client_open(c, w);
        *started = 0;
        return;
    }
    if (is_pending)
        return;
    if (c->outcome == RELAY_ANSWERED && c->code == 250 && *started > 0 && draw(seed, 2)) {
        c->message.deadline_ms = 0;
        start_deliver(c);
        *started = 100; /* deliveries are the last operation */
        c->n_done = *started - 1;
    } else if (*started < 100) {
        start_rcpt(c, "b@near.example");
        ++*started;
    }
}

static void every_operation_ends_once_whatever_servers_and_clients_do(void **state) {
    enum { CLIENTS = 6, RUNS = 12, STEPS = 60 };

    for (uint32_t run = 0; run < RUNS; run++) {
        struct world w;
        struct client clients[CLIENTS];
        unsigned started[CLIENTS] = { 0 };
        uint32_t seed = run * 7919;

        world_init(&w);
        w.group.n_servers = 2;
        w.conf.set.limits.server_connections = 2;
        world_open(&w);
        for (int i = 0; i < CLIENTS; i++)
            client_open(&clients[i], &w);
        for (int n = 0; n < STEPS; n++) {
            if (draw(&seed, 3) == 0)
                misbehave(&w, &seed);
            for (int i = 0; i < CLIENTS; i++)
                step(&clients[i], &w, &seed, &started[i]);
            for (unsigned i = draw(&seed, 6); i > 0; i--)
                assert_int_equal(loop_turn(w.loop, 0), 0);
            if (draw(&seed, 4) == 0)
                pass_time(&w, draw(&seed, 4000));
        }
        for (int i = 0; i < 10; i++) /* every pending one comes to its end by its own time-out */
            pass_time(&w, 60 * SECOND);
        for (int i = 0; i < CLIENTS; i++) {
            assert_int_equal(clients[i].n_done, started[i]);
            client_close(&clients[i]);
        }
        assert_int_equal(relay_orphans(w.relay), 0);
        world_close(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_out_on_the_connection_that_answered_its_recipient),
        cmocka_unit_test(a_kept_connection_serves_the_next_message_without_a_new_hello),
        cmocka_unit_test(chunking_needs_no_dots),
        cmocka_unit_test(a_large_message_goes_out_of_the_file_in_chunks_or_with_its_dots_stuffed),
        cmocka_unit_test(a_header_that_takes_many_turns_goes_out_whole),
        cmocka_unit_test(a_session_or_its_connection_may_go_while_a_header_is_walked_through),
        cmocka_unit_test(without_pipelining_every_chunk_waits_for_its_answer),
        cmocka_unit_test(without_pipelining_every_command_waits_for_its_answer),
        cmocka_unit_test(a_server_that_knows_no_ehlo_is_greeted_with_helo),
        cmocka_unit_test(the_servers_own_refusal_reaches_the_client_without_inner_names),
        cmocka_unit_test(a_refused_sender_is_the_answer_to_the_recipient),
        cmocka_unit_test(a_421_becomes_451_and_the_connection_is_closed),
        cmocka_unit_test(data_refused_is_the_servers_answer),
        cmocka_unit_test(nonsense_before_the_final_dot_is_lost_and_behind_it_unknown),
        cmocka_unit_test(an_answer_that_came_before_its_command_is_none),
        cmocka_unit_test(half_an_answer_before_its_command_is_none_either),
        cmocka_unit_test(half_an_answer_before_the_end_keeps_the_end_back),
        cmocka_unit_test(a_server_that_talks_ahead_in_its_hello_is_no_server),
        cmocka_unit_test(a_loan_ends_after_relay_hold_and_the_delivery_replays_in_one_group),
        cmocka_unit_test(the_oldest_loan_is_taken_back_for_one_who_waits),
        cmocka_unit_test(a_recipient_waits_server_wait_and_a_delivery_goes_first),
        cmocka_unit_test(a_user_that_leaves_with_answers_due_leaves_the_next_one_in_step),
        cmocka_unit_test(a_kept_connection_that_the_server_closed_is_replaced_unnoticed),
        cmocka_unit_test(a_loan_that_the_server_dropped_is_repaired_by_the_replay),
        cmocka_unit_test(a_loan_that_dies_when_a_whole_bdat_went_out_leaves_the_outcome_unknown_unless_it_says_421),
        cmocka_unit_test(a_replay_that_refuses_one_recipient_delivers_nothing),
        cmocka_unit_test(a_server_that_goes_away_after_mail_is_lost_and_no_other_is_tried),
        cmocka_unit_test(the_replay_may_go_to_the_next_server_when_the_first_has_died_meanwhile),
        cmocka_unit_test(what_only_the_next_server_lacks_is_no_fault_of_the_sender),
        cmocka_unit_test(as_many_recipients_as_the_limit_allows_are_kept),
        cmocka_unit_test(a_server_that_refuses_us_is_passed_over),
        cmocka_unit_test(nobody_waits_for_servers_that_are_known_to_be_down_and_one_trial_a_pause_brings_them_back),
        cmocka_unit_test(a_server_that_limits_connections_goes_on_with_those_it_took),
        cmocka_unit_test(a_limited_server_that_lost_its_last_connection_is_tried_again),
        cmocka_unit_test(a_server_that_is_silent_is_left_after_its_time_and_not_called_busy),
        cmocka_unit_test(each_answer_of_a_pipelined_group_has_its_own_time),
        cmocka_unit_test(nothing_is_delivered_when_the_client_is_gone_or_too_little_time_is_left),
        cmocka_unit_test(the_answer_to_the_final_dot_is_waited_for_until_the_deadline),
        cmocka_unit_test(a_connection_that_breaks_behind_the_final_dot_leaves_the_outcome_unknown),
        cmocka_unit_test(a_delivery_goes_on_without_its_session_once_the_final_dot_is_out),
        cmocka_unit_test(a_relay_that_is_freed_reports_its_orphans_as_unknown),
        cmocka_unit_test(a_session_may_leave_while_anything_is_pending_and_hears_no_more),
        cmocka_unit_test(a_session_may_leave_inside_its_completion),
        cmocka_unit_test(what_a_server_does_not_offer_is_left_out_noted_or_refused),
        cmocka_unit_test(what_a_server_offers_is_used),
        cmocka_unit_test(what_is_offered_is_what_all_servers_offered_when_last_met),
        cmocka_unit_test(no_transaction_has_more_recipients_than_its_server_allows),
        cmocka_unit_test(no_connection_carries_more_mails_than_its_server_allows),
        cmocka_unit_test(xforward_goes_out_before_each_mail_and_with_it_once_accepted),
        cmocka_unit_test(a_server_that_refuses_xforward_is_passed_over),
        cmocka_unit_test(a_client_whose_address_is_refused_on_a_proven_connection_is_sent_again_without_it),
        cmocka_unit_test(a_client_that_xclient_cannot_name_is_unknown_or_goes_to_the_next_server),
        cmocka_unit_test(a_server_that_takes_one_xclient_gets_a_connection_for_each_client),
        cmocka_unit_test(a_server_that_does_not_know_bdat_gets_data),
        cmocka_unit_test(what_a_server_says_about_us_is_our_trouble_and_warned_of_once_a_minute),
        cmocka_unit_test(a_250_that_is_too_long_has_too_many_lines_or_no_end_is_a_250),
        cmocka_unit_test(no_client_can_take_a_server_down_by_what_it_calls_itself),
        cmocka_unit_test(xclient_is_followed_by_a_new_hello),
        cmocka_unit_test(a_user_that_leaves_behind_xclient_leaves_no_connection_without_a_hello),
        cmocka_unit_test(a_server_without_the_tls_that_is_required_is_no_server),
        cmocka_unit_test(mode_may_goes_on_in_the_clear_on_a_new_connection_when_tls_fails),
        cmocka_unit_test(mode_may_says_once_that_a_server_gets_mail_in_the_clear),
        cmocka_unit_test(every_operation_ends_once_whatever_servers_and_clients_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
