/* hash: SipHash-2-4 against vectors of its authors, under their key. */
#include "base/hash.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool is_kernel_away;

/* Stands in for the kernel's: the key of the vectors, in pieces, as an interrupted call gives it. */
ssize_t getrandom(void *out, size_t len, unsigned flags) {
    static unsigned char next;
    unsigned char *at = out;
    size_t n = len > 5 ? 5 : len;
    assert_false(is_kernel_away);
    for (size_t i = 0; i < n; i++)
        at[i] = next++ & 15;
    return (ssize_t)n;
}

static void vectors_of_the_paper_are_met(void **state) {
    unsigned char input[16];
    for (int i = 0; i < 16; i++)
        input[i] = (unsigned char)i;
    /* The paper's appendix A (15 bytes), and the first entries of the reference implementation's table. */
    assert_true(hash_bytes(input, 15) == 0xa129ca6149be45e5);
    assert_true(hash_bytes(NULL, 0) == 0x726fdb47dd0e0e31);
    assert_true(hash_bytes(input, 1) == 0x74f839c593dc67fd);
    assert_true(hash_bytes(input, 8) == 0x93f5f5799a932462);
}

static void a_number_hashes_as_its_bytes(void **state) {
    unsigned char bytes[] = { 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01 };
    assert_true(hash_u64(0x0123456789abcdef) == hash_bytes(bytes, 8));
}

static int draw_key(void **state) {
    hash_init();
    is_kernel_away = true;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_the_paper_are_met),
        cmocka_unit_test(a_number_hashes_as_its_bytes),
    };
    return cmocka_run_group_tests(tests, draw_key, NULL);
}
