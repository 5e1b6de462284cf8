/* From a FUSE request to a handler of the tree, to exactly one reply. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "request.h"

/* ---- replies ---- */

static double seconds(int64_t ms)
{
    return ms <= 0 ? 0.0 : (double)ms / 1000.0;
}

static void fill_stat(const struct session *s, const struct tree_attr *attr, struct stat *st)
{
    const struct timespec when = {.tv_sec = attr->mtime_ns / 1000000000,
                                  .tv_nsec = attr->mtime_ns % 1000000000};
    *st = (struct stat){
        .st_ino = attr->ino,
        .st_mode = attr->mode,
        .st_nlink = attr->nlink,
        .st_uid = s->uid,
        .st_gid = s->gid,
        .st_size = (off_t)attr->size,
        .st_blksize = 4096,
        .st_blocks = (blkcnt_t)((attr->size + 511) / 512),
        .st_atim = when,
        .st_mtim = when,
        .st_ctim = when,
    };
}

static void fill_entry(const struct session *s, const struct tree_attr *attr,
                       struct fuse_entry_param *entry)
{
    *entry = (struct fuse_entry_param){
        .ino = attr->ino,
        .attr_timeout = seconds(attr->attr_valid_ms),
        .entry_timeout = seconds(attr->entry_valid_ms),
    };
    fill_stat(s, attr, &entry->attr);
}

/* ---- handlers ---- */

static struct tree_file *file_of(const struct fuse_file_info *fi)
{
    return (struct tree_file *)(uintptr_t)fi->fh;
}

static struct tree_dir *dir_of(const struct fuse_file_info *fi)
{
    return (struct tree_dir *)(uintptr_t)fi->fh;
}

static int run_lookup(struct request *r)
{
    struct tree_attr attr;
    struct fuse_entry_param entry = {0};
    int result = tree_lookup(r->session->tree, &r->op, r->ino, r->name, &attr);
    if (result == -ENOENT && !r->op.failure.error && attr.entry_valid_ms > 0) {
        /* ino 0: there is no such name, and that may be remembered. */
        entry.entry_timeout = seconds(attr.entry_valid_ms);
        fuse_reply_entry(r->req, &entry);
        return 0;
    }
    if (result != 0)
        return result;
    fill_entry(r->session, &attr, &entry);
    if (fuse_reply_entry(r->req, &entry) == 0)
        tree_remember(r->session->tree, attr.ino);
    return 0;
}

/* The record behind an inode is gone. ESTALE makes the kernel look the name up again, whatever it
 * believed of it, and the person reads ENOENT, or sees the record that has the name now. */
static int gone(int result)
{
    return result == -ENOENT ? -ESTALE : result;
}

static int run_getattr(struct request *r)
{
    struct tree_attr attr;
    struct stat st;
    int result = 0;
    if (r->fi.fh) /* the kernel reads an open file, and asks where that ends */
        tree_file_attr(r->session->tree, file_of(&r->fi), &attr);
    else
        result = gone(tree_getattr(r->session->tree, &r->op, r->ino, &attr));
    if (result != 0)
        return result;
    fill_stat(r->session, &attr, &st);
    fuse_reply_attr(r->req, &st, seconds(attr.attr_valid_ms));
    return 0;
}

static int run_readlink(struct request *r)
{
    CLEANUP(buf_cleanup) struct buf target;
    buf_init(&target, PATH_MAX);
    int result = tree_readlink(r->session->tree, &r->op, r->ino, &target);
    if (result == 0)
        fuse_reply_readlink(r->req, target.data);
    return result;
}

static int run_open(struct request *r)
{
    struct tree_file *file;
    bool write = (r->fi.flags & O_ACCMODE) != O_RDONLY;
    int result = gone(tree_open(r->session->tree, &r->op, r->ino, write, &file));
    if (result != 0)
        return result;
    r->fi.fh = (uintptr_t)file;
    r->fi.keep_cache = file->keep_cache;
    r->fi.direct_io = file->direct_io;
    r->fi.noflush = !write;
    if (fuse_reply_open(r->req, &r->fi) != 0)
        tree_close(r->session->tree, file); /* interrupted: there will be no release */
    return 0;
}

