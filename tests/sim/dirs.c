/* sim: listing, through the names that the kernel keeps: fs/fuse/readdir.c. */
#include "sim.h"
#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of an open directory. */
struct stream {
    uint64_t ino;
    struct tree_dir *dir;
    unsigned life;
    bool cache;
    uint64_t offset;       /* of the file: behind what was told last */
    uint64_t pos, version; /* of the cache */
    size_t at;
    struct entry *entries; /* of a reply */
    size_t room, count;
};

void names_drop(struct inode *i)
{
    i->listed.lost = true;
}

static void names_reset(struct inode *i)
{
    struct names_cache *c = &i->listed;
    for (size_t n = 0; n < c->count; n++)
        free(c->names[n].name);
    c->count = 0;
    c->pos = 0;
    c->cached = c->lost = false;
    c->version++;
}

void names_free(struct inode *i)
{
    names_reset(i);
    free(i->listed.names);
}

void dir_changed(struct sim *s, uint64_t ino)
{
    struct inode *i = inode_find(s, ino);
    if (!i)
        return;
    i->changes++;
    i->attr_until_ms = sim_now(s);
}

/* fuse_add_dirent_to_cache() */
static void names_add(struct inode *i, uint64_t offset, const struct entry *e)
{
    struct names_cache *c = &i->listed;
    if (c->cached || offset != c->pos)
        return;
    if (c->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 64;
        c->names = realloc(c->names, c->cap * sizeof(*c->names));
        assert_non_null(c->names);
    }
    if (c->count == 0)
        c->lost = false; /* the first page is a new one */
    c->names[c->count++] = (struct cached_name){strdup(e->name), e->cookie};
    c->pos = e->cookie;
}

enum { FROM_DRIVER = -1 };

/* How many names it has told, FROM_DRIVER where it cannot, or -errno below that. */
static int read_cached(struct person *p, struct stream *st, size_t take, sys_entry_fn *each,
                       void *data)
{
    struct sim *s = p->sim;
    struct inode *i = inode_find(s, st->ino);
    if (st->offset == 0 && sim_now(s) >= i->attr_until_ms) {
        struct call *c = call_new(p, CALL_GETATTR, st->ino, "");
        int r = call_wait(p);
        if (r != 0)
            return r - 1;
        i = inode_update(s, &c->attr, c->attr_version);
    }
    if (st->pos != st->offset)
        st->pos = st->at = 0;
    struct names_cache *c = &i->listed;
    bool changed = c->mtime_ns != i->attr.mtime_ns || c->changes != i->changes;
    if (c->cached && (c->lost || (st->offset == 0 && changed)))
        names_reset(i);
    if (!c->cached) {
        if (st->offset == 0 && c->count == 0) {
            c->mtime_ns = i->attr.mtime_ns;
            c->changes = i->changes;
        }
        return FROM_DRIVER;
    }
    if (st->version != c->version)
        st->pos = st->at = 0;
    if (st->at == 0)
        st->version = c->version;
    size_t told = 0;
    bool end = st->at == c->count;
    for (; st->at < c->count && told < take; st->at++) {
        const struct cached_name *n = &c->names[st->at];
        if (st->pos == st->offset) {
            struct entry e = {.cookie = n->cookie};
            snprintf(e.name, sizeof(e.name), "%s", n->name);
            st->offset = n->cookie;
            told++;
            if (e.name[0] != '.' || strspn(e.name, ".") != strlen(e.name))
                each(data, &e);
        }
        st->pos = n->cookie;
    }
    return told || end ? (int)told : FROM_DRIVER; /* where it is to go on is not in there */
}

