/* Open files that are written: their bytes, and the moment when those are sent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- open files ---- */

static void text_of(const struct tree_file *file, size_t offset, size_t size, const char **ret,
                    size_t *ret_len)
{
    const struct buf *data = file->scratch ? &file->scratch->text
                             : file->write ? &file->data
                                           : NULL;
    size_t len = data ? data->len : file->len, from = MIN(offset, len);
    const char *text = data ? data->data : file->text;
    *ret = text ? text + from : NULL; /* nothing was written yet */
    *ret_len = MIN(size, len - from);
}

void tree_read(struct tree_file *file, size_t offset, size_t size, const char **ret,
               size_t *ret_len)
{
    file->read = true;
    text_of(file, offset, size, ret, ret_len);
}

/* Whoever has not read this file, and leaves nothing of what stood in it, replaces what it has read
 * before: "r+", write, truncate to what was written. */
static void replaced(struct tree_file *file)
{
    if (!file->earlier || file->read || file->over < file->data.len)
        return;
    free(file->base);
    file->base = file->earlier;
    file->earlier = NULL;
}

/* The buffer that is written to, with room for `size` bytes. */
static int writable(struct tree *t, struct tree_file *file, size_t size, struct buf **ret)
{
    if (!file->write)
        return -EBADF;
    *ret = file->scratch ? &file->scratch->text : &file->data;
    if (file->scratch)
        return size > file->scratch->text.len ? scratch_room(t, file->scratch, size) : 0;
    return size > SHELF_TEXT_MAX ? -EFBIG : 0; /* no more than could be read again as a draft */
}

/* Makes it that long, with zeros where there was nothing. */
static int resize(struct buf *data, size_t size)
{
    if (size > data->len) {
        size_t more = size - data->len;
        char *to = buf_reserve(data, more);
        if (!to)
            return buf_error(data);
        memset(to, 0, more);
        buf_commit(data, more);
        return 0;
    }
    buf_truncate(data, size);
    return 0;
}

static void scratch_touched(const struct tree *t, struct scratch *s)
{
    s->mtime_ns = clock_wall_ns(t->clock);
    s->dirty = true;
}

static void touched(struct tree *t, struct op *op, struct tree_file *file)
{
    pid_t process = op_process(t, op);
    if (file->scratch) {
        scratch_touched(t, file->scratch);
        file->scratch->writer = process;
    }
    file->writer = process;
    file->dirty = true;
    file->verdict = (struct api_failure){0};
}

int tree_file_write(struct tree *t, struct op *op, struct tree_file *file, const char *bytes,
                    size_t len, uint64_t offset)
{
    struct buf *data;
    if (file->append && !file->scratch)
        offset = file->data.len;
    else if (file->append)
        offset = file->scratch->text.len;
    size_t end = (size_t)offset + len;
    int r = writable(t, file, end, &data);
    if (r == 0 && end > data->len)
        r = resize(data, end);
    if (r < 0)
        return op_fail(op, r, "it is too large to be kept: nothing was sent");
    if (len)
        memcpy(data->data + offset, bytes, len);
    if (offset <= file->over)
        file->over = MAX(file->over, end);
    replaced(file);
    touched(t, op, file);
    return 0;
}

int tree_file_truncate(struct tree *t, struct op *op, struct tree_file *file, uint64_t size)
{
    struct buf *data;
    int r = writable(t, file, (size_t)size, &data);
    if (r < 0 || size == data->len)
        return r;
    /* Whoever begins with an empty file replaces what it has read before, not what stood in this
     * one. */
    char *base = NULL;
    bool anew = size == 0 && !file->scratch && !file->read;
    r = anew ? write_base(t, op, node_from_ino(file->ino), &base) : 0;
    if (r != 0)
        return r;
    r = resize(data, (size_t)size);
    if (r < 0) {
        free(base);
        return r;
    }
    if (anew) {
        free(file->base);
        file->base = base;
    }
    replaced(file);
    touched(t, op, file);
    return 0;
}

int tree_truncate(struct tree *t, struct op *op, uint64_t ino, uint64_t size)
{
    struct node n = node_from_ino(ino);
    struct scratch *s = scratch_of(t, n);
    if (s && size == s->text.len)
        return 0;
    if (s) {
        int r = size > s->text.len ? scratch_room(t, s, (size_t)size) : 0;
        if (r == 0)
            r = resize(&s->text, (size_t)size);
        if (r == 0)
            scratch_touched(t, s); /* not its writer, who has yet to close it */
        return r;
    }
    enum node_form form = shape_of(n.kind)->form;
    if (form == FORM_TEXT)
        return 0; /* a shell's "> ctl": that alone is no command */
    if (form != FORM_RECORD && form != FORM_VALUE)
        return op_fail(op, -EPERM, "it is not to be changed");
    struct tree_attr attr;
    int r = tree_getattr(t, op, ino, &attr);
    if (r != 0)
        return r;
    /* No bytes are no change (": > FILE"); a part of a document is none that could be meant. */
    if (size == 0 || size == attr.size)
        return 0;
    return op_fail(op, -EINVAL, "a record cannot be cut off: nothing was sent");
}

bool tree_write_completes(const struct tree_file *file)
{
    const struct scratch *s = file->scratch;
    const struct buf *data = s ? &s->text : &file->data;
    struct json document;
    if (s && s->role == SCRATCH_REFUSED)
        return true; /* nothing that may follow can make it a record */
    bool json =
        s ? s->role != SCRATCH_LOCAL : shape_of(node_from_ino(file->ino).kind)->form == FORM_RECORD;
    if (!file->early || !json || data->len == 0)
        return false;
    struct json_error err;
    if (json_check(data->data, data->len, &document, &err) == 0)
        return json_type(document) == JSON_OBJECT;
    /* Whole lines, and what is wrong in them is not that they end. */
    return data->data[data->len - 1] == '\n' && err.offset < data->len;
}

