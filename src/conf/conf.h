/*
 * conf: postern.conf as the program sees it.
 *
 * Loaded whole by the master (and by `postern check`), immutable from then on; workers inherit it by fork. All
 * memory belongs to conf->arena, or like tables and the policy to struct conf itself. Sizes are bytes, times ms. Every
 * field of struct conf_settings, conf_listener, conf_group, conf_table and conf_domain_settings is one row of the
 * option table in options.c, which gives parser, bounds, default and dump.
 */
#pragma once

#include "base/addr.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/log.h"
#include "conf/block_list.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "policy/policy.h"
#include "table/tables.h"

#include <sys/stat.h>
#include <sys/types.h>

enum { CONF_FILE_MAX = 16 * 1024 * 1024 }; /* of each file that people write: postern.conf, policy, lists of domains */

struct conf_cidrs {
    struct cidr *at;
    size_t n;
};

enum conf_door { CONF_DOOR_SMTP, CONF_DOOR_POLICY };

/* listen ADDRESS:PORT { … }; policy_listen ADDRESS:PORT, which has no options; policy_listen unix:PATH { … } */
struct conf_listener {
    struct endpoint at; /* nowhere when there is a path */
    const char *path;   /* of a Unix socket; NULL: none */
    enum conf_door door;
    uint64_t mode;      /* of the file `path`, and … */
    const char *group;  /* … whose, or NULL: as it comes */
    gid_t gid;          /* the group's number, or (gid_t)-1 */
    struct conf_cidrs proxy_from;   /* who must begin with a PROXY header; empty: nobody, and no header is read */
    struct conf_cidrs xclient_from; /* to whom XCLIENT is offered, once in a connection */
    struct conf_cidrs xclient_multiplex; /* to whom it is offered again and again */
};

/* "192.0.2.1:25" or "unix:/run/x" */
enum { CONF_LISTENER_TEXT_MAX = 120 };
char *conf_listener_format(const struct conf_listener *listener, char out[CONF_LISTENER_TEXT_MAX]);

/* `path` NULL: an address and port. */
bool conf_listener_is_at(const struct conf_listener *listener, const struct endpoint *at, const char *path);

/* Mailbox servers of all groups together; session/worker.h keeps as many counters (WORKER_SERVERS_MAX). */
enum { CONF_SERVERS_MAX = 64 };

enum conf_tls_mode { CONF_TLS_NONE, CONF_TLS_MAY, CONF_TLS_REQUIRE, CONF_TLS_VERIFY };
enum conf_forward { CONF_FORWARD_OFF, CONF_FORWARD_XFORWARD, CONF_FORWARD_XCLIENT };

struct conf_server { /* server ADDRESS:PORT [name NAME]; the port is 25 when left out */
    struct endpoint at;
    const char *name; /* what its certificate must say, and SNI; the address as text when not given */
};

struct conf_group { /* servers NAME { … } */
    const char *name;
    struct conf_server *servers; /* in fail-over order, at least one */
    size_t n_servers;
    enum conf_tls_mode tls;
    const char *ca_file; /* NULL: the system's store */
    enum conf_forward forward_client;
    unsigned index;      /* position in conf->groups */
};

enum conf_directory { CONF_DIRECTORY_OWN, CONF_DIRECTORY_NONE, CONF_DIRECTORY_OF };

struct conf_domain_settings { /* the options of a domain block; `domain_defaults { … }` holds the same */
    const struct conf_group *servers;
    enum conf_directory directory;
    const char *directory_of; /* `directory of DOMAIN`: local parts are looked up in that domain's list (alias domains);
                                 lower case, and always a domain whose directory is CONF_DIRECTORY_OWN */
    const char *delimiter;    /* any of these bytes begins a sub-address; "" none */
    const char *catch_all;    /* every local part is known: NULL no; else "" (passed as it is) or an address that the
                                 envelope is rewritten to */
    const char *postmaster;   /* where postmaster@ and abuse@ go; NULL: passed as they are */
    bool local_routes;        /* take local parts that a server may read as a route (smtp/local_route.h) */
    bool enforce;             /* see conf_is_enforced() */
};

