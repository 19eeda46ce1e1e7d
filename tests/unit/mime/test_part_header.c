/*
 * What the fields of a part say of it: every name that some mail client might take, and whether they agree.
 */
#include "mime/part_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define D "Content-Disposition: attachment; "
#define LONG "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static struct part_header header;

/* The names, each with a '|' behind it. */
static const char *names(void) {
    static char text[PART_NAMES_MAX * (PART_NAME_MAX + 1) + 1];
    size_t len = 0;
    for (unsigned i = 0; i < header.n_names; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s|", header.names[i].len, header.names[i].at);
    text[len] = '\0';
    return text;
}

static const char *names_of(const char *field) {
    part_header_init(&header);
    part_header_field(&header, str_of(field));
    return names();
}

static const struct field {
    const char *what, *field, *names;
} fields[] = {
    { "plain", D "filename=a.exe", "a.exe|" },
    { "quoted", D "filename=\"a b.exe\"", "a b.exe|" },
    { "none", D "filename=", "" },
    { "none in quotes", D "filename=\"\"", "" },
    { "another parameter", D "xfilename=a; filenamex=b; file=c", "" },
    { "any case", "CONTENT-disposition : X; FileName=a.exe", "a.exe|" },
    { "another field", "Content-Description: filename=a.exe", "" },
    { "of a type", "Content-Type: a/b; name=a.exe", "a.exe|" },
    { "the other's parameter", "Content-Type: a/b; filename=a.exe", "a.exe|" },
    { "the other's parameter, too", D "name=a.exe", "a.exe|" },
    { "folded", "Content-Disposition: attachment;\tfilename= a.exe", "a.exe|" },
    { "twice", D "filename=a.txt; filename=a.exe", "a.txt|a.exe|" },
    { "without what it is for", "Content-Disposition: filename=a.exe", "a.exe|" },
    { "without a semicolon", "Content-Disposition: attachment filename=a.exe", "a.exe|" },
    { "a comma for it", "Content-Disposition: attachment, filename=a.exe, x=y", "a.exe, x=y|a.exe|" },
    { "blanks without quotes", D "filename=a b.exe ; x=y", "a b.exe|a|" },
    { "a comment behind", D "filename=a.exe (x)", "a.exe (x)|a.exe|" },
    { "comments between", D "(x) filename (y) =a.exe", "a.exe|" },
    { "escapes", D "filename=\"a\\\".e\\xe\"", "a\".exe|" },
    { "a semicolon in quotes", D "filename=\"a;b.exe\"; x=y", "a;b.exe|" },
    { "a quote without an end", D "filename=\"a.exe", "a.exe|" },
    { "and more behind it", D "filename=\"a.exe; x=y", "a.exe; x=y|a.exe|" },
    { "text behind quotes", D "filename=\"a.exe\"x; x=y", "a.exe|" },
    { "paths", D "filename=\"C:\\\\x\\\\a.exe\"", "a.exe|" },
    { "paths of others", D "filename=/x/y/a.exe", "a.exe|" },
    { "a slash behind", D "filename=\"x/a.exe/\"", "a.exe|" },
    { "dots and blanks behind", D "filename=\"a.exe. . \"", "a.exe|" },
    { "control characters", D "filename=\"a\x01\x7f.exe\"", "a??.exe|" },
    { "longer than is kept", D "filename=" LONG LONG LONG ".exe",
      LONG LONG "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.exe|" },
    /* RFC 2231 */
    { "percent", D "filename*=utf-8'en'%61%2eexe", "a.exe|" },
    { "percent that is none", D "filename*=''%6g%6", "%6g%6|" },
    { "percent without a charset", D "filename*=a%2eexe", "a.exe|" },
    { "percent in quotes", D "filename*=\"''a%2eexe\"", "a.exe|" },
    { "no percent where none may be", D "filename=a%2eexe", "a%2eexe|" },
    { "both ways", D "filename=a.exe; filename*=''a.txt", "a.exe|a.txt|" },
    { "pieces", D "filename*1=\".e\"; filename*0*=''%61; filename*2=xe", "a.exe|" },
    { "pieces and plain", D "filename*0=a; filename*1=.exe; filename=a.txt", "a.txt|a.exe|" },
    { "a piece is missing", D "filename*0=a.exe; filename*2=.txt", "a.exe|a.exe.txt|" },
    { "the first piece is missing", D "filename*1=a.exe", "a.exe|" },
    /* RFC 2047, 6.2 */
    { "encoded words", D "filename=\"=?utf-8?B?YS5l?= =?utf-8?q?x=65?=\"", "a.exe|" },
    { "an underscore", D "filename=\"=?utf-8?Q?a_b.exe?=\"", "a b.exe|" },
    { "a language", D "filename=\"=?utf-8*en?Q?a?=.exe\"", "a.exe|" },
    { "words and text", D "filename=\"x =?utf-8?Q?a?= b =?utf-8?Q?.exe?=\"", "x a b .exe|" },
    { "a word without quotes", D "filename==?utf-8?B?YS5leGU=?=", "a.exe|" },
    { "half a word", D "filename=\"=?utf-8?B?YS5l\"", "=?utf-8?B?YS5l|" },
    { "a word of another kind", D "filename=\"=?utf-8?x?YS5l?=\"", "=?utf-8?x?YS5l?=|" },
    { "a word over two pieces", D "filename*0=\"=?utf-8?B?YS5l\"; filename*1=\"eGU=?=\"", "a.exe|" },
    { "a name beside half a word", D "filename=\"=?utf-8?Q?=?utf-8?Q?.exe?=\"", "=?utf-8?Q?.exe|" },
    /* NUL */
    { "it ends at its NUL for some", D "filename*=''a.js%00.txt", "a.js.txt|a.js|" },
    { "UTF-16", D "filename*=utf-16le''a%00.%00e%00x%00e%00", "a.exe|a|" },
    { "UTF-16 in a word", D "filename=\"=?utf-16be?B?AGEALgBlAHgAZQ==?=\"", "a.exe|" },
};

static void every_name_that_may_be_meant_counts(void **state) {
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const struct field *f = &fields[i];
        if (strcmp(names_of(f->field), f->names) != 0 || header.lost_names || header.is_contradictory)
            fail_msg("%s: %s%s%s", f->what, names(), header.lost_names ? " lost" : "",
                     header.is_contradictory ? " contradictory" : "");
    }
}

