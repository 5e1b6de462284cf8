#include "systemefs/net/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define LOG_MODULE "http"
#include "systemefs/base/list.h"
#include "systemefs/base/log.h"
#include "systemefs/base/macros.h"

#include "ca.h"
#include "sockets.h"

/* All header lines of one exchange, trailers and interim answers included. */
#define HEADERS_MAX 65536
/* Connections idle for longer are not used again. libcurl has such a limit too, but its clock
 * stands still while a laptop sleeps, and ours does not. */
#define IDLE_MAX_MS 90000
/* Bytes that nobody acknowledges for so long mean a dead connection, so that an HTTP/2 connection
 * that outlived its network does not swallow one request after the other. */
#define UNACKNOWLEDGED_MAX_MS 20000

/* Before the rewrite of its HTTP/2 in 8.1, libcurl sometimes leaves the rest of an answer lying in
 * a buffer and waits for the socket, when several streams share a connection (seen with 7.88.1
 * in one of 500 answers of 100 KiB, eight at once). Such a libcurl gets a connection for each
 * exchange under way. */
#define MULTIPLEX_SINCE 0x080200

enum exchange_state {
    EXCHANGE_IDLE,    /* in h->idle */
    EXCHANGE_RUNNING, /* in h->running, in the multi handle */
    EXCHANGE_ENDED,   /* done() is still to be called */
    EXCHANGE_DONE,    /* in done() */
};

struct exchange {
    struct list link;
    struct http *http;
    CURL *easy;
    enum exchange_state state;

    /* of the present request */
    transport_done_fn *done;
    void *data;
    enum http_method method;
    struct curl_slist *headers;
    int64_t start_ms;
    bool too_large;
    bool in_headers;
    bool used_up;   /* the connection that it got: on_request() */
    bool restarted; /* on a new one */
    size_t header_bytes;
    struct http_response response;
    char where[128]; /* "host:port" */
    char error[CURL_ERROR_SIZE];
};

struct http {
    struct transport transport;
    const struct clock *clock;
    unsigned max_connections;
    bool multiplex; /* several exchanges on one HTTP/2 connection */
    char *user_agent;
    struct buf ca; /* PEM: the system's and ours; empty: libcurl's default */
    CURLM *multi;
    struct sockets sockets;
    bool framed; /* the server speaks HTTP/2: bytes may come at any time */
    struct list running, ended, idle;
    size_t running_count, idle_count;
    int64_t last_ms; /* when an exchange last ended */
    bool started;    /* since curl last worked */
};

/* What curl calls while it works ------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t n, void *data)
{
    struct exchange *x = data;
    if (buf_append(&x->response.body, bytes, size * n) < 0) {
        x->too_large = true;
        return 0;
    }
    return size * n;
}

/* Curl gives one line a call. An interim answer (100, 103) comes before the real one with a
 * status line of its own; trailers come after the empty line and count for nothing. */
static size_t on_header(char *line, size_t size, size_t n, void *data)
{
    struct exchange *x = data;
    size_t len = size * n;

    x->header_bytes += len;
    if (x->header_bytes > HEADERS_MAX) {
        x->too_large = true;
        return 0;
    }
    if (len > 5 && memcmp(line, "HTTP/", 5) == 0) {
        x->response.headers = (struct http_headers){.content_type = ""};
        x->in_headers = true;
    } else if (line[0] == '\r' || line[0] == '\n') {
        x->in_headers = false;
    } else if (x->in_headers) {
        http_headers_add(&x->response.headers, line, len);
    }
    return len;
}

/*
 * Called when the connection stands and the request is about to be written. A second call for
 * one exchange means that curl repeats it because a kept connection broke without a byte of an
 * answer. The server may have executed it all the same, so a change is not repeated behind
 * our back: a POST never, the others by net/, which counts its tries.
 *
 * A kept connection on which something has been said meanwhile is not used: libcurl 7.88
 * takes that for the answer. Load balancers say "408" before they close one that was idle.
 */
static int on_request(void *data, char *ip UNUSED, char *local_ip UNUSED, int port UNUSED,
                      int local_port)
{
    struct exchange *x = data;
    long connects = 1;
    if (x->response.sent && x->method != HTTP_GET)
        return CURL_PREREQFUNC_ABORT;
    curl_easy_getinfo(x->easy, CURLINFO_NUM_CONNECTS, &connects);
    x->used_up = connects == 0 && !x->restarted && !x->http->framed &&
                 sockets_unread(&x->http->sockets, local_port);
    if (x->used_up)
        return CURL_PREREQFUNC_ABORT;
    x->response.sent = true;
    return CURL_PREREQFUNC_OK;
}

