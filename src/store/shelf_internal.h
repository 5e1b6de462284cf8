/*
 * store/shelf, the inside: shelf.c keeps, shelf_base.c knows what a draft was a change of,
 * shelf_path.c says under which name, shelf_show.c is what people see of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "systemefs/base/list.h"
#include "systemefs/store/shelf.h"

#define SHELF_DRAFTS   "drafts"
#define SHELF_TRASH    "trash"
#define SHELF_BASES    "bases"
#define SHELF_REASON   ".reason"
#define SHELF_PATH_MAX ((size_t)64 << 10) /* bytes; sixteen times what the kernel takes */

/* Of a refused draft: a second try of the same process replaces it. */
struct kept {
    struct list link;
    char *path;
    size_t base_len; /* bytes of `path` without its number */
    pid_t owner;
    uint64_t hash; /* of its bytes: what is there now may be another's */
    int64_t at_ms;
};

struct shelf {
    struct disk *disk; /* or NULL */
    const struct clock *clock;
    struct list under_way;
    struct list gone; /* drafts that are removed; shelf_turn() lets go of them */
    struct list kept; /* newest first */
    unsigned kept_count;
};

struct draft {
    struct list link; /* under_way, or gone */
    struct shelf *shelf;
    struct kept *kept; /* what it will be when it is refused */
    int lock;          /* below 0: could not be had */
    bool based;        /* its base is there */
};

/* ---- shelf_path.c ---- */

static inline void shelf_path_init(struct buf *b)
{
    buf_init(b, SHELF_PATH_MAX);
}

/* "drafts" and "a//b/.c" -> "drafts/a/b/c~0123456789abcdef". Two paths are kept in two places.
 * -EINVAL: no name in it; or the buffer's error. */
int shelf_path(const char *shelf, const char *path, struct buf *out);

/* Sets `out` to version `n` of a kept path: "a", "a.2", "a.3", with `suffix` behind. 0 or the
 * buffer's error. */
int shelf_version(const char *base, unsigned n, const char *suffix, struct buf *out);

/* Sets `out` to a version that is free, and whose reason is: the first one where no version was
 * ever removed. Looks at a few of them, however many there are. -ENOSPC: at the end of the numbers.
 */
int shelf_free_version(struct disk *disk, const char *base, struct buf *out);

bool shelf_is_reason(const char *path);

/* Bytes of a kept path without its number. */
size_t shelf_unversioned(const char *path);

/* ---- shelf_base.c ---- */

/* Removes the base of a draft at `path` that had those bytes. */
void shelf_remove_base(struct shelf *s, const char *path, uint64_t hash);
/* Has it outlast a power failure: the draft is refused, and stays. */
void shelf_sync_base(struct shelf *s, const char *path, uint64_t hash);
/* At the start: removes the bases of drafts that are gone. */
void shelf_sweep_bases(struct shelf *s);

/* ---- shelf.c ---- */

/* Every file below drafts/, also a reason; true: it counts. Returns how many did. */
typedef bool shelf_each_fn(struct shelf *s, const char *path, void *data);
unsigned shelf_visit_drafts(struct shelf *s, shelf_each_fn *each, void *data);

/* What is not there is removed, too; what fails is logged. */
void shelf_remove_quietly(struct shelf *s, const char *path);

/* Removes what a draft at `path` that is gone leaves: its reason, and empty directories. */
void shelf_remove_reason(struct shelf *s, const char *path);
/* Removes the directories above `path` that are empty, but for drafts/ and trash/ themselves. */
void shelf_prune(struct shelf *s, const char *path);
