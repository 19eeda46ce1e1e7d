/*
 * test_import: what the four readers make of what administrators export, and of what nobody should.
 *
 * Each text is fed whole and byte by byte: where a chunk ends must not matter.
 */
#include "table/import.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct outcome {
    char added[4096]; /* "canonical=address " each */
    size_t len;
    struct import_counts counts;
    struct diag_list diag;
};

static int add(void *arg, struct str local, struct str address) {
    struct outcome *outcome = arg;
    int n = snprintf(outcome->added + outcome->len, sizeof(outcome->added) - outcome->len, "%.*s=%.*s ", STR_ARG(local),
                     STR_ARG(address));
    assert_true(n > 0 && outcome->len + (size_t)n < sizeof(outcome->added));
    outcome->len += (size_t)n;
    return 0;
}

static void run_pieces(struct import_options options, struct str text, size_t piece, struct outcome *outcome) {
    *outcome = (struct outcome){ .len = 0 };
    diag_init(&outcome->diag);
    options.path = "export";
    options.domain = STR("example.com");
    struct import *import;
    assert_int_equal(import_new(&options, &outcome->diag, add, outcome, &import), 0);
    for (size_t at = 0; at < text.len; at += piece)
        assert_int_equal(import_feed(import, str_head(str_from(text, at), piece)), 0);
    assert_int_equal(import_end(import), 0);
    outcome->counts = *import_counts(import);
    import_free(import);
}

/* Whole, and in pieces of one byte: the same must come out. The caller ends the diag_list. */
static void run_with(struct import_options options, struct str text, struct outcome *ret_outcome) {
    struct outcome pieces;
    run_pieces(options, text, 1, &pieces);
    run_pieces(options, text, text.len + 1, ret_outcome);
    assert_string_equal(pieces.added, ret_outcome->added);
    assert_int_equal(pieces.diag.errors, ret_outcome->diag.errors);
    assert_true(str_eq(buf_str(&pieces.diag.text), buf_str(&ret_outcome->diag.text)));
    diag_deinit(&pieces.diag);
}

static void run(enum import_format format, const char *text, struct outcome *ret_outcome) {
    run_with((struct import_options){ .format = format }, str_of(text), ret_outcome);
}

/* The text gives exactly these addresses, and no error. */
static void assert_adds_with(struct import_options options, const char *text, const char *added) {
    struct outcome outcome;
    run_with(options, str_of(text), &outcome);
    if (outcome.diag.errors > 0)
        fail_msg("%.*s", STR_ARG(buf_str(&outcome.diag.text)));
    assert_string_equal(outcome.added, added);
    diag_deinit(&outcome.diag);
}

static void assert_adds(enum import_format format, const char *text, const char *added) {
    assert_adds_with((struct import_options){ .format = format }, text, added);
}

/* The text has one error, whose first line is this. */
static void assert_error_with(struct import_options options, struct str text, const char *message) {
    struct outcome outcome;
    run_with(options, text, &outcome);
    assert_int_equal(outcome.diag.errors, 1);
    struct str said = buf_str(&outcome.diag.text);
    said = str_head(said, str_find(said, '\n'));
    if (!str_eq(said, str_of(message)))
        fail_msg("said: %.*s", STR_ARG(said));
    diag_deinit(&outcome.diag);
}

static void assert_error(enum import_format format, const char *text, const char *message) {
    assert_error_with((struct import_options){ .format = format }, str_of(text), message);
}

/* ---- plain lists */

static void a_list_is_one_address_a_line_with_comments_and_blank_lines(void **state) {
    assert_adds(IMPORT_LIST, "# staff\nA.Smith@Example.COM\n\n  b@example.com\t\r\nc@example.com",
                "a.smith=A.Smith@Example.COM b=b@example.com c=c@example.com ");
}

static void a_bare_local_part_in_a_list_is_of_the_domain(void **state) {
    assert_adds(IMPORT_LIST, "Info\n", "info=Info@example.com ");
}

