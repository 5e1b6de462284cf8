#include "shelf_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "systemefs/base/log.h"

struct disk_memory m;
struct clock_manual clock_of_test;
struct shelf *s;
unsigned warnings;

static void count_warning(void *data UNUSED, enum log_level level, const char *module UNUSED,
                          const char *line UNUSED)
{
    warnings += level <= LOG_LEVEL_WARN;
}

void restart(void)
{
    shelf_destroy(s);
    s = NULL;
    assert_int_equal(shelf_create(&m.disk, &clock_of_test.clock, &s), 0);
}

int begin(void **state UNUSED)
{
    warnings = 0;
    log_setup(LOG_LEVEL_WARN, count_warning, NULL);
    disk_memory_init(&m);
    clock_manual_init(&clock_of_test, 1000, 0);
    restart();
    return 0;
}

int end(void **state UNUSED)
{
    shelf_destroy(s);
    s = NULL;
    assert_int_equal(disk_memory_locked(&m), 0);
    disk_memory_finish(&m);
    return 0;
}

struct draft *save(const char *path, pid_t owner, const char *text)
{
    struct draft *d = NULL;
    assert_int_equal(draft_begin(s, path, owner, text, strlen(text), &d), 0);
    assert_non_null(d);
    return d;
}

void refuse(const char *path, pid_t owner, const char *text)
{
    draft_refused(save(path, owner, text), "no");
}

void check(const char *path, const char *text)
{
    const char *there = disk_memory_text(&m, path);
    if ((there == NULL) != (text == NULL) || (text && strcmp(there, text) != 0))
        fail_msg("%s holds \"%s\", not \"%s\"", path, there ? there : "-", text ? text : "-");
}

void append_entry(void *data, const char *name, const struct disk_info *info)
{
    buf_printf(data, "%s%s ", name, info->dir ? "/" : "");
}

void check_list(const char *path, const char *expected)
{
    struct buf text;
    buf_init(&text, 4096);
    assert_int_equal(shelf_list(s, path, append_entry, &text), 0);
    assert_string_equal(text.len ? text.data : "", expected);
    buf_finish(&text);
}

void put(const char *path, const char *text)
{
    assert_int_equal(m.disk.write(&m.disk, path, text, strlen(text), true), 0);
}

void discard(const char *path, const char *text, const char *place)
{
    struct buf where;
    buf_init(&where, 1000);
    assert_int_equal(trash_put(s, path, text, strlen(text), &where), 0);
    assert_string_equal(where.data, place);
    buf_finish(&where);
}
