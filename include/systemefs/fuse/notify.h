/*
 * fuse/notify: telling the kernel, from a thread of its own.
 *
 * fuse_lowlevel_notify_inval_inode() can wait for a page that is locked for a READ which lies
 * unread in our queue: called from the loop it would wait for itself for ever (libfuse,
 * doc/README.notifications). So the loop only appends to a queue, and this thread makes the
 * calls, one after the other. Each has a ticket; tickets are done in order. When some are done, a
 * descriptor becomes readable and notify_collect() wakes the operations that wait for them.
 *
 * The same goes for fuse_lowlevel_notify_store(), which puts a text into the kernel's pages before
 * it is asked for. It goes through the queue of the inodes, so that of two contents the later one
 * comes last. It cannot meet what a person writes: files that are written do not use the pages.
 *
 * For inodes a READ is never parked (but with "ro", where nobody waits for this thread), so it
 * never waits for long. A name is another matter: notify_inval_entry() takes the lock of the
 * directory, which the kernel holds for as long as a lookup in it is parked here: one slow request
 * would hold up every other file's news. So names have a queue and a thread of their own, nobody
 * waits for them, and only two things need them: a record that was renamed to a scratch name, where
 * the kernel has moved its entry, and the symlinks to a record that is called otherwise by now. A
 * record that is gone needs no such call: its inode is invalidated, the next use of it is answered
 * ESTALE, and that makes the kernel look the name up again.
 *
 * The queues are the only data that threads share, under the only lock of the program.
 *
 * Errors of a notification are normal: -ENOENT (the kernel does not hold it), and -ENODEV,
 * -EBADF, -ENOTCONN while the mount goes away.
 *
 * Layer: fuse.
 */
#pragma once

#include "systemefs/store/op.h"
#include "systemefs/tree/tree.h"

struct fuse_session;
struct notify;

/* `requests`: for tree_kernel; it must live as long. */
int notify_create(struct fuse_session *session, struct store *store, const uint64_t *requests,
                  struct notify **ret);
/* What is still queued is dropped, the thread is joined. Accepts NULL. */
void notify_destroy(struct notify *n);

/* For the tree; lives as long as the notifier. */
const struct tree_kernel *notify_kernel(struct notify *n);
/* Readable when something was done since the last notify_collect(). */
int notify_fd(const struct notify *n);
/* On the loop: makes those ready to run that wait. */
void notify_collect(struct notify *n);
