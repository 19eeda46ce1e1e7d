/*
 * Tests of conf/policy and conf/table: a configuration with tables and rules, and what is told when they do not load.
 */
#include "loaded.h"

#include "policy/verdict.h"

#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static void write_file(const struct folder *folder, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_not_equal(fputs(text, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static int make_folder(void **state) {
    static struct folder folder;
    snprintf(folder.path, sizeof(folder.path), "/tmp/postern-policy-XXXXXX");
    *state = &folder;
    return mkdtemp(folder.path) == NULL ? -1 : 0;
}

static int remove_folder(void **state) {
    static const char *const names[] = { "postern.conf", "rules", "partners", "names" };
    const struct folder *folder = *state;
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder->path, names[i]);
        unlink(path);
    }
    return rmdir(folder->path);
}

#define OURS MINIMAL "domain example.com\n"

static struct loaded load_file(const struct folder *folder, const char *conf,
                               int (*load)(const char *, struct diag_list *, struct conf **)) {
    struct loaded l = { 0 };
    char path[128];
    write_file(folder, "postern.conf", conf);
    snprintf(path, sizeof(path), "%s/postern.conf", folder->path);
    diag_init(&l.diag);
    l.result = load(path, &l.diag, &l.conf);
    l.said = strndup(l.diag.text.len > 0 ? l.diag.text.at : "", l.diag.text.len);
    assert_non_null(l.said);
    return l;
}

/* Loads postern.conf beside `rules`. */
static struct loaded load_rules(const struct folder *folder, const char *conf, const char *rules) {
    write_file(folder, "rules", rules);
    return load_file(folder, conf, conf_load);
}

static struct loaded load_good_rules(const struct folder *folder, const char *conf, const char *rules) {
    struct loaded l = load_rules(folder, conf, rules);
    if (l.result != 0)
        fail_msg("expected to load:\n%s\n%s\n%s", conf, rules, l.said);
    return l;
}

static void assert_rules_refused(const struct folder *folder, const char *conf, const char *rules,
                                 const char *expected) {
    struct loaded l = load_rules(folder, conf, rules);
    if (l.result != -EINVAL || strstr(l.said, expected) == NULL)
        fail_msg("expected '%s' from:\n%s\n%s\ngot %d:\n%s", expected, conf, rules, l.result, l.said);
    assert_null(l.conf);
    unload(&l);
}

/* The slot of a test by what a person writes, or fails. */
static unsigned slot_of(const struct conf *conf, const char *name) {
    for (unsigned i = 0; i < conf->policy.policy->n_slots; i++) {
        if (str_eq(conf->policy.policy->slots[i].name, str_of(name)))
            return i;
    }
    fail_msg("no slot is called %s", name);
    return 0;
}

/* ---- tables */

static const struct table *table_of(const struct loaded *l, const char *name) {
    for (size_t i = 0; i < l->conf->n_tables; i++) {
        if (strcmp(l->conf->tables[i].name, name) == 0)
            return l->conf->tables[i].table;
    }
    fail_msg("no table is called %s", name);
    return NULL;
}

static void test_tables(void **state) {
    const struct folder *folder = *state;
    struct ip ip;
    assert_int_equal(ip_parse(STR("192.0.2.7"), &ip), 0);
    write_file(folder, "partners", "# ours\n192.0.2.0/24\n");
    struct loaded l = load_file(folder, OURS
        "table partners cidr {\n  file partners\n}\ntable empty names\ntable void cidr { }\n"
        "table words names {\n  entries .example.org a.example\n  entries b.example\n}\n"
        "table users addresses { entries \"\\\"a b\\\"@example.com\" }\n"
        "table slow patterns { entries \"a #b\" ^dsl\\d+ \"x{2}$\" }\n", conf_load);
    assert_string_equal(l.said, "");
    assert_int_equal(l.conf->n_tables, 6);
    assert_true(table_has_ip(table_of(&l, "partners"), &ip));
    assert_int_equal(table_count(table_of(&l, "empty")), 0);
    assert_int_equal(table_count(table_of(&l, "void")), 0);
    assert_int_equal(table_count(table_of(&l, "words")), 3);
    assert_true(table_has(table_of(&l, "words"), STR("x.example.org")));
    assert_true(table_has(table_of(&l, "users"), STR("\"A b\"@example.com")));
    assert_true(table_has(table_of(&l, "slow"), STR("xx")));
    assert_true(table_has(table_of(&l, "slow"), STR("a #b")));
    assert_true(table_has(table_of(&l, "slow"), STR("DSL7.example.com")));
    unload(&l);
}

