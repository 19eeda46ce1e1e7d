/*
 * condition: what does a rule ask?
 *
 *     condition = all { "or" all }
 *     all       = one { "and" one }
 *     one       = "not" one | "(" condition ")" | DEFINED | fact [ comparison ]
 *     fact      = NAME [ "(" parameters ")" ]          NAME may end in a value of an enum: spf.fail
 *     comparison = "in" TABLE | "~" STRING | ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) VALUE
 *
 * Facts and types are checked here, where the place of a word is at hand. `a or b or c` is one node with three
 * operands, so depth is what a person sees as depth; it is bounded, so the recursion of all who walk a tree is too.
 * A defined name is a node of its own above the definition's tree, which many rules share.
 *
 * Rejected: precedence by operator tables (two operators), and a generic expression with types inferred afterwards:
 * an error would then be told far from the word that caused it.
 */
#include "policy/parse.h"

#include "base/addr.h"

#include <errno.h>

enum { WINDOW_S_MAX = 7 * 86400 };

int parse_advance(struct parsed *p) {
    return token_next(&p->tokens, &p->token);
}

int parse_find_name(const char *const *names, struct str name) {
    for (int i = 0; names[i] != NULL; i++) {
        if (str_eq(str_of(names[i]), name))
            return i;
    }
    return -1;
}

size_t parse_count_names(const char *const *names) {
    size_t n = 0;
    while (names[n] != NULL)
        n++;
    return n;
}

const struct policy_table *parse_find_table(const struct policy_environment *environment, struct str name) {
    for (size_t i = 0; i < environment->n_tables; i++) {
        if (str_eq(environment->tables[i].name, name))
            return &environment->tables[i];
    }
    return NULL;
}

/* Digits with at most three behind a dot; K, M, G of 1024. Bounded so that sums of weights cannot overflow. */
int parse_number(struct str text, int64_t *ret_thousandths) {
    enum { WHOLE_MAX = 1000000000, WHOLE_MAX_OF_UNIT = 1000000 };
    bool is_negative = text.len > 0 && text.at[0] == '-';
    text = str_from(text, is_negative);
    int64_t factor = 1;
    const char *const units = "KMG";
    const char *unit = text.len > 1 && text.at[text.len - 1] != '\0' ? strchr(units, text.at[text.len - 1]) : NULL;
    if (unit != NULL) {
        factor = INT64_C(1) << (10 * (unit - units + 1));
        text.len--;
    }
    size_t dot = str_find(text, '.');
    unsigned long long whole, part = 0;
    struct str rest = str_from(text, dot + 1);
    if (str_to_u64(str_head(text, dot), unit ? WHOLE_MAX_OF_UNIT : WHOLE_MAX, &whole) != 0)
        return -EINVAL;
    if (dot < text.len && (rest.len > 3 || str_to_u64(rest, 999, &part) != 0))
        return -EINVAL;
    for (size_t i = rest.len; dot < text.len && i < 3; i++)
        part *= 10;
    int64_t value = (int64_t)(whole * FACT_UNIT + part) * factor;
    *ret_thousandths = is_negative ? -value : value;
    return 0;
}

/* ---- facts */

/* `spf.fail`: an enum and one of its values. */
static const struct fact_row *find_enum_value(struct str name, uint8_t *ret_value) {
    size_t dot = str_find_last(name, '.');
    if (dot == name.len)
        return NULL;
    const struct fact_row *row = fact_find(str_head(name, dot));
    int value = row && row->type == TYPE_ENUM ? parse_find_name(row->values, str_from(name, dot + 1)) : -1;
    if (value < 0)
        return NULL;
    *ret_value = (uint8_t)value;
    return row;
}

/* "10m" */
static int parse_window(struct str text, uint32_t *ret_seconds) {
    unsigned long long seconds;
    if (str_to_span(text, WINDOW_S_MAX, &seconds) < 0 || seconds == 0)
        return -EINVAL;
    *ret_seconds = (uint32_t)seconds;
    return 0;
}

