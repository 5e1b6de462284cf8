/* world: the account, and the server over it. */
#include "world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY_MAX ((size_t)64 << 20)
#define NOT_FOUND                                                                                  \
    "{\"type\":\"about:blank\",\"title\":\"An error occurred\",\"status\":404,\"detail\":\"Not "   \
    "Found\"}"
#define PARAM_MAX    256
#define REQUESTS_MAX 100000 /* more is an endless loop too */
#define FIRST_ID     9001   /* of what is made here */

/* ---- the account ---- */

static struct world_row *row_of(struct world *w, enum resource res, const char *id)
{
    struct world_table *t = &w->tables[res];
    uint64_t number = resource_row(res)->id_kind == ID_NUMBER ? strtoull(id, NULL, 10) : 0;
    /* Long accounts are filled from the highest id down: then it is behind all others. */
    if (number && t->count && t->rows[t->count - 1].number > number)
        return NULL;
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->rows[i].id, id) == 0)
            return &t->rows[i];
    return NULL;
}

void world_put(struct world *w, enum resource res, const char *text)
{
    struct json v;
    struct world_row row = {0};
    assert_int_equal(json_check(text, strlen(text), &v, NULL), 0);
    assert_true(api_record_id(res, v, row.id));
    if (resource_row(res)->id_kind == ID_NUMBER)
        row.number = strtoull(row.id, NULL, 10);
    row.text = strdup(text);

    struct world_row *there = row_of(w, res, row.id);
    if (there) {
        free(there->text);
        there->text = row.text;
        return;
    }
    struct world_table *t = &w->tables[res];
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->rows = realloc(t->rows, t->cap * sizeof(*t->rows));
        assert_non_null(t->rows);
    }
    size_t i = t->count++;
    for (; row.number && i > 0 && t->rows[i - 1].number < row.number; i--)
        t->rows[i] = t->rows[i - 1];
    t->rows[i] = row;
}

void world_putf(struct world *w, enum resource res, const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    assert_true(vasprintf(&text, fmt, ap) >= 0);
    va_end(ap);
    world_put(w, res, text);
    free(text);
}

void world_remove(struct world *w, enum resource res, const char *id)
{
    struct world_table *t = &w->tables[res];
    struct world_row *row = row_of(w, res, id);
    assert_non_null(row);
    free(row->text);
    size_t i = (size_t)(row - t->rows);
    memmove(row, row + 1, (--t->count - i) * sizeof(*row));
}

void world_fill(struct world *w, enum resource res, uint64_t first, uint64_t last)
{
    const struct resource_row *row = resource_row(res);
    const char *name = row->name_member ? row->name_member : "note";
    const char *tail = row->name_filter ? "@example.com" : "";
    for (uint64_t id = first; id <= last; id++)
        world_putf(w, res, "{\"id\":%" PRIu64 ",\"%s\":\"%s-%" PRIu64 "%s\"}", id, name, row->name,
                   id, tail);
}

/* ---- its server ---- */

/* The value of a query parameter, decoded. */
static bool query_get(const char *url, const char *name, char out[PARAM_MAX])
{
    const char *p = strchr(url, '?');
    size_t n = strlen(name), len = 0;
    while (p && (strncmp(++p, name, n) != 0 || p[n] != '='))
        p = strchr(p, '&');
    if (!p)
        return false;
    for (p += n + 1; *p && *p != '&' && len < PARAM_MAX - 1; p++) {
        unsigned byte = (unsigned char)*p;
        if (*p == '%' && sscanf(p + 1, "%2x", &byte) == 1)
            p += 2;
        out[len++] = (char)byte;
    }
    out[len] = '\0';
    return true;
}

struct wanted {
    const char *id;
    bool found;
};

static void wanted_each(void *data, struct json value)
{
    struct wanted *q = data;
    q->found = q->found || (value.len == strlen(q->id) && memcmp(value.p, q->id, value.len) == 0);
}

