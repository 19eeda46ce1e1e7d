/*
 * world: what would an imagined delivery answer?
 *
 * Every slot of the policy has an answer from the start, that of an ordinary good client; `given` changes some. Answers
 * follow from each other as they do in life: a client without PTR has no confirmed one, the null sender has no domain,
 * hits in a group are hits. Facts that the policy does not use may be given all the same, so that a test survives a
 * rule that is taken out.
 *
 * The configuration plays no part (a test that passes here passes on every host), its failure choices apart, which are
 * part of the policy: tables are not read, nothing is off, and no number of lists bounds a count.
 *
 * Rejected: a session with faked sources. It would test gathering as well, and could not run inside load.
 */
#include "policy/world.h"

#include "policy/classify.h"
#include "policy/compile.h"
#include "policy/given.h"

#include <errno.h>

/* ---- answers */

static bool is_fact(const struct slot *slot, enum fact_id id) {
    return slot->kind == SLOT_FACT && slot->row == &fact_rows[id] && slot->row->parameter == PARAMETER_NONE;
}

static void answer(struct world *w, enum fact_id id, struct fact fact) {
    for (size_t i = 0; i < w->policy->n_slots; i++) {
        if (is_fact(&w->policy->slots[i], id))
            w->answers[i] = fact;
    }
}

static void answer_bool(struct world *w, enum fact_id id, bool value) {
    answer(w, id, fact_bool(value));
}

/* Borrows `text`, which has to live as long as the world. */
static void answer_text(struct world *w, enum fact_id id, struct str text) {
    w->texts[id] = text;
    answer(w, id, fact_text(text));
}

static void answer_default(struct world *w) {
    static const enum fact_id good[] = { F_PTR_CONFIRMED, F_CLIENT_TLS, F_HELO_RESOLVES, F_HELO_MATCHES,
                                         F_SENDER_RESOLVES, F_SENDER_VERIFIED, F_RCPT_LOCAL, F_RCPT_KNOWN,
                                         F_RCPT_ENFORCED };
    for (size_t i = 0; i < w->policy->n_slots; i++) {
        w->answers[i] = (struct fact){ .state = FACT_KNOWN };
        if (w->policy->slots[i].type == TYPE_STRING || w->policy->slots[i].type == TYPE_ADDRESS)
            w->answers[i].text = STR("");
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        answer_bool(w, good[i], true);
    answer_text(w, F_CLIENT, STR("198.51.100.25"));
    answer_text(w, F_PTR_NAME, STR("mail.example.net"));
    answer_text(w, F_HELO_NAME, STR("mail.example.net"));
    answer_text(w, F_SENDER_ADDRESS, STR("someone@example.net"));
    answer_text(w, F_SENDER_DOMAIN, STR("example.net"));
    answer_text(w, F_RCPT_ADDRESS, STR("someone@example.com"));
    answer_text(w, F_RCPT_DOMAIN, STR("example.com"));
    answer(w, F_SPF, fact_enum(SPF_PASS));
    answer(w, F_GREYLIST, fact_enum(GREYLIST_CACHED));
    answer(w, F_SIZE, fact_number(INT64_C(10000) * FACT_UNIT));
    answer(w, F_CLIENT_CONNECTIONS, fact_number(FACT_UNIT));
}

int world_init(struct world *w, const struct policy *policy, const struct policy_environment *environment,
               struct arena *arena) {
    *w = (struct world){ .policy = policy, .environment = environment, .arena = arena };
    w->answers = arena_zalloc(arena, (policy->n_slots + 1u) * sizeof(struct fact));
    if (w->answers == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < N_SCOPES; i++) {
        w->facts.scope[i] = w->values[i] = arena_zalloc(arena, (policy->n_facts[i] + 1u) * sizeof(struct fact));
        if (w->values[i] == NULL)
            return -ENOMEM;
    }
    for (size_t i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        struct fact *value = &w->values[slot->scope][slot->index];
        if (slot->type == TYPE_NUMBER || slot->type == TYPE_COUNT)
            *value = (struct fact){ .lo = INT64_MIN, .hi = INT64_MAX };
    }
    answer_default(w);
    return 0;
}

/* ---- what follows from what */

static void answer_class(struct world *w, struct str name, enum fact_id access, enum fact_id fixed) {
    struct ip ip = { .family = IP_NONE };
    ip_parse(w->texts[F_CLIENT], &ip);
    enum name_class class = name_classify(name, ip.family == IP_NONE ? NULL : &ip);
    answer_bool(w, access, class == NAME_ACCESS);
    answer_bool(w, fixed, class == NAME_STATIC);
}

/* Makes `id`, which is now true, the only true one of its kind. */
static void exclude_others(struct world *w, enum fact_id id) {
    static const enum fact_id groups[][3] = {
        { F_PTR_NONE, F_PTR_UNCONFIRMED, F_PTR_CONFIRMED },
        { F_PTR_NONE, F_PTR_ACCESS, F_PTR_STATIC },
        { F_HELO_INVALID, F_HELO_ADDRESS, F_HELO_UNQUALIFIED },
        { F_HELO_ACCESS, F_HELO_STATIC, F_HELO_STATIC },
    };
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        bool is_in = groups[g][0] == id || groups[g][1] == id || groups[g][2] == id;
        for (size_t i = 0; is_in && i < 3; i++) {
            if (groups[g][i] != id)
                answer_bool(w, groups[g][i], false);
        }
    }
}