/* The same from the driver; 0: the end. What the program has no room for is asked for again. */
static int read_driver(struct person *p, struct stream *st, size_t take, sys_entry_fn *each,
                       void *data)
{
    struct sim *s = p->sim;
    struct call *c = call_new(p, CALL_READDIR, st->ino, "");
    c->dir = st->dir;
    c->offset = st->offset;
    c->entries = st->entries;
    c->room = st->room;
    int r = call_wait(p);
    if (r != 0)
        return r - 1;
    struct inode *i = inode_find(s, st->ino);
    if (st->cache && c->entry_count == 0 && i->listed.pos == st->offset)
        i->listed.cached = true;
    size_t told = 0;
    for (; told < c->entry_count && told < take; told++) {
        const struct entry *e = &st->entries[told];
        bool dots = e->name[0] == '.' && strspn(e->name, ".") == strlen(e->name);
        if (st->cache)
            names_add(i, st->offset, e);
        if (e->attr.attr_valid_ms >= 0 && !dots)
            kernel_entry(s, st->ino, e->name, &e->attr, c->attr_version);
        st->offset = e->cookie;
        if (!dots)
            each(data, e);
    }
    /* Entries that were not told have been counted as looked up all the same. */
    for (size_t n = told; n < c->entry_count; n++) {
        const struct entry *e = &st->entries[n];
        if (e->attr.attr_valid_ms >= 0 && e->name[0] != '.')
            kernel_entry(s, st->ino, e->name, &e->attr, c->attr_version);
    }
    return (int)told;
}

static int get_names(struct person *p, struct stream *st, size_t take, sys_entry_fn *each,
                     void *data)
{
    int r = st->cache ? read_cached(p, st, take, each, data) : FROM_DRIVER;
    return r == FROM_DRIVER ? read_driver(p, st, take, each, data) : r;
}

static void to_nobody(void *data UNUSED, const struct entry *entry UNUSED)
{
}

/* A program that looks at the beginning once more, and goes on where it was: rewinddir(),
 * seekdir(). By POSIX nobody may: it works where the order stays that of the ids. */
static int look_back(struct person *p, struct stream *st)
{
    uint64_t offset = st->offset;
    st->offset = 0;
    int r = get_names(p, st, st->room, to_nobody, NULL);
    st->offset = offset;
    return r;
}

int sys_list(struct person *p, const char *path, size_t room, sys_entry_fn *each, void *data)
{
    struct sim *s = p->sim;
    char at[SIM_PATH], last[NAME_MAX + 1];
    uint64_t parent;
    struct tree_attr attr;
    snprintf(at, sizeof(at), "%s", path);
    int r = walk_through(p, at, 0, &parent, last, &attr);
    struct call *c = NULL;
    if (r == 0) {
        c = call_new(p, CALL_OPENDIR, attr.ino, "");
        r = call_wait(p);
    }
    if (r != 0)
        return r;
    struct stream st = {.ino = attr.ino, .dir = c->dir, .life = s->life, .room = room};
    st.cache = tree_dir_cache(st.dir);
    st.entries = calloc(room, sizeof(*st.entries));
    assert_non_null(st.entries);
    p->pins[0] = st.ino;
    if (!tree_dir_keep_cache(st.dir) && inode_find(s, st.ino))
        names_drop(inode_find(s, st.ino));
    for (r = 1; r > 0;) {
        size_t take = rng_below(&p->rng, 4) ? room : 1 + rng_below(&p->rng, room);
        if (!inode_find(s, st.ino)) /* the root */
            st.cache = false;
        r = get_names(p, &st, take, each, data);
        bool here = s->life == st.life && s->alive;
        bool looks = rng_below(&p->rng, 24) == 0 && !s->wire.strange_pages;
        if (r > 0 && here && !p->inspects && looks)
            r = look_back(p, &st) < FROM_DRIVER ? -ENOTCONN - 1 : r;
        if (r > 0 && rng_below(&p->rng, 4) == 0)
            person_sleep(p, (int64_t)rng_below(&p->rng, room > 40 ? 50 : 500));
        if (s->life != st.life || !s->alive)
            r = -ENOTCONN - 1;
    }
    free(st.entries);
    if (s->life == st.life && s->alive)
        tree_closedir(s->tree, st.dir);
    return r < 0 ? r + 1 : 0;
}
