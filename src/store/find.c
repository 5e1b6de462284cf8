/* Human names: which record is called that. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Set in a value of walk.names where more than one record has the name. */
#define SHARED (UINT64_C(1) << 63)
_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a key fits in a map's value");

/* An answer so old that no TTL reaches back to it. */
#define PAST (INT64_MIN / 2)

/* A search by the API's own filter, and what it found. */
struct find {
    enum resource res;
    uint64_t hash;
    struct list lru;
    struct fetch *fetch;
    struct trouble *trouble;
    uint64_t key; /* 0: nobody has that name */
    bool answered_once;
    uint64_t answered;
    int64_t answered_ms;
    char *name;
};

/* Where the API finds by name it does so without regard to case (e-mail addresses). */
static bool folds_case(enum resource res)
{
    return resource_row(res)->name_filter != NULL;
}

static uint64_t name_hash(enum resource res, const char *name, size_t len)
{
    uint64_t h = res;
    for (size_t i = 0; i < len; i++) {
        char c = folds_case(res) ? (char)tolower((unsigned char)name[i]) : name[i];
        h = h * 0x100000001b3ULL ^ hash_bytes(&c, 1);
    }
    return h;
}

static bool name_equal(enum resource res, const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len != b_len)
        return false;
    return folds_case(res) ? strncasecmp(a, b, a_len) == 0 : memcmp(a, b, a_len) == 0;
}

static void find_free(struct store *s, struct find *find)
{
    map_remove(&s->finds, find->hash);
    list_remove(&find->lru);
    s->find_count--;
    free(find->trouble);
    free(find->name);
    free(find);
}

void find_free_all(struct store *s)
{
    list_for_each_safe(it, &s->finds_lru)
        find_free(s, CONTAINER_OF(it, struct find, lru));
    map_finish(&s->finds);
}

void find_refresh_all(struct store *s)
{
    list_for_each(it, &s->finds_lru)
        CONTAINER_OF(it, struct find, lru)->answered_ms = PAST;
}

uint64_t record_name_hash(enum resource res, const struct record *rec)
{
    const char *member = resource_row(res)->name_member;
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, API_TEXT_MAX);
    if (!rec->text)
        return rec->name_hash;
    if (!member || !record_text(rec, member, &text))
        return 0;
    uint64_t hash = name_hash(res, text.data ? text.data : "", text.len);
    return hash ? hash : 1;
}

bool store_has_name(enum resource res, const struct record *rec, const char *name, size_t len)
{
    uint64_t hash = record_name_hash(res, rec);
    return hash && hash == MAX(name_hash(res, name, len), UINT64_C(1));
}

void names_changed(struct store *s, enum resource res, uint64_t key)
{
    const struct listing *home = s->home[res];
    const struct record *rec = store_peek(s, res, key);
    if (!resource_row(res)->name_member)
        return;
    if (home && home->complete) {
        map_destroy(home->complete->names);
        home->complete->names = NULL;
    }
    CLEANUP(buf_cleanup) struct buf name;
    buf_init(&name, API_TEXT_MAX);
    bool named = rec && record_text(rec, resource_row(res)->name_member, &name) && name.len;
    list_for_each(it, &s->finds_lru) {
        struct find *find = CONTAINER_OF(it, struct find, lru);
        if (find->res != res)
            continue;
        bool its = named && name_equal(res, name.data, name.len, find->name, strlen(find->name));
        if (find->key == key || its) {
            find->key = its ? key : 0;
            find->answered_once = true;
            find->answered = ++s->seq;
            find->answered_ms = its ? store_now(s) : PAST;
        }
    }
}

static struct find *find_slot(struct store *s, enum resource res, const char *name, size_t len)
{
    uint64_t hash = name_hash(res, name, len);
    struct find *find = map_get(&s->finds, hash);
    if (find && name_equal(res, find->name, strlen(find->name), name, len))
        return find;
    if (find && find->fetch)
        return NULL; /* two names with one hash at the same moment */
    if (find)
        find_free(s, find);
    list_for_each_safe(it, &s->finds_lru) {
        struct find *oldest = CONTAINER_OF(it, struct find, lru);
        if (s->find_count < STORE_FINDS_MAX)
            break;
        if (!oldest->fetch)
            find_free(s, oldest);
    }
    find = calloc(1, sizeof(*find));
    if (!find)
        return NULL;
    find->res = res;
    find->hash = hash;
    find->name = strndup(name, len);
    if (!find->name || map_put(&s->finds, hash, find) < 0) {
        free(find->name);
        free(find);
        return NULL;
    }
    list_append(&s->finds_lru, &find->lru);
    s->find_count++;
    return find;
}

