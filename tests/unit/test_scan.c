/* store: single reads that turn out to be a scan are answered by pages. */
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

static void test_scan(void **state UNUSED)
{
    for (int direction = -1; direction <= 1; direction += 2) {
        struct world w;
        init(&w, TTL);
        world_fill(&w, RES_CONTACT, 1, 1000);
        for (int i = 0; i < 300; i++) {
            char id[16];
            snprintf(id, sizeof(id), "%d", direction > 0 ? 101 + i : 900 - i);
            assert_int_equal(world_record(&w, RES_CONTACT, id), 0);
        }
        /* 3 alone, and 3 pages of 100 for the 297 others. */
        assert_int_equal(world_requests(&w), 6);
        assert_int_equal(scripted_count(&w.server, HTTP_GET, "order=asc"), direction > 0 ? 3 : 0);
        world_finish(&w);
    }
}

/* An id that does not exist, met by a page: the page proves it. */
static void test_scan_absent(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 200);
    world_remove(&w, RES_CONTACT, "54");
    for (int id = 51; id < 60; id++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", id);
        assert_int_equal(world_record(&w, RES_CONTACT, text), id == 54 ? -ENOENT : 0);
    }
    assert_int_equal(world_requests(&w), 4);
    world_finish(&w);
}

/* Where order=asc has no effect, the page proves nothing: it costs one request more, once. */
static void test_scan_broken_order(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    w.ignores_order = true;
    world_fill(&w, RES_CONTACT, 1, 400);
    for (int id = 201; id < 221; id++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", id);
        assert_int_equal(world_record(&w, RES_CONTACT, text), 0);
        assert_non_null(strstr(w.text, text));
    }
    assert_int_equal(scripted_count(&w.server, HTTP_GET, "order=asc"), 1);
    assert_int_equal(world_requests(&w), 21);
    world_finish(&w);
}

/* Ids far apart: a page for each would be a waste. */
static void test_scan_sparse(void **state UNUSED)
{
    struct world w;
    init(&w, TTL);
    world_fill(&w, RES_CONTACT, 1, 5000);
    for (int id = 4900; id > 100; id -= 200) {
        char text[16];
        snprintf(text, sizeof(text), "%d", id);
        assert_int_equal(world_record(&w, RES_CONTACT, text), 0);
    }
    assert_int_equal(world_requests(&w), 24);
    assert_true(scripted_count(&w.server, HTTP_GET, "startingAfter") <= 6);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_absent),
        cmocka_unit_test(test_scan_broken_order),
        cmocka_unit_test(test_scan_sparse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
