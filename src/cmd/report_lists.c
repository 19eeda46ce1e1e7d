/*
 * postern report lists: what does each block list do for us?
 *
 *   clients  recipients  alone  with others  refused  list: return codes
 *         3           4      1            3        2  bl.example.net: 127.0.0.2 3, 127.0.0.4 1
 *
 * One line a list that held anybody, by the clients that it held, ascending like the other reports. What is counted is
 * a decision about a recipient, or about a client that was refused before it named one: the lists that held its client,
 * or a name of it, are those of the record's `dnsbl`, `ptr.dnsbl` … members. A list was alone when no other held
 * anything of the same delivery. It refused when the record's `listed_by` names it: the rule that refused or deferred
 * was true by it, perhaps not by it alone. Greylisting is not refusing.
 *
 * A list that is not asked counts nothing, and once a decision is certain the rest is not waited for: so `alone` is no
 * proof that others would not have listed.
 *
 * Clients are kept as 64-bit hashes, one a listing that was not the client's last, and told apart in the end.
 */
#include "cmd/clean.h"
#include "cmd/journal_report.h"

#include "base/arena.h"
#include "base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LISTS_MAX = 1024, CODES_MAX = 64 };

struct code_count {
    struct ip code;
    uint64_t n;
};

struct list {
    struct str zone;
    uint64_t recipients, alone, refused, clients;
    struct code_count codes[CODES_MAX]; /* one beyond them is not counted by itself */
    unsigned n_codes;
    uint64_t last_client; /* hash */
    bool has_client;    /* there is one */
};

struct sighting { /* of a client by a list */
    uint64_t client;
    uint32_t list;
};

struct report {
    const struct members *members; /* of the record that is counted */
    uint64_t n_decisions;          /* that it stands for */
    struct arena arena;
    struct list lists[LISTS_MAX];
    uint32_t n_lists;
    struct sighting *sightings;
    size_t n_sightings, cap;
};

/* ---- counting */

/* NULL for one beyond LISTS_MAX, which is not counted: a journal of other tools could name anything. */
static int find_list(struct report *report, struct str zone, struct list **ret_list) {
    uint32_t i = 0;
    while (i < report->n_lists && !str_eq(report->lists[i].zone, zone))
        i++;
    *ret_list = i < LISTS_MAX ? &report->lists[i] : NULL;
    if (i < report->n_lists || i == LISTS_MAX)
        return 0;
    struct str copy = arena_str(&report->arena, zone);
    if (copy.at == NULL)
        return -ENOMEM;
    report->lists[report->n_lists++] = (struct list){ .zone = copy };
    return 0;
}

static void add_code(struct list *list, struct str text, uint64_t n) {
    struct ip code;
    unsigned i = 0;
    if (ip_parse(text, &code) < 0)
        return;
    while (i < list->n_codes && !ip_eq(&list->codes[i].code, &code))
        i++;
    if (i == CODES_MAX)
        return;
    if (i == list->n_codes)
        list->codes[list->n_codes++] = (struct code_count){ .code = code };
    list->codes[i].n += n;
}

static int add_client(struct report *report, struct list *list, uint64_t client) {
    if (list->has_client && list->last_client == client)
        return 0;
    if (report->n_sightings == report->cap) {
        size_t cap = report->cap > 0 ? 2 * report->cap : 1024;
        struct sighting *sightings = reallocarray(report->sightings, cap, sizeof(*sightings));
        if (sightings == NULL)
            return -ENOMEM;
        report->sightings = sightings;
        report->cap = cap;
    }
    list->last_client = client;
    list->has_client = true;
    report->sightings[report->n_sightings++] = (struct sighting){ client, (uint32_t)(list - report->lists) };
    return 0;
}

static bool has_refused(const struct report *report, struct str zone) {
    const struct members *members = report->members;
    const struct member *lists = members_find(members, &members->at[0], "listed_by");
    if (str_eq(members_text(members, &members->at[0], "layer"), STR("greylist")))
        return false;
    for (const struct member *one = NULL; (one = members_next(members, lists, one)) != NULL;)
        if (str_eq(one->text, zone))
            return true;
    return false;
}

/* What the lists of one record held, each list once, whatever it holds. */
struct holders {
    struct list *at[LISTS_MAX];
    unsigned n;
};

/* What other tools call a zone may be anything, and a terminal is no place for it. */
static bool is_zone(struct str name) {
    size_t i = 0;
    while (i < name.len && name.at[i] > ' ' && name.at[i] <= '~')
        i++;
    return i > 0 && i == name.len;
}

static int add_holder(struct report *report, struct holders *holders, const struct member *zone) {
    struct list *list = NULL;
    unsigned i = 0;
    int r = is_zone(zone->name) ? find_list(report, zone->name, &list) : 0;
    if (r < 0 || list == NULL)
        return r;
    while (i < holders->n && holders->at[i] != list)
        i++;
    if (i == holders->n)
        holders->at[holders->n++] = list;
    for (const struct member *code = NULL; (code = members_next(report->members, zone, code)) != NULL;)
        add_code(list, code->text, report->n_decisions);
    return 0;
}