static void find_ended(struct fetch *f, const struct api_answer *answer)
{
    struct store *s = f->store;
    struct find *find = f->find;
    find->fetch = NULL;

    struct api_failure failure = answer->failure;
    /* The filter refuses what it does not take for an address: then nobody has it. */
    if (failure.error == -EINVAL && failure.status == 422)
        failure.error = 0;
    else if (!failure.error && record_put_page(s, f->res, answer, f->asked, NULL) < 0)
        api_failure_set(&failure, -ENOMEM, failure.number, "no memory for the answer");
    if (failure.error) {
        trouble_set(s, &find->trouble, &failure);
        return;
    }
    trouble_set(s, &find->trouble, NULL);
    find->key = 0;
    find->answered_once = true;
    find->answered = ++s->seq;
    find->answered_ms = store_now(s);

    /* A server that ignores the filter answers with everybody: compare. */
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, API_TEXT_MAX);
    struct json v;
    for (size_t i = 0; i < answer->count; i++) {
        const struct api_item *item = &answer->items[i];
        buf_reset(&text);
        if (json_member(item->json, resource_row(f->res)->name_member, &v) &&
            json_string(v, &text) == 0 &&
            name_equal(f->res, text.data ? text.data : "", text.len, find->name,
                       strlen(find->name))) {
            find->key = store_key(s, f->res, item->id);
            return;
        }
    }
}

static int find_by_filter(struct store *s, struct op *op, enum resource res, const char *name,
                          size_t len, uint64_t *ret_key)
{
    struct find *find = find_slot(s, res, name, len);
    if (!find)
        return op_fail(op, -ENOMEM, "no memory");
    bool fresh = find->answered_once &&
                 (find->answered > op->seq || find->answered_ms + s->ttl_ms > store_now(s) ||
                  (op->follow_up && store_now(s) - find->answered_ms < STORE_REPEAT_MS));
    bool older = find->answered_once;
    bool stale = !fresh && older && (op->expired || trouble_applies(s, find->trouble, op, true)) &&
                 (!find->trouble || find->trouble->failure.away);
    if (fresh || stale) {
        *ret_key = find->key;
        return find->key ? 0 : -ENOENT;
    }
    if (find->trouble && trouble_applies(s, find->trouble, op, false))
        return trouble_fail(op, find->trouble);
    if (op->expired)
        return op_fail(op, -ETIMEDOUT, "no answer within %lld seconds",
                       (long long)s->timeout_ms / 1000);
    if (!find->fetch) {
        struct fetch *f = fetch_new(s, find_ended);
        if (!f)
            return op_fail(op, -ENOMEM, "no memory");
        f->res = res;
        f->find = find;
        const struct api_query query = {.res = res, .filter = -1, .name = find->name};
        if (fetch_page(f, &query, NET_PERSON, op) < 0)
            return op_fail(op, -ENOMEM, "no memory");
        find->fetch = f;
    }
    return fetch_wait(find->fetch, op, NET_PERSON);
}

/* ---- by a whole listing ---- */

/* The index of a complete walk, made once: a million names are not to be read at each lookup. */
static struct map *names_of(struct store *s, enum resource res, struct walk *w)
{
    if (w->names)
        return w->names;
    struct map *names = map_create();
    if (!names)
        return NULL;

    for (size_t i = 0; i < w->count; i++) {
        const struct record *rec = store_known(s, res, w->keys[i]);
        uint64_t hash = rec ? record_name_hash(res, rec) : 0;
        if (!hash)
            continue;
        uint64_t value = rec->key | (map_get(names, hash) ? SHARED : 0);
        if (map_put(names, hash, (void *)(uintptr_t)value) < 0) {
            map_destroy(names);
            return NULL;
        }
    }
    return w->names = names;
}

bool store_name_shared(struct store *s, enum resource res, struct walk *w, const char *name,
                       size_t len)
{
    const struct map *names = names_of(s, res, w);
    uint64_t hash = MAX(name_hash(res, name, len), UINT64_C(1));
    return names && ((uint64_t)(uintptr_t)map_get(names, hash) & SHARED);
}

int store_find(struct store *s, struct op *op, enum resource res, const char *name, size_t len,
               uint64_t *ret_key)
{
    struct listing *home = store_listing(s, res, -1, 0);
    if (!home)
        return op_fail(op, -ENOMEM, "no memory");
    struct walk *w = listing_fresh_whole(s, home, op);
    int unknown = -ENOENT;
    if (!w && resource_row(res)->name_filter) {
        int r = find_by_filter(s, op, res, name, len, ret_key);
        bool away = r < 0 && (op->failure.away || op->expired);
        if (!away || !home->complete)
            return r;
        /* The last whole listing may know the name; that it does not proves nothing by now. */
        unknown = r;
        w = home->complete;
    }
    if (!w) {
        int r = store_walk_whole(s, op, home, &w);
        if (r != 0)
            return r;
    }
    const struct map *names = names_of(s, res, w);
    if (!names)
        return op_fail(op, -ENOMEM, "no memory");
    uint64_t hash = MAX(name_hash(res, name, len), UINT64_C(1));
    uint64_t value = (uint64_t)(uintptr_t)map_get(names, hash);
    if (!value)
        return unknown;
    if (value & SHARED)
        return op_fail(op, -ENOENT,
                       "more than one %s has this name: by-name/ lists them with their ids",
                       resource_row(res)->name);
    *ret_key = value;
    return 0;
}
