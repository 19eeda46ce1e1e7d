/*
 * parse: a policy file as a tree; still with its places, for messages.
 *
 * Everything lives in the arena of the caller and points into the text. Facts, tables and types are resolved here,
 * since whether a word is a fact or a defined name decides how the text goes on; what depends on a rule's layer, and
 * all else, is compile.c's.
 */
#pragma once

#include "policy/policy.h"
#include "policy/token.h"

enum literal_op {
    OP_TRUE,  /* a boolean */
    OP_VALUE, /* one value of an enum */
    OP_TEXT,  /* a string is equal, without case */
    OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, /* numbers */
};

struct literal {
    const struct fact_row *row;
    uint8_t kind; /* enum slot_kind */
    uint8_t op;   /* enum literal_op */
    bool is_negated; /* `!=` of OP_VALUE and OP_TEXT */
    uint8_t value;
    uint8_t rate;
    uint32_t window_s;
    struct str argument, text;
    int64_t number;
};

enum ast_kind { AST_LITERAL, AST_AND, AST_OR, AST_NOT, AST_DEFINED /* its operand is the definition's tree */ };

struct ast {
    uint8_t kind;  /* enum ast_kind */
    uint8_t depth; /* of what is below, definitions included; at most POLICY_DEPTH_MAX */
    const char *at;
    struct ast *first, *last, *next; /* operands; the next one of the same parent */
    struct literal literal;
};

struct definition {
    struct definition *next;
    struct str name;
    struct ast *condition;
};

struct parsed_rule {
    struct parsed_rule *next;
    const char *at;
    struct str name;
    uint8_t action;
    bool is_shadow;
    struct ast *condition;
    bool has_reply;
    struct policy_reply reply;
};

struct parsed_layer {
    const char *at; /* NULL: the file does not have it */
    struct parsed_rule *rules, **tail;
};

struct parsed_test {
    struct parsed_test *next;
    const char *at;
    struct str name;
    struct test_clause *clauses;
};

/* `given ITEMS` or `expect ITEM` of a test, up to the next clause; expect.c and world.c read what is in it. */
struct test_clause {
    struct test_clause *next;
    bool is_expected;
    const char *at;
    struct str items;
};

/* What is being read, and what came of it. */
struct parsed {
    struct diag_source source;
    struct diag_list *diag;
    struct arena *arena; /* of the tree */
    struct arena *keep;  /* of the policy: strings that outlive the tree; source.text lies in it, too */
    const struct policy_environment *environment;
    struct tokens tokens;
    struct token token; /* the one to look at next */
    struct definition *definitions;
    struct parsed_layer layers[N_LAYERS];
    struct policy_reply texts[N_BUILTIN_RULES]; /* code 0: not given */
    struct parsed_test *tests, **tests_tail;
    unsigned n_rules;
};

/* Reads p->source.text. Returns 0 (look at p->diag->errors) or -ENOMEM. */
int parse_policy(struct parsed *p);

/*
 * Reads one fact reference with its comparison, from p->token on: what a condition is made of, and an item of `given`.
 * Returns 0, -EINVAL (said) or -ENOMEM.
 */
int parse_literal(struct parsed *p, struct literal *ret_literal);

/* The fact itself: name and parameters; `spf.fail` gives op OP_VALUE, all else OP_TRUE. */
int parse_fact(struct parsed *p, struct literal *ret_literal);

/* A whole condition: and, or, not, parentheses, literals, defined names (condition.c). */
int parse_condition(struct parsed *p, struct ast **ret_condition);

/* "12", "-0.5", "10M" (K, M, G of 1024) in thousandths. Returns 0 or -EINVAL. */
int parse_number(struct str text, int64_t *ret_thousandths);

/* Moves on to the next token. Returns 0 or -ENOMEM. */
int parse_advance(struct parsed *p);

/*
 * What is told of the current token when it does not fit (expected.c). All return -EINVAL, or -ENOMEM.
 * parse_expected: "expected WHAT, got ..."; _of: where only these `n` words fit, of which one that the token resembles
 * is proposed; _value: where the values of this enum do.
 */
int parse_expected(struct parsed *p, const char *what);
int parse_expected_of(struct parsed *p, const char *what, const char *const *names, size_t n);
int parse_expected_value(struct parsed *p, const struct fact_row *row);
int parse_unknown_fact(struct parsed *p);
int parse_unknown_table(struct parsed *p);

/* Whether facts stand under this name: "ptr", "sender.dnsbl" (`subject` of facts.h). */
bool parse_is_subject(struct str word);

const struct policy_table *parse_find_table(const struct policy_environment *environment, struct str name);

/* The index of `name` in a list of names that ends in NULL, or -1; how many it has. */
int parse_find_name(const char *const *names, struct str name);
size_t parse_count_names(const char *const *names);
