/*
 * store_bench: the store alone, filled and then asked as a worker asks it, for the bench.
 *
 *     store_bench [options] fill PATH         makes a store with -n triplets, and -e expired ones beside them
 *     store_bench [options] new|known PATH    starts a store process on it and asks
 *     store_bench -g CONNINFO -m MODULE init  makes the tables of a shared store
 *
 *     -n N    triplets, or questions in all (100000)          -f FIRST  number of the first triplet to ask about (0)
 *     -e N    expired rows beside the triplets (0)            -k N      triplets that the store was filled with
 *     -c N    questions on their way at the same time (16)    -r RATE   questions a second at most (0: no limit)
 *     -s N    go on until the sweep has dropped N rows         -p        read-only: nothing is recorded
 *     -g, -m  a shared store (PostgreSQL), and its module      -u USER   whom the store process becomes
 *     -w      begin when a byte comes on standard input; one is written when the store is ready
 *
 * Filling goes through local.c: its statements, its tables, rows in the order of their hashes only within slices, as
 * large as memory allows for the time's sake, so that the tree looks as it does after years of small batches. Triplet i
 * comes from one of N_CLIENTS clients; every PASSED_EVERY-th came back and stands under its network and its address, as
 * greylist.c writes it, the others wait under the network. All have names. Last seen is anything within the last 30
 * days, so that one who asks about a passed triplet causes a refresh, but for a second time.
 *
 * Asking is a closed loop: -c questions are always on their way. The store is the real process (store/process.c) in its
 * sandbox, at the end of a socket pair as a worker's. `known` are passed triplets in an order that jumps about; `new`
 * are beyond those that the store holds. One line of JSON: latency as the asker sees it, the store's CPU time.
 */
#include "base/clock.h"
#include "net/channel.h"
#include "store/client.h"
#include "store/local.h"
#include "store/process.h"
#include "store/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SLICE = 500000, /* triplets that are filled in at once */
    NAMES_SLICE_MAX = 2000,
    PASSED_EVERY = 10,
    N_CLIENTS = 1000000,
    SPREAD_S = 30 * 24 * 3600,
    FLYING_MAX = 4096,
    TOOK_MAX = 20000000, /* questions whose latency is kept */
    READY_LIMIT_MS = 60000,
    TIMEOUT_MS = 30000,
    KEPT_FD = 3,
};

static const struct greylist_settings settings = { .delay = 300, .unpassed_life = 2 * 24 * 3600,
    .passed_life = 36 * 24 * 3600, .whitelist_life = 36 * 24 * 3600, .whitelist_after = 5 };

static struct {
    unsigned long n, first, expired, known, flying, rate, swept;
    bool is_read_only, is_known, waits;
    const char *conninfo, *module, *user, *mode, *path;
} options = { .n = 100000, .known = 0, .flying = 16, .conninfo = "", .module = "" };

static _Noreturn void die(const char *what, const char *why) {
    fprintf(stderr, "store_bench: %s: %s\n", what, why);
    exit(1);
}

/* ---- triplets */

struct texts {
    char net[32], address[32], sender[64], recipient[64];
    struct greylist_question question;
};

static struct str view(const char *text, int len) {
    return (struct str){ text, (size_t)len };
}

/* A number in letters: digits would be taken for a mailing program's. */
static void write_word(unsigned long number, char out[16]) {
    size_t n = 0;
    do
        out[n++] = (char)('a' + number % 26);
    while ((number /= 26) != 0 && n < 15);
    out[n] = '\0';
}

static void make_question(unsigned long number, struct texts *t) {
    unsigned client = (unsigned)(number * 2654435761u % N_CLIENTS);
    char word[16];
    write_word(number, word);
    unsigned a = 11 + client / 65536, b = client / 256 % 256, c = client % 256;
    int net = snprintf(t->net, sizeof(t->net), "net:%u.%u.%u.0/24", a, b, c);
    int address = snprintf(t->address, sizeof(t->address), "ip:%u.%u.%u.%lu", a, b, c, number % 254 + 1);
    int sender = snprintf(t->sender, sizeof(t->sender), "%s@sender%u.example", word, client);
    int recipient = snprintf(t->recipient, sizeof(t->recipient), "user%lu@bench.example", number % 10007);
    t->question = (struct greylist_question){
        .identities = { view(t->net, net), view(t->address, address) }, .n_identities = 2,
        .sender = view(t->sender, sender), .recipient = view(t->recipient, recipient),
        .is_read_only = options.is_read_only,
    };
}

