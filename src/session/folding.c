/*
 * folding: see the header.
 *
 * Log and journal have a table each (repeats.h): a record may be ended seconds after its line, and two records may
 * differ where their lines do not. A kept record is one without its end, to which `repeated` and `last_id` are added.
 *
 * Which refusals are alike follows from what reports count (cmd/report_*.c): rule, reply, greylist status and wait,
 * shadow rules, block lists and their codes, kind and virus of a message. A report that counts something new has it
 * added here. So N records are one with `repeated` N - 1, and no report is wrong by one.
 */
#include "session/folding.h"

#include "base/hash.h"
#include "base/log.h"
#include "session/repeats.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct folding {
    struct repeats_limits limits;
    struct repeats *log, *journal;
    struct buf record; /* one that is not written yet */
};

/* ---- what is alike */

static uint64_t mix(uint64_t hash, const void *data, size_t len) {
    return hash_u64(hash ^ hash_bytes(data, len));
}

uint64_t fold_what(const struct verdict *v, const char *where) {
    uint64_t what = hash_bytes(where, strlen(where));
    const unsigned said[] = { (unsigned)v->action, v->reply.code, (unsigned)v->rcpt_known };
    what = mix(what, v->layer.at != NULL ? v->layer.at : "", v->layer.len);
    what = mix(what, v->rule.at != NULL ? v->rule.at : "", v->rule.len);
    what = mix(what, said, sizeof(said));
    return what > 1 ? what : 2;
}

struct fold fold_of(const struct envelope *e, const struct verdict *v, const char *where, const char *numbered) {
    struct fold fold = { .client = *e->client, .is_pass = v->action == ACTION_PASS };
    fold.what = fold_what(v, e->door != NULL ? e->door : where);
    snprintf(fold.id, sizeof(fold.id), "%s", numbered);
    return fold;
}

void fold_add(struct fold *fold, const void *data, size_t len) {
    if (fold->what == 0)
        return;
    fold->what = mix(fold->what, data, len);
    fold->what = fold->what > 1 ? fold->what : 2;
}

void fold_add_judgement(struct fold *fold, const struct gather_memory *memory, const struct policy_set *shadow) {
    const struct gather_greylist *greylist = &memory->greylist;
    const bool counts = greylist->is_answered && !greylist->is_read_only;
    const uint64_t said[] = { counts, counts ? greylist->answer.status : 0, counts ? greylist->answer.waited : 0,
                              memory->open, memory->against };
    fold_add(fold, said, sizeof(said));
    fold_add(fold, shadow, sizeof(*shadow));
    for (unsigned i = 0; i < memory->codes.n; i++) {
        const struct list_code *code = &memory->codes.at[i];
        const uint32_t listed[] = { code->code, code->family, code->list };
        fold_add(fold, listed, sizeof(listed));
    }
}

/* ---- the log */

static void write_line(void *arg, const struct repeats_line *line) {
    char repeated[48] = "";
    (void)arg;
    if (line->repeated > 0)
        snprintf(repeated, sizeof(repeated), " repeated=%llu", (unsigned long long)line->repeated);
    /* The first byte is the level. */
    const struct str words[] = { str_from(line->text, 1), str_of(repeated) };
    log_ident(line->ident);
    log_words((enum log_level)line->text.at[0], words, 2);
    log_ident("postern/smtpd");
}

static void write_now(enum log_level level, const struct str *words, size_t n, const char *ident) {
    log_ident(ident);
    log_words(level, words, n);
    log_ident("postern/smtpd");
}

static bool keep_line(struct repeats *repeats, enum log_level level, const struct str *words, size_t n,
                      const char *ident) {
    char text[LOG_LINE_MAX] = { (char)level };
    size_t len = 1;
    for (size_t i = 0; i < n; i++) {
        struct str word = str_head(words[i], sizeof(text) - len);
        if (word.len > 0)
            memcpy(text + len, word.at, word.len);
        len += word.len;
    }
    return repeats_keep(repeats, (struct str){ text, len }, ident);
}

