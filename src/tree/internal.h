/* tree/internal: what the files of the tree share, and nobody else sees. */
#pragma once

#include <limits.h>

#include "bases.h"
#include "scratch.h"
#include "systemefs/store/brake.h"
#include "systemefs/store/save.h"
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

/* In record.pages_hash: some of the pages may be of an older text. */
#define PAGES_MIXED 1

/* What the open files of one inode hold. The kernel has one page cache for all of them. */
struct open_inode {
    uint64_t hash; /* of the content that its pages may hold */
    unsigned files;
};

/* The names of a directory that the kernel keeps: see pages.c. */
struct dir_pages {
    uint64_t version; /* of the listing that they are; 0: not known */
    uint64_t filler;  /* whose reading brought them */
};

/* Where a search through the files of a directory is: see pages.c. */
struct ahead {
    struct walk *walk;   /* of the directory that was read last; a reference */
    enum node_kind kind; /* of its files */
    size_t index;        /* of the file that was read last */
    int step;            /* 1 or -1: the direction */
    unsigned run;        /* files read in a row */
    size_t ahead;        /* files behind `index` that were put ahead */
    size_t window;       /* how many at once */
};

/* A text of .systemefs as it was a moment ago, for files that are read without being opened. */
struct text_shot {
    char *text;
    size_t len;
    int64_t taken_ms, mtime_ns; /* mono; wall */
};

/* A file or directory of drafts/ or trash/, while the kernel knows it. */
struct shelf_node {
    char *path;
    uint64_t lookups;
};

/* A reason that went with its draft. A program that removes both (rm -r) has read its name already:
 * for that one it is still there for a moment. */
#define GHOSTS   64
#define GHOST_MS 5000
struct ghost {
    char *path;
    int64_t until_ms;
    pid_t process;
};

/* A record that a program has renamed away, when another program has removed the copy since: see
 * renamed_away(). */
#define AWAY_MAX 16
struct away {
    struct node node;
    pid_t process; /* 0: nothing */
};

struct tree {
    struct store *store;
    struct shelf *shelf;
    struct bases *bases;
    struct brake brake;
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
    bool ending; /* tree_destroy() has begun */
    bool no_open;

    struct map values; /* key of a KIND_*_FIELD node -> struct value_node */
    size_t values_sweep_at;
    struct map open_inodes;      /* ino -> struct open_inode */
    struct ghost ghosts[GHOSTS]; /* a ring */
    unsigned next_ghost;
    struct away away[AWAY_MAX]; /* a ring */
    unsigned next_away;
    struct map shelf_nodes; /* key of a KIND_SHELF_* node -> struct shelf_node */
    struct list scratch;    /* oldest first */
    size_t scratch_count;
    uint64_t scratch_next, made_next;
    uint64_t last_ticket;    /* of a notification to the kernel */
    struct list files, dirs; /* that are open: a signal ends the mount under their readers */
    struct dir_pages dir_pages[KIND_COUNT];
    uint64_t last_filler;
    uint64_t contents[RES_COUNT], dropped[RES_COUNT]; /* records that have changed; that are gone */
    bool names_told[RES_COUNT]; /* whether the kernel may have symlinks of by-name/ */
    struct ahead ahead;
    struct text_shot shots[TEXT_COUNT];
};

struct tree_dir {
    struct node node;
    struct walk *walk; /* what it lists besides its fixed children; NULL: not begun, or nothing */
    bool reading;      /* counted as a reader of the walk */
    bool started;      /* something of the walk was emitted */
    size_t index;      /* where the reader that got `last_cookie` goes on */
    bool second;       /* at ID/ of walk->keys[index], ID.json is done */
    uint64_t last_cookie;
    /* Of a FORM_SHELF directory, as it was when it was begun; each with its NUL. */
    struct buf names;
    bool cache, keep_cache; /* what the kernel may do with the names */
    uint64_t filler;        /* see pages.c; 0: what it reads is not one whole walk */
    struct list open;       /* in tree.dirs */
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
    /* What it is told from: what is known of the record, or its text, or that of the record whose
     * directory this is. */
    enum { ENTRY_ATTR, ENTRY_TEXT, ENTRY_OWNER_TEXT } entry_from;
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
/* What is no name of a value is scratch, in the directory of a record that is there: 0, STORE_WAIT,
 * or -errno. */
int values_owner(struct tree *t, struct op *op, struct node dir);
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
bool name_is_probe(const char *name);
int alias_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                 struct tree_attr *ret);
int names_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                 struct tree_attr *ret);
int names_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret);
bool names_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                 char name[NAME_MAX + 1], struct tree_attr *ret);
/* The record is about to have another name, or is gone: the kernel drops the symlinks to it. */
void names_forget(const struct tree *t, enum resource res, const struct record *rec);
int link_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
int link_target(const struct tree *t, struct node n, struct buf *out);

