/*
 * explain_lists: which block lists hold the client or a name of it, with which return codes, and, where --dns asked
 * them, how far each could be trusted.
 *
 *     listed by
 *       dnsbl        bl.example.net       127.0.0.2, 127.0.0.4
 *       helo.dnsbl   dbl.example.net      127.0.1.2
 *
 *     block lists, probed just now (a running service watches them all the time)
 *       bl.example.net       IPv4   trusted
 *       old.example.net      IPv4   not trusted: lists everything
 */
#include "cmd/explain.h"

#include <stdio.h>

static void add(struct explain *e, struct str about, struct str zone, const struct buf *codes) {
    struct str copy = arena_str(&e->arena, buf_str(codes));
    if (copy.at != NULL && e->n_listings < EXPLAIN_LISTINGS_MAX)
        e->listings[e->n_listings++] = (struct explain_listing){ about, zone, copy };
}

/* ---- from the journal */

void explain_record_listings(struct explain *e) {
    const struct members *members = &e->members;
    struct buf codes;
    buf_init(&codes, 4096);
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++) {
        const char *about = list_family_name((enum list_family)family);
        const struct member *zones = members_find(members, &members->at[0], about), *zone = NULL;
        while ((zone = members_next(members, zones, zone)) != NULL) {
            buf_clear(&codes);
            for (const struct member *code = NULL; (code = members_next(members, zone, code)) != NULL;)
                buf_putf(&codes, "%s%.*s", codes.len > 0 ? ", " : "", STR_ARG(code->text));
            add(e, str_of(about), zone->name, &codes);
        }
    }
    buf_deinit(&codes);
}

/* ---- found just now */

static bool is_noted(const struct explain *e, struct str about, struct str zone) {
    for (size_t i = 0; i < e->n_listings; i++)
        if (str_eq(e->listings[i].about, about) && str_eq(e->listings[i].zone, zone))
            return true;
    return false;
}

void explain_note_listings(struct explain *e) {
    const struct list_codes *found = &e->memory->codes;
    struct buf codes;
    buf_init(&codes, 4096);
    for (unsigned i = 0; i < found->n; i++) {
        struct str about = str_of(list_family_name((enum list_family)found->at[i].family));
        struct str zone = str_of(e->conf->block_lists[found->at[i].list].zone);
        buf_clear(&codes);
        for (unsigned k = i; k < found->n; k++) {
            uint32_t code = found->at[k].code;
            if (found->at[k].list == found->at[i].list && found->at[k].family == found->at[i].family)
                buf_putf(&codes, "%s%u.%u.%u.%u", codes.len > 0 ? ", " : "", code >> 24, code >> 16 & 255,
                         code >> 8 & 255, code & 255);
        }
        if (!is_noted(e, about, zone))
            add(e, about, zone, &codes);
    }
    buf_deinit(&codes);
}

/* ---- printing */

void explain_print_lists(const struct explain *e, struct buf *out) {
    if (e->n_listings > 0)
        buf_puts(out, STR("\nlisted by\n"));
    for (size_t i = 0; i < e->n_listings; i++) {
        const struct explain_listing *listing = &e->listings[i];
        buf_putf(out, "  %-12.*s  ", STR_ARG(listing->about));
        explain_put_clean(out, listing->zone);
        buf_puts(out, STR("  "));
        explain_put_clean(out, listing->codes);
        buf_putc(out, '\n');
    }
    if (e->n_lists > 0)
        buf_puts(out, STR("\nblock lists, probed just now (a running service watches them all the time)\n"));
    for (size_t i = 0; i < e->n_lists; i++)
        buf_putf(out, "  %-36s  %-5s  %s%s\n", e->lists[i].zone, e->lists[i].kind,
                 e->lists[i].why == NULL ? "trusted" : "not trusted: ",
                 e->lists[i].why == NULL ? "" : e->lists[i].why);
}

static void record_codes(struct record *r, struct str codes) {
    while (codes.len > 0) {
        size_t len = str_find(codes, ',');
        record_str(r, NULL, str_head(codes, len));
        codes = len < codes.len ? str_from(codes, len + 2) : STR("");
    }
}

static void record_listings(const struct explain *e, struct record *r) {
    record_open(r, "listings", '[');
    for (size_t i = 0; i < e->n_listings; i++) {
        record_open(r, NULL, '{');
        record_str(r, "about", e->listings[i].about);
        record_str(r, "zone", e->listings[i].zone);
        record_open(r, "codes", '[');
        record_codes(r, e->listings[i].codes);
        record_close(r, ']');
        record_close(r, '}');
    }
    record_close(r, ']');
}

void explain_print_lists_json(const struct explain *e, struct record *r) {
    if (e->n_listings > 0)
        record_listings(e, r);
    if (e->n_lists == 0)
        return;
    record_open(r, "block_lists", '[');
    for (size_t i = 0; i < e->n_lists; i++) {
        record_open(r, NULL, '{');
        record_str(r, "zone", str_of(e->lists[i].zone));
        record_str(r, "kind", str_of(e->lists[i].kind));
        record_bool(r, "trusted", e->lists[i].why == NULL);
        record_str(r, "why", str_of(e->lists[i].why));
        record_close(r, '}');
    }
    record_close(r, ']');
}
