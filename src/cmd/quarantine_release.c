/*
 * quarantine_release: a message that was kept gets where it was meant to go, or goes away.
 *
 * It goes to the mailbox server like any delivery, and only the server's 250 makes it `released`. Before the first byte
 * it is renamed to `releasing`, so that two who release it at once cannot both, and a command that dies in between
 * leaves behind what is known: that it may have arrived. Then --again is asked for.
 */
#include "cmd/quarantine.h"

#include "base/clock.h"
#include "cmd/clean.h"
#include "cmd/hand_on.h"
#include "smtp/header.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HEAD_MAX = 4096, SAID_MAX = 65536, MEMORY_MAX = 1 << 20, PIECE = 65536 };

int quarantine_load(const struct conf *conf, int fd, size_t text_at, struct spool *spool) {
    spool_init(spool, conf->set.spool_path, MEMORY_MAX);
    for (off_t at = (off_t)text_at;;) {
        char *room = spool_room(spool, PIECE);
        ssize_t n = room != NULL ? pread(fd, room, PIECE, at) : 0;
        int r = room == NULL ? -ENOMEM : n < 0 ? -errno : spool_wrote(spool, (size_t)n);
        if (r < 0 || n == 0)
            return r;
        at += n;
    }
}

/* ---- release */

static int write_head(const struct conf *conf, const struct quarantine_entry *entry, const struct ip *client,
                      struct buf *head) {
    char date[CLOCK_RFC5322_MAX];
    const struct header_received received = {
        .helo = entry->helo, .client = *client, .by = str_of(conf->set.hostname), .protocol = "ESMTP",
        .tls_version = "", .tls_cipher = "", .id = entry->id,
        .date = clock_format_rfc5322(clock_wall_ms(), date),
    };
    int r = buf_putf(head, "X-Postern-Released: %.*s\r\n", STR_ARG(entry->id));
    return r == 0 ? header_received_format(&received, head) : r;
}

static int hand_entry_on(const struct quarantine_request *request, const struct quarantine_entry *entry, int fd,
                         size_t text_at, struct buf *said) {
    const struct str other = str_of(request->to);
    struct spool spool;
    struct buf head;
    struct ip client = { 0 };
    ip_parse(entry->client, &client);
    buf_init(&head, HEAD_MAX);
    int r = quarantine_load(request->conf, fd, text_at, &spool);
    if (r == 0)
        r = write_head(request->conf, entry, &client, &head);
    const struct hand_on_message message = {
        .sender = entry->sender, .head = buf_str(&head), .spool = &spool, .id = entry->id, .client = client,
        .helo = entry->helo, .recipients = request->to != NULL ? &other : entry->recipients,
        .addresses = request->to != NULL ? &other : entry->addresses,
        .n_recipients = request->to != NULL ? 1 : entry->n_recipients,
        .is_8bit = entry->is_8bit, .is_utf8 = entry->is_utf8,
    };
    if (r == 0)
        r = hand_on(request->conf, &message, said);
    spool_deinit(&spool);
    buf_deinit(&head);
    return r;
}

/* What the state says before anything is done. False: it was told. */
static bool may_release(const struct quarantine_request *request, const struct quarantine_file *file) {
    if (file->state == QUARANTINE_PENDING)
        quarantine_fail("%s: its sender still waits for our answer; try again in a while", file->id);
    else if (file->state == QUARANTINE_RELEASED && !request->again)
        quarantine_fail("%s: it was released already; --again does it once more", file->id);
    else if (file->state == QUARANTINE_RELEASING && !request->again)
        quarantine_fail("%s: it is being released, or that was cut off and it may have arrived; --again does it once "
                        "more", file->id);
    else
        return true;
    return false;
}

