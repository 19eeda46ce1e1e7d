/*
 * intake: decoder, header scanner and spool, one behind the other.
 *
 * Text is decoded straight into the spool's own memory, so each byte is copied once between the socket and the
 * mailbox server. When the message is refused anyway (too large, disk full) it is decoded into a scratch area and
 * dropped: the end must still be found.
 */
#include "session/intake.h"

#include <errno.h>

enum { BLOCK = 16384 };

void intake_init(struct intake *intake, const char *dir, size_t memory_max, const struct intake_limits *limits) {
    *intake = (struct intake){ .limits = *limits };
    spool_init(&intake->spool, dir, memory_max);
    header_scanner_init(&intake->header);
}

void intake_deinit(struct intake *intake) {
    spool_deinit(&intake->spool);
    look_free(intake->look);
}

void intake_begin(struct intake *intake, bool is_chunked) {
    data_decoder_init(&intake->decoder, is_chunked);
}

static bool is_dropping(const struct intake *intake) {
    return intake->excess != INTAKE_WITHIN || intake->is_unwanted || intake->spool_error != 0;
}

/* With `more` bytes in the spool. */
static enum intake_excess excess_of(const struct intake *intake, size_t more) {
    const struct intake_limits *limits = &intake->limits;
    if (intake->extent.fields > limits->header_fields)
        return INTAKE_HEADER_FIELDS;
    if (intake->extent.size > limits->header_size)
        return INTAKE_HEADER_SIZE;
    return spool_size(&intake->spool) + more > limits->message_size ? INTAKE_MESSAGE_SIZE : INTAKE_WITHIN;
}

/* What was decoded into `at` is part of the message. `at` is gone with the room for it when that is given back. */
static void keep(struct intake *intake, const char *at, size_t len) {
    if (is_dropping(intake))
        return;
    header_extent_feed(&intake->extent, at, len);
    intake->excess = (uint8_t)excess_of(intake, len);
    if (intake->excess != INTAKE_WITHIN) {
        spool_deinit(&intake->spool);
        return;
    }
    header_scan(&intake->header, at, len);
    look_feed(intake->look, at, len);
    int r = spool_wrote(&intake->spool, len);
    if (r < 0) {
        intake->spool_error = r;
        spool_deinit(&intake->spool);
    }
}

enum intake_result intake_feed(struct intake *intake, const char *at, size_t len, size_t *ret_consumed) {
    char scratch[BLOCK];
    size_t used = 0;
    enum data_result result = DATA_MORE;
    while (used < len && result == DATA_MORE) {
        char *room = is_dropping(intake) ? NULL : spool_room(&intake->spool, BLOCK);
        if (room == NULL && !is_dropping(intake))
            intake->spool_error = -ENOMEM;
        char *to = room != NULL ? room : scratch;
        size_t consumed, written;
        result = data_decode(&intake->decoder, at + used, len - used, &consumed, to, BLOCK, &written);
        keep(intake, to, written);
        used += consumed;
    }
    *ret_consumed = used;
    if (result == DATA_END)
        return INTAKE_END;
    return intake->decoder.received / 2 > intake->limits.message_size ? INTAKE_ABUSE : INTAKE_MORE;
}

void intake_finish(struct intake *intake) {
    char end[4];
    size_t len = data_decode_finish(&intake->decoder, end);
    if (len == 0 || is_dropping(intake))
        return;
    char *room = spool_room(&intake->spool, len);
    if (room == NULL) {
        intake->spool_error = -ENOMEM;
        return;
    }
    memcpy(room, end, len);
    keep(intake, room, len);
}
