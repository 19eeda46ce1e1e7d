/*
 * gather_scan: what the scanners say about a message.
 *
 * A scan belongs to the message and outlives the gather of one recipient, so that the next finds what was said. What
 * one recipient's verdict does not need any more is cancelled, unless another's does (`also_virus`, `also_spam`). The
 * time limit is the scan's own.
 */
#include "facts/gather_state.h"

#include "facts/scan.h"

static struct fact of_state(enum scan_state state, struct fact done) {
    switch (state) {
    case SCAN_DONE:
        return done;
    case SCAN_SKIPPED:
        return (struct fact){ .state = FACT_SKIPPED, .lo = INT64_MIN, .hi = INT64_MAX };
    case SCAN_OFF:
        return (struct fact){ .state = FACT_OFF };
    case SCAN_IDLE:
    case SCAN_RUNNING:
    case SCAN_UNAVAILABLE:
        break;
    }
    return (struct fact){ .state = FACT_UNAVAILABLE, .lo = INT64_MIN, .hi = INT64_MAX };
}

static struct fact virus_value(const struct gather *g, enum fact_id id) {
    const struct scan_virus *virus = scan_virus(g->known.message->scan);
    struct fact done = id == F_VIRUS ? fact_bool(virus->name.len > 0) : fact_text(virus->name);
    struct fact fact = of_state(virus->state, done);
    if (id == F_VIRUS_NAME && fact.state != FACT_KNOWN)
        fact.text = (struct str){ 0 };
    return fact;
}

static struct fact spam_value(const struct gather *g, enum fact_id id) {
    const struct scan_spam *spam = scan_spam(g->known.message->scan);
    (void)id;
    return of_state(spam->state, fact_number(spam->score));
}

static struct fact lost_value(const struct gather *g, enum fact_id id) {
    (void)g;
    return id == F_SPAM_SCORE ? of_state(SCAN_UNAVAILABLE, fact_number(0)) : (struct fact){ .state = FACT_UNAVAILABLE };
}

static bool is_over(enum scan_state state) {
    return state != SCAN_IDLE && state != SCAN_RUNNING;
}

/* The facts of what has ended get their values. True: there were some. */
static bool take(struct gather *g) {
    const struct gather_message *message = g->known.message;
    bool is_taken = false;
    if (g->scans_virus && is_over(scan_virus(message->scan)->state)) {
        g->memory->virus_name = scan_virus(message->scan)->name;
        g->scans_virus = false;
        gather_fill(g, GROUP_VIRUS, virus_value);
        is_taken = true;
    }
    if (g->scans_spam && is_over(scan_spam(message->scan)->state)) {
        g->scans_spam = false;
        gather_fill(g, GROUP_SPAM, spam_value);
        is_taken = true;
    }
    return is_taken;
}

static void want(struct gather *g) {
    const struct gather_message *message = g->known.message;
    scan_want(message->scan, g->scans_virus || message->also_virus, g->scans_spam || message->also_spam);
}

void gather_scan_start(struct gather *g, enum group group) {
    const struct gather_message *message = g->known.message;
    if (message == NULL || message->scan == NULL) {
        gather_fill(g, group, message == NULL ? gather_off : lost_value);
        gather_step_later(g);
        return;
    }
    *(group == GROUP_VIRUS ? &g->scans_virus : &g->scans_spam) = true;
    want(g);
    if (take(g))
        gather_step_later(g);
}

void gather_on_scan(struct gather *g) {
    if (take(g))
        gather_step_later(g);
}

bool gather_scan_is_running(const struct gather *g, enum group group) {
    return group == GROUP_VIRUS ? g->scans_virus : g->scans_spam;
}

void gather_scan_cancel(struct gather *g, enum group group) {
    if (!gather_scan_is_running(g, group))
        return;
    *(group == GROUP_VIRUS ? &g->scans_virus : &g->scans_spam) = false;
    want(g);
}
