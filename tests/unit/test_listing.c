/* store: listings. Walks in any order, streaming, read-ahead, refresh, liars, and records that only
 * a listing tells of. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

#define TTL   60000
#define AHEAD 400 /* keys that a walk may be ahead of its foremost reader */

static void init(struct world *w, int64_t ttl_ms)
{
    world_init(w, &(struct world_options){.ttl_ms = ttl_ms});
}

static int list(struct world *w, enum resource res)
{
    return world_list(w, res, world_home(w, res));
}

/* An answer for the next page of a listing. */
static void answer(struct world *w, const char *part, const char *body)
{
    scripted_expect(&w->server, HTTP_GET, part, &(struct scripted_answer){.body = body});
}

/* What a reader of a directory does: takes the walk, then waits for more than `have` keys. */
struct reader {
    struct run run;
    struct walk *walk;
    size_t have;
};

static int run_reader(struct run *run)
{
    struct reader *r = run->arg;
    if (!r->walk) {
        int e = store_walk(run->w->store, &run->op, run->listing, &r->walk);
        if (e < 0)
            return e;
        walk_reader(r->walk, 1);
    }
    return store_walk_more(run->w->store, &run->op, r->walk, r->have);
}

static int read_more(struct world *w, struct reader *r, enum resource res, size_t have)
{
    r->have = have;
    r->run = (struct run){.listing = world_home(w, res), .arg = r};
    run_begin(w, &r->run, run_reader);
    return world_run(w, &r->run);
}

static void reader_close(struct reader *r)
{
    walk_reader(r->walk, -1);
    walk_unref(r->walk);
    r->walk = NULL;
}

/* ---- a walk ---- */

static void test_whole(void **state UNUSED)
{
    struct world w;
    struct store_stats stats;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 250);
    struct listing *home = world_home(&w, RES_CONTACT);
    assert_int_equal(listing_changed_ns(home), 0);
    assert_int_equal(store_listing_valid_ms(w.store, home), 0);
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(world_requests(&w), 3);
    assert_int_equal(strncmp(w.text, "250 249 248 ", 12), 0);
    assert_string_equal(strrchr(w.text, ' '), " 1");
    assert_int_equal(store_listing_valid_ms(w.store, home), TTL);
    /* Read for the first time it has not changed: tar would say "file changed as we read it". */
    assert_int_equal(listing_changed_ns(home), 0);
    store_get_stats(w.store, &stats);
    assert_int_equal(stats.records, 250);

    /* The pages held the records, and the listing knows what is not there. */
    assert_int_equal(world_record(&w, RES_CONTACT, "1"), 0);
    assert_int_equal(world_record(&w, RES_CONTACT, "250"), 0);
    assert_int_equal(world_record(&w, RES_CONTACT, "251"), -ENOENT);
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(world_requests(&w), 3);

    world_advance(&w, TTL);
    int64_t changed = listing_changed_ns(home);
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(world_requests(&w), 6);
    assert_int_equal(listing_changed_ns(home), changed);
    world_remove(&w, RES_CONTACT, "100");
    world_advance(&w, TTL);
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_true(listing_changed_ns(home) > changed);
    world_finish(&w);
}

static void test_empty_and_exact(void **state UNUSED)
{
    for (unsigned n = 0; n <= 200; n += 100) {
        struct world w;
        init(&w, TTL);
        world_fill(&w, RES_TAG, 1, n);
        assert_int_equal(list(&w, RES_TAG), 0);
        assert_int_equal(world_requests(&w), n ? n / 100 : 1);
        if (!n)
            assert_string_equal(w.text, "");
        assert_int_equal(list(&w, RES_TAG), 0);
        assert_int_equal(world_requests(&w), n ? n / 100 : 1);
        world_finish(&w);
    }
}

/* A listing of many pages is never whole within its TTL of 0, and ends all the same. */
static void test_ttl_zero(void **state UNUSED)
{
    struct world w;
    init(&w, 0);
    world_fill(&w, RES_CONTACT, 1, 1000);
    w.delay_ms = 20;
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(world_requests(&w), 10);
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(world_requests(&w), 20);

    /* Readers that come at any moment of it end too, and cost a walk each at most. */
    enum { N = 12 };
    struct run runs[N];
    for (int i = 0; i < N; i++) {
        runs[i] = (struct run){.res = RES_CONTACT, .listing = world_home(&w, RES_CONTACT)};
        run_begin(&w, &runs[i], run_whole);
        world_advance(&w, 33);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(world_run(&w, &runs[i]), 0);
        run_finish(&runs[i]);
    }
    assert_true(world_requests(&w) <= 20 + N * 10);
    world_finish(&w);
}

