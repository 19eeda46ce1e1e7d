/*
 * Tests of conf/load: what configurations mean, and how wrong ones are told.
 */
#include "base/file.h"

#include "loaded.h"

#include <unistd.h>

static const struct conf_domain *find(const struct loaded *l, const char *name) {
    return conf_domain_find(l->conf, str_of(name));
}

static void test_defaults(void **state) {
    struct loaded l = load_good(MINIMAL "domain example.com\n");
    const struct conf_settings *set = &l.conf->set;
    assert_string_equal(l.said, "");
    assert_string_equal(set->hostname, "mx.example.com");
    assert_string_equal(set->user, "postern");
    assert_string_equal(set->control_socket, "/run/postern/control");
    assert_int_equal(set->workers, 0);
    assert_true(set->smtputf8);
    assert_int_equal(set->bare_newline, CONF_BARE_NEWLINE_NORMALISE);
    assert_int_equal(set->refuse, CONF_REFUSE_AT_RCPT);
    assert_int_equal(set->greeting_delay, 4000);
    assert_int_equal(set->client_memory, 36ULL * 86400000);
    assert_int_equal(set->limits.message_size, 50 * 1024 * 1024);
    assert_int_equal(set->limits.recipients, 1000);
    assert_int_equal(set->limits.command_line, 2048);
    assert_int_equal(set->limits.connections, 10000);
    assert_int_equal(set->limits.connections_client, 50);
    assert_int_equal(set->limits.connections_network, 10);
    assert_int_equal(set->limits.server_connections, 20);
    assert_int_equal(set->limits.memory_spool, 256 * 1024);
    assert_int_equal(set->timeouts.command, 300000);
    assert_int_equal(set->timeouts.command_stressed, 30000);
    assert_int_equal(set->timeouts.relay_hold, 3000);
    assert_int_equal(set->timeouts.final_reply_limit, 240000);
    assert_int_equal(set->timeouts.drain_limit, 600000);
    assert_int_equal(set->log.target, LOG_TARGET_STDERR);
    assert_int_equal(set->log.level, LOG_LEVEL_INFO);
    assert_null(set->journal.path);
    assert_null(set->smart_host);
    assert_int_equal(l.conf->groups[0].servers[0].at.port, 25);
    assert_string_equal(l.conf->groups[0].servers[0].name, "127.0.0.1");
    assert_int_equal(l.conf->groups[0].tls, CONF_TLS_MAY);
    const struct conf_domain *domain = find(&l, "Example.COM");
    assert_non_null(domain);
    assert_ptr_equal(domain->set.servers, &l.conf->groups[0]);
    assert_string_equal(domain->set.delimiter, "");
    assert_null(domain->set.catch_all);
    unload(&l);
}

static void test_refuse(void **state) {
    static const struct {
        const char *text;
        enum conf_refuse refuse;
    } rows[] = {
        { "refuse at rcpt\n", CONF_REFUSE_AT_RCPT },
        { "refuse at connect\n", CONF_REFUSE_AT_CONNECT },
        { "refuse  at\tconnect # who is banned\n", CONF_REFUSE_AT_CONNECT },
        { "refuse \"at connect\"\n", CONF_REFUSE_AT_CONNECT },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[256];
        snprintf(text, sizeof(text), MINIMAL "%s", rows[i].text);
        struct loaded l = load_good(text);
        assert_int_equal(l.conf->set.refuse, rows[i].refuse);
        unload(&l);
    }
    assert_refused(MINIMAL "refuse at once\n", ":6:11: error: expected at rcpt or at connect, got 'once'");
    assert_refused(MINIMAL "refuse connect\n", "expected at rcpt or at connect, got 'connect'");
    assert_refused(MINIMAL "refuse at\n", ":6:8: error: expected at rcpt or at connect, got 'at'");
    assert_refused(MINIMAL "refuse At Connect\n", "expected at rcpt or at connect, got 'Connect'");
    assert_refused(MINIMAL "refuse at connect always\n", "expected at rcpt or at connect, got 'always'");
    assert_refused(MINIMAL "refuse \"at connect\" always\n", "expected at rcpt or at connect, got 'always'");
    assert_refused(MINIMAL "refuse \"\"\n", "expected at rcpt or at connect, got ''");
    assert_refused(MINIMAL "refuse\n", "'refuse' needs a value; expected at rcpt or at connect");
    assert_refused(MINIMAL "refuse at rcpt\nrefuse at connect\n", ":7:1: error: 'refuse' stands here twice");
    assert_refused(MINIMAL "refuse {\n}\n", "'refuse' opens no block here");
    assert_refused(MINIMAL "limits {\n refuse at rcpt\n}\n", "'refuse'");
}

