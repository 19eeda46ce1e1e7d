/*
 * rehearsal: what would the rules have done that change nothing?
 *
 * Shadow rules, and all that `enforce no` makes such, may need facts that the verdict did not. They are asked for after
 * the reply, and the decision's journal record waits for them, so that it is one line with all that is known:
 *
 *   reply ─▶ rehearsal_start ─▶ gather_rehearse ─facts, or the deadline─▶ the rest of the record
 *
 * A rehearsal is the worker's, not the session's: it owns copies of all that it needs, so RSET, the next recipient or
 * the end of the session do not touch it. Id, time, reply and time taken in the record are those of the decision.
 *
 * At most REHEARSALS_MAX run at a time in a worker. Decisions past them, and those whose rehearsals the worker's end
 * cuts short, are recorded at once, with what is known, and marked `unrehearsed`; they are counted for status and told
 * by `report policy`. A message keeps its text until its rehearsal ends (memory up to memory_spool, the rest in a file
 * of spool_path), so there are fewer of these: more than scanners have places for, and no longer a queue than they work
 * off within their time-out.
 */
#pragma once

#include "base/spool.h"
#include "session/answer_facts.h"
#include "session/folding.h"

enum {
    REHEARSALS_MAX = 512,        /* a few KiB each */
    REHEARSED_MESSAGES_MAX = 32, /* of these: they keep their texts */
};

/*
 * Takes over the record of a decision that left a `shadow_need` (memory->has_shadow_need), all but its judgement
 * written. `fold` is what it is about. False: it is still the caller's to finish (there are too many, or no memory).
 */
bool rehearsal_start(struct server *server, struct record *record, const struct envelope *envelope,
                     const struct gather_known *known, const struct gather_memory *memory, const struct fold *fold);

/*
 * The same for a message that was judged: what scanners say of it, when nobody waits for them any more. `content` is
 * what else its record tells; `known` has its facts, and `take_spool` its text, which is another's afterwards (and
 * empty).
 */
bool rehearsal_start_message(struct server *server, struct record *record, const struct gather_known *known,
                             const struct content_facts *content, struct str head, struct spool *take_spool,
                             const struct fold *fold);

/* Writes the records of all that are left. */
void rehearsals_finish(struct server *server);
