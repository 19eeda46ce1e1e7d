/*
 * header_check: see the header.
 *
 *   START ─▶ NAME ─:─▶ VALUE ─CRLF─▶ START ─blank─▶ FOLD …
 *     └─ CR ─▶ EMPTY ─LF─▶ over
 *
 * What is a fault is what amavis' check of bad headers knows, the field's reference: required fields that are missing
 * and fields that occur twice (RFC 5322 3.6), lines over 998 octets (2.1.1), names that are none (2.2), bytes outside
 * ASCII without SMTPUTF8 or, with it, of no UTF-8 (RFC 6532 3.1), control characters, folds of nothing (2.2.3: an
 * RFC 822 parser ends the header there), and a header that does not end.
 *
 * Rejected: looking into the values (an address list that is not one, a date of next year): that is a spam scanner's
 * work, and SpamAssassin does it.
 */
#include "mime/header_check.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_MAX_OCTETS = 998 };
enum state { START, NAME, VALUE, FOLD, CR, EMPTY };

static const struct known {
    const char *name;
    bool is_required;
} once[] = { /* RFC 5322 3.6; of MIME those of which two would be a contradiction (RFC 2045 3) */
    { "Date", true },       { "From", true },        { "Message-ID", true },   { "Sender", false },
    { "Reply-To", false },  { "To", false },         { "Cc", false },          { "Bcc", false },
    { "In-Reply-To", false }, { "References", false }, { "Subject", false },   { "MIME-Version", false },
    { "Content-Type", false }, { "Content-Transfer-Encoding", false },
};

enum { N_ONCE = sizeof(once) / sizeof(once[0]) };

void header_check_init(struct header_check *check, bool allows_utf8) {
    *check = (struct header_check){ .allows_utf8 = allows_utf8, .line = 1 };
}

__attribute__((format(printf, 2, 3)))
static void fault(struct header_check *check, const char *format, ...) {
    va_list args;
    if (check->why[0] != '\0')
        return;
    va_start(args, format);
    vsnprintf(check->why, sizeof(check->why), format, args);
    va_end(args);
}

static struct str name_of(const struct header_check *check) {
    return (struct str){ check->name, check->name_len };
}

/* ---- fields */

static void end_name(struct header_check *check) {
    if (check->is_name_bad || check->name_len == 0)
        fault(check, "line %u is no field: a field's name is printable ASCII without blanks", check->line);
    for (unsigned i = 0; i < N_ONCE; i++) {
        if (!str_eq_nocase(name_of(check), str_of(once[i].name)))
            continue;
        if (check->seen >> i & 1)
            fault(check, "%s occurs twice", once[i].name);
        check->seen |= UINT32_C(1) << i;
    }
}

static void take_name(struct header_check *check, unsigned char c) {
    if (c <= ' ' || c > 126)
        check->is_name_bad = true;
    if (check->name_len < HEADER_NAME_MAX)
        check->name[check->name_len++] = c > ' ' && c < 127 ? (char)c : '?';
}

/* Begins a character of more than one byte (RFC 3629 4). False: none begins so. */
static bool begin_utf8(struct header_check *check, unsigned char c) {
    if (c < 0xC2 || c > 0xF4)
        return false;
    check->utf8_left = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    check->utf8_min = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80; /* not a longer form of another */
    check->utf8_max = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF; /* no surrogate, none beyond the last */
    return true;
}

/* Whether the byte is right in UTF-8 behind those before it. */
static bool is_utf8(struct header_check *check, unsigned char c) {
    if (check->utf8_left == 0)
        return c < 128 || begin_utf8(check, c);
    bool is_right = c >= check->utf8_min && c <= check->utf8_max;
    check->utf8_left = is_right ? check->utf8_left - 1 : 0;
    check->utf8_min = 0x80;
    check->utf8_max = 0xBF;
    return is_right;
}

static void take_value(struct header_check *check, unsigned char c) {
    if (check->allows_utf8 && !is_utf8(check, c))
        fault(check, "byte 0x%02X is no UTF-8 in %.*s", c, STR_ARG(name_of(check)));
    if (c == 0)
        fault(check, "NUL in %.*s", STR_ARG(name_of(check)));
    else if ((c < ' ' && c != '\t') || c == 127)
        fault(check, "control character 0x%02X in %.*s", c, STR_ARG(name_of(check)));
    else if (c > 127 && !check->allows_utf8)
        fault(check, "byte 0x%02X outside ASCII in %.*s", c, STR_ARG(name_of(check)));
}

/* A character does not go on in the next line. */
static void take_value_end(struct header_check *check) {
    if (check->utf8_left > 0)
        fault(check, "a character is cut in %.*s", STR_ARG(name_of(check)));
    check->utf8_left = 0;
}

/* ---- lines */

static enum state begin_line(struct header_check *check, unsigned char c) {
    check->column = 1;
    if (c == '\r')
        return EMPTY;
    if (c == ' ' || c == '\t') {
        if (check->n_fields == 0)
            fault(check, "the first line begins with a blank");
        check->is_blank = true;
        return FOLD;
    }
    check->n_fields++;
    check->name_len = 0;
    check->is_name_bad = false;
    if (c == ':') {
        end_name(check);
        return VALUE;
    }
    take_name(check, c);
    return NAME;
}

static enum state end_line(struct header_check *check) {
    uint32_t octets = check->column - 2; /* CR and LF were counted */
    if (octets > LINE_MAX_OCTETS)
        fault(check, "line %u has %u octets, %d at most", check->line, octets, LINE_MAX_OCTETS);
    if (check->is_blank)
        fault(check, "line %u is folded and has blanks alone", check->line);
    check->is_blank = false;
    check->line++;
    return START;
}

static enum state step(struct header_check *check, unsigned char c) {
    enum state state = check->state;
    check->column++;
    switch (state) {
    case START:
        return begin_line(check, c);
    case NAME:
        if (c == '\r') {
            fault(check, "line %u is no field: it has no colon", check->line);
            return CR;
        }
        if (c != ':') {
            take_name(check, c);
            return NAME;
        }
        end_name(check);
        return VALUE;
    case FOLD:
    case VALUE:
        if (c == '\r') {
            take_value_end(check);
            return CR;
        }
        check->is_blank = check->is_blank && (c == ' ' || c == '\t');
        take_value(check, c);
        return state;
    case CR:
        return c == '\n' ? end_line(check) : VALUE; /* canonical text has no other */
    case EMPTY:
        check->is_over = c == '\n';
        return START;
    }
    return state;
}

void header_check_feed(struct header_check *check, const char *at, size_t len) {
    for (size_t i = 0; i < len && !check->is_over; i++)
        check->state = (uint8_t)step(check, (unsigned char)at[i]);
}

struct str header_check_end(struct header_check *check) {
    if (check->n_fields == 0)
        fault(check, "it has no field");
    for (unsigned i = 0; i < N_ONCE; i++)
        if (once[i].is_required && !(check->seen >> i & 1))
            fault(check, "%s is missing", once[i].name);
    if (!check->is_over)
        fault(check, "it does not end: no empty line follows");
    return str_of(check->why);
}
