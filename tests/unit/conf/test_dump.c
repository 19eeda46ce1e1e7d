/*
 * Tests of conf/dump: what it writes loads to the same configuration, whatever the options are.
 *
 * Random configurations come from the option table itself, so that an option added there is covered the same day. The
 * numbers are of a fixed sequence: a failure happens again.
 */
#include "conf/options.h"
#include "conf/values.h"

#include "loaded.h"

#include <errno.h>

static uint64_t sequence;

/* xorshift64* */
static uint64_t draw(uint64_t below) {
    sequence ^= sequence >> 12;
    sequence ^= sequence << 25;
    sequence ^= sequence >> 27;
    return (sequence * UINT64_C(2685821657736338717)) % below;
}

static const char *pick(const char *const *words, size_t n) {
    return words[draw(n)];
}

#define PICK(...) pick((const char *const[]){ __VA_ARGS__ }, \
                       sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

/* Any value between the bounds, half of the time one of round units. */
static uint64_t draw_number(const struct option *option) {
    static const uint64_t units[] = { 1, 1000, 1024, 60000, 1 << 20, 3600000 };
    uint64_t value = option->min + draw(option->max - option->min + 1);
    uint64_t unit = units[draw(sizeof(units) / sizeof(units[0]))];
    return value - value % unit < option->min ? value : value - value % unit;
}

static void put_value(const struct option *option, struct buf *out) {
    unsigned n_words = 0;
    switch (option->type) {
    case OPTION_FLAG:
        buf_puts(out, str_of(PICK("yes", "no")));
        break;
    case OPTION_NUMBER:
    case OPTION_SIZE:
        buf_putf(out, "%llu", (unsigned long long)draw_number(option));
        break;
    case OPTION_TIME:
        buf_putf(out, "%llums", (unsigned long long)draw_number(option));
        break;
    case OPTION_MODE:
        buf_puts(out, str_of(PICK("0600", "660", "0777", "000")));
        break;
    case OPTION_CHOICE:
        while (option->words[n_words] != NULL)
            n_words++;
        buf_puts(out, str_of(pick(option->words, n_words)));
        break;
    case OPTION_TEXT:
        buf_puts(out, str_of(PICK("postern", "\"two words\"", "\"#a\"", "a#b", "\"a;\"", "a\\b",
                                   "\"a\\\"b\\\\\"", "\"{\"")));
        break;
    case OPTION_HOSTNAME:
        buf_puts(out, str_of(PICK("mx.example.com", "MX2.Example.ORG")));
        break;
    case OPTION_PATH:
        buf_puts(out, str_of(PICK("/", "relative/path", "\"/with blank\"", "\"/with \\\"quote\\\"\"", "/d\xC3\xBC")));
        break;
    case OPTION_CIDRS:
        for (uint64_t i = draw(4) + 1; i > 0; i--)
            buf_putf(out, "%s ", PICK("10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::/0", "0.0.0.0/0"));
        break;
    case OPTION_GROUP:
        buf_puts(out, str_of(PICK("one", "two")));
        break;
    case OPTION_SERVER:
        buf_putf(out, "10.0.%u.%u%s%s", (unsigned)draw(256), (unsigned)draw(256), PICK("", ":25", ":2525"),
                 PICK("", " name mail.example.com"));
        break;
    case OPTION_CERTIFICATE:
        buf_puts(out, str_of(PICK("/dev/null /dev/zero", "/etc/hosts /dev/null")));
        break;
    case OPTION_DIRECTORY:
        buf_puts(out, str_of(PICK("none", "of own.example")));
        break;
    case OPTION_DELIMITER:
        buf_puts(out, str_of(PICK("+", "+-", "none", "\"#\"", "\"{}\"", "\"\"")));
        break;
    case OPTION_CATCH_ALL:
        buf_puts(out, str_of(PICK("yes", "no", "all@example.com", "\"\\\"a b\\\"@example.com\"")));
        break;
    case OPTION_ADDRESS:
        buf_puts(out, str_of(PICK("unchanged", "p@example.com")));
        break;
    case OPTION_WORDS:
        buf_puts(out, str_of(PICK("one", "\"two #words\" three", "\\.example\\.net$", "\"a\\\\b{2}\"")));
        break;
    case OPTION_FILES:
        buf_puts(out, str_of(PICK("docm", "7z text/calendar", "settingcontent-ms")));
        break;
    case OPTION_ENDPOINTS:
        buf_puts(out, str_of(PICK("192.0.2.53", "192.0.2.53:5353 [2001:db8::53]:53", "2001:db8::1")));
        break;
    case OPTION_STUB:
        buf_puts(out, str_of(PICK("example.com 192.0.2.53", "10.in-addr.arpa [::1]:5353")));
        break;
    case OPTION_WEIGHT:
        buf_puts(out, str_of(PICK("1", "-2.5", "0", "1000", "0.001", "-1000.0", "1.25")));
        break;
    case OPTION_FAMILIES:
        buf_puts(out, str_of(PICK("ptr", "helo", "sender", "helo sender", "sender ptr helo")));
        break;
    case OPTION_CODES:
        buf_puts(out, str_of(PICK("127.0.0.2", "127.0.0.2 127.0.0.4-127.0.0.11", "127.0.0.0-127.255.255.255")));
        break;
    case OPTION_PROBES: /* one statement of it: the dump writes no more */
        buf_puts(out, str_of(PICK("standard", "none")));
        break;
    case OPTION_SCANNER:
        buf_putf(out, "%s%u\"", PICK("\"unix:/run/s", "\"127.0.0.1:", "\"192.0.2.1:", "\"unix:with blank"),
                 (unsigned)draw(65535) + 1);
        break;
    case OPTION_SECRET:
    case OPTION_BLOCK:
    case OPTION_TYPES:
        fail_msg("no value for %s", option->name);
    }
}

