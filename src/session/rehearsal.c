/*
 * rehearsal: see the header.
 *
 * The record's line is begun at the decision and set aside (record_suspend()); what is appended in the end is the
 * judgement alone: facts, and the shadow rules that they make true. So nothing of the verdict or the reply is kept
 * twice, and both doors are served alike.
 *
 * Facts found here do not go back to the session. Their answers are in the resolver's cache, where the next recipient's
 * rehearsal finds them.
 *
 * Rejected: rehearsing in the session's own memory (each command that forgets a scope would have to end it, and who
 * says RSET would choose what is journalled), and two records, now and later (every reader would have to join them).
 */
#include "session/rehearsal.h"

#include "base/log.h"
#include "facts/scan.h"

#include <stdlib.h>

struct rehearsal {
    struct rehearsal *next, **prev; /* among server->rehearsals */
    struct server *server;
    struct gather *gather;
    struct gather_memory *memory;
    struct gather_known known;
    struct str record;   /* as far as it was written */
    struct fold fold;
    uint64_t decided_ms; /* by the loop's clock */
    bool names_client;   /* the record has the client's name */
    bool is_cut_short;   /* by the end of the worker */
    bool is_message;     /* of layer content: from here on */
    struct spool spool;
    struct gather_message message;
    struct content_facts content;
    struct arena arena;  /* owns what the others borrow */
};

static enum policy_layer last_layer(const struct rehearsal *rehearsal) {
    return rehearsal->is_message ? LAYER_CONTENT : LAYER_POLICY;
}

/* ---- the end */

/* The record says so, or it would look as if no shadow rule had been true. */
static bool do_without(struct server *server, struct record *record) {
    record_bool(record, "unrehearsed", true);
    server->counters->unrehearsed++;
    return false;
}

static void finish(struct rehearsal *rehearsal, const struct policy_verdict *verdict) {
    struct server *server = rehearsal->server;
    struct record r;
    rehearsal->memory->shadow = verdict->shadow;
    record_resume(&r, &server->journal->out, rehearsal->record);
    if (!rehearsal->names_client && rehearsal->memory->ptr.status >= PTR_UNCONFIRMED)
        record_str(&r, "ptr", ptr_name(&rehearsal->memory->ptr));
    if (rehearsal->is_cut_short)
        do_without(server, &r);
    fold_add(&rehearsal->fold, &rehearsal->is_cut_short, sizeof(rehearsal->is_cut_short));
    fold_add_judgement(&rehearsal->fold, rehearsal->memory, &verdict->shadow);
    if (rehearsal->is_message) {
        rehearsal->content.memory = rehearsal->memory;
        rehearsal->content.shadow = &verdict->shadow;
        record_content_judgement(&r, server->conf, &rehearsal->content, rehearsal->decided_ms);
        scan_free(rehearsal->message.scan);
        spool_deinit(&rehearsal->spool);
        server->n_rehearsed_messages--;
    } else {
        record_judgement(&r, server->conf, rehearsal->memory, rehearsal->decided_ms);
    }
    decision_record_end(&r, server, &rehearsal->fold);
    *rehearsal->prev = rehearsal->next;
    if (rehearsal->next != NULL)
        rehearsal->next->prev = rehearsal->prev;
    if (--server->n_rehearsals < REHEARSALS_MAX / 2 && server->n_rehearsed_messages < REHEARSED_MESSAGES_MAX / 2)
        server->are_rehearsals_full = false;
    arena_reset(&rehearsal->arena);
    free(rehearsal);
}

static void on_rehearsed(void *arg, const struct policy_verdict *verdict) {
    finish(arg, verdict);
}

void rehearsals_finish(struct server *server) {
    while (server->rehearsals != NULL) {
        struct rehearsal *rehearsal = server->rehearsals;
        struct policy_verdict verdict;
        gather_cancel(rehearsal->gather);
        rehearsal->is_cut_short = !gather_now(&server->gather, &server->conf->policy, last_layer(rehearsal),
                                              &rehearsal->known, rehearsal->memory, &verdict)
            || !set_is_empty(&verdict.shadow_need);
        finish(rehearsal, &verdict);
    }
}

/* ---- the beginning */

/* Copies what the decision knew. False: no memory. */
static bool keep(struct rehearsal *rehearsal, const struct gather_known *known, const struct gather_memory *memory) {
    rehearsal->known = *known;
    rehearsal->memory = gather_memory_copy(memory, rehearsal->server->conf->policy.policy, &rehearsal->arena);
    return rehearsal->memory != NULL && gather_known_keep(&rehearsal->known, &rehearsal->arena);
}

