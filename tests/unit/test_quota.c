#include "systemefs/net/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"

#define T0      1000000LL             /* mono, ms */
#define WALL    1767225600123000000LL /* 2026-01-01T00:00:00.123Z */
#define WALL_MS (WALL / 1000000)

static struct http_headers told(const char *limit, const char *remaining, const char *refill)
{
    struct http_headers h = {.content_type = ""};
    snprintf(h.ratelimit_limit, sizeof(h.ratelimit_limit), "%s", limit);
    snprintf(h.ratelimit_remaining, sizeof(h.ratelimit_remaining), "%s", remaining);
    snprintf(h.ratelimit_refill, sizeof(h.ratelimit_refill), "%s", refill);
    return h;
}

/* One request and its answer, `ms` after T0. */
static void exchange(struct quota *q, const char *limit, const char *remaining, const char *refill,
                     int64_t ms)
{
    struct http_headers h = told(limit, remaining, refill);
    quota_sent(q, T0 + ms);
    quota_answered(q, 200, &h, T0 + ms, T0 + ms, WALL + ms * 1000000);
}

static void test_unknown(void **state UNUSED)
{
    struct quota q;
    struct http_headers none = {.content_type = ""};

    quota_init(&q, 10, 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(quota_when(&q, NET_AHEAD, T0), T0);
        quota_sent(&q, T0);
    }
    for (int i = 0; i < 1000; i++)
        quota_answered(&q, 200, &none, T0, T0, WALL);
    assert_int_equal(quota_when(&q, NET_AHEAD, T0), T0);
    assert_int_equal(q.limit, -1);
    assert_int_equal(q.remaining, -1);
    assert_int_equal(q.refill_ms, -1);
}

static void test_refill_formats(void **state UNUSED)
{
    /* A whole second may have been rounded down, so it counts as one more. */
    static const struct {
        const char *text;
        int64_t wait_ms; /* -1: taken as not told */
    } rows[] = {
        {"12", 13000},
        {"0", 1000},
        {" 12 ", 13000},
        {"12.5", 12500},
        {"0.25", 250},
        {"1767225630", 30000 - 123 + 1000},
        {"1767225630.5", 30500 - 123},
        {"1767225630123", 30000},
        {"2026-01-01T00:00:30Z", 30000 - 123 + 1000},
        {"2026-01-01T00:00:30.250Z", 30250 - 123},
        {"2026-01-01T01:00:30+01:00", 30000 - 123 + 1000},
        {"Thu, 01 Jan 2026 00:00:30 GMT", 30000 - 123 + 1000},
        {"9999999", 31LL * 24 * 3600 * 1000 + 1000},
        {"", -1},
        {"-5", -1},
        {"soon", -1},
        {"12s", -1},
        {"1.2.3", -1},
        {".5", -1},
        {"500000000", -1},               /* 1985, or 15 years from now */
        {"176722563012345678", -1},      /* microseconds or worse */
        {"99999999999999999999999", -1}, /* no number at all */
        {"1600000000", -1},              /* long past: a clock that is wrong */
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct quota q;
        quota_init(&q, 0, 0);
        exchange(&q, "60", "0", rows[i].text, 0);
        int64_t want = rows[i].wait_ms < 0 ? 60000 : rows[i].wait_ms;
        if (quota_when(&q, NET_PERSON, T0) != T0 + want)
            fail_msg("\"%s\": waits %lld ms, not %lld", rows[i].text,
                     (long long)(quota_when(&q, NET_PERSON, T0) - T0), (long long)want);
    }
}

static void test_clock_differs(void **state UNUSED)
{
    /* Our clock is an hour behind the server's: its Date tells. */
    struct quota q;
    struct http_headers h = told("60", "0", "1767229230");
    snprintf(h.date, sizeof(h.date), "Thu, 01 Jan 2026 01:00:10 GMT");
    quota_init(&q, 0, 0);
    quota_sent(&q, T0);
    quota_answered(&q, 200, &h, T0, T0, WALL);
    assert_int_equal(quota_when(&q, NET_PERSON, T0), T0 + 20000 + 1000);

    /* A second apart is rounding and travel: ours is the finer one. */
    snprintf(h.date, sizeof(h.date), "Wed, 31 Dec 2025 23:59:59 GMT");
    snprintf(h.ratelimit_refill, sizeof(h.ratelimit_refill), "1767225630");
    quota_init(&q, 0, 0);
    quota_sent(&q, T0);
    quota_answered(&q, 200, &h, T0, T0, WALL);
    assert_int_equal(quota_when(&q, NET_PERSON, T0), T0 + 30000 - 123 + 1000);
}

