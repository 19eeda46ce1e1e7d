/*
 * folding: which lines of the log and records of the journal are alike, and how those that were not written are counted
 * in the ones that were.
 *
 * A refusal is like another of the same client when rule, reply and all that reports count are the same; recipient,
 * sender and HELO may differ. The kept record has `repeated`, how many more it stands for, and `last_id`; the line has
 * `repeated=N` at its end. A mail that was taken, and what the quarantine keeps, is never folded. Recipients that
 * passed are, but only past FOLD_PASSES a minute.
 */
#pragma once

#include "session/decision.h"

enum { FOLD_PASSES = 1000 };

struct folding;

/* What a record is about, for decision_record_end(). All-zero: it is never folded. */
struct fold {
    struct ip client;
    uint64_t what;       /* 0: it is never folded */
    bool is_pass;
    char id[NUMBERED_MAX];
};

/* Returns 0 with server->folding, or -ENOMEM. Where `repeated_refusals` is 0 there is none. */
int folding_start(struct server *server);
/* Writes what is kept; the journal must still be there. */
void folding_stop(struct server *server);
/* Writes what is due, and publishes the counters. Once a second. */
void folding_tick(struct server *server);

/* A line of level info about `client` (NULL: about us) that says `what`, in words; `ident` as for log_ident(). */
void folding_log(const struct server *server, const struct ip *client, uint64_t what, const char *id,
                 const struct str *words, size_t n, const char *ident);

/* The same at any level, for lines that are about no decision. `what`: the text that all of its kind have in common. */
void folding_line(const struct server *server, enum log_level level, const struct ip *client, const char *what,
                  const char *id, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* A hash of what a verdict says, for lines and records. `where`: what tells its kind from others. */
uint64_t fold_what(const struct verdict *v, const char *where);

/* Of a refusal, or of a recipient that passed. */
struct fold fold_of(const struct envelope *e, const struct verdict *v, const char *where, const char *numbered);
/* Adds what reports count of facts. `shadow`: of the record. */
void fold_add_judgement(struct fold *fold, const struct gather_memory *memory, const struct policy_set *shadow);
void fold_add(struct fold *fold, const void *data, size_t len);

/* True: the record, not ended yet, was taken back, since it is kept or counted. `fold` may be NULL. */
bool folding_record(const struct server *server, struct record *r, const struct fold *fold);
