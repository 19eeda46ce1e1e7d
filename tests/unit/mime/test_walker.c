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
#define BASE64 "Content-Transfer-Encoding: base64\r\n\r\n"
/* the first 64 bytes of a Windows program, as they may stand in text, and in base64 */
#define MZ "MZ 456789a123456789b123456789c123456789d123456789e123456789f123\0"
#define MZ64 "TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA8AAAAA==\r\n"
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

#define MAIL(name, text, files, trouble) { name, STR_INIT(text), files, trouble }
#define FINE(name, text, files) MAIL(name, text, files, MIME_FINE)

static const struct mail {
    const char *name;
    struct str text;
    const char *files;
    enum mime_trouble trouble;
} mails[] = {
    FINE("plain text", "Subject: x\r\n\r\ntext\r\n", "||unknown\n"),
    FINE("no body", "Subject: x\r\n", "||unknown\n"),
    FINE("nothing", "", "||unknown\n"),
    FINE("a file by its disposition", "Content-Type: application/pdf\r\n" HEAD "filename=a.pdf\r\n\r\n%PDF-1.4\r\n",
         "a.pdf|application/pdf|PDF\n"),
    FINE("a file by its type", "Content-Type: application/x; name=\"a b.exe\"\r\n\r\n" MZ "\r\n",
         "a b.exe|application/x|Windows program\n"),
    FINE("two names that differ", "Content-Type: a/b; name=x.txt\r\n" HEAD "filename=x.exe\r\n\r\n",
         "x.txt|a/b|unknown\nx.exe|a/b|unknown\n"),
    FINE("the same name twice", "Content-Type: a/b; name=x.txt\r\n" HEAD "filename=x.txt\r\n\r\n",
         "x.txt|a/b|unknown\n"),
    FINE("base64", HEAD "filename=a.txt\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" MZ64,
         "a.txt||Windows program\n"),
    FINE("quoted-printable", HEAD "filename=a\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=25=\r\n=50= \r\n"
         "DF-\r\n", "a||PDF\n"),
    FINE("an encoding with a comment", HEAD "filename=a.txt\r\nContent-Transfer-Encoding: (x) base64 (y)\r\n\r\n" MZ64,
         "a.txt||Windows program\n"),
    /* parts */
    FINE("parts", MULTI "preamble\r\n--b\r\n\r\ntext\r\n--b\r\n" HEAD "filename=a.exe\r\n\r\n" MZ
         "\r\n--b--\r\nepilogue", "||unknown\na.exe||Windows program\n"),
    FINE("parts in parts", MULTI "--b\r\nContent-Type: multipart/alternative; boundary=\"in b\"\r\n\r\n--in b\r\n"
         "Content-Type: text/html\r\n\r\n<html>\r\n--in b--\r\n--b\r\n" HEAD "filename=z\r\n\r\n--b--\r\n",
         "|text/html|HTML\nz||unknown\n"),
    FINE("the inner end is missing", MULTI "--b\r\nContent-Type: multipart/x; boundary=c\r\n\r\n--c\r\n"
         HEAD "filename=in\r\n\r\n\r\n--b\r\n" HEAD "filename=out\r\n\r\n", "in||unknown\nout||unknown\n"),
    FINE("a boundary that begins another", MULTI "--b\r\nContent-Type: multipart/x; boundary=bb\r\n\r\n--bb\r\n"
         HEAD "filename=in\r\n\r\n--bb--\r\n--b--\r\n", "in||unknown\n"),
    FINE("the boundary of the level above", MULTI "--b\r\n" MULTI "--b\r\n" HEAD "filename=in\r\n\r\n--b--\r\n--b\r\n"
         HEAD "filename=out\r\n\r\n--b--\r\n", "in||unknown\nout||unknown\n"),
    FINE("blanks behind a boundary", MULTI "--b \t \r\n" HEAD "filename=a\r\n\r\n--b-- \r\n", "a||unknown\n"),
    FINE("parts behind the last boundary", MULTI "--b\r\n\r\n--b--\r\n--b\r\n" HEAD "filename=a\r\n\r\n",
         "||unknown\na||unknown\n"),
    FINE("no boundary: dashes in the text", MULTI "--b\r\n\r\n--bx\r\n-- \r\n---b\r\n --b\r\n--b--\r\n", "||unknown\n"),
    FINE("a boundary like an encoded word", "Content-Type: multipart/x; boundary=\"=?x?q?b?=\"\r\n\r\n--=?x?q?b?=\r\n"
         HEAD "filename=a\r\n\r\n", "a||unknown\n"),
    FINE("a boundary in quotes that ends in a blank", "Content-Type: multipart/x; boundary=\"b \"\r\n\r\n--b\r\n"
         HEAD "filename=a\r\n\r\n", "a||unknown\n"),
    FINE("a type with blanks and comments", "Content-Type: (a) Multipart / Mixed (b); boundary=b\r\n\r\n--b\r\n"
         HEAD "filename=a\r\n\r\n", "a||unknown\n"),
    FINE("a multipart without text", MULTI "\r\n", ""),
    FINE("the head of a message that was returned", MULTI "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n"
         "Content-Type: multipart/x; boundary=c\r\n\r\n\r\n--b--\r\n", ""),
    FINE("a multipart with a name", "Content-Type: multipart/mixed; boundary=b; name=a.hta\r\n\r\n--b\r\n\r\n--b--\r\n",
         "a.hta|multipart/mixed|unknown\n||unknown\n"),
    FINE("a blank before the first field", MULTI "--b\r\n \t" HEAD "filename=a\r\n\r\n", "a||unknown\n"),
    MAIL("a boundary that never comes", "Content-Type: multipart/mixed; boundary=b (x)\r\n\r\n--b\r\n\r\nx\r\n", "",
         MIME_NO_PART),
    MAIL("an inner boundary that never comes", MULTI "--b\r\nContent-Type: multipart/x; boundary=c\r\n\r\ntext\r\n"
         "--b\r\n\r\n--b--\r\n", "||unknown\n", MIME_NO_PART),
    MAIL("no boundary", "Content-Type: multipart/mixed\r\n\r\n--\r\n", "", MIME_LONG_BOUNDARY),
    MAIL("an empty boundary", "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n", "", MIME_LONG_BOUNDARY),
    MAIL("two boundaries", "Content-Type: multipart/x; boundary=b; boundary=c\r\n\r\n--b\r\n" HEAD
         "filename=a\r\n\r\n", "a||unknown\n", MIME_CONTRADICTION),
    MAIL("two ways to write a boundary", "Content-Type: multipart/x; boundary=b; boundary*=''c\r\n\r\n--b\r\n" HEAD
         "filename=a\r\n\r\n", "a||unknown\n", MIME_CONTRADICTION),
    MAIL("two types", "Content-Type: text/plain\r\n" MULTI "--b\r\n\r\n", "|text/plain|unknown\n", MIME_CONTRADICTION),
    FINE("two types without parts", "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n",
         "|text/plain|unknown\n"),
    FINE("the same type twice", "Content-Type: multipart/mixed; boundary=b\r\n" MULTI "--b\r\n" HEAD
         "filename=a\r\n\r\n", "a||unknown\n"),
    MAIL("two encodings", "Content-Transfer-Encoding: 7bit\r\n" BASE64 MZ64, "||unknown\n", MIME_CONTRADICTION),
    FINE("two encodings that are the same",
         "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
         "||unknown\n"),
    MAIL("a name that cannot be put together", HEAD "filename*0=a; filename*0=b.exe\r\n\r\n", "a||unknown\n",
         MIME_LONG_NAME),
    /* messages in messages */
    FINE("a message in a message", "Content-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/x;\r\n"
         " boundary=b\r\n\r\n--b\r\n" HEAD "filename=a.exe\r\n\r\n--b--\r\n", "a.exe||unknown\n"),
    FINE("a message with a name", "Content-Type: message/rfc822\r\n" HEAD "filename=a.hta\r\n\r\nSubject: in\r\n\r\n",
         "a.hta|message/rfc822|unknown\n||unknown\n"),
    /* "Content-Disposition: x; filename=a.exe" CRLF CRLF "x"; and with bare line feeds */
    FINE("a message in base64", "Content-Type: message/rfc822\r\n" BASE64
         "Q29udGVudC1EaXNwb3NpdGlvbjogeDsgZmlsZW5hbWU9YS5leGUNCg0KeA==\r\n", "a.exe||unknown\n"),
    FINE("a message in base64 with bare line feeds", "Content-Type: message/rfc822\r\n" BASE64
         "Q29udGVudC1EaXNwb3NpdGlvbjogeDsgZmlsZW5hbWU9YS5leGUKCiVQREYt\r\n", "a.exe||PDF\n"),
    FINE("a message in quoted-printable, and a part behind it", MULTI "--b\r\nContent-Type: message/rfc822\r\n"
         "Content-Transfer-Encoding: quoted-printable\r\n\r\nContent-Disposition: x; file=\r\nname=3Da.exe\r\n\r\n%="
         "\r\nPDF-\r\n--b\r\n" HEAD "filename=z\r\n\r\n--b--\r\n", "a.exe||PDF\nz||unknown\n"),
    MAIL("an encoded message in an encoded message", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: "
         "quoted-printable\r\n\r\nContent-Type: message/rfc822\r\n" BASE64 "QTogYg==\r\n", "", MIME_TOO_DEEP),
    MAIL("a piece of a message", "Content-Type: message/partial; id=x; number=2; total=3\r\n\r\n",
         "|message/partial|unknown\n", MIME_FRAGMENT),
    FINE("a digest", "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: a\r\n" HEAD
         "filename=a.exe\r\n\r\nx\r\n--b--\r\n", "a.exe||unknown\n"),
    /* files in files */
    FINE("uuencode in text", "Subject: x\r\n\r\nHello\r\nbegin 644 a b.exe\r\nM35I0\r\nend\r\n",
         "a b.exe||unknown\n||unknown\n"),
    FINE("uuencode with a path and control characters", "Subject: x\r\n\r\nbegin 644 /x/a\x01.exe\0.txt\r\n",
         "a?.exe?.txt||unknown\na?.exe||unknown\n||unknown\n"),
    FINE("uuencode by base64", "Subject: x\r\n\r\nbegin-base64 644 a.exe\r\n====\r\n", "a.exe||unknown\n||unknown\n"),
    FINE("no uuencode", "Subject: x\r\n\r\nbegin with this\r\nbegin 644\r\nbeginning\r\n", "||unknown\n"),
    FINE("a ZIP", HEAD "filename=p.zip\r\n" BASE64 ZIP64,
         "p.zip/a.js||unknown\np.zip/b/c.txt||unknown\np.zip/a.js||unknown\np.zip/b/c.txt||unknown\np.zip||ZIP\n"),
    FINE("a ZIP without a name", BASE64 "UEsDBAoAAQAAAAAAIQAAAAAAAAAAAAAAAAAEAAAAYS5qcw==",
         "a ZIP without a name/a.js||unknown locked\n||ZIP\n"),
    FINE("a ZIP behind something else, by its name", HEAD "filename=p.ZIP\r\n" BASE64 "anVuayBqdW5r" ZIP64,
         "p.ZIP/a.js||unknown\np.ZIP/b/c.txt||unknown\np.ZIP/a.js||unknown\np.ZIP/b/c.txt||unknown\np.ZIP||unknown\n"),
    FINE("a ZIP behind something else, by its plain type", "Content-Type: application/zip\r\n" BASE64 "anVu"
         "UEsDBAoAAQAAAAAAIQAAAAAAAAAAAAAAAAAEAAAAYS5qcw==", "a ZIP without a name/a.js||unknown locked\n"
         "|application/zip|unknown\n"),
    FINE("a ZIP behind something else, by its type", "Content-Type: application/x-zip-compressed\r\n" BASE64 "anVu"
         "UEsDBAoAAQAAAAAAIQAAAAAAAAAAAAAAAAAEAAAAYS5qcw==", "a ZIP without a name/a.js||unknown locked\n"
         "|application/x-zip-compressed|unknown\n"),
};