static void give_true(struct world *w, enum fact_id id) {
    answer_bool(w, id, true);
    exclude_others(w, id);
    if (id == F_PTR_NONE)
        answer_text(w, F_PTR_NAME, STR(""));
    if (id == F_HELO_INVALID || id == F_HELO_ADDRESS || id == F_HELO_UNQUALIFIED) {
        answer_bool(w, F_HELO_RESOLVES, id == F_HELO_ADDRESS); /* by itself, and to the client unless it is another */
        answer_bool(w, F_HELO_MATCHES, id == F_HELO_ADDRESS);
    }
    if (id == F_SENDER_NULL) {
        answer_text(w, F_SENDER_ADDRESS, STR(""));
        answer_text(w, F_SENDER_DOMAIN, STR(""));
        answer_bool(w, F_SENDER_RESOLVES, true);
        answer_bool(w, F_SENDER_VERIFIED, true);
        answer_bool(w, F_SENDER_NULL_MX, false);
        answer_bool(w, F_SENDER_OURS, false);
    }
}

/* ---- raw values of subjects */

static bool is_helo_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A domain of RFC 5321 section 4.1.2, underscores allowed. */
static bool is_domain(struct str name) {
    size_t label = 0;
    if (name.len == 0 || name.len > 255)
        return false;
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.at[i] != '.') {
            if (!is_helo_byte(name.at[i]) || ++label > 63)
                return false;
            continue;
        }
        if (label == 0 || name.at[i - 1] == '-' || name.at[i - label] == '-')
            return false;
        label = 0;
    }
    return true;
}

static bool is_client(const struct world *w, const struct ip *ip) {
    struct ip client;
    return ip_parse(w->texts[F_CLIENT], &client) == 0 && ip_eq(ip, &client);
}

static void give_helo(struct world *w, struct str name) {
    struct ip ip;
    struct str inner = name;
    if (name.len > 2 && name.at[0] == '[' && name.at[name.len - 1] == ']')
        inner = (struct str){ name.at + 1, name.len - 2 };
    if (str_starts_nocase(inner, STR("IPv6:")) && inner.at != name.at)
        inner = str_from(inner, 5);
    answer_text(w, F_HELO_NAME, name);
    answer_bool(w, F_HELO_INVALID, false);
    answer_bool(w, F_HELO_ADDRESS, false);
    answer_bool(w, F_HELO_UNQUALIFIED, false);
    answer_class(w, STR(""), F_HELO_ACCESS, F_HELO_STATIC);
    if (ip_parse(inner, &ip) == 0) {
        give_true(w, F_HELO_ADDRESS);
        answer_bool(w, F_HELO_MATCHES, is_client(w, &ip));
    } else if (!is_domain(name))
        give_true(w, F_HELO_INVALID);
    else if (str_find(name, '.') == name.len)
        give_true(w, F_HELO_UNQUALIFIED);
    else
        answer_class(w, name, F_HELO_ACCESS, F_HELO_STATIC);
}

