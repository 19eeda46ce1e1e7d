/*
 * log: one line an event, to stderr or syslog, that never makes the loop wait.
 *
 * Lines are Postfix-shaped text with trailing key=value (what pflogsumm and fail2ban read), or one JSON object each. They gather in a
 * buffer of LOG_BUFFER_MAX bytes and go out at log_flush(), which the loop calls at the end of each turn: one write (stderr, a file) or
 * one sendmmsg (syslog) for all of them. A target that does not take them at once (a full pipe, a stopped syslogd) is not waited for:
 * what does not fit is dropped and counted, and the count is the first line that goes out later.
 *
 * One per process, set up before the sandbox is. Library code below session/ does not log; it returns what happened.
 */
#pragma once

#include "base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_target {
    LOG_TARGET_STDERR, /* with a time stamp, or with "<n>" in front when stderr is the systemd journal (JOURNAL_STREAM) */
    LOG_TARGET_SYSLOG, /* datagrams to /dev/log, facility mail */
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum { LOG_LINE_MAX = 2048 };

/* `ident` names the process in each line ("postern/smtpd"), with its pid; static storage. Returns 0 or -errno (no syslog). */
int log_open(const char *ident, enum log_target target, enum log_format format, enum log_level level);
void log_close(void);

/* Renames the process in the lines that follow (a worker after fork). */
void log_ident(const char *ident);

/*
 * One event. `message` becomes the line (text) or the member "message" (JSON). Control characters and bytes above 126 are written as \xNN,
 * so that no input can forge a line. Lines longer than LOG_LINE_MAX are cut.
 */
void log_line(enum log_level level, const char *message, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* An event with fields of its own: each is `key=value` at the end of a text line, a member of the object in JSON. */
struct log_field {
    const char *key;
    struct str value; /* left out when value.at is NULL */
};
void log_event(enum log_level level, const struct log_field *fields, size_t n, const char *message, ...)
    __attribute__((format(printf, 4, 5)));

/* Sends what has gathered, without waiting. */
void log_flush(void);