static void test_one_walk_for_all(void **state UNUSED)
{
    enum { N = 16 };
    struct world w;
    struct run runs[N];
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 450);
    w.delay_ms = 100;
    for (int i = 0; i < N; i++) {
        runs[i] = (struct run){.res = RES_CONTACT, .listing = world_home(&w, RES_CONTACT)};
        run_begin(&w, &runs[i], run_whole);
        world_advance(&w, 17);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(world_run(&w, &runs[i]), 0);
        run_finish(&runs[i]);
    }
    assert_int_equal(world_requests(&w), 5);
    world_finish(&w);
}

/* The listing counts as one answer, as old as its last page, and so do its records. */
static void test_slow_walk(void **state UNUSED)
{
    struct world w;
    struct reader r = {0};
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 1500);
    /* The reader takes 50 s for a page: longer than the TTL in all. */
    for (size_t have = 0; !r.walk || !r.walk->complete; have += 100) {
        if (have)
            world_advance(&w, 50000);
        assert_int_equal(read_more(&w, &r, RES_CONTACT, have), 0);
        store_walk_read_to(w.store, r.walk, have + 100);
        world_turn(&w);
    }
    assert_true(clock_mono_ms(&w.clock.clock) > 2 * TTL);
    reader_close(&r);
    assert_int_equal(world_requests(&w), 15);
    assert_int_equal(world_record(&w, RES_CONTACT, "700"), 0);
    assert_int_equal(world_requests(&w), 15);
    world_advance(&w, TTL);
    assert_int_equal(world_record(&w, RES_CONTACT, "700"), 0);
    assert_int_equal(world_requests(&w), 16);
    world_finish(&w);
}

/* ---- streaming ---- */

static void test_read_ahead(void **state UNUSED)
{
    struct world w;
    struct reader r = {0};
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 2000);
    assert_int_equal(read_more(&w, &r, RES_CONTACT, 0), 0);
    assert_int_equal(r.run.runs, 2);
    world_advance(&w, 1000);
    /* A few pages ahead of the reader, and there it stands. */
    assert_int_equal(r.walk->count, AHEAD);
    assert_int_equal(world_requests(&w), 4);
    store_walk_read_to(w.store, r.walk, 1);
    world_advance(&w, 1000);
    assert_int_equal(r.walk->count, AHEAD + 100);
    store_walk_read_to(w.store, r.walk, 1); /* going back asks nothing */
    store_walk_read_to(w.store, r.walk, 0);
    world_advance(&w, 1000);
    assert_int_equal(world_requests(&w), 5);

    /* Nobody reads any more: nobody polls. */
    reader_close(&r);
    world_advance(&w, 10 * TTL);
    assert_int_equal(world_requests(&w), 5);
    world_finish(&w);
}

/* A page fetched ahead fails: nobody has asked for it, so the reader who does asks again. */
static void test_ahead_fails(void **state UNUSED)
{
    struct world w;
    struct reader r = {0};
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 300);
    scripted_expect(&w.server, HTTP_GET, "startingAfter=201",
                    &(struct scripted_answer){.status = 403});
    assert_int_equal(read_more(&w, &r, RES_CONTACT, 0), 0);
    world_advance(&w, 1000);
    assert_int_equal(world_requests(&w), 2);
    store_walk_read_to(w.store, r.walk, 50);
    world_advance(&w, 1000);
    assert_int_equal(world_requests(&w), 2);
    assert_int_equal(read_more(&w, &r, RES_CONTACT, 100), 0);
    assert_true(r.walk->count >= 200);
    reader_close(&r);
    world_finish(&w);
}

static void test_failure_in_the_middle(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 300);
    scripted_expect(&w.server, HTTP_GET, "startingAfter=201",
                    &(struct scripted_answer){.status = 403});
    assert_int_equal(list(&w, RES_CONTACT), -EACCES);
    assert_int_equal(world_requests(&w), 2);
    /* It goes on from where it was. */
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(world_requests(&w), 4);
    assert_int_equal(strncmp(w.text, "300 299 ", 8), 0);
    world_finish(&w);
}

/* ---- refresh and age ---- */

static void no_news(void *data UNUSED, enum resource res UNUSED, struct record *rec UNUSED)
{
}

