/*
 * store/shelf: what must not be lost, on disk: drafts and trash.
 *
 *   drafts/PATH          what a person saved at PATH, before it is sent; gone when the API has it
 *   drafts/PATH.reason   why it was not taken: one line of text
 *   drafts/PATH.2 ...    where PATH is kept already
 *   bases/HASH           what a draft was a change of; not shown
 *   trash/PATH, PATH.2   the last known content of what was removed; every version
 *
 * A draft under way is locked, so that another mount over the same directory does not take it for
 * one that a crash left behind. At creation, every draft that nobody holds and that has no reason
 * gets one: "interrupted; it may have been sent".
 *
 * A save replaces the older draft of its path when both come from the same process (an editor that
 * tries again, within the hour: numbers of processes are used again) or hold the same bytes (the
 * draft copied onto the record; the first 16 are looked at); otherwise it gets a number: somebody
 * else's text is never overwritten, and the old one is there until the new one is.
 *
 * A whole record that is saved again later (the draft copied onto the record) must not take back
 * what others have changed since: so what it was a change of is kept, too, and found by its path
 * and its bytes. It is not synced: who loses it in a power failure has what he has without it.
 *
 * PATH is the path below the mount point, as a person typed it. A name that is too long for
 * ".reason" or ".2" behind it is cut at a character, with a hash of the whole in its place:
 * "beginning~0123456789abcdef". So is one that could be taken for a name made here: that ends in
 * ".reason", in ".2" or in such a hash, or that begins with a dot (which it loses). Other names
 * stay as they are.
 *
 * Layer: store. Calls base. Sleeps on the disk (fsync).
 */
#pragma once

#include <sys/types.h>

#include "systemefs/base/buf.h"
#include "systemefs/base/clock.h"
#include "systemefs/base/disk.h"

#define SHELF_TEXT_MAX ((size_t)8 << 20) /* bytes of one file, or it could not be read back */

struct shelf;
struct draft; /* one under way */

/* `disk` NULL: there is none (then both are empty, and keeping something fails with -EROFS). Disk
 * and clock outlive the shelf. 0 or -ENOMEM; what the disk refuses is logged. */
int shelf_create(struct disk *disk, const struct clock *clock, struct shelf **ret);
/* Drafts still under way are left as they are, on disk; their structs are freed. Accepts NULL. */
void shelf_destroy(struct shelf *s);

/* On disk when it returns 0. `owner` is the process that saved, 0: not known. -EINVAL: there is no
 * name in the path; -ENOTDIR where a name in it is kept as a file; else the disk's errors. */
int draft_begin(struct shelf *s, const char *path, pid_t owner, const void *bytes, size_t len,
                struct draft **ret);
/* Notes what it is a change of: the record as it was opened. What fails is logged. Not synced
 * before the draft is refused: most are done before the power fails. */
void draft_based_on(struct draft *d, const char *base);
/* Appends what a draft of that path with those bytes is a change of, of any life of the program.
 * -ENOENT: nothing was noted. What a power failure has left of it is whatever it is: check it. */
int shelf_base(struct shelf *s, const char *path, const void *bytes, size_t len, struct buf *ret);
/* Whether there is a draft of that path with those bytes: 1, 0, or -errno of the disk. */
int shelf_is_draft(struct shelf *s, const char *path, const void *bytes, size_t len);
/* Where it is, below `drafts/`. Lives as long as the draft. */
const char *draft_path(const struct draft *d);
/* The API has it: the draft goes away, with what it replaced. The handle is not to be used any
 * more. What fails is logged. */
void draft_done(struct draft *d);
/* Lets go of the files that went away. A file system does the work of a removal when the last one
 * who has it open closes it, and that may take as long as a request: this is for when nobody waits
 * for it any more. */
void shelf_turn(struct shelf *s);
/* It stays, with its reason (of any bytes; in the file, control characters are blanks, and a
 * newline ends it). Frees it. Where the reason cannot be written, that is logged. */
void draft_refused(struct draft *d, const char *reason);

/* Keeps a content under `path`, or a free number; appends to `where` the path below `trash/`. */
int trash_put(struct shelf *s, const char *path, const void *bytes, size_t len, struct buf *where);

/* Drafts with a reason and drafts under way: all that there are, of other mounts, too. */
unsigned shelf_draft_count(struct shelf *s);

/* ---- as .systemefs/drafts/ and .systemefs/trash/ show it: `path` begins with one of these two,
 * which are always there ---- */
int shelf_stat(struct shelf *s, const char *path, struct disk_info *ret);
int shelf_read(struct shelf *s, const char *path, struct buf *out);
int shelf_list(struct shelf *s, const char *path, disk_each_fn *each, void *data);
/* A file (a draft takes its reason with it), or a directory and, for a directory, only when empty.
 * -EBUSY for a draft under way, and for the two themselves. Directories that
 * are left empty stay: whoever reads one while he empties it must not lose it under his feet. */
int shelf_remove(struct shelf *s, const char *path);
