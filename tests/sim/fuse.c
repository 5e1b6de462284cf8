/* sim: what src/fuse does of a request: the same calls of the tree in the same order, and exactly
 * one reply. Kept in step with src/fuse/handlers.c and request.c by hand. */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct tree *tree_of(const struct call *c)
{
    return c->person->sim->tree;
}

static int gone(int result)
{
    return result == -ENOENT ? -ESTALE : result;
}

static int run_lookup(struct call *c)
{
    int r = tree_lookup(tree_of(c), &c->op, c->ino, c->name, &c->attr);
    if (r == -ENOENT && !c->op.failure.error && c->attr.entry_valid_ms > 0) {
        c->negative = true;
        return 0;
    }
    if (r == 0)
        tree_remember(tree_of(c), c->attr.ino);
    return r;
}

static int run_getattr(struct call *c)
{
    if (!c->file)
        return gone(tree_getattr(tree_of(c), &c->op, c->ino, &c->attr));
    tree_file_attr(tree_of(c), c->file, &c->attr);
    return 0;
}

static int run_readlink(struct call *c)
{
    struct buf target;
    buf_init(&target, SIM_PATH);
    int r = tree_readlink(tree_of(c), &c->op, c->ino, &target);
    if (r == 0)
        snprintf(c->target, sizeof(c->target), "%s", target.data);
    buf_finish(&target);
    return r;
}

static int run_open(struct call *c)
{
    return gone(tree_open(tree_of(c), &c->op, c->ino, c->flags, &c->file));
}

static int run_create(struct call *c)
{
    int r = tree_new_file(tree_of(c), &c->op, c->ino, c->name, c->flags, &c->file, &c->attr);
    if (r == 0)
        tree_remember(tree_of(c), c->attr.ino);
    return r;
}

static int run_write(struct call *c)
{
    struct tree *t = tree_of(c);
    bool command = tree_takes_commands(c->ino);
    int r = 0;
    if (!c->written && command)
        r = tree_write(t, &c->op, c->ino, c->data, c->size);
    else if (!c->written)
        r = tree_file_write(t, &c->op, c->file, c->data, c->size, c->offset);
    c->written = r == 0;
    if (r == 0 && !command && tree_write_completes(c->file))
        r = tree_sync(t, &c->op, c->file);
    if (r == 0 && (command || c->op.job))
        r = tree_wait_kernel(t, &c->op, &c->ticket);
    return r;
}

static int settled(struct call *c, int r)
{
    return r == 0 && c->op.job ? tree_wait_kernel(tree_of(c), &c->op, &c->ticket) : r;
}

static int run_sync(struct call *c)
{
    return settled(c, tree_sync(tree_of(c), &c->op, c->file));
}

static int run_unlink(struct call *c)
{
    return settled(c, tree_unlink(tree_of(c), &c->op, c->ino, c->name));
}

static int run_rmdir(struct call *c)
{
    return settled(c, tree_rmdir(tree_of(c), &c->op, c->ino, c->name));
}

static int run_rename(struct call *c)
{
    return settled(c,
                   tree_rename(tree_of(c), &c->op, c->ino, c->name, c->other, c->data_name, true));
}

static int entry_made(struct call *c, int r)
{
    r = settled(c, r);
    if (r == 0)
        tree_remember(tree_of(c), c->attr.ino);
    return r;
}

static int run_mkdir(struct call *c)
{
    return entry_made(c, tree_mkdir(tree_of(c), &c->op, c->ino, c->name, &c->attr));
}

static int run_link(struct call *c)
{
    return entry_made(c, tree_link(tree_of(c), &c->op, c->other, c->ino, c->name, &c->attr));
}

static int run_symlink(struct call *c)
{
    return entry_made(c, tree_symlink(tree_of(c), &c->op, c->data_name, c->ino, c->name, &c->attr));
}

static int run_opendir(struct call *c)
{
    return tree_opendir(tree_of(c), &c->op, c->ino, &c->dir);
}

static bool fill(void *data, const char *name, const struct tree_attr *attr, uint64_t cookie)
{
    struct call *c = data;
    if (c->entry_count == c->room)
        return false;
    struct entry *e = &c->entries[c->entry_count++];
    *e = (struct entry){.attr = *attr, .cookie = cookie};
    snprintf(e->name, sizeof(e->name), "%s", name);
    if (attr->attr_valid_ms >= 0)
        tree_remember(tree_of(c), attr->ino);
    return true;
}

#define DOTS 2 /* "." and ".." are no loss */

static int run_readdir(struct call *c)
{
    int r = tree_readdir(tree_of(c), &c->op, c->dir, c->offset, fill, c);
    if (r != 0 && c->entry_count > DOTS)
        sim_fail(c->person->sim, "readdir has told entries and returns %d: they are lost", r);
    return r;
}

static char *memdup(const char *bytes, size_t len)
{
    char *copy = malloc(len);
    assert_non_null(copy);
    return memcpy(copy, bytes, len);
}

/* Of a file that was not opened. */
static int run_read(struct call *c)
{
    struct buf text;
    buf_init(&text, TREE_TEXT_MAX);
    int r = tree_read_closed(tree_of(c), &c->op, c->ino, &text);
    if (r == 0) {
        size_t at = MIN((size_t)c->offset, text.len);
        c->len = MIN(c->size, text.len - at);
        c->bytes = c->len ? memdup(text.data + at, c->len) : NULL;
    }
    buf_finish(&text);
    return r;
}

static int run_setattr(struct call *c)
{
    struct tree *t = tree_of(c);
    int r = 0;
    if (c->sets_size && c->file && c->file->write && !tree_takes_commands(c->ino))
        r = tree_file_truncate(t, &c->op, c->file, c->offset);
    else if (c->sets_size)
        r = tree_truncate(t, &c->op, c->ino, c->offset);
    else
        tree_set_mtime(t, c->ino, clock_wall_ns(&c->person->sim->w.clock.clock));
    return r ? r : run_getattr(c);
}

