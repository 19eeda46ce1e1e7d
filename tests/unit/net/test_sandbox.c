/*
 * What a sandboxed process can still do, and what it cannot any more. Each case is a child that enters the sandbox
 * and ends with a number; a child that the filter killed ends by SIGSYS.
 */
#include "net_test.h"

#include "net/channel.h"
#include "net/sandbox.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { DONE = 0, KILLED = 1000, NO_SANDBOX = 99 };

static char spool[] = "/tmp/postern-sandbox-XXXXXX";
static int gaps; /* of the last child */
static int program_fd; /* a file with code */

/*
 * Runs `work` in a sandboxed child and returns its exit code, or KILLED. _exit(): no leak check, which would need
 * ptrace.
 */
static int in_sandbox_with(int (*work)(void), struct sandbox sandbox) {
    pid_t pid = fork();
    int status;
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sandbox_path paths[] = { { .path = spool, .may_write = true },
                                        { .path = "/usr/share/zoneinfo", .may_miss = true } };
        sandbox.paths = paths;
        sandbox.n_paths = access(paths[1].path, F_OK) == 0 ? 2 : 1;
        gaps = sandbox_enter(&sandbox);
        _exit(gaps < 0 || (gaps & SANDBOX_NO_SECCOMP) ? NO_SANDBOX : work());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? KILLED : -WTERMSIG(status);
    return WEXITSTATUS(status);
}

static int in_sandbox_of(int (*work)(void), bool is_of_a_database) {
    return in_sandbox_with(work, (struct sandbox){
        .may_lock_files = is_of_a_database, .may_start_threads = is_of_a_database, .has_no_network = is_of_a_database,
        .is_no_server = is_of_a_database, .code = is_of_a_database ? SANDBOX_CODE_NONE : SANDBOX_CODE_ANY });
}

static int in_sandbox(int (*work)(void)) {
    return in_sandbox_of(work, false);
}

static void count_turn(void *arg) {
    ++*(int *)arg;
}

static int talk(void) {
    struct loop *loop;
    int turns_seen = 0, fds[2];
    char text[8] = { 0 };
    if (loop_new(&loop) < 0 || channel_pair(fds) < 0)
        return 1;
    loop_on_turn_end(loop, count_turn, &turns_seen);
    if (channel_send(fds[0], "hello", 6, NULL, 0) < 0 || recv(fds[1], text, sizeof text, 0) != 6)
        return 2;
    if (loop_turn(loop, 0) < 0 || turns_seen != 1)
        return 3;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return 4;
    void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, 4096, PROT_READ | PROT_EXEC) < 0)
        return 5;
    loop_free(loop);
    return DONE;
}

static int spool_a_file(void) {
    char path[sizeof spool + 8];
    int fd = open(spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EOPNOTSUPP)
        return 1;
    snprintf(path, sizeof path, "%s/named", spool);
    int named = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (named < 0 || unlink(path) < 0)
        return 2;
    char text[5] = { 0 };
    if (pwrite(named, "mail", 4, 0) != 4 || ftruncate(named, 4) < 0 || pread(named, text, 4, 0) != 4)
        return 3;
    struct stat info;
    return fstat(named, &info) == 0 && info.st_size == 4 && fdatasync(named) == 0 ? DONE : 4;
}

static int read_passwords(void) {
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    return fd < 0 && errno == EACCES ? DONE : (gaps & SANDBOX_NO_LANDLOCK) ? DONE : 1;
}

static int run_a_program(void) {
    char *const arguments[] = { "true", NULL };
    execv("/bin/true", arguments);
    return errno == EPERM ? DONE : 1;
}

static int run_a_helper(void) {
    return fork() < 0 && errno == EPERM ? DONE : 1;
}

static int trace_the_parent(void) {
    ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
    return 1;
}

static int kill_the_parent(void) {
    kill(getppid(), SIGCONT);
    return 1;
}

static int limit_the_parent(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    prlimit(getppid(), RLIMIT_CPU, &limit, NULL);
    return 1;
}

