#include "systemefs/net/transport.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "systemefs/base/macros.h"

static const char *const method_names[] = {
    [HTTP_GET] = "GET",     [HTTP_POST] = "POST",     [HTTP_PUT] = "PUT",
    [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
};
_Static_assert(ARRAY_SIZE(method_names) == HTTP_METHOD_COUNT, "a name for each method");

const char *http_method_name(enum http_method m)
{
    return m < HTTP_METHOD_COUNT ? method_names[m] : "?";
}

void http_headers_add(struct http_headers *h, const char *line, size_t len)
{
    const struct {
        const char *name;
        char *to;
        size_t size;
    } fields[] = {
        {"content-type", h->content_type, sizeof(h->content_type)},
        {"date", h->date, sizeof(h->date)},
        {"retry-after", h->retry_after, sizeof(h->retry_after)},
        {"x-ratelimit-limit", h->ratelimit_limit, sizeof(h->ratelimit_limit)},
        {"x-ratelimit-remaining", h->ratelimit_remaining, sizeof(h->ratelimit_remaining)},
        {"x-ratelimit-refill", h->ratelimit_refill, sizeof(h->ratelimit_refill)},
        {"www-authenticate", h->www_authenticate, sizeof(h->www_authenticate)},
    };
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return;
    size_t name_len = (size_t)(colon - line);
    const char *value = colon + 1;
    const char *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
        end--;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (strlen(fields[i].name) == name_len && strncasecmp(fields[i].name, line, name_len) == 0)
            snprintf(fields[i].to, fields[i].size, "%.*s", (int)(end - value), value);
    }
}