static void test_wrong_tables(void **state) {
    assert_refused(MINIMAL "table our_names cidr\n", "error: table our_names is what helo.ours takes for us; its type "
                   "must be names");
    assert_refused(MINIMAL "table our_addresses names\n", "its type must be cidr");
    assert_refused(MINIMAL "table a\n", ":6:1: error: expected 'table NAME cidr|names|addresses|patterns'");
    assert_refused(MINIMAL "table a cidr x\n", "expected 'table NAME");
    assert_refused(MINIMAL "table a hash\n", ":6:9: error: expected cidr, names, addresses or patterns, got 'hash'");
    assert_refused(MINIMAL "table 7a cidr\n", ":6:7: error: '7a' cannot name a table");
    assert_refused(MINIMAL "table a-b cidr\n", "'a-b' cannot name a table");
    assert_refused(MINIMAL "table \"\" cidr\n", "'' cannot name a table");
    assert_refused(MINIMAL "table a cidr\ntable a names\n", ":7:7: error: a second table called 'a'");
    assert_refused(MINIMAL "table relay_clients cidr\n", "the option relay_clients is one");
    assert_refused(MINIMAL "table a cidr { file x\n entries 192.0.2.1 }\n", "a file or entries, not both");
    assert_refused(MINIMAL "table a cidr { file x\n file y }\n", "'file' stands here twice");
    assert_refused(MINIMAL "table a cidr { entries }\n", "'entries' needs a value");
    assert_refused(MINIMAL "table a cidr { entries 192.0.2.1\n entries 192.0.2.0/24 192.0.2.1/24 }\n",
                   ":7:23: error: expected a prefix");
    assert_refused(MINIMAL "table a patterns { entries fine ( }\n", ":6:33: error: missing closing parenthesis");
    assert_refused(MINIMAL "table a names { entries \"\" }\n", ":6:25: error: an empty entry");
    assert_refused(MINIMAL "table a names { file missing }\n",
                   "/nowhere/missing: error: cannot be read: No such file or directory");
    assert_refused(MINIMAL "entries a\n", "'entries' belongs in a table block");
}

static void test_wrong_lines(void **state) {
    const struct folder *folder = *state;
    write_file(folder, "names", "a.example\n  b..example\n");
    struct loaded l = load_file(folder, OURS "table a names { file names }\nworkers x\n", conf_load);
    assert_int_equal(l.result, -EINVAL);
    assert_int_equal(l.diag.errors, 2);
    assert_non_null(strstr(l.said, "/names:2:3: error: expected a name such as"));
    unload(&l);
}

static void test_many_tables(void **state) {
    for (unsigned n = CONF_TABLES_MAX; n <= CONF_TABLES_MAX + 1; n++) {
        struct buf text;
        buf_init(&text, 65536);
        buf_puts(&text, str_of(MINIMAL));
        for (unsigned i = 0; i < n; i++)
            buf_putf(&text, "table t%u names\n", i);
        struct loaded l = load_bytes(buf_str(&text));
        assert_int_equal(l.result, n == CONF_TABLES_MAX ? 0 : -EINVAL);
        assert_int_equal(strstr(l.said, "more than 256 tables") != NULL, n > CONF_TABLES_MAX);
        unload(&l);
        buf_deinit(&text);
    }
    char text[256];
    snprintf(text, sizeof(text), MINIMAL "table %064d names\n", 0);
    *strchr(text + strlen(MINIMAL) + 6, '0') = 'n';
    struct loaded l = load_good(text);
    unload(&l);
    snprintf(text, sizeof(text), MINIMAL "table n%064d names\n", 0);
    assert_refused(text, "cannot name a table");
}

