/*
 * reply: one line to a client; and what did the mailbox server mean?
 *
 * Ours is put together in a local array, so that it is whole in the output or not there at all. A server's answer is
 * read a line at a time and kept as code, enhanced code and a text that is bounded and printable from the moment it is
 * stored: the server is ours, but what it says often quotes the client (RFC 5321 4.2 has no quoting at all), and the
 * text goes to the client, the log and the journal.
 *
 * A line end is CRLF or, leniently, LF: unlike a client's commands, an answer is asked for one at a time, so a server
 * gains nothing by hiding one. Everything else is strict: three digits 200 to 599, then '-', a blank or the line end;
 * one code in all lines (RFC 5321 4.2.1). An answer outside that means that we and the server have lost step.
 *
 * Length is no reason to doubt a code. A server that says 250 in too long a line, in too many lines, or closes in the
 * middle of the text has the message; to take that for nonsense would have the sender send it again, and again.
 *
 * Rejected: keeping all lines of a long answer. Nothing reads them but EHLO, which gets them as they come.
 */
#include "smtp/reply.h"

#include <assert.h>
#include <errno.h>

static inline char clean(char c) {
    return c < 32 || c > 126 ? '?' : c;
}

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* ---- ours */

/* Appends to line[n..max) as much of `text` as fits, cleaned. Returns the new length. */
static size_t put_clean(char *line, size_t n, size_t max, struct str text) {
    for (size_t i = 0; i < text.len && n < max; i++)
        line[n++] = clean(text.at[i]);
    return n;
}

int smtp_reply_format(const struct smtp_reply *reply, struct buf *out) {
    assert(reply->code >= 200 && reply->code <= 599);
    const size_t max = SMTP_REPLY_LINE_MAX - 2;
    char line[SMTP_REPLY_LINE_MAX];
    size_t n = 0;
    line[n++] = (char)('0' + reply->code / 100);
    line[n++] = (char)('0' + reply->code / 10 % 10);
    line[n++] = (char)('0' + reply->code % 10);
    if (reply->enhanced != NULL && reply->enhanced[0] != '\0') {
        line[n++] = ' ';
        n = put_clean(line, n, max, str_of(reply->enhanced));
    }
    if (reply->text.len > 0) {
        n = put_clean(line, n, max, STR(" "));
        n = put_clean(line, n, max, reply->text);
    }
    line[n++] = '\r';
    line[n++] = '\n';
    return buf_put(out, line, n);
}

/* ---- a server's */

/* The length of "D.D{1,3}.D{1,3}" at the start of `text` (RFC 3463 2) when a blank or the end follows, else 0. */
static size_t enhanced_len(struct str text) {
    if (text.len < 5 || (text.at[0] != '2' && text.at[0] != '4' && text.at[0] != '5'))
        return 0;
    size_t n = 1;
    for (unsigned part = 0; part < 2; part++) {
        if (n == text.len || text.at[n] != '.')
            return 0;
        size_t start = ++n;
        while (n < text.len && n < start + 3 && is_digit(text.at[n]))
            n++;
        if (n == start)
            return 0;
    }
    return n == text.len || text.at[n] == ' ' ? n : 0;
}

/* Keeps the enhanced code, when its class is that of the reply (RFC 2034 4), and returns what stands behind it. */
static struct str take_enhanced(struct smtp_answer *answer, struct str text) {
    size_t n = enhanced_len(text);
    if (n == 0)
        return text;
    if (answer->enhanced[0] == '\0' && (unsigned)(text.at[0] - '0') == answer->code / 100) {
        memcpy(answer->enhanced, text.at, n);
        answer->enhanced[n] = '\0';
    }
    return str_from(text, n);
}

static void add_text(struct smtp_answer *answer, struct str text) {
    const size_t max = SMTP_ANSWER_TEXT_MAX - 1;
    text = str_trim(text);
    if (text.len == 0)
        return;
    size_t n = answer->text_len;
    if (n > 0)
        n = put_clean(answer->text, n, max, STR("; "));
    n = put_clean(answer->text, n, max, text);
    answer->text[n] = '\0';
    answer->text_len = (unsigned)n;
}

/* The code at the start of a line, or 0. RFC 5321 4.2: %x32-35 %x30-35 %x30-39; any second digit will do. */
static unsigned line_code(struct str line) {
    if (line.len < 3 || line.at[0] < '2' || line.at[0] > '5' || !is_digit(line.at[1]) || !is_digit(line.at[2]))
        return 0;
    if (line.len > 3 && line.at[3] != ' ' && line.at[3] != '-')
        return 0;
    return (unsigned)(line.at[0] - '0') * 100 + (unsigned)(line.at[1] - '0') * 10 + (unsigned)(line.at[2] - '0');
}

static enum smtp_answer_result line_parse(struct smtp_answer *answer, struct str line,
                                          void (*on_line)(void *arg, unsigned index, struct str text), void *arg) {
    unsigned code = line_code(line);
    if (code == 0 || (answer->lines > 0 && code != answer->code))
        return SMTP_ANSWER_NONSENSE;
    answer->code = code;
    struct str text = str_from(line, 4);
    if (on_line != NULL)
        on_line(arg, answer->lines, text);
    answer->lines++;
    add_text(answer, take_enhanced(answer, text));
    return line.len > 3 && line.at[3] == '-' ? SMTP_ANSWER_MORE : SMTP_ANSWER_COMPLETE;
}

