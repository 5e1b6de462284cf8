/* base/log: one line a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LOG_MODULE "test"
#include "systemefs/base/log.h"

static struct {
    int lines;
    enum log_level level;
    char module[20];
    char text[4096];
} seen;

static void sink(void *data, enum log_level level, const char *module, const char *line)
{
    assert_ptr_equal(data, &seen);
    seen.lines++;
    seen.level = level;
    snprintf(seen.module, sizeof(seen.module), "%s", module);
    snprintf(seen.text, sizeof(seen.text), "%s", line);
}

static int setup(void **state UNUSED)
{
    memset(&seen, 0, sizeof(seen));
    log_setup(LOG_LEVEL_INFO, sink, &seen);
    return 0;
}

static void test_levels(void **state UNUSED)
{
    log_warn("n = %d", 3);
    assert_int_equal(seen.lines, 1);
    assert_int_equal(seen.level, LOG_LEVEL_WARN);
    assert_string_equal(seen.module, "test");
    assert_string_equal(seen.text, "n = 3");

    int evaluated = 0;
    log_debug("%d", ++evaluated);
    assert_int_equal(evaluated, 0); /* not even formatted */
    assert_int_equal(seen.lines, 1);
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("%d", ++evaluated);
    assert_int_equal(seen.lines, 2);
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("quiet");
    log_err("loud");
    assert_int_equal(seen.lines, 3);
    assert_string_equal(seen.text, "loud");
    assert_int_equal(log_get_level(), LOG_LEVEL_ERROR);
}

static void test_level_names(void **state UNUSED)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    _Static_assert(ARRAY_SIZE(names) == LOG_LEVEL_COUNT, "a name for each level");
    for (int i = 0; i < LOG_LEVEL_COUNT; i++)
        assert_int_equal(log_level_from_name(names[i]), i);
    assert_int_equal(log_level_from_name("Debug"), -1);
    assert_int_equal(log_level_from_name(""), -1);
}

/* A record's text in a log line must neither forge a second line nor steer a terminal. */
static void test_one_line(void **state UNUSED)
{
    log_info("a\nsystemefs: error: b\r\t\x1b[31m\x7f");
    assert_string_equal(seen.text, "a systemefs: error: b   [31m ");
    log_info("x\xc2\x85y\xc2\x9b"
             "31m");
    assert_string_equal(seen.text, "x  y  31m");
    log_info("\xc3\xa9 \xc2\xa0 \xf0\x9f\x98\x80 \xc2"); /* other characters stay */
    assert_string_equal(seen.text, "\xc3\xa9 \xc2\xa0 \xf0\x9f\x98\x80 \xc2");
    assert_int_equal(seen.lines, 3);
}

static void test_long_line(void **state UNUSED)
{
    char text[5000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_info("%s", text);
    assert_int_equal(strlen(seen.text), 2047);
    assert_int_equal(seen.lines, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_levels, setup),
        cmocka_unit_test_setup(test_level_names, setup),
        cmocka_unit_test_setup(test_one_line, setup),
        cmocka_unit_test_setup(test_long_line, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