/* ---- the policy */

static void test_built_in(void **state) {
    struct loaded l = load_good(OURS);
    assert_null(l.conf->set.policy_path);
    assert_non_null(l.conf->policy.policy);
    assert_int_equal(l.conf->policy.policy->n_rules, N_BUILTIN_RULES);
    unload(&l);
}

static void test_slots(void **state) {
    const struct folder *folder = *state;
    struct ip ip;
    struct loaded l = load_good_rules(folder, OURS
        "policy rules\nrelay_clients 192.0.2.0/24\ntable banned cidr { entries 198.51.100.7 }\ntable none_yet names\n",
        "layer connection {\n"
        "    accept \"OWN\" when client in relay_clients\n"
        "    reject \"BANNED\" when client in banned\n"
        "    reject \"NAME\" when ptr.name in none_yet\n"
        "    reject \"DSL\" when ptr.name ~ \"^dsl[0-9]+[.]\"\n}\n"
        "test \"a name\" { given ptr \"dsl7.example.net\"\n expect reject \"DSL\" }\n");
    const struct conf_policy *policy = &l.conf->policy;
    assert_non_null(policy->policy);
    unsigned relay = slot_of(l.conf, "client in relay_clients"), banned = slot_of(l.conf, "client in banned");
    unsigned name = slot_of(l.conf, "ptr.name in none_yet");
    assert_int_equal(ip_parse(STR("192.0.2.9"), &ip), 0);
    assert_true(table_has_ip(policy->tables[relay], &ip));
    assert_false(table_has_ip(policy->tables[banned], &ip));
    assert_ptr_equal(policy->tables[name], table_of(&l, "none_yet"));
    unsigned n_patterns = 0;
    for (unsigned i = 0; i < policy->policy->n_slots; i++) {
        assert_int_equal(policy->policy->slots[i].kind == SLOT_PATTERN, policy->patterns[i] != NULL);
        assert_int_equal(policy->policy->slots[i].kind == SLOT_TABLE, policy->tables[i] != NULL);
        if (policy->patterns[i] == NULL)
            continue;
        n_patterns++;
        assert_true(pattern_matches(policy->patterns[i], STR("DSL7.example.net")));
        assert_false(pattern_matches(policy->patterns[i], STR("dsl.example.net")));
    }
    assert_int_equal(n_patterns, 1);
    unload(&l);
}

static void test_wrong_rules(void **state) {
    const struct folder *folder = *state;
    const char *conf = OURS "policy rules\n";
    assert_rules_refused(folder, conf, "layer policy {\n    reject \"X\" when ptr.nonsense\n}\n", "/rules:2:");
    assert_rules_refused(folder, conf, "layer connection {\n  reject \"X\" when client in banned\n}\n", "/rules:2:");
    assert_rules_refused(folder, conf, "layer policy {\n  reject \"X\" when helo.name ~ \"(\"\n}\n", "missing closing");
    assert_rules_refused(folder, conf, "layer policy {\n  reject \"X\" when ptr.none\n}\n"
                         "test \"fails\" {\n  expect reject \"X\"\n}\n", "/rules:5:10: error: test \"fails\" expected");
    assert_rules_refused(folder, OURS "policy missing\n", "", "/missing cannot be read: No such file or directory");
    assert_rules_refused(folder, OURS "\n\npolicy missing\n", "", "postern.conf:9:8: error");
    assert_rules_refused(folder, OURS "policy .\n", "", "cannot be read: Is a directory");
    assert_rules_refused(folder, OURS "policy /dev/zero\n", "", "cannot be read: Invalid argument");
}

