/*
 * json_line: an object on standard output, in a line of its own. Its members are put with record_…(&json.record, …).
 */
#pragma once

#include "journal/record.h"

struct json_line {
    struct buf text;
    struct record record;
};

void json_line_begin(struct json_line *json);

/* Prints it, and frees its memory. Returns 0, or negative: that it did not fit is told. */
int json_line_end(struct json_line *json);
