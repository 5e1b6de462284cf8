#include "kernel_model.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct kernel k;

static int64_t now_ms(void)
{
    return clock_mono_ms(&k.grove->w.clock.clock);
}

/* ---- replies ---- */

static void learn(uint64_t node, const struct fuse_attr *attr)
{
    fuzz_check(attr->ino == node);
    uint32_t type = attr->mode & S_IFMT;
    fuzz_check(type == S_IFREG || type == S_IFDIR || type == S_IFLNK);
    fuzz_check(attr->size <= INT64_MAX && attr->mtimensec < 1000000000);
    /* Scratch that has no name any more has no link either. */
    enum node_kind kind = node_from_ino(node).kind;
    fuzz_check(attr->nlink >= 1 || kind == KIND_SCRATCH || kind == KIND_SCRATCH_LINK);
    for (size_t i = 0; i < k.node_count; i++)
        if (k.nodes[i] == node) {
            k.lookups[i]++;
            return;
        }
    if (k.node_count == NODES_MAX)
        return; /* a kernel that forgets at once would do as well */
    k.nodes[k.node_count] = node;
    k.lookups[k.node_count++] = 1;
}

static void learn_entry(const struct fuse_entry_out *entry, bool may_be_missing)
{
    fuzz_check(entry->entry_valid_nsec < 1000000000 && entry->attr_valid_nsec < 1000000000);
    if (!entry->nodeid) {
        fuzz_check(may_be_missing);
        return;
    }
    learn(entry->nodeid, &entry->attr);
}

static void learn_handle(const struct fuse_open_out *open, bool dir, uint64_t node)
{
    size_t i = 0;
    while (i < HANDLES_MAX && k.handles[i].open)
        i++;
    fuzz_check(i < HANDLES_MAX); /* see room_for_handle() */
    k.handles[i] = (struct handle){.open = true, .dir = dir, .fh = open->fh, .node = node};
}

static void check_name(const char *name, size_t len)
{
    fuzz_check(len > 0 && len <= NAME_MAX && !memchr(name, '/', len) && !memchr(name, 0, len));
}

static void learn_directory(const struct asked *a, const char *bytes, size_t len, bool plus)
{
    struct handle *h = &k.handles[a->handle];
    while (len) {
        struct fuse_entry_out entry = {0};
        struct fuse_dirent d;
        size_t head = plus ? offsetof(struct fuse_direntplus, dirent) : 0;
        fuzz_check(len >= head + offsetof(struct fuse_dirent, name));
        if (plus)
            memcpy(&entry, bytes, sizeof(entry));
        memcpy(&d, bytes + head, offsetof(struct fuse_dirent, name));
        const char *name = bytes + head + offsetof(struct fuse_dirent, name);
        size_t whole = FUSE_DIRENT_ALIGN(head + offsetof(struct fuse_dirent, name) + d.namelen);
        fuzz_check(whole <= len);
        check_name(name, d.namelen);
        fuzz_check(d.off != 0 && d.off <= INT64_MAX && d.off != h->offset);
        bool dots = d.namelen <= 2 && strncmp(name, "..", d.namelen) == 0;
        if (plus && !dots && entry.nodeid)
            learn_entry(&entry, true);
        h->offset = d.off;
        bytes += whole;
        len -= whole;
    }
}

static void learn_reply(struct asked *a, const char *bytes, size_t len)
{
    struct fuse_entry_out entry;
    struct fuse_open_out open;
    struct fuse_attr_out attr;
    struct fuse_write_out written;
    switch (a->opcode) {
    case FUSE_LOOKUP:
    case FUSE_MKDIR:
    case FUSE_LINK:
    case FUSE_SYMLINK:
        fuzz_check(len == sizeof(entry));
        memcpy(&entry, bytes, sizeof(entry));
        learn_entry(&entry, a->opcode == FUSE_LOOKUP);
        break;
    case FUSE_CREATE:
        fuzz_check(len == sizeof(entry) + sizeof(open));
        memcpy(&entry, bytes, sizeof(entry));
        memcpy(&open, bytes + sizeof(entry), sizeof(open));
        learn_entry(&entry, false);
        learn_handle(&open, false, entry.nodeid);
        break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        fuzz_check(len == sizeof(open));
        memcpy(&open, bytes, sizeof(open));
        learn_handle(&open, a->opcode == FUSE_OPENDIR, a->nodes[0]);
        break;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        fuzz_check(len == sizeof(attr));
        memcpy(&attr, bytes, sizeof(attr));
        fuzz_check(attr.attr.ino == a->nodes[0] && attr.attr_valid_nsec < 1000000000);
        fuzz_check(attr.attr.mtimensec < 1000000000);
        break;
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
        fuzz_check(len <= a->room);
        learn_directory(a, bytes, len, a->opcode == FUSE_READDIRPLUS);
        break;
    case FUSE_READ:
        fuzz_check(len <= a->room);
        break;
    case FUSE_WRITE:
        fuzz_check(len == sizeof(written));
        memcpy(&written, bytes, sizeof(written));
        fuzz_check(written.size <= a->room);
        break;
    case FUSE_READLINK:
        fuzz_check(len > 0 && len < PATH_MAX && *bytes != '/' && !memchr(bytes, 0, len));
        break;
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
        fuzz_check(a->room ? len <= a->room : len == sizeof(struct fuse_getxattr_out));
        break;
    default:
        break;
    }
}

