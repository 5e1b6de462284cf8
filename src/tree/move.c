/* Links and renames: what that means for the account. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "systemefs/codec/name.h"

/* ---- links ---- */

static int begin_item(struct tree *t, struct op *op, struct node dir, const char *name,
                      uint64_t listed)
{
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    struct save_order order = {.filter = -1, .owner = op_process(t, op)};
    int r = order_new_item(t, op, dir, listed, &order);
    r = r != 0 ? r : change_path(t, dir, name, &path);
    order.path = path.data;
    return r != 0 ? r : save_start(t->store, op, &order, &op->job);
}

/* The record stays what it is; a copy of its text gets the other name. */
static int copy_out(struct tree *t, struct op *op, struct node n, uint64_t parent, const char *name,
                    struct scratch **ret)
{
    CLEANUP(buf_cleanup) struct buf text;
    struct scratch *s;
    buf_init(&text, TREE_TEXT_MAX);
    int r = shape_of(n.kind)->form == FORM_VALUE ? value_text(t, op, n, &text)
                                                 : record_file_text(t, op, n, &text);
    if (r != 0)
        return r;
    r = scratch_make(t, 0, name, SCRATCH_LOCAL, NULL, &s);
    if (r < 0)
        return r;
    r = buf_append(&s->text, text.data, text.len);
    if (r < 0) {
        scratch_unname(t, s);
        return r;
    }
    scratch_move(t, op, s, parent, name);
    *ret = s;
    return 0;
}

static int copy_link(struct tree *t, struct node n, uint64_t parent, const char *name,
                     struct scratch **ret)
{
    CLEANUP(buf_cleanup) struct buf target;
    buf_init(&target, PATH_MAX);
    int r = link_target(t, n, &target);
    if (r == 0 && scratch_find(t, parent, name))
        r = -EEXIST;
    return r < 0 ? r : scratch_make(t, parent, name, SCRATCH_LOCAL, target.data, ret);
}

/* Whether a link of that node under that name puts it into a set. Not where it is a program's
 * backup of what is in there already ("9.json.orig"). */
static bool link_puts(struct node dir, struct node n, const char *name)
{
    char stem[NAME_MAX + 1];
    enum node_form form = n.kind < KIND_COUNT ? shape_of(n.kind)->form : FORM_COUNT;
    return (form == FORM_RECORD || form == FORM_LINK) && shape_makes(dir.kind) == MAKES_ITEM &&
           shape_of(n.kind)->res == shape_of(dir.kind)->res && !name_is_scratch(name) &&
           (name_stem(name, stem) || !strstr(name, ".json"));
}

/* Whether it is a backup: perl -i.orig and GIO make theirs so. */
static bool link_copies(struct tree *t, struct op *op, struct node n, struct node dir,
                        const char *name)
{
    enum scratch_role role;
    enum node_form form = n.kind < KIND_COUNT ? shape_of(n.kind)->form : FORM_COUNT;
    bool copies = (form == FORM_RECORD || form == FORM_VALUE || form == FORM_LINK) &&
                  target_role(t, op, dir, name, &role) == 0 && role == SCRATCH_LOCAL;
    op->failure = (struct api_failure){0};
    return copies;
}

int tree_link(struct tree *t, struct op *op, uint64_t ino, uint64_t parent, const char *name,
              struct tree_attr *ret)
{
    struct node dir, n = node_from_ino(ino);
    int r = change_directory(parent, &dir);
    if (r < 0)
        return r;
    if (!op->job) {
        bool puts = link_puts(dir, n, name);
        if (!puts && link_copies(t, op, n, dir, name)) {
            struct scratch *s;
            r = shape_of(n.kind)->form == FORM_LINK ? copy_link(t, n, parent, name, &s)
                                                    : copy_out(t, op, n, parent, name, &s);
            if (r == 0)
                scratch_attr(t, s, ret);
            return r;
        }
        if (!puts)
            return op_fail(op, -EPERM,
                           "a link puts a tag onto a contact, and nothing else: "
                           "ln tags/9.json contacts/5/tags/");
        r = begin_item(t, op, dir, name, n.key);
        if (r < 0)
            return r;
    }
    r = save_wait(op->job, op);
    if (r == 0)
        r = tree_getattr(t, op, ino, ret);
    if (r == 0)
        ret->entry_valid_ms = 0;
    return r;
}

