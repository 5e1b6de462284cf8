#include "systemefs/net/net.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "net"
#include "systemefs/base/log.h"
#include "systemefs/base/macros.h"
#include "systemefs/base/rng.h"
#include "systemefs/net/retry.h"

#include "heap.h"

/* The transport gets this much less than is left, so that it, which knows what became of the
 * request, speaks before the deadline does. */
#define MARGIN_MS 10
/* An answer that is kept while its call waits for another try loses a body larger than this. */
#define KEPT_BODY_MAX 65536

enum call_state {
    CALL_READY,   /* waits for a place and for the quota */
    CALL_BACKOFF, /* waits for its time */
    CALL_SENT,    /* the transport has it */
    CALL_DONE,    /* in done(), or about to be freed */
};

struct net_call {
    struct net *net;
    struct heap_node order;    /* READY: the number; BACKOFF: when it is READY again */
    struct heap_node deadline; /* in all states but DONE */
    enum call_state state;
    enum net_priority priority;
    uint64_t number;
    unsigned tries;
    int64_t sent_ms;
    void *handle; /* SENT: of the transport */
    net_done_fn *done;
    void *data;
    bool answered;             /* `last` holds an answer of an earlier try */
    struct http_response last; /* its failure is NET_OK or one worth another try */
    struct http_request http;  /* points into `bytes` */
    size_t size;               /* of bytes */
    char bytes[];
};

struct net {
    struct net_options options;
    struct quota quota;
    struct rng rng;
    struct heap ready[NET_PRIORITY_COUNT];   /* by number */
    struct heap waiting[NET_PRIORITY_COUNT]; /* READY and BACKOFF, by deadline */
    struct heap backoff;                     /* by time */
    struct heap sent;                        /* by deadline */
    unsigned sent_not_person;
    size_t calls;
    bool starved; /* the transport could not start one; until one ends */
    uint64_t next_number;
    uint64_t exchanges, bytes, failures;
};

static int64_t net_now(const struct net *n)
{
    return clock_mono_ms(n->options.clock);
}

/* Takes a call out of the heaps of its state. */
static void call_leave(struct net *n, struct net_call *c)
{
    switch (c->state) {
    case CALL_READY:
        heap_remove(&n->ready[c->priority], &c->order);
        heap_remove(&n->waiting[c->priority], &c->deadline);
        break;
    case CALL_BACKOFF:
        heap_remove(&n->backoff, &c->order);
        heap_remove(&n->waiting[c->priority], &c->deadline);
        break;
    case CALL_SENT:
        heap_remove(&n->sent, &c->deadline);
        n->sent_not_person -= c->priority != NET_PERSON;
        break;
    case CALL_DONE:
        break;
    }
    c->state = CALL_DONE;
}

/* Puts it into those of `state`. net_submit() has made the room. */
static void call_enter(struct net *n, struct net_call *c, enum call_state state)
{
    switch (state) {
    case CALL_READY:
        c->order.key = (int64_t)c->number;
        heap_push(&n->ready[c->priority], &c->order);
        heap_push(&n->waiting[c->priority], &c->deadline);
        break;
    case CALL_BACKOFF:
        heap_push(&n->backoff, &c->order);
        heap_push(&n->waiting[c->priority], &c->deadline);
        break;
    case CALL_SENT:
        heap_push(&n->sent, &c->deadline);
        n->sent_not_person += c->priority != NET_PERSON;
        break;
    case CALL_DONE:
        break;
    }
    c->state = state;
}

static void call_move(struct net *n, struct net_call *c, enum call_state state)
{
    call_leave(n, c);
    call_enter(n, c, state);
}

static void call_free(struct net_call *c)
{
    buf_finish(&c->last.body);
    /* The headers may hold a key. */
    explicit_bzero(c->bytes, c->size);
    free(c);
}

/* The only place that calls done(). */
static void call_finish(struct net *n, struct net_call *c, struct net_result result)
{
    call_leave(n, c);
    n->calls--;
    result.number = c->number;
    result.tries = c->tries;
    c->done(c->data, &result);
    call_free(c);
}