static void test_everything(void **state) {
    struct loaded l = load_good(
        "domain first.example\n"
        "hostname mx.example.com\n"
        "listen 0.0.0.0:25\n"
        "listen [2001:db8::1]:2525 {\n"
        "    proxy_from 10.0.0.0/24 10.1.0.0/24\n"
        "    proxy_from 2001:db8::/32\n"
        "    xclient_from 10.0.0.7\n"
        "}\n"
        "domain_defaults {\n    servers mailbox\n    delimiter +-\n    postmaster hostmaster@example.com\n}\n"
        "servers mailbox {\n"
        "    server 10.0.0.10:2525 name mail.example.com\n"
        "    server 2001:db8::5\n"
        "    tls require\n"
        "    forward_client xforward\n"
        "}\n"
        "servers other { server [::1]:26 }\n"
        "domain alias.example { directory of FIRST.example }\n"
        "domain open.example {\n    directory none\n    servers other\n    delimiter none\n    catch_all yes\n"
        "    postmaster unchanged\n}\n"
        "domain caught.example { catch_all \"all@example.com\" }\n"
        "relay_clients 192.0.2.0/24\nrelay_clients 192.0.2.9\nsmart_host other\n"
        "smtputf8 no\nbare_newline refuse\nspool_path spool\n"
        "limits {\n    message_size 1G\n    recipients 100\n}\n"
        "timeouts { relay_hold 0\n server_wait 500ms\n directory_age 2d }\n"
        "tls { min_version 1.3 }\n"
        "log { target syslog\n format json\n level debug }\n"
        "journal { path /var/log/postern }\n");
    const struct conf *conf = l.conf;
    assert_int_equal(conf->n_listeners, 2);
    assert_int_equal(conf->listeners[1].at.port, 2525);
    assert_int_equal(conf->listeners[1].proxy_from.n, 3);
    assert_int_equal(conf->listeners[1].proxy_from.at[2].bits, 32);
    assert_int_equal(conf->listeners[1].xclient_from.at[0].bits, 32);
    assert_int_equal(conf->n_groups, 2);
    assert_string_equal(conf->groups[0].servers[0].name, "mail.example.com");
    assert_string_equal(conf->groups[0].servers[1].name, "2001:db8::5");
    assert_int_equal(conf->groups[0].tls, CONF_TLS_REQUIRE);
    assert_int_equal(conf->groups[0].forward_client, CONF_FORWARD_XFORWARD);
    assert_int_equal(conf->groups[1].index, 1);
    assert_int_equal(conf->n_domains, 4);
    assert_string_equal(conf->domains[0].name, "first.example");
    assert_string_equal(conf->domains[0].set.delimiter, "+-");
    assert_ptr_equal(conf->domains[0].set.servers, &conf->groups[0]);
    const struct conf_domain *alias = find(&l, "alias.example"), *opened = find(&l, "open.example");
    assert_int_equal(alias->set.directory, CONF_DIRECTORY_OF);
    assert_string_equal(alias->set.directory_of, "first.example");
    assert_string_equal(alias->set.postmaster, "hostmaster@example.com");
    assert_int_equal(opened->set.directory, CONF_DIRECTORY_NONE);
    assert_ptr_equal(opened->set.servers, &conf->groups[1]);
    assert_string_equal(opened->set.delimiter, "");
    assert_string_equal(opened->set.catch_all, "");
    assert_null(opened->set.postmaster);
    assert_string_equal(find(&l, "caught.example")->set.catch_all, "all@example.com");
    assert_int_equal(conf->set.relay_clients.n, 2);
    assert_ptr_equal(conf->set.smart_host, &conf->groups[1]);
    assert_false(conf->set.smtputf8);
    assert_string_equal(conf->set.spool_path, "/nowhere/spool");
    assert_int_equal(conf->set.limits.message_size, 1 << 30);
    assert_int_equal(conf->set.timeouts.relay_hold, 0);
    assert_int_equal(conf->set.timeouts.server_wait, 500);
    assert_int_equal(conf->set.timeouts.directory_age, 2 * 86400000);
    assert_int_equal(conf->set.tls.min_version, TLS_1_3);
    assert_int_equal(conf->set.log.format, LOG_FORMAT_JSON);
    assert_string_equal(conf->set.journal.path, "/var/log/postern");
    unload(&l);
}

static void test_names(void **state) {
    assert_refused(MINIMAL "hostnam x\n",
                   "/nowhere/postern.conf:6:1: error: unknown option 'hostnam'; did you mean 'hostname'?");
    assert_refused(MINIMAL "frobnicate x\n", "unknown option 'frobnicate'");
    assert_refused(MINIMAL "ca_file x\n", ":6:1: error: 'ca_file' belongs in a servers block");
    assert_refused(MINIMAL "tls may\n", ":6:1: error: 'tls' with a value belongs in a servers block");
    assert_refused(MINIMAL "listen 127.0.0.1:26 {\n tls may\n}\n",
                   ":7:2: error: 'tls' belongs outside of any block or in a servers block");
    assert_refused(MINIMAL "limits {\n command 3s\n}\n", "'command' belongs in the timeouts block");
    assert_refused(MINIMAL "hostname b.example\n",
                   ":6:1: error: 'hostname' stands here twice; the first one is in line 1");
    assert_refused(MINIMAL "limits {\n}\nlimits {\n}\n",
                   ":8:1: error: 'limits' stands here twice; the first one is in line 6");
    assert_refused(MINIMAL "limits {\n errors 1\n errors 1\n}\n",
                   ":8:2: error: 'errors' stands here twice; the first one is in line 7");
    assert_refused(MINIMAL "hostname {\n}\n", "'hostname' stands here twice");
    assert_refused(MINIMAL "workers {\n}\n", "'workers' opens no block here");
    assert_refused(MINIMAL "limits 5\n", "expected 'limits {'");
    assert_refused(MINIMAL "log x {\n}\n", "expected 'log {'");
}

