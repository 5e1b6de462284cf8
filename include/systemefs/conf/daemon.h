/*
 * conf/daemon: how the program starts: into the background, onto a mount point, with a sandbox.
 *
 * The order in main() matters:
 *
 *   options_parse()                 errors are on the person's terminal, nothing has happened yet
 *   daemon_check_mountpoint()       the same; a dead mount of ours is healed here
 *   daemon_background()             from here on this is the process that stays
 *   secret_lock()                   a child does not inherit locked memory
 *   daemon_sandbox_start()          after the fork: it ends with the process that started it
 *   ... mount, first answer ...
 *   daemon_report_ready() or daemon_report_failure()
 *   ... serve ...
 *   unmount, daemon_sandbox_stop()
 *
 * Between fork and report the parent waits: it prints what failed and ends with that exit code,
 * so that `systemefs MOUNTPOINT && ls MOUNTPOINT' works. No thread may exist before
 * daemon_background().
 *
 * Layer: conf. Errors: -errno and a sentence appended to `why`.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "systemefs/base/buf.h"

enum daemon_exit {
    DAEMON_EXIT_OK = 0,
    DAEMON_EXIT_FAILURE = 1, /* it could not be mounted, or could not go on */
    DAEMON_EXIT_USAGE = 2,   /* the command line or the configuration file is wrong */
};

struct daemon {
    /* private */
    int report; /* where the parent listens */
    bool background;
};

/* For a mount that stays in the foreground; the reports go to standard error. */
#define DAEMON_FOREGROUND ((struct daemon){.report = -1})

/*
 * Forks. Returns 0 in the child, which leads a session of its own; the parent waits in here for
 * the child's report and ends with it. A child that ends without a word is reported as such, with
 * DAEMON_EXIT_FAILURE. Negative, in the only process, when fork() fails.
 */
int daemon_background(struct daemon *ret, struct buf *why);
/*
 * Ends the parent with 0 and lets go of the terminal: "/" becomes the working directory, standard
 * input and output become /dev/null, and so does standard error unless it goes to the journal.
 * -EPIPE when the parent is gone (Ctrl-C while it waited): then nobody wants the mount any more.
 */
int daemon_report_ready(struct daemon *d);
/* The text (one sentence, without newline) and the exit code for the parent, which prints it with
 * "systemefs: " in front. The caller ends with the same code. */
void daemon_report_failure(struct daemon *d, int exit_code, const char *text);

/*
 * Whether `path` can be mounted on. `ret_absolute` gets the path without "..", links and relation
 * to the working directory; the caller frees. /dev/fd/N (mount.fuse3 with drop_privileges) is taken
 * as it is.
 *
 * -ENOENT, -ENOTDIR, -EACCES; -ENOTEMPTY unless `nonempty`; -EBUSY when systemefs is mounted
 * there already; -ENOTCONN for a dead mount that is not ours to heal. A dead one of our own (type
 * fuse.systemefs, mounted by the caller, and stat says ENOTCONN) is unmounted, with a line in the
 * log.
 */
int daemon_check_mountpoint(const char *path, bool nonempty, char **ret_absolute, struct buf *why);

struct daemon_sandbox {
    pid_t pid; /* 0: none */
    char *url; /* without a trailing '/'; the gateway's form is at URL/systeme */
    char *key;
    char *gateway_key;
};

/*
 * Starts a systemefs-sandbox and waits until it listens, 20 seconds at most. It is looked for
 * beside this program, in ../sandbox and ./sandbox from there (the build tree), then in PATH.
 * `args` are further arguments, split at blanks, or NULL. It is told to end with the thread that
 * calls this, so that must be one that lives as long as the mount. With `background` it never holds
 * our standard error: what it says of a start that fails is passed on, and nothing after that.
 */
int daemon_sandbox_start(const char *args, bool background, struct daemon_sandbox *ret,
                         struct buf *why);
/* Ends it (SIGTERM, at most three seconds, SIGKILL) and frees the strings. Accepts a zeroed one.*/
void daemon_sandbox_stop(struct daemon_sandbox *s);
