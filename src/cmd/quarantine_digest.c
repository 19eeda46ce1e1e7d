/*
 * quarantine_digest: a plain mail that tells somebody what was kept for him, and how it is released.
 *
 * One for --recipient, one for the postmaster of --domain, or one for each recipient for whom something was kept. It is
 * printed, or with --send handed to the mailbox server as any mail. Who calls it once a day (cron, a systemd timer)
 * says --since 1d. Nothing was kept: no mail.
 *
 * The command to release stands in it as text, for whoever may run it on the gateway: there is no link that releases,
 * since scanners of links would follow it.
 */
#include "cmd/quarantine.h"

#include "base/clock.h"
#include "cmd/hand_on.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DIGEST_MAX = 8 << 20, FIELD_MAX = 70, SAID_MAX = 65536, ENTRIES_MAX = 10000 };

static void put_clean(struct buf *out, struct str text, size_t max) {
    for (size_t i = 0; i < text.len && i < max; i++)
        buf_putc(out, text.at[i] >= ' ' && text.at[i] < 127 ? text.at[i] : '?');
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
        buf_putf(out, "\r\nsubject:  %s\r\nkept as:  ", subject);
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
    char date[CLOCK_RFC5322_MAX];
    const char *host = request->conf->set.hostname;
    uint64_t now_ms = clock_wall_ms();
    buf_putf(out, "Date: %s\r\nFrom: Quarantine <%.*s>\r\nTo: <%.*s>\r\n", clock_format_rfc5322(now_ms, date),
             STR_ARG(sender), STR_ARG(to));
    buf_putf(out, "Subject: %ld message%s kept in quarantine\r\nMessage-ID: <quarantine.%llu.%d@%s>\r\n", n,
             n == 1 ? "" : "s", (unsigned long long)now_ms, (int)getpid(), host);
    buf_puts(out, STR("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                      "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
                      "This mail was kept and not delivered. Your postmaster can release it:\r\n\r\n"));
}

static int send_digest(const struct quarantine_request *request, struct str sender, struct str to,
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
    const struct hand_on_message message = { .sender = sender, .recipients = &to, .n_recipients = 1, .spool = &spool,
                                             .id = STR_INIT("digest") };
    if (r == 0)
        r = hand_on(request->conf, &message, &said);
    if (r == HAND_ON_DONE)
        printf("digest sent to %.*s\n", STR_ARG(to));
    else
        quarantine_fail("the digest for %.*s was not taken: %s%.*s", STR_ARG(to), r < 0 ? strerror(-r) : "",
                        STR_ARG(str_trim(buf_str(&said))));
    spool_deinit(&spool);
    buf_deinit(&said);
    return r == HAND_ON_DONE ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Of what the request selects, to `to`, at `domain`. */
static int make_digest(const struct quarantine_request *request, struct str to, struct str domain) {
    struct quarantine_file *files = NULL;
    struct buf text;
    char postmaster[320];
    long n = quarantine_select(request, &files), shown = 0;
    int code = EXIT_SUCCESS;
    if (n < 0)
        return quarantine_fail("%s: %s", request->conf->set.quarantine.path, strerror((int)-n));
    for (long i = 0; i < n; i++)
        if (files[i].state != QUARANTINE_RELEASED)
            files[shown++] = files[i];
    snprintf(postmaster, sizeof(postmaster), "postmaster@%.*s", STR_ARG(domain));
    const char *configured = request->conf->set.quarantine.sender;
    struct str sender = str_of(configured != NULL ? configured : postmaster);
    buf_init(&text, DIGEST_MAX);
    if (shown > 0) {
        put_head(request, sender, to, shown, &text);
        for (long i = 0; i < shown && i < ENTRIES_MAX; i++)
            put_entry(request, &files[i], &text);
        if (request->send)
            code = send_digest(request, sender, to, &text);
        else
            fwrite(text.at, 1, text.len, stdout);
    }
    buf_deinit(&text);
    free(files);
    return code;
}

/* ---- one for each recipient */

struct names {
    struct str *at;
    size_t n, cap;
    struct arena arena;
};

static int add_name(struct names *names, struct str name) {
    for (size_t i = 0; i < names->n; i++)
        if (str_eq_nocase(names->at[i], name))
            return 0;
    if (names->n == names->cap) {
        size_t cap = names->cap > 0 ? 2 * names->cap : 64;
        struct str *at = reallocarray(names->at, cap, sizeof(*at));
        if (at == NULL)
            return -ENOMEM;
        names->at = at;
        names->cap = cap;
    }
    char *copy = arena_strdup(&names->arena, name);
    if (copy == NULL)
        return -ENOMEM;
    names->at[names->n++] = str_of(copy);
    return 0;
}

static int collect_names(const struct quarantine_request *request, struct names *names) {
    struct quarantine_file *files = NULL;
    long n = quarantine_select(request, &files);
    int r = n < 0 ? (int)n : 0;
    for (long i = 0; i < n && r == 0; i++) {
        struct arena arena = { 0 };
        struct quarantine_entry entry;
        size_t text_at;
        int fd = quarantine_open(request->folder_fd, files[i].name, &arena, &entry, &text_at);
        for (size_t k = 0; fd >= 0 && k < entry.n_recipients && r == 0; k++)
            r = add_name(names, entry.recipients[k]);
        if (fd >= 0)
            close(fd);
        arena_reset(&arena);
    }
    free(files);
    return r;
}

static int digest_for_each(const struct quarantine_request *request) {
    struct names names = { .n = 0 };
    int code = EXIT_SUCCESS, r = collect_names(request, &names);
    if (r < 0)
        code = quarantine_fail("%s: %s", request->conf->set.quarantine.path, strerror(-r));
    for (size_t i = 0; i < names.n && r == 0; i++) {
        struct quarantine_request one = *request;
        one.recipient = names.at[i].at;
        if (make_digest(&one, names.at[i], str_from(names.at[i], str_find_last(names.at[i], '@') + 1)) != EXIT_SUCCESS)
            code = EXIT_FAILURE;
    }
    free(names.at);
    arena_reset(&names.arena);
    return code;
}

int quarantine_digest(struct quarantine_request *request) {
    char postmaster[320];
    struct str recipient = str_of(request->recipient);
    if (request->recipient != NULL)
        return make_digest(request, recipient, str_from(recipient, str_find_last(recipient, '@') + 1));
    if (request->domain == NULL)
        return digest_for_each(request);
    snprintf(postmaster, sizeof(postmaster), "postmaster@%s", request->domain);
    return make_digest(request, str_of(postmaster), str_of(request->domain));
}
