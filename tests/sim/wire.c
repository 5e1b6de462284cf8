/* sim: requests on their way to the server and back, and the weather out there. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FATE_BIT(f) (UINT32_C(1) << FATE_##f)

/* What becomes of a request. */
static const struct {
    const char *name;
    enum net_failure failure;
    int status; /* 0: what the server says */
    bool leaves, executes;
} fates[FATE_COUNT] = {
    [FATE_FINE] = {"fine", NET_OK, 0, true, true},
    [FATE_REFUSED] = {"refused", NET_REFUSED, 0, false, false},
    [FATE_UNREACHABLE] = {"unreachable", NET_UNREACHABLE, 0, false, false},
    [FATE_TLS] = {"tls", NET_TLS, 0, false, false},
    [FATE_LOST_BEFORE] = {"lost, not executed", NET_LOST, 0, true, false},
    [FATE_LOST_AFTER] = {"executed, lost", NET_LOST, 0, true, true},
    [FATE_HANG_BEFORE] = {"hangs, not executed", NET_TIMEOUT, 0, true, false},
    [FATE_HANG_AFTER] = {"hangs, executed", NET_TIMEOUT, 0, true, true},
    [FATE_429] = {"429", NET_OK, 429, true, false},
    [FATE_429_BARE] = {"429 without headers", NET_OK, 429, true, false},
    [FATE_500] = {"500", NET_OK, 500, true, false},
    [FATE_503] = {"503", NET_OK, 503, true, false},
    [FATE_504_AFTER] = {"executed, 504", NET_OK, 504, true, true},
    [FATE_GARBAGE] = {"executed, garbage", NET_OK, 0, true, true},
    [FATE_CUT] = {"executed, cut off", NET_OK, 0, true, true},
    [FATE_SHAPE] = {"executed, another shape", NET_OK, 0, true, true},
    [FATE_REDIRECT] = {"302", NET_OK, 302, true, false},
    [FATE_PAGE] = {"the first page", NET_OK, 0, true, true},
};

/* ---- weather ---- */

static const struct {
    const char *name;
    uint32_t fates;
    unsigned bad_percent, slow_percent;
    int64_t latency_ms;
} weathers[] = {
    {"calm", 0, 0, 0, 30},
    {"slow", 0, 0, 30, 400},
    {"lossy", FATE_BIT(LOST_BEFORE) | FATE_BIT(LOST_AFTER), 25, 5, 60},
    {"down", FATE_BIT(REFUSED), 100, 0, 5},
    {"no network", FATE_BIT(UNREACHABLE) | FATE_BIT(TLS), 90, 0, 5},
    {"hanging", FATE_BIT(HANG_BEFORE) | FATE_BIT(HANG_AFTER), 40, 20, 200},
    {"ill", FATE_BIT(500) | FATE_BIT(503) | FATE_BIT(504_AFTER), 50, 10, 80},
    {"throttling", FATE_BIT(429) | FATE_BIT(429_BARE), 40, 0, 40},
    {"lying",
     FATE_BIT(GARBAGE) | FATE_BIT(CUT) | FATE_BIT(SHAPE) | FATE_BIT(REDIRECT) | FATE_BIT(PAGE), 30,
     0, 40},
    {"everything", ~FATE_BIT(FINE), 25, 10, 100},
};

void wire_weather(struct sim *s, struct rng *rng)
{
    size_t i = rng_below(rng, ARRAY_SIZE(weathers));
    s->wire.weather = (struct weather){.seed = rng_next(rng),
                                       .bad_percent = weathers[i].bad_percent,
                                       .fates = weathers[i].fates,
                                       .latency_ms = weathers[i].latency_ms,
                                       .slow_percent = weathers[i].slow_percent};
    map_finish(&s->wire.asked);
    map_init(&s->wire.asked);
    sim_trace(s, "weather: %s", weathers[i].name);
}

void wire_calm(struct sim *s)
{
    s->wire.weather = (struct weather){.seed = 1, .latency_ms = weathers[0].latency_ms};
    sim_trace(s, "weather: calm to the end");
}

bool sim_away_since(const struct sim *s, int64_t ms)
{
    const struct wire *w = &s->wire;
    return w->bad_ms >= ms || w->throttled_ms >= ms;
}

/* ---- the quota ---- */

/* One request has come. Whether it is within. */
static bool quota_take(struct sim *s)
{
    struct wire *w = &s->wire;
    int64_t now = sim_now(s);
    if (!s->plan->quota_limit)
        return true;
    if (now >= w->window_end_ms) {
        w->window_end_ms = now + s->plan->quota_window_ms;
        w->left = s->plan->quota_limit;
        w->window++;
        w->told = w->told_spent = false;
    }
    bool within = w->left > 0;
    w->left -= within;
    /* From here on the driver may have to wait, and what is at hand may get old. */
    if (w->left <= s->plan->quota_limit / 5 + s->plan->jobs)
        w->throttled_ms = MAX(w->throttled_ms, w->window_end_ms + 3000);
    return within;
}

