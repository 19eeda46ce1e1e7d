/*
 * facts: what can a policy know, and from which layer on?
 *
 * One row a fact; parser, engine, gathering, explain and manual all read this table, so adding a fact is adding a row
 * (and a source that answers it). Rows of one subject stand together and are gathered together. A row with a parameter
 * that shares its name with one without (`dnsbl.hits`, `dnsbl.hits(group)`) stands behind it.
 *
 * Scope says when a fact is forgotten, first_layer when it can be known at the earliest. The two differ for the
 * greylist status, which belongs to a recipient but exists only once a rule of layer greylist could have asked for it,
 * and for what a client did lately, which is known from connecting on but goes on being counted.
 *
 * Rejected: facts that register themselves from their sources. It hides what exists from a reader and from the
 * parser, which must know all of them from the first day, whether their source is built in or not.
 */
#include "policy/facts.h"

const char *const layer_names[N_LAYERS] = { "connection", "recipient", "greylist", "policy", "content" };
const char *const scope_names[N_SCOPES] = { "connection", "hello", "transaction", "recipient", "message" };
const char *const cost_names[] = { "table", "store", "dns", "callout", "content" };
const char *const rate_names[] = { "connections", "messages", "recipients", "unknown", NULL };
const char *const source_names[N_SOURCES] = {
    "session", "early talker", "rate",  "dns",   "dnsbl", "spf",
    "verification", "directory", "greylist", "virus", "spam", "message",
};

static const char *const spf_names[] = { "pass", "fail",      "softfail",  "neutral",
                                         "none", "temperror", "permerror", NULL };
static const char *const greylist_names[] = { "new", "early", "retry", "autowhitelist", "cached", "whitelisted", NULL };

#define ROW(id, name_, subject_, type_, scope_, cost_, source_, first, missing_, help_) \
    [id] = { .name = name_, .subject = subject_, .type = type_, .scope = scope_, .cost = cost_, .source = source_, \
             .first_layer = first, .missing = missing_, .help = help_ }

#define CONNECTION(id, name, subject, type, cost, source, missing, help) \
    ROW(id, name, subject, type, SCOPE_CONNECTION, cost, source, LAYER_CONNECTION, missing, help)
#define HELLO(id, name, type, cost, source, missing, help) \
    ROW(id, name, "helo", type, SCOPE_HELLO, cost, source, LAYER_RECIPIENT, missing, help)
#define SENDER(id, name, type, cost, source, missing, help) \
    ROW(id, name, "sender", type, SCOPE_TRANSACTION, cost, source, LAYER_RECIPIENT, missing, help)
#define RCPT(id, name, type, cost, source, help) \
    ROW(id, name, "rcpt", type, SCOPE_RECIPIENT, cost, source, LAYER_RECIPIENT, NULL, help)
#define MESSAGE(id, name, subject, type, source, missing, help) \
    ROW(id, name, subject, type, SCOPE_MESSAGE, COST_CONTENT, source, LAYER_CONTENT, missing, help)

/* The five rows of a family of block lists. */
#define LISTS(id, name_, scope_, first, missing_, missing_listed, what) \
    [id##_HITS] = { .name = name_ ".hits", .subject = name_, .type = TYPE_COUNT, .scope = scope_, .cost = COST_DNS, \
                    .source = SOURCE_DNSBL, .first_layer = first, .missing = missing_, \
                    .help = "how many block lists hold " what ", each counted once" }, \
    [id##_HITS_GROUP] = { .name = name_ ".hits", .subject = name_, .type = TYPE_COUNT, .scope = scope_, \
                          .cost = COST_DNS, .source = SOURCE_DNSBL, .parameter = PARAMETER_GROUP, \
                          .first_layer = first, .missing = missing_, .help = "the same among the lists of one group" },\
    [id##_SCORE] = { .name = name_ ".score", .subject = name_, .type = TYPE_COUNT, .scope = scope_, .cost = COST_DNS, \
                     .source = SOURCE_DNSBL, .first_layer = first, .missing = missing_, \
                     .help = "sum of the weights of the lists that hold " what ", welcome lists negative" }, \
    [id##_LISTED] = { .name = name_ ".listed", .subject = name_, .type = TYPE_BOOL, .scope = scope_, .cost = COST_DNS, \
                      .source = SOURCE_DNSBL, .parameter = PARAMETER_ZONE, .first_layer = first, \
                      .missing = missing_listed, .help = "this one list holds " what }

