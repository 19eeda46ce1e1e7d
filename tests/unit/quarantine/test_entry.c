/*
 * What a file says of its message comes back as it was, whatever senders have put into it, and nothing else passes for
 * one.
 */
#include "quarantine/entry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct str recipients[] = { STR_INIT("anna@example.com"), STR_INIT("b%ert@example.com") };
static const struct str addresses[] = { STR_INIT("anna@example.com"), STR_INIT("\"r st\"@example.com") };
static const struct quarantine_entry entry = {
    .id = STR_INIT("d23r28hv000400.2"), .time = STR_INIT("2026-11-27T20:48:46.123Z"),
    .host = STR_INIT("mx.example.com"), .client = STR_INIT("203.0.113.7"), .helo = STR_INIT("a%0A: x"),
    .sender = STR_INIT(""), .kind = STR_INIT("spam"), .rule = STR_INIT("SPAM"),
    .action = STR_INIT("reject"), .details = STR_INIT("7 % \xc3\xa9"),
    .recipients = recipients, .addresses = addresses, .n_recipients = 2, .is_utf8 = true,
};

static void assert_str(struct str is, struct str should) {
    if (!str_eq(is, should))
        fail_msg("'%.*s', not '%.*s'", STR_ARG(is), STR_ARG(should));
}

static void it_comes_back_as_it_was(void **state) {
    struct buf out;
    struct arena arena = { 0 };
    struct quarantine_entry back;
    size_t len;
    buf_init(&out, 65536);
    assert_int_equal(quarantine_entry_format(&entry, &out), 0);
    const uint32_t head = out.len;
    buf_puts(&out, STR("Subject: x\r\n\r\nid: y\n\n"));
    for (uint32_t n = 0; n < head; n++) /* not whole */
        assert_int_equal(quarantine_entry_parse((struct str){ out.at, n }, &arena, &back, &len), -EAGAIN);
    assert_int_equal(quarantine_entry_parse(buf_str(&out), &arena, &back, &len), 0);
    assert_int_equal(len, head);
    assert_str(back.id, entry.id);
    assert_str(back.time, entry.time);
    assert_str(back.client, entry.client);
    assert_str(back.helo, entry.helo);
    assert_str(back.sender, entry.sender);
    assert_str(back.details, entry.details);
    assert_str(back.action, entry.action);
    assert_int_equal(back.n_recipients, 2);
    assert_str(back.recipients[1], recipients[1]);
    assert_str(back.addresses[0], addresses[0]);
    assert_str(back.addresses[1], addresses[1]);
    assert_true(back.is_utf8 && !back.is_8bit);
    arena_reset(&arena);
    buf_deinit(&out);
}

/* As many as a transaction may have. One more, or a head that nobody could read back, is not written. */
static void it_holds_all_recipients_that_it_takes(void **state) {
    struct str *many = calloc(QUARANTINE_RECIPIENTS_MAX + 1, sizeof(*many));
    struct quarantine_entry full = entry, back;
    struct arena arena = { 0 };
    struct buf out;
    size_t len;
    assert_non_null(many);
    for (size_t i = 0; i <= QUARANTINE_RECIPIENTS_MAX; i++)
        many[i] = STR("a@b.c");
    full.recipients = full.addresses = many;
    full.n_recipients = QUARANTINE_RECIPIENTS_MAX;
    buf_init(&out, QUARANTINE_HEAD_MAX);
    assert_int_equal(quarantine_entry_format(&full, &out), 0);
    assert_int_equal(quarantine_entry_parse(buf_str(&out), &arena, &back, &len), 0);
    assert_int_equal(back.n_recipients, QUARANTINE_RECIPIENTS_MAX);
    assert_str(back.recipients[QUARANTINE_RECIPIENTS_MAX - 1], many[0]);
    full.n_recipients++;
    buf_clear(&out);
    assert_int_equal(quarantine_entry_format(&full, &out), -ENOBUFS);
    arena_reset(&arena);
    buf_deinit(&out);
    free(many);
}

