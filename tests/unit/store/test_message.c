/*
 * Messages between worker and store: what is written is read again; bounds hold at the bound and not past it; every
 * byte that does not belong makes a message none.
 */
#include "store_test.h"

static struct buf written(const struct greylist_question *question) {
    struct buf out;
    buf_init(&out, 2 * STORE_MESSAGE_MAX);
    assert_int_equal(store_question_put(&out, STORE_QUESTION, 77, question), 0);
    return out;
}

/* The bytes of a question that the program would not write. */
static struct buf forged(const struct greylist_question *q) {
    struct buf out;
    buf_init(&out, 2 * STORE_MESSAGE_MAX);
    struct store_question_head head = { .len = sizeof(head), .type = STORE_QUESTION, .n_identities = q->n_identities,
                                        .flags = q->is_null_sender ? 2 : 0 };
    assert_int_equal(buf_put(&out, &head, sizeof(head)), 0);
    for (unsigned i = 0; i < 2 + (unsigned)q->n_identities; i++) {
        struct str text = i == 0 ? q->sender : i == 1 ? q->recipient : q->identities[i - 2];
        head.text_len[i] = (uint16_t)text.len;
        head.len += (uint32_t)text.len;
        assert_int_equal(buf_puts(&out, text), 0);
    }
    memcpy(out.at, &head, sizeof(head));
    return out;
}

static void assert_str(struct str text, const char *expected) {
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.at, expected, text.len);
}

static void a_question_is_read_as_it_was_written(void **state) {
    struct greylist_question question = question_for_test("anna@example.net");
    struct store_message m;
    question.is_read_only = true;
    question.n_looked_up = 1;
    struct buf out = written(&question);
    assert_int_equal(store_message_parse(out.at, out.len, &m), out.len);
    assert_int_equal(m.type, STORE_QUESTION);
    assert_int_equal(m.number, 77);
    assert_int_equal(m.question.n_identities, 2);
    assert_int_equal(m.question.n_looked_up, 1);
    assert_str(m.question.identities[0], "org:example.net");
    assert_str(m.question.identities[1], "ip:192.0.2.1");
    assert_str(m.question.sender, "anna@example.net");
    assert_str(m.question.recipient, "bert@example.com");
    assert_true(m.question.is_read_only && !m.question.is_null_sender);
    buf_deinit(&out);
}

static void an_answer_is_read_as_it_was_written(void **state) {
    const struct greylist_answer answer = { .status = GREYLIST_EARLY, .may_count = true, .seconds_left = 120,
                                            .waited = 180 };
    struct store_message m;
    struct buf out;
    buf_init(&out, 2 * STORE_ANSWER_SIZE);
    assert_int_equal(store_answer_put(&out, 5, &answer), 0);
    assert_int_equal(store_answer_put(&out, 6, NULL), 0);
    assert_int_equal(store_message_parse(out.at, out.len, &m), STORE_ANSWER_SIZE);
    assert_int_equal(m.number, 5);
    assert_false(m.is_unavailable);
    assert_int_equal(m.answer.status, GREYLIST_EARLY);
    assert_int_equal(m.answer.seconds_left, 120);
    assert_int_equal(m.answer.waited, 180);
    assert_true(m.answer.may_count);
    assert_int_equal(store_message_parse(out.at + STORE_ANSWER_SIZE, STORE_ANSWER_SIZE, &m), STORE_ANSWER_SIZE);
    assert_int_equal(m.number, 6);
    assert_true(m.is_unavailable);
    assert_int_equal(store_answer_put(&out, 7, NULL), -ENOBUFS);
    buf_deinit(&out);
}

static void a_part_of_a_message_is_not_complete(void **state) {
    struct greylist_question question = question_for_test("anna@example.net");
    struct buf out = written(&question);
    struct store_message m;
    for (size_t n = 0; n < out.len; n++)
        assert_int_equal(store_message_parse(out.at, n, &m), 0);
    buf_deinit(&out);
}

