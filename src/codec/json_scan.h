/*
 * codec/json_scan: what the three files of json share: finding the next byte of interest, and
 * decoding a string character by character. For src/codec/json*.c only.
 *
 * Plain bytes of strings are most of a record, so they are looked at eight at a time: a word is
 * turned into one whose bytes have their top bit set where the byte is interesting ("SWAR"). The
 * borrow of a subtraction can mark bytes after the first interesting one wrongly, never before
 * it, and only the first one counts.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "utf8.h"

#define JSON_ONES  0x0101010101010101ULL
#define JSON_HIGHS 0x8080808080808080ULL

static inline uint64_t json_word(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

static inline uint64_t json_word_equal(uint64_t word, unsigned char byte)
{
    uint64_t x = word ^ JSON_ONES * byte;
    return (x - JSON_ONES) & ~x & JSON_HIGHS;
}

/* The first '"' or '\' at or behind `p`, or `end`: in checked text, the end of a plain run. */
static inline const char *json_find_quote(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t word = json_word(p);
        uint64_t hit = json_word_equal(word, '"') | json_word_equal(word, '\\');
        if (hit)
            return p + __builtin_ctzll(hit) / 8;
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\')
        p++;
    return p;
}

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *json_skip_space(const char *p, const char *end)
{
    while (p < end && json_is_space(*p))
        p++;
    return p;
}

/* Behind the closing quote of the checked string that opens at `p`. */
static inline const char *json_skip_string(const char *p, const char *end)
{
    p = json_find_quote(p + 1, end);
    while (p < end && *p == '\\')
        p = json_find_quote(p + 2, end);
    return p + 1;
}

/* 0 to 15, or -1. */
static inline int json_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four checked hex digits at `p`. */
static inline uint32_t json_hex4(const char *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)json_hex_digit(p[i]);
    return v;
}

/* Decodes the checked escape at `*p` (a '\') and moves behind it; a surrogate pair is one
 * escape. A lone surrogate comes out as it is. */
static inline uint32_t json_next_escape(const char **p, const char *end)
{
    const char *s = *p;
    *p += 2;
    switch (s[1]) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'u':
        break;
    default:
        return (unsigned char)s[1];
    }
    *p += 4;
    uint32_t c = json_hex4(s + 2);
    if (utf8_is_high_surrogate(c) && end - *p >= 6 && s[6] == '\\' && s[7] == 'u') {
        uint32_t low = json_hex4(s + 8);
        if (utf8_is_low_surrogate(low)) {
            *p += 6;
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return c;
}

/* The next character of a checked string's inside. `*p` < `end`. */
static inline uint32_t json_next_char(const char **p, const char *end)
{
    if (**p == '\\')
        return json_next_escape(p, end);
    size_t len = utf8_length(*p, end);
    uint32_t c = utf8_decode(*p, len);
    *p += len;
    return c;
}
