/*
 * api/errors: what came back -> one errno and one sentence. The only place where an HTTP status
 * or a network failure becomes an errno; a table, with a test for each line.
 *
 * Layer: api. Calls net (types only) and codec/json.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "systemefs/net/net.h"

#define API_MESSAGE_MAX 512 /* bytes of a reason */

/* Why something failed, for a person and for the `errors` file. */
struct api_failure {
    int error;       /* -errno; 0: no failure */
    int status;      /* HTTP status, 0 when there was none */
    uint64_t number; /* request number, 0 when nothing was asked */
    bool away;       /* the API could not be reached, timed out, or answered 5xx: an older copy
                      * may be served in its place */
    bool maybe;      /* of a change: it was sent, and whether it was carried out is not known */
    char message[API_MESSAGE_MAX];
};

/*
 * Judges how a call ended. `ret` is filled in whole; ret->error 0 means a 2xx answer. `gateway`
 * says whether the gateway stands between (its 400 without a problem document means that no
 * connection is active); `listing` whether a whole collection was asked for (its 404 means that
 * the API does not offer it: a directory that exists must not look empty).
 */
void api_judge(const struct net_result *result, bool gateway, bool listing,
               struct api_failure *ret);

/* Fills `ret` for something that went wrong here: an answer of the wrong shape, no memory, ... */
void api_failure_set(struct api_failure *ret, int error, uint64_t number, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
