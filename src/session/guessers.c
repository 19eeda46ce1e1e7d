/*
 * guessers: see the header. Places are found as in history.c: a bucket by the process's own hash, a few places in it.
 *
 * Rejected: refusing a known guesser at connect (it may be a provider's server that sends good mail as well); a limit
 * by network (one host would speak for its neighbours).
 */
#include "session/guessers.h"

#include "base/hash.h"

#include <stddef.h>

static struct guesser *find(const struct guessers *guessers, uint64_t client) {
    const struct guesser *bucket = guessers->places[hash_u64(client) % GUESSERS_BUCKETS];
    for (int i = 0; i < GUESSERS_BUCKET; i++)
        if (bucket[i].guesses > 0 && bucket[i].client == client)
            return (struct guesser *)&bucket[i];
    return NULL;
}

/* A free place, or that of the one that guessed longest ago. */
static struct guesser *take_place(struct guessers *guessers, uint64_t client) {
    struct guesser *bucket = guessers->places[hash_u64(client) % GUESSERS_BUCKETS], *place = &bucket[0];
    for (int i = 1; i < GUESSERS_BUCKET && place->guesses > 0; i++)
        if (bucket[i].guesses == 0 || bucket[i].last_ms < place->last_ms)
            place = &bucket[i];
    *place = (struct guesser){ .client = client };
    return place;
}

void guessers_note(struct guessers *guessers, uint64_t client, uint64_t now_ms) {
    if (guessers == NULL)
        return;
    struct guesser *guesser = find(guessers, client);
    if (guesser == NULL || guesser->last_ms + GUESSERS_MEMORY_MS <= now_ms) {
        if (guesser != NULL)
            guesser->guesses = 0;
        else
            guesser = take_place(guessers, client);
    }
    guesser->guesses++;
    guesser->last_ms = now_ms;
}

void guessers_forgive(struct guessers *guessers, uint64_t client, uint64_t guesses) {
    struct guesser *guesser = guessers != NULL ? find(guessers, client) : NULL;
    if (guesser != NULL)
        guesser->guesses -= guesser->guesses < guesses ? guesser->guesses : guesses;
}

bool guessers_know(const struct guessers *guessers, uint64_t client, uint64_t a_session, uint64_t now_ms) {
    const struct guesser *guesser = guessers != NULL ? find(guessers, client) : NULL;
    return guesser != NULL && guesser->last_ms + GUESSERS_MEMORY_MS > now_ms
        && guesser->guesses > GUESSERS_SESSIONS * a_session;
}
