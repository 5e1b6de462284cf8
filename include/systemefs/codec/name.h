/*
 * codec/name: record names <-> file names, reversible.
 *
 * A name from the server is data, and may be anything that JSON can hold. As a file name:
 *   - '/', '%', NUL, control characters (below 0x20, 0x7f, and U+0080..U+009F), and a leading
 *     '.' are written as %XX, one a byte, upper-case hex. So "." and ".." can never appear.
 *     So are bytes that are not UTF-8: a file name always is. An empty name is written "%".
 *   - " (ID)" is put behind it where the caller says so (two records share the name) and where
 *     it would be longer than 255 bytes with its suffix: then it is first cut at a character
 *     (never inside a %XX or a UTF-8 sequence).
 *
 * Layer: codec. Calls base only; no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define NAME_FILE_MAX 255 /* bytes, NAME_MAX of Linux */

/*
 * Writes the file name of `name` + (" (id)" if `with_id` or if cut) + `suffix` (".json" or "")
 * into `out`. `id` is the record's id as text, 1 to 64 letters, digits, '-' and '_' (it is written
 * as it is); `suffix` is a few bytes. Returns true when the name was cut.
 */
bool name_to_file(const char *name, size_t len, const char *id, bool with_id, const char *suffix,
                  char out[NAME_FILE_MAX + 1]);

/* A file name taken apart. */
struct name_parts {
    char name[NAME_FILE_MAX + 1]; /* decoded, without suffix and without " (id)" if `id` is set;
                                   * of a record whose name was cut: the beginning */
    size_t len;                   /* of name; it may hold a NUL */
    char id[65];                  /* what stood in a final " (...)", "" when there is none */
};

/*
 * The reverse. `split_id` says whether a final " (ID)" (letters, digits, '-', '_', 1 to 64 of
 * them) is taken off into `id`; a name that itself ends like that is tried both ways by the
 * caller. False when `file` does not end in `suffix`, or is nothing that name_to_file() writes
 * (a bad %XX, a raw control character or leading dot, an escape that needed none), so that each
 * record has exactly one spelling.
 */
bool name_from_file(const char *file, const char *suffix, bool split_id, struct name_parts *ret);
