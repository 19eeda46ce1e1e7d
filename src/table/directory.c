/*
 * directory: is this local part in the list that the mailbox server exported?
 *
 * The model. One constant database (tinycdb) a domain: 256 hash tables behind the records, two reads a lookup, mapped
 * by every worker and shared through the page cache. Keys are canonical local parts, values the address as it was
 * imported, so that `cdb -d` and `export` show what is in there. The record "\0meta" is written last, as lines of text;
 * no local part holds a NUL, so it collides with none.
 *
 * What is trusted. Nothing: whoever can write to the folder may leave a file cut off or overwritten. Opening checks
 * that the 256 tables stand one behind the other, end exactly at the end of the file and have room for exactly the
 * addresses that the meta record counts, which no truncated file survives; tinycdb checks every position it follows
 * against the file's size. What still does not fit is DIRECTORY_BROKEN, which answers like a missing directory and
 * never like an unknown recipient. A file must be replaced by rename, never written in place: a mapping that shrinks is
 * a SIGBUS. The service maps copies that cannot shrink (cmd/directories.c).
 *
 * Counting once. tinycdb can refuse repeated keys itself, but searches a list for each (quadratic: hours for millions).
 * The writer keeps a set of (hash, position) pairs of 8 bytes an address instead, and confirms a hit by reading the
 * record back, from the file or, while tinycdb may still hold it in its buffer, from a mirror of the last bytes
 * written. An LDIF export names most addresses twice, so hits are the ordinary case.
 *
 * Rejected: keys by fingerprint (an eighth of the size, but cannot be listed); a checksum over the whole file (every
 * open would read all of it, and disks have their own).
 */
#include "table/directory.h"

#include "base/hash.h"

#include <cdb.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_SIZE = 2048, /* 256 tables, position and slots of each */
    TABLES = 256,
    RECORD_HEAD = 8,    /* lengths of key and value */
    META_MAX = 8192,
    SOURCE_MAX = 4096,
    DOMAIN_MAX = 255,
};

static const char meta_key[] = { 0, 'm', 'e', 't', 'a' };
#define META_VERSION "postern directory 1"

struct directory {
    struct cdb cdb;
    struct directory_meta meta; /* views into the mapping */
};

/* ---- opening */

/* The next line of `*rest`, which must begin with `name` and a blank. */
static bool meta_line(struct str *rest, struct str name, struct str *ret_value) {
    size_t end = str_find(*rest, '\n');
    if (end == rest->len || end < name.len + 1 || memcmp(rest->at, name.at, name.len) != 0 || rest->at[name.len] != ' ')
        return false;
    *ret_value = (struct str){ rest->at + name.len + 1, end - name.len - 1 };
    *rest = str_from(*rest, end + 1);
    return true;
}

static bool meta_number(struct str *rest, struct str name, uint64_t *ret_value) {
    struct str text;
    unsigned long long value;
    if (!meta_line(rest, name, &text) || str_to_u64(text, UINT64_MAX, &value) < 0)
        return false;
    *ret_value = value;
    return true;
}

static bool meta_parse(struct str text, struct directory_meta *ret_meta) {
    struct str version;
    return meta_line(&text, STR("version"), &version) && str_eq(version, STR(META_VERSION)) &&
           meta_line(&text, STR("domain"), &ret_meta->domain) &&
           meta_number(&text, STR("imported_ms"), &ret_meta->imported_ms) &&
           meta_number(&text, STR("count"), &ret_meta->count) && meta_line(&text, STR("source"), &ret_meta->source);
}

/* The tables stand behind each other and end where the file ends. Returns the slots of all of them, or 0. */
static uint64_t count_slots(const struct cdb *cdb, uint64_t file_size) {
    const unsigned char *header = cdb_get(cdb, HEADER_SIZE, 0);
    if (header == NULL)
        return 0;
    uint64_t slots = 0, at = cdb_unpack(header);
    if (at < HEADER_SIZE)
        return 0;
    for (unsigned i = 0; i < TABLES; i++) {
        if (cdb_unpack(header + i * 8) != at)
            return 0;
        uint64_t n = cdb_unpack(header + i * 8 + 4);
        slots += n;
        at += n * 8;
    }
    return at == file_size ? slots : 0;
}

static int check(struct directory *directory, uint64_t file_size) {
    struct cdb cdb = directory->cdb;
    uint64_t slots = count_slots(&cdb, file_size);
    if (slots == 0 || cdb_find(&cdb, meta_key, sizeof(meta_key)) <= 0)
        return -EBADMSG;
    struct str text = { cdb_getdata(&cdb), cdb_datalen(&cdb) };
    if (text.at == NULL || text.len > META_MAX || !meta_parse(text, &directory->meta))
        return -EBADMSG;
    /* tinycdb makes two slots a record; the meta record is one. */
    return directory->meta.count < UINT32_MAX && slots == 2 * (directory->meta.count + 1) ? 0 : -EBADMSG;
}

