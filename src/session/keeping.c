/*
 * keeping: see the header.
 */
#include "session/keeping.h"

#include "base/clock.h"
#include "quarantine/writer.h"
#include "session/content_state.h"

#include <stdlib.h>

struct kept_orphan { /* beside a delivery that goes on without its session */
    struct kept_orphan *next;
    struct quarantine_put *put;
    char id[ID_LEN + 1];
};

static void on_put(void *arg, enum quarantine_result result) {
    struct session *s = arg;
    if (result != QUARANTINE_DONE)
        s->transaction->kept = NULL;
    on_kept(s, result == QUARANTINE_DONE);
}

/* ---- what is said of it */

static struct str details_of(const struct content *c, char *out, size_t size) {
    const struct scan *scan = c->message.scan;
    const struct look *look = c->session->transaction->intake.look;
    int len = 0;
    if (scan != NULL && scan_virus(scan)->state == SCAN_DONE && scan_virus(scan)->name.len > 0)
        len = snprintf(out, size, "%.*s", STR_ARG(scan_virus(scan)->name));
    else if (look_banned_name(look).len > 0)
        len = snprintf(out, size, "%.*s", STR_ARG(look_banned_name(look)));
    else if (scan != NULL && scan_spam(scan)->state == SCAN_DONE)
        len = snprintf(out, size, "%.1f of %.1f, %.*s", (double)scan_spam(scan)->score / FACT_UNIT,
                       (double)scan_spam(scan)->threshold / FACT_UNIT, STR_ARG(scan_spam(scan)->symbols));
    return (struct str){ out, (size_t)len < size ? (size_t)len : size - 1 };
}

/* The recipients who do not get it, and what was said for the gravest of them. False: no memory. */
static bool list_recipients(const struct content *c, struct transaction *t, struct quarantine_entry *entry) {
    struct str *list = arena_alloc(&t->arena, t->outcome.n_kept * sizeof(*list));
    struct str *addresses = arena_alloc(&t->arena, t->outcome.n_kept * sizeof(*addresses));
    const struct recipient *r = t->accepted;
    unsigned n = 0, gravest = 0;
    if (list == NULL || addresses == NULL)
        return false;
    for (unsigned i = 0; i < c->n_judged; i++, r = r->next) {
        const struct content_verdict *v = &c->verdicts[i];
        if (content_passes(v))
            continue;
        if (n == 0 || v->kind > gravest) {
            gravest = v->kind;
            entry->rule = policy_of(c->session)->rules[v->rule].name;
            entry->kind = str_of(content_kind_name((enum content_kind)v->kind));
            entry->action = str_of(action_names[v->action]);
        }
        addresses[n] = r->view.route.address;
        list[n++] = r->address;
    }
    entry->recipients = list;
    entry->addresses = addresses;
    return true;
}

bool keeping_start(struct session *s) {
    struct transaction *t = s->transaction;
    char client[IP_TEXT_MAX], id[ID_LEN + 12], time[CLOCK_RFC3339_MAX], details[SCAN_SYMBOLS_MAX + 64];
    if (s->server->quarantine == NULL)
        return false;
    snprintf(id, sizeof(id), "%s.%u", s->id, s->n_decisions + 1); /* what the reply, log and journal will say */
    struct quarantine_entry entry = {
        .id = str_of(id), .time = str_of(clock_format_rfc3339(clock_wall_ms(), time)),
        .host = str_of(s->server->conf->set.hostname), .client = str_of(ip_format(&s->origin.client.ip, client)),
        .helo = s->helo, .sender = t->envelope.sender, .details = details_of(t->content, details, sizeof(details)),
        .n_recipients = t->outcome.n_kept, .is_8bit = t->intake.decoder.has_8bit,
        .is_utf8 = (t->envelope.parameters & SMTP_HAS_SMTPUTF8) != 0,
    };
    if (list_recipients(t->content, t, &entry))
        t->kept = quarantine_put_start(s->server->quarantine, &entry, &t->intake.spool, on_put, s);
    return t->kept != NULL;
}

void keeping_end(struct session *s, bool is_final) {
    struct transaction *t = s->transaction;
    if (t->kept != NULL)
        quarantine_settle(t->kept, is_final);
    t->kept = NULL;
}

/* ---- deliveries that go on */

void keeping_leave(struct session *s) {
    struct transaction *t = s->transaction;
    if (t == NULL || t->kept == NULL)
        return;
    struct kept_orphan *orphan = relay_outlives(t->transfer) ? malloc(sizeof(*orphan)) : NULL;
    if (orphan == NULL) {
        keeping_end(s, false);
        return;
    }
    *orphan = (struct kept_orphan){ .next = s->server->kept_orphans, .put = t->kept };
    memcpy(orphan->id, s->id, sizeof(orphan->id));
    s->server->kept_orphans = orphan;
    t->kept = NULL;
}

void keeping_orphan(struct server *server, struct str id, bool is_delivered) {
    for (struct kept_orphan **at = &server->kept_orphans; *at != NULL; at = &(*at)->next) {
        struct kept_orphan *orphan = *at;
        if (!str_eq(id, str_of(orphan->id)))
            continue;
        quarantine_settle(orphan->put, is_delivered);
        *at = orphan->next;
        free(orphan);
        return;
    }
}

void keeping_forget(struct server *server) {
    for (struct kept_orphan *orphan; (orphan = server->kept_orphans) != NULL;) {
        server->kept_orphans = orphan->next;
        free(orphan);
    }
}
