/*
 * scan_stage: a loop with a clock of its own, three clamds and three spamds that misbehave on demand, and scanners that
 * know as many of them as a test wants.
 *
 * Everything is local and on one loop, so turns that do not wait are enough for bytes to arrive.
 */
#pragma once

#include "fake_scanner.h"

#include "facts/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SPAM_ANSWER "SPAMD/1.1 0 EX_OK\r\nContent-length: 7\r\nSpam: True ; 7.5 / 5.0\r\n\r\nAAA,BBB"

static struct loop *loop;
static uint64_t now_ms;
static struct conf conf;
enum { N_FAKES = 3 };

static struct conf_scanner_server clam_servers[N_FAKES], spam_servers[N_FAKES];
static struct fake_scanner clam[N_FAKES], spam[N_FAKES];
static struct scanners *scanners;
static char said[4000]; /* what was told of servers and missed messages, a line each */
static struct spool spool;
static struct scan_text text;
static unsigned n_changes; /* of any scan */
static bool is_inside;     /* a call of ours into scan.h: no callback may come then */

__attribute__((format(printf, 1, 2)))
static inline void say_event(const char *format, ...) {
    size_t len = strlen(said);
    va_list args;

    va_start(args, format);
    vsnprintf(said + len, sizeof(said) - len, format, args);
    va_end(args);
}

static inline void on_stage_server(void *arg, enum scanner scanner, const char *server, struct str what) {
    const struct fake_scanner *fakes = scanner == SCANNER_CLAMAV ? clam : spam;

    int n = 0;

    (void)arg;
    while (n < N_FAKES - 1 && strcmp(server, fakes[n].name) != 0)
        n++;
    say_event("%s%d %.*s\n", scanner_names[scanner], n, STR_ARG(what));
}

static inline void on_stage_missed(void *arg, enum scanner scanner, const char *id, bool is_skipped, struct str why) {
    (void)arg;
    say_event("%s %s %s: %.*s\n", id, is_skipped ? "skipped by" : "missed by", scanner_names[scanner], STR_ARG(why));
}

static const struct scanner_events stage_events = { on_stage_server, on_stage_missed, NULL };

static inline void on_stage_change(void *arg) {
    (void)arg;
    assert_false(is_inside);
    n_changes++;
}

static inline void stage_turns(int n) {
    while (n-- > 0)
        assert_int_equal(loop_turn(loop, 0), 0);
}

static inline void stage_advance(uint64_t ms) {
    loop_set_time(loop, now_ms += ms);
    stage_turns(20);
}

static inline void stage_await(unsigned changes) {
    for (int i = 0; i < 200000 && n_changes < changes; i++)
        stage_turns(1);
    assert_int_equal(n_changes, changes);
}

#define STAGE_AWAIT(condition)                                 \
    do {                                                       \
        for (int i_ = 0; i_ < 200000 && !(condition); i_++)    \
            stage_turns(1);                                    \
        assert_true(condition);                                \
    } while (0)

static inline void stage_text(size_t len) {
    while (len > 0) {
        size_t n = len < 64000 ? len : 64000;
        char *at = spool_room(&spool, n);

        assert_non_null(at);
        for (size_t i = 0; i < n; i++)
            at[i] = (char)('a' + (spool_size(&spool) + i) % 26);
        assert_int_equal(spool_wrote(&spool, n), 0);
        len -= n;
    }
}

static inline int stage_setup(void **state) {
    (void)state;
    assert_int_equal(loop_new(&loop), 0);
    loop_set_time(loop, now_ms = 1000000);
    for (int i = 0; i < N_FAKES; i++) {
        fake_scanner_open(&clam[i], loop, true);
        fake_scanner_open(&spam[i], loop, false);
        clam_servers[i] = clam[i].conf;
        spam_servers[i] = spam[i].conf;
        spam[i].message = (struct fake_play){ FAKE_SAYS, SPAM_ANSWER };
    }
    conf.set.clamav = (struct conf_scanner){ clam_servers, 0, 60000, 25 << 20, 2, false };
    conf.set.spamassassin = (struct conf_scanner){ spam_servers, 0, 60000, 512 << 10, 2, true };
    spool_init(&spool, "/tmp", 256 << 10);
    text = (struct scan_text){ STR("Received: from a\r\n"), &spool, STR("d.example"), "id" };
    said[0] = '\0';
    n_changes = 0;
    return 0;
}

/* The trials at the start have passed, or failed. */
static inline void stage_start(unsigned n_clam, unsigned n_spam) {
    conf.set.clamav.n_servers = n_clam;
    conf.set.spamassassin.n_servers = n_spam;
    assert_int_equal(scanners_new(loop, &conf, 1, &stage_events, &scanners), 0);
    stage_turns(50);
}

static inline int stage_teardown(void **state) {
    (void)state;
    scanners_free(scanners);
    scanners = NULL;
    for (int i = 0; i < N_FAKES; i++) {
        fake_scanner_close(&clam[i]);
        fake_scanner_close(&spam[i]);
    }
    stage_turns(3);
    spool_deinit(&spool);
    loop_free(loop);
    return 0;
}

static inline struct scan *stage_scan(void) {
    struct scan *scan = scan_new(scanners, &text, now_ms + 180000, on_stage_change, NULL);

    assert_non_null(scan);
    return scan;
}

static inline void stage_want(struct scan *scan, bool virus, bool is_spam) {
    is_inside = true;
    scan_want(scan, virus, is_spam);
    is_inside = false;
}

static inline void assert_str(struct str got, const char *expected) {
    if (!str_eq(got, str_of(expected)))
        fail_msg("'%.*s' instead of '%s'", STR_ARG(got), expected);
}

static inline void assert_said(const char *expected) {
    if (!strstr(said, expected))
        fail_msg("nobody said '%s', but\n%s", expected, said);
}
