/*
 * test_reply: our replies in one line, and what is made of a mailbox server's.
 */
#include "smtp/reply.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_format(unsigned code, const char *enhanced, struct str text, const char *expected) {
    struct buf out;
    buf_init(&out, 1024);
    assert_int_equal(smtp_reply_format(&(struct smtp_reply){ code, enhanced, text }, &out), 0);
    assert_true(str_eq(buf_str(&out), str_of(expected)));
    buf_deinit(&out);
}

static void a_reply_is_one_line(void **state) {
    (void)state;
    check_format(550, "5.1.1", STR("No such user"), "550 5.1.1 No such user\r\n");
    check_format(220, NULL, STR("mx.example.com ESMTP"), "220 mx.example.com ESMTP\r\n");
    check_format(250, "2.0.0", STR(""), "250 2.0.0\r\n");
    check_format(354, "", STR("Go"), "354 Go\r\n");
    check_format(250, NULL, STR(""), "250\r\n");
    check_format(550, "5.7.1", STR("a\r\n250 b\0\x7f\xc3\xa4~"), "550 5.7.1 a??250 b????~\r\n");
}

static void a_reply_is_cut_to_512_bytes(void **state) {
    (void)state;
    char text[600];
    memset(text, 'x', sizeof(text));
    for (size_t n = 500; n <= sizeof(text); n += 50) { /* with 500 it fits exactly */
        struct buf out;
        buf_init(&out, 1024);
        assert_int_equal(smtp_reply_format(&(struct smtp_reply){ 550, "5.1.1", { text, n } }, &out), 0);
        assert_int_equal(out.len, SMTP_REPLY_LINE_MAX);
        assert_memory_equal(out.at + out.len - 3, "x\r\n", 3);
        buf_deinit(&out);
    }
    check_format(550, "5.1.1", STR("short"), "550 5.1.1 short\r\n");
}

static void a_reply_that_does_not_fit_is_not_there_at_all(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 9);
    struct smtp_reply reply = { 250, NULL, STR("Ok") };
    assert_int_equal(smtp_reply_format(&reply, &out), 0);
    assert_int_equal(smtp_reply_format(&reply, &out), -ENOBUFS);
    assert_int_equal(out.len, 8);
    buf_deinit(&out);
}

struct parsed {
    struct smtp_answer answer;
    enum smtp_answer_result result;
    size_t consumed;
};

/* One byte more arrives each time. */
static struct parsed parse(struct str text) {
    struct parsed p;
    memset(&p, 0, sizeof(p));
    for (size_t arrived = 0; arrived <= text.len && p.result == SMTP_ANSWER_MORE; arrived++) {
        size_t consumed;
        p.result = smtp_answer_parse(&p.answer, text.at + p.consumed, arrived - p.consumed, &consumed, NULL, NULL);
        p.consumed += consumed;
    }
    return p;
}

