#include "systemefs/base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_SIZE 64 /* bytes of the name of a temporary file */
#define TEMPORARY_TRIES                                                                            \
    100               /* names that are taken already: of a crash, or another PID namespace        \
                       */
#define WRITE_TRIES 8 /* when somebody else removes the empty directory that we go into */
#define READ_CHUNK  16384

struct real {
    struct disk disk;
    int root;
    unsigned serial; /* of temporary names */
};

/* An open directory, and a name in it (a part of the path that was given). */
struct place {
    int dir;
    const char *name;
};

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static void close_place(const struct place *p)
{
    close_fd(&p->dir);
}

static struct real *real_of(struct disk *d)
{
    return CONTAINER_OF(d, struct real, disk);
}

static bool is_temporary(const char *name)
{
    return strncmp(name, DISK_TEMPORARY, strlen(DISK_TEMPORARY)) == 0;
}

static bool is_dots(const char *name, size_t len)
{
    return (len == 1 || len == 2) && strncmp(name, "..", len) == 0;
}

int disk_check_path(const char *path)
{
    for (const char *name = path;; name++) {
        size_t len = strcspn(name, "/");
        if (len == 0 || is_dots(name, len) || is_temporary(name))
            return -EINVAL;
        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        name += len;
        if (!*name)
            return 0;
    }
}

/* ---- directories ---- */

static int sync_fd(int fd)
{
    while (fsync(fd) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static int sync_directory(int dir)
{
    int r = sync_fd(dir);
    return r == -EINVAL ? 0 : r; /* a file system that has nothing of the kind */
}

/* -ELOOP where there is a symlink by that name, else 0. */
static int refuse_symlink(int dir, const char *name)
{
    struct stat st;
    bool there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    return there && S_ISLNK(st.st_mode) ? -ELOOP : 0;
}

static int open_at(int dir, const char *name, int flags)
{
    int fd;
    do
        fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int enter(int dir, const char *name)
{
    int fd = open_at(dir, name, O_RDONLY | O_DIRECTORY);
    /* The kernel calls a symlink "not a directory" here. */
    if (fd == -ENOTDIR && refuse_symlink(dir, name) < 0)
        return -ELOOP;
    return fd;
}

static int make_and_enter(int dir, const char *name)
{
    if (mkdirat(dir, name, 0700) == 0) {
        int r = sync_directory(dir);
        if (r < 0) {
            unlinkat(dir, name, AT_REMOVEDIR);
            return r;
        }
    } else if (errno != EEXIST) {
        return -errno;
    }
    return enter(dir, name);
}

/* Goes where the path's last name is. The caller closes the place. */
static int walk(struct disk *d, const char *path, bool make, struct place *ret)
{
    int r = disk_check_path(path);
    if (r < 0)
        return r;
    int dir = fcntl(real_of(d)->root, F_DUPFD_CLOEXEC, 0);
    *ret = (struct place){.dir = -1, .name = path};
    if (dir < 0)
        return -errno;
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        char name[NAME_MAX + 1] = {0};
        memcpy(name, path, (size_t)(slash - path));
        int next = enter(dir, name);
        if (next == -ENOENT && make)
            next = make_and_enter(dir, name);
        close(dir);
        if (next < 0)
            return next;
        dir = next;
    }
    *ret = (struct place){.dir = dir, .name = path};
    return 0;
}

/* ---- writing ---- */

/* A new file under a name of its own, locked: so a sweep sees that somebody is at it. */
static int create_temporary(struct real *d, int dir, char name[TEMPORARY_SIZE])
{
    for (unsigned tries = 0; tries < TEMPORARY_TRIES; tries++) {
        snprintf(name, TEMPORARY_SIZE, DISK_TEMPORARY "%d-%u", (int)getpid(), d->serial++);
        int fd = open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL);
        if (fd == -EEXIST)
            continue;
        if (fd < 0)
            return fd;
        /* A sweep can come between the two, and takes the file for one that was left. */
        struct stat st;
        bool swept = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
        if (!swept && fstat(fd, &st) == 0 && st.st_nlink > 0)
            return fd;
        close(fd);
    }
    return -EBUSY;
}

static int fill(int fd, const char *bytes, size_t len, unsigned how)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return how & DISK_UNSYNCED ? 0 : sync_fd(fd);
}

