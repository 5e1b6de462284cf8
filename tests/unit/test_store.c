/* store: records, their freshness, one fetch for all who wait, failures, deadlines, keys. */
#include "systemefs/store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

#define TTL  60000
#define UUID "01234567-89ab-cdef-0123-%012x"

struct news {
    unsigned changed, gone;
    uint64_t key;
};

static void on_changed(void *data, enum resource res UNUSED, uint64_t key)
{
    struct news *n = data;
    n->changed++;
    n->key = key;
}

static void on_gone(void *data, enum resource res UNUSED, uint64_t key)
{
    struct news *n = data;
    n->gone++;
    n->key = key;
}

static void init(struct world *w, int64_t ttl_ms)
{
    world_init(w, &(struct world_options){.ttl_ms = ttl_ms});
}

/* ---- freshness ---- */

static void test_ttl(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_put(&w, RES_TAG, "{ \"name\": \"a\\/b\", \"id\": 7 }");
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_string_equal(w.text, "{\"name\":\"a/b\",\"id\":7}");
    assert_int_equal(world_requests(&w), 1);
    assert_string_equal(w.server.requests[0].url, WORLD_API_URL "/api/tags/7");
    assert_int_equal(store_record_valid_ms(w.store, store_peek(w.store, RES_TAG, 7)), TTL);

    world_advance(&w, TTL - 1);
    assert_int_equal(store_record_valid_ms(w.store, store_peek(w.store, RES_TAG, 7)), 1);
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_int_equal(world_requests(&w), 1);
    world_advance(&w, 1);
    assert_int_equal(store_record_valid_ms(w.store, store_peek(w.store, RES_TAG, 7)), 0);
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_int_equal(world_requests(&w), 2);
    world_finish(&w);
}

static void test_absent(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    assert_int_equal(world_record(&w, RES_TAG, "9"), -ENOENT);
    assert_int_equal(w.failure_seen.status, 404);
    assert_null(store_peek(w.store, RES_TAG, 9));
    world_put(&w, RES_TAG, "{\"id\":9}");
    assert_int_equal(world_record(&w, RES_TAG, "9"), -ENOENT);
    assert_int_equal(world_requests(&w), 1);
    world_advance(&w, TTL);
    assert_int_equal(world_record(&w, RES_TAG, "9"), 0);
    assert_int_equal(world_requests(&w), 2);
    world_finish(&w);
}

static void test_ttl_zero(void **state UNUSED)
{
    struct world w;
    init(&w, 0);
    world_put(&w, RES_TAG, "{\"id\":7}");
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
        assert_int_equal(world_record(&w, RES_TAG, "9"), -ENOENT);
        assert_int_equal(world_record(&w, RES_FIELD, "x"), -ENOENT);
        assert_int_equal(world_requests(&w), 3 * i);
    }
    world_finish(&w);
}

static void test_one_request_for_all(void **state UNUSED)
{
    enum { N = 16 };
    struct world w;
    struct run runs[N];
    for (int ttl = 0; ttl <= TTL; ttl += TTL) {
        init(&w, ttl);
        w.delay_ms = 100;
        world_put(&w, RES_TAG, "{\"id\":7}");
        for (int i = 0; i < N; i++) {
            runs[i] = (struct run){.res = RES_TAG, .key = 7};
            run_begin(&w, &runs[i], run_record);
            world_advance(&w, 3);
        }
        struct store_stats stats;
        store_get_stats(w.store, &stats);
        assert_int_equal(stats.operations, N);
        for (int i = 0; i < N; i++) {
            assert_int_equal(world_run(&w, &runs[i]), 0);
            assert_int_equal(runs[i].runs, 2);
            assert_int_equal(runs[i].ends, 1);
            run_finish(&runs[i]);
        }
        assert_int_equal(world_requests(&w), 1);
        store_get_stats(w.store, &stats);
        assert_int_equal(stats.operations, 0);
        assert_int_equal(stats.records, 1);
        assert_int_equal(stats.bytes, strlen("{\"id\":7}"));
        world_finish(&w);
    }
}

