/*
 * api/resource: what the API has, as one const table. A row, not a case: a new resource of the
 * API is one row here (and one or more in tree/shape), and no new branch anywhere.
 *
 * Source of the rows: Systeme.io's public OpenAPI document (31 operations) and the gateway's
 * description of its connections API.
 *
 * Layer: api. Pure data; calls codec and net for types only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "systemefs/codec/patch.h"
#include "systemefs/net/transport.h"

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
    /* What a new record calls that id ("courseId"), where a directory below the other record says
     * it; NULL: a record of this collection is not made below the other one. */
    const char *create_member;
};

/* A set inside a record whose items are put in and taken out by a call each: the tags of a contact.
 * POST item/PATH with {"ADD_MEMBER": id}, DELETE item/PATH/id. */
struct resource_set {
    const char *member; /* the array in the record, "tags"; NULL: no such set */
    const char *path;   /* below the record's own path: "tags" */
    const char *add_member;
    enum resource res; /* what the items are */
};

/* A word that may be written to a record's action file, and the body that it sends. */
struct resource_word {
    const char *word;
    const char *body;
};
#define RESOURCE_WORDS 2

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
    /* What a new record or a change may send; NULL: nothing. */
    const struct patch_member *members;
    const char *create_path; /* POST; %s: the member with in_path. NULL: the API makes none */
    const char *create_body; /* the whole of it, where nothing is for a person to say */
    bool create_later;       /* answered 202 without a record: it has to be looked for */
    bool can_save;
    enum http_method save; /* PATCH or PUT */
    bool can_remove;
    /* What may be made by a name alone (mkdir): the members that the name is the value of; or the
     * one name there is (where create_body says the rest). */
    const char *named_by[2];
    const char *make_name;
    const char
        *grant_member; /* in a new record made by name alone: what the access_type option says */
    struct resource_set set;
    bool shown_in_contacts; /* each contact shows all of them */
    const char *action;     /* POST item/ACTION with one of the words */
    struct resource_word words[RESOURCE_WORDS];
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
