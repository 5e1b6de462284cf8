/*
 * tree/journal: the last failures and the last API requests, kept to be read.
 *
 * Two rings: JOURNAL_ERRORS failures (each with the path that a person used) and
 * JOURNAL_REQUESTS exchanges. A key is in neither: requests keep the path and query only, and
 * messages come redacted from api/.
 *
 * Layer: tree. Calls base, codec, net (types).
 */
#pragma once

#include "systemefs/api/errors.h"
#include "systemefs/base/buf.h"
#include "systemefs/base/clock.h"
#include "systemefs/net/net.h"

#define JOURNAL_ERRORS   100
#define JOURNAL_REQUESTS 1000

struct journal;

struct journal *journal_create(const struct clock *clock);
void journal_destroy(struct journal *j);

/* A failure of an operation on `path`. `ino` is the node that failed, 0 when it has none;
 * `parent` the directory in which it was looked for, or 0. The same failure told again (same
 * request, same path) is one line. Also goes to the log. */
void journal_failure(struct journal *j, const char *operation, const char *path, uint64_t ino,
                     uint64_t parent, const struct api_failure *failure);
/* The node has been opened or read (`change`: changed): its old failures to do so are over. That it
 * can be read does not end that it could not be saved. */
void journal_clear(struct journal *j, uint64_t ino, const char *path, bool change);
/* The newest failure of that node, of that path, or right below that directory, as one line of text
 * without a newline ("request 12: HTTP 403: ..."); false when there is none. */
bool journal_error_of(const struct journal *j, uint64_t ino, const char *path, struct buf *out);
/* Whether an operation of that name is one that changes something. */
bool journal_is_change(const char *operation);

/* A net_observer_fn; data is the journal. `base_len` bytes of scheme and host are left out. */
void journal_exchange(void *data, const struct net_exchange *exchange);

/* The contents of .systemefs/errors and .systemefs/requests, oldest first, one a line. */
int journal_print_errors(const struct journal *j, struct buf *out);
int journal_print_requests(const struct journal *j, struct buf *out);

struct journal_counts {
    uint64_t failures;
    uint64_t requests;
    uint64_t bytes;
    uint64_t by_class[6]; /* answers by status / 100; [0]: none */
};
void journal_get_counts(const struct journal *j, struct journal_counts *ret);
