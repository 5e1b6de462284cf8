/* What a draft was a change of: bases/HASH, beside drafts/. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/map.h"

#include "shelf_internal.h"

#define LOG_MODULE "shelf"
#include "systemefs/base/log.h"

#define NAME_DIGITS 32                         /* the path's hash, and that of the bytes */
#define NAME_SIZE   (NAME_DIGITS + 1)          /* with its NUL */
#define SWEEP_MAX   ((size_t)4096 * NAME_SIZE) /* with more of them, none is removed */

/* `path` is that of a draft, with or without its number: the same text is the same change. */
static void name_of(const char *path, uint64_t hash, char ret[NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%016" PRIx64 "%016" PRIx64, hash_bytes(path, shelf_unversioned(path)),
             hash);
}

static int place_of(const char *path, uint64_t hash, struct buf *out)
{
    char name[NAME_SIZE];
    name_of(path, hash, name);
    return buf_printf(out, SHELF_BASES "/%s", name);
}

void draft_based_on(struct draft *d, const char *base)
{
    struct buf path CLEANUP(buf_cleanup);
    struct disk *disk = d->shelf->disk;
    shelf_path_init(&path);
    int r = place_of(d->kept->path, d->kept->hash, &path);
    if (r == 0)
        r = disk->write(disk, path.data, base, strlen(base), DISK_UNSYNCED);
    d->based = r == 0;
    if (r < 0)
        log_warn("what %s is a change of is not kept: %s", d->kept->path, strerror(-r));
}

void shelf_sync_base(struct shelf *s, const char *path, uint64_t hash)
{
    struct buf place CLEANUP(buf_cleanup), base CLEANUP(buf_cleanup);
    shelf_path_init(&place);
    buf_init(&base, SHELF_TEXT_MAX);
    int r = place_of(path, hash, &place);
    r = r < 0 ? r : s->disk->read(s->disk, place.data, &base);
    r = r < 0 ? r : s->disk->write(s->disk, place.data, base.data, base.len, 0);
    if (r < 0)
        log_warn("what %s is a change of may be lost: %s", path, strerror(-r));
}

int shelf_base(struct shelf *s, const char *path, const void *bytes, size_t len, struct buf *ret)
{
    struct buf draft CLEANUP(buf_cleanup), place CLEANUP(buf_cleanup);
    shelf_path_init(&draft);
    shelf_path_init(&place);
    int r = s->disk ? shelf_path(SHELF_DRAFTS, path, &draft) : -ENOENT;
    if (r == 0)
        r = place_of(draft.data, hash_bytes(bytes, len), &place);
    return r < 0 ? r : s->disk->read(s->disk, place.data, ret);
}

void shelf_remove_base(struct shelf *s, const char *path, uint64_t hash)
{
    struct buf place CLEANUP(buf_cleanup);
    shelf_path_init(&place);
    if (place_of(path, hash, &place) == 0)
        shelf_remove_quietly(s, place.data);
}

/* ---- the start ---- */

static void note_name(void *data, const char *name, const struct disk_info *info)
{
    if (!info->dir && strlen(name) == NAME_DIGITS)
        buf_append(data, name, NAME_SIZE);
}

static int by_name(const void *a, const void *b)
{
    return memcmp(a, b, NAME_DIGITS);
}

/* The NUL of a name that is needed becomes something else. */
static bool spare_base(struct shelf *s, const char *path, void *data)
{
    struct buf *names = data, text CLEANUP(buf_cleanup);
    char name[NAME_SIZE];
    buf_init(&text, SHELF_TEXT_MAX);
    int r = shelf_is_reason(path) ? -ENOENT : s->disk->read(s->disk, path, &text);
    if (r < 0 && r != -ENOENT)
        buf_reset(names); /* it may be any of them: all stay */
    if (r < 0)
        return false;
    name_of(path, hash_bytes(text.data, text.len), name);
    char *found = bsearch(name, names->data, names->len / NAME_SIZE, NAME_SIZE, by_name);
    if (found)
        found[NAME_DIGITS] = '!';
    return true;
}

/* A crash leaves them, between the draft's removal and theirs. They are listed first: a draft is
 * there before its base, so another mount's is spared. */
void shelf_sweep_bases(struct shelf *s)
{
    struct buf names CLEANUP(buf_cleanup), place CLEANUP(buf_cleanup);
    buf_init(&names, SWEEP_MAX);
    shelf_path_init(&place);
    if (s->disk->list(s->disk, SHELF_BASES, note_name, &names) < 0 || buf_error(&names) ||
        !names.len)
        return;
    shelf_visit_drafts(s, spare_base, &names);
    for (size_t at = 0; at < names.len; at += NAME_SIZE) {
        if (names.data[at + NAME_DIGITS] != '\0')
            continue;
        buf_reset(&place);
        if (buf_printf(&place, SHELF_BASES "/%s", names.data + at) == 0)
            shelf_remove_quietly(s, place.data);
    }
}