static void test_interrupted(void **state UNUSED)
{
    struct world w;
    struct run a = {.res = RES_TAG, .key = 7}, b = a;
    init(&w, TTL);
    w.delay_ms = 100;
    world_put(&w, RES_TAG, "{\"id\":7}");
    run_begin(&w, &a, run_record);
    run_begin(&w, &b, run_record);
    world_turn(&w);
    op_end(&a.op); /* Ctrl-C */
    op_end(&a.op);
    assert_int_equal(world_run(&w, &b), 0);
    assert_int_equal(a.ends, 0);
    assert_int_equal(a.runs, 1);
    run_finish(&b);

    /* Woken, and ended before its turn. */
    struct run c = {.res = RES_TAG, .key = 8};
    run_begin(&w, &c, run_record);
    net_turn(w.net);
    clock_manual_advance(&w.clock, 100);
    scripted_turn(&w.server);
    op_end(&c.op);
    world_turn(&w);
    assert_int_equal(c.runs, 1);
    world_finish(&w);
}

static void test_news(void **state UNUSED)
{
    struct world w;
    struct news news = {0};
    world_init(&w, &(struct world_options){
                       .ttl_ms = TTL, .changed = on_changed, .gone = on_gone, .data = &news});
    world_put(&w, RES_CONTACT, "{\"id\":7,\"registeredAt\":\"2020-01-02T03:04:05+00:00\"}");
    assert_int_equal(world_record(&w, RES_CONTACT, "7"), 0);
    /* At first the record's own date. */
    assert_int_equal(store_peek(w.store, RES_CONTACT, 7)->mtime_ns,
                     INT64_C(1577934245) * 1000000000);
    assert_int_equal(news.changed, 0);

    world_advance(&w, TTL);
    assert_int_equal(world_record(&w, RES_CONTACT, "7"), 0);
    assert_int_equal(news.changed, 0);
    assert_int_equal(store_peek(w.store, RES_CONTACT, 7)->mtime_ns,
                     INT64_C(1577934245) * 1000000000);

    world_put(&w, RES_CONTACT, "{\"id\":7,\"locale\":\"fr\"}");
    world_advance(&w, TTL);
    assert_int_equal(world_record(&w, RES_CONTACT, "7"), 0);
    assert_int_equal(news.changed, 1);
    assert_int_equal(news.key, 7);
    assert_int_equal(store_peek(w.store, RES_CONTACT, 7)->mtime_ns, clock_wall_ns(&w.clock.clock));

    world_remove(&w, RES_CONTACT, "7");
    world_advance(&w, TTL);
    assert_int_equal(world_record(&w, RES_CONTACT, "7"), -ENOENT);
    assert_int_equal(news.gone, 1);
    assert_int_equal(news.changed, 1);
    struct store_stats stats;
    store_get_stats(w.store, &stats);
    assert_int_equal(stats.records, 0);
    assert_int_equal(stats.bytes, 0);
    world_finish(&w);
}

/* ---- failures ---- */

static void test_failure_for_all(void **state UNUSED)
{
    struct world w;
    struct run runs[3];
    init(&w, TTL);
    world_put(&w, RES_TAG, "{\"id\":7}");
    w.status = 403;
    for (int i = 0; i < 3; i++) {
        runs[i] = (struct run){.res = RES_TAG, .key = 7};
        run_begin(&w, &runs[i], run_record);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_run(&w, &runs[i]), -EACCES);
        assert_int_equal(runs[i].op.failure.status, 403);
        assert_int_equal(runs[i].op.failure.number, 1);
    }
    assert_int_equal(world_requests(&w), 1);

    /* The next one asks again; a follow-up of a moment later does not. */
    struct run follow = {.res = RES_TAG, .key = 7, .op.follow_up = true};
    world_advance(&w, STORE_REPEAT_MS - 1);
    run_begin(&w, &follow, run_record);
    assert_int_equal(world_run(&w, &follow), -EACCES);
    assert_int_equal(follow.runs, 1);
    assert_int_equal(world_requests(&w), 1);
    w.status = 0;
    world_advance(&w, 1);
    follow = (struct run){.res = RES_TAG, .key = 7, .op.follow_up = true};
    run_begin(&w, &follow, run_record);
    assert_int_equal(world_run(&w, &follow), 0);
    assert_int_equal(world_requests(&w), 2);
    run_finish(&follow);
    world_finish(&w);
}

