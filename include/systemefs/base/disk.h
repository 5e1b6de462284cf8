/*
 * base/disk: a small private directory on disk, as an interface.
 *
 * Two implementations: the real one (disk_open) and that of the tests, in memory, which fails,
 * fills up and forgets what was not synced when it is told to. Paths are relative
 * ("drafts/contacts/5.json"), with "/" between names; a name that is empty, "." or "..", or that
 * begins like a temporary one is -EINVAL, one over 255 bytes -ENAMETOOLONG. No component is ever
 * followed through a symlink
 * (-ELOOP); directories are made 0700, files 0600.
 *
 * Nothing here caches. Calls may sleep on the disk.
 * Layer: base. Errors are -errno of the system calls.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "systemefs/base/buf.h"

#define DISK_TEMPORARY ".writing-" /* what the names of temporary files begin with */

struct disk_info {
    bool dir;
    uint64_t size; /* bytes; of a directory 0 */
    int64_t mtime_ns;
};

/* How to write; flags. */
enum disk_how {
    DISK_FRESH = 1,    /* -EEXIST where there is something by that name already */
    DISK_UNSYNCED = 2, /* lost, or empty, when the power fails soon afterwards; not when the process
                        * dies */
};

typedef void disk_each_fn(void *data, const char *name, const struct disk_info *info);

struct disk {
    /* All or nothing, also when the power fails: written beside it, fsync'd, renamed over it, the
     * directory fsync'd (and every directory that had to be made). `how` are flags of
     * enum disk_how. Where only the last fsync fails, the new content is there and the call has
     * failed. */
    int (*write)(struct disk *d, const char *path, const void *bytes, size_t len, unsigned how);
    /* Appends to `out`, which is as before when it fails. What is no file is -EISDIR or -EINVAL. */
    int (*read)(struct disk *d, const char *path, struct buf *out);
    int (*stat)(struct disk *d, const char *path, struct disk_info *ret); /* "" is the root */
    /* A file, or an empty directory (else -ENOTEMPTY). Not synced: when the power fails soon
     * afterwards it may be there again, until something is written to the same directory. */
    int (*remove)(struct disk *d, const char *path);
    /* Every entry but temporary ones; in the order of their names (strcmp). "" lists the root.
     * `each` may call the disk; what it removes is not told any more. */
    int (*list)(struct disk *d, const char *path, disk_each_fn *each, void *data);
    /* Locks a file that is there for as long as this process lives, or until unlock: 0 or more, a
     * handle; -EWOULDBLOCK when another handle has it, of this process or another. The lock is on
     * the file, not on its name: what is written over it is not locked. */
    int (*lock)(struct disk *d, const char *path);
    void (*unlock)(struct disk *d, int handle); /* below 0: nothing */
    void (*close)(struct disk *d);              /* handles are to be unlocked before */
};

/* What every implementation says of a path other than "": 0, -EINVAL or -ENAMETOOLONG. */
int disk_check_path(const char *path);

/*
 * The real one. Makes the directory (0700) and those above it where they are missing, and removes
 * the temporary files that a crash left. -ELOOP when it is a symlink, -EPERM when it belongs to
 * somebody else or others may do anything in it, whatever else the system says: each with a
 * sentence in `why`.
 */
int disk_open(const char *directory, struct disk **ret, struct buf *why);
/* Accepts NULL. */
void disk_close(struct disk *d);