static void an_answer_is_code_enhanced_code_and_text(void **state) {
    (void)state;
    static const struct {
        const char *in;
        unsigned code;
        const char *enhanced, *text;
    } rows[] = {
        { "250 2.0.0 Ok: queued\r\n", 250, "2.0.0", "Ok: queued" },
        { "250 Ok\n", 250, "", "Ok" },
        { "250\r\n", 250, "", "" },
        { "250 \r\n", 250, "", "" },
        { "550-5.1.1 No such user\r\n550-\r\n550 5.1.1 See elsewhere\r\n", 550, "5.1.1",
        "No such user; See elsewhere" },
        { "550-No\r\n550 5.7.1 Way\r\n", 550, "5.7.1", "No; Way" },
        { "450 5.1.1 Odd\r\n", 450, "", "Odd" },
        { "550 5.1 Short\r\n", 550, "", "5.1 Short" },
        { "550 5.1234.1 Long\r\n", 550, "", "5.1234.1 Long" },
        { "550 5.999.999\r\n", 550, "5.999.999", "" },
        { "550 5.1.1: x\r\n", 550, "", "5.1.1: x" },
        { "550 a\x01\x1b[31m\xc3\xa4 b\rc\r\n", 550, "", "a??[31m?? b?c" },
        { "599 x\r\n", 599, "", "x" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed p = parse(str_of(rows[i].in));
        assert_int_equal(p.result, SMTP_ANSWER_COMPLETE);
        assert_int_equal(p.consumed, strlen(rows[i].in));
        assert_int_equal(p.answer.code, rows[i].code);
        assert_string_equal(p.answer.enhanced, rows[i].enhanced);
        assert_string_equal(p.answer.text, rows[i].text);
        assert_int_equal(p.answer.text_len, strlen(rows[i].text));
    }
}

static void only_one_answer_is_taken_at_a_time(void **state) {
    (void)state;
    struct parsed p = parse(STR("250 a\r\n354 b\r\n"));
    assert_int_equal(p.consumed, 7);
    struct smtp_answer answer = { .code = 0 };
    size_t consumed;
    struct str two = STR("250 a\r\n354 b\r\n");
    assert_int_equal(smtp_answer_parse(&answer, two.at, two.len, &consumed, NULL, NULL), SMTP_ANSWER_COMPLETE);
    assert_int_equal(consumed, 7);
    assert_int_equal(answer.code, 250);
}

static void an_answer_that_is_none_is_nonsense(void **state) {
    (void)state;
    static const char *const rows[] = {
        "\r\n", "25\r\n", "2500 x\r\n", "250x\r\n", "150 x\r\n", "600 x\r\n", "2x0 x\r\n", "Hello\r\n", " 250 x\r\n",
        "-250 x\r\n",
        "250-a\r\n251 b\r\n", "250-a\r\nb\r\n", "HTTP/1.1 400 Bad\r\n", "250\tx\r\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed p = parse(str_of(rows[i]));
        if (p.result != SMTP_ANSWER_NONSENSE)
            fail_msg("%s: %d", rows[i], p.result);
    }
    assert_int_equal(parse(STR("250-a\r\n250")).result, SMTP_ANSWER_MORE);
}

static void a_line_of_more_than_2048_bytes_counts_by_its_beginning(void **state) {
    (void)state;
    char line[5000] = "250 2.0.0 ";
    memset(line + 10, 'x', sizeof(line) - 10);
    static const size_t lengths[] = { 2047, 2048, 2049, 2050, 4096, 4097, 4999 };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memcpy(line + lengths[i] - 2, "\r\n", 2);
        struct parsed p = parse((struct str){ line, lengths[i] });
        assert_int_equal(p.result, SMTP_ANSWER_COMPLETE);
        assert_int_equal(p.consumed, lengths[i]);
        assert_int_equal(p.answer.code, 250);
        assert_string_equal(p.answer.enhanced, "2.0.0");
        assert_int_equal(p.answer.text_len, SMTP_ANSWER_TEXT_MAX - 1);
        memset(line + lengths[i] - 2, 'x', 2);
    }
}

static void what_stands_behind_a_line_that_is_too_long_is_the_next_answer(void **state) {
    (void)state;
    char text[6000] = "250-";
    memset(text + 4, 'x', 3000);
    strcpy(text + 3004, "\r\n250 b\r\n354 c\r\n");
    struct parsed p = parse(str_of(text));
    assert_int_equal(p.result, SMTP_ANSWER_COMPLETE);
    assert_int_equal(p.consumed, strlen(text) - 7);
    assert_int_equal(p.answer.lines, 2);
}

static void an_answer_may_have_many_lines(void **state) {
    (void)state;
    static char text[20000 * 7 + 1];
    for (size_t i = 0; i < 20000; i++)
        memcpy(text + 7 * i, i + 1 < 20000 ? "250-x\r\n" : "250 x\r\n", 7);
    struct parsed p = parse(str_of(text));
    assert_int_equal(p.result, SMTP_ANSWER_COMPLETE);
    assert_int_equal(p.answer.lines, 20000);
}

static void an_answer_without_end_is_nonsense_after_a_mebibyte(void **state) {
    (void)state;
    char piece[1024] = "250 ";
    struct smtp_answer answer = { .code = 0 };
    enum smtp_answer_result result = SMTP_ANSWER_MORE;
    size_t consumed, total = 0;
    memset(piece + 4, 'x', sizeof(piece) - 4);
    char begin[2048];
    memset(begin, 'x', sizeof(begin));
    memcpy(begin, "250 ", 4);
    result = smtp_answer_parse(&answer, begin, sizeof(begin), &consumed, NULL, NULL);
    for (total = consumed; result == SMTP_ANSWER_MORE; total += consumed)
        result = smtp_answer_parse(&answer, piece, sizeof(piece), &consumed, NULL, NULL);
    assert_int_equal(result, SMTP_ANSWER_NONSENSE);
    assert_int_equal(total, SMTP_ANSWER_BYTES_MAX + 1024);
}

