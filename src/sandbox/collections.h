/*
 * sandbox/collections: every list of the API over one walker.
 *
 * A list compares ids with the cursor and never looks for the cursor's own record, so one that was
 * deleted between two pages does no harm. Finding the cursor is a binary search; a page costs its
 * own records, and with a filter the records it passes over.
 */
#pragma once

#include "message.h"
#include "rules.h"
#include "world.h"

struct collection {
    const struct param_rule *params; /* what its query takes */
    bool unpaged;                    /* all of it in one answer */
    size_t (*count)(const struct world *w);
    int64_t (*id)(const struct world *w, size_t pos);
    /* The first position with at least this id. */
    size_t (*lower)(const struct world *w, int64_t id);
    /* Is it there, and does the filter let it through? */
    bool (*match)(const struct world *w, const struct filter *f, size_t pos);
    void (*render)(const struct world *w, size_t pos, struct buf *out);
    /* Where the filter names one record: false if there is none. NULL: no such filter. */
    bool (*pin)(const struct world *w, const struct filter *f, size_t *ret_pos);
};

extern const struct collection collection_contacts, collection_tags, collection_fields,
    collection_courses, collection_enrollments, collection_communities, collection_memberships,
    collection_subscriptions, collection_all_subscriptions, collection_webhooks;

/* Answers a list request: {"items":[..],"hasMore":..}, or the 422 of its query. */
void collection_list(const struct world *w, const struct collection *c, const struct request *req,
                     struct response *res);
