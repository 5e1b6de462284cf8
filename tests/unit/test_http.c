/* The real transport against a server of this program (http_server.h). Nothing sleeps; the
 * shortest time-outs are 50 ms. */
#include "systemefs/net/http.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "http_server.h"
#include "systemefs/base/log.h"
#include "systemefs/base/macros.h"

#define BODY_MAX (16u * 1024 * 1024)

struct outcome {
    unsigned dones;
    struct http_response r;
    char *body;
    void (*then)(struct outcome *o);
    struct outcome *other;
    void *handle;
};

static struct clock_manual clock_of_http;
static struct http *h;

static int setup(void **state UNUSED)
{
    const struct http_options options = {.user_agent = "test/1",
                                         .max_connections = 4,
                                         .clock = &clock_of_http.clock};
    clock_manual_init(&clock_of_http, 1000, 0);
    assert_int_equal(http_create(&options, &h), 0);
    return 0;
}

static int teardown(void **state UNUSED)
{
    http_destroy(h);
    h = NULL;
    return 0;
}

static void on_done(void *data, struct http_response *response)
{
    struct outcome *o = data;
    o->dones++;
    o->r = *response;
    o->body = buf_take(&response->body, NULL);
    o->r.body = (struct buf){.len = o->r.body.len};
    if (o->then)
        o->then(o);
}

static void outcome_finish(struct outcome *o)
{
    free(o->body);
    *o = (struct outcome){.dones = 0};
}

static const char *const headers[] = {"X-API-Key: sesame", "Content-Type: application/json", NULL};

static void start_url(struct outcome *o, enum http_method method, const char *url, const char *body,
                      int64_t timeout_ms)
{
    const struct http_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = body,
        .body_len = body ? strlen(body) : 0,
        .timeout_ms = timeout_ms,
        .max_body = BODY_MAX,
    };
    o->handle = http_transport(h)->start(http_transport(h), &request, on_done, o);
    assert_non_null(o->handle);
    assert_int_equal(o->dones, 0);
}

static void start(struct outcome *o, enum http_method method, const char *path, const char *body)
{
    char url[256];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", http_server_port, path);
    start_url(o, method, url, body, 20000);
}

static void run(struct outcome *o)
{
    while (!o->dones) {
        assert_int_equal(http_wait(h, NULL, 0, 20000), 0);
        http_turn(h);
    }
    assert_int_equal(o->dones, 1);
}

static void get(struct outcome *o, const char *path)
{
    start(o, HTTP_GET, path, NULL);
    run(o);
}

static int64_t real_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Tests --------------------------------------------------------------------------------------- */

