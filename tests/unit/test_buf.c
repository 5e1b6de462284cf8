/* base/buf: growable bytes with a cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/buf.h"
#include "systemefs/base/rng.h"

static void test_append(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, 1000);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_append(&b, "ab\0c", 4), 0);
    assert_int_equal(buf_append_str(&b, "de"), 0);
    assert_int_equal(buf_append_byte(&b, '!'), 0);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(buf_printf(&b, "%d-%s", 42, "x"), 0);
    assert_int_equal(b.len, 11);
    assert_memory_equal(b.data, "ab\0cde!42-x", 12); /* the NUL behind it too */
}

static void test_cap(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, 4);
    assert_int_equal(buf_append(&b, "1234", 4), 0);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(buf_append_byte(&b, '5'), -EFBIG);
    assert_string_equal(b.data, "1234");

    /* The first error sticks, whatever comes after it. */
    assert_int_equal(buf_append(&b, NULL, 0), -EFBIG);
    assert_int_equal(buf_printf(&b, "%s", ""), -EFBIG);
    assert_null(buf_reserve(&b, 0));
    assert_int_equal(buf_error(&b), -EFBIG);
    buf_truncate(&b, 1);
    assert_int_equal(buf_append_byte(&b, '5'), -EFBIG);
    buf_reset(&b);
    assert_int_equal(buf_error(&b), 0);
    assert_string_equal(b.data, "");
    assert_int_equal(buf_printf(&b, "%d", 12345), -EFBIG);
    buf_reset(&b);
    assert_int_equal(buf_printf(&b, "%d", 1234), 0);
    assert_string_equal(b.data, "1234");

    buf_finish(&b);
    assert_int_equal(buf_error(&b), 0);
    assert_int_equal(buf_append_str(&b, "12345"), -EFBIG); /* the cap is kept */
}

static void test_no_room(void **state UNUSED)
{
    struct buf zeroed = {0};
    assert_int_equal(buf_append(&zeroed, "", 0), 0);
    assert_int_equal(buf_append_byte(&zeroed, 'x'), -EFBIG);
    buf_finish(&zeroed);
    buf_finish(&zeroed);
    buf_reset(&zeroed);
    buf_truncate(&zeroed, 0);
}

/* SIZE_MAX as cap overflowed when the NUL was added, and the memory became 0 bytes. */
static void test_largest_cap(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, SIZE_MAX);
    assert_int_equal(buf_append_str(&b, "text"), 0);
    assert_string_equal(b.data, "text");
    assert_int_equal(buf_append(&b, "", SIZE_MAX), -EFBIG);
    assert_string_equal(b.data, "text");
}

static void test_reserve(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, 10);
    char *to = buf_reserve(&b, 10);
    assert_non_null(to);
    memcpy(to, "0123456789", 10);
    assert_int_equal(b.len, 0);
    buf_commit(&b, 6);
    assert_string_equal(b.data, "012345");
    assert_null(buf_reserve(&b, 5));
    buf_reset(&b);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_int_equal(buf_error(&b), -EFBIG);
}

static void test_truncate(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, 10);
    buf_append_str(&b, "hello");
    buf_truncate(&b, 9);
    assert_string_equal(b.data, "hello");
    buf_truncate(&b, 2);
    assert_string_equal(b.data, "he");
    buf_append_str(&b, "y");
    assert_string_equal(b.data, "hey");
}

static void test_take(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    size_t len = 77;
    buf_init(&b, 3);
    char *nothing = buf_take(&b, &len);
    assert_string_equal(nothing, "");
    assert_int_equal(len, 0);
    free(nothing);

    buf_append_str(&b, "abc");
    char *data = buf_take(&b, &len);
    assert_string_equal(data, "abc");
    assert_int_equal(len, 3);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    free(data);
    assert_int_equal(buf_append_str(&b, "xyz"), 0); /* fit for use again, with its cap */
    assert_int_equal(buf_append_str(&b, "."), -EFBIG);
    free(buf_take(&b, NULL));
}

/* Taking an empty buffer used to keep the error, taking a full one did not. */
static void test_take_after_error(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, 1);
    assert_int_equal(buf_append_str(&b, "ab"), -EFBIG);
    free(buf_take(&b, NULL));
    assert_int_equal(buf_error(&b), 0);
}

static void test_random(void **state UNUSED)
{
    struct rng rng = {.state = 7};
    for (int round = 0; round < 300; round++) {
        struct buf b CLEANUP(buf_cleanup);
        size_t max = rng_below(&rng, 700), len = 0;
        char model[700], piece[200];
        int error = 0;
        buf_init(&b, max);
        for (int step = 0; step < 20; step++) {
            size_t n = rng_below(&rng, sizeof(piece));
            memset(piece, 'a' + step, n);
            if (!error && len + n > max)
                error = -EFBIG;
            assert_int_equal(buf_append(&b, piece, n), error);
            if (!error) {
                memcpy(model + len, piece, n);
                len += n;
            }
            assert_int_equal(b.len, len);
            if (b.data) {
                assert_memory_equal(b.data, model, len);
                assert_int_equal(b.data[len], '\0');
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),  cmocka_unit_test(test_cap),
        cmocka_unit_test(test_no_room), cmocka_unit_test(test_largest_cap),
        cmocka_unit_test(test_reserve), cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_take),    cmocka_unit_test(test_take_after_error),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
