/* A connection that goes from one worker to another arrives with what was read from it. */
#include "session/handover.h"

#include "net/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct session_origin an_origin(void) {
    struct session_origin origin = { .allows_xclient = true, .may_multiplex = true, .is_local = true };
    assert_int_equal(endpoint_parse(STR("10.0.0.1:4000"), &origin.peer), 0);
    assert_int_equal(endpoint_parse(STR("[2001:db8::1]:25"), &origin.client), 0);
    assert_int_equal(ip_parse(STR("192.0.2.25"), &origin.server), 0);
    return origin;
}

static void what_is_sent_is_what_arrives(void **state) {
    int ends[2], pipe_ends[2];
    char packet[CHANNEL_MESSAGE_MAX];
    struct session_origin origin = an_origin(), got;
    struct str unread;
    assert_int_equal(channel_pair(ends), 0);
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(handover_send(ends[0], pipe_ends[0], &origin, STR("EHLO x\r\n")), 0);
    ssize_t len = recv(ends[1], packet, sizeof(packet), 0);
    assert_true(len > 0);
    assert_int_equal(handover_parse(packet, (size_t)len, &got, &unread), 0);
    assert_true(ip_eq(&got.client.ip, &origin.client.ip));
    assert_true(ip_eq(&got.server, &origin.server));
    assert_int_equal(got.peer.port, 4000);
    assert_true(got.is_settled);
    assert_true(got.allows_xclient);
    assert_true(got.may_multiplex);
    assert_true(got.is_local);
    assert_false(got.expects_proxy);
    assert_true(str_eq(unread, STR("EHLO x\r\n")));
    /* cut off, or with bytes that do not belong to it, it is nothing */
    assert_int_equal(handover_parse(packet, (size_t)len - 1, &got, &unread), -EINVAL);
    assert_int_equal(handover_parse(packet, 3, &got, &unread), -EINVAL);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(pipe_ends[i]);
    }
}

static void more_than_fits_is_not_sent(void **state) {
    int ends[2];
    struct session_origin origin = an_origin();
    char *text = calloc(1, HANDOVER_UNREAD_MAX + 1);
    assert_non_null(text);
    assert_int_equal(channel_pair(ends), 0);
    assert_int_equal(handover_send(ends[0], ends[1], &origin, (struct str){ text, HANDOVER_UNREAD_MAX + 1 }), -E2BIG);
    assert_int_equal(handover_send(ends[0], ends[1], &origin, (struct str){ text, HANDOVER_UNREAD_MAX }), 0);
    free(text);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_is_what_arrives),
        cmocka_unit_test(more_than_fits_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
