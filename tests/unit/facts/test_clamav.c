/*
 * Tests of facts/clamav.c: what is said to clamd, and what its answers mean.
 */
#include "facts/clamav.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* With the NUL at its end. */
static enum scanner_answer read_line(const char *line, uint32_t number, struct scanner_reply *reply) {
    size_t used = 0, len = strlen(line) + 1;
    enum scanner_answer answer = clamd_read((struct str){ line, len }, number, &used, reply);

    assert_int_equal(used, len);
    return answer;
}

static void assert_found(const char *line, const char *name) {
    struct scanner_reply reply;

    assert_int_equal(read_line(line, 1, &reply), SCANNER_VERDICT);
    assert_int_equal(reply.is_found, name[0] != '\0');
    assert_int_equal(reply.text.len, strlen(name));
    assert_memory_equal(reply.text.at ? reply.text.at : "", name, strlen(name));
}

static void verdicts(void **state) {
    assert_found("1: stream: OK", "");
    assert_found("1: stream: Eicar-Test-Signature FOUND", "Eicar-Test-Signature");
    assert_found("1: stream: OK FOUND", "OK"); /* a signature may be called anything */
    assert_found("1: stream: a b FOUND", "a b");
    assert_found("1: stream: a: FOUND FOUND", "a: FOUND");
    assert_found("1: stream: 2: stream: OK FOUND", "2: stream: OK");
    assert_found("1: stream: a\r\n\x01 FOUND", "a\r\n\x01");
}

static void errors(void **state) {
    struct scanner_reply reply;

    assert_int_equal(read_line("1: INSTREAM size limit exceeded. ERROR", 1, &reply), SCANNER_TOO_LARGE);
    assert_int_equal(read_line("1: stream: Can't allocate memory ERROR", 1, &reply), SCANNER_FAILED);
    assert_true(str_eq(reply.text, STR("stream: Can't allocate memory")));
    assert_int_equal(read_line("1: INSTREAM: Can't write to temporary file. ERROR", 1, &reply), SCANNER_FAILED);
    assert_int_equal(read_line("1: stream: OK ERROR", 1, &reply), SCANNER_FAILED);
}

static void what_is_no_answer(void **state) {
    static const char *const lines[] = {
        "", "OK", "stream: OK", "1 stream: OK", "1:stream: OK", "1: OK", "1: stream: ok?", "1: stream: ", "1: stream:",
        "1: stream: FOUND", "1: stream:  FOUND", "1: stream: OK ", "2: stream: OK", "0: stream: OK", "-1: stream: OK",
        "4294967297: stream: OK", "1: PONG", "1: UNKNOWN COMMAND", "COMMAND READ TIMED OUT", "1: stream: OK\n",
    };
    struct scanner_reply reply;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (read_line(lines[i], 1, &reply) != SCANNER_NONSENSE)
            fail_msg("'%s' was taken for an answer", lines[i]);
}

static void an_answer_is_whole_with_its_nul(void **state) {
    const struct str in = STR("7: stream: Name FOUND\0008: stream: OK");
    struct scanner_reply reply;
    size_t used = 99;
    size_t end = str_find(in, '\0');

    for (size_t len = 0; len <= end; len++)
        assert_int_equal(clamd_read(str_head(in, len), 7, &used, &reply), SCANNER_MORE);
    assert_int_equal(used, 99);
    assert_int_equal(clamd_read(in, 7, &used, &reply), SCANNER_VERDICT);
    assert_int_equal(used, end + 1);
}

static void an_endless_answer_is_none(void **state) {
    char text[CLAMD_ANSWER_MAX];
    struct scanner_reply reply;
    size_t used;

    memset(text, 'a', sizeof(text));
    assert_int_equal(clamd_read((struct str){ text, sizeof(text) - 1 }, 1, &used, &reply), SCANNER_MORE);
    assert_int_equal(clamd_read((struct str){ text, sizeof(text) }, 1, &used, &reply), SCANNER_NONSENSE);
}

static void questions(void **state) {
    const struct scanner_question question = { .size = 5 };
    struct buf out = { .max = 4096 };

    assert_int_equal(clamd_protocol.put_begin(&out, &question, true), 0);
    assert_int_equal(clamd_protocol.put_piece(&out, 0x01020304), 0);
    assert_int_equal(clamd_protocol.put_end(&out), 0);
    assert_true(str_eq(buf_str(&out), STR("zIDSESSION\0zINSTREAM\0\001\002\003\004\0\0\0\0")));
    buf_clear(&out);
    assert_int_equal(clamd_protocol.put_begin(&out, &question, false), 0);
    assert_true(str_eq(buf_str(&out), STR("zINSTREAM\0")));
    out.max = out.cap = out.len;
    assert_int_equal(clamd_protocol.put_end(&out), -ENOBUFS);
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        { "clean and infected are told apart, whatever the signature is called", verdicts, NULL, NULL, NULL },
        { "clamd's own limit is told from its other errors", errors, NULL, NULL, NULL },
        { "what is not an answer to this question is nonsense", what_is_no_answer, NULL, NULL, NULL },
        { "an answer is whole when its NUL has come", an_answer_is_whole_with_its_nul, NULL, NULL, NULL },
        { "an answer without an end is none", an_endless_answer_is_none, NULL, NULL, NULL },
        { "a question opens the session once, and says the length of each piece", questions, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
