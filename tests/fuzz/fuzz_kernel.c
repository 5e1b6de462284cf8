/*
 * Requests of the kernel, as bytes, through the real fuse/ layer.
 *
 * The kernel is played here: FUSE_INIT first, then what the input says, each request laid out in
 * memory as /dev/fuse would give it, handed to libfuse; the replies are caught on their way out
 * (fuse_session_custom_io). As the real one, it uses only inodes, file handles and names that it
 * may (a driver believes its kernel, and libfuse its lengths): it changes one directory or file at
 * a time, releases what nobody uses, and forgets what it has looked up. All else is free: flags,
 * sizes, offsets, times, the order of things, and what is still under way.
 *
 * What must hold: one reply to each request that wants one, within the timeout; errors that are
 * errors; attributes, names and offsets that a kernel takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz.h"
#include "kernel_server.h"

#include "internal.h"

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

static struct kernel {
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
} k;

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
static ssize_t take_reply(int fd UNUSED, struct iovec *iov, int count, void *data UNUSED)
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

static ssize_t no_read(int fd UNUSED, void *buf UNUSED, size_t len UNUSED, void *data UNUSED)
{
    return 0;
}

/* ---- requests ---- */

static struct asked *pending_on(uint64_t node)
{
    for (size_t i = 0; i < k.count; i++)
        if (!k.asked[i].replied && (k.asked[i].nodes[0] == node || k.asked[i].nodes[1] == node))
            return &k.asked[i];
    return NULL;
}

static bool handle_busy(int handle)
{
    for (size_t i = 0; i < k.count; i++)
        if (!k.asked[i].replied && k.asked[i].handle == handle)
            return true;
    return false;
}

/* Lets the driver go on until the request is answered; whatever it is, it has a deadline. */
static void wait_for(const struct asked *a)
{
    while (!a->replied) {
        fuzz_check(now_ms() - a->at_ms <= WORLD_TIMEOUT_MS + SLACK_MS);
        world_advance(&k.grove->w, 1000);
        requests_check_interrupts(&k.session);
    }
}

/* An inode lock of the kernel. */
static void wait_node(uint64_t node)
{
    struct asked *a;
    while ((a = pending_on(node)))
        wait_for(a);
}

static struct asked *send_request(uint32_t opcode, uint64_t node, uint64_t other, int handle,
                                  const void *args, size_t args_len, const void *more,
                                  size_t more_len)
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

static uint64_t take_node(void)
{
    return k.nodes[fuzz_byte(&k.in) % k.node_count];
}

static int take_handle(bool dir)
{
    unsigned from = fuzz_byte(&k.in);
    for (unsigned i = 0; i < HANDLES_MAX; i++) {
        int h = (int)((from + i) % HANDLES_MAX);
        if (k.handles[h].open && k.handles[h].dir == dir)
            return h;
    }
    return -1;
}

static uint64_t take_number(void)
{
    static const uint64_t some[] = {0, 1, 2, 512, 4096, 65536, (uint64_t)1 << 20, INT64_MAX};
    unsigned b = fuzz_byte(&k.in);
    uint64_t n = 0;
    if (b < 0x80)
        return b;
    if (b < 0xc0)
        return some[b % ARRAY_SIZE(some)];
    for (unsigned i = 0; i < (b & 7U) + 1; i++)
        n = n << 8 | fuzz_byte(&k.in);
    return n;
}

/* With its NUL. Where a whole file or directory is likely to be, a likely name. */
static size_t take_name(char out[NAME_MAX + 1])
{
    static const char *const some[] = {
        "contacts",
        "tags",
        "5.json",
        "5",
        "jane@example.com.json",
        "by-email",
        "by-name",
        "fields",
        "first_name",
        "1.json",
        "1",
        "new.json",
        ".5.json.swp",
        "5.json~",
        "4913",
        ".systemefs",
        "ctl",
        "status",
        "drafts",
        "trash",
        "errors",
        "metrics",
        "requests",
        "contact_fields",
        "courses",
        "enrollments",
        "communities",
        "memberships",
        "subscriptions",
        "cancel",
        "webhooks",
        "README.md",
        "vip.json",
        "vip",
        "6.json",
        "99.json",
        "7.json",
        "sedAbCdE",
        "subscriptions",
        "x@example.com",
        "surname",
        "requests",
    };
    unsigned b = fuzz_byte(&k.in);
    if (b < 0xc0) {
        snprintf(out, NAME_MAX + 1, "%s", some[b % ARRAY_SIZE(some)]);
        return strlen(out) + 1;
    }
    size_t len = 1 + (b & 0x3f) % 40;
    if (b == 0xff)
        len = NAME_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = (char)fuzz_byte(&k.in);
        out[i] = c == '/' || c == '\0' ? 'x' : c;
    }
    out[len] = '\0';
    if (strcmp(out, ".") == 0 || strcmp(out, "..") == 0)
        out[0] = 'x';
    return len + 1;
}

