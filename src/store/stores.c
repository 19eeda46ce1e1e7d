/*
 * stores: see the header.
 *
 *     run ─▶ read local ─▶ [READING shared] ─▶ decide ─▶ answers that depend on nothing
 *                             ─▶ merge local ─▶ [MERGING shared] ─▶ the other answers ─▶ done
 *     idle, shared up, rows pending: [PUSHING] a slice of them; a batch that comes meanwhile waits for its end
 *     idle, shared up, once a second: [SWEEPING] a slice of its rows, likewise
 *
 * Calls of the local store block: a batch takes it a few milliseconds at most, and it has nothing else to do. The
 * shared one is a network away, so its reads and merges end in callbacks.
 *
 * The hash key is that of the shared store as soon as one was met, and rows under another key are worthless: they are
 * dropped then, and the key is kept in the local store for the time without the shared one.
 *
 * Whose time? The clocks of hosts that share a list differ, and a triplet that one of them wrote would wait longer or
 * shorter at another. So all go by the shared store's clock: how far it is ahead of ours is kept, in the local store
 * too, for the time without it. One that is wildly off is not followed. Where no difference was measured, the rule of
 * greylist.c about first attempts in the future bounds the harm.
 *
 * Commands write into the local store's file beside us: upkeep looks whether they did, and hands it in. A server that
 * was not met before gets all rows (handover.h), behind those.
 *
 * Rejected: to write to the shared store behind the answers (a retry at another host may come before, and would be new
 * to it); to read the shared store only for what the local one does not know (a triplet that another host saw first
 * has an earlier first-seen there, and waits less).
 */
#include "store/stores.h"

#include "base/clock.h"
#include "store/greylist_question.h"
#include "store/handover.h"
#include "store/names.h"
#include "store/sweep.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PAUSE_MIN_MS = 1000, /* until the local store is tried again; doubled each time */
    PAUSE_MAX_MS = 60000,
    UPKEEP_MS = 250,
    COUNT_MS = 5000,         /* between two counts */
    COUNT_US = 1000,         /* of a slice */
    OPEN_PATIENCE_MS = 60000, /* a file whose log has grown is read through, from a disk that may be slow */
    SWEEP_US = 5000,         /* of a slice of the sweep */
    SWEEP_EVERY_MS = 50,     /* a slice: a tenth of the time at most */
    SWEEP_PAUSE_MS = 600000, /* between two rounds */
    SWEEP_SHARED_MS = 1000,  /* between two slices of the shared store */
    SWEEP_REFUSED_MS = 3600 * 1000, /* it is not allowed to, perhaps later */
    PUSH_MAX = BATCH_MAX,
    AVERAGE_OF = 16,
    LOOK_MS = 1000,           /* whether the file is still in its place */
    RESTORE_MS = 20,          /* between two slices of a copy */
    RESTORE_PAGES = 128,
    CROWDED_TELL_MS = 60000,  /* between two lines of the log about crowded networks */
    CLOCK_STEP_MS = 1000,     /* a smaller change of the difference is a matter of how it is measured */
    CLOCK_TELL_MS = 10000,    /* from here on the log hears of it */
    CLOCK_APART_MAX_MS = 24 * 3600 * 1000, /* from here on the shared clock is wrong, or ours is; nobody can tell */
};

enum phase { PHASE_IDLE, PHASE_READING, PHASE_MERGING, PHASE_PUSHING, PHASE_SWEEPING };

struct stores {
    struct loop *loop;
    struct stores_settings settings;
    const struct stores_events *events;
    void *arg;
    struct store_counters *counters;

    struct local *local; /* NULL: down */
    struct timer retry, upkeep, sweep, restore;
    uint64_t look_ms; /* when next */
    bool is_look_due, is_restoring;
    uint64_t pause_ms;
    uint64_t count_ms; /* when next */
    bool is_full, is_retry_due;
    bool has_pending; /* perhaps */
    struct names names;
    char told[STORE_WHY_MAX]; /* what the log was last told of the local store's trouble; "": nothing is wrong */

