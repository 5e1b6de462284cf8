/* store/split: what a long listing takes, in round trips (the clock is moved by hand, so they are
 * exact) and in requests more than it has pages. Bounds are what was seen, and a little: whoever
 * makes it slower or dearer sees it here. With ROUNDS_SHOW in the environment the table is printed.
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

#define TTL   600000
#define DELAY 10

/* How the ids of an account may lie. */
enum layout { DENSE, HIGH, SPARSE, CLUSTERED, HALVES, TOP, TAIL, WILD, IMPORTS, LAYOUT_COUNT };

static const char *const layout_names[LAYOUT_COUNT] = {"dense",     "high",   "sparse",
                                                       "clustered", "halves", "top",
                                                       "tail",      "wild",   "imports"};

/* From the i-th oldest id to the next one. */
static uint64_t step(enum layout layout, struct rng *rng, size_t i, size_t count)
{
    static uint64_t run;
    switch (layout) {
    case SPARSE:
        return 1 + rng_below(rng, 40);
    case CLUSTERED:
        return rng_below(rng, 900) ? 1 + rng_below(rng, 40) : 200000 + rng_below(rng, 200000);
    case HALVES: /* two clusters */
        return i == count / 2 ? 1000000 : 1 + rng_below(rng, 3);
    case TOP: /* the same, one just as long as is walked before anything is split */
        return i == count - 2050 ? 5000000 : 1 + rng_below(rng, 3);
    case TAIL: /* a long sparse one */
        return 1 + rng_below(rng, i > count / 2 ? 3 : 3000);
    case WILD:
        return UINT64_C(1) << rng_below(rng, 16);
    case IMPORTS: /* as the sandbox has them: dense runs, ordinary gaps, now and then a leap */
        run = i == 0 ? 0 : run ? run - 1 : rng_below(rng, 64) ? 0 : rng_below(rng, 200);
        return (run ? 1 : 1 + rng_below(rng, 40)) + (rng_below(rng, 4096) ? 0 : 200000);
    case DENSE:
    case HIGH:
    case LAYOUT_COUNT:
        break;
    }
    return 1;
}

static unsigned draw(struct rng *rng, unsigned below)
{
    return (unsigned)rng_below(rng, below);
}

static void fill(struct world *w, enum layout layout, size_t count, uint64_t seed)
{
    struct rng rng = {.state = seed};
    uint64_t *ids = malloc((count + 1) * sizeof(*ids));
    uint64_t id = layout == HIGH || layout == IMPORTS ? 246000000 : 1;
    assert_non_null(ids);
    for (size_t i = 0; i < count; i++) {
        ids[i] = id;
        id += step(layout, &rng, i, count);
    }
    for (size_t i = count; i-- > 0;)
        world_putf(w, RES_CONTACT, "{\"id\":%" PRIu64 "}", ids[i]);
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

struct cost {
    size_t pages, rounds, wasted;
};

static struct cost measure(enum layout layout, size_t count, bool ignores, unsigned jobs,
                           uint64_t seed)
{
    struct world w;
    world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = jobs});
    fill(&w, layout, count, seed);
    w.delay_ms = DELAY;
    w.ignores_order = ignores;
    int64_t began_ms = clock_mono_ms(&w.clock.clock);
    check_whole(&w);
    struct cost c = {.pages = (count + API_PAGE_LIMIT - 1) / API_PAGE_LIMIT};
    c.rounds = (size_t)(clock_mono_ms(&w.clock.clock) - began_ms) / DELAY;
    assert_true(world_requests(&w) >= c.pages);
    c.wasted = world_requests(&w) - c.pages;
    /* One place is left to people. */
    assert_true(w.server.under_way_max < jobs || jobs == 1);
    world_finish(&w);
    if (c.wasted * 20 > c.pages + 20) /* one more, for bad luck */
        fail_msg("%s, %zu, seed %d, order %s: %zu requests wasted", layout_names[layout], count,
                 (int)seed, ignores ? "ignored" : "honoured", c.wasted);
    return c;
}

/* Round trips at 16 jobs that it may take at most, with order=asc honoured and ignored; 0: not
 * measured. */
enum { SIZES = 5 };
static const size_t counts[SIZES] = {2100, 3000, 5000, 10000, 100000};
static const size_t most[2][LAYOUT_COUNT][SIZES] = {
    {
        [DENSE] = {21, 26, 30, 33, 93},
        [HIGH] = {21, 26, 30, 33, 0},
        [SPARSE] = {21, 28, 31, 34, 94},
        [CLUSTERED] = {21, 28, 35, 50, 100},
        [HALVES] = {21, 28, 32, 37, 0},
        [TOP] = {21, 26, 33, 39, 0},
        [TAIL] = {21, 26, 33, 42, 0},
        [WILD] = {21, 28, 31, 35, 0},
        [IMPORTS] = {21, 26, 36, 44, 98},
    },
    {
        [DENSE] = {21, 31, 46, 65, 120},
        [HIGH] = {21, 31, 51, 68, 0},
        [SPARSE] = {21, 31, 47, 65, 121},
        [CLUSTERED] = {21, 31, 48, 84, 136},
        [HALVES] = {21, 31, 47, 68, 0},
        [TOP] = {21, 31, 47, 66, 0},
        [TAIL] = {21, 31, 47, 69, 0},
        [WILD] = {21, 31, 47, 63, 0},
        [IMPORTS] = {21, 31, 49, 73, 134},
    },
};