/* A random choice of a block's options; what load would refuse together is left out. */
static void put_options(enum option_block block, struct buf *out) {
    static const char *const related[] = { "workers", "connections", "connections_client", "server_connections",
                                           "command", "command_stressed", "data", "data_stressed", "ca_file",
                                           "hostname", "policy", "use", "final_reply_limit", "key", "group", "delay",
                                           "postgresql" };
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        bool is_related = false;
        for (size_t k = 0; k < sizeof(related) / sizeof(related[0]); k++)
            is_related |= strcmp(option->name, related[k]) == 0 && option->type != OPTION_BLOCK;
        if (option->block != block || option->type == OPTION_BLOCK || is_related || draw(3) == 0)
            continue;
        for (uint64_t n = option_is_repeatable(option) ? draw(3) + 1 : 1; n > 0; n--) {
            buf_putf(out, "    %s ", option->name);
            put_value(option, out);
            buf_putc(out, '\n');
        }
    }
}

static void put_block(const char *head, enum option_block block, struct buf *out) {
    buf_putf(out, "%s {\n", head);
    put_options(block, out);
    buf_puts(out, STR("}\n"));
}

static void put_related(struct buf *out) {
    uint64_t workers = draw(20) + 1, connections = 20 + draw(1000);
    buf_putf(out, "workers %llu\n", (unsigned long long)workers);
    buf_putf(out, "limits {\nconnections %llu\nconnections_client %llu\nserver_connections %llu\n",
             (unsigned long long)connections, (unsigned long long)(draw(connections) + 1),
             (unsigned long long)(workers + draw(100)));
    put_options(OPTION_IN_LIMITS, out);
    uint64_t command = 1000 + draw(3599000), data = 1000 + draw(3599000);
    buf_putf(out, "}\ntimeouts {\nfinal_reply_limit 10m\ncommand %llums\ncommand_stressed 1s\ndata %llums\n"
             "data_stressed %llums\n", (unsigned long long)command, (unsigned long long)data, (unsigned long long)data);
    put_options(OPTION_IN_TIMEOUTS, out);
    buf_puts(out, STR("}\n"));
}

/* With a connection for each of the workers that put_related() draws. */
static void put_scanner(const char *name, enum option_block block, struct buf *out) {
    buf_putf(out, "%s {\nconnections %u\n", name, (unsigned)draw(100) + 20);
    put_options(block, out);
    buf_puts(out, STR("}\n"));
}

static void put_dns(struct buf *out) {
    buf_puts(out, STR("dns {\n"));
    if (draw(2) == 0)
        buf_puts(out, STR("use forward\nforward_to 192.0.2.1\n"));
    put_options(OPTION_IN_DNS, out);
    buf_puts(out, STR("}\n"));
}

