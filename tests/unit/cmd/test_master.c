/*
 * The real master, with a toy worker: start, death, reload, directories, journal, drain.
 *
 * The toy serves each client by one line, "SLOT PROCESS HOSTNAME", and notes in its shared counters what the master
 * told it: `messages` counts directories taken, `refused` those that went, `deferred` new journal files. A host name
 * that begins with "dies" makes it exit before it is ready, one with "mute" never says that it is; one with "early"
 * gets a SIGTERM before it has a loop to take it; one with "stays" goes on after it was told to accept no more, as if
 * it had sessions. Nothing here waits by time: the loop turns until something is so, and gives up after many turns.
 */
#include "cmd/master.h"
#include "cmd/master_state.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURNS_MAX = 400, TURN_MS = 50, TOY_WAIT_MS = 20000 };

/* ---- the toy worker */

static void toy_serve(const struct worker_setup *setup, int listen_fd) {
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    char line[300];
    int n = snprintf(line, sizeof(line), "%u %u %s\n", setup->slot, setup->process, setup->conf->set.hostname);
    setup->counters->sessions++;
    if (write(fd, line, (size_t)n) < 0)
        setup->counters->evicted++;
    close(fd);
}

/* Returns false when the worker should end. */
static bool toy_listen_to_master(const struct worker_setup *setup) {
    struct worker_message m;
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
    struct iovec part = { &m, sizeof(m) };
    struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    if (recvmsg(setup->master_fd, &h, MSG_DONTWAIT) != sizeof(m))
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    int fd = -1;
    if (c != NULL)
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    struct directory *directory;
    if (m.type == WORKER_DIRECTORY && fd >= 0 && directory_open_fd(fd, &directory) == 0) {
        setup->counters->messages++;
        directory_free(directory);
    } else if (m.type == WORKER_DIRECTORY && fd < 0) {
        setup->counters->refused++;
    } else if (m.type == WORKER_JOURNAL && write(fd, "{}\n", 3) == 3) {
        setup->counters->deferred++;
        close(fd);
    }
    if (m.type != WORKER_DRAIN)
        return true;
    struct worker_message closed = { .type = WORKER_CLOSED };
    channel_send(setup->master_fd, &closed, sizeof(closed), NULL, 0);
    return strncmp(setup->conf->set.hostname, "stays", 5) == 0;
}

static int toy_worker(const struct worker_setup *setup) {
    struct pollfd polls[64] = { { .fd = setup->master_fd, .events = POLLIN } };
    struct worker_message ready = { .type = WORKER_READY };
    if (strncmp(setup->conf->set.hostname, "dies", 4) == 0)
        return 1;
    if (strncmp(setup->conf->set.hostname, "early", 5) == 0)
        raise(SIGTERM);
    for (size_t i = 0; i < setup->n_listen; i++)
        polls[i + 1] = (struct pollfd){ .fd = setup->listen_fds[i], .events = POLLIN };
    setup->counters->sessions_now = 3;
    if (strncmp(setup->conf->set.hostname, "mute", 4) != 0)
        channel_send(setup->master_fd, &ready, sizeof(ready), NULL, 0);
    while (poll(polls, setup->n_listen + 1, TOY_WAIT_MS) > 0) {
        if (polls[0].revents && !toy_listen_to_master(setup))
            return 0;
        for (size_t i = 0; i < setup->n_listen; i++)
            if (polls[i + 1].revents & POLLIN)
                toy_serve(setup, setup->listen_fds[i]);
    }
    return 2; /* forgotten */
}

/* ---- the fixture */

struct fixture {
    char dir[32], conf[64], control[64];
    uint16_t port;
    struct master *master;
};

static uint16_t free_port(void) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void write_conf(const struct fixture *f, const char *hostname, unsigned workers, const char *more) {
    FILE *file = fopen(f->conf, "w");
    assert_non_null(file);
    fprintf(file,
        "hostname %s\nuser nobody\nlisten 127.0.0.1:%u\nworkers %u\n"
        "spool_path spool\ndirectory_path recipients\ncontrol_socket control\n"
        "servers mailbox {\n    server 127.0.0.1:1\n    tls none\n}\ndomain example.com\n"
        "limits {\n    connections 100\n}\n%s\n",
        hostname, f->port, workers, more);
    fclose(file);
}