static bool row_matches(enum resource res, const struct world_row *row, const char *url)
{
    const struct resource_row *r = resource_row(res);
    char value[PARAM_MAX];
    struct json record, name;
    assert_int_equal(json_check(row->text, strlen(row->text), &record, NULL), 0);
    for (int i = 0; i < RESOURCE_FILTERS; i++) {
        const struct resource_filter *f = &r->filters[i];
        if (!f->param || !query_get(url, f->param, value))
            continue;
        struct wanted q = {.id = value};
        char member[PARAM_MAX];
        snprintf(member, sizeof(member), "%s.id", f->param);
        api_member_each(record, f->member ? f->member : member, wanted_each, &q);
        if (!q.found)
            return false;
    }
    /* Addresses are found without regard to case. */
    if (r->name_filter && query_get(url, r->name_filter, value))
        return json_member(record, r->name_member, &name) && name.len == strlen(value) + 2 &&
               strncasecmp(name.p + 1, value, name.len - 2) == 0;
    return true;
}

static bool has_row(const struct world_table *t, uint64_t number)
{
    for (size_t k = 0; k < t->count; k++)
        if (t->rows[k].number == number)
            return true;
    return false;
}

static void print_listing(struct world *w, enum resource res, const char *url, struct buf *out)
{
    const struct resource_row *r = resource_row(res);
    const struct world_table *t = &w->tables[res];
    char value[PARAM_MAX];
    bool ascending =
        query_get(url, "order", value) && strcmp(value, "asc") == 0 && !w->ignores_order;
    size_t limit = !r->paged                        ? SIZE_MAX
                   : query_get(url, "limit", value) ? strtoull(value, NULL, 10)
                                                    : 10;
    if (w->page_max)
        limit = MIN(limit, w->page_max);
    uint64_t after = query_get(url, "startingAfter", value) ? strtoull(value, NULL, 10) : 0;
    size_t skipped = 0;
    if (after && w->strange_cursor && (!w->strange_below || after < w->strange_below) &&
        !has_row(t, after)) {
        if (w->strange_cursor == CURSOR_EMPTY)
            limit = 0;
        if (w->strange_cursor == CURSOR_SKIPS)
            skipped = 50;
        else
            after = 0;
    }

    size_t printed = 0;
    bool more = false;
    buf_printf(out, "{\"%s\":[", r->items_member);
    for (size_t k = 0; k < t->count; k++) {
        const struct world_row *row = &t->rows[ascending ? t->count - 1 - k : k];
        if (row->from_ms > clock_mono_ms(&w->clock.clock))
            continue;
        if (after && (ascending ? row->number <= after : row->number >= after))
            continue;
        if (!row_matches(res, row, url))
            continue;
        if (skipped) {
            skipped--;
            continue;
        }
        if (printed == limit) {
            more = limit > 0;
            break;
        }
        buf_printf(out, "%s%s", printed++ ? "," : "", row->text);
    }
    buf_printf(out, "],\"hasMore\":%s}", more ? "true" : "false");
}

/* ---- how it is changed ---- */

static int refused(struct buf *out, const char *member, const char *message)
{
    buf_printf(out, "{\"violations\":[{\"propertyPath\":\"%s\",\"message\":\"%s\"}]}", member,
               message);
    return 422;
}

/* The member of an object that another one has under the same name (a string slice). */
static bool member_like(struct json object, struct json name, struct json *ret)
{
    char text[PARAM_MAX];
    assert_true(name.len >= 2 && name.len <= PARAM_MAX);
    snprintf(text, sizeof(text), "%.*s", (int)name.len - 2, name.p + 1);
    return json_member(object, text, ret);
}

static void merge(struct json old, struct json patch, struct buf *out);

static bool pair_of(struct json pairs, struct json slug, struct json *ret)
{
    struct json other;
    struct json_iter it;
    json_iter_init(&it, pairs);
    while (json_iter_next(&it, NULL, ret))
        if (json_member(*ret, "slug", &other) && other.len == slug.len &&
            memcmp(other.p, slug.p, slug.len) == 0)
            return true;
    return false;
}

