/*
 * loaded: a configuration from a text, for the tests of conf/.
 */
#pragma once

#include "base/hash.h"
#include "conf/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What every configuration needs; tests add to it. */
#define MINIMAL "hostname mx.example.com\nlisten 127.0.0.1:25\nservers mailbox {\n  server 127.0.0.1\n}\n"

struct loaded {
    int result;
    struct diag_list diag;
    struct conf *conf;
    char *said; /* the messages as a string */
};

static inline struct loaded load_bytes(struct str text) {
    struct loaded l = { 0 };
    diag_init(&l.diag);
    l.result = conf_load_text("/nowhere/postern.conf", text, &l.diag, &l.conf);
    l.said = strndup(l.diag.text.len > 0 ? l.diag.text.at : "", l.diag.text.len);
    assert_non_null(l.said);
    return l;
}

static inline struct loaded load_text(const char *text) {
    return load_bytes(str_of(text));
}

static inline void unload(struct loaded *l) {
    conf_free(l->conf);
    diag_deinit(&l->diag);
    free(l->said);
}

/* Loads, and fails with the messages when it does not. */
static inline struct loaded load_good(const char *text) {
    struct loaded l = load_text(text);
    if (l.result != 0)
        fail_msg("expected to load:\n%s\n%s", text, l.said);
    return l;
}

/* The text must be refused with a message that holds `expected`. */
static inline void assert_refused(const char *text, const char *expected) {
    struct loaded l = load_text(text);
    if (l.result != -EINVAL || strstr(l.said, expected) == NULL)
        fail_msg("expected '%s' from:\n%s\ngot %d:\n%s", expected, text, l.result, l.said);
    assert_null(l.conf);
    unload(&l);
}
