/*
 * columns: see the header. Each table is read twice, once for the widths and once to write it. Bytes are counted, not
 * places on a screen: names and numbers are ASCII, and what is not is the last cell of its line.
 */
#include "cmd/columns.h"

enum { GAP = 2 };

/* The line in front of `text`, without its end. */
static struct str line_of(struct str text) {
    return str_head(text, str_find(text, '\n'));
}

/* Takes the nth cell off the front of `line`. False: it is the last one, which `line` is now. */
static bool take_cell(struct str *line, unsigned nth, struct str *ret_cell) {
    size_t len = str_find(*line, '\t');
    if (len == line->len || nth + 1 == COLUMNS_MAX)
        return false;
    *ret_cell = str_head(*line, len);
    *line = str_from(*line, len + 1);
    return true;
}

/* Measures the table in front of `text`; returns how long it is. */
static size_t measure(struct str text, size_t widths[COLUMNS_MAX]) {
    size_t at = 0;
    memset(widths, 0, COLUMNS_MAX * sizeof(widths[0]));
    while (at < text.len && text.at[at] != '\n') {
        struct str line = line_of(str_from(text, at));
        at += line.len + 1;
        struct str cell;
        for (unsigned nth = 0; take_cell(&line, nth, &cell); nth++)
            widths[nth] = cell.len > widths[nth] ? cell.len : widths[nth];
    }
    return at < text.len ? at : text.len;
}

static int put_line(struct str line, const size_t widths[COLUMNS_MAX], struct buf *out) {
    struct str cell;
    int r = 0;
    for (unsigned nth = 0; r == 0 && take_cell(&line, nth, &cell); nth++)
        r = buf_putf(out, "%-*.*s", (int)(widths[nth] + GAP), STR_ARG(cell));
    r = r == 0 ? buf_puts(out, line) : r;
    return r == 0 ? buf_putc(out, '\n') : r;
}

static int put_table(struct str text, const size_t widths[COLUMNS_MAX], struct buf *out) {
    int r = 0;
    for (size_t at = 0; r == 0 && at < text.len;) {
        struct str line = line_of(str_from(text, at));
        r = put_line(line, widths, out);
        at += line.len + 1;
    }
    return r;
}

int columns_align(struct str text, struct buf *out) {
    size_t widths[COLUMNS_MAX];
    int r = 0;
    while (r == 0 && text.len > 0) {
        size_t len = measure(text, widths);
        r = len > 0 ? put_table(str_head(text, len), widths, out) : buf_putc(out, '\n');
        text = str_from(text, len > 0 ? len : 1);
    }
    return r;
}
