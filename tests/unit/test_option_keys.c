#include "systemefs/conf/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "systemefs/base/macros.h"

#include "options_fixture.h"

static void test_key_is_never_an_option(void **state UNUSED)
{
    static const char *const args[] = {"key=sesame",           "api_key=sesame",
                                       "api-key=sesame",       "API_KEY=sesame",
                                       "token=sesame",         "password=sesame",
                                       "maton_api_key=sesame", "SYSTEME-API-KEY=sesame"};
    for (size_t i = 0; i < ARRAY_SIZE(args); i++) {
        assert_int_equal(PARSE("-o", args[i], "/mnt"), -EINVAL);
        check_why("never given as an option");
        check_why("SYSTEME_API_KEY in the environment");
        check_why("key_file");
        assert_null(strstr(why.data, "sesame"));
    }
    /* Nor does any other error repeat what may be one. */
    assert_int_equal(PARSE("--kee=sesame", "/mnt"), -EINVAL);
    assert_null(strstr(why.data, "sesame"));
    assert_int_equal(PARSE("-o", "api_url=https://me:sesame@api.systeme.io", "/mnt"), -EINVAL);
    assert_null(strstr(why.data, "sesame"));
    write_config("key = sesame\n");
    assert_int_equal(PARSE("/mnt"), -EINVAL);
    check_why("config:1: key: a key is never");
    assert_null(strstr(why.data, "sesame"));
}

static void test_gateway(void **state UNUSED)
{
    unsetenv("SYSTEME_API_KEY");
    setenv("MATON_API_KEY", "gateway-key", 1);
    assert_int_equal(PARSE("-o", "connection=21fd90f9-5935-43cd-b6c8-bde9d915ca80", "/mnt"), 0);
    assert_int_equal(o.auth, AUTH_GATEWAY);
    assert_false(o.both_keys);
    assert_string_equal(o.api_url, "https://gateway.maton.ai/systeme");
    assert_string_equal(o.ctrl_url, "https://ctrl.maton.ai");
    assert_string_equal(o.connection, "21fd90f9-5935-43cd-b6c8-bde9d915ca80");
    assert_string_equal(o.key.text, "gateway-key");
}

static void test_both_keys(void **state UNUSED)
{
    static const struct {
        const char *option, *key;
        enum auth_mode auth;
        bool both;
    } cases[] = {{"ro", "gateway-key", AUTH_GATEWAY, true},
                 {"auth=maton", "gateway-key", AUTH_GATEWAY, false},
                 {"auth=systeme", "direct-key", AUTH_DIRECT, false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        setenv("MATON_API_KEY", "gateway-key", 1);
        setenv("SYSTEME_API_KEY", "direct-key", 1);
        assert_int_equal(PARSE("-o", cases[i].option, "/mnt"), 0);
        assert_int_equal(o.auth, cases[i].auth);
        assert_int_equal(o.both_keys, cases[i].both);
        assert_string_equal(o.key.text, cases[i].key);
        /* The one that is not used is taken out of the environment too. */
        assert_null(getenv("MATON_API_KEY"));
        assert_null(getenv("SYSTEME_API_KEY"));
    }
}

static void test_no_key(void **state UNUSED)
{
    unsetenv("SYSTEME_API_KEY");
    assert_int_equal(PARSE("/mnt"), -ENOKEY);
    check_why("MATON_API_KEY");
    check_why("SYSTEME_API_KEY");
    check_why(home_path(".config/systemefs/config"));
    check_why("--sandbox");

    write_config("[account one]\nttl = 5\n[account two]\nttl = 6\n");
    assert_int_equal(PARSE("/mnt"), -ENOKEY);
    check_why("-o account=NAME: one, two");

    /* The key of the other service is no key. */
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "auth=maton", "/mnt"), -ENOKEY);
    check_why("set MATON_API_KEY");
    check_why("SYSTEME_API_KEY serves auth=systeme");
}

