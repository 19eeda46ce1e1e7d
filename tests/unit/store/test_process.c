/*
 * The real store process, sandbox included, with workers of every kind at its sockets: good ones, one that sends
 * garbage, one that floods, one that never takes its answers. Nothing here waits by time alone: turns go on until
 * something is so, and give up after long.
 */
#include "store_test.h"

#include "base/clock.h"
#include "net/channel.h"
#include "store/client.h"
#include "store/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sqlite3.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { TURNS_MAX = 2000, TURN_MS = 10, LIMIT_MS = 20000, TIMEOUT_MS = 60000, FLOOD = 20000, KEPT = 3 };

struct bench {
    struct loop *loop;
    char folder[64], path[80];
    struct store_counters *counters;
    int master; /* our end of its channel */
    pid_t pid;
    struct store_client *client;
    unsigned n_answered, n_unavailable;
    struct greylist_answer answer;
};

static void on_answer(void *arg, enum store_result result, const struct greylist_answer *answer) {
    struct bench *b = arg;
    *(result == STORE_ANSWERED ? &b->n_answered : &b->n_unavailable) += 1;
    if (answer != NULL)
        b->answer = *answer;
}

static void start(struct bench *b) {
    int ends[2];
    assert_int_equal(channel_pair(ends), 0);
    b->pid = fork();
    assert_true(b->pid >= 0);
    if (b->pid == 0) {
        const struct store_setup setup = {
            .path = b->path, .postgresql = "", .module = "", .timeout_ms = 1000, .counters = b->counters,
            .greylist = settings_for_test,
            .user = geteuid() == 0 ? "nobody" : NULL, .master_fd = KEPT,
        };
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup3(ends[1], KEPT, O_CLOEXEC);
        close_range(KEPT + 1, ~0U, 0); /* our sockets would live on in it */
        _exit(store_run(&setup)); /* no leak check, which would need ptrace */
    }
    close(ends[1]);
    b->master = ends[0];
}

/* A connection to it, as the master makes one. Returns the worker's end. */
static int connect_worker(const struct bench *b) {
    const struct store_order order = { .type = STORE_ORDER_PEER };
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(channel_send(b->master, &order, sizeof(order), &ends[0], 1), 0);
    close(ends[0]);
    return ends[1];
}

