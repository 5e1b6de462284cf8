/* base/disk: the real one, in a directory of its own. */
#include "systemefs/base/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/test_disk.XXXXXX";
static struct disk *d;
static struct buf why;
static struct buf text;

static const char *at(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s", home, name);
    return path;
}

static int make_home(void **state UNUSED)
{
    return mkdtemp(home) ? 0 : -1;
}

static int remove_home(void **state UNUSED)
{
    return rmdir(home);
}

static int open_state(void)
{
    buf_reset(&why);
    int r = disk_open(at("state"), &d, &why);
    /* A failure always has its sentence, and a success none. */
    assert_int_equal(r<0, why.len> 0);
    return r;
}

static int begin(void **state UNUSED)
{
    buf_init(&why, 8192);
    buf_init(&text, 1 << 20);
    d = NULL;
    return open_state();
}

static int remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED,
                      struct FTW *ftw)
{
    return ftw->level ? remove(path) : 0;
}

static int end(void **state UNUSED)
{
    disk_close(d);
    buf_finish(&why);
    buf_finish(&text);
    return nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int write_text(const char *path, const char *s, bool fresh)
{
    return d->write(d, path, s, strlen(s), fresh);
}

static void check_text(const char *path, const char *expected)
{
    buf_reset(&text);
    assert_int_equal(d->read(d, path, &text), 0);
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.data, expected, text.len);
}

static mode_t mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(lstat(at(name), &st), 0);
    return st.st_mode & 07777;
}

/* As somebody else on this machine would put it there. */
static void plant_file(const char *name, const char *s)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, s, strlen(s)), strlen(s));
    close(fd);
}

static void append_entry(void *data, const char *name, const struct disk_info *info)
{
    if (info->dir)
        buf_printf(data, "%s/ ", name);
    else
        buf_printf(data, "%s:%u ", name, (unsigned)info->size);
}

static void check_list(const char *path, const char *expected)
{
    buf_reset(&text);
    assert_int_equal(d->list(d, path, append_entry, &text), 0);
    assert_string_equal(text.len ? text.data : "", expected);
}

/* ---- reading and writing ---- */

static void test_write_and_read(void **state UNUSED)
{
    assert_int_equal(write_text("drafts/contacts/5.json", "one", false), 0);
    check_text("drafts/contacts/5.json", "one");
    assert_int_equal(write_text("drafts/contacts/5.json", "two!", false), 0);
    check_text("drafts/contacts/5.json", "two!");
    assert_int_equal(d->write(d, "empty", NULL, 0, false), 0);
    buf_reset(&text);
    assert_int_equal(d->read(d, "empty", &text), 0);
    assert_int_equal(text.len, 0);

    /* It is appended, and any byte is one. */
    assert_int_equal(d->write(d, "bytes", "\0\n\xff", 3, false), 0);
    buf_append_str(&text, "x");
    assert_int_equal(d->read(d, "bytes", &text), 0);
    assert_int_equal(text.len, 4);
    assert_memory_equal(text.data, "x\0\n\xff", 4);
}

static void test_modes(void **state UNUSED)
{
    mode_t before = umask(0);
    assert_int_equal(write_text("a/b/c", "x", false), 0);
    umask(before);
    assert_int_equal(mode_of("state"), 0700);
    assert_int_equal(mode_of("state/a"), 0700);
    assert_int_equal(mode_of("state/a/b"), 0700);
    assert_int_equal(mode_of("state/a/b/c"), 0600);
}

static void test_fresh(void **state UNUSED)
{
    assert_int_equal(write_text("a", "one", true), 0);
    assert_int_equal(write_text("a", "two", true), -EEXIST);
    check_text("a", "one");
    assert_int_equal(write_text("dir/x", "x", true), 0);
    assert_int_equal(write_text("dir", "two", true), -EEXIST);
    assert_int_equal(write_text("dir", "two", false), -EISDIR);
    assert_int_equal(write_text("a/b", "two", true), -ENOTDIR);
    check_list("", "a:3 dir/ ");
}

static void test_big(void **state UNUSED)
{
    size_t len = 300001;
    char *bytes = malloc(len);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 7 + i / 256);
    assert_int_equal(d->write(d, "big", bytes, len, false), 0);
    assert_int_equal(d->read(d, "big", &text), 0);
    assert_int_equal(text.len, len);
    assert_memory_equal(text.data, bytes, len);

    struct buf small;
    buf_init(&small, 100000);
    buf_append_str(&small, "before");
    assert_int_equal(d->read(d, "big", &small), -EFBIG);
    assert_int_equal(small.len, strlen("before"));
    buf_finish(&small);
    free(bytes);
}