/* ---- filling */

struct filled {
    struct row row;
    unsigned long number;
    bool is_address;
};

static int compare_rows(const void *a, const void *b) {
    const struct filled *x = a, *y = b;
    return (x->row.key > y->row.key) - (x->row.key < y->row.key);
}

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* The rows of triplets [first, first + n); those from options.n on have expired. */
static size_t make_rows(const struct local *local, unsigned long first, size_t n, int64_t now, struct filled *at) {
    static uint64_t seed = 1;
    size_t n_rows = 0;
    for (unsigned long number = first; number < first + n; number++) {
        struct texts t;
        struct greylist_rows keys;
        make_question(number, &t);
        greylist_keys(&t.question, (struct str){ 0 }, local_hash_key(local), &keys);
        bool has_expired = number >= options.n, has_passed = !has_expired && number % PASSED_EVERY == 0;
        int64_t last = now - next_random(&seed) % (has_passed ? SPREAD_S : settings.unpassed_life / 2);
        struct row row = { .key = keys.at[0].key, .first = last, .last = last, .passes = has_passed,
                           .expires = has_expired ? now - 1 : last + (has_passed ? settings.passed_life
                                                                                 : settings.unpassed_life) };
        at[n_rows++] = (struct filled){ row, number, false };
        row.key = keys.at[1].key;
        if (has_passed)
            at[n_rows++] = (struct filled){ row, number, true };
    }
    return n_rows;
}

/* In the order of the triplets, as a store hears of them. */
static int write_names(struct local *local, unsigned long first, size_t n) {
    static struct texts texts[NAMES_SLICE_MAX / 2];
    static struct local_name names[NAMES_SLICE_MAX];
    size_t n_names = 0;
    for (size_t i = 0; i < n; i++) {
        const struct greylist_question *q = &texts[i].question;
        struct greylist_rows keys;
        make_question(first + i, &texts[i]);
        greylist_keys(q, (struct str){ 0 }, local_hash_key(local), &keys);
        bool has_passed = first + i < options.n && (first + i) % PASSED_EVERY == 0;
        for (unsigned id = 0; id <= has_passed; id++)
            names[n_names++] = (struct local_name){ .key = keys.at[id].key, .is_triplet = true,
                .identity = q->identities[id], .sender = q->sender, .recipient = q->recipient };
    }
    return local_write_names(local, names, n_names);
}

static void fill_slice(struct local *local, unsigned long first, size_t n, int64_t now, struct filled *filled,
                       struct row *rows) {
    size_t n_rows = make_rows(local, first, n, now, filled);
    qsort(filled, n_rows, sizeof(*filled), compare_rows);
    for (size_t i = 0; i < n_rows; i++)
        rows[i] = filled[i].row;
    int r = local_merge(local, rows, n_rows, now - SPREAD_S, false); /* as of then: an expired row is still written */
    for (size_t i = 0; r == 0 && i < n; i += NAMES_SLICE_MAX / 2)
        r = write_names(local, first + i, n - i < NAMES_SLICE_MAX / 2 ? n - i : NAMES_SLICE_MAX / 2);
    if (r < 0)
        die("fill", local_why(local));
}

static int fill(void) {
    struct local *local;
    struct buf why;
    struct local_counts counts;
    struct filled *filled = calloc(2 * SLICE, sizeof(*filled));
    struct row *rows = calloc(2 * SLICE, sizeof(*rows));
    const int64_t now = (int64_t)clock_wall_ms() / 1000;
    const unsigned long n = options.n + options.expired;
    const uint64_t began = clock_us();
    buf_init(&why, 1024);
    if (filled == NULL || rows == NULL)
        die("fill", "out of memory");
    if (local_open(&(struct local_options){ .path = options.path }, &why, &local) < 0)
        die("fill", buf_putc(&why, '\0') == 0 ? why.at : "");
    for (unsigned long first = 0; first < n; first += SLICE)
        fill_slice(local, first, n - first < SLICE ? n - first : SLICE, now, filled, rows);
    if (local_count(local, &counts) < 0)
        die("fill", local_why(local));
    local_close(local);
    printf("{\"triplets\": %lu, \"rows\": %lu, \"names\": %lu, \"bytes\": %lu, \"seconds\": %.3f}\n", n,
           (unsigned long)counts.rows, (unsigned long)counts.names, (unsigned long)counts.bytes,
           (double)(clock_us() - began) / 1e6);
    free(filled);
    free(rows);
    buf_deinit(&why);
    return 0;
}

/* ---- the store process */

