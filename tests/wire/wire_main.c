/* wire_main: plays the transcripts that it is given. TAP: one test a file. */
#include "wire.h"

#include "base/hash.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    hash_init();
    log_open("wire", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    bool is_ok = argc > 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        struct wire_run run = { 0 };
        wire_play(argv[i], &run);
        buf_deinit(&run.replies);
        const char *name = strrchr(argv[i], '/');
        printf("%s %d - %s: %s\n", run.has_passed ? "ok" : "not ok", i, name != NULL ? name + 1 : argv[i],
               run.sentence);
        is_ok = is_ok && run.has_passed;
    }
    return is_ok ? 0 : 1;
}
