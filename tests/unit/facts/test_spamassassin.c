/*
 * Tests of facts/spamassassin.c: what is said to spamd, and what its answers mean.
 */
#include "facts/spamassassin.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static enum scanner_answer read_all(struct str in, struct scanner_reply *reply) {
    size_t used = 0;
    enum scanner_answer answer = spamd_read(in, 1, &used, reply);

    assert_int_equal(used, answer == SCANNER_MORE ? 0 : in.len);
    return answer;
}

static void a_verdict(void **state) {
    const struct str in = STR("SPAMD/1.1 0 EX_OK\r\nContent-length: 21\r\nSpam: True ; 15.3 / 5.0\r\n\r\n"
                              "BAYES_99,HTML_MESSAGE");
    struct scanner_reply reply;

    for (size_t len = 0; len < in.len; len++)
        assert_int_equal(read_all(str_head(in, len), &reply), SCANNER_MORE);
    assert_int_equal(read_all(in, &reply), SCANNER_VERDICT);
    assert_true(reply.is_found);
    assert_int_equal(reply.score, 15300);
    assert_int_equal(reply.threshold, 5000);
    assert_true(str_eq(reply.text, STR("BAYES_99,HTML_MESSAGE")));
}

static void assert_score(const char *spam, bool is_found, int64_t score, int64_t threshold) {
    char text[300];
    struct scanner_reply reply;

    snprintf(text, sizeof(text), "SPAMD/1.1 0 EX_OK\nsPAM: %s\ncontent-LENGTH: 0\nX-Other: 1\n\n", spam);
    assert_int_equal(read_all(str_of(text), &reply), SCANNER_VERDICT);
    assert_int_equal(reply.is_found, is_found);
    assert_int_equal(reply.score, score);
    assert_int_equal(reply.threshold, threshold);
    assert_int_equal(reply.text.len, 0);
}

static void scores(void **state) {
    assert_score("False ; -0.1 / 5.0", false, -100, 5000);
    assert_score("True ; 1006.8 / 5", true, 1006800, 5000);
    assert_score("false ; 0 / -1", false, 0, -1000);
    assert_score("False ; 4.99999999 / 5.0", false, 4999, 5000);
    assert_score("True ; 999999999.999 / 0.001", true, 999999999999, 1);
    assert_score("  True   ;  5.25  /  5.00 ", true, 5250, 5000);
}

static void what_is_no_verdict(void **state) {
    static const char *const spam[] = {
        "", "True", "True ; 5 / ", "True ; / 5", "True 5 / 5", "True ; 5 5", "Maybe ; 5 / 5", "True ; 5 / 5 x",
        "True ; 5, / 5", "True ; five / 5", "True ; 5. / 5", "True ; .5 / 5", "True ; - / 5", "True ; +5 / 5",
        "True ; 1e3 / 5", "True ; 1e300 / 5", "True ; nan / 5", "True ; inf / 5", "True ; 15.3 / nan",
        "True ; 1234567890 / 5", "True ; 0.1234567890123 / 5", "True ; --1 / 5",
    };
    char text[300];
    struct scanner_reply reply;

    for (size_t i = 0; i < sizeof(spam) / sizeof(spam[0]); i++) {
        snprintf(text, sizeof(text), "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: %s\r\n\r\n", spam[i]);
        if (read_all(str_of(text), &reply) != SCANNER_NONSENSE)
            fail_msg("'%s' was taken for a score", spam[i]);
    }
}

static void what_is_nonsense(void **state) {
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\n", "\r\n", "SPAMD/2.0 0 EX_OK\r\n", "SPAMD/1.1 EX_OK\r\n", "SPAMD/1.1 -1 EX_OK\r\n",
        "SPAMD/1.1 256 EX\r\n", "SPAMD/1.1 0 EX_TEMPFAIL\r\n", "SPAMD/1.1 0\r\n",
        "SPAMD/1.1 0 EX_OK\r\n\r\n",
        "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n",
        "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 5 / 5\r\n\r\n",
        "SPAMD/1.1 0 EX_OK\r\nContent-length: x\r\n",
        "SPAMD/1.1 0 EX_OK\r\nContent-length: -1\r\n",
        "SPAMD/1.1 0 EX_OK\r\nContent-length: 16385\r\n",
        "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nContent-length: 0\r\n",
        "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 5 / 5\r\nSpam: False ; 1 / 5\r\n",
        "SPAMD/1.1 0 EX_OK\r\nno header\r\n", "SPAMD/1.1 0 EX_OK\r\n: x\r\n",
        "SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\nSpam: True ; 5 / 5\r\n\r\nAB",
        "SPAMD/1.5 0 PONG\r\nmore",
    };
    struct scanner_reply reply;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (read_all(str_of(texts[i]), &reply) != SCANNER_NONSENSE)
            fail_msg("'%s' was taken for an answer", texts[i]);
}

