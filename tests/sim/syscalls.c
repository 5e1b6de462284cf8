/* sim: system calls, as the kernel makes requests of them. */
#include "sim.h"
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINKS_MAX 8

/* How a name is looked up. */
enum { ANEW = 1 }; /* what is known of it does not count (LOOKUP_REVAL, _EXCL, _RENAME_TARGET) */

static struct call *call_new(struct person *p, enum call_kind kind, uint64_t ino, const char *name)
{
    struct call *c = &p->call;
    *c = (struct call){.person = p, .kind = kind, .ino = ino};
    snprintf(c->name, sizeof(c->name), "%s", name);
    return c;
}

/* A mount that is gone by the time that the reply is read has not replied. */
static int call(struct person *p)
{
    unsigned life = p->sim->life;
    person_wait_call(p);
    return p->sim->life == life && p->sim->alive ? p->call.result : -ENOTCONN;
}

/* ---- names ---- */

static int lookup(struct person *p, uint64_t parent, const char *name, int how,
                  struct tree_attr *ret)
{
    struct sim *s = p->sim;
    struct dentry *d = dentry_find(s, parent, name);
    if (d && how != ANEW && sim_now(s) < d->until_ms) {
        const struct inode *i = d->ino ? inode_find(s, d->ino) : NULL;
        if (!d->ino)
            return -ENOENT;
        if (i) {
            *ret = i->attr;
            return 0;
        }
    }
    struct call *c = call_new(p, CALL_LOOKUP, parent, name);
    int r = call(p);
    if (r != 0 || c->negative)
        dentry_drop(s, parent, name);
    if (r != 0)
        return r;
    if (c->negative) {
        dentry_set(s, parent, name, 0, sim_now(s) + c->attr.entry_valid_ms);
        return -ENOENT;
    }
    kernel_entry(s, parent, name, &c->attr, c->attr_version);
    *ret = c->attr;
    return 0;
}

/* All but the last name of a path. */
static int walk_to(struct person *p, const char *path, int how, uint64_t *ret,
                   char last[NAME_MAX + 1])
{
    uint64_t ino = NODE_ROOT_INO;
    for (;;) {
        struct tree_attr attr = {0};
        size_t len = strcspn(path, "/");
        snprintf(last, NAME_MAX + 1, "%.*s", (int)len, path);
        if (!path[len]) {
            *ret = ino;
            return 0;
        }
        p->pins[0] = ino;
        int r = lookup(p, ino, last, how, &attr);
        if (r == 0 && !S_ISDIR(attr.mode))
            r = -ENOTDIR;
        if (r != 0)
            return r;
        ino = attr.ino;
        path += len + 1;
    }
}

static int walk(struct person *p, const char *path, int how, uint64_t *parent,
                char last[NAME_MAX + 1], struct tree_attr *ret)
{
    int r = walk_to(p, path, how, parent, last);
    return r == 0 ? lookup(p, *parent, last, how, ret) : r;
}

/* The path that a symlink at `path` leads to. */
static void join(const char *path, const char *target, char out[SIM_PATH])
{
    const char *end = strrchr(path, '/');
    for (; strncmp(target, "../", 3) == 0; target += 3)
        end = end ? memrchr(path, '/', (size_t)(end - path)) : NULL;
    char joined[2 * SIM_PATH];
    snprintf(joined, sizeof(joined), "%.*s%s%s", end ? (int)(end - path) : 0, path, end ? "/" : "",
             target);
    snprintf(out, SIM_PATH, "%.*s", SIM_PATH - 1, joined);
}

/* With symlinks followed; `path` is what they lead to afterwards. */
static int walk_through(struct person *p, char path[SIM_PATH], int how, uint64_t *parent,
                        char last[NAME_MAX + 1], struct tree_attr *ret)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        int r = walk(p, path, how, parent, last, ret);
        if (r != 0 || !S_ISLNK(ret->mode))
            return r;
        p->pins[1] = ret->ino;
        call_new(p, CALL_READLINK, ret->ino, "");
        r = call(p);
        if (r != 0)
            return r;
        join(path, p->call.target, path);
    }
    return -ELOOP;
}

