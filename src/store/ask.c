/* Asking for a record: alone, or by the page that it stands in. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LOG_MODULE "store"
#include "systemefs/base/log.h"

/* Single reads in a row that make a scan: the next is answered by a page. */
#define SCAN_RUN 3
/* Reads that the last page must have answered for another page to be worth it. */
#define SCAN_HITS 2

/* ---- freshness ---- */

static int64_t valid_until(const struct store *s, const struct record *rec)
{
    if (rec->expired)
        return INT64_MIN;
    int64_t until = rec->origin->fetched_ms + s->ttl_ms;
    const struct listing *l = rec->origin->walk ? listing_by_id(s, rec->origin->listing) : NULL;
    if (l && !l->expired) {
        const struct walk *w = NULL;
        if (l->complete && l->complete->id == rec->origin->walk)
            w = l->complete;
        else if (l->growing && l->growing->id == rec->origin->walk)
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
    if (rec->origin->answered > op->seq || valid_until(s, rec) > store_now(s))
        return true;
    /* With a ttl of 0: the open does not ask again what its lookup has just asked. Where the lookup
     * has met a refusal, that is the answer. */
    const struct trouble *trouble = record_trouble(rec);
    bool refused = trouble && !(rec->absent && trouble->failure.error == -ENOENT);
    return op->follow_up && !rec->expired && !rec->stale && !refused &&
           store_now(s) - rec->origin->fetched_ms < STORE_REPEAT_MS;
}

/* ---- asking ---- */

/* A refresh may have begun another fetch beside it. */
static struct record *fetch_leaves(const struct fetch *f)
{
    struct record *rec = record_lookup(f->store, f->res, f->key);
    if (rec && record_fetch(rec) == f) {
        rec->asking->fetch = NULL;
        record_asking_ends(rec);
    }
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
            record_trouble_set(s, f->res, rec, &answer->failure);
        return;
    }
    if (answer->failure.error) {
        if (rec)
            record_trouble_set(s, f->res, rec, &answer->failure);
        return;
    }
    s->seq++;
    uint64_t key = record_put(s, f->res, &answer->record, f->asked, NULL, NULL);
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
    record_trouble_set(s, f->res, rec, &failure);
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
            record_trouble_set(s, f->res, rec, &failure);
        return;
    }

    uint64_t low = UINT64_MAX, high = 0, met = 0, last = f->key;
    bool inside = true;
    for (size_t i = 0; i < answer->count; i++) {
        uint64_t key = store_key(s, f->res, answer->items[i].id);
        low = MIN(low, key);
        high = MAX(high, key);
        met += key == f->key;
        inside = inside && (f->ascending ? key >= last : key <= last);
        last = key;
    }
    if (f->ascending && !inside)
        scan->ascending_broken = true;
    scan->low = answer->count ? low : 0;
    scan->high = high;
    scan->hits = 0;
    if (met)
        return;
    /* Everything in the page lies behind it, in the order that was asked for: had it existed, it
     * would be the first. Another page may come, of a cache that does not look at the question. An
     * empty page proves nothing: a server may answer one to a cursor that it does not know. Nor
     * does a page of a part: it may have left that. */
    if (inside && answer->count && f->listing->filter < 0)
        record_put_absent(s, f->res, f->key, f->asked);
    else if ((rec = record_lookup(s, f->res, f->key)))
        rec->around_failed = true;
}

/* Asks for a page of a listing that is to have the record in it; `like` says how. */
static int ask_around(struct store *s, struct op *op, struct listing *l, struct record *rec,
                      const struct fetch *like)
{
    struct asking *asking = record_asking(rec, l->res);
    struct fetch *f = asking ? fetch_new(s, around_ended) : NULL;
    if (!f)
        return op_fail(op, -ENOMEM, "no memory");
    f->res = l->res;
    f->key = rec->key;
    f->listing = l;
    f->ascending = like->ascending;
    f->low = like->low;
    f->high = like->high;
    char by[RESOURCE_ID_TEXT_MAX + 1];
    struct api_query query = listing_query(s, l, by);
    query.after = like->after;
    query.ascending = like->ascending;
    if (fetch_page(f, &query, NET_PERSON, op) < 0)
        return op_fail(op, -ENOMEM, "no memory");
    asking->fetch = f;
    return fetch_wait(f, op, NET_PERSON);
}

