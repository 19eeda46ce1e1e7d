/*
 * files: the life of a journal file, seen from the master.
 *
 * A file is opened, written by one worker, closed at rotation, compressed, and removed when it is old. All that has to
 * be known about one stands in its name (when it was begun and by which process), so there is no index that could
 * disagree with the folder, and an administrator may move, copy or remove files at will. Only names of our own form are
 * touched.
 *
 * Compressing and removing block, for seconds on a large file: a child process does both (journal_files_tidy), with
 * buffers of libzstd's choosing (some 100 KiB) and a context of a few MiB, whatever the size of the file. The copy is
 * written beside, synced, and renamed before the original goes: a crash leaves the original, or both, never neither.
 *
 * A file is live while some process may write to it: whoever opens it holds a lock that ends with the last copy of the
 * descriptor, so no list of live files has to be kept, which could be wrong. A file begun in the last minute is left
 * alone too: its lock may not be there yet.
 *
 * Rejected: compressing in the worker (the last block is lost with it), gzip (three times the size or the time).
 */
#include "journal/files.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

enum { LEVEL = 3, NAME_TRIES = 60, RECENT_SECONDS = 60, SECONDS_A_DAY = 86400 };

enum kind {
    KIND_OTHER,      /* not ours */
    KIND_PLAIN,      /* .jsonl */
    KIND_COMPRESSED, /* .jsonl.zst */
    KIND_UNFINISHED, /* .jsonl.zst.tmp, left by a child that died */
};

/* --- names --- */

/* `text` against a form in which 0 stands for a digit. */
static bool has_form(const char *text, const char *form) {
    for (; *form; text++, form++) {
        if (*form == '0' ? *text < '0' || *text > '9' : *text != *form)
            return false;
    }
    return true;
}

static int two_digits(const char *at) {
    return (at[0] - '0') * 10 + (at[1] - '0');
}

/* What a file name (without folder) says, with the second in which the file was begun. */
static enum kind parse_name(const char *name, uint64_t *ret_second) {
    static const char form[] = "postern-00000000-000000-";
    if (!has_form(name, form))
        return KIND_OTHER;
    const char *digits = name + strlen("postern-");
    struct tm tm = {
        .tm_year = two_digits(digits) * 100 + two_digits(digits + 2) - 1900,
        .tm_mon = two_digits(digits + 4) - 1,
        .tm_mday = two_digits(digits + 6),
        .tm_hour = two_digits(digits + 9),
        .tm_min = two_digits(digits + 11),
        .tm_sec = two_digits(digits + 13),
    };
    time_t second = timegm(&tm);
    const char *end = name + strlen(form);
    size_t process = strspn(end, "0123456789");
    end += process;
    if (process == 0 || second < 0)
        return KIND_OTHER;
    *ret_second = (uint64_t)second;
    if (strcmp(end, ".jsonl") == 0)
        return KIND_PLAIN;
    if (strcmp(end, ".jsonl.zst") == 0)
        return KIND_COMPRESSED;
    return strcmp(end, ".jsonl.zst.tmp") == 0 ? KIND_UNFINISHED : KIND_OTHER;
}

