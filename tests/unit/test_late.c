/* store: answers come late, in any order, and around a refresh. An answer to an older question
 * never overwrites the answer to a newer one. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

#define TTL 60000

static void init(struct world *w, int64_t ttl_ms)
{
    world_init(w, &(struct world_options){.ttl_ms = ttl_ms});
}

static void test_old_record_after_new_page(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    struct run a = {.res = RES_TAG, .key = 7};
    world_put(&w, RES_TAG, "{\"id\":7,\"v\":1}");
    w.delay_ms = 500;
    run_begin(&w, &a, run_record);
    world_turn(&w);
    world_put(&w, RES_TAG, "{\"id\":7,\"v\":2}");
    w.delay_ms = 10;
    assert_int_equal(world_list(&w, RES_TAG, world_home(&w, RES_TAG)), 0);
    assert_int_equal(world_run(&w, &a), 0);
    assert_string_equal(a.text, "{\"id\":7,\"v\":2}");
    world_advance(&w, 1000);
    assert_string_equal(store_peek(w.store, RES_TAG, 7)->text, "{\"id\":7,\"v\":2}");
    run_finish(&a);
    world_finish(&w);
}

static void test_old_page_after_new_record(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    struct run a = {.res = RES_TAG, .listing = world_home(&w, RES_TAG)};
    world_put(&w, RES_TAG, "{\"id\":6}");
    world_put(&w, RES_TAG, "{\"id\":7,\"v\":1}");
    w.delay_ms = 500;
    run_begin(&w, &a, run_whole);
    world_turn(&w);
    /* One is changed, one is deleted, one is made behind the page's back. */
    world_put(&w, RES_TAG, "{\"id\":7,\"v\":2}");
    world_remove(&w, RES_TAG, "6");
    world_put(&w, RES_TAG, "{\"id\":8}");
    w.delay_ms = 10;
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_int_equal(world_record(&w, RES_TAG, "6"), -ENOENT);
    assert_int_equal(world_record(&w, RES_TAG, "8"), 0);
    assert_int_equal(world_run(&w, &a), 0);
    assert_string_equal(store_peek(w.store, RES_TAG, 7)->text, "{\"id\":7,\"v\":2}");
    assert_null(store_peek(w.store, RES_TAG, 6));
    assert_non_null(store_peek(w.store, RES_TAG, 8));
    run_finish(&a);
    world_finish(&w);
}

/* A 404 to an old question is not the answer to whoever has asked later and waits for it. */
static void test_old_404(void **state UNUSED)
{
    struct world w;
    init(&w, 0);
    struct run a = {.res = RES_TAG, .key = 7}, b = a;
    w.delay_ms = 500;
    run_begin(&w, &a, run_record);
    world_turn(&w);
    world_put(&w, RES_TAG, "{\"id\":7}");
    w.delay_ms = 10;
    assert_int_equal(world_list(&w, RES_TAG, world_home(&w, RES_TAG)), 0);
    run_begin(&w, &b, run_record);
    assert_int_equal(world_run(&w, &b), 0);
    assert_int_equal(world_run(&w, &a), 0);
    run_finish(&a);
    run_finish(&b);
    world_finish(&w);
}

/* What was asked before a refresh does not end the refresh. */
static void test_refresh_under_way(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    struct run a = {.res = RES_TAG, .key = 7};
    world_put(&w, RES_TAG, "{\"id\":7,\"v\":1}");
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    world_advance(&w, TTL);
    w.delay_ms = 500;
    run_begin(&w, &a, run_record);
    world_turn(&w);
    world_put(&w, RES_TAG, "{\"id\":7,\"v\":2}");
    store_refresh_record(w.store, RES_TAG, 7);
    w.delay_ms = 10;
    /* Whoever reads now must see what is true now. */
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_string_equal(w.text, "{\"id\":7,\"v\":2}");
    assert_int_equal(world_run(&w, &a), 0);
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_string_equal(w.text, "{\"id\":7,\"v\":2}");
    run_finish(&a);

    /* Nobody reads meanwhile: the old answer is kept, but not believed. */
    world_advance(&w, TTL);
    struct run b = {.res = RES_TAG, .key = 7};
    w.delay_ms = 500;
    run_begin(&w, &b, run_record);
    world_turn(&w);
    world_put(&w, RES_TAG, "{\"id\":7,\"v\":3}");
    store_refresh_record(w.store, RES_TAG, 7);
    assert_int_equal(world_run(&w, &b), 0);
    assert_int_equal(store_record_valid_ms(w.store, store_peek(w.store, RES_TAG, 7)), 0);
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_string_equal(w.text, "{\"id\":7,\"v\":3}");
    run_finish(&b);
    world_finish(&w);
}

struct seen {
    unsigned version[8]; /* the newest that an ended operation has seen */
};

static void see(struct seen *seen, struct run *run, const unsigned *floor)
{
    unsigned id = 0, v = 0;
    assert_int_equal(run->ends, 1);
    assert_int_equal(run->result, 0);
    assert_int_equal(sscanf(run->text, "{\"id\":%u,\"v\":%u", &id, &v), 2);
    if (v < *floor)
        fail_msg("tag %u: version %u after version %u was seen", id, v, *floor);
    seen->version[id] = MAX(seen->version[id], v);
    run_finish(run);
}

