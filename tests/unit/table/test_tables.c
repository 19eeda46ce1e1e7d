/*
 * Tests of table/tables: which lines make which entries, and what each kind of table then holds.
 */
#include "base/hash.h"
#include "table/tables.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct loaded {
    int result;
    unsigned errors;
    struct table *table;
    char said[8192];
};

static struct loaded load_bytes(enum table_type type, struct str text) {
    const struct diag_source source = { .path = "entries", .text = text };
    struct loaded l = { 0 };
    struct diag_list diag;
    diag_init(&diag);
    l.result = table_load(type, &source, &diag, &l.table);
    l.errors = diag.errors;
    snprintf(l.said, sizeof(l.said), "%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    return l;
}

static struct table *load(enum table_type type, const char *text) {
    struct loaded l = load_bytes(type, str_of(text));
    if (l.result != 0)
        fail_msg("expected to load:\n%s\n%s", text, l.said);
    assert_string_equal(l.said, "");
    assert_int_equal(table_type(l.table), type);
    return l.table;
}

static void assert_refused(enum table_type type, const char *text, const char *expected) {
    struct loaded l = load_bytes(type, str_of(text));
    if (l.result != -EINVAL || strstr(l.said, expected) == NULL)
        fail_msg("expected '%s' from:\n%s\ngot %d:\n%s", expected, text, l.result, l.said);
    assert_null(l.table);
}

static bool has_ip(const struct table *table, const char *text) {
    struct ip ip;
    assert_int_equal(ip_parse(str_of(text), &ip), 0);
    return table_has_ip(table, &ip);
}

static bool has(const struct table *table, const char *text) {
    return table_has(table, str_of(text));
}

static void test_comments(void **state) {
    struct table *table = load(TABLE_TYPE_CIDR, "# ours\n\n192.0.2.0/24\n  198.51.100.7 \t# a host\r\n\r\n   \n"
                                                "#203.0.113.0/24\n\t2001:db8::/32");
    assert_int_equal(table_count(table), 3);
    assert_true(has_ip(table, "192.0.2.255"));
    assert_true(has_ip(table, "198.51.100.7"));
    assert_true(has_ip(table, "2001:db8::7"));
    assert_false(has_ip(table, "203.0.113.1"));
    assert_false(has_ip(table, "198.51.100.8"));
    table_free(table);
    table = load(TABLE_TYPE_PATTERNS, "^a#b$  # a hash inside\n#c\n");
    assert_int_equal(table_count(table), 1);
    assert_true(has(table, "a#b"));
    assert_false(has(table, "c"));
    table_free(table);
    table = load(TABLE_TYPE_NAMES, "\xEF\xBB\xBF" "example.com\r\n");
    assert_true(has(table, "example.com"));
    table_free(table);
}

static void test_empty(void **state) {
    for (unsigned type = 0; type < TABLE_TYPES; type++) {
        struct table *table = load((enum table_type)type, "");
        assert_int_equal(table_count(table), 0);
        assert_false(has(table, "example.com"));
        assert_false(has(table, ""));
        assert_false(has_ip(table, "192.0.2.1"));
        table_free(table);
        table = load((enum table_type)type, "\r\n# nothing\n \n");
        assert_int_equal(table_count(table), 0);
        table_free(table);
    }
    table_free(NULL);
}

static void test_names(void **state) {
    struct table *table = load(TABLE_TYPE_NAMES, "Example.com\n.example.org\n.below.Example.net.\nfull.example.\n"
                                                 "b\xC3\xBC" "cher.example\n_dmarc.example.info\nhost\n");
    assert_true(has(table, "example.COM"));
    assert_true(has(table, "example.com."));
    assert_false(has(table, "a.example.com"));
    assert_false(has(table, "ample.com"));
    assert_false(has(table, ".example.com"));
    assert_true(has(table, "example.org"));
    assert_true(has(table, "a.Example.org"));
    assert_true(has(table, "a.b.example.org."));
    assert_false(has(table, "badexample.org"));
    assert_false(has(table, "example.org.net"));
    assert_true(has(table, "x.below.example.net"));
    assert_false(has(table, "example.net"));
    assert_true(has(table, "full.example"));
    assert_true(has(table, "b\xC3\xBC" "cher.example"));
    assert_true(has(table, "_dmarc.example.info"));
    assert_true(has(table, "HOST"));
    assert_false(has(table, "."));
    assert_false(has(table, ".."));
    assert_false(has(table, ""));
    assert_false(has_ip(table, "192.0.2.1"));
    table_free(table);
    /* A name alone, and the same name with all below it: each keeps its meaning. */
    table = load(TABLE_TYPE_NAMES, ".a.example\na.example\nb.example\n.c.b.example\n");
    assert_true(has(table, "x.a.example"));
    assert_false(has(table, "x.b.example"));
    assert_true(has(table, "x.c.b.example"));
    table_free(table);
}

static void test_addresses(void **state) {
    struct table *table = load(TABLE_TYPE_ADDRESSES, "Anna@Example.com\nexample.org\npostmaster@\n\"a b\"@example.net\n"
                                                     "\"quoted\"@example.net\n\"x y\"@\nu@[192.0.2.1]\n");
    assert_int_equal(table_count(table), 7);
    assert_true(has(table, "anna@example.COM"));
    assert_true(has(table, "\"anna\"@example.com")); /* the same mailbox */
    assert_true(has(table, "\"\\anna\"@example.com"));
    assert_false(has(table, "bert@example.com"));
    assert_false(has(table, "example.com"));
    assert_true(has(table, "anyone@example.ORG"));
    assert_true(has(table, "\"any one\"@example.org"));
    assert_false(has(table, "anyone@a.example.org"));
    assert_true(has(table, "Postmaster@anywhere.example"));
    assert_true(has(table, "postmaster"));
    assert_true(has(table, "\"a\\ b\"@example.net"));
    assert_true(has(table, "quoted@example.net"));
    assert_true(has(table, "\"X y\"@example"));
    assert_true(has(table, "u@[192.0.2.1]"));
    assert_false(has(table, "u@[192.0.2.2]"));
    assert_false(has(table, ""));
    assert_false(has(table, "@"));
    assert_false(has(table, "@example.com"));
    table_free(table);
}

static void test_patterns(void **state) {
    struct table *table = load(TABLE_TYPE_PATTERNS, "^dsl\\d+\\.\n\\.dyn\\.example\\.net$\n");
    assert_true(has(table, "DSL7.example.com"));
    assert_true(has(table, "a.Dyn.example.net"));
    assert_false(has(table, "a.dyn.example.net.org"));
    table_free(table);
}

static void test_bad_entries(void **state) {
    assert_refused(TABLE_TYPE_CIDR, "192.0.2.0/24\n\n  192.0.2.1/24\n",
                   "entries:3:3: error: expected a prefix such as 192.0.2.0/24");
    assert_refused(TABLE_TYPE_CIDR, "192.0.2.0/33\n", "entries:1:1: error: expected a prefix");
    assert_refused(TABLE_TYPE_CIDR, "192.0.2.0/24 198.51.100.0/24\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_CIDR, "example.com\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_NAMES, "example.com\r\nbad..name\r\n", "entries:2:1: error: expected a name such as");
    assert_refused(TABLE_TYPE_NAMES, ".\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_NAMES, "..example.com\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_NAMES, "*.example.com\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_NAMES, "anna@example.com\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_ADDRESSES, "@example.com\n", "entries:1:1: error: expected user@example.com");
    assert_refused(TABLE_TYPE_ADDRESSES, "@\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_ADDRESSES, "a b@example.com\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_ADDRESSES, "a b@\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_ADDRESSES, "\"\"@\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_ADDRESSES, ".example.com\n", "entries:1:1: error");
    assert_refused(TABLE_TYPE_PATTERNS, "fine\n (unclosed\n",
                   "entries:2:2: error: missing closing parenthesis (at byte 10)");
    struct loaded l = load_bytes(TABLE_TYPE_CIDR, STR("192.0.2.1\0/24\n"));
    assert_int_equal(l.result, -EINVAL);
}

/* A local part has 64 bytes at most, in both forms that name one. */
static void test_long_local_parts(void **state) {
    char text[100];
    for (unsigned len = 64; len <= 65; len++) {
        for (unsigned form = 0; form < 2; form++) {
            snprintf(text, sizeof(text), "%0*u@%s", (int)len, 7u, form == 0 ? "" : "example.com");
            struct loaded l = load_bytes(TABLE_TYPE_ADDRESSES, str_of(text));
            assert_int_equal(l.result, len == 64 ? 0 : -EINVAL);
            snprintf(text, sizeof(text), "%0*u@example.com", (int)len, 7u);
            if (l.result == 0)
                assert_true(has(l.table, text));
            table_free(l.table);
        }
    }
}

static void test_twenty_errors(void **state) {
    char text[4096];
    size_t len = 0;
    for (unsigned i = 0; i < DIAG_MAX + 5; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "192.0.2.0/24\nwrong%u\n", i);
    struct loaded l = load_bytes(TABLE_TYPE_CIDR, (struct str){ text, len });
    assert_int_equal(l.result, -EINVAL);
    assert_int_equal(l.errors, DIAG_MAX + 5);
    assert_non_null(strstr(l.said, "entries:40:1: error"));
    assert_null(strstr(l.said, "entries:42:1: error"));
    assert_non_null(strstr(l.said, "there are more errors"));
}

static void test_one_by_one(void **state) {
    struct table *table;
    const char *problem = NULL;
    assert_int_equal(table_new(TABLE_TYPE_PATTERNS, &table), 0);
    assert_int_equal(table_add(table, STR("a #b"), &problem), 0); /* no line, so no comment */
    assert_int_equal(table_add(table, STR("("), &problem), -EINVAL);
    assert_int_equal(table_add(table, STR(""), &problem), -EINVAL);
    assert_string_equal(problem, "an empty entry");
    assert_int_equal(table_seal(table), 0);
    assert_int_equal(table_count(table), 1);
    assert_true(has(table, "A #b"));
    table_free(table);
    assert_int_equal(table_new(TABLE_TYPE_CIDR, &table), 0);
    assert_int_equal(table_add(table, STR("::/0"), &problem), 0);
    assert_int_equal(table_seal(table), 0);
    assert_true(has_ip(table, "2001:db8::1"));
    table_free(table);
}

/* ---- files */

static void assert_file(const char *path, int expected_result, const char *expected) {
    struct table *table = NULL;
    struct diag_list diag;
    diag_init(&diag);
    assert_int_equal(table_load_file(TABLE_TYPE_NAMES, path, &diag, &table), expected_result);
    struct str said = buf_str(&diag.text);
    if (expected_result != 0) {
        assert_null(table);
        assert_int_equal(diag.errors, 1);
        assert_non_null(memmem(said.at, said.len, expected, strlen(expected)));
    } else {
        assert_int_equal(said.len, 0);
        assert_true(expected == NULL ? table_count(table) == 0 : has(table, expected));
    }
    table_free(table);
    diag_deinit(&diag);
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_not_equal(fputs(text, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static void test_files(void **state) {
    char folder[] = "/tmp/postern-table-XXXXXX", path[64], fifo[64], expected[160];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/names", folder);
    snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    snprintf(expected, sizeof(expected), "%s: error: cannot be read: No such file or directory", path);
    assert_file(path, -ENOENT, expected);
    write_file(path, "");
    assert_file(path, 0, NULL);
    write_file(path, "a.example\nb.example");
    assert_file(path, 0, "b.example");
    write_file(path, "a.example\nb..example");
    snprintf(expected, sizeof(expected), "%s:2:1: error: expected a name", path);
    assert_file(path, -EINVAL, expected);
    assert_file(folder, -EISDIR, "cannot be read: Is a directory");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_file(fifo, -EINVAL, "cannot be read: not a regular file");
    assert_file("/dev/zero", -EINVAL, "cannot be read: not a regular file");
    assert_int_equal(truncate(path, TABLE_FILE_MAX + 1L), 0);
    assert_file(path, -EFBIG, "cannot be read: File too large");
    unlink(path);
    unlink(fifo);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    hash_init();
    const struct CMUnitTest tests[] = {
        { "blank lines, comments, CRLF and a byte order mark are no entries", test_comments, NULL, NULL, NULL },
        { "a table without entries holds nothing", test_empty, NULL, NULL, NULL },
        { "a name stands for itself, with a dot in front for all below it too", test_names, NULL, NULL, NULL },
        { "an address, a domain and a local part each hold what they say", test_addresses, NULL, NULL, NULL },
        { "a pattern fits in any case", test_patterns, NULL, NULL, NULL },
        { "a wrong entry is told with its line and column, and there is no table", test_bad_entries, NULL, NULL, NULL },
        { "a local part of 64 bytes is taken and one of 65 is not", test_long_local_parts, NULL, NULL, NULL },
        { "twenty wrong entries are told, and all of them counted", test_twenty_errors, NULL, NULL, NULL },
        { "entries come one by one as well", test_one_by_one, NULL, NULL, NULL },
        { "a file is read when it is a file of a size that is allowed", test_files, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
