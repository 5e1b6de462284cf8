#include "systemefs/conf/option_table.h"

#include <stdio.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "systemefs/conf/options.h"

#include "draft.h"

#define AT(member) offsetof(struct draft, member)
#define FUSE_FLAG  .kind = OPTION_FUSE, .group = OPTION_GROUP_FUSE
#define FUSE_VALUE .kind = OPTION_FUSE_VALUE, .group = OPTION_GROUP_FUSE
#define DROPPED(n, why)                                                                            \
    {                                                                                              \
        .name = (n), .kind = OPTION_IGNORED, .group = OPTION_GROUP_IGNORED, .help = (why)          \
    }

static const char *const auth_choices[] = {"maton", "systeme", NULL};
static const char *const level_choices[] = {"error", "warn", "info", "debug", NULL};
static const char *const access_choices[] = {"full_access", "partial_access", "dripping_content",
                                             "partial_dripping_access", NULL};

/* clang-format off */
const struct option_row option_table[] = {
    /* general */
    {.name = "help", .letter = 'h', .kind = OPTION_FLAG, .offset = AT(o.help), .command_only = true,
     .help = "print this text and end"},
    {.name = "version", .letter = 'V', .kind = OPTION_FLAG, .offset = AT(o.version),
     .command_only = true, .help = "print the version and end"},
    {.name = "foreground", .letter = 'f', .kind = OPTION_FLAG, .offset = AT(o.foreground),
     .command_only = true, .help = "stay in the foreground"},
    {.name = "debug", .letter = 'd', .kind = OPTION_FLAG, .offset = AT(o.fuse_debug),
     .command_only = true, .help = "the same, and log every FUSE request"},
    {.name = "single_thread", .letter = 's', .kind = OPTION_IGNORED, .command_only = true,
     .help = "taken for FUSE's sake; there is one thread anyway"},
    {.name = "log_level", .kind = OPTION_CHOICE, .offset = AT(log_level), .choices = level_choices,
     .argument = "LEVEL", .preset = "info", .help = "error, warn, info or debug"},
    {.name = "config", .kind = OPTION_PATH, .offset = AT(config), .command_only = true,
     .argument = "FILE", .default_note = "$XDG_CONFIG_HOME/systemefs/config",
     .help = "read options from FILE"},
    {.name = "account", .kind = OPTION_TEXT, .offset = AT(o.account), .command_only = true,
     .argument = "NAME", .default_note = "none", .help = "use section [account NAME] of the file"},

    /* account */
    {.name = "auth", .kind = OPTION_CHOICE, .group = OPTION_GROUP_ACCOUNT, .offset = AT(auth),
     .choices = auth_choices, .argument = "MODE", .default_note = "by the key that is set",
     .help = "maton: the gateway; systeme: direct"},
    {.name = "key_file", .kind = OPTION_PATH, .group = OPTION_GROUP_ACCOUNT, .offset = AT(key_file),
     .argument = "FILE", .default_note = "none", .help = "read the key from FILE (mode 0600)"},
    {.name = "key_command", .kind = OPTION_TEXT, .group = OPTION_GROUP_ACCOUNT,
     .offset = AT(key_command), .argument = "COMMAND", .default_note = "none",
     .help = "the key is the first line that COMMAND prints"},
    {.name = "connection", .kind = OPTION_TEXT, .group = OPTION_GROUP_ACCOUNT,
     .offset = AT(o.connection), .argument = "ID", .default_note = "the gateway chooses",
     .help = "gateway: the connection to use"},
    {.name = "api_url", .kind = OPTION_URL, .group = OPTION_GROUP_ACCOUNT, .offset = AT(o.api_url),
     .argument = "URL", .default_note = "by auth", .help = "base URL of the API"},
    {.name = "ctrl_url", .kind = OPTION_URL, .group = OPTION_GROUP_ACCOUNT,
     .offset = AT(o.ctrl_url), .argument = "URL", .default_note = "https://ctrl.maton.ai",
     .help = "gateway: base URL of the connections API"},
    {.name = "cacert", .kind = OPTION_PATH, .group = OPTION_GROUP_ACCOUNT, .offset = AT(o.cacert),
     .argument = "FILE", .default_note = "the system's certificates",
     .help = "trust the CA certificates in FILE too"},
    {.name = "insecure_http", .kind = OPTION_FLAG, .group = OPTION_GROUP_ACCOUNT,
     .offset = AT(o.insecure_http), .help = "allow http:// to hosts other than this one"},

    /* behaviour */
    {.name = "ttl", .kind = OPTION_SECONDS, .group = OPTION_GROUP_BEHAVIOUR, .offset = AT(o.ttl_ms),
     .argument = "SECONDS", .preset = "60", .max = 86400,
     .help = "serve what is known for so long; 0 asks every time"},
    {.name = "timeout", .kind = OPTION_SECONDS, .group = OPTION_GROUP_BEHAVIOUR,
     .offset = AT(o.timeout_ms), .argument = "SECONDS", .preset = "30", .min = 1, .max = 3600,
     .help = "the longest that a file operation may wait"},
    {.name = "jobs", .kind = OPTION_NUMBER, .group = OPTION_GROUP_BEHAVIOUR, .offset = AT(o.jobs),
     .argument = "N", .preset = "8", .min = 1, .max = 64, .help = "API requests in flight at once"},
    {.name = "reserve", .kind = OPTION_NUMBER, .group = OPTION_GROUP_BEHAVIOUR,
     .offset = AT(o.reserve), .argument = "PERCENT", .preset = "10", .max = 90,
     .help = "share of the quota left for other tools"},
    {.name = "cache_size", .kind = OPTION_SIZE, .group = OPTION_GROUP_BEHAVIOUR,
     .offset = AT(o.cache_size), .argument = "SIZE", .preset = "0",
     .help = "keep so much text (K, M, G); 0: no bound"},
    {.name = "delete_limit", .kind = OPTION_NUMBER, .group = OPTION_GROUP_BEHAVIOUR,
     .offset = AT(o.delete_limit), .argument = "N", .preset = "50", .max = 1000000,
     .help = "deletes allowed in 60 seconds; 0: no limit"},
    {.name = "access_type", .kind = OPTION_CHOICE, .group = OPTION_GROUP_BEHAVIOUR,
     .offset = AT(o.access_type), .choices = access_choices, .argument = "TYPE",
     .preset = "full_access", .help = "what mkdir in enrollments/ grants"},
    {.name = "ro", .kind = OPTION_FLAG, .group = OPTION_GROUP_BEHAVIOUR, .offset = AT(o.ro),
     .help = "no writes"},
    {.name = "rw", .kind = OPTION_FLAG, .group = OPTION_GROUP_BEHAVIOUR, .offset = AT(rw),
     .against = "ro", .help = "undo an earlier ro, but not the file's: see the manual"},
    {.name = "dry_run", .kind = OPTION_FLAG, .group = OPTION_GROUP_BEHAVIOUR,
     .offset = AT(o.dry_run), .help = "check and log every write, and send nothing"},

    /* sandbox */
    {.name = "sandbox", .kind = OPTION_FLAG, .group = OPTION_GROUP_SANDBOX, .offset = AT(o.sandbox),
     .command_only = true, .help = "mount a private systemefs-sandbox: no account, no key"},
    {.name = "sandbox_args", .kind = OPTION_TEXT, .group = OPTION_GROUP_SANDBOX,
     .offset = AT(o.sandbox_args), .command_only = true, .argument = "ARGS",
     .default_note = "none", .help = "further arguments for it, split at blanks"},

    /* files */
    {.name = "uid", .kind = OPTION_USER, .group = OPTION_GROUP_FILES, .offset = AT(o.uid),
     .argument = "USER", .default_note = "the caller", .help = "owner of all files"},
    {.name = "gid", .kind = OPTION_GROUP, .group = OPTION_GROUP_FILES, .offset = AT(o.gid),
     .argument = "GROUP", .default_note = "the caller's", .help = "group of all files"},
    {.name = "umask", .kind = OPTION_OCTAL, .group = OPTION_GROUP_FILES, .offset = AT(o.umask),
     .argument = "OCTAL", .preset = "077", .max = 0777, .help = "permissions to take away"},
    {.name = "nonempty", .kind = OPTION_FLAG, .group = OPTION_GROUP_FILES, .offset = AT(o.nonempty),
     .help = "mount over a directory that is not empty"},

    /* for libfuse */
    {.name = "allow_other", FUSE_FLAG, .help = "let other users in (see fuse.conf)"},
    {.name = "allow_root", FUSE_FLAG, .help = "let root in"},
    {.name = "auto_unmount", FUSE_FLAG, .help = "unmount when the program dies"},
    {.name = "default_permissions", FUSE_FLAG, .help = "let the kernel check permissions"},
    {.name = "fsname", FUSE_VALUE, .argument = "NAME", .default_note = "systemefs:ACCOUNT or systemefs:HOST",
     .help = "the source that mount(8) and df(1) show"},
    {.name = "subtype", FUSE_VALUE, .argument = "NAME", .default_note = "systemefs",
     .help = "the NAME of the type fuse.NAME"},
    {.name = "max_read", FUSE_VALUE, .argument = "BYTES", .default_note = "the kernel's",
     .help = "largest read request"},
    {.name = "sync", FUSE_FLAG, .against = "async", .help = "as in mount(8)"},
    {.name = "async", FUSE_FLAG, .against = "sync", .help = "as in mount(8)"},
    {.name = "dirsync", FUSE_FLAG, .help = "as in mount(8)"},
    {.name = "atime", FUSE_FLAG, .against = "noatime", .help = "as in mount(8)"},
    {.name = "noatime", FUSE_FLAG, .against = "atime", .help = "as in mount(8)"},
    {.name = "dev", FUSE_FLAG, .against = "nodev", .help = "as in mount(8)"},
    {.name = "nodev", FUSE_FLAG, .against = "dev", .help = "as in mount(8)"},
    {.name = "suid", FUSE_FLAG, .against = "nosuid", .help = "as in mount(8)"},
    {.name = "nosuid", FUSE_FLAG, .against = "suid", .help = "as in mount(8)"},
    {.name = "exec", FUSE_FLAG, .against = "noexec", .help = "as in mount(8)"},
    {.name = "noexec", FUSE_FLAG, .against = "exec", .help = "as in mount(8)"},
    {.name = "context", FUSE_VALUE, .argument = "LABEL", .default_note = "the policy's",
     .help = "SELinux, as in mount(8)"},
    {.name = "fscontext", FUSE_VALUE, .argument = "LABEL", .default_note = "the policy's",
     .help = "SELinux, as in mount(8)"},
    {.name = "defcontext", FUSE_VALUE, .argument = "LABEL", .default_note = "the policy's",
     .help = "SELinux, as in mount(8)"},
    {.name = "rootcontext", FUSE_VALUE, .argument = "LABEL", .default_note = "the policy's",
     .help = "SELinux, as in mount(8)"},

    /* taken and dropped */
    DROPPED("defaults", "fstab(5)"),
    DROPPED("auto", "fstab(5)"),
    DROPPED("noauto", "fstab(5)"),
    DROPPED("user", "fstab(5)"),
    DROPPED("nouser", "fstab(5)"),
    DROPPED("users", "fstab(5)"),
    DROPPED("nousers", "fstab(5)"),
    DROPPED("owner", "fstab(5)"),
    DROPPED("group", "fstab(5)"),
    DROPPED("nofail", "fstab(5)"),
    DROPPED("_netdev", "fstab(5)"),
    DROPPED("comment", "fstab(5)"),
    DROPPED("x-*", "for the helpers of mount(8)"),
    DROPPED("relatime", "no file here has an access time of its own"),
    DROPPED("norelatime", "the same"),
    DROPPED("strictatime", "the same"),
    DROPPED("nostrictatime", "the same"),
    DROPPED("diratime", "the same"),
    DROPPED("nodiratime", "the same"),
    DROPPED("lazytime", "the same"),
    DROPPED("nolazytime", "the same"),
};
/* clang-format on */
const size_t option_table_len = ARRAY_SIZE(option_table);
_Static_assert(ARRAY_SIZE(option_table) <= OPTION_TABLE_MAX, "a slot for each row");

