/* A message on its way in: bounds, loops, trouble with the spool. */
#include "session/intake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct intake intake;

static enum intake_result feed(const char *text) {
    size_t used;
    enum intake_result result = intake_feed(&intake, text, strlen(text), &used);
    if (result == INTAKE_MORE)
        assert_int_equal(used, strlen(text));
    return result;
}

static void begin(const char *dir, size_t memory_max, uint64_t size_max, bool is_chunked) {
    intake_init(&intake, dir, memory_max, &(struct intake_limits){ size_max, 1 << 20, 1000 });
    intake_begin(&intake, is_chunked);
}

static void assert_spooled(const char *expected) {
    char scratch[256];
    const char *at;
    assert_int_equal(spool_size(&intake.spool), strlen(expected));
    long len = spool_read(&intake.spool, 0, scratch, sizeof(scratch), &at);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(at, expected, strlen(expected));
}

static void a_message_is_kept_without_its_final_dot(void **state) {
    begin("/tmp", 4096, 1000, false);
    assert_int_equal(feed("Subject: x\r\n\r\n..dot\r\n.\r\n"), INTAKE_END);
    assert_spooled("Subject: x\r\n\r\n.dot\r\n");
    intake_deinit(&intake);
}

static void bytes_behind_the_final_dot_are_left_alone(void **state) {
    const char *text = "a\r\n.\r\nQUIT\r\n";
    size_t used;
    begin("/tmp", 4096, 1000, false);
    assert_int_equal(intake_feed(&intake, text, strlen(text), &used), INTAKE_END);
    assert_int_equal(used, 6);
    intake_deinit(&intake);
}

static void a_message_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(void **state) {
    begin("/tmp", 4096, 10, false);
    assert_int_equal(feed("12345678\r\n.\r\n"), INTAKE_END);
    assert_int_equal(intake.excess, INTAKE_WITHIN);
    intake_deinit(&intake);
    begin("/tmp", 4096, 10, false);
    assert_int_equal(feed("123456789\r\n.\r\n"), INTAKE_END);
    assert_int_equal(intake.excess, INTAKE_MESSAGE_SIZE);
    intake_deinit(&intake);
}

static void a_message_far_over_the_limit_without_an_end_is_abuse(void **state) {
    begin("/tmp", 4096, 10, false);
    assert_int_equal(feed("12345678901234567890"), INTAKE_MORE);
    assert_int_equal(feed("123456"), INTAKE_ABUSE);
    intake_deinit(&intake);
}

static void received_fields_of_the_header_are_counted_and_those_of_the_body_are_not(void **state) {
    begin("/tmp", 4096, 1000, false);
    assert_int_equal(feed("Received: a\r\nRECEIVED: b\r\n folded: Received: no\r\n\r\nReceived: body\r\n.\r\n"),
                     INTAKE_END);
    assert_int_equal(intake.header.received, 2);
    intake_deinit(&intake);
}

static void chunks_make_one_message_and_its_last_line_is_completed(void **state) {
    begin("/tmp", 4096, 1000, true);
    assert_int_equal(feed("one\r"), INTAKE_MORE);
    assert_int_equal(feed("\n.\r\ntwo"), INTAKE_MORE);
    intake_finish(&intake);
    assert_spooled("one\r\n.\r\ntwo\r\n");
    assert_false(intake_has_bare(&intake));
    intake_deinit(&intake);
}

static void bare_newlines_are_noted_and_made_canonical(void **state) {
    begin("/tmp", 4096, 1000, false);
    assert_int_equal(feed("a\nb\rc\n.\n\r\n.\r\n"), INTAKE_END);
    assert_true(intake_has_bare(&intake));
    assert_int_equal(intake.decoder.bare_lf, 3);
    assert_int_equal(intake.decoder.bare_cr, 1);
    intake_deinit(&intake);
}

static void a_folder_that_cannot_be_written_spoils_the_message_but_its_end_is_found(void **state) {
    char block[8192];
    memset(block, 'x', sizeof(block));
    block[sizeof(block) - 1] = '\0';
    begin("/nonexistent", 1024, 1 << 20, false);
    for (int i = 0; i < 8; i++)
        assert_int_equal(feed(block), INTAKE_MORE);
    assert_int_equal(feed("\r\n.\r\n"), INTAKE_END);
    assert_int_equal(intake.spool_error, -ENOENT);
    intake_deinit(&intake);
}

