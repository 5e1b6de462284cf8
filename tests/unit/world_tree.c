#include "world_tree.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void kernel_forget_name(void *data, uint64_t parent UNUSED, const char *name)
{
    struct grove *g = data;
    snprintf(g->forgotten, sizeof(g->forgotten), "%s", name);
}

static void kernel_push(void *data, uint64_t ino, char *text, size_t len)
{
    struct grove *g = data;
    g->pushed++;
    g->pushed_ino = ino;
    assert_true(len < sizeof(g->pushed_text));
    memcpy(g->pushed_text, text, len);
    g->pushed_text[len] = '\0';
    free(text);
}

void grove_init(struct grove *g, const struct grove_options *options)
{
    *g = (struct grove){0};
    g->tickets_done = UINT64_MAX;
    wait_queue_init(&g->queue);
    g->kernel = (struct tree_kernel){
        .invalidate = kernel_invalidate,
        .done = kernel_done,
        .forget_name = kernel_forget_name,
        .push = kernel_push,
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
                          .replacing = tree_store_replacing,
                          .evicting = tree_store_evicting,
                          .cache_size = options->cache_size,
                          .data = &g->tree,
                          .no_disk = options->no_disk,
                          .dry_run = options->dry_run,
                          .access_type = options->access_type,
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
        .shelf = g->w.shelf,
        .delete_limit = options->delete_limit,
        .no_open = options->no_open,
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
    if (!g->process_count)
        return;
    close(g->alive[1]);
    for (size_t i = 0; i < g->process_count; i++)
        assert_int_equal(waitpid(g->processes[i], NULL, 0), g->processes[i]);
    close(g->alive[0]);
}

pid_t grove_process(struct grove *g)
{
    char byte;
    assert_true(g->process_count < GROVE_PROCESSES);
    if (!g->process_count)
        assert_int_equal(pipe(g->alive), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(g->alive[1]);
        _exit(read(g->alive[0], &byte, 1) != 0);
    }
    return g->processes[g->process_count++] = pid;
}

/* ---- calls ---- */

static void begin(struct grove *g, struct grove_call *call, int (*handler)(struct run *run))
{
    call->g = g;
    call->run.arg = call;
    call->run.op.caller = g->caller;
    g->attr = (struct tree_attr){0};
    run_begin(&g->w, &call->run, handler);
}

int grove_wait(struct grove_call *call)
{
    int r = world_run(&call->g->w, &call->run);
    call->g->failure = call->run.op.failure;
    call->g->runs = call->run.runs;
    return r;
}

static int call_run(struct grove *g, struct grove_call *call, int (*handler)(struct run *run))
{
    begin(g, call, handler);
    return grove_wait(call);
}

static int run_lookup(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_lookup(c->g->tree, &run->op, c->ino, c->name, &c->g->attr);
}

int grove_lookup(struct grove *g, uint64_t parent, const char *name)
{
    struct grove_call c = {.ino = parent, .name = name};
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
    struct grove_call *c = run->arg;
    return tree_getattr(c->g->tree, &run->op, c->ino, &c->g->attr);
}

int grove_getattr(struct grove *g, uint64_t ino)
{
    struct grove_call c = {.ino = ino};
    return call_run(g, &c, run_getattr);
}

static void keep_text(struct grove *g, struct buf *text)
{
    free(g->text);
    g->text = buf_take(text, NULL);
}

static int run_readlink(struct run *run)
{
    struct grove_call *c = run->arg;
    buf_reset(c->out);
    return tree_readlink(c->g->tree, &run->op, c->ino, c->out);
}

int grove_readlink(struct grove *g, uint64_t ino)
{
    struct buf out;
    buf_init(&out, NAMES_MAX);
    struct grove_call c = {.ino = ino, .out = &out};
    int r = call_run(g, &c, run_readlink);
    keep_text(g, &out);
    return r;
}

static int run_open(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_open(c->g->tree, &run->op, c->ino, c->flags, &c->file);
}

int grove_open(struct grove *g, uint64_t ino, int flags, struct tree_file **ret)
{
    struct grove_call c = {.ino = ino, .flags = flags};
    int r = call_run(g, &c, run_open);
    if (r == 0)
        *ret = c.file;
    return r;
}

static int run_write(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_write(c->g->tree, &run->op, c->ino, c->name, strlen(c->name));
}

int grove_write(struct grove *g, uint64_t ino, const char *text)
{
    struct grove_call c = {.ino = ino, .name = text};
    return call_run(g, &c, run_write);
}

static int run_getxattr(struct run *run)
{
    struct grove_call *c = run->arg;
    buf_reset(c->out);
    return tree_getxattr(c->g->tree, &run->op, c->ino, c->name, c->out);
}

int grove_getxattr(struct grove *g, uint64_t ino, const char *name)
{
    struct buf out;
    buf_init(&out, NAMES_MAX);
    struct grove_call c = {.ino = ino, .name = name, .out = &out};
    int r = call_run(g, &c, run_getxattr);
    keep_text(g, &out);
    return r;
}

static bool emit(void *data, const char *name, const struct tree_attr *attr, uint64_t cookie)
{
    struct grove_call *c = data;
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
    struct grove_call *c = run->arg;
    int r = tree_readdir(c->g->tree, &run->op, c->dir, c->cookie, emit, c);
    /* What was emitted is on its way: it may not be asked for again. */
    assert_true(r == 0 || c->emitted == 0);
    return r;
}

int grove_readdir(struct grove *g, struct tree_dir *dir, uint64_t *cookie, size_t room,
                  struct buf *out)
{
    struct grove_call c = {.dir = dir, .cookie = *cookie, .room = room, .out = out};
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
        r = grove_open(g, g->attr.ino, O_RDONLY, &file);
    if (r != 0)
        return r;
    const char *text;
    size_t len;
    tree_read(file, 0, SIZE_MAX, &text, &len);
    /* Sizes are exact before a file is opened. */
    if (!file->direct_io)
        assert_int_equal(len, size);
    free(g->text);
    g->text = strndup(text ? text : "", len);
    assert_int_equal(strlen(g->text), len);
    tree_close(g->tree, file);
    return 0;
}

static int run_opendir(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_opendir(c->g->tree, &run->op, c->ino, &c->dir);
}

int grove_list(struct grove *g, const char *path, size_t room)
{
    int r = grove_path(g, path);
    if (r != 0)
        return r;
    struct grove_call c = {.ino = g->attr.ino};
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

void grove_opendir(struct grove *g, const char *path, struct tree_dir **ret)
{
    assert_int_equal(grove_path(g, path), 0);
    struct grove_call c = {.ino = g->attr.ino};
    assert_int_equal(call_run(g, &c, run_opendir), 0);
    *ret = c.dir;
}

static int run_read_closed(struct run *run)
{
    struct grove_call *c = run->arg;
    buf_reset(c->out);
    return tree_read_closed(c->g->tree, &run->op, c->ino, c->out);
}

int grove_read_closed(struct grove *g, uint64_t ino)
{
    struct buf out;
    buf_init(&out, TREE_TEXT_MAX);
    struct grove_call c = {.ino = ino, .out = &out};
    int r = call_run(g, &c, run_read_closed);
    keep_text(g, &out);
    return r;
}

/* ---- changes ---- */

/* Looks up the directory of the last name in `path`. */
static int parent_of(struct grove *g, const char *path, uint64_t *ret, const char **ret_name)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path);
    int r = grove_path(g, dir);
    *ret = *dir ? g->attr.ino : NODE_ROOT_INO;
    *ret_name = slash ? slash + 1 : path;
    return r;
}

