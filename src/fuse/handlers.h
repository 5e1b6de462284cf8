/* fuse/handlers: one for each kind of request that may have to wait (see request.h). */
#pragma once

#include "request.h"

static inline struct tree_file *file_of(const struct fuse_file_info *fi)
{
    return (struct tree_file *)(uintptr_t)fi->fh;
}

static inline struct tree_dir *dir_of(const struct fuse_file_info *fi)
{
    return (struct tree_dir *)(uintptr_t)fi->fh;
}

extern const struct handler handle_lookup;
extern const struct handler handle_getattr;
extern const struct handler handle_readlink;
extern const struct handler handle_open;
extern const struct handler handle_read;
extern const struct handler handle_write;
extern const struct handler handle_opendir;
extern const struct handler handle_readdir;
extern const struct handler handle_readdirplus;
extern const struct handler handle_getxattr;
extern const struct handler handle_listxattr;
extern const struct handler handle_setattr;
extern const struct handler handle_create;
extern const struct handler handle_close;
extern const struct handler handle_fsync;
extern const struct handler handle_mkdir;
extern const struct handler handle_unlink;
extern const struct handler handle_rmdir;
extern const struct handler handle_rename;
extern const struct handler handle_link;
extern const struct handler handle_symlink;
