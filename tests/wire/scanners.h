/*
 * scanners: the clamd and the spamd of transcripts, each on the test's own loop and of the mood that the transcript
 * says (tests/unit/facts/fake_scanner.h does the rest).
 */
#pragma once

#include "fake_scanner.h"
#include "facts/scan.h"

enum { SAYS_MAX = 512 };

struct wire_scanners {
    struct loop *loop;
    struct fake_scanner fake[N_SCANNERS];
    char says[N_SCANNERS][SAYS_MAX];
    bool is_used[N_SCANNERS], is_away[N_SCANNERS];
    struct scanners *scanners;
};

/*
 * virus: clean | found NAME | too large | silent | away
 * spam: SCORE / THRESHOLD [SYMBOL,…] | fails | silent | away
 *
 * The first such line makes the scanner one of the configuration; later ones change what it says from then on. False:
 * that is no mood.
 */
bool wire_scanners_obey(struct wire_scanners *w, struct loop *loop, enum scanner scanner, struct str mood);

/* Their blocks of postern.conf. */
void wire_scanners_write_conf(const struct wire_scanners *w, FILE *file);

void wire_scanners_start(struct wire_scanners *w, const struct conf *conf, const struct scanner_events *events);
void wire_scanners_stop(struct wire_scanners *w);
