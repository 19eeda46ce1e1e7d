/*
 * log: lines gather here and leave without anyone waiting.
 *
 * A line is composed straight into one buffer, terminated by LF; nothing a peer sent can bring a LF of its own, because
 * control characters are escaped. What stands before the message (time, host, name, process) changes once a second and
 * is kept. A flush then does what its target allows without waiting:
 *
 *   a regular file           one write
 *   a stream socket          one send, MSG_DONTWAIT (stderr under systemd)
 *   a pipe, a terminal       poll(POLLOUT, 0), then whole lines of at most 4,096 bytes: a pipe that polls writable
 *                            takes PIPE_BUF bytes at once and keeps them apart from other processes' (pipe(7))
 *   /dev/log                 one sendmmsg; after ECONNREFUSED, a syslogd that restarted, the socket is connected anew
 *
 * stderr is shared with whoever started us, so it must not be made non-blocking: their writes would fail. Pipes and
 * terminals are opened a second time through /proc, which gives us a description of our own that is; where this is not
 * allowed poll() alone has to do, and another process that fills the pipe between poll and write can make us wait.
 *
 * What is not taken stays in the buffer while there is room; then new lines are dropped and counted, and the count
 * comes out where they would have stood. SIGPIPE is the process's to ignore. A forked child drops what it inherited
 * unsent.
 *
 * Rejected: syslog(3), which blocks when syslogd is stopped, and a thread (one more stack and a lock per line).
 */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef LOG_SYSLOG_PATH /* the unit test has a syslogd of its own */
#define LOG_SYSLOG_PATH "/dev/log"
#endif

enum { LOG_BUFFER_MAX = 64 * 1024, PIPE_CHUNK = 4096, BATCH = 64, FACILITY_MAIL = 2 << 3 };

enum sink {
    SINK_PLAIN,  /* not open: the message alone, written to stderr at once */
    SINK_FILE,   /* takes any number of bytes */
    SINK_PIPE,   /* pipe, terminal, device: small writes after poll */
    SINK_STREAM, /* socket */
    SINK_SYSLOG, /* datagrams */
};

static struct {
    enum sink sink;
    enum log_format format;
    enum log_level level;
    bool is_journal; /* stderr is read by systemd-journald */
    int fd;
    bool owns_fd;
    const char *ident;
    char pid[16];
    char host[64];
    uint64_t stamp_second; /* that `stamp` tells; UINT64_MAX: none */
    size_t stamp_len;
    char stamp[32];
    const char *head_ident; /* that `head` tells; NULL: make it anew */
    size_t head_len;
    char head[256]; /* what stands before each message, but for priority and time */
    uint64_t lost;
    uint64_t bytes; /* of all lines */
    size_t len;
    char out[LOG_BUFFER_MAX];
} logger = { .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO, .ident = "postern", .stamp_second = UINT64_MAX };

static const char *const LEVEL_NAMES[] = { "error", "warning", "info", "debug" };
static const char *const LEVEL_MARKS[] = { "error: ", "warning: ", "", "" };
static const unsigned char SEVERITIES[] = { 3, 4, 6, 7 }; /* RFC 5424 section 6.2.1 */

/* --- composing a line --- */

struct line {
    char *at, *end;
    bool is_cut;
};

static void put(struct line *line, const char *data, size_t len) {
    size_t room = (size_t)(line->end - line->at);
    if (len > room) {
        len = room;
        line->is_cut = true;
    }
    memcpy(line->at, data, len);
    line->at += len;
}

static void put_text(struct line *line, const char *text) {
    put(line, text, strlen(text));
}

/* All of an escape or nothing. */
static void put_whole(struct line *line, const char *data, size_t len) {
    if (line->is_cut || (size_t)(line->end - line->at) < len)
        line->is_cut = true;
    else
        put(line, data, len);
}

enum quoting { QUOTING_NONE, QUOTING_TEXT, QUOTING_JSON };

static void put_escape(struct line *line, unsigned char byte, enum quoting quoting) {
    static const char digits[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\') {
        put_whole(line, (const char[]){ '\\', (char)byte }, 2);
        return;
    }
    /* JSON knows no \x: its string holds the four characters that the text form shows. */
    const char hex[] = { '\\', '\\', 'x', digits[byte >> 4], digits[byte & 15] };
    size_t skip = quoting != QUOTING_JSON;
    put_whole(line, hex + skip, sizeof(hex) - skip);
}

static bool is_plain(unsigned char byte, enum quoting quoting) {
    return byte >= ' ' && byte <= '~' && (quoting == QUOTING_NONE || (byte != '"' && byte != '\\'));
}

