/*
 * journals: rotation of the workers' journal files, and the child process that compresses what is closed.
 */
#pragma once

#include "cmd/generation.h"

enum { JOURNAL_GRACE_MS = 30000, JOURNAL_TIDY_EVERY_MS = 3600000 };

struct journals {
    pid_t child;       /* 0: none runs */
    bool is_due;       /* a file was closed since the last tidying */
    uint64_t tidied_ms;
};

/*
 * Hands new files to workers whose file is large or of yesterday; starts to tidy when it is time. Call every few
 * seconds.
 */
void journals_round(struct journals *journals, struct generation *generations, uint64_t now_ms);

/* A child of the master has ended. True when it was ours. */
bool journals_child_ended(struct journals *journals, pid_t pid, int status);
