/*
 * folder: see the header.
 *
 * Rejected: a database beside the files (two truths, of which one is always the wrong one after a crash, and a process
 * to own it), and folders by day (a change of state would be a move, which Landlock has no right for in its first
 * version). A hundred thousand files in one folder are listed in a second.
 */
#include "quarantine/folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const quarantine_state_names[] = {
    [QUARANTINE_KEPT] = "kept", [QUARANTINE_PENDING] = "pending", [QUARANTINE_UNCERTAIN] = "uncertain",
    [QUARANTINE_RELEASING] = "releasing", [QUARANTINE_RELEASED] = "released",
};

static const struct ending {
    struct str text;
    enum quarantine_state state;
} endings[] = {
    { STR_INIT(".mail"), QUARANTINE_KEPT }, { STR_INIT(".pending"), QUARANTINE_PENDING },
    { STR_INIT(".releasing"), QUARANTINE_RELEASING }, { STR_INIT(".released"), QUARANTINE_RELEASED },
};

/* An id is word characters and one dot; whatever else lies in the folder is not ours. */
static bool is_id(struct str id) {
    bool has_dot = false;
    for (size_t i = 0; i < id.len; i++) {
        if (id.at[i] == '.' && !has_dot && i > 0)
            has_dot = true;
        else if (!isalnum((unsigned char)id.at[i]))
            return false;
    }
    return has_dot && id.len > 2 && id.at[id.len - 1] != '.';
}

/* False: no name of ours. */
static bool parse_name(const char *name, struct quarantine_file *file) {
    struct str whole = str_of(name);
    if (whole.len >= QUARANTINE_NAME_MAX)
        return false;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (!str_ends_nocase(whole, endings[i].text))
            continue;
        struct str id = str_head(whole, whole.len - endings[i].text.len);
        if (endings[i].state == QUARANTINE_PENDING)
            id = str_head(id, str_find_last(id, '.')); /* without the hash */
        if (!is_id(id))
            return false;
        file->state = endings[i].state;
        snprintf(file->name, sizeof(file->name), "%s", name);
        snprintf(file->id, sizeof(file->id), "%.*s", STR_ARG(id));
        return true;
    }
    return false;
}

/* NULL: errno says why. */
static DIR *open_folder(int folder_fd) {
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0) {
        int r = errno;
        close(fd);
        errno = r;
    }
    return dir;
}

static bool is_file(int folder_fd, const char *name, struct stat *info) {
    return fstatat(folder_fd, name, info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info->st_mode);
}

int quarantine_each_named(int folder_fd, struct str ending, int64_t now, quarantine_file_fn *fn, void *arg) {
    DIR *dir = open_folder(folder_fd);
    int r = dir != NULL ? 0 : -errno;
    if (dir == NULL)
        return r;
    for (const struct dirent *entry; r == 0 && (errno = 0, entry = readdir(dir)) != NULL;) {
        struct quarantine_file file;
        struct stat info;
        if (!str_ends_nocase(str_of(entry->d_name), ending) || !parse_name(entry->d_name, &file)
            || !is_file(folder_fd, entry->d_name, &info))
            continue;
        file.size = (uint64_t)info.st_size;
        file.written = info.st_mtime;
        if (file.state == QUARANTINE_PENDING && file.written + QUARANTINE_PENDING_S < now)
            file.state = QUARANTINE_UNCERTAIN;
        r = fn(arg, &file);
    }
    if (r == 0 && errno != 0)
        r = -errno;
    closedir(dir);
    return r;
}

int quarantine_each(int folder_fd, int64_t now, quarantine_file_fn *fn, void *arg) {
    return quarantine_each_named(folder_fd, STR(""), now, fn, arg);
}

struct search {
    const char *id;
    struct quarantine_file *file;
};

static int on_searched(void *arg, const struct quarantine_file *file) {
    struct search *search = arg;
    if (strcmp(file->id, search->id) != 0)
        return 0;
    *search->file = *file;
    return 1;
}

