/*
 * As whom a client is known: who vouches for whom, and who is alone.
 */
#include "facts/greylist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct smtp_address address_of(const char *text) {
    struct smtp_address address = { 0 };
    if (text[0] != '\0')
        assert_int_equal(smtp_address_parse(str_of(text), true, &address), SMTP_ADDRESS_OK);
    return address;
}

static struct ptr_result ptr_of(enum ptr_status status, const char *name, const char *client) {
    struct ptr_result ptr = { .status = (uint8_t)status, .name_len = (uint8_t)strlen(name) };
    struct ip ip;
    assert_int_equal(ip_parse(str_of(client), &ip), 0);
    memcpy(ptr.name, name, ptr.name_len);
    ptr.class = (uint8_t)name_classify(str_of(name), &ip);
    return ptr;
}

static struct greylist_words words;

static struct greylist_question question_of(const char *client, enum ptr_status status, const char *name,
                                            const char *spf) {
    struct greylist_question question;
    struct ptr_result ptr = ptr_of(status, name, client);
    struct greylist_client from = { .ptr = &ptr, .spf_domain = str_of(spf) };
    struct smtp_address sender = address_of("Anna+x@example.org"), recipient = address_of("Bert@Example.NET");
    assert_int_equal(ip_parse(str_of(client), &from.ip), 0);
    greylist_question_make(&from, &sender, &recipient, &words, &question);
    return question;
}

/* "net:192.0.2.0/24 (looked up) ip:192.0.2.7" */
static const char *identities_of(const struct greylist_question *question, char out[1024]) {
    size_t len = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < question->n_identities; i++)
        len += (size_t)snprintf(out + len, 1024 - len, "%s%.*s%s", i > 0 ? " " : "",
                                STR_ARG(question->identities[i]), i < question->n_looked_up ? " (looked up)" : "");
    return out;
}

static const struct {
    const char *client;
    enum ptr_status status;
    const char *name, *spf, *identities;
} rows[] = {
    /* a pool with confirmed names is one, wherever it stands */
    { "192.0.2.7", PTR_CONFIRMED, "mail-yw1-f202.google.com", "", "org:google.com net:192.0.2.0/24 ip:192.0.2.7" },
    { "198.51.100.9", PTR_CONFIRMED, "mail-oi1-f169.google.com", "",
      "org:google.com net:198.51.100.0/24 ip:198.51.100.9" },
    { "192.0.2.7", PTR_CONFIRMED, "MX.Example.CO.UK", "", "org:example.co.uk net:192.0.2.0/24 ip:192.0.2.7" },
    { "192.0.2.7", PTR_CONFIRMED, "one.blogspot.com", "", "org:one.blogspot.com net:192.0.2.0/24 ip:192.0.2.7" },
    { "2001:db8:1:2::7", PTR_CONFIRMED, "mx.example.com", "", "org:example.com ip:2001:db8:1:2::/64" },
    /* a name that stands on a public suffix itself is nobody's */
    { "192.0.2.7", PTR_CONFIRMED, "co.uk", "", "net:192.0.2.0/24 ip:192.0.2.7" },
    { "192.0.2.7", PTR_CONFIRMED, "localhost", "", "net:192.0.2.0/24 ip:192.0.2.7" },
    /* customers of a provider */
    { "192.0.2.7", PTR_CONFIRMED, "host-192-0-2-7.dsl.example.net", "", "ip:192.0.2.7" },
    { "192.0.2.7", PTR_UNCONFIRMED, "host-192-0-2-7.dsl.example.net", "", "ip:192.0.2.7" },
    { "2001:db8:1:2::7", PTR_CONFIRMED, "2001-db8-1-2--7.dsl.example.net", "", "ip:2001:db8:1:2::/64" },
    { "192.0.2.7", PTR_CONFIRMED, "static.192-0-2-7.clients.example.net", "", "net:192.0.2.0/24 ip:192.0.2.7" },
    /* nobody can say */
    { "192.0.2.7", PTR_NONE, "", "", "net:192.0.2.0/24 ip:192.0.2.7" },
    { "192.0.2.7", PTR_UNCONFIRMED, "mx.example.com", "", "net:192.0.2.0/24 ip:192.0.2.7" },
    { "192.0.2.7", PTR_UNAVAILABLE, "", "", "net:192.0.2.0/24 (looked up) ip:192.0.2.7" },
    { "192.0.2.7", PTR_NAMED, "", "", "net:192.0.2.0/24 (looked up) ip:192.0.2.7" },
    { "2001:db8:1:2::7", PTR_UNAVAILABLE, "", "", "ip:2001:db8:1:2::/64" },
    { "2001:db8:1:2::7", PTR_NONE, "", "", "ip:2001:db8:1:2::/64" },
    /* whom SPF names */
    { "192.0.2.7", PTR_CONFIRMED, "mx.example.com", "Example.ORG",
      "spf:example.org org:example.com net:192.0.2.0/24 ip:192.0.2.7" },
    { "192.0.2.7", PTR_UNAVAILABLE, "", "example.org", "spf:example.org net:192.0.2.0/24 ip:192.0.2.7" },
    { "192.0.2.7", PTR_CONFIRMED, "host-192-0-2-7.dsl.example.net", "example.org", "spf:example.org ip:192.0.2.7" },
};

