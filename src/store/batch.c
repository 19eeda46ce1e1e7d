/*
 * batch: see the header. Keys are sorted once and found again by the place they got, so that a question is looked up
 * nowhere; what a question changes is merged into `now`, where the next one reads it.
 *
 * A row goes to a store where that holds something else, whoever it was that changed it: so what another host has
 * learned comes into the local store, and what a replaced server has lost comes back to it.
 */
#include "store/batch.h"

#include "store/greylist_question.h"

#include <errno.h>
#include <stdlib.h>

struct found { /* a key, and where it is to be noted */
    int64_t key;
    uint16_t item, slot;
};

/* ---- questions in */

static int keep(struct arena *arena, struct str *text) {
    *text = arena_str(arena, *text);
    return text->at == NULL ? -ENOMEM : 0;
}

int batch_add(struct batch *batch, void *asker, const struct store_message *message) {
    struct batch_item *item = &batch->items[batch->n_items];
    *item = (struct batch_item){ .asker = asker, .number = message->number, .question = message->question,
                                 .is_credit = message->type == STORE_CREDIT };
    struct greylist_question *q = &item->question;
    int r = keep(&batch->arena, &q->sender);
    if (r == 0)
        r = keep(&batch->arena, &q->recipient);
    for (unsigned i = 0; r == 0 && i < q->n_identities; i++)
        r = keep(&batch->arena, &q->identities[i]);
    batch->n_items += r == 0;
    return r;
}

/* ---- keys */

static int compare(const void *a, const void *b) {
    const struct found *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static bool is_slot_used(const struct batch_item *item, unsigned slot) {
    return greylist_slot_is_used(item->question.n_identities, slot);
}

static void add_key(struct batch *batch, int64_t key) {
    const struct row row = { .key = key };
    size_t at = batch->n_keys++;
    batch->local.at[at] = batch->shared.at[at] = batch->now.at[at] = row;
    batch->local.has[at] = batch->shared.has[at] = batch->now.has[at] = batch->is_changed[at] = false;
}

/* The widest network of it that is crowded, or else its own. */
static void find_keys_of(const struct greylist_question *question, const struct bound *bound,
                         const uint8_t key[GREYLIST_KEY_SIZE], struct greylist_rows *ret_rows) {
    char text[GREYLIST_NETWORK_MAX];
    struct str network = greylist_question_network(question, true, text);
    if (network.len == 0 || !bound_is_reached(bound, network, true))
        network = greylist_question_network(question, false, text);
    greylist_keys(question, network, key, ret_rows);
}

void batch_find_keys(struct batch *batch, const struct bound *bound, const uint8_t key[GREYLIST_KEY_SIZE]) {
    struct found all[BATCH_KEYS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < batch->n_items; i++) {
        struct greylist_rows rows;
        find_keys_of(&batch->items[i].question, bound, key, &rows);
        for (unsigned slot = 0; slot < GREYLIST_KEYS_MAX; slot++)
            if (is_slot_used(&batch->items[i], slot))
                all[n++] = (struct found){ rows.at[slot].key, (uint16_t)i, (uint16_t)slot };
    }
    qsort(all, n, sizeof(*all), compare);
    batch->n_keys = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || all[i].key != all[i - 1].key)
            add_key(batch, all[i].key);
        batch->items[all[i].item].places[all[i].slot] = (uint16_t)(batch->n_keys - 1);
    }
}

/* ---- deciding */

static void join(struct batch *batch, int64_t now) {
    for (size_t i = 0; i < batch->n_keys; i++) {
        const struct batch_rows *local = &batch->local, *shared = &batch->shared;
        batch->now.has[i] = local->has[i] || shared->has[i];
        if (local->has[i] && shared->has[i])
            batch->now.at[i] = row_merge(&local->at[i], &shared->at[i], now);
        else if (batch->now.has[i])
            batch->now.at[i] = local->has[i] ? local->at[i] : shared->at[i];
        batch->now.at[i] = row_bounded(&batch->now.at[i], now);
    }
}

