/*
 * heap: the least of many, with removal from the middle.
 *
 * A binary heap of nodes that are embedded in their owners. Each node knows its place, so taking
 * any of them out costs O(log n). Nodes with equal keys come in no particular order.
 *
 * Layer: net, private. It owns the array of pointers, never the nodes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;  /* set before heap_push(); not changed while it is in a heap */
    size_t index; /* private */
};

/* Zeroed: empty. */
struct heap {
    size_t count;

    /* private */
    struct heap_node **nodes;
    size_t cap;
};

void heap_finish(struct heap *h);
/* Makes room for `count` nodes in all, so that heap_push() cannot fail. 0 or -ENOMEM. */
int heap_reserve(struct heap *h, size_t count);
/* The room must have been reserved. */
void heap_push(struct heap *h, struct heap_node *node);
/* `node` must be in this heap. */
void heap_remove(struct heap *h, struct heap_node *node);
/* The node with the least key, or NULL. */
struct heap_node *heap_first(const struct heap *h);
