/* sim: the kernel's caches: names, attributes, pages, and what takes them away. */
#include "sim.h"
#include "kernel.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

/* ---- names ---- */

static uint64_t name_hash(uint64_t parent, const char *name)
{
    const uint64_t parts[] = {parent, hash_bytes(name, strlen(name))};
    return hash_bytes(parts, sizeof(parts));
}

struct dentry *dentry_find(struct sim *s, uint64_t parent, const char *name)
{
    return map_get(&s->kernel.by_name, name_hash(parent, name));
}

static void dentry_remove(struct sim *s, struct dentry *d)
{
    struct kernel *k = &s->kernel;
    map_remove(&k->by_name, name_hash(d->parent, d->name));
    k->dentries[d->index] = k->dentries[--k->dentry_count];
    k->dentries[d->index]->index = d->index;
    free(d);
}

void dentry_drop(struct sim *s, uint64_t parent, const char *name)
{
    struct dentry *d = dentry_find(s, parent, name);
    if (d)
        dentry_remove(s, d);
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
    if (!d) {
        d = calloc(1, sizeof(*d));
        assert_non_null(d);
        d->index = k->dentry_count;
        d->parent = parent;
        snprintf(d->name, sizeof(d->name), "%s", name);
        k->dentries[k->dentry_count++] = d;
        assert_int_equal(map_put(&k->by_name, name_hash(parent, name), d), 0);
    }
    d->ino = ino;
    d->until_ms = until_ms;
}

/* ---- inodes ---- */

struct inode *inode_find(struct sim *s, uint64_t ino)
{
    return map_get(&s->kernel.by_ino, ino);
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
    assert_int_equal(map_put(&k->by_ino, ino, i), 0);
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
    names_free(i);
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
        if (s->alive && i->lookups)
            tree_forget(s->tree, i->ino, i->lookups);
        map_remove(&k->by_ino, i->ino);
        inode_free(i);
        k->inodes[n] = k->inodes[--k->inode_count];
    }
    for (size_t d = 0; d < k->dentry_count;)
        if (k->dentries[d]->ino && !inode_find(s, k->dentries[d]->ino))
            dentry_remove(s, k->dentries[d]);
        else
            d++;
    sim_trace(s, "the kernel forgets: %zu inodes are left", k->inode_count);
}

/* ---- what it is told ---- */

static struct news *add_news(struct sim *s, struct lane *l, uint64_t ino)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->news = realloc(l->news, l->cap * sizeof(*l->news));
        assert_non_null(l->news);
    }
    uint64_t parts[] = {s->plan->seed, ++s->tick};
    int64_t delay =
        (int64_t)(hash_bytes(parts, sizeof(parts)) % (uint64_t)(s->plan->kernel_ms + 1));
    l->last_due_ms = MAX(l->last_due_ms, sim_now(s) + delay); /* in their order */
    struct news *n = &l->news[l->count++];
    *n = (struct news){.due_ms = l->last_due_ms, .ino = ino};
    return n;
}

static uint64_t invalidate(void *data, uint64_t ino)
{
    struct sim *s = data;
    struct news *n = add_news(s, &s->kernel.lanes[LANE_INODES], ino);
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
    struct news *n = add_news(s, &s->kernel.lanes[LANE_NAMES], parent);
    snprintf(n->name, sizeof(n->name), "%s", name);
}

static void push(void *data, uint64_t ino, char *text, size_t len)
{
    struct sim *s = data;
    struct news *n = add_news(s, &s->kernel.lanes[LANE_INODES], ino);
    n->text = text;
    n->len = len;
    s->pushes++;
}

/* A READ under way has locked the pages; a lookup under way the directory. */
static bool blocked(struct sim *s, const struct news *n)
{
    const struct inode *i = inode_find(s, n->ino);
    if (!n->name[0])
        return i && i->reads;
    for (size_t k = 0; k < SIM_PEOPLE; k++) {
        const struct call *c = &s->people[k].call;
        if (c->waiting && c->kind == CALL_LOOKUP && c->ino == n->ino)
            return true;
    }
    return false;
}

static void hear(struct sim *s, const struct news *n)
{
    struct kernel *k = &s->kernel;
    struct inode *i = inode_find(s, n->ino);
    if (n->name[0]) {
        dentry_drop(s, n->ino, n->name);
        return;
    }
    if (i && n->text) {
        pages_store(s, i, n->text, n->len);
    } else if (i) {
        i->attr_version = ++k->attr_version;
        i->attr_until_ms = sim_now(s);
        pages_drop(i);
        names_drop(i);
    }
    if (!n->ticket)
        return;
    k->done = MAX(k->done, n->ticket);
    if (s->alive)
        wait_queue_wake(s->store, &k->queue);
}

bool kernel_turn(struct sim *s)
{
    bool happened = false;
    for (size_t n = 0; n < LANES; n++) {
        struct lane *l = &s->kernel.lanes[n];
        if (!l->count || l->news[0].due_ms > sim_now(s) || blocked(s, &l->news[0]))
            continue;
        struct news news = l->news[0];
        memmove(l->news, l->news + 1, --l->count * sizeof(*l->news));
        hear(s, &news);
        free(news.text);
        happened = true;
    }
    return happened;
}

int64_t kernel_next_ms(struct sim *s)
{
    int64_t next = SIM_NEVER;
    for (size_t n = 0; n < LANES; n++) {
        const struct lane *l = &s->kernel.lanes[n];
        if (l->count && !blocked(s, &l->news[0]))
            next = MIN(next, l->news[0].due_ms);
    }
    return next;
}

void kernel_init(struct sim *s)
{
    struct kernel *k = &s->kernel;
    *k = (struct kernel){.attr_version = 1};
    wait_queue_init(&k->queue);
    map_init(&k->by_name);
    map_init(&k->by_ino);
    k->tree = (struct tree_kernel){.invalidate = invalidate,
                                   .done = done,
                                   .queue = &k->queue,
                                   .forget_name = forget_name,
                                   .push = push,
                                   .data = s};
}

void kernel_finish(struct sim *s)
{
    struct kernel *k = &s->kernel;
    for (size_t i = 0; i < k->inode_count; i++)
        inode_free(k->inodes[i]);
    for (size_t i = 0; i < k->dentry_count; i++)
        free(k->dentries[i]);
    for (size_t n = 0; n < LANES; n++) {
        for (size_t i = 0; i < k->lanes[n].count; i++)
            free(k->lanes[n].news[i].text);
        free(k->lanes[n].news);
    }
    free(k->inodes);
    free(k->dentries);
    map_finish(&k->by_name);
    map_finish(&k->by_ino);
    *k = (struct kernel){0};
}
