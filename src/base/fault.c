#include "systemefs/base/fault.h"

#ifdef SYSTEMEFS_FAULT_POINTS
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fault_point(const char *name)
{
    const char *wanted = getenv("SYSTEMEFS_FAULT_POINT");
    if (wanted && strcmp(wanted, name) == 0)
        raise(SIGKILL);
}

/* What the linker puts in the place of each allocation of ours (-Wl,--wrap), and the real ones. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
int __real_vasprintf(char **ret, const char *fmt, va_list ap);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
int __wrap_asprintf(char **ret, const char *fmt, ...);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap);

/* Counts; true for the one that is to fail. The first thread of all begins alone. */
static bool fails(void)
{
    static long left = -1; /* until it; 0: not wanted, or done */
    static const char told[] = "SYSTEMEFS_FAIL_ALLOCATION: now\n";
    if (__atomic_load_n(&left, __ATOMIC_RELAXED) < 0) {
        const char *wanted = getenv("SYSTEMEFS_FAIL_ALLOCATION");
        __atomic_store_n(&left, wanted ? atol(wanted) : 0, __ATOMIC_RELAXED);
    }
    if (__atomic_load_n(&left, __ATOMIC_RELAXED) == 0 ||
        __atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED) != 0)
        return false;
    if (write(STDERR_FILENO, told, sizeof(told) - 1) < 0)
        abort();
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return fails() ? NULL : __real_strndup(text, len);
}

int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
    return fails() ? -1 : __real_vasprintf(ret, fmt, ap);
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = __wrap_vasprintf(ret, fmt, ap);
    va_end(ap);
    return n;
}
#else
typedef int fault_points_are_off; /* ISO C wants something in each file */
#endif