static void files_are_found_in_any_slices(void **state) {
    struct seen seen;
    for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) {
        for (size_t piece = 1; piece < 9; piece++) {
            const struct mail *mail = &mails[i];
            size_t some = piece < 8 ? piece : SIZE_MAX / 2;
            enum mime_trouble trouble = walk(mail->text.at, mail->text.len, some, &seen);
            if (trouble != mail->trouble || strcmp(seen.text, mail->files) != 0)
                fail_msg("%s (pieces of %zu): '%s'\n%s", mail->name, some, mime_trouble_text(trouble), seen.text);
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
}

static void a_boundary_with_too_many_blanks_behind_is_told(void **state) {
    struct seen seen;
    for (int n = 300; n < 500; n += 100) {
        big_len = 0;
        put(MULTI "--b\r\n\r\nx\r\n--b");
        for (int i = 0; i < n; i++)
            put(" ");
        put("\r\n" HEAD "filename=a\r\n\r\n--b--\r\n");
        assert_int_equal(walk(big, big_len, 100, &seen), n == 300 ? MIME_FINE : MIME_LONG_BOUNDARY);
        assert_string_equal(seen.text, n == 300 ? "||unknown\na||unknown\n" : "||unknown\n");
    }
}

static void names_of_uuencoded_files_are_bounded_and_told(void **state) {
    struct seen seen;
    for (int n = 200; n < 500; n += 200) {
        big_len = 0;
        put("A: b\r\n\r\nbegin 644 ");
        for (int i = 0; i < n; i++)
            put("n");
        put(".exe\r\n");
        assert_int_equal(walk(big, big_len, 100, &seen), n == 200 ? MIME_FINE : MIME_LONG_NAME);
        assert_int_equal(strstr(seen.text, "nnn.exe|") != NULL, n == 200);
    }
}

/* An archive of nothing but names, and a text: what is told of them ends. */
static void names_in_archives_are_counted(void **state) {
    static const char record[] = "PK\x03\x04\x14\0\0\0\0\0\0\0\x21\0aaaa\0\0\0\0\0\0\0\0\x01\0\0\0n";
    struct seen seen;
    for (int more = 0; more < 2; more++) {
        big_len = 0;
        put("A: b\r\n\r\n");
        for (int i = 0; i < MIME_LISTED_MAX + more; i++, big_len += sizeof(record) - 1)
            memcpy(big + big_len, record, sizeof(record) - 1);
        assert_int_equal(walk(big, big_len, 1000, &seen), more == 0 ? MIME_FINE : MIME_TOO_MANY_NAMES);
        assert_int_equal(seen.n, MIME_LISTED_MAX + 1); /* and the ZIP itself */
    }
    big_len = 0;
    put("A: b\r\n\r\n");
    for (int i = 0; i < 100000; i++)
        put("begin 644 a\r\n");
    assert_int_equal(walk(big, big_len, 1000, &seen), MIME_TOO_MANY_NAMES);
}

static void control_characters_do_not_hide_a_field_about_a_part(void **state) {
    struct seen seen;
    big_len = 0;
    put("A: b\r\n\x01" "Con\x02tent-Type: application/x; name=a.exe\r\n"
        "Content\x03-Disposition: attachment; filename=b.exe\r\n\r\ntext\r\n");
    assert_int_equal(walk(big, big_len, 7, &seen), MIME_FINE);
    assert_non_null(strstr(seen.text, "a.exe|"));
    assert_non_null(strstr(seen.text, "b.exe|"));
}

/* Parts and files in encoded messages are counted with those around them. */
static void encoded_messages_have_no_count_of_their_own(void **state) {
    struct seen seen;
    for (int n = 499; n < 501; n++) { /* each a part, with one in it */
        big_len = 0;
        put(MULTI);
        for (int i = 0; i < n; i++)
            put("--b\r\nContent-Type: message/rfc822\r\n" BASE64 "QTogYgoK\r\n");
        put("--b\r\n\r\n--b--\r\n");
        assert_int_equal(walk(big, big_len, 1000, &seen), n == 499 ? MIME_FINE : MIME_TOO_MANY_PARTS);
    }
    big_len = 0;
    put(MULTI);
    for (int i = 0; i < 3; i++) {
        put("--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nA: b\r\n\r\n");
        for (int k = 0; k < MIME_LISTED_MAX / 2; k++)
            put("begin 644 a\r\n");
    }
    put("--b--\r\n");
    assert_int_equal(walk(big, big_len, 1000, &seen), MIME_TOO_MANY_NAMES);
    assert_int_equal(seen.n, MIME_LISTED_MAX + 3);
}

static void a_zip_whose_names_cannot_be_read_is_told(void **state) {
    static const char record[] = "PK\x03\x04\x14\0\0\0\0\0\0\0\x21\0aaaa\0\0\0\0\0\0\0\0\0\x7f\0\0n";
    struct seen seen;
    put("A: b\r\n\r\n");
    memcpy(big + big_len, record, sizeof(record) - 1);
    big_len += sizeof(record) - 1;
    for (int i = 0; i < 3000; i++)
        put("n");
    assert_int_equal(walk(big, big_len, 1000, &seen), MIME_ARCHIVE);
}

/* Ten thousand fields about one part, which all say the same, are as little believed as one that is too long. */
static void fields_about_a_part_are_counted(void **state) {
    struct seen seen;
    for (int n = PART_FIELDS_MAX; n < 100000; n += 90000) {
        big_len = 0;
        for (int i = 0; i < n; i++)
            put(HEAD "filename=a\r\n");
        put("\r\n");
        assert_int_equal(walk(big, big_len, 1000, &seen), n == PART_FIELDS_MAX ? MIME_FINE : MIME_CONTRADICTION);
        assert_string_equal(seen.text, "a||unknown\n");
    }
}

/* The mark of a disc stands behind 32 KiB that may be anything, but for what is known by its head. */
static void images_of_discs_are_known_by_their_mark(void **state) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char *const marks[] = { "CD001", "BEA01", "CD002" };
    struct seen seen;
    for (size_t m = 0; m < 6; m++) {
        static char image[33000];
        memset(image, 'x', sizeof(image));
        memcpy(image + 32769, marks[m % 3], 5);
        memcpy(image, m < 3 ? "xxxxx" : "%PDF-", 5);
        big_len = 0;
        put(HEAD "filename=a\r\n" BASE64);
        for (size_t i = 0; i < sizeof(image); i += 3) {
            for (int shift = 18; shift >= 0; shift -= 6)
                big[big_len++] = digits[(image[i] << 16 | image[i + 1] << 8 | image[i + 2]) >> shift & 63];
            if (i % 57 == 54)
                put("\r\n");
        }
        walk(big, big_len, 1000, &seen);
        assert_string_equal(seen.text, m >= 3 ? "a||PDF\n" : m < 2 ? "a||disk image\n" : "a||unknown\n");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        cmocka_unit_test(files_are_found_in_any_slices),
        TEST(depth_is_bounded_and_told),
        TEST(as_deep_as_may_be_is_walked),
        TEST(parts_are_counted),
        TEST(a_long_field_is_told_and_what_was_read_counts),
        cmocka_unit_test(a_boundary_is_at_most_70_long),
        TEST(a_boundary_with_too_many_blanks_behind_is_told),
        TEST(names_of_uuencoded_files_are_bounded_and_told),
        TEST(control_characters_do_not_hide_a_field_about_a_part),
        TEST(names_in_archives_are_counted),
        TEST(encoded_messages_have_no_count_of_their_own),
        TEST(a_zip_whose_names_cannot_be_read_is_told),
        TEST(fields_about_a_part_are_counted),
        TEST(images_of_discs_are_known_by_their_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