/* With another error there is no word about rules, whose tables may be what is missing. */
static void test_one_error_at_a_time(void **state) {
    const struct folder *folder = *state;
    struct loaded l = load_rules(folder, OURS "policy rules\ntable banned cidr { entries x }\n",
                                 "layer connection {\n  reject \"X\" when client in banned\n}\n");
    assert_int_equal(l.diag.errors, 1);
    assert_null(strstr(l.said, "/rules"));
    unload(&l);
}

static void test_settings_alone(void **state) {
    const struct folder *folder = *state;
    write_file(folder, "rules", "nonsense");
    struct loaded l = load_file(folder, OURS "policy rules\ntable a names { file missing }\ncontrol_socket here\n",
                                conf_load_settings);
    assert_int_equal(l.result, 0);
    assert_non_null(strstr(l.conf->set.control_socket, "/here"));
    assert_non_null(strstr(l.conf->set.policy_path, "/rules"));
    assert_null(l.conf->policy.policy);
    assert_null(l.conf->tables[0].table);
    unload(&l);
}

static const struct slot *ptr_none(const struct conf *conf) {
    const struct slot *slot = policy_slot(conf->policy.policy, F_PTR_NONE);
    assert_non_null(slot);
    return slot;
}

static void test_dns(void **state) {
    const struct folder *folder = *state;
    const char *rules = "layer policy {\n  reject \"X\" when ptr.none\n}\n";
    struct loaded l = load_good_rules(folder, OURS "policy rules\n", rules);
    assert_string_equal(l.said, "");
    assert_int_equal(l.conf->policy.policy->initial[SCOPE_CONNECTION][ptr_none(l.conf)->index].state, FACT_UNASKED);
    assert_false(ptr_none(l.conf)->is_deferring);
    assert_int_equal(l.conf->set.dns.use, CONF_DNS_HOST);
    assert_int_equal(l.conf->set.dns.timeout, 4000);
    assert_int_equal(l.conf->set.dns.in_flight, 4096);
    unload(&l);
    l = load_good_rules(folder, OURS "policy rules\ndns { use off }\n", rules);
    assert_int_equal(l.conf->policy.policy->initial[SCOPE_CONNECTION][ptr_none(l.conf)->index].state, FACT_OFF);
    assert_non_null(strstr(l.said, "/rules: warning: "));
    assert_non_null(strstr(l.said, " is off in this configuration; 1 rule cannot fire: reject \"X\""));
    unload(&l);
    l = load_good_rules(folder, OURS "policy rules\non_failure { dns defer }\n", rules);
    assert_true(ptr_none(l.conf)->is_deferring);
    unload(&l);
}

static void test_greylist(void **state) {
    const struct folder *folder = *state;
    const char *rules = "layer greylist {\n  greylist \"X\" when ptr.none\n}\n";
    struct loaded l = load_good_rules(folder, OURS "policy rules\n", rules);
    const struct policy *policy = l.conf->policy.policy;
    assert_int_equal(policy->initial[SCOPE_RECIPIENT][policy->slots[policy->greylist_slot].index].state, FACT_OFF);
    unload(&l);
    l = load_good_rules(folder, OURS "policy rules\nstore { path store/greylist.db }\n", rules);
    policy = l.conf->policy.policy;
    assert_int_equal(policy->initial[SCOPE_RECIPIENT][policy->slots[policy->greylist_slot].index].state, FACT_UNASKED);
    assert_false(policy->slots[policy->greylist_slot].is_deferring);
    unload(&l);
    l = load_good_rules(folder, OURS "policy rules\nstore { path store/greylist.db }\n"
                        "on_failure { greylist defer }\n", rules);
    assert_true(l.conf->policy.policy->slots[l.conf->policy.policy->greylist_slot].is_deferring);
    unload(&l);
}

