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

struct call *call_new(struct person *p, enum call_kind kind, uint64_t ino, const char *name)
{
    struct call *c = &p->call;
    *c = (struct call){.person = p, .kind = kind, .ino = ino};
    snprintf(c->name, sizeof(c->name), "%s", name);
    return c;
}

/* A mount that is gone by the time that the reply is read has not replied. */
int call_wait(struct person *p)
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
    int r = call_wait(p);
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
int walk_through(struct person *p, char path[SIM_PATH], int how, uint64_t *parent,
                 char last[NAME_MAX + 1], struct tree_attr *ret)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        int r = walk(p, path, how, parent, last, ret);
        if (r != 0 || !S_ISLNK(ret->mode))
            return r;
        p->pins[1] = ret->ino;
        call_new(p, CALL_READLINK, ret->ino, "");
        r = call_wait(p);
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
            r = call_wait(p);
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

/* Of a file that the driver is not told of: its pages are kept. */
static int fd_closed(struct person *p, uint64_t ino)
{
    for (int i = 0; i < SIM_FDS; i++)
        if (!p->fds[i].used) {
            p->fds[i] = (struct fd){.used = true, .life = p->sim->life, .ino = ino};
            return i;
        }
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
    if (r == 0 && s->plan->ro && s->plan->ttl_ms > 0) { /* OPEN was answered ENOSYS */
        if (S_ISDIR(attr.mode))
            return -EISDIR;
        return flags & (O_WRONLY | O_RDWR) ? -EROFS : fd_closed(p, attr.ino);
    }
    if (r == 0) {
        struct call *c = call_new(p, CALL_OPEN, attr.ino, "");
        c->flags = flags;
        r = call_wait(p);
        return r == 0 && s->life == life ? fd_new(p, c, attr.ino) : r ? r : -ENOTCONN;
    }
    if (r != -ENOENT || !(flags & O_CREAT) || !parent)
        return r;
    struct call *c = call_new(p, CALL_CREATE, parent, last);
    c->flags = flags;
    r = call_wait(p);
    if (r != 0 || s->life != life)
        return r ? r : -ENOTCONN;
    kernel_entry(s, parent, last, &c->attr, c->attr_version);
    dir_changed(s, parent);
    return fd_new(p, c, c->attr.ino);
}

int sys_open(struct person *p, const char *path, int flags)
{
    int r = open_once(p, path, flags, 0);
    return r == -ESTALE ? open_once(p, path, flags, ANEW) : r;
}

struct fd *fd_of(struct person *p, int fd)
{
    struct fd *f = fd >= 0 && fd < SIM_FDS && p->fds[fd].used ? &p->fds[fd] : NULL;
    return f && f->life == p->sim->life && p->sim->alive ? f : NULL;
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
    int r = call_wait(p);
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
    return call_wait(p);
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
    if (f && f->file)
        tree_close(p->sim->tree, f->file); /* release */
    else if (!f)
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
    r = call_wait(p);
    if (r == 0) {
        kernel_entry(p->sim, parent, last, &c->attr, c->attr_version);
        dir_changed(p->sim, parent);
    }
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
    r = call_wait(p);
    if (r == 0 || r == -ENOENT)
        dentry_drop(p->sim, parent, last);
    if (r == 0)
        dir_changed(p->sim, parent);
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
    r = call_wait(p);
    if (r != 0)
        return r;
    const struct dentry *d = dentry_find(s, parent, name);
    struct inode *i = inode_find(s, attr.ino);
    if (d && d->ino == attr.ino) /* the kernel's lock keeps others from making it another */
        dentry_set(s, new_parent, new_name, d->ino, d->until_ms);
    else
        dentry_drop(s, new_parent, new_name);
    dentry_drop(s, parent, name);
    dir_changed(s, parent);
    dir_changed(s, new_parent);
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
    r = call_wait(p);
    if (r == 0) {
        kernel_entry(p->sim, parent, last, &c->attr, c->attr_version);
        dir_changed(p->sim, parent);
    }
    return r;
}

/* ---- attributes ---- */

static int set_attr(struct person *p, uint64_t ino, struct tree_file *file, bool size, uint64_t to)
{
    struct sim *s = p->sim;
    struct call *c = call_new(p, CALL_SETATTR, ino, "");
    c->file = file;
    c->sets_size = size;
    c->offset = to;
    int r = call_wait(p);
    struct inode *i = r == 0 ? inode_update(s, &c->attr, c->attr_version) : NULL;
    if (i && size)
        pages_drop(i);
    /* As after an O_TRUNC: what the kernel cuts off, it cuts off for all who read. */
    if (size)
        s->kernel.truncated = ++s->tick;
    return r;
}

static int set_attr_by_path(struct person *p, const char *path, bool size, uint64_t to)
{
    char at[SIM_PATH], last[NAME_MAX + 1];
    uint64_t parent;
    struct tree_attr attr;
    if (p->sim->plan->ro)
        return -EROFS;
    for (int how = AS_KNOWN; how <= ANEW; how++) {
        snprintf(at, sizeof(at), "%s", path);
        int r = walk_through(p, at, how, &parent, last, &attr);
        if (r == 0)
            r = S_ISDIR(attr.mode) ? -EISDIR : set_attr(p, attr.ino, NULL, size, to);
        if (r != -ESTALE)
            return r;
    }
    return -ESTALE;
}

int sys_truncate(struct person *p, const char *path, size_t size)
{
    return set_attr_by_path(p, path, true, size);
}

int sys_touch(struct person *p, const char *path)
{
    return set_attr_by_path(p, path, false, 0);
}

int sys_ftruncate(struct person *p, int fd, size_t size)
{
    struct fd *f = fd_of(p, fd);
    return f ? set_attr(p, f->ino, f->file, true, size) : -ENOTCONN;
}

char *sys_xattr(struct person *p, const char *path, const char *name, int *ret)
{
    char at[SIM_PATH], last[NAME_MAX + 1];
    uint64_t parent;
    struct tree_attr attr;
    snprintf(at, sizeof(at), "%s", path);
    *ret = walk_through(p, at, AS_KNOWN, &parent, last, &attr);
    if (*ret != 0)
        return NULL;
    struct call *c = call_new(p, name ? CALL_GETXATTR : CALL_LISTXATTR, attr.ino, "");
    snprintf(c->target, sizeof(c->target), "%s", name ? name : "");
    *ret = call_wait(p);
    char *value = c->bytes;
    c->bytes = NULL;
    if (*ret != 0) {
        free(value);
        return NULL;
    }
    return value;
}