static int put_in_place(const struct place *p, const char *temporary, unsigned how)
{
    bool fresh = how & DISK_FRESH;
    if (renameat2(p->dir, temporary, p->dir, p->name, fresh ? RENAME_NOREPLACE : 0) == 0)
        return 0;
    if (!fresh || errno != EINVAL)
        return -errno;
    /* NFS does not know the flag. */
    if (linkat(p->dir, temporary, p->dir, p->name, 0) < 0)
        return -errno;
    unlinkat(p->dir, temporary, 0);
    return 0;
}

static int write_once(struct disk *d, const char *path, const void *bytes, size_t len, unsigned how)
{
    struct place p CLEANUP(close_place) = {.dir = -1};
    int r = walk(d, path, true, &p);
    if (r == 0)
        r = refuse_symlink(p.dir, p.name);
    if (r < 0)
        return r;

    char temporary[TEMPORARY_SIZE];
    int fd CLEANUP(close_fd) = create_temporary(real_of(d), p.dir, temporary);
    if (fd < 0)
        return fd;
    r = fill(fd, bytes, len, how);
    if (r == 0)
        r = put_in_place(&p, temporary, how);
    if (r < 0) {
        unlinkat(p.dir, temporary, 0);
        return r;
    }
    return how & DISK_UNSYNCED ? 0 : sync_directory(p.dir);
}

static int real_write(struct disk *d, const char *path, const void *bytes, size_t len, unsigned how)
{
    int r = -ENOENT;
    for (unsigned tries = 0; r == -ENOENT && tries < WRITE_TRIES; tries++)
        r = write_once(d, path, bytes, len, how);
    return r;
}

/* ---- reading ---- */

static struct disk_info info_of(const struct stat *st)
{
    bool dir = S_ISDIR(st->st_mode);
    return (struct disk_info){
        .dir = dir,
        .size = dir ? 0 : (uint64_t)st->st_size,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
}

static int read_all(int fd, struct buf *out)
{
    char chunk[READ_CHUNK];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        int r = n < 0 ? -errno : buf_append(out, chunk, (size_t)n);
        if (r < 0)
            return r;
    }
    return buf_error(out);
}

static int real_read(struct disk *d, const char *path, struct buf *out)
{
    struct place p CLEANUP(close_place) = {.dir = -1};
    int r = walk(d, path, false, &p);
    if (r < 0)
        return r;
    /* A FIFO that somebody put there must not hold us up. */
    int fd CLEANUP(close_fd) = open_at(p.dir, p.name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    size_t before = out->len;
    r = read_all(fd, out);
    if (r < 0)
        buf_truncate(out, before);
    return r;
}

static int real_stat(struct disk *d, const char *path, struct disk_info *ret)
{
    struct stat st;
    if (!*path) {
        if (fstat(real_of(d)->root, &st) < 0)
            return -errno;
        *ret = info_of(&st);
        return 0;
    }
    struct place p CLEANUP(close_place) = {.dir = -1};
    int r = walk(d, path, false, &p);
    if (r < 0)
        return r;
    if (fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode))
        return -ELOOP;
    *ret = info_of(&st);
    return 0;
}

