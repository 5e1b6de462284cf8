/* Listings: which records a collection has, page by page. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LOG_MODULE "store"
#include "systemefs/base/log.h"

/* How many keys a walk may be ahead of its foremost reader. */
#define READ_AHEAD (4 * API_PAGE_LIMIT)
/* Records that are looked through to tell a part of a collection: some 50 milliseconds' work. */
#define DERIVE_MAX 50000

/* ---- listings ---- */

static uint64_t listing_hash(enum resource res, int filter, uint64_t by)
{
    const uint64_t parts[3] = {res, (uint64_t)(filter + 1), by};
    return hash_bytes(parts, sizeof(parts));
}

struct listing *listing_by_id(const struct store *s, uint32_t id)
{
    return map_get(&s->listings_by_id, id);
}

struct listing *store_listing(struct store *s, enum resource res, int filter, uint64_t by)
{
    uint64_t hash = listing_hash(res, filter, by);
    struct listing *l;
    while ((l = map_get(&s->listings, hash))) {
        if (l->res == res && l->filter == filter && l->by == by)
            return l;
        hash++; /* another one with that hash */
    }
    l = malloc(sizeof(*l));
    if (!l)
        return NULL;
    *l = (struct listing){.id = (uint32_t)s->listings_by_id.count + 1,
                          .res = res,
                          .filter = filter,
                          .by = by};
    buf_init(&l->late, SIZE_MAX / 2);
    if (map_put(&s->listings, hash, l) < 0 || map_put(&s->listings_by_id, l->id, l) < 0) {
        map_remove(&s->listings, hash);
        free(l);
        return NULL;
    }
    if (filter < 0)
        s->home[res] = l;
    return l;
}

void listing_free_all(struct store *s)
{
    map_for_each(slot, &s->listings_by_id) {
        struct listing *l = slot->value;
        walk_unref(l->complete);
        walk_unref(l->growing);
        free(l->trouble);
        buf_finish(&l->late);
        free(l);
    }
    map_finish(&s->listings_by_id);
    map_finish(&s->listings);
}

static bool walk_in_time(const struct store *s, const struct walk *w)
{
    return w->answered_ms + s->ttl_ms > store_now(s);
}

struct walk *listing_fresh_whole(const struct store *s, const struct listing *l,
                                 const struct op *op)
{
    struct walk *w = l->complete;
    if (!w || (!l->expired && walk_in_time(s, w)) || (op && w->answered > op->seq))
        return w;
    return NULL;
}

int64_t store_listing_valid_ms(const struct store *s, const struct listing *l)
{
    if (!l->complete || l->expired || !walk_in_time(s, l->complete))
        return 0;
    return l->complete->answered_ms + s->ttl_ms - store_now(s);
}

uint64_t store_listing_version(const struct store *s, const struct listing *l, const struct walk *w)
{
    return store_listing_valid_ms(s, l) && (!w || w == l->complete) ? l->version : 0;
}

int64_t listing_changed_ns(const struct listing *l)
{
    return l->changed_ns;
}

/* ---- walking ---- */

static bool same_keys(const struct walk *a, const struct walk *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->keys, b->keys, a->count * sizeof(*a->keys)) == 0);
}

static void listing_set(struct store *s, struct listing *l, uint64_t key, bool in)
{
    if (!l->complete || walk_find(l->complete, key, NULL) == in)
        return;
    struct walk *w = walk_with(l->complete, key, in);
    if (w) {
        walk_unref(l->complete);
        l->complete = w;
        l->version++;
    } else {
        l->expired = true; /* no memory for it: the next reader asks */
    }
    l->changed_ns = clock_wall_ns(s->clock);
}

static void note_late(struct listing *l, uint64_t key, bool in)
{
    const struct late late = {.key = key, .in = in};
    if (l->growing)
        buf_append(&l->late, &late, sizeof(late));
}

