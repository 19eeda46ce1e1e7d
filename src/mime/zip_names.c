/*
 * zip_names: see the header.
 *
 * Chosen over a parser that goes from record to record: what unpackers believe differs (the directory, or what they
 * meet first), and by lying to one of them a sender could hide a file from us. So each signature is read on its own,
 * also one inside of what looks like a name or a file.
 *
 * A signature that stands in packed data by chance (once in 2 GB) would make a name out of noise. It is no record when
 * its method is none that any unpacker knows; with that it is once in some 6 TB.
 *
 * The field of a Unicode path (APPNOTE 4.6.9) has a second name, which unpackers prefer. In a record in front of a file
 * it is not looked for behind the first 2 KiB: the directory has it again, where extra fields are short, and a longer
 * one is told as unreadable.
 *
 * Records may overlap, so 30 bytes can bring some 200 names. Whoever counts them says when there were enough; then
 * nothing is looked at any more.
 *
 * Names in an archive inside of this one that is packed, too, are not seen: that would be an unpacker, with all that
 * can be done to one.
 */
#include "mime/zip_names.h"

#include <stdint.h>

enum { LOCAL_HEAD = 30, DIRECTORY_HEAD = 46, ENCRYPTED = 1, UNICODE_PATH = 0x7075 };

struct record {
    bool is_directory;
    size_t head, name, extra; /* lengths */
    unsigned flags;
};

void zip_names_init(struct zip_names *zip) {
    zip->is_done = zip->is_unreadable = false;
    zip->len = 0;
}

static unsigned little16(const char *at) {
    return (unsigned char)at[0] | (unsigned)(unsigned char)at[1] << 8;
}

/* Stored, the seven that were, deflate to LZMA, and those of newer or single programs (APPNOTE 4.4.5). */
static bool is_method(unsigned method) {
    return method <= 20 || (method >= 93 && method <= 99);
}

enum found { NO_RECORD, RECORD, MORE /* cannot be said yet */ };

static enum found read_record(struct str at, struct record *ret) {
    static const char local[] = "PK\x03\x04", directory[] = "PK\x01\x02";
    size_t seen = at.len < 4 ? at.len : 4;
    *ret = (struct record){ .is_directory = memcmp(at.at, directory, seen) == 0 };
    if (!ret->is_directory && memcmp(at.at, local, seen) != 0)
        return NO_RECORD;
    ret->head = ret->is_directory ? DIRECTORY_HEAD : LOCAL_HEAD;
    if (at.len < ret->head)
        return MORE;
    const char *lengths = at.at + (ret->is_directory ? 28 : 26);
    ret->flags = little16(at.at + (ret->is_directory ? 8 : 6));
    ret->name = little16(lengths);
    ret->extra = little16(lengths + 2);
    if (ret->name == 0 || !is_method(little16(at.at + (ret->is_directory ? 10 : 8))))
        return NO_RECORD;
    size_t all = ret->head + ret->name + ret->extra;
    return at.len < (all < ZIP_RECORD_MAX ? all : ZIP_RECORD_MAX) ? MORE : RECORD;
}

static void tell(struct zip_names *zip, struct str name, bool is_encrypted, zip_name_fn *on_name, void *arg) {
    char clean[ZIP_NAME_MAX];
    if (zip->is_done)
        return;
    if (name.len > ZIP_NAME_MAX)
        name = str_from(name, name.len - ZIP_NAME_MAX);
    for (size_t i = 0; i < name.len; i++)
        clean[i] = (unsigned char)name.at[i] < ' ' || name.at[i] == 127 ? '?' : name.at[i];
    zip->is_done = !on_name(arg, (struct str){ clean, name.len }, is_encrypted);
}

/* For some unpackers a name ends at its first NUL, so that is one, too. */
static void tell_both(struct zip_names *zip, struct str name, bool is_encrypted, zip_name_fn *on_name, void *arg) {
    size_t nul = str_find(name, '\0');
    if (nul > 0 && nul < name.len)
        tell(zip, str_head(name, nul), is_encrypted, on_name, arg);
    tell(zip, name, is_encrypted, on_name, arg);
}

/* Extra fields: an id, a length, data; of a Unicode path a version and a checksum before the name. */
static void tell_unicode_paths(struct zip_names *zip, struct str extra, bool is_encrypted, zip_name_fn *on_name,
                               void *arg) {
    while (extra.len >= 4 && !zip->is_done) {
        unsigned id = little16(extra.at), len = little16(extra.at + 2);
        struct str path = str_from(str_head(str_from(extra, 4), len), 5);
        if (id == UNICODE_PATH && path.len > 0)
            tell_both(zip, path, is_encrypted, on_name, arg);
        extra = str_from(extra, 4 + len);
    }
}

static void tell_record(struct zip_names *zip, struct str at, const struct record *record, zip_name_fn *on_name,
                        void *arg) {
    bool is_encrypted = (record->flags & ENCRYPTED) != 0;
    struct str name = str_head(str_from(at, record->head), record->name);
    struct str extra = str_head(str_from(at, record->head + record->name), record->extra);
    size_t all = record->head + record->name + (record->is_directory ? record->extra : 0);
    if (all > ZIP_RECORD_MAX)
        zip->is_unreadable = true;
    if (name.len > 0)
        tell_both(zip, name, is_encrypted, on_name, arg);
    tell_unicode_paths(zip, extra, is_encrypted, on_name, arg);
}

/* Tells each record that is whole, and keeps what may become one. */
static void look(struct zip_names *zip, bool is_over, zip_name_fn *on_name, void *arg) {
    size_t at = 0;
    while (at < zip->len && !zip->is_done) {
        const char *p = memchr(zip->window + at, 'P', zip->len - at);
        struct record record;
        at = p != NULL ? (size_t)(p - zip->window) : zip->len;
        if (p == NULL)
            break;
        struct str rest = { p, zip->len - at };
        enum found found = read_record(rest, &record);
        if (found == MORE && !is_over)
            break;
        if (found == RECORD || (found == MORE && record.name > 0))
            tell_record(zip, (struct str){ rest.at, rest.len < ZIP_RECORD_MAX ? rest.len : ZIP_RECORD_MAX }, &record,
                        on_name, arg);
        at++;
    }
    memmove(zip->window, zip->window + at, zip->len - at);
    zip->len -= at;
}

void zip_names_feed(struct zip_names *zip, const char *at, size_t len, zip_name_fn *on_name, void *arg) {
    while (len > 0 && !zip->is_done) { /* what waits is shorter than a record, so there is always room */
        size_t room = sizeof(zip->window) - zip->len, some = len < room ? len : room;
        memcpy(zip->window + zip->len, at, some);
        zip->len += some;
        at += some;
        len -= some;
        look(zip, false, on_name, arg);
    }
}

void zip_names_end(struct zip_names *zip, zip_name_fn *on_name, void *arg) {
    look(zip, true, on_name, arg);
}