/* Whatever order answers come in, nobody sees an older version than somebody has seen before he
 * began; and at the end everybody sees the last. */
static void test_random_answers(void **state UNUSED)
{
    enum { RUNS = 24, STEPS = 400, TAGS = 4 };
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world w;
        struct run runs[RUNS] = {0};
        unsigned floors[RUNS] = {0}, version[8] = {0};
        struct seen seen = {0};
        struct rng rng = {.state = seed};
        world_init(&w,
                   &(struct world_options){.ttl_ms = (int64_t)rng_below(&rng, 3) * 40, .jobs = 64});
        scripted_reorder(&w.server, seed);
        for (unsigned id = 1; id <= TAGS; id++)
            world_putf(&w, RES_TAG, "{\"id\":%u,\"v\":0}", id);

        for (unsigned step = 0; step < STEPS; step++) {
            unsigned id = 1 + (unsigned)rng_below(&rng, TAGS), i = (unsigned)rng_below(&rng, RUNS);
            w.delay_ms = (int64_t)rng_below(&rng, 80);
            struct run *run = &runs[i];
            switch (rng_below(&rng, 5)) {
            case 0:
                world_putf(&w, RES_TAG, "{\"id\":%u,\"v\":%u}", id, ++version[id]);
                break;
            case 1:
                world_advance(&w, (int64_t)rng_below(&rng, 50));
                break;
            case 2:
                if (rng_below(&rng, 8) == 0)
                    store_refresh_record(w.store, RES_TAG, id);
                FALLTHROUGH;
            default:
                if (run->w && !run->ends)
                    break;
                if (run->text)
                    see(&seen, run, &floors[i]);
                *run = (struct run){.res = RES_TAG, .key = id, .listing = world_home(&w, RES_TAG)};
                floors[i] = seen.version[id];
                run_begin(&w, run, rng_below(&rng, 3) ? run_record : run_record_in);
                if (rng_below(&rng, 3) == 0) {
                    struct run list = {.res = RES_TAG, .listing = run->listing};
                    run_begin(&w, &list, run_whole);
                    if (!list.ends)
                        op_end(&list.op);
                    run_finish(&list);
                }
            }
            world_turn(&w);
        }
        for (unsigned i = 0; i < RUNS; i++)
            if (runs[i].w && (runs[i].ends || world_run(&w, &runs[i]) == 0) && runs[i].text)
                see(&seen, &runs[i], &floors[i]);
        world_advance(&w, 1000);
        for (unsigned id = 1; id <= TAGS; id++) {
            char text[32], expected[64];
            snprintf(text, sizeof(text), "%u", id);
            snprintf(expected, sizeof(expected), "{\"id\":%u,\"v\":%u}", id, version[id]);
            assert_int_equal(world_record(&w, RES_TAG, text), 0);
            assert_string_equal(w.text, expected);
        }
        world_finish(&w);
    }
}

/* The lid was closed while a request was on its way: hours later whoever waits hears at once, what
 * is known is old, and the quota's window of then holds nobody up. The wall clock may be wrong
 * besides. */
static void test_long_suspend(void **state UNUSED)
{
    static const int64_t wall_jumps[] = {0, -365, 365}; /* days */
    static const char *const quota[] = {"X-RateLimit-Limit: 5", "X-RateLimit-Remaining: 1",
                                        "X-RateLimit-Refill: 60", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(wall_jumps); i++) {
        struct world w;
        init(&w, TTL);
        struct run a = {.res = RES_TAG, .key = 7};
        world_put(&w, RES_TAG, "{\"id\":6}");
        world_put(&w, RES_TAG, "{\"id\":7,\"v\":1}");
        scripted_expect(&w.server, HTTP_GET, "/api/tags/6",
                        &(struct scripted_answer){.body = "{\"id\":6}", .headers = quota});
        assert_int_equal(world_record(&w, RES_TAG, "6"), 0);
        scripted_expect(&w.server, HTTP_GET, "/api/tags/7",
                        &(struct scripted_answer){.never = true});
        run_begin(&w, &a, run_record);
        world_turn(&w);
        w.clock.wall_ns += wall_jumps[i] * 86400 * INT64_C(1000000000);
        clock_manual_advance(&w.clock, INT64_C(8) * 3600 * 1000);
        int64_t woken = clock_mono_ms(&w.clock.clock);
        assert_int_equal(world_run(&w, &a), -ETIMEDOUT);
        assert_int_equal(clock_mono_ms(&w.clock.clock), woken);
        /* It has just not answered: what is known serves for a moment, and says that it is old. */
        assert_int_equal(world_record(&w, RES_TAG, "6"), 0);
        assert_true(w.stale);
        world_advance(&w, 60000);
        woken = clock_mono_ms(&w.clock.clock);
        size_t asked = world_requests(&w);
        assert_int_equal(world_record(&w, RES_TAG, "6"), 0);
        assert_false(w.stale);
        assert_int_equal(world_requests(&w), asked + 1);
        assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
        assert_true(clock_mono_ms(&w.clock.clock) - woken < 1000);
        run_finish(&a);
        world_finish(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_record_after_new_page),
        cmocka_unit_test(test_old_page_after_new_record),
        cmocka_unit_test(test_old_404),
        cmocka_unit_test(test_refresh_under_way),
        cmocka_unit_test(test_random_answers),
        cmocka_unit_test(test_long_suspend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
