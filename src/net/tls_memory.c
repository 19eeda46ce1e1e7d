/*
 * tls_memory: see the header.
 *
 * OpenSSL takes the three functions once for the whole process, and gives them nothing to tell callers apart by: hence
 * the one variable.
 *
 * Rejected: OpenSSL's secure heap (it holds the numbers, not what is made on the way to them, and has a fixed size);
 * mallopt(M_PERTURB) (small pieces that are freed pass it by).
 */
#include "net/tls_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static bool is_wiping;

static void *take(size_t size, const char *file, int line) {
    return malloc(size);
}

static void give_back(void *memory, const char *file, int line) {
    if (is_wiping && memory != NULL)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

static void *resize(void *memory, size_t size, const char *file, int line) {
    if (!is_wiping || memory == NULL)
        return realloc(memory, size);
    size_t before = malloc_usable_size(memory);
    void *copy = size > 0 ? malloc(size) : NULL;
    if (copy != NULL)
        memcpy(copy, memory, before < size ? before : size);
    if (copy != NULL || size == 0)
        give_back(memory, file, line);
    return copy;
}

bool tls_memory_wipe(void) {
    is_wiping = CRYPTO_set_mem_functions(take, resize, give_back) == 1;
    return is_wiping;
}

void tls_memory_stop_wiping(void) {
    is_wiping = false;
}
