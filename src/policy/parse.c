/*
 * parse: which definitions, rules and tests does a file hold?
 *
 *     file   = { "define" NAME "=" condition | "text" STRING reply | "layer" NAME "{" { rule } "}" | test }
 *     rule   = [ "shadow" ] ACTION STRING "when" condition [ reply ]
 *     reply  = "with" CODE ENHANCED STRING
 *     test   = "test" STRING "{" { "given" items | "expect" item } "}"
 *
 * The tree keeps places and says nothing of order: layers run in theirs wherever they stand. After an error the reader
 * goes on at the next word that can begin a statement, so that one mistake costs one message and the others in the file
 * are told as well. What a test says is kept as text and read when the policy exists (expect.c).
 */
#include "policy/parse.h"

#include "policy/text.h"

#include <errno.h>

const char *const action_names[N_ACTIONS] = {
    [ACT_PASS] = "pass", [ACT_ACCEPT] = "accept", [ACT_GREYLIST] = "greylist", [ACT_DEFER] = "defer",
    [ACT_REJECT] = "reject", [ACT_QUARANTINE] = "quarantine", [ACT_TAG] = "tag",
};

static int find_action(const struct token *token) {
    for (int i = 0; i < N_ACTIONS; i++) {
        if (token->kind == TOKEN_WORD && str_eq(token->text, str_of(action_names[i])))
            return i;
    }
    return -1;
}

static bool begins_statement(const struct token *token) {
    return token_is(token, "define") || token_is(token, "text") || token_is(token, "layer") || token_is(token, "test");
}

/* Goes on behind an error: to the next rule, the end of the block, or the next statement. */
static int recover(struct parsed *p) {
    int r = 0;
    while (r == 0 && p->token.kind != TOKEN_END && !begins_statement(&p->token) && !token_is(&p->token, "}") &&
           !token_is(&p->token, "shadow") && find_action(&p->token) < 0)
        r = parse_advance(p);
    return r;
}

static int expect_sign(struct parsed *p, const char *sign, const char *what) {
    return token_is(&p->token, sign) ? parse_advance(p) : parse_expected(p, what);
}

/* A name or reply text: what is shown in logs and on the wire, so printable ASCII. */
static int take_string(struct parsed *p, const char *what, size_t max, struct str *ret_text) {
    if (p->token.kind != TOKEN_STRING)
        return parse_expected(p, what);
    struct str text = p->token.text;
    if (text.len == 0 || text.len > max) {
        diag_error(p->diag, &p->source, p->token.at, "expected %s of 1 to %zu bytes", what, max);
        return -EINVAL;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < ' ' || text.at[i] > '~') {
            diag_error(p->diag, &p->source, p->token.at, "expected %s in printable ASCII", what);
            return -EINVAL;
        }
    }
    *ret_text = text;
    return parse_advance(p);
}

/* ---- with */

/* "5.7.1" behind 550 (RFC 3463 section 2: class, subject and detail, the latter of up to three digits). */
static bool is_enhanced(struct str text, unsigned code_class) {
    unsigned parts = 0;
    if (text.len < 5 || text.at[0] != (char)('0' + code_class) || text.at[1] != '.')
        return false;
    for (struct str rest = text; parts < 4; parts++) {
        unsigned long long number;
        size_t dot = str_find(rest, '.');
        if (str_to_u64(str_head(rest, dot), 999, &number) != 0 || dot > 3)
            return false;
        if (dot == rest.len)
            return parts == 2;
        rest = str_from(rest, dot + 1);
    }
    return false;
}

/* `at` is the string; the place in it can be told where it has no escapes, which are gone from `text`. */
/* "{client}, {ptr}, ..." */
static const char *list_placeholders(struct arena *arena) {
    const char *names = "";
    for (size_t i = 0; i < N_PLACEHOLDERS && names != NULL; i++)
        names = arena_printf(arena, "%s%s{%s}", names, i > 0 ? ", " : "", placeholder_names[i]);
    return names;
}

static int check_template(struct parsed *p, const char *at, struct str text) {
    struct str name;
    const char *fault = text_find_fault(text, &name);
    if (fault == NULL)
        return 0;
    if (text.at == at + 1)
        at = fault;
    if (name.len == 0) {
        diag_error(p->diag, &p->source, at, "'{' and '}' stand around a placeholder, as in {sender.domain}");
        return -EINVAL;
    }
    const char *meant = diag_did_you_mean(name, placeholder_names, N_PLACEHOLDERS);
    const char *names = list_placeholders(p->arena);
    if (names == NULL)
        return -ENOMEM;
    diag_error(p->diag, &p->source, at, "unknown placeholder {%.*s}%s%s%s", STR_ARG(str_head(name, 40)),
               meant ? "; did you mean {" : "; there are ", meant ? meant : names, meant ? "}?" : "");
    return -EINVAL;
}

