/* The parts of a split walk: their pages, and where they meet. */
#include "split.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define LOG_MODULE "store"
#include "systemefs/base/log.h"

static struct part *part_at(const struct walk *w, struct list *node)
{
    assert(node);
    return node == &w->split->parts ? NULL : CONTAINER_OF(node, struct part, all);
}

struct part *part_first(const struct walk *w)
{
    return w->split ? part_at(w, list_next(&w->split->parts)) : NULL;
}

struct part *part_last(const struct walk *w)
{
    return part_at(w, list_prev(&w->split->parts));
}

struct part *part_above(const struct walk *w, const struct part *g)
{
    return part_at(w, list_prev(&g->all));
}

struct part *part_below(const struct walk *w, const struct part *g)
{
    return part_at(w, list_next(&g->all));
}

bool part_stands(const struct part *g)
{
    return g->run[DOWN]->count || g->run[UP]->count;
}

bool part_has(const struct part *g, uint64_t key)
{
    return walk_find(g->run[DOWN], key, NULL) || walk_find(g->run[UP], key, NULL);
}

static void part_free(struct part *g)
{
    walk_unref(g->run[DOWN]);
    walk_unref(g->run[UP]);
    free(g);
}

struct part *part_new(struct list *behind, uint64_t from)
{
    struct part *g = malloc(sizeof(*g));
    if (!g)
        return NULL;
    *g = (struct part){
        .low = from,
        .high = from,
        .run = {[DOWN] = walk_new(NULL, 0), [UP] = walk_new(NULL, 0)},
    };
    if (!g->run[DOWN] || !g->run[UP]) {
        part_free(g);
        return NULL;
    }
    list_prepend(behind, &g->all); /* right behind that node */
    return g;
}

/* An answer that nobody waits for any more: its records are worth having. */
static void orphan_ended(struct fetch *f, const struct api_answer *answer)
{
    if (!answer->failure.error)
        record_put_page(f->store, f->res, answer, f->asked, NULL);
    walk_unref(f->walk);
}

void part_drop(struct walk *w, struct part *g)
{
    for (enum way way = 0; way < WAYS; way++)
        if (g->ask[way]) {
            g->ask[way]->ended = orphan_ended;
            g->ask[way]->part = NULL;
            w->split->twice += API_PAGE_LIMIT;
        }
    list_remove(&g->all);
    part_free(g);
}

/* ---- where they meet ---- */

/* A guess that another part has passed has not brought anything yet, and need not any more. */
struct part *split_met(struct walk *w, struct part *from, uint64_t key)
{
    struct part *next = from ? part_below(w, from) : part_first(w);
    while (next && key < next->high && !part_stands(next)) {
        struct part *guess = next;
        next = part_below(w, next);
        part_drop(w, guess);
    }
    return next && key < next->high ? next : NULL;
}

/* The same upwards. What is met may be the walk itself. */
static bool met_above(struct walk *w, struct part *from, uint64_t key, struct part **ret)
{
    struct part *above = part_above(w, from);
    while (above && key >= above->low && !part_stands(above)) {
        struct part *guess = above;
        above = part_above(w, above);
        part_drop(w, guess);
    }
    *ret = above;
    return key >= (above ? above->low : walk_low(w));
}

/* Whether the part meets another one with this key. `ret_fits`: that one has it. */
static bool part_meets(struct walk *w, struct part *g, enum way way, uint64_t key, bool *ret_fits)
{
    struct part *other;
    if (way == UP) {
        if (!met_above(w, g, key, &other))
            return false;
        uint64_t low = other ? other->low : walk_low(w);
        *ret_fits = other ? part_has(other, key) : walk_find(w, key, NULL);
        if (g->high == 0) /* the oldest of all: nobody has an older one */
            *ret_fits = key == low;
        g->high = low;
    } else {
        other = split_met(w, g, key);
        if (!other)
            return false;
        *ret_fits = part_has(other, key);
        g->low = other->high;
    }
    return true;
}

/* The end of all: what was asked for below it cannot have found anything. */
static bool nothing_below(struct walk *w, struct part *g)
{
    for (struct part *b = part_below(w, g); b; b = part_below(w, g)) {
        if (part_stands(b))
            return false;
        part_drop(w, b);
    }
    g->low = 0;
    return true;
}

/* It has begun in a gap, and met its neighbour at once: there is nothing between the two, by what
 * the API says to such a cursor. It is not believed, but no other part begins there. */
static void part_fold(struct walk *w, struct part *g, enum way way)
{
    struct part *above = part_above(w, g), *below = part_below(w, g);
    if (way == DOWN) {
        below->barren = g->high;
        below->misses++;
    } else if (g->low == 0 && above) {
        above->low = 0; /* the oldest page begins where that one ends */
    } else if (g->low == 0) {
        w->split->bottom = walk_low(w);
    }
    part_drop(w, g);
}

/* A guess that has brought nothing that can be gone on from. */
static void found_nothing(struct walk *w, struct part *g)
{
    w->split->twice += API_PAGE_LIMIT;
    part_drop(w, g);
}

/* ---- pages ---- */

/* The oldest records were asked for, for the first time: whether that is what came. They are not
 * above the lowest one of the walk. */
