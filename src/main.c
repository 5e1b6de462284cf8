/* systemefs: builds the house from the bottom to the top, mounts it, and takes it down again. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <syslog.h>

#include "systemefs/api/api.h"
#include "systemefs/base/clock.h"
#include "systemefs/conf/daemon.h"
#include "systemefs/conf/options.h"
#include "systemefs/conf/state.h"
#include "systemefs/fuse/session.h"
#include "systemefs/net/http.h"
#include "systemefs/net/net.h"
#include "systemefs/store/shelf.h"
#include "systemefs/store/store.h"
#include "systemefs/tree/tree.h"

#define LOG_MODULE "main"
#include "systemefs/base/log.h"

#define WHY_MAX            65536
#define GATEWAY_PER_SECOND 10 /* the gateway's own limit, which no header tells */

struct program {
    struct options options;
    struct daemon daemon;
    struct daemon_sandbox sandbox;
    char *mountpoint;
    struct http *http;
    struct journal *journal;
    struct net *net;
    struct api *api;
    struct disk *disk;
    struct shelf *shelf;
    struct store *store;
    struct session *session;
    struct tree *tree;
};

static void syslog_sink(void *data UNUSED, enum log_level level, const char *module,
                        const char *line)
{
    static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    _Static_assert(ARRAY_SIZE(priority) == LOG_LEVEL_COUNT, "a priority for each level");
    syslog(priority[level], "%s: %s", module, line);
}

/* The mount answers: the parent may go, and with it the terminal. */
static void on_ready(void *data)
{
    struct program *p = data;
    if (daemon_report_ready(&p->daemon) < 0)
        raise(SIGTERM);
    if (!p->options.foreground && !getenv("JOURNAL_STREAM")) {
        openlog("systemefs", LOG_PID, LOG_USER);
        log_setup(log_get_level(), syslog_sink, NULL);
    }
}

/* Points the options at the sandbox just started. */
static int use_sandbox(struct program *p, struct buf *why)
{
    struct options *o = &p->options;
    int r = daemon_sandbox_start(o->sandbox_args, !o->foreground, &p->sandbox, why);
    if (r < 0)
        return r;
    bool gateway = o->auth == AUTH_GATEWAY;
    char *url = NULL;
    if (asprintf(&url, "%s%s", p->sandbox.url, gateway ? "/systeme" : "") < 0)
        return -ENOMEM;
    free(o->api_url);
    o->api_url = url;
    free(o->ctrl_url);
    o->ctrl_url = gateway ? strdup(p->sandbox.url) : NULL;
    const char *key = gateway ? p->sandbox.gateway_key : p->sandbox.key;
    return secret_set(&o->key, key, strlen(key), why);
}

static uint64_t random_seed(const struct clock *clock)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = (uint64_t)clock_wall_ns(clock);
    return seed;
}

/* Drafts and trash. Without them nothing could be saved safely, so without them there is no mount;
 * only where nothing can be written anyway they may be missing. */
static int open_shelf(struct program *p, struct buf *why)
{
    CLEANUP(buf_cleanup) struct buf directory;
    buf_init(&directory, PATH_MAX);
    int r = state_directory(&p->options, &directory);
    if (r == 0)
        r = disk_open(directory.data, &p->disk, why);
    if (r < 0 && p->options.ro) {
        log_warn("no drafts and no trash: %s", why->len ? why->data : strerror(-r));
        buf_reset(why);
        r = 0;
    }
    return r < 0 ? r : shelf_create(p->disk, &clock_system, &p->shelf);
}

