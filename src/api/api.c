#include "systemefs/api/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "systemefs/codec/url.h"

#define URL_MAX     4096
#define HEADERS_MAX 3 /* Accept, key, connection; a body adds its type */

struct api {
    struct net *net;
    bool gateway;
    char *base[2]; /* by enum api_host; NULL: not there */
    char *key;
    char *header_lines[HEADERS_MAX];
    const char *headers[2][HEADERS_MAX + 1]; /* by enum api_host */
};

struct api_call {
    struct api *api;
    struct net_call *net_call;
    enum resource res;
    enum http_method method;
    bool page;
    api_done_fn *done;
    void *data;
};

static void wipe_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static char *line(const char *name, const char *value)
{
    char *s = NULL;
    return asprintf(&s, "%s%s", name, value) < 0 ? NULL : s;
}

int api_create(const struct api_options *options, struct api **ret)
{
    struct api *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->net = options->net;
    a->gateway = options->gateway;
    a->base[HOST_API] = strdup(options->api_url);
    a->base[HOST_CTRL] = options->ctrl_url ? strdup(options->ctrl_url) : NULL;
    a->key = strdup(options->key);

    size_t n = 0;
    a->header_lines[n++] = strdup("Accept: application/json");
    a->header_lines[n++] =
        line(options->gateway ? "Authorization: Bearer " : "X-API-Key: ", options->key);
    if (options->connection)
        a->header_lines[n++] = line("Maton-Connection: ", options->connection);
    bool ok = a->base[HOST_API] && a->key && (!options->ctrl_url || a->base[HOST_CTRL]);
    for (size_t i = 0; i < n; i++) {
        a->headers[HOST_API][i] = a->header_lines[i];
        /* The gateway's own API is about connections, not through one. */
        if (i < 2)
            a->headers[HOST_CTRL][i] = a->header_lines[i];
        ok = ok && a->header_lines[i];
    }
    if (!ok) {
        api_destroy(a);
        return -ENOMEM;
    }
    *ret = a;
    return 0;
}

void api_destroy(struct api *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < HEADERS_MAX; i++)
        wipe_free(a->header_lines[i]);
    wipe_free(a->key);
    free(a->base[HOST_API]);
    free(a->base[HOST_CTRL]);
    free(a);
}

bool api_has(const struct api *a, enum resource res)
{
    return a->base[resource_row(res)->host] != NULL;
}

int api_item_path(enum resource res, const char *id, struct buf *out)
{
    buf_append_str(out, resource_row(res)->list_path);
    buf_append_byte(out, '/');
    return url_escape(id, strlen(id), out);
}

int api_url(const struct api *a, enum resource res, const char *id, struct buf *out)
{
    const struct resource_row *row = resource_row(res);
    buf_append_str(out, a->base[row->host] ? a->base[row->host] : "");
    return id ? api_item_path(res, id, out) : buf_append_str(out, row->list_path);
}

bool api_record_id(enum resource res, struct json record, char out[RESOURCE_ID_TEXT_MAX + 1])
{
    const struct resource_row *row = resource_row(res);
    struct json v;
    if (!json_member(record, row->id_member, &v))
        return false;

    if (row->id_kind == ID_NUMBER) {
        int64_t n;
        if (!json_int64(v, &n) || n < 1 || (uint64_t)n > RESOURCE_ID_MAX)
            return false;
        snprintf(out, RESOURCE_ID_TEXT_MAX + 1, "%" PRId64, n);
        return true;
    }
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, RESOURCE_ID_TEXT_MAX);
    if (json_string(v, &text) < 0 || !resource_id_valid(row->id_kind, text.data, text.len))
        return false;
    memcpy(out, text.data, text.len + 1);
    return true;
}

