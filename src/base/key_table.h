/*
 * key_table: things found by a 64-bit key, which a peer may choose.
 *
 * An intrusive hash table: each thing embeds a struct key_node as its first member. Chains hang in buckets under the
 * process's own hash (hash.h), so that no one can choose keys that collide. The table doubles when it is full, and
 * never shrinks.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct key_node {
    struct key_node *next; /* in its bucket */
    uint64_t key;
};

struct key_table {
    struct key_node **buckets;
    size_t n_buckets, n;
};

/* hash_init() was called. Returns 0 or -ENOMEM. */
int key_table_init(struct key_table *table);
/* Calls free() for what is still in it. */
void key_table_deinit(struct key_table *table);

/* NULL: it is not there. */
struct key_node *key_table_find(const struct key_table *table, uint64_t key);
/* `node` has its key, which is not in the table yet. */
void key_table_add(struct key_table *table, struct key_node *node);
void key_table_remove(struct key_table *table, struct key_node *node);
