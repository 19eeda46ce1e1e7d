/*
 * stage: a loop, a name server and a resolver that asks it, for one test each.
 */
#pragma once

#include "dns_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct loop *loop;
static struct resolver *resolver;
static struct dns_server server;

static inline int stage_setup(void **state) {
    assert_int_equal(loop_new(&loop), 0);
    dns_server_open(&server, loop);
    resolver = dns_server_resolver(&server, loop, 0);
    return 0;
}

static inline int stage_teardown(void **state) {
    assert_int_equal(resolver_waiting(resolver), 0);
    resolver_free(resolver);
    dns_server_close(&server, loop);
    loop_free(loop);
    return 0;
}

/* Turns until `*n` has reached `wanted`. */
static inline void stage_await(const unsigned *n, unsigned wanted) {
    uint64_t until = loop_now(loop) + 5000;
    while (*n < wanted && loop_now(loop) < until)
        assert_int_equal(loop_turn(loop, 20), 0);
    assert_int_equal(*n, wanted);
}

/* Turns until that many packets matched; what comes is then on its way. */
static inline void stage_await_question(const char *pattern, unsigned wanted) {
    uint64_t until = loop_now(loop) + 5000;
    while (dns_server_asked(&server, pattern) < wanted && loop_now(loop) < until)
        assert_int_equal(loop_turn(loop, 20), 0);
    assert_true(dns_server_asked(&server, pattern) >= wanted);
}

static inline void stage_settle(void) {
    for (int i = 0; i < 20; i++)
        assert_int_equal(loop_turn(loop, 0), 0);
}

static inline struct ip stage_ip(const char *text) {
    struct ip ip;
    assert_int_equal(ip_parse(str_of(text), &ip), 0);
    return ip;
}

#define STAGE_TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
