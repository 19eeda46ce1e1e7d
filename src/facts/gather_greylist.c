/*
 * gather_greylist: the status of a triplet, which the store keeps.
 *
 * Asking is the one question with an effect: it records the attempt. So it is put once for a recipient, only when a
 * rule that is true needs the answer, and read-only for rules that change nothing (`shadow`, `enforce no`) and for who
 * only wants to know. As whom the store knows the client depends on its name, which is looked up first even where no
 * rule asked for it.
 *
 * The store has a time limit of its own, beside that of DNS: it is asked even when DNS took all the time there was, or
 * a client could escape the greylist by a name server that does not answer.
 */
#include "facts/gather_state.h"

#include "facts/greylist.h"

static struct fact status_value(const struct gather *g, enum fact_id id) {
    return fact_enum(g->memory->greylist.answer.status);
}

static void on_answer(void *arg, enum store_result result, const struct greylist_answer *answer) {
    struct gather *g = arg;
    g->greylist = NULL;
    if (result == STORE_ANSWERED) {
        g->memory->greylist.answer = *answer;
        g->memory->greylist.is_answered = true;
    }
    gather_fill(g, GROUP_GREYLIST, result == STORE_ANSWERED ? status_value : gather_unavailable);
    gather_step_later(g);
}

struct greylist_settings gather_greylist_settings(const struct conf *conf) {
    return (struct greylist_settings){
        .delay = (uint32_t)(conf->set.greylist.delay / 1000),
        .unpassed_life = (uint32_t)(conf->set.greylist.unpassed_life / 1000),
        .passed_life = (uint32_t)(conf->set.greylist.passed_life / 1000),
        .whitelist_life = (uint32_t)(conf->set.greylist.whitelist_life / 1000),
        .whitelist_after = (uint32_t)conf->set.greylist.whitelist_after,
        .new_per_network = (uint32_t)conf->set.greylist.new_per_network,
    };
}

static void make_question(const struct gather_world *world, const struct gather_memory *memory,
                          const struct ip *client, const struct smtp_address *sender,
                          const struct smtp_address *recipient, struct greylist_words *words,
                          struct greylist_question *ret_question) {
    const struct greylist_client from = { .ip = *client, .ptr = &memory->ptr,
                                           .organisations = world->organisations };
    greylist_question_make(&from, sender, recipient, words, ret_question);
}

/* The client's name is known, or will not be. */
static void ask_store(struct gather *g) {
    const struct gather_world *world = g->world;
    struct greylist_words words;
    struct greylist_question question;
    make_question(world, g->memory, &g->known.client, &g->known.sender, &g->known.recipient, &words, &question);
    question.is_read_only = g->is_rehearsal;
    g->memory->greylist = (struct gather_greylist){ .is_read_only = question.is_read_only };
    g->greylist_waits_for_ptr = false;
    if (world->store != NULL)
        g->greylist = store_ask_start(world->store, &question, world->conf->set.store.timeout, on_answer, g);
    if (g->greylist == NULL) {
        gather_fill(g, GROUP_GREYLIST, gather_unavailable);
        gather_step_later(g);
    }
}

void gather_greylist_start(struct gather *g) {
    g->greylist_waits_for_ptr = !g->memory->has_ptr && g->world->resolver != NULL && gather_lookup_start_ptr(g);
    if (!g->greylist_waits_for_ptr)
        ask_store(g);
}

void gather_greylist_on_ptr(struct gather *g) {
    if (g->greylist_waits_for_ptr)
        ask_store(g);
}

bool gather_greylist_is_running(const struct gather *g) {
    return g->greylist != NULL || g->greylist_waits_for_ptr;
}

void gather_greylist_cancel(struct gather *g) {
    store_ask_cancel(g->greylist);
    g->greylist = NULL;
    g->greylist_waits_for_ptr = false;
}

void gather_credit(const struct gather_world *world, const struct gather_memory *memory, const struct ip *client,
                   const struct smtp_address *sender, const struct smtp_address *recipient) {
    struct greylist_words words;
    struct greylist_question question;
    if (world->store == NULL)
        return;
    make_question(world, memory, client, sender, recipient, &words, &question);
    store_credit(world->store, &question);
}