static void give_ptr(struct world *w, struct str name) {
    if (str_is_empty(name)) {
        give_true(w, F_PTR_NONE);
        return;
    }
    give_true(w, F_PTR_CONFIRMED);
    answer_text(w, F_PTR_NAME, name);
    answer_class(w, name, F_PTR_ACCESS, F_PTR_STATIC);
}

static struct str domain_of(struct str address) {
    return str_from(address, str_find_last(address, '@') + 1);
}

static struct str without_brackets(struct str path) {
    bool has_brackets = path.len >= 2 && path.at[0] == '<' && path.at[path.len - 1] == '>';
    return has_brackets ? (struct str){ path.at + 1, path.len - 2 } : path;
}

static void give_sender(struct world *w, struct str path) {
    struct str address = without_brackets(path);
    if (str_is_empty(address)) {
        give_true(w, F_SENDER_NULL);
        return;
    }
    answer_bool(w, F_SENDER_NULL, false);
    answer_text(w, F_SENDER_ADDRESS, address);
    answer_text(w, F_SENDER_DOMAIN, domain_of(address));
}

static void give_rcpt(struct world *w, struct str path) {
    struct str address = without_brackets(path);
    struct str local = str_head(address, str_find_last(address, '@'));
    answer_text(w, F_RCPT_ADDRESS, address);
    answer_text(w, F_RCPT_DOMAIN, domain_of(address));
    answer_bool(w, F_RCPT_POSTMASTER, str_eq_nocase(local, STR("postmaster")) || str_eq_nocase(local, STR("abuse")));
}

static int give_client(struct world *w, struct parsed *p) {
    struct ip ip;
    char text[IP_TEXT_MAX];
    if (ip_parse(p->token.text, &ip) != 0)
        return parse_expected(p, "an address");
    struct str copy = arena_str(w->arena, str_of(ip_format(&ip, text)));
    if (copy.at == NULL)
        return -ENOMEM;
    answer_text(w, F_CLIENT, copy);
    return 0;
}

static int give_raw(struct world *w, struct parsed *p, struct str subject) {
    struct str value = arena_str(w->arena, p->token.text);
    int r = value.at ? 0 : -ENOMEM;
    if (r < 0)
        return r;
    if (str_eq(subject, STR("client")))
        r = give_client(w, p);
    else if (str_eq(subject, STR("ptr")))
        give_ptr(w, value);
    else if (str_eq(subject, STR("helo")))
        give_helo(w, value);
    else if (str_eq(subject, STR("sender")))
        give_sender(w, value);
    else
        give_rcpt(w, value);
    return r == 0 ? parse_advance(p) : r;
}

/* ---- items */

static int find_state(const struct token *token) {
    static const struct {
        const char *word;
        enum fact_state state;
    } words[] = { { "unavailable", FACT_UNAVAILABLE }, { "skipped", FACT_SKIPPED }, { "off", FACT_OFF } };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (token_is(token, words[i].word))
            return words[i].state;
    }
    return -1;
}

static bool is_raw_subject(struct str word) {
    return str_eq(word, STR("client")) || str_eq(word, STR("ptr")) || str_eq(word, STR("helo")) ||
           str_eq(word, STR("sender")) || str_eq(word, STR("rcpt"));
}

static struct fact in_state(const struct slot *slot, enum fact_state state) {
    bool is_number = slot->type == TYPE_NUMBER || slot->type == TYPE_COUNT;
    return is_number ? (struct fact){ .state = (uint8_t)state, .lo = INT64_MIN, .hi = INT64_MAX }
                     : (struct fact){ .state = (uint8_t)state };
}

/* What is built in stays as it is, unless named: a test of `rcpt off` would otherwise be one of the relay control. */
static void give_subject_state(struct world *w, struct str subject, enum fact_state state) {
    for (size_t i = 0; i < w->policy->n_slots; i++) {
        const struct slot *slot = &w->policy->slots[i];
        if (!slot->row->is_internal && str_eq(str_of(slot->row->subject), subject))
            w->answers[i] = in_state(slot, state);
    }
}

static bool is_of_literal(const struct slot *slot, const struct literal *l) {
    return slot->row == l->row && slot->kind == l->kind && slot->rate == l->rate && slot->window_s == l->window_s &&
           str_eq(slot->argument, l->argument);
}

