/*
 * fuse/request: one request of the kernel, from the moment it is read to its one reply.
 *
 *   request_new -> request_start -> run() -> replied
 *                                    |  ^
 *                                    v  |  resumed by the store, or
 *                                  parked    interrupted, past its deadline, unmounted -> replied
 *
 * A handler replies itself when it succeeds; every failure goes through request_fail(), which
 * notes the reason first. Owns its copies of what libfuse lends for the time of the callback.
 */
#pragma once

#include "internal.h"

struct request;

/* A kind of request. `run` replies and returns 0, or returns STORE_WAIT or -errno. */
struct handler {
    const char *name; /* as `errors` shows it */
    int (*run)(struct request *r);
    bool follow_up; /* comes after a lookup that has asked: see op.follow_up */
};

struct request {
    struct op op;
    struct session *session;
    const struct handler *handler;
    struct list all; /* in session->requests while parked */
    fuse_req_t req;
    fuse_ino_t ino;
    struct fuse_file_info fi;
    char *name; /* of the entry in the directory `ino`, or NULL */
    char *data; /* what is written; the name of an attribute; a second name */
    size_t size;
    off_t offset;
    fuse_ino_t other; /* a second directory, or what is linked */
    unsigned flags;   /* of rename; what setattr sets */
    uint64_t ticket;  /* of the kernel's notifications that it waits for at its end */
    bool written;     /* what it writes has been carried out */
    bool interrupted;
};

/* NULL: no memory, and the kernel has its answer. */
struct request *request_new(fuse_req_t req, const struct handler *handler, fuse_ino_t ino,
                            const char *name, const struct fuse_file_info *fi);
/* Runs it for the first time. It may be gone afterwards. */
void request_start(struct request *r);
/* Replies with an errno (negative), and ends it. */
void request_fail(struct request *r, int error);
