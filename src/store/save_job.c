/* A change as an object: its life, what it tells, and all of them together. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "save_internal.h"

/* ---- life ---- */

void save_ref(struct save *job)
{
    job->refs++;
}

void save_unref(struct save *job)
{
    if (!job || --job->refs)
        return;
    patch_finish(&job->patch);
    buf_finish(&job->done);
    buf_finish(&job->composed);
    free(job->items);
    free(job->path);
    free(job->document);
    free(job->base_text);
    free(job->seen_text);
    free(job->body);
    free(job->taken);
    free(job->trashed);
    free(job);
}

static char *copy_of(const char *s)
{
    return s ? strdup(s) : NULL;
}

struct save *save_new(struct store *s, const struct save_order *order)
{
    struct save *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    *job = (struct save){
        .store = s,
        .refs = 1,
        .kind = order->kind,
        .res = order->res,
        .key = order->key,
        .filter = order->kind == SAVE_CREATE ? order->filter : -1,
        .by = order->by,
        .grant = order->grant,
        .item = order->item,
        .path = copy_of(order->path),
        .body = copy_of(order->body),
        .taken = copy_of(order->taken),
        .base_text = copy_of(order->base),
        .document = order->document ? strdup(order->document)
                    : order->text   ? strndup(order->text, order->text_len)
                                    : NULL,
    };
    patch_init(&job->patch);
    buf_init(&job->done, API_MESSAGE_MAX);
    buf_init(&job->composed, 2 * PATCH_TEXT_MAX);
    list_init(&job->all);
    wait_queue_init(&job->ended);
    wait_queue_init(&job->answered);
    bool missing = !job->path || (order->taken && !job->taken) || (order->body && !job->body) ||
                   (order->base && !job->base_text) ||
                   ((order->document || order->text) && !job->document);
    if (missing) {
        save_unref(job);
        return NULL;
    }
    return job;
}

enum save_state save_state(const struct save *job)
{
    return job->state;
}

bool save_changed(const struct save *job)
{
    return job->step > 0 && !job->store->dry_run;
}

const char *save_document(const struct save *job)
{
    return job->document ? job->document : "";
}

uint64_t save_key(const struct save *job)
{
    return job->kind == SAVE_CREATE ? job->made : job->key;
}

/* ---- the store's side ---- */

void saves_turn(struct store *s)
{
    int64_t now = store_now(s);
    list_for_each(it, &s->saves) {
        struct save *job = CONTAINER_OF(it, struct save, all);
        if (job->wake_ms && job->wake_ms <= now && !job->looking && job->state == SAVE_SETTLING)
            wait_queue_wake(s, &job->answered);
    }
}

int64_t saves_next_ms(const struct store *s)
{
    int64_t next = INT64_MAX;
    list_for_each(it, &s->saves) {
        const struct save *job = CONTAINER_OF(it, struct save, all);
        if (job->wake_ms && !job->looking && job->state == SAVE_SETTLING)
            next = MIN(next, job->wake_ms);
    }
    return next;
}

void saves_end_all(struct store *s)
{
    /* First all of them are taken out of the queues that they have with each other. */
    list_for_each(it, &s->saves) {
        struct save *job = CONTAINER_OF(it, struct save, all);
        if (job->call)
            api_cancel(s->api, job->call);
        op_end(&job->op);
    }
    list_for_each_safe(it, &s->saves) {
        list_remove(it);
        save_unref(CONTAINER_OF(it, struct save, all));
    }
}

bool store_saving(const struct store *s)
{
    return !list_empty(&s->saves);
}
