/*
 * codec/time: RFC 3339 moments <-> nanoseconds since 1970 (UTC).
 *
 * The API writes 2026-03-14T09:26:53+00:00; the gateway 2025-12-08T07:20:53.488460Z. No libc time
 * zone is ever consulted.
 *
 * Layer: codec. Calls base only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIME_TEXT_MAX 40 /* bytes for time_format(), NUL included */

/* Parses a whole RFC 3339 date-time: 'T' or 't', an offset or 'Z' or 'z', up to 9 fraction digits.
 * The moment must lie between 1970-01-01T00:00:00Z and 2262-04-11T23:47:16.854775807Z, where
 * nanoseconds end. A leap second (":60", only at the end of a UTC day) is the second after. False
 * for anything else. */
bool time_parse(const char *text, size_t len, int64_t *ret_ns);
/* Writes 2026-03-14T09:26:53Z; with `millis` 2026-03-14T09:26:53.120Z; what is finer is cut off.
 * Returns `out`. */
char *time_format(int64_t ns, bool millis, char out[TIME_TEXT_MAX]);
/* An IMF-fixdate of HTTP (RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT"), for headers. The day
 * of the week is not compared with the date. */
bool time_parse_http(const char *text, size_t len, int64_t *ret_ns);
