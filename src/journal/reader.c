/*
 * reader: which records does the journal hold?
 *
 * There is no index: a file's name says when it was begun and by which process, its time of change when it ended
 * (compressing keeps that), and an id says when its session began and in which process. So a report since an hour ago
 * opens the files of the last hour, and `postern explain ID` those that one process wrote while the session lived.
 * A folder that was copied may have lost the times of change: then more files are opened, none is missed.
 *
 * A session outlives no day (SESSION_MAX_MS), and clocks that are set, or ids that borrow from the future, differ by
 * less than SLACK_MS. Within a file lines are compared as bytes before one is parsed.
 *
 * Rejected: merging files by time. Reports count, and explain looks for one line; who needs order can sort by time.
 */
#include "journal/reader.h"

#include "base/buf.h"
#include "journal/files.h"
#include "journal/id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum { READ_SIZE = 256 * 1024, SLACK_MS = 120 * 1000, SESSION_MAX_MS = 24 * 3600 * 1000, FILES_MAX = 1 << 20 };

/* ---- lines */

struct lines {
    struct buf text; /* of the line that is not whole yet */
    bool is_skipping; /* the rest of a line that is too long */
    journal_line_fn *fn;
    void *arg;
};

static int end_line(struct lines *lines, char *at, size_t len) {
    if (lines->is_skipping) {
        lines->is_skipping = false;
        return 0;
    }
    if (lines->text.len == 0)
        return len > JOURNAL_LINE_MAX ? 0 : lines->fn(lines->arg, at, len);
    int r = buf_put(&lines->text, at, len);
    if (r == 0)
        r = lines->fn(lines->arg, lines->text.at, lines->text.len);
    buf_clear(&lines->text);
    return r == -ENOBUFS ? 0 : r;
}

static int take_bytes(struct lines *lines, char *at, size_t len) {
    for (char *lf; len > 0 && (lf = memchr(at, '\n', len)) != NULL;) {
        size_t line = (size_t)(lf - at);
        int r = end_line(lines, at, line);
        if (r != 0)
            return r;
        at += line + 1;
        len -= line + 1;
    }
    if (len == 0 || lines->is_skipping)
        return 0;
    int r = buf_put(&lines->text, at, len);
    if (r == -ENOBUFS) {
        lines->is_skipping = true;
        buf_clear(&lines->text);
        r = 0;
    }
    return r;
}

/* ---- files */

