/*
 * greylist_change: allow, forget and import.
 *
 * Rows are merged like everyone's (row.h), so a change made while the store process works is safe, and so is the same
 * import twice. What is forgotten is written as forgotten, not deleted, or another host that shares the store would
 * bring it back; a client is written as forgotten itself too, which makes all its triplets worthless, those that only
 * other hosts know by name included. Work is cut into transactions of BATCH rows, between which the store process gets
 * its turn.
 *
 * A host that shares its store and has not met it yet must wait: what it writes under a key of its own is dropped as
 * soon as it learns the shared one.
 */
#include "cmd/cmd.h"
#include "cmd/greylist.h"
#include "cmd/greylist_entry.h"
#include "facts/greylist.h"
#include "facts/greylist_sender.h"
#include "facts/helo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 100 };

#define FOR_GOOD_S (INT64_C(100) * 366 * 24 * 3600)

/* ---- rows on their way into the store */

struct written_words { /* what a name shows */
    char identity[GREYLIST_TEXT_MAX], sender[GREYLIST_TEXT_MAX], recipient[GREYLIST_TEXT_MAX];
};

struct writing {
    const struct greylist_request *request;
    struct row rows[BATCH];
    struct local_name names[BATCH];
    struct written_words words[BATCH];
    size_t n;
    uint64_t total;
};

static int may_write(const struct greylist_request *request) {
    if (!greylist_is_shared(request) || local_key_is_shared(request->local))
        return 0;
    return greylist_fail("this host has not met the shared store yet; start Postern first");
}

static int flush(struct writing *w) {
    struct local *local = w->request->local;
    int r = local_merge(local, w->rows, w->n, w->request->now, greylist_is_shared(w->request));
    if (r == 0)
        r = local_write_names(local, w->names, w->n);
    w->total += w->n;
    w->n = 0;
    return r;
}

static struct str keep(struct str text, char out[GREYLIST_TEXT_MAX]) {
    struct str kept = { out, text.len < GREYLIST_TEXT_MAX ? text.len : GREYLIST_TEXT_MAX };
    if (kept.len > 0)
        memcpy(out, text.at, kept.len);
    return kept;
}

static int add(struct writing *w, struct row row, struct local_name name) {
    int r = w->n == BATCH ? flush(w) : 0;
    if (r < 0)
        return r;
    struct written_words *words = &w->words[w->n];
    w->rows[w->n] = row;
    w->names[w->n] = (struct local_name){
        .key = row.key, .is_triplet = name.is_triplet, .identity = keep(name.identity, words->identity),
        .sender = keep(name.sender, words->sender), .recipient = keep(name.recipient, words->recipient),
    };
    w->n++;
    return 0;
}

static int add_client(struct writing *w, struct str identity, struct row row) {
    row.key = greylist_identity_key(local_hash_key(w->request->local), identity);
    return add(w, row, (struct local_name){ .identity = identity });
}

static int add_triplet(struct writing *w, struct str identity, struct str sender, struct str recipient,
                       struct row row) {
    row.key = greylist_triplet_key(local_hash_key(w->request->local), identity, sender, recipient);
    return add(w, row, (struct local_name){ .identity = identity, .sender = sender, .recipient = recipient,
                                            .is_triplet = true });
}

/* ---- who */

/* The identity of a host, or of its network, as greylisting writes it. A view of `words`. */
static struct str identity_of(const struct ip *ip, bool is_network, struct greylist_words *words) {
    struct ptr_result ptr = { .status = PTR_NONE };
    struct greylist_question question;
    struct smtp_address nobody = { 0 };
    greylist_question_make(&(struct greylist_client){ .ip = *ip, .ptr = &ptr }, &nobody, &nobody, words, &question);
    return question.identities[is_network ? 0 : question.n_identities - 1];
}

/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/64", "example.com", or an identity as `list` shows it. */
static int parse_client(const char *text, struct greylist_words *words, struct str *ret_identity) {
    struct str given = str_of(text);
    struct cidr prefix;
    if (cidr_parse(given, &prefix) == 0) {
        bool is_host = prefix.bits == (prefix.ip.family == IP_V4 ? 32 : 128);
        if (!is_host && prefix.bits != (prefix.ip.family == IP_V4 ? 24 : 64))
            return greylist_fail("%s: greylisting knows hosts, IPv4 networks of /24 and IPv6 networks of /64; for "
                                 "others use a table (postern-policy(5))", text);
        *ret_identity = identity_of(&prefix.ip, !is_host, words);
        return 0;
    }
    if (given.len >= GREYLIST_TEXT_MAX)
        return greylist_fail("%s: too long", text);
    for (size_t i = 0; i < given.len; i++)
        words->sender[i] = ascii_lower(given.at[i]);
    struct str lower = { words->sender, given.len };
    if (str_starts_nocase(lower, STR("org:")) || str_starts_nocase(lower, STR("net:"))
        || str_starts_nocase(lower, STR("ip:")) || str_starts_nocase(lower, STR("spf:"))) {
        *ret_identity = lower;
        return 0;
    }
    struct str organisation = smtp_domain_parse(lower, false, false) == SMTP_ADDRESS_OK ? helo_organisation(lower)
                                                                                        : STR("");
    if (organisation.len == 0)
        return greylist_fail("%s: neither an address, a network nor a domain that somebody can register", text);
    if (organisation.len != lower.len)
        return greylist_fail("%s: greylisting knows its organisation, %.*s", text, STR_ARG(organisation));
    int len = snprintf(words->recipient, sizeof(words->recipient), "org:%.*s", STR_ARG(organisation));
    *ret_identity = (struct str){ words->recipient, (size_t)len };
    return 0;
}