static int map(int fd, struct directory *directory) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size < HEADER_SIZE || (uint64_t)status.st_size > UINT32_MAX)
        return -EBADMSG;
    if (cdb_init(&directory->cdb, fd) < 0)
        return errno == EPROTO ? -EBADMSG : -errno;
    int r = check(directory, (uint64_t)status.st_size);
    if (r < 0)
        cdb_free(&directory->cdb);
    return r;
}

int directory_open_fd(int take_fd, struct directory **ret_directory) {
    struct directory *directory = calloc(1, sizeof(*directory));
    int r = directory != NULL ? map(take_fd, directory) : -ENOMEM;
    close(take_fd);
    if (r < 0) {
        free(directory);
        return r;
    }
    *ret_directory = directory;
    return 0;
}

int directory_open(const char *path, struct directory **ret_directory) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : directory_open_fd(fd, ret_directory);
}

void directory_free(struct directory *directory) {
    if (directory == NULL)
        return;
    cdb_free(&directory->cdb);
    free(directory);
}

/* ---- asking */

const struct directory_meta *directory_meta(const struct directory *directory) {
    return &directory->meta;
}

enum directory_answer directory_find(const struct directory *directory, struct str local) {
    if (local.len == 0 || local.at[0] == '\0')
        return DIRECTORY_UNKNOWN;
    struct cdb cdb = directory->cdb; /* tinycdb notes what it found in the struct: ours stays as it is */
    int found = cdb_find(&cdb, local.at, (unsigned)local.len);
    if (found < 0)
        return DIRECTORY_BROKEN;
    return found > 0 ? DIRECTORY_KNOWN : DIRECTORY_UNKNOWN;
}

int directory_each(const struct directory *directory, int (*fn)(void *arg, struct str address), void *arg) {
    struct cdb cdb = directory->cdb;
    unsigned at;
    int more;
    cdb_seqinit(&at, &cdb);
    while ((more = cdb_seqnext(&at, &cdb)) > 0) {
        const char *key = cdb_getkey(&cdb);
        struct str address = { cdb_getdata(&cdb), cdb_datalen(&cdb) };
        if (key == NULL || address.at == NULL)
            return -EBADMSG;
        if (cdb_keylen(&cdb) > 0 && key[0] == '\0')
            continue;
        int r = fn(arg, address);
        if (r != 0)
            return r;
    }
    return more < 0 ? -EBADMSG : 0;
}

/* What could not be a file name, or would leave the folder. */
static bool is_file_name(struct str domain) {
    return domain.len > 0 && domain.len <= DOMAIN_MAX && domain.at[0] != '.' &&
           memchr(domain.at, '/', domain.len) == NULL &&
           memchr(domain.at, '\0', domain.len) == NULL;
}

int directory_path(const char *dir, struct str domain, struct buf *out) {
    if (!is_file_name(domain))
        return -EINVAL;
    int r = buf_putf(out, "%s/", dir);
    for (size_t i = 0; i < domain.len && r == 0; i++)
        r = buf_putc(out, ascii_lower(domain.at[i]));
    return r == 0 ? buf_puts(out, STR(".cdb")) : r;
}

/* ---- building */

enum {
    MIRROR_SIZE = 8192,    /* a power of two; at least tinycdb's buffer and one record */
    UNWRITTEN_MAX = 4096,  /* what tinycdb may hold back */
    SET_INITIAL = 1024,    /* slots, a power of two */
    KEY_MAX = 255,
    ADDRESS_MAX = 1024,
};

struct slot {
    uint32_t hash;
    uint32_t at; /* of the record in the file; 0: free */
};

struct directory_writer {
    struct cdb_make make;
    int fd;
    char *path;     /* of the old one */
    char *new_path;
    char *domain;
    char *source;
    uint64_t at;    /* where the next record goes */
    uint64_t count;
    struct slot *slots;
    size_t n_slots;
    char mirror[MIRROR_SIZE]; /* the byte at position p stands at p % MIRROR_SIZE */
};

static void writer_free(struct directory_writer *writer) {
    free(writer->path);
    free(writer->new_path);
    free(writer->domain);
    free(writer->source);
    free(writer->slots);
    free(writer);
}

