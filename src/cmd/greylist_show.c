/*
 * greylist_show: list, stats and export, and which rows a filter takes.
 *
 * A filter names what an administrator knows: an address (which takes the rows of its network, too), a network, the
 * domain of an organisation; an address or a domain of senders and recipients, as the store keeps them.
 *
 * Only rows with a name are shown; names are written a moment after their rows. What was forgotten is not shown.
 */
#include "base/clock.h"
#include "cmd/clean.h"
#include "cmd/cmd.h"
#include "cmd/greylist.h"
#include "cmd/greylist_entry.h"
#include "cmd/json_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- filters */

int greylist_filter_make(const struct greylist_request *request, struct greylist_filter *ret_filter) {
    *ret_filter = (struct greylist_filter){ .client = str_of(request->client), .sender = str_of(request->sender),
                                            .recipient = str_of(request->recipient) };
    struct cidr prefix;
    if (ret_filter->client.len == 0 || ip_parse(ret_filter->client, &ret_filter->ip) == 0)
        return 0;
    bool has_slash = str_find(ret_filter->client, '/') < ret_filter->client.len;
    if (has_slash && cidr_parse(ret_filter->client, &prefix) < 0) {
        greylist_fail("'%s' is neither an address, a network nor a domain", request->client);
        return EXIT_USAGE;
    }
    return 0;
}

/* Whether an identity ("net:192.0.2.0/24") is, or contains, the client that is looked for. */
static bool takes_client(const struct greylist_filter *filter, struct str identity) {
    struct str value = str_from(identity, str_find(identity, ':') + 1);
    struct cidr prefix;
    if (filter->client.len == 0 || str_eq_nocase(value, filter->client) || str_eq_nocase(identity, filter->client))
        return true;
    return filter->ip.family != IP_NONE && cidr_parse(value, &prefix) == 0 && cidr_contains(&prefix, &filter->ip);
}

/* An address as it is kept, or all addresses of a domain. */
static bool takes_address(struct str wanted, struct str address) {
    if (wanted.len == 0 || str_eq_nocase(wanted, address))
        return true;
    size_t at = str_find_last(address, '@');
    struct str domain = str_find(wanted, '@') == 0 ? str_from(wanted, 1) : wanted;
    return str_find(domain, '@') == domain.len && at < address.len && str_eq_nocase(domain, str_from(address, at + 1));
}

bool greylist_filter_takes(const struct greylist_filter *filter, const struct local_name *name) {
    return takes_client(filter, name->identity) && takes_address(filter->sender, name->sender)
        && takes_address(filter->recipient, name->recipient);
}

/* ---- what a row means */

static bool is_whitelisted(const struct greylist_request *request, const struct row *row) {
    uint64_t after = request->conf->set.greylist.whitelist_after;
    return after > 0 && row->passes > 0 && (uint64_t)row->passes >= after;
}

static const char *state_of(const struct greylist_request *request, const struct local_name *name,
                            const struct row *row) {
    if (name->is_triplet)
        return row->passes > 0 ? "passed" : "waiting";
    return is_whitelisted(request, row) ? "whitelisted" : "counted";
}

/* ---- list */

struct listing {
    const struct greylist_request *request;
    struct greylist_filter filter;
    uint64_t n;
};

static int print_json(const struct local_name *name, const struct row *row, const char *state, const char *first,
                      const char *last) {
    struct json_line json;
    struct record *r = &json.record;
    json_line_begin(&json);
    record_str(r, "state", str_of(state));
    record_str(r, "first", str_of(first));
    record_str(r, "last", str_of(last));
    record_u64(r, "passes", (uint64_t)row->passes);
    record_str(r, "client", name->identity);
    if (name->is_triplet) {
        record_str(r, "sender", name->sender);
        record_str(r, "to", name->recipient);
    }
    return json_line_end(&json);
}

enum { IDENTITY_WIDTH = 26 }; /* of the column */

static void format_second(int64_t second, char out[CLOCK_RFC3339_MAX]) {
    clock_format_rfc3339((uint64_t)second * 1000, out);
    memcpy(strchr(out, '.'), "Z", 2);
}

static int list_one(void *arg, const struct local_name *name, const struct row *row) {
    struct listing *listing = arg;
    const struct greylist_request *request = listing->request;
    char first[CLOCK_RFC3339_MAX], last[CLOCK_RFC3339_MAX];
    if (!row_is_alive(row, request->now) || !greylist_filter_takes(&listing->filter, name))
        return 0;
    if (request->limit > 0 && listing->n == request->limit)
        return ECANCELED;
    listing->n++;
    const char *state = state_of(request, name, row);
    format_second(row->first, first);
    format_second(row->last, last);
    if (request->is_json)
        return print_json(name, row, state, first, last);
    printf("%s  %-11s  ", last, state);
    clean_print(stdout, name->identity);
    printf("%*s  ", name->identity.len < IDENTITY_WIDTH ? (int)(IDENTITY_WIDTH - name->identity.len) : 0, "");
    if (name->is_triplet) {
        clean_print(stdout, name->sender);
        fputs(" > ", stdout);
        clean_print(stdout, name->recipient);
        putchar('\n');
    } else {
        printf("%d passed\n", row->passes);
    }
    return 0;
}

