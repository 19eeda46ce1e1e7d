/*
 * text: what does a refused client read?
 *
 * A template is the administrator's, a value is the client's: only the latter is cleaned and cut here, so that no HELO
 * name can forge a second reply line or push the reason out of the 512 bytes of one (RFC 5321 section 4.5.3.1.5). The
 * caller bounds the whole line.
 */
#include "policy/text.h"

const char *const placeholder_names[N_PLACEHOLDERS] = {
    [TEXT_CLIENT] = "client", [TEXT_PTR] = "ptr",
    [TEXT_HELO] = "helo", [TEXT_SENDER] = "sender",
    [TEXT_SENDER_DOMAIN] = "sender.domain", [TEXT_RCPT] = "rcpt",
    [TEXT_RCPT_DOMAIN] = "rcpt.domain", [TEXT_LIST] = "list",
    [TEXT_REASON] = "reason", [TEXT_RULE] = "rule",
    [TEXT_ID] = "id", [TEXT_SECONDS] = "seconds",
    [TEXT_VIRUS] = "virus",
};

/* The placeholder of this name, or N_PLACEHOLDERS. */
static size_t find_placeholder(struct str name) {
    size_t i = 0;
    while (i < N_PLACEHOLDERS && !str_eq(str_of(placeholder_names[i]), name))
        i++;
    return i;
}

const char *text_find_fault(struct str template, struct str *ret_name) {
    *ret_name = (struct str){ template.at, 0 };
    for (size_t i = 0; i < template.len; i++) {
        if (template.at[i] == '}')
            return template.at + i;
        if (template.at[i] != '{')
            continue;
        struct str rest = str_from(template, i + 1);
        size_t len = str_find(rest, '}');
        if (len == rest.len)
            return template.at + i;
        if (find_placeholder(str_head(rest, len)) == N_PLACEHOLDERS) {
            *ret_name = str_head(rest, len);
            return template.at + i;
        }
        i += len + 1;
    }
    return NULL;
}

bool text_mentions(struct str template, enum placeholder placeholder) {
    struct str name = str_of(placeholder_names[placeholder]);
    for (size_t i = 0; i + name.len + 1 < template.len; i++)
        if (template.at[i] == '{' && template.at[i + 1 + name.len] == '}'
            && str_eq((struct str){ template.at + i + 1, name.len }, name))
            return true;
    return false;
}

static int put_value(size_t placeholder, struct str value, struct buf *out) {
    int r = 0;
    size_t max = placeholder == TEXT_LIST || placeholder == TEXT_REASON ? TEXT_LISTS_MAX : TEXT_VALUE_MAX;
    if (str_is_empty(value))
        return buf_puts(out, STR("unknown"));
    for (size_t i = 0; i < value.len && i < max && r == 0; i++)
        r = buf_putc(out, value.at[i] >= ' ' && value.at[i] <= '~' ? value.at[i] : '?');
    return r;
}

/* Moves over the word behind "{seconds}" where it must be another after one: "1 second". */
static int put_singular(struct str value, struct str *template, struct buf *out) {
    static const struct str plural = STR_INIT(" seconds");
    if (!str_eq(value, STR("1")) || !str_eq(str_head(*template, plural.len), plural))
        return 0;
    *template = str_from(*template, plural.len);
    return buf_puts(out, str_head(plural, plural.len - 1));
}

int text_format(struct str template, const struct str values[N_PLACEHOLDERS], struct buf *out) {
    int r = 0;
    while (r == 0 && template.len > 0) {
        size_t plain = str_find(template, '{');
        struct str name = str_from(template, plain + 1);
        name = str_head(name, str_find(name, '}'));
        size_t i = plain < template.len ? find_placeholder(name) : N_PLACEHOLDERS;
        r = buf_puts(out, str_head(template, plain));
        if (r == 0 && i < N_PLACEHOLDERS)
            r = put_value(i, values[i], out);
        template = plain < template.len ? str_from(template, plain + name.len + 2) : str_from(template, plain);
        if (r == 0 && i == TEXT_SECONDS)
            r = put_singular(values[i], &template, out);
    }
    return r;
}