/* pages: what the kernel may serve by itself */
/* Decides what the reader of this directory gets from there (dir->cache, dir->keep_cache). */
void pages_opendir(struct tree *t, struct tree_dir *dir);
/* It has read all of dir->walk. */
void pages_listed(struct tree *t, const struct tree_dir *dir);
/* After a change or a refresh: names that have become old are dropped. */
void pages_check(struct tree *t);
/* It begins to read dir->walk. */
void ahead_listed(struct tree *t, const struct tree_dir *dir);
/* The content of a record's file is asked for: those that come next may be put ahead. */
void ahead_read(struct tree *t, struct node n);
void ahead_finish(struct tree *t);

/* text: README, .systemefs */
int text_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
int text_text(struct tree *t, struct op *op, struct node n, struct buf *out);
/* Somebody is about to read it: what changes all the time is to be of now. */
void text_looked_up(struct tree *t, struct node n);
void text_free_all(struct tree *t);
extern const char tree_readme[];
/* ctl: one line. control_prepare() finds the faults in it and waits for what it needs, so that
 * control_run() need not wait, or waits for what a refresh just before it has ended. */
int control_prepare(struct tree *t, struct op *op, char *line);
int control_run(struct tree *t, struct op *op, char *line);
int control_help(struct buf *out);
/* A word written to a record's action file. */
int control_action(struct tree *t, struct op *op, struct node n, const char *text, size_t len);

/* scratch: files in memory */
struct scratch *scratch_find(const struct tree *t, uint64_t dir, const char *name);
struct scratch *scratch_of(const struct tree *t, struct node n);
/* -ENOSPC when there are too many. `target` NULL: a file. */
int scratch_make(struct tree *t, uint64_t dir, const char *name, enum scratch_role role,
                 const char *target, struct scratch **ret);
/* It loses its name, and goes when nobody has it any more. */
void scratch_unname(struct tree *t, struct scratch *s);
/* Another program takes its name away, or removes it: whoever has renamed a record to it does not
 * know, and still does not mean the record. */
void scratch_taken(struct tree *t, const struct op *op, const struct scratch *s);
/* That is over: the program has saved the record, or put its old file back. */
void away_over(struct tree *t, pid_t process, struct node n);
/* It takes another name, in place of whatever scratch has that. */
void scratch_move(struct tree *t, const struct op *op, struct scratch *s, uint64_t dir,
                  const char *name);
/* Whether it can have that many bytes. */
int scratch_room(const struct tree *t, const struct scratch *s, size_t size);
void scratch_release(struct tree *t, struct scratch *s);
void scratch_free_all(struct tree *t);
void scratch_attr(const struct tree *t, const struct scratch *s, struct tree_attr *ret);
int scratch_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
/* The next one of that directory with an id above `after`; NULL: none. Names of records are left
 * out. */
struct scratch *scratch_next(const struct tree *t, uint64_t dir, uint64_t after);
/* The name under which a record was just made answers as a symlink to it. */
void scratch_name_record(struct tree *t, uint64_t dir, const char *name, struct node record);

/* shelf: drafts and trash */
int kept_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret);
int kept_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                struct tree_attr *ret);
int kept_text(struct tree *t, struct op *op, struct node n, struct buf *out);
int kept_path(const struct tree *t, struct node n, struct buf *out);
/* Emits the entries behind the first `after` bytes of their names; a cookie is that plus `base`. */
int kept_readdir(struct tree *t, struct tree_dir *dir, uint64_t after, uint64_t base,
                 tree_emit_fn *emit, void *data);