/* How much longer an answer that says when the quota refills is on its way than others: what
 * net/quota reckons with (SLACK_MS). */
#define JOURNEY_MS 500

static void quota_headers(struct flight *f, int64_t now, struct http_headers *h)
{
    if (f->told_left < 0)
        return;
    f->told_refill_ms = MAX(f->window_end_ms - MAX(f->exec_ms, now - JOURNEY_MS), 0);
    snprintf(h->ratelimit_remaining, sizeof(h->ratelimit_remaining), "%lld",
             (long long)f->told_left);
    snprintf(h->ratelimit_refill, sizeof(h->ratelimit_refill), "%lld",
             (long long)(f->told_refill_ms / 1000));
}

/* ---- going ---- */

/* The same request gets the same fate where others before it are left out. */
static struct rng rng_of(struct sim *s, enum http_method method, const char *url)
{
    uint64_t key = hash_bytes(url, strlen(url)) ^ (uint64_t)method;
    uintptr_t times = (uintptr_t)map_get(&s->wire.asked, key) + 1;
    map_put(&s->wire.asked, key, (void *)times);
    uint64_t parts[] = {s->wire.weather.seed, key, times};
    return (struct rng){.state = hash_bytes(parts, sizeof(parts))};
}

static enum fate draw_fate(const struct weather *w, struct rng *rng)
{
    if (rng_below(rng, 100) >= w->bad_percent || !w->fates)
        return FATE_FINE;
    for (;;) {
        enum fate f = (enum fate)rng_below(rng, FATE_COUNT);
        if (w->fates & (UINT32_C(1) << f))
            return f;
    }
}

static void plan_flight(struct sim *s, struct flight *f, int64_t timeout_ms)
{
    struct weather *w = &s->wire.weather;
    struct rng rng = rng_of(s, f->method, f->url);
    f->fate = draw_fate(w, &rng);
    if (f->fate == FATE_PAGE && !strchr(f->url, '?'))
        f->fate = FATE_FINE;
    int64_t latency = 1 + (int64_t)rng_below(&rng, (uint64_t)w->latency_ms);
    if (rng_below(&rng, 100) < w->slow_percent)
        latency += (int64_t)rng_below(&rng, (uint64_t)s->plan->timeout_ms);
    if (f->fate == FATE_REFUSED || f->fate == FATE_UNREACHABLE)
        latency = 1;
    f->executes = fates[f->fate].executes;
    f->exec_ms = f->sent_ms + (int64_t)rng_below(&rng, (uint64_t)latency + 1);
    f->due_ms = f->sent_ms + latency;
    f->end_ms = f->sent_ms + timeout_ms;
    if (fates[f->fate].failure == NET_TIMEOUT) {
        f->due_ms = SIM_NEVER;
        f->exec_ms = f->sent_ms + (int64_t)rng_below(&rng, (uint64_t)timeout_ms * 2);
    }
    if (f->due_ms >= f->end_ms) {
        f->due_ms = SIM_NEVER;
        /* What nobody waits for is still carried out, now and then. */
        f->executes = f->executes && (f->exec_ms < f->end_ms || rng_below(&rng, 2));
    }
    f->told_left = -1;
    if (fates[f->fate].leaves && f->fate != FATE_LOST_BEFORE && f->fate != FATE_HANG_BEFORE &&
        s->plan->quota_limit) {
        bool told = s->wire.told && !s->wire.told_spent;
        uint64_t window = s->wire.window;
        if (!quota_take(s)) {
            f->fate = FATE_429;
            f->executes = false;
            f->over_quota = told && window == s->wire.window;
        }
        f->told_left = s->wire.left;
        f->window_end_ms = s->wire.window_end_ms;
    }
}

static void flight_free(struct flight *f)
{
    list_remove(&f->all);
    free(f->url);
    free(f->body);
    free(f->type);
    free(f->answer);
    free(f->seen);
    free(f);
}

static bool asked_lately(const struct wire *w, const struct flight *f)
{
    list_for_each(it, &w->flights) {
        const struct flight *o = CONTAINER_OF(it, struct flight, all);
        if (o != f && o->method == f->method && strcmp(o->url, f->url) == 0)
            return true;
    }
    return false;
}

