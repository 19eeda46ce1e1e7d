/*
 * proxy: the PROXY protocol header, versions 1 and 2 (HAProxy's proxy-protocol.txt).
 */
#pragma once

#include "base/addr.h"

/* Ours: v1 is <= 107 bytes, v2 16 + 65535 in theory; a longer v2 header is an error. */
enum { PROXY_HEADER_MAX = 1024 };

enum proxy_result {
    PROXY_MORE,  /* not complete yet */
    PROXY_KNOWN, /* ret_client and ret_server are set */
    PROXY_LOCAL, /* LOCAL, UNKNOWN, UNSPEC or a Unix socket: a health check by the balancer itself, or a client without
                    address; the connection's own address counts */
    PROXY_BAD,   /* not a PROXY header: close */
};

/* *ret_consumed is the header's length when KNOWN or LOCAL, else 0. After MORE call again with all bytes so far. */
enum proxy_result proxy_parse(const char *at, size_t len, size_t *ret_consumed, struct endpoint *ret_client,
                              struct endpoint *ret_server);
