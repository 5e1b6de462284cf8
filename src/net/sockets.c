#include "sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int sockets_open(struct sockets *s, int family, int type, int protocol, unsigned unacknowledged_ms)
{
    if (s->count == s->size) {
        size_t size = s->size ? 2 * s->size : 16;
        int *fds = realloc(s->fds, size * sizeof(*fds));
        if (!fds)
            return -1;
        s->fds = fds;
        s->size = size;
    }
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
    /* What a closed socket has not got rid of is forgotten. The kernel would bring it when the
     * network is back: a save that had been given up would go over the one made after it. */
    const struct linger none = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    s->fds[s->count++] = fd;
    return fd;
}

void sockets_close(struct sockets *s, int fd)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->fds[i] == fd) {
            s->fds[i] = s->fds[--s->count];
            break;
        }
    }
    close(fd);
}

static int local_port(int fd)
{
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return -1;
    if (a.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&a)->sin6_port);
    return a.ss_family == AF_INET ? ntohs(((const struct sockaddr_in *)&a)->sin_port) : -1;
}

bool sockets_unread(const struct sockets *s, int port)
{
    char byte;
    for (size_t i = 0; i < s->count; i++) {
        if (local_port(s->fds[i]) == port && recv(s->fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
            return true;
    }
    return false;
}

void sockets_finish(struct sockets *s)
{
    free(s->fds);
    *s = (struct sockets){.fds = NULL};
}
