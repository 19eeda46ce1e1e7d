/*
 * Fuzzer of table/: any text either is refused with a message, or makes a table; every entry of it that says so by
 * itself is then in it, and asking for anything else ends.
 *
 * The first byte chooses the type, the rest is the file. Each line of it is asked for as well.
 */
#include "base/hash.h"
#include "table/tables.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

static void ask(const struct table *table, enum table_type type, struct str line) {
    struct cidr prefix;
    struct str entry = str_trim(line);
    bool is_in = table_has(table, entry);
    if (type == TABLE_TYPE_CIDR && cidr_parse(entry, &prefix) == 0)
        require(table_has_ip(table, &prefix.ip));
    /* A line of letters, digits and dots alone is an entry that holds itself, when there is a table at all. */
    bool is_simple = type == TABLE_TYPE_NAMES && entry.len > 0 && entry.at[0] != '.';
    for (size_t i = 0; i < entry.len && is_simple; i++)
        is_simple = (entry.at[i] >= 'a' && entry.at[i] <= 'z') || entry.at[i] == '.';
    require(!is_simple || is_in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool is_ready;
    if (!is_ready)
        hash_init();
    is_ready = true;
    if (size == 0)
        return 0;
    enum table_type type = (enum table_type)(data[0] % TABLE_TYPES);
    struct str text = { (const char *)data + 1, size - 1 };
    const struct diag_source source = { .path = "fuzz", .text = text };
    struct table *table = NULL;
    struct diag_list diag;
    diag_init(&diag);
    int r = table_load(type, &source, &diag, &table);
    require((r == 0) == (diag.errors == 0) && (r == 0) == (table != NULL));
    while (r == 0 && text.len > 0) {
        struct str line = str_head(text, str_find(text, '\n'));
        text = str_from(text, line.len + 1);
        ask(table, type, line);
    }
    table_free(table);
    diag_deinit(&diag);
    return 0;
}
