#include "scripted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

/* Far above any test; a driver that asks without end is stopped here. */
#define SCRIPTED_REQUESTS_MAX (1u << 20)

struct rule {
    struct list link;
    enum http_method method;
    char *url_part;
    struct scripted_answer answer;
    unsigned left; /* uses; of an expectation */
};

struct flight {
    struct list link;
    size_t index; /* into requests */
    int64_t due_ms;
    struct http_response response;
    transport_done_fn *done;
    void *data;
};

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "scripted: out of memory\n");
        abort();
    }
    return p;
}

static struct rule *rule_find(struct scripted *s, const struct scripted_request *request)
{
    list_for_each(it, &s->expected) {
        struct rule *r = CONTAINER_OF(it, struct rule, link);
        if (r->left > 0 && r->method == request->method && strstr(request->url, r->url_part)) {
            r->left--;
            return r;
        }
    }
    list_for_each(it, &s->always) {
        struct rule *r = CONTAINER_OF(it, struct rule, link);
        if (r->method == request->method && strstr(request->url, r->url_part))
            return r;
    }
    return NULL;
}

static void response_fill(struct http_response *response, const struct scripted_answer *answer,
                          const struct http_request *request)
{
    size_t len = answer->body_len || !answer->body ? answer->body_len : strlen(answer->body);

    *response = (struct http_response){.failure = answer->failure, .sent = true};
    if (answer->never)
        response->failure = NET_TIMEOUT;
    else if (!answer->failure && len > request->max_body)
        response->failure = NET_TOO_LARGE;
    buf_init(&response->body, request->max_body);
    if (response->failure) {
        if (answer->unsent || answer->failure == NET_REFUSED || answer->failure == NET_UNREACHABLE)
            response->sent = false;
        snprintf(response->detail, sizeof(response->detail), "scripted failure %d",
                 (int)response->failure);
        return;
    }
    response->status = answer->status ? answer->status : 200;
    if (len > 0) {
        snprintf(response->headers.content_type, sizeof(response->headers.content_type),
                 "application/json");
        if (buf_append(&response->body, answer->body, len) < 0)
            must(NULL);
    }
    response->wire_bytes = len;
    for (size_t i = 0; answer->headers && answer->headers[i]; i++)
        http_headers_add(&response->headers, answer->headers[i], strlen(answer->headers[i]));
}

static struct scripted_request *record(struct scripted *s, const struct http_request *request)
{
    if (s->count == s->requests_cap) {
        if (s->count >= SCRIPTED_REQUESTS_MAX)
            fail_msg("scripted: more than %u requests", SCRIPTED_REQUESTS_MAX);
        s->requests_cap = s->requests_cap ? s->requests_cap * 2 : 64;
        s->requests = must(realloc(s->requests, s->requests_cap * sizeof(*s->requests)));
    }
    size_t n = 0;
    while (request->headers && request->headers[n])
        n++;
    struct scripted_request *r = &s->requests[s->count++];
    *r = (struct scripted_request){
        .method = request->method,
        .url = must(strdup(request->url)),
        .headers = must(calloc(n + 1, sizeof(char *))),
        .body_len = request->body ? request->body_len : 0,
        .at_ms = clock_mono_ms(s->clock),
        .timeout_ms = request->timeout_ms,
    };
    for (size_t i = 0; i < n; i++)
        r->headers[i] = must(strdup(request->headers[i]));
    if (request->body) {
        r->body = must(calloc(1, request->body_len + 1));
        memcpy(r->body, request->body, request->body_len);
    }
    return r;
}

static void *scripted_start(struct transport *t, const struct http_request *request,
                            transport_done_fn *done, void *data)
{
    struct scripted *s = CONTAINER_OF(t, struct scripted, transport);
    if (s->refuse_start)
        return NULL;

    struct scripted_request *r = record(s, request);
    size_t index = s->count - 1;
    struct scripted_answer answer = {0};
    struct rule *rule = rule_find(s, r);
    if (rule)
        answer = rule->answer;
    else if (s->responder)
        s->responder(s->responder_data, r, &answer);
    else
        fail_msg("scripted: nobody expected %s %s", http_method_name(r->method), r->url);

    struct flight *f = must(calloc(1, sizeof(*f)));
    f->index = index;
    f->done = done;
    f->data = data;
    response_fill(&f->response, &answer, request);
    if (answer.never || answer.delay_ms >= request->timeout_ms) {
        answer.delay_ms = request->timeout_ms;
        buf_finish(&f->response.body);
        response_fill(&f->response, &(struct scripted_answer){.never = true}, request);
    }
    f->response.ms = answer.delay_ms;
    f->due_ms = s->requests[index].at_ms + answer.delay_ms;
    list_append(&s->flying, &f->link);
    s->under_way++;
    s->under_way_max = MAX(s->under_way_max, s->under_way);
    return f;
}

