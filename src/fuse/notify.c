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
    uint64_t ticket; /* 0: nobody waits for it */
    uint64_t ino;
    char *text; /* that its pages are to hold; NULL: what they hold is to be dropped */
    size_t len;
    char name[]; /* in the directory `ino`; "": the inode itself */
};

/* A queue and the thread that works it off. */
struct lane {
    struct notify *notify;
    pthread_t thread;
    bool started;
    pthread_cond_t more;
    struct list queue;
};

enum { LANE_INODES, LANE_NAMES, LANE_COUNT };

struct notify {
    struct fuse_session *session;
    struct store *store;
    struct tree_kernel kernel;
    struct wait_queue waiting; /* the loop's */
    uint64_t last_ticket;      /* the loop's */
    int fd;

    pthread_mutex_t lock; /* of all below */
    struct lane lanes[LANE_COUNT];
    uint64_t done;
    bool stop;
};

static int push_text(struct notify *n, const struct news *news)
{
    struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(news->len);
    bytes.buf[0].mem = news->text;
    return fuse_lowlevel_notify_store(n->session, news->ino, 0, &bytes, 0);
}

static void tell(struct notify *n, const struct news *news)
{
    struct fuse_session *s = n->session;
    int r = news->text ? push_text(n, news)
            : news->name[0]
                ? fuse_lowlevel_notify_inval_entry(s, news->ino, news->name, strlen(news->name))
                : fuse_lowlevel_notify_inval_inode(s, news->ino, 0, 0);
    if (r < 0 && r != -ENOENT && r != -ENODEV && r != -EBADF && r != -ENOTCONN)
        log_warn("the kernel did not take a notification: %s", strerror(-r));
}

static void news_free(struct news *news)
{
    free(news->text);
    free(news);
}

static void *lane_main(void *data)
{
    struct lane *lane = data;
    struct notify *n = lane->notify;
    pthread_mutex_lock(&n->lock);
    while (!n->stop) {
        struct list *first = list_first(&lane->queue);
        if (!first) {
            pthread_cond_wait(&lane->more, &n->lock);
            continue;
        }
        struct news *news = CONTAINER_OF(first, struct news, queue);
        list_remove(&news->queue);
        pthread_mutex_unlock(&n->lock);
        tell(n, news);
        pthread_mutex_lock(&n->lock);
        n->done = MAX(n->done, news->ticket);
        if (news->ticket && list_empty(&lane->queue))
            eventfd_write(n->fd, 1);
        news_free(news);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

static struct news *news_new(uint64_t ticket, uint64_t ino, const char *name)
{
    size_t len = strlen(name);
    struct news *news = malloc(sizeof(*news) + len + 1);
    if (!news)
        return NULL;
    *news = (struct news){.ticket = ticket, .ino = ino};
    memcpy(news->name, name, len + 1);
    list_init(&news->queue);
    return news;
}

/* Whether there was memory for it. */
static bool queue_news(struct notify *n, int lane, struct news *news)
{
    if (!news) {
        log_err("no memory to tell the kernel of a change");
        return false;
    }
    pthread_mutex_lock(&n->lock);
    list_append(&n->lanes[lane].queue, &news->queue);
    pthread_cond_signal(&n->lanes[lane].more);
    pthread_mutex_unlock(&n->lock);
    return true;
}

static uint64_t notify_invalidate(void *data, uint64_t ino)
{
    struct notify *n = data;
    if (!queue_news(n, LANE_INODES, news_new(n->last_ticket + 1, ino, "")))
        return 0;
    return ++n->last_ticket;
}

static void notify_forget_name(void *data, uint64_t parent, const char *name)
{
    queue_news(data, LANE_NAMES, news_new(0, parent, name));
}

/* In the lane of what is dropped: the newest text is the last to come. */
static void notify_push(void *data, uint64_t ino, char *text, size_t len)
{
    struct news *news = news_new(0, ino, "");
    if (!news) {
        free(text);
        return;
    }
    news->text = text;
    news->len = len;
    queue_news(data, LANE_INODES, news);
}

static bool notify_done(void *data, uint64_t ticket)
{
    struct notify *n = data;
    pthread_mutex_lock(&n->lock);
    bool done = n->done >= ticket;
    pthread_mutex_unlock(&n->lock);
    return done;
}

int notify_create(struct fuse_session *session, struct store *store, const uint64_t *requests,
                  struct notify **ret)
{
    struct notify *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->session = session;
    n->store = store;
    wait_queue_init(&n->waiting);
    n->kernel = (struct tree_kernel){
        .invalidate = notify_invalidate,
        .done = notify_done,
        .forget_name = notify_forget_name,
        .push = notify_push,
        .requests = requests,
        .queue = &n->waiting,
        .data = n,
    };
    pthread_mutex_init(&n->lock, NULL);
    n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = n->fd < 0 ? -errno : 0;
    for (size_t i = 0; i < LANE_COUNT; i++) {
        struct lane *lane = &n->lanes[i];
        lane->notify = n;
        list_init(&lane->queue);
        pthread_cond_init(&lane->more, NULL);
        r = r < 0 ? r : -pthread_create(&lane->thread, NULL, lane_main, lane);
        lane->started = r == 0;
    }
    if (r < 0) {
        notify_destroy(n);
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
    for (size_t i = 0; i < LANE_COUNT; i++)
        pthread_cond_signal(&n->lanes[i].more);
    pthread_mutex_unlock(&n->lock);
    for (size_t i = 0; i < LANE_COUNT; i++) {
        struct lane *lane = &n->lanes[i];
        if (lane->started)
            pthread_join(lane->thread, NULL);
        list_for_each_safe(it, &lane->queue)
            news_free(CONTAINER_OF(it, struct news, queue));
        pthread_cond_destroy(&lane->more);
    }
    if (n->fd >= 0)
        close(n->fd);
    pthread_mutex_destroy(&n->lock);
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