static void test_failure_table(void **state UNUSED)
{
    static const struct {
        CURLcode code;
        int os_error;
        enum net_failure failure;
    } rows[] = {
        {CURLE_OK, 0, NET_OK},
        {CURLE_COULDNT_RESOLVE_HOST, 0, NET_UNREACHABLE},
        {CURLE_COULDNT_RESOLVE_PROXY, 0, NET_UNREACHABLE},
        {CURLE_INTERFACE_FAILED, 0, NET_UNREACHABLE},
        {CURLE_PROXY, 0, NET_UNREACHABLE},
        {CURLE_URL_MALFORMAT, 0, NET_UNREACHABLE},
        {CURLE_COULDNT_CONNECT, 0, NET_REFUSED},
        {CURLE_COULDNT_CONNECT, ECONNREFUSED, NET_REFUSED},
        {CURLE_COULDNT_CONNECT, EHOSTUNREACH, NET_UNREACHABLE},
        {CURLE_COULDNT_CONNECT, ENETUNREACH, NET_UNREACHABLE},
        {CURLE_COULDNT_CONNECT, ETIMEDOUT, NET_UNREACHABLE},
        {CURLE_OPERATION_TIMEDOUT, 0, NET_TIMEOUT},
        {CURLE_OPERATION_TIMEDOUT, ECONNREFUSED, NET_TIMEOUT},
        /* clang-format off */
        {CURLE_SSL_CONNECT_ERROR, 0, NET_TLS}, {CURLE_PEER_FAILED_VERIFICATION, 0, NET_TLS},
        {CURLE_SSL_CACERT_BADFILE, 0, NET_TLS}, {CURLE_SSL_CERTPROBLEM, 0, NET_TLS},
        {CURLE_SSL_CIPHER, 0, NET_TLS}, {CURLE_SSL_CLIENTCERT, 0, NET_TLS},
        {CURLE_SSL_CRL_BADFILE, 0, NET_TLS}, {CURLE_SSL_ENGINE_INITFAILED, 0, NET_TLS},
        {CURLE_SSL_ENGINE_NOTFOUND, 0, NET_TLS}, {CURLE_SSL_ENGINE_SETFAILED, 0, NET_TLS},
        {CURLE_SSL_INVALIDCERTSTATUS, 0, NET_TLS}, {CURLE_SSL_ISSUER_ERROR, 0, NET_TLS},
        {CURLE_SSL_PINNEDPUBKEYNOTMATCH, 0, NET_TLS}, {CURLE_SSL_SHUTDOWN_FAILED, 0, NET_TLS},
        {CURLE_USE_SSL_FAILED, 0, NET_TLS},
        {CURLE_GOT_NOTHING, 0, NET_LOST}, {CURLE_PARTIAL_FILE, 0, NET_LOST},
        {CURLE_RECV_ERROR, 0, NET_LOST}, {CURLE_SEND_ERROR, 0, NET_LOST},
        {CURLE_SEND_FAIL_REWIND, 0, NET_LOST}, {CURLE_HTTP2, 0, NET_LOST},
        {CURLE_HTTP2_STREAM, 0, NET_LOST}, {CURLE_ABORTED_BY_CALLBACK, 0, NET_LOST},
        /* clang-format on */
        {CURLE_FILESIZE_EXCEEDED, 0, NET_TOO_LARGE},
        {CURLE_OUT_OF_MEMORY, 0, NET_TOO_LARGE},
        {CURLE_BAD_CONTENT_ENCODING, 0, NET_BAD_ANSWER},
        {CURLE_UNSUPPORTED_PROTOCOL, 0, NET_BAD_ANSWER},
        {CURLE_WEIRD_SERVER_REPLY, 0, NET_BAD_ANSWER},
        {CURLE_WRITE_ERROR, 0, NET_BAD_ANSWER},
        {CURLE_LDAP_SEARCH_FAILED, 0, NET_LOST}, /* none of ours: the careful word */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (http_failure_of((int)rows[i].code, rows[i].os_error) != rows[i].failure)
            fail_msg("row %zu: %s", i, curl_easy_strerror(rows[i].code));
    }
}

static void test_methods(void **state UNUSED)
{
    static const struct {
        enum http_method method;
        const char *body;
        const char *length; /* NULL: no such field */
    } rows[] = {
        {HTTP_GET, NULL, NULL},
        {HTTP_POST, "{\"a\":1}", "Content-Length: 7\r\n"},
        {HTTP_POST, NULL, "Content-Length: 0\r\n"},
        {HTTP_PUT, "{}", "Content-Length: 2\r\n"},
        {HTTP_PATCH, "{\"b\":null}", "Content-Length: 10\r\n"},
        {HTTP_DELETE, NULL, NULL},
        {HTTP_DELETE, "{}", "Content-Length: 2\r\n"},
        {HTTP_GET, NULL, NULL},
    };
    int before = atomic_load(&http_server_connections);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct outcome o = {.dones = 0};
        start(&o, rows[i].method, "/echo", rows[i].body);
        run(&o);
        char line[64];
        snprintf(line, sizeof(line), "%s /echo HTTP/1.1\r\n", http_method_name(rows[i].method));
        assert_int_equal(o.r.failure, NET_OK);
        assert_int_equal(o.r.status, 200);
        assert_string_equal(o.r.headers.content_type, "text/plain");
        assert_int_equal(strncmp(o.body, line, strlen(line)), 0);
        assert_non_null(strstr(o.body, "\r\nX-API-Key: sesame\r\n"));
        assert_non_null(strstr(o.body, "\r\nUser-Agent: test/1\r\n"));
        assert_non_null(strstr(o.body, "\r\nContent-Type: application/json\r\n"));
        assert_null(strstr(o.body, "Expect:"));
        assert_true(rows[i].length ? strstr(o.body, rows[i].length) != NULL
                                   : strstr(o.body, "Content-Length") == NULL);
        assert_string_equal(strstr(o.body, "\r\n\r\n") + 4, rows[i].body ? rows[i].body : "");
        assert_true(o.r.sent);
        outcome_finish(&o);
    }
    /* One connection for all of them. */
    assert_int_equal(atomic_load(&http_server_connections), before + 1);
}

