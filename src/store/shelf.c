#include "systemefs/store/shelf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/list.h"
#include "systemefs/base/map.h"

#include "shelf_internal.h"

#define LOG_MODULE "shelf"
#include "systemefs/base/log.h"

#define INTERRUPTED  "interrupted; it may have been sent"
#define REASON_MAX   4096             /* bytes of a reason */
#define COMPARED_MAX 16               /* versions of a path that are looked at for the same bytes */
#define KEPT_MAX     64               /* refused drafts whose process is remembered */
#define KEPT_MS      (60 * 60 * 1000) /* so long */
#define FRESH_TRIES  100              /* numbers that another mount takes before us */

static bool is_there(struct shelf *s, const char *path)
{
    struct disk_info info;
    return s->disk->stat(s->disk, path, &info) == 0;
}

void shelf_remove_quietly(struct shelf *s, const char *path)
{
    int r = s->disk->remove(s->disk, path);
    if (r < 0 && r != -ENOENT)
        log_warn("%s cannot be removed: %s", path, strerror(-r));
}

void shelf_prune(struct shelf *s, const char *path)
{
    struct buf above CLEANUP(buf_cleanup);
    shelf_path_init(&above);
    for (buf_append_str(&above, path); above.len;) {
        const char *slash = strrchr(above.data, '/');
        buf_truncate(&above, slash ? (size_t)(slash - above.data) : 0);
        if (!strchr(above.data, '/') || s->disk->remove(s->disk, above.data) < 0)
            return;
    }
}

/* ---- every file below a directory ---- */

struct visit {
    struct shelf *shelf;
    struct buf path;
    shelf_each_fn *each;
    void *data;
    unsigned count; /* of what `each` counts */
};

static void visit_entry(void *data, const char *name, const struct disk_info *info);

static void visit_directory(struct visit *v)
{
    /* The path grows, and moves, while the list is told. */
    char *path = strdup(v->path.data);
    int r = path ? v->shelf->disk->list(v->shelf->disk, path, visit_entry, v) : -ENOMEM;
    if (r < 0 && r != -ENOENT)
        log_warn("%s cannot be listed: %s", v->path.data, strerror(-r));
    free(path);
}

static void visit_entry(void *data, const char *name, const struct disk_info *info)
{
    struct visit *v = data;
    size_t before = v->path.len;
    if (buf_printf(&v->path, "/%s", name) < 0)
        return;
    if (info->dir)
        visit_directory(v);
    else
        v->count += v->each(v->shelf, v->path.data, v->data);
    buf_truncate(&v->path, before);
}

unsigned shelf_visit_drafts(struct shelf *s, shelf_each_fn *each, void *data)
{
    struct visit v = {.shelf = s, .each = each, .data = data};
    shelf_path_init(&v.path);
    if (buf_append_str(&v.path, SHELF_DRAFTS) == 0)
        visit_directory(&v);
    buf_finish(&v.path);
    return v.count;
}

/* ---- reasons ---- */

/* One line of any bytes: a server's words must not forge a second one, or command a terminal. */
static void append_line(const char *text, struct buf *out)
{
    size_t len = strnlen(text, REASON_MAX);
    while (len && text[len] && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        /* U+0080 to U+009F */
        bool control2 = c == 0xc2 && i + 1 < len && ((unsigned char)text[i + 1] & 0xe0) == 0x80;
        buf_append_byte(out, control2 || c < 0x20 || c == 0x7f ? ' ' : (char)c);
        i += control2;
    }
    buf_append_byte(out, '\n');
}

static int write_reason(struct shelf *s, const char *draft, const char *reason, unsigned how)
{
    struct buf path CLEANUP(buf_cleanup), line CLEANUP(buf_cleanup);
    shelf_path_init(&path);
    buf_init(&line, REASON_MAX + 1);
    append_line(reason, &line);
    int r = shelf_version(draft, 1, SHELF_REASON, &path);
    if (r == 0)
        r = buf_error(&line);
    if (r == 0)
        r = s->disk->write(s->disk, path.data, line.data, line.len, how);
    if (r < 0 && r != -EEXIST)
        log_warn("%s is kept, but not its reason (%s): %s", draft, strerror(-r), reason);
    return r;
}

