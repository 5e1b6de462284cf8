/* Directories: listings as entries with lasting cookies. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

/*
 * Cookies. 1 and 2 stand behind "." and "..", COOKIE_FIXED + kind behind a fixed child, and
 * COOKIE_RECORDS + 2 * key (+ 1) behind ID.json (and ID/) of a record: the entry, not its place.
 */
#define COOKIE_DOT     1
#define COOKIE_DOTDOT  2
#define COOKIE_FIXED   2
#define COOKIE_RECORDS 256
#define COOKIE_SCRATCH                                                                             \
    (UINT64_C(1) << 62) /* + id, behind a scratch file; they come before the records */
_Static_assert(COOKIE_FIXED + KIND_COUNT < COOKIE_RECORDS, "fixed children come before records");

bool name_stem(const char *name, char stem[NAME_MAX + 1])
{
    static const char suffix[] = ".json";
    size_t len = strlen(name), tail = sizeof(suffix) - 1;
    if (len > NAME_MAX) {
        stem[0] = '\0';
        return false;
    }
    bool has = len > tail && strcmp(name + len - tail, suffix) == 0;
    snprintf(stem, NAME_MAX + 1, "%.*s", (int)(has ? len - tail : len), name);
    return has;
}

struct listing *dir_listing(const struct tree *t, struct node dir)
{
    const struct shape *shape = shape_of(dir.kind);
    if (!shape->filtered)
        return store_listing(t->store, shape->res, -1, 0);
    return store_listing(t->store, shape->res, resource_filter_by(shape->res, shape->owner),
                         dir.key);
}

int dir_getattr(struct tree *t, struct op *op UNUSED, struct node n, struct tree_attr *ret)
{
    const struct shape *shape = shape_of(n.kind);
    attr_init(t, n, ret);
    /* The directory of a record is there as long as the record is, which may be refreshed. */
    if (!shape->name && n.kind != KIND_ROOT) {
        ret->entry_valid_ms = 0;
        ret->attr_valid_ms = t->ttl_ms;
    }
    if (shape->form != FORM_RECORDS)
        return 0;
    const struct listing *l = dir_listing(t, n);
    if (l && listing_changed_ns(l))
        ret->mtime_ns = listing_changed_ns(l);
    ret->attr_valid_ms = t->ttl_ms;
    return 0;
}

/*
 * Whether a record is there, told by what belongs to it: 0 with the answer ("no" proves nothing),
 * or STORE_WAIT. A course cannot be asked for alone; whoever walks into its directory comes for its
 * enrollments, and their first page names it. So that page is asked for, and not the whole list
 * of courses before it.
 */
static int proof_below(struct tree *t, struct op *op, struct node n, bool *ret)
{
    *ret = false;
    for (enum node_kind kind = KIND_ROOT + 1; kind < KIND_COUNT; kind++) {
        const struct shape *below = shape_of(kind);
        if (below->parent != n.kind || below->form != FORM_RECORDS || !below->filtered)
            continue;
        const struct resource_filter *filter =
            &resource_row(below->res)->filters[resource_filter_by(below->res, below->owner)];
        struct listing *l = dir_listing(t, (struct node){.kind = kind, .key = n.key});
        struct walk *w;
        if (!filter->member || !l || store_walk(t->store, op, l, &w) < 0)
            continue;
        int r = store_walk_more(t->store, op, w, 0);
        const struct record *first = NULL; /* that is still there */
        for (size_t i = 0; r == 0 && !first && i < w->count; i++)
            first = store_peek(t->store, below->res, w->keys[i]);
        char id[RESOURCE_ID_TEXT_MAX + 1];
        walk_unref(w);
        if (r == STORE_WAIT)
            return r;
        store_id(t->store, below->owner, n.key, id);
        *ret = *ret || (first && record_names(first, filter->member, id));
    }
    return 0;
}

int records_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                   struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir.kind);
    char stem[NAME_MAX + 1];
    bool file = name_stem(name, stem);
    bool id = resource_id_valid(resource_row(shape->res)->id_kind, stem, strlen(stem));
    enum node_kind kind = file ? shape->entry : shape->entry_dir;
    if (!id || kind == KIND_ROOT)
        return alias_lookup(t, op, dir, name, ret);

    ret->entry_valid_ms = 0;
    uint64_t key = store_key(t->store, shape->res, stem);
    struct listing *l = dir_listing(t, dir);
    if (!key || !l)
        return -ENOMEM;
    if (name_is_probe(name) && !store_known(t->store, shape->res, key))
        return -ENOENT;
    struct node n = {.kind = kind, .key = key};
    struct record *rec;
    if (!file && !resource_row(shape->res)->item_get && !store_known(t->store, shape->res, key) &&
        !store_listing_valid_ms(t->store, l)) {
        bool proven;
        int r = proof_below(t, op, n, &proven);
        if (r != 0 || proven)
            return r ? r : dir_getattr(t, op, n, ret);
    }
    int r = store_record_in(t->store, op, l, key, &rec);
    if (r < 0 && r != -ENOENT && file)
        return record_unreadable(t, op, n, node_ino(dir), name, ret);
    if (r != 0)
        return r;
    if (file)
        record_attr(t, n, rec, ret);
    else
        dir_getattr(t, op, n, ret);
    if (shape->filtered)
        ret->entry_valid_ms = 0; /* whether it belongs here may change before the record does */
    return 0;
}

