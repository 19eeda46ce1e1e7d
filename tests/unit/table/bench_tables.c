/*
 * bench_tables: how long a million prefixes take to load, and one to be looked up; the same of names, addresses and
 * patterns. Built on demand (ninja bench_tables), without sanitizers.
 *
 * Usage: bench_tables [ENTRIES]. Addresses that are asked for jump about; half of them are in the table.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "table/tables.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOKUPS = 2000000 };

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 31) * UINT64_C(0x7FB5D329728EA185);
    x = (x ^ x >> 27) * UINT64_C(0x81DADEF4BC2DD44D);
    return x ^ x >> 33;
}

/* Entry i as a line. */
typedef int (*entry_fn)(char *out, size_t size, unsigned long i);

static int v4_entry(char *out, size_t size, unsigned long i) {
    uint64_t x = mix(i);
    return snprintf(out, size, "%u.%u.%u.%u\n", (unsigned)(x & 255), (unsigned)(x >> 8 & 255),
                    (unsigned)(x >> 16 & 255), (unsigned)(x >> 24 & 255));
}

/* All in 2001::/16, the worst for an index by the first 16 bits. */
static int v6_entry(char *out, size_t size, unsigned long i) {
    uint64_t x = mix(i);
    return snprintf(out, size, "2001:%x:%x::/48\n", (unsigned)(x & 65535), (unsigned)(x >> 16 & 65535));
}

static int name_entry(char *out, size_t size, unsigned long i) {
    return snprintf(out, size, ".host%llu.example.net\n", (unsigned long long)mix(i) % 100000000);
}

static int address_entry(char *out, size_t size, unsigned long i) {
    return snprintf(out, size, "user%llu@example.net\n", (unsigned long long)mix(i) % 100000000);
}

static int pattern_entry(char *out, size_t size, unsigned long i) {
    return snprintf(out, size, "\\.isp%lu\\.example\\.net$\n", i);
}

static struct table *load(const char *what, enum table_type type, entry_fn entry, unsigned long n) {
    size_t size = n * 64 + 64, len = 0;
    char *text = malloc(size);
    struct table *table = NULL;
    struct diag_list diag;
    if (text == NULL)
        exit(1);
    for (unsigned long i = 0; i < n; i++)
        len += (size_t)entry(text + len, size - len, i);
    const struct diag_source source = { .path = what, .text = { text, len } };
    diag_init(&diag);
    uint64_t start = clock_us();
    if (table_load(type, &source, &diag, &table) < 0) {
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&diag.text)));
        exit(1);
    }
    printf("%s: load of %lu: %.0f ms\n", what, n, (double)(clock_us() - start) / 1e3);
    diag_deinit(&diag);
    free(text);
    return table;
}

/* Half of what is asked for stands in the table. */
static void look_up_ips(const char *what, const struct table *table, entry_fn entry, unsigned long n) {
    struct ip *ips = malloc(LOOKUPS * sizeof(*ips));
    unsigned long found = 0;
    if (ips == NULL)
        exit(1);
    for (unsigned long i = 0; i < LOOKUPS; i++) {
        char text[64];
        struct cidr prefix;
        int len = entry(text, sizeof(text), mix(i) % n + i % 2 * n);
        if (cidr_parse((struct str){ text, (size_t)len - 1 }, &prefix) < 0)
            exit(1);
        ips[i] = prefix.ip;
    }
    uint64_t start = clock_us();
    for (unsigned long i = 0; i < LOOKUPS; i++)
        found += table_has_ip(table, &ips[i]);
    printf("%s: lookup %.0f ns, %lu of %d found\n", what, (double)(clock_us() - start) * 1e3 / LOOKUPS, found, LOOKUPS);
    free(ips);
}

static void look_up_texts(const char *what, const struct table *table, entry_fn entry, unsigned long n) {
    enum { TEXTS = 200000 };
    char (*texts)[64] = malloc(TEXTS * sizeof(*texts));
    unsigned long found = 0;
    if (texts == NULL)
        exit(1);
    for (unsigned long i = 0; i < TEXTS; i++) {
        entry(texts[i], sizeof(texts[i]), mix(i) % n + i % 2 * n);
        size_t len = strlen(texts[i]) - 1;
        texts[i][len] = '\0';
        if (texts[i][0] == '.')
            memmove(texts[i], texts[i] + 1, len);
        if (texts[i][0] == '\\')
            snprintf(texts[i], sizeof(texts[i]), "x.isp%lu.example.net", (unsigned long)(mix(i) % n + i % 2 * n));
    }
    uint64_t start = clock_us();
    for (unsigned long i = 0; i < TEXTS; i++)
        found += table_has(table, str_of(texts[i]));
    printf("%s: lookup %.0f ns, %lu of %d found\n", what, (double)(clock_us() - start) * 1e3 / TEXTS, found, TEXTS);
    free(texts);
}

int main(int argc, char **argv) {
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    hash_init();
    struct table *table = load("cidr, IPv4", TABLE_TYPE_CIDR, v4_entry, n);
    look_up_ips("cidr, IPv4", table, v4_entry, n);
    table_free(table);
    table = load("cidr, IPv6 in one /16", TABLE_TYPE_CIDR, v6_entry, n);
    look_up_ips("cidr, IPv6 in one /16", table, v6_entry, n);
    table_free(table);
    table = load("names", TABLE_TYPE_NAMES, name_entry, n);
    look_up_texts("names", table, name_entry, n);
    table_free(table);
    table = load("addresses", TABLE_TYPE_ADDRESSES, address_entry, n);
    look_up_texts("addresses", table, address_entry, n);
    table_free(table);
    table = load("patterns", TABLE_TYPE_PATTERNS, pattern_entry, 2000);
    look_up_texts("patterns", table, pattern_entry, 2000);
    table_free(table);
    return 0;
}