static void quoted_and_utf8_local_parts_are_taken_by_their_meaning(void **state) {
    assert_adds(IMPORT_LIST, "\"A B\"@example.com\n\"a\\@b\"@example.com\nJos\xc3\xa9@example.com\n",
                "a b=\"A B\"@example.com a@b=\"a\\@b\"@example.com jos\xc3\xa9=Jos\xc3\xa9@example.com ");
}

static void a_byte_order_mark_is_dropped(void **state) {
    assert_adds(IMPORT_LIST, "\xef\xbb\xbf" "a@example.com\n", "a=a@example.com ");
}

static void utf16_is_named_once(void **state) {
    assert_error_with((struct import_options){ .format = IMPORT_LIST }, STR("\xff\xfe" "a\0@\0b\0\n\0c\0\n\0"),
                      "export: error: this is UTF-16; export it as UTF-8 (PowerShell: -Encoding utf8)");
}

static void a_malformed_address_is_an_error_at_its_place(void **state) {
    assert_error(IMPORT_LIST, "a@example.com\n\n  b c@example.com\n", "export:3:3: error: expected an address");
    assert_error(IMPORT_LIST, "\"\"@example.com\n", "export:1:1: error: expected something before the @");
    assert_error(IMPORT_LIST, "b\xe9@example.com\n", "export:1:1: error: address is not valid UTF-8");
    assert_error_with((struct import_options){ .format = IMPORT_LIST }, STR("a\0b@example.com\n"),
                      "export:1:1: error: expected an address");
}

static void a_local_part_may_have_64_bytes_and_not_65(void **state) {
    char text[128];
    snprintf(text, sizeof(text), "%064d@example.com\n", 7);
    struct outcome outcome;
    run(IMPORT_LIST, text, &outcome);
    assert_int_equal(outcome.diag.errors, 0);
    assert_int_equal(outcome.counts.addresses, 1);
    diag_deinit(&outcome.diag);
    snprintf(text, sizeof(text), "%065d@example.com\n", 7);
    assert_error(IMPORT_LIST, text,
                 "export:1:1: error: address too long: at most 64 bytes before the @, 255 behind it, 254 in all");
}

static void a_line_may_have_64_kib_and_not_one_byte_more(void **state) {
    static char text[IMPORT_LINE_MAX + 64];
    memset(text, ' ', sizeof(text));
    memcpy(text, "a@example.com", 13);
    strcpy(text + IMPORT_LINE_MAX, "\r\nb@example.com\n");
    assert_adds(IMPORT_LIST, text, "a=a@example.com b=b@example.com ");
    strcpy(text + IMPORT_LINE_MAX, " \nb@example.com\n");
    assert_error(IMPORT_LIST, text, "export:1:1: error: line longer than 65536 bytes");
}

static void addresses_of_other_domains_are_counted_and_the_first_five_named(void **state) {
    struct outcome outcome;
    run(IMPORT_LIST,
        "a@example.net\nb@example.net\nc@example.net\nx@example.com\nd@example.net\ne@example.net\n"
        "f@sub.example.com\n",
        &outcome);
    assert_int_equal(outcome.diag.errors, 0);
    assert_string_equal(outcome.added, "x=x@example.com ");
    assert_int_equal(outcome.counts.addresses, 1);
    assert_int_equal(outcome.counts.others.count, 6);
    assert_string_equal(outcome.counts.others.names[0], "a@example.net");
    assert_string_equal(outcome.counts.others.names[4], "e@example.net");
    diag_deinit(&outcome.diag);
}

static void a_long_name_left_out_is_cut(void **state) {
    char text[300];
    snprintf(text, sizeof(text), "a@%060d.%060d.example.net\n", 1, 2);
    struct outcome outcome;
    run(IMPORT_LIST, text, &outcome);
    assert_int_equal(outcome.counts.others.count, 1);
    assert_int_equal(strlen(outcome.counts.others.names[0]), IMPORT_NAME_MAX - 1);
    diag_deinit(&outcome.diag);
}

/* ---- Postfix maps */