static void give_literal(struct world *w, const struct literal *literal, struct fact fact) {
    for (size_t i = 0; i < w->policy->n_slots; i++) {
        const struct slot *slot = &w->policy->slots[i];
        if (is_of_literal(slot, literal))
            w->answers[i] = fact.state == FACT_KNOWN ? fact : in_state(slot, fact.state);
    }
}

/* Hits in a group, and a listing, are hits, unless it is said how many there are. */
static void raise_hits(struct world *w, const struct literal *literal, int64_t hits) {
    for (size_t i = 0; i < w->policy->n_slots; i++) {
        const struct slot *slot = &w->policy->slots[i];
        struct fact *fact = &w->answers[i];
        if (slot->row->type != TYPE_COUNT || slot->row->parameter != PARAMETER_NONE || fact->state != FACT_KNOWN ||
            strcmp(slot->row->subject, literal->row->subject) != 0 || given_has(w, i) ||
            !str_ends_nocase(str_of(slot->row->name), STR(".hits")))
            continue;
        if (literal->row->parameter == PARAMETER_GROUP)
            *fact = fact_number(fact->lo + hits);
        else if (fact->lo < hits)
            *fact = fact_number(hits);
    }
}

/* The value behind a fact that takes one. */
static int give_value(struct world *w, struct parsed *p, struct literal *l) {
    int64_t number = 0;
    int value;
    struct str text;
    switch ((enum fact_type)l->row->type) {
    case TYPE_NUMBER:
    case TYPE_COUNT:
        if (p->token.kind != TOKEN_WORD || parse_number(p->token.text, &number) != 0)
            return parse_expected(p, "a number");
        give_literal(w, l, fact_number(number));
        if (l->row->parameter == PARAMETER_GROUP)
            raise_hits(w, l, number);
        break;
    case TYPE_ENUM:
        value = p->token.kind == TOKEN_WORD ? parse_find_name(l->row->values, p->token.text) : -1;
        if (value < 0)
            return parse_expected_value(p, l->row);
        give_literal(w, l, fact_enum((unsigned)value));
        break;
    case TYPE_STRING:
    case TYPE_ADDRESS:
        if (p->token.kind != TOKEN_STRING && p->token.kind != TOKEN_WORD)
            return parse_expected(p, "a value in quotes");
        text = arena_str(w->arena, p->token.text);
        if (text.at == NULL)
            return -ENOMEM;
        answer_text(w, (enum fact_id)(l->row - fact_rows), text);
        if (l->row == &fact_rows[F_VIRUS_NAME])
            answer_bool(w, F_VIRUS, text.len > 0);
        break;
    case TYPE_BOOL:
        return -EINVAL;
    }
    return parse_advance(p);
}

static void give_bool(struct world *w, const struct literal *l, bool value) {
    if (l->kind == SLOT_FACT && l->row->parameter == PARAMETER_NONE && value) {
        give_true(w, (enum fact_id)(l->row - fact_rows));
        return;
    }
    give_literal(w, l, fact_bool(value));
    if (l->row->parameter == PARAMETER_ZONE && value)
        raise_hits(w, l, FACT_UNIT);
    /* Our own servers are who may send through us: that is what makes a client one (design.md section 4). */
    if (l->kind == SLOT_TABLE && l->row == &fact_rows[F_CLIENT] && str_eq(l->argument, STR("relay_clients")))
        answer_bool(w, F_RCPT_RELAY_ALLOWED, value);
}

/* A fact, or a test of a table or pattern. */
static int take_literal(struct parsed *p, struct literal *ret_literal) {
    struct tokens tokens = p->tokens;
    struct token token = p->token;
    int r = parse_fact(p, ret_literal);
    if (r < 0 || !(token_is(&p->token, "in") || token_is(&p->token, "~")))
        return r;
    p->tokens = tokens;
    p->token = token;
    return parse_literal(p, ret_literal);
}

static int set_literal(struct world *w, struct parsed *p, struct literal *l, bool value) {
    int state = find_state(&p->token);
    if (state >= 0 && value && l->op == OP_TRUE) {
        give_literal(w, l, (struct fact){ .state = (uint8_t)state });
        return parse_advance(p);
    }
    if (l->op == OP_VALUE) {
        if (!value)
            return parse_expected(p, "a value instead of 'not'");
        l->op = OP_TRUE;
        give_literal(w, l, fact_enum(l->value));
        return 0;
    }
    if (l->kind != SLOT_FACT || l->row->type == TYPE_BOOL) {
        give_bool(w, l, value);
        return 0;
    }
    return value ? give_value(w, p, l) : parse_expected(p, "a fact that is true or false behind 'not'");
}

