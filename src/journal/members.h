/*
 * members: a line of JSON as a flat list of its members, in the order of the line.
 *
 * For reading journals, our own and those of other tools. Everything is bounded: members, depth, length. Strings are
 * unescaped in place, in the caller's line, which must live as long as the members.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

/* The longest of ours is that of a message to 1,000 recipients who have verdicts of their own: seven for each. */
enum { MEMBERS_MAX = 8192, MEMBERS_DEPTH_MAX = 8 };

enum member_type { MEMBER_NULL, MEMBER_BOOL, MEMBER_NUMBER, MEMBER_STRING, MEMBER_OBJECT, MEMBER_ARRAY };

struct member {
    struct str name;  /* empty within an array */
    struct str text;  /* strings: unescaped; numbers: as written; others empty */
    uint8_t type;     /* enum member_type */
    bool value;       /* MEMBER_BOOL */
    uint16_t end;     /* index behind the last member inside this one: the next one beside it */
};

struct members { /* some 400 KiB: not for the stack of a deep call */
    struct member at[MEMBERS_MAX];
    uint16_t n;
};

/*
 * Parses one object that fills `line`, blanks around it apart. Returns 0, -EINVAL (not JSON by RFC 8259, or not an
 * object), or -E2BIG (a bound). The object itself is at[0]. Of two members with one name the first counts.
 */
int members_parse(char *line, size_t len, struct members *ret_members);

/* The member with this name directly inside `parent`, or NULL. `parent` NULL gives NULL. */
const struct member *members_find(const struct members *members, const struct member *parent, const char *name);

/* The text of a string member inside `parent`; empty with at NULL when there is none. */
struct str members_text(const struct members *members, const struct member *parent, const char *name);

/* Walks what is directly inside `parent`: begin with NULL. Returns NULL at the end. */
const struct member *members_next(const struct members *members, const struct member *parent,
                                  const struct member *before);

/* A number in thousandths, rounded towards zero. Returns 0, -EINVAL (not a number) or -ERANGE. */
int members_thousandths(const struct member *member, int64_t *ret_value);
