/* store: a bound on the text that is kept; what has gone for it is fetched again by the page. */
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

#define TTL INT64_C(3600000)
#define N   1000 /* contacts; the API lists the highest id first */

static unsigned changes, gone, going;

static void on_changed(void *data UNUSED, enum resource res UNUSED, uint64_t key UNUSED)
{
    changes++;
}

static void on_gone(void *data UNUSED, enum resource res UNUSED, uint64_t key UNUSED)
{
    gone++;
}

/* The last moment to look at it: the text is still there. */
static void on_evicting(void *data UNUSED, enum resource res, const struct record *rec)
{
    assert_true(res == RES_CONTACT || res == RES_TAG);
    assert_int_equal(strlen(rec->text), rec->len);
    going++;
}

static void init(struct world *w, uint64_t cache_size)
{
    changes = gone = going = 0;
    world_init(w, &(struct world_options){.ttl_ms = TTL,
                                          .cache_size = cache_size,
                                          .changed = on_changed,
                                          .gone = on_gone,
                                          .evicting = on_evicting});
}

/* All contacts listed, and the texts of all but the last 400 gone again: those of 1 to 400 are at
 * hand. */
static void init_listed(struct world *w)
{
    init(w, 1);
    world_fill(w, RES_CONTACT, 1, N);
    assert_int_equal(world_list(w, RES_CONTACT, world_home(w, RES_CONTACT)), 0);
    assert_int_equal(world_requests(w), N / 100);
    world_asked(w);
}

static const char *id_text(uint64_t id)
{
    static char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, id);
    return text;
}

static bool at_hand(const struct world *w, uint64_t id)
{
    return store_peek(w->store, RES_CONTACT, id) != NULL;
}

static size_t count_at_hand(const struct world *w)
{
    size_t n = 0;
    for (uint64_t id = 1; id <= N; id++)
        n += at_hand(w, id);
    return n;
}

static void each_nothing(void *data UNUSED, enum resource res UNUSED, struct record *rec UNUSED)
{
}

static void read_contact(struct world *w, uint64_t id)
{
    char expected[120];
    snprintf(expected, sizeof(expected),
             "{\"id\":%" PRIu64 ",\"email\":\"contact-%" PRIu64 "@example.com\"}", id, id);
    assert_int_equal(world_record(w, RES_CONTACT, id_text(id)), 0);
    assert_string_equal(w->text, expected);
}

/* ---- what goes, what stays known ---- */

static void test_oldest_goes(void **state UNUSED)
{
    struct world w;
    struct store_stats stats;
    init_listed(&w);
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(at_hand(&w, id), id <= STORE_TEXTS_MIN);
    store_get_stats(w.store, &stats);
    assert_int_equal(stats.records, N);
    assert_int_equal(stats.cache_size, 1);
    assert_int_equal(stats.evicted, N - STORE_TEXTS_MIN);
    assert_int_equal(going, N - STORE_TEXTS_MIN);
    uint64_t bytes = 0;
    for (uint64_t id = 1; id <= STORE_TEXTS_MIN; id++)
        bytes += store_peek(w.store, RES_CONTACT, id)->len;
    assert_int_equal(stats.bytes, bytes);
    world_finish(&w);
}

/* All that a stat shows, of a record whose text has gone and of one whose text is there. */
static void test_stat_costs_nothing(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    int64_t valid = store_record_valid_ms(w.store, store_known(w.store, RES_CONTACT, 1));
    for (uint64_t id = 1; id <= N; id++) {
        assert_int_equal(world_stat(&w, RES_CONTACT, id_text(id)), 0);
        const struct record *rec = store_known(w.store, RES_CONTACT, id);
        char pretty[120];
        int size = snprintf(pretty, sizeof(pretty),
                            "{\n  \"id\": %" PRIu64 ",\n  \"email\": \"contact-%" PRIu64
                            "@example.com\"\n}\n",
                            id, id);
        assert_int_equal(rec->size, size);
        assert_int_equal(rec->mtime_ns, WORLD_WALL_NS);
        assert_int_equal(store_record_valid_ms(w.store, rec), valid);
    }
    assert_int_equal(world_requests(&w), N / 100);
    world_finish(&w);
}

