/*
 * net/sockets: the sockets that libcurl has open, by the port at this end.
 *
 * libcurl tells in its callbacks which port a connection has here, and not always which descriptor.
 * For net/http alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sockets {
    int *fds;
    size_t count, size;
};

/* A stream socket, close-on-exec, that gives up after `unacknowledged_ms` and sends nothing once it
 * is closed; or -1. */
int sockets_open(struct sockets *s, int family, int type, int protocol, unsigned unacknowledged_ms);
void sockets_close(struct sockets *s, int fd);
/* Whether one with this port has bytes that nobody has read. */
bool sockets_unread(const struct sockets *s, int port);
void sockets_finish(struct sockets *s);
