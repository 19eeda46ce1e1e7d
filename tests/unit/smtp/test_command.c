/*
 * test_command: lines as clients send them, and the reply class that each has earned.
 */
#include "smtp/command.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    OK = SMTP_COMMAND_OK,
    SYNTAX = SMTP_COMMAND_SYNTAX,
    BYTES = SMTP_COMMAND_BAD_BYTES,
    ADDRESS = SMTP_COMMAND_BAD_ADDRESS,
    UTF8 = SMTP_COMMAND_BAD_UTF8,
    PARAMETER = SMTP_COMMAND_BAD_PARAMETER,
    UNKNOWN = SMTP_COMMAND_NO_PARAMETER,
};

struct row {
    const char *line;
    int verb;
    int result;
};

static void check_rows(const struct row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct smtp_command c;
        int result = (int)smtp_command_parse(str_of(rows[i].line), false, &c);
        if (result != rows[i].result || (int)c.verb != rows[i].verb)
            fail_msg("%s: result %d, verb %s", rows[i].line, result, smtp_verb_name(c.verb));
    }
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void verbs_are_found_without_regard_to_case(void **state) {
    (void)state;
    static const struct row rows[] = {
        { "helo x", SMTP_HELO, OK }, { "EHLO x", SMTP_EHLO, OK }, { "mAiL FROM:<>", SMTP_MAIL, OK },
        { "rcpt to:<a@x>", SMTP_RCPT, OK }, { "DATA", SMTP_DATA, OK }, { "BDAT 1", SMTP_BDAT, OK },
        { "RSET", SMTP_RSET, OK },
        { "NOOP", SMTP_NOOP, OK }, { "VRFY a", SMTP_VRFY, OK }, { "EXPN a", SMTP_EXPN, OK }, { "HELP", SMTP_HELP, OK },
        { "quit", SMTP_QUIT, OK }, { "StartTLS", SMTP_STARTTLS, OK }, { "XCLIENT NAME=x", SMTP_XCLIENT, OK },
    };
    CHECK_ROWS(rows);
    assert_string_equal(smtp_verb_name(SMTP_MAIL), "MAIL");
    assert_string_equal(smtp_verb_name(SMTP_UNKNOWN), "unknown");
}

static void what_is_no_verb_is_unknown(void **state) {
    (void)state;
    static const struct row rows[] = {
        { "", SMTP_UNKNOWN, OK }, { " ", SMTP_UNKNOWN, OK }, { "QUI", SMTP_UNKNOWN, OK }, { "QUITE", SMTP_UNKNOWN, OK },
        { "STAR", SMTP_UNKNOWN, OK }, { "STARTTLSX", SMTP_UNKNOWN, OK }, { "XCLI", SMTP_UNKNOWN, OK },
        { " QUIT", SMTP_UNKNOWN, OK },
        { "ETRN x", SMTP_UNKNOWN, OK }, { "TURN", SMTP_UNKNOWN, OK }, { "AUTH PLAIN", SMTP_UNKNOWN, OK },
        { "GET / HTTP/1.1", SMTP_UNKNOWN, OK }, { "MAIL:", SMTP_UNKNOWN, OK }, { "\xcd\xc1\xc9\xcc", SMTP_UNKNOWN, OK },
    };
    CHECK_ROWS(rows);
}

static void control_characters_are_refused_wherever_they_stand(void **state) {
    (void)state;
    char line[] = "MAIL FROM:<sender@example.com> SIZE=1000";
    for (unsigned c = 0; c < 128; c++) {
        for (size_t i = 0; i < sizeof(line) - 1; i++) {
            if (c >= 32 && c != 127)
                continue;
            char keep = line[i];
            line[i] = (char)c;
            struct smtp_command command;
            assert_int_equal(smtp_command_parse((struct str){ line, sizeof(line) - 1 }, false, &command), BYTES);
            line[i] = keep;
        }
    }
    struct smtp_command command;
    assert_int_equal(smtp_command_parse(STR("NOOP \0"), false, &command), BYTES);
    assert_int_equal(command.verb, SMTP_NOOP);
}

