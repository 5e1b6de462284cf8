#include "systemefs/net/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"

#define WALL 1767225600000000000LL /* 2026-01-01T00:00:00Z */
#define ANY  HTTP_METHOD_COUNT
#define SENT true

static int64_t ask(enum http_method method, unsigned tries, struct http_response response,
                   uint64_t seed)
{
    struct rng rng = {.state = seed};
    return retry_after(method, tries, &response, WALL, &rng);
}

static void test_what_is_repeated(void **state UNUSED)
{
    static const struct {
        enum http_method method; /* ANY: all of them */
        enum net_failure failure;
        bool sent;
        int status;
        unsigned tries;
        bool again;
    } rows[] = {
        /* Statuses. */
        {ANY, NET_OK, SENT, 200, 1, false},
        {ANY, NET_OK, SENT, 302, 1, false},
        {ANY, NET_OK, SENT, 400, 1, false},
        {ANY, NET_OK, SENT, 401, 1, false},
        {ANY, NET_OK, SENT, 404, 1, false},
        {ANY, NET_OK, SENT, 422, 1, false},
        {ANY, NET_OK, SENT, 501, 1, false},
        {HTTP_GET, NET_OK, SENT, 500, 1, true},
        {HTTP_GET, NET_OK, SENT, 502, 1, true},
        {HTTP_GET, NET_OK, SENT, 503, 3, true},
        {HTTP_GET, NET_OK, SENT, 504, 1, true},
        {HTTP_GET, NET_OK, SENT, 408, 1, true},
        {HTTP_POST, NET_OK, SENT, 408, 1, false},
        {HTTP_GET, NET_OK, SENT, 503, 4, false},
        {HTTP_PUT, NET_OK, SENT, 503, 1, true},
        {HTTP_PATCH, NET_OK, SENT, 503, 1, true},
        {HTTP_DELETE, NET_OK, SENT, 503, 1, true},
        {HTTP_POST, NET_OK, SENT, 500, 1, false},
        {HTTP_POST, NET_OK, SENT, 503, 1, false},
        /* 429: nothing was done. */
        {ANY, NET_OK, SENT, 429, 1, true},
        {ANY, NET_OK, SENT, 429, 100, true},
        /* Failures. */
        {HTTP_GET, NET_LOST, SENT, 0, 3, true},
        {HTTP_GET, NET_LOST, SENT, 0, 4, false},
        {HTTP_PATCH, NET_LOST, SENT, 0, 1, true},
        {HTTP_POST, NET_LOST, SENT, 0, 1, false},
        {HTTP_POST, NET_LOST, !SENT, 0, 1, true},
        {HTTP_POST, NET_REFUSED, !SENT, 0, 1, true},
        {HTTP_GET, NET_REFUSED, !SENT, 0, 1, true},
        {ANY, NET_REFUSED, !SENT, 0, 2, false},
        {ANY, NET_UNREACHABLE, !SENT, 0, 1, false},
        {ANY, NET_TLS, !SENT, 0, 1, false},
        {ANY, NET_TIMEOUT, !SENT, 0, 1, false},
        {ANY, NET_TIMEOUT, SENT, 0, 1, false},
        {ANY, NET_TOO_LARGE, SENT, 0, 1, false},
        {ANY, NET_BAD_ANSWER, SENT, 0, 1, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (enum http_method m = 0; m < HTTP_METHOD_COUNT; m++) {
            if (rows[i].method != ANY && rows[i].method != m)
                continue;
            struct http_response r = {.failure = rows[i].failure,
                                      .sent = rows[i].sent,
                                      .status = rows[i].status};
            if ((ask(m, rows[i].tries, r, i) != RETRY_NO) != rows[i].again)
                fail_msg("%s, failure %d, status %d, %u tries", http_method_name(m),
                         (int)rows[i].failure, rows[i].status, rows[i].tries);
        }
    }
}

static void test_backoff(void **state UNUSED)
{
    static const int64_t middle[] = {200, 400, 800};
    const struct http_response r = {.status = 503, .sent = true};
    for (unsigned tries = 1; tries <= 3; tries++) {
        int64_t base = middle[tries - 1];
        int64_t least = INT64_MAX, most = 0;
        for (uint64_t seed = 0; seed < 1000; seed++) {
            int64_t wait = ask(HTTP_GET, tries, r, seed);
            least = MIN(least, wait);
            most = MAX(most, wait);
        }
        assert_in_range(least, base * 3 / 4, base * 4 / 5);
        assert_in_range(most, base * 6 / 5, base * 5 / 4);
    }
}

static void test_retry_after_header(void **state UNUSED)
{
    assert_int_equal(ask(HTTP_GET, 1,
                         (struct http_response){.status = 503, .headers = {.retry_after = "7"}}, 1),
                     7000);
    assert_int_equal(ask(HTTP_GET, 1,
                         (struct http_response){.status = 503,
                                                .headers = {.retry_after =
                                                                "Thu, 01 Jan 2026 00:00:09 GMT"}},
                         1),
                     9000);
    /* Sooner than the back-off, or on another status: the back-off. */
    assert_in_range(ask(HTTP_GET, 1,
                        (struct http_response){.status = 503, .headers = {.retry_after = "0"}}, 1),
                    150, 250);
    assert_in_range(ask(HTTP_GET, 1,
                        (struct http_response){.status = 500, .headers = {.retry_after = "7"}}, 1),
                    150, 250);
    /* 429: net/quota knows when. */
    assert_int_equal(ask(HTTP_POST, 9,
                         (struct http_response){.status = 429, .headers = {.retry_after = "7"}}, 1),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_repeated),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_retry_after_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
