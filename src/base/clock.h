/*
 * clock: the only place that asks the kernel for the time.
 *
 * The loop reads it once a turn (loop_now()); pure code gets time as a value.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Milliseconds and microseconds of a clock that never goes back; its zero means nothing. */
uint64_t clock_ms(void);
uint64_t clock_us(void);

/* Milliseconds since 1970 UTC. */
uint64_t clock_wall_ms(void);

enum { CLOCK_RFC3339_MAX = 32, CLOCK_RFC5322_MAX = 40 };

/* "2026-11-21T22:44:42.123Z". Returns `out`. */
char *clock_format_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_MAX]);

/* "Sat, 21 Nov 2026 22:44:42 +0000 (UTC)", in the local zone as the process found it at start. Returns `out`. */
char *clock_format_rfc5322(uint64_t wall_ms, char out[CLOCK_RFC5322_MAX]);
