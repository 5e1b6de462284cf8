#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "text.h"

#define PROBLEM_TYPE  "https://tools.ietf.org/html/rfc2616#section-10"
#define PROBLEM_TITLE "An error occurred"
#define PROBLEM_MAX   (1 << 20)

#define GATEWAY_PREFIX "/systeme"

static bool has_prefix(const char *path, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(path, prefix, len) == 0 && (path[len] == '/' || !path[len]);
}

static void split_path(struct request *req)
{
    req->path_text = must_dup(req->path);
    char *rest = req->path_text + (*req->path_text == '/');
    while (rest) {
        char *segment = strsep(&rest, "/");
        if (req->segment_count < MESSAGE_SEGMENTS)
            req->segment[req->segment_count] = segment;
        req->segment_count += req->segment_count <= MESSAGE_SEGMENTS;
        text_unescape(segment, false);
    }
}

static void split_query(struct request *req)
{
    req->query_text = must_dup(req->query);
    char *rest = req->query_text;
    while (rest && *rest && req->param_count < MESSAGE_PARAMS) {
        char *value = strsep(&rest, "&");
        char *name = strsep(&value, "=");
        if (!*name)
            continue;
        text_unescape(name, true);
        if (value)
            text_unescape(value, true);
        req->param[req->param_count++] =
            (struct param){.name = name, .value = value ? value : name + strlen(name)};
    }
}

void request_init(struct request *req, const char *method, const char *uri)
{
    *req = (struct request){.method = method};
    buf_init(&req->body, MESSAGE_BODY_MAX);
    const char *question = strchrnul(uri, '?');
    req->query = must_dup(*question ? question + 1 : "");
    req->path = must(strndup(uri, (size_t)(question - uri)));
    if (has_prefix(req->path, "/_sandbox")) {
        req->via = VIA_CONTROL;
    } else if (has_prefix(req->path, "/connections")) {
        req->via = VIA_CONNECTIONS;
    } else if (has_prefix(req->path, GATEWAY_PREFIX)) {
        size_t cut = strlen(GATEWAY_PREFIX);
        req->via = VIA_GATEWAY;
        memmove(req->path, req->path + cut, strlen(req->path + cut) + 1);
    }
    split_path(req);
    split_query(req);
}

void request_finish(struct request *req)
{
    free(req->path);
    free(req->query);
    free(req->path_text);
    free(req->query_text);
    buf_finish(&req->body);
}

const char *request_param(const struct request *req, const char *name)
{
    for (size_t i = req->param_count; i-- > 0;)
        if (strcmp(req->param[i].name, name) == 0)
            return req->param[i].value;
    return NULL;
}

void request_drop_param(struct request *req, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < req->param_count; i++)
        if (strcmp(req->param[i].name, name) != 0)
            req->param[kept++] = req->param[i];
    req->param_count = kept;
}

const char *request_key(const struct request *req)
{
    if (req->authorization && strncasecmp(req->authorization, "Bearer ", 7) == 0)
        return req->authorization + 7;
    return req->api_key;
}

void response_init(struct response *res)
{
    *res = (struct response){.status = 500};
    buf_init(&res->body, MESSAGE_SEND_MAX);
}

void response_finish(struct response *res)
{
    for (size_t i = 0; i < res->header_count; i++) {
        free(res->header[i].name);
        free(res->header[i].value);
    }
    buf_finish(&res->body);
    res->header_count = 0;
}

void response_begin(struct response *res, int status, const char *content_type)
{
    res->status = status;
    res->content_type = content_type;
    buf_reset(&res->body);
}

void response_header(struct response *res, const char *name, const char *value)
{
    size_t at = 0;
    while (at < res->header_count && !text_same(res->header[at].name, name))
        at++;
    if (at == MESSAGE_HEADERS)
        return;
    if (at < res->header_count) {
        free(res->header[at].name);
        free(res->header[at].value);
    } else {
        res->header_count++;
    }
    res->header[at] = (struct header){.name = must_dup(name), .value = must_dup(value)};
}