/* The state a fact begins with, and what its being unavailable or skipped leads to. */
static void assert_scanner(const struct loaded *l, enum fact_id id, enum fact_state state, bool defers, bool skips) {
    const struct slot *slot = policy_slot(l->conf->policy.policy, id);
    assert_non_null(slot);
    assert_int_equal(l->conf->policy.policy->initial[slot->scope][slot->index].state, state);
    assert_int_equal(slot->is_deferring, defers);
    assert_int_equal(slot->is_deferring_skipped, skips);
}

static void test_scanners(void **state) {
    const struct folder *folder = *state;
    const char *rules = "layer content {\n  reject \"V\" when virus\n  reject \"S\" when spam.score >= 12\n}\n";
    struct loaded l = load_good_rules(folder, OURS "policy rules\n", rules);
    assert_scanner(&l, F_VIRUS, FACT_OFF, true, false);
    assert_scanner(&l, F_SPAM_SCORE, FACT_OFF, false, false);
    assert_non_null(strstr(l.said, " is off in this configuration; 1 rule cannot fire: reject \"V\""));
    assert_non_null(strstr(l.said, " is off in this configuration; 1 rule cannot fire: reject \"S\""));
    unload(&l);
    l = load_good_rules(folder, OURS "policy rules\nclamav { server 192.0.2.1 }\n"
                        "spamassassin { server unix:/run/spamd }\n", rules);
    assert_string_equal(l.said, "");
    assert_scanner(&l, F_VIRUS, FACT_UNASKED, true, false);
    assert_scanner(&l, F_SPAM_SCORE, FACT_UNASKED, false, false);
    unload(&l);
    l = load_good_rules(folder, OURS "policy rules\nclamav { server 192.0.2.1 }\nspamassassin { server ::1 }\n"
                        "on_failure {\nvirus pass\nspam defer\nvirus_skip defer\nspam_skip defer\n}\n", rules);
    assert_scanner(&l, F_VIRUS, FACT_UNASKED, false, true);
    assert_scanner(&l, F_SPAM_SCORE, FACT_UNASKED, true, true);
    unload(&l);
}

static void test_scanner_blocks(void **state) {
    struct loaded l = load_good(OURS "clamav {\n server unix:/run/c.ctl\nserver 192.0.2.1\n server [::1]:5\n}\n"
                                "spamassassin {\n server 192.0.2.2\n user_by_domain yes\n timeout 9s\n}\n");
    const struct conf_scanner *clamav = &l.conf->set.clamav, *spam = &l.conf->set.spamassassin;
    assert_string_equal(l.said, "");
    assert_int_equal(clamav->n_servers, 3);
    assert_string_equal(clamav->servers[0].path, "/run/c.ctl");
    assert_string_equal(clamav->servers[0].text, "unix:/run/c.ctl");
    assert_null(clamav->servers[1].path);
    assert_string_equal(clamav->servers[1].text, "192.0.2.1:3310");
    assert_int_equal(clamav->servers[2].at.port, 5);
    assert_int_equal(clamav->size_max, 25 << 20);
    assert_int_equal(clamav->timeout, 60000);
    assert_int_equal(clamav->connections, 10);
    assert_int_equal(spam->servers[0].at.port, 783);
    assert_int_equal(spam->size_max, 512 << 10);
    assert_int_equal(spam->timeout, 9000);
    assert_int_equal(spam->connections, 5);
    assert_true(spam->user_by_domain);
    unload(&l);
    assert_refused(MINIMAL "clamav { server }\n", "needs a value");
    assert_refused(MINIMAL "clamav { server unix: }\n", ":6:17: error");
    assert_refused(MINIMAL "clamav { server clamd.example.com }\n", "'clamd.example.com' is not unix:PATH, an address");
    assert_refused(MINIMAL "clamav { server 192.0.2.1:0 }\n", "is not unix:PATH, an address");
    assert_refused(MINIMAL "clamav { server 192.0.2.1\nserver 192.0.2.1:3310\n}\n", "stands in the block already");
    assert_refused(MINIMAL "clamav { user_by_domain yes }\n", "belongs in the spamassassin block");
    assert_refused(MINIMAL "clamav { server ::1\ntimeout 5m\n}\n", "is not less than timeouts final_reply_limit");
    assert_refused(MINIMAL "workers 6\nspamassassin { server ::1 }\n", "spamassassin connections is less than workers");
    assert_refused(MINIMAL "clamav { size_max 0 }\n", "'size_max' goes from");
}