int record_around(struct store *s, struct op *op, struct listing *l, struct record *rec,
                  bool ascending)
{
    const struct fetch like = {.after = ascending ? rec->key - 1 : rec->key + 1,
                               .ascending = ascending};
    return ask_around(s, op, l, rec, &like);
}

bool fetch_answers(const struct store *s, const struct record *rec)
{
    const struct fetch *f = record_fetch(rec);
    return f && (!rec->expired || f->asked > s->refreshed);
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
    struct asking *asking = record_asking(rec, res);
    struct fetch *f = asking ? fetch_new(s, record_ended) : NULL;
    if (!f)
        return op_fail(op, -ENOMEM, "no memory");
    f->res = res;
    f->key = rec->key;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    if (fetch_record(f, store_id(s, res, rec->key, id), NET_PERSON, op) < 0)
        return op_fail(op, -ENOMEM, "no memory");
    asking->fetch = f;
    return fetch_wait(f, op, NET_PERSON);
}

/* ---- texts that have gone ---- */

/* A walk of the listing that has met the record. */
static const struct walk *walk_with_key(const struct listing *l, uint64_t key, size_t *ret_index)
{
    const struct walk *const walks[] = {l ? l->complete : NULL, l ? l->growing : NULL};
    for (size_t i = 0; i < ARRAY_SIZE(walks); i++)
        if (walks[i] && walk_find(walks[i], key, ret_index))
            return walks[i];
    return NULL;
}

/* A page that is on its way and will bring it. */
static struct fetch *fetch_bringing(const struct store *s, enum resource res, uint64_t key)
{
    list_for_each(it, &s->fetches) {
        struct fetch *f = CONTAINER_OF(it, struct fetch, all);
        if (f->res == res && f->low <= key && key <= f->high)
            return f;
    }
    return NULL;
}

/*
 * The text of a record that is known and fresh. Its neighbours in the listing are likely to be
 * wanted next: those behind it, as the listing goes, or, where the last text that had gone stood
 * behind it, those before it. A walk knows them all, so any page can be asked for, in the order
 * in which the API lists.
 */
static int ask_text(struct store *s, struct op *op, enum resource res, struct record *rec)
{
    struct scan *scan = &s->scans[res];
    struct fetch *coming = fetch_bringing(s, res, rec->key);
    if (coming)
        return fetch_wait(coming, op, NET_PERSON);
    size_t at, last;
    struct listing *l = s->home[res];
    const struct walk *w = walk_with_key(l, rec->key, &at);
    if (!w) {
        l = listing_by_id(s, rec->origin->listing);
        w = walk_with_key(l, rec->key, &at);
    }
    if (!w || rec->around_failed)
        return ask_alone(s, op, res, rec);
    assert(l); /* it is the walk's */
    bool back = scan->missed && walk_find(w, scan->missed, &last) && at < last;
    size_t first = back ? at - MIN(at, (size_t)API_PAGE_LIMIT - 1) : at;
    size_t end = MIN(first + API_PAGE_LIMIT, w->count) - 1;
    const struct fetch like = {.after = first ? w->keys[first - 1] : 0,
                               .low = MIN(w->keys[first], w->keys[end]),
                               .high = MAX(w->keys[first], w->keys[end])};
    scan->missed = rec->key;
    return ask_around(s, op, l, rec, &like);
}

/* ---- what others call ---- */