/* A disk that fills up in the middle: here, the longest file that this process may write. */
static void test_failed_write_leaves_nothing(void **state UNUSED)
{
    assert_int_equal(write_text("a", "one", false), 0);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 10000, .rlim_max = before.rlim_max};
    char bytes[20000] = {0};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int over = d->write(d, "a", bytes, sizeof(bytes), false);
    int fresh = d->write(d, "b", bytes, sizeof(bytes), true);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);

    assert_int_equal(over, -EFBIG);
    assert_int_equal(fresh, -EFBIG);
    check_text("a", "one");
    check_list("", "a:3 ");
    assert_int_equal(d->remove(d, "a"), 0);
    disk_close(d);
    d = NULL;
    /* No temporary file either. */
    assert_int_equal(rmdir(at("state")), 0);
}

static void test_paths(void **state UNUSED)
{
    static const char *const wrong[] = {"",    "/",     "/a",   "a/",         "a//b",
                                        ".",   "..",    "../a", "a/..",       "a/../b",
                                        "./a", "a/./b", "/..",  ".writing-1", "a/.writing-x/b"};
    struct disk_info info;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(write_text(wrong[i], "x", false), -EINVAL);
        assert_int_equal(d->read(d, wrong[i], &text), -EINVAL);
        assert_int_equal(d->remove(d, wrong[i]), -EINVAL);
        assert_int_equal(d->lock(d, wrong[i]), -EINVAL);
        if (wrong[i][0])
            assert_int_equal(d->stat(d, wrong[i], &info), -EINVAL);
    }
    check_list("", "");

    static const char *const fine[] = {"...", "..a", ".a", "a b\n\xff", "~", "a.writing-"};
    for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
        assert_int_equal(write_text(fine[i], "x", true), 0);
        check_text(fine[i], "x");
    }
}

static void test_long_names(void **state UNUSED)
{
    char path[600];
    memset(path, 'n', sizeof(path));
    path[255] = '/';
    path[511] = '\0';
    assert_int_equal(write_text(path, "x", true), 0);
    check_text(path, "x");

    memset(path, 'm', 256);
    path[256] = '/';
    path[258] = '\0';
    assert_int_equal(write_text(path, "x", true), -ENAMETOOLONG);
    path[256] = '\0';
    assert_int_equal(write_text(path, "x", true), -ENAMETOOLONG);
    struct disk_info info;
    assert_int_equal(d->stat(d, path, &info), -ENAMETOOLONG);
}

static void test_stat(void **state UNUSED)
{
    struct disk_info info;
    assert_int_equal(d->stat(d, "", &info), 0);
    assert_true(info.dir);
    assert_int_equal(d->stat(d, "a", &info), -ENOENT);
    assert_int_equal(d->stat(d, "a/b", &info), -ENOENT);
    assert_int_equal(write_text("a/b", "12345", false), 0);
    assert_int_equal(d->stat(d, "a", &info), 0);
    assert_true(info.dir);
    assert_int_equal(info.size, 0);
    assert_int_equal(d->stat(d, "a/b", &info), 0);
    assert_false(info.dir);
    assert_int_equal(info.size, 5);
    assert_int_equal(d->stat(d, "a/b/c", &info), -ENOTDIR);

    struct timespec times[2] = {{.tv_sec = 7}, {.tv_sec = 1700000000, .tv_nsec = 123456789}};
    assert_int_equal(utimensat(AT_FDCWD, at("state/a/b"), times, 0), 0);
    assert_int_equal(d->stat(d, "a/b", &info), 0);
    assert_true(info.mtime_ns == INT64_C(1700000000123456789));
}

static void test_remove(void **state UNUSED)
{
    assert_int_equal(write_text("a/b/c", "x", false), 0);
    assert_int_equal(d->remove(d, "a/b"), -ENOTEMPTY);
    assert_int_equal(d->remove(d, "a/b/c"), 0);
    assert_int_equal(d->remove(d, "a/b/c"), -ENOENT);
    assert_int_equal(d->remove(d, "a/b"), 0);
    assert_int_equal(d->remove(d, "a"), 0);
    check_list("", "");
    buf_reset(&text);
    assert_int_equal(d->read(d, "a/b/c", &text), -ENOENT);
}

