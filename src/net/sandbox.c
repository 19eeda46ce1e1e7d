/*
 * sandbox: what is left to a worker that someone has taken over.
 *
 * Three walls, each behind the other: an ordinary user without groups or capabilities; Landlock, by which only the
 * paths named exist for opening, no abstract Unix socket and no process outside can be reached, and, where the caller
 * wants that, only some ports for connecting; a list of system calls and of their arguments, by which there is no exec,
 * no ptrace, no socket but IP and Unix ones, and nothing that changes a socket for others who hold it
 * (sandbox_options.c). Left open: connect(AF_UNSPEC) ends a listening socket too, and no filter sees that argument; the
 * master looks after them (cmd/sockets.c).
 * Descriptors that the master opened before are not touched by any of this, which is how a worker has its sockets,
 * keys, tables and journal.
 *
 * openat() is in the list because Landlock bounds it: the spool opens its temporary files while it runs. On a kernel
 * without Landlock files are bounded by the user's rights alone, and that is reported as a gap. Calls that libraries
 * try and can live without (exec, fork for a helper, the list of interfaces) get an errno; all else kills the process,
 * so that the master sees it. Workers may map memory that they have written as code, since PCRE2 compiles patterns when
 * a table is loaded; others may not.
 *
 * Names of system calls that this machine does not have (open, poll, epoll_wait on arm64) are passed over.
 *
 * Rejected: seccomp's user notification (a broker in the path of every open); chroot (needs a tree to be kept;
 * Landlock says the same thing in the program); dropping openat (spool files would have to come from the master one
 * by one).
 */
#include "net/sandbox.h"

#include "net/sandbox_options.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights newer than the headers of Debian 12. */
enum { FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15 };
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0, SCOPE_SIGNAL = 1 << 1 };
enum { NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1, RULE_NET_PORT = 2 };

struct ruleset_attributes { /* the first three of struct landlock_ruleset_attr */
    uint64_t fs, net, scoped;
};

struct port_rule { /* struct landlock_net_port_attr */
    uint64_t allowed_access, port;
};

static const uint64_t RIGHTS_READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t RIGHTS_WRITE =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | FS_TRUNCATE;
static const uint64_t RIGHTS_OF_FILES = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE;

static const char *const allowed[] = {
    /* descriptors */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek",
    "close", "close_range", "dup", "dup2", "dup3", "sendfile", "copy_file_range", "pipe", "pipe2", "eventfd2",
    /* files, bounded by Landlock */
    "openat", "fstat", "newfstatat", "stat", "lstat", "statx", "fstatfs", "statfs", "ftruncate", "fallocate",
    "fadvise64", "fsync", "fdatasync", "unlink", "unlinkat", "rename", "renameat", "renameat2", "access",
    "faccessat", "faccessat2",
    "readlink", "readlinkat", "getdents64", "getcwd", "umask", "fchmod",
    /* sockets; socket() itself has a rule of its own */
    "connect", "socketpair", "getsockname", "getpeername",
    "getsockopt", "setsockopt", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg",
    /* waiting */
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6",
    "signalfd4", "nanosleep", "clock_nanosleep", "restart_syscall",
    /* memory; mmap() and mprotect() have rules of their own */
    "munmap", "mremap", "madvise", "mincore", "brk", "mlock", "mlock2", "munlock",
    /* time, random, threads */
    "clock_gettime", "clock_getres", "gettimeofday", "time", "getrandom", "futex", "membarrier", "rseq", "sched_yield",
    "sched_getaffinity", "getcpu", "set_robust_list", "get_robust_list",
    /* ourselves */
    "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getrlimit",
    "getrusage", "times", "sysinfo", "uname", "sigaltstack", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigpending",
    "rt_sigtimedwait", "exit", "exit_group",
};

static const struct denied {
    const char *name;
    int err;
} denied[] = {
    { "execve", EPERM }, { "execveat", EPERM }, { "clone3", ENOSYS }, { "fork", EPERM },
    { "vfork", EPERM },  { "open", EACCES },    { "openat2", ENOSYS }, { "creat", EACCES },
    { "io_uring_setup", ENOSYS },
};

