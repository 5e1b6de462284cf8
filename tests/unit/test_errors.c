/* api/errors: a row for each line of the tables: what came back -> errno, away, reason. */
#include "systemefs/api/errors.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"

#define PROBLEM                                                                                    \
    "{\"type\":\"about:blank\",\"title\":\"An error occurred\",\"detail\":\"Not Found\"}"
#define VIOLATION(text)                                                                            \
    "{\"violations\":[{\"propertyPath\":\"email\",\"message\":\"" text                             \
    "\"}],\"detail\":\"email: x\"}"

enum { DIRECT = 0, GATEWAY = 1, LISTING = 2 };

static void judge(int status, enum net_failure failure, const char *body, int where,
                  struct api_failure *ret)
{
    struct http_response response = {.status = status, .failure = failure};
    if (failure)
        snprintf(response.detail, sizeof(response.detail), "host 127.0.0.1:1");
    buf_init(&response.body, SIZE_MAX / 2);
    if (body)
        buf_append_str(&response.body, body);
    const struct net_result result = {.response = &response, .number = 77};
    memset(ret, 0xff, sizeof(*ret));
    api_judge(&result, where & GATEWAY, where & LISTING, ret);
    assert_int_equal(ret->number, 77);
    assert_int_equal(ret->status, status);
    assert_non_null(memchr(ret->message, '\0', sizeof(ret->message)));
    buf_finish(&response.body);
}

struct line {
    int status;
    const char *body;
    int where;
    int error;
    bool away;
    const char *says; /* part of the message */
};

static const struct line lines[] = {
    /* as they are in section 5 of the contract */
    {200, NULL, DIRECT, 0, false, ""},
    {201, NULL, DIRECT, 0, false, ""},
    {204, NULL, GATEWAY, 0, false, ""},
    {299, NULL, DIRECT, 0, false, ""},
    {301, NULL, DIRECT, EBADMSG, false, "redirect"},
    {302, NULL, DIRECT, EBADMSG, false, "never followed"},
    {399, NULL, DIRECT, EBADMSG, false, "redirect"},
    {401, PROBLEM, DIRECT, EKEYREJECTED, false, "HTTP 401: Not Found"},
    {401, NULL, DIRECT, EKEYREJECTED, false, "the key was rejected"},
    {401, NULL, GATEWAY, EKEYREJECTED, false, "the gateway's key"},
    {403, NULL, DIRECT, EACCES, false, "account, plan or key"},
    {404, PROBLEM, DIRECT, ENOENT, false, "HTTP 404: Not Found"},
    {404, NULL, DIRECT, ENOENT, false, "no such record"},
    {404, PROBLEM, LISTING, EOPNOTSUPP, false, "does not offer this collection"},
    {404, PROBLEM, LISTING | GATEWAY, EOPNOTSUPP, false, "does not offer"},
    {405, NULL, DIRECT, EOPNOTSUPP, false, "does not support"},
    {422, VIOLATION("This value is already used."), DIRECT, EEXIST, false,
     "email: This value is already used."},
    {422, VIOLATION("Please upgrade your plan."), DIRECT, EDQUOT, false, "upgrade your plan"},
    {422, VIOLATION("This value is not valid."), DIRECT, EINVAL, false,
     "HTTP 422: email: This value is not valid."},
    {422, NULL, DIRECT, EINVAL, false, "the API refused the request"},
    {400, PROBLEM, DIRECT, EINVAL, false, "HTTP 400: Not Found"},
    {400, NULL, DIRECT, EINVAL, false, "refused"},
    {400, PROBLEM, GATEWAY, EINVAL, false, "Not Found"},
    {400, NULL, GATEWAY, ENOLINK, false, "no active connection"},
    {400, "{\"error\":\"no connection\"}", GATEWAY, ENOLINK, false, "HTTP 400: no connection"},
    {400, "{\"message\":\"no connection\"}", GATEWAY, ENOLINK, false, "HTTP 400: no connection"},
    {402, NULL, DIRECT, EINVAL, false, "refused"},
    {409, NULL, DIRECT, EINVAL, false, "refused"},
    {424, NULL, DIRECT, ENOTSUP, false, "not set up"},
    {429, NULL, DIRECT, EAGAIN, false, "quota"},
    {499, NULL, DIRECT, EINVAL, false, "refused"},
    {500, NULL, DIRECT, EREMOTEIO, true, "the server failed"},
    {502, "<html>Bad Gateway</html>", DIRECT, EREMOTEIO, true, "HTTP 502: the server failed"},
    {503, NULL, GATEWAY, EREMOTEIO, true, "the server failed"},
    {599, NULL, DIRECT, EREMOTEIO, true, "the server failed"},
    {100, NULL, DIRECT, EBADMSG, false, "means nothing here"},
    {600, NULL, DIRECT, EBADMSG, false, "means nothing here"},
    {999, NULL, DIRECT, EBADMSG, false, "means nothing here"},
    /* of the body, the texts are taken in this order: violations, detail, message, error */
    {422, "{\"violations\":[{\"propertyPath\":\"a\",\"message\":\"x\"},{\"message\":\"y\"}]}",
     DIRECT, EINVAL, false, "HTTP 422: a: x; y"},
    {422, "{\"violations\":[],\"detail\":\"d\"}", DIRECT, EINVAL, false, "HTTP 422: d"},
    {400, "{\"error\":\"e\",\"message\":\"m\",\"detail\":\"d\"}", DIRECT, EINVAL, false,
     "HTTP 400: d"},
    {400, "{\"error\":\"e\",\"message\":\"m\"}", DIRECT, EINVAL, false, "HTTP 400: m"},
    {400, "{\"detail\":7,\"error\":{\"code\":1}}", DIRECT, EINVAL, false, "refused"},
    {400, "[\"detail\"]", DIRECT, EINVAL, false, "refused"},
    {422, "{\"violations\":7,\"detail\":null}", DIRECT, EINVAL, false, "refused"},
    {422, "{\"violations\":[7,{\"message\":\"m\"}]}", DIRECT, EINVAL, false, "m"},
};