/* One file of drafts/ at the start: an older life of the program, or another mount, left it. */
static bool explain(struct shelf *s, const char *path, void *data UNUSED)
{
    struct buf other CLEANUP(buf_cleanup);
    shelf_path_init(&other);
    if (shelf_is_reason(path)) {
        /* Its draft goes first: a crash can leave it alone. */
        buf_append(&other, path, strlen(path) - strlen(SHELF_REASON));
        struct disk_info info;
        if (!buf_error(&other) && s->disk->stat(s->disk, other.data, &info) == -ENOENT)
            shelf_remove_quietly(s, path);
        return false;
    }
    if (shelf_version(path, 1, SHELF_REASON, &other) < 0 || is_there(s, other.data))
        return true;
    int lock = s->disk->lock(s->disk, path);
    if (lock < 0)
        return true; /* somebody is at it */
    write_reason(s, path, INTERRUPTED, DISK_FRESH);
    s->disk->unlock(s->disk, lock);
    return true;
}

/* ---- refused drafts that are remembered ---- */

static void kept_free(struct kept *k)
{
    list_remove(&k->link);
    free(k->path);
    free(k);
}

static void keep(struct shelf *s, struct kept *k)
{
    k->at_ms = clock_mono_ms(s->clock);
    list_prepend(&s->kept, &k->link);
    if (++s->kept_count > KEPT_MAX) {
        kept_free(CONTAINER_OF(s->kept.prev, struct kept, link));
        s->kept_count--;
    }
}

/* Something else is at `path` now. */
static void forget(struct shelf *s, const char *path)
{
    list_for_each_safe(it, &s->kept) {
        struct kept *k = CONTAINER_OF(it, struct kept, link);
        if (strcmp(k->path, path) != 0)
            continue;
        kept_free(k);
        s->kept_count--;
    }
}

/* ---- the shelf ---- */

int shelf_create(struct disk *disk, const struct clock *clock, struct shelf **ret)
{
    struct shelf *s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    *s = (struct shelf){.disk = disk, .clock = clock};
    list_init(&s->under_way);
    list_init(&s->gone);
    list_init(&s->kept);
    if (disk) {
        shelf_sweep_bases(s);
        shelf_visit_drafts(s, explain, NULL);
    }
    *ret = s;
    return 0;
}

static void draft_free(struct draft *d)
{
    struct disk *disk = d->shelf->disk;
    disk->unlock(disk, d->lock);
    list_remove(&d->link);
    if (d->kept)
        kept_free(d->kept);
    free(d);
}

void shelf_turn(struct shelf *s)
{
    list_for_each_safe(it, &s->gone)
        draft_free(CONTAINER_OF(it, struct draft, link));
}

void shelf_destroy(struct shelf *s)
{
    if (!s)
        return;
    shelf_turn(s);
    list_for_each_safe(it, &s->under_way)
        draft_free(CONTAINER_OF(it, struct draft, link));
    list_for_each_safe(it, &s->kept)
        kept_free(CONTAINER_OF(it, struct kept, link));
    free(s);
}

/* Writes a new version of `base`; `path` gets its place. */
static int write_version(struct shelf *s, const char *base, const void *bytes, size_t len,
                         struct buf *path)
{
    int r = -EEXIST;
    for (unsigned tries = 0; r == -EEXIST && tries < FRESH_TRIES; tries++) {
        r = shelf_free_version(s->disk, base, path);
        if (r == 0)
            r = s->disk->write(s->disk, path->data, bytes, len, DISK_FRESH);
    }
    return r;
}

/* ---- drafts ---- */