static curl_socket_t on_socket(void *data, curlsocktype purpose UNUSED, struct curl_sockaddr *a)
{
    struct http *h = data;
    int fd = sockets_open(&h->sockets, a->family, a->socktype, a->protocol, UNACKNOWLEDGED_MAX_MS);
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_socket_close(void *data, curl_socket_t fd)
{
    struct http *h = data;
    sockets_close(&h->sockets, fd);
    return 0;
}

/* Exchanges and their handles ---------------------------------------------------------------- */

static void exchange_destroy(struct exchange *x)
{
    curl_easy_cleanup(x->easy);
    free(x);
}

/* What stays the same for all requests of a handle. */
static bool easy_setup(struct exchange *x)
{
    CURL *e = x->easy;
    struct http *h = x->http;
    CURLcode bad = CURLE_OK;

#define SET(option, value) (bad = bad ? bad : curl_easy_setopt(e, (option), (value)))
    SET(CURLOPT_PRIVATE, x);
    SET(CURLOPT_ERRORBUFFER, x->error);
    SET(CURLOPT_USERAGENT, h->user_agent);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Without it, giving up on a name that does not resolve waits for the resolver's thread, and
     * the whole loop with it. */
    SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    SET(CURLOPT_ACCEPT_ENCODING, "");
    SET(CURLOPT_BUFFERSIZE, 65536L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, h);
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_socket_close);
    SET(CURLOPT_CLOSESOCKETDATA, h); /* a connection outlives its first exchange */
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, x);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, x);
    SET(CURLOPT_PREREQFUNCTION, on_request);
    SET(CURLOPT_PREREQDATA, x);
    if (h->ca.len > 0) {
        struct curl_blob blob = {.data = h->ca.data, .len = h->ca.len, .flags = CURL_BLOB_NOCOPY};
        SET(CURLOPT_CAINFO_BLOB, &blob);
    }
#undef SET
    return bad == CURLE_OK;
}

static struct exchange *exchange_take(struct http *h)
{
    struct list *first = list_first(&h->idle);
    if (first) {
        list_remove(first);
        h->idle_count--;
        return CONTAINER_OF(first, struct exchange, link);
    }
    struct exchange *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    list_init(&x->link);
    x->http = h;
    x->easy = curl_easy_init();
    if (!x->easy || !easy_setup(x)) {
        exchange_destroy(x);
        return NULL;
    }
    return x;
}

/* Forgets the request and keeps the handle for the next one. */
static void exchange_give(struct exchange *x)
{
    struct http *h = x->http;

    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, NULL);
    for (struct curl_slist *s = x->headers; s; s = s->next)
        explicit_bzero(s->data, strlen(s->data)); /* may hold a key */
    curl_slist_free_all(x->headers);
    x->headers = NULL;
    buf_finish(&x->response.body);
    x->state = EXCHANGE_IDLE;
    list_remove(&x->link);
    if (h->idle_count >= h->max_connections) {
        exchange_destroy(x);
        return;
    }
    list_prepend(&h->idle, &x->link);
    h->idle_count++;
}

static bool header_is(const char *line, const char *name)
{
    size_t len = strlen(name);
    return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

static bool headers_copy(struct exchange *x, const char *const *lines)
{
    /* Curl would wait for a "100 Continue", and call a body without a type a form. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    bool typed = false;
    bool whole = list != NULL;
    for (size_t i = 0; whole && lines && lines[i]; i++) {
        typed = typed || header_is(lines[i], "Content-Type");
        whole = curl_slist_append(list, lines[i]) != NULL;
    }
    if (whole && !typed)
        whole = curl_slist_append(list, "Content-Type:") != NULL;
    x->headers = list;
    return whole && curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, list) == CURLE_OK;
}

/* Curl's own parser tells which host it will really talk to. */
static void look_at_url(const char *url, char *where, size_t size, bool *loopback, bool *https)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    struct in_addr v4;
    CURLU *u = curl_url();

    *loopback = *https = false;
    where[0] = '\0';
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        *https = strcmp(scheme, "https") == 0;
        *loopback = strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
                    (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
        snprintf(where, size, "%s:%s", host, port);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
}

static bool request_setup(struct exchange *x, const struct http_request *request)
{
    CURL *e = x->easy;
    CURLcode bad = CURLE_OK;
    bool loopback, https;
    bool body = request->method != HTTP_GET && (request->method != HTTP_DELETE || request->body);
    bool plain = request->method == HTTP_GET || request->method == HTTP_POST;

    look_at_url(request->url, x->where, sizeof(x->where), &loopback, &https);
#define SET(option, value) (bad = bad ? bad : curl_easy_setopt(e, (option), (value)))
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_FRESH_CONNECT, 0L);
    SET(CURLOPT_PROXY, loopback ? "" : NULL);
    /* Waiting for a connection that can be shared pays only where HTTP/2 may come. */
    SET(CURLOPT_HTTP_VERSION, (long)(https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    SET(CURLOPT_PIPEWAIT, https && x->http->multiplex ? 1L : 0L);
    SET(CURLOPT_TIMEOUT_MS, (long)MAX(MIN(request->timeout_ms, INT_MAX), 1));
    if (body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(request->body ? request->body_len : 0));
        SET(CURLOPT_COPYPOSTFIELDS, request->body ? request->body : "");
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_CUSTOMREQUEST, plain ? NULL : http_method_name(request->method));
#undef SET
    return bad == CURLE_OK && headers_copy(x, request->headers);
}

/* The multi handle --------------------------------------------------------------------------- */

static CURLM *multi_new(unsigned max_connections, bool multiplex)
{
    CURLM *m = curl_multi_init();
    if (!m)
        return NULL;
    curl_multi_setopt(m, CURLMOPT_PIPELINING,
                      (long)(multiplex ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING));
    curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)max_connections);
    return m;
}