static int settle(const struct quarantine_request *request, struct quarantine_file *file, int result,
                  struct buf *said) {
    static const char *const words[] = {
        [HAND_ON_DONE] = "released",
        [HAND_ON_PARTLY] = "released, but not for all recipients (--again --to ADDRESS for each of these)",
        [HAND_ON_REFUSED] = "refused by the mailbox server", [HAND_ON_DEFERRED] = "not taken now, try again later",
        [HAND_ON_UNKNOWN] = "it may have arrived: look there before --again",
    };
    bool is_out = result == HAND_ON_DONE || result == HAND_ON_PARTLY;
    enum quarantine_state state = is_out ? QUARANTINE_RELEASED : QUARANTINE_KEPT;
    int r = 0;
    snprintf(file->name, sizeof(file->name), "%.60s.releasing", file->id);
    if (result != HAND_ON_UNKNOWN)
        r = quarantine_rename(request->folder_fd, file, state);
    fprintf(result == HAND_ON_DONE ? stdout : stderr, "%s: %s\n", file->id,
            result < 0 ? strerror(-result) : words[result]);
    if (result != HAND_ON_DONE) {
        clean_lines(said->at, said->len); /* the mailbox server's words are among them */
        fwrite(said->at, 1, said->len, stderr);
    }
    if (r < 0)
        quarantine_fail("%s: it cannot be marked: %s", file->id, strerror(-r));
    return result == HAND_ON_DONE && r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int release_one(struct quarantine_request *request, const char *id) {
    struct quarantine_file file;
    struct quarantine_entry entry;
    struct arena arena = { 0 };
    struct buf said;
    int fd, code = EXIT_FAILURE;
    size_t text_at;
    if (!quarantine_open_id(request, id, &file, &arena, &entry, &fd, &text_at))
        return EXIT_FAILURE;
    buf_init(&said, SAID_MAX);
    if (may_release(request, &file)) {
        int r = file.state == QUARANTINE_RELEASING ? 0
                                                   : quarantine_rename(request->folder_fd, &file, QUARANTINE_RELEASING);
        if (r < 0)
            code = quarantine_fail("%s: %s", id, r == -ENOENT ? "somebody else is at it" : strerror(-r));
        else
            code = settle(request, &file, hand_entry_on(request, &entry, fd, text_at, &said), &said);
    }
    close(fd);
    buf_deinit(&said);
    arena_reset(&arena);
    return code;
}

int quarantine_release(struct quarantine_request *request) {
    int code = EXIT_SUCCESS;
    for (int i = 0; i < request->n_args; i++)
        if (release_one(request, request->args[i]) != EXIT_SUCCESS)
            code = EXIT_FAILURE;
    return code;
}

/* ---- delete, expire */

static int delete_one(const struct quarantine_request *request, const char *id) {
    struct quarantine_file file;
    int r = quarantine_find(request->folder_fd, id, request->now, &file);
    if (r > 0 && file.state == QUARANTINE_PENDING)
        return quarantine_fail("%s: its sender still waits for our answer; try again in a while", id);
    if (r > 0 && file.state == QUARANTINE_RELEASING && !request->again)
        return quarantine_fail("%s: it is being released, or that was cut off; --again deletes it all the same", id);
    if (r > 0)
        r = quarantine_remove(request->folder_fd, file.name);
    else if (r == 0)
        r = -ENOENT;
    if (r < 0)
        return quarantine_fail("%s: %s", id, r == -ENOENT ? "there is no such message" : strerror(-r));
    printf("%s: deleted\n", id);
    return EXIT_SUCCESS;
}

int quarantine_delete(struct quarantine_request *request) {
    int code = EXIT_SUCCESS;
    for (int i = 0; i < request->n_args; i++)
        if (delete_one(request, request->args[i]) != EXIT_SUCCESS)
            code = EXIT_FAILURE;
    return code;
}

int quarantine_expire_old(struct quarantine_request *request) {
    uint64_t keep_s = request->conf->set.quarantine.keep / 1000;
    if (keep_s == 0) {
        printf("nothing expires (keep 0)\n");
        return EXIT_SUCCESS;
    }
    long n = quarantine_expire(request->folder_fd, request->now - (int64_t)keep_s, request->now);
    if (n < 0)
        return quarantine_fail("%s: %s", request->conf->set.quarantine.path, strerror((int)-n));
    printf("%ld removed\n", n);
    return EXIT_SUCCESS;
}
