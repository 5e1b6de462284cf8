#include "systemefs/base/slab.h"

#include <stdlib.h>
#include <string.h>

struct slab_block {
    struct slab_block *next;
    char objects[];
};

void slab_init(struct slab *s, size_t size)
{
    *s = (struct slab){.size = size};
}

void slab_finish(struct slab *s)
{
    for (struct slab_block *b = s->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    slab_init(s, s->size);
}

static void *take_new(struct slab *s)
{
    if (!s->left) {
        struct slab_block *b = malloc(SLAB_BLOCK);
        if (!b)
            return NULL;
        b->next = s->blocks;
        s->blocks = b;
        s->left = (SLAB_BLOCK - sizeof(*b)) / s->size;
    }
    return s->blocks->objects + --s->left * s->size;
}

void *slab_get(struct slab *s)
{
    void *object = s->free;
    if (object)
        memcpy(&s->free, object, sizeof(s->free));
    else
        object = take_new(s);
    if (!object)
        return NULL;
    s->count++;
    return memset(object, 0, s->size);
}

void slab_put(struct slab *s, void *object)
{
    if (!object)
        return;
    memcpy(object, &s->free, sizeof(s->free));
    s->free = object;
    s->count--;
}
