/*
 * part_header: see the header.
 *
 * What a mail client would take for a multipart is one here: `multipart` with anything behind it, comments and blanks
 * left out (RFC 2045 5.1 allows them). Two types contradict each other only where one of them has parts: whether a
 * text is plain or HTML does not change which files there are.
 */
#include "mime/part_header.h"

#include "mime/parameter.h"

/* ---- names */

static bool is_separator(char c) {
    return c == '/' || c == '\\';
}

/* Of "C:\dir\name.exe. " the system makes name.exe. */
static struct str without_path(struct str name) {
    while (name.len > 0 && (name.at[name.len - 1] == '.' || name.at[name.len - 1] == ' ' ||
                            is_separator(name.at[name.len - 1])))
        name.len--;
    for (size_t i = name.len; i > 0; i--)
        if (is_separator(name.at[i - 1]))
            return str_from(name, i);
    return name;
}

static bool has_name(const struct part_header *header, const struct part_name *name) {
    for (unsigned i = 0; i < header->n_names; i++)
        if (str_eq((struct str){ header->names[i].at, header->names[i].len }, (struct str){ name->at, name->len }))
            return true;
    return false;
}

void part_name_set(struct part_name *name, struct str text) {
    text = without_path(text);
    if (text.len > PART_NAME_MAX)
        text = str_from(text, text.len - PART_NAME_MAX);
    for (size_t i = 0; i < text.len; i++)
        name->at[i] = (unsigned char)text.at[i] < ' ' || text.at[i] == 127 ? '?' : text.at[i];
    name->len = (uint8_t)text.len;
}

static void add_name(struct part_header *header, struct str text) {
    struct part_name name;
    part_name_set(&name, text);
    if (name.len == 0 || has_name(header, &name))
        return;
    if (header->n_names < PART_NAMES_MAX)
        header->names[header->n_names++] = name;
    else
        header->lost_names = true;
}

/* Where a NUL is in it, it ends there for some; and others leave it out (UTF-16). */
static void on_name(void *arg, struct str text) {
    struct part_header *header = arg;
    char without[PARAMETER_TEXT_MAX];
    size_t nul = str_find(text, '\0'), n = 0;
    if (nul == text.len) {
        add_name(header, text);
        return;
    }
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] != '\0')
            without[n++] = text.at[i];
    add_name(header, (struct str){ without, n });
    add_name(header, str_head(text, nul));
}

static void take_names(struct part_header *header, struct str value) {
    bool is_all = parameter_each(value, STR("filename"), PARAMETER_NAME, on_name, header);
    is_all &= parameter_each(value, STR("name"), PARAMETER_NAME, on_name, header);
    header->lost_names |= !is_all;
}

/* ---- type and encoding */

bool is_multipart_type(struct str type) {
    return str_starts_nocase(type, STR("multipart"));
}

bool is_message_type(struct str type) {
    return str_eq_nocase(type, STR("message/rfc822")) || str_eq_nocase(type, STR("message/global")) ||
           str_eq_nocase(type, STR("message/news"));
}

/* What stands before the parameters, in lower case, without blanks, quotes and comments. */
static struct str copy_word(struct str value, char to[PART_TYPE_MAX]) {
    size_t n = 0;
    unsigned depth = 0;
    for (size_t i = 0; i < value.len && n < PART_TYPE_MAX; i++) {
        char c = value.at[i];
        if (depth == 0 && (c == ';' || c == ','))
            break;
        depth += c == '(';
        if (depth == 0 && c != ' ' && c != '\t' && c != '"')
            to[n++] = ascii_lower(c);
        depth -= c == ')' && depth > 0;
    }
    return (struct str){ to, n };
}

static bool has_parts(struct str type) {
    return is_multipart_type(type) || is_message_type(type);
}

static void on_boundary(void *arg, struct str text) {
    struct part_header *header = arg;
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--; /* a boundary does not end in a blank (RFC 2046 5.1.1) */
    text = str_head(text, PART_BOUNDARY_MAX);
    if (header->has_boundary) {
        header->is_contradictory |= !str_eq(text, (struct str){ header->boundary, header->boundary_len });
        return;
    }
    memcpy(header->boundary, text.at, text.len);
    header->boundary_len = (uint8_t)text.len;
    header->has_boundary = true;
}

static void take_type(struct part_header *header, struct str value) {
    char copy[PART_TYPE_MAX];
    struct str type = copy_word(value, copy);
    if (!header->has_type) {
        memcpy(header->type, type.at, type.len);
        header->type_len = (uint8_t)type.len;
        header->has_type = true;
    } else if (!str_eq(type, part_type(header)) && (has_parts(type) || has_parts(part_type(header)))) {
        header->is_contradictory = true;
    }
    bool is_all = parameter_each(value, STR("boundary"), PARAMETER_RAW, on_boundary, header);
    header->is_contradictory |= !is_all;
    take_names(header, value);
}

static void take_encoding(struct part_header *header, struct str value) {
    char copy[PART_TYPE_MAX];
    struct str word = copy_word(value, copy);
    enum transfer_encoding encoding = TRANSFER_IDENTITY;
    if (str_eq(word, STR("base64")))
        encoding = TRANSFER_BASE64;
    else if (str_eq(word, STR("quoted-printable")))
        encoding = TRANSFER_QP;
    if (!header->has_encoding)
        header->encoding = (uint8_t)encoding;
    header->is_contradictory |= header->encoding != encoding;
    header->has_encoding = true;
}

void part_header_init(struct part_header *header) {
    header->encoding = TRANSFER_IDENTITY;
    header->type_len = header->boundary_len = header->n_names = header->n_fields = 0;
    header->has_type = header->has_encoding = header->has_boundary = false;
    header->is_contradictory = header->lost_names = false;
}

void part_header_field(struct part_header *header, struct str field) {
    size_t colon = str_find(field, ':');
    struct str name = str_trim(str_head(field, colon)), value = str_from(field, colon + 1);
    bool is_type = str_eq_nocase(name, STR("Content-Type"));
    bool is_encoding = str_eq_nocase(name, STR("Content-Transfer-Encoding"));
    bool is_disposition = str_eq_nocase(name, STR("Content-Disposition"));
    if (!is_type && !is_encoding && !is_disposition)
        return;
    if (header->n_fields == PART_FIELDS_MAX) {
        header->is_contradictory = true;
        return;
    }
    header->n_fields++;
    if (is_type)
        take_type(header, value);
    else if (is_encoding)
        take_encoding(header, value);
    else
        take_names(header, value);
}
