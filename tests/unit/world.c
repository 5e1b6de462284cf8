#include "world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY_MAX ((size_t)64 << 20)
#define LOOP_MAX 10000000 /* turns; more is an endless loop */
#define NOT_FOUND                                                                                  \
    "{\"type\":\"about:blank\",\"title\":\"An error occurred\",\"status\":404,\"detail\":\"Not "   \
    "Found\"}"
#define PARAM_MAX    256
#define REQUESTS_MAX 100000 /* more is an endless loop too */

/* ---- the account ---- */

static struct world_row *row_of(struct world *w, enum resource res, const char *id)
{
    struct world_table *t = &w->tables[res];
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
        *there = row;
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
    if (r->name_filter && query_get(url, r->name_filter, value))
        return json_member(record, r->name_member, &name) && json_string_equals(name, value);
    return true;
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

    size_t printed = 0;
    bool more = false;
    buf_printf(out, "{\"%s\":[", r->items_member);
    for (size_t k = 0; k < t->count; k++) {
        const struct world_row *row = &t->rows[ascending ? t->count - 1 - k : k];
        if (after && (ascending ? row->number <= after : row->number >= after))
            continue;
        if (!row_matches(res, row, url))
            continue;
        if (printed == limit) {
            more = true;
            break;
        }
        buf_printf(out, "%s%s", printed++ ? "," : "", row->text);
    }
    buf_printf(out, "],\"hasMore\":%s}", more ? "true" : "false");
}

static bool path_is(const char *url, enum resource res, const char **ret_id)
{
    const struct resource_row *r = resource_row(res);
    const char *base = r->host == HOST_CTRL ? WORLD_CTRL_URL : WORLD_API_URL;
    size_t n = strlen(base), m = strlen(r->list_path);
    if (strncmp(url, base, n) != 0 || strncmp(url + n, r->list_path, m) != 0)
        return false;
    const char *rest = url + n + m;
    *ret_id = *rest == '/' ? rest + 1 : NULL;
    return strchr("/?", *rest);
}

static void respond(void *data, const struct scripted_request *request,
                    struct scripted_answer *answer)
{
    struct world *w = data;
    assert_true(w->server.count < REQUESTS_MAX);
    *answer = (struct scripted_answer){.status = w->status,
                                       .body = w->body,
                                       .failure = w->failure,
                                       .delay_ms = w->delay_ms};
    if (w->status || w->failure)
        return;
    struct buf out;
    buf_init(&out, BODY_MAX);
    answer->status = 404;
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct resource_row *r = resource_row(res);
        const char *id;
        if (!path_is(request->url, res, &id))
            continue;
        const struct world_row *row = id ? row_of(w, res, id) : NULL;
        if (!id) {
            answer->status = 200;
            print_listing(w, res, request->url, &out);
        } else if (!r->item_get) {
            answer->status = 405;
        } else if (row) {
            answer->status = 200;
            if (r->item_member)
                buf_printf(&out, "{\"%s\":%s}", r->item_member, row->text);
            else
                buf_append_str(&out, row->text);
        }
        break;
    }
    if (answer->status != 200)
        buf_append_str(&out, NOT_FOUND);
    free(w->answer);
    answer->body = w->answer = buf_take(&out, NULL);
}

/* ---- the driver ---- */

void world_init(struct world *w, const struct world_options *options)
{
    *w = (struct world){0};
    clock_manual_init(&w->clock, 5000, WORLD_WALL_NS);
    scripted_init(&w->server, &w->clock.clock);
    scripted_respond(&w->server, respond, w);
    const struct net_options net = {
        .transport = &w->server.transport,
        .clock = &w->clock.clock,
        .seed = 1,
        .jobs = options->jobs ? options->jobs : 8,
        .reserve_percent = 10,
        .observer = options->observer,
        .observer_data = options->observer_data,
    };
    assert_int_equal(net_create(&net, &w->net), 0);
    const struct api_options api = {
        .net = w->net,
        .gateway = options->gateway,
        .api_url = WORLD_API_URL,
        .ctrl_url = options->gateway ? WORLD_CTRL_URL : NULL,
        .key = "a-key-of-the-test",
    };
    assert_int_equal(api_create(&api, &w->api), 0);
    const struct store_options store = {
        .api = w->api,
        .clock = &w->clock.clock,
        .ttl_ms = options->ttl_ms,
        .timeout_ms = WORLD_TIMEOUT_MS,
        .changed = options->changed,
        .gone = options->gone,
        .data = options->data,
    };
    assert_int_equal(store_create(&store, &w->store), 0);
}

void world_finish(struct world *w)
{
    store_destroy(w->store);
    api_destroy(w->api);
    net_destroy(w->net);
    for (enum resource res = 0; res < RES_COUNT; res++) {
        for (size_t i = 0; i < w->tables[res].count; i++)
            free(w->tables[res].rows[i].text);
        free(w->tables[res].rows);
    }
    free(w->text);
    free(w->answer);
    scripted_finish(&w->server);
}

size_t world_requests(const struct world *w)
{
    return w->server.count;
}

bool world_turn(struct world *w)
{
    bool happened = false;
    for (unsigned i = 0;; i++) {
        int64_t now = clock_mono_ms(&w->clock.clock);
        size_t sent = w->server.count;
        bool ready = store_next_ms(w->store) <= now;
        net_turn(w->net);
        bool answered = scripted_turn(&w->server) > 0;
        ready = ready || store_next_ms(w->store) <= now;
        store_turn(w->store);
        if (!ready && !answered && sent == w->server.count && net_next_ms(w->net) > now)
            return happened;
        happened = true;
        assert_true(i < LOOP_MAX);
    }
}