static void nothing_else_is_one(void **state) {
    static const struct {
        const char *text;
        int r;
    } texts[] = {
        { "", -EAGAIN },
        { "postern quara", -EAGAIN },
        { "Subject: x\r\n\r\n", -EBADMSG },
        { "postern quarantine 2\nid: a.1\nrecipient: b\n\n", -EBADMSG },
        { "postern quarantine 1\n\n", -EBADMSG },
        { "postern quarantine 1\nid: a.1\n\n", -EBADMSG },
        { "postern quarantine 1\nrecipient: a\n\n", -EBADMSG },
        { "postern quarantine 1\nid: a.1\nrecipient: b\nno colon\n\n", -EBADMSG },
        { "postern quarantine 1\nid: a%\nrecipient: b\n\n", -EBADMSG },
        { "postern quarantine 1\nid: a%4\nrecipient: b\n\n", -EBADMSG },
        { "postern quarantine 1\nid: a%zz\nrecipient: b\n\n", -EBADMSG },
        { "postern quarantine 1\nid: a.1\nrecipient: b@c.example\nnew: c\n\n", 0 },
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct arena arena = { 0 };
        struct quarantine_entry back;
        size_t len;
        int r = quarantine_entry_parse(str_of(texts[i].text), &arena, &back, &len);
        if (r != texts[i].r)
            fail_msg("'%s': %d", texts[i].text, r);
        arena_reset(&arena);
    }
}

static void recipients_are_bounded(void **state) {
    struct buf out;
    struct arena arena = { 0 };
    struct quarantine_entry back;
    size_t len;
    buf_init(&out, 1 << 20);
    buf_puts(&out, STR("postern quarantine 1\nid: a.1\n"));
    for (int i = 0; i <= QUARANTINE_RECIPIENTS_MAX; i++)
        buf_puts(&out, STR("recipient: a@b.c\n"));
    buf_puts(&out, STR("\n"));
    assert_int_equal(quarantine_entry_parse(buf_str(&out), &arena, &back, &len), -EBADMSG);
    arena_reset(&arena);
    buf_deinit(&out);
}

/* What a worker that was taken over may leave for root to read: each is refused by the name of its field. */
static void a_field_that_is_not_what_it_should_be_is_named(void **state) {
    static const struct {
        const char *lines, *field;
    } all[] = {
        { "sender: a@b.example>%0D%0ARCPT TO:<victim@c.example", "sender" },
        { "sender: a@b.example%0D%0ADATA", "sender" },
        { "sender: a@b.example>", "sender" },
        { "sender: a b@c.example", "sender" },
        { "sender: a%00@b.example", "sender" },
        { "recipient: b@c.example%0D%0AQUIT", "recipient" },
        { "recipient: ", "recipient" },
        { "recipient: <b@c.example>", "recipient" },
        { "recipient: b@c.example\nas: d@e.example%0D%0A", "as" },
        { "recipient: b@c.example\nas: ", "as" },
        { "id: a.1%0Ab", "id" },
        { "id: ../a.1", "id" },
        { "time: 2026%1B[2J", "time" },
        { "client: 192.0.2.1 [x", "client" },
        { "client: evil", "client" },
        { "kind: spam%1B]0;x%07", "kind" },
        { "action: a b", "action" },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char text[512];
        struct arena arena = { 0 };
        struct quarantine_entry back;
        size_t len;
        snprintf(text, sizeof(text), "postern quarantine 1\nid: a1.2\nrecipient: anna@example.com\n%s\n\n",
                 all[i].lines);
        assert_int_equal(quarantine_entry_parse(str_of(text), &arena, &back, &len), -EBADMSG);
        assert_non_null(back.malformed);
        assert_string_equal(back.malformed, all[i].field);
        arena_reset(&arena);
    }
}

static void free_text_comes_back_without_control_characters(void **state) {
    struct arena arena = { 0 };
    struct quarantine_entry back;
    size_t len;
    const char *text = "postern quarantine 1\nid: a1.2\nrecipient: postmaster\nhelo: a%0D%0AX: y\n"
                       "details: %1B[2J\nrule: R%07\nhost: %7F\n\n";
    assert_int_equal(quarantine_entry_parse(str_of(text), &arena, &back, &len), 0);
    assert_null(back.malformed);
    assert_str(back.helo, STR("a??X: y"));
    assert_str(back.details, STR("?[2J"));
    assert_str(back.rule, STR("R?"));
    assert_str(back.host, STR("?"));
    arena_reset(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_as_it_was),
        cmocka_unit_test(it_holds_all_recipients_that_it_takes),
        cmocka_unit_test(nothing_else_is_one),
        cmocka_unit_test(recipients_are_bounded),
        cmocka_unit_test(a_field_that_is_not_what_it_should_be_is_named),
        cmocka_unit_test(free_text_comes_back_without_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
