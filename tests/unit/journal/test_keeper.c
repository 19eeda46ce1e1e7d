/* keeper: the real process, a taken-over worker's tricks with its descriptor, rotation, full disks, the end. */
#include "journal/keeper.h"

#include "journal/writer.h"
#include "net/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    pid_t pid;
    int channel; /* -1: closed */
};

static int start_keeper(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    int ends[2];
    assert_int_equal(channel_pair(ends), 0);
    f->pid = fork();
    if (f->pid == 0) {
        close(ends[0]);
        _exit(keeper_run(&(struct keeper_setup){ .master_fd = ends[1] }));
    }
    close(ends[1]);
    f->channel = ends[0];
    *state = f;
    return 0;
}

/* The keeper ends when nobody can write any more. */
static void end_of_keeper(struct fixture *f) {
    int status;
    close(f->channel);
    f->channel = -1;
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    f->pid = 0;
}

static int stop_keeper(void **state) {
    struct fixture *f = *state;
    if (f->pid > 0) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
    }
    if (f->channel >= 0)
        close(f->channel);
    free(f);
    return 0;
}

static int new_file(void) {
    char path[] = "/tmp/postern-keeper-XXXXXX";
    int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* Returns the end that a worker has. */
static int give_pipe(struct fixture *f, unsigned process, int file) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(keeper_give_pipe(f->channel, process, ends[0], file), 0);
    close(ends[0]);
    return ends[1];
}

static void say(int pipe, const char *text) {
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(pipe, text, len);
        assert_true(n > 0 || errno == EAGAIN);
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        if (n < 0)
            poll(&(struct pollfd){ .fd = pipe, .events = POLLOUT }, 1, -1);
    }
}

static char text[4 * JOURNAL_BUFFER];

static const char *text_of(int fd) {
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

/* Waits until the keeper has written so many bytes. */
static void await_size(int fd, off_t size) {
    while (lseek(fd, 0, SEEK_END) < size)
        poll(NULL, 0, 1);
}

static void records_reach_the_file_of_their_worker_and_all_do_before_the_end(void **state) {
    struct fixture *f = *state;
    int one = new_file(), two = new_file();
    int a = give_pipe(f, 1, one), b = give_pipe(f, 2, two);
    say(a, "{\"a\":1}\n");
    say(b, "{\"b\":1}\n{\"b\":2}\n{\"b\":");
    say(a, "{\"a\":2}\n");
    close(a);
    close(b);
    end_of_keeper(f);
    assert_string_equal(text_of(one), "{\"a\":1}\n{\"a\":2}\n");
    assert_string_equal(text_of(two), "{\"b\":1}\n{\"b\":2}\n"); /* what the second died over is no record */
    close(one);
    close(two);
}

/* Each call that a worker's sandbox may let through, on the one descriptor that it has. */
static void a_taken_over_worker_cannot_change_what_was_written(void **state) {
    struct fixture *f = *state;
    int file = new_file();
    int pipe = give_pipe(f, 1, file);
    say(pipe, "{\"crime\":1}\n");
    await_size(file, 12);
    assert_int_equal(ftruncate(pipe, 0), -1);
    assert_int_equal(lseek(pipe, 0, SEEK_SET), -1);
    assert_int_equal(pwrite(pipe, "{\"alibi\":", 9, 0), -1);
    assert_int_equal(fallocate(pipe, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 12), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, pipe, 0), MAP_FAILED);
    fcntl(pipe, F_SETFL, 0); /* without O_APPEND and O_NONBLOCK */
    say(pipe, "{\"alibi\":1}\n");
    char again[32];
    snprintf(again, sizeof(again), "/proc/self/fd/%d", pipe);
    int reopened = open(again, O_RDWR | O_TRUNC | O_NONBLOCK | O_CLOEXEC); /* a pipe still */
    if (reopened >= 0) {
        assert_int_equal(pwrite(reopened, "{\"alibi\":", 9, 0), -1);
        close(reopened);
    }
    close(pipe);
    end_of_keeper(f);
    assert_string_equal(text_of(file), "{\"crime\":1}\n{\"alibi\":1}\n");
    close(file);
}

static void a_new_file_takes_over_at_the_end_of_a_line(void **state) {
    struct fixture *f = *state;
    int old = new_file(), new = new_file();
    int pipe = give_pipe(f, 1, old);
    say(pipe, "{\"a\":1}\n{\"b\"");
    await_size(old, 8);
    assert_int_equal(keeper_give_file(f->channel, 1, new), 0);
    assert_int_equal(keeper_give_file(f->channel, 9, old), 0); /* of no worker: nothing happens */
    say(pipe, ":2}\n");
    close(pipe);
    end_of_keeper(f);
    char all[64];
    size_t len = strlen(strcpy(all, text_of(old)));
    assert_int_equal(all[len - 1], '\n');
    strcpy(all + len, text_of(new));
    assert_string_equal(all, "{\"a\":1}\n{\"b\":2}\n");
    close(old);
    close(new);
}

static void a_file_that_takes_nothing_holds_up_no_other_and_loses_nothing(void **state) {
    struct fixture *f = *state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), other = new_file(), later = new_file();
    int pipe = give_pipe(f, 1, full), good = give_pipe(f, 2, other);
    say(pipe, "{\"a\":1}\n");
    say(good, "{\"b\":1}\n");
    await_size(other, 8);
    assert_int_equal(keeper_give_file(f->channel, 1, later), 0);
    say(pipe, "{\"a\":2}\n");
    close(pipe);
    close(good);
    end_of_keeper(f);
    assert_string_equal(text_of(later), "{\"a\":1}\n{\"a\":2}\n");
    close(full);
    close(other);
    close(later);
}

static void a_line_beyond_all_bounds_is_dropped_and_the_next_one_is_not(void **state) {
    struct fixture *f = *state;
    int file = new_file();
    int pipe = give_pipe(f, 1, file);
    memset(text, 'x', 3 * JOURNAL_BUFFER);
    text[3 * JOURNAL_BUFFER] = '\0';
    say(pipe, "{\"a\":1}\n");
    say(pipe, text);
    say(pipe, "\n{\"a\":2}\n");
    memset(text, 'y', JOURNAL_BUFFER - 1);
    strcpy(text + JOURNAL_BUFFER - 1, "\n{\"a\":3}\n");
    say(pipe, text); /* the longest that a worker can make */
    close(pipe);
    end_of_keeper(f);
    text_of(file);
    assert_int_equal(strncmp(text, "{\"a\":1}\n{\"a\":2}\ny", 17), 0);
    assert_int_equal(strspn(text + 16, "y"), JOURNAL_BUFFER - 1);
    assert_string_equal(text + 16 + JOURNAL_BUFFER - 1, "\n{\"a\":3}\n");
    close(file);
}

#define with_keeper(name) cmocka_unit_test_setup_teardown(name, start_keeper, stop_keeper)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_keeper(records_reach_the_file_of_their_worker_and_all_do_before_the_end),
        with_keeper(a_taken_over_worker_cannot_change_what_was_written),
        with_keeper(a_new_file_takes_over_at_the_end_of_a_line),
        with_keeper(a_file_that_takes_nothing_holds_up_no_other_and_loses_nothing),
        with_keeper(a_line_beyond_all_bounds_is_dropped_and_the_next_one_is_not),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