static int have_the_parent_signalled(void) {
    int ends[2];
    if (pipe(ends) < 0 || fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK) < 0)
        return 2;
    fcntl(ends[0], F_SETOWN, getppid());
    return 1;
}

static int open_a_raw_socket(void) {
    socket(AF_PACKET, SOCK_RAW, 0);
    return 1;
}

static int open_a_network_socket(void) {
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? 1 : DONE;
}

static int open_a_unix_socket(void) {
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 ? 1 : DONE;
}

/* Whoever has several addresses makes getaddrinfo() ask for the list of interfaces. */
static int ask_for_interfaces(void) {
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) < 0 && errno == EAFNOSUPPORT ? DONE : 1;
}

/* In how many ways can code be made in memory? DONE: in none. */
static int run_what_was_written(void) {
    const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, anonymous, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    int n = (mprotect(memory, 4096, PROT_READ | PROT_EXEC) == 0)
        + (mprotect(memory, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0)
        + (mmap(NULL, 4096, PROT_READ | PROT_EXEC, anonymous, -1, 0) != MAP_FAILED)
        + (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, anonymous, -1, 0) != MAP_FAILED)
        + (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, program_fd, 0) != MAP_FAILED)
        + (memfd_create("code", MFD_CLOEXEC) >= 0);
    return n == 0 && errno == EPERM ? DONE : 10 + n;
}

enum { ALL_WAYS = 10 + 6 };

static int map_a_library(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, program_fd, 0) != MAP_FAILED ? DONE : 1;
}

static int bind_a_socket(void) {
    const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "\0postern-test" };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof at.sun_family) == 0 ? DONE : 1;
}

static int listen_to_a_socket(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    listen(fd, 1);
    return 1;
}

static uint16_t heard_port, other_port; /* on loopback; somebody listens at both */

static int listen_somewhere(uint16_t *ret_port) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static int connect_to(uint16_t port) {
    const struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                    .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (const struct sockaddr *)&at, sizeof at) == 0 ? 0 : errno;
}

static int connect_to_one_port_of_two(void) {
    const struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect_to(heard_port) != 0)
        return 1;
    bool is_bounded = connect_to(other_port) == EACCES && bind(fd, (const struct sockaddr *)&any, sizeof any) < 0;
    return is_bounded ? DONE : 2;
}

/* ---- what belongs to others too; the sockets are the parent's, as a worker's are the master's */

static int heard_fd; /* listens */

static int stop_listening(void) {
    shutdown(heard_fd, SHUT_RDWR);
    return 1;
}

static int stop_hearing(void) {
    shutdown(heard_fd, SHUT_RD);
    return 1;
}

static int say_that_it_was_all(void) {
    int fds[2];
    char byte;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 || shutdown(fds[0], SHUT_WR) < 0)
        return 1;
    return recv(fds[1], &byte, 1, 0) == 0 ? DONE : 2;
}

static int make_it_block(void) {
    fcntl(heard_fd, F_SETFL, O_RDWR);
    return 1;
}

static int make_it_block_by_ioctl(void) {
    int off = 0;
    ioctl(heard_fd, FIONBIO, &off);
    return 1;
}

static int have_signals_sent(void) {
    fcntl(heard_fd, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC);
    return 1;
}

static int shorten_its_queue(void) {
    listen(heard_fd, 0);
    return 1;
}

static bool cannot_set(int level, int option, const void *value, socklen_t len) {
    return setsockopt(heard_fd, level, option, value, len) < 0 && errno == EPERM;
}

