/*
 * A long walk, split: parts of it are fetched at once, ahead of where it is.
 *
 * `startingAfter` takes any id. So while the walk itself comes down from the newest record,
 * segments begin further down, each below an id that is guessed from how dense the ids have been;
 * what a segment brings is kept until the walk has come down to it, and is then a part of the walk,
 * in order.
 *
 *     walk  ->->->->->|  segment ->->->->|  segment ->->|   (ids fall to the right)
 *
 * WASTE. A request is wasted where a part runs into the next one: its last page holds records that
 * the next part has, too (half a page, as a rule), and where a segment begins below everything. So
 * there is no split below SPLIT_FROM records; a segment is at least SPLIT_PAGES pages long by the
 * guess, longer the longer the walk is; and the next one is opened only when the one above it has
 * proven that there is something.
 *
 * PROOF. Nothing is believed of the server but what it answers: every page must hold falling ids
 * below its cursor, and a part that runs into the next one must meet there the record with which
 * that begins (or one behind it: the first may be deleted meanwhile). An empty page proves nothing
 * (a server may answer one to a cursor that it does not know): the segment is dropped, and the part
 * above goes on by itself. The moment that something does not fit, all segments are given up, and
 * the walk goes on alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LOG_MODULE "store"
#include "systemefs/base/log.h"

#define SPLIT_FROM    2000 /* records */
#define SPLIT_PAGES   14   /* of a segment, at least */
#define SPLIT_MAX     30   /* segments at once */
#define SPLIT_QUOTA   8    /* requests that must be left of the quota for each */
#define SPAN_PAGES    9    /* over which the span of a page is taken */
#define REACH_MAX     20   /* times that it is doubled */
#define WASTE_PERCENT 4    /* of the pages, by the guess of half a page: it stays below 5 */

struct segment {
    struct list all;     /* in split.segments, highest ids first */
    uint64_t after;      /* the cursor that it began with: it has ids below */
    struct fetch *fetch; /* under way */
    uint64_t *keys;      /* falling */
    size_t count, cap;
    bool ended;  /* there is nothing below it */
    bool closed; /* above it is a gap: what is there is not worth another segment */
    bool met;    /* it has run into the next one */
};

struct split {
    struct list segments;
    unsigned count;
    unsigned wasted; /* segments that brought nothing new */
    uint64_t twice;  /* records that came in two parts */
    unsigned reach;  /* how often one was opened below all others */
    uint64_t bottom; /* below this id a segment has found nothing */
    bool off;        /* given up */
};

static struct segment *segment_at(struct list *node)
{
    return CONTAINER_OF(node, struct segment, all);
}

static struct segment *first_of(const struct walk *w)
{
    struct list *node = w->split ? list_first(&w->split->segments) : NULL;
    return node ? segment_at(node) : NULL;
}

static struct segment *below(const struct walk *w, struct segment *g)
{
    return g->all.next == &w->split->segments ? NULL : segment_at(g->all.next);
}

/* An answer that nobody waits for any more: its records are worth having. */
static void orphan_ended(struct fetch *f, const struct api_answer *answer)
{
    if (!answer->failure.error)
        record_put_page(f->store, f->res, answer, f->asked, NULL);
    walk_unref(f->walk);
}

static void segment_drop(struct walk *w, struct segment *g)
{
    if (g->fetch) {
        g->fetch->ended = orphan_ended;
        g->fetch->segment = NULL;
    }
    list_remove(&g->all);
    w->split->count--;
    free(g->keys);
    free(g);
}

static void drop_from(struct walk *w, struct segment *g)
{
    while (g) {
        struct segment *next = below(w, g);
        segment_drop(w, g);
        g = next;
    }
}

void split_give_up(struct walk *w)
{
    if (!w->split || w->split->off)
        return;
    log_debug("the listing does not split: it is walked from the top alone");
    drop_from(w, first_of(w));
    w->split->off = true;
}

void split_free(struct walk *w)
{
    if (w->split)
        drop_from(w, first_of(w));
    free(w->split);
    w->split = NULL;
}