static void test_not_a_file(void **state UNUSED)
{
    assert_int_equal(write_text("a/b", "x", false), 0);
    assert_int_equal(d->read(d, "a", &text), -EISDIR);
    assert_int_equal(d->lock(d, "a"), -EISDIR);
    assert_int_equal(d->list(d, "a/b", append_entry, &text), -ENOTDIR);
    assert_int_equal(d->list(d, "none", append_entry, &text), -ENOENT);
    /* Nobody writes to it: an ordinary open would wait. */
    assert_int_equal(mkfifo(at("state/fifo"), 0600), 0);
    assert_int_equal(d->read(d, "fifo", &text), -EINVAL);
    assert_int_equal(d->remove(d, "fifo"), 0);
}

static void test_list_order(void **state UNUSED)
{
    static const char *const names[] = {"b", "a.json.reason", "a.json.2", "\xc3\xa9",
                                        "B", "a.json",        "10",       "9",
                                        ".h"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(write_text(names[i], "x", true), 0);
    assert_int_equal(write_text("dir/x", "x", true), 0);
    plant_file("state/.writing-99-1", "half");
    check_list("", ".h:1 10:1 9:1 B:1 a.json:1 a.json.2:1 a.json.reason:1 b:1 dir/ \xc3\xa9:1 ");
    check_list("dir", "x:1 ");
}

static void remove_next(void *data, const char *name, const struct disk_info *info UNUSED)
{
    *(unsigned *)data += 1;
    if (strcmp(name, "a") == 0)
        assert_int_equal(d->remove(d, "b"), 0);
}

static void test_list_may_remove(void **state UNUSED)
{
    assert_int_equal(write_text("a", "x", true), 0);
    assert_int_equal(write_text("b", "x", true), 0);
    unsigned told = 0;
    assert_int_equal(d->list(d, "", remove_next, &told), 0);
    assert_int_equal(told, 1);
}

/* ---- what somebody planted ---- */

static void test_symlink_as_file(void **state UNUSED)
{
    struct disk_info info;
    plant_file("target", "precious");
    char target[200];
    snprintf(target, sizeof(target), "%s/target", home);
    assert_int_equal(symlink(target, at("state/link")), 0);
    assert_int_equal(write_text("link", "x", false), -ELOOP);
    assert_int_equal(write_text("link", "x", true), -ELOOP);
    assert_int_equal(d->read(d, "link", &text), -ELOOP);
    assert_int_equal(d->stat(d, "link", &info), -ELOOP);
    assert_int_equal(d->lock(d, "link"), -ELOOP);
    /* The link itself can go. */
    assert_int_equal(d->remove(d, "link"), 0);
    struct stat st;
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_size, strlen("precious"));
}

static void test_symlink_as_component(void **state UNUSED)
{
    struct disk_info info;
    assert_int_equal(mkdir(at("elsewhere"), 0700), 0);
    plant_file("elsewhere/file", "precious");
    assert_int_equal(symlink("../elsewhere", at("state/link")), 0);
    assert_int_equal(write_text("link/new", "x", false), -ELOOP);
    assert_int_equal(write_text("link/sub/new", "x", false), -ELOOP);
    assert_int_equal(write_text("link/file", "x", false), -ELOOP);
    assert_int_equal(d->read(d, "link/file", &text), -ELOOP);
    assert_int_equal(d->stat(d, "link/file", &info), -ELOOP);
    assert_int_equal(d->remove(d, "link/file"), -ELOOP);
    assert_int_equal(d->lock(d, "link/file"), -ELOOP);
    assert_int_equal(d->list(d, "link", append_entry, &text), -ELOOP);
    assert_int_equal(access(at("elsewhere/file"), F_OK), 0);
    assert_int_equal(access(at("elsewhere/new"), F_OK), -1);
}

static int open_at(const char *name)
{
    struct disk *other = NULL;
    buf_reset(&why);
    int r = disk_open(at(name), &other, &why);
    assert_int_equal(r<0, why.len> 0);
    assert_int_equal(r < 0, other == NULL);
    disk_close(other);
    return r;
}

static void test_root(void **state UNUSED)
{
    assert_int_equal(open_at("deep/er/still"), 0);
    assert_int_equal(mode_of("deep"), 0700);
    assert_int_equal(mode_of("deep/er/still"), 0700);
    assert_int_equal(open_at("deep/er/still///"), 0);

    assert_int_equal(symlink("state", at("link")), 0);
    assert_int_equal(open_at("link"), -ELOOP);
    assert_non_null(strstr(why.data, "symbolic link"));
    assert_int_equal(open_at("link/"), -ELOOP);
    assert_int_equal(symlink("nowhere", at("dangling")), 0);
    assert_int_equal(open_at("dangling"), -ELOOP);
    /* Above it a symlink is the system's own affair: /home may be one. */
    assert_int_equal(symlink("deep", at("above")), 0);
    assert_int_equal(open_at("above/er"), 0);

    plant_file("file", "x");
    assert_int_equal(open_at("file"), -ENOTDIR);
    assert_int_equal(open_at("file/below"), -ENOTDIR);
}

