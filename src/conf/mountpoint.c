#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "systemefs/conf/daemon.h"

#include "child.h"

#define LOG_MODULE "start"
#include "systemefs/base/log.h"

#define OUR_TYPE         "fuse.systemefs"
#define DEAD_MOUNTS_MAX  16   /* on top of each other; each failed start may have left one */
#define FUSERMOUNT_MS    5000 /* it only asks the kernel */
#define FUSERMOUNT_GRACE 500

/* Whether a field of mountinfo, in which blanks and '\' are written \040, is that path. */
static bool field_is(const char *field, const char *path)
{
    while (*field && *field != ' ') {
        char c = *field++;
        if (c == '\\' && strspn(field, "01234567") >= 3) {
            c = (char)((field[0] - '0') * 64 + (field[1] - '0') * 8 + (field[2] - '0'));
            field += 3;
        }
        if (c != *path++)
            return false;
    }
    return *path == '\0';
}

/* The start of the field with that number (from 0), or NULL. */
static const char *field_at(const char *line, unsigned number)
{
    while (line && number-- > 0) {
        line = strchr(line, ' ');
        if (line)
            line++;
    }
    return line;
}

bool mountpoint_find(FILE *mountinfo, const char *path, struct mount_entry *ret)
{
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    while (getline(&line, &cap, mountinfo) > 0) {
        /* 36 35 98:0 /root /where options optional-fields - type source super-options */
        line[strcspn(line, "\n")] = '\0';
        const char *where = field_at(line, 4);
        const char *behind = where ? strstr(where, " - ") : NULL;
        if (!behind || !field_is(where, path))
            continue;
        /* Later lines lie on top of earlier ones. */
        const char *type = behind + 3;
        const char *super = field_at(type, 2);
        const char *user = super ? strstr(super, "user_id=") : NULL;
        *ret = (struct mount_entry){
            .has_user = user != NULL,
            .user = user ? (uid_t)strtoul(user + strlen("user_id="), NULL, 10) : 0,
        };
        snprintf(ret->type, sizeof(ret->type), "%.*s", (int)strcspn(type, " "), type);
        found = true;
    }
    free(line);
    return found;
}

static bool find_mount(const char *absolute, struct mount_entry *ret)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    bool found = f && mountpoint_find(f, absolute, ret);
    if (f)
        fclose(f);
    return found;
}

/* The absolute path, made without touching the last part: a dead mount answers nothing, and a
 * stuck one never. The caller frees; NULL with errno. */
