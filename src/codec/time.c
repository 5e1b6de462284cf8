#include "systemefs/codec/time.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_SECOND   INT64_C(1000000000)
#define SECONDS_PER_DAY INT64_C(86400)

/* A date and a time of day as they are written, before any offset. */
struct civil {
    int year;
    int month; /* 1 to 12 */
    int day;   /* 1 to 31 */
    int hour, minute, second;
};

/* Reads along a text; the first thing that does not fit makes all that follows fail. */
struct reader {
    const char *p, *end;
    bool bad;
};

static int read_digits(struct reader *r, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (r->bad || r->p == r->end || *r->p < '0' || *r->p > '9') {
            r->bad = true;
            return 0;
        }
        n = n * 10 + (*r->p++ - '0');
    }
    return n;
}

/* Reads one of these characters and returns it; NUL when there is none of them. */
static char read_one(struct reader *r, const char *of)
{
    if (r->bad || r->p == r->end || *r->p == '\0' || !strchr(of, *r->p)) {
        r->bad = true;
        return '\0';
    }
    return *r->p++;
}

/* The place of the three letters in `names` ("JanFeb..."), from 0. */
static int read_name(struct reader *r, const char *names)
{
    if (!r->bad && r->end - r->p >= 3) {
        for (int i = 0; names[3 * i]; i++) {
            if (memcmp(r->p, names + 3 * i, 3) == 0) {
                r->p += 3;
                return i;
            }
        }
    }
    r->bad = true;
    return 0;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

static bool civil_ok(const struct civil *c)
{
    return c->month >= 1 && c->month <= 12 && c->day >= 1 &&
           c->day <= days_in_month(c->year, c->month) && c->hour <= 23 && c->minute <= 59 &&
           c->second <= 60;
}

/*
 * Days from 1970-01-01, right from March of year 0 on (earlier: some negative number). A year that
 * begins in March puts the leap day at its end, so that the days before a month follow one formula;
 * 400 years are always 146097 days.
 */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

/* The reverse, from March of year 0 on: all that nanoseconds in an int64_t reach. */
static void civil_from_days(int64_t days, struct civil *ret)
{
    days += 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    ret->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    ret->month = (int)(month < 10 ? month + 3 : month - 9);
    ret->year = (int)(year_of_era + era * 400 + (ret->month <= 2));
}

/* The moment of a checked civil time; false outside of what an int64_t of nanoseconds holds. */
static bool civil_to_ns(const struct civil *c, int64_t offset_seconds, int64_t fraction_ns,
                        int64_t *ret_ns)
{
    int64_t seconds = days_from_civil(c->year, c->month, c->day) * SECONDS_PER_DAY +
                      c->hour * 3600 + c->minute * 60 + c->second - offset_seconds;
    /* Leap seconds are inserted at the end of a UTC day, nowhere else. */
    if (c->second == 60 && seconds % SECONDS_PER_DAY != 0)
        return false;
    int64_t ns;
    if (seconds < 0 || __builtin_mul_overflow(seconds, NS_PER_SECOND, &ns) ||
        __builtin_add_overflow(ns, fraction_ns, &ns))
        return false;
    *ret_ns = ns;
    return true;
}

/* ".5" as nanoseconds; 0 when no fraction is there. */
static int64_t read_fraction(struct reader *r)
{
    if (r->bad || r->p == r->end || *r->p != '.')
        return 0;
    r->p++;
    int64_t ns = read_digits(r, 1);
    int digits = 1;
    for (; digits < 9 && r->p < r->end && *r->p >= '0' && *r->p <= '9'; digits++)
        ns = ns * 10 + read_digits(r, 1);
    for (; digits < 9; digits++)
        ns *= 10;
    return ns;
}

/* "Z" or "+01:00" as seconds east of UTC. */
static int64_t read_offset(struct reader *r)
{
    char sign = read_one(r, "Zz+-");
    if (sign != '+' && sign != '-')
        return 0;
    int hours = read_digits(r, 2);
    read_one(r, ":");
    int minutes = read_digits(r, 2);
    if (hours > 23 || minutes > 59)
        r->bad = true;
    int64_t seconds = hours * 3600 + minutes * 60;
    return sign == '-' ? -seconds : seconds;
}

bool time_parse(const char *text, size_t len, int64_t *ret_ns)
{
    struct reader r = {.p = text, .end = text + len};
    struct civil c = {0};
    c.year = read_digits(&r, 4);
    read_one(&r, "-");
    c.month = read_digits(&r, 2);
    read_one(&r, "-");
    c.day = read_digits(&r, 2);
    read_one(&r, "Tt");
    c.hour = read_digits(&r, 2);
    read_one(&r, ":");
    c.minute = read_digits(&r, 2);
    read_one(&r, ":");
    c.second = read_digits(&r, 2);
    int64_t fraction_ns = read_fraction(&r);
    int64_t offset_seconds = read_offset(&r);
    return !r.bad && r.p == r.end && civil_ok(&c) &&
           civil_to_ns(&c, offset_seconds, fraction_ns, ret_ns);
}

bool time_parse_http(const char *text, size_t len, int64_t *ret_ns)
{
    struct reader r = {.p = text, .end = text + len};
    struct civil c = {0};
    /* The day of the week is not compared with the date: a server that gets it wrong still
     * means the date. */
    read_name(&r, "MonTueWedThuFriSatSun");
    read_one(&r, ",");
    read_one(&r, " ");
    c.day = read_digits(&r, 2);
    read_one(&r, " ");
    c.month = read_name(&r, "JanFebMarAprMayJunJulAugSepOctNovDec") + 1;
    read_one(&r, " ");
    c.year = read_digits(&r, 4);
    read_one(&r, " ");
    c.hour = read_digits(&r, 2);
    read_one(&r, ":");
    c.minute = read_digits(&r, 2);
    read_one(&r, ":");
    c.second = read_digits(&r, 2);
    if (r.bad || r.end - r.p != 4 || memcmp(r.p, " GMT", 4) != 0)
        return false;
    return civil_ok(&c) && civil_to_ns(&c, 0, 0, ret_ns);
}

char *time_format(int64_t ns, bool millis, char out[TIME_TEXT_MAX])
{
    int64_t seconds = ns / NS_PER_SECOND, rest = ns % NS_PER_SECOND;
    if (rest < 0) { /* before 1970: round down, as after it */
        seconds--;
        rest += NS_PER_SECOND;
    }
    int64_t days = seconds / SECONDS_PER_DAY, in_day = seconds % SECONDS_PER_DAY;
    if (in_day < 0) {
        days--;
        in_day += SECONDS_PER_DAY;
    }
    struct civil c = {0};
    civil_from_days(days, &c);
    int n = snprintf(out, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day,
                     (int)(in_day / 3600), (int)(in_day / 60 % 60), (int)(in_day % 60));
    if (millis)
        snprintf(out + n, TIME_TEXT_MAX - (size_t)n, ".%03dZ", (int)(rest / 1000000));
    else
        snprintf(out + n, TIME_TEXT_MAX - (size_t)n, "Z");
    return out;
}
