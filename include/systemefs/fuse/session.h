/*
 * fuse/session: the mount and the program's one loop.
 *
 * The loop waits at once for the kernel (/dev/fuse), for curl's sockets (http_wait), for the
 * notifier and for signals, and sleeps for as long as nobody has anything to do: an idle mount
 * uses no CPU. Between two waits it takes the kernel's requests, lets the network and its queue
 * turn, and resumes the operations that can go on.
 *
 * SIGTERM and SIGINT end the loop and unmount; SIGHUP is "refresh".
 *
 * Layer: fuse, the top one.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "systemefs/net/http.h"
#include "systemefs/net/net.h"
#include "systemefs/store/store.h"
#include "systemefs/tree/tree.h"

struct session;

struct session_options {
    struct http *http;
    struct net *net;
    struct store *store;
    struct journal *journal;
    const struct clock *clock;
    const char *fuse_options; /* for libfuse: fsname, subtype, what the person asked for */
    bool fuse_debug;
    bool no_open; /* as in tree_options */
    uid_t uid;    /* owner shown of every file */
    gid_t gid;
    /* The kernel has taken up the mount: it answers now. */
    void (*ready)(void *data);
    void *data;
};

/* Makes the session; nothing is mounted yet. -EINVAL when libfuse refuses an option (it says
 * which on standard error). */
int session_create(const struct session_options *options, struct session **ret);
/* Unmounts if need be; every operation under way is answered. Accepts NULL. */
void session_destroy(struct session *s);

/* The kernel's cache, for tree_create(). */
const struct tree_kernel *session_kernel(struct session *s);
/* Mounts `tree`. 0 or -errno. */
int session_mount(struct session *s, struct tree *tree, const char *mountpoint);
/* Runs until the mount is gone or a signal ends it. 0 or -errno. */
int session_run(struct session *s);
/* Answers whatever is still under way and unmounts. */
void session_unmount(struct session *s);
