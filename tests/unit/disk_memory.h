/*
 * disk_memory: a disk (base/disk) in memory, that does as it is told.
 *
 *     struct disk_memory m;
 *     disk_memory_init(&m);
 *     ... &m.disk ...
 *     m.fail_in = 2, m.fail_with = EIO;       // the second call from now fails, once
 *     m.fail_for = UINT_MAX;                  // and every one after it: the process is dead
 *     m.fail_late = true;                     // what fails has been done all the same
 *     m.room = 100;                           // bytes of all files together
 *     m.read_only = true;
 *     disk_memory_crash(&m);                  // the power fails, and comes back
 *     disk_memory_finish(&m);
 *
 * As on a real one: a lock is on the file, not on its name; a removal is forgotten by a crash, but
 * for what was written to the same directory since. A lock "held by another" is one that the test
 * takes itself. Running out of memory ends the test program.
 *
 * Layer: tests. Links base and cmocka.
 */
#pragma once

#include "systemefs/base/disk.h"

#define DISK_MEMORY_LOCKS 64

struct disk_memory_file {
    char *path; /* "" is the root */
    bool dir;
    bool removed;  /* but a crash brings it back */
    bool unsynced; /* and takes this away */
    char *bytes;
    size_t len;
    uint64_t inode;
};

struct disk_memory {
    struct disk disk;

    /* what it is told */
    unsigned fail_in;  /* calls until one fails; 0: none does. Counts down */
    unsigned fail_for; /* so many from then on; 0 is 1 */
    int fail_with;     /* errno */
    bool fail_late;
    size_t room;
    bool read_only;

    /* what a test may look at */
    unsigned calls;    /* since init, but unlock and close */
    unsigned failures; /* that it was told to meet, so far */
    unsigned writes;   /* that reached the disk, synced */

    /* private */
    struct disk_memory_file *files;
    size_t count;
    uint64_t inodes;
    uint64_t locks[DISK_MEMORY_LOCKS]; /* inodes; 0: the handle is free */
};

void disk_memory_init(struct disk_memory *m);
void disk_memory_finish(struct disk_memory *m);
/* Locks are gone, files are as they were synced, and nothing fails any more. */
void disk_memory_crash(struct disk_memory *m);
/* The content, NUL-terminated, valid until the file changes; NULL: there is no such file. Does not
 * count as a call. */
const char *disk_memory_text(struct disk_memory *m, const char *path);
/* Locks that are held. */
unsigned disk_memory_locked(const struct disk_memory *m);
