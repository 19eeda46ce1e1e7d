/*
 * leaf: see the header.
 *
 * Of most files the first 64 bytes are decoded and the rest is not looked at. A ZIP is decoded to its end: each file in
 * it has a head in front of its data and one in the directory at the end, and both are found by their signatures,
 * wherever they stand. So no length in it is believed, archives within archives that are only stored show their files
 * too, and a directory that was left out or lies hides nothing. A signature that occurs by chance in packed data makes
 * a name out of noise once in gigabytes, and noise that ends in ".exe" hardly ever.
 *
 * base64: what is not of the alphabet is skipped (RFC 2045 6.8), padding ends a group and not the text, since some
 * decoders go on.
 */
#include "mime/leaf.h"

enum { LOCAL_HEAD = 30, DIRECTORY_HEAD = 46, VERSION_MAX = 63, ENCRYPTED = 1 };
enum zip_state { ZIP_NONE, ZIP_SEARCH, ZIP_HEAD, ZIP_NAME };

static const int8_t base64_values[256] = {
#define R(c, v) [c] = (v) + 1
    R('A', 0),  R('B', 1),  R('C', 2),  R('D', 3),  R('E', 4),  R('F', 5),  R('G', 6),  R('H', 7),  R('I', 8),
    R('J', 9),  R('K', 10), R('L', 11), R('M', 12), R('N', 13), R('O', 14), R('P', 15), R('Q', 16), R('R', 17),
    R('S', 18), R('T', 19), R('U', 20), R('V', 21), R('W', 22), R('X', 23), R('Y', 24), R('Z', 25), R('a', 26),
    R('b', 27), R('c', 28), R('d', 29), R('e', 30), R('f', 31), R('g', 32), R('h', 33), R('i', 34), R('j', 35),
    R('k', 36), R('l', 37), R('m', 38), R('n', 39), R('o', 40), R('p', 41), R('q', 42), R('r', 43), R('s', 44),
    R('t', 45), R('u', 46), R('v', 47), R('w', 48), R('x', 49), R('y', 50), R('z', 51), R('0', 52), R('1', 53),
    R('2', 54), R('3', 55), R('4', 56), R('5', 57), R('6', 58), R('7', 59), R('8', 60), R('9', 61), R('+', 62),
    R('/', 63),
#undef R
}; /* 0: none of them */

void leaf_init(struct leaf *leaf, enum part_encoding encoding) {
    *leaf = (struct leaf){ .encoding = (uint8_t)encoding, .wants_more = true };
}

/* ---- ZIP */

static unsigned little16(const uint8_t *at) {
    return at[0] | (unsigned)at[1] << 8;
}

static bool is_directory(const struct leaf *leaf) {
    return leaf->zip_head[2] == 1;
}

/* The fixed head is whole. False: it only looked like one. */
static bool zip_begin_name(struct leaf *leaf) {
    const uint8_t *head = leaf->zip_head;
    unsigned version = is_directory(leaf) ? head[6] : head[4], len = little16(head + (is_directory(leaf) ? 28 : 26));
    leaf->name_at = 0;
    leaf->name_len = (uint16_t)len;
    return version <= VERSION_MAX && len > 0;
}

static void zip_end_name(struct leaf *leaf, leaf_name_fn *on_name, void *arg) {
    unsigned flags = little16(leaf->zip_head + (is_directory(leaf) ? 8 : 6));
    size_t len = leaf->name_at < ZIP_NAME_MAX ? leaf->name_at : ZIP_NAME_MAX;
    on_name(arg, (struct str){ leaf->name, len }, (flags & ENCRYPTED) != 0);
}

/* Of a name that is too long the end counts, where its extension is. */
static void zip_take_name(struct leaf *leaf, char c) {
    if (leaf->name_at >= ZIP_NAME_MAX)
        memmove(leaf->name, leaf->name + 1, ZIP_NAME_MAX - 1);
    leaf->name[leaf->name_at < ZIP_NAME_MAX ? leaf->name_at : ZIP_NAME_MAX - 1] = (unsigned char)c < ' ' ? '?' : c;
    leaf->name_at++;
}

static void zip_search(struct leaf *leaf, uint8_t c) {
    static const uint8_t local[] = { 'P', 'K', 3, 4 }, directory[] = { 'P', 'K', 1, 2 };
    unsigned n = leaf->zip_seen;
    bool is_next = n < 2 ? c == local[n] : n == 2 ? c == local[2] || c == directory[2] : c == leaf->zip_head[2] + 1;
    if (!is_next) {
        leaf->zip_head[0] = 'P';
        leaf->zip_seen = c == 'P';
        return;
    }
    leaf->zip_head[leaf->zip_seen++] = c;
    if (leaf->zip_seen == 4)
        leaf->zip_state = ZIP_HEAD;
}

