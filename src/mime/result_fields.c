/*
 * result_fields: see the header.
 *
 * All of it is written by this program but some of it was said by others (a virus' name, the names of tests, what
 * stands in a broken header), so every byte is looked at, and the length of each is bounded where it comes from.
 */
#include "mime/result_fields.h"

#include <inttypes.h>
#include <stdio.h>

enum { COLUMNS = 78, STARS_MAX = 50 };

struct writer {
    struct buf *out;
    unsigned column;
    int r;
};

static void put(struct writer *w, const char *at, size_t len) {
    if (w->r == 0)
        w->r = buf_put(w->out, at, len);
    w->column += (unsigned)len;
}

/*
 * A word that stands together with the separator behind it: on a new line when this one is full. A blank alone that
 * does not fit is dropped, since the fold is one; lines of blanks alone are a fault (RFC 5322 3.2.2).
 */
static void put_word(struct writer *w, struct str word) {
    char clean[COLUMNS];
    if (w->column >= COLUMNS && str_eq(word, STR(" ")))
        return;
    size_t len = word.len < sizeof(clean) ? word.len : sizeof(clean);
    for (size_t i = 0; i < len; i++)
        clean[i] = word.at[i] >= ' ' && word.at[i] < 127 ? word.at[i] : '?';
    if (w->column > 0 && w->column + len > COLUMNS) {
        put(w, "\r\n\t", 3);
        w->column = 8;
    }
    put(w, clean, len);
}

/* Words with the blanks or commas behind them; a longer one goes on with its next piece. */
static void put_words(struct writer *w, struct str text) {
    while (text.len > 0) {
        size_t end = 0;
        while (end < text.len && end < COLUMNS - 8 && text.at[end] != ' ' && text.at[end] != ',')
            end++;
        if (end < text.len && (text.at[end] == ' ' || text.at[end] == ','))
            end++;
        put_word(w, str_head(text, end));
        text = str_from(text, end);
    }
}

static void begin(struct writer *w, const char *name) {
    w->column = 0;
    put(w, name, strlen(name));
    put(w, ": ", 2);
}

static void end(struct writer *w) {
    put(w, "\r\n", 2);
}

static void put_field(struct writer *w, const char *name, const char *before, struct str text, const char *after) {
    begin(w, name);
    put_words(w, str_of(before));
    put_words(w, text);
    put_words(w, str_of(after));
    end(w);
}

/* "7.2", "-0.5", "12" */
static struct str number(int64_t thousandths, char out[32]) {
    uint64_t n = thousandths < 0 ? 0 - (uint64_t)thousandths : (uint64_t)thousandths;
    int len = snprintf(out, 32, "%s%" PRIu64 ".%03" PRIu64, thousandths < 0 ? "-" : "", n / 1000, n % 1000);
    while (len > 2 && out[len - 1] == '0' && out[len - 2] != '.')
        len--;
    return (struct str){ out, (size_t)len };
}

static void put_virus(struct writer *w, const struct result_fields *fields) {
    if (fields->virus == RESULT_MISSED)
        put_field(w, "X-Virus-Status", "Not scanned (", fields->virus_missed, ")");
    else if (fields->virus == RESULT_KNOWN && fields->virus_name.len > 0)
        put_field(w, "X-Virus-Status", "Infected (", fields->virus_name, ")");
    else if (fields->virus == RESULT_KNOWN)
        put_field(w, "X-Virus-Status", "Clean", STR(""), "");
}

static void put_level(struct writer *w, int64_t score) {
    char stars[STARS_MAX];
    int64_t n = score / 1000 < 0 ? 0 : score / 1000 < STARS_MAX ? score / 1000 : STARS_MAX;
    memset(stars, '*', sizeof(stars));
    if (n > 0)
        put_field(w, "X-Spam-Level", "", (struct str){ stars, (size_t)n }, "");
}

static void put_spam(struct writer *w, const struct result_fields *fields) {
    char score[32], threshold[32];
    if (fields->spam == RESULT_MISSED)
        put_field(w, "X-Spam-Status", "Not scanned (", fields->spam_missed, ")");
    if (fields->spam != RESULT_KNOWN)
        return;
    struct str its_score = number(fields->score, score);
    put_field(w, "X-Spam-Flag", fields->is_spam ? "YES" : "NO", STR(""), "");
    put_field(w, "X-Spam-Score", "", its_score, "");
    put_level(w, fields->score);
    begin(w, "X-Spam-Status");
    put_words(w, fields->is_spam ? STR("Yes, ") : STR("No, "));
    put_words(w, STR("score="));
    put_words(w, its_score);
    put_words(w, STR(" required="));
    put_words(w, number(fields->threshold, threshold));
    put_words(w, STR(" tests="));
    put_words(w, fields->tests.len > 0 ? fields->tests : STR("none"));
    end(w);
}

int result_fields_format(const struct result_fields *fields, struct buf *out) {
    struct writer w = { .out = out };
    uint32_t before = out->len;
    put_virus(&w, fields);
    put_spam(&w, fields);
    if (fields->bad_header.len > 0)
        put_field(&w, "X-Postern-Bad-Header", "", fields->bad_header, "");
    if (fields->banned.len > 0)
        put_field(&w, "X-Postern-Banned", "", fields->banned, "");
    if (w.r < 0)
        out->len = before;
    return w.r;
}

int result_tag_format(struct str name, struct buf *out) {
    struct writer w = { .out = out };
    uint32_t before = out->len;
    put_field(&w, "X-Postern-Tag", "", name, "");
    if (w.r < 0)
        out->len = before;
    return w.r;
}
