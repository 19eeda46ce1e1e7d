/*
 * journal_report: what `postern report NAME` is made of. Each report counts records of the journal in a struct of its
 * own; journal_report.c reads the journal, and brings what was counted to the reader, or to a program as JSON.
 */
#pragma once

#include "journal/members.h"
#include "journal/record.h"

struct journal_report {
    const char *name;
    size_t size; /* of the struct it counts in, all-zero at first */

    /*
     * One record, members->at[0], that stands for `n` decisions; what a record names may be anything. Returns 0, or
     * -errno to read no further.
     */
    int (*add)(void *counts, const struct members *members, uint64_t n);
    void (*finish)(void *counts); /* all is counted. Also when the journal could not be read to its end */
    void (*print)(const void *counts);
    void (*record)(const void *counts, struct record *r); /* the members of a JSON object */
    void (*release)(void *counts);                        /* what they hold, not themselves */
};

extern const struct journal_report report_content, report_greylist, report_lists, report_policy;

/* How wide a column is that ends with `largest`. */
int report_width(uint64_t largest);