    struct shared *shared; /* NULL: not configured */
    bool is_shared_up;
    uint8_t shared_key[GREYLIST_KEY_SIZE];
    char server[SCHEMA_SERVER_MAX]; /* in whose rows the shared store is; "": not met */
    bool has_shared_key, is_key_new; /* key and server were told while something was under way */
    struct handover handover;
    bool is_handing_over; /* what is pushed comes from there */
    struct sweep shared_sweep;
    uint64_t sweep_ms, sweep_began_us; /* when next; when this one began */
    bool is_sweep_refused; /* the log was told */
    int64_t ahead_ms;     /* of the shared store's clock; 0 without one */
    bool has_clock;       /* it was measured since we started */
    bool is_clock_wild;   /* it is not followed */
    int64_t told_ahead_ms; /* what the log was last told */

    enum phase phase;
    bool is_due;        /* a batch waits for the end of PUSHING */
    bool is_read_from_shared, is_kept, is_answered;
    uint64_t began_us;
    int64_t now;        /* of the batch, seconds since 1970 */
    struct bound bound;
    uint64_t crowded_told_ms, n_crowded_untold; /* loop's clock; 0: never */
    struct row out[BATCH_KEYS_MAX]; /* what the shared store is merging */
    size_t n_out;
    struct batch batch;
};

/* ---- what is told */

static void note(struct stores *s, enum log_level level, const char *text) {
    s->events->on_note(s->arg, level, text);
}

static void count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, *counter + n, memory_order_relaxed);
}

static void set_why(struct stores *s, const char *why) {
    struct store_counters *c = s->counters;
    atomic_fetch_add(&c->why_version, 1);
    snprintf(c->why, sizeof(c->why), "%s", why);
    atomic_fetch_add(&c->why_version, 1);
}

static void show_state(struct stores *s) {
    struct store_counters *c = s->counters;
    c->local = s->local == NULL ? STORE_STATE_DOWN : s->is_full ? STORE_STATE_FULL : STORE_STATE_UP;
    bool has_shared = s->settings.conninfo[0] != '\0'; /* it may be of no use */
    c->shared = !has_shared ? STORE_STATE_OFF : s->is_shared_up ? STORE_STATE_UP : STORE_STATE_DOWN;
}

/* The same trouble is told once, however often it is met. */
static void tell_trouble(struct stores *s, const char *why) {
    char text[STORE_WHY_MAX];
    snprintf(text, sizeof(text), "the local store: %s", why);
    if (strcmp(text, s->told) == 0)
        return;
    memcpy(s->told, text, sizeof(s->told));
    set_why(s, text);
    note(s, LOG_LEVEL_ERROR, text);
}

static void tell_recovery(struct stores *s) {
    if (s->told[0] == '\0')
        return;
    s->told[0] = '\0';
    note(s, LOG_LEVEL_INFO, "the local store: in order again");
}

/* ---- the time */

/* Seconds since 1970, by the clock that counts for this list. */
static int64_t time_of(const struct stores *s) {
    return ((int64_t)clock_wall_ms() + s->ahead_ms) / 1000;
}

static int64_t distance(int64_t a, int64_t b) {
    return a < b ? b - a : a - b;
}

static void tell_clock(struct stores *s, int64_t ahead_ms) {
    char text[160];
    if (distance(ahead_ms, s->told_ahead_ms) < CLOCK_TELL_MS)
        return;
    bool is_apart = distance(ahead_ms, 0) >= CLOCK_TELL_MS;
    s->told_ahead_ms = is_apart ? ahead_ms : 0;
    if (is_apart)
        snprintf(text, sizeof(text), "this host's clock is %" PRId64 " s %s that of the shared store, which %s",
                 distance(ahead_ms, 0) / 1000, ahead_ms < 0 ? "ahead of" : "behind",
                 s->is_clock_wild ? "is too far away to be followed" : "counts for the greylist");
    else
        snprintf(text, sizeof(text), "the clocks of this host and of the shared store agree again");
    note(s, is_apart ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, text);
}

