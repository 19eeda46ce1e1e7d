/*
 * greylist_entry: our own form of a greylist, one line an entry, fields between tabs:
 *
 *     # postern greylist 1
 *     triplet  net:192.0.2.0/24  anna@example.net  bert@example.com  1795770771  1795770773  1798880000  1
 *     client   org:example.net   -                 -                 1795770771  1795770773  1798880000  5
 *
 * (kind, identity, normalised sender, recipient, first seen, last seen, expiry, passes). A tab or line end inside a
 * quoted local part cannot occur: addresses are parsed before they are kept, and neither is allowed there. The file is
 * for moving a greylist, and for scripts that make one from something else, so times are seconds since 1970.
 */
#include "cmd/greylist_entry.h"

#include <errno.h>
#include <stdlib.h>

const char greylist_export_head[] = "# postern greylist 1";

enum { FIELDS = 8, LINE_MAX_BYTES = 4096 };

/* ---- writing */

static struct str or_dash(struct str text) {
    return text.len > 0 ? text : STR("-");
}

int greylist_write_entry(struct buf *out, const struct greylist_entry *entry) {
    struct str sender = or_dash(entry->sender), recipient = or_dash(entry->recipient);
    return buf_putf(out, "%s\t%.*s\t%.*s\t%.*s\t%lld\t%lld\t%lld\t%d\n", entry->is_client ? "client" : "triplet",
                    STR_ARG(entry->who), STR_ARG(sender), STR_ARG(recipient), (long long)entry->first,
                    (long long)entry->last, (long long)entry->expires, entry->passes);
}

/* ---- reading */

static int complain(struct greylist_reading *reading, const char *what) {
    buf_clear(&reading->problem);
    buf_puts(&reading->problem, str_of(what));
    return -EBADMSG;
}

static bool take_number(struct str text, long long max, int64_t *ret) {
    unsigned long long value;
    if (str_to_u64(text, (unsigned long long)max, &value) < 0)
        return false;
    *ret = (int64_t)value;
    return true;
}

static bool is_identity(struct str who) {
    size_t colon = str_find(who, ':');
    return colon > 0 && colon + 1 < who.len;
}

static int take_fields(struct greylist_reading *reading, const struct str fields[FIELDS]) {
    struct greylist_entry entry = { .is_client = str_eq(fields[0], STR("client")), .who = fields[1],
                                    .sender = fields[2], .recipient = fields[3] };
    int64_t passes;
    if (!entry.is_client && !str_eq(fields[0], STR("triplet")))
        return complain(reading, "expected 'triplet' or 'client' at the beginning of the line");
    if (!is_identity(entry.who))
        return complain(reading, "expected an identity such as net:192.0.2.0/24 behind the kind");
    if (entry.is_client)
        entry.sender = entry.recipient = STR("");
    if (!take_number(fields[4], INT64_MAX, &entry.first) || !take_number(fields[5], INT64_MAX, &entry.last)
        || !take_number(fields[6], INT64_MAX, &entry.expires) || !take_number(fields[7], INT32_MAX, &passes))
        return complain(reading, "expected four numbers at the end: first seen, last seen, expiry, passes");
    if (entry.last < entry.first)
        return complain(reading, "last seen before it was first seen");
    entry.passes = (int32_t)passes;
    return reading->on_entry(reading->arg, &entry);
}

static int take_line(struct greylist_reading *reading, struct str line) {
    struct str fields[FIELDS] = { { 0 } };
    size_t n = 0;
    for (bool has_more = true; has_more; n++) {
        size_t tab = str_find(line, '\t');
        has_more = tab < line.len;
        if (n < FIELDS)
            fields[n] = str_head(line, tab);
        line = str_from(line, tab + 1);
    }
    return n == FIELDS ? take_fields(reading, fields) : complain(reading, "expected 8 fields between tabs");
}

int greylist_read_export(FILE *in, struct greylist_reading *reading) {
    char *line = NULL;
    size_t size = 0;
    int r = 0;
    reading->line = 0;
    for (ssize_t len; r == 0 && (len = getline(&line, &size, in)) >= 0;) {
        struct str text = { line, (size_t)len };
        while (text.len > 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == '\r'))
            text.len--;
        reading->line++;
        if (reading->line == 1 && !str_eq(text, str_of(greylist_export_head)))
            r = complain(reading, "not made by 'postern greylist export': the first line is another one");
        else if (text.len > LINE_MAX_BYTES)
            r = complain(reading, "the line is too long");
        else if (text.len > 0 && text.at[0] != '#')
            r = take_line(reading, text);
    }
    free(line);
    if (r == 0 && ferror(in))
        r = -EIO;
    if (r == 0 && reading->line == 0)
        r = complain(reading, "the file is empty");
    return r;
}
