/*
 * codec/url: escaping, and what may be a base URL.
 *
 * Escaping follows RFC 3986: everything but the unreserved characters (letters, digits, - . _ ~)
 * is percent-encoded, so that a '+' in a date filter arrives as one and an id can never leave
 * its path segment.
 *
 * Layer: codec. Calls base only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "systemefs/base/buf.h"

/* Appends `bytes` escaped, fit for one path segment or one query value. 0 or the buffer's error.*/
int url_escape(const char *bytes, size_t len, struct buf *out);

struct url_info {
    bool https;    /* else plain http */
    bool loopback; /* the host is localhost, in 127.0.0.0/8, or [::1] */
};
/*
 * Looks at a base URL: http or https, a host, an optional port, an optional path, and nothing
 * else (no user:password@, query, fragment, white space or control characters). 0, or -EINVAL and
 * a static text in `why`. "http://localhost.evil.example" is not loopback, nor are spellings that
 * only some resolvers take for it ("127.1", "localhost."). A '/' at the end is the caller's to
 * take off.
 */
int url_check_base(const char *url, struct url_info *ret, const char **why);
