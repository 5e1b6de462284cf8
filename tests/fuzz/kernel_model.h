/*
 * kernel_model: the kernel that fuzz_kernel plays: what it has asked, what it knows by now, and which
 * replies it takes (fuzz_check()).
 *
 * Layer: tests.
 */
#pragma once

#include <linux/fuse.h>

#include "fuzz.h"

#include "internal.h"
#include "world_tree.h"

#define REQUESTS_MAX 96
#define NODES_MAX    64
#define HANDLES_MAX  16
#define DATA_MAX     4096
#define SLACK_MS     2000 /* retries end a little after the deadline that they were begun before */

struct asked {
    uint64_t unique;
    uint32_t opcode;
    uint64_t nodes[2];
    int handle; /* -1: none */
    uint32_t room;
    int64_t at_ms;
    bool replied;
};

struct handle {
    bool open, dir;
    uint64_t fh, node;
    uint64_t offset; /* of a directory: behind the last entry */
};

struct kernel {
    struct session session;
    struct grove *grove;
    struct fuzz_input in;
    struct asked asked[REQUESTS_MAX + NODES_MAX + HANDLES_MAX + 8];
    size_t count;
    uint64_t nodes[NODES_MAX];
    uint64_t lookups[NODES_MAX];
    size_t node_count;
    struct handle handles[HANDLES_MAX];
    bool init_replied;
};

extern struct kernel k;

/* The request goes out at once; a reply may have come when this returns. `handle` -1: none. */
struct asked *send_request(uint32_t opcode, uint64_t node, uint64_t other, int handle,
                           const void *args, size_t args_len, const void *more, size_t more_len);

/* The first request on it that has no reply. */
struct asked *pending_on(uint64_t node);
bool handle_busy(int handle);

/* Lets the driver go on until the request is answered; whatever it is, it has a deadline. */
void wait_for(const struct asked *a);

/* An inode lock of the kernel. */
void wait_node(uint64_t node);

bool room_for_handle(void);
void release(int handle);

/* For fuse_session_custom_io(): where the replies end. */
ssize_t take_reply(int fd, struct iovec *iov, int count, void *data);
