/*
 * greylist_postgrey: what postgrey knows, from `db_dump -p` of its two Berkeley databases.
 *
 *     VERSION=3                                            postgrey.db:          network/sender/recipient
 *     format=print                                                               first,last[,host]
 *     type=btree                                           postgrey_clients.db:  address
 *     HEADER=END                                                                 count,last
 *      192.0.2.0/anna@example.net/bert@example.com
 *      1795770771,1795770773
 *     DATA=END
 *
 * Keys and values alternate, a blank before each; what does not print is \xx in hexadecimal, a backslash is doubled. A
 * local part may hold a slash, a recipient's domain cannot, nor can an address: the network ends at the first slash and
 * the recipient begins behind the last one.
 *
 * Rejected: reading the databases themselves. libdb would be a library of this size for a command that runs once.
 */
#include "cmd/greylist_entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ITEM_MAX = 2048 };

struct dump {
    FILE *in;
    struct greylist_reading *reading;
    int64_t delay;
    bool by_host;
    char *line;
    size_t size;
    char key[ITEM_MAX];
    size_t key_len;
};

static int complain(struct dump *dump, const char *what) {
    buf_clear(&dump->reading->problem);
    buf_puts(&dump->reading->problem, str_of(what));
    return -EBADMSG;
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes the dump's escapes. Returns the length, or SIZE_MAX: malformed or too long. */
static size_t unescape(struct str text, char out[ITEM_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (n == ITEM_MAX)
            return SIZE_MAX;
        if (text.at[i] != '\\') {
            out[n++] = text.at[i];
        } else if (i + 1 < text.len && text.at[i + 1] == '\\') {
            out[n++] = '\\';
            i++;
        } else {
            if (i + 2 >= text.len || hex(text.at[i + 1]) < 0 || hex(text.at[i + 2]) < 0)
                return SIZE_MAX;
            out[n++] = (char)(hex(text.at[i + 1]) << 4 | hex(text.at[i + 2]));
            i += 2;
        }
    }
    return n;
}

static bool take_number(struct str *rest, int64_t *ret) {
    unsigned long long value;
    size_t comma = str_find(*rest, ',');
    if (str_to_u64(str_head(*rest, comma), INT64_MAX, &value) < 0)
        return false;
    *rest = str_from(*rest, comma + 1);
    *ret = (int64_t)value;
    return true;
}

static int take_item(struct dump *dump, struct str value) {
    struct str key = { dump->key, dump->key_len };
    struct greylist_entry entry = { 0 };
    int64_t one, two;
    if (!take_number(&value, &one) || !take_number(&value, &two))
        return complain(dump, "expected two numbers, as postgrey writes them");
    size_t first = str_find(key, '/'), last = str_find_last(key, '/');
    if (first == key.len) {
        if (one > INT32_MAX)
            return complain(dump, "the count of a client is too large");
        entry = (struct greylist_entry){ .is_client = true, .who = key, .first = two, .last = two,
                                         .passes = (int32_t)one };
    } else if (first == last || two < one) {
        return complain(dump, "expected network/sender/recipient, and first seen before last seen");
    } else {
        entry = (struct greylist_entry){ .who = str_head(key, first), .recipient = str_from(key, last + 1),
                                         .sender = { key.at + first + 1, last - first - 1 }, .first = one, .last = two,
                                         .is_network = !dump->by_host, .passes = two - one >= dump->delay };
    }
    return dump->reading->on_entry(dump->reading->arg, &entry);
}

/* The next line, without its end. False: there is none. */
static bool next_line(struct dump *dump, struct str *ret_line) {
    ssize_t len = getline(&dump->line, &dump->size, dump->in);
    if (len < 0)
        return false;
    if (len > 0 && dump->line[len - 1] == '\n')
        len--;
    dump->reading->line++;
    *ret_line = (struct str){ dump->line, (size_t)len };
    return true;
}

static int read_header(struct dump *dump) {
    struct str line;
    bool is_first = true, is_print = false;
    while (next_line(dump, &line)) {
        if (is_first && !str_eq(line, STR("VERSION=3")))
            break;
        is_first = false;
        is_print = is_print || str_eq(line, STR("format=print"));
        if (str_eq(line, STR("HEADER=END")))
            return is_print ? 0 : complain(dump, "a dump of another format; 'db_dump -p' makes the right one");
    }
    return complain(dump, "not the output of 'db_dump -p'");
}

static int read_items(struct dump *dump) {
    struct str line;
    bool is_value = false;
    char value[ITEM_MAX];
    while (next_line(dump, &line)) {
        if (!is_value && str_eq(line, STR("DATA=END")))
            return 0;
        size_t len = line.len > 0 && line.at[0] == ' ' ? unescape(str_from(line, 1), is_value ? value : dump->key)
                                                       : SIZE_MAX;
        if (len == SIZE_MAX)
            return complain(dump, "expected a key or a value behind a blank");
        if (!is_value) {
            dump->key_len = len;
        } else {
            int r = take_item(dump, (struct str){ value, len });
            if (r < 0)
                return r;
        }
        is_value = !is_value;
    }
    return ferror(dump->in) ? -EIO : complain(dump, "the dump is cut off: DATA=END is missing");
}

int greylist_read_postgrey(FILE *in, int64_t delay, bool by_host, struct greylist_reading *reading) {
    struct dump dump = { .in = in, .reading = reading, .delay = delay, .by_host = by_host };
    reading->line = 0;
    int r = read_header(&dump);
    if (r == 0)
        r = read_items(&dump);
    free(dump.line);
    return r;
}
