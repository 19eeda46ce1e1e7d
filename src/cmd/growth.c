/* growth: see the header. */
#include "cmd/growth.h"

enum { MINUTE_MS = 60000 };

void growth_note(struct growth *growth, uint64_t value, uint64_t now_ms) {
    growth->last = value;
    if (growth->n > 0 && now_ms < growth->due_ms)
        return;
    growth->due_ms = now_ms + MINUTE_MS;
    growth->at[growth->next] = value;
    growth->next = (growth->next + 1) % GROWTH_MINUTES;
    growth->n += growth->n < GROWTH_MINUTES;
}

int64_t growth_of(const struct growth *growth) {
    if (growth->n == 0)
        return 0;
    uint64_t oldest = growth->at[growth->n < GROWTH_MINUTES ? 0 : growth->next];
    return (int64_t)(growth->last - oldest);
}

int64_t growth_of_minute(const struct growth *growth) {
    if (growth->n == 0)
        return 0;
    unsigned back = growth->n > 1 ? 2 : 1;
    return (int64_t)(growth->last - growth->at[(growth->next + GROWTH_MINUTES - back) % GROWTH_MINUTES]);
}
