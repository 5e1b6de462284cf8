#include "systemefs/conf/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"

#define COMMAND_OUTPUT_MAX (64 * 1024) /* bytes; `pass show' prints notes behind the key */
#define COMMAND_GRACE_MS   500         /* between SIGTERM and SIGKILL */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int refuse(struct buf *why, int error, const char *source, const char *reason)
{
    buf_printf(why, "%s %s", source, reason);
    return error;
}

/* `source` begins the sentence: "the key in FILE". */
static int set_from(struct secret *s, const char *source, const char *text, size_t len,
                    struct buf *why)
{
    while (len > 0 && is_space(text[0]))
        text++, len--;
    while (len > 0 && is_space(text[len - 1]))
        len--;
    if (len == 0)
        return refuse(why, -EINVAL, source, "is empty");
    if (len > SECRET_MAX)
        return refuse(why, -EFBIG, source, "is longer than 4096 bytes");
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return refuse(why, -EINVAL, source,
                          "holds a blank or a character that no key has: is there more than the "
                          "key, or a typing mistake?");

    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapped = (len + 1 + page - 1) / page * page;
    char *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return refuse(why, -ENOMEM, source, "finds no memory");
    madvise(memory, mapped, MADV_DONTDUMP);
    memcpy(memory, text, len);
    *s = (struct secret){.text = memory, .len = len, .mapped = mapped};
    secret_lock(s);
    return 0;
}

int secret_set(struct secret *s, const char *text, size_t len, struct buf *why)
{
    return set_from(s, "the key", text, len, why);
}

void secret_lock(struct secret *s)
{
    if (s->text)
        mlock(s->text, s->mapped);
}

void secret_finish(struct secret *s)
{
    if (s->text) {
        explicit_bzero(s->text, s->mapped);
        munmap(s->text, s->mapped);
    }
    *s = (struct secret){0};
}

int secret_from_env(struct secret *s, const char *variable, struct buf *why)
{
    size_t name_len = strlen(variable);
    const char *value = getenv(variable);
    int r = 0;
    if (value && *value) {
        struct buf source;
        buf_init(&source, 256);
        buf_printf(&source, "the key in %s", variable);
        r = set_from(s, source.data ? source.data : "the key", value, strlen(value), why);
        buf_finish(&source);
    }

    /* A block may hold a name twice, and getenv() shows the first only. */
    for (char **e = environ; e && *e; e++)
        if (strncmp(*e, variable, name_len) == 0 && (*e)[name_len] == '=')
            explicit_bzero(*e + name_len + 1, strlen(*e + name_len + 1));
    unsetenv(variable);
    return r;
}

static int read_key(struct secret *s, int fd, const char *path, struct buf *why)
{
    char text[SECRET_MAX + 1];
    size_t len = 0;
    ssize_t n = 0;
    while (len < sizeof(text) && (n = read(fd, text + len, sizeof(text) - len)) > 0)
        len += (size_t)n;
    int r = 0;
    if (n < 0) {
        r = -errno;
        buf_printf(why, "cannot read the key file %s: %s", path, strerror(errno));
    } else {
        struct buf source;
        buf_init(&source, 8192);
        buf_printf(&source, "the key in %s", path);
        r = set_from(s, source.data ? source.data : "the key", text, len, why);
        buf_finish(&source);
    }
    explicit_bzero(text, sizeof(text));
    return r;
}

/* `others`: the permission bits that may not be there. */
static int from_file(struct secret *s, const char *path, mode_t others, bool own, struct buf *why)
{
    /* O_NONBLOCK: a pipe without a writer must not hold up the mount. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    int r = 0;
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = -errno;
        buf_printf(why, "cannot read the key file %s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        r = -EINVAL;
        buf_printf(why, "the key file %s is no regular file", path);
    } else if (own && st.st_uid != geteuid()) {
        r = -EACCES;
        buf_printf(why, "the key file %s belongs to another user (%u)", path, st.st_uid);
    } else if (st.st_mode & others) {
        r = -EACCES;
        buf_printf(why, "the key file %s is open to other users (mode %04o): chmod 600 it", path,
                   st.st_mode & 07777);
    } else {
        r = read_key(s, fd, path, why);
    }
    if (fd >= 0)
        close(fd);
    return r;
}

int secret_from_file(struct secret *s, const char *path, struct buf *why)
{
    return from_file(s, path, 066, true, why);
}

int secret_from_credential(struct secret *s, const char *path, struct buf *why)
{
    return from_file(s, path, 006, false, why);
}

int secret_from_command(struct secret *s, const char *command, struct buf *why)
{
    return secret_from_command_within(s, command, SECRET_COMMAND_LIMIT_MS, why);
}

/* What came from the command, once it has ended. */
static int take_output(struct secret *s, const char *output, ssize_t len, int status,
                       struct buf *why)
{
    if (status != 0) {
        buf_append_str(why, "key_command failed with ");
        child_describe(status, why);
        return -EIO;
    }
    const char *end = len > 0 ? memchr(output, '\n', (size_t)len) : NULL;
    return set_from(s, "the key that key_command prints", output,
                    end ? (size_t)(end - output) : (size_t)len, why);
}

static int run_failed(int error, int limit_ms, struct buf *why)
{
    if (error == -ETIMEDOUT)
        buf_printf(why, "key_command did not end within %d ms", limit_ms);
    else if (error == -EFBIG)
        buf_printf(why, "key_command prints more than %d bytes", COMMAND_OUTPUT_MAX);
    else
        buf_printf(why, "cannot run key_command: %s", strerror(-error));
    return error;
}

/* The parent's side. `fd` is what the command writes to. */
static int read_command(struct secret *s, pid_t pid, int fd, int limit_ms, struct buf *why)
{
    char *output = malloc(COMMAND_OUTPUT_MAX);
    ssize_t len = output ? child_read(fd, output, COMMAND_OUTPUT_MAX, false, limit_ms) : -ENOMEM;
    int status = 0;
    int r = len < 0 ? (int)len : child_wait(pid, COMMAND_GRACE_MS, &status);
    if (r < 0) {
        child_end(pid, true, COMMAND_GRACE_MS);
        run_failed(r, limit_ms, why);
    } else {
        r = take_output(s, output, len, status, why);
    }
    if (output)
        explicit_bzero(output, COMMAND_OUTPUT_MAX);
    free(output);
    return r;
}

int secret_from_command_within(struct secret *s, const char *command, int limit_ms, struct buf *why)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return run_failed(-errno, limit_ms, why);
    pid_t pid = fork();
    if (pid == 0) {
        child_prepare();
        dup2(fds[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int error = -errno;
    close(fds[1]);
    int r;
    if (pid < 0) {
        r = run_failed(error, limit_ms, why);
    } else {
        /* The child does the same; whoever comes first, the group exists before it is ended. */
        setpgid(pid, pid);
        r = read_command(s, pid, fds[0], limit_ms, why);
    }
    close(fds[0]);
    return r;
}
