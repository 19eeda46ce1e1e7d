/*
 * walker: see the header.
 *
 *   HEADER ─empty line─▶ multipart: SKIP (preamble) ─▶ boundary ─▶ HEADER …
 *                        message/rfc822: HEADER of the message in it
 *                        the same, encoded: MESSAGE, decoded and fed to a walker of its own
 *                        else LEAF ─boundary of any level─▶ HEADER, or SKIP behind the last one
 *
 * Text comes in slices, lines are found in it. A line that begins with "--" is kept until it ends or is longer than any
 * boundary, since it may be one; all other lines go to the leaf as they come. The innermost boundary is compared first,
 * and one of an outer level ends all levels inside of it, as mail clients do with messages that were cut. A level that
 * was closed (`--boundary--`) stays until then: what stands behind with its boundary is no part (RFC 2046 5.1.1), but
 * some clients show it as one.
 *
 * A field about the part is kept whole, up to MIME_FIELD_MAX; others are skipped once their name is known.
 *
 * Messages inside must not be encoded (RFC 2046 5.2.1), but some are, and clients decode them. Whose bytes come decoded
 * may have lines that end in a bare LF.
 *
 * Rejected: a tree of parts (memory by the number of parts, for a question that streams); guessing which of two
 * boundaries a client goes by (a trouble instead: nobody honest gives two).
 */
#include "mime/walker.h"

#include "mime/leaf.h"

#include <stdlib.h>

enum { LINE_START_MAX = 320 /* "--", boundary, "--" and blanks; "begin 644 " and a name */, DECODED = 1024 };

enum mode { HEADER, LEAF, MESSAGE, SKIP };

struct level { /* a multipart, or a message inside a message (without a boundary) */
    uint8_t len;
    bool is_message, is_digest;
    bool has_part, has_text; /* its boundary was seen; other text was */
    char boundary[MIME_BOUNDARY_MAX];
};

struct walker {
    mime_file_fn *on_file;
    void *arg;
    struct walker *inner;  /* for an encoded message, allocated with this one; NULL: this is it */
    uint8_t mode;          /* enum mode */
    uint8_t trouble;       /* enum mime_trouble: the first */
    bool is_line_start, is_after_cr, is_held /* the line may be a boundary */, skips_field;
    bool is_header_end;    /* the line that ends a header, which is none of the body */
    unsigned n_levels, n_parts, n_listed;
    struct level levels[MIME_DEPTH_MAX];
    struct part_header part;
    struct leaf leaf;
    size_t held_len, field_len;
    char held[LINE_START_MAX];
    char field[MIME_FIELD_MAX];
};

const char *mime_trouble_text(enum mime_trouble trouble) {
    static const char *const texts[] = {
        [MIME_FINE] = "",
        [MIME_TOO_DEEP] = "parts nested too deep",
        [MIME_TOO_MANY_PARTS] = "too many parts",
        [MIME_TOO_MANY_NAMES] = "too many files in archives",
        [MIME_LONG_FIELD] = "a field about a part is too long",
        [MIME_LONG_NAME] = "a file has too many names, or one in too many pieces",
        [MIME_LONG_BOUNDARY] = "a boundary is missing or too long",
        [MIME_NO_PART] = "a boundary is announced and never comes",
        [MIME_CONTRADICTION] = "a part has two types, encodings or boundaries",
        [MIME_FRAGMENT] = "a piece of a message",
        [MIME_ARCHIVE] = "names in a ZIP cannot be read",
    };
    return texts[trouble];
}

static void note(struct walker *w, enum mime_trouble trouble) {
    if (w->trouble == MIME_FINE)
        w->trouble = (uint8_t)trouble;
}

/* ---- files */

/* A file that is listed in something else, of which there may be any number. False: there were too many. */
static bool tell_listed(struct walker *w, const struct mime_file *file) {
    if (w->n_listed == MIME_LISTED_MAX) {
        note(w, MIME_TOO_MANY_NAMES);
        return false;
    }
    w->n_listed++;
    w->on_file(w->arg, file);
    return true;
}

static bool on_zip_name(void *arg, struct str name, bool is_encrypted) {
    struct walker *w = arg;
    struct str archive = part_name(&w->part);
    if (archive.len == 0)
        archive = STR("a ZIP without a name");
    const struct mime_file file = { .name = name, .archive = archive, .is_encrypted = is_encrypted };
    return tell_listed(w, &file);
}

/* "begin 644 name", also "begin-base64": a file in the middle of text, which some clients still show as one. */
static bool is_uuencode(struct str line, struct str *ret_name) {
    unsigned long long mode;
    struct str word = str_word(&line);
    if ((!str_eq(word, STR("begin")) && !str_eq(word, STR("begin-base64"))) ||
        str_to_u64(str_word(&line), 9999, &mode) < 0)
        return false;
    *ret_name = str_trim(line);
    return ret_name->len > 0;
}

