/* sim: the shortest list of events that still fails. */
#include "shrink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What kind of failure it is: its words without their numbers, but those of errors. */
static const char *next_word(const char *at, bool *ret_number)
{
    *ret_number = at[0] >= '0' && at[0] <= '9';
    return *ret_number ? at + strspn(at, "0123456789") : at + 1;
}

static bool same_kind(const char *a, const char *b)
{
    bool number, other;
    while (*a && *b) {
        const char *to_a = next_word(a, &number), *to_b = next_word(b, &other);
        if (number != other || (!number && *a != *b))
            return false;
        if (*a == '-' && to_a[0] >= '0' && to_a[0] <= '9') {
            size_t n = strspn(to_a, "0123456789");
            if (strncmp(to_a, to_b, n) != 0)
                return false;
        }
        a = to_a;
        b = to_b;
    }
    return !*a && !*b;
}

/* In a process of its own: a run may end in an assertion, or a sanitizer's report. */
static void try_run(const struct plan *plan, const bool *keep, char failure[SHRINK_TEXT])
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static struct sim s;
        close(fds[0]);
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        sim_run(&s, plan, keep, false);
        bool told = write(fds[1], s.failure, strlen(s.failure)) >= 0;
        _exit(told ? 0 : 3);
    }
    close(fds[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(fds[0], failure + len, SHRINK_TEXT - 1 - len)) > 0)
        len += (size_t)n;
    failure[len] = '\0';
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        snprintf(failure, SHRINK_TEXT, "the program ended");
}

size_t shrink(const struct plan *plan, bool *keep, char failure[SHRINK_TEXT])
{
    char got[SHRINK_TEXT];
    bool *less = calloc(plan->count, sizeof(*less));
    assert_non_null(less);
    try_run(plan, keep, failure);
    if (!failure[0]) {
        free(less);
        return 0;
    }
    size_t left = 0;
    for (size_t i = 0; i < plan->count; i++)
        left += keep[i];
    for (size_t chunk = MAX(left / 2, 1);;) {
        bool smaller = false;
        for (size_t at = 0; at < left;) {
            /* Without `chunk` of those that are left, from the `at`-th on. */
            size_t seen = 0, gone = 0;
            for (size_t i = 0; i < plan->count; i++) {
                bool drop = keep[i] && seen >= at && seen < at + chunk;
                less[i] = keep[i] && !drop;
                gone += drop;
                seen += keep[i];
            }
            try_run(plan, less, got);
            if (got[0] && same_kind(failure, got)) {
                memcpy(keep, less, plan->count * sizeof(*keep));
                memcpy(failure, got, SHRINK_TEXT);
                left -= gone;
                smaller = true;
            } else {
                at += chunk;
            }
        }
        if (chunk == 1 && !smaller)
            break;
        chunk = chunk > 1 ? chunk / 2 : 1;
    }
    free(less);
    return left;
}
