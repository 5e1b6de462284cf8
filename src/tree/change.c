/* Names made and removed: what that means for the account. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "systemefs/codec/name.h"

/* The path of a name in a directory, for drafts, trash and messages. */
int change_path(struct tree *t, struct node dir, const char *name, struct buf *out)
{
    tree_path(t, node_ino(dir), out);
    return buf_printf(out, "%s%s", out->len ? "/" : "", name);
}

int change_directory(uint64_t ino, struct node *ret)
{
    *ret = node_from_ino(ino);
    return ret->kind < KIND_COUNT && shape_is_dir(ret->kind) ? 0 : -ENOTDIR;
}

/* ---- new files ---- */

int tree_new_file(struct tree *t, struct op *op, uint64_t parent, const char *name, int flags,
                  struct tree_file **ret, struct tree_attr *attr)
{
    struct node dir;
    enum scratch_role role;
    struct scratch *s = scratch_find(t, parent, name);
    bool exclusive = flags & O_EXCL;
    int r = change_directory(parent, &dir);
    if (r == 0 && strlen(name) > NAME_MAX)
        r = -ENAMETOOLONG;
    if (r < 0)
        return r;
    if (!s) {
        r = target_role(t, op, dir, name, &role);
        if (r < 0)
            return r;
        /* The kernel may not know yet that there is something by that name. What can only be an
         * editor's own needs no look at the account. */
        bool look = role != SCRATCH_LOCAL || shape_of(dir.kind)->form == FORM_VALUES ||
                    shape_child(dir.kind, name) != KIND_ROOT;
        r = look ? tree_lookup(t, op, parent, name, attr) : -ENOENT;
        if (r == 0 && exclusive)
            return -EEXIST;
        if (r == 0)
            return tree_open(t, op, attr->ino, flags, ret);
        if (r != -ENOENT)
            return r;
        op->failure = (struct api_failure){0};
        r = values_owner(t, op, dir);
        if (r != 0)
            return r;
        r = scratch_make(t, parent, name, role, NULL, &s);
        if (r < 0)
            return op_fail(op, r, "too many temporary files");
    } else if (exclusive) {
        return -EEXIST;
    }
    scratch_attr(t, s, attr);
    return tree_open(t, op, attr->ino, flags, ret);
}

/* ---- removing ---- */

static int brake(struct tree *t, struct op *op)
{
    int64_t now = clock_mono_ms(t->clock);
    if (brake_allow(&t->brake, now))
        return 0;
    return op_fail(
        op, -EPERM,
        "%u deletes within a minute is the limit (delete_limit): wait %lld seconds, or allow more "
        "with: echo 'deletes 500' > .systemefs/ctl",
        t->brake.limit, (long long)brake_wait_s(&t->brake, now));
}

static int remove_record(struct tree *t, struct op *op, struct node dir, const char *name,
                         struct node n)
{
    const struct resource_row *row = resource_row(shape_of(n.kind)->res);
    struct save_order order = {.kind = SAVE_REMOVE,
                               .res = shape_of(n.kind)->res,
                               .key = n.key,
                               .filter = -1,
                               .owner = op_process(t, op)};
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    bool item = shape_makes(dir.kind) == MAKES_ITEM;
    if (item)
        order_item(dir, n.key, false, &order);
    else if (row->action)
        return op_fail(op, -EPERM, "a %s is ended by writing to contacts/ID/%ss/%llu/%s", row->name,
                       row->name, (unsigned long long)n.key, row->action);
    else if (!row->can_remove)
        return op_fail(op, -EPERM, "the API cannot delete a %s", row->name);
    struct record *rec;
    int r =
        store_record(t->store, op, order.res, order.key, &rec); /* its content is for the trash */
    if (r == 0)
        r = change_path(t, dir, name, &path);
    char stem[NAME_MAX + 1];
    if (r == 0 && !item && !name_stem(name, stem)) /* rmdir: what goes is the record */
        r = buf_append_str(&path, ".json");
    if (r == 0)
        r = brake(t, op);
    if (r != 0)
        return r;
    order.path = path.data;
    r = save_start(t->store, op, &order, &op->job);
    return r == 0 ? save_wait(op->job, op) : r;
}

/* One field is cleared; its value goes to the trash. */
static int clear_value(struct tree *t, struct op *op, struct node n)
{
    const struct target target = {.node = n, .writer = op_process(t, op)};
    CLEANUP(buf_cleanup) struct buf value;
    buf_init(&value, TREE_TEXT_MAX);
    int r = value_text(t, op, n, &value);
    struct record *rec = r == 0 ? record_behind(t, n) : NULL;
    if (r == 0)
        r = rec ? write_clear(t, op, &target, rec->text, value.data) : -ENOENT;
    return r == 0 ? save_wait(op->job, op) : r;
}

