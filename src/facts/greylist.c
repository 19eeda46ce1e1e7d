/*
 * greylist: as whom does the store know a client?
 *
 *     what is known of the client                   asked about, strongest first        written
 *     SPF lets it speak for the sender              spf:example.org before the rest     spf, ip
 *     a confirmed name, not of a line               org:example.com, net, ip            org, ip
 *     a name of an access line, confirmed or not    ip                                  ip
 *     another name, or none                         net:192.0.2.0/24, ip:192.0.2.7      net, ip
 *     its name could not be looked up               net, ip                             ip
 *
 * A large sender retries from any host of its pool, so its organisation (by the public suffix list) is one client, and
 * so is the network of hosts that tell nothing about themselves. The customers of an access provider have nothing in
 * common but the provider: each is alone, by the name that the provider gave it; and where that name could not be
 * looked up it might be one of them, so the network is only looked up, never written. What is written under the address
 * too (greylist.h) keeps a sender known when its name comes, goes, or cannot be looked up for a while.
 *
 * `static` names (servers in a data centre, business lines) belong to a provider too, and their neighbours are
 * strangers; but they are not what bots rent by the thousand, and their pools lie in one network: they are known by it.
 *
 * An address of IPv6 is its /64, which is what one client has; there is no wider network to be known by.
 *
 * Rejected: the HELO (anyone may say anything), and the organisation of an unconfirmed name (anyone may write one).
 */
#include "facts/greylist.h"

#include "facts/greylist_sender.h"

static void add(struct greylist_question *question, struct greylist_words *words, struct str kind, struct str value,
                struct str suffix) {
    const struct str parts[] = { kind, str_head(value, SMTP_DOMAIN_MAX), suffix };
    char *out = words->identities[question->n_identities];
    size_t len = 0;
    for (size_t part = 0; part < sizeof(parts) / sizeof(*parts); part++)
        for (size_t i = 0; i < parts[part].len; i++)
            out[len++] = ascii_lower(parts[part].at[i]);
    question->identities[question->n_identities++] = (struct str){ out, len };
}

/* "192.0.2.0/24" */
static void add_network(struct greylist_question *question, struct greylist_words *words, const struct ip *ip) {
    char text[IP_TEXT_MAX];
    struct ip network = *ip;
    network.bytes[3] = 0;
    if (ip->family == IP_V4)
        add(question, words, STR("net:"), str_of(ip_format(&network, text)), STR("/24"));
}

static void add_address(struct greylist_question *question, struct greylist_words *words, const struct ip *ip) {
    char text[IP_TEXT_MAX];
    struct ip client = *ip;
    if (ip->family == IP_V6)
        memset(client.bytes + 8, 0, 8);
    add(question, words, STR("ip:"), str_of(ip_format(&client, text)), ip->family == IP_V6 ? STR("/64") : STR(""));
}

static bool has_name(const struct ptr_result *ptr) {
    return ptr->status == PTR_UNCONFIRMED || ptr->status == PTR_CONFIRMED;
}

/* Empty: its name says nothing of the kind, or is itself one below which anyone may register. */
static struct str organisation(const struct greylist_client *client) {
    const struct ptr_result *ptr = client->ptr;
    if (ptr->status != PTR_CONFIRMED || ptr->class == NAME_ACCESS || ptr->class == NAME_STATIC)
        return (struct str){ 0 };
    return organisation_of(client->organisations, ptr_name(ptr));
}

static void identify(const struct greylist_client *client, struct greylist_words *words,
                     struct greylist_question *question) {
    const struct ptr_result *ptr = client->ptr;
    struct str registered = organisation(client);
    bool is_unknown = ptr->status == PTR_UNAVAILABLE || ptr->status == PTR_NAMED;
    if (client->spf_domain.len > 0)
        add(question, words, STR("spf:"), client->spf_domain, STR(""));
    if (registered.len > 0)
        add(question, words, STR("org:"), registered, STR(""));
    if (!has_name(ptr) || ptr->class != NAME_ACCESS)
        add_network(question, words, &client->ip);
    if (is_unknown && client->spf_domain.len == 0)
        question->n_looked_up = question->n_identities;
    add_address(question, words, &client->ip);
}

void greylist_question_make(const struct greylist_client *client, const struct smtp_address *sender,
                            const struct smtp_address *recipient, struct greylist_words *words,
                            struct greylist_question *ret_question) {
    *ret_question = (struct greylist_question){
        .is_null_sender = sender->text.len == 0,
        .sender = greylist_sender(sender, recipient, words->sender),
        .recipient = greylist_address(recipient, words->recipient),
    };
    identify(client, words, ret_question);
}

uint32_t greylist_seconds_told(uint32_t seconds_left) {
    uint32_t unit = seconds_left <= 10 ? 1 : seconds_left <= 60 ? 10 : seconds_left <= 600 ? 30 : 60;
    return seconds_left + (unit - seconds_left % unit) % unit;
}

const char *greylist_status_name(enum greylist_status status) {
    return fact_rows[F_GREYLIST].values[status];
}
