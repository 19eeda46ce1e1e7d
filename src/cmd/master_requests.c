/*
 * What does the master answer on its control socket? Reports at once; a reload when it is known how it went.
 */
#include "cmd/master_state.h"

static int write_report(const struct master *master, enum control_request request, struct buf *out) {
    struct arena arena = { 0 };
    struct report report;
    enum report_health health;
    int r = summary_make(master, &arena, &report);
    if (r == 0 && request == CONTROL_STATUS)
        r = report_text(&report, out);
    else if (r == 0 && request == CONTROL_STATUS_JSON)
        r = report_json(&report, out);
    else if (r == 0 && (r = buf_puts(out, STR("0 "))) == 0 && (r = report_check(&report, out, &health)) == 0) {
        out->at[0] = (char)('0' + (int)health);
        r = buf_putc(out, '\n');
    }
    arena_reset(&arena);
    return r;
}

void master_on_request(void *arg, enum control_request request, uint64_t ticket) {
    struct master *master = arg;
    struct buf out;
    int r = 0;
    buf_init(&out, CONTROL_ANSWER_MAX);
    switch (request) {
    case CONTROL_RELOAD:
        master_reload(master, ticket);
        return;
    case CONTROL_VERSION:
        r = buf_puts(&out, STR(POSTERN_VERSION "\n"));
        break;
    case CONTROL_HELP:
        r = control_help(&out);
        break;
    case CONTROL_STATUS:
    case CONTROL_STATUS_JSON:
    case CONTROL_STATUS_CHECK:
        r = write_report(master, request, &out);
        break;
    }
    control_answer(master->control, ticket, r == 0 ? NULL : strerror(-r), r == 0 ? buf_str(&out) : STR(""));
    buf_deinit(&out);
}
