/*
 * codec/utf8: one character at a time (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF). For the files of codec only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_CHAR_MAX 4 /* bytes */

static inline bool utf8_is_high_surrogate(uint32_t c)
{
    return c >= 0xd800 && c <= 0xdbff;
}

static inline bool utf8_is_low_surrogate(uint32_t c)
{
    return c >= 0xdc00 && c <= 0xdfff;
}

static inline bool utf8_is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c <= 0xdfff;
}

/* The length of the well-formed character at `p`, 1 to 4; 0 when there is none. `p` < `end`. */
static inline size_t utf8_length(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t room = (size_t)(end - p);
    unsigned char lead = s[0];
    if (lead < 0x80)
        return 1;
    /* 0xc0, 0xc1: overlong; 0x80..0xbf: a continuation without its lead. */
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    size_t len = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (room < len)
        return 0;
    /* Only the second byte's range depends on the lead. */
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* The character of the `len` bytes that utf8_length() found. */
static inline uint32_t utf8_decode(const char *p, size_t len)
{
    const unsigned char *s = (const unsigned char *)p;
    if (len == 1)
        return s[0];
    uint32_t c = s[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (s[i] & 0x3fU);
    return c;
}

/* Writes the character and returns its length. A surrogate becomes the three bytes that no valid
 * text holds; the caller looks whether it wants that. */
static inline size_t utf8_encode(uint32_t c, char out[UTF8_CHAR_MAX])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00U >> len & 0xff) | c);
    return len;
}