static void test_put_aside(void **state UNUSED)
{
    struct world w;
    struct reader r = {0};
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 1000);
    assert_int_equal(read_more(&w, &r, RES_CONTACT, 0), 0);
    world_remove(&w, RES_CONTACT, "990");
    world_put(&w, RES_CONTACT, "{\"id\":2000}");
    store_refresh_listing(w.store, world_home(&w, RES_CONTACT), no_news, NULL);

    /* Another walk is whole first; then the old reader goes on to his end. */
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(strncmp(w.text, "2000 1000 999 ", 14), 0);
    assert_null(strstr(w.text, " 990 "));
    for (size_t have = 100; have < 1000; have += 100)
        assert_int_equal(read_more(&w, &r, RES_CONTACT, have), 0);
    assert_true(r.walk->complete);
    assert_int_equal(r.walk->count, 1000);
    assert_int_equal(r.walk->keys[0], 1000);
    reader_close(&r);

    /* The one put aside serves nobody else. */
    size_t asked = world_requests(&w);
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(strncmp(w.text, "2000 ", 5), 0);
    assert_int_equal(world_requests(&w), asked);
    assert_null(store_peek(w.store, RES_CONTACT, 990));
    world_finish(&w);
}

/* A walk that stood still for longer than the TTL is no beginning for a new reader. */
static void test_stood_still(void **state UNUSED)
{
    struct world w;
    struct reader r = {0};
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 1000);
    assert_int_equal(read_more(&w, &r, RES_CONTACT, 0), 0);
    world_advance(&w, TTL + 1);
    size_t asked = world_requests(&w);
    assert_int_equal(list(&w, RES_CONTACT), 0);
    assert_int_equal(world_requests(&w), asked + 10);
    assert_int_equal(read_more(&w, &r, RES_CONTACT, r.walk->count), 0);
    reader_close(&r);
    world_finish(&w);
}

static void test_refresh_all(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_TAG, 1, 3);
    assert_int_equal(list(&w, RES_TAG), 0);
    store_refresh_all(w.store, no_news, NULL);
    assert_int_equal(world_record(&w, RES_TAG, "2"), 0);
    assert_int_equal(world_requests(&w), 2);
    assert_int_equal(list(&w, RES_TAG), 0);
    assert_int_equal(world_requests(&w), 3);
    assert_int_equal(world_record(&w, RES_TAG, "1"), 0);
    assert_int_equal(world_requests(&w), 3);
    world_finish(&w);
}

static void test_stale(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_TAG, 1, 150);
    assert_int_equal(list(&w, RES_TAG), 0);
    world_advance(&w, TTL);
    w.failure = NET_UNREACHABLE;
    assert_int_equal(list(&w, RES_TAG), 0);
    assert_int_equal(strncmp(w.text, "150 149 ", 8), 0);
    size_t asked = world_requests(&w);
    assert_int_equal(list(&w, RES_TAG), 0);
    assert_int_equal(world_requests(&w), asked);
    w.failure = NET_OK;
    world_advance(&w, STORE_AWAY_MS);
    w.status = 403;
    assert_int_equal(list(&w, RES_TAG), -EACCES);
    w.status = 0;
    assert_int_equal(list(&w, RES_TAG), 0);
    world_finish(&w);
}

static void test_expired(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_TAG, 1, 3);
    assert_int_equal(list(&w, RES_TAG), 0);
    world_advance(&w, TTL);
    scripted_always(&w.server, HTTP_GET, "", &(struct scripted_answer){.never = true});
    struct run run = {.res = RES_TAG, .listing = world_home(&w, RES_TAG)};
    run_begin(&w, &run, run_whole);
    assert_int_equal(world_run(&w, &run), 0);
    assert_string_equal(run.text, "3 2 1");
    run_finish(&run);
    /* Nothing older is at hand. */
    run = (struct run){.res = RES_CONTACT, .listing = world_home(&w, RES_CONTACT)};
    run_begin(&w, &run, run_whole);
    assert_int_equal(world_run(&w, &run), -ETIMEDOUT);
    assert_true(run.ended_ms - run.began_ms <= WORLD_TIMEOUT_MS);
    world_finish(&w);
}

/* A refresh that stopped where it meets what is known would see the new record, and neither the one
 * that is gone nor the one that is changed further down: it goes to the end, however many it knows.
 * What has not changed is as it was: its text, and its date, by which the kernel keeps its pages.
 */
