/*
 * explain_content: what a message was, as scanners and our own look at it found, and what the policy said of it for
 * recipients who were treated otherwise than the one whose verdict is explained.
 *
 *     content
 *       kind         infected
 *       virus        Eicar-Signature
 *       spam         7.2 of 5: BAYES_99,HTML_MESSAGE
 *       bad header   Date is missing
 *       attachment   a.pdf.exe: extension exe
 *       not scanned  by spamassassin: larger than 512 KiB
 *       tag          SPAM
 *
 *     for others
 *       quarantine  SPAM  spam  user@example.com
 *
 * All of it comes out of the journal (session/content_record.c writes it).
 */
#include "cmd/explain.h"

static const struct member *content_of(const struct explain *e) {
    const struct member *record = &e->members.at[0];
    return e->is_recorded && members_find(&e->members, record, "kind") != NULL ? record : NULL;
}

static void put_line(struct buf *out, const char *name, struct str text) {
    if (text.len == 0)
        return;
    buf_putf(out, "  %-11s  ", name);
    explain_put_clean(out, text);
    buf_putc(out, '\n');
}

static void put_spam(const struct explain *e, const struct member *spam, struct buf *out) {
    const struct member *score = members_find(&e->members, spam, "score");
    const struct member *required = members_find(&e->members, spam, "required");
    struct buf text;
    if (score == NULL || required == NULL)
        return;
    buf_init(&text, 65536);
    buf_putf(&text, "%.*s of %.*s: %.*s", STR_ARG(score->text), STR_ARG(required->text),
             STR_ARG(members_text(&e->members, spam, "tests")));
    put_line(out, "spam", buf_str(&text));
    buf_deinit(&text);
}

static void put_unscanned(const struct explain *e, const struct member *unscanned, const char *what,
                          const char *scanner, struct buf *out) {
    struct str why = members_text(&e->members, unscanned, what);
    struct buf text;
    if (why.len == 0)
        return;
    buf_init(&text, 4096);
    buf_putf(&text, "by %s: %.*s", scanner, STR_ARG(why));
    put_line(out, "not scanned", buf_str(&text));
    buf_deinit(&text);
}

static void put_others(const struct explain *e, const struct member *verdicts, struct buf *out) {
    const struct members *m = &e->members;
    if (members_next(m, verdicts, NULL) != NULL)
        buf_puts(out, STR("\nfor others\n"));
    for (const struct member *one = NULL; (one = members_next(m, verdicts, one)) != NULL;) {
        struct str rule = members_text(m, one, "rule");
        buf_putf(out, "  %-10.*s  ", STR_ARG(members_text(m, one, "action")));
        explain_put_clean(out, rule.len > 0 ? rule : STR("-"));
        buf_putf(out, "  %.*s  ", STR_ARG(members_text(m, one, "kind")));
        explain_put_clean(out, members_text(m, one, "rcpt"));
        buf_putc(out, '\n');
    }
}

void explain_print_content(const struct explain *e, struct buf *out) {
    const struct members *m = &e->members;
    const struct member *record = content_of(e);
    if (record == NULL)
        return;
    const struct member *unscanned = members_find(m, record, "unscanned"), *tags = members_find(m, record, "tags");
    buf_puts(out, STR("\ncontent\n"));
    put_line(out, "kind", members_text(m, record, "kind"));
    put_line(out, "virus", members_text(m, record, "virus"));
    put_spam(e, members_find(m, record, "spam"), out);
    put_line(out, "bad header", members_text(m, record, "bad_header"));
    put_line(out, "attachment", members_text(m, record, "banned"));
    put_unscanned(e, unscanned, "virus", "clamav", out);
    put_unscanned(e, unscanned, "spam", "spamassassin", out);
    for (const struct member *tag = NULL; (tag = members_next(m, tags, tag)) != NULL;)
        put_line(out, "tag", tag->text);
    put_others(e, members_find(m, record, "verdicts"), out);
}

/* ---- for programs: as it stands in the journal */

static void record_member(const struct explain *e, struct record *r, const struct member *member) {
    const char *name = NULL;
    char kept[64];
    int64_t number;
    if (member->name.len > 0 && member->name.len < sizeof(kept)) {
        memcpy(kept, member->name.at, member->name.len);
        kept[member->name.len] = '\0';
        name = kept;
    }
    switch ((enum member_type)member->type) {
    case MEMBER_STRING:
        record_str(r, name, member->text);
        break;
    case MEMBER_BOOL:
        record_bool(r, name, member->value);
        break;
    case MEMBER_NUMBER:
        if (members_thousandths(member, &number) == 0)
            record_thousandths(r, name, number);
        break;
    case MEMBER_OBJECT:
    case MEMBER_ARRAY:
        record_open(r, name, member->type == MEMBER_OBJECT ? '{' : '[');
        for (const struct member *inner = NULL; (inner = members_next(&e->members, member, inner)) != NULL;)
            record_member(e, r, inner);
        record_close(r, member->type == MEMBER_OBJECT ? '}' : ']');
        break;
    case MEMBER_NULL:
        break;
    }
}

void explain_print_content_json(const struct explain *e, struct record *r) {
    static const char *const names[] = { "kind", "virus", "spam", "bad_header", "banned", "unscanned", "tags",
                                         "verdicts" };
    const struct member *record = content_of(e);
    if (record == NULL)
        return;
    record_open(r, "content", '{');
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct member *member = members_find(&e->members, record, names[i]);
        if (member != NULL)
            record_member(e, r, member);
    }
    record_close(r, '}');
}