static void view(const struct batch *batch, const struct batch_item *item, struct greylist_rows *ret_rows) {
    *ret_rows = (struct greylist_rows){ 0 };
    for (unsigned slot = 0; slot < GREYLIST_KEYS_MAX; slot++) {
        if (!is_slot_used(item, slot))
            continue;
        ret_rows->at[slot] = batch->now.at[item->places[slot]];
        ret_rows->has[slot] = batch->now.has[item->places[slot]];
    }
}

static void change(struct batch *batch, const struct batch_item *item, const struct row *row, bool is_refresh,
                   int64_t now) {
    for (unsigned slot = 0; slot < GREYLIST_KEYS_MAX; slot++) {
        size_t at = item->places[slot];
        if (!is_slot_used(item, slot) || batch->now.at[at].key != row->key)
            continue;
        batch->now.at[at] = batch->now.has[at] ? row_merge(&batch->now.at[at], row, now) : *row;
        batch->now.has[at] = true;
        batch->is_changed[at] |= !is_refresh;
        return;
    }
}

static bool is_waiting(const struct batch *batch, const struct batch_item *item) {
    bool is_changed = false;
    for (unsigned slot = 0; slot < GREYLIST_KEYS_MAX; slot++)
        is_changed |= is_slot_used(item, slot) && batch->is_changed[item->places[slot]];
    return is_changed;
}

static void decide(struct batch *batch, const struct greylist_settings *settings, struct bound *bound,
                   struct batch_item *item, int64_t now) {
    struct greylist_rows rows;
    struct greylist_changes changes = { 0 };
    view(batch, item, &rows);
    rows.is_crowded = bound_is_crowded(bound, &item->question);
    if (item->is_credit)
        greylist_credit(settings, &item->question, &rows, now, &changes);
    else
        greylist_ask(settings, &item->question, &rows, now, &item->answer, &changes);
    for (unsigned c = 0; c < changes.n && !item->question.is_read_only; c++)
        change(batch, item, &changes.rows[c], changes.is_refresh, now);
    item->is_waiting = is_waiting(batch, item);
    item->is_grouped = changes.is_grouped && !item->question.is_read_only;
    item->is_last_own = changes.is_new && !item->question.is_read_only && bound_add(bound, &item->question);
}

void batch_decide(struct batch *batch, const struct greylist_settings *settings, struct bound *bound, int64_t now) {
    join(batch, now);
    for (size_t i = 0; i < batch->n_items; i++)
        decide(batch, settings, bound, &batch->items[i], now);
}

static bool is_same(const struct row *a, const struct row *b) {
    return a->first == b->first && a->last == b->last && a->expires == b->expires && a->forgot == b->forgot &&
           a->passes == b->passes;
}

size_t batch_changes_of(const struct batch *batch, const struct batch_rows *held, int64_t now, struct row *ret_rows,
                        bool *ret_is_waited_for) {
    size_t n = 0;
    *ret_is_waited_for = false;
    for (size_t i = 0; i < batch->n_keys; i++) {
        const struct row *row = &batch->now.at[i];
        if (!batch->now.has[i] || row_is_spent(row, now) || (held->has[i] && is_same(row, &held->at[i])))
            continue;
        *ret_is_waited_for |= batch->is_changed[i];
        ret_rows[n++] = *row;
    }
    return n;
}

/* ---- the end */

void batch_forget(struct batch *batch, const void *asker) {
    for (size_t i = 0; i < batch->n_items; i++)
        if (batch->items[i].asker == asker)
            batch->items[i].asker = NULL;
}

void batch_clear(struct batch *batch) {
    arena_reset(&batch->arena);
    batch->n_items = batch->n_keys = 0;
}

void batch_deinit(struct batch *batch) {
    batch_clear(batch);
}