static void test_values(void **state) {
    assert_refused(MINIMAL "workers\n", "'workers' needs a value; expected a number");
    assert_refused(MINIMAL "workers 1 2\n", ":6:11: error: expected the end of the line");
    assert_refused(MINIMAL "workers -1\n", "'-1' is not what 'workers' takes");
    assert_refused(MINIMAL "workers 4K\n", "'4K' is not what 'workers' takes");
    assert_refused(MINIMAL "limits { message_size 50MB }\n", "expected a size such as");
    assert_refused(MINIMAL "limits { message_size 99999999999999999999G }\n", "is out of bounds");
    assert_refused(MINIMAL "timeouts { command 300 }\n", "expected a time such as");
    assert_refused(MINIMAL "timeouts { command \"\" }\n", "expected a time such as");
    assert_refused(MINIMAL "smtputf8 maybe\n", "expected yes or no, got 'maybe'");
    assert_refused(MINIMAL "bare_newline keep\n", "expected normalise or refuse, got 'keep'");
    assert_refused(MINIMAL "servers b { server 10.0.0.1\n tls maybe }\n", "expected none, may, require or verify");
    assert_refused(MINIMAL "user \"\"\n", "'user' takes 1 to 32 bytes");
    assert_refused(MINIMAL "spool_path \"\"\n", "expected a path, got nothing");
    assert_refused(MINIMAL "attachments { ban docm .exe }\n",
                   "error: '.exe' is neither an extension, such as docm, nor a type, such as text/calendar");
    assert_refused(MINIMAL "attachments { allow text/ }\n", "'text/' is neither an extension");
    assert_refused(MINIMAL "attachments { ban }\n", "'ban' needs a value");
    assert_refused(MINIMAL "relay_clients 192.0.2.1/24\n", "'192.0.2.1/24' is not an address or prefix");
    assert_refused(MINIMAL "relay_clients\n", "'relay_clients' needs a value");
    assert_refused(MINIMAL "smart_host nobody\n", ":6:12: error: no group of servers is called 'nobody'");
    assert_refused(MINIMAL "tls { certificate a }\n", "expected 'certificate CHAIN KEY'");
    assert_refused(MINIMAL "tls { certificate a b }\n", "certificate /nowhere/a: No such file or directory");
    assert_refused(MINIMAL "servers b { server 10.0.0.1\n tls verify\n ca_file x }\ndomain_defaults { servers b }\n",
                   "ca_file /nowhere/x: No such file or directory");
}

/* Each bound is accepted, one past it is not, and the message names both bounds. */
static void test_bounds(void **state) {
    static const struct {
        const char *block, *good_min, *past_min, *good_max, *past_max, *says;
    } rows[] = {
        { "%s", "workers 0", NULL, "workers 20", "workers 65", "from 0 to 64" },
        { "%s", "host_number 0", NULL, "host_number 255", "host_number 256", "from 0 to 255" },
        { "limits { %s }", "command_line 512", "command_line 511", "command_line 64K", "command_line 65537",
          "from 512 to 64K" },
        { "limits { %s }", "message_size 1K", "message_size 1023", "message_size 2G", "message_size 2147483649",
          "from 1K to 2G" },
        { "limits { %s }", "recipients 1", "recipients 0", "recipients 50000", "recipients 50001", "from 1 to 50000" },
        { "timeouts { %s }", "relay_hold 0", NULL, "relay_hold 1m", "relay_hold 60001ms", "from 0 to 1m" },
        { "timeouts { %s }", "final_reply_limit 1s", "final_reply_limit 999ms", "final_reply_limit 10m",
          "final_reply_limit 11m", "from 1s to 10m" },
        { "timeouts { %s }", "directory_age 0", NULL, "directory_age 3650d", "directory_age 3651d", "from 0 to 3650d" },
        { "greylist { %s }", "delay 0", NULL, "delay 1d", "delay 86401s", "from 0 to 1d" },
        { "greylist { %s }", "whitelist_after 0", NULL, "whitelist_after 1000000", "whitelist_after 1000001",
          "from 0 to 1000000" },
        { "store { %s }", "timeout 10ms", "timeout 9ms", "timeout 30s", "timeout 30001ms", "from 10ms to 30s" },
        { "journal { %s }", "keep_days 1", "keep_days 0", "keep_days 36500", "keep_days 36501", "from 1 to 36500" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *values[] = { rows[i].good_min, rows[i].good_max, rows[i].past_min, rows[i].past_max };
        for (size_t v = 0; v < 4; v++) {
            if (values[v] == NULL)
                continue;
            char text[512] = MINIMAL;
            char *end = strchr(text, '\0');
            char *percent = strdup(rows[i].block);
            assert_non_null(percent);
            *strchr(percent, '%') = '\0';
            const char *closing = strchr(rows[i].block, '}');
            snprintf(end, sizeof(text) - (size_t)(end - text), "%s%s %s\n", percent, values[v], closing ? closing : "");
            free(percent);
            if (v < 2) {
                struct loaded l = load_good(text);
                unload(&l);
            } else {
                assert_refused(text, rows[i].says);
            }
        }
    }
}

static void test_hostname(void **state) {
    static const char *const bad[] = { "mx", "192.0.2.1", "mx..example.com", "-.", "\"mx example.com\"",
                                      "b\xC3\xBC.example" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "hostname %s\nlisten 127.0.0.1:25\n", bad[i]);
        assert_refused(text, ":1:10: error: ");
    }
}

