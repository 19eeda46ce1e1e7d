/*
 * command: what did the client say?
 *
 * A line goes through three steps: no control byte anywhere (eight bytes at a time), the verb by its first four letters
 * out of a const table, the arguments by the verb's own function. Nothing is copied or allocated: four or five of these
 * lines make a refused session, which is most of what a mail firewall does all day.
 *
 * Departures from RFC 5321 4.1.1 (all of them in docs/rfc.md):
 *   - Blanks between "FROM:" or "TO:" and "<" are accepted (3.3 forbids them): old clients and hand-typed sessions send
 *     them and nothing else can be meant. An address without <> is refused: it cannot be told from its parameters.
 *   - Several blanks are as good as one (4.1.1: one SP). Trailing blanks are tolerated, as 4.1.1 asks.
 *   - A tab is a control character, not a blank: the grammar has only SP.
 *   - HELO and EHLO take anything printable of at most 255 bytes (4.1.1.1: Domain or literal). Whether that is a name
 *     is a fact for the policy, which has better answers than 501.
 *   - BODY=BINARYMIME (RFC 3030) is not offered and gets 555.
 *
 * Rejected: one regular grammar for all parameters with a later check. The checks are what differs; each row of the
 * parameter tables has its own.
 */
#include "smtp/command.h"

#include <errno.h>

typedef enum smtp_command_result arguments_fn(struct str arguments, bool allow_utf8, struct smtp_command *c);
typedef bool parameter_fn(struct str value, bool allow_utf8, struct smtp_command *c);

struct parameter_row {
    struct str name;
    uint32_t bit;       /* enum smtp_parameter */
    parameter_fn *take; /* checks and keeps the value; NULL: the parameter has none */
};

static arguments_fn hello_arguments, mail_arguments, rcpt_arguments, no_arguments, bdat_arguments, any_arguments,
    some_arguments;

/* The first four letters in lower case; unique among our verbs. */
#define KEY(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static const struct verb_row {
    uint32_t key;
    struct str name;
    arguments_fn *arguments;
} verbs[SMTP_UNKNOWN] = {
    [SMTP_HELO] = { KEY('h', 'e', 'l', 'o'), { "HELO", 4 }, hello_arguments },
    [SMTP_EHLO] = { KEY('e', 'h', 'l', 'o'), { "EHLO", 4 }, hello_arguments },
    [SMTP_MAIL] = { KEY('m', 'a', 'i', 'l'), { "MAIL", 4 }, mail_arguments },
    [SMTP_RCPT] = { KEY('r', 'c', 'p', 't'), { "RCPT", 4 }, rcpt_arguments },
    [SMTP_DATA] = { KEY('d', 'a', 't', 'a'), { "DATA", 4 }, no_arguments },
    [SMTP_BDAT] = { KEY('b', 'd', 'a', 't'), { "BDAT", 4 }, bdat_arguments },
    [SMTP_RSET] = { KEY('r', 's', 'e', 't'), { "RSET", 4 }, no_arguments },
    [SMTP_NOOP] = { KEY('n', 'o', 'o', 'p'), { "NOOP", 4 }, any_arguments },
    [SMTP_VRFY] = { KEY('v', 'r', 'f', 'y'), { "VRFY", 4 }, some_arguments },
    [SMTP_EXPN] = { KEY('e', 'x', 'p', 'n'), { "EXPN", 4 }, some_arguments },
    [SMTP_HELP] = { KEY('h', 'e', 'l', 'p'), { "HELP", 4 }, any_arguments },
    [SMTP_QUIT] = { KEY('q', 'u', 'i', 't'), { "QUIT", 4 }, no_arguments },
    [SMTP_STARTTLS] = { KEY('s', 't', 'a', 'r'), { "STARTTLS", 8 }, no_arguments },
    [SMTP_XCLIENT] = { KEY('x', 'c', 'l', 'i'), { "XCLIENT", 7 }, some_arguments },
};

