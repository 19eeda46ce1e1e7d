/*
 * banned: which attachments does nobody get by mail?
 *
 * By the extension of a name, also of the names inside a ZIP; by what the first bytes are, whatever the name says; and
 * by the declared type where there is no name to go by. The list that is built in names what Windows or macOS runs
 * when somebody opens it; an administrator adds and takes away (`attachments` in postern.conf).
 */
#pragma once

#include "mime/walker.h"

struct banned_rules {
    bool uses_defaults;      /* the built-in list counts */
    const char *const *ban;  /* extensions without the dot ("docm"), and types ("text/calendar"), besides */
    size_t n_ban;
    const char *const *allow;/* and those that are none, whoever bans them */
    size_t n_allow;
    bool looks_inside;       /* of archives */
    bool bans_encrypted;     /* files in archives with a password, which no scanner reads */
};

/*
 * True: the file is banned, and `why` (BANNED_WHY_MAX bytes, ends in NUL) says so: "invoice.pdf.exe: extension exe",
 * "a.js in photos.zip: extension js", "letter.doc: is a Windows program". Printable ASCII.
 */
enum { BANNED_WHY_MAX = 160 };
bool banned_check(const struct banned_rules *rules, const struct mime_file *file, char why[BANNED_WHY_MAX]);

/* Whether a word of an administrator is one that can match: an extension without a dot, or a type. */
bool banned_is_word(struct str word);

/* Why an extension is on the built-in list, or NULL: it is not. */
const char *banned_reason(struct str extension);