static struct draft *draft_new(struct shelf *s, pid_t owner)
{
    struct draft *d = malloc(sizeof(*d));
    struct kept *k = malloc(sizeof(*k));
    if (!d || !k) {
        free(d);
        free(k);
        return NULL;
    }
    *k = (struct kept){.owner = owner};
    list_init(&k->link);
    *d = (struct draft){.shelf = s, .kept = k, .lock = -1};
    list_init(&d->link);
    return d;
}

/* Whether it has that hash and (not NULL) those bytes: 1, 0, or -errno. */
static int holds(struct shelf *s, const char *path, uint64_t hash, const void *bytes, size_t len)
{
    struct buf old CLEANUP(buf_cleanup);
    buf_init(&old, SHELF_TEXT_MAX);
    int r = s->disk->read(s->disk, path, &old);
    return r < 0 ? r
                 : hash_bytes(old.data, old.len) == hash &&
                       (!bytes ||
                        (old.len == len && (len == 0 || memcmp(old.data, bytes, len) == 0)));
}

/* The lock on an older draft that is nobody's now, and holds that; else -1. */
static int claim(struct shelf *s, const char *path, uint64_t hash, const void *bytes, size_t len)
{
    int lock = s->disk->lock(s->disk, path);
    if (lock < 0)
        return -1;
    if (holds(s, path, hash, bytes, len) > 0)
        return lock;
    s->disk->unlock(s->disk, lock);
    return -1;
}

/* The next draft of that size behind number *n of those at `base`: 1, 0: none, or -errno. */
static int next_of_size(struct shelf *s, const struct buf *base, size_t len, unsigned *n,
                        struct buf *path)
{
    struct disk_info info;
    while (++*n <= COMPARED_MAX) {
        int r = shelf_version(base->data, *n, "", path);
        r = r < 0 ? r : s->disk->stat(s->disk, path->data, &info);
        if (r < 0 && r != -ENOENT)
            return r;
        if (r == 0 && !info.dir && info.size == len)
            return 1;
    }
    return 0;
}

/* The same for one of this process, whatever it holds; its base goes, if it is another text's. */
static int claim_own(struct shelf *s, const struct buf *base, pid_t owner, uint64_t hash,
                     struct buf *path)
{
    int64_t now = clock_mono_ms(s->clock);
    list_for_each(it, &s->kept) {
        const struct kept *k = CONTAINER_OF(it, struct kept, link);
        if (owner == 0 || k->owner != owner || k->base_len != base->len ||
            memcmp(k->path, base->data, base->len) != 0 || now - k->at_ms >= KEPT_MS)
            continue;
        int lock = claim(s, k->path, k->hash, NULL, 0);
        if (lock < 0)
            continue;
        buf_reset(path);
        buf_append_str(path, k->path);
        if (k->hash != hash)
            shelf_remove_base(s, k->path, k->hash);
        return lock;
    }
    return -1;
}

/* The same for one that holds the same bytes. */
static int claim_same(struct shelf *s, const struct buf *base, uint64_t hash, const void *bytes,
                      size_t len, struct buf *path)
{
    for (unsigned n = 0; next_of_size(s, base, len, &n, path) > 0;) {
        int lock = claim(s, path->data, hash, bytes, len);
        if (lock >= 0)
            return lock;
    }
    return -1;
}

/* Writes over the older draft, whose lock is given up. */
static int replace(struct shelf *s, const char *path, int lock, const void *bytes, size_t len)
{
    int r = s->disk->write(s->disk, path, bytes, len, 0);
    s->disk->unlock(s->disk, lock);
    if (r < 0)
        return r;
    /* The old reason speaks of the old text; a crash from now on would have it said of this one. */
    struct buf reason CLEANUP(buf_cleanup);
    shelf_path_init(&reason);
    if (shelf_version(path, 1, SHELF_REASON, &reason) == 0 && is_there(s, reason.data))
        write_reason(s, path, INTERRUPTED, 0);
    return 0;
}