static void test_reserve(void **state UNUSED)
{
    static const struct {
        unsigned percent;
        const char *limit, *remaining;
        bool person, listing;
    } rows[] = {
        {10, "60", "7", true, true},    {10, "60", "6", true, false}, {10, "60", "1", true, false},
        {10, "60", "0", false, false},  {0, "60", "1", true, true},   {100, "60", "60", true, true},
        {100, "60", "59", true, false}, {10, "5", "1", true, true},   {50, "", "3", true, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct quota q;
        quota_init(&q, rows[i].percent, 0);
        exchange(&q, rows[i].limit, rows[i].remaining, "30.0", 0);
        assert_int_equal(quota_when(&q, NET_PERSON, T0), rows[i].person ? T0 : T0 + 30000);
        assert_int_equal(quota_when(&q, NET_LISTING, T0), rows[i].listing ? T0 : T0 + 30000);
        assert_int_equal(quota_when(&q, NET_AHEAD, T0), rows[i].listing ? T0 : T0 + 30000);
    }
}

static void test_in_flight(void **state UNUSED)
{
    struct quota q;
    quota_init(&q, 0, 0);
    exchange(&q, "60", "3", "30.0", 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(quota_when(&q, NET_PERSON, T0), T0);
        quota_sent(&q, T0);
    }
    /* Perhaps the server knew these three when it said 3. An answer will tell. */
    assert_true(quota_when(&q, NET_PERSON, T0) == QUOTA_ASK_LATER);
    struct http_headers h = told("60", "2", "30.0");
    quota_answered(&q, 200, &h, T0, T0, WALL);
    assert_true(quota_when(&q, NET_PERSON, T0) == QUOTA_ASK_LATER);
    /* Two never arrived: they are given back. */
    quota_unsent(&q);
    assert_int_equal(quota_when(&q, NET_PERSON, T0), T0);
    /* One was lost on the way: it may have been counted. */
    quota_answered(&q, 0, NULL, T0, T0, WALL);
    assert_int_equal(q.remaining, 1);
    assert_int_equal(quota_when(&q, NET_PERSON, T0), T0);
    /* The server has counted all of them: at the refill and not before. */
    exchange(&q, "60", "0", "30.0", 0);
    assert_int_equal(quota_when(&q, NET_PERSON, T0), T0 + 30000);
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 29999), T0 + 30000);
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 30000), T0 + 30000);
}

static void test_out_of_order(void **state UNUSED)
{
    /* Bug guarded: an answer that was overtaken told 50, and 9 more than allowed were sent. */
    struct quota q;
    quota_init(&q, 0, 0);
    for (int i = 0; i < 3; i++)
        quota_sent(&q, T0);
    struct http_headers late = told("60", "50", "30.0");
    struct http_headers last = told("60", "1", "30.0");
    quota_answered(&q, 200, &last, T0, T0, WALL);
    quota_answered(&q, 200, &late, T0 + 5, T0 + 5, WALL);
    assert_int_equal(q.remaining, 1);
    assert_true(quota_when(&q, NET_PERSON, T0 + 5) == QUOTA_ASK_LATER);
    quota_answered(&q, 200, &late, T0 + 9, T0 + 9, WALL);
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 9), T0 + 9);
}

static void test_next_window(void **state UNUSED)
{
    struct quota q;
    char refill[32];
    quota_init(&q, 0, 0);
    snprintf(refill, sizeof(refill), "%lld", (long long)(WALL_MS + 30000));
    exchange(&q, "60", "0", refill, 0);

    /* Full again at the refill, less what is under way. */
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 30000), T0 + 30000);
    for (int i = 0; i < 60; i++)
        quota_sent(&q, T0 + 30000);
    assert_int_equal(q.limit, 60);
    assert_true(quota_when(&q, NET_PERSON, T0 + 30000) == QUOTA_ASK_LATER);

    /* An answer of the window before says nothing about this one. */
    struct http_headers old = told("60", "0", refill);
    quota_answered(&q, 200, &old, T0 + 30050, T0 + 30050, WALL + 30050 * 1000000LL);
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 30050), T0 + 30050);
    quota_sent(&q, T0 + 30050);

    /* The new window's refill is another one. */
    snprintf(refill, sizeof(refill), "%lld", (long long)(WALL_MS + 90000));
    struct http_headers new = told("60", "59", refill);
    quota_answered(&q, 200, &new, T0 + 30100, T0 + 30100, WALL + 30100 * 1000000LL);
    assert_int_equal(q.remaining, 59);
    assert_int_equal(q.refill_ms, T0 + 90000);

    /* And its numbers are not undone by a straggler of the old one. */
    quota_answered(&q, 200, &old, T0 + 30150, T0 + 30150, WALL + 30150 * 1000000LL);
    assert_int_equal(q.remaining, 59);
    assert_int_equal(q.refill_ms, T0 + 90000);

    struct quota display = q;
    quota_refresh(&display, T0 + 89999);
    assert_int_equal(display.remaining, 59);
    quota_refresh(&display, T0 + 90000);
    assert_int_equal(display.remaining, 60);
    assert_int_equal(display.refill_ms, -1);
}