/* With room for a few thousand bytes more than the least that is kept: at every turn within it. */
static void test_bound(void **state UNUSED)
{
    enum { BOUND = 30000 };
    struct world w;
    struct store_stats stats = {0};
    init(&w, BOUND);
    world_fill(&w, RES_CONTACT, 1, N);
    struct run run = {.res = RES_CONTACT, .listing = world_home(&w, RES_CONTACT)};
    w.delay_ms = 10;
    run_begin(&w, &run, run_whole);
    while (!run.ends) {
        world_advance(&w, 1);
        store_get_stats(w.store, &stats);
        assert_true(stats.bytes <= BOUND);
    }
    run_finish(&run);
    assert_true(stats.bytes > BOUND - 60);
    assert_true(count_at_hand(&w) > 500);
    world_finish(&w);
}

static void test_no_bound(void **state UNUSED)
{
    struct world w;
    struct store_stats stats;
    init(&w, 0);
    world_fill(&w, RES_CONTACT, 1, N);
    assert_int_equal(world_list(&w, RES_CONTACT, world_home(&w, RES_CONTACT)), 0);
    assert_int_equal(count_at_hand(&w), N);
    store_get_stats(w.store, &stats);
    assert_int_equal(stats.evicted, 0);
    world_finish(&w);
}

/* What was used stays, where there are others that were not. */
static void test_used_stays(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    read_contact(&w, 400); /* at hand, and the next to go */
    assert_int_equal(world_requests(&w), 10);
    read_contact(&w, 700);
    assert_int_equal(world_requests(&w), 11);
    assert_true(at_hand(&w, 400));
    for (uint64_t id = 300; id < 400; id++)
        assert_false(at_hand(&w, id));
    assert_true(at_hand(&w, 299));
    assert_int_equal(count_at_hand(&w), STORE_TEXTS_MIN);
    world_finish(&w);
}

/* Collections that cannot be had again in good company are kept: courses come by their list alone,
 * fields by no page. */
static void test_others_are_kept(void **state UNUSED)
{
    struct world w;
    init(&w, 1);
    world_fill(&w, RES_COURSE, 1, N);
    for (unsigned i = 0; i < 500; i++)
        world_putf(&w, RES_FIELD, "{\"slug\":\"field_%u\",\"fieldName\":\"F\"}", i);
    assert_int_equal(world_list(&w, RES_COURSE, world_home(&w, RES_COURSE)), 0);
    assert_int_equal(world_list(&w, RES_FIELD, world_home(&w, RES_FIELD)), 0);
    for (uint64_t id = 1; id <= N; id++)
        assert_non_null(store_peek(w.store, RES_COURSE, id));
    for (unsigned i = 0; i < 500; i++) {
        char slug[24];
        snprintf(slug, sizeof(slug), "field_%u", i);
        assert_non_null(store_peek(w.store, RES_FIELD, store_key(w.store, RES_FIELD, slug)));
    }
    world_finish(&w);
}

/* ---- fetched again ---- */

static void test_by_page(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    for (uint64_t id = 700; id > 600; id--)
        read_contact(&w, id);
    assert_string_equal(world_asked(&w), "GET /api/contacts?limit=100&startingAfter=701\n");
    read_contact(&w, 600);
    assert_string_equal(world_asked(&w), "GET /api/contacts?limit=100&startingAfter=601\n");
    read_contact(&w, 1000);
    assert_string_equal(world_asked(&w), "GET /api/contacts?limit=100\n");
    assert_int_equal(changes, 0);
    world_finish(&w);
}

/* A search through all of them, from either end: a page each. Upwards, the first is wasted, for it
 * brings what stands below. */
static void test_search(void **state UNUSED)
{
    for (int up = 0; up <= 1; up++) {
        struct world w;
        init_listed(&w);
        for (uint64_t i = 0; i < N; i++)
            read_contact(&w, up ? i + 1 : N - i);
        assert_int_equal(world_requests(&w), up ? 10 + 1 + 6 : 10 + 10);
        /* Once more, now that most of what is at hand stands at the other end. */
        for (uint64_t i = 0; i < N; i++)
            read_contact(&w, up ? i + 1 : N - i);
        assert_true(world_requests(&w) <= 10 + 10 + 12);
        assert_int_equal(count_at_hand(&w), STORE_TEXTS_MIN);
        world_finish(&w);
    }
}

