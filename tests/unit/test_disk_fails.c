/* base/disk: the real one, with calls of the C library that fail when a test says so. */
#include "systemefs/base/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    unsigned in, times; /* fsync(2): the failing ones come after so many, and are so many */
    int error;
    bool no_flags; /* renameat2(2), as on NFS */
} sabotage;

/* In the place of the C library's. */
int fsync(int fd)
{
    if (sabotage.in) {
        sabotage.in--;
    } else if (sabotage.times) {
        sabotage.times--;
        errno = sabotage.error;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int renameat2(int from, const char *name, int to, const char *new_name, unsigned flags)
{
    if (flags && sabotage.no_flags) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from, name, to, new_name, flags);
}

static char home[] = "/tmp/test_disk_fails.XXXXXX";
static struct disk *d;
static struct buf text;

static int begin(void **state UNUSED)
{
    struct buf why;
    buf_init(&why, 8192);
    buf_init(&text, 1 << 20);
    strcpy(home + sizeof(home) - sizeof("XXXXXX"), "XXXXXX");
    int r = mkdtemp(home) ? disk_open(home, &d, &why) : -1;
    buf_finish(&why);
    return r;
}

static int end(void **state UNUSED)
{
    sabotage.in = sabotage.times = 0;
    sabotage.no_flags = false;
    d->remove(d, "a");
    disk_close(d);
    buf_finish(&text);
    return rmdir(home); /* fails when anything else was left */
}

static int put(const char *what, bool fresh)
{
    return d->write(d, "a", what, strlen(what), fresh);
}

static void check_text(const char *expected)
{
    buf_reset(&text);
    assert_int_equal(d->read(d, "a", &text), 0);
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.data, expected, text.len);
}

/* A disk that does not take what was written is told of, at whichever moment it is asked; the old
 * text stays until the new one is on it; and nothing half written is left. */
static void test_fsync_fails(void **state UNUSED)
{
    unsigned failed = 0;
    for (unsigned in = 0; in < 4; in++) {
        assert_int_equal(put("old", false), 0);
        sabotage.in = in;
        sabotage.times = 1;
        sabotage.error = EIO;
        int r = put("new", false);
        bool hit = !sabotage.times;
        sabotage.in = sabotage.times = 0;
        assert_int_equal(r, hit ? -EIO : 0);
        check_text(in == 0 ? "old" : "new"); /* the file's own; that of the directory */
        failed += hit;
    }
    assert_int_equal(failed, 2);
}

/* A signal is no failure. */
static void test_fsync_interrupted(void **state UNUSED)
{
    sabotage.times = 3;
    sabotage.error = EINTR;
    assert_int_equal(put("text", false), 0);
    assert_int_equal(sabotage.times, 0);
    check_text("text");
}

/* Where a name cannot be taken on the condition that it is free, a link takes it. */
static void test_no_rename_flags(void **state UNUSED)
{
    sabotage.no_flags = true;
    assert_int_equal(put("first", true), 0);
    assert_int_equal(put("second", true), -EEXIST);
    check_text("first");
    assert_int_equal(put("third", false), 0);
    check_text("third");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_fsync_fails),
        T(test_fsync_interrupted),
        T(test_no_rename_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