static void test_answers(void **state UNUSED)
{
    struct outcome o = {.dones = 0};
    get(&o, "/gzip");
    assert_int_equal(o.r.body.len, HTTP_SERVER_GZIP_BODY);
    assert_int_equal(strncmp(o.body, "{\"items\":[{\"id\":1,", 18), 0);
    assert_true(o.r.wire_bytes > HTTP_SERVER_GZIP_WIRE && o.r.wire_bytes < 400);
    outcome_finish(&o);
    get(&o, "/chunked");
    assert_string_equal(o.body, "[1,2,3]");
    assert_string_equal(o.r.headers.ratelimit_limit, "");
    outcome_finish(&o);
    get(&o, "/redirect");
    assert_int_equal(o.r.status, 302);
    outcome_finish(&o);
    get(&o, "/limited");
    assert_int_equal(o.r.failure, NET_OK);
    assert_int_equal(o.r.status, 429);
    assert_string_equal(o.r.headers.content_type, "application/problem+json");
    assert_string_equal(o.r.headers.date, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_string_equal(o.r.headers.retry_after, "");
    assert_string_equal(o.r.headers.ratelimit_limit, "60");
    assert_string_equal(o.r.headers.ratelimit_remaining, "0");
    assert_string_equal(o.r.headers.ratelimit_refill, "12");
    assert_int_equal(strlen(o.r.headers.www_authenticate),
                     sizeof(o.r.headers.www_authenticate) - 1);
    outcome_finish(&o);
    get(&o, "/lies-less");
    assert_int_equal(o.r.status, 200);
    assert_int_equal(o.r.body.len, 10);
    outcome_finish(&o);
}

static void test_failures(void **state UNUSED)
{
    static const struct {
        const char *path;
        enum net_failure failure;
    } rows[] = {
        {"/big", NET_TOO_LARGE},
        {"/big-unknown", NET_TOO_LARGE},
        {"/bomb", NET_TOO_LARGE},
        {"/long-headers", NET_TOO_LARGE},
        {"/many-headers", NET_TOO_LARGE},
        {"/bad-gzip", NET_BAD_ANSWER},
        {"/no-http", NET_BAD_ANSWER},
        {"/lies-more", NET_LOST},
        {"/reset", NET_LOST},
        /* libcurl took it for a whole answer. */
        {"/half-head", NET_LOST},
        {"/nothing", NET_LOST},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct outcome o = {.dones = 0};
        get(&o, rows[i].path);
        if (o.r.failure != rows[i].failure)
            fail_msg("%s: %d, %s", rows[i].path, (int)o.r.failure, o.r.detail);
        assert_int_equal(o.r.status, 0);
        assert_int_equal(o.r.body.len, 0);
        assert_true(o.r.sent);
        assert_true(strlen(o.r.detail) > 0);
        assert_null(strstr(o.r.detail, "sesame"));
        outcome_finish(&o);
    }
}

static void test_not_reached(void **state UNUSED)
{
    struct outcome o = {.dones = 0};
    int closed;
    char url[128], where[64];
    int fd = http_server_bind(&closed); /* bound, so that nobody else has it, and not listening */
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/path?secret=sesame", closed);
    snprintf(where, sizeof(where), "Couldn't connect to server 127.0.0.1:%d", closed);
    start_url(&o, HTTP_POST, url, "{}", 20000);
    run(&o);
    assert_int_equal(o.r.failure, NET_REFUSED);
    assert_false(o.r.sent);
    assert_string_equal(o.r.detail, where);
    outcome_finish(&o);
    close(fd);

    start_url(&o, HTTP_GET, "ftp://127.0.0.1/x", NULL, 20000);
    run(&o);
    assert_int_equal(o.r.failure, NET_BAD_ANSWER);
    assert_false(o.r.sent);
    outcome_finish(&o);

    /* Our server speaks no TLS. */
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/echo", http_server_port);
    start_url(&o, HTTP_GET, url, NULL, 20000);
    run(&o);
    assert_int_equal(o.r.failure, NET_TLS);
    assert_false(o.r.sent);
    outcome_finish(&o);
}

static void test_timeout_and_wait(void **state UNUSED)
{
    struct outcome o = {.dones = 0};
    char url[128];
    unsigned wakeups = 0;
    int64_t began = real_ms();

    /* Waiting for an answer costs no turns of the loop. */
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/silent", http_server_port);
    start_url(&o, HTTP_GET, url, NULL, 50);
    while (!o.dones) {
        assert_int_equal(http_wait(h, NULL, 0, -1), 0);
        http_turn(h);
        wakeups++;
    }
    assert_int_equal(o.r.failure, NET_TIMEOUT);
    assert_true(o.r.sent);
    assert_true(real_ms() - began >= 49);
    assert_true(wakeups < 15);
    outcome_finish(&o);

    /* With nothing to do it waits for the time, not less. */
    began = real_ms();
    assert_int_equal(http_wait(h, NULL, 0, 50), 0);
    assert_true(real_ms() - began >= 49);

    /* Descriptors end it: readable, hung up, in error; and only those are told. */
    int in[2], hup[2], err[2];
    assert_int_equal(pipe(in) + pipe(hup) + pipe(err), 0);
    struct http_wait_fd fds[] = {{.fd = -1}, {.fd = in[0]}, {.fd = hup[0]}, {.fd = err[1]}};
    assert_int_equal(http_wait(h, fds, 3, 0), 0);
    assert_false(fds[0].readable || fds[1].readable || fds[2].readable);
    assert_int_equal(write(in[1], "x", 1), 1);
    assert_int_equal(http_wait(h, fds, 3, -1), 0);
    assert_true(fds[1].readable && !fds[0].readable && !fds[2].readable);
    assert_int_equal(read(in[0], url, 1), 1);
    close(hup[1]);
    assert_int_equal(http_wait(h, fds, 3, -1), 0);
    assert_true(fds[2].readable && !fds[1].readable);
    close(err[0]);
    fds[2].fd = -1;
    assert_int_equal(http_wait(h, fds, 4, -1), 0);
    assert_true(fds[3].readable && !fds[2].readable && !fds[1].readable);
    close(in[0]);
    close(in[1]);
    close(hup[0]);
    close(err[1]);
    struct http_wait_fd many[HTTP_WAIT_FDS_MAX + 1] = {{.fd = 0}};
    assert_int_equal(http_wait(h, many, ARRAY_SIZE(many), 0), -EINVAL);
}

static void then_cancel_other(struct outcome *o)
{
    struct outcome *other = o->other;
    if (!other->dones && other->handle)
        http_transport(h)->cancel(http_transport(h), other->handle);
    other->handle = NULL;
    http_transport(h)->cancel(http_transport(h), o->handle); /* its own: nothing */
}

static void test_cancel(void **state UNUSED)
{
    struct outcome a = {.dones = 0}, b = {.dones = 0}, c = {.dones = 0};
    struct transport *t = http_transport(h);

    /* Not yet worked on, under way, and at the end of the program. */
    start(&a, HTTP_GET, "/silent", NULL);
    t->cancel(t, a.handle);
    start(&b, HTTP_GET, "/silent", NULL);
    http_turn(h);
    t->cancel(t, b.handle);
    start(&c, HTTP_GET, "/echo", NULL);
    run(&c);
    assert_int_equal(a.dones + b.dones, 0);
    outcome_finish(&c);

    /* From done(), at whatever stage the other is: of the two, one at least is done. */
    for (int i = 0; i < 50; i++) {
        a = (struct outcome){.then = then_cancel_other, .other = &b};
        b = (struct outcome){.then = then_cancel_other, .other = &a};
        start(&a, HTTP_GET, "/echo", NULL);
        start(&b, HTTP_GET, "/echo", NULL);
        while (a.dones + b.dones == 0) {
            http_wait(h, NULL, 0, 20000);
            http_turn(h);
        }
        start(&c, HTTP_GET, "/echo", NULL);
        run(&c);
        assert_int_equal(a.dones + b.dones, 1);
        outcome_finish(&a);
        outcome_finish(&b);
        outcome_finish(&c);
    }
    start(&a, HTTP_GET, "/silent", NULL);
    http_turn(h);
}

/* Bug guarded: all answers that had come were worked off in one turn, some fifteen pages, while a
 * request of the kernel waited that memory could answer. */
static void test_one_a_turn(void **state UNUSED)
{
    struct outcome o[4] = {{.dones = 0}};
    unsigned dones = 0, turns = 0;
    for (size_t i = 0; i < ARRAY_SIZE(o); i++)
        start_url(&o[i], HTTP_GET, "http://127.0.0.1:1/", NULL, 20000);
    for (; dones < ARRAY_SIZE(o); turns++) {
        /* Does not sleep while there is one that has ended. */
        assert_int_equal(http_wait(h, NULL, 0, 20000), 0);
        http_turn(h);
        unsigned before = dones;
        dones = 0;
        for (size_t i = 0; i < ARRAY_SIZE(o); i++)
            dones += o[i].dones;
        assert_in_range(dones, before, before + 1);
    }
    assert_true(turns >= ARRAY_SIZE(o));
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        assert_int_equal(o[i].r.failure, NET_REFUSED);
        outcome_finish(&o[i]);
    }
}

