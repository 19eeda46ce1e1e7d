/*
 * hash: SipHash-2-4 (Aumasson, Bernstein 2012) under a key drawn once a process, for every hash table that a peer can
 * fill.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { HASH_KEY_SIZE = 16 };

/* Draws the key from the kernel. Called once, before the first hash; forked workers inherit it. */
void hash_init(void);

uint64_t hash_bytes(const void *data, size_t len);
uint64_t hash_u64(uint64_t value);

/* Under a key of the caller's, for hashes that outlive the process: the same bytes give the same hash everywhere. */
uint64_t hash_keyed(const uint8_t key[HASH_KEY_SIZE], const void *data, size_t len);
void hash_make_key(uint8_t ret_key[HASH_KEY_SIZE]); /* from the kernel */
