/*
 * dnsbl_trust: see the header for states and rules.
 *
 * The probes of one round:
 *     listed   127.0.0.2, ::FFFF:7F00:2, TEST (RFC 5782 5), or what `probe` names
 *     clean    127.0.0.1, ::FFFF:7F00:1, INVALID, or what `probe` names
 *     name     a random label: a wildcard in the zone, or a server that answers everything, shows here
 *     address  a random one that no host has, with standard probes, in 127.128/9 or 3fff::/20 (RFC 9637): a list of
 *              0.0.0.0/0 or 2000::/3 shows here, even while an older answer about 127.0.0.1 is still in some cache.
 *              Not a mapped one for IPv6, which rbldnsd looks up among its IPv4 addresses
 * All must pass, within the latency budget. A question without an answer is asked twice, since one lost packet is no
 * reason to lose a list in the middle of an attack. If our own resolver had no room for a question, the round
 * decides nothing and is played again.
 *
 * Errors of clients' questions call the probes at the fifth in a row, and end trust without them at the 32nd: a list
 * may fail for real questions only. Questions that were given up after a long wait, since who asked had no more time,
 * call the probes too; they end nothing, since the answer might have come.
 *
 * A pause is twice as long as the one before, unless the list was trusted in between for longer than that.
 *
 * Rejected: a share of hits above which a list is taken out. In an attack of a botnet nine of ten clients are listed,
 * rightly, and that is when the list is needed.
 */
#include "facts/dnsbl_trust.h"

#include "base/clock.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    ATTEMPTS = 2,
    ERRORS_SUSPICIOUS = 5,
    ERRORS_MAX = 32,
    RECENT = 32,           /* answers in the window */
    SHARE = 65536,         /* usual_hits: all are hits */
    JUMP_LATENCY_MS = 100, /* below this no latency is a jump */
    REFUSED_PAUSE_MS = 1000,
};

const char *const dnsbl_kind_names[N_DNSBL_KINDS] = { "IPv4", "IPv6", "names" };

const char *const dnsbl_why_texts[N_DNSBL_WHYS] = {
    [DNSBL_WHY_NOT] = "",
    [DNSBL_WHY_NO_ANSWER] = "does not answer in time",
    [DNSBL_WHY_FAILURE] = "its servers fail",
    [DNSBL_WHY_NONSENSE] = "answers with what is no return code",
    [DNSBL_WHY_WORLD] = "lists everything",
    [DNSBL_WHY_NO_ENTRY] = "its test entry is not listed",
};

/* ---- what to probe */

/* 127.a.b.c; for IPv6 the same, mapped (RFC 5782 5), which ip_parse() would make an IPv4 address. */
static struct ip test_address(enum dnsbl_kind kind, uint32_t low_24_bits) {
    struct ip ip = { .family = kind == DNSBL_IPV4 ? IP_V4 : IP_V6 };
    uint8_t *at = ip.bytes;
    if (kind == DNSBL_IPV6) {
        ip.bytes[10] = ip.bytes[11] = 0xff;
        at += 12;
    }
    at[0] = 127;
    at[1] = (uint8_t)(low_24_bits >> 16);
    at[2] = (uint8_t)(low_24_bits >> 8);
    at[3] = (uint8_t)low_24_bits;
    return ip;
}

static bool is_of_kind(const char *entry, enum dnsbl_kind kind) {
    struct ip ip;
    if (ip_parse(str_of(entry), &ip) < 0)
        return kind == DNSBL_NAME;
    return ip.family == (kind == DNSBL_IPV4 ? IP_V4 : kind == DNSBL_IPV6 ? IP_V6 : IP_NONE);
}

static struct ip random_address(enum dnsbl_kind kind, uint64_t random) {
    if (kind == DNSBL_IPV4)
        return test_address(kind, 0x800000 | (uint32_t)(random & 0x7fffff));
    struct ip ip = { .family = IP_V6, .bytes = { 0x3f, 0xff, (uint8_t)(random >> 60) } };
    memcpy(ip.bytes + 8, &random, sizeof(random));
    return ip;
}

/* The pair that `probe LISTED CLEAN` gives for this kind, or -1. */
static int find_named(const struct conf_block_list *list, enum dnsbl_kind kind) {
    for (size_t i = 0; i < list->probes.n; i++)
        if (is_of_kind(list->probes.at[i].listed, kind))
            return (int)i;
    return -1;
}

bool dnsbl_trust_applies(const struct conf_block_list *list, enum dnsbl_kind kind) {
    bool is_of_addresses = list->families >> LISTS_CLIENT & 1;
    if (is_of_addresses == (kind == DNSBL_NAME))
        return false;
    return list->probes.use != CONF_PROBE_NAMED || find_named(list, kind) >= 0;
}

