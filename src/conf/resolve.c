#include "draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "systemefs/base/macros.h"
#include "systemefs/codec/url.h"

#define FUSE_OPTIONS_MAX (64 * 1024) /* bytes of the text for libfuse; the kernel takes a page */
#define CONNECTION_MAX   128         /* bytes; it is a UUID, and travels in a header */
#define PATH_TEXT_MAX    8192

static const struct {
    const char *name; /* as auth= has it; NULL: not chosen */
    const char *variable;
    const char *api_url;
    const char *ctrl_url;
} modes[] = {
    [AUTH_NONE] = {0},
    [AUTH_GATEWAY] = {"maton", "MATON_API_KEY", "https://gateway.maton.ai/systeme",
                      "https://ctrl.maton.ai"},
    [AUTH_DIRECT] = {"systeme", "SYSTEME_API_KEY", "https://api.systeme.io", NULL},
};

static enum auth_mode other_mode(enum auth_mode auth)
{
    return auth == AUTH_GATEWAY ? AUTH_DIRECT : AUTH_GATEWAY;
}

static int no_memory(struct buf *why)
{
    buf_append_str(why, "out of memory");
    return -ENOMEM;
}

/* Puts a copy of `value` where nothing was chosen. */
static int set_default(char **member, const char *value, struct buf *why)
{
    if (*member || !value)
        return 0;
    *member = strdup(value);
    return *member ? 0 : no_memory(why);
}

static int refuse_with_sandbox(const struct draft *d, struct buf *why)
{
    static const char *const names[] = {"api_url",     "ctrl_url", "key_file",
                                        "key_command", "account",  "cacert"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (draft_layer(d, names[i]) == OPTION_LAYER_COMMAND) {
            buf_printf(why, "--sandbox brings its own server and key: leave out %s", names[i]);
            return -EINVAL;
        }
    return 0;
}

/* What the file says about the real account means nothing to the sandbox. */
static int resolve_sandbox(struct draft *d, struct buf *why)
{
    int r = refuse_with_sandbox(d, why);
    if (r < 0)
        return r;
    char **dropped[] = {&d->o.api_url, &d->o.ctrl_url, &d->o.cacert};
    for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
        free(*dropped[i]);
        *dropped[i] = NULL;
    }
    if (draft_layer(d, "connection") != OPTION_LAYER_COMMAND) {
        free(d->o.connection);
        d->o.connection = NULL;
    }
    if (d->o.auth == AUTH_NONE)
        d->o.auth = d->o.connection ? AUTH_GATEWAY : AUTH_DIRECT;
    return 0;
}

/* $CREDENTIALS_DIRECTORY/systemefs where systemd has put one, else NULL; the caller frees. */
static char *credential_path(void)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (!directory || directory[0] != '/')
        return NULL;
    struct buf path;
    buf_init(&path, PATH_TEXT_MAX);
    buf_printf(&path, "%s/systemefs", directory);
    char *ret = buf_take(&path, NULL);
    if (ret && access(ret, F_OK) == 0)
        return ret;
    free(ret);
    return NULL;
}

static bool environment_has(const struct environment_keys *keys, enum auth_mode auth)
{
    return auth == AUTH_GATEWAY ? keys->maton.text || keys->maton_why.len
                                : keys->systeme.text || keys->systeme_why.len;
}

static int refuse_no_key(const struct draft *d, const char *config_path, const char *accounts,
                         struct buf *why)
{
    if (d->o.auth == AUTH_NONE)
        buf_append_str(why, "no API key: set MATON_API_KEY (for the gateway) or SYSTEME_API_KEY "
                            "(for the API itself)");
    else
        buf_printf(why, "no API key for auth=%s: set %s (%s serves auth=%s)", modes[d->o.auth].name,
                   modes[d->o.auth].variable, modes[other_mode(d->o.auth)].variable,
                   modes[other_mode(d->o.auth)].name);
    buf_printf(why, ", or name a key_file or key_command in %s", config_path);
    if (*accounts && !d->o.account)
        buf_printf(why, " (its accounts, chosen with -o account=NAME: %s)", accounts);
    buf_append_str(why, "; or look around without any key: systemefs --sandbox MOUNTPOINT");
    return -ENOKEY;
}

/* Where the account's own section names one source of the key, it replaces the one that the top
 * of the file names. */
