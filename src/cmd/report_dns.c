/*
 * Is there room for questions to DNS? The part of the report that is about the resolvers of all workers: nothing where
 * no policy asks.
 *
 * A client's network or a domain that has its share is what shares are for: it is counted, logged and shown, and wakes
 * no one. No room at all is felt by every client, so it warns.
 */
#include "cmd/report.h"

#include <inttypes.h>

int report_dns_text(const struct report_dns *dns, struct buf *out) {
    if (dns->max_in_flight == 0)
        return 0;
    int r = buf_puts(out, STR("\ndns\tin flight\tof\tasked\tcached\tjoined\tnot asked: client\tdomain\tno room\n"));
    return r != 0 ? r : buf_putf(out, "questions\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
                                      "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n",
                                 dns->in_flight, dns->max_in_flight, dns->asked, dns->cached, dns->joined,
                                 dns->refused_client, dns->refused_domain, dns->refused_full);
}

void report_dns_record(const struct report_dns *dns, struct record *r) {
    if (dns->max_in_flight == 0) {
        record_null(r, "dns");
        return;
    }
    record_open(r, "dns", '{');
    record_u64(r, "in_flight", dns->in_flight);
    record_u64(r, "max_in_flight", dns->max_in_flight);
    record_u64(r, "asked", dns->asked);
    record_u64(r, "cached", dns->cached);
    record_u64(r, "joined", dns->joined);
    record_u64(r, "refused_client", dns->refused_client);
    record_u64(r, "refused_domain", dns->refused_domain);
    record_u64(r, "refused_full", dns->refused_full);
    record_close(r, '}');
}

const char *report_dns_warning(const struct report_dns *dns) {
    bool is_recent = dns->full_age_ms > 0 && dns->full_age_ms < REPORT_FULL_RECENT_MS;
    return is_recent ? "in the last 5 minutes there was no room for questions to DNS" : NULL;
}
