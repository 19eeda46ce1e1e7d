/*
 * quarantine_show: what is kept, as lines, as one message, as JSON.
 *
 * All that is printed was written by senders: control characters and bytes outside ASCII become '?', so that no list
 * does anything to a terminal.
 */
#include "cmd/quarantine.h"

#include "base/clock.h"
#include "cmd/json_line.h"
#include "mime/parameter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHOWN_HEAD = 65536, FIELD_MAX = 120, COPY = 65536 };

/* ---- choosing */

struct selection {
    const struct quarantine_request *request;
    struct quarantine_file *files;
    size_t n, cap;
};

static bool is_for(const struct quarantine_entry *entry, struct str recipient, struct str domain) {
    for (size_t i = 0; i < entry->n_recipients; i++) {
        struct str its = entry->recipients[i];
        bool is_it = recipient.len == 0 || str_eq_nocase(its, recipient)
            || str_eq_nocase(entry->addresses[i], recipient);
        if (is_it && (domain.len == 0 || str_eq_nocase(str_from(its, str_find_last(its, '@') + 1), domain)))
            return true;
    }
    return false;
}

static bool is_asked_for(const struct quarantine_request *request, const struct quarantine_entry *entry) {
    if (request->kind != NULL && !str_eq_nocase(entry->kind, str_of(request->kind)))
        return false;
    if (request->sender != NULL && !str_eq_nocase(entry->sender, str_of(request->sender)))
        return false;
    return is_for(entry, str_of(request->recipient), str_of(request->domain));
}

static int on_file(void *arg, const struct quarantine_file *file) {
    struct selection *selection = arg;
    if (file->state == QUARANTINE_PENDING || file->written < selection->request->since)
        return 0;
    if (selection->n == selection->cap) {
        size_t cap = selection->cap > 0 ? 2 * selection->cap : 256;
        struct quarantine_file *files = reallocarray(selection->files, cap, sizeof(*files));
        if (files == NULL)
            return -ENOMEM;
        selection->files = files;
        selection->cap = cap;
    }
    selection->files[selection->n++] = *file;
    return 0;
}

/* SESSION.NUMBER: of one session the tenth comes behind the second. */
static int by_id(const void *a, const void *b) {
    const struct quarantine_file *one = a, *other = b;
    size_t session = strcspn(one->id, "."), len = strlen(one->id), other_len = strlen(other->id);
    if (strncmp(one->id, other->id, session + 1) == 0 && len != other_len)
        return len < other_len ? -1 : 1;
    return strcmp(one->id, other->id);
}

static void fail_malformed(const char *name, const struct quarantine_entry *entry) {
    if (entry->malformed != NULL)
        quarantine_fail("%s: the field '%s' is malformed; nothing is done with this file", name, entry->malformed);
    else
        quarantine_fail("%s: not a file of the quarantine", name);
}

long quarantine_select(const struct quarantine_request *request, struct quarantine_file **ret_files) {
    struct selection selection = { .request = request };
    int r = quarantine_each(request->folder_fd, request->now, on_file, &selection);
    if (r < 0) {
        free(selection.files);
        return r;
    }
    size_t n = 0;
    for (size_t i = 0; i < selection.n; i++) {
        struct arena arena = { 0 };
        struct quarantine_entry entry;
        size_t text_at;
        int fd = quarantine_open(request->folder_fd, selection.files[i].name, &arena, &entry, &text_at);
        if (fd >= 0 && is_asked_for(request, &entry))
            selection.files[n++] = selection.files[i];
        else if (fd == -EBADMSG)
            fail_malformed(selection.files[i].name, &entry);
        if (fd >= 0)
            close(fd);
        arena_reset(&arena);
    }
    if (n > 0)
        qsort(selection.files, n, sizeof(*selection.files), by_id);
    *ret_files = selection.files;
    return (long)n;
}