static parameter_fn take_size, take_body, take_ret, take_envid, take_auth, take_notify, take_orcpt;

static const struct parameter_row mail_parameters[] = {
    { { "SIZE", 4 }, SMTP_HAS_SIZE, take_size },
    { { "BODY", 4 }, SMTP_HAS_BODY, take_body },
    { { "SMTPUTF8", 8 }, SMTP_HAS_SMTPUTF8, NULL },
    { { "RET", 3 }, SMTP_HAS_RET, take_ret },
    { { "ENVID", 5 }, SMTP_HAS_ENVID, take_envid },
    { { "AUTH", 4 }, SMTP_HAS_AUTH, take_auth },
};

static const struct parameter_row rcpt_parameters[] = {
    { { "NOTIFY", 6 }, SMTP_HAS_NOTIFY, take_notify },
    { { "ORCPT", 5 }, SMTP_HAS_ORCPT, take_orcpt },
};

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* ---- bytes */

#define EACH_BYTE(value) (0x0101010101010101ULL * (value))

/* Nonzero when one of the eight bytes of `x` is below 32 or is 127. */
static inline uint64_t control_bits(uint64_t x) {
    uint64_t low = (x - EACH_BYTE(32)) & ~x;
    uint64_t y = x ^ EACH_BYTE(127);
    uint64_t del = (y - EACH_BYTE(1)) & ~y;
    return (low | del) & EACH_BYTE(0x80);
}

static bool has_control(struct str line) {
    uint64_t word;
    size_t i = 0;
    for (; i + sizeof(word) <= line.len; i += sizeof(word)) {
        memcpy(&word, line.at + i, sizeof(word));
        if (control_bits(word))
            return true;
    }
    if (i == line.len)
        return false;
    word = EACH_BYTE(' ');
    memcpy(&word, line.at + i, line.len - i);
    return control_bits(word) != 0;
}

static bool has_high_byte(struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.at[i] >= 0x80)
            return true;
    }
    return false;
}

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static struct str skip_blanks(struct str text) {
    while (text.len > 0 && text.at[0] == ' ')
        text = (struct str){ text.at + 1, text.len - 1 };
    return text;
}

static struct str trim_end(struct str text) {
    while (text.len > 0 && text.at[text.len - 1] == ' ')
        text.len--;
    return text;
}

/* All of `text` as a decimal number, UINT64_MAX when it is larger. False when it is none. */
static bool number_parse(struct str text, uint64_t *ret_number, bool *ret_overflow) {
    uint64_t number = 0;
    *ret_overflow = false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.at[i]))
            return false;
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.at[i] - '0'), &number))
            *ret_overflow = true;
    }
    *ret_number = *ret_overflow ? UINT64_MAX : number;
    return text.len > 0;
}

/* ---- parameters of MAIL and RCPT */

/* RFC 1870 3: SIZE=1*20DIGIT. */
static bool take_size(struct str value, bool allow_utf8, struct smtp_command *c) {
    bool overflow;
    return value.len <= SMTP_SIZE_DIGITS_MAX && number_parse(value, &c->size, &overflow);
}

/* RFC 6152 3. BINARYMIME has been dealt with before. */
static bool take_body(struct str value, bool allow_utf8, struct smtp_command *c) {
    if (str_eq_nocase(value, STR("8BITMIME")))
        c->body = SMTP_BODY_8BITMIME;
    else if (str_eq_nocase(value, STR("7BIT")))
        c->body = SMTP_BODY_7BIT;
    else
        return false;
    return true;
}

/* RFC 3461 4.3 */
static bool take_ret(struct str value, bool allow_utf8, struct smtp_command *c) {
    c->ret = value;
    return str_eq_nocase(value, STR("FULL")) || str_eq_nocase(value, STR("HDRS"));
}

