#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void *must(void *p)
{
    if (!p) {
        fputs("systemefs-sandbox: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

char *must_dup(const char *s)
{
    return must(strdup(s));
}

char *must_printf(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return must(n < 0 ? NULL : s);
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

void text_json(struct buf *out, const char *s)
{
    if (!s) {
        buf_append(out, "null", 4);
        return;
    }
    buf_append_byte(out, '"');
    while (*s) {
        const char *run = s;
        while (*s && plain((unsigned char)*s))
            s++;
        buf_append(out, run, (size_t)(s - run));
        if (!*s)
            break;
        if (*s == '"' || *s == '\\')
            buf_append(out, (char[]){'\\', *s}, 2);
        else if (*s == '\n')
            buf_append(out, "\\n", 2);
        else
            buf_printf(out, "\\u%04x", (unsigned char)*s);
        s++;
    }
    buf_append_byte(out, '"');
}

void text_member(struct buf *out, const char *name)
{
    char last = out->len ? out->data[out->len - 1] : '{';
    if (last != '{' && last != '[')
        buf_append_byte(out, ',');
    buf_append_byte(out, '"');
    buf_append_str(out, name);
    buf_append(out, "\":", 2);
}

/* By hand, as a page of contacts holds hundreds of numbers and dates; printf would be what is
 * measured. */
void text_int(struct buf *out, int64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        digits[--at] = '-';
    buf_append(out, digits + at, sizeof(digits) - at);
}

void text_bool(struct buf *out, bool value)
{
    buf_append_str(out, value ? "true" : "false");
}

static void put(char *to, int64_t value, int digits)
{
    while (digits-- > 0) {
        to[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Days since 1970 <-> civil date; Howard Hinnant's algorithm, years from 1970 on. */
static void civil(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + era * 400 + (*month <= 2);
}

static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, yoe = year % 400;
    int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* Writes the 19 characters 2026-03-14T09:26:53. */
static void put_moment(char *to, int64_t seconds)
{
    int64_t year, month, day, rest = seconds % 86400;
    civil(seconds / 86400, &year, &month, &day);
    memcpy(to, "0000-00-00T00:00:00", 19);
    put(to, year, 4);
    put(to + 5, month, 2);
    put(to + 8, day, 2);
    put(to + 11, rest / 3600, 2);
    put(to + 14, rest / 60 % 60, 2);
    put(to + 17, rest % 60, 2);
}

void text_time(struct buf *out, int64_t unix_seconds)
{
    if (!unix_seconds) {
        text_json(out, NULL);
        return;
    }
    char text[] = "\"0000-00-00T00:00:00+00:00\"";
    put_moment(text + 1, unix_seconds);
    buf_append(out, text, sizeof(text) - 1);
}

void text_time_micros(struct buf *out, int64_t unix_seconds, int64_t micros)
{
    char text[] = "\"0000-00-00T00:00:00.000000Z\"";
    put_moment(text + 1, unix_seconds);
    put(text + 21, micros, 6);
    buf_append(out, text, sizeof(text) - 1);
}

bool text_parse_int(const char *s, int64_t *ret)
{
    const char *digits = *s == '-' ? s + 1 : s;
    if (!*digits || digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    int64_t value = strtoll(s, NULL, 10);
    if (errno)
        return false;
    *ret = value;
    return true;
}

int64_t text_whole(double value)
{
    const double end = 9007199254740992.0;
    return (int64_t)(value > end ? end : value < -end ? -end : value);
}

/* Reads exactly `count` digits and moves on. */
static bool take(const char **s, int count, int64_t *ret)
{
    *ret = 0;
    for (; count > 0; count--, (*s)++) {
        if (**s < '0' || **s > '9')
            return false;
        *ret = *ret * 10 + (**s - '0');
    }
    return true;
}

static bool take_byte(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

bool text_parse_time(const char *s, int64_t *ret_unix_seconds)
{
    int64_t year, month, day, hour, minute, second, offset = 0;
    if (!take(&s, 4, &year) || !take_byte(&s, '-') || !take(&s, 2, &month) || !take_byte(&s, '-') ||
        !take(&s, 2, &day) || !take_byte(&s, 'T') || !take(&s, 2, &hour) || !take_byte(&s, ':') ||
        !take(&s, 2, &minute) || !take_byte(&s, ':') || !take(&s, 2, &second))
        return false;
    if (take_byte(&s, '.')) {
        if (*s < '0' || *s > '9')
            return false;
        s += strspn(s, "0123456789");
    }
    if (*s == '+' || *s == '-') {
        int64_t sign = *s++ == '+' ? 1 : -1, hours, minutes;
        if (!take(&s, 2, &hours) || !take_byte(&s, ':') || !take(&s, 2, &minutes))
            return false;
        offset = sign * (hours * 3600 + minutes * 60);
    } else if (!take_byte(&s, 'Z')) {
        return false;
    }
    if (*s || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    *ret_unix_seconds =
        days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    return true;
}

bool text_utf8_valid(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s, *end = p + len;
    while (p < end) {
        if (*p < 0x80) {
            p++;
            continue;
        }
        int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
        uint32_t code = *p & (0x3fU >> more);
        if (*p < 0xc2 || *p > 0xf4 || end - p <= more)
            return false;
        for (int i = 1; i <= more; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (p[i] & 0x3fU);
        }
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
        p += more + 1;
    }
    return true;
}

size_t text_characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void text_unescape(char *s, bool plus)
{
    char *to = s;
    for (; *s; s++) {
        int high = *s == '%' ? hex(s[1]) : -1;
        int low = high >= 0 ? hex(s[2]) : -1;
        if (low >= 0 && (high || low)) {
            *to++ = (char)(high * 16 + low);
            s += 2;
        } else {
            *to++ = plus && *s == '+' ? ' ' : *s;
        }
    }
    *to = '\0';
}

bool text_same(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

bool text_contains(const char *s, const char *part)
{
    return strcasestr(s, part) != NULL;
}