static void test_listeners(void **state) {
    assert_refused("hostname mx.example.com\n", "no listener");
    assert_refused("hostname mx.example.com\nlisten 127.0.0.1\n", ":2:8: error: the port is missing");
    assert_refused("hostname mx.example.com\nlisten ::1\n", "the port is missing");
    assert_refused("hostname mx.example.com\nlisten 127.0.0.1:0\n", "is not an address and port");
    assert_refused("hostname mx.example.com\nlisten 127.0.0.1:65536\n", "is not an address and port");
    assert_refused("hostname mx.example.com\nlisten localhost:25\n", "is not an address and port");
    assert_refused(MINIMAL "listen 127.0.0.1:25\n", "a second listener on the same address and port");
    assert_refused(MINIMAL "listen\n", "expected 'listen ADDRESS:PORT'");
    assert_refused(MINIMAL "listen unix:/run/x\n", "is not an address and port");
}

static void test_policy_listeners(void **state) {
    struct loaded l = load_text(MINIMAL "policy_listen 127.0.0.1:10040\n"
                                "policy_listen unix:/run/a {\n    mode 0666\n    group root\n}\n"
                                "policy_listen unix:b\n");
    assert_int_equal(l.result, 0);
    const struct conf_listener *at = l.conf->listeners;
    assert_int_equal(l.conf->n_listeners, 4);
    assert_null(at[1].path);
    assert_string_equal(at[2].path, "/run/a");
    assert_int_equal(at[2].mode, 0666);
    assert_int_equal(at[2].gid, 0);
    assert_true(at[3].path[0] == '/'); /* beside the configuration */
    assert_int_equal(at[3].mode, 0660);
    assert_int_equal(at[3].gid, (gid_t)-1);
    unload(&l);
    assert_refused(MINIMAL "policy_listen\n", "or 'policy_listen unix:PATH'");
    assert_refused(MINIMAL "policy_listen unix:\n", "expected the path of a socket, got nothing");
    assert_refused(MINIMAL "policy_listen unix:/a\npolicy_listen unix:/a\n", "a second listener on the same path");
    assert_refused(MINIMAL "policy_listen unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456\n", "this path is longer than 107 bytes");
    assert_refused(MINIMAL "policy_listen 127.0.0.1:1 {\n mode 0660\n}\n", "on a Unix socket only");
    assert_refused(MINIMAL "policy_listen unix:/a {\n group nobody_has_this\n}\n",
                   "there is no group 'nobody_has_this'");
    static const char *const bad[] = { "660x", "0o66", "8", "0680", "01777", "66", "-660" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), MINIMAL "policy_listen unix:/a {\n mode %s\n}\n", bad[i]);
        assert_refused(text, "is not the mode of a file in octal");
    }
}

static void test_groups(void **state) {
    assert_refused(MINIMAL "servers b {\n}\n", ":6:1: error: this group has no server");
    assert_refused(MINIMAL "servers mailbox { server 10.0.0.1 }\n", "a second group called 'mailbox'");
    assert_refused(MINIMAL "servers none { server 10.0.0.1 }\n", "'none' cannot name a group");
    assert_refused(MINIMAL "servers b\n", "expected 'servers NAME {'");
    assert_refused(MINIMAL "servers b { server mail.example.com }\n", "'mail.example.com' is not an address");
    assert_refused(MINIMAL "servers b { server 10.0.0.1:0 }\n", "is not an address");
    assert_refused(MINIMAL "servers b { server 10.0.0.1 mail.example.com }\n",
                   "expected 'server ADDRESS[:PORT] [name NAME]'");
    assert_refused(MINIMAL "servers b { server 10.0.0.1\n server 10.0.0.1:25 }\n", "stands in the group already");
    assert_refused(MINIMAL "servers b { server 10.0.0.1 }\ndomain example.com\n",
                   "domain 'example.com' has no servers");
}