static int run_write(struct request *r)
{
    int result = r->written ? 0 : tree_write(r->session->tree, &r->op, r->ino, r->data, r->size);
    r->written = result == 0;
    /* Whoever reads after a "refresh" reads nothing that the kernel still held. */
    if (result == 0)
        result = tree_wait_kernel(r->session->tree, &r->op, &r->ticket);
    if (result == 0)
        fuse_reply_write(r->req, r->size);
    return result;
}

static int run_opendir(struct request *r)
{
    struct tree_dir *dir;
    int result = tree_opendir(r->session->tree, &r->op, r->ino, &dir);
    if (result != 0)
        return result;
    r->fi.fh = (uintptr_t)dir;
    if (fuse_reply_open(r->req, &r->fi) != 0)
        tree_closedir(r->session->tree, dir);
    return 0;
}

struct filler {
    struct request *request;
    bool plus;
    char *data;
    size_t used;
};

static bool fill(void *data, const char *name, const struct tree_attr *attr, uint64_t cookie)
{
    struct filler *f = data;
    struct request *r = f->request;
    size_t room = r->size - f->used, need;
    struct fuse_entry_param entry;
    fill_entry(r->session, attr, &entry);
    if (f->plus) {
        /* nodeid 0: the kernel takes the name and asks for the rest when it needs it. */
        if (attr->attr_valid_ms < 0)
            entry.ino = 0;
        need = fuse_add_direntry_plus(r->req, f->data + f->used, room, name, &entry, (off_t)cookie);
    } else {
        need = fuse_add_direntry(r->req, f->data + f->used, room, name, &entry.attr, (off_t)cookie);
    }
    if (need > room)
        return false;
    f->used += need;
    if (f->plus && entry.ino)
        tree_remember(r->session->tree, attr->ino);
    return true;
}

static int read_dir(struct request *r, bool plus)
{
    struct filler f = {.request = r, .plus = plus, .data = malloc(r->size)};
    if (!f.data)
        return -ENOMEM;
    int result =
        tree_readdir(r->session->tree, &r->op, dir_of(&r->fi), (uint64_t)r->offset, fill, &f);
    if (result == 0)
        fuse_reply_buf(r->req, f.data, f.used);
    free(f.data);
    return result;
}

static int run_readdir(struct request *r)
{
    return read_dir(r, false);
}

static int run_readdirplus(struct request *r)
{
    return read_dir(r, true);
}

/* The two-step protocol of getxattr(2): size 0 asks how much there is. */
static void reply_xattr(struct request *r, const struct buf *value)
{
    if (r->size == 0)
        fuse_reply_xattr(r->req, value->len);
    else if (value->len > r->size)
        fuse_reply_err(r->req, ERANGE);
    else
        fuse_reply_buf(r->req, value->data, value->len);
}

static int run_getxattr(struct request *r)
{
    CLEANUP(buf_cleanup) struct buf value;
    buf_init(&value, XATTR_SIZE_MAX);
    int result = tree_getxattr(r->session->tree, &r->op, r->ino, r->data, &value);
    if (result == 0)
        reply_xattr(r, &value);
    return result;
}

static int run_listxattr(struct request *r)
{
    CLEANUP(buf_cleanup) struct buf names;
    buf_init(&names, XATTR_LIST_MAX);
    int result = tree_listxattr(r->session->tree, &r->op, r->ino, &names);
    if (result == 0)
        reply_xattr(r, &names);
    return result;
}

static int run_change(struct request *r)
{
    return tree_refuse_change(r->session->tree, &r->op, r->ino);
}

/* A shell's "> ctl" sets the size of the file first: that alone is no command. */
static int run_setattr(struct request *r)
{
    if (node_from_ino(r->ino).kind != KIND_CTL)
        return run_change(r);
    return run_getattr(r);
}

