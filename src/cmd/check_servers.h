/*
 * check_servers: `postern check --servers`, for the files that make it up: check_servers.c (all but mailbox servers)
 * and check_mailbox.c. Private to them and to check.c.
 */
#pragma once

#include "conf/conf.h"
#include "net/loop.h"

enum { CHECK_STEP_MS = 10000, CHECK_WORDS_MAX = 1024 }; /* for one answer; a line */

/* What was found out about one server: one line. */
struct check_finding {
    bool is_problem;
    struct buf words; /* "relays for us: …; SIZE 104857600; …" */
};

/* Adds one remark; a problem makes the line one. */
__attribute__((format(printf, 2, 3)))
void check_note(struct check_finding *finding, const char *format, ...);
__attribute__((format(printf, 2, 3)))
void check_problem(struct check_finding *finding, const char *format, ...);

/*
 * Asks one mailbox server or smart host, up to RCPT and never with DATA, and waits for it; a server that hangs is left
 * after CHECK_STEP_MS at each step.
 */
void check_mailbox(struct loop *loop, const struct conf *conf, const struct conf_group *group,
                   const struct conf_server *server, struct check_finding *finding);

/*
 * Asks all servers that the configuration names, and prints a line for each. Returns EXIT_SUCCESS, or EXIT_FAILURE when
 * one of them has a problem.
 */
int check_servers(const struct conf *conf);