void world_advance(struct world *w, int64_t ms)
{
    int64_t end = clock_mono_ms(&w->clock.clock) + ms;
    for (;;) {
        world_turn(w);
        int64_t next = MIN(MIN(net_next_ms(w->net), store_next_ms(w->store)),
                           MIN(scripted_next_ms(&w->server), end));
        int64_t now = clock_mono_ms(&w->clock.clock);
        if (now >= end)
            return;
        clock_manual_advance(&w->clock, MAX(next - now, 1));
    }
}

/* ---- operations ---- */

static void run_again(struct run *run)
{
    run->runs++;
    run->op.failure = (struct api_failure){0};
    int r = run->handler(run);
    assert_int_equal(r == STORE_WAIT, op_parked(&run->op));
    if (r == STORE_WAIT)
        return;
    run->result = r;
    run->ends++;
    run->ended_ms = clock_mono_ms(&run->w->clock.clock);
    op_end(&run->op);
}

static void run_resumed(struct op *op)
{
    struct run *run = CONTAINER_OF(op, struct run, op);
    assert_int_equal(run->ends, 0);
    run_again(run);
}

void run_begin(struct world *w, struct run *run, int (*handler)(struct run *run))
{
    run->w = w;
    run->handler = handler;
    run->op.resume = run_resumed;
    run->began_ms = clock_mono_ms(&w->clock.clock);
    op_begin(w->store, &run->op);
    run_again(run);
}

int world_run(struct world *w, struct run *run)
{
    int64_t limit = run->began_ms + 2 * WORLD_TIMEOUT_MS;
    world_turn(w);
    while (!run->ends) {
        int64_t now = clock_mono_ms(&w->clock.clock);
        int64_t next =
            MIN(MIN(net_next_ms(w->net), store_next_ms(w->store)), scripted_next_ms(&w->server));
        if (now > limit)
            fail_msg("the operation has not ended after twice its timeout");
        assert_true(next < INT64_MAX);
        clock_manual_advance(&w->clock, MAX(next - now, 1));
        world_turn(w);
    }
    assert_int_equal(run->ends, 1);
    return run->result;
}

void run_finish(struct run *run)
{
    free(run->text);
    run->text = NULL;
}

static void run_keep(struct run *run, const char *text, size_t len)
{
    free(run->text);
    run->text = strndup(text, len);
}

static int keep_record(struct run *run, int r, const struct record *rec)
{
    if (r != 0)
        return r;
    run_keep(run, rec->text, rec->len);
    run->stale = rec->stale;
    assert_int_equal(strlen(rec->text), rec->len);
    return 0;
}

int run_record(struct run *run)
{
    struct record *rec = NULL;
    int r = store_record(run->w->store, &run->op, run->res, run->key, &rec);
    return keep_record(run, r, rec);
}

int run_record_in(struct run *run)
{
    struct record *rec = NULL;
    int r = store_record_in(run->w->store, &run->op, run->listing, run->key, &rec);
    return keep_record(run, r, rec);
}

int run_whole(struct run *run)
{
    struct walk *walk = NULL;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    int r = store_walk_whole(run->w->store, &run->op, run->listing, &walk);
    if (r != 0)
        return r;
    assert_true(walk->complete);
    struct buf out;
    buf_init(&out, BODY_MAX);
    for (size_t i = 0; i < walk->count; i++)
        buf_printf(&out, "%s%s", i ? " " : "",
                   store_id(run->w->store, run->res, walk->keys[i], id));
    run_keep(run, out.data ? out.data : "", out.len);
    buf_finish(&out);
    return 0;
}

int run_find(struct run *run)
{
    return store_find(run->w->store, &run->op, run->res, run->name, strlen(run->name), &run->key);
}

static int to_the_end(struct world *w, struct run *run, int (*handler)(struct run *run))
{
    run_begin(w, run, handler);
    int r = world_run(w, run);
    free(w->text);
    w->text = run->text;
    w->stale = run->stale;
    w->key = run->key;
    w->failure_seen = run->op.failure;
    return r;
}

int world_record(struct world *w, enum resource res, const char *id)
{
    struct run run = {.res = res, .key = store_key(w->store, res, id)};
    assert_true(run.key > 0);
    return to_the_end(w, &run, run_record);
}

int world_record_in(struct world *w, struct listing *l, enum resource res, const char *id)
{
    struct run run = {.res = res, .key = store_key(w->store, res, id), .listing = l};
    assert_true(run.key > 0);
    return to_the_end(w, &run, run_record_in);
}

struct listing *world_home(struct world *w, enum resource res)
{
    struct listing *l = store_listing(w->store, res, -1, 0);
    assert_non_null(l);
    return l;
}

struct listing *world_part(struct world *w, enum resource res, enum resource by, const char *id)
{
    int filter = resource_filter_by(res, by);
    assert_true(filter >= 0);
    struct listing *l = store_listing(w->store, res, filter, store_key(w->store, by, id));
    assert_non_null(l);
    return l;
}

int world_list(struct world *w, enum resource res, struct listing *l)
{
    struct run run = {.res = res, .listing = l};
    return to_the_end(w, &run, run_whole);
}

int world_find(struct world *w, enum resource res, const char *name)
{
    struct run run = {.res = res, .name = name};
    return to_the_end(w, &run, run_find);
}
