/* fuzz journal: any line as a record; members stay inside their parents, texts inside the line. */
#include "journal/members.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct members members;

static void check(const char *line, size_t size, const struct member *parent) {
    int64_t number;
    for (const struct member *m = NULL; (m = members_next(&members, parent, m)) != NULL;) {
        if (m->end <= m - members.at || m->end > parent->end)
            abort();
        if (m->text.len > 0 && (m->text.at < line || m->text.at + m->text.len > line + size))
            abort();
        if (m->type != MEMBER_OBJECT && m->type != MEMBER_ARRAY && m->end != m - members.at + 1)
            abort();
        members_thousandths(m, &number);
        check(line, size, m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *line = malloc(size > 0 ? size : 1);
    if (line == NULL)
        return 0;
    if (size > 0)
        memcpy(line, data, size);
    if (members_parse(line, size, &members) == 0) {
        check(line, size, &members.at[0]);
        members_find(&members, &members.at[0], "facts");
    }
    free(line);
    return 0;
}