/* Bytes to write: a document that is nearly one, or anything. */
static size_t take_data(char out[DATA_MAX])
{
    static const char *const some[] = {
        "{\"locale\":\"fr\"}\n",
        "{\"fields\":[{\"slug\":\"first_name\",\"value\":\"A\"}]}",
        "{\"tags\":[{\"name\":\"vip\"}]}",
        "{\"email\":\"new@example.com\"}\n",
        "{",
        "}\n",
        "refresh\n",
        "deletes 3\n",
        "log debug\n",
        "now\n",
        "Ada\n",
        "{\"name\":\"new\"}\n",
        "\n",
        "refresh contacts/5.json\n",
    };
    unsigned b = fuzz_byte(&k.in);
    if (b < 0xe0)
        return (size_t)snprintf(out, DATA_MAX, "%s", some[b % ARRAY_SIZE(some)]);
    size_t len = b == 0xff ? 2048 : b & 0x1f;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)fuzz_byte(&k.in);
    return len;
}

static bool room_for_handle(void)
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

/* ---- one request of each kind ---- */

static void ask_lookup(void)
{
    char name[NAME_MAX + 1];
    uint64_t node = take_node();
    send_request(FUSE_LOOKUP, node, 0, -1, NULL, 0, name, take_name(name));
}

static void ask_getattr(void)
{
    struct fuse_getattr_in in = {0};
    uint64_t node = take_node();
    int h = fuzz_byte(&k.in) & 1 ? take_handle(false) : -1;
    if (h >= 0) {
        in = (struct fuse_getattr_in){.getattr_flags = FUSE_GETATTR_FH, .fh = k.handles[h].fh};
        node = k.handles[h].node;
    }
    send_request(FUSE_GETATTR, node, 0, h, &in, sizeof(in), NULL, 0);
}

static void ask_setattr(void)
{
    uint64_t node = take_node();
    unsigned valid = fuzz_byte(&k.in) | fuzz_byte(&k.in) << 8;
    struct fuse_setattr_in in = {
        .valid = valid & ~(unsigned)FATTR_FH,
        .size = take_number() & INT64_MAX,
        .atime = take_number(),
        .mtime = take_number(),
        .atimensec = (uint32_t)(take_number() % 1000000000),
        .mtimensec = (uint32_t)(take_number() % 1000000000),
        .mode = (uint32_t)take_number(),
        .uid = (uint32_t)take_number(),
    };
    int h = valid & FATTR_FH ? take_handle(false) : -1;
    if (h >= 0) {
        in.valid |= FATTR_FH;
        in.fh = k.handles[h].fh;
        node = k.handles[h].node;
    }
    wait_node(node);
    send_request(FUSE_SETATTR, node, 0, h, &in, sizeof(in), NULL, 0);
}

static void ask_readlink(void)
{
    send_request(FUSE_READLINK, take_node(), 0, -1, NULL, 0, NULL, 0);
}

static void ask_open(void)
{
    uint64_t node = take_node();
    static const uint32_t flags[] = {
        O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND, O_RDWR | O_TRUNC};
    unsigned b = fuzz_byte(&k.in);
    struct fuse_open_in in = {.flags = flags[b % ARRAY_SIZE(flags)]};
    if (room_for_handle())
        send_request(FUSE_OPEN, node, 0, -1, &in, sizeof(in), NULL, 0);
}