/* Pairs that the patch does not name stay. */
static void merge_pairs(struct json old, struct json patch, struct buf *out)
{
    const char *sep = "[";
    struct json pair, slug, other;
    struct json_iter it;
    json_iter_init(&it, old);
    for (; json_iter_next(&it, NULL, &pair); sep = ",") {
        assert_true(json_member(pair, "slug", &slug));
        buf_append_str(out, sep);
        merge(pair, pair_of(patch, slug, &other) ? other : (struct json){0}, out);
    }
    json_iter_init(&it, patch);
    while (json_iter_next(&it, NULL, &pair)) {
        assert_true(json_member(pair, "slug", &slug));
        if (pair_of(old, slug, &other))
            continue;
        buf_append_str(out, sep);
        buf_append(out, pair.p, pair.len);
        sep = ",";
    }
    buf_append_str(out, *sep == '[' ? "[]" : "]");
}

/* Members that a record does not have are dropped without a word, as the API does. */
static void merge(struct json old, struct json patch, struct buf *out)
{
    const char *sep = "{";
    struct json name, value, other;
    struct json_iter it;
    json_iter_init(&it, old);
    for (; json_iter_next(&it, &name, &value); sep = ",") {
        bool changed = member_like(patch, name, &other);
        buf_printf(out, "%s%.*s:", sep, (int)name.len, name.p);
        if (changed && json_string_equals(name, "fields"))
            merge_pairs(value, other, out);
        else
            buf_append(out, changed ? other.p : value.p, changed ? other.len : value.len);
    }
    buf_append_byte(out, '}');
}

static void print_one(enum resource res, const char *text, struct buf *out)
{
    const char *member = resource_row(res)->item_member;
    if (member)
        buf_printf(out, "{\"%s\":%s}", member, text);
    else
        buf_append_str(out, text);
}

static void change_row(struct world *w, enum resource res, struct world_row *row, struct json patch)
{
    struct json old;
    struct buf text;
    buf_init(&text, BODY_MAX);
    assert_int_equal(json_check(row->text, strlen(row->text), &old, NULL), 0);
    merge(old, patch, &text);
    world_put(w, res, text.data);
    buf_finish(&text);
}

/*
 * What a new record looks like: @ is its id, ^ that of the record in the path, and $name? the
 * body's member of that name or, where it has none, what stands from there to the semicolon.
 */
static const char *const templates[RES_COUNT] = {
    [RES_CONTACT] = "{\"id\":@,\"email\":$email?null;,\"locale\":$locale?\"en\";,"
                    "\"fields\":$fields?[];,\"tags\":[]}",
    [RES_TAG] = "{\"id\":@,\"name\":$name?null;}",
    [RES_FIELD] = "{\"slug\":$slug?null;,\"fieldName\":$fieldName?null;}",
    [RES_ENROLLMENT] = "{\"id\":@,\"contact\":{\"id\":$contactId?0;},\"course\":{\"id\":^},"
                       "\"accessType\":$accessType?null;,\"active\":true}",
    [RES_MEMBERSHIP] = "{\"id\":@,\"community\":{\"id\":^},\"contact\":{\"id\":$contactId?0;}}",
    [RES_WEBHOOK] = "{\"id\":\"01234567-89ab-cdef-0123-45678901@\",\"name\":$name?null;,"
                    "\"url\":$url?null;,\"active\":$active?true;}",
    [RES_CONNECTION] = "{\"connection_id\":\"01234567-89ab-cdef-0123-45678901@\","
                       "\"status\":\"PENDING\"}",
};

static void fill_in(const char *template, uint64_t id, const char *parent, struct json body,
                    struct buf *out)
{
    for (const char *p = template; *p; p++) {
        char name[PARAM_MAX];
        struct json v;
        if (*p == '@') {
            buf_printf(out, "%" PRIu64, id);
        } else if (*p == '^') {
            buf_append_str(out, parent);
        } else if (*p == '$') {
            size_t len = strcspn(++p, "?"), otherwise = strcspn(p + len, ";");
            snprintf(name, sizeof(name), "%.*s", (int)len, p);
            if (json_member(body, name, &v))
                buf_append(out, v.p, v.len);
            else
                buf_append(out, p + len + 1, otherwise - 1);
            p += len + otherwise;
        } else {
            buf_append_byte(out, *p);
        }
    }
}

