#include "net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"

static void observe(void *data, const struct net_exchange *exchange)
{
    struct fixture *f = data;
    f->observed++;
    f->last = *exchange;
    snprintf(f->last_url, sizeof(f->last_url), "%s", exchange->url);
}

void fixture_init(struct fixture *f, unsigned jobs, unsigned reserve, unsigned per_second)
{
    *f = (struct fixture){.net = NULL};
    clock_manual_init(&f->clock, 5000, 1767225600000000000LL);
    scripted_init(&f->server, &f->clock.clock);
    const struct net_options options = {
        .transport = &f->server.transport,
        .clock = &f->clock.clock,
        .seed = 1,
        .jobs = jobs,
        .reserve_percent = reserve,
        .per_second = per_second,
        .observer = observe,
        .observer_data = f,
    };
    assert_int_equal(net_create(&options, &f->net), 0);
}

void fixture_finish(struct fixture *f)
{
    net_destroy(f->net);
    assert_int_equal(f->server.under_way, 0);
    scripted_finish(&f->server);
}

void fixture_done(void *data, struct net_result *result)
{
    struct outcome *o = data;
    assert_non_null(result->response);
    o->call = NULL;
    o->dones++;
    o->failure = result->response->failure;
    o->status = result->response->status;
    o->sent = result->response->sent;
    o->quota = result->quota;
    o->quota_wait_ms = result->quota_wait_ms;
    o->number = result->number;
    o->tries = result->tries;
    o->at_ms = o->f->clock.mono_ms;
    snprintf(o->body, sizeof(o->body), "%s",
             result->response->body.data ? result->response->body.data : "");
    if (o->then)
        o->then(o);
}

void fixture_submit(struct fixture *f, struct outcome *o, enum http_method method, const char *url,
                    enum net_priority priority, int64_t within_ms)
{
    const struct net_request request = {
        .http = {.method = method, .url = url, .max_body = 1 << 20},
        .priority = priority,
        .deadline_ms = f->clock.mono_ms + within_ms,
    };
    o->f = f;
    o->call = net_submit(f->net, &request, fixture_done, o);
    assert_non_null(o->call);
    assert_int_equal(o->dones, 0);
}

void fixture_run(struct fixture *f, int64_t ms)
{
    int64_t end = f->clock.mono_ms + ms;
    for (;;) {
        scripted_turn(&f->server);
        net_turn(f->net);
        int64_t next = MIN(net_next_ms(f->net), scripted_next_ms(&f->server));
        if (next > end)
            break;
        clock_manual_advance(&f->clock, MAX(next - f->clock.mono_ms, 0));
    }
    clock_manual_advance(&f->clock, end - f->clock.mono_ms);
}