int records_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret)
{
    struct listing *l = dir_listing(t, dir);
    return l ? store_walk(t->store, op, l, ret) : -ENOMEM;
}

bool records_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                   char name[NAME_MAX + 1], struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir->node.kind);
    struct record *rec = store_known(t->store, shape->res, key);
    char id[RESOURCE_ID_TEXT_MAX + 1];
    if (!rec || (second && !shape->entry_dir_listed))
        return false;
    store_id(t->store, shape->res, key, id);
    snprintf(name, NAME_MAX + 1, "%s%s", id, second ? "" : ".json");
    struct node n = {.kind = second ? shape->entry_dir : shape->entry, .key = key};
    if (second)
        dir_getattr(t, NULL, n, ret);
    else
        record_attr(t, n, rec, ret);
    if (shape->filtered)
        ret->entry_valid_ms = 0;
    return true;
}

/* ---- reading a directory ---- */

int tree_opendir(struct tree *t, struct op *op UNUSED, uint64_t ino, struct tree_dir **ret)
{
    struct node n = node_from_ino(ino);
    if (n.kind >= KIND_COUNT || !shape_is_dir(n.kind))
        return -ENOTDIR;
    struct tree_dir *dir = calloc(1, sizeof(*dir));
    if (!dir)
        return -ENOMEM;
    dir->node = n;
    buf_init(&dir->names, TREE_TEXT_MAX);
    list_append(&t->dirs, &dir->open);
    pages_opendir(t, dir);
    *ret = dir;
    return 0;
}

bool tree_dir_cache(const struct tree_dir *dir)
{
    return dir->cache;
}

bool tree_dir_keep_cache(const struct tree_dir *dir)
{
    return dir->keep_cache;
}

static void drop_walk(struct tree_dir *dir)
{
    if (dir->reading)
        walk_reader(dir->walk, -1);
    walk_unref(dir->walk);
    dir->walk = NULL;
    dir->reading = dir->started = false;
    dir->index = 0;
    dir->second = false;
    dir->last_cookie = 0;
}

void tree_closedir(struct tree *t UNUSED, struct tree_dir *dir)
{
    drop_walk(dir);
    list_remove(&dir->open);
    buf_finish(&dir->names);
    free(dir);
}

/* ".", ".." and the fixed children behind `cookie`. False when there is no more room. */
static bool emit_fixed(struct tree *t, struct op *op, const struct tree_dir *dir, uint64_t cookie,
                       tree_emit_fn *emit, void *data, size_t *emitted)
{
    struct tree_attr attr;
    for (uint64_t c = cookie; c < COOKIE_FIXED + KIND_COUNT - 1; c++) {
        const char *name;
        struct node n = dir->node;
        if (c < COOKIE_DOTDOT) {
            name = c < COOKIE_DOT ? "." : "..";
            attr_init(t, dir->node, &attr);
            if (c >= COOKIE_DOT)
                attr.ino = node_ino(node_parent(dir->node));
            attr.attr_valid_ms = -1; /* the kernel knows both */
        } else {
            n.kind = (enum node_kind)(c + 1 - COOKIE_FIXED);
            const struct shape *child = shape_of(n.kind);
            name = child->name;
            if (!name || child->hidden || child->parent != dir->node.kind || absent_here(t, n.kind))
                continue;
            tree_getattr(t, op, node_ino(n), &attr);
        }
        if (!emit(data, name, &attr, c + 1))
            return false;
        ++*emitted;
    }
    return true;
}

/* Finds the place behind `cookie` again. */
static void seek(struct tree_dir *dir, uint64_t cookie)
{
    if (cookie < COOKIE_RECORDS) {
        dir->index = 0;
        dir->second = false;
    } else if (cookie != dir->last_cookie) {
        uint64_t key = (cookie - COOKIE_RECORDS) >> 1;
        dir->index = walk_position_after(dir->walk, key);
        /* Behind ID.json stands ID/ of the same record, if the record is still there. */
        dir->second = !(cookie & 1) && dir->index > 0 && dir->walk->keys[dir->index - 1] == key;
        dir->index -= dir->second;
    }
}

/* The walk has failed. The last whole one is read in its place, if the store lets it serve (the API
 * is away), and where the reader is can be told in that. If not, and nothing was read, the next
 * reader of this handle begins anew. */
