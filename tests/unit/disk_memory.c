#include "disk_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"

static struct disk_memory *memory_of(struct disk *d)
{
    return CONTAINER_OF(d, struct disk_memory, disk);
}

/* The errno that this call fails with, or 0. */
static int told_to_fail(struct disk_memory *m)
{
    m->calls++;
    if (m->fail_in == 0 || --m->fail_in > 0)
        return 0;
    m->failures++;
    if (m->fail_for > 1) {
        m->fail_for -= m->fail_for < UINT32_MAX;
        m->fail_in = 1;
    }
    return m->fail_with;
}

static size_t parent_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* Whether `path` is directly in the directory of the first `len` bytes of `dir`. */
static bool is_in(const char *path, const char *dir, size_t len)
{
    return *path && parent_len(path) == len && strncmp(path, dir, len) == 0;
}

static struct disk_memory_file *find(struct disk_memory *m, const char *path, size_t len)
{
    for (size_t i = 0; i < m->count; i++)
        if (!m->files[i].removed && strlen(m->files[i].path) == len &&
            memcmp(m->files[i].path, path, len) == 0)
            return &m->files[i];
    return NULL;
}

/* As walking there would fail, or 0. */
static int check(struct disk_memory *m, const char *path)
{
    int r = *path ? disk_check_path(path) : 0;
    for (const char *slash = path; r == 0 && (slash = strchr(slash, '/')); slash++) {
        const struct disk_memory_file *f = find(m, path, (size_t)(slash - path));
        r = !f ? -ENOENT : f->dir ? 0 : -ENOTDIR;
    }
    return r;
}

static struct disk_memory_file *add(struct disk_memory *m, const char *path, size_t len, bool dir)
{
    m->files = realloc(m->files, (m->count + 1) * sizeof(*m->files));
    assert_non_null(m->files);
    struct disk_memory_file *f = &m->files[m->count++];
    *f = (struct disk_memory_file){.path = strndup(path, len), .dir = dir, .inode = ++m->inodes};
    assert_non_null(f->path);
    return f;
}

static void forget(struct disk_memory *m, size_t i)
{
    free(m->files[i].path);
    free(m->files[i].bytes);
    m->files[i] = m->files[--m->count];
}

/* Whether the file is gone for good when the directory is synced: it was in it, or below something
 * that was. */
static bool stays_removed(struct disk_memory *m, const char *path, const char *dir, size_t len)
{
    if (len && (strncmp(path, dir, len) != 0 || path[len] != '/'))
        return false;
    const char *slash = strchr(path + len + (len > 0), '/');
    return !slash || !find(m, path, (size_t)(slash - path));
}

/* fsync of a directory, the first `len` bytes of `dir`. */
static void sync_directory(struct disk_memory *m, const char *dir, size_t len)
{
    for (size_t i = 0; i < m->count;)
        if (m->files[i].removed && stays_removed(m, m->files[i].path, dir, len))
            forget(m, i); /* the last one takes its place */
        else
            i++;
}

static int make_parents(struct disk_memory *m, const char *path)
{
    size_t above = 0;
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        size_t len = (size_t)(slash - path);
        const struct disk_memory_file *f = find(m, path, len);
        if (f && !f->dir)
            return -ENOTDIR;
        if (!f) {
            sync_directory(m, path, above);
            add(m, path, len, true);
        }
        above = len;
    }
    return 0;
}

static size_t bytes_used(const struct disk_memory *m)
{
    size_t sum = 0;
    for (size_t i = 0; i < m->count; i++)
        sum += m->files[i].removed ? 0 : m->files[i].len;
    return sum;
}

static int do_write(struct disk_memory *m, const char *path, const void *bytes, size_t len,
                    unsigned how)
{
    bool fresh = how & DISK_FRESH;
    int r = disk_check_path(path);
    if (r == 0 && m->read_only)
        r = -EROFS;
    if (r == 0)
        r = make_parents(m, path);
    if (r < 0)
        return r;
    struct disk_memory_file *f = find(m, path, strlen(path));
    if (f && (fresh || f->dir))
        return fresh ? -EEXIST : -EISDIR;
    if (len > m->room || bytes_used(m) > m->room - len)
        return -ENOSPC; /* the old one is there until the new one is */
    if (!f)
        f = add(m, path, strlen(path), false);
    free(f->bytes);
    f->bytes = calloc(1, len + 1);
    assert_non_null(f->bytes);
    if (len)
        memcpy(f->bytes, bytes, len);
    f->len = len;
    f->inode = ++m->inodes;
    f->unsynced = how & DISK_UNSYNCED;
    m->writes += !f->unsynced;
    if (!f->unsynced)
        sync_directory(m, path, parent_len(path));
    return 0;
}

static int memory_write(struct disk *d, const char *path, const void *bytes, size_t len,
                        unsigned how)
{
    struct disk_memory *m = memory_of(d);
    int error = told_to_fail(m);
    if (error && m->fail_late)
        do_write(m, path, bytes, len, how);
    return error ? -error : do_write(m, path, bytes, len, how);
}