static int new_master(struct fixture *f, const struct master_options *extra) {
    struct diag_list diag;
    struct conf *conf = NULL;
    diag_init(&diag);
    if (conf_load(f->conf, &diag, &conf) != 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    struct master_options options = { .conf_path = f->conf, .run_worker = toy_worker };
    if (extra != NULL) {
        options.n_listen_fds = extra->n_listen_fds;
        options.first_listen_fd = extra->first_listen_fd;
    }
    return master_new(&options, conf, &f->master);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    strcpy(f->dir, "/tmp/postern-master-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->conf, sizeof(f->conf), "%s/postern.conf", f->dir);
    snprintf(f->control, sizeof(f->control), "%s/control", f->dir);
    f->port = free_port();
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    master_free(f->master);
    snprintf(command, sizeof(command), "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

#define turn_until(f, condition) \
    do { \
        int turns = 0; \
        while (!(condition) && turns++ < TURNS_MAX) \
            assert_int_equal(loop_turn(master_loop((f)->master), TURN_MS), 0); \
        assert_true(condition); \
    } while (0)

static struct worker *worker_of(const struct fixture *f, unsigned i) {
    return &f->master->serving->workers[i];
}

static void start(struct fixture *f, unsigned workers) {
    write_conf(f, "one.example.com", workers, "");
    assert_int_equal(new_master(f, NULL), 0);
    turn_until(f, f->master->serving != NULL);
}

/* Connects from 127.0.0.HOST; the line that the worker says. */
static void meet(
    const struct fixture *f, unsigned host, unsigned *ret_slot, unsigned *ret_process, char ret_name[256]) {
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + host) };
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(f->port)};
    struct timeval limit = { .tv_sec = 10 };
    char line[300] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_true(recv(fd, line, sizeof(line) - 1, 0) > 0);
    assert_int_equal(sscanf(line, "%u %u %255s", ret_slot, ret_process, ret_name), 3);
    close(fd);
}

/* Asks over the control socket, while the master's loop turns. Up to 64 KiB in `answer`. */
static void ask(struct fixture *f, const char *request, char *answer, size_t size) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strcpy(at.sun_path, f->control);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    dprintf(fd, "%s\n", request);
    size_t len = 0;
    ssize_t n = -1;
    for (int turns = 0; n != 0 && turns < TURNS_MAX; turns++) {
        assert_int_equal(loop_turn(master_loop(f->master), TURN_MS), 0);
        while ((n = recv(fd, answer + len, size - 1 - len, 0)) > 0)
            len += (size_t)n;
    }
    assert_int_equal(n, 0);
    answer[len] = '\0';
    close(fd);
}

static bool contains(const char *text, const char *part) {
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in: %s", part, text);
    return true;
}

/* ---- start and stop */

static void clients_meet_the_worker_of_their_address(void **state) {
    struct fixture *f = *state;
    start(f, 3);
    bool is_met[3] = { false };
    for (unsigned host = 1; host <= 20; host++) {
        unsigned slot, process;
        char name[256];
        struct ip ip;
        char text[32];
        meet(f, host, &slot, &process, name);
        snprintf(text, sizeof(text), "127.0.0.%u", host);
        assert_int_equal(ip_parse(str_of(text), &ip), 0);
        assert_int_equal(slot, ip_client_slot(&ip, 3));
        is_met[slot] = true;
    }
    assert_true(is_met[0] && is_met[1] && is_met[2]);
}

static void sigterm_drains_and_removes_the_control_socket(void **state) {
    struct fixture *f = *state;
    start(f, 2);
    kill(getpid(), SIGTERM);
    turn_until(f, master_is_done(f->master));
    assert_int_equal(master_run(f->master), 0);
    master_free(f->master);
    f->master = NULL;
    assert_int_equal(access(f->control, F_OK), -1);
}

static void a_signal_waits_until_a_new_worker_takes_it(void **state) {
    struct fixture *f = *state;
    write_conf(f, "early.example.com", 1, "");
    assert_int_equal(new_master(f, NULL), 0);
    turn_until(f, f->master->serving != NULL || master_is_done(f->master));
    assert_non_null(f->master->serving);
}

