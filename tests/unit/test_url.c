/* codec/url: escaping, and what may be a base URL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/codec/url.h"

static void test_escape(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, 3000);
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte, expected[4] = {c, '\0', '\0', '\0'};
        bool plain =
            byte && byte < 0x80 &&
            strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", c);
        if (!plain)
            snprintf(expected, sizeof(expected), "%%%02X", (unsigned)byte);
        buf_reset(&b);
        assert_int_equal(url_escape(&c, 1, &b), 0);
        assert_string_equal(b.data, expected);
    }
    buf_reset(&b);
    buf_append_str(&b, "?email=");
    assert_int_equal(url_escape("a+b@x.org/..\0\xc3\xa9", 15, &b), 0);
    assert_string_equal(b.data, "?email=a%2Bb%40x.org%2F..%00%C3%A9");
    assert_int_equal(url_escape(NULL, 0, &b), 0);

    struct buf small CLEANUP(buf_cleanup);
    buf_init(&small, 3);
    assert_int_equal(url_escape("ab/", 3, &small), -EFBIG);
}

static void test_base_good(void **state UNUSED)
{
    static const struct {
        const char *url;
        bool https, loopback;
    } cases[] = {
        {"https://api.systeme.io", true, false},
        {"https://gateway.maton.ai/systeme", true, false},
        {"HTTPS://API.systeme.io:443/", true, false},
        {"https://localhost", true, true},
        {"http://LocalHost:8080/a/b", false, true},
        {"http://127.0.0.1:1", false, true},
        {"http://127.255.3.4:65535/", false, true},
        {"http://[::1]:8080/api", false, true},
        {"http://[0:0:0:0:0:0:0:1]", false, true},
        {"http://x/%2Fa~!$&'()*+,;=:@-._", false, false},
        /* Close to loopback, and not it. */
        {"http://localhost.evil.example", false, false},
        {"http://localhost.", false, false},
        {"http://localhosts", false, false},
        {"http://127.0.0.1.evil.example/", false, false},
        {"http://127.1", false, false},
        {"http://0127.0.0.1", false, false},
        {"http://127.0.0.256", false, false},
        {"http://128.0.0.1", false, false},
        {"http://0.0.0.0", false, false},
        {"http://2130706433", false, false},
        {"http://[::]", false, false},
        {"http://[::2]", false, false},
        {"http://[::ffff:127.0.0.1]", false, false},
        {"http://x/localhost", false, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct url_info info = {0};
        const char *why = "";
        if (url_check_base(cases[i].url, &info, &why) != 0)
            fail_msg("%s: %s", cases[i].url, why);
        if (info.https != cases[i].https || info.loopback != cases[i].loopback)
            fail_msg("%s: https %d, loopback %d", cases[i].url, info.https, info.loopback);
    }
}

static void test_base_bad(void **state UNUSED)
{
    static const struct {
        const char *url, *why;
    } cases[] = {
        {"", "the URL does not start with https:// or http://"},
        {"api.systeme.io", "the URL does not start with https:// or http://"},
        {"ftp://x", "the URL does not start with https:// or http://"},
        {" https://x", "the URL does not start with https:// or http://"},
        {"https:/x", "the URL does not start with https:// or http://"},
        {"file:///etc/passwd", "the URL does not start with https:// or http://"},
        {"https://", "the URL has no host"},
        {"https:///path", "the URL has no host"},
        {"https://:80", "the URL has no host"},
        {"https://user:pw@x", "a base URL holds no user name or password"},
        {"http://localhost@evil.example/", "a base URL holds no user name or password"},
        {"http://localhost:80@evil.example/", "a base URL holds no user name or password"},
        {"http://localhost\\@evil.example/", "a base URL holds no user name or password"},
        {"http://localhost\\evil", "the URL's host holds a character that no host name has"},
        {"http://a b", "the URL's host holds a character that no host name has"},
        {"http://a%2eb", "the URL's host holds a character that no host name has"},
        {"http://\xc3\xa9.fr", "the URL's host holds a character that no host name has"},
        {"http://a\nb", "the URL's host holds a character that no host name has"},
        {"http://x[::1]", "the URL's host holds a character that no host name has"},
        {"http://[::1", "the URL's IPv6 address is not closed by ]"},
        {"http://[]", "the URL's IPv6 address is not closed by ]"},
        {"http://[::1]x", "the URL's IPv6 address is not closed by ]"},
        {"http://[::g]", "the URL's IPv6 address is malformed"},
        {"http://[127.0.0.1]", "the URL's IPv6 address is malformed"},
        {"http://[fe80::1%25eth0]", "the URL's IPv6 address is malformed"},
        {"http://::1", "the URL has no host"},
        {"http://x:", "the URL's port is not between 1 and 65535"},
        {"http://x:0", "the URL's port is not between 1 and 65535"},
        {"http://x:65536", "the URL's port is not between 1 and 65535"},
        {"http://x:99999999999999999999", "the URL's port is not between 1 and 65535"},
        {"http://x:4294967376", "the URL's port is not between 1 and 65535"},
        {"http://x:8a", "the URL's port is not a number"},
        {"http://x:-1", "the URL's port is not a number"},
        {"http://x:80:80", "the URL's port is not a number"},
        {"http://x?y", "a base URL has no query"},
        {"http://x/a?b=c", "a base URL has no query"},
        {"http://x#y", "a base URL has no fragment"},
        {"http://x/#", "a base URL has no fragment"},
        {"http://x/a b", "the URL's path holds a character that must be escaped"},
        {"http://x/a\r\nHost: y", "the URL's path holds a character that must be escaped"},
        {"http://x/\x7f", "the URL's path holds a character that must be escaped"},
        {"http://x/\xc3\xa9", "the URL's path holds a character that must be escaped"},
        {"http://x/\\y", "the URL's path holds a character that must be escaped"},
        {"http://x/%2", "a '%' in the URL's path is not followed by two hex digits"},
        {"http://x/%2z", "a '%' in the URL's path is not followed by two hex digits"},
        {"http://x/%z2", "a '%' in the URL's path is not followed by two hex digits"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct url_info info = {.loopback = true};
        const char *why = NULL;
        assert_int_equal(url_check_base(cases[i].url, &info, &why), -EINVAL);
        if (strcmp(why, cases[i].why) != 0)
            fail_msg("%s: %s", cases[i].url, why);
        assert_true(info.loopback); /* as it was */
    }
}

static void test_host_length(void **state UNUSED)
{
    char url[300] = "http://";
    struct url_info info;
    const char *why;
    memset(url + 7, 'a', 253);
    assert_int_equal(url_check_base(url, &info, &why), 0);
    url[7 + 253] = 'a';
    assert_int_equal(url_check_base(url, &info, &why), -EINVAL);
    assert_string_equal(why, "the URL's host is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_base_good),
        cmocka_unit_test(test_base_bad),
        cmocka_unit_test(test_host_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
