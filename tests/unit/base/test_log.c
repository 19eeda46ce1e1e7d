/*
 * log: the lines, and that no target is ever waited for.
 *
 * stderr is swapped for a file, a pipe, a socket or /dev/full, and syslogd is a datagram socket in a folder of the
 * test's own (log.c is compiled again for this test, with another LOG_SYSLOG_PATH).
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char folder[] = "/tmp/postern-log-XXXXXX";
static int true_stderr;
static char text[512 * 1024];

static int set_up(void **state) {
    setenv("TZ", "UTC0", 1);
    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    true_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    return true_stderr < 0 || !mkdtemp(folder) || chdir(folder) < 0 ? -1 : 0;
}

static int tear_down(void **state) {
    unlink("log.socket");
    unlink("stderr");
    return chdir("/") < 0 || rmdir(folder) < 0 ? -1 : 0;
}

static int restore(void **state) {
    log_close();
    dup2(true_stderr, STDERR_FILENO);
    unsetenv("JOURNAL_STREAM");
    return 0;
}

static void stderr_to(int take_fd) {
    assert_true(take_fd >= 0);
    assert_int_equal(dup2(take_fd, STDERR_FILENO), STDERR_FILENO);
    close(take_fd);
}

static void stderr_to_file(void) {
    stderr_to(open("stderr", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600));
}

static char *file_text(void) {
    ssize_t n = pread(STDERR_FILENO, text, sizeof(text) - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

/* What stands behind "IDENT[PID]: " in the one line of the file. */
static char *file_message(void) {
    char *at = strstr(file_text(), "]: ");
    assert_non_null(at);
    return at + 3;
}

/* Adds what a non-blocking descriptor holds to `text`, whose length is given and returned. */
static size_t drain(int fd, size_t len) {
    ssize_t n;
    while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return len;
}

static unsigned count_lines(void) {
    unsigned n = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        n++;
    return n;
}

static void before_it_is_opened_the_message_goes_to_stderr_alone(void **state) {
    stderr_to_file();
    log_warning("no file '%s'", "x\ny");
    log_debug("unseen");
    const struct log_field field = { "sid", STR("1") };
    log_event(LOG_LEVEL_INFO, &field, 1, "seen");
    assert_string_equal(file_text(), "warning: no file 'x\\x0ay'\nseen sid=1\n");
}

static void a_text_line_has_the_shape_of_postfix(void **state) {
    char host[64], expected[128];
    int day, hour, minute, second, end = 0;
    char month[4];
    stderr_to_file();
    assert_int_equal(log_open("postern/smtpd", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO), 0);
    log_info("connect from %s[%s]", "unknown", "203.0.113.7");
    assert_string_equal(file_text(), "");
    log_flush();
    gethostname(host, sizeof(host));
    host[strcspn(host, ".")] = '\0';
    assert_int_equal(sscanf(file_text(), "%3s %d %2d:%2d:%2d%n", month, &day, &hour, &minute, &second, &end), 5);
    assert_int_equal(end, 15);
    snprintf(expected, sizeof(expected), " %s postern/smtpd[%d]: connect from unknown[203.0.113.7]\n", host,
             (int)getpid());
    assert_string_equal(text + 15, expected);
}

static void fields_follow_the_message_and_are_quoted_where_they_must(void **state) {
    const struct log_field fields[] = {
        { "sid", STR("0abc") },         { "none", { NULL, 0 } },  { "rule", STR("RBL PTRNUL") }, { "empty", STR("") },
        { "quote", STR("a\"b\\c\x01") }, { "high", STR("\xc3\x7f") }, { "eq", STR("a=b") },
    };
    stderr_to_file();
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, fields, 7, "say \"hi\"\r\n");
    log_flush();
    assert_string_equal(file_message(), "say \"hi\"\\x0d\\x0a sid=0abc rule=\"RBL PTRNUL\" empty=\"\" "
                                        "quote=\"a\\\"b\\\\c\\x01\" high=\\xc3\\x7f eq=a=b\n");
}

