/*
 * tree/scratch: names that are only here: an editor's swap file, a backup, a lock, a temporary file
 * that will be renamed; and a new record until it is one.
 *
 * Held in memory, never sent as it is, gone when removed or unmounted. What a name is for is
 * decided when it is made (tree/change.c):
 *
 *   SCRATCH_LOCAL     nothing but itself
 *   SCRATCH_RECORD    becomes a record when a whole document is closed
 *   SCRATCH_ITEM      puts what its document or name says into a set
 *   SCRATCH_REFUSED   the name of a record that is not there: closing it fails, the text stays a
 * draft SCRATCH_NAME      a symlink: the name under which a record was made; not listed
 *
 * All who have it open share one text, as with any file. Once it has become a record, what is
 * written through a descriptor that is still open is a save of that record.
 *
 * Layer: tree.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "systemefs/base/buf.h"
#include "systemefs/base/list.h"
#include "systemefs/tree/shape.h"

#define SCRATCH_FILES_MAX 4096
#define SCRATCH_TEXT_MAX  ((size_t)64 << 20)  /* bytes of one file */
#define SCRATCH_BYTES_MAX ((size_t)256 << 20) /* of all */

enum scratch_role { SCRATCH_LOCAL, SCRATCH_RECORD, SCRATCH_ITEM, SCRATCH_REFUSED, SCRATCH_NAME };

struct scratch {
    struct list all;
    uint64_t id;  /* rises: the order of listings */
    uint64_t dir; /* inode of its directory; 0: it has no name any more */
    char name[NAME_MAX + 1];
    enum scratch_role role;
    char *target; /* a symlink; NULL: a file */
    struct buf text;
    int64_t mtime_ns;
    uint64_t home;       /* inode of the directory in which it was made */
    bool dirty;          /* written, and not yet saved */
    pid_t writer;        /* process that wrote last */
    struct node becomes; /* while a rename sends it: what it will be, KIND_ROOT: something new */
    enum scratch_role becomes_role;
    struct node copy_of; /* the record that a rename has taken it from; KIND_ROOT: none */
    pid_t copied_by;
    struct node record; /* what it has become, or what SCRATCH_NAME names; KIND_ROOT: none */
    uint64_t lookups;   /* of the kernel */
    unsigned opens;
};

static inline struct node scratch_node(const struct scratch *s)
{
    return (struct node){.kind = s->target ? KIND_SCRATCH_LINK : KIND_SCRATCH, .key = s->id};
}
