#include "waiting.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "systemefs/base/macros.h"
#include "text.h"

#define LOOK_MS 100 /* how often the sockets of those that hang are looked at */

struct waiting {
    const struct clock *clock;
    void (*wake)(struct waiter *waiter);
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    struct waiter **heap; /* the earliest first */
    size_t count, cap;
    struct waiter **hung;
    size_t hung_count, hung_cap;
};

static void push(struct waiting *w, struct waiter *waiter)
{
    if (w->count == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 64;
        w->heap = must(realloc(w->heap, w->cap * sizeof(struct waiter *)));
    }
    size_t at = w->count++;
    for (; at > 0 && w->heap[(at - 1) / 2]->due_ms > waiter->due_ms; at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = waiter;
}

static struct waiter *pop(struct waiting *w)
{
    struct waiter *first = w->heap[0], *last = w->heap[--w->count];
    size_t at = 0;
    for (size_t child = 1; child < w->count; child = at * 2 + 1) {
        if (child + 1 < w->count && w->heap[child + 1]->due_ms < w->heap[child]->due_ms)
            child++;
        if (last->due_ms <= w->heap[child]->due_ms)
            break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return first;
}

/* Has the client closed its end? */
static bool gone(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void wake_gone(struct waiting *w)
{
    for (size_t i = 0; i < w->hung_count;) {
        struct waiter *waiter = w->hung[i];
        if (!gone(waiter->fd)) {
            i++;
            continue;
        }
        w->hung[i] = w->hung[--w->hung_count];
        w->wake(waiter);
    }
}

static void release_hung(struct waiting *w)
{
    while (w->hung_count)
        w->wake(w->hung[--w->hung_count]);
}

static void sleep_until(struct waiting *w, int64_t now, int64_t until)
{
    int64_t ms = until - now;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += (time_t)(ms / 1000);
    ts.tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&w->changed, &w->lock, &ts);
}

static void *run(void *data)
{
    struct waiting *w = data;
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        int64_t now = clock_mono_ms(w->clock);
        while (w->count && w->heap[0]->due_ms <= now)
            w->wake(pop(w));
        wake_gone(w);
        int64_t until = w->count ? w->heap[0]->due_ms : INT64_MAX;
        if (w->hung_count)
            until = MIN(until, now + LOOK_MS);
        if (until == INT64_MAX)
            pthread_cond_wait(&w->changed, &w->lock);
        else
            sleep_until(w, now, until);
    }
    while (w->count)
        w->wake(pop(w));
    release_hung(w);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct waiting *waiting_create(const struct clock *clock, void (*wake)(struct waiter *waiter))
{
    struct waiting *w = must(calloc(1, sizeof(*w)));
    w->clock = clock;
    w->wake = wake;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&w->thread, NULL, run, w) != 0)
        must(NULL);
    return w;
}

void waiting_stop(struct waiting *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
}

void waiting_destroy(struct waiting *w)
{
    if (!w)
        return;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w->heap);
    free(w->hung);
    free(w);
}

void waiting_add(struct waiting *w, struct waiter *waiter)
{
    pthread_mutex_lock(&w->lock);
    if (w->stopping) {
        w->wake(waiter);
    } else if (waiter->due_ms == WAITING_FOREVER) {
        if (w->hung_count == w->hung_cap) {
            w->hung_cap = w->hung_cap ? w->hung_cap * 2 : 64;
            w->hung = must(realloc(w->hung, w->hung_cap * sizeof(struct waiter *)));
        }
        w->hung[w->hung_count++] = waiter;
        pthread_cond_signal(&w->changed);
    } else {
        push(w, waiter);
        if (w->heap[0] == waiter)
            pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
}

void waiting_release(struct waiting *w)
{
    pthread_mutex_lock(&w->lock);
    release_hung(w);
    pthread_mutex_unlock(&w->lock);
}