/* Neighbours that are wanted at the same time come in one page. */
static void test_together(void **state UNUSED)
{
    struct world w;
    struct run runs[16] = {0};
    init_listed(&w);
    w.delay_ms = 100;
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        runs[i] = (struct run){.res = RES_CONTACT, .key = 700 - 3 * i};
        run_begin(&w, &runs[i], run_record);
    }
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        assert_int_equal(world_run(&w, &runs[i]), 0);
        run_finish(&runs[i]);
    }
    assert_string_equal(world_asked(&w), "GET /api/contacts?limit=100&startingAfter=701\n");
    world_finish(&w);
}

static void test_other_content(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    const struct record *rec = store_known(w.store, RES_CONTACT, 700);
    world_putf(&w, RES_CONTACT,
               "{\"id\":700,\"email\":\"contact-700@example.com\",\"locale\":\"fr\"}");
    world_advance(&w, 5000);
    uint32_t size = rec->size;
    assert_int_equal(world_record(&w, RES_CONTACT, "700"), 0);
    assert_non_null(strstr(w.text, "\"fr\""));
    assert_int_equal(changes, 1);
    assert_true(rec->size > size);
    assert_int_equal(rec->mtime_ns, WORLD_WALL_NS + INT64_C(5000000000));
    assert_int_equal(store_known(w.store, RES_CONTACT, 699)->mtime_ns, WORLD_WALL_NS);
    world_finish(&w);
}

/* The page that was to begin with it begins with the next one. */
static void test_gone(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    world_remove(&w, RES_CONTACT, "700");
    assert_int_equal(world_stat(&w, RES_CONTACT, "700"), 0);
    assert_int_equal(world_record(&w, RES_CONTACT, "700"), -ENOENT);
    assert_int_equal(world_requests(&w), 11);
    assert_int_equal(gone, 1);
    assert_int_equal(world_stat(&w, RES_CONTACT, "700"), -ENOENT);
    read_contact(&w, 699);
    assert_int_equal(world_requests(&w), 11);
    world_finish(&w);
}

/* A server that answers nothing to a cursor that has gone: the record is then asked for alone. */
static void test_strange_cursor(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    w.strange_cursor = CURSOR_EMPTY;
    world_remove(&w, RES_CONTACT, "701");
    read_contact(&w, 700);
    assert_string_equal(world_asked(&w), "GET /api/contacts?limit=100&startingAfter=701\n"
                                         "GET /api/contacts/700\n");
    world_finish(&w);
}

static void test_away(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    w.failure = NET_UNREACHABLE;
    assert_true(world_record(&w, RES_CONTACT, "700") < 0);
    assert_int_equal(world_stat(&w, RES_CONTACT, "700"), 0);
    read_contact(&w, 100);
    w.failure = NET_OK;
    read_contact(&w, 700);
    world_finish(&w);
}

static void test_refreshed(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    store_refresh_record(w.store, RES_CONTACT, 700);
    assert_int_equal(world_stat(&w, RES_CONTACT, "700"), 0);
    assert_string_equal(world_asked(&w), "GET /api/contacts/700\n");
    read_contact(&w, 700);
    assert_string_equal(world_asked(&w), "");
    read_contact(&w, 699); /* that one is as it was */
    assert_string_equal(world_asked(&w), "GET /api/contacts?limit=100&startingAfter=700\n");
    world_finish(&w);
}

/* ---- what an operation needs ---- */

/* Needs a text that has gone, and then something that takes its time. */
static int run_both(struct run *run)
{
    struct record *rec;
    int r = store_record(run->w->store, &run->op, RES_CONTACT, 700, &rec);
    return r != 0 ? r : store_record(run->w->store, &run->op, RES_TAG, 7, &rec);
}

/* What was fetched for it is still there when it runs again, however much has come meanwhile;
 * once it has ended, that is like any other. */
static void test_under_way(void **state UNUSED)
{
    struct world w;
    struct run run = {0};
    init_listed(&w);
    world_fill(&w, RES_TAG, 1, 9);
    w.delay_ms = 100;
    run_begin(&w, &run, run_both);
    world_turn(&w);
    w.delay_ms = 10000; /* of the tag */
    world_advance(&w, 100);
    w.delay_ms = 1;
    for (int turn = 0; turn < 4; turn++) {
        if (turn == 2)
            assert_int_equal(world_run(&w, &run), 0);
        for (uint64_t id = N; id > 400; id--)
            if (id > 700 || id <= 600)
                read_contact(&w, id);
        if (turn == 1) {
            assert_false(at_hand(&w, 699));
            assert_true(at_hand(&w, 700));
        }
    }
    assert_false(at_hand(&w, 700));
    assert_int_equal(run.runs, 3);
    run_finish(&run);
    assert_int_equal(scripted_count(&w.server, HTTP_GET, "startingAfter=701"), 1 + 1);
    world_finish(&w);
}

