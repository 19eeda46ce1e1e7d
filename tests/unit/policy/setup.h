/*
 * setup: a configuration for tests of policies: the tables of the shipped policy, none of them empty, block lists in
 * two groups, everything switched on.
 */
#pragma once

#include "policy/policy.h"
#include "policy/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TABLE(name_, kind_) { .name = STR_INIT(name_), .kind = kind_ }

static const struct policy_table setup_tables[] = {
    TABLE("relay_clients", TABLE_CIDR), TABLE("partners", TABLE_CIDR), TABLE("banned", TABLE_CIDR),
    TABLE("exempt_clients", TABLE_CIDR), TABLE("exempt_names", TABLE_NAMES), TABLE("exempt_senders", TABLE_ADDRESSES),
    TABLE("exempt_recipients", TABLE_ADDRESSES), TABLE("well_known_senders", TABLE_NAMES),
    TABLE("banned_names", TABLE_NAMES), TABLE("banned_senders", TABLE_ADDRESSES), TABLE("opted_out", TABLE_NAMES),
    TABLE("odd", TABLE_PATTERNS),
};

static const struct policy_list setup_lists[] = {
    { .zone = STR_INIT("zen.example.org"), .group = STR_INIT("main"), .family = LISTS_CLIENT, .weight = FACT_UNIT },
    { .zone = STR_INIT("bl.example.net"), .group = STR_INIT("main"), .family = LISTS_CLIENT, .weight = 2 * FACT_UNIT },
    { .zone = STR_INIT("few.example.com"), .group = STR_INIT("extra"), .family = LISTS_CLIENT, .weight = 500 },
    { .zone = STR_INIT("wl.example.org"), .group = STR_INIT("good"), .family = LISTS_CLIENT, .weight = -FACT_UNIT },
    { .zone = STR_INIT("dbl.example.org"), .group = STR_INIT("main"), .family = LISTS_SENDER, .weight = FACT_UNIT },
};

static inline struct policy_environment setup_environment(void) {
    return (struct policy_environment){
        .tables = setup_tables, .n_tables = sizeof(setup_tables) / sizeof(setup_tables[0]),
        .lists = setup_lists, .n_lists = sizeof(setup_lists) / sizeof(setup_lists[0]),
    };
}

/* What loading says; the caller frees it. *ret_policy is NULL when it does not load. */
static inline char *setup_load(const char *text, const struct policy_environment *environment,
                               struct policy **ret_policy) {
    struct diag_list diag;
    struct policy *policy = NULL;
    diag_init(&diag);
    int r = policy_load("policy", str_of(text), environment, &diag, &policy);
    if ((r == 0) != (policy != NULL) || (r == 0) != (diag.errors == 0))
        abort();
    char *said = strndup(diag.text.at ? diag.text.at : "", diag.text.len);
    diag_deinit(&diag);
    if (ret_policy)
        *ret_policy = policy;
    else
        policy_free(policy);
    return said;
}

/* The text has to load without a word. */
static inline struct policy *setup_policy(const char *text) {
    struct policy_environment environment = setup_environment();
    struct policy *policy = NULL;
    char *said = setup_load(text, &environment, &policy);
    if (policy == NULL || *said != '\0') {
        fputs(said, stderr);
        abort();
    }
    free(said);
    return policy;
}

static inline char *setup_read(const char *path) {
    enum { MAX = 1 << 20 };
    char *text = calloc(1, MAX + 1);
    FILE *file = fopen(path, "r");
    if (text == NULL || file == NULL || fread(text, 1, MAX, file) == MAX)
        abort();
    fclose(file);
    return text;
}
