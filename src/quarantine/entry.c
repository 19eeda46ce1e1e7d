/*
 * entry: see the header.
 *
 * Lines of an unknown name are skipped, so that a newer program may add some; only a change of what the known ones mean
 * would be a new version.
 */
#include "quarantine/entry.h"

#include "base/addr.h"
#include "smtp/address.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define FIRST_LINE "postern quarantine 1"

enum { ID_MAX = 64, TIME_MAX = 40, WORD_MAX = 64 };

static int put_line(struct buf *out, const char *name, struct str value) {
    int r = buf_putf(out, "%s: ", name);
    for (size_t i = 0; i < value.len && r == 0; i++) {
        unsigned char c = (unsigned char)value.at[i];
        r = c < ' ' || c == 127 || c == '%' ? buf_putf(out, "%%%02X", c) : buf_putc(out, (char)c);
    }
    return r == 0 ? buf_putc(out, '\n') : r;
}

/* ---- what each field may hold */

static bool is_made_of(struct str text, const char *others, bool may_hold_letters) {
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.at[i]);
        bool is_letter = c >= 'a' && c <= 'z', is_digit = c >= '0' && c <= '9';
        if (!is_digit && !(is_letter && may_hold_letters) && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return true;
}

static bool is_id(struct str text) {
    return text.len > 0 && text.len < ID_MAX && is_made_of(text, ".", true);
}

static bool is_time(struct str text) {
    return text.len < TIME_MAX && is_made_of(text, "-:.TtZz", false);
}

static bool is_word(struct str text) {
    return text.len < WORD_MAX && is_made_of(text, "-_", true);
}

static bool is_client(struct str text) {
    struct ip ip;
    return text.len == 0 || ip_parse(text, &ip) == 0;
}

/* Not the null path; "postmaster" needs no domain (RFC 5321 4.5.1). */
static bool is_recipient(struct str text) {
    struct smtp_address address;
    return str_eq_nocase(text, STR("postmaster")) || smtp_address_parse(text, true, &address) == SMTP_ADDRESS_OK;
}

static bool is_sender(struct str text) {
    return text.len == 0 || is_recipient(text);
}

#define FIELD(name) #name, offsetof(struct quarantine_entry, name)

static const struct field {
    const char *name;
    size_t offset;
    bool (*is_sound)(struct str text); /* NULL: free text */
} fields[] = {
    { FIELD(id), is_id },         { FIELD(time), is_time }, { FIELD(host), NULL },     { FIELD(client), is_client },
    { FIELD(helo), NULL },        { FIELD(sender), is_sender }, { FIELD(kind), is_word }, { FIELD(rule), NULL },
    { FIELD(action), is_word },   { FIELD(details), NULL },
};

enum { N_FIELDS = sizeof(fields) / sizeof(fields[0]) };

static const struct field recipient_field = { .name = "recipient", .is_sound = is_recipient };
static const struct field address_field = { .name = "as", .is_sound = is_recipient };

static struct str *value_of(const struct quarantine_entry *e, const struct field *field) {
    return (struct str *)((char *)e + field->offset);
}