void listing_put(struct store *s, struct listing *l, uint64_t key)
{
    listing_set(s, l, key, true);
    note_late(l, key, true);
}

void listing_drop(struct store *s, struct listing *l, uint64_t key)
{
    listing_set(s, l, key, false);
    note_late(l, key, false);
    /* A walk under way may have met it already: the next reader begins anew. */
    if (l->growing && walk_find(l->growing, key, NULL)) {
        walk_unref(l->growing);
        l->growing = NULL;
    }
}

/* The pages of a walk may be older than what has befallen the listing meanwhile. */
static void add_late(struct store *s, struct listing *l)
{
    const struct late *late = (const struct late *)(const void *)l->late.data;
    for (size_t i = 0; i < l->late.len / sizeof(*late); i++)
        if (!late[i].in || store_known(s, l->res, late[i].key))
            listing_set(s, l, late[i].key, late[i].in);
    buf_finish(&l->late);
    buf_init(&l->late, SIZE_MAX / 2);
}

static void walk_completed(struct store *s, struct walk *w)
{
    struct listing *l = w->listing;
    w->complete = true;
    if (w != l->growing)
        return; /* a refresh has put it aside: it serves those who read it, and nobody else */
    if (l->complete && !same_keys(l->complete, w))
        l->changed_ns = clock_wall_ns(s->clock);
    walk_unref(l->complete);
    l->complete = w;
    l->version++;
    l->growing = NULL;
    l->expired = false;
    if (l->filter < 0)
        record_sweep(s, l->res, w);
    add_late(s, l);
}

/* Adds a page to the walk, and what it meets with it. `ret_ended`: that was all. False with the
 * reason when the walk cannot go on from it. */
static bool take_page(struct store *s, struct walk *w, const struct api_answer *answer,
                      uint64_t asked, bool *ret_ended, struct api_failure *failure)
{
    struct listing *l = w->listing;
    size_t added = 0;
    struct part *met = NULL;
    for (size_t i = 0; i < answer->count; i++) {
        uint64_t key = record_put(s, l->res, &answer->items[i], asked, l, w);
        /* What a part has is not added twice. */
        if (key && !met && (met = split_met(w, NULL, key)) && !part_has(met, key)) {
            split_give_up(w);
            met = NULL;
        }
        if (met)
            split_twice(w);
        int r = met ? 1 : key ? walk_add(w, key) : -ENOMEM;
        if (r < 0) {
            api_failure_set(failure, -ENOMEM, answer->failure.number, "no memory for the listing");
            return false;
        }
        added += r > 0;
    }
    if (w->count && split_join(w, met, ret_ended) < 0) {
        api_failure_set(failure, -ENOMEM, answer->failure.number, "no memory for the listing");
        return false;
    }
    if (!answer->has_more) {
        /* What a part has brought from below is no less true: then the walk goes on and sees. */
        *ret_ended = *ret_ended || (!met && !split_holds(w));
        split_give_up(w);
        return true;
    }
    if (!added)
        api_failure_set(failure, -EBADMSG, answer->failure.number,
                        "the answer is not what the API promises: the listing does not get on, "
                        "the same records come again");
    else if (w->count > STORE_LISTING_MAX)
        api_failure_set(failure, -EFBIG, answer->failure.number, "the listing is too long");
    else
        return true;
    failure->status = answer->failure.status;
    return false;
}

static int ask_page(struct store *s, struct walk *w, enum net_priority priority,
                    const struct op *op);

static void walk_broken(struct walk *w)
{
    struct listing *l = w->listing;
    w->broken = true;
    if (w == l->growing) {
        l->growing = NULL;
        walk_unref(w);
    }
}

/* It has got on. */
static void walk_onward(struct store *s, struct walk *w, bool ended)
{
    w->answered = s->seq;
    w->answered_ms = store_now(s);
    if (ended)
        walk_completed(s, w);
    else if (!w->fetch && w->readers && (split_active(w) || w->count < w->read_to + READ_AHEAD))
        ask_page(s, w, NET_AHEAD, NULL);
    split_turn(s, w);
}

