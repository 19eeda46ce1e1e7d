/*
 * The control socket: what counts as a request, and clients that behave badly.
 */
#include "cmd/control.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the parser */

static int parse(const char *text, enum control_request *ret) {
    return control_parse(str_of(text), ret);
}

static void requests_are_known_by_their_words(void **state) {
    static const struct { const char *line; enum control_request request;
    } cases[] = {
        {"status\n", CONTROL_STATUS},
        {"status json\n", CONTROL_STATUS_JSON},
        {"status\tcheck\r\n", CONTROL_STATUS_CHECK},
        {"  reload  \n", CONTROL_RELOAD},
        {"version\nreload\n", CONTROL_VERSION},
        {"help\r\n", CONTROL_HELP},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum control_request request = CONTROL_HELP;
        assert_int_equal(parse(cases[i].line, &request), 0);
        assert_int_equal(request, cases[i].request);
    }
}

static void other_lines_are_unknown(void **state) {
    static const char *const lines[] = {
        "\n", "\r\n", "statu\n", "statuss\n", "STATUS\n", "status json check\n", "reload now\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        enum control_request request;
        assert_int_equal(parse(lines[i], &request), CONTROL_UNKNOWN);
    }
}

static void bytes_that_are_no_text_are_refused_before_the_line_ends(void **state) {
    enum control_request request;
    assert_int_equal(control_parse((struct str){ "status\0\n", 8 }, &request), CONTROL_BAD_BYTES);
    assert_int_equal(parse("\x16\x03\x01", &request), CONTROL_BAD_BYTES);
    assert_int_equal(parse("caf\xc3\xa9", &request), CONTROL_BAD_BYTES);
    assert_int_equal(parse("sta\rtus\n", &request), CONTROL_BAD_BYTES);
    assert_int_equal(parse("status\r\r\n", &request), CONTROL_BAD_BYTES);
}

static void a_line_may_have_512_bytes_and_not_one_more(void **state) {
    char line[CONTROL_LINE_MAX + 1];
    enum control_request request;
    memset(line, ' ', sizeof(line));
    memcpy(line, "reload", 6);
    line[CONTROL_LINE_MAX - 1] = '\n';
    assert_int_equal(control_parse((struct str){ line, CONTROL_LINE_MAX }, &request), 0);
    assert_int_equal(request, CONTROL_RELOAD);
    line[CONTROL_LINE_MAX - 1] = ' ';
    assert_int_equal(control_parse((struct str){ line, CONTROL_LINE_MAX - 1 }, &request), CONTROL_MORE);
    line[CONTROL_LINE_MAX] = '\n';
    assert_int_equal(control_parse((struct str){ line, CONTROL_LINE_MAX }, &request), CONTROL_TOO_LONG);
    assert_int_equal(control_parse((struct str){ line, CONTROL_LINE_MAX + 1 }, &request), CONTROL_TOO_LONG);
}

/* ---- the server */

struct fixture {
    struct loop *loop;
    struct control *control;
    char dir[32], path[64];
    unsigned n_requests;
    uint64_t ticket;
    bool answers_later;
};

