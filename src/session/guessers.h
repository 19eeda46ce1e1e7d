/*
 * guessers: which clients have named recipients that nobody has, over all their sessions?
 *
 * A session that only guesses is cut off after `limits errors`; its client comes again and goes on. So guesses are
 * counted by client too. One that made GUESSERS_SESSIONS times as many within GUESSERS_MEMORY_MS is known for it, and
 * each session of such a client ends at its first guess. A message that is taken pays for as many guesses as one
 * session may make: a mail server whose users mistype, and send good mail as well, never gets there.
 *
 * Of a worker, since all connections of a client meet in one (net/listen.h). A table of fixed size; of clients that
 * share a place the one that guessed longest ago gives way. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    GUESSERS_SESSIONS = 5,
    GUESSERS_MEMORY_MS = 60 * 60 * 1000, /* since the last guess */
    GUESSERS_BUCKETS = 1024,
    GUESSERS_BUCKET = 4,
};

struct guessers {
    struct guesser {
        uint64_t client; /* ip_client_key() */
        uint64_t last_ms;
        uint64_t guesses; /* 0: a free place */
    } places[GUESSERS_BUCKETS][GUESSERS_BUCKET];
};

/* One more guess of a client. `guessers` may be NULL, here and below: nobody is known. */
void guessers_note(struct guessers *guessers, uint64_t client, uint64_t now_ms);

/* A message of the client was taken: it pays for `guesses`. */
void guessers_forgive(struct guessers *guessers, uint64_t client, uint64_t guesses);

/* Whether it has made more than GUESSERS_SESSIONS times `a_session` guesses. */
bool guessers_know(const struct guessers *guessers, uint64_t client, uint64_t a_session, uint64_t now_ms);
