/*
 * clamav: what is said to clamd, and what does it answer?
 *
 * Whether a clamd works is not asked by PING: it answers that while it has no place to write a temporary file, and then
 * fails on every message. The trial is a text of our own that must be found clean, which is what "others pass" means.
 *
 * Rejected: SCAN of a spool file (needs a file that clamd may read: rights, containers, other hosts); one connection a
 * message, without IDSESSION (a connection more for each, and what the kernel keeps of it).
 */
#include "facts/clamav.h"

#include <stdio.h>

static const char trial_text[] = "Subject: does the scanner work?\r\n\r\nThis text is clean.\r\n";

static int put_length(struct buf *out, uint32_t len) {
    const unsigned char bytes[4] = { (unsigned char)(len >> 24), (unsigned char)(len >> 16), (unsigned char)(len >> 8),
                                     (unsigned char)len };
    return buf_put(out, bytes, sizeof(bytes));
}

static int put_end(struct buf *out) {
    return put_length(out, 0);
}

static int put_trial(struct buf *out) {
    int r = put_length(out, sizeof(trial_text) - 1);

    if (r == 0)
        r = buf_put(out, trial_text, sizeof(trial_text) - 1);
    return r < 0 ? r : put_end(out);
}

static int put_begin(struct buf *out, const struct scanner_question *question_or_null, bool is_first) {
    int r = is_first ? buf_put(out, "zIDSESSION", sizeof("zIDSESSION")) : 0; /* with its NUL */

    if (r == 0)
        r = buf_put(out, "zINSTREAM", sizeof("zINSTREAM"));
    return r < 0 || question_or_null ? r : put_trial(out);
}

static bool take_front(struct str *line, struct str front) {
    if (!str_eq(str_head(*line, front.len), front))
        return false;
    *line = str_from(*line, front.len);
    return true;
}

static bool take_end(struct str *line, struct str end) {
    if (line->len < end.len || !str_eq(str_from(*line, line->len - end.len), end))
        return false;
    line->len -= end.len;
    return true;
}

static enum scanner_answer read_line(struct str line, uint32_t number, struct scanner_reply *reply) {
    char front[16];
    int len = snprintf(front, sizeof(front), "%u: ", number);

    *reply = (struct scanner_reply){ 0 };
    if (!take_front(&line, (struct str){ front, (size_t)len }))
        return SCANNER_NONSENSE;
    if (take_end(&line, STR(" ERROR"))) { /* looked at first: what a text has in it cannot make it look like OK */
        reply->text = line;
        return take_front(&line, STR("INSTREAM size limit exceeded")) ? SCANNER_TOO_LARGE : SCANNER_FAILED;
    }
    if (!take_front(&line, STR("stream: ")))
        return SCANNER_NONSENSE;
    if (str_eq(line, STR("OK")))
        return SCANNER_VERDICT;
    if (!take_end(&line, STR(" FOUND")) || line.len == 0)
        return SCANNER_NONSENSE;
    reply->text = line;
    reply->is_found = true;
    return SCANNER_VERDICT;
}

enum scanner_answer clamd_read(struct str in, uint32_t number, size_t *ret_used, struct scanner_reply *ret_reply) {
    size_t end = str_find(in, '\0');

    if (end == in.len)
        return in.len < CLAMD_ANSWER_MAX ? SCANNER_MORE : SCANNER_NONSENSE;
    *ret_used = end + 1;
    if (end >= CLAMD_ANSWER_MAX)
        return SCANNER_NONSENSE;
    return read_line(str_head(in, end), number, ret_reply);
}

const struct scanner_protocol clamd_protocol = {
    .keeps_connections = true,
    .answer_max = CLAMD_ANSWER_MAX,
    .text_max = CLAMD_NAME_MAX,
    .put_begin = put_begin,
    .put_piece = put_length,
    .put_end = put_end,
    .read = clamd_read,
};