/* ---- names, and parts of the collection ---- */

static void test_names(void **state UNUSED)
{
    struct world w;
    struct walk *walk;
    init(&w, 1);
    world_fill(&w, RES_TAG, 1, N);
    world_put(&w, RES_TAG, "{\"id\":900,\"name\":\"twice\"}");
    world_put(&w, RES_TAG, "{\"id\":100,\"name\":\"twice\"}");
    assert_int_equal(world_list(&w, RES_TAG, world_home(&w, RES_TAG)), 0);
    assert_null(store_peek(w.store, RES_TAG, 900));
    assert_non_null(store_peek(w.store, RES_TAG, 100));
    assert_int_equal(world_find(&w, RES_TAG, "tag-800"), 0);
    assert_int_equal(w.key, 800);
    assert_int_equal(world_find(&w, RES_TAG, "twice"), -ENOENT);
    assert_int_equal(world_find(&w, RES_TAG, "tag-900"), -ENOENT);

    struct run run = {.res = RES_TAG};
    run_begin(&w, &run, run_both); /* any operation will do */
    op_end(&run.op);
    assert_int_equal(store_walk_whole(w.store, &run.op, world_home(&w, RES_TAG), &walk), 0);
    static const uint64_t shared[] = {100, 900};
    for (size_t i = 0; i < 2; i++) {
        const struct record *rec = store_known(w.store, RES_TAG, shared[i]);
        assert_true(store_has_name(RES_TAG, rec, "twice", 5));
        assert_false(store_has_name(RES_TAG, rec, "twic", 4));
    }
    assert_true(store_name_shared(w.store, RES_TAG, walk, "twice", 5));
    assert_false(store_name_shared(w.store, RES_TAG, walk, "tag-99", 6));
    assert_false(store_name_shared(w.store, RES_TAG, walk, "tag-899", 7));
    run_finish(&run);
    world_finish(&w);
}

/* The contacts of a tag are told from the texts, or else asked for. */
static void test_parts(void **state UNUSED)
{
    for (int bound = 0; bound <= 1; bound++) {
        struct world w;
        init(&w, (uint64_t)bound);
        for (uint64_t id = 1; id <= N; id++)
            world_putf(&w, RES_CONTACT,
                       "{\"id\":%" PRIu64 ",\"email\":\"%" PRIu64 "@example.com\","
                       "\"tags\":[{\"id\":%d,\"name\":\"t\"}]}",
                       id, id, id % 250 == 0 ? 7 : 8);
        assert_int_equal(world_list(&w, RES_CONTACT, world_home(&w, RES_CONTACT)), 0);
        struct listing *part = world_part(&w, RES_CONTACT, RES_TAG, "7");
        world_asked(&w);
        assert_int_equal(world_list(&w, RES_CONTACT, part), 0);
        assert_string_equal(w.text, "1000 750 500 250");
        assert_string_equal(world_asked(&w), bound ? "GET /api/contacts?tags=7&limit=100\n" : "");
        world_finish(&w);
    }
}

/* Whether a contact has a tag its text says. */
static void test_in_part(void **state UNUSED)
{
    struct world w;
    init_listed(&w);
    world_asked(&w);
    struct listing *part = world_part(&w, RES_CONTACT, RES_TAG, "7");
    assert_int_equal(world_record_in(&w, part, RES_CONTACT, "700"), -ENOENT);
    assert_string_equal(world_asked(&w), "GET /api/contacts?limit=100&startingAfter=701\n");
    assert_int_equal(world_record_in(&w, world_home(&w, RES_CONTACT), RES_CONTACT, "500"), 0);
    assert_string_equal(world_asked(&w), "");
    world_finish(&w);
}

static uint64_t last_at_hand(const struct world *w, uint64_t end, uint64_t *ret_count)
{
    uint64_t last = *ret_count = 0;
    for (uint64_t id = 1; id <= end; id++)
        if (at_hand(w, id)) {
            (*ret_count)++;
            last = id;
        }
    return last;
}

/* The queue grows while it holds texts: the order in which they came is kept, and what has gone
 * meanwhile is neither kept for it nor in the way of the same record that comes again. */
