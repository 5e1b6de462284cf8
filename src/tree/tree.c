#include "systemefs/tree/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

/* So many changes in quick succession make a record one that keeps changing. */
#define RESTLESS_CHANGES 3

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
                     .entry = values_entry},
    [FORM_NAMES] = {.type = S_IFDIR,
                    .getattr = dir_getattr,
                    .lookup = names_lookup,
                    .walk = names_walk,
                    .entry = names_entry},
    [FORM_RECORD] = {.type = S_IFREG, .getattr = record_getattr, .text = record_file_text},
    [FORM_VALUE] = {.type = S_IFREG, .getattr = value_getattr, .text = value_text},
    [FORM_TEXT] = {.type = S_IFREG, .getattr = text_getattr, .text = text_text},
    [FORM_LINK] = {.type = S_IFLNK, .getattr = link_getattr},
};

static const struct form *form_of(struct node n)
{
    return &forms[shape_of(n.kind)->form];
}

/* A number that the kernel could only have made up. */
static bool node_known(struct node n)
{
    return n.kind < KIND_COUNT;
}

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
    };
    list_init(&t->files);
    list_init(&t->dirs);
    *ret = t;
    return 0;
}

void tree_destroy(struct tree *t)
{
    if (!t)
        return;
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
                (shape->form == FORM_LINK ? shape->mode : (shape->mode & ~t->umask)),
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
        return form_of(n)->getattr(t, op, n, ret);
    }
    /* What cannot be a name here will never be one. */
    *ret = (struct tree_attr){.entry_valid_ms = FIXED_VALID_MS};
    return form_of(dir)->lookup ? form_of(dir)->lookup(t, op, dir, name, ret) : -ENOENT;
}

void tree_remember(struct tree *t, uint64_t ino)
{
    struct node n = node_from_ino(ino);
    struct value_node *v =
        node_known(n) && shape_of(n.kind)->form == FORM_VALUE ? value_node_of(t, n) : NULL;
    if (v)
        v->lookups++;
}

void tree_forget(struct tree *t, uint64_t ino, uint64_t count)
{
    struct node n = node_from_ino(ino);
    if (!node_known(n) || shape_of(n.kind)->form != FORM_VALUE)
        return;
    struct value_node *v = value_node_of(t, n);
    if (!v)
        return;
    v->lookups -= MIN(v->lookups, count);
    if (v->lookups == 0)
        free(map_remove(&t->values, n.key));
}

