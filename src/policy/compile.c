/*
 * compile: which rules are tried in which order, and what is each condition as nodes?
 *
 * `not` is pushed down to the literals while the tree is written out (de Morgan; a comparison is turned round), and
 * operands of an `and` inside an `and` become operands of the outer one. What is left is monotone: making any literal
 * truer never makes a condition less true, on which decide.c rests. Defined names are written out wherever they are
 * used; the bound on nodes is what keeps definitions of definitions from growing without end.
 *
 * Everything that depends on a rule's layer is refused here: an action that the layer does not have, a fact that it
 * cannot know yet.
 *
 * Rejected: jump code as packet filters have it. It is a little faster, but cannot tell what an unknown literal would
 * change, and that question is asked of the same nodes.
 */
#include "policy/compile.h"

#include "policy/verdict.h"

#include <errno.h>

/* ---- conditions */

static int new_node(struct compiler *c, const char *at, struct node **ret_node) {
    if (c->policy->n_nodes == POLICY_NODES_MAX) {
        diag_error(c->p->diag, &c->p->source, at, "the conditions of this policy have more than %d parts",
                   POLICY_NODES_MAX);
        return -EINVAL;
    }
    *ret_node = &c->policy->nodes[c->policy->n_nodes++];
    **ret_node = (struct node){ .end = c->policy->n_nodes };
    return 0;
}

static uint8_t turned_round(uint8_t op) {
    static const uint8_t opposite[] = { [OP_EQ] = OP_NE, [OP_NE] = OP_EQ, [OP_LT] = OP_GE,
                                        [OP_LE] = OP_GT, [OP_GT] = OP_LE, [OP_GE] = OP_LT };
    return opposite[op];
}

static int compile_literal(struct compiler *c, enum policy_layer layer, const struct ast *ast, bool is_negated,
                           const char *at) {
    const struct literal *literal = &ast->literal;
    if (literal->row->first_layer > layer) {
        diag_error(c->p->diag, &c->p->source, at,
                   "%s is not known yet in layer %s; layer %s is the first that knows it", literal->row->name,
                   layer_names[layer], layer_names[literal->row->first_layer]);
        return -EINVAL;
    }
    int slot = slot_intern(c, literal, at);
    struct node *node = NULL;
    int r = slot < 0 ? slot : new_node(c, at, &node);
    if (r < 0)
        return r;
    node->kind = NODE_LITERAL;
    node->slot = (uint16_t)slot;
    node->op = literal->op;
    node->is_negated = is_negated != literal->is_negated;
    node->value = literal->value;
    if (literal->op == OP_TEXT) {
        node->text = literal->text;
    } else if (literal->op >= OP_EQ) {
        node->number = literal->number;
        node->op = node->is_negated ? turned_round(literal->op) : literal->op;
        node->is_negated = false;
    }
    c->policy->tests_greylist |= literal->row == &fact_rows[F_GREYLIST];
    return 0;
}

/*
 * Writes out `ast`; `parent` is the kind of node whose operand it becomes. `at` replaces the place inside a definition
 * by that of its use.
 */
static int compile_tree(struct compiler *c, enum policy_layer layer, const struct ast *ast, bool is_negated,
                        enum node_kind parent, const char *at) {
    while (ast->kind == AST_NOT || ast->kind == AST_DEFINED) {
        if (ast->kind == AST_DEFINED && at == NULL)
            at = ast->at;
        is_negated ^= ast->kind == AST_NOT;
        ast = ast->first;
    }
    if (ast->kind == AST_LITERAL)
        return compile_literal(c, layer, ast, is_negated, at ? at : ast->at);
    enum node_kind kind = (ast->kind == AST_AND) != is_negated ? NODE_AND : NODE_OR;
    struct node *node = NULL;
    int r = kind == parent ? 0 : new_node(c, at ? at : ast->at, &node);
    for (const struct ast *operand = ast->first; operand && r == 0; operand = operand->next)
        r = compile_tree(c, layer, operand, is_negated, kind, at);
    if (node != NULL) {
        node->kind = (uint8_t)kind;
        node->end = c->policy->n_nodes;
    }
    return r;
}

/* ---- rules */

