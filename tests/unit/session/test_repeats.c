/* repeats: what is written, kept and counted, minute by minute; many clients, one network, long lines. */
#include "session/repeats.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { WHAT = 7 };

struct fixture {
    struct repeats *repeats;
    uint64_t n_lines, n_counted; /* lines that were kept and written; what they stand for beside themselves */
    char text[64], last_id[REPEATS_ID_MAX];
};

static void on_line(void *arg, const struct repeats_line *line) {
    struct fixture *f = arg;
    f->n_lines++;
    f->n_counted += line->repeated;
    snprintf(f->text, sizeof(f->text), "%.*s", STR_ARG(str_head(line->text, 60)));
    snprintf(f->last_id, sizeof(f->last_id), "%s", line->last_id);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    const struct repeats_settings settings = { .write = on_line, .arg = f };
    hash_init();
    *state = f;
    return repeats_new(&settings, &f->repeats);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    repeats_free(f->repeats);
    free(f);
    return 0;
}

static struct ip client(const char *text) {
    struct ip ip;
    assert_int_equal(ip_parse(str_of(text), &ip), 0);
    return ip;
}

static const struct repeats_limits LIMITS = { .client = 3, .network = 100 };

/* One refusal, kept if that is wanted. */
static enum repeats_fate refuse(struct fixture *f, const char *who, uint64_t what, const char *id, uint64_t now_ms) {
    const struct ip ip = client(who);
    enum repeats_fate fate = repeats_look(f->repeats, &ip, what, &LIMITS, id, now_ms);
    if (fate == REPEATS_KEEP)
        assert_true(repeats_keep(f->repeats, str_of(id), NULL));
    return fate;
}

static void the_first_few_are_written_and_the_others_counted_in_one(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(refuse(f, "192.0.2.1", WHAT, "early", 1000), REPEATS_WRITE);
    assert_int_equal(refuse(f, "192.0.2.1", WHAT, "kept", 1000), REPEATS_KEEP);
    assert_int_equal(refuse(f, "192.0.2.1", WHAT, "b", 2000), REPEATS_COUNTED);
    assert_int_equal(refuse(f, "192.0.2.1", WHAT, "c", 60999), REPEATS_COUNTED);
    assert_int_equal(f->n_lines, 0);
    assert_int_equal(refuse(f, "192.0.2.1", WHAT, "next minute", 61000), REPEATS_WRITE);
    assert_int_equal(f->n_lines, 1);
    assert_int_equal(f->n_counted, 2);
    assert_string_equal(f->text, "kept");
    assert_string_equal(f->last_id, "c");
    assert_int_equal(repeats_counted(f->repeats), 2);
}

static void another_client_and_another_reason_are_other_lines(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(refuse(f, "192.0.2.1", WHAT, "a", 0), REPEATS_WRITE);
    assert_int_equal(refuse(f, "192.0.2.2", WHAT, "a", 0), REPEATS_WRITE);
    assert_int_equal(refuse(f, "192.0.2.1", WHAT + 1, "a", 0), REPEATS_WRITE);
    assert_int_equal(refuse(f, "192.0.2.1", WHAT, "a", 0), REPEATS_KEEP);
}

static void an_ipv6_network_of_64_bits_is_one_client(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(refuse(f, "2001:db8::1", WHAT, "a", 0), REPEATS_WRITE);
    assert_int_equal(refuse(f, "2001:db8::ffff:1", WHAT, "a", 0), REPEATS_KEEP);
}

static void what_a_network_has_written_at_once_is_bounded_whatever_it_says(void **state) {
    struct fixture *f = *state;
    unsigned n_written = 0;
    char who[32];
    for (unsigned what = 2; what < 1002; what++) {
        snprintf(who, sizeof(who), "192.0.2.%u", what % 4);
        n_written += refuse(f, who, what, "a", 0) == REPEATS_WRITE;
    }
    assert_int_equal(n_written, LIMITS.network);
    assert_int_equal(refuse(f, "198.51.100.1", WHAT, "a", 0), REPEATS_WRITE);
    repeats_expire(f->repeats, REPEATS_WINDOW_MS);
    assert_int_equal(f->n_lines + f->n_counted + n_written, 1000); /* and none is missing */
}

static void a_kept_line_is_written_when_its_place_is_needed(void **state) {
    struct fixture *f = *state;
    char who[32];
    for (unsigned i = 0; i < 10; i++)
        refuse(f, "192.0.2.1", WHAT, "a", 0);
    for (unsigned i = 0; i < REPEATS_MAX; i++) {
        snprintf(who, sizeof(who), "10.%u.%u.1", i / 256, i % 256);
        assert_int_equal(refuse(f, who, WHAT, "b", 0), REPEATS_WRITE);
    }
    assert_int_equal(f->n_lines, 1);
    assert_int_equal(f->n_counted, 6);
}

static void memory_for_kept_lines_is_bounded(void **state) {
    struct fixture *f = *state;
    static char text[REPEATS_TEXT_MAX + 1];
    char who[32];
    const struct repeats_limits none = { 0 };
    unsigned n = 2 * REPEATS_TEXTS_MAX / REPEATS_TEXT_MAX;
    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < n; i++) {
        snprintf(who, sizeof(who), "10.%u.%u.1", i / 256, i % 256);
        const struct ip ip = client(who);
        assert_int_equal(repeats_look(f->repeats, &ip, WHAT, &none, "a", 0), REPEATS_KEEP);
        assert_true(repeats_keep(f->repeats, (struct str){ text, REPEATS_TEXT_MAX }, NULL));
    }
    assert_int_equal(f->n_lines, n / 2);
    const struct ip ip = client("192.0.2.1");
    assert_int_equal(repeats_look(f->repeats, &ip, WHAT, &none, "a", 0), REPEATS_KEEP);
    assert_false(repeats_keep(f->repeats, (struct str){ text, REPEATS_TEXT_MAX + 1 }, NULL));
}

static void nothing_that_was_counted_is_lost_at_the_end(void **state) {
    struct fixture *f = *state;
    struct repeats *other;
    const struct repeats_settings settings = { .write = on_line, .arg = f };
    const struct ip ip = client("192.0.2.1");
    assert_int_equal(repeats_new(&settings, &other), 0);
    for (unsigned i = 0; i < 1000; i++)
        if (repeats_look(other, &ip, WHAT, &LIMITS, "a", 0) == REPEATS_KEEP)
            assert_true(repeats_keep(other, STR("a"), NULL));
    repeats_free(other);
    assert_int_equal(3 + f->n_lines + f->n_counted, 1000);
}

#define with_table(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_table(the_first_few_are_written_and_the_others_counted_in_one),
        with_table(another_client_and_another_reason_are_other_lines),
        with_table(an_ipv6_network_of_64_bits_is_one_client),
        with_table(what_a_network_has_written_at_once_is_bounded_whatever_it_says),
        with_table(a_kept_line_is_written_when_its_place_is_needed),
        with_table(memory_for_kept_lines_is_bounded),
        with_table(nothing_that_was_counted_is_lost_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
