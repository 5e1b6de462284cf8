#include "patch_list.h"

#include <errno.h>
#include <stdlib.h>

#include "json_compare.h"
#include "patch_why.h"

#define ENTRIES_MAX ((size_t)1 << 20) /* more than a text of PATCH_TEXT_MAX can have */

static bool is_name(struct json v)
{
    return json_type(v) == JSON_STRING && v.len > strlen("\"\"");
}

static bool is_anything(struct json v UNUSED)
{
    return true;
}

static bool is_version(struct json v)
{
    int64_t n;
    return json_int64(v, &n);
}

bool patch_is_id(struct json v)
{
    int64_t n;
    return is_name(v) || (json_int64(v, &n) && n > 0);
}

/* How an entry is written. JSON_NULL: there is no short form. */
static const struct form {
    const char *key, *value;
    bool (*key_fits)(struct json v);
    bool (*value_fits)(struct json v);
    enum json_type short_key, short_value;
    bool null_is_value;
    bool may_lack_key;
    const char *must; /* be */
} forms[] = {
    [PATCH_PAIRS] = {.key = "slug",
                     .value = "value",
                     .key_fits = is_name,
                     .value_fits = is_anything,
                     .null_is_value = true,
                     .must = "an array of objects with \"slug\" and \"value\""},
    [PATCH_SET] = {.key = "id",
                   .value = "name",
                   .key_fits = patch_is_id,
                   .value_fits = is_name,
                   .short_key = JSON_NUMBER,
                   .short_value = JSON_STRING,
                   .may_lack_key = true,
                   .must = "an array of ids, of names, or of objects with \"id\" or \"name\""},
    [PATCH_EVENTS] = {.key = "event",
                      .value = "schemaVersion",
                      .key_fits = is_name,
                      .value_fits = is_version,
                      .short_key = JSON_STRING,
                      .must = "an array of events, or of objects with \"event\""},
};

bool patch_list_reads(enum patch_kind kind, struct json name)
{
    return json_string_equals(name, forms[kind].key) || json_string_equals(name, forms[kind].value);
}

static bool read_entry(const struct form *form, struct json v, struct patch_entry *ret)
{
    struct json key = {0}, value = {0};
    enum json_type type = json_type(v);
    if (type == JSON_OBJECT) {
        json_member(v, form->key, &key);
        json_member(v, form->value, &value);
    } else if (type == form->short_key) {
        key = v;
    } else if (type == form->short_value) {
        value = v;
    }
    if (json_type(key) == JSON_NULL)
        key = (struct json){0};
    if (json_type(value) == JSON_NULL && !form->null_is_value)
        value = (struct json){0};
    *ret = (struct patch_entry){.key = key, .value = value, .whole = v};
    if (value.len && !form->value_fits(value))
        return false;
    return key.len ? form->key_fits(key) : form->may_lack_key && value.len;
}

void patch_list_init(struct patch_list *l)
{
    *l = (struct patch_list){0};
    buf_init(&l->entries, ENTRIES_MAX * sizeof(struct patch_entry));
}

void patch_list_finish(struct patch_list *l)
{
    buf_finish(&l->entries);
    free(l->sorted[0]);
    free(l->sorted[1]);
    *l = (struct patch_list){0};
}

int patch_list_add(struct patch_list *l, const struct patch_entry *e)
{
    return buf_append(&l->entries, e, sizeof(*e));
}

int patch_list_read(struct patch_list *l, enum patch_kind kind, const char *name, struct json v,
                    size_t place, char *why)
{
    const struct form *form = &forms[kind];
    bool none = json_type(v) == JSON_NULL && kind != PATCH_PAIRS;
    if (why && !none && json_type(v) != JSON_ARRAY)
        return patch_fail(why, -EINVAL, "\"%s\" must be %s", name, form->must);
    struct json_iter it;
    struct json element;
    size_t number = 0;
    json_iter_init(&it, json_type(v) == JSON_ARRAY ? v : (struct json){0});
    while (json_iter_next(&it, NULL, &element)) {
        struct patch_entry e;
        number++;
        if (read_entry(form, element, &e)) {
            e.place = place;
            if (patch_list_add(l, &e) < 0)
                return buf_error(&l->entries);
        } else if (why) {
            return patch_fail(why, -EINVAL, "\"%s\" must be %s; entry %zu is something else", name,
                              form->must, number);
        }
    }
    return 0;
}

size_t patch_list_count(const struct patch_list *l)
{
    return l->entries.len / sizeof(struct patch_entry);
}

struct patch_entry *patch_list_at(const struct patch_list *l, size_t i)
{
    return (struct patch_entry *)(void *)l->entries.data + i;
}

static int compare(enum patch_by by, const struct patch_entry *a, const struct patch_entry *b)
{
    int key = by == PATCH_BY_VALUE ? 0 : json_compare(a->key, b->key);
    int value = by == PATCH_BY_KEY ? 0 : json_compare(a->value, b->value);
    if (by == PATCH_BY_VALUE_AND_KEY)
        return value ? value : key;
    return key ? key : value;
}

/* Both point into one array, which has the order of the text. */
static int compare_places(const struct patch_entry *a, const struct patch_entry *b)
{
    return (a > b) - (a < b);
}

static int sort_by_key(const void *va, const void *vb)
{
    const struct patch_entry *a = *(struct patch_entry *const *)va;
    const struct patch_entry *b = *(struct patch_entry *const *)vb;
    int r = compare(PATCH_BY_KEY_AND_VALUE, a, b);
    return r ? r : compare_places(a, b);
}

static int sort_by_value(const void *va, const void *vb)
{
    const struct patch_entry *a = *(struct patch_entry *const *)va;
    const struct patch_entry *b = *(struct patch_entry *const *)vb;
    int r = compare(PATCH_BY_VALUE_AND_KEY, a, b);
    return r ? r : compare_places(a, b);
}

int patch_list_sort(struct patch_list *l)
{
    static int (*const orders[])(const void *, const void *) = {sort_by_key, sort_by_value};
    size_t count = patch_list_count(l);
    for (size_t o = 0; o < ARRAY_SIZE(orders) && count; o++) {
        l->sorted[o] = calloc(count, sizeof(struct patch_entry *));
        if (!l->sorted[o])
            return -ENOMEM;
        for (size_t i = 0; i < count; i++)
            l->sorted[o][i] = patch_list_at(l, i);
        qsort(l->sorted[o], count, sizeof(struct patch_entry *), orders[o]);
    }
    return 0;
}

struct patch_entry *patch_list_find(const struct patch_list *l, enum patch_by by,
                                    const struct patch_entry *e)
{
    struct patch_entry **sorted = l->sorted[by >= PATCH_BY_VALUE];
    size_t from = 0, count = patch_list_count(l), to = count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (compare(by, sorted[middle], e) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < count && compare(by, sorted[from], e) == 0 ? sorted[from] : NULL;
}

struct patch_entry *patch_list_by_key(const struct patch_list *l, size_t i)
{
    return l->sorted[0][i];
}
