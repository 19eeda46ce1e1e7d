/*
 * key_table: see the header. When there is no memory to double the table the chains just grow longer: being slower is
 * better than turning a client away.
 */
#include "base/key_table.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 256 };

int key_table_init(struct key_table *table) {
    struct key_node **buckets = calloc(FIRST_BUCKETS, sizeof(struct key_node *));
    if (buckets == NULL)
        return -ENOMEM;
    *table = (struct key_table){ .buckets = buckets, .n_buckets = FIRST_BUCKETS };
    return 0;
}

void key_table_deinit(struct key_table *table) {
    for (size_t i = 0; i < table->n_buckets; i++) {
        while (table->buckets[i] != NULL) {
            struct key_node *node = table->buckets[i];
            table->buckets[i] = node->next;
            free(node);
        }
    }
    free(table->buckets);
    *table = (struct key_table){ 0 };
}

static struct key_node **bucket_of(const struct key_table *table, uint64_t key) {
    return &table->buckets[hash_u64(key) & (table->n_buckets - 1)];
}

static void put(struct key_table *table, struct key_node *node) {
    struct key_node **bucket = bucket_of(table, node->key);
    node->next = *bucket;
    *bucket = node;
}

static void grow(struct key_table *table) {
    struct key_table wider = { .n_buckets = table->n_buckets * 2, .n = table->n };
    wider.buckets = calloc(wider.n_buckets, sizeof(struct key_node *));
    if (wider.buckets == NULL)
        return;
    for (size_t i = 0; i < table->n_buckets; i++) {
        while (table->buckets[i] != NULL) {
            struct key_node *node = table->buckets[i];
            table->buckets[i] = node->next;
            put(&wider, node);
        }
    }
    free(table->buckets);
    *table = wider;
}

struct key_node *key_table_find(const struct key_table *table, uint64_t key) {
    struct key_node *node = *bucket_of(table, key);
    while (node != NULL && node->key != key)
        node = node->next;
    return node;
}

void key_table_add(struct key_table *table, struct key_node *node) {
    if (table->n >= table->n_buckets)
        grow(table);
    put(table, node);
    table->n++;
}

void key_table_remove(struct key_table *table, struct key_node *node) {
    struct key_node **at = bucket_of(table, node->key);
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    table->n--;
}
