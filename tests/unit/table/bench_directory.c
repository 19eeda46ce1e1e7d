/*
 * bench_directory: how long 5,000,000 addresses take to import, and one to be looked up. Built on demand (ninja
 * bench_directory).
 *
 * Usage: bench_directory DIR [ADDRESSES]. Writes DIR/bench.example.cdb through the reader of plain lists, then asks for
 * every address once in an order that jumps about, known and unknown ones in turn.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "smtp/address.h"
#include "table/directory.h"
#include "table/import.h"
#include "table/recipients.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static int add(void *arg, struct str local, struct str address) {
    return directory_writer_add(arg, local, address);
}

static void write_list(struct import *import, unsigned long n) {
    static char chunk[64 * 1024 + 64];
    size_t len = 0;
    for (unsigned long i = 0; i < n; i++) {
        len += (size_t)sprintf(chunk + len, "First.Last%lu@bench.example\n", i);
        if (len > 64 * 1024 || i + 1 == n) {
            if (import_feed(import, (struct str){ chunk, len }) < 0)
                exit(1);
            len = 0;
        }
    }
}

static void build(const char *dir, unsigned long n) {
    struct directory_writer *writer;
    struct import *import;
    struct diag_list diag;
    diag_init(&diag);
    struct import_options options = { .format = IMPORT_LIST, .path = "bench", .domain = STR("bench.example") };
    uint64_t start = clock_us();
    if (directory_writer_new(dir, options.domain, STR("bench"), &writer) < 0 ||
        import_new(&options, &diag, add, writer, &import) < 0)
        exit(1);
    write_list(import, n);
    if (import_end(import) < 0 || diag.errors > 0 || directory_writer_count(writer) != n)
        exit(1);
    import_free(import);
    if (directory_writer_commit(writer, clock_wall_ms()) < 0)
        exit(1);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("import of %lu: %.1f s, %ld MiB resident at most\n", n, (double)(clock_us() - start) / 1e6,
           usage.ru_maxrss / 1024);
    diag_deinit(&diag);
}

static void look_up(const struct directory *directory, unsigned long n) {
    struct recipient_lookup how = { .delimiter = "+" };
    unsigned long known = 0;
    uint64_t start = clock_us();
    for (unsigned long i = 0; i < n; i++) {
        char text[64];
        struct smtp_address address;
        enum recipient_way way;
        const char *rewrite;
        int len = sprintf(text, "first.last%lu@bench.example", i * 2654435761 % n + (i % 2) * n);
        if (smtp_address_parse((struct str){ text, (size_t)len }, true, &address) != SMTP_ADDRESS_OK)
            exit(1);
        known += recipient_find(directory, &how, &address, 0, &way, &rewrite) == RECIPIENT_KNOWN;
    }
    printf("lookup: %.0f ns each with printing and parsing the address, %lu of %lu known\n",
           (double)(clock_us() - start) * 1e3 / (double)n, known, n);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR [ADDRESSES]\n", argv[0]);
        return 64;
    }
    hash_init();
    unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 5000000;
    build(argv[1], n);
    struct buf path;
    buf_init(&path, 4096);
    struct directory *directory;
    if (directory_path(argv[1], STR("bench.example"), &path) < 0 || buf_putc(&path, '\0') < 0 ||
        directory_open(path.at, &directory) < 0)
        return 1;
    look_up(directory, n); /* brings the pages in */
    look_up(directory, n);
    directory_free(directory);
    buf_deinit(&path);
    return 0;
}
