/*
 * block_list_load: which block lists does this configuration name, and how do they fit together?
 *
 * One block is one zone. The same zone may stand twice, once for addresses and once for names; what is asked about
 * twice in one family would count twice.
 */
#include "conf/block_list_load.h"

#include "conf/list.h"
#include "smtp/address.h"

#define FAIL(reader, word, ...) diag_error((reader)->diag, (reader)->source, (word)->at, __VA_ARGS__)

bool block_list_parse_head(const struct value_reader *reader, const struct statement *statement,
                           struct conf_block_list *ret_list, int *ret_error) {
    const struct word *words = statement->words;
    *ret_error = 0;
    if (statement->n_words != 2 || smtp_domain_parse(words[1].text, false, false) != SMTP_ADDRESS_OK) {
        FAIL(reader, &words[statement->n_words - 1], "expected 'block_list ZONE', such as bl.example.net");
        return false;
    }
    if (reader->conf->n_block_lists == CONF_BLOCK_LISTS_MAX) {
        FAIL(reader, &words[0], "more than %d block lists", CONF_BLOCK_LISTS_MAX);
        return false;
    }
    ret_list->zone = arena_strdup(&reader->conf->arena, words[1].text);
    *ret_error = ret_list->zone == NULL ? -ENOMEM : 0;
    return *ret_error == 0;
}

/* A probe of the other kind would never be asked. */
static bool fits_families(const struct conf_block_list *list) {
    for (size_t i = 0; i < list->probes.n; i++) {
        struct ip ip;
        bool is_address = ip_parse(str_of(list->probes.at[i].listed), &ip) == 0;
        if (is_address != (list->families >> LISTS_CLIENT & 1))
            return false;
    }
    return true;
}

int block_list_add(const struct value_reader *reader, const struct statement *statement,
                   const struct conf_block_list *list) {
    struct conf *conf = reader->conf;
    if (!fits_families(list))
        FAIL(reader, &statement->words[0], "its probes are not of the kind that it is for");
    for (size_t i = 0; i < conf->n_block_lists; i++) {
        const struct conf_block_list *other = &conf->block_lists[i];
        if (str_eq_nocase(str_of(other->zone), str_of(list->zone)) && (other->families & list->families) != 0)
            FAIL(reader, &statement->words[1], "a second block_list %s for the same", list->zone);
    }
    int r = list_grow(&conf->arena, &conf->block_lists, conf->n_block_lists, sizeof(*list));
    if (r == 0)
        conf->block_lists[conf->n_block_lists++] = *list;
    return r;
}
