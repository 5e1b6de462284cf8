/*
 * A saved text against the record it was made from: base + patch is what was saved.
 *
 * Input: a byte that chooses the resource, BASE, MINE, THEIRS (may be missing). Where the
 * difference is taken, the patch is applied to what the server has, as the API does it (RFC 7396
 * for members, fields by their slug, sets item by item), and then
 *   - whatever mine says, the server has: saving mine once more sends nothing;
 *   - whatever mine does not say, or has not changed, is as it was;
 *   - nothing is sent that the table does not allow.
 */
#include <errno.h>

#include "fuzz.h"
#include "systemefs/api/resource.h"
#include "systemefs/base/macros.h"
#include "systemefs/codec/patch.h"

#define NEW_ID "900719925474" /* and a digit or two: ids that the server gives */

/* ---- values ---- */

static bool text_equals(struct json a, struct json b)
{
    struct buf x, y;
    buf_init(&x, FUZZ_TEXT_MAX);
    buf_init(&y, FUZZ_TEXT_MAX);
    fuzz_check(json_compact(a, &x) == 0 && json_compact(b, &y) == 0);
    bool same = x.len == y.len && (!x.len || memcmp(x.data, y.data, x.len) == 0);
    buf_finish(&x);
    buf_finish(&y);
    return same;
}

/* The member of any name, given as JSON strings are. */
static bool member(struct json object, struct json name, struct json *ret)
{
    struct json_iter it;
    struct json n, v;
    bool found = false;
    json_iter_init(&it, object);
    while (json_iter_next(&it, &n, &v))
        if (text_equals(n, name)) {
            *ret = v;
            found = true;
        }
    return found;
}

static size_t count(struct json container)
{
    struct json_iter it;
    struct json v;
    size_t n = 0;
    json_iter_init(&it, container);
    while (json_iter_next(&it, NULL, &v))
        n++;
    return n;
}

/* By meaning: the order of members does not count. */
static bool same(struct json a, struct json b)
{
    enum json_type type = json_type(a);
    if (type != json_type(b))
        return false;
    if (type != JSON_OBJECT && type != JSON_ARRAY)
        return text_equals(a, b);
    if (count(a) != count(b))
        return false;
    struct json_iter it, other;
    struct json name, v, w;
    json_iter_init(&it, a);
    json_iter_init(&other, b);
    while (json_iter_next(&it, &name, &v))
        if (!(type == JSON_OBJECT ? member(b, name, &w) : json_iter_next(&other, NULL, &w)) ||
            !same(v, w))
            return false;
    return true;
}

static struct json value_of(struct json object, const char *name)
{
    struct json v = {0};
    json_member(object, name, &v);
    return v;
}

/* ---- what a server has: arrays in which each thing is there once ---- */

/* The entry of an array of objects whose member is that; `key` NULL: any. */
static struct json entry(struct json array, const char *key, struct json wanted)
{
    struct json_iter it;
    struct json v, found = {0};
    json_iter_init(&it, array);
    while (json_iter_next(&it, NULL, &v))
        if (same(value_of(v, key), wanted))
            found = v;
    return found;
}

static bool is_plain_string(struct json v)
{
    struct buf out;
    buf_init(&out, FUZZ_TEXT_MAX);
    bool ok = json_type(v) == JSON_STRING && json_string(v, &out) == 0 && out.len > 0;
    buf_finish(&out);
    return ok;
}

static bool is_listed_once(struct json array, const char *key, bool number)
{
    struct json_iter it, other;
    struct json v, w;
    json_iter_init(&it, array);
    while (json_iter_next(&it, NULL, &v)) {
        struct json k = value_of(v, key);
        int64_t n;
        unsigned times = 0;
        if (json_type(v) != JSON_OBJECT ||
            !(number ? json_int64(k, &n) && n > 0 : is_plain_string(k)))
            return false;
        json_iter_init(&other, array);
        while (json_iter_next(&other, NULL, &w))
            times += same(value_of(w, key), k);
        if (times != 1)
            return false;
    }
    return true;
}

static bool has_versions(struct json array)
{
    struct json_iter it;
    struct json v;
    int64_t n;
    json_iter_init(&it, array);
    while (json_iter_next(&it, NULL, &v))
        if (!json_int64(value_of(v, "schemaVersion"), &n))
            return false;
    return true;
}

