/* sim: the kernel's caches: names, attributes, pages, and what takes them away. */
#include "sim.h"
#include "kernel.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

/* ---- names ---- */

struct dentry *dentry_find(struct sim *s, uint64_t parent, const char *name)
{
    struct kernel *k = &s->kernel;
    for (size_t i = 0; i < k->dentry_count; i++)
        if (k->dentries[i].parent == parent && strcmp(k->dentries[i].name, name) == 0)
            return &k->dentries[i];
    return NULL;
}

void dentry_drop(struct sim *s, uint64_t parent, const char *name)
{
    struct dentry *d = dentry_find(s, parent, name);
    if (d)
        *d = s->kernel.dentries[--s->kernel.dentry_count];
}

void dentry_set(struct sim *s, uint64_t parent, const char *name, uint64_t ino, int64_t until_ms)
{
    struct kernel *k = &s->kernel;
    struct dentry *d = dentry_find(s, parent, name);
    if (!d && k->dentry_count == k->dentry_cap) {
        k->dentry_cap = k->dentry_cap ? k->dentry_cap * 2 : 64;
        k->dentries = realloc(k->dentries, k->dentry_cap * sizeof(*k->dentries));
        assert_non_null(k->dentries);
    }
    if (!d)
        d = &k->dentries[k->dentry_count++];
    *d = (struct dentry){.parent = parent, .ino = ino, .until_ms = until_ms};
    snprintf(d->name, sizeof(d->name), "%s", name);
}

/* ---- inodes ---- */

struct inode *inode_find(struct sim *s, uint64_t ino)
{
    for (size_t i = 0; i < s->kernel.inode_count; i++)
        if (s->kernel.inodes[i]->ino == ino)
            return s->kernel.inodes[i];
    return NULL;
}

void pages_drop(struct inode *i)
{
    free(i->pages);
    free(i->have);
    i->pages = NULL;
    i->have = NULL;
    i->page_count = 0;
}

static struct inode *inode_of(struct sim *s, uint64_t ino)
{
    struct kernel *k = &s->kernel;
    struct inode *i = inode_find(s, ino);
    if (i)
        return i;
    if (k->inode_count == k->inode_cap) {
        k->inode_cap = k->inode_cap ? k->inode_cap * 2 : 64;
        k->inodes = realloc(k->inodes, k->inode_cap * sizeof(*k->inodes));
        assert_non_null(k->inodes);
    }
    i = calloc(1, sizeof(*i));
    assert_non_null(i);
    i->ino = ino;
    return k->inodes[k->inode_count++] = i;
}

static int64_t until(int64_t now, int64_t valid_ms)
{
    return valid_ms <= 0 ? now : now + valid_ms;
}

/* Attributes that were asked for before the kernel was told to drop them are not taken. */
struct inode *inode_update(struct sim *s, const struct tree_attr *attr, uint64_t version)
{
    struct inode *i = inode_of(s, attr->ino);
    if (i->attr_version > version)
        return i;
    bool changed = i->attr.ino && (i->attr.mtime_ns != attr->mtime_ns || i->size != attr->size);
    i->attr = *attr;
    i->size = attr->size;
    i->cut = false;
    i->attr_until_ms = until(sim_now(s), attr->attr_valid_ms);
    if (changed)
        pages_drop(i); /* FUSE_AUTO_INVAL_DATA */
    return i;
}

/* The reply to a lookup, or an entry of a readdirplus. */
void kernel_entry(struct sim *s, uint64_t parent, const char *name, const struct tree_attr *attr,
                  uint64_t version)
{
    struct inode *i = inode_update(s, attr, version);
    i->lookups++;
    dentry_set(s, parent, name, attr->ino, until(sim_now(s), attr->entry_valid_ms));
}

static void inode_free(struct inode *i)
{
    pages_drop(i);
    free(i);
}

