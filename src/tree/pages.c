/* What the kernel's page cache may serve without asking: listings, and files that are read next. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- listings ---- */

/*
 * The kernel keeps the names that a readdir has brought (FOPEN_CACHE_DIR), and gives them out until
 * an opendir says that they are old. So each opendir compares: the version of the listing that was
 * read to its end, against the one that is fresh now. Who has the directory open all the time and
 * begins anew does not come by here: after a change of ours, or a refresh, the kernel is told. A
 * listing that was walked anew is a new version though it has the same names: reading it again
 * brings their attributes, too, which one by one would be a lookup each.
 *
 * Only for directories that there is one of: those of single records are short.
 */

static bool cacheable(struct tree *t, struct node n)
{
    const struct shape *shape = shape_of(n.kind);
    bool records = shape->form == FORM_RECORDS && !shape->filtered;
    /* Scratch comes and goes as it likes. */
    return (records || shape->form == FORM_NAMES) && t->ttl_ms > 0 &&
           !scratch_next(t, node_ino(n), 0);
}

/* 0: not known. */
static uint64_t version_of(struct tree *t, struct node n, const struct walk *w)
{
    const struct shape *shape = shape_of(n.kind);
    bool names = shape->form == FORM_NAMES;
    if (!cacheable(t, n))
        return 0;
    const struct listing *l = store_listing(t->store, shape->res, -1, 0);
    uint64_t version = l ? store_listing_version(t->store, l, w) : 0;
    /* A record that is gone is left out, though it is in the walk. All of these only rise: no sum
     * comes twice. */
    version += version ? t->dropped[shape->res] : 0;
    return version && names ? version + t->contents[shape->res] : version;
}

void pages_opendir(struct tree *t, struct tree_dir *dir)
{
    struct dir_pages *pages = &t->dir_pages[dir->node.kind];
    uint64_t version = version_of(t, dir->node, NULL);
    dir->cache = cacheable(t, dir->node);
    dir->keep_cache = version && version == pages->version;
    /* Else the kernel drops what it has; this reader's names are the next ones. */
    if (!dir->keep_cache)
        *pages = (struct dir_pages){.filler = dir->cache ? ++t->last_filler : 0};
    dir->filler = pages->filler;
}

void pages_check(struct tree *t)
{
    for (enum node_kind kind = KIND_ROOT; kind < KIND_COUNT; kind++) {
        const struct node n = {.kind = kind, .key = 1};
        struct dir_pages *pages = &t->dir_pages[kind];
        if (!pages->filler || pages->version == version_of(t, n, NULL))
            continue;
        *pages = (struct dir_pages){0};
        if (t->kernel)
            t->last_ticket = t->kernel->invalidate(t->kernel->data, node_ino(n));
    }
}

void pages_listed(struct tree *t, const struct tree_dir *dir)
{
    struct dir_pages *pages = &t->dir_pages[dir->node.kind];
    if (!dir->cache || !dir->walk || dir->filler != pages->filler)
        return;
    /* Two that read different walks at the same time would have filled it in turns. */
    list_for_each(it, &t->dirs) {
        const struct tree_dir *other = CONTAINER_OF(it, struct tree_dir, open);
        if (other->node.kind == dir->node.kind && other->walk && other->walk != dir->walk)
            return;
    }
    pages->version = version_of(t, dir->node, dir->walk);
}

/* ---- files that are read next ---- */

/*
 * A search reads the files of a directory in the order of the listing, or of their inode numbers,
 * which is the same one way or the other. So after a few of them the next ones are put into the
 * kernel's pages before they are asked for, more each time: a message to us costs ten times what
 * reading from a page does. Who jumps about gets nothing ahead.
 */
#define AHEAD_RUN   3                  /* files in a row */
#define AHEAD_FIRST 32                 /* that are put ahead at first */
#define AHEAD_MAX   256                /* at once: half a millisecond's work */
#define AHEAD_TEXT  ((size_t)64 << 10) /* a longer text is worth a message of its own */

void ahead_listed(struct tree *t, const struct tree_dir *dir)
{
    struct ahead *a = &t->ahead;
    if (a->walk == dir->walk || shape_of(dir->node.kind)->form != FORM_RECORDS)
        return;
    walk_unref(a->walk);
    *a = (struct ahead){.walk = dir->walk, .kind = shape_of(dir->node.kind)->entry};
    walk_ref(a->walk);
}

void ahead_finish(struct tree *t)
{
    walk_unref(t->ahead.walk);
    t->ahead.walk = NULL;
}

/* Whether it was put, or the kernel has it. */
static bool push(struct tree *t, struct node n)
{
    struct record *rec = store_peek(t->store, shape_of(n.kind)->res, n.key);
    uint64_t ino = node_ino(n);
    if (!rec || !rec->kernel_told || rec->kernel_behind || rec->kernel_ticket ||
        rec->size > AHEAD_TEXT || !store_record_valid_ms(t->store, rec))
        return false;
    if (rec->pages_hash == rec->hash)
        return true;
    /* Pages of another text may be there, and somebody may be reading them. */
    if (rec->pages_hash || map_get(&t->open_inodes, ino))
        return false;
    struct buf text;
    buf_init(&text, AHEAD_TEXT);
    size_t len;
    char *bytes = json_pretty(record_json(rec), &text) < 0 ? NULL : buf_take(&text, &len);
    buf_finish(&text);
    if (!bytes)
        return false;
    t->kernel->push(t->kernel->data, ino, bytes, len);
    rec->pages_hash = rec->hash;
    return true;
}

/* From `from` on, in the direction of the reading: how many. */
static size_t push_some(struct tree *t, const struct ahead *a, size_t from, size_t count)
{
    size_t n = 0;
    for (size_t i = from; n < count && i < a->walk->count; i += (size_t)a->step, n++)
        push(t, (struct node){.kind = a->kind, .key = a->walk->keys[i]});
    return n;
}

void ahead_read(struct tree *t, struct node n)
{
    struct ahead *a = &t->ahead;
    size_t i;
    if (!a->walk || n.kind != a->kind || !t->kernel || !t->kernel->push)
        return;
    size_t next = a->index + (size_t)a->step;
    if (next < a->walk->count && a->walk->keys[next] == n.key)
        i = next;
    else if (!walk_find(a->walk, n.key, &i))
        return;
    int step = i > a->index ? 1 : -1;
    size_t far = i > a->index ? i - a->index : a->index - i;
    if (far == 0) {
        a->run = MAX(a->run, 1u);
        return;
    }
    /* What was put ahead is not asked for: the next one lies behind it. */
    bool onward = a->run && far <= a->ahead + 1 && (a->run == 1 || step == a->step);
    if (!onward) {
        a->run = 1;
        a->ahead = a->window = 0;
    } else {
        a->run++;
        a->step = step;
        a->ahead -= MIN(a->ahead, far);
    }
    a->index = i;
    if (a->run < AHEAD_RUN || a->ahead > a->window / 2)
        return;
    a->window = a->window ? MIN(2 * a->window, AHEAD_MAX) : AHEAD_FIRST;
    a->ahead += push_some(t, a, i + (size_t)a->step * (a->ahead + 1), a->window - a->ahead);
}