static void arguments_are_asked_for_where_the_grammar_has_them(void **state) {
    (void)state;
    static const struct row rows[] = {
        { "HELO", SMTP_HELO, SYNTAX }, { "EHLO ", SMTP_EHLO, SYNTAX }, { "EHLO [203.0.113.7]", SMTP_EHLO, OK },
        { "EHLO two words", SMTP_EHLO, OK }, { "EHLO -_!", SMTP_EHLO, OK },
        { "EHLO m\xc3\xbcnchen", SMTP_EHLO, SYNTAX },
        { "DATA x", SMTP_DATA, SYNTAX }, { "DATA  ", SMTP_DATA, OK }, { "RSET x", SMTP_RSET, SYNTAX },
        { "QUIT x", SMTP_QUIT, SYNTAX },
        { "STARTTLS x", SMTP_STARTTLS, SYNTAX }, { "NOOP x y", SMTP_NOOP, OK }, { "HELP MAIL", SMTP_HELP, OK },
        { "VRFY", SMTP_VRFY, SYNTAX }, { "EXPN", SMTP_EXPN, SYNTAX }, { "XCLIENT", SMTP_XCLIENT, SYNTAX },
    };
    CHECK_ROWS(rows);
}

static void a_helo_name_of_255_bytes_is_taken_and_one_of_256_is_not(void **state) {
    (void)state;
    char line[300] = "EHLO ";
    memset(line + 5, 'h', 256);
    struct smtp_command c;
    assert_int_equal(smtp_command_parse((struct str){ line, 5 + 255 }, false, &c), OK);
    assert_int_equal(c.argument.len, 255);
    assert_int_equal(smtp_command_parse((struct str){ line, 5 + 256 }, false, &c), SYNTAX);
}

static void mail_and_rcpt_need_a_path_in_brackets(void **state) {
    (void)state;
    static const struct row rows[] = {
        { "MAIL", SMTP_MAIL, SYNTAX }, { "MAIL FROM", SMTP_MAIL, SYNTAX }, { "MAIL FROM:", SMTP_MAIL, SYNTAX },
        { "MAIL <a@x>", SMTP_MAIL, SYNTAX }, { "MAIL TO:<a@x>", SMTP_MAIL, SYNTAX },
        { "MAIL FROM :<a@x>", SMTP_MAIL, SYNTAX },
        { "MAIL FROM:<a@x>", SMTP_MAIL, OK }, { "MAIL  FROM:  <a@x>  ", SMTP_MAIL, OK },
        { "MAIL FROM:<>", SMTP_MAIL, OK },
        { "MAIL FROM:a@x", SMTP_MAIL, ADDRESS }, { "MAIL FROM:<a@x", SMTP_MAIL, ADDRESS },
        { "MAIL FROM:<a>", SMTP_MAIL, ADDRESS },
        { "MAIL FROM:<postmaster>", SMTP_MAIL, ADDRESS }, { "MAIL FROM:<a@x>x", SMTP_MAIL, SYNTAX },
        { "MAIL FROM:<a@x>SIZE=1", SMTP_MAIL, SYNTAX }, { "RCPT FROM:<a@x>", SMTP_RCPT, SYNTAX },
        { "RCPT TO:", SMTP_RCPT, SYNTAX },
        { "RCPT TO: <a@x>", SMTP_RCPT, OK }, { "RCPT TO:<>", SMTP_RCPT, ADDRESS },
        { "RCPT TO:<PostMaster>", SMTP_RCPT, OK },
        { "RCPT TO:a@x", SMTP_RCPT, ADDRESS }, { "RCPT TO:<a@x> <b@x>", SMTP_RCPT, SYNTAX },
        { "RCPT TO:<@r.example:a@x>", SMTP_RCPT, OK },
    };
    CHECK_ROWS(rows);
}

