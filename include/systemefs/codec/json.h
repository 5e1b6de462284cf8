/*
 * codec/json: JSON as text that stays text.
 *
 * A record is shown to a person exactly as the API gave it: members in the API's order, numbers
 * digit by digit, nothing dropped. A tree of doubles cannot promise that, and would cost a
 * malloc a member for a million records. So a value is a slice of a checked text, and everything
 * is read from the slice:
 *
 *   json_check()   looks at a whole text once (RFC 8259, valid UTF-8, depth, one value and no
 *                  more) and returns the slice of its value. All other calls take slices that
 *                  come from a checked text, and rely on it.
 *   json_member(), json_iter   walk objects and arrays without allocating.
 *   json_compact(), json_pretty()   print a value in the one form that we store, and the one
 *                  form that people see.
 *
 * Strings are printed in their shortest exact form in both: raw UTF-8, escapes only where RFC
 * 8259 demands them (", \, control characters below 0x20: \b \f \n \r \t or \u00xx), so "\/" and
 * "\u00e9" from the API become "/" and "é". A lone surrogate (\ud800) has no UTF-8: it stays an
 * escape, in lower case. Pretty: two spaces, `"name": value`, an empty object or array as {} or [],
 * and a newline at the end. Numbers are copied.
 *
 * Layer: codec. Calls base only. Slices own nothing and live as long as their text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "systemefs/base/buf.h"

#define JSON_DEPTH_MAX 64 /* objects and arrays inside each other */

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* One value, without white space around it. A zeroed slice means "no value"; to all calls but the
 * printing ones it is a null. */
struct json {
    const char *p;
    size_t len;
};

struct json_error {
    const char *message; /* static, e.g. "expected ',' or '}'" */
    size_t offset;       /* bytes from the start */
    unsigned line;       /* from 1 */
    unsigned column;     /* from 1, in bytes */
};

/*
 * Checks the text. 0, or -EBADMSG with `err` (may be NULL) filled in. `ret` is set only on
 * success. A byte order mark, a trailing comma, a comment, NUL bytes, bad UTF-8 and a second
 * value are errors. Duplicate members are valid JSON and pass; see json_duplicate().
 */
int json_check(const char *text, size_t len, struct json *ret, struct json_error *err);

enum json_type json_type(struct json v);

/* The member of that (plain ASCII) name; the last one where it is there twice. False when it is
 * absent or `object` is none. */
bool json_member(struct json object, const char *name, struct json *ret);
/* The name (a string slice) of a member that an object holds twice, itself or anywhere below it;
 * "a" and "\u0061" are the same name. An object of many members is sorted in memory that is freed
 * again, so the time stays near linear. */
bool json_duplicate(struct json v, struct json *ret_name);

/* Walks an object or an array in order. For an array `name` is a zeroed slice. */
struct json_iter {
    /* private */
    const char *p, *end;
    bool object;
};
/* Any other type gives an empty walk. A copy of the iterator goes on from the same place. */
void json_iter_init(struct json_iter *it, struct json container);
/* False at the end. `name` may be NULL. */
bool json_iter_next(struct json_iter *it, struct json *name, struct json *value);

/* The value as an integer. False for anything but an integer number in range ("1.0", "1e3" and
 * "12" in quotes are none). */
bool json_int64(struct json v, int64_t *ret);
/* True or false into `ret`; false when it is neither. */
bool json_bool(struct json v, bool *ret);
/* Appends the decoded bytes of a string. 0; -EINVAL when it is no string; -EILSEQ when it holds
 * NUL or a lone surrogate, which no C string or file name can hold (nothing is appended);
 * otherwise the buffer's error. */
int json_string(struct json v, struct buf *out);
/* Whether a string slice, decoded, is `s`. */
bool json_string_equals(struct json v, const char *s);

/* Append the printed form. 0 or the buffer's error. */
int json_compact(struct json v, struct buf *out);
int json_pretty(struct json v, struct buf *out);
/* The length of what json_pretty() appends, without writing it. */
size_t json_pretty_size(struct json v);
/* Appends `bytes` as a JSON string with its quotes. 0; -EILSEQ when they are not UTF-8 (nothing is
 * appended); otherwise the buffer's error. */
int json_quote(const char *bytes, size_t len, struct buf *out);