static const char *const groups[] = {
    [OPTION_GROUP_GENERAL] = "General:",
    [OPTION_GROUP_ACCOUNT] = "The account:",
    [OPTION_GROUP_BEHAVIOUR] = "Behaviour:",
    [OPTION_GROUP_SANDBOX] = "Trying it out:",
    [OPTION_GROUP_FILES] = "Files:",
    [OPTION_GROUP_FUSE] = "Handed on to FUSE:",
    [OPTION_GROUP_IGNORED] = "Taken and dropped, for mount(8) and fstab(5):",
};
_Static_assert(ARRAY_SIZE(groups) == OPTION_GROUP_COUNT, "a title for each group");

#define NAME_MAX_BYTES 64 /* no option's name is near that */

/* The name as the table writes it. False when it is too long to be one. */
static bool normalize(const char *name, size_t len, char out[NAME_MAX_BYTES + 1])
{
    if (len > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = name[i] == '-' ? '_' : name[i];
    out[len] = '\0';
    return true;
}

const struct option_row *option_find(const char *name, size_t len)
{
    char text[NAME_MAX_BYTES + 1] = "x-*";
    bool helper = len > 2 && (name[0] == 'x' || name[0] == 'X') && name[1] == '-';
    if (!helper && !normalize(name, len, text))
        return NULL;
    for (size_t i = 0; i < option_table_len; i++)
        if (strcmp(option_table[i].name, text) == 0)
            return &option_table[i];
    return NULL;
}

static bool one_typo(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t head = 0;
    while (head < a_len && head < b_len && a[head] == b[head])
        head++;
    a += head, a_len -= head;
    b += head, b_len -= head;
    while (a_len > 0 && b_len > 0 && a[a_len - 1] == b[b_len - 1])
        a_len--, b_len--;
    if (a_len + b_len == 0)
        return false;
    if (a_len <= 1 && b_len <= 1)
        return true;
    return a_len == 2 && b_len == 2 && a[0] == b[1] && a[1] == b[0];
}

const struct option_row *option_suggest(const char *name, size_t len)
{
    char text[NAME_MAX_BYTES + 1];
    /* Every one-letter name is one typo away from something, and so means nothing. */
    if (len < 2 || !normalize(name, len, text))
        return NULL;
    for (size_t i = 0; i < option_table_len; i++)
        if (one_typo(text, len, option_table[i].name, strlen(option_table[i].name)))
            return &option_table[i];
    return NULL;
}

static void help_row(const struct option_row *row, struct buf *out)
{
    char left[NAME_MAX_BYTES * 2];
    if (row->letter)
        snprintf(left, sizeof(left), "-%c, --%s", row->letter, row->name);
    else
        snprintf(left, sizeof(left), "-o %s%s%s", row->name, row->argument ? "=" : "",
                 row->argument ? row->argument : "");
    buf_printf(out, "  %-25s  %s", left, row->help);

    const char *fallback = row->preset ? row->preset : row->default_note;
    if (fallback)
        buf_printf(out, " [%s]", fallback);
    buf_append_byte(out, '\n');
}

void options_help(struct buf *out)
{
    buf_append_str(
        out,
        "usage: systemefs [options] MOUNTPOINT\n"
        "       systemefs --sandbox [options] MOUNTPOINT\n"
        "       mount -t fuse.systemefs systemefs MOUNTPOINT -o OPTIONS\n"
        "\n"
        "Mounts a Systeme.io account as a directory tree. `fusermount3 -u MOUNTPOINT' ends it.\n"
        "The key comes from MATON_API_KEY (gateway) or SYSTEME_API_KEY (direct) in the\n"
        "environment, or from the configuration file; never from the command line.\n"
        "\n"
        "Each option is written `-o name=value' (several with commas) or `--name=value', with\n"
        "dashes or underscores. In brackets: the default.\n");
    for (size_t g = 0; g < OPTION_GROUP_COUNT; g++) {
        buf_printf(out, "\n%s\n", groups[g]);
        for (size_t i = 0; i < option_table_len; i++)
            if (option_table[i].group == g)
                help_row(&option_table[i], out);
    }
    buf_append_str(
        out, "\nsystemefs(1) has it all, systemefs(7) the tree, systemefs.conf(5) the file.\n");
}
