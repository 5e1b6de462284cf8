#include "systemefs/codec/name.h"

#include <stdint.h>
#include <string.h>

#include "utf8.h"

#define ID_MAX      64
#define ESCAPED_MAX (3 * UTF8_CHAR_MAX)
#define EMPTY_NAME  "%" /* written by no other name: its '%' is always followed by two digits */

/* What the name itself becomes in front of " (ID)" and suffix. */
struct encoded {
    char text[NAME_FILE_MAX];
    size_t len; /* at most the room that was given */
    bool cut;
};

/*
 * Writes one character of the name and returns its length; `*p` moves on. A byte that is no
 * UTF-8 counts as one character and is escaped, so that every file name is UTF-8.
 */
static size_t encode_char(const char **p, const char *end, bool first, char out[ESCAPED_MAX])
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = utf8_length(*p, end);
    bool raw = len > 0;
    if (raw) {
        uint32_t c = utf8_decode(*p, len);
        bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
        raw = !control && c != '/' && c != '%' && !(first && c == '.');
    } else {
        len = 1;
    }
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)(*p)[i];
        if (raw) {
            out[n++] = (char)byte;
        } else {
            out[n++] = '%';
            out[n++] = hex[byte >> 4];
            out[n++] = hex[byte & 0xf];
        }
    }
    *p += len;
    return n;
}

static void encode(const char *name, size_t len, size_t room, struct encoded *ret)
{
    ret->len = 0;
    ret->cut = false;
    if (!len) {
        memcpy(ret->text, EMPTY_NAME, strlen(EMPTY_NAME));
        ret->len = strlen(EMPTY_NAME);
        return;
    }
    const char *end = name + len;
    for (const char *p = name; p < end;) {
        char bytes[ESCAPED_MAX];
        size_t n = encode_char(&p, end, p == name, bytes);
        if (n > room - ret->len) {
            ret->cut = true;
            return;
        }
        memcpy(ret->text + ret->len, bytes, n);
        ret->len += n;
    }
}

bool name_to_file(const char *name, size_t len, const char *id, bool with_id, const char *suffix,
                  char out[NAME_FILE_MAX + 1])
{
    size_t id_len = strnlen(id, ID_MAX);
    size_t suffix_len = strnlen(suffix, NAME_FILE_MAX - ID_MAX - strlen(" ()") - ESCAPED_MAX);
    size_t room = NAME_FILE_MAX - suffix_len;
    size_t room_with_id = room - id_len - strlen(" ()");

    struct encoded e;
    encode(name, len, with_id ? room_with_id : room, &e);
    if (e.cut && !with_id)
        encode(name, len, room_with_id, &e);

    char *to = out;
    to = mempcpy(to, e.text, e.len);
    if (with_id || e.cut) {
        to = mempcpy(to, " (", 2);
        to = mempcpy(to, id, id_len);
        to = mempcpy(to, ")", 1);
    }
    to = mempcpy(to, suffix, suffix_len);
    *to = '\0';
    return e.cut;
}

static bool is_id_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_';
}

/* Moves a final " (ID)" of the `*len` bytes into `id`; where there is none, `id` is "". */
static void split_off_id(const char *text, size_t *len, char id[ID_MAX + 1])
{
    id[0] = '\0';
    if (*len < strlen(" (x)") || text[*len - 1] != ')')
        return;
    size_t end = *len - 1, start = end;
    while (start > 0 && is_id_char(text[start - 1]))
        start--;
    if (start == end || end - start > ID_MAX || start < 2 || memcmp(text + start - 2, " (", 2) != 0)
        return;
    memcpy(id, text + start, end - start);
    id[end - start] = '\0';
    *len = start - 2;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Takes the escapes out. Whether each was needed is seen by writing the name again. */
static bool decode(const char *text, size_t len, char *out, size_t *ret_len)
{
    size_t n = 0;
    if (len == strlen(EMPTY_NAME) && memcmp(text, EMPTY_NAME, len) == 0)
        len = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            out[n++] = text[i];
            continue;
        }
        int high = len - i > 2 ? hex_value(text[i + 1]) : -1;
        int low = len - i > 2 ? hex_value(text[i + 2]) : -1;
        if (high < 0 || low < 0)
            return false;
        out[n++] = (char)(high << 4 | low);
        i += 2;
    }
    out[n] = '\0';
    *ret_len = n;
    return true;
}

bool name_from_file(const char *file, const char *suffix, bool split_id, struct name_parts *ret)
{
    size_t file_len = strlen(file), suffix_len = strlen(suffix);
    if (file_len > NAME_FILE_MAX || file_len < suffix_len ||
        memcmp(file + file_len - suffix_len, suffix, suffix_len) != 0)
        return false;

    struct name_parts parts = {0};
    size_t len = file_len - suffix_len;
    if (split_id)
        split_off_id(file, &len, parts.id);
    if (!decode(file, len, parts.name, &parts.len))
        return false;

    /* One spelling a record: it must be the one that we would write. */
    char again[NAME_FILE_MAX + 1];
    if (name_to_file(parts.name, parts.len, parts.id, parts.id[0] != '\0', suffix, again) ||
        strcmp(again, file) != 0)
        return false;
    *ret = parts;
    return true;
}