/* ---- the local store */

static void try_again_later(struct stores *s);
static void on_sweep(struct timer *timer);

static void lose_local(struct stores *s) {
    tell_trouble(s, local_why(s->local));
    s->is_restoring = false;
    timer_cancel(s->loop, &s->restore);
    local_close(s->local);
    s->local = NULL;
    handover_reset(&s->handover);
    try_again_later(s);
    show_state(s);
}

/*
 * What a call of the local store has returned. True: done. Without room on the disk nothing is recorded, and what is
 * there can be read; any other trouble ends in opening the file anew.
 */
static bool is_done(struct stores *s, int r) {
    if (r == -ENOSPC) {
        s->is_full = true;
        tell_trouble(s, local_why(s->local));
    } else if (r < 0) {
        lose_local(s);
    }
    return r == 0;
}

/*
 * The first meeting with a shared store, or with one of another key: what stands under another key is nothing. A file
 * that cannot take the new one is closed, or its rows and the shared ones would be of different keys.
 */
static void adopt_key(struct stores *s) {
    if (s->local == NULL || !s->has_shared_key)
        return;
    bool is_same = memcmp(local_hash_key(s->local), s->shared_key, GREYLIST_KEY_SIZE) == 0;
    if (is_same && local_key_is_shared(s->local))
        return;
    uint64_t n_dropped;
    if (!is_same)
        names_deinit(&s->names);
    if (local_adopt_key(s->local, s->shared_key, &n_dropped) < 0) {
        lose_local(s);
        return;
    }
    if (is_same)
        return;
    char text[160];
    snprintf(text, sizeof(text), "the hash key of the shared store was taken over: %" PRIu64 " rows that this host had "
             "learned under its own are dropped", n_dropped);
    note(s, LOG_LEVEL_WARNING, text);
}

/* Local and shared store have come together, perhaps again. */
static void introduce(struct stores *s) {
    adopt_key(s);
    if (s->local != NULL)
        handover_meet(&s->handover, s->local, s->server);
}

/* What the file says of the shared clock and what we know become the same. */
static void keep_clock(struct stores *s) {
    if (s->local == NULL || s->settings.shared == NULL)
        return;
    if (!s->has_clock)
        s->ahead_ms = local_shared_ahead_ms(s->local);
    else if (local_shared_ahead_ms(s->local) != s->ahead_ms)
        is_done(s, local_keep_shared_ahead(s->local, s->ahead_ms));
}

static void open_local(struct stores *s) {
    const struct local_options options = { .path = s->settings.path, .syncs_always = s->settings.is_synced_always };
    struct buf why;
    buf_init(&why, STORE_WHY_MAX);
    if (local_open(&options, &why, &s->local) < 0) {
        s->local = NULL;
        tell_trouble(s, buf_putc(&why, '\0') == 0 ? why.at : "out of memory");
        try_again_later(s);
    } else {
        s->is_full = false;
        s->has_pending = true;
        s->count_ms = 0;
        timer_set(s->loop, &s->sweep, loop_now(s->loop) + SWEEP_EVERY_MS, on_sweep);
        introduce(s);
        keep_clock(s);
    }
    buf_deinit(&why);
    show_state(s);
}

/* ---- the file is not where it was */

static void reopen(struct stores *s) {
    s->is_restoring = false;
    timer_cancel(s->loop, &s->restore);
    uint8_t key[GREYLIST_KEY_SIZE];
    memcpy(key, local_hash_key(s->local), sizeof(key));
    local_close(s->local);
    s->local = NULL;
    handover_reset(&s->handover);
    open_local(s);
    if (s->local == NULL || memcmp(key, local_hash_key(s->local), sizeof(key)) != 0)
        names_deinit(&s->names); /* they are of rows under another key */
}

