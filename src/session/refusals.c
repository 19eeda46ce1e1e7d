/*
 * refusals: see the header. Entries stand in a table by the hash of what was asked, under the process's own key, and in
 * a queue by age. An entry holds the whole question and is compared with it, so two that share a hash push each other
 * out, and never answer for each other.
 */
#include "session/refusals.h"

#include "base/hash.h"
#include "base/key_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

enum { ENHANCED_MAX = 12, QUESTION_MAX = 1024 };

struct refusal {
    struct key_node node; /* first */
    TAILQ_ENTRY(refusal) link;
    uint64_t until_ms;
    unsigned code;
    char enhanced[ENHANCED_MAX];
    uint32_t question_len, text_len;
    char bytes[]; /* the question, then the text */
};

struct refusals {
    struct key_table table;
    TAILQ_HEAD(, refusal) by_age; /* oldest first */
    uint64_t keep_ms;
};

int refusals_new(uint64_t keep_ms, struct refusals **ret_refusals) {
    struct refusals *refusals = calloc(1, sizeof(*refusals));
    if (refusals == NULL)
        return -ENOMEM;
    if (key_table_init(&refusals->table) < 0) {
        free(refusals);
        return -ENOMEM;
    }
    TAILQ_INIT(&refusals->by_age);
    refusals->keep_ms = keep_ms;
    *ret_refusals = refusals;
    return 0;
}

void refusals_free(struct refusals *take_refusals) {
    if (take_refusals == NULL)
        return;
    key_table_deinit(&take_refusals->table);
    free(take_refusals);
}

bool refusals_are_for(const struct smtp_reply *reply) {
    struct str enhanced = str_of(reply->enhanced);
    return reply->code == 550 && (str_eq(enhanced, STR("5.1.1")) || str_eq(enhanced, STR("5.1.10")));
}

static void forget(struct refusals *refusals, struct refusal *refusal) {
    TAILQ_REMOVE(&refusals->by_age, refusal, link);
    key_table_remove(&refusals->table, &refusal->node);
    free(refusal);
}

/* "GROUP ADDRESS". Returns its length; 0: it is too long. */
static size_t write_question(unsigned group, struct str address, char out[QUESTION_MAX]) {
    if (address.len > QUESTION_MAX - sizeof(group))
        return 0;
    memcpy(out, &group, sizeof(group));
    memcpy(out + sizeof(group), address.at, address.len);
    return sizeof(group) + address.len;
}

static void forget_old(struct refusals *refusals, uint64_t now_ms) {
    struct refusal *oldest;
    while ((oldest = TAILQ_FIRST(&refusals->by_age)) != NULL
           && (oldest->until_ms <= now_ms || refusals->table.n >= REFUSALS_MAX))
        forget(refusals, oldest);
}

static struct refusal *make(const char *question, size_t len, const struct smtp_reply *reply) {
    struct refusal *refusal = calloc(1, sizeof(*refusal) + len + reply->text.len);
    if (refusal == NULL)
        return NULL;
    refusal->node.key = hash_bytes(question, len);
    refusal->code = reply->code;
    memcpy(refusal->enhanced, reply->enhanced, strnlen(reply->enhanced, ENHANCED_MAX - 1));
    refusal->question_len = (uint32_t)len;
    refusal->text_len = (uint32_t)reply->text.len;
    memcpy(refusal->bytes, question, len);
    if (reply->text.len > 0)
        memcpy(refusal->bytes + len, reply->text.at, reply->text.len);
    return refusal;
}

void refusals_note(struct refusals *refusals, unsigned group, struct str address, const struct smtp_reply *reply,
                   uint64_t now_ms) {
    char question[QUESTION_MAX];
    size_t len = write_question(group, address, question);
    if (refusals == NULL || refusals->keep_ms == 0 || len == 0)
        return;
    if (!refusals_are_for(reply) || reply->text.len > SMTP_REPLY_LINE_MAX)
        return;
    forget_old(refusals, now_ms);
    struct refusal *refusal = make(question, len, reply);
    if (refusal == NULL)
        return;
    struct refusal *other = (struct refusal *)key_table_find(&refusals->table, refusal->node.key);
    if (other != NULL)
        forget(refusals, other);
    refusal->until_ms = now_ms + refusals->keep_ms;
    key_table_add(&refusals->table, &refusal->node);
    TAILQ_INSERT_TAIL(&refusals->by_age, refusal, link);
}

bool refusals_find(struct refusals *refusals, unsigned group, struct str address, uint64_t now_ms,
                   struct smtp_reply *ret_reply) {
    char question[QUESTION_MAX];
    size_t len = write_question(group, address, question);
    if (refusals == NULL)
        return false;
    struct refusal *refusal = (struct refusal *)key_table_find(&refusals->table, hash_bytes(question, len));
    if (refusal == NULL || refusal->until_ms <= now_ms || refusal->question_len != len
        || memcmp(refusal->bytes, question, len) != 0)
        return false;
    *ret_reply = (struct smtp_reply){ refusal->code, refusal->enhanced, { refusal->bytes + len, refusal->text_len } };
    return true;
}

size_t refusals_count(const struct refusals *refusals) {
    return refusals->table.n;
}