bool quarantine_open_id(const struct quarantine_request *request, const char *id, struct quarantine_file *file,
                        struct arena *arena, struct quarantine_entry *entry, int *ret_fd, size_t *ret_text_at) {
    int r = quarantine_find(request->folder_fd, id, request->now, file);
    if (r > 0)
        r = quarantine_open(request->folder_fd, file->name, arena, entry, ret_text_at);
    else if (r == 0)
        r = -ENOENT;
    if (r < 0) {
        if (r == -EBADMSG)
            fail_malformed(file->name, entry);
        else
            quarantine_fail("%s: %s", id, r == -ENOENT ? "there is no such message" : strerror(-r));
        return false;
    }
    *ret_fd = r;
    return true;
}

/* ---- what senders wrote */

static void print_clean(struct str text, size_t max) {
    for (size_t i = 0; i < text.len && i < max; i++)
        putchar(text.at[i] >= ' ' && text.at[i] < 127 ? text.at[i] : '?');
}

/* Unfolded; "" where the field is not in the header. */
static size_t find_field(struct str rest, struct str name, char out[PARAMETER_TEXT_MAX]) {
    size_t len = 0;
    bool is_it = false;
    while (rest.len > 0 && rest.at[0] != '\r' && rest.at[0] != '\n') {
        size_t end = str_find(rest, '\n'), colon = str_find(str_head(rest, end), ':');
        struct str line = str_trim(str_head(rest, end));
        bool is_fold = rest.at[0] == ' ' || rest.at[0] == '\t';
        if (is_it && !is_fold)
            break;
        if (!is_it && !is_fold && colon < end && str_eq_nocase(str_trim(str_head(rest, colon)), name)) {
            is_it = true;
            line = str_trim(str_from(str_head(rest, end), colon + 1));
        }
        if (len > 0 && len < PARAMETER_TEXT_MAX)
            out[len++] = ' ';
        for (size_t i = 0; is_it && i < line.len && len < PARAMETER_TEXT_MAX; i++)
            out[len++] = line.at[i];
        rest = str_from(rest, end + 1);
    }
    return len;
}

void quarantine_field(int fd, size_t text_at, const char *name, char *out, size_t size) {
    char *head = malloc(SHOWN_HEAD), value[PARAMETER_TEXT_MAX], text[PARAMETER_TEXT_MAX];
    ssize_t n = head != NULL ? pread(fd, head, SHOWN_HEAD, (off_t)text_at) : 0;
    size_t found = find_field((struct str){ head, n > 0 ? (size_t)n : 0 }, str_of(name), value), len = 0;
    size_t text_len = encoded_words_decode((struct str){ value, found }, text, sizeof(text));
    for (size_t i = 0; i < text_len && len + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x80 || c > 0xbf) /* of a character in UTF-8 the first byte stands for all */
            out[len++] = c >= ' ' && c < 127 ? (char)c : '?';
    }
    out[len] = '\0';
    free(head);
}

/* ---- list */

static int print_line(const struct quarantine_file *file, const struct quarantine_entry *entry, const char *subject) {
    printf("%-20s %-9s ", file->id, quarantine_state_names[file->state]);
    print_clean(str_head(entry->time, 19), 19);
    printf(" %-10.*s %8llu ", STR_ARG(entry->kind), (unsigned long long)file->size); /* kind: a word */
    print_clean(entry->sender.len > 0 ? entry->sender : STR("<>"), 64);
    printf(" -> ");
    print_clean(entry->recipients[0], 64);
    if (entry->n_recipients > 1)
        printf(" and %zu more", entry->n_recipients - 1);
    printf("  %s\n", subject);
    return 0;
}

static int print_json(const struct quarantine_file *file, const struct quarantine_entry *entry, const char *subject) {
    struct json_line json;
    struct record *r = &json.record;
    json_line_begin(&json);
    record_str(r, "id", str_of(file->id));
    record_str(r, "state", str_of(quarantine_state_names[file->state]));
    record_str(r, "time", entry->time);
    record_u64(r, "bytes", file->size);
    record_str(r, "host", entry->host);
    record_str(r, "client", entry->client);
    record_str(r, "helo", entry->helo);
    record_str(r, "sender", entry->sender);
    record_open(r, "recipients", '[');
    for (size_t i = 0; i < entry->n_recipients; i++)
        record_str(r, NULL, entry->recipients[i]);
    record_close(r, ']');
    record_str(r, "kind", entry->kind);
    record_str(r, "rule", entry->rule);
    record_str(r, "action", entry->action);
    record_str(r, "details", entry->details);
    record_str(r, "subject", str_of(subject));
    return json_line_end(&json);
}

