/*
 * golden: decisions as an administrator would write them down.
 *
 *     golden SHIPPED_POLICY FILE.case...
 *
 * A file names a policy once, then any number of cases; lines `key: value`, `#` begins a comment line, a case ends with
 * an empty line. What is not written is not compared.
 *
 *     policy: shipped             or lines behind it, indented, that are the policy
 *     defer: dns greylist         sources whose unavailable facts defer (design.md section 13)
 *
 *     case: a dial-up line that waited
 *     given: ptr.none, helo "[203.0.113.7]"            as in the policy's own tests
 *     layers: connection                               the last layer that is asked about; content
 *     verdict: reject "PTRNUL HELO_IP"
 *     reply: 550 5.7.1 Refused by policy: {rule}
 *     because: ptr.none, helo.address                  the facts that made the rule true
 *     asked: client ptr                                the subjects that were needed
 *     shadow: SPF FAIL                                 what shadow rules would have done
 *     trace: greylist "SUSPICIOUS" true; ...           every rule that was reached and is not false
 *
 * With GOLDEN_SHOW=1 each case is printed as it came out, to be read before it is written down.
 */
#include "policy/world.h"

#include <stdio.h>
#include <stdlib.h>

#define TABLE(name_, kind_) { .name = STR_INIT(name_), .kind = kind_ }

static const struct policy_table tables[] = {
    TABLE("relay_clients", TABLE_CIDR), TABLE("partners", TABLE_CIDR), TABLE("banned", TABLE_CIDR),
    TABLE("exempt_clients", TABLE_CIDR), TABLE("exempt_names", TABLE_NAMES), TABLE("exempt_senders", TABLE_ADDRESSES),
    TABLE("exempt_recipients", TABLE_ADDRESSES), TABLE("well_known_senders", TABLE_NAMES),
    TABLE("banned_names", TABLE_NAMES), TABLE("banned_senders", TABLE_ADDRESSES), TABLE("opted_out", TABLE_NAMES),
};
static const struct policy_list lists[] = {
    { .zone = STR_INIT("zen.example.org"), .group = STR_INIT("main"), .family = LISTS_CLIENT, .weight = FACT_UNIT },
    { .zone = STR_INIT("bl.example.net"), .group = STR_INIT("main"), .family = LISTS_CLIENT, .weight = FACT_UNIT },
    { .zone = STR_INIT("wl.example.org"), .group = STR_INIT("good"), .family = LISTS_CLIENT, .weight = -FACT_UNIT },
};

enum { TEXT_MAX = 16 * 1024, KEYS = 9 };
enum key { CASE, GIVEN, LAYERS, VERDICT, REPLY, BECAUSE, ASKED, SHADOW, TRACE };
static const char *const keys[KEYS] = { "case",    "given", "layers", "verdict", "reply",
                                        "because", "asked", "shadow", "trace" };

struct golden {
    const char *path, *shipped;
    struct policy_environment environment;
    struct policy *policy;
    struct arena arena;
    struct str expected[KEYS]; /* .at is NULL: not written */
    struct buf got[KEYS];
    unsigned n, failed;
    bool shows;
};

static void die(const struct golden *g, const char *why, struct str what) {
    printf("Bail out! %s: %s: %.*s\n", g->path, why, STR_ARG(what));
    exit(1);
}