struct conf_domain {
    const char *name; /* ASCII letters in lower case; A-labels or UTF-8, as written */
    struct conf_domain_settings set;
    unsigned index;   /* position in conf->domains */
};

/* Tables that rules ask about. */
enum { CONF_TABLES_MAX = 256, CONF_TABLE_NAME_MAX = 64 };

struct conf_words {
    const char **at;
    size_t n;
};

struct conf_table { /* table NAME cidr|names|addresses|patterns { … } */
    const char *name;
    const char *file;          /* NULL: not from a file */
    struct conf_words entries; /* as written in the block */
    enum table_type type;
    struct table *table;       /* owned; NULL only while loading, and after conf_load_settings() */
    struct stat looked;        /* of the file before it was read */
};

/* A policy with what its tests are about: by number of slot, NULL where the slot tests nothing. */
struct conf_policy {
    struct policy *policy;      /* owned; only what is built in, when no file is named */
    const struct table **tables;
    struct pattern **patterns;  /* owned */
    uint64_t *lists;            /* sets of conf->block_lists: which have a say in this slot */
};

enum conf_dns_use { CONF_DNS_HOST, CONF_DNS_FORWARD, CONF_DNS_RECURSE, CONF_DNS_OFF };

struct conf_endpoints {
    struct endpoint *at;
    size_t n;
};

struct conf_stubs {
    struct resolver_stub *at;
    size_t n;
};

enum conf_failure { CONF_FAILURE_PASS, CONF_FAILURE_DEFER };

enum conf_store_sync { CONF_STORE_SECOND, CONF_STORE_ALWAYS };
enum conf_refuse { CONF_REFUSE_AT_RCPT, CONF_REFUSE_AT_CONNECT };

enum conf_bare_newline { CONF_BARE_NEWLINE_NORMALISE, CONF_BARE_NEWLINE_REFUSE };

/* Servers of one scanner; session/worker.h keeps as many counters. */
enum { CONF_SCANNER_SERVERS_MAX = 8 };

struct conf_scanner_server { /* server unix:PATH | ADDRESS[:PORT] */
    struct endpoint at; /* nowhere when there is a path */
    const char *path;   /* of a Unix socket; NULL: none */
    const char *text;   /* "unix:/run/clamav/clamd.ctl", "192.0.2.1:783" */
};

struct conf_scanner { /* clamav { … }, spamassassin { … } */
    struct conf_scanner_server *servers; /* in fail-over order; none: not configured */
    size_t n_servers;
    uint64_t timeout;     /* for one server's answer about one message */
    uint64_t size_max;    /* larger messages are skipped */
    uint64_t connections; /* to one server, of all workers together */
    bool user_by_domain;  /* spamassassin: the recipients' domain is spamd's user */
};

struct conf_settings {
    const char *hostname;      /* default: the host's own name when it has a dot, else an error */
    const char *user;          /* workers run as; default "postern"; ignored when not started as root */
    uint64_t workers;          /* 0: one a core */
    uint64_t host_number;      /* 0-255, in every id */
    const char *spool_path;    /* where messages over memory_spool go (unlinked); default /var/spool/postern */
    const char *directory_path;/* default /var/lib/postern/recipients: DOMAIN.cdb */
    const char *control_socket;/* default /run/postern/control */
    bool smtputf8;             /* offered if the servers do; default yes */
    enum conf_bare_newline bare_newline;
    const char *subject_tag;   /* in front of the subject of what the policy tags as spam; "": none */
    const char *policy_path;   /* NULL: none */
    bool watchdog_core;        /* a process that stands still leaves a core file; no */
    bool enforce;              /* see conf_is_enforced() */
    enum conf_refuse refuse;   /* when what layer connection decides is answered */
    uint64_t greeting_delay;   /* 4 s, for clients that are not remembered; 0: none */
    uint64_t client_memory;    /* 36 d: how long a client that passed is remembered */

    struct conf_cidrs relay_clients;
    const struct conf_group *smart_host; /* NULL: none */

    struct {
        struct tls_certificate *certificates; /* certificate CHAIN KEY, repeatable; none: no STARTTLS */
        size_t n_certificates;
        enum tls_version min_version;
    } tls;

