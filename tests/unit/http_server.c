#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"

#define MIB (1024u * 1024u)

int http_server_port;
atomic_int http_server_connections;
atomic_int http_server_posts, http_server_gets;
sem_t http_server_say_more, http_server_said;

static int listener;

struct request {
    char text[8192]; /* head and body */
    size_t len;
    char *body;
    char method[16], path[256];
};

static bool send_all(int fd, const void *bytes, size_t len)
{
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static bool send_answer(int fd, const char *headers, const void *body, size_t len)
{
    char head[1024];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", headers, len);
    return send_text(fd, head) && send_all(fd, body, len);
}

static bool read_request(int fd, struct request *r)
{
    *r = (struct request){.len = 0};
    char *end;
    while (!(end = strstr(r->text, "\r\n\r\n"))) {
        ssize_t n = recv(fd, r->text + r->len, sizeof(r->text) - 1 - r->len, 0);
        if (n <= 0)
            return false;
        r->len += (size_t)n;
        if (r->text[0] == 0x16) /* a TLS handshake */
            return false;
    }
    r->body = end + 4;
    const char *field = strstr(r->text, "Content-Length: ");
    size_t want = field && field < end ? strtoul(field + 16, NULL, 10) : 0;
    while ((size_t)(r->text + r->len - r->body) < want) {
        ssize_t n = recv(fd, r->text + r->len, sizeof(r->text) - 1 - r->len, 0);
        if (n <= 0)
            return false;
        r->len += (size_t)n;
    }
    return sscanf(r->text, "%15s %255s", r->method, r->path) == 2;
}

/* {"items":[...]} with a hundred contacts, 3611 bytes, from gzip. */
static const unsigned char gzip_body[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xed, 0xca, 0x31, 0x0a, 0x80, 0x30,
    0x10, 0x45, 0xc1, 0xbb, 0xfc, 0x3a, 0x08, 0xb6, 0xa9, 0xbc, 0x87, 0x58, 0x04, 0xdd, 0x62, 0x25,
    0xab, 0x82, 0x16, 0x42, 0xc8, 0xdd, 0xbd, 0x87, 0xbc, 0xa9, 0xa7, 0xc9, 0x1f, 0x8b, 0x5b, 0x79,
    0x6e, 0xf2, 0x4d, 0x79, 0x4c, 0xb2, 0x28, 0x5e, 0x95, 0xb5, 0x97, 0xc3, 0x26, 0x7b, 0x4b, 0x5c,
    0xd5, 0x86, 0xf5, 0x0c, 0xf5, 0xc4, 0xe1, 0x70, 0x38, 0x1c, 0x0e, 0x87, 0xc3, 0xe1, 0x70, 0x38,
    0x9c, 0xdf, 0x9d, 0xa5, 0x7f, 0x4a, 0x10, 0x2c, 0xd1, 0x1b, 0x0e, 0x00, 0x00,
};

/* A zlib stream of 64 MiB of zeros: one literal, then copies of 258 bytes at distance 1, in 13
 * bits each (RFC 1951, fixed codes). */
static void send_bomb(int fd)
{
    enum { COPIES = 64 * 1024 * 1024 / 258 };
    size_t cap = COPIES * 13 / 8 + 64;
    unsigned char *z = calloc(1, cap);
    size_t bit = 16;
    if (!z)
        return;
    z[0] = 0x78;
    z[1] = 0x9c;
#define PUT(bits)                                                                                  \
    for (const char *b = (bits); *b; b++, bit++)                                                   \
    z[bit / 8] = (unsigned char)(z[bit / 8] | (*b == '1') << bit % 8)
    PUT("110"
        "00110000");
    for (int i = 0; i < COPIES; i++)
        PUT("1100010100000");
    PUT("0000000");
#undef PUT
    send_answer(fd, "Content-Encoding: deflate\r\n", z, bit / 8 + 5);
    free(z);
}

static void send_much(int fd, const char *head, size_t len, const char *tail)
{
    char block[65536];
    memset(block, 'x', sizeof(block));
    bool ok = send_text(fd, head);
    for (size_t sent = 0; ok && sent < len; sent += sizeof(block))
        ok = send_all(fd, block, MIN(sizeof(block), len - sent));
    if (ok)
        send_text(fd, tail);
}

static void reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* Answers one request; false: the connection ends. */
static bool serve(int fd, struct request *r, int nth)
{
    if (strcmp(r->path, "/echo") == 0 || strncmp(r->path, "http://", 7) == 0)
        return send_answer(fd, "Content-Type: text/plain\r\n", r->text, r->len);
    if (strcmp(r->path, "/gzip") == 0)
        return send_answer(fd, "Content-Encoding: gzip\r\n", gzip_body, sizeof(gzip_body));
    if (strcmp(r->path, "/bomb") == 0)
        send_bomb(fd);
    if (strcmp(r->path, "/bad-gzip") == 0)
        return send_answer(fd, "Content-Encoding: gzip\r\n", "this is no gzip at all", 22);
    if (strcmp(r->path, "/big") == 0)
        send_much(fd, "HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n", 20 * MIB, "");
    if (strcmp(r->path, "/big-unknown") == 0)
        send_much(fd, "HTTP/1.0 200 OK\r\n\r\n", 20 * MIB, "");
    if (strcmp(r->path, "/lies-less") == 0)
        send_much(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 20 * MIB, "");
    if (strcmp(r->path, "/lies-more") == 0)
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    if (strcmp(r->path, "/reset") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
        reset(fd);
    }
    if (strcmp(r->path, "/half-head") == 0)
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Le");
    if (strcmp(r->path, "/more-later") == 0) {
        /* Says something when nobody asked, as load balancers do before they close. */
        bool ok = send_answer(fd, "", "ok", 2);
        sem_wait(&http_server_say_more);
        ok = ok && send_text(fd, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
        sem_post(&http_server_said);
        return ok;
    }
    if (strcmp(r->path, "/long-headers") == 0)
        send_much(fd, "HTTP/1.1 200 OK\r\nX-Long: ", 300000, "\r\n\r\n");
    if (strcmp(r->path, "/many-headers") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 4000 && send_text(fd, "X-Many: 0123456789012345678901234\r\n"); i++)
            ;
        send_text(fd, "\r\n");
    }
    if (strcmp(r->path, "/no-http") == 0)
        send_text(fd, "SSH-2.0-OpenSSH_9.2\r\n");
    if (strcmp(r->path, "/redirect") == 0)
        return send_text(fd, "HTTP/1.1 302 Found\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n");
    if (strcmp(r->path, "/limited") == 0)
        return send_text(fd, "HTTP/1.1 103 Early Hints\r\nRetry-After: 99\r\n\r\n"
                             "HTTP/1.1 429 Too Many Requests\r\n"
                             "content-type: application/problem+json\r\n"
                             "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                             "x-ratelimit-LIMIT:60\r\nX-RateLimit-Remaining:  0 \r\n"
                             "X-RateLimit-Refill: 12\r\nX-RateLimit-Refill-Not: 13\r\n"
                             "WWW-Authenticate: 0123456789012345678901234567890123456789"
                             "0123456789012345678901234567890123456789\r\n"
                             "Content-Length: 2\r\n\r\n{}");
    if (strcmp(r->path, "/chunked") == 0)
        return send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                             "Trailer: X-RateLimit-Limit\r\n\r\n"
                             "5\r\n[1,2,\r\n1\r\n3\r\n1\r\n]\r\n0\r\nX-RateLimit-Limit: 9\r\n\r\n");
    if (strcmp(r->path, "/stale") == 0) {
        /* Takes the second request of a connection, and dies. */
        atomic_fetch_add(strcmp(r->method, "POST") == 0 ? &http_server_posts : &http_server_gets,
                         1);
        if (nth == 1)
            return send_answer(fd, "", "ok", 2);
    }
    if (strcmp(r->path, "/silent") == 0) {
        char c;
        while (recv(fd, &c, 1, 0) > 0)
            ;
    }
    return false;
}

static void *connection_main(void *data)
{
    int fd = (int)(intptr_t)data;
    struct request *r = malloc(sizeof(*r));
    for (int nth = 1; r && read_request(fd, r) && serve(fd, r, nth); nth++)
        ;
    free(r);
    close(fd);
    return NULL;
}

static void *server_main(void *data UNUSED)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        pthread_t thread;
        int on = 1; /* or head and body, written apart, cost 40 ms of delayed ACK */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        atomic_fetch_add(&http_server_connections, 1);
        if (pthread_create(&thread, NULL, connection_main, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
        else
            close(fd);
    }
    return NULL;
}

int http_server_bind(int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

void http_server_start(void)
{
    pthread_t thread;
    assert_int_equal(sem_init(&http_server_say_more, 0, 0), 0);
    assert_int_equal(sem_init(&http_server_said, 0, 0), 0);
    listener = http_server_bind(&http_server_port);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(pthread_create(&thread, NULL, server_main, NULL), 0);
    pthread_detach(thread);
}
