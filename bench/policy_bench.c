/*
 * policy_bench: how long does a decision of the shipped policy take when every fact is known?
 *
 *     policy_bench [POLICY [ROUNDS]]        etc/policy, 2,000,000
 *
 * Three deliveries: an ordinary good one, for which every rule is tried, and two refused ones. Prints nanoseconds of
 * CPU time a decision; exits non-zero from 1,000 on. Memory is warm and nothing else runs in between, so this is the
 * best a session can get.
 */
#include "policy/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TABLE(name_, kind_) { .name = STR_INIT(name_), .kind = kind_ }

static const struct policy_table tables[] = {
    TABLE("relay_clients", TABLE_CIDR), TABLE("partners", TABLE_CIDR), TABLE("banned", TABLE_CIDR),
    TABLE("exempt_clients", TABLE_CIDR), TABLE("exempt_names", TABLE_NAMES), TABLE("exempt_senders", TABLE_ADDRESSES),
    TABLE("exempt_recipients", TABLE_ADDRESSES), TABLE("well_known_senders", TABLE_NAMES),
    TABLE("banned_names", TABLE_NAMES), TABLE("banned_senders", TABLE_ADDRESSES),
};
static const struct policy_list lists[] = {
    { .zone = STR_INIT("a.example"), .group = STR_INIT("main"), .family = LISTS_CLIENT, .weight = FACT_UNIT },
    { .zone = STR_INIT("b.example"), .group = STR_INIT("main"), .family = LISTS_CLIENT, .weight = FACT_UNIT },
};
static const struct policy_environment environment = {
    .tables = tables,
    .n_tables = sizeof(tables) / sizeof(tables[0]),
    .lists = lists,
    .n_lists = sizeof(lists) / sizeof(lists[0]),
};

static double cpu_us(void) {
    return (double)clock() * 1000000 / CLOCKS_PER_SEC;
}

static char *read_file(const char *path) {
    enum { MAX = 1 << 20 };
    char *text = calloc(1, MAX + 1);
    FILE *file = fopen(path, "r");
    if (text == NULL || file == NULL || fread(text, 1, MAX, file) == 0) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return text;
}

/* Nanoseconds of one decision about this world. */
static double measure(const struct policy *policy, const char *given, unsigned long rounds) {
    struct arena arena = { .max = 0 };
    struct diag_list diag;
    struct diag_source source = { .path = "given", .text = str_of(given) };
    struct world world;
    struct policy_verdict verdict;
    unsigned long sum = 0;
    diag_init(&diag);
    if (world_init(&world, policy, &environment, &arena) != 0 ||
        (*given && world_give(&world, &source, source.text, &diag) != 0))
        exit(2);
    world_decide(&world, LAYER_CONTENT, &verdict, NULL);
    double begin = cpu_us();
    for (unsigned long i = 0; i < rounds; i++) {
        policy_decide(policy, LAYER_CONTENT, &world.facts, &verdict);
        sum += verdict.action;
    }
    double took = cpu_us() - begin;
    printf("%-40s %-10s %7.1f ns\n", *given ? given : "an ordinary good delivery", action_names[verdict.action],
           took * 1000 / (double)rounds);
    diag_deinit(&diag);
    arena_reset(&arena);
    return sum == rounds * verdict.action ? took * 1000 / (double)rounds : 1e9;
}

int main(int argc, char **argv) {
    struct diag_list diag;
    struct policy *policy = NULL;
    char *text = read_file(argc > 1 ? argv[1] : "etc/policy");
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000000;
    diag_init(&diag);
    double begin = cpu_us();
    if (rounds == 0 || policy_load("policy", str_of(text), &environment, &diag, &policy) != 0) {
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&diag.text)));
        return 2;
    }
    printf("%-51s %7.1f us\n", "load, tests included", cpu_us() - begin);
    double good = measure(policy, "", rounds);
    double refused = measure(policy, "ptr.none, helo \"[203.0.113.7]\"", rounds);
    double listed = measure(policy, "dnsbl.hits(main) 2", rounds);
    policy_free(policy);
    diag_deinit(&diag);
    free(text);
    return good < 1000 && refused < 1000 && listed < 1000 ? 0 : 1;
}
