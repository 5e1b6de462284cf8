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

/* ---- the driver ---- */

void world_init(struct world *w, const struct world_options *options)
{
    *w = (struct world){0};
    clock_manual_init(&w->clock, 5000, WORLD_WALL_NS);
    scripted_init(&w->server, &w->clock.clock);
    scripted_respond(&w->server, world_respond, w);
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
    disk_memory_init(&w->disk);
    struct disk *disk = options->no_disk ? NULL : &w->disk.disk;
    assert_int_equal(shelf_create(disk, &w->clock.clock, &w->shelf), 0);
    const struct store_options store = {
        .api = w->api,
        .clock = &w->clock.clock,
        .ttl_ms = options->ttl_ms,
        .timeout_ms = WORLD_TIMEOUT_MS,
        .jobs = options->jobs ? options->jobs : 8,
        .changed = options->changed,
        .gone = options->gone,
        .replacing = options->replacing,
        .evicting = options->evicting,
        .cache_size = options->cache_size,
        .data = options->data,
        .shelf = w->shelf,
        .access_type = options->access_type ? options->access_type : "full_access",
        .dry_run = options->dry_run,
    };
    assert_int_equal(store_create(&store, &w->store), 0);
}

void world_finish(struct world *w)
{
    store_destroy(w->store);
    shelf_destroy(w->shelf);
    assert_int_equal(disk_memory_locked(&w->disk), 0);
    disk_memory_finish(&w->disk);
    api_destroy(w->api);
    net_destroy(w->net);
    world_account_finish(w);
    free(w->text);
    free(w->asked);
    scripted_finish(&w->server);
}

size_t world_requests(const struct world *w)
{
    return w->server.count;
}

static const char *look(struct world *w, bool changes_only)
{
    struct buf out;
    buf_init(&out, BODY_MAX);
    buf_append_str(&out, "");
    for (; w->looked < w->server.count; w->looked++) {
        const struct scripted_request *r = &w->server.requests[w->looked];
        const char *path = strchr(strstr(r->url, "//") + 2, '/');
        if (!changes_only || r->method != HTTP_GET)
            buf_printf(&out, "%s %s%s%s\n", http_method_name(r->method), path, r->body ? " " : "",
                       r->body ? r->body : "");
    }
    free(w->asked);
    return w->asked = buf_take(&out, NULL);
}

const char *world_asked(struct world *w)
{
    return look(w, false);
}

const char *world_sent(struct world *w)
{
    return look(w, true);
}

void world_no_log(void *data UNUSED, enum log_level level UNUSED, const char *module UNUSED,
                  const char *line UNUSED)
{
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
    save_unref(run->job);
    run->job = NULL;
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
    run->stale = rec->stale;
    if (!rec->text)
        return 0; /* not at hand, nor asked for */
    run_keep(run, rec->text, rec->len);
    assert_int_equal(strlen(rec->text), rec->len);
    return 0;
}

int run_record(struct run *run)
{
    struct record *rec = NULL;
    int r = store_record(run->w->store, &run->op, run->res, run->key, &rec);
    return keep_record(run, r, rec);
}

int run_stat(struct run *run)
{
    struct record *rec = NULL;
    int r = store_stat(run->w->store, &run->op, run->res, run->key, &rec);
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

int run_save(struct run *run)
{
    if (!run->op.job) {
        int r = save_start(run->w->store, &run->op, run->order, &run->op.job);
        if (r < 0)
            return r;
        save_ref(run->op.job);
        run->job = run->op.job;
    }
    int r = save_wait(run->job, &run->op);
    if (r != STORE_WAIT)
        run->key = save_key(run->job);
    return r;
}

static int to_the_end(struct world *w, struct run *run, int (*handler)(struct run *run))
{
    run_begin(w, run, handler);
    int r = world_run(w, run);
    free(w->text);
    w->text = run->text;
    run->text = NULL;
    w->stale = run->stale;
    w->key = run->key;
    w->failure_seen = run->op.failure;
    run_finish(run);
    return r;
}

int world_record(struct world *w, enum resource res, const char *id)
{
    struct run run = {.res = res, .key = store_key(w->store, res, id)};
    assert_true(run.key > 0);
    return to_the_end(w, &run, run_record);
}

int world_stat(struct world *w, enum resource res, const char *id)
{
    struct run run = {.res = res, .key = store_key(w->store, res, id)};
    assert_true(run.key > 0);
    return to_the_end(w, &run, run_stat);
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

int world_save(struct world *w, const struct save_order *order)
{
    struct run run = {.order = order};
    return to_the_end(w, &run, run_save);
}
