#include "systemefs/conf/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "systemefs/conf/config.h"
#include "systemefs/conf/option_table.h"

#include "draft.h"

#define ARGUMENT_MAX   (64 * 1024) /* bytes of one -o argument */
#define OPTIONS_MAX    1024        /* options on one command line */
#define SENTENCE_MAX   8192        /* bytes of an error about a key in the environment */
#define CONFIG_DEFAULT "/.config/systemefs/config"

/* The command line, taken apart. It is put on top of the file, which it names, and so waits. */
struct command {
    struct {
        const struct option_row *row;
        char *value; /* NULL: none */
    } items[OPTIONS_MAX];
    size_t count;
    const char *positional[2];
    size_t positional_count;
};

static void command_finish(struct command *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->items[i].value);
}

static int refuse_argument(const char *arg, const char *reason, struct buf *why)
{
    draft_quote(arg, strlen(arg), why);
    buf_append_str(why, reason);
    return -EINVAL;
}

static int command_add(struct command *c, const struct option_row *row, const char *value,
                       struct buf *why)
{
    char *copy = value ? strdup(value) : NULL;
    if ((value && !copy) || c->count == OPTIONS_MAX) {
        bool full = c->count == OPTIONS_MAX;
        buf_append_str(why, full ? "there are more than 1024 options" : "out of memory");
        free(copy);
        return full ? -EINVAL : -ENOMEM;
    }
    c->items[c->count].row = row;
    c->items[c->count++].value = copy;
    return 0;
}

/* name, or name=value. `next` is what follows on the command line and may be the value (long form
 * only); *took says whether it was. */
static int command_add_text(struct command *c, const char *text, const char *next, bool *took,
                            struct buf *why)
{
    size_t len = strcspn(text, "=");
    const char *value = text[len] ? text + len + 1 : NULL;
    const struct option_row *row;
    int r = draft_find(text, len, &row, why);
    if (r < 0)
        return r;
    if (!value && row->argument && next) {
        value = next;
        *took = true;
    }
    return command_add(c, row, value, why);
}

/* a,b=c,d: a '\' in front of ',' or '\' makes it part of a value, as libfuse has it. */
static int command_add_list(struct command *c, const char *list, struct buf *why)
{
    struct buf one;
    buf_init(&one, ARGUMENT_MAX);
    int r = 0;
    for (const char *p = list; r == 0; p++) {
        if (*p == '\\' && (p[1] == ',' || p[1] == '\\')) {
            buf_append_byte(&one, *++p);
        } else if (*p && *p != ',') {
            buf_append_byte(&one, *p);
        } else {
            r = buf_error(&one);
            if (r < 0)
                buf_append_str(why, "an -o argument is longer than 64 KiB");
            else if (one.len)
                r = command_add_text(c, one.data, NULL, NULL, why);
            buf_reset(&one);
            if (!*p)
                break;
        }
    }
    buf_finish(&one);
    return r;
}

static const struct option_row *find_letter(char letter)
{
    for (size_t i = 0; i < option_table_len; i++)
        if (option_table[i].letter == letter)
            return &option_table[i];
    return NULL;
}

/* -fd, -o a,b, -oa,b. `next` as above. */
static int command_add_letters(struct command *c, const char *arg, const char *next, bool *took,
                               struct buf *why)
{
    for (const char *p = arg + 1; *p; p++) {
        if (*p == 'o') {
            const char *list = p[1] ? p + 1 : next;
            *took = !p[1];
            if (!list)
                return refuse_argument(arg, " needs options behind it: -o name=value,...", why);
            return command_add_list(c, list, why);
        }
        const struct option_row *row = find_letter(*p);
        if (!row)
            return refuse_argument(arg, ": there is no such option; `systemefs --help' lists them",
                                   why);
        int r = command_add(c, row, NULL, why);
        if (r < 0)
            return r;
    }
    return 0;
}

static int command_parse(struct command *c, int argc, char **argv, struct buf *why)
{
    bool only_positional = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        bool took = false;
        int r = 0;
        if (only_positional || arg[0] != '-' || !arg[1]) {
            if (c->positional_count == ARRAY_SIZE(c->positional))
                return refuse_argument(arg,
                                       " is one argument too many: there is a mount point, "
                                       "and at most a label in front of it",
                                       why);
            c->positional[c->positional_count++] = arg;
        } else if (strcmp(arg, "--") == 0) {
            only_positional = true;
        } else if (arg[1] == '-') {
            r = command_add_text(c, arg + 2, next, &took, why);
        } else {
            r = command_add_letters(c, arg, next, &took, why);
        }
        if (r < 0)
            return r;
        i += took;
    }
    return 0;
}