static void test_many_scanners(void **state) {
    for (unsigned n = 8; n <= 9; n++) {
        struct buf text = { .max = 1 << 12 };
        buf_puts(&text, STR(MINIMAL "spamassassin {\n"));
        for (unsigned i = 0; i < n; i++)
            buf_putf(&text, "server 10.0.0.%u\n", i);
        buf_puts(&text, STR("}\n"));
        struct loaded l = load_bytes(buf_str(&text));
        assert_int_equal(l.result, n == 8 ? 0 : -EINVAL);
        assert_int_equal(strstr(l.said, "more than 8 servers") != NULL, n == 9);
        unload(&l);
        buf_deinit(&text);
    }
}

static void test_dns_block(void **state) {
    struct loaded l = load_good(OURS "dns {\n use forward\n forward_to 192.0.2.53 [2001:db8::53]:5353\n"
                                "forward_to 192.0.2.54:54\n stub example.com 192.0.2.55\n stub b.example [::1]:5300\n"
                                "timeout 500ms\n in_flight 7 }\n");
    assert_string_equal(l.said, "");
    assert_int_equal(l.conf->set.dns.forward_to.n, 3);
    assert_int_equal(l.conf->set.dns.forward_to.at[0].port, 53);
    assert_int_equal(l.conf->set.dns.forward_to.at[1].port, 5353);
    assert_int_equal(l.conf->set.dns.forward_to.at[1].ip.family, IP_V6);
    assert_int_equal(l.conf->set.dns.stubs.n, 2);
    assert_string_equal(l.conf->set.dns.stubs.at[0].zone, "example.com");
    assert_int_equal(l.conf->set.dns.stubs.at[1].server.port, 5300);
    unload(&l);
    assert_refused(MINIMAL "dns { use forward }\n", "no forward_to says to whom");
    assert_refused(MINIMAL "dns { use always }\n", "expected host, forward, recurse or off");
    assert_refused(MINIMAL "dns { forward_to }\n", "'forward_to' needs a value");
    assert_refused(MINIMAL "dns { forward_to dns.example.com }\n", ":6:18: error: 'dns.example.com' is not an address");
    assert_refused(MINIMAL "dns { forward_to 192.0.2.1:0 }\n", "is not an address");
    assert_refused(MINIMAL "dns { stub example.com }\n", "expected 'stub ZONE ADDRESS[:PORT]'");
    assert_refused(MINIMAL "dns { stub a..b 192.0.2.1 }\n", "'a..b' is not the name of a zone");
    assert_refused(MINIMAL "dns { stub a.example x }\n", "'x' is not an address");
    assert_refused(MINIMAL "dns { timeout 99ms }\n", "'timeout' goes from 100ms to 30s");
    assert_refused(MINIMAL "dns { in_flight 65537 }\n", "'in_flight' goes from 1 to 65536");
    assert_refused(MINIMAL "on_failure { dns refuse }\n", "expected pass or defer");
    l = load_good(OURS "dns { forward_to 192.0.2.1 }\n");
    assert_non_null(strstr(l.said, "forward_to has an effect with 'use forward' only"));
    unload(&l);
}

