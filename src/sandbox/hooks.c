/* sandbox/hooks: webhooks of the account and connections of the gateway (see world.h). */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "text.h"

#define SINCE 1735689600 /* 2025-01-01 */

const char *const hook_events[] = {
    "CONTACT_CREATED",
    "CONTACT_TAG_ADDED",
    "CONTACT_TAG_REMOVED",
    "CONTACT_OPT_IN",
    "SALE_NEW",
    "SALE_CANCELED",
    NULL,
};

struct webhook *webhook_add(struct world *w, const char *name, const char *url, bool active)
{
    struct webhook *hook = rows_add(w, &w->webhooks, 0);
    hook->name = must_dup(name);
    hook->url = must_dup(url);
    hook->active = active;
    world_uuid(&w->rng, clock_wall_ns(w->clock) / 1000000, hook->uuid);
    return hook;
}

struct webhook *webhook_find(const struct world *w, const char *uuid)
{
    for (size_t i = 0; i < w->webhooks.count; i++) {
        struct webhook *hook = rows_at(&w->webhooks, i);
        if (!hook->row.gone && text_same(hook->uuid, uuid))
            return hook;
    }
    return NULL;
}

void webhook_rename(struct webhook *hook, const char *name)
{
    free(hook->name);
    hook->name = must_dup(name);
}

void webhook_clear_events(struct webhook *hook)
{
    hook->event_count = 0;
}

void webhook_add_event(struct world *w, struct webhook *hook, const char *event, int64_t version)
{
    hook->events = must(realloc(hook->events, (hook->event_count + 1) * sizeof(*hook->events)));
    struct hook_event *e = &hook->events[hook->event_count++];
    *e = (struct hook_event){.event = event, .version = version};
    world_uuid(&w->rng, clock_wall_ns(w->clock) / 1000000, e->id);
}

void webhook_render(const struct webhook *hook, struct buf *out)
{
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_json(out, hook->uuid);
    text_member(out, "name");
    text_json(out, hook->name);
    text_member(out, "url");
    text_json(out, hook->url);
    text_member(out, "active");
    text_bool(out, hook->active);
    text_member(out, "subscriptions");
    buf_append_byte(out, '[');
    for (size_t i = 0; i < hook->event_count; i++) {
        const struct hook_event *e = &hook->events[i];
        buf_append_str(out, i ? ",{" : "{");
        text_member(out, "id");
        text_json(out, e->id);
        text_member(out, "event");
        text_json(out, e->event);
        text_member(out, "schemaVersion");
        text_int(out, e->version);
        text_member(out, "disabledAt");
        text_time(out, e->disabled);
        text_member(out, "disabledReason");
        text_json(out, e->disabled ? "BAD_SUCCESS_RATE" : NULL);
        buf_append_byte(out, '}');
    }
    buf_append(out, "]}", 2);
}

struct connection *connection_add(struct world *w, const char *app, const char *status)
{
    struct connection *c = rows_add(w, &w->connections, 0);
    c->app = must_dup(app);
    c->status = status;
    c->created = c->updated = world_now(w);
    world_uuid(&w->rng, c->created * 1000, c->uuid);
    return c;
}

struct connection *connection_find(const struct world *w, const char *uuid)
{
    for (size_t i = 0; i < w->connections.count; i++) {
        struct connection *c = rows_at(&w->connections, i);
        if (!c->row.gone && text_same(c->uuid, uuid))
            return c;
    }
    return NULL;
}

void connection_render(const struct connection *c, struct buf *out)
{
    buf_append_byte(out, '{');
    text_member(out, "connection_id");
    text_json(out, c->uuid);
    text_member(out, "status");
    text_json(out, c->status);
    text_member(out, "creation_time");
    text_time_micros(out, c->created, c->row.id * 48846 % 1000000);
    text_member(out, "last_updated_time");
    text_time_micros(out, c->updated, c->row.id * 93153 % 1000000);
    text_member(out, "url");
    buf_append_str(out, "\"https://connect.example.com/?session_token=sandbox-");
    buf_append(out, c->uuid + 24, 12);
    buf_append_byte(out, '"');
    text_member(out, "app");
    text_json(out, c->app);
    text_member(out, "method");
    text_json(out, "API_KEY");
    text_member(out, "metadata");
    buf_append(out, "{}}", 3);
}

/* A moment of the world's past for row `i`, and ids that sort by it. */
static int64_t past(size_t i)
{
    return SINCE + (int64_t)i * 1234567 % 31536000;
}

void hooks_create(struct world *w)
{
    static const char *const names[] = {"crm sync", "crm sync / staging", "Übersicht \"live\""};
    for (size_t i = 0; i < (size_t)w->settings->webhooks; i++) {
        char *name = i < ARRAY_SIZE(names) ? must_dup(names[i]) : must_printf("hook %zu", i + 1);
        char *url = must_printf("https://hooks.example.com/systeme/%zu", i + 1);
        struct webhook *hook = webhook_add(w, name, url, i % 3 != 1);
        world_uuid(&w->rng, past(i) * 1000, hook->uuid);
        for (size_t e = 0; e <= i % 3; e++)
            webhook_add_event(w, hook, hook_events[(i + e) % 6], (i + e) % 6 > 3 ? 2 : 1);
        for (size_t e = 0; e < hook->event_count; e++)
            world_uuid(&w->rng, past(i) * 1000 + 2, hook->events[e].id);
        if (i % 3 == 2)
            hook->events[0].disabled = past(i) + 86400;
        free(name);
        free(url);
    }

    /* The oldest ACTIVE one is the gateway's default; another app's and unfinished ones are there
     * so that a client that does not look gets the wrong one. */
    static const struct {
        const char *app, *status;
    } others[] = {{"google-mail", "ACTIVE"}, {"systeme", "PENDING"}, {"systeme", "FAILED"}};
    size_t active = (size_t)w->settings->connections;
    for (size_t i = 0; i < ARRAY_SIZE(others) + active; i++) {
        bool other = i < 1 || i > active;
        size_t row = i < 1 ? 0 : i - active;
        struct connection *c = connection_add(w, other ? others[row].app : "systeme",
                                              other ? others[row].status : "ACTIVE");
        c->created = past(i);
        c->updated = past(i) + 86400;
        world_uuid(&w->rng, c->created * 1000, c->uuid);
    }
}

void hooks_destroy(struct world *w)
{
    for (size_t i = 0; i < w->webhooks.count; i++) {
        struct webhook *hook = rows_at(&w->webhooks, i);
        free(hook->name);
        free(hook->url);
        free(hook->events);
    }
    for (size_t i = 0; i < w->connections.count; i++) {
        struct connection *c = rows_at(&w->connections, i);
        free(c->app);
    }
    free(w->webhooks.data);
    free(w->connections.data);
}
