/* sandbox/control: the endpoint under /_sandbox/ that tests steer with (see sandbox.h). */
#include "sandbox.h"

#include <stdio.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "changes.h"
#include "rules.h"
#include "text.h"

static void ok(struct response *res)
{
    response_begin(res, 200, "application/json");
    buf_append_str(&res->body, "{\"ok\":true}");
}

static void get_health(struct sandbox *s UNUSED, const struct request *req UNUSED,
                       struct response *res)
{
    ok(res);
}

static void get_requests(struct sandbox *s, const struct request *req UNUSED, struct response *res)
{
    response_begin(res, 200, "application/json");
    journal_render(s->journal, &res->body);
}

static void get_counts(struct sandbox *s, const struct request *req UNUSED, struct response *res)
{
    response_begin(res, 200, "application/json");
    journal_render_counts(s->journal, front_kind_name, &res->body);
}

static void delete_requests(struct sandbox *s, const struct request *req UNUSED,
                            struct response *res)
{
    journal_reset(s->journal);
    ok(res);
}

static void post_faults(struct sandbox *s, const struct request *req, struct response *res)
{
    char why[256] = "not JSON";
    cJSON *list = req->body.data ? cJSON_ParseWithLength(req->body.data, req->body.len) : NULL;
    if (list && faults_set(&s->faults, list, why, sizeof(why)) == 0)
        ok(res);
    else
        problem_gateway(res, 400, why);
    cJSON_Delete(list);
}

static void delete_faults(struct sandbox *s, const struct request *req UNUSED, struct response *res)
{
    faults_clear(&s->faults);
    waiting_release(s->waiting);
    ok(res);
}

/* A whole number of the body, or `otherwise`. */
static int64_t number_of(const cJSON *body, const char *name, int64_t otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(body, name);
    return cJSON_IsNumber(item) ? text_whole(item->valuedouble) : otherwise;
}

/* {"ms":N} or {"ms":N,"max":M} */
static void post_latency(struct sandbox *s, const struct request *req, struct response *res)
{
    cJSON *body = rules_parse(req, res);
    int64_t low = number_of(body, "ms", -1), high = number_of(body, "max", low);
    cJSON_Delete(body);
    if (low < 0 || high < low || high > 600000) {
        problem_gateway(res, 400, "ms must be 0 or more, max at least ms, both at most 600000");
        return;
    }
    s->latency_min_ms = low;
    s->latency_max_ms = high;
    ok(res);
}

/* {"limit":N,"seconds":S,"remaining":R}; limit 0 switches it off. */
static void post_quota(struct sandbox *s, const struct request *req, struct response *res)
{
    cJSON *body = rules_parse(req, res);
    int64_t limit = number_of(body, "limit", -1), seconds = number_of(body, "seconds", 60);
    int64_t remaining = number_of(body, "remaining", -1), rate = number_of(body, "gateway", -1);
    cJSON_Delete(body);
    if ((limit < 0 && rate < 0) || seconds < 1) {
        problem_gateway(res, 400, "limit or gateway is missing, or seconds is not positive");
        return;
    }
    if (limit >= 0)
        quota_set(&s->api.quota, limit, seconds, remaining);
    if (rate >= 0)
        quota_set(&s->gateway_rate, rate, 1, -1);
    ok(res);
}

static void get_world(struct sandbox *s, const struct request *req UNUSED, struct response *res)
{
    response_begin(res, 200, "application/json");
    pthread_rwlock_rdlock(&s->api.lock);
    changes_describe(s->api.world, &res->body);
    pthread_rwlock_unlock(&s->api.lock);
}

static void post_world(struct sandbox *s, const struct request *req, struct response *res)
{
    cJSON *body = rules_parse(req, res);
    if (!body)
        return;
    int64_t id = 0;
    pthread_rwlock_wrlock(&s->api.lock);
    const char *why = changes_apply(s->api.world, body, &id);
    pthread_rwlock_unlock(&s->api.lock);
    cJSON_Delete(body);
    if (why) {
        problem_gateway(res, 400, why);
        return;
    }
    response_begin(res, 200, "application/json");
    buf_printf(&res->body, "{\"ok\":true,\"id\":%lld}", (long long)id);
}

static const struct {
    const char *method, *name;
    void (*run)(struct sandbox *s, const struct request *req, struct response *res);
} rows[] = {
    {"GET", "health", get_health},
    {"GET", "requests", get_requests},
    {"DELETE", "requests", delete_requests},
    {"GET", "counts", get_counts},
    {"POST", "faults", post_faults},
    {"DELETE", "faults", delete_faults},
    {"POST", "latency", post_latency},
    {"POST", "quota", post_quota},
    {"GET", "world", get_world},
    {"POST", "world", post_world},
};

void control_answer(struct sandbox *s, const struct request *req, struct response *res)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (req->segment_count == 2 && strcmp(rows[i].name, req->segment[1]) == 0 &&
            strcmp(rows[i].method, req->method) == 0) {
            rows[i].run(s, req, res);
            return;
        }
    problem_gateway(res, 404, "no such control");
}