/* One try has ended. `response` NULL: it was cancelled. */
static void call_account(struct net *n, struct net_call *c, const struct http_response *response)
{
    int64_t now = net_now(n);
    n->starved = false;
    if (response && response->failure && !response->sent)
        quota_unsent(&n->quota);
    else
        quota_answered(&n->quota, response ? response->status : 0,
                       response && !response->failure ? &response->headers : NULL, c->sent_ms, now,
                       clock_wall_ns(n->options.clock));
    if (!response)
        return;

    n->exchanges++;
    n->bytes += response->wire_bytes;
    n->failures += response->failure != NET_OK;
    struct net_exchange exchange = {
        .number = c->number,
        .try_ = c->tries,
        .method = c->http.method,
        .url = c->http.url,
        .status = response->failure ? 0 : response->status,
        .failure = response->failure,
        .ms = now - c->sent_ms,
        .bytes = response->wire_bytes,
    };
    log_debug("#%" PRIu64 " %s %s: %d%s%s, try %u, %" PRId64 " ms", c->number,
              http_method_name(c->http.method), c->http.url, exchange.status,
              response->failure ? " " : "", response->failure ? response->detail : "", c->tries,
              exchange.ms);
    if (n->options.observer)
        n->options.observer(n->options.observer_data, &exchange);
}

static void call_keep(struct net_call *c, struct http_response *response)
{
    buf_finish(&c->last.body);
    c->last = *response;
    c->answered = true;
    if (response->body.len <= KEPT_BODY_MAX)
        response->body = (struct buf){0};
    else
        buf_init(&c->last.body, KEPT_BODY_MAX);
}

/* A call that the quota stopped. `when` is when it would allow it, or QUOTA_ASK_LATER. */
static void call_finish_quota(struct net *n, struct net_call *c, struct http_response *response,
                              int64_t when)
{
    int64_t wait = when == QUOTA_ASK_LATER ? -1 : when - net_now(n);
    call_finish(n, c,
                (struct net_result){.response = response, .quota = true, .quota_wait_ms = wait});
}

static void call_answered(void *data, struct http_response *response)
{
    struct net_call *c = data;
    struct net *n = c->net;
    int64_t now = net_now(n);
    assert(response); /* a call that was cancelled is not answered */
    call_account(n, c, response);

    /* A time-out before the deadline: net_urge() has moved it out since this try was sent. So
     * its time is not used up, and it is a lost one. */
    enum net_failure failure = response->failure;
    if (failure == NET_TIMEOUT && now + MARGIN_MS < c->deadline.key)
        response->failure = NET_LOST;
    int64_t wall = clock_wall_ns(n->options.clock);
    int64_t wait = retry_after(c->http.method, c->tries, response, wall, &n->rng);
    response->failure = failure;

    if (wait != RETRY_NO && now + wait < c->deadline.key) {
        call_leave(n, c);
        call_keep(c, response);
        c->order.key = now + wait;
        call_enter(n, c, wait > 0 ? CALL_BACKOFF : CALL_READY);
    } else if (response->status == 429) {
        call_finish_quota(n, c, response, quota_when(&n->quota, c->priority, now));
    } else {
        call_finish(n, c, (struct net_result){.response = response});
    }
}

static bool net_has_place(const struct net *n, enum net_priority priority)
{
    unsigned jobs = n->options.jobs;
    if (n->starved || n->sent.count >= jobs)
        return false;
    return priority == NET_PERSON || jobs == 1 || n->sent_not_person < jobs - 1;
}

static void call_send(struct net *n, struct net_call *c, int64_t now)
{
    struct transport *t = n->options.transport;
    c->http.timeout_ms = MAX(c->deadline.key - now - MARGIN_MS, 1);
    c->handle = t->start(t, &c->http, call_answered, c);
    if (c->handle) {
        c->tries++;
        c->sent_ms = now;
        quota_sent(&n->quota, now);
        call_move(n, c, CALL_SENT);
    } else if (n->sent.count > 0) {
        n->starved = true;
    } else {
        struct http_response response = {
            .failure = NET_UNREACHABLE,
            .detail = "out of memory or file descriptors",
        };
        call_finish(n, c, (struct net_result){.response = &response});
    }
}

