/*
 * base/list: an intrusive doubly linked list, as in the Linux kernel.
 *
 * The head is a `struct list` that belongs to nobody; an element embeds one. A node that is in no
 * list points at itself, so list_remove() may be called twice. The list owns nothing.
 *
 * list_next() and list_prev() assert that neighbours point at each other: a node that was freed
 * while it was in a list is noticed there. The static analyzer does not see that list_remove() has
 * changed the neighbours, and reports a node that was freed after it: hence the NOLINT.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>

#include "systemefs/base/macros.h"

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* Puts `node` last. It must be in no list. */
static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Puts `node` first. It must be in no list. */
static inline void list_prepend(struct list *head, struct list *node)
{
    list_append(head->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Moves all of `from` behind `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    list_init(from);
}

static inline struct list *list_next(const struct list *node)
{
    assert(node->next->prev == node); /* NOLINT(clang-analyzer-unix.Malloc) */
    return node->next;
}

static inline struct list *list_prev(const struct list *node)
{
    assert(node->prev->next == node); /* NOLINT(clang-analyzer-unix.Malloc) */
    return node->prev;
}

static inline struct list *list_first(struct list *head)
{
    return list_empty(head) ? NULL : list_next(head);
}

#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The element at `it` may be removed in the body. */
#define list_for_each_safe(it, head)                                                               \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)
