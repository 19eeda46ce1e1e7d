/*
 * quarantine_digest: a plain mail that tells somebody what was kept for him, and how it is released.
 *
 * One for --recipient, one for the postmaster of --domain, or one for each recipient of ours for whom something was
 * kept: mail that a client of ours sent elsewhere concerns nobody there, and a digest of it would be spam about spam.
 * It is printed, or with --send handed to the mailbox server, past our own scanners, which would find in it what it
 * tells of. Who calls it once a day (cron, a systemd timer) says --since 1d. Nothing was kept: no mail.
 *
 * The command to release stands in it as text, for whoever may run it on the gateway: there is no link that releases,
 * since scanners of links would follow it.
 */
#include "cmd/quarantine.h"

#include "base/clock.h"
#include "cmd/clean.h"
#include "cmd/hand_on.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DIGEST_MAX = 8 << 20, FIELD_MAX = 70, SAID_MAX = 65536, ENTRIES_MAX = 1000, FOR_MAX = 5 };

struct whom { /* a digest is for */
    struct str recipient, address; /* as in an entry of the quarantine */
    struct str domain;             /* of ours */
};

static void put_clean(struct buf *out, struct str text, size_t max) {
    for (size_t i = 0; i < text.len && i < max; i++)
        buf_putc(out, text.at[i] >= ' ' && text.at[i] < 127 ? text.at[i] : '?');
}

/* For whom of --domain, which a digest for one recipient need not say, and should not of the others. */
static void put_recipients(const struct quarantine_entry *entry, struct str domain, struct buf *out) {
    size_t n = 0;
    for (size_t i = 0; i < entry->n_recipients; i++) {
        struct str its = entry->recipients[i];
        if (!str_eq_nocase(str_from(its, str_find_last(its, '@') + 1), domain) || n++ >= FOR_MAX)
            continue;
        buf_puts(out, STR("for:      "));
        put_clean(out, its, FIELD_MAX);
        buf_puts(out, STR("\r\n"));
    }
    if (n > FOR_MAX)
        buf_putf(out, "for:      %zu more\r\n", n - FOR_MAX);
}

static void put_entry(const struct quarantine_request *request, const struct quarantine_file *file, struct buf *out) {
    struct arena arena = { 0 };
    struct quarantine_entry entry;
    size_t text_at;
    char subject[FIELD_MAX];
    int fd = quarantine_open(request->folder_fd, file->name, &arena, &entry, &text_at);
    if (fd >= 0) {
        quarantine_field(fd, text_at, "Subject", subject, sizeof(subject));
        buf_puts(out, STR("time:     "));
        put_clean(out, entry.time, 19);
        buf_puts(out, STR(" UTC\r\nfrom:     "));
        put_clean(out, entry.sender.len > 0 ? entry.sender : STR("<>"), FIELD_MAX);
        buf_puts(out, STR("\r\n"));
        if (request->domain != NULL)
            put_recipients(&entry, str_of(request->domain), out);
        buf_putf(out, "subject:  %s\r\nkept as:  ", subject);
        put_clean(out, entry.kind, FIELD_MAX);
        buf_puts(out, STR(" ("));
        put_clean(out, entry.details, FIELD_MAX);
        buf_putf(out, ")\r\nrelease:  postern quarantine release %s\r\n\r\n", file->id);
        close(fd);
    }
    arena_reset(&arena);
}

static void put_head(const struct quarantine_request *request, struct str sender, struct str to, long n,
                     struct buf *out) {
    static unsigned n_written; /* several in one millisecond are several mails */
    char date[CLOCK_RFC5322_MAX];
    const char *host = request->conf->set.hostname;
    uint64_t now_ms = clock_wall_ms();
    buf_putf(out, "Date: %s\r\nFrom: Quarantine <%.*s>\r\nTo: <%.*s>\r\n", clock_format_rfc5322(now_ms, date),
             STR_ARG(sender), STR_ARG(to));
    buf_putf(out, "Subject: %ld message%s kept in quarantine\r\nMessage-ID: <quarantine.%llu.%d.%u@%s>\r\n", n,
             n == 1 ? "" : "s", (unsigned long long)now_ms, (int)getpid(), n_written++, host);
    buf_puts(out, STR("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                      "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
                      "This mail was kept and not delivered. Your postmaster can release it:\r\n\r\n"));
}