static void a_postfix_map_is_read_for_its_keys(void **state) {
    assert_adds(IMPORT_POSTFIX,
                "# virtual\na@example.com  one@inner\n  , two@inner\n\"b c\"@example.com x\nd@example.com\n   OK\n",
                "a=a@example.com b c=\"b c\"@example.com d=d@example.com ");
}

static void blank_and_comment_lines_do_not_end_an_entry_of_a_postfix_map_early(void **state) {
    assert_adds(IMPORT_POSTFIX, "a@example.com one\n   # not a continuation\n\nb@example.com two\n",
                "a=a@example.com b=b@example.com ");
}

static void catch_all_lines_and_declared_domains_are_left_out_and_named(void **state) {
    struct outcome outcome;
    run(IMPORT_POSTFIX, "example.com anything\n@example.com all@inner\na@example.com x\n", &outcome);
    assert_int_equal(outcome.diag.errors, 0);
    assert_string_equal(outcome.added, "a=a@example.com ");
    assert_int_equal(outcome.counts.catch_alls.count, 1);
    assert_string_equal(outcome.counts.catch_alls.names[0], "@example.com");
    assert_int_equal(outcome.counts.ignored.count, 1);
    assert_string_equal(outcome.counts.ignored.names[0], "example.com");
    diag_deinit(&outcome.diag);
}

static void a_postfix_key_without_value_is_an_error(void **state) {
    assert_error(IMPORT_POSTFIX, "a@example.com OK\nb@example.com\nc@example.com OK\n",
                 "export:2:14: error: expected a blank and a value behind the address");
}

static void a_continuation_of_nothing_is_an_error(void **state) {
    assert_error(IMPORT_POSTFIX, "  a@example.com OK\n",
                 "export:1:1: error: a line that begins with a blank continues another, and there is none before it");
    assert_error(IMPORT_LDIF, " a@example.com\n",
                 "export:1:1: error: a line that begins with a blank continues another, and there is none before it");
}

/* ---- CSV */

static void the_best_known_column_is_found_in_any_case(void **state) {
    assert_adds(IMPORT_CSV, "UserPrincipalName,Name,Mail\nu@example.com,U,a@example.com\n", "a=a@example.com ");
    assert_adds(IMPORT_CSV, "Name,UserPrincipalName\nU,u@example.com\n", "u=u@example.com ");
}

static void quoted_cells_hold_commas_quotes_and_line_ends(void **state) {
    assert_adds(IMPORT_CSV,
                "name,mail\r\n\"Smith, \"\"Al\"\"\r\nof Example\",\"\"\"a b\"\"@example.com\"\r\nx,b@example.com\r\n",
                "a b=\"a b\"@example.com b=b@example.com ");
}

static void semicolons_and_tabs_between_cells_are_found_in_the_header(void **state) {
    assert_adds(IMPORT_CSV, "\"a,b\";mail\nx;a@example.com\n", "a=a@example.com ");
    assert_adds(IMPORT_CSV, "name\tmail\n\ta@example.com\n", "a=a@example.com ");
    assert_adds_with((struct import_options){ .format = IMPORT_CSV, .delimiter = '|' },
                     "name,x|mail\nq|a@example.com\n", "a=a@example.com ");
}

static void a_cell_may_hold_several_addresses_with_types(void **state) {
    struct outcome outcome;
    run(IMPORT_CSV,
        "#TYPE Selected.User\n\"proxyAddresses\"\n"
        "\"SMTP:a@example.com;smtp:b@example.com;X500:/o=x;SIP:a@example.com\"\n",
        &outcome);
    assert_int_equal(outcome.diag.errors, 0);
    assert_string_equal(outcome.added, "a=a@example.com b=b@example.com ");
    assert_int_equal(outcome.counts.ignored.count, 2);
    assert_string_equal(outcome.counts.ignored.names[0], "X500:/o=x");
    diag_deinit(&outcome.diag);
}

static void empty_cells_and_lines_are_nobody(void **state) {
    assert_adds(IMPORT_CSV, "mail,name\n,Room 1\n\na@example.com,A\n\"\",B\n", "a=a@example.com ");
}

