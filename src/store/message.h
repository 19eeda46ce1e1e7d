/*
 * message: what goes over the stream socket between a worker and the store process, in both directions.
 *
 * A fixed head, then (of a question or credit) the bytes of its texts, so that a message is read without a loop over
 * fields. Both ends are the same program on one machine: numbers are in its byte order. The number of a question comes
 * back in its answer; a credit has none.
 *
 * A worker meets the network and may have been taken over: whatever its bytes are, parsing gives a question within its
 * bounds whose fields say what they may (greylist_question.h), or says that they are none (docs/decisions/0006). What
 * counts for the whole list, such as how long a row lives, never travels in a question. The store meets a database, and
 * may have been taken over too: an answer is one that a question can have.
 */
#pragma once

#include "base/buf.h"
#include "store/greylist.h"

enum store_message_type { STORE_QUESTION = 1, STORE_CREDIT, STORE_ANSWER };

enum { STORE_TEXTS_MAX = GREYLIST_IDENTITIES_MAX + 2 }; /* sender, recipient, identities */

struct store_question_head {
    uint32_t len; /* of the whole message */
    uint32_t number;
    uint8_t type; /* enum store_message_type */
    uint8_t flags;
    uint8_t n_identities;
    uint8_t n_looked_up;
    uint16_t text_len[STORE_TEXTS_MAX];
};

struct store_answer_message {
    uint32_t len;
    uint32_t number;
    uint8_t type;
    uint8_t is_unavailable;
    uint8_t status;
    uint8_t may_count;
    uint32_t seconds_left, waited;
};

enum {
    STORE_MESSAGE_MAX = sizeof(struct store_question_head) + STORE_TEXTS_MAX * GREYLIST_TEXT_MAX,
    STORE_ANSWER_SIZE = sizeof(struct store_answer_message),
};

struct store_message {
    uint8_t type; /* enum store_message_type */
    uint32_t number;
    struct greylist_question question; /* STORE_QUESTION, STORE_CREDIT: its views are of what was parsed */
    struct greylist_answer answer;     /* STORE_ANSWER */
    bool is_unavailable;               /* STORE_ANSWER: there is none */
};

/*
 * Takes one message off the front of at[0..len). Returns its length, 0 (it is not complete yet) or -EBADMSG (what
 * stands there is no message, and the connection is worth nothing any more).
 */
int store_message_parse(const char *at, size_t len, struct store_message *ret_message);

/* type: STORE_QUESTION or STORE_CREDIT. Returns 0, -EINVAL (a text or number past its bound), -ENOBUFS or -ENOMEM. */
int store_question_put(struct buf *out, enum store_message_type type, uint32_t number,
                       const struct greylist_question *question);

/* `answer` NULL: unavailable. Returns 0, -ENOBUFS or -ENOMEM. */
int store_answer_put(struct buf *out, uint32_t number, const struct greylist_answer *answer);
