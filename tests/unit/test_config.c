#include "systemefs/conf/config.h"

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

static int parse(struct config *c, const char *text, struct buf *why)
{
    return config_parse(c, "FILE", text, strlen(text), why);
}

static void check_entry(const struct config *c, size_t i, const char *name, const char *value,
                        unsigned line, int account)
{
    assert_true(i < c->entry_count);
    assert_string_equal(c->entries[i].name, name);
    assert_string_equal(c->entries[i].value, value);
    assert_int_equal(c->entries[i].line, line);
    assert_int_equal(c->entries[i].account, account);
}

static void test_form(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    struct config c;
    assert_int_equal(parse(&c,
                           "# a comment\n"
                           "\n"
                           "ttl=5\r\n"
                           "  \tjobs\t =  3  \n"
                           "   # not a value\n"
                           "key_command = pass show a=b # c\n"
                           "[account one]\n"
                           "ttl = 6\n"
                           "[ account\ttwo@x.example ]\n"
                           "[account three]\n"
                           "auth = maton",
                           &why),
                     0);
    assert_int_equal(c.entry_count, 5);
    check_entry(&c, 0, "ttl", "5", 3, CONFIG_TOP);
    check_entry(&c, 1, "jobs", "3", 4, CONFIG_TOP);
    check_entry(&c, 2, "key_command", "pass show a=b # c", 6, CONFIG_TOP);
    check_entry(&c, 3, "ttl", "6", 8, 0);
    check_entry(&c, 4, "auth", "maton", 11, 2);
    assert_int_equal(c.account_count, 3);
    assert_string_equal(c.accounts[1], "two@x.example");
    assert_int_equal(config_account(&c, "three"), 2);
    assert_int_equal(config_account(&c, "four"), -1);
    config_finish(&c);
    assert_int_equal(parse(&c, "", &why), 0);
    assert_int_equal(c.entry_count, 0);
    config_finish(&c);
    assert_int_equal(why.len, 0);
    buf_finish(&why);
}

static void test_errors_point(void **state UNUSED)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"a = 1\nnonsense\n", "FILE:2: \"nonsense\": this is neither"},
        {"= 1\n", "FILE:1: \"= 1\": the name"},
        {"\n\nttl =  \n", "FILE:3: \"ttl =\": the value"},
        {"[account a\n", "FILE:1: \"[account a\": a section is written"},
        {"[shop]\n", "FILE:1: \"[shop]\": the only kind"},
        {"[account]\n", "FILE:1: \"[account]\": the only kind"},
        {"[accounts a]\n", "FILE:1: \"[accounts a]\": the only kind"},
        {"[]\n", "FILE:1: \"[]\": the only kind"},
        {"[", "FILE:1: \"[\": a section is written"},
        {"[account ]\n", "FILE:1: \"[account ]\": an account's name"},
        {"[account a b]\n", "FILE:1: \"[account a b]\": an account's name"},
        {"[account a,b]\n", "an account's name"},
        {"[account a]\nx = 1\n[account  a]\n", "FILE:3: \"[account  a]\": this account is there"},
        {"a = b\x07z\n", "FILE:1: \"a = b?z\": there is a control character"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf why;
        buf_init(&why, 1000);
        struct config c;
        assert_int_equal(parse(&c, cases[i].text, &why), -EINVAL);
        assert_non_null(strstr(why.data, cases[i].why));
        buf_finish(&why);
    }
}