static struct {
    struct store_counters *counters;
    int master;
    pid_t pid;
    clockid_t cpu;
} store;

static void start_store(void) {
    int ends[2];
    void *shared = mmap(NULL, sizeof(*store.counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || channel_pair(ends) < 0)
        die("start", "out of memory");
    store.counters = shared;
    store.pid = fork();
    if (store.pid < 0)
        die("start", strerror(errno));
    if (store.pid == 0) {
        const struct store_setup setup = {
            .path = options.path, .postgresql = options.conninfo, .module = options.module, .timeout_ms = TIMEOUT_MS,
            .user = options.user, .master_fd = KEPT_FD, .counters = store.counters, .greylist = settings,
        };
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "postern/store");
        dup3(ends[1], KEPT_FD, O_CLOEXEC);
        close_range(KEPT_FD + 1, ~0U, 0);
        _exit(store_run(&setup));
    }
    close(ends[1]);
    store.master = ends[0];
    if (clock_getcpuclockid(store.pid, &store.cpu) != 0)
        die("start", "no clock of the store process");
}

static int connect_worker(void) {
    const struct store_order order = { .type = STORE_ORDER_PEER };
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0
        || channel_send(store.master, &order, sizeof(order), &ends[0], 1) < 0)
        die("connect", strerror(errno));
    close(ends[0]);
    return ends[1];
}

static bool is_ready(void) {
    const struct store_counters *c = store.counters;
    return c->local == STORE_STATE_UP && (options.conninfo[0] == '\0' || c->shared == STORE_STATE_UP);
}

static void await_store(void) {
    for (uint64_t until = clock_ms() + READY_LIMIT_MS; !is_ready(); usleep(1000))
        if (clock_ms() > until || waitpid(store.pid, NULL, WNOHANG) != 0)
            die("the store does not get ready", store.counters->why);
}

static void stop_store(void) {
    kill(store.pid, SIGTERM);
    waitpid(store.pid, NULL, 0);
    close(store.master);
}

