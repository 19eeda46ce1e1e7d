/*
 * keeper: the journal process, which alone can write to the journal's files.
 *
 * A worker holds the writing end of a pipe: it can add to its records, and can change none that it has written. The
 * master forks the keeper, calls keeper_run(), and hands it descriptors over the channel between them:
 *
 *   master ─▶ keeper   KEEPER_PIPE (reading end of a worker's pipe, and the file it goes to)
 *                      KEEPER_FILE (the file that this worker's records go to from the next whole line on)
 *
 * The keeper opens nothing and knows no path. It ends when the master has closed the channel and every worker its
 * pipe, with all that they wrote in the files.
 */
#pragma once

#include <stdint.h>

enum keeper_order_type { KEEPER_PIPE = 1, KEEPER_FILE };

struct keeper_order {
    uint32_t type;    /* enum keeper_order_type */
    uint32_t process; /* of the worker, as in ids */
};

/* For KEEPER_PIPE, in this order; KEEPER_FILE has the file alone. */
enum { KEEPER_FD_PIPE, KEEPER_FD_FILE, KEEPER_FDS };

/* Pipes are made with room for so much, where the kernel allows it. */
enum { KEEPER_PIPE_SIZE = 1 << 20 };

/* Sends orders; the descriptors are borrowed. Return 0 or -errno (-EAGAIN: the channel is full). */
int keeper_give_pipe(int channel_fd, unsigned process, int pipe, int file);
int keeper_give_file(int channel_fd, unsigned process, int file);

struct keeper_setup {
    const char *user; /* NULL: stay who we are */
    int master_fd;    /* channel to the master */
};

/* Returns the exit code: 0 after an orderly end, 1 after an error that was logged. */
int keeper_run(const struct keeper_setup *setup);