/* What a symlink into a relation's directory means: the last name of its target. */
static int link_meant(struct tree *t, struct op *op, struct node dir, const char *target,
                      const char *name, uint64_t *ret)
{
    enum resource res = shape_of(dir.kind)->res;
    const char *slash = strrchr(target, '/'), *texts[] = {slash ? slash + 1 : target, name};
    char stem[NAME_MAX + 1];
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        name_stem(texts[i], stem);
        int r = stem[0] ? record_meant(t, op, res, stem, ret) : -ENOENT;
        if (r != -ENOENT)
            return r;
    }
    return op_fail(op, -EINVAL, "'%s' is no %s", target, resource_row(res)->name);
}

/* While the kernel is told of the change the request runs again: what its first run has made. */
static struct scratch *made_before(const struct tree *t, const char *name, const char *target)
{
    list_for_each(it, &t->scratch) {
        struct scratch *s = CONTAINER_OF(it, struct scratch, all);
        if (s->dir == 0 && s->lookups == 0 && s->target && strcmp(s->name, name) == 0 &&
            strcmp(s->target, target) == 0)
            return s;
    }
    return NULL;
}

int tree_symlink(struct tree *t, struct op *op, const char *target, uint64_t parent,
                 const char *name, struct tree_attr *ret)
{
    struct node dir;
    struct scratch *s;
    uint64_t listed;
    int r = change_directory(parent, &dir);
    if (r < 0)
        return r;
    if (op->job) {
        r = save_wait(op->job, op);
    } else if (shape_makes(dir.kind) == MAKES_ITEM && !name_is_scratch(name)) {
        r = link_meant(t, op, dir, target, name, &listed);
        r = r == 0 ? begin_item(t, op, dir, name, listed) : r;
        r = r == 0 ? save_wait(op->job, op) : r;
    }
    if (r != 0)
        return r;
    if (op->job) {
        /* It has become the record's own file: this answer is all that the kernel ever sees of the
         * link. */
        s = made_before(t, name, target);
        r = s ? 0 : scratch_make(t, 0, name, SCRATCH_LOCAL, target, &s);
    } else {
        enum scratch_role role;
        r = target_role(t, op, dir, name, &role);
        if (r == 0 && role != SCRATCH_LOCAL)
            r = op_fail(op, -EPERM, "a symlink is not a record");
        if (r == 0)
            r = scratch_find(t, parent, name) ? -EEXIST
                                              : scratch_make(t, parent, name, role, target, &s);
    }
    if (r == 0)
        scratch_attr(t, s, ret);
    return r;
}

/* ---- rename ---- */

/* The record is renamed away: only a copy of it goes. */
static int detach(struct tree *t, struct op *op, struct node n, uint64_t parent, const char *name)
{
    struct scratch *s;
    int r = copy_out(t, op, n, parent, name, &s);
    if (r != 0)
        return r;
    s->copy_of = n;
    s->copied_by = op_process(t, op);
    /* The kernel moves its entry, and would take the other name for the record. */
    if (t->kernel && t->kernel->forget_name)
        t->kernel->forget_name(t->kernel->data, parent, name);
    return 0;
}

