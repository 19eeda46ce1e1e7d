/*
 * What a file says of its message comes back as it was, whatever senders have put into it, and nothing else passes for
 * one.
 */
#include "quarantine/entry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct str recipients[] = { STR_INIT("anna@example.com"), STR_INIT("b%e\nrt@example.com") };
static const struct str addresses[] = { STR_INIT("anna@example.com"), STR_INIT("rest\r@example.com") };
static const struct quarantine_entry entry = {
    .id = STR_INIT("d23r28hv000400.2"), .time = STR_INIT("2026-11-27T20:48:46.123Z"),
    .host = STR_INIT("mx.example.com"), .client = STR_INIT("203.0.113.7"), .helo = STR_INIT("a\r\nid: x\x7f"),
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
        { "postern quarantine 1\nid: a.1\nrecipient: b\nnew: c\n\n", 0 },
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
        buf_puts(&out, STR("recipient: a@b\n"));
    buf_puts(&out, STR("\n"));
    assert_int_equal(quarantine_entry_parse(buf_str(&out), &arena, &back, &len), -EBADMSG);
    arena_reset(&arena);
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_as_it_was),
        cmocka_unit_test(it_holds_all_recipients_that_it_takes),
        cmocka_unit_test(nothing_else_is_one),
        cmocka_unit_test(recipients_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
