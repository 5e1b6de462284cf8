/*
 * net/net: the queue of requests between those who ask and the transport.
 *
 *   submit -> ready -> sent -> done
 *               ^       |
 *               +-- back-off (retry)
 *
 * It sends the most urgent first (enum net_priority, then first come first served), at most
 * `jobs` at once, only as the quota allows, again where net/retry says so, and never past the
 * deadline: a call whose quota does not refill before its deadline fails at once with
 * net_result.quota set, one without an answer at its deadline fails as NET_TIMEOUT. A call that
 * was answered with an error worth another try, and has no time left for it, ends with that
 * answer. One place of `jobs` is kept free of NET_LISTING and NET_AHEAD (where jobs > 1), so that
 * a person never queues behind a walk.
 *
 * Each call ends in exactly one done(), called from net_turn() or from the transport, never from
 * inside net_submit(); after net_cancel() there is none. done() may submit and cancel; what it
 * submits is looked at in the next turn at the latest.
 *
 * The owner calls net_turn() after each wake-up and sleeps at most until net_next_ms().
 *
 * Layer: net. It does not know what the requests mean. Waiting calls cost memory and O(log n).
 */
#pragma once

#include "systemefs/base/clock.h"
#include "systemefs/net/quota.h"
#include "systemefs/net/transport.h"

#define NET_CALLS_MAX (1u << 18) /* waiting and sent at once */

struct net;
struct net_call;

/* What becomes of a call. */
struct net_result {
    struct http_response *response; /* the last answer or failure; never NULL */
    bool quota;            /* not sent (again): the quota does not refill before the deadline */
    int64_t quota_wait_ms; /* when `quota`: how long until it refills, -1 when unknown */
    uint64_t number;       /* the request number, as in the log */
    unsigned tries;        /* how often it was sent */
};
typedef void net_done_fn(void *data, struct net_result *result);

/* One HTTP exchange that has ended, told to the observer: once a try. */
struct net_exchange {
    uint64_t number; /* the call's; the same for its retries */
    unsigned try_;   /* from 1 */
    enum http_method method;
    const char *url;
    int status; /* 0: failed, see failure */
    enum net_failure failure;
    int64_t ms;
    size_t bytes; /* on the wire */
};
typedef void net_observer_fn(void *data, const struct net_exchange *exchange);

struct net_options {
    struct transport *transport;
    const struct clock *clock;
    uint64_t seed;             /* of the jitter */
    unsigned jobs;             /* 1 or more */
    unsigned reserve_percent;  /* of the quota */
    unsigned per_second;       /* pace; 0: none */
    net_observer_fn *observer; /* may be NULL */
    void *observer_data;
};

int net_create(const struct net_options *options, struct net **ret);
/* Cancels all calls without done(). Accepts NULL. */
void net_destroy(struct net *n);

struct net_request {
    struct http_request http; /* timeout_ms is ignored: the deadline rules. Everything is copied */
    enum net_priority priority;
    int64_t deadline_ms; /* mono */
};
/* NULL when out of memory or past NET_CALLS_MAX. The handle is valid until done() is called. */
struct net_call *net_submit(struct net *n, const struct net_request *request, net_done_fn *done,
                            void *data);
void net_cancel(struct net *n, struct net_call *call);
/* Somebody more urgent now waits for it: raises its priority and moves its deadline out (never in).
 */
void net_urge(struct net *n, struct net_call *call, enum net_priority priority,
              int64_t deadline_ms);

/* Sends what may go, ends what is past its deadline. */
void net_turn(struct net *n);
/* Mono time of the next thing to do, INT64_MAX when there is none but answers. */
int64_t net_next_ms(const struct net *n);

struct net_stats {
    struct quota quota;        /* a copy */
    unsigned waiting, sent;    /* calls now */
    uint64_t exchanges, bytes; /* tries that ended, since the start */
    uint64_t failures;         /* those of them without an answer */
};
void net_get_stats(const struct net *n, struct net_stats *ret);
