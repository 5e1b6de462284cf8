#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "text.h"

int64_t world_now(const struct world *w)
{
    return clock_wall_ns(w->clock) / 1000000000;
}

int64_t world_now_ms(const struct world *w)
{
    return clock_mono_ms(w->clock);
}

uint64_t world_draw(const struct world *w, size_t pos, unsigned salt)
{
    struct rng rng = {.state = (uint64_t)w->settings->seed * 0xd6e8feb86659fd93ULL +
                               (uint64_t)pos * 64 + salt};
    return rng_next(&rng);
}

/* Version 7: the ones seen live sort by time. */
void world_uuid(struct rng *rng, int64_t unix_ms, char out[UUID_TEXT])
{
    uint64_t a = rng_next(rng), b = rng_next(rng), ms = (uint64_t)unix_ms;
    snprintf(out, UUID_TEXT, "%08x-%04x-7%03x-%04x-%04x%08x", (unsigned)(ms >> 16 & 0xffffffff),
             (unsigned)(ms & 0xffff), (unsigned)(a & 0xfff),
             (unsigned)(0x8000 | (a >> 12 & 0x3fff)), (unsigned)(b & 0xffff),
             (unsigned)(b >> 16 & 0xffffffff));
}

void *rows_at(const struct rows *rows, size_t pos)
{
    return (char *)rows->data + pos * rows->size;
}

void *rows_add(struct world *w, struct rows *rows, int64_t id)
{
    if (rows->count == rows->cap) {
        rows->cap = rows->cap ? rows->cap * 2 : 64;
        rows->data = must(realloc(rows->data, rows->cap * rows->size));
    }
    if (!id) {
        const struct row *last = rows->count ? rows_at(rows, rows->count - 1) : NULL;
        id = (last ? last->id : 0) + 1 + (int64_t)rng_below(&w->rng, 9);
    }
    struct row *row = rows_at(rows, rows->count++);
    memset(row, 0, rows->size);
    row->id = id;
    return row;
}

size_t rows_lower(const struct rows *rows, int64_t id)
{
    size_t low = 0, high = rows->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct row *row = rows_at(rows, mid);
        if (row->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void *rows_find(const struct rows *rows, int64_t id)
{
    size_t pos = rows_lower(rows, id);
    if (pos == rows->count)
        return NULL;
    struct row *row = rows_at(rows, pos);
    return row->id == id && !row->gone ? row : NULL;
}

size_t rows_live(const struct rows *rows)
{
    size_t live = 0;
    for (size_t i = 0; i < rows->count; i++)
        live += !((const struct row *)rows_at(rows, i))->gone;
    return live;
}

struct world *world_create(const struct settings *settings, const struct clock *clock)
{
    struct world *w = must(calloc(1, sizeof(*w)));
    *w = (struct world){
        .settings = settings,
        .clock = clock,
        .rng = {.state = (uint64_t)settings->seed},
        .tags = {.size = sizeof(struct tag)},
        .fields = {.size = sizeof(struct field)},
        .courses = {.size = sizeof(struct course)},
        .communities = {.size = sizeof(struct community)},
        .enrollments = {.size = sizeof(struct enrollment)},
        .memberships = {.size = sizeof(struct membership)},
        .subscriptions = {.size = sizeof(struct subscription)},
        .webhooks = {.size = sizeof(struct webhook)},
        .connections = {.size = sizeof(struct connection)},
    };
    catalogue_create(w);
    contacts_create(w);
    relations_create(w);
    hooks_create(w);
    return w;
}

void world_destroy(struct world *w)
{
    if (!w)
        return;
    hooks_destroy(w);
    relations_destroy(w);
    contacts_destroy(w);
    catalogue_destroy(w);
    free(w);
}