static void test_window_begins_early(void **state UNUSED)
{
    /* The refill was rounded, and the server is in its new window a little before we thought. */
    struct quota q;
    quota_init(&q, 0, 0);
    exchange(&q, "60", "5", "10", 0); /* to us: 11 s */
    exchange(&q, "60", "59", "10", 10200);
    assert_int_equal(q.remaining, 59);
    assert_int_equal(q.refill_ms, T0 + 10200 + 11000);
    /* But long before the refill, a larger number is an old one: its answer travelled long. */
    exchange(&q, "60", "60", "12", 11000);
    assert_int_equal(q.remaining, 59);
    assert_int_equal(q.refill_ms, T0 + 10200 + 11000);
}

static void test_window_much_shorter_than_told(void **state UNUSED)
{
    /* Bug guarded: the first answers were of a window that ended at once, told as "1", which may
     * be two seconds. The next one was believed only when those were over, and then an overtaken
     * answer of it came as its first. */
    struct quota q;
    quota_init(&q, 0, 0);
    exchange(&q, "20", "18", "1", 0);
    exchange(&q, "20", "17", "5", 50);
    assert_int_equal(q.refill_ms, T0 + 6050);
    exchange(&q, "20", "6", "5", 400);
    exchange(&q, "20", "9", "5", 550);
    assert_int_equal(q.remaining, 6);
}

static void test_numbers_missing(void **state UNUSED)
{
    struct quota q;

    /* Limit and refill, but no remaining: counted here. */
    quota_init(&q, 0, 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(quota_when(&q, NET_PERSON, T0), T0);
        exchange(&q, "5", "", "30.0", 0);
    }
    assert_int_equal(quota_when(&q, NET_PERSON, T0), T0 + 30000);

    /* No refill: a minute. */
    quota_init(&q, 0, 0);
    exchange(&q, "60", "0", "", 0);
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 1000), T0 + 60000);
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 60000), T0 + 60000);
    /* A guess gives way to a word. */
    exchange(&q, "60", "0", "90.0", 1000);
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 1000), T0 + 91000);

    /* Nonsense is nothing. */
    quota_init(&q, 0, 0);
    exchange(&q, "lots", "-3", "30", 0);
    exchange(&q, "0", "", "30", 0);
    assert_int_equal(q.limit, -1);
    assert_int_equal(q.remaining, -1);
    assert_int_equal(quota_when(&q, NET_AHEAD, T0), T0);

    /* An answer without numbers (the gateway's own) changes none. */
    exchange(&q, "60", "9", "30.0", 0);
    exchange(&q, "", "", "", 0);
    assert_int_equal(q.remaining, 9);
}