static int send_digest(const struct quarantine_request *request, struct str sender, const struct whom *whom,
                       const struct buf *text) {
    struct spool spool;
    struct buf said;
    buf_init(&said, SAID_MAX);
    spool_init(&spool, request->conf->set.spool_path, DIGEST_MAX);
    int r = 0;
    for (uint32_t at = 0; r == 0 && at < text->len;) {
        size_t some = text->len - at < SPOOL_ROOM_MAX ? text->len - at : SPOOL_ROOM_MAX;
        char *room = spool_room(&spool, some);
        r = room != NULL ? 0 : -ENOMEM;
        if (r == 0) {
            memcpy(room, text->at + at, some);
            r = spool_wrote(&spool, some);
        }
        at += (uint32_t)some;
    }
    const struct hand_on_message message = { .sender = sender, .recipients = &whom->recipient,
                                             .addresses = &whom->address, .n_recipients = 1, .spool = &spool,
                                             .id = STR_INIT("digest") };
    if (r == 0)
        r = hand_on(request->conf, &message, &said);
    clean_lines(said.at, said.len);
    if (r == HAND_ON_DONE)
        printf("digest sent to %.*s\n", STR_ARG(whom->address));
    else
        quarantine_fail("the digest for %.*s was not taken: %s%.*s", STR_ARG(whom->address), r < 0 ? strerror(-r) : "",
                        STR_ARG(str_trim(buf_str(&said))));
    spool_deinit(&spool);
    buf_deinit(&said);
    return r == HAND_ON_DONE ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int make_digest(const struct quarantine_request *request, const struct quarantine_file *const files[], size_t n,
                       const struct whom *whom) {
    struct buf text;
    char postmaster[320];
    int code = EXIT_SUCCESS;
    if (n == 0)
        return code;
    snprintf(postmaster, sizeof(postmaster), "postmaster@%.*s", STR_ARG(whom->domain));
    const char *configured = request->conf->set.quarantine.sender;
    struct str sender = str_of(configured != NULL ? configured : postmaster);
    buf_init(&text, DIGEST_MAX);
    put_head(request, sender, whom->address, (long)n, &text);
    for (size_t i = 0; i < n && i < ENTRIES_MAX; i++)
        put_entry(request, files[i], &text);
    if (n > ENTRIES_MAX)
        buf_putf(&text, "And %zu more: postern quarantine list\r\n", n - ENTRIES_MAX);
    if (request->send)
        code = send_digest(request, sender, whom, &text);
    else
        fwrite(text.at, 1, text.len, stdout);
    buf_deinit(&text);
    return code;
}

/* ---- one for each recipient */

struct addressed {
    struct whom whom;
    const struct quarantine_file *file;
};

struct mailing {
    struct addressed *at;
    size_t n, cap;
    struct arena arena;
};

static int add(struct mailing *mailing, const struct whom *whom, const struct quarantine_file *file) {
    if (mailing->n == mailing->cap) {
        size_t cap = mailing->cap > 0 ? 2 * mailing->cap : 64;
        struct addressed *at = reallocarray(mailing->at, cap, sizeof(*at));
        if (at == NULL)
            return -ENOMEM;
        mailing->at = at;
        mailing->cap = cap;
    }
    const struct whom copy = { arena_str(&mailing->arena, whom->recipient), arena_str(&mailing->arena, whom->address),
                               whom->domain };
    if (copy.recipient.at == NULL || copy.address.at == NULL)
        return -ENOMEM;
    mailing->at[mailing->n++] = (struct addressed){ copy, file };
    return 0;
}

static int collect(const struct quarantine_request *request, const struct quarantine_file *file,
                   struct mailing *mailing) {
    struct arena arena = { 0 };
    struct quarantine_entry entry;
    size_t text_at;
    int r = 0, fd = quarantine_open(request->folder_fd, file->name, &arena, &entry, &text_at);
    for (size_t i = 0; fd >= 0 && i < entry.n_recipients && r == 0; i++) {
        const struct conf_domain *domain = hand_on_domain(request->conf, entry.recipients[i]);
        const struct whom whom = { entry.recipients[i], entry.addresses[i], str_of(domain ? domain->name : NULL) };
        r = domain != NULL ? add(mailing, &whom, file) : 0;
    }
    if (fd >= 0)
        close(fd);
    arena_reset(&arena);
    return r;
}

/* By address in any case, then as the files lie in their array: oldest first. */
static int by_address(const void *a, const void *b) {
    const struct addressed *one = a, *other = b;
    const struct str left = one->whom.address, right = other->whom.address;
    for (size_t i = 0; i < left.len && i < right.len; i++) {
        int difference = (unsigned char)ascii_lower(left.at[i]) - (unsigned char)ascii_lower(right.at[i]);
        if (difference != 0)
            return difference;
    }
    if (left.len != right.len)
        return left.len < right.len ? -1 : 1;
    return one->file < other->file ? -1 : one->file > other->file;
}

static int send_all(const struct quarantine_request *request, const struct mailing *mailing) {
    const struct quarantine_file **files = calloc(mailing->n, sizeof(*files));
    int code = files != NULL ? EXIT_SUCCESS : quarantine_fail("%s", strerror(ENOMEM));
    for (size_t i = 0, n = 0; files != NULL && i < mailing->n; i++) {
        const struct addressed *at = &mailing->at[i];
        if (n == 0 || files[n - 1] != at->file) /* who was named twice, in another case, gets it once */
            files[n++] = at->file;
        if (i + 1 < mailing->n && str_eq_nocase(at[1].whom.address, at->whom.address))
            continue;
        if (make_digest(request, files, n, &at->whom) != EXIT_SUCCESS)
            code = EXIT_FAILURE;
        n = 0;
    }
    free(files);
    return code;
}

static int digest_for_each(const struct quarantine_request *request, const struct quarantine_file *const files[],
                           size_t n) {
    struct mailing mailing = { .n = 0 };
    int code = EXIT_SUCCESS, r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = collect(request, files[i], &mailing);
    if (r < 0) {
        code = quarantine_fail("%s: %s", request->conf->set.quarantine.path, strerror(-r));
    } else if (mailing.n > 0) {
        qsort(mailing.at, mailing.n, sizeof(*mailing.at), by_address);
        code = send_all(request, &mailing);
    }
    free(mailing.at);
    arena_reset(&mailing.arena);
    return code;
}

static int digest_of(const struct quarantine_request *request, const struct quarantine_file *const files[], size_t n) {
    char postmaster[320];
    struct str to = str_of(request->recipient), domain = str_of(request->domain);
    if (request->recipient == NULL && request->domain == NULL)
        return digest_for_each(request, files, n);
    if (request->recipient == NULL) {
        snprintf(postmaster, sizeof(postmaster), "postmaster@%s", request->domain);
        const struct conf_domain *ours = conf_domain_find(request->conf, domain);
        bool is_elsewhere = ours != NULL && ours->set.postmaster != NULL;
        to = str_of(is_elsewhere ? ours->set.postmaster : postmaster);
    } else {
        domain = str_from(to, str_find_last(to, '@') + 1);
    }
    return make_digest(request, files, n, &(struct whom){ to, to, domain });
}

int quarantine_digest(struct quarantine_request *request) {
    struct quarantine_file *files = NULL;
    long n = quarantine_select(request, &files);
    if (n < 0)
        return quarantine_fail("%s: %s", request->conf->set.quarantine.path, strerror((int)-n));
    const struct quarantine_file **left = calloc((size_t)n + 1, sizeof(*left));
    size_t n_left = 0;
    for (long i = 0; left != NULL && i < n; i++)
        if (files[i].state != QUARANTINE_RELEASED)
            left[n_left++] = &files[i];
    int code = left != NULL ? digest_of(request, left, n_left) : quarantine_fail("%s", strerror(ENOMEM));
    free(left);
    free(files);
    return code;
}