static void ask_create(void)
{
    char name[NAME_MAX + 1];
    uint64_t node = take_node();
    struct fuse_create_in in = {.flags = O_CREAT | (fuzz_byte(&k.in) & 1 ? O_RDWR : O_WRONLY),
                                .mode = S_IFREG | (mode_t)(take_number() & 07777)};
    size_t len = take_name(name);
    wait_node(node);
    if (room_for_handle())
        send_request(FUSE_CREATE, node, 0, -1, &in, sizeof(in), name, len);
}

static void ask_read(void)
{
    int h = take_handle(false);
    struct fuse_read_in in = {.offset = take_number() & INT64_MAX,
                              .size = (uint32_t)MIN(take_number(), (uint64_t)1 << 17)};
    if (h < 0)
        return;
    in.fh = k.handles[h].fh;
    send_request(FUSE_READ, k.handles[h].node, 0, h, &in, sizeof(in), NULL, 0);
}

static void ask_write(void)
{
    char data[DATA_MAX];
    int h = take_handle(false);
    struct fuse_write_in in = {.offset = take_number() & INT64_MAX};
    in.size = (uint32_t)take_data(data);
    if (h < 0)
        return;
    in.fh = k.handles[h].fh;
    wait_node(k.handles[h].node);
    send_request(FUSE_WRITE, k.handles[h].node, 0, h, &in, sizeof(in), data, in.size);
}

static void ask_flush(void)
{
    int h = take_handle(false);
    struct fuse_flush_in in = {.lock_owner = take_number()};
    if (h < 0)
        return;
    in.fh = k.handles[h].fh;
    send_request(FUSE_FLUSH, k.handles[h].node, 0, h, &in, sizeof(in), NULL, 0);
}

static void ask_fsync(void)
{
    int h = take_handle(false);
    struct fuse_fsync_in in = {.fsync_flags = fuzz_byte(&k.in)};
    if (h < 0)
        return;
    in.fh = k.handles[h].fh;
    send_request(FUSE_FSYNC, k.handles[h].node, 0, h, &in, sizeof(in), NULL, 0);
}

static void release(int h)
{
    struct fuse_release_in in = {.fh = k.handles[h].fh};
    if (handle_busy(h))
        return;
    k.handles[h].open = false;
    send_request(k.handles[h].dir ? FUSE_RELEASEDIR : FUSE_RELEASE, k.handles[h].node, 0, -1, &in,
                 sizeof(in), NULL, 0);
}

static void ask_release(void)
{
    int h = take_handle(fuzz_byte(&k.in) & 1);
    if (h >= 0)
        release(h);
}

static void ask_opendir(void)
{
    struct fuse_open_in in = {.flags = O_DIRECTORY};
    uint64_t node = take_node();
    if (room_for_handle())
        send_request(FUSE_OPENDIR, node, 0, -1, &in, sizeof(in), NULL, 0);
}

static void ask_readdir(void)
{
    int h = take_handle(true);
    unsigned b = fuzz_byte(&k.in);
    struct fuse_read_in in = {.size = 1024 + (b >> 2) * 64};
    if (h < 0 || handle_busy(h))
        return;
    if (b & 1)
        k.handles[h].offset = 0; /* rewinddir */
    in.fh = k.handles[h].fh;
    in.offset = k.handles[h].offset;
    send_request(b & 2 ? FUSE_READDIRPLUS : FUSE_READDIR, k.handles[h].node, 0, h, &in, sizeof(in),
                 NULL, 0);
}

/* A directory, and a name in it. */
static void ask_name(uint32_t opcode)
{
    char name[NAME_MAX + 1];
    struct fuse_mkdir_in mkdir = {.mode = (uint32_t)take_number()};
    uint64_t node = take_node();
    size_t len = take_name(name);
    wait_node(node);
    bool args = opcode == FUSE_MKDIR;
    send_request(opcode, node, 0, -1, args ? &mkdir : NULL, args ? sizeof(mkdir) : 0, name, len);
}

static void ask_mkdir(void)
{
    ask_name(FUSE_MKDIR);
}

static void ask_unlink(void)
{
    ask_name(FUSE_UNLINK);
}

static void ask_rmdir(void)
{
    ask_name(FUSE_RMDIR);
}

