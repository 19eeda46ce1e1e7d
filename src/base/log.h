/*
 * log: one line an event, to stderr or syslog, that never makes the loop wait.
 *
 *     Nov 21 22:44:42 mx postern/smtpd[42]: NOQUEUE: reject: RCPT from ...; proto=ESMTP helo=<x> sid=0pm rule="NO USER"
 *     {"time":"2026-11-21T22:44:42.123Z","level":"info","ident":"postern/smtpd","pid":42,"message":"...","sid":"0pm"}
 *
 * Lines are Postfix-shaped text with trailing key=value (what pflogsumm and fail2ban read), or one JSON object each.
 * They gather in a buffer of 64 KiB and go out at log_flush(), which the loop calls at the end of each turn: one write
 * (stderr, a file) or one sendmmsg (syslog) for all of them. An error goes out at once. A target that does not take
 * them (a full pipe, a stopped syslogd) is not waited for: what does not fit into the buffer is dropped and counted,
 * and the count is the first line that goes out behind what had gathered before.
 *
 * One per process, set up before the sandbox is; a forked child goes on with it, and does not send again what its
 * parent had gathered. Before log_open() the message alone goes to stderr at once, up to level info. Library code below
 * session/ does not log; it returns what happened.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_target {
    LOG_TARGET_STDERR, /* with a time stamp, or with "<n>" when stderr is the systemd journal's (JOURNAL_STREAM) */
    LOG_TARGET_SYSLOG, /* datagrams to /dev/log, facility mail */
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum { LOG_LINE_MAX = 2048 };

/*
 * `ident` names the process in each line ("postern/smtpd"), with its pid; static storage. Returns 0, or -errno (no
 * syslog; stderr is closed), and then goes on as before log_open(). Opening again changes the target.
 */
int log_open(const char *ident, enum log_target target, enum log_format format, enum log_level level);
void log_close(void);

/* Renames the process in the lines that follow (a worker after fork). */
void log_ident(const char *ident);

/*
 * One event. `message` becomes the line (text; behind "error: " or "warning: ", as Postfix has it, at these levels) or
 * the member "message" (JSON). Control characters and bytes above 126 are written as \xNN, so that no input can forge a
 * line. A line longer than LOG_LINE_MAX, its LF included, is cut; of the fields, those that do not fit are left out
 * whole.
 */
void log_line(enum log_level level, const char *message, ...) __attribute__((format(printf, 2, 3)));

/* The same for a line that is written often: `words` stand one behind the other, without the detour by printf(). */
void log_words(enum log_level level, const struct str *words, size_t n);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * An event with fields of its own: each is `key=value` at the end of a text line, a member of the object in JSON. In
 * text a value that is empty or holds a blank, a quote or a backslash stands in double quotes, with `\"` and `\\`
 * inside.
 */
struct log_field {
    const char *key;
    struct str value; /* left out when value.at is NULL */
};
void log_event(enum log_level level, const struct log_field *fields, size_t n, const char *message, ...)
    __attribute__((format(printf, 4, 5)));

/* Bytes of lines that this process has made, in all. */
uint64_t log_bytes(void);

/* Sends what has gathered, without waiting. */
void log_flush(void);