/* A line that is too long counts by its beginning. */
static enum smtp_answer_result long_line_parse(struct smtp_answer *answer, struct str head,
                                               void (*on_line)(void *arg, unsigned index, struct str text), void *arg) {
    enum smtp_answer_result result = line_parse(answer, head, on_line, arg);
    if (result == SMTP_ANSWER_NONSENSE)
        return result;
    answer->is_cut = true;
    answer->is_cut_last = result == SMTP_ANSWER_COMPLETE;
    return SMTP_ANSWER_MORE;
}

/* The rest of such a line. */
static enum smtp_answer_result skip_parse(struct smtp_answer *answer, bool is_end) {
    answer->is_cut = !is_end;
    return is_end && answer->is_cut_last ? SMTP_ANSWER_COMPLETE : SMTP_ANSWER_MORE;
}

static struct str without_line_end(struct str line) {
    if (line.len > 0 && line.at[line.len - 1] == '\n')
        line.len--;
    if (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    return line;
}

enum smtp_answer_result smtp_answer_parse(struct smtp_answer *answer, const char *at, size_t len, size_t *ret_consumed,
                                          void (*on_line)(void *arg, unsigned index, struct str text), void *arg) {
    enum smtp_answer_result result = SMTP_ANSWER_MORE;
    size_t used = 0;
    while (result == SMTP_ANSWER_MORE && used < len) {
        const char *start = at + used;
        const char *lf = memchr(start, '\n', len - used);
        size_t n = lf != NULL ? (size_t)(lf - start) + 1 : len - used;
        if (answer->is_cut) {
            result = skip_parse(answer, lf != NULL);
        } else if (n > SMTP_ANSWER_LINE_MAX || (lf == NULL && n == SMTP_ANSWER_LINE_MAX)) {
            n = SMTP_ANSWER_LINE_MAX;
            result = long_line_parse(answer, (struct str){ start, n }, on_line, arg);
        } else if (lf == NULL) {
            break;
        } else {
            result = line_parse(answer, without_line_end((struct str){ start, n }), on_line, arg);
        }
        used += n;
        answer->bytes += (unsigned)n;
        if (answer->bytes > SMTP_ANSWER_BYTES_MAX)
            result = SMTP_ANSWER_NONSENSE;
    }
    *ret_consumed = used;
    return result;
}

bool smtp_answer_end(struct smtp_answer *answer, struct str rest) {
    if (answer->is_cut)
        return answer->is_cut_last;
    if (rest.len < 4 || rest.len > SMTP_ANSWER_LINE_MAX) /* "250" may be the beginning of "250-" */
        return false;
    return line_parse(answer, without_line_end(rest), NULL, NULL) == SMTP_ANSWER_COMPLETE;
}

/* ---- EHLO */

struct bit_name {
    struct str name;
    uint32_t bit;
};

static const struct bit_name extensions[] = {
    { { "SIZE", 4 }, SMTP_EXT_SIZE },
    { { "8BITMIME", 8 }, SMTP_EXT_8BITMIME },
    { { "SMTPUTF8", 8 }, SMTP_EXT_SMTPUTF8 },
    { { "DSN", 3 }, SMTP_EXT_DSN },
    { { "PIPELINING", 10 }, SMTP_EXT_PIPELINING },
    { { "CHUNKING", 8 }, SMTP_EXT_CHUNKING },
    { { "STARTTLS", 8 }, SMTP_EXT_STARTTLS },
    { { "ENHANCEDSTATUSCODES", 19 }, SMTP_EXT_ENHANCEDSTATUSCODES },
    { { "XFORWARD", 8 }, SMTP_EXT_XFORWARD },
    { { "XCLIENT", 7 }, SMTP_EXT_XCLIENT },
    { { "LIMITS", 6 }, SMTP_EXT_LIMITS },
};

/* Postfix's XFORWARD_README and XCLIENT_README */
static const struct bit_name forward_attributes[] = {
    { { "NAME", 4 }, SMTP_FORWARD_NAME },
    { { "ADDR", 4 }, SMTP_FORWARD_ADDR },
    { { "PORT", 4 }, SMTP_FORWARD_PORT },
    { { "PROTO", 5 }, SMTP_FORWARD_PROTO },
    { { "HELO", 4 }, SMTP_FORWARD_HELO },
    { { "IDENT", 5 }, SMTP_FORWARD_IDENT },
    { { "SOURCE", 6 }, SMTP_FORWARD_SOURCE },
};

/* The bit of `name`, or 0. */
static uint32_t find_bit(const struct bit_name *names, size_t n, struct str name) {
    for (size_t i = 0; i < n; i++) {
        if (str_eq_nocase(names[i].name, name))
            return names[i].bit;
    }
    return 0;
}

static uint32_t attributes_parse(struct str rest) {
    uint32_t bits = 0;
    for (struct str word = str_word(&rest); word.len > 0; word = str_word(&rest))
        bits |= find_bit(forward_attributes, sizeof(forward_attributes) / sizeof(forward_attributes[0]), word);
    return bits;
}

/* RFC 1870 4: SIZE [1*20DIGIT]; none, 0 and anything that is no number mean that no limit is named. */
static uint64_t size_parse(struct str rest) {
    unsigned long long size = 0;
    int error = str_to_u64(str_word(&rest), UINT64_MAX, &size);
    return error == 0 ? size : error == -ERANGE ? UINT64_MAX : 0;
}

void smtp_offer_add(struct smtp_offer *offer, struct str line) {
    uint32_t bit = find_bit(extensions, sizeof(extensions) / sizeof(extensions[0]), str_word(&line));
    offer->extensions |= bit;
    if (bit == SMTP_EXT_SIZE)
        offer->size = size_parse(line);
    else if (bit == SMTP_EXT_XFORWARD)
        offer->xforward |= attributes_parse(line);
    else if (bit == SMTP_EXT_XCLIENT)
        offer->xclient |= attributes_parse(line);
}
