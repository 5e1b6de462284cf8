/* Operations, the fetches they wait for, and how fetches fail. */
#include "systemefs/store/op.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "systemefs/store/save.h"

static void begin(struct store *s, struct op *op, int64_t deadline_ms)
{
    list_init(&op->waiting);
    list_init(&op->active);
    op->parked = false;
    op->expired = false;
    op->failure = (struct api_failure){0};
    op->job = NULL;
    op->about = 0;
    op->seq = ++s->seq;
    op->deadline_ms = deadline_ms;
    /* By their deadlines; most are the last. */
    struct list *before = s->ops.prev;
    while (before != &s->ops && CONTAINER_OF(before, struct op, active)->deadline_ms > deadline_ms)
        before = before->prev;
    list_prepend(before, &op->active);
}

void op_begin(struct store *s, struct op *op)
{
    begin(s, op, store_now(s) + s->timeout_ms);
}

void op_begin_for(struct store *s, struct op *op, const struct op *by)
{
    begin(s, op, by->deadline_ms);
}

void op_end(struct op *op)
{
    list_remove(&op->waiting);
    list_remove(&op->active);
    op->parked = false;
    save_unref(op->job);
    op->job = NULL;
}

int op_wait(struct op *op, struct wait_queue *queue)
{
    list_append(&queue->ops, &op->waiting);
    op->parked = true;
    return STORE_WAIT;
}

bool op_parked(const struct op *op)
{
    return op->parked;
}

void op_note(struct op *op, int error, const char *fmt, ...)
{
    op->failure = (struct api_failure){.error = error};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(op->failure.message, sizeof(op->failure.message), fmt, ap);
    va_end(ap);
}

void wait_queue_init(struct wait_queue *queue)
{
    list_init(&queue->ops);
}

void wait_queue_wake(struct store *s, struct wait_queue *queue)
{
    list_splice(&s->ready, &queue->ops);
}

static void resume(struct op *op)
{
    list_remove(&op->waiting);
    op->parked = false;
    op->resume(op);
}

void store_turn(struct store *s)
{
    struct list *node;
    int64_t now = store_now(s);

    /* Past the deadline: the handler runs once more and makes do with what is at hand. They are in
     * the order of their deadlines, so the first that is not due ends the search. */
    list_for_each_safe(it, &s->ops) {
        struct op *op = CONTAINER_OF(it, struct op, active);
        if (op->deadline_ms > now)
            break;
        list_remove(it);
        op->expired = true;
        if (op->parked) {
            list_remove(&op->waiting);
            list_append(&s->ready, &op->waiting);
        }
    }
    saves_turn(s);
    while ((node = list_first(&s->ready)))
        resume(CONTAINER_OF(node, struct op, waiting));
    texts_trim(s); /* whoever waited for a text has had it */
    if (s->shelf)
        shelf_turn(s->shelf); /* behind the replies */
}

int64_t store_next_ms(const struct store *s)
{
    if (!list_empty(&s->ready))
        return store_now(s);
    int64_t next = saves_next_ms(s);
    if (list_empty(&s->ops))
        return next;
    return MIN(next, CONTAINER_OF(s->ops.next, struct op, active)->deadline_ms);
}

/* ---- fetches ---- */

struct fetch *fetch_new(struct store *s, void (*ended)(struct fetch *, const struct api_answer *))
{
    struct fetch *f = malloc(sizeof(*f));
    if (!f)
        return NULL;
    *f = (struct fetch){.store = s, .asked = ++s->seq, .ended = ended};
    wait_queue_init(&f->waiters);
    list_append(&s->fetches, &f->all);
    return f;
}

static void fetch_done(void *data, const struct api_answer *answer)
{
    struct fetch *f = data;
    struct store *s = f->store;

    s->away_until_ms = answer->failure.away ? store_now(s) + STORE_AWAY_MS : 0;
    f->ended(f, answer);
    wait_queue_wake(s, &f->waiters);
    list_remove(&f->all);
    free(f);
}

static int64_t deadline_of(const struct store *s, const struct op *op)
{
    return op ? op->deadline_ms : store_now(s) + s->timeout_ms;
}

static int fetch_started(struct fetch *f, enum net_priority priority, struct api_call *call)
{
    if (!call) {
        list_remove(&f->all);
        free(f);
        return -ENOMEM;
    }
    f->priority = priority;
    f->call = call;
    return 0;
}

int fetch_record(struct fetch *f, const char *id, enum net_priority priority, const struct op *op)
{
    return fetch_started(f, priority,
                         api_get_record(f->store->api, f->res, id, priority,
                                        deadline_of(f->store, op), fetch_done, f));
}

int fetch_page(struct fetch *f, const struct api_query *query, enum net_priority priority,
               const struct op *op)
{
    return fetch_started(f, priority,
                         api_get_page(f->store->api, query, priority, deadline_of(f->store, op),
                                      fetch_done, f));
}

int fetch_wait(struct fetch *f, struct op *op, enum net_priority priority)
{
    f->priority = MIN(f->priority, priority);
    api_urge(f->store->api, f->call, f->priority, op->deadline_ms);
    return op_wait(op, &f->waiters);
}

/* ---- failures ---- */

void trouble_set(struct store *s, struct trouble **t, const struct api_failure *failure)
{
    if (!failure) {
        free(*t);
        *t = NULL;
        return;
    }
    if (!*t)
        *t = malloc(sizeof(**t));
    if (*t)
        **t = (struct trouble){.failure = *failure, .seq = ++s->seq, .at_ms = store_now(s)};
}

bool trouble_applies(const struct store *s, const struct trouble *t, const struct op *op,
                     bool older_copy)
{
    if (older_copy && store_now(s) < s->away_until_ms)
        return true;
    if (!t)
        return false;
    if (t->seq > op->seq)
        return true;
    return op->follow_up && t->seq > s->refreshed && store_now(s) - t->at_ms < STORE_REPEAT_MS;
}

int trouble_fail(struct op *op, const struct trouble *t)
{
    op->failure = t->failure;
    return t->failure.error;
}