int sys_stat(struct person *p, const char *path, struct tree_attr *ret)
{
    struct sim *s = p->sim;
    char at[SIM_PATH], last[NAME_MAX + 1];
    uint64_t parent;
    for (int how = 0; how <= ANEW; how++) {
        snprintf(at, sizeof(at), "%s", path);
        int r = walk_through(p, at, how, &parent, last, ret);
        const struct inode *i = r == 0 ? inode_find(s, ret->ino) : NULL;
        if (r == 0 && i && sim_now(s) >= i->attr_until_ms && i->attr.attr_valid_ms >= 0) {
            struct call *c = call_new(p, CALL_GETATTR, ret->ino, "");
            r = call(p);
            if (r == 0) {
                inode_update(s, &c->attr, c->attr_version);
                *ret = c->attr;
            }
        }
        if (r != -ESTALE)
            return r;
    }
    return -ESTALE;
}

/* ---- open files ---- */

static int fd_new(struct person *p, struct call *c, uint64_t ino)
{
    struct sim *s = p->sim;
    for (int i = 0; i < SIM_FDS; i++) {
        if (p->fds[i].used)
            continue;
        p->fds[i] = (struct fd){.used = true,
                                .direct = c->file->direct_io,
                                .writes = c->file->write,
                                .life = s->life,
                                .ino = ino,
                                .file = c->file};
        struct inode *inode = inode_find(s, ino);
        if (!inode)
            return i;
        if (!c->file->keep_cache)
            pages_drop(inode);
        if (c->flags & O_TRUNC) {
            inode->size = 0;
            inode->cut = true;
            s->kernel.truncated = ++s->tick;
            inode->attr_version = ++s->kernel.attr_version;
            inode->attr_until_ms = sim_now(s);
            pages_drop(inode);
        }
        return i;
    }
    tree_close(s->tree, c->file);
    return -EMFILE;
}

static int open_once(struct person *p, const char *path, int flags, int how)
{
    struct sim *s = p->sim;
    char at[SIM_PATH], last[NAME_MAX + 1];
    uint64_t parent = 0;
    struct tree_attr attr = {0};
    snprintf(at, sizeof(at), "%s", path);
    int r = walk_through(p, at, flags & O_EXCL ? ANEW : how, &parent, last, &attr);
    unsigned life = s->life;
    if (r == 0 && (flags & O_EXCL))
        return -EEXIST;
    if (r == 0) {
        struct call *c = call_new(p, CALL_OPEN, attr.ino, "");
        c->flags = flags;
        r = call(p);
        return r == 0 && s->life == life ? fd_new(p, c, attr.ino) : r ? r : -ENOTCONN;
    }
    if (r != -ENOENT || !(flags & O_CREAT) || !parent)
        return r;
    struct call *c = call_new(p, CALL_CREATE, parent, last);
    c->flags = flags;
    r = call(p);
    if (r != 0 || s->life != life)
        return r ? r : -ENOTCONN;
    kernel_entry(s, parent, last, &c->attr, c->attr_version);
    return fd_new(p, c, c->attr.ino);
}

int sys_open(struct person *p, const char *path, int flags)
{
    int r = open_once(p, path, flags, 0);
    return r == -ESTALE ? open_once(p, path, flags, ANEW) : r;
}

static struct fd *fd_of(struct person *p, int fd)
{
    struct fd *f = fd >= 0 && fd < SIM_FDS && p->fds[fd].used ? &p->fds[fd] : NULL;
    return f && f->life == p->sim->life && p->sim->alive ? f : NULL;
}

/* One page, from the driver if need be. */
static void read_page(struct inode *i, const struct fd *f, size_t page)
{
    if (page >= i->page_count) {
        i->pages = realloc(i->pages, (page + 1) * SIM_PAGE);
        i->have = realloc(i->have, (page + 1) * sizeof(*i->have));
        assert_true(i->pages && i->have);
        for (; i->page_count <= page; i->page_count++)
            i->have[i->page_count] = false;
    }
    if (i->have[page])
        return;
    const char *bytes;
    size_t len;
    tree_read(f->file, page * SIM_PAGE, SIM_PAGE, &bytes, &len);
    memset(i->pages + page * SIM_PAGE, 0, SIM_PAGE);
    memcpy(i->pages + page * SIM_PAGE, bytes, len);
    i->have[page] = true;
    if (len < SIM_PAGE && page * SIM_PAGE + len < i->size)
        i->size = page * SIM_PAGE + len; /* fuse_read_update_size() */
}