static void test_long_queue(void **state UNUSED)
{
    enum { ALL = 1900, BOUND = 75000 }; /* walked from its top to its end, in one part */
    for (int gone_first = 0; gone_first < 2; gone_first++) {
        struct world w;
        struct store_stats stats;
        uint64_t kept;
        init(&w, BOUND);
        if (gone_first) {
            world_fill(&w, RES_CONTACT, 1, ALL / 2);
            assert_int_equal(world_list(&w, RES_CONTACT, world_home(&w, RES_CONTACT)), 0);
            for (uint64_t id = 1; id <= ALL / 2; id++)
                world_remove(&w, RES_CONTACT, id_text(id));
            store_refresh_all(w.store, each_nothing, NULL);
            assert_int_equal(world_list(&w, RES_CONTACT, world_home(&w, RES_CONTACT)), 0);
            last_at_hand(&w, ALL, &kept);
            assert_int_equal(kept, 0);
            store_refresh_all(w.store, each_nothing, NULL);
        }
        world_fill(&w, RES_CONTACT, 1, ALL);
        assert_int_equal(world_list(&w, RES_CONTACT, world_home(&w, RES_CONTACT)), 0);
        store_get_stats(w.store, &stats);
        assert_int_equal(stats.records, ALL);
        assert_true(stats.bytes <= BOUND && stats.bytes > BOUND - 100);
        /* The ones that came last, the lowest, and no other; more than the queue begins with. */
        const uint64_t last = last_at_hand(&w, ALL, &kept);
        assert_int_equal(last, kept);
        assert_true(kept > 1024);
        for (uint64_t id = 1; id <= ALL; id += 97)
            read_contact(&w, id);
        world_finish(&w);
    }
}

/* ---- at random ---- */

/* Reads, changes and removals in any order: what is read is what the account has, and no more is
 * kept than may be. Each change is made known by a refresh of that record. */
static void test_random(void **state UNUSED)
{
    enum { TURNS = 4000, BOUND = 25000 };
    struct rng rng = {.state = 11};
    static unsigned version[N + 1];
    struct world w;
    struct store_stats stats;
    memset(version, 0, sizeof(version));
    init(&w, BOUND);
    world_fill(&w, RES_CONTACT, 1, N);
    assert_int_equal(world_list(&w, RES_CONTACT, world_home(&w, RES_CONTACT)), 0);
    for (unsigned turn = 1; turn <= TURNS; turn++) {
        uint64_t id = 1 + rng_below(&rng, N);
        unsigned what = (unsigned)rng_below(&rng, 20);
        if (what == 0 || (what == 1 && version[id] != UINT32_MAX)) {
            version[id] = what == 0 ? turn : UINT32_MAX;
            if (what == 0)
                world_putf(&w, RES_CONTACT, "{\"id\":%" PRIu64 ",\"v\":%u}", id, turn);
            else
                world_remove(&w, RES_CONTACT, id_text(id));
            store_refresh_record(w.store, RES_CONTACT, id);
        }
        int r = what < 10 ? world_record(&w, RES_CONTACT, id_text(id))
                          : world_stat(&w, RES_CONTACT, id_text(id));
        assert_int_equal(r, version[id] == UINT32_MAX ? -ENOENT : 0);
        unsigned v = 0;
        if (r == 0 && what < 10 && version[id]) {
            assert_int_equal(sscanf(strstr(w.text, "\"v\""), "\"v\":%u", &v), 1);
            assert_int_equal(v, version[id]);
        }
        store_get_stats(w.store, &stats);
        assert_true(stats.bytes <= BOUND || count_at_hand(&w) <= STORE_TEXTS_MIN);
    }
    assert_true(stats.evicted > 10000);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oldest_goes), cmocka_unit_test(test_stat_costs_nothing),
        cmocka_unit_test(test_bound),       cmocka_unit_test(test_no_bound),
        cmocka_unit_test(test_used_stays),  cmocka_unit_test(test_others_are_kept),
        cmocka_unit_test(test_by_page),     cmocka_unit_test(test_search),
        cmocka_unit_test(test_together),    cmocka_unit_test(test_other_content),
        cmocka_unit_test(test_gone),        cmocka_unit_test(test_strange_cursor),
        cmocka_unit_test(test_away),        cmocka_unit_test(test_refreshed),
        cmocka_unit_test(test_under_way),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_parts),       cmocka_unit_test(test_in_part),
        cmocka_unit_test(test_long_queue),  cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