/* RFC 3461 4.4: xtext, at most 100 characters as transmitted. */
static bool take_envid(struct str value, bool allow_utf8, struct smtp_command *c) {
    c->envid = value;
    return value.len <= SMTP_ENVID_MAX && xtext_is_valid(value);
}

/* RFC 4954 5: xtext or "<>", which is xtext too. A relay that does not trust its client drops it; we trust none. */
static bool take_auth(struct str value, bool allow_utf8, struct smtp_command *c) {
    return xtext_is_valid(value);
}

/* RFC 3461 4.1: NEVER alone, or a list of SUCCESS, FAILURE, DELAY. */
static bool take_notify(struct str value, bool allow_utf8, struct smtp_command *c) {
    c->notify = value;
    if (str_eq_nocase(value, STR("NEVER")))
        return true;
    for (;;) {
        size_t comma = str_find(value, ',');
        struct str word = str_head(value, comma);
        if (!str_eq_nocase(word, STR("SUCCESS")) && !str_eq_nocase(word, STR("FAILURE")) &&
            !str_eq_nocase(word, STR("DELAY")))
            return false;
        if (comma == value.len)
            return true;
        value = str_from(value, comma + 1);
    }
}

/* RFC 3461 4.2: addr-type ";" xtext, at most 500 characters. RFC 6533 3: with SMTPUTF8 type utf-8 may hold UTF-8. */
static bool take_orcpt(struct str value, bool allow_utf8, struct smtp_command *c) {
    c->orcpt = value;
    size_t semicolon = str_find(value, ';');
    struct str type = str_head(value, semicolon);
    struct str address = str_from(value, semicolon + 1);
    if (value.len > SMTP_ORCPT_MAX || type.len == 0 || address.len == 0)
        return false;
    for (size_t i = 0; i < type.len; i++) { /* an atom; the registered types have letters, digits and '-' */
        char t = ascii_lower(type.at[i]);
        if (!(t >= 'a' && t <= 'z') && !is_digit(t) && t != '-')
            return false;
    }
    if (has_high_byte(address))
        return allow_utf8 && str_eq_nocase(type, STR("utf-8")) && smtp_utf8_is_valid(address);
    return xtext_is_valid(address);
}

/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-"), RFC 5321 4.1.2 */
static bool is_keyword(struct str name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.at[i]);
        if (!(c >= 'a' && c <= 'z') && !is_digit(c) && !(c == '-' && i > 0))
            return false;
    }
    return name.len > 0;
}

static enum smtp_command_result parameter_parse(struct str word, const struct parameter_row *rows, size_t n,
                                                bool allow_utf8, struct smtp_command *c) {
    size_t equals = str_find(word, '=');
    struct str name = str_head(word, equals);
    struct str value = str_from(word, equals + 1);
    if (!is_keyword(name))
        return SMTP_COMMAND_SYNTAX;
    const struct parameter_row *row = rows;
    while (row < rows + n && !str_eq_nocase(row->name, name))
        row++;
    if (row == rows + n)
        return SMTP_COMMAND_NO_PARAMETER;
    if (row->bit == SMTP_HAS_BODY && str_eq_nocase(value, STR("BINARYMIME")))
        return SMTP_COMMAND_NO_PARAMETER;
    if (c->parameters & row->bit) /* RFC 5321 4.1.1.11 leaves it open; two values cannot both be meant */
        return SMTP_COMMAND_BAD_PARAMETER;
    c->parameters |= row->bit;
    /* An empty value or an '=' in one is outside esmtp-value; each take() refuses what it does not know. */
    bool is_good = row->take == NULL ? equals == word.len
                                     : value.len > 0 && row->take(value, allow_utf8, c);
    return is_good ? SMTP_COMMAND_OK : SMTP_COMMAND_BAD_PARAMETER;
}

