#include "systemefs/net/retry.h"

#include "systemefs/base/macros.h"

#include "moment.h"

#define TRIES_MAX         4
#define TRIES_MAX_REFUSED 2
#define BACKOFF_MIN_MS    200
#define BACKOFF_MAX_MS    3200

/* How often an exchange that ended so may be sent; 1: it is final. */
static unsigned tries_allowed(const struct http_response *response)
{
    if (response->failure) {
        if (response->failure == NET_REFUSED)
            return TRIES_MAX_REFUSED;
        return response->failure == NET_LOST ? TRIES_MAX : 1;
    }
    switch (response->status) {
    case 408:
    case 500:
    case 502:
    case 503:
    case 504:
        return TRIES_MAX;
    default:
        return 1;
    }
}

static bool may_repeat(enum http_method method, const struct http_response *response)
{
    return method != HTTP_POST || (response->failure && !response->sent);
}

int64_t retry_after(enum http_method method, unsigned tries, const struct http_response *response,
                    int64_t wall_ns, struct rng *rng)
{
    if (!response->failure && response->status == 429)
        return 0;
    if (tries >= tries_allowed(response) || !may_repeat(method, response))
        return RETRY_NO;

    int64_t wait = BACKOFF_MIN_MS;
    for (unsigned i = 1; i < tries && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    wait = MIN(wait, BACKOFF_MAX_MS);
    wait += (int64_t)rng_below(rng, (uint64_t)wait / 2 + 1) - wait / 4;

    struct moment m;
    if (response->status == 503 && moment_parse(response->headers.retry_after,
                                                moment_server_now(&response->headers, wall_ns), &m))
        wait = MAX(wait, m.wait_ms);
    return wait;
}
