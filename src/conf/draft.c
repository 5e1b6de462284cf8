#include "draft.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "systemefs/base/macros.h"
#include "systemefs/codec/url.h"

#define QUOTE_MAX 80   /* bytes of somebody's text that an error repeats */
#define VALUE_MAX 4096 /* bytes of one value; a path has no more */

/* What people call a key. None of these is an option, and all of them get the same answer. */
static const char *const key_names[] = {"key",           "api_key",         "apikey",
                                        "token",         "password",        "secret",
                                        "maton_api_key", "systeme_api_key", "api_token"};

void draft_quote(const char *text, size_t len, struct buf *out)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < len && i < QUOTE_MAX; i++) {
        unsigned char c = (unsigned char)text[i];
        buf_append_byte(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
    buf_append_str(out, len > QUOTE_MAX ? "...\"" : "\"");
}

char *draft_home(void)
{
    const char *home = getenv("HOME");
    if (home && home[0] == '/')
        return strdup(home);
    const struct passwd *pw = getpwuid(getuid());
    return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? strdup(pw->pw_dir) : NULL;
}

static size_t row_index(const struct option_row *row)
{
    return (size_t)(row - option_table);
}

static void *row_member(struct draft *d, const struct option_row *row)
{
    return (char *)d + row->offset;
}

static bool row_holds_text(const struct option_row *row)
{
    return row->kind == OPTION_TEXT || row->kind == OPTION_PATH || row->kind == OPTION_URL ||
           row->kind == OPTION_CHOICE;
}

enum option_layer draft_layer(const struct draft *d, const char *name)
{
    return d->layer[row_index(option_find(name, strlen(name)))];
}

static bool same_name(const char *name, size_t len, const char *key)
{
    if (strlen(key) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((name[i] == '-' ? '_' : tolower((unsigned char)name[i])) != key[i])
            return false;
    return true;
}

int draft_find(const char *name, size_t len, const struct option_row **ret, struct buf *why)
{
    const struct option_row *row = option_find(name, len);
    if (row) {
        *ret = row;
        return 0;
    }

    for (size_t i = 0; i < ARRAY_SIZE(key_names); i++) {
        if (!same_name(name, len, key_names[i]))
            continue;
        buf_printf(why,
                   "%s: a key is never given as an option, where `ps', the shell's history or a "
                   "backup would show it. Set MATON_API_KEY or SYSTEME_API_KEY in the environment, "
                   "or name a private file with key_file or a command with key_command",
                   key_names[i]);
        return -EINVAL;
    }

    buf_append_str(why, "there is no option ");
    draft_quote(name, len, why);
    const struct option_row *near = option_suggest(name, len);
    if (near)
        buf_printf(why, "; did you mean %s?", near->name);
    else
        buf_append_str(why, "; `systemefs --help' lists them all");
    return -EINVAL;
}

static int refuse_value(const struct option_row *row, const char *value, const char *allowed,
                        struct buf *why)
{
    buf_printf(why, "%s: ", row->name);
    draft_quote(value, strlen(value), why);
    buf_printf(why, " is not allowed; it takes %s", allowed);
    return -EINVAL;
}

static int set_string(char **member, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*member);
    *member = copy;
    return 0;
}

static int parse_flag(const struct option_row *row, const char *value, bool *ret, struct buf *why)
{
    static const struct {
        const char *word;
        bool on;
    } words[] = {{"yes", true}, {"true", true},   {"on", true},   {"1", true},
                 {"no", false}, {"false", false}, {"off", false}, {"0", false}};
    if (!value) {
        *ret = true;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcasecmp(words[i].word, value) == 0) {
            *ret = words[i].on;
            return 0;
        }
    return refuse_value(row, value, "yes or no", why);
}

/* Digits of that base and nothing else, up to `max`. */
static bool parse_digits(const char *value, unsigned base, uint64_t max, uint64_t *ret)
{
    uint64_t n = 0;
    for (const char *p = value; *p; p++) {
        if (*p < '0' || (unsigned)(*p - '0') >= base)
            return false;
        n = n * base + (unsigned)(*p - '0');
        if (n > max)
            return false;
    }
    *ret = n;
    return *value != '\0';
}

static int set_number(struct draft *d, const struct option_row *row, const char *value,
                      struct buf *why)
{
    uint64_t n;
    if (row->kind == OPTION_OCTAL) {
        if (!parse_digits(value, 8, row->max, &n))
            return refuse_value(row, value, "an octal number from 0 to 777", why);
        *(mode_t *)row_member(d, row) = (mode_t)n;
        return 0;
    }
    if (!parse_digits(value, 10, row->max, &n) || n < row->min) {
        char allowed[80];
        snprintf(allowed, sizeof(allowed), "a whole number%s from %u to %u",
                 row->kind == OPTION_SECONDS ? " of seconds" : "", row->min, row->max);
        return refuse_value(row, value, allowed, why);
    }
    if (row->kind == OPTION_SECONDS)
        *(int64_t *)row_member(d, row) = (int64_t)n * 1000;
    else
        *(unsigned *)row_member(d, row) = (unsigned)n;
    return 0;
}

/* Digits, and perhaps one letter: times 1024, once, twice or thrice. */
static int set_size(struct draft *d, const struct option_row *row, const char *value,
                    struct buf *why)
{
    static const char letters[] = "KMG";
    size_t len = strlen(value);
    const char *letter = len ? strchr(letters, toupper((unsigned char)value[len - 1])) : NULL;
    unsigned shift = letter && *letter ? 10 * (unsigned)(letter - letters + 1) : 0;
    char digits[24];
    uint64_t n;
    snprintf(digits, sizeof(digits), "%.*s", (int)MIN(len - (shift > 0), sizeof(digits)), value);
    if (len >= sizeof(digits) || !parse_digits(digits, 10, UINT64_C(1) << 40, &n) ||
        n > (UINT64_C(1) << 50) >> shift)
        return refuse_value(row, value, "a number of bytes, or one with K, M or G behind it", why);
    *(uint64_t *)row_member(d, row) = n << shift;
    return 0;
}

static int set_owner(struct draft *d, const struct option_row *row, const char *value,
                     struct buf *why)
{
    uint64_t n;
    bool user = row->kind == OPTION_USER;
    /* The highest number means "nobody in particular" to the kernel. */
    bool known = parse_digits(value, 10, UINT32_MAX - 1, &n);
    if (!known && user) {
        const struct passwd *pw = getpwnam(value);
        known = pw != NULL;
        n = pw ? pw->pw_uid : 0;
    } else if (!known) {
        const struct group *gr = getgrnam(value);
        known = gr != NULL;
        n = gr ? gr->gr_gid : 0;
    }
    if (!known)
        return refuse_value(row, value,
                            user ? "a user's number or name" : "a group's number or name", why);
    if (user)
        *(uid_t *)row_member(d, row) = (uid_t)n;
    else
        *(gid_t *)row_member(d, row) = (gid_t)n;
    return 0;
}

static int set_path(struct draft *d, const struct option_row *row, const char *value,
                    enum option_layer layer, struct buf *why)
{
    if (value[0] != '~' || (value[1] != '/' && value[1] != '\0')) {
        /* A file is read from wherever the mount is started, at boot from "/". */
        if (layer != OPTION_LAYER_COMMAND && value[0] != '/')
            return refuse_value(row, value, "a path that starts with / or ~/", why);
        return set_string(row_member(d, row), value);
    }
    char *home = draft_home();
    if (!home)
        return refuse_value(row, value, "a path without ~ here, as you have no home directory",
                            why);
    struct buf path;
    buf_init(&path, VALUE_MAX);
    buf_printf(&path, "%s%s", home, value + 1);
    int r = buf_error(&path) ? buf_error(&path) : set_string(row_member(d, row), path.data);
    buf_finish(&path);
    free(home);
    return r;
}

static int set_url(struct draft *d, const struct option_row *row, const char *value,
                   struct buf *why)
{
    char **member = row_member(d, row);
    int r = set_string(member, value);
    if (r < 0)
        return r;
    for (size_t len = strlen(*member); len > 0 && (*member)[len - 1] == '/'; len--)
        (*member)[len - 1] = '\0';

    struct url_info info;
    const char *reason;
    r = url_check_base(*member, &info, &reason);
    if (r < 0)
        /* The URL is not repeated: it may hold a password, which is what is wrong with it. */
        buf_printf(why, "%s: this is no base URL: %s", row->name, reason);
    return r;
}

static int set_choice(struct draft *d, const struct option_row *row, const char *value,
                      struct buf *why)
{
    for (size_t i = 0; row->choices[i]; i++)
        if (strcmp(row->choices[i], value) == 0)
            return set_string(row_member(d, row), value);

    struct buf allowed;
    buf_init(&allowed, 256);
    for (size_t i = 0; row->choices[i]; i++)
        buf_printf(&allowed, "%s%s",
                   i == 0                ? ""
                   : row->choices[i + 1] ? ", "
                                         : " or ",
                   row->choices[i]);
    int r = refuse_value(row, value, allowed.data, why);
    buf_finish(&allowed);
    return r;
}

static int set_flag(struct draft *d, const struct option_row *row, const char *value,
                    enum option_layer layer, struct buf *why)
{
    bool on;
    int r = parse_flag(row, value, &on, why);
    if (r < 0)
        return r;
    if (row->kind == OPTION_FUSE) {
        char **passed = &d->passed[row_index(row)];
        if (!on) {
            free(*passed);
            *passed = NULL;
        } else if ((r = set_string(passed, "")) < 0) {
            return r;
        }
    } else {
        *(bool *)row_member(d, row) = on;
    }
    if (!row->against)
        return 0;

    /* mount(8) puts rw, dev and suid on every command line that does not say the opposite, so
     * there they are no wish of anybody and do not lift what the file forbids. */
    const struct option_row *other = option_find(row->against, strlen(row->against));
    size_t i = row_index(other);
    if (on && layer == OPTION_LAYER_COMMAND && d->layer[i] != OPTION_LAYER_COMMAND)
        return 0;
    if (other->kind == OPTION_FUSE && on) {
        free(d->passed[i]);
        d->passed[i] = NULL;
    } else if (other->kind == OPTION_FLAG) {
        *(bool *)row_member(d, other) = !on;
        d->layer[i] = layer;
    }
    return 0;
}

static int check_text(const struct option_row *row, const char *value, struct buf *why)
{
    if (!*value) {
        buf_printf(why, "%s: the value is empty", row->name);
        return -EINVAL;
    }
    if (strlen(value) >= VALUE_MAX) {
        buf_printf(why, "%s: the value is longer than %d bytes", row->name, VALUE_MAX - 1);
        return -EINVAL;
    }
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return refuse_value(row, value, "no control characters", why);
    return 0;
}

static int set_value(struct draft *d, const struct option_row *row, const char *value,
                     enum option_layer layer, struct buf *why)
{
    switch (row->kind) {
    case OPTION_NUMBER:
    case OPTION_SECONDS:
    case OPTION_OCTAL:
        return set_number(d, row, value, why);
    case OPTION_SIZE:
        return set_size(d, row, value, why);
    case OPTION_USER:
    case OPTION_GROUP:
        return set_owner(d, row, value, why);
    case OPTION_PATH:
        return set_path(d, row, value, layer, why);
    case OPTION_URL:
        return set_url(d, row, value, why);
    case OPTION_CHOICE:
        return set_choice(d, row, value, why);
    case OPTION_FUSE_VALUE:
        return set_string(&d->passed[row_index(row)], value);
    case OPTION_TEXT:
        return set_string(row_member(d, row), value);
    case OPTION_FLAG:
    case OPTION_FUSE:
    case OPTION_IGNORED:
        break;
    }
    return -EINVAL;
}

int draft_set(struct draft *d, const struct option_row *row, const char *value,
              enum option_layer layer, struct buf *why)
{
    int r = 0;
    if (row->kind == OPTION_FLAG || row->kind == OPTION_FUSE) {
        r = set_flag(d, row, value, layer, why);
    } else if (row->kind != OPTION_IGNORED) {
        if (!value) {
            buf_printf(why, "%s needs a value: %s=%s", row->name, row->name, row->argument);
            return -EINVAL;
        }
        r = check_text(row, value, why);
        if (r == 0)
            r = set_value(d, row, value, layer, why);
    }
    if (r == 0)
        d->layer[row_index(row)] = layer;
    else if (r == -ENOMEM)
        buf_append_str(why, "out of memory");
    return r;
}

int draft_init(struct draft *d)
{
    *d = (struct draft){.o = {.uid = getuid(), .gid = getgid()}};
    struct buf why;
    buf_init(&why, 256);
    int r = 0;
    for (size_t i = 0; i < option_table_len && r == 0; i++)
        if (option_table[i].preset)
            r = draft_set(d, &option_table[i], option_table[i].preset, OPTION_LAYER_NONE, &why);
    buf_finish(&why);
    if (r < 0)
        draft_finish(d);
    return r;
}

struct options draft_take(struct draft *d)
{
    struct options o = d->o;
    d->o = (struct options){0};
    return o;
}

void draft_finish(struct draft *d)
{
    for (size_t i = 0; i < option_table_len; i++) {
        const struct option_row *row = &option_table[i];
        free(d->passed[i]);
        if (row_holds_text(row))
            free(*(char **)row_member(d, row));
    }
    free(d->o.mountpoint);
    free(d->o.fuse_options);
    secret_finish(&d->o.key);
    *d = (struct draft){0};
}