int quarantine_entry_format(const struct quarantine_entry *e, struct buf *out) {
    int r = e->n_recipients <= QUARANTINE_RECIPIENTS_MAX ? buf_puts(out, STR(FIRST_LINE "\n")) : -ENOBUFS;
    for (size_t i = 0; i < N_FIELDS && r == 0; i++)
        r = put_line(out, fields[i].name, *value_of(e, &fields[i]));
    for (size_t i = 0; i < e->n_recipients && r == 0; i++) {
        r = put_line(out, "recipient", e->recipients[i]);
        if (r == 0 && !str_eq(e->addresses[i], e->recipients[i]))
            r = put_line(out, "as", e->addresses[i]);
    }
    if (r == 0 && (e->is_8bit || e->is_utf8))
        r = buf_putf(out, "mail:%s%s\n", e->is_8bit ? " 8bit" : "", e->is_utf8 ? " smtputf8" : "");
    return r == 0 ? buf_putc(out, '\n') : r;
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Returns 0, -EBADMSG or -ENOMEM. */
static int unescape(struct str value, struct arena *arena, struct str *ret) {
    char *to = arena_alloc(arena, value.len + 1);
    size_t n = 0;
    if (to == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        if (c == '%') {
            int high = i + 2 < value.len ? hex(value.at[i + 1]) : -1;
            int low = high >= 0 ? hex(value.at[i + 2]) : -1;
            if (low < 0)
                return -EBADMSG;
            c = (char)(high << 4 | low);
            i += 2;
        }
        to[n++] = c;
    }
    to[n] = '\0';
    *ret = (struct str){ to, n };
    return 0;
}

/* As unescape(); -EBADMSG, and e->malformed, for what the field may not hold. */
static int take(struct quarantine_entry *e, const struct field *field, struct str value, struct arena *arena,
                struct str *ret) {
    int r = unescape(value, arena, ret);
    if (r == 0 && field->is_sound != NULL && !field->is_sound(*ret))
        r = -EBADMSG;
    if (r == -EBADMSG)
        e->malformed = field->name;
    for (size_t i = 0; r == 0 && i < ret->len; i++)
        if ((unsigned char)ret->at[i] < ' ' || ret->at[i] == 127)
            ((char *)ret->at)[i] = '?'; /* in free text; it is the arena's */
    return r;
}

static const struct field *field_of(struct str name) {
    for (size_t i = 0; i < N_FIELDS; i++)
        if (str_eq(name, str_of(fields[i].name)))
            return &fields[i];
    return NULL;
}

static void take_mail(struct quarantine_entry *e, struct str words) {
    for (struct str word; (word = str_word(&words)).len > 0;) {
        e->is_8bit |= str_eq(word, STR("8bit"));
        e->is_utf8 |= str_eq(word, STR("smtputf8"));
    }
}

struct lists {
    struct str *recipients, *addresses;
};

static int take_recipient(struct quarantine_entry *e, const struct lists *lists, struct str value,
                          struct arena *arena) {
    if (e->n_recipients == QUARANTINE_RECIPIENTS_MAX)
        return -EBADMSG;
    struct str *recipient = &lists->recipients[e->n_recipients];
    int r = take(e, &recipient_field, value, arena, recipient);
    lists->addresses[e->n_recipients++] = *recipient;
    return r;
}

static int take_line(struct quarantine_entry *e, const struct lists *lists, struct str line, struct arena *arena) {
    size_t colon = str_find(line, ':');
    struct str name = str_head(line, colon), value = str_from(line, colon + 1);
    const struct field *field = field_of(name);
    if (colon == line.len)
        return -EBADMSG;
    if (value.len > 0 && value.at[0] == ' ')
        value = str_from(value, 1);
    if (str_eq(name, STR("mail")))
        take_mail(e, value);
    if (str_eq(name, STR("recipient")))
        return take_recipient(e, lists, value, arena);
    if (str_eq(name, STR("as")) && e->n_recipients > 0)
        return take(e, &address_field, value, arena, &lists->addresses[e->n_recipients - 1]);
    return field != NULL ? take(e, field, value, arena, value_of(e, field)) : 0;
}

/* Lines of the block, as far as it is there. */
static size_t count_lines(struct str text) {
    size_t n = 1;
    for (size_t at = 0, len; at < text.len && (len = str_find(str_from(text, at), '\n')) > 0; at += len + 1)
        n++;
    return n;
}

int quarantine_entry_parse(struct str text, struct arena *arena, struct quarantine_entry *ret_entry, size_t *ret_len) {
    static const struct str first = STR_INIT(FIRST_LINE);
    struct quarantine_entry e = { .n_recipients = 0 };
    ret_entry->malformed = NULL;
    size_t at = 0, n_lines = count_lines(text);
    const struct lists lists = { arena_alloc(arena, n_lines * sizeof(struct str)),
                                 arena_alloc(arena, n_lines * sizeof(struct str)) };
    if (lists.recipients == NULL || lists.addresses == NULL)
        return -ENOMEM;
    for (bool is_first = true;; is_first = false) {
        size_t len = str_find(str_from(text, at), '\n');
        struct str line = str_head(str_from(text, at), len);
        if (is_first && !str_eq(str_head(line, first.len), str_head(first, line.len)))
            return -EBADMSG;
        if (at + len >= text.len)
            return text.len < QUARANTINE_HEAD_MAX ? -EAGAIN : -EBADMSG;
        at += len + 1;
        if (line.len == 0)
            break;
        if (is_first && !str_eq(line, first))
            return -EBADMSG;
        int r = is_first ? 0 : take_line(&e, &lists, line, arena);
        ret_entry->malformed = e.malformed;
        if (r < 0)
            return r;
    }
    if (e.id.len == 0 || e.n_recipients == 0)
        return -EBADMSG;
    e.recipients = lists.recipients;
    e.addresses = lists.addresses;
    *ret_entry = e;
    *ret_len = at;
    return 0;
}
