/*
 * A DNS answer of arbitrary bytes: never read past its end, and what is told of it lies within the answer. The first
 * byte chooses the type asked for.
 */
#include "net/dns_message.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct dns_answer *answer, struct str text) {
    if (text.len == 0)
        return;
    if (text.at < answer->text || text.at + text.len > answer->text + answer->text_len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum dns_type types[] = { DNS_A, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA };
    struct dns_answer answer;
    if (size < 1)
        return 0;
    enum dns_type type = types[data[0] % 5];
    int r = dns_message_parse(data + 1, size - 1, type, &answer);
    if (r < 0 && (answer.status != DNS_UNAVAILABLE || answer.n != 0))
        abort();
    if ((answer.status == DNS_FOUND) != (answer.n > 0) || answer.n > DNS_RECORDS_MAX)
        abort();
    for (unsigned i = 0; i < answer.n; i++) {
        bool is_address = type == DNS_A || type == DNS_AAAA;
        if (is_address != (answer.records[i].ip.family != IP_NONE))
            abort();
        check_text(&answer, answer.records[i].text);
    }
    return 0;
}
