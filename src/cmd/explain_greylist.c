/*
 * explain_greylist: as whom the store knew a client, and what it was asked.
 *
 *     greylist
 *       status     retry, after 312 s
 *       known as   org:example.com, net:203.0.113.0/24 (only looked up), ip:203.0.113.7
 *       sender     anna@example.org
 *       recipient  user@example.com
 *       today      cached (this host's file, and the shared store)
 *
 * The question is made anew from what the record says of client, sender and recipient, by the same function that made
 * it then. What the store says to it today (explain_store.c) stands by itself: the decision was made by what it said
 * then.
 */
#include "cmd/explain.h"

#include "facts/greylist.h"

struct shown {
    struct greylist_words words;
    struct greylist_question question;
    const struct fact *fact; /* the status */
    struct str waited;       /* in seconds; empty: not recorded */
    bool is_looked_up;       /* nothing was recorded in the store */
    struct explain_today today;
};

/* The client's name as the record tells it. */
static struct ptr_result ptr_of(const struct explain *e, const struct ip *client) {
    struct ptr_result ptr = { .status = PTR_UNAVAILABLE };
    struct str name = str_head(e->ptr, DNS_NAME_MAX);
    if (!e->is_recorded)
        return e->memory->ptr;
    if (str_eq(e->ptr_status, STR("none")))
        ptr.status = PTR_NONE;
    else if (str_eq(e->ptr_status, STR("unconfirmed")))
        ptr.status = PTR_UNCONFIRMED;
    else if (str_eq(e->ptr_status, STR("confirmed")))
        ptr.status = PTR_CONFIRMED;
    if (ptr.status >= PTR_UNCONFIRMED && name.len > 0) {
        ptr.name_len = (uint8_t)name.len;
        memcpy(ptr.name, name.at, name.len);
        ptr.class = (uint8_t)name_classify(name, client);
    }
    return ptr;
}

/* False: the store has no part in this decision, or what it was asked is not known. */
static bool look(const struct explain *e, struct shown *shown) {
    const struct slot *slot = policy_slot(e->policy, F_GREYLIST);
    struct greylist_client client = { 0 };
    struct smtp_address sender = { 0 }, recipient = { 0 };
    if (slot == NULL || ip_parse(e->client, &client.ip) < 0
        || smtp_address_parse(e->to, true, &recipient) != SMTP_ADDRESS_OK
        || (e->from.len > 0 && smtp_address_parse(e->from, true, &sender) != SMTP_ADDRESS_OK))
        return false;
    unsigned i = (unsigned)(slot - e->policy->slots);
    bool is_needed = e->verdict.status == DECIDE_NEED && set_has(&e->verdict.need, i);
    shown->fact = fact_at(e->policy, &e->memory->facts, i);
    if (shown->fact->state == FACT_OFF || (shown->fact->state == FACT_UNASKED && !is_needed))
        return false;
    const struct ptr_result ptr = ptr_of(e, &client.ip);
    client.ptr = &ptr;
    greylist_question_make(&client, &sender, &recipient, &shown->words, &shown->question);
    const struct member *record = e->is_recorded ? &e->members.at[0] : NULL;
    const struct member *waited = members_find(&e->members, record, "greylist_waited_s");
    shown->waited = waited != NULL && waited->type == MEMBER_NUMBER ? waited->text : (struct str){ 0 };
    explain_ask_store(e, &shown->question, &shown->today);
    shown->is_looked_up = e->is_recorded && members_find(&e->members, record, "greylist") == NULL
                       && shown->fact->state == FACT_KNOWN;
    return true;
}

static void print_today(const struct explain_today *today, struct buf *out) {
    if (!today->is_asked)
        return;
    buf_puts(out, STR("  today      "));
    if (!today->is_known) {
        buf_puts(out, STR("not known: "));
        explain_put_clean(out, str_of(today->file_problem));
        buf_putc(out, '\n');
        return;
    }
    buf_puts(out, str_of(greylist_status_name(today->answer.status)));
    if (today->answer.status == GREYLIST_NEW || today->answer.status == GREYLIST_EARLY)
        buf_putf(out, ", %u s to wait", (unsigned)today->answer.seconds_left);
    buf_puts(out, STR(" (this host's file"));
    if (today->has_asked_server)
        buf_puts(out, STR(", and the shared store"));
    else if (today->server_problem[0] != '\0') {
        buf_puts(out, STR("; not the shared store: "));
        explain_put_clean(out, str_of(today->server_problem));
    }
    buf_puts(out, STR(")\n"));
}

static void record_today(const struct explain_today *today, struct record *r) {
    if (!today->is_asked)
        return;
    record_open(r, "today", '{');
    if (today->is_known)
        record_str(r, "status", str_of(greylist_status_name(today->answer.status)));
    if (today->is_known && (today->answer.status == GREYLIST_NEW || today->answer.status == GREYLIST_EARLY))
        record_u64(r, "seconds_left", today->answer.seconds_left);
    if (today->is_known)
        record_bool(r, "shared_store", today->has_asked_server);
    if (today->file_problem[0] != '\0' || today->server_problem[0] != '\0')
        record_str(r, "problem", str_of(today->is_known ? today->server_problem : today->file_problem));
    record_close(r, '}');
}

void explain_print_greylist(const struct explain *e, struct buf *out) {
    struct shown shown;
    const struct greylist_question *question = &shown.question;
    if (!look(e, &shown))
        return;
    buf_puts(out, STR("\ngreylist\n  status     "));
    explain_format_fact(policy_slot(e->policy, F_GREYLIST), shown.fact, out);
    if (shown.waited.len > 0)
        buf_putf(out, ", after %.*s s", STR_ARG(shown.waited));
    buf_puts(out, shown.is_looked_up ? STR(" (nothing was recorded)\n  known as   ") : STR("\n  known as   "));
    for (unsigned i = 0; i < question->n_identities; i++) {
        buf_puts(out, i > 0 ? STR(", ") : STR(""));
        explain_put_clean(out, question->identities[i]);
        if (i < question->n_looked_up)
            buf_puts(out, STR(" (only looked up)"));
    }
    buf_puts(out, STR("\n  sender     "));
    explain_put_clean(out, question->sender);
    buf_puts(out, STR("\n  recipient  "));
    explain_put_clean(out, question->recipient);
    buf_putc(out, '\n');
    print_today(&shown.today, out);
}

void explain_print_greylist_json(const struct explain *e, struct record *r) {
    struct shown shown;
    if (!look(e, &shown))
        return;
    record_open(r, "greylist", '{');
    if (shown.fact->state == FACT_KNOWN)
        record_str(r, "status", str_of(greylist_status_name((enum greylist_status)shown.fact->value)));
    record_open(r, "known_as", '[');
    for (unsigned i = 0; i < shown.question.n_identities; i++)
        record_str(r, NULL, shown.question.identities[i]);
    record_close(r, ']');
    record_str(r, "sender", shown.question.sender);
    record_str(r, "recipient", shown.question.recipient);
    record_today(&shown.today, r);
    record_close(r, '}');
}