bool journal_files_parse(const char *name, uint64_t *ret_begun_ms, unsigned *ret_process) {
    uint64_t second;
    enum kind kind = parse_name(name, &second);
    unsigned process = 0;
    if (kind != KIND_PLAIN && kind != KIND_COMPRESSED)
        return false;
    for (const char *digit = name + strlen("postern-00000000-000000-"); *digit != '.'; digit++)
        process = process * 10 + (unsigned)(*digit - '0');
    *ret_begun_ms = second * 1000;
    *ret_process = process;
    return true;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int format_path(struct buf *out, const char *dir, uint64_t second, unsigned process) {
    time_t s = (time_t)second;
    struct tm tm;
    if (!gmtime_r(&s, &tm))
        return -EOVERFLOW;
    buf_clear(out);
    int r = buf_putf(out, "%s/postern-%04d%02d%02d-%02d%02d%02d-%03u.jsonl", dir, tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, process);
    return r < 0 ? r : buf_putc(out, '\0');
}

/* --- opening --- */

int journal_files_open(const char *dir, unsigned process, uint64_t wall_ms, struct buf *ret_path) {
    /* Two rotations within a second would meet under one name: the later takes the name of the next free second. */
    for (uint64_t i = 0; i < NAME_TRIES; i++) {
        int r = format_path(ret_path, dir, wall_ms / 1000 + i, process);
        if (r < 0)
            return r;
        int fd = open(ret_path->at, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return -errno;
        ret_path->len--; /* the NUL stays behind the text */
        if (fchmod(fd, 0640) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
            r = -errno;
            close(fd);
            return r;
        }
        return fd;
    }
    return -EEXIST;
}

uint64_t journal_files_newest_ms(const char *dir) {
    DIR *folder = opendir(dir);
    uint64_t newest_ms = 0, second;
    struct stat st;
    if (folder == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (parse_name(entry->d_name, &second) == KIND_OTHER || fstatat(dirfd(folder), entry->d_name, &st, 0) < 0)
            continue;
        uint64_t written_ms = (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
        newest_ms = written_ms > newest_ms ? written_ms : newest_ms;
    }
    closedir(folder);
    return newest_ms;
}

bool journal_files_is_due(const char *path, uint64_t max_size, uint64_t wall_ms) {
    struct stat st;
    uint64_t begun;
    if (stat(path, &st) < 0)
        return true; /* taken away under us: what is written there now is lost */
    if (max_size > 0 && (uint64_t)st.st_size > max_size)
        return true;
    return parse_name(base_name(path), &begun) != KIND_OTHER && begun / SECONDS_A_DAY < wall_ms / 1000 / SECONDS_A_DAY;
}

/* --- compressing --- */

struct packer {
    ZSTD_CCtx *context;
    char *in, *out;
    size_t in_size, out_size;
};

static void packer_deinit(struct packer *packer) {
    ZSTD_freeCCtx(packer->context);
    free(packer->in);
    free(packer->out);
}

static int packer_init(struct packer *packer) {
    *packer = (struct packer){ .in_size = ZSTD_CStreamInSize(), .out_size = ZSTD_CStreamOutSize() };
    packer->context = ZSTD_createCCtx();
    packer->in = malloc(packer->in_size);
    packer->out = malloc(packer->out_size);
    if (!packer->context || !packer->in || !packer->out) {
        packer_deinit(packer);
        return -ENOMEM;
    }
    ZSTD_CCtx_setParameter(packer->context, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(packer->context, ZSTD_c_checksumFlag, 1);
    return 0;
}

/* Hands `len` bytes of packer->in to libzstd and writes what comes out; the last call ends the frame. */
static int pack_block(struct packer *packer, int to, size_t len, bool is_last) {
    ZSTD_inBuffer in = { packer->in, len, 0 };
    size_t left;
    do {
        ZSTD_outBuffer out = { packer->out, packer->out_size, 0 };
        left = ZSTD_compressStream2(packer->context, &out, &in, is_last ? ZSTD_e_end : ZSTD_e_continue);
        int r = ZSTD_isError(left) ? -EIO : file_write(to, packer->out, out.pos);
        if (r < 0)
            return r;
    } while (is_last ? left > 0 : in.pos < in.size);
    return 0;
}

static int pack(int from, int to) {
    struct packer packer;
    ssize_t n;
    int r = packer_init(&packer);
    if (r < 0)
        return r;
    do {
        do
            n = read(from, packer.in, packer.in_size);
        while (n < 0 && errno == EINTR);
        r = n < 0 ? -errno : pack_block(&packer, to, (size_t)n, n == 0);
    } while (r == 0 && n > 0);
    packer_deinit(&packer);
    return r;
}

/* Packs `from` into `path`, which is on disk when this returns 0 and is gone when it does not. */
static int pack_to(int from, const char *path) {
    struct stat st;
    if (fstat(from, &st) < 0)
        return -errno;
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (to < 0)
        return -errno;
    const struct timespec times[] = { st.st_atim, st.st_mtim };
    int r = pack(from, to);
    if (r == 0 && (fchmod(to, st.st_mode & 0777) < 0 || futimens(to, times) < 0 || fsync(to) < 0))
        r = -errno;
    if (close(to) < 0 && r == 0)
        r = -errno;
    if (r < 0)
        unlink(path);
    return r;
}

/* Makes the names in the folder of `path` outlive a crash. */
static int sync_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!dir)
        return -ENOMEM;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    free(dir);
    return r;
}

static int compress_names(const char *path, const char *packed, const char *unfinished) {
    int from = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return -errno;
    if (flock(from, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        close(from); /* live: another time */
        return 0;
    }
    int r = pack_to(from, unfinished);
    close(from);
    if (r < 0)
        return r;
    if (rename(unfinished, packed) < 0) {
        r = -errno;
        unlink(unfinished);
        return r;
    }
    r = sync_folder_of(path);
    if (r == 0 && unlink(path) < 0)
        r = -errno;
    return r;
}

int journal_files_compress(const char *path) {
    char *packed = NULL, *unfinished = NULL;
    int r = -ENOMEM;
    if (asprintf(&packed, "%s.zst", path) < 0) {
        packed = NULL;
        goto out;
    }
    if (asprintf(&unfinished, "%s.zst.tmp", path) < 0) {
        unfinished = NULL;
        goto out;
    }
    r = compress_names(path, packed, unfinished);
out:
    free(packed);
    free(unfinished);
    return r;
}

/* --- tidying --- */

/* Files are kept while their day is one of the last keep_days before that of `wall_ms`; 0 keeps all. */
static bool is_expired(uint64_t begun, unsigned keep_days, uint64_t wall_ms) {
    return keep_days > 0 && begun / SECONDS_A_DAY + keep_days < wall_ms / 1000 / SECONDS_A_DAY;
}

static int tidy_file(const char *dir, const char *name, uint64_t begun, enum kind kind, unsigned keep_days,
                     uint64_t wall_ms) {
    char *path;
    int r = 0;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return -ENOMEM;
    if (is_expired(begun, keep_days, wall_ms))
        r = unlink(path) < 0 ? -errno : 0;
    else if (kind == KIND_PLAIN)
        r = journal_files_compress(path);
    free(path);
    return r;
}

int journal_files_tidy(const char *dir, unsigned keep_days, uint64_t wall_ms) {
    int first = 0;
    struct dirent *entry;
    DIR *folder = opendir(dir);
    if (!folder)
        return -errno;
    while ((entry = readdir(folder))) {
        uint64_t begun;
        enum kind kind = parse_name(entry->d_name, &begun);
        if (kind == KIND_OTHER)
            continue;
        if (kind == KIND_PLAIN && begun + RECENT_SECONDS > wall_ms / 1000)
            continue;
        int r = tidy_file(dir, entry->d_name, begun, kind, keep_days, wall_ms);
        if (r < 0 && r != -ENOENT && first == 0)
            first = r;
    }
    closedir(folder);
    return first;
}
