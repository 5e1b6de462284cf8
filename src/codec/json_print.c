#include "systemefs/codec/json.h"

#include <errno.h>

#include "json_scan.h"

#define INDENT        2 /* blanks a level */
#define ESCAPE_MAX    6 /* \u001f */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/*
 * Output is made of long pieces of the input ("runs") and the few bytes that differ. A printing
 * goes twice over the value with the same code: once with `to` NULL, which only counts, and once
 * into exactly that much room. So a size is never wrong, and no append can fail halfway.
 */
struct printer {
    char *to;        /* or NULL */
    size_t len;      /* bytes so far */
    const char *run; /* input from here to the reader's place is not yet printed */
};

static ALWAYS_INLINE void put(struct printer *w, const char *bytes, size_t len)
{
    if (w->to && len)
        memcpy(w->to + w->len, bytes, len);
    w->len += len;
}

static ALWAYS_INLINE void put_run(struct printer *w, const char *end)
{
    put(w, w->run, (size_t)(end - w->run));
    w->run = end;
}

static ALWAYS_INLINE void put_line(struct printer *w, size_t depth)
{
    if (w->to) {
        w->to[w->len] = '\n';
        memset(w->to + w->len + 1, ' ', depth * INDENT);
    }
    w->len += 1 + depth * INDENT;
}

static size_t print_unicode_escape(uint32_t c, char out[ESCAPE_MAX])
{
    static const char hex[] = "0123456789abcdef";
    memcpy(out, "\\u", 2);
    for (int i = 5; i > 1; i--, c >>= 4)
        out[i] = hex[c & 0xf];
    return ESCAPE_MAX;
}

/* The shortest exact form of a character inside a string; returns its length. */
static size_t print_char(uint32_t c, char out[ESCAPE_MAX])
{
    char letter = 0;
    switch (c) {
    case '"':
    case '\\':
        letter = (char)c;
        break;
    case '\b':
        letter = 'b';
        break;
    case '\f':
        letter = 'f';
        break;
    case '\n':
        letter = 'n';
        break;
    case '\r':
        letter = 'r';
        break;
    case '\t':
        letter = 't';
        break;
    default:
        if (c < 0x20 || utf8_is_surrogate(c))
            return print_unicode_escape(c, out);
        return utf8_encode(c, out);
    }
    out[0] = '\\';
    out[1] = letter;
    return 2;
}

/* Only a short escape other than "\/" is in its shortest form already. */
static inline bool escape_is_shortest(char letter)
{
    return letter != 'u' && letter != '/';
}

/* Over the string that opens at `p`, printing what goes before an escape that changes. */
static ALWAYS_INLINE const char *print_string(struct printer *w, const char *p, const char *end)
{
    p = json_find_quote(p + 1, end);
    while (p < end && *p == '\\') {
        if (escape_is_shortest(p[1])) {
            p += 2;
        } else {
            char bytes[ESCAPE_MAX];
            put_run(w, p);
            put(w, bytes, print_char(json_next_escape(&p, end), bytes));
            w->run = p;
        }
        p = json_find_quote(p, end);
    }
    return p + 1;
}

static ALWAYS_INLINE void print_compact(struct printer *w, struct json v)
{
    const char *p = v.p, *end = v.p + v.len;
    w->run = p;
    while (p < end) {
        if (*p == '"') {
            p = print_string(w, p, end);
        } else if (json_is_space(*p)) {
            put_run(w, p);
            p = json_skip_space(p, end);
            w->run = p;
        } else {
            p++;
        }
    }
    put_run(w, p);
}

static ALWAYS_INLINE void print_pretty(struct printer *w, struct json v)
{
    const char *p = v.p, *end = v.p + v.len;
    size_t depth = 0;
    w->run = p;
    while (p < end) {
        switch (*p) {
        case '"':
            p = print_string(w, p, end);
            break;
        case ' ':
        case '\n':
        case '\r':
        case '\t':
            put_run(w, p);
            p = json_skip_space(p, end);
            w->run = p;
            break;
        case '{':
        case '[':
            put_run(w, ++p);
            p = json_skip_space(p, end);
            w->run = p;
            if (*p == '}' || *p == ']')
                p++;
            else
                put_line(w, ++depth);
            break;
        case '}':
        case ']':
            put_run(w, p++);
            put_line(w, --depth);
            break;
        case ',':
            put_run(w, ++p);
            put_line(w, depth);
            break;
        case ':':
            put_run(w, ++p);
            put(w, " ", 1);
            break;
        default:
            p++;
            break;
        }
    }
    put_run(w, p);
    put(w, "\n", 1);
}

static size_t compact_size(struct json v)
{
    struct printer w = {0};
    print_compact(&w, v);
    return w.len;
}

int json_compact(struct json v, struct buf *out)
{
    /* It never gets longer: where there is room for all of it, it need not be counted first. */
    bool roomy = out->max >= v.len && out->len <= out->max - v.len;
    struct printer w = {.to = buf_reserve(out, roomy ? v.len : compact_size(v))};
    if (!w.to)
        return buf_error(out);
    print_compact(&w, v);
    buf_commit(out, w.len);
    return 0;
}

size_t json_pretty_size(struct json v)
{
    struct printer w = {0};
    print_pretty(&w, v);
    return w.len;
}

int json_pretty(struct json v, struct buf *out)
{
    size_t len = json_pretty_size(v);
    struct printer w = {.to = buf_reserve(out, len)};
    if (!w.to)
        return buf_error(out);
    print_pretty(&w, v);
    buf_commit(out, len);
    return 0;
}

/* Appends what stands between the quotes; false where the bytes are no UTF-8. */
static bool print_quoted(struct printer *w, const char *p, const char *end)
{
    w->run = p;
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == '"' || c == '\\') {
            char bytes[ESCAPE_MAX];
            put_run(w, p);
            put(w, bytes, print_char(c, bytes));
            w->run = ++p;
            continue;
        }
        size_t len = utf8_length(p, end);
        if (!len)
            return false;
        p += len;
    }
    put_run(w, p);
    return true;
}

int json_quote(const char *bytes, size_t len, struct buf *out)
{
    const char *p = len ? bytes : "";
    struct printer size = {.len = 2};
    if (!print_quoted(&size, p, p + len))
        return -EILSEQ;
    struct printer w = {.to = buf_reserve(out, size.len)};
    if (!w.to)
        return buf_error(out);
    put(&w, "\"", 1);
    print_quoted(&w, p, p + len);
    put(&w, "\"", 1);
    buf_commit(out, w.len);
    return 0;
}