static bool fall_back(struct tree *t, struct op *op, const struct form *form, struct tree_dir *dir)
{
    const struct api_failure failure = op->failure;
    struct walk *older = NULL;
    bool found = form->walk(t, op, dir->node, &older) == 0 && older->complete &&
                 (!dir->started || walk_goes_on_in(dir->walk, older));
    if (found || !dir->started)
        drop_walk(dir);
    if (!found) {
        walk_unref(older);
        op->failure = failure;
        return false;
    }
    dir->walk = older;
    dir->reading = dir->started = true;
    dir->filler = 0;
    walk_reader(older, 1);
    return true;
}

/* The scratch files behind `cookie`. False when there is no more room. */
static bool emit_scratch(struct tree *t, const struct tree_dir *dir, uint64_t cookie,
                         tree_emit_fn *emit, void *data, size_t *emitted)
{
    uint64_t after = cookie >= COOKIE_SCRATCH ? cookie - COOKIE_SCRATCH : 0;
    const struct scratch *s;
    for (; (s = scratch_next(t, node_ino(dir->node), after)); after = s->id) {
        struct tree_attr attr;
        scratch_attr(t, s, &attr);
        if (!emit(data, s->name, &attr, COOKIE_SCRATCH + s->id))
            return false;
        ++*emitted;
    }
    return true;
}

/* The text that an entry is made from must be at hand: 0, STORE_WAIT or -errno. Nothing is asked
 * for without an operation. */
static int entry_text(struct tree *t, struct op *op, const struct tree_dir *dir, uint64_t key)
{
    const struct shape *shape = shape_of(dir->node.kind);
    bool owner = forms[shape->form].entry_from == ENTRY_OWNER_TEXT;
    enum resource res = owner ? shape->owner : shape->res;
    if (forms[shape->form].entry_from == ENTRY_ATTR)
        return 0;
    key = owner ? dir->node.key : key;
    struct record *rec = store_known(t->store, res, key);
    if (!rec || rec->text)
        return 0; /* what is not known is left out */
    int r = op ? store_text(t->store, op, res, key, &rec) : STORE_WAIT;
    return r == -ENOENT ? 0 : r;
}

int tree_readdir(struct tree *t, struct op *op, struct tree_dir *dir, uint64_t cookie,
                 tree_emit_fn *emit, void *data)
{
    const struct form *form = &forms[shape_of(dir->node.kind)->form];
    size_t emitted = 0;
    if (cookie == 0 && dir->started) {
        drop_walk(dir); /* rewound: what is true now */
        dir->filler = 0;
    }
    if (cookie < COOKIE_RECORDS && !emit_fixed(t, op, dir, cookie, emit, data, &emitted))
        return 0;
    if (shape_of(dir->node.kind)->form == FORM_SHELF) {
        int r = kept_readdir(t, dir, cookie < COOKIE_RECORDS ? 0 : cookie - COOKIE_RECORDS,
                             COOKIE_RECORDS, emit, data);
        return emitted ? 0 : r;
    }
    if ((cookie < COOKIE_RECORDS || cookie >= COOKIE_SCRATCH) &&
        !emit_scratch(t, dir, cookie, emit, data, &emitted))
        return 0;
    if (!form->walk || emitted)
        return 0;
    if (cookie >= COOKIE_SCRATCH)
        cookie = COOKIE_FIXED; /* the records begin */

    if (!dir->walk) {
        int r = form->walk(t, op, dir->node, &dir->walk);
        if (r != 0)
            return r;
        walk_reader(dir->walk, 1);
        dir->reading = true;
        ahead_listed(t, dir);
    }
    struct walk *w = dir->walk;
    seek(dir, cookie);
    for (;;) {
        if (dir->index >= w->count) {
            if (w->complete && !emitted)
                pages_listed(t, dir);
            if (w->complete || emitted)
                return 0;
            int r = store_walk_more(t->store, op, w, dir->index);
            if (r != 0) {
                if (r > 0 || !fall_back(t, op, form, dir))
                    return r;
                w = dir->walk;
                seek(dir, cookie);
                continue;
            }
        }
        char name[NAME_MAX + 1];
        struct tree_attr attr;
        uint64_t key = w->keys[dir->index];
        uint64_t here = COOKIE_RECORDS + key * 2 + dir->second;
        int r = entry_text(t, emitted ? NULL : op, dir, key);
        if (r != 0)
            return emitted ? 0 : r; /* what is there goes first */
        if (form->entry(t, dir, key, dir->second, name, &attr)) {
            if (!emit(data, name, &attr, here))
                return 0;
            emitted++;
            dir->started = true;
            dir->last_cookie = here;
        }
        dir->index += dir->second;
        dir->second = !dir->second;
        store_walk_read_to(t->store, w, dir->index);
    }
}