/* What a symlink in the directory of `path` leads to. */
static int follow(struct grove *g, const char *path)
{
    char target[PATH_MAX];
    const char *end = strrchr(path, '/');
    assert_int_equal(grove_readlink(g, g->attr.ino), 0);
    const char *to = g->text;
    for (; strncmp(to, "../", 3) == 0; to += 3)
        end = memrchr(path, '/', (size_t)(end - path));
    snprintf(target, sizeof(target), "%.*s/%s", (int)(end - path), path, to);
    return grove_path(g, target);
}

static int run_create(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_new_file(c->g->tree, &run->op, c->ino, c->name, c->flags, &c->file, &c->g->attr);
}

int grove_open_path(struct grove *g, const char *path, int flags, struct tree_file **ret)
{
    struct grove_call c = {.flags = flags};
    int r = grove_path(g, path);
    if (r == 0 && S_ISLNK(g->attr.mode))
        r = follow(g, path);
    if (r == 0 && (flags & O_EXCL))
        return -EEXIST;
    if (r == 0)
        return grove_open(g, g->attr.ino, flags, ret);
    if (r != -ENOENT || !(flags & O_CREAT))
        return r;
    r = parent_of(g, path, &c.ino, &c.name);
    if (r == 0)
        r = call_run(g, &c, run_create);
    if (r == 0)
        *ret = c.file;
    return r;
}

static int run_write_file(struct run *run)
{
    struct grove_call *c = run->arg;
    struct tree *t = c->g->tree;
    int r = 0;
    if (!c->written)
        r = tree_file_write(t, &run->op, c->file, c->name, strlen(c->name), c->cookie);
    c->written = r == 0;
    return r == 0 && tree_write_completes(c->file) ? tree_sync(t, &run->op, c->file) : r;
}

int grove_write_at(struct grove *g, struct tree_file *file, const char *text, uint64_t offset)
{
    struct grove_call c = {.file = file, .name = text, .cookie = offset};
    return call_run(g, &c, run_write_file);
}

int grove_append(struct grove *g, struct tree_file *file, const char *text)
{
    const char *there;
    size_t len;
    tree_read(file, 0, SIZE_MAX, &there, &len);
    return grove_write_at(g, file, text, len);
}