bool renamed_away(struct tree *t, const struct op *op, struct node n)
{
    list_for_each(it, &t->scratch) {
        const struct scratch *s = CONTAINER_OF(it, struct scratch, all);
        if (s->dir && s->copy_of.kind == n.kind && s->copy_of.key == n.key && s->copied_by &&
            s->copied_by == op_process(t, op))
            return true;
    }
    for (size_t i = 0; i < AWAY_MAX; i++) {
        const struct away *a = &t->away[i];
        if (a->process && a->process == op_process(t, op) && a->node.kind == n.kind &&
            a->node.key == n.key)
            return true;
    }
    return false;
}

/* What a name that is to be removed stands for. */
static int removed_node(struct tree *t, struct op *op, struct node dir, const char *name,
                        struct node *ret)
{
    struct tree_attr attr;
    if (shape_child(dir.kind, name) != KIND_ROOT)
        return op_fail(op, -EPERM, "it is a part of the tree");
    int r = tree_lookup(t, op, node_ino(dir), name, &attr);
    if (r != 0)
        return r;
    op->about = attr.ino;
    *ret = node_from_ino(attr.ino);
    return 0;
}

int tree_unlink(struct tree *t, struct op *op, uint64_t parent, const char *name)
{
    struct node dir, n;
    int r = change_directory(parent, &dir);
    if (r < 0 || op->job)
        return r < 0 ? r : save_wait(op->job, op);
    struct scratch *s = scratch_find(t, parent, name);
    if (s && s->role == SCRATCH_NAME)
        return op_fail(op, -EPERM, "it is a name of %s: remove that", s->target);
    if (s) {
        scratch_taken(t, op, s);
        scratch_unname(t, s);
        return 0;
    }
    if (shape_of(dir.kind)->form == FORM_SHELF)
        return kept_unlink(t, op, dir, name);
    r = removed_node(t, op, dir, name, &n);
    if (r != 0)
        return r;
    CLEANUP(buf_cleanup) struct buf target;
    buf_init(&target, PATH_MAX);
    switch (shape_of(n.kind)->form) {
    case FORM_RECORD:
        return renamed_away(t, op, n) ? 0 : remove_record(t, op, dir, name, n);
    case FORM_VALUE:
        return renamed_away(t, op, n) ? 0 : clear_value(t, op, n);
    case FORM_LINK:
        link_target(t, n, &target);
        return op_fail(op, -EPERM, "it is a name of %s: remove that",
                       target.data ? target.data : "?");
    case FORM_FIXED:
    case FORM_RECORDS:
    case FORM_MEMBERS:
    case FORM_VALUES:
    case FORM_SHELF:
    case FORM_NAMES:
        return -EISDIR;
    case FORM_TEXT:
    case FORM_SCRATCH:
    case FORM_SCRATCH_LINK:
    case FORM_SHELF_FILE:
    case FORM_COUNT:
        break;
    }
    return op_fail(op, -EPERM, "it is a part of the tree");
}

int tree_rmdir(struct tree *t, struct op *op, uint64_t parent, const char *name)
{
    struct node dir, n;
    int r = change_directory(parent, &dir);
    if (r < 0 || op->job)
        return r < 0 ? r : save_wait(op->job, op);
    if (shape_of(dir.kind)->form == FORM_SHELF)
        return kept_unlink(t, op, dir, name);
    r = removed_node(t, op, dir, name, &n);
    if (r != 0)
        return r;
    const struct shape *shape = shape_of(dir.kind);
    if (!shape_is_dir(n.kind))
        return -ENOTDIR;
    if (!shape->dir_removes || n.kind != shape->entry_dir)
        return op_fail(op, -EPERM, "a directory is not removed: remove %s.json", name);
    return remove_record(t, op, dir, name, (struct node){.kind = shape->entry, .key = n.key});
}

/* ---- mkdir ---- */

/* {"name":"VIP"}: the members that a name alone is the value of. */
int change_document(const char *const members[2], const char *name, size_t len, struct buf *out)
{
    buf_append_byte(out, '{');
    for (size_t i = 0; i < 2 && members[i]; i++) {
        buf_printf(out, "%s\"%s\":", i ? "," : "", members[i]);
        int r = json_quote(name, len, out);
        if (r < 0)
            return r;
    }
    return buf_append_byte(out, '}');
}

