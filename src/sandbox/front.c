/* sandbox/front: who is asking, and by which way (see sandbox.h). */
#include "sandbox.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "systemefs/base/macros.h"
#include "rules.h"
#include "text.h"

struct connection_call {
    struct world *world;
    const struct request *req;
    struct response *res;
    const char *uuid; /* what stands behind /connections/ */
};

static void answer_connection(struct connection_call *call, const struct connection *c)
{
    response_begin(call->res, 200, "application/json");
    buf_append_str(&call->res->body, "{\"connection\":");
    connection_render(c, &call->res->body);
    buf_append_byte(&call->res->body, '}');
}

static void connections_list(struct connection_call *call)
{
    const char *app = request_param(call->req, "app"), *status = request_param(call->req, "status");
    struct buf *out = &call->res->body;
    response_begin(call->res, 200, "application/json");
    buf_append_str(out, "{\"connections\":[");
    for (size_t i = 0; i < call->world->connections.count; i++) {
        const struct connection *c = rows_at(&call->world->connections, i);
        if (c->row.gone || (app && strcmp(app, c->app) != 0) ||
            (status && strcmp(status, c->status) != 0))
            continue;
        if (out->data[out->len - 1] != '[')
            buf_append_byte(out, ',');
        connection_render(c, out);
    }
    buf_append(out, "]}", 2);
}

static void connections_create(struct connection_call *call)
{
    cJSON *body = rules_parse(call->req, call->res);
    const char *app = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(body, "app"));
    if (app && *app)
        answer_connection(call, connection_add(call->world, app, "PENDING"));
    else
        problem_gateway(call->res, 400, "app is required");
    cJSON_Delete(body);
}

static void connections_get(struct connection_call *call)
{
    const struct connection *c = connection_find(call->world, call->uuid);
    if (c)
        answer_connection(call, c);
    else
        problem_gateway(call->res, 404, "connection not found");
}

static void connections_delete(struct connection_call *call)
{
    struct connection *c = connection_find(call->world, call->uuid);
    if (!c) {
        problem_gateway(call->res, 404, "connection not found");
        return;
    }
    c->row.gone = true;
    response_begin(call->res, 200, "application/json");
    buf_append_str(&call->res->body, "{}");
}

static const struct {
    const char *method, *name;
    size_t segments;
    void (*run)(struct connection_call *call);
} connection_rows[] = {
    {"GET", "/connections", 1, connections_list},
    {"POST", "/connections", 1, connections_create},
    {"GET", "/connections/{id}", 2, connections_get},
    {"DELETE", "/connections/{id}", 2, connections_delete},
};

/* The row, or ARRAY_SIZE(connection_rows). */
static size_t connection_row(const struct request *req)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(connection_rows) && (connection_rows[i].segments != req->segment_count ||
                                               strcmp(connection_rows[i].method, req->method) != 0))
        i++;
    return i;
}

static void answer_connections(struct sandbox *s, const struct request *req, struct response *res)
{
    size_t row = connection_row(req);
    if (row == ARRAY_SIZE(connection_rows)) {
        problem_gateway(res, req->segment_count > 2 ? 404 : 405, "no such operation");
        return;
    }
    struct connection_call call = {.world = s->api.world,
                                   .req = req,
                                   .res = res,
                                   .uuid = req->segment[1]};
    pthread_rwlock_wrlock(&s->api.lock);
    connection_rows[row].run(&call);
    pthread_rwlock_unlock(&s->api.lock);
}

static bool check_gateway_key(struct sandbox *s, const struct request *req, struct response *res)
{
    const char *key = req->authorization && strncasecmp(req->authorization, "Bearer ", 7) == 0
                          ? req->authorization + 7
                          : "";
    if (strcmp(s->settings->gateway_key, key) == 0)
        return true;
    problem_gateway(res, 401, *key ? "invalid API key" : "missing API key");
    return false;
}

static bool check_gateway_rate(struct sandbox *s, struct response *res)
{
    int64_t wait;
    if (quota_take(&s->gateway_rate, NULL, &wait))
        return true;
    problem_gateway(res, 429, "rate limit exceeded");
    response_header_int(res, "Retry-After", wait);
    return false;
}

/* The connection that is named, or any: the oldest would be taken, and all lead to one world. */
static bool check_connection(struct sandbox *s, const struct request *req, struct response *res)
{
    bool found = false;
    pthread_rwlock_rdlock(&s->api.lock);
    for (size_t i = 0; i < s->api.world->connections.count && !found; i++) {
        const struct connection *c = rows_at(&s->api.world->connections, i);
        found = !c->row.gone && strcmp(c->app, "systeme") == 0 &&
                strcmp(c->status, "ACTIVE") == 0 &&
                (!req->maton_connection || text_same(req->maton_connection, c->uuid));
    }
    pthread_rwlock_unlock(&s->api.lock);
    if (!found)
        problem_gateway(res, 400,
                        req->maton_connection ? "connection not found or not active"
                                              : "no active connection found for app systeme");
    return found;
}

void front_answer(struct sandbox *s, const struct request *req, const struct route *route,
                  struct response *res)
{
    enum key_state key = KEY_GOOD;
    if (req->via == VIA_DIRECT) {
        if (!req->api_key)
            key = KEY_MISSING;
        else if (strcmp(s->settings->key, req->api_key) != 0)
            key = KEY_WRONG;
    } else if (!check_gateway_key(s, req, res) || !check_gateway_rate(s, res)) {
        return;
    }
    if (req->via == VIA_CONNECTIONS) {
        answer_connections(s, req, res);
        return;
    }
    if (req->via == VIA_GATEWAY && !check_connection(s, req, res))
        return;
    api_answer(&s->api, req, route, key, res);
}

size_t front_kind(const struct request *req, const struct route *route)
{
    size_t operations = api_operation_count();
    if (req->via == VIA_CONNECTIONS)
        return operations + 1 + connection_row(req);
    return api_operation_number(route);
}

const char *front_kind_name(size_t kind, char *out, size_t size)
{
    size_t operations = api_operation_count();
    if (kind < operations)
        return api_operation_name(kind, out, size);
    size_t row = kind - operations - 1;
    if (kind == operations || row >= ARRAY_SIZE(connection_rows))
        snprintf(out, size, "(no route)%s", kind == operations ? "" : " connections");
    else
        snprintf(out, size, "%s %s", connection_rows[row].method, connection_rows[row].name);
    return out;
}
