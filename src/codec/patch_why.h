/*
 * codec/patch_why: reasons. For the patch files only.
 *
 * A reason is one line that fits into PATCH_WHY_MAX. What comes out of a text stands in it quoted:
 * escaped and cut to QUOTE_MAX, so that no name pushes the sentence around it out of the line.
 */
#pragma once

#include "systemefs/base/macros.h"
#include "systemefs/codec/patch.h"

#define QUOTE_MAX 80 /* bytes, with both quotes and the NUL */

struct patch_quote {
    char text[QUOTE_MAX];
};

/* A string, or anything else as it stands, in double quotes: control characters and what would end
 * the line as \u00xx; cut at a character, with "..." in the place of the rest. */
struct patch_quote patch_quote(struct json v);
#define QUOTE(v) patch_quote(v).text

/* Writes the reason, PATCH_WHY_MAX bytes; returns `error`. At most three QUOTE()s. */
int patch_fail(char *why, int error, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The member of the table whose name is one typo away (a character more, less or other, or two that
 * changed places), or NULL. */
const struct patch_member *patch_meant(const struct patch_member *members, struct json name);
