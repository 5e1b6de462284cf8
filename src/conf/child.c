#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "systemefs/base/clock.h"

#define WAIT_STEP_MS 5 /* between two looks at a child that is about to end */

static int left_ms(int64_t deadline)
{
    int64_t left = deadline - clock_mono_ms(&clock_system);
    return left > 0 ? (int)left : 0;
}

ssize_t child_read(int fd, char *out, size_t cap, bool line, int limit_ms)
{
    int64_t deadline = clock_mono_ms(&clock_system) + limit_ms;
    size_t len = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, left_ms(deadline));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ETIMEDOUT;

        /* One byte more than there is room for: it tells "full" from "too long". */
        char past;
        ssize_t got = len < cap ? read(fd, out + len, cap - len) : read(fd, &past, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return (ssize_t)len;
        if (len == cap)
            return -EFBIG;
        const char *end = line ? memchr(out + len, '\n', (size_t)got) : NULL;
        if (end)
            return end - out;
        len += (size_t)got;
    }
}

int child_wait(pid_t pid, int limit_ms, int *ret_status)
{
    int64_t deadline = clock_mono_ms(&clock_system) + limit_ms;
    for (;;) {
        pid_t got = waitpid(pid, ret_status, WNOHANG);
        if (got == pid)
            return 0;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (left_ms(deadline) == 0)
            return -ETIMEDOUT;
        nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_MS * 1000000L}, NULL);
    }
}

void child_end(pid_t pid, bool group, int grace_ms)
{
    int status;
    kill(group ? -pid : pid, SIGTERM);
    if (child_wait(pid, grace_ms, &status) != -ETIMEDOUT)
        return;
    kill(group ? -pid : pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
}

void child_describe(int status, struct buf *out)
{
    if (WIFEXITED(status))
        buf_printf(out, "exit code %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        buf_printf(out, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        buf_append_str(out, "an unknown status");
}

void child_prepare(void)
{
    setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    static const int usual[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        signal(usual[i], SIG_DFL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
}