/* Ends a call at its deadline. */
static void call_expire(struct net *n, struct net_call *c)
{
    struct http_response response = {.failure = NET_TIMEOUT, .sent = c->state == CALL_SENT};
    if (c->state == CALL_SENT) {
        snprintf(response.detail, sizeof(response.detail), "no answer in time");
        n->options.transport->cancel(n->options.transport, c->handle);
        call_account(n, c, &response);
    } else {
        snprintf(response.detail, sizeof(response.detail), "not sent in time: %zu requests wait",
                 n->calls - n->sent.count);
    }
    bool kept = c->answered && c->state != CALL_SENT;
    call_finish(n, c, (struct net_result){.response = kept ? &c->last : &response});
}

/* Ends a call because the quota does not allow it before `when`, which is past its deadline. */
static void call_give_up(struct net *n, struct net_call *c, int64_t when)
{
    struct http_response response = {.failure = NET_TIMEOUT};
    snprintf(response.detail, sizeof(response.detail), "the quota refills in %" PRId64 " s",
             (when - net_now(n) + 999) / 1000);
    call_finish_quota(n, c, c->answered ? &c->last : &response, when);
}

/* The first call of `heap` whose deadline is at or before `until`. Calls that done() submitted
 * in this turn (from `limit` on) wait for the next, so that a turn ends. */
static struct net_call *net_due(const struct heap *heap, int64_t until, uint64_t limit)
{
    struct heap_node *node = heap_first(heap);
    if (!node || node->key > until)
        return NULL;
    struct net_call *c = CONTAINER_OF(node, struct net_call, deadline);
    return c->number < limit ? c : NULL;
}

void net_turn(struct net *n)
{
    int64_t now = net_now(n);
    uint64_t limit = n->next_number;
    struct heap_node *node;
    struct net_call *c;

    while ((c = net_due(&n->sent, now, limit)))
        call_expire(n, c);
    for (enum net_priority p = 0; p < NET_PRIORITY_COUNT; p++) {
        while ((c = net_due(&n->waiting[p], now, limit)))
            call_expire(n, c);
    }
    while ((node = heap_first(&n->backoff)) && node->key <= now)
        call_move(n, CONTAINER_OF(node, struct net_call, order), CALL_READY);

    for (enum net_priority p = 0; p < NET_PRIORITY_COUNT; p++) {
        while (net_has_place(n, p) && (node = heap_first(&n->ready[p])) &&
               node->key < (int64_t)limit && quota_when(&n->quota, p, now) <= now)
            call_send(n, CONTAINER_OF(node, struct net_call, order), now);
    }
    /* Last, because what was just sent has made the quota smaller for all. */
    for (enum net_priority p = 0; p < NET_PRIORITY_COUNT; p++) {
        int64_t when = quota_when(&n->quota, p, now);
        if (when <= now || when == QUOTA_ASK_LATER)
            continue;
        while ((c = net_due(&n->waiting[p], when - 1, limit)))
            call_give_up(n, c, when);
    }
}

int64_t net_next_ms(const struct net *n)
{
    int64_t now = net_now(n);
    int64_t next = INT64_MAX;
    struct heap_node *node;

    if ((node = heap_first(&n->sent)))
        next = MIN(next, node->key);
    if ((node = heap_first(&n->backoff)))
        next = MIN(next, node->key);
    for (enum net_priority p = 0; p < NET_PRIORITY_COUNT; p++) {
        node = heap_first(&n->waiting[p]);
        if (!node)
            continue;
        next = MIN(next, node->key);
        int64_t when = quota_when(&n->quota, p, now);
        if (when == QUOTA_ASK_LATER)
            when = n->quota.refill_ms > now ? n->quota.refill_ms : INT64_MAX;
        else if (when > now && node->key < when)
            return now;
        if (n->ready[p].count > 0 && net_has_place(n, p))
            next = MIN(next, when);
    }
    return next;
}

int net_create(const struct net_options *options, struct net **ret)
{
    struct net *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->options = *options;
    n->options.jobs = MAX(options->jobs, 1);
    n->rng = (struct rng){.state = options->seed};
    n->next_number = 1;
    quota_init(&n->quota, options->reserve_percent, options->per_second);
    *ret = n;
    return 0;
}

