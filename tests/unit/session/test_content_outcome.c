/*
 * What several verdicts about one message come to (design.md section 7): a table, a row a case. Letters stand for what
 * the policy says for one recipient each:
 *
 *     p passes    a passes by an `accept`    t, u pass with a tag each    d is deferred
 *     r is refused    i is refused as infected    q goes into quarantine
 */
#include "session/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { FIRST_TAG = 7, SECOND_TAG = 8 };

static const struct mail {
    const char *verdicts;
    enum content_fate fate;
    unsigned decisive, n_handed_on, n_kept;
    const char *tags;
} rows[] = {
    /* one recipient */
    { "p", CONTENT_TAKEN, 0, 1, 0, "" },
    { "a", CONTENT_TAKEN, 0, 1, 0, "" },
    { "t", CONTENT_TAKEN, 0, 1, 0, "t" },
    { "r", CONTENT_REJECTED, 0, 0, 0, "" },
    { "d", CONTENT_DEFERRED, 0, 0, 0, "" },
    { "q", CONTENT_TAKEN, 0, 0, 1, "" },
    /* all alike */
    { "ppp", CONTENT_TAKEN, 0, 3, 0, "" },
    { "rrr", CONTENT_REJECTED, 0, 0, 0, "" },
    { "qqq", CONTENT_TAKEN, 0, 0, 3, "" },
    { "ttt", CONTENT_TAKEN, 0, 3, 0, "t" },
    /* any deferred: that, whatever the others are */
    { "pd", CONTENT_DEFERRED, 1, 0, 0, "" },
    { "dp", CONTENT_DEFERRED, 0, 0, 0, "" },
    { "rd", CONTENT_DEFERRED, 1, 0, 0, "" },
    { "qd", CONTENT_DEFERRED, 1, 0, 0, "" },
    { "ppd", CONTENT_DEFERRED, 2, 0, 0, "" },
    { "dd", CONTENT_DEFERRED, 0, 0, 0, "" },
    { "prqd", CONTENT_DEFERRED, 3, 0, 0, "" },
    /* refused for some: kept for them, never dropped */
    { "pr", CONTENT_TAKEN, 0, 1, 1, "" },
    { "rp", CONTENT_TAKEN, 1, 1, 1, "" },
    { "qr", CONTENT_TAKEN, 0, 0, 2, "" },
    { "rq", CONTENT_TAKEN, 0, 0, 2, "" },
    { "rrp", CONTENT_TAKEN, 2, 1, 2, "" },
    { "pq", CONTENT_TAKEN, 0, 1, 1, "" },
    { "qpr", CONTENT_TAKEN, 1, 1, 2, "" },
    /* of those refused the gravest reason is told */
    { "ri", CONTENT_REJECTED, 1, 0, 0, "" },
    { "iri", CONTENT_REJECTED, 0, 0, 0, "" },
    { "qi", CONTENT_TAKEN, 1, 0, 2, "" },
    /* one copy, with the tags of all who get it, and of nobody else */
    { "tp", CONTENT_TAKEN, 0, 2, 0, "t" },
    { "pt", CONTENT_TAKEN, 1, 2, 0, "t" },
    { "tu", CONTENT_TAKEN, 0, 2, 0, "tu" },
    { "ut", CONTENT_TAKEN, 0, 2, 0, "tu" },
    { "ar", CONTENT_TAKEN, 0, 1, 1, "" },
};

static struct content_verdict verdict_of(char letter) {
    struct content_verdict verdict = { .action = ACT_PASS, .rule = RULE_NONE };
    switch (letter) {
    case 'a':
        verdict.action = ACT_ACCEPT;
        break;
    case 't':
    case 'u':
        set_add(&verdict.tags, letter == 't' ? FIRST_TAG : SECOND_TAG);
        verdict.kind = CONTENT_SPAM;
        break;
    case 'r':
    case 'i':
        verdict.action = ACT_REJECT;
        verdict.kind = letter == 'i' ? CONTENT_INFECTED : CONTENT_SPAM;
        break;
    case 'q':
        verdict.action = ACT_QUARANTINE;
        verdict.kind = CONTENT_SPAM;
        break;
    case 'd':
        verdict.action = ACT_DEFER;
        break;
    }
    return verdict;
}

static void one_reply_is_true_for_all(void **state) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct mail *row = &rows[i];
        struct content_verdict verdicts[8];
        unsigned n = (unsigned)strlen(row->verdicts);
        for (unsigned at = 0; at < n; at++)
            verdicts[at] = verdict_of(row->verdicts[at]);
        struct content_outcome outcome = content_settle(verdicts, n);
        bool is_right = outcome.fate == row->fate && outcome.decisive == row->decisive
            && outcome.n_handed_on == row->n_handed_on && outcome.n_kept == row->n_kept
            && set_has(&outcome.tags, FIRST_TAG) == (strchr(row->tags, 't') != NULL)
            && set_has(&outcome.tags, SECOND_TAG) == (strchr(row->tags, 'u') != NULL);
        if (!is_right)
            fail_msg("%s: fate %d, decisive %u, handed on %u, kept %u", row->verdicts, (int)outcome.fate,
                     outcome.decisive, outcome.n_handed_on, outcome.n_kept);
    }
}

/* So that the words of one are enough to keep while recipients are judged one by one. */
static void the_decisive_one_is_the_newest_or_was_so_before(void **state) {
    static const char letters[] = "patrqi";
    for (unsigned number = 0; number < 6 * 6 * 6 * 6 * 6; number++) {
        struct content_verdict verdicts[5];
        unsigned before = 0, rest = number;
        for (unsigned n = 1; n <= 5; n++, rest /= 6) {
            verdicts[n - 1] = verdict_of(letters[rest % 6]);
            unsigned decisive = content_settle(verdicts, n).decisive;
            assert_true(decisive == n - 1 || decisive == before);
            before = decisive;
        }
    }
}

/* Nobody is forgotten: each recipient is refused with all others, or gets it, or it is kept for him. */
static void no_recipient_is_lost(void **state) {
    static const char letters[] = "patrqid";
    for (unsigned number = 0; number < 7 * 7 * 7 * 7; number++) {
        struct content_verdict verdicts[4];
        unsigned n_passing = 0, n_deferred = 0, n_rejected = 0;
        for (unsigned i = 0, rest = number; i < 4; i++, rest /= 7) {
            verdicts[i] = verdict_of(letters[rest % 7]);
            n_passing += content_passes(&verdicts[i]);
            n_deferred += verdicts[i].action == ACT_DEFER;
            n_rejected += verdicts[i].action == ACT_REJECT;
        }
        struct content_outcome outcome = content_settle(verdicts, 4);
        assert_int_equal(outcome.fate, n_deferred > 0 ? CONTENT_DEFERRED : n_rejected == 4 ? CONTENT_REJECTED
                                                                                          : CONTENT_TAKEN);
        if (outcome.fate == CONTENT_TAKEN) {
            assert_int_equal(outcome.n_handed_on, n_passing);
            assert_int_equal(outcome.n_handed_on + outcome.n_kept, 4);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_reply_is_true_for_all),
        cmocka_unit_test(the_decisive_one_is_the_newest_or_was_so_before),
        cmocka_unit_test(no_recipient_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
