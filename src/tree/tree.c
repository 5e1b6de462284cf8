#include "systemefs/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

const struct form forms[FORM_COUNT] = {
    [FORM_FIXED] = {.type = S_IFDIR, .getattr = dir_getattr},
    [FORM_RECORDS] = {.type = S_IFDIR,
                      .getattr = dir_getattr,
                      .lookup = records_lookup,
                      .walk = records_walk,
                      .entry = records_entry},
    [FORM_MEMBERS] = {.type = S_IFDIR,
                      .getattr = dir_getattr,
                      .lookup = members_lookup,
                      .walk = members_walk,
                      .entry = members_entry},
    [FORM_VALUES] = {.type = S_IFDIR,
                     .getattr = dir_getattr,
                     .lookup = values_lookup,
                     .walk = values_walk,
                     .entry = values_entry,
                     .entry_from = ENTRY_OWNER_TEXT},
    [FORM_NAMES] = {.type = S_IFDIR,
                    .getattr = dir_getattr,
                    .lookup = names_lookup,
                    .walk = names_walk,
                    .entry = names_entry,
                    .entry_from = ENTRY_TEXT},
    [FORM_RECORD] = {.type = S_IFREG, .getattr = record_getattr, .text = record_file_text},
    [FORM_VALUE] = {.type = S_IFREG, .getattr = value_getattr, .text = value_text},
    [FORM_TEXT] = {.type = S_IFREG, .getattr = text_getattr, .text = text_text},
    [FORM_SHELF] = {.type = S_IFDIR, .getattr = kept_getattr, .lookup = kept_lookup},
    [FORM_LINK] = {.type = S_IFLNK, .getattr = link_getattr},
    [FORM_SCRATCH] = {.type = S_IFREG, .getattr = scratch_getattr},
    [FORM_SCRATCH_LINK] = {.type = S_IFLNK, .getattr = scratch_getattr},
    [FORM_SHELF_FILE] = {.type = S_IFREG, .getattr = kept_getattr, .text = kept_text},
};