static int is_listed(const struct dirent *e)
{
    return !is_temporary(e->d_name) && !is_dots(e->d_name, strlen(e->d_name));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int list_open(int dir, disk_each_fn *each, void *data)
{
    struct dirent **entries;
    int n = scandirat(dir, ".", &entries, is_listed, by_name);
    if (n < 0)
        return -errno;
    int r = 0;
    for (int i = 0; i < n; i++) {
        struct stat st;
        if (r == 0 && fstatat(dir, entries[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            struct disk_info info = info_of(&st);
            each(data, entries[i]->d_name, &info);
        } else if (r == 0 && errno != ENOENT) {
            r = -errno;
        }
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int real_list(struct disk *d, const char *path, disk_each_fn *each, void *data)
{
    if (!*path)
        return list_open(real_of(d)->root, each, data);
    struct place p CLEANUP(close_place) = {.dir = -1};
    int r = walk(d, path, false, &p);
    if (r < 0)
        return r;
    int dir CLEANUP(close_fd) = enter(p.dir, p.name);
    return dir < 0 ? dir : list_open(dir, each, data);
}

/* ---- the rest ---- */

static int real_remove(struct disk *d, const char *path)
{
    struct place p CLEANUP(close_place) = {.dir = -1};
    int r = walk(d, path, false, &p);
    if (r < 0)
        return r;
    r = unlinkat(p.dir, p.name, 0);
    if (r < 0 && errno == EISDIR)
        r = unlinkat(p.dir, p.name, AT_REMOVEDIR);
    return r < 0 ? -errno : 0;
}

static int real_lock(struct disk *d, const char *path)
{
    struct place p CLEANUP(close_place) = {.dir = -1};
    int r = walk(d, path, false, &p);
    while (r == 0) {
        /* For writing: NFS wants that for an exclusive lock. */
        int fd = open_at(p.dir, p.name, O_RDWR | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
            return fd;
        r = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
        struct stat ours, there;
        if (r == 0 && fstat(fd, &ours) == 0 &&
            fstatat(p.dir, p.name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
            ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
            return fd;
        close(fd); /* another file has taken its place meanwhile: that one */
    }
    return r;
}

static void real_unlock(struct disk *d UNUSED, int handle)
{
    close_fd(&handle);
}

static void real_close(struct disk *d)
{
    struct real *real = real_of(d);
    close(real->root);
    free(real);
}

/* ---- opening ---- */

/* Removes what a crash left half written. Who is still writing has locked his. */
static void sweep(int dir)
{
    struct dirent **entries;
    int n = scandirat(dir, ".", &entries, NULL, NULL);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        unsigned char type = entries[i]->d_type;
        int fd = -1;
        if (is_temporary(name))
            fd = open_at(dir, name, O_RDWR | O_NONBLOCK | O_NOCTTY);
        else if ((type == DT_DIR || type == DT_UNKNOWN) && !is_dots(name, strlen(name)))
            fd = open_at(dir, name, O_RDONLY | O_DIRECTORY);
        if (fd >= 0 && !is_temporary(name))
            sweep(fd);
        else if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dir, name, 0);
        close_fd(&fd);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

/* Makes the directory at `path`, and has it on disk; 0 where it is there already. */
static int make_directory(const char *path)
{
    if (mkdir(path, 0700) < 0)
        return errno == EEXIST ? 0 : -errno;
    const char *slash = strrchr(path, '/');
    char *above = !slash         ? strdup(".")
                  : slash > path ? strndup(path, (size_t)(slash - path))
                                 : strdup("/");
    if (!above)
        return -ENOMEM;
    int fd CLEANUP(close_fd) = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(above);
    /* One may be allowed to write to a directory and not to read it. */
    return fd < 0 ? 0 : sync_directory(fd);
}

/* The same for each one above it first. */
static int make_path(char *path)
{
    for (char *slash = path + 1; *path && (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        int r = make_directory(path);
        *slash = '/';
        if (r < 0)
            return r;
    }
    return make_directory(path);
}

static int check_root(int fd, const char *path, struct buf *why)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != geteuid()) {
        buf_printf(why, "%s: this directory belongs to somebody else", path);
        return -EPERM;
    }
    if (st.st_mode & 077) {
        buf_printf(why, "%s: others may use this directory; chmod 700 makes it yours alone", path);
        return -EPERM;
    }
    return 0;
}

static int open_root(char *path, struct buf *why)
{
    int r = make_path(path);
    int fd = r < 0 ? r : enter(AT_FDCWD, path);
    r = fd < 0 ? fd : check_root(fd, path, why);
    if (r == 0)
        return fd;
    if (fd == -ELOOP)
        buf_printf(why, "%s: this is a symbolic link, where a directory should be", path);
    else if (!why->len)
        buf_printf(why, "%s: this directory cannot be used: %s", path, strerror(-r));
    close_fd(&fd);
    return r;
}

int disk_open(const char *directory, struct disk **ret, struct buf *why)
{
    /* A '/' at the end would have a symlink followed. */
    size_t len = strlen(directory);
    while (len > 1 && directory[len - 1] == '/')
        len--;
    char *path = strndup(directory, len);
    struct real *d = malloc(sizeof(*d));
    int root = path && d ? open_root(path, why) : -ENOMEM;
    if (root == -ENOMEM && !why->len)
        buf_append_str(why, "out of memory");
    free(path);
    if (root < 0) {
        free(d);
        return root;
    }
    *d = (struct real){
        .disk = {.write = real_write,
                 .read = real_read,
                 .stat = real_stat,
                 .remove = real_remove,
                 .list = real_list,
                 .lock = real_lock,
                 .unlock = real_unlock,
                 .close = real_close},
        .root = root,
    };
    sweep(root);
    *ret = &d->disk;
    return 0;
}

void disk_close(struct disk *d)
{
    if (d)
        d->close(d);
}
