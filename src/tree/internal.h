/* tree/internal: what the files of the tree share, and nobody else sees. */
#pragma once

#include <limits.h>

#include "systemefs/tree/tree.h"

/* For how long the kernel may believe what never changes. */
#define FIXED_VALID_MS INT64_C(3600000)

/* A one-value file has two keys, record and field; its node's key stands for both while the
 * kernel knows it. */
struct value_node {
    uint64_t owner;
    uint64_t field;
    uint64_t lookups; /* of the kernel */
};

/* What the open files of one inode hold. The kernel has one page cache for all of them. */
struct open_inode {
    uint64_t hash; /* of the content that its pages may hold */
    unsigned files;
};

struct tree {
    struct store *store;
    struct api *api;
    struct net *net;
    struct journal *journal;
    const struct clock *clock;
    const struct tree_kernel *kernel;
    mode_t umask;
    int64_t ttl_ms;
    int64_t start_ns; /* wall; the time of everything that has none */
    char *url, *connection;
    const char *mode_name;

    struct map values; /* key of a KIND_*_FIELD node -> struct value_node */
    size_t values_sweep_at;
    struct map open_inodes;  /* ino -> struct open_inode */
    uint64_t last_ticket;    /* of a notification to the kernel */
    struct list files, dirs; /* that are open: a signal ends the mount under their readers */
};

struct tree_dir {
    struct node node;
    struct walk *walk; /* what it lists besides its fixed children; NULL: not begun, or nothing */
    bool reading;      /* counted as a reader of the walk */
    bool started;      /* something of the walk was emitted */
    size_t index;      /* where the reader that got `last_cookie` goes on */
    bool second;       /* at ID/ of walk->keys[index], ID.json is done */
    uint64_t last_cookie;
    struct list open; /* in tree.dirs */
};

/* How a form of node behaves. Functions that a form has no use for are NULL. */
struct form {
    mode_t type; /* S_IFDIR, ... */
    /* Everything but ino, mode and type. */
    int (*getattr)(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
    /* A name that is no fixed child. `ret->entry_valid_ms` is preset for -ENOENT. */
    int (*lookup)(struct tree *t, struct op *op, struct node dir, const char *name,
                  struct tree_attr *ret);
    /* The walk behind a directory: 0 with a reference, STORE_WAIT, -errno. */
    int (*walk)(struct tree *t, struct op *op, struct node dir, struct walk **ret);
    /* Name and attributes of a key in the walk; false: it is gone, skip it. `second` is ID/. */
    bool (*entry)(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                  char name[NAME_MAX + 1], struct tree_attr *ret);
    /* The content of a file. */
    int (*text)(struct tree *t, struct op *op, struct node n, struct buf *out);
};
extern const struct form forms[FORM_COUNT];

/* Whether it is a directory that this account's way in does not have (connections/). */
bool absent_here(const struct tree *t, enum node_kind kind);
/* Type, permissions, owner's number of links, and times that are good for most nodes. */
void attr_init(const struct tree *t, struct node n, struct tree_attr *ret);

/* view: records and their values */
int record_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
int record_file_text(struct tree *t, struct op *op, struct node n, struct buf *out);
/* What leaves here the kernel may hold: the record notes it, so that a change of it is told. */
void record_attr(const struct tree *t, struct node n, struct record *rec, struct tree_attr *ret);
int value_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
int value_text(struct tree *t, struct op *op, struct node n, struct buf *out);
int values_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                  struct tree_attr *ret);
int values_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret);
bool values_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                  char name[NAME_MAX + 1], struct tree_attr *ret);
int members_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                   struct tree_attr *ret);
int members_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret);
bool members_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                   char name[NAME_MAX + 1], struct tree_attr *ret);
/* The value node behind a key, or NULL. */
struct value_node *value_node_of(const struct tree *t, struct node n);
/* A lookup of a record's file that failed, but not for want of a record: the name answers, and
 * opening it tells the reason, which getfattr(1) can then read. */
int record_unreadable(struct tree *t, struct op *op, struct node n, uint64_t parent,
                      const char *name, struct tree_attr *ret);

/* dir: directories of records */
int records_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                   struct tree_attr *ret);
int records_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret);
bool records_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                   char name[NAME_MAX + 1], struct tree_attr *ret);
int dir_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
/* The listing that a FORM_RECORDS directory shows; NULL: no memory. */
struct listing *dir_listing(const struct tree *t, struct node dir);
/* Splits "ID.json" or "ID": whether `name` has the suffix, and its stem. */
bool name_stem(const char *name, char stem[NAME_MAX + 1]);

/* name: human names */
int alias_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                 struct tree_attr *ret);
int names_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                 struct tree_attr *ret);
int names_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret);
bool names_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                 char name[NAME_MAX + 1], struct tree_attr *ret);
int link_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
int link_target(const struct tree *t, struct node n, struct buf *out);

/* text: README, .systemefs */
int text_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
int text_text(struct tree *t, struct op *op, struct node n, struct buf *out);
extern const char tree_readme[];
/* ctl: one line. control_prepare() finds the faults in it and waits for what it needs, so that
 * control_run() need not wait, or waits for what a refresh just before it has ended. */
int control_prepare(struct tree *t, struct op *op, char *line);
int control_run(struct tree *t, struct op *op, char *line);
int control_help(struct buf *out);