static int parse_rate(struct parsed *p, struct literal *literal) {
    int kind = p->token.kind == TOKEN_WORD ? parse_find_name(rate_names, p->token.text) : -1;
    if (kind < 0)
        return parse_expected_of(p, "connections, messages, recipients or unknown", rate_names,
                                 parse_count_names(rate_names));
    literal->rate = (uint8_t)kind;
    int r = parse_advance(p);
    if (r == 0 && !token_is(&p->token, ","))
        return parse_expected(p, "',' and a window such as 10m");
    if (r == 0)
        r = parse_advance(p);
    if (r == 0 && (p->token.kind != TOKEN_WORD || parse_window(p->token.text, &literal->window_s) != 0))
        return parse_expected(p, "a window from 1s to 7d, such as 10m");
    return r == 0 ? parse_advance(p) : r;
}

/* The token is the "(". */
static int parse_parameters(struct parsed *p, struct literal *literal) {
    const struct fact_row *next = literal->row + 1;
    if (next < fact_rows + N_FACTS && strcmp(next->name, literal->row->name) == 0)
        literal->row = next;
    if (literal->op != OP_TRUE || literal->row->parameter == PARAMETER_NONE)
        return parse_expected(p, "no '(': this fact has no parameters");
    int r = parse_advance(p);
    if (r == 0 && literal->row->parameter == PARAMETER_RATE) {
        r = parse_rate(p, literal);
    } else if (r == 0) {
        if (p->token.kind != TOKEN_WORD)
            return parse_expected(p, literal->row->parameter == PARAMETER_ZONE ? "the zone of a block list"
                                                                               : "the name of a group of block lists");
        literal->argument = p->token.text;
        r = parse_advance(p);
    }
    if (r == 0 && !token_is(&p->token, ")"))
        return parse_expected(p, "')'");
    return r == 0 ? parse_advance(p) : r;
}

int parse_fact(struct parsed *p, struct literal *ret_literal) {
    *ret_literal = (struct literal){ .kind = SLOT_FACT, .op = OP_TRUE };
    if (p->token.kind != TOKEN_WORD)
        return parse_expected(p, "a fact");
    ret_literal->row = fact_find(p->token.text);
    if (ret_literal->row == NULL) {
        ret_literal->row = find_enum_value(p->token.text, &ret_literal->value);
        ret_literal->op = OP_VALUE;
    }
    if (ret_literal->row == NULL)
        return parse_unknown_fact(p);
    int r = parse_advance(p);
    if (r == 0 && token_is(&p->token, "("))
        return parse_parameters(p, ret_literal);
    if (r == 0 && ret_literal->row->parameter == PARAMETER_RATE)
        return parse_expected(p, "'(' and what is counted, as in client.rate(recipients, 10m)");
    if (r == 0 && ret_literal->row->parameter == PARAMETER_ZONE)
        return parse_expected(p, "'(' and the zone of a block list");
    return r;
}

/* ---- comparisons */

/* Which tables can hold a fact: addresses of the network, of mail, or names. */
static bool table_fits(const struct fact_row *row, enum table_kind kind) {
    bool is_mail_address = row == &fact_rows[F_SENDER_ADDRESS] || row == &fact_rows[F_RCPT_ADDRESS];
    switch (kind) {
    case TABLE_CIDR:
        return row->type == TYPE_ADDRESS;
    case TABLE_NAMES:
        return row->type == TYPE_STRING && !is_mail_address;
    case TABLE_ADDRESSES:
        return is_mail_address;
    case TABLE_PATTERNS:
        return row->type == TYPE_STRING;
    }
    return false;
}

static int parse_in_table(struct parsed *p, struct literal *literal) {
    static const char *const kinds[] = { "cidr", "names", "addresses", "patterns" };
    int r = parse_advance(p);
    if (r < 0)
        return r;
    if (p->token.kind != TOKEN_WORD)
        return parse_expected(p, "the name of a table");
    const struct policy_table *table = parse_find_table(p->environment, p->token.text);
    if (table == NULL)
        return parse_unknown_table(p);
    if (literal->op != OP_TRUE || !table_fits(literal->row, table->kind)) {
        diag_error(p->diag, &p->source, p->token.at, "%s cannot be in '%.*s', which is a table of %s",
                   literal->row->name, STR_ARG(table->name), kinds[table->kind]);
        return -EINVAL;
    }
    literal->kind = SLOT_TABLE;
    literal->argument = p->token.text;
    return parse_advance(p);
}

