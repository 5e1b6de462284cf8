/* Records: what is known of one, and asking for it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "systemefs/codec/time.h"

#define LOG_MODULE "store"
#include "systemefs/base/log.h"

/* Single reads in a row that make a scan: the next is answered by a page. */
#define SCAN_RUN 3
/* Reads that the last page must have answered for another page to be worth it. */
#define SCAN_HITS 2

struct record *record_lookup(const struct store *s, enum resource res, uint64_t key)
{
    return map_get(&s->records[res], key);
}

struct record *store_peek(const struct store *s, enum resource res, uint64_t key)
{
    struct record *rec = record_lookup(s, res, key);
    return rec && rec->present ? rec : NULL;
}

static void record_free(struct record *rec)
{
    list_remove(&rec->unknown);
    free(rec->trouble);
    free(rec);
}

static void record_drop(struct store *s, enum resource res, struct record *rec)
{
    map_remove(&s->records[res], rec->key);
    if (rec->present) {
        s->record_count--;
        s->record_bytes -= rec->len;
    } else {
        s->unknown_count--;
    }
    record_free(rec);
}

void record_free_all(struct store *s)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        map_for_each(slot, &s->records[res])
            record_free(slot->value);
        map_finish(&s->records[res]);
    }
}

/* Ids without a record are remembered for a while only, so that a program that tries ids at random
 * cannot fill the memory. */
static void drop_oldest_unknown(struct store *s)
{
    list_for_each_safe(it, &s->unknown) {
        struct record *rec = CONTAINER_OF(it, struct record, unknown);
        if (s->unknown_count <= STORE_UNKNOWN_MAX)
            return;
        if (rec->fetch)
            continue;
        for (enum resource res = 0; res < RES_COUNT; res++)
            if (record_lookup(s, res, rec->key) == rec) {
                record_drop(s, res, rec);
                break;
            }
    }
}

struct record *record_slot(struct store *s, enum resource res, uint64_t key)
{
    struct record *rec = record_lookup(s, res, key);
    if (rec)
        return rec;
    drop_oldest_unknown(s);
    rec = calloc(1, sizeof(*rec) + 1);
    if (!rec || map_put(&s->records[res], key, rec) < 0) {
        free(rec);
        return NULL;
    }
    rec->key = key;
    list_append(&s->unknown, &rec->unknown);
    s->unknown_count++;
    return rec;
}

/* Gives the record another text: a new allocation in the old one's place. */
static struct record *record_rewrite(struct store *s, enum resource res, struct record *old,
                                     const struct buf *text)
{
    struct record *rec = malloc(sizeof(*rec) + text->len + 1);
    if (!rec)
        return NULL;
    *rec = *old;
    memcpy(rec->text, text->data, text->len + 1);
    rec->len = (uint32_t)text->len;
    rec->size = (uint32_t)json_pretty_size(record_json(rec));
    map_put(&s->records[res], rec->key, rec); /* cannot fail: it replaces */

    if (old->present) {
        s->record_bytes -= old->len;
    } else {
        list_remove(&old->unknown);
        s->unknown_count--;
        s->record_count++;
    }
    s->record_bytes += rec->len;
    list_init(&rec->unknown);
    free(old);
    rec->present = true;
    return rec;
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
    return (rec->present || rec->absent) && rec->asked > asked;
}

/* Whether a record is about to get another human name. */
static bool renames(enum resource res, const struct record *rec, const struct buf *text)
{
    const char *member = resource_row(res)->name_member;
    struct json before = {0}, after = {0};
    if (!member)
        return false;
    json_member(record_json(rec), member, &before);
    json_member((struct json){.p = text->data, .len = text->len}, member, &after);
    return before.len != after.len || (after.len && memcmp(before.p, after.p, after.len) != 0);
}

