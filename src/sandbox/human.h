/*
 * sandbox/human: the contacts as the seed makes them.
 *
 * Contact number `pos` is made again whenever somebody looks, from draws that belong to (seed,
 * pos) alone; nothing is stored. Once a contact is changed, contacts.c copies what stands here
 * into an edit and asks no more.
 *
 * Texts are constants or lie in the caller's HUMAN_TEXT bytes.
 */
#pragma once

#include "names.h"
#include "world.h"

#define HUMAN_TEXT 160 /* bytes for an address, a URL or a value */

struct human {
    const struct culture *culture;
    const struct name *first, *last;
    const struct person *known; /* or NULL */
};

struct human human_at(const struct world *w, size_t pos);
const char *human_email(const struct human *h, size_t pos, char out[HUMAN_TEXT]);
/* NULL where there is none. */
const char *human_source(const struct world *w, size_t pos, char out[HUMAN_TEXT]);
/* The value of a field, or NULL. */
const char *human_value(const struct world *w, const struct human *h, size_t pos, size_t field,
                        enum field_kind kind, char scratch[HUMAN_TEXT]);
/* Positions in w->tags, ascending. Low positions are common, the last tag belongs to nobody. */
size_t human_tags(const struct world *w, size_t pos, size_t out[WORLD_TAGS_A_CONTACT]);
/* Unix seconds, growing with the position. */
int64_t human_registered(const struct world *w, size_t pos);
void human_flags(const struct world *w, size_t pos, bool *unsubscribed, bool *bounced,
                 bool *needs_confirmation);
/* The position whose address this is. */
bool human_find_email(const struct world *w, const char *email, size_t *ret_pos);
