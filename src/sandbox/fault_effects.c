/* sandbox/fault_effects: what the rules of faults.c do to a request and its answer. */
#include "faults.h"

#include <string.h>

#include "systemefs/base/macros.h"
#include "text.h"

static const cJSON *member(const cJSON *rule, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(rule, name);
}

static const char *text_of(const cJSON *rule, const char *name)
{
    return cJSON_GetStringValue(member(rule, name));
}

void fault_prepare(const struct fault *fault, struct request *req)
{
    if (fault->kind == FAULT_HAS_MORE_FOREVER)
        request_drop_param(req, "startingAfter");
}

/* The problem that goes with a status where the script brings no body of its own. */
static const char *usual_detail(int status)
{
    static const struct {
        int status;
        const char *detail;
    } details[] = {
        {400, "Syntax error"},
        {401, "Invalid API Key."},
        {403, "Access Denied."},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {415, "Unsupported Media Type"},
        {422, "This operation is not allowed."},
        {424, "Twilio account is not configured."},
        {429, "Too many requests"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(details); i++)
        if (details[i].status == status)
            return details[i].detail;
    return "Internal Server Error";
}

static void put_body(const struct fault *fault, struct response *res, int status)
{
    const cJSON *body = member(fault->rule, "body");
    const char *type = text_of(fault->rule, "content_type");
    response_begin(res, status, type ? type : status < 400 ? "application/json" : PROBLEM_JSON);
    if (cJSON_IsString(body)) {
        buf_append_str(&res->body, body->valuestring);
        return;
    }
    char *text = must(cJSON_PrintUnformatted(body));
    buf_append_str(&res->body, text);
    cJSON_free(text);
}

static int status_or(const struct fault *fault, int otherwise)
{
    const cJSON *status = member(fault->rule, "status");
    return cJSON_IsNumber(status) ? (int)status->valuedouble : otherwise;
}

static void answer_body(const struct fault *fault, const struct request *req UNUSED,
                        struct response *res)
{
    put_body(fault, res, status_or(fault, 200));
}

static void answer_status(const struct fault *fault, const struct request *req,
                          struct response *res)
{
    int status = status_or(fault, 500);
    if (member(fault->rule, "body"))
        answer_body(fault, req, res);
    else if (status == 204)
        response_begin(res, status, NULL);
    else
        problem(res, status, "%s", usual_detail(status));
}

static void answer_redirect(const struct fault *fault, const struct request *req UNUSED,
                            struct response *res)
{
    response_begin(res, status_or(fault, 302), NULL);
    response_header(res, "Location", text_of(fault->rule, "url"));
}

static void answer_echo(const struct fault *fault, const struct request *req, struct response *res)
{
    const char *key = request_key(req);
    problem(res, status_or(fault, 401), "The key %s is not valid.", key ? key : "(none)");
}

static void answer_empty_more(const struct fault *fault UNUSED, const struct request *req UNUSED,
                              struct response *res)
{
    response_begin(res, 200, "application/json");
    buf_append_str(&res->body, "{\"items\":[],\"hasMore\":true}");
}

static void answer_no_items(const struct fault *fault UNUSED, const struct request *req UNUSED,
                            struct response *res)
{
    response_begin(res, 200, "application/json");
    buf_append_str(&res->body, "{\"hasMore\":false}");
}

/* The server makes the bytes as it sends them. */
static void answer_huge(const struct fault *fault, const struct request *req UNUSED,
                        struct response *res)
{
    response_begin(res, status_or(fault, 200), "application/json");
}

void fault_replace(const struct fault *fault, const struct request *req, struct response *res)
{
    static const struct {
        enum fault_kind kind;
        void (*answer)(const struct fault *fault, const struct request *req, struct response *res);
    } answers[] = {
        {FAULT_STATUS, answer_status},     {FAULT_BODY, answer_body},
        {FAULT_REDIRECT, answer_redirect}, {FAULT_ECHO_KEY, answer_echo},
        {FAULT_HUGE, answer_huge},         {FAULT_EMPTY_MORE, answer_empty_more},
        {FAULT_NO_ITEMS, answer_no_items},
    };
    const cJSON *header;
    cJSON_ArrayForEach(header, member(fault->rule, "headers"))
    {
        if (cJSON_IsString(header))
            response_header(res, header->string, header->valuestring);
        else if (cJSON_IsNumber(header))
            response_header_int(res, header->string, text_whole(header->valuedouble));
    }
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        if (answers[i].kind == fault->kind)
            answers[i].answer(fault, req, res);
}

/* Turn by turn a text, a negative number, a fraction and nothing. */
static void spoil_ids(cJSON *item, int *turn)
{
    cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");
    if (!id)
        return;
    cJSON *bad = NULL;
    switch ((*turn)++ % 4) {
    case 0:
        bad = cJSON_CreateString("../12");
        break;
    case 1:
        bad = cJSON_CreateNumber(-7);
        break;
    case 2:
        bad = cJSON_CreateNumber(1.5);
        break;
    default:
        bad = cJSON_CreateNull();
        break;
    }
    cJSON_ReplaceItemInObjectCaseSensitive(item, "id", must(bad));
}

static void rewrite_json(const struct fault *fault, struct response *res)
{
    cJSON *body = cJSON_ParseWithLength(res->body.data ? res->body.data : "", res->body.len);
    if (!body)
        return;
    if (fault->kind == FAULT_HAS_MORE_FOREVER) {
        cJSON_ReplaceItemInObjectCaseSensitive(body, "hasMore", must(cJSON_CreateTrue()));
    } else {
        int turn = 0;
        cJSON *item, *items = cJSON_GetObjectItemCaseSensitive(body, "items");
        cJSON_ArrayForEach(item, items) spoil_ids(item, &turn);
        if (!items)
            spoil_ids(body, &turn);
    }
    char *text = must(cJSON_PrintUnformatted(body));
    buf_reset(&res->body);
    buf_append_str(&res->body, text);
    cJSON_free(text);
    cJSON_Delete(body);
}

/* Puts bytes that are never UTF-8 at the start of every text value. */
static void garble(struct response *res)
{
    struct buf out;
    buf_init(&out, MESSAGE_SEND_MAX);
    const char *rest = res->body.data ? res->body.data : "", *hit;
    while ((hit = strstr(rest, "\":\""))) {
        buf_append(&out, rest, (size_t)(hit + 3 - rest));
        buf_append(&out, "\xff\xc0\xaf", 3);
        rest = hit + 3;
    }
    buf_append_str(&out, rest);
    buf_finish(&res->body);
    res->body = out;
}

void fault_rewrite(const struct fault *fault, struct response *res)
{
    if (res->status >= 300)
        return;
    if (fault->kind == FAULT_HAS_MORE_FOREVER || fault->kind == FAULT_WRONG_IDS)
        rewrite_json(fault, res);
    else if (fault->kind == FAULT_GARBAGE_UTF8)
        garble(res);
}
