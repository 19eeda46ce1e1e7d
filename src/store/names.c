/*
 * names: see the header. A row that several questions of a batch touch is named by the first.
 */
#include "store/names.h"

static void add(struct names *names, const struct batch_item *item, unsigned slot, int64_t key) {
    const struct greylist_question *q = &item->question;
    if (names->n == sizeof(names->at) / sizeof(names->at[0]))
        return;
    struct local_name *name = &names->at[names->n];
    *name = (struct local_name){ .key = key, .is_triplet = slot < GREYLIST_IDENTITIES_MAX };
    name->identity = arena_str(&names->arena, q->identities[slot % GREYLIST_IDENTITIES_MAX]);
    if (name->is_triplet) {
        name->sender = arena_str(&names->arena, q->sender);
        name->recipient = arena_str(&names->arena, q->recipient);
    }
    bool is_whole = name->identity.at != NULL && (!name->is_triplet || (name->sender.at && name->recipient.at));
    names->n += is_whole;
}

void names_add(struct names *names, const struct batch *batch) {
    bool is_named[BATCH_KEYS_MAX] = { false };
    for (size_t i = 0; i < batch->n_items; i++) {
        const struct batch_item *item = &batch->items[i];
        for (unsigned slot = 0; slot < GREYLIST_KEYS_MAX; slot++) {
            if (slot == GREYLIST_GROUP || !greylist_slot_is_used(item->question.n_identities, slot))
                continue; /* a shared row is nobody's */
            size_t at = item->places[slot];
            if (!batch->now.has[at] || batch->local.has[at] || is_named[at])
                continue;
            is_named[at] = true;
            add(names, item, slot, batch->now.at[at].key);
        }
    }
}

int names_write(struct names *names, struct local *local) {
    int r = names->n > 0 ? local_write_names(local, names->at, names->n) : 0;
    names_deinit(names);
    return r;
}

void names_deinit(struct names *names) {
    arena_reset(&names->arena);
    names->n = 0;
}
