/*
 * api/resource: what the API has, as one const table. A row, not a case: a new resource of the
 * API is one row here (and one or more in tree/shape), and no new branch anywhere.
 *
 * Source of the rows: Systeme.io's public OpenAPI document (31 operations) and the gateway's
 * description of its connections API.
 *
 * Layer: api. Pure data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum resource {
    RES_CONTACT,
    RES_TAG,
    RES_FIELD,
    RES_COURSE,
    RES_ENROLLMENT,
    RES_COMMUNITY,
    RES_MEMBERSHIP,
    RES_SUBSCRIPTION,
    RES_WEBHOOK,
    RES_CONNECTION,
    RES_COUNT,
};

/* What an id looks like. Numbers are their own key in the store; a slug or UUID is interned. */
enum id_kind {
    ID_NUMBER, /* 1 .. RESOURCE_ID_MAX */
    ID_SLUG,   /* word characters: letters, digits, '_', and whatever Unicode calls a letter */
    ID_UUID,   /* 8-4-4-4-12 hex digits */
};

/* Ids are packed beside a kind into an inode number and a directory offset. */
#define RESOURCE_ID_MAX      ((UINT64_C(1) << 53) - 1)
#define RESOURCE_ID_TEXT_MAX 64 /* bytes of a slug or UUID */
#define RESOURCE_FILTERS     2

enum api_host {
    HOST_API,  /* api_url: Systeme.io itself, or the gateway's path to it */
    HOST_CTRL, /* ctrl_url: the gateway's own API */
};

/* A query parameter that narrows a listing to the records of one other record. */
struct resource_filter {
    const char *param; /* "course"; NULL: no such filter */
    enum resource by;  /* whose id is its value */
    /* Where a record itself names that id: "course.id", or "tags[].id" for one of many. NULL: the
     * record does not say, only the listing does. */
    const char *member;
};

struct resource_row {
    const char *name; /* for people: "contact" */
    enum api_host host;
    const char *list_path;    /* "/api/contacts" */
    const char *list_query;   /* what every listing request carries, or NULL */
    const char *items_member; /* the array in a listing's answer */
    const char *item_member;  /* what wraps a single answer, or NULL */
    bool paged;               /* limit, startingAfter, hasMore */
    bool item_get;            /* one record can be read by itself, at list_path/ID */
    bool list_needs_filter;   /* the API may refuse the listing over the whole account */
    bool writable;            /* the API can change a record */
    enum id_kind id_kind;
    const char *id_member;
    const char *name_member; /* the human name, or NULL */
    const char *name_filter; /* query parameter that finds a record by its human name, or NULL */
    const char *date_member; /* when the record was made, or NULL */
    struct resource_filter filters[RESOURCE_FILTERS];
};

extern const struct resource_row resource_rows[RES_COUNT];

static inline const struct resource_row *resource_row(enum resource res)
{
    return &resource_rows[res];
}

/* The filter of `res` by that other resource: its index, or -1. */
int resource_filter_by(enum resource res, enum resource by);

/* Whether `text` can be an id of this kind ("007" and "0" are no numbers here, so that a record
 * has one spelling). Looks at the form only. */
bool resource_id_valid(enum id_kind kind, const char *text, size_t len);
