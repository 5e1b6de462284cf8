/*
 * base/map: a hash map from a 64-bit key to a pointer.
 *
 * Open addressing, linear probing, at most 3/4 full, deletion by shifting back (no tombstones),
 * 16 bytes a slot. It owns neither keys nor values. A value must not be NULL. Keys are mixed, so
 * ids that follow each other spread out.
 *
 * Any put or remove ends a map_for_each() in progress.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key;
    void *value; /* NULL: the slot is free */
};

struct map {
    size_t count; /* entries */

    /* private */
    struct map_slot *slots;
    size_t cap; /* 0 or a power of two */
};

void map_init(struct map *m);
/* Frees the slots, not the values. */
void map_finish(struct map *m);
/* The same on the heap. NULL: no memory. destroy accepts NULL. */
struct map *map_create(void);
void map_destroy(struct map *m);

/* The value, or NULL. */
void *map_get(const struct map *m, uint64_t key);
/* Adds or replaces. 0 or -ENOMEM (then the map is as before). */
int map_put(struct map *m, uint64_t key, void *value);
/* Takes the entry out and returns its value, or NULL. */
void *map_remove(struct map *m, uint64_t key);

#define map_for_each(slot, m)                                                                      \
    for (struct map_slot *slot = (m)->slots; slot && slot < (m)->slots + (m)->cap; slot++)         \
        if (slot->value)

/* A 64-bit hash of bytes (FNV-1a, mixed). Stable across runs and machines: inode numbers of
 * records with textual ids are made from it. Not for untrusted floods without a check of the
 * full key by the caller. */
uint64_t hash_bytes(const void *bytes, size_t len);
/* Another one, many times faster for long texts; to compare texts within one run only. */
uint64_t hash_text(const void *bytes, size_t len);