/* `n` servers besides the one of MINIMAL, at most 50 a group. */
static struct loaded load_servers(unsigned n) {
    struct buf text;
    buf_init(&text, 65536);
    buf_puts(&text, str_of(MINIMAL));
    for (unsigned i = 0; i < n; i++) {
        if (i % 50 == 0)
            buf_putf(&text, "%sservers g%u {\n", i > 0 ? "}\n" : "", i);
        buf_putf(&text, "server 10.0.0.%u\n", i + 1);
    }
    buf_puts(&text, STR("}\n"));
    struct loaded l = load_bytes(buf_str(&text));
    buf_deinit(&text);
    return l;
}

static void test_many_servers(void **state) {
    struct loaded l = load_servers(CONF_SERVERS_MAX - 1);
    assert_int_equal(l.result, 0);
    unload(&l);
    l = load_servers(CONF_SERVERS_MAX);
    assert_int_equal(l.result, -EINVAL);
    assert_non_null(strstr(l.said, "65 servers in all groups together; at most 64 are possible"));
    unload(&l);
}

static void test_domains(void **state) {
    assert_refused(MINIMAL "domain a.example\ndomain A.example\n",
                   ":7:8: error: domain 'a.example' stands twice; the first one is in /nowhere/postern.conf, line 6");
    assert_refused(MINIMAL "domain a.example.\n", "without the final dot");
    assert_refused(MINIMAL "domain 192.0.2.1\n", "got an address");
    assert_refused(MINIMAL "domain [192.0.2.1]\n", "got an address");
    assert_refused(MINIMAL "domain a..b\n", "this is not a domain name");
    assert_refused(MINIMAL "domain ../x\n", "this is not a domain name");
    assert_refused(MINIMAL "domain \"\"\n", "got nothing");
    assert_refused(MINIMAL "domain\n", "expected 'domain NAME'");
    assert_refused(MINIMAL "domain a.example { directory of b.example }\n",
                   ":6:33: error: 'b.example', whose directory domain 'a.example' uses, is no domain of ours");
    assert_refused(MINIMAL "domain a.example { directory of b.example }\ndomain b.example { directory none }\n",
                   "has no directory of its own");
    assert_refused(MINIMAL "domain_defaults { directory of a.example }\ndomain a.example\n",
                   ":6:32: error: 'a.example', whose directory");
    assert_refused(MINIMAL "domain a.example { directory none of }\n", "expected 'directory own'");
    assert_refused(MINIMAL "domain a.example { catch_all nobody }\n", "'nobody' is not an address");
    assert_refused(MINIMAL "domain a.example { postmaster a@b@c }\n", "'a@b@c' is not an address");
    assert_refused(MINIMAL "domain a.example { delimiter x }\n", "'x' cannot be a delimiter");
    assert_refused(MINIMAL "domain a.example { delimiter @ }\n", "'@' cannot be a delimiter");
    assert_refused(MINIMAL "domain a.example { delimiter +-+-+-+-+ }\n", "expected up to 8");
    struct loaded l = load_good(MINIMAL "domain B\xC3\x9C.Example\n"
                                "domain xn--b-xga.example\ndomain intern { delimiter +-+-+-+- }\n");
    assert_non_null(find(&l, "b\xC3\x9C.EXAMPLE"));
    assert_non_null(find(&l, "XN--b-xga.example"));
    assert_non_null(find(&l, "INTERN"));
    assert_null(find(&l, "b\xC3\xBC.example"));
    assert_null(find(&l, "ntern"));
    assert_null(find(&l, "interna"));
    assert_null(find(&l, ""));
    unload(&l);
}

static void test_domain_length(void **state) {
    char name[300], text[600];
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    snprintf(text, sizeof(text), MINIMAL "domain %.255s\n", name);
    struct loaded l = load_good(text);
    assert_non_null(conf_domain_find(l.conf, (struct str){ name, 255 }));
    assert_null(conf_domain_find(l.conf, (struct str){ name, 254 }));
    assert_null(conf_domain_find(l.conf, (struct str){ name, 256 }));
    unload(&l);
    snprintf(text, sizeof(text), MINIMAL "domain %.256s\n", name);
    assert_refused(text, "at most 255 bytes");
}

