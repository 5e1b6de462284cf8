/*
 * net/transport: one HTTP exchange, as an interface.
 *
 * Two implementations: net/http (libcurl, the real network) and the scripted one of the tests,
 * which loses, delays and reorders answers under a clock moved by hand. An exchange ends in
 * exactly one call of `done`, from the transport's own turn of the loop, never from inside
 * start() or cancel(); after cancel() `done` is not called.
 *
 * Layer: net. The interface knows nothing of curl, JSON, or what the requests mean.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "systemefs/base/buf.h"

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_METHOD_COUNT };
const char *http_method_name(enum http_method m);

/* How an exchange failed, when there is no HTTP status to speak for it. */
enum net_failure {
    NET_OK,          /* `status` and `body` are there */
    NET_UNREACHABLE, /* name does not resolve, no route */
    NET_REFUSED,     /* connection refused */
    NET_TIMEOUT,     /* no whole answer within timeout_ms */
    NET_TLS,         /* handshake or certificate */
    NET_LOST,        /* the connection broke; the request may have been executed */
    NET_TOO_LARGE,   /* body or headers past max_body */
    NET_BAD_ANSWER,  /* not HTTP, a bad content encoding, ... */
    NET_FAILURE_COUNT,
};

struct http_request {
    enum http_method method;
    const char *url;
    const char *const *headers; /* "Name: value" lines, NULL-terminated; may hold a key */
    const char *body;           /* NULL: none */
    size_t body_len;            /* bytes */
    int64_t timeout_ms;         /* for the whole exchange, connecting included */
    size_t max_body;            /* bytes of the decoded answer */
};

/* The header fields that somebody above reads; "" when absent, cut at their size. */
struct http_headers {
    char content_type[96];
    char date[64];
    char retry_after[64];
    char ratelimit_limit[32];
    char ratelimit_remaining[32];
    char ratelimit_refill[64];
    char www_authenticate[64];
};
/* Takes one line "Name: value", with or without its line end; other fields are ignored, and of
 * two with one name the later counts. */
void http_headers_add(struct http_headers *h, const char *line, size_t len);

struct http_response {
    enum net_failure failure;
    char detail[256]; /* for people, when failure: "Couldn't connect to server 127.0.0.1:1" */
    int status;       /* 0 when failure */
    struct http_headers headers;
    struct buf body;   /* decoded; done() may buf_take() it, otherwise it is freed after done() */
    size_t wire_bytes; /* what came over the wire (compressed) */
    int64_t ms;        /* from start to end, milliseconds */
    bool sent;         /* the request, or part of it, left this machine */
};

typedef void transport_done_fn(void *data, struct http_response *response);

struct transport {
    /*
     * Starts an exchange. Copies what it needs of `request`. Returns a handle for cancel(), valid
     * until done() returns; NULL when out of memory, descriptors or places: then done() is not
     * called, and it may be tried again when an exchange has ended.
     */
    void *(*start)(struct transport *t, const struct http_request *request, transport_done_fn *done,
                   void *data);
    /* Ends the exchange without done(). */
    void (*cancel)(struct transport *t, void *handle);
};