ssize_t sys_read(struct person *p, int fd, size_t offset, size_t size, char *out)
{
    struct sim *s = p->sim;
    struct fd *f = fd_of(p, fd);
    const char *bytes;
    size_t len;
    if (!f)
        return -ENOTCONN;
    if (f->direct) {
        tree_read(f->file, offset, size, &bytes, &len);
        memcpy(out, bytes, len);
        return (ssize_t)len;
    }
    struct inode *i = inode_find(s, f->ino);
    assert_non_null(i);
    if (sim_now(s) >= i->attr_until_ms) {
        struct call *c = call_new(p, CALL_GETATTR, f->ino, "");
        c->file = f->file;
        int r = call(p);
        f = fd_of(p, fd);
        if (r != 0 || !f)
            return r ? r : -ENOTCONN;
        i = inode_update(s, &c->attr, c->attr_version);
    }
    /* The attributes were overtaken by a notification, and dropped: it is as the O_TRUNC left it. */
    if (i->cut)
        s->kernel.truncated = ++s->tick;
    len = offset < i->size ? MIN(size, i->size - offset) : 0;
    for (size_t at = offset; at < offset + len; at = (at / SIM_PAGE + 1) * SIM_PAGE)
        read_page(i, f, at / SIM_PAGE);
    len = offset < i->size ? MIN(len, i->size - offset) : 0;
    memcpy(out, i->pages ? i->pages + offset : "", len);
    return (ssize_t)len;
}

int sys_write(struct person *p, int fd, const char *text, size_t len, size_t offset)
{
    struct fd *f = fd_of(p, fd);
    if (!f)
        return -ENOTCONN;
    if (!len)
        return 0; /* the kernel asks nobody */
    struct call *c = call_new(p, CALL_WRITE, f->ino, "");
    c->file = f->file;
    c->data = text;
    c->size = len;
    c->offset = offset;
    int r = call(p);
    struct inode *i = inode_find(p->sim, p->fds[fd].ino);
    if (r == 0 && i) {
        i->size = MAX(i->size, offset + len);
        i->attr_until_ms = sim_now(p->sim);
    }
    return r;
}

static int sync_call(struct person *p, int fd, enum call_kind kind)
{
    struct fd *f = fd_of(p, fd);
    if (!f)
        return -ENOTCONN;
    if (!f->writes)
        return 0; /* noflush */
    struct call *c = call_new(p, kind, f->ino, "");
    c->file = f->file;
    return call(p);
}

int sys_fsync(struct person *p, int fd)
{
    return sync_call(p, fd, CALL_FSYNC);
}

int sys_flush(struct person *p, int fd)
{
    return sync_call(p, fd, CALL_FLUSH);
}

int sys_close(struct person *p, int fd)
{
    int r = sync_call(p, fd, CALL_FLUSH);
    struct fd *f = fd_of(p, fd);
    if (f)
        tree_close(p->sim->tree, f->file); /* release */
    else
        r = -ENOTCONN;
    p->fds[fd].used = false;
    return r;
}

/* ---- names made, moved, removed ---- */

int sys_mkdir(struct person *p, const char *path)
{
    char last[NAME_MAX + 1];
    uint64_t parent;
    struct tree_attr attr;
    int r = walk_to(p, path, 0, &parent, last);
    r = r == 0 ? lookup(p, parent, last, ANEW, &attr) : r;
    if (r != -ENOENT)
        return r == 0 ? -EEXIST : r;
    struct call *c = call_new(p, CALL_MKDIR, parent, last);
    r = call(p);
    if (r == 0)
        kernel_entry(p->sim, parent, last, &c->attr, c->attr_version);
    return r;
}

static int remove_name(struct person *p, const char *path, enum call_kind kind)
{
    char last[NAME_MAX + 1];
    uint64_t parent;
    struct tree_attr attr;
    int r = walk(p, path, 0, &parent, last, &attr);
    if (r != 0)
        return r;
    if (S_ISDIR(attr.mode) != (kind == CALL_RMDIR))
        return kind == CALL_RMDIR ? -ENOTDIR : -EISDIR;
    call_new(p, kind, parent, last);
    r = call(p);
    if (r == 0 || r == -ENOENT)
        dentry_drop(p->sim, parent, last);
    return r;
}