static int set_up(void **state) {
    struct bench *b = calloc(1, sizeof(*b));
    b->loop = loop_for_test();
    strcpy(b->folder, "/tmp/postern-process-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    const struct passwd *nobody = getpwnam("nobody");
    if (geteuid() == 0)
        assert_int_equal(chown(b->folder, nobody->pw_uid, nobody->pw_gid), 0);
    snprintf(b->path, sizeof(b->path), "%s/greylist.db", b->folder);
    b->counters =
        mmap(NULL, sizeof(*b->counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(b->counters, MAP_FAILED);
    start(b);
    assert_int_equal(store_client_new(b->loop, &b->client), 0);
    store_client_connect(b->client, connect_worker(b));
    *state = b;
    return 0;
}

static int exit_code(struct bench *b) {
    int status;
    assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
    b->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int tear_down(void **state) {
    struct bench *b = *state;
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    char path[96];
    if (b->pid > 0) {
        kill(b->pid, SIGTERM);
        assert_int_equal(exit_code(b), 0);
    }
    store_client_free(b->client);
    loop_free(b->loop);
    close(b->master);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", b->path, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(b->folder), 0);
    munmap(b->counters, sizeof(*b->counters));
    free(b);
    return 0;
}

/* Asks, and turns until the answer is there. */
static enum greylist_status ask(struct bench *b, const char *sender) {
    const struct greylist_question question = question_for_test(sender);
    unsigned before = b->n_answered + b->n_unavailable;
    assert_non_null(store_ask_start(b->client, &question, TIMEOUT_MS, on_answer, b));
    /* By the clock: turns may be short ones while a new process still holds descriptors that we have closed. */
    for (uint64_t until = clock_ms() + LIMIT_MS; b->n_answered + b->n_unavailable == before && clock_ms() < until;)
        assert_int_equal(loop_turn(b->loop, TURN_MS), 0);
    assert_int_equal(b->n_answered + b->n_unavailable, before + 1);
    assert_int_equal(b->n_unavailable, 0);
    return (enum greylist_status)b->answer.status;
}

/* As recv(), for which it waits. -1 and EAGAIN: nothing came in time. */
static ssize_t receive(int fd, void *at, size_t size) {
    poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, LIMIT_MS);
    return recv(fd, at, size, MSG_DONTWAIT);
}

static bool is_closed(int fd) {
    char bytes[4096];
    ssize_t n = 1;
    while (n > 0)
        n = receive(fd, bytes, sizeof(bytes));
    return n == 0 || errno != EAGAIN;
}

/* Questions of n senders into a socket, as many as it takes. Returns how many are whole. */
static unsigned flood(int fd, unsigned n) {
    struct buf out;
    buf_init(&out, n * 200);
    for (unsigned i = 0; i < n; i++) {
        char sender[32];
        snprintf(sender, sizeof(sender), "flood%u@example.net", i);
        const struct greylist_question question = question_for_test(sender);
        assert_int_equal(store_question_put(&out, STORE_QUESTION, i, &question), 0);
    }
    ssize_t sent = send(fd, out.at, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    struct store_message message;
    unsigned n_whole = 0;
    for (ssize_t at = 0, len; at < sent; at += len) {
        len = store_message_parse(out.at + at, (size_t)(sent - at), &message);
        if (len <= 0)
            break;
        n_whole++;
    }
    buf_deinit(&out);
    return n_whole;
}

/* ---- */

static void a_worker_is_answered(void **state) {
    struct bench *b = *state;
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_EARLY);
    assert_int_equal(b->counters->asked, 2);
    assert_int_equal(b->counters->local, STORE_STATE_UP);
}

static void garbage_ends_its_own_connection_alone(void **state) {
    struct bench *b = *state;
    const struct greylist_answer answer = { .status = GREYLIST_CACHED };
    struct buf out;
    buf_init(&out, STORE_ANSWER_SIZE);
    assert_int_equal(store_answer_put(&out, 1, &answer), 0); /* whole, and nothing a worker may say */
    const struct str rubbish[] = { STR("GET / HTTP/1.0\r\n\r\n"), { "\0\0\0\0\0\0\0\0\0\0\0\0\0", 13 }, buf_str(&out) };
    for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
        int fd = connect_worker(b);
        assert_int_equal(send(fd, rubbish[i].at, rubbish[i].len, MSG_NOSIGNAL), (ssize_t)rubbish[i].len);
        assert_true(is_closed(fd));
        close(fd);
        assert_int_equal(ask(b, "anna@example.net"), i == 0 ? GREYLIST_NEW : GREYLIST_EARLY);
    }
    buf_deinit(&out);
}

static void random_bytes_are_survived(void **state) {
    struct bench *b = *state;
    srandom(4);
    for (unsigned round = 0; round < 200; round++) {
        unsigned char bytes[512];
        int fd = connect_worker(b);
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (unsigned char)random();
        if (round % 2 == 0) { /* a head that may pass, and then chance */
            const struct store_question_head head = { .len = 40 + (uint32_t)random() % 200, .type = STORE_QUESTION,
                                                      .n_identities = 1 };
            memcpy(bytes, &head, sizeof(head));
        }
        send(fd, bytes, (size_t)random() % sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
    }
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
}

static void half_a_question_and_the_end_is_nothing(void **state) {
    struct bench *b = *state;
    const struct greylist_question question = question_for_test("carl@example.net");
    struct buf out;
    buf_init(&out, STORE_MESSAGE_MAX);
    assert_int_equal(store_question_put(&out, STORE_QUESTION, 1, &question), 0);
    int fd = connect_worker(b);
    assert_int_equal(send(fd, out.at, out.len - 1, MSG_NOSIGNAL), (ssize_t)out.len - 1);
    close(fd);
    buf_deinit(&out);
    assert_int_equal(ask(b, "carl@example.net"), GREYLIST_NEW);
}

static void one_that_floods_does_not_hold_up_the_others(void **state) {
    struct bench *b = *state;
    int fd = connect_worker(b);
    for (unsigned i = 0; i < 20; i++) {
        char sender[32];
        flood(fd, FLOOD / 20); /* and never takes an answer */
        snprintf(sender, sizeof(sender), "s%u@example.net", i);
        assert_int_equal(ask(b, sender), GREYLIST_NEW);
    }
    close(fd);
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
}

static void one_that_takes_its_answers_late_gets_them_all(void **state) {
    struct bench *b = *state;
    static char answers[65536];
    size_t got = 0;
    int fd = connect_worker(b);
    const size_t expected = flood(fd, FLOOD) * STORE_ANSWER_SIZE;
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
    for (ssize_t n = 1; n > 0 && got < expected; got += n > 0 ? (size_t)n : 0)
        n = receive(fd, answers, sizeof(answers));
    assert_int_equal(got, expected);
    close(fd);
}

static int64_t number_in_file(const struct bench *b, const char *sql) {
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

/* Once it is not read any more, what it sends fills its own socket, and the process keeps nothing for it. */
static void one_that_never_takes_its_answers_is_not_read_any_further(void **state) {
    struct bench *b = *state;
    int fd = connect_worker(b);
    unsigned n_sent = 0, n_idle = 0;
    while (n_idle < 5 && n_sent < 10 * FLOOD) {
        unsigned n = flood(fd, 500);
        n_sent += n;
        n_idle = n == 0 ? n_idle + 1 : 0;
        ask(b, "anna@example.net"); /* it has been round since, and this one is answered */
    }
    assert_int_equal(n_idle, 5);
    close(fd);
}

/* Credits have no answers that could pile up; for what was never asked they write nothing. */
static void a_flood_of_credits_writes_nothing_and_holds_up_nobody(void **state) {
    struct bench *b = *state;
    struct buf out;
    int fd = connect_worker(b);
    buf_init(&out, 1 << 20);
    for (unsigned i = 0; i < 2000; i++) {
        char sender[32];
        snprintf(sender, sizeof(sender), "c%u@example.net", i);
        const struct greylist_question question = question_for_test(sender);
        assert_int_equal(store_question_put(&out, STORE_CREDIT, 0, &question), 0);
    }
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
    for (uint32_t at = 0; at < out.len;) {
        ssize_t n = send(fd, out.at + at, out.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += n > 0 ? (uint32_t)n : 0;
        assert_int_equal(ask(b, "anna@example.net"), GREYLIST_EARLY);
    }
    while (b->counters->credits < 2000)
        ask(b, "anna@example.net");
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 1);
    close(fd);
    buf_deinit(&out);
}

/* Whatever it sends, a row lives as long as the master's settings say, and no whitelisting comes of it at once. */
static void a_worker_cannot_set_how_long_its_rows_live(void **state) {
    struct bench *b = *state;
    const struct greylist_settings hers = { .delay = 0, .unpassed_life = UINT32_MAX, .passed_life = UINT32_MAX,
                                            .whitelist_life = UINT32_MAX, .whitelist_after = 1 };
    const struct greylist_question question = question_for_test("anna@example.net");
    struct buf out;
    int fd = connect_worker(b);
    buf_init(&out, 4096);
    assert_int_equal(store_question_put(&out, STORE_QUESTION, 1, &question), 0);
    /* As a question was written once, with settings behind its head. */
    char old[4096];
    const size_t head = offsetof(struct store_question_head, text_len);
    memcpy(old, out.at, head);
    memcpy(old + head, &hers, sizeof(hers));
    memcpy(old + head + sizeof(hers), out.at + head, out.len - head);
    assert_int_equal(send(fd, old, out.len + sizeof(hers), MSG_NOSIGNAL), (ssize_t)(out.len + sizeof(hers)));
    assert_true(is_closed(fd));
    close(fd);
    assert_int_equal(ask(b, "carl@example.net"), GREYLIST_NEW);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 1);
    assert_int_equal(number_in_file(b, "SELECT max(expires - first) FROM grey"), settings_for_test.unpassed_life);
    buf_deinit(&out);
}

static void new_settings_of_the_master_count_from_then_on(void **state) {
    struct bench *b = *state;
    struct store_order order = { .type = STORE_ORDER_SETTINGS, .greylist = settings_for_test };
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
    order.greylist.delay = 0;
    assert_int_equal(channel_send(b->master, &order, sizeof(order), NULL, 0), 0);
    unsigned status = GREYLIST_EARLY;
    for (uint64_t until = clock_ms() + LIMIT_MS; status == GREYLIST_EARLY && clock_ms() < until;)
        status = ask(b, "anna@example.net"); /* two sockets: which is read first is anybody's guess */
    assert_int_equal(status, GREYLIST_RETRY);
}

static void sigterm_ends_it_and_nothing_is_lost(void **state) {
    struct bench *b = *state;
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
    kill(b->pid, SIGTERM);
    assert_int_equal(exit_code(b), 0);
    close(b->master);
    start(b);
    store_client_connect(b->client, connect_worker(b));
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_EARLY);
}

static void what_a_worker_sent_before_it_ended_is_kept(void **state) {
    struct bench *b = *state;
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
    int fd = connect_worker(b);
    unsigned n = flood(fd, 300);
    assert_true(n > 100);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    store_client_connect(b->client, -1);
    kill(b->pid, SIGTERM);
    assert_int_equal(exit_code(b), 0);
    close(fd);
    close(b->master);
    start(b);
    store_client_connect(b->client, connect_worker(b));
    for (unsigned i = 0; i < n; i += 10) {
        char sender[32];
        snprintf(sender, sizeof(sender), "flood%u@example.net", i);
        assert_int_equal(ask(b, sender), GREYLIST_EARLY);
    }
}

static void without_its_master_it_ends_with_the_last_worker(void **state) {
    struct bench *b = *state;
    int fd = connect_worker(b);
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
    close(b->master);
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_EARLY);
    store_client_connect(b->client, -1);
    assert_int_equal(waitpid(b->pid, NULL, WNOHANG), 0);
    close(fd);
    assert_int_equal(exit_code(b), 0);
    b->master = dup(0); /* for the tear-down */
}

static void a_master_that_says_nonsense_is_not_heard(void **state) {
    struct bench *b = *state;
    const struct store_order peer = { .type = STORE_ORDER_PEER }, unknown = { .type = 99 };
    int fd = dup(0);
    assert_int_equal(channel_send(b->master, &peer, sizeof(peer), NULL, 0), 0);
    assert_int_equal(channel_send(b->master, &unknown, sizeof(unknown), &fd, 1), 0);
    assert_int_equal(channel_send(b->master, "x", 1, &fd, 1), 0);
    close(fd);
    assert_int_equal(ask(b, "anna@example.net"), GREYLIST_NEW);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_worker_is_answered),
        TEST(garbage_ends_its_own_connection_alone),
        TEST(random_bytes_are_survived),
        TEST(half_a_question_and_the_end_is_nothing),
        TEST(one_that_floods_does_not_hold_up_the_others),
        TEST(one_that_takes_its_answers_late_gets_them_all),
        TEST(one_that_never_takes_its_answers_is_not_read_any_further),
        TEST(a_flood_of_credits_writes_nothing_and_holds_up_nobody),
        TEST(a_worker_cannot_set_how_long_its_rows_live),
        TEST(new_settings_of_the_master_count_from_then_on),
        TEST(sigterm_ends_it_and_nothing_is_lost),
        TEST(what_a_worker_sent_before_it_ended_is_kept),
        TEST(without_its_master_it_ends_with_the_last_worker),
        TEST(a_master_that_says_nonsense_is_not_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
