/*
 * leaf: see the header.
 *
 * Of most files the first 64 bytes are decoded and the rest is not looked at. A ZIP is read to its end, and so is what
 * is called one and begins with something else: unpackers look for the directory from the end. Of what is not known by
 * its head, and came encoded, as much is read as it takes to see whether it is the image of a disc, whose mark stands
 * behind 32 KiB that are free for anything (ECMA-119 6.2.1).
 */
#include "mime/leaf.h"

enum { ZIP_DECIDES = 4, VOLUME_AT = 16 * 2048 + 1, VOLUME_END = VOLUME_AT + VOLUME_MARK, DECODED = 4096 };

void leaf_init(struct leaf *leaf, enum transfer_encoding encoding, bool may_be_zip) {
    transfer_init(&leaf->transfer, encoding);
    leaf->wants_more = true;
    leaf->may_be_zip = may_be_zip;
    leaf->is_zip = false;
    leaf->kind = FILE_UNKNOWN;
    leaf->head_len = 0;
    leaf->total = 0;
    zip_names_init(&leaf->zip);
}

static bool is_disc(const struct leaf *leaf) {
    struct str mark = { leaf->volume, VOLUME_MARK }; /* ISO 9660, or UDF without it */
    return leaf->total >= VOLUME_END && (str_eq(mark, STR("CD001")) || str_eq(mark, STR("BEA01")));
}

static void note_volume(struct leaf *leaf, const char *at, size_t len) {
    for (size_t i = leaf->total < VOLUME_AT ? VOLUME_AT - leaf->total : 0; i < len && leaf->total + i < VOLUME_END; i++)
        leaf->volume[leaf->total + i - VOLUME_AT] = at[i];
    leaf->total = leaf->total + len < VOLUME_END ? leaf->total + (uint32_t)len : VOLUME_END;
}

static void note_head(struct leaf *leaf, const char *at, size_t len) {
    size_t room = FILE_HEAD - leaf->head_len, some = len < room ? len : room;
    if (some == 0)
        return;
    memcpy(leaf->head + leaf->head_len, at, some);
    leaf->head_len += (uint8_t)some;
    if (leaf->head_len == FILE_HEAD)
        leaf->kind = (uint8_t)file_kind_of(leaf->head, FILE_HEAD);
}

/* Bytes as they were before they were encoded. */
static void take(struct leaf *leaf, const char *at, size_t len, zip_name_fn *on_name, void *arg) {
    uint8_t before = leaf->head_len;
    note_volume(leaf, at, len);
    note_head(leaf, at, len);
    if (before < ZIP_DECIDES && leaf->head_len >= ZIP_DECIDES) {
        leaf->is_zip = leaf->may_be_zip || is_zip(file_kind_of(leaf->head, leaf->head_len));
        if (leaf->is_zip)
            zip_names_feed(&leaf->zip, leaf->head, before, on_name, arg);
    }
    if (leaf->is_zip)
        zip_names_feed(&leaf->zip, at, len, on_name, arg);
    else if (leaf->head_len == FILE_HEAD)
        leaf->wants_more = leaf->kind == FILE_UNKNOWN && leaf->transfer.encoding != TRANSFER_IDENTITY &&
            leaf->total < VOLUME_END;
}

void leaf_feed(struct leaf *leaf, const char *at, size_t len, zip_name_fn *on_name, void *arg) {
    char decoded[DECODED];
    while (len > 0 && leaf->wants_more) {
        size_t used, n = transfer_decode(&leaf->transfer, at, len, &used, decoded, sizeof(decoded));
        take(leaf, decoded, n, on_name, arg);
        at += used;
        len -= used;
    }
}

void leaf_end(struct leaf *leaf, zip_name_fn *on_name, void *arg) {
    if (leaf->is_zip)
        zip_names_end(&leaf->zip, on_name, arg);
}

enum file_kind leaf_kind(const struct leaf *leaf) {
    enum file_kind kind = (enum file_kind)leaf->kind;
    if (leaf->head_len < FILE_HEAD)
        kind = file_kind_of(leaf->head, leaf->head_len);
    return kind == FILE_UNKNOWN && is_disc(leaf) ? FILE_DISK_IMAGE : kind;
}
