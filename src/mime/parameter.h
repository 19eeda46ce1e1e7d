/*
 * parameter: what a parameter of a MIME field may mean: `filename=` in its many ways (RFC 2045 5.1, 2231, 2047).
 *
 * Mail clients disagree about everything that is not quite right, and attackers know: so this tells every text that
 * one of them takes the parameter for, not the one that the RFCs mean.
 */
#pragma once

#include "base/str.h"

enum { PARAMETER_TEXT_MAX = 4096 };

enum parameter_kind {
    PARAMETER_NAME, /* of a file: encoded words are decoded, which no RFC allows in quotes and everybody writes */
    PARAMETER_RAW,  /* a boundary: as it stands, but for quotes and RFC 2231 */
};

/* A text as it comes out of its encoding: bytes in whatever charset, NUL among them. Valid during the call. */
typedef void parameter_fn(void *arg, struct str text);

/*
 * Tells the texts of the parameter `name` in `value`, a field's without its name, unfolded. The same text may come
 * twice. False: there was more of it than can be told (values, pieces, the same piece twice, a value too long).
 */
bool parameter_each(struct str value, struct str name, enum parameter_kind kind, parameter_fn *on_text, void *arg);

/*
 * Any unfolded text with its encoded words (RFC 2047) taken out of their encoding, into out[0..size): bytes in whatever
 * charset, and no more than PARAMETER_TEXT_MAX of them. Returns how many.
 */
size_t encoded_words_decode(struct str text, char *out, size_t size);