static void *wire_start(struct transport *t, const struct http_request *request,
                        transport_done_fn *done, void *data)
{
    struct wire *w = CONTAINER_OF(t, struct wire, transport);
    struct sim *s = CONTAINER_OF(w, struct sim, wire);
    bool dies = s->die_at_send && --s->die_at_send == 0;
    if (dies && !s->die_after)
        s->dead = true;

    struct flight *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    *f = (struct flight){.number = ++w->count,
                         .method = request->method,
                         .url = strdup(request->url),
                         .max_body = request->max_body,
                         .sent = ++s->tick,
                         .sent_ms = sim_now(s),
                         .life = s->life,
                         .done = done,
                         .data = data};
    if (request->body)
        f->body = strndup(request->body, request->body_len);
    for (size_t i = 0; request->headers && request->headers[i]; i++)
        if (strncasecmp(request->headers[i], "Content-Type:", 13) == 0)
            f->type = strdup(request->headers[i]);
    list_append(&w->flights, &f->all);
    w->in_flight++;
    if (s->dead) { /* it never leaves */
        f->due_ms = f->exec_ms = f->end_ms = SIM_NEVER;
        return f;
    }
    plan_flight(s, f, request->timeout_ms);
    /* What was asked for a while ago may be sent only now: behind others, for want of quota, or
     * again. */
    f->prompt = w->in_flight + 2 < s->plan->jobs && !sim_away_since(s, sim_now(s) - 60000) &&
                !asked_lately(w, f);
    s->requests++;
    s->changes += f->method != HTTP_GET;
    sim_trace(s, "#%llu %s %s%s%s: %s", (unsigned long long)f->number, http_method_name(f->method),
              f->url, f->body ? " " : "", f->body ? f->body : "", fates[f->fate].name);
    if (f->method != HTTP_GET && (s->plan->ro || s->plan->dry_run))
        sim_fail(s, "%s %s is sent by a mount that changes nothing", http_method_name(f->method),
                 f->url);
    if (f->over_quota)
        sim_fail(s, "request %llu is sent although the driver was told that none is left",
                 (unsigned long long)f->number);
    if (f->method != HTTP_GET && fates[f->fate].leaves && f->fate != FATE_429 &&
        f->fate != FATE_429_BARE)
        check_sent(s, f);
    if (dies)
        s->dead = true;
    return f;
}

static void wire_cancel(struct transport *t, void *handle)
{
    struct wire *w = CONTAINER_OF(t, struct wire, transport);
    struct flight *f = handle;
    assert_false(f->cancelled);
    w->in_flight--;
    f->cancelled = true;
    if (!f->executes || f->executed)
        flight_free(f);
}

/* ---- coming ---- */

/* JSON, and nothing that the API promises. */
static const char *const wrong_shapes[] = {
    "null",
    "[]",
    "\"ok\"",
    "{\"items\":{}}",
    "{\"items\":[{\"name\":\"no id\"}],\"hasMore\":false}",
    "{\"items\":[{\"id\":\"x\"}],\"hasMore\":false}",
    "{\"items\":[1,2],\"hasMore\":true}",
    "{\"id\":\"many words\"}",
};

static void fill_response(struct sim *s, struct flight *f, struct http_response *r)
{
    const char *body = f->answer ? f->answer : "";
    size_t len = strlen(body);
    *r = (struct http_response){.failure = fates[f->fate].failure,
                                .sent = fates[f->fate].leaves,
                                .ms = sim_now(s) - f->sent_ms};
    buf_init(&r->body, f->max_body);
    if (sim_now(s) >= f->end_ms && f->due_ms == SIM_NEVER)
        r->failure = NET_TIMEOUT;
    if (r->failure) {
        snprintf(r->detail, sizeof(r->detail), "%s", fates[f->fate].name);
        return;
    }
    r->status = fates[f->fate].status ? fates[f->fate].status : f->status;
    quota_headers(f, sim_now(s), &r->headers);
    if (f->told_left >= 0)
        snprintf(r->headers.ratelimit_limit, sizeof(r->headers.ratelimit_limit), "%lld",
                 (long long)s->plan->quota_limit);
    if (f->fate == FATE_429)
        snprintf(r->headers.retry_after, sizeof(r->headers.retry_after), "%lld",
                 f->told_left >= 0 ? (long long)(f->told_refill_ms / 1000 + 1)
                                   : (long long)(1 + f->number % 3));
    bool html = fates[f->fate].status || f->fate == FATE_GARBAGE;
    if (html) {
        body = "<html><body>Sorry</body></html>";
        len = strlen(body);
    } else if (f->fate == FATE_CUT) {
        len = len * (f->number % 7) / 8;
    } else if (f->fate == FATE_SHAPE) {
        body = wrong_shapes[f->number % ARRAY_SIZE(wrong_shapes)];
        len = strlen(body);
    }
    if (len)
        snprintf(r->headers.content_type, sizeof(r->headers.content_type), "%s",
                 html ? "text/html" : "application/json");
    buf_append(&r->body, body, len);
    r->wire_bytes = len;
}