/* Where a NUL is in its name, it ends there for some. */
static void look_for_uuencode(struct walker *w, struct str line) {
    struct mime_file file = { 0 };
    struct part_name name;
    struct str text;
    if (!is_uuencode(line, &text))
        return;
    for (size_t len = text.len;; len = str_find(text, '\0')) {
        part_name_set(&name, str_head(text, len));
        file.name = (struct str){ name.at, name.len };
        if (name.len > 0)
            tell_listed(w, &file);
        if (len == str_find(text, '\0'))
            return;
    }
}

/* The part under each of its names; with none once, if it is a file (and not what holds other parts). */
static void tell_part(struct walker *w, enum file_kind kind, bool is_file) {
    struct mime_file file = { .type = part_type(&w->part), .kind = kind };
    for (unsigned i = 0; i < w->part.n_names; i++) {
        file.name = (struct str){ w->part.names[i].at, w->part.names[i].len };
        w->on_file(w->arg, &file);
    }
    if (w->part.n_names == 0 && is_file)
        w->on_file(w->arg, &file);
}

static void end_leaf(struct walker *w) {
    leaf_end(&w->leaf, on_zip_name, w);
    if (w->leaf.zip.is_unreadable)
        note(w, MIME_ARCHIVE);
    tell_part(w, leaf_kind(&w->leaf), true);
}