static void words_stand_one_behind_the_other(void **state) {
    const struct str words[] = { STR("rule=\""), STR("A\nB"), STR("\" to=<"), { NULL, 0 }, STR("\xc3> sid=1") };
    stderr_to_file();
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    log_words(LOG_LEVEL_DEBUG, words, 1);
    log_words(LOG_LEVEL_INFO, words, 5);
    log_flush();
    assert_string_equal(file_message(), "rule=\"A\\x0aB\" to=<\\xc3> sid=1\n");
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    stderr_to_file();
    log_words(LOG_LEVEL_INFO, words, 5);
    log_flush();
    assert_non_null(strstr(file_text(), "\"message\":\"rule=\\\"A\\\\x0aB\\\" to=<\\\\xc3> sid=1\"}"));
}

static void json_is_one_object_a_line(void **state) {
    const struct log_field fields[] = {
        { "sid", STR("0abc") }, { "none", { NULL, 0 } }, { "helo", STR("a\"\\\n\xff") },
    };
    char expected[256];
    stderr_to_file();
    log_open("postern/smtpd", LOG_TARGET_STDERR, LOG_FORMAT_JSON, LOG_LEVEL_DEBUG);
    log_event(LOG_LEVEL_DEBUG, fields, 3, "a \"b\" \t%d", 7);
    log_flush();
    snprintf(expected, sizeof(expected), "\"level\":\"debug\",\"ident\":\"postern/smtpd\",\"pid\":%d,"
             "\"message\":\"a \\\"b\\\" \\\\x097\",\"sid\":\"0abc\",\"helo\":\"a\\\"\\\\\\\\x0a\\\\xff\"}\n",
             (int)getpid());
    assert_int_equal(strncmp(file_text(), "{\"time\":\"20", 11), 0);
    assert_string_equal(text + 9 + 24 + 2, expected);
}

static void levels_below_the_chosen_one_are_left_out_and_errors_go_out_at_once(void **state) {
    stderr_to_file();
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_WARNING);
    log_info("unseen");
    log_error("broken");
    assert_string_equal(file_message(), "error: broken\n");
    log_flush();
    assert_int_equal(count_lines(), 1);
}

static void a_long_line_is_cut_at_its_maximum_and_stays_whole_json(void **state) {
    static char message[4096];
    const struct log_field field = { "sid", STR("0abc") };
    memset(message, '"', sizeof(message) - 1);
    for (enum log_format format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        stderr_to_file();
        log_open("p", LOG_TARGET_STDERR, format, LOG_LEVEL_INFO);
        log_event(LOG_LEVEL_INFO, &field, 1, "%s", message);
        log_close();
        size_t len = strlen(file_text());
        assert_in_range(len, LOG_LINE_MAX - 1, LOG_LINE_MAX); /* an escape is not cut in two */
        assert_int_equal(count_lines(), 1);
        assert_null(strstr(text, "sid"));
        assert_string_equal(text + len - 3, format == LOG_FORMAT_JSON ? "\"}\n" : "\"\"\n");
    }
}

static void a_field_that_does_not_fit_is_left_out_whole(void **state) {
    static char value[LOG_LINE_MAX];
    memset(value, 'v', sizeof(value));
    for (size_t len = LOG_LINE_MAX - 200; len < LOG_LINE_MAX; len++) {
        const struct log_field field = { "key", { value, len } };
        stderr_to_file();
        log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
        log_event(LOG_LEVEL_INFO, &field, 1, "m");
        log_close();
        size_t total = strlen(file_text());
        assert_true(total <= LOG_LINE_MAX);
        assert_string_equal(text + total - 2, "}\n");
        size_t without = (size_t)(strstr(text, "\"m\"") + 3 - text);
        bool fits = without + strlen(",\"key\":\"\"") + len + 2 <= LOG_LINE_MAX;
        assert_int_equal(total, fits ? without + strlen(",\"key\":\"\"") + len + 2 : without + 2);
    }
}

