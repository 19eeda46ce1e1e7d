/*
 * sandbox_options: a filter of its own for setsockopt(), beside the one of sandbox.c.
 *
 * Who holds a socket that others use too, as a worker does its listening sockets, can make it deaf by an option alone:
 * a classic BPF program that drops all (SO_ATTACH_FILTER) or steers all to one (SO_ATTACH_REUSEPORT_CBPF), a device
 * that it is bound to (SO_BINDTODEVICE), a hop count that no packet has (IP_MINTTL). And options lead into parts of the
 * kernel that a mail service has no use for (TCP_ULP loads a module). So the list names what we and our libraries set.
 * All else is EPERM and not the end: a library that tries an option of a newer kernel lives without it.
 *
 * Two stacked filters, since the first to deny wins: libseccomp can kill for arguments that no rule names, but cannot
 * answer them with an errno.
 *
 * Listed and known: SO_RCVBUF and SO_SNDBUF can make what a listening socket accepts from then on slow.
 */
#include "net/sandbox_options.h"

#include <endian.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const struct settable {
    int level, option;
} settable[] = {
    { SOL_SOCKET, SO_REUSEADDR }, { SOL_SOCKET, SO_KEEPALIVE }, { SOL_SOCKET, SO_LINGER }, { SOL_SOCKET, SO_BROADCAST },
    { SOL_SOCKET, SO_RCVBUF }, { SOL_SOCKET, SO_SNDBUF }, { SOL_SOCKET, SO_RCVTIMEO }, { SOL_SOCKET, SO_SNDTIMEO },
    { IPPROTO_TCP, TCP_NODELAY }, { IPPROTO_TCP, TCP_MAXSEG }, { IPPROTO_TCP, TCP_CORK }, { IPPROTO_TCP, TCP_KEEPIDLE },
    { IPPROTO_TCP, TCP_KEEPINTVL }, { IPPROTO_TCP, TCP_KEEPCNT }, { IPPROTO_TCP, TCP_USER_TIMEOUT },
    { IPPROTO_TCP, TCP_FASTOPEN_CONNECT },
    /* libunbound and the C library's resolver: how large a packet may be, and what became of it */
    { IPPROTO_IP, IP_TOS }, { IPPROTO_IP, IP_MTU_DISCOVER }, { IPPROTO_IP, IP_RECVERR },
    { IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
    { IPPROTO_IPV6, IPV6_V6ONLY }, { IPPROTO_IPV6, IPV6_MTU }, { IPPROTO_IPV6, IPV6_MTU_DISCOVER },
    { IPPROTO_IPV6, IPV6_RECVERR }, { IPPROTO_IPV6, IPV6_TCLASS },
};

enum { N_SETTABLE = sizeof settable / sizeof settable[0], HEAD = 3, PER_ROW = 5 };

/* The low half, of which alone the kernel makes its int. */
static uint32_t offset_of_argument(unsigned i) {
    const size_t low = __BYTE_ORDER == __BIG_ENDIAN ? sizeof(uint32_t) : 0;
    return (uint32_t)(offsetof(struct seccomp_data, args) + i * sizeof(uint64_t) + low);
}

/* Allows the call for one row; else goes on behind. */
static void put_row(struct sock_filter *at, const struct settable *row) {
    at[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset_of_argument(1));
    at[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->level, 0, 3);
    at[2] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset_of_argument(2));
    at[3] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->option, 0, 1);
    at[4] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
}

/* Calls of another machine's numbering are the main filter's to end. */
int sandbox_bound_options(void) {
    struct sock_filter filter[HEAD + N_SETTABLE * PER_ROW + 1] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsockopt, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    for (unsigned i = 0; i < N_SETTABLE; i++)
        put_row(filter + HEAD + i * PER_ROW, &settable[i]);
    filter[HEAD + N_SETTABLE * PER_ROW] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA));
    const struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
