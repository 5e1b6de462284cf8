/* From a request of the kernel to a call of the tree, to exactly one reply. */
#include "handlers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

/* ---- replies ---- */

static double seconds(int64_t ms)
{
    return ms <= 0 ? 0.0 : (double)ms / 1000.0;
}

static void fill_stat(const struct session *s, const struct tree_attr *attr, struct stat *st)
{
    /* Before 1970 too, nanoseconds count forwards. */
    const int64_t ns = (attr->mtime_ns % 1000000000 + 1000000000) % 1000000000;
    const struct timespec when = {.tv_sec = attr->mtime_ns / 1000000000 -
                                            (attr->mtime_ns % 1000000000 < 0),
                                  .tv_nsec = ns};
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

static void show_file(struct fuse_file_info *fi, const struct tree_file *file)
{
    fi->fh = (uintptr_t)file;
    fi->keep_cache = file->keep_cache;
    fi->direct_io = file->direct_io;
    fi->noflush = !file->write;
}

static int run_open(struct request *r)
{
    struct tree_file *file;
    int result = gone(tree_open(r->session->tree, &r->op, r->ino, r->fi.flags, &file));
    if (result != 0)
        return result;
    show_file(&r->fi, file);
    if (fuse_reply_open(r->req, &r->fi) != 0)
        tree_close(r->session->tree, file); /* interrupted: there will be no release */
    return 0;
}

/* Of a file that was not opened. */
static int run_read(struct request *r)
{
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, TREE_TEXT_MAX);
    int result = tree_read_closed(r->session->tree, &r->op, r->ino, &text);
    if (result != 0)
        return result;
    size_t at = MIN((size_t)r->offset, text.len);
    fuse_reply_buf(r->req, text.data + at, MIN(r->size, text.len - at));
    return 0;
}

static int run_create(struct request *r)
{
    struct tree *t = r->session->tree;
    struct tree_file *file;
    struct tree_attr attr;
    struct fuse_entry_param entry;
    int result = tree_new_file(t, &r->op, r->ino, r->name, r->fi.flags, &file, &attr);
    if (result != 0)
        return result;
    fill_entry(r->session, &attr, &entry);
    show_file(&r->fi, file);
    tree_remember(t, attr.ino);
    if (fuse_reply_create(r->req, &entry, &r->fi) != 0) {
        tree_forget(t, attr.ino, 1);
        tree_close(t, file);
    }
    return 0;
}

static int run_write(struct request *r)
{
    struct tree *t = r->session->tree;
    struct tree_file *file = file_of(&r->fi);
    bool command = tree_takes_commands(r->ino);
    int result = 0;
    if (!r->written && command)
        result = tree_write(t, &r->op, r->ino, r->data, r->size);
    else if (!r->written)
        result = tree_file_write(t, &r->op, file, r->data, r->size, (uint64_t)r->offset);
    r->written = result == 0;
    if (result == 0 && !command && tree_write_completes(file))
        result = tree_sync(t, &r->op, file);
    /* Whoever reads after a "refresh" reads nothing that the kernel still held. */
    if (result == 0 && (command || r->op.job))
        result = tree_wait_kernel(t, &r->op, &r->ticket);
    if (result == 0)
        fuse_reply_write(r->req, r->size);
    return result;
}

/* What has been sent shows at once: whoever reads next finds nothing old in the kernel. */
static int settled(struct request *r, int result)
{
    if (result == 0 && r->op.job)
        result = tree_wait_kernel(r->session->tree, &r->op, &r->ticket);
    return result;
}

static int reply_done(struct request *r, int result)
{
    result = settled(r, result);
    if (result == 0)
        fuse_reply_err(r->req, 0);
    return result;
}

static int run_sync(struct request *r)
{
    return reply_done(r, tree_sync(r->session->tree, &r->op, file_of(&r->fi)));
}

static int run_unlink(struct request *r)
{
    return reply_done(r, tree_unlink(r->session->tree, &r->op, r->ino, r->name));
}