/* Drops the kept connections. Nothing may be running. */
static void http_forget_connections(struct http *h)
{
    CURLM *fresh = multi_new(h->max_connections, h->multiplex);
    if (!fresh)
        return;
    curl_multi_cleanup(h->multi);
    h->multi = fresh;
}

static void *http_start(struct transport *t, const struct http_request *request,
                        transport_done_fn *done, void *data)
{
    struct http *h = CONTAINER_OF(t, struct http, transport);
    int64_t now = clock_mono_ms(h->clock);

    /* Not left to CURLMOPT_MAX_TOTAL_CONNECTIONS: libcurl 7.88 sometimes forgets an exchange that
     * waits for a connection until its time is up. */
    if (h->running_count >= h->max_connections)
        return NULL;
    if (list_empty(&h->running) && now - h->last_ms > IDLE_MAX_MS)
        http_forget_connections(h);
    struct exchange *x = exchange_take(h);
    if (!x)
        return NULL;
    x->done = done;
    x->data = data;
    x->method = request->method;
    x->start_ms = now;
    x->too_large = x->in_headers = x->used_up = x->restarted = false;
    x->header_bytes = 0;
    x->error[0] = '\0';
    x->response = (struct http_response){.failure = NET_OK};
    buf_init(&x->response.body, request->max_body);
    if (!request_setup(x, request) || curl_multi_add_handle(h->multi, x->easy) != CURLM_OK) {
        exchange_give(x);
        return NULL;
    }
    x->state = EXCHANGE_RUNNING;
    list_append(&h->running, &x->link);
    h->running_count++;
    h->started = true;
    return x;
}

static void http_cancel(struct transport *t UNUSED, void *handle)
{
    struct exchange *x = handle;
    if (x->state == EXCHANGE_DONE)
        return; /* inside its own done() */
    if (x->state == EXCHANGE_RUNNING) {
        curl_multi_remove_handle(x->http->multi, x->easy);
        x->http->running_count--;
    }
    exchange_give(x);
}

/* Nothing of it has been sent. False: it cannot be begun again. */
static bool exchange_restart(struct exchange *x)
{
    x->restarted = true;
    x->http->started = true;
    return curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
           curl_multi_add_handle(x->http->multi, x->easy) == CURLM_OK;
}

static void exchange_end(struct exchange *x, CURLcode code)
{
    struct http_response *r = &x->response;
    struct http *h = x->http;
    long status = 0, os_error = 0, header_bytes = 0, version = 0;
    curl_off_t body_bytes = 0;

    /* libcurl takes a connection that ends amid the header lines for the end of a whole answer. */
    if (code == CURLE_OK && x->in_headers)
        code = CURLE_PARTIAL_FILE;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &os_error);
    curl_easy_getinfo(x->easy, CURLINFO_HEADER_SIZE, &header_bytes);
    curl_easy_getinfo(x->easy, CURLINFO_SIZE_DOWNLOAD_T, &body_bytes);
    curl_easy_getinfo(x->easy, CURLINFO_HTTP_VERSION, &version);
    curl_multi_remove_handle(h->multi, x->easy);
    if (x->used_up && !x->restarted && exchange_restart(x))
        return;
    if (version)
        h->framed = version > CURL_HTTP_VERSION_1_1;
    h->running_count--;

    h->last_ms = clock_mono_ms(h->clock);
    r->ms = h->last_ms - x->start_ms;
    r->wire_bytes = (size_t)header_bytes + (size_t)body_bytes;
    r->failure = x->too_large ? NET_TOO_LARGE : http_failure_of((int)code, (int)os_error);
    if (r->failure == NET_OK) {
        r->status = (int)status;
    } else {
        /* Only TLS has more to say, and only there it is sure to hold no part of a URL. */
        const char *text = curl_easy_strerror(code);
        if (r->failure == NET_TOO_LARGE)
            text = "answer too large";
        else if (r->failure == NET_TLS && x->error[0])
            text = x->error;
        snprintf(r->detail, sizeof(r->detail), "%.*s %s",
                 (int)(sizeof(r->detail) - sizeof(x->where) - 2), text, x->where);
        buf_finish(&r->body);
    }
    x->state = EXCHANGE_ENDED;
    list_remove(&x->link);
    list_append(&h->ended, &x->link);
}

