/* codec/time: RFC 3339 and HTTP dates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"
#include "systemefs/base/rng.h"
#include "systemefs/codec/time.h"

#define SECOND INT64_C(1000000000)

static void test_parse(void **state UNUSED)
{
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-03-14T09:26:53+00:00", 1773480413 * SECOND},
        {"2026-03-14t09:26:53z", 1773480413 * SECOND},
        {"2026-03-14T09:26:53-00:00", 1773480413 * SECOND},
        {"2026-03-14T10:56:53+01:30", 1773480413 * SECOND},
        {"2026-03-13T22:26:53-11:00", 1773480413 * SECOND},
        {"2025-12-08T07:20:53.488460Z", 1765178453 * SECOND + 488460000},
        {"1970-01-01T00:00:00.000000001Z", 1},
        {"1970-01-01T00:00:00.5+00:00", SECOND / 2},
        {"1970-01-01T23:59:00+23:59", 0},
        {"1969-12-31T23:00:00-01:00", 0},
        {"2000-02-29T00:00:00Z", 951782400 * SECOND},
        {"2024-02-29T23:59:59Z", 1709251199 * SECOND},
        {"2016-12-31T23:59:60Z", 1483228800 * SECOND},
        {"2016-12-31T15:59:60.25-08:00", 1483228800 * SECOND + SECOND / 4},
        {"2038-01-19T03:14:08Z", 2147483648 * SECOND},
        {"2262-04-11T23:47:16.854775807Z", INT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t ns = -1;
        if (!time_parse(cases[i].text, strlen(cases[i].text), &ns) || ns != cases[i].ns)
            fail_msg("%s: %lld", cases[i].text, (long long)ns);
    }
}

static void test_parse_bad(void **state UNUSED)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-03-14",
        "2026-03-14T09:26:53",
        "2026-03-14T09:26:53 ",
        "2026-03-14 09:26:53Z",
        " 2026-03-14T09:26:53Z",
        "2026-03-14T09:26:53ZZ",
        "2026-03-14T09:26:53Z ",
        "2026-03-14T09:26Z",
        "2026-3-14T09:26:53Z",
        "26-03-14T09:26:53Z",
        "+2026-03-14T09:26:53Z",
        "20260314T092653Z",
        "2026-00-14T09:26:53Z",
        "2026-13-14T09:26:53Z",
        "2026-03-00T09:26:53Z",
        "2026-03-32T09:26:53Z",
        "2026-04-31T09:26:53Z",
        "2026-02-29T09:26:53Z",
        "2100-02-29T09:26:53Z",
        "2026-03-14T24:00:00Z",
        "2026-03-14T09:60:53Z",
        "2026-03-14T09:26:61Z",
        "2026-03-14T09:26:60Z", /* no leap second in the middle of a day */
        "2026-03-14T23:59:60+01:00",
        "2026-03-14T09:26:53.Z",
        "2026-03-14T09:26:53,5Z",
        "2026-03-14T09:26:53.1234567890Z",
        "2026-03-14T09:26:53.",
        "2026-03-14T09:26:53+",
        "2026-03-14T09:26:53+0100",
        "2026-03-14T09:26:53+01",
        "2026-03-14T09:26:53+24:00",
        "2026-03-14T09:26:53+01:60",
        "2026-03-14T09:26:5aZ",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "0000-01-01T00:00:00Z",
        "2262-04-11T23:47:16.854775808Z",
        "2262-04-11T23:47:17Z",
        "9999-12-31T23:59:59Z",
        "null",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int64_t ns = 77;
        if (time_parse(texts[i], strlen(texts[i]), &ns) || ns != 77)
            fail_msg("%s was taken", texts[i]);
    }
    int64_t ns;
    assert_false(time_parse("2026-03-14T09:26:53\0", 20, &ns));
    /* Every prefix of a good one, in text that goes on. */
    const char *good = "2026-03-14T09:26:53.123+00:00";
    for (size_t len = 0; len < strlen(good); len++)
        assert_false(time_parse(good, len, &ns));
}

static void test_format(void **state UNUSED)
{
    static const struct {
        int64_t ns;
        const char *seconds, *millis;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"},
        {1773480413 * SECOND + 120999999, "2026-03-14T09:26:53Z", "2026-03-14T09:26:53.120Z"},
        {951782399 * SECOND, "2000-02-28T23:59:59Z", "2000-02-28T23:59:59.000Z"},
        {951782400 * SECOND, "2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999Z"},
        {INT64_MAX, "2262-04-11T23:47:16Z", "2262-04-11T23:47:16.854Z"},
        {INT64_MIN, "1677-09-21T00:12:43Z", "1677-09-21T00:12:43.145Z"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char out[TIME_TEXT_MAX];
        assert_ptr_equal(time_format(cases[i].ns, false, out), out);
        assert_string_equal(out, cases[i].seconds);
        assert_string_equal(time_format(cases[i].ns, true, out), cases[i].millis);
    }
}

/* Against libc, and back. */
static void test_round_trip(void **state UNUSED)
{
    struct rng rng = {.state = 1};
    for (int i = 0; i < 100000; i++) {
        int64_t ns = (int64_t)(rng_next(&rng) >> 1), back = 0;
        time_t seconds = ns / SECOND;
        char out[TIME_TEXT_MAX], expected[TIME_TEXT_MAX];
        struct tm tm;
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
        assert_string_equal(time_format(ns, false, out), expected);
        assert_true(time_parse(out, strlen(out), &back));
        assert_true(back == ns / SECOND * SECOND);
        time_format(ns, true, out);
        assert_true(time_parse(out, strlen(out), &back));
        assert_true(back == ns / 1000000 * 1000000);
        strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_true(time_parse_http(expected, strlen(expected), &back));
        assert_true(back == ns / SECOND * SECOND);
    }
}

static void test_http(void **state UNUSED)
{
    int64_t ns = 0;
    assert_true(time_parse_http("Sun, 06 Nov 1994 08:49:37 GMT", 29, &ns));
    assert_true(ns == 784111777 * SECOND);
    assert_true(time_parse_http("Mon, 06 Nov 1994 08:49:37 GMT", 29, &ns)); /* a wrong day */

    static const char *const bad[] = {
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, 06 Nov 9999 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT", /* the two old forms */
        "Sun Nov  6 08:49:37 1994",
        "120",
    };
    ns = 77;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (time_parse_http(bad[i], strlen(bad[i]), &ns) || ns != 77)
            fail_msg("%s was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),  cmocka_unit_test(test_parse_bad),
        cmocka_unit_test(test_format), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