static void texts_have_their_maximum(void **state) {
    char text[GREYLIST_TEXT_MAX + 2];
    memset(text, 'a', sizeof(text));
    text[GREYLIST_TEXT_MAX] = '\0';
    struct greylist_question question = question_for_test(text);
    char name[GREYLIST_TEXT_MAX + 1] = "org:";
    memset(name + 4, 'a', GREYLIST_TEXT_MAX - 4);
    question.identities[0] = (struct str){ name, GREYLIST_TEXT_MAX };
    question.recipient = str_of(text);
    struct buf out = written(&question);
    struct store_message m;
    const size_t len = out.len;
    assert_true(len <= STORE_MESSAGE_MAX);
    assert_int_equal(store_message_parse(out.at, out.len, &m), len);
    question.sender.len++;
    text[GREYLIST_TEXT_MAX] = 'a';
    assert_int_equal(store_question_put(&out, STORE_QUESTION, 1, &question), -EINVAL);
    assert_int_equal(out.len, len); /* nothing of it stays */
    buf_deinit(&out);
}

static void a_question_needs_identity_and_recipient(void **state) {
    struct greylist_question question = question_for_test("<>");
    struct buf out = written(&question); /* the null sender is one */
    question.n_identities = 0;
    assert_int_equal(store_question_put(&out, STORE_QUESTION, 1, &question), -EINVAL);
    question.n_identities = GREYLIST_IDENTITIES_MAX + 1;
    assert_int_equal(store_question_put(&out, STORE_QUESTION, 1, &question), -EINVAL);
    question.n_identities = 3; /* the third is empty */
    assert_int_equal(store_question_put(&out, STORE_QUESTION, 1, &question), -EINVAL);
    question.n_identities = 2;
    question.recipient = (struct str){ 0 };
    assert_int_equal(store_question_put(&out, STORE_QUESTION, 1, &question), -EINVAL);
    buf_deinit(&out);
}

/*
 * Who plays the worker writes any bytes; what it may not say is no message, so that no row comes of it: settings have
 * no field at all, and each text is what facts/greylist.c writes.
 */