/* A record of its own, called so. */
static int make_named(struct tree *t, struct op *op, struct node dir, const char *name,
                      struct buf *document)
{
    const struct shape *shape = shape_of(dir.kind);
    const struct resource_row *row = resource_row(shape->res);
    struct name_parts parts;
    uint64_t key;
    if (row->make_name) {
        if (strcmp(name, row->make_name) != 0)
            return op_fail(op, -EINVAL, "a new %s is made by: mkdir %s/%s", row->name, shape->name,
                           row->make_name);
        return 0;
    }
    if (!row->named_by[0])
        return op_fail(op, -EPERM, "a name does not say enough: write a new file %s/NAME.json",
                       shape->name);
    if (name_is_scratch(name) || !name_from_file(name, "", false, &parts) || parts.len == 0)
        return op_fail(op, -EINVAL, "'%s' is no name of a %s", name, row->name);
    if (row->id_kind == ID_SLUG && !resource_id_valid(ID_SLUG, parts.name, parts.len))
        return op_fail(op, -EINVAL, "'%s' is no slug: letters, digits and '_' are one", name);
    if (row->name_filter && !name_could_be_email(parts.name, parts.len))
        return op_fail(op, -EINVAL, "a new %s is called by its %s", row->name, row->name_member);
    if (row->id_kind != ID_SLUG && resource_id_valid(row->id_kind, name, strlen(name)))
        return op_fail(op, -EPERM,
                       "ids are given by the server; to make a %s with this name, write a new file",
                       row->name);
    int r = row->name_member ? store_find(t->store, op, shape->res, parts.name, parts.len, &key)
                             : -ENOENT;
    if (r == 0)
        return op_fail(op, -EEXIST, "there is a %s of that name already", row->name);
    if (r != -ENOENT)
        return r;
    r = change_document(row->named_by, parts.name, parts.len, document);
    return r < 0 ? op_fail(op, -EINVAL, "the name is not UTF-8") : 0;
}

/* One that joins the directory's record to another one: an enrollment, a membership. */
static int make_joining(struct tree *t, struct op *op, struct node dir, const char *name,
                        struct buf *document)
{
    const struct shape *shape = shape_of(dir.kind);
    const struct resource_row *row = resource_row(shape->res);
    int mine = resource_filter_by(shape->res, shape->owner);
    const struct resource_filter *other = &row->filters[mine == 0 ? 1 : 0];
    char id[RESOURCE_ID_TEXT_MAX + 1];
    uint64_t key;
    int r = record_meant(t, op, other->by, name, &key);
    if (r == -ENOENT)
        return op_fail(op, -EINVAL, "'%s' is no %s", name, resource_row(other->by)->name);
    if (r == 0)
        r = buf_printf(document, "{\"%s\":%s}", other->create_member,
                       store_id(t->store, other->by, key, id));
    return r;
}

static int make_item(struct tree *t, struct op *op, struct node dir, const char *name,
                     struct save_order *order)
{
    enum resource res = shape_of(dir.kind)->res;
    uint64_t listed;
    int r = record_meant(t, op, res, name, &listed);
    if (r == -ENOENT)
        return op_fail(op, -EINVAL, "there is no %s '%s'", resource_row(res)->name, name);
    return r == 0 ? order_new_item(t, op, dir, listed, order) : r;
}

static int begin_mkdir(struct tree *t, struct op *op, struct node dir, const char *name)
{
    const struct shape *shape = shape_of(dir.kind);
    CLEANUP(buf_cleanup) struct buf path, document;
    buf_init(&path, PATH_MAX);
    buf_init(&document, PATH_MAX);
    struct save_order order = {.filter = -1, .owner = op_process(t, op), .grant = true};
    int r;
    switch (shape_makes(dir.kind)) {
    case MAKES_RECORD:
        order_record(dir, &order);
        r = shape->filtered ? make_joining(t, op, dir, name, &document)
                            : make_named(t, op, dir, name, &document);
        break;
    case MAKES_ITEM:
        r = make_item(t, op, dir, name, &order);
        break;
    case MAKES_NOTHING:
    default:
        return op_fail(op, -EPERM, "no directory can be made here");
    }
    if (r == 0)
        r = change_path(t, dir, name, &path);
    if (r != 0)
        return r;
    order.path = path.data;
    order.document = document.len ? document.data : NULL;
    return save_start(t->store, op, &order, &op->job);
}

/* What the kernel is told to have made: the record's directory, or an empty one that is gone again.
 */
static void made_directory(struct tree *t, struct node dir, uint64_t key, struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir.kind);
    struct node n = {.kind = KIND_MADE, .key = ++t->made_next};
    if (key && !shape->filtered && shape->form == FORM_RECORDS && shape->entry_dir != KIND_ROOT)
        n = (struct node){.kind = shape->entry_dir, .key = key};
    attr_init(t, n, ret);
    ret->entry_valid_ms = ret->attr_valid_ms = 0;
}

int tree_mkdir(struct tree *t, struct op *op, uint64_t parent, const char *name,
               struct tree_attr *ret)
{
    struct node dir;
    int r = change_directory(parent, &dir);
    if (r == 0 && !op->job &&
        (scratch_find(t, parent, name) || shape_child(dir.kind, name) != KIND_ROOT))
        return -EEXIST;
    if (r == 0 && !op->job)
        r = begin_mkdir(t, op, dir, name);
    if (r == 0)
        r = save_wait(op->job, op);
    if (r == 0)
        made_directory(t, dir, save_key(op->job), ret);
    return r;
}
