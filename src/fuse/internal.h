/* fuse/internal: what session and ops share. */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <stdatomic.h>

#include "systemefs/base/list.h"
#include "systemefs/fuse/notify.h"
#include "systemefs/fuse/session.h"

struct session {
    struct fuse_session *fuse;
    struct http *http;
    struct net *net;
    struct store *store;
    struct tree *tree;
    struct journal *journal;
    const struct clock *clock;
    struct notify *notify;
    uid_t uid;
    gid_t gid;
    void (*ready)(void *data);
    void *data;

    bool mounted;
    bool answers;          /* FUSE_INIT is done */
    bool parallel_dirops;  /* the kernel offers it */
    bool no_open;          /* opens are answered ENOSYS, once: no more come */
    atomic_bool init_sent; /* the notifier's thread writes too */
    bool told_ready;
    int signal_fd;
    struct fuse_buf input;
    int cpus;            /* that the loop may run on */
    int poll_credit;     /* see look_again() */
    int64_t answered_ns; /* when the last request was answered */
    uint64_t taken;       /* requests of the kernel so far */
    struct list requests; /* parked */
    unsigned suspects;    /* parked ones whose caller got a signal that may not be meant for us */
    int64_t look_again_ms;
};

extern const struct fuse_lowlevel_ops session_ops;

/* Looks at the requests that were interrupted: those whose caller is to die are answered. */
void requests_check_interrupts(struct session *s);
/* Answers every request under way with this errno. */
void requests_end_all(struct session *s, int error);
