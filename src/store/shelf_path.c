#include "shelf_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "systemefs/base/map.h"

#define HASH_DIGITS 16
#define HASH_LEN    (1 + HASH_DIGITS) /* "~0123456789abcdef" */
#define VERSION_MAX (1U << 30)
#define BEHIND_MAX  (strlen(".1073741824") + strlen(SHELF_REASON))
#define NAME_KEPT   (NAME_MAX - BEHIND_MAX) /* bytes of a name that stays as it is */

static bool ends_in(const char *name, size_t len, const char *end)
{
    size_t end_len = strlen(end);
    return len >= end_len && memcmp(name + len - end_len, end, end_len) == 0;
}

/* How many characters of `set` the name ends in. */
static size_t tail_of(const char *name, size_t len, const char *set)
{
    size_t n = 0;
    while (n < len && strchr(set, name[len - n - 1]))
        n++;
    return n;
}

/* Whether the name is one that we or the disk could have made. */
static bool looks_like_ours(const char *name, size_t len)
{
    size_t digits = tail_of(name, len, "0123456789");
    size_t hex = tail_of(name, len, "0123456789abcdef");
    return name[0] == '.' || ends_in(name, len, SHELF_REASON) ||
           (digits && digits < len && name[len - digits - 1] == '.') ||
           (hex >= HASH_DIGITS && len >= HASH_LEN && name[len - HASH_LEN] == '~');
}

static void append_name(const char *name, size_t len, struct buf *out)
{
    if (len <= NAME_KEPT && !looks_like_ours(name, len)) {
        buf_append(out, name, len);
        return;
    }
    uint64_t hash = hash_bytes(name, len);
    /* What begins with a dot would be on disk and not be seen. */
    for (; len && *name == '.'; len--)
        name++;
    size_t room = NAME_KEPT - HASH_LEN;
    if (len > room) {
        len = room;
        while (len && ((unsigned char)name[len] & 0xc0) == 0x80)
            len--;
    }
    buf_append(out, name, len);
    buf_printf(out, "~%016" PRIx64, hash);
}

int shelf_path(const char *shelf, const char *path, struct buf *out)
{
    buf_append_str(out, shelf);
    size_t before = out->len;
    while (*path) {
        size_t len = strcspn(path, "/");
        if (len) {
            buf_append_byte(out, '/');
            append_name(path, len, out);
        }
        path += len + (path[len] == '/');
    }
    if (buf_error(out))
        return buf_error(out);
    return out->len > before ? 0 : -EINVAL;
}

int shelf_version(const char *base, unsigned n, const char *suffix, struct buf *out)
{
    buf_reset(out);
    return n > 1 ? buf_printf(out, "%s.%u%s", base, n, suffix)
                 : buf_printf(out, "%s%s", base, suffix);
}

/* 1: it is, or its reason is there; 0: it is free; or an error. */
static int is_taken(struct disk *disk, const char *base, unsigned n, struct buf *scratch)
{
    static const char *const suffixes[] = {"", SHELF_REASON};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        struct disk_info info;
        int r = shelf_version(base, n, suffixes[i], scratch);
        if (r == 0)
            r = disk->stat(disk, scratch->data, &info);
        if (r == 0 || r == -ELOOP)
            return 1;
        if (r != -ENOENT)
            return r;
    }
    return 0;
}

int shelf_free_version(struct disk *disk, const char *base, struct buf *out)
{
    unsigned taken = 0, free = 1;
    int r;
    for (; (r = is_taken(disk, base, free, out)) > 0; free *= 2) {
        taken = free;
        if (free == VERSION_MAX)
            return -ENOSPC;
    }
    while (r >= 0 && free - taken > 1) {
        unsigned middle = taken + (free - taken) / 2;
        r = is_taken(disk, base, middle, out);
        if (r > 0)
            taken = middle;
        else if (r == 0)
            free = middle;
    }
    return r < 0 ? r : shelf_version(base, free, "", out);
}

size_t shelf_unversioned(const char *path)
{
    size_t len = strlen(path), digits = tail_of(path, len, "0123456789");
    return digits && digits < len && path[len - digits - 1] == '.' ? len - digits - 1 : len;
}

bool shelf_is_reason(const char *path)
{
    return ends_in(path, strlen(path), SHELF_REASON);
}
