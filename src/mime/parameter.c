/*
 * parameter: see the header.
 *
 *   filename=text  filename="text"     each of them; without quotes up to the semicolon, and up to a blank, too;
 *                                      with a quote that does not end up to the end, and up to a semicolon, too
 *   filename*=charset'language'text    percent-encoded
 *   filename*0=a; filename*1*=b        pieces, in the order of their numbers, however they stand; where one is
 *                                      missing also those before it
 *
 * A parameter may stand where only the type of the field should (`Content-Disposition: filename=x`), or behind a blank
 * or comma instead of a semicolon.
 *
 * Charsets are not looked at: an extension is ASCII in all that mail clients know, but for UTF-16, where the bytes
 * between are NUL, which whoever gets the text leaves out.
 */
#include "mime/parameter.h"

#include "mime/transfer.h"

enum { PIECES_MAX = 32, PLAIN_MAX = 4 };

struct piece {
    struct str value; /* between the quotes, escapes still in */
    bool is_quoted, is_open /* a quote that does not end */, is_encoded /* name*= or name*1*= */;
};

struct parameter {
    struct piece plain[PLAIN_MAX]; /* name= */
    unsigned n_plain;
    struct piece star; /* name*=; .at NULL: none */
    struct piece pieces[PIECES_MAX]; /* name*0=; likewise */
    unsigned n_pieces; /* one past the highest number */
    bool is_lost;
};

struct out {
    char at[PARAMETER_TEXT_MAX];
    size_t len;
};

static void put(struct out *out, char c) {
    if (out->len < sizeof(out->at))
        out->at[out->len++] = c;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* ---- decoding */

static void put_base64(struct out *out, struct str text) {
    struct transfer transfer;
    size_t used;
    transfer_init(&transfer, TRANSFER_BASE64);
    if (sizeof(out->at) - out->len >= TRANSFER_ROOM_MIN)
        out->len += transfer_decode(&transfer, text.at, text.len, &used, out->at + out->len,
                                    sizeof(out->at) - out->len);
}

/* Two digits behind `mark` are a byte. Returns how many characters that took, 1 where they are none. */
static size_t put_hex(struct out *out, struct str text, size_t at, char mark) {
    int high = at + 2 < text.len && text.at[at] == mark ? hex_value(text.at[at + 1]) : -1;
    int low = high >= 0 ? hex_value(text.at[at + 2]) : -1;
    if (low < 0) {
        put(out, text.at[at]);
        return 1;
    }
    put(out, (char)(high << 4 | low));
    return 3;
}

static void put_q(struct out *out, struct str text) {
    for (size_t i = 0; i < text.len;) {
        if (text.at[i] == '_')
            put(out, ' ');
        i += text.at[i] == '_' ? 1 : put_hex(out, text, i, '=');
    }
}

/*
 * "=?charset?b?...?=" at the front of `text`. Returns its length, 0: there is none. `ends` is how many bytes behind
 * the last "?=" the text has: no word begins there, and none is looked for twice.
 */
static size_t put_encoded_word(struct out *out, struct str text, size_t ends) {
    if (text.len < ends + 8 || text.at[0] != '=' || text.at[1] != '?')
        return 0;
    size_t charset = 2 + str_find(str_from(text, 2), '?'), encoding = charset + 1, start = encoding + 2;
    if (start + ends + 2 > text.len || text.at[encoding + 1] != '?')
        return 0;
    char kind = ascii_lower(text.at[encoding]);
    if (kind != 'b' && kind != 'q')
        return 0;
    size_t end = start;
    while (text.at[end] != '?' || text.at[end + 1] != '=')
        end++;
    struct str word = str_from(str_head(text, end), start);
    if (kind == 'b')
        put_base64(out, word);
    else
        put_q(out, word);
    return end + 2;
}

/* How many bytes stand behind the last "?=" of `text`; all: there is none. */
static size_t behind_last_word(struct str text) {
    for (size_t i = text.len; i >= 2; i--)
        if (text.at[i - 2] == '?' && text.at[i - 1] == '=')
            return text.len - i;
    return text.len;
}

/* Text with encoded words in it; blanks between two such words are none (RFC 2047 6.2). */
static void put_words(struct out *out, struct str text) {
    size_t ends = behind_last_word(text);
    bool was_word = false;
    while (text.len > 0) {
        size_t word = put_encoded_word(out, text, ends), blanks = 0;
        if (word > 0) {
            text = str_from(text, word);
            was_word = true;
            continue;
        }
        while (blanks < text.len && is_blank(text.at[blanks]))
            blanks++;
        struct str behind = str_from(text, blanks);
        if (was_word && blanks > 0 && behind.len > 1 && behind.at[0] == '=' && behind.at[1] == '?') {
            text = behind;
            continue;
        }
        was_word = false;
        put(out, text.at[0]);
        text = str_from(text, 1);
    }
}

/* "utf-8'en'text": what stands behind the second quote; all of it where there are not two. */
static struct str without_charset(struct str text) {
    size_t first = str_find(text, '\''), second = first + 1 + str_find(str_from(text, first + 1), '\'');
    return second < text.len ? str_from(text, second + 1) : text;
}

static void put_piece(struct out *out, const struct piece *piece, bool is_first) {
    struct str text = piece->is_encoded && is_first ? without_charset(piece->value) : piece->value;
    for (size_t i = 0; i < text.len;) {
        if (piece->is_quoted && text.at[i] == '\\' && i + 1 < text.len)
            i++;
        if (piece->is_encoded) {
            i += put_hex(out, text, i, '%');
        } else {
            put(out, text.at[i]);
            i++;
        }
    }
}

/* ---- telling */

struct telling {
    enum parameter_kind kind;
    parameter_fn *on_text;
    void *arg;
};

/* All pieces together are decoded: an encoded word may be cut in two by them. */
static void tell(const struct telling *telling, const struct piece *pieces, unsigned n) {
    struct out joined, decoded; /* large: not cleared */
    joined.len = decoded.len = 0;
    for (unsigned i = 0; i < n; i++)
        put_piece(&joined, &pieces[i], i == 0);
    struct str text = { joined.at, joined.len };
    if (telling->kind == PARAMETER_NAME) {
        put_words(&decoded, text);
        text = (struct str){ decoded.at, decoded.len };
    }
    telling->on_text(telling->arg, text);
}

static void tell_head(const struct telling *telling, const struct piece *piece, size_t len) {
    struct piece head = *piece;
    if (len == 0 || len >= piece->value.len)
        return;
    head.value = str_head(head.value, len);
    tell(telling, &head, 1);
}

/* One value, and what it is for those who stop earlier. */
static void tell_value(const struct telling *telling, const struct piece *piece) {
    size_t token = 0;
    tell(telling, piece, 1);
    if (piece->is_open)
        tell_head(telling, piece, str_find(piece->value, ';'));
    if (piece->is_quoted || telling->kind == PARAMETER_RAW)
        return;
    while (token < piece->value.len && !is_blank(piece->value.at[token]) && piece->value.at[token] != '(' &&
           piece->value.at[token] != ',')
        token++;
    tell_head(telling, piece, token);
}

static void tell_parameter(const struct telling *telling, const struct parameter *parameter) {
    unsigned gap = 0;
    for (unsigned i = 0; i < parameter->n_plain; i++)
        tell_value(telling, &parameter->plain[i]);
    if (parameter->star.value.at != NULL)
        tell_value(telling, &parameter->star);
    while (gap < parameter->n_pieces && parameter->pieces[gap].value.at != NULL)
        gap++;
    if (gap > 0 && gap < parameter->n_pieces)
        tell(telling, parameter->pieces, gap);
    if (parameter->n_pieces > 0)
        tell(telling, parameter->pieces, parameter->n_pieces);
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
        piece = (struct piece){ .value = str_from(str_head(text, end), 1), .is_quoted = true,
                                .is_open = end >= text.len };
        *rest = str_from(text, end + 1);
    } else {
        size_t end = str_find(text, ';');
        piece.value = str_trim(str_head(text, end));
        *rest = str_from(text, end);
    }
    *rest = str_from(*rest, str_find(*rest, ';') + 1);
    return piece;
}