static struct outcome crowd[300];
static size_t crowd_started, crowd_done;

static void then_start_next(struct outcome *o UNUSED)
{
    crowd_done++;
    if (crowd_started < ARRAY_SIZE(crowd)) {
        struct outcome *next = &crowd[crowd_started];
        next->then = then_start_next;
        start(next, HTTP_GET, crowd_started++ % 2 ? "/gzip" : "/chunked", NULL);
    }
}

static void test_many(void **state UNUSED)
{
    /* Bug guarded: with more exchanges than connections, libcurl left one to its time-out. */
    const struct http_request fifth = {.url = "http://127.0.0.1/", .timeout_ms = 1000};
    struct outcome none = {.dones = 0};
    int before = atomic_load(&http_server_connections);

    crowd_started = crowd_done = 0;
    for (int i = 0; i < 4; i++)
        then_start_next(NULL);
    crowd_done = 0;
    assert_null(http_transport(h)->start(http_transport(h), &fifth, on_done, &none));
    while (crowd_done < ARRAY_SIZE(crowd)) {
        assert_int_equal(http_wait(h, NULL, 0, 20000), 0);
        http_turn(h);
    }
    for (size_t i = 0; i < ARRAY_SIZE(crowd); i++) {
        assert_int_equal(crowd[i].dones, 1);
        assert_int_equal(crowd[i].r.failure, NET_OK);
        assert_int_equal(crowd[i].r.body.len, i % 2 ? HTTP_SERVER_GZIP_BODY : 7);
        outcome_finish(&crowd[i]);
    }
    assert_in_range(atomic_load(&http_server_connections) - before, 1, 4);
}

