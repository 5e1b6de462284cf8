/* Walks: the keys of a listing in the API's order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct walk *walk_new(struct listing *l, uint32_t id)
{
    struct walk *w = malloc(sizeof(*w));
    if (w)
        *w = (struct walk){.refs = 1, .listing = l, .id = id};
    return w;
}

void walk_ref(struct walk *w)
{
    w->refs++;
}

void walk_unref(struct walk *w)
{
    if (!w || --w->refs)
        return;
    split_free(w);
    map_destroy(w->seen);
    map_destroy(w->names);
    free(w->keys_mut);
    free(w);
}

static int walk_push(struct walk *w, uint64_t key)
{
    if (w->count == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : API_PAGE_LIMIT;
        uint64_t *keys = realloc(w->keys_mut, cap * sizeof(*keys));
        if (!keys)
            return -ENOMEM;
        w->keys = w->keys_mut = keys;
        w->cap = cap;
    }
    w->keys_mut[w->count++] = key;
    return 0;
}

struct walk *walk_from_keys(const uint64_t *keys, size_t count)
{
    struct walk *w = walk_new(NULL, 0);
    for (size_t i = 0; w && i < count; i++)
        if (walk_push(w, keys[i]) < 0) {
            walk_unref(w);
            w = NULL;
        }
    if (w)
        w->complete = true;
    return w;
}

/* The first index whose key does not come before `key` in the walk's order. */
static size_t lower_bound(const struct walk *w, uint64_t key)
{
    size_t low = 0, high = w->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        bool before = w->order == WALK_DESCENDING ? w->keys[middle] > key : w->keys[middle] < key;
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool walk_find(const struct walk *w, uint64_t key, size_t *ret_index)
{
    size_t i = 0;
    if (w->order != WALK_ANY)
        i = lower_bound(w, key);
    else if (w->seen && !map_get(w->seen, key))
        return false;
    else
        while (i < w->count && w->keys[i] != key)
            i++;
    if (i >= w->count || w->keys[i] != key)
        return false;
    if (ret_index)
        *ret_index = i;
    return true;
}

/* One key alone shows no order. Where it is a number, it is the API's own: the newest first. */
static bool is_alone(const struct walk *w)
{
    return w->count == 1 && w->listing && resource_row(w->listing->res)->id_kind == ID_NUMBER;
}

size_t walk_position_after(const struct walk *w, uint64_t key)
{
    size_t i;
    if (walk_find(w, key, &i))
        return i + 1;
    /* It is gone. Where the order is that of the ids, its place is known all the same. */
    if (is_alone(w))
        return w->keys[0] < key ? 0 : 1;
    return w->order == WALK_ANY ? w->count : lower_bound(w, key);
}

bool walk_goes_on_in(const struct walk *w, const struct walk *other)
{
    if (other->count == 0 || is_alone(other))
        return true;
    return other->order != WALK_ANY && (w->order == other->order || w->count < 2);
}

/* From now on the order is none: remember the keys, so that repetitions are seen. */
static int walk_disorder(struct walk *w)
{
    w->order = WALK_ANY;
    w->seen = map_create();
    if (!w->seen)
        return -ENOMEM;
    for (size_t i = 0; i < w->count; i++)
        if (map_put(w->seen, w->keys[i], w) < 0)
            return -ENOMEM;
    return 0;
}

int walk_add(struct walk *w, uint64_t key)
{
    uint64_t last = w->count ? w->keys[w->count - 1] : 0;
    if (w->count == 1 && key != last)
        w->order = key < last ? WALK_DESCENDING : WALK_ASCENDING;
    bool fits = w->count == 0 || (w->order == WALK_DESCENDING && key < last) ||
                (w->order == WALK_ASCENDING && key > last);
    if (!fits && !w->seen && walk_disorder(w) < 0)
        return -ENOMEM;
    if (w->seen) {
        if (map_get(w->seen, key))
            return 0;
        if (map_put(w->seen, key, w) < 0)
            return -ENOMEM;
    }
    return walk_push(w, key) < 0 ? -ENOMEM : 1;
}

struct walk *walk_with(const struct walk *w, uint64_t key, bool in)
{
    struct walk *n = malloc(sizeof(*n));
    uint64_t *keys = malloc((w->count + 1) * sizeof(*keys));
    if (!n || !keys) {
        free(n);
        free(keys);
        return NULL;
    }
    size_t at, end;
    bool there = walk_find(w, key, &at);
    if (!there)
        at = w->order == WALK_ANY ? 0 : lower_bound(w, key);
    end = at + there;
    *n = *w;
    n->refs = 1;
    n->readers = 0;
    n->fetch = NULL;
    n->names = n->seen = NULL;
    n->split = NULL;
    n->keys = n->keys_mut = keys;
    n->count = w->count - there + in;
    n->cap = w->count + 1;
    if (at)
        memcpy(keys, w->keys, at * sizeof(*keys));
    if (in)
        keys[at] = key;
    if (w->count > end)
        memcpy(keys + at + in, w->keys + end, (w->count - end) * sizeof(*keys));
    /* Two keys begin an order; one has none yet. */
    if (n->count < 2)
        n->order = WALK_ANY;
    else if (w->count < 2)
        n->order = (at == 0) == (key > w->keys[0]) ? WALK_DESCENDING : WALK_ASCENDING;
    return n;
}

void walk_reader(struct walk *w, int change)
{
    w->readers = (unsigned)((int)w->readers + change);
}