static void refusals(void **state) {
    struct scanner_reply reply;

    assert_int_equal(read_all(STR("SPAMD/1.0 75 EX_TEMPFAIL\r\n"), &reply), SCANNER_FAILED);
    assert_true(str_eq(reply.text, STR("75 EX_TEMPFAIL")));
    assert_int_equal(read_all(STR("SPAMD/1.0 79 Timeout: (300 second timeout)\r\n"), &reply), SCANNER_FAILED);
    assert_int_equal(read_all(STR("SPAMD/1.1 75 EX_OK\r\n"), &reply), SCANNER_FAILED);
    assert_int_equal(read_all(STR("SPAMD/1.5 0 PONG\r\n"), &reply), SCANNER_WELL);
}

static void an_endless_answer_is_none(void **state) {
    char *text = malloc(SPAMD_ANSWER_MAX);
    struct scanner_reply reply;
    size_t used;
    int len = snprintf(text, SPAMD_ANSWER_MAX, "SPAMD/1.1 0 EX_OK\r\nX: ");

    memset(text + len, 'a', SPAMD_ANSWER_MAX - (size_t)len);
    assert_int_equal(spamd_read((struct str){ text, SPAMD_ANSWER_MAX - 1 }, 1, &used, &reply), SCANNER_MORE);
    assert_int_equal(spamd_read((struct str){ text, SPAMD_ANSWER_MAX }, 1, &used, &reply), SCANNER_NONSENSE);
    free(text);
}

static void assert_question(struct str user, const char *expected) {
    const struct scanner_question question = { .size = 4711, .user = user };
    struct buf out = { .max = 4096 };

    assert_int_equal(spamd_protocol.put_begin(&out, &question, true), 0);
    assert_true(str_eq(buf_str(&out), str_of(expected)));
    buf_deinit(&out);
}

static void questions(void **state) {
    const char *without = "SYMBOLS SPAMC/1.5\r\nContent-length: 4711\r\n\r\n";
    char longest[SPAMD_USER_MAX + 2];
    struct buf out = { .max = 4096 };

    assert_question(STR("d.example"), "SYMBOLS SPAMC/1.5\r\nUser: d.example\r\nContent-length: 4711\r\n\r\n");
    assert_question(STR("D.Example"), "SYMBOLS SPAMC/1.5\r\nUser: d.example\r\nContent-length: 4711\r\n\r\n");
    assert_question(STR(""), without);
    assert_question(STR("a\r\nb"), without);
    assert_question(STR("../a"), without);
    assert_question(STR("a b"), without);
    assert_question(STR("d\xC3\xBC.example"), without);
    memset(longest, 'a', sizeof(longest));
    assert_question((struct str){ longest, SPAMD_USER_MAX + 1 }, without);
    assert_int_equal(spamd_protocol.put_begin(&out, NULL, true), 0);
    assert_true(str_eq(buf_str(&out), STR("PING SPAMC/1.5\r\n\r\n")));
    buf_deinit(&out);
}

static void lessons(void **state) {
    struct buf out = { .max = 4096 };

    assert_int_equal(spamd_put_tell(STR("D.example"), 12, true, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("TELL SPAMC/1.5\r\nUser: d.example\r\nContent-length: 12\r\n"
                                          "Message-class: spam\r\nSet: local\r\n\r\n")));
    buf_clear(&out);
    assert_int_equal(spamd_put_tell(STR("../d"), 0, false, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("TELL SPAMC/1.5\r\nContent-length: 0\r\nMessage-class: ham\r\n"
                                          "Set: local\r\n\r\n")));
    out.max = 20;
    buf_clear(&out);
    assert_int_equal(spamd_put_tell(STR(""), 0, false, &out), -ENOBUFS);
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        { "a verdict is believed when all of it is there", a_verdict, NULL, NULL, NULL },
        { "scores are thousandths, of either sign", scores, NULL, NULL, NULL },
        { "what is no score is nonsense", what_is_no_verdict, NULL, NULL, NULL },
        { "what is no answer is nonsense", what_is_nonsense, NULL, NULL, NULL },
        { "a refusal is whole with its first line, and PONG too", refusals, NULL, NULL, NULL },
        { "an answer without an end is none", an_endless_answer_is_none, NULL, NULL, NULL },
        { "a question says the exact length, and a user that can be one", questions, NULL, NULL, NULL },
        { "a lesson says of what user, and as what", lessons, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