/* Its listening sockets listen already: listen() would shorten their queue. */
static const char *const of_servers[] = { "bind", "accept", "accept4" };

/* ---- user */

static int become(const char *user) {
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (!entry)
        return errno ? -errno : -ENOENT;
    if (entry->pw_uid == 0) /* whatever the name: these rights are what we are here to give up */
        return -EPERM;
    if (geteuid() == entry->pw_uid && getegid() == entry->pw_gid && getuid() != 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) < 0 ||
        setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) < 0)
        return -errno;
    return 0;
}

/* What a program that is executed could gain. Without CAP_SETPCAP the bounding set stays: no_new_privs has to do. */
static void forget_gains(void) {
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/* All that is left: the inheritable ones, and everything where we were not started as root but with some. */
static int drop_capabilities(void) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* ---- Landlock; glibc has no functions for it */

static uint64_t rights_of_abi(int abi) {
    uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; /* all of the first version */
    if (abi >= 2)
        rights |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        rights |= FS_TRUNCATE;
    if (abi >= 5)
        rights |= FS_IOCTL_DEV;
    return rights;
}

static bool is_missing(int err) {
    return err == ENOENT || err == ENOTDIR || err == EACCES || err == ELOOP;
}

static int permit(int ruleset, const struct sandbox_path *path, uint64_t rights) {
    struct stat info;
    int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return path->may_miss && is_missing(errno) ? 0 : -errno;
    uint64_t access = RIGHTS_READ | (path->may_write ? RIGHTS_WRITE : 0);
    if (fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode))
        access &= RIGHTS_OF_FILES;
    struct landlock_path_beneath_attr rule = { .allowed_access = access & rights, .parent_fd = fd };
    int r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int permit_port(int ruleset, uint16_t port) {
    const struct port_rule rule = { .allowed_access = NET_CONNECT_TCP, .port = port };
    return syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) < 0 ? -errno : 0;
}

/* Returns 0, SANDBOX_NO_LANDLOCK or -errno. */
static int bound_files_and_ports(const struct sandbox *sandbox) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return SANDBOX_NO_LANDLOCK;
    uint64_t rights = rights_of_abi((int)abi);
    bool has_ports = abi >= 4 && sandbox->ports != NULL;
    const struct ruleset_attributes attributes = { .fs = rights,
                                                   .net = has_ports ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
                                                   .scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0 };
    size_t size = abi >= 6 ? sizeof attributes : offsetof(struct ruleset_attributes, scoped);
    if (abi < 4)
        size = sizeof attributes.fs;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (ruleset < 0)
        return -errno;
    int r = 0;
    for (size_t i = 0; r == 0 && i < sandbox->n_paths; i++)
        r = permit(ruleset, &sandbox->paths[i], rights);
    for (size_t i = 0; r == 0 && has_ports && i < sandbox->n_ports; i++)
        r = permit_port(ruleset, sandbox->ports[i]);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -errno;
    close(ruleset);
    return r;
}

/* ---- system calls */

/* Adds a rule, unless the machine has no such call. Returns 0 or -errno. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned n,
               const struct scmp_arg_cmp *compare) {
    int number = seccomp_syscall_resolve_name(name);
    return number < 0 ? 0 : seccomp_rule_add_array(filter, action, number, n, compare);
}

/*
 * What is one for all who hold a socket, or a file: whether it blocks, which would stop the loop of another worker at
 * accept(), and whether it still takes connections, which shutting down for reading ends. So descriptors become
 * non-blocking and never the other way round (FIONBIO is in no list), and what is shut down is what we write.
 */
