/* What a change sends: the calls of a job, one after the other. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "save_internal.h"

/* ---- a new record ---- */

/* The key that a member's value names: 5, or {"id": 5}. 0: none. */
static uint64_t key_in(struct store *s, enum resource res, struct json value)
{
    struct json id;
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, RESOURCE_ID_TEXT_MAX);
    if (json_type(value) == JSON_OBJECT) {
        if (!json_member(value, resource_row(res)->id_member, &id))
            return 0;
        value = id;
    }
    if (json_type(value) == JSON_NUMBER)
        buf_append(&text, value.p, value.len);
    else if (json_string(value, &text) < 0)
        return 0;
    return text.data && !buf_error(&text) ? store_key(s, res, text.data) : 0;
}

static void add_member(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s\"%s\":%s", out->len > 1 ? "," : "", name, value);
}

/* What a document calls the other record: as the API wants it ("contactId"), or as the API shows it
 * ("contact", of "contact.id"). The `i`-th of the two; NULL: there is no more. */
static const char *owner_member(const struct resource_filter *filter, int i, char shown[64])
{
    if (i == 0)
        return filter->create_member;
    if (i > 1 || !filter->member)
        return NULL;
    size_t len = strcspn(filter->member, ".");
    snprintf(shown, 64, "%.*s", (int)len, filter->member);
    return shown;
}

/* What the directory says of a new record ("contactId"), unless the document says it, too. */
static int add_owner(struct save *job, struct op *op)
{
    const struct resource_filter *filter =
        job->filter >= 0 ? &resource_row(job->res)->filters[job->filter] : NULL;
    if (!filter)
        return 0;
    char shown[64], id[RESOURCE_ID_TEXT_MAX + 1];
    store_id(job->store, filter->by, job->by, id);
    bool said = false;
    const char *name;
    for (int i = 0; (name = owner_member(filter, i, shown)); i++) {
        struct json v;
        if (!json_member(job->mine, name, &v))
            continue;
        if (key_in(job->store, filter->by, v) != job->by)
            return op_fail(op, -EINVAL, "\"%s\" is not %s, whose directory this is", name, id);
        said = true;
    }
    if (!said)
        add_member(&job->composed, filter->create_member, id);
    return 0;
}

/* The document of a new record: what was typed, and what goes without saying. */
static int compose_document(struct save *job, struct op *op)
{
    const struct resource_row *row = resource_row(job->res);
    struct json v;
    buf_append_byte(&job->composed, '{');
    int r = add_owner(job, op);
    if (r == 0 && job->grant && row->grant_member &&
        !json_member(job->mine, row->grant_member, &v)) {
        char value[64];
        snprintf(value, sizeof(value), "\"%s\"", job->store->access_type);
        add_member(&job->composed, row->grant_member, value);
    }
    if (r < 0)
        return r;
    struct json inner = {.p = job->mine.p + 1, .len = job->mine.len - 2};
    bool empty = strspn(inner.p, " \t\r\n") >= inner.len;
    if (!empty && job->composed.len > 1)
        buf_append_byte(&job->composed, ',');
    buf_append(&job->composed, inner.p, inner.len);
    buf_append_byte(&job->composed, '}');
    r = buf_error(&job->composed);
    return r < 0 ? op_fail(op, r, "the record is too large") : 0;
}

/* The two records that a later one joins, to look for it by. */
static int note_both(struct save *job, struct json document, struct op *op)
{
    const struct resource_row *row = resource_row(job->res);
    uint64_t *const keys[] = {&job->by, &job->by2};
    for (int i = 0; i < RESOURCE_FILTERS; i++) {
        const struct resource_filter *filter = &row->filters[i];
        struct json v = {0};
        char shown[64];
        const char *name;
        for (int k = 0; !v.p && (name = owner_member(filter, k, shown)); k++)
            json_member(document, name, &v);
        *keys[i] = key_in(job->store, filter->by, v);
        if (!*keys[i])
            return op_fail(op, -EINVAL, "\"%s\" is missing", filter->create_member);
    }
    return 0;
}

