/* sim: the loop, and the driver's life from start to crash. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURNS_MAX 1000000 /* in one moment: more is an endless loop */

/* ---- what is told of a run ---- */

void sim_trace(struct sim *s, const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    size_t len = MIN((size_t)MAX(n, 0), sizeof(line) - 1);
    uint64_t parts[] = {s->hash, (uint64_t)sim_now(s), hash_bytes(line, len)};
    s->hash = hash_bytes(parts, sizeof(parts));
    if (s->verbose)
        printf("%8lld  %s\n", (long long)sim_now(s), line);
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    if (s->failure[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->failure, sizeof(s->failure), fmt, ap);
    va_end(ap);
    sim_trace(s, "FAILED: %s", s->failure);
}

/* ---- the driver ---- */

void driver_start(struct sim *s)
{
    const struct plan *p = s->plan;
    const struct clock *clock = &s->w.clock.clock;
    s->life++;
    s->born_ms = sim_now(s);
    s->dead = false;
    s->die_at_disk = s->die_at_send = 0;
    wire_new_life(s);
    kernel_init(s);
    s->journal = journal_create(clock);
    assert_non_null(s->journal);
    const struct net_options net = {.transport = &s->wire.transport,
                                    .clock = clock,
                                    .seed = p->seed + s->life,
                                    .jobs = p->jobs,
                                    .reserve_percent = 10,
                                    .observer = journal_exchange,
                                    .observer_data = s->journal};
    assert_int_equal(net_create(&net, &s->net), 0);
    const struct api_options api = {.net = s->net,
                                    .gateway = p->gateway,
                                    .api_url = WORLD_API_URL,
                                    .ctrl_url = p->gateway ? WORLD_CTRL_URL : NULL,
                                    .key = "a-key-of-the-simulation"};
    assert_int_equal(api_create(&api, &s->api), 0);
    assert_int_equal(shelf_create(&s->disk, clock, &s->shelf), 0);
    const struct store_options store = {.api = s->api,
                                        .clock = clock,
                                        .ttl_ms = p->ttl_ms,
                                        .timeout_ms = p->timeout_ms,
                                        .jobs = p->jobs,
                                        .changed = tree_store_changed,
                                        .gone = tree_store_gone,
                                        .replacing = tree_store_replacing,
                                        .data = &s->tree,
                                        .shelf = s->shelf,
                                        .access_type = "full_access",
                                        .dry_run = p->dry_run};
    assert_int_equal(store_create(&store, &s->store), 0);
    const struct tree_options tree = {.store = s->store,
                                      .api = s->api,
                                      .net = s->net,
                                      .journal = s->journal,
                                      .clock = clock,
                                      .kernel = &s->kernel.tree,
                                      .umask = 077,
                                      .ttl_ms = p->ttl_ms,
                                      .url = WORLD_API_URL,
                                      .mode_name = p->gateway ? "gateway" : "direct",
                                      .no_open = p->ro && p->ttl_ms > 0,
                                      .shelf = s->shelf,
                                      .delete_limit = p->delete_limit};
    assert_int_equal(tree_create(&tree, &s->tree), 0);
    s->alive = true;
    sim_trace(s, "mounted, life %u", s->life);
}

/* Top to bottom, as src/main.c does it. */
static void take_down(struct sim *s)
{
    for (size_t i = 0; i < SIM_PEOPLE; i++)
        call_cut(&s->people[i].call);
    s->alive = false;
    struct tree *t = s->tree;
    tree_destroy(t);
    s->tree = NULL;
    store_destroy(s->store);
    shelf_destroy(s->shelf);
    api_destroy(s->api);
    net_destroy(s->net);
    journal_destroy(s->journal);
    s->journal = NULL;
    kernel_finish(s);
}

/* Nothing of what it does now reaches disk or server, and nobody hears from it. */
void driver_crash(struct sim *s)
{
    sim_trace(s, "killed");
    s->dead = true;
    s->crashes++;
    check_cut(s);
    take_down(s);
    disk_memory_crash(&s->w.disk);
    s->dead = false;
}

/* ---- the loop ---- */

/* Whatever happens in this moment. */
static void turn(struct sim *s)
{
    for (unsigned i = 0;; i++) {
        bool happened = people_turn(s);
        happened = kernel_turn(s) || happened;
        happened = wire_turn(s) || happened;
        if (s->alive) {
            int64_t now = sim_now(s);
            uint64_t before = s->tick;
            bool ready = store_next_ms(s->store) <= now;
            net_turn(s->net);
            ready = ready || store_next_ms(s->store) <= now;
            store_turn(s->store);
            net_turn(s->net);
            happened = happened || ready || s->tick != before || net_next_ms(s->net) <= now;
        }
        if (s->dead) {
            driver_crash(s);
            driver_start(s);
            check_deeds(s);
            happened = true;
        }
        if (!happened || s->failure[0])
            break;
        if (i >= TURNS_MAX) {
            sim_fail(s, "it does not come to rest");
            break;
        }
    }
    if (s->alive && !s->failure[0])
        check_caps(s);
}

static int64_t next_ms(struct sim *s)
{
    int64_t next = MIN(MIN(people_next_ms(s), kernel_next_ms(s)), wire_next_ms(s));
    if (s->alive)
        next = MIN(next, MIN(net_next_ms(s->net), store_next_ms(s->store)));
    return next;
}

static void run_until(struct sim *s, int64_t end)
{
    turn(s);
    while (!s->failure[0] && sim_now(s) < end) {
        int64_t next = MIN(next_ms(s), end);
        clock_manual_advance(&s->w.clock, MAX(next - sim_now(s), 1));
        turn(s);
    }
}

/* What has been sent is seen through to its answer; then the mount goes. */
void driver_stop(struct sim *s)
{
    sim_trace(s, "unmounted");
    int64_t end = sim_now(s) + 3 * s->plan->timeout_ms;
    while (!s->failure[0] && store_saving(s->store) && !s->dead) {
        int64_t next = MIN(MIN(wire_next_ms(s), kernel_next_ms(s)),
                           MIN(net_next_ms(s->net), store_next_ms(s->store)));
        if (sim_now(s) > end) {
            sim_fail(s, "a change is still under way %lld ms after the unmounting",
                     3 * (long long)s->plan->timeout_ms);
            break;
        }
        if (next > sim_now(s))
            clock_manual_advance(&s->w.clock, next - sim_now(s));
        kernel_turn(s);
        wire_turn(s);
        net_turn(s->net);
        store_turn(s->store);
        net_turn(s->net);
    }
    if (s->dead) {
        driver_crash(s);
        return;
    }
    check_unmounted(s, false);
    take_down(s);
    check_unmounted(s, true);
    disk_memory_crash(&s->w.disk); /* its locks go with the process */
}

/* ---- events ---- */

static void begin_event(struct sim *s, const struct event *e)
{
    struct rng rng = {.state = e->seed};
    s->steps++;
    switch (e->kind) {
    case EVENT_ACT:
        people_begin(s, e);
        break;
    case EVENT_WEATHER:
        wire_weather(s, &rng);
        break;
    case EVENT_DISK:
        disk_faults(s, &rng);
        break;
    case EVENT_OTHER:
        server_other(s, &rng);
        break;
    case EVENT_SIGNAL:
        call_interrupt(&s->people[rng_below(&rng, SIM_PEOPLE)].call);
        break;
    case EVENT_FORGET:
        kernel_forget(s, &rng);
        break;
    case EVENT_CRASH:
        s->die_after = rng_below(&rng, 2);
        switch (rng_below(&rng, 3)) {
        case 0:
            s->dead = true;
            break;
        case 1:
            s->die_at_disk = 1 + (unsigned)rng_below(&rng, 12);
            break;
        default:
            s->die_at_send = 1 + (unsigned)rng_below(&rng, 4);
        }
        break;
    case EVENT_UNMOUNT:
        driver_stop(s);
        driver_start(s);
        check_deeds(s);
        break;
    case EVENT_KIND_COUNT:
        break;
    }
}

/* Until nobody does anything any more. */
static void rest(struct sim *s, const char *too_long)
{
    for (int64_t end = sim_now(s) + 3600000; people_busy(s) && !s->failure[0];) {
        if (sim_now(s) > end)
            sim_fail(s, "%s", too_long);
        run_until(s, MIN(next_ms(s), sim_now(s) + 60000));
    }
}

static void play(struct sim *s, const bool *keep)
{
    const struct plan *p = s->plan;
    for (size_t i = 0; i < p->count && !s->failure[0]; i++) {
        const struct event *e = &p->events[i];
        if (keep && !keep[i])
            continue;
        run_until(s, sim_now(s) + e->wait_ms);
        if (s->failure[0])
            return;
        snprintf(s->at, sizeof(s->at), "event %u", e->index);
        begin_event(s, e);
        turn(s);
    }
    /* The weather gets fine, and everybody comes to an end. */
    wire_calm(s);
    disk_calm(s);
    s->die_at_disk = s->die_at_send = 0;
    rest(s, "people have waited for an hour in fine weather");
    if (!s->failure[0])
        run_until(s, sim_now(s) + 3 * p->timeout_ms + 1000);
    if (!s->failure[0]) {
        people_inspect(s);
        rest(s, "the last look takes an hour");
        run_until(s, sim_now(s) + p->timeout_ms);
    }
    if (!s->failure[0])
        check_finish(s);
}

bool sim_run(struct sim *s, const struct plan *plan, const bool *keep, bool verbose)
{
    *s = (struct sim){.plan = plan, .verbose = verbose};
    clock_manual_init(&s->w.clock, 5000, WORLD_WALL_NS);
    disk_init(s);
    wire_init(s);
    server_init(s);
    people_init(s);
    driver_start(s);
    play(s, keep);

    /* Nobody waits for a run that is over. */
    s->over = true;
    take_down(s);
    while (people_busy(s))
        people_turn(s);
    people_finish(s);
    check_free(s);
    wire_finish(s);
    server_finish(s);
    disk_memory_finish(&s->w.disk);
    return !s->failure[0];
}
