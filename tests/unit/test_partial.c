/* store: records that only a listing tells of, and records as they stand in a part of a collection.
 */
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

static void put_enrollment(struct world *w, unsigned id, unsigned course, unsigned contact)
{
    world_putf(w, RES_ENROLLMENT, "{\"id\":%u,\"course\":{\"id\":%u},\"contact\":{\"id\":%u}}", id,
               course, contact);
}

static size_t requests_of(struct world *w, int expected, enum resource res, const char *id)
{
    size_t before = world_requests(w);
    assert_int_equal(world_record(w, res, id), expected);
    return world_requests(w) - before;
}

/* ---- no single GET ---- */

/* Deep in a long listing, the page around the record is asked for, not all before it. */
static void test_point_query(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_COURSE, 1, 3000);
    world_remove(&w, RES_COURSE, "40");
    world_remove(&w, RES_COURSE, "1");
    assert_int_equal(requests_of(&w, 0, RES_COURSE, "3000"), 1);
    assert_int_equal(requests_of(&w, 0, RES_COURSE, "2950"), 0);
    assert_int_equal(requests_of(&w, 0, RES_COURSE, "500"), 1);
    assert_string_equal(w.server.requests[1].url,
                        WORLD_API_URL "/api/school/courses?limit=100&startingAfter=501");
    assert_int_equal(requests_of(&w, 0, RES_COURSE, "401"), 0);
    /* Newer than the newest: the first page proves that there is none. */
    assert_int_equal(requests_of(&w, -ENOENT, RES_COURSE, "3001"), 0);
    assert_int_equal(requests_of(&w, -ENOENT, RES_COURSE, "40"), 1);
    assert_int_equal(requests_of(&w, -ENOENT, RES_COURSE, "40"), 0);
    /* An empty page proves nothing; the walk does. */
    assert_int_equal(requests_of(&w, -ENOENT, RES_COURSE, "1"), 30);
    assert_int_equal(requests_of(&w, -ENOENT, RES_COURSE, "1"), 0);
    /* No request was for a single record. */
    assert_int_equal(scripted_count(&w.server, HTTP_GET, "/courses/"), 0);
    world_finish(&w);
}

static void test_point_query_ttl_zero(void **state UNUSED)
{
    struct world w;
    init(&w, 0);
    world_fill(&w, RES_COURSE, 1, 1000);
    world_remove(&w, RES_COURSE, "40");
    assert_true(requests_of(&w, 0, RES_COURSE, "500") <= 2);
    assert_true(requests_of(&w, 0, RES_COURSE, "500") <= 2);
    assert_true(requests_of(&w, -ENOENT, RES_COURSE, "40") <= 2);
    assert_true(requests_of(&w, 0, RES_COURSE, "1000") <= 1);
    world_finish(&w);
}

static void test_without_pages(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_put(&w, RES_FIELD, "{\"slug\":\"first_name\"}");
    world_put(&w, RES_FIELD, "{\"slug\":\"surname\"}");
    assert_int_equal(requests_of(&w, 0, RES_FIELD, "surname"), 1);
    assert_int_equal(requests_of(&w, 0, RES_FIELD, "first_name"), 0);
    assert_int_equal(requests_of(&w, -ENOENT, RES_FIELD, "city"), 0);
    world_advance(&w, TTL);
    world_put(&w, RES_FIELD, "{\"slug\":\"city\"}");
    assert_int_equal(requests_of(&w, 0, RES_FIELD, "city"), 1);
    world_finish(&w);
}

