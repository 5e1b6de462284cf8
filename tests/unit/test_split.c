/* store/split: long walks whose parts are fetched at once. Whatever the ids look like and the
 * server does, the listing is whole, in order and without repetition; and what it costs is bounded.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/rng.h"

#include "world.h"

#define TTL   60000
#define DELAY 100

/* How the ids of an account may lie. */
enum layout { DENSE, SPARSE, CLUSTERED, HIGH, LAYOUT_COUNT };

static void fill(struct world *w, enum layout layout, size_t count)
{
    struct rng rng = {.state = 7};
    uint64_t id = layout == HIGH ? 246000000 : 1;
    uint64_t *ids = malloc((count + 1) * sizeof(*ids));
    assert_non_null(ids);
    for (size_t i = 0; i < count; i++) {
        ids[i] = id;
        id += layout == DENSE ? 1 : 1 + rng_below(&rng, 40);
        if (layout == CLUSTERED && rng_below(&rng, 900) == 0)
            id += 200000 + rng_below(&rng, 200000);
    }
    for (size_t i = count; i-- > 0;) /* the quickest order */
        world_putf(w, RES_CONTACT, "{\"id\":%" PRIu64 ",\"email\":\"c%" PRIu64 "@example.com\"}",
                   ids[i], ids[i]);
    free(ids);
}

/* Lists all, and compares with what the account holds. */
static void check_whole(struct world *w)
{
    const struct world_table *t = &w->tables[RES_CONTACT];
    assert_int_equal(world_list(w, RES_CONTACT, world_home(w, RES_CONTACT)), 0);
    const char *p = w->text;
    for (size_t i = 0; i < t->count; i++) {
        char *end;
        assert_int_equal(strtoull(p, &end, 10), t->rows[i].number);
        p = end;
    }
    assert_int_equal(*p, '\0');
}

static size_t pages(size_t records)
{
    return (records + 99) / 100;
}

static void test_short(void **state UNUSED)
{
    for (size_t count = 0; count <= 2000; count += 500) {
        struct world w;
        world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
        fill(&w, SPARSE, count);
        w.delay_ms = DELAY;
        check_whole(&w);
        assert_int_equal(world_requests(&w), count ? pages(count) : 1);
        world_finish(&w);
    }
}

static void test_long(void **state UNUSED)
{
    for (enum layout layout = 0; layout < LAYOUT_COUNT; layout++) {
        for (int ignores = 0; ignores < 2; ignores++) {
            struct world w;
            const size_t count = 12000;
            world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
            fill(&w, layout, count);
            w.delay_ms = DELAY;
            w.ignores_order = ignores;
            int64_t began_ms = clock_mono_ms(&w.clock.clock);
            check_whole(&w);
            int64_t rounds = (clock_mono_ms(&w.clock.clock) - began_ms) / DELAY;
            size_t most = pages(count) + pages(count) / 20 + 1;
            if (world_requests(&w) > most || rounds > (int64_t)pages(count) * 9 / 10)
                fail_msg("layout %d, order %s: %zu requests, %d rounds", (int)layout,
                         ignores ? "ignored" : "kept", world_requests(&w), (int)rounds);
            assert_true(w.server.under_way_max > 1);
            /* Known now, and whole. */
            size_t before = world_requests(&w);
            check_whole(&w);
            assert_int_equal(world_requests(&w), before);
            world_finish(&w);
        }
    }
}

/* Whether the API honours order=asc is learnt from a request that is of use either way; then it is
 * asked again, or never. */
static void test_order_learnt(void **state UNUSED)
{
    for (int ignores = 0; ignores < 2; ignores++) {
        struct world w;
        world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
        fill(&w, HIGH, 5000);
        w.delay_ms = DELAY;
        w.ignores_order = ignores;
        check_whole(&w);
        size_t asked = scripted_count(&w.server, HTTP_GET, "order=asc");
        assert_true(ignores ? asked == 1 : asked > 5);
        /* The next walk begins with the other end, which wastes nothing. */
        world_advance(&w, 2 * TTL);
        size_t before = world_requests(&w);
        check_whole(&w);
        size_t again = scripted_count(&w.server, HTTP_GET, "order=asc");
        assert_true(ignores ? again == 1 : again > asked);
        size_t other_end = 0;
        for (size_t i = before; i < before + 22; i++)
            other_end += strstr(w.server.requests[i].url, "order=asc") &&
                         !strstr(w.server.requests[i].url, "startingAfter");
        assert_int_equal(other_end, ignores ? 0 : 1);
        world_finish(&w);
    }
}

static void test_few_jobs(void **state UNUSED)
{
    struct world w;
    world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 2});
    fill(&w, SPARSE, 4000);
    w.delay_ms = DELAY;
    check_whole(&w);
    assert_int_equal(world_requests(&w), 40);
    world_finish(&w);
}

