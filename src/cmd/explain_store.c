/*
 * explain_store: what would the greylist say now?
 *
 * Asked as the store process would be, with the question made read-only, so nothing is recorded: the host's own file,
 * and the server where hosts share one, joined. What one of the two does not say is told; the file must answer in any
 * case, since the hash key is there.
 *
 * Rejected: to ask through the running service (it would have to know who asks, and explain must work while nothing
 * runs).
 */
#include "cmd/explain.h"

#include "base/clock.h"
#include "store/greylist_question.h"
#include "store/local.h"
#include "store/shared.h"

#include <stdio.h>

enum { WHY_MAX = 4096 };

static void read_local(struct explain_today *today, struct local *local, struct greylist_rows *rows) {
    if (local_read(local, rows->at, rows->has, GREYLIST_KEYS_MAX) == 0)
        today->is_known = true;
    else
        snprintf(today->file_problem, sizeof(today->file_problem), "%s", local_why(local));
}

/* What the server holds, joined into `rows`. */
static void read_shared(const struct conf *conf, struct explain_today *today, struct greylist_rows *rows,
                        int64_t now) {
    struct row found[GREYLIST_KEYS_MAX];
    bool has[GREYLIST_KEYS_MAX];
    struct buf why;
    buf_init(&why, WHY_MAX);
    for (size_t i = 0; i < GREYLIST_KEYS_MAX; i++)
        found[i] = (struct row){ .key = rows->at[i].key };
    const struct shared_ops *ops = shared_load(conf->set.store.module, &why);
    bool is_read = ops != NULL && ops->look(conf->set.store.postgresql, found, has, GREYLIST_KEYS_MAX, &why) == 0;
    for (size_t i = 0; is_read && i < GREYLIST_KEYS_MAX; i++) {
        if (has[i])
            rows->at[i] = rows->has[i] ? row_merge(&rows->at[i], &found[i], now) : found[i];
        rows->has[i] |= has[i];
    }
    if (!is_read)
        snprintf(today->server_problem, sizeof(today->server_problem), "%.*s", STR_ARG(buf_str(&why)));
    today->has_asked_server = is_read;
    buf_deinit(&why);
}

static void ask(const struct conf *conf, struct greylist_question *question, struct local *local,
                struct explain_today *today) {
    bool is_shared = conf->set.store.postgresql[0] != '\0';
    int64_t now = ((int64_t)clock_wall_ms() + (is_shared ? local_shared_ahead_ms(local) : 0)) / 1000;
    struct greylist_rows rows = { 0 };
    struct greylist_changes changes;
    const struct greylist_settings settings = gather_greylist_settings(conf);
    char network[GREYLIST_NETWORK_MAX];
    question->is_read_only = true;
    greylist_keys(question, greylist_question_network(question, false, network), local_hash_key(local), &rows);
    read_local(today, local, &rows);
    if (today->is_known && is_shared && local_key_is_shared(local))
        read_shared(conf, today, &rows, now);
    else if (today->is_known && is_shared)
        snprintf(today->server_problem, sizeof(today->server_problem), "this host has never met it");
    if (today->is_known)
        greylist_ask(&settings, question, &rows, now, &today->answer, &changes);
}

void explain_ask_store(const struct explain *e, const struct greylist_question *question,
                       struct explain_today *ret_today) {
    const struct conf *conf = e->conf;
    const struct local_options options = { .path = conf->set.store.path, .is_command = true };
    struct greylist_question copy = *question;
    struct local *local = NULL;
    struct buf why;
    *ret_today = (struct explain_today){ .is_asked = conf->set.store.path != NULL };
    if (!ret_today->is_asked)
        return;
    buf_init(&why, WHY_MAX);
    if (local_open(&options, &why, &local) == 0)
        ask(conf, &copy, local, ret_today);
    else
        snprintf(ret_today->file_problem, sizeof(ret_today->file_problem), "%.*s", STR_ARG(buf_str(&why)));
    local_close(local);
    buf_deinit(&why);
}