static void test_statuses(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        const struct line *l = &lines[i];
        struct api_failure f;
        judge(l->status, NET_OK, l->body, l->where, &f);
        if (f.error != -l->error || f.away != l->away || !strstr(f.message, l->says))
            fail_msg("row %zu (HTTP %d): errno %d, away %d: %s", i, l->status, -f.error, f.away,
                     f.message);
    }
}

static void test_failures(void **state UNUSED)
{
    static const struct {
        int error;
        bool away;
        const char *says;
    } rows[] = {
        [NET_UNREACHABLE] = {EHOSTUNREACH, true, "cannot reach"},
        [NET_REFUSED] = {ECONNREFUSED, true, "refuses"},
        [NET_TIMEOUT] = {ETIMEDOUT, true, "no answer in time"},
        [NET_TLS] = {EPROTO, false, "secure"},
        [NET_LOST] = {EREMOTEIO, true, "broke"},
        [NET_TOO_LARGE] = {EBADMSG, false, "too large"},
        [NET_BAD_ANSWER] = {EBADMSG, false, "HTTP"},
    };
    _Static_assert(ARRAY_SIZE(rows) == NET_FAILURE_COUNT, "a row for each failure");
    for (enum net_failure i = NET_OK + 1; i < NET_FAILURE_COUNT; i++) {
        struct api_failure f;
        judge(0, i, NULL, DIRECT, &f);
        assert_int_equal(f.error, -rows[i].error);
        assert_int_equal(f.away, rows[i].away);
        assert_non_null(strstr(f.message, rows[i].says));
        assert_non_null(strstr(f.message, ": host 127.0.0.1:1"));
    }
}

static void test_quota(void **state UNUSED)
{
    struct http_response response = {.failure = NET_TIMEOUT};
    struct net_result result = {.response = &response,
                                .quota = true,
                                .quota_wait_ms = 40500,
                                .number = 3};
    struct api_failure f;
    api_judge(&result, false, false, &f);
    assert_int_equal(f.error, -EAGAIN);
    assert_false(f.away);
    assert_int_equal(f.number, 3);
    assert_non_null(strstr(f.message, "refills in 41 seconds"));
    result.quota_wait_ms = -1;
    api_judge(&result, false, false, &f);
    assert_int_equal(f.error, -EAGAIN);
    assert_null(strstr(f.message, "refills"));
    assert_non_null(strstr(f.message, "quota"));
}

/* A reason longer than there is room is cut, and judged by all of it. */
static void test_long(void **state UNUSED)
{
    char text[3000], body[3200];
    struct api_failure f;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';

    snprintf(body, sizeof(body), "{\"detail\":\"%s\"}", text);
    judge(400, NET_OK, body, GATEWAY, &f);
    /* A long problem of the API was once taken for a word of the gateway. */
    assert_int_equal(f.error, -EINVAL);
    assert_non_null(strstr(f.message, "HTTP 400: xxxxxxxx"));

    snprintf(body, sizeof(body),
             "{\"violations\":[{\"message\":\"%s\"},{\"message\":\"already used\"}]}", text);
    judge(422, NET_OK, body, DIRECT, &f);
    assert_int_equal(f.error, -EEXIST);
    assert_non_null(strstr(f.message, "xxxxxxxx"));

    /* Cut between characters, wherever the first of them begins. */
    for (size_t odd = 0; odd < 3; odd++) {
        char *p = text;
        for (size_t i = 0; i < odd; i++)
            *p++ = 'x';
        for (; p < text + 900; p += 3)
            memcpy(p, "€", 3);
        *p = '\0';
        snprintf(body, sizeof(body), "{\"detail\":\"%s\"}", text);
        judge(403, NET_OK, body, DIRECT, &f);
        const char *last = f.message + strlen(f.message) - 3;
        assert_memory_equal(last, "€", 3);
    }
}

static void test_set(void **state UNUSED)
{
    struct api_failure f;
    memset(&f, 0xff, sizeof(f));
    api_failure_set(&f, -ENOMEM, 5, "no %s", "memory");
    assert_int_equal(f.error, -ENOMEM);
    assert_int_equal(f.number, 5);
    assert_int_equal(f.status, 0);
    assert_false(f.away);
    assert_string_equal(f.message, "no memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_quota),    cmocka_unit_test(test_long),
        cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