uint64_t record_put(struct store *s, enum resource res, struct json item, uint64_t asked,
                    const struct listing *l, const struct walk *w)
{
    char id[RESOURCE_ID_TEXT_MAX + 1];
    uint64_t key = api_record_id(res, item, id) ? store_key(s, res, id) : 0;
    struct record *rec = key ? record_slot(s, res, key) : NULL;
    if (!rec)
        return 0;
    if (too_late(rec, asked))
        return key;

    buf_reset(&s->scratch);
    if (json_compact(item, &s->scratch) < 0)
        return 0;
    uint64_t hash = hash_bytes(s->scratch.data, s->scratch.len);
    if (!rec->present || rec->hash != hash) {
        bool first = !rec->present, renamed = !first && renames(res, rec, &s->scratch);
        if (!first && s->replacing)
            s->replacing(s->data, res, rec);
        rec = record_rewrite(s, res, rec, &s->scratch);
        if (!rec)
            return 0;
        rec->hash = hash;
        int64_t wall = clock_wall_ns(s->clock);
        bool quick = !first && wall - rec->mtime_ns < STORE_QUICK_NS;
        rec->changes = (uint8_t)(quick ? MIN(rec->changes + 1, UINT8_MAX) : !first);
        rec->mtime_ns = first ? own_date(res, rec, wall) : wall;
        if (renamed)
            names_changed(s, res, key);
        if (!first && s->changed)
            s->changed(s->data, res, key);
    }
    rec->fetched_ms = store_now(s);
    rec->asked = asked;
    rec->answered = s->seq;
    rec->stale = rec->absent = rec->around_failed = false;
    rec->expired = rec->expired && asked < s->refreshed;
    /* Read alone, it stays with the listing it came from: that is where to ask again. */
    if (l) {
        rec->listing = l->id;
        rec->walk = w ? w->id : 0;
    } else {
        rec->walk = 0;
    }
    trouble_set(s, &rec->trouble, NULL);
    return key;
}

void record_put_absent(struct store *s, enum resource res, uint64_t key, uint64_t asked)
{
    struct record *rec = record_lookup(s, res, key);
    if (!rec || too_late(rec, asked))
        return;
    if (rec->present) {
        struct fetch *fetch = rec->fetch;
        bool expired = rec->expired;
        if (s->replacing)
            s->replacing(s->data, res, rec);
        record_drop(s, res, rec);
        rec = record_slot(s, res, key);
        if (s->gone)
            s->gone(s->data, res, key);
        if (!rec)
            return;
        rec->fetch = fetch;
        rec->expired = expired;
    }
    rec->absent = true;
    rec->expired = rec->expired && asked < s->refreshed;
    rec->fetched_ms = store_now(s);
    rec->asked = asked;
    rec->answered = s->seq;
}

int record_put_page(struct store *s, enum resource res, const struct api_answer *answer,
                    uint64_t asked, const struct listing *l)
{
    struct json item;
    struct json_iter it;
    s->seq++;
    json_iter_init(&it, answer->items);
    while (json_iter_next(&it, NULL, &item))
        if (!record_put(s, res, item, asked, l, NULL))
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
        if (rec->present && rec->walk != w->id && rec->asked < w->asked)
            buf_append(&gone, &rec->key, sizeof(rec->key));
    }
    for (size_t i = 0; i + sizeof(uint64_t) <= gone.len; i += sizeof(uint64_t)) {
        uint64_t key;
        memcpy(&key, gone.data + i, sizeof(key));
        record_put_absent(s, res, key, w->asked);
    }
    buf_finish(&gone);
}

/* ---- freshness ---- */

static int64_t valid_until(const struct store *s, const struct record *rec)
{
    if (rec->expired)
        return INT64_MIN;
    int64_t until = rec->fetched_ms + s->ttl_ms;
    const struct listing *l = rec->walk ? listing_by_id(s, rec->listing) : NULL;
    if (l && !l->expired) {
        const struct walk *w = NULL;
        if (l->complete && l->complete->id == rec->walk)
            w = l->complete;
        else if (l->growing && l->growing->id == rec->walk)
            w = l->growing;
        if (w)
            until = MAX(until, w->answered_ms + s->ttl_ms);
    }
    return until;
}

int64_t store_record_valid_ms(const struct store *s, const struct record *rec)
{
    int64_t until = valid_until(s, rec), now = store_now(s);
    return rec->stale || until <= now ? 0 : until - now;
}

bool record_fresh(const struct store *s, const struct record *rec, const struct op *op)
{
    if (!rec->present && !rec->absent)
        return false;
    if (rec->answered > op->seq || valid_until(s, rec) > store_now(s))
        return true;
    /* With a ttl of 0: the open does not ask again what its lookup has just asked. Where the lookup
     * has met a refusal, that is the answer. */
    return op->follow_up && !rec->expired && !rec->stale && (rec->absent || !rec->trouble) &&
           store_now(s) - rec->fetched_ms < STORE_REPEAT_MS;
}

/* ---- asking ---- */

/* A refresh may have begun another fetch beside it. */
static struct record *fetch_leaves(const struct fetch *f)
{
    struct record *rec = record_lookup(f->store, f->res, f->key);
    if (rec && rec->fetch == f)
        rec->fetch = NULL;
    return rec;
}

