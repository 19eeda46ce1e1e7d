/*
 * report_lists: `postern report lists`, see report_lists.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Reads the journal in `dir` from `since_ms` on (wall clock; 0: all) and prints. Returns the exit code. */
int report_lists(const char *dir, uint64_t since_ms, bool is_json);
