#include "heap.h"

#include <errno.h>
#include <stdlib.h>

#include "systemefs/base/macros.h"

void heap_finish(struct heap *h)
{
    free(h->nodes);
    *h = (struct heap){0};
}

int heap_reserve(struct heap *h, size_t count)
{
    if (count <= h->cap)
        return 0;
    size_t cap = MAX(count, MAX(h->cap * 2, 16));
    struct heap_node **nodes = realloc(h->nodes, cap * sizeof(struct heap_node *));
    if (!nodes)
        return -ENOMEM;
    h->nodes = nodes;
    h->cap = cap;
    return 0;
}

static void heap_place(struct heap *h, struct heap_node *node, size_t index)
{
    h->nodes[index] = node;
    node->index = index;
}

/* Puts `node` where it belongs, the free place being `index`. */
static void heap_settle(struct heap *h, struct heap_node *node, size_t index)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (h->nodes[parent]->key <= node->key)
            break;
        heap_place(h, h->nodes[parent], index);
        index = parent;
    }
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (h->nodes[child]->key >= node->key)
            break;
        heap_place(h, h->nodes[child], index);
        index = child;
    }
    heap_place(h, node, index);
}

void heap_push(struct heap *h, struct heap_node *node)
{
    /* The free place is the one behind the last. */
    size_t index = h->count++;
    h->nodes[index] = node;
    heap_settle(h, node, index);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    struct heap_node *last = h->nodes[--h->count];
    if (last != node)
        heap_settle(h, last, node->index);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->count > 0 ? h->nodes[0] : NULL;
}