static void parameters_are_known_once_and_well_formed(void **state) {
    (void)state;
#define M(parameters, result) { "MAIL FROM:<a@x> " parameters, SMTP_MAIL, result }
#define R(parameters, result) { "RCPT TO:<a@x> " parameters, SMTP_RCPT, result }
    static const struct row rows[] = {
        M("SIZE=0", OK), M("SIZE=99999999999999999999", OK), M("SIZE=100000000000000000000", PARAMETER),
        M("SIZE=", PARAMETER),
        M("SIZE", PARAMETER), M("SIZE=-1", PARAMETER), M("SIZE=1k", PARAMETER), M("SIZE=1 SIZE=1", PARAMETER),
        M("size=1  body=8bitmime", OK), M("BODY=7BIT", OK), M("BODY=", PARAMETER), M("BODY=9BIT", PARAMETER),
        M("BODY=BINARYMIME", UNKNOWN), M("BODY=7BIT BODY=8BITMIME", PARAMETER), M("SMTPUTF8", OK),
        M("SMTPUTF8=", PARAMETER),
        M("SMTPUTF8=1", PARAMETER), M("RET=FULL", OK), M("RET=hdrs", OK), M("RET=BODY", PARAMETER),
        M("ENVID=QQ+3D1", OK),
        M("ENVID=a=b", PARAMETER), M("ENVID=+3d", PARAMETER), M("AUTH=<>", OK), M("AUTH=a+2Bb@x", OK),
        M("AUTH=", PARAMETER),
        M("AUTH=a=b", PARAMETER), M("FOO", UNKNOWN), M("FOO=1", UNKNOWN), M("NOTIFY=NEVER", UNKNOWN), M("-X=1", SYNTAX),
        M("=1", SYNTAX), M("A_B=1", SYNTAX), M("\xc3\xa4=1", SYNTAX),
        R("NOTIFY=NEVER", OK), R("NOTIFY=SUCCESS,failure,DELAY", OK), R("NOTIFY=NEVER,DELAY", PARAMETER),
        R("NOTIFY=DELAY,NEVER", PARAMETER), R("NOTIFY=", PARAMETER), R("NOTIFY=DELAY,", PARAMETER),
        R("NOTIFY=,DELAY", PARAMETER),
        R("NOTIFY=DELAY NOTIFY=DELAY", PARAMETER), R("ORCPT=rfc822;a+40x", OK), R("ORCPT=rfc822", PARAMETER),
        R("ORCPT=rfc822;", PARAMETER), R("ORCPT=;a", PARAMETER), R("ORCPT=rf(;a", PARAMETER),
        R("ORCPT=rfc822;a=b", PARAMETER),
        R("ORCPT=utf-8;\xc3\xa4@x", PARAMETER), R("SIZE=1", UNKNOWN), R("RET=FULL", UNKNOWN),
    };
    CHECK_ROWS(rows);
}

static void values_of_parameters_are_kept_as_written(void **state) {
    (void)state;
    struct smtp_command c;
    struct str line = STR("MAIL FROM:<a@x> SIZE=1234 BODY=8BITMIME SMTPUTF8 RET=Full ENVID=e+3D AUTH=<>");
    assert_int_equal(smtp_command_parse(line, false, &c), OK);
    assert_int_equal(c.parameters,
        SMTP_HAS_SIZE | SMTP_HAS_BODY | SMTP_HAS_SMTPUTF8 | SMTP_HAS_RET | SMTP_HAS_ENVID | SMTP_HAS_AUTH);
    assert_int_equal(c.size, 1234);
    assert_int_equal(c.body, SMTP_BODY_8BITMIME);
    assert_true(str_eq(c.ret, STR("Full")));
    assert_true(str_eq(c.envid, STR("e+3D")));
    assert_true(str_eq(c.address.domain, STR("x")));
    assert_int_equal(smtp_command_parse(STR("RCPT TO:<b@x> NOTIFY=DELAY ORCPT=rfc822;b@x"), false, &c), OK);
    assert_int_equal(c.parameters, SMTP_HAS_NOTIFY | SMTP_HAS_ORCPT);
    assert_true(str_eq(c.notify, STR("DELAY")));
    assert_true(str_eq(c.orcpt, STR("rfc822;b@x")));
    assert_int_equal(smtp_command_parse(STR("MAIL FROM:<> SIZE=99999999999999999999"), false, &c), OK);
    assert_true(c.size == UINT64_MAX);
}

