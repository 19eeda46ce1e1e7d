/* budget: see the header. */
#include "base/budget.h"

#include <assert.h>
#include <stddef.h>

static uint64_t room(uint64_t max, uint64_t used) {
    return max > used ? max - used : 0;
}

static bool has_room(const struct budget *b, uint64_t n) {
    if (n > room(b->max, b->used))
        return false;
    if (!b->is_shared || b->whole == NULL)
        return true;
    return b->used + n <= room(b->whole->max, b->whole->used + n); /* with it, no more than is left */
}

bool budget_take(struct budget *budget, uint64_t n) {
    for (const struct budget *b = budget; b != NULL; b = b->whole)
        if (!has_room(b, n))
            return false;
    for (struct budget *b = budget; b != NULL; b = b->whole)
        b->used += n;
    return true;
}

void budget_give(struct budget *budget, uint64_t n) {
    for (struct budget *b = budget; b != NULL; b = b->whole) {
        assert(b->used >= n);
        b->used -= n;
    }
}
