/*
 * list_reason: see the header.
 *
 * The key goes out of the text as it is copied: whenever its last letter arrives, the whole of it is dropped again, so
 * that no leftovers can join to a key. The dot behind it goes too: http://KEY.bl.example/ reads http://bl.example/.
 */
#include "facts/list_reason.h"

static const struct str between = STR_INIT(", "), more = STR_INIT("...");

/* ---- one list's words */

static bool ends_with(const char *text, size_t len, struct str key) {
    return key.len > 0 && len >= key.len && str_eq_nocase((struct str){ text + len - key.len, key.len }, key);
}

/* Printable ASCII, single blanks, no key. Returns the length. */
static size_t clean(struct str said, struct str key, char out[DNS_TEXT_MAX]) {
    size_t len = 0;
    bool is_behind_key = false;
    for (size_t i = 0; i < said.len && len < DNS_TEXT_MAX; i++) {
        unsigned char c = (unsigned char)said.at[i];
        bool is_blank = c <= ' ' || c == 127;
        if ((is_blank && (len == 0 || out[len - 1] == ' ')) || (is_behind_key && c == '.'))
            continue;
        out[len++] = is_blank ? ' ' : c > 127 ? '?' : (char)c;
        is_behind_key = ends_with(out, len, key);
        if (is_behind_key)
            len -= key.len;
    }
    return len > 0 && out[len - 1] == ' ' ? len - 1 : len;
}

/* As many whole words as fit, with "..." behind them; nothing if not even one does. `ret_is_cut` says which. */
static struct str shorten(struct str text, size_t room, bool *ret_is_cut) {
    *ret_is_cut = text.len > room;
    if (!*ret_is_cut)
        return text;
    size_t len = room > more.len ? room - more.len : 0;
    while (len > 0 && text.at[len] != ' ')
        len--;
    while (len > 0 && memchr(" ,;:.-", text.at[len - 1], 6) != NULL)
        len--;
    return str_head(text, len);
}

static size_t put(char *out, size_t len, struct str text) {
    memcpy(out + len, text.at, text.len);
    return len + text.len;
}

bool list_reason_take(struct list_reason *reason, uint8_t list, const char *key, struct str said) {
    char text[DNS_TEXT_MAX];
    bool is_cut;
    struct str words = shorten((struct str){ text, clean(said, str_of(key), text) }, LIST_REASON_MAX, &is_cut);
    size_t len = put(reason->text, 0, words);
    reason->len = (uint8_t)(is_cut && len > 0 ? put(reason->text, len, more) : len);
    reason->list = list;
    return len > 0;
}

/* ---- all of them */

static struct str find_reason(const struct list_reason *reasons, size_t n, size_t list) {
    for (size_t i = 0; i < n; i++)
        if (reasons[i].list == list)
            return (struct str){ reasons[i].text, reasons[i].len };
    return STR("");
}

/* Of `lists` those whose zones fit; *ret_len is what they take. */
static uint64_t choose_zones(const struct conf *conf, uint64_t lists, size_t *ret_len) {
    uint64_t chosen = 0;
    *ret_len = 0;
    for (size_t i = 0; i < conf->n_block_lists; i++) {
        size_t len = str_of(conf->block_lists[i].zone).len + (*ret_len > 0 ? between.len : 0);
        if (!(lists >> i & 1) || *ret_len + len > LIST_REASONS_MAX)
            continue;
        chosen |= UINT64_C(1) << i;
        *ret_len += len;
    }
    return chosen;
}

struct str list_reasons_format(const struct conf *conf, uint64_t lists, const struct list_reason *reasons, size_t n,
                               char out[LIST_REASONS_MAX]) {
    size_t zones_len, len = 0, n_left = n;
    lists = choose_zones(conf, lists, &zones_len);
    size_t spare = LIST_REASONS_MAX - zones_len;
    for (size_t i = 0; i < conf->n_block_lists; i++) {
        struct str reason = find_reason(reasons, n, i);
        bool is_cut = false;
        if (!(lists >> i & 1))
            continue;
        len = put(out, len, len > 0 ? between : STR(""));
        len = put(out, len, str_of(conf->block_lists[i].zone));
        if (reason.len == 0)
            continue;
        size_t room = spare / n_left--; /* what one does not use is left for the next */
        struct str words = shorten(reason, room > 3 ? room - 3 : 0, &is_cut);
        if (words.len == 0)
            continue;
        size_t start = len;
        len = put(out, len, STR(" ("));
        len = put(out, len, words);
        len = put(out, len, is_cut ? more : STR(""));
        len = put(out, len, STR(")"));
        spare -= len - start;
    }
    return (struct str){ out, len };
}