/* Once, until many have ended: counts of shadow rules are too low then, and who reads them should know. */
static void tell_full(struct server *server) {
    if (!server->are_rehearsals_full)
        log_warning("%u decisions, %u of them on messages, wait for facts of shadow rules, more are journalled without",
                    server->n_rehearsals, server->n_rehearsed_messages);
    server->are_rehearsals_full = true;
}

static struct rehearsal *rehearsal_new(struct server *server, bool is_message) {
    bool is_full = server->n_rehearsals >= REHEARSALS_MAX
        || (is_message && server->n_rehearsed_messages >= REHEARSED_MESSAGES_MAX);
    if (is_full)
        tell_full(server);
    struct rehearsal *rehearsal = is_full ? NULL : calloc(1, sizeof(*rehearsal));
    if (rehearsal != NULL)
        *rehearsal = (struct rehearsal){ .server = server, .decided_ms = loop_now(server->loop) };
    return rehearsal;
}

/* It never began. */
static void rehearsal_free(struct rehearsal *rehearsal) {
    gather_cancel(rehearsal->gather);
    scan_free(rehearsal->message.scan);
    arena_reset(&rehearsal->arena);
    free(rehearsal);
}

/* False: no memory; the rehearsal is over. */
static bool begin(struct rehearsal *rehearsal, struct record *record, const struct gather_known *known,
                  const struct gather_memory *memory) {
    struct server *server = rehearsal->server;
    if (keep(rehearsal, known, memory))
        rehearsal->gather = gather_rehearse(&server->gather, &server->conf->policy, last_layer(rehearsal),
                                            &rehearsal->known, rehearsal->memory, on_rehearsed, rehearsal);
    if (rehearsal->gather != NULL)
        rehearsal->record = record_suspend(record, &rehearsal->arena);
    if (rehearsal->record.at == NULL) {
        rehearsal_free(rehearsal);
        return false;
    }
    rehearsal->next = server->rehearsals;
    rehearsal->prev = &server->rehearsals;
    if (rehearsal->next != NULL)
        rehearsal->next->prev = &rehearsal->next;
    server->rehearsals = rehearsal;
    server->n_rehearsals++;
    return true;
}

bool rehearsal_start(struct server *server, struct record *record, const struct envelope *envelope,
                     const struct gather_known *known, const struct gather_memory *memory, const struct fold *fold) {
    struct rehearsal *rehearsal = rehearsal_new(server, false);
    if (rehearsal == NULL)
        return do_without(server, record);
    rehearsal->fold = *fold;
    rehearsal->names_client = envelope_ptr(envelope, memory).len > 0;
    return begin(rehearsal, record, known, memory) || do_without(server, record);
}

static void on_scan(void *arg) {
    gather_on_scan(((struct rehearsal *)arg)->gather);
}

bool rehearsal_start_message(struct server *server, struct record *record, const struct gather_known *known,
                             const struct content_facts *content, struct str head, struct spool *take_spool,
                             const struct fold *fold) {
    struct rehearsal *rehearsal = rehearsal_new(server, true);
    if (rehearsal == NULL)
        return do_without(server, record);
    const uint64_t limit_ms = server->conf->set.timeouts.final_reply_limit;
    const struct scan_text text = { .head = arena_str(&rehearsal->arena, head), .spool = &rehearsal->spool,
                                    .id = "rehearsal" };
    struct gather_known ours = *known;
    rehearsal->fold = *fold;
    rehearsal->is_message = rehearsal->names_client = true;
    rehearsal->content = *content;
    rehearsal->message = *known->message;
    rehearsal->message.also_virus = rehearsal->message.also_spam = false;
    rehearsal->message.scan = scan_new(server->gather.scanners, &text, rehearsal->decided_ms + limit_ms, on_scan,
                                       rehearsal);
    ours.message = &rehearsal->message;
    spool_leave_budget(take_spool); /* its client may go before it */
    rehearsal->spool = *take_spool; /* before the scan begins, which is in a later turn */
    if (text.head.at == NULL) {
        rehearsal_free(rehearsal);
        return do_without(server, record);
    }
    if (!begin(rehearsal, record, &ours, content->memory))
        return do_without(server, record);
    spool_init(take_spool, rehearsal->spool.dir, rehearsal->spool.memory_max);
    server->n_rehearsed_messages++;
    return true;
}
