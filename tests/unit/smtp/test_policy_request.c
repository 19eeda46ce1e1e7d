/*
 * test_policy_request: requests of Postfix, whole, cut, at each bound, and wrong.
 */
#include "smtp/policy_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define START "request=smtpd_access_policy\n"

static enum policy_request_result result_of(const char *text, size_t len) {
    struct policy_request request;
    size_t consumed;
    enum policy_request_result result = policy_request_parse(text, len, &consumed, &request);
    assert_int_equal(result == POLICY_REQUEST_READY, consumed > 0);
    return result;
}

static void check_bad(struct str text) {
    if (result_of(text.at, text.len) != POLICY_REQUEST_BAD)
        fail_msg("taken: %.*s", (int)text.len, text.at);
}

static const char postfix_asks[] =
    START "protocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=203.0.113.7\nclient_name=mail.example.net\n"
    "client_port=40000\nreverse_client_name=mail.example.net\nserver_address=192.0.2.25\nserver_port=25\n"
    "helo_name=mail.example.net\nsender=a=b@example.net\nrecipient=user@example.com\nrecipient_count=0\nqueue_id=\n"
    "instance=123.456.7\nsize=12345\netrn_domain=\nstress=\nsasl_method=plain\nsasl_username=you\nsasl_sender=\n"
    "ccert_subject=solaris9.porcupine.org\nccert_issuer=Wietse+20Venema\nccert_fingerprint=C2:9D\n"
    "ccert_pubkey_fingerprint=AA:BB\nencryption_protocol=TLSv1/SSLv3\nencryption_cipher=DHE-RSA-AES256-SHA\n"
    "encryption_keysize=256\npolicy_context=submission\ncompatibility_level=3.10\nmail_version=3.10.0\n\n";

static void what_postfix_sends_is_read_whole(void **state) {
    (void)state;
    static const char *const values[N_POLICY_ATTRIBUTES] = {
        [POLICY_REQUEST] = "smtpd_access_policy", [POLICY_PROTOCOL_STATE] = "RCPT", [POLICY_PROTOCOL_NAME] = "ESMTP",
        [POLICY_HELO_NAME] = "mail.example.net", [POLICY_QUEUE_ID] = "", [POLICY_SENDER] = "a=b@example.net",
        [POLICY_RECIPIENT] = "user@example.com", [POLICY_RECIPIENT_COUNT] = "0",
        [POLICY_CLIENT_ADDRESS] = "203.0.113.7", [POLICY_CLIENT_NAME] = "mail.example.net",
        [POLICY_REVERSE_CLIENT_NAME] = "mail.example.net", [POLICY_INSTANCE] = "123.456.7",
        [POLICY_SASL_METHOD] = "plain", [POLICY_SASL_USERNAME] = "you", [POLICY_SASL_SENDER] = "",
        [POLICY_SIZE] = "12345", [POLICY_CCERT_SUBJECT] = "solaris9.porcupine.org",
        [POLICY_CCERT_ISSUER] = "Wietse+20Venema", [POLICY_CCERT_FINGERPRINT] = "C2:9D",
        [POLICY_CCERT_PUBKEY_FINGERPRINT] = "AA:BB", [POLICY_ENCRYPTION_PROTOCOL] = "TLSv1/SSLv3",
        [POLICY_ENCRYPTION_CIPHER] = "DHE-RSA-AES256-SHA", [POLICY_ENCRYPTION_KEYSIZE] = "256",
        [POLICY_ETRN_DOMAIN] = "", [POLICY_STRESS] = "", [POLICY_CLIENT_PORT] = "40000",
        [POLICY_POLICY_CONTEXT] = "submission", [POLICY_SERVER_ADDRESS] = "192.0.2.25", [POLICY_SERVER_PORT] = "25",
        [POLICY_COMPATIBILITY_LEVEL] = "3.10", [POLICY_MAIL_VERSION] = "3.10.0",
    };
    struct policy_request request;
    size_t consumed;
    assert_int_equal(policy_request_parse(postfix_asks, sizeof(postfix_asks) - 1, &consumed, &request),
                     POLICY_REQUEST_READY);
    assert_int_equal(consumed, sizeof(postfix_asks) - 1);
    for (unsigned i = 0; i < N_POLICY_ATTRIBUTES; i++)
        assert_true(str_eq(request.value[i], str_of(values[i])));
}

static void each_shorter_part_waits_for_more(void **state) {
    (void)state;
    for (size_t n = 0; n < sizeof(postfix_asks) - 1; n++)
        assert_int_equal(result_of(postfix_asks, n), POLICY_REQUEST_MORE);
}

static void the_next_request_is_left_alone(void **state) {
    (void)state;
    static const char two[] = START "sender=a@b\n\n" START "sender=c@d\n\n";
    struct policy_request request;
    size_t consumed;
    assert_int_equal(policy_request_parse(two, sizeof(two) - 1, &consumed, &request), POLICY_REQUEST_READY);
    assert_int_equal(consumed, (sizeof(two) - 1) / 2);
    assert_true(str_eq(request.value[POLICY_SENDER], STR("a@b")));
}

static void attributes_of_later_versions_are_ignored(void **state) {
    (void)state;
    static const char text[] = "new_thing=1\n" START "new_thing=2\nSender=no@example.net\n\n";
    struct policy_request request;
    size_t consumed;
    assert_int_equal(policy_request_parse(text, sizeof(text) - 1, &consumed, &request), POLICY_REQUEST_READY);
    assert_int_equal(request.value[POLICY_SENDER].len, 0);
}