static void an_answer_whose_end_was_lost_counts_when_its_code_is_whole(void **state) {
    (void)state;
    static const struct {
        const char *rest;
        unsigned code;
    } rows[] = {
        { "250 2.0.0 Ok", 250 }, { "250 ", 250 }, { "550 5.7.1 No\r", 550 }, { "250", 0 }, { "250-more", 0 },
        { "25", 0 }, { "", 0 }, { "what?", 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_answer answer = { .code = 0 };
        assert_int_equal(smtp_answer_end(&answer, str_of(rows[i].rest)), rows[i].code != 0);
        if (rows[i].code != 0)
            assert_int_equal(answer.code, rows[i].code);
    }
    struct smtp_answer other = { .code = 250, .lines = 1 };
    assert_false(smtp_answer_end(&other, STR("550 x")));
    struct smtp_answer cut = { .code = 250, .lines = 1, .is_cut = true, .is_cut_last = true };
    assert_true(smtp_answer_end(&cut, STR("")));
}

static void on_line(void *arg, unsigned index, struct str text) {
    if (index > 0)
        smtp_offer_add(arg, text);
}

static void ehlo_lines_make_an_offer(void **state) {
    (void)state;
    struct str text = STR("250-mx.example.com PIPELINING\r\n250-size 52428800\r\n250-8BITMIME\r\n250-DSN\r\n"
                          "250-SMTPUTF8\r\n"
                          "250-CHUNKING\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250-X-UNKNOWN y\r\n"
                          "250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\r\n250-LIMITS RCPTMAX=100\r\n"
                          "250 XCLIENT NAME ADDR LOGIN\r\n");
    struct smtp_offer offer = { .extensions = 0 };
    struct smtp_answer answer = { .code = 0 };
    size_t consumed;
    assert_int_equal(smtp_answer_parse(&answer, text.at, text.len, &consumed, on_line, &offer), SMTP_ANSWER_COMPLETE);
    assert_int_equal(offer.extensions, 0x7ff & ~SMTP_EXT_PIPELINING); /* the first line is a greeting */
    assert_int_equal(offer.size, 52428800);
    assert_int_equal(offer.xforward, 0x7f);
    assert_int_equal(offer.xclient, SMTP_FORWARD_NAME | SMTP_FORWARD_ADDR);
}

static void a_size_that_names_no_limit_is_none(void **state) {
    (void)state;
    static const struct {
        const char *line;
        uint64_t size;
    } rows[] = { { "SIZE", 0 }, { "SIZE 0", 0 }, { "SIZE x", 0 }, { "SIZE 10", 10 },
        { "SIZE 99999999999999999999999", UINT64_MAX } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_offer offer = { .size = 1 };
        smtp_offer_add(&offer, str_of(rows[i].line));
        assert_true(offer.size == rows[i].size);
        assert_int_equal(offer.extensions, SMTP_EXT_SIZE);
    }
    struct smtp_offer offer = { .size = 0 };
    smtp_offer_add(&offer, STR(""));
    smtp_offer_add(&offer, STR("SIZED 5"));
    assert_int_equal(offer.extensions, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_one_line),
        cmocka_unit_test(a_reply_is_cut_to_512_bytes),
        cmocka_unit_test(a_reply_that_does_not_fit_is_not_there_at_all),
        cmocka_unit_test(an_answer_is_code_enhanced_code_and_text),
        cmocka_unit_test(only_one_answer_is_taken_at_a_time),
        cmocka_unit_test(an_answer_that_is_none_is_nonsense),
        cmocka_unit_test(a_line_of_more_than_2048_bytes_counts_by_its_beginning),
        cmocka_unit_test(what_stands_behind_a_line_that_is_too_long_is_the_next_answer),
        cmocka_unit_test(an_answer_may_have_many_lines),
        cmocka_unit_test(an_answer_without_end_is_nonsense_after_a_mebibyte),
        cmocka_unit_test(an_answer_whose_end_was_lost_counts_when_its_code_is_whole),
        cmocka_unit_test(ehlo_lines_make_an_offer),
        cmocka_unit_test(a_size_that_names_no_limit_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
