/*
 * postern explain and postern report: the whole output, against files that an administrator could check.
 *
 * The folder explain/ beside this file holds a configuration, a policy, a journal and what is printed about them.
 */
#include "cmd/cmd.h"

#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_MAX = 64 * 1024 };

static char printed[TEXT_MAX];

static void take(FILE *file, char *ret_text) {
    rewind(file);
    ret_text[fread(ret_text, 1, TEXT_MAX - 1, file)] = '\0';
    fclose(file);
}

/* Runs it with standard output in `printed`; messages go to /dev/null. */
static int run(const struct command *command, char *const argv[]) {
    FILE *out = tmpfile();
    int argc = 0, nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_non_null(out);
    while (argv[argc] != NULL)
        argc++;
    fflush(stdout);
    int out_before = dup(STDOUT_FILENO), err_before = dup(STDERR_FILENO);
    dup2(fileno(out), STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    optind = 0; /* getopt of glibc: begin anew */
    int code = command->run(argc, (char **)argv);
    fflush(stdout);
    dup2(out_before, STDOUT_FILENO);
    dup2(err_before, STDERR_FILENO);
    close(out_before);
    close(err_before);
    close(nowhere);
    take(out, printed);
    return code;
}

static void assert_printed(const char *name) {
    static char expected[TEXT_MAX];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    take(file, expected);
    assert_string_equal(printed, expected);
}

#define EXPLAIN(...) run(&command_explain, (char *const[]){ "explain", "-c", "postern.conf", __VA_ARGS__, NULL })
#define EXPLAIN_ID(...) EXPLAIN("--journal", "journal", __VA_ARGS__)
#define REPORT(...) \
    run(&command_report, (char *const[]){ "report", "policy", "--journal", "journal", __VA_ARGS__, NULL })

static void a_refusal_is_explained_by_its_rules_and_facts(void **state) {
    assert_int_equal(EXPLAIN_ID("d202qlns800000.1"), 0);
    assert_printed("refused.expected");
}

static void programs_get_the_same_as_json(void **state) {
    assert_int_equal(EXPLAIN_ID("d202qlns800000.1", "--json"), 0);
    assert_printed("refused.json.expected");
}

static void a_reject_that_was_held_back_names_the_open_rule(void **state) {
    assert_int_equal(EXPLAIN_ID("d202qlns800000.2"), 0);
    assert_printed("held_back.expected");
}

static void a_client_refused_at_connect_named_nobody(void **state) {
    assert_int_equal(EXPLAIN_ID("d202qlns800001.1"), 0);
    assert_printed("at_connect.expected");
}

#define EXPLAIN_CONNECT(...) \
    run(&command_explain, (char *const[]){ "explain", "-c", "connect.conf", __VA_ARGS__, NULL })

static void who_is_deferred_at_connect_has_the_code_that_was_said(void **state) {
    assert_int_equal(EXPLAIN_CONNECT("--journal", "connect_journal", "d202qlns800001.1"), 0);
    assert_printed("deferred_at_connect.expected");
    assert_int_equal(EXPLAIN_CONNECT("--journal", "connect_journal", "d202qlns800001.1", "--json"), 0);
    assert_printed("deferred_at_connect.json.expected");
    assert_int_equal(EXPLAIN_CONNECT("--client", "203.0.113.7", "--helo", "[203.0.113.7]", "--from", "a@b.example",
                                     "--set", "client.rate(unknown,600s) = 21"), 0);
    assert_printed("imagined_at_connect.expected");
}

static void a_table_that_was_empty_then_is_told_from_what_nobody_knows(void **state) {
    assert_int_equal(EXPLAIN_CONNECT("--journal", "connect_journal", "d202qlns800002.1"), 0);
    assert_printed("empty_table.expected");
}

static void where_nothing_is_enforced_it_is_said_what_would_have_been(void **state) {
    assert_int_equal(EXPLAIN_CONNECT("--journal", "connect_journal", "d202qlns800003.1"), 0);
    assert_printed("not_enforced.expected");
    assert_int_equal(EXPLAIN_CONNECT("--journal", "connect_journal", "d202qlns800003.1", "--json"), 0);
    assert_printed("not_enforced.json.expected");
}

static void a_fact_may_be_given_as_the_policy_writes_it_or_otherwise(void **state) {
    static const char *const ways[] = { "client.rate(unknown, 10m)=21", "client.rate( unknown ,600s)=21",
                                        " client.rate(unknown, 10m) = 21 ", "client in banned=true",
                                        "client in banned = true" };
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        assert_int_equal(EXPLAIN_CONNECT("--client", "203.0.113.7", "--set", (char *)ways[i]), 0);
        assert_non_null(strstr(printed, "(layer connection), "));
    }
    assert_int_equal(EXPLAIN_CONNECT("--client", "203.0.113.7", "--set", "client.rate(unknown, 20m)=21"), 0);
    assert_null(strstr(printed, "(layer connection), 421"));
    assert_int_equal(EXPLAIN_CONNECT("--client", "203.0.113.7", "--set", "client.rate(unknow, 10m)=21"), EXIT_USAGE);
    assert_int_equal(EXPLAIN_CONNECT("--client", "203.0.113.7", "--set", "dnsbl.hits(main=2"), EXIT_USAGE);
    assert_int_equal(EXPLAIN_CONNECT("--client", "203.0.113.7", "--set", "dnsbl.hits(main)=2"), 0);
    assert_int_equal(EXPLAIN_CONNECT("--client", "203.0.113.7", "--set", "="), EXIT_USAGE);
    assert_int_equal(EXPLAIN_CONNECT("--client", "203.0.113.7", "--set", ""), EXIT_USAGE);
}