/* All heaps that a call's deadline may be in. */
static struct heap *net_deadlines(struct net *n, unsigned i)
{
    return i < NET_PRIORITY_COUNT ? &n->waiting[i] : &n->sent;
}

void net_destroy(struct net *n)
{
    if (!n)
        return;
    for (unsigned i = 0; i <= NET_PRIORITY_COUNT; i++) {
        struct heap_node *node;
        while ((node = heap_first(net_deadlines(n, i))))
            net_cancel(n, CONTAINER_OF(node, struct net_call, deadline));
        heap_finish(net_deadlines(n, i));
    }
    for (enum net_priority p = 0; p < NET_PRIORITY_COUNT; p++)
        heap_finish(&n->ready[p]);
    heap_finish(&n->backoff);
    free(n);
}

static int net_reserve(struct net *n, size_t count)
{
    int r = heap_reserve(&n->backoff, count);
    for (unsigned i = 0; i <= NET_PRIORITY_COUNT && r == 0; i++)
        r = heap_reserve(net_deadlines(n, i), count);
    for (enum net_priority p = 0; p < NET_PRIORITY_COUNT && r == 0; p++)
        r = heap_reserve(&n->ready[p], count);
    return r;
}

static char *put_bytes(char **at, const void *bytes, size_t len)
{
    char *to = *at;
    memcpy(to, bytes, len);
    *at += len;
    return to;
}

/* A call with its own copy of the request: header pointers first, then all the bytes. */
static struct net_call *call_new(const struct http_request *http)
{
    size_t n = 0;
    size_t size = strlen(http->url) + 1 + (http->body ? http->body_len : 0);
    while (http->headers && http->headers[n])
        size += strlen(http->headers[n++]) + 1;
    size += (n + 1) * sizeof(char *);

    struct net_call *c = calloc(1, sizeof(*c) + size);
    if (!c)
        return NULL;
    c->size = size;
    c->http = *http;
    char **headers = (char **)(void *)c->bytes;
    char *at = c->bytes + (n + 1) * sizeof(char *);
    for (size_t i = 0; i < n; i++)
        headers[i] = put_bytes(&at, http->headers[i], strlen(http->headers[i]) + 1);
    c->http.headers = (const char *const *)headers;
    c->http.url = put_bytes(&at, http->url, strlen(http->url) + 1);
    if (http->body)
        c->http.body = put_bytes(&at, http->body, http->body_len);
    return c;
}

struct net_call *net_submit(struct net *n, const struct net_request *request, net_done_fn *done,
                            void *data)
{
    if (n->calls >= NET_CALLS_MAX || net_reserve(n, n->calls + 1) < 0)
        return NULL;
    struct net_call *c = call_new(&request->http);
    if (!c)
        return NULL;
    c->net = n;
    c->priority = request->priority;
    c->deadline.key = request->deadline_ms;
    c->number = n->next_number++;
    c->done = done;
    c->data = data;
    c->state = CALL_DONE;
    n->calls++;
    call_enter(n, c, CALL_READY);
    return c;
}

void net_cancel(struct net *n, struct net_call *call)
{
    if (call->state == CALL_DONE)
        return; /* inside its own done() */
    bool sent = call->state == CALL_SENT;
    call_leave(n, call);
    n->calls--;
    if (sent) {
        n->options.transport->cancel(n->options.transport, call->handle);
        call_account(n, call, NULL);
    }
    call_free(call);
}

void net_urge(struct net *n, struct net_call *call, enum net_priority priority, int64_t deadline_ms)
{
    enum call_state state = call->state;
    if (state == CALL_DONE)
        return;
    call_leave(n, call);
    call->priority = MIN(call->priority, priority);
    call->deadline.key = MAX(call->deadline.key, deadline_ms);
    call_enter(n, call, state);
}

void net_get_stats(const struct net *n, struct net_stats *ret)
{
    *ret = (struct net_stats){
        .quota = n->quota,
        .waiting = (unsigned)(n->calls - n->sent.count),
        .sent = (unsigned)n->sent.count,
        .exchanges = n->exchanges,
        .bytes = n->bytes,
        .failures = n->failures,
    };
    quota_refresh(&ret->quota, net_now(n));
}
