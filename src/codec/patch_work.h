/*
 * codec/patch_work: one comparison, between patch.c (members, one by one) and patch_arrays.c (the
 * kinds that are compared entry by entry). For the patch files only.
 *
 * A new record is compared too: with one that has no members.
 */
#pragma once

#include "patch_list.h"

struct patch_work {
    const struct patch_member *members;
    struct json base, mine, theirs; /* theirs zeroed: as base */
    struct json seen;               /* zeroed: nobody has looked */
    bool create;
    struct patch *ret;
    size_t place; /* of the member of mine that is looked at */

    /* Pairs go into one array, whether they stand in the member of that kind or under an alias. */
    const char *pairs_name;
    struct patch_list pairs; /* all that mine names; `skip`: nothing to send */
    size_t pairs_place;      /* the member of the first that is to be sent */
};

/* What to do about the member of `row` in mine. 0, -EINVAL, -ESTALE, or the buffer's error. */
typedef int patch_take(struct patch_work *w, const struct patch_member *row, struct json mine);
patch_take patch_take_pairs; /* also an alias */
patch_take patch_take_set;
patch_take patch_take_events;

/* Reads and judges all pairs of mine: before the first patch_take_pairs(). */
int patch_collect_pairs(struct patch_work *w);

/* The row of a member, or NULL. */
const struct patch_member *patch_row(const struct patch_work *w, struct json name);
/* Whether the API takes it here, in a new record or in a change. */
bool patch_allowed(const struct patch_work *w, const struct patch_member *row);

/* A value as each side has it; zeroed: not at all. */
struct patch_values {
    struct json base, mine, theirs, seen;
};

/* Whether a value is to be sent: it differs from base, and is not so already in theirs. -ESTALE:
 * theirs has something else, and not what was seen. */
int patch_judge(struct patch_work *w, struct json name, const struct patch_values *v,
                bool *ret_send);

/* Into the body: a name with its ':', and what can be sent of a value; `name` says whose it is. */
void patch_put_name(struct patch_work *w, const char *name);
int patch_put_value(struct patch_work *w, struct json name, struct json v);

int patch_fail_unsendable(struct patch_work *w, struct json name);
int patch_fail_conflict(struct patch_work *w, struct json name);