static void test_failure_then_again(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_put(&w, RES_TAG, "{\"id\":7}");
    w.status = 401;
    assert_int_equal(world_record(&w, RES_TAG, "7"), -EKEYREJECTED);
    w.status = 0;
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_int_equal(world_requests(&w), 2);
    world_finish(&w);
}

static void test_stale(void **state UNUSED)
{
    struct world w;
    struct store_stats stats;
    init(&w, TTL);
    world_put(&w, RES_TAG, "{\"id\":7}");
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_false(w.stale);
    world_advance(&w, TTL);

    w.failure = NET_UNREACHABLE;
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_true(w.stale);
    size_t asked = world_requests(&w);
    assert_int_equal(asked, 2);
    store_get_stats(w.store, &stats);
    assert_true(stats.away);
    assert_int_equal(store_record_valid_ms(w.store, store_peek(w.store, RES_TAG, 7)), 0);

    /* In the away window nothing is asked that has an older copy, and everything else is. */
    world_advance(&w, STORE_AWAY_MS - 1);
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_int_equal(world_requests(&w), asked);
    assert_int_equal(world_record(&w, RES_TAG, "8"), -EHOSTUNREACH);
    assert_int_equal(world_requests(&w), asked + 1);

    /* That failure has begun another window. */
    world_advance(&w, STORE_AWAY_MS);
    w.failure = NET_OK;
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_false(w.stale);
    assert_int_equal(world_requests(&w), asked + 2);
    store_get_stats(w.store, &stats);
    assert_false(stats.away);

    /* An answer in between ends the window at once. */
    world_advance(&w, TTL);
    w.failure = NET_UNREACHABLE;
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_true(w.stale);
    w.failure = NET_OK;
    assert_int_equal(world_record(&w, RES_TAG, "8"), -ENOENT);
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_false(w.stale);
    world_finish(&w);
}

