/*
 * Bodies before and after they were made fit for mail, in any slices and with any room.
 */
#include "mime/transfer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct body {
    enum transfer_encoding encoding;
    struct str in, out;
} bodies[] = {
#define BODY(encoding, in, out) { encoding, STR_INIT(in), STR_INIT(out) }
    BODY(TRANSFER_IDENTITY, "a=3D\r\nYQ==\0", "a=3D\r\nYQ==\0"),
    BODY(TRANSFER_BASE64, "", ""),
    BODY(TRANSFER_BASE64, "YWJj", "abc"),
    BODY(TRANSFER_BASE64, "YWI=", "ab"),
    BODY(TRANSFER_BASE64, "YQ==", "a"),
    BODY(TRANSFER_BASE64, "YQ", "a"),
    BODY(TRANSFER_BASE64, "Y", ""),
    BODY(TRANSFER_BASE64, "YWJjZGVmZ2hp", "abcdefghi"),
    BODY(TRANSFER_BASE64, "YW\r\nJj\r\nZA==\r\n", "abcd"),
    BODY(TRANSFER_BASE64, "Y W*J\0j-", "abc"),
    BODY(TRANSFER_BASE64, "YQ==YmM=", "abc"),
    BODY(TRANSFER_BASE64, "////++++", "\xff\xff\xff\xfb\xef\xbe"),
    BODY(TRANSFER_QP, "", ""),
    BODY(TRANSFER_QP, "plain text", "plain text"),
    BODY(TRANSFER_QP, "=41=4a=4A==42", "AJJ=B"),
    BODY(TRANSFER_QP, "caf=C3=A9=00", "caf\xc3\xa9\0"),
    BODY(TRANSFER_QP, "a=\r\nb", "ab"),
    BODY(TRANSFER_QP, "a= \t\r\nb", "ab"),
    BODY(TRANSFER_QP, "a=\nb", "ab"),
    BODY(TRANSFER_QP, "a=\rb", "ab"),
    BODY(TRANSFER_QP, "a\r\nb", "a\r\nb"),
    BODY(TRANSFER_QP, "=zz=4z=z4", "=zz=4z=z4"),
    BODY(TRANSFER_QP, "= x", "=x"),
    BODY(TRANSFER_QP, "=4=41", "=4A"),
    BODY(TRANSFER_QP, "a=", "a"),
    BODY(TRANSFER_QP, "a=4", "a"),
};

static struct str decode(const struct body *body, size_t piece, size_t room) {
    static char out[64];
    struct transfer transfer;
    size_t n = 0;
    transfer_init(&transfer, body->encoding);
    for (size_t at = 0; at < body->in.len;) {
        size_t used, some = body->in.len - at < piece ? body->in.len - at : piece;
        size_t written = transfer_decode(&transfer, body->in.at + at, some, &used, out + n, room);
        assert_true(used > 0 && used <= some && written <= room);
        n += written;
        at += used;
    }
    return (struct str){ out, n };
}

static void bodies_are_decoded_in_any_slices(void **state) {
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        for (size_t piece = 1; piece < 20; piece++) {
            for (size_t room = TRANSFER_ROOM_MIN; room < 30; room++) {
                struct str out = decode(&bodies[i], piece, room);
                if (!str_eq(out, bodies[i].out))
                    fail_msg("'%s' (pieces of %zu, room %zu): '%.*s'", bodies[i].in.at, piece, room, STR_ARG(out));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(bodies_are_decoded_in_any_slices) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
