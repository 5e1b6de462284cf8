/* base/macros: the few macros that every layer may use. No functions, no state. */
#pragma once

#include <stddef.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

/* The struct that embeds `ptr` as its `member`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Runs `fn(&variable)` when the variable leaves its scope (gcc and clang). */
#define CLEANUP(fn)          __attribute__((cleanup(fn)))
#define PRINTF_LIKE(fmt, va) __attribute__((format(printf, fmt, va)))
#define UNUSED               __attribute__((unused))
#define FALLTHROUGH          __attribute__((fallthrough))
