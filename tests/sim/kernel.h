/* sim/kernel: what the caches and the system calls share. */
#pragma once

#include "sim.h"

struct dentry *dentry_find(struct sim *s, uint64_t parent, const char *name);
void dentry_drop(struct sim *s, uint64_t parent, const char *name);
void dentry_set(struct sim *s, uint64_t parent, const char *name, uint64_t ino, int64_t until_ms);
struct inode *inode_find(struct sim *s, uint64_t ino);
void pages_drop(struct inode *i);
struct inode *inode_update(struct sim *s, const struct tree_attr *attr, uint64_t version);
void kernel_entry(struct sim *s, uint64_t parent, const char *name, const struct tree_attr *attr,
                  uint64_t version);
