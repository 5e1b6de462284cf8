/*
 * sandbox/message: one request as it came in, one response before it goes out, and the error
 * bodies that the API and the gateway use.
 *
 * Knows no HTTP library: server.c fills a request and sends a response. Memory: a request owns its
 * path, query and body; the header texts belong to whoever filled it and live as long as the
 * request. A response owns everything.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "systemefs/base/buf.h"

#define MESSAGE_PARAMS   32
#define MESSAGE_SEGMENTS 8
#define MESSAGE_HEADERS  16
#define MESSAGE_BODY_MAX (4 << 20)   /* bytes of a request's body; more is a 413 */
#define MESSAGE_SEND_MAX (256 << 20) /* bytes of a response that is built in memory */

#define PROBLEM_JSON "application/problem+json"

enum via {
    VIA_DIRECT,      /* /api/... */
    VIA_GATEWAY,     /* /systeme/api/... */
    VIA_CONNECTIONS, /* /connections... */
    VIA_CONTROL,     /* /_sandbox/... */
};

struct param {
    char *name, *value; /* decoded */
};

struct request {
    const char *method;
    enum via via;
    char *path;                      /* as it came, without the gateway's prefix */
    char *query;                     /* as it came, "" where there is none */
    char *segment[MESSAGE_SEGMENTS]; /* of the path, decoded */
    size_t segment_count;            /* MESSAGE_SEGMENTS + 1: too many */
    struct param param[MESSAGE_PARAMS];
    size_t param_count;
    /* headers; NULL where they are missing */
    const char *content_type, *api_key, *authorization, *maton_connection, *accept_encoding;
    struct buf body;
    bool body_too_large;

    /* private */
    char *path_text, *query_text;
};

struct header {
    char *name, *value;
};

struct response {
    int status;
    const char *content_type; /* NULL: no body */
    struct header header[MESSAGE_HEADERS];
    size_t header_count;
    struct buf body;
};

/* `uri`: path and query as in the request line. */
void request_init(struct request *req, const char *method, const char *uri);
void request_finish(struct request *req);
/* The decoded value of a query parameter (the last one wins), or NULL. */
const char *request_param(const struct request *req, const char *name);
/* Forgets a parameter. */
void request_drop_param(struct request *req, const char *name);
/* The key that came, by whichever header, or NULL. */
const char *request_key(const struct request *req);

void response_init(struct response *res);
void response_finish(struct response *res);
/* Starts over: another status and type, no body; the headers stay. */
void response_begin(struct response *res, int status, const char *content_type);
void response_header(struct response *res, const char *name, const char *value);
void response_header_int(struct response *res, const char *name, int64_t value);

/* {"type":..,"title":..,"detail":..} */
void problem(struct response *res, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* {"detail":..}, the shorter form of 401. */
void problem_short(struct response *res, int status, const char *detail);
/* {"error":..}, the gateway's. */
void problem_gateway(struct response *res, int status, const char *detail);

/* Refusals of a 422, collected before they are sent. */
struct violations {
    struct buf list, detail;
    size_t count;
};

enum violation_code {
    CODE_TOO_LONG,
    CODE_BLANK,
    CODE_NULL,
    CODE_NOT_UNIQUE,
    CODE_BAD_EMAIL,
    CODE_NO_CHOICE,
    CODE_PATTERN,
    CODE_TOO_LOW,
    CODE_UNKNOWN_TAG,
    CODE_UNKNOWN_MEMBER,
};

void violations_init(struct violations *v);
void violations_finish(struct violations *v);
void violation(struct violations *v, const char *path, enum violation_code code,
               const char *message);
void problem_violations(struct response *res, const struct violations *v);
