/*
 * What the tests of store/ share: a question of an ordinary client, and turns of a loop.
 */
#pragma once

#include "net/loop.h"
#include "store/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static inline struct greylist_question question_for_test(const char *sender) {
    return (struct greylist_question){
        .identities = { STR("org:example.net"), STR("ip:192.0.2.1") },
        .n_identities = 2,
        .sender = str_of(sender),
        .recipient = STR("bert@example.com"),
        .is_null_sender = strcmp(sender, "<>") == 0,
    };
}

static const struct greylist_settings settings_for_test = {
    .delay = 300, .unpassed_life = 172800, .passed_life = 3110400, .whitelist_life = 3110400, .whitelist_after = 5,
};

static inline struct loop *loop_for_test(void) {
    struct loop *loop;
    assert_int_equal(loop_new(&loop), 0);
    return loop;
}

static inline void turns(struct loop *loop, int n) {
    while (n-- > 0)
        assert_int_equal(loop_turn(loop, 0), 0);
}
