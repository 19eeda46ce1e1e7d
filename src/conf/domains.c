/*
 * domains: is this domain ours, and with which settings?
 *
 * Asked for every recipient of every session, with up to some 100,000 domains configured, so it is one probe of an
 * open addressing table that is at most half full: 8 bytes an entry, 32 bits of hash and the number of the domain.
 * The name is compared only when all 32 bits agree. SipHash under a key of the process, since the names that are
 * asked come from the network.
 *
 * Names are kept with ASCII letters in lower case. UTF-8 is kept as written: "bücher.example" and its A-label
 * "xn--bcher-kva.example" are two spellings that senders use for one domain, and a site that takes mail under both
 * writes both. Rejected: converting with an IDNA library, which would put a second opinion of what a name means
 * into the one place where it decides whose mail we take.
 */
#include "conf/domains.h"

#include "base/hash.h"
#include "conf/list.h"
#include "smtp/address.h"

struct entry {
    uint32_t hash;
    uint32_t number; /* position + 1; 0: empty */
};

struct domain_index {
    struct entry *entries;
    size_t mask; /* number of entries - 1; a power of two less 1 */
};

enum { INDEX_MIN = 16 };

const char *domain_problem(struct str name) {
    if (name.len == 0)
        return "expected the name of a domain, got nothing";
    if (name.len > DOMAIN_NAME_MAX)
        return "a domain name has at most 255 bytes";
    if (name.at[name.len - 1] == '.')
        return "write the domain without the final dot";
    struct ip ip;
    if (ip_parse(name, &ip) == 0 || name.at[0] == '[')
        return "expected the name of a domain, got an address";
    if (smtp_domain_parse(name, false, true) != SMTP_ADDRESS_OK)
        return "this is not a domain name (letters, digits and hyphens between dots)";
    return NULL;
}

/* The entry of a name (lower case) or the empty one where it would go. */
static struct entry *probe(const struct conf *conf, struct str name, uint64_t hash) {
    const struct domain_index *index = conf->domain_index;
    for (size_t i = hash & index->mask;; i = (i + 1) & index->mask) {
        struct entry *entry = &index->entries[i];
        if (entry->number == 0)
            return entry;
        if (entry->hash != (uint32_t)(hash >> 32))
            continue;
        const char *at = conf->domains[entry->number - 1].name;
        if (strlen(at) == name.len && memcmp(at, name.at, name.len) == 0)
            return entry;
    }
}

static struct str lower(struct str name, char out[DOMAIN_NAME_MAX]) {
    for (size_t i = 0; i < name.len; i++)
        out[i] = ascii_lower(name.at[i]);
    return (struct str){ out, name.len };
}

const struct conf_domain *conf_domain_find(const struct conf *conf, struct str name) {
    char buffer[DOMAIN_NAME_MAX];
    if (conf->domain_index == NULL || name.len == 0 || name.len > DOMAIN_NAME_MAX)
        return NULL;
    name = lower(name, buffer);
    const struct entry *entry = probe(conf, name, hash_bytes(name.at, name.len));
    return entry->number == 0 ? NULL : &conf->domains[entry->number - 1];
}

/* Puts all domains into a table of n entries, a power of two. What was there stays in the arena. */
static int rebuild(struct conf *conf, size_t n) {
    struct domain_index *index = arena_alloc(&conf->arena, sizeof(*index));
    struct entry *entries = arena_zalloc(&conf->arena, n * sizeof(*entries));
    if (index == NULL || entries == NULL)
        return -ENOMEM;
    *index = (struct domain_index){ .entries = entries, .mask = n - 1 };
    conf->domain_index = index;
    for (size_t i = 0; i < conf->n_domains; i++) {
        struct str name = str_of(conf->domains[i].name);
        uint64_t hash = hash_bytes(name.at, name.len);
        *probe(conf, name, hash) = (struct entry){ .hash = (uint32_t)(hash >> 32), .number = (uint32_t)(i + 1) };
    }
    return 0;
}

int domain_add(struct conf *conf, struct str name, struct conf_domain **ret_domain, bool *ret_is_new) {
    char buffer[DOMAIN_NAME_MAX];
    int r = 0;
    name = lower(name, buffer);
    size_t room = conf->domain_index != NULL ? conf->domain_index->mask + 1 : 0;
    if (2 * (conf->n_domains + 1) > room)
        r = rebuild(conf, room == 0 ? INDEX_MIN : 2 * room);
    if (r < 0)
        return r;
    uint64_t hash = hash_bytes(name.at, name.len);
    struct entry *entry = probe(conf, name, hash);
    *ret_is_new = entry->number == 0;
    if (!*ret_is_new) {
        *ret_domain = &conf->domains[entry->number - 1];
        return 0;
    }
    char *copy = arena_strdup(&conf->arena, name);
    if (copy == NULL)
        return -ENOMEM;
    r = list_grow(&conf->arena, &conf->domains, conf->n_domains, sizeof(*conf->domains));
    if (r < 0)
        return r;
    struct conf_domain *domain = &conf->domains[conf->n_domains];
    *domain = (struct conf_domain){ .name = copy, .set = conf->domain_defaults, .index = (unsigned)conf->n_domains };
    *entry = (struct entry){ .hash = (uint32_t)(hash >> 32), .number = (uint32_t)++conf->n_domains };
    *ret_domain = domain;
    return 0;
}