static int parse_pattern(struct parsed *p, struct literal *literal) {
    if (literal->op != OP_TRUE || literal->row->type != TYPE_STRING)
        return parse_expected(p, "no '~': only names and addresses match patterns");
    int r = parse_advance(p);
    if (r < 0)
        return r;
    if (p->token.kind != TOKEN_STRING || p->token.text.len == 0)
        return parse_expected(p, "a pattern in quotes");
    const char *problem = p->environment->pattern_problem ? p->environment->pattern_problem(p->token.text) : NULL;
    if (problem != NULL) {
        diag_error(p->diag, &p->source, p->token.at, "this is not a pattern: %s", problem);
        return -EINVAL;
    }
    literal->kind = SLOT_PATTERN;
    literal->argument = p->token.text;
    return parse_advance(p);
}

/* An address is compared as ip_format() writes it, so that one address has one form. */
static int take_address(struct parsed *p, struct literal *literal) {
    struct ip ip;
    char text[IP_TEXT_MAX];
    if (ip_parse(p->token.text, &ip) != 0)
        return parse_expected(p, "an address; prefixes belong into a cidr table");
    literal->text = arena_str(p->keep, str_of(ip_format(&ip, text)));
    return literal->text.at ? 0 : -ENOMEM;
}

/* The token is the value behind `==` or the like. */
static int take_value(struct parsed *p, struct literal *literal, enum literal_op op) {
    bool has_text = p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_STRING;
    int value, r = 0;
    switch ((enum fact_type)literal->row->type) {
    case TYPE_NUMBER:
    case TYPE_COUNT:
        literal->op = (uint8_t)op;
        if (p->token.kind != TOKEN_WORD || parse_number(p->token.text, &literal->number) != 0)
            return parse_expected(p, "a number");
        return 0;
    case TYPE_ENUM:
        value = p->token.kind == TOKEN_WORD ? parse_find_name(literal->row->values, p->token.text) : -1;
        if (value < 0)
            return parse_expected_value(p, literal->row);
        literal->value = (uint8_t)value;
        literal->op = OP_VALUE;
        break;
    case TYPE_STRING:
    case TYPE_ADDRESS:
        if (!has_text)
            return parse_expected(p, "a value in quotes");
        literal->text = p->token.text;
        literal->op = OP_TEXT;
        if (literal->row->type == TYPE_ADDRESS)
            r = take_address(p, literal);
        break;
    case TYPE_BOOL:
        return -EINVAL;
    }
    literal->is_negated = op == OP_NE;
    return r;
}

static int parse_comparison(struct parsed *p, struct literal *literal) {
    static const char *const signs[] = { "==", "!=", "<", "<=", ">", ">=", NULL };
    int sign = p->token.kind == TOKEN_SIGN ? parse_find_name(signs, p->token.text) : -1;
    if (sign < 0 && token_is(&p->token, "="))
        return parse_expected(p, "'=='");
    if (sign < 0 && literal->op == OP_TRUE && literal->row->type != TYPE_BOOL)
        return parse_expected(p, literal->row->type == TYPE_ENUM      ? "one of its values, as in spf.fail"
                                 : literal->row->type == TYPE_STRING  ? "'in', '~', '==' or '!='"
                                 : literal->row->type == TYPE_ADDRESS ? "'in' and a cidr table, '==' or '!='"
                                                                      : "a comparison with a number");
    if (sign < 0)
        return 0;
    if (literal->row->type == TYPE_BOOL || literal->op == OP_VALUE)
        return parse_expected(p, "no comparison: this is true or false by itself");
    bool is_number = literal->row->type == TYPE_NUMBER || literal->row->type == TYPE_COUNT;
    if (OP_EQ + (enum literal_op)sign > OP_NE && !is_number)
        return parse_expected(p, "'==' or '!=': only numbers are compared by size");
    int r = parse_advance(p);
    if (r == 0)
        r = take_value(p, literal, OP_EQ + (enum literal_op)sign);
    return r == 0 ? parse_advance(p) : r;
}

int parse_literal(struct parsed *p, struct literal *ret_literal) {
    int r = parse_fact(p, ret_literal);
    if (r < 0)
        return r;
    if (token_is(&p->token, "in"))
        return parse_in_table(p, ret_literal);
    if (token_is(&p->token, "~"))
        return parse_pattern(p, ret_literal);
    return parse_comparison(p, ret_literal);
}

/* ---- the tree */

