/*
 * replay: runs a fuzzer over its corpus without libFuzzer, so that `make check` needs no clang and every input that
 * once broke something stays a test. Prints TAP: one test a file. An input that makes the parser read past its end is
 * the sanitizer's find, hence each is copied into memory of exactly its size.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *folder, const char *name, unsigned number) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        printf("not ok %u - %s cannot be read\n", number, name);
        return 1;
    }
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(size > 0 ? size : 1);
    size_t got = data != NULL ? fread(data, 1, size, file) : 0;
    fclose(file);
    if (data == NULL || got != size) {
        free(data);
        printf("not ok %u - %s cannot be read\n", number, name);
        return 1;
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    printf("ok %u - %s\n", number, name);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    struct dirent **entries;
    int n = scandir(argv[1], &entries, NULL, alphasort);
    if (n < 0) {
        perror(argv[1]);
        return 1;
    }
    int bad = 0;
    unsigned number = 0;
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.')
            bad |= replay(argv[1], entries[i]->d_name, ++number);
        free(entries[i]);
    }
    free(entries);
    printf("1..%u\n", number);
    return bad || number == 0;
}
