/*
 * Texts: how much of them is kept, and which goes first.
 *
 * A clock over the texts in the order in which they came: the oldest goes, unless it was used since
 * it was last looked at; then it is the youngest again. What has just come counts as used, or else
 * a page would be gone before those that were read before it. The queue costs 8 bytes a text, and
 * nothing where there is no bound; what is in it by the name of a record that has gone, or has no
 * text any more, is left out when its turn comes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LOG_MODULE "store"
#include "systemefs/base/log.h"

_Static_assert(RES_COUNT <= 1 << (64 - STORE_KEY_BITS), "a resource fits beside a key");

/* Whether it can be had again in good company. */
static bool may_go(const struct store *s, enum resource res)
{
    const struct resource_row *row = resource_row(res);
    return s->cache_size && row->paged && row->item_get && row->id_kind == ID_NUMBER;
}

static struct record *entry_record(const struct store *s, size_t i, enum resource *ret_res)
{
    uint64_t entry = s->texts.entries[(s->texts.head + i) & (s->texts.cap - 1)];
    *ret_res = (enum resource)(entry >> STORE_KEY_BITS);
    return record_lookup(s, *ret_res, entry & ((UINT64_C(1) << STORE_KEY_BITS) - 1));
}

static struct record *queue_at(const struct store *s, size_t i, enum resource *ret_res)
{
    struct record *rec = entry_record(s, i, ret_res);
    return rec && rec->queued ? rec : NULL;
}

static void queue_push(struct text_queue *q, uint64_t entry)
{
    q->entries[(q->head + q->count++) & (q->cap - 1)] = entry;
}

static uint64_t queue_pop(struct text_queue *q)
{
    uint64_t entry = q->entries[q->head];
    q->head = (q->head + 1) & (q->cap - 1);
    q->count--;
    return entry;
}

/* Room for one more: first that of records which have gone, then twice as much. */
static int queue_grow(struct store *s)
{
    struct text_queue *q = &s->texts;
    enum resource res;
    for (size_t n = q->count; n; n--) {
        struct record *rec = queue_at(s, 0, &res);
        uint64_t entry = queue_pop(q);
        if (rec && rec->text)
            queue_push(q, entry);
        if (rec)
            rec->queued = false; /* a second entry of it is left out */
    }
    for (size_t i = 0; i < q->count; i++)
        entry_record(s, i, &res)->queued = true;
    if (q->count < q->cap - q->cap / 4)
        return 0;
    size_t cap = q->cap ? q->cap * 2 : 1024;
    uint64_t *entries = malloc(cap * sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    size_t count = q->count;
    for (size_t i = 0; i < count; i++)
        entries[i] = queue_pop(q);
    free(q->entries);
    *q = (struct text_queue){.entries = entries, .count = count, .cap = cap};
    return 0;
}

static int queue_text(struct store *s, enum resource res, struct record *rec)
{
    if (rec->queued)
        return 0;
    if (s->texts.count == s->texts.cap && queue_grow(s) < 0)
        return -ENOMEM;
    queue_push(&s->texts, (uint64_t)res << STORE_KEY_BITS | rec->key);
    rec->queued = true;
    return 0;
}

int text_put(struct store *s, enum resource res, struct record *rec, const struct buf *text)
{
    char *copy = malloc(text->len + 1);
    if (!copy || (may_go(s, res) && queue_text(s, res, rec) < 0)) {
        free(copy);
        return -ENOMEM;
    }
    memcpy(copy, text->data, text->len + 1);
    text_drop(s, res, rec);
    s->text_count += may_go(s, res);
    s->record_bytes += text->len;
    rec->text = copy;
    rec->len = (uint32_t)text->len;
    rec->size = (uint32_t)json_pretty_size(record_json(rec));
    rec->used = true;
    return 0;
}

void text_drop(struct store *s, enum resource res, struct record *rec)
{
    if (!rec->text)
        return;
    s->text_count -= may_go(s, res);
    s->record_bytes -= rec->len;
    free(rec->text);
    rec->text = NULL;
    rec->len = 0;
}

static void evict(struct store *s, enum resource res, struct record *rec)
{
    if (s->evicting)
        s->evicting(s->data, res, rec);
    rec->name_hash = record_name_hash(res, rec);
    rec->queued = false;
    text_drop(s, res, rec);
    s->evicted++;
}

/* Fetched for an operation that is under way, or saved by it. */
static bool needed(const struct store *s, const struct record *rec)
{
    const struct op *oldest =
        list_empty(&s->ops) ? NULL : CONTAINER_OF(s->ops.next, struct op, active);
    return rec->wanted && oldest && rec->origin->answered > oldest->seq;
}

void texts_trim(struct store *s)
{
    uint64_t before = s->evicted;
    /* Each is looked at twice at most: what was used may go the second time. */
    for (size_t n = 2 * s->texts.count;
         n && s->cache_size && s->record_bytes > s->cache_size && s->text_count > STORE_TEXTS_MIN;
         n--) {
        enum resource res;
        struct record *rec = queue_at(s, 0, &res);
        uint64_t entry = queue_pop(&s->texts);
        if (!rec)
            continue;
        if (!rec->text) {
            rec->queued = false;
        } else if (rec->used || needed(s, rec)) {
            rec->used = false;
            queue_push(&s->texts, entry);
        } else {
            rec->wanted = false;
            evict(s, res, rec);
        }
    }
    if (s->evicted != before)
        log_debug("%llu texts have gone to make room", (unsigned long long)(s->evicted - before));
}
