#include "systemefs/base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The finalizer of MurmurHash3: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33;
    return x;
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_finish(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

struct map *map_create(void)
{
    return calloc(1, sizeof(struct map));
}

void map_destroy(struct map *m)
{
    if (!m)
        return;
    free(m->slots);
    free(m);
}

/* The slot of the key, or the free slot where it belongs. */
static struct map_slot *map_find(const struct map *m, uint64_t key)
{
    size_t mask = m->cap - 1;
    size_t i = (size_t)mix(key) & mask;
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & mask;
    return &m->slots[i];
}

void *map_get(const struct map *m, uint64_t key)
{
    return m->cap ? map_find(m, key)->value : NULL;
}

static int map_grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .count = m->count};
    bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
    if (!bigger.slots)
        return -ENOMEM;
    map_for_each(slot, m)
        *map_find(&bigger, slot->key) = *slot;
    free(m->slots);
    *m = bigger;
    return 0;
}

int map_put(struct map *m, uint64_t key, void *value)
{
    struct map_slot *there = m->cap ? map_find(m, key) : NULL;
    if (there && there->value) { /* replacing needs no room, and so cannot fail */
        there->value = value;
        return 0;
    }
    if ((m->count + 1) * 4 > m->cap * 3) {
        int r = map_grow(m);
        if (r < 0)
            return r;
    }
    struct map_slot *slot = map_find(m, key);
    m->count++;
    *slot = (struct map_slot){.key = key, .value = value};
    return 0;
}

void *map_remove(struct map *m, uint64_t key)
{
    if (!m->cap)
        return NULL;
    struct map_slot *hole = map_find(m, key);
    void *value = hole->value;
    if (!value)
        return NULL;

    /* Shift back whatever probed past the hole, so that every chain stays unbroken. */
    size_t mask = m->cap - 1;
    size_t gap = (size_t)(hole - m->slots);
    for (size_t i = (gap + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t home = (size_t)mix(m->slots[i].key) & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            m->slots[gap] = m->slots[i];
            gap = i;
        }
    }
    m->slots[gap].value = NULL;
    m->count--;
    return value;
}

uint64_t hash_bytes(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3ULL;
    return mix(h);
}

uint64_t hash_text(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    uint64_t h = mix(len + 1), word;
    for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        /* The product carries upward only: the shift brings it down again. */
        h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
        h ^= h >> 32;
    }
    word = 0;
    if (len)
        memcpy(&word, p, len);
    return mix((h ^ word) * 0x9e3779b97f4a7c15ULL);
}
