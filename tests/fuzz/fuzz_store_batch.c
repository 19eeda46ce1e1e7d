/*
 * fuzz_store_batch: batches of the store process over rows that other hosts, or whoever got into the database, have
 * written: any numbers. Whatever they are, answers and rows stay within what the settings allow, what is merged twice
 * is merged once, and the two stores agree afterwards about what was asked.
 *
 * The bytes: six of settings, then operations of a byte and what it needs.
 *
 *     0 question   1 credit   2 a row that stands in the local store, the shared one, or both   3 time goes on
 *     4 the batch runs
 */
#include "store/batch.h"
#include "store/greylist_question.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TABLE_MAX = 512, CLIENTS = 4, WORDS = 4, START = 1700000000 };

struct table { /* a store in memory */
    struct row at[TABLE_MAX];
    size_t n;
};

struct input {
    const uint8_t *at;
    size_t len;
};

struct play {
    struct input in;
    struct greylist_settings settings;
    struct bound bound;
    struct batch batch;
    struct table local, shared;
    int64_t now;
};

static const uint8_t hash_key[GREYLIST_KEY_SIZE] = "0123456789abcde";
static const char *const words[WORDS] = { "<>", "anna@example.net", "bert@example.com", "carl@example.org" };
static const struct greylist_question clients[CLIENTS] = {
    { .identities = { STR_INIT("ip:192.0.2.1") }, .n_identities = 1 },
    { .identities = { STR_INIT("net:192.0.2.0/24"), STR_INIT("ip:192.0.2.7") }, .n_identities = 2, .n_looked_up = 1 },
    { .identities = { STR_INIT("spf:a.example"), STR_INIT("org:b.example"), STR_INIT("ip:2001:db8::/64") },
      .n_identities = 3 },
    { .identities = { STR_INIT("org:b.example"), STR_INIT("ip:198.51.100.1") }, .n_identities = 2 },
};

/* ---- input */

static void take(struct input *in, void *out, size_t size) {
    size_t n = size < in->len ? size : in->len;
    memset(out, 0, size);
    memcpy(out, in->at, n);
    in->at += n;
    in->len -= n;
}

static uint8_t take_byte(struct input *in) {
    uint8_t byte;
    take(in, &byte, 1);
    return byte;
}

static struct greylist_question take_question(struct input *in) {
    struct greylist_question q = clients[take_byte(in) % CLIENTS];
    uint8_t who = take_byte(in);
    q.sender = str_of(words[who % WORDS]);
    q.recipient = str_of(words[1 + who / WORDS % (WORDS - 1)]);
    q.is_null_sender = who % WORDS == 0;
    q.is_read_only = take_byte(in) % 4 == 3;
    assert(greylist_question_is_sound(&q));
    return q;
}

/* ---- tables */

static struct row *find(struct table *table, int64_t key) {
    for (size_t i = 0; i < table->n; i++)
        if (table->at[i].key == key)
            return &table->at[i];
    return NULL;
}

static void read_rows(struct table *table, struct batch_rows *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct row *row = find(table, rows->at[i].key);
        rows->has[i] = row != NULL;
        if (row != NULL)
            rows->at[i] = *row;
    }
}

static void put(struct table *table, const struct row *row, int64_t now) {
    struct row *old = find(table, row->key);
    if (old != NULL)
        *old = row_merge(old, row, now);
    else if (table->n < TABLE_MAX)
        table->at[table->n++] = *row;
}

/* Something that the input knows a key of, with any numbers. */
static void plant(struct play *p) {
    uint8_t what = take_byte(&p->in), where = take_byte(&p->in);
    const struct greylist_question q = clients[what % CLIENTS];
    struct str identity = q.identities[what / CLIENTS % q.n_identities];
    struct row row = { 0 };
    take(&p->in, &row.first, 8);
    take(&p->in, &row.last, 8);
    take(&p->in, &row.expires, 8);
    take(&p->in, &row.forgot, 8);
    take(&p->in, &row.passes, 4);
    row.key = where % 8 < 4 ? greylist_identity_key(hash_key, identity)
                            : greylist_triplet_key(hash_key, identity, str_of(words[where / 8 % WORDS]),
                                                   str_of(words[1 + where / 32 % (WORDS - 1)]));
    if (where % 4 != 1)
        put(&p->local, &row, p->now);
    if (where % 4 != 0)
        put(&p->shared, &row, p->now);
}

/* ---- what must hold */

