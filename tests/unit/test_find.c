/* store: human names, by the API's own filter and by the whole listing. */
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

static void no_news(void *data UNUSED, enum resource res UNUSED, struct record *rec UNUSED)
{
}

/* One request, and the record is there with it. */
static void test_email(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 500);
    world_put(&w, RES_CONTACT, "{\"id\":700,\"email\":\"Jane+x&y=z@example.com\"}");
    assert_int_equal(world_find(&w, RES_CONTACT, "Jane+x&y=z@example.com"), 0);
    assert_int_equal(w.key, 700);
    assert_int_equal(world_record(&w, RES_CONTACT, "700"), 0);
    assert_int_equal(world_requests(&w), 1);
    assert_int_equal(world_find(&w, RES_CONTACT, "Jane+x&y=z@example.com"), 0);
    assert_int_equal(world_requests(&w), 1);
    world_advance(&w, TTL);
    assert_int_equal(world_find(&w, RES_CONTACT, "Jane+x&y=z@example.com"), 0);
    assert_int_equal(world_requests(&w), 2);

    assert_int_equal(world_find(&w, RES_CONTACT, "nobody@example.com"), -ENOENT);
    assert_int_equal(world_find(&w, RES_CONTACT, "nobody@example.com"), -ENOENT);
    assert_int_equal(world_requests(&w), 3);
    world_finish(&w);
}

static void test_email_in_whole_listing(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 150);
    assert_int_equal(world_list(&w, RES_CONTACT, world_home(&w, RES_CONTACT)), 0);
    assert_int_equal(world_find(&w, RES_CONTACT, "contact-77@example.com"), 0);
    assert_int_equal(w.key, 77);
    /* The case of an address does not matter. */
    assert_int_equal(world_find(&w, RES_CONTACT, "CONTACT-78@Example.com"), 0);
    assert_int_equal(w.key, 78);
    assert_int_equal(world_find(&w, RES_CONTACT, "contact-151@example.com"), -ENOENT);
    assert_int_equal(world_requests(&w), 2);
    world_finish(&w);
}

/* A server that ignores the filter answers with everybody. */
static void test_ignored_filter(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    scripted_always(&w.server, HTTP_GET, "email=",
                    &(struct scripted_answer){.body =
                                                  "{\"items\":[{\"id\":9,\"email\":\"z@x.org\"},"
                                                  "{\"id\":8,\"email\":\"A@x.org\"}],"
                                                  "\"hasMore\":true}"});
    assert_int_equal(world_find(&w, RES_CONTACT, "b@x.org"), -ENOENT);
    assert_int_equal(world_find(&w, RES_CONTACT, "a@x.org"), 0);
    assert_int_equal(w.key, 8);
    world_finish(&w);
}

static void test_refused_name(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    w.status = 422;
    assert_int_equal(world_find(&w, RES_CONTACT, "odd@x.org"), -ENOENT);
    w.status = 403;
    assert_int_equal(world_find(&w, RES_CONTACT, "odd@x.org"), -ENOENT);
    assert_int_equal(world_requests(&w), 1);
    assert_int_equal(world_find(&w, RES_CONTACT, "other@x.org"), -EACCES);
    w.status = 0;
    assert_int_equal(world_find(&w, RES_CONTACT, "other@x.org"), -ENOENT);
    world_finish(&w);
}

static void test_one_request_for_all(void **state UNUSED)
{
    enum { N = 16 };
    for (int ttl = 0; ttl <= TTL; ttl += TTL) {
        struct world w;
        struct run runs[N];
        init(&w, ttl);
        world_fill(&w, RES_CONTACT, 1, 3);
        w.delay_ms = 100;
        for (int i = 0; i < N; i++) {
            runs[i] = (struct run){.res = RES_CONTACT, .name = "contact-2@example.com"};
            run_begin(&w, &runs[i], run_find);
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(world_run(&w, &runs[i]), 0);
            assert_int_equal(runs[i].key, 2);
        }
        assert_int_equal(world_requests(&w), 1);
        assert_int_equal(world_find(&w, RES_CONTACT, "contact-2@example.com"), 0);
        assert_int_equal(world_requests(&w), ttl ? 1 : 2);
        world_finish(&w);
    }
}

static void test_stale(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 3);
    assert_int_equal(world_find(&w, RES_CONTACT, "contact-2@example.com"), 0);
    world_advance(&w, TTL);
    w.failure = NET_UNREACHABLE;
    assert_int_equal(world_find(&w, RES_CONTACT, "contact-2@example.com"), 0);
    assert_int_equal(w.key, 2);
    assert_int_equal(world_requests(&w), 2);
    assert_int_equal(world_find(&w, RES_CONTACT, "contact-2@example.com"), 0);
    assert_int_equal(world_requests(&w), 2);

    /* After a refresh too: an older copy is better than none. */
    store_refresh_all(w.store, no_news, NULL);
    assert_int_equal(world_find(&w, RES_CONTACT, "contact-2@example.com"), 0);
    assert_int_equal(w.key, 2);
    w.failure = NET_OK;
    world_advance(&w, STORE_AWAY_MS);
    size_t asked = world_requests(&w);
    assert_int_equal(world_find(&w, RES_CONTACT, "contact-2@example.com"), 0);
    assert_int_equal(world_requests(&w), asked + 1);
    /* A refusal is not served from a copy. */
    world_advance(&w, TTL);
    w.status = 401;
    assert_int_equal(world_find(&w, RES_CONTACT, "contact-2@example.com"), -EKEYREJECTED);
    world_finish(&w);
}