static void zip_feed(struct leaf *leaf, char c, leaf_name_fn *on_name, void *arg) {
    switch ((enum zip_state)leaf->zip_state) {
    case ZIP_NONE:
        break;
    case ZIP_SEARCH:
        zip_search(leaf, (uint8_t)c);
        break;
    case ZIP_HEAD:
        leaf->zip_head[leaf->zip_seen++] = (uint8_t)c;
        if (leaf->zip_seen == (is_directory(leaf) ? DIRECTORY_HEAD : LOCAL_HEAD)) {
            leaf->zip_seen = 0;
            leaf->zip_state = zip_begin_name(leaf) ? ZIP_NAME : ZIP_SEARCH;
        }
        break;
    case ZIP_NAME:
        zip_take_name(leaf, c);
        if (leaf->name_at == leaf->name_len) {
            leaf->zip_state = ZIP_SEARCH;
            zip_end_name(leaf, on_name, arg);
        }
        break;
    }
}

/* ---- decoded bytes */

static void take(struct leaf *leaf, char c, leaf_name_fn *on_name, void *arg) {
    if (leaf->zip_state != ZIP_NONE) {
        zip_feed(leaf, c, on_name, arg);
        return;
    }
    if (leaf->head_len == FILE_HEAD)
        return;
    leaf->head[leaf->head_len++] = c;
    if (leaf->head_len < FILE_HEAD && leaf->head_len != 4)
        return;
    if (file_kind_of(leaf->head, leaf->head_len) == FILE_ZIP) {
        leaf->zip_state = ZIP_SEARCH;
        for (unsigned i = 0; i < leaf->head_len; i++)
            zip_feed(leaf, leaf->head[i], on_name, arg);
    } else if (leaf->head_len == FILE_HEAD) {
        leaf->wants_more = false;
    }
}

static void feed_base64(struct leaf *leaf, const char *at, size_t len, leaf_name_fn *on_name, void *arg) {
    for (size_t i = 0; i < len && leaf->wants_more; i++) {
        int value = base64_values[(unsigned char)at[i]] - 1;
        if (at[i] == '=')
            leaf->n_bits = 0;
        if (value < 0)
            continue;
        leaf->bits = leaf->bits << 6 | (uint32_t)value;
        leaf->n_bits += 6;
        if (leaf->n_bits < 8)
            continue;
        leaf->n_bits -= 8;
        take(leaf, (char)(leaf->bits >> leaf->n_bits & 255), on_name, arg);
    }
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "=3D" is a byte, "=" at the end of a line joins it with the next one; else it stands for itself. */
static void feed_quoted_printable(struct leaf *leaf, const char *at, size_t len, leaf_name_fn *on_name, void *arg) {
    for (size_t i = 0; i < len && leaf->wants_more; i++) {
        char c = at[i];
        if (leaf->escape == 0 && c == '=') {
            leaf->escape = 1;
        } else if (leaf->escape == 0) {
            take(leaf, c, on_name, arg);
        } else if (leaf->escape == 1 && (hex(c) >= 0 || c == '\r')) {
            leaf->escaped = c;
            leaf->escape = 2;
        } else {
            bool is_byte = leaf->escape == 2 && hex(leaf->escaped) >= 0 && hex(c) >= 0;
            leaf->escape = 0;
            if (is_byte)
                take(leaf, (char)(hex(leaf->escaped) << 4 | hex(c)), on_name, arg);
            else if (c != '\n')
                take(leaf, c, on_name, arg);
        }
    }
}

void leaf_feed(struct leaf *leaf, const char *at, size_t len, leaf_name_fn *on_name, void *arg) {
    switch ((enum part_encoding)leaf->encoding) {
    case PART_BASE64:
        feed_base64(leaf, at, len, on_name, arg);
        break;
    case PART_QUOTED_PRINTABLE:
        feed_quoted_printable(leaf, at, len, on_name, arg);
        break;
    case PART_IDENTITY:
        for (size_t i = 0; i < len && leaf->wants_more; i++)
            take(leaf, at[i], on_name, arg);
        break;
    }
}

enum file_kind leaf_kind(const struct leaf *leaf) {
    return file_kind_of(leaf->head, leaf->head_len);
}
