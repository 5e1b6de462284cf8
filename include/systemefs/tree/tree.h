/*
 * tree/tree: what names mean. The account as directories, files and symlinks.
 *
 * Every call is a handler's body in the sense of store/op: it answers from the store, or parks
 * the operation and returns STORE_WAIT, and is then called again with the same arguments. -errno
 * comes with op->failure set where there is a reason worth telling.
 *
 * What is where is in tree/shape; how a form of node behaves is in one file for each family:
 * records and values (view), directories (dir), names and symlinks (name), texts (text).
 *
 * Nothing here knows FUSE: the same tree could be served by 9P.
 *
 * Layer: tree. Calls store, api, net (figures only), codec, base.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "systemefs/base/clock.h"
#include "systemefs/net/net.h"
#include "systemefs/store/store.h"
#include "systemefs/tree/journal.h"
#include "systemefs/tree/shape.h"

#define TREE_TEXT_MAX ((size_t)8 << 20) /* bytes of one file's text */

struct tree;

/* The kernel's cache, as seen from here. */
struct tree_kernel {
    /* Old bytes and attributes of this inode are to be dropped. Returns a ticket; never waits. */
    uint64_t (*invalidate)(void *data, uint64_t ino);
    /* Whether what the ticket stands for has been done; if not, `queue` will be woken. */
    bool (*done)(void *data, uint64_t ticket);
    struct wait_queue *queue;
    /* A name in that directory means something else than the kernel has made of it. Never waits.
     * May be NULL. */
    void (*forget_name)(void *data, uint64_t parent, const char *name);
    /* The content of this inode, before it is asked for; `text` is the callee's, to be freed. Comes
     * to the kernel before whatever is invalidated afterwards. Never waits. May be NULL. */
    void (*push)(void *data, uint64_t ino, char *text, size_t len);
    const uint64_t *requests; /* how many it has made of us; NULL: not counted */
    void *data;
};

struct tree_options {
    struct store *store;
    struct api *api;
    struct net *net;
    struct journal *journal;
    const struct clock *clock;
    const struct tree_kernel *kernel; /* NULL: there is none (unit tests) */
    mode_t umask;
    int64_t ttl_ms;
    const char *url;        /* for `status` */
    const char *mode_name;  /* "direct", "gateway", "sandbox" */
    const char *connection; /* or NULL */
    struct shelf *shelf;    /* drafts and trash */
    unsigned delete_limit;  /* see store/brake */
    bool no_open; /* nothing is written, and the kernel does not tell which files it opens: they are
                   * read with tree_read_closed() */
};

int tree_create(const struct tree_options *options, struct tree **ret);
/* Closes the files and directories that are still open. Accepts NULL. */
void tree_destroy(struct tree *t);
/* The store's callbacks; data is a struct tree ** (the tree is made after the store). */
void tree_store_changed(void *data, enum resource res, uint64_t key);
void tree_store_gone(void *data, enum resource res, uint64_t key);
void tree_store_replacing(void *data, enum resource res, const struct record *rec);
void tree_store_evicting(void *data, enum resource res, const struct record *rec);

/* What stat(2) shows, and for how long the kernel may believe it. */
struct tree_attr {
    uint64_t ino;
    mode_t mode; /* type and permissions */
    uint32_t nlink;
    uint64_t size;
    int64_t mtime_ns;
    int64_t entry_valid_ms; /* that the name means this node; for -ENOENT: that there is none */
    int64_t attr_valid_ms;
};

/* -ENOENT: no such name; ret->entry_valid_ms says for how long. */
int tree_lookup(struct tree *t, struct op *op, uint64_t parent, const char *name,
                struct tree_attr *ret);
/* The kernel has been given `n` lookups less. */
void tree_forget(struct tree *t, uint64_t ino, uint64_t n);
int tree_getattr(struct tree *t, struct op *op, uint64_t ino, struct tree_attr *ret);
int tree_readlink(struct tree *t, struct op *op, uint64_t ino, struct buf *out);
/* The path of a node below the mount point, for people ("contacts/5.json"). */
int tree_path(struct tree *t, uint64_t ino, struct buf *out);

/*
 * An open file.
 *
 * To be read: the text as it was when it was opened. Bytes and size belong together for as long as
 * it is open, whatever happens to the record. To be written: a buffer of its own, and the record as
 * it was (the base), so that two who write do not see each other's half-done text. What was written
 * is sent by tree_sync(). Scratch: the one text that all share.
 */
struct tree_file {
    uint64_t ino;
    char *text;
    size_t len;
    bool keep_cache; /* the kernel's pages hold this very content */
    bool direct_io;  /* the kernel's pages must not be used */
    bool write;

