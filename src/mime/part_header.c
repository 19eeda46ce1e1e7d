/*
 * part_header: see the header.
 *
 * A parameter may come in pieces: name*0=, name*1*= (RFC 2231 3); they count in the order of their numbers, however
 * they stand. Parsers disagree about everything that is not quite right here, and attackers know; so what could be a
 * name is taken as one: unquoted values with blanks in them up to the semicolon, and quotes that do not end.
 */
#include "mime/part_header.h"

enum { PIECES_MAX = 32 };

struct piece {
    struct str value; /* between the quotes, escapes still in */
    bool is_quoted, is_encoded /* name*1* */;
};

struct parameter {
    struct piece pieces[PIECES_MAX];
    unsigned n; /* one past the highest number */
    bool has_plain;
    struct piece plain; /* name= */

};

struct out { /* a bounded name in the making */
    char *at;
    size_t len, max;
};

static void put(struct out *out, char c) {
    if (out->len < out->max)
        out->at[out->len++] = (unsigned char)c < ' ' || c == 127 ? '?' : c;
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char byte_of(int high, int low) {
    return (char)(high << 4 | low);
}

static int base64(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* ---- decoding */

static void put_base64(struct out *out, struct str text) {
    uint32_t bits = 0;
    unsigned n = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64(text.at[i]);
        if (value < 0)
            continue;
        bits = bits << 6 | (uint32_t)value;
        n += 6;
        if (n >= 8) {
            n -= 8;
            put(out, (char)(bits >> n & 255));
        }
    }
}

static void put_q(struct out *out, struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        int high = i + 2 < text.len && text.at[i] == '=' ? hex(text.at[i + 1]) : -1;
        int low = high >= 0 ? hex(text.at[i + 2]) : -1;
        if (low >= 0)
            i += 2;
        if (low >= 0)
            put(out, byte_of(high, low));
        else
            put(out, text.at[i] == '_' ? ' ' : text.at[i]);
    }
}

/* "=?charset?b?...?=" at the front of `text`. Returns its length, 0: there is none. */
static size_t put_encoded_word(struct out *out, struct str text) {
    if (text.len < 8 || text.at[0] != '=' || text.at[1] != '?')
        return 0;
    size_t charset = 2 + str_find(str_from(text, 2), '?'), encoding = charset + 1, start = encoding + 2;
    if (start >= text.len || text.at[encoding + 1] != '?')
        return 0;
    size_t end = start;
    while (end + 1 < text.len && !(text.at[end] == '?' && text.at[end + 1] == '='))
        end++;
    char kind = ascii_lower(text.at[encoding]);
    if (end + 1 >= text.len || (kind != 'b' && kind != 'q'))
        return 0;
    struct str word = str_from(str_head(text, end), start);
    if (kind == 'b')
        put_base64(out, word);
    else
        put_q(out, word);
    return end + 2;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* Quoted or plain text with encoded words in it; blanks between two such words are none (RFC 2047 6.2). */
static void put_text(struct out *out, const struct piece *piece) {
    struct str text = piece->value;
    bool was_word = false;
    while (text.len > 0) {
        size_t word = put_encoded_word(out, text);
        if (word > 0) {
            text = str_from(text, word);
            was_word = true;
            continue;
        }
        size_t blanks = 0;
        while (blanks < text.len && is_blank(text.at[blanks]))
            blanks++;
        struct str behind = str_from(text, blanks);
        if (was_word && blanks > 0 && behind.len > 1 && behind.at[0] == '=' && behind.at[1] == '?') {
            text = behind;
            continue;
        }
        was_word = false;
        if (piece->is_quoted && text.at[0] == '\\' && text.len > 1)
            text = str_from(text, 1);
        put(out, text.at[0]);
        text = str_from(text, 1);
    }
}

static void put_percent(struct out *out, struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        int high = i + 2 < text.len && text.at[i] == '%' ? hex(text.at[i + 1]) : -1;
        int low = high >= 0 ? hex(text.at[i + 2]) : -1;
        put(out, low >= 0 ? byte_of(high, low) : text.at[i]);
        i += low >= 0 ? 2 : 0;
    }
}

/* "utf-8'en'text": what stands behind the second quote; all of it where there are not two. */
static struct str without_charset(struct str text) {
    size_t first = str_find(text, '\''), second = first + 1 + str_find(str_from(text, first + 1), '\'');
    return second < text.len ? str_from(text, second + 1) : text;
}

static void put_parameter(struct out *out, const struct parameter *parameter) {
    for (unsigned i = 0; i < parameter->n; i++) {
        const struct piece *piece = &parameter->pieces[i];
        if (!piece->is_encoded)
            put_text(out, piece);
        else
            put_percent(out, i == 0 ? without_charset(piece->value) : piece->value);
    }
    if (parameter->n == 0 && parameter->has_plain)
        put_text(out, &parameter->plain);
}

/* ---- the grammar */