static void the_systemd_journal_gets_a_priority_and_no_time(void **state) {
    struct stat st;
    char stream[64], expected[64];
    for (int is_it = 1; is_it >= 0; is_it--) {
        stderr_to_file();
        fstat(STDERR_FILENO, &st);
        unsigned long long device = st.st_dev, inode = st.st_ino + !is_it;
        snprintf(stream, sizeof(stream), "%llu:%llu", device, inode);
        setenv("JOURNAL_STREAM", stream, 1);
        log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
        log_warning("w");
        log_info("i");
        log_flush();
        snprintf(expected, sizeof(expected), "<4>p[%d]: warning: w\n<6>p[%d]: i\n", (int)getpid(), (int)getpid());
        if (is_it)
            assert_string_equal(file_text(), expected);
        else
            assert_null(strstr(file_text(), "<4>"));
    }
}

static unsigned lost_in_text(void) {
    unsigned n = 0;
    const char *at = strstr(text, " log lines were dropped");
    assert_non_null(at);
    while (at[-1] != ' ')
        at--;
    assert_int_equal(sscanf(at, "%u", &n), 1);
    return n;
}

/* Logs until lines are dropped for want of a reader, lets the reader catch up, and counts. */
static void fill_and_drain(int reader) {
    enum { LINES = 8000 };
    for (int i = 0; i < LINES; i++) {
        log_info("line %04d of a log that no one reads", i);
        if (i % 10 == 0)
            log_flush();
    }
    size_t len = drain(reader, 0);
    assert_null(strstr(text, "dropped"));
    for (int i = 0; i < 100; i++) {
        log_flush();
        len = drain(reader, len);
    }
    unsigned lost = lost_in_text();
    assert_true(lost > 0);
    assert_int_equal(count_lines() - 1 + lost, LINES);
    log_info("the next");
    log_flush();
    drain(reader, len);
    assert_non_null(strstr(text + len, "]: the next\n"));
    assert_null(strstr(text + len, "dropped"));
}

static void a_full_pipe_is_not_waited_for_and_what_was_dropped_is_told(void **state) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    stderr_to(ends[1]);
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    fill_and_drain(ends[0]);
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0); /* others write there too */
    close(ends[0]);
}

static void a_full_socket_is_not_waited_for(void **state) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    stderr_to(ends[1]);
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    fill_and_drain(ends[0]);
    close(ends[0]);
}

static void a_pipe_takes_whole_lines_only(void **state) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    stderr_to(ends[1]);
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    for (int i = 0; i < 3000; i++)
        log_info("line %04d", i);
    log_flush();
    size_t len = drain(ends[0], 0);
    assert_true(len > 4096);
    assert_int_equal(text[len - 1], '\n');
    close(ends[0]);
}

