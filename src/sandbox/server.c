#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "systemefs/base/macros.h"
#include "gzip.h"
#include "text.h"

#define CONNECTIONS_MAX 8000
#define BACKLOG         1024
#define GZIP_LEAST      1000 /* bytes; less is not worth it */
#define HUGE_BLOCK      65536

struct server {
    struct sandbox *sandbox;
    struct MHD_Daemon *daemon;
    char address[80];
};

/* One request on its way. */
struct exchange {
    struct waiter waiter; /* first: server_wake() gets this */
    struct MHD_Connection *connection;
    struct request req;
    struct response res;
    struct fault fault;
    char *uri;
    int64_t number; /* in the journal; 0: not there */
    bool begun;     /* the headers have been looked at */
    bool done;      /* carried out; the answer may go */
    bool ended;     /* told to the journal */
};

void server_wake(struct waiter *waiter)
{
    struct exchange *x = (struct exchange *)waiter;
    MHD_resume_connection(x->connection);
}

/* The library shows the request line before it decodes it; the exchange is born here. */
static void *on_uri(void *data UNUSED, const char *uri, struct MHD_Connection *connection)
{
    struct exchange *x = must(calloc(1, sizeof(*x)));
    x->connection = connection;
    x->uri = must_dup(uri);
    return x;
}

static const char *header(struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static void begin(struct exchange *x, const char *method)
{
    x->begun = true;
    request_init(&x->req, method, x->uri);
    response_init(&x->res);
    x->req.content_type = header(x, "Content-Type");
    x->req.api_key = header(x, "X-API-Key");
    x->req.authorization = header(x, "Authorization");
    x->req.maton_connection = header(x, "Maton-Connection");
    x->req.accept_encoding = header(x, "Accept-Encoding");
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    x->waiter.fd = info ? info->connect_fd : -1;
}

/* Carries the request out; says how long its answer must wait. */
static int64_t carry_out(struct sandbox *s, struct exchange *x)
{
    if (x->req.via == VIA_CONTROL) {
        control_answer(s, &x->req, &x->res);
        return 0;
    }
    struct route route = {0};
    if (x->req.via != VIA_CONNECTIONS)
        api_route(&x->req, &route);
    x->number = journal_begin(s->journal, &x->req, front_kind(&x->req, &route));
    faults_match(&s->faults, &x->req, &x->fault);
    if (fault_executes(&x->fault)) {
        fault_prepare(&x->fault, &x->req);
        front_answer(s, &x->req, &route, &x->res);
        fault_rewrite(&x->fault, &x->res);
    } else {
        fault_replace(&x->fault, &x->req, &x->res);
    }
    if (s->settings->verbose)
        fprintf(stderr, "systemefs-sandbox: %lld %s %s%s%s -> %d\n", (long long)x->number,
                x->req.method, x->req.path, *x->req.query ? "?" : "", x->req.query, x->res.status);

    if (x->fault.kind == FAULT_HANG)
        return WAITING_FOREVER;
    int64_t low = s->latency_min_ms, high = MAX(s->latency_max_ms, low);
    return low +
           (int64_t)(world_draw(s->api.world, (size_t)x->number, 60) % (uint64_t)(high - low + 1)) +
           x->fault.latency_ms;
}

/* Half of the body, and then the connection breaks. */
static ssize_t read_half(void *data, uint64_t pos, char *out, size_t max)
{
    struct exchange *x = data;
    size_t half = x->res.body.len / 2;
    if (pos >= half)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = MIN(max, half - (size_t)pos);
    memcpy(out, x->res.body.data + pos, n);
    return (ssize_t)n;
}

/* A valid document of any length: {"items":[],"hasMore":false,"filler":"xxx..."}. */
static ssize_t read_huge(void *data, uint64_t pos, char *out, size_t max)
{
    static const char head[] = "{\"items\":[],\"hasMore\":false,\"filler\":\"";
    const struct exchange *x = data;
    uint64_t size = (uint64_t)x->fault.bytes;
    size_t n = (size_t)MIN((uint64_t)max, size - pos);
    memset(out, 'x', n);
    for (size_t i = 0; i < n && pos + i < sizeof(head) - 1; i++)
        out[i] = head[pos + i];
    if (pos + n == size)
        out[n - 1] = '}';
    if (pos + n >= size - 1 && pos <= size - 2 && size > 2)
        out[size - 2 - pos] = '"';
    return (ssize_t)n;
}

static struct MHD_Response *make_response(struct exchange *x)
{
    struct MHD_Response *response;
    if (x->fault.kind == FAULT_CLOSE_MID && x->res.body.len) {
        response =
            MHD_create_response_from_callback(x->res.body.len, HUGE_BLOCK, read_half, x, NULL);
    } else if (x->fault.kind == FAULT_HUGE) {
        response = MHD_create_response_from_callback((uint64_t)x->fault.bytes, HUGE_BLOCK,
                                                     read_huge, x, NULL);
    } else {
        size_t len;
        char *body = must(buf_take(&x->res.body, &len));
        response = MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
    }
    return must(response);
}

static enum MHD_Result send_answer(struct sandbox *s, struct exchange *x)
{
    bool silent =
        x->fault.kind == FAULT_HANG || x->fault.kind == FAULT_CLOSE || x->fault.kind == FAULT_LOST;
    if (x->number && !x->ended)
        journal_end(s->journal, x->number, silent ? 0 : x->res.status);
    x->ended = true;
    if (silent)
        return MHD_NO;
    if (s->settings->gzip && x->fault.kind != FAULT_CLOSE_MID && x->res.body.len >= GZIP_LEAST &&
        gzip_accepted(x->req.accept_encoding) && gzip_body(&x->res.body)) {
        response_header(&x->res, "Content-Encoding", "gzip");
        response_header(&x->res, "Vary", "Accept-Encoding");
    }
    struct MHD_Response *response = make_response(x);
    if (x->res.content_type)
        MHD_add_response_header(response, "Content-Type", x->res.content_type);
    for (size_t i = 0; i < x->res.header_count; i++)
        MHD_add_response_header(response, x->res.header[i].name, x->res.header[i].value);
    enum MHD_Result r = MHD_queue_response(x->connection, (unsigned)x->res.status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection,
                                  const char *url UNUSED, const char *method,
                                  const char *version UNUSED, const char *upload,
                                  size_t *upload_size, void **con_cls)
{
    struct server *server = data;
    struct exchange *x = *con_cls;
    if (!x->begun) {
        begin(x, method);
        return MHD_YES;
    }
    if (*upload_size) {
        if (buf_append(&x->req.body, upload, *upload_size) < 0)
            x->req.body_too_large = true;
        *upload_size = 0;
        return MHD_YES;
    }
    if (!x->done) {
        x->done = true;
        int64_t wait = carry_out(server->sandbox, x);
        if (wait > 0) {
            x->waiter.due_ms = wait == WAITING_FOREVER
                                   ? WAITING_FOREVER
                                   : clock_mono_ms(server->sandbox->clock) + wait;
            MHD_suspend_connection(connection);
            waiting_add(server->sandbox->waiting, &x->waiter);
            return MHD_YES;
        }
    }
    return send_answer(server->sandbox, x);
}

static void on_completed(void *data, struct MHD_Connection *connection UNUSED, void **con_cls,
                         enum MHD_RequestTerminationCode why UNUSED)
{
    struct server *server = data;
    struct exchange *x = *con_cls;
    if (!x)
        return;
    if (x->number && !x->ended)
        journal_end(server->sandbox->journal, x->number, 0);
    if (x->begun) {
        request_finish(&x->req);
        response_finish(&x->res);
        fault_finish(&x->fault);
    }
    free(x->uri);
    free(x);
    *con_cls = NULL;
}

/* Splits HOST:PORT, where HOST may stand in brackets. */
static bool split_listen(const char *listen, char host[64], const char **ret_port)
{
    const char *colon = strrchr(listen, ':');
    if (!colon || colon == listen || !colon[1])
        return false;
    size_t len = (size_t)(colon - listen);
    if (listen[0] == '[' && colon[-1] == ']') {
        listen++;
        len -= 2;
    }
    if (len >= 64)
        return false;
    memcpy(host, listen, len);
    host[len] = '\0';
    *ret_port = colon + 1;
    int64_t port;
    return text_parse_int(colon + 1, &port) && port >= 0 && port <= 65535;
}

static bool is_loopback(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr) >> 24) ==
               127;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
    return addr->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(six);
}