static void test_many_domains(void **state) {
    enum { MANY = 100000 };
    struct buf text;
    char name[64];
    buf_init(&text, CONF_FILE_MAX);
    assert_int_equal(buf_puts(&text, str_of(MINIMAL)), 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(buf_putf(&text, "domain d%u.example\n", i), 0);
    struct loaded l = load_bytes(buf_str(&text));
    assert_int_equal(l.result, 0);
    assert_int_equal(l.conf->n_domains, MANY);
    for (unsigned i = 0; i < MANY; i += 7) {
        snprintf(name, sizeof(name), "D%u.EXAMPLE", i);
        assert_ptr_equal(find(&l, name), &l.conf->domains[i]);
    }
    snprintf(name, sizeof(name), "d%u.example", MANY);
    assert_null(find(&l, name));
    buf_deinit(&text);
    unload(&l);
}

static void test_limits(void **state) {
    assert_refused(MINIMAL "limits { connections 10\n connections_client 11 }\n",
                   "connections_client is larger than limits connections");
    assert_refused(MINIMAL "timeouts { command 10s\n command_stressed 11s }\n", "command_stressed is larger");
    assert_refused(MINIMAL "timeouts { data 10s\n data_stressed 11s }\n", "data_stressed is larger");
    assert_refused(MINIMAL "workers 3\nlimits { server_connections 2 }\n", "server_connections is less than workers");
    assert_refused(MINIMAL "workers 3\nlimits { connections 2\n connections_client 1 }\n",
                   "connections is less than workers");
    struct loaded l = load_good(MINIMAL "workers 2\nlimits { server_connections 2\n connections 50 }\n");
    unload(&l);
}

static void test_warnings(void **state) {
    struct loaded l = load_good(MINIMAL);
    assert_int_equal(l.diag.warnings, 1);
    assert_non_null(strstr(l.said, "warning: no domain"));
    unload(&l);
    l = load_good(MINIMAL "domain a.example\nsmart_host mailbox\n");
    assert_non_null(strstr(l.said, "smart_host is used for relay_clients only"));
    unload(&l);
    l = load_good(MINIMAL "domain a.example\nlimits { recipients 99\n message_size 65535 }\n");
    assert_int_equal(l.diag.warnings, 2);
    unload(&l);
}

static void test_many_errors(void **state) {
    struct loaded l = load_text("hostnam a\n\"b\nlisten 1\nworkers x\nworkers 65\nlog {\n level x\n}\ndomain a b\n");
    assert_int_equal(l.result, -EINVAL);
    assert_int_equal(l.diag.errors, 7);
    unload(&l);
    struct buf text;
    buf_init(&text, 4096);
    for (unsigned i = 0; i < DIAG_MAX + 5; i++)
        buf_puts(&text, STR("x 1\n"));
    l = load_bytes(buf_str(&text));
    assert_int_equal(l.diag.errors, DIAG_MAX + 5);
    assert_non_null(strstr(l.said, ":20:1: error"));
    assert_null(strstr(l.said, ":21:1: error"));
    buf_deinit(&text);
    unload(&l);
}

static void test_bytes(void **state) {
    struct loaded l = load_bytes(STR("hostname mx.example.com\nlisten \0\n"));
    assert_int_equal(l.result, -EINVAL);
    assert_non_null(strstr(l.said, ":2:8: error: NUL byte"));
    unload(&l);
    assert_refused("hostname \xFF\n", ":1:10: error: this byte is not UTF-8");
}

/* ---- files */

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
    strcpy(folder.path, "/tmp/postern-conf-XXXXXX");
    *state = &folder;
    return mkdtemp(folder.path) == NULL ? -1 : 0;
}

static int remove_folder(void **state) {
    static const char *const names[] = { "postern.conf", "domains", "more", "chain.pem", "key.pem", "banned" };
    struct folder *folder = *state;
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder->path, names[i]);
        unlink(path);
    }
    return rmdir(folder->path);
}

static struct loaded load_file(const struct folder *folder, const char *name) {
    struct loaded l = { 0 };
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    diag_init(&l.diag);
    l.result = conf_load(path, &l.diag, &l.conf);
    l.said = strndup(l.diag.text.len > 0 ? l.diag.text.at : "", l.diag.text.len);
    assert_non_null(l.said);
    return l;
}

static void load_again(const struct folder *folder, struct loaded *previous, struct loaded *ret_loaded) {
    *ret_loaded = (struct loaded){ 0 };
    char path[128];
    snprintf(path, sizeof(path), "%s/postern.conf", folder->path);
    diag_init(&ret_loaded->diag);
    assert_int_equal(conf_load_again(path, previous->conf, &ret_loaded->diag, &ret_loaded->conf), 0);
}

static bool bans(const struct loaded *l, size_t table, const char *address) {
    struct ip ip;
    assert_int_equal(ip_parse(str_of(address), &ip), 0);
    return table_has_ip(l->conf->tables[table].table, &ip);
}

static void test_tables_again(void **state) {
    const struct folder *folder = *state;
    const char *text = MINIMAL "domain a.example\ntable one cidr {\nfile banned\n}\ntable two names {\nfile more\n}\n";
    write_file(folder, "postern.conf", text);
    write_file(folder, "banned", "192.0.2.1\n");
    write_file(folder, "more", "a.example\n");
    struct loaded first = load_file(folder, "postern.conf"), second, third;
    assert_string_equal(first.said, "");
    load_again(folder, &first, &second);
    assert_ptr_equal(second.conf->tables[0].table, first.conf->tables[0].table);
    assert_ptr_equal(second.conf->tables[1].table, first.conf->tables[1].table);
    unload(&first); /* what is shared stays */
    assert_true(bans(&second, 0, "192.0.2.1"));
    /* One has changed, the other is of another kind. */
    write_file(folder, "banned", "192.0.2.1\n192.0.2.2\n");
    text = MINIMAL "domain a.example\ntable one cidr {\nfile banned\n}\ntable two addresses {\nfile more\n}\n";
    write_file(folder, "postern.conf", text);
    load_again(folder, &second, &third);
    assert_true(bans(&third, 0, "192.0.2.2"));
    assert_false(bans(&second, 0, "192.0.2.2"));
    assert_int_equal(table_type(third.conf->tables[1].table), TABLE_TYPE_ADDRESSES);
    unload(&second);
    unload(&third);
}

