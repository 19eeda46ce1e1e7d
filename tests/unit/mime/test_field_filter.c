/*
 * Which fields go on: a table of headers in and out, and that neither slices nor lengths change anything.
 */
#include "mime/field_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LONG_VALUE "12345678901234567890123456789012345678123456789012345678901234567890123456789012345678901234567890"

#define CONTROLS16 "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
#define CONTROLS64 CONTROLS16 CONTROLS16 CONTROLS16 CONTROLS16
#define CONTROLS CONTROLS64 CONTROLS64 CONTROLS64 CONTROLS64
#define UMLAUTS16 "\xc3\xa4\xc3\xb6 \xc3\xa4\xc3\xb6 \xc3\xa4\xc3\xb6 \xc3\xa4\xc3\xb6 "
#define UMLAUTS UMLAUTS16 UMLAUTS16 UMLAUTS16 UMLAUTS16 UMLAUTS16 UMLAUTS16

static const struct field_edit edit = { .authserv_id = STR_INIT("mx.example.com") };
static const struct field_edit tagging = { .authserv_id = STR_INIT("mx.example.com"),
                                           .subject_tag = STR_INIT("[SPAM] "),
                                           .subject_fold = STR_INIT("[SPAM]\r\n "),
                                           .subject = STR_INIT("Subject: [SPAM]\r\n") };

static const struct header {
    const char *name, *in, *out; /* in `out`, NULL: as it came */
} headers[] = {
    { "nothing of ours", "From: a@b\r\nSubject: x\r\n\r\ntext", NULL },
    { "no header", "\r\nX-Spam-Flag: NO\r\n", NULL },
    { "nothing at all", "", NULL },
    { "a header without an end", "From: a@b\r\n", NULL },
    { "half a line", "From: a", NULL },
    { "a field of ours", "X-Spam-Flag: NO\r\nFrom: a@b\r\n\r\n", "From: a@b\r\n\r\n" },
    { "the last one", "From: a@b\r\nX-Spam-Flag: NO\r\n\r\ntext", "From: a@b\r\n\r\ntext" },
    { "the only one", "X-Spam-Flag: NO\r\n\r\ntext", "\r\ntext" },
    { "without the end of the header", "X-Spam-Flag: NO\r\n", "" },
    { "without the end of the line", "X-Spam-Flag: NO", "" },
    { "all kinds", "X-Virus-Status: Clean\r\nX-Spam-Score: 1\r\nX-Postern-Tag: A\r\nX-Virus-Scanned: y\r\nA: b\r\n\r\n",
      "A: b\r\n\r\n" },
    { "any case", "x-SPAM-fLAG: NO\r\nA: b\r\n\r\n", "A: b\r\n\r\n" },
    { "blanks before the colon", "X-Spam-Flag \t: NO\r\nA: b\r\n\r\n", "A: b\r\n\r\n" },
    { "folded", "X-Spam-Flag: NO\r\n\tX-Spam: a\r\n  b\r\nA: b\r\n\r\n", "A: b\r\n\r\n" },
    { "another's folds stay", "A: b\r\n X-Spam-Flag: NO\r\n\tc\r\nX-Spam-Flag: NO\r\n\r\n",
      "A: b\r\n X-Spam-Flag: NO\r\n\tc\r\n\r\n" },
    { "a blank in front of the first one", " X-Spam-Flag: NO\r\n NO\r\nA: b\r\n\r\n", "A: b\r\n\r\n" },
    { "a control character in front", "A: b\r\n\x01X-Spam-Flag: NO\r\n\x7fX-Virus-Status: Clean\r\n\r\n",
      "A: b\r\n\r\n" },
    { "control characters inside", "X-\x08Spam\x02-Flag\x03: NO\r\nA: b\r\n\r\n", "A: b\r\n\r\n" },
    { "a vertical tab and a form feed", "\v\fX-Spam-Flag: NO\r\n\r\n", "\r\n" },
    { "a byte order mark", "\xef\xbb\xbfX-Spam-Flag: NO\r\n\r\n", "\r\n" },
    { "a blank inside", "X-Spam -Flag: NO\r\n\r\n", "\r\n" },
    { "hidden behind many control characters", CONTROLS CONTROLS CONTROLS "X-Spam-Flag: NO\r\nA: b\r\n\r\n",
      "A: b\r\n\r\n" },
    { "with many control characters inside", "X-S" CONTROLS CONTROLS CONTROLS "pam-Flag: NO\r\nA: b\r\n\r\n",
      "A: b\r\n\r\n" },
    { "a long line that is no field", "x" LONG_VALUE LONG_VALUE LONG_VALUE LONG_VALUE LONG_VALUE LONG_VALUE "\r\n",
      NULL },
    { "a long text without a field", UMLAUTS UMLAUTS UMLAUTS UMLAUTS UMLAUTS UMLAUTS "\r\n", NULL },
    { "our results under a name with a control character",
      "\x01" "Authentication-\x02Results: mx.example.com; spf=pass\r\n\r\n", "\r\n" },
    { "our results with a control character in our name",
      "Authentication-Results: \x01mx.\x02" "example.com\x03; spf=pass\r\n\r\n", "\r\n" },
    { "similar names", "X-Spammer: x\r\nX-Spam: y\r\nMy-X-Spam-Flag: NO\r\nX-Virusfree: z\r\n\r\n", NULL },
    { "a line that is no field", "X-Spam-Flag NO\r\nA: b\r\n\r\n", NULL },
    { "in the text", "A: b\r\n\r\nX-Spam-Flag: NO\r\n", NULL },
    { "our results", "Authentication-Results: mx.example.com; spf=pass\r\nA: b\r\n\r\n", "A: b\r\n\r\n" },
    { "ours alone", "Authentication-Results: mx.example.com\r\n\r\n", "\r\n" },
    { "ours with a version", "authentication-results:mx.example.com 1; none\r\n\r\n", "\r\n" },
    { "ours in capitals", "Authentication-Results: MX.Example.COM; none\r\n\r\n", "\r\n" },
    { "ours quoted", "Authentication-Results: \"mx.example.com\"; none\r\n\r\n", "\r\n" },
    { "ours escaped", "Authentication-Results: \"mx\\.example.com\"; none\r\n\r\n", "\r\n" },
    { "ours behind folds and comments", "Authentication-Results:\r\n (a (b\\) c))\r\n mx.example.com; none\r\n\r\n",
      "\r\n" },
    { "somebody's results", "Authentication-Results: mx.example.net; spf=pass\r\n\r\n", NULL },
    { "of a longer name", "Authentication-Results: mx.example.com.evil; spf=pass\r\n\r\n", NULL },
    { "of a shorter name", "Authentication-Results: mx.example.co; spf=pass\r\n\r\n", NULL },
    { "a comment that does not end", "Authentication-Results: (a\r\nB: c) d\r\n\r\n", "B: c) d\r\n\r\n" },
    { "hidden behind a long comment",
      "Authentication-Results: (" LONG_VALUE LONG_VALUE LONG_VALUE LONG_VALUE LONG_VALUE ") mx.example.com\r\n\r\n",
      "\r\n" },
};