static void record_ended(struct fetch *f, const struct api_answer *answer)
{
    struct store *s = f->store;
    struct record *rec = fetch_leaves(f);
    if (answer->failure.error == -ENOENT) {
        s->seq++;
        record_put_absent(s, f->res, f->key, f->asked);
        rec = record_lookup(s, f->res, f->key);
        /* Unless a newer answer knows better. */
        if (rec && !rec->present)
            trouble_set(s, &rec->trouble, &answer->failure);
        return;
    }
    if (answer->failure.error) {
        if (rec)
            trouble_set(s, &rec->trouble, &answer->failure);
        return;
    }
    s->seq++;
    uint64_t key = record_put(s, f->res, answer->record, f->asked, NULL, NULL);
    rec = record_lookup(s, f->res, f->key);
    if (key == f->key || !rec)
        return;
    char asked[RESOURCE_ID_TEXT_MAX + 1], got[RESOURCE_ID_TEXT_MAX + 1];
    if (key && strcasecmp(store_id(s, f->res, f->key, asked), store_id(s, f->res, key, got)) == 0) {
        /* The server takes a UUID in any case; here a record has one name, the server's. */
        record_put_absent(s, f->res, f->key, f->asked);
        return;
    }
    struct api_failure failure;
    if (key)
        api_failure_set(&failure, -EBADMSG, answer->failure.number,
                        "the answer is not what the API promises: another record than asked for");
    else
        api_failure_set(&failure, -ENOMEM, answer->failure.number, "no memory for the record");
    failure.status = answer->failure.status;
    trouble_set(s, &rec->trouble, &failure);
}

/* What a page that begins with a record proves about it. */
static void around_ended(struct fetch *f, const struct api_answer *answer)
{
    struct store *s = f->store;
    struct scan *scan = &s->scans[f->res];
    struct record *rec = fetch_leaves(f);

    struct api_failure failure = answer->failure;
    if (!failure.error && record_put_page(s, f->res, answer, f->asked, f->listing) < 0)
        api_failure_set(&failure, -ENOMEM, answer->failure.number, "no memory for the page");
    if (failure.error) {
        if (rec)
            trouble_set(s, &rec->trouble, &failure);
        return;
    }

    uint64_t low = UINT64_MAX, high = 0, met = 0;
    bool inside = true;
    struct json item;
    struct json_iter it;
    json_iter_init(&it, answer->items);
    while (json_iter_next(&it, NULL, &item)) {
        char id[RESOURCE_ID_TEXT_MAX + 1];
        api_record_id(f->res, item, id);
        uint64_t key = store_key(s, f->res, id);
        low = MIN(low, key);
        high = MAX(high, key);
        met += key == f->key;
        inside = inside && (f->ascending ? key >= f->key : key <= f->key);
    }
    if (f->ascending && !inside)
        scan->ascending_broken = true;
    scan->low = answer->count ? low : 0;
    scan->high = high;
    scan->hits = 0;
    if (met)
        return;
    /* Everything in the page lies behind it, as asked: had it existed, it would be the first. An
     * empty page proves nothing: a server may answer one to a cursor that it does not know. */
    if (inside && answer->count)
        record_put_absent(s, f->res, f->key, f->asked);
    else if ((rec = record_lookup(s, f->res, f->key)))
        rec->around_failed = true;
}

int record_around(struct store *s, struct op *op, struct listing *l, struct record *rec,
                  bool ascending)
{
    struct fetch *f = fetch_new(s, around_ended);
    if (!f)
        return op_fail(op, -ENOMEM, "no memory");
    f->res = l->res;
    f->key = rec->key;
    f->listing = l;
    f->ascending = ascending;
    char by[RESOURCE_ID_TEXT_MAX + 1];
    struct api_query query = listing_query(s, l, by);
    query.after = ascending ? rec->key - 1 : rec->key + 1;
    query.ascending = ascending;
    if (fetch_page(f, &query, NET_PERSON, op) < 0)
        return op_fail(op, -ENOMEM, "no memory");
    rec->fetch = f;
    return fetch_wait(f, op, NET_PERSON);
}

bool fetch_answers(const struct store *s, const struct record *rec)
{
    return rec->fetch && (!rec->expired || rec->fetch->asked > s->refreshed);
}

/* Whether the single read of this key is part of a scan that a page would serve better. */
static bool scan_wants_page(struct scan *scan, uint64_t key)
{
    if (key != scan->last) {
        int direction = key > scan->last ? 1 : -1;
        /* One read alone has no direction yet. */
        bool onward = scan->last && (scan->run == 1 || direction == scan->direction);
        scan->run = onward ? scan->run + 1 : 1;
        scan->direction = direction;
        scan->last = key;
    }
    if (scan->run <= SCAN_RUN || key == 1)
        return false;
    if (scan->direction > 0 && scan->ascending_broken)
        return false;
    if (scan->high && scan->hits < SCAN_HITS) {
        /* The last page was not worth it: the ids asked for lie far apart. */
        scan->run = 1;
        scan->low = scan->high = 0;
        return false;
    }
    return true;
}

