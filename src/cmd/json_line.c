/*
 * json_line: see the header.
 */
#include "cmd/json_line.h"

#include <stdio.h>

enum { JSON_MAX = 64 << 20 };

void json_line_begin(struct json_line *json) {
    buf_init(&json->text, JSON_MAX);
    record_begin(&json->record, &json->text);
}

int json_line_end(struct json_line *json) {
    int r = record_end(&json->record);
    if (r == 0)
        fwrite(json->text.at, 1, json->text.len, stdout);
    else
        fprintf(stderr, "postern: what should be printed does not fit into a line of JSON\n");
    buf_deinit(&json->text);
    return r;
}