static char *read_file(const char *path) {
    enum { MAX = 1 << 20 };
    char *text = calloc(1, MAX + 1);
    FILE *file = fopen(path, "r");
    if (text == NULL || file == NULL || fread(text, 1, MAX, file) == 0) {
        printf("Bail out! cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return text;
}

/* ---- what came out */

static void put_slots(struct golden *g, const struct policy_set *set, struct buf *out) {
    for (int i = set_next(set, 0); i >= 0; i = set_next(set, (unsigned)i + 1))
        buf_putf(out, "%s%.*s", i == set_next(set, 0) ? "" : ", ", STR_ARG(g->policy->slots[i].name));
}

static void put_subjects(struct golden *g, const struct world *world) {
    bool is_first = true;
    for (size_t i = 0; i < N_FACTS; i++) {
        bool is_new = i == 0 || strcmp(fact_rows[i].subject, fact_rows[i - 1].subject) != 0;
        if (!is_new || !world_asked(world, str_of(fact_rows[i].subject)))
            continue;
        buf_putf(&g->got[ASKED], "%s%s", is_first ? "" : " ", fact_rows[i].subject);
        is_first = false;
    }
}

static void put_rules(struct golden *g, const struct policy_set *rules, struct buf *out) {
    for (int i = set_next(rules, 0); i >= 0; i = set_next(rules, (unsigned)i + 1))
        buf_putf(out, "%s%.*s", i == set_next(rules, 0) ? "" : ", ", STR_ARG(g->policy->rules[i].name));
}

static void put_trace_of(struct golden *g, unsigned i, const struct rule_trace *trace) {
    const struct rule *rule = &g->policy->rules[i];
    struct buf *out = &g->got[TRACE];
    if (trace->status == RULE_UNREACHED || trace->status == RULE_FALSE)
        return;
    buf_putf(out, "%s%s%s \"%.*s\" %s", out->len ? "; " : "", trace->is_shadow ? "shadow " : "",
             action_names[rule->action], STR_ARG(rule->name), rule_status_names[trace->status]);
    buf_puts(out, STR(" ("));
    put_slots(g, &trace->because, out);
    buf_puts(out, STR(")"));
}

/* Built-in rules stand in front of those of layer recipient. */
static void put_trace(struct golden *g, const struct rule_trace *trace) {
    unsigned first = g->policy->first_rule[LAYER_RECIPIENT];
    for (unsigned i = N_BUILTIN_RULES; i < first; i++)
        put_trace_of(g, i, &trace[i]);
    for (unsigned i = 0; i < N_BUILTIN_RULES; i++)
        put_trace_of(g, i, &trace[i]);
    for (unsigned i = first; i < g->policy->n_rules; i++)
        put_trace_of(g, i, &trace[i]);
}

static enum policy_layer last_layer(struct golden *g) {
    for (int i = 0; i < N_LAYERS; i++) {
        if (g->expected[LAYERS].at && str_eq(g->expected[LAYERS], str_of(layer_names[i])))
            return (enum policy_layer)i;
    }
    if (g->expected[LAYERS].at)
        die(g, "unknown layer", g->expected[LAYERS]);
    return LAYER_CONTENT;
}

static void decide(struct golden *g) {
    static struct rule_trace trace[POLICY_RULES_MAX];
    struct arena arena = { .max = 0 };
    struct world world;
    struct policy_verdict v;
    struct diag_list diag;
    struct diag_source source = { .path = g->path, .text = g->expected[GIVEN] };
    diag_init(&diag);
    if (world_init(&world, g->policy, &g->environment, &arena) != 0)
        die(g, "no memory", g->expected[CASE]);
    if (source.text.len > 0 && world_give(&world, &source, source.text, &diag) != 0)
        die(g, "given", buf_str(&diag.text));
    world_decide(&world, last_layer(g), &v, trace);
    verdict_format(g->policy, &v, &g->got[VERDICT]);
    if (v.reply)
        buf_putf(&g->got[REPLY], "%u %.*s %.*s", v.reply->code, STR_ARG(v.reply->enhanced), STR_ARG(v.reply->text));
    put_slots(g, &v.because, &g->got[BECAUSE]);
    put_subjects(g, &world);
    put_rules(g, &v.shadow, &g->got[SHADOW]);
    put_trace(g, trace);
    diag_deinit(&diag);
    arena_reset(&arena);
}

static void finish_case(struct golden *g) {
    if (g->expected[CASE].at == NULL)
        return;
    bool is_right = g->expected[VERDICT].at != NULL;
    for (size_t i = 0; i < KEYS; i++)
        buf_clear(&g->got[i]);
    decide(g);
    for (size_t i = VERDICT; i < KEYS; i++) {
        bool is_same = g->expected[i].at == NULL || str_eq(g->expected[i], buf_str(&g->got[i]));
        if (!is_same || g->shows)
            printf("# %s: %.*s\n", keys[i], STR_ARG(buf_str(&g->got[i])));
        is_right &= is_same;
    }
    printf("%s %u - %.*s\n", is_right ? "ok" : "not ok", ++g->n, STR_ARG(g->expected[CASE]));
    g->failed += !is_right;
    memset(g->expected, 0, sizeof(g->expected));
}

/* ---- files */

static void load(struct golden *g, struct str text) {
    struct diag_list diag;
    diag_init(&diag);
    policy_free(g->policy);
    g->policy = NULL;
    if (policy_load(g->path, text, &g->environment, &diag, &g->policy) != 0)
        die(g, "policy", buf_str(&diag.text));
    diag_deinit(&diag);
}

static void set_deferring(struct golden *g, struct str words) {
    for (struct str word = str_word(&words); word.len > 0; word = str_word(&words)) {
        size_t i = 0;
        while (i < N_SOURCES && !str_eq(word, str_of(source_names[i])))
            i++;
        if (i == N_SOURCES)
            die(g, "unknown source", word);
        g->environment.defer |= 1u << i;
    }
}

static void take_line(struct golden *g, struct str line) {
    size_t colon = str_find(line, ':');
    struct str key = str_head(line, colon), value = str_trim(str_from(line, colon + 1));
    for (size_t i = 0; i < KEYS; i++) {
        if (str_eq(key, str_of(keys[i]))) {
            g->expected[i] = value;
            return;
        }
    }
    die(g, "unknown key", line);
}

static bool is_indented(struct str text) {
    return text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\n');
}

/* `policy:` and the indented lines behind it. */
static struct str take_policy(struct golden *g, struct str rest) {
    size_t len = 0;
    while (is_indented(str_from(rest, len)))
        len += str_find(str_from(rest, len), '\n') + 1;
    load(g, str_head(rest, len));
    return str_from(rest, len);
}

static void run_file(struct golden *g, const char *path) {
    char *text = read_file(path);
    g->path = path;
    g->environment.defer = 0;
    for (struct str rest = str_of(text); rest.len > 0;) {
        size_t end = str_find(rest, '\n');
        struct str line = str_head(rest, end);
        rest = str_from(rest, end + 1);
        if (str_is_empty(line))
            finish_case(g);
        else if (line.at[0] == '#')
            continue;
        else if (str_eq(line, STR("policy: shipped")))
            load(g, str_of(g->shipped));
        else if (str_eq(line, STR("policy:")))
            rest = take_policy(g, rest);
        else if (str_starts_nocase(line, STR("defer: ")))
            set_deferring(g, str_from(line, 7));
        else
            take_line(g, line);
    }
    finish_case(g);
    free(text);
}

int main(int argc, char **argv) {
    struct golden g = { .shows = getenv("GOLDEN_SHOW") != NULL };
    if (argc < 3)
        return 2;
    char *shipped = read_file(argv[1]);
    g.shipped = shipped;
    g.environment = (struct policy_environment){
        .tables = tables, .n_tables = sizeof(tables) / sizeof(tables[0]),
        .lists = lists, .n_lists = sizeof(lists) / sizeof(lists[0]),
    };
    for (size_t i = 0; i < KEYS; i++)
        buf_init(&g.got[i], TEXT_MAX);
    for (int i = 2; i < argc; i++)
        run_file(&g, argv[i]);
    printf("1..%u\n", g.n);
    for (size_t i = 0; i < KEYS; i++)
        buf_deinit(&g.got[i]);
    policy_free(g.policy);
    free(shipped);
    return g.failed > 0;
}
