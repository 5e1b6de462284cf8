#include "systemefs/codec/json.h"

#include <errno.h>

#include "json_scan.h"

/* What may come next. */
enum expect {
    EXPECT_VALUE,
    EXPECT_FIRST_VALUE, /* or ']' */
    EXPECT_NAME,
    EXPECT_FIRST_NAME, /* or '}' */
    EXPECT_NEXT,       /* ',' or the end of what is open */
};

struct scan {
    const char *p, *end;
    /* The objects and arrays around `p`, the innermost in bit 0; 1 is an object. */
    uint64_t open;
    unsigned depth;
    const char *message; /* of the error, which is at `p` */
};
_Static_assert(JSON_DEPTH_MAX == 64, "struct scan has one bit a level");

static bool scan_fail(struct scan *s, const char *at, const char *message)
{
    s->p = at;
    s->message = message;
    return false;
}

/* The first byte at or behind `p` that a string cannot hold as plain ASCII, or `end`. */
static const char *find_special(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t word = json_word(p);
        uint64_t control = (word - JSON_ONES * 0x20) & ~word & JSON_HIGHS;
        uint64_t hit = control | (word & JSON_HIGHS) | json_word_equal(word, '"') |
                       json_word_equal(word, '\\');
        if (hit)
            return p + __builtin_ctzll(hit) / 8;
        p += 8;
    }
    while (p < end && *p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

static bool scan_escape(struct scan *s)
{
    const char *p = s->p;
    if (s->end - p < 2)
        return scan_fail(s, p, "the text ends inside a string");
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        s->p += 2;
        return true;
    case 'u':
        for (int i = 2; i < 6; i++) {
            if (s->end - p <= i)
                return scan_fail(s, p, "the text ends inside a string");
            if (json_hex_digit(p[i]) < 0)
                return scan_fail(s, p, "expected four hex digits after '\\u'");
        }
        s->p += 6;
        return true;
    default:
        return scan_fail(s, p, "unknown escape in a string (a backslash is written '\\\\')");
    }
}

static bool scan_string(struct scan *s)
{
    const char *start = s->p;
    s->p++;
    for (;;) {
        s->p = find_special(s->p, s->end);
        if (s->p == s->end)
            return scan_fail(s, start, "the string is not closed");
        unsigned char c = (unsigned char)*s->p;
        if (c == '"') {
            s->p++;
            return true;
        }
        if (c == '\\') {
            if (!scan_escape(s))
                return false;
        } else if (c < 0x20) {
            return scan_fail(s, s->p,
                             c == '\n' ? "line break inside a string (write it as '\\n')"
                                       : "control character inside a string");
        } else {
            size_t len = utf8_length(s->p, s->end);
            if (!len)
                return scan_fail(s, s->p, "not UTF-8");
            s->p += len;
        }
    }
}

static bool is_digit(const struct scan *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static bool scan_digits(struct scan *s)
{
    if (!is_digit(s))
        return scan_fail(s, s->p, "expected a digit");
    while (is_digit(s))
        s->p++;
    return true;
}

static bool scan_number(struct scan *s)
{
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0') {
        s->p++;
        if (is_digit(s))
            return scan_fail(s, s->p - 1, "a number does not start with 0");
    } else if (!scan_digits(s)) {
        return false;
    }
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (!scan_digits(s))
            return false;
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word, size_t len)
{
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return scan_fail(s, s->p, "expected a value");
    s->p += len;
    return true;
}

static bool scan_open(struct scan *s, bool object)
{
    if (s->depth == JSON_DEPTH_MAX)
        return scan_fail(s, s->p, "more than 64 objects and arrays inside each other");
    s->open = s->open << 1 | object;
    s->depth++;
    s->p++;
    return true;
}

static void scan_close(struct scan *s)
{
    s->open >>= 1;
    s->depth--;
    s->p++;
}

