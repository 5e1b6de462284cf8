/*
 * api/api: a request from a row of the table, and the answer checked for its shape.
 *
 * The layer knows URLs, headers, JSON members and pages; it keeps nothing. An answer is handed
 * on as slices of its checked text. Whatever a server sends that the API does not promise (not
 * JSON, no `items`, a record without its id, an id of the wrong type) ends here as -EBADMSG.
 *
 * The key is put into a header line once, at creation. Where a server echoes it, its bytes are
 * overwritten with '*' before anybody looks at the text.
 *
 * Layer: api. Calls net and codec.
 */
#pragma once

#include "systemefs/api/errors.h"
#include "systemefs/api/resource.h"
#include "systemefs/codec/json.h"
#include "systemefs/net/net.h"

#define API_PAGE_LIMIT 100                /* the API's own maximum */
#define API_BODY_MAX   ((size_t)16 << 20) /* bytes of one answer */
#define API_TEXT_MAX   ((size_t)1 << 20)  /* bytes of one record */

struct api;

struct api_options {
    struct net *net;
    bool gateway;           /* how the key travels, and how a 400 is read */
    const char *api_url;    /* without a trailing '/' */
    const char *ctrl_url;   /* NULL: no connections */
    const char *connection; /* gateway connection id, or NULL */
    const char *key;
};

int api_create(const struct api_options *options, struct api **ret);
/* Calls under way must have ended. Accepts NULL; wipes its copy of the key. */
void api_destroy(struct api *a);

/* Whether this resource can be asked for at all (connections need the gateway). */
bool api_has(const struct api *a, enum resource res);
/* Appends the URL of a listing (`id` NULL) or of one record. For people and for requests. */
int api_url(const struct api *a, enum resource res, const char *id, struct buf *out);

/* A page of a listing. */
struct api_query {
    enum resource res;
    int filter;     /* index into the row's filters, -1: none */
    const char *by; /* the filter's value, an id as text */
    int filter2;    /* a second one behind the first; 0: none */
    const char *by2;
    const char *name; /* find by human name (the row's name_filter), or NULL */
    uint64_t after;   /* startingAfter, 0: the first page */
    bool ascending;   /* order=asc; otherwise the API's own order, newest first */
};

/* A request that changes something. */
struct api_change {
    enum resource res;
    enum http_method method; /* POST, PUT, PATCH, DELETE */
    const char *path;        /* of the API: see api_item_path() and the row's create_path */
    const char *body;        /* compact JSON, or NULL */
    size_t body_len;
};

/* A record in an answer: an object, and its id as text. */
struct api_item {
    struct json json;
    char id[RESOURCE_ID_TEXT_MAX + 1];
};

/* What a call ends in. It lives until done() returns. */
struct api_answer {
    struct api_failure failure;   /* failure.error 0: all is well */
    struct api_item record;       /* of api_get_record(), and of a change whose answer holds one;
                                   * else zeroed */
    const struct api_item *items; /* of api_get_page() */
    size_t count;                 /* of items */
    bool has_more;
};
typedef void api_done_fn(void *data, const struct api_answer *answer);

struct api_call;

/* Both return NULL when out of memory; otherwise done() is called once, never from inside. */
struct api_call *api_get_record(struct api *a, enum resource res, const char *id,
                                enum net_priority priority, int64_t deadline_ms, api_done_fn *done,
                                void *data);
struct api_call *api_get_page(struct api *a, const struct api_query *query,
                              enum net_priority priority, int64_t deadline_ms, api_done_fn *done,
                              void *data);
/*
 * A POST is sent once: whatever happens to its answer. The others are repeated within the deadline.
 * A DELETE that was sent more than once and meets 404 has succeeded. Where it was sent and the
 * answer does not say what became of it (lost, 5xx, not what the API promises), failure.maybe is
 * set, and the message says so.
 */
struct api_call *api_change(struct api *a, const struct api_change *change, int64_t deadline_ms,
                            api_done_fn *done, void *data);
/* Appends the path of a record: "/api/contacts/5". */
int api_item_path(enum resource res, const char *id, struct buf *out);
/* Requests that the account's quota leaves now, -1: not known. */
int64_t api_quota_left(const struct api *a);
void api_urge(struct api *a, struct api_call *call, enum net_priority priority,
              int64_t deadline_ms);
void api_cancel(struct api *a, struct api_call *call);

/* The id of a record as text. False when it has none of the row's kind. */
bool api_record_id(enum resource res, struct json record, char out[RESOURCE_ID_TEXT_MAX + 1]);
/* Walks `path` ("course.id", "tags[].id") in a record and calls `each` with every value there. */
void api_member_each(struct json record, const char *path,
                     void (*each)(void *data, struct json value), void *data);