static void bytes_above_127_are_kept(void **state) {
    (void)state;
    static const char text[] = START "helo_name=\xff\xc3\xb6\n\n";
    struct policy_request request;
    size_t consumed;
    assert_int_equal(policy_request_parse(text, sizeof(text) - 1, &consumed, &request), POLICY_REQUEST_READY);
    assert_true(str_eq(request.value[POLICY_HELO_NAME], STR("\xff\xc3\xb6")));
}

static void what_is_no_request_is_bad(void **state) {
    (void)state;
    check_bad(STR("\n"));
    check_bad(STR("sender=a@b\n\n"));
    check_bad(STR("request=junk\n"));
    check_bad(STR("request=\n"));
    check_bad(STR("GET / HTTP/1.1\r\n"));
    check_bad(STR("EHLO example.net\n"));
    check_bad(STR(START "sender\n"));
    check_bad(STR(START "=a@b\n"));
}

static void an_attribute_that_stands_there_twice_is_bad(void **state) {
    (void)state;
    check_bad(STR(START START));
    check_bad(STR(START "sender=a@b\nsender=a@b\n"));
    check_bad(STR(START "sender=\nsender=a@b\n"));
}

static void control_bytes_are_bad(void **state) {
    (void)state;
    check_bad(STR(START "sender=a\0b\n"));
    check_bad(STR(START "sender=a\rb\n"));
    check_bad(STR(START "sender=a@b\r\n"));
    check_bad(STR(START "sender=\tb\n"));
    check_bad(STR(START "sender=\x7f\n"));
    check_bad(STR(START "un\x01known=1\n"));
}

/* START, a line of `line` bytes with its LF, and the end; returns its length. */
static size_t with_line(char *out, size_t line) {
    size_t len = (size_t)sprintf(out, START "helo_name=");
    size_t end = sizeof(START) - 1 + line;
    memset(out + len, 'x', end - len);
    memcpy(out + end - 1, "\n\n", 2);
    return end + 1;
}

static void lines_are_bounded(void **state) {
    (void)state;
    char text[POLICY_LINE_MAX + 64];
    size_t len = with_line(text, POLICY_LINE_MAX);
    assert_int_equal(result_of(text, len), POLICY_REQUEST_READY);
    len = with_line(text, POLICY_LINE_MAX + 1);
    assert_int_equal(result_of(text, len), POLICY_REQUEST_BAD);
    assert_int_equal(result_of(text, len - 2), POLICY_REQUEST_BAD); /* its end need not be waited for */
    assert_int_equal(result_of(text, len - 3), POLICY_REQUEST_MORE);
}

static void the_number_of_lines_is_bounded(void **state) {
    (void)state;
    for (unsigned more = 0; more <= 1; more++) {
        char text[4096];
        size_t len = (size_t)sprintf(text, START);
        for (unsigned n = 1; n < POLICY_LINES_MAX + more; n++)
            len += (size_t)sprintf(text + len, "n%u=1\n", n);
        assert_int_equal(result_of(text, len), more ? POLICY_REQUEST_BAD : POLICY_REQUEST_MORE);
        text[len++] = '\n';
        assert_int_equal(result_of(text, len), more ? POLICY_REQUEST_BAD : POLICY_REQUEST_READY);
    }
}

/* A request of `size` bytes in all. */
static char *of_size(size_t size) {
    char *text = malloc(size);
    assert_non_null(text);
    size_t len = (size_t)sprintf(text, START), end = size - 1;
    while (len < end) {
        size_t line = end - len < 8000 ? end - len : end - len < 16000 ? (end - len) / 2 : 8000;
        memset(text + len, 'x', line);
        text[len + 1] = '=';
        text[len + line - 1] = '\n';
        len += line;
    }
    text[end] = '\n';
    return text;
}

static void requests_are_bounded(void **state) {
    (void)state;
    char *text = of_size(POLICY_REQUEST_MAX);
    assert_int_equal(result_of(text, POLICY_REQUEST_MAX), POLICY_REQUEST_READY);
    free(text);
    text = of_size(POLICY_REQUEST_MAX + 1);
    assert_int_equal(result_of(text, POLICY_REQUEST_MAX + 1), POLICY_REQUEST_BAD);
    assert_int_equal(result_of(text, POLICY_REQUEST_MAX), POLICY_REQUEST_BAD);
    assert_int_equal(result_of(text, POLICY_REQUEST_MAX - 1), POLICY_REQUEST_MORE);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_postfix_sends_is_read_whole),
        cmocka_unit_test(each_shorter_part_waits_for_more),
        cmocka_unit_test(the_next_request_is_left_alone),
        cmocka_unit_test(attributes_of_later_versions_are_ignored),
        cmocka_unit_test(bytes_above_127_are_kept),
        cmocka_unit_test(what_is_no_request_is_bad),
        cmocka_unit_test(an_attribute_that_stands_there_twice_is_bad),
        cmocka_unit_test(control_bytes_are_bad),
        cmocka_unit_test(lines_are_bounded),
        cmocka_unit_test(the_number_of_lines_is_bounded),
        cmocka_unit_test(requests_are_bounded),
    };
    return cmocka_run_group_tests_name("policy_request", tests, NULL, NULL);
}
