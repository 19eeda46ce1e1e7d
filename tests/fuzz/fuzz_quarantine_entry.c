/*
 * fuzz_quarantine_entry: what passes for a file of the quarantine comes back the same when it is written again, and
 * what does not is refused without harm.
 */
#include "quarantine/entry.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct str text = { (const char *)data, size };
    struct arena arena = { 0 };
    struct quarantine_entry entry, again;
    struct buf out;
    size_t len, len_again;
    int r = quarantine_entry_parse(text, &arena, &entry, &len);
    assert(r == 0 || r == -EAGAIN || r == -EBADMSG);
    if (r == 0) {
        assert(len <= size && entry.id.len > 0 && entry.n_recipients > 0);
        buf_init(&out, 1 << 24);
        assert(quarantine_entry_format(&entry, &out) == 0);
        assert(quarantine_entry_parse(buf_str(&out), &arena, &again, &len_again) == 0);
        assert(len_again == out.len && str_eq(entry.id, again.id) && str_eq(entry.details, again.details));
        assert(entry.n_recipients == again.n_recipients && entry.is_8bit == again.is_8bit);
        for (size_t i = 0; i < entry.n_recipients; i++)
            assert(str_eq(entry.recipients[i], again.recipients[i]) && str_eq(entry.addresses[i], again.addresses[i]));
        buf_deinit(&out);
    }
    arena_reset(&arena);
    return 0;
}