static void test_429(void **state UNUSED)
{
    static const struct {
        const char *retry_after, *limit, *remaining, *refill;
        int64_t wait_ms;
    } rows[] = {
        {"7", "", "", "", 7000},
        {"7", "60", "0", "12.0", 7000},
        {"Thu, 01 Jan 2026 00:00:09 GMT", "", "", "", 9000 - 123},
        {"", "60", "0", "12.0", 12000},
        {"0", "60", "0", "12.0", 12000},
        {"later", "60", "3", "12.0", 12000},
        {"", "", "", "", 1000},
        {"0", "", "", "", 1000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct quota q;
        struct http_headers h = told(rows[i].limit, rows[i].remaining, rows[i].refill);
        snprintf(h.retry_after, sizeof(h.retry_after), "%s", rows[i].retry_after);
        quota_init(&q, 10, 0);
        quota_sent(&q, T0);
        quota_answered(&q, 429, &h, T0, T0, WALL);
        assert_int_equal(quota_when(&q, NET_PERSON, T0), T0 + rows[i].wait_ms);
        assert_int_equal(quota_when(&q, NET_AHEAD, T0), T0 + rows[i].wait_ms);
        int64_t then = T0 + rows[i].wait_ms;
        assert_int_equal(quota_when(&q, NET_AHEAD, then), then);
    }

    /* The gateway's 429 stops all for its second, and leaves the account's numbers alone. */
    struct quota q;
    struct http_headers h = {.retry_after = "1"};
    quota_init(&q, 10, 0);
    exchange(&q, "60", "40", "30.0", 0);
    quota_sent(&q, T0);
    quota_answered(&q, 429, &h, T0, T0, WALL);
    assert_int_equal(quota_when(&q, NET_PERSON, T0), T0 + 1000);
    assert_int_equal(quota_when(&q, NET_LISTING, T0 + 1000), T0 + 1000);
    assert_int_equal(q.remaining, 40);
}

static void test_pace(void **state UNUSED)
{
    struct quota q;
    quota_init(&q, 0, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(quota_when(&q, NET_PERSON, T0 + i), T0 + i);
        quota_sent(&q, T0 + i);
    }
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 10), T0 + 1020);
    quota_sent(&q, T0 + 1020);
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 1020), T0 + 1021);

    /* In any second at most ten, and over a minute nearly all of them. */
    int64_t sent[1000] = {0};
    size_t n = 0;
    quota_init(&q, 0, 10);
    for (int64_t now = T0; now < T0 + 60000; now++) {
        while (quota_when(&q, NET_AHEAD, now) <= now) {
            quota_sent(&q, now);
            sent[n++] = now;
        }
    }
    for (size_t i = 10; i < n; i++)
        assert_true(sent[i] - sent[i - 10] > 1000);
    assert_in_range(n, 580, 600);
}

/* One request and its answer, `ms` after T0, of a server that tells Unix seconds; `ends` is the
 * one that it tells, after T0's. */
static void unix_exchange(struct quota *q, int remaining, int ends, int64_t ms)
{
    char left[16], refill[32];
    snprintf(left, sizeof(left), "%d", remaining);
    snprintf(refill, sizeof(refill), "%lld", (long long)(WALL_MS / 1000 + ends));
    exchange(q, "60", left, refill, ms);
}

/* When a second begins: WALL is 123 ms after one. */
#define WHOLE(seconds) (T0 + (seconds)*1000 - 123)

static void test_last_one_is_kept(void **state UNUSED)
{
    struct quota q;
    quota_init(&q, 10, 0);
    unix_exchange(&q, 8, 3, 0);
    assert_int_equal(quota_when(&q, NET_LISTING, T0), T0);
    unix_exchange(&q, 7, 3, 10);
    /* One above the reserve is kept; a person may have it, and the reserve. */
    assert_int_equal(quota_when(&q, NET_LISTING, T0 + 10), WHOLE(3));
    assert_int_equal(quota_when(&q, NET_AHEAD, T0 + 10), WHOLE(3));
    assert_int_equal(quota_when(&q, NET_PERSON, T0 + 10), T0 + 10);

    /* At the told second it goes, alone. It is of the old window: a second later then. */
    struct quota old = q;
    assert_int_equal(quota_when(&old, NET_LISTING, WHOLE(3)), WHOLE(3));
    quota_sent(&old, WHOLE(3));
    assert_true(quota_when(&old, NET_LISTING, WHOLE(3)) == QUOTA_ASK_LATER);
    quota_unsent(&old);
    unix_exchange(&old, 6, 3, WHOLE(3) - T0);
    assert_int_equal(quota_when(&old, NET_LISTING, WHOLE(3) + 5), WHOLE(4));
    unix_exchange(&old, 59, 6, WHOLE(4) - T0);
    unix_exchange(&old, 6, 6, WHOLE(4) - T0 + 100);
    assert_int_equal(old.refill_ms, WHOLE(7));

    /* It is of a new one: all go, and the next window begins at its second. */
    unix_exchange(&q, 59, 6, WHOLE(3) - T0 + 20);
    assert_int_equal(quota_when(&q, NET_LISTING, WHOLE(3) + 20), WHOLE(3) + 20);
    unix_exchange(&q, 7, 6, WHOLE(3) - T0 + 90);
    assert_int_equal(quota_when(&q, NET_LISTING, WHOLE(3) + 90), WHOLE(3) + 90);
    unix_exchange(&q, 6, 6, WHOLE(3) - T0 + 100);
    assert_int_equal(quota_when(&q, NET_LISTING, WHOLE(3) + 100), WHOLE(6) + 20);

    /* Nobody asked for a while: it is not known any more. */
    unix_exchange(&q, 59, 600, WHOLE(590) - T0);
    assert_int_equal(q.refill_ms, WHOLE(601));
}