static bool scan_value(struct scan *s, enum expect *expect)
{
    *expect = EXPECT_NEXT;
    switch (*s->p) {
    case '"':
        return scan_string(s);
    case '{':
        *expect = EXPECT_FIRST_NAME;
        return scan_open(s, true);
    case '[':
        *expect = EXPECT_FIRST_VALUE;
        return scan_open(s, false);
    case 't':
        return scan_word(s, "true", 4);
    case 'f':
        return scan_word(s, "false", 5);
    case 'n':
        return scan_word(s, "null", 4);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return scan_number(s);
    case '}':
    case ']':
        return scan_fail(s, s->p, "expected a value (a comma or colon before it is one too many)");
    default:
        return scan_fail(s, s->p, "expected a value");
    }
}

static bool scan_name(struct scan *s)
{
    if (*s->p != '"')
        return scan_fail(s, s->p,
                         *s->p == '}'
                             ? "expected a member name (the comma before '}' is one too many)"
                             : "expected a member name in double quotes");
    if (!scan_string(s))
        return false;
    s->p = json_skip_space(s->p, s->end);
    if (s->p == s->end || *s->p != ':')
        return scan_fail(s, s->p, "expected ':'");
    s->p++;
    return true;
}

static bool scan_next(struct scan *s, enum expect *expect)
{
    bool object = s->open & 1;
    if (s->depth == 0)
        return scan_fail(s, s->p, "expected the end of the text");
    if (*s->p == ',') {
        *expect = object ? EXPECT_NAME : EXPECT_VALUE;
        s->p++;
        return true;
    }
    if (*s->p == (object ? '}' : ']')) {
        scan_close(s);
        return true;
    }
    return scan_fail(s, s->p, object ? "expected ',' or '}'" : "expected ',' or ']'");
}

static bool scan_end(struct scan *s, enum expect expect)
{
    if (expect == EXPECT_NEXT && s->depth == 0)
        return true;
    if (s->depth == 0)
        return scan_fail(s, s->p, "the text is empty");
    return scan_fail(s, s->p,
                     s->open & 1 ? "the text ends inside an object"
                                 : "the text ends inside an array");
}

static bool scan_text(struct scan *s)
{
    enum expect expect = EXPECT_VALUE;
    if (s->end - s->p >= 3 && memcmp(s->p, "\xef\xbb\xbf", 3) == 0)
        return scan_fail(s, s->p, "a byte order mark is not part of JSON");
    for (;;) {
        s->p = json_skip_space(s->p, s->end);
        if (s->p == s->end)
            return scan_end(s, expect);
        bool ok;
        switch (expect) {
        case EXPECT_FIRST_NAME:
            if (*s->p == '}') {
                scan_close(s);
                expect = EXPECT_NEXT;
                continue;
            }
            FALLTHROUGH;
        case EXPECT_NAME:
            ok = scan_name(s);
            expect = EXPECT_VALUE;
            break;
        case EXPECT_FIRST_VALUE:
            if (*s->p == ']') {
                scan_close(s);
                expect = EXPECT_NEXT;
                continue;
            }
            FALLTHROUGH;
        case EXPECT_VALUE:
            ok = scan_value(s, &expect);
            break;
        case EXPECT_NEXT:
        default:
            ok = scan_next(s, &expect);
            break;
        }
        if (!ok)
            return false;
    }
}

static struct json_error locate(const char *text, const struct scan *s)
{
    struct json_error e = {.message = s->message, .offset = (size_t)(s->p - text), .line = 1};
    const char *line = text;
    for (const char *p = text; p < s->p; p++) {
        if (*p == '\n') {
            e.line++;
            line = p + 1;
        }
    }
    e.column = (unsigned)(s->p - line) + 1;
    return e;
}

int json_check(const char *text, size_t len, struct json *ret, struct json_error *err)
{
    if (!len)
        text = ""; /* an empty buffer has no bytes to point at */
    struct scan s = {.p = text, .end = text + len};
    if (!scan_text(&s)) {
        if (err)
            *err = locate(text, &s);
        return -EBADMSG;
    }
    const char *start = json_skip_space(text, s.end);
    const char *end = s.end;
    while (json_is_space(end[-1]))
        end--;
    *ret = (struct json){.p = start, .len = (size_t)(end - start)};
    return 0;
}