int tree_create(const struct tree_options *options, struct tree **ret)
{
    struct tree *t = malloc(sizeof(*t));
    if (!t)
        return -ENOMEM;
    *t = (struct tree){
        .store = options->store,
        .api = options->api,
        .net = options->net,
        .journal = options->journal,
        .clock = options->clock,
        .kernel = options->kernel,
        .umask = options->umask,
        .ttl_ms = options->ttl_ms,
        .start_ns = clock_wall_ns(options->clock),
        .url = strdup(options->url ? options->url : ""),
        .connection = options->connection ? strdup(options->connection) : NULL,
        .mode_name = options->mode_name,
        .values_sweep_at = 1024,
        .shelf = options->shelf,
        .no_open = options->no_open,
        .bases = bases_create(options->clock),
    };
    list_init(&t->files);
    list_init(&t->dirs);
    list_init(&t->scratch);
    if (!t->bases || brake_init(&t->brake, options->delete_limit) < 0) {
        tree_destroy(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

void tree_destroy(struct tree *t)
{
    if (!t)
        return;
    t->ending = true;
    list_for_each_safe(it, &t->files)
        tree_close(t, CONTAINER_OF(it, struct tree_file, open));
    list_for_each_safe(it, &t->dirs)
        tree_closedir(t, CONTAINER_OF(it, struct tree_dir, open));
    map_for_each(slot, &t->values)
        free(slot->value);
    map_finish(&t->values);
    map_for_each(slot, &t->open_inodes)
        free(slot->value);
    map_finish(&t->open_inodes);
    ahead_finish(t);
    text_free_all(t);
    scratch_free_all(t);
    kept_free_all(t);
    bases_destroy(t->bases);
    brake_finish(&t->brake);
    free(t->url);
    free(t->connection);
    free(t);
}

/* ---- attributes ---- */

void attr_init(const struct tree *t, struct node n, struct tree_attr *ret)
{
    const struct shape *shape = shape_of(n.kind);
    *ret = (struct tree_attr){
        .ino = node_ino(n),
        .mode = forms[shape->form].type |
                (forms[shape->form].type == S_IFLNK ? shape->mode : (shape->mode & ~t->umask)),
        .nlink = 1,
        .mtime_ns = t->start_ns,
        .entry_valid_ms = FIXED_VALID_MS,
        .attr_valid_ms = FIXED_VALID_MS,
    };
}

int tree_getattr(struct tree *t, struct op *op, uint64_t ino, struct tree_attr *ret)
{
    struct node n = node_from_ino(ino);
    if (!node_known(n))
        return -ESTALE;
    attr_init(t, n, ret);
    return form_of(n)->getattr(t, op, n, ret);
}

bool absent_here(const struct tree *t, enum node_kind kind)
{
    const struct shape *shape = shape_of(kind);
    return shape->form == FORM_RECORDS && !api_has(t->api, shape->res);
}

int tree_lookup(struct tree *t, struct op *op, uint64_t parent, const char *name,
                struct tree_attr *ret)
{
    struct node dir = node_from_ino(parent);
    if (!node_known(dir) || !shape_is_dir(dir.kind))
        return -ENOTDIR;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;

    enum node_kind child = shape_child(dir.kind, name);
    if (child != KIND_ROOT && !absent_here(t, child)) {
        struct node n = {.kind = child, .key = dir.key};
        attr_init(t, n, ret);
        if (shape_of(child)->form == FORM_TEXT)
            text_looked_up(t, n);
        return form_of(n)->getattr(t, op, n, ret);
    }
    const struct scratch *s = list_empty(&t->scratch) ? NULL : scratch_find(t, parent, name);
    if (s) {
        scratch_attr(t, s, ret);
        return 0;
    }
    /* What cannot be a name here will never be one. */
    *ret = (struct tree_attr){.entry_valid_ms = FIXED_VALID_MS};
    return form_of(dir)->lookup ? form_of(dir)->lookup(t, op, dir, name, ret) : -ENOENT;
}

/* Where the kernel's lookups of a node are counted, for the kinds that live only as long; else
 * NULL. */
static uint64_t *lookups_of(struct tree *t, struct node n)
{
    struct scratch *s;
    struct shelf_node *shelf;
    struct value_node *v;
    if (!node_known(n))
        return NULL;
    if ((s = scratch_of(t, n)))
        return &s->lookups;
    if (n.kind == KIND_SHELF_DIR || n.kind == KIND_SHELF_FILE)
        return (shelf = shelf_node_of(t, n)) ? &shelf->lookups : NULL;
    if (shape_of(n.kind)->form == FORM_VALUE)
        return (v = value_node_of(t, n)) ? &v->lookups : NULL;
    return NULL;
}

void tree_remember(struct tree *t, uint64_t ino)
{
    uint64_t *lookups = lookups_of(t, node_from_ino(ino));
    if (lookups)
        ++*lookups;
}

void tree_forget(struct tree *t, uint64_t ino, uint64_t count)
{
    struct node n = node_from_ino(ino);
    uint64_t *lookups = lookups_of(t, n);
    if (!lookups)
        return;
    *lookups -= MIN(*lookups, count);
    if (*lookups)
        return;
    struct scratch *s = scratch_of(t, n);
    if (s) {
        scratch_release(t, s);
    } else if (shape_of(n.kind)->form == FORM_VALUE) {
        free(map_remove(&t->values, n.key));
    } else {
        struct shelf_node *shelf = map_remove(&t->shelf_nodes, n.key);
        free(shelf->path);
        free(shelf);
    }
}

int tree_readlink(struct tree *t, struct op *op UNUSED, uint64_t ino, struct buf *out)
{
    struct node n = node_from_ino(ino);
    const struct scratch *s = scratch_of(t, n);
    if (s && s->target)
        return buf_append_str(out, s->target);
    if (!node_known(n) || shape_of(n.kind)->form != FORM_LINK)
        return -EINVAL;
    return link_target(t, n, out);
}

int tree_path(struct tree *t, uint64_t ino, struct buf *out)
{
    struct node n = node_from_ino(ino);
    if (!node_known(n) || n.kind == KIND_ROOT)
        return buf_error(out);
    const struct shape *shape = shape_of(n.kind);
    const struct value_node *v = shape->form == FORM_VALUE ? value_node_of(t, n) : NULL;
    const struct scratch *s = scratch_of(t, n);
    if (s) {
        tree_path(t, s->home, out);
        return buf_printf(out, "%s%s", out->len ? "/" : "", s->name);
    }
    if (n.kind == KIND_SHELF_DIR || n.kind == KIND_SHELF_FILE) {
        buf_printf(out, "%s/", shape_of(KIND_CONTROL)->name);
        return kept_path(t, n, out);
    }

    const struct node at = {.kind = n.kind, .key = v ? v->owner : n.key};
    tree_path(t, node_ino(node_parent(at)), out);
    if (out->len)
        buf_append_byte(out, '/');

    char id[RESOURCE_ID_TEXT_MAX + 1];
    if (shape->name)
        buf_append_str(out, shape->name);
    else
        buf_append_str(out, store_id(t->store, shape->res, v ? v->field : n.key, id));
    if (shape->form == FORM_RECORD || (shape->form == FORM_LINK && strstr(shape->target, ".json")))
        buf_append_str(out, ".json");
    return buf_error(out);
}

/* ---- what the kernel must be told ---- */

/* The files of a record's values show the record's content too. */
static uint64_t invalidate_values(struct tree *t, enum resource res, uint64_t key)
{
    uint64_t ticket = 0;
    if (res != RES_CONTACT)
        return 0;
    map_for_each(slot, &t->values) {
        const struct value_node *v = slot->value;
        const struct node n = {.kind = KIND_CONTACT_FIELD, .key = slot->key};
        if (v->owner == key && v->lookups)
            ticket = t->kernel->invalidate(t->kernel->data, node_ino(n));
    }
    return ticket;
}

static void record_changed(struct tree *t, enum resource res, struct record *rec)
{
    if (!t->kernel)
        return;
    uint64_t ticket = invalidate_values(t, res, rec->key);
    if (rec->kernel_told) {
        ticket = t->kernel->invalidate(t->kernel->data, node_ino(record_node(res, rec->key)));
        rec->kernel_behind = true;
    }
    if (ticket)
        rec->kernel_ticket = t->last_ticket = ticket;
    rec->pages_hash = 0;
}

void tree_store_changed(void *data, enum resource res, uint64_t key)
{
    struct tree *t = *(struct tree **)data;
    struct record *rec = t ? store_known(t->store, res, key) : NULL;
    if (!rec)
        return;
    t->contents[res]++;
    record_changed(t, res, rec);
}

void tree_store_replacing(void *data, enum resource res, const struct record *rec)
{
    struct tree *t = *(struct tree **)data;
    if (!t || !rec->text)
        return;
    bases_replacing(t->bases, node_ino(record_node(res, rec->key)), rec->hash, rec->text, rec->len);
    names_forget(t, res, rec);
}

void tree_store_evicting(void *data, enum resource res, const struct record *rec)
{
    tree_store_replacing(data, res, rec);
}

void tree_store_gone(void *data, enum resource res, uint64_t key)
{
    struct tree *t = *(struct tree **)data;
    if (!t)
        return;
    const struct node n = record_node(res, key);
    t->dropped[res]++;
    /* The name under which it was made is free again: it may be restored there. */
    list_for_each_safe(it, &t->scratch) {
        struct scratch *name = CONTAINER_OF(it, struct scratch, all);
        if (name->role == SCRATCH_NAME && name->record.kind == n.kind && name->record.key == key)
            scratch_unname(t, name);
    }
    if (t->kernel)
        t->kernel->invalidate(t->kernel->data, node_ino(n));
}

static void refresh_each(void *data, enum resource res, struct record *rec)
{
    record_changed(data, res, rec);
}

void tree_refresh_all(struct tree *t)
{
    store_refresh_all(t->store, refresh_each, t);
    pages_check(t);
}