int plan_create(struct save *job, struct op *op)
{
    const struct resource_row *row = resource_row(job->res);
    if (!row->create_path)
        return op_fail(op, -EPERM, "the API makes no %s", row->name);
    if (row->create_body)
        return 0;
    int r = compose_document(job, op);
    if (r < 0)
        return r;
    struct json document;
    json_check(job->composed.data, job->composed.len, &document, NULL);
    r = patch_create(row->members, document, &job->patch);
    if (r < 0)
        return op_fail(op, r, "%s", job->patch.why);
    if (job->patch.path.p == NULL && strstr(row->create_path, "%s"))
        return op_fail(op, -EINVAL, "\"%s\" is missing", row->filters[0].create_member);
    if (job->patch.path.p && !key_in(job->store, row->filters[0].by, job->patch.path))
        return op_fail(op, -EINVAL, "\"%s\" is no id", row->filters[0].create_member);
    return row->create_later ? note_both(job, document, op) : 0;
}

/* ---- a change ---- */

int plan_edit(struct save *job)
{
    struct store *s = job->store;
    const struct resource_row *row = resource_row(job->res);
    struct record *rec = store_known(s, job->res, job->key);
    /* A set alone is changed item by item, whatever else is in there: what is known will do, unless
     * it is known to be past. */
    bool recent = job->patch.changes || (rec && rec->expired);
    if (recent || rec) {
        int r = recent ? store_record_recent(s, &job->op, job->res, job->key, SAVE_RECENT_MS, &rec)
                       : store_text(s, &job->op, job->res, job->key, &rec);
        if (r == -ENOENT && !job->op.failure.error)
            return op_fail(&job->op, -ENOENT, "there is no such %s any more: nothing was sent",
                           row->name);
        if (r != 0)
            return r;
    }
    if (!rec)
        return 0;
    int r = patch_diff_seen(row->members, job->base, job->mine, record_json(rec), job->seen,
                            &job->patch);
    return r < 0 ? op_fail(&job->op, r, "%s", job->patch.why) : 0;
}

static uint64_t item_by_id(struct save *job, const struct patch_item *item)
{
    return key_in(job->store, resource_row(job->res)->set.res, item->id);
}

/* An item known by its name. May wait. */
static int item_by_name(struct save *job, const struct patch_item *item, uint64_t *ret)
{
    enum resource res = resource_row(job->res)->set.res;
    CLEANUP(buf_cleanup) struct buf name;
    buf_init(&name, PATCH_TEXT_MAX);
    int r = json_string(item->name, &name);
    if (r == 0)
        r = store_find(job->store, &job->op, res, name.data ? name.data : "", name.len, ret);
    if (r == -ENOENT || r == -EILSEQ)
        return op_fail(&job->op, -EINVAL, "there is no %s called \"%.64s\": nothing was sent",
                       resource_row(res)->name, name.data ? name.data : "");
    return r;
}

int plan_items(struct save *job)
{
    size_t n = patch_item_count(&job->patch);
    free(job->items);
    job->items = calloc(n + 1, sizeof(*job->items));
    if (!job->items)
        return op_fail(&job->op, -ENOMEM, "no memory");
    for (size_t i = 0; i < n; i++) {
        const struct patch_item item = patch_item_at(&job->patch, i);
        if (!item.id.p) {
            int r = item_by_name(job, &item, &job->items[i]);
            if (r != 0)
                return r;
        } else if (!(job->items[i] = item_by_id(job, &item))) {
            return op_fail(&job->op, -EINVAL, "%.*s is no id of a %s",
                           (int)MIN(item.id.len, (size_t)40), item.id.p,
                           resource_row(resource_row(job->res)->set.res)->name);
        }
    }
    return 0;
}

/* ---- calls ---- */

/* Whether the first call is one of its own, before those for the items. */
static bool has_main(const struct save *job)
{
    return job->kind != SAVE_EDIT || job->patch.changes > 0;
}

size_t step_count(const struct save *job)
{
    return has_main(job) + patch_item_count(&job->patch);
}

