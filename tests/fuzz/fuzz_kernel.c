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
#include <unistd.h>

#include "kernel_model.h"
#include "kernel_requests.h"
#include "kernel_server.h"

static ssize_t no_read(int fd UNUSED, void *buf UNUSED, size_t len UNUSED, void *data UNUSED)
{
    return 0;
}

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
        kernel_ask(kind);
        if (kind & 0x80)
            world_turn(&g.w);
        requests_check_interrupts(&k.session);
    }
    unmount(how & 0x20);
    fuse_session_destroy(k.session.fuse);
    grove_finish(&g);
    return 0;
}
