/*
 * child: see the header.
 *
 * Every descriptor that is not in the list is closed (close_range over the gaps) instead of naming those to close: a
 * listening socket that stayed open in a child would take connections that nobody accepts, and a list of what to close
 * is wrong the day somebody adds a descriptor to the master. No watch of the master's loop must be "stopped" here,
 * since the epoll set is shared with the parent until the descriptor is closed. The log is opened anew for the same
 * reason. SIGINT and SIGHUP are ignored: a terminal sends them to the whole group, and the master decides what they
 * mean. SIGTERM and SIGQUIT, which the master sends, stay blocked as they were at the fork until the child's loop takes
 * them (loop_on_signal()): one that comes earlier waits, instead of killing a process that could have ended in order.
 */
#include "cmd/child.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int compare_fds(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void close_all_but(int *fds, size_t n) {
    qsort(fds, n, sizeof(*fds), compare_fds);
    unsigned next = 0;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)fds[i] > next)
            close_range(next, (unsigned)fds[i] - 1, 0);
        next = (unsigned)fds[i] + 1;
    }
    close_range(next, ~0U, 0);
}

void child_begin(int *kept, size_t n_kept, const struct conf_settings *set, const char *ident) {
    log_close();
    close_all_but(kept, n_kept);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigset_t orders;
    sigemptyset(&orders);
    sigaddset(&orders, SIGTERM);
    sigaddset(&orders, SIGQUIT);
    sigprocmask(SIG_SETMASK, &orders, NULL);
    log_open(ident, set->log.target, set->log.format, set->log.level);
}
