/*
 * bench_tables: how long a million prefixes take to load, and one to be looked up; the same of names, addresses and
 * patterns. Built on demand (ninja bench_tables), without sanitizers.
 *
 * Usage: bench_tables [ENTRIES]. Addresses that are asked for jump about, or are a few that are hot; half of them were
 * written into the table. "In turn": the next one is not asked for before the last one is answered, so that the
 * processor cannot wait for the memory of several at once; that includes the fence. Times are of the processor, and of
 * lookups of addresses the best of ROUNDS, so that neighbours on the machine count as little as they can.
 */
#include "base/hash.h"
#include "table/tables.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LOOKUPS = 2000000, ROUNDS = 40, HOT = 1000 };

static uint64_t cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static size_t memory_used(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* splitmix64: neighbours have nothing in common. */
static uint64_t mix(uint64_t x) {
    x = (x + 1) * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
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

/* As lists of networks are: crowded in a few places, prefixes of all lengths, some inside others. */
static int v4_mixed_entry(char *out, size_t size, unsigned long i) {
    uint64_t x = mix(i);
    unsigned bits = 32 - (unsigned)__builtin_ctzll(x >> 40 | 1 << 8);
    uint32_t address = (uint32_t)x;
    if (x >> 60 != 0) /* fifteen of sixteen in 256 networks of a provider */
        address = (address & 0x0f0fffff) | UINT32_C(0x50200000);
    address = bits < 32 ? address >> (32 - bits) << (32 - bits) : address;
    return snprintf(out, size, "%u.%u.%u.%u/%u\n", address >> 24, address >> 16 & 255, address >> 8 & 255,
                    address & 255, bits);
}

static int v6_mixed_entry(char *out, size_t size, unsigned long i) {
    static const char *const roots[] = { "2001:db8", "2600:1f00", "2a01:4f8", "2a02:8100" };
    uint64_t x = mix(i);
    const char *root = roots[x >> 62];
    unsigned a = x & 65535, b = x >> 16 & 65535, c = x >> 32 & 65535;
    switch (x >> 58 & 3) {
    case 0:
        return snprintf(out, size, "2%03x:%x:%x::/48\n", a & 0xfff, b, c);
    case 1:
        return snprintf(out, size, "%s:%x::/48\n", root, a);
    case 2:
        return snprintf(out, size, "%s:%x:%x::/64\n", root, a & 255, b);
    default:
        return snprintf(out, size, "%s:%x:%x::%x/128\n", root, a & 255, b, c);
    }
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
    size_t memory = memory_used();
    uint64_t start = cpu_us();
    if (table_load(type, &source, &diag, &table) < 0) {
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&diag.text)));
        exit(1);
    }
    printf("%s: load of %lu: %.0f ms, %.1f MB\n", what, n, (double)(cpu_us() - start) / 1e3,
           (double)(memory_used() - memory) / 1e6);
    diag_deinit(&diag);
    free(text);
    return table;
}

static struct ip *addresses_to_ask(entry_fn entry, unsigned long n) {
    struct ip *ips = malloc(LOOKUPS * sizeof(*ips));
    if (ips == NULL)
        exit(1);
    for (unsigned long i = 0; i < LOOKUPS; i++) {
        char text[64];
        struct cidr prefix;
        int len = entry(text, sizeof(text), mix(i) % n + (i % 2 == 0 ? 0 : n));
        if (cidr_parse((struct str){ text, (size_t)len - 1 }, &prefix) < 0)
            exit(1);
        ips[i] = prefix.ip;
    }
    return ips;
}

static void look_up_ips(const char *what, const char *how, const struct table *table, const struct ip *ips,
                        unsigned long n_ips, bool is_in_turn) {
    unsigned long found = 0, at = 0;
    uint64_t best = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = cpu_us();
        for (unsigned long i = 0; i < LOOKUPS / ROUNDS; i++) {
            found += table_has_ip(table, &ips[at]);
            at = at + 1 < n_ips ? at + 1 : 0;
            if (is_in_turn)
                __atomic_thread_fence(__ATOMIC_SEQ_CST);
        }
        uint64_t took = cpu_us() - start;
        best = took < best ? took : best;
    }
    printf("%s: lookup, %s: %.0f ns, %.0f %% found\n", what, how, (double)best * 1e3 / (LOOKUPS / ROUNDS),
           (double)found * 100 / LOOKUPS);
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
    uint64_t start = cpu_us();
    for (unsigned long i = 0; i < TEXTS; i++)
        found += table_has(table, str_of(texts[i]));
    printf("%s: lookup %.0f ns, %lu of %d found\n", what, (double)(cpu_us() - start) * 1e3 / TEXTS, found, TEXTS);
    free(texts);
}

static void bench_ips(const char *what, entry_fn entry, unsigned long n) {
    struct table *table = load(what, TABLE_TYPE_CIDR, entry, n);
    struct ip *ips = addresses_to_ask(entry, n);
    look_up_ips(what, "random", table, ips, LOOKUPS, false);
    look_up_ips(what, "random, in turn", table, ips, LOOKUPS, true);
    look_up_ips(what, "hot", table, ips, HOT, false);
    free(ips);
    table_free(table);
}

int main(int argc, char **argv) {
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    hash_init();
    bench_ips("cidr, IPv4 addresses", v4_entry, n);
    bench_ips("cidr, IPv4 networks", v4_mixed_entry, n);
    bench_ips("cidr, IPv6 in one /16", v6_entry, n);
    bench_ips("cidr, IPv6 of all sizes", v6_mixed_entry, n);
    struct table *table = load("names", TABLE_TYPE_NAMES, name_entry, n);
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