/* Takes a value off the front of *rest: quoted, or up to the semicolon. */
static struct piece take_value(struct str *rest) {
    struct str text = str_trim(*rest);
    struct piece piece = { 0 };
    if (text.len > 0 && text.at[0] == '"') {
        size_t end = 1;
        while (end < text.len && text.at[end] != '"')
            end += text.at[end] == '\\' ? 2 : 1;
        end = end < text.len ? end : text.len;
        piece = (struct piece){ .value = str_from(str_head(text, end), 1), .is_quoted = true };
        *rest = str_from(text, end + 1);
    } else {
        size_t end = str_find(text, ';');
        piece.value = str_trim(str_head(text, end));
        *rest = str_from(text, end);
    }
    size_t semicolon = str_find(*rest, ';');
    *rest = str_from(*rest, semicolon + 1);
    return piece;
}

/* `suffix` is what stands behind the parameter's name: "", "*", "*1", "*1*". */
static void keep_piece(struct parameter *parameter, struct str suffix, const struct piece *piece) {
    unsigned long long number = 0;
    if (suffix.len == 0) {
        if (!parameter->has_plain)
            parameter->plain = *piece;
        parameter->has_plain = true;
        return;
    }
    struct str digits = str_from(suffix, 1);
    bool is_encoded = digits.len == 0 || digits.at[digits.len - 1] == '*';
    if (digits.len > 0 && is_encoded)
        digits = str_head(digits, digits.len - 1);
    if (digits.len > 0 && str_to_u64(digits, PIECES_MAX - 1, &number) < 0)
        return;
    struct piece *at = &parameter->pieces[number];
    if (at->value.at != NULL)
        return;
    *at = *piece;
    at->is_encoded = is_encoded;
    parameter->n = (unsigned)number >= parameter->n ? (unsigned)number + 1 : parameter->n;
}

/* The parameter `name` of a field's value, behind its first semicolon. */
static size_t parse_parameter(struct str value, struct str name, char *to, size_t max) {
    struct parameter parameter = { .n = 0 };
    struct out out = { .at = to, .max = max };
    struct str rest = str_from(value, str_find(value, ';') + 1);
    while (rest.len > 0) {
        size_t equals = str_find(rest, '='), semicolon = str_find(rest, ';');
        if (semicolon < equals) { /* a word without a value */
            rest = str_from(rest, semicolon + 1);
            continue;
        }
        struct str attribute = str_trim(str_head(rest, equals));
        rest = str_from(rest, equals + 1);
        struct piece piece = take_value(&rest);
        struct str suffix = str_from(attribute, name.len);
        if (str_starts_nocase(attribute, name) && (suffix.len == 0 || suffix.at[0] == '*'))
            keep_piece(&parameter, suffix, &piece);
    }
    put_parameter(&out, &parameter);
    return out.len;
}

/* Of "C:\dir\name.exe. " the system makes name.exe. */
static size_t clean_name(char *name, size_t len) {
    size_t from = 0;
    while (len > 0 && (name[len - 1] == '.' || name[len - 1] == ' '))
        len--;
    for (size_t i = 0; i < len; i++)
        if (name[i] == '/' || name[i] == '\\')
            from = i + 1;
    memmove(name, name + from, len - from);
    return len - from;
}

static void parse_type(struct part_header *header, struct str value) {
    struct str type = str_trim(str_head(value, str_find(value, ';')));
    if (header->has_type)
        return;
    header->has_type = true;
    type = str_head(type, PART_TYPE_MAX);
    for (size_t i = 0; i < type.len; i++)
        header->type[i] = ascii_lower(type.at[i]);
    header->type_len = (uint16_t)type.len;
    header->boundary_len = (uint16_t)parse_parameter(value, STR("boundary"), header->boundary, PART_BOUNDARY_MAX);
    size_t len = parse_parameter(value, STR("name"), header->type_name, PART_NAME_MAX);
    header->type_name_len = (uint16_t)clean_name(header->type_name, len);
}

static void parse_encoding(struct part_header *header, struct str value) {
    struct str word = str_trim(str_head(value, str_find(value, ';')));
    if (header->has_encoding)
        return;
    header->has_encoding = true;
    if (str_eq_nocase(word, STR("base64")))
        header->encoding = PART_BASE64;
    else if (str_eq_nocase(word, STR("quoted-printable")))
        header->encoding = PART_QUOTED_PRINTABLE;
}

void part_header_init(struct part_header *header) {
    *header = (struct part_header){ .encoding = PART_IDENTITY };
}

void part_header_field(struct part_header *header, struct str field) {
    size_t colon = str_find(field, ':');
    struct str name = str_trim(str_head(field, colon)), value = str_from(field, colon + 1);
    if (str_eq_nocase(name, STR("Content-Type"))) {
        parse_type(header, value);
    } else if (str_eq_nocase(name, STR("Content-Transfer-Encoding"))) {
        parse_encoding(header, value);
    } else if (str_eq_nocase(name, STR("Content-Disposition")) && header->file_name_len == 0) {
        size_t len = parse_parameter(value, STR("filename"), header->file_name, PART_NAME_MAX);
        header->file_name_len = (uint16_t)clean_name(header->file_name, len);
    }
}
