#include "systemefs/store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

int store_create(const struct store_options *options, struct store **ret)
{
    struct store *s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    *s = (struct store){
        .api = options->api,
        .clock = options->clock,
        .ttl_ms = options->ttl_ms,
        .timeout_ms = options->timeout_ms,
        .jobs = options->jobs,
        .changed = options->changed,
        .gone = options->gone,
        .replacing = options->replacing,
        .evicting = options->evicting,
        .cache_size = options->cache_size,
        .data = options->data,
        .shelf = options->shelf,
        .access_type = options->access_type,
        .dry_run = options->dry_run,
        .nowhere = {.refs = 1},
    };
    list_init(&s->saves);
    list_init(&s->ops);
    list_init(&s->ready);
    list_init(&s->fetches);
    list_init(&s->unknown);
    slab_init(&s->record_slab, sizeof(struct record));
    list_init(&s->finds_lru);
    buf_init(&s->scratch, API_TEXT_MAX);
    *ret = s;
    return 0;
}

void store_destroy(struct store *s)
{
    if (!s)
        return;
    saves_end_all(s);
    list_for_each_safe(it, &s->fetches) {
        struct fetch *f = CONTAINER_OF(it, struct fetch, all);
        api_cancel(s->api, f->call);
        split_forget(f);
        walk_unref(f->walk);
        free(f);
    }
    find_free_all(s);
    listing_free_all(s);
    record_free_all(s);
    map_for_each(slot, &s->interned)
        free(slot->value);
    map_finish(&s->interned);
    buf_finish(&s->scratch);
    free(s->texts.entries);
    free(s);
}

void store_get_stats(const struct store *s, struct store_stats *ret)
{
    unsigned operations = 0, saves = 0;
    list_for_each(it, &s->ops)
        operations++;
    list_for_each(it, &s->saves)
        saves++;
    *ret = (struct store_stats){
        .records = s->record_count,
        .bytes = s->record_bytes,
        .cache_size = s->cache_size,
        .evicted = s->evicted,
        .listings = s->listings_by_id.count,
        .operations = operations,
        .saves = saves,
        .away = store_now(s) < s->away_until_ms,
    };
}

/* ---- keys ---- */

/* The key of a text is its hash; where another text has that, the next free one. Collisions of 56
 * bits are rare enough that their order of arrival may decide. */
static uint64_t intern(struct store *s, const char *text)
{
    const uint64_t mask = (UINT64_C(1) << STORE_KEY_BITS) - 1;
    uint64_t key = hash_bytes(text, strlen(text)) & mask;
    const char *there;
    while (key == 0 || (there = map_get(&s->interned, key))) {
        if (key && strcmp(there, text) == 0)
            return key;
        key = (key + 1) & mask;
    }
    if (s->interned.count >= STORE_INTERN_MAX)
        return 0;
    char *copy = strdup(text);
    if (!copy || map_put(&s->interned, key, copy) < 0) {
        free(copy);
        return 0;
    }
    return key;
}

uint64_t store_key(struct store *s, enum resource res, const char *id)
{
    enum id_kind kind = resource_row(res)->id_kind;
    if (!resource_id_valid(kind, id, strlen(id)))
        return 0;
    return kind == ID_NUMBER ? strtoull(id, NULL, 10) : intern(s, id);
}

const char *store_id(const struct store *s, enum resource res, uint64_t key,
                     char out[RESOURCE_ID_TEXT_MAX + 1])
{
    const char *text = resource_row(res)->id_kind == ID_NUMBER ? NULL : map_get(&s->interned, key);
    if (text)
        snprintf(out, RESOURCE_ID_TEXT_MAX + 1, "%s", text);
    else
        snprintf(out, RESOURCE_ID_TEXT_MAX + 1, "%" PRIu64, key);
    return out;
}

/* ---- refresh ---- */

void store_refresh_record(struct store *s, enum resource res, uint64_t key)
{
    struct record *rec = record_lookup(s, res, key);
    s->refreshed = ++s->seq;
    if (rec)
        rec->expired = true;
}

static void expire_listing(struct listing *l)
{
    l->expired = true;
    walk_unref(l->growing);
    l->growing = NULL;
}

void store_refresh_listing(struct store *s, struct listing *l,
                           void (*each)(void *data, enum resource res, struct record *rec),
                           void *data)
{
    struct walk *w = l->complete ? l->complete : l->growing;
    s->refreshed = ++s->seq;
    if (l->filter < 0) {
        /* The collection, that is all of its records: also those that were read alone. */
        w = NULL;
        map_for_each(slot, &s->records[l->res]) {
            struct record *rec = slot->value;
            rec->expired = true;
            each(data, l->res, rec);
        }
    }
    for (size_t i = 0; w && i < w->count; i++) {
        struct record *rec = record_lookup(s, l->res, w->keys[i]);
        if (!rec)
            continue;
        rec->expired = true;
        each(data, l->res, rec);
    }
    expire_listing(l);
    find_refresh_all(s);
}

void store_refresh_all(struct store *s,
                       void (*each)(void *data, enum resource res, struct record *rec), void *data)
{
    s->refreshed = ++s->seq;
    for (enum resource res = 0; res < RES_COUNT; res++)
        map_for_each(slot, &s->records[res]) {
            struct record *rec = slot->value;
            rec->expired = true;
            each(data, res, rec);
        }
    map_for_each(slot, &s->listings_by_id)
        expire_listing(slot->value);
    find_refresh_all(s);
}
