/*
 * field_filter: see the header.
 *
 * A field is known by its name, up to the colon; blanks in front of the colon are obsolete syntax (RFC 5322 4.5) that
 * mail clients understand. They may be more than we look at: then the name in front of them counts, since a colon may
 * follow. A line that is no field is none of ours and stays.
 *
 * No name has a byte outside of printable ASCII in it (RFC 5322 3.6.8), but a mail client may overlook one: a NUL, a
 * byte order mark, a blank in front of the first field. So names are compared without such bytes. Where they fill all
 * that we look at, and the rest may yet become one of our names, the field is dropped.
 *
 * Authentication-Results are dropped if they may be of our authserv-id. That stands behind comments and folds (RFC 8601
 * 2.2); where it cannot be read in what we look at, the field is dropped: nobody honest writes it so.
 *
 * Rejected: renaming such fields (X-Old-Spam-Flag: more bytes for a question nobody asks), and a list in the
 * configuration (which names mail clients trust is not a site's choice, and one forgotten is a hole).
 */
#include "mime/field_filter.h"

#include <string.h>

enum { NAME_SEEN = 32 /* of a name, as much as is compared: more than any of those below has */ };

static const char *const our_prefixes[] = { "x-virus-", "x-spam-", "x-postern-" };

/* A field's name as a client that overlooks what cannot be in one reads it: its first bytes. */
static struct str visible(struct str name, char to[NAME_SEEN]) {
    size_t n = 0;
    for (size_t i = 0; i < name.len && n < NAME_SEEN; i++)
        if (name.at[i] > ' ' && name.at[i] < 127)
            to[n++] = name.at[i];
    return (struct str){ to, n };
}

bool field_is_ours(struct str name) {
    char seen[NAME_SEEN];
    name = visible(name, seen);
    for (size_t i = 0; i < sizeof(our_prefixes) / sizeof(our_prefixes[0]); i++)
        if (str_starts_nocase(name, str_of(our_prefixes[i])))
            return true;
    return false;
}

