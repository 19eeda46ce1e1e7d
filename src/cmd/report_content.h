/*
 * report_content: `postern report content`, see report_content.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Reads the journal in `dir` from `since_ms` on (wall clock; 0: all) and prints. Returns the exit code. */
int report_content(const char *dir, uint64_t since_ms, bool is_json);
