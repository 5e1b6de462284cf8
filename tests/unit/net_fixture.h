/*
 * net_fixture: a net/net queue over the scripted transport, and what became of its calls.
 *
 * Layer: tests. The caller owns fixture and outcomes; an outcome must live until its call is done
 * or cancelled.
 */
#pragma once

#include "systemefs/net/net.h"

#include "scripted.h"

#define MS(n)  (n)
#define SEC(n) ((n)*1000LL)

/* What became of one call. */
struct outcome {
    struct fixture *f;
    struct net_call *call;
    unsigned dones;
    enum net_failure failure;
    int status;
    bool quota, sent;
    int64_t quota_wait_ms;
    uint64_t number;
    unsigned tries;
    int64_t at_ms;
    char body[64];
    void (*then)(struct outcome *o); /* called from done(), last */
    struct outcome *other;
};

struct fixture {
    struct clock_manual clock;
    struct scripted server;
    struct net *net;
    unsigned observed;
    struct net_exchange last;
    char last_url[64];
};

/* A queue whose mono clock stands at 5 s and whose wall clock at 2026-01-01T00:00:00Z. */
void fixture_init(struct fixture *f, unsigned jobs, unsigned reserve, unsigned per_second);
/* Fails the test when something is still under way afterwards, or was expected in vain. */
void fixture_finish(struct fixture *f);
/* Submits with a deadline `within_ms` from now. */
void fixture_submit(struct fixture *f, struct outcome *o, enum http_method method, const char *url,
                    enum net_priority priority, int64_t within_ms);
/* The net_done_fn of an outcome, for calls that are submitted by hand. */
void fixture_done(void *outcome, struct net_result *result);
/* The owner's loop, without its sleep: all that is to be done until `ms` from now. */
void fixture_run(struct fixture *f, int64_t ms);