static void add_shown(struct entity *e, struct shown shown)
{
    e->shown = realloc(e->shown, (e->shown_count + 1) * sizeof(*e->shown));
    assert_non_null(e->shown);
    e->shown[e->shown_count++] = shown;
}

static void note_delivered(struct sim *s, const struct flight *f, const struct http_response *r)
{
    struct wire *w = &s->wire;
    bool well = !r->failure && r->status < 500 && r->status != 429 && r->status != 302 &&
                f->fate == FATE_FINE;
    if (!well)
        w->bad_ms = sim_now(s);
    /* A request whose answer is lost may have been counted after the answer that came later: the
     * driver cannot know exactly any more. */
    if (r->failure && f->told_left >= 0)
        w->told_spent = true;
    if (!r->failure && f->told_left >= 0 &&
        f->sent_ms >= w->window_end_ms - s->plan->quota_window_ms)
        w->told = true;
    if (!(well || f->fate == FATE_PAGE) || r->failure || f->status >= 300)
        return;
    for (size_t i = 0; i < f->seen_count; i++) {
        bool listed = f->seen_count > 1 || strchr(f->url, '?');
        add_shown(f->seen[i].entity, (struct shown){.version = f->seen[i].version,
                                                    .sent = f->sent,
                                                    .delivered = s->tick,
                                                    .delivered_ms = sim_now(s),
                                                    .change = f->method != HTTP_GET,
                                                    .listed = listed,
                                                    .prompt = f->prompt && well});
        if (listed)
            w->last_page_ms[f->seen[i].entity->res] = sim_now(s);
    }
}

static void deliver(struct sim *s, struct flight *f)
{
    struct http_response response;
    fill_response(s, f, &response);
    ++s->tick;
    sim_trace(s, "#%llu answered: %d/%d%s%s%s%s", (unsigned long long)f->number, response.status,
              (int)response.failure, f->told_left < 0 ? "" : ", left ",
              response.headers.ratelimit_remaining, f->told_left < 0 ? "" : ", refill ",
              response.headers.ratelimit_refill);
    note_delivered(s, f, &response);
    s->wire.in_flight--;
    f->cancelled = true;
    f->done(f->data, &response);
    buf_finish(&response.body);
    if (!f->executes || f->executed)
        flight_free(f);
}

static int64_t flight_next(const struct flight *f)
{
    int64_t next = f->executes && !f->executed ? f->exec_ms : SIM_NEVER;
    return f->cancelled ? next : MIN(next, MIN(f->due_ms, f->end_ms));
}

int64_t wire_next_ms(const struct sim *s)
{
    int64_t next = SIM_NEVER;
    list_for_each(it, &s->wire.flights)
        next = MIN(next, flight_next(CONTAINER_OF(it, struct flight, all)));
    return next;
}

/* Of what is due, the order is drawn: answers overtake each other. */
bool wire_turn(struct sim *s)
{
    int64_t now = sim_now(s);
    struct flight *best = NULL;
    uint64_t best_order = 0;
    list_for_each(it, &s->wire.flights) {
        struct flight *f = CONTAINER_OF(it, struct flight, all);
        if (flight_next(f) > now)
            continue;
        uint64_t parts[] = {s->wire.weather.seed, f->number, f->executed};
        uint64_t order = hash_bytes(parts, sizeof(parts));
        if (best && order >= best_order)
            continue;
        best = f;
        best_order = order;
    }
    if (!best)
        return false;
    if (best->executes && !best->executed && best->exec_ms <= now) {
        best->executed = true;
        server_execute(s, best);
        if (best->cancelled)
            flight_free(best);
    } else {
        deliver(s, best);
    }
    return true;
}

/* ---- life ---- */

void wire_new_life(struct sim *s)
{
    s->wire.told = false;
    for (size_t i = 0; i < s->entity_count; i++)
        s->entities[i]->shown_count = 0;
}

void wire_init(struct sim *s)
{
    struct wire *w = &s->wire;
    *w = (struct wire){.transport = {.start = wire_start, .cancel = wire_cancel},
                       .weather = {.seed = s->plan->seed, .latency_ms = weathers[0].latency_ms},
                       .bad_ms = INT64_MIN / 2,
                       .throttled_ms = INT64_MIN / 2};
    list_init(&w->flights);
    map_init(&w->asked);
}

void wire_finish(struct sim *s)
{
    list_for_each_safe(it, &s->wire.flights)
        flight_free(CONTAINER_OF(it, struct flight, all));
    map_finish(&s->wire.asked);
}