const struct fact_row fact_rows[N_FACTS] = {
    CONNECTION(F_CLIENT, "client", "client", TYPE_ADDRESS, COST_TABLE, SOURCE_SESSION, NULL,
               "the client's address, for cidr tables"),
    CONNECTION(F_CLIENT_EARLY_TALKER, "client.early_talker", "client.early_talker", TYPE_BOOL, COST_TABLE,
               SOURCE_EARLY_TALKER, NULL, "it talked before the greeting"),
    [F_CLIENT_RATE] = { .name = "client.rate", .subject = "client.rate", .type = TYPE_NUMBER, .scope = SCOPE_RECIPIENT,
                        .cost = COST_TABLE, .source = SOURCE_RATE, .parameter = PARAMETER_RATE,
                        .first_layer = LAYER_CONNECTION,
                        .help = "connections, messages, recipients or unknown recipients of this client in a window" },
    ROW(F_CLIENT_CONNECTIONS, "client.connections", "client.connections", TYPE_NUMBER, SCOPE_RECIPIENT, COST_TABLE,
        SOURCE_RATE, LAYER_CONNECTION, NULL, "connections of this client that are open now, this one included"),
    CONNECTION(F_PTR_NONE, "ptr.none", "ptr", TYPE_BOOL, COST_DNS, SOURCE_DNS, NULL,
               "the address has no PTR record, for certain"),
    CONNECTION(F_PTR_UNCONFIRMED, "ptr.unconfirmed", "ptr", TYPE_BOOL, COST_DNS, SOURCE_DNS, "false",
               "it has names, but none leads back to the address"),
    CONNECTION(F_PTR_CONFIRMED, "ptr.confirmed", "ptr", TYPE_BOOL, COST_DNS, SOURCE_DNS, "false",
               "its name leads back to the address"),
    CONNECTION(F_PTR_ACCESS, "ptr.access", "ptr", TYPE_BOOL, COST_DNS, SOURCE_DNS, "false",
               "its name is that of an access line"),
    CONNECTION(F_PTR_STATIC, "ptr.static", "ptr", TYPE_BOOL, COST_DNS, SOURCE_DNS, "false",
               "its name is that of a fixed line or of hosting"),
    CONNECTION(F_PTR_NAME, "ptr.name", "ptr", TYPE_STRING, COST_DNS, SOURCE_DNS, "empty: in no table",
               "its name; of several the best one"),
    LISTS(F_DNSBL, "dnsbl", SCOPE_CONNECTION, LAYER_CONNECTION, NULL, NULL, "the client's address"),
    LISTS(F_PTR_DNSBL, "ptr.dnsbl", SCOPE_CONNECTION, LAYER_CONNECTION, "0", "false", "the PTR name"),
    ROW(F_CLIENT_TLS, "client.tls", "client.tls", TYPE_BOOL, SCOPE_HELLO, COST_TABLE, SOURCE_SESSION, LAYER_RECIPIENT,
        NULL, "the session is encrypted"),
    HELLO(F_HELO_NAME, "helo.name", TYPE_STRING, COST_TABLE, SOURCE_SESSION, "empty: in no table", "the HELO name"),
    HELLO(F_HELO_INVALID, "helo.invalid", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "false",
          "it is outside the grammar (underscores are allowed)"),
    HELLO(F_HELO_ADDRESS, "helo.address", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "false",
          "it is an address, bare or in brackets"),
    HELLO(F_HELO_UNQUALIFIED, "helo.unqualified", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "false", "it has no dot"),
    HELLO(F_HELO_ACCESS, "helo.access", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "false",
          "it is the name of an access line"),
    HELLO(F_HELO_STATIC, "helo.static", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "false",
          "it is the name of a fixed line or of hosting"),
    HELLO(F_HELO_OURS, "helo.ours", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "false",
          "it is our own host name or address"),
    HELLO(F_HELO_RESOLVES, "helo.resolves", TYPE_BOOL, COST_DNS, SOURCE_DNS, "false",
          "it has an address in DNS, or is one"),
    HELLO(F_HELO_MATCHES, "helo.matches", TYPE_BOOL, COST_DNS, SOURCE_DNS, "false",
          "it leads to the client, is its address, or shares the organisation of the confirmed PTR"),
    LISTS(F_HELO_DNSBL, "helo.dnsbl", SCOPE_HELLO, LAYER_RECIPIENT, "0", "false", "the HELO name"),
    SENDER(F_SENDER_ADDRESS, "sender.address", TYPE_STRING, COST_TABLE, SOURCE_SESSION, "empty: in no table",
           "the envelope sender"),
    SENDER(F_SENDER_DOMAIN, "sender.domain", TYPE_STRING, COST_TABLE, SOURCE_SESSION, "empty: in no table",
           "its domain"),
    SENDER(F_SENDER_NULL, "sender.null", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "true", "it is <>"),
    SENDER(F_SENDER_RESOLVES, "sender.resolves", TYPE_BOOL, COST_DNS, SOURCE_DNS, "true",
           "its domain has MX, A or AAAA; true for an address literal"),
    SENDER(F_SENDER_NULL_MX, "sender.null_mx", TYPE_BOOL, COST_DNS, SOURCE_DNS, "false",
           "its domain says that it takes no mail (RFC 7505)"),
    SENDER(F_SENDER_OURS, "sender.ours", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "false",
           "its domain is one of ours, and it comes from outside"),
    ROW(F_SENDER_VERIFIED, "sender.verified", "sender.verified", TYPE_BOOL, SCOPE_TRANSACTION, COST_CALLOUT,
        SOURCE_VERIFICATION, LAYER_RECIPIENT, "true", "its own mail server accepts mail for it"),
    LISTS(F_SENDER_DNSBL, "sender.dnsbl", SCOPE_TRANSACTION, LAYER_RECIPIENT, "0", "false", "the sender's domain"),
    [F_SPF] = { .name = "spf", .subject = "spf", .type = TYPE_ENUM, .scope = SCOPE_TRANSACTION, .cost = COST_DNS,
                .source = SOURCE_SPF, .first_layer = LAYER_RECIPIENT, .values = spf_names,
                .missing = "the result for the HELO name", .help = "the result of SPF (RFC 7208)" },
    RCPT(F_RCPT_ADDRESS, "rcpt.address", TYPE_STRING, COST_TABLE, SOURCE_SESSION, "the recipient"),
    RCPT(F_RCPT_DOMAIN, "rcpt.domain", TYPE_STRING, COST_TABLE, SOURCE_SESSION, "its domain"),
    RCPT(F_RCPT_LOCAL, "rcpt.local", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "its domain is one of ours"),
    RCPT(F_RCPT_KNOWN, "rcpt.known", TYPE_BOOL, COST_TABLE, SOURCE_DIRECTORY, "the directory holds it"),
    RCPT(F_RCPT_POSTMASTER, "rcpt.postmaster", TYPE_BOOL, COST_TABLE, SOURCE_SESSION, "it is postmaster@ or abuse@"),
    [F_RCPT_RELAY_ALLOWED] = { .name = "rcpt.relay_allowed", .subject = "rcpt", .type = TYPE_BOOL,
                               .scope = SCOPE_RECIPIENT, .is_internal = true, .first_layer = LAYER_RECIPIENT,
                               .help = "this client may send elsewhere through us" },
    [F_RCPT_ENFORCED] = { .name = "rcpt.enforced", .subject = "rcpt", .type = TYPE_BOOL, .scope = SCOPE_RECIPIENT,
                          .is_internal = true, .first_layer = LAYER_RECIPIENT,
                          .help = "`enforce no` does not hold for its domain" },
    [F_GREYLIST] = { .name = "greylist", .subject = "greylist", .type = TYPE_ENUM, .scope = SCOPE_RECIPIENT,
                     .cost = COST_STORE, .source = SOURCE_GREYLIST, .first_layer = LAYER_GREYLIST,
                     .values = greylist_names, .missing = "none of them, where no greylist rule was true",
                     .help = "the status of the triplet, asked for by greylist rules" },
    MESSAGE(F_VIRUS, "virus", "virus", TYPE_BOOL, SOURCE_VIRUS, NULL, "the virus scanner found something"),
    MESSAGE(F_VIRUS_NAME, "virus.name", "virus", TYPE_STRING, SOURCE_VIRUS, "empty: in no table", "what it found"),
    MESSAGE(F_SPAM_SCORE, "spam.score", "spam", TYPE_NUMBER, SOURCE_SPAM, NULL, "the score of the spam scanner"),
    MESSAGE(F_HEADER_BAD, "header.bad", "header", TYPE_BOOL, SOURCE_MESSAGE, NULL,
            "the header breaks RFC 5322 in a way that matters"),
    MESSAGE(F_ATTACHMENT_BANNED, "attachment.banned", "attachment", TYPE_BOOL, SOURCE_MESSAGE, NULL,
            "an attachment is of a banned kind"),
    MESSAGE(F_SIZE, "size", "size", TYPE_NUMBER, SOURCE_MESSAGE, NULL, "bytes of the message"),
    MESSAGE(F_BARE_NEWLINE, "bare_newline", "bare_newline", TYPE_BOOL, SOURCE_MESSAGE, NULL,
            "lines ended in a bare line feed"),
};

const struct fact_row *fact_find(struct str name) {
    for (size_t i = 0; i < N_FACTS; i++) {
        if (!fact_rows[i].is_internal && str_eq(str_of(fact_rows[i].name), name))
            return &fact_rows[i];
    }
    return NULL;
}
