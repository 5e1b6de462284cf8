#include "systemefs/fuse/session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define LOG_MODULE "mount"
#include "systemefs/base/log.h"

/* Requests of the kernel that are taken before the network has its turn again. */
#define BATCH 64

#define POLL_NS         100000
#define POLL_CREDIT_MAX 16
#define POLL_LOSS       6

enum { FD_FUSE, FD_NOTIFY, FD_SIGNAL, FD_COUNT };

static int make_fuse(struct session *s, const struct session_options *options)
{
    char *all = NULL;
    if (asprintf(&all, "default_permissions,%s", options->fuse_options) < 0)
        return -ENOMEM;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    int r = fuse_opt_add_arg(&args, "systemefs") || fuse_opt_add_arg(&args, "-o") ||
            fuse_opt_add_arg(&args, all) || (options->fuse_debug && fuse_opt_add_arg(&args, "-d"));
    if (!r)
        s->fuse = fuse_session_new(&args, &session_ops, sizeof(session_ops), s);
    fuse_opt_free_args(&args);
    free(all);
    if (r)
        return -ENOMEM;
    return s->fuse ? 0 : -EINVAL;
}

/* That this process may run on. */
static int cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

int session_create(const struct session_options *options, struct session **ret)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    *s = (struct session){
        .http = options->http,
        .net = options->net,
        .store = options->store,
        .journal = options->journal,
        .clock = options->clock,
        .no_open = options->no_open,
        .uid = options->uid,
        .gid = options->gid,
        .ready = options->ready,
        .data = options->data,
        .signal_fd = -1,
        .cpus = cpus(),
    };
    list_init(&s->requests);

    /* Blocked before the notifier's thread begins, so that it inherits them blocked. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

    int r = s->signal_fd < 0 ? -errno : make_fuse(s, options);
    if (r == 0)
        r = notify_create(s->fuse, s->store, &s->taken, &s->notify);
    if (r < 0) {
        session_destroy(s);
        return r;
    }
    *ret = s;
    return 0;
}

void session_destroy(struct session *s)
{
    if (!s)
        return;
    session_unmount(s);
    notify_destroy(s->notify);
    if (s->fuse)
        fuse_session_destroy(s->fuse);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
    free(s->input.mem);
    free(s);
}

const struct tree_kernel *session_kernel(struct session *s)
{
    return notify_kernel(s->notify);
}

/*
 * libfuse before 3.17 takes FUSE_CAP_PARALLEL_DIROPS and never passes it on (its pull request 861).
 * Without it the kernel lets one lookup or readdir at a time into a directory: a record that the
 * API is slow to answer would block the whole of contacts/. So the flag goes into the answer to
 * FUSE_INIT, the first that is sent, on its way out.
 */
static ssize_t write_reply(int fd, struct iovec *iov, int count, void *data)
{
    struct session *s = data;
    if (s && !atomic_load(&s->init_sent) && s->answers) {
        atomic_store(&s->init_sent, true);
        if (s->parallel_dirops && count == 2 &&
            iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof(uint32_t))
            ((struct fuse_init_out *)iov[1].iov_base)->flags |= FUSE_PARALLEL_DIROPS;
    }
    return writev(fd, iov, count);
}

static ssize_t read_request(int fd, void *buf, size_t size, void *data UNUSED)
{
    return read(fd, buf, size);
}

/*
 * libfuse may run fusermount3, which is root's. It gets nothing of ours; what this program opens
 * closes on exec, but not what libraries open (libcurl 7.88: the socket pair by which it is woken).
 * Where the kernel does not know the flag (before 5.11), nothing is lost but that.
 */
