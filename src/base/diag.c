/*
 * diag: errors in files that people write.
 *
 * The place of an error is a pointer into the text: whoever parses has one at hand, and line and column are counted
 * only when an error is told, not kept for every token. The line is shown with its control characters blanked, so that
 * a file cannot play with the terminal, and cut at SHOWN_MAX bytes; the caret is left out when it would stand past the
 * cut. Tabs are repeated in front of the caret so that it stands right whatever their width.
 *
 * DIAG_MAX bounds errors and warnings each, so that warnings never hide the error that keeps a file from loading; what
 * lies beyond is counted, and said once. Messages that find no memory are counted all the same: a file with errors is
 * never taken for a good one.
 */
#include "base/diag.h"

#include <stdarg.h>
#include <stdint.h>

enum { TEXT_MAX = 256 * 1024, SHOWN_MAX = 160 };

void diag_init(struct diag_list *list) {
    *list = (struct diag_list){ .errors = 0 };
    buf_init(&list->text, TEXT_MAX);
}

void diag_deinit(struct diag_list *list) {
    buf_deinit(&list->text);
}

struct place {
    struct str line; /* without its line end */
    size_t number, column;
};

static struct place find_place(struct str text, const char *at) {
    struct str before = { text.at, (size_t)(at - text.at) };
    struct place place = { .number = 1 };
    size_t start = str_find_last(before, '\n');
    start = start == before.len ? 0 : start + 1;
    for (size_t i = 0; i < start; i++)
        place.number += text.at[i] == '\n';
    place.column = before.len - start + 1;
    place.line = str_from(text, start);
    place.line = str_head(place.line, str_find(place.line, '\n'));
    if (place.line.len > 0 && place.line.at[place.line.len - 1] == '\r')
        place.line.len--;
    return place;
}

static char shown(char c) {
    unsigned char byte = (unsigned char)c;
    return (byte < ' ' && c != '\t') || byte == 0x7f ? ' ' : c;
}

/* The line, and a caret under the column. */
static void put_line(struct buf *out, struct place place) {
    struct str line = str_head(place.line, SHOWN_MAX);
    buf_puts(out, STR("    "));
    for (size_t i = 0; i < line.len; i++)
        buf_putc(out, shown(line.at[i]));
    if (place.column <= line.len + 1) {
        buf_puts(out, STR("\n    "));
        for (size_t i = 0; i + 1 < place.column; i++) {
            /* One blank a character, not a byte: UTF-8 continuation bytes take no room on the screen. */
            if (((unsigned char)line.at[i] & 0xc0) != 0x80)
                buf_putc(out, line.at[i] == '\t' ? '\t' : ' ');
        }
        buf_putc(out, '^');
    }
    buf_putc(out, '\n');
}

static bool is_within(struct str text, const char *at) {
    return at && text.at && at >= text.at && at <= text.at + text.len;
}

/* Says the nth message of its kind. */
__attribute__((format(printf, 6, 0)))
static void tell(struct diag_list *list, unsigned nth, const struct diag_source *source, const char *at,
                 const char *kind, const char *format, va_list args) {
    if (nth > DIAG_MAX) {
        if (nth == DIAG_MAX + 1)
            buf_putf(&list->text, "%s: there are more %ss; the first %d are shown\n", source->path, kind, DIAG_MAX);
        return;
    }
    if (!is_within(source->text, at)) {
        buf_putf(&list->text, "%s: %s: ", source->path, kind);
        buf_vputf(&list->text, format, args);
        buf_putc(&list->text, '\n');
        return;
    }
    struct place place = find_place(source->text, at);
    buf_putf(&list->text, "%s:%zu:%zu: %s: ", source->path, source->lines_before + place.number,
             place.column, kind);
    buf_vputf(&list->text, format, args);
    buf_putc(&list->text, '\n');
    put_line(&list->text, place);
}

void diag_error(struct diag_list *list, const struct diag_source *source, const char *at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tell(list, ++list->errors, source, at, "error", format, args);
    va_end(args);
}

void diag_warning(struct diag_list *list, const struct diag_source *source, const char *at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tell(list, ++list->warnings, source, at, "warning", format, args);
    va_end(args);
}

const char *diag_did_you_mean(struct str unknown, const char *const *names, size_t n) {
    const char *best = NULL;
    size_t least = unknown.len <= 4 ? 2 : 2 + unknown.len / 4; /* one more than is taken */
    for (size_t i = 0; i < n; i++) {
        size_t distance = str_distance(unknown, str_of(names[i]));
        if (distance < least) {
            least = distance;
            best = names[i];
        }
    }
    return best;
}