static void what_no_rule_decided_is_said_so_without_control_characters(void **state) {
    assert_int_equal(EXPLAIN_ID("d202qlns800000.3"), 0);
    assert_printed("limit.expected");
}

static void an_imagined_delivery_asks_the_tables(void **state) {
    assert_int_equal(EXPLAIN("--client", "192.0.2.7", "--to", "nobody@example.net"), 0);
    assert_printed("imagined.expected");
}

#define EXPLAIN_GREYLIST(...) \
    run(&command_explain, (char *const[]){ "explain", "-c", "greylist.conf", __VA_ARGS__, NULL })

static void the_greylist_is_explained_by_whom_it_knew(void **state) {
    assert_int_equal(EXPLAIN_GREYLIST("--journal", "greylist_journal", "d228jr3a000001.1"), 0);
    assert_printed("greylist_retry.expected");
    assert_int_equal(EXPLAIN_GREYLIST("--journal", "greylist_journal", "d228jr3a000001.1", "--json"), 0);
    assert_printed("greylist_retry.json.expected");
    assert_int_equal(EXPLAIN_GREYLIST("--journal", "greylist_journal", "d228jrb4000002.1"), 0);
    assert_printed("greylist_looked_up.expected");
    assert_int_equal(EXPLAIN_GREYLIST("--client", "203.0.113.7", "--helo", "[203.0.113.7]", "--from", "a@b.example",
                                      "--to", "user@example.com"), 0);
    assert_printed("greylist_imagined.expected");
}

static void rules_are_counted_without_those_that_were_held_back(void **state) {
    assert_int_equal(run(&command_report, (char *const[]){ "report", "policy", "--journal", "journal", NULL }), 0);
    assert_printed("report.expected");
    assert_int_equal(REPORT("--since", "2026-11-22T01:43:47+01:00"), 0);
    assert_printed("report_since.expected");
}

#define REPORT_GREYLIST(...) \
    run(&command_report, (char *const[]){ "report", "greylist", "--journal", __VA_ARGS__, NULL })

static void the_greylist_is_counted_in_the_words_of_the_field(void **state) {
    assert_int_equal(REPORT_GREYLIST("greylist"), 0);
    assert_printed("report_greylist.expected");
    assert_int_equal(REPORT_GREYLIST("greylist", "--since", "2026-11-26", "--json"), 0);
    assert_printed("report_greylist.json.expected");
    assert_int_equal(REPORT_GREYLIST("journal"), 0); /* where nobody was greylisted */
    assert_printed("report_greylist_nothing.expected");
    assert_int_equal(REPORT_GREYLIST("/nonexistent"), 1);
}