static void test_bad_key(void **state UNUSED)
{
    setenv("SYSTEME_API_KEY", "two words", 1);
    assert_int_equal(PARSE("/mnt"), -EINVAL);
    check_why("the key in SYSTEME_API_KEY");
    /* It matters only where it is used. */
    setenv("SYSTEME_API_KEY", "two words", 1);
    setenv("MATON_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "auth=maton", "/mnt"), 0);
}

static void test_key_sources(void **state UNUSED)
{
    write_file("key", "file-key\n");
    write_config("auth = systeme\nkey_file = ~/key\n"
                 "[account gate]\nauth = maton\nkey_command = echo command-key; echo note\n"
                 "[account both]\nkey_file = ~/key\nkey_command = echo x\n"
                 "[account fails]\nkey_command = exit 7\n");
    assert_int_equal(PARSE("/mnt"), 0);
    assert_string_equal(o.key.text, "file-key");
    assert_int_equal(o.auth, AUTH_DIRECT);

    assert_int_equal(PARSE("-o", "account=gate", "/mnt"), 0);
    assert_string_equal(o.key.text, "command-key");
    assert_int_equal(o.auth, AUTH_GATEWAY);
    assert_string_equal(o.account, "gate");

    assert_int_equal(PARSE("-o", "account=both", "/mnt"), -EINVAL);
    check_why("keep one of them");
    assert_int_equal(PARSE("-o", "account=fails", "/mnt"), -EIO);
    check_why("exit code 7");

    assert_int_equal(chmod(home_path("key"), 0644), 0);
    assert_int_equal(PARSE("/mnt"), -EACCES);
    check_why("chmod 600");
    assert_int_equal(chmod(home_path("key"), 0600), 0);
}

/* A key without a word about its service would be sent to a service by guess. */
static void test_key_source_needs_auth(void **state UNUSED)
{
    write_file("key", "file-key\n");
    write_config("key_file = ~/key\n");
    assert_int_equal(PARSE("/mnt"), -EINVAL);
    check_why("add auth=maton");
    assert_int_equal(PARSE("-o", "auth=maton", "/mnt"), 0);
    assert_string_equal(o.key.text, "file-key");
}

/* A command is not run for a command line that is refused anyway: it may ask for a passphrase. */
static void test_key_command_comes_last(void **state UNUSED)
{
    char config[200];
    snprintf(config, sizeof(config), "auth = systeme\nkey_command = touch %s/ran; echo k\n", home);
    write_config(config);
    assert_int_equal(PARSE("-o", "api_url=http://api.example.org", "/mnt"), -EINVAL);
    assert_int_equal(access(home_path("ran"), F_OK), -1);
    assert_int_equal(PARSE("/mnt"), 0);
    assert_int_equal(unlink(home_path("ran")), 0);
}

static void test_credential(void **state UNUSED)
{
    write_file("systemefs", "credential-key\n");
    setenv("CREDENTIALS_DIRECTORY", home, 1);
    assert_int_equal(PARSE("/mnt"), -EINVAL);
    check_why("add auth=maton");
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "auth=systeme", "/mnt"), 0);
    assert_string_equal(o.key.text, "credential-key");
    unlink(home_path("systemefs"));
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "auth=systeme", "/mnt"), 0);
    assert_string_equal(o.key.text, "k");
}

static void test_plain_http(void **state UNUSED)
{
    static const struct {
        const char *options;
        const char *url; /* NULL: refused */
    } cases[] = {
        {"api_url=http://127.0.0.1:8080/systeme/", "http://127.0.0.1:8080/systeme"},
        {"api_url=http://localhost:1", "http://localhost:1"},
        {"api_url=https://api.example.org///", "https://api.example.org"},
        {"api_url=http://api.example.org", NULL},
        {"api_url=http://localhost.example.org", NULL},
        {"api_url=http://api.example.org,insecure_http", "http://api.example.org"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        setenv("SYSTEME_API_KEY", "k", 1);
        assert_int_equal(PARSE("-o", cases[i].options, "/mnt"), cases[i].url ? 0 : -EINVAL);
        if (cases[i].url)
            assert_string_equal(o.api_url, cases[i].url);
        else
            check_why("insecure_http");
    }
    setenv("MATON_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "auth=maton,ctrl_url=http://ctrl.example.org", "/mnt"), -EINVAL);
    check_why("ctrl_url: http://");
}

static void test_sandbox(void **state UNUSED)
{
    write_config("api_url = https://api.example.org\nconnection = abc\nkey_command = exit 1\n"
                 "cacert = /no/such/file\nttl = 5\n");
    assert_int_equal(PARSE("--sandbox", "--sandbox-args=--contacts 5 --seed 3", "/mnt"), 0);
    assert_true(o.sandbox);
    assert_string_equal(o.sandbox_args, "--contacts 5 --seed 3");
    assert_null(o.api_url);
    assert_null(o.ctrl_url);
    assert_null(o.connection);
    assert_null(o.cacert);
    assert_null(o.key.text);
    assert_int_equal(o.auth, AUTH_DIRECT);
    assert_int_equal(o.ttl_ms, 5000);
    assert_int_equal(PARSE("--sandbox", "-o", "auth=maton", "/mnt"), 0);
    assert_int_equal(o.auth, AUTH_GATEWAY);
}

static void test_cacert_is_made_absolute(void **state UNUSED)
{
    write_file("key", "not a certificate, and that is not looked at here\n");
    assert_int_equal(chdir(home), 0);
    assert_int_equal(PARSE("-o", "cacert=key", "/mnt"), 0);
    assert_string_equal(o.cacert, home_path("key"));
    assert_int_equal(chdir("/"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_key_is_never_an_option),
        T(test_gateway),
        T(test_both_keys),
        T(test_no_key),
        T(test_bad_key),
        T(test_key_sources),
        T(test_key_source_needs_auth),
        T(test_key_command_comes_last),
        T(test_credential),
        T(test_plain_http),
        T(test_sandbox),
        T(test_cacert_is_made_absolute),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