static int find_holders(struct report *report, struct holders *holders) {
    static const char *const about[] = { "dnsbl", "ptr.dnsbl", "helo.dnsbl", "sender.dnsbl" };
    const struct members *members = report->members;
    int r = 0;
    holders->n = 0;
    for (size_t i = 0; r == 0 && i < sizeof(about) / sizeof(about[0]); i++) {
        const struct member *zones = members_find(members, &members->at[0], about[i]);
        for (const struct member *zone = NULL; r == 0 && (zone = members_next(members, zones, zone)) != NULL;)
            r = add_holder(report, holders, zone);
    }
    return r;
}

static int add_record(void *counts, const struct members *members, uint64_t n) {
    struct report *report = counts;
    struct holders holders;
    struct str client = members_text(members, &members->at[0], "client");
    report->members = members;
    report->n_decisions = n;
    if (client.len == 0)
        return 0;
    int r = find_holders(report, &holders);
    for (unsigned i = 0; r == 0 && i < holders.n; i++) {
        struct list *list = holders.at[i];
        list->recipients += n;
        list->alone += holders.n == 1 ? n : 0;
        list->refused += has_refused(report, list->zone) ? n : 0;
        r = add_client(report, list, hash_bytes(client.at, client.len));
    }
    return r;
}

static int by_list_and_client(const void *a, const void *b) {
    const struct sighting *one = a, *other = b;
    if (one->list != other->list)
        return one->list < other->list ? -1 : 1;
    return (one->client > other->client) - (one->client < other->client);
}

static void count_clients(struct report *report) {
    if (report->n_sightings > 0)
        qsort(report->sightings, report->n_sightings, sizeof(*report->sightings), by_list_and_client);
    for (size_t i = 0; i < report->n_sightings; i++) {
        const struct sighting *one = &report->sightings[i];
        if (i == 0 || by_list_and_client(one - 1, one) != 0)
            report->lists[one->list].clients++;
    }
}

/* ---- printing */

static int by_clients(const void *a, const void *b) {
    const struct list *one = a, *other = b;
    if (one->clients != other->clients)
        return one->clients < other->clients ? -1 : 1;
    if (one->recipients != other->recipients)
        return one->recipients < other->recipients ? -1 : 1;
    return str_compare(one->zone, other->zone);
}

static int by_code(const void *a, const void *b) {
    const struct ip *one = &((const struct code_count *)a)->code, *other = &((const struct code_count *)b)->code;
    return memcmp(one->bytes, other->bytes, sizeof(one->bytes));
}

static void sort(struct report *report) {
    if (report->n_lists > 0)
        qsort(report->lists, report->n_lists, sizeof(report->lists[0]), by_clients);
    for (uint32_t i = 0; i < report->n_lists; i++)
        if (report->lists[i].n_codes > 0)
            qsort(report->lists[i].codes, report->lists[i].n_codes, sizeof(struct code_count), by_code);
}

static void print(const void *counts) {
    const struct report *report = counts;
    char code[IP_TEXT_MAX];
    printf("clients  recipients  alone  with others  refused  list: return codes\n");
    for (uint32_t i = 0; i < report->n_lists; i++) {
        const struct list *list = &report->lists[i];
        printf("%7" PRIu64 "  %10" PRIu64 "  %5" PRIu64 "  %11" PRIu64 "  %7" PRIu64 "  ", list->clients,
               list->recipients, list->alone, list->recipients - list->alone, list->refused);
        clean_print(stdout, list->zone);
        for (unsigned k = 0; k < list->n_codes; k++)
            printf("%s %s %" PRIu64, k == 0 ? ":" : ",", ip_format(&list->codes[k].code, code), list->codes[k].n);
        putchar('\n');
    }
}

static void record_list(struct record *r, const struct list *list) {
    char code[IP_TEXT_MAX];
    record_open(r, NULL, '{');
    record_str(r, "zone", list->zone);
    record_u64(r, "clients", list->clients);
    record_u64(r, "recipients", list->recipients);
    record_u64(r, "alone", list->alone);
    record_u64(r, "with_others", list->recipients - list->alone);
    record_u64(r, "refused", list->refused);
    record_open(r, "codes", '{');
    for (unsigned i = 0; i < list->n_codes; i++)
        record_u64(r, ip_format(&list->codes[i].code, code), list->codes[i].n);
    record_close(r, '}');
    record_close(r, '}');
}

static void record(const void *counts, struct record *r) {
    const struct report *report = counts;
    record_open(r, "lists", '[');
    for (uint32_t i = 0; i < report->n_lists; i++)
        record_list(r, &report->lists[i]);
    record_close(r, ']');
}

static void finish(void *counts) {
    struct report *report = counts;
    count_clients(report);
    sort(report);
}

static void release(void *counts) {
    struct report *report = counts;
    free(report->sightings);
    arena_reset(&report->arena);
}

const struct journal_report report_lists = {
    "lists", sizeof(struct report), add_record, finish, print, record, release,
};