#define REPORT_LISTS(...) \
    run(&command_report, (char *const[]){ "report", "lists", "--journal", __VA_ARGS__, NULL })

static void lists_are_counted_by_clients_and_by_what_was_refused_upon_them(void **state) {
    assert_int_equal(REPORT_LISTS("lists"), 0);
    assert_printed("report_lists.expected");
    assert_int_equal(REPORT_LISTS("lists", "--since", "2026-11-26", "--json"), 0);
    assert_printed("report_lists.json.expected");
    assert_int_equal(REPORT_LISTS("greylist"), 0); /* where nobody was listed */
    assert_printed("report_lists_nothing.expected");
    assert_int_equal(REPORT_LISTS("/nonexistent"), 1);
}

static void an_id_may_be_pasted_from_a_reply_or_the_log(void **state) {
    assert_int_equal(EXPLAIN_ID("[d202qlns800000.1]"), 0);
    assert_printed("refused.expected");
    assert_int_equal(EXPLAIN_ID("d202qlns800000_1"), 0);
    assert_printed("refused.expected");
}

static void wrong_use_is_told_from_what_is_not_there(void **state) {
    assert_int_equal(EXPLAIN_ID("d202qlns800000.99"), 1);
    assert_int_equal(EXPLAIN_ID("no-id"), EXIT_USAGE);
    assert_int_equal(EXPLAIN("--helo", "x"), EXIT_USAGE);
    assert_int_equal(EXPLAIN("--client", "not-an-address"), EXIT_USAGE);
    assert_int_equal(EXPLAIN("--client", "192.0.2.7", "d202qlns800000.1"), EXIT_USAGE);
    assert_int_equal(EXPLAIN("--client", "192.0.2.7", "--set", "ptr.none=perhaps"), EXIT_USAGE);
    assert_int_equal(EXPLAIN("--client", "192.0.2.7", "--set", "nothing=true"), EXIT_USAGE);
    assert_int_equal(REPORT("--since", "yesterday"), EXIT_USAGE);
    assert_int_equal(REPORT("--since", "2026-02-30"), EXIT_USAGE);
    assert_int_equal(REPORT("--since", "7w"), EXIT_USAGE);
    assert_int_equal(REPORT("more"), EXIT_USAGE);
    assert_int_equal(run(&command_report, (char *const[]){ "report", "grey", NULL }), EXIT_USAGE);
    assert_int_equal(run(&command_report, (char *const[]){ "report", "policy", "--journal", "/nonexistent", NULL }), 1);
}

int main(int argc, char **argv) {
    if (argc < 2 || chdir(argv[1]) < 0) {
        fprintf(stderr, "usage: test_explain_command FOLDER\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_is_explained_by_its_rules_and_facts),
        cmocka_unit_test(programs_get_the_same_as_json),
        cmocka_unit_test(a_reject_that_was_held_back_names_the_open_rule),
        cmocka_unit_test(a_client_refused_at_connect_named_nobody),
        cmocka_unit_test(who_is_deferred_at_connect_has_the_code_that_was_said),
        cmocka_unit_test(a_table_that_was_empty_then_is_told_from_what_nobody_knows),
        cmocka_unit_test(where_nothing_is_enforced_it_is_said_what_would_have_been),
        cmocka_unit_test(a_fact_may_be_given_as_the_policy_writes_it_or_otherwise),
        cmocka_unit_test(what_no_rule_decided_is_said_so_without_control_characters),
        cmocka_unit_test(an_imagined_delivery_asks_the_tables),
        cmocka_unit_test(the_greylist_is_explained_by_whom_it_knew),
        cmocka_unit_test(rules_are_counted_without_those_that_were_held_back),
        cmocka_unit_test(the_greylist_is_counted_in_the_words_of_the_field),
        cmocka_unit_test(lists_are_counted_by_clients_and_by_what_was_refused_upon_them),
        cmocka_unit_test(an_id_may_be_pasted_from_a_reply_or_the_log),
        cmocka_unit_test(wrong_use_is_told_from_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