static enum smtp_command_result parameters_parse(struct str rest, const struct parameter_row *rows, size_t n,
                                                 bool allow_utf8, struct smtp_command *c) {
    if (rest.len > 0 && rest.at[0] != ' ')
        return SMTP_COMMAND_SYNTAX;
    for (rest = skip_blanks(rest); rest.len > 0; rest = skip_blanks(rest)) {
        size_t end = str_find(rest, ' ');
        enum smtp_command_result result = parameter_parse(str_head(rest, end), rows, n, allow_utf8, c);
        if (result != SMTP_COMMAND_OK)
            return result;
        rest = str_from(rest, end);
    }
    return SMTP_COMMAND_OK;
}

/* ---- arguments, one function a kind of verb */

static enum smtp_command_result no_arguments(struct str arguments, bool allow_utf8, struct smtp_command *c) {
    return arguments.len == 0 ? SMTP_COMMAND_OK : SMTP_COMMAND_SYNTAX; /* RFC 5321 4.1.1: SHOULD refuse */
}

static enum smtp_command_result any_arguments(struct str arguments, bool allow_utf8, struct smtp_command *c) {
    return SMTP_COMMAND_OK;
}

static enum smtp_command_result some_arguments(struct str arguments, bool allow_utf8, struct smtp_command *c) {
    return arguments.len > 0 ? SMTP_COMMAND_OK : SMTP_COMMAND_SYNTAX;
}

/* RFC 6531 3.7.1 keeps UTF-8 out of EHLO: a name there is in A-labels. */
static enum smtp_command_result hello_arguments(struct str arguments, bool allow_utf8, struct smtp_command *c) {
    bool is_good = arguments.len > 0 && arguments.len <= SMTP_HELO_MAX && !has_high_byte(arguments);
    return is_good ? SMTP_COMMAND_OK : SMTP_COMMAND_SYNTAX;
}

/* Takes "FROM:" or "TO:" and the blanks behind it off the front. */
static bool take_keyword(struct str *rest, struct str keyword) {
    if (!str_starts_nocase(*rest, keyword))
        return false;
    *rest = skip_blanks(str_from(*rest, keyword.len));
    return rest->len > 0;
}

static enum smtp_command_result of_address(enum smtp_address_result result) {
    switch (result) {
    case SMTP_ADDRESS_OK:
        return SMTP_COMMAND_OK;
    case SMTP_ADDRESS_SYNTAX:
    case SMTP_ADDRESS_TOO_LONG:
        return SMTP_COMMAND_BAD_ADDRESS;
    case SMTP_ADDRESS_UTF8:
        return SMTP_COMMAND_BAD_UTF8;
    }
    return SMTP_COMMAND_BAD_ADDRESS;
}

/* "MAIL FROM:" Reverse-path [SP Mail-parameters], RFC 5321 4.1.1.2 */
static enum smtp_command_result mail_arguments(struct str arguments, bool allow_utf8, struct smtp_command *c) {
    if (!take_keyword(&arguments, STR("FROM:")))
        return SMTP_COMMAND_SYNTAX;
    enum smtp_command_result result = of_address(smtp_path_parse(&arguments, true, false, true, &c->address));
    if (result != SMTP_COMMAND_OK)
        return result;
    result = parameters_parse(arguments, mail_parameters, N_ROWS(mail_parameters), false, c);
    if (result == SMTP_COMMAND_OK && c->address.is_utf8 && !(c->parameters & SMTP_HAS_SMTPUTF8))
        return SMTP_COMMAND_BAD_UTF8; /* RFC 6531 3.4: the parameter must be there */
    return result;
}

/* "RCPT TO:" ( "<Postmaster>" / Forward-path ) [SP Rcpt-parameters], RFC 5321 4.1.1.3 */
static enum smtp_command_result rcpt_arguments(struct str arguments, bool allow_utf8, struct smtp_command *c) {
    if (!take_keyword(&arguments, STR("TO:")))
        return SMTP_COMMAND_SYNTAX;
    enum smtp_command_result result = of_address(smtp_path_parse(&arguments, false, true, allow_utf8, &c->address));
    if (result != SMTP_COMMAND_OK)
        return result;
    return parameters_parse(arguments, rcpt_parameters, N_ROWS(rcpt_parameters), allow_utf8, c);
}

