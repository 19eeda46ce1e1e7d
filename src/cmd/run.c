/*
 * postern run: the service, in the foreground.
 *
 * Loads, says what is wrong with the configuration as a compiler would, and becomes the master. It never puts itself
 * into the background: systemd, a container or `make run` watch it, and a process that forks away from who started it
 * is harder to watch.
 */
#include "base/hash.h"
#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/master.h"
#include "net/notify.h"
#include "net/tls_memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_LISTEN_FD = 3 }; /* sd_listen_fds(3): SD_LISTEN_FDS_START */

static struct conf *load(const char *path) {
    struct diag_list diag;
    struct conf *conf = NULL;
    diag_init(&diag);
    int r = conf_load(path, &diag, &conf);
    if (diag.text.len > 0)
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&diag.text)));
    if (r != 0)
        fprintf(stderr, "postern: %s does not load: %s\n", path, diag.errors > 0 ? "see above" : strerror(-r));
    diag_deinit(&diag);
    return r == 0 ? conf : NULL;
}

static int serve(const char *conf_path) {
    int n_listen_fds = notify_listen_fds();
    if (!tls_memory_wipe())
        fprintf(stderr, "postern: what OpenSSL frees is not wiped\n");
    hash_init();
    struct conf *conf = load(conf_path);
    if (conf == NULL)
        return EXIT_FAILURE;
    int r = log_open("postern/master", conf->set.log.target, conf->set.log.format, conf->set.log.level);
    if (r != 0)
        fprintf(stderr, "postern: the log cannot be opened: %s\n", strerror(-r));
    struct master_options options = {
        .conf_path = conf_path,
        .run_worker = worker_run,
        .run_store = store_run,
        .n_listen_fds = n_listen_fds > 0 ? n_listen_fds : 0,
        .first_listen_fd = FIRST_LISTEN_FD,
        .watchdog_ms = notify_watchdog_ms(),
    };
    struct master *master;
    if (master_new(&options, conf, &master) != 0)
        return EXIT_FAILURE;
    int code = master_run(master);
    /* All has ended: a further order to stop, which came too late, must not make a failure of it. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    master_free(master);
    log_close();
    return code;
}

static int run(int argc, char **argv) {
    const char *conf_path = COMMAND_CONF;
    for (int c; (c = getopt(argc, argv, "c:")) != -1;) {
        if (c == 'c')
            conf_path = optarg;
        else
            return command_usage(&command_run);
    }
    if (optind != argc)
        return command_usage(&command_run);
    return serve(conf_path);
}

const struct command command_run = {
    .name = "run",
    .synopsis = "[-c FILE]",
    .help = "serve, in the foreground",
    .run = run,
};