/* --help and --version are for whoever got the rest wrong, and so are looked for first. */
static bool find_help(int argc, char **argv, struct options *ret)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "-o") == 0)
            i++;
        else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            ret->help = true;
        else if (strcmp(argv[i], "-V") == 0 || strcmp(argv[i], "--version") == 0)
            ret->version = true;
    }
    return ret->help || ret->version;
}

/* The last value of that option on the command line, or NULL. */
static const char *command_value(const struct command *c, const char *name)
{
    for (size_t i = c->count; i > 0; i--)
        if (strcmp(c->items[i - 1].row->name, name) == 0)
            return c->items[i - 1].value;
    return NULL;
}

static int apply_command(struct draft *d, const struct command *c, struct buf *why)
{
    int r = 0;
    for (size_t i = 0; i < c->count && r == 0; i++)
        r = draft_set(d, c->items[i].row, c->items[i].value, OPTION_LAYER_COMMAND, why);
    if (r < 0 || c->positional_count == 0)
        return r;
    d->o.mountpoint = strdup(c->positional[c->positional_count - 1]);
    if (!d->o.mountpoint) {
        buf_append_str(why, "out of memory");
        return -ENOMEM;
    }
    if (!*d->o.mountpoint) {
        buf_append_str(why, "the mount point is empty");
        return -EINVAL;
    }
    /* mount(8) gives SOURCE MOUNTPOINT; a source is nothing here but what mount(8) shows later. */
    const struct option_row *fsname = option_find("fsname", strlen("fsname"));
    const char *label = c->positional_count == 2 ? c->positional[0] : "";
    if (*label && !command_value(c, fsname->name))
        r = draft_set(d, fsname, label, OPTION_LAYER_COMMAND, why);
    return r;
}

static const struct config_entry *find_twin(const struct config *c, size_t i)
{
    const struct option_row *row = option_find(c->entries[i].name, strlen(c->entries[i].name));
    for (size_t j = 0; j < i; j++)
        if (c->entries[j].account == c->entries[i].account &&
            option_find(c->entries[j].name, strlen(c->entries[j].name)) == row)
            return &c->entries[j];
    return NULL;
}

static int apply_entry(struct draft *d, const struct config *c, size_t i, struct buf *why)
{
    const struct config_entry *e = &c->entries[i];
    const struct option_row *row;
    int r = draft_find(e->name, strlen(e->name), &row, why);
    if (r < 0)
        return r;
    if (row->command_only) {
        buf_printf(why, "%s has its place on the command line, not in this file", row->name);
        return -EINVAL;
    }
    const struct config_entry *twin = find_twin(c, i);
    if (twin && row->kind != OPTION_IGNORED) {
        buf_printf(why, "%s is set already, in line %u", row->name, twin->line);
        return -EINVAL;
    }
    return draft_set(d, row, e->value,
                     e->account == CONFIG_TOP ? OPTION_LAYER_FILE : OPTION_LAYER_ACCOUNT, why);
}

/* Puts the entries of one section into the draft. */
static int apply_section(struct draft *d, const struct config *c, int account, const char *path,
                         struct buf *why)
{
    for (size_t i = 0; i < c->entry_count; i++) {
        if (c->entries[i].account != account)
            continue;
        size_t before = why->len;
        buf_printf(why, "%s:%u: ", path, c->entries[i].line);
        int r = apply_entry(d, c, i, why);
        if (r < 0)
            return r;
        buf_truncate(why, before);
    }
    return 0;
}

/* The sections that are not chosen are looked at too: a mistake shows now, not on the day when
 * somebody chooses that account. */
static int check_other_sections(const struct config *c, int chosen, const char *path,
                                struct buf *why)
{
    int r = 0;
    for (int i = 0; i < (int)c->account_count && r == 0; i++) {
        if (i == chosen)
            continue;
        struct draft scratch;
        r = draft_init(&scratch);
        if (r == 0)
            r = apply_section(&scratch, c, i, path, why);
        draft_finish(&scratch);
    }
    return r;
}

static int no_account(const struct config *c, const char *account, const char *path,
                      struct buf *why)
{
    buf_append_str(why, "account: ");
    draft_quote(account, strlen(account), why);
    buf_printf(why, " is no section of %s", path);
    for (size_t i = 0; i < c->account_count; i++)
        buf_printf(why, "%s%s", i == 0 ? ", which has: " : ", ", c->accounts[i]);
    return -EINVAL;
}