/* "BDAT" SP chunk-size [SP "LAST"], RFC 3030 2. A size past 64 bits would leave us not knowing where the chunk ends. */
static enum smtp_command_result bdat_arguments(struct str arguments, bool allow_utf8, struct smtp_command *c) {
    size_t end = str_find(arguments, ' ');
    bool overflow;
    if (!number_parse(str_head(arguments, end), &c->chunk_size, &overflow) || overflow)
        return SMTP_COMMAND_SYNTAX;
    struct str word = skip_blanks(str_from(arguments, end));
    c->is_last = str_eq_nocase(word, STR("LAST"));
    return word.len == 0 || c->is_last ? SMTP_COMMAND_OK : SMTP_COMMAND_SYNTAX;
}

/* ---- the line */

static enum smtp_verb verb_find(struct str word) {
    if (word.len < 4)
        return SMTP_UNKNOWN;
    /* Only a letter becomes a lower-case letter by setting this bit, so nothing else can look like one. */
    uint32_t key = KEY((unsigned char)word.at[0], (unsigned char)word.at[1], (unsigned char)word.at[2],
                       (unsigned char)word.at[3]) | 0x20202020U;
    for (unsigned i = 0; i < SMTP_UNKNOWN; i++) {
        if (verbs[i].key == key)
            return str_eq_nocase(verbs[i].name, word) ? (enum smtp_verb)i : SMTP_UNKNOWN;
    }
    return SMTP_UNKNOWN;
}

enum smtp_command_result smtp_command_parse(struct str line, bool allow_utf8, struct smtp_command *ret_command) {
    struct smtp_command *c = ret_command;
    memset(c, 0, sizeof(*c));
    size_t verb_len = 0;
    while (verb_len < line.len && line.at[verb_len] != ' ')
        verb_len++;
    c->verb = verb_find(str_head(line, verb_len));
    if (has_control(line))
        return SMTP_COMMAND_BAD_BYTES;
    c->argument = trim_end(skip_blanks(str_from(line, verb_len)));
    if (c->verb == SMTP_UNKNOWN)
        return SMTP_COMMAND_OK;
    return verbs[c->verb].arguments(c->argument, allow_utf8, c);
}

const char *smtp_verb_name(enum smtp_verb verb) {
    return (unsigned)verb < SMTP_UNKNOWN ? verbs[verb].name.at : "unknown";
}

long smtp_line_find(const char *at, size_t len, size_t *ret_consumed) {
    size_t from = 0;
    while (from < len) {
        const char *lf = memchr(at + from, '\n', len - from);
        if (lf == NULL)
            return -1;
        size_t n = (size_t)(lf - at);
        if (n > 0 && at[n - 1] == '\r') {
            *ret_consumed = n + 1;
            return (long)(n - 1);
        }
        from = n + 1;
    }
    return -1;
}

/* Postfix's XCLIENT_README: name=value pairs, values in xtext. */
int smtp_xclient_next(struct str *rest, struct str *ret_name, struct buf *value) {
    struct str at = skip_blanks(*rest);
    if (at.len == 0)
        return 0;
    size_t end = str_find(at, ' ');
    struct str word = str_head(at, end);
    size_t equals = str_find(word, '=');
    struct str text = str_from(word, equals + 1);
    if (!is_keyword(str_head(word, equals)) || text.len == 0)
        return -EINVAL;
    buf_clear(value);
    int error = xtext_decode(text, value);
    if (error < 0)
        return error;
    if (has_control(buf_str(value)))
        return -EINVAL;
    *ret_name = str_head(word, equals);
    *rest = str_from(at, end);
    return 1;
}
