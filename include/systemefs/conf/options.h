/*
 * conf/options: what the person asked for, checked, in one struct.
 *
 * One table describes every option: name, type, range, default, help. It prints --help, reads
 * the command line (-o a=b,c  and  --a=b), the config file, and names the option in each error.
 * Order of precedence: command line, then the chosen [account] section, then the top of the file,
 * then systemd's credential and the environment (keys only), then the default. What mount(8) adds
 * to every command line by itself (rw, dev, suid) does not lift what the file forbids.
 *
 * Layer: conf. Calls base and codec. Errors come as -errno and one sentence for the person.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "systemefs/base/buf.h"
#include "systemefs/base/log.h"
#include "systemefs/conf/secret.h"

enum auth_mode { AUTH_NONE, AUTH_GATEWAY, AUTH_DIRECT };

struct options {
    char *mountpoint; /* as given; NULL only with help or version */
    bool help, version;
    bool foreground; /* -f, and -d */
    bool fuse_debug; /* -d */
    enum log_level log_level;
    bool sandbox;       /* mount a private systemefs-sandbox */
    char *sandbox_args; /* further arguments for it, split at blanks; may be NULL */

    enum auth_mode auth;
    bool both_keys;   /* both environment keys were set and nothing chose: say so */
    char *api_url;    /* without a trailing '/' */
    char *ctrl_url;   /* NULL: no connections/ */
    char *connection; /* gateway connection id, or NULL */
    struct secret key;

    int64_t ttl_ms;
    int64_t timeout_ms;
    unsigned jobs;
    unsigned reserve;      /* percent */
    unsigned delete_limit; /* 0: none */
    uint64_t cache_size;   /* bytes of text that are kept, 0: all */
    char *access_type;
    bool ro, dry_run, insecure_http;
    char *cacert;  /* or NULL */
    char *account; /* the chosen section, or NULL */

    uid_t uid; /* owner shown of every file */
    gid_t gid;
    mode_t umask;       /* bits taken off 0777 and 0666 */
    bool nonempty;      /* mount over a directory that is not empty */
    char *fuse_options; /* what goes to libfuse as it is: "allow_other,fsname=x", or NULL */
};

/*
 * Fills `ret` from the arguments, the file and the environment. On failure (-errno) `why` holds a
 * sentence that names the option or FILE:LINE, and nothing is left to free.
 * -EINVAL: the command line or the file is wrong (exit code 2); -ENOKEY: there is no key; anything
 * else: a file or command could not be used.
 * --help and --version win over everything else. With `sandbox` no key and no url is wanted: they
 * stay unset for the caller to fill in, and `auth` is direct unless something chose the gateway.
 * `why` is initialized by the caller; a few kilobytes hold every sentence.
 * The environment variables that hold keys are wiped from the process's environment block
 * (so that /proc/PID/environ does not show them) whether or not they are used.
 */
int options_parse(int argc, char **argv, struct options *ret, struct buf *why);
void options_finish(struct options *o);
/* The text of --help, made from the table. */
void options_help(struct buf *out);
