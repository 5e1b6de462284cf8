/*
 * http_server: a small HTTP server with bad manners, for the tests of the transport.
 *
 * Plain sockets at 127.0.0.1, a thread for each connection, keep-alive, and a path for each kind
 * of trouble: the table of them is http_server.c's serve(). A path that it does not know ends the
 * connection without an answer; a path that is a whole URL (it was taken for a proxy) and /echo
 * give the request back as text.
 *
 * Layer: tests. Failures of the machine end the test.
 */
#pragma once

#include <semaphore.h>
#include <stdatomic.h>

extern int http_server_port;
extern atomic_int http_server_connections; /* since the start */
extern atomic_int http_server_posts;       /* requests that were read whole at /stale */
extern atomic_int http_server_gets;
/* After its answer, /more-later waits for the first, says 408, and then posts the second. */
extern sem_t http_server_say_more, http_server_said;

#define HTTP_SERVER_GZIP_WIRE 93   /* the body of /gzip, compressed */
#define HTTP_SERVER_GZIP_BODY 3611 /* and not */

/* Starts it. It lives as long as the process. */
void http_server_start(void);
/* A socket bound to a free port of 127.0.0.1, not listening: whoever connects is refused. */
int http_server_bind(int *ret_port);
