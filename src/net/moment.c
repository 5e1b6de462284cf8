#include "moment.h"

#include <string.h>

#include "systemefs/base/macros.h"
#include "systemefs/codec/time.h"

#define MS_NS 1000000LL
/* A Date has whole seconds, and is as old as its answer took to arrive. */
#define CLOCK_SLACK_NS 2000000000LL

/* Digits, and at most one fraction, as thousandths. */
static bool parse_milli(const char *p, size_t len, int64_t *ret, bool *ret_whole)
{
    int64_t value = 0;
    int64_t unit = 1000; /* of the digit before */
    bool fraction = false;

    if (len == 0 || len > 24 || p[0] == '.' || p[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (p[i] < '0' || p[i] > '9')
            return false;
        int digit = p[i] - '0';
        if (fraction) {
            unit /= 10;
            value += digit * unit;
        } else {
            if (value > INT64_MAX / 100)
                return false;
            value = value * 10 + digit * 1000;
        }
    }
    *ret = value;
    *ret_whole = !fraction;
    return true;
}

bool moment_parse(const char *text, int64_t now_wall_ns, struct moment *ret)
{
    size_t len = strlen(text);
    while (len > 0 && (text[0] == ' ' || text[0] == '\t')) {
        text++;
        len--;
    }
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;

    int64_t now_ms = now_wall_ns / MS_NS;
    int64_t milli, ns;
    bool whole;
    int64_t wait;
    bool relative = false;
    if (parse_milli(text, len, &milli, &whole)) {
        int64_t units = milli / 1000;
        if (units < 100000000LL) {
            wait = milli;
            relative = true;
        } else if (units >= 1000000000LL && units < 100000000000LL) {
            wait = milli - now_ms;
        } else if (units >= 100000000000LL && units < 100000000000000LL) {
            wait = units - now_ms;
            whole = false;
        } else {
            return false;
        }
    } else if (time_parse_http(text, len, &ns)) {
        wait = ns / MS_NS - now_ms;
        whole = true;
    } else if (time_parse(text, len, &ns)) {
        wait = ns / MS_NS - now_ms;
        whole = ns % 1000000000LL == 0;
    } else {
        return false;
    }
    *ret = (struct moment){
        .wait_ms = MIN(wait, MOMENT_WAIT_MAX_MS),
        .whole = whole,
        .relative = relative,
    };
    return true;
}

int64_t moment_server_now(const struct http_headers *headers, int64_t wall_ns)
{
    int64_t date;
    if (!time_parse_http(headers->date, strlen(headers->date), &date))
        return wall_ns;
    int64_t off = wall_ns - date;
    return off > CLOCK_SLACK_NS || off < -CLOCK_SLACK_NS ? date : wall_ns;
}