static void put_escaped(struct line *line, struct str s, enum quoting quoting) {
    while (s.len > 0 && !line->is_cut) {
        size_t plain = str_plain_len(s);
        while (plain < s.len && is_plain((unsigned char)s.at[plain], quoting))
            plain++;
        put(line, s.at, plain);
        if (plain < s.len && !line->is_cut)
            put_escape(line, (unsigned char)s.at[plain], quoting);
        s = str_from(s, plain + 1);
    }
}

static bool needs_quotes(struct str value) {
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] == ' ' || value.at[i] == '"' || value.at[i] == '\\')
            return true;
    }
    return value.len == 0;
}

static void put_field_text(struct line *line, const struct log_field *field) {
    bool has_quotes = needs_quotes(field->value);
    put(line, " ", 1);
    put_text(line, field->key);
    put(line, has_quotes ? "=\"" : "=", has_quotes ? 2 : 1);
    put_escaped(line, field->value, has_quotes ? QUOTING_TEXT : QUOTING_NONE);
    put(line, "\"", has_quotes);
}

static void put_field_json(struct line *line, const struct log_field *field) {
    put(line, ",\"", 2);
    put_text(line, field->key);
    put(line, "\":\"", 3);
    put_escaped(line, field->value, QUOTING_JSON);
    put(line, "\"", 1);
}

/* A field that does not fit is left out whole, and all behind it: half a value would be a wrong value. */
static void put_fields(struct line *line, const struct log_field *fields, size_t n) {
    for (size_t i = 0; i < n && !line->is_cut; i++) {
        char *before = line->at;
        if (!fields[i].value.at)
            continue;
        if (logger.format == LOG_FORMAT_JSON && logger.sink != SINK_PLAIN)
            put_field_json(line, &fields[i]);
        else
            put_field_text(line, &fields[i]);
        if (line->is_cut)
            line->at = before;
    }
}

/* --- what stands before the message --- */