static void a_full_disk_costs_lines_and_nothing_else(void **state) {
    stderr_to(open("/dev/full", O_WRONLY | O_CLOEXEC));
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    for (int i = 0; i < 3000; i++)
        log_info("a line that finds no room anywhere, number %d", i);
    log_flush();
    stderr_to_file();
    log_open("p", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    log_info("room again");
    log_flush();
    assert_string_equal(file_message(), "room again\n");
}

static int start_syslogd(void) {
    struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "log.socket" };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink("log.socket");
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static const char *next_datagram(int fd) {
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void syslog_gets_a_datagram_a_line(void **state) {
    int syslogd = start_syslogd();
    char expected[64];
    assert_int_equal(log_open("postern/smtpd", LOG_TARGET_SYSLOG, LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG), 0);
    log_info("one");
    log_debug("two");
    log_flush();
    snprintf(expected, sizeof(expected), " postern/smtpd[%d]: one", (int)getpid());
    assert_int_equal(strncmp(next_datagram(syslogd), "<22>", 4), 0);
    assert_string_equal(text + 4 + 15, expected);
    assert_int_equal(strncmp(next_datagram(syslogd), "<23>", 4), 0);
    assert_non_null(strstr(text, "]: two"));
    assert_string_equal(next_datagram(syslogd), "");
    close(syslogd);
}

static void a_syslogd_that_restarts_is_found_again(void **state) {
    int syslogd = start_syslogd();
    assert_int_equal(log_open("p", LOG_TARGET_SYSLOG, LOG_FORMAT_TEXT, LOG_LEVEL_INFO), 0);
    close(syslogd);
    log_info("while it is away");
    log_flush();
    syslogd = start_syslogd();
    log_info("when it is back");
    log_flush();
    assert_non_null(strstr(next_datagram(syslogd), "while it is away"));
    assert_non_null(strstr(next_datagram(syslogd), "when it is back"));
    close(syslogd);
}

static void a_stopped_syslogd_is_not_waited_for(void **state) {
    enum { LINES = 3000 };
    int syslogd = start_syslogd();
    unsigned seen = 0, lost = 0;
    log_open("p", LOG_TARGET_SYSLOG, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    for (int i = 0; i < LINES; i++)
        log_info("line %04d of a log that no one reads", i);
    for (int quiet = 0; quiet < 2;) {
        log_flush();
        quiet++;
        while (*next_datagram(syslogd)) {
            quiet = 0;
            if (strstr(text, "dropped"))
                lost += lost_in_text();
            else
                seen++;
        }
    }
    assert_true(lost > 0);
    assert_int_equal(seen + lost, LINES);
    close(syslogd);
}

static void without_a_syslogd_opening_fails_and_stderr_serves(void **state) {
    unlink("log.socket");
    stderr_to_file();
    assert_int_equal(log_open("p", LOG_TARGET_SYSLOG, LOG_FORMAT_TEXT, LOG_LEVEL_INFO), -ENOENT);
    log_info("plain");
    assert_string_equal(file_text(), "plain\n");
}

static void a_forked_child_does_not_repeat_its_parent_and_has_its_own_name(void **state) {
    char expected[64];
    int status;
    stderr_to_file();
    log_open("postern", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    log_info("of the parent");
    pid_t child = fork();
    if (child == 0) {
        log_ident("postern/smtpd");
        log_info("of the child");
        log_flush();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    log_flush();
    snprintf(expected, sizeof(expected), " postern/smtpd[%d]: of the child\n", (int)child);
    assert_non_null(strstr(file_text(), expected));
    assert_int_equal(count_lines(), 2);
    assert_non_null(strstr(text, "]: of the parent\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(before_it_is_opened_the_message_goes_to_stderr_alone, restore),
        cmocka_unit_test_teardown(a_text_line_has_the_shape_of_postfix, restore),
        cmocka_unit_test_teardown(fields_follow_the_message_and_are_quoted_where_they_must, restore),
        cmocka_unit_test_teardown(words_stand_one_behind_the_other, restore),
        cmocka_unit_test_teardown(json_is_one_object_a_line, restore),
        cmocka_unit_test_teardown(levels_below_the_chosen_one_are_left_out_and_errors_go_out_at_once, restore),
        cmocka_unit_test_teardown(a_long_line_is_cut_at_its_maximum_and_stays_whole_json, restore),
        cmocka_unit_test_teardown(a_field_that_does_not_fit_is_left_out_whole, restore),
        cmocka_unit_test_teardown(the_systemd_journal_gets_a_priority_and_no_time, restore),
        cmocka_unit_test_teardown(a_full_pipe_is_not_waited_for_and_what_was_dropped_is_told, restore),
        cmocka_unit_test_teardown(a_full_socket_is_not_waited_for, restore),
        cmocka_unit_test_teardown(a_pipe_takes_whole_lines_only, restore),
        cmocka_unit_test_teardown(a_full_disk_costs_lines_and_nothing_else, restore),
        cmocka_unit_test_teardown(syslog_gets_a_datagram_a_line, restore),
        cmocka_unit_test_teardown(a_syslogd_that_restarts_is_found_again, restore),
        cmocka_unit_test_teardown(a_stopped_syslogd_is_not_waited_for, restore),
        cmocka_unit_test_teardown(without_a_syslogd_opening_fails_and_stderr_serves, restore),
        cmocka_unit_test_teardown(a_forked_child_does_not_repeat_its_parent_and_has_its_own_name, restore),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