static void test_refreshed_to_the_end(void **state UNUSED)
{
    for (uint64_t count = 1000; count <= 6000; count += 5000) { /* the second is split */
        struct world w;
        world_init(&w, &(struct world_options){.ttl_ms = TTL, .jobs = 16});
        for (uint64_t id = count; id > 0; id--)
            world_putf(&w, RES_CONTACT, "{\"id\":%" PRIu64 ",\"locale\":\"fr\"}", id);
        assert_int_equal(list(&w, RES_CONTACT), 0);
        int64_t same_ns = store_peek(w.store, RES_CONTACT, count - 1)->mtime_ns;
        int64_t changed_ns = store_peek(w.store, RES_CONTACT, 7)->mtime_ns;

        world_advance(&w, TTL);
        world_putf(&w, RES_CONTACT, "{\"id\":%" PRIu64 "}", count + 1);
        world_put(&w, RES_CONTACT, "{\"id\":7,\"locale\":\"de\"}");
        world_remove(&w, RES_CONTACT, "5");
        assert_int_equal(list(&w, RES_CONTACT), 0);
        assert_int_equal(strtoull(w.text, NULL, 10), count + 1);
        assert_non_null(strstr(w.text, " 6 4 "));
        assert_null(store_peek(w.store, RES_CONTACT, 5));
        assert_int_equal(store_peek(w.store, RES_CONTACT, count - 1)->mtime_ns, same_ns);
        assert_true(store_peek(w.store, RES_CONTACT, 7)->mtime_ns > changed_ns);
        world_finish(&w);
    }
}

/* ---- what is gone ---- */

static void on_gone(void *data, enum resource res UNUSED, uint64_t key)
{
    *(uint64_t *)data = *(uint64_t *)data * 1000 + key;
}

static void test_vanished(void **state UNUSED)
{
    struct world w;
    uint64_t gone = 0;
    world_init(&w, &(struct world_options){.ttl_ms = TTL, .gone = on_gone, .data = &gone});
    world_fill(&w, RES_CONTACT, 1, 150);
    assert_int_equal(list(&w, RES_CONTACT), 0);
    world_remove(&w, RES_CONTACT, "40");
    world_advance(&w, TTL);
    w.delay_ms = 100;
    struct run run = {.res = RES_CONTACT, .listing = world_home(&w, RES_CONTACT)};
    run_begin(&w, &run, run_whole);
    world_turn(&w);
    /* Made and read while the walk is under way, behind its back. */
    world_put(&w, RES_CONTACT, "{\"id\":777}");
    w.delay_ms = 10;
    assert_int_equal(world_record(&w, RES_CONTACT, "777"), 0);
    assert_int_equal(world_run(&w, &run), 0);
    assert_int_equal(gone, 40);
    assert_null(store_peek(w.store, RES_CONTACT, 40));
    assert_non_null(store_peek(w.store, RES_CONTACT, 777));
    size_t asked = world_requests(&w);
    assert_int_equal(world_record(&w, RES_CONTACT, "40"), -ENOENT);
    assert_int_equal(world_requests(&w), asked);
    run_finish(&run);
    world_finish(&w);
}

/* ---- liars ---- */

static void test_same_page_again(void **state UNUSED)
{
    static const char again[] = "{\"items\":[{\"id\":9},{\"id\":8}],\"hasMore\":true}";
    struct world w;
    init(&w, TTL);
    scripted_always(&w.server, HTTP_GET, "/api/tags", &(struct scripted_answer){.body = again});
    assert_int_equal(list(&w, RES_TAG), -EBADMSG);
    assert_non_null(strstr(w.failure_seen.message, "same records come again"));
    assert_int_equal(world_requests(&w), 2);
    /* The next reader begins anew. */
    assert_int_equal(list(&w, RES_TAG), -EBADMSG);
    assert_int_equal(world_requests(&w), 4);
    assert_null(strstr(w.server.requests[2].url, "startingAfter"));
    world_finish(&w);
}

static void test_pages_in_a_circle(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    answer(&w, "", "{\"items\":[{\"id\":9},{\"id\":8}],\"hasMore\":true}");
    answer(&w, "=8", "{\"items\":[{\"id\":5},{\"id\":4}],\"hasMore\":true}");
    answer(&w, "=4", "{\"items\":[{\"id\":9},{\"id\":8}],\"hasMore\":true}");
    assert_int_equal(list(&w, RES_TAG), -EBADMSG);
    world_finish(&w);
}

/* Out of order and repeated records: each is listed once, in the order of the first sight. */
static void test_any_order(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    answer(&w, "", "{\"items\":[{\"id\":5},{\"id\":9},{\"id\":2}],\"hasMore\":true}");
    answer(&w, "=2", "{\"items\":[{\"id\":9},{\"id\":7},{\"id\":5}],\"hasMore\":false}");
    assert_int_equal(list(&w, RES_TAG), 0);
    assert_string_equal(w.text, "5 9 2 7");
    assert_int_equal(world_record(&w, RES_TAG, "7"), 0);
    assert_int_equal(world_record(&w, RES_TAG, "6"), -ENOENT);
    world_finish(&w);

    init(&w, TTL);
    answer(&w, "", "{\"items\":[{\"id\":1},{\"id\":2}],\"hasMore\":true}");
    answer(&w, "=2", "{\"items\":[{\"id\":4},{\"id\":6}],\"hasMore\":false}");
    assert_int_equal(list(&w, RES_TAG), 0);
    assert_string_equal(w.text, "1 2 4 6");
    assert_int_equal(world_record(&w, RES_TAG, "4"), 0);
    assert_int_equal(world_record(&w, RES_TAG, "3"), -ENOENT);
    world_finish(&w);
}

