/*
 * spamassassin: what is said to spamd, and what does it answer?
 *
 * An answer is believed when all of it is there: the code EX_OK, a Content-length that the symbols behind the empty
 * line have exactly, and one Spam line with two numbers in it. What is not a success ends with its first line, since
 * spamd sends no more then.
 *
 * A trial is PING: one of spamd's children must be free to answer it. A message of our own would do more, and would be
 * learned from.
 *
 * Rejected: `Compress: zlib` (docs/decisions says why); PROCESS and HEADERS (spamd would rewrite the message, and two
 * programs would have to agree on what it says); reading a score that the text of a report holds.
 */
#include "facts/spamassassin.h"

enum { NUMBER_DIGITS_MAX = 9, FRACTION_DIGITS_MAX = 9 };

/* ---- questions */

/* What can stand in a header line and in a path or query that an administrator has spamd make of it. */
static bool is_user(struct str user) {
    if (user.len == 0 || user.len > SPAMD_USER_MAX)
        return false;
    for (size_t i = 0; i < user.len; i++) {
        char c = ascii_lower(user.at[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || (c == '.' && i > 0)))
            return false;
    }
    return true;
}

int spamd_put_user(struct str user, struct buf *out) {
    if (!is_user(user))
        return 0;
    int r = buf_puts(out, STR("User: "));
    for (size_t i = 0; i < user.len && r == 0; i++)
        r = buf_putc(out, ascii_lower(user.at[i]));
    return r == 0 ? buf_puts(out, STR("\r\n")) : r;
}

int spamd_put_tell(struct str user, uint64_t size, bool is_spam, struct buf *out) {
    int r = buf_puts(out, STR("TELL SPAMC/1.5\r\n"));
    if (r == 0)
        r = spamd_put_user(user, out);
    if (r == 0)
        r = buf_putf(out, "Content-length: %llu\r\nMessage-class: %s\r\nSet: local\r\n\r\n", (unsigned long long)size,
                     is_spam ? "spam" : "ham");
    return r;
}

static int put_begin(struct buf *out, const struct scanner_question *question_or_null, bool is_first) {
    (void)is_first;
    if (!question_or_null)
        return buf_puts(out, STR("PING SPAMC/1.5\r\n\r\n"));
    int r = buf_puts(out, STR("SYMBOLS SPAMC/1.5\r\n"));
    if (r == 0)
        r = spamd_put_user(question_or_null->user, out);
    if (r == 0)
        r = buf_putf(out, "Content-length: %llu\r\n\r\n", (unsigned long long)question_or_null->size);
    return r;
}

/* ---- answers */

/* Cuts digits off the front and adds them to *number; returns how many. */
static size_t take_digits(struct str *s, size_t max, int64_t *number) {
    size_t n = 0;

    while (n < s->len && n < max && s->at[n] >= '0' && s->at[n] <= '9')
        *number = *number * 10 + (s->at[n++] - '0');
    *s = str_from(*s, n);
    return n;
}

/* "-12.5" in thousandths; what is finer is cut off. */
static bool parse_score(struct str s, int64_t *ret_thousandths) {
    bool is_negative = s.len > 0 && s.at[0] == '-';
    int64_t whole = 0, fraction = 0;

    if (is_negative)
        s = str_from(s, 1);
    if (take_digits(&s, NUMBER_DIGITS_MAX, &whole) == 0)
        return false;
    if (s.len > 0 && s.at[0] == '.') {
        int64_t finer = 0;

        s = str_from(s, 1);
        size_t n = take_digits(&s, 3, &fraction);
        if (n == 0)
            return false;
        for (; n < 3; n++)
            fraction *= 10;
        take_digits(&s, FRACTION_DIGITS_MAX, &finer);
    }
    if (s.len > 0)
        return false;
    *ret_thousandths = (whole * 1000 + fraction) * (is_negative ? -1 : 1);
    return true;
}