/* 5xx after retries serves the older copy; a refusal does not, and a 404 ends the record. */
static void test_stale_never(void **state UNUSED)
{
    static const struct {
        int status;
        int result;
        bool stale;
    } rows[] = {
        {500, 0, true},        {503, 0, true},        {401, -EKEYREJECTED, false},
        {403, -EACCES, false}, {404, -ENOENT, false}, {405, -EOPNOTSUPP, false},
        {422, -EINVAL, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        init(&w, TTL);
        world_put(&w, RES_TAG, "{\"id\":7}");
        assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
        world_advance(&w, TTL);
        w.status = rows[i].status;
        assert_int_equal(world_record(&w, RES_TAG, "7"), rows[i].result);
        assert_int_equal(w.stale, rows[i].stale);
        world_finish(&w);
    }
}

static void test_another_record(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    scripted_expect(&w.server, HTTP_GET, "/api/tags/7",
                    &(struct scripted_answer){.body = "{\"id\":8}"});
    assert_int_equal(world_record(&w, RES_TAG, "7"), -EBADMSG);
    assert_null(store_peek(w.store, RES_TAG, 7));
    world_finish(&w);
}

/* ---- deadlines ---- */

static void test_deadline(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    struct run a = {.res = RES_TAG, .key = 7};
    scripted_always(&w.server, HTTP_GET, "/api/tags/7", &(struct scripted_answer){.never = true});
    run_begin(&w, &a, run_record);
    assert_int_equal(world_run(&w, &a), -ETIMEDOUT);
    assert_in_range(a.ended_ms - a.began_ms, WORLD_TIMEOUT_MS - 50, WORLD_TIMEOUT_MS);
    world_finish(&w);
}

/* One that came later has its own deadline, and the fetch that it joined lives as long. */
static void test_deadline_of_a_joiner(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    struct run a = {.res = RES_TAG, .key = 7}, b = a;
    world_put(&w, RES_TAG, "{\"id\":7}");
    scripted_expect(&w.server, HTTP_GET, "/api/tags/7", &(struct scripted_answer){.never = true});
    run_begin(&w, &a, run_record);
    world_advance(&w, 20000);
    run_begin(&w, &b, run_record);
    assert_int_equal(world_run(&w, &a), -ETIMEDOUT);
    assert_true(a.ended_ms - a.began_ms <= WORLD_TIMEOUT_MS);
    assert_int_equal(world_run(&w, &b), 0);
    run_finish(&b);
    world_finish(&w);
}

static void test_expired_serves_stale(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_put(&w, RES_TAG, "{\"id\":7}");
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    world_advance(&w, TTL);
    scripted_expect(&w.server, HTTP_GET, "/api/tags/7", &(struct scripted_answer){.never = true});
    struct run a = {.res = RES_TAG, .key = 7};
    run_begin(&w, &a, run_record);
    assert_int_equal(world_run(&w, &a), 0);
    assert_true(a.stale);
    assert_true(a.ended_ms - a.began_ms <= WORLD_TIMEOUT_MS);
    run_finish(&a);
    world_finish(&w);
}

/* ---- keys and limits ---- */

static void test_keys(void **state UNUSED)
{
    struct world a, b;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    init(&a, TTL);
    init(&b, TTL);
    assert_int_equal(store_key(a.store, RES_TAG, "1"), 1);
    assert_int_equal(store_key(a.store, RES_TAG, "9007199254740991"), RESOURCE_ID_MAX);
    assert_int_equal(store_key(a.store, RES_TAG, "9007199254740992"), 0);
    assert_int_equal(store_key(a.store, RES_TAG, "0"), 0);
    assert_int_equal(store_key(a.store, RES_TAG, "01"), 0);
    assert_int_equal(store_key(a.store, RES_FIELD, ""), 0);
    assert_int_equal(store_key(a.store, RES_FIELD, "a/b"), 0);

    /* A key of a text is the same in every run, and in any order. */
    uint64_t first = store_key(a.store, RES_FIELD, "first_name");
    uint64_t second = store_key(a.store, RES_FIELD, "second_name");
    assert_int_equal(store_key(b.store, RES_FIELD, "second_name"), second);
    assert_int_equal(store_key(b.store, RES_FIELD, "first_name"), first);
    assert_int_equal(store_key(a.store, RES_FIELD, "first_name"), first);
    assert_true(first != 0 && first >> STORE_KEY_BITS == 0 && first != second);
    assert_string_equal(store_id(a.store, RES_FIELD, first, id), "first_name");
    assert_string_equal(store_id(a.store, RES_TAG, RESOURCE_ID_MAX, id), "9007199254740991");
    world_finish(&a);
    world_finish(&b);
}

static void test_id_limits(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_put(&w, RES_TAG, "{\"id\":1}");
    world_put(&w, RES_TAG, "{\"id\":9007199254740991}");
    assert_int_equal(world_record(&w, RES_TAG, "1"), 0);
    assert_int_equal(world_record(&w, RES_TAG, "9007199254740991"), 0);
    assert_int_equal(world_list(&w, RES_TAG, world_home(&w, RES_TAG)), 0);
    assert_string_equal(w.text, "9007199254740991 1");
    world_finish(&w);
}

/* A program that tries ids at random cannot fill the memory: the oldest are forgotten. */
static void test_unknown_cap(void **state UNUSED)
{
    struct world w;
    char id[64];
    init(&w, INT64_C(1) << 40);
    const unsigned n = STORE_UNKNOWN_MAX + 10;
    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof(id), UUID, i);
        assert_int_equal(world_record(&w, RES_WEBHOOK, id), -ENOENT);
    }
    assert_int_equal(world_requests(&w), n);
    snprintf(id, sizeof(id), UUID, n - 1);
    assert_int_equal(world_record(&w, RES_WEBHOOK, id), -ENOENT);
    assert_int_equal(world_requests(&w), n);
    snprintf(id, sizeof(id), UUID, 0);
    assert_int_equal(world_record(&w, RES_WEBHOOK, id), -ENOENT);
    assert_int_equal(world_requests(&w), n + 1);
    world_finish(&w);
}

