/* What libfuse calls: takes what a request says, and starts it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "handlers.h"

static void start(fuse_req_t req, const struct handler *handler, fuse_ino_t ino, const char *name,
                  const struct fuse_file_info *fi)
{
    struct request *r = request_new(req, handler, ino, name, fi);
    if (r)
        request_start(r);
}

static void start_sized(fuse_req_t req, const struct handler *handler, fuse_ino_t ino, size_t size,
                        off_t offset, const struct fuse_file_info *fi)
{
    struct request *r = request_new(req, handler, ino, NULL, fi);
    if (!r)
        return;
    r->size = size;
    r->offset = offset;
    request_start(r);
}

/* With a NUL behind them: they may be a name. */
static char *memdup(const char *bytes, size_t len)
{
    char *copy = malloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

/* With a copy of bytes that libfuse takes back when the callback returns. */
static void start_data(fuse_req_t req, const struct handler *handler, fuse_ino_t ino,
                       const char *data, size_t len, size_t size, const struct fuse_file_info *fi)
{
    struct request *r = request_new(req, handler, ino, NULL, fi);
    if (!r)
        return;
    r->size = size;
    r->data = memdup(data, len);
    if (r->data)
        request_start(r);
    else
        request_fail(r, -ENOMEM);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct session *s = userdata;
    /* Names and attributes come together, always: `auto` would leave a lookup for each file. */
    /* O_TRUNC comes with the open: as a request of its own it would not say which open file it
     * means. */
    conn->want |=
        conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_AUTO_INVAL_DATA |
                         FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ);
    /* Splicing does not pay for records this small. */
    conn->want &=
        ~(unsigned)(FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                    FUSE_CAP_SPLICE_MOVE | FUSE_CAP_WRITEBACK_CACHE);
    conn->time_gran = 1;
    s->no_open = s->no_open && (conn->capable & FUSE_CAP_NO_OPEN_SUPPORT);
    s->parallel_dirops = conn->capable & FUSE_CAP_PARALLEL_DIROPS;
    s->answers = true;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    start(req, &handle_lookup, parent, name, NULL);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    struct session *s = fuse_req_userdata(req);
    tree_forget(s->tree, ino, count);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct session *s = fuse_req_userdata(req);
    for (size_t i = 0; i < count; i++)
        tree_forget(s->tree, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    start(req, &handle_getattr, ino, NULL, fi);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    start(req, &handle_readlink, ino, NULL, NULL);
}

/*
 * Where nothing is written, open and close have nothing to say. The kernel is told so once
 * (ENOSYS), and from then on a file that it has in its pages is read without a message: it asks
 * when the attributes are past their time, and drops the pages when those have changed.
 */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);
    if (s->no_open)
        fuse_reply_err(req, ENOSYS);
    else
        start(req, &handle_open, ino, NULL, fi);
}

/* The text was taken at open: reading never waits. Without an open it may. */
static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    const char *bytes;
    size_t len;
    if (!fi->fh) {
        start_sized(req, &handle_read, ino, size, offset, NULL);
        return;
    }
    tree_read(file_of(fi), (size_t)offset, size, &bytes, &len);
    fuse_reply_buf(req, bytes, len);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    if (!fi->fh) { /* mounted "ro", and made writable behind our back */
        fuse_reply_err(req, EROFS);
        return;
    }
    struct request *r = request_new(req, &handle_write, ino, NULL, fi);
    if (!r)
        return;
    r->size = size;
    r->offset = offset;
    r->data = memdup(data, size);
    if (r->data)
        request_start(r);
    else
        request_fail(r, -ENOMEM);
}

static void op_release(fuse_req_t req, fuse_ino_t ino UNUSED, struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);
    if (fi->fh)
        tree_close(s->tree, file_of(fi));
    fuse_reply_err(req, 0);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (fi->fh)
        start(req, &handle_close, ino, NULL, fi);
    else
        fuse_reply_err(req, ENOSYS);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync UNUSED, struct fuse_file_info *fi)
{
    if (fi->fh)
        start(req, &handle_fsync, ino, NULL, fi);
    else
        fuse_reply_err(req, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    start(req, &handle_opendir, ino, NULL, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    start_sized(req, &handle_readdir, ino, size, offset, fi);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    start_sized(req, &handle_readdirplus, ino, size, offset, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino UNUSED, struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);
    tree_closedir(s->tree, dir_of(fi));
    fuse_reply_err(req, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino UNUSED)
{
    struct session *s = fuse_req_userdata(req);
    struct store_stats stats;
    store_get_stats(s->store, &stats);
    const struct statvfs st = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_files = stats.records,
        .f_namemax = NAME_MAX,
    };
    fuse_reply_statfs(req, &st);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    /* ls -l asks for a label and an ACL of every file, and stops asking on this device when it
     * hears that there is no such thing here. ENODATA would be two messages a file. */
    if (strncmp(name, "user.", 5) != 0) {
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    start_data(req, &handle_getxattr, ino, name, strlen(name), size, NULL);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    start_sized(req, &handle_listxattr, ino, size, 0, NULL);
}

/* A year that no nanoseconds reach is the last or the first that they do. */
static int64_t wall_of(const struct timespec *when)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)when->tv_sec, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, (int64_t)when->tv_nsec, &ns))
        return when->tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct request *r = request_new(req, &handle_setattr, ino, NULL, fi);
    if (!r)
        return;
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        tree_set_mtime(r->session->tree, ino, clock_wall_ns(r->session->clock));
    else if (to_set & FUSE_SET_ATTR_MTIME)
        tree_set_mtime(r->session->tree, ino, wall_of(&attr->st_mtim));
    r->flags = (unsigned)to_set;
    r->offset = attr->st_size;
    request_start(r);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode UNUSED,
                      struct fuse_file_info *fi)
{
    start(req, &handle_create, parent, name, fi);
}

/* Files come by CREATE; devices and pipes have no place here. */
static void op_mknod(fuse_req_t req, fuse_ino_t parent UNUSED, const char *name UNUSED,
                     mode_t mode UNUSED, dev_t rdev UNUSED)
{
    fuse_reply_err(req, EPERM);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode UNUSED)
{
    start(req, &handle_mkdir, parent, name, NULL);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    start(req, &handle_unlink, parent, name, NULL);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    start(req, &handle_rmdir, parent, name, NULL);
}

/* Of two names; `text` is the second one, or the target of a symlink. */
static void start_two(fuse_req_t req, const struct handler *handler, fuse_ino_t ino,
                      const char *name, fuse_ino_t other, const char *text, unsigned flags)
{
    struct request *r = request_new(req, handler, ino, name, NULL);
    if (!r)
        return;
    r->other = other;
    r->flags = flags;
    r->data = strdup(text);
    if (r->data)
        request_start(r);
    else
        request_fail(r, -ENOMEM);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, unsigned int flags)
{
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        fuse_reply_err(req, EINVAL); /* renameat2(2): not supported here */
    else
        start_two(req, &handle_rename, parent, name, newparent, newname, flags);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    start_two(req, &handle_link, newparent, newname, ino, "", 0);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    start_two(req, &handle_symlink, parent, name, 0, target, 0);
}

const struct fuse_lowlevel_ops session_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .fsync = op_fsync,
    .release = op_release,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .create = op_create,
};
