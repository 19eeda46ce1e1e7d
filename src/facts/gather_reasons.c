/*
 * gather_reasons: before a refusal is answered that block lists made true, the words they have for it.
 *
 * Asked of the lists that made the rule true and of no others, once there is a verdict, and only if the reply has a
 * place for them: most clients never cause such a question. They are asked in parallel, for a short while and never
 * past the decision's deadline; a list that says nothing is merely named. Each answer is about one address at one list,
 * and the resolver's cache holds it for the next recipient: it cannot be kept for the list, since most lists put the
 * address into the link they give.
 *
 * A client whose lists kept us waiting in vain is not made to wait at its next recipients.
 */
#include "facts/gather_state.h"

#include "policy/text.h"

enum { WAIT_MS = 1000 };

/* The lists that made the rule true. */
static uint64_t lists_against(const struct conf *conf, const struct conf_policy *policy,
                              const struct gather_memory *memory, const struct policy_verdict *verdict) {
    uint64_t lists = 0;
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
        lists |= list_answers_against(memory->lists, conf, policy, &verdict->because, (enum list_family)family);
    return lists;
}

bool gather_reasons_are_wanted(const struct gather_world *world, const struct conf_policy *policy,
                               const struct gather_memory *memory, const struct policy_verdict *verdict) {
    return verdict->reply != NULL && world->dnsbl != NULL && !memory->are_reasons_late
        && text_mentions(verdict->reply->text, TEXT_REASON)
        && lists_against(world->conf, policy, memory, verdict) != 0;
}

static void on_text(struct resolver_query *query, const struct dns_answer *answer) {
    struct reason_question *question = (struct reason_question *)query;
    struct gather *g = question->gather;
    struct reason_search *search = &g->reasons;
    const struct conf_block_list *list = &g->world->conf->block_lists[question->list];
    g->memory->are_reasons_late |= answer->status == DNS_UNAVAILABLE;
    if (answer->status == DNS_FOUND
        && list_reason_take(&search->found[search->n_found], question->list, list->key, answer->records[0].text))
        search->n_found++;
    if (--search->n_open == 0)
        gather_step_later(g);
}

static void ask_family(struct gather *g, const struct policy_verdict *verdict, enum list_family family) {
    struct reason_search *search = &g->reasons;
    const struct conf *conf = g->world->conf;
    const struct ip *ip = family == LISTS_CLIENT ? &g->known.client : NULL;
    struct str name = ip != NULL ? STR("") : gather_list_name(g, family);
    uint64_t lists = list_answers_against(g->memory->lists, conf, g->policy, &verdict->because, family)
        & ~search->asked;
    for (unsigned i = 0; i < conf->n_block_lists && search->n_asked < LIST_REASONS_ASKED; i++) {
        char question[DNS_NAME_MAX + 1];
        if (!(lists >> i & 1) || dnsbl_question(&conf->block_lists[i], ip, name, question) == 0)
            continue;
        struct reason_question *asked = &search->at[search->n_asked++];
        asked->gather = g;
        asked->list = (uint8_t)i;
        search->asked |= UINT64_C(1) << i;
        search->n_open++;
        const struct resolver_question about = { .name = question, .type = DNS_TXT, .timeout_ms = WAIT_MS,
                                                 .purpose = RESOLVER_LIST, .client = g->known.client };
        resolver_start(g->world->resolver, &asked->query, &about, on_text);
    }
}

bool gather_reasons_ask(struct gather *g, const struct policy_verdict *verdict) {
    struct reason_search *search = &g->reasons;
    if (g->is_over) {
        g->memory->are_reasons_late |= search->n_open > 0;
        gather_reasons_cancel(g);
        return false;
    }
    if (search->n_asked == 0 && gather_reasons_are_wanted(g->world, g->policy, g->memory, verdict))
        for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
            ask_family(g, verdict, (enum list_family)family);
    return search->n_open > 0;
}

void gather_reasons_keep(struct gather *g, const struct policy_verdict *verdict) {
    const struct reason_search *search = &g->reasons;
    const struct conf *conf = g->world->conf;
    if (search->n_found == 0)
        return;
    g->memory->reasons_len = (uint8_t)list_reasons_format(conf, lists_against(conf, g->policy, g->memory, verdict),
                                                          search->found, search->n_found, g->memory->reasons).len;
}

void gather_reasons_cancel(struct gather *g) {
    for (unsigned i = 0; i < g->reasons.n_asked; i++)
        resolver_cancel(&g->reasons.at[i].query);
    g->reasons.n_open = 0;
}