static bool is_record(const struct patch_member *members, struct json v)
{
    struct json name, value;
    if (json_type(v) != JSON_OBJECT || json_duplicate(v, &name))
        return false;
    for (const struct patch_member *m = members; m->name; m++) {
        bool array = m->kind == PATCH_PAIRS || m->kind == PATCH_SET || m->kind == PATCH_EVENTS;
        /* What the API does not show is no part of a record of its. */
        if ((m->kind == PATCH_ALIAS || m->kind == PATCH_REFERENCE) &&
            json_member(v, m->name, &value))
            return false;
        if (!array || !json_member(v, m->name, &value))
            continue;
        if (json_type(value) != JSON_ARRAY)
            return false;
        if (m->kind == PATCH_PAIRS && !is_listed_once(value, "slug", false))
            return false;
        if (m->kind == PATCH_SET &&
            !(is_listed_once(value, "id", true) && is_listed_once(value, "name", false)))
            return false;
        if (m->kind == PATCH_EVENTS &&
            !(is_listed_once(value, "event", false) && has_versions(value)))
            return false;
    }
    return true;
}

/* ---- the server's part ---- */

static void put(struct buf *out, struct json v)
{
    fuzz_check(json_compact(v, out) == 0);
}

static void comma(struct buf *out)
{
    if (out->len && out->data[out->len - 1] != '[' && out->data[out->len - 1] != '{')
        buf_append_byte(out, ',');
}

/* A new pair gets its other members from whoever made it: here as mine has them. */
static void put_pairs(struct json has, struct json change, struct json mine, struct buf *out)
{
    struct json_iter it, members;
    struct json pair, name, value;
    buf_append_byte(out, '[');
    json_iter_init(&it, has);
    while (json_iter_next(&it, NULL, &pair)) {
        struct json to = entry(change, "slug", value_of(pair, "slug"));
        comma(out);
        buf_append_byte(out, '{');
        json_iter_init(&members, pair);
        while (json_iter_next(&members, &name, &value)) {
            comma(out);
            put(out, name);
            buf_append_byte(out, ':');
            put(out, to.p && json_string_equals(name, "value") ? value_of(to, "value") : value);
        }
        if (to.p && !json_member(pair, "value", &value)) {
            comma(out);
            buf_append_str(out, "\"value\":");
            put(out, value_of(to, "value"));
        }
        buf_append_byte(out, '}');
    }
    json_iter_init(&it, change);
    while (json_iter_next(&it, NULL, &pair)) {
        fuzz_check(is_plain_string(value_of(pair, "slug")) && json_member(pair, "value", &value));
        if (entry(has, "slug", value_of(pair, "slug")).p)
            continue;
        struct json wanted = entry(mine, "slug", value_of(pair, "slug"));
        comma(out);
        put(out, wanted.p ? wanted : pair);
    }
    buf_append_byte(out, ']');
}

static bool is_item(const struct patch_item *item, struct json entry)
{
    return item->id.p ? same(item->id, value_of(entry, "id"))
                      : same(item->name, value_of(entry, "name"));
}

static void put_set(struct json has, const struct patch *p, struct buf *out)
{
    struct json_iter it;
    struct json v;
    size_t removed = 0, removals = 0;
    buf_append_byte(out, '[');
    json_iter_init(&it, has);
    while (json_iter_next(&it, NULL, &v)) {
        bool stays = true;
        for (size_t i = 0; i < patch_item_count(p); i++) {
            struct patch_item item = patch_item_at(p, i);
            if (item.remove && is_item(&item, v))
                stays = false;
        }
        removed += !stays;
        if (stays) {
            comma(out);
            put(out, v);
        }
    }
    for (size_t i = 0; i < patch_item_count(p); i++) {
        struct patch_item item = patch_item_at(p, i);
        removals += item.remove;
        if (item.remove)
            continue;
        fuzz_check(item.id.p || item.name.p);
        comma(out);
        buf_append_str(out, "{\"id\":");
        if (item.id.p)
            put(out, item.id);
        else
            buf_printf(out, NEW_ID "%zu", i);
        buf_append_str(out, ",\"name\":");
        if (item.name.p)
            put(out, item.name);
        else
            buf_printf(out, "\"the new one, %zu\"", i);
        buf_append_byte(out, '}');
    }
    fuzz_check(removed == removals); /* what goes away was there */
    buf_append_byte(out, ']');
}

