/*
 * dnsbl: see the header. A lookup has room for one question a list; each of them goes
 *
 *     IDLE ─want─▶ ASKED ─answer─▶ (HELD until the probes have decided) ─▶ READY ─later─▶ told
 *
 * and back to IDLE when it is cancelled. What needs no question (a list that is not trusted, a name that cannot be
 * asked) is READY at once; a task tells what is READY, so that nothing is told from inside dnsbl_start(). The same task
 * tells what probes let go, so that an answer that ends a lookup never runs inside the round of another one's.
 *
 * Rejected: a question a list and family of facts. The same list asked about HELO and sender is one list, with one
 * standing.
 */
#include "facts/dnsbl.h"

#include <errno.h>
#include <stdlib.h>

struct dnsbl {
    struct loop *loop;
    struct resolver *resolver;
    const struct conf_block_list *lists;
    size_t n_lists;
    struct dnsbl_settings settings;
    struct dnsbl_trust trust[]; /* N_DNSBL_KINDS a list; those of other kinds have no list */
};

enum entry_state { IDLE, ASKED, HELD, READY, TOLD };

struct entry {
    struct resolver_query query; /* first */
    struct dnsbl_waiter waiter;
    struct dnsbl_lookup *lookup;
    struct dnsbl_result result;
    uint64_t began_ms;
    uint8_t state; /* enum entry_state */
};

struct dnsbl_lookup {
    struct dnsbl *dnsbl;
    dnsbl_fn *on_list;
    void *arg;
    struct task task; /* tells what is READY */
    struct timer deadline;
    uint64_t timeout_ms;
    enum dnsbl_kind kind;
    struct ip client;
    uint8_t name_len;
    bool is_over; /* cancelled while it was telling */
    char name[DNS_NAME_MAX + 1];
    struct entry entries[]; /* one a list */
};

/* ---- state */

size_t dnsbl_count(const struct dnsbl *dnsbl) {
    return dnsbl->n_lists;
}

const struct conf_block_list *dnsbl_list(const struct dnsbl *dnsbl, unsigned list) {
    return &dnsbl->lists[list];
}

static const struct dnsbl_trust *trust_at(const struct dnsbl *dnsbl, unsigned list, enum dnsbl_kind kind) {
    return &dnsbl->trust[list * N_DNSBL_KINDS + kind];
}

const struct dnsbl_state *dnsbl_state(const struct dnsbl *dnsbl, unsigned list, enum dnsbl_kind kind) {
    const struct dnsbl_trust *trust = trust_at(dnsbl, list, kind);
    return trust->list != NULL ? &trust->state : NULL;
}

/* ---- one list's answer */

static unsigned index_of(const struct entry *entry) {
    return (unsigned)(entry - entry->lookup->entries);
}

static struct dnsbl_trust *trust_of(const struct entry *entry) {
    struct dnsbl *dnsbl = entry->lookup->dnsbl;
    return &dnsbl->trust[index_of(entry) * N_DNSBL_KINDS + entry->lookup->kind];
}

static void tell_ready(struct task *task);

static void be_ready(struct entry *entry, enum dnsbl_status status) {
    entry->state = READY;
    entry->result.status = status;
    task_start(entry->lookup->dnsbl->loop, &entry->lookup->task, tell_ready);
}

static bool is_accepted(const struct conf_codes *codes, uint32_t code) {
    for (size_t i = 0; i < codes->n; i++)
        if (codes->at[i].first <= code && code <= codes->at[i].last)
            return true;
    return codes->n == 0;
}

/* The codes that count. */
static void keep_codes(struct entry *entry, const struct dns_answer *answer) {
    const struct conf_block_list *list = &entry->lookup->dnsbl->lists[index_of(entry)];
    struct dnsbl_result *result = &entry->result;
    uint32_t code;
    for (unsigned i = 0; i < answer->n && result->n_codes < DNSBL_CODES_MAX; i++)
        if (dnsbl_is_code(&answer->records[i].ip, &code) && is_accepted(&list->codes, code))
            result->codes[result->n_codes++] = code;
}

static void on_probed(struct dnsbl_waiter *waiter);

/* What the list says is known; is the list to be believed? */
static void weigh(struct entry *entry) {
    const struct conf_block_list *list = &entry->lookup->dnsbl->lists[index_of(entry)];
    bool is_listed = entry->result.n_codes > 0, speaks_against = is_listed == (list->weight > 0);
    switch (dnsbl_trust_ask(trust_of(entry), speaks_against, &entry->waiter, on_probed)) {
    case DNSBL_BELIEVE:
        be_ready(entry, is_listed ? DNSBL_LISTED : DNSBL_CLEAN);
        break;
    case DNSBL_DISBELIEVE:
        be_ready(entry, DNSBL_UNTRUSTED);
        break;
    case DNSBL_WAIT:
        entry->state = HELD;
        break;
    }
}