static void prepare(struct dnsbl_trust *trust, unsigned i, const struct ip *ip, struct str name, bool must_be_listed) {
    struct dnsbl_probe *probe = &trust->probes[i];
    probe->trust = trust;
    probe->attempts = 0;
    probe->must_be_listed = must_be_listed;
    if (dnsbl_question(trust->list, ip, name, probe->name) == 0)
        probe->name[0] = '\0';
}

static void prepare_entry(struct dnsbl_trust *trust, unsigned i, const char *entry, bool must_be_listed) {
    struct ip ip;
    prepare(trust, i, ip_parse(str_of(entry), &ip) == 0 ? &ip : NULL, str_of(entry), must_be_listed);
}

static void prepare_standard(struct dnsbl_trust *trust, uint64_t random) {
    const enum dnsbl_kind kind = (enum dnsbl_kind)trust->kind;
    if (kind == DNSBL_NAME) {
        prepare(trust, 0, NULL, STR("test"), true);
        prepare(trust, 1, NULL, STR("invalid"), false);
        return;
    }
    struct ip listed = test_address(kind, 2), clean = test_address(kind, 1), other = random_address(kind, random);
    prepare(trust, 0, &listed, STR(""), true);
    prepare(trust, 1, &clean, STR(""), false);
    prepare(trust, 3, &other, STR(""), false);
}

/* Fills trust->probes; those that this list does not have keep an empty name. */
static void prepare_all(struct dnsbl_trust *trust) {
    char label[32];
    uint64_t random = hash_u64(clock_us() ^ (uintptr_t)trust);
    for (unsigned i = 0; i < DNSBL_PROBE_QUESTIONS; i++)
        trust->probes[i].name[0] = '\0';
    int len = snprintf(label, sizeof(label), "x%016" PRIx64, random);
    prepare(trust, 2, NULL, (struct str){ label, (size_t)len }, false);
    int named = find_named(trust->list, (enum dnsbl_kind)trust->kind);
    if (trust->list->probes.use == CONF_PROBE_STANDARD)
        prepare_standard(trust, random);
    if (trust->list->probes.use != CONF_PROBE_NAMED || named < 0)
        return;
    prepare_entry(trust, 0, trust->list->probes.at[named].listed, true);
    prepare_entry(trust, 1, trust->list->probes.at[named].clean, false);
}

/* ---- a round of probes */

static void start_round(struct dnsbl_trust *trust);

/* A timer for which there is no memory leaves things as they are: what is trusted is probed by clients' hits. */
static void on_time(struct timer *timer) {
    struct dnsbl_trust *trust = (struct dnsbl_trust *)((char *)timer - offsetof(struct dnsbl_trust, timer));
    if (trust->n_open == 0)
        start_round(trust);
}

static void run_waiters(struct dnsbl_trust *trust) {
    struct dnsbl_waiter *waiters = trust->waiters;
    trust->waiters = NULL;
    if (waiters != NULL)
        waiters->prev = &waiters; /* whoever runs may cancel others of them */
    while (waiters != NULL) {
        struct dnsbl_waiter *waiter = waiters;
        dnsbl_waiter_cancel(waiter);
        waiter->run(waiter);
    }
}

static void set_state(struct dnsbl_trust *trust, enum dnsbl_trust_state state, enum dnsbl_why why) {
    const struct dnsbl_settings *settings = trust->settings;
    struct dnsbl_state *s = &trust->state;
    bool is_news = s->trust != state || s->why != why;
    bool is_first = s->trust == DNSBL_UNPROBED && state == DNSBL_TRUSTED;
    s->why = why;
    if (s->trust != state) {
        s->trust = state;
        s->since_ms = loop_now(trust->loop);
    }
    if (is_news && !is_first && settings->on_change != NULL)
        settings->on_change(settings->arg, trust->list, (enum dnsbl_kind)trust->kind, s);
}

static void believe(struct dnsbl_trust *trust) {
    uint64_t now = loop_now(trust->loop);
    set_state(trust, DNSBL_TRUSTED, DNSBL_WHY_NOT);
    trust->state.pause_ms = 0;
    trust->errors_in_row = 0;
    trust->fresh_until_ms = now + trust->settings->fresh_ms;
    (void)timer_set(trust->loop, &trust->timer, now + trust->settings->probe_every_ms, on_time);
}

