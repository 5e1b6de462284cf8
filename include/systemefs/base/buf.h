/*
 * base/buf: growable bytes with a cap.
 *
 * Every buffer has a named maximum, so nothing a server or a person sends can grow without
 * bound. The first error sticks: after it every append is a no-op that returns the same error,
 * so a writer may append many times and look once at the end with buf_error().
 *
 * `data` always ends in a NUL that is not counted in `len` (NULL while nothing was appended).
 * Errors: -ENOMEM, -EFBIG (past `max`). Calls nothing but libc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "systemefs/base/macros.h"

struct buf {
    char *data;
    size_t len; /* bytes */

    /* private */
    size_t cap;
    size_t max;
    int error;
};

/* A buffer for at most `max` bytes. Allocates nothing yet. */
void buf_init(struct buf *b, size_t max);
/* Frees the bytes. Accepts a zeroed or finished buffer. */
void buf_finish(struct buf *b);
/* Forgets content and error, keeps the memory. */
void buf_reset(struct buf *b);
/* Shortens to `len` bytes; longer than now is a no-op. */
void buf_truncate(struct buf *b, size_t len);

int buf_append(struct buf *b, const void *bytes, size_t len);
int buf_append_str(struct buf *b, const char *s);
int buf_append_byte(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Makes room for `more` bytes behind `len`; returns where they go, or NULL (error sticks). */
char *buf_reserve(struct buf *b, size_t more);
/* Counts `n` bytes written into reserved room. */
void buf_commit(struct buf *b, size_t n);

/* 0 or the first error. */
int buf_error(const struct buf *b);
/* Moves the bytes (NUL-terminated, never NULL unless out of memory) to the caller, who frees
 * them; the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *ret_len);

/* For CLEANUP(). */
static inline void buf_cleanup(struct buf *b)
{
    buf_finish(b);
}