static void page_failed(struct store *s, struct listing *l, const struct api_failure *failure)
{
    const struct resource_row *row = resource_row(l->res);
    struct api_failure told = *failure;
    bool refused = told.error == -EINVAL || told.error == -EOPNOTSUPP;
    if (row->list_needs_filter && l->filter < 0 && refused) {
        api_failure_set(&told, -EOPNOTSUPP, failure->number,
                        "the API lists the %ss of one contact only: see contacts/ID/%ss/",
                        row->name, row->name);
        told.status = failure->status;
    }
    trouble_set(s, &l->trouble, &told);
}

void page_ended(struct fetch *f, const struct api_answer *answer)
{
    struct store *s = f->store;
    struct walk *w = f->walk;
    struct listing *l = w->listing;
    struct api_failure failure = answer->failure;
    bool ended = false;
    w->fetch = NULL;

    if (!failure.error) {
        s->seq++;
        if (!take_page(s, w, answer, f->asked, &ended, &failure))
            walk_broken(w); /* what came is not to be trusted: the next reader begins anew */
    }
    if (failure.error) {
        page_failed(s, l, &failure);
        if (l->trouble)
            l->trouble->untold = list_empty(&f->waiters.ops);
    } else {
        trouble_set(s, &l->trouble, NULL);
        walk_onward(s, w, ended);
    }
    walk_unref(w);
}

void page_caught_up(struct store *s, struct walk *w)
{
    bool ended = false;
    size_t had = w->count;
    int r = w->fetch || w->complete || w->broken ? 0 : split_join(w, false, &ended);
    if (r < 0)
        walk_broken(w);
    else if (ended || w->count > had)
        walk_onward(s, w, ended);
    else
        split_turn(s, w);
}

struct api_query listing_query(const struct store *s, const struct listing *l,
                               char by[RESOURCE_ID_TEXT_MAX + 1])
{
    by[0] = '\0';
    if (l->filter >= 0)
        store_id(s, resource_row(l->res)->filters[l->filter].by, l->by, by);
    return (struct api_query){.res = l->res, .filter = l->filter, .by = by};
}

static int ask_page(struct store *s, struct walk *w, enum net_priority priority,
                    const struct op *op)
{
    struct listing *l = w->listing;
    struct fetch *f = fetch_new(s, page_ended);
    if (!f)
        return -ENOMEM;
    f->res = l->res;
    f->walk = w;
    if (w->count == 0)
        w->asked = f->asked;
    char by[RESOURCE_ID_TEXT_MAX + 1];
    struct api_query query = listing_query(s, l, by);
    query.after = w->count ? w->keys[w->count - 1] : 0;
    int r = fetch_page(f, &query, priority, op);
    if (r == 0) {
        w->fetch = f;
        walk_ref(w);
    }
    return r;
}

void store_walk_read_to(struct store *s, struct walk *w, size_t index)
{
    if (w->complete || index <= w->read_to)
        return;
    w->read_to = index;
    /* Goes on only from where an answer has just been: the first page is asked for by somebody
     * who waits, and a failure is for somebody to see before it is tried again. */
    if (!w->fetch && !w->broken && !w->listing->trouble && w->count &&
        w->count < w->read_to + READ_AHEAD)
        ask_page(s, w, NET_AHEAD, NULL);
    split_turn(s, w);
}

/*
 * A part of a collection that is known whole can be told from its records, without a request: the
 * contacts of each tag, after a search through contacts/. NULL where it cannot: also where a text
 * is not at hand.
 */
static struct walk *derive(struct store *s, struct op *op, struct listing *l)
{
    const struct resource_filter *filter =
        l->filter >= 0 ? &resource_row(l->res)->filters[l->filter] : NULL;
    const struct listing *home = s->home[l->res];
    const struct walk *whole = filter && home ? listing_fresh_whole(s, home, op) : NULL;
    if (!whole || !filter->member || l->expired || whole->count > DERIVE_MAX)
        return NULL;