static int xattr_there(struct call *c, int r, struct buf *value)
{
    if (r == 0)
        c->bytes = buf_take(value, &c->len);
    buf_finish(value);
    return r;
}

static int run_getxattr(struct call *c)
{
    struct buf value;
    buf_init(&value, SIM_TEXT_MAX);
    return xattr_there(c, tree_getxattr(tree_of(c), &c->op, c->ino, c->target, &value), &value);
}

static int run_listxattr(struct call *c)
{
    struct buf names;
    buf_init(&names, SIM_TEXT_MAX);
    return xattr_there(c, tree_listxattr(tree_of(c), &c->op, c->ino, &names), &names);
}

static const struct {
    const char *name;
    int (*run)(struct call *c);
    bool follow_up;
} handlers[CALL_KIND_COUNT] = {
    [CALL_LOOKUP] = {"lookup", run_lookup, false},
    [CALL_GETATTR] = {"stat", run_getattr, true},
    [CALL_READLINK] = {"readlink", run_readlink, false},
    [CALL_OPEN] = {"open", run_open, true},
    [CALL_CREATE] = {"create", run_create, true},
    [CALL_WRITE] = {"write", run_write, false},
    [CALL_FLUSH] = {"close", run_sync, false},
    [CALL_FSYNC] = {"fsync", run_sync, false},
    [CALL_UNLINK] = {"remove", run_unlink, true},
    [CALL_RMDIR] = {"rmdir", run_rmdir, true},
    [CALL_RENAME] = {"rename", run_rename, true},
    [CALL_MKDIR] = {"mkdir", run_mkdir, true},
    [CALL_LINK] = {"link", run_link, true},
    [CALL_SYMLINK] = {"symlink", run_symlink, true},
    [CALL_OPENDIR] = {"opendir", run_opendir, false},
    [CALL_READDIR] = {"readdir", run_readdir, false},
    [CALL_READ] = {"read", run_read, true},
    [CALL_SETATTR] = {"setattr", run_setattr, true},
    [CALL_GETXATTR] = {"getxattr", run_getxattr, true},
    [CALL_LISTXATTR] = {"listxattr", run_listxattr, true},
};

/* ---- life ---- */

static void tell_reason(struct call *c)
{
    struct sim *s = c->person->sim;
    struct buf path;
    buf_init(&path, 8192);
    bool two = c->other && c->name[0] && c->data_name[0];
    uint64_t dir = two ? c->other : c->ino;
    const char *name = two ? c->data_name : c->name;
    tree_path(s->tree, dir, &path);
    if (name[0])
        buf_printf(&path, "%s%s", path.len ? "/" : "", name);
    journal_failure(s->journal, handlers[c->kind].name, path.data ? path.data : "/",
                    name[0] ? c->op.about : dir, name[0] ? dir : 0, &c->op.failure);
    buf_finish(&path);
}

static void reply(struct call *c, int result)
{
    struct sim *s = c->person->sim;
    if (result < 0 && c->op.failure.error && s->tree)
        tell_reason(c);
    op_end(&c->op);
    c->waiting = false;
    c->replies++;
    c->result = result;
    ++s->tick;
    /* Whoever has called is not always the next to run: meanwhile the kernel may be told more. */
    uint64_t parts[] = {s->plan->seed, s->tick};
    uint64_t drawn = hash_bytes(parts, sizeof(parts)) % 32;
    c->person->sleeps_until_ms = sim_now(s) + (drawn < 3 ? (int64_t)drawn + 1 : 0);
    sim_trace(s, "p%u %s %s%s%s -> %d", c->person->number, handlers[c->kind].name, c->name,
              c->data_name[0] ? " " : "", c->data_name, result);
    check_call(s, c);
}

static void call_run(struct call *c)
{
    struct sim *s = c->person->sim;
    c->op.failure = (struct api_failure){0};
    int r = handlers[c->kind].run(c);
    if ((r == STORE_WAIT) != op_parked(&c->op))
        sim_fail(s, "%s returns %d and is %sparked", handlers[c->kind].name, r,
                 op_parked(&c->op) ? "" : "not ");
    if (s->dead)
        return; /* the kernel has its answer from the death: call_cut() */
    if (r != STORE_WAIT)
        reply(c, r);
}

static void resumed(struct op *op)
{
    struct call *c = CONTAINER_OF(op, struct call, op);
    if (!c->waiting)
        sim_fail(c->person->sim, "a request is resumed that has its reply");
    else
        call_run(c);
}

void call_start(struct call *c)
{
    struct sim *s = c->person->sim;
    c->posted = false;
    c->waiting = true;
    c->replies = 0;
    c->began_ms = sim_now(s);
    c->attr_version = s->kernel.attr_version;
    s->calls++;
    if (!s->alive || s->over || s->life != c->person->life) {
        c->result = -ENOTCONN;
        c->waiting = false;
        c->replies = 1;
        return;
    }
    c->op = (struct op){.resume = resumed,
                        .follow_up = handlers[c->kind].follow_up,
                        .caller = person_thread(c->person)};
    op_begin(s->store, &c->op);
    call_run(c);
}

void call_interrupt(struct call *c)
{
    if (!c->waiting || c->op.job)
        return;
    c->op.failure.error = 0;
    reply(c, -EINTR);
}

void call_cut(struct call *c)
{
    if (!c->waiting)
        return;
    c->op.failure.error = 0;
    reply(c, -ENOTCONN);
    c->person->cut = c->person->sim->tick;
}
