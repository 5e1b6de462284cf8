/*
 * scripted: a transport for tests, with a server that does as it is told.
 *
 * Nothing waits and nothing is random unless the test says so. The clock is moved by hand
 * (base/clock, struct clock_manual); an answer comes out of scripted_turn() once the clock has
 * reached start + delay. So the loop of a test is
 *
 *     struct scripted s;
 *     scripted_init(&s, &clock.clock);
 *     scripted_expect(&s, HTTP_GET, "/api/tags", &(struct scripted_answer){
 *         .status = 200, .body = "{\"items\":[],\"hasMore\":false}", .delay_ms = 100});
 *     ... submit, net_turn() ...
 *     clock_manual_advance(&clock, 100);
 *     scripted_turn(&s);                 // calls done()
 *     assert_int_equal(s.count, 1);      // what was asked for: s.requests[0]
 *     scripted_finish(&s);               // fails the test when an expectation was not used
 *
 * What answers a request is decided (and copied) at the moment it is sent:
 *   1. the oldest unused expectation whose method and URL part match;
 *   2. else the newest scripted_always() that matches;
 *   3. else the responder, a function of the test: a whole fake server if it wants to be;
 *   4. else the test fails, with the request in the message.
 *
 * As a real one, the transport never calls done() from inside start() or cancel(), ends an
 * exchange with NET_TIMEOUT when the clock passes its timeout_ms, and calls nothing after
 * cancel().
 *
 * Layer: tests. Links net/transport.h's interface, base and cmocka. Running out of memory ends
 * the test program.
 */
#pragma once

#include "systemefs/base/clock.h"
#include "systemefs/base/list.h"
#include "systemefs/base/rng.h"
#include "systemefs/net/transport.h"

/* One answer. A zeroed one is an empty answer with status 200, at the next turn. */
struct scripted_answer {
    int status;                 /* 0: 200; ignored with `failure` */
    enum net_failure failure;   /* NET_OK: `status` speaks */
    const char *const *headers; /* "Retry-After: 3" lines, NULL-terminated; NULL: none. Fields
                                 * that struct http_headers does not have are ignored; without a
                                 * Content-Type a body is application/json */
    const char *body;
    size_t body_len;  /* 0: strlen(body) */
    int64_t delay_ms; /* after the request was sent */
    bool never;       /* no answer at all: NET_TIMEOUT at the request's timeout */
    bool unsent;      /* with `failure`: nothing had left this machine (NET_REFUSED and
                       * NET_UNREACHABLE always mean that) */
    unsigned times;   /* how often an expectation is used; 0: once */
};

/* A request as it was sent. What it points at lives until scripted_finish(); the struct itself
 * may move when another request is sent. */
struct scripted_request {
    enum http_method method;
    char *url;
    char **headers; /* "Name: value" lines, NULL-terminated */
    char *body;     /* NULL: none; NUL-terminated */
    size_t body_len;
    int64_t at_ms; /* mono, when it was sent */
    int64_t timeout_ms;
    bool answered;  /* done() was called */
    bool cancelled; /* cancel() was called */
};

/* Fills `answer` (zeroed before); what it points at is copied when the function returns. */
typedef void scripted_responder_fn(void *data, const struct scripted_request *request,
                                   struct scripted_answer *answer);

struct scripted {
    struct transport transport; /* hand out &s.transport */

    struct scripted_request *requests; /* all so far, in the order they were sent */
    size_t count;
    size_t under_way; /* neither answered nor cancelled */
    size_t under_way_max;
    size_t answered;

    bool refuse_start; /* start() returns NULL, as when descriptors run out */

    /* private */
    const struct clock *clock;
    struct list expected, always, flying;
    scripted_responder_fn *responder;
    void *responder_data;
    struct rng rng;
    bool reorder;
    size_t requests_cap;
};

void scripted_init(struct scripted *s, const struct clock *clock);
/* Frees all. Fails the test when an expectation was not used. Exchanges under way end silently. */
void scripted_finish(struct scripted *s);

/* The next request with that method whose URL contains `url_part` ("" matches any) is answered
 * so. The struct is copied; the strings in it must live until it is used. */
void scripted_expect(struct scripted *s, enum http_method method, const char *url_part,
                     const struct scripted_answer *answer);
/* Every such request that no expectation matches. */
void scripted_always(struct scripted *s, enum http_method method, const char *url_part,
                     const struct scripted_answer *answer);
/* Whatever else comes. NULL: the test fails. */
void scripted_respond(struct scripted *s, scripted_responder_fn *responder, void *data);
/* From now on, answers that are due in the same turn come in an order drawn from `seed`
 * (otherwise by due time, then in the order they were sent). */
void scripted_reorder(struct scripted *s, uint64_t seed);

/* Delivers what is due; what is sent meanwhile waits for the next turn. Returns how many. */
size_t scripted_turn(struct scripted *s);
/* Mono time of the next delivery, INT64_MAX when nothing is under way. */
int64_t scripted_next_ms(const struct scripted *s);

/* Expectations that were not used yet. */
size_t scripted_unused(const struct scripted *s);
/* The value of a request's header field, or NULL. */
const char *scripted_header(const struct scripted_request *request, const char *name);
/* How many requests so far have that method and a URL containing `url_part`. */
size_t scripted_count(const struct scripted *s, enum http_method method, const char *url_part);