static void disbelieve(struct dnsbl_trust *trust, enum dnsbl_why why) {
    const struct dnsbl_settings *settings = trust->settings;
    uint64_t now = loop_now(trust->loop), pause = settings->pause_ms;
    bool held = trust->state.trust == DNSBL_TRUSTED && now - trust->state.since_ms > trust->pause_ms;
    if (!held && trust->pause_ms > 0)
        pause = 2 * trust->pause_ms < settings->pause_max_ms ? 2 * trust->pause_ms : settings->pause_max_ms;
    trust->pause_ms = trust->state.pause_ms = pause;
    trust->fresh_until_ms = 0;
    set_state(trust, DNSBL_NOT_TRUSTED, why);
    (void)timer_set(trust->loop, &trust->timer, now + pause, on_time);
}

static void tell_state(const struct dnsbl_trust *trust) {
    const struct dnsbl_settings *settings = trust->settings;
    if (settings->on_note != NULL)
        settings->on_note(settings->arg, trust->list, (enum dnsbl_kind)trust->kind, &trust->state);
}

static void decide(struct dnsbl_trust *trust) {
    if (trust->found != DNSBL_WHY_NOT) {
        disbelieve(trust, (enum dnsbl_why)trust->found);
    } else if (trust->was_refused) {
        (void)timer_set(trust->loop, &trust->timer, loop_now(trust->loop) + REFUSED_PAUSE_MS, on_time);
        return; /* who waits goes on waiting, as long as it may */
    } else {
        believe(trust);
    }
    tell_state(trust);
    run_waiters(trust);
}

static void on_probe(struct resolver_query *query, const struct dns_answer *answer);

static void ask(struct dnsbl_probe *probe) {
    struct dnsbl_trust *trust = probe->trust;
    const struct resolver_question question = { .name = probe->name, .type = DNS_A,
                                                .timeout_ms = trust->settings->budget_ms, .purpose = RESOLVER_OWN };
    probe->attempts++;
    probe->began_ms = loop_now(trust->loop);
    resolver_start(trust->resolver, &probe->query, &question, on_probe);
    if (resolver_was_refused(&probe->query)) {
        trust->was_refused = true;
        probe->attempts = ATTEMPTS + 1; /* neither asked again nor held against the list */
    }
}

static enum dnsbl_why judge(const struct dnsbl_probe *probe, const struct dns_answer *answer) {
    const struct dnsbl_trust *trust = probe->trust;
    switch (dnsbl_read(answer)) {
    case DNSBL_READ_NOTHING:
        break;
    case DNSBL_READ_NONSENSE:
        return DNSBL_WHY_NONSENSE;
    case DNSBL_READ_LISTED:
        return probe->must_be_listed ? DNSBL_WHY_NOT : DNSBL_WHY_WORLD;
    case DNSBL_READ_CLEAN:
        return probe->must_be_listed ? DNSBL_WHY_NO_ENTRY : DNSBL_WHY_NOT;
    }
    bool was_in_time = loop_now(trust->loop) - probe->began_ms < trust->settings->budget_ms;
    return was_in_time ? DNSBL_WHY_FAILURE : DNSBL_WHY_NO_ANSWER;
}

static void on_probe(struct resolver_query *query, const struct dns_answer *answer) {
    struct dnsbl_probe *probe = (struct dnsbl_probe *)query;
    struct dnsbl_trust *trust = probe->trust;
    enum dnsbl_why why = judge(probe, answer);
    if (dnsbl_read(answer) == DNSBL_READ_NOTHING) {
        if (probe->attempts < ATTEMPTS) {
            ask(probe);
            return;
        }
        if (probe->attempts > ATTEMPTS)
            why = DNSBL_WHY_NOT;
    }
    /* the first reason is told, unless another says more: a missing test entry may be the least of it */
    bool says_more = trust->found == DNSBL_WHY_NOT || trust->found == DNSBL_WHY_NO_ENTRY || why == DNSBL_WHY_WORLD;
    if (why != DNSBL_WHY_NOT && says_more)
        trust->found = (uint8_t)why;
    if (--trust->n_open == 0)
        decide(trust);
}

static void start_round(struct dnsbl_trust *trust) {
    timer_cancel(trust->loop, &trust->timer);
    prepare_all(trust);
    trust->found = DNSBL_WHY_NOT;
    trust->was_refused = false;
    trust->state.probes++;
    for (unsigned i = 0; i < DNSBL_PROBE_QUESTIONS; i++) {
        if (trust->probes[i].name[0] == '\0')
            continue;
        trust->n_open++;
        ask(&trust->probes[i]);
    }
}

/* ---- what clients' questions tell */

static void suspect(struct dnsbl_trust *trust) {
    trust->fresh_until_ms = 0;
    if (trust->n_open == 0 && trust->state.trust == DNSBL_TRUSTED)
        start_round(trust);
}