static void put_random(struct buf *out) {
    buf_puts(out, STR("hostname mx.example.com\n"));
    put_options(OPTION_IN_MAIN, out);
    put_related(out);
    put_block("listen 0.0.0.0:25", OPTION_IN_LISTEN, out);
    put_block("listen [::1]:2525", OPTION_IN_LISTEN, out);
    put_block("policy_listen unix:/run/policy", OPTION_IN_POLICY_LISTEN, out);
    put_block("policy_listen \"unix:with blank\"", OPTION_IN_POLICY_LISTEN, out);
    buf_puts(out, STR("policy_listen 127.0.0.1:10040\n"));
    buf_puts(out, STR("servers one {\nserver 192.0.2.1 name a.example\ntls verify\nca_file /dev/null\n}\n"));
    buf_puts(out, STR("servers two {\nserver [::1]:26\n}\n"));
    put_block("tls", OPTION_IN_TLS, out);
    put_block("log", OPTION_IN_LOG, out);
    put_block("journal", OPTION_IN_JOURNAL, out);
    put_block("on_failure", OPTION_IN_ON_FAILURE, out);
    put_block("greylist", OPTION_IN_GREYLIST, out);
    put_block("store", OPTION_IN_STORE, out);
    put_scanner("clamav", OPTION_IN_CLAMAV, out);
    put_scanner("spamassassin", OPTION_IN_SPAMASSASSIN, out);
    put_dns(out);
    put_block("block_list random.example", OPTION_IN_BLOCK_LIST, out);
    buf_puts(out, STR("table empty cidr\ntable two names {\nentries a.example .b.example\nentries c.example\n}\n"
                      "table three patterns {\nentries \"#a b\" \\.example$ \"a{2}\"\n}\n"));
    buf_puts(out, STR("domain_defaults {\nservers two\ndelimiter -\n}\ndomain own.example\n"));
    put_block("domain a.example { servers one }\ndomain b.example", OPTION_IN_DOMAIN, out);
    put_block("domain d\xC3\xBC.example", OPTION_IN_DOMAIN, out);
}

static void assert_block_eq(enum option_block block, const void *a, const void *b) {
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        if (option->block == block && option->type != OPTION_BLOCK && !value_eq(option, a, b))
            fail_msg("%s %s differs", option->name, option_block_title(block));
    }
}

static void assert_conf_eq(const struct conf *a, const struct conf *b) {
    for (unsigned block = OPTION_IN_MAIN; block <= OPTION_IN_ON_FAILURE; block++)
        assert_block_eq(block, &a->set, &b->set);
    assert_int_equal(a->n_block_lists, b->n_block_lists);
    for (size_t i = 0; i < a->n_block_lists; i++)
        assert_block_eq(OPTION_IN_BLOCK_LIST, &a->block_lists[i], &b->block_lists[i]);
    assert_int_equal(a->n_listeners, b->n_listeners);
    for (size_t i = 0; i < a->n_listeners; i++) {
        assert_true(ip_eq(&a->listeners[i].at.ip, &b->listeners[i].at.ip));
        assert_int_equal(a->listeners[i].at.port, b->listeners[i].at.port);
        assert_true(conf_listener_is_at(&a->listeners[i], &b->listeners[i].at, b->listeners[i].path));
        assert_block_eq(OPTION_IN_LISTEN, &a->listeners[i], &b->listeners[i]);
        assert_block_eq(OPTION_IN_POLICY_LISTEN, &a->listeners[i], &b->listeners[i]);
    }
    assert_int_equal(a->n_groups, b->n_groups);
    for (size_t i = 0; i < a->n_groups; i++) {
        assert_string_equal(a->groups[i].name, b->groups[i].name);
        assert_block_eq(OPTION_IN_SERVERS, &a->groups[i], &b->groups[i]);
    }
    assert_int_equal(a->n_tables, b->n_tables);
    for (size_t i = 0; i < a->n_tables; i++) {
        assert_string_equal(a->tables[i].name, b->tables[i].name);
        assert_int_equal(a->tables[i].type, b->tables[i].type);
        assert_int_equal(table_count(a->tables[i].table), table_count(b->tables[i].table));
        assert_block_eq(OPTION_IN_TABLE, &a->tables[i], &b->tables[i]);
    }
    assert_int_equal(a->n_domains, b->n_domains);
    assert_block_eq(OPTION_IN_DOMAIN, &a->domain_defaults, &b->domain_defaults);
    for (size_t i = 0; i < a->n_domains; i++) {
        assert_string_equal(a->domains[i].name, b->domains[i].name);
        assert_block_eq(OPTION_IN_DOMAIN, &a->domains[i].set, &b->domains[i].set);
    }
}

