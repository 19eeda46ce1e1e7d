/*
 * Which files are found in a message: a table of messages with what is told of each, the same in any slices; and that
 * nothing a sender can write makes it grow or lose its way.
 */
#include "mime/walker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MULTI "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
#define HEAD "Content-Disposition: attachment; "
#define MZ64 "TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
/* a ZIP of the empty files a.js and b/c.txt */
#define ZIP64 \
    "UEsDBBQAAAAAAAAAIQAAAAAAAAAAAAAAAAAEAAAAYS5qc1BLAwQUAAAAAAAAACEAAAAAAAAAAAAA\r\n" \
    "AAAABwAAAGIvYy50eHRQSwECFAMUAAAAAAAAACEAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAgAEA\r\n" \
    "AAAAYS5qc1BLAQIUAxQAAAAAAAAAIQAAAAAAAAAAAAAAAAAHAAAAAAAAAAAAAACAASIAAABiL2Mu\r\n" \
    "dHh0UEsFBgAAAAACAAIAZwAAAEcAAAAAAA==\r\n"

struct seen {
    char text[8192];
    size_t len;
    unsigned n;
};

/* "name|type|kind" a line; "archive/name" inside of one. */
static void on_file(void *arg, const struct mime_file *file) {
    struct seen *seen = arg;
    seen->n++;
    if (seen->len > sizeof(seen->text) - 700)
        return;
    seen->len += (size_t)snprintf(seen->text + seen->len, sizeof(seen->text) - seen->len, "%.*s%s%.*s|%.*s|%s%s\n",
                                  STR_ARG(file->archive), file->archive.at != NULL ? "/" : "", STR_ARG(file->name),
                                  STR_ARG(file->type), file_kind_name(file->kind), file->is_encrypted ? " locked" : "");
}

static enum mime_trouble walk(const char *text, size_t len, size_t piece, struct seen *seen) {
    struct walker *w = walker_new(on_file, seen);
    *seen = (struct seen){ .len = 0 };
    for (size_t at = 0; at < len; at += piece)
        walker_feed(w, text + at, len - at < piece ? len - at : piece);
    enum mime_trouble trouble = walker_end(w);
    walker_free(w);
    return trouble;
}