/* "Nov 21 22:44:42 ", local time (RFC 3164 section 4.1.2). */
static size_t format_stamp(uint64_t second, char *out, size_t size) {
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t s = (time_t)second;
    struct tm tm;
    if (!localtime_r(&s, &tm))
        return 0;
    int n = snprintf(out, size, "%s %2d %02d:%02d:%02d ", months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min,
                     tm.tm_sec);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

static void make_head(void) {
    bool has_host = logger.sink != SINK_SYSLOG && !logger.is_journal; /* a local syslogd knows whose it is */
    int n = snprintf(logger.head, sizeof(logger.head), "%s%s%.100s[%s]: ", has_host ? logger.host : "",
                     has_host ? " " : "", logger.ident, logger.pid);
    logger.head_len = n > 0 && (size_t)n < sizeof(logger.head) ? (size_t)n : 0;
    logger.head_ident = logger.ident;
}

/* Local time is asked for once a second, since that is what it costs most. */
static void put_stamp(struct line *line, uint64_t second) {
    if (second != logger.stamp_second) {
        logger.stamp_len = format_stamp(second, logger.stamp, sizeof(logger.stamp));
        logger.stamp_second = second;
    }
    put(line, logger.stamp, logger.stamp_len);
}

static void put_head(struct line *line, enum log_level level, uint64_t wall_ms) {
    unsigned priority = SEVERITIES[level] + (logger.sink == SINK_SYSLOG ? FACILITY_MAIL : 0);
    if (logger.sink == SINK_SYSLOG || logger.is_journal) {
        char text[] = { '<', (char)('0' + priority / 10), (char)('0' + priority % 10), '>' };
        size_t skip = priority < 10;
        text[skip] = '<';
        put(line, text + skip, sizeof(text) - skip);
    }
    if (logger.format == LOG_FORMAT_JSON && logger.sink != SINK_SYSLOG)
        return;
    if (!logger.is_journal)
        put_stamp(line, wall_ms / 1000);
    if (logger.head_ident != logger.ident)
        make_head();
    put(line, logger.head, logger.head_len);
}

/* What a line says: the words one behind the other, then the fields. */
struct event {
    const struct str *words;
    size_t n_words;
    const struct log_field *fields;
    size_t n_fields;
};

static void put_words(struct line *line, const struct event *event, enum quoting quoting) {
    for (size_t i = 0; i < event->n_words; i++)
        put_escaped(line, event->words[i], quoting);
}

static void put_json(struct line *line, enum log_level level, uint64_t wall_ms, const struct event *event) {
    char time[CLOCK_RFC3339_MAX];
    line->end -= 2; /* the closing quote and brace always find room */
    put_text(line, "{\"time\":\"");
    put_text(line, clock_format_rfc3339(wall_ms, time));
    put_text(line, "\",\"level\":\"");
    put_text(line, LEVEL_NAMES[level]);
    put_text(line, "\",\"ident\":\"");
    put_escaped(line, str_of(logger.ident), QUOTING_JSON);
    put_text(line, "\",\"pid\":");
    put_text(line, logger.pid);
    put_text(line, ",\"message\":\"");
    put_words(line, event, QUOTING_JSON);
    line->end++;
    put(line, "\"", 1);
    put_fields(line, event->fields, event->n_fields);
    line->end++;
    put(line, "}", 1);
}

/* Writes one line behind the others. The caller has made sure of LOG_LINE_MAX bytes of room. */
static void compose(enum log_level level, const struct event *event) {
    struct line line = { .at = logger.out + logger.len };
    line.end = line.at + LOG_LINE_MAX - 1; /* the LF */
    uint64_t wall_ms = clock_wall_ms();
    if (logger.sink != SINK_PLAIN)
        put_head(&line, level, wall_ms);
    if (logger.sink != SINK_PLAIN && logger.format == LOG_FORMAT_JSON) {
        put_json(&line, level, wall_ms, event);
    } else {
        put_text(&line, LEVEL_MARKS[level]);
        put_words(&line, event, QUOTING_NONE);
        put_fields(&line, event->fields, event->n_fields);
    }
    *line.at++ = '\n';
    logger.bytes += (size_t)(line.at - logger.out) - logger.len;
    logger.len = (size_t)(line.at - logger.out);
}

/* --- sending --- */

static void drop_front(size_t len) {
    memmove(logger.out, logger.out + len, logger.len - len);
    logger.len -= len;
}

/* Whole lines, as many as PIPE_CHUNK holds; each is shorter (LOG_LINE_MAX). */
static size_t whole_lines(const char *at, size_t len) {
    if (len <= PIPE_CHUNK)
        return len;
    const char *end = memrchr(at, '\n', PIPE_CHUNK);
    return end ? (size_t)(end - at) + 1 : PIPE_CHUNK;
}

/* As write(2), but never waits: -1 with EAGAIN instead. */
static ssize_t write_some(const char *at, size_t len) {
    struct pollfd ready = { .fd = logger.fd, .events = POLLOUT };
    switch (logger.sink) {
    case SINK_STREAM:
        return send(logger.fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case SINK_PIPE:
        if (poll(&ready, 1, 0) <= 0 || !(ready.revents & POLLOUT)) {
            errno = EAGAIN;
            return -1;
        }
        return write(logger.fd, at, whole_lines(at, len));
    case SINK_PLAIN:
    case SINK_FILE:
    case SINK_SYSLOG:
        break;
    }
    return write(logger.fd, at, len);
}

static void flush_stream(void) {
    size_t sent = 0;
    while (sent < logger.len) {
        ssize_t n = write_some(logger.out + sent, logger.len - sent);
        if (n > 0)
            sent += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    drop_front(sent);
}

/* Up to BATCH lines as datagrams, without their LF. */
static unsigned gather(const char *at, const char *end, struct mmsghdr *messages, struct iovec *lines) {
    unsigned n = 0;
    while (at < end && n < BATCH) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        lines[n] = (struct iovec){ .iov_base = (char *)at, .iov_len = (size_t)(lf - at) };
        messages[n] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &lines[n], .msg_iovlen = 1 } };
        at = lf + 1;
        n++;
    }
    return n;
}

