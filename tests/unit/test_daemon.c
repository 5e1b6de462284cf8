#include "systemefs/conf/daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "systemefs/base/macros.h"

#include "../../src/conf/mountpoint.h"

static char directory[] = "/tmp/test_daemon.XXXXXX";
static struct buf why;

static int make_directory(void **state UNUSED)
{
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state UNUSED)
{
    return rmdir(directory);
}

static int begin(void **state UNUSED)
{
    buf_init(&why, 8192);
    return 0;
}

static int end(void **state UNUSED)
{
    buf_finish(&why);
    return 0;
}

static const char *path_of(const char *name)
{
    static char paths[16][256];
    static unsigned next;
    char *path = paths[next++ % ARRAY_SIZE(paths)];
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static void read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;
    while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    close(fd);
}

/* What the process that stays does after the fork. `out` is for what it has seen. */
typedef void background_fn(struct daemon *d, int out);

struct outcome {
    int status;      /* of the process that the person started */
    char error[512]; /* its standard error */
    char seen[512];  /* what the background process wrote */
};

static struct outcome run_background(background_fn *fn)
{
    int error[2], seen[2];
    assert_int_equal(pipe2(error, O_CLOEXEC), 0);
    assert_int_equal(pipe2(seen, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(error[1], STDERR_FILENO);
        close(error[1]);
        struct daemon d;
        if (daemon_background(&d, &why) < 0)
            _exit(99);
        fn(&d, seen[1]);
        _exit(0);
    }
    close(error[1]);
    close(seen[1]);
    struct outcome ret;
    assert_int_equal(waitpid(pid, &ret.status, 0), pid);
    read_all(seen[0], ret.seen, sizeof(ret.seen));
    read_all(error[0], ret.error, sizeof(ret.error));
    return ret;
}

static void link_of(const char *link, char *out, size_t size)
{
    ssize_t len = readlink(link, out, size - 1);
    out[len > 0 ? len : 0] = '\0';
}

static void is_ready(struct daemon *d, int out)
{
    char where[128], input[128], error[128];
    int r = daemon_report_ready(d);
    link_of("/proc/self/cwd", where, sizeof(where));
    link_of("/proc/self/fd/0", input, sizeof(input));
    link_of("/proc/self/fd/2", error, sizeof(error));
    dprintf(out, "%d %s %s %s %d", r, where, input, error, getsid(0) == getpid());
}

static void test_ready(void **state UNUSED)
{
    struct outcome o = run_background(is_ready);
    assert_true(WIFEXITED(o.status));
    assert_int_equal(WEXITSTATUS(o.status), 0);
    assert_string_equal(o.error, "");
    assert_string_equal(o.seen, "0 / /dev/null /dev/null 1");
}

static void is_ready_in_journal(struct daemon *d, int out)
{
    struct stat st;
    char stream[64], error[128];
    fstat(STDERR_FILENO, &st);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    daemon_report_ready(d);
    link_of("/proc/self/fd/2", error, sizeof(error));
    dprintf(out, "%.5s", error);
}

static void test_ready_keeps_journal(void **state UNUSED)
{
    assert_string_equal(run_background(is_ready_in_journal).seen, "pipe:");
}

static void fails(struct daemon *d, int out UNUSED)
{
    daemon_report_failure(d, DAEMON_EXIT_USAGE, "the reason");
}

static void test_failure(void **state UNUSED)
{
    struct outcome o = run_background(fails);
    assert_int_equal(WEXITSTATUS(o.status), DAEMON_EXIT_USAGE);
    assert_string_equal(o.error, "systemefs: the reason\n");
}

static void fails_at_length(struct daemon *d, int out UNUSED)
{
    char text[20000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    daemon_report_failure(d, DAEMON_EXIT_FAILURE, text);
}

static void test_long_failure(void **state UNUSED)
{
    struct outcome o = run_background(fails_at_length);
    assert_int_equal(WEXITSTATUS(o.status), DAEMON_EXIT_FAILURE);
    assert_memory_equal(o.error, "systemefs: xxx", 14);
}

static void ends(struct daemon *d UNUSED, int out UNUSED)
{
    _exit(3);
}

static void is_killed(struct daemon *d UNUSED, int out UNUSED)
{
    raise(SIGKILL);
}

static void test_end_without_a_word(void **state UNUSED)
{
    struct outcome o = run_background(ends);
    assert_int_equal(WEXITSTATUS(o.status), DAEMON_EXIT_FAILURE);
    assert_non_null(strstr(o.error, "without saying why, with exit code 3\n"));
    o = run_background(is_killed);
    assert_int_equal(WEXITSTATUS(o.status), DAEMON_EXIT_FAILURE);
    assert_non_null(strstr(o.error, "with signal 9 (Killed)\n"));
}

static void outlives_its_parent(struct daemon *d, int out)
{
    /* As Ctrl-C would: the child leads a session of its own and does not get that. */
    kill(getppid(), SIGKILL);
    /* Its end is seen when the report's other side is closed. */
    char c;
    while (read(d->report, &c, 1) > 0)
        continue;
    dprintf(out, "%d", daemon_report_ready(d));
}

/* A report to a parent that had been ended raised SIGPIPE, and left a mount behind. */
static void test_parent_is_gone(void **state UNUSED)
{
    char expected[16];
    snprintf(expected, sizeof(expected), "%d", -EPIPE);
    struct outcome o = run_background(outlives_its_parent);
    assert_true(WIFSIGNALED(o.status));
    assert_string_equal(o.seen, expected);
}

static const char mountinfo[] =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "40 22 0:40 / /home/a\\040b\\134c rw,nosuid,nodev shared:2 master:3 - fuse.systemefs systemefs "
    "rw,user_id=1000,group_id=1000\n"
    "41 22 0:41 / /over rw - fuse.systemefs systemefs rw,user_id=7,group_id=7\n"
    "42 22 0:42 / /over rw - tmpfs tmpfs rw\n"
    "43 22 0:43 / /last rw - fuse.sshfs host:/ - rw,user_id=5\n"
    "garbage\n"
    "44 22 0:44 / /short\n";

static bool find(const char *path, struct mount_entry *ret)
{
    FILE *f = fmemopen((char *)mountinfo, strlen(mountinfo), "r");
    assert_non_null(f);
    bool found = mountpoint_find(f, path, ret);
    fclose(f);
    return found;
}

static void test_mountinfo(void **state UNUSED)
{
    struct mount_entry m;
    assert_true(find("/home/a b\\c", &m));
    assert_string_equal(m.type, "fuse.systemefs");
    assert_true(m.has_user);
    assert_int_equal(m.user, 1000);
    assert_true(find("/over", &m));
    assert_string_equal(m.type, "tmpfs");
    assert_false(m.has_user);
    assert_true(find("/", &m));
    assert_string_equal(m.type, "ext4");
    static const char *const absent[] = {"/home/a", "/home", "/ove", "/overt", "/short", ""};
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        assert_false(find(absent[i], &m));
}

/* Checks a mount point; the error, or 0 with the absolute path being `absolute`. */
static int check(const char *path, bool nonempty, const char *absolute)
{
    char *ret = NULL;
    buf_reset(&why);
    int r = daemon_check_mountpoint(path, nonempty, &ret, &why);
    assert_int_equal(r<0, why.len> 0);
    if (r == 0)
        assert_string_equal(ret, absolute);
    else
        assert_null(ret);
    free(ret);
    return r;
}

static void test_mountpoint(void **state UNUSED)
{
    const char *dir = path_of("dir"), *file = path_of("dir/file"), *link = path_of("link");
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(symlink("dir", link), 0);

    assert_int_equal(check(dir, false, dir), 0);
    assert_int_equal(check(link, false, dir), 0);
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(check(".", false, dir), 0);
    assert_int_equal(check("../dir//", false, dir), 0);
    assert_int_equal(check("../link/../dir/.", false, dir), 0);
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(check("dir", false, dir), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(check("/dev/fd/9", false, "/dev/fd/9"), 0);

    assert_int_equal(check(path_of("none"), false, NULL), -ENOENT);
    assert_non_null(strstr(why.data, "does not exist; make it first: mkdir -p"));
    assert_int_equal(check(path_of("none/deeper"), false, NULL), -ENOENT);
    assert_non_null(strstr(why.data, "mkdir -p"));

    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(check(file, false, NULL), -ENOTDIR);
    assert_non_null(strstr(why.data, "not a directory"));
    assert_int_equal(check(dir, false, NULL), -ENOTEMPTY);
    assert_non_null(strstr(why.data, "-o nonempty"));
    assert_int_equal(check(dir, true, dir), 0);
    assert_int_equal(check(path_of("dir/file/x"), false, NULL), -ENOTDIR);

    char longest[5000];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(check(longest, false, NULL), -ENAMETOOLONG);
    unlink(file);
    unlink(link);
    rmdir(dir);
}

static void write_program(const char *body)
{
    const char *path = path_of("systemefs-sandbox");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    dprintf(fd, "#!/bin/sh\n%s\n", body);
    close(fd);
    setenv("PATH", directory, 1);
}

static void test_sandbox(void **state UNUSED)
{
    char before[4096];
    snprintf(before, sizeof(before), "%s", getenv("PATH"));
    char body[512];
    snprintf(body, sizeof(body),
             "PATH=/usr/bin:/bin\n"
             "echo \"$1 $2 $4 $5 $6 $7\" > %s\n"
             "echo noise\n"
             "echo http://127.0.0.1:9/ key-1 key-2 > /dev/fd/$3\n"
             "exec tail -f /dev/null",
             path_of("arguments"));
    write_program(body);
    struct daemon_sandbox s = {0};
    assert_int_equal(daemon_sandbox_start(" --contacts  5\t--seed 3 ", false, &s, &why), 0);
    assert_string_equal(s.url, "http://127.0.0.1:9");
    assert_string_equal(s.key, "key-1");
    assert_string_equal(s.gateway_key, "key-2");
    pid_t pid = s.pid;
    assert_int_equal(kill(pid, 0), 0);
    daemon_sandbox_stop(&s);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(s.pid, 0);
    daemon_sandbox_stop(&s);

    char text[128];
    int fd = open(path_of("arguments"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    read_all(fd, text, sizeof(text));
    assert_string_equal(text, "--die-with-parent --ready-fd --contacts 5 --seed 3\n");
    unlink(path_of("arguments"));
    unlink(path_of("systemefs-sandbox"));
    setenv("PATH", before, 1);
}

static void test_sandbox_fails(void **state UNUSED)
{
    static const struct {
        const char *body, *why;
        int error;
    } cases[] = {
        {"exit 2", "could not start: it ended with exit code 2", -ECHILD},
        {"kill -9 $$", "it ended with signal 9", -ECHILD},
        {"echo one two > /dev/fd/$3", "did not say where it listens", -EPROTO},
        {"echo one two three four > /dev/fd/$3", "did not say where it listens", -EPROTO},
        {"exec /usr/bin/head -c 5000 /dev/zero > /dev/fd/$3", "cannot listen", -EFBIG},
    };
    char before[4096];
    snprintf(before, sizeof(before), "%s", getenv("PATH"));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        write_program(cases[i].body);
        struct daemon_sandbox s = {0};
        buf_reset(&why);
        int r = daemon_sandbox_start(NULL, false, &s, &why);
        if (!why.data || !strstr(why.data, cases[i].why))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].why, why.data ? why.data : "");
        assert_int_equal(r, cases[i].error);
        assert_int_equal(s.pid, 0);
    }
    unlink(path_of("systemefs-sandbox"));
    struct daemon_sandbox s = {0};
    buf_reset(&why);
    assert_int_equal(daemon_sandbox_start(NULL, false, &s, &why), -ECHILD);
    assert_non_null(strstr(why.data, "exit code 127"));
    setenv("PATH", before, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_ready),         T(test_ready_keeps_journal), T(test_failure),
        T(test_long_failure),  T(test_end_without_a_word),  T(test_parent_is_gone),
        T(test_mountinfo),     T(test_mountpoint),          T(test_sandbox),
        T(test_sandbox_fails),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
