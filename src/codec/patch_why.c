#include "patch_why.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json_compare.h"
#include "utf8.h"

#define CUT        "..."
#define ESCAPE_MAX 6 /* \u001f */

_Static_assert(3 * QUOTE_MAX + 128 <= PATCH_WHY_MAX, "a sentence with three names has to fit");

/* What a terminal would obey, what would end the line, and what is no UTF-8. */
static bool is_unprintable(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 ||
           utf8_is_surrogate(c);
}

static size_t quote_char(uint32_t c, char out[ESCAPE_MAX + 1])
{
    if (is_unprintable(c))
        return (size_t)snprintf(out, ESCAPE_MAX + 1, "\\u%04x", (unsigned)c);
    size_t n = 0;
    if (c == '"' || c == '\\')
        out[n++] = '\\';
    return n + utf8_encode(c, out + n);
}

struct patch_quote patch_quote(struct json v)
{
    struct patch_quote quote = {.text = "\""};
    const size_t end_max = sizeof(quote.text) - sizeof("\"");
    struct json rest = json_inside(v);
    size_t len = 1, cut = 1; /* `cut`: where "..." still has its place */
    while (rest.len) {
        char bytes[ESCAPE_MAX + 1];
        size_t n = quote_char(json_take_char(&rest), bytes);
        if (len + n > end_max) {
            len = cut + strlen(CUT);
            memcpy(quote.text + cut, CUT, strlen(CUT));
            break;
        }
        memcpy(quote.text + len, bytes, n);
        len += n;
        if (len + strlen(CUT) <= end_max)
            cut = len;
    }
    memcpy(quote.text + len, "\"", sizeof("\""));
    return quote;
}

int patch_fail(char *why, int error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, PATCH_WHY_MAX, fmt, ap);
    va_end(ap);
    return error;
}

static bool is_typo(const char *a, size_t a_len, const char *b, size_t b_len)
{
    while (a_len && b_len && *a == *b) {
        a++, a_len--;
        b++, b_len--;
    }
    while (a_len && b_len && a[a_len - 1] == b[b_len - 1]) {
        a_len--;
        b_len--;
    }
    bool swapped = a_len == 2 && b_len == 2 && a[0] == b[1] && a[1] == b[0];
    return swapped || (a_len <= 1 && b_len <= 1);
}

const struct patch_member *patch_meant(const struct patch_member *members, struct json name)
{
    struct json in = json_inside(name);
    for (const struct patch_member *m = members; m->name; m++)
        if (is_typo(in.p, in.len, m->name, strlen(m->name)))
            return m;
    return NULL;
}
