#include "systemefs/conf/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "systemefs/base/macros.h"

#include "child.h"

#define REPORT_MAX 8192 /* bytes of a failure's text */

/* The report is one byte, the exit code, and the text behind it, to the end of the stream. A
 * socket and not a pipe: writing to a parent that is gone must not raise SIGPIPE. */

static void print_failure(const char *text, size_t len)
{
    fprintf(stderr, "systemefs: %.*s\n", (int)len, text);
    fflush(stderr);
}

/* The parent's part. Does not return. */
static void wait_for_report(int fd, pid_t child)
{
    char report[1 + REPORT_MAX];
    size_t len = 0;
    ssize_t n = 1;
    while (len < sizeof(report) && n != 0) {
        n = read(fd, report + len, sizeof(report) - len);
        if (n > 0)
            len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            break;
    }

    int code = DAEMON_EXIT_FAILURE;
    if (len > 0) {
        code = (unsigned char)report[0];
        if (len > 1)
            print_failure(report + 1, len - 1);
    } else {
        struct buf text;
        buf_init(&text, REPORT_MAX);
        buf_append_str(&text, "the background process ended without saying why, with ");
        int status = 0;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            continue;
        child_describe(status, &text);
        if (text.data)
            print_failure(text.data, text.len);
        buf_finish(&text);
    }
    /* What is registered with atexit() belongs to the child now. */
    _exit(code);
}

int daemon_background(struct daemon *ret, struct buf *why)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        int error = errno;
        buf_printf(why, "cannot go to the background: %s", strerror(error));
        return -error;
    }
    /* What is still in a stdio buffer would be printed twice. */
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        int error = errno;
        buf_printf(why, "cannot go to the background: %s", strerror(error));
        close(fds[0]);
        close(fds[1]);
        return -error;
    }
    if (pid > 0) {
        close(fds[1]);
        wait_for_report(fds[0], pid);
    }
    close(fds[0]);
    setsid();
    *ret = (struct daemon){.report = fds[1], .background = true};
    return 0;
}

/* systemd says in JOURNAL_STREAM which file its journal is: DEVICE:INODE (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void leave_terminal(void)
{
    if (chdir("/") < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (!stderr_is_journal())
        dup2(null, STDERR_FILENO);
    if (null > STDERR_FILENO)
        close(null);
}

int daemon_report_ready(struct daemon *d)
{
    if (!d->background)
        return 0;
    char code = DAEMON_EXIT_OK;
    int r = send(d->report, &code, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
    close(d->report);
    d->report = -1;
    if (r == 0)
        leave_terminal();
    return r;
}

void daemon_report_failure(struct daemon *d, int exit_code, const char *text)
{
    size_t len = MIN(strlen(text), (size_t)REPORT_MAX);
    if (d->report < 0) {
        print_failure(text, len);
        return;
    }
    char report[1 + REPORT_MAX];
    report[0] = (char)exit_code;
    memcpy(report + 1, text, len);
    send(d->report, report, 1 + len, MSG_NOSIGNAL);
    close(d->report);
    d->report = -1;
}
