/* A server further away: passes TCP connections on to a port of this machine, and what comes back
 * from there arrives MS milliseconds later. So each turn of request and response costs MS, whatever
 * the protocol is, several that are under way at once wait at once, and the bandwidth is not
 * limited. The handshake of TCP itself is not delayed.
 *
 *     delay PORT MS       prints the port where it listens; ends with the process that started it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_LINKS = 256, PIECE = 256 << 10, QUEUE_MAX = 32 << 20 };

struct piece {
    struct piece *next;
    int64_t due;
    size_t length, sent;
    char data[];
};

/* One direction: what was read from one side and is not yet written to the other. */
struct way {
    struct piece *first, **last;
    size_t queued;
    int64_t delay;
    bool ended, shut;
};

struct link {
    int fd[2]; /* who asks, who answers */
    struct way way[2]; /* from fd[i] to fd[1 - i] */
};

static struct link links[MOST_LINKS];
static int count;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void drop(int i)
{
    for (int side = 0; side < 2; side++) {
        close(links[i].fd[side]);
        for (struct piece *p = links[i].way[side].first, *next; p; p = next) {
            next = p->next;
            free(p);
        }
    }
    links[i] = links[--count];
    /* What moved points into itself. */
    for (int side = 0; side < 2 && i < count; side++)
        if (!links[i].way[side].first)
            links[i].way[side].last = &links[i].way[side].first;
}

static bool take(struct way *w, int from)
{
    static char buffer[PIECE];
    ssize_t n = recv(from, buffer, sizeof buffer, 0);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
        w->ended = true;
        return true;
    }
    struct piece *p = malloc(sizeof *p + (size_t)n);
    if (!p)
        return false;
    *p = (struct piece){.due = now() + w->delay, .length = (size_t)n};
    memcpy(p->data, buffer, (size_t)n);
    *w->last = p;
    w->last = &p->next;
    w->queued += (size_t)n;
    return true;
}

static bool give(struct way *w, int to, int64_t t)
{
    while (w->first && w->first->due <= t) {
        struct piece *p = w->first;
        ssize_t n = send(to, p->data + p->sent, p->length - p->sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        p->sent += (size_t)n;
        w->queued -= (size_t)n;
        if (p->sent < p->length)
            return true;
        w->first = p->next;
        if (!w->first)
            w->last = &w->first;
        free(p);
    }
    if (w->ended && !w->first && !w->shut) {
        w->shut = true;
        shutdown(to, SHUT_WR);
    }
    return true;
}

static void meet(int listener, uint16_t port, int64_t delay)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int asks = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int answers = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (asks < 0 || answers < 0 || count == MOST_LINKS ||
        connect(answers, (struct sockaddr *)&to, sizeof to) < 0) {
        close(asks);
        close(answers);
        return;
    }
    struct link *l = &links[count++];
    *l = (struct link){.fd = {asks, answers}, .way[1].delay = delay};
    for (int side = 0; side < 2; side++) {
        l->way[side].last = &l->way[side].first;
        setsockopt(l->fd[side], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        fcntl(l->fd[side], F_SETFL, O_NONBLOCK);
    }
}

/* Serves link i as poll() saw it. False: it is at its end. */
static bool serve(struct link *l, const struct pollfd *seen)
{
    for (int side = 0; side < 2; side++) {
        struct way *w = &l->way[side];
        if (!w->ended && (seen[side].revents & (POLLIN | POLLHUP | POLLERR)) &&
            !take(w, l->fd[side]))
            return false;
        if (!give(w, l->fd[1 - side], now()))
            return false;
    }
    return !(l->way[0].shut && l->way[1].shut);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: delay PORT MS\n");
        return 2;
    }
    uint16_t port = (uint16_t)atoi(argv[1]);
    int64_t delay = (int64_t)(atof(argv[2]) * 1e6);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1000UL);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 128) ||
        getsockname(listener, (struct sockaddr *)&here, &length)) {
        perror("delay");
        return 1;
    }
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) {
        struct pollfd wait[1 + 2 * MOST_LINKS] = {{.fd = listener, .events = POLLIN}};
        int64_t t = now(), next = INT64_MAX;
        int waited = count;

        for (int i = 0; i < count; i++)
            for (int side = 0; side < 2; side++) {
                const struct way *in = &links[i].way[side], *out = &links[i].way[1 - side];
                struct pollfd *p = &wait[1 + 2 * i + side];
                bool due = out->first && out->first->due <= t; /* it did not fit before */
                p->events = (short)((!in->ended && in->queued < QUEUE_MAX ? POLLIN : 0) |
                                    (due ? POLLOUT : 0));
                /* Without events, poll() would still report the end again and again. */
                p->fd = p->events ? links[i].fd[side] : -1;
                if (in->first && in->first->due > t && in->first->due < next)
                    next = in->first->due;
            }
        struct timespec timeout = {(next - t) / 1000000000, (next - t) % 1000000000};
        if (ppoll(wait, 1 + 2 * (nfds_t)count, next == INT64_MAX ? NULL : &timeout, NULL) < 0 &&
            errno != EINTR)
            return 1;
        for (int i = waited; i-- > 0;)
            if (!serve(&links[i], &wait[1 + 2 * i]))
                drop(i);
        if (wait[0].revents)
            meet(listener, port, delay);
    }
}