static void a_client_has_these_identities(void **state) {
    char text[1024];
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct greylist_question question = question_of(rows[i].client, rows[i].status, rows[i].name, rows[i].spf);
        if (strcmp(identities_of(&question, text), rows[i].identities) != 0)
            fail_msg("%s %s is %s, not %s", rows[i].client, rows[i].name, text, rows[i].identities);
    }
}

/* What the store would do: under the strongest that may be written, and under the last. */
static bool vouches(const struct greylist_question *one, const struct greylist_question *other) {
    for (unsigned i = 0; i < other->n_identities; i++)
        if (str_eq(one->identities[one->n_looked_up], other->identities[i])
            || str_eq(one->identities[one->n_identities - 1], other->identities[i]))
            return true;
    return false;
}

static void two_lines_of_one_provider_never_vouch_for_each_other(void **state) {
    static const enum ptr_status statuses[] = { PTR_CONFIRMED, PTR_UNCONFIRMED, PTR_UNAVAILABLE, PTR_NAMED };
    for (size_t a = 0; a < 4; a++)
        for (size_t b = 0; b < 4; b++) {
            bool has_a = statuses[a] >= PTR_UNCONFIRMED, has_b = statuses[b] >= PTR_UNCONFIRMED;
            struct greylist_question one = question_of("192.0.2.7", statuses[a],
                                                       has_a ? "host-192-0-2-7.dsl.example.net" : "", "");
            struct greylist_words kept = words;
            for (unsigned i = 0; i < one.n_identities; i++)
                one.identities[i].at = kept.identities[i];
            struct greylist_question other = question_of("192.0.2.8", statuses[b],
                                                         has_b ? "host-192-0-2-8.dsl.example.net" : "", "");
            assert_false(vouches(&one, &other));
        }
}

static void a_name_that_comes_or_goes_makes_nobody_a_stranger(void **state) {
    static const struct { enum ptr_status status; const char *name; } names[] = {
        { PTR_CONFIRMED, "mx.example.com" }, { PTR_UNCONFIRMED, "mx.example.com" }, { PTR_NONE, "" },
        { PTR_UNAVAILABLE, "" }, { PTR_CONFIRMED, "host-192-0-2-7.dsl.example.net" },
    };
    for (size_t a = 0; a < 5; a++)
        for (size_t b = 0; b < 5; b++) {
            struct greylist_question before = question_of("192.0.2.7", names[a].status, names[a].name, "");
            struct greylist_words kept = words;
            for (unsigned i = 0; i < before.n_identities; i++)
                before.identities[i].at = kept.identities[i];
            struct greylist_question after = question_of("192.0.2.7", names[b].status, names[b].name, "");
            assert_true(vouches(&before, &after));
        }
}

static void sender_and_recipient_are_normalised(void **state) {
    struct greylist_question question = question_of("192.0.2.7", PTR_NONE, "", "");
    assert_true(str_eq(question.sender, STR("anna@example.org")));
    assert_true(str_eq(question.recipient, STR("bert@example.net")));
    assert_false(question.is_null_sender);
    assert_false(question.is_read_only);
}

static void the_null_sender_is_told_as_such(void **state) {
    struct greylist_question question;
    struct ptr_result ptr = { .status = PTR_NONE };
    struct greylist_client client = { .ip = { .family = IP_V4 }, .ptr = &ptr };
    struct smtp_address sender = { 0 }, recipient = address_of("bert@example.net");
    greylist_question_make(&client, &sender, &recipient, &words, &question);
    assert_true(question.is_null_sender);
    assert_true(str_eq(question.sender, STR("<>")));
}

/* The longest names there can be. */
static void identities_fit_into_a_question(void **state) {
    char name[DNS_NAME_MAX + 1];
    for (size_t i = 0; i < DNS_NAME_MAX; i++)
        name[i] = i % 60 == 59 ? '.' : 'a';
    memcpy(name + DNS_NAME_MAX - 9, ".test.com", 9);
    name[DNS_NAME_MAX] = '\0';
    struct greylist_question question = question_of("192.0.2.7", PTR_CONFIRMED, name, name);
    for (unsigned i = 0; i < question.n_identities; i++)
        assert_true(question.identities[i].len <= GREYLIST_TEXT_MAX);
    assert_int_equal(question.identities[0].len, 4 + DNS_NAME_MAX);
}

static void seconds_are_told_rounded_up(void **state) {
    static const uint32_t seconds[][2] = {
        { 0, 0 }, { 1, 1 }, { 10, 10 }, { 11, 20 }, { 60, 60 }, { 61, 90 }, { 287, 300 }, { 300, 300 }, { 301, 330 },
        { 601, 660 }, { 86400, 86400 },
    };
    for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++)
        assert_int_equal(greylist_seconds_told(seconds[i][0]), seconds[i][1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_has_these_identities),
        cmocka_unit_test(two_lines_of_one_provider_never_vouch_for_each_other),
        cmocka_unit_test(a_name_that_comes_or_goes_makes_nobody_a_stranger),
        cmocka_unit_test(sender_and_recipient_are_normalised),
        cmocka_unit_test(the_null_sender_is_told_as_such),
        cmocka_unit_test(identities_fit_into_a_question),
        cmocka_unit_test(seconds_are_told_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