static int add_shared_sockets(scmp_filter_ctx filter) {
    const scmp_datum_t looked_at = O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;
    const struct scmp_arg_cmp set_flags[] = { SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0),
                                              SCMP_A2(SCMP_CMP_MASKED_EQ, looked_at, O_NONBLOCK) };
    int r = add(filter, SCMP_ACT_ALLOW, "fcntl", 2, set_flags);
    return r < 0 ? r : add(filter, SCMP_ACT_ALLOW, "shutdown", 1, &SCMP_A1(SCMP_CMP_EQ, SHUT_WR, 0));
}

/*
 * Calls that are allowed with some arguments only; with others they kill, except prctl(), which libraries try. All
 * workers are one user, to whom the kernel gives the right to set each other's limits, and to have signals sent when a
 * descriptor becomes ready (F_SETOWN with F_SETSIG): so limits are one's own only, and fcntl() does what it is
 * listed for.
 */
static int add_bounded(scmp_filter_ctx filter, bool has_no_network) {
    static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
    const size_t n_families = has_no_network ? 1 : sizeof families / sizeof families[0];
    static const int commands[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL };
    static const unsigned long requests[] = { TCGETS, FIONREAD };
    int r = 0;
    for (size_t i = 0; r == 0 && i < n_families; i++)
        r = add(filter, SCMP_ACT_ALLOW, "socket", 1, &SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
    if (r == 0) /* getaddrinfo() asks so which addresses are ours when there are several to choose from */
        r = add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1, &SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0));
    for (size_t i = 0; r == 0 && i < sizeof requests / sizeof requests[0]; i++)
        r = add(filter, SCMP_ACT_ALLOW, "ioctl", 1, &SCMP_A1(SCMP_CMP_EQ, requests[i], 0));
    for (size_t i = 0; r == 0 && i < sizeof commands / sizeof commands[0]; i++)
        r = add(filter, SCMP_ACT_ALLOW, "fcntl", 1, &SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0));
    if (r == 0)
        r = add_shared_sockets(filter);
    if (r == 0)
        r = add(filter, SCMP_ACT_ALLOW, "prlimit64", 1, &SCMP_A0(SCMP_CMP_EQ, 0, 0));
    if (r == 0)
        r = add(filter, SCMP_ACT_ALLOW, "prctl", 1, &SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
    if (r == 0)
        r = add(filter, SCMP_ACT_ERRNO(EPERM), "prctl", 1, &SCMP_A0(SCMP_CMP_NE, PR_SET_NAME, 0));
    if (r == 0) /* abort(), and nobody else's end */
        r = add(filter, SCMP_ACT_ALLOW, "tgkill", 1, &SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    return r;
}

/* Whether files are locked, and by which descriptor, concerns nobody but those who share the file. */
static int add_locks(scmp_filter_ctx filter) {
    static const int commands[] = { F_GETLK, F_SETLK, F_SETLKW };
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof commands / sizeof commands[0]; i++)
        r = add(filter, SCMP_ACT_ALLOW, "fcntl", 1, &SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0));
    return r == 0 ? add(filter, SCMP_ACT_ALLOW, "flock", 0, NULL) : r;
}

/* clone3() keeps its flags in memory, where no filter sees them: the C library takes clone() when there is none. */
static int add_clone(scmp_filter_ctx filter, bool may_start_threads) {
    if (!may_start_threads)
        return add(filter, SCMP_ACT_ERRNO(EPERM), "clone", 0, NULL);
    int r = add(filter, SCMP_ACT_ALLOW, "clone", 1, &SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    return r < 0 ? r : add(filter, SCMP_ACT_ERRNO(EPERM), "clone", 1, &SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
}

/* A rule on mmap() or mprotect(), whose third argument says what the memory is for. */
static int add_prot(scmp_filter_ctx filter, uint32_t action, const char *name, int mask, int prot) {
    return add(filter, action, name, 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, (scmp_datum_t)mask, (scmp_datum_t)prot));
}

/* A file that is mapped as code, and not written as that. */
static int add_code_of_files(scmp_filter_ctx filter) {
    const struct scmp_arg_cmp file[] = { SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
                                         SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0) };
    const struct scmp_arg_cmp memory[] = { SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
                                           SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS) };
    int r = add(filter, SCMP_ACT_ALLOW, "mmap", 2, file);
    if (r == 0)
        r = add(filter, SCMP_ACT_ERRNO(EPERM), "mmap", 2, memory);
    return r == 0 ? add_prot(filter, SCMP_ACT_ERRNO(EPERM), "mmap", PROT_EXEC | PROT_WRITE, PROT_EXEC | PROT_WRITE) : r;
}

