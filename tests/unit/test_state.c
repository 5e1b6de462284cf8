/* conf/state: where drafts and trash are on disk. */
#include "systemefs/conf/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "systemefs/base/macros.h"

static struct buf path;

static int begin(void **state UNUSED)
{
    setenv("HOME", "/home/ada", 1);
    unsetenv("XDG_STATE_HOME");
    buf_init(&path, 4096);
    return 0;
}

static int end(void **state UNUSED)
{
    buf_finish(&path);
    return 0;
}

static const char *directory(const struct options *o)
{
    buf_reset(&path);
    assert_int_equal(state_directory(o, &path), 0);
    return path.data;
}

/* The label of an account that is known by its URL and connection. */
static const char *label(const char *api_url, const char *connection)
{
    static const char above[] = "/home/ada/.local/state/systemefs/";
    struct options o = {.api_url = (char *)api_url, .connection = (char *)connection};
    const char *ret = directory(&o);
    assert_memory_equal(ret, above, strlen(above));
    return ret + strlen(above);
}

static void test_where(void **state UNUSED)
{
    struct options o = {.sandbox = true};
    assert_string_equal(directory(&o), "/home/ada/.local/state/systemefs/sandbox");
    setenv("XDG_STATE_HOME", "/state", 1);
    assert_string_equal(directory(&o), "/state/systemefs/sandbox");
    setenv("XDG_STATE_HOME", "state", 1);
    assert_string_equal(directory(&o), "/home/ada/.local/state/systemefs/sandbox");
    setenv("XDG_STATE_HOME", "", 1);
    assert_string_equal(directory(&o), "/home/ada/.local/state/systemefs/sandbox");
}

/* A mount from fstab has no HOME. */
static void test_no_home(void **state UNUSED)
{
    const struct passwd *pw = getpwuid(getuid());
    if (!pw)
        skip();
    char expected[4096];
    snprintf(expected, sizeof(expected), "%s/.local/state/systemefs/sandbox", pw->pw_dir);
    struct options o = {.sandbox = true};
    unsetenv("HOME");
    assert_string_equal(directory(&o), expected);
    setenv("HOME", "relative", 1);
    assert_string_equal(directory(&o), expected);
}

static void test_account(void **state UNUSED)
{
    struct options o = {.account = (char *)"shop", .api_url = (char *)"https://api.systeme.io"};
    assert_string_equal(directory(&o), "/home/ada/.local/state/systemefs/account-shop");
    o.account = (char *)"../b\xc3\xa9 c";
    assert_string_equal(directory(&o), "/home/ada/.local/state/systemefs/account-.._b___c");
    /* What the sandbox is told to do never gets into a real account's drafts. */
    o.sandbox = true;
    assert_string_equal(directory(&o), "/home/ada/.local/state/systemefs/sandbox");
}

static void test_url(void **state UNUSED)
{
    static const struct {
        const char *url, *connection, *label;
    } cases[] = {
        {"https://api.systeme.io", NULL, "api.systeme.io"},
        {"https://api.systeme.io/", NULL, "api.systeme.io"},
        {"HTTPS://API.Systeme.IO", NULL, "api.systeme.io"},
        {"https://gateway.maton.ai/systeme", NULL, "gateway.maton.ai_systeme"},
        {"https://gateway.maton.ai/systeme", "0e7a-B1_c", "gateway.maton.ai_systeme_0e7a-B1_c"},
        {"https://h/A/b", NULL, "h_A_b"},
        {"https://h", "c", "h_c"},
        {"http://127.0.0.1:8080", NULL, "127.0.0.1_8080"},
        {"http://[::1]:80/x", NULL, "___1__80_x"},
        {"https://.h", NULL, "_h"},
        {"https://h/..", NULL, "h_.."},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(label(cases[i].url, cases[i].connection), cases[i].label);
}

static void test_long(void **state UNUSED)
{
    char url[300] = "https://";
    memset(url + 8, 'h', 100);
    assert_string_equal(label(url, NULL), url + 8);

    memset(url + 8, 'h', 200);
    char first[128];
    snprintf(first, sizeof(first), "%s", label(url, NULL));
    assert_int_equal(strlen(first), 100);
    assert_memory_equal(first, url + 8, 83);
    assert_int_equal(first[83], '-');
    /* Where they differ is cut off; they are two accounts all the same. */
    url[207] = 'x';
    assert_int_equal(strlen(label(url, NULL)), 100);
    assert_string_not_equal(label(url, NULL), first);
}

static void test_fails(void **state UNUSED)
{
    struct options o = {0};
    buf_append_str(&path, "before");
    assert_int_equal(state_directory(&o, &path), -EINVAL);
    o.sandbox = true;
    struct buf small;
    buf_init(&small, 40);
    buf_append_str(&small, "before");
    assert_int_equal(state_directory(&o, &small), -EFBIG);
    assert_string_equal(small.data, "before");
    buf_finish(&small);
    /* It is appended. */
    assert_int_equal(state_directory(&o, &path), 0);
    assert_string_equal(path.data, "before/home/ada/.local/state/systemefs/sandbox");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_where), T(test_no_home), T(test_account), T(test_url), T(test_long), T(test_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