/* A million contacts are a promise: what each costs besides its text is bounded. Counted here: the
 * record itself, its slot in the map of records at worst (right after that has doubled), its key in
 * a walk, its share of what is noted once a page. Not counted: what malloc adds to a text. */
static void test_overhead(void **state UNUSED)
{
    size_t record = sizeof(struct record), slot = 16 * 8 / 3, walk = 2 * sizeof(uint64_t);
    size_t origin = sizeof(struct origin) / API_PAGE_LIMIT + 1;
    print_message("a record: %zu bytes, %zu with map and walk at worst\n", record,
                  record + slot + walk + origin);
    assert_true(record <= 88);
    assert_true(record + slot + walk + origin <= 150);
}

/* The same as malloc counts it, a text's header and rounding included. With the sanitizers, which
 * have a malloc of their own, it counts nothing. */
static void test_overhead_counted(void **state UNUSED)
{
    enum { N = 20000 };
    struct world w;
    struct store_stats stats;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, N);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    assert_int_equal(world_list(&w, RES_CONTACT, world_home(&w, RES_CONTACT)), 0);
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    store_get_stats(w.store, &stats);
    assert_int_equal(stats.records, N);
    size_t each = after ? (after - before - stats.bytes) / N : 0;
    print_message("a record, its place in map and walk: %zu bytes and the text\n", each);
    assert_true(each <= 160);
    world_finish(&w);
}

/* Nothing leaks when the mount ends while answers are awaited (ASan looks). */
static void test_destroy_under_way(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 500);
    w.delay_ms = 100;
    struct run runs[] = {
        {.res = RES_TAG, .key = 7},
        {.res = RES_CONTACT, .key = 8},
        {.res = RES_CONTACT, .listing = world_home(&w, RES_CONTACT)},
        {.res = RES_ENROLLMENT,
         .listing = world_part(&w, RES_ENROLLMENT, RES_COURSE, "3"),
         .key = 9},
        {.res = RES_CONTACT, .name = "x@y.org"},
        {.res = RES_COURSE, .name = "course-1"},
    };
    int (*const handlers[])(struct run *) = {run_record,    run_record, run_whole,
                                             run_record_in, run_find,   run_find};
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        run_begin(&w, &runs[i], handlers[i]);
    world_advance(&w, 150); /* the walk is at its second page */
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        op_end(&runs[i].op);
        run_finish(&runs[i]);
    }
    assert_true(w.server.under_way > 0);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ttl),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_ttl_zero),
        cmocka_unit_test(test_one_request_for_all),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_news),
        cmocka_unit_test(test_failure_for_all),
        cmocka_unit_test(test_failure_then_again),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_stale_never),
        cmocka_unit_test(test_another_record),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_deadline_of_a_joiner),
        cmocka_unit_test(test_expired_serves_stale),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_id_limits),
        cmocka_unit_test(test_unknown_cap),
        cmocka_unit_test(test_overhead),
        cmocka_unit_test(test_overhead_counted),
        cmocka_unit_test(test_destroy_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