int sys_unlink(struct person *p, const char *path)
{
    return remove_name(p, path, CALL_UNLINK);
}

int sys_rmdir(struct person *p, const char *path)
{
    return remove_name(p, path, CALL_RMDIR);
}

int sys_rename(struct person *p, const char *from, const char *to)
{
    struct sim *s = p->sim;
    char name[NAME_MAX + 1], new_name[NAME_MAX + 1];
    uint64_t parent, new_parent;
    struct tree_attr attr, other;
    int r = walk(p, from, 0, &parent, name, &attr);
    if (r != 0)
        return r;
    p->pins[1] = attr.ino;
    r = walk_to(p, to, 0, &new_parent, new_name);
    int there = r == 0 ? lookup(p, new_parent, new_name, ANEW, &other) : r;
    if (there != 0 && there != -ENOENT)
        return there;
    if (there == 0 && other.ino == attr.ino)
        return 0; /* two names of one file: nothing happens */
    struct call *c = call_new(p, CALL_RENAME, parent, name);
    c->other = new_parent;
    snprintf(c->data_name, sizeof(c->data_name), "%s", new_name);
    r = call(p);
    if (r != 0)
        return r;
    const struct dentry *d = dentry_find(s, parent, name);
    struct inode *i = inode_find(s, attr.ino);
    if (d && d->ino == attr.ino) /* the kernel's lock keeps others from making it another */
        dentry_set(s, new_parent, new_name, d->ino, d->until_ms);
    else
        dentry_drop(s, new_parent, new_name);
    dentry_drop(s, parent, name);
    if (i)
        i->attr_until_ms = sim_now(s);
    return 0;
}

int sys_link(struct person *p, const char *from, const char *to)
{
    char last[NAME_MAX + 1];
    uint64_t parent;
    struct tree_attr attr, other;
    int r = walk(p, from, 0, &parent, last, &attr);
    if (r != 0)
        return r;
    p->pins[1] = attr.ino;
    r = walk_to(p, to, 0, &parent, last);
    r = r == 0 ? lookup(p, parent, last, ANEW, &other) : r;
    if (r != -ENOENT)
        return r == 0 ? -EEXIST : r;
    struct call *c = call_new(p, CALL_LINK, parent, last);
    c->other = attr.ino;
    r = call(p);
    if (r == 0)
        kernel_entry(p->sim, parent, last, &c->attr, c->attr_version);
    return r;
}

/* ---- directories ---- */

int sys_list(struct person *p, const char *path, size_t room, sys_entry_fn *each, void *data)
{
    struct sim *s = p->sim;
    char at[SIM_PATH], last[NAME_MAX + 1];
    uint64_t parent;
    struct tree_attr attr;
    snprintf(at, sizeof(at), "%s", path);
    int r = walk_through(p, at, 0, &parent, last, &attr);
    if (r == 0) {
        call_new(p, CALL_OPENDIR, attr.ino, "");
        r = call(p);
    }
    if (r != 0)
        return r;
    struct tree_dir *dir = p->call.dir;
    unsigned life = s->life;
    struct entry *entries = calloc(room, sizeof(*entries));
    assert_non_null(entries);
    uint64_t cookie = 0;
    for (size_t count = 1; r == 0 && count > 0;) {
        struct call *c = call_new(p, CALL_READDIR, attr.ino, "");
        c->dir = dir;
        c->offset = cookie;
        c->entries = entries;
        c->room = room;
        r = call(p);
        if (s->life != life)
            r = -ENOTCONN;
        count = r == 0 ? c->entry_count : 0;
        for (size_t i = 0; i < count; i++) {
            const struct entry *e = &entries[i];
            bool dots = e->name[0] == '.' && strspn(e->name, ".") == strlen(e->name);
            if (e->attr.attr_valid_ms >= 0 && !dots)
                kernel_entry(s, attr.ino, e->name, &e->attr, c->attr_version);
            cookie = e->cookie;
            if (!dots)
                each(data, e);
        }
        if (count && rng_below(&p->rng, 4) == 0)
            person_sleep(p, (int64_t)rng_below(&p->rng, 500));
        if (s->life != life)
            r = -ENOTCONN;
    }
    free(entries);
    if (s->life == life && s->alive)
        tree_closedir(s->tree, dir);
    return r;
}
