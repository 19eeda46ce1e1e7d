/*
 * clamav: clamd's protocol (clamd(8)): INSTREAM within IDSESSION. Pure.
 *
 *     zIDSESSION\0 zINSTREAM\0 <length><piece> … <0>     zINSTREAM\0 …
 *     1: stream: OK\0                                     2: stream: Eicar-Test-Signature FOUND\0
 *
 * Answers carry the number of their question. We have one question out at a time on a connection, so that a scan that
 * takes long holds up no other, and a connection that is lost costs one answer.
 */
#pragma once

#include "facts/scanner_protocol.h"

enum { CLAMD_ANSWER_MAX = 2048, CLAMD_NAME_MAX = 128 };

extern const struct scanner_protocol clamd_protocol;

/* As scanner_protocol.read; the fuzzer's way in. */
enum scanner_answer clamd_read(struct str in, uint32_t number, size_t *ret_used, struct scanner_reply *ret_reply);
