/*
 * A long walk, split: parts of it are fetched at once, ahead of where it is. Here is where they
 * begin, and what they may cost; in part.c, how they grow and meet.
 *
 * `startingAfter` takes any id. So while the walk itself comes down from the newest record, parts
 * begin further down, each at an id that is guessed; what a part brings is kept until the walk has
 * come down to it, and is then a part of the walk, in order.
 *
 *     walk ->->->->|   <-<-<- part ->->->|   <-<- part ->->|   <-<-<-<- bottom     (ids fall)
 *
 * Where the API honours order=asc, a part grows both ways, and the oldest records are a part that
 * grows upwards: it is the first one, and costs nothing, because a walk from both ends makes no
 * more requests than one from the top. Where the API ignores the order (it was seen to), that
 * request is wasted, once in the life of a mount; parts grow downwards only, the first as far below
 * the walk as that has come, by the pages, and the next ones each as far down again.
 *
 * WASTE. Where two parts meet, the last page between them holds records that one of them has: half
 * a page on the average, however long the parts are. A guess that falls where there is nothing
 * brings nothing new: a page. Otherwise a request is as good in one place as in another. So below
 * SPLIT_FROM records, where nothing may be wasted, nothing begins; from there on a part begins when
 * what was wasted, and what is still to be expected of the parts that have not met and of the
 * guesses that are not answered, stays below a twentieth of the records counted on. These are the
 * ones that are known, and some that are likely, by the ids between the parts: where ids are
 * regular, half of them, but no more than there are known ones, nor many more than the parts have
 * shown; where ids come in clusters with leaps between them, fewer.
 *
 * A part that has met its neighbour has ended; its place is taken by a new one in the widest gap
 * that is left, by the estimate of its records, as long as that is worth it.
 *
 * PROOF. Nothing is believed of the server but what it answers: every page must hold falling (or
 * rising) ids beyond its cursor, and a part that runs into another one must meet there a record
 * that that one has. An empty page proves nothing (a server may answer one to a cursor that it does
 * not know): the guess is dropped, and the part above goes on by itself. So is a guess whose page
 * is not below it, and no other one follows. The moment that anything else does not fit, all parts
 * are given up, and the walk goes on alone.
 */
#include "split.h"

#include <inttypes.h>
#include <stdlib.h>

#define LOG_MODULE "store"
#include "systemefs/base/log.h"

#define SPLIT_FROM  2000 /* records */
#define SPLIT_MAX   30   /* requests at once */
#define SPLIT_QUOTA 8    /* requests that must be left of the quota for each */
#define SPAN_PAGES  9    /* over which the span of a page is taken */
#define GAP_LEAST   500  /* records that are worth another part */
#define BOTH_LEAST  200  /* records that both sides of a gap are asked for */

/* The budget, in records: API_PAGE_LIMIT of them are a request. What a meeting wastes is a matter
 * of luck: with these figures 99 of 100 accounts, with ids of many kinds, stay below 5 %, and the
 * others go a request beyond it, seldom two (tests/unit/test_split_rounds.c). */
#define BUDGET_PART  20   /* of the records counted on, this part may be asked for in vain */
#define JOIN_COST    57   /* of parts that have still to meet: half a page, and its variation */
#define GUESS_COST   43   /* of a guess, besides: it may bring nothing */
#define MARGIN       110  /* against bad luck, where the oldest records are not known */
#define LIKELY_PART  2    /* of the records in gaps, this part is counted on */
#define LIKELY_SHOWN 6    /* times what the parts have shown, at most */
#define REGULAR_MOST 1.5  /* times the median span of a page: the mean, where ids are regular */
#define LEAPS_PART   3    /* where they are not: this part, */
#define LEAPS_FROM   5000 /* and no more than are known beyond so many */

bool split_active(const struct walk *w)
{
    return w->split && !list_empty(&w->split->parts);
}

void split_twice(struct walk *w)
{
    w->split->twice++;
}

bool split_holds(const struct walk *w)
{
    for (const struct part *g = part_first(w); g; g = part_below(w, g))
        if (part_stands(g))
            return true;
    return false;
}

static void drop_all(struct walk *w)
{
    for (struct part *g; (g = part_first(w));)
        part_drop(w, g);
}

void split_give_up(struct walk *w)
{
    if (!w->split || w->split->off)
        return;
    log_debug("the listing does not split: it is walked from the top alone");
    drop_all(w);
    w->split->off = true;
}

void split_free(struct walk *w)
{
    if (w->split)
        drop_all(w);
    free(w->split);
    w->split = NULL;
}