/* The token is `with`. `code_class` is the only first digit allowed. */
static int parse_reply(struct parsed *p, unsigned code_class, struct policy_reply *ret_reply) {
    int r = parse_advance(p);
    unsigned long long code;
    if (r < 0)
        return r;
    if (p->token.kind != TOKEN_WORD || p->token.text.len != 3 || str_to_u64(p->token.text, 599, &code) != 0 ||
        code / 100 != code_class || code / 10 % 10 > 5) /* RFC 5321 section 4.2 */
        return parse_expected(p, code_class == 5 ? "a reply code 5xx" : "a reply code 4xx");
    if (code == 421)
        return parse_expected(p, "another reply code 4xx: 421 would mean that we close the connection");
    ret_reply->code = (uint16_t)code;
    r = parse_advance(p);
    if (r == 0 && (p->token.kind != TOKEN_WORD || !is_enhanced(p->token.text, code_class)))
        return parse_expected(p, code_class == 5 ? "an enhanced code such as 5.7.1" : "an enhanced code such as 4.7.1");
    ret_reply->enhanced = r == 0 ? arena_str(p->keep, p->token.text) : (struct str){ 0 }; /* replies want the NUL */
    if (r == 0)
        r = ret_reply->enhanced.at != NULL ? parse_advance(p) : -ENOMEM;
    const char *at = p->token.at;
    if (r == 0)
        r = take_string(p, "the text of the reply", POLICY_TEXT_MAX, &ret_reply->text);
    return r == 0 ? check_template(p, at, ret_reply->text) : r;
}

/* ---- statements */

static int parse_define(struct parsed *p) {
    int r = parse_advance(p);
    if (r < 0)
        return r;
    struct token name = p->token;
    static const char *const reserved[] = { "and", "or", "not", "in", "when", "with", "shadow", NULL };
    if (name.kind != TOKEN_WORD || parse_find_name(reserved, name.text) >= 0)
        return parse_expected(p, "a name for the condition");
    bool is_taken = fact_find(name.text) != NULL || find_action(&name) >= 0;
    for (const struct definition *d = p->definitions; d; d = d->next)
        is_taken |= str_eq(d->name, name.text);
    if (is_taken) {
        diag_error(p->diag, &p->source, name.at, "'%.*s' has a meaning already", STR_ARG(str_head(name.text, 80)));
        return -EINVAL;
    }
    struct definition *definition = arena_zalloc(p->arena, sizeof(*definition));
    if (definition == NULL)
        return -ENOMEM;
    definition->name = name.text;
    r = parse_advance(p);
    if (r == 0)
        r = expect_sign(p, "=", "'=' and a condition");
    if (r == 0)
        r = parse_condition(p, &definition->condition);
    if (r < 0)
        return r;
    definition->next = p->definitions;
    p->definitions = definition;
    return 0;
}

/* The wording of what is built in: the class of its code is not ours to give. */
static int parse_text(struct parsed *p) {
    static const char *const names[] = { "RELAY DENIED", "NO SUCH USER", NULL };
    int r = parse_advance(p);
    if (r < 0)
        return r;
    int which = p->token.kind == TOKEN_STRING ? parse_find_name(names, p->token.text) : -1;
    if (which < 0)
        return parse_expected_of(p, "\"RELAY DENIED\" or \"NO SUCH USER\"", names, parse_count_names(names));
    if (p->texts[which].code != 0) {
        diag_error(p->diag, &p->source, p->token.at, "this text is given twice");
        return -EINVAL;
    }
    r = parse_advance(p);
    if (r == 0 && !token_is(&p->token, "with"))
        return parse_expected(p, "'with'");
    return r == 0 ? parse_reply(p, 5, &p->texts[which]) : r;
}

/* What an action answers with: 5xx, 4xx, or nothing of its own. */
static unsigned code_class_of(enum policy_action action) {
    return action == ACT_REJECT ? 5 : action == ACT_DEFER || action == ACT_GREYLIST ? 4 : 0;
}

static int parse_rule(struct parsed *p, struct parsed_layer *layer) {
    struct parsed_rule *rule = arena_zalloc(p->arena, sizeof(*rule));
    int r = rule ? 0 : -ENOMEM;
    if (r == 0)
        rule->is_shadow = token_is(&p->token, "shadow");
    if (r == 0 && rule->is_shadow)
        r = parse_advance(p);
    if (r < 0)
        return r;
    int action = find_action(&p->token);
    if (action < 0)
        return parse_expected_of(p, "an action (pass, accept, greylist, defer, reject, quarantine, tag) or '}'",
                                 action_names, N_ACTIONS);
    rule->action = (uint8_t)action;
    rule->at = p->token.at;
    r = parse_advance(p);
    if (r == 0)
        r = take_string(p, "the name of the rule in quotes", POLICY_NAME_MAX, &rule->name);
    if (r == 0)
        r = expect_sign(p, "when", "'when' and a condition");
    if (r == 0)
        r = parse_condition(p, &rule->condition);
    if (r == 0 && token_is(&p->token, "with")) {
        if (code_class_of(rule->action) == 0)
            return parse_expected(p, "no 'with': this action does not answer");
        rule->has_reply = true;
        r = parse_reply(p, code_class_of(rule->action), &rule->reply);
    }
    if (r < 0)
        return r;
    p->n_rules++;
    *layer->tail = rule;
    layer->tail = &rule->next;
    return 0;
}

