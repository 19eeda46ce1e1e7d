/*
 * wire_alloc: memory that runs out, at each place of the code that takes some.
 *
 * Every transcript is played once to note the allocations that it meets (alloc_fault.h). Each that no earlier
 * transcript met is then made to fail, in a process of its own: once, and once more for good from there on. Whatever
 * the client hears then, it must be true:
 *
 *   - no crash, nothing used after it was freed, nothing lost (the sanitizers; each process checks for leaks);
 *   - no 5xx that the transcript does not hold without the fault: want of memory is our trouble. What follows a 451 in
 *     a pipelined group is not about the mail: 503, and 554 to DATA without a recipient (RFC 2920 3.1).
 *   - "250 2.0.0 Ok: queued", the mailbox server's words, as often at most as the mailbox server took a message.
 *
 * TAP: one point a transcript that met new places.
 */
#include "wire.h"

#include "alloc_fault.h"
#include "base/hash.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_S = 60, REPLIES_MAX = 1 << 20, OK = 0, BROKEN = 3 };

#if defined(__SANITIZE_ADDRESS__)
int __lsan_do_recoverable_leak_check(void);
#else
static int __lsan_do_recoverable_leak_check(void) {
    return 0;
}
#endif

/* What the processes share. */
struct board {
    struct alloc_sites sites;     /* of all transcripts so far */
    char replies[REPLIES_MAX];    /* to the transcript without a fault */
    size_t replies_len;
};

static struct board *board;

/* Without the id, which counts the decisions. */
static struct str words_of(struct str line) {
    return str_head(line, str_find(line, '['));
}

static bool is_in(struct str text, struct str line) {
    while (text.len > 0) {
        size_t len = str_find(text, '\n');
        if (str_eq(words_of(str_head(text, len)), words_of(line)))
            return true;
        text = str_from(text, len + 1);
    }
    return false;
}

static bool is_about_the_group(struct str line) {
    return str_starts_nocase(line, STR("503 ")) || str_starts_nocase(line, STR("554 5.5.1 No valid recipients"));
}

/* Prints what is wrong with what the client was told. */
static bool is_true(const struct wire_run *run) {
    struct str known = { board->replies, board->replies_len }, rest = buf_str(&run->replies);
    uint64_t n_taken = 0;
    while (rest.len > 0) {
        size_t len = str_find(rest, '\n');
        struct str line = str_head(rest, len);
        rest = str_from(rest, len + 1);
        n_taken += str_starts_nocase(line, STR("250 2.0.0 Ok: queued"));
        if (line.len < 4 || line.at[0] != '5' || is_about_the_group(line) || is_in(known, line))
            continue;
        fprintf(stderr, "# the client heard: %.*s\n", STR_ARG(line));
        return false;
    }
    if (n_taken > run->messages)
        fprintf(stderr, "# %llu messages were taken in, %llu handed on\n", (unsigned long long)n_taken,
                (unsigned long long)run->messages);
    return n_taken <= run->messages;
}

static void note(const char *path) {
    struct wire_run run = { .arm = alloc_fault_arm };
    alloc_fault_note(&board->sites);
    wire_play(path, &run);
    board->replies_len = run.replies.len < REPLIES_MAX ? run.replies.len : REPLIES_MAX;
    if (board->replies_len > 0)
        memcpy(board->replies, run.replies.at, board->replies_len);
    exit(run.has_passed ? OK : BROKEN);
}

static void play_with_fault(const char *path, uint64_t site, bool is_for_good, bool is_traced) {
    struct wire_run run = { .arm = alloc_fault_arm, .is_faulty = true };
    alloc_fault_choose(site, is_for_good);
    if (is_traced)
        alloc_fault_trace();
    wire_play(path, &run);
    bool is_ok = is_true(&run);
    buf_deinit(&run.replies);
    _exit(is_ok && __lsan_do_recoverable_leak_check() == 0 ? OK : BROKEN);
}

static bool is_fine(pid_t pid) {
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == OK;
}

static bool is_noted(const char *path) {
    pid_t pid = fork();
    if (pid == 0)
        note(path);
    return is_fine(pid);
}

static bool stands_fault(const char *path, uint64_t site, bool is_for_good, bool is_traced) {
    pid_t pid = fork();
    if (pid == 0) {
        alarm(LIMIT_S);
        if (!is_traced && freopen("/dev/null", "w", stderr) == NULL)
            abort();
        play_with_fault(path, site, is_for_good, is_traced);
    }
    return is_fine(pid);
}

/* The sites that no transcript before `first` met. */
static bool stands_faults(const char *path, size_t first) {
    bool is_ok = true;
    for (size_t i = first; i < board->sites.n; i++) {
        for (int is_for_good = 0; is_for_good < 2; is_for_good++) {
            if (stands_fault(path, board->sites.at[i], is_for_good, false))
                continue;
            fprintf(stderr, "# %s, site %zu%s:\n", path, i, is_for_good ? ", for good" : "");
            stands_fault(path, board->sites.at[i], is_for_good, true);
            is_ok = false;
        }
    }
    return is_ok;
}

int main(int argc, char **argv) {
    hash_init();
    log_open("wire", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    setvbuf(stdout, NULL, _IOLBF, 0);
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 1;
    int n = 0, n_bad = 0;
    for (int i = 1; i < argc; i++) {
        const char *name = strrchr(argv[i], '/');
        size_t first = board->sites.n;
        bool is_ok = is_noted(argv[i]);
        size_t n_new = board->sites.n - first;
        if (is_ok && n_new == 0)
            continue;
        is_ok = is_ok && stands_faults(argv[i], first);
        n_bad += !is_ok;
        printf("%s %d - %s: %zu places where memory runs out\n", is_ok ? "ok" : "not ok", ++n,
               name ? name + 1 : argv[i], n_new);
    }
    printf("1..%d\n", n);
    return n > 0 && n_bad == 0 ? 0 : 1;
}