void response_header_int(struct response *res, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    response_header(res, name, text);
}

void problem(struct response *res, int status, const char *fmt, ...)
{
    char detail[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    response_begin(res, status, PROBLEM_JSON);
    buf_append_byte(&res->body, '{');
    text_member(&res->body, "type");
    text_json(&res->body, PROBLEM_TYPE);
    text_member(&res->body, "title");
    text_json(&res->body, PROBLEM_TITLE);
    text_member(&res->body, "detail");
    text_json(&res->body, detail);
    buf_append_byte(&res->body, '}');
}

void problem_short(struct response *res, int status, const char *detail)
{
    response_begin(res, status, PROBLEM_JSON);
    buf_append_byte(&res->body, '{');
    text_member(&res->body, "detail");
    text_json(&res->body, detail);
    buf_append_byte(&res->body, '}');
}

void problem_gateway(struct response *res, int status, const char *detail)
{
    response_begin(res, status, "application/json");
    buf_append_byte(&res->body, '{');
    text_member(&res->body, "error");
    text_json(&res->body, detail);
    buf_append_byte(&res->body, '}');
}

/* The constants of the Symfony validator; all but the first are from memory of that library. The
 * last two are not of that library. */
static const char *const codes[] = {
    [CODE_TOO_LONG] = "d94b19cc-114f-4f44-9cc4-4138e80a87b9",
    [CODE_BLANK] = "c1051bb4-d103-4f74-8988-acbcafc7fdc3",
    [CODE_NULL] = "ad32d13f-c3d4-423b-909a-857b961eef14",
    [CODE_NOT_UNIQUE] = "23bd9dbf-6b9b-41cd-a99e-4844bcf3077f",
    [CODE_BAD_EMAIL] = "bd79c0ab-ddba-46cc-a703-a7a4b08de310",
    [CODE_NO_CHOICE] = "8e179f1b-97aa-4560-a02f-2a8b42e49df7",
    [CODE_PATTERN] = "de1e3db3-5ed4-4941-aae4-59f3667cc3a3",
    [CODE_TOO_LOW] = "778b7ae0-84d3-481a-9dec-35fdb64b1d78",
    [CODE_UNKNOWN_TAG] = "6a7c1f0e-2f4b-4d0e-9a55-0c6c1d6f2b11",
    [CODE_UNKNOWN_MEMBER] = "7703c766-b5d5-4cef-ace7-ae0dd82304e9",
};
_Static_assert(ARRAY_SIZE(codes) == CODE_UNKNOWN_MEMBER + 1, "a text for each code");

void violations_init(struct violations *v)
{
    *v = (struct violations){0};
    buf_init(&v->list, PROBLEM_MAX);
    buf_init(&v->detail, PROBLEM_MAX);
}

void violations_finish(struct violations *v)
{
    buf_finish(&v->list);
    buf_finish(&v->detail);
}

void violation(struct violations *v, const char *path, enum violation_code code,
               const char *message)
{
    buf_append_str(&v->list, v->count ? ",{" : "{");
    text_member(&v->list, "propertyPath");
    text_json(&v->list, path);
    text_member(&v->list, "message");
    text_json(&v->list, message);
    text_member(&v->list, "code");
    text_json(&v->list, codes[code]);
    buf_append_byte(&v->list, '}');
    buf_printf(&v->detail, "%s%s: %s", v->count ? "\n" : "", path, message);
    v->count++;
}

void problem_violations(struct response *res, const struct violations *v)
{
    response_begin(res, 422, PROBLEM_JSON);
    buf_append_byte(&res->body, '{');
    text_member(&res->body, "type");
    text_json(&res->body, PROBLEM_TYPE);
    text_member(&res->body, "title");
    text_json(&res->body, PROBLEM_TITLE);
    text_member(&res->body, "detail");
    text_json(&res->body, v->detail.data);
    text_member(&res->body, "violations");
    buf_append_byte(&res->body, '[');
    buf_append(&res->body, v->list.data, v->list.len);
    buf_append(&res->body, "]}", 2);
}