static void drop_overruled_source(struct draft *d)
{
    enum option_layer file = draft_layer(d, "key_file");
    enum option_layer command = draft_layer(d, "key_command");
    if (!d->key_file || !d->key_command || file == command)
        return;
    char **overruled = file < command ? &d->key_file : &d->key_command;
    free(*overruled);
    *overruled = NULL;
}

static int choose_auth(struct draft *d, const struct environment_keys *keys, const char *credential,
                       const char *config_path, const char *accounts, struct buf *why)
{
    const char *source = d->key_file      ? "key_file"
                         : d->key_command ? "key_command"
                         : credential     ? "the systemd credential `systemefs'"
                                          : NULL;
    if (d->key_file && d->key_command) {
        buf_append_str(why, "key_file and key_command are both given: keep one of them");
        return -EINVAL;
    }
    if (source && d->o.auth != AUTH_NONE)
        return 0;
    if (source) {
        /* Guessing could hand the key of one service to the other. */
        buf_printf(why,
                   "%s is given, but not which service its key is for: add auth=maton (gateway) "
                   "or auth=systeme (direct)",
                   source);
        return -EINVAL;
    }
    if (d->o.auth == AUTH_NONE) {
        bool maton = environment_has(keys, AUTH_GATEWAY);
        bool systeme = environment_has(keys, AUTH_DIRECT);
        d->o.both_keys = maton && systeme;
        d->o.auth = maton ? AUTH_GATEWAY : systeme ? AUTH_DIRECT : AUTH_NONE;
    }
    if (d->o.auth == AUTH_NONE || !environment_has(keys, d->o.auth))
        return refuse_no_key(d, config_path, accounts, why);
    return 0;
}

static int take_key(struct draft *d, struct environment_keys *keys, const char *credential,
                    struct buf *why)
{
    if (d->key_file)
        return secret_from_file(&d->o.key, d->key_file, why);
    if (d->key_command)
        return secret_from_command(&d->o.key, d->key_command, why);
    if (credential)
        return secret_from_credential(&d->o.key, credential, why);

    bool gateway = d->o.auth == AUTH_GATEWAY;
    const struct buf *reason = gateway ? &keys->maton_why : &keys->systeme_why;
    if (reason->len) {
        buf_append(why, reason->data, reason->len);
        return -EINVAL;
    }
    struct secret *key = gateway ? &keys->maton : &keys->systeme;
    d->o.key = *key;
    *key = (struct secret){0};
    return 0;
}

static int check_http(const struct draft *d, const char *name, const char *url, struct buf *why)
{
    struct url_info info;
    const char *reason;
    if (!url || d->o.insecure_http || url_check_base(url, &info, &reason) < 0 || info.https ||
        info.loopback)
        return 0;
    buf_printf(why,
               "%s: http:// would send your key unencrypted to another host; use https://, or "
               "insecure_http if you mean it",
               name);
    return -EINVAL;
}

static int resolve_urls(struct draft *d, struct buf *why)
{
    int r = set_default(&d->o.api_url, modes[d->o.auth].api_url, why);
    if (r == 0)
        r = set_default(&d->o.ctrl_url, modes[d->o.auth].ctrl_url, why);
    if (r < 0)
        return r;
    if (d->o.auth == AUTH_DIRECT) {
        /* Connections are the gateway's; asking for them here is a mistake worth a word, unless
         * the file says so for all of its accounts. */
        if (draft_layer(d, "connection") == OPTION_LAYER_COMMAND ||
            draft_layer(d, "ctrl_url") == OPTION_LAYER_COMMAND) {
            buf_append_str(why, "connection and ctrl_url belong to the gateway: use them with "
                                "auth=maton");
            return -EINVAL;
        }
        free(d->o.connection);
        free(d->o.ctrl_url);
        d->o.connection = d->o.ctrl_url = NULL;
    }
    r = check_http(d, "api_url", d->o.api_url, why);
    return r < 0 ? r : check_http(d, "ctrl_url", d->o.ctrl_url, why);
}

