#include "patch_work.h"

#include <errno.h>
#include <stdint.h>

#include "json_compare.h"
#include "patch_why.h"

/* The array `row` of one side. `why` as patch_list_read() has it. */
static int load(const struct patch_member *row, struct json side, char *why, struct patch_list *ret)
{
    struct json v = {0};
    json_member(side, row->name, &v);
    int err = patch_list_read(ret, row->kind, row->name, v, 0, why);
    return err ? err : patch_list_sort(ret);
}

/* The same array of all sides. */
struct sides {
    struct patch_list base, mine, theirs, seen;
};

static void sides_finish(struct sides *s)
{
    patch_list_finish(&s->base);
    patch_list_finish(&s->mine);
    patch_list_finish(&s->theirs);
    patch_list_finish(&s->seen);
}

static void sides_init(struct sides *s)
{
    patch_list_init(&s->base);
    patch_list_init(&s->mine);
    patch_list_init(&s->theirs);
    patch_list_init(&s->seen);
}

/* All but mine: what is wrong in those is nobody's fault, and not told. */
static int load_others(struct sides *s, struct patch_work *w, const struct patch_member *row)
{
    int err = load(row, w->base, NULL, &s->base);
    if (!err)
        err = load(row, w->theirs, NULL, &s->theirs);
    return err ? err : load(row, w->seen, NULL, &s->seen);
}

static int sides_load(struct sides *s, struct patch_work *w, const struct patch_member *row)
{
    sides_init(s);
    int err = load_others(s, w, row);
    return err ? err : load(row, w->mine, w->ret->why, &s->mine);
}

/* Of an entry that base has too: what the server adds to it may stand there, but not change. */
static int check_rest(struct patch_work *w, enum patch_kind kind, const struct patch_entry *mine,
                      const struct patch_entry *base)
{
    struct json_iter it;
    struct json name, value;
    json_iter_init(&it, json_type(mine->whole) == JSON_OBJECT ? mine->whole : (struct json){0});
    while (json_iter_next(&it, &name, &value)) {
        struct json was = {0};
        json_find(base->whole, name, &was);
        if (!patch_list_reads(kind, name) && !json_equal(value, was))
            return patch_fail(w->ret->why, -EINVAL, "%s of %s cannot be changed through the API",
                              QUOTE(name), QUOTE(mine->key));
    }
    return 0;
}

/* ---- pairs ---- */

static int add_pairs(struct patch_work *w, const struct patch_member *row, struct json mine)
{
    struct json base = {0};
    bool there = json_member(w->base, row->name, &base);
    if (row->kind == PATCH_ALIAS) {
        if (there && json_equal(mine, base))
            return 0;
        struct patch_entry e = {.key = json_plain(row->slug), .value = mine, .place = w->place};
        return patch_list_add(&w->pairs, &e);
    }
    if (json_type(mine) != JSON_ARRAY && json_equal(mine, base))
        return 0;
    return patch_list_read(&w->pairs, row->kind, row->name, mine, w->place, w->ret->why);
}

/* Two neighbours of the order by slug: a pair and its alias may say the same. */
static int check_twice(struct patch_work *w, const struct patch_entry *a, struct patch_entry *b)
{
    if (json_compare(a->key, b->key) != 0)
        return 0;
    if (a->whole.len && b->whole.len)
        return patch_fail(w->ret->why, -EINVAL, "%s is twice in \"%s\"", QUOTE(a->key),
                          w->pairs_name);
    if (!json_equal(a->value, b->value))
        return patch_fail(w->ret->why, -EINVAL, "%s is given two different values", QUOTE(a->key));
    b->skip = true;
    return 0;
}

static struct json value_in(const struct patch_list *l, const struct patch_entry *e)
{
    const struct patch_entry *found = patch_list_find(l, PATCH_BY_KEY, e);
    return found ? found->value : (struct json){0};
}

/* Of `s` all but mine. */
static int judge_pair(struct patch_work *w, const struct sides *s, struct patch_entry *e)
{
    const struct patch_entry *b = patch_list_find(&s->base, PATCH_BY_KEY, e);
    e->skip = b && e->whole.len && json_equal(e->whole, b->whole);
    if (e->skip)
        return 0;
    if (!e->value.len)
        return patch_fail(w->ret->why, -EINVAL, "%s in \"%s\" needs a value", QUOTE(e->key),
                          w->pairs_name);
    bool send = false;
    int err = b ? check_rest(w, PATCH_PAIRS, e, b) : 0;
    if (!err)
        err = patch_judge(w, e->key,
                          &(struct patch_values){.base = value_in(&s->base, e),
                                                 .mine = e->value,
                                                 .theirs = value_in(&s->theirs, e),
                                                 .seen = value_in(&s->seen, e)},
                          &send);
    e->skip = !send;
    if (send)
        w->pairs_place = MIN(w->pairs_place, e->place);
    return err;
}