/* Archives that need not begin like one. */
static bool may_be_zip(const struct part_header *part) {
    static const char *const endings[] = { ".zip", ".zipx", ".jar", ".docx", ".xlsx", ".pptx", ".docm", ".xlsm" };
    for (unsigned i = 0; i < part->n_names; i++)
        for (size_t k = 0; k < sizeof(endings) / sizeof(endings[0]); k++)
            if (str_ends_nocase((struct str){ part->names[i].at, part->names[i].len }, str_of(endings[k])))
                return true;
    return str_ends_nocase(part_type(part), STR("zip")) || str_ends_nocase(part_type(part), STR("zip-compressed"));
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

/*
 * All levels end that are deeper than `depth`. One that had text, but no part, had another boundary than we know. (The
 * head of a message that was returned has no text.)
 */
static void pop(struct walker *w, unsigned depth) {
    while (w->n_levels > depth) {
        const struct level *level = &w->levels[--w->n_levels];
        if (!level->is_message && level->has_text && !level->has_part)
            note(w, MIME_NO_PART);
    }
}

/* Text that is no boundary, where only a boundary is expected. */
static void note_text(struct walker *w) {
    if (w->mode == SKIP && w->n_levels > 0)
        w->levels[w->n_levels - 1].has_text = true;
}

static void begin_multipart(struct walker *w, struct str type) {
    const struct part_header *part = &w->part;
    struct level level = { .is_digest = str_eq(type, STR("multipart/digest")) };
    w->mode = SKIP;
    if (part->boundary_len == 0 || part->boundary_len > MIME_BOUNDARY_MAX) {
        note(w, MIME_LONG_BOUNDARY);
        return;
    }
    level.len = part->boundary_len;
    memcpy(level.boundary, part->boundary, level.len);
    push(w, &level);
}

static void begin_message(struct walker *w) {
    w->mode = SKIP;
    if (push(w, &(struct level){ .is_message = true }))
        begin_part(w);
}

static void reset(struct walker *w, const struct walker *outer) {
    w->n_levels = 0;
    w->held_len = 0;
    w->is_after_cr = w->is_held = w->is_header_end = false;
    w->is_line_start = true;
    w->trouble = MIME_FINE;
    w->n_parts = outer != NULL ? outer->n_parts : 0;
    w->n_listed = outer != NULL ? outer->n_listed : 0;
    begin_part(w);
}

static void begin_encoded_message(struct walker *w) {
    w->mode = SKIP;
    if (w->inner == NULL) {
        note(w, MIME_TOO_DEEP);
        return;
    }
    w->mode = MESSAGE;
    transfer_init(&w->leaf.transfer, (enum transfer_encoding)w->part.encoding);
    reset(w->inner, w);
}

static void end_encoded_message(struct walker *w) {
    note(w, walker_end(w->inner));
    w->n_parts = w->inner->n_parts;
    w->n_listed = w->inner->n_listed;
}

static void note_part_troubles(struct walker *w, struct str type) {
    if (w->part.is_contradictory)
        note(w, MIME_CONTRADICTION);
    if (w->part.lost_names)
        note(w, MIME_LONG_NAME);
    if (str_eq(type, STR("message/partial")))
        note(w, MIME_FRAGMENT);
}

/* The header of a part is over. */
static void begin_body(struct walker *w) {
    struct str type = part_type(&w->part);
    bool is_in_digest = w->n_levels > 0 && w->levels[w->n_levels - 1].is_digest;
    bool is_message = is_message_type(type) || (type.len == 0 && is_in_digest);
    note_part_troubles(w, type);
    if (is_message || is_multipart_type(type))
        tell_part(w, FILE_UNKNOWN, false);
    if (is_multipart_type(type)) {
        begin_multipart(w, type);
    } else if (is_message && w->part.encoding != TRANSFER_IDENTITY) {
        begin_encoded_message(w);
    } else if (is_message) {
        begin_message(w);
    } else {
        w->mode = LEAF;
        leaf_init(&w->leaf, (enum transfer_encoding)w->part.encoding, may_be_zip(&w->part));
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
    while (w->mode == HEADER) { /* a header alone: an empty body, which may be that of a message */
        end_field(w);
        begin_body(w);
    }
    if (w->mode == LEAF)
        end_leaf(w);
    else if (w->mode == MESSAGE)
        end_encoded_message(w);
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
    if (line.len < 2 || line.at[0] != '-' || line.at[1] != '-')
        return false;
    int at = find_level(w, line, &is_last);
    if (at < 0)
        return false;
    end_part(w);
    pop(w, (unsigned)at + 1);
    w->levels[at].has_part = true;
    if (!is_last)
        begin_part(w);
    return true;
}

/* ---- lines */

/*
 * Fields that are of no interest are known by their first letters: all that are begin with Content-. Blanks and control
 * characters in front of them, or among them, are overlooked, as some clients do.
 */
static void take_header(struct walker *w, const char *at, size_t len) {
    if (w->skips_field)
        return;
    while (w->field_len < sizeof("content-") - 1 && len > 0) {
        if ((unsigned char)*at > ' ' && *at != 127)
            w->field[w->field_len++] = *at;
        at++;
        len--;
    }
    size_t room = MIME_FIELD_MAX - w->field_len;
    if (len > room)
        note(w, MIME_LONG_FIELD);
    len = len < room ? len : room;
    memcpy(w->field + w->field_len, at, len);
    w->field_len += len;
    if (w->field_len >= sizeof("content-") - 1)
        w->skips_field = !str_starts_nocase((struct str){ w->field, w->field_len }, STR("content-"));
}

static void feed_inner(struct walker *w, const char *at, size_t len) {
    char decoded[DECODED];
    while (len > 0) {
        size_t used, n = transfer_decode(&w->leaf.transfer, at, len, &used, decoded, sizeof(decoded));
        walker_feed(w->inner, decoded, n);
        at += used;
        len -= used;
    }
}

static void take_text(struct walker *w, const char *at, size_t len) {
    if (w->mode == HEADER)
        take_header(w, at, len);
    else if (w->mode == LEAF && w->leaf.wants_more)
        leaf_feed(&w->leaf, at, len, on_zip_name, w);
    else if (w->mode == MESSAGE)
        feed_inner(w, at, len);
}

/* A line begins with at[0]; of a header it may be folded into the field before, or be the empty one. */
static void begin_line(struct walker *w, char first) {
    bool is_empty = first == '\r' || first == '\n';
    w->is_held = first == '-' && w->n_levels > 0;
    w->held_len = 0;
    if (w->mode == LEAF && w->part.encoding == TRANSFER_IDENTITY && first == 'b')
        w->is_held = true; /* uuencode */
    if (!w->is_held && !is_empty)
        note_text(w);
    if (w->mode == HEADER && first != ' ' && first != '\t')
        end_field(w);
    w->is_header_end = w->mode == HEADER && is_empty;
    if (w->is_header_end) {
        begin_body(w);
        w->is_held = false;
    }
}

/* The line goes on behind what is held of it. What begins like a boundary or a file's name and goes on is a trouble. */
static void release(struct walker *w) {
    struct str line = { w->held, w->held_len }, name;
    bool is_last;
    w->is_held = false;
    if (line.at[0] == '-' && line.at[1] == '-' && find_level(w, line, &is_last) >= 0)
        note(w, MIME_LONG_BOUNDARY);
    if (line.at[0] == 'b' && is_uuencode(line, &name))
        note(w, MIME_LONG_NAME);
    note_text(w);
    take_text(w, line.at, line.len);
}

/* The line is whole, but for its end. */
static void end_line(struct walker *w) {
    struct str line = { w->held, w->held_len };
    if (!w->is_held)
        return;
    w->is_held = false;
    if (is_boundary(w, line))
        return;
    if (w->mode == LEAF && line.at[0] == 'b')
        look_for_uuencode(w, line);
    note_text(w);
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
    return w->mode == HEADER || w->mode == MESSAGE || (w->mode == LEAF && w->leaf.wants_more) || w->is_held;
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
        if (!w->is_header_end && (w->mode == LEAF || w->mode == MESSAGE) && w->part.encoding != TRANSFER_BASE64)
            take_text(w, "\r\n", 2);
        w->is_line_start = true;
        at = lf + 1;
    }
}

enum mime_trouble walker_end(struct walker *w) {
    end_line(w);
    end_part(w);
    pop(w, 0);
    return (enum mime_trouble)w->trouble;
}

struct walker *walker_new(mime_file_fn *on_file, void *arg) {
    struct walker *w = calloc(2, sizeof(*w));
    if (w == NULL)
        return NULL;
    w[0].inner = &w[1];
    for (int i = 0; i < 2; i++) {
        w[i].on_file = on_file;
        w[i].arg = arg;
    }
    reset(w, NULL);
    return w;
}

void walker_free(struct walker *walker) {
    free(walker);
}