static void test_refused_whole(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    /* The collection is not offered: a directory that exists must not look empty. */
    w.status = 404;
    assert_int_equal(list(&w, RES_COURSE), -EOPNOTSUPP);
    /* The API insists on a contact. */
    w.status = 422;
    w.body = "{\"detail\":\"contact: This value should not be blank.\"}";
    assert_int_equal(list(&w, RES_SUBSCRIPTION), -EOPNOTSUPP);
    assert_non_null(strstr(w.failure_seen.message, "contacts/ID/subscriptions/"));
    assert_int_equal(w.failure_seen.status, 422);
    assert_true(w.failure_seen.number > 0);
    w.status = 0;
    world_put(&w, RES_SUBSCRIPTION, "{\"id\":3,\"contact\":{\"id\":8}}");
    struct listing *part = world_part(&w, RES_SUBSCRIPTION, RES_CONTACT, "8");
    assert_int_equal(world_list(&w, RES_SUBSCRIPTION, part), 0);
    assert_string_equal(w.text, "3");
    world_finish(&w);
}

/* ---- places ---- */

static void push(struct world *w, const char *ids, struct walk **ret)
{
    char body[256], *p = body;
    p += sprintf(p, "{\"items\":[");
    for (const char *s = ids; *s; s++)
        p += sprintf(p, "%s{\"id\":%d}", s == ids ? "" : ",", *s - '0');
    sprintf(p, "],\"hasMore\":false}");
    answer(w, "/api/tags", body);
    struct reader r = {0};
    store_refresh_listing(w->store, world_home(w, RES_TAG), no_news, NULL);
    assert_int_equal(read_more(w, &r, RES_TAG, 0), 0);
    *ret = r.walk;
    walk_reader(r.walk, -1);
}

static void test_positions(void **state UNUSED)
{
    static const struct {
        const char *ids;
        uint64_t key;
        size_t position;
        bool found;
    } rows[] = {
        {"", 5, 0, false},     {"5", 5, 1, true},     {"9753", 9, 1, true},  {"9753", 3, 4, true},
        {"9753", 8, 1, false}, {"9753", 4, 3, false}, {"9753", 1, 4, false}, {"3579", 5, 2, true},
        {"3579", 1, 0, false}, {"3579", 6, 2, false}, {"5936", 9, 2, true},  {"5936", 6, 4, true},
    };
    struct world w;
    init(&w, TTL);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct walk *walk;
        size_t index = 99;
        push(&w, rows[i].ids, &walk);
        assert_int_equal(walk_position_after(walk, rows[i].key), rows[i].position);
        assert_int_equal(walk_find(walk, rows[i].key, &index), rows[i].found);
        if (rows[i].found)
            assert_int_equal(index + 1, rows[i].position);
        walk_unref(walk);
    }
    world_finish(&w);

    const uint64_t keys[] = {4, 1, 3};
    struct walk *walk = walk_from_keys(keys, 3);
    assert_true(walk->complete);
    assert_true(walk_find(walk, 1, NULL));
    assert_false(walk_find(walk, 2, NULL));
    assert_int_equal(walk_position_after(walk, 1), 2);
    walk_ref(walk);
    walk_unref(walk);
    walk_unref(walk);
    walk_unref(NULL);
    walk = walk_from_keys(NULL, 0);
    assert_int_equal(walk->count, 0);
    walk_unref(walk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_empty_and_exact),
        cmocka_unit_test(test_ttl_zero),
        cmocka_unit_test(test_one_walk_for_all),
        cmocka_unit_test(test_slow_walk),
        cmocka_unit_test(test_read_ahead),
        cmocka_unit_test(test_ahead_fails),
        cmocka_unit_test(test_failure_in_the_middle),
        cmocka_unit_test(test_put_aside),
        cmocka_unit_test(test_stood_still),
        cmocka_unit_test(test_refresh_all),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_refreshed_to_the_end),
        cmocka_unit_test(test_vanished),
        cmocka_unit_test(test_same_page_again),
        cmocka_unit_test(test_pages_in_a_circle),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_refused_whole),
        cmocka_unit_test(test_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