/* The less is left of the quota, the fewer requests are under way at once. */
static void test_quota(void **state UNUSED)
{
    static const struct {
        const char *limit, *remaining;
        size_t least, most; /* at the same time, the walk's own included */
    } rows[] = {
        {"X-RateLimit-Limit: 1000", "X-RateLimit-Remaining: 1000", 8, 15},
        {"X-RateLimit-Limit: 40", "X-RateLimit-Remaining: 40", 3, 6},
        {"X-RateLimit-Limit: 16", "X-RateLimit-Remaining: 16", 2, 3},
        {"X-RateLimit-Limit: 7", "X-RateLimit-Remaining: 7", 1, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *headers[] = {rows[i].limit, rows[i].remaining, "X-RateLimit-Refill: 3600",
                                 NULL};
        struct world w;
        world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
        fill(&w, SPARSE, 9000);
        w.delay_ms = DELAY;
        w.headers = headers;
        check_whole(&w);
        assert_in_range(w.server.under_way_max, rows[i].least, rows[i].most);
        world_finish(&w);
    }
}

/* A cursor must be somebody's id: the parts are given up, and nothing is missing. */
static void test_strange_cursors(void **state UNUSED)
{
    for (int how = CURSOR_EMPTY; how <= CURSOR_SKIPS; how++) {
        for (int ignores = 0; ignores < 2; ignores++) {
            struct world w;
            world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
            fill(&w, CLUSTERED, 6000);
            w.delay_ms = DELAY;
            w.ignores_order = ignores;
            w.strange_cursor = how;
            check_whole(&w);
            /* Parts that do not meet show only where they should: what they brought is asked for
             * anew. */
            size_t wasted = how == CURSOR_SKIPS   ? pages(6000)
                            : how == CURSOR_FIRST ? 2
                                                  : pages(6000) / 20;
            assert_true(world_requests(&w) <= pages(6000) + wasted);
            world_finish(&w);
        }
    }
}

/* Two parts that are both ahead of the walk do not meet. */
static void test_strange_far_away(void **state UNUSED)
{
    for (int ignores = 0; ignores < 2; ignores++) {
        struct world w;
        world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
        for (uint64_t n = 16000; n > 0; n--) /* so that cursors are nobody's */
            world_putf(&w, RES_CONTACT, "{\"id\":%" PRIu64 ",\"email\":\"c@example.com\"}",
                       10 * n + n % 2);
        w.delay_ms = DELAY;
        w.ignores_order = ignores;
        w.strange_cursor = CURSOR_SKIPS;
        w.strange_below = 50000;
        check_whole(&w);
        world_finish(&w);
    }
}

/* Pages of the parts fail: the walk goes on alone. */
static void test_failures(void **state UNUSED)
{
    struct world w;
    world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
    fill(&w, SPARSE, 6000);
    w.delay_ms = DELAY;
    w.ignores_order = true;
    /* The first request behind the twentieth page is that for the other end, then come the parts.
     */
    scripted_expect(&w.server, HTTP_GET, "order=asc", &(struct scripted_answer){.status = 403});
    check_whole(&w);
    world_finish(&w);
}

/* Records go, and come, while it is walked. */
static void test_changes(void **state UNUSED)
{
    struct world w;
    struct run run = {.res = RES_CONTACT};
    world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
    fill(&w, DENSE, 8000);
    w.delay_ms = DELAY;
    run.listing = world_home(&w, RES_CONTACT);
    run_begin(&w, &run, run_whole);
    for (int i = 0; i < 30; i++) {
        char id[32];
        world_turn(&w);
        world_advance(&w, DELAY);
        snprintf(id, sizeof(id), "%d", 5600 - i * 150);
        world_remove(&w, RES_CONTACT, id);
    }
    assert_int_equal(world_run(&w, &run), 0);
    /* Every record that was there all the time is there once, in order. */
    uint64_t last = UINT64_MAX;
    size_t n = 0;
    for (char *p = run.text, *end; *p; p = end, n++) {
        uint64_t id = strtoull(p, &end, 10);
        assert_true(id < last);
        last = id;
    }
    assert_in_range(n, w.tables[RES_CONTACT].count, 8000);
    run_finish(&run);
    world_finish(&w);
}

/* Every record that the walk has not come down to is replaced by another one, while parts of them
 * have been fetched: where they meet they do not fit, and the walk lists what there is now. */
static void test_replaced(void **state UNUSED)
{
    struct world w;
    struct run run = {.res = RES_CONTACT};
    const uint64_t count = 20000, from = count - 6500;
    world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
    for (uint64_t n = count; n > 0; n--)
        world_putf(&w, RES_CONTACT, "{\"id\":%" PRIu64 "}", 10 * n);
    w.delay_ms = DELAY;
    w.ignores_order = true; /* otherwise parts grow towards each other, and meet in what is new */
    run.listing = world_home(&w, RES_CONTACT);
    run_begin(&w, &run, run_whole);
    world_advance(&w, 62 * DELAY);
    struct world_table *t = &w.tables[RES_CONTACT];
    for (size_t i = count - from; i < t->count; i++) {
        struct world_row *row = &t->rows[i];
        free(row->text);
        assert_true(asprintf(&row->text, "{\"id\":%" PRIu64 "}", --row->number) > 0);
        snprintf(row->id, sizeof(row->id), "%" PRIu64, row->number);
    }
    assert_int_equal(world_run(&w, &run), 0);
    uint64_t n = count;
    for (char *p = run.text, *end; *p; p = end, n--)
        assert_int_equal(strtoull(p, &end, 10), 10 * n - (n <= from));
    assert_int_equal(n, 0);
    run_finish(&run);
    world_finish(&w);
}

/* The store goes while parts are under way. */
static void test_destroyed(void **state UNUSED)
{
    struct world w;
    struct run run = {.res = RES_CONTACT};
    world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
    fill(&w, DENSE, 12000);
    w.delay_ms = DELAY;
    run.listing = world_home(&w, RES_CONTACT);
    run_begin(&w, &run, run_whole);
    for (int i = 0; i < 25; i++) {
        world_turn(&w);
        world_advance(&w, DELAY);
    }
    assert_true(w.server.under_way > 2);
    run_finish(&run);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short),     cmocka_unit_test(test_long),
        cmocka_unit_test(test_few_jobs),  cmocka_unit_test(test_order_learnt),
        cmocka_unit_test(test_quota),     cmocka_unit_test(test_strange_cursors),
        cmocka_unit_test(test_failures),  cmocka_unit_test(test_strange_far_away),
        cmocka_unit_test(test_changes),   cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