/* Lets curl work and moves what has ended to h->ended. */
static void http_work(struct http *h)
{
    int running, left;
    CURLMsg *m;

    h->started = false;
    CURLMcode r = curl_multi_perform(h->multi, &running);
    if (r != CURLM_OK)
        log_err("curl_multi_perform: %s", curl_multi_strerror(r));
    while ((m = curl_multi_info_read(h->multi, &left))) {
        char *x = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result; /* removing the handle ends the message */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
        exchange_end((struct exchange *)(void *)x, code);
    }
}

void http_turn(struct http *h)
{
    http_work(h);
    struct list *first = list_first(&h->ended);
    if (first) {
        struct exchange *x = CONTAINER_OF(first, struct exchange, link);
        list_remove(first);
        x->state = EXCHANGE_DONE;
        x->done(x->data, &x->response);
        exchange_give(x);
    }
    if (h->started)
        http_work(h);
}

int http_wait(struct http *h, struct http_wait_fd *fds, size_t n, int64_t timeout_ms)
{
    struct curl_waitfd wait[HTTP_WAIT_FDS_MAX];
    unsigned used = 0;

    if (n > HTTP_WAIT_FDS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        fds[i].readable = false;
        if (fds[i].fd >= 0)
            wait[used++] = (struct curl_waitfd){.fd = fds[i].fd, .events = CURL_WAIT_POLLIN};
    }
    if (!list_empty(&h->ended))
        timeout_ms = 0;
    else if (timeout_ms < 0 || timeout_ms > INT_MAX)
        timeout_ms = INT_MAX;
    CURLMcode r = curl_multi_poll(h->multi, wait, used, (int)timeout_ms, NULL);
    if (r != CURLM_OK)
        return r == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO;

    /* Curl counts a hang-up and an error as readable, too. */
    used = 0;
    for (size_t i = 0; i < n; i++) {
        if (fds[i].fd >= 0)
            fds[i].readable = wait[used++].revents != 0;
    }
    return 0;
}

/* Creation ----------------------------------------------------------------------------------- */

int http_create(const struct http_options *options, struct http **ret)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;
    struct http *h = calloc(1, sizeof(*h));
    if (!h) {
        curl_global_cleanup();
        return -ENOMEM;
    }
    h->transport = (struct transport){.start = http_start, .cancel = http_cancel};
    h->clock = options->clock;
    h->max_connections = MAX(options->max_connections, 1);
    h->last_ms = clock_mono_ms(h->clock);
    list_init(&h->running);
    list_init(&h->ended);
    list_init(&h->idle);

    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    h->multiplex = info->version_num >= MULTIPLEX_SINCE;
    const char *bundle = info->age >= CURLVERSION_SEVENTH ? info->cainfo : NULL;
    int r = options->cacert ? ca_load(&h->ca, options->cacert, bundle) : 0;
    if (r == 0) {
        h->user_agent = strdup(options->user_agent);
        h->multi = multi_new(h->max_connections, h->multiplex);
        if (!h->user_agent || !h->multi)
            r = -ENOMEM;
    }
    if (r < 0) {
        http_destroy(h);
        return r;
    }
    *ret = h;
    return 0;
}

void http_destroy(struct http *h)
{
    if (!h)
        return;
    list_for_each_safe(it, &h->running)
        http_cancel(&h->transport, CONTAINER_OF(it, struct exchange, link));
    list_for_each_safe(it, &h->ended)
        http_cancel(&h->transport, CONTAINER_OF(it, struct exchange, link));
    list_for_each_safe(it, &h->idle)
        exchange_destroy(CONTAINER_OF(it, struct exchange, link));
    curl_multi_cleanup(h->multi);
    sockets_finish(&h->sockets);
    buf_finish(&h->ca);
    free(h->user_agent);
    free(h);
    curl_global_cleanup();
}

struct transport *http_transport(struct http *h)
{
    return &h->transport;
}
