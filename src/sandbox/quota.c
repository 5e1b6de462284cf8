#include "quota.h"

#include "systemefs/base/macros.h"
#include "options.h"
#include "text.h"

void quota_init(struct quota *q, const struct clock *clock, int64_t limit, int64_t seconds,
                int format)
{
    *q = (struct quota){.clock = clock, .limit = limit, .seconds = seconds, .format = format};
    pthread_mutex_init(&q->lock, NULL);
}

void quota_finish(struct quota *q)
{
    pthread_mutex_destroy(&q->lock);
}

void quota_set(struct quota *q, int64_t limit, int64_t seconds, int64_t remaining)
{
    pthread_mutex_lock(&q->lock);
    q->limit = limit;
    q->seconds = seconds;
    q->window = clock_wall_ns(q->clock) / 1000000000 / seconds;
    q->used = remaining < 0 ? 0 : MAX(limit - remaining, 0);
    pthread_mutex_unlock(&q->lock);
}

static void refill_header(const struct quota *q, struct response *res, int64_t now, int64_t refill)
{
    struct buf text;
    switch ((enum refill_format)q->format) {
    case REFILL_UNIX:
        response_header_int(res, "X-RateLimit-Refill", refill);
        break;
    case REFILL_MS:
        response_header_int(res, "X-RateLimit-Refill", refill * 1000);
        break;
    case REFILL_SECONDS:
        response_header_int(res, "X-RateLimit-Refill", refill - now);
        break;
    case REFILL_DATE:
        buf_init(&text, 64);
        text_time(&text, refill);
        buf_truncate(&text, text.len - 1); /* without its quotes */
        response_header(res, "X-RateLimit-Refill", text.data + 1);
        buf_finish(&text);
        break;
    }
}

bool quota_take(struct quota *q, struct response *headers, int64_t *ret_wait)
{
    pthread_mutex_lock(&q->lock);
    bool allowed = true;
    if (q->limit) {
        int64_t now = clock_wall_ns(q->clock) / 1000000000, window = now / q->seconds;
        if (window != q->window) {
            q->window = window;
            q->used = 0;
        }
        allowed = q->used < q->limit;
        q->used += allowed;
        int64_t refill = (window + 1) * q->seconds;
        *ret_wait = refill - now;
        if (headers) {
            response_header_int(headers, "X-RateLimit-Limit", q->limit);
            response_header_int(headers, "X-RateLimit-Remaining", q->limit - q->used);
            refill_header(q, headers, now, refill);
        }
    }
    pthread_mutex_unlock(&q->lock);
    return allowed;
}
