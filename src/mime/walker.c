/*
 * walker: see the header.
 *
 *   HEADER ─empty line─▶ multipart: SKIP (preamble) ─▶ boundary ─▶ HEADER …
 *                        message/rfc822: HEADER of the message in it
 *                        else LEAF ─boundary of any level─▶ HEADER, or SKIP behind the last one
 *
 * Text comes in slices, lines are found in it. A line that begins with "--" is kept until it ends or is longer than any
 * boundary, since it may be one; all other lines go to the leaf as they come. The innermost boundary is compared first,
 * and one of an outer level ends all levels inside of it, as mail clients do with messages that were cut.
 *
 * A field about the part is kept whole, up to MIME_FIELD_MAX; others are skipped once their name is known.
 *
 * Rejected: a tree of parts (memory by the number of parts, for a question that streams).
 */
#include "mime/walker.h"

#include "mime/leaf.h"

#include <stdlib.h>

enum { LINE_START_MAX = MIME_BOUNDARY_MAX + 8 }; /* "--", boundary, "--", a few blanks, and the line's end */

enum mode { HEADER, LEAF, SKIP };

struct level { /* a multipart, or a message inside a message (without a boundary) */
    uint8_t len;
    bool is_message, is_digest;
    char boundary[MIME_BOUNDARY_MAX];
};

struct walker {
    mime_file_fn *on_file;
    void *arg;
    uint8_t mode;          /* enum mode */
    uint8_t trouble;       /* enum mime_trouble: the first */
    bool is_line_start, is_after_cr, is_held /* the line may be a boundary */, skips_field;
    bool is_header_end;    /* the line that ends a header, which is none of the body */
    unsigned n_levels, n_parts;
    struct level levels[MIME_DEPTH_MAX];
    struct part_header part;
    struct leaf leaf;
    size_t held_len, field_len;
    char held[LINE_START_MAX];
    char field[MIME_FIELD_MAX];
};

const char *mime_trouble_text(enum mime_trouble trouble) {
    static const char *const texts[] = {
        [MIME_FINE] = "", [MIME_TOO_DEEP] = "parts nested too deep", [MIME_TOO_MANY_PARTS] = "too many parts",
        [MIME_LONG_FIELD] = "a field about a part is too long",
        [MIME_LONG_BOUNDARY] = "a boundary is missing or too long",
    };
    return texts[trouble];
}

static void note(struct walker *w, enum mime_trouble trouble) {
    if (w->trouble == MIME_FINE)
        w->trouble = (uint8_t)trouble;
}

/* ---- files */

static struct str name_of(const struct part_header *part) {
    bool has_file_name = part->file_name_len > 0;
    return (struct str){ has_file_name ? part->file_name : part->type_name,
                         has_file_name ? part->file_name_len : part->type_name_len };
}

static void on_zip_name(void *arg, struct str name, bool is_encrypted) {
    struct walker *w = arg;
    struct str archive = name_of(&w->part);
    if (archive.len == 0)
        archive = STR("a ZIP without a name");
    const struct mime_file file = { .name = name, .archive = archive, .is_encrypted = is_encrypted };
    w->on_file(w->arg, &file);
}

/* "begin 644 name": a file in the middle of text (uuencode), which some clients still show as one. */
static void look_for_uuencode(struct walker *w, struct str line) {
    struct str rest = line;
    unsigned long long mode;
    if (!str_eq(str_word(&rest), STR("begin")) || str_to_u64(str_word(&rest), 9999, &mode) < 0)
        return;
    const struct mime_file file = { .name = str_trim(rest) };
    if (file.name.len > 0)
        w->on_file(w->arg, &file);
}

static void end_leaf(struct walker *w) {
    const struct part_header *part = &w->part;
    struct str second = { part->type_name, part->type_name_len };
    struct mime_file file = { .name = name_of(part), .type = part_type(part), .kind = leaf_kind(&w->leaf) };
    w->on_file(w->arg, &file);
    if (part->file_name_len > 0 && second.len > 0 && !str_eq(file.name, second)) {
        file.name = second;
        w->on_file(w->arg, &file);
    }
}

