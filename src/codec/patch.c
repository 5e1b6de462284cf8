#include "systemefs/codec/patch.h"

#include <errno.h>
#include <stdint.h>

#include "json_compare.h"
#include "patch_why.h"
#include "patch_work.h"

void patch_init(struct patch *p)
{
    *p = (struct patch){0};
    buf_init(&p->body, PATCH_TEXT_MAX);
    buf_init(&p->items, PATCH_ITEMS_MAX * sizeof(struct patch_item));
}

void patch_finish(struct patch *p)
{
    buf_finish(&p->body);
    buf_finish(&p->items);
}

int patch_read(const char *text, size_t len, struct json *ret, char *why)
{
    struct json v, name;
    struct json_error err;
    if (len > PATCH_TEXT_MAX)
        return patch_fail(why, -EFBIG, "longer than %zu bytes", PATCH_TEXT_MAX);
    if (json_check(text, len, &v, &err) < 0)
        return patch_fail(why, -EINVAL, "line %u, column %u: %s", err.line, err.column,
                          err.message);
    if (json_type(v) != JSON_OBJECT)
        return patch_fail(why, -EINVAL, "a record is a JSON object, in { and }");
    if (json_duplicate(v, &name))
        return patch_fail(why, -EINVAL, "%s is there twice", QUOTE(name));
    *ret = v;
    return 0;
}

bool patch_is_whole(struct json rec, struct json mine)
{
    struct json name, value;
    struct json_iter it;
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, PATCH_TEXT_MAX);
    json_iter_init(&it, rec);
    while (json_iter_next(&it, &name, &value)) {
        buf_reset(&text);
        if (json_string(name, &text) < 0 || !json_member(mine, text.data ? text.data : "", &value))
            return false;
    }
    return true;
}

int patch_fail_unsendable(struct patch_work *w, struct json name)
{
    return patch_fail(w->ret->why, -EINVAL,
                      "%s holds what cannot be sent: the character 0, or half a surrogate pair",
                      QUOTE(name));
}

int patch_fail_conflict(struct patch_work *w, struct json name)
{
    return patch_fail(w->ret->why, -ESTALE, "%s was changed to something else meanwhile",
                      QUOTE(name));
}

static int fail_unknown(struct patch_work *w, struct json name)
{
    const struct patch_member *meant = patch_meant(w->members, name);
    return patch_fail(w->ret->why, -EINVAL, "the API has no member %s%s%s%s", QUOTE(name),
                      meant ? "; \"" : "", meant ? meant->name : "", meant ? "\"?" : "");
}

const struct patch_member *patch_row(const struct patch_work *w, struct json name)
{
    for (const struct patch_member *m = w->members; m->name; m++)
        if (json_compare(json_plain(m->name), name) == 0)
            return m;
    return NULL;
}

bool patch_allowed(const struct patch_work *w, const struct patch_member *row)
{
    return row->kind != PATCH_SERVER && (w->create ? row->create : row->save);
}

int patch_judge(struct patch_work *w, struct json name, const struct patch_values *v,
                bool *ret_send)
{
    *ret_send = false;
    if (json_equal(v->mine, v->base) || (w->theirs.len && json_equal(v->theirs, v->mine)))
        return 0;
    *ret_send = !w->theirs.len || json_equal(v->theirs, v->base) ||
                (w->seen.len && json_equal(v->theirs, v->seen));
    return *ret_send ? 0 : patch_fail_conflict(w, name);
}

void patch_put_name(struct patch_work *w, const char *name)
{
    struct buf *body = &w->ret->body;
    if (body->len > strlen("{"))
        buf_append_byte(body, ',');
    json_quote(name, strlen(name), body);
    buf_append_byte(body, ':');
}

int patch_put_value(struct patch_work *w, struct json name, struct json v)
{
    if (!json_sendable(v))
        return patch_fail_unsendable(w, name);
    return json_compact(v, &w->ret->body);
}

static int take_path(struct patch_work *w, const struct patch_member *row, struct json mine)
{
    if (!patch_is_id(mine))
        return patch_fail(w->ret->why, -EINVAL, "\"%s\" must be an id", row->name);
    if (!json_sendable(mine))
        return patch_fail_unsendable(w, json_plain(row->name));
    w->ret->path = mine;
    return 0;
}