/* ---- what is left ---- */

static int compare_spans(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* How many ids a page spans, as a rule: the median over the last pages of a run. Ids come in
 * clusters with wide gaps between them, and one gap would spoil a mean. */
static uint64_t keys_span(const struct walk *run)
{
    uint64_t spans[SPAN_PAGES];
    const uint64_t *keys = run->keys;
    size_t n = 0, count = run->count;
    if (count <= API_PAGE_LIMIT)
        return count > 1 ? distance(keys[0], keys[count - 1]) * API_PAGE_LIMIT / (count - 1) : 1;
    for (; n < SPAN_PAGES && count > API_PAGE_LIMIT; n++, count -= API_PAGE_LIMIT)
        spans[n] = distance(keys[count - API_PAGE_LIMIT - 1], keys[count - 1]);
    qsort(spans, n, sizeof(*spans), compare_spans);
    return MAX(spans[n / 2], UINT64_C(1));
}

uint64_t split_span(const struct walk *w)
{
    return keys_span(w);
}

/* The same, at an end of a part (NULL: of the walk); 0 for a guess. */
static uint64_t span_at(const struct walk *w, const struct part *g, enum way way)
{
    if (!g)
        return split_span(w);
    if (!g->run[way]->count)
        way = way == UP ? DOWN : UP;
    return g->run[way]->count ? keys_span(g->run[way]) : 0;
}

/* What lies between two parts that have not met. */
struct gap {
    struct part *above, *below; /* NULL: the walk; the bottom */
    uint64_t low, high;         /* it is below `high`, and from `low` on, but for what is barren */
    uint64_t span;              /* ids of a page, by the densities at both ends */
    uint64_t records;           /* by that */
};

static bool gap_below(const struct walk *w, struct part *above, struct gap *ret)
{
    struct part *below = above ? part_below(w, above) : part_first(w);
    uint64_t high = above ? above->low : walk_low(w);
    uint64_t low = below ? below->high : w->split->bottom;
    if (low == 0 || low >= high)
        return false;
    if (below)
        low = MIN(MAX(low, below->barren), high);
    uint64_t a = span_at(w, above, DOWN), b = below ? span_at(w, below, UP) : 0;
    a = a ? a : b ? b : split_span(w);
    b = b ? b : a;
    uint64_t span = (uint64_t)(2 / (1 / (double)a + 1 / (double)b));
    *ret = (struct gap){
        .above = above,
        .below = below,
        .low = low,
        .high = high,
        .span = span,
        .records = (uint64_t)((double)(high - low) / (double)span * API_PAGE_LIMIT),
    };
    return true;
}

/* From gap to gap, downwards: the part above the next one, which may be none. False: that was all.
 */
#define for_each_place(w, above)                                                                   \
    for (bool more_ = true; more_;                                                                 \
         (above) = (above) ? part_below(w, above) : part_first(w), more_ = (above) != NULL)

/* ---- the budget ---- */

/* Whether the oldest records are a part. */
static bool both_ends(const struct walk *w)
{
    const struct part *last = part_last(w);
    return last && part_stands(last) && last->low == 0;
}

static size_t records_counted_on(const struct walk *w)
{
    size_t known = w->count;
    uint64_t open = 0, low = walk_low(w);
    struct part *above = NULL;
    struct gap gap;
    for_each_place(w, above)
    {
        if (above && part_stands(above)) {
            known += above->run[DOWN]->count + above->run[UP]->count;
            low = above->run[DOWN]->count ? walk_low(above->run[DOWN]) : above->run[UP]->keys[0];
        }
        if (gap_below(w, above, &gap) && gap.below && part_stands(gap.below))
            open += gap.high - gap.low;
    }
    size_t shown = known - w->count;
    double density = (double)known / (double)(w->keys[0] - low - open);
    double likely = (double)open * density;
    if (API_PAGE_LIMIT / density <= REGULAR_MOST * (double)split_span(w))
        return known + MIN((size_t)likely / LIKELY_PART, MIN(LIKELY_SHOWN * shown, known));
    return known + MIN((size_t)likely / LEAPS_PART, known - MIN(known, (size_t)LEAPS_FROM));
}

/* Whether another part may begin, at that cost. */
static bool affordable(const struct walk *w, size_t more)
{
    size_t cost = 0;
    struct part *above = NULL;
    struct gap gap;
    for_each_place(w, above)
    {
        if (above && !part_stands(above))
            cost += GUESS_COST;
        if (gap_below(w, above, &gap) && gap.below)
            cost += JOIN_COST;
    }
    /* With both ends known one of the joins is free: it saves the half page at the end. That is as
     * good as a margin. */
    if (cost && !both_ends(w))
        cost += MARGIN;
    return (cost + w->split->twice + more) * BUDGET_PART <= records_counted_on(w);
}

/* How many requests may be under way for parts. */
static unsigned streams(const struct store *s)
{
    int64_t left = api_quota_left(s->api);
    /* One place is for people, one for the walk itself. */
    unsigned most = s->jobs > 2 ? MIN(s->jobs - 2, SPLIT_MAX) : 0;
    return left < 0 ? most : (unsigned)MIN((int64_t)most, left / SPLIT_QUOTA);
}

/* ---- where to begin ---- */

static bool begin(struct store *s, struct walk *w, struct part *above, uint64_t from, enum way way)
{
    struct part *g = part_new(above ? &above->all : &w->split->parts, from);
    if (!g)
        return false;
    log_debug("a part of the listing begins at %" PRIu64, from);
    part_ask(s, w, g, way);
    if (g->ask[way])
        return true;
    part_drop(w, g); /* no memory */
    return false;
}

/* Below all others: the oldest records, where the API can be asked for them first; else as far down
 * again as the last one is. */
static bool begin_below(struct store *s, struct walk *w)
{
    const struct scan *scan = &s->scans[w->listing->res];
    struct part *last = part_last(w);
    uint64_t low = last ? last->low : walk_low(w);
    uint64_t far = last ? w->keys[0] - low : w->count / API_PAGE_LIMIT * split_span(w);
    if (w->split->bottom || (last && (!part_stands(last) || last->low == 0)))
        return false;
    if (!scan->ascending_broken)
        return affordable(w, scan->ascending_works ? 0 : API_PAGE_LIMIT) &&
               begin(s, w, last, 0, UP);
    if (w->split->no_guess || !affordable(w, JOIN_COST + GUESS_COST))
        return false;
    if (far + 1 < low)
        return begin(s, w, last, low - far, DOWN);
    w->split->bottom = 1; /* ids end before */
    return false;
}

/* In the middle of the widest gap. Where a guess has found nothing in one, it counts for half. */
static bool begin_between(struct store *s, struct walk *w)
{
    struct gap gap, widest = {0};
    struct part *above = NULL;
    uint64_t most = 0;
    for_each_place(w, above)
    {
        if (!gap_below(w, above, &gap) || gap.records < GAP_LEAST)
            continue;
        unsigned misses = gap.below ? gap.below->misses : 1 + w->split->misses;
        uint64_t worth = gap.records >> MIN(misses, 63U);
        if (worth > most) {
            most = worth;
            widest = gap;
        }
    }
    if (!most || w->split->no_guess || !affordable(w, JOIN_COST + GUESS_COST))
        return false;
    /* Whole pages below the part above it: where ids are dense, it will come down just to there. */
    uint64_t ids = widest.high - widest.low, way = ids / widest.span / 2 * widest.span;
    return begin(s, w, widest.above, widest.high - (way ? way : ids / 2), DOWN);
}

/* ---- its turn ---- */

/* Parts that have been answered ask for their next pages. Both sides of a gap do, but not where
 * what one has asked for is likely to be all that there is. */
static unsigned go_on(struct store *s, struct walk *w, unsigned busy, unsigned most)
{
    bool rising = s->scans[w->listing->res].ascending_works;
    struct part *above = NULL;
    for_each_place(w, above)
    {
        struct gap gap;
        struct part *below = above ? part_below(w, above) : part_first(w);
        bool open = gap_below(w, above, &gap), wide = open && gap.records >= BOTH_LEAST;
        if (busy < most && above && part_stands(above) && above->low && !above->ask[DOWN] &&
            (!below || (open && (wide || !below->ask[UP])))) {
            part_ask(s, w, above, DOWN);
            busy++;
        }
        bool down = !above || above->ask[DOWN]; /* the walk itself always does */
        if (busy < most && below && part_stands(below) && rising && open && !below->ask[UP] &&
            (wide || !down)) {
            part_ask(s, w, below, UP);
            busy++;
        }
    }
    return busy;
}

static unsigned under_way(const struct walk *w)
{
    unsigned n = 0;
    for (const struct part *g = part_first(w); g; g = part_below(w, g))
        n += (g->ask[DOWN] != NULL) + (g->ask[UP] != NULL);
    return n;
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
        list_init(&w->split->parts);
    }
    unsigned most = streams(s), busy = go_on(s, w, under_way(w), most);
    while (busy < most && (begin_below(s, w) || begin_between(s, w)))
        busy++;
}