/* ---- closing ---- */

/* Whether it is nothing but scratch: an editor's own, or a file that was removed before it became
 * anything, as programs do with their temporary files. */
static bool is_local(const struct scratch *s)
{
    return s && s->record.kind == KIND_ROOT && (s->role == SCRATCH_LOCAL || s->dir == 0);
}

static struct target target_of(const struct tree_file *file)
{
    const struct scratch *s = file->scratch;
    if (!s)
        return (struct target){.node = node_from_ino(file->ino), .writer = file->writer};
    if (s->record.kind != KIND_ROOT)
        return (struct target){.node = s->record, .writer = s->writer};
    return (struct target){.dir = node_from_ino(s->home),
                           .name = s->name,
                           .role = s->role,
                           .writer = s->writer};
}

static bool *dirty_of(struct tree_file *file)
{
    return file->scratch ? &file->scratch->dirty : &file->dirty;
}

static int sync_begin(struct tree *t, struct op *op, struct tree_file *file)
{
    const char *text;
    size_t len;
    struct target target = target_of(file);
    text_of(file, 0, SIZE_MAX, &text, &len);
    free(file->earlier);
    file->earlier = NULL;
    int r = write_begin(t, op, &target, text, len, file->scratch ? NULL : file->base);
    if (r > 0)
        return r;
    *dirty_of(file) = false;
    file->dirty = false;
    if (r < 0) {
        file->verdict = op->failure;
        file->verdict.error = r;
    } else {
        save_ref(op->job);
        save_unref(file->job);
        file->job = op->job;
    }
    return r;
}

/* The text has become something: from now on the file stands for that. */
static void sync_taken(struct tree *t, struct tree_file *file, const struct save *job,
                       const struct target *target)
{
    struct scratch *s = file->scratch;
    if (!s) {
        const struct record *rec = record_behind(t, target->node);
        const char *text = save_document(job); /* more may have been written since */
        struct json mine;
        CLEANUP(buf_cleanup) struct buf base;
        if (rec && !rec->text)
            return; /* nothing was changed: else write_end() would have had its text */
        buf_init(&base, PATCH_TEXT_MAX);
        free(file->base);
        bool whole = rec && json_check(text, strlen(text), &mine, NULL) == 0 &&
                     patch_is_whole(record_json(rec), mine);
        json_compact(whole ? mine
                     : rec ? record_json(rec)
                           : (struct json){.p = "{}", .len = 2},
                     &base);
        file->base = buf_take(&base, NULL);
        return;
    }
    if (s->role == SCRATCH_RECORD && s->record.kind == KIND_ROOT && save_key(job))
        s->record = record_node(shape_of(target->dir.kind)->res, save_key(job));
}

int tree_sync(struct tree *t, struct op *op, struct tree_file *file)
{
    const struct scratch *s = file->scratch;
    if (!file->write || is_local(s))
        return 0;
    if (!op->job) {
        size_t len = s ? s->text.len : file->data.len;
        if (!*dirty_of(file)) {
            file->early = file->early || len == 0;
            /* Said again to whoever closes it, too: a program that duplicates its descriptors looks
             * at the last of them. */
            if (file->verdict.error) {
                op->failure = file->verdict;
                return file->verdict.error;
            }
            return file->job ? save_wait(file->job, op) : 0;
        }
        pid_t process = op_process(t, op), writer = s ? s->writer : file->writer;
        if (len == 0 || (process && writer && process != writer))
            return 0; /* no bytes; or a child of the writer that ends, and closes what it was lent
                       */
        int r = sync_begin(t, op, file);
        if (r != 0 || !op->job)
            return r;
    }
    struct target target = target_of(file);
    int r = write_end(t, op, &target);
    if (r == STORE_WAIT)
        return r;
    if (r < 0) {
        file->verdict = op->failure;
        file->verdict.error = r;
        return r;
    }
    sync_taken(t, file, op->job, &target);
    return 0;
}

static void keep_last(struct tree *t, const struct tree_file *file, const char *path,
                      const char *why)
{
    const bool record = shape_of(node_from_ino(file->ino).kind)->form == FORM_RECORD;
    struct save_order order = {.kind = SAVE_EDIT,
                               .path = path ? path : "",
                               .owner = file->writer,
                               .base = record ? file->base : NULL};
    text_of(file, 0, SIZE_MAX, &order.text, &order.text_len);
    save_keep(t->store, &order, why);
}

/* Whoever wrote last has not closed it (it was killed, or gave it away): nobody hears the verdict,
 * but nothing is lost. */
void tree_file_last(struct tree *t, struct tree_file *file)
{
    const struct scratch *s = file->scratch;
    size_t len = s ? s->text.len : file->data.len;
    if (!file->write || is_local(s) || !*dirty_of(file) || len == 0 || (s && s->opens > 1))
        return;
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    tree_path(t, file->ino, &path);
    if (t->ending) {
        keep_last(t, file, path.data, "the mount ended before it was closed: nothing was sent");
        return;
    }
    struct op op = {.resume = NULL}; /* nobody is there to wait */
    op_begin(t->store, &op);
    int r = sync_begin(t, &op, file);
    if (r == STORE_WAIT)
        keep_last(t, file, path.data, "it was closed by nobody: nothing was sent");
    else if (r < 0)
        journal_failure(t->journal, "release", path.data ? path.data : "", file->ino, 0,
                        &op.failure);
    op_end(&op);
}
