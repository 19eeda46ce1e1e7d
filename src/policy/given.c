/*
 * given: does what a test gives hold together?
 *
 * Facts follow from each other as they do in life, and what stands behind wins: `given ptr.none, ptr "mx.example.net"`
 * is a client with a name. Its author thinks of one without; the test passes or fails for another reason than he
 * believes. So each item is written down with what it made of its slot, and when all are given each must still hold.
 *
 * Rejected: a table of facts that exclude each other, beside the one that world.c follows.
 */
#include "policy/given.h"

#include <errno.h>

int given_note(struct world *w, unsigned slot, const char *at, const char *end) {
    struct world_given *given = arena_alloc(w->arena, sizeof(*given));
    if (given == NULL)
        return -ENOMEM;
    struct str text = str_trim((struct str){ at, (size_t)(end - at) });
    *given = (struct world_given){ w->given, text, (uint16_t)slot, w->answers[slot] };
    w->given = given;
    return 0;
}

bool given_has(const struct world *w, size_t slot) {
    const struct world_given *given = w->given;
    while (given != NULL && given->slot != slot)
        given = given->next;
    return given != NULL;
}

static bool is_same(enum fact_type type, const struct fact *a, const struct fact *b) {
    if (a->state != b->state || a->state != FACT_KNOWN)
        return a->state == b->state;
    switch (type) {
    case TYPE_NUMBER:
    case TYPE_COUNT:
        return a->lo == b->lo;
    case TYPE_STRING:
    case TYPE_ADDRESS:
        return str_eq(a->text, b->text);
    case TYPE_BOOL:
    case TYPE_ENUM:
        break;
    }
    return a->value == b->value;
}

int given_check(const struct world *w, struct parsed *p) {
    const struct world_given *first = NULL;
    for (const struct world_given *given = w->given; given != NULL; given = given->next) {
        if (!is_same(w->policy->slots[given->slot].type, &given->fact, &w->answers[given->slot]))
            first = given;
    }
    if (first == NULL)
        return 0;
    diag_error(p->diag, &p->source, first->text.at, "'%.*s' does not hold any more with what is given behind it",
               STR_ARG(first->text));
    return -EINVAL;
}
