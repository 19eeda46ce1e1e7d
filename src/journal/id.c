/*
 * id: 70 bits that name a session.
 *
 * Time stands first, so that ids sort by time as plain text, over hosts and workers. No random bits and no lock: host,
 * process number and counter make two ids of one millisecond differ, and the time never goes back within a process, so
 * the counter may begin at 0 in each millisecond. A worker that makes more than 4,096 in one, or whose clock was set
 * back, takes them from the milliseconds to come. A worker that restarts has another process number, and begins no
 * earlier than any worker before it can have ended (struct id_clock), of which the journal tells after a restart of
 * all.
 *
 * Base32hex (RFC 4648 section 7) and not base64: it keeps the order, reads over a telephone, and is a plain word to
 * grep. Rejected: UUIDs (36 characters in a reply line of 512 bytes, of which most say nothing).
 */
#include "journal/id.h"

#include "base/str.h"

#include <errno.h>
#include <string.h>

static const char DIGITS[] = "0123456789abcdefghijklmnopqrstuv";

enum { COUNTER_END = 1 << 12, LOW_BITS = 28, TIME_BITS = 42 };

void id_next(struct id_source *source, uint64_t wall_ms, char out[ID_LEN + 1]) {
    if (wall_ms > source->last_ms) {
        source->last_ms = wall_ms;
        source->counter = 0;
    } else if (source->counter >= COUNTER_END) {
        source->last_ms++;
        source->counter = 0;
    }
    uint64_t time = source->last_ms & ((UINT64_C(1) << TIME_BITS) - 1);
    uint32_t low = (uint32_t)source->host << 20 | (uint32_t)source->process << 12 | source->counter++;
    /* 14 digits of 5 bits: 8 of the time alone, one of its last 2 bits and 3 of the rest, 5 of the rest alone. */
    uint64_t head = time << 3 | low >> (LOW_BITS - 3);
    for (int i = 8; i >= 0; i--, head >>= 5)
        out[i] = DIGITS[head & 31];
    for (int i = 13; i > 8; i--, low >>= 5)
        out[i] = DIGITS[low & 31];
    out[ID_LEN] = '\0';
}

void id_clock_note(struct id_clock *clock, uint64_t wall_ms) {
    if (wall_ms > clock->latest_ms)
        clock->latest_ms = wall_ms;
}

/* A process that starts behind the clock lives in the step that it is given: 4,096 ids for each ms of it. */
uint64_t id_clock_start(struct id_clock *clock, uint64_t wall_ms) {
    if (wall_ms >= clock->latest_ms) {
        clock->latest_ms = wall_ms;
        return 0;
    }
    clock->latest_ms += ID_CLOCK_STEP_MS;
    return clock->latest_ms;
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'v' ? c - 'a' + 10 : -1;
}

int id_parse(const char *id, uint64_t *ret_ms, unsigned *ret_process) {
    uint64_t head = 0, tail = 0; /* the first 9 digits end within the number of the host */
    for (int i = 0; i < ID_LEN; i++) {
        int value = digit_value(id[i]); /* a NUL is no digit: a short id ends here */
        if (value < 0)
            return -EINVAL;
        if (i < 9)
            head = head << 5 | (uint64_t)value;
        else
            tail = tail << 5 | (uint64_t)value;
    }
    if (id[ID_LEN] != '\0' && id[ID_LEN] != '.')
        return -EINVAL;
    *ret_ms = head >> 3;
    *ret_process = (unsigned)(tail >> 12 & 255);
    return 0;
}

static bool is_digits(const char *text) {
    return text[strspn(text, "0123456789")] == '\0';
}

int id_clean(const char *text, char out[ID_TEXT_MAX + 1]) {
    struct str id = str_trim(str_of(text));
    uint64_t ms;
    if (id.len > 2 && id.at[0] == '[' && id.at[id.len - 1] == ']')
        id = (struct str){ id.at + 1, id.len - 2 };
    if (id.len < ID_LEN || id.len > ID_TEXT_MAX)
        return -EINVAL;
    memcpy(out, id.at, id.len);
    out[id.len] = '\0';
    for (size_t i = 0; i < id.len; i++)
        out[i] = out[i] >= 'A' && out[i] <= 'V' ? (char)(out[i] - 'A' + 'a') : out[i];
    if (out[ID_LEN] == '_')
        out[ID_LEN] = '.';
    return id_time(out, &ms) == 0 && (id.len == ID_LEN || is_digits(out + ID_LEN + 1)) ? 0 : -EINVAL;
}

int id_time(const char *id, uint64_t *ret_ms) {
    unsigned process;
    return id_parse(id, ret_ms, &process);
}