static void keep(struct parameter *parameter, struct piece *at, const struct piece *piece) {
    if (at->value.at != NULL)
        parameter->is_lost |= !str_eq(at->value, piece->value);
    else
        *at = *piece;
}

/* `suffix` is what stands behind the parameter's name: "", "*", "*1", "*1*". */
static void keep_piece(struct parameter *parameter, struct str suffix, struct piece *piece) {
    unsigned long long number = 0;
    if (suffix.len == 0) {
        if (parameter->n_plain < PLAIN_MAX)
            parameter->plain[parameter->n_plain++] = *piece;
        else
            parameter->is_lost = true;
        return;
    }
    struct str digits = str_from(suffix, 1);
    piece->is_encoded = digits.len == 0 || digits.at[digits.len - 1] == '*';
    if (digits.len == 0) {
        keep(parameter, &parameter->star, piece);
        return;
    }
    digits = str_head(digits, digits.len - piece->is_encoded);
    if (str_to_u64(digits, PIECES_MAX - 1, &number) < 0) {
        parameter->is_lost = true;
        return;
    }
    keep(parameter, &parameter->pieces[number], piece);
    parameter->n_pieces = (unsigned)number >= parameter->n_pieces ? (unsigned)number + 1 : parameter->n_pieces;
}

/* What stands before '=': the last word of it, without a comment behind. */
static struct str attribute_of(struct str text) {
    text = str_trim(text);
    if (text.len > 0 && text.at[text.len - 1] == ')')
        text = str_trim(str_head(text, str_find_last(text, '(')));
    size_t from = text.len;
    while (from > 0 && !is_blank(text.at[from - 1]) && text.at[from - 1] != ',' && text.at[from - 1] != ')')
        from--;
    return str_from(text, from);
}

bool parameter_each(struct str value, struct str name, enum parameter_kind kind, parameter_fn *on_text, void *arg) {
    const struct telling telling = { kind, on_text, arg };
    struct parameter parameter = { .is_lost = value.len > PARAMETER_TEXT_MAX };
    struct str rest = str_head(value, PARAMETER_TEXT_MAX);
    while (rest.len > 0) {
        size_t end = 0;
        while (end < rest.len && rest.at[end] != '=' && rest.at[end] != ';')
            end++;
        struct str attribute = attribute_of(str_head(rest, end));
        bool has_value = end < rest.len && rest.at[end] == '=';
        rest = str_from(rest, end + 1);
        if (!has_value)
            continue;
        struct piece piece = take_value(&rest);
        struct str suffix = str_from(attribute, name.len);
        if (str_starts_nocase(attribute, name) && (suffix.len == 0 || suffix.at[0] == '*'))
            keep_piece(&parameter, suffix, &piece);
    }
    tell_parameter(&telling, &parameter);
    return !parameter.is_lost;
}

size_t encoded_words_decode(struct str text, char *out, size_t size) {
    struct out decoded = { .len = 0 };
    put_words(&decoded, text);
    size_t len = decoded.len < size ? decoded.len : size;
    memcpy(out, decoded.at, len);
    return len;
}