int quarantine_find(int folder_fd, const char *id, int64_t now, struct quarantine_file *ret_file) {
    struct search search = { id, ret_file };
    return quarantine_each(folder_fd, now, on_searched, &search);
}

/* A worker that was taken over may have put something else where a file was: nobody waits for a pipe. */
static int open_file(int folder_fd, const char *name) {
    struct stat info;
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = fstat(fd, &info) < 0 ? -errno : S_ISREG(info.st_mode) ? 0 : -EBADMSG;
    if (r < 0)
        close(fd);
    return r < 0 ? r : fd;
}

/* Whether the file says the id by which it was found. */
static bool is_named_so(const char *name, struct str id) {
    struct quarantine_file file;
    return parse_name(name, &file) && str_eq(str_of(file.id), id);
}

int quarantine_open(int folder_fd, const char *name, struct arena *arena, struct quarantine_entry *ret_entry,
                    size_t *ret_text_at) {
    ret_entry->malformed = NULL;
    int fd = open_file(folder_fd, name);
    char *head = fd >= 0 ? malloc(QUARANTINE_HEAD_MAX) : NULL;
    size_t len = 0;
    int r = fd < 0 ? fd : head == NULL ? -ENOMEM : -EAGAIN;
    while (r == -EAGAIN) {
        ssize_t n = read(fd, head + len, QUARANTINE_HEAD_MAX - len < 65536 ? QUARANTINE_HEAD_MAX - len : 65536);
        if (n <= 0) {
            r = n < 0 ? -errno : -EBADMSG;
            break;
        }
        len += (size_t)n;
        r = quarantine_entry_parse((struct str){ head, len }, arena, ret_entry, ret_text_at);
    }
    if (r == 0 && !is_named_so(name, ret_entry->id)) {
        ret_entry->malformed = "id";
        r = -EBADMSG;
    }
    free(head);
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
}

int quarantine_rename(int folder_fd, const struct quarantine_file *file, enum quarantine_state state) {
    char name[QUARANTINE_NAME_MAX + 16];
    const char *ending = "";
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (endings[i].state == state)
            ending = endings[i].text.at;
    snprintf(name, sizeof(name), "%s%s", file->id, ending);
    if (renameat(folder_fd, file->name, folder_fd, name) < 0)
        return -errno;
    return fsync(folder_fd) < 0 ? -errno : 0;
}

int quarantine_remove(int folder_fd, const char *name) {
    return unlinkat(folder_fd, name, 0) < 0 ? -errno : 0;
}

struct expiry {
    int folder_fd;
    int64_t before;
    long n;
};

static int on_old(void *arg, const struct quarantine_file *file) {
    struct expiry *expiry = arg;
    int64_t before = expiry->before - (file->state == QUARANTINE_RELEASING ? QUARANTINE_RELEASING_S : 0);
    if (file->state != QUARANTINE_PENDING && file->written < before
        && quarantine_remove(expiry->folder_fd, file->name) == 0)
        expiry->n++;
    return 0;
}

long quarantine_expire(int folder_fd, int64_t before, int64_t now) {
    struct expiry expiry = { folder_fd, before, 0 };
    int r = quarantine_each(folder_fd, now, on_old, &expiry);
    return r < 0 ? r : expiry.n;
}

long quarantine_sweep(int folder_fd, int64_t now) {
    DIR *dir = open_folder(folder_fd);
    long n = dir != NULL ? 0 : -errno;
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        struct str name = str_of(entry->d_name);
        struct stat info;
        bool is_ours = name.len > 5 && name.at[0] == '.' && str_ends_nocase(name, STR(".tmp"))
            && is_id(str_from(str_head(name, name.len - 4), 1));
        if (is_ours && is_file(folder_fd, name.at, &info) && info.st_mtime + QUARANTINE_PENDING_S < now
            && quarantine_remove(folder_fd, name.at) == 0)
            n++;
    }
    if (dir != NULL)
        closedir(dir);
    return n;
}
