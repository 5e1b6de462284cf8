/* sim: an account of thousands, whose listing is read in several places at once. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LOWEST    101 /* the ids of those whom people know are below */
#define BURST_MAX 80
#define ROW_MAX   200 /* neighbours that are removed at once: more than a page */

static void put(struct sim *s, uint64_t id, uint64_t turn)
{
    world_putf(&s->w, RES_CONTACT,
               "{\"id\":%" PRIu64 ",\"email\":\"b%" PRIu64 "@example.net\",\"locale\":\"%" PRIu64
               "\",\"fields\":[],\"tags\":[]}",
               id, id, turn);
}

/* From one id to the next higher one. */
static uint64_t step(enum id_pattern ids, struct rng *rng, unsigned at, unsigned all)
{
    if (ids == IDS_LOOSE)
        return 1 + rng_below(rng, 5);
    if (ids == IDS_CLUSTERS)
        return rng_below(rng, 150) ? 1 : 1 + rng_below(rng, 3000);
    if (ids == IDS_LEAP)
        return at == all / 3 ? 100000 : 1 + rng_below(rng, 2);
    return 1;
}

void long_fill(struct sim *s)
{
    const struct plan *p = s->plan;
    struct rng rng = {.state = p->seed};
    uint64_t *ids = calloc(p->bulk + 1, sizeof(*ids)), id = LOWEST;
    assert_non_null(ids);
    for (unsigned i = 0; i < p->bulk; i++) {
        ids[i] = id;
        id += step(p->ids, &rng, i, p->bulk);
    }
    for (unsigned i = p->bulk; i-- > 0;) /* the highest first, as the world likes it */
        put(s, ids[i], 0);
    free(ids);
    if (p->bulk)
        s->w.made = 10000000; /* what is new comes first */
    s->w.ignores_order = p->ignores_order;
    /* Not CURSOR_SKIPS: nobody could know. */
    if (p->cursors_must_exist)
        s->w.strange_cursor = rng_below(&rng, 2) ? CURSOR_EMPTY : CURSOR_FIRST;
}

struct entity *long_any(struct sim *s, struct rng *rng)
{
    for (unsigned i = 0; s->plan->bulk && i < 100; i++) {
        struct entity *e = s->entities[rng_below(rng, s->entity_count)];
        if (e->bulk && entity_now(e))
            return e;
    }
    return NULL;
}

static void remove_row(struct sim *s, const struct entity *first, uint64_t count)
{
    const struct world_table *t = &s->w.tables[RES_CONTACT];
    uint64_t from = strtoull(first->id, NULL, 10);
    for (size_t i = t->count; i-- > 0 && count > 0;)
        if (t->rows[i].number >= from) {
            const struct entity *e = server_find(s, RES_CONTACT, t->rows[i].id);
            if (!e || !e->bulk)
                return;
            world_remove(&s->w, RES_CONTACT, t->rows[i].id);
            count--;
        }
}

void long_burst(struct sim *s, struct rng *rng)
{
    /* Where a cursor must be somebody's, nobody goes: a walk that stands on one would miss what is
     * behind it, and nobody could know. */
    uint64_t kinds = s->plan->cursors_must_exist ? 2 : 4, count = 1 + rng_below(rng, BURST_MAX);
    uint64_t row = rng_below(rng, 3) == 0 ? 1 + rng_below(rng, ROW_MAX) : 0;
    for (uint64_t i = 0; i < count; i++) {
        struct entity *e = long_any(s, rng);
        uint64_t what = rng_below(rng, kinds);
        if (!e)
            break;
        if (what == 0)
            put(s, strtoull(e->id, NULL, 10), ++s->tick);
        else if (what == 1)
            put(s, 10009001 + s->w.made++, 0);
        else
            world_remove(&s->w, RES_CONTACT, e->id);
        if (what >= 2)
            server_note(s);
    }
    struct entity *first = row && kinds > 2 ? long_any(s, rng) : NULL;
    if (first)
        remove_row(s, first, row);
    server_note(s);
    sim_trace(s, "another tool changes %" PRIu64 " of the many, and removes %" PRIu64 " neighbours",
              count, first ? row : 0);
}