bool step_takes_item(const struct save *job)
{
    size_t first = has_main(job);
    return job->kind == SAVE_EDIT && job->step >= first &&
           patch_item_at(&job->patch, job->step - first).remove;
}

static void item_path(const struct save *job, uint64_t key, struct buf *out)
{
    char id[RESOURCE_ID_TEXT_MAX + 1];
    api_item_path(job->res, store_id(job->store, job->res, key, id), out);
}

/* Puts an item into the record's set, or takes it out. */
static void compose_item(const struct save *job, uint64_t owner, uint64_t item, bool remove,
                         struct step *ret)
{
    const struct resource_set *set = &resource_row(job->res)->set;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    store_id(job->store, set->res, item, id);
    item_path(job, owner, &ret->path);
    buf_printf(&ret->path, "/%s", set->path);
    if (remove) {
        ret->method = HTTP_DELETE;
        buf_printf(&ret->path, "/%s", id);
    } else {
        ret->method = HTTP_POST;
        buf_printf(&ret->storage, "{\"%s\":%s}", set->add_member, id);
        ret->body = ret->storage.data;
    }
}

static void compose_create(const struct save *job, struct step *ret)
{
    const struct resource_row *row = resource_row(job->res);
    const char *hole = strstr(row->create_path, "%s");
    ret->method = HTTP_POST;
    if (hole) {
        char id[RESOURCE_ID_TEXT_MAX + 1];
        uint64_t key = key_in(job->store, row->filters[0].by, job->patch.path);
        buf_append(&ret->path, row->create_path, (size_t)(hole - row->create_path));
        buf_append_str(&ret->path, store_id(job->store, row->filters[0].by, key, id));
        buf_append_str(&ret->path, hole + 2);
    } else {
        buf_append_str(&ret->path, row->create_path);
    }
    ret->body = row->create_body ? row->create_body : job->patch.body.data;
}

static void compose_main(const struct save *job, struct step *ret)
{
    const struct resource_row *row = resource_row(job->res);
    switch (job->kind) {
    case SAVE_EDIT:
        ret->method = row->save;
        item_path(job, job->key, &ret->path);
        ret->body = job->patch.body.data;
        break;
    case SAVE_CREATE:
        compose_create(job, ret);
        break;
    case SAVE_REMOVE:
        ret->method = HTTP_DELETE;
        item_path(job, job->key, &ret->path);
        break;
    case SAVE_ADD:
    case SAVE_TAKE:
        compose_item(job, job->key, job->item, job->kind == SAVE_TAKE, ret);
        break;
    case SAVE_ACTION:
        ret->method = HTTP_POST;
        item_path(job, job->key, &ret->path);
        buf_printf(&ret->path, "/%s", row->action);
        ret->body = job->body;
        break;
    }
}

int step_compose(const struct save *job, struct step *ret)
{
    *ret = (struct step){0};
    buf_init(&ret->path, 4096);
    buf_init(&ret->storage, 256);
    if (job->step == 0 && has_main(job)) {
        compose_main(job, ret);
    } else {
        size_t i = job->step - has_main(job);
        const struct patch_item item = patch_item_at(&job->patch, i);
        compose_item(job, save_key(job), job->items[i], item.remove, ret);
    }
    return buf_error(&ret->path) ? buf_error(&ret->path) : buf_error(&ret->storage);
}

void step_finish(struct step *step)
{
    buf_finish(&step->path);
    buf_finish(&step->storage);
}

/* ---- answers ---- */

static void wrong_record(struct save *job, const struct api_answer *answer)
{
    api_failure_set(&job->failure, -EBADMSG, answer->failure.number,
                    "the answer is not what the API promises: another record than the one that was "
                    "changed; it may have been carried out");
    job->failure.maybe = true;
}

/* What others show of it: its name, or what people see of a field. */
static bool changes_name(const struct save *job)
{
    const struct resource_row *row = resource_row(job->res);
    struct json body, v;
    return json_check(job->patch.body.data, job->patch.body.len, &body, NULL) == 0 &&
           ((row->name_member && json_member(body, row->name_member, &v)) ||
            row->shown_in_contacts);
}

