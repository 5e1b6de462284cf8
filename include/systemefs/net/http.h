/*
 * net/http: the transport over libcurl, and the wait of the program's one loop.
 *
 * With its table of failures, the only file that includes curl. One multi handle: keep-alive,
 * HTTP/2 where the server offers it (over TLS; a connection is shared where libcurl does that
 * well), all encodings that this libcurl knows (gzip, ...), at most `max_connections` at once. Easy
 * handles are reused. Redirects are never followed. Proxy variables of the environment count, but
 * never for loopback addresses. Only http and https. `cacert` is added to the system's store. No
 * exchange is repeated behind the caller's back unless its method means the same twice, and none
 * goes out on a kept connection over which something has come that nobody asked for.
 *
 * http_wait() is where the whole program sleeps: until curl has something to do, one of the
 * caller's descriptors is readable, or the time is up. http_turn() then lets curl work and calls
 * one done() function: a page takes a millisecond to be taken in, and whoever asks for what is in
 * memory would wait for all that have come meanwhile. While there are more, http_wait() does not
 * wait.
 *
 * Sockets are close-on-exec. The texts in http_response.detail hold host and port at most, never
 * a header or the rest of a URL.
 *
 * Layer: net. Errors: create returns -ENOMEM, or -EINVAL when cacert cannot be read or holds no
 * certificate.
 */
#pragma once

#include <stddef.h>

#include "systemefs/base/clock.h"
#include "systemefs/net/transport.h"

struct http;

struct http_options {
    const char *user_agent;
    const char *cacert;       /* extra CA file (PEM), or NULL */
    unsigned max_connections; /* exchanges under way; beyond it start() returns NULL */
    const struct clock *clock;
};

int http_create(const struct http_options *options, struct http **ret);
/* Cancels whatever is under way. Accepts NULL. */
void http_destroy(struct http *h);

struct transport *http_transport(struct http *h);

/* A descriptor that ends the wait when it becomes readable. */
struct http_wait_fd {
    int fd;        /* negative: ignored */
    bool readable; /* out: readable, hung up or in error */
};
#define HTTP_WAIT_FDS_MAX 8
/* Waits at most `timeout_ms` (-1: no limit); a signal handler that runs ends it too. 0, or
 * -errno (-EINVAL: more than HTTP_WAIT_FDS_MAX descriptors). */
int http_wait(struct http *h, struct http_wait_fd *fds, size_t n, int64_t timeout_ms);
/* Does what can be done without waiting; calls done() for one exchange that has ended. */
void http_turn(struct http *h);

/* What a CURLcode means; `os_error` is the errno of connecting, 0 when unknown. The one table of
 * them (failure.c), open to its test. */
enum net_failure http_failure_of(int curl_code, int os_error);
