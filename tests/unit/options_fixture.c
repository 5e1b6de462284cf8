#include "options_fixture.h"

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

#define ARGS_MAX 32

char home[] = "/tmp/test_options.XXXXXX";
struct options o;
struct buf why;

int make_home(void **state UNUSED)
{
    char path[128];
    if (!mkdtemp(home))
        return -1;
    snprintf(path, sizeof(path), "%s/.config", home);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/.config/systemefs", home);
    return mkdir(path, 0700);
}

const char *home_path(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", home, name);
    return path;
}

int remove_home(void **state UNUSED)
{
    unlink(home_path(".config/systemefs/config"));
    unlink(home_path("key"));
    rmdir(home_path(".config/systemefs"));
    rmdir(home_path(".config"));
    return rmdir(home);
}

int begin(void **state UNUSED)
{
    unlink(home_path(".config/systemefs/config"));
    setenv("HOME", home, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("CREDENTIALS_DIRECTORY");
    unsetenv("MATON_API_KEY");
    setenv("SYSTEME_API_KEY", "direct-key", 1);
    buf_init(&why, 8192);
    return 0;
}

int end(void **state UNUSED)
{
    options_finish(&o);
    buf_finish(&why);
    return 0;
}

void write_file(const char *name, const char *text)
{
    int fd = open(home_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

void write_config(const char *text)
{
    write_file(".config/systemefs/config", text);
}

int parse_args(const char *const *args)
{
    char *argv[ARGS_MAX + 2] = {(char *)"systemefs"};
    int argc = 1;
    for (; args[argc - 1]; argc++)
        argv[argc] = (char *)args[argc - 1];
    options_finish(&o);
    buf_reset(&why);
    int r = options_parse(argc, argv, &o, &why);
    /* A failure always has its sentence, and a success none. */
    assert_int_equal(r<0, why.len> 0);
    return r;
}

void check_why(const char *part)
{
    if (!strstr(why.data, part))
        fail_msg("\"%s\" is not in \"%s\"", part, why.data);
}