void api_member_each(struct json record, const char *path,
                     void (*each)(void *data, struct json value), void *data)
{
    char name[64];
    size_t len = strcspn(path, ".[");
    if (len >= sizeof(name))
        return;
    memcpy(name, path, len);
    name[len] = '\0';

    struct json v;
    if (!json_member(record, name, &v))
        return;
    if (path[len] == '\0') {
        each(data, v);
    } else if (path[len] == '.') {
        api_member_each(v, path + len + 1, each, data);
    } else { /* "[]." */
        struct json item;
        struct json_iter it;
        json_iter_init(&it, v);
        while (json_iter_next(&it, NULL, &item))
            api_member_each(item, path + len + 3, each, data);
    }
}

/* How many bytes at the start of a text spell the key, 0: none. JSON lets a character be written in
 * several ways: PHP makes "\/" of every "/". */
static size_t key_spelled(const char *key, const char *text, size_t len)
{
    size_t at = 0;
    for (; *key; key++) {
        const char *p = text + at;
        size_t left = len - at;
        char escape[8];
        if (left && p[0] == *key && *key != '\\') {
            at++;
            continue;
        }
        if (!left || p[0] != '\\')
            return 0;
        snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*key);
        if (left >= 2 && p[1] == *key && strchr("\"\\/", *key))
            at += 2;
        else if (left >= 6 && strncasecmp(p, escape, 6) == 0)
            at += 6;
        else if (p[0] == *key)
            at++;
        else
            return 0;
    }
    return at;
}

/* A server, or a proxy on the way, may repeat what it was sent. Same length, so that the text
 * stays what it was in every other respect. */
static void redact(const char *key, char *text, size_t len)
{
    const char *end = text + len;
    const char first[] = {key[0], '\\'};
    char *next[ARRAY_SIZE(first)] = {text, text}; /* where such a byte is, from `at` on */
    for (char *at = text; at < end;) {
        for (size_t i = 0; i < ARRAY_SIZE(first); i++)
            if (next[i] && next[i] <= at)
                next[i] = memchr(at, first[i], (size_t)(end - at));
        at = !next[0] || (next[1] && next[1] < next[0]) ? next[1] : next[0];
        if (!at)
            return;
        size_t n = key_spelled(key, at, (size_t)(end - at));
        memset(at, '*', n);
        at += n ? n : 1;
    }
}

static void wrong_shape(struct api_answer *answer, const char *what)
{
    int status = answer->failure.status;
    api_failure_set(&answer->failure, -EBADMSG, answer->failure.number,
                    "the answer is not what the API promises: %s", what);
    answer->failure.status = status;
}

/* Whether `json` is a record that may be taken. */
static bool read_item(enum resource res, struct json json, struct api_item *item,
                      struct api_answer *answer)
{
    item->json = json;
    if (json_type(json) != JSON_OBJECT)
        wrong_shape(answer, "a record is not an object");
    else if (!api_record_id(res, json, item->id))
        wrong_shape(answer, "a record has no valid id");
    else if (json.len > API_TEXT_MAX)
        wrong_shape(answer, "a record over 1 MiB");
    else
        return true;
    return false;
}

static void read_record(const struct api_call *call, struct json body, struct api_answer *answer)
{
    const struct resource_row *row = resource_row(call->res);
    struct json inner;
    bool wrapped = row->item_member && json_member(body, row->item_member, &inner);
    /* How the gateway answers a POST is documented nowhere: wrapped as elsewhere, or bare. */
    if (row->item_member && !wrapped && call->method == HTTP_GET)
        wrong_shape(answer, "the record is missing");
    else
        read_item(call->res, wrapped ? inner : body, &answer->record, answer);
}

