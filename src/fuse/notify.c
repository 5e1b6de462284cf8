#include "systemefs/fuse/notify.h"

#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "systemefs/base/list.h"

#define LOG_MODULE "notify"
#include "systemefs/base/log.h"

struct news {
    struct list queue;
    uint64_t ticket;
    uint64_t ino;
};

struct notify {
    struct fuse_session *session;
    struct store *store;
    struct tree_kernel kernel;
    struct wait_queue waiting; /* the loop's */
    uint64_t last_ticket;      /* the loop's */
    int fd;
    pthread_t thread;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t more;
    struct list queue;
    uint64_t done;
    bool stop;
};

static void tell(struct notify *n, const struct news *news)
{
    int r = fuse_lowlevel_notify_inval_inode(n->session, news->ino, 0, 0);
    if (r < 0 && r != -ENOENT && r != -ENODEV && r != -EBADF && r != -ENOTCONN)
        log_warn("the kernel did not take a notification: %s", strerror(-r));
}

static void *notify_main(void *data)
{
    struct notify *n = data;
    pthread_mutex_lock(&n->lock);
    while (!n->stop) {
        struct list *first = list_first(&n->queue);
        if (!first) {
            pthread_cond_wait(&n->more, &n->lock);
            continue;
        }
        struct news *news = CONTAINER_OF(first, struct news, queue);
        list_remove(&news->queue);
        pthread_mutex_unlock(&n->lock);
        tell(n, news);
        pthread_mutex_lock(&n->lock);
        n->done = news->ticket;
        if (list_empty(&n->queue))
            eventfd_write(n->fd, 1);
        free(news);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

static uint64_t notify_invalidate(void *data, uint64_t ino)
{
    struct notify *n = data;
    struct news *news = malloc(sizeof(*news));
    if (!news) {
        log_err("no memory to tell the kernel of a change");
        return 0;
    }
    *news = (struct news){.ticket = ++n->last_ticket, .ino = ino};
    list_init(&news->queue);
    pthread_mutex_lock(&n->lock);
    list_append(&n->queue, &news->queue);
    pthread_cond_signal(&n->more);
    pthread_mutex_unlock(&n->lock);
    return n->last_ticket;
}

static bool notify_done(void *data, uint64_t ticket)
{
    struct notify *n = data;
    pthread_mutex_lock(&n->lock);
    bool done = n->done >= ticket;
    pthread_mutex_unlock(&n->lock);
    return done;
}

int notify_create(struct fuse_session *session, struct store *store, struct notify **ret)
{
    struct notify *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->session = session;
    n->store = store;
    list_init(&n->queue);
    wait_queue_init(&n->waiting);
    n->kernel = (struct tree_kernel){
        .invalidate = notify_invalidate,
        .done = notify_done,
        .queue = &n->waiting,
        .data = n,
    };
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->more, NULL);
    n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = n->fd < 0 ? -errno : -pthread_create(&n->thread, NULL, notify_main, n);
    if (r < 0) {
        if (n->fd >= 0)
            close(n->fd);
        free(n);
        return r;
    }
    *ret = n;
    return 0;
}

void notify_destroy(struct notify *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->stop = true;
    pthread_cond_signal(&n->more);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    list_for_each_safe(it, &n->queue)
        free(CONTAINER_OF(it, struct news, queue));
    close(n->fd);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->more);
    free(n);
}

const struct tree_kernel *notify_kernel(struct notify *n)
{
    return &n->kernel;
}

int notify_fd(const struct notify *n)
{
    return n->fd;
}

void notify_collect(struct notify *n)
{
    eventfd_t count;
    if (eventfd_read(n->fd, &count) == 0)
        wait_queue_wake(n->store, &n->waiting);
}