static void ask_rename(void)
{
    char names[2 * (NAME_MAX + 1)];
    uint64_t from = take_node(), to = take_node();
    struct fuse_rename2_in in = {.newdir = to, .flags = fuzz_byte(&k.in) % 8};
    size_t len = take_name(names);
    len += take_name(names + len);
    wait_node(from);
    wait_node(to);
    send_request(FUSE_RENAME2, from, to, -1, &in, sizeof(in), names, len);
}

static void ask_link(void)
{
    char name[NAME_MAX + 1];
    uint64_t to = take_node();
    struct fuse_link_in in = {.oldnodeid = take_node()};
    size_t len = take_name(name);
    wait_node(to);
    send_request(FUSE_LINK, to, 0, -1, &in, sizeof(in), name, len);
}

static void ask_symlink(void)
{
    char both[NAME_MAX + 1 + DATA_MAX];
    uint64_t node = take_node();
    size_t len = take_name(both), target = take_data(both + len);
    for (size_t i = len; i < len + target; i++)
        if (!both[i])
            both[i] = 'x';
    both[len + target] = '\0';
    wait_node(node);
    if (target)
        send_request(FUSE_SYMLINK, node, 0, -1, NULL, 0, both, len + target + 1);
}

static void ask_xattr(void)
{
    static const char *const some[] = {"user.systemefs.error",  "user.systemefs.id",
                                       "user.systemefs.url",    "security.selinux",
                                       "user.systemefs.stale",  "user.x",
                                       "user.systemefs.expires"};
    uint64_t node = take_node();
    unsigned b = fuzz_byte(&k.in);
    struct fuse_getxattr_in in = {.size = (uint32_t)(take_number() & 0xffff)};
    const char *name = some[b % ARRAY_SIZE(some)];
    if (b & 0x80)
        send_request(FUSE_LISTXATTR, node, 0, -1, &in, sizeof(in), NULL, 0);
    else
        send_request(FUSE_GETXATTR, node, 0, -1, &in, sizeof(in), name, strlen(name) + 1);
}

static void ask_interrupt(void)
{
    unsigned from = fuzz_byte(&k.in);
    for (size_t i = 0; i < k.count; i++) {
        const struct asked *a = &k.asked[(from + i) % k.count];
        if (a->replied)
            continue;
        const struct fuse_interrupt_in in = {.unique = a->unique};
        send_request(FUSE_INTERRUPT, 0, 0, -1, &in, sizeof(in), NULL, 0);
        return;
    }
}

/* An inode that is neither open nor in use. */
static void ask_forget(void)
{
    size_t i = fuzz_byte(&k.in) % k.node_count;
    uint64_t node = k.nodes[i];
    bool used = i == 0 || pending_on(node);
    for (size_t h = 0; h < HANDLES_MAX; h++)
        used = used || (k.handles[h].open && k.handles[h].node == node);
    if (used)
        return;
    const struct fuse_forget_in in = {.nlookup = k.lookups[i]};
    k.node_count--;
    k.nodes[i] = k.nodes[k.node_count];
    k.lookups[i] = k.lookups[k.node_count];
    send_request(FUSE_FORGET, node, 0, -1, &in, sizeof(in), NULL, 0);
}

/* What the driver has no answer for. */
static void ask_other(void)
{
    static const uint32_t opcodes[] = {FUSE_ACCESS,    FUSE_GETLK,       FUSE_SETLK, FUSE_BMAP,
                                       FUSE_FALLOCATE, FUSE_REMOVEXATTR, FUSE_POLL,  FUSE_LSEEK,
                                       FUSE_STATFS,    FUSE_MKNOD,       60,         4000};
    char args[128];
    for (size_t i = 0; i < sizeof(args) - 1; i++)
        args[i] = (char)(fuzz_byte(&k.in) & 0x7f);
    args[sizeof(args) - 1] = '\0';
    uint32_t opcode = opcodes[fuzz_byte(&k.in) % ARRAY_SIZE(opcodes)];
    if (opcode == FUSE_MKNOD || opcode == FUSE_REMOVEXATTR)
        memset(args + 16, 'x', 8);
    send_request(opcode, take_node(), 0, -1, args, sizeof(args), NULL, 0);
}

