/*
 * Fuzzer of conf/: any text either is refused with a message, or loads, and then its dump loads to the same dump.
 */
#include "base/hash.h"
#include "conf/conf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

/* NULL when the text is refused. */
static struct conf *load(struct str text) {
    struct diag_list diag;
    struct conf *conf = NULL;
    diag_init(&diag);
    int r = conf_load_text("/nowhere/postern.conf", text, &diag, &conf);
    require((r == 0) == (diag.errors == 0) && (r == 0) == (conf != NULL));
    require(diag.errors == 0 || diag.text.len > 0);
    diag_deinit(&diag);
    return conf;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool is_set_up;
    if (!is_set_up)
        hash_init();
    is_set_up = true;
    struct conf *first = load((struct str){ (const char *)data, size });
    if (first == NULL)
        return 0;
    for (size_t i = 0; i < first->n_domains; i++)
        require(conf_domain_find(first, str_of(first->domains[i].name)) == &first->domains[i]);
    struct buf once, twice;
    buf_init(&once, 1 << 26);
    buf_init(&twice, 1 << 26);
    require(conf_dump(first, &once) == 0);
    struct conf *second = load(buf_str(&once));
    require(second != NULL && conf_dump(second, &twice) == 0);
    require(str_eq(buf_str(&once), buf_str(&twice)));
    buf_deinit(&once);
    buf_deinit(&twice);
    conf_free(second);
    conf_free(first);
    return 0;
}