/* ---- levels */

static void begin_part(struct walker *w) {
    if (++w->n_parts > MIME_PARTS_MAX)
        note(w, MIME_TOO_MANY_PARTS);
    w->mode = w->n_parts > MIME_PARTS_MAX ? SKIP : HEADER;
    w->field_len = 0;
    w->skips_field = false;
    part_header_init(&w->part);
}

static bool push(struct walker *w, const struct level *level) {
    if (w->n_levels == MIME_DEPTH_MAX) {
        note(w, MIME_TOO_DEEP);
        return false;
    }
    w->levels[w->n_levels++] = *level;
    return true;
}

static void begin_multipart(struct walker *w, struct str type) {
    const struct part_header *part = &w->part;
    struct level level = { .is_digest = str_eq(type, STR("multipart/digest")) };
    w->mode = SKIP;
    if (part->boundary_len == 0 || part->boundary_len > MIME_BOUNDARY_MAX) {
        note(w, MIME_LONG_BOUNDARY);
        return;
    }
    level.len = (uint8_t)part->boundary_len;
    memcpy(level.boundary, part->boundary, level.len);
    push(w, &level);
}

/* The header of a part is over. */
static void begin_body(struct walker *w) {
    struct str type = part_type(&w->part);
    bool is_in_digest = w->n_levels > 0 && w->levels[w->n_levels - 1].is_digest;
    bool is_message = str_eq(type, STR("message/rfc822")) || str_eq(type, STR("message/global"))
        || (type.len == 0 && is_in_digest);
    if (str_starts_nocase(type, STR("multipart/"))) {
        begin_multipart(w, type);
    } else if (is_message && w->part.encoding == PART_IDENTITY) {
        w->mode = SKIP;
        if (push(w, &(struct level){ .is_message = true }))
            begin_part(w);
    } else { /* a message that is encoded, too, against RFC 2046 5.2.1: its first bytes and name are looked at */
        w->mode = LEAF;
        leaf_init(&w->leaf, (enum part_encoding)w->part.encoding);
    }
}

static void end_field(struct walker *w) {
    if (w->field_len > 0 && !w->skips_field)
        part_header_field(&w->part, (struct str){ w->field, w->field_len });
    w->field_len = 0;
    w->skips_field = false;
}

/* What stands before a boundary, or the end of the message. */
static void end_part(struct walker *w) {
    if (w->mode == HEADER) { /* a header alone: an empty body */
        end_field(w);
        begin_body(w);
    }
    if (w->mode == LEAF)
        end_leaf(w);
    w->mode = SKIP;
}

/* ---- boundaries */

/* The level whose boundary the line is, or -1. Blanks may follow it (RFC 2046 5.1.1). */
static int find_level(const struct walker *w, struct str line, bool *ret_is_last) {
    for (int i = (int)w->n_levels - 1; i >= 0; i--) {
        const struct level *level = &w->levels[i];
        if (level->is_message || line.len < 2u + level->len || memcmp(line.at + 2, level->boundary, level->len) != 0)
            continue;
        struct str rest = str_from(line, 2u + level->len);
        *ret_is_last = str_starts_nocase(rest, STR("--"));
        if (str_trim(*ret_is_last ? str_from(rest, 2) : rest).len == 0)
            return i;
    }
    return -1;
}

static bool is_boundary(struct walker *w, struct str line) {
    bool is_last;
    int at = find_level(w, line, &is_last);
    if (at < 0)
        return false;
    end_part(w);
    w->n_levels = (unsigned)at + !is_last;
    if (!is_last)
        begin_part(w);
    return true;
}

/* ---- lines */

