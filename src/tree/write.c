/* From a text to a change of the account: what a name is for, what a save is a change of, which
 * order it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "systemefs/codec/name.h"

pid_t op_process(struct tree *t, const struct op *op)
{
    return bases_process(t->bases, op->caller);
}

/* ---- names ---- */

bool name_is_scratch(const char *name)
{
    size_t len = strlen(name);
    return strchr(".#~", name[0]) || name[len - 1] == '~';
}

int target_role(struct tree *t UNUSED, struct op *op, struct node dir, const char *name,
                enum scratch_role *ret)
{
    const struct shape *shape = shape_of(dir.kind);
    const struct resource_row *row = resource_row(shape->res);
    char stem[NAME_MAX + 1];
    if (dir.kind == KIND_CONTROL || shape->form == FORM_SHELF)
        return op_fail(op, -EPERM, "nothing can be put there");
    *ret = SCRATCH_LOCAL;
    if (shape->form == FORM_VALUES || name_is_scratch(name) || !name_stem(name, stem))
        return 0;
    bool id = resource_id_valid(row->id_kind, stem, strlen(stem));
    switch (shape_makes(dir.kind)) {
    case MAKES_ITEM:
        *ret = SCRATCH_ITEM;
        return 0;
    case MAKES_RECORD:
        if (!row->members)
            return op_fail(op, -EPERM, "a new %s is made by: mkdir %s/%s", row->name, shape->name,
                           row->make_name);
        /* A slug is chosen by the person, every other id by the server. */
        *ret = id && row->id_kind != ID_SLUG ? SCRATCH_REFUSED : SCRATCH_RECORD;
        return 0;
    case MAKES_NOTHING:
        break;
    }
    if (shape->form == FORM_RECORDS)
        return op_fail(op, -EPERM, "the API makes no %s here", row->name);
    return op_fail(op, -EPERM, "nothing can be made here");
}

/* What a symlink by human name stands for. */
static struct node record_named(const struct tree *t, struct node n)
{
    const struct scratch *s = scratch_of(t, n);
    const struct shape *shape = shape_of(n.kind);
    if (s)
        return s->record;
    if (shape->form == FORM_LINK && strstr(shape->target, ".json"))
        return record_node(shape->res, n.key);
    return n;
}

int target_find(struct tree *t, struct op *op, struct node dir, const char *name, struct node *ret)
{
    struct tree_attr attr;
    int r = tree_lookup(t, op, node_ino(dir), name, &attr);
    if (r != 0)
        return r;
    *ret = record_named(t, node_from_ino(attr.ino));
    enum node_form form = shape_of(ret->kind)->form;
    if (form == FORM_RECORD || form == FORM_VALUE)
        return 0;
    return shape_is_dir(ret->kind) ? -EISDIR : op_fail(op, -EPERM, "%s is not to be changed", name);
}

int record_meant(struct tree *t, struct op *op, enum resource res, const char *text, uint64_t *ret)
{
    const struct resource_row *row = resource_row(res);
    struct name_parts parts;
    if (resource_id_valid(row->id_kind, text, strlen(text))) {
        *ret = store_key(t->store, res, text);
        return *ret ? 0 : -ENOMEM;
    }
    if (!row->name_member || name_is_scratch(text) || !name_from_file(text, "", false, &parts) ||
        (row->name_filter && !name_could_be_email(parts.name, parts.len)))
        return -ENOENT;
    return store_find(t->store, op, res, parts.name, parts.len, ret);
}

/* ---- what a save is a change of ---- */

static uint64_t record_ino(const struct tree *t, struct node n)
{
    const struct shape *shape = shape_of(n.kind);
    const struct value_node *v = shape->form == FORM_VALUE ? value_node_of(t, n) : NULL;
    if (!v)
        return node_ino(n);
    return node_ino(record_node(shape->owner, v->owner));
}