/* The copy is a slice further. Where it cannot be made it is tried again later; questions are answered as before. */
static void on_restore(struct timer *timer) {
    struct stores *s = (struct stores *)((char *)timer - offsetof(struct stores, restore));
    s->is_restoring = s->local != NULL && local_look(s->local) == LOCAL_REMOVED;
    if (!s->is_restoring)
        return; /* a file has come: the next look finds which */
    bool is_idle = s->phase == PHASE_IDLE;
    int r = is_idle ? local_restore_on(s->local, RESTORE_PAGES) : 1;
    if (r < 0)
        tell_trouble(s, local_why(s->local));
    if (r == 0) {
        reopen(s);
        note(s, LOG_LEVEL_INFO, "the local store: its file is there again, with all rows");
    } else {
        timer_set(s->loop, &s->restore, loop_now(s->loop) + (r < 0 ? PAUSE_MAX_MS : RESTORE_MS), on_restore);
    }
}

/* Only while nothing is under way. */
static void look_at_place(struct stores *s) {
    s->is_look_due = false;
    enum local_place_state state = s->local != NULL && !s->is_restoring ? local_look(s->local) : LOCAL_IN_PLACE;
    if (state == LOCAL_REMOVED) {
        note(s, LOG_LEVEL_ERROR, "the local store: its file was removed; it is brought back from what is still open");
        s->is_restoring = true;
        timer_set(s->loop, &s->restore, loop_now(s->loop) + RESTORE_MS, on_restore);
    } else if (state == LOCAL_REPLACED) {
        note(s, LOG_LEVEL_WARNING, "the local store: its file, or the log beside it, was replaced; what is there now "
             "counts");
        reopen(s);
    }
}

static void on_retry(struct timer *timer) {
    struct stores *s = (struct stores *)((char *)timer - offsetof(struct stores, retry));
    loop_may_take(s->loop, OPEN_PATIENCE_MS);
    s->is_retry_due = s->phase != PHASE_IDLE; /* what is under way was read without it */
    if (!s->is_retry_due)
        open_local(s);
}

/* Nothing is under way: what had to wait for that. */
static void catch_up(struct stores *s) {
    if (s->is_retry_due)
        open_local(s);
    s->is_retry_due = false;
    if (s->is_look_due)
        look_at_place(s);
    if (s->is_key_new)
        introduce(s);
    s->is_key_new = false;
}

static void try_again_later(struct stores *s) {
    s->pause_ms = s->pause_ms == 0 ? PAUSE_MIN_MS : s->pause_ms * 2 < PAUSE_MAX_MS ? s->pause_ms * 2 : PAUSE_MAX_MS;
    timer_set(s->loop, &s->retry, loop_now(s->loop) + s->pause_ms, on_retry);
}

/* Merges, and marks what the shared store has to get. True: it is committed. */
static bool merge_local(struct stores *s, const struct row *rows, size_t n, bool is_pending) {
    if (s->local == NULL || n == 0)
        return s->local != NULL;
    if (!is_done(s, local_merge(s->local, rows, n, s->now, is_pending)))
        return false;
    s->has_pending |= is_pending;
    s->is_full = false;
    s->pause_ms = 0;
    tell_recovery(s);
    return true;
}

/* ---- the end of a batch */

static void push_or_rest(struct stores *s);

static void answer(struct stores *s, struct batch_item *item, bool is_unavailable) {
    if (!item->is_credit) {
        count(&s->counters->unavailable, is_unavailable);
        s->events->on_answer(s->arg, item, is_unavailable);
    }
}

static void answer_those(struct stores *s, bool is_waiting, bool is_unavailable) {
    for (size_t i = 0; i < s->batch.n_items; i++)
        if (s->batch.items[i].is_waiting == is_waiting)
            answer(s, &s->batch.items[i], is_unavailable);
}

static void answer_the_rest(struct stores *s) {
    if (!s->is_answered)
        answer_those(s, true, !s->is_kept);
    s->is_answered = true;
}

