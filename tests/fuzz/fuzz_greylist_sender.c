/*
 * fuzz_greylist_sender: any two addresses give a bounded sender that depends neither on the case of letters nor on what
 * stood in the buffer before.
 *
 * Input: the sender, a line end, the recipient. What is no address by RFC 5321 is split as the Postfix door splits it.
 */
#include "facts/greylist_sender.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 600 };

static struct smtp_address address_of(struct str text) {
    struct smtp_address address = { 0 };
    size_t at = str_find_last(text, '@');
    if (text.len > 0 && smtp_address_parse(text, true, &address) != SMTP_ADDRESS_OK)
        address = (struct smtp_address){ .text = text, .local = str_head(text, at), .domain = str_from(text, at + 1) };
    return address;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char upper[TEXT_MAX], out[GREYLIST_TEXT_MAX], again[GREYLIST_TEXT_MAX];
    struct str text = { (const char *)data, size < TEXT_MAX ? size : TEXT_MAX };
    size_t line = str_find(text, '\n');
    struct smtp_address sender = address_of(str_head(text, line)), recipient = address_of(str_from(text, line + 1));
    struct str known = greylist_sender(&sender, &recipient, out);
    assert(known.len > 0 && known.len <= GREYLIST_TEXT_MAX);
    assert(sender.local.len == 0 || sender.domain.len == 0 || str_find(known, '@') < known.len);
    for (size_t i = 0; i < known.len; i++)
        assert(known.at[i] < 'A' || known.at[i] > 'Z');
    for (size_t i = 0; i < text.len; i++)
        upper[i] = (char)(data[i] >= 'a' && data[i] <= 'z' ? data[i] - 32 : data[i]);
    memset(again, 'x', sizeof(again));
    sender = address_of((struct str){ upper, line });
    recipient = address_of(str_from((struct str){ upper, text.len }, line + 1));
    assert(str_eq(greylist_sender(&sender, &recipient, again), known));
    return 0;
}