static char *make_absolute(const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    char copy[PATH_MAX];
    if (len >= sizeof(copy)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    memcpy(copy, path, len);
    copy[len] = '\0';

    char *slash = strrchr(copy, '/');
    const char *base = slash ? slash + 1 : copy;
    struct stat st;
    /* "..", "." and a link say nothing about where they lead without being followed. */
    if (strcmp(base, "") == 0 || strcmp(base, ".") == 0 || strcmp(base, "..") == 0 ||
        (lstat(copy, &st) == 0 && S_ISLNK(st.st_mode)))
        return realpath(copy, NULL);

    char *parent;
    if (!slash)
        parent = realpath(".", NULL);
    else if (slash == copy)
        parent = strdup("");
    else
        *slash = '\0', parent = realpath(copy, NULL);
    if (!parent)
        return NULL;
    char *ret = NULL;
    if (asprintf(&ret, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, base) < 0)
        ret = NULL;
    free(parent);
    return ret;
}

static int run_fusermount(const char *absolute)
{
    pid_t pid = fork();
    if (pid == 0) {
        child_prepare();
        execlp("fusermount3", "fusermount3", "-u", "-z", "--", absolute, (char *)NULL);
        _exit(127);
    }
    if (pid < 0)
        return -errno;
    int status;
    if (child_wait(pid, FUSERMOUNT_MS, &status) < 0) {
        child_end(pid, false, FUSERMOUNT_GRACE);
        return -ETIMEDOUT;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int heal(const char *absolute, struct buf *why)
{
    struct mount_entry m;
    if (!find_mount(absolute, &m)) {
        buf_printf(why, "%s: nothing answers there, and it is no mount of this program", absolute);
        return -ENOTCONN;
    }
    if (strcmp(m.type, OUR_TYPE) != 0 || (geteuid() != 0 && (!m.has_user || m.user != getuid()))) {
        buf_printf(why,
                   "%s: a dead mount of %s (type %s) is there; unmount it first: fusermount3 -u %s",
                   absolute, strcmp(m.type, OUR_TYPE) == 0 ? "another user" : "another program",
                   m.type, absolute);
        return -ENOTCONN;
    }

    int r = geteuid() == 0 ? umount2(absolute, MNT_DETACH | UMOUNT_NOFOLLOW) : -1;
    if (r < 0)
        r = run_fusermount(absolute);
    if (r < 0) {
        buf_printf(why, "%s: the dead mount of an earlier run cannot be removed: fusermount3 -u %s",
                   absolute, absolute);
        return -ENOTCONN;
    }
    log_info("%s: unmounted the dead mount of an earlier run", absolute);
    return 0;
}

/* The kernel goes on answering stat() from its cache for a while after a FUSE program has died, and
 * says ENOTCONN only to who insists on asking the program. */
static int ask(const char *absolute, mode_t *ret_mode)
{
    struct statx st;
    if (statx(AT_FDCWD, absolute, AT_STATX_FORCE_SYNC, STATX_TYPE, &st) < 0)
        return -errno;
    *ret_mode = st.stx_mode;
    return 0;
}

static int check_directory(const char *absolute, mode_t mode, bool nonempty, struct buf *why)
{
    struct mount_entry m;
    if (!S_ISDIR(mode)) {
        buf_printf(why, "%s: this is not a directory", absolute);
        return -ENOTDIR;
    }
    if (find_mount(absolute, &m) && strcmp(m.type, OUR_TYPE) == 0) {
        buf_printf(why, "%s: systemefs is mounted there already; fusermount3 -u %s ends it",
                   absolute, absolute);
        return -EBUSY;
    }
    /* What fusermount3 demands of everybody but root. */
    if (geteuid() != 0 && access(absolute, W_OK) < 0) {
        buf_printf(why, "%s: you may not mount on a directory that you may not write to", absolute);
        return -EACCES;
    }
    if (nonempty)
        return 0;

    DIR *dir = opendir(absolute);
    if (!dir) {
        int error = errno;
        buf_printf(why, "%s: cannot look into it: %s", absolute, strerror(error));
        return -error;
    }
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = -ENOTEMPTY;
    closedir(dir);
    if (r < 0)
        buf_printf(why,
                   "%s: this directory is not empty, and a mount would hide what is in it; take "
                   "another one, or -o nonempty",
                   absolute);
    return r;
}

static int check_absolute(const char *absolute, bool nonempty, struct buf *why)
{
    mode_t mode = 0;
    int r = ask(absolute, &mode);
    for (unsigned i = 0; r == -ENOTCONN && i < DEAD_MOUNTS_MAX; i++) {
        r = heal(absolute, why);
        if (r < 0)
            return r;
        r = ask(absolute, &mode);
    }
    if (r == -ENOENT)
        buf_printf(why, "%s: this directory does not exist; make it first: mkdir -p %s", absolute,
                   absolute);
    else if (r < 0)
        buf_printf(why, "%s: cannot mount there: %s", absolute, strerror(-r));
    return r < 0 ? r : check_directory(absolute, mode, nonempty, why);
}

int daemon_check_mountpoint(const char *path, bool nonempty, char **ret_absolute, struct buf *why)
{
    /* mount.fuse3 has mounted already, and gives the descriptor to serve. */
    bool descriptor = strncmp(path, "/dev/fd/", strlen("/dev/fd/")) == 0;
    char *absolute = descriptor ? strdup(path) : make_absolute(path);
    if (!absolute) {
        int error = errno;
        if (error == ENOENT)
            buf_printf(why, "%s: this directory does not exist; make it first: mkdir -p %s", path,
                       path);
        else
            buf_printf(why, "%s: cannot mount there: %s", path, strerror(error));
        return -error;
    }
    int r = descriptor ? 0 : check_absolute(absolute, nonempty, why);
    if (r < 0)
        free(absolute);
    else
        *ret_absolute = absolute;
    return r;
}
