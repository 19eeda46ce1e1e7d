/*
 * Where is the running master's control socket, and what does it answer?
 *
 * The socket is named by -s, else by the configuration. When that does not load (it is being edited, or its keys are
 * not for our eyes) the one line that matters is still found: the first word of a line is `control_socket`. Rejected:
 * asking only the default path, which would make `reload` fail for the very error it should report.
 */
#include "cmd/ask.h"

#include "cmd/control.h"
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>

enum { LINE_MAX_READ = 4096 };

/* The value of a line `control_socket VALUE` ([;], in double quotes or not), or an empty view. */
static struct str value_of_line(struct str line) {
    struct str word = str_word(&line);
    if (!str_eq(word, STR("control_socket")))
        return STR("");
    word = str_word(&line);
    while (word.len > 0 && (word.at[word.len - 1] == ';' || word.at[word.len - 1] == '"'))
        word.len--;
    return word.len > 0 && word.at[0] == '"' ? str_from(word, 1) : word;
}

/* Relative paths begin at the folder of the configuration. */
static int put_path(struct buf *out, const char *conf_path, struct str value) {
    struct str conf = str_of(conf_path);
    size_t slash = str_find_last(conf, '/');
    int r = 0;
    if (value.at[0] != '/' && slash < conf.len)
        r = buf_puts(out, str_head(conf, slash + 1));
    return r == 0 ? buf_puts(out, value) : r;
}

static int scan_file(const char *conf_path, struct buf *ret_path) {
    FILE *file = fopen(conf_path, "re");
    if (file == NULL)
        return -errno;
    char line[LINE_MAX_READ];
    int r = -ENOENT;
    while (r == -ENOENT && fgets(line, sizeof(line), file) != NULL) {
        struct str value = value_of_line(str_of(line));
        if (value.len > 0)
            r = put_path(ret_path, conf_path, value);
    }
    fclose(file);
    return r;
}

int ask_socket_path(const struct ask_options *options, struct buf *ret_path) {
    buf_clear(ret_path);
    struct diag_list diag;
    struct conf *conf = NULL;
    diag_init(&diag);
    int r = 0;
    if (options->socket != NULL)
        r = buf_puts(ret_path, str_of(options->socket));
    else if (conf_load_settings(options->conf_path, &diag, &conf) == 0)
        r = buf_puts(ret_path, str_of(conf->set.control_socket));
    else if (scan_file(options->conf_path, ret_path) != 0)
        r = buf_puts(ret_path, STR(ASK_DEFAULT_SOCKET));
    diag_deinit(&diag);
    conf_free(conf);
    return r == 0 ? buf_putc(ret_path, '\0') : r;
}

static void tell(int r, const char *path) {
    if (r == -ENOENT || r == -ECONNREFUSED)
        fprintf(stderr, "postern: no master answers on %s: is it running?\n", path);
    else if (r == -EPROTO || r == -ECONNRESET)
        fprintf(stderr, "postern: the master on %s went away, or has too many clients\n", path);
    else if (r == -EACCES)
        fprintf(stderr, "postern: %s: %s; ask as root, or as a user who may write to that socket\n", path,
                strerror(-r));
    else
        fprintf(stderr, "postern: %s: %s\n", path, strerror(-r));
}

int ask_master(const struct ask_options *options, const char *request, unsigned timeout_ms, struct buf *answer) {
    struct buf path;
    buf_init(&path, 4096);
    int r = ask_socket_path(options, &path);
    if (r == 0)
        r = control_ask(path.at, request, timeout_ms, answer);
    if (r < 0)
        tell(r, path.at != NULL ? path.at : "control socket");
    buf_deinit(&path);
    return r;
}