/* Whether some request that is under way means it. */
static bool pinned(const struct sim *s, uint64_t ino)
{
    for (size_t n = 0; n < SIM_PEOPLE; n++) {
        const struct person *p = &s->people[n];
        if (p->busy && (p->call.ino == ino || p->call.other == ino))
            return true;
        for (size_t k = 0; k < SIM_PINS; k++)
            if (p->busy && p->pins[k] == ino)
                return true;
        for (size_t k = 0; k < SIM_FDS; k++)
            if (p->fds[k].used && p->fds[k].ino == ino)
                return true;
    }
    return false;
}

void kernel_forget(struct sim *s, struct rng *rng)
{
    struct kernel *k = &s->kernel;
    for (size_t n = 0; n < k->inode_count;) {
        struct inode *i = k->inodes[n];
        if (rng_below(rng, 3) == 0 || pinned(s, i->ino)) {
            n++;
            continue;
        }
        for (size_t d = 0; d < k->dentry_count;)
            if (k->dentries[d].ino == i->ino)
                k->dentries[d] = k->dentries[--k->dentry_count];
            else
                d++;
        if (s->alive && i->lookups)
            tree_forget(s->tree, i->ino, i->lookups);
        inode_free(i);
        k->inodes[n] = k->inodes[--k->inode_count];
    }
    sim_trace(s, "the kernel forgets: %zu inodes are left", k->inode_count);
}

/* ---- what it is told ---- */

static struct news *add_news(struct sim *s)
{
    struct kernel *k = &s->kernel;
    if (k->news_count == k->news_cap) {
        k->news_cap = k->news_cap ? k->news_cap * 2 : 16;
        k->news = realloc(k->news, k->news_cap * sizeof(*k->news));
        assert_non_null(k->news);
    }
    uint64_t parts[] = {s->plan->seed, ++s->tick};
    int64_t delay =
        (int64_t)(hash_bytes(parts, sizeof(parts)) % (uint64_t)(s->plan->kernel_ms + 1));
    k->last_due_ms = MAX(k->last_due_ms, sim_now(s) + delay); /* in their order */
    struct news *n = &k->news[k->news_count++];
    *n = (struct news){.due_ms = k->last_due_ms};
    return n;
}

static uint64_t invalidate(void *data, uint64_t ino)
{
    struct sim *s = data;
    struct news *n = add_news(s);
    n->ino = ino;
    n->ticket = ++s->kernel.tickets;
    return n->ticket;
}

static bool done(void *data, uint64_t ticket)
{
    const struct sim *s = data;
    return ticket <= s->kernel.done;
}

static void forget_name(void *data, uint64_t parent, const char *name)
{
    struct sim *s = data;
    struct news *n = add_news(s);
    n->ino = parent;
    snprintf(n->name, sizeof(n->name), "%s", name);
}

bool kernel_turn(struct sim *s)
{
    struct kernel *k = &s->kernel;
    if (!k->news_count || k->news[0].due_ms > sim_now(s))
        return false;
    struct news n = k->news[0];
    memmove(k->news, k->news + 1, --k->news_count * sizeof(*k->news));
    if (!n.ticket) {
        dentry_drop(s, n.ino, n.name);
        return true;
    }
    struct inode *i = inode_find(s, n.ino);
    if (i) {
        i->attr_version = ++k->attr_version;
        i->attr_until_ms = sim_now(s);
        pages_drop(i);
    }
    k->done = MAX(k->done, n.ticket);
    if (s->alive)
        wait_queue_wake(s->store, &k->queue);
    return true;
}

int64_t kernel_next_ms(const struct sim *s)
{
    return s->kernel.news_count ? s->kernel.news[0].due_ms : SIM_NEVER;
}

void kernel_init(struct sim *s)
{
    struct kernel *k = &s->kernel;
    *k = (struct kernel){.attr_version = 1};
    wait_queue_init(&k->queue);
    k->tree = (struct tree_kernel){.invalidate = invalidate,
                                   .done = done,
                                   .queue = &k->queue,
                                   .forget_name = forget_name,
                                   .data = s};
}

void kernel_finish(struct sim *s)
{
    struct kernel *k = &s->kernel;
    for (size_t i = 0; i < k->inode_count; i++)
        inode_free(k->inodes[i]);
    free(k->inodes);
    free(k->dentries);
    free(k->news);
    *k = (struct kernel){0};
}
