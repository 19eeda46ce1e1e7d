/* id: order, uniqueness, and the time inside. */
#include "journal/id.h"

#include <errno.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_bits_stand_where_design_says(void **state) {
    struct id_source source = { .host = 0xff, .process = 0 };
    char id[ID_LEN + 1];
    id_next(&source, 1, id);
    /* 1 ms << 28 | 255 << 20, in digits of 5 bits: nine ones, twenty zeros. */
    assert_string_equal(id, "00000000fv0000");
    id_next(&source, 1, id);
    assert_string_equal(id, "00000000fv0001");
    source = (struct id_source){ .process = 1 };
    id_next(&source, (UINT64_C(1) << 42) - 1, id);
    assert_string_equal(id, "vvvvvvvvo00400");
}

static void ids_rise_with_time_and_within_a_millisecond(void **state) {
    struct id_source source = { .host = 3, .process = 200 };
    char last[ID_LEN + 1] = "", id[ID_LEN + 1];
    for (int i = 0; i < 10000; i++) {
        id_next(&source, 1795301082123 + (uint64_t)i / 3000, id);
        assert_int_equal(strlen(id), ID_LEN);
        assert_true(strcmp(id, last) > 0);
        memcpy(last, id, sizeof(last));
    }
}

static void past_4096_in_a_millisecond_the_next_one_is_borrowed(void **state) {
    struct id_source source = { .host = 1 };
    char id[ID_LEN + 1];
    uint64_t ms;
    for (int i = 0; i < 4096; i++)
        id_next(&source, 1000, id);
    assert_int_equal(id_time(id, &ms), 0);
    assert_int_equal(ms, 1000);
    id_next(&source, 1000, id);
    assert_int_equal(id_time(id, &ms), 0);
    assert_int_equal(ms, 1001);
    id_next(&source, 1001, id);
    assert_int_equal(id_time(id, &ms), 0);
    assert_int_equal(ms, 1001);
    assert_int_equal(source.counter, 2);
}

static void a_clock_set_back_does_not_set_ids_back(void **state) {
    struct id_source source = { .host = 1 };
    char before[ID_LEN + 1], after[ID_LEN + 1];
    id_next(&source, 5000, before);
    id_next(&source, 4000, after);
    assert_true(strcmp(after, before) > 0);
}

static void a_process_that_starts_after_the_clock_was_set_back_takes_no_id_of_before(void **state) {
    struct id_clock clock = { 0 };
    struct id_source before = { .process = 7 }, after = { .process = 7 }, third = { .process = 7 };
    char last[ID_LEN + 1], first[ID_LEN + 1], later[ID_LEN + 1];
    before.last_ms = id_clock_start(&clock, 1000000);
    assert_int_equal(before.last_ms, 0);
    id_clock_note(&clock, 1005000);
    id_next(&before, 1009999, last); /* behind the last note */
    after.last_ms = id_clock_start(&clock, 500000);
    id_next(&after, 500000, first);
    assert_true(strcmp(last, first) < 0);
    third.last_ms = id_clock_start(&clock, 500001);
    id_next(&third, 500001, later);
    assert_true(strcmp(first, later) < 0);
    assert_int_equal(id_clock_start(&clock, 2000000), 0); /* the clock has caught up */
}

static void hosts_and_processes_differ_in_the_same_instant(void **state) {
    struct id_source a = { .host = 1, .process = 2 }, b = { .host = 2, .process = 1 }, c = { .host = 1, .process = 3 };
    char ids[3][ID_LEN + 1];
    id_next(&a, 77, ids[0]);
    id_next(&b, 77, ids[1]);
    id_next(&c, 77, ids[2]);
    assert_string_not_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[0], ids[2]);
    assert_string_not_equal(ids[1], ids[2]);
}

static void the_time_is_read_back_also_from_a_decision(void **state) {
    struct id_source source = { .host = 255, .process = 255 };
    char id[ID_LEN + 8];
    uint64_t ms = 0;
    id_next(&source, 1795301082123, id);
    assert_int_equal(id_time(id, &ms), 0);
    assert_true(ms == 1795301082123);
    strcat(id, ".12");
    assert_int_equal(id_time(id, &ms), 0);
    assert_true(ms == 1795301082123);
}

static void what_is_no_id_is_refused(void **state) {
    static const char *const bad[] = { "", "0000000000000", "000000000000000", "0000000000000w", "0000000000000V",
                                       "00000000000000/1" };
    uint64_t ms;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(id_time(bad[i], &ms), -EINVAL);
}

static void an_id_is_taken_as_people_bring_it(void **state) {
    static const char *const good[] = { "d202qlns800000.1", " d202qlns800000.1\n", "[d202qlns800000.1]",
                                        "d202qlns800000_1", "D202QLNS800000.1" };
    static const char *const bad[] = { "", "[]", "d202qlns80000", "d202qlns80000w.1", "d202qlns800000-1",
                                       "d202qlns800000.1.2", "d202qlns800000.x", "d202qlns800000.-1",
                                       "d202qlns800000.12345678901", "../d202qlns800000.1", "[d202qlns800000.1" };
    char id[ID_TEXT_MAX + 1];
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(id_clean(good[i], id), 0);
        assert_string_equal(id, "d202qlns800000.1");
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(id_clean(bad[i], id), -EINVAL);
    assert_int_equal(id_clean("d202qlns800000", id), 0); /* a session's */
    assert_string_equal(id, "d202qlns800000");
    assert_int_equal(id_clean("d202qlns800000.4294967295", id), 0);
    assert_string_equal(id, "d202qlns800000.4294967295");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bits_stand_where_design_says),
        cmocka_unit_test(ids_rise_with_time_and_within_a_millisecond),
        cmocka_unit_test(past_4096_in_a_millisecond_the_next_one_is_borrowed),
        cmocka_unit_test(a_clock_set_back_does_not_set_ids_back),
        cmocka_unit_test(hosts_and_processes_differ_in_the_same_instant),
        cmocka_unit_test(the_time_is_read_back_also_from_a_decision),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(an_id_is_taken_as_people_bring_it),
        cmocka_unit_test(a_process_that_starts_after_the_clock_was_set_back_takes_no_id_of_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
