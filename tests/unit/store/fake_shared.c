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
}

static void fake_files(const char *conninfo, void (*on_file)(void *arg, const char *path), void *arg) {
    if (conninfo[0] == '/')
        on_file(arg, conninfo);
}

static void begin(const struct row *rows, size_t n) {
    assert(fake_shared.reading == NULL && fake_shared.merging == NULL && n > 0);
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
    fake_shared.reading = NULL;
    fake_shared.merging = NULL;
    if (is_read)
        fake_shared.events->on_read(fake_shared.arg, result);
    else if (is_merge)
        fake_shared.events->on_merged(fake_shared.arg, result);
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
    .merge = fake_merge,
};
