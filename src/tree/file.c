/* Open files: whose text they show, and what the kernel may keep of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* So many changes in quick succession make a record one that keeps changing. */
#define RESTLESS_CHANGES 3

struct record *record_behind(const struct tree *t, struct node n)
{
    const struct shape *shape = shape_of(n.kind);
    const struct value_node *v = shape->form == FORM_VALUE ? value_node_of(t, n) : NULL;
    if (v)
        return store_known(t->store, shape->owner, v->owner);
    return shape->form == FORM_RECORD ? store_known(t->store, shape->res, n.key) : NULL;
}

int record_text_behind(struct tree *t, struct op *op, struct node n, struct record **ret)
{
    const struct shape *shape = shape_of(n.kind);
    const struct record *rec = record_behind(t, n);
    enum resource res = shape->form == FORM_VALUE ? shape->owner : shape->res;
    return rec ? store_text(t->store, op, res, rec->key, ret) : -ENOENT;
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
    if (!*ticket) {
        pages_check(t);
        *ticket = t->last_ticket;
    }
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

/* Why a file of this kind cannot be opened to be written; 0 where it can. */
static int refuse_write(struct op *op, struct node n)
{
    const struct shape *shape = shape_of(n.kind);
    const struct resource_row *row =
        resource_row(shape->form == FORM_VALUE ? shape->owner : shape->res);
    if (shape->form == FORM_RECORD || shape->form == FORM_VALUE)
        return row->can_save ? 0 : op_fail(op, -EPERM, "the API cannot change a %s", row->name);
    if (shape->form == FORM_SHELF_FILE)
        return op_fail(op, -EPERM, "it is kept as it was: copy it");
    if (shape->form == FORM_SCRATCH || tree_takes_commands(node_ino(n)))
        return 0;
    return op_fail(op, -EPERM, "it is not to be changed");
}

/* The text, and whose pages may hold it. */
static int open_to_read(struct tree *t, struct op *op, struct node n, struct tree_file *file,
                        struct buf *text)
{
    const struct shape *shape = shape_of(n.kind);
    int r = forms[shape->form].text(t, op, n, text);
    if (r != 0)
        return r;
    struct record *rec = record_behind(t, n);
    if (rec)
        r = wait_for_kernel(t, op, file->ino, rec);
    if (r == 0 && rec && shape->form == FORM_RECORD && !file->write)
        r = share_pages(t, rec, file);
    if (r == 0 && rec && shape->form == FORM_RECORD && !file->write)
        ahead_read(t, n);
    if (r == 0 && rec && !file->write)
        write_opened(t, op, n, rec);
    /* Not worth keeping: they are short, of now, or about to be another text. */
    if (file->write || shape->form != FORM_RECORD)
        file->direct_io = true;
    return r;
}

/* A buffer of its own, and what a save will be a change of. */
static int open_to_write(struct tree *t, struct op *op, struct node n, struct tree_file *file,
                         int flags, struct buf *text)
{
    struct record *rec;
    int r = record_text_behind(t, op, n, &rec);
    if (r != 0)
        return r == -ENOENT ? 0 : r;
    bool anew = flags & O_TRUNC;
    file->append = flags & O_APPEND;
    if (!anew && !(file->base = strdup(rec->text)))
        return -ENOMEM;
    r = write_base(t, op, n, anew ? &file->base : &file->earlier);
    if (r == 0 && !file->base)
        r = -ENOMEM;
    if (r != 0)
        return r;
    return anew || text->len == 0 ? 0 : buf_append(&file->data, text->data, text->len);
}

static int open_file(struct tree *t, struct op *op, struct node n, struct tree_file *file,
                     int flags, struct buf *text)
{
    struct scratch *s = scratch_of(t, n);
    int r = file->write ? refuse_write(op, n) : 0;
    if (r < 0)
        return r;
    if (s) {
        s->opens++;
        file->scratch = s;
        file->direct_io = true;
        file->append = flags & O_APPEND;
        if (file->write && (flags & O_TRUNC))
            buf_truncate(&s->text, 0);
        return 0;
    }
    r = open_to_read(t, op, n, file, text);
    if (r == 0 && file->write)
        r = open_to_write(t, op, n, file, flags, text);
    return r;
}

int tree_open(struct tree *t, struct op *op, uint64_t ino, int flags, struct tree_file **ret)
{
    struct node n = node_from_ino(ino);
    if (!node_known(n))
        return -ESTALE;
    if (!form_of(n)->text && shape_of(n.kind)->form != FORM_SCRATCH)
        return shape_is_dir(n.kind) ? -EISDIR : -EINVAL;
    if (shape_of(n.kind)->form == FORM_SCRATCH && !scratch_of(t, n))
        return -ESTALE;

    struct buf text;
    buf_init(&text, TREE_TEXT_MAX);
    struct tree_file *file = calloc(1, sizeof(*file));
    if (!file)
        return -ENOMEM;
    list_append(&t->files, &file->open);
    buf_init(&file->data, SCRATCH_TEXT_MAX);
    file->ino = ino;
    file->write = (flags & O_ACCMODE) != O_RDONLY;
    int r = open_file(t, op, n, file, flags, &text);
    if (r == 0 && !(file->text = buf_take(&text, &file->len)))
        r = -ENOMEM;
    buf_finish(&text);
    if (r != 0) {
        tree_close(t, file);
        return r;
    }
    if (!file->write)
        journal_clear(t->journal, ino, "", false);
    *ret = file;
    return 0;
}

void tree_file_attr(struct tree *t, const struct tree_file *file, struct tree_attr *ret)
{
    struct node n = node_from_ino(file->ino);
    struct record *rec = record_behind(t, n);
    if (file->scratch) {
        scratch_attr(t, file->scratch, ret);
        return;
    }
    attr_init(t, n, ret);
    if (rec && shape_of(n.kind)->form == FORM_RECORD)
        record_attr(t, n, rec, ret);
    else if (rec)
        ret->mtime_ns = rec->mtime_ns;
    ret->size = file->write && file->base ? file->data.len : file->len;
    ret->entry_valid_ms = ret->attr_valid_ms = 0;
}

int tree_read_closed(struct tree *t, struct op *op, uint64_t ino, struct buf *out)
{
    struct node n = node_from_ino(ino);
    if (!node_known(n) || !form_of(n)->text)
        return -ESTALE;
    int r = form_of(n)->text(t, op, n, out);
    if (r != 0)
        return r;
    struct record *rec = record_behind(t, n);
    if (rec && rec->kernel_behind) {
        /* It may have the size of an older text (see wait_for_kernel). Not waited for: what has to
         * be dropped is locked until this read is answered. Whoever reads on asks for the size
         * first. */
        rec->kernel_behind = false;
        if (t->kernel)
            t->last_ticket = t->kernel->invalidate(t->kernel->data, ino);
    } else if (rec && shape_of(n.kind)->form == FORM_RECORD) {
        rec->kernel_told = true;
        ahead_read(t, n);
    }
    journal_clear(t->journal, ino, "", false);
    return 0;
}

/* A new record that could not become one: its text is a draft. */
static void leave_scratch(struct tree *t, struct scratch *s)
{
    bool failed = s->role != SCRATCH_LOCAL && s->role != SCRATCH_NAME &&
                  s->record.kind == KIND_ROOT && s->text.len && !s->dirty;
    s->opens--;
    if (failed && s->opens == 0)
        s->dir = 0;
    scratch_release(t, s);
}

void tree_close(struct tree *t, struct tree_file *file)
{
    tree_file_last(t, file);
    if (file->scratch)
        leave_scratch(t, file->scratch);
    struct open_inode *oi = file->counted ? map_get(&t->open_inodes, file->ino) : NULL;
    if (oi && --oi->files == 0) {
        struct node n = node_from_ino(file->ino);
        struct record *rec = record_behind(t, n);
        /* The last reads may have put an older text into the kernel's pages, after they were
         * dropped for the newer one. */
        if (rec && rec->hash != oi->hash)
            rec->pages_hash = PAGES_MIXED;
        map_remove(&t->open_inodes, file->ino);
        free(oi);
    }
    list_remove(&file->open);
    save_unref(file->job);
    buf_finish(&file->data);
    free(file->base);
    free(file->earlier);
    free(file->text);
    free(file);
}

void tree_set_mtime(struct tree *t, uint64_t ino, int64_t mtime_ns)
{
    struct scratch *s = scratch_of(t, node_from_ino(ino));
    if (s)
        s->mtime_ns = mtime_ns;
}

bool tree_takes_commands(uint64_t ino)
{
    enum node_kind kind = node_from_ino(ino).kind;
    return kind == KIND_CTL || kind == KIND_SUBSCRIPTION_CANCEL;
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
    struct node n = node_from_ino(ino);
    if (shape_of(n.kind)->text == TEXT_CANCEL)
        return control_action(t, op, n, text, len);
    /* First whatever may have to wait, for all lines: this runs again after a wait, and a refresh
     * that is done again would undo what was waited for. */
    int r = write_lines(t, op, text, len, control_prepare);
    return r == 0 ? write_lines(t, op, text, len, control_run) : r;
}