/* "True ; 15.3 / 5.0" */
static bool parse_spam(struct str value, struct scanner_reply *reply) {
    struct str truth = str_word(&value), semicolon = str_word(&value);
    struct str score = str_word(&value), slash = str_word(&value);
    struct str threshold = str_word(&value), rest = str_word(&value);

    reply->is_found = str_eq_nocase(truth, STR("True"));
    return (reply->is_found || str_eq_nocase(truth, STR("False"))) && str_eq(semicolon, STR(";")) &&
           parse_score(score, &reply->score) && str_eq(slash, STR("/")) &&
           parse_score(threshold, &reply->threshold) && rest.len == 0;
}

/* Cuts a line off the front. False: its end has not come. */
static bool take_line(struct str *in, struct str *ret_line) {
    size_t end = str_find(*in, '\n');

    if (end == in->len)
        return false;
    *ret_line = str_head(*in, end);
    if (end > 0 && ret_line->at[end - 1] == '\r')
        ret_line->len--;
    *in = str_from(*in, end + 1);
    return true;
}

/* "SPAMD/1.1 0 EX_OK" */
static enum scanner_answer read_status(struct str line, struct scanner_reply *reply) {
    struct str rest = line;
    struct str version = str_word(&rest), number = str_word(&rest);
    unsigned long long code;

    if (!str_starts_nocase(version, STR("SPAMD/1.")) || str_to_u64(number, 255, &code) < 0)
        return SCANNER_NONSENSE;
    rest = str_trim(rest);
    if (code != 0) {
        reply->text = str_from(line, (size_t)(number.at - line.at));
        return SCANNER_FAILED;
    }
    if (str_eq(rest, STR("PONG")))
        return SCANNER_WELL;
    return str_eq(rest, STR("EX_OK")) ? SCANNER_VERDICT : SCANNER_NONSENSE;
}

struct answer_head {
    unsigned long long length;
    bool has_length, has_spam;
};

/* One line of the answer's head. Unknown names are passed over; a name may not come twice. */
static bool read_header(struct str line, struct answer_head *head, struct scanner_reply *reply) {
    size_t colon = str_find(line, ':');
    struct str name = str_head(line, colon), value = str_trim(str_from(line, colon + 1));

    if (colon == 0 || colon == line.len)
        return false;
    if (str_eq_nocase(name, STR("Content-length"))) {
        if (head->has_length || str_to_u64(value, SPAMD_ANSWER_MAX, &head->length) < 0)
            return false;
        head->has_length = true;
    } else if (str_eq_nocase(name, STR("Spam"))) {
        if (head->has_spam || !parse_spam(value, reply))
            return false;
        head->has_spam = true;
    }
    return true;
}

/* Behind the status line of a success. */
static enum scanner_answer read_verdict(struct str *in, struct scanner_reply *reply) {
    struct answer_head head = { 0 };
    struct str line;

    for (;;) {
        if (!take_line(in, &line))
            return SCANNER_MORE;
        if (line.len == 0)
            break;
        if (!read_header(line, &head, reply))
            return SCANNER_NONSENSE;
    }
    if (!head.has_length || !head.has_spam)
        return SCANNER_NONSENSE;
    if (in->len < head.length)
        return SCANNER_MORE;
    reply->text = str_trim(str_head(*in, (size_t)head.length));
    *in = str_from(*in, (size_t)head.length);
    return SCANNER_VERDICT;
}

enum scanner_answer spamd_read(struct str in, uint32_t number, size_t *ret_used, struct scanner_reply *ret_reply) {
    struct scanner_reply reply = { 0 };
    struct str rest = in, line;
    enum scanner_answer answer = SCANNER_MORE;

    (void)number;
    if (take_line(&rest, &line))
        answer = read_status(line, &reply);
    if (answer == SCANNER_VERDICT)
        answer = read_verdict(&rest, &reply);
    if (answer == SCANNER_MORE)
        return in.len < SPAMD_ANSWER_MAX ? SCANNER_MORE : SCANNER_NONSENSE;
    if (rest.len > 0) /* it says more than it has to say */
        answer = SCANNER_NONSENSE;
    *ret_used = in.len;
    *ret_reply = reply;
    return answer;
}

const struct scanner_protocol spamd_protocol = {
    .keeps_connections = false,
    .answer_max = SPAMD_ANSWER_MAX,
    .text_max = SPAMD_SYMBOLS_MAX,
    .put_begin = put_begin,
    .read = spamd_read,
};