struct shelf_node *shelf_node_of(const struct tree *t, struct node n);
int kept_unlink(struct tree *t, struct op *op, struct node dir, const char *name);
void kept_free_all(struct tree *t);

/* write: texts on their way to the account */
/* What a text is to become. */
struct target {
    struct node node; /* the record or value that it is to be; KIND_ROOT: something new */
    struct node dir;  /* where */
    const char *name;
    enum scratch_role role; /* of something new */
    pid_t writer;           /* process whose text it is, 0: not known */
};
/* Begins it: 0, STORE_WAIT, or -errno; the job is op->job. `base` NULL: what the process
 * has opened. */
int write_begin(struct tree *t, struct op *op, const struct target *target, const char *text,
                size_t len, const char *base);
/* The value is cleared; what it was goes to the trash. */
int write_clear(struct tree *t, struct op *op, const struct target *target, const char *base,
                const char *value);
/* Waits for its end, and takes note of it. */
int write_end(struct tree *t, struct op *op, const struct target *target);
/* A record's file, or that of a value, is opened to be read. */
void write_opened(struct tree *t, const struct op *op, struct node n, const struct record *rec);
/* Fills in what a name in that directory stands for: a new record of it, or the item `listed` put
 * in or taken out. */
void order_record(struct node dir, struct save_order *order);
void order_item(struct node dir, uint64_t listed, bool in, struct save_order *order);
/* The same, to put it in: -EEXIST where it is in, as of now: may ask. Put in once more, a tag would
 * start its automations once more. */
int order_new_item(struct tree *t, struct op *op, struct node dir, uint64_t listed,
                   struct save_order *order);
/* The record whose content a file shows, if it is known; its text may not be at hand. */
struct record *record_behind(const struct tree *t, struct node n);
/* The same with its text: 0, STORE_WAIT, or -errno; -ENOENT: it is not known. */
int record_text_behind(struct tree *t, struct op *op, struct node n, struct record **ret);
/* Whoever has it open last closes it. */
void tree_file_last(struct tree *t, struct tree_file *file);
/* The compact text that a save by the caller's process is a change of: 0, STORE_WAIT, or -errno.
 * NULL: not known. */
int write_base(struct tree *t, struct op *op, struct node n, char **ret);
/* Whether it looks like an address that somebody could have. */
bool name_could_be_email(const char *s, size_t len);
/* Whether a name is none of a record, in whatever directory: an editor's, or a tool's own. */
bool name_is_scratch(const char *name);
/* The record, or value, that a text would be saved to under that name: 0, STORE_WAIT, -ENOENT:
 * none. */
int target_find(struct tree *t, struct op *op, struct node dir, const char *name, struct node *ret);
/* What a new name is for: a role, or -errno with the reason. */
int target_role(struct tree *t, struct op *op, struct node dir, const char *name,
                enum scratch_role *ret);
pid_t op_process(struct tree *t, const struct op *op);
/* The record of `res` that a person means by `text`: an id, or its own name. May wait; -ENOENT. */
int record_meant(struct tree *t, struct op *op, enum resource res, const char *text, uint64_t *ret);

/* change, move: names made, removed, moved */
/* The path of a name in a directory, for drafts, trash and messages. */
int change_path(struct tree *t, struct node dir, const char *name, struct buf *out);
/* -ENOTDIR, or 0 and the node. */
int change_directory(uint64_t ino, struct node *ret);
/* {"name":"VIP"}: the members (at most two, then NULL) that a name alone is the value of. */
int change_document(const char *const members[2], const char *name, size_t len, struct buf *out);

/*
 * Whether this process has renamed the record away before, and still has it under the other name,
 * for all it knows.
 * An editor that does so takes what stands at the record's name for its own new file; when its save
 * is refused, it removes that and renames the old one back. It does not mean the record.
 */
bool renamed_away(struct tree *t, const struct op *op, struct node n);

/* A number that is of this tree, and not made up by the kernel. */
static inline bool node_known(struct node n)
{
    return n.kind < KIND_COUNT;
}

/* A record's own file. */
static inline struct node record_node(enum resource res, uint64_t key)
{
    return (struct node){.kind = shape_of(shape_home(res))->entry, .key = key};
}

static inline const struct form *form_of(struct node n)
{
    return &forms[shape_of(n.kind)->form];
}
