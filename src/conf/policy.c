/*
 * policy: how does the policy language meet this configuration?
 *
 * src/policy is pure: all that it may know of the world comes in as a value, struct policy_environment, which is made
 * here: the names, kinds and emptiness of the tables, which sources of facts do not exist, what an unavailable fact
 * leads to, and two functions for the policy's own tests. What goes the other way is a list of slots: a number for
 * each table test and pattern test that some rule makes. Those numbers are resolved here, once, so that a session asks
 * by index and never by name.
 *
 * Sources that this version cannot answer are OFF: the rules about them load, are warned of, and do not fire.
 */
#include "conf/policy.h"

#include "base/file.h"
#include "conf/table.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)TABLE_CIDR == (int)TABLE_TYPE_CIDR && (int)TABLE_NAMES == (int)TABLE_TYPE_NAMES &&
               (int)TABLE_ADDRESSES == (int)TABLE_TYPE_ADDRESSES && (int)TABLE_PATTERNS == (int)TABLE_TYPE_PATTERNS,
               "the policy counts kinds of tables as the tables do");

#define BIT(source) (UINT32_C(1) << (source))

/* No part of this program answers for these yet. */
static const uint32_t sources_missing = BIT(SOURCE_SPF) | BIT(SOURCE_VERIFICATION);

/* ---- what the policy's own tests ask */

/* A few times for each test, at load alone: compiled each time. */
static bool matches(struct str text_of_pattern, struct str text) {
    struct pattern *pattern;
    const char *problem;
    if (pattern_new(text_of_pattern, &pattern, &problem) < 0)
        return false;
    bool is_match = pattern_matches(pattern, text);
    pattern_free(pattern);
    return is_match;
}

static const char *pattern_problem(struct str text) {
    struct pattern *pattern;
    const char *problem;
    if (pattern_new(text, &pattern, &problem) < 0)
        return problem;
    pattern_free(pattern);
    return NULL;
}

/* ---- the environment */

static const struct table *find_table(const struct conf *conf, struct str name) {
    for (size_t i = 0; i < conf->n_tables; i++) {
        if (str_eq(str_of(conf->tables[i].name), name))
            return conf->tables[i].table;
    }
    return str_eq(name, STR("relay_clients")) ? conf->relay_clients : NULL;
}

static struct policy_table describe(const char *name, const struct table *table) {
    return (struct policy_table){ .name = str_of(name), .kind = (uint8_t)table_type(table),
                                  .is_empty = table_count(table) == 0 };
}

/* A list that is asked about several things is one for each of them. */
static int describe_lists(struct policy_environment *environment, const struct conf *conf, struct arena *arena) {
    struct policy_list *lists = arena_alloc(arena, (conf->n_block_lists + 1) * N_LIST_FAMILIES * sizeof(*lists));
    if (lists == NULL)
        return -ENOMEM;
    environment->lists = lists;
    for (size_t i = 0; i < conf->n_block_lists; i++) {
        const struct conf_block_list *list = &conf->block_lists[i];
        for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
            if (list->families >> family & 1)
                lists[environment->n_lists++] = (struct policy_list){
                    .zone = str_of(list->zone), .group = str_of(list->group), .family = (uint8_t)family,
                    .weight = list->weight };
    }
    return 0;
}

/* Who is not configured, and what it leads to when one who is does not answer (design.md section 13). */
static void describe_failures(struct policy_environment *environment, const struct conf_settings *set) {
    const struct {
        enum fact_source source;
        bool is_off;
        enum conf_failure failure, skip;
    } sources[] = {
        { SOURCE_DNS, set->dns.use == CONF_DNS_OFF, set->on_failure.dns, CONF_FAILURE_PASS },
        { SOURCE_DNSBL, false, set->on_failure.dns, CONF_FAILURE_PASS },
        { SOURCE_GREYLIST, set->store.path == NULL, set->on_failure.greylist, CONF_FAILURE_PASS },
        { SOURCE_VIRUS, set->clamav.n_servers == 0, set->on_failure.virus, set->on_failure.virus_skip },
        { SOURCE_SPAM, set->spamassassin.n_servers == 0, set->on_failure.spam, set->on_failure.spam_skip },
    };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        environment->off |= sources[i].is_off ? BIT(sources[i].source) : 0;
        environment->defer |= sources[i].failure == CONF_FAILURE_DEFER ? BIT(sources[i].source) : 0;
        environment->defer_skipped |= sources[i].skip == CONF_FAILURE_DEFER ? BIT(sources[i].source) : 0;
    }
}

/* Tables and lists go into `arena`. Returns 0 or -ENOMEM. */
static int environment_init(struct policy_environment *environment, const struct conf *conf, struct arena *arena) {
    struct policy_table *tables = arena_alloc(arena, (conf->n_tables + 1) * sizeof(*tables));
    if (tables == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < conf->n_tables; i++)
        tables[i] = describe(conf->tables[i].name, conf->tables[i].table);
    tables[conf->n_tables] = describe("relay_clients", conf->relay_clients);
    *environment = (struct policy_environment){
        .tables = tables,
        .n_tables = conf->n_tables + 1,
        .off = sources_missing,
        .matches = matches,
        .pattern_problem = pattern_problem,
    };
    describe_failures(environment, &conf->set);
    if (conf->set.dns.use == CONF_DNS_OFF && conf->n_block_lists > 0)
        environment->off |= BIT(SOURCE_DNSBL);
    return describe_lists(environment, conf, arena);
}

