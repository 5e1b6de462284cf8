#include "world_tree.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NAMES_MAX ((size_t)64 << 20)

/* ---- the kernel ---- */

static uint64_t kernel_invalidate(void *data, uint64_t ino)
{
    struct grove *g = data;
    g->last_ino = ino;
    return ++g->tickets;
}

static bool kernel_done(void *data, uint64_t ticket)
{
    const struct grove *g = data;
    return ticket <= g->tickets_done;
}

void grove_init(struct grove *g, const struct grove_options *options)
{
    *g = (struct grove){0};
    g->tickets_done = UINT64_MAX;
    wait_queue_init(&g->queue);
    g->kernel = (struct tree_kernel){
        .invalidate = kernel_invalidate,
        .done = kernel_done,
        .queue = &g->queue,
        .data = g,
    };
    /* Before there is a world, its clock has an address already. */
    g->journal = journal_create(&g->w.clock.clock);
    assert_non_null(g->journal);
    world_init(&g->w, &(struct world_options){
                          .ttl_ms = options->ttl_ms,
                          .gateway = options->gateway,
                          .observer = journal_exchange,
                          .observer_data = g->journal,
                          .changed = tree_store_changed,
                          .gone = tree_store_gone,
                          .data = &g->tree,
                      });
    const struct tree_options tree = {
        .store = g->w.store,
        .api = g->w.api,
        .net = g->w.net,
        .journal = g->journal,
        .clock = &g->w.clock.clock,
        .kernel = options->kernel ? &g->kernel : NULL,
        .umask = 077,
        .ttl_ms = options->ttl_ms,
        .url = WORLD_API_URL,
        .mode_name = options->gateway ? "gateway" : "direct",
    };
    assert_int_equal(tree_create(&tree, &g->tree), 0);
}

void grove_finish(struct grove *g)
{
    tree_destroy(g->tree);
    g->tree = NULL;
    world_finish(&g->w);
    journal_destroy(g->journal);
    free(g->text);
}

/* ---- calls ---- */

struct call {
    struct run run;
    struct grove *g;
    uint64_t ino, cookie;
    const char *name;
    bool write;
    struct tree_file *file;
    struct tree_dir *dir;
    size_t room, emitted;
    struct buf *out;
};

static int call_run(struct grove *g, struct call *call, int (*handler)(struct run *run))
{
    call->g = g;
    call->run.arg = call;
    g->attr = (struct tree_attr){0};
    run_begin(&g->w, &call->run, handler);
    int r = world_run(&g->w, &call->run);
    g->failure = call->run.op.failure;
    g->runs = call->run.runs;
    return r;
}

static int run_lookup(struct run *run)
{
    struct call *c = run->arg;
    return tree_lookup(c->g->tree, &run->op, c->ino, c->name, &c->g->attr);
}

int grove_lookup(struct grove *g, uint64_t parent, const char *name)
{
    struct call c = {.ino = parent, .name = name};
    int r = call_run(g, &c, run_lookup);
    if (r == 0)
        tree_remember(g->tree, g->attr.ino);
    return r;
}

int grove_path(struct grove *g, const char *path)
{
    char name[NAME_MAX + 1];
    uint64_t ino = NODE_ROOT_INO;
    int r = *path ? 0 : grove_getattr(g, ino);
    for (const char *p = path; r == 0 && *p;) {
        size_t len = strcspn(p, "/");
        assert_true(len > 0 && len <= NAME_MAX);
        memcpy(name, p, len);
        name[len] = '\0';
        p += len + (p[len] == '/');
        r = grove_lookup(g, ino, name);
        ino = g->attr.ino;
    }
    return r;
}

static int run_getattr(struct run *run)
{
    struct call *c = run->arg;
    return tree_getattr(c->g->tree, &run->op, c->ino, &c->g->attr);
}

int grove_getattr(struct grove *g, uint64_t ino)
{
    struct call c = {.ino = ino};
    return call_run(g, &c, run_getattr);
}

static void keep_text(struct grove *g, struct buf *text)
{
    free(g->text);
    g->text = buf_take(text, NULL);
}

static int run_readlink(struct run *run)
{
    struct call *c = run->arg;
    buf_reset(c->out);
    return tree_readlink(c->g->tree, &run->op, c->ino, c->out);
}

