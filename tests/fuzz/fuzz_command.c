/*
 * fuzz_command: lines from the wire. Every view lies in its line, what is accepted is clean and within bounds, and an
 * envelope written anew from what was understood is understood the same way.
 *
 * Input: '1' when UTF-8 is allowed in RCPT, then lines as on the wire.
 */
#include "smtp/command.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct str inner, struct str outer) {
    if (inner.len > 0)
        assert(inner.at >= outer.at && inner.at + inner.len <= outer.at + outer.len);
}

static int put_value(struct buf *b, const char *name, struct str value) {
    return buf_puts(b, str_of(name)) | buf_puts(b, value);
}

/* MAIL or RCPT as the session would say it to a mailbox server. */
static void check_envelope(const struct smtp_command *c, bool allow_utf8) {
    struct buf b;
    buf_init(&b, 4096);
    struct smtp_command again;
    int error = put_value(&b, c->verb == SMTP_MAIL ? "MAIL FROM:<" : "RCPT TO:<", c->address.text) | buf_putc(&b, '>');
    if (c->parameters & SMTP_HAS_SIZE)
        error |= buf_putf(&b, " SIZE=%llu", (unsigned long long)c->size);
    if (c->parameters & SMTP_HAS_BODY)
        error |= buf_puts(&b, c->body == SMTP_BODY_7BIT ? STR(" BODY=7BIT") : STR(" BODY=8BITMIME"));
    if (c->parameters & SMTP_HAS_SMTPUTF8)
        error |= buf_puts(&b, STR(" SMTPUTF8"));
    if (c->parameters & SMTP_HAS_RET)
        error |= put_value(&b, " RET=", c->ret);
    if (c->parameters & SMTP_HAS_ENVID)
        error |= put_value(&b, " ENVID=", c->envid);
    if (c->parameters & SMTP_HAS_NOTIFY)
        error |= put_value(&b, " NOTIFY=", c->notify);
    if (c->parameters & SMTP_HAS_ORCPT)
        error |= put_value(&b, " ORCPT=", c->orcpt);
    assert(error == 0 || b.len > 2048);
    if (error == 0) {
        assert(smtp_command_parse(buf_str(&b), allow_utf8, &again) == SMTP_COMMAND_OK);
        assert(again.verb == c->verb && (again.parameters | SMTP_HAS_AUTH) == (c->parameters | SMTP_HAS_AUTH));
        assert(str_eq(again.address.text, c->address.text) && again.size == c->size && again.body == c->body);
        assert(str_eq(again.ret, c->ret) && str_eq(again.envid, c->envid));
        assert(str_eq(again.notify, c->notify) && str_eq(again.orcpt, c->orcpt));
    }
    buf_deinit(&b);
}

static void check_xclient(struct str rest) {
    struct buf value;
    buf_init(&value, 512);
    struct str name;
    size_t left = rest.len + 1;
    while (smtp_xclient_next(&rest, &name, &value) == 1) {
        assert(rest.len < left && name.len > 0 && value.len > 0);
        left = rest.len;
        for (size_t i = 0; i < value.len; i++)
            assert((unsigned char)value.at[i] >= 32 && value.at[i] != 127);
    }
    buf_deinit(&value);
}

static void check_line(struct str line, bool allow_utf8) {
    struct smtp_command c;
    enum smtp_command_result result = smtp_command_parse(line, allow_utf8, &c);
    assert((unsigned)c.verb < SMTP_VERB_COUNT);
    if (c.verb != SMTP_UNKNOWN)
        assert(str_starts_nocase(line, str_of(smtp_verb_name(c.verb))));
    for (size_t i = 0; i < line.len; i++)
        assert(result == SMTP_COMMAND_BAD_BYTES || ((unsigned char)line.at[i] >= 32 && line.at[i] != 127));
    if (result != SMTP_COMMAND_OK)
        return;
    check_within(c.argument, line);
    check_within(c.address.text, line);
    check_within(c.orcpt, line);
    assert(c.envid.len <= SMTP_ENVID_MAX && c.orcpt.len <= SMTP_ORCPT_MAX);
    if (c.verb == SMTP_HELO || c.verb == SMTP_EHLO)
        assert(c.argument.len > 0 && c.argument.len <= SMTP_HELO_MAX);
    if (c.verb == SMTP_MAIL || c.verb == SMTP_RCPT)
        check_envelope(&c, allow_utf8);
    if (c.verb == SMTP_XCLIENT)
        check_xclient(c.argument);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    bool allow_utf8 = data[0] == '1';
    const char *at = (const char *)data + 1;
    size_t left = size - 1;
    while (left > 0) {
        size_t consumed = left;
        long n = smtp_line_find(at, left, &consumed);
        if (n >= 0) {
            assert((size_t)n + 2 == consumed && consumed <= left && memcmp(at + n, "\r\n", 2) == 0);
            assert(memmem(at, (size_t)n, "\r\n", 2) == NULL);
        } else {
            assert(memmem(at, left, "\r\n", 2) == NULL);
        }
        size_t len = n >= 0 ? (size_t)n : left;
        char *copy = malloc(len > 0 ? len : 1); /* of exactly its size */
        assert(copy != NULL);
        memcpy(copy, at, len);
        check_line((struct str){ copy, len }, allow_utf8);
        free(copy);
        at += consumed;
        left -= consumed;
    }
    return 0;
}