static void test_domain_files(void **state) {
    const struct folder *folder = *state;
    write_file(folder, "postern.conf", MINIMAL "domains from domains\ndomains from more\ndomain z.example\n"
               "domain_defaults { delimiter + }\n");
    write_file(folder, "domains", "# ours\na.example\n\n  B.example  # and this\r\n");
    write_file(folder, "more", "c.example");
    struct loaded l = load_file(folder, "postern.conf");
    assert_string_equal(l.said, "");
    assert_int_equal(l.conf->n_domains, 4);
    assert_string_equal(l.conf->domains[1].name, "b.example");
    assert_string_equal(find(&l, "c.example")->set.delimiter, "+");
    unload(&l);
    write_file(folder, "more", "c.example\nnot a name\n bad..name\nA.EXAMPLE\n");
    l = load_file(folder, "postern.conf");
    assert_int_equal(l.diag.errors, 3);
    assert_non_null(strstr(l.said, "/more:2:5: error: expected one domain a line"));
    assert_non_null(strstr(l.said, "/more:3:2: error: this is not a domain name"));
    assert_non_null(strstr(l.said, "/more:4:1: error: domain 'a.example' stands twice; the first one is in "));
    assert_non_null(strstr(l.said, "/domains, line 2"));
    unload(&l);
}

static void test_files_that_cannot_be_read(void **state) {
    const struct folder *folder = *state;
    struct loaded l = load_file(folder, "missing");
    assert_int_equal(l.result, -EINVAL);
    assert_non_null(strstr(l.said, "cannot be read: No such file or directory"));
    unload(&l);
    l = load_file(folder, ".");
    assert_non_null(strstr(l.said, "cannot be read: Is a directory"));
    unload(&l);
    write_file(folder, "postern.conf", MINIMAL "domains from missing\ndomains from /dev/zero\ndomains\n");
    l = load_file(folder, "postern.conf");
    assert_int_equal(l.diag.errors, 3);
    assert_non_null(strstr(l.said, "/missing cannot be read: No such file"));
    unload(&l);
}

static void test_relative_paths(void **state) {
    const struct folder *folder = *state;
    char expected[128];
    write_file(folder, "chain.pem", "");
    write_file(folder, "key.pem", "");
    write_file(folder, "postern.conf", MINIMAL "directory_path ../recipients\ntls { certificate chain.pem key.pem }\n");
    struct loaded l = load_file(folder, "postern.conf");
    assert_int_equal(l.result, 0);
    snprintf(expected, sizeof(expected), "%s/../recipients", folder->path);
    assert_string_equal(l.conf->set.directory_path, expected);
    snprintf(expected, sizeof(expected), "%s/key.pem", folder->path);
    assert_string_equal(l.conf->set.tls.certificates[0].key_file, expected);
    unload(&l);
}

static void test_large_file(void **state) {
    const struct folder *folder = *state;
    char path[128];
    write_file(folder, "postern.conf", MINIMAL "#");
    snprintf(path, sizeof(path), "%s/postern.conf", folder->path);
    assert_int_equal(truncate(path, CONF_FILE_MAX + 1), 0);
    struct loaded l = load_file(folder, "postern.conf");
    assert_int_equal(l.result, -EINVAL);
    assert_non_null(strstr(l.said, "larger than 16 MiB"));
    unload(&l);
    assert_int_equal(truncate(path, CONF_FILE_MAX), 0); /* full of NUL, but read */
    l = load_file(folder, "postern.conf");
    assert_non_null(strstr(l.said, "NUL byte"));
    unload(&l);
}

/* Nothing but that rules ask what nobody here answers (a list, a store or a scanner that is not configured), and that
   a domain tries the policy out. */
static void assert_only_idle_rules(const struct diag_list *diag) {
    unsigned n = 0;
    struct str said = buf_str(&diag->text);
    static const char *const idle[] = { " is off in this configuration; ",
                                        "warning: no block list is configured for ",
                                        " is off in this configuration (no store); ", "warning: enforce no: " };
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++) {
        const char *end = said.at + said.len, *at = said.at;
        while (at != NULL && (at = memmem(at, (size_t)(end - at), idle[i], strlen(idle[i]))) != NULL) {
            n++;
            at++;
        }
    }
    assert_int_equal(diag->errors, 0);
    if (diag->warnings > DIAG_MAX || n != diag->warnings)
        fail_msg("unexpected warnings:\n%.*s", STR_ARG(said));
}

