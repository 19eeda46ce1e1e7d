/*
 * See the header. Also asserts what a caller owes a shared store: sorted keys, each once, one thing at a time.
 */
#include "fake_shared.h"

#include <assert.h>
#include <string.h>

struct fake_shared fake_shared;

struct row *fake_shared_find(int64_t key) {
    for (size_t i = 0; i < fake_shared.n_rows; i++)
        if (fake_shared.rows[i].key == key)
            return &fake_shared.rows[i];
    return NULL;
}

static int fake_open(struct loop *loop, const char *conninfo, const uint8_t *key, uint64_t timeout_ms,
                     const struct shared_events *events, void *arg, char *error, size_t error_size,
                     struct shared **ret) {
    fake_shared.events = events;
    fake_shared.arg = arg;
    fake_shared.is_open = true;
    fake_shared.was_offered_key = key != NULL;
    if (key != NULL)
        memcpy(fake_shared.offered_key, key, GREYLIST_KEY_SIZE);
    *ret = (struct shared *)&fake_shared;
    return 0;
}

static void fake_close(struct shared *take_shared) {
    fake_shared.is_open = false;
    fake_shared.reading = NULL;
    fake_shared.merging = NULL;
    fake_shared.is_sweeping = false;
}

static void fake_files(const char *conninfo, void (*on_file)(void *arg, const char *path), void *arg) {
    if (conninfo[0] == '/')
        on_file(arg, conninfo);
}

static void fake_ports(const char *conninfo, void (*on_port)(void *arg, uint16_t port), void *arg) {
}

static void begin(const struct row *rows, size_t n) {
    assert(fake_shared.reading == NULL && fake_shared.merging == NULL && !fake_shared.is_sweeping && n > 0);
    for (size_t i = 1; i < n; i++)
        assert(rows[i - 1].key < rows[i].key);
    fake_shared.n = n;
}

static int fake_read(struct shared *shared, struct row *rows, bool *has, size_t n) {
    begin(rows, n);
    fake_shared.reading = rows;
    fake_shared.reading_has = has;
    fake_shared.n_reads++;
    return 0;
}

static int fake_merge(struct shared *shared, const struct row *rows, size_t n, int64_t now) {
    begin(rows, n);
    fake_shared.merging = rows;
    fake_shared.now = now;
    fake_shared.n_merges++;
    fake_shared.largest = n > fake_shared.largest ? n : fake_shared.largest;
    return 0;
}

static int fake_sweep(struct shared *shared, int64_t from, int64_t to) {
    assert(fake_shared.reading == NULL && fake_shared.merging == NULL && !fake_shared.is_sweeping && from <= to);
    fake_shared.is_sweeping = true;
    fake_shared.sweep_from = from;
    fake_shared.sweep_to = to;
    fake_shared.n_sweeps++;
    return 0;
}

/* A row in the range whose end is 0 is one that is over. */
static uint64_t do_sweep(void) {
    size_t n = 0, n_before = fake_shared.n_rows;
    for (size_t i = 0; i < n_before; i++) {
        const struct row *row = &fake_shared.rows[i];
        bool is_over = row->expires == 0 && row->key >= fake_shared.sweep_from && row->key <= fake_shared.sweep_to;
        if (!is_over)
            fake_shared.rows[n++] = *row;
    }
    fake_shared.n_rows = n;
    return n_before - n;
}

static void do_read(void) {
    for (size_t i = 0; i < fake_shared.n; i++) {
        const struct row *row = fake_shared_find(fake_shared.reading[i].key);
        fake_shared.reading_has[i] = row != NULL;
        if (row != NULL)
            fake_shared.reading[i] = *row;
    }
}

static void do_merge(void) {
    for (size_t i = 0; i < fake_shared.n; i++) {
        struct row *row = fake_shared_find(fake_shared.merging[i].key);
        assert(row != NULL || fake_shared.n_rows < FAKE_ROWS_MAX);
        if (row != NULL)
            *row = row_merge(row, &fake_shared.merging[i], fake_shared.now);
        else
            fake_shared.rows[fake_shared.n_rows++] = fake_shared.merging[i];
    }
}

static void end(enum shared_result result) {
    bool is_read = fake_shared.reading != NULL, is_merge = fake_shared.merging != NULL;
    bool is_sweep = fake_shared.is_sweeping, is_swept = is_sweep && result == SHARED_DONE;
    uint64_t n_dropped = is_swept && fake_shared.sweep_problem == NULL ? do_sweep() : 0;
    fake_shared.reading = NULL;
    fake_shared.merging = NULL;
    fake_shared.is_sweeping = false;
    if (is_read)
        fake_shared.events->on_read(fake_shared.arg, result);
    else if (is_merge)
        fake_shared.events->on_merged(fake_shared.arg, result);
    else if (is_sweep)
        fake_shared.events->on_swept(fake_shared.arg, result, n_dropped, is_swept ? fake_shared.sweep_problem : NULL);
}

void fake_shared_complete(void) {
    if (fake_shared.reading != NULL)
        do_read();
    else if (fake_shared.merging != NULL)
        do_merge();
    end(SHARED_DONE);
}

void fake_shared_reset(uint8_t key_byte) {
    memset(&fake_shared, 0, sizeof(fake_shared));
    memset(fake_shared.key, key_byte, sizeof(fake_shared.key));
    fake_shared.server = "";
}

void fake_shared_up(void) {
    fake_shared.events->on_up(fake_shared.arg, fake_shared.key, fake_shared.server);
}

void fake_shared_clock(int64_t ahead_ms) {
    fake_shared.events->on_clock(fake_shared.arg, ahead_ms);
}

void fake_shared_down(void) {
    fake_shared.events->on_down(fake_shared.arg, "it was told to");
    end(SHARED_AWAY);
}

const struct shared_ops fake_shared_ops = {
    .version = SHARED_VERSION, .open = fake_open, .close = fake_close, .files = fake_files, .read = fake_read,
    .ports = fake_ports, .merge = fake_merge, .sweep = fake_sweep,
};