static const struct mail {
    const char *name, *text, *files;
} mails[] = {
    { "plain text", "Subject: x\r\n\r\ntext\r\n", "||unknown\n" },
    { "no body", "Subject: x\r\n", "||unknown\n" },
    { "nothing", "", "||unknown\n" },
    { "a file by its disposition", "Content-Type: application/pdf\r\n" HEAD "filename=a.pdf\r\n\r\n%PDF-1.4\r\n",
      "a.pdf|application/pdf|PDF\n" },
    { "a file by its type", "Content-Type: application/x; name=\"a b.exe\"\r\n\r\nMZ\r\n",
      "a b.exe|application/x|Windows program\n" },
    { "two names that differ", "Content-Type: a/b; name=x.txt\r\n" HEAD "filename=x.exe\r\n\r\n",
      "x.exe|a/b|unknown\nx.txt|a/b|unknown\n" },
    { "base64", HEAD "filename=a.txt\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" MZ64,
      "a.txt||Windows program\n" },
    { "quoted-printable", HEAD "filename=a\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=4D=\r\n=5a\r\n",
      "a||Windows program\n" },
    { "parts", MULTI "preamble\r\n--b\r\n\r\ntext\r\n--b\r\n" HEAD "filename=a.exe\r\n\r\nMZ\r\n--b--\r\nepilogue",
      "||unknown\na.exe||Windows program\n" },
    { "parts in parts", MULTI "--b\r\nContent-Type: multipart/alternative; boundary=\"in b\"\r\n\r\n--in b\r\n"
      "Content-Type: text/html\r\n\r\n<html>\r\n--in b--\r\n--b\r\n" HEAD "filename=z\r\n\r\n--b--\r\n",
      "|text/html|HTML\nz||unknown\n" },
    { "the inner end is missing", MULTI "--b\r\nContent-Type: multipart/x; boundary=c\r\n\r\n--c\r\n"
      HEAD "filename=in\r\n\r\n\r\n--b\r\n" HEAD "filename=out\r\n\r\n", "in||unknown\nout||unknown\n" },
    { "a boundary that begins another", MULTI "--b\r\nContent-Type: multipart/x; boundary=bb\r\n\r\n--bb\r\n"
      HEAD "filename=in\r\n\r\n--bb--\r\n--b--\r\n", "in||unknown\n" },
    { "blanks behind a boundary", MULTI "--b \t \r\n" HEAD "filename=a\r\n\r\n--b-- \r\n--b\r\n" HEAD
      "filename=no\r\n\r\n", "a||unknown\n" },
    { "no boundary: dashes in the text", MULTI "--b\r\n\r\n--bx\r\n-- \r\n---b\r\n --b\r\n--b--\r\n", "||unknown\n" },
    { "a message in a message", "Content-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/x;\r\n"
      " boundary=b\r\n\r\n--b\r\n" HEAD "filename=a.exe\r\n\r\n--b--\r\n", "a.exe||unknown\n" },
    { "a digest", "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: a\r\n" HEAD
      "filename=a.exe\r\n\r\nx\r\n--b--\r\n", "a.exe||unknown\n" },
    { "uuencode in text", "Subject: x\r\n\r\nHello\r\nbegin 644 a b.exe\r\nM35I0\r\nend\r\n",
      "a b.exe||unknown\n||unknown\n" },
    { "no uuencode", "Subject: x\r\n\r\nbegin with this\r\nbegin 644\r\nbeginning\r\n", "||unknown\n" },
    { "a ZIP", HEAD "filename=p.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" ZIP64,
      "p.zip/a.js||unknown\np.zip/b/c.txt||unknown\np.zip/a.js||unknown\np.zip/b/c.txt||unknown\np.zip||ZIP\n" },
    { "a ZIP without a name",
      "Content-Transfer-Encoding: base64\r\n\r\nUEsDBAoAAQAAAAAAIQAAAAAAAAAAAAAAAAAEAAAAYS5qcw==",
      "a ZIP without a name/a.js||unknown locked\n||ZIP\n" },
    /* names */
    { "RFC 2231", HEAD "filename*=utf-8'en'%61%2eexe\r\n\r\n", "a.exe||unknown\n" },
    { "RFC 2231 in pieces", HEAD "filename*1=\".e\"; filename*0*=''%61; filename*2=xe\r\n\r\n", "a.exe||unknown\n" },
    { "both ways", HEAD "filename=a.txt; filename*=''a.exe\r\n\r\n", "a.exe||unknown\n" },
    { "encoded words", HEAD "filename=\"=?utf-8?B?YS5l?= =?utf-8?q?x=65?=\"\r\n\r\n", "a.exe||unknown\n" },
    { "half an encoded word", HEAD "filename=\"=?utf-8?B?YS5l\"\r\n\r\n", "=?utf-8?B?YS5l||unknown\n" },
    { "escapes", HEAD "filename=\"a\\\".e\\xe\"\r\n\r\n", "a\".exe||unknown\n" },
    { "a quote without an end", HEAD "filename=\"a.exe\r\n\r\n", "a.exe||unknown\n" },
    { "blanks without quotes", HEAD "filename=a b.exe ; x=y\r\n\r\n", "a b.exe||unknown\n" },
    { "paths", HEAD "filename=\"C:\\\\x\\\\a.exe\"\r\n\r\n", "a.exe||unknown\n" },
    { "dots and blanks at the end", HEAD "filename=\"a.exe. . \"\r\n\r\n", "a.exe||unknown\n" },
    { "folded", "Content-Disposition:\r\n attachment;\r\n\tfilename=\r\n a.exe\r\n\r\n", "a.exe||unknown\n" },
    { "the first counts", HEAD "filename=a.exe\r\n" HEAD "filename=b.txt\r\n\r\n", "a.exe||unknown\n" },
    { "any case", "CONTENT-disposition: X; FileName=a.exe\r\n\r\n", "a.exe||unknown\n" },
    { "control characters", HEAD "filename=\"a\x01" "b\"\r\n\r\n", "a?b||unknown\n" },
    { "nothing named", HEAD "filename=\r\n\r\n", "||unknown\n" },
};

static void files_are_found_in_any_slices(void **state) {
    struct seen seen;
    for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) {
        for (size_t piece = 1; piece < 9; piece++) {
            size_t some = piece < 8 ? piece : SIZE_MAX / 2;
            assert_int_equal(walk(mails[i].text, strlen(mails[i].text), some, &seen), MIME_FINE);
            if (strcmp(seen.text, mails[i].files) != 0)
                fail_msg("%s (pieces of %zu):\n%s", mails[i].name, some, seen.text);
        }
    }
}

/* ---- bounds */

static char *big;
static size_t big_len;

static void put(const char *text) {
    size_t len = strlen(text);
    assert_true(big_len + len < 8000000);
    memcpy(big + big_len, text, len);
    big_len += len;
}

static int set_up(void **state) {
    big = malloc(8000000);
    big_len = 0;
    return big == NULL;
}

static int tear_down(void **state) {
    free(big);
    return 0;
}