static int judge_pairs(struct patch_work *w, const struct patch_member *row)
{
    struct sides s CLEANUP(sides_finish);
    sides_init(&s);
    int err = patch_list_sort(&w->pairs);
    if (!err)
        err = load_others(&s, w, row);
    size_t count = patch_list_count(&w->pairs);
    for (size_t i = 1; i < count && !err; i++)
        err = check_twice(w, patch_list_by_key(&w->pairs, i - 1), patch_list_by_key(&w->pairs, i));
    for (size_t i = 0; i < count && !err; i++) {
        struct patch_entry *e = patch_list_at(&w->pairs, i);
        err = e->skip ? 0 : judge_pair(w, &s, e);
    }
    return err;
}

int patch_collect_pairs(struct patch_work *w)
{
    const struct patch_member *row = w->members;
    while (row->name && row->kind != PATCH_PAIRS)
        row++;
    w->pairs_name = row->name;
    w->pairs_place = SIZE_MAX;
    if (!row->name)
        return 0;

    struct json_iter it;
    struct json name, value;
    int err = 0;
    json_iter_init(&it, w->mine);
    for (w->place = 0; !err && json_iter_next(&it, &name, &value); w->place++) {
        const struct patch_member *m = patch_row(w, name);
        if (m && (m->kind == PATCH_PAIRS || m->kind == PATCH_ALIAS) && patch_allowed(w, m))
            err = add_pairs(w, m, value);
    }
    return err ? err : judge_pairs(w, row);
}

/* All of them at the place of the first: later members add nothing. */
int patch_take_pairs(struct patch_work *w, const struct patch_member *row UNUSED,
                     struct json mine UNUSED)
{
    struct buf *body = &w->ret->body;
    if (w->place != w->pairs_place)
        return 0;
    const char *open = "[{\"slug\":";
    int err = 0;
    patch_put_name(w, w->pairs_name);
    for (size_t i = 0; i < patch_list_count(&w->pairs) && !err; i++) {
        const struct patch_entry *e = patch_list_at(&w->pairs, i);
        if (e->skip)
            continue;
        buf_append_str(body, open);
        if (e->whole.len)
            err = patch_put_value(w, e->key, e->key);
        else
            json_quote(e->key.p, e->key.len, body);
        buf_append_str(body, ",\"value\":");
        if (!err)
            err = patch_put_value(w, e->key, e->value);
        buf_append_byte(body, '}');
        w->ret->changes++;
        open = ",{\"slug\":";
    }
    buf_append_byte(body, ']');
    return err;
}

/* ---- sets ---- */

/* The entry of the list that is the same thing as `e`: by its id, or the first with its name. */
static struct patch_entry *find_item(const struct patch_list *l, const struct patch_entry *e)
{
    return patch_list_find(l, e->key.len ? PATCH_BY_KEY : PATCH_BY_VALUE, e);
}

/* Whether mine wants what base has: by its id, or by nothing but its name. */
static bool is_wanted(const struct patch_list *mine, const struct patch_entry *base)
{
    const struct patch_entry name = {.value = base->value};
    return find_item(mine, base) ||
           (name.value.len && patch_list_find(mine, PATCH_BY_VALUE_AND_KEY, &name));
}

static int check_name(struct patch_work *w, const struct patch_member *row,
                      const struct patch_entry *mine, const struct patch_entry *other)
{
    if (!mine->key.len || !mine->value.len || !other || !other->value.len ||
        json_compare(mine->value, other->value) == 0)
        return 0;
    return patch_fail(w->ret->why, -EINVAL, "id %s in \"%s\" is %s, not %s", QUOTE(mine->key),
                      row->name, QUOTE(other->value), QUOTE(mine->value));
}

static int put_item(struct patch_work *w, bool remove, const struct patch_entry *e)
{
    const struct patch_item item = {.remove = remove, .id = e->key, .name = e->value};
    return buf_append(&w->ret->items, &item, sizeof(item));
}

/* What theirs has lost by now needs no call. */
static int put_removals(struct patch_work *w, const struct sides *s)
{
    int err = 0;
    for (size_t i = 0; i < patch_list_count(&s->base) && !err; i++) {
        const struct patch_entry *b = patch_list_at(&s->base, i);
        if (!is_wanted(&s->mine, b) && (!w->theirs.len || find_item(&s->theirs, b)))
            err = put_item(w, true, b);
    }
    return err;
}