static void test_broken_connection_and_post(void **state UNUSED)
{
    /* Bug guarded: libcurl sends a request again by itself when a kept connection breaks without
     * an answer, also a POST that the server has executed. */
    struct outcome o = {.dones = 0};
    int get_before = atomic_load(&http_server_gets);
    get(&o, "/stale");
    outcome_finish(&o);
    start(&o, HTTP_POST, "/stale", "{}");
    run(&o);
    assert_int_equal(o.r.failure, NET_LOST);
    assert_true(o.r.sent);
    assert_int_equal(atomic_load(&http_server_posts), 1);
    outcome_finish(&o);

    /* A GET comes through, without a word. */
    get(&o, "/stale");
    outcome_finish(&o);
    get(&o, "/stale");
    assert_int_equal(o.r.status, 200);
    assert_int_equal(atomic_load(&http_server_gets), get_before + 4);
    outcome_finish(&o);
}

static void test_an_answer_that_nobody_asked_for(void **state UNUSED)
{
    /* Bug guarded: what came over a kept connection while it was idle was taken for the answer to
     * the next request, so that a load balancer's 408 refused a save that it had never seen. */
    static const enum http_method methods[] = {HTTP_GET, HTTP_PATCH, HTTP_POST};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        struct outcome o = {.dones = 0};
        int before = atomic_load(&http_server_connections);
        get(&o, "/more-later");
        assert_int_equal(o.r.status, 200);
        outcome_finish(&o);
        sem_post(&http_server_say_more);
        sem_wait(&http_server_said);
        start(&o, methods[i], "/echo", methods[i] == HTTP_GET ? NULL : "{}");
        run(&o);
        assert_int_equal(o.r.failure, NET_OK);
        assert_int_equal(o.r.status, 200);
        assert_memory_equal(o.body, http_method_name(methods[i]), 3);
        outcome_finish(&o);
        assert_in_range(atomic_load(&http_server_connections) - before, 1, 2);
        clock_manual_advance(&clock_of_http, 3600000);
    }
}

