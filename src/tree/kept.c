/* .systemefs/drafts/ and .systemefs/trash/: what is on disk, shown as it is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct shelf_node *shelf_node_of(const struct tree *t, struct node n)
{
    return map_get(&t->shelf_nodes, n.key);
}

int kept_path(const struct tree *t, struct node n, struct buf *out)
{
    if (n.kind == KIND_DRAFTS || n.kind == KIND_TRASH)
        return buf_append_str(out, shape_of(n.kind)->name);
    const struct shelf_node *node = shelf_node_of(t, n);
    return node ? buf_append_str(out, node->path) : -ESTALE;
}

/* The key of a path; 0: no memory. */
static uint64_t key_of(struct tree *t, const char *path)
{
    const uint64_t mask = (UINT64_C(1) << STORE_KEY_BITS) - 1;
    uint64_t key = hash_bytes(path, strlen(path)) & mask;
    struct shelf_node *node;
    while (key == 0 || (node = map_get(&t->shelf_nodes, key))) {
        if (key && strcmp(node->path, path) == 0)
            return key;
        key = (key + 1) & mask;
    }
    node = calloc(1, sizeof(*node));
    if (node)
        node->path = strdup(path);
    if (!node || !node->path || map_put(&t->shelf_nodes, key, node) < 0) {
        if (node)
            free(node->path);
        free(node);
        return 0;
    }
    return key;
}

void kept_free_all(struct tree *t)
{
    map_for_each(slot, &t->shelf_nodes) {
        struct shelf_node *node = slot->value;
        free(node->path);
        free(node);
    }
    map_finish(&t->shelf_nodes);
    for (size_t i = 0; i < GHOSTS; i++)
        free(t->ghosts[i].path);
}

static struct ghost *find_ghost(struct tree *t, const struct op *op, const char *path)
{
    int64_t now = clock_mono_ms(t->clock);
    pid_t process = op ? op_process(t, op) : 0;
    for (size_t i = 0; i < GHOSTS; i++)
        if (process && t->ghosts[i].process == process && t->ghosts[i].path &&
            t->ghosts[i].until_ms > now && strcmp(t->ghosts[i].path, path) == 0)
            return &t->ghosts[i];
    return NULL;
}

static void add_ghost(struct tree *t, const struct op *op, const char *draft)
{
    struct ghost *g = &t->ghosts[t->next_ghost++ % GHOSTS];
    free(g->path);
    g->until_ms = clock_mono_ms(t->clock) + GHOST_MS;
    g->process = op_process(t, op);
    if (asprintf(&g->path, "%s.reason", draft) < 0)
        g->path = NULL;
}

/* What is on disk, or was until a moment ago. */
static int stat_kept(struct tree *t, const struct op *op, const char *path, struct disk_info *ret)
{
    int r = shelf_stat(t->shelf, path, ret);
    if (r == -ENOENT && find_ghost(t, op, path)) {
        *ret = (struct disk_info){.mtime_ns = clock_wall_ns(t->clock)};
        r = 0;
    }
    return r;
}

static void fill(const struct tree *t, struct node n, const struct disk_info *info,
                 struct tree_attr *ret)
{
    attr_init(t, n, ret);
    ret->size = info->dir ? 0 : info->size;
    ret->mtime_ns = info->mtime_ns;
    ret->entry_valid_ms = ret->attr_valid_ms = 0;
}

int kept_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret)
{
    CLEANUP(buf_cleanup) struct buf path;
    struct disk_info info;
    buf_init(&path, PATH_MAX);
    int r = kept_path(t, n, &path);
    r = r < 0 ? r : stat_kept(t, op, path.data, &info);
    if (n.kind == KIND_DRAFTS || n.kind == KIND_TRASH) {
        attr_init(t, n, ret);
        ret->attr_valid_ms = 0;
        if (r == 0 && info.mtime_ns) /* not made yet: as old as the mount */
            ret->mtime_ns = info.mtime_ns;
        return 0;
    }
    if (r == 0)
        fill(t, n, &info, ret);
    return r;
}

static int below(const struct tree *t, struct node dir, const char *name, struct buf *out)
{
    int r = kept_path(t, dir, out);
    return r < 0 ? r : buf_printf(out, "/%s", name);
}

int kept_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                struct tree_attr *ret)
{
    CLEANUP(buf_cleanup) struct buf path;
    struct disk_info info;
    buf_init(&path, PATH_MAX);
    ret->entry_valid_ms = 0;
    int r = below(t, dir, name, &path);
    r = r < 0 ? r : stat_kept(t, op, path.data, &info);
    if (r < 0)
        return r == -EINVAL ? -ENOENT : r;
    uint64_t key = key_of(t, path.data);
    if (!key)
        return -ENOMEM;
    fill(t, (struct node){.kind = info.dir ? KIND_SHELF_DIR : KIND_SHELF_FILE, .key = key}, &info,
         ret);
    return 0;
}

int kept_text(struct tree *t, struct op *op UNUSED, struct node n, struct buf *out)
{
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    int r = kept_path(t, n, &path);
    return r < 0 ? r : shelf_read(t->shelf, path.data, out);
}

static void note_name(void *data, const char *name, const struct disk_info *info UNUSED)
{
    buf_append(data, name, strlen(name) + 1);
}

int kept_readdir(struct tree *t, struct tree_dir *dir, uint64_t after, uint64_t base,
                 tree_emit_fn *emit, void *data)
{
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    int r = kept_path(t, dir->node, &path);
    if (r < 0)
        return r;
    /* The names are those of the beginning: whoever removes them as it reads them skips none. */
    if (after == 0) {
        buf_reset(&dir->names);
        r = shelf_list(t->shelf, path.data, note_name, &dir->names);
        r = r < 0 ? r : buf_error(&dir->names);
    }
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    bool emitted = false;
    while (after < dir->names.len) {
        const char *name = dir->names.data + after;
        struct tree_attr attr;
        after += strlen(name) + 1;
        r = kept_lookup(t, NULL, dir->node, name, &attr);
        if (r == -ENOENT)
            continue; /* removed meanwhile */
        /* What the disk does not tell is not left out. What was emitted is on its way: then the
         * next request meets the failure. */
        if (r < 0)
            return emitted ? 0 : r;
        if (!emit(data, name, &attr, base + after))
            return 0;
        emitted = true;
    }
    return 0;
}

int kept_unlink(struct tree *t, struct op *op, struct node dir, const char *name)
{
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    int r = below(t, dir, name, &path);
    if (r < 0)
        return r;
    struct ghost *ghost = find_ghost(t, op, path.data);
    r = shelf_remove(t->shelf, path.data);
    if (r == -ENOENT && ghost) {
        free(ghost->path);
        ghost->path = NULL;
        return 0;
    }
    if (r == 0)
        add_ghost(t, op, path.data);
    return r == -EBUSY ? op_fail(op, r, "it is being saved just now") : r;
}
