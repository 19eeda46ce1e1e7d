/* schema: the hash key as text, the same in both databases. */
#include "store/schema.h"

#include <stdio.h>
#include <string.h>

static int nibble(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool schema_key_parse(const char *text, uint8_t ret_key[GREYLIST_KEY_SIZE]) {
    if (strlen(text) != SCHEMA_KEY_TEXT - 1)
        return false;
    for (size_t i = 0; i < GREYLIST_KEY_SIZE; i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

char *schema_key_format(const uint8_t key[GREYLIST_KEY_SIZE], char out[SCHEMA_KEY_TEXT]) {
    for (size_t i = 0; i < GREYLIST_KEY_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", key[i]);
    return out;
}
