/* sim/kernel: what the caches and the system calls share. */
#pragma once

#include "sim.h"

struct dentry *dentry_find(struct sim *s, uint64_t parent, const char *name);
void dentry_drop(struct sim *s, uint64_t parent, const char *name);
void dentry_set(struct sim *s, uint64_t parent, const char *name, uint64_t ino, int64_t until_ms);
struct inode *inode_find(struct sim *s, uint64_t ino);
struct inode *inode_update(struct sim *s, const struct tree_attr *attr, uint64_t version);
void kernel_entry(struct sim *s, uint64_t parent, const char *name, const struct tree_attr *attr,
                  uint64_t version);

/* syscalls */
enum { AS_KNOWN, ANEW }; /* what is known of a name does not count: LOOKUP_REVAL, _EXCL, ... */
struct call *call_new(struct person *p, enum call_kind kind, uint64_t ino, const char *name);
/* 0, or -errno; -ENOTCONN when the mount is gone by then. */
int call_wait(struct person *p);
/* With symlinks followed; `path` is what they lead to afterwards. */
int walk_through(struct person *p, char path[SIM_PATH], int how, uint64_t *parent,
                 char last[NAME_MAX + 1], struct tree_attr *ret);
struct fd *fd_of(struct person *p, int fd);

/* pages */
void pages_drop(struct inode *i);
/* NOTIFY_STORE */
void pages_store(struct sim *s, struct inode *i, const char *text, size_t len);

/* dirs */
void names_drop(struct inode *i); /* the pages that they are in */
void names_free(struct inode *i);
/* A name in it was made, moved or removed by the kernel's own doing. */
void dir_changed(struct sim *s, uint64_t ino);