int greylist_list(struct greylist_request *request) {
    struct listing listing = { .request = request };
    int r = greylist_filter_make(request, &listing.filter);
    if (r != 0)
        return r;
    r = local_each(request->local, list_one, &listing);
    return r < 0 ? greylist_fail("%s", local_why(request->local)) : EXIT_SUCCESS;
}

/* ---- stats */

struct stats {
    const struct greylist_request *request;
    uint64_t waiting, passed, counted, whitelisted, over;
};

static int count_one(void *arg, const struct local_name *name, const struct row *row) {
    struct stats *stats = arg;
    if (!row_is_alive(row, stats->request->now))
        stats->over++;
    else if (name->is_triplet)
        *(row->passes > 0 ? &stats->passed : &stats->waiting) += 1;
    else
        *(is_whitelisted(stats->request, row) ? &stats->whitelisted : &stats->counted) += 1;
    return 0;
}

int greylist_stats(struct greylist_request *request) {
    struct stats stats = { .request = request };
    struct local_counts counts;
    if (local_each(request->local, count_one, &stats) < 0 || local_count(request->local, &counts) < 0)
        return greylist_fail("%s", local_why(request->local));
    uint64_t named = stats.waiting + stats.passed + stats.counted + stats.whitelisted + stats.over;
    uint64_t unnamed = counts.rows > named ? counts.rows - named : 0; /* written a moment ago, or by another host */
    const char *key = local_key_is_shared(request->local) ? "shared" : "own";
    if (request->is_json)
        printf("{\"waiting\":%" PRIu64 ",\"passed\":%" PRIu64 ",\"counted\":%" PRIu64 ",\"whitelisted\":%" PRIu64
               ",\"over\":%" PRIu64 ",\"unnamed\":%" PRIu64 ",\"pending\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"hash_key\":\"%s\"}\n", stats.waiting, stats.passed, stats.counted, stats.whitelisted, stats.over,
               unnamed, counts.pending, counts.bytes, key);
    else
        printf("%10" PRIu64 " triplets waiting\n%10" PRIu64 " triplets passed\n"
               "%10" PRIu64 " clients counted\n%10" PRIu64 " clients white-listed\n"
               "%10" PRIu64 " over, not swept yet\n%10" PRIu64 " without a name so far\n"
               "%10" PRIu64 " rows for the shared store\n%10" PRIu64 " bytes, hashed with %s key\n",
               stats.waiting, stats.passed, stats.counted, stats.whitelisted, stats.over, unnamed, counts.pending,
               counts.bytes, *key == 's' ? "the shared" : "the host's own");
    return EXIT_SUCCESS;
}

/* ---- export */

struct exporting {
    const struct greylist_request *request;
    struct greylist_filter filter;
    FILE *out;
    struct buf line;
};

static int export_one(void *arg, const struct local_name *name, const struct row *row) {
    struct exporting *e = arg;
    struct greylist_entry entry = { .is_client = !name->is_triplet, .who = name->identity, .sender = name->sender,
                                    .recipient = name->recipient, .first = row->first, .last = row->last,
                                    .expires = row->expires, .passes = row->passes };
    if (!row_is_alive(row, e->request->now) || !greylist_filter_takes(&e->filter, name))
        return 0;
    buf_clear(&e->line);
    int r = greylist_write_entry(&e->line, &entry);
    if (r == 0 && fwrite(e->line.at, 1, e->line.len, e->out) != e->line.len)
        r = -EIO;
    return r;
}

int greylist_export(struct greylist_request *request) {
    struct exporting e = { .request = request, .out = stdout };
    int r = greylist_filter_make(request, &e.filter);
    if (r != 0)
        return r;
    if (request->n_args == 1 && (e.out = fopen(request->args[0], "we")) == NULL)
        return greylist_fail("%s: %s", request->args[0], strerror(errno));
    buf_init(&e.line, 4096);
    fprintf(e.out, "%s\n", greylist_export_head);
    r = local_each(request->local, export_one, &e);
    buf_deinit(&e.line);
    if (r == 0 && (fflush(e.out) != 0 || ferror(e.out)))
        r = -EIO;
    if (e.out != stdout && fclose(e.out) != 0)
        r = -EIO;
    if (r < 0)
        return greylist_fail("%s", local_why(request->local)[0] != '\0' ? local_why(request->local) : "cannot write");
    return EXIT_SUCCESS;
}
