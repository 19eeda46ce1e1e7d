/*
 * import_list: one address a line, and Postfix maps, which are a list with something behind each address.
 *
 * A plain list has blank lines and lines that begin with "#"; all else is an address, or a local part alone.
 *
 * A Postfix map (relay_recipient_maps, virtual_alias_maps, virtual_mailbox_maps as text, postmap(1)) is read for its
 * keys: what an address maps to does not matter here, but must be there, as postmap demands it. A line that begins with
 * a blank goes on with the one before it. "@domain" is a catch-all and nobody's address; a key without "@" declares a
 * domain or is a table for other uses: left out and named.
 */
#include "table/import_reader.h"

static bool is_comment(struct str line) {
    line = str_trim(line);
    return line.len == 0 || line.at[0] == '#';
}

static int list_record(struct import *import, struct str record) {
    if (is_comment(record))
        return 0;
    struct str text = str_trim(record);
    return import_take(import, text, text.at);
}

const struct import_reader import_list_reader = { .record = list_record };

/*
 * Blank and comment lines end no record (postmap(1)); inside one they are as good as white space only when they begin
 * with a blank.
 */
static bool postfix_continues(const struct import *import, struct str line) {
    return line.len > 0 && (line.at[0] == ' ' || line.at[0] == '\t') && !is_comment(line);
}

/* Cuts the key off the front of `*rest`; a local part in quotes may hold blanks. */
static struct str postfix_key(struct str *rest) {
    *rest = str_trim(*rest);
    size_t end = 0;
    bool is_quoted = false;
    for (; end < rest->len; end++) {
        char c = rest->at[end];
        if (c == '"')
            is_quoted = !is_quoted;
        else if (c == '\\' && is_quoted && end + 1 < rest->len)
            end++;
        else if (!is_quoted && (c == ' ' || c == '\t' || c == '\n'))
            break;
    }
    struct str key = str_head(*rest, end);
    *rest = str_from(*rest, end);
    return key;
}

static int postfix_record(struct import *import, struct str record) {
    if (is_comment(record))
        return 0;
    struct str rest = record;
    struct str key = postfix_key(&rest);
    if (record.at[0] == ' ' || record.at[0] == '\t')
        import_malformed(import, record.at,
                         "a line that begins with a blank continues another, and there is none before it");
    else if (str_trim(rest).len == 0)
        import_malformed(import, key.at + key.len, "expected a blank and a value behind the address");
    else if (memchr(key.at, '@', key.len) == NULL)
        import_leave_out(&import->counts.ignored, key);
    else
        return import_take(import, key, key.at);
    return 0;
}

const struct import_reader import_postfix_reader = { .continues = postfix_continues, .record = postfix_record };