/* Whether a record has that value of the body's already: an address, a name. */
static bool used(const struct world *w, enum resource res, struct json body)
{
    const struct resource_row *r = resource_row(res);
    const char *member = r->name_member ? r->name_member : r->id_member;
    struct json mine, record, theirs;
    for (size_t i = 0; json_member(body, member, &mine) && i < w->tables[res].count; i++) {
        const char *text = w->tables[res].rows[i].text;
        assert_int_equal(json_check(text, strlen(text), &record, NULL), 0);
        if (json_member(record, member, &theirs) && theirs.len == mine.len &&
            memcmp(theirs.p, mine.p, mine.len) == 0)
            return true;
    }
    return false;
}

static int create(struct world *w, enum resource res, const char *parent, struct json body,
                  struct buf *out)
{
    const struct resource_row *r = resource_row(res);
    if (used(w, res, body))
        return refused(out, r->name_member ? r->name_member : r->id_member,
                       "This value is already used.");
    struct buf text;
    struct json v;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    buf_init(&text, BODY_MAX);
    fill_in(templates[res], FIRST_ID + w->made++, parent, body, &text);
    world_put(w, res, text.data);
    if (r->create_later) {
        assert_int_equal(json_check(text.data, text.len, &v, NULL), 0);
        api_record_id(res, v, id);
        row_of(w, res, id)->from_ms = clock_mono_ms(&w->clock.clock) + w->later_ms;
    } else {
        print_one(res, text.data, out);
    }
    buf_finish(&text);
    return r->create_later ? 202 : 201;
}

/* Puts a tag onto a contact, or takes it off. */
static int change_tags(struct world *w, struct world_row *contact, const char *tag, bool in,
                       struct buf *out)
{
    char id[RESOURCE_ID_TEXT_MAX + 1];
    struct json record, tags, item, patch;
    struct json_iter it;
    struct buf text;
    bool there = false;
    const struct world_row *row = row_of(w, RES_TAG, tag);
    if (in && !row)
        return refused(out, "tagId", "The tag does not exist.");
    buf_init(&text, BODY_MAX);
    buf_append_str(&text, "{\"tags\":[");
    assert_int_equal(json_check(contact->text, strlen(contact->text), &record, NULL), 0);
    assert_true(json_member(record, "tags", &tags));
    json_iter_init(&it, tags);
    for (const char *sep = ""; json_iter_next(&it, NULL, &item);) {
        bool same = api_record_id(RES_TAG, item, id) && strcmp(id, tag) == 0;
        there = there || same;
        if (same && !in)
            continue;
        buf_printf(&text, "%s%.*s", sep, (int)item.len, item.p);
        sep = ",";
    }
    if (in && !there)
        buf_printf(&text, "%s%s", tags.len > 2 ? "," : "", row->text);
    buf_append_str(&text, "]}");
    assert_int_equal(json_check(text.data, text.len, &patch, NULL), 0);
    change_row(w, RES_CONTACT, contact, patch);
    buf_finish(&text);
    return in || there ? 204 : 404;
}

struct route {
    enum resource res;
    char id[PARAM_MAX], below[PARAM_MAX], below_id[PARAM_MAX]; /* "": none */
};

/* POST and DELETE of what is below a record. */
static int change_below(struct world *w, const struct route *to, struct world_row *row,
                        enum http_method method, struct json body, struct buf *out)
{
    char tag[PARAM_MAX];
    struct json v;
    if (to->res == RES_COURSE && strcmp(to->below, "enrollments") == 0)
        return create(w, RES_ENROLLMENT, to->id, body, out);
    if (to->res == RES_COMMUNITY && strcmp(to->below, "memberships") == 0)
        return create(w, RES_MEMBERSHIP, to->id, body, out);
    if (to->res == RES_SUBSCRIPTION && strcmp(to->below, "cancel") == 0)
        return json_member(body, "cancel", &v) ? 204 : 422;
    if (to->res != RES_CONTACT || strcmp(to->below, "tags") != 0)
        return 404;
    if (method == HTTP_DELETE)
        return change_tags(w, row, to->below_id, false, out);
    assert_true(json_member(body, "tagId", &v));
    snprintf(tag, sizeof(tag), "%.*s", (int)v.len, v.p);
    return change_tags(w, row, tag, true, out);
}