static void keep_descriptors(void)
{
    close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

int session_mount(struct session *s, struct tree *tree, const char *mountpoint)
{
    s->tree = tree;
    keep_descriptors();
    errno = 0;
    if (fuse_session_mount(s->fuse, mountpoint) != 0)
        return errno ? -errno : -EIO;
    s->mounted = true;
    /* Drained until it is empty, so that one wake-up serves many requests. */
    int fd = fuse_session_fd(s->fuse);
    static const struct fuse_custom_io io = {.writev = write_reply, .read = read_request};
    int r = fuse_session_custom_io(s->fuse, &io, fd);
    if (r != 0)
        return r < 0 ? r : -r;
    int flags = fcntl(fd, F_GETFL);
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

void session_unmount(struct session *s)
{
    requests_end_all(s, ENOTCONN);
    if (s->mounted) {
        keep_descriptors();
        fuse_session_unmount(s->fuse);
    }
    s->mounted = false;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * Whether to look again for a request rather than to sleep until one comes.
 *
 * Waking a process that sleeps costs more than all else of a request that is answered from memory,
 * and in a search through many files the next one comes within microseconds of the last answer. So
 * the loop stays awake for at most POLL_NS, but only as long as that pays: each time that a request
 * comes soon adds to a credit, each time that none comes takes a good part of it away. An idle
 * mount sleeps. Where there is one CPU only, whoever is to send the next request needs it.
 */
static bool look_again(struct session *s, int64_t since_ns)
{
    if (s->poll_credit <= 0)
        return false;
    if (now_ns() - since_ns < POLL_NS)
        return true;
    s->poll_credit -= POLL_LOSS;
    return false;
}

/* A request has come: so soon after the last answer that staying awake for it would have paid? */
static void count_arrival(struct session *s, int64_t at_ns)
{
    bool soon = s->cpus > 1 && at_ns - s->answered_ns < 2 * POLL_NS;
    s->poll_credit = MIN(MAX(s->poll_credit, 0) + soon, POLL_CREDIT_MAX);
}

/* Takes the kernel's requests. 0, or -errno when the mount is unusable. */
static int take_requests(struct session *s)
{
    int64_t since_ns = now_ns();
    count_arrival(s, since_ns);
    for (int i = 0; i < BATCH && !fuse_session_exited(s->fuse);) {
        int r = fuse_session_receive_buf(s->fuse, &s->input);
        if (r == -EAGAIN && look_again(s, since_ns))
            continue;
        if (r == -EAGAIN || r == -EINTR || r == 0)
            return 0;
        if (r < 0)
            return r;
        fuse_session_process_buf(s->fuse, &s->input);
        since_ns = s->answered_ns = now_ns();
        s->taken++;
        i++;
        if (s->answers && !s->told_ready) {
            s->told_ready = true;
            if (s->ready)
                s->ready(s->data);
        }
    }
    return 0;
}

static void take_signals(struct session *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            log_info("SIGHUP: everything is asked for again when next read");
            tree_refresh_all(s->tree);
        } else {
            log_info("%s: unmounting", strsignal((int)info.ssi_signo));
            fuse_session_exit(s->fuse);
        }
    }
}

static int64_t time_to_sleep(const struct session *s)
{
    int64_t next = MIN(net_next_ms(s->net), store_next_ms(s->store));
    if (s->suspects)
        next = MIN(next, s->look_again_ms);
    if (next == INT64_MAX)
        return -1;
    return MAX(INT64_C(0), next - clock_mono_ms(s->clock));
}

/* Lets everything below go on. */
static void turn(struct session *s)
{
    http_turn(s->http);
    net_turn(s->net);
    store_turn(s->store);
    net_turn(s->net); /* what the operations that went on have asked for */
}

/* What has been sent is seen through to its answer before the program ends; each change has its
 * deadline. Another signal ends that, too. */
static void finish_saves(struct session *s)
{
    struct http_wait_fd fds[] = {{.fd = notify_fd(s->notify)}, {.fd = s->signal_fd}};
    if (store_saving(s->store))
        log_info("a change is under way: its answer is waited for");
    while (store_saving(s->store) &&
           http_wait(s->http, fds, ARRAY_SIZE(fds), time_to_sleep(s)) >= 0 && !fds[1].readable) {
        if (fds[0].readable)
            notify_collect(s->notify);
        turn(s);
    }
}

int session_run(struct session *s)
{
    struct http_wait_fd fds[FD_COUNT] = {
        [FD_FUSE] = {.fd = fuse_session_fd(s->fuse)},
        [FD_NOTIFY] = {.fd = notify_fd(s->notify)},
        [FD_SIGNAL] = {.fd = s->signal_fd},
    };
    int r = 0;
    while (r == 0 && !fuse_session_exited(s->fuse)) {
        r = http_wait(s->http, fds, FD_COUNT, time_to_sleep(s));
        if (r < 0)
            break;
        if (fds[FD_FUSE].readable)
            r = take_requests(s);
        if (fds[FD_SIGNAL].readable)
            take_signals(s);
        if (fds[FD_NOTIFY].readable)
            notify_collect(s->notify);
        requests_check_interrupts(s);
        turn(s);
    }
    finish_saves(s);
    return r;
}