static void a_worker_that_cannot_start_ends_the_service_with_an_error(void **state) {
    struct fixture *f = *state;
    write_conf(f, "dies.example.com", 2, "");
    assert_int_equal(new_master(f, NULL), 0);
    turn_until(f, master_is_done(f->master));
    assert_int_equal(master_run(f->master), EXIT_FAILURE);
}

static void a_second_instance_is_refused(void **state) {
    struct fixture *f = *state;
    start(f, 1);
    struct master *first = f->master;
    assert_int_equal(new_master(f, NULL), -EADDRINUSE);
    f->master = first;
    assert_int_equal(access(f->control, F_OK), 0);
}

static void a_second_signal_ends_even_a_worker_that_does_not_listen(void **state) {
    struct fixture *f = *state;
    start(f, 1);
    kill(worker_of(f, 0)->pid, SIGSTOP);
    kill(getpid(), SIGTERM);
    turn_until(f, f->master->n_stops == 1);
    kill(getpid(), SIGINT);
    turn_until(f, master_is_done(f->master)); /* SIGTERM waits for SIGCONT, SIGKILL does not */
}

/* ---- death */

static void a_killed_worker_is_replaced_in_its_slot_with_another_number(void **state) {
    struct fixture *f = *state;
    start(f, 2);
    pid_t killed = worker_of(f, 0)->pid;
    unsigned was = worker_of(f, 0)->process;
    kill(killed, SIGKILL);
    turn_until(f, worker_of(f, 0)->pid != killed && worker_of(f, 0)->is_ready);
    assert_int_not_equal(worker_of(f, 0)->process, was);
    assert_int_equal(f->master->n_deaths, 1);
    for (unsigned host = 1; host <= 6; host++) {
        unsigned slot, process;
        char name[256];
        meet(f, host, &slot, &process, name);
        assert_int_equal(process, worker_of(f, slot)->process);
    }
    char answer[65536];
    ask(f, "status check", answer, sizeof(answer));
    contains(answer, "ok\n1 a worker died in the last 5 minutes");
}

static void a_worker_that_dies_young_waits_longer_each_time(void **state) {
    struct fixture *f = *state;
    start(f, 1);
    kill(worker_of(f, 0)->pid, SIGKILL);
    turn_until(f, f->master->n_deaths == 1);
    assert_true(worker_of(f, 0)->pid > 0); /* the first time at once */
    turn_until(f, worker_of(f, 0)->is_ready);
    for (unsigned pause = 100; pause <= 200; pause *= 2) {
        kill(worker_of(f, 0)->pid, SIGKILL);
        turn_until(f, worker_of(f, 0)->pid == 0);
        assert_int_equal(worker_of(f, 0)->pause_ms, pause);
        turn_until(f, worker_of(f, 0)->is_ready);
    }
}

static void process_numbers_in_use_are_skipped(void **state) {
    struct fixture *f = *state;
    start(f, 2);
    f->master->next_process = 256; /* wrapped: 0 and 1 are taken */
    kill(worker_of(f, 1)->pid, SIGKILL);
    turn_until(f, f->master->n_deaths == 1);
    turn_until(f, worker_of(f, 1)->is_ready);
    assert_int_equal(worker_of(f, 1)->process, 1); /* its own old number came free */
    assert_int_equal(worker_of(f, 0)->process, 0);
}

/* ---- reload */

static void a_reload_brings_new_workers_and_more_slots(void **state) {
    struct fixture *f = *state;
    char answer[65536], name[256];
    unsigned slot, process;
    start(f, 1);
    write_conf(f, "two.example.com", 3, "");
    ask(f, "reload", answer, sizeof(answer));
    contains(answer, "ok\nthe new configuration is in use by 3 workers");
    turn_until(f, f->master->generations->next == NULL);
    for (unsigned host = 1; host <= 20; host++) {
        meet(f, host, &slot, &process, name);
        assert_string_equal(name, "two.example.com");
    }
    write_conf(f, "three.example.com", 2, "");
    kill(getpid(), SIGHUP);
    turn_until(f, f->master->serving->n_workers == 2 && f->master->generations->next == NULL);
    assert_int_equal(f->master->serving->n_slots, 3);
    for (unsigned host = 1; host <= 20; host++) { /* slot 2 is served by worker 0 */
        struct ip ip;
        char text[32];
        meet(f, host, &slot, &process, name);
        snprintf(text, sizeof(text), "127.0.0.%u", host);
        assert_int_equal(ip_parse(str_of(text), &ip), 0);
        assert_int_equal(slot, ip_client_slot(&ip, 3) % 2);
    }
}