static const struct handler handle_lookup = {"lookup", run_lookup, false};
static const struct handler handle_getattr = {"stat", run_getattr, true};
static const struct handler handle_readlink = {"readlink", run_readlink, false};
static const struct handler handle_open = {"open", run_open, true};
static const struct handler handle_write = {"write", run_write, false};
static const struct handler handle_opendir = {"opendir", run_opendir, false};
static const struct handler handle_readdir = {"readdir", run_readdir, false};
static const struct handler handle_readdirplus = {"readdir", run_readdirplus, false};
static const struct handler handle_getxattr = {"getxattr", run_getxattr, true};
static const struct handler handle_listxattr = {"listxattr", run_listxattr, true};
static const struct handler handle_setattr = {"setattr", run_setattr, true};
static const struct handler handle_create = {"create", run_change, false};
static const struct handler handle_remove = {"remove", run_change, false};
static const struct handler handle_rename = {"rename", run_change, false};
static const struct handler handle_link = {"link", run_change, false};
static const struct handler handle_setxattr = {"setxattr", run_change, false};

/* ---- what libfuse calls ---- */

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

/* With a copy of bytes that libfuse takes back when the callback returns. */
static void start_data(fuse_req_t req, const struct handler *handler, fuse_ino_t ino,
                       const char *data, size_t len, size_t size, const struct fuse_file_info *fi)
{
    struct request *r = request_new(req, handler, ino, NULL, fi);
    if (!r)
        return;
    r->size = size;
    r->data = strndup(data, len);
    if (r->data)
        request_start(r);
    else
        request_fail(r, -ENOMEM);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct session *s = userdata;
    /* Names and attributes come together, always: `auto` would leave a lookup for each file. */
    conn->want |= conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_AUTO_INVAL_DATA |
                                   FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ);
    /* A truncation comes as a request of its own; splicing does not pay for records this small. */
    conn->want &=
        ~(unsigned)(FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_SPLICE_READ |
                    FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_WRITEBACK_CACHE);
    conn->time_gran = 1;
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

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    start(req, &handle_open, ino, NULL, fi);
}

/* The text was taken at open: reading never waits. */
static void op_read(fuse_req_t req, fuse_ino_t ino UNUSED, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    const struct tree_file *file = file_of(fi);
    size_t from = MIN((size_t)offset, file->len);
    fuse_reply_buf(req, file->text + from, MIN(size, file->len - from));
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
                     off_t offset UNUSED, struct fuse_file_info *fi)
{
    start_data(req, &handle_write, ino, data, size, size, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino UNUSED, struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);
    tree_close(s->tree, file_of(fi));
    fuse_reply_err(req, 0);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino UNUSED, struct fuse_file_info *fi UNUSED)
{
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

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr UNUSED, int to_set UNUSED,
                       struct fuse_file_info *fi)
{
    start(req, &handle_setattr, ino, NULL, fi);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode UNUSED,
                      struct fuse_file_info *fi)
{
    start(req, &handle_create, parent, name, fi);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode UNUSED,
                     dev_t rdev UNUSED)
{
    start(req, &handle_create, parent, name, NULL);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode UNUSED)
{
    start(req, &handle_create, parent, name, NULL);
}

static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    start(req, &handle_remove, parent, name, NULL);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
                      fuse_ino_t newparent UNUSED, const char *newname UNUSED,
                      unsigned int flags UNUSED)
{
    start(req, &handle_rename, parent, name, NULL);
}

static void op_link(fuse_req_t req, fuse_ino_t ino UNUSED, fuse_ino_t newparent,
                    const char *newname)
{
    start(req, &handle_link, newparent, newname, NULL);
}

static void op_symlink(fuse_req_t req, const char *link UNUSED, fuse_ino_t parent, const char *name)
{
    start(req, &handle_link, parent, name, NULL);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name UNUSED,
                        const char *value UNUSED, size_t size UNUSED, int flags UNUSED)
{
    start(req, &handle_setxattr, ino, NULL, NULL);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name UNUSED)
{
    start(req, &handle_setxattr, ino, NULL, NULL);
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
    .unlink = op_remove,
    .rmdir = op_remove,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .release = op_release,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .statfs = op_statfs,
    .setxattr = op_setxattr,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .removexattr = op_removexattr,
    .create = op_create,
};