/* How the server does from now on. */
static void change_server(void)
{
    struct world *w = &k.grove->w;
    static const int statuses[] = {0, 0, 0, 403, 404, 422, 429, 500, 503};
    unsigned b = fuzz_byte(&k.in);
    w->delay_ms = (b & 0x0f) * 50;
    w->failure = b == 0xf0 ? NET_LOST : b == 0xf1 ? NET_REFUSED : NET_OK;
    w->status = statuses[(b >> 4) % ARRAY_SIZE(statuses)];
    w->body = "{\"status\":422,\"title\":\"no\",\"detail\":\"because\"}";
}

static void let_time_pass(void)
{
    world_advance(&k.grove->w, (int64_t)fuzz_byte(&k.in) * 40);
}

static void (*const kinds[])(void) = {
    ask_lookup,    ask_lookup,    ask_lookup, ask_getattr, ask_setattr,   ask_readlink,
    ask_open,      ask_open,      ask_create, ask_read,    ask_write,     ask_write,
    ask_flush,     ask_flush,     ask_fsync,  ask_release, ask_opendir,   ask_readdir,
    ask_readdir,   ask_mkdir,     ask_unlink, ask_rmdir,   ask_rename,    ask_link,
    ask_symlink,   ask_xattr,     ask_other,  ask_forget,  ask_interrupt, change_server,
    let_time_pass, let_time_pass,
};

/* ---- a mount ---- */

static void mount(struct grove *g)
{
    static const struct fuse_custom_io io = {.writev = take_reply, .read = no_read};
    struct session *s = &k.session;
    *s = (struct session){
        .store = g->w.store,
        .net = g->w.net,
        .tree = g->tree,
        .journal = g->journal,
        .clock = &g->w.clock.clock,
        .signal_fd = -1,
        .cpus = 1,
    };
    list_init(&s->requests);
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    fuzz_check(fuse_opt_add_arg(&args, "systemefs") == 0);
    s->fuse = fuse_session_new(&args, &session_ops, sizeof(session_ops), s);
    fuse_opt_free_args(&args);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* destroyed with the session */
    fuzz_check(s->fuse && fd >= 0 && fuse_session_custom_io(s->fuse, &io, fd) == 0);
    const struct fuse_init_in init = {
        .major = FUSE_KERNEL_VERSION,
        .minor = 38,
        .max_readahead = 131072,
        .flags = 0x3ffffffb,
    };
    send_request(FUSE_INIT, 0, 0, -1, &init, offsetof(struct fuse_init_in, unused), NULL, 0);
    fuzz_check(k.asked[0].replied && s->answers);
    k.nodes[0] = FUSE_ROOT_ID;
    k.node_count = 1;
}

static void unmount(bool in_order)
{
    for (size_t i = 0; in_order && i < k.count; i++)
        wait_for(&k.asked[i]);
    for (int h = 0; in_order && h < HANDLES_MAX; h++)
        if (k.handles[h].open)
            release(h);
    requests_end_all(&k.session, ENOTCONN);
    for (size_t i = 0; i < k.count; i++)
        fuzz_check(k.asked[i].replied);
}

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    log_setup(LOG_LEVEL_ERROR, world_no_log, NULL);
    fuse_set_log_func(kernel_server_no_log);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grove g;
    k = (struct kernel){.in = fuzz_input(data, size), .grove = &g};
    unsigned how = fuzz_byte(&k.in);
    grove_init(&g, &(struct grove_options){.ttl_ms = how & 1 ? 60000 : 0,
                                           .gateway = how & 2,
                                           .kernel = true,
                                           .dry_run = (how & 0x1c) == 0x1c,
                                           .delete_limit = 5});
    kernel_server_fill(&g.w);
    mount(&g);
    for (unsigned i = 0; i < REQUESTS_MAX && k.in.p < k.in.end && k.count < REQUESTS_MAX; i++) {
        unsigned kind = fuzz_byte(&k.in);
        kinds[kind % ARRAY_SIZE(kinds)]();
        if (kind & 0x80)
            world_turn(&g.w);
        requests_check_interrupts(&k.session);
    }
    unmount(how & 0x20);
    fuse_session_destroy(k.session.fuse);
    grove_finish(&g);
    return 0;
}