static void test_deadline(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    scripted_always(&w.server, HTTP_GET, "", &(struct scripted_answer){.never = true});
    struct run run = {.res = RES_CONTACT, .name = "a@x.org"};
    run_begin(&w, &run, run_find);
    assert_int_equal(world_run(&w, &run), -ETIMEDOUT);
    assert_true(run.ended_ms - run.began_ms <= WORLD_TIMEOUT_MS);
    world_finish(&w);
}

static void test_refresh(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_put(&w, RES_CONTACT, "{\"id\":1,\"email\":\"a@x.org\"}");
    assert_int_equal(world_find(&w, RES_CONTACT, "a@x.org"), 0);
    world_remove(&w, RES_CONTACT, "1");
    world_put(&w, RES_CONTACT, "{\"id\":2,\"email\":\"a@x.org\"}");
    store_refresh_all(w.store, no_news, NULL);
    assert_int_equal(world_find(&w, RES_CONTACT, "a@x.org"), 0);
    assert_int_equal(w.key, 2);
    world_finish(&w);
}

/* Tags have no filter by name: the whole listing tells. */
static void test_by_listing(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_TAG, 1, 250);
    world_put(&w, RES_TAG, "{\"id\":900,\"name\":\"twice\"}");
    world_put(&w, RES_TAG, "{\"id\":901,\"name\":\"twice\"}");
    world_put(&w, RES_TAG, "{\"id\":902,\"name\":\"Twice\"}");
    world_put(&w, RES_TAG, "{\"id\":903,\"name\":\"\"}");
    world_put(&w, RES_TAG, "{\"id\":904,\"name\":null}");
    world_put(&w, RES_TAG, "{\"id\":905}");
    assert_int_equal(world_find(&w, RES_TAG, "tag-77"), 0);
    assert_int_equal(w.key, 77);
    assert_int_equal(world_requests(&w), 3);
    assert_int_equal(world_find(&w, RES_TAG, "Tag-77"), -ENOENT);
    assert_int_equal(world_find(&w, RES_TAG, "tag-7"), 0);
    assert_int_equal(w.key, 7);
    assert_int_equal(world_find(&w, RES_TAG, "twice"), -ENOENT);
    assert_non_null(strstr(w.failure_seen.message, "more than one tag"));
    assert_int_equal(world_find(&w, RES_TAG, "Twice"), 0);
    assert_int_equal(w.key, 902);
    assert_int_equal(world_requests(&w), 3);

    struct run run = {.listing = world_home(&w, RES_TAG)};
    struct walk *walk;
    op_begin(w.store, &run.op);
    assert_int_equal(store_walk_whole(w.store, &run.op, run.listing, &walk), 0);
    op_end(&run.op);
    assert_true(store_name_shared(w.store, RES_TAG, walk, "twice", 5));
    assert_false(store_name_shared(w.store, RES_TAG, walk, "Twice", 5));
    assert_false(store_name_shared(w.store, RES_TAG, walk, "tag-77", 6));
    assert_false(store_name_shared(w.store, RES_TAG, walk, "", 0));
    world_finish(&w);
}

/* A tag that was called otherwise elsewhere was found under its old name only, until the listing was
 * walked again, though the record was known to have the new one. */
static void test_renamed_elsewhere(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_put(&w, RES_TAG, "{\"id\":5,\"name\":\"old\"}");
    assert_int_equal(world_find(&w, RES_TAG, "old"), 0);
    world_put(&w, RES_TAG, "{\"id\":5,\"name\":\"new\"}");
    store_refresh_record(w.store, RES_TAG, 5);
    assert_int_equal(world_record(&w, RES_TAG, "5"), 0);
    assert_int_equal(world_find(&w, RES_TAG, "new"), 0);
    assert_int_equal(w.key, 5);
    assert_int_equal(world_find(&w, RES_TAG, "old"), -ENOENT);
    assert_int_equal(world_requests(&w), 2);
    world_finish(&w);
}

static void test_by_listing_ttl_zero(void **state UNUSED)
{
    struct world w;
    init(&w, 0);
    world_fill(&w, RES_TAG, 1, 450);
    assert_int_equal(world_find(&w, RES_TAG, "tag-3"), 0);
    assert_int_equal(world_requests(&w), 5);
    world_finish(&w);
}

/* Names remembered are capped: a program that tries addresses cannot fill the memory. */
static void test_cap(void **state UNUSED)
{
    struct world w;
    char name[64];
    const unsigned n = STORE_FINDS_MAX + 10;
    init(&w, INT64_C(1) << 40);
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "n%u@x.org", i);
        assert_int_equal(world_find(&w, RES_CONTACT, name), -ENOENT);
    }
    assert_int_equal(world_requests(&w), n);
    assert_int_equal(world_find(&w, RES_CONTACT, name), -ENOENT);
    assert_int_equal(world_requests(&w), n);
    assert_int_equal(world_find(&w, RES_CONTACT, "n0@x.org"), -ENOENT);
    assert_int_equal(world_requests(&w), n + 1);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_email),
        cmocka_unit_test(test_email_in_whole_listing),
        cmocka_unit_test(test_ignored_filter),
        cmocka_unit_test(test_refused_name),
        cmocka_unit_test(test_one_request_for_all),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_by_listing),
        cmocka_unit_test(test_renamed_elsewhere),
        cmocka_unit_test(test_by_listing_ttl_zero),
        cmocka_unit_test(test_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