static struct ast *new_ast(struct parsed *p, enum ast_kind kind, const char *at) {
    struct ast *ast = arena_zalloc(p->arena, sizeof(*ast));
    if (ast != NULL) {
        ast->kind = (uint8_t)kind;
        ast->at = at;
    }
    return ast;
}

static int add_operand(struct parsed *p, struct ast *parent, struct ast *operand) {
    if (operand->depth >= POLICY_DEPTH_MAX) {
        diag_error(p->diag, &p->source, operand->at, "this condition is nested more than %d deep", POLICY_DEPTH_MAX);
        return -EINVAL;
    }
    if (parent->depth <= operand->depth)
        parent->depth = (uint8_t)(operand->depth + 1);
    if (parent->last)
        parent->last->next = operand;
    else
        parent->first = operand;
    parent->last = operand;
    return 0;
}

static int parse_or(struct parsed *p, unsigned depth, struct ast **ret_ast);

static int wrap(struct parsed *p, enum ast_kind kind, const char *at, struct ast *operand, struct ast **ret_ast) {
    *ret_ast = new_ast(p, kind, at);
    if (*ret_ast == NULL)
        return -ENOMEM;
    if (kind != AST_DEFINED)
        return add_operand(p, *ret_ast, operand);
    /* The definition's tree stays out of the list of operands: it has many parents, but only one `next`. */
    (*ret_ast)->first = operand->kind == AST_DEFINED ? operand->first : operand;
    (*ret_ast)->depth = operand->depth;
    return 0;
}

static const struct definition *find_definition(const struct parsed *p) {
    for (const struct definition *d = p->definitions; d && p->token.kind == TOKEN_WORD; d = d->next) {
        if (str_eq(d->name, p->token.text))
            return d;
    }
    return NULL;
}

static int parse_one(struct parsed *p, unsigned depth, struct ast **ret_ast) {
    const char *at = p->token.at;
    struct ast *inner = NULL;
    if (depth > POLICY_DEPTH_MAX) {
        diag_error(p->diag, &p->source, at, "this condition is nested more than %d deep", POLICY_DEPTH_MAX);
        return -EINVAL;
    }
    const struct definition *definition = find_definition(p);
    if (definition != NULL) {
        int r = parse_advance(p);
        return r < 0 ? r : wrap(p, AST_DEFINED, at, definition->condition, ret_ast);
    }
    if (token_is(&p->token, "not")) {
        int r = parse_advance(p);
        if (r == 0)
            r = parse_one(p, depth + 1, &inner);
        return r < 0 ? r : wrap(p, AST_NOT, at, inner, ret_ast);
    }
    if (token_is(&p->token, "(")) {
        int r = parse_advance(p);
        if (r == 0)
            r = parse_or(p, depth + 1, ret_ast);
        if (r == 0 && !token_is(&p->token, ")"))
            return parse_expected(p, "'and', 'or' or ')'");
        return r < 0 ? r : parse_advance(p);
    }
    *ret_ast = new_ast(p, AST_LITERAL, at);
    return *ret_ast ? parse_literal(p, &(*ret_ast)->literal) : -ENOMEM;
}

/* One level of the grammar: operands between `word`s; a single one stands for itself. */
static int parse_chain(struct parsed *p, unsigned depth, const char *word, enum ast_kind kind,
                       int (*parse_operand)(struct parsed *, unsigned, struct ast **), struct ast **ret_ast) {
    int r = parse_operand(p, depth, ret_ast);
    struct ast *chain = NULL;
    while (r == 0 && token_is(&p->token, word)) {
        if (chain == NULL) {
            r = wrap(p, kind, (*ret_ast)->at, *ret_ast, &chain);
            *ret_ast = chain;
        }
        struct ast *operand = NULL;
        if (r == 0)
            r = parse_advance(p);
        if (r == 0)
            r = parse_operand(p, depth, &operand);
        if (r == 0)
            r = add_operand(p, chain, operand);
    }
    return r;
}

static int parse_and(struct parsed *p, unsigned depth, struct ast **ret_ast) {
    return parse_chain(p, depth, "and", AST_AND, parse_one, ret_ast);
}

static int parse_or(struct parsed *p, unsigned depth, struct ast **ret_ast) {
    return parse_chain(p, depth, "or", AST_OR, parse_and, ret_ast);
}

int parse_condition(struct parsed *p, struct ast **ret_condition) {
    return parse_or(p, 0, ret_condition);
}