static void envid_has_100_bytes_and_orcpt_500_at_most(void **state) {
    (void)state;
    struct smtp_command c;
    char line[600] = "MAIL FROM:<> ENVID=";
    size_t n = strlen(line);
    memset(line + n, 'e', 101);
    assert_int_equal(smtp_command_parse((struct str){ line, n + 100 }, false, &c), OK);
    assert_int_equal(smtp_command_parse((struct str){ line, n + 101 }, false, &c), PARAMETER);
    strcpy(line, "RCPT TO:<a@x> ORCPT=rfc822;");
    n = strlen(line);
    memset(line + n, 'o', 494);
    assert_int_equal(smtp_command_parse((struct str){ line, n + 493 }, false, &c), OK);
    assert_int_equal(smtp_command_parse((struct str){ line, n + 494 }, false, &c), PARAMETER);
}

static void utf8_needs_smtputf8(void **state) {
    (void)state;
    struct smtp_command c;
    assert_int_equal(smtp_command_parse(STR("MAIL FROM:<\xc3\xa4@x>"), true, &c), UTF8);
    assert_int_equal(smtp_command_parse(STR("MAIL FROM:<\xc3\xa4@x> SMTPUTF8"), false, &c), OK);
    assert_true(c.address.is_utf8);
    assert_int_equal(smtp_command_parse(STR("MAIL FROM:<\xc3@x> SMTPUTF8"), true, &c), UTF8);
    assert_int_equal(smtp_command_parse(STR("RCPT TO:<\xc3\xa4@x>"), false, &c), UTF8);
    assert_int_equal(smtp_command_parse(STR("RCPT TO:<\xc3\xa4@x>"), true, &c), OK);
    assert_int_equal(smtp_command_parse(STR("RCPT TO:<a@x> ORCPT=utf-8;\xc3\xa4@x"), true, &c), OK);
    assert_int_equal(smtp_command_parse(STR("RCPT TO:<a@x> ORCPT=rfc822;\xc3\xa4@x"), true, &c), PARAMETER);
    assert_int_equal(smtp_command_parse(STR("RCPT TO:<a@x> ORCPT=utf-8;\xc3@x"), true, &c), PARAMETER);
}

static void bdat_takes_a_size_that_fits_and_last(void **state) {
    (void)state;
    struct smtp_command c;
    assert_int_equal(smtp_command_parse(STR("BDAT 18446744073709551615 last"), false, &c), OK);
    assert_true(c.chunk_size == UINT64_MAX && c.is_last);
    assert_int_equal(smtp_command_parse(STR("BDAT 0"), false, &c), OK);
    assert_true(c.chunk_size == 0 && !c.is_last);
    static const struct row rows[] = {
        { "BDAT", SMTP_BDAT, SYNTAX }, { "BDAT LAST", SMTP_BDAT, SYNTAX },
        { "BDAT 18446744073709551616", SMTP_BDAT, SYNTAX },
        { "BDAT 100000000000000000000000000000", SMTP_BDAT, SYNTAX }, { "BDAT -1", SMTP_BDAT, SYNTAX },
        { "BDAT +1", SMTP_BDAT, SYNTAX }, { "BDAT 1x", SMTP_BDAT, SYNTAX }, { "BDAT 1 LASTLY", SMTP_BDAT, SYNTAX },
        { "BDAT 1 LAST x", SMTP_BDAT, SYNTAX }, { "BDAT 0x10", SMTP_BDAT, SYNTAX },
    };
    CHECK_ROWS(rows);
}