/* Imports that were killed leave their half-built file behind; it is told by the process that is no more. */
static void sweep(const char *dir, const char *prefix) {
    DIR *folder = opendir(dir);
    if (folder == NULL)
        return;
    struct dirent *entry;
    size_t len = strlen(prefix);
    while ((entry = readdir(folder)) != NULL) {
        unsigned long long pid;
        if (strncmp(entry->d_name, prefix, len) == 0 && str_to_u64(str_of(entry->d_name + len), INT32_MAX, &pid) == 0 &&
            pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    closedir(folder);
}

static char *copy(struct str text, size_t max) {
    return strndup(text.at != NULL ? text.at : "", text.len < max ? text.len : max);
}

/* The texts a writer keeps. Control characters in a file name would forge lines of the meta record. */
static int keep_texts(struct directory_writer *writer, const char *dir, struct str domain, struct str source) {
    struct buf path;
    buf_init(&path, 4096 + DOMAIN_MAX);
    int r = directory_path(dir, domain, &path);
    if (r == 0 && ((writer->path = strndup(path.at, path.len)) == NULL ||
                   asprintf(&writer->new_path, "%s.new.%d", writer->path, (int)getpid()) < 0 ||
                   (writer->domain = copy(domain, DOMAIN_MAX)) == NULL ||
                   (writer->source = copy(source, SOURCE_MAX)) == NULL))
        r = -ENOMEM;
    buf_deinit(&path);
    if (r < 0)
        return r;
    for (char *c = writer->domain; *c != '\0'; c++)
        *c = ascii_lower(*c);
    for (char *c = writer->source; *c != '\0'; c++)
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    return 0;
}

/* Whoever owns the folder can read what is in it, also when root imports for a gateway that is not started as root. */
static void give_to_owner_of(const char *dir, int fd) {
    struct stat folder;
    if (stat(dir, &folder) == 0 && fchown(fd, folder.st_uid, folder.st_gid) < 0 &&
        fchown(fd, (uid_t)-1, folder.st_gid) < 0)
        return; /* not ours to give: it stays with who runs this */
}

static int writer_begin(struct directory_writer *writer, const char *dir) {
    char prefix[DOMAIN_MAX + sizeof(".cdb.new.")];
    snprintf(prefix, sizeof(prefix), "%s.cdb.new.", writer->domain);
    sweep(dir, prefix);
    writer->slots = calloc(SET_INITIAL, sizeof(*writer->slots));
    if (writer->slots == NULL)
        return -ENOMEM;
    writer->n_slots = SET_INITIAL;
    writer->at = HEADER_SIZE;
    unlink(writer->new_path); /* our own pid, used before */
    /* Who receives mail here is nobody's business but the group's; workers get the descriptor from the master. */
    writer->fd = open(writer->new_path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (writer->fd < 0)
        return -errno;
    give_to_owner_of(dir, writer->fd);
    if (cdb_make_start(&writer->make, writer->fd) < 0) {
        int r = -errno;
        unlink(writer->new_path);
        close(writer->fd);
        return r;
    }
    return 0;
}

int directory_writer_new(const char *dir, struct str domain, struct str source, struct directory_writer **ret_writer) {
    struct directory_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return -ENOMEM;
    int r = keep_texts(writer, dir, domain, source);
    if (r == 0)
        r = writer_begin(writer, dir);
    if (r < 0) {
        writer_free(writer);
        return r;
    }
    *ret_writer = writer;
    return 0;
}

static void mirror_put(struct directory_writer *writer, uint64_t at, const void *data, size_t len) {
    const char *bytes = data;
    for (size_t i = 0; i < len; i++)
        writer->mirror[(at + i) % MIRROR_SIZE] = bytes[i];
}

/* Whether the record at `at` has this key. Returns 1 or 0, or -errno of reading it back. */
static int has_key(const struct directory_writer *writer, uint32_t at, struct str key) {
    unsigned char record[RECORD_HEAD + KEY_MAX] = { 0 };
    size_t len = RECORD_HEAD + key.len;
    if (at + len + UNWRITTEN_MAX > writer->at) {
        for (size_t i = 0; i < len; i++)
            record[i] = (unsigned char)writer->mirror[(at + i) % MIRROR_SIZE];
    } else {
        ssize_t n = pread(writer->fd, record, len, at);
        if (n != (ssize_t)len)
            return n < 0 ? -errno : -EIO;
    }
    return cdb_unpack(record) == key.len && memcmp(record + RECORD_HEAD, key.at, key.len) == 0;
}

static int grow_set(struct directory_writer *writer) {
    size_t n = writer->n_slots * 2;
    struct slot *slots = calloc(n, sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < writer->n_slots; i++) {
        if (writer->slots[i].at == 0)
            continue;
        size_t to = writer->slots[i].hash & (n - 1);
        while (slots[to].at != 0)
            to = (to + 1) & (n - 1);
        slots[to] = writer->slots[i];
    }
    free(writer->slots);
    writer->slots = slots;
    writer->n_slots = n;
    return 0;
}

/* Finds the key's slot. Returns 1 when it is taken by this very key, 0 with the free one in *ret_slot, or -errno. */
static int find_slot(struct directory_writer *writer, struct str key, uint32_t hash, struct slot **ret_slot) {
    for (size_t i = hash & (writer->n_slots - 1);; i = (i + 1) & (writer->n_slots - 1)) {
        struct slot *slot = &writer->slots[i];
        *ret_slot = slot;
        if (slot->at == 0)
            return 0;
        int same = slot->hash == hash ? has_key(writer, slot->at, key) : 0;
        if (same != 0)
            return same;
    }
}

static int put_record(struct directory_writer *writer, struct str key, struct str value) {
    uint64_t next = writer->at + RECORD_HEAD + key.len + value.len;
    /* Positions have 32 bits, and two slots of 8 bytes a record follow; META_MAX is kept for the last one. */
    if (next + META_MAX + (writer->count + 2) * 16 > UINT32_MAX)
        return -EFBIG;
    if (cdb_make_add(&writer->make, key.at, (unsigned)key.len, value.at, (unsigned)value.len) < 0)
        return -errno;
    unsigned char head[RECORD_HEAD];
    cdb_pack((unsigned)key.len, head);
    cdb_pack((unsigned)value.len, head + 4);
    mirror_put(writer, writer->at, head, sizeof(head));
    mirror_put(writer, writer->at + sizeof(head), key.at, key.len);
    writer->at = next;
    return 0;
}

int directory_writer_add(struct directory_writer *writer, struct str canonical_local, struct str address) {
    if (canonical_local.len == 0 || canonical_local.len > KEY_MAX || canonical_local.at[0] == '\0' ||
        address.len > ADDRESS_MAX)
        return -EINVAL;
    if (writer->count * 4 >= writer->n_slots * 3) {
        int r = grow_set(writer);
        if (r < 0)
            return r;
    }
    uint32_t hash = (uint32_t)hash_bytes(canonical_local.at, canonical_local.len);
    struct slot *slot;
    int r = find_slot(writer, canonical_local, hash, &slot);
    if (r != 0)
        return r < 0 ? r : 0;
    *slot = (struct slot){ hash, (uint32_t)writer->at };
    r = put_record(writer, canonical_local, address);
    if (r < 0) {
        slot->at = 0;
        return r;
    }
    writer->count++;
    return 0;
}

uint64_t directory_writer_count(const struct directory_writer *writer) {
    return writer->count;
}

static int put_meta(struct directory_writer *writer, uint64_t imported_ms) {
    struct buf text;
    buf_init(&text, META_MAX);
    int r = buf_putf(&text, "version %s\ndomain %s\nimported_ms %llu\ncount %llu\nsource %s\n", META_VERSION,
                     writer->domain,
                     (unsigned long long)imported_ms, (unsigned long long)writer->count, writer->source);
    if (r == 0 && cdb_make_add(&writer->make, meta_key, sizeof(meta_key), text.at, text.len) < 0)
        r = -errno;
    buf_deinit(&text);
    return r;
}

/* A rename is only there after a crash when its folder was synced. */
static int sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = strndup(path, slash > path ? (size_t)(slash - path) : 1);
    if (dir == NULL)
        return -ENOMEM;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int directory_writer_commit(struct directory_writer *take_writer, uint64_t imported_ms) {
    struct directory_writer *writer = take_writer;
    int r = put_meta(writer, imported_ms);
    if (cdb_make_finish(&writer->make) < 0 && r == 0) /* frees what tinycdb holds, also on failure */
        r = -errno;
    if (r == 0 && fsync(writer->fd) < 0)
        r = -errno;
    if (close(writer->fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && rename(writer->new_path, writer->path) < 0)
        r = -errno;
    if (r < 0)
        unlink(writer->new_path);
    else
        r = sync_folder(writer->path);
    writer_free(writer);
    return r;
}

void directory_writer_abort(struct directory_writer *take_writer) {
    if (take_writer == NULL)
        return;
    unlink(take_writer->new_path);
    cdb_make_finish(&take_writer->make); /* the one way to make tinycdb free its lists */
    close(take_writer->fd);
    writer_free(take_writer);
}