static void a_column_that_is_not_there_is_one_error(void **state) {
    assert_error(IMPORT_CSV, "name,phone\na,1\nb,2\n",
                 "export:1:1: error: no column is named mail, email, address, proxyaddresses or userprincipalname; say "
                 "which with --column");
    assert_error_with((struct import_options){ .format = IMPORT_CSV, .column = "smtp" }, STR("mail\na@example.com\n"),
                      "export:1:1: error: no column is named 'smtp'");
}

static void a_named_column_is_taken(void **state) {
    assert_adds_with((struct import_options){ .format = IMPORT_CSV, .column = "primary smtp" },
                     "mail,Primary SMTP\nx@example.com,a@example.com\n", "a=a@example.com ");
}

static void broken_rows_are_errors_at_their_place(void **state) {
    assert_error(IMPORT_CSV, "name,mail\nx\n", "export:2:2: error: expected a cell 2, the line has 1");
    assert_error(IMPORT_CSV, "name,mail\nx,a\"b\"@example.com\n",
                 "export:2:4: error: a quote inside a cell that does not begin with one");
    assert_error(IMPORT_CSV, "name,mail\n\"x\"y,a@example.com\n",
                 "export:2:4: error: expected the end of the cell behind its closing quote");
    assert_error(IMPORT_CSV, "name,mail\nz,\"a@example.com\nb,c\n", "export:2:3: error: this quote is never closed");
    assert_error(IMPORT_CSV, "name,mail\n\"two\nlines\",not an address\n", "export:3:8: error: expected an address");
}

static void an_open_quote_cannot_take_in_more_than_64_kib(void **state) {
    static char text[IMPORT_LINE_MAX + 1024];
    size_t len = (size_t)sprintf(text, "mail\n\"");
    while (len < IMPORT_LINE_MAX + 512)
        len += (size_t)sprintf(text + len, "x@example.com\n");
    sprintf(text + len, "\"\na@example.com\n");
    struct outcome outcome;
    run(IMPORT_CSV, text, &outcome);
    assert_int_equal(outcome.diag.errors, 1);
    assert_string_equal(outcome.added, "a=a@example.com ");
    diag_deinit(&outcome.diag);
}

/* ---- LDIF */

static void mail_and_proxy_addresses_are_read_from_ldif(void **state) {
    assert_adds(IMPORT_LDIF,
                "version: 1\n\ndn: cn=A,dc=example\nobjectClass: person\nmail: A@example.com\n"
                "proxyAddresses: SMTP:A@example.com\n"
                "proxyaddresses: smtp:b@example.com\nmail;lang-de: d@example.com\n\n# search result\nsearch: 2\n",
                "a=A@example.com a=A@example.com b=b@example.com d=d@example.com ");
}

static void folded_lines_and_base64_are_resolved(void **state) {
    assert_adds(IMPORT_LDIF,
                "# a comment that\n mail: goes@example.com on\nmail: lo\n ng@exam\r\n ple.com\n"
                "mail:: YkBleGFtcGxlLmNvbQ==\nma\n il:: YmJA\n ZXhhbXBsZS5jb20=\n",
                "long=long@example.com b=b@example.com bb=bb@example.com ");
}

static void other_address_types_in_ldif_are_left_out_and_counted(void **state) {
    struct outcome outcome;
    run(IMPORT_LDIF, "proxyAddresses: X500:/o=a\nproxyAddresses: sip:a@example.com\nmail: a@example.com\n", &outcome);
    assert_int_equal(outcome.counts.ignored.count, 2);
    assert_string_equal(outcome.added, "a=a@example.com ");
    diag_deinit(&outcome.diag);
}

static void another_attribute_can_be_named(void **state) {
    assert_adds_with((struct import_options){ .format = IMPORT_LDIF, .column = "mailLocalAddress" },
                     "mail: a@example.com\nmaillocaladdress: b@example.com\n", "b=b@example.com ");
}