/* With a piece at a time of `piece` bytes; 0: all that there is. */
static void filter(const struct field_edit *how, const char *in, size_t piece, char *out, size_t size) {
    struct field_filter filter;
    size_t at = 0, len = strlen(in), n = 0;
    field_filter_init(&filter, how);
    for (;;) {
        struct str insert;
        size_t insert_at, left = len - at, from = at;
        enum field_fate fate = field_filter_begin(&filter, in + at, left < FIELD_PEEK ? left : FIELD_PEEK, &insert_at,
                                                  &insert);
        if (fate == FIELD_TEXT) {
            n += (size_t)snprintf(out + n, size - n, "%.*s%s", STR_ARG(insert), in + at);
            return;
        }
        for (size_t used = 0, given = 0; used == given && at < len; at += used) {
            given = piece == 0 || piece > len - at ? len - at : piece;
            used = field_filter_span(&filter, in + at, given);
            assert_true(used <= given);
        }
        if (fate == FIELD_KEPT)
            n += (size_t)snprintf(out + n, size - n, "%.*s%.*s%.*s", (int)insert_at, in + from, STR_ARG(insert),
                                  (int)(at - from - insert_at), in + from + insert_at);
    }
}

static void fields_that_claim_to_be_ours_are_dropped(void **state) {
    static char out[4096];
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        for (size_t piece = 0; piece < 5; piece++) {
            out[0] = '\0';
            filter(&edit, headers[i].in, piece, out, sizeof(out));
            if (strcmp(out, headers[i].out != NULL ? headers[i].out : headers[i].in) != 0)
                fail_msg("%s (pieces of %zu): %s", headers[i].name, piece, out);
        }
    }
}

/* Which a string cannot show. */
static void a_nul_hides_no_field_of_ours(void **state) {
    static const char first[] = "\0X-Spam-Flag: NO\r\n", inside[] = "X-Virus\0-Status: Clean\r\n";
    static char many[FIELD_PEEK];
    struct field_filter filter;
    struct str insert;
    size_t at;
    field_filter_init(&filter, &edit);
    assert_int_equal(field_filter_begin(&filter, first, sizeof(first) - 1, &at, &insert), FIELD_DROPPED);
    assert_int_equal(field_filter_begin(&filter, inside, sizeof(inside) - 1, &at, &insert), FIELD_DROPPED);
    assert_int_equal(field_filter_begin(&filter, many, sizeof(many), &at, &insert), FIELD_DROPPED);
}

