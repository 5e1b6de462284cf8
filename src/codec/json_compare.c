#include "json_compare.h"

#include <stdlib.h>

#include "json_scan.h"

/* Up to this many members are looked up one by one; more are sorted first. */
#define LOOK_UP_MAX 16

struct member {
    struct json name, value;
};

struct json json_inside(struct json v)
{
    if (json_type(v) != JSON_STRING)
        return v;
    return (struct json){.p = v.p + 1, .len = v.len - 2};
}

uint32_t json_take_char(struct json *inside)
{
    const char *p = inside->p, *end = inside->p + inside->len;
    uint32_t c = json_next_char(&p, end);
    *inside = (struct json){.p = p, .len = (size_t)(end - p)};
    return c;
}

static int compare_characters(struct json a, struct json b)
{
    while (a.len && b.len) {
        uint32_t c = json_take_char(&a);
        uint32_t d = json_take_char(&b);
        if (c != d)
            return c < d ? -1 : 1;
    }
    return (a.len > 0) - (b.len > 0);
}

int json_compare(struct json a, struct json b)
{
    if (!a.len || !b.len)
        return (a.len == 0) - (b.len == 0);
    struct json x = json_inside(a), y = json_inside(b);
    if (memchr(x.p, '\\', x.len) || memchr(y.p, '\\', y.len))
        return compare_characters(x, y);
    /* The order of UTF-8 bytes is the order of the characters. */
    int r = memcmp(x.p, y.p, MIN(x.len, y.len));
    return r ? r : (x.len > y.len) - (x.len < y.len);
}

static int compare_members(const void *a, const void *b)
{
    return json_compare(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static bool equal_arrays(struct json a, struct json b)
{
    struct json_iter ia, ib;
    struct json x, y;
    json_iter_init(&ia, a);
    json_iter_init(&ib, b);
    while (json_iter_next(&ia, NULL, &x))
        if (!json_iter_next(&ib, NULL, &y) || !json_equal(x, y))
            return false;
    return !json_iter_next(&ib, NULL, &y);
}

static size_t count_rest(struct json_iter it)
{
    struct json value;
    size_t n = 0;
    while (json_iter_next(&it, NULL, &value))
        n++;
    return n;
}

static bool equal_by_look_up(struct json_iter a, struct json_iter b)
{
    struct member m, other;
    while (json_iter_next(&a, &m.name, &m.value)) {
        struct json_iter it = b;
        bool found = false;
        while (!found && json_iter_next(&it, &other.name, &other.value))
            found = json_compare(m.name, other.name) == 0;
        if (!found || !json_equal(m.value, other.value))
            return false;
    }
    return true;
}

/* Two times `n` members of room in `m`. */
static bool equal_sorted(struct json_iter a, struct json_iter b, struct member *m, size_t n)
{
    struct member *other = m + n;
    for (size_t i = 0; i < n; i++) {
        json_iter_next(&a, &m[i].name, &m[i].value);
        json_iter_next(&b, &other[i].name, &other[i].value);
    }
    qsort(m, n, sizeof(*m), compare_members);
    qsort(other, n, sizeof(*m), compare_members);
    for (size_t i = 0; i < n; i++)
        if (compare_members(&m[i], &other[i]) != 0 || !json_equal(m[i].value, other[i].value))
            return false;
    return true;
}

/* What is left of two objects, in any order. */
static bool equal_rest(struct json_iter a, struct json_iter b)
{
    size_t n = count_rest(a);
    if (n != count_rest(b))
        return false;
    struct member *m = n > LOOK_UP_MAX ? calloc(n, 2 * sizeof(*m)) : NULL;
    bool equal = m ? equal_sorted(a, b, m, n) : equal_by_look_up(a, b);
    free(m);
    return equal;
}

static bool equal_objects(struct json a, struct json b)
{
    struct json_iter ia, ib;
    struct json name, other, x, y;
    json_iter_init(&ia, a);
    json_iter_init(&ib, b);
    /* Members mostly keep their order. */
    for (;;) {
        struct json_iter rest_a = ia, rest_b = ib;
        if (!json_iter_next(&ia, &name, &x))
            return !json_iter_next(&ib, &other, &y);
        if (!json_iter_next(&ib, &other, &y))
            return false;
        if (json_compare(name, other) != 0)
            return equal_rest(rest_a, rest_b);
        if (!json_equal(x, y))
            return false;
    }
}

/* Recursion ends at JSON_DEPTH_MAX, which json_check() saw to. */
bool json_equal(struct json a, struct json b)
{
    enum json_type type = json_type(a);
    if (type != json_type(b))
        return false;
    if (type < JSON_NUMBER || (a.len == b.len && memcmp(a.p, b.p, a.len) == 0))
        return true;
    if (type == JSON_ARRAY)
        return equal_arrays(a, b);
    if (type == JSON_OBJECT)
        return equal_objects(a, b);
    return type == JSON_STRING && json_compare(a, b) == 0;
}

bool json_find(struct json object, struct json name, struct json *ret)
{
    if (json_type(object) != JSON_OBJECT)
        return false;
    bool found = false;
    struct json_iter it;
    struct json n, value;
    json_iter_init(&it, object);
    while (json_iter_next(&it, &n, &value)) {
        if (json_compare(n, name) == 0) {
            *ret = value;
            found = true;
        }
    }
    return found;
}

bool json_sendable(struct json v)
{
    if (!v.len)
        return true;
    /* Outside of strings there is no '\'. */
    const char *p = v.p, *end = v.p + v.len;
    while ((p = memchr(p, '\\', (size_t)(end - p)))) {
        uint32_t c = json_next_escape(&p, end);
        if (c == 0 || utf8_is_surrogate(c))
            return false;
    }
    return true;
}
