#include "shelf_internal.h"

#include <errno.h>
#include <string.h>

#include "systemefs/base/map.h"

static bool is_top(const char *path)
{
    return strcmp(path, SHELF_DRAFTS) == 0 || strcmp(path, SHELF_TRASH) == 0;
}

static bool is_draft(const char *path)
{
    return strncmp(path, SHELF_DRAFTS "/", strlen(SHELF_DRAFTS "/")) == 0 && !shelf_is_reason(path);
}

/* 0, or -ENOENT for what cannot be there. */
static int check_shown(const struct shelf *s, const char *path)
{
    if (is_top(path))
        return 0;
    bool below = strncmp(path, SHELF_DRAFTS "/", strlen(SHELF_DRAFTS "/")) == 0 ||
                 strncmp(path, SHELF_TRASH "/", strlen(SHELF_TRASH "/")) == 0;
    return s->disk && below && disk_check_path(path) != -EINVAL ? 0 : -ENOENT;
}

int shelf_stat(struct shelf *s, const char *path, struct disk_info *ret)
{
    int r = check_shown(s, path);
    if (r == 0)
        r = s->disk ? s->disk->stat(s->disk, path, ret) : -ENOENT;
    if (r == -ENOENT && is_top(path)) {
        *ret = (struct disk_info){.dir = true};
        return 0;
    }
    return r;
}

int shelf_read(struct shelf *s, const char *path, struct buf *out)
{
    struct disk_info info;
    int r = shelf_stat(s, path, &info);
    if (r < 0 || info.dir)
        return r < 0 ? r : -EISDIR;
    return info.size > SHELF_TEXT_MAX ? -EFBIG : s->disk->read(s->disk, path, out);
}

int shelf_list(struct shelf *s, const char *path, disk_each_fn *each, void *data)
{
    int r = check_shown(s, path);
    if (r == 0)
        r = s->disk ? s->disk->list(s->disk, path, each, data) : -ENOENT;
    return r == -ENOENT && is_top(path) ? 0 : r;
}

static bool is_under_way(struct shelf *s, const char *path)
{
    list_for_each(it, &s->under_way)
        if (strcmp(CONTAINER_OF(it, struct draft, link)->kept->path, path) == 0)
            return true;
    return false;
}

int shelf_remove(struct shelf *s, const char *path)
{
    int r = check_shown(s, path);
    if (r < 0 || is_top(path))
        return r < 0 ? r : -EBUSY;
    /* Ours are looked up: there are file systems without locks. */
    int lock = is_draft(path) ? s->disk->lock(s->disk, path) : -1;
    struct buf text CLEANUP(buf_cleanup);
    buf_init(&text, SHELF_TEXT_MAX);
    bool read = is_draft(path) && s->disk->read(s->disk, path, &text) == 0;
    if (lock == -EWOULDBLOCK || is_under_way(s, path))
        r = -EBUSY;
    else
        r = s->disk->remove(s->disk, path);
    s->disk->unlock(s->disk, lock);
    if (r == 0 && is_draft(path))
        shelf_remove_reason(s, path);
    if (r == 0 && read)
        shelf_remove_base(s, path, hash_bytes(text.data, text.len));
    return r;
}