/* What call and path together say: 0 and the file, or why not. */
static int begin(struct disk *d, const char *path, struct disk_memory_file **ret)
{
    struct disk_memory *m = memory_of(d);
    int error = told_to_fail(m);
    int r = error ? -error : check(m, path);
    if (r == 0 && !(*ret = find(m, path, strlen(path))))
        r = -ENOENT;
    return r;
}

static int memory_read(struct disk *d, const char *path, struct buf *out)
{
    struct disk_memory_file *f;
    int r = begin(d, path, &f);
    if (r < 0 || f->dir)
        return r < 0 ? r : -EISDIR;
    return buf_append(out, f->bytes, f->len);
}

static struct disk_info info_of(const struct disk_memory_file *f)
{
    return (struct disk_info){.dir = f->dir, .size = f->len, .mtime_ns = (int64_t)f->inode};
}

static int memory_stat(struct disk *d, const char *path, struct disk_info *ret)
{
    struct disk_memory_file *f;
    int r = begin(d, path, &f);
    if (r == 0)
        *ret = info_of(f);
    return r;
}

static int do_remove(struct disk_memory *m, const char *path)
{
    int r = *path ? check(m, path) : -EINVAL;
    struct disk_memory_file *f = r == 0 ? find(m, path, strlen(path)) : NULL;
    if (!f)
        return r < 0 ? r : -ENOENT;
    if (m->read_only)
        return -EROFS;
    for (size_t i = 0; f->dir && i < m->count; i++)
        if (!m->files[i].removed && is_in(m->files[i].path, path, strlen(path)))
            return -ENOTEMPTY;
    f->removed = true;
    return 0;
}

static int memory_remove(struct disk *d, const char *path)
{
    struct disk_memory *m = memory_of(d);
    int error = told_to_fail(m);
    if (error && m->fail_late)
        do_remove(m, path);
    return error ? -error : do_remove(m, path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int memory_list(struct disk *d, const char *path, disk_each_fn *each, void *data)
{
    struct disk_memory *m = memory_of(d);
    struct disk_memory_file *f;
    int r = begin(d, path, &f);
    if (r < 0 || !f->dir)
        return r < 0 ? r : -ENOTDIR;

    /* What `each` does may move and change the files. */
    char **paths = calloc(m->count, sizeof(*paths));
    assert_non_null(paths);
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++)
        if (!m->files[i].removed && is_in(m->files[i].path, path, strlen(path)))
            paths[count++] = strdup(m->files[i].path);
    qsort(paths, count, sizeof(*paths), by_name);
    for (size_t i = 0; i < count; i++) {
        const struct disk_memory_file *entry = find(m, paths[i], strlen(paths[i]));
        if (entry) {
            struct disk_info info = info_of(entry);
            each(data, paths[i] + (*path ? strlen(path) + 1 : 0), &info);
        }
        free(paths[i]);
    }
    free(paths);
    return 0;
}

static int memory_lock(struct disk *d, const char *path)
{
    struct disk_memory *m = memory_of(d);
    struct disk_memory_file *f;
    int r = begin(d, path, &f);
    if (r < 0 || f->dir)
        return r < 0 ? r : -EISDIR;
    int free_handle = -EMFILE;
    for (int i = DISK_MEMORY_LOCKS - 1; i >= 0; i--) {
        if (m->locks[i] == f->inode)
            return -EWOULDBLOCK;
        if (!m->locks[i])
            free_handle = i;
    }
    if (free_handle >= 0)
        m->locks[free_handle] = f->inode;
    return free_handle;
}

static void memory_unlock(struct disk *d, int handle)
{
    if (handle >= 0)
        memory_of(d)->locks[handle] = 0;
}

static void memory_close(struct disk *d)
{
    disk_memory_finish(memory_of(d));
}

void disk_memory_init(struct disk_memory *m)
{
    *m = (struct disk_memory){
        .disk = {.write = memory_write,
                 .read = memory_read,
                 .stat = memory_stat,
                 .remove = memory_remove,
                 .list = memory_list,
                 .lock = memory_lock,
                 .unlock = memory_unlock,
                 .close = memory_close},
        .room = SIZE_MAX,
    };
    add(m, "", 0, true);
}

void disk_memory_finish(struct disk_memory *m)
{
    while (m->count)
        forget(m, m->count - 1);
    free(m->files);
    m->files = NULL;
}

void disk_memory_crash(struct disk_memory *m)
{
    for (size_t i = 0; i < m->count;)
        if (m->files[i].unsynced)
            forget(m, i);
        else
            m->files[i++].removed = false;
    memset(m->locks, 0, sizeof(m->locks));
    m->fail_in = m->fail_for = 0;
    m->fail_late = m->read_only = false;
    m->room = SIZE_MAX;
}

const char *disk_memory_text(struct disk_memory *m, const char *path)
{
    const struct disk_memory_file *f = find(m, path, strlen(path));
    return f ? f->bytes : NULL;
}

unsigned disk_memory_locked(const struct disk_memory *m)
{
    unsigned count = 0;
    for (size_t i = 0; i < DISK_MEMORY_LOCKS; i++)
        count += m->locks[i] != 0;
    return count;
}