/* As whom all of a client is known, as far as its name alone tells. Returns how many. */
static size_t identities_named(struct str client, struct greylist_words words[2], struct str ret_identities[2]) {
    struct cidr prefix;
    if (client.len == 0 || client.len >= GREYLIST_TEXT_MAX - 4)
        return 0;
    if (cidr_parse(client, &prefix) == 0) {
        bool is_host = prefix.bits == (prefix.ip.family == IP_V4 ? 32 : 128);
        ret_identities[0] = identity_of(&prefix.ip, true, &words[0]);
        if (is_host)
            ret_identities[1] = identity_of(&prefix.ip, false, &words[1]);
        return is_host ? 2 : prefix.bits == (prefix.ip.family == IP_V4 ? 24 : 64);
    }
    bool has_kind = str_find(client, ':') < client.len;
    int len = snprintf(words[0].sender, sizeof(words[0].sender), "%s%.*s", has_kind ? "" : "org:", STR_ARG(client));
    for (int i = 0; i < len; i++)
        words[0].sender[i] = ascii_lower(words[0].sender[i]);
    ret_identities[0] = (struct str){ words[0].sender, (size_t)len };
    return 1;
}

/* ---- allow */

/* One that was forgotten a moment ago begins behind that, or it would be forgotten too. */
static int allow_one(struct writing *w, struct str identity, int64_t life) {
    struct local *local = w->request->local;
    struct row held = { .key = greylist_identity_key(local_hash_key(local), identity) };
    bool has = false;
    int r = local_read(local, &held, &has, 1);
    if (r < 0)
        return r;
    int64_t now = w->request->now, first = has && held.forgot >= now ? held.forgot + 1 : now;
    return add_client(w, identity, (struct row){ .first = first, .last = now, .expires = now + life,
                                                 .passes = INT32_MAX });
}

int greylist_allow(struct greylist_request *request) {
    struct writing w = { .request = request };
    int64_t life = request->life_s > 0 ? request->life_s : FOR_GOOD_S;
    int r = may_write(request);
    for (int i = 0; r == 0 && i < request->n_args; i++) {
        struct greylist_words words;
        struct str identity;
        r = parse_client(request->args[i], &words, &identity);
        if (r == 0 && allow_one(&w, identity, life) < 0)
            r = greylist_fail("%s", local_why(request->local));
    }
    if (r == 0 && flush(&w) < 0)
        r = greylist_fail("%s", local_why(request->local));
    return r;
}

/* ---- forget */

struct forgetting {
    struct greylist_filter filter;
    struct row *rows; /* what is merged */
    size_t n, cap;
    int64_t now;
};

static int forget_key(struct forgetting *f, int64_t key, int64_t forgot) {
    if (f->n == f->cap) {
        size_t cap = f->cap > 0 ? 2 * f->cap : 1024;
        struct row *rows = reallocarray(f->rows, cap, sizeof(*rows));
        if (rows == NULL)
            return -ENOMEM;
        f->rows = rows;
        f->cap = cap;
    }
    f->rows[f->n++] = (struct row){ .key = key, .forgot = forgot };
    return 0;
}

/* A host whose clock was ahead may have written what begins in the future. */
static int find_one(void *arg, const struct local_name *name, const struct row *row) {
    struct forgetting *f = arg;
    if (!row_is_alive(row, f->now) || !greylist_filter_takes(&f->filter, name))
        return 0;
    return forget_key(f, name->key, row->first > f->now ? row->first : f->now);
}

static int find_client(struct forgetting *f, const struct local *local) {
    struct greylist_words words[2];
    struct str identities[2];
    size_t n = f->filter.sender.len == 0 && f->filter.recipient.len == 0
                 ? identities_named(f->filter.client, words, identities) : 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = forget_key(f, greylist_identity_key(local_hash_key(local), identities[i]), f->now);
    return r;
}

static int write_forgotten(const struct greylist_request *request, const struct forgetting *f) {
    int r = 0;
    for (size_t at = 0; r == 0 && at < f->n; at += BATCH)
        r = local_merge(request->local, f->rows + at, f->n - at < BATCH ? f->n - at : BATCH, request->now,
                        greylist_is_shared(request));
    return r;
}

