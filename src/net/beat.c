/*
 * beat: see the header.
 *
 * The name is read only where it lies inside the program itself, which every process has at the same address: one that
 * was taken over may leave any number there, and a module that only the other process has loaded leaves one that means
 * nothing here.
 *
 * Rejected: a thread that watches inside each process (it shares its fate, and a worker may not have one); a timer that
 * beats (it wakes an idle host); the time of the last beat alone (a suspended host would look like a stuck one).
 */
#include "net/beat.h"

#include <stdio.h>
#include <string.h>

/* The bounds of the program in memory; set by the linker. */
extern const char __executable_start[], _end[];

void beat_whose(struct beat *beat, const char *id) {
    unsigned i = 0;
    for (; i < BEAT_WHOSE_MAX - 1 && id[i] != '\0'; i++)
        atomic_store_explicit(&beat->whose[i], (uint8_t)id[i], memory_order_relaxed);
    atomic_store_explicit(&beat->whose[i], 0, memory_order_relaxed);
}

bool beat_look(struct beat_look *look, const struct beat *beat, uint64_t now_ms, unsigned n_looks) {
    const uint64_t due_ms = atomic_load_explicit(&beat->due_ms, memory_order_relaxed);
    const bool is_still = due_ms != 0 && due_ms == look->due_ms && due_ms < now_ms;
    look->n_still = is_still ? look->n_still + 1 : 0;
    look->due_ms = due_ms;
    return look->n_still >= n_looks;
}

/* What of an id may stand in a line of the log. */
static bool is_plain(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_of_name(char c) {
    return is_plain(c) || (c != '\0' && strchr(" _-./:()>&[]", c) != NULL);
}

static size_t copy_name(const char *name, char *out, size_t max) {
    size_t n = 0;
    for (; n < max && name + n < _end && is_of_name(name[n]); n++)
        out[n] = name[n];
    out[n] = '\0';
    return n;
}

static size_t copy_whose(const struct beat *beat, char *out) {
    size_t n = 0;
    for (char c; n < BEAT_WHOSE_MAX - 1; out[n++] = c) {
        c = (char)atomic_load_explicit(&beat->whose[n], memory_order_relaxed);
        if (!is_plain(c))
            break;
    }
    out[n] = '\0';
    return n;
}

/* Names begin with the file as the compiler was given it. */
static const char *without_root(const char *name) {
    const char *at = strstr(name, "src/");
    return at != NULL ? at + 4 : name;
}

char *beat_format(const struct beat *beat, char out[BEAT_TEXT_MAX]) {
    const char *name = atomic_load_explicit(&beat->doing, memory_order_relaxed);
    char text[BEAT_TEXT_MAX - 32] = "nothing", whose[BEAT_WHOSE_MAX];
    if (name != NULL && name >= __executable_start && name < _end)
        copy_name(name, text, sizeof(text) - 1);
    else if (name != NULL)
        snprintf(text, sizeof(text), "a module");
    bool has_whose = copy_whose(beat, whose) > 0;
    snprintf(out, BEAT_TEXT_MAX, "%s%s%s", without_root(text), has_whose ? " sid=" : "", whose);
    return out;
}
