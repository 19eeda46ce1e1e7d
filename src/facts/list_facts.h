/*
 * list_facts: what the answers of block lists, so far, make of the facts about them.
 *
 * Pure. Every count is an interval at all times: each answer moves one of its ends, so that the engine can decide
 * long before the last list has answered, and in spite of those that never will.
 */
#pragma once

#include "conf/conf.h"
#include "facts/dnsbl.h"
#include "policy/verdict.h"

/* Of one family (enum list_family), in its subject's scope. Sets of lists; a list is in at most one of them. */
struct list_answers {
    uint64_t listed, clean, unavailable;
};

static inline uint64_t list_answers_all(const struct list_answers *answers) {
    return answers->listed | answers->clean | answers->unavailable;
}

/* A block list that is not trusted counts as clean, a welcome list as unavailable (design.md section 6). */
void list_answers_add(struct list_answers *answers, const struct conf_block_list *list, unsigned index,
                      enum dnsbl_status status);

/*
 * The return codes of those that list, for people: no decision looks at them. What does not fit is forgotten.
 */
enum { LIST_CODES_MAX = 24 };

struct list_codes {
    struct list_code {
        uint32_t code; /* host byte order */
        uint8_t family, list;
    } at[LIST_CODES_MAX];
    unsigned n;
};

void list_codes_add(struct list_codes *codes, enum list_family family, unsigned index,
                    const struct dnsbl_result *result);
void list_codes_forget(struct list_codes *codes, enum list_family family);

/* "dnsbl", "ptr.dnsbl" …, as in the policy. */
const char *list_family_name(enum list_family family);

/* The value of a slot in which the lists `counted` have a say; state PENDING while one of them has not answered. */
struct fact list_answers_value(const struct list_answers *answers, const struct conf_block_list *lists,
                               uint64_t counted, const struct fact_row *row);

/* The lists of one family that speak against what they list, and that the slots in `because` ask about. */
uint64_t list_answers_against(const struct list_answers *answers, const struct conf *conf,
                              const struct conf_policy *policy, const struct policy_set *because,
                              enum list_family family);

/* The same of all families. `answers` has N_LIST_FAMILIES. */
uint64_t list_answers_all_against(const struct list_answers *answers, const struct conf *conf,
                                  const struct conf_policy *policy, const struct policy_set *because);

enum { LIST_ZONES_MAX = 200 };

/*
 * The zones that list what the slots in `because` ask about, as replies name them: "a.example, b.example".
 * Never a key. What does not fit is left out whole. `answers` has N_LIST_FAMILIES. Returns a view of `out`.
 */
struct str list_answers_zones(const struct list_answers *answers, const struct conf *conf,
                              const struct conf_policy *policy, const struct policy_set *because,
                              char out[LIST_ZONES_MAX]);

/* The family of a fact about block lists, or N_LIST_FAMILIES. */
enum list_family list_family_of(const struct fact_row *row);