/* A listening socket of our own: the library's errors do not say why. */
static int open_socket(struct server *server, char *why, size_t size, bool *ret_usage)
{
    const struct settings *settings = server->sandbox->settings;
    char host[64];
    const char *port;
    *ret_usage = true;
    if (!split_listen(settings->listen, host, &port)) {
        snprintf(why, size, "--listen: '%s' is not HOST:PORT", settings->listen);
        return -1;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int r = getaddrinfo(host, port, &hints, &found);
    if (r != 0) {
        snprintf(why, size, "--listen: '%s': %s", host, gai_strerror(r));
        return -1;
    }
    if (!is_loopback(found->ai_addr) && !settings->insecure_listen) {
        snprintf(why, size, "--listen: '%s' is not loopback (see --insecure-listen)", host);
        freeaddrinfo(found);
        return -1;
    }
    *ret_usage = false;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        snprintf(why, size, "cannot listen on %s: %s", settings->listen, strerror(errno));
        if (fd >= 0)
            close(fd);
        freeaddrinfo(found);
        return -1;
    }
    bool six = found->ai_family == AF_INET6;
    freeaddrinfo(found);

    struct sockaddr_storage own;
    socklen_t own_len = sizeof(own);
    char number[NI_MAXSERV] = "0";
    getsockname(fd, (struct sockaddr *)&own, &own_len);
    getnameinfo((struct sockaddr *)&own, own_len, host, sizeof(host), number, sizeof(number),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(server->address, sizeof(server->address), six ? "[%s]:%s" : "%s:%s", host, number);
    return fd;
}

struct server *server_start(struct sandbox *s, char *why, size_t why_size, bool *ret_usage)
{
    struct server *server = must(calloc(1, sizeof(*server)));
    server->sandbox = s;
    int fd = open_socket(server, why, why_size, ret_usage);
    if (fd < 0) {
        free(server);
        return NULL;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    server->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO,
                         0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_THREAD_POOL_SIZE, (unsigned)s->settings->threads,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                         MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_NOTIFY_COMPLETED,
                         on_completed, server, MHD_OPTION_END);
    if (!server->daemon) {
        snprintf(why, why_size, "cannot start the HTTP server");
        close(fd);
        free(server);
        return NULL;
    }
    return server;
}

const char *server_address(const struct server *server)
{
    return server->address;
}

void server_stop(struct server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon);
    free(server);
}