static void finish(struct stores *s) {
    struct store_counters *c = s->counters;
    uint64_t took_us = clock_us() - s->began_us;
    count(&c->batches, 1);
    c->latency_us = c->batches == 1 ? took_us : (c->latency_us * (AVERAGE_OF - 1) + took_us) / AVERAGE_OF;
    if (took_us > c->longest_us)
        c->longest_us = took_us;
    if (s->local != NULL && names_are_due(&s->names))
        is_done(s, names_write(&s->names, s->local));
    batch_clear(&s->batch);
    s->phase = PHASE_IDLE;
    catch_up(s);
    show_state(s);
    push_or_rest(s);
}

/* ---- the story of a batch */

/* One line a minute, however many networks fill up. */
static void tell_crowded(struct stores *s, const struct greylist_question *question) {
    char text[256], network[GREYLIST_NETWORK_MAX], others[96] = "";
    uint64_t now_ms = loop_now(s->loop);
    count(&s->counters->crowded, 1);
    if (s->crowded_told_ms > 0 && now_ms - s->crowded_told_ms < CROWDED_TELL_MS) {
        s->n_crowded_untold++;
        return;
    }
    if (s->n_crowded_untold > 0)
        snprintf(others, sizeof(others), ", as have %" PRIu64 " networks since the last such line",
                 s->n_crowded_untold);
    s->crowded_told_ms = now_ms;
    s->n_crowded_untold = 0;
    snprintf(text, sizeof(text), "greylist: %.*s has had %" PRIu32 " new triplets (new_per_network): further ones "
             "share rows%s", STR_ARG(greylist_question_network(question, false, network)),
             s->settings.greylist.new_per_network, others);
    note(s, LOG_LEVEL_WARNING, text);
}

static void count_bounded(struct stores *s) {
    for (size_t i = 0; i < s->batch.n_items; i++) {
        count(&s->counters->grouped, s->batch.items[i].is_grouped);
        if (s->batch.items[i].is_last_own)
            tell_crowded(s, &s->batch.items[i].question);
    }
}

static void keep_in_shared(struct stores *s, bool *ret_is_waited_for) {
    s->n_out = batch_changes_of(&s->batch, &s->batch.shared, s->now, s->out, ret_is_waited_for);
    if (s->n_out > 0 && s->is_shared_up && s->settings.shared->merge(s->shared, s->out, s->n_out, s->now) == 0)
        s->phase = PHASE_MERGING;
    else
        merge_local(s, s->out, s->n_out, true);
}

/* True: the batch is through. */
static bool decide(struct stores *s) {
    bool is_waited_for;
    s->now = time_of(s);
    batch_decide(&s->batch, &s->settings.greylist, &s->bound, s->now);
    count_bounded(s);
    answer_those(s, false, false);
    size_t n = batch_changes_of(&s->batch, &s->batch.local, s->now, s->out, &is_waited_for);
    s->is_kept = merge_local(s, s->out, n, s->shared != NULL && !s->is_read_from_shared);
    if (s->is_kept)
        names_add(&s->names, &s->batch);
    is_waited_for = false;
    if (s->is_read_from_shared)
        keep_in_shared(s, &is_waited_for);
    if (s->phase != PHASE_MERGING || !is_waited_for)
        answer_the_rest(s);
    if (s->phase == PHASE_MERGING)
        return false;
    finish(s);
    return true;
}

static bool give_up(struct stores *s) {
    for (size_t i = 0; i < s->batch.n_items; i++)
        answer(s, &s->batch.items[i], true);
    finish(s);
    return true;
}

static bool begin(struct stores *s) {
    struct batch *b = &s->batch;
    s->is_read_from_shared = s->is_kept = s->is_answered = false;
    const uint8_t *key = s->local != NULL ? local_hash_key(s->local) : s->shared_key;
    if (s->local == NULL && !s->is_shared_up)
        return give_up(s);
    bound_tick(&s->bound, clock_ms() / 1000);
    batch_find_keys(b, &s->bound, key);
    if (s->local != NULL && !is_done(s, local_read(s->local, b->local.at, b->local.has, b->n_keys)))
        memset(b->local.has, 0, sizeof(b->local.has));
    if (s->is_shared_up && s->settings.shared->read(s->shared, b->shared.at, b->shared.has, b->n_keys) == 0) {
        s->phase = PHASE_READING;
        return false;
    }
    return s->local != NULL ? decide(s) : give_up(s);
}

