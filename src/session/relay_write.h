/*
 * relay_write: the commands of a transfer as bytes, and its answers as a client may see them. No state, no I/O.
 */
#pragma once

#include "session/relay.h"

enum relay_forward_part { FORWARD_CLIENT = 1 << 0, FORWARD_SESSION = 1 << 1, FORWARD_ALL = 3 };

/* `envelope` with the client (NAME, ADDR, PORT) or the session (HELO) unknown, as `hidden` says. */
struct relay_envelope relay_hide_client(const struct relay_envelope *envelope, unsigned hidden);

/* Which part the first of relay_write_xforward()'s commands is about. */
enum relay_forward_part relay_forward_first(uint32_t attributes);

/*
 * XFORWARD with those attributes that the server named, in at most two commands (their values may be long).
 * *ret_commands is how many answers will come. Returns 0, -ENOBUFS or -ENOMEM, as all here.
 */
int relay_write_xforward(struct buf *out, const struct relay_envelope *envelope, uint32_t attributes,
                         uint32_t *ret_commands);

/* XCLIENT likewise, always one command or none: the session begins anew behind it. */
int relay_write_xclient(struct buf *out, const struct relay_envelope *envelope, uint32_t attributes,
                        uint32_t *ret_commands);

struct relay_mail {
    uint32_t extensions; /* that the server offers */
    bool has_size;
    uint64_t size;
    bool is_8bit, is_utf8;
};

int relay_write_mail(struct buf *out, const struct relay_envelope *envelope, const struct relay_mail *mail);
int relay_write_rcpt(struct buf *out, const struct relay_recipient *recipient, uint32_t extensions);

/*
 * Replaces each of the `n` inner names in the answer's text (whole words, any case, not behind an @: there it is a mail
 * domain) by `name`.
 */
void relay_hide_names(struct smtp_answer *answer, const struct str *inner, size_t n, struct str name);