static void names_of_several_fields_count(void **state) {
    names_of("Content-Type: text/plain; name=a.txt");
    part_header_field(&header, STR(D "filename=a.txt"));
    part_header_field(&header, STR(D "filename=b.txt"));
    part_header_field(&header, STR(D "filename=c.exe"));
    assert_string_equal(names(), "a.txt|b.txt|c.exe|");
    assert_false(header.lost_names);
}

/* What is not told is told to be missing. */
static void what_is_too_much_is_lost_and_said(void **state) {
    char field[1024];
    size_t len;
    for (int n = 32; n < 34; n++) { /* pieces */
        len = (size_t)snprintf(field, sizeof(field), "Content-Disposition: x");
        for (int i = 0; i < n; i++)
            len += (size_t)snprintf(field + len, sizeof(field) - len, "; filename*%d=%s", i, i == n - 1 ? ".exe" : "a");
        names_of(field);
        assert_int_equal(header.lost_names, n > 32);
        assert_string_equal(names(), n == 32 ? "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.exe|" :
                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|");
    }
    names_of(D "filename=a; filename=b; filename=c; filename=d");
    assert_false(header.lost_names);
    names_of(D "filename=a; filename=b; filename=c; filename=d; filename=e");
    assert_true(header.lost_names);
    names_of(D "filename*0=a; filename*0=b.exe");
    assert_true(header.lost_names);
    names_of(D "filename*=a; filename*=b.exe");
    assert_true(header.lost_names);
    names_of(D "filename*99999999999999999999=b.exe");
    assert_true(header.lost_names);
    names_of(D "filename*x=b.exe");
    assert_true(header.lost_names);
    part_header_init(&header);
    for (int i = 0; i <= PART_NAMES_MAX; i++) {
        assert_false(header.lost_names);
        snprintf(field, sizeof(field), D "filename=%d.exe", i);
        part_header_field(&header, str_of(field));
    }
    assert_true(header.lost_names);
    assert_int_equal(header.n_names, PART_NAMES_MAX);
}

static void types_are_told_without_what_stands_around_them(void **state) {
    static const char *const types[][2] = {
        { "Content-Type: text/plain", "text/plain" },
        { "Content-Type:TEXT/Plain;charset=x", "text/plain" },
        { "Content-Type: (a) text (b(c)) / plain (d); x=y", "text/plain" },
        { "Content-Type: \"text/plain\"", "text/plain" },
        { "Content-Type: (a", "" },
        { "Content-Type:", "" },
        { "Content-Type", "" },
        { "Content-Typ: text/plain", "" },
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        names_of(types[i][0]);
        assert_true(str_eq(part_type(&header), str_of(types[i][1])));
    }
    names_of("Content-Type: " LONG);
    assert_int_equal(header.type_len, PART_TYPE_MAX);
}

static void encodings_are_known(void **state) {
    static const struct {
        const char *field;
        enum transfer_encoding encoding;
    } encodings[] = {
        { "Content-Transfer-Encoding: base64", TRANSFER_BASE64 },
        { "Content-Transfer-Encoding: BASE64;", TRANSFER_BASE64 },
        { "content-transfer-encoding:\"Base64\" (x)", TRANSFER_BASE64 },
        { "Content-Transfer-Encoding: quoted-printable", TRANSFER_QP },
        { "Content-Transfer-Encoding: 8bit", TRANSFER_IDENTITY },
        { "Content-Transfer-Encoding: x-base64", TRANSFER_IDENTITY },
    };
    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
        names_of(encodings[i].field);
        assert_int_equal(header.encoding, encodings[i].encoding);
    }
}