static void on_request(void *arg, enum control_request request, uint64_t ticket) {
    struct fixture *f = arg;
    f->n_requests++;
    f->ticket = ticket;
    if (!f->answers_later)
        control_answer(f->control, ticket, request == CONTROL_RELOAD ? "refused" : NULL, STR("text\n"));
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    strcpy(f->dir, "/tmp/postern-control-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/control", f->dir);
    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(control_open(f->loop, f->path, on_request, f, &f->control), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    control_close(f->control);
    loop_free(f->loop);
    rmdir(f->dir);
    free(f);
    return 0;
}

static int connect_to(const struct fixture *f) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strcpy(at.sun_path, f->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void turn(struct fixture *f) {
    for (int i = 0; i < 6; i++)
        assert_int_equal(loop_turn(f->loop, 0), 0);
}

/* What the server has said by now and whether it closed. */
static bool is_closed_after(int fd, const char *expected) {
    char got[256];
    size_t len = 0;
    for (;;) {
        ssize_t n = recv(fd, got + len, sizeof(got) - 1 - len, MSG_DONTWAIT);
        if (n <= 0) {
            got[len] = '\0';
            assert_string_equal(got, expected);
            return n == 0 || errno == ECONNRESET;
        }
        len += (size_t)n;
    }
}

static void say(int fd, const void *bytes, size_t len) {
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void a_request_in_pieces_is_answered_and_the_client_closed(void **state) {
    struct fixture *f = *state;
    int fd = connect_to(f);
    turn(f);
    say(fd, "stat", 4);
    turn(f);
    assert_int_equal(f->n_requests, 0);
    say(fd, "us\n", 3);
    turn(f);
    assert_int_equal(f->n_requests, 1);
    assert_true(is_closed_after(fd, "ok\ntext\n"));
    close(fd);
}

static void an_error_stands_in_the_first_line(void **state) {
    struct fixture *f = *state;
    int fd = connect_to(f);
    say(fd, "reload\n", 7);
    turn(f);
    assert_true(is_closed_after(fd, "error refused\ntext\n"));
    close(fd);
}

static void hostile_bytes_are_told_so_and_never_reach_the_master(void **state) {
    struct fixture *f = *state;
    char flood[4096];
    memset(flood, 'a', sizeof(flood));
    int fd = connect_to(f);
    say(fd, flood, sizeof(flood));
    turn(f);
    assert_true(is_closed_after(fd, "error the request is longer than 512 bytes\n"));
    close(fd);
    fd = connect_to(f);
    say(fd, "\0\1\2", 3);
    turn(f);
    assert_true(is_closed_after(fd, "error the request is not a line of text\n"));
    close(fd);
    assert_int_equal(f->n_requests, 0);
}

static void sixteen_clients_are_served_and_the_next_is_closed(void **state) {
    struct fixture *f = *state;
    int fds[CONTROL_CLIENTS_MAX], one_more;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        fds[i] = connect_to(f);
        turn(f);
    }
    one_more = connect_to(f);
    turn(f);
    assert_true(is_closed_after(one_more, ""));
    close(one_more);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        say(fds[i], "version\n", 8);
        turn(f);
        assert_true(is_closed_after(fds[i], "ok\ntext\n"));
        close(fds[i]);
    }
}

static void a_silent_client_is_closed_after_five_seconds(void **state) {
    struct fixture *f = *state;
    loop_set_time(f->loop, 1000);
    int fd = connect_to(f);
    turn(f);
    loop_set_time(f->loop, 1000 + CONTROL_TIMEOUT_MS - 1);
    turn(f);
    assert_false(is_closed_after(fd, ""));
    loop_set_time(f->loop, 1000 + CONTROL_TIMEOUT_MS);
    turn(f);
    assert_true(is_closed_after(fd, ""));
    close(fd);
}

static void out_of_descriptors_it_rests_instead_of_trying_for_ever(void **state) {
    struct fixture *f = *state;
    struct rlimit before, none;
    loop_set_time(f->loop, 1000);
    int fd = connect_to(f);
    say(fd, "status\n", 7);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ .rlim_cur = 1, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    turn(f);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    turn(f);
    assert_int_equal(f->n_requests, 0);
    loop_set_time(f->loop, 1050);
    turn(f);
    assert_int_equal(f->n_requests, 1);
    close(fd);
}

static void a_late_answer_goes_to_nobody_else(void **state) {
    struct fixture *f = *state;
    f->answers_later = true;
    int fd = connect_to(f);
    say(fd, "reload\n", 7);
    turn(f);
    uint64_t first = f->ticket;
    shutdown(fd, SHUT_WR); /* half a close is no reason not to answer */
    turn(f);
    control_answer(f->control, first, NULL, STR("late\n"));
    turn(f);
    assert_true(is_closed_after(fd, "ok\nlate\n"));
    close(fd);
    fd = connect_to(f); /* takes the same slot */
    say(fd, "reload\n", 7);
    turn(f);
    control_answer(f->control, first, NULL, STR("not yours\n"));
    turn(f);
    assert_false(is_closed_after(fd, ""));
    close(fd);
}

static void a_second_master_is_refused_and_a_stale_file_replaced(void **state) {
    struct fixture *f = *state;
    struct control *second = NULL;
    assert_int_equal(control_open(f->loop, f->path, on_request, f, &second), -EADDRINUSE);
    control_close(f->control);
    f->control = NULL;
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strcpy(at.sun_path, f->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    close(fd); /* as a master that was killed leaves it */
    assert_int_equal(control_open(f->loop, f->path, on_request, f, &f->control), 0);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
}

static void a_file_that_is_no_socket_is_never_removed(void **state) {
    struct fixture *f = *state;
    char path[80];
    snprintf(path, sizeof(path), "%s/precious", f->dir);
    FILE *file = fopen(path, "w");
    fclose(file);
    struct control *control;
    assert_int_equal(control_open(f->loop, path, on_request, f, &control), -EEXIST);
    assert_int_equal(unlink(path), 0);
}

/* ---- the client */

static int ask_in_child(const char *path, const char *request, const char *expected) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct buf answer;
    buf_init(&answer, 4096);
    int r = control_ask(path, request, 5000, &answer);
    bool is_right = r >= 0 && str_eq(buf_str(&answer), str_of(expected));
    _exit(is_right ? r : 99);
}

static int exit_code_of(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void the_client_tells_ok_from_error(void **state) {
    struct fixture *f = *state;
    pid_t good = ask_in_child(f->path, "status", "text\n");
    while (f->n_requests < 1)
        loop_turn(f->loop, 100);
    assert_int_equal(exit_code_of(good), 0);
    pid_t bad = ask_in_child(f->path, "reload", "refused\ntext\n");
    while (f->n_requests < 2)
        loop_turn(f->loop, 100);
    assert_int_equal(exit_code_of(bad), 1);
}

static void the_client_says_that_no_master_is_there(void **state) {
    struct buf answer;
    buf_init(&answer, 4096);
    assert_int_equal(control_ask("/nonexistent/control", "status", 100, &answer), -ENOENT);
    char path[200];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(control_ask(path, "status", 100, &answer), -ENAMETOOLONG);
    buf_deinit(&answer);
}

#define with_server(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_known_by_their_words),
        cmocka_unit_test(other_lines_are_unknown),
        cmocka_unit_test(bytes_that_are_no_text_are_refused_before_the_line_ends),
        cmocka_unit_test(a_line_may_have_512_bytes_and_not_one_more),
        with_server(a_request_in_pieces_is_answered_and_the_client_closed),
        with_server(an_error_stands_in_the_first_line),
        with_server(hostile_bytes_are_told_so_and_never_reach_the_master),
        with_server(sixteen_clients_are_served_and_the_next_is_closed),
        with_server(a_silent_client_is_closed_after_five_seconds),
        with_server(out_of_descriptors_it_rests_instead_of_trying_for_ever),
        with_server(a_late_answer_goes_to_nobody_else),
        with_server(a_second_master_is_refused_and_a_stale_file_replaced),
        with_server(a_file_that_is_no_socket_is_never_removed),
        with_server(the_client_tells_ok_from_error),
        cmocka_unit_test(the_client_says_that_no_master_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
