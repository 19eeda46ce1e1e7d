/* Clients that guess recipients, over their sessions. */
#include "session/guessers.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { A_SESSION = 20, MAX = GUESSERS_SESSIONS * A_SESSION };

static struct guessers *make(void) {
    struct guessers *guessers = calloc(1, sizeof(*guessers));
    assert_non_null(guessers);
    return guessers;
}

static void guess(struct guessers *guessers, uint64_t client, unsigned n) {
    while (n-- > 0)
        guessers_note(guessers, client, 1000);
}

static void a_client_is_known_past_five_sessions_of_guesses_for_an_hour(void **state) {
    struct guessers *guessers = make();
    (void)state;
    guess(guessers, 7, MAX);
    assert_false(guessers_know(guessers, 7, A_SESSION, 1000));
    guess(guessers, 7, 1);
    assert_true(guessers_know(guessers, 7, A_SESSION, 1000));
    assert_false(guessers_know(guessers, 8, A_SESSION, 1000));
    assert_true(guessers_know(guessers, 7, A_SESSION, 999 + GUESSERS_MEMORY_MS));
    assert_false(guessers_know(guessers, 7, A_SESSION, 1000 + GUESSERS_MEMORY_MS));
    guessers_note(guessers, 7, 1000 + GUESSERS_MEMORY_MS); /* counted from one again */
    assert_false(guessers_know(guessers, 7, A_SESSION, 1000 + GUESSERS_MEMORY_MS));
    free(guessers);
}

static void a_message_pays_for_a_session_of_guesses(void **state) {
    struct guessers *guessers = make();
    (void)state;
    guess(guessers, 7, MAX + A_SESSION);
    guessers_forgive(guessers, 7, A_SESSION);
    assert_false(guessers_know(guessers, 7, A_SESSION, 1000));
    guess(guessers, 7, 1);
    assert_true(guessers_know(guessers, 7, A_SESSION, 1000));
    for (int i = 0; i < 100; i++)
        guessers_forgive(guessers, 7, A_SESSION); /* never below none */
    guess(guessers, 7, MAX);
    assert_false(guessers_know(guessers, 7, A_SESSION, 1000));
    guessers_forgive(guessers, 8, A_SESSION);
    free(guessers);
}

static void many_clients_take_no_more_room_and_push_out_the_oldest(void **state) {
    struct guessers *guessers = make();
    (void)state;
    for (uint64_t client = 1; client < 100000; client++)
        guessers_note(guessers, client, client);
    unsigned known = 0;
    for (uint64_t client = 1; client < 100000; client++)
        known += guessers_know(guessers, client, 0, 100000);
    assert_true(known <= GUESSERS_BUCKETS * GUESSERS_BUCKET);
    assert_true(guessers_know(guessers, 99999, 0, 100000));
    free(guessers);
}

static void without_a_table_nobody_is_known(void **state) {
    (void)state;
    guessers_note(NULL, 1, 1);
    guessers_forgive(NULL, 1, 1);
    assert_false(guessers_know(NULL, 1, 0, 1));
}

int main(void) {
    hash_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_is_known_past_five_sessions_of_guesses_for_an_hour),
        cmocka_unit_test(a_message_pays_for_a_session_of_guesses),
        cmocka_unit_test(many_clients_take_no_more_room_and_push_out_the_oldest),
        cmocka_unit_test(without_a_table_nobody_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