/* A fact and what it is, or a test of a table or pattern that holds; the item begins at `at`. */
static int give_fact(struct world *w, struct parsed *p, const char *at, bool value) {
    struct literal l;
    int r = take_literal(p, &l);
    if (r == 0)
        r = set_literal(w, p, &l, value);
    for (unsigned i = 0; i < w->policy->n_slots && r == 0; i++) {
        if (is_of_literal(&w->policy->slots[i], &l))
            r = given_note(w, i, at, p->token.at);
    }
    return r;
}

static int give_item(struct world *w, struct parsed *p) {
    struct token first = p->token;
    if (token_is(&first, "not")) {
        int r = parse_advance(p);
        return r == 0 ? give_fact(w, p, first.at, false) : r;
    }
    if (first.kind != TOKEN_WORD || !parse_is_subject(first.text))
        return give_fact(w, p, first.at, true);
    struct tokens behind = p->tokens;
    int r = parse_advance(p);
    int state = find_state(&p->token);
    if (r == 0 && state >= 0) {
        give_subject_state(w, first.text, (enum fact_state)state);
        return parse_advance(p);
    }
    bool has_value = p->token.kind == TOKEN_STRING || (p->token.kind == TOKEN_WORD && !token_is(&p->token, "in"));
    if (r == 0 && has_value && is_raw_subject(first.text))
        return give_raw(w, p, first.text);
    p->tokens = behind;
    p->token = first;
    return r == 0 ? give_fact(w, p, first.at, true) : r;
}

int world_give(struct world *w, const struct diag_source *source, struct str items, struct diag_list *diag) {
    struct parsed p = { .source = *source, .diag = diag, .arena = w->arena, .keep = w->arena,
                        .environment = w->environment };
    tokens_init(&p.tokens, items, w->arena);
    int r = parse_advance(&p);
    while (r == 0) {
        r = give_item(w, &p);
        if (r < 0 || p.token.kind == TOKEN_END)
            break;
        if (!token_is(&p.token, ","))
            return parse_expected(&p, "',' and the next fact");
        r = parse_advance(&p);
    }
    return r;
}

/* ---- deciding */

static struct fact answer_of(const struct world *w, unsigned i) {
    const struct slot *slot = &w->policy->slots[i];
    struct str text = w->texts[slot->row - fact_rows];
    bool can_match = slot->kind == SLOT_PATTERN && w->environment->matches && text.len > 0;
    if (can_match && w->answers[i].state == FACT_KNOWN && !w->answers[i].value)
        return fact_bool(w->environment->matches(slot->argument, text));
    return w->answers[i];
}

static void hand_out(struct world *w, const struct policy_set *needs, bool is_asked) {
    for (int i = set_next(needs, 0); i >= 0; i = set_next(needs, (unsigned)i + 1)) {
        const struct slot *slot = &w->policy->slots[i];
        w->values[slot->scope][slot->index] = answer_of(w, (unsigned)i);
        if (is_asked)
            set_add(&w->asked, (unsigned)i);
    }
}

void world_decide(struct world *w, enum policy_layer last, struct policy_verdict *ret_verdict,
                  struct rule_trace *ret_trace) {
    for (;;) {
        policy_decide(w->policy, last, &w->facts, ret_verdict);
        bool is_needed = ret_verdict->status == DECIDE_NEED;
        const struct policy_set *needs = is_needed ? &ret_verdict->need : &ret_verdict->shadow_need;
        if (set_is_empty(needs))
            break;
        hand_out(w, needs, is_needed);
    }
    if (ret_trace != NULL)
        policy_explain(w->policy, last, &w->facts, ret_verdict, ret_trace);
}

bool world_asked(const struct world *w, struct str subject) {
    for (int i = set_next(&w->asked, 0); i >= 0; i = set_next(&w->asked, (unsigned)i + 1)) {
        if (str_eq(str_of(w->policy->slots[i].row->subject), subject))
            return true;
    }
    return false;
}
