/* sim: from a seed to a world and a list of events. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

#define LONG_ONE_IN 40 /* runs: such a one takes as long as ten others */

static const struct {
    const char *name;
    unsigned weight;
} kinds[EVENT_KIND_COUNT] = {
    [EVENT_ACT] = {"act", 120},     [EVENT_WEATHER] = {"weather", 20},
    [EVENT_DISK] = {"disk", 6},     [EVENT_OTHER] = {"other", 30},
    [EVENT_SIGNAL] = {"signal", 8}, [EVENT_FORGET] = {"forget", 6},
    [EVENT_CRASH] = {"crash", 6},   [EVENT_UNMOUNT] = {"unmount", 2},
};

static enum event_kind draw_kind(struct rng *rng)
{
    unsigned sum = 0;
    for (size_t i = 0; i < EVENT_KIND_COUNT; i++)
        sum += kinds[i].weight;
    uint64_t n = rng_below(rng, sum);
    for (enum event_kind k = 0;; k++) {
        if (n < kinds[k].weight)
            return k;
        n -= kinds[k].weight;
    }
}

/* Most follow each other closely: what goes wrong goes wrong between two things at once. */
static int64_t draw_wait(struct rng *rng)
{
    static const uint64_t ranges[] = {1, 5, 30, 30, 300, 300, 3000, 30000, 120000};
    return (int64_t)rng_below(rng, ranges[rng_below(rng, ARRAY_SIZE(ranges))]);
}

/* An account that is listed in parts. */
static void make_long(struct plan *p, struct rng *rng)
{
    static const unsigned jobs[] = {3, 8, 8, 16};
    p->bulk = 2000 + (unsigned)rng_below(rng, 2500);
    p->ids = (enum id_pattern)rng_below(rng, IDS_COUNT);
    p->page_max = 0;
    p->jobs = jobs[rng_below(rng, ARRAY_SIZE(jobs))];
    p->ignores_order = rng_below(rng, 3) == 0;
    p->cursors_must_exist = rng_below(rng, 4) == 0;
    if (p->quota_limit)
        p->quota_limit *= 10;
    if (p->ttl_ms < 10000 && rng_below(rng, 3)) /* else every reader walks through all of it */
        p->ttl_ms = 10000;
}

void plan_make(struct plan *p, uint64_t seed, size_t count)
{
    static const int64_t ttls[] = {0, 1000, 10000, 60000, 60000};
    static const int64_t timeouts[] = {3000, 10000, 30000};
    static const unsigned jobs[] = {1, 2, 8, 8};
    static const size_t pages[] = {0, 3, 5, 7};
    static const unsigned limits[] = {0, 1, 3, 50};
    /* Hashed: the generator counts on, and the draws of the next seed would be these ones again. */
    struct rng rng = {.state = hash_bytes(&seed, sizeof(seed))};
    *p = (struct plan){.seed = seed, .count = count};
    p->ttl_ms = ttls[rng_below(&rng, ARRAY_SIZE(ttls))];
    p->timeout_ms = timeouts[rng_below(&rng, ARRAY_SIZE(timeouts))];
    p->kernel_ms = (int64_t)rng_below(&rng, 4) * 5;
    p->jobs = jobs[rng_below(&rng, ARRAY_SIZE(jobs))];
    p->contacts = 2 + (unsigned)rng_below(&rng, 15);
    p->page_max = pages[rng_below(&rng, ARRAY_SIZE(pages))];
    p->delete_limit = limits[rng_below(&rng, ARRAY_SIZE(limits))];
    p->later_ms = (int64_t)rng_below(&rng, 3000);
    if (rng_below(&rng, 4) == 0) {
        p->quota_limit = 6 + (int64_t)rng_below(&rng, 40);
        p->quota_window_ms = 10000 + (int64_t)rng_below(&rng, 50000);
    }
    if (rng_below(&rng, LONG_ONE_IN) == 0)
        make_long(p, &rng);
    uint64_t mount = rng_below(&rng, 24);
    p->ro = mount < 4;
    p->dry_run = mount == 4;
    p->crowded = !p->bulk && rng_below(&rng, 6) == 0;
    if (p->crowded && p->ttl_ms == 0)
        p->ttl_ms = 1000;
    p->gateway = rng_below(&rng, 4) == 0;
    p->events = calloc(count + 1, sizeof(*p->events));
    assert_non_null(p->events);
    bool fine = rng_below(&rng, 5) == 0; /* nothing goes wrong: what must hold then is more */
    for (size_t i = 0; i < count; i++) {
        struct event *e = &p->events[i];
        *e = (struct event){.kind = draw_kind(&rng), .index = (unsigned)i};
        e->wait_ms = draw_wait(&rng);
        if (p->crowded)
            e->wait_ms = MIN(e->wait_ms, 1000);
        e->seed = rng_next(&rng);
        if (fine && (e->kind == EVENT_WEATHER || e->kind == EVENT_DISK || e->kind == EVENT_CRASH))
            e->kind = EVENT_ACT;
    }
}

const char *event_name(enum event_kind kind)
{
    return kinds[kind].name;
}

void plan_finish(struct plan *p)
{
    free(p->events);
    p->events = NULL;
}

void plan_print(const struct plan *p)
{
    printf("seed %llu: %zu events, ttl %lld ms, timeout %lld ms, %u jobs, %u contacts, pages of "
           "%zu, quota %lld in %lld ms, %u more, %s%s%s\n",
           (unsigned long long)p->seed, p->count, (long long)p->ttl_ms, (long long)p->timeout_ms,
           p->jobs, p->contacts, p->page_max, (long long)p->quota_limit,
           (long long)p->quota_window_ms, p->bulk,
           p->ro        ? "ro"
           : p->dry_run ? "dry_run"
                        : "rw",
           p->gateway   ? ", gateway"
           : p->crowded ? ", crowded"
                        : "",
           p->cursors_must_exist ? ", strange cursors" : "");
}
