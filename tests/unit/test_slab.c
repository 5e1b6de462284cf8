/* base/slab: objects of one size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"
#include "systemefs/base/rng.h"
#include "systemefs/base/slab.h"

/* Far more than a block holds: all apart, all zeroed, none moved by those that come later. */
static void test_many(void **state UNUSED)
{
    enum { SIZE = 88, N = 5000 };
    static unsigned char *objects[N];
    struct slab s;
    slab_init(&s, SIZE);
    for (size_t i = 0; i < N; i++) {
        objects[i] = slab_get(&s);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % sizeof(void *), 0);
        for (size_t k = 0; k < SIZE; k++)
            assert_int_equal(objects[i][k], 0);
        memset(objects[i], (int)(i % 251) + 1, SIZE);
    }
    assert_int_equal(s.count, N);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < SIZE; k++)
            assert_int_equal(objects[i][k], i % 251 + 1);
    slab_finish(&s);
    assert_int_equal(s.count, 0);
}

/* What is put back is handed out again before anything new is: here and there, many times. */
static void test_again(void **state UNUSED)
{
    enum { N = 100 };
    void *objects[N];
    struct rng rng = {.state = 7};
    struct slab s;
    slab_init(&s, 2 * sizeof(void *));
    for (size_t i = 0; i < N; i++)
        objects[i] = slab_get(&s);
    uintptr_t low = UINTPTR_MAX, high = 0;
    for (size_t i = 0; i < N; i++) {
        low = MIN(low, (uintptr_t)objects[i]);
        high = MAX(high, (uintptr_t)objects[i]);
    }
    for (size_t turn = 0; turn < 10000; turn++) {
        size_t i = rng_below(&rng, N);
        memset(objects[i], 0xff, 2 * sizeof(void *));
        slab_put(&s, objects[i]);
        assert_int_equal(s.count, N - 1);
        const uintptr_t *words = objects[i] = slab_get(&s);
        assert_in_range((uintptr_t)objects[i], low, high);
        assert_int_equal(words[0], 0);
        assert_int_equal(words[1], 0);
    }
    slab_put(&s, NULL);
    assert_int_equal(s.count, N);
    slab_finish(&s);
    slab_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