static void a_worker_says_no_more_than_a_question_holds(void **state) {
    static const struct {
        const char *identities[GREYLIST_IDENTITIES_MAX], *sender, *recipient;
        bool is_null, is_sound;
    } all[] = {
        { { "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, true },
        { { "net:192.0.2.0/24", "ip:192.0.2.1" }, "<>", "c@d.example", true, true },
        { { "spf:b.example", "org:b.example", "net:192.0.2.0/24", "ip:192.0.2.1" }, "a@b", "c@d", false, true },
        { { "ip:2001:db8::/64" }, "\xc3\xa4@b.example", "c d@e.example", false, true },
        { { "org:xn--4ca.example", "ip:2001:db8:1::/64" }, "a@b.example", "postmaster", false, true },
        { { "org:b.example" }, "a@b.example", "c@d.example", false, false },
        { { "ip:192.0.2.1", "org:b.example" }, "a@b.example", "c@d.example", false, false },
        { { "org:a.example", "org:b.example", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "ip:192.0.2.1", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "net:198.51.100.0/24", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "net:192.0.2.0/8", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "net:2001:db8::/64", "ip:2001:db8::/64" }, "a@b.example", "c@d.example", false, false },
        { { "ip:192.0.2.1/32" }, "a@b.example", "c@d.example", false, false },
        { { "ip:192.0.2.01" }, "a@b.example", "c@d.example", false, false },
        { { "ip:2001:db8::1/64" }, "a@b.example", "c@d.example", false, false },
        { { "ip:2001:db8::" }, "a@b.example", "c@d.example", false, false },
        { { "ip:" }, "a@b.example", "c@d.example", false, false },
        { { "org:", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "org:..", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "org:B.example", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "org:b.example\033[2J", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "who:b.example", "ip:192.0.2.1" }, "a@b.example", "c@d.example", false, false },
        { { "ip:192.0.2.1" }, "a@b.example\r\nx", "c@d.example", false, false },
        { { "ip:192.0.2.1" }, "a@b.example", "c@d.example\n", false, false },
        { { "ip:192.0.2.1" }, "a@b.example", "c\177@d.example", false, false },
        { { "ip:192.0.2.1" }, "", "c@d.example", true, false },
        { { "ip:192.0.2.1" }, "<>", "c@d.example", false, false },
        { { "ip:192.0.2.1" }, "a@b.example", "c@d.example", true, false },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct greylist_question q = { .sender = str_of(all[i].sender), .recipient = str_of(all[i].recipient),
                                       .is_null_sender = all[i].is_null };
        while (q.n_identities < GREYLIST_IDENTITIES_MAX && all[i].identities[q.n_identities] != NULL) {
            q.identities[q.n_identities] = str_of(all[i].identities[q.n_identities]);
            q.n_identities++;
        }
        struct buf out = forged(&q);
        struct store_message m;
        assert_int_equal(store_message_parse(out.at, out.len, &m), all[i].is_sound ? (int)out.len : -EBADMSG);
        buf_deinit(&out);
    }
}

/* Of the head every byte is looked at; each of these values is wrong there. */
static void what_does_not_belong_makes_it_no_message(void **state) {
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {
        { offsetof(struct store_question_head, len), 1 },
        { offsetof(struct store_question_head, len) + 3, 1 },
        { offsetof(struct store_question_head, type), 0 },
        { offsetof(struct store_question_head, type), STORE_ANSWER },
        { offsetof(struct store_question_head, flags), 4 },
        { offsetof(struct store_question_head, n_identities), 0 },
        { offsetof(struct store_question_head, n_identities), 1 },
        { offsetof(struct store_question_head, n_identities), 3 },
        { offsetof(struct store_question_head, n_identities), 255 },
        { offsetof(struct store_question_head, n_looked_up), 2 },
        { offsetof(struct store_question_head, text_len), 1 },
        { offsetof(struct store_question_head, text_len) + 1, 255 },
        { offsetof(struct store_question_head, text_len) + 2 * (STORE_TEXTS_MAX - 1), 1 },
    };
    struct greylist_question question = question_for_test("anna@example.net");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct buf out = written(&question);
        struct store_message m;
        out.at[wrong[i].at] = (char)wrong[i].value;
        assert_int_equal(store_message_parse(out.at, out.len, &m), -EBADMSG);
        buf_deinit(&out);
    }
}

static void an_answer_has_no_other_values(void **state) {
    static const size_t places[] = { offsetof(struct store_answer_message, is_unavailable),
                                     offsetof(struct store_answer_message, status),
                                     offsetof(struct store_answer_message, may_count) };
    const struct greylist_answer answer = { .status = GREYLIST_NEW };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct store_message m;
        struct buf out;
        buf_init(&out, STORE_ANSWER_SIZE);
        assert_int_equal(store_answer_put(&out, 1, &answer), 0);
        out.at[places[i]] = 9;
        assert_int_equal(store_message_parse(out.at, out.len, &m), -EBADMSG);
        buf_deinit(&out);
    }
}

/* A store that was taken over may not have a reply say 136 years. */
static void an_answer_has_no_more_seconds_than_a_delay(void **state) {
    struct greylist_answer answer = { .status = GREYLIST_NEW, .seconds_left = GREYLIST_DELAY_MAX };
    for (int past = 0; past < 2; past++, answer.seconds_left++) {
        struct store_message m;
        struct buf out;
        buf_init(&out, STORE_ANSWER_SIZE);
        assert_int_equal(store_answer_put(&out, 1, &answer), 0);
        assert_int_equal(store_message_parse(out.at, out.len, &m), past ? -EBADMSG : STORE_ANSWER_SIZE);
        buf_deinit(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_read_as_it_was_written),
        cmocka_unit_test(an_answer_is_read_as_it_was_written),
        cmocka_unit_test(a_part_of_a_message_is_not_complete),
        cmocka_unit_test(texts_have_their_maximum),
        cmocka_unit_test(a_question_needs_identity_and_recipient),
        cmocka_unit_test(a_worker_says_no_more_than_a_question_holds),
        cmocka_unit_test(what_does_not_belong_makes_it_no_message),
        cmocka_unit_test(an_answer_has_no_other_values),
        cmocka_unit_test(an_answer_has_no_more_seconds_than_a_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
