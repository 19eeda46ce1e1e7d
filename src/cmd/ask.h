/*
 * ask: what `postern status` and `postern reload` have in common: options, finding the control socket, saying why
 * nobody answers.
 */
#pragma once

#include "base/buf.h"

#define ASK_DEFAULT_SOCKET "/run/postern/control"

struct ask_options {
    const char *conf_path; /* -c */
    const char *socket;    /* -s; NULL: as the configuration says */
    bool is_check, is_json;
};

/*
 * The path of the control socket goes to `ret_path` (NUL-terminated). A configuration that does not load is no
 * obstacle: an administrator asks the running master for a reload exactly when the file has just been changed.
 * Returns 0, or -ENOMEM.
 */
int ask_socket_path(const struct ask_options *options, struct buf *ret_path);

/* Asks; see control_ask() for the result. Trouble is told on stderr. */
int ask_master(const struct ask_options *options, const char *request, unsigned timeout_ms, struct buf *answer);
