#include "systemefs/conf/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "systemefs/base/macros.h"

static char directory[] = "/tmp/test_secret.XXXXXX";

static int make_directory(void **state UNUSED)
{
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state UNUSED)
{
    return rmdir(directory);
}

static char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static const char *write_key(const char *text, mode_t mode)
{
    const char *path = path_of("key");
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

/* Whether the key is set and is `text`; finishes it. */
static void check_key(struct secret *s, const char *text)
{
    assert_non_null(s->text);
    assert_string_equal(s->text, text);
    assert_int_equal(s->len, strlen(text));
    secret_finish(s);
    assert_null(s->text);
}

static void test_set(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    struct secret s = {0};
    assert_int_equal(secret_set(&s, " \tabc-DEF_123.~\r\n", 17, &why), 0);
    check_key(&s, "abc-DEF_123.~");
    assert_int_equal(why.len, 0);
    secret_finish(&s);
    buf_finish(&why);
}

static void test_set_refuses(void **state UNUSED)
{
    static const struct {
        const char *text;
        int error;
    } cases[] = {{"", -EINVAL},           {" \n\t ", -EINVAL},   {"one two", -EINVAL},
                 {"one\ntwo", -EINVAL},   {"bell\x07", -EINVAL}, {"del\x7fx", -EINVAL},
                 {"caf\xc3\xa9", -EINVAL}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf why;
        buf_init(&why, 1000);
        struct secret s = {0};
        assert_int_equal(secret_set(&s, cases[i].text, strlen(cases[i].text), &why),
                         cases[i].error);
        assert_null(s.text);
        assert_true(why.len > 0);
        /* The sentence never holds the key. */
        assert_null(strstr(why.data, "two"));
        assert_null(strstr(why.data, "bell"));
        buf_finish(&why);
    }
}

static void test_set_longest(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    char text[SECRET_MAX + 1];
    memset(text, 'k', sizeof(text));
    struct secret s = {0};
    assert_int_equal(secret_set(&s, text, SECRET_MAX, &why), 0);
    assert_int_equal(s.len, SECRET_MAX);
    assert_int_equal(s.text[SECRET_MAX], '\0');
    secret_finish(&s);
    assert_int_equal(secret_set(&s, text, SECRET_MAX + 1, &why), -EFBIG);
    buf_finish(&why);
}

/* What the kernel says of the mapping that holds `p`: the VmFlags line of its smaps entry. */
static void mapping_flags(const void *p, char *out, size_t size)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    char line[512];
    bool inside = false;
    out[0] = '\0';
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= (unsigned long)p && (unsigned long)p < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(out, size, "%s", line);
    }
    fclose(f);
}

static void test_memory_is_not_dumped(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    struct secret s = {0};
    assert_int_equal(secret_set(&s, "k", 1, &why), 0);
    char flags[512];
    mapping_flags(s.text, flags, sizeof(flags));
    assert_non_null(strstr(flags, " dd"));
    secret_finish(&s);
    buf_finish(&why);
}

static void test_env(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    struct secret s = {0};
    unsetenv("TEST_KEY");
    assert_int_equal(secret_from_env(&s, "TEST_KEY", &why), 0);
    assert_null(s.text);
    setenv("TEST_KEY", "", 1);
    assert_int_equal(secret_from_env(&s, "TEST_KEY", &why), 0);
    assert_null(s.text);

    setenv("TEST_KEY", "from-env", 1);
    const char *block = getenv("TEST_KEY");
    assert_int_equal(secret_from_env(&s, "TEST_KEY", &why), 0);
    assert_null(getenv("TEST_KEY"));
    assert_memory_equal(block, "\0\0\0\0\0\0\0\0", 8);
    check_key(&s, "from-env");

    setenv("TEST_KEY", "two words", 1);
    assert_int_equal(secret_from_env(&s, "TEST_KEY", &why), -EINVAL);
    assert_non_null(strstr(why.data, "TEST_KEY"));
    assert_null(getenv("TEST_KEY"));
    buf_finish(&why);
}

/* execve() accepts a name twice, and unsetenv() takes both out without a look at the second
 * value, which then stayed readable in /proc/PID/environ. */
static void test_env_twice(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    char first[] = "TEST_KEY=first", second[] = "TEST_KEY=second", other[] = "TEST_KEYS=stays";
    char *block[] = {first, other, second, NULL};
    char **before = environ;
    environ = block;
    struct secret s = {0};
    int r = secret_from_env(&s, "TEST_KEY", &why);
    environ = before;
    assert_int_equal(r, 0);
    check_key(&s, "first");
    assert_memory_equal(first, "TEST_KEY=\0\0\0\0\0", sizeof(first));
    assert_memory_equal(second, "TEST_KEY=\0\0\0\0\0\0", sizeof(second));
    assert_string_equal(other, "TEST_KEYS=stays");
    buf_finish(&why);
}

