/*
 * quarantine_learn: tells spamd what a message is (TELL of its protocol), so that its Bayes database learns from what
 * was kept wrongly, or rightly.
 *
 * One connection a message, blocking, with a time-out: this is a command that somebody waits for. A spamd that may not
 * be taught says so before it has the message, and closes: its answer is read whether all could be sent or not.
 *
 * Where each domain has a database of its own it is the recipients' that learns, as it is theirs that is asked.
 */
#include "cmd/quarantine.h"

#include "base/addr.h"
#include "cmd/clean.h"
#include "cmd/hand_on.h"
#include "facts/spamassassin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { TIMEOUT_S = 120, ANSWER_MAX = 4096, HEAD_MAX = 1024, COPY = 65536 };

static int connect_to(const char *where) {
    struct sockaddr_storage address = { 0 };
    socklen_t len;
    struct endpoint at;
    const struct timeval limit = { .tv_sec = TIMEOUT_S };
    if (strncmp(where, "unix:", 5) == 0) {
        struct sockaddr_un *un = (struct sockaddr_un *)&address;
        un->sun_family = AF_UNIX;
        if (strlen(where + 5) >= sizeof(un->sun_path))
            return -ENAMETOOLONG;
        memcpy(un->sun_path, where + 5, strlen(where + 5) + 1);
        len = sizeof(*un);
    } else if (endpoint_parse(str_of(where), &at) == 0) {
        len = endpoint_to_sockaddr(&at, &address);
    } else {
        return -EINVAL;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, len) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static int send_all(int fd, const char *at, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0)
            return -errno;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int send_question(int spamd, int fd, size_t text_at, struct str head, uint64_t size) {
    char *piece = malloc(COPY);
    int r = piece != NULL ? send_all(spamd, head.at, head.len) : -ENOMEM;
    for (uint64_t at = 0; r == 0 && at < size;) {
        ssize_t some = pread(fd, piece, COPY, (off_t)(text_at + at));
        r = some < 0 ? -errno : some == 0 ? -EIO : send_all(spamd, piece, (size_t)some);
        at += some > 0 ? (uint64_t)some : 0;
    }
    free(piece);
    return r == 0 && shutdown(spamd, SHUT_WR) < 0 ? -errno : r;
}

/* "SPAMD/1.1 0 EX_OK", and "DidSet: local" where it has learnt something new. Returns 1: it has, 0: nothing new,
 * -EPROTO: it says something else. */
static int read_answer(int spamd, char *out, size_t size) {
    size_t len = 0;
    for (ssize_t n; len + 1 < size && (n = recv(spamd, out + len, size - 1 - len, 0)) != 0; len += (size_t)n) {
        if (n < 0 && len > 0) /* it closed on what it did not read */
            break;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
    }
    out[len] = '\0';
    const char *first_end = strchr(out, '\n');
    if (first_end == NULL || strncmp(out, "SPAMD/", 6) != 0)
        return -EPROTO;
    const char *code = memmem(out, (size_t)(first_end - out), " 0 EX_OK", strlen(" 0 EX_OK"));
    return code == NULL ? -EPROTO : strstr(first_end, "DidSet:") != NULL;
}

/* The domain that spamd was told when it judged the message; "": none. */
static struct str user_of(const struct quarantine_request *request, const struct quarantine_entry *entry) {
    struct str domain = { 0 };
    for (size_t i = 0; request->conf->set.spamassassin.user_by_domain && i < entry->n_recipients; i++) {
        struct str its = str_from(entry->recipients[i], str_find_last(entry->recipients[i], '@') + 1);
        const struct conf_domain *ours = its.len == 0 ? hand_on_domain(request->conf, entry->recipients[i]) : NULL;
        if (ours != NULL)
            its = str_of(ours->name);
        if (i > 0 && !str_eq_nocase(its, domain))
            return (struct str){ 0 };
        domain = its;
    }
    return domain;
}

/* As read_answer(). */
static int teach(int spamd, int fd, size_t text_at, struct str head, uint64_t size, char answer[ANSWER_MAX]) {
    int sent = send_question(spamd, fd, text_at, head, size);
    if (sent < 0 && sent != -EPIPE && sent != -ECONNRESET)
        return sent == -EAGAIN ? -ETIMEDOUT : sent;
    int r = read_answer(spamd, answer, ANSWER_MAX);
    return sent < 0 && r >= 0 ? -EPROTO : r; /* it cannot have learnt from half of it */
}

static int learn_one(const struct quarantine_request *request, const char *where, const char *id) {
    struct quarantine_file file;
    struct quarantine_entry entry;
    struct arena arena = { 0 };
    char answer[ANSWER_MAX] = "";
    struct buf head;
    int fd;
    size_t text_at;
    if (!quarantine_open_id(request, id, &file, &arena, &entry, &fd, &text_at))
        return EXIT_FAILURE;
    buf_init(&head, HEAD_MAX);
    uint64_t size = file.size > text_at ? file.size - text_at : 0; /* it may have been cut since */
    int r = spamd_put_tell(user_of(request, &entry), size, request->is_spam, &head);
    int spamd = r < 0 ? r : connect_to(where);
    r = spamd < 0 ? spamd : teach(spamd, fd, text_at, buf_str(&head), size, answer);
    if (spamd >= 0)
        close(spamd);
    close(fd);
    buf_deinit(&head);
    arena_reset(&arena);
    answer[strcspn(answer, "\r\n")] = '\0';
    clean_text(answer);
    if (r == -EPROTO && answer[0] == '\0')
        return quarantine_fail("%s: spamd %s says nothing", id, where);
    if (r == -EPROTO)
        return quarantine_fail("%s: spamd says: %s (does it run with --allow-tell?)", id, answer);
    if (r < 0)
        return quarantine_fail("%s: spamd %s: %s", id, where, strerror(-r));
    printf("%s: %s as %s\n", id, r > 0 ? "learnt" : "known already", request->is_spam ? "spam" : "ham");
    return EXIT_SUCCESS;
}

int quarantine_learn(struct quarantine_request *request) {
    const struct conf_scanner *spamassassin = &request->conf->set.spamassassin;
    const char *where = request->spamd;
    int code = EXIT_SUCCESS;
    if (request->is_ham == request->is_spam)
        return quarantine_fail("learn needs --ham or --spam");
    if (where == NULL && spamassassin->n_servers > 0)
        where = spamassassin->servers[0].text;
    if (where == NULL)
        return quarantine_fail("no spamd is configured (spamassassin { server ... }); --spamd names one");
    for (int i = 0; i < request->n_args; i++)
        if (learn_one(request, where, request->args[i]) != EXIT_SUCCESS)
            code = EXIT_FAILURE;
    return code;
}
