/* The queue against servers with a mind of their own, from seeds. */
#include "systemefs/net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net_fixture.h"
#include "systemefs/base/macros.h"

/* A server that does everything a bad day brings, with a real quota. */
struct bad_day {
    struct fixture *f;
    struct rng rng;
    int64_t window;
    int used;
    char remaining[40], refill[40], retry[40];
    const char *headers[5];
};

static void bad_day_respond(void *data, const struct scripted_request *request UNUSED,
                            struct scripted_answer *answer)
{
    struct bad_day *d = data;
    static const int statuses[] = {200, 404, 422, 500, 503, 429};
    int64_t window = d->f->clock.mono_ms / SEC(10);
    if (window != d->window)
        d->used = 0;
    d->window = window;
    bool over = d->used >= 40;
    if (!over)
        d->used++;
    snprintf(d->remaining, sizeof(d->remaining), "X-RateLimit-Remaining: %d", 40 - d->used);
    snprintf(d->refill, sizeof(d->refill), "X-RateLimit-Refill: %lld",
             (long long)((SEC(10) - d->f->clock.mono_ms % SEC(10)) / 1000));
    snprintf(d->retry, sizeof(d->retry), "Retry-After: %d", (int)rng_below(&d->rng, 4));
    d->headers[0] = "X-RateLimit-Limit: 40";
    d->headers[1] = d->remaining;
    d->headers[2] = d->refill;
    d->headers[3] = over || rng_below(&d->rng, 4) == 0 ? d->retry : NULL;
    *answer = (struct scripted_answer){
        .delay_ms = (int64_t)rng_below(&d->rng, rng_below(&d->rng, 10) ? 300 : 9000),
        .headers = rng_below(&d->rng, 8) ? d->headers : NULL,
        .status = over ? 429 : statuses[rng_below(&d->rng, 10) % ARRAY_SIZE(statuses)],
        .body = "x",
    };
    if (rng_below(&d->rng, 6) == 0)
        answer->failure = (enum net_failure)rng_below(&d->rng, NET_FAILURE_COUNT);
    answer->unsent = rng_below(&d->rng, 2);
    answer->never = rng_below(&d->rng, 40) == 0;
}

static void stress(uint64_t seed)
{
    enum { CALLS = 150 };
    struct fixture f;
    struct outcome o[CALLS] = {{.dones = 0}};
    bool cancelled[CALLS] = {false};
    int64_t deadline[CALLS];
    struct bad_day day = {.f = &f, .rng = {.state = seed}};
    struct rng *rng = &day.rng;
    size_t n = 0;
    unsigned jobs = 1 + (unsigned)rng_below(rng, 6);
    int64_t quiet = 0;

    fixture_init(&f, jobs, 10, rng_below(rng, 2) ? 10 : 0);
    scripted_reorder(&f.server, seed);
    scripted_respond(&f.server, bad_day_respond, &day);
    while (n < CALLS || quiet < SEC(40)) {
        scripted_turn(&f.server);
        uint64_t dice = rng_below(rng, 8);
        size_t k = rng_below(rng, n + 1);
        if (n < CALLS && dice < 4) {
            int64_t within = (int64_t)rng_below(rng, SEC(30));
            deadline[n] = f.clock.mono_ms + within;
            fixture_submit(&f, &o[n++], (enum http_method)rng_below(rng, HTTP_METHOD_COUNT), "/x",
                           (enum net_priority)rng_below(rng, NET_PRIORITY_COUNT), within);
        } else if (k < n && o[k].call && dice == 4) {
            net_cancel(f.net, o[k].call);
            o[k].call = NULL;
            cancelled[k] = true;
        } else if (k < n && o[k].call && dice == 5) {
            int64_t more = f.clock.mono_ms + (int64_t)rng_below(rng, SEC(10));
            net_urge(f.net, o[k].call, (enum net_priority)rng_below(rng, NET_PRIORITY_COUNT), more);
            deadline[k] = MAX(deadline[k], more);
        }
        net_turn(f.net);
        struct net_stats stats;
        net_get_stats(f.net, &stats);
        assert_int_equal(stats.sent, f.server.under_way);
        assert_true(stats.sent <= jobs);
        assert_int_equal(stats.quota.in_flight, stats.sent);

        /* After a turn there is nothing left to do now, and something to wake up for. */
        int64_t next = MIN(net_next_ms(f.net), scripted_next_ms(&f.server));
        assert_true(net_next_ms(f.net) > f.clock.mono_ms);
        if (stats.waiting + stats.sent > 0)
            assert_true(next < INT64_MAX);
        int64_t step = (int64_t)rng_below(rng, n < CALLS ? 400 : 2000);
        if (next != INT64_MAX && rng_below(rng, 2))
            step = MAX(next - f.clock.mono_ms, 0);
        quiet = stats.waiting + stats.sent == 0 ? quiet + step + 1 : 0;
        clock_manual_advance(&f.clock, step);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(o[i].dones, cancelled[i] ? 0 : 1);
        /* Steps of up to two seconds are how late this loop wakes up. */
        if (!cancelled[i])
            assert_true(o[i].at_ms <= deadline[i] + 2000);
    }
    fixture_finish(&f);
}

static void test_stress(void **state UNUSED)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        stress(seed);
}

/* The whole queue against a fixed window: all that is allowed is used, and not one too many. */
static void window_respond(void *data, const struct scripted_request *request UNUSED,
                           struct scripted_answer *answer)
{
    struct bad_day *d = data;
    int64_t window = d->f->clock.mono_ms / SEC(10);
    if (window != d->window)
        d->used = 0;
    d->window = window;
    assert_true(d->used < 40);
    d->used++;
    snprintf(d->remaining, sizeof(d->remaining), "X-RateLimit-Remaining: %d", 40 - d->used);
    /* Both clocks started at the same moment, mono at 5 s. */
    snprintf(d->refill, sizeof(d->refill), "X-RateLimit-Refill: %lld",
             1767225600 - 5 + (long long)(window + 1) * 10);
    d->headers[0] = "X-RateLimit-Limit: 40";
    d->headers[1] = d->remaining;
    d->headers[2] = d->refill;
    *answer = (struct scripted_answer){
        .headers = d->headers,
        .delay_ms = 20 + (int64_t)rng_below(&d->rng, 200),
    };
}

static void test_quota_is_used_up(void **state UNUSED)
{
    enum { CALLS = 1000 };
    struct fixture f;
    struct outcome *o = calloc(CALLS, sizeof(*o));
    struct bad_day day = {.f = &f};
    assert_non_null(o);

    fixture_init(&f, 8, 0, 0);
    scripted_respond(&f.server, window_respond, &day);
    for (size_t i = 0; i < CALLS; i++)
        fixture_submit(&f, &o[i], HTTP_GET, "/x", NET_LISTING, SEC(3600));
    fixture_run(&f, SEC(95)); /* half a window and nine whole ones */
    assert_in_range(f.server.count, 40 * 10 * 95 / 100, 40 * 10);
    fixture_finish(&f);
    free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stress),
        cmocka_unit_test(test_quota_is_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