static bool learn_order(struct scan *scan, const struct walk *w, uint64_t first)
{
    *(first <= walk_low(w) ? &scan->ascending_works : &scan->ascending_broken) = true;
    return scan->ascending_works;
}

/* From now on its cursors are ids that exist: what the API has left out at the guess, if anything,
 * is met from there. */
static void part_begins(struct part *g, enum way way, uint64_t key)
{
    if (way == DOWN) {
        g->barren = g->high;
        g->high = key + 1;
    } else if (g->low) {
        g->low = key;
    }
}

/* Takes a page into the part. False: it does not fit, or there is no memory. */
static bool part_take(struct store *s, struct walk *w, struct part *g, struct fetch *f,
                      const struct api_answer *answer)
{
    struct scan *scan = &s->scans[f->res];
    enum way way = f->ascending ? UP : DOWN;
    bool learn = way == UP && !scan->ascending_works, met = false, fits = true;
    uint64_t last = way == DOWN ? g->low : g->high ? g->high - 1 : 0;
    for (size_t i = 0; i < answer->count; i++) {
        uint64_t key = record_put(s, f->res, &answer->items[i], f->asked, w->listing, w);
        if (learn && !learn_order(scan, w, key)) {
            found_nothing(w, g);
            return true;
        }
        learn = false;
        if (!key || (way == UP ? key <= last : key >= last)) {
            if (key && way == UP) { /* it honours the order no more */
                scan->ascending_works = false;
                scan->ascending_broken = true;
            }
            if (part_stands(g) || g->low == 0)
                return false;
            w->split->no_guess = true; /* a cursor must be somebody's */
            found_nothing(w, g);
            return true;
        }
        last = key;
        met = met || part_meets(w, g, way, key, &fits);
        if (!fits)
            return false;
        w->split->twice += met; /* the other one has it, or it came while that was asked for */
        if (met)
            continue;
        if (!part_stands(g))
            part_begins(g, way, key);
        if (walk_add(g->run[way], key) < 0)
            return false;
        *(way == UP ? &g->high : &g->low) = way == UP ? key + 1 : key;
    }
    if (met && !part_stands(g))
        part_fold(w, g, way);
    else if (!met && !answer->has_more)
        return way == DOWN && nothing_below(w, g);
    return answer->count > 0;
}

/* A guess that was answered with an empty page: there is nothing below it, or the API does not know
 * such a cursor. */
static void empty_below(struct walk *w, struct part *g)
{
    w->split->bottom = g->low;
    w->split->misses++;
    found_nothing(w, g);
}

static void part_ended(struct fetch *f, const struct api_answer *answer)
{
    struct store *s = f->store;
    struct walk *w = f->walk;
    struct part *g = f->part;
    g->ask[f->ascending ? UP : DOWN] = NULL;
    s->seq++;
    if (answer->failure.error)
        split_give_up(w); /* the walk will meet it, and tell */
    else if (answer->count == 0 && !part_stands(g) && g->low)
        empty_below(w, g);
    else if (!part_take(s, w, g, f, answer))
        split_give_up(w);
    page_caught_up(s, w);
    walk_unref(w);
}

void part_ask(struct store *s, struct walk *w, struct part *g, enum way way)
{
    struct fetch *f = fetch_new(s, part_ended);
    if (!f)
        return;
    char by[RESOURCE_ID_TEXT_MAX + 1];
    struct api_query query = listing_query(s, w->listing, by);
    /* A cursor stands before its page: the id where a way up begins is in that page. */
    query.after = way == DOWN ? g->low : g->high ? g->high - 1 : 0;
    query.ascending = f->ascending = way == UP;
    f->res = w->listing->res;
    f->walk = w;
    f->part = g;
    if (fetch_page(f, &query, NET_AHEAD, NULL) < 0)
        return;
    g->ask[way] = f;
    walk_ref(w);
}

void split_forget(struct fetch *f)
{
    for (enum way way = 0; f->part && way < WAYS; way++)
        if (f->part->ask[way] == f)
            f->part->ask[way] = NULL;
}

/* ---- the walk comes down to a part ---- */

static int part_append(struct walk *w, const struct part *g)
{
    const struct walk *up = g->run[UP], *down = g->run[DOWN];
    for (size_t i = up->count; i-- > 0;)
        if (walk_add(w, up->keys[i]) < 0)
            return -ENOMEM;
    for (size_t i = 0; i < down->count; i++)
        if (walk_add(w, down->keys[i]) < 0)
            return -ENOMEM;
    return 0;
}

int split_join(struct walk *w, bool met, bool *ret_ended)
{
    *ret_ended = false;
    if (w->order != WALK_DESCENDING)
        split_give_up(w);
    for (struct part *g; (g = part_first(w)) && (met || g->high >= walk_low(w)) && !*ret_ended;) {
        if (part_append(w, g) < 0)
            return -ENOMEM;
        const struct part *next = part_below(w, g);
        struct fetch *f = g->ask[DOWN];
        met = next && next->high == g->low;
        *ret_ended = g->low == 0;
        if (f && !met && !w->fetch) { /* it goes on as the walk's own */
            f->part = NULL;
            f->ended = page_ended;
            w->fetch = f;
            g->ask[DOWN] = NULL;
        }
        part_drop(w, g);
    }
    return 0;
}