/* More hits among the last answers than twice the usual share and a quarter. */
static bool is_jump_in_hits(struct dnsbl_trust *trust, bool is_listed) {
    trust->recent = trust->recent << 1 | is_listed;
    trust->n_recent = trust->n_recent < RECENT ? (uint16_t)(trust->n_recent + 1) : RECENT;
    uint32_t share = (uint32_t)__builtin_popcount(trust->recent) * (SHARE / RECENT);
    bool is_jump = trust->n_recent == RECENT && share > 2 * trust->usual_hits + SHARE / 4;
    if (is_jump)
        trust->usual_hits = share; /* the probes say whether this is the truth */
    else
        trust->usual_hits = trust->usual_hits - trust->usual_hits / 256 + (is_listed ? SHARE / 256 : 0);
    return is_jump;
}

static bool is_jump_in_latency(struct dnsbl_trust *trust, uint64_t took_ms) {
    uint32_t now = (uint32_t)(took_ms < 60000 ? took_ms : 60000) * 256;
    trust->recent_ms = trust->recent_ms - trust->recent_ms / 8 + now / 8;
    trust->usual_ms = trust->usual_ms - trust->usual_ms / 64 + now / 64;
    trust->state.latency_us = (uint64_t)trust->recent_ms * 1000 / 256;
    bool is_jump = trust->recent_ms > 4 * trust->usual_ms && trust->recent_ms > JUMP_LATENCY_MS * 256;
    if (is_jump)
        trust->usual_ms = trust->recent_ms;
    return is_jump;
}

/* One more question in a row came to nothing, by an error or by being given up: which of the two may be chance. */
static void note_unanswered(struct dnsbl_trust *trust) {
    if (++trust->unanswered_in_row % ERRORS_SUSPICIOUS == 0)
        suspect(trust);
}

static void note_error(struct dnsbl_trust *trust, enum dnsbl_why why) {
    trust->state.errors++;
    trust->errors_in_row++;
    note_unanswered(trust);
    if (why == DNSBL_WHY_NONSENSE)
        suspect(trust);
    bool is_idle = trust->n_open == 0 && trust->waiters == NULL && trust->state.trust == DNSBL_TRUSTED;
    if (trust->errors_in_row >= ERRORS_MAX && is_idle)
        disbelieve(trust, why);
    tell_state(trust);
}

void dnsbl_trust_note(struct dnsbl_trust *trust, const struct dns_answer *answer, bool is_listed, uint64_t took_ms) {
    enum dnsbl_reading reading = dnsbl_read(answer);
    if (reading == DNSBL_READ_NOTHING || reading == DNSBL_READ_NONSENSE) {
        bool is_late = took_ms >= trust->settings->budget_ms;
        note_error(trust, reading == DNSBL_READ_NONSENSE ? DNSBL_WHY_NONSENSE
                          : is_late                      ? DNSBL_WHY_NO_ANSWER
                                                         : DNSBL_WHY_FAILURE);
        return;
    }
    trust->errors_in_row = trust->unanswered_in_row = 0;
    trust->state.listed += is_listed;
    bool hits = is_jump_in_hits(trust, is_listed), latency = is_jump_in_latency(trust, took_ms);
    if (hits || latency)
        suspect(trust);
    tell_state(trust);
}

void dnsbl_trust_note_late(struct dnsbl_trust *trust) {
    note_unanswered(trust);
}

/* ---- asking */

enum dnsbl_belief dnsbl_trust_ask(struct dnsbl_trust *trust, bool speaks_against, struct dnsbl_waiter *waiter,
                                  void (*run)(struct dnsbl_waiter *waiter)) {
    if (trust->state.trust == DNSBL_NOT_TRUSTED)
        return DNSBL_DISBELIEVE;
    if (trust->state.trust == DNSBL_TRUSTED && (!speaks_against || loop_now(trust->loop) < trust->fresh_until_ms))
        return DNSBL_BELIEVE;
    if (trust->state.trust == DNSBL_TRUSTED)
        suspect(trust);
    waiter->run = run;
    waiter->next = trust->waiters;
    if (waiter->next != NULL)
        waiter->next->prev = &waiter->next;
    trust->waiters = waiter;
    waiter->prev = &trust->waiters;
    return DNSBL_WAIT;
}

void dnsbl_waiter_cancel(struct dnsbl_waiter *waiter) {
    if (waiter->prev == NULL)
        return;
    *waiter->prev = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
    waiter->prev = NULL;
}

/* ---- life */

void dnsbl_trust_init(struct dnsbl_trust *trust) {
    trust->state.since_ms = loop_now(trust->loop);
    start_round(trust);
}

void dnsbl_trust_deinit(struct dnsbl_trust *trust) {
    timer_cancel(trust->loop, &trust->timer);
    for (unsigned i = 0; i < DNSBL_PROBE_QUESTIONS; i++)
        resolver_cancel(&trust->probes[i].query);
}