    char id[RESOURCE_ID_TEXT_MAX + 1];
    store_id(s, filter->by, l->by, id);
    struct walk *w = walk_new(l, ++s->next_walk);
    for (size_t i = 0; w && i < whole->count; i++) {
        const struct record *rec = store_known(s, l->res, whole->keys[i]);
        bool untold = rec && !rec->text;
        if (untold || (rec && record_names(rec, filter->member, id) && walk_add(w, rec->key) < 0)) {
            walk_unref(w);
            w = NULL;
        }
    }
    if (!w)
        return NULL;
    w->complete = true;
    w->asked = whole->asked;
    w->answered = whole->answered;
    w->answered_ms = whole->answered_ms;
    if (l->complete && !same_keys(l->complete, w))
        l->changed_ns = clock_wall_ns(s->clock);
    walk_unref(l->complete);
    l->version++;
    return l->complete = w;
}

int store_walk(struct store *s, struct op *op, struct listing *l, struct walk **ret)
{
    assert(op); /* only a look at what is there may come without one */
    struct walk *w = listing_fresh_whole(s, l, op);
    if (!w && !l->growing)
        w = derive(s, op, l);
    if (!w && l->complete && trouble_applies(s, l->trouble, op, true) &&
        (!l->trouble || l->trouble->failure.away))
        w = l->complete;
    if (!w && op->expired && l->complete)
        w = l->complete;

    struct walk *g = l->growing;
    if (!w && g && g->count && !g->fetch && !walk_in_time(s, g) && g->answered <= op->seq) {
        /* It has stood still for too long to begin with. Who reads it may go on. */
        walk_unref(g);
        l->growing = NULL;
    }
    if (!w && !l->growing) {
        l->growing = walk_new(l, ++s->next_walk);
        if (!l->growing)
            return op_fail(op, -ENOMEM, "no memory");
    }
    *ret = w ? w : l->growing;
    walk_ref(*ret);
    return 0;
}

int store_walk_more(struct store *s, struct op *op, struct walk *w, size_t have)
{
    if (w->complete || w->count > have)
        return 0;
    struct trouble *t = w->listing->trouble;
    bool untold = t && t->untold && w->count && store_now(s) - t->at_ms < STORE_REPEAT_MS;
    if (t && (untold || w->broken || trouble_applies(s, t, op, false))) {
        t->untold = false;
        return trouble_fail(op, t);
    }
    if (w->broken)
        return op_fail(op, -EBADMSG, "the listing broke off: read it again");
    if (op->expired)
        return op_fail(op, -ETIMEDOUT, "the listing did not come within %lld seconds",
                       (long long)s->timeout_ms / 1000);
    if (!w->fetch && ask_page(s, w, NET_LISTING, op) < 0)
        return op_fail(op, -ENOMEM, "no memory");
    int r = fetch_wait(w->fetch, op, NET_LISTING);
    split_turn(s, w);
    return r;
}

int store_walk_whole(struct store *s, struct op *op, struct listing *l, struct walk **ret)
{
    struct walk *w;
    int r = store_walk(s, op, l, &w);
    if (r < 0)
        return r;
    r = w->complete ? 0 : store_walk_more(s, op, w, w->count);
    if (r == 0)
        *ret = w;
    walk_unref(w); /* the listing holds it */
    return r;
}

/* Begins another walk though the last one is still fresh. */
static int walk_anew(struct store *s, struct op *op, struct listing *l)
{
    struct walk *w;
    l->expired = true;
    int r = store_walk(s, op, l, &w);
    if (r < 0)
        return r;
    r = store_walk_more(s, op, w, w->count);
    walk_unref(w);
    return r;
}