static void test_one_window_of_a_second_later(void **state UNUSED)
{
    /* The refill is only a second later, which may be rounding: what is left tells. */
    struct quota q;
    quota_init(&q, 0, 0);
    unix_exchange(&q, 1, 1, 0);
    assert_int_equal(quota_when(&q, NET_LISTING, T0), WHOLE(1));
    unix_exchange(&q, 59, 2, WHOLE(1) - T0);
    assert_int_equal(q.remaining, 59);
    assert_int_equal(q.refill_ms, WHOLE(2));
    /* Not from one that an answer overtook, though: these two were under way together. */
    quota_init(&q, 0, 0);
    unix_exchange(&q, 3, 1, 0);
    quota_sent(&q, WHOLE(1));
    quota_sent(&q, WHOLE(1));
    unix_exchange(&q, 0, 1, WHOLE(1) - T0 + 5);
    unix_exchange(&q, 2, 1, WHOLE(1) - T0 + 9);
    assert_int_equal(q.remaining, 0);
    assert_int_equal(q.refill_ms, WHOLE(2));
}

static void test_no_learning(void **state UNUSED)
{
    struct quota learned;
    quota_init(&learned, 0, 0);
    unix_exchange(&learned, 1, 3, 0);
    unix_exchange(&learned, 59, 6, WHOLE(3) - T0);
    assert_int_equal(learned.refill_ms, WHOLE(6));

    /* One window, two moments: by chance the first was right. */
    struct quota q = learned;
    unix_exchange(&q, 58, 7, WHOLE(4) - T0);
    unix_exchange(&q, 57, 9, WHOLE(7) - T0);
    assert_int_equal(q.refill_ms, WHOLE(10));

    /* It was too early, and the next ones are not. */
    q = learned;
    assert_int_equal(quota_when(&q, NET_LISTING, WHOLE(6)), WHOLE(6));
    struct http_headers h = told("60", "0", "1767225606");
    snprintf(h.retry_after, sizeof(h.retry_after), "1");
    quota_sent(&q, WHOLE(6));
    quota_answered(&q, 429, &h, WHOLE(6), WHOLE(6), WALL + 5877 * 1000000LL);
    assert_int_equal(quota_when(&q, NET_LISTING, WHOLE(6)), WHOLE(7));
    unix_exchange(&q, 59, 9, WHOLE(7) - T0);
    assert_int_equal(q.refill_ms, WHOLE(10));

    /* Our clock is not the server's. */
    quota_init(&q, 0, 0);
    h = told("60", "1", "1767229203");
    snprintf(h.date, sizeof(h.date), "Thu, 01 Jan 2026 01:00:00 GMT");
    quota_sent(&q, T0);
    quota_answered(&q, 200, &h, T0, T0, WALL);
    assert_int_equal(quota_when(&q, NET_LISTING, T0), T0);
    assert_int_equal(q.refill_ms, T0 + 4000);

    /* With a quota that small, one is not kept; nor where it is for an hour. */
    quota_init(&q, 0, 0);
    unix_exchange(&q, 1, 3600, 0);
    assert_int_equal(quota_when(&q, NET_LISTING, T0), T0);
    quota_init(&q, 0, 0);
    exchange(&q, "9", "1", "1767225603", 0);
    assert_int_equal(quota_when(&q, NET_LISTING, T0), T0);
}

/* Held up by a 429, the last request of a window was told to go when that was over, and by then
 * told to wait for the refill: whether one is kept was judged as of before, not as of that moment.
 */
static void test_moment_holds(void **state UNUSED)
{
    struct quota q;
    struct http_headers none = {.content_type = ""};
    quota_init(&q, 0, 0);
    exchange(&q, "22", "1", "1767225623", 0); /* too far away to keep one, for 877 ms more */
    assert_int_equal(quota_when(&q, NET_LISTING, T0), T0);
    quota_sent(&q, T0);
    quota_answered(&q, 429, &none, T0, T0, WALL);
    for (int who = 0; who < NET_PRIORITY_COUNT; who++) {
        int64_t when = quota_when(&q, (enum net_priority)who, T0);
        assert_int_equal(when, who == NET_PERSON ? T0 + 1000 : WHOLE(23));
        assert_int_equal(quota_when(&q, (enum net_priority)who, when), when);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_refill_formats),
        cmocka_unit_test(test_clock_differs),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_out_of_order),
        cmocka_unit_test(test_next_window),
        cmocka_unit_test(test_window_begins_early),
        cmocka_unit_test(test_window_much_shorter_than_told),
        cmocka_unit_test(test_numbers_missing),
        cmocka_unit_test(test_429),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_last_one_is_kept),
        cmocka_unit_test(test_one_window_of_a_second_later),
        cmocka_unit_test(test_no_learning),
        cmocka_unit_test(test_moment_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
