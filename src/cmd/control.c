/*
 * What does a client of the control socket want? Bytes in, request out.
 *
 * The grammar is a table: a line is words divided by blanks, and a request is the row whose words are exactly those.
 * There are no arguments, so nothing a client sends is ever stored, copied or shown back: the whole attack surface is
 * the comparison below. Every byte is looked at before the line is complete, so that a client which sends something
 * else than text hears so at once instead of filling the 512 bytes. Rejected: JSON requests (a parser for six fixed
 * words) and a binary header (an administrator should be able to type `status` into socat).
 */
#include "cmd/control.h"

struct row {
    struct str line;
    enum control_request request;
};

static const struct row rows[] = {
    { { "status", 6 }, CONTROL_STATUS },
    { { "status json", 11 }, CONTROL_STATUS_JSON },
    { { "status check", 12 }, CONTROL_STATUS_CHECK },
    { { "reload", 6 }, CONTROL_RELOAD },
    { { "version", 7 }, CONTROL_VERSION },
    { { "help", 4 }, CONTROL_HELP },
};

enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static bool is_text(char c) {
    return (c >= 32 && c <= 126) || c == '\t';
}

static bool words_are(struct str line, struct str wanted) {
    for (;;) {
        struct str word = str_word(&line), other = str_word(&wanted);
        if (!str_eq(word, other))
            return false;
        if (str_is_empty(word))
            return true;
    }
}

static int find(struct str line, enum control_request *ret_request) {
    for (unsigned i = 0; i < N_ROWS; i++)
        if (words_are(line, rows[i].line)) {
            *ret_request = rows[i].request;
            return 0;
        }
    return CONTROL_UNKNOWN;
}

int control_parse(struct str bytes, enum control_request *ret_request) {
    for (size_t i = 0; i < bytes.len && i < CONTROL_LINE_MAX; i++) {
        if (bytes.at[i] == '\n')
            return find(str_head(bytes, i > 0 && bytes.at[i - 1] == '\r' ? i - 1 : i), ret_request);
        bool is_cr_before_lf = bytes.at[i] == '\r' && (i + 1 == bytes.len || bytes.at[i + 1] == '\n');
        if (!is_text(bytes.at[i]) && !is_cr_before_lf)
            return CONTROL_BAD_BYTES;
    }
    return bytes.len >= CONTROL_LINE_MAX ? CONTROL_TOO_LONG : CONTROL_MORE;
}

const char *control_result_text(enum control_result result) {
    switch (result) {
    case CONTROL_MORE:
        return "the request is not complete";
    case CONTROL_TOO_LONG:
        return "the request is longer than 512 bytes";
    case CONTROL_BAD_BYTES:
        return "the request is not a line of text";
    case CONTROL_UNKNOWN:
        return "unknown request; try: help";
    }
    return "bad request";
}

int control_help(struct buf *out) {
    int r = 0;
    for (unsigned i = 0; i < N_ROWS && r == 0; i++)
        r = buf_putf(out, "%.*s\n", STR_ARG(rows[i].line));
    return r;
}