int tree_readlink(struct tree *t, struct op *op UNUSED, uint64_t ino, struct buf *out)
{
    struct node n = node_from_ino(ino);
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

/* ---- files ---- */

/* The record whose content a file shows, if it is at hand. */
static struct record *record_behind(const struct tree *t, struct node n)
{
    const struct shape *shape = shape_of(n.kind);
    const struct value_node *v = shape->form == FORM_VALUE ? value_node_of(t, n) : NULL;
    if (v)
        return store_peek(t->store, shape->owner, v->owner);
    return shape->form == FORM_RECORD ? store_peek(t->store, shape->res, n.key) : NULL;
}

/*
 * Waits until the kernel has dropped what it held of an older content.
 *
 * It was told when the content changed; but attributes of the older content may have been on their
 * way into the kernel just then (in the reply to a readdir that a reader had not worked off), for
 * an inode that the kernel did not have yet and so could not invalidate. Now that it is opened it
 * has it: told once more, it takes nothing that was asked before.
 */
static int wait_for_kernel(struct tree *t, struct op *op, uint64_t ino, struct record *rec)
{
    if (!t->kernel)
        return 0;
    if (rec->kernel_behind) {
        rec->kernel_behind = false;
        rec->kernel_ticket = t->kernel->invalidate(t->kernel->data, ino);
    }
    if (!rec->kernel_ticket)
        return 0;
    if (t->kernel->done(t->kernel->data, rec->kernel_ticket)) {
        rec->kernel_ticket = 0;
        return 0;
    }
    return op->expired ? 0 : op_wait(op, t->kernel->queue);
}

int tree_wait_kernel(struct tree *t, struct op *op, uint64_t *ticket)
{
    if (!*ticket)
        *ticket = t->last_ticket;
    if (!*ticket || !t->kernel || t->kernel->done(t->kernel->data, *ticket) || op->expired)
        return 0;
    return op_wait(op, t->kernel->queue);
}

/*
 * Decides whether the kernel's pages may serve this file.
 *
 * The kernel has one size and one set of pages for an inode, whoever has it open, and renews the
 * size with every stat: a reader of the older text and a stat that tells the newer size can meet in
 * the same microsecond. So a record that keeps changing is read past the pages. Not every one that
 * has changed: such a file cannot be mapped shared (ENODEV).
 */
static int share_pages(struct tree *t, struct record *rec, struct tree_file *file)
{
    bool restless = rec->changes >= RESTLESS_CHANGES &&
                    clock_wall_ns(t->clock) - rec->mtime_ns < STORE_QUICK_NS;
    if (t->ttl_ms == 0 || restless) {
        file->direct_io = true;
        return 0;
    }
    struct open_inode *oi = map_get(&t->open_inodes, file->ino);
    if (!oi) {
        oi = malloc(sizeof(*oi));
        if (!oi)
            return -ENOMEM;
        *oi = (struct open_inode){.hash = rec->hash};
        if (map_put(&t->open_inodes, file->ino, oi) < 0) {
            free(oi);
            return -ENOMEM;
        }
    }
    oi->files++;
    file->counted = true;
    if (oi->hash != rec->hash) {
        /* Somebody still reads the old text: this file's bytes go past the pages. */
        file->direct_io = true;
        return 0;
    }
    file->keep_cache = rec->pages_hash == rec->hash;
    rec->pages_hash = rec->hash;
    rec->kernel_told = true;
    return 0;
}

int tree_open(struct tree *t, struct op *op, uint64_t ino, bool write, struct tree_file **ret)
{
    struct node n = node_from_ino(ino);
    if (!node_known(n))
        return -ESTALE;
    const struct shape *shape = shape_of(n.kind);
    const struct form *form = form_of(n);
    if (!form->text)
        return shape_is_dir(n.kind) ? -EISDIR : -EINVAL;
    if (write && n.kind != KIND_CTL)
        return tree_refuse_change(t, op, ino);

    struct buf text;
    buf_init(&text, TREE_TEXT_MAX);
    struct tree_file *file = calloc(1, sizeof(*file));
    if (file)
        list_append(&t->files, &file->open);
    int r = file ? form->text(t, op, n, &text) : -ENOMEM;
    if (r == 0) {
        file->ino = ino;
        struct record *rec = record_behind(t, n);
        if (rec)
            r = wait_for_kernel(t, op, ino, rec);
        if (r == 0 && rec && shape->form == FORM_RECORD)
            r = share_pages(t, rec, file);
        /* Not worth keeping: they are short, or of now. */
        if (shape->form == FORM_TEXT || shape->form == FORM_VALUE)
            file->direct_io = true;
    }
    if (r == 0 && !(file->text = buf_take(&text, &file->len)))
        r = -ENOMEM;
    buf_finish(&text);
    if (r != 0) {
        if (file)
            tree_close(t, file);
        return r;
    }
    journal_clear(t->journal, ino);
    *ret = file;
    return 0;
}

void tree_file_attr(struct tree *t, const struct tree_file *file, struct tree_attr *ret)
{
    struct node n = node_from_ino(file->ino);
    struct record *rec = record_behind(t, n);
    attr_init(t, n, ret);
    if (rec && shape_of(n.kind)->form == FORM_RECORD)
        record_attr(t, n, rec, ret);
    else if (rec)
        ret->mtime_ns = rec->mtime_ns;
    ret->size = file->len;
    ret->entry_valid_ms = ret->attr_valid_ms = 0;
}

void tree_close(struct tree *t, struct tree_file *file)
{
    struct open_inode *oi = file->counted ? map_get(&t->open_inodes, file->ino) : NULL;
    if (oi && --oi->files == 0) {
        struct node n = node_from_ino(file->ino);
        struct record *rec = record_behind(t, n);
        /* The last reads may have put an older text into the kernel's pages, after they were
         * dropped for the newer one. */
        if (rec && rec->hash != oi->hash)
            rec->pages_hash = 0;
        map_remove(&t->open_inodes, file->ino);
        free(oi);
    }
    list_remove(&file->open);
    free(file->text);
    free(file);
}

int tree_refuse_change(struct tree *t UNUSED, struct op *op, uint64_t ino UNUSED)
{
    return op_fail(op, -EROFS, "this version of systemefs only reads: nothing was sent");
}

static int write_lines(struct tree *t, struct op *op, const char *text, size_t len,
                       int (*each)(struct tree *t, struct op *op, char *line))
{
    char *copy = strndup(text, len);
    if (!copy)
        return -ENOMEM;
    int r = 0;
    char *rest = copy, *line;
    while (r == 0 && (line = strsep(&rest, "\n")))
        r = each(t, op, line);
    free(copy);
    return r;
}

int tree_write(struct tree *t, struct op *op, uint64_t ino, const char *text, size_t len)
{
    if (node_from_ino(ino).kind != KIND_CTL)
        return tree_refuse_change(t, op, ino);
    /* First whatever may have to wait, for all lines: this runs again after a wait, and a refresh
     * that is done again would undo what was waited for. */
    int r = write_lines(t, op, text, len, control_prepare);
    return r == 0 ? write_lines(t, op, text, len, control_run) : r;
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

static struct node record_node(enum resource res, uint64_t key)
{
    return (struct node){.kind = shape_of(shape_home(res))->entry, .key = key};
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
    struct record *rec = t ? store_peek(t->store, res, key) : NULL;
    if (rec)
        record_changed(t, res, rec);
}

void tree_store_gone(void *data, enum resource res, uint64_t key)
{
    struct tree *t = *(struct tree **)data;
    if (!t || !t->kernel)
        return;
    t->kernel->invalidate(t->kernel->data, node_ino(record_node(res, key)));
}

static void refresh_each(void *data, enum resource res, struct record *rec)
{
    record_changed(data, res, rec);
}

void tree_refresh_all(struct tree *t)
{
    store_refresh_all(t->store, refresh_each, t);
}
