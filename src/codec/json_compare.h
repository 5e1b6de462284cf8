/*
 * codec/json_compare: two slices side by side. For the files of codec only.
 *
 * Slices come from checked text. Nothing here fails: where memory for a sort is short, the answer
 * is the same and only slower.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "systemefs/codec/json.h"

/* Orders by characters: a string by what it says, in whatever spelling, anything else as it stands
 * in the text (so that 5 and "5" are one key). 0: the same. A zeroed slice comes last. */
int json_compare(struct json a, struct json b);

/* Whether the two mean the same: type, digits of numbers, characters of strings, elements in their
 * order, members in any. A zeroed slice is a null. An object that holds a name twice equals at most
 * itself. Near linear. */
bool json_equal(struct json a, struct json b);

/* json_member() by a name that is a slice. */
bool json_find(struct json object, struct json name, struct json *ret);

/* What stands between the quotes of a string; anything else as it is. */
struct json json_inside(struct json v);
/* Takes the first character off what json_inside() gave and did not use up. A lone surrogate comes
 * out as it is. */
uint32_t json_take_char(struct json *inside);

/* Whether all the strings in it can be sent: no NUL, no lone surrogate. */
bool json_sendable(struct json v);

/* A plain word, such as a name from a table, as a slice to compare with. It is no JSON. */
static inline struct json json_plain(const char *s)
{
    return (struct json){.p = s, .len = strlen(s)};
}