static void test_caps(void **state UNUSED)
{
    struct buf why, text;
    buf_init(&why, 1000);
    buf_init(&text, CONFIG_FILE_MAX);
    struct config c;
    assert_int_equal(config_parse(&c, "FILE", "a = \0b\n", 7, &why), -EINVAL);

    for (int i = 0; i < CONFIG_ACCOUNTS_MAX; i++)
        buf_printf(&text, "[account a%d]\n", i);
    assert_int_equal(parse(&c, text.data, &why), 0);
    config_finish(&c);
    buf_append_str(&text, "[account more]\n");
    assert_int_equal(parse(&c, text.data, &why), -EINVAL);

    buf_reset(&text);
    for (int i = 0; i < CONFIG_ENTRIES_MAX; i++)
        buf_append_str(&text, "a = b\n");
    assert_int_equal(parse(&c, text.data, &why), 0);
    config_finish(&c);
    buf_append_str(&text, "a = b\n");
    assert_int_equal(parse(&c, text.data, &why), -EINVAL);

    char name[CONFIG_NAME_MAX + 2] = {0};
    memset(name, 'n', CONFIG_NAME_MAX);
    buf_reset(&text);
    buf_printf(&text, "[account %s]\n", name);
    assert_int_equal(parse(&c, text.data, &why), 0);
    config_finish(&c);
    buf_reset(&text);
    buf_printf(&text, "[account %sn]\n", name);
    assert_int_equal(parse(&c, text.data, &why), -EINVAL);
    buf_finish(&text);
    buf_finish(&why);
}

/* Truncated and mutilated files: every prefix is either taken or refused, and nothing else. */
static void test_prefixes(void **state UNUSED)
{
    static const char text[] = "# c\n ttl = 5 \n[ account a ]\nkey = \x01\n[account b\n=\n[\n";
    for (size_t len = 0; len < sizeof(text); len++) {
        struct buf why;
        buf_init(&why, 1000);
        struct config c;
        /* A copy of its own size, so that the sanitizer sees a step too far. */
        char *copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, text, len);
        if (config_parse(&c, "FILE", copy, len, &why) == 0)
            config_finish(&c);
        else
            assert_true(why.len > 0);
        free(copy);
        buf_finish(&why);
    }
}

static void write_file(const char *path, const char *text, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void test_read(void **state UNUSED)
{
    char directory[] = "/tmp/test_config.XXXXXX";
    assert_non_null(mkdtemp(directory));
    char path[64];
    snprintf(path, sizeof(path), "%s/config", directory);
    struct buf why;
    buf_init(&why, 1000);
    struct config c;

    assert_int_equal(config_read(&c, path, &why), -ENOENT);
    assert_int_equal(why.len, 0);

    /* It holds no secret: it may be read by all, but written by nobody else. */
    write_file(path, "ttl = 5\n", 8, 0644);
    assert_int_equal(config_read(&c, path, &why), 0);
    check_entry(&c, 0, "ttl", "5", 1, CONFIG_TOP);
    config_finish(&c);
    static const mode_t writable[] = {0620, 0602, 0666};
    for (size_t i = 0; i < ARRAY_SIZE(writable); i++) {
        buf_reset(&why);
        write_file(path, "ttl = 5\n", 8, writable[i]);
        assert_int_equal(config_read(&c, path, &why), -EACCES);
        assert_non_null(strstr(why.data, "chmod go-w"));
    }

    char *big = malloc(CONFIG_FILE_MAX + 1);
    assert_non_null(big);
    memset(big, '\n', CONFIG_FILE_MAX + 1);
    write_file(path, big, CONFIG_FILE_MAX, 0600);
    assert_int_equal(config_read(&c, path, &why), 0);
    config_finish(&c);
    write_file(path, big, CONFIG_FILE_MAX + 1, 0600);
    assert_int_equal(config_read(&c, path, &why), -EFBIG);
    free(big);

    assert_int_equal(config_read(&c, directory, &why), -EINVAL);
    if (geteuid() == 0) {
        buf_reset(&why);
        write_file(path, "ttl = 5\n", 8, 0600);
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(config_read(&c, path, &why), -EACCES);
        assert_non_null(strstr(why.data, "belongs to another user"));
    }
    unlink(path);
    rmdir(directory);
    buf_finish(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form), cmocka_unit_test(test_errors_point),
        cmocka_unit_test(test_caps), cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