static void boundaries_stand_as_they_are(void **state) {
    static const char *const boundaries[][2] = {
        { "Content-Type: multipart/x; boundary=b", "b" },
        { "Content-Type: multipart/x; boundary=\"b c\"", "b c" },
        { "Content-Type: multipart/x; boundary=\"b \"", "b" },
        { "Content-Type: multipart/x; boundary=\"=?x?q?b?=\"", "=?x?q?b?=" },
        { "Content-Type: multipart/x; boundary=----=_Part(1)", "----=_Part(1)" },
        { "Content-Type: multipart/x; boundary*=us-ascii''b%20c", "b c" },
        { "Content-Type: multipart/x; boundary*0=b; boundary*1=c", "bc" },
        { "Content-Type: multipart/x", "" },
    };
    for (size_t i = 0; i < sizeof(boundaries) / sizeof(boundaries[0]); i++) {
        names_of(boundaries[i][0]);
        assert_true(str_eq((struct str){ header.boundary, header.boundary_len }, str_of(boundaries[i][1])));
        assert_false(header.is_contradictory);
    }
    names_of("Content-Type: multipart/x; boundary=" LONG);
    assert_int_equal(header.boundary_len, PART_BOUNDARY_MAX);
    names_of("Content-Type: multipart/x; boundary=\"\"; boundary=b");
    assert_true(header.is_contradictory);
    names_of("Content-Type: multipart/x; boundary*0=b; boundary*0=c");
    assert_true(header.is_contradictory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_that_may_be_meant_counts),
        cmocka_unit_test(names_of_several_fields_count),
        cmocka_unit_test(what_is_too_much_is_lost_and_said),
        cmocka_unit_test(types_are_told_without_what_stands_around_them),
        cmocka_unit_test(encodings_are_known),
        cmocka_unit_test(boundaries_stand_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
