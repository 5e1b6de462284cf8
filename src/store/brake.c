#include "systemefs/store/brake.h"

#include <errno.h>
#include <stdlib.h>

#define NEVER (INT64_MIN / 2)

int brake_init(struct brake *b, unsigned limit)
{
    *b = (struct brake){.limit = limit, .granted_until_ms = NEVER};
    if (!limit)
        return 0;
    b->times = malloc(limit * sizeof(*b->times));
    if (!b->times)
        return -ENOMEM;
    for (unsigned i = 0; i < limit; i++)
        b->times[i] = NEVER;
    return 0;
}

void brake_finish(struct brake *b)
{
    free(b->times);
    *b = (struct brake){0};
}

/* When the oldest of the last `limit` deletes leaves the window. */
static int64_t free_at(const struct brake *b)
{
    return b->times[b->next] + BRAKE_WINDOW_MS;
}

bool brake_allow(struct brake *b, int64_t now_ms)
{
    if (!b->limit)
        return true;
    if (free_at(b) > now_ms) {
        if (!b->granted || b->granted_until_ms <= now_ms)
            return false;
        b->granted--;
        b->granted_until_ms = now_ms + BRAKE_GRANT_MS;
    }
    b->times[b->next] = now_ms;
    b->next = (b->next + 1) % b->limit;
    return true;
}

int64_t brake_wait_s(const struct brake *b, int64_t now_ms)
{
    if (!b->limit || free_at(b) <= now_ms)
        return 0;
    return (free_at(b) - now_ms + 999) / 1000;
}

void brake_grant(struct brake *b, unsigned count, int64_t now_ms)
{
    b->granted = count;
    b->granted_until_ms = now_ms + BRAKE_GRANT_MS;
}
