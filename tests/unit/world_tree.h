/*
 * world_tree: the tree over a world, and its calls run to their ends.
 *
 * What a call found is in the struct afterwards: attr, text (content of a file, target of a
 * symlink, names of a directory separated by '\n', value of an attribute), failure. Paths begin at
 * the mount point; each name on the way is an operation of its own, as the kernel's lookups are.
 *
 * Layer: tests. Links tree and below.
 */
#pragma once

#include "systemefs/tree/tree.h"

#include "world.h"

struct grove {
    struct world w;
    struct journal *journal;
    struct tree *tree;

    /* the kernel, if there is one: what it was told */
    struct tree_kernel kernel;
    struct wait_queue queue;
    uint64_t tickets;      /* given out */
    uint64_t tickets_done; /* up to this one */
    uint64_t last_ino;

    /* of the last call */
    struct tree_attr attr;
    char *text;
    struct api_failure failure;
    unsigned runs; /* of its handler */
};

struct grove_options {
    int64_t ttl_ms;
    bool gateway;
    bool kernel;
};
void grove_init(struct grove *g, const struct grove_options *options);
void grove_finish(struct grove *g);

int grove_lookup(struct grove *g, uint64_t parent, const char *name);
/* Looks up every name of `path`; g->attr is that of the last. */
int grove_path(struct grove *g, const char *path);
int grove_getattr(struct grove *g, uint64_t ino);
int grove_readlink(struct grove *g, uint64_t ino);
int grove_open(struct grove *g, uint64_t ino, bool write, struct tree_file **ret);
int grove_write(struct grove *g, uint64_t ino, const char *text);
int grove_getxattr(struct grove *g, uint64_t ino, const char *name);
/* One readdir(): at most `room` entries behind *cookie, which moves on. The number of entries, or
 * -errno; their names are appended to `out`, each with a newline. */
int grove_readdir(struct grove *g, struct tree_dir *dir, uint64_t *cookie, size_t room,
                  struct buf *out);

/* open, copy the text, close. */
int grove_read(struct grove *g, const char *path);
/* opendir, readdir to the end with that much room each time, closedir. Without "." and "..". */
int grove_list(struct grove *g, const char *path, size_t room);
