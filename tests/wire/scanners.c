/*
 * scanners: see the header.
 */
#include "scanners.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_one(const struct str mood, const char *word) {
    return str_eq(mood, str_of(word));
}

static bool set_clamd(struct wire_scanners *w, struct str mood) {
    char *says = w->says[SCANNER_CLAMAV];
    if (is_one(mood, "clean"))
        snprintf(says, SAYS_MAX, "stream: OK");
    else if (str_starts_nocase(mood, STR("found ")))
        snprintf(says, SAYS_MAX, "stream: %.*s FOUND", STR_ARG(str_from(mood, 6)));
    else if (is_one(mood, "too large"))
        snprintf(says, SAYS_MAX, "INSTREAM size limit exceeded. ERROR");
    else
        return false;
    return true;
}

/* "7.2 / 5.0 A,B" */
static bool set_spamd(struct wire_scanners *w, struct str mood) {
    char *says = w->says[SCANNER_SPAMASSASSIN];
    struct str rest = mood, score = str_word(&rest), slash = str_word(&rest), threshold = str_word(&rest);
    struct str symbols = str_word(&rest);
    if (is_one(mood, "fails")) {
        snprintf(says, SAYS_MAX, "SPAMD/1.1 75 EX_TEMPFAIL\r\n\r\n");
        return true;
    }
    if (!str_eq(slash, STR("/")))
        return false;
    bool is_spam = strtod(score.at, NULL) >= strtod(threshold.at, NULL);
    snprintf(says, SAYS_MAX, "SPAMD/1.1 0 EX_OK\r\nContent-length: %zu\r\nSpam: %s ; %.*s / %.*s\r\n\r\n%.*s\r\n",
             symbols.len + 2, is_spam ? "True" : "False", STR_ARG(score), STR_ARG(threshold), STR_ARG(symbols));
    return true;
}

bool wire_scanners_obey(struct wire_scanners *w, struct loop *loop, enum scanner scanner, struct str mood) {
    struct fake_scanner *fake = &w->fake[scanner];
    if (!w->is_used[scanner])
        fake_scanner_open(fake, loop, scanner == SCANNER_CLAMAV);
    else if (w->is_away[scanner] && !is_one(mood, "away"))
        fake_scanner_listen(fake);
    w->is_used[scanner] = true;
    w->is_away[scanner] = is_one(mood, "away");
    fake->trial = (struct fake_play){ FAKE_SAYS, scanner == SCANNER_CLAMAV ? "stream: OK" : "SPAMD/1.5 0 PONG\r\n" };
    fake->message = (struct fake_play){ is_one(mood, "silent") ? FAKE_SILENT : FAKE_SAYS, w->says[scanner] };
    if (is_one(mood, "away"))
        fake_scanner_stop(fake);
    if (is_one(mood, "away") || is_one(mood, "silent"))
        return true;
    return scanner == SCANNER_CLAMAV ? set_clamd(w, mood) : set_spamd(w, mood);
}

void wire_scanners_write_conf(const struct wire_scanners *w, FILE *file) {
    for (enum scanner scanner = SCANNER_CLAMAV; scanner < N_SCANNERS; scanner++)
        if (w->is_used[scanner])
            fprintf(file, "%s {\n server %s\n}\n", scanner_names[scanner], w->fake[scanner].name);
}

void wire_scanners_start(struct wire_scanners *w, const struct conf *conf, const struct scanner_events *events) {
    struct loop *loop = w->fake[w->is_used[SCANNER_CLAMAV] ? SCANNER_CLAMAV : SCANNER_SPAMASSASSIN].loop;
    if (loop != NULL && scanners_new(loop, conf, 1, events, &w->scanners) < 0)
        abort();
}

void wire_scanners_stop(struct wire_scanners *w) {
    scanners_free(w->scanners);
    for (enum scanner scanner = SCANNER_CLAMAV; scanner < N_SCANNERS; scanner++)
        if (w->is_used[scanner])
            fake_scanner_close(&w->fake[scanner]);
}
