/*
 * hash: SipHash-2-4 (Aumasson, Bernstein 2012) under a key drawn once a process, for every hash table that a peer can
 * fill.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Draws the key from the kernel. Called once, before the first hash; forked workers inherit it. */
void hash_init(void);

uint64_t hash_bytes(const void *data, size_t len);
uint64_t hash_u64(uint64_t value);
