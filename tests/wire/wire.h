/* wire: plays one transcript; what stands in one is told in wire.c. */
#pragma once

#include "base/buf.h"

struct wire_run {
    /* The caller's. */
    void (*arm)(bool is_armed); /* around what the program under test does; NULL: nobody wants to know */
    bool is_faulty;             /* something is made to fail: the play ends, quietly, where the transcript is left */
    /* The play's. */
    char sentence[256];         /* the transcript's first line, which says what it shows */
    bool has_passed;
    struct buf replies;         /* all that clients were told; the caller frees it */
    uint64_t messages;          /* that the mailbox server has accepted */
};

void wire_play(const char *path, struct wire_run *run);