static void on_read(void *arg, enum shared_result result) {
    struct stores *s = arg;
    s->phase = PHASE_IDLE;
    s->is_read_from_shared = result == SHARED_DONE;
    if (result == SHARED_AWAY)
        memset(s->batch.shared.has, 0, sizeof(s->batch.shared.has));
    bool is_through = s->is_read_from_shared || s->local != NULL ? decide(s) : give_up(s);
    if (is_through)
        s->events->on_done(s->arg);
}

/* ---- what the shared store has missed */

static void settle_handover(struct stores *s) {
    bool is_through, is_another = local_shared_server(s->local)[0] != '\0';
    if (!is_done(s, handover_settle(&s->handover, s->local, s->n_out, &is_through)) || !is_through
        || (s->handover.n == 0 && !is_another))
        return;
    char text[160];
    snprintf(text, sizeof(text), "the shared store is %s: it has got all %" PRIu64 " rows that this host knows",
             is_another ? "another one than before" : "new to this host", s->handover.n);
    note(s, LOG_LEVEL_INFO, text);
}

/* What a batch may have waited for is over. */
static void go_on(struct stores *s) {
    s->phase = PHASE_IDLE;
    catch_up(s);
    show_state(s);
    if (!s->is_due) {
        push_or_rest(s);
        return;
    }
    s->is_due = false;
    if (begin(s))
        s->events->on_done(s->arg);
}

static void end_push(struct stores *s, enum shared_result result) {
    if (result == SHARED_DONE && s->local != NULL && s->is_handing_over)
        settle_handover(s);
    else if (result == SHARED_DONE && s->local != NULL)
        is_done(s, local_settle(s->local, s->out, s->n_out));
    go_on(s);
}

static void on_swept(void *arg, enum shared_result result, uint64_t n_dropped, const char *problem) {
    struct stores *s = arg;
    char text[STORE_WHY_MAX];
    count(&s->counters->swept, n_dropped);
    sweep_next(&s->shared_sweep, result == SHARED_DONE, clock_us() - s->sweep_began_us);
    s->sweep_ms = loop_now(s->loop) + (problem != NULL ? SWEEP_REFUSED_MS : SWEEP_SHARED_MS);
    if (problem != NULL && !s->is_sweep_refused) {
        snprintf(text, sizeof(text), "the shared store grows, since it cannot be swept: %s", problem);
        note(s, LOG_LEVEL_WARNING, text);
    }
    s->is_sweep_refused = problem != NULL;
    go_on(s);
}

static void on_merged(void *arg, enum shared_result result) {
    struct stores *s = arg;
    if (s->phase == PHASE_PUSHING) {
        end_push(s, result);
        return;
    }
    s->phase = PHASE_IDLE;
    if (result == SHARED_DONE)
        s->is_kept = true;
    else
        s->is_kept &= merge_local(s, s->out, s->n_out, true);
    answer_the_rest(s);
    finish(s);
    s->events->on_done(s->arg);
}

/* What is to be pushed next: `out`. False: nothing. */
static bool find_slice(struct stores *s) {
    s->is_handing_over = false;
    if (s->has_pending && !is_done(s, local_pending(s->local, s->out, PUSH_MAX, &s->n_out)))
        return false;
    s->has_pending = s->has_pending && s->n_out > 0;
    if (s->has_pending || !s->handover.is_due)
        return s->has_pending;
    s->is_handing_over = true;
    if (!is_done(s, handover_slice(&s->handover, s->local, s->out, PUSH_MAX, &s->n_out)))
        return false;
    if (s->n_out == 0)
        settle_handover(s);
    return s->n_out > 0;
}