static ssize_t read_some(int fd, char *at) {
    ssize_t n;
    do
        n = read(fd, at, READ_SIZE);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int read_plain(int fd, struct lines *lines) {
    char *at = malloc(READ_SIZE);
    int r = at == NULL ? -ENOMEM : 0;
    ssize_t n = 1;
    while (r == 0 && n > 0) {
        n = read_some(fd, at);
        r = n < 0 ? (int)n : take_bytes(lines, at, (size_t)n);
    }
    free(at);
    return r;
}

static int unpack(ZSTD_DCtx *context, ZSTD_inBuffer *in, char *at, struct lines *lines, bool *ret_is_whole) {
    int r = 0;
    while (r == 0 && in->pos < in->size) {
        ZSTD_outBuffer out = { at, READ_SIZE, 0 };
        size_t left = ZSTD_decompressStream(context, &out, in);
        if (ZSTD_isError(left))
            return -EBADMSG;
        *ret_is_whole = left == 0;
        r = take_bytes(lines, at, out.pos);
    }
    return r;
}

static int read_packed(int fd, struct lines *lines) {
    ZSTD_DCtx *context = ZSTD_createDCtx();
    char *from = malloc(READ_SIZE), *to = malloc(READ_SIZE);
    int r = context == NULL || from == NULL || to == NULL ? -ENOMEM : 0;
    bool is_whole = true;
    ssize_t n = 1;
    while (r == 0 && n > 0) {
        n = read_some(fd, from);
        ZSTD_inBuffer in = { from, n > 0 ? (size_t)n : 0, 0 };
        r = n < 0 ? (int)n : unpack(context, &in, to, lines, &is_whole);
    }
    free(from);
    free(to);
    ZSTD_freeDCtx(context);
    return r == 0 && !is_whole ? -EBADMSG : r;
}

int journal_read_file(const char *path, journal_line_fn *fn, void *arg) {
    struct lines lines = { .fn = fn, .arg = arg };
    buf_init(&lines.text, JOURNAL_LINE_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = str_ends_nocase(str_of(path), STR(".zst")) ? read_packed(fd, &lines) : read_plain(fd, &lines);
    close(fd);
    buf_deinit(&lines.text);
    return r;
}

/* ---- folders */

struct file {
    char *path;
    uint64_t begun_ms, written_ms;
    unsigned process;
};

struct folder {
    struct file *files;
    size_t n;
};

static void folder_deinit(struct folder *folder) {
    for (size_t i = 0; i < folder->n; i++)
        free(folder->files[i].path);
    free(folder->files);
    *folder = (struct folder){ 0 };
}

static int add_file(struct folder *folder, const char *dir, const char *name) {
    struct file file = { 0 };
    struct stat st;
    if (!journal_files_parse(name, &file.begun_ms, &file.process) || folder->n == FILES_MAX)
        return 0;
    if (asprintf(&file.path, "%s/%s", dir, name) < 0)
        return -ENOMEM;
    struct file *files = stat(file.path, &st) < 0 ? NULL : reallocarray(folder->files, folder->n + 1, sizeof(file));
    if (files == NULL) {
        free(file.path);
        return errno == ENOENT ? 0 : -errno; /* removed since, or renamed: then its other name comes */
    }
    file.written_ms = (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
    folder->files = files;
    folder->files[folder->n++] = file;
    return 0;
}

static int by_name(const void *a, const void *b) {
    const struct file *one = a, *other = b;
    return strcmp(one->path, other->path);
}

/* While a file is compressed it is there twice, for a moment: the plain one stands first, and counts. */
static void drop_copies(struct folder *folder) {
    size_t kept = 0;
    for (size_t i = 0; i < folder->n; i++) {
        struct file *file = &folder->files[i];
        const struct file *last = kept > 0 ? &folder->files[kept - 1] : NULL;
        if (last != NULL && strncmp(last->path, file->path, strlen(last->path)) == 0)
            free(file->path);
        else
            folder->files[kept++] = *file;
    }
    folder->n = kept;
}

static int list_folder(const char *dir, struct folder *ret_folder) {
    DIR *entries = opendir(dir);
    int r = 0;
    *ret_folder = (struct folder){ 0 };
    if (entries == NULL)
        return -errno;
    for (struct dirent *entry; r == 0 && (entry = readdir(entries)) != NULL;)
        r = add_file(ret_folder, dir, entry->d_name);
    closedir(entries);
    if (r < 0) {
        folder_deinit(ret_folder);
        return r;
    }
    if (ret_folder->n > 0)
        qsort(ret_folder->files, ret_folder->n, sizeof(*ret_folder->files), by_name);
    drop_copies(ret_folder);
    return 0;
}

int journal_read(const char *dir, uint64_t since_ms, journal_line_fn *fn, void *arg) {
    struct folder folder;
    int first = list_folder(dir, &folder), r = 0;
    if (first < 0)
        return first;
    for (size_t i = 0; i < folder.n && r <= 0; i++) {
        if (folder.files[i].written_ms + SLACK_MS < since_ms)
            continue;
        r = journal_read_file(folder.files[i].path, fn, arg);
        if (r < 0 && r != -ENOENT && first == 0)
            first = r;
    }
    folder_deinit(&folder);
    return r > 0 ? r : first;
}

/* ---- one record */

struct search {
    char wanted[64]; /* "id":"ID.n" or "id":"ID. */
    size_t wanted_len;
    char *line;
    size_t len;
};

static int look_at(void *arg, char *line, size_t len) {
    struct search *search = arg;
    if (memmem(line, len, search->wanted, search->wanted_len) == NULL)
        return 0;
    search->line = malloc(len > 0 ? len : 1);
    if (search->line == NULL)
        return -ENOMEM;
    memcpy(search->line, line, len);
    search->len = len;
    return 1;
}

static bool can_hold(const struct file *file, uint64_t id_ms) {
    return file->written_ms + SLACK_MS >= id_ms && file->begun_ms <= id_ms + SLACK_MS + SESSION_MAX_MS;
}

/* The files of this process, or all others. */
static int search_files(const struct folder *folder, uint64_t id_ms, unsigned process, bool is_same,
                        struct search *search) {
    int first = 0;
    for (size_t i = 0; i < folder->n; i++) {
        const struct file *file = &folder->files[i];
        if (!can_hold(file, id_ms) || ((file->process & 255) == process) != is_same)
            continue;
        int r = journal_read_file(file->path, look_at, search);
        if (r > 0)
            return r;
        if (r < 0 && r != -ENOENT && first == 0)
            first = r;
    }
    return first;
}

/* ---- one that was counted in another */

struct folded_search {
    const char *id; /* of the session: ID_LEN characters */
    journal_line_fn *fn;
    void *arg;
};

/* The session part of the id that follows `key` in a line; NULL: none does. */
static const char *session_after(const char *line, size_t len, struct str key) {
    const char *at = memmem(line, len, key.at, key.len);
    return at != NULL && (size_t)(line + len - at) >= key.len + ID_LEN ? at + key.len : NULL;
}

/* Ids sort by time. */
static int look_at_folded(void *arg, char *line, size_t len) {
    const struct folded_search *search = arg;
    const char *first = session_after(line, len, STR("\"id\":\""));
    const char *last = session_after(line, len, STR("\"last_id\":\""));
    if (first == NULL || last == NULL || memcmp(search->id, first, ID_LEN) < 0 || memcmp(search->id, last, ID_LEN) > 0)
        return 0;
    return search->fn(search->arg, line, len);
}

int journal_find_folded(const char *dir, const char *id, journal_line_fn *fn, void *arg) {
    struct folder folder;
    uint64_t id_ms;
    unsigned process;
    char clean[ID_TEXT_MAX + 1];
    if (id_clean(id, clean) < 0 || id_parse(clean, &id_ms, &process) < 0)
        return -EINVAL;
    int first = list_folder(dir, &folder), r = 0;
    if (first < 0)
        return first;
    struct folded_search search = { .id = clean, .fn = fn, .arg = arg };
    for (size_t i = 0; i < folder.n && r <= 0; i++) {
        const struct file *file = &folder.files[i];
        if (!can_hold(file, id_ms) || (file->process & 255) != process)
            continue;
        r = journal_read_file(file->path, look_at_folded, &search);
        if (r < 0 && r != -ENOENT && first == 0)
            first = r;
    }
    folder_deinit(&folder);
    return r > 0 ? r : first;
}

int journal_find(const char *dir, const char *id, char **ret_line, size_t *ret_len) {
    struct search search = { 0 };
    struct folder folder;
    uint64_t id_ms;
    unsigned process;
    char clean[ID_TEXT_MAX + 1];
    if (id_clean(id, clean) < 0 || id_parse(clean, &id_ms, &process) < 0)
        return -EINVAL;
    size_t len = strlen(clean);
    search.wanted_len = (size_t)snprintf(search.wanted, sizeof(search.wanted), "\"id\":\"%s%s", clean,
                                         len > ID_LEN + 1 ? "\"" : len > ID_LEN ? "" : ".");
    int r = list_folder(dir, &folder);
    if (r < 0)
        return r;
    int same = search_files(&folder, id_ms, process, true, &search);
    r = same > 0 ? same : search_files(&folder, id_ms, process, false, &search);
    folder_deinit(&folder);
    if (r <= 0)
        return r < 0 ? r : same;
    *ret_line = search.line;
    *ret_len = search.len;
    return 1;
}