static int connect_syslog(int fd) {
    struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = LOG_SYSLOG_PATH };
    return connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static void flush_syslog(void) {
    struct mmsghdr messages[BATCH];
    struct iovec lines[BATCH];
    size_t sent = 0;
    bool has_reconnected = false;
    while (sent < logger.len) {
        unsigned n = gather(logger.out + sent, logger.out + logger.len, messages, lines);
        int r = sendmmsg(logger.fd, messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        for (int i = 0; i < r; i++)
            sent += lines[i].iov_len + 1;
        if (r > 0 || errno == EINTR)
            continue;
        /* Full is EAGAIN; all else means that the syslogd we knew is gone, and perhaps another has come. */
        if (errno == EAGAIN || errno == ENOBUFS || has_reconnected || connect_syslog(logger.fd) < 0)
            break;
        has_reconnected = true;
    }
    drop_front(sent);
}

static void send_gathered(void) {
    if (logger.len == 0)
        return;
    if (logger.sink == SINK_SYSLOG)
        flush_syslog();
    else
        flush_stream();
}

static bool has_room(size_t lines) {
    return LOG_BUFFER_MAX - logger.len >= lines * LOG_LINE_MAX;
}

static void tell_lost(void) {
    char text[80];
    snprintf(text, sizeof(text), "%llu log lines were dropped, the log did not take them",
             (unsigned long long)logger.lost);
    logger.lost = 0;
    compose(LOG_LEVEL_WARNING, &(struct event){ .words = &(struct str){ text, strlen(text) }, .n_words = 1 });
}

void log_flush(void) {
    send_gathered();
    if (logger.lost > 0 && has_room(2)) {
        tell_lost();
        send_gathered();
    }
}

/* --- events --- */

static void add(enum log_level level, const struct event *event) {
    if (!has_room(2))
        log_flush();
    if (!has_room(2)) {
        logger.lost++;
        return;
    }
    if (logger.lost > 0)
        tell_lost();
    compose(level, event);
    /* What may be the last words of a process, or stands outside of any loop, does not wait for the turn to end. */
    if (level == LOG_LEVEL_ERROR || logger.sink == SINK_PLAIN)
        log_flush();
}

__attribute__((format(printf, 4, 0)))
static void add_printed(enum log_level level, const struct log_field *fields, size_t n, const char *message,
                        va_list args) {
    char text[LOG_LINE_MAX];
    int len = vsnprintf(text, sizeof(text), message, args);
    const struct str words = { text, len < 0 ? 0 : (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1 };
    add(level, &(struct event){ &words, 1, fields, n });
}

void log_line(enum log_level level, const char *message, ...) {
    va_list args;
    if (level > logger.level)
        return;
    va_start(args, message);
    add_printed(level, NULL, 0, message, args);
    va_end(args);
}

void log_words(enum log_level level, const struct str *words, size_t n) {
    if (level <= logger.level)
        add(level, &(struct event){ .words = words, .n_words = n });
}

void log_event(enum log_level level, const struct log_field *fields, size_t n, const char *message, ...) {
    va_list args;
    if (level > logger.level)
        return;
    va_start(args, message);
    add_printed(level, fields, n, message, args);
    va_end(args);
}

/* --- opening and closing --- */

static int open_syslog(void) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = connect_syslog(fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    logger.fd = fd;
    logger.owns_fd = true;
    logger.sink = SINK_SYSLOG;
    return 0;
}

/* systemd names the device and inode of the stream it gave us, so that one redirected since is not taken for it. */
static bool is_journal_stream(const struct stat *st) {
    unsigned long long device, inode;
    const char *stream = getenv("JOURNAL_STREAM");
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && device == st->st_dev && inode == st->st_ino;
}

static int open_stderr(void) {
    struct stat st;
    if (fstat(STDERR_FILENO, &st) < 0)
        return -errno;
    logger.fd = STDERR_FILENO;
    logger.is_journal = is_journal_stream(&st);
    logger.sink = S_ISSOCK(st.st_mode) ? SINK_STREAM : S_ISREG(st.st_mode) ? SINK_FILE : SINK_PIPE;
    if (logger.sink == SINK_PIPE) {
        int own = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        logger.owns_fd = own >= 0;
        if (own >= 0)
            logger.fd = own;
    }
    return 0;
}

static void learn_pid(void) {
    snprintf(logger.pid, sizeof(logger.pid), "%d", (int)getpid());
    logger.head_ident = NULL;
}

/* Runs in a child of fork(): what has gathered is the parent's to send. */
static void forget_inherited(void) {
    logger.len = 0;
    logger.lost = 0;
    logger.bytes = 0;
    learn_pid();
}

int log_open(const char *ident, enum log_target target, enum log_format format, enum log_level level) {
    static bool knows_forks;
    log_close();
    int r = target == LOG_TARGET_SYSLOG ? open_syslog() : open_stderr();
    if (r < 0)
        return r;
    if (!knows_forks)
        knows_forks = pthread_atfork(NULL, NULL, forget_inherited) == 0;
    tzset(); /* reads the zone while files can still be opened */
    if (gethostname(logger.host, sizeof(logger.host) - 1) < 0)
        snprintf(logger.host, sizeof(logger.host), "localhost");
    logger.host[strcspn(logger.host, ".")] = '\0';
    logger.format = format;
    logger.level = level;
    logger.stamp_second = UINT64_MAX;
    log_ident(ident);
    learn_pid();
    return 0;
}

uint64_t log_bytes(void) {
    return logger.bytes;
}

void log_ident(const char *ident) {
    logger.ident = ident;
}

void log_close(void) {
    log_flush();
    if (logger.owns_fd)
        close(logger.fd);
    logger.fd = STDERR_FILENO;
    logger.owns_fd = false;
    logger.is_journal = false;
    logger.sink = SINK_PLAIN;
    logger.len = 0;
    logger.lost = 0;
}