static void flight_free(struct flight *f)
{
    buf_finish(&f->response.body);
    free(f);
}

static void scripted_cancel(struct transport *t, void *handle)
{
    struct scripted *s = CONTAINER_OF(t, struct scripted, transport);
    struct flight *f = handle;
    assert_false(s->requests[f->index].answered);
    s->requests[f->index].cancelled = true;
    list_remove(&f->link);
    s->under_way--;
    flight_free(f);
}

/* The next one to deliver among those sent before `limit`, or NULL. */
static struct flight *flight_pick(struct scripted *s, int64_t now, size_t limit)
{
    struct flight *best = NULL;
    uint64_t due = 0;
    list_for_each(it, &s->flying) {
        struct flight *f = CONTAINER_OF(it, struct flight, link);
        if (f->due_ms > now || f->index >= limit)
            continue;
        due++;
        if (!best || (s->reorder ? rng_below(&s->rng, due) == 0 : f->due_ms < best->due_ms))
            best = f;
    }
    return best;
}

size_t scripted_turn(struct scripted *s)
{
    int64_t now = clock_mono_ms(s->clock);
    size_t limit = s->count;
    size_t delivered = 0;
    struct flight *f;

    while ((f = flight_pick(s, now, limit))) {
        list_remove(&f->link);
        s->under_way--;
        s->answered++;
        s->requests[f->index].answered = true;
        delivered++;
        f->done(f->data, &f->response);
        flight_free(f);
    }
    return delivered;
}

int64_t scripted_next_ms(const struct scripted *s)
{
    int64_t next = INT64_MAX;
    list_for_each(it, &s->flying)
        next = MIN(next, CONTAINER_OF(it, struct flight, link)->due_ms);
    return next;
}

void scripted_init(struct scripted *s, const struct clock *clock)
{
    *s = (struct scripted){
        .transport = {.start = scripted_start, .cancel = scripted_cancel},
        .clock = clock,
    };
    list_init(&s->expected);
    list_init(&s->always);
    list_init(&s->flying);
}

static void rules_free(struct list *rules)
{
    list_for_each_safe(it, rules) {
        struct rule *r = CONTAINER_OF(it, struct rule, link);
        free(r->url_part);
        free(r);
    }
    list_init(rules);
}

void scripted_finish(struct scripted *s)
{
    char unused[256] = "";
    size_t n = scripted_unused(s);
    list_for_each(it, &s->expected) {
        struct rule *r = CONTAINER_OF(it, struct rule, link);
        if (r->left > 0 && !unused[0])
            snprintf(unused, sizeof(unused), "%s %s", http_method_name(r->method), r->url_part);
    }
    list_for_each_safe(it, &s->flying)
        flight_free(CONTAINER_OF(it, struct flight, link));
    rules_free(&s->expected);
    rules_free(&s->always);
    for (size_t i = 0; i < s->count; i++) {
        struct scripted_request *r = &s->requests[i];
        for (size_t k = 0; r->headers[k]; k++)
            free(r->headers[k]);
        free(r->headers);
        free(r->url);
        free(r->body);
    }
    free(s->requests);
    *s = (struct scripted){0};
    if (n > 0)
        fail_msg("scripted: %zu expected requests never came, the first: %s", n, unused);
}

static struct rule *rule_new(enum http_method method, const char *url_part,
                             const struct scripted_answer *answer)
{
    struct rule *r = must(calloc(1, sizeof(*r)));
    *r = (struct rule){
        .method = method,
        .url_part = must(strdup(url_part)),
        .answer = *answer,
        .left = answer->times ? answer->times : 1,
    };
    list_init(&r->link);
    return r;
}

void scripted_expect(struct scripted *s, enum http_method method, const char *url_part,
                     const struct scripted_answer *answer)
{
    list_append(&s->expected, &rule_new(method, url_part, answer)->link);
}

void scripted_always(struct scripted *s, enum http_method method, const char *url_part,
                     const struct scripted_answer *answer)
{
    list_prepend(&s->always, &rule_new(method, url_part, answer)->link);
}

void scripted_respond(struct scripted *s, scripted_responder_fn *responder, void *data)
{
    s->responder = responder;
    s->responder_data = data;
}

void scripted_reorder(struct scripted *s, uint64_t seed)
{
    s->reorder = true;
    s->rng = (struct rng){.state = seed};
}

size_t scripted_unused(const struct scripted *s)
{
    size_t n = 0;
    list_for_each(it, &s->expected)
        n += CONTAINER_OF(it, struct rule, link)->left;
    return n;
}

const char *scripted_header(const struct scripted_request *request, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; request->headers[i]; i++) {
        const char *line = request->headers[i];
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    }
    return NULL;
}

size_t scripted_count(const struct scripted *s, enum http_method method, const char *url_part)
{
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += s->requests[i].method == method && strstr(s->requests[i].url, url_part);
    return n;
}