void split_twice(struct walk *w)
{
    w->split->twice++;
}

bool split_holds(const struct walk *w)
{
    for (struct segment *g = first_of(w); g; g = below(w, g))
        if (g->count)
            return true;
    return false;
}

void split_forget(struct fetch *f)
{
    if (f->segment)
        f->segment->fetch = NULL;
}

bool split_active(const struct walk *w)
{
    return w->split && w->split->count;
}

/* ---- a segment's pages ---- */

static int segment_push(struct segment *g, uint64_t key)
{
    if (g->count == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16 * API_PAGE_LIMIT;
        uint64_t *keys = realloc(g->keys, cap * sizeof(*keys));
        if (!keys)
            return -ENOMEM;
        g->keys = keys;
        g->cap = cap;
    }
    g->keys[g->count++] = key;
    return 0;
}

bool split_has(const struct segment *g, uint64_t key)
{
    size_t low = 0, high = g->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (g->keys[middle] > key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < g->count && g->keys[low] == key;
}

struct segment *split_met(struct walk *w, struct segment *from, uint64_t key)
{
    struct segment *next = from ? below(w, from) : first_of(w);
    if (!next || (next->after && key >= next->after) || (!next->after && next->fetch))
        return NULL;
    if (next->count)
        return next;
    /* It has not brought anything yet, and need not any more. */
    segment_drop(w, next);
    return split_met(w, from, key);
}

/* Takes a page into the segment. False: it does not fit, or there is no memory. */
static bool segment_take(struct store *s, struct walk *w, struct segment *g, struct fetch *f,
                         const struct api_answer *answer)
{
    struct segment *next = NULL;
    for (size_t i = 0; i < answer->count; i++) {
        uint64_t key = record_put(s, f->res, &answer->items[i], f->asked, w->listing, w);
        uint64_t last = g->count ? g->keys[g->count - 1] : g->after;
        if (!key || key >= last)
            return false;
        w->split->twice += next != NULL;
        if (next)
            continue; /* the next one has it, or it came while that one was asked for */
        next = split_met(w, g, key);
        if (next ? !split_has(next, key) : segment_push(g, key) < 0)
            return false;
    }
    if (next && !g->count) {
        /* It has begun in a gap: between it and the next one there is nothing. */
        next->after = g->after;
        next->closed = true;
        segment_drop(w, g);
        return true;
    }
    g->met = next != NULL;
    if (g->met || answer->has_more)
        return answer->count > 0;
    /* The end of all: what was asked for below it cannot have found anything. */
    for (struct segment *b = below(w, g); b; b = below(w, g)) {
        if (b->count)
            return false;
        segment_drop(w, b);
    }
    g->ended = true;
    return true;
}

static void segment_ended(struct fetch *f, const struct api_answer *answer)
{
    struct store *s = f->store;
    struct walk *w = f->walk;
    struct segment *g = f->segment;
    g->fetch = NULL;
    if (answer->failure.error) {
        split_give_up(w); /* the walk will meet it, and tell */
    } else if (answer->count == 0 && g->count == 0) {
        w->split->wasted++;
        w->split->bottom = g->after;
        segment_drop(w, g);
    } else {
        s->seq++;
        if (!segment_take(s, w, g, f, answer))
            split_give_up(w);
    }
    split_turn(s, w);
    walk_unref(w);
}

static void bottom_ended(struct fetch *f, const struct api_answer *answer);

static void segment_ask(struct store *s, struct walk *w, struct segment *g)
{
    bool bottom = !g->after && !g->count;
    struct fetch *f = fetch_new(s, bottom ? bottom_ended : segment_ended);
    if (!f)
        return;
    char by[RESOURCE_ID_TEXT_MAX + 1];
    struct api_query query = listing_query(s, w->listing, by);
    query.after = g->count ? g->keys[g->count - 1] : g->after;
    query.ascending = bottom;
    f->res = w->listing->res;
    f->walk = w;
    f->segment = g;
    if (fetch_page(f, &query, NET_AHEAD, NULL) < 0)
        return;
    g->fetch = f;
    walk_ref(w);
}

/* ---- the other end ---- */

/* The oldest records as the last segment, where the API can be asked for them first. It may ignore
 * that, and answer with the newest (as it was seen to do for contacts): then it is not asked again.
 */
static void bottom_ended(struct fetch *f, const struct api_answer *answer)
{
    struct store *s = f->store;
    struct walk *w = f->walk;
    struct segment *g = f->segment;
    uint64_t last = 0, front = w->keys[w->count - 1];
    bool rising = true;
    g->fetch = NULL;
    s->seq++;
    for (size_t i = 0; !answer->failure.error && rising && i < answer->count; i++) {
        uint64_t key = record_put(s, f->res, &answer->items[i], f->asked, w->listing, w);
        rising = key > last;
        last = key;
        /* What the walk has come down to meanwhile it has itself. */
        if (rising && key < front && segment_push(g, key) < 0)
            break;
    }
    if (rising && g->count) {
        for (size_t i = 0; i < g->count / 2; i++) {
            uint64_t key = g->keys[i];
            g->keys[i] = g->keys[g->count - 1 - i];
            g->keys[g->count - 1 - i] = key;
        }
        g->after = g->keys[0] + 1;
        g->ended = true;
    } else if (rising) {
        split_give_up(w); /* no answer, or the walk is there already */
    } else {
        s->scans[f->res].ascending_broken = true;
        w->split->wasted++;
        segment_drop(w, g);
    }
    split_turn(s, w);
    walk_unref(w);
}

/* ---- where to open one ---- */

static int compare_spans(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* How many ids a page spans, as a rule: the median over the last pages of a part. Ids come in
 * clusters with wide gaps between them, and one gap would spoil a mean. */
static uint64_t page_span(const uint64_t *keys, size_t count)
{
    uint64_t spans[SPAN_PAGES];
    size_t n = 0;
    for (; n < SPAN_PAGES && count > API_PAGE_LIMIT; n++, count -= API_PAGE_LIMIT)
        spans[n] = keys[count - API_PAGE_LIMIT - 1] - keys[count - 1];
    if (n == 0)
        return count > 1 ? (keys[0] - keys[count - 1]) * API_PAGE_LIMIT / (count - 1) : 1;
    qsort(spans, n, sizeof(*spans), compare_spans);
    return MAX(spans[n / 2], UINT64_C(1));
}

/* How many requests may be under way for segments. */
static unsigned streams(const struct store *s)
{
    int64_t left = api_quota_left(s->api);
    /* One place is for people, one for the walk itself. */
    unsigned most = s->jobs > 2 ? MIN(s->jobs - 2, SPLIT_MAX) : 0;
    return left < 0 ? most : (unsigned)MIN((int64_t)most, left / SPLIT_QUOTA);
}

static size_t pages_known(const struct walk *w)
{
    size_t keys = w->count;
    list_for_each(it, &w->split->segments)
        keys += segment_at(it)->count;
    return keys / API_PAGE_LIMIT;
}

/* Whether the pages that are known pay for one more segment: in half pages, what was wasted, half a
 * page for each part that has still to run into the next one, and for the new one. */
static bool affordable(const struct walk *w)
{
    uint64_t cost = 2 * w->split->wasted + 2 * w->split->twice / API_PAGE_LIMIT + 1;
    list_for_each(it, &w->split->segments)
        cost += !segment_at(it)->met;
    return cost * 100 <= 2 * pages_known(w) * WASTE_PERCENT;
}

static bool segment_open(struct store *s, struct walk *w, struct list *behind, uint64_t after)
{
    struct segment *g = malloc(sizeof(*g));
    if (!g)
        return false;
    *g = (struct segment){.after = after};
    list_prepend(behind, &g->all); /* right behind that node */
    w->split->count++;
    log_debug("a part of the listing begins below %" PRIu64 " (%zu pages known, %u wasted)", after,
              pages_known(w), w->split->wasted);
    segment_ask(s, w, g);
    if (g->fetch)
        return true;
    segment_drop(w, g); /* no memory */
    return false;
}

/* At the very end, or, where the API does not begin there, below the lowest part, once that has
 * something: each time twice as far, until there is nothing. */
static bool open_below(struct store *s, struct walk *w)
{
    struct list *last = w->split->segments.prev;
    const struct segment *g = last == &w->split->segments ? NULL : segment_at(last);
    if (w->split->bottom || (g && (!g->count || g->ended)) || !affordable(w))
        return false;
    if (!s->scans[w->listing->res].ascending_broken)
        return segment_open(s, w, last, 0);
    uint64_t now = g ? g->keys[g->count - 1] : w->keys[w->count - 1];
    uint64_t way = page_span(w->keys, w->count) * ((uint64_t)SPLIT_PAGES << w->split->reach);
    if (way >= now || w->split->reach >= REACH_MAX) {
        w->split->bottom = 1;
        return false;
    }
    w->split->reach++;
    return segment_open(s, w, last, now - way);
}

/* In the middle of the widest part that is left, if it is wide. */
static bool open_between(struct store *s, struct walk *w)
{
    struct list *widest = NULL;
    uint64_t most = 0, cursor = 0, span = page_span(w->keys, w->count);
    struct list *it = &w->split->segments;
    do {
        const struct segment *g = it == &w->split->segments ? NULL : segment_at(it);
        const struct segment *next = it->next == &w->split->segments ? NULL : segment_at(it->next);
        uint64_t floor = next ? next->after : w->split->bottom;
        if (floor && (!next || (next->count && !next->closed)) &&
            !(g && (!g->count || g->met || g->ended))) {
            uint64_t now = g ? g->keys[g->count - 1] : w->keys[w->count - 1];
            if (now > floor && now - floor > most) {
                most = now - floor;
                widest = it;
                cursor = floor + most / 2;
            }
        }
        it = it->next;
    } while (it != &w->split->segments);
    uint64_t pages = most / span / 2;
    return pages >= SPLIT_PAGES && affordable(w) && segment_open(s, w, widest, cursor);
}

void split_turn(struct store *s, struct walk *w)
{
    const struct resource_row *row = w->listing ? resource_row(w->listing->res) : NULL;
    bool wanted = w->readers || (w->fetch && !list_empty(&w->fetch->waiters.ops));
    if (!row || !row->paged || row->id_kind != ID_NUMBER || w->complete || w->broken || !wanted ||
        w->order != WALK_DESCENDING || w->count < SPLIT_FROM || (w->split && w->split->off))
        return;
    /* Whoever looks at the beginning only has not asked for all of it. */
    if (w->readers && w->read_to + SPLIT_FROM / 4 < SPLIT_FROM && !w->split)
        return;
    if (!w->split) {
        w->split = calloc(1, sizeof(*w->split));
        if (!w->split)
            return;
        list_init(&w->split->segments);
    }
    unsigned busy = 0, most = streams(s);
    list_for_each(it, &w->split->segments)
        busy += segment_at(it)->fetch != NULL;
    list_for_each(it, &w->split->segments) {
        struct segment *g = segment_at(it);
        if (busy < most && !g->fetch && g->count && !g->ended && !g->met) {
            segment_ask(s, w, g);
            busy++;
        }
    }
    while (busy < most && w->split->count < SPLIT_MAX && (open_below(s, w) || open_between(s, w)))
        busy++;
}

/* ---- the walk comes down to a segment ---- */

int split_join(struct walk *w, bool *ret_ended)
{
    struct segment *g = first_of(w);
    bool met = true;
    *ret_ended = false;
    while (g && met) {
        for (size_t i = 0; i < g->count; i++)
            if (walk_add(w, g->keys[i]) < 0)
                return -ENOMEM;
        met = g->met;
        *ret_ended = g->ended;
        if (g->fetch) { /* it goes on as the walk's own */
            g->fetch->segment = NULL;
            g->fetch->ended = page_ended;
            w->fetch = g->fetch;
            g->fetch = NULL;
        }
        segment_drop(w, g);
        g = first_of(w);
    }
    return 0;
}