    struct { /* block `limits` */
        uint64_t message_size;       /* 50 MiB */
        uint64_t header_size;        /* 1 MiB in front of the first empty line */
        uint64_t header_fields;      /* 10000 */
        uint64_t recipients;         /* 1000 a transaction */
        uint64_t transactions;       /* 100 a session */
        uint64_t errors;             /* 20 a session: then 421 4.7.0 */
        uint64_t junk_commands;      /* 100 a session: NOOP, HELP, VRFY, RSET, EHLO without a mail */
        uint64_t command_line;       /* 2048 bytes with CRLF, 512-65536 */
        uint64_t connections;        /* 10000 in all */
        uint64_t connections_client; /* 50 a client (IPv4 address or IPv6 /64) */
        uint64_t connections_network; /* 10 percent of all for one network (IPv4 /24 or IPv6 /48) */
        uint64_t server_connections; /* 20 a mailbox server */
        uint64_t memory_spool;       /* 256 KiB */
        uint64_t spool_total;        /* 4 GiB, of all messages that are on their way, memory included */
        uint64_t spool_client;       /* 256 MiB of it for one client */
        uint64_t data_rate;          /* 500 bytes a second */
        uint64_t repeated_refusals;  /* 10 a minute of one kind and client are written, more counted; 0: all written */
        uint64_t network_lines;      /* 300 lines about one network that are written at once in a minute */
        uint64_t directory_shrink_percent;   /* 10 */
        uint64_t directory_shrink_addresses; /* 10 */
    } limits;

    struct { /* block `timeouts` */
        uint64_t proxy_header;      /* 5 s */
        uint64_t command;           /* 300 s */
        uint64_t command_stressed;  /* 30 s */
        uint64_t data;              /* 180 s for each block of data (RFC 5321 4.5.3.2.5) */
        uint64_t data_stressed;     /* 30 s */
        uint64_t data_time;         /* 2 h for all of a message */
        uint64_t tls_handshake;     /* 30 s */
        uint64_t relay_hold;        /* 3 s */
        uint64_t final_reply_limit; /* 240 s */
        uint64_t server_connect;    /* 10 s */
        uint64_t server_greeting;   /* 30 s */
        uint64_t server_command;    /* 60 s */
        uint64_t server_idle;       /* 60 s a kept connection */
        uint64_t server_wait;       /* 5 s for a free connection at RCPT, then 451 4.3.2 */
        uint64_t drain_limit;       /* 10 min */
        uint64_t watchdog;          /* 10 s; 0: off */
        uint64_t refusal_memory;    /* 5 min: how long a mailbox server's "no such user" is remembered; 0: not */
        uint64_t directory_age;     /* 0: no limit; older directories answer 450 to unknown recipients */
    } timeouts;

    struct { /* block `log` */
        enum log_target target;
        enum log_format format;
        enum log_level level;
    } log;

    struct { /* block `journal` */
        const char *path; /* folder; NULL: no journal */
        uint64_t rotate_size; /* 256 MiB */
        uint64_t keep_days;   /* 30 */
    } journal;

    struct { /* block `dns` */
        enum conf_dns_use use;
        struct conf_endpoints forward_to; /* with CONF_DNS_FORWARD: at least one */
        struct conf_stubs stubs;
        uint64_t timeout;   /* 4 s, for all that one decision asks */
        uint64_t in_flight; /* 4096 questions */
    } dns;

    struct { /* block `greylist` */
        uint64_t delay;           /* 5 min from the first attempt until a retry passes */
        uint64_t unpassed_life;   /* 2 days from the first attempt */
        uint64_t passed_life;     /* 36 days from the last use */
        uint64_t whitelist_after; /* 5 passed triplets; 0: never */
        uint64_t whitelist_life;  /* 36 days from the last use */
        uint64_t new_per_network; /* 1000 new triplets within unpassed_life; 0: not bounded */
    } greylist;

    struct { /* block `store` */
        const char *path; /* of the local store's file, in a folder of its own; NULL: no store, and no greylisting */
        enum conf_store_sync sync;
        const char *postgresql; /* libpq's options for a store that hosts share; "": none. It holds no password */
        const char *module;     /* what speaks to it */
        uint64_t timeout;       /* 1 s for an answer; half of it for the shared store's */
    } store;

    struct conf_scanner clamav, spamassassin;