static void test_file(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    struct secret s = {0};
    assert_int_equal(secret_from_file(&s, write_key("filekey\n", 0600), &why), 0);
    check_key(&s, "filekey");
    assert_int_equal(secret_from_file(&s, write_key("filekey", 0400), &why), 0);
    check_key(&s, "filekey");
    assert_int_equal(why.len, 0);

    static const mode_t open_modes[] = {0640, 0604, 0620, 0644};
    for (size_t i = 0; i < ARRAY_SIZE(open_modes); i++) {
        buf_reset(&why);
        assert_int_equal(secret_from_file(&s, write_key("filekey", open_modes[i]), &why), -EACCES);
        assert_non_null(strstr(why.data, "chmod 600"));
        assert_null(strstr(why.data, "filekey"));
        assert_null(s.text);
    }
    assert_int_equal(secret_from_file(&s, write_key("", 0600), &why), -EINVAL);
    unlink(path_of("key"));
    assert_int_equal(secret_from_file(&s, path_of("key"), &why), -ENOENT);
    assert_int_equal(secret_from_file(&s, directory, &why), -EINVAL);
    buf_finish(&why);
}

static void test_file_of_somebody_else(void **state UNUSED)
{
    if (geteuid() != 0)
        skip();
    struct buf why;
    buf_init(&why, 1000);
    struct secret s = {0};
    const char *path = write_key("filekey", 0600);
    assert_int_equal(chown(path, 12345, 12345), 0);
    assert_int_equal(secret_from_file(&s, path, &why), -EACCES);
    /* systemd gives the file to the service in more than one way. */
    assert_int_equal(secret_from_credential(&s, path, &why), 0);
    check_key(&s, "filekey");
    unlink(path);
    buf_finish(&why);
}

/* systemd grants a service its credential by an access list, which shows as mode 0440: the strict
 * check of key files refused it. */
static void test_credential(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    struct secret s = {0};
    assert_int_equal(secret_from_credential(&s, write_key("credential", 0440), &why), 0);
    check_key(&s, "credential");
    assert_int_equal(secret_from_credential(&s, write_key("credential", 0444), &why), -EACCES);
    unlink(path_of("key"));
    buf_finish(&why);
}

/* A named pipe that nobody writes to held up the mount for ever. */
static void test_file_is_a_pipe(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    struct secret s = {0};
    const char *path = path_of("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(secret_from_file(&s, path, &why), -EINVAL);
    unlink(path);
    buf_finish(&why);
}

static void test_command(void **state UNUSED)
{
    static const struct {
        const char *command, *key, *part_of_why;
        int error;
    } cases[] = {
        {"printf 'key-1\\nlogin: me\\n'", "key-1", NULL, 0},
        {"echo ' key-2 '", "key-2", NULL, 0},
        {"printf key-3", "key-3", NULL, 0},
        {"exit 3", NULL, "exit code 3", -EIO},
        {"echo key-4; exit 1", NULL, "exit code 1", -EIO},
        {"kill -9 $$", NULL, "signal 9", -EIO},
        {"true", NULL, "empty", -EINVAL},
        {"echo; echo key-5", NULL, "empty", -EINVAL},
        {"echo two words", NULL, "blank", -EINVAL},
        {"head -c 70000 /dev/zero", NULL, "more than", -EFBIG},
        {"read x && echo $x", NULL, "exit code 1", -EIO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf why;
        buf_init(&why, 1000);
        struct secret s = {0};
        assert_int_equal(secret_from_command(&s, cases[i].command, &why), cases[i].error);
        if (cases[i].key)
            check_key(&s, cases[i].key);
        else
            assert_non_null(strstr(why.data, cases[i].part_of_why));
        assert_null(s.text);
        buf_finish(&why);
    }
}

/* Only the shell was ended, and what it had started lived on, with the terminal in its hands. */
static void test_command_without_end(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 1000);
    struct secret s = {0};
    /* Whatever the command starts holds this pipe, which ends when the last of them is gone. */
    int held[2];
    assert_int_equal(pipe(held), 0);
    assert_int_equal(fcntl(held[0], F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(secret_from_command_within(&s, "sleep 1000 & wait", 50, &why), -ETIMEDOUT);
    assert_string_equal(why.data, "key_command did not end within 50 ms");
    close(held[1]);
    struct pollfd p = {.fd = held[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    close(held[0]);
    buf_finish(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),         cmocka_unit_test(test_set_refuses),
        cmocka_unit_test(test_set_longest), cmocka_unit_test(test_memory_is_not_dumped),
        cmocka_unit_test(test_env),         cmocka_unit_test(test_env_twice),
        cmocka_unit_test(test_file),        cmocka_unit_test(test_file_of_somebody_else),
        cmocka_unit_test(test_credential),  cmocka_unit_test(test_file_is_a_pipe),
        cmocka_unit_test(test_command),     cmocka_unit_test(test_command_without_end),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