/* A refreshed record is asked for again, though the listing around it is fresh. */
static void test_refresh_without_get(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_COURSE, 1, 250);
    assert_int_equal(world_list(&w, RES_COURSE, world_home(&w, RES_COURSE)), 0);
    world_put(&w, RES_COURSE, "{\"id\":77,\"name\":\"new\"}");
    store_refresh_record(w.store, RES_COURSE, 77);
    assert_int_equal(requests_of(&w, 0, RES_COURSE, "77"), 1);
    assert_string_equal(w.text, "{\"id\":77,\"name\":\"new\"}");
    assert_int_equal(requests_of(&w, 0, RES_COURSE, "77"), 0);
    world_remove(&w, RES_COURSE, "77");
    store_refresh_record(w.store, RES_COURSE, 77);
    assert_int_equal(requests_of(&w, -ENOENT, RES_COURSE, "77"), 1);

    world_put(&w, RES_FIELD, "{\"slug\":\"a\",\"v\":1}");
    assert_int_equal(requests_of(&w, 0, RES_FIELD, "a"), 1);
    world_put(&w, RES_FIELD, "{\"slug\":\"a\",\"v\":2}");
    store_refresh_record(w.store, RES_FIELD, store_key(w.store, RES_FIELD, "a"));
    assert_int_equal(requests_of(&w, 0, RES_FIELD, "a"), 1);
    assert_string_equal(w.text, "{\"slug\":\"a\",\"v\":2}");
    assert_int_equal(requests_of(&w, 0, RES_FIELD, "a"), 0);
    world_finish(&w);
}

static void test_one_page_for_all(void **state UNUSED)
{
    enum { N = 16 };
    struct world w;
    struct run runs[N];
    init(&w, TTL);
    world_fill(&w, RES_COURSE, 1, 1000);
    w.delay_ms = 100;
    for (int i = 0; i < N; i++) {
        runs[i] = (struct run){.res = RES_COURSE, .key = 500};
        run_begin(&w, &runs[i], run_record);
        world_advance(&w, 9);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(world_run(&w, &runs[i]), 0);
        run_finish(&runs[i]);
    }
    assert_int_equal(world_requests(&w), 2);
    world_finish(&w);
}

static void test_stale_without_get(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_COURSE, 1, 3);
    assert_int_equal(world_record(&w, RES_COURSE, "2"), 0);
    assert_false(w.stale);
    for (int i = 0; i < 3; i++) {
        world_advance(&w, TTL);
        w.failure = NET_REFUSED;
        assert_int_equal(world_record(&w, RES_COURSE, "2"), 0);
        assert_true(w.stale);
        assert_int_equal(world_record(&w, RES_COURSE, "1"), 0);
        assert_true(w.stale);
    }
    w.failure = NET_OK;
    world_advance(&w, STORE_AWAY_MS);
    assert_int_equal(world_record(&w, RES_COURSE, "2"), 0);
    assert_false(w.stale);
    world_finish(&w);
}

/* ---- in a part of a collection ---- */

static void test_tagged(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_put(&w, RES_CONTACT, "{\"id\":5,\"tags\":[{\"id\":1},{\"id\":2}]}");
    world_put(&w, RES_CONTACT, "{\"id\":6,\"tags\":[]}");
    struct listing *one = world_part(&w, RES_CONTACT, RES_TAG, "1");
    struct listing *three = world_part(&w, RES_CONTACT, RES_TAG, "3");
    /* The record says of itself what it belongs to. */
    assert_int_equal(world_record_in(&w, one, RES_CONTACT, "5"), 0);
    assert_int_equal(world_record_in(&w, three, RES_CONTACT, "5"), -ENOENT);
    assert_int_equal(world_record_in(&w, one, RES_CONTACT, "6"), -ENOENT);
    assert_int_equal(world_requests(&w), 2);
    assert_int_equal(world_list(&w, RES_CONTACT, one), 0);
    assert_string_equal(w.text, "5");
    assert_int_equal(world_requests(&w), 3);
    assert_int_equal(world_record_in(&w, one, RES_CONTACT, "7"), -ENOENT);
    assert_int_equal(world_requests(&w), 3);
    world_finish(&w);
}

