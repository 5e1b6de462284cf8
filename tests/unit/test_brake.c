/* store/brake: how many deletes a minute, and what a grant is worth. */
#include "systemefs/store/brake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"

#define START 5000

/* How many of `n` deletes go at that moment. */
static unsigned allowed(struct brake *b, unsigned n, int64_t now_ms)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++)
        count += brake_allow(b, now_ms);
    return count;
}

static void test_limit(void **state UNUSED)
{
    static const unsigned limits[] = {1, 2, 50, 10000};
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        struct brake b;
        assert_int_equal(brake_init(&b, limits[i]), 0);
        assert_int_equal(brake_wait_s(&b, START), 0);
        assert_int_equal(allowed(&b, limits[i] + 3, START), limits[i]);
        assert_int_equal(brake_wait_s(&b, START), BRAKE_WINDOW_MS / 1000);
        assert_int_equal(brake_wait_s(&b, START + 1), BRAKE_WINDOW_MS / 1000); /* rounded up */
        assert_int_equal(allowed(&b, 1, START + BRAKE_WINDOW_MS - 1), 0);
        assert_int_equal(brake_wait_s(&b, START + BRAKE_WINDOW_MS - 1), 1);
        assert_int_equal(brake_wait_s(&b, START + BRAKE_WINDOW_MS), 0);
        assert_int_equal(allowed(&b, limits[i] + 3, START + BRAKE_WINDOW_MS), limits[i]);
        brake_finish(&b);
    }
}

/* The window moves: a delete makes room a minute after the one `limit` before it. */
static void test_window(void **state UNUSED)
{
    struct brake b;
    assert_int_equal(brake_init(&b, 3), 0);
    for (int64_t t = 0; t < 3; t++)
        assert_int_equal(allowed(&b, 1, START + t * 10000), 1);
    assert_int_equal(allowed(&b, 2, START + 59999), 0);
    assert_int_equal(brake_wait_s(&b, START + 30000), 30);
    assert_int_equal(allowed(&b, 2, START + 60000), 1);
    assert_int_equal(allowed(&b, 2, START + 69999), 0);
    assert_int_equal(allowed(&b, 2, START + 80000), 2);
    assert_int_equal(brake_wait_s(&b, START + 80000), 40);
    brake_finish(&b);
}

static void test_none(void **state UNUSED)
{
    struct brake b;
    assert_int_equal(brake_init(&b, 0), 0);
    assert_int_equal(allowed(&b, 100000, START), 100000);
    assert_int_equal(brake_wait_s(&b, START), 0);
    brake_finish(&b);
}

static void test_grant(void **state UNUSED)
{
    struct brake b;
    assert_int_equal(brake_init(&b, 2), 0);
    /* What the limit allows does not use it up. */
    brake_grant(&b, 5, START);
    assert_int_equal(allowed(&b, 20, START), 2 + 5);
    /* The granted ones count as deletes of this minute, too. */
    assert_int_equal(allowed(&b, 20, START + BRAKE_WINDOW_MS - 1), 0);
    assert_int_equal(allowed(&b, 20, START + BRAKE_WINDOW_MS), 2);
    /* A new one takes the place of the old one; 0 ends it. */
    brake_grant(&b, 5, START + BRAKE_WINDOW_MS);
    brake_grant(&b, 3, START + BRAKE_WINDOW_MS);
    assert_int_equal(allowed(&b, 20, START + BRAKE_WINDOW_MS), 3);
    brake_grant(&b, 3, START + BRAKE_WINDOW_MS);
    brake_grant(&b, 0, START + BRAKE_WINDOW_MS);
    assert_int_equal(allowed(&b, 20, START + BRAKE_WINDOW_MS), 0);
    brake_finish(&b);
}

/* It is forgotten ten minutes after its last use, and not before. */
static void test_grant_ends(void **state UNUSED)
{
    struct brake b;
    int64_t t = START;
    assert_int_equal(brake_init(&b, 1), 0);
    brake_grant(&b, 10, t);
    assert_int_equal(allowed(&b, 2, t), 2);
    for (int i = 0; i < 3; i++) {
        t += BRAKE_GRANT_MS - 1;
        assert_int_equal(allowed(&b, 2, t), 2); /* one by the limit, one by the grant */
    }
    t += BRAKE_GRANT_MS;
    assert_int_equal(allowed(&b, 2, t), 1);
    brake_finish(&b);
}

/* Whoever did not use it at all finds it gone. */
static void test_grant_unused(void **state UNUSED)
{
    struct brake b;
    assert_int_equal(brake_init(&b, 1), 0);
    brake_grant(&b, 10, START);
    assert_int_equal(allowed(&b, 5, START + BRAKE_GRANT_MS), 1);
    brake_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),      cmocka_unit_test(test_window),
        cmocka_unit_test(test_none),       cmocka_unit_test(test_grant),
        cmocka_unit_test(test_grant_ends), cmocka_unit_test(test_grant_unused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