static int set_what_makes_it_deaf(void) {
    struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = { .len = 1, .filter = &drop_all };
    const int number = 255;
    const struct { int level, option; const void *value; socklen_t len; } attacks[] = {
        { SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program },
        { SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program },
        { SOL_SOCKET, SO_ATTACH_BPF, &number, sizeof number },
        { SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &number, sizeof number },
        { SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &number, sizeof number },
        { SOL_SOCKET, SO_LOCK_FILTER, &number, sizeof number },
        { SOL_SOCKET, SO_REUSEPORT, &number, sizeof number },
        { SOL_SOCKET, SO_BINDTODEVICE, "lo", 3 },
        { IPPROTO_IP, IP_MINTTL, &number, sizeof number },
        { IPPROTO_IPV6, IPV6_MINHOPCOUNT, &number, sizeof number },
        { IPPROTO_TCP, TCP_DEFER_ACCEPT, &number, sizeof number },
        { IPPROTO_TCP, TCP_ULP, "tls", 4 },
    };
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++)
        if (!cannot_set(attacks[i].level, attacks[i].option, attacks[i].value, attacks[i].len))
            return 1 + (int)i;
    return DONE;
}

static int set_what_a_service_sets(void) {
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 ? DONE : 1;
}

static void a_listening_socket_stays_as_the_master_made_it(void **state) {
    static int (*const attacks[])(void) = { stop_listening, stop_hearing, make_it_block, make_it_block_by_ioctl,
                                            have_signals_sent, shorten_its_queue };
    heard_fd = listen_somewhere(&heard_port);
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++)
        assert_int_equal(in_sandbox(attacks[i]), KILLED);
    assert_int_equal(in_sandbox(set_what_makes_it_deaf), DONE);
    assert_int_equal(connect_to(heard_port), 0);
    close(heard_fd);
    assert_int_equal(in_sandbox(say_that_it_was_all), DONE);
    assert_int_equal(in_sandbox(set_what_a_service_sets), DONE);
}

static struct sockaddr_un abstract_at;

static int connect_to_an_abstract_socket(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (const struct sockaddr *)&abstract_at, sizeof abstract_at) < 0 && errno == EPERM ? DONE : 1;
}

static void abstract_sockets_of_others_are_out_of_reach(void **state) {
    abstract_at = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(abstract_at.sun_path + 1, sizeof abstract_at.sun_path - 1, "postern-sandbox-%ld", (long)getpid());
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 6)
        skip();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&abstract_at, sizeof abstract_at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(in_sandbox(connect_to_an_abstract_socket), DONE);
    close(fd);
}

static int abort_itself(void) {
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void a_worker_can_do_its_work(void **state) {
    assert_int_equal(in_sandbox(talk), DONE);
    assert_int_equal(in_sandbox(spool_a_file), DONE);
}

static void files_outside_the_named_paths_do_not_open(void **state) {
    assert_int_equal(in_sandbox(read_passwords), DONE);
}

static void programs_and_helpers_do_not_start(void **state) {
    assert_int_equal(in_sandbox(run_a_program), DONE);
    assert_int_equal(in_sandbox(run_a_helper), DONE);
}

static void other_processes_are_out_of_reach(void **state) {
    assert_int_equal(in_sandbox(trace_the_parent), KILLED);
    assert_int_equal(in_sandbox(kill_the_parent), KILLED);
    assert_int_equal(in_sandbox(limit_the_parent), KILLED);
    assert_int_equal(in_sandbox(have_the_parent_signalled), KILLED);
}

static void other_kinds_of_sockets_are_out_of_reach(void **state) {
    assert_int_equal(in_sandbox(open_a_raw_socket), KILLED);
    assert_int_equal(in_sandbox(ask_for_interfaces), DONE);
}

static void who_has_no_network_has_unix_sockets_only(void **state) {
    assert_int_equal(in_sandbox_of(open_a_unix_socket, true), DONE);
    assert_int_equal(in_sandbox_of(open_a_network_socket, true), KILLED);
    assert_int_equal(in_sandbox_of(open_a_network_socket, false), DONE);
}

static void what_was_written_runs_where_that_is_allowed_alone(void **state) {
    assert_int_equal(in_sandbox_with(run_what_was_written, (struct sandbox){ .code = SANDBOX_CODE_ANY }), ALL_WAYS);
    assert_int_equal(in_sandbox_with(run_what_was_written, (struct sandbox){ .code = SANDBOX_CODE_OF_FILES }), DONE);
    assert_int_equal(in_sandbox_with(run_what_was_written, (struct sandbox){ .code = SANDBOX_CODE_NONE }), DONE);
    assert_int_equal(in_sandbox_with(map_a_library, (struct sandbox){ .code = SANDBOX_CODE_OF_FILES }), DONE);
    assert_int_equal(in_sandbox_with(map_a_library, (struct sandbox){ .code = SANDBOX_CODE_NONE }), 1);
}

static void who_is_no_server_takes_no_connections(void **state) {
    assert_int_equal(in_sandbox_with(bind_a_socket, (struct sandbox){ 0 }), DONE);
    assert_int_equal(in_sandbox_with(listen_to_a_socket, (struct sandbox){ 0 }), KILLED);
    assert_int_equal(in_sandbox_with(bind_a_socket, (struct sandbox){ .is_no_server = true }), KILLED);
    assert_int_equal(in_sandbox_with(listen_to_a_socket, (struct sandbox){ .is_no_server = true }), KILLED);
}

static void only_the_ports_named_can_be_connected_to(void **state) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int first = listen_somewhere(&heard_port), second = listen_somewhere(&other_port);
    const struct sandbox bounded = { .ports = &heard_port, .n_ports = 1 }, none = { .ports = &heard_port };
    if (version >= 4) {
        assert_int_equal(in_sandbox_with(connect_to_one_port_of_two, bounded), DONE);
        assert_int_equal(in_sandbox_with(connect_to_one_port_of_two, none), 1);
    }
    assert_int_equal(in_sandbox_with(connect_to_one_port_of_two, (struct sandbox){ 0 }), 2);
    close(first);
    close(second);
}

