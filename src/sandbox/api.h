/*
 * sandbox/api: the 31 operations as a table, and the order of checks.
 *
 * route (404), method (405), key (401), quota (429), content type (415), JSON syntax and types
 * (400), the record (404), values (422), then the operation itself. Operations run under the
 * world's lock: shared for GET, exclusive for the rest.
 */
#pragma once

#include <pthread.h>

#include "message.h"
#include "quota.h"
#include "world.h"

struct operation;

/* What a request asks for; found before anything else, so that it can be counted. */
struct route {
    const struct operation *operation; /* NULL: none */
    bool path_known;                   /* the path exists, if with another method */
    const char *argument[2];           /* what stood for {..} in the pattern */
};

enum key_state {
    KEY_GOOD,
    KEY_MISSING,
    KEY_WRONG,
};

/* The world and what guards it. */
struct api {
    struct world *world;
    pthread_rwlock_t lock;
    struct quota quota;
};

void api_route(const struct request *req, struct route *ret);
/* "GET /api/contacts/{id}" for the n-th operation, NULL past the last. */
const char *api_operation_name(size_t n, char *out, size_t size);
/* Which operation it is; api_operation_count() where there is none. */
size_t api_operation_number(const struct route *route);
size_t api_operation_count(void);

void api_answer(struct api *api, const struct request *req, const struct route *route,
                enum key_state key, struct response *res);
