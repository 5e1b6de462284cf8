/*
 * sandbox/sandbox: all the parts of one running sandbox, and the way of a request through them.
 *
 * front.c answers what a client sees (the API, the gateway, its connections); control.c what a
 * test sees; server.c carries both over HTTP and keeps answers waiting.
 */
#pragma once

#include <stdatomic.h>

#include "api.h"
#include "faults.h"
#include "journal.h"
#include "message.h"
#include "options.h"
#include "waiting.h"

struct sandbox {
    const struct settings *settings;
    const struct clock *clock;
    struct api api;
    struct quota gateway_rate; /* requests a second */
    struct faults faults;
    struct journal *journal;
    struct waiting *waiting;
    _Atomic int64_t latency_min_ms, latency_max_ms;
};

/* Answers a request of any kind but the control endpoint's. */
void front_answer(struct sandbox *s, const struct request *req, const struct route *route,
                  struct response *res);
/* What it is counted as, and the name of that. */
size_t front_kind(const struct request *req, const struct route *route);
const char *front_kind_name(size_t kind, char *out, size_t size);

/* Answers a request under /_sandbox/. */
void control_answer(struct sandbox *s, const struct request *req, struct response *res);