static int change(struct world *w, const struct route *to, const struct scripted_request *request,
                  struct buf *out)
{
    struct world_row *row = *to->id ? row_of(w, to->res, to->id) : NULL;
    struct json body = {0};
    const char *type = scripted_header(request, "Content-Type");
    if (request->body) {
        assert_int_equal(json_check(request->body, request->body_len, &body, NULL), 0);
        assert_string_equal(type, request->method == HTTP_PATCH ? "application/merge-patch+json"
                                                                : "application/json");
    } else {
        assert_null(type);
    }
    if (*to->id && !row)
        return 404;
    if (*to->below)
        return change_below(w, to, row, request->method, body, out);
    if (!row)
        return request->method == HTTP_POST ? create(w, to->res, "", body, out) : 405;
    if (request->method == HTTP_DELETE) {
        world_remove(w, to->res, to->id);
        return 204;
    }
    if (request->method != resource_row(to->res)->save)
        return 405;
    change_row(w, to->res, row, body);
    print_one(to->res, row_of(w, to->res, to->id)->text, out);
    return 200;
}

/* ---- who answers ---- */

static bool find_route(const char *url, struct route *ret)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct resource_row *r = resource_row(res);
        const char *base = r->host == HOST_CTRL ? WORLD_CTRL_URL : WORLD_API_URL;
        size_t n = strlen(base), m = strlen(r->list_path);
        if (strncmp(url, base, n) != 0 || strncmp(url + n, r->list_path, m) != 0 ||
            !strchr("/?", url[n + m]))
            continue;
        *ret = (struct route){.res = res};
        sscanf(url + n + m, "/%255[^/?]/%255[^/?]/%255[^/?]", ret->id, ret->below, ret->below_id);
        return true;
    }
    return false;
}

static int read_one(struct world *w, const struct route *to, struct buf *out)
{
    const struct resource_row *r = resource_row(to->res);
    const struct world_row *row = row_of(w, to->res, to->id);
    if (!r->item_get)
        return 405;
    if (!row)
        return 404;
    print_one(to->res, row->text, out);
    return 200;
}

void world_respond(void *data, const struct scripted_request *request,
                   struct scripted_answer *answer)
{
    struct world *w = data;
    struct route to;
    assert_true(w->server.count < REQUESTS_MAX);
    *answer = (struct scripted_answer){.status = w->status,
                                       .body = w->body,
                                       .failure = w->failure,
                                       .headers = w->headers,
                                       .delay_ms = w->delay_ms};
    bool changes = request->method != HTTP_GET;
    if (changes && w->watch)
        w->watch(w->watch_data);
    if (w->status || w->failure)
        return;
    struct buf out;
    buf_init(&out, BODY_MAX);
    answer->status = 404;
    if (find_route(request->url, &to)) {
        if (changes)
            answer->status = change(w, &to, request, &out);
        else if (*to.id)
            answer->status = read_one(w, &to, &out);
        else {
            answer->status = 200;
            print_listing(w, to.res, request->url, &out);
        }
    }
    if (answer->status >= 400 && !out.len)
        buf_append_str(&out, NOT_FOUND);
    free(w->answer);
    answer->body = w->answer = buf_take(&out, NULL);
    if (changes && w->lose) {
        w->lose--;
        answer->failure = NET_LOST;
    }
}

void world_account_finish(struct world *w)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        for (size_t i = 0; i < w->tables[res].count; i++)
            free(w->tables[res].rows[i].text);
        free(w->tables[res].rows);
    }
    free(w->answer);
}