static void scan_hit(struct scan *scan, uint64_t key)
{
    if (!scan->high || key < scan->low || key > scan->high || key == scan->last)
        return;
    scan->hits++;
    scan->direction = key > scan->last ? 1 : -1;
    scan->last = key;
}

static int ask_alone(struct store *s, struct op *op, enum resource res, struct record *rec)
{
    const struct resource_row *row = resource_row(res);
    if (row->paged && row->id_kind == ID_NUMBER && !rec->around_failed &&
        scan_wants_page(&s->scans[res], rec->key)) {
        struct listing *l = store_listing(s, res, -1, 0);
        if (l) {
            log_debug("reading %s records one by one looks like a scan: asking for a page",
                      row->name);
            return record_around(s, op, l, rec, s->scans[res].direction > 0);
        }
    }
    struct fetch *f = fetch_new(s, record_ended);
    if (!f)
        return op_fail(op, -ENOMEM, "no memory");
    f->res = res;
    f->key = rec->key;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    if (fetch_record(f, store_id(s, res, rec->key, id), NET_PERSON, op) < 0)
        return op_fail(op, -ENOMEM, "no memory");
    rec->fetch = f;
    return fetch_wait(f, op, NET_PERSON);
}

int store_record(struct store *s, struct op *op, enum resource res, uint64_t key,
                 struct record **ret)
{
    const struct resource_row *row = resource_row(res);
    struct record *rec = record_lookup(s, res, key);
    if (rec && record_fresh(s, rec, op)) {
        if (!rec->present) /* the reason is told to those who asked, not to all who come later */
            return rec->trouble && rec->trouble->seq > op->seq ? trouble_fail(op, rec->trouble)
                                                               : -ENOENT;
        scan_hit(&s->scans[res], key);
        *ret = rec;
        return 0;
    }
    struct listing *home = s->home[res];
    struct walk *whole = home ? listing_fresh_whole(s, home, op) : NULL;
    if (whole && !(rec && rec->expired) && !walk_find(whole, key, NULL))
        return -ENOENT;

    bool older = rec && rec->present;
    if (rec && trouble_applies(s, rec->trouble, op, older)) {
        if (older && (!rec->trouble || rec->trouble->failure.away)) {
            rec->stale = true;
            *ret = rec;
            return 0;
        }
        return trouble_fail(op, rec->trouble);
    }
    if (op->expired) {
        if (!older)
            return op_fail(op, -ETIMEDOUT, "no answer within %lld seconds",
                           (long long)s->timeout_ms / 1000);
        rec->stale = true;
        *ret = rec;
        return 0;
    }
    if (!row->item_get) {
        struct listing *l = rec && rec->listing ? listing_by_id(s, rec->listing) : NULL;
        int r = l ? listing_record(s, op, l, key, ret) : -ENOENT;
        /* Not where it was last seen, which may have been a part of the collection only. */
        if (r != -ENOENT || (l && (l->filter < 0 || row->list_needs_filter)))
            return r;
        l = store_listing(s, res, -1, 0);
        return l ? listing_record(s, op, l, key, ret) : op_fail(op, -ENOMEM, "no memory");
    }
    if (rec && fetch_answers(s, rec))
        return fetch_wait(rec->fetch, op, NET_PERSON);
    if (!rec)
        rec = record_slot(s, res, key);
    return rec ? ask_alone(s, op, res, rec) : op_fail(op, -ENOMEM, "no memory");
}

int store_record_recent(struct store *s, struct op *op, enum resource res, uint64_t key,
                        int64_t age_ms, struct record **ret)
{
    struct record *rec = store_peek(s, res, key);
    bool recent = rec && (rec->answered > op->seq || store_now(s) - rec->fetched_ms <= age_ms);
    if (recent && !rec->stale && !rec->expired) {
        *ret = rec;
        return 0;
    }
    if (rec && rec->answered <= op->seq)
        rec->expired = true;
    s->away_until_ms = 0; /* a save is worth a try, however lately the API was away */
    int r = store_record(s, op, res, key, ret);
    if (r != 0 || !(*ret)->stale)
        return r;
    /* An older copy is for reading. */
    if ((*ret)->trouble)
        return trouble_fail(op, (*ret)->trouble);
    return op_fail(op, -EREMOTEIO, "the API cannot be reached: nothing was sent");
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
    api_member_each(record_json(rec), path, names_each, &q);
    return q.found;
}

bool record_text(const struct record *rec, const char *member, struct buf *out)
{
    struct json v;
    return json_member(record_json(rec), member, &v) && json_string(v, out) == 0;
}