static int take_value(struct patch_work *w, const struct patch_member *row, struct json mine)
{
    struct json name = json_plain(row->name);
    struct patch_values v = {.mine = mine};
    bool send;
    json_find(w->base, name, &v.base);
    json_find(w->theirs, name, &v.theirs);
    json_find(w->seen, name, &v.seen);
    int err = patch_judge(w, name, &v, &send);
    if (err || !send)
        return err;
    if (w->create && row->in_path)
        return take_path(w, row, mine);
    w->ret->changes++;
    patch_put_name(w, row->name);
    return patch_put_value(w, name, mine);
}

static int take_reference(struct patch_work *w, const struct patch_member *row, struct json mine)
{
    struct json id = mine, given = {0};
    const struct patch_member *meant = patch_row(w, json_plain(row->slug));
    json_member(w->mine, row->slug, &given);
    if (json_type(given) != JSON_NULL || json_type(mine) == JSON_NULL)
        return 0;
    if (json_type(mine) == JSON_OBJECT && !json_member(mine, "id", &id))
        id = (struct json){0};
    if (!meant || !patch_is_id(id))
        return patch_fail(w->ret->why, -EINVAL, "\"%s\" must be an id, or an object with \"id\"",
                          row->name);
    return take_value(w, meant, id);
}

/* What the API does not take may stand there as it was; in a new record, if it is the server's. */
static int take_fixed(struct patch_work *w, struct json name, const struct patch_member *row,
                      struct json mine)
{
    struct json base = {0};
    bool there = json_find(w->base, name, &base);
    if (!row)
        return there && json_equal(mine, base) ? 0 : fail_unknown(w, name);
    if (w->create ? row->kind == PATCH_SERVER : json_equal(mine, base))
        return 0;
    return patch_fail(w->ret->why, -EINVAL,
                      w->create ? "%s cannot be given in a new record"
                                : "%s cannot be changed through the API",
                      QUOTE(name));
}

static int take(struct patch_work *w, struct json name, struct json mine)
{
    static patch_take *const takes[] = {
        [PATCH_VALUE] = take_value,       [PATCH_PAIRS] = patch_take_pairs,
        [PATCH_SET] = patch_take_set,     [PATCH_EVENTS] = patch_take_events,
        [PATCH_ALIAS] = patch_take_pairs, [PATCH_REFERENCE] = take_reference,
    };
    const struct patch_member *row = patch_row(w, name);
    if (!row || !patch_allowed(w, row))
        return take_fixed(w, name, row, mine);
    return takes[row->kind](w, row, mine);
}

static int take_all(struct patch_work *w)
{
    struct json_iter it;
    struct json name, value;
    int err = patch_collect_pairs(w);
    json_iter_init(&it, w->mine);
    for (w->place = 0; !err && json_iter_next(&it, &name, &value); w->place++)
        err = take(w, name, value);
    return err;
}

static int run(struct patch_work *w)
{
    struct patch *p = w->ret;
    p->changes = 0;
    p->path = (struct json){0};
    p->why[0] = '\0';
    buf_reset(&p->body);
    buf_reset(&p->items);
    patch_list_init(&w->pairs);
    buf_append_byte(&p->body, '{');
    int err = take_all(w);
    buf_append_byte(&p->body, '}');
    patch_list_finish(&w->pairs);
    return err ? err : buf_error(&p->body);
}

int patch_diff_seen(const struct patch_member *members, struct json base, struct json mine,
                    struct json theirs, struct json seen, struct patch *ret)
{
    struct patch_work w = {
        .members = members, .base = base, .mine = mine, .theirs = theirs, .seen = seen, .ret = ret};
    return run(&w);
}

int patch_diff(const struct patch_member *members, struct json base, struct json mine,
               struct json theirs, struct patch *ret)
{
    return patch_diff_seen(members, base, mine, theirs, (struct json){0}, ret);
}

int patch_create(const struct patch_member *members, struct json mine, struct patch *ret)
{
    struct patch_work w = {.members = members, .mine = mine, .create = true, .ret = ret};
    return run(&w);
}
