/* .systemefs/ctl: one command a line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LOG_MODULE "ctl"
#include "systemefs/base/log.h"

/* The node that a path below the mount point names. May wait. */
static int resolve(struct tree *t, struct op *op, const char *path, struct node *ret)
{
    struct node n = {.kind = KIND_ROOT, .key = 1};
    char name[NAME_MAX + 1];
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, p, len);
        name[len] = '\0';
        p += len + (p[len] == '/');
        if (len == 0 || strcmp(name, ".") == 0)
            continue;
        struct tree_attr attr;
        int r = tree_lookup(t, op, node_ino(n), name, &attr);
        if (r != 0)
            return r;
        n = node_from_ino(attr.ino);
    }
    *ret = n;
    return 0;
}

static void refresh_each(void *data, enum resource res, struct record *rec)
{
    struct tree *t = data;
    tree_store_changed(&t, res, rec->key);
}

static void refresh_record(struct tree *t, enum resource res, uint64_t key)
{
    store_refresh_record(t->store, res, key);
    struct record *rec = store_known(t->store, res, key);
    if (rec)
        refresh_each(t, res, rec);
}

/* What a command does with the node that it was given, by the node's form. */
static void refresh_node(struct tree *t, struct node n)
{
    const struct shape *shape = shape_of(n.kind);
    const struct value_node *v = shape->form == FORM_VALUE ? value_node_of(t, n) : NULL;
    struct listing *l = NULL;
    switch (shape->form) {
    case FORM_RECORD:
    case FORM_LINK:
        refresh_record(t, shape->res, n.key);
        break;
    case FORM_VALUE:
        if (v)
            refresh_record(t, shape->owner, v->owner);
        break;
    case FORM_MEMBERS:
    case FORM_VALUES:
        refresh_record(t, shape->owner, n.key);
        break;
    case FORM_RECORDS:
        l = dir_listing(t, n);
        break;
    case FORM_NAMES:
        l = store_listing(t->store, shape->res, -1, 0);
        break;
    case FORM_FIXED:
        if (!shape->name && n.kind != KIND_ROOT)
            refresh_record(t, shape->owner, n.key);
        else
            tree_refresh_all(t);
        break;
    case FORM_TEXT:
    case FORM_SHELF:
    case FORM_SCRATCH:
    case FORM_SCRATCH_LINK:
    case FORM_SHELF_FILE:
    case FORM_COUNT:
        break;
    }
    if (l)
        store_refresh_listing(t->store, l, refresh_each, t);
}

static int run_refresh(struct tree *t, struct op *op, const char *path, bool prepare)
{
    struct node n = {.kind = KIND_ROOT, .key = 1};
    int r = path ? resolve(t, op, path, &n) : 0;
    if (r == -ENOENT)
        return op_fail(op, -EINVAL, "refresh: nothing is called '%s' (paths begin at the mount)",
                       path);
    if (r == 0 && !prepare)
        refresh_node(t, n);
    return r;
}

static int run_log(struct tree *t UNUSED, struct op *op, const char *level, bool prepare)
{
    int n = log_level_from_name(level);
    if (n < 0)
        return op_fail(op, -EINVAL, "log: '%s' is no level; error, warn, info or debug is", level);
    if (!prepare)
        log_set_level((enum log_level)n);
    return 0;
}

static int run_deletes(struct tree *t, struct op *op, const char *count, bool prepare)
{
    char *end;
    unsigned long n = strtoul(count, &end, 10);
    if (*end || count[0] < '0' || count[0] > '9' || n > BRAKE_GRANT_MAX)
        return op_fail(op, -EINVAL, "deletes: '%s' is no number from 0 to %d", count,
                       BRAKE_GRANT_MAX);
    if (!prepare)
        brake_grant(&t->brake, (unsigned)n, clock_mono_ms(t->clock));
    return 0;
}

static const struct {
    const char *word;
    unsigned min_args, max_args;
    int (*run)(struct tree *t, struct op *op, const char *arg, bool prepare);
    const char *help;
} commands[] = {
    {"refresh", 0, 1, run_refresh,
     "refresh [PATH]   ask for everything, or for what PATH shows, again when next read"},
    {"deletes", 1, 1, run_deletes,
     "deletes N        allow N more deletes than delete_limit; forgotten after ten idle minutes"},
    {"log", 1, 1, run_log, "log LEVEL        say more or less: error, warn, info, debug"},
};

int control_help(struct buf *out)
{
    buf_append_str(out, "# Write one command a line:\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        buf_printf(out, "#   %s\n", commands[i].help);
    return buf_error(out);
}

static int control(struct tree *t, struct op *op, char *line, bool prepare)
{
    static const char blanks[] = " \t\r";
    line += strspn(line, blanks);
    size_t len = strlen(line);
    while (len && strchr(blanks, line[len - 1]))
        line[--len] = '\0';
    if (len == 0 || line[0] == '#')
        return 0;

    /* A path may hold blanks: the argument is the rest of the line. */
    char *arg = line + strcspn(line, blanks);
    if (*arg) {
        *arg++ = '\0';
        arg += strspn(arg, blanks);
    } else {
        arg = NULL;
    }
    unsigned args = arg != NULL;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].word, line) != 0)
            continue;
        if (args < commands[i].min_args || args > commands[i].max_args)
            return op_fail(op, -EINVAL, "usage: %s", commands[i].help);
        if (!prepare)
            log_info("%s%s%s", line, arg ? " " : "", arg ? arg : "");
        return commands[i].run(t, op, arg, prepare);
    }
    return op_fail(op, -EINVAL, "'%s' is no command; refresh, deletes and log are", line);
}

int control_prepare(struct tree *t, struct op *op, char *line)
{
    return control(t, op, line, true);
}

int control_run(struct tree *t, struct op *op, char *line)
{
    return control(t, op, line, false);
}

int control_action(struct tree *t, struct op *op, struct node n, const char *text, size_t len)
{
    static const char blanks[] = " \t\r\n";
    const struct shape *shape = shape_of(node_parent(n).kind);
    const struct resource_row *row = resource_row(shape->res);
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    if (op->job)
        return save_wait(op->job, op);
    while (len && strchr(blanks, text[0]))
        text++, len--;
    while (len && strchr(blanks, text[len - 1]))
        len--;
    if (len == 0 || text[0] == '#')
        return 0;
    for (size_t i = 0; i < RESOURCE_WORDS && row->words[i].word; i++) {
        if (strlen(row->words[i].word) != len || memcmp(row->words[i].word, text, len) != 0)
            continue;
        tree_path(t, node_ino(n), &path);
        const struct save_order order = {.kind = SAVE_ACTION,
                                         .res = shape->res,
                                         .key = n.key,
                                         .filter = -1,
                                         .path = path.data,
                                         .body = row->words[i].body};
        int r = save_start(t->store, op, &order, &op->job);
        return r == 0 ? save_wait(op->job, op) : r;
    }
    return op_fail(op, -EINVAL, "'%.*s' is no word for this: %s or %s is; nothing was sent",
                   (int)MIN(len, (size_t)40), text, row->words[0].word, row->words[1].word);
}
