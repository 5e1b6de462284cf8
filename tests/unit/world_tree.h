/*
 * world_tree: the tree over a world, and its calls run to their ends.
 *
 * What a call found is in the struct afterwards: attr, text (content of a file, target of a
 * symlink, names of a directory separated by '\n', value of an attribute), failure. Paths begin at
 * the mount point; each name on the way is an operation of its own, as the kernel's lookups are.
 *
 * Who calls (g->caller) is a thread of a real process: that of the test, or one of grove_process().
 *
 * Layer: tests. Links tree and below.
 */
#pragma once

#include <fcntl.h>
#include <limits.h>

#include "systemefs/tree/tree.h"

#include "world.h"

#define GROVE_PROCESSES 4

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
    char forgotten[NAME_MAX + 1]; /* the last name that it was told to forget */
    unsigned pushed;              /* files whose text it was given */
    uint64_t pushed_ino;          /* of the last one */
    char pushed_text[4096];

    int caller; /* thread of the calls to come; 0: not known */

    /* of the last call */
    struct tree_attr attr;
    char *text;
    struct api_failure failure;
    unsigned runs; /* of its handler */

    /* private */
    int alive[2]; /* a pipe: the processes live as long as its writing end */
    pid_t processes[GROVE_PROCESSES];
    size_t process_count;
};

struct grove_options {
    int64_t ttl_ms;
    bool gateway;
    bool kernel;
    bool no_open;
    bool no_disk;
    bool dry_run;
    unsigned delete_limit;
    uint64_t cache_size;
    const char *access_type; /* NULL: "full_access" */
};
void grove_init(struct grove *g, const struct grove_options *options);
void grove_finish(struct grove *g);
/* A process that does nothing until grove_finish(). */
pid_t grove_process(struct grove *g);

int grove_lookup(struct grove *g, uint64_t parent, const char *name);
/* Looks up every name of `path`; g->attr is that of the last. */
int grove_path(struct grove *g, const char *path);
int grove_getattr(struct grove *g, uint64_t ino);
int grove_readlink(struct grove *g, uint64_t ino);
/* Flags as of open(2). */
int grove_open(struct grove *g, uint64_t ino, int flags, struct tree_file **ret);
/* To a file that takes commands. */
int grove_write(struct grove *g, uint64_t ino, const char *text);
int grove_getxattr(struct grove *g, uint64_t ino, const char *name);
/* The directory's inode; what the kernel may do with its names is asked of *ret. */
void grove_opendir(struct grove *g, const char *path, struct tree_dir **ret);
/* A file that is read without being opened; its text is g->text. */
int grove_read_closed(struct grove *g, uint64_t ino);
/* One readdir(): at most `room` entries behind *cookie, which moves on. The number of entries, or
 * -errno; their names are appended to `out`, each with a newline. */
int grove_readdir(struct grove *g, struct tree_dir *dir, uint64_t *cookie, size_t room,
                  struct buf *out);

/* open, copy the text, close. */
int grove_read(struct grove *g, const char *path);
/* opendir, readdir to the end with that much room each time, closedir. Without "." and "..". */
int grove_list(struct grove *g, const char *path, size_t room);

/* ---- what changes something. A path is looked up first, as the kernel does it. ---- */

/* open(2): a name that is not there is created (O_CREAT), a symlink followed. */
int grove_open_path(struct grove *g, const char *path, int flags, struct tree_file **ret);
/* write(2) behind what was written so far, or at an offset; with what follows at once where the
 * text is complete (tree_write_completes). */
int grove_append(struct grove *g, struct tree_file *file, const char *text);
int grove_write_at(struct grove *g, struct tree_file *file, const char *text, uint64_t offset);
int grove_truncate(struct grove *g, struct tree_file *file, uint64_t size);
int grove_truncate_path(struct grove *g, const char *path, uint64_t size); /* truncate(2) */
/* The kernel's CREATE alone, for a name that has come to be there meanwhile. */
int grove_create(struct grove *g, const char *path, int flags, struct tree_file **ret);
/* close(2) or fsync(2); tree_close() is the release. */
int grove_sync(struct grove *g, struct tree_file *file);
/* What cp and "echo TEXT > PATH" do, and an editor that writes in place: open (O_TRUNC), write,
 * close. The first failure. */
int grove_save(struct grove *g, const char *path, const char *text);

int grove_mkdir(struct grove *g, const char *path);
int grove_unlink(struct grove *g, const char *path);
int grove_rmdir(struct grove *g, const char *path);
int grove_rename(struct grove *g, const char *from, const char *to);
/* RENAME_NOREPLACE, of whose names the kernel knows nothing. */
int grove_rename_new(struct grove *g, const char *from, const char *to);
int grove_link(struct grove *g, const char *from, const char *to);
int grove_symlink(struct grove *g, const char *target, const char *path);

/* A call that a test has set going, to do something else meanwhile. */
struct grove_call {
    struct run run;
    struct grove *g;
    uint64_t ino, other, cookie;
    const char *name, *new_name;
    int flags;
    bool written;
    struct tree_file *file;
    struct tree_dir *dir;
    size_t room, emitted;
    struct buf *out;
};
void grove_begin_sync(struct grove *g, struct grove_call *call, struct tree_file *file);
void grove_begin_rename(struct grove *g, struct grove_call *call, const char *from, const char *to);
/* Its result; g->failure is its own. */
int grove_wait(struct grove_call *call);