static int put_additions(struct patch_work *w, const struct patch_member *row,
                         const struct sides *s)
{
    int err = 0;
    for (size_t i = 0; i < patch_list_count(&s->mine) && !err; i++) {
        const struct patch_entry *m = patch_list_at(&s->mine, i);
        const struct patch_entry *b = find_item(&s->base, m), *first = find_item(&s->mine, m);
        err = check_name(w, row, m, b);
        if (!err)
            err = check_name(w, row, m, first);
        if (err || b || first != m || find_item(&s->theirs, m))
            continue;
        if (!json_sendable(m->key) || !json_sendable(m->value))
            return patch_fail_unsendable(w, json_plain(row->name));
        err = put_item(w, false, m);
    }
    return err;
}

int patch_take_set(struct patch_work *w, const struct patch_member *row, struct json mine)
{
    struct sides s CLEANUP(sides_finish);
    struct json base = {0};
    s = (struct sides){0};
    if (json_member(w->base, row->name, &base) && json_equal(mine, base))
        return 0;
    int err = sides_load(&s, w, row);
    if (!err)
        err = put_removals(w, &s);
    return err ? err : put_additions(w, row, &s);
}

/* ---- events ---- */

/* The entry that is the same as `e`, in any version where `e` names none. */
static struct patch_entry *find_event(const struct patch_list *l, const struct patch_entry *e)
{
    return patch_list_find(l, e->value.len ? PATCH_BY_KEY_AND_VALUE : PATCH_BY_KEY, e);
}

/* Whether `have` would have to change to be what `want` says. */
static bool events_differ(const struct patch_list *have, const struct patch_list *want)
{
    for (size_t i = 0; i < patch_list_count(want); i++)
        if (!find_event(have, patch_list_at(want, i)))
            return true;
    for (size_t i = 0; i < patch_list_count(have); i++) {
        const struct patch_entry *h = patch_list_at(have, i);
        const struct patch_entry any = {.key = h->key};
        if (!patch_list_find(want, PATCH_BY_KEY_AND_VALUE, h) &&
            !patch_list_find(want, PATCH_BY_KEY_AND_VALUE, &any))
            return true;
    }
    return false;
}

static int put_events(struct patch_work *w, const struct patch_member *row, const struct sides *s)
{
    struct buf *body = &w->ret->body;
    struct json name = json_plain(row->name);
    const char *comma = "";
    int err = 0;
    patch_put_name(w, row->name);
    buf_append_byte(body, '[');
    for (size_t i = 0; i < patch_list_count(&s->mine) && !err; i++) {
        const struct patch_entry *m = patch_list_at(&s->mine, i);
        bool version = m->value.len && !find_event(&s->base, m);
        if (find_event(&s->mine, m) != m)
            continue;
        buf_append_str(body, comma);
        buf_append_str(body, version ? "{\"event\":" : "");
        err = patch_put_value(w, name, m->key);
        if (version) {
            buf_append_str(body, ",\"schemaVersion\":");
            json_compact(m->value, body);
            buf_append_byte(body, '}');
        }
        comma = ",";
    }
    buf_append_byte(body, ']');
    w->ret->changes++;
    return err;
}

int patch_take_events(struct patch_work *w, const struct patch_member *row, struct json mine)
{
    struct sides s CLEANUP(sides_finish);
    struct json base = {0};
    s = (struct sides){0};
    if (json_member(w->base, row->name, &base) && json_equal(mine, base))
        return 0;
    int err = sides_load(&s, w, row);
    for (size_t i = 0; i < patch_list_count(&s.mine) && !err; i++) {
        const struct patch_entry *m = patch_list_at(&s.mine, i);
        const struct patch_entry *b = find_event(&s.base, m);
        err = b ? check_rest(w, row->kind, m, b) : 0;
    }
    /* In a new record an empty list is an answer to a question, and for the API to judge. */
    bool said = w->create && json_type(mine) == JSON_ARRAY;
    if (err || (!said && !events_differ(&s.base, &s.mine)))
        return err;
    if (!w->theirs.len || !events_differ(&s.base, &s.theirs))
        return put_events(w, row, &s);
    if (!events_differ(&s.theirs, &s.mine))
        return 0;
    if (!w->seen.len || events_differ(&s.seen, &s.theirs))
        return patch_fail_conflict(w, json_plain(row->name));
    return put_events(w, row, &s);
}
