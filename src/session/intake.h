/*
 * intake: a message on its way in: line ends made canonical, header counted, text spooled, size watched.
 *
 * Fed with what follows DATA, or with the chunks of BDAT. Trouble (too large, no room on the disk) does not stop it:
 * the rest is read and thrown away, because SMTP has no way to answer before the end, and what was kept is given back
 * at once. A peer that goes on far past the limit is told so by INTAKE_ABUSE.
 */
#pragma once

#include "base/spool.h"
#include "session/look.h"
#include "smtp/data.h"
#include "smtp/header.h"

struct intake_limits {
    uint64_t message_size, header_size; /* bytes */
    uint64_t header_fields;
};

/* Which limit the message is past: the first one. */
enum intake_excess { INTAKE_WITHIN, INTAKE_MESSAGE_SIZE, INTAKE_HEADER_SIZE, INTAKE_HEADER_FIELDS };

struct intake {
    struct data_decoder decoder;
    struct header_scanner header;
    struct header_extent extent;
    struct spool spool;
    struct look *look; /* NULL: nobody wants to know */
    struct intake_limits limits;
    int spool_error;   /* -errno of the spool, 0 */
    uint8_t excess;    /* enum intake_excess */
    bool is_unwanted;  /* set by who knows that nobody takes the message: it is read and thrown away */
};

enum intake_result {
    INTAKE_MORE,
    INTAKE_END,   /* DATA: the final dot was consumed */
    INTAKE_ABUSE, /* twice the size limit and still no end */
};

/* `dir` is borrowed for the intake's life. */
void intake_init(struct intake *intake, const char *dir, size_t memory_max, const struct intake_limits *limits);
void intake_deinit(struct intake *intake);

/* Says before the first byte whether BDAT or DATA brings the message. */
void intake_begin(struct intake *intake, bool is_chunked);

/* Takes bytes of DATA, or of a BDAT chunk (never more than the chunk has left). */
enum intake_result intake_feed(struct intake *intake, const char *at, size_t len, size_t *ret_consumed);

/* After the last BDAT chunk: completes the last line. */
void intake_finish(struct intake *intake);

static inline bool intake_has_bare(const struct intake *intake) {
    return intake->decoder.bare_lf != 0 || intake->decoder.bare_cr != 0;
}