static void a_failed_assertion_still_ends_as_one(void **state) {
    assert_int_equal(in_sandbox(abort_itself), -SIGABRT);
}

/* Enters as an ordinary user, whom his own debugger could trace, says so, and stays until it hears something. */
static _Noreturn void stand_in_the_sandbox(int fd) {
    struct sandbox sandbox = { 0 };
    char byte;
    if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        _exit(1);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (sandbox_enter(&sandbox) < 0 || send(fd, "!", 1, 0) != 1)
        _exit(1);
    _exit(recv(fd, &byte, 1, 0) == 1 ? DONE : 1);
}

/* The kernel gives what it tells of a process in /proc to root where there may be neither core file nor debugger. */
static void keys_in_memory_are_not_shown(void **state) {
    int ends[2], status;
    char path[64], byte;
    struct stat info;
    assert_int_equal(channel_pair(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    pid_t pid = fork();
    close(ends[pid != 0]);
    if (pid == 0)
        stand_in_the_sandbox(ends[1]);
    assert_int_equal(recv(ends[0], &byte, 1, 0), 1);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_uid, 0);
    assert_int_equal(send(ends[0], "!", 1, 0), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), DONE);
    close(ends[0]);
}

static int enter_in_child(const struct sandbox *sandbox) {
    pid_t pid = fork();
    int status;
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(-sandbox_enter(sandbox));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void an_unknown_user_and_a_missing_path_are_errors(void **state) {
    struct sandbox_path path = { .path = "/nonexistent/path" };
    assert_int_equal(enter_in_child(&(struct sandbox){ .user = "no-such-user-here" }), ENOENT);
    int r = enter_in_child(&(struct sandbox){ .paths = &path, .n_paths = 1 });
    assert_true(r == ENOENT || (r & SANDBOX_NO_LANDLOCK));
}

static void a_path_that_may_miss_is_no_error(void **state) {
    struct sandbox_path path = { .path = "/nonexistent/path", .may_miss = true };
    assert_int_equal(enter_in_child(&(struct sandbox){ .paths = &path, .n_paths = 1 }) & ~SANDBOX_NO_LANDLOCK, 0);
}

/* As a password file that the administrator put where only root can go. */
static void a_path_that_may_miss_may_lie_out_of_reach(void **state) {
    char path[sizeof spool + 16];
    snprintf(path, sizeof path, "%s/closed", spool);
    assert_int_equal(mkdir(path, 0), 0);
    snprintf(path, sizeof path, "%s/closed/file", spool);
    struct sandbox_path sandbox_path = { .path = path, .may_miss = true };
    struct sandbox sandbox = { .user = getuid() == 0 ? "nobody" : NULL, .paths = &sandbox_path, .n_paths = 1 };
    assert_int_equal(enter_in_child(&sandbox) & ~SANDBOX_NO_LANDLOCK, 0);
    sandbox_path.may_miss = false;
    int r = enter_in_child(&sandbox);
    assert_true(r == EACCES || (r & SANDBOX_NO_LANDLOCK));
    snprintf(path, sizeof path, "%s/closed", spool);
    assert_int_equal(rmdir(path), 0);
}

static void root_is_no_user_to_become(void **state) {
    assert_int_equal(enter_in_child(&(struct sandbox){ .user = "root" }), EPERM);
}

static void *set_flag(void *arg) {
    *(int *)arg = 1;
    return NULL;
}

static int start_a_thread(void) {
    pthread_t thread;
    int flag = 0;
    if (pthread_create(&thread, NULL, set_flag, &flag) != 0)
        return 1;
    pthread_join(thread, NULL);
    return flag ? DONE : 2;
}

static int lock_a_file(void) {
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    int fd = open(spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0 && fcntl(fd, F_GETLK, &lock) == 0 ? DONE : 1;
}

static int start_a_process(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? DONE : 1;
}

static void a_database_locks_its_files_and_starts_threads(void **state) {
    assert_int_equal(in_sandbox_of(start_a_thread, true), DONE);
    assert_int_equal(in_sandbox_of(lock_a_file, true), DONE);
    assert_int_equal(in_sandbox_of(start_a_process, true), DONE);
    assert_int_equal(in_sandbox(start_a_thread), 1);
    assert_int_equal(in_sandbox(lock_a_file), KILLED);
}

static void root_becomes_the_named_user_without_groups(void **state) {
    int status;
    if (getuid() != 0)
        skip();
    pid_t pid = fork();
    if (pid == 0) {
        struct sandbox sandbox = { .user = "nobody" };
        int r = sandbox_enter(&sandbox);
        _exit(r >= 0 && getuid() != 0 && geteuid() != 0 && getgid() != 0 && getgroups(0, NULL) == 0 ? DONE : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), DONE);
}

static int make_spool(void **state) {
    program_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(program_fd >= 0);
    return mkdtemp(spool) ? 0 : -1;
}

static int remove_spool(void **state) {
    return rmdir(spool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_can_do_its_work),
        cmocka_unit_test(files_outside_the_named_paths_do_not_open),
        cmocka_unit_test(programs_and_helpers_do_not_start),
        cmocka_unit_test(other_processes_are_out_of_reach),
        cmocka_unit_test(other_kinds_of_sockets_are_out_of_reach),
        cmocka_unit_test(who_has_no_network_has_unix_sockets_only),
        cmocka_unit_test(what_was_written_runs_where_that_is_allowed_alone),
        cmocka_unit_test(who_is_no_server_takes_no_connections),
        cmocka_unit_test(only_the_ports_named_can_be_connected_to),
        cmocka_unit_test(a_listening_socket_stays_as_the_master_made_it),
        cmocka_unit_test(abstract_sockets_of_others_are_out_of_reach),
        cmocka_unit_test(a_failed_assertion_still_ends_as_one),
        cmocka_unit_test(keys_in_memory_are_not_shown),
        cmocka_unit_test(an_unknown_user_and_a_missing_path_are_errors),
        cmocka_unit_test(a_path_that_may_miss_is_no_error),
        cmocka_unit_test(a_path_that_may_miss_may_lie_out_of_reach),
        cmocka_unit_test(root_is_no_user_to_become),
        cmocka_unit_test(a_database_locks_its_files_and_starts_threads),
        cmocka_unit_test(root_becomes_the_named_user_without_groups),
    };
    return cmocka_run_group_tests(tests, make_spool, remove_spool);
}