/* That a record is not in one part says nothing of the others: it was once taken for deleted. */
static void test_in_another_part(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    for (unsigned id = 1; id <= 600; id++)
        put_enrollment(&w, id, 5 + id % 2, 9);
    struct listing *five = world_part(&w, RES_ENROLLMENT, RES_COURSE, "5");
    struct listing *six = world_part(&w, RES_ENROLLMENT, RES_COURSE, "6");
    /* 77 belongs to course 6. */
    assert_int_equal(world_record_in(&w, five, RES_ENROLLMENT, "77"), -ENOENT);
    assert_int_equal(world_record(&w, RES_ENROLLMENT, "77"), 0);
    assert_int_equal(world_record_in(&w, six, RES_ENROLLMENT, "77"), 0);
    assert_int_equal(world_record_in(&w, five, RES_ENROLLMENT, "77"), -ENOENT);
    assert_int_equal(world_record_in(&w, five, RES_ENROLLMENT, "78"), 0);
    assert_true(world_requests(&w) <= 6);
    /* One that is nowhere is not looked for page by page, nor twice. */
    world_remove(&w, RES_ENROLLMENT, "200");
    size_t before = world_requests(&w);
    assert_int_equal(world_record_in(&w, five, RES_ENROLLMENT, "200"), -ENOENT);
    assert_true(world_requests(&w) <= before + 2);
    before = world_requests(&w);
    assert_int_equal(world_record_in(&w, five, RES_ENROLLMENT, "200"), -ENOENT);
    assert_int_equal(world_requests(&w), before);

    /* A record that is known, and past its time, is not dropped either. */
    world_advance(&w, TTL);
    assert_int_equal(world_record_in(&w, five, RES_ENROLLMENT, "77"), -ENOENT);
    assert_int_equal(world_record(&w, RES_ENROLLMENT, "77"), 0);
    world_finish(&w);
}

/* A subscription does not name its contact, and has neither GET nor a listing of the account. */
static void test_subscriptions(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    for (unsigned id = 1; id <= 300; id++)
        world_putf(&w, RES_SUBSCRIPTION, "{\"id\":%u,\"contact\":{\"id\":%u}}", id, 8 + id % 2);
    struct listing *eight = world_part(&w, RES_SUBSCRIPTION, RES_CONTACT, "8");
    struct listing *nine = world_part(&w, RES_SUBSCRIPTION, RES_CONTACT, "9");
    assert_int_equal(world_record_in(&w, eight, RES_SUBSCRIPTION, "51"), -ENOENT);
    assert_int_equal(world_record_in(&w, nine, RES_SUBSCRIPTION, "51"), 0);
    assert_int_equal(world_record_in(&w, nine, RES_SUBSCRIPTION, "52"), -ENOENT);
    assert_int_equal(world_record_in(&w, eight, RES_SUBSCRIPTION, "52"), 0);
    assert_int_equal(scripted_count(&w.server, HTTP_GET, "contact="), world_requests(&w));
    /* Read alone later (an open file, a hard link), it is asked for where it came from. */
    world_advance(&w, TTL);
    assert_int_equal(world_record(&w, RES_SUBSCRIPTION, "51"), 0);
    assert_int_equal(scripted_count(&w.server, HTTP_GET, "contact="), world_requests(&w));
    world_finish(&w);
}

/* The wait is bounded by the operation's own time, not by the one whose page it joins. */
static void test_deadline_in_a_part(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    for (unsigned id = 1; id <= 300; id++)
        put_enrollment(&w, id, 5, 9);
    struct listing *five = world_part(&w, RES_ENROLLMENT, RES_COURSE, "5");
    struct run first = {.res = RES_ENROLLMENT, .key = 300, .listing = five};
    run_begin(&w, &first, run_record_in);
    assert_int_equal(world_run(&w, &first), 0);
    run_finish(&first);

    scripted_always(&w.server, HTTP_GET, "", &(struct scripted_answer){.never = true});
    struct run a = {.res = RES_ENROLLMENT, .key = 7, .listing = five}, b = a;
    run_begin(&w, &a, run_record_in);
    world_advance(&w, 20000);
    run_begin(&w, &b, run_record_in);
    assert_int_equal(world_run(&w, &a), -ETIMEDOUT);
    assert_true(a.ended_ms - a.began_ms <= WORLD_TIMEOUT_MS);
    assert_int_equal(world_run(&w, &b), -ETIMEDOUT);
    assert_true(b.ended_ms - b.began_ms <= WORLD_TIMEOUT_MS);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_point_query),      cmocka_unit_test(test_point_query_ttl_zero),
        cmocka_unit_test(test_without_pages),    cmocka_unit_test(test_refresh_without_get),
        cmocka_unit_test(test_one_page_for_all), cmocka_unit_test(test_stale_without_get),
        cmocka_unit_test(test_tagged),           cmocka_unit_test(test_in_another_part),
        cmocka_unit_test(test_subscriptions),    cmocka_unit_test(test_deadline_in_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
