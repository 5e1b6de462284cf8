#include "systemefs/conf/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "systemefs/base/macros.h"

#include "child.h"

#define PROGRAM        "systemefs-sandbox"
#define READY_LIMIT_MS 20000 /* a world of a million contacts takes a few seconds */
#define STOP_GRACE_MS  3000
#define READY_LINE_MAX 1024 /* bytes of "url key gatewaykey" */
#define ARGUMENTS_MAX  64   /* words in sandbox_args */
#define ERRORS_SHOWN   4096 /* bytes of what it says when it cannot start */

/* Where it may be, seen from the directory of this program. */
static const char *const places[] = {"", "../sandbox/", "sandbox/"};

/* Writes the path of the program; its bare name, for execvp() to look for, when it is in none of
 * the places. */
static void find_program(char out[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < ARRAY_SIZE(places); i++) {
        int n = snprintf(out, PATH_MAX, "%.*s/%s" PROGRAM, (int)(slash - self), self, places[i]);
        if (n < PATH_MAX && access(out, X_OK) == 0)
            return;
    }
    snprintf(out, PATH_MAX, "%s", PROGRAM);
}

/* The child's part. Does not return. */
static void run_program(const char *program, const char *args, int ready_fd, int error_fd)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", ready_fd);
    char *argv[ARGUMENTS_MAX + 5] = {(char *)PROGRAM, (char *)"--die-with-parent",
                                     (char *)"--ready-fd", number};
    size_t argc = 4;
    char *words = strdup(args ? args : ""), *rest = NULL;
    if (error_fd >= 0)
        dup2(error_fd, STDERR_FILENO);
    for (char *w = words ? strtok_r(words, " \t\n", &rest) : NULL; w;
         w = strtok_r(NULL, " \t\n", &rest)) {
        if (argc == ARRAY_SIZE(argv) - 1) {
            fprintf(stderr, "systemefs: sandbox_args has more than %d words\n", ARGUMENTS_MAX);
            _exit(2);
        }
        argv[argc++] = w;
    }

    child_prepare();
    fcntl(ready_fd, F_SETFD, 0);
    /* What it prints for people is not for those who asked for a mount; its errors are. */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDOUT_FILENO);
    execvp(program, argv);
    fprintf(stderr, "systemefs: cannot start %s: %s\n", program, strerror(errno));
    _exit(127);
}

/* Takes "url key gatewaykey" apart. False when it is anything else. */
static bool parse_ready(char *line, struct daemon_sandbox *s)
{
    char *rest = NULL;
    const char *url = strtok_r(line, " ", &rest);
    const char *key = strtok_r(NULL, " ", &rest);
    const char *gateway_key = strtok_r(NULL, " ", &rest);
    if (!gateway_key || strtok_r(NULL, " ", &rest))
        return false;
    s->url = strdup(url);
    s->key = strdup(key);
    s->gateway_key = strdup(gateway_key);
    if (!s->url || !s->key || !s->gateway_key)
        return false;
    for (size_t len = strlen(s->url); len > 0 && s->url[len - 1] == '/'; len--)
        s->url[len - 1] = '\0';
    return true;
}

static int explain(struct daemon_sandbox *s, ssize_t len, struct buf *why)
{
    int status = 0;
    if (len == -ETIMEDOUT) {
        buf_printf(why, PROGRAM " was not ready within %d seconds", READY_LIMIT_MS / 1000);
        return -ETIMEDOUT;
    }
    if (len == 0 && child_wait(s->pid, STOP_GRACE_MS, &status) == 0) {
        s->pid = 0;
        buf_append_str(why, PROGRAM " could not start: it ended with ");
        child_describe(status, why);
        return -ECHILD;
    }
    if (len < 0)
        buf_printf(why, "cannot listen to " PROGRAM ": %s", strerror((int)-len));
    else
        buf_append_str(why, PROGRAM " did not say where it listens: is it of another version?");
    return len < 0 ? (int)len : -EPROTO;
}

/* What it said before it failed, for the person who is still there. */
static void pass_on(int error_fd)
{
    char text[ERRORS_SHOWN];
    ssize_t len = error_fd >= 0 ? pread(error_fd, text, sizeof(text), 0) : 0;
    if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
        return; /* there is nobody to tell */
}

int daemon_sandbox_start(const char *args, bool background, struct daemon_sandbox *ret,
                         struct buf *why)
{
    char program[PATH_MAX];
    find_program(program);
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        int error = errno;
        buf_printf(why, "cannot start " PROGRAM ": %s", strerror(error));
        return -error;
    }
    /* Standard error is the person's terminal or pipe until the mount answers, and must be let go
     * of then: so the sandbox of a mount in the background never has it. */
    int error_fd = background ? memfd_create("errors", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;
    struct daemon_sandbox s = {.pid = fork()};
    if (s.pid == 0)
        run_program(program, args, fds[1], error_fd);
    int error = errno;
    close(fds[1]);
    if (s.pid < 0) {
        close(fds[0]);
        if (error_fd >= 0)
            close(error_fd);
        buf_printf(why, "cannot start " PROGRAM ": %s", strerror(error));
        return -error;
    }

    char line[READY_LINE_MAX + 1];
    ssize_t len = child_read(fds[0], line, READY_LINE_MAX, true, READY_LIMIT_MS);
    close(fds[0]);
    line[len > 0 ? len : 0] = '\0';
    if (len > 0 && parse_ready(line, &s)) {
        *ret = s;
        if (error_fd >= 0) {
            fcntl(error_fd, F_ADD_SEALS, F_SEAL_WRITE); /* what it says later is not kept */
            close(error_fd);
        }
        return 0;
    }
    int r = explain(&s, len, why);
    daemon_sandbox_stop(&s);
    pass_on(error_fd);
    if (error_fd >= 0)
        close(error_fd);
    return r;
}

void daemon_sandbox_stop(struct daemon_sandbox *s)
{
    if (s->pid > 0)
        child_end(s->pid, false, STOP_GRACE_MS);
    free(s->url);
    free(s->key);
    free(s->gateway_key);
    *s = (struct daemon_sandbox){0};
}
