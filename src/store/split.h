/* split.h: what split.c (where to begin, and what it may cost) and part.c (pages, and where parts
 * meet) share. Nobody else includes it. */
#pragma once

#include "internal.h"

enum way { DOWN, UP, WAYS };

/* A run of records somewhere below the walk: all that there are from `low` to `high`. */
struct part {
    struct list all;         /* in split.parts, highest ids first */
    uint64_t low, high;      /* its records are from `low` on and below `high`; low 0: the end */
    struct walk *run[WAYS];  /* from the beginning down, and up */
    struct fetch *ask[WAYS]; /* under way */
    uint64_t barren;         /* from `high` up to there guesses have found nothing */
    unsigned misses;         /* what began in the gap above it and brought nothing new */
};

struct split {
    struct list parts;
    size_t twice;    /* records that came twice; a page that brought nothing is a page of them */
    uint64_t bottom; /* below this id a guess has found nothing; 0: none has */
    unsigned misses; /* how many have not */
    bool no_guess;   /* the API does not take any id for a cursor */
    bool off;        /* given up */
};

/* NULL: no memory. `behind`: the one above it, or the list. */
struct part *part_new(struct list *behind, uint64_t from);
void part_drop(struct walk *w, struct part *g);
void part_ask(struct store *s, struct walk *w, struct part *g, enum way way);
bool part_has(const struct part *g, uint64_t key);
/* It has brought something: otherwise it is a guess. */
bool part_stands(const struct part *g);
/* The next one; NULL above: the walk itself, below: there is none. */
struct part *part_above(const struct walk *w, const struct part *g);
struct part *part_below(const struct walk *w, const struct part *g);
struct part *part_first(const struct walk *w);
struct part *part_last(const struct walk *w);

/* How many ids a page of the walk spans, as a rule. */
uint64_t split_span(const struct walk *w);

/* The lowest id that is known from the top down. */
static inline uint64_t walk_low(const struct walk *w)
{
    return w->keys[w->count - 1];
}