/* `items` is for the records, which the answer points to. */
static void read_page(const struct api_call *call, struct json body, struct buf *items,
                      struct api_answer *answer)
{
    const struct resource_row *row = resource_row(call->res);
    struct json list = {0}, more = {0}, name, value;
    struct json_iter it;
    json_iter_init(&it, body);
    while (json_iter_next(&it, &name, &value)) {
        if (json_string_equals(name, row->items_member))
            list = value;
        else if (json_string_equals(name, "hasMore"))
            more = value;
    }
    if (json_type(list) != JSON_ARRAY) {
        wrong_shape(answer, "the list of records is missing");
        return;
    }
    bool told = json_bool(more, &answer->has_more);
    if (row->paged && !told) {
        wrong_shape(answer, "hasMore is missing");
        return;
    }
    if (!row->paged && answer->has_more) {
        wrong_shape(answer, "a list that comes in one answer says that there is more");
        return;
    }
    json_iter_init(&it, list);
    while (json_iter_next(&it, NULL, &value)) {
        struct api_item item;
        if (!read_item(call->res, value, &item, answer))
            return;
        if (buf_append(items, &item, sizeof(item)) < 0) {
            api_failure_set(&answer->failure, -ENOMEM, answer->failure.number,
                            "no memory for the page");
            return;
        }
        answer->count++;
    }
    answer->items = (const struct api_item *)(const void *)items->data;
    if (answer->has_more && answer->count == 0)
        wrong_shape(answer, "an empty page says that there is more");
}

static void read_body(const struct api_call *call, const struct http_response *response,
                      struct buf *items, struct api_answer *answer)
{
    struct json body;
    struct json_error err = {.message = "no content"};
    if (!response->body.data ||
        json_check(response->body.data, response->body.len, &body, &err) < 0) {
        char what[160];
        snprintf(what, sizeof(what), "not JSON (%s, line %u)", err.message, err.line);
        wrong_shape(answer, what);
    } else if (call->page) {
        read_page(call, body, items, answer);
    } else {
        read_record(call, body, answer);
    }
}

/* A change may be answered with the record (200, 201), or with nothing that counts (202, 204, and
 * whatever a DELETE says). */
static void read_change(const struct api_call *call, const struct http_response *response,
                        struct buf *items, struct api_answer *answer)
{
    if (call->method == HTTP_DELETE || response->status == 202 || response->status == 204)
        return;
    read_body(call, response, items, answer);
}

/* What is not known of a change that did not end in a plain yes or no. */
static void doubt(const struct net_result *result, struct api_failure *failure)
{
    static const char text[] = "; it may have been carried out";
    const struct http_response *response = result->response;
    bool no = failure->status >= 400 && failure->status < 500;
    failure->maybe = !result->quota && !no && (response->sent || failure->status);
    size_t len = strlen(failure->message);
    if (failure->maybe && len + sizeof(text) <= sizeof(failure->message))
        memcpy(failure->message + len, text, sizeof(text));
}

static void call_done(void *data, struct net_result *result)
{
    struct api_call *call = data;
    struct http_response *response = result->response;
    struct api_answer answer = {0};
    CLEANUP(buf_cleanup) struct buf items;
    buf_init(&items, SIZE_MAX / 2);

    if (response->body.data)
        redact(call->api->key, response->body.data, response->body.len);
    redact(call->api->key, response->detail, strlen(response->detail));
    api_judge(result, call->api->gateway, call->page, &answer.failure);

    bool gone = call->method == HTTP_DELETE && answer.failure.status == 404 && result->tries > 1;
    if (gone) /* by an earlier try, whose answer was lost */
        answer.failure = (struct api_failure){.number = result->number};
    else if (!answer.failure.error && call->method == HTTP_GET)
        read_body(call, response, &items, &answer);
    else if (!answer.failure.error)
        read_change(call, response, &items, &answer);
    if (answer.failure.error && call->method != HTTP_GET)
        doubt(result, &answer.failure);
    call->done(call->data, &answer);
    free(call);
}

static struct api_call *submit(struct api *a, const struct api_call *like,
                               const struct http_request *http, enum net_priority priority,
                               int64_t deadline_ms)
{
    struct api_call *call = malloc(sizeof(*call));
    if (!call)
        return NULL;
    *call = *like;
    call->api = a;
    call->method = http->method;
    struct net_request request = {.http = *http, .priority = priority, .deadline_ms = deadline_ms};
    request.http.max_body = API_BODY_MAX;
    if (!request.http.headers)
        request.http.headers = a->headers[resource_row(call->res)->host];
    call->net_call = net_submit(a->net, &request, call_done, call);
    if (!call->net_call) {
        free(call);
        return NULL;
    }
    return call;
}