static void depth_is_bounded_and_told(void **state) {
    struct seen seen;
    for (int i = 0; i < 1000; i++) {
        char part[128];
        snprintf(part, sizeof(part), "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
        put(part);
    }
    put(HEAD "filename=deep.exe\r\n\r\n");
    assert_int_equal(walk(big, big_len, 777, &seen), MIME_TOO_DEEP);
    big_len = 0;
    for (int i = 0; i < 1000; i++)
        put("Content-Type: message/rfc822\r\n\r\n");
    assert_int_equal(walk(big, big_len, 777, &seen), MIME_TOO_DEEP);
}

static void as_deep_as_may_be_is_walked(void **state) {
    struct seen seen;
    for (int i = 0; i < MIME_DEPTH_MAX; i++) {
        char part[128];
        snprintf(part, sizeof(part), "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
        put(part);
    }
    put(HEAD "filename=deep.exe\r\n\r\n");
    assert_int_equal(walk(big, big_len, 777, &seen), MIME_FINE);
    assert_string_equal(seen.text, "deep.exe||unknown\n");
}

static void parts_are_counted(void **state) {
    struct seen seen;
    for (int more = 0; more < 2; more++) {
        big_len = 0;
        put(MULTI);
        for (int i = 0; i < MIME_PARTS_MAX - 1 + more; i++) /* with the message itself */
            put("--b\r\n" HEAD "filename=a\r\n\r\nx\r\n");
        put("--b--\r\n");
        assert_int_equal(walk(big, big_len, 1000, &seen), more == 0 ? MIME_FINE : MIME_TOO_MANY_PARTS);
        assert_int_equal(seen.n, MIME_PARTS_MAX - 1);
    }
}

static void a_long_field_is_told_and_what_was_read_counts(void **state) {
    struct seen seen;
    put("Content-Disposition: attachment; filename=a.exe; x=");
    for (int i = 0; i < 100000; i++)
        put("yyyyyyyyyy");
    put("\r\n\r\n");
    assert_int_equal(walk(big, big_len, 4000, &seen), MIME_LONG_FIELD);
    assert_string_equal(seen.text, "a.exe||unknown\n");
    big_len = 0;
    put("X-Other: ");
    for (int i = 0; i < 100000; i++)
        put("yyyyyyyyyy");
    put("\r\n\r\n");
    assert_int_equal(walk(big, big_len, 4000, &seen), MIME_FINE);
}

static void a_boundary_is_at_most_70_long(void **state) {
    char boundary[80], text[512];
    struct seen seen;
    for (int len = 70; len < 72; len++) {
        memset(boundary, 'b', sizeof(boundary));
        boundary[len] = '\0';
        snprintf(text, sizeof(text), "Content-Type: multipart/x; boundary=%s\r\n\r\n--%s\r\n" HEAD
                 "filename=a\r\n\r\n--%s--\r\n", boundary, boundary, boundary);
        assert_int_equal(walk(text, strlen(text), 1000, &seen), len == 70 ? MIME_FINE : MIME_LONG_BOUNDARY);
        assert_string_equal(seen.text, len == 70 ? "a||unknown\n" : "");
    }
    static const char none[] = "Content-Type: multipart/mixed\r\n\r\n--\r\n";
    assert_int_equal(walk(none, sizeof(none) - 1, 1000, &seen), MIME_LONG_BOUNDARY);
}

/* A field in a hundred thousand pieces, each with a number: those that are too high do not count. */
static void pieces_of_a_name_are_bounded(void **state) {
    struct seen seen;
    put("Content-Disposition: attachment");
    for (int i = 0; i < 200; i++) {
        char piece[32];
        snprintf(piece, sizeof(piece), "; filename*%d=x", i);
        put(piece);
    }
    put("\r\n\r\n");
    assert_int_equal(walk(big, big_len, 4000, &seen), MIME_FINE);
    assert_string_equal(seen.text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx||unknown\n");
}

/* Whatever a ZIP says of its lengths, nothing is read beyond its end. */
static void zips_that_lie_are_survived(void **state) {
    struct seen seen;
    unsigned random = 1;
    for (int round = 0; round < 2000; round++) {
        char zip[400] = "X: y\r\n\r\nPK\x03\x04";
        for (size_t i = 12; i < sizeof(zip); i++) {
            random = random * 1103515245 + 12345;
            zip[i] = (char)(random >> 16 & (round % 3 == 0 ? 7 : 255));
            if ((random >> 8 & 63) == 0 && i + 4 < sizeof(zip)) {
                memcpy(zip + i, random & 1 ? "PK\x01\x02" : "PK\x03\x04", 4);
                i += 3;
            }
        }
        for (size_t i = 8; i < sizeof(zip); i++) /* canonical text has no other line ends */
            zip[i] = zip[i] == '\r' || zip[i] == '\n' ? ' ' : zip[i];
        walk(zip, sizeof(zip), 1 + (size_t)round % 50, &seen);
    }
}

/* A name in a ZIP that is longer than what is kept: its end counts. */
static void of_a_long_name_the_end_counts(void **state) {
    static char zip[2048] = "X: y\r\n\r\nPK\x03\x04\x14";
    struct seen seen;
    memset(zip + 13, 0, 25);
    zip[8 + 26] = (char)(1000 & 255);
    zip[8 + 27] = 1000 >> 8;
    memset(zip + 38, 'n', 1000);
    memcpy(zip + 38 + 996, ".exe", 4);
    walk(zip, 38 + 1000, 100, &seen);
    assert_non_null(strstr(seen.text, "nnn.exe|"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        cmocka_unit_test(files_are_found_in_any_slices), TEST(depth_is_bounded_and_told),
        TEST(as_deep_as_may_be_is_walked),               TEST(parts_are_counted),
        TEST(a_long_field_is_told_and_what_was_read_counts), cmocka_unit_test(a_boundary_is_at_most_70_long),
        TEST(pieces_of_a_name_are_bounded),              cmocka_unit_test(zips_that_lie_are_survived),
        cmocka_unit_test(of_a_long_name_the_end_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