static uint64_t store_cpu_us(void) {
    struct timespec t = { 0 };
    clock_gettime(store.cpu, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- asking */

struct flight {
    uint64_t began_us;
    struct task again;
};

static struct {
    struct loop *loop;
    struct store_client *client;
    struct flight flights[FLYING_MAX];
    struct timer pace;
    struct flight *resting[FLYING_MAX]; /* by -r */
    unsigned n_resting;
    unsigned long asked, done, unavailable, others;
    uint64_t began_us;
    uint32_t *took_us;
    size_t n_took;
} run;

static void ask(struct flight *flight);

static bool is_over(void) {
    return options.swept > 0 ? store.counters->swept >= options.swept : run.asked >= options.n;
}

/* Without a rate at once; otherwise as many as are due by now. */
static bool may_ask(void) {
    return options.rate == 0 || run.asked * 1000000 <= options.rate * (clock_us() - run.began_us);
}

static void on_pace(struct timer *timer) {
    while (run.n_resting > 0 && may_ask() && !is_over())
        ask(run.resting[--run.n_resting]);
    timer_set(run.loop, &run.pace, loop_now(run.loop) + 1, on_pace);
}

static void go_on(struct flight *flight) {
    if (is_over())
        return;
    if (may_ask())
        ask(flight);
    else
        run.resting[run.n_resting++] = flight;
}

static void on_again(struct task *task) {
    go_on((struct flight *)((char *)task - offsetof(struct flight, again)));
}

static void on_answer(void *arg, enum store_result result, const struct greylist_answer *answer) {
    struct flight *flight = arg;
    if (run.n_took < TOOK_MAX)
        run.took_us[run.n_took++] = (uint32_t)(clock_us() - flight->began_us);
    run.done++;
    run.unavailable += result != STORE_ANSWERED;
    run.others += answer != NULL && answer->status != (options.is_known ? GREYLIST_CACHED : GREYLIST_NEW);
    task_start(run.loop, &flight->again, on_again);
}

/* Known ones in an order that jumps about; new ones beyond all that the store was filled with. */
static unsigned long number_of(unsigned long i) {
    unsigned long n_known = options.known / PASSED_EVERY;
    if (!options.is_known)
        return options.known + i;
    return n_known == 0 ? 0 : i * 7368787 % n_known * PASSED_EVERY;
}

static void ask(struct flight *flight) {
    struct texts t;
    make_question(number_of(options.first + run.asked++), &t);
    flight->began_us = clock_us();
    if (store_ask_start(run.client, &t.question, TIMEOUT_MS, on_answer, flight) == NULL)
        die("ask", "out of memory");
}

static int compare_took(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t percentile(double percent) {
    return run.n_took == 0 ? 0 : run.took_us[(size_t)((double)(run.n_took - 1) * percent / 100)];
}

/* The questions are asked by several of us at once. */
static void await_start(void) {
    char byte = '.';
    if (options.waits && (write(1, "\n", 1) != 1 || read(0, &byte, 1) != 1))
        die("start", "nobody says when");
}

static int ask_all(void) {
    start_store();
    run.took_us = malloc(TOOK_MAX * sizeof(*run.took_us));
    if (run.took_us == NULL || loop_new(&run.loop) < 0 || store_client_new(run.loop, &run.client) < 0)
        die("ask", "out of memory");
    store_client_connect(run.client, connect_worker());
    await_store();
    await_start();
    const uint64_t cpu_us = store_cpu_us(), batches = store.counters->batches;
    run.began_us = clock_us();
    for (unsigned long i = 0; i < options.flying; i++)
        go_on(&run.flights[i]);
    if (options.rate > 0)
        timer_set(run.loop, &run.pace, loop_now(run.loop) + 1, on_pace);
    while (!is_over() || run.done < run.asked)
        if (loop_turn(run.loop, 100) < 0)
            die("ask", "the loop failed");
    const double seconds = (double)(clock_us() - run.began_us) / 1e6;
    qsort(run.took_us, run.n_took, sizeof(*run.took_us), compare_took);
    printf("{\"done\": %lu, \"unavailable\": %lu, \"others\": %lu, \"seconds\": %.3f, \"p50_us\": %u, \"p99_us\": %u, "
           "\"p999_us\": %u, \"max_us\": %u, \"store_cpu_us\": %lu, \"batches\": %lu, \"swept\": %lu}\n",
           run.done, run.unavailable, run.others, seconds, percentile(50), percentile(99), percentile(99.9),
           percentile(100), (unsigned long)(store_cpu_us() - cpu_us),
           (unsigned long)(store.counters->batches - batches), (unsigned long)store.counters->swept);
    store_client_free(run.client);
    loop_free(run.loop);
    free(run.took_us);
    stop_store();
    return 0;
}

/* ---- the shared store's tables */

static int init(void) {
    struct buf report;
    buf_init(&report, 1024);
    const struct shared_ops *ops = shared_load(options.module, &report);
    uint8_t key[GREYLIST_KEY_SIZE] = "of the bench";
    int r = ops == NULL ? -1 : ops->administer(SHARED_INIT, options.conninfo, key, &report);
    fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&report)));
    buf_deinit(&report);
    return r < 0;
}

/* ---- from the command line */

static bool take_option(int option, const char *value) {
    switch (option) {
    case 'n': options.n = strtoul(value, NULL, 10); break;
    case 'f': options.first = strtoul(value, NULL, 10); break;
    case 'e': options.expired = strtoul(value, NULL, 10); break;
    case 'k': options.known = strtoul(value, NULL, 10); break;
    case 'c': options.flying = strtoul(value, NULL, 10); break;
    case 'r': options.rate = strtoul(value, NULL, 10); break;
    case 's': options.swept = strtoul(value, NULL, 10); break;
    case 'p': options.is_read_only = true; break;
    case 'w': options.waits = true; break;
    case 'g': options.conninfo = value; break;
    case 'm': options.module = value; break;
    case 'u': options.user = value; break;
    default: return false;
    }
    return true;
}

int main(int argc, char **argv) {
    bool is_good = true;
    int option;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (is_good && (option = getopt(argc, argv, "n:f:e:k:c:r:s:pwg:m:u:")) != -1)
        is_good = take_option(option, optarg);
    options.mode = argc > optind ? argv[optind] : "";
    options.path = argc > optind + 1 ? argv[optind + 1] : "";
    options.is_known = strcmp(options.mode, "known") == 0;
    if (is_good && options.flying > 0 && options.flying <= FLYING_MAX) {
        if (strcmp(options.mode, "fill") == 0 && argc - optind == 2)
            return fill();
        if ((options.is_known || strcmp(options.mode, "new") == 0) && argc - optind == 2)
            return ask_all();
        if (strcmp(options.mode, "init") == 0 && argc - optind == 1)
            return init();
    }
    fprintf(stderr, "usage: store_bench [options] fill|new|known PATH, or store_bench -g CONNINFO -m MODULE init\n");
    return 2;
}
