/*
 * id: names for sessions that are unique over hosts, workers and restarts, and sort by time.
 *
 * 14 characters of lower-case base32hex (0-9a-v) = 70 bits: 42 of wall-clock ms, 8 of host number, 8 of process number
 * (counted up by the master at each start of a process), 12 of counter. The n-th decision of a session is ID.n, which
 * replies show.
 */
#pragma once

#include <stdint.h>

enum { ID_LEN = 14, ID_TEXT_MAX = ID_LEN + 11 /* ID.n */ };

struct id_source {
    uint8_t host, process;
    uint16_t counter; /* of the next id in last_ms */
    uint64_t last_ms; /* never goes back: a wall clock set back, or 4096 ids within one ms, borrow from the future */
};

/*
 * For who starts processes: the latest wall-clock time at which ids can have been taken. With it two processes of the
 * same number never meet, when the clock was set back between them.
 */
struct id_clock {
    uint64_t latest_ms;
};

/* Ids may have been taken until `wall_ms`. */
void id_clock_note(struct id_clock *clock, uint64_t wall_ms);

/*
 * A process starts now. Returns the last_ms that its source begins with: 0, or, where the clock stands before what was
 * noted, a time so far later than that that what others took since the last note (less than ID_CLOCK_STEP_MS ago) lies
 * before it.
 */
uint64_t id_clock_start(struct id_clock *clock, uint64_t wall_ms);

enum { ID_CLOCK_STEP_MS = 60000 };

/* Writes the next id and a NUL. */
void id_next(struct id_source *source, uint64_t wall_ms, char out[ID_LEN + 1]);

/*
 * ID or ID.n as people bring it: with the brackets of a reply, as the log's ID_n, in capitals, between blanks. Only its
 * shape is looked at. Returns 0 or -EINVAL.
 */
int id_clean(const char *text, char out[ID_TEXT_MAX + 1]);

/* The wall-clock ms inside an id, ID or ID.n. Returns 0 or -EINVAL. */
int id_time(const char *id, uint64_t *ret_ms);

/* The same with the process number. */
int id_parse(const char *id, uint64_t *ret_ms, unsigned *ret_process);