    struct { /* block `attachments` */
        bool defaults;           /* yes: the built-in list counts */
        struct conf_words ban;   /* extensions, without the dot, and types, besides */
        struct conf_words allow; /* and those that are none */
        bool inside;             /* yes: names in ZIP archives count, too */
        bool encrypted;          /* files in archives with a password are banned; no */
    } attachments;

    struct { /* block `quarantine` */
        const char *path;   /* of its folder; NULL: there is none, and what would have to be kept is deferred */
        uint64_t keep;      /* 30 days; 0: for ever */
        uint64_t size_max;  /* 10 GiB, of all of it */
        const char *sender; /* of digests; NULL: postmaster@ of the domain they are for */
    } quarantine;

    struct { /* block `on_failure`: what an unavailable fact leads to, by where it comes from */
        enum conf_failure dns, greylist, virus, spam;
        enum conf_failure virus_skip, spam_skip; /* this message alone could not be scanned */
    } on_failure;
};

struct domain_index;

struct conf {
    struct arena arena;
    const char *path;
    struct conf_settings set;
    struct conf_listener *listeners;
    size_t n_listeners;
    struct conf_group *groups;
    size_t n_groups;
    struct conf_domain *domains; /* in the order of the file; the first serves <postmaster> */
    size_t n_domains;
    struct conf_domain_settings domain_defaults; /* `servers` is NULL when each domain must name its own */
    struct domain_index *domain_index;           /* domains.h */
    struct conf_table *tables;                   /* in the order of the file */
    size_t n_tables;
    struct conf_block_list *block_lists;         /* in the order of the file, at most CONF_BLOCK_LISTS_MAX */
    size_t n_block_lists;
    struct table *relay_clients;                 /* set.relay_clients, as rules ask about them */
    const struct conf_table *our_names, *our_addresses; /* what helo.ours takes for us too; of `tables`, or NULL */
    struct conf_policy policy;
};

/*
 * Reads and checks a file and all it names (domain lists, tables, the policy, whose tests are run; certificates and
 * keys must be there). hash_init() was called. Errors go to `diag`, as many as DIAG_MAX. Returns 0 with *ret_conf set
 * (warnings may stand in `diag`), or -EINVAL (see diag), -ENOMEM.
 */
int conf_load(const char *path, struct diag_list *diag, struct conf **ret_conf);

/*
 * The same, but the tables of `previous` whose files have not changed since are shared with it instead of being read
 * again.
 */
int conf_load_again(const char *path, const struct conf *previous, struct diag_list *diag, struct conf **ret_conf);

/* The same for a text that was read elsewhere; relative paths begin at the folder of `path`. For tests and fuzzers. */
int conf_load_text(const char *path, struct str text, struct diag_list *diag, struct conf **ret_conf);

/*
 * The same without the contents of tables and without the policy: for commands that need a path or a domain from the
 * configuration, and must work while a policy is being written.
 */
int conf_load_settings(const char *path, struct diag_list *diag, struct conf **ret_conf);

/* Accepts NULL. */
void conf_free(struct conf *conf);

/* The domain by name (any case, no final dot), or NULL: not ours. < 100 ns. */
const struct conf_domain *conf_domain_find(const struct conf *conf, struct str name);

/*
 * The table tables[number] is another one from now on, for the policy too; the old one is freed. Only while nobody else
 * looks at it, and only for one that is as empty as the old one was, since that is compiled into the policy.
 */
void conf_table_swap(struct conf *conf, size_t number, struct table *take_table);

/* Whether a table's file is the one that it was, untouched. */
bool conf_table_is_same_file(const struct stat *a, const struct stat *b);

/* False: rules of this domain's recipients are counted and journalled, and change nothing (design.md section 4). */
static inline bool conf_is_enforced(const struct conf *conf, const struct conf_domain *domain_or_null) {
    return conf->set.enforce && (domain_or_null == NULL || domain_or_null->set.enforce);
}

/*
 * Writes every option with its value, in the syntax of the file, defaults marked `# default`. What it writes loads
 * to the same configuration. Domains show only what differs from domain_defaults, which stand whole in front.
 * Returns 0 or a negative result of buf_put().
 */
int conf_dump(const struct conf *conf, struct buf *out);