int grove_readlink(struct grove *g, uint64_t ino)
{
    struct buf out;
    buf_init(&out, NAMES_MAX);
    struct call c = {.ino = ino, .out = &out};
    int r = call_run(g, &c, run_readlink);
    keep_text(g, &out);
    return r;
}

static int run_open(struct run *run)
{
    struct call *c = run->arg;
    return tree_open(c->g->tree, &run->op, c->ino, c->write, &c->file);
}

int grove_open(struct grove *g, uint64_t ino, bool write, struct tree_file **ret)
{
    struct call c = {.ino = ino, .write = write};
    int r = call_run(g, &c, run_open);
    if (r == 0)
        *ret = c.file;
    return r;
}

static int run_write(struct run *run)
{
    struct call *c = run->arg;
    return tree_write(c->g->tree, &run->op, c->ino, c->name, strlen(c->name));
}

int grove_write(struct grove *g, uint64_t ino, const char *text)
{
    struct call c = {.ino = ino, .name = text};
    return call_run(g, &c, run_write);
}

static int run_getxattr(struct run *run)
{
    struct call *c = run->arg;
    buf_reset(c->out);
    return tree_getxattr(c->g->tree, &run->op, c->ino, c->name, c->out);
}

int grove_getxattr(struct grove *g, uint64_t ino, const char *name)
{
    struct buf out;
    buf_init(&out, NAMES_MAX);
    struct call c = {.ino = ino, .name = name, .out = &out};
    int r = call_run(g, &c, run_getxattr);
    keep_text(g, &out);
    return r;
}

static bool emit(void *data, const char *name, const struct tree_attr *attr, uint64_t cookie)
{
    struct call *c = data;
    assert_true(cookie > 0 && cookie <= INT64_MAX); /* off_t */
    assert_true(attr->ino != 0);
    if (c->emitted == c->room)
        return false;
    buf_printf(c->out, "%s\n", name);
    c->emitted++;
    c->cookie = cookie;
    return true;
}

static int run_readdir(struct run *run)
{
    struct call *c = run->arg;
    int r = tree_readdir(c->g->tree, &run->op, c->dir, c->cookie, emit, c);
    /* What was emitted is on its way: it may not be asked for again. */
    assert_true(r == 0 || c->emitted == 0);
    return r;
}

int grove_readdir(struct grove *g, struct tree_dir *dir, uint64_t *cookie, size_t room,
                  struct buf *out)
{
    struct call c = {.dir = dir, .cookie = *cookie, .room = room, .out = out};
    int r = call_run(g, &c, run_readdir);
    *cookie = c.cookie;
    return r < 0 ? r : (int)c.emitted;
}

int grove_read(struct grove *g, const char *path)
{
    struct tree_file *file;
    int r = grove_path(g, path);
    uint64_t size = g->attr.size;
    if (r == 0)
        r = grove_open(g, g->attr.ino, false, &file);
    if (r != 0)
        return r;
    /* Sizes are exact before a file is opened. */
    if (!file->direct_io)
        assert_int_equal(file->len, size);
    assert_int_equal(strlen(file->text), file->len);
    free(g->text);
    g->text = strdup(file->text);
    tree_close(g->tree, file);
    return 0;
}

static int run_opendir(struct run *run)
{
    struct call *c = run->arg;
    return tree_opendir(c->g->tree, &run->op, c->ino, &c->dir);
}

int grove_list(struct grove *g, const char *path, size_t room)
{
    int r = grove_path(g, path);
    if (r != 0)
        return r;
    struct call c = {.ino = g->attr.ino};
    r = call_run(g, &c, run_opendir);
    if (r != 0)
        return r;
    struct buf out;
    buf_init(&out, NAMES_MAX);
    buf_append_str(&out, "");
    uint64_t cookie = 0;
    do
        r = grove_readdir(g, c.dir, &cookie, room, &out);
    while (r > 0);
    tree_closedir(g->tree, c.dir);
    if (r == 0) {
        assert_int_equal(strncmp(out.data, ".\n..\n", 5), 0);
        memmove(out.data, out.data + 5, out.len - 4);
    }
    keep_text(g, &out);
    return r;
}