static void on_probed(struct dnsbl_waiter *waiter) {
    weigh((struct entry *)((char *)waiter - offsetof(struct entry, waiter)));
}

static void on_answer(struct resolver_query *query, const struct dns_answer *answer) {
    struct entry *entry = (struct entry *)query;
    struct dnsbl_trust *trust = trust_of(entry);
    enum dnsbl_reading reading = dnsbl_read(answer);
    if (reading == DNSBL_READ_LISTED)
        keep_codes(entry, answer);
    if (!resolver_was_refused(query))
        dnsbl_trust_note(trust, answer, entry->result.n_codes > 0,
                         loop_now(entry->lookup->dnsbl->loop) - entry->began_ms);
    if (reading == DNSBL_READ_CLEAN || reading == DNSBL_READ_LISTED)
        weigh(entry);
    else
        be_ready(entry, trust->state.trust == DNSBL_NOT_TRUSTED ? DNSBL_UNTRUSTED : DNSBL_UNAVAILABLE);
}

/* ---- asking */

/* An answer may take this long. */
static uint64_t budget_of(const struct dnsbl_lookup *lookup) {
    uint64_t budget_ms = lookup->dnsbl->settings.budget_ms;
    return lookup->timeout_ms < budget_ms ? lookup->timeout_ms : budget_ms;
}

static void ask(struct entry *entry) {
    struct dnsbl_lookup *lookup = entry->lookup;
    struct dnsbl *dnsbl = lookup->dnsbl;
    struct dnsbl_trust *trust = trust_of(entry);
    const struct ip *ip = lookup->kind == DNSBL_NAME ? NULL : &lookup->client;
    char question[DNS_NAME_MAX + 1];
    entry->result = (struct dnsbl_result){ 0 };
    if (trust->list == NULL
        || dnsbl_question(trust->list, ip, (struct str){ lookup->name, lookup->name_len }, question) == 0) {
        be_ready(entry, DNSBL_CLEAN);
        return;
    }
    if (trust->state.trust == DNSBL_NOT_TRUSTED) {
        be_ready(entry, DNSBL_UNTRUSTED);
        return;
    }
    const struct resolver_question about = { .name = question, .type = DNS_A, .timeout_ms = budget_of(lookup),
                                             .purpose = RESOLVER_LIST, .client = lookup->client };
    trust->state.asked++;
    entry->state = ASKED;
    entry->began_ms = loop_now(dnsbl->loop);
    resolver_start(dnsbl->resolver, &entry->query, &about, on_answer);
}

static void stop(struct entry *entry) {
    uint64_t waited_ms = loop_now(entry->lookup->dnsbl->loop) - entry->began_ms;
    if (entry->state == ASKED && !resolver_was_refused(&entry->query) && waited_ms > budget_of(entry->lookup) / 2)
        dnsbl_trust_note_late(trust_of(entry));
    resolver_cancel(&entry->query);
    dnsbl_waiter_cancel(&entry->waiter);
    entry->state = IDLE;
}

void dnsbl_want(struct dnsbl_lookup *lookup, uint64_t lists) {
    for (unsigned i = 0; i < lookup->dnsbl->n_lists; i++) {
        struct entry *entry = &lookup->entries[i];
        bool is_wanted = lists >> i & 1;
        if (is_wanted && entry->state == IDLE)
            ask(entry);
        else if (!is_wanted && entry->state != TOLD && entry->state != IDLE)
            stop(entry);
    }
}

/* ---- telling */

static void end(struct dnsbl_lookup *lookup) {
    struct loop *loop = lookup->dnsbl->loop;
    for (unsigned i = 0; i < lookup->dnsbl->n_lists; i++)
        stop(&lookup->entries[i]);
    timer_cancel(loop, &lookup->deadline);
    task_cancel(loop, &lookup->task);
    lookup->is_over = true;
    loop_free_later(loop, lookup);
}

static bool is_last(const struct dnsbl_lookup *lookup) {
    for (unsigned i = 0; i < lookup->dnsbl->n_lists; i++)
        if (lookup->entries[i].state != IDLE && lookup->entries[i].state != TOLD)
            return false;
    return true;
}

static void tell_ready(struct task *task) {
    struct dnsbl_lookup *lookup = (struct dnsbl_lookup *)((char *)task - offsetof(struct dnsbl_lookup, task));
    const unsigned n_lists = (unsigned)lookup->dnsbl->n_lists; /* end() takes the pointer away */
    for (unsigned i = 0; i < n_lists && !lookup->is_over; i++) {
        struct entry *entry = &lookup->entries[i];
        if (entry->state != READY)
            continue;
        entry->state = TOLD;
        bool is_end = is_last(lookup);
        if (is_end)
            end(lookup);
        lookup->on_list(lookup->arg, i, &entry->result, is_end);
    }
}