/* An event by its name alone keeps its version, or gets the newest. */
static void put_events(struct json has, struct json sent, struct buf *out)
{
    struct json_iter it;
    struct json v;
    buf_append_byte(out, '[');
    json_iter_init(&it, sent);
    while (json_iter_next(&it, NULL, &v)) {
        struct json name = json_type(v) == JSON_STRING ? v : value_of(v, "event");
        struct json old = entry(has, "event", name);
        comma(out);
        if (json_type(v) == JSON_STRING && old.p) {
            put(out, old);
            continue;
        }
        buf_append_str(out, "{\"event\":");
        put(out, name);
        buf_append_str(out, ",\"schemaVersion\":");
        if (json_type(v) == JSON_STRING)
            buf_append_byte(out, '1');
        else
            put(out, value_of(v, "schemaVersion"));
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

static void put_member(const struct patch_member *m, struct json has, struct json sent,
                       struct json mine, const struct patch *p, struct buf *out)
{
    if (m && m->kind == PATCH_PAIRS && sent.p)
        put_pairs(has, sent, value_of(mine, m->name), out);
    else if (m && m->kind == PATCH_SET)
        put_set(has, p, out);
    else if (m && m->kind == PATCH_EVENTS && sent.p)
        put_events(has, sent, out);
    else
        put(out, sent.p ? sent : has);
}

static const struct patch_member *row_of(const struct patch_member *members, struct json name)
{
    for (const struct patch_member *m = members; m->name; m++)
        if (json_string_equals(name, m->name))
            return m;
    return NULL;
}

static void apply(const struct patch_member *members, struct json record, struct json body,
                  struct json mine, const struct patch *p, struct buf *out)
{
    struct json_iter it;
    struct json name, v, sent;
    bool had_set = false;
    buf_append_byte(out, '{');
    json_iter_init(&it, record);
    while (json_iter_next(&it, &name, &v)) {
        const struct patch_member *m = row_of(members, name);
        sent = (struct json){0};
        member(body, name, &sent);
        had_set = had_set || (m && m->kind == PATCH_SET);
        comma(out);
        put(out, name);
        buf_append_byte(out, ':');
        put_member(m, v, sent, mine, p, out);
    }
    json_iter_init(&it, body);
    while (json_iter_next(&it, &name, &v))
        if (!member(record, name, &sent)) {
            comma(out);
            put(out, name);
            buf_append_byte(out, ':');
            put_member(row_of(members, name), (struct json){0}, v, mine, p, out);
        }
    for (const struct patch_member *m = members; m->name && !had_set; m++)
        if (m->kind == PATCH_SET && patch_item_count(p)) {
            comma(out);
            buf_printf(out, "\"%s\":", m->name);
            put_set((struct json){0}, p, out);
        }
    buf_append_byte(out, '}');
}

/* ---- what must hold ---- */

static struct json checked(const struct buf *text)
{
    struct json v;
    fuzz_check(json_check(text->data, text->len, &v, NULL) == 0);
    return v;
}

static void check_allowed(const struct patch_member *members, struct json body, bool create)
{
    struct json_iter it;
    struct json name, v;
    fuzz_check(json_type(body) == JSON_OBJECT && !json_duplicate(body, &name));
    json_iter_init(&it, body);
    while (json_iter_next(&it, &name, &v)) {
        const struct patch_member *m = row_of(members, name);
        fuzz_check(m && (create ? m->create && !m->in_path : m->save));
        fuzz_check(m->kind == PATCH_VALUE || m->kind == PATCH_PAIRS || m->kind == PATCH_EVENTS);
    }
}

static struct json none_if_null(struct json v)
{
    return json_type(v) == JSON_NULL ? (struct json){0} : v;
}

static bool same_value(struct json a, struct json b)
{
    a = none_if_null(a);
    b = none_if_null(b);
    return !a.p || !b.p ? a.p == b.p : same(a, b);
}

/* Plain members: what mine changed is there, the rest is as theirs had it. */
static void check_values(const struct patch_member *members, struct json base, struct json mine,
                         struct json had, struct json has)
{
    struct json m;
    for (const struct patch_member *row = members; row->name; row++) {
        if (row->kind != PATCH_VALUE && row->kind != PATCH_SERVER)
            continue;
        bool changed = row->kind == PATCH_VALUE && json_member(mine, row->name, &m) &&
                       !same_value(m, value_of(base, row->name));
        fuzz_check(same_value(value_of(has, row->name), changed ? m : value_of(had, row->name)));
    }
}

/* Whether an entry of a list of events has members that only the server gives. Those of a new one
 * are passed over, and would be a change once it is there. */
static bool has_foreign_events(const struct patch_member *members, struct json mine)
{
    struct json_iter it, inside;
    struct json list, v, name;
    for (const struct patch_member *m = members; m->name; m++) {
        if (m->kind != PATCH_EVENTS || !json_member(mine, m->name, &list))
            continue;
        json_iter_init(&it, list);
        while (json_iter_next(&it, NULL, &v)) {
            json_iter_init(&inside, json_type(v) == JSON_OBJECT ? v : (struct json){0});
            while (json_iter_next(&inside, &name, &v))
                if (!json_string_equals(name, "event") &&
                    !json_string_equals(name, "schemaVersion"))
                    return true;
        }
    }
    return false;
}

/* Whether mine says that there are no pairs. Beside an alias that is right as long as base says so,
 * too, and would be a removal once the pair is there. */
static bool has_null_pairs(const struct patch_member *members, struct json mine)
{
    struct json v;
    for (const struct patch_member *m = members; m->name; m++)
        if (m->kind == PATCH_PAIRS && json_member(mine, m->name, &v) && json_type(v) == JSON_NULL)
            return true;
    return false;
}

static void try_diff(const struct patch_member *members, struct json base, struct json mine,
                     struct json theirs)
{
    struct patch p, again;
    struct buf now;
    struct json none = {0};
    patch_init(&p);
    patch_init(&again);
    buf_init(&now, 4 * FUZZ_TEXT_MAX);
    int r = patch_diff(members, base, mine, theirs, &p);
    fuzz_check(r == 0 || r == -EINVAL || (r == -ESTALE && theirs.p) || r == -EFBIG || r == -ENOMEM);
    fuzz_check((r == -EINVAL || r == -ESTALE) == (p.why[0] != '\0'));
    struct json server = theirs.p ? theirs : base;
    if (r == 0 && is_record(members, base) && is_record(members, server)) {
        struct json body = checked(&p.body);
        check_allowed(members, body, false);
        fuzz_check((p.changes == 0) == (count(body) == 0));
        apply(members, server, body, mine, &p, &now);
        struct json has = checked(&now);
        check_values(members, base, mine, server, has);
        /* Mine may give a new tag the name of another one. */
        if (!theirs.p && is_record(members, has) && !has_foreign_events(members, mine) &&
            !has_null_pairs(members, mine)) {
            int r2 = patch_diff(members, has, mine, none, &again);
            fuzz_check(r2 == 0);
            fuzz_check(again.changes == 0 && patch_item_count(&again) == 0);
        }
    }
    patch_finish(&p);
    patch_finish(&again);
    buf_finish(&now);
}

static void try_create(const struct patch_member *members, struct json mine)
{
    struct patch p;
    patch_init(&p);
    int r = patch_create(members, mine, &p);
    fuzz_check(r == 0 || r == -EINVAL || r == -EFBIG || r == -ENOMEM);
    fuzz_check((r == -EINVAL) == (p.why[0] != '\0'));
    if (r == 0)
        check_allowed(members, checked(&p.body), true);
    patch_finish(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    unsigned choice = fuzz_byte(&in) % RES_COUNT;
    const struct patch_member *members = resource_row((enum resource)choice)->members;
    struct json base, mine, theirs = {0};
    const char *text[3] = {0};
    size_t len[3] = {0};
    char why[PATCH_WHY_MAX] = "";
    for (size_t i = 0; i < ARRAY_SIZE(text); i++)
        fuzz_part(&in, FUZZ_SEPARATOR, &text[i], &len[i]);
    if (!members)
        members = resource_row(RES_CONTACT)->members;
    int r = patch_read(text[1] ? text[1] : "", len[1], &mine, why);
    fuzz_check(r == 0 || *why);
    if (r < 0)
        return 0;
    try_create(members, mine);
    if (!text[0] || json_check(text[0], len[0], &base, NULL) < 0 || json_type(base) != JSON_OBJECT)
        return 0;
    try_diff(members, base, mine, (struct json){0});
    if (text[2] && json_check(text[2], len[2], &theirs, NULL) == 0 &&
        json_type(theirs) == JSON_OBJECT)
        try_diff(members, base, mine, theirs);
    return 0;
}
