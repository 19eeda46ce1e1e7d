/*
 * dnsbl_trust: is a block list to be believed at present, for this kind of questions?
 *
 *                          probes passed
 *     UNPROBED ──────────────────────────────▶ TRUSTED ◀─┐ probes passed
 *         │ probes failed        probes failed,  │       │
 *         └────────────────▶ UNTRUSTED ◀─────────┘       │
 *                               └── after a pause: probes ┘   (each pause twice as long, up to pause_max_ms)
 *
 * Probes (RFC 5782 5): an entry that must be listed, one that must not, and names and addresses drawn at random, which
 * no cache has and no honest list holds. They run at the start, every probe_every_ms, and at once when something
 * looks wrong: a jump in hits or in latency, an answer that cannot be, several errors in a row. Suspicion alone takes
 * no list out, however many it lists: the probes decide.
 *
 * An answer that speaks against a client (a hit, or a welcome list's silence) counts only with probes no older than
 * fresh_ms, and otherwise waits for them: a list that lists the world since a minute ago refuses nobody.
 */
#pragma once

#include "conf/block_list.h"
#include "net/resolver.h"

enum dnsbl_kind { DNSBL_IPV4, DNSBL_IPV6, DNSBL_NAME, N_DNSBL_KINDS };

enum dnsbl_trust_state { DNSBL_UNPROBED, DNSBL_TRUSTED, DNSBL_NOT_TRUSTED };

enum dnsbl_why {
    DNSBL_WHY_NOT,        /* it is trusted, or not probed yet */
    DNSBL_WHY_NO_ANSWER,  /* nothing within the latency budget */
    DNSBL_WHY_FAILURE,    /* SERVFAIL, REFUSED, answers that cannot be read */
    DNSBL_WHY_NONSENSE,   /* outside 127/8: a parked domain; 127.255.255.0/24: the list refuses us */
    DNSBL_WHY_WORLD,      /* lists what no list holds */
    DNSBL_WHY_NO_ENTRY,   /* its test entry is not listed: empty, or not published for this family */
    N_DNSBL_WHYS,
};

extern const char *const dnsbl_kind_names[N_DNSBL_KINDS], *const dnsbl_why_texts[N_DNSBL_WHYS];

struct dnsbl_state {
    enum dnsbl_trust_state trust;
    enum dnsbl_why why;
    uint64_t since_ms; /* the loop's clock */
    uint64_t asked, listed, errors, probes;
    uint64_t latency_us; /* a running mean */
    uint64_t pause_ms;   /* UNTRUSTED: between the last probes and the next */
};

struct dnsbl_settings { /* 0: the default */
    uint64_t budget_ms;      /* 2 s: an answer may take this long */
    uint64_t fresh_ms;       /* 60 s */
    uint64_t probe_every_ms; /* 15 min */
    uint64_t pause_ms;       /* 30 s: the first pause */
    uint64_t pause_max_ms;   /* 1 h */
    /* At every change between trusted and not, for one log line. May be NULL. */
    void (*on_change)(void *arg, const struct conf_block_list *list, enum dnsbl_kind kind,
                      const struct dnsbl_state *state);
    /* Whenever the state or a counter in it has changed, for status. May be NULL. */
    void (*on_note)(void *arg, const struct conf_block_list *list, enum dnsbl_kind kind,
                    const struct dnsbl_state *state);
    void *arg;
};

/* ---- what an answer means */

enum dnsbl_reading { DNSBL_READ_CLEAN, DNSBL_READ_LISTED, DNSBL_READ_NONSENSE, DNSBL_READ_NOTHING };

/* An address that can be a return code: inside 127/8, outside 127.255.255.0/24. */
bool dnsbl_is_code(const struct ip *ip, uint32_t *ret_code);

/* Every record must be a code; the filter is not applied. */
enum dnsbl_reading dnsbl_read(const struct dns_answer *answer);

/* The name that is asked about an address or a name, key included; 0 when it does not fit, or is none. */
size_t dnsbl_question(const struct conf_block_list *list, const struct ip *ip, struct str name,
                      char out[DNS_NAME_MAX + 1]);

/* ---- trust: one of a list and a kind */

struct dnsbl_waiter { /* an answer that waits for probes; embedded by who has it */
    struct dnsbl_waiter *next, **prev; /* NULL prev: waits for nothing */
    void (*run)(struct dnsbl_waiter *waiter);
};

enum { DNSBL_PROBE_QUESTIONS = 4 };

struct dnsbl_probe {
    struct resolver_query query; /* first */
    struct dnsbl_trust *trust;
    uint64_t began_ms;
    uint8_t attempts;
    bool must_be_listed;
    char name[DNS_NAME_MAX + 1];
};

struct dnsbl_trust {
    const struct conf_block_list *list;
    const struct dnsbl_settings *settings; /* complete */
    struct loop *loop;
    struct resolver *resolver;
    struct dnsbl_state state;
    struct timer timer; /* for the next probes */
    struct dnsbl_probe probes[DNSBL_PROBE_QUESTIONS];
    struct dnsbl_waiter *waiters;
    uint64_t fresh_until_ms;
    uint64_t pause_ms; /* of the last time it was not trusted */
    uint32_t recent;   /* the last 32 answers, a bit each: listed */
    uint32_t usual_hits, usual_ms, recent_ms; /* running means: share of hits in 1/65536, latency in 1/256 ms */
    uint16_t n_recent, errors_in_row;
    uint32_t unanswered_in_row; /* errors, and questions given up after a long wait */
    uint8_t kind, n_open, found /* enum dnsbl_why: the worst so far */;
    bool was_refused; /* some question could not be asked: these probes decide nothing */
};

/* False: this list is not asked such questions. */
bool dnsbl_trust_applies(const struct conf_block_list *list, enum dnsbl_kind kind);

void dnsbl_trust_init(struct dnsbl_trust *trust);
void dnsbl_trust_deinit(struct dnsbl_trust *trust);

/* Takes an answer to a client's question into account. */
void dnsbl_trust_note(struct dnsbl_trust *trust, const struct dns_answer *answer, bool is_listed, uint64_t took_ms);

/* A client's question was given up after it had waited for long. */
void dnsbl_trust_note_late(struct dnsbl_trust *trust);

/*
 * May an answer be believed now? If not yet, `waiter` runs once when the probes have decided, in a later turn; ask
 * again then.
 */
enum dnsbl_belief { DNSBL_BELIEVE, DNSBL_DISBELIEVE, DNSBL_WAIT };
enum dnsbl_belief dnsbl_trust_ask(struct dnsbl_trust *trust, bool speaks_against, struct dnsbl_waiter *waiter,
                                  void (*run)(struct dnsbl_waiter *waiter));
void dnsbl_waiter_cancel(struct dnsbl_waiter *waiter);
