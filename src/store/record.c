/* Records: what is known of one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "systemefs/codec/time.h"

struct record *record_lookup(const struct store *s, enum resource res, uint64_t key)
{
    return map_get(&s->records[res], key);
}

struct record *store_known(const struct store *s, enum resource res, uint64_t key)
{
    struct record *rec = record_lookup(s, res, key);
    return rec && rec->present ? rec : NULL;
}

struct record *store_peek(const struct store *s, enum resource res, uint64_t key)
{
    struct record *rec = record_lookup(s, res, key);
    return rec && rec->text ? rec : NULL;
}

/* ---- life ---- */

/* The store's own, `nowhere`, is a part of it. */
static void origin_unref(const struct store *s, struct origin *o)
{
    if (o && o != &s->nowhere && --o->refs == 0)
        free(o);
}

static void set_origin(const struct store *s, struct record *rec, struct origin *o)
{
    if (rec->origin == o)
        return;
    o->refs++;
    origin_unref(s, rec->origin);
    rec->origin = o;
}

/* Records of one answer have one origin: they come one after the other. NULL: no memory. */
static struct origin *origin_of(struct store *s, uint64_t asked, uint32_t listing, uint32_t walk)
{
    struct origin *o = s->last_origin;
    int64_t now = store_now(s);
    if (o && o->asked == asked && o->answered == s->seq && o->fetched_ms == now &&
        o->listing == listing && o->walk == walk)
        return o;
    o = malloc(sizeof(*o));
    if (!o)
        return NULL;
    *o = (struct origin){.asked = asked,
                         .answered = s->seq,
                         .fetched_ms = now,
                         .listing = listing,
                         .walk = walk,
                         .refs = 1};
    origin_unref(s, s->last_origin);
    s->last_origin = o;
    return o;
}

struct asking *record_asking(struct record *rec, enum resource res)
{
    if (!rec->asking && (rec->asking = malloc(sizeof(*rec->asking)))) {
        *rec->asking = (struct asking){.rec = rec, .res = res};
        list_init(&rec->asking->unknown);
    }
    return rec->asking;
}

static void asking_free(struct record *rec)
{
    if (!rec->asking)
        return;
    list_remove(&rec->asking->unknown);
    free(rec->asking->trouble);
    free(rec->asking);
    rec->asking = NULL;
}

void record_asking_ends(struct record *rec)
{
    const struct asking *a = rec->asking;
    if (a && rec->present && !a->fetch && !a->trouble)
        asking_free(rec);
}

void record_trouble_set(struct store *s, enum resource res, struct record *rec,
                        const struct api_failure *failure)
{
    struct asking *a = failure ? record_asking(rec, res) : rec->asking;
    if (!a)
        return;
    trouble_set(s, &a->trouble, failure);
    record_asking_ends(rec);
}

static void record_free(struct store *s, struct record *rec)
{
    asking_free(rec);
    origin_unref(s, rec->origin);
    free(rec->text);
    slab_put(&s->record_slab, rec);
}

/* It is not known any more, but as one that was asked for. */
static void record_blank(struct store *s, enum resource res, struct record *rec)
{
    s->record_count -= rec->present;
    text_drop(s, res, rec);
    set_origin(s, rec, &s->nowhere);
    *rec = (struct record){.key = rec->key,
                           .origin = rec->origin,
                           .asking = rec->asking,
                           .queued = rec->queued};
}

static void note_unknown(struct store *s, struct record *rec)
{
    list_append(&s->unknown, &rec->asking->unknown);
    s->unknown_count++;
}

static void record_drop(struct store *s, enum resource res, struct record *rec)
{
    map_remove(&s->records[res], rec->key);
    if (!rec->present)
        s->unknown_count--;
    record_blank(s, res, rec);
    record_free(s, rec);
}

void record_free_all(struct store *s)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        map_for_each(slot, &s->records[res])
            record_free(s, slot->value);
        map_finish(&s->records[res]);
    }
    origin_unref(s, s->last_origin);
    slab_finish(&s->record_slab);
}

/* Ids without a record are remembered for a while only, so that a program that tries ids at random
 * cannot fill the memory. */
static void drop_oldest_unknown(struct store *s)
{
    list_for_each_safe(it, &s->unknown) {
        const struct asking *a = CONTAINER_OF(it, struct asking, unknown);
        if (s->unknown_count <= STORE_UNKNOWN_MAX)
            return;
        if (!a->fetch)
            record_drop(s, a->res, a->rec);
    }
}

struct record *record_slot(struct store *s, enum resource res, uint64_t key)
{
    struct record *rec = record_lookup(s, res, key);
    if (rec)
        return rec;
    drop_oldest_unknown(s);
    rec = slab_get(&s->record_slab);
    if (!rec)
        return NULL;
    rec->key = key;
    set_origin(s, rec, &s->nowhere);
    if (!record_asking(rec, res) || map_put(&s->records[res], key, rec) < 0) {
        record_free(s, rec);
        return NULL;
    }
    note_unknown(s, rec);
    return rec;
}

static void record_becomes_known(struct store *s, struct record *rec)
{
    list_remove(&rec->asking->unknown);
    s->unknown_count--;
    s->record_count++;
    rec->present = true;
}