/* Memory with a name can be mapped as the file it looks like, so it goes with what may be written and run. */
static int add_mappings(scmp_filter_ctx filter, enum sandbox_code code) {
    static const char *const calls[] = { "mmap", "mprotect", "memfd_create" };
    int r = 0;
    for (size_t i = 0; code == SANDBOX_CODE_ANY && r == 0 && i < sizeof calls / sizeof calls[0]; i++)
        r = add(filter, SCMP_ACT_ALLOW, calls[i], 0, NULL);
    if (r < 0 || code == SANDBOX_CODE_ANY)
        return r;
    r = add(filter, SCMP_ACT_ERRNO(EPERM), "memfd_create", 0, NULL);
    for (size_t i = 0; r == 0 && i < 2; i++)
        r = add_prot(filter, SCMP_ACT_ALLOW, calls[i], PROT_EXEC, 0);
    if (r == 0)
        r = add_prot(filter, SCMP_ACT_ERRNO(EPERM), "mprotect", PROT_EXEC, PROT_EXEC);
    if (r == 0 && code == SANDBOX_CODE_OF_FILES)
        return add_code_of_files(filter);
    return r == 0 ? add_prot(filter, SCMP_ACT_ERRNO(EPERM), "mmap", PROT_EXEC, PROT_EXEC) : r;
}

static int fill(scmp_filter_ctx filter, const struct sandbox *sandbox) {
    int r = add_clone(filter, sandbox->may_start_threads);
    if (r == 0)
        r = add_mappings(filter, sandbox->code);
    for (size_t i = 0; r == 0 && !sandbox->is_no_server && i < sizeof of_servers / sizeof of_servers[0]; i++)
        r = add(filter, SCMP_ACT_ALLOW, of_servers[i], 0, NULL);
    if (r == 0 && sandbox->may_lock_files)
        r = add_locks(filter);
    for (size_t i = 0; r == 0 && i < sizeof allowed / sizeof allowed[0]; i++)
        r = add(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
    for (size_t i = 0; r == 0 && i < sizeof denied / sizeof denied[0]; i++)
        r = add(filter, SCMP_ACT_ERRNO((uint32_t)denied[i].err), denied[i].name, 0, NULL);
    return r == 0 ? add_bounded(filter, sandbox->has_no_network) : r;
}

/* Returns 0, SANDBOX_NO_SECCOMP or -errno. */
static int bound_calls(const struct sandbox *sandbox) {
    if (sandbox_bound_options() < 0)
        return SANDBOX_NO_SECCOMP;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return -ENOMEM;
    int r = fill(filter, sandbox);
    if (r == 0) {
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: 40 ns a call instead of a walk */
        r = seccomp_load(filter) < 0 ? SANDBOX_NO_SECCOMP : 0;
    }
    seccomp_release(filter);
    return r;
}

/* A core file of whatever size the administrator lets the service have; by itself the kernel's default is none. */
static void raise_core_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
}

int sandbox_enter(const struct sandbox *sandbox) {
    if (sandbox->may_dump_core)
        raise_core_limit();
    forget_gains();
    int r = sandbox->user ? become(sandbox->user) : 0;
    if (r == 0)
        r = drop_capabilities();
    if (r < 0)
        return r;
    /* The keys are in our memory: no core file, and no debugger of the same user, unless the administrator says so. */
    if (prctl(PR_SET_DUMPABLE, sandbox->may_dump_core, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    int gaps = bound_files_and_ports(sandbox);
    if (gaps < 0)
        return gaps;
    r = bound_calls(sandbox);
    return r < 0 ? r : gaps | r;
}