static void test_store(void **state) {
    struct loaded l = load_good(MINIMAL "domain a.example\n");
    assert_null(l.conf->set.store.path);
    assert_int_equal(l.conf->set.greylist.delay, 300000);
    assert_int_equal(l.conf->set.greylist.whitelist_after, 5);
    assert_int_equal(l.conf->set.store.timeout, 1000);
    assert_true(l.conf->policy.policy != NULL);
    unload(&l);
    l = load_good(MINIMAL "domain a.example\nstore {\n path here/greylist.db\n sync always\n"
                  " postgresql \"host=db passfile=/p password_file=x\"\n}\n");
    assert_string_equal(l.conf->set.store.path, "/nowhere/here/greylist.db");
    assert_int_equal(l.conf->set.store.sync, CONF_STORE_ALWAYS);
    unload(&l);
    assert_refused(MINIMAL "greylist {\n delay 1h\n unpassed_life 1h\n}\n", "no retry could ever pass");
    assert_refused(MINIMAL "store {\n postgresql host=db\n}\n", "store postgresql needs a path too");
}

static void test_passwords(void **state) {
    static const char *const bad[] = { "host=db password=secret", "host=db PASSWORD = 'secret'",
                                       "sslpassword=secret", "postgresql://user:secret@db/postern",
                                       "postgres://db/postern?password=secret", "postgresql://user:secret@db" };
    static const char *const good[] = { "postgresql://user@db:5432/postern", "postgresql://db:5432",
                                        "host=password dbname=x", "dbname=a:b@c" };
    char text[512];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), MINIMAL "domain a.example\nstore {\n path a/b\n postgresql \"%s\"\n}\n", bad[i]);
        struct loaded l = load_text(text);
        assert_int_equal(l.result, -EINVAL);
        assert_non_null(strstr(l.said, "holds a password"));
        assert_null(strstr(l.said, "secret"));
        unload(&l);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text), MINIMAL "domain a.example\nstore {\n path a/b\n postgresql \"%s\"\n}\n", good[i]);
        struct loaded l = load_good(text);
        unload(&l);
    }
}

/* The shipped files load, the commented one once its lines marked with an arrow are filled in. */
static void test_shipped(void **state) {
    struct loaded l = { 0 };
    diag_init(&l.diag);
    assert_int_equal(conf_load(ETC_PATH "/demo/postern.conf", &l.diag, &l.conf), 0);
    assert_only_idle_rules(&l.diag);
    conf_free(l.conf);
    diag_deinit(&l.diag);
    diag_init(&l.diag);
    struct arena arena = { 0 };
    struct str text;
    assert_int_equal(file_read(ETC_PATH "/postern.conf", CONF_FILE_MAX, &arena, &text), 0);
    const char *filled = arena_printf(&arena, "hostname mx.example.com\ndomain example.com\n%.*s", STR_ARG(text));
    assert_int_equal(conf_load_text(ETC_PATH "/postern.conf", str_of(filled), &l.diag, &l.conf), 0);
    assert_only_idle_rules(&l.diag);
    assert_non_null(l.conf->set.policy_path);
    conf_free(l.conf);
    diag_deinit(&l.diag);
    arena_reset(&arena);
}

#define TEST(name, function) { name, function, NULL, NULL, NULL }
#define FILE_TEST(name, function) { name, function, make_folder, remove_folder, NULL }

int main(void) {
    hash_init();
    const struct CMUnitTest tests[] = {
        TEST("what is not written has its default", test_defaults),
        TEST("every block and statement reaches its field, wherever in the file it stands", test_everything),
        TEST("an unknown, misplaced or repeated option is told with what was meant", test_names),
        TEST("refuse takes its two choices and nothing else", test_refuse),
        TEST("a value of the wrong kind is told with what was expected", test_values),
        TEST("a number is accepted at its bounds and refused one past them", test_bounds),
        TEST("a host name that is not fully qualified is refused", test_hostname),
        TEST("a listener needs an address and a port of its own", test_listeners),
        TEST("Postfix may ask on Unix sockets with a mode and a group", test_policy_listeners),
        TEST("a group of servers needs a name and a server", test_groups),
        TEST("64 servers are accepted and 65 are not", test_many_servers),
        TEST("domains are found in any case, and wrong ones are told where they stand", test_domains),
        TEST("a domain has 255 bytes at most", test_domain_length),
        TEST("a hundred thousand domains load, and each is found", test_many_domains),
        TEST("limits that contradict each other are refused", test_limits),
        TEST("greylist and store have their defaults, and what cannot work is refused", test_store),
        TEST("a password in conninfo is refused, and not shown", test_passwords),
        TEST("what loads but can hardly be meant is warned of", test_warnings),
        TEST("reading goes on behind an error, and twenty are told", test_many_errors),
        TEST("a file that is not text is refused before it is read", test_bytes),
        FILE_TEST("domains come from files, with errors at the line of that file", test_domain_files),
        FILE_TEST("tables whose files have not changed are shared with the last configuration", test_tables_again),
        FILE_TEST("a file that cannot be read is told", test_files_that_cannot_be_read),
        FILE_TEST("a relative path begins at the folder of the configuration", test_relative_paths),
        FILE_TEST("a file of 16 MiB is read and a larger one is not", test_large_file),
        TEST("the shipped configurations load", test_shipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
