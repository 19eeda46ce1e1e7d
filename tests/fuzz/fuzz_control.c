/*
 * The control socket's parser, fed as the server feeds it: the same bytes again with more behind them. What is
 * decided must not depend on how the bytes were cut: the first answer that is not "more" must be the answer to the
 * whole.
 */
#include "cmd/control.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum control_request whole = CONTROL_HELP, part = CONTROL_HELP;
    int r = control_parse((struct str){ (const char *)data, size }, &whole);
    int first = CONTROL_MORE;
    for (size_t len = 0; len <= size && first == CONTROL_MORE; len++)
        first = control_parse((struct str){ (const char *)data, len }, &part);
    if (first != r || (r == 0 && part != whole) || r < 0)
        abort();
    if (r > 0 && control_result_text((enum control_result)r)[0] == '\0')
        abort();
    return 0;
}
