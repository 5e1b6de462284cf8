/*
 * store/op: an operation of a person, which may have to wait.
 *
 * A handler is a function over the store, written top to bottom. Where something is missing, the
 * store starts (or joins) a fetch, parks the operation on it and returns STORE_WAIT; the handler
 * returns that at once and keeps no state of its own. When the fetch ends, in success or failure,
 * the operation is resumed: its handler runs again from its first line, like an instruction
 * after a page fault. Sixteen readers of one thing park on one fetch.
 *
 * So that a second run does not ask again what the first has asked, everything that is answered
 * gets a number from the same row as the operations do: what was answered after an operation
 * began counts as fresh for it, even with a TTL of 0, and what failed after it began has failed.
 *
 *   op_begin -> handler -> STORE_WAIT -> (fetch ends) -> resume -> handler -> ... -> op_end
 *
 * Layer: store. The memory of an op belongs to whoever began it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "systemefs/api/errors.h"
#include "systemefs/base/list.h"

struct store;
struct save;

/* What a call returns that has parked the operation; never an errno. */
#define STORE_WAIT 1

/* Operations that wait for the same thing. */
struct wait_queue {
    struct list ops;
};

struct op {
    /* set before op_begin() */
    void (*resume)(struct op *op); /* runs the handler again; never called from inside the store's
                                    * own calls, only from store_turn() */
    /* A follow-up of an operation that has just asked (the open after a lookup): a failure that is
     * a moment old is answered again rather than provoked again. */
    bool follow_up;
    int caller; /* thread id of who asks, 0: not known */

    /* for the handler to read */
    bool expired;               /* the deadline has passed: only what is at hand can be had */
    struct api_failure failure; /* why the last call failed */
    uint64_t about;   /* for the layer above: the inode that a failure is about, 0: not known */
    struct save *job; /* what it has set going: must not begin a second time */

    /* private to the store */
    struct list waiting; /* in a wait queue or the ready list */
    struct list active;
    uint64_t seq;
    int64_t deadline_ms;
    bool parked;
};

/* Starts the clock: the deadline is `timeout` from now. */
void op_begin(struct store *s, struct op *op);
/* The same for what `by` has set going, and waits for: it has no longer than that. */
void op_begin_for(struct store *s, struct op *op, const struct op *by);
/* Takes it out of every list. Safe at any time between begin and the next begin. */
void op_end(struct op *op);
/* Parks it on a queue and returns STORE_WAIT. */
int op_wait(struct op *op, struct wait_queue *queue);
/* Whether it waits. */
bool op_parked(const struct op *op);
void op_note(struct op *op, int error, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Notes the reason and returns `error` (-errno). Here, so that a static analyzer, which reads one
 * file at a time, sees that it is never 0. */
#define op_fail(op, error, ...) (op_note((op), (error), __VA_ARGS__), op_failed(error))

static inline int op_failed(int error)
{
    return error;
}

void wait_queue_init(struct wait_queue *queue);
/* Makes all that wait ready to run. The queue may be freed afterwards. */
void wait_queue_wake(struct store *s, struct wait_queue *queue);