/* A tag is called otherwise: mv within by-name/. */
static int rename_record(struct tree *t, struct op *op, struct node dir, uint64_t key,
                         const char *name)
{
    const struct shape *shape = shape_of(dir.kind);
    const struct resource_row *row = resource_row(shape->res);
    struct record *rec;
    struct name_parts parts;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    CLEANUP(buf_cleanup) struct buf document, path;
    buf_init(&document, PATH_MAX);
    buf_init(&path, PATH_MAX);
    store_id(t->store, shape->res, key, id);
    bool has = name_from_file(name, ".json", true, &parts) && strcmp(parts.id, id) == 0;
    if (!has && !name_from_file(name, ".json", false, &parts))
        return op_fail(op, -EINVAL, "'%s' is no name of a %s (NAME.json)", name, row->name);
    const char *const members[2] = {row->name_member};
    if (!row->can_save || row->name_filter)
        return op_fail(op, -EPERM, "the API cannot give a %s another %s", row->name,
                       row->name_member);
    if (change_document(members, parts.name, parts.len, &document) < 0)
        return op_fail(op, -EINVAL, "the name is not UTF-8");
    int r = store_text(t->store, op, shape->res, key, &rec);
    if (r != 0)
        return r;
    change_path(t, dir, name, &path);
    const struct save_order order = {.kind = SAVE_EDIT,
                                     .res = shape->res,
                                     .key = key,
                                     .path = path.data,
                                     .filter = -1,
                                     .document = document.data,
                                     .base = rec->text};
    return save_start(t->store, op, &order, &op->job);
}

/* Whether a program that has renamed the record away puts its old file back as it was, without
 * having saved anything in between: there is nothing to save either. */
static bool puts_back(struct tree *t, const struct op *op, const struct scratch *s, struct node dir,
                      const char *name)
{
    CLEANUP(buf_cleanup) struct buf old, new;
    buf_init(&old, PATH_MAX);
    buf_init(&new, PATH_MAX);
    return !s->dirty && s->copy_of.kind != KIND_ROOT && renamed_away(t, op, s->copy_of) &&
           tree_path(t, node_ino(s->copy_of), &old) == 0 && change_path(t, dir, name, &new) == 0 &&
           strcmp(old.data, new.data) == 0;
}

/* The scratch file has been saved as what its new name stands for; it goes. */
static int rename_saved(struct tree *t, struct op *op, struct scratch *s,
                        const struct target *target)
{
    const bool fresh = target->node.kind == KIND_ROOT;
    int r = write_end(t, op, target);
    if (r != 0)
        return r;
    s->record = target->node;
    if (fresh && save_key(op->job) && target->role == SCRATCH_RECORD)
        s->record = record_node(shape_of(target->dir.kind)->res, save_key(op->job));
    s->role = SCRATCH_RECORD;
    s->home = node_ino(target->dir);
    scratch_unname(t, s);
    return 0;
}

/* What is behind the name that scratch is to take: 0 with the role of a new one, or a node;
 * STORE_WAIT, -errno. `ret_local`: nothing but scratch. */
static int rename_target(struct tree *t, struct op *op, struct node dir, const char *name,
                         bool replace, struct target *ret, bool *ret_local)
{
    const struct scratch *there = scratch_find(t, node_ino(dir), name);
    enum scratch_role role = SCRATCH_LOCAL;
    int r = -ENOENT;
    if (there && !replace)
        return -EEXIST;
    if (there && there->role == SCRATCH_NAME) {
        r = target_find(t, op, dir, name, &ret->node);
    } else if (there) {
        role = there->role; /* an empty new record: now it has its text */
    } else {
        r = target_role(t, op, dir, name, &role);
        if (r < 0)
            return r;
        bool look = role != SCRATCH_LOCAL || shape_of(dir.kind)->form == FORM_VALUES ||
                    shape_child(dir.kind, name) != KIND_ROOT;
        r = look ? target_find(t, op, dir, name, &ret->node) : -ENOENT;
    }
    if (r == 0 && !replace)
        return -EEXIST;
    if (r != -ENOENT)
        return r;
    op->failure = (struct api_failure){0};
    ret->role = role;
    *ret_local = role == SCRATCH_LOCAL;
    return values_owner(t, op, dir);
}

