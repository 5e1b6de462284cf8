/*
 * The quota's headers, dates and moments.
 *
 * Input: parts; each is an answer: a byte that says what happened before it, then header lines. A
 * driver that always does as quota_when() says must never be held up for longer than a header can
 * say, and never by a quota that nobody told.
 */
#include "fuzz.h"
#include "systemefs/base/macros.h"
#include "systemefs/codec/time.h"
#include "systemefs/net/quota.h"

#include "moment.h"

#define WALL_NS (INT64_C(1767225600) * 1000000000)
/* A second is added where whole seconds are told, another one may be a Date's. */
#define WAIT_MAX_MS (MOMENT_WAIT_MAX_MS + 10000)
#define ANSWERS_MAX 64

static void try_times(const char *text, size_t len)
{
    int64_t ns, again;
    char out[TIME_TEXT_MAX];
    if (time_parse(text, len, &ns)) {
        fuzz_check(ns >= 0);
        time_format(ns, false, out);
        fuzz_check(time_parse(out, strlen(out), &again));
        fuzz_check(again <= ns && ns - again < 1000000000);
        time_format(ns, true, out);
        fuzz_check(time_parse(out, strlen(out), &again) && ns - again < 1000000);
    }
    if (time_parse_http(text, len, &ns))
        fuzz_check(ns >= 0 && ns % 1000000000 == 0);
}

static void take_headers(struct http_headers *h, const char *lines, size_t len)
{
    struct fuzz_input in = {.p = lines, .end = lines + len};
    const char *line;
    size_t n;
    struct moment m;
    while (fuzz_part(&in, '\n', &line, &n)) {
        http_headers_add(h, line, n);
        try_times(line, n);
    }
    const char *const moments[] = {h->retry_after, h->ratelimit_refill};
    for (size_t i = 0; i < ARRAY_SIZE(moments); i++)
        if (moment_parse(moments[i], WALL_NS, &m))
            fuzz_check(m.wait_ms <= MOMENT_WAIT_MAX_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    struct quota q;
    int64_t now = 5000;
    unsigned sent = 0;
    unsigned setting = fuzz_byte(&in);
    quota_init(&q, setting % 101, setting & 0x80 ? 10 : 0);
    const char *part;
    size_t len;
    for (unsigned i = 0; i < ANSWERS_MAX && fuzz_part(&in, FUZZ_SEPARATOR, &part, &len); i++) {
        unsigned what = len ? (unsigned char)*part : 0;
        enum net_priority who = (enum net_priority)(what % NET_PRIORITY_COUNT);
        /* Sends as many as it likes, when it is told to. */
        for (unsigned k = 0; k < 1 + what / 64; k++) {
            int64_t when = quota_when(&q, who, now);
            if (when == QUOTA_ASK_LATER) {
                fuzz_check(sent > 0);
                break;
            }
            fuzz_check(when >= now && when - now <= WAIT_MAX_MS);
            now = when;
            fuzz_check(quota_when(&q, who, now) <= now ||
                       (sent > 0 && quota_when(&q, who, now) == QUOTA_ASK_LATER));
            quota_sent(&q, now);
            sent++;
        }
        if (!sent)
            continue;
        now += (what & 0x0f) * 100;
        struct http_headers h = {0};
        if (len)
            take_headers(&h, part + 1, len - 1);
        static const int statuses[] = {200, 429, 503, 200};
        sent--;
        if ((what & 0x30) == 0x30)
            quota_unsent(&q);
        else
            quota_answered(&q, statuses[what >> 4 & 3], what & 0x08 ? NULL : &h,
                           now - (what & 0x0f) * 100, now, WALL_NS + (now - 5000) * 1000000);
        quota_refresh(&q, now);
        fuzz_check(q.remaining >= -1 && q.limit >= -1);
    }
    /* With no request under way there is always a moment to wait for. */
    for (; sent; sent--)
        quota_unsent(&q);
    for (int who = 0; who < NET_PRIORITY_COUNT; who++) {
        int64_t when = quota_when(&q, (enum net_priority)who, now);
        fuzz_check(when >= now && when - now <= WAIT_MAX_MS);
    }
    return 0;
}