static int parse_layer(struct parsed *p) {
    const char *at = p->token.at;
    int r = parse_advance(p);
    if (r < 0)
        return r;
    int which = -1;
    for (int i = 0; i < N_LAYERS && p->token.kind == TOKEN_WORD; i++)
        which = str_eq(str_of(layer_names[i]), p->token.text) ? i : which;
    if (which < 0)
        return parse_expected_of(p, "connection, recipient, greylist, policy or content", layer_names, N_LAYERS);
    struct parsed_layer *layer = &p->layers[which];
    if (layer->at != NULL)
        diag_error(p->diag, &p->source, p->token.at, "layer %s stands in the file twice", layer_names[which]);
    layer->at = at;
    r = parse_advance(p);
    if (r == 0)
        r = expect_sign(p, "{", "'{'");
    while (r == 0 && !token_is(&p->token, "}")) {
        if (p->token.kind == TOKEN_END || begins_statement(&p->token)) {
            diag_error(p->diag, &p->source, at, "layer %s does not end; expected '}'", layer_names[which]);
            return 0;
        }
        r = parse_rule(p, layer);
        if (r == -EINVAL)
            r = recover(p);
    }
    return r == 0 ? parse_advance(p) : r;
}

/* ---- tests */

static bool ends_clause(const struct token *token) {
    return token->kind == TOKEN_END || token_is(token, "}") || token_is(token, "given") || token_is(token, "expect");
}

/* The token is `given` or `expect`. */
static int parse_clause(struct parsed *p, struct test_clause **ret_clause) {
    struct test_clause *clause = arena_zalloc(p->arena, sizeof(*clause));
    if (clause == NULL)
        return -ENOMEM;
    clause->at = p->token.at;
    clause->is_expected = token_is(&p->token, "expect");
    int r = parse_advance(p);
    clause->items.at = p->token.at;
    while (r == 0 && !ends_clause(&p->token)) {
        if (p->token.kind == TOKEN_BAD)
            return parse_expected(p, "");
        clause->items.len = (size_t)(p->tokens.next - clause->items.at);
        r = parse_advance(p);
    }
    if (r == 0 && clause->items.len == 0)
        return parse_expected(p, clause->is_expected ? "an outcome, such as pass" : "a fact, such as ptr.none");
    *ret_clause = clause;
    return r;
}

static int parse_test(struct parsed *p) {
    struct parsed_test *test = arena_zalloc(p->arena, sizeof(*test));
    if (test == NULL)
        return -ENOMEM;
    test->at = p->token.at;
    struct test_clause **tail = &test->clauses;
    int r = parse_advance(p);
    if (r == 0)
        r = take_string(p, "the name of the test in quotes", 4 * POLICY_NAME_MAX, &test->name);
    if (r == 0)
        r = expect_sign(p, "{", "'{'");
    while (r == 0 && !token_is(&p->token, "}")) {
        if (p->token.kind == TOKEN_END) {
            diag_error(p->diag, &p->source, test->at, "this test does not end; expected '}'");
            return 0;
        }
        if (!token_is(&p->token, "given") && !token_is(&p->token, "expect"))
            return parse_expected(p, "'given', 'expect' or '}'");
        r = parse_clause(p, tail);
        if (r == 0)
            tail = &(*tail)->next;
    }
    if (r < 0)
        return r;
    *p->tests_tail = test;
    p->tests_tail = &test->next;
    return parse_advance(p);
}

/* ---- the file */

/* Behind an error outside of a layer: its rules, if any, would each be one more message about nothing new. */
static int recover_to_statement(struct parsed *p) {
    int r = 0;
    while (r == 0 && p->token.kind != TOKEN_END && !begins_statement(&p->token))
        r = parse_advance(p);
    return r;
}

static int parse_statement(struct parsed *p) {
    static const char *const words[] = { "define", "text", "layer", "test", NULL };
    if (token_is(&p->token, "define"))
        return parse_define(p);
    if (token_is(&p->token, "text"))
        return parse_text(p);
    if (token_is(&p->token, "layer"))
        return parse_layer(p);
    if (token_is(&p->token, "test"))
        return parse_test(p);
    return parse_expected_of(p, "'define', 'text', 'layer' or 'test'", words, parse_count_names(words));
}

int parse_policy(struct parsed *p) {
    for (size_t i = 0; i < N_LAYERS; i++)
        p->layers[i].tail = &p->layers[i].rules;
    p->tests_tail = &p->tests;
    tokens_init(&p->tokens, p->source.text, p->keep);
    int r = parse_advance(p);
    while (r == 0 && p->token.kind != TOKEN_END) {
        r = parse_statement(p);
        if (r == -EINVAL)
            r = recover_to_statement(p);
    }
    return r == -EINVAL ? 0 : r;
}