static void a_broken_configuration_is_refused_with_its_errors(void **state) {
    struct fixture *f = *state;
    char answer[65536];
    start(f, 1);
    pid_t pid = worker_of(f, 0)->pid;
    write_conf(f, "two.example.com", 1, "hostnam x\n");
    ask(f, "reload", answer, sizeof(answer));
    contains(answer, "error refused, the old configuration stays: errors in the configuration: 1\n");
    contains(answer, "hostnam");
    assert_int_equal(worker_of(f, 0)->pid, pid);
    ask(f, "status", answer, sizeof(answer));
    contains(answer, "refused, the old configuration stays");
}

static void new_workers_that_die_leave_the_old_ones_serving(void **state) {
    struct fixture *f = *state;
    char answer[65536], name[256];
    unsigned slot, process;
    start(f, 1);
    write_conf(f, "dies.example.com", 4, "");
    ask(f, "reload", answer, sizeof(answer));
    contains(answer, "error refused, the old configuration stays: a new worker died");
    turn_until(f, f->master->generations->next == NULL);
    for (unsigned host = 1; host <= 20; host++) { /* none of them waits in a socket that was closed again */
        meet(f, host, &slot, &process, name);
        assert_string_equal(name, "one.example.com");
    }
    write_conf(f, "two.example.com", 2, "");
    ask(f, "reload", answer, sizeof(answer));
    contains(answer, "ok\n");
}

static void a_reload_while_one_is_under_way_is_refused_or_comes_later(void **state) {
    struct fixture *f = *state;
    char answer[65536];
    start(f, 1);
    write_conf(f, "mute.example.com", 1, "");
    kill(getpid(), SIGHUP);
    turn_until(f, f->master->candidate != NULL);
    ask(f, "reload", answer, sizeof(answer));
    assert_string_equal(answer, "error a reload is under way\n");
    write_conf(f, "two.example.com", 1, "");
    kill(getpid(), SIGHUP);
    turn_until(f, f->master->reload_again);
    kill(f->master->candidate->workers[0].pid, SIGKILL);
    turn_until(f, strcmp(f->master->serving->conf->set.hostname, "two.example.com") == 0);
}

static void a_reload_is_over_when_no_old_worker_accepts_even_if_they_stay(void **state) {
    struct fixture *f = *state;
    char answer[65536];
    write_conf(f, "stays.example.com", 2, "");
    assert_int_equal(new_master(f, NULL), 0);
    turn_until(f, f->master->serving != NULL);
    struct generation *old = f->master->serving;
    write_conf(f, "two.example.com", 1, "");
    ask(f, "reload", answer, sizeof(answer));
    contains(answer, "ok\nthe new configuration is in use by 1 workers");
    assert_int_equal(generation_running(old), 2);
    assert_false(generation_accepts(old));
}

/* A generation of two workers, of which the first is stopped, is replaced, and the second has ended. */
static struct generation *leave_a_stopped_worker(struct fixture *f) {
    start(f, 2);
    struct generation *old = f->master->serving;
    kill(worker_of(f, 0)->pid, SIGSTOP);
    write_conf(f, "two.example.com", 1, "");
    kill(getpid(), SIGHUP);
    turn_until(f, old->state == GENERATION_ENDING && generation_running(old) == 1);
    assert_true(old->is_leaving);
    assert_null(f->master->last_reload);
    return old;
}

static void a_reload_waits_for_an_old_worker_that_has_not_heard_yet(void **state) {
    struct fixture *f = *state;
    struct generation *old = leave_a_stopped_worker(f);
    kill(old->workers[0].pid, SIGCONT);
    turn_until(f, f->master->last_reload != NULL);
    assert_string_equal(f->master->last_reload, "ok");
}