int listing_record(struct store *s, struct op *op, struct listing *l, uint64_t key,
                   struct record **ret)
{
    struct walk *w;
    int r = store_walk(s, op, l, &w);
    if (r < 0)
        return r;
    walk_unref(w);

    struct record *rec = record_lookup(s, l->res, key);
    if (rec && rec->absent && record_fresh(s, rec, op))
        return -ENOENT;
    /* A refresh of this record alone: the walk that brought it does not answer for it. */
    bool refreshed = rec && rec->expired && !(w->complete && w->answered > op->seq);
    if (!refreshed && walk_find(w, key, NULL) && rec && rec->present) {
        rec->stale = !record_fresh(s, rec, op);
        *ret = rec;
        return 0;
    }
    if (!refreshed && w->complete)
        return -ENOENT;
    if (op->expired)
        return op_fail(op, -ETIMEDOUT, "no answer within %lld seconds",
                       (long long)s->timeout_ms / 1000);
    if (w->count == 0 && !w->complete)
        return store_walk_more(s, op, w, 0);

    bool passed = w->order == WALK_DESCENDING && key > w->keys[w->count - 1];
    if (!refreshed && passed)
        return -ENOENT;
    const struct resource_row *row = resource_row(l->res);
    bool cursor = row->paged && row->id_kind == ID_NUMBER && !(rec && rec->around_failed);
    if (l->filter >= 0) {
        /* A page of a part proves nothing for the others. The whole collection is asked, and the
         * record then says whether it belongs here. */
        cursor = cursor && row->filters[l->filter].member && !row->list_needs_filter;
        l = cursor ? store_listing(s, l->res, -1, 0) : l;
        if (!l)
            return op_fail(op, -ENOMEM, "no memory");
    }
    if (!cursor && w->complete)
        return walk_anew(s, op, l);
    if (!cursor)
        return store_walk_more(s, op, w, w->count);
    /* Deep in a long listing: the cursor takes any id, so the page around it can be asked for. */
    if (!rec)
        rec = record_slot(s, l->res, key);
    if (!rec)
        return op_fail(op, -ENOMEM, "no memory");
    if (trouble_applies(s, record_trouble(rec), op, false))
        return trouble_fail(op, record_trouble(rec));
    return fetch_answers(s, rec) ? fetch_wait(record_fetch(rec), op, NET_PERSON)
                                 : record_around(s, op, l, rec, false);
}

int store_record_of_many(struct store *s, struct op *op, enum resource res, uint64_t key,
                         struct record **ret)
{
    const struct record *rec = record_lookup(s, res, key);
    struct listing *home = store_listing(s, res, -1, 0);
    if (!home || (rec && record_fresh(s, rec, op)) || listing_fresh_whole(s, home, op))
        return store_stat(s, op, res, key, ret);
    return listing_record(s, op, home, key, ret);
}

int store_record_in(struct store *s, struct op *op, struct listing *l, uint64_t key,
                    struct record **ret)
{
    if (l->filter < 0)
        return store_stat(s, op, l->res, key, ret);

    const struct resource_row *row = resource_row(l->res);
    const struct resource_filter *filter = &row->filters[l->filter];
    struct walk *w = listing_fresh_whole(s, l, op);
    if (w && !walk_find(w, key, NULL))
        return -ENOENT;
    bool met = w || (l->growing && walk_in_time(s, l->growing) && walk_find(l->growing, key, NULL));
    struct record *rec = store_known(s, l->res, key);
    bool known = row->item_get || (rec && record_fresh(s, rec, op));
    if (!met && !(filter->member && known))
        return listing_record(s, op, l, key, ret);

    if (met)
        return store_stat(s, op, l->res, key, ret);
    int r = store_record(s, op, l->res, key, ret);
    if (r != 0)
        return r;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    return record_names(*ret, filter->member, store_id(s, filter->by, l->by, id)) ? 0 : -ENOENT;
}