static void test_connections_grow_old(void **state UNUSED)
{
    /* Bug guarded: after a laptop's sleep, the first request went into a dead connection, because
     * libcurl's clock had stood still. */
    struct outcome o = {.dones = 0};
    int before = atomic_load(&http_server_connections);
    get(&o, "/echo");
    outcome_finish(&o);
    clock_manual_advance(&clock_of_http, 60000);
    get(&o, "/echo");
    outcome_finish(&o);
    assert_int_equal(atomic_load(&http_server_connections), before + 1);
    clock_manual_advance(&clock_of_http, 3600000);
    get(&o, "/echo");
    outcome_finish(&o);
    assert_int_equal(atomic_load(&http_server_connections), before + 2);
}

static void test_proxy(void **state UNUSED)
{
    struct outcome o = {.dones = 0};
    char proxy[64], url[128];
    static const char *const loopback[] = {"127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST"};

    /* A proxy that is not there: loopback does not ask it. */
    int closed;
    int fd = http_server_bind(&closed);
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", closed);
    setenv("http_proxy", proxy, 1);
    for (size_t i = 0; i < ARRAY_SIZE(loopback); i++) {
        /* The server listens at 127.0.0.1 only; at 127.1.2.3 nobody does. */
        snprintf(url, sizeof(url), "http://%s:%d/echo", loopback[i], http_server_port);
        start_url(&o, HTTP_GET, url, NULL, 20000);
        run(&o);
        if (i == 1)
            assert_non_null(strstr(o.r.detail, "127.1.2.3"));
        else
            assert_int_equal(o.r.status, 200);
        outcome_finish(&o);
    }
    close(fd);

    /* For everybody else it counts. Our server is one. */
    static const char *const others[] = {"api.example", "127.0.0.1.example", "localhost.example"};
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", http_server_port);
    setenv("http_proxy", proxy, 1);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        snprintf(url, sizeof(url), "http://%s/x", others[i]);
        start_url(&o, HTTP_GET, url, NULL, 20000);
        run(&o);
        assert_int_equal(o.r.status, 200);
        snprintf(url, sizeof(url), "GET http://%s/x ", others[i]);
        assert_int_equal(strncmp(o.body, url, strlen(url)), 0);
        outcome_finish(&o);
    }
    unsetenv("http_proxy");
}

static void test_close_on_exec(void **state UNUSED)
{
    struct outcome o = {.dones = 0};
    unsigned found = 0;
    get(&o, "/echo");
    outcome_finish(&o);
    for (int fd = 0; fd < 256; fd++) {
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 || peer.sin_family != AF_INET ||
            ntohs(peer.sin_port) != http_server_port)
            continue;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        found++;
    }
    assert_true(found > 0);
}

static void on_log(void *data UNUSED, enum log_level level, const char *module UNUSED,
                   const char *line)
{
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_true(strstr(line, "No such file") || strstr(line, "no certificate"));
}

static void test_cacert(void **state UNUSED)
{
    struct http *other = NULL;
    char path[] = "/tmp/test_http.XXXXXX";
    struct http_options options = {.user_agent = "t",
                                   .max_connections = 1,
                                   .clock = &clock_of_http.clock,
                                   .cacert = "/nonexistent/ca.pem"};
    log_setup(LOG_LEVEL_INFO, on_log, NULL);
    assert_int_equal(http_create(&options, &other), -EINVAL);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    options.cacert = path;
    assert_int_equal(http_create(&options, &other), -EINVAL);
    assert_true(write(fd, "no certificate\n", 15) == 15);
    assert_int_equal(http_create(&options, &other), -EINVAL);
    assert_null(other);
    close(fd);
    unlink(path);
    http_destroy(NULL);
    log_setup(LOG_LEVEL_WARN, NULL, NULL);
}

static int start_server(void **state UNUSED)
{
    static const char *const vars[] = {"http_proxy", "HTTP_PROXY", "all_proxy",
                                       "ALL_PROXY",  "no_proxy",   "NO_PROXY"};
    for (size_t i = 0; i < ARRAY_SIZE(vars); i++)
        unsetenv(vars[i]);
    http_server_start();
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failure_table),
        TEST(test_methods),
        TEST(test_answers),
        TEST(test_failures),
        TEST(test_not_reached),
        TEST(test_timeout_and_wait),
        TEST(test_cancel),
        TEST(test_one_a_turn),
        TEST(test_many),
        TEST(test_broken_connection_and_post),
        TEST(test_an_answer_that_nobody_asked_for),
        TEST(test_connections_grow_old),
        TEST(test_proxy),
        TEST(test_close_on_exec),
        TEST(test_cacert),
    };
    return cmocka_run_group_tests(tests, start_server, NULL);
}