int write_base(struct tree *t, struct op *op, struct node n, char **ret)
{
    struct record *rec = record_behind(t, n);
    const char *older, *text = NULL;
    uint64_t hash = bases_of(t->bases, op_process(t, op), record_ino(t, n), &older);
    int r = 0;
    if (older && !(rec && rec->hash == hash && rec->text))
        text = older;
    else if (rec && (r = record_text_behind(t, op, n, &rec)) == 0)
        text = rec->text;
    if (r != 0)
        return r;
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

/* What anybody, in whatever program, has read of it last; NULL: nothing, or it is not known any
 * more. Lent. */
static const char *last_read(const struct tree *t, struct node n)
{
    const char *older;
    const struct record *rec = record_behind(t, n);
    uint64_t hash = bases_of(t->bases, 0, record_ino(t, n), &older);
    return older ? older : hash && rec && rec->hash == hash ? rec->text : NULL;
}

void write_opened(struct tree *t, const struct op *op, struct node n, const struct record *rec)
{
    bases_opened(t->bases, op_process(t, op), record_ino(t, n), rec->hash);
}

/*
 * It has been saved. What the editor now holds is not the server's record (somebody else's change
 * may be in that, too), but the text that it has just written: its next save is a change of that.
 */
static void write_saved(struct tree *t, struct op *op, struct node n, const char *text)
{
    const struct record *rec = record_behind(t, n);
    pid_t process = op_process(t, op);
    /* An editor that has renamed the record away has got what it wanted: see renamed_away(). */
    list_for_each(it, &t->scratch) {
        struct scratch *s = CONTAINER_OF(it, struct scratch, all);
        if (s->copy_of.kind == n.kind && s->copy_of.key == n.key && s->copied_by == process)
            s->copied_by = 0;
    }
    away_over(t, process, n);
    struct json mine;
    CLEANUP(buf_cleanup) struct buf compact;
    buf_init(&compact, PATCH_TEXT_MAX);
    if (!rec)
        return;
    bool whole = shape_of(n.kind)->form == FORM_RECORD && rec->text &&
                 json_check(text, strlen(text), &mine, NULL) == 0 &&
                 patch_is_whole(record_json(rec), mine) && json_compact(mine, &compact) == 0;
    if (whole)
        bases_saved(t->bases, process, record_ino(t, n), compact.data, compact.len);
    else
        bases_opened(t->bases, process, record_ino(t, n), rec->hash);
}

/* ---- beginning a change ---- */

static int keep_refused(struct tree *t, struct op *op, const struct save_order *order)
{
    int error = op->failure.error;
    int r = save_keep(t->store, order, op->failure.message);
    return r < 0 ? op_fail(op, r, "it could not even be kept as a draft (%s): nothing was sent",
                           strerror(-r))
                 : error;
}

/* {"fields":[{"slug":"first_name","value":"Ada"}]}: the text of one field, as a change of its
 * record. */
static int value_document(struct tree *t, struct op *op, struct node n, const char *text,
                          size_t len, struct buf *out)
{
    const struct shape *shape = shape_of(n.kind);
    const struct value_node *v = value_node_of(t, n);
    char slug[RESOURCE_ID_TEXT_MAX + 1];
    store_id(t->store, shape->res, v->field, slug);
    len -= len && text[len - 1] == '\n';
    buf_printf(out, "{\"%s\":[{\"%s\":\"%s\",\"value\":", shape->member,
               resource_row(shape->res)->id_member, slug);
    int r = len == 0                          ? buf_append_str(out, "null")
            : memchr(text, '\0', len) != NULL ? -EILSEQ
                                              : json_quote(text, len, out);
    if (r == -EILSEQ)
        return op_fail(op, -EINVAL, "the value is not UTF-8 text");
    r = buf_append_str(out, "}]}");
    return r < 0 ? op_fail(op, r, "the value is too long") : 0;
}

static int begin_value(struct tree *t, struct op *op, struct save_order *order, struct node n)
{
    const struct shape *shape = shape_of(n.kind);
    const struct value_node *v = value_node_of(t, n);
    CLEANUP(buf_cleanup) struct buf document;
    buf_init(&document, 2 * PATCH_TEXT_MAX);
    if (!v)
        return -ESTALE;
    order->kind = SAVE_EDIT;
    order->res = shape->owner;
    order->key = v->owner;
    int r = value_document(t, op, n, order->text, order->text_len, &document);
    if (r < 0)
        return keep_refused(t, op, order);
    order->document = document.data;
    return save_start(t->store, op, order, &op->job);
}

/* The record that a document put into a relation's directory names: by the file's name, or in
 * itself. */
static int item_meant(struct tree *t, struct op *op, const struct target *target,
                      const struct save_order *order, uint64_t *ret)
{
    enum resource res = shape_of(target->dir.kind)->res;
    const struct resource_row *row = resource_row(res);
    char stem[NAME_MAX + 1], id[RESOURCE_ID_TEXT_MAX + 1];
    struct json document;
    name_stem(target->name, stem);
    bool said = json_check(order->text, order->text_len, &document, NULL) == 0 &&
                json_type(document) == JSON_OBJECT && api_record_id(res, document, id);
    bool named = resource_id_valid(row->id_kind, stem, strlen(stem));
    if (said && named && strcmp(id, stem) != 0)
        return op_fail(op, -EINVAL, "the document is that of %s %s, not %s", row->name, id, stem);
    if (said) {
        *ret = store_key(t->store, res, id);
        return *ret ? 0 : op_fail(op, -ENOMEM, "no memory");
    }
    int r = record_meant(t, op, res, stem, ret);
    return r == -ENOENT
               ? op_fail(op, -EINVAL, "neither its name nor its content says which %s is meant",
                         row->name)
               : r;
}

void order_item(const struct node dir, uint64_t listed, bool in, struct save_order *order)
{
    enum resource owner;
    bool items = shape_lists_items(dir.kind, &owner);
    order->kind = in ? SAVE_ADD : SAVE_TAKE;
    order->res = owner;
    order->key = items ? dir.key : listed;
    order->item = items ? listed : dir.key;
}

int order_new_item(struct tree *t, struct op *op, struct node dir, uint64_t listed,
                   struct save_order *order)
{
    order_item(dir, listed, true, order);
    const struct resource_row *row = resource_row(order->res);
    struct record *rec;
    char owner[RESOURCE_ID_TEXT_MAX + 1], item[RESOURCE_ID_TEXT_MAX + 1], path[64];
    snprintf(path, sizeof(path), "%s[].%s", row->set.member, resource_row(row->set.res)->id_member);
    store_id(t->store, order->res, order->key, owner);
    store_id(t->store, row->set.res, order->item, item);
    int r = store_record(t->store, op, order->res, order->key, &rec);
    if (r != 0 || !record_names(rec, path, item))
        return r == -ENOENT ? 0 : r;
    return op_fail(op, -EEXIST, "%s %s has %s %s already: nothing was sent", row->name, owner,
                   resource_row(row->set.res)->name, item);
}

void order_record(const struct node dir, struct save_order *order)
{
    const struct shape *shape = shape_of(dir.kind);
    order->kind = SAVE_CREATE;
    order->res = shape->res;
    order->filter = shape->filtered ? resource_filter_by(shape->res, shape->owner) : -1;
    order->by = dir.key;
}

static int begin_new(struct tree *t, struct op *op, const struct target *target,
                     struct save_order *order)
{
    uint64_t listed;
    int r;
    switch (target->role) {
    case SCRATCH_RECORD:
        order_record(target->dir, order);
        return save_start(t->store, op, order, &op->job);
    case SCRATCH_ITEM:
        r = item_meant(t, op, target, order, &listed);
        if (r > 0)
            return r;
        if (r < 0)
            return keep_refused(t, op, order);
        r = order_new_item(t, op, target->dir, listed, order);
        return r != 0 ? r : save_start(t->store, op, order, &op->job);
    case SCRATCH_REFUSED:
        op_fail(op, -EPERM,
                "there is no such %s, and ids are given by the server: a new one needs "
                "another name",
                resource_row(shape_of(target->dir.kind)->res)->name);
        return keep_refused(t, op, order);
    case SCRATCH_LOCAL:
    case SCRATCH_NAME:
        break;
    }
    return -EPERM;
}

/* `base` and `taken` may be NULL: see write_begin() and struct save_order. */
static int begin(struct tree *t, struct op *op, const struct target *target, const char *text,
                 size_t len, const char *base, const char *taken)
{
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    bool known = target->node.kind != KIND_ROOT;
    int r = known ? tree_path(t, node_ino(target->node), &path)
                  : change_path(t, target->dir, target->name, &path);
    if (r < 0)
        return -ENAMETOOLONG;
    struct save_order order = {.path = path.data,
                               .owner = target->writer,
                               .text = text,
                               .text_len = len,
                               .taken = taken,
                               .filter = -1};
    if (!known)
        return begin_new(t, op, target, &order);

    char *own = NULL;
    r = base ? 0 : write_base(t, op, target->node, &own);
    if (r > 0)
        return r;
    if (r < 0) {
        op->failure.error = r;
        return keep_refused(t, op, &order);
    }
    order.base = base ? base : own;
    if (!order.base) {
        op_fail(op, -ENOENT, "there is no such record any more: nothing was sent");
        r = keep_refused(t, op, &order);
    } else if (shape_of(target->node.kind)->form == FORM_VALUE) {
        r = begin_value(t, op, &order, target->node);
    } else {
        order.kind = SAVE_EDIT;
        order.res = shape_of(target->node.kind)->res;
        order.key = target->node.key;
        order.has_read = bases_has_read(t->bases, op_process(t, op), node_ino(target->node));
        order.seen = last_read(t, target->node);
        r = save_start(t->store, op, &order, &op->job);
    }
    free(own);
    return r;
}

int write_begin(struct tree *t, struct op *op, const struct target *target, const char *text,
                size_t len, const char *base)
{
    return begin(t, op, target, text, len, base, NULL);
}

int write_clear(struct tree *t, struct op *op, const struct target *target, const char *base,
                const char *value)
{
    return begin(t, op, target, "\n", 1, base, value);
}

int write_end(struct tree *t, struct op *op, const struct target *target)
{
    int r = save_wait(op->job, op);
    if (r != 0)
        return r;
    /* Nothing sent: an editor that puts the old text back, too. What was refused before stays so.
     */
    if (!save_changed(op->job))
        return 0;
    if (target->node.kind != KIND_ROOT) {
        struct record *rec;
        if (record_text_behind(t, op, target->node, &rec) == STORE_WAIT)
            return STORE_WAIT;
        op->failure = (struct api_failure){0}; /* it is saved */
        CLEANUP(buf_cleanup) struct buf path;
        buf_init(&path, PATH_MAX);
        tree_path(t, node_ino(target->node), &path);
        journal_clear(t->journal, node_ino(target->node), path.data ? path.data : "", true);
        write_saved(t, op, target->node, save_document(op->job));
    } else if (target->role == SCRATCH_RECORD && save_key(op->job)) {
        const struct node record = record_node(shape_of(target->dir.kind)->res, save_key(op->job));
        scratch_name_record(t, node_ino(target->dir), target->name, record);
    }
    return 0;
}