int quarantine_list(struct quarantine_request *request) {
    struct quarantine_file *files = NULL;
    int code = EXIT_SUCCESS;
    long n = quarantine_select(request, &files);
    if (n < 0)
        return quarantine_fail("%s: %s", request->conf->set.quarantine.path, strerror((int)-n));
    for (long i = 0; i < n; i++) {
        struct arena arena = { 0 };
        struct quarantine_entry entry;
        size_t text_at;
        char subject[FIELD_MAX];
        int fd = quarantine_open(request->folder_fd, files[i].name, &arena, &entry, &text_at);
        if (fd >= 0) {
            quarantine_field(fd, text_at, "Subject", subject, sizeof(subject));
            if ((request->is_json ? print_json : print_line)(&files[i], &entry, subject) < 0)
                code = EXIT_FAILURE;
            close(fd);
        }
        arena_reset(&arena);
    }
    free(files);
    return code;
}

/* ---- show */

static void print_entry(const struct quarantine_file *file, const struct quarantine_entry *entry) {
    printf("id          %s\nstate       %s\ntime        ", file->id, quarantine_state_names[file->state]);
    const struct {
        const char *title;
        struct str value;
    } lines[] = { { "", entry->time },         { "host", entry->host }, { "client", entry->client },
                  { "helo", entry->helo },     { "sender", entry->sender.len > 0 ? entry->sender : STR("<>") },
                  { "kind", entry->kind },     { "rule", entry->rule }, { "action", entry->action },
                  { "details", entry->details } };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (i > 0)
            printf("%-11s ", lines[i].title);
        print_clean(lines[i].value, 2000);
        putchar('\n');
    }
    for (size_t i = 0; i < entry->n_recipients; i++) {
        printf("recipient   ");
        print_clean(entry->recipients[i], 320);
        if (!str_eq(entry->addresses[i], entry->recipients[i])) {
            printf(" as ");
            print_clean(entry->addresses[i], 320);
        }
        putchar('\n');
    }
    putchar('\n');
}

/* The header of the message, or with --raw all of it, byte for byte. */
static int print_message(int fd, size_t text_at, bool is_raw) {
    char *piece = malloc(COPY);
    off_t at = (off_t)text_at;
    int r = piece != NULL ? 0 : -ENOMEM;
    bool is_line_empty = false;
    for (ssize_t n; r == 0 && (n = pread(fd, piece, COPY, at)) != 0; at += n) {
        if (n < 0) {
            r = -errno;
            break;
        }
        if (is_raw) {
            fwrite(piece, 1, (size_t)n, stdout);
            continue;
        }
        for (ssize_t i = 0; i < n; i++) {
            if (piece[i] == '\n' && is_line_empty)
                goto out;
            is_line_empty = piece[i] == '\n' || (is_line_empty && piece[i] == '\r');
            if (piece[i] != '\r')
                putchar((piece[i] >= ' ' && piece[i] < 127) || piece[i] == '\n' || piece[i] == '\t' ? piece[i] : '?');
        }
    }
out:
    free(piece);
    return r;
}

int quarantine_show(struct quarantine_request *request) {
    struct quarantine_file file;
    struct quarantine_entry entry;
    struct arena arena = { 0 };
    int fd, code = EXIT_FAILURE;
    size_t text_at;
    if (quarantine_open_id(request, request->args[0], &file, &arena, &entry, &fd, &text_at)) {
        char subject[FIELD_MAX];
        quarantine_field(fd, text_at, "Subject", subject, sizeof(subject));
        if (!request->is_json && !request->is_raw)
            print_entry(&file, &entry);
        int r = request->is_json ? print_json(&file, &entry, subject) : print_message(fd, text_at, request->is_raw);
        if (r < 0 && !request->is_json)
            quarantine_fail("%s: %s", file.id, strerror(-r));
        code = r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        close(fd);
    }
    arena_reset(&arena);
    return code;
}