int draft_begin(struct shelf *s, const char *path, pid_t owner, const void *bytes, size_t len,
                struct draft **ret)
{
    if (!s->disk)
        return -EROFS;
    if (len > SHELF_TEXT_MAX)
        return -EFBIG;
    struct draft *d = draft_new(s, owner);
    if (!d)
        return -ENOMEM;
    struct buf base CLEANUP(buf_cleanup), at CLEANUP(buf_cleanup);
    shelf_path_init(&base);
    shelf_path_init(&at);
    int r = shelf_path(SHELF_DRAFTS, path, &base);
    if (r == 0) {
        d->kept->hash = hash_bytes(bytes, len);
        d->kept->base_len = base.len;
        int older = claim_own(s, &base, owner, d->kept->hash, &at);
        if (older < 0)
            older = claim_same(s, &base, d->kept->hash, bytes, len, &at);
        r = older < 0 ? write_version(s, base.data, bytes, len, &at)
                      : replace(s, at.data, older, bytes, len);
    }
    if (r < 0) {
        draft_free(d);
        return r;
    }
    forget(s, at.data);
    d->lock = s->disk->lock(s->disk, at.data);
    if (d->lock < 0)
        log_debug("%s is not locked: %s", at.data, strerror(-d->lock));
    d->kept->path = buf_take(&at, NULL);
    list_append(&s->under_way, &d->link);
    *ret = d;
    return 0;
}

int shelf_is_draft(struct shelf *s, const char *path, const void *bytes, size_t len)
{
    struct buf base CLEANUP(buf_cleanup), at CLEANUP(buf_cleanup);
    shelf_path_init(&base);
    shelf_path_init(&at);
    uint64_t hash = hash_bytes(bytes, len);
    int r = s->disk ? shelf_path(SHELF_DRAFTS, path, &base) : -ENOENT;
    for (unsigned n = 0; r == 0 && (r = next_of_size(s, &base, len, &n, &at)) > 0;) {
        r = holds(s, at.data, hash, bytes, len);
        r = r == -ENOENT ? 0 : r; /* gone by now */
    }
    return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

const char *draft_path(const struct draft *d)
{
    return d->kept->path + strlen(SHELF_DRAFTS "/");
}

/* Behind the draft: a reason alone says nothing, a draft alone would say that it was interrupted.
 */
void shelf_remove_reason(struct shelf *s, const char *path)
{
    struct buf reason CLEANUP(buf_cleanup);
    shelf_path_init(&reason);
    if (shelf_version(path, 1, SHELF_REASON, &reason) == 0)
        shelf_remove_quietly(s, reason.data);
}

void draft_done(struct draft *d)
{
    shelf_remove_quietly(d->shelf, d->kept->path);
    shelf_remove_reason(d->shelf, d->kept->path);
    if (d->based)
        shelf_remove_base(d->shelf, d->kept->path, d->kept->hash);
    shelf_prune(d->shelf, d->kept->path);
    list_remove(&d->link);
    list_append(&d->shelf->gone, &d->link);
}

void draft_refused(struct draft *d, const char *reason)
{
    if (d->based)
        shelf_sync_base(d->shelf, d->kept->path, d->kept->hash);
    write_reason(d->shelf, d->kept->path, reason, 0);
    keep(d->shelf, d->kept);
    d->kept = NULL;
    draft_free(d);
}

static bool count_draft(struct shelf *s UNUSED, const char *path, void *data UNUSED)
{
    return !shelf_is_reason(path);
}

unsigned shelf_draft_count(struct shelf *s)
{
    return s->disk ? shelf_visit_drafts(s, count_draft, NULL) : 0;
}

/* ---- trash ---- */

int trash_put(struct shelf *s, const char *path, const void *bytes, size_t len, struct buf *where)
{
    if (!s->disk)
        return -EROFS;
    struct buf base CLEANUP(buf_cleanup), at CLEANUP(buf_cleanup);
    shelf_path_init(&base);
    shelf_path_init(&at);
    int r = shelf_path(SHELF_TRASH, path, &base);
    if (r == 0)
        r = write_version(s, base.data, bytes, len, &at);
    return r < 0 ? r : buf_append_str(where, at.data + strlen(SHELF_TRASH "/"));
}