static int build(struct program *p)
{
    const struct options *o = &p->options;
    const struct clock *clock = &clock_system;
    bool gateway = o->auth == AUTH_GATEWAY;

    const struct http_options http = {
        .user_agent = "systemefs/" SYSTEMEFS_VERSION,
        .cacert = o->cacert,
        .max_connections = o->jobs,
        .clock = clock,
    };
    int r = http_create(&http, &p->http);
    if (r < 0)
        return r;
    p->journal = journal_create(clock);
    if (!p->journal)
        return -ENOMEM;
    const struct net_options net = {
        .transport = http_transport(p->http),
        .clock = clock,
        .seed = random_seed(clock),
        .jobs = o->jobs,
        .reserve_percent = o->reserve,
        .per_second = gateway ? GATEWAY_PER_SECOND : 0,
        .observer = journal_exchange,
        .observer_data = p->journal,
    };
    r = net_create(&net, &p->net);
    if (r < 0)
        return r;
    const struct api_options api = {
        .net = p->net,
        .gateway = gateway,
        .api_url = o->api_url,
        .ctrl_url = o->ctrl_url,
        .connection = o->connection,
        .key = o->key.text,
    };
    r = api_create(&api, &p->api);
    if (r < 0)
        return r;
    const struct store_options store = {
        .api = p->api,
        .clock = clock,
        .ttl_ms = o->ttl_ms,
        .timeout_ms = o->timeout_ms,
        .jobs = o->jobs,
        .changed = tree_store_changed,
        .gone = tree_store_gone,
        .replacing = tree_store_replacing,
        .evicting = tree_store_evicting,
        .cache_size = o->cache_size,
        .data = &p->tree,
        .shelf = p->shelf,
        .access_type = o->access_type,
        .dry_run = o->dry_run,
    };
    r = store_create(&store, &p->store);
    if (r < 0)
        return r;

    /* With a ttl of 0 each open asks, which an open that is not told cannot. */
    bool no_open = o->ro && o->ttl_ms > 0;
    const struct session_options session = {
        .http = p->http,
        .net = p->net,
        .store = p->store,
        .journal = p->journal,
        .clock = clock,
        .fuse_options = o->fuse_options,
        .fuse_debug = o->fuse_debug,
        .no_open = no_open,
        .uid = o->uid,
        .gid = o->gid,
        .ready = on_ready,
        .data = p,
    };
    r = session_create(&session, &p->session);
    if (r < 0)
        return r;

    const struct tree_options tree = {
        .store = p->store,
        .api = p->api,
        .net = p->net,
        .journal = p->journal,
        .clock = clock,
        .kernel = session_kernel(p->session),
        .umask = o->umask,
        .ttl_ms = o->ttl_ms,
        .url = o->api_url,
        .mode_name = o->sandbox ? "sandbox"
                     : gateway  ? "gateway"
                                : "direct",
        .connection = o->connection,
        .shelf = p->shelf,
        .delete_limit = o->delete_limit,
        .no_open = no_open,
    };
    return tree_create(&tree, &p->tree);
}

/* Top to bottom: each layer goes before the ones that it stands on. */
static void take_down(struct program *p)
{
    if (p->session)
        session_unmount(p->session);
    tree_destroy(p->tree);
    p->tree = NULL;
    store_destroy(p->store); /* cancels what is under way: the network must still be there */
    shelf_destroy(p->shelf);
    disk_close(p->disk);
    api_destroy(p->api);
    net_destroy(p->net);
    session_destroy(p->session);
    journal_destroy(p->journal);
    http_destroy(p->http);
    daemon_sandbox_stop(&p->sandbox);
    options_finish(&p->options);
    free(p->mountpoint);
}

static int fail(struct program *p, const struct buf *why, const char *otherwise)
{
    daemon_report_failure(&p->daemon, DAEMON_EXIT_FAILURE, why->len ? why->data : otherwise);
    take_down(p);
    return DAEMON_EXIT_FAILURE;
}

static int run(struct program *p, struct buf *why)
{
    struct options *o = &p->options;
    p->daemon = DAEMON_FOREGROUND;
    if (daemon_check_mountpoint(o->mountpoint, o->nonempty, &p->mountpoint, why) < 0)
        return fail(p, why, "the mount point cannot be used");
    if (!o->foreground && daemon_background(&p->daemon, why) < 0)
        return fail(p, why, "cannot go into the background");
    secret_lock(&o->key);
    if (o->sandbox && use_sandbox(p, why) < 0)
        return fail(p, why, "the sandbox cannot be started");

    int r = open_shelf(p, why);
    if (r < 0)
        return fail(p, why, strerror(-r));
    r = build(p);
    if (r < 0) {
        if (r == -EINVAL && o->cacert && !p->http)
            buf_printf(why, "the CA file %s cannot be read", o->cacert);
        return fail(p, why, strerror(-r));
    }
    r = session_mount(p->session, p->tree, p->mountpoint);
    if (r < 0) {
        buf_printf(why, "cannot mount on %s: %s", o->mountpoint, strerror(-r));
        return fail(p, why, "cannot mount");
    }
    r = session_run(p->session);
    if (r < 0)
        log_err("the mount ends: %s", strerror(-r));
    take_down(p);
    return r < 0 ? DAEMON_EXIT_FAILURE : DAEMON_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct program p = {0};
    CLEANUP(buf_cleanup) struct buf why;
    buf_init(&why, WHY_MAX);

    /* The key will be in this process's memory, and in that of the parent that waits for the mount:
     * no core file, and no debugger of whoever else runs as this user. */
    prctl(PR_SET_DUMPABLE, 0);
    int r = options_parse(argc, argv, &p.options, &why);
    if (r < 0) {
        fprintf(stderr, "systemefs: %s\n", why.len ? why.data : strerror(-r));
        return r == -EINVAL ? DAEMON_EXIT_USAGE : DAEMON_EXIT_FAILURE;
    }
    if (p.options.help || p.options.version) {
        if (p.options.help)
            options_help(&why);
        else
            buf_printf(&why, "systemefs %s\n", SYSTEMEFS_VERSION);
        fputs(why.len ? why.data : "", stdout);
        options_finish(&p.options);
        return DAEMON_EXIT_OK;
    }
    log_setup(p.options.log_level, NULL, NULL);
    if (p.options.both_keys)
        log_info("both MATON_API_KEY and SYSTEME_API_KEY are set: the gateway is used");
    return run(&p, &why);
}