static void a_line_ends_at_crlf_only(void **state) {
    (void)state;
    size_t consumed = 99;
    assert_int_equal(smtp_line_find("", 0, &consumed), -1);
    assert_int_equal(smtp_line_find("QUIT", 4, &consumed), -1);
    assert_int_equal(smtp_line_find("QUIT\r", 5, &consumed), -1);
    assert_int_equal(smtp_line_find("QUIT\n", 5, &consumed), -1);
    assert_int_equal(smtp_line_find("\n", 1, &consumed), -1);
    assert_int_equal(consumed, 99);
    assert_int_equal(smtp_line_find("QUIT\r\nNOOP\r\n", 12, &consumed), 4);
    assert_int_equal(consumed, 6);
    assert_int_equal(smtp_line_find("A\nB\rC\r\n", 7, &consumed), 5);
    assert_int_equal(consumed, 7);
    assert_int_equal(smtp_line_find("A\r\r\n", 4, &consumed), 2);
    assert_int_equal(smtp_line_find("\r\n", 2, &consumed), 0);
    assert_int_equal(consumed, 2);
}

static void xclient_attributes_come_one_at_a_time(void **state) {
    (void)state;
    struct buf value;
    buf_init(&value, 16);
    struct str name, rest = STR("NAME=mail+2Eexample HELO=[UNAVAILABLE]  port=25");
    assert_int_equal(smtp_xclient_next(&rest, &name, &value), 1);
    assert_true(str_eq(name, STR("NAME")) && str_eq(buf_str(&value), STR("mail.example")));
    assert_int_equal(smtp_xclient_next(&rest, &name, &value), 1);
    assert_true(str_eq(name, STR("HELO")) && str_eq(buf_str(&value), STR("[UNAVAILABLE]")));
    assert_int_equal(smtp_xclient_next(&rest, &name, &value), 1);
    assert_true(str_eq(name, STR("port")) && str_eq(buf_str(&value), STR("25")));
    assert_int_equal(smtp_xclient_next(&rest, &name, &value), 0);
    static const char *const bad[] = { "NAME", "NAME=", "=x", "NAME=+", "NAME=+00", "NAME=a+0D+0Ab", "NA ME=x" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rest = str_of(bad[i]);
        assert_int_equal(smtp_xclient_next(&rest, &name, &value), -EINVAL);
        assert_ptr_equal(rest.at, bad[i]);
    }
    rest = STR("NAME=12345678901234567");
    assert_int_equal(smtp_xclient_next(&rest, &name, &value), -ENOBUFS);
    buf_deinit(&value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_are_found_without_regard_to_case),
        cmocka_unit_test(what_is_no_verb_is_unknown),
        cmocka_unit_test(control_characters_are_refused_wherever_they_stand),
        cmocka_unit_test(arguments_are_asked_for_where_the_grammar_has_them),
        cmocka_unit_test(a_helo_name_of_255_bytes_is_taken_and_one_of_256_is_not),
        cmocka_unit_test(mail_and_rcpt_need_a_path_in_brackets),
        cmocka_unit_test(parameters_are_known_once_and_well_formed),
        cmocka_unit_test(values_of_parameters_are_kept_as_written),
        cmocka_unit_test(envid_has_100_bytes_and_orcpt_500_at_most),
        cmocka_unit_test(utf8_needs_smtputf8),
        cmocka_unit_test(bdat_takes_a_size_that_fits_and_last),
        cmocka_unit_test(a_line_ends_at_crlf_only),
        cmocka_unit_test(xclient_attributes_come_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
