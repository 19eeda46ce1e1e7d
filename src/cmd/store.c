/*
 * postern store: makes the tables of a store that several hosts share, or brings older ones up to date.
 *
 * The schema gets the hash key of this host, so that what it knows already stays known when it begins to share; every
 * other host takes that key over at its first contact and forgets what it kept under its own. A host that has no local
 * store yet gives a new key.
 *
 * Making tables may need more rights than using them: --connect names another way in than postern.conf does.
 *
 * Exit: 0, 1 when it could not be done, 64 wrong use, 78 a configuration that does not load or shares nothing.
 */
#include "base/hash.h"
#include "cmd/cmd.h"
#include "store/local.h"
#include "store/shared.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, struct str why) {
    fprintf(stderr, "postern: store: %s%.*s\n", what, STR_ARG(why));
    return EXIT_FAILURE;
}

/* The key that the local store has, or a new one. */
static void choose_key(const struct conf *conf, uint8_t key[GREYLIST_KEY_SIZE]) {
    struct local *local = NULL;
    struct buf why;
    buf_init(&why, 512);
    hash_make_key(key);
    if (conf->set.store.path != NULL
        && local_open(&(struct local_options){ .path = conf->set.store.path, .is_command = true }, &why, &local) == 0)
        memcpy(key, local_hash_key(local), GREYLIST_KEY_SIZE);
    local_close(local);
    buf_deinit(&why);
}

static int administer(const struct conf *conf, enum shared_task task, const char *connect) {
    uint8_t key[GREYLIST_KEY_SIZE];
    struct buf report;
    buf_init(&report, 1024);
    const struct shared_ops *ops = shared_load(conf->set.store.module, &report);
    int code = EXIT_SUCCESS;
    choose_key(conf, key);
    if (ops == NULL || ops->administer(task, connect, key, &report) < 0)
        code = fail("", buf_str(&report));
    else
        printf("%.*s\n", STR_ARG(buf_str(&report)));
    buf_deinit(&report);
    return code;
}

static int run(int argc, char **argv) {
    static const struct option known[] = { { "connect", required_argument, NULL, 'C' }, { 0 } };
    const char *path = COMMAND_CONF, *connect = NULL;
    for (int c; (c = getopt_long(argc, argv, "c:", known, NULL)) != -1;) {
        if (c == 'c')
            path = optarg;
        else if (c == 'C')
            connect = optarg;
        else
            return command_usage(&command_store);
    }
    bool is_init = optind + 1 == argc && strcmp(argv[optind], "init") == 0;
    bool is_upgrade = optind + 1 == argc && strcmp(argv[optind], "upgrade") == 0;
    struct conf *conf = NULL;
    if (!is_init && !is_upgrade)
        return command_usage(&command_store);
    if (command_load_settings(path, &conf) < 0)
        return EXIT_CONFIG;
    int code = EXIT_CONFIG;
    if (connect == NULL && conf->set.store.postgresql[0] == '\0')
        fail(path, STR(": no shared store is configured (store { postgresql ... })"));
    else
        code = administer(conf, is_init ? SHARED_INIT : SHARED_UPGRADE,
                          connect != NULL ? connect : conf->set.store.postgresql);
    conf_free(conf);
    return code;
}

const struct command command_store = {
    .name = "store",
    .synopsis = "[-c CONF] [--connect CONNINFO] init | upgrade",
    .help = "make the tables of a greylist that several hosts share, or bring them up to date",
    .run = run,
};