static int get_record(struct store *s, struct op *op, enum resource res, uint64_t key, bool text,
                      struct record **ret)
{
    const struct resource_row *row = resource_row(res);
    struct record *rec = record_lookup(s, res, key);
    const struct trouble *trouble = rec ? record_trouble(rec) : NULL;
    bool held = rec && rec->present && (rec->text || !text);
    bool fresh = rec && record_fresh(s, rec, op);
    if (fresh && (held || !rec->present)) {
        if (!rec->present) /* the reason is told to those who asked, not to all who come later */
            return trouble && trouble->seq > op->seq ? trouble_fail(op, trouble) : -ENOENT;
        scan_hit(&s->scans[res], key);
        rec->used = rec->used || text;
        *ret = rec;
        return 0;
    }
    struct listing *home = s->home[res];
    struct walk *whole = home ? listing_fresh_whole(s, home, op) : NULL;
    if (whole && !(rec && rec->expired) && !walk_find(whole, key, NULL))
        return -ENOENT;

    if (rec && trouble_applies(s, trouble, op, held)) {
        if (held && (!trouble || trouble->failure.away)) {
            rec->stale = true;
            *ret = rec;
            return 0;
        }
        return trouble_fail(op, trouble);
    }
    if (op->expired) {
        if (!held)
            return op_fail(op, -ETIMEDOUT, "no answer within %lld seconds",
                           (long long)s->timeout_ms / 1000);
        rec->stale = true;
        *ret = rec;
        return 0;
    }
    if (!row->item_get) {
        struct listing *l =
            rec && rec->origin->listing ? listing_by_id(s, rec->origin->listing) : NULL;
        int r = l ? listing_record(s, op, l, key, ret) : -ENOENT;
        /* Not where it was last seen, which may have been a part of the collection only. */
        if (r != -ENOENT || (l && (l->filter < 0 || row->list_needs_filter)))
            return r;
        l = store_listing(s, res, -1, 0);
        return l ? listing_record(s, op, l, key, ret) : op_fail(op, -ENOMEM, "no memory");
    }
    if (rec && fetch_answers(s, rec))
        return fetch_wait(record_fetch(rec), op, NET_PERSON);
    if (!rec)
        rec = record_slot(s, res, key);
    if (!rec)
        return op_fail(op, -ENOMEM, "no memory");
    rec->wanted = rec->wanted || text;
    return fresh ? ask_text(s, op, res, rec) : ask_alone(s, op, res, rec);
}

int store_record(struct store *s, struct op *op, enum resource res, uint64_t key,
                 struct record **ret)
{
    return get_record(s, op, res, key, true, ret);
}

int store_stat(struct store *s, struct op *op, enum resource res, uint64_t key, struct record **ret)
{
    return get_record(s, op, res, key, false, ret);
}

int store_text(struct store *s, struct op *op, enum resource res, uint64_t key, struct record **ret)
{
    struct record *rec = store_known(s, res, key);
    if (!rec)
        return -ENOENT;
    if (!rec->text)
        return store_record(s, op, res, key, ret);
    rec->used = true;
    *ret = rec;
    return 0;
}

int store_record_recent(struct store *s, struct op *op, enum resource res, uint64_t key,
                        int64_t age_ms, struct record **ret)
{
    struct record *rec = store_peek(s, res, key);
    bool recent = rec && (rec->origin->answered > op->seq ||
                          store_now(s) - rec->origin->fetched_ms <= age_ms);
    if (recent && !rec->stale && !rec->expired) {
        *ret = rec;
        return 0;
    }
    if (rec && rec->origin->answered <= op->seq)
        rec->expired = true;
    s->away_until_ms = 0; /* a save is worth a try, however lately the API was away */
    int r = store_record(s, op, res, key, ret);
    if (r != 0 || !(*ret)->stale)
        return r;
    /* An older copy is for reading. */
    if (record_trouble(*ret))
        return trouble_fail(op, record_trouble(*ret));
    if (op->expired)
        return op_fail(op, -ETIMEDOUT, "no answer within %lld seconds: nothing was sent",
                       (long long)s->timeout_ms / 1000);
    return op_fail(op, -EREMOTEIO, "the API cannot be reached: nothing was sent");
}