/* Hands in a slice of what is pending, or sweeps one. A batch that comes meanwhile waits for a slice, not for all. */
static void push_or_rest(struct stores *s) {
    const struct shared_ops *shared = s->settings.shared;
    if (s->phase != PHASE_IDLE || !s->is_shared_up)
        return;
    if (s->local != NULL && find_slice(s)) {
        if (shared->merge(s->shared, s->out, s->n_out, time_of(s)) == 0)
            s->phase = PHASE_PUSHING;
    } else if (loop_now(s->loop) >= s->sweep_ms) {
        s->sweep_began_us = clock_us();
        if (shared->sweep(s->shared, s->shared_sweep.from, s->shared_sweep.to) == 0)
            s->phase = PHASE_SWEEPING;
    }
}

static void on_up(void *arg, const uint8_t *key, const char *server) {
    struct stores *s = arg;
    s->is_shared_up = true;
    s->has_shared_key = true;
    memcpy(s->shared_key, key, GREYLIST_KEY_SIZE);
    snprintf(s->server, sizeof(s->server), "%s", server);
    note(s, LOG_LEVEL_INFO, "the shared store is there");
    if (s->phase == PHASE_IDLE)
        introduce(s);
    else
        s->is_key_new = true;
    show_state(s);
    push_or_rest(s);
}

static void on_down(void *arg, const char *why) {
    struct stores *s = arg;
    char text[STORE_WHY_MAX];
    s->is_shared_up = false;
    snprintf(text, sizeof(text), "the shared store is away: %s", why);
    set_why(s, text);
    note(s, LOG_LEVEL_WARNING, text);
    show_state(s);
}

static void on_clock(void *arg, int64_t ahead_ms) {
    struct stores *s = arg;
    s->is_clock_wild = distance(ahead_ms, 0) > CLOCK_APART_MAX_MS;
    tell_clock(s, ahead_ms);
    if (s->is_clock_wild)
        ahead_ms = 0;
    if (s->has_clock && distance(ahead_ms, s->ahead_ms) < CLOCK_STEP_MS)
        return;
    s->has_clock = true;
    s->ahead_ms = ahead_ms;
    keep_clock(s);
}

static const struct shared_events shared_events = {
    .on_up = on_up, .on_down = on_down, .on_clock = on_clock, .on_read = on_read, .on_merged = on_merged,
    .on_swept = on_swept,
};

/* ---- upkeep, while nobody waits */

/* A slice of the count. The first one shows how far it is: a store of millions takes minutes. */
static void count_rows(struct stores *s) {
    struct store_counters *c = s->counters;
    struct local_counts counts = { 0 };
    bool is_round = true;
    if (s->local != NULL && !is_done(s, local_count_on(s->local, COUNT_US, &counts, &is_round)))
        counts = (struct local_counts){ 0 };
    if (is_round || counts.rows > c->rows)
        c->rows = counts.rows;
    if (is_round || counts.pending > c->pending)
        c->pending = counts.pending;
    c->bytes = counts.bytes;
    count(&c->rounds, is_round && s->local != NULL);
    if (is_round)
        s->count_ms = loop_now(s->loop) + COUNT_MS;
}

/* What is pushed or swept is the server's business meanwhile, and may go on for long. */
static bool is_nobody_waiting(const struct stores *s) {
    return s->phase != PHASE_READING && s->phase != PHASE_MERGING && !s->is_due && s->batch.n_items == 0;
}

static void on_sweep(struct timer *timer) {
    struct stores *s = (struct stores *)((char *)timer - offsetof(struct stores, sweep));
    uint64_t n_dropped = 0;
    bool is_round = false;
    if (is_nobody_waiting(s) && s->local != NULL)
        is_done(s, local_sweep(s->local, time_of(s), SWEEP_US, &n_dropped, &is_round));
    count(&s->counters->swept, n_dropped);
    if (s->local != NULL) /* or it goes on when that is there again */
        timer_set(s->loop, &s->sweep, loop_now(s->loop) + (is_round ? SWEEP_PAUSE_MS : SWEEP_EVERY_MS), on_sweep);
}

