#include "systemefs/codec/json.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "json_compare.h"
#include "json_scan.h"

/* Up to this many members are compared each with each; more are sorted first. */
#define DUPLICATE_SORT_ABOVE 16

/* Behind the checked value that starts at `p`. */
static const char *skip_value(const char *p, const char *end)
{
    unsigned depth = 0;
    do {
        char c = *p;
        if (c == '"') {
            p = json_skip_string(p, end);
        } else if (c == '{' || c == '[') {
            depth++;
            p++;
        } else if (c == '}' || c == ']') {
            depth--;
            p++;
        } else if (depth) {
            p++; /* punctuation, or part of a number or word */
        } else { /* a number or a word: up to what cannot be one */
            while (p < end && *p != ',' && *p != '}' && *p != ']' && !json_is_space(*p))
                p++;
        }
    } while (depth && p < end);
    return p;
}

enum json_type json_type(struct json v)
{
    switch (v.len ? v.p[0] : 'n') {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

void json_iter_init(struct json_iter *it, struct json container)
{
    enum json_type type = json_type(container);
    *it = (struct json_iter){0};
    if (type != JSON_OBJECT && type != JSON_ARRAY)
        return;
    it->p = container.p + 1;
    it->end = container.p + container.len - 1;
    it->object = type == JSON_OBJECT;
}

/* To the next token of checked text, over the punctuation that its place already tells. */
static const char *skip_to_token(const char *p, const char *end)
{
    while (p < end && (json_is_space(*p) || *p == ',' || *p == ':'))
        p++;
    return p;
}

bool json_iter_next(struct json_iter *it, struct json *name, struct json *value)
{
    it->p = skip_to_token(it->p, it->end);
    if (it->p == it->end)
        return false;
    struct json n = {0};
    if (it->object) {
        const char *start = it->p;
        it->p = json_skip_string(start, it->end);
        n = (struct json){.p = start, .len = (size_t)(it->p - start)};
        it->p = skip_to_token(it->p, it->end);
    }
    const char *start = it->p;
    it->p = skip_value(start, it->end);
    if (name)
        *name = n;
    *value = (struct json){.p = start, .len = (size_t)(it->p - start)};
    return true;
}

/* A string's inside. */
static struct json string_inside(struct json v)
{
    return (struct json){.p = v.p + 1, .len = v.len - 2};
}

static bool has_escape(struct json v)
{
    return memchr(v.p, '\\', v.len) != NULL;
}

static bool string_equals(struct json v, const char *s, size_t len)
{
    struct json in = string_inside(v);
    if (!has_escape(in))
        return in.len == len && memcmp(in.p, s, len) == 0;
    const char *p = in.p, *end = in.p + in.len;
    const char *s_end = s + len;
    while (p < end) {
        char bytes[UTF8_CHAR_MAX];
        uint32_t c = json_next_char(&p, end);
        size_t n = utf8_encode(c, bytes);
        if (utf8_is_surrogate(c) || (size_t)(s_end - s) < n || memcmp(s, bytes, n) != 0)
            return false;
        s += n;
    }
    return s == s_end;
}

bool json_string_equals(struct json v, const char *s)
{
    return json_type(v) == JSON_STRING && string_equals(v, s, strlen(s));
}

bool json_member(struct json object, const char *name, struct json *ret)
{
    if (json_type(object) != JSON_OBJECT)
        return false;
    bool found = false;
    size_t len = strlen(name);
    struct json_iter it;
    struct json n, value;
    json_iter_init(&it, object);
    assert(it.object); /* so that there are names */
    while (json_iter_next(&it, &n, &value)) {
        if (string_equals(n, name, len)) {
            *ret = value;
            found = true;
        }
    }
    return found;
}

/* Orders string slices by their characters; 0 for the same name in any spelling. */
static int compare_names(const void *a, const void *b)
{
    return json_compare(*(const struct json *)a, *(const struct json *)b);
}

static bool duplicate_pairs(struct json object, struct json *ret_name)
{
    struct json_iter it;
    struct json name, other, value;
    json_iter_init(&it, object);
    while (json_iter_next(&it, &name, &value)) {
        struct json_iter rest = it;
        while (json_iter_next(&rest, &other, &value)) {
            if (compare_names(&name, &other) == 0) {
                *ret_name = other;
                return true;
            }
        }
    }
    return false;
}

static bool duplicate_sorted(struct json object, struct json *names, size_t count,
                             struct json *ret_name)
{
    struct json_iter it;
    struct json value;
    size_t n = 0;
    json_iter_init(&it, object);
    while (n < count && json_iter_next(&it, &names[n], &value))
        n++;
    qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 1; i < n; i++) {
        if (compare_names(&names[i - 1], &names[i]) == 0) {
            *ret_name = names[i];
            return true;
        }
    }
    return false;
}

/* Of this object alone, which has `count` members. */
static bool duplicate_here(struct json object, size_t count, struct json *ret_name)
{
    /* A person's text may hold a hundred thousand members: comparing each with each would stop
     * the mount for minutes. Without memory for the sort that is still right, only slow. */
    struct json *names = NULL;
    if (count > DUPLICATE_SORT_ABOVE)
        names = calloc(count, sizeof(*names));
    bool found = names ? duplicate_sorted(object, names, count, ret_name)
                       : duplicate_pairs(object, ret_name);
    free(names);
    return found;
}

/* Recursion ends at JSON_DEPTH_MAX, which json_check() saw to. */
bool json_duplicate(struct json v, struct json *ret_name)
{
    struct json_iter it;
    struct json value;
    size_t count = 0;
    json_iter_init(&it, v);
    while (json_iter_next(&it, NULL, &value)) {
        enum json_type type = json_type(value);
        if ((type == JSON_OBJECT || type == JSON_ARRAY) && json_duplicate(value, ret_name))
            return true;
        count++;
    }
    return count > 1 && json_type(v) == JSON_OBJECT && duplicate_here(v, count, ret_name);
}

bool json_int64(struct json v, int64_t *ret)
{
    if (json_type(v) != JSON_NUMBER)
        return false;
    bool negative = v.p[0] == '-';
    /* Counted downward: the lowest number has no positive twin. */
    int64_t n = 0;
    for (size_t i = negative; i < v.len; i++) {
        if (v.p[i] < '0' || v.p[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_sub_overflow(n, v.p[i] - '0', &n))
            return false;
    }
    if (!negative && __builtin_sub_overflow(0, n, &n))
        return false;
    *ret = n;
    return true;
}

bool json_bool(struct json v, bool *ret)
{
    enum json_type type = json_type(v);
    if (type != JSON_TRUE && type != JSON_FALSE)
        return false;
    *ret = type == JSON_TRUE;
    return true;
}

int json_string(struct json v, struct buf *out)
{
    if (json_type(v) != JSON_STRING)
        return -EINVAL;
    struct json in = string_inside(v);
    if (!has_escape(in))
        return buf_append(out, in.p, in.len);

    /* Once for the length and what cannot be had, once for the bytes. */
    const char *end = in.p + in.len;
    char bytes[UTF8_CHAR_MAX];
    size_t len = 0;
    for (const char *p = in.p; p < end;) {
        uint32_t c = json_next_char(&p, end);
        if (c == 0 || utf8_is_surrogate(c))
            return -EILSEQ;
        len += utf8_encode(c, bytes);
    }
    char *to = buf_reserve(out, len);
    if (!to)
        return buf_error(out);
    for (const char *p = in.p; p < end;)
        to += utf8_encode(json_next_char(&p, end), to);
    buf_commit(out, len);
    return 0;
}