static int run_truncate(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_file_truncate(c->g->tree, &run->op, c->file, c->cookie);
}

int grove_truncate(struct grove *g, struct tree_file *file, uint64_t size)
{
    struct grove_call c = {.file = file, .cookie = size};
    return call_run(g, &c, run_truncate);
}

static int run_truncate_path(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_truncate(c->g->tree, &run->op, c->ino, c->cookie);
}

int grove_truncate_path(struct grove *g, const char *path, uint64_t size)
{
    struct grove_call c = {.cookie = size};
    int r = grove_path(g, path);
    c.ino = g->attr.ino;
    return r == 0 ? call_run(g, &c, run_truncate_path) : r;
}

static int run_sync(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_sync(c->g->tree, &run->op, c->file);
}

void grove_begin_sync(struct grove *g, struct grove_call *call, struct tree_file *file)
{
    *call = (struct grove_call){.file = file};
    begin(g, call, run_sync);
}

int grove_sync(struct grove *g, struct tree_file *file)
{
    struct grove_call c;
    grove_begin_sync(g, &c, file);
    return grove_wait(&c);
}

int grove_save(struct grove *g, const char *path, const char *text)
{
    struct tree_file *file;
    int r = grove_open_path(g, path, O_WRONLY | O_CREAT | O_TRUNC, &file);
    if (r != 0)
        return r;
    r = grove_append(g, file, text);
    if (r == 0)
        r = grove_sync(g, file);
    tree_close(g->tree, file);
    return r;
}

static int run_mkdir(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_mkdir(c->g->tree, &run->op, c->ino, c->name, &c->g->attr);
}

static int run_unlink(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_unlink(c->g->tree, &run->op, c->ino, c->name);
}

static int run_rmdir(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_rmdir(c->g->tree, &run->op, c->ino, c->name);
}

/* A call about a name in a directory. */
static int call_name(struct grove *g, const char *path, int (*handler)(struct run *run))
{
    struct grove_call c = {0};
    int r = parent_of(g, path, &c.ino, &c.name);
    return r == 0 ? call_run(g, &c, handler) : r;
}

int grove_mkdir(struct grove *g, const char *path)
{
    return call_name(g, path, run_mkdir);
}

int grove_unlink(struct grove *g, const char *path)
{
    return call_name(g, path, run_unlink);
}

int grove_rmdir(struct grove *g, const char *path)
{
    return call_name(g, path, run_rmdir);
}

static int run_rename(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_rename(c->g->tree, &run->op, c->ino, c->name, c->other, c->new_name,
                       !(c->flags & RENAME_NOREPLACE));
}

void grove_begin_rename(struct grove *g, struct grove_call *call, const char *from, const char *to)
{
    *call = (struct grove_call){0};
    assert_int_equal(parent_of(g, from, &call->ino, &call->name), 0);
    assert_int_equal(parent_of(g, to, &call->other, &call->new_name), 0);
    begin(g, call, run_rename);
}

int grove_rename(struct grove *g, const char *from, const char *to)
{
    struct grove_call c;
    int r = grove_path(g, from);
    bool dir = r == 0 && S_ISDIR(g->attr.mode);
    if (r == 0 && grove_path(g, to) == 0 && S_ISDIR(g->attr.mode) && !dir)
        return -EISDIR; /* the kernel itself */
    if (r != 0)
        return r;
    grove_begin_rename(g, &c, from, to);
    return grove_wait(&c);
}

static int run_link(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_link(c->g->tree, &run->op, c->other, c->ino, c->name, &c->g->attr);
}

int grove_rename_new(struct grove *g, const char *from, const char *to)
{
    struct grove_call c = {.flags = RENAME_NOREPLACE};
    int r = parent_of(g, from, &c.ino, &c.name);
    if (r == 0)
        r = parent_of(g, to, &c.other, &c.new_name);
    return r == 0 ? call_run(g, &c, run_rename) : r;
}

/* As it comes when the name was not there for the kernel, and is by now. */
int grove_create(struct grove *g, const char *path, int flags, struct tree_file **ret)
{
    struct grove_call c = {.flags = flags};
    int r = parent_of(g, path, &c.ino, &c.name);
    if (r == 0)
        r = call_run(g, &c, run_create);
    if (r == 0)
        *ret = c.file;
    return r;
}

int grove_link(struct grove *g, const char *from, const char *to)
{
    struct grove_call c = {0};
    int r = grove_path(g, from);
    c.other = g->attr.ino;
    if (r == 0)
        r = parent_of(g, to, &c.ino, &c.name);
    return r == 0 ? call_run(g, &c, run_link) : r;
}

static int run_symlink(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_symlink(c->g->tree, &run->op, c->new_name, c->ino, c->name, &c->g->attr);
}

int grove_symlink(struct grove *g, const char *target, const char *path)
{
    struct grove_call c = {.new_name = target};
    int r = parent_of(g, path, &c.ino, &c.name);
    return r == 0 ? call_run(g, &c, run_symlink) : r;
}