/* From scratch onto whatever has that name. */
static int rename_scratch(struct tree *t, struct op *op, struct scratch *s, struct node dir,
                          const char *name, bool replace)
{
    struct target target = {.node = s->becomes, .dir = dir, .name = name, .role = s->becomes_role};
    if (op->job)
        return rename_saved(t, op, s, &target);
    target = (struct target){.dir = dir, .name = name, .writer = s->writer};
    bool local = false;
    int r = rename_target(t, op, dir, name, replace, &target, &local);
    if (r == 0 && local) {
        s->role = SCRATCH_LOCAL;
        scratch_move(t, op, s, node_ino(dir), name);
        return 0;
    }
    if (r != 0)
        return r;
    if (s->target)
        return op_fail(op, -EPERM, "a symlink is not a record");
    op->about = target.node.kind == KIND_ROOT ? 0 : node_ino(target.node);
    if (puts_back(t, op, s, dir, name)) {
        if (target.node.kind == KIND_ROOT) /* and no draft: that is the place of the refused text */
            return op_fail(op, -ENOENT, "there is no such record any more: nothing was sent");
        away_over(t, op_process(t, op), target.node);
        scratch_taken(t, op, s);
        scratch_unname(t, s);
        return 0;
    }
    if (s->text.len == 0)
        return op_fail(op, -EINVAL, "the file is empty: nothing was sent");
    r = write_begin(t, op, &target, s->text.data, s->text.len, NULL);
    if (r != 0)
        return r;
    s->dirty = false; /* what is written from now on is for the next time */
    s->becomes = target.node;
    s->becomes_role = target.role;
    if (!op->job)
        scratch_unname(t, s); /* there was nothing to do */
    return op->job ? rename_saved(t, op, s, &target) : 0;
}

int tree_rename(struct tree *t, struct op *op, uint64_t parent, const char *name,
                uint64_t new_parent, const char *new_name, bool replace)
{
    struct node from, to, n, other;
    int r = change_directory(parent, &from);
    r = r == 0 ? change_directory(new_parent, &to) : r;
    if (r != 0)
        return r;
    if (parent == new_parent && strcmp(name, new_name) == 0)
        return 0;
    struct scratch *s = scratch_find(t, parent, name);
    if (s && s->role != SCRATCH_NAME)
        return rename_scratch(t, op, s, to, new_name, replace);
    bool names = shape_of(from.kind)->form == FORM_NAMES && from.kind == to.kind;
    if (op->job)
        return save_wait(op->job, op);
    r = target_find(t, op, from, name, &n);
    if (r != 0)
        return r == -EISDIR ? op_fail(op, -EPERM, "a directory cannot be moved") : r;
    op->about = node_ino(n);

    enum scratch_role role = SCRATCH_LOCAL;
    const struct scratch *there = scratch_find(t, new_parent, new_name);
    bool taken = there && there->role == SCRATCH_LOCAL;
    if (names && !name_is_scratch(new_name)) {
        r = target_find(t, op, to, new_name, &other);
        if (r == 0)
            return op_fail(op, -EEXIST, "there is one of that name already");
        if (r != -ENOENT)
            return r;
        r = rename_record(t, op, to, n.key, new_name);
        return r == 0 ? save_wait(op->job, op) : r;
    }
    r = taken ? 0 : target_role(t, op, to, new_name, &role);
    if (there && !taken)
        role = there->role; /* the name of a record, or of one to be */
    if (r == 0 && !taken && role == SCRATCH_LOCAL && shape_of(to.kind)->form == FORM_VALUES &&
        (r = target_find(t, op, to, new_name, &other)) == 0)
        role = SCRATCH_RECORD;
    if (r > 0)
        return r;
    if (role != SCRATCH_LOCAL || (r < 0 && r != -ENOENT))
        return op_fail(op, -EPERM,
                       "a record cannot take the place or the name of another one (cp copies it)");
    if (taken && !replace)
        return -EEXIST;
    return detach(t, op, n, new_parent, new_name);
}
