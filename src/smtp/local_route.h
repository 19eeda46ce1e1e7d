/*
 * local_route: could a mail server take this local part for something else than a mailbox?
 *
 * Sendmail, Postfix and their like read "anna%far.example", "far.example!anna" and "anna@far.example" in front of the
 * last @ as "send it on" (RFC 5321 4.4 and appendix C speak of such source routes), and "/file" or "|command" as where
 * to deliver. A server that trusts the host it gets mail from does so for every stranger.
 */
#pragma once

#include "base/str.h"

enum smtp_local_kind {
    SMTP_LOCAL_PLAIN,
    SMTP_LOCAL_ROUTE, /* '%', '!' or '@' with something on both sides */
    SMTP_LOCAL_ODD,   /* one of them at an end, or a leading '/' or '|' */
};

/*
 * `canonical` comes from smtp_local_canonical(): quotes and escapes are resolved. The full-width and other forms of
 * these characters count as they do (their compatibility decomposition, Unicode NFKC, which a server may apply).
 */
enum smtp_local_kind smtp_local_kind(struct str canonical);