static int check_connection(const struct draft *d, struct buf *why)
{
    static const char allowed[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.";
    const char *id = d->o.connection;
    if (!id || (strspn(id, allowed) == strlen(id) && strlen(id) <= CONNECTION_MAX))
        return 0;
    buf_append_str(why, "connection: ");
    draft_quote(id, strlen(id), why);
    buf_append_str(why, " is no connection id (letters, digits, '-', '_' and '.')");
    return -EINVAL;
}

/* The program leaves this directory when it goes to the background, so the path is made whole. */
static int resolve_cacert(struct draft *d, struct buf *why)
{
    if (!d->o.cacert)
        return 0;
    const char *reason = NULL;
    char *path = realpath(d->o.cacert, NULL);
    struct stat st;
    if (!path || stat(path, &st) < 0 || access(path, R_OK) < 0)
        reason = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        reason = "it is no file";
    if (reason) {
        buf_append_str(why, "cacert: cannot read ");
        draft_quote(d->o.cacert, strlen(d->o.cacert), why);
        buf_printf(why, ": %s", reason);
        free(path);
        return -EINVAL;
    }
    free(d->o.cacert);
    d->o.cacert = path;
    return 0;
}

/* One option for libfuse, where ',' and '\' in a value have a '\' in front. */
static void append_fuse(struct buf *out, const char *name, const char *value)
{
    if (out->len)
        buf_append_byte(out, ',');
    buf_append_str(out, name);
    if (!*value)
        return;
    buf_append_byte(out, '=');
    for (const char *p = value; *p; p++) {
        if (*p == ',' || *p == '\\')
            buf_append_byte(out, '\\');
        buf_append_byte(out, *p);
    }
}

static int resolve_fuse(struct draft *d, struct buf *why)
{
    struct buf out;
    buf_init(&out, FUSE_OPTIONS_MAX);
    bool fsname = false, subtype = false;
    for (size_t i = 0; i < option_table_len; i++) {
        if (!d->passed[i])
            continue;
        append_fuse(&out, option_table[i].name, d->passed[i]);
        fsname |= strcmp(option_table[i].name, "fsname") == 0;
        subtype |= strcmp(option_table[i].name, "subtype") == 0;
    }
    if (!fsname) {
        /* With a colon: df -l and others then take it for the remote thing that it is. */
        struct buf source;
        buf_init(&source, PATH_TEXT_MAX);
        buf_append_str(&source, "systemefs:");
        const char *host = d->o.api_url ? strstr(d->o.api_url, "://") : NULL;
        if (d->o.account)
            buf_append_str(&source, d->o.account);
        else if (host)
            buf_append(&source, host + 3, strcspn(host + 3, "/"));
        else
            buf_append_str(&source, "sandbox");
        append_fuse(&out, "fsname", source.data ? source.data : "systemefs");
        buf_finish(&source);
    }
    if (!subtype)
        append_fuse(&out, "subtype", "systemefs");
    if (d->o.ro)
        append_fuse(&out, "ro", "");
    int r = buf_error(&out);
    if (r == 0)
        d->o.fuse_options = buf_take(&out, NULL);
    else
        buf_append_str(why, "the options for FUSE are too long");
    buf_finish(&out);
    return r;
}

static int resolve_account(struct draft *d, struct environment_keys *keys, const char *config_path,
                           const char *accounts, struct buf *why)
{
    drop_overruled_source(d);
    char *credential = d->key_file || d->key_command ? NULL : credential_path();
    int r = choose_auth(d, keys, credential, config_path, accounts, why);
    if (r == 0)
        r = resolve_urls(d, why);
    if (r == 0)
        r = resolve_cacert(d, why);
    /* Last, as a command may ask the person for a passphrase. */
    if (r == 0)
        r = take_key(d, keys, credential, why);
    free(credential);
    return r;
}

int draft_resolve(struct draft *d, struct environment_keys *keys, const char *config_path,
                  const char *accounts, struct buf *why)
{
    if (d->o.fuse_debug)
        d->o.foreground = true;
    d->o.log_level = d->o.fuse_debug && draft_layer(d, "log_level") != OPTION_LAYER_COMMAND
                         ? LOG_LEVEL_DEBUG
                         : (enum log_level)log_level_from_name(d->log_level);
    for (size_t i = AUTH_GATEWAY; d->auth && i < ARRAY_SIZE(modes); i++)
        if (strcmp(modes[i].name, d->auth) == 0)
            d->o.auth = (enum auth_mode)i;
    if (d->o.sandbox_args && !d->o.sandbox) {
        buf_append_str(why, "sandbox_args says how to start the sandbox: add --sandbox");
        return -EINVAL;
    }

    int r = check_connection(d, why);
    if (r == 0)
        r = d->o.sandbox ? resolve_sandbox(d, why)
                         : resolve_account(d, keys, config_path, accounts, why);
    return r < 0 ? r : resolve_fuse(d, why);
}