static void begin_limited(uint64_t header_size, uint64_t header_fields) {
    intake_init(&intake, "/tmp", 10, &(struct intake_limits){ 100000, header_size, header_fields });
    intake_begin(&intake, false);
}

static void assert_header(uint64_t size, uint64_t fields, const char *text, enum intake_excess expected) {
    for (unsigned is_in_bytes = 0; is_in_bytes < 2; is_in_bytes++) {
        begin_limited(size, fields);
        for (const char *at = text; is_in_bytes && *at != '\0'; at++)
            feed((char[]){ *at, '\0' });
        if (!is_in_bytes)
            assert_int_equal(feed(text), INTAKE_END);
        assert_int_equal(intake.excess, expected);
        intake_deinit(&intake);
    }
}

static void a_header_of_exactly_the_limit_is_taken_and_a_byte_or_a_field_more_is_not(void **state) {
    assert_header(8, 9, "a:\r\nb:\r\n\r\nc:\r\nd:\r\n.\r\n", INTAKE_WITHIN);
    assert_header(7, 9, "a:\r\nb:\r\n\r\nc:\r\n.\r\n", INTAKE_HEADER_SIZE);
    assert_header(99, 2, "a:\r\n b\r\n c\r\nb:\r\n\r\nc:\r\nd:\r\n.\r\n", INTAKE_WITHIN);
    assert_header(99, 2, "a:\r\nb:\r\nc:\r\n\r\n.\r\n", INTAKE_HEADER_FIELDS);
    assert_header(99, 2, "a:\r\nno field\r\nnone\r\n.\r\n", INTAKE_HEADER_FIELDS);
    assert_header(5, 2, "\r\nbody\r\nbody\r\nbody\r\n.\r\n", INTAKE_WITHIN);
    assert_header(5, 2, " folded into nothing\r\n.\r\n", INTAKE_HEADER_SIZE);
}

static void a_message_past_a_limit_gives_its_room_back_at_once(void **state) {
    begin_limited(99, 4);
    assert_int_equal(feed("a:\r\nb:\r\nc:\r\nd:\r\n"), INTAKE_MORE);
    assert_true(intake.spool.fd >= 0);
    assert_int_equal(feed("e:\r\n"), INTAKE_MORE);
    assert_int_equal(intake.spool.fd, -1);
    assert_null(intake.spool.memory.at);
    assert_int_equal(feed("f:\r\n"), INTAKE_MORE);
    assert_int_equal(spool_size(&intake.spool), 0);
    assert_int_equal(feed(".\r\n"), INTAKE_END);
    intake_deinit(&intake);
    begin("/tmp", 4, 10, true);
    assert_int_equal(feed("12345678"), INTAKE_MORE);
    assert_true(intake.spool.fd >= 0);
    assert_int_equal(feed("901"), INTAKE_MORE);
    assert_int_equal(intake.spool.fd, -1);
    intake_finish(&intake);
    assert_int_equal(intake.excess, INTAKE_MESSAGE_SIZE);
    intake_deinit(&intake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_kept_without_its_final_dot),
        cmocka_unit_test(bytes_behind_the_final_dot_are_left_alone),
        cmocka_unit_test(a_message_of_exactly_the_limit_is_taken_and_one_byte_more_is_not),
        cmocka_unit_test(a_message_far_over_the_limit_without_an_end_is_abuse),
        cmocka_unit_test(received_fields_of_the_header_are_counted_and_those_of_the_body_are_not),
        cmocka_unit_test(chunks_make_one_message_and_its_last_line_is_completed),
        cmocka_unit_test(bare_newlines_are_noted_and_made_canonical),
        cmocka_unit_test(a_header_of_exactly_the_limit_is_taken_and_a_byte_or_a_field_more_is_not),
        cmocka_unit_test(a_message_past_a_limit_gives_its_room_back_at_once),
        cmocka_unit_test(a_folder_that_cannot_be_written_spoils_the_message_but_its_end_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
