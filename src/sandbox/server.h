/*
 * sandbox/server: HTTP for the sandbox; the only file that includes libmicrohttpd.
 *
 * A request is carried out when it has been read whole; its answer may wait. So a slow answer can
 * be older than a write that overtook it, as on a real network. Waiting answers hold no thread.
 */
#pragma once

#include "sandbox.h"

struct server;

/* Listens on `listen` ("HOST:PORT", "[::1]:0"). NULL and a text in `why`: *ret_usage tells whether
 * the address itself was refused. */
struct server *server_start(struct sandbox *s, char *why, size_t why_size, bool *ret_usage);
/* "127.0.0.1:41234" */
const char *server_address(const struct server *server);
/* Closes every connection, also those that wait. */
void server_stop(struct server *server);
/* Given to waiting_create(). */
void server_wake(struct waiter *waiter);
