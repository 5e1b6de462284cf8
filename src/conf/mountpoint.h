/*
 * conf/mountpoint (private): what /proc/self/mountinfo says of a path (proc(5)).
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#define MOUNT_TYPE_MAX 64 /* bytes of a file system's type, NUL included */

struct mount_entry {
    char type[MOUNT_TYPE_MAX]; /* "fuse.systemefs" */
    bool has_user;
    uid_t user; /* FUSE: who mounted it */
};

/* The topmost mount on exactly that absolute path; false when there is none. */
bool mountpoint_find(FILE *mountinfo, const char *path, struct mount_entry *ret);