static void test_round_trips(void **state UNUSED)
{
    bool show = getenv("ROUNDS_SHOW") != NULL;
    for (int ignores = 0; ignores < 2; ignores++)
        for (enum layout layout = 0; layout < LAYOUT_COUNT; layout++) {
            if (show)
                print_message("%-10s%s", layout_names[layout], ignores ? " ignored " : " honoured");
            for (size_t i = 0; i < SIZES; i++) {
                size_t bound = most[ignores][layout][i];
                if (!bound)
                    continue;
                struct cost c = measure(layout, counts[i], ignores, 16, 7);
                if (show)
                    print_message("  %6zu: %3zu +%zu", counts[i], c.rounds, c.wasted);
                if (c.rounds > bound || c.wasted * 20 > c.pages)
                    fail_msg("%s, %zu, order %s: %zu round trips, %zu wasted", layout_names[layout],
                             counts[i], ignores ? "ignored" : "honoured", c.rounds, c.wasted);
            }
            if (show)
                print_message("\n");
        }
}

/* Up to 2,000 records nothing is asked for that is not needed, with any number of jobs. */
static void test_no_waste(void **state UNUSED)
{
    for (unsigned jobs = 2; jobs <= 32; jobs *= 2)
        for (enum layout layout = 0; layout < LAYOUT_COUNT; layout++) {
            struct cost c = measure(layout, 1901 + layout * 12, layout % 2, jobs, 7);
            assert_int_equal(c.wasted, 0);
            assert_int_equal(measure(layout, 2000, layout % 2, jobs, 7).wasted, 0);
        }
}

/* Fewer jobs, fewer places: never slower than one page after the other, and no dearer. */
static void test_fewer_jobs(void **state UNUSED)
{
    static const size_t bounds[][2] = {{4, 68}, {8, 66}, {32, 66}};
    for (size_t i = 0; i < ARRAY_SIZE(bounds); i++)
        for (int ignores = 0; ignores < 2; ignores++) {
            struct cost c = measure(SPARSE, 10000, ignores, (unsigned)bounds[i][0], 7);
            if (c.rounds > bounds[i][1])
                fail_msg("%zu jobs: %zu round trips", bounds[i][0], c.rounds);
        }
}

/* Accounts of all kinds. What a meeting wastes is a matter of luck: a few of a hundred accounts go
 * beyond the twentieth part, by a request. */
static void test_any_account(void **state UNUSED)
{
    enum { ACCOUNTS = 300 };
    struct rng rng = {.state = 3};
    size_t beyond = 0;
    for (uint64_t seed = 0; seed < ACCOUNTS; seed++) {
        size_t count = 2000 + rng_below(&rng, rng_below(&rng, 4) ? 4000 : 12000);
        enum layout layout = draw(&rng, LAYOUT_COUNT);
        bool ignores = rng_below(&rng, 2);
        unsigned jobs = draw(&rng, 4) ? 16 : 2 + draw(&rng, 12);
        struct cost c = measure(layout, count, ignores, jobs, seed);
        beyond += c.wasted * 20 > c.pages;
    }
    if (beyond > ACCOUNTS / 50)
        fail_msg("%zu of %d accounts cost more than a twentieth", beyond, (int)ACCOUNTS);
}

/* A server that treats cursors that are nobody's in its own way, and answers in any order: nothing
 * is lost, whatever it costs. */
static void test_any_server(void **state UNUSED)
{
    struct rng rng = {.state = 5};
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct world w;
        size_t count = 2500 + rng_below(&rng, 8000);
        world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 4 + draw(&rng, 16)});
        fill(&w, draw(&rng, LAYOUT_COUNT), count, seed);
        w.delay_ms = DELAY;
        w.ignores_order = rng_below(&rng, 2);
        w.strange_cursor = CURSOR_EMPTY + draw(&rng, 3);
        if (rng_below(&rng, 2))
            w.strange_below = w.tables[RES_CONTACT].rows[rng_below(&rng, count)].number;
        w.page_max = rng_below(&rng, 4) ? 0 : 30 + rng_below(&rng, 70);
        scripted_reorder(&w.server, seed);
        check_whole(&w);
        world_finish(&w);
    }
}

/* While it is walked, records go, at any place. Each one that stays is listed, once, in order. */
static void test_any_change(void **state UNUSED)
{
    struct rng rng = {.state = 6};
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct world w;
        struct run run = {.res = RES_CONTACT};
        world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
        fill(&w, draw(&rng, LAYOUT_COUNT), 3000 + rng_below(&rng, 6000), seed);
        const struct world_table *t = &w.tables[RES_CONTACT];
        size_t before = t->count;
        w.delay_ms = DELAY;
        w.ignores_order = rng_below(&rng, 2);
        run.listing = world_home(&w, RES_CONTACT);
        run_begin(&w, &run, run_whole);
        for (int i = 0; i < 60 && !run.ends; i++) {
            char id[RESOURCE_ID_TEXT_MAX + 1];
            world_advance(&w, DELAY);
            for (uint64_t n = rng_below(&rng, 6); n > 0; n--) {
                strcpy(id, t->rows[rng_below(&rng, t->count)].id);
                world_remove(&w, RES_CONTACT, id);
            }
        }
        assert_int_equal(run.ends ? run.result : world_run(&w, &run), 0);
        size_t listed = 0, stayed = 0;
        uint64_t last = UINT64_MAX;
        for (char *p = run.text, *end; *p; p = end, listed++) {
            uint64_t id = strtoull(p, &end, 10);
            assert_true(id < last);
            last = id;
            stayed += stayed < t->count && t->rows[stayed].number == id;
        }
        assert_int_equal(stayed, t->count);
        assert_true(listed <= before);
        run_finish(&run);
        world_finish(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_no_waste),
        cmocka_unit_test(test_fewer_jobs),  cmocka_unit_test(test_any_account),
        cmocka_unit_test(test_any_server),  cmocka_unit_test(test_any_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