static void broken_ldif_is_an_error_at_its_place(void **state) {
    assert_error(IMPORT_LDIF, "dn: x\nnonsense\n", "export:2:1: error: expected 'attribute: value'");
    assert_error(IMPORT_LDIF, "mail:: ****\n", "export:1:6: error: expected base64 behind '::'");
    assert_error(IMPORT_LDIF, "mail:: YkBleGFtcGxlLmNvbQ=\n", "export:1:6: error: expected base64 behind '::'");
    assert_error(IMPORT_LDIF, "mail:< file:///etc/mail\n", "export:1:6: error: expected a value, this names a file");
    assert_error(IMPORT_LDIF, "dn: x\nmail: nobody\n", "export:2:7: error: expected an address");
    assert_error(IMPORT_LDIF, "dn: x\nmail:: AGFAZXhhbXBsZS5jb20=\n", "export:2:6: error: expected an address");
}

static void a_file_of_changes_is_refused(void **state) {
    assert_error(IMPORT_LDIF, "dn: x\nchangetype: modify\n",
                 "export:2:1: error: this is a file of changes; expected an export of whole entries");
}

static void a_photograph_may_be_longer_than_a_line_and_an_address_may_not(void **state) {
    static char text[3 * IMPORT_LINE_MAX];
    size_t len = (size_t)sprintf(text, "jpegPhoto:: ");
    while (len < IMPORT_LINE_MAX + 2000)
        len += (size_t)sprintf(text + len, "%s", len % 3 ? "AAAA\n " : "BBBBBBB\n ");
    len += (size_t)sprintf(text + len, "\ndescription: ");
    memset(text + len, 'x', IMPORT_LINE_MAX);
    sprintf(text + len + IMPORT_LINE_MAX, "\n more\nmail: a@example.com\n");
    assert_adds(IMPORT_LDIF, text, "a=a@example.com ");

    len = (size_t)sprintf(text, "mail: ");
    while (len < IMPORT_LINE_MAX + 10)
        len += (size_t)sprintf(text + len, "aaaaaaaaa\n ");
    sprintf(text + len, "\nmail: a@example.com\n");
    assert_error(IMPORT_LDIF, text, "export:1:1: error: longer than 65536 bytes with the lines that continue it");
}

/* ---- the rest */

static int refuse_to_add(void *arg, struct str local, struct str address) {
    return -ENOSPC;
}

static void what_add_returns_ends_the_import(void **state) {
    struct diag_list diag;
    diag_init(&diag);
    for (unsigned format = IMPORT_LIST; format <= IMPORT_LDIF; format++) {
        static const char *const texts[] = { "a@example.com\n", "mail\na@example.com\nb,c\n",
                                             "a@example.com x\nb@example.com x\n", "mail: a@example.com\nx: y\n" };
        struct import_options options = { .format = (enum import_format)format, .path = "x",
                                          .domain = STR("example.com") };
        struct import *import;
        assert_int_equal(import_new(&options, &diag, refuse_to_add, NULL, &import), 0);
        int r = import_feed(import, str_of(texts[format]));
        assert_int_equal(r < 0 ? r : import_end(import), -ENOSPC);
        import_free(import);
    }
    diag_deinit(&diag);
}

static void formats_are_guessed_from_name_and_content(void **state) {
    static const struct {
        const char *path, *head;
        enum import_format format;
    } cases[] = {
        { "-", "a@example.com\nb@example.com\n", IMPORT_LIST },
        { "-", "info\nsales\n", IMPORT_LIST },
        { "-", "mail\ninfo\n", IMPORT_LIST },
        { "-", "", IMPORT_LIST },
        { "-", "\"a b\"@example.com\n", IMPORT_LIST },
        { "-", "mail\na@example.com\n", IMPORT_CSV },
        { "-", "\xef\xbb\xbf\"mail\"\r\n", IMPORT_CSV },
        { "-", "name,mail\n", IMPORT_CSV },
        { "-", "name;mail\n", IMPORT_CSV },
        { "-", "#TYPE Selected.User\nmail\n", IMPORT_CSV },
        { "users.CSV", "a@example.com\n", IMPORT_CSV },
        { "-", "# comment\n\na@example.com OK\n", IMPORT_POSTFIX },
        { "-", "\"a b\"@example.com OK\n", IMPORT_POSTFIX },
        { "-", "example.com anything\n", IMPORT_POSTFIX },
        { "-", "dn: cn=a\n", IMPORT_LDIF },
        { "-", "# LDAPv3\n#\nversion: 1\n", IMPORT_LDIF },
        { "all.ldif", "a@example.com\n", IMPORT_LDIF },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum import_format got = import_format_guess(cases[i].path, str_of(cases[i].head));
        if (got != cases[i].format)
            fail_msg("%s: %s, not %s", cases[i].head, import_format_name(got), import_format_name(cases[i].format));
    }
}