static void main_taken(struct save *job, const struct api_answer *answer)
{
    struct store *s = job->store;
    const struct resource_row *row = resource_row(job->res);
    uint64_t key = answer->record.json.p ? follow_record(s, job->res, &answer->record) : 0;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    switch (job->kind) {
    case SAVE_EDIT:
        if (key && key != job->key)
            wrong_record(job, answer);
        else if (!key)
            store_refresh_record(s, job->res, job->key);
        follow_change(s, job->res, job->key, changes_name(job) ? FOLLOW_NAME : FOLLOW_CONTENT);
        buf_append_str(&job->done, "what else was changed is saved");
        break;
    case SAVE_CREATE:
        job->made = key;
        if (key) {
            follow_change(s, job->res, key, FOLLOW_NEW);
            buf_printf(&job->done, "%s %s was made", row->name, store_id(s, job->res, key, id));
        } else if (!row->create_later) {
            wrong_record(job, answer);
        }
        break;
    case SAVE_REMOVE:
        follow_removed(s, job->res, job->key);
        break;
    case SAVE_ADD:
    case SAVE_TAKE:
        follow_item(s, job->res, job->key, job->item, job->kind == SAVE_ADD);
        break;
    case SAVE_ACTION:
        store_refresh_record(s, job->res, job->key);
        follow_change(s, job->res, job->key, FOLLOW_CONTENT);
        break;
    }
}

void step_taken(struct save *job, const struct api_answer *answer)
{
    if (job->step == 0 && has_main(job)) {
        main_taken(job, answer);
    } else {
        size_t i = job->step - has_main(job);
        enum resource res = resource_row(job->res)->set.res;
        bool remove = patch_item_at(&job->patch, i).remove;
        char id[RESOURCE_ID_TEXT_MAX + 1];
        follow_item(job->store, job->res, save_key(job), job->items[i], !remove);
        buf_printf(&job->done, "%s%s %s was %s", job->done.len ? ", " : "", resource_row(res)->name,
                   store_id(job->store, res, job->items[i], id), remove ? "taken off" : "put on");
    }
    job->step++;
}

/* ---- what came without its record ---- */

static void looked(struct fetch *f, const struct api_answer *answer)
{
    struct save *job = f->save;
    struct store *s = f->store;
    settle_looked(job);
    if (answer->failure.error)
        return;
    /* A server that ignores a filter answers with others: compare. */
    const struct resource_row *row = resource_row(f->res);
    char ids[RESOURCE_FILTERS][RESOURCE_ID_TEXT_MAX + 1];
    store_id(s, row->filters[0].by, job->by, ids[0]);
    store_id(s, row->filters[1].by, job->by2, ids[1]);
    for (size_t i = 0; i < answer->count; i++) {
        uint64_t key = follow_record(s, f->res, &answer->items[i]);
        const struct record *rec = key ? store_peek(s, f->res, key) : NULL;
        if (!rec || !record_names(rec, row->filters[0].member, ids[0]) ||
            !record_names(rec, row->filters[1].member, ids[1]))
            continue;
        job->made = key;
        follow_change(s, f->res, key, FOLLOW_NEW);
        return;
    }
}

int settle_look(struct save *job)
{
    struct store *s = job->store;
    const struct resource_row *row = resource_row(job->res);
    struct fetch *f = fetch_new(s, looked);
    if (!f)
        return -ENOMEM;
    f->res = job->res;
    f->save = job;
    char by[RESOURCE_ID_TEXT_MAX + 1], by2[RESOURCE_ID_TEXT_MAX + 1];
    const struct api_query query = {.res = job->res,
                                    .filter = 0,
                                    .by = store_id(s, row->filters[0].by, job->by, by),
                                    .filter2 = 1,
                                    .by2 = store_id(s, row->filters[1].by, job->by2, by2)};
    int r = fetch_page(f, &query, NET_PERSON, &job->op);
    if (r == 0)
        job->looking = f;
    return r;
}
