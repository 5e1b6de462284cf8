/*
 * sandbox/text: the sandbox's own small text work: JSON strings, moments, numbers, UTF-8, escapes.
 *
 * It is written apart from the driver's codec on purpose: a second opinion. If both sides shared
 * one escaper, a mistake in it would cancel out and no test would see it.
 *
 * Memory: functions append to the caller's buffer or work in place. must() and must_dup() end the
 * program when memory runs out; nothing that the sandbox holds is of value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "systemefs/base/buf.h"

/* Appends `s` quoted and escaped as JSON, or null. Bytes over 0x7f pass as they are. */
void text_json(struct buf *out, const char *s);
/* Appends the member `"name":` with a comma before it unless it follows a bracket. */
void text_member(struct buf *out, const char *name);
void text_int(struct buf *out, int64_t value);
void text_bool(struct buf *out, bool value);
/* Appends a quoted moment as the API writes it: "2026-03-14T09:26:53+00:00"; 0 is null. */
void text_time(struct buf *out, int64_t unix_seconds);
/* Appends a quoted moment as the gateway writes it, six fraction digits and Z. */
void text_time_micros(struct buf *out, int64_t unix_seconds, int64_t micros);

/* Whole decimal numbers only: no blanks, no '+', no overflow. */
bool text_parse_int(const char *s, int64_t *ret);
/* A JSON number as a whole one; past 2^53, where doubles have gaps, the nearest end. */
int64_t text_whole(double value);
/* RFC 3339 with an offset or Z; a fraction is read over. */
bool text_parse_time(const char *s, int64_t *ret_unix_seconds);
bool text_utf8_valid(const char *s, size_t len);
/* Characters, not bytes; the limits of the API count characters. */
size_t text_characters(const char *s);
/* Decodes %XX in place, and '+' as a blank where `plus`. A bad escape stays as it is. */
void text_unescape(char *s, bool plus);
/* Compares without regard to the case of ASCII letters in UTF-8 text. */
bool text_same(const char *a, const char *b);
/* True where `part` occurs in `s`, without regard to case. */
bool text_contains(const char *s, const char *part);

void *must(void *p);
char *must_dup(const char *s);
char *must_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
