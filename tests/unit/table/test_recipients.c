/*
 * test_recipients: by which way a recipient is known, and what is answered when nobody can say.
 */
#include "table/recipients.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { IMPORTED_MS = 1000000 };

static char dir[64];
static char path[128];
static struct directory *directory;

static int build(void **state) {
    snprintf(dir, sizeof(dir), "/tmp/postern-test-recipients-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    struct directory_writer *writer;
    snprintf(path, sizeof(path), "%s/example.com.cdb", dir);
    if (directory_writer_new(dir, STR("example.com"), STR("test"), &writer) < 0 ||
        directory_writer_add(writer, STR("alice"), STR("Alice@example.com")) < 0 ||
        directory_writer_add(writer, STR("a b"), STR("\"a b\"@example.com")) < 0 ||
        directory_writer_add(writer, STR("team+list"), STR("team+list@example.com")) < 0 ||
        directory_writer_add(writer, STR("jos\xc3\xa9"), STR("jos\xc3\xa9@example.com")) < 0 ||
        directory_writer_commit(writer, IMPORTED_MS) < 0)
        return -1;
    return directory_open(path, &directory);
}

static int clean(void **state) {
    directory_free(directory);
    unlink(path);
    return rmdir(dir);
}

struct answer {
    enum recipient_answer answer;
    enum recipient_way way;
    const char *rewrite;
};

static struct answer ask_at(const struct directory *of, struct recipient_lookup how, const char *text,
                            uint64_t wall_ms) {
    struct str rest = str_of(text);
    struct smtp_address address;
    assert_int_equal(smtp_path_parse(&rest, false, true, true, &address), SMTP_ADDRESS_OK);
    struct answer got;
    got.answer = recipient_find(of, &how, &address, wall_ms, &got.way, &got.rewrite);
    return got;
}

static struct answer ask(const struct directory *of, struct recipient_lookup how, const char *text) {
    return ask_at(of, how, text, IMPORTED_MS);
}

static void assert_answer(struct answer got, enum recipient_answer answer, enum recipient_way way,
                          const char *rewrite) {
    assert_int_equal(got.answer, answer);
    assert_int_equal(got.way, way);
    if (rewrite != NULL)
        assert_string_equal(got.rewrite, rewrite);
    else
        assert_null(got.rewrite);
}

static void an_own_entry_is_known_in_any_case_and_spelling(void **state) {
    struct recipient_lookup how = { .delimiter = "+" };
    assert_answer(ask(directory, how, "<alice@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_OWN, NULL);
    assert_answer(ask(directory, how, "<ALICE@EXAMPLE.COM>"), RECIPIENT_KNOWN, RECIPIENT_WAY_OWN, NULL);
    assert_answer(ask(directory, how, "<\"al\\ice\"@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_OWN, NULL);
    assert_answer(ask(directory, how, "<\"A\\ B\"@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_OWN, NULL);
    assert_answer(ask(directory, how, "<Jos\xc3\xa9@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_OWN, NULL);
    assert_answer(ask(directory, how, "<bob@example.com>"), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE, NULL);
}

static void a_sub_address_is_known_by_its_user_where_there_is_a_delimiter(void **state) {
    struct recipient_lookup how = { .delimiter = "+-" };
    assert_answer(ask(directory, how, "<Alice+x@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_SUB_ADDRESS, NULL);
    assert_answer(ask(directory, how, "<alice-x+y@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_SUB_ADDRESS, NULL);
    assert_answer(ask(directory, how, "<bob+x@example.com>"), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE, NULL);
    how.delimiter = "";
    assert_answer(ask(directory, how, "<alice+x@example.com>"), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE, NULL);
    how.delimiter = NULL;
    assert_answer(ask(directory, how, "<alice+x@example.com>"), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE, NULL);
}

static void the_exact_address_comes_before_the_sub_address(void **state) {
    struct recipient_lookup how = { .delimiter = "+" };
    assert_answer(ask(directory, how, "<team+list@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_OWN, NULL);
    assert_answer(ask(directory, how, "<team@example.com>"), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE, NULL);
}

static void postmaster_and_abuse_are_known_whatever_the_directory_says(void **state) {
    struct recipient_lookup how = { .delimiter = "+", .max_age_ms = 1 };
    static const char *const addresses[] = { "<postmaster@example.com>", "<PostMaster@example.com>",
                                             "<ABUSE@example.com>", "<Postmaster>", "<postmaster>" };
    for (unsigned i = 0; i < 5; i++) {
        how.is_unchecked = false;
        assert_answer(ask_at(directory, how, addresses[i], UINT64_MAX), RECIPIENT_KNOWN, RECIPIENT_WAY_POSTMASTER,
                      NULL);
        assert_answer(ask(NULL, how, addresses[i]), RECIPIENT_KNOWN, RECIPIENT_WAY_POSTMASTER, NULL);
        how.is_unchecked = true;
        assert_answer(ask(NULL, how, addresses[i]), RECIPIENT_KNOWN, RECIPIENT_WAY_POSTMASTER, NULL);
    }
    how.postmaster = "admin@example.com";
    assert_answer(ask(NULL, how, "<Abuse@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_POSTMASTER,
                  "admin@example.com");
    assert_answer(ask(NULL, how, "<postmaster>"), RECIPIENT_KNOWN, RECIPIENT_WAY_POSTMASTER, "admin@example.com");
}

static void a_catch_all_knows_everybody_else(void **state) {
    struct recipient_lookup how = { .delimiter = "+", .catch_all = "all@example.com" };
    assert_answer(ask(directory, how, "<alice@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_OWN, NULL);
    assert_answer(ask(directory, how, "<alice+x@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_SUB_ADDRESS, NULL);
    assert_answer(ask(directory, how, "<bob@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_CATCH_ALL,
                  "all@example.com");
    how.catch_all = "";
    assert_answer(ask(directory, how, "<bob@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_CATCH_ALL, NULL);
}

static void without_a_directory_nobody_is_unknown(void **state) {
    struct recipient_lookup how = { .delimiter = "+" };
    assert_answer(ask(NULL, how, "<alice@example.com>"), RECIPIENT_NO_DIRECTORY, RECIPIENT_WAY_NONE, NULL);
    how.catch_all = "";
    assert_answer(ask(NULL, how, "<alice@example.com>"), RECIPIENT_KNOWN, RECIPIENT_WAY_CATCH_ALL, NULL);
    how.catch_all = "all@example.com"; /* alice's mail is not its owner's */
    assert_answer(ask(NULL, how, "<alice@example.com>"), RECIPIENT_NO_DIRECTORY, RECIPIENT_WAY_NONE, NULL);
    how.is_unchecked = true;
    assert_answer(ask(NULL, how, "<alice@example.com>"), RECIPIENT_UNCHECKED, RECIPIENT_WAY_NONE, NULL);
}

static void a_directory_past_its_age_says_yes_but_never_no(void **state) {
    struct recipient_lookup how = { .delimiter = "+", .max_age_ms = 500 };
    assert_answer(ask_at(directory, how, "<bob@example.com>", IMPORTED_MS + 500), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE,
                  NULL);
    assert_answer(ask_at(directory, how, "<bob@example.com>", IMPORTED_MS + 501), RECIPIENT_STALE, RECIPIENT_WAY_NONE,
                  NULL);
    assert_answer(ask_at(directory, how, "<alice@example.com>", IMPORTED_MS + 501), RECIPIENT_KNOWN, RECIPIENT_WAY_OWN,
                  NULL);
    assert_answer(ask_at(directory, how, "<bob@example.com>", 0), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE, NULL);
    how.catch_all = "all@example.com";
    assert_answer(ask_at(directory, how, "<bob@example.com>", IMPORTED_MS + 501), RECIPIENT_STALE, RECIPIENT_WAY_NONE,
                  NULL);
    how.catch_all = "";
    assert_answer(ask_at(directory, how, "<bob@example.com>", IMPORTED_MS + 501), RECIPIENT_KNOWN,
                  RECIPIENT_WAY_CATCH_ALL, NULL);
    how = (struct recipient_lookup){ .max_age_ms = 0 };
    assert_answer(ask_at(directory, how, "<bob@example.com>", UINT64_MAX), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE, NULL);
}

/* What a mailbox server might send on is no sub-address, goes to no catch-all, and is nobody's where none are kept. */
static void a_route_is_known_only_to_the_directory(void **state) {
    static const struct recipient_lookup ways[] = {
        { .delimiter = "+" }, { .delimiter = "+%!" }, { .delimiter = "+", .catch_all = "" },
        { .delimiter = "+", .catch_all = "all@example.com" }, { .delimiter = "+", .is_unchecked = true },
        { .delimiter = "+", .max_age_ms = 500 },
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct recipient_lookup how = ways[i];
        assert_answer(ask(directory, how, "<alice+x%evil.test@example.com>"), RECIPIENT_ROUTE, RECIPIENT_WAY_NONE,
                      NULL);
        assert_answer(ask(directory, how, "<alice%evil.test@example.com>"), RECIPIENT_ROUTE, RECIPIENT_WAY_NONE, NULL);
        assert_answer(ask(directory, how, "<\"alice+x@evil.test\"@example.com>"), RECIPIENT_ROUTE, RECIPIENT_WAY_NONE,
                      NULL);
        assert_answer(ask(directory, how, "<postmaster%evil.test@example.com>"), RECIPIENT_ROUTE, RECIPIENT_WAY_NONE,
                      NULL);
        assert_answer(ask(directory, how, "</etc/passwd@example.com>"), RECIPIENT_UNKNOWN, RECIPIENT_WAY_NONE, NULL);
        how.takes_routes = true;
        assert_int_not_equal(ask(directory, how, "<alice+x%evil.test@example.com>").answer, RECIPIENT_ROUTE);
    }
}

static void a_route_may_stand_in_a_directory_that_is_lost_or_old(void **state) {
    struct recipient_lookup how = { .delimiter = "+", .max_age_ms = 500 };
    assert_answer(ask(NULL, how, "<a%b@example.com>"), RECIPIENT_NO_DIRECTORY, RECIPIENT_WAY_NONE, NULL);
    assert_answer(ask_at(directory, how, "<a%b@example.com>", IMPORTED_MS + 501), RECIPIENT_STALE, RECIPIENT_WAY_NONE,
                  NULL);
    how.catch_all = ""; /* needs no directory, so there may never have been one */
    assert_answer(ask(NULL, how, "<a%b@example.com>"), RECIPIENT_ROUTE, RECIPIENT_WAY_NONE, NULL);
    how = (struct recipient_lookup){ .is_unchecked = true };
    assert_answer(ask(NULL, how, "<a%b@example.com>"), RECIPIENT_ROUTE, RECIPIENT_WAY_NONE, NULL);
}

static void a_broken_directory_answers_as_a_missing_one(void **state) {
    FILE *file = fopen(path, "r+b");
    fseek(file, 2048 + 4, SEEK_SET); /* the length of alice's value */
    fwrite("\xff\xff\xff\xff", 1, 4, file);
    fclose(file);
    struct recipient_lookup how = { .delimiter = "+" };
    assert_answer(ask(directory, how, "<alice@example.com>"), RECIPIENT_NO_DIRECTORY, RECIPIENT_WAY_NONE, NULL);
    assert_answer(ask(directory, how, "<alice+x@example.com>"), RECIPIENT_NO_DIRECTORY, RECIPIENT_WAY_NONE, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_own_entry_is_known_in_any_case_and_spelling),
        cmocka_unit_test(a_sub_address_is_known_by_its_user_where_there_is_a_delimiter),
        cmocka_unit_test(the_exact_address_comes_before_the_sub_address),
        cmocka_unit_test(postmaster_and_abuse_are_known_whatever_the_directory_says),
        cmocka_unit_test(a_catch_all_knows_everybody_else),
        cmocka_unit_test(without_a_directory_nobody_is_unknown),
        cmocka_unit_test(a_directory_past_its_age_says_yes_but_never_no),
        cmocka_unit_test(a_route_is_known_only_to_the_directory),
        cmocka_unit_test(a_route_may_stand_in_a_directory_that_is_lost_or_old),
        cmocka_unit_test(a_broken_directory_answers_as_a_missing_one), /* last: it breaks the file */
    };
    return cmocka_run_group_tests(tests, build, clean);
}
