/*
 * list_facts: see the header. A list that has not answered, or is unavailable, could still be either: at the lower end
 * of an interval block lists are silent and welcome lists speak, at the upper end the other way round.
 */
#include "facts/list_facts.h"

void list_answers_add(struct list_answers *answers, const struct conf_block_list *list, unsigned index,
                      enum dnsbl_status status) {
    const uint64_t bit = UINT64_C(1) << index;
    switch (status) {
    case DNSBL_LISTED:
        answers->listed |= bit;
        return;
    case DNSBL_CLEAN:
        answers->clean |= bit;
        return;
    case DNSBL_UNTRUSTED:
        if (list->weight > 0)
            answers->clean |= bit;
        else
            answers->unavailable |= bit;
        return;
    case DNSBL_UNAVAILABLE:
        answers->unavailable |= bit;
        return;
    }
}

void list_codes_add(struct list_codes *codes, enum list_family family, unsigned index,
                    const struct dnsbl_result *result) {
    for (unsigned i = 0; i < result->n_codes && codes->n < LIST_CODES_MAX; i++)
        codes->at[codes->n++] = (struct list_code){ result->codes[i], (uint8_t)family, (uint8_t)index };
}

void list_codes_forget(struct list_codes *codes, enum list_family family) {
    unsigned n = 0;
    for (unsigned i = 0; i < codes->n; i++)
        if (codes->at[i].family != family)
            codes->at[n++] = codes->at[i];
    codes->n = n;
}

static bool is_score(const struct fact_row *row) {
    const ptrdiff_t id = row - fact_rows;
    return id == F_DNSBL_SCORE || id == F_PTR_DNSBL_SCORE || id == F_HELO_DNSBL_SCORE || id == F_SENDER_DNSBL_SCORE;
}

struct fact list_answers_value(const struct list_answers *answers, const struct conf_block_list *lists,
                               uint64_t counted, const struct fact_row *row) {
    struct fact fact = { .state = FACT_KNOWN };
    if (counted & ~list_answers_all(answers))
        fact.state = FACT_PENDING;
    else if (counted & answers->unavailable)
        fact.state = FACT_UNAVAILABLE;
    if (row->type == TYPE_BOOL) { /* listed(zone): one list */
        fact.value = (counted & answers->listed) != 0;
        return fact;
    }
    for (unsigned i = 0; i < CONF_BLOCK_LISTS_MAX && counted >> i != 0; i++) {
        if (!(counted >> i & 1) || answers->clean >> i & 1)
            continue;
        int64_t weight = is_score(row) ? lists[i].weight : FACT_UNIT;
        bool is_listed = answers->listed >> i & 1;
        fact.lo += is_listed || weight < 0 ? weight : 0;
        fact.hi += is_listed || weight > 0 ? weight : 0;
    }
    return fact;
}

uint64_t list_answers_against(const struct list_answers *answers, const struct conf *conf,
                              const struct conf_policy *policy, const struct policy_set *because,
                              enum list_family family) {
    uint64_t lists = 0;
    for (int i = set_next(because, 0); i >= 0; i = set_next(because, (unsigned)i + 1))
        if (list_family_of(policy->policy->slots[i].row) == family)
            lists |= policy->lists[i] & answers[family].listed;
    for (size_t i = 0; i < conf->n_block_lists; i++)
        if (conf->block_lists[i].weight <= 0)
            lists &= ~(UINT64_C(1) << i);
    return lists;
}

uint64_t list_answers_all_against(const struct list_answers *answers, const struct conf *conf,
                                  const struct conf_policy *policy, const struct policy_set *because) {
    uint64_t lists = 0;
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
        lists |= list_answers_against(answers, conf, policy, because, (enum list_family)family);
    return lists;
}

struct str list_answers_zones(const struct list_answers *answers, const struct conf *conf,
                              const struct conf_policy *policy, const struct policy_set *because,
                              char out[LIST_ZONES_MAX]) {
    uint64_t lists = list_answers_all_against(answers, conf, policy, because);
    size_t len = 0;
    for (size_t i = 0; i < conf->n_block_lists; i++) {
        struct str zone = str_of(conf->block_lists[i].zone), between = len > 0 ? STR(", ") : STR("");
        if (!(lists >> i & 1) || len + between.len + zone.len > LIST_ZONES_MAX)
            continue;
        memcpy(out + len, between.at, between.len);
        memcpy(out + len + between.len, zone.at, zone.len);
        len += between.len + zone.len;
    }
    return (struct str){ out, len };
}

static const enum fact_id first_facts[N_LIST_FAMILIES] = {
    [LISTS_CLIENT] = F_DNSBL_HITS, [LISTS_PTR] = F_PTR_DNSBL_HITS,
    [LISTS_HELO] = F_HELO_DNSBL_HITS, [LISTS_SENDER] = F_SENDER_DNSBL_HITS,
};

const char *list_family_name(enum list_family family) {
    return fact_rows[first_facts[family]].subject;
}

enum list_family list_family_of(const struct fact_row *row) {
    const enum fact_id *first = first_facts;
    const int id = (int)(row - fact_rows);
    unsigned family = 0;
    while (family < N_LIST_FAMILIES
           && (id < (int)first[family] || id > (int)first[family] + (F_DNSBL_LISTED - F_DNSBL_HITS)))
        family++;
    return (enum list_family)family;
}