struct api_call *api_change(struct api *a, const struct api_change *change, int64_t deadline_ms,
                            api_done_fn *done, void *data)
{
    enum api_host host = resource_row(change->res)->host;
    const char *headers[HEADERS_MAX + 2] = {0};
    size_t n = 0;
    for (; a->headers[host][n]; n++)
        headers[n] = a->headers[host][n];
    if (change->body)
        headers[n] = change->method == HTTP_PATCH ? "Content-Type: application/merge-patch+json"
                                                  : "Content-Type: application/json";
    CLEANUP(buf_cleanup) struct buf url;
    buf_init(&url, URL_MAX);
    buf_append_str(&url, a->base[host] ? a->base[host] : "");
    if (buf_append_str(&url, change->path) < 0)
        return NULL;
    const struct api_call call = {.res = change->res, .done = done, .data = data};
    const struct http_request http = {.method = change->method,
                                      .url = url.data,
                                      .headers = headers,
                                      .body = change->body,
                                      .body_len = change->body_len};
    return submit(a, &call, &http, NET_PERSON, deadline_ms);
}

struct api_call *api_get_record(struct api *a, enum resource res, const char *id,
                                enum net_priority priority, int64_t deadline_ms, api_done_fn *done,
                                void *data)
{
    CLEANUP(buf_cleanup) struct buf url;
    buf_init(&url, URL_MAX);
    if (api_url(a, res, id, &url) < 0)
        return NULL;
    const struct api_call call = {.res = res, .done = done, .data = data};
    const struct http_request http = {.method = HTTP_GET, .url = url.data};
    return submit(a, &call, &http, priority, deadline_ms);
}

static void query_param(struct buf *url, char *sep, const char *name, const char *value)
{
    buf_append_byte(url, *sep);
    *sep = '&';
    buf_append_str(url, name);
    buf_append_byte(url, '=');
    url_escape(value, strlen(value), url);
}

struct api_call *api_get_page(struct api *a, const struct api_query *query,
                              enum net_priority priority, int64_t deadline_ms, api_done_fn *done,
                              void *data)
{
    const struct resource_row *row = resource_row(query->res);
    CLEANUP(buf_cleanup) struct buf url;
    buf_init(&url, URL_MAX);
    api_url(a, query->res, NULL, &url);

    char sep = '?', number[24];
    if (row->list_query) {
        buf_printf(&url, "?%s", row->list_query);
        sep = '&';
    }
    if (query->filter >= 0)
        query_param(&url, &sep, row->filters[query->filter].param, query->by);
    if (query->filter2 > 0)
        query_param(&url, &sep, row->filters[query->filter2].param, query->by2);
    if (query->name)
        query_param(&url, &sep, row->name_filter, query->name);
    if (row->paged) {
        snprintf(number, sizeof(number), "%d", API_PAGE_LIMIT);
        query_param(&url, &sep, "limit", number);
    }
    if (query->ascending)
        query_param(&url, &sep, "order", "asc");
    if (query->after) {
        snprintf(number, sizeof(number), "%" PRIu64, query->after);
        query_param(&url, &sep, "startingAfter", number);
    }
    if (buf_error(&url) < 0)
        return NULL;
    const struct api_call call = {.res = query->res, .page = true, .done = done, .data = data};
    const struct http_request http = {.method = HTTP_GET, .url = url.data};
    return submit(a, &call, &http, priority, deadline_ms);
}

int64_t api_quota_left(const struct api *a)
{
    struct net_stats stats;
    net_get_stats(a->net, &stats);
    return stats.quota.remaining;
}

void api_urge(struct api *a, struct api_call *call, enum net_priority priority, int64_t deadline_ms)
{
    net_urge(a->net, call->net_call, priority, deadline_ms);
}

void api_cancel(struct api *a, struct api_call *call)
{
    net_cancel(a->net, call->net_call);
    free(call);
}