/* Fields that are of no interest are known by their first letter: all that are begin with Content-. */
static void take_header(struct walker *w, const char *at, size_t len) {
    size_t room = MIME_FIELD_MAX - w->field_len;
    if (w->skips_field)
        return;
    if (len > room)
        note(w, MIME_LONG_FIELD);
    len = len < room ? len : room;
    memcpy(w->field + w->field_len, at, len);
    w->field_len += len;
    if (w->field_len >= 8)
        w->skips_field = !str_starts_nocase((struct str){ w->field, w->field_len }, STR("content-"));
}

static void take_text(struct walker *w, const char *at, size_t len) {
    if (w->mode == HEADER)
        take_header(w, at, len);
    else if (w->mode == LEAF && w->leaf.wants_more)
        leaf_feed(&w->leaf, at, len, on_zip_name, w);
}

/* A line begins with at[0]; of a header it may be folded into the field before, or be the empty one. */
static void begin_line(struct walker *w, char first) {
    w->is_held = first == '-' && w->n_levels > 0;
    w->held_len = 0;
    if (w->mode == LEAF && w->part.encoding == PART_IDENTITY && first == 'b')
        w->is_held = true; /* uuencode */
    if (w->mode == HEADER && first != ' ' && first != '\t')
        end_field(w);
    w->is_header_end = w->mode == HEADER && first == '\r';
    if (w->is_header_end) {
        begin_body(w);
        w->is_held = false;
    }
}

static void release(struct walker *w) {
    w->is_held = false;
    take_text(w, w->held, w->held_len);
}

/* The line is whole, but for its end. */
static void end_line(struct walker *w) {
    struct str line = { w->held, w->held_len };
    if (!w->is_held)
        return;
    w->is_held = false;
    if (line.len >= 2 && line.at[0] == '-' && line.at[1] == '-' && is_boundary(w, line))
        return;
    if (w->mode == LEAF && line.at[0] == 'b')
        look_for_uuencode(w, line);
    take_text(w, line.at, line.len);
}

/* The text of a line, without its end; some of it, or all. */
static void take_line(struct walker *w, const char *at, size_t len) {
    while (len > 0) {
        size_t room = LINE_START_MAX - w->held_len, some = len < room ? len : room;
        if (!w->is_held) {
            take_text(w, at, len);
            return;
        }
        memcpy(w->held + w->held_len, at, some);
        w->held_len += some;
        at += some;
        len -= some;
        if (len > 0)
            release(w);
    }
}

static bool is_text_wanted(const struct walker *w) {
    return w->mode == HEADER || (w->mode == LEAF && w->leaf.wants_more) || w->is_held;
}

void walker_feed(struct walker *w, const char *at, size_t len) {
    const char *end = at + len;
    while (at < end) {
        if (w->is_line_start) {
            begin_line(w, *at);
            w->is_line_start = false;
        }
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf != NULL ? lf : end;
        if (is_text_wanted(w)) { /* CR is of the line's end, and may come in the slice before */
            size_t text = (size_t)(stop - at);
            bool has_cr = text > 0 && stop[-1] == '\r';
            if (w->is_after_cr && (text > 0 || lf == NULL))
                take_line(w, "\r", 1);
            take_line(w, at, text - has_cr);
            w->is_after_cr = has_cr && lf == NULL;
        }
        if (lf == NULL)
            return;
        w->is_after_cr = false;
        end_line(w);
        if (!w->is_header_end && w->mode == LEAF && w->leaf.wants_more && w->part.encoding != PART_BASE64)
            leaf_feed(&w->leaf, "\r\n", 2, on_zip_name, w);
        w->is_line_start = true;
        at = lf + 1;
    }
}

enum mime_trouble walker_end(struct walker *w) {
    end_line(w);
    end_part(w);
    return (enum mime_trouble)w->trouble;
}

struct walker *walker_new(mime_file_fn *on_file, void *arg) {
    struct walker *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->on_file = on_file;
    w->arg = arg;
    w->is_line_start = true;
    begin_part(w);
    return w;
}

void walker_free(struct walker *walker) {
    free(walker);
}
