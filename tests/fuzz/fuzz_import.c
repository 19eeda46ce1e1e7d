/*
 * fuzz_import: the four readers of directory exports. The first byte selects the reader and whether a column is named;
 * the rest is the file.
 *
 * Beyond memory errors: where the chunks end must not matter. So each file is read whole and in pieces of seven bytes,
 * and what was added, left out and complained about must be the same.
 */
#include "base/hash.h"
#include "table/import.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    uint64_t sum; /* of all that was added, in order */
    struct import_counts counts;
    struct diag_list diag;
};

static int add(void *arg, struct str local, struct str address) {
    struct outcome *outcome = arg;
    if (local.len == 0 || local.len > 64 || memchr(local.at, '\0', local.len) != NULL)
        abort(); /* no key of a directory */
    outcome->sum = outcome->sum * 31 + hash_bytes(local.at, local.len) + hash_bytes(address.at, address.len);
    return 0;
}

static void run(struct import_options options, struct str text, size_t piece, struct outcome *outcome) {
    *outcome = (struct outcome){ .sum = 0 };
    diag_init(&outcome->diag);
    struct import *import;
    if (import_new(&options, &outcome->diag, add, outcome, &import) < 0)
        abort();
    int r = 0;
    for (size_t at = 0; at < text.len && r == 0; at += piece)
        r = import_feed(import, str_head(str_from(text, at), piece));
    if (r < 0 || import_end(import) < 0)
        abort();
    outcome->counts = *import_counts(import);
    import_free(import);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct import_options options = {
        .format = (enum import_format)(data[0] & 3),
        .path = "fuzz",
        .domain = STR("example.com"),
        .column = data[0] & 4 ? "mail" : NULL,
        .delimiter = data[0] & 8 ? '|' : 0,
    };
    struct str text = { (const char *)data + 1, size - 1 };
    struct outcome whole, pieces;
    run(options, text, size, &whole);
    run(options, text, 7, &pieces);
    if (whole.sum != pieces.sum || memcmp(&whole.counts, &pieces.counts, sizeof(whole.counts)) != 0 ||
        whole.diag.errors != pieces.diag.errors || !str_eq(buf_str(&whole.diag.text), buf_str(&pieces.diag.text)))
        abort();
    diag_deinit(&whole.diag);
    diag_deinit(&pieces.diag);
    import_format_guess("-", text);
    return 0;
}
