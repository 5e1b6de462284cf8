/*
 * base/slab: many objects of one size, in few allocations.
 *
 * Blocks of SLAB_BLOCK bytes, cut into objects side by side: no header and no rounding for each,
 * and what lives long does not stand between what comes and goes. An object that is put back is
 * handed out again; the blocks are freed together, at the end.
 *
 * Calls nothing but libc.
 */
#pragma once

#include <stddef.h>

#define SLAB_BLOCK ((size_t)64 << 10)

struct slab {
    size_t size;  /* bytes of an object, a multiple of a pointer's */
    size_t count; /* handed out */

    /* private */
    struct slab_block *blocks;
    void *free;  /* put back; each begins with a pointer to the next */
    size_t left; /* objects at the end of the first block that were never handed out */
};

void slab_init(struct slab *s, size_t size);
/* Frees all objects with it. */
void slab_finish(struct slab *s);
/* A zeroed object, or NULL: no memory. */
void *slab_get(struct slab *s);
/* Accepts NULL. */
void slab_put(struct slab *s, void *object);
