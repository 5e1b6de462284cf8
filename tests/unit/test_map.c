/* base/map: 64-bit keys to pointers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"
#include "systemefs/base/map.h"
#include "systemefs/base/rng.h"

static void test_empty(void **state UNUSED)
{
    struct map m;
    map_init(&m);
    assert_null(map_get(&m, 0));
    assert_null(map_remove(&m, 0));
    map_for_each(slot, &m)
        fail_msg("an entry in an empty map: %p", slot->value);
    map_finish(&m);
    map_finish(&m);
}

static void test_basics(void **state UNUSED)
{
    struct map m;
    int a, b;
    map_init(&m);
    assert_int_equal(map_put(&m, 0, &a), 0);
    assert_int_equal(map_put(&m, UINT64_MAX, &b), 0);
    assert_int_equal(m.count, 2);
    assert_ptr_equal(map_get(&m, 0), &a);
    assert_ptr_equal(map_get(&m, UINT64_MAX), &b);
    assert_null(map_get(&m, 1));
    assert_int_equal(map_put(&m, 0, &b), 0); /* replaces */
    assert_int_equal(m.count, 2);
    assert_ptr_equal(map_remove(&m, 0), &b);
    assert_null(map_remove(&m, 0));
    assert_null(map_get(&m, 0));
    assert_int_equal(m.count, 1);
    map_finish(&m);
    assert_null(map_get(&m, UINT64_MAX));
}

#define KEYS 3000

/* All that a map promises, next to an array that says what it must hold. */
static void assert_same(const struct map *m, const uint64_t *keys, void *const *model)
{
    size_t count = 0, walked = 0;
    for (size_t i = 0; i < KEYS; i++) {
        assert_ptr_equal(map_get(m, keys[i]), model[i]);
        count += model[i] != NULL;
    }
    map_for_each(slot, m)
        walked++;
    assert_int_equal(m->count, count);
    assert_int_equal(walked, count);
}

static void random_operations(uint64_t seed, const uint64_t *keys, size_t keys_used)
{
    static char values[KEYS];
    void *model[KEYS] = {NULL};
    struct rng rng = {.state = seed};
    struct map m;
    map_init(&m);
    for (int step = 0; step < 40000; step++) {
        /* Fills and empties by turns, so that long chains grow and are taken apart. */
        uint64_t put_percent = step / 5000 % 2 ? 30 : 70;
        size_t i = rng_below(&rng, keys_used);
        if (rng_below(&rng, 100) < put_percent) {
            void *value = &values[rng_below(&rng, KEYS)];
            assert_int_equal(map_put(&m, keys[i], value), 0);
            model[i] = value;
        } else {
            assert_ptr_equal(map_remove(&m, keys[i]), model[i]);
            model[i] = NULL;
        }
        if (step % 1000 == 0)
            assert_same(&m, keys, model);
    }
    assert_same(&m, keys, model);
    for (size_t i = 0; i < keys_used; i++)
        assert_ptr_equal(map_remove(&m, keys[i]), model[i]);
    assert_int_equal(m.count, 0);
    map_finish(&m);
}

static void test_random(void **state UNUSED)
{
    uint64_t following[KEYS], spread[KEYS], high[KEYS];
    struct rng rng = {.state = 42};
    for (size_t i = 0; i < KEYS; i++) {
        following[i] = 246810357 + i;
        spread[i] = rng_next(&rng);
        high[i] = (uint64_t)i << 52 | i; /* the kind of a node above, its id below */
    }
    for (uint64_t seed = 0; seed < 10; seed++) {
        random_operations(seed, following, KEYS);
        random_operations(seed, spread, KEYS);
        random_operations(seed, high, KEYS);
        /* Few keys in a small table: chains that go around its end. */
        random_operations(seed, spread, 12);
    }
}

/* Ids that follow each other must not fall into one chain: a million contacts are looked up. */
static void test_many(void **state UNUSED)
{
    struct map m;
    int value;
    map_init(&m);
    for (uint64_t i = 1; i <= 1000000; i++)
        assert_int_equal(map_put(&m, i, &value), 0);
    assert_int_equal(m.count, 1000000);
    size_t longest = 0, run = 0;
    for (size_t i = 0; i < m.cap; i++) {
        run = m.slots[i].value ? run + 1 : 0;
        longest = MAX(longest, run);
    }
    assert_true(longest < 200);
    map_finish(&m);
}

/* Inode numbers of records with textual ids are made from it: another value after an update
 * would be another file. */
static void test_hash_is_stable(void **state UNUSED)
{
    assert_true(hash_bytes("", 0) == UINT64_C(0xefd01f60ba992926));
    assert_true(hash_bytes("a", 1) == UINT64_C(0x82a2a958a9bece5b));
    assert_true(hash_bytes("018f3c1e-7b2a-7c4d-9e55-0123456789ab", 36) ==
                UINT64_C(0xb4896537e203bf06));
    assert_true(hash_bytes("a\0", 2) != hash_bytes("a", 1));

    /* Every bit of a text counts, wherever it is, and so does its length. */
    unsigned char text[41] = "";
    struct map seen;
    map_init(&seen);
    for (size_t len = 0; len < sizeof(text); len++) {
        for (size_t bit = 0; bit <= len * 8; bit++) {
            unsigned char *p = &text[bit / 8], before = *p;
            if (bit < len * 8)
                *p = (unsigned char)(before ^ 1u << bit % 8);
            uint64_t hash = hash_text(text, len);
            assert_null(map_get(&seen, hash));
            map_put(&seen, hash, text);
            *p = before;
        }
    }
    map_finish(&seen);
}

/* Replacing could fail: the map grew first, which it had no need to. Who relied on that it cannot
 * fail freed the old value, and the map went on pointing to it (found by test_no_memory.py). */
static void test_replacing_needs_no_room(void **state UNUSED)
{
    struct map m;
    int value = 1, other = 2;
    map_init(&m);
    do
        assert_int_equal(map_put(&m, m.count + 1, &value), 0);
    while ((m.count + 1) * 4 <= m.cap * 3);
    const struct map_slot *slots = m.slots;
    assert_int_equal(map_put(&m, 1, &other), 0);
    assert_ptr_equal(m.slots, slots);
    assert_ptr_equal(map_get(&m, 1), &other);
    assert_int_equal(map_put(&m, m.count + 1, &value), 0);
    assert_ptr_not_equal(m.slots, slots);
    map_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),          cmocka_unit_test(test_basics),
        cmocka_unit_test(test_random),         cmocka_unit_test(test_many),
        cmocka_unit_test(test_hash_is_stable), cmocka_unit_test(test_replacing_needs_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