/* Reads the file into the draft; the names of its accounts go to `accounts`. */
static int apply_config(struct draft *d, const char *path, bool named, const char *account,
                        struct buf *accounts, struct buf *why)
{
    struct config c = {0};
    int r = config_read(&c, path, why);
    if (r == -ENOENT && !named && !account)
        return 0;
    if (r == -ENOENT) {
        buf_printf(why, "%s: this file does not exist", path);
        return -ENOENT;
    }
    if (r < 0)
        return r;

    for (size_t i = 0; i < c.account_count; i++)
        buf_printf(accounts, "%s%s", i ? ", " : "", c.accounts[i]);
    int chosen = account ? config_account(&c, account) : CONFIG_TOP;
    if (account && chosen < 0)
        r = no_account(&c, account, path, why);
    if (r == 0)
        r = apply_section(d, &c, CONFIG_TOP, path, why);
    if (r == 0 && account)
        r = apply_section(d, &c, chosen, path, why);
    if (r == 0)
        r = check_other_sections(&c, chosen, path, why);
    config_finish(&c);
    return r;
}

/* The caller frees. NULL: out of memory, or there is no home directory. */
static char *default_config_path(void)
{
    struct buf path;
    buf_init(&path, ARGUMENT_MAX);
    const char *xdg = getenv("XDG_CONFIG_HOME");
    if (xdg && xdg[0] == '/') {
        buf_printf(&path, "%s/systemefs/config", xdg);
    } else {
        char *home = draft_home();
        if (home)
            buf_printf(&path, "%s%s", home, CONFIG_DEFAULT);
        free(home);
    }
    return path.len ? buf_take(&path, NULL) : NULL;
}

static int build(struct draft *d, const struct command *c, struct environment_keys *keys,
                 struct buf *why)
{
    /* `config' is looked at before its turn, because the file comes below the command line. */
    const struct option_row *row = option_find("config", strlen("config"));
    const char *named = command_value(c, row->name);
    const char *account = command_value(c, "account");
    int r = named ? draft_set(d, row, named, OPTION_LAYER_COMMAND, why) : 0;
    if (r < 0)
        return r;

    char *path = named ? strdup(d->config) : default_config_path();
    struct buf accounts;
    buf_init(&accounts, CONFIG_ACCOUNTS_MAX * (CONFIG_NAME_MAX + 2));
    if (path)
        r = apply_config(d, path, named != NULL, account, &accounts, why);
    if (r == 0)
        r = apply_command(d, c, why);
    if (r == 0 && !d->o.help && !d->o.version && !d->o.mountpoint) {
        buf_append_str(why, "the mount point is missing; `systemefs --help' says how it goes");
        r = -EINVAL;
    }
    if (r == 0 && !d->o.help && !d->o.version)
        r = draft_resolve(d, keys, path ? path : "a configuration file (-o config=FILE)",
                          accounts.data ? accounts.data : "", why);
    buf_finish(&accounts);
    free(path);
    return r;
}

int options_parse(int argc, char **argv, struct options *ret, struct buf *why)
{
    struct environment_keys keys = {0};
    buf_init(&keys.maton_why, SENTENCE_MAX);
    buf_init(&keys.systeme_why, SENTENCE_MAX);
    secret_from_env(&keys.maton, "MATON_API_KEY", &keys.maton_why);
    secret_from_env(&keys.systeme, "SYSTEME_API_KEY", &keys.systeme_why);

    int r = 0;
    struct options early = {0};
    struct draft d;
    struct command *c = calloc(1, sizeof(*c));
    if (find_help(argc, argv, &early)) {
        *ret = early;
    } else if (!c || draft_init(&d) < 0) {
        buf_append_str(why, "out of memory");
        r = -ENOMEM;
    } else {
        r = command_parse(c, argc, argv, why);
        if (r == 0)
            r = build(&d, c, &keys, why);
        if (r == 0)
            *ret = draft_take(&d);
        draft_finish(&d);
    }

    if (c)
        command_finish(c);
    free(c);
    secret_finish(&keys.maton);
    secret_finish(&keys.systeme);
    buf_finish(&keys.maton_why);
    buf_finish(&keys.systeme_why);
    return r;
}

void options_finish(struct options *o)
{
    free(o->mountpoint);
    free(o->sandbox_args);
    free(o->api_url);
    free(o->ctrl_url);
    free(o->connection);
    free(o->access_type);
    free(o->cacert);
    free(o->account);
    free(o->fuse_options);
    secret_finish(&o->key);
    *o = (struct options){0};
}