/* 64 name servers and 64 stubs, and not one more. */
static void test_many_name_servers(void **state) {
    for (unsigned n = 64; n <= 65; n++) {
        for (unsigned what = 0; what < 2; what++) {
            struct buf text;
            buf_init(&text, 65536);
            buf_puts(&text, STR(OURS "dns {\n"));
            for (unsigned i = 0; i < n; i++) {
                char line[64];
                snprintf(line, sizeof(line), what == 0 ? "forward_to 10.0.0.%u\n" : "stub a%u.example 10.0.0.1\n", i);
                buf_puts(&text, str_of(line));
            }
            buf_puts(&text, STR("}\n"));
            struct loaded l = load_bytes(buf_str(&text));
            assert_int_equal(l.result, n == 64 ? 0 : -EINVAL);
            assert_int_equal(strstr(l.said, what == 0 ? "more than 64 name servers" : "more than 64 stubs") != NULL,
                             n == 65);
            unload(&l);
            buf_deinit(&text);
        }
    }
}

static void test_enforce(void **state) {
    struct loaded l = load_good(OURS "domain b.example { enforce no }\n");
    const struct conf_domain *a = conf_domain_find(l.conf, STR("example.com"));
    const struct conf_domain *b = conf_domain_find(l.conf, STR("b.example"));
    assert_true(conf_is_enforced(l.conf, a));
    assert_false(conf_is_enforced(l.conf, b));
    assert_true(conf_is_enforced(l.conf, NULL));
    assert_non_null(strstr(l.said, "enforce no: the rules of the policy refuse nothing for domain b.example\n"));
    unload(&l);
    l = load_good(OURS "enforce no\ndomain b.example { enforce yes }\n");
    assert_false(conf_is_enforced(l.conf, conf_domain_find(l.conf, STR("b.example"))));
    assert_false(conf_is_enforced(l.conf, NULL));
    assert_non_null(strstr(l.said, "warning: enforce no: the rules of the policy refuse nothing\n"));
    unload(&l);
    l = load_good(OURS "domain_defaults { enforce no }\ndomain b.example\ndomain c.example { enforce yes }\n");
    assert_false(conf_is_enforced(l.conf, conf_domain_find(l.conf, STR("b.example"))));
    assert_true(conf_is_enforced(l.conf, conf_domain_find(l.conf, STR("c.example"))));
    assert_non_null(strstr(l.said, "for domain example.com and others\n"));
    unload(&l);
}

#define TEST(name, function) { name, function, NULL, NULL, NULL }
#define FILE_TEST(name, function) { name, function, make_folder, remove_folder, NULL }

int main(void) {
    hash_init();
    const struct CMUnitTest tests[] = {
        FILE_TEST("tables come from files and from entries, of every type", test_tables),
        TEST("a table that cannot be is told where it stands", test_wrong_tables),
        FILE_TEST("a wrong line of a table is told in its own file, beside other errors", test_wrong_lines),
        TEST("256 tables are accepted and 257 are not, and a name has 64 bytes at most", test_many_tables),
        TEST("without a policy there are the rules that are built in", test_built_in),
        FILE_TEST("table and pattern tests of a policy are found by the number of their slot", test_slots),
        FILE_TEST("a policy that does not load is told where it is wrong", test_wrong_rules),
        FILE_TEST("rules are not looked at while something else is wrong", test_one_error_at_a_time),
        FILE_TEST("the settings load alone while the policy is broken", test_settings_alone),
        FILE_TEST("without a store greylisting is off, and what its silence leads to is known", test_greylist),
        FILE_TEST("what DNS leaves open and whether it is asked at all reaches the policy", test_dns),
        FILE_TEST("without servers scanners are off, and what their silence leads to is known", test_scanners),
        TEST("the blocks of scanners say whom to ask", test_scanner_blocks),
        TEST("8 servers of a scanner are accepted and 9 are not", test_many_scanners),
        TEST("the dns block says whom to ask", test_dns_block),
        TEST("64 name servers and stubs are accepted and 65 are not", test_many_name_servers),
        TEST("what is not enforced is told, for all or for a domain", test_enforce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