static void every_subject_gets_the_tag(void **state) {
    static const struct header subjects[] = {
        { "one", "A: b\r\nSubject: x\r\n\r\nSubject: y\r\n", "A: b\r\nSubject: [SPAM] x\r\n\r\nSubject: y\r\n" },
        { "in odd case, with blanks", "sUBJECT \t:\tx\r\n\r\n", "sUBJECT \t:[SPAM] \tx\r\n\r\n" },
        { "eight bits", "Subject: \xe9\xff\r\n\r\n", "Subject: [SPAM] \xe9\xff\r\n\r\n" },
        { "without a blank", "subject:x\r\n\r\n", "subject:[SPAM] x\r\n\r\n" },
        { "empty", "Subject:\r\n\r\n", "Subject:[SPAM] \r\n\r\n" },
        { "folded", "Subject:\r\n x\r\n\r\n", "Subject:[SPAM] \r\n x\r\n\r\n" },
        { "an encoded word", "Subject: =?utf-8?q?x?=\r\n\r\n", "Subject: [SPAM] =?utf-8?q?x?=\r\n\r\n" },
        { "two", "Subject: x\r\nSubject: y\r\n\r\n", "Subject: [SPAM] x\r\nSubject: [SPAM] y\r\n\r\n" },
        { "in an attached message", "A: b\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\n",
          "A: b\r\nSubject: [SPAM]\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\n" },
        { "none", "A: b\r\n\r\ntext", "A: b\r\nSubject: [SPAM]\r\n\r\ntext" },
        { "no header", "\r\ntext", "Subject: [SPAM]\r\n\r\ntext" },
        { "a header without an end", "A: b\r\n", "A: b\r\nSubject: [SPAM]\r\n" },
        { "a header without an end, and a subject", "Subject: x\r\n", "Subject: [SPAM] x\r\n" },
        { "nothing at all", "", "Subject: [SPAM]\r\n" },
    };
    static char out[4096];
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        for (size_t piece = 0; piece < 5; piece++) {
            out[0] = '\0';
            filter(&tagging, subjects[i].in, piece, out, sizeof(out));
            if (strcmp(out, subjects[i].out) != 0)
                fail_msg("%s (pieces of %zu): %s", subjects[i].name, piece, out);
        }
    }
}

/* Mail clients read over blanks in front of a colon, however many. */
static void blanks_past_the_bound_hide_no_name(void **state) {
    static const struct {
        const char *name;
        bool is_dropped;
    } names[] = { { "X-Spam-Flag", true }, { "Authentication-Results", true }, { "Subject", false },
                  { "X-Other", false } };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t line = FIELD_PEEK - 20; line < 990; line += 7) {
            char in[2000], out[2000] = "", kept[2000];
            snprintf(in, sizeof(in), "%-*s: mx.example.com\r\n\tfolded\r\nA: b\r\n\r\n", (int)line, names[i].name);
            filter(&edit, in, line % 3, out, sizeof(out));
            assert_string_equal(out, names[i].is_dropped ? "A: b\r\n\r\n" : in);
            if (line < FIELD_PEEK || strcmp(names[i].name, "Subject") != 0)
                continue;
            out[0] = '\0';
            filter(&tagging, in, line % 3, out, sizeof(out));
            snprintf(kept, sizeof(kept), "%.*sSubject: [SPAM]\r\n\r\n", (int)strlen(in) - 2, in);
            assert_string_equal(out, kept);
        }
    }
}

/* A line may have 998 octets, and its last ones be taken: then the tag gets a line of its own. */
static void a_long_subject_is_folded_behind_the_tag(void **state) {
    static const struct {
        size_t len; /* of the line, without its end */
        const char *tag;
    } lines[] = { { FIELD_PEEK - 2, "[SPAM] " }, { FIELD_PEEK - 1, "[SPAM]\r\n " }, { FIELD_PEEK, "[SPAM]\r\n " },
                  { 998, "[SPAM]\r\n " } };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        for (size_t piece = 0; piece < 3; piece++) {
            char in[2000], out[2000] = "", expected[2000], value[1000];
            memset(value, 'x', sizeof(value));
            int len = (int)(lines[i].len - strlen("Subject: "));
            snprintf(in, sizeof(in), "Subject: %.*s\r\nA: b\r\n\r\n", len, value);
            snprintf(expected, sizeof(expected), "Subject: %s%.*s\r\nA: b\r\n\r\n", lines[i].tag, len, value);
            filter(&tagging, in, piece, out, sizeof(out));
            assert_string_equal(out, expected);
        }
    }
}

/* A name that would begin one of ours only past what is looked at is no name that a mail client knows. */
static void a_name_past_the_bound_is_not_ours(void **state) {
    char in[2000], out[2000] = "";
    memset(in, 'a', sizeof(in));
    memcpy(in, "X-Spam-", 7);
    strcpy(in + FIELD_PEEK, ": NO\r\n\r\n");
    filter(&edit, in, 0, out, sizeof(out));
    assert_string_equal(out, in);
    strcpy(in + FIELD_PEEK - 1, ": NO\r\n\r\n"); /* the colon is the last byte that is looked at */
    filter(&edit, in, 0, out, sizeof(out));
    assert_string_equal(out, "\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nul_hides_no_field_of_ours),
        cmocka_unit_test(fields_that_claim_to_be_ours_are_dropped),
        cmocka_unit_test(every_subject_gets_the_tag),
        cmocka_unit_test(blanks_past_the_bound_hide_no_name),
        cmocka_unit_test(a_long_subject_is_folded_behind_the_tag),
        cmocka_unit_test(a_name_past_the_bound_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