static void a_reload_waits_no_longer_than_a_few_seconds(void **state) {
    struct fixture *f = *state;
    struct generation *old = leave_a_stopped_worker(f);
    struct timer *tick = &f->master->tick;
    old->leaving_ms = loop_now(master_loop(f->master));
    assert_int_equal(timer_set(master_loop(f->master), tick, loop_now(master_loop(f->master)), tick->on_time), 0);
    assert_int_equal(loop_turn(master_loop(f->master), TURN_MS), 0);
    assert_null(f->master->last_reload);
    old->leaving_ms -= 5000;
    assert_int_equal(timer_set(master_loop(f->master), tick, loop_now(master_loop(f->master)), tick->on_time), 0);
    turn_until(f, f->master->last_reload != NULL);
    assert_int_equal(generation_running(old), 1);
}

static void a_stop_ends_a_reload_that_waits_for_an_old_worker(void **state) {
    struct fixture *f = *state;
    struct generation *old = leave_a_stopped_worker(f);
    kill(getpid(), SIGTERM);
    turn_until(f, f->master->n_stops == 1);
    assert_false(old->is_leaving);
    turn_until(f, f->master->serving == NULL);
    kill(old->workers[0].pid, SIGCONT);
    turn_until(f, master_is_done(f->master));
}

/* ---- inherited sockets */

static void an_inherited_socket_is_shared_by_all_workers(void **state) {
    struct fixture *f = *state;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 16), 0);
    write_conf(f, "one.example.com", 2, "");
    struct master_options options = { .n_listen_fds = 1, .first_listen_fd = fd };
    assert_int_equal(new_master(f, &options), 0);
    turn_until(f, f->master->serving != NULL);
    unsigned slot, process;
    char name[256];
    meet(f, 1, &slot, &process, name);
    assert_int_equal(f->master->sockets.n, 1);
    assert_true(f->master->sockets.at[0]->is_inherited);
    assert_int_equal(f->master->sockets.at[0]->fds[0], fd);
}

/* ---- directories and journal */

static void import(const struct fixture *f, const char *local) {
    char dir[64], address[64];
    struct directory_writer *writer;
    snprintf(dir, sizeof(dir), "%s/recipients", f->dir);
    snprintf(address, sizeof(address), "%s@example.com", local);
    assert_int_equal(directory_writer_new(dir, STR("example.com"), STR("test"), &writer), 0);
    assert_int_equal(directory_writer_add(writer, str_of(local), str_of(address)), 0);
    assert_int_equal(directory_writer_commit(writer, clock_wall_ms()), 0);
}

static void a_new_directory_is_handed_to_all_workers(void **state) {
    struct fixture *f = *state;
    char answer[65536];
    start(f, 2);
    assert_true(f->master->inotify.fd >= 0);
    ask(f, "status check", answer, sizeof(answer));
    contains(answer, "ok\n1 the directory of example.com is missing");
    import(f, "anna");
    turn_until(f, worker_of(f, 0)->counters->messages == 1 && worker_of(f, 1)->counters->messages == 1);
    ask(f, "status json", answer, sizeof(answer));
    contains(answer, "{\"domain\":\"example.com\",\"state\":\"ok\",\"broken\":false,\"addresses\":1,");
    contains(answer, "\"sessions_now\":6,");
    ask(f, "status check", answer, sizeof(answer));
    contains(answer, "ok\n0 2 workers");
}

static void a_broken_directory_is_not_taken_and_a_removed_one_goes(void **state) {
    struct fixture *f = *state;
    char temporary[96], path[96], answer[65536];
    start(f, 1);
    import(f, "anna");
    turn_until(f, worker_of(f, 0)->counters->messages == 1);
    snprintf(temporary, sizeof(temporary), "%s/recipients/x", f->dir);
    snprintf(path, sizeof(path), "%s/recipients/example.com.cdb", f->dir);
    FILE *file = fopen(temporary, "w");
    fputs("this is no directory", file);
    fclose(file);
    assert_int_equal(rename(temporary, path), 0);
    turn_until(f, f->master->serving->directories[0].is_broken);
    ask(f, "status", answer, sizeof(answer));
    contains(answer, "the file there now cannot be read");
    assert_int_equal(worker_of(f, 0)->counters->messages, 1);
    assert_int_equal(unlink(path), 0);
    turn_until(f, worker_of(f, 0)->counters->refused == 1);
}