static bool layer_has(enum policy_layer layer, enum policy_action action) {
    enum { EVERYWHERE = 1 << ACT_PASS | 1 << ACT_REJECT | 1 << ACT_DEFER };
    static const unsigned actions[N_LAYERS] = {
        [LAYER_CONNECTION] = EVERYWHERE | 1 << ACT_ACCEPT,
        [LAYER_RECIPIENT] = EVERYWHERE | 1 << ACT_ACCEPT,
        [LAYER_GREYLIST] = EVERYWHERE | 1 << ACT_ACCEPT | 1 << ACT_GREYLIST,
        [LAYER_POLICY] = EVERYWHERE | 1 << ACT_ACCEPT | 1 << ACT_GREYLIST,
        [LAYER_CONTENT] = EVERYWHERE | 1 << ACT_TAG | 1 << ACT_QUARANTINE,
    };
    return actions[layer] >> action & 1;
}

/* What a rule without `with` answers (design.md section 14). */
static void give_default_reply(struct rule *rule) {
    static const struct policy_reply deferred = { 450, STR_INIT("4.7.1"),
                                                  STR_INIT("Not accepted now by policy: {rule}; try again later") };
    static const struct policy_reply deferred_listed = {
        450, STR_INIT("4.7.1"), STR_INIT("Not accepted now by policy: {rule}; listed by {reason}; try again later")
    };
    static const struct policy_reply greylisted = { 451, STR_INIT("4.7.1"),
                                                    STR_INIT("Greylisted, try again in {seconds} seconds") };
    bool is_554 = rule->layer == LAYER_CONNECTION || rule->layer == LAYER_CONTENT;
    if (rule->action == ACT_REJECT) {
        rule->reply = rule->listed = (struct policy_reply){ is_554 ? 554 : 550, STR("5.7.1"),
                                                            STR("Refused by policy: {rule}") };
        rule->listed.text = STR("Refused by policy: {rule}; listed by {reason}");
    } else if (rule->action == ACT_DEFER) {
        rule->reply = deferred;
        rule->listed = deferred_listed;
    } else if (rule->action == ACT_GREYLIST) {
        rule->reply = rule->listed = greylisted;
    }
}

/* "pass, accept, defer, reject" */
static const char *actions_of(struct arena *arena, enum policy_layer layer) {
    const char *names = "";
    for (int i = 0; i < N_ACTIONS && names != NULL; i++) {
        if (layer_has(layer, (enum policy_action)i))
            names = arena_printf(arena, "%s%s%s", names, *names ? ", " : "", action_names[i]);
    }
    return names;
}

static int compile_rule(struct compiler *c, enum policy_layer layer, const struct parsed_rule *from) {
    struct policy *policy = c->policy;
    if (!layer_has(layer, from->action)) {
        const char *actions = actions_of(c->p->arena, layer);
        if (actions == NULL)
            return -ENOMEM;
        diag_error(c->p->diag, &c->p->source, from->at, "layer %s has no action '%s', only %s", layer_names[layer],
                   action_names[from->action], actions);
        return -EINVAL;
    }
    struct rule *rule = &policy->rules[policy->n_rules];
    *rule = (struct rule){
        .name = from->name,
        .layer = (uint8_t)layer,
        .action = from->action,
        .is_shadow = from->is_shadow,
        .condition = policy->n_nodes,
    };
    give_default_reply(rule);
    if (from->has_reply)
        rule->reply = rule->listed = from->reply;
    c->rule_at[policy->n_rules++] = from->at;
    return compile_tree(c, layer, from->condition, false, NODE_LITERAL, NULL);
}

static void compile_builtin(struct compiler *c) {
    static const struct rule rules[N_BUILTIN_RULES] = {
        [RULE_RELAY_DENIED] = { .name = STR_INIT("RELAY DENIED"), .layer = LAYER_RECIPIENT, .action = ACT_REJECT,
                                .reply = { 554, STR_INIT("5.7.1"),
                                           STR_INIT("Relay access denied: not a domain of this host") } },
        [RULE_NO_SUCH_USER] = { .name = STR_INIT("NO SUCH USER"), .layer = LAYER_RECIPIENT, .action = ACT_REJECT,
                                .reply = { 550, STR_INIT("5.1.1"),
                                           STR_INIT("No such recipient here, check the address") } },
    };
    for (size_t i = 0; i < N_BUILTIN_RULES; i++) {
        struct rule *rule = &c->policy->rules[i];
        *rule = rules[i];
        if (c->p->texts[i].code != 0)
            rule->reply = c->p->texts[i];
        rule->listed = rule->reply;
    }
    c->policy->n_rules = N_BUILTIN_RULES;
}