static void test_root_of_others(void **state UNUSED)
{
    static const mode_t modes[] = {0755, 0770, 0701, 0740, 0720, 0702};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        assert_int_equal(chmod(at("state"), modes[i]), 0);
        assert_int_equal(open_at("state"), -EPERM);
        assert_non_null(strstr(why.data, "chmod 700"));
    }
    assert_int_equal(chmod(at("state"), 0700), 0);
    assert_int_equal(open_at("state"), 0);
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(at("state"), 12345, 12345), 0);
    assert_int_equal(open_at("state"), -EPERM);
    assert_non_null(strstr(why.data, "somebody else"));
}

/* ---- locks ---- */

static void test_lock_between_two(void **state UNUSED)
{
    struct disk *first = d;
    assert_int_equal(write_text("a/b", "x", true), 0);
    assert_int_equal(open_state(), 0);
    struct disk *second = d;
    assert_int_equal(first->lock(first, "a/none"), -ENOENT);
    int lock = first->lock(first, "a/b");
    assert_true(lock >= 0);
    assert_int_equal(second->lock(second, "a/b"), -EWOULDBLOCK);
    assert_int_equal(first->lock(first, "a/b"), -EWOULDBLOCK);
    check_text("a/b", "x");
    first->unlock(first, lock);
    first->unlock(first, -EWOULDBLOCK);
    lock = second->lock(second, "a/b");
    assert_true(lock >= 0);

    /* It is on the file: what is written over it is another one. */
    assert_int_equal(write_text("a/b", "y", false), 0);
    int other = first->lock(first, "a/b");
    assert_true(other >= 0);
    first->unlock(first, other);
    second->unlock(second, lock);
    disk_close(first);
}

/* ---- what a crash leaves ---- */

static void test_sweep(void **state UNUSED)
{
    assert_int_equal(write_text("a/b/file", "x", true), 0);
    plant_file("state/.writing-1-1", "half");
    plant_file("state/a/b/.writing-1-2", "half");
    plant_file("state/a/.writing-1-3", "another process is at it");
    int busy = open(at("state/a/.writing-1-3"), O_WRONLY);
    assert_true(busy >= 0);
    assert_int_equal(flock(busy, LOCK_EX), 0);
    assert_int_equal(symlink("/", at("state/a/root")), 0);

    disk_close(d);
    assert_int_equal(open_state(), 0);
    assert_int_equal(access(at("state/.writing-1-1"), F_OK), -1);
    assert_int_equal(access(at("state/a/b/.writing-1-2"), F_OK), -1);
    assert_int_equal(access(at("state/a/.writing-1-3"), F_OK), 0);
    check_text("a/b/file", "x");
    close(busy);
}

/* Its names begin with the process's number, and another one may have had that. */
static void test_temporary_name_is_taken(void **state UNUSED)
{
    for (unsigned i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof(name), "state/.writing-%d-%u", (int)getpid(), i);
        plant_file(name, "half");
    }
    assert_int_equal(write_text("a", "x", true), 0);
    check_text("a", "x");
}

static void test_no_descriptor_is_left(void **state UNUSED)
{
    int before = dup(0);
    close(before);
    struct disk_info info;
    for (unsigned i = 0; i < 20; i++) {
        write_text("a/b", "x", i % 2);
        write_text("a/b/c", "x", false);
        write_text("a", "x", false);
        d->read(d, "a/b", &text);
        d->read(d, "a", &text);
        d->stat(d, "a/b/c", &info);
        d->lock(d, "none");
        d->lock(d, "a");
        d->list(d, "a", append_entry, &text);
        d->remove(d, "a");
        open_at("state");
        open_at("state/a/b");
    }
    int after = dup(0);
    close(after);
    assert_int_equal(after, before);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_write_and_read),
        T(test_modes),
        T(test_fresh),
        T(test_big),
        T(test_failed_write_leaves_nothing),
        T(test_paths),
        T(test_long_names),
        T(test_stat),
        T(test_remove),
        T(test_not_a_file),
        T(test_list_order),
        T(test_list_may_remove),
        T(test_symlink_as_file),
        T(test_symlink_as_component),
        T(test_root),
        T(test_root_of_others),
        T(test_lock_between_two),
        T(test_sweep),
        T(test_temporary_name_is_taken),
        T(test_no_descriptor_is_left),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