/* Time is up for what still waits, be it for an answer or for probes. */
static void on_deadline(struct timer *timer) {
    struct dnsbl_lookup *lookup = (struct dnsbl_lookup *)((char *)timer - offsetof(struct dnsbl_lookup, deadline));
    for (unsigned i = 0; i < lookup->dnsbl->n_lists; i++) {
        struct entry *entry = &lookup->entries[i];
        if (entry->state != ASKED && entry->state != HELD)
            continue;
        stop(entry);
        be_ready(entry, DNSBL_UNAVAILABLE);
    }
}

struct dnsbl_lookup *dnsbl_start(struct dnsbl *dnsbl, const struct ip *client, struct str name, uint64_t lists,
                                 uint64_t timeout_ms, dnsbl_fn *on_list, void *arg) {
    struct dnsbl_lookup *lookup = calloc(1, sizeof(*lookup) + dnsbl->n_lists * sizeof(*lookup->entries));
    if (lookup == NULL)
        return NULL;
    *lookup = (struct dnsbl_lookup){ .dnsbl = dnsbl, .on_list = on_list, .arg = arg, .timeout_ms = timeout_ms };
    lookup->kind = name.len > 0 ? DNSBL_NAME : client->family == IP_V4 ? DNSBL_IPV4 : DNSBL_IPV6;
    lookup->client = *client;
    if (name.len <= DNS_NAME_MAX) { /* a longer one stays empty, which cannot be asked */
        lookup->name_len = (uint8_t)name.len;
        memcpy(lookup->name, name.len > 0 ? name.at : "", name.len);
    }
    if (timer_set(dnsbl->loop, &lookup->deadline, loop_now(dnsbl->loop) + timeout_ms, on_deadline) < 0) {
        free(lookup);
        return NULL;
    }
    for (unsigned i = 0; i < dnsbl->n_lists; i++)
        lookup->entries[i].lookup = lookup;
    dnsbl_want(lookup, lists);
    return lookup;
}

void dnsbl_cancel(struct dnsbl_lookup *take_lookup) {
    if (take_lookup != NULL && !take_lookup->is_over)
        end(take_lookup);
}

/* ---- life */

static uint64_t or_default(uint64_t value, uint64_t usual) {
    return value != 0 ? value : usual;
}

static void set_settings(struct dnsbl_settings *to, const struct dnsbl_settings *from) {
    static const struct dnsbl_settings none;
    from = from != NULL ? from : &none;
    *to = (struct dnsbl_settings){
        .budget_ms = or_default(from->budget_ms, 2000),
        .fresh_ms = or_default(from->fresh_ms, 60 * 1000),
        .probe_every_ms = or_default(from->probe_every_ms, 15 * 60 * 1000),
        .pause_ms = or_default(from->pause_ms, 30 * 1000),
        .pause_max_ms = or_default(from->pause_max_ms, 60 * 60 * 1000),
        .on_change = from->on_change,
        .on_note = from->on_note,
        .arg = from->arg,
    };
}

int dnsbl_new(struct loop *loop, struct resolver *resolver, const struct conf_block_list *lists, size_t n_lists,
              const struct dnsbl_settings *settings, struct dnsbl **ret_dnsbl) {
    if (n_lists > CONF_BLOCK_LISTS_MAX)
        return -EINVAL;
    struct dnsbl *dnsbl = calloc(1, sizeof(*dnsbl) + n_lists * N_DNSBL_KINDS * sizeof(*dnsbl->trust));
    if (dnsbl == NULL)
        return -ENOMEM;
    dnsbl->loop = loop;
    dnsbl->resolver = resolver;
    dnsbl->lists = lists;
    dnsbl->n_lists = n_lists;
    set_settings(&dnsbl->settings, settings);
    for (size_t i = 0; i < n_lists * N_DNSBL_KINDS; i++) {
        struct dnsbl_trust *trust = &dnsbl->trust[i];
        const struct conf_block_list *list = &lists[i / N_DNSBL_KINDS];
        *trust = (struct dnsbl_trust){ .settings = &dnsbl->settings, .loop = loop, .resolver = resolver,
                                       .kind = (uint8_t)(i % N_DNSBL_KINDS) };
        if (!dnsbl_trust_applies(list, (enum dnsbl_kind)trust->kind))
            continue;
        trust->list = list;
        dnsbl_trust_init(trust);
    }
    *ret_dnsbl = dnsbl;
    return 0;
}

void dnsbl_free(struct dnsbl *dnsbl) {
    for (size_t i = 0; dnsbl != NULL && i < dnsbl->n_lists * N_DNSBL_KINDS; i++)
        if (dnsbl->trust[i].list != NULL)
            dnsbl_trust_deinit(&dnsbl->trust[i]);
    free(dnsbl);
}