static void check_row(const struct play *p, const struct row *row) {
    assert(row->first >= 0 && row->last >= 0 && row->passes >= 0 && row->passes <= ROW_PASSES_MAX + 1);
    assert(row->expires >= 0 && row->expires <= p->now + ROW_LIFE_MAX);
    assert(row->forgot <= p->now + ROW_CLOCK_MAX);
}

static void check_answer(const struct play *p, const struct batch_item *item) {
    const struct greylist_answer *answer = &item->answer;
    if (item->is_credit)
        return;
    assert(answer->status <= GREYLIST_WHITELISTED);
    if (answer->status == GREYLIST_NEW || answer->status == GREYLIST_EARLY)
        assert(answer->seconds_left <= p->settings.delay);
    if (answer->status == GREYLIST_RETRY || answer->status == GREYLIST_AUTOWHITELIST)
        assert(answer->waited >= p->settings.delay);
    assert(!answer->may_count || (!item->question.is_null_sender && p->settings.whitelist_after > 0));
}

/* Of a row that says nothing only `forgot` counts. */
static bool is_same(const struct row *a, const struct row *b, int64_t now) {
    if (!row_is_alive(a, now) && !row_is_alive(b, now))
        return a->forgot == b->forgot;
    return a->first == b->first && a->last == b->last && a->expires == b->expires && a->forgot == b->forgot &&
           a->passes == b->passes;
}

/* Merges what the batch says is to be, and the same again, which changes nothing. */
static void keep(struct play *p, struct table *table, const struct batch_rows *held) {
    static struct row rows[BATCH_KEYS_MAX];
    bool is_waited_for;
    size_t n = batch_changes_of(&p->batch, held, p->now, rows, &is_waited_for);
    assert(n <= p->batch.n_keys);
    for (size_t i = 0; i < n; i++) {
        assert(i == 0 || rows[i - 1].key < rows[i].key);
        check_row(p, &rows[i]);
        put(table, &rows[i], p->now);
        const struct row *kept = find(table, rows[i].key);
        if (kept == NULL)
            continue; /* the table is full */
        const struct row once = *kept;
        put(table, &rows[i], p->now);
        assert(is_same(&once, find(table, rows[i].key), p->now));
    }
}

static void run(struct play *p) {
    struct batch *b = &p->batch;
    batch_find_keys(b, &p->bound, hash_key);
    assert(b->n_keys <= BATCH_KEYS_MAX);
    read_rows(&p->local, &b->local, b->n_keys);
    read_rows(&p->shared, &b->shared, b->n_keys);
    batch_decide(b, &p->settings, &p->bound, p->now);
    for (size_t i = 0; i < b->n_items; i++)
        check_answer(p, &b->items[i]);
    keep(p, &p->local, &b->local);
    keep(p, &p->shared, &b->shared);
    batch_clear(b);
}

/* ---- */

static void add(struct play *p, uint8_t type) {
    const struct store_message message = { .type = type, .number = 1, .question = take_question(&p->in) };
    if (batch_is_full(&p->batch))
        run(p);
    assert(batch_add(&p->batch, p, &message) == 0);
}

static void take_settings(struct play *p) {
    uint8_t bytes[6];
    take(&p->in, bytes, sizeof(bytes));
    p->settings = (struct greylist_settings){
        .delay = bytes[0] * 4u, .unpassed_life = 1 + bytes[1] * 1000u, .passed_life = 1 + bytes[2] * 1237000u,
        .whitelist_life = 1 + bytes[3] * 1237000u, .whitelist_after = bytes[4] % 8u, .new_per_network = bytes[5] % 16u,
    };
    bound_init(&p->bound);
    memset(p->bound.keys, 1, sizeof(p->bound.keys)); /* the same run each time */
    bound_set(&p->bound, p->settings.new_per_network, p->settings.unpassed_life);
    bound_tick(&p->bound, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play *p = calloc(1, sizeof(*p));
    assert(p != NULL);
    p->in = (struct input){ data, size };
    p->now = START;
    take_settings(p);
    while (p->in.len > 0) {
        switch (take_byte(&p->in) % 5) {
        case 0:
            add(p, STORE_QUESTION);
            break;
        case 1:
            add(p, STORE_CREDIT);
            break;
        case 2:
            plant(p);
            break;
        case 3:
            p->now += (int64_t)take_byte(&p->in) * 997;
            bound_tick(&p->bound, (uint64_t)(p->now - START));
            break;
        default:
            run(p);
            break;
        }
    }
    run(p);
    batch_deinit(&p->batch);
    free(p);
    return 0;
}