/* libfuse gives a reply in pieces. */
ssize_t take_reply(int fd UNUSED, struct iovec *iov, int count, void *data UNUSED)
{
    struct fuse_out_header out;
    char *bytes;
    size_t total = 0, at = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    fuzz_check(total >= sizeof(out));
    bytes = malloc(total);
    fuzz_check(bytes);
    for (int i = 0; i < count; at += iov[i++].iov_len)
        if (iov[i].iov_len)
            memcpy(bytes + at, iov[i].iov_base, iov[i].iov_len);
    memcpy(&out, bytes, sizeof(out));
    fuzz_check(out.len == total && out.error <= 0 && out.error > -1000);
    struct asked *a = NULL;
    for (size_t i = 0; i < k.count; i++)
        if (k.asked[i].unique == out.unique)
            a = &k.asked[i];
    fuzz_check(a && !a->replied); /* asked for, and not answered before */
    a->replied = true;
    fuzz_check(now_ms() - a->at_ms <= WORLD_TIMEOUT_MS + SLACK_MS);
    if (out.error == 0)
        learn_reply(a, bytes + sizeof(out), total - sizeof(out));
    free(bytes);
    return (ssize_t)total;
}

/* ---- requests ---- */

struct asked *pending_on(uint64_t node)
{
    for (size_t i = 0; i < k.count; i++)
        if (!k.asked[i].replied && (k.asked[i].nodes[0] == node || k.asked[i].nodes[1] == node))
            return &k.asked[i];
    return NULL;
}

bool handle_busy(int handle)
{
    for (size_t i = 0; i < k.count; i++)
        if (!k.asked[i].replied && k.asked[i].handle == handle)
            return true;
    return false;
}

void wait_for(const struct asked *a)
{
    while (!a->replied) {
        fuzz_check(now_ms() - a->at_ms <= WORLD_TIMEOUT_MS + SLACK_MS);
        world_advance(&k.grove->w, 1000);
        requests_check_interrupts(&k.session);
    }
}

void wait_node(uint64_t node)
{
    struct asked *a;
    while ((a = pending_on(node)))
        wait_for(a);
}

struct asked *send_request(uint32_t opcode, uint64_t node, uint64_t other, int handle,
                           const void *args, size_t args_len, const void *more, size_t more_len)
{
    static uint64_t last_unique;
    static _Alignas(8) char bytes[sizeof(struct fuse_in_header) + 512 + 2 * DATA_MAX];
    struct fuse_in_header in = {
        .len = (uint32_t)(sizeof(in) + args_len + more_len),
        .opcode = opcode,
        .unique = last_unique += 2,
        .nodeid = node,
        .uid = 1000,
        .gid = 1000,
        .pid = (uint32_t)getpid(),
    };
    fuzz_check(in.len <= sizeof(bytes) && k.count < ARRAY_SIZE(k.asked));
    struct asked *a = &k.asked[k.count++];
    *a = (struct asked){
        .unique = in.unique,
        .opcode = opcode,
        .nodes = {node, other},
        .handle = handle,
        .at_ms = now_ms(),
    };
    a->replied = opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
    memcpy(bytes, &in, sizeof(in));
    if (args_len)
        memcpy(bytes + sizeof(in), args, args_len);
    if (more_len)
        memcpy(bytes + sizeof(in) + args_len, more, more_len);
    if (args_len >= sizeof(uint32_t) &&
        (opcode == FUSE_READ || opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS))
        a->room = ((const struct fuse_read_in *)args)->size;
    if (opcode == FUSE_WRITE)
        a->room = ((const struct fuse_write_in *)args)->size;
    if (opcode == FUSE_GETXATTR || opcode == FUSE_LISTXATTR)
        a->room = ((const struct fuse_getxattr_in *)args)->size;
    const struct fuse_buf buf = {.size = in.len, .mem = bytes};
    fuse_session_process_buf(k.session.fuse, &buf);
    return a;
}

bool room_for_handle(void)
{
    size_t used = 0;
    for (size_t i = 0; i < HANDLES_MAX; i++)
        used += k.handles[i].open;
    for (size_t i = 0; i < k.count; i++)
        used += !k.asked[i].replied &&
                (k.asked[i].opcode == FUSE_OPEN || k.asked[i].opcode == FUSE_OPENDIR ||
                 k.asked[i].opcode == FUSE_CREATE);
    return used < HANDLES_MAX;
}

void release(int h)
{
    struct fuse_release_in in = {.fh = k.handles[h].fh};
    if (handle_busy(h))
        return;
    k.handles[h].open = false;
    send_request(k.handles[h].dir ? FUSE_RELEASEDIR : FUSE_RELEASE, k.handles[h].node, 0, -1, &in,
                 sizeof(in), NULL, 0);
}
