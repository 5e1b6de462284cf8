/*
 * sandbox/changes: changes behind the client's back, for POST /_sandbox/world.
 *
 * They follow no rules of the API and are counted nowhere: another tool, or a person in the
 * dashboard, did them.
 */
#pragma once

#include <cjson/cJSON.h>

#include "world.h"

/* Carries out one {"op":"...", ...}. The caller holds the write lock. Returns NULL, or why not;
 * *ret_id is the new record's number, or 0. */
const char *changes_apply(struct world *w, const cJSON *body, int64_t *ret_id);
/* Sizes and ends of the world, for GET. */
void changes_describe(const struct world *w, struct buf *out);