static void fold_line(const struct server *server, enum log_level level, const struct ip *client, uint64_t what,
                      const char *id, const struct str *words, size_t n, const char *ident) {
    struct folding *folding = server->folding;
    enum repeats_fate fate = REPEATS_WRITE;
    if (folding != NULL)
        fate = repeats_look(folding->log, client, what, &folding->limits, id, loop_now(server->loop));
    if (fate == REPEATS_WRITE || (fate == REPEATS_KEEP && !keep_line(folding->log, level, words, n, ident)))
        write_now(level, words, n, ident);
}

void folding_log(const struct server *server, const struct ip *client, uint64_t what, const char *id,
                 const struct str *words, size_t n, const char *ident) {
    fold_line(server, LOG_LEVEL_INFO, client, what, id, words, n, ident);
}

void folding_line(const struct server *server, enum log_level level, const struct ip *client, const char *what,
                  const char *id, const char *format, ...) {
    char text[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const struct str words = str_head((struct str){ text, len < 0 ? 0 : (size_t)len }, sizeof(text) - 1);
    uint64_t hash = hash_bytes(what, strlen(what));
    fold_line(server, level, client, hash > 1 ? hash : 2, id, &words, 1, "postern/smtpd");
}

/* ---- the journal */

static void write_record(void *arg, const struct repeats_line *line) {
    const struct server *server = arg;
    struct record r;
    record_resume(&r, &server->journal->out, line->text);
    if (line->repeated > 0) {
        record_u64(&r, "repeated", line->repeated);
        record_str(&r, "last_id", str_of(line->last_id));
    }
    decision_record_end(&r, server, NULL);
}

bool folding_record(const struct server *server, struct record *r, const struct fold *fold) {
    struct folding *folding = server->folding;
    if (folding == NULL || fold == NULL || fold->what == 0 || r->has_failed)
        return false;
    /* Others may be written meanwhile, so this one must not stand in the buffer. */
    buf_clear(&folding->record);
    if (buf_puts(&folding->record, str_from(buf_str(r->out), r->start)) < 0)
        return false;
    r->out->len = r->start;
    static const struct repeats_limits of_passes = { .client = FOLD_PASSES };
    enum repeats_fate fate = repeats_look(folding->journal, &fold->client, fold->what,
                                          fold->is_pass ? &of_passes : &folding->limits, fold->id,
                                          loop_now(server->loop));
    bool is_kept = fate == REPEATS_KEEP && repeats_keep(folding->journal, buf_str(&folding->record), NULL);
    if (is_kept || fate == REPEATS_COUNTED)
        return true;
    record_resume(r, r->out, buf_str(&folding->record));
    return false;
}

/* ---- its life */

int folding_start(struct server *server) {
    const struct conf_settings *set = &server->conf->set;
    if (set->limits.repeated_refusals == 0)
        return 0;
    struct folding *folding = calloc(1, sizeof(*folding));
    if (folding == NULL)
        return -ENOMEM;
    folding->limits = (struct repeats_limits){ set->limits.repeated_refusals, set->limits.network_lines };
    buf_init(&folding->record, JOURNAL_BUFFER);
    const struct repeats_settings log = { .write = write_line };
    const struct repeats_settings journal = { .write = write_record, .arg = server };
    int r = repeats_new(&log, &folding->log);
    if (r == 0)
        r = repeats_new(&journal, &folding->journal);
    server->folding = folding;
    return r;
}

void folding_tick(struct server *server) {
    struct folding *folding = server->folding;
    if (folding == NULL)
        return;
    repeats_expire(folding->log, loop_now(server->loop));
    repeats_expire(folding->journal, loop_now(server->loop));
    server->counters->log_folded = repeats_counted(folding->log);
    server->counters->journal_folded = repeats_counted(folding->journal);
}

void folding_stop(struct server *server) {
    if (server->folding == NULL)
        return;
    repeats_free(server->folding->log);
    repeats_free(server->folding->journal);
    buf_deinit(&server->folding->record);
    free(server->folding);
    server->folding = NULL;
}