int greylist_forget(struct greylist_request *request) {
    struct forgetting f = { .now = request->now };
    bool has_filter = request->client != NULL || request->sender != NULL || request->recipient != NULL;
    if (has_filter == request->all) {
        greylist_fail("forget what? --client, --sender and --to choose; --all means everything");
        return EXIT_USAGE;
    }
    int r = greylist_filter_make(request, &f.filter);
    if (r != 0 || (r = may_write(request)) != 0)
        return r;
    r = local_each(request->local, find_one, &f);
    size_t n_named = f.n;
    if (r == 0)
        r = find_client(&f, request->local);
    if (r == 0)
        r = write_forgotten(request, &f);
    if (r == 0)
        printf("%zu forgotten\n", n_named);
    free(f.rows);
    return r == -ENOMEM ? greylist_fail("out of memory")
        : r < 0         ? greylist_fail("%s", local_why(request->local))
                        : EXIT_SUCCESS;
}

/* ---- import */

struct importing {
    struct writing writing;
    bool is_ours;      /* entries carry identities and normalised senders */
    uint64_t skipped;  /* addresses that no mail could have, and what is over */
};

static int take_ours(struct importing *i, const struct greylist_entry *entry, struct row row) {
    return entry->is_client ? add_client(&i->writing, entry->who, row)
                            : add_triplet(&i->writing, entry->who, entry->sender, entry->recipient, row);
}

static int take_foreign(struct importing *i, const struct greylist_entry *entry, struct row row) {
    struct greylist_words words;
    char sender_text[GREYLIST_TEXT_MAX], recipient_text[GREYLIST_TEXT_MAX];
    struct smtp_address sender = { 0 }, recipient;
    struct ip ip;
    if (ip_parse(entry->who, &ip) < 0) {
        i->skipped++;
        return 0;
    }
    struct str identity = identity_of(&ip, entry->is_network, &words);
    if (entry->is_client)
        return add_client(&i->writing, identity, row);
    if (smtp_address_parse(entry->recipient, true, &recipient) != SMTP_ADDRESS_OK
        || (entry->sender.len > 0 && smtp_address_parse(entry->sender, true, &sender) != SMTP_ADDRESS_OK)) {
        i->skipped++;
        return 0;
    }
    return add_triplet(&i->writing, identity, greylist_sender(&sender, &recipient, sender_text),
                       greylist_address(&recipient, recipient_text), row);
}

/* The life that such a row has here, counted from when it was last used. */
static int64_t expiry_of(const struct greylist_request *request, const struct greylist_entry *entry) {
    const struct conf_settings *set = &request->conf->set;
    if (entry->expires > 0)
        return entry->expires;
    if (entry->is_client)
        return entry->last + (int64_t)(set->greylist.whitelist_life / 1000);
    return entry->passes > 0 ? entry->last + (int64_t)(set->greylist.passed_life / 1000)
                             : entry->first + (int64_t)(set->greylist.unpassed_life / 1000);
}

static int take_entry(void *arg, const struct greylist_entry *entry) {
    struct importing *i = arg;
    const struct greylist_request *request = i->writing.request;
    struct row row = { .first = entry->first, .last = entry->last, .expires = expiry_of(request, entry),
                       .passes = entry->passes };
    if (!row_is_alive(&row, request->now) || entry->who.len >= GREYLIST_TEXT_MAX
        || entry->sender.len >= GREYLIST_TEXT_MAX || entry->recipient.len >= GREYLIST_TEXT_MAX) {
        i->skipped++;
        return 0;
    }
    return i->is_ours ? take_ours(i, entry, row) : take_foreign(i, entry, row);
}

static int read_file(const struct greylist_request *request, const char *path, struct greylist_reading *reading) {
    int64_t delay = (int64_t)(request->conf->set.greylist.delay / 1000);
    if (strcmp(request->format, "sqlgrey") == 0)
        return greylist_read_sqlgrey(path, reading);
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (in == NULL)
        return -errno;
    int r = strcmp(request->format, "postgrey") == 0
        ? greylist_read_postgrey(in, delay, request->by_host, reading)
        : greylist_read_export(in, reading);
    if (in != stdin)
        fclose(in);
    return r;
}

int greylist_import(struct greylist_request *request) {
    struct importing *i = calloc(1, sizeof(*i));
    if (i == NULL)
        return greylist_fail("out of memory");
    const char *path = request->args[0];
    struct greylist_reading reading = { .on_entry = take_entry, .arg = i };
    buf_init(&reading.problem, 256);
    i->writing.request = request;
    i->is_ours = strcmp(request->format, "export") == 0;
    int code = may_write(request);
    int r = code == 0 ? read_file(request, path, &reading) : 0;
    if (code == 0 && r == 0)
        r = flush(&i->writing);
    if (r == -EBADMSG && reading.problem.len > 0)
        code = reading.line > 0 ? greylist_fail("%s:%lu: %.*s", path, reading.line, STR_ARG(buf_str(&reading.problem)))
                                : greylist_fail("%s: %.*s", path, STR_ARG(buf_str(&reading.problem)));
    else if (r < 0)
        code = greylist_fail("%s: %s", path, local_why(request->local)[0] != '\0' ? local_why(request->local)
                                                                                 : strerror(-r));
    if (code == 0 || i->writing.total > 0)
        printf("%" PRIu64 " imported, %" PRIu64 " left out (over, or no address)\n", i->writing.total, i->skipped);
    buf_deinit(&reading.problem);
    free(i);
    return code;
}