static void dump(const struct conf *conf, struct buf *out) {
    buf_init(out, 1 << 20);
    assert_int_equal(conf_dump(conf, out), 0);
    assert_int_equal(buf_putc(out, '\0'), 0);
    out->len--;
}

static void assert_round_trip(const char *text) {
    struct loaded first = load_good(text);
    struct buf once, twice;
    dump(first.conf, &once);
    struct loaded second = load_good(once.at);
    assert_conf_eq(first.conf, second.conf);
    dump(second.conf, &twice);
    assert_string_equal(once.at, twice.at);
    buf_deinit(&once);
    buf_deinit(&twice);
    unload(&first);
    unload(&second);
}

static void test_random(void **state) {
    for (unsigned i = 1; i <= 200; i++) {
        struct buf text;
        buf_init(&text, 1 << 20);
        sequence = i * UINT64_C(0x9E3779B97F4A7C15);
        put_random(&text);
        assert_int_equal(buf_putc(&text, '\0'), 0);
        assert_round_trip(text.at);
        buf_deinit(&text);
    }
}

static void test_minimal(void **state) {
    assert_round_trip(MINIMAL);
    assert_round_trip("hostname mx.example.com\nlisten 127.0.0.1:25\n");
}

static void test_every_option(void **state) {
    struct loaded l = load_good(MINIMAL "policy_listen unix:/run/policy\n"
                               "domain example.com { delimiter + }\ntable partners cidr\n"
                               "block_list bl.example.net { key s3cret\n codes 127.0.0.2-127.0.0.9 127.0.0.11 }\n"
                               "block_list dbl.example.net { for helo\n weight -0.5\n probe a.test b.test }\n");
    struct buf out;
    dump(l.conf, &out);
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].type != OPTION_BLOCK && strstr(out.at, option_table[i].name) == NULL)
            fail_msg("the dump does not name %s", option_table[i].name);
    }
    assert_non_null(strstr(out.at, "hostname mx.example.com\n"));
    assert_non_null(strstr(out.at, "message_size 50M  # default\n"));
    assert_non_null(strstr(out.at, "command 5m  # default\n"));
    assert_non_null(strstr(out.at, "# relay_clients: none  # default\n"));
    assert_null(strstr(out.at, "s3cret"));
    assert_non_null(strstr(out.at, "block_list bl.example.net {\n    for client  # default\n"
                                   "    weight 1.000  # default\n"));
    assert_non_null(strstr(out.at, "    codes 127.0.0.2-127.0.0.9 127.0.0.11\n    # key: not shown\n"
                                   "    probe standard  # default\n"));
    assert_non_null(strstr(out.at, "    weight -0.500\n"));
    assert_non_null(strstr(out.at, "    # key: none  # default\n    probe a.test b.test\n"));
    assert_non_null(strstr(out.at, "table partners cidr {\n    file none  # default\n"
                                   "    # entries: none  # default\n}\n"));
    assert_non_null(strstr(out.at, "domain example.com {\n    delimiter +\n}\n"));
    buf_deinit(&out);
    unload(&l);
}

static void test_full(void **state) {
    struct loaded l = load_good(MINIMAL);
    struct buf out;
    dump(l.conf, &out);
    uint32_t len = out.len;
    buf_deinit(&out);
    for (uint32_t short_by = 0; short_by <= len; short_by += short_by == 0 ? 1 : 37) {
        buf_init(&out, len - short_by);
        assert_int_equal(conf_dump(l.conf, &out), short_by == 0 ? 0 : -ENOBUFS);
        buf_deinit(&out);
    }
    unload(&l);
}

int main(void) {
    hash_init();
    const struct CMUnitTest tests[] = {
        { "random configurations survive a dump and a load", test_random, NULL, NULL, NULL },
        { "the smallest configurations survive a dump and a load", test_minimal, NULL, NULL, NULL },
        { "the dump names every option and marks what is default", test_every_option, NULL, NULL, NULL },
        { "a dump that does not fit its buffer says so", test_full, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
