/*
 * message: questions, credits and answers as bytes. See the header for their form.
 *
 * A message is good only if every byte of it is: lengths add up to exactly the message, counts and choices are in their
 * range, what is not used is zero. So there is one way to write each question, and nothing a reader could overlook.
 *
 * Rejected: a datagram for each message (a system call each, where a batch needs one), and messages with descriptors
 * (a worker has nothing that the store should open).
 */
#include "store/message.h"

#include "store/greylist_question.h"

#include <errno.h>

enum { FLAG_READ_ONLY = 1, FLAG_NULL_SENDER = 2, FLAGS = FLAG_READ_ONLY | FLAG_NULL_SENDER };
enum { TEXT_SENDER, TEXT_RECIPIENT, TEXT_IDENTITIES };

_Static_assert(sizeof(struct store_question_head) == 12 + 2 * STORE_TEXTS_MAX, "no byte of it is padding");
_Static_assert(sizeof(struct store_answer_message) == 20, "no byte of it is padding");

/* ---- reading */

static int parse_answer(const char *at, struct store_message *ret_message) {
    struct store_answer_message m;
    memcpy(&m, at, sizeof(m));
    if (m.is_unavailable > 1 || m.status > GREYLIST_WHITELISTED || m.may_count > 1 ||
        m.seconds_left > GREYLIST_DELAY_MAX ||
        (m.is_unavailable && (m.status | m.may_count | m.seconds_left | m.waited)))
        return -EBADMSG;
    *ret_message = (struct store_message){
        .type = STORE_ANSWER,
        .number = m.number,
        .is_unavailable = m.is_unavailable != 0,
        .answer = { .status = m.status, .may_count = m.may_count != 0, .seconds_left = m.seconds_left,
                    .waited = m.waited },
    };
    return (int)sizeof(m);
}

static bool is_sound(const struct store_question_head *head) {
    size_t len = sizeof(*head);
    for (unsigned i = 0; i < STORE_TEXTS_MAX; i++) {
        bool is_used = i < TEXT_IDENTITIES + (unsigned)head->n_identities, may_be_empty = i == TEXT_SENDER;
        if (head->text_len[i] > (is_used ? GREYLIST_TEXT_MAX : 0) || (is_used && !may_be_empty && !head->text_len[i]))
            return false;
        len += head->text_len[i];
    }
    return len == head->len && head->n_identities >= 1 && head->n_identities <= GREYLIST_IDENTITIES_MAX &&
           (head->flags & ~FLAGS) == 0 && head->n_looked_up < head->n_identities;
}

static int parse_question(const struct store_question_head *head, const char *at, struct store_message *ret_message) {
    struct greylist_question q = {
        .n_identities = head->n_identities,
        .n_looked_up = head->n_looked_up,
        .is_read_only = (head->flags & FLAG_READ_ONLY) != 0,
        .is_null_sender = (head->flags & FLAG_NULL_SENDER) != 0,
    };
    struct str texts[STORE_TEXTS_MAX];
    at += sizeof(*head);
    for (unsigned i = 0; i < STORE_TEXTS_MAX; at += head->text_len[i++])
        texts[i] = (struct str){ at, head->text_len[i] };
    q.sender = texts[TEXT_SENDER];
    q.recipient = texts[TEXT_RECIPIENT];
    for (unsigned i = 0; i < q.n_identities; i++)
        q.identities[i] = texts[TEXT_IDENTITIES + i];
    if (!greylist_question_is_sound(&q))
        return -EBADMSG;
    *ret_message = (struct store_message){ .type = head->type, .number = head->number, .question = q };
    return (int)head->len;
}

int store_message_parse(const char *at, size_t len, struct store_message *ret_message) {
    struct store_question_head head;
    if (len < offsetof(struct store_question_head, flags))
        return 0;
    memcpy(&head, at, len < sizeof(head) ? len : sizeof(head));
    if (head.type == STORE_ANSWER && head.len == STORE_ANSWER_SIZE)
        return len < STORE_ANSWER_SIZE ? 0 : parse_answer(at, ret_message);
    if ((head.type != STORE_QUESTION && head.type != STORE_CREDIT) || head.len < sizeof(head) ||
        head.len > STORE_MESSAGE_MAX)
        return -EBADMSG;
    if (len < sizeof(head))
        return 0;
    if (!is_sound(&head))
        return -EBADMSG;
    return len < head.len ? 0 : parse_question(&head, at, ret_message);
}

/* ---- writing */

static int put_text(struct buf *out, struct store_question_head *head, unsigned i, struct str text) {
    if (text.len > GREYLIST_TEXT_MAX)
        return -EINVAL;
    head->text_len[i] = (uint16_t)text.len;
    head->len += (uint32_t)text.len;
    return buf_puts(out, text);
}

static int put_texts(struct buf *out, struct store_question_head *head, const struct greylist_question *question) {
    int r = put_text(out, head, TEXT_SENDER, question->sender);
    if (r == 0)
        r = put_text(out, head, TEXT_RECIPIENT, question->recipient);
    for (unsigned i = 0; r == 0 && i < question->n_identities; i++)
        r = put_text(out, head, TEXT_IDENTITIES + i, question->identities[i]);
    return r;
}

int store_question_put(struct buf *out, enum store_message_type type, uint32_t number,
                       const struct greylist_question *question) {
    struct store_question_head head = {
        .len = sizeof(head),
        .number = number,
        .type = (uint8_t)type,
        .flags = (uint8_t)((question->is_read_only ? FLAG_READ_ONLY : 0) |
                           (question->is_null_sender ? FLAG_NULL_SENDER : 0)),
        .n_identities = question->n_identities,
        .n_looked_up = question->n_looked_up,
    };
    uint32_t begin = out->len;
    if (!greylist_question_is_sound(question))
        return -EINVAL;
    int r = buf_put(out, &head, sizeof(head)); /* its room */
    if (r == 0)
        r = put_texts(out, &head, question);
    if (r == 0 && !is_sound(&head))
        r = -EINVAL;
    if (r == 0)
        memcpy(out->at + begin, &head, sizeof(head));
    else
        out->len = begin;
    return r;
}

int store_answer_put(struct buf *out, uint32_t number, const struct greylist_answer *answer) {
    struct store_answer_message m = { .len = sizeof(m), .number = number, .type = STORE_ANSWER,
                                      .is_unavailable = answer == NULL };
    if (answer != NULL) {
        m.status = answer->status;
        m.may_count = answer->may_count;
        m.seconds_left = answer->seconds_left;
        m.waited = answer->waited;
    }
    return buf_put(out, &m, sizeof(m));
}