static int run_rmdir(struct request *r)
{
    return reply_done(r, tree_rmdir(r->session->tree, &r->op, r->ino, r->name));
}

static int run_rename(struct request *r)
{
    return reply_done(r, tree_rename(r->session->tree, &r->op, r->ino, r->name, r->other, r->data,
                                     !(r->flags & RENAME_NOREPLACE)));
}

static int reply_entry(struct request *r, int result, const struct tree_attr *attr)
{
    struct fuse_entry_param entry;
    result = settled(r, result);
    if (result != 0)
        return result;
    fill_entry(r->session, attr, &entry);
    tree_remember(r->session->tree, attr->ino);
    if (fuse_reply_entry(r->req, &entry) != 0)
        tree_forget(r->session->tree, attr->ino, 1);
    return 0;
}

static int run_mkdir(struct request *r)
{
    struct tree_attr attr;
    int result = tree_mkdir(r->session->tree, &r->op, r->ino, r->name, &attr);
    return reply_entry(r, result, &attr);
}

static int run_link(struct request *r)
{
    struct tree_attr attr;
    int result = tree_link(r->session->tree, &r->op, r->other, r->ino, r->name, &attr);
    return reply_entry(r, result, &attr);
}

static int run_symlink(struct request *r)
{
    struct tree_attr attr;
    int result = tree_symlink(r->session->tree, &r->op, r->data, r->ino, r->name, &attr);
    return reply_entry(r, result, &attr);
}

static int run_opendir(struct request *r)
{
    struct tree_dir *dir;
    int result = tree_opendir(r->session->tree, &r->op, r->ino, &dir);
    if (result != 0)
        return result;
    r->fi.fh = (uintptr_t)dir;
    r->fi.cache_readdir = tree_dir_cache(dir);
    r->fi.keep_cache = tree_dir_keep_cache(dir);
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

/* Only a size means something. Modes, owners and times are taken, and change nothing: cp -p and
 * editors set them. */
static int run_setattr(struct request *r)
{
    struct tree *t = r->session->tree;
    int result = 0;
    bool size = r->flags & FUSE_SET_ATTR_SIZE;
    if (size && r->fi.fh && file_of(&r->fi)->write && !tree_takes_commands(r->ino))
        result = tree_file_truncate(t, &r->op, file_of(&r->fi), (uint64_t)r->offset);
    else if (size)
        result = tree_truncate(t, &r->op, r->ino, (uint64_t)r->offset);
    return result ? result : run_getattr(r);
}

const struct handler handle_lookup = {"lookup", run_lookup, false};
const struct handler handle_getattr = {"stat", run_getattr, true};
const struct handler handle_readlink = {"readlink", run_readlink, false};
const struct handler handle_open = {"open", run_open, true};
const struct handler handle_read = {"read", run_read, true};
const struct handler handle_write = {"write", run_write, false};
const struct handler handle_opendir = {"opendir", run_opendir, false};
const struct handler handle_readdir = {"readdir", run_readdir, false};
const struct handler handle_readdirplus = {"readdir", run_readdirplus, false};
const struct handler handle_getxattr = {"getxattr", run_getxattr, true};
const struct handler handle_listxattr = {"listxattr", run_listxattr, true};
const struct handler handle_setattr = {"setattr", run_setattr, true};
const struct handler handle_create = {"create", run_create, true};
const struct handler handle_close = {"close", run_sync, false};
const struct handler handle_fsync = {"fsync", run_sync, false};
const struct handler handle_mkdir = {"mkdir", run_mkdir, true};
const struct handler handle_unlink = {"remove", run_unlink, true};
const struct handler handle_rmdir = {"rmdir", run_rmdir, true};
const struct handler handle_rename = {"rename", run_rename, true};
const struct handler handle_link = {"link", run_link, true};
const struct handler handle_symlink = {"symlink", run_symlink, true};