static void format_names_parse_back(void **state) {
    for (unsigned format = IMPORT_LIST; format <= IMPORT_LDIF; format++) {
        enum import_format got;
        assert_int_equal(import_format_parse(import_format_name((enum import_format)format), &got), 0);
        assert_int_equal(got, format);
    }
    enum import_format untouched = IMPORT_CSV;
    assert_int_equal(import_format_parse("xml", &untouched), -EINVAL);
    assert_int_equal(untouched, IMPORT_CSV);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_one_address_a_line_with_comments_and_blank_lines),
        cmocka_unit_test(a_bare_local_part_in_a_list_is_of_the_domain),
        cmocka_unit_test(quoted_and_utf8_local_parts_are_taken_by_their_meaning),
        cmocka_unit_test(a_byte_order_mark_is_dropped),
        cmocka_unit_test(utf16_is_named_once),
        cmocka_unit_test(a_malformed_address_is_an_error_at_its_place),
        cmocka_unit_test(a_local_part_may_have_64_bytes_and_not_65),
        cmocka_unit_test(a_line_may_have_64_kib_and_not_one_byte_more),
        cmocka_unit_test(addresses_of_other_domains_are_counted_and_the_first_five_named),
        cmocka_unit_test(a_long_name_left_out_is_cut),
        cmocka_unit_test(a_postfix_map_is_read_for_its_keys),
        cmocka_unit_test(blank_and_comment_lines_do_not_end_an_entry_of_a_postfix_map_early),
        cmocka_unit_test(catch_all_lines_and_declared_domains_are_left_out_and_named),
        cmocka_unit_test(a_postfix_key_without_value_is_an_error),
        cmocka_unit_test(a_continuation_of_nothing_is_an_error),
        cmocka_unit_test(the_best_known_column_is_found_in_any_case),
        cmocka_unit_test(quoted_cells_hold_commas_quotes_and_line_ends),
        cmocka_unit_test(semicolons_and_tabs_between_cells_are_found_in_the_header),
        cmocka_unit_test(a_cell_may_hold_several_addresses_with_types),
        cmocka_unit_test(empty_cells_and_lines_are_nobody),
        cmocka_unit_test(a_column_that_is_not_there_is_one_error),
        cmocka_unit_test(a_named_column_is_taken),
        cmocka_unit_test(broken_rows_are_errors_at_their_place),
        cmocka_unit_test(an_open_quote_cannot_take_in_more_than_64_kib),
        cmocka_unit_test(mail_and_proxy_addresses_are_read_from_ldif),
        cmocka_unit_test(folded_lines_and_base64_are_resolved),
        cmocka_unit_test(other_address_types_in_ldif_are_left_out_and_counted),
        cmocka_unit_test(another_attribute_can_be_named),
        cmocka_unit_test(broken_ldif_is_an_error_at_its_place),
        cmocka_unit_test(a_file_of_changes_is_refused),
        cmocka_unit_test(a_photograph_may_be_longer_than_a_line_and_an_address_may_not),
        cmocka_unit_test(what_add_returns_ends_the_import),
        cmocka_unit_test(formats_are_guessed_from_name_and_content),
        cmocka_unit_test(format_names_parse_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