static void on_upkeep(struct timer *timer) {
    struct stores *s = (struct stores *)((char *)timer - offsetof(struct stores, upkeep));
    if (is_nobody_waiting(s) && s->local != NULL)
        is_done(s, names_write(&s->names, s->local));
    if (is_nobody_waiting(s) && loop_now(s->loop) >= s->count_ms)
        count_rows(s);
    if (loop_now(s->loop) >= s->look_ms) {
        s->look_ms = loop_now(s->loop) + LOOK_MS;
        s->is_look_due = true;
    }
    if (s->phase == PHASE_IDLE && s->is_look_due)
        look_at_place(s);
    if (s->shared != NULL && s->local != NULL && local_was_written(s->local))
        s->has_pending = true;
    show_state(s);
    push_or_rest(s);
    timer_set(s->loop, &s->upkeep, loop_now(s->loop) + UPKEEP_MS, on_upkeep);
}

/* ---- from start to end */

static void open_shared(struct stores *s) {
    char error[STORE_WHY_MAX];
    const struct stores_settings *set = &s->settings;
    const uint8_t *key = s->local != NULL && local_key_is_shared(s->local) ? local_hash_key(s->local) : NULL;
    if (set->shared->open(s->loop, set->conninfo, key, set->shared_timeout_ms, &shared_events, s, error, sizeof(error),
                          &s->shared) == 0)
        return;
    s->shared = NULL;
    set_why(s, error);
    note(s, LOG_LEVEL_ERROR, error);
}

int stores_new(struct loop *loop, const struct stores_settings *settings, struct store_counters *counters,
               const struct stores_events *events, void *arg, struct stores **ret_stores) {
    struct stores *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    *s = (struct stores){ .loop = loop, .settings = *settings, .counters = counters, .events = events, .arg = arg };
    bound_init(&s->bound);
    stores_set_greylist(s, &settings->greylist);
    open_local(s);
    s->sweep_ms = loop_now(loop) + SWEEP_SHARED_MS;
    sweep_init(&s->shared_sweep, clock_wall_ms() * 0x9e3779b97f4a7c15u); /* any place will do */
    if (settings->shared != NULL)
        open_shared(s);
    show_state(s);
    if (timer_set(loop, &s->upkeep, loop_now(loop) + UPKEEP_MS, on_upkeep) < 0) {
        stores_free(s);
        return -ENOMEM;
    }
    *ret_stores = s;
    return 0;
}

void stores_free(struct stores *take_stores) {
    struct stores *s = take_stores;
    if (s == NULL)
        return;
    if (s->shared != NULL)
        s->settings.shared->close(s->shared);
    if (s->local != NULL)
        names_write(&s->names, s->local);
    names_deinit(&s->names);
    local_close(s->local); /* which syncs */
    timer_cancel(s->loop, &s->retry);
    timer_cancel(s->loop, &s->upkeep);
    timer_cancel(s->loop, &s->sweep);
    timer_cancel(s->loop, &s->restore);
    batch_deinit(&s->batch);
    loop_free_later(s->loop, s);
}

void stores_set_greylist(struct stores *stores, const struct greylist_settings *greylist) {
    stores->settings.greylist = *greylist;
    bound_set(&stores->bound, greylist->new_per_network, greylist->unpassed_life);
}

struct batch *stores_batch(struct stores *stores) {
    return &stores->batch;
}

bool stores_is_running(const struct stores *stores) {
    return stores->is_due || stores->phase == PHASE_READING || stores->phase == PHASE_MERGING;
}

bool stores_run(struct stores *stores) {
    stores->began_us = clock_us();
    for (size_t i = 0; i < stores->batch.n_items; i++)
        count(stores->batch.items[i].is_credit ? &stores->counters->credits : &stores->counters->asked, 1);
    if (stores->phase == PHASE_IDLE)
        return begin(stores);
    stores->is_due = true;
    return false;
}