static int intern_row(struct compiler *c, enum fact_id id) {
    return slot_intern(c, &(struct literal){ .row = &fact_rows[id], .kind = SLOT_FACT }, NULL);
}

static int intern_builtin(struct compiler *c) {
    static const enum fact_id ids[N_BUILTIN_SLOTS] = {
        [SLOT_RCPT_LOCAL] = F_RCPT_LOCAL,
        [SLOT_RELAY_ALLOWED] = F_RCPT_RELAY_ALLOWED,
        [SLOT_RCPT_KNOWN] = F_RCPT_KNOWN,
        [SLOT_ENFORCED] = F_RCPT_ENFORCED,
    };
    for (size_t i = 0; i < N_BUILTIN_SLOTS; i++) {
        int slot = intern_row(c, ids[i]);
        if (slot < 0)
            return slot;
    }
    return 0;
}

static int compile_layer(struct compiler *c, enum policy_layer layer) {
    c->policy->first_rule[layer] = c->policy->n_rules;
    for (const struct parsed_rule *rule = c->p->layers[layer].rules; rule; rule = rule->next) {
        int r = compile_rule(c, layer, rule);
        if (r == -ENOMEM)
            return r;
        if (rule->action == ACT_GREYLIST && c->policy->greylist_slot == RULE_NONE) {
            int slot = intern_row(c, F_GREYLIST);
            if (slot < 0)
                return slot;
            c->policy->greylist_slot = (uint16_t)slot;
        }
    }
    return 0;
}

/* The arrays shrink to what is used; the large ones were scratch. */
static int keep(struct policy *policy) {
    void *const from[] = { policy->slots, policy->rules, policy->nodes };
    const size_t sizes[] = { policy->n_slots * sizeof(struct slot), policy->n_rules * sizeof(struct rule),
                             policy->n_nodes * sizeof(struct node) };
    void *to[3];
    for (size_t i = 0; i < 3; i++) {
        to[i] = arena_alloc(&policy->arena, sizes[i] + 1);
        if (to[i] == NULL)
            return -ENOMEM;
        memcpy(to[i], from[i], sizes[i]);
    }
    policy->slots = to[0];
    policy->rules = to[1];
    policy->nodes = to[2];
    return 0;
}

int compile_policy(struct parsed *p, struct policy *policy) {
    struct compiler c = { .p = p, .policy = policy };
    if (p->n_rules > POLICY_RULES_MAX - N_BUILTIN_RULES) {
        diag_error(p->diag, &p->source, NULL, "more than %d rules", POLICY_RULES_MAX - N_BUILTIN_RULES);
        return -EINVAL;
    }
    policy->slots = arena_alloc(p->arena, POLICY_SLOTS_MAX * sizeof(struct slot));
    policy->rules = arena_alloc(p->arena, (p->n_rules + N_BUILTIN_RULES) * sizeof(struct rule));
    policy->nodes = arena_alloc(p->arena, POLICY_NODES_MAX * sizeof(struct node));
    c.rule_at = arena_zalloc(p->arena, (p->n_rules + N_BUILTIN_RULES) * sizeof(char *));
    c.rule_idle = arena_zalloc(p->arena, (p->n_rules + N_BUILTIN_RULES) * sizeof(*c.rule_idle));
    if (!policy->slots || !policy->rules || !policy->nodes || !c.rule_at || !c.rule_idle)
        return -ENOMEM;
    policy->greylist_slot = RULE_NONE;
    int r = intern_builtin(&c);
    compile_builtin(&c);
    for (int layer = 0; layer < N_LAYERS && r == 0; layer++)
        r = compile_layer(&c, (enum policy_layer)layer);
    policy->first_rule[N_LAYERS] = policy->n_rules;
    if (r == 0 && p->diag->errors > 0)
        return -EINVAL;
    if (r == 0)
        r = slots_finish(&c);
    if (r == 0)
        r = cover_check(&c);
    if (r == 0)
        idle_tell(&c);
    return r == 0 ? keep(policy) : r;
}