void field_filter_init(struct field_filter *filter, const struct field_edit *edit) {
    *filter = (struct field_filter){ .edit = edit };
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_control(char c) {
    return (c >= 0 && c < ' ' && !is_blank(c) && c != '\r' && c != '\n') || c == 127;
}

/* Blanks and control characters fill what is seen of a field, and what follows may make a name of ours. */
static bool may_become_ours(struct str seen) {
    char letters[FIELD_PEEK];
    size_t n = 0;
    for (size_t i = 0; i < seen.len; i++)
        if (!is_blank(seen.at[i]) && !is_control(seen.at[i]))
            letters[n++] = seen.at[i];
    struct str name = { letters, n };
    if (n == seen.len || str_find(seen, '\n') < seen.len)
        return false;
    for (size_t i = 0; i < sizeof(our_prefixes) / sizeof(our_prefixes[0]); i++)
        if (str_starts_nocase(str_of(our_prefixes[i]), name) || str_starts_nocase(name, str_of(our_prefixes[i])))
            return true;
    return str_starts_nocase(STR("Authentication-Results"), name);
}

/* The name of the field that begins here; *ret_value is where its value does, 0: behind what is seen. Empty: it is no
 * field. */
static struct str name_of(struct str field, size_t *ret_value) {
    size_t end = 0;
    while (end < field.len && field.at[end] != ':' && field.at[end] != '\r' && field.at[end] != '\n')
        end++;
    bool has_colon = end < field.len && field.at[end] == ':';
    bool goes_on = end == field.len && end >= FIELD_PEEK && is_blank(field.at[end - 1]);
    if (!has_colon && !goes_on)
        return (struct str){ 0 };
    *ret_value = has_colon ? end + 1 : 0;
    while (end > 0 && is_blank(field.at[end - 1]))
        end--;
    return str_head(field, end);
}

/* What is seen of the field that begins here, without what follows it. */
static struct str field_of(const char *at, size_t len) {
    for (size_t i = 0; i + 2 < len; i++)
        if (at[i] == '\r' && at[i + 1] == '\n' && !is_blank(at[i + 2]))
            return (struct str){ at, i };
    return (struct str){ at, len };
}

/* ---- Authentication-Results */

/* Skips blanks, folds and comments. Returns where it stopped, or SIZE_MAX: a comment does not end here. */
static size_t skip_cfws(struct str text, size_t at) {
    unsigned depth = 0;
    for (; at < text.len; at++) {
        char c = text.at[at];
        if (c == '\\' && depth > 0)
            at++;
        else if (c == '(')
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (depth == 0 && !is_blank(c) && !is_control(c) && c != '\r' && c != '\n')
            return at;
    }
    return depth > 0 ? SIZE_MAX : text.len;
}

/* A token or a quoted string; escapes in it are taken out by comparing around them. */
static bool equals_value(struct str text, size_t at, struct str id, bool *ret_is_whole) {
    bool is_quoted = at < text.len && text.at[at] == '"', is_equal = true;
    size_t n = 0;
    for (at += is_quoted; at < text.len; at++) {
        char c = text.at[at];
        if (is_quoted ? c == '"' : is_blank(c) || c == ';' || c == '(' || c == '\r' || c == '\n') {
            *ret_is_whole = true;
            return is_equal && n == id.len;
        }
        if (is_quoted && c == '\\' && at + 1 < text.len)
            c = text.at[++at];
        if (is_control(c))
            continue;
        is_equal = is_equal && n < id.len && ascii_lower(c) == ascii_lower(id.at[n]);
        n++;
    }
    *ret_is_whole = false;
    return is_equal && n == id.len;
}

static bool may_be_our_results(const struct field_filter *filter, struct str field, size_t value) {
    size_t at = skip_cfws(field, value > 0 ? value : field.len);
    bool is_whole = false;
    if (filter->edit->authserv_id.len == 0)
        return false;
    if (at == SIZE_MAX || (at == field.len && field.len >= FIELD_PEEK))
        return true;
    bool is_equal = equals_value(field, at, filter->edit->authserv_id, &is_whole);
    return is_equal || (!is_whole && field.len >= FIELD_PEEK);
}

/* ---- one after the other */

/* It may have no room for a tag (998 octets, RFC 5322 2.1.1). */
static bool is_long_line(const char *at, size_t len) {
    return len >= FIELD_PEEK && memchr(at, '\n', len) == NULL;
}

enum field_fate field_filter_begin(struct field_filter *filter, const char *at, size_t len, size_t *ret_at,
                                   struct str *ret_insert) {
    const struct str field = field_of(at, len), tag = filter->edit->subject_tag;
    char seen[NAME_SEEN];
    size_t value = 0;
    struct str name = name_of(field, &value);
    *ret_at = 0;
    *ret_insert = (struct str){ 0 };
    filter->line_end = 0;
    if (len == 0 || (len >= 2 && at[0] == '\r' && at[1] == '\n')) { /* the header is over, or the message */
        *ret_insert = tag.len > 0 && !filter->has_subject ? filter->edit->subject : *ret_insert;
        return FIELD_TEXT;
    }
    bool is_cut = len >= FIELD_PEEK && str_find(field, ':') == field.len;
    if (field_is_ours(name) || (is_cut && may_become_ours(field)))
        return FIELD_DROPPED;
    name = visible(name, seen);
    if (str_eq_nocase(name, STR("Authentication-Results")) && may_be_our_results(filter, field, value))
        return FIELD_DROPPED;
    if (tag.len > 0 && value > 0 && str_eq_nocase(name, STR("Subject"))) {
        filter->has_subject = true;
        *ret_at = value < len && at[value] == ' ' ? value + 1 : value;
        *ret_insert = is_long_line(at, len) ? filter->edit->subject_fold : tag;
    }
    return FIELD_KEPT;
}

size_t field_filter_span(struct field_filter *filter, const char *at, size_t len) {
    size_t i = 0;
    while (i < len) {
        if (filter->line_end == 2) { /* a line has ended: a blank folds the next one into the field */
            if (!is_blank(at[i]))
                return i;
            filter->line_end = 0;
        }
        const char *cr = memchr(at + i, '\r', len - i);
        if (filter->line_end == 1 && at[i] == '\n') {
            filter->line_end = 2;
            i++;
        } else if (cr == NULL) {
            filter->line_end = 0;
            return len;
        } else {
            i = (size_t)(cr - at) + 1;
            filter->line_end = 1;
        }
    }
    return len;
}
