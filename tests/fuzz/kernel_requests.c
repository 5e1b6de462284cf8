#include "kernel_requests.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "kernel_model.h"

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

void kernel_ask(unsigned kind)
{
    kinds[kind % ARRAY_SIZE(kinds)]();
}