/* ---- slots */

/* The lists that have a say in a slot, as policy/slots.c counts them. */
static uint64_t find_lists(const struct conf *conf, const struct slot *slot) {
    static const enum fact_id first[N_LIST_FAMILIES] = {
        [LISTS_CLIENT] = F_DNSBL_HITS, [LISTS_PTR] = F_PTR_DNSBL_HITS,
        [LISTS_HELO] = F_HELO_DNSBL_HITS, [LISTS_SENDER] = F_SENDER_DNSBL_HITS,
    };
    const unsigned id = (unsigned)(slot->row - fact_rows);
    unsigned family = 0;
    uint64_t lists = 0;
    while (family < N_LIST_FAMILIES && (id < first[family] || id > first[family] + (F_DNSBL_LISTED - F_DNSBL_HITS)))
        family++;
    for (size_t i = 0; i < conf->n_block_lists && family < N_LIST_FAMILIES; i++) {
        const struct conf_block_list *list = &conf->block_lists[i];
        bool counts = list->weight > 0 || id == first[family] + (F_DNSBL_SCORE - F_DNSBL_HITS);
        if (slot->row->parameter == PARAMETER_ZONE)
            counts = str_eq_nocase(str_of(list->zone), slot->argument);
        else if (slot->row->parameter == PARAMETER_GROUP && !str_eq(str_of(list->group), slot->argument))
            counts = false;
        if (counts && list->families >> family & 1)
            lists |= UINT64_C(1) << i;
    }
    return lists;
}

/* Tables, patterns and lists by number of slot. Returns 0 or -ENOMEM. */
static int resolve_slots(struct conf *conf, struct conf_policy *policy) {
    size_t n = policy->policy->n_slots;
    policy->tables = arena_zalloc(&conf->arena, (n + 1) * sizeof(*policy->tables));
    policy->patterns = arena_zalloc(&conf->arena, (n + 1) * sizeof(*policy->patterns));
    policy->lists = arena_zalloc(&conf->arena, (n + 1) * sizeof(*policy->lists));
    if (policy->tables == NULL || policy->patterns == NULL || policy->lists == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct slot *slot = &policy->policy->slots[i];
        const char *problem;
        policy->lists[i] = find_lists(conf, slot);
        if (slot->kind == SLOT_TABLE)
            policy->tables[i] = find_table(conf, slot->argument);
        else if (slot->kind == SLOT_PATTERN && pattern_new(slot->argument, &policy->patterns[i], &problem) < 0)
            return -ENOMEM; /* that it compiles was found at load */
    }
    return 0;
}

/* ---- tables that have a meaning of their own */

static const struct conf_table *find_own(const struct value_reader *reader, const char *name, enum table_type type) {
    const struct conf *conf = reader->conf;
    size_t i = 0;
    while (i < conf->n_tables && strcmp(conf->tables[i].name, name) != 0)
        i++;
    if (i == conf->n_tables)
        return NULL;
    if (conf->tables[i].type != type)
        diag_error(reader->diag, reader->source, NULL, "table %s is what helo.ours takes for us; its type must be %s",
                   name, table_type_names[type]);
    return &conf->tables[i];
}

/* ---- loading */

static int load_text(const struct value_reader *reader, struct str text, struct arena *arena) {
    struct conf *conf = reader->conf;
    struct policy_environment environment;
    int r = environment_init(&environment, conf, arena);
    if (r == 0)
        r = policy_load(conf->set.policy_path != NULL ? conf->set.policy_path : "policy", text, &environment,
                        reader->diag, &conf->policy.policy);
    return r < 0 ? r : resolve_slots(conf, &conf->policy);
}

int conf_policy_load(const struct value_reader *reader, const struct statement *statement) {
    struct conf *conf = reader->conf;
    const char *path = conf->set.policy_path;
    struct arena arena = { 0 };
    struct str text;
    int r = table_of_cidrs(&conf->set.relay_clients, &conf->relay_clients);
    if (r < 0)
        return r;
    conf->our_names = find_own(reader, "our_names", TABLE_TYPE_NAMES);
    conf->our_addresses = find_own(reader, "our_addresses", TABLE_TYPE_CIDR);
    text = (struct str){ 0 }; /* without a file only what is built in decides */
    if (path != NULL)
        r = file_read(path, CONF_FILE_MAX, &arena, &text);
    if (r == 0)
        r = load_text(reader, text, &arena);
    else if (r != -ENOMEM)
        diag_error(reader->diag, reader->source, statement->words[statement->n_words - 1].at, "%s cannot be read: %s",
                   path, strerror(-r));
    arena_reset(&arena);
    return r == -ENOMEM ? r : 0;
}

void conf_policy_deinit(struct conf_policy *policy) {
    for (size_t i = 0; policy->patterns != NULL && i < policy->policy->n_slots; i++)
        pattern_free(policy->patterns[i]);
    policy_free(policy->policy);
    *policy = (struct conf_policy){ 0 };
}