static void journal_files_are_handed_out_and_rotated(void **state) {
    struct fixture *f = *state;
    write_conf(f, "one.example.com", 1, "journal {\n    path journal\n}\n");
    assert_int_equal(new_master(f, NULL), 0);
    turn_until(f, f->master->serving != NULL);
    struct journals *journals = &f->master->journals;
    turn_until(f, journals->tidier == 0); /* the tidying of the start */
    struct worker *worker = worker_of(f, 0);
    assert_int_equal(access(worker->journal_path.at, F_OK), 0);
    char old[128], renamed[128];
    struct stat st;
    assert_int_equal(stat(worker->journal_path.at, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    /* as if it had been begun on an earlier day */
    snprintf(old, sizeof(old), "%s", worker->journal_path.at);
    snprintf(renamed, sizeof(renamed), "%s/journal/postern-20200101-000000-000.jsonl", f->dir);
    assert_int_equal(rename(old, renamed), 0);
    buf_clear(&worker->journal_path);
    assert_int_equal(buf_put(&worker->journal_path, renamed, strlen(renamed) + 1), 0);
    journals_round(journals, f->master->generations);
    assert_string_not_equal(worker->journal_path.at, renamed);
    assert_int_equal(access(worker->journal_path.at, F_OK), 0);
    assert_int_equal(journals->tidier, 0); /* it may still be written to */
    assert_int_equal(access(renamed, F_OK), 0);
    while (access(renamed, F_OK) == 0) { /* tried until nobody writes to it: compressed, or of a day not kept */
        journals->due_ms = 1;
        journals_round(journals, f->master->generations);
        turn_until(f, journals->tidier == 0);
    }
}

static void a_journal_process_that_dies_is_replaced_and_workers_are_connected_to_the_next(void **state) {
    struct fixture *f = *state;
    write_conf(f, "one.example.com", 2, "journal {\n    path journal\n}\n");
    assert_int_equal(new_master(f, NULL), 0);
    turn_until(f, f->master->serving != NULL);
    struct journals *journals = &f->master->journals;
    pid_t first = journals->keeper;
    assert_true(first > 0);
    assert_int_equal(kill(first, SIGKILL), 0);
    turn_until(f, journals->keeper == 0);
    journals_round(journals, f->master->generations);
    assert_true(journals->keeper > 0 && journals->keeper != first);
    turn_until(f, worker_of(f, 0)->counters->deferred == 1 && worker_of(f, 1)->counters->deferred == 1);
    journals_round(journals, f->master->generations);
    assert_int_equal(worker_of(f, 0)->counters->deferred, 1); /* once is enough */
    kill(getpid(), SIGTERM);
    turn_until(f, master_is_done(f->master));
    assert_int_equal(journals->keeper, 0);
}

#define with_folder(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(clients_meet_the_worker_of_their_address),
        with_folder(sigterm_drains_and_removes_the_control_socket),
        with_folder(a_signal_waits_until_a_new_worker_takes_it),
        with_folder(a_worker_that_cannot_start_ends_the_service_with_an_error),
        with_folder(a_second_instance_is_refused),
        with_folder(a_second_signal_ends_even_a_worker_that_does_not_listen),
        with_folder(a_killed_worker_is_replaced_in_its_slot_with_another_number),
        with_folder(a_worker_that_dies_young_waits_longer_each_time),
        with_folder(process_numbers_in_use_are_skipped),
        with_folder(a_reload_brings_new_workers_and_more_slots),
        with_folder(a_broken_configuration_is_refused_with_its_errors),
        with_folder(new_workers_that_die_leave_the_old_ones_serving),
        with_folder(a_reload_while_one_is_under_way_is_refused_or_comes_later),
        with_folder(a_reload_is_over_when_no_old_worker_accepts_even_if_they_stay),
        with_folder(a_reload_waits_for_an_old_worker_that_has_not_heard_yet),
        with_folder(a_reload_waits_no_longer_than_a_few_seconds),
        with_folder(a_stop_ends_a_reload_that_waits_for_an_old_worker),
        with_folder(an_inherited_socket_is_shared_by_all_workers),
        with_folder(a_new_directory_is_handed_to_all_workers),
        with_folder(a_broken_directory_is_not_taken_and_a_removed_one_goes),
        with_folder(journal_files_are_handed_out_and_rotated),
        with_folder(a_journal_process_that_dies_is_replaced_and_workers_are_connected_to_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