    /* private */
    bool append, counted, dirty;
    bool early; /* closed once before anything was written */
    struct scratch *scratch;
    struct buf data;            /* what a writer has */
    char *base;                 /* JSON */
    char *earlier;              /* what the process had opened before; or NULL */
    bool read;                  /* by way of this file: then it is a change of what stood here */
    size_t over;                /* bytes from the beginning that were written over */
    pid_t writer;               /* process that wrote last */
    struct save *job;           /* the last one begun */
    struct api_failure verdict; /* of the last save, while nothing new was written */
    struct list open;           /* in tree.files */
};
/* `flags` are those of open(2): the access mode, O_TRUNC and O_APPEND count. */
int tree_open(struct tree *t, struct op *op, uint64_t ino, int flags, struct tree_file **ret);
/* What was written and never synced is sent now, with nobody to hear the verdict. */
void tree_close(struct tree *t, struct tree_file *file);
/* What stat(2) shows to whoever reads that open file: its own size, not that of a newer content.
 * Asks nothing. */
void tree_file_attr(struct tree *t, const struct tree_file *file, struct tree_attr *ret);
/* The whole text of a file that was not opened. It is that of the size that was told last, or the
 * kernel has been told since that there is another. */
int tree_read_closed(struct tree *t, struct op *op, uint64_t ino, struct buf *out);
/* The bytes at `offset`; they live until the next call. */
void tree_read(struct tree_file *file, size_t offset, size_t size, const char **ret,
               size_t *ret_len);
int tree_file_write(struct tree *t, struct op *op, struct tree_file *file, const char *bytes,
                    size_t len, uint64_t offset);
int tree_file_truncate(struct tree *t, struct op *op, struct tree_file *file, uint64_t size);
/* Without an open file (truncate(2)). */
int tree_truncate(struct tree *t, struct op *op, uint64_t ino, uint64_t size);
/*
 * Whether what was just written is to be synced at once. A shell does not look at the result of
 * close(2): its `echo '{"locale":"fr"}' > FILE` would not hear of a refusal. It is known by having
 * closed the file once before it writes (the descriptor was duplicated); and a whole document
 * cannot become another one by what is written behind it, nor a broken line a good one.
 */
bool tree_write_completes(const struct tree_file *file);
/* close(2), fsync(2): sends what is new, waits for the verdict. Nothing written, nothing sent. */
int tree_sync(struct tree *t, struct op *op, struct tree_file *file);
/* Writes to a file that takes commands (ctl, cancel): they are carried out at once. */
int tree_write(struct tree *t, struct op *op, uint64_t ino, const char *text, size_t len);
/* Whether writing to it is a command. */
bool tree_takes_commands(uint64_t ino);
/* Waits until the kernel has dropped all that it was told to drop so far (`*ticket` 0: begin). */
int tree_wait_kernel(struct tree *t, struct op *op, uint64_t *ticket);

/*
 * Names made, removed, moved. Each sends at most one change, and returns when the API has answered.
 * They run again while they wait, with the same arguments.
 */
int tree_new_file(struct tree *t, struct op *op, uint64_t parent, const char *name, int flags,
                  struct tree_file **ret, struct tree_attr *attr);
int tree_mkdir(struct tree *t, struct op *op, uint64_t parent, const char *name,
               struct tree_attr *ret);
int tree_unlink(struct tree *t, struct op *op, uint64_t parent, const char *name);
int tree_rmdir(struct tree *t, struct op *op, uint64_t parent, const char *name);
int tree_link(struct tree *t, struct op *op, uint64_t ino, uint64_t parent, const char *name,
              struct tree_attr *ret);
int tree_symlink(struct tree *t, struct op *op, const char *target, uint64_t parent,
                 const char *name, struct tree_attr *ret);
int tree_rename(struct tree *t, struct op *op, uint64_t parent, const char *name,
                uint64_t new_parent, const char *new_name, bool replace);
/* Times of a scratch file. What else can be set of a file is taken and dropped. */
void tree_set_mtime(struct tree *t, uint64_t ino, int64_t mtime_ns);

struct tree_dir;
int tree_opendir(struct tree *t, struct op *op, uint64_t ino, struct tree_dir **ret);
/* Whether the kernel may keep the names that are read; whether those that it has are still good. */
bool tree_dir_cache(const struct tree_dir *dir);
bool tree_dir_keep_cache(const struct tree_dir *dir);
void tree_closedir(struct tree *t, struct tree_dir *dir);
/* One entry. `attr->attr_valid_ms` below 0: only ino and the type are known. Returns false when
 * there is no room for it (it will be asked for again). */
typedef bool tree_emit_fn(void *data, const char *name, const struct tree_attr *attr,
                          uint64_t cookie);
/* Emits the entries behind `cookie` (0: from the start) in order. A cookie names the entry
 * before it, not a position: a listing that changes skips and repeats nothing. */
int tree_readdir(struct tree *t, struct op *op, struct tree_dir *dir, uint64_t cookie,
                 tree_emit_fn *emit, void *data);
/* The kernel has counted a lookup of this node: what tree_forget() takes back. */
void tree_remember(struct tree *t, uint64_t ino);

/* Extended attributes: "user.systemefs.id", ... -ENODATA where there is none. */
int tree_getxattr(struct tree *t, struct op *op, uint64_t ino, const char *name, struct buf *out);
/* Appends the names, each with its NUL. */
int tree_listxattr(struct tree *t, struct op *op, uint64_t ino, struct buf *out);

/* Everything is asked for again by the next reader (ctl, SIGHUP). */
void tree_refresh_all(struct tree *t);
