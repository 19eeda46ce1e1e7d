/*
 * block_list: `block_list ZONE { … }` of postern.conf, as the program sees it; facts/dnsbl.h says what is done with it.
 */
#pragma once

#include "policy/facts.h"

enum { CONF_BLOCK_LISTS_MAX = 64 /* sets of them are the bits of a word */, CONF_CODES_MAX = 32, CONF_PROBES_MAX = 2 };

struct conf_code_range { /* of return codes, host byte order; both ends belong to it */
    uint32_t first, last;
};

struct conf_codes {
    struct conf_code_range *at;
    size_t n; /* 0: every code is a listing */
};

/* `probe standard|none` or `probe LISTED CLEAN`, the latter once for each family of addresses. */
enum conf_probe_use { CONF_PROBE_STANDARD, CONF_PROBE_NONE, CONF_PROBE_NAMED };

struct conf_probes {
    enum conf_probe_use use;
    struct {
        const char *listed, *clean; /* addresses or names */
    } at[CONF_PROBES_MAX]; /* CONF_PROBE_NAMED */
    size_t n;
};

struct conf_block_list {
    const char *zone;    /* as people see it */
    const char *key;     /* labels in front of the zone, known to its subscriber alone; NULL: none. Never shown */
    const char *group;   /* "" none */
    int64_t weight;      /* in thousandths; not positive: a welcome list, which only `score` sees */
    unsigned families;   /* bit 1 << enum list_family; LISTS_CLIENT stands alone */
    struct conf_codes codes;
    struct conf_probes probes;
};