static int64_t own_date(enum resource res, const struct record *rec, int64_t otherwise)
{
    const char *member = resource_row(res)->date_member;
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, TIME_TEXT_MAX);
    int64_t ns;
    if (member && record_text(rec, member, &text) && time_parse(text.data, text.len, &ns))
        return ns;
    return otherwise;
}

/* Whether what was learnt later stands already. */
static bool too_late(const struct record *rec, uint64_t asked)
{
    return (rec->present || rec->absent) && rec->origin->asked > asked;
}

uint64_t record_put(struct store *s, enum resource res, const struct api_item *item, uint64_t asked,
                    const struct listing *l, const struct walk *w)
{
    uint64_t key = store_key(s, res, item->id);
    struct record *rec = key ? record_slot(s, res, key) : NULL;
    if (!rec)
        return 0;
    if (too_late(rec, asked))
        return key;

    buf_reset(&s->scratch);
    if (json_compact(item->json, &s->scratch) < 0)
        return 0;
    /* Read alone, it stays with the listing it came from: that is where to ask again. */
    struct origin *origin =
        origin_of(s, asked, l ? l->id : rec->origin->listing, l && w ? w->id : 0);
    if (!origin)
        return 0;
    uint64_t hash = hash_text(s->scratch.data, s->scratch.len);
    bool first = !rec->present, other = first || rec->hash != hash;
    uint64_t name = other && !first ? record_name_hash(res, rec) : 0;
    if (other && !first && s->replacing)
        s->replacing(s->data, res, rec);
    if ((other || !rec->text) && text_put(s, res, rec, &s->scratch) < 0)
        return 0;
    if (first)
        record_becomes_known(s, rec);
    if (other) {
        rec->hash = hash;
        int64_t wall = clock_wall_ns(s->clock);
        bool quick = !first && wall - rec->mtime_ns < STORE_QUICK_NS;
        rec->changes = (uint8_t)(quick ? MIN(rec->changes + 1, UINT8_MAX) : !first);
        rec->mtime_ns = first ? own_date(res, rec, wall) : wall;
        if (!first && record_name_hash(res, rec) != name)
            names_changed(s, res, key);
        if (!first && s->changed)
            s->changed(s->data, res, key);
    }
    set_origin(s, rec, origin);
    rec->stale = rec->absent = rec->around_failed = false;
    rec->expired = rec->expired && asked < s->refreshed;
    record_trouble_set(s, res, rec, NULL);
    record_asking_ends(rec);
    return key;
}

void record_put_absent(struct store *s, enum resource res, uint64_t key, uint64_t asked)
{
    struct record *rec = record_lookup(s, res, key);
    if (!rec || too_late(rec, asked))
        return;
    if (rec->present) {
        bool expired = rec->expired;
        if (s->replacing)
            s->replacing(s->data, res, rec);
        if (!record_asking(rec, res)) {
            record_drop(s, res, rec);
            rec = NULL;
        } else {
            record_blank(s, res, rec);
            note_unknown(s, rec);
            record_trouble_set(s, res, rec, NULL);
            rec->expired = expired;
        }
        if (s->gone)
            s->gone(s->data, res, key);
        if (!rec)
            return;
    }
    struct origin *origin = origin_of(s, asked, rec->origin->listing, rec->origin->walk);
    if (!origin)
        return; /* it is asked for again */
    set_origin(s, rec, origin);
    rec->absent = true;
    rec->expired = rec->expired && asked < s->refreshed;
}

int record_put_page(struct store *s, enum resource res, const struct api_answer *answer,
                    uint64_t asked, const struct listing *l)
{
    s->seq++;
    for (size_t i = 0; i < answer->count; i++)
        if (!record_put(s, res, &answer->items[i], asked, l, NULL))
            return -ENOMEM;
    return 0;
}

void record_sweep(struct store *s, enum resource res, const struct walk *w)
{
    struct buf gone;
    buf_init(&gone, SIZE_MAX / 2);
    map_for_each(slot, &s->records[res]) {
        const struct record *rec = slot->value;
        /* Learnt after the walk began: made, or read alone, behind its back. */
        if (rec->present && rec->origin->walk != w->id && rec->origin->asked < w->asked)
            buf_append(&gone, &rec->key, sizeof(rec->key));
    }
    for (size_t i = 0; i + sizeof(uint64_t) <= gone.len; i += sizeof(uint64_t)) {
        uint64_t key;
        memcpy(&key, gone.data + i, sizeof(key));
        record_put_absent(s, res, key, w->asked);
    }
    buf_finish(&gone);
}

/* ---- looking into a record ---- */

struct names_query {
    const char *id;
    bool found;
};

static void names_each(void *data, struct json value)
{
    struct names_query *q = data;
    q->found = q->found || (value.len == strlen(q->id) && memcmp(value.p, q->id, value.len) == 0) ||
               json_string_equals(value, q->id);
}

bool record_names(const struct record *rec, const char *path, const char *id)
{
    struct names_query q = {.id = id};
    if (rec->text)
        api_member_each(record_json(rec), path, names_each, &q);
    return q.found;
}

bool record_text(const struct record *rec, const char *member, struct buf *out)
{
    struct json v;
    return rec->text && json_member(record_json(rec), member, &v) && json_string(v, out) == 0;
}
