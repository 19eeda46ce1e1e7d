/*
 * answer_facts: what was known when a recipient was judged, as members of its journal record (design.md section 11).
 *
 *     "policy":"9f86d081884c7d65"                   which policy it was: a hash of its text
 *     "ptr":"mail.example.net"                      if a name was asked for and there is one
 *     "ptr_status":"confirmed"                      none, unconfirmed, confirmed, unavailable; left out: nobody asked
 *     "greylist":"retry"                            its status, if a rule asked for it and that was recorded
 *     "greylist_waited_s":312                       retry, autowhitelist: how long the sender was made to wait
 *     "shadow":["SPF FAIL"]                         rules that would have acted; left out: none
 *     "open":"GREY"                                 the rule that kept a reject from being one; left out: none
 *     "dnsbl":{"bl.example":["127.0.0.2"]}          lists that hold the address, and their return codes; left out: none
 *     "helo.dnsbl":{"dbl.example":["127.0.1.2"]}    the same for names; also "ptr.dnsbl", "sender.dnsbl"
 *     "facts":{"helo.address":true,                 of the wire and the tables: the bare value
 *              "client in banned":false,
 *              "ptr.none":{"v":true,"src":"dns","age":12},    of a source: its name, and ms since it answered
 *              "dnsbl.hits":{"state":"pending","min":2,"max":5,"src":"dnsbl"},    enough was known to decide
 *              "spf":{"v":"fail","src":"spf","after":30}, of a rule that changes nothing: ms from the decision to
 *                                                             the answer, which nobody waited for
 *              "ptr.name":{"state":"unavailable","src":"dns","age":4000}}
 *
 * What nobody asked for is left out, and so is what follows from the configuration alone (a source that is off, an
 * empty table): it says nothing about this delivery. journal/reader.h reads it back.
 */
#pragma once

#include "facts/gather.h"
#include "journal/record.h"

/*
 * Writes all of these but "ptr", which is the caller's: see facts_ptr_status(). `decided_ms` is the loop's clock at the
 * decision.
 */
void record_judgement(struct record *r, const struct conf *conf, const struct gather_memory *memory,
                      uint64_t decided_ms);

/* What a message's record tells beside the verdict. */
struct content_facts {
    uint64_t size;
    bool has_bare_newlines;
    const struct gather_memory *memory; /* with the facts of the recipient whose verdict it is; NULL: no judgement */
    const struct policy_set *shadow;    /* and what other rules would have done */
};

/*
 * The same for a message: "policy", "shadow" (of layer content) and "facts" alone, since the record of its RCPT has
 * told the rest. Size and bare newlines are told of every message.
 */
void record_content_judgement(struct record *r, const struct conf *conf, const struct content_facts *content,
                              uint64_t decided_ms);

/* "none", "unconfirmed", "confirmed", "unavailable", or NULL: nobody asked. */
const char *facts_ptr_status(const struct policy *policy, const struct gather_memory *memory);
