/* Records as files, and what is inside a record as files: fields as one-value files, tags as the
 * tags' own files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- a record's file ---- */

void record_attr(const struct tree *t, struct node n, struct record *rec, struct tree_attr *ret)
{
    attr_init(t, n, ret);
    rec->kernel_told = true;
    ret->size = rec->size;
    ret->mtime_ns = rec->mtime_ns;
    ret->entry_valid_ms = ret->attr_valid_ms = store_record_valid_ms(t->store, rec);
    /* The kernel has one size for all who have the file open, and ends everybody's reading there:
     * while somebody reads an older text, it is to ask each time (see tree_file_attr). */
    const struct open_inode *oi = map_get(&t->open_inodes, ret->ino);
    if (oi && oi->hash != rec->hash)
        ret->attr_valid_ms = 0;
}

int record_unreadable(struct tree *t, struct op *op, struct node n, uint64_t parent,
                      const char *name, struct tree_attr *ret)
{
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, 4096);
    if (name && tree_path(t, parent, &path) == 0)
        buf_printf(&path, "%s%s", path.len ? "/" : "", name);
    else
        tree_path(t, node_ino(n), &path);
    if (op->failure.error)
        journal_failure(t->journal, "read", path.data ? path.data : "", node_ino(n), parent,
                        &op->failure);
    attr_init(t, n, ret);
    /* Not known, but not 0: GNU tar does not open an empty file that everybody may read, and would
     * put one into a backup without a word. */
    ret->size = 1;
    /* getfattr looks the name up three times, and would wait for three time-outs to tell the reason
     * of one. Whatever fails at once is tried anew at once. */
    ret->entry_valid_ms = op->failure.error == -ETIMEDOUT ? STORE_REPEAT_MS : 0;
    ret->attr_valid_ms = 0;
    return 0;
}

int record_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret)
{
    struct record *rec;
    enum resource res = shape_of(n.kind)->res;
    int r = store_stat(t->store, op, res, n.key, &rec);
    if (r == 0)
        record_attr(t, n, rec, ret);
    /* Where files are not opened, it may be a reader of it who asks where it ends: one byte would
     * cut off what is read without a word. */
    else if (r < 0 && r != -ENOENT && !(t->no_open && store_known(t->store, res, n.key)))
        return record_unreadable(t, op, n, 0, NULL, ret);
    return r;
}

int record_file_text(struct tree *t, struct op *op, struct node n, struct buf *out)
{
    struct record *rec;
    int r = store_record(t->store, op, shape_of(n.kind)->res, n.key, &rec);
    return r == 0 ? json_pretty(record_json(rec), out) : r;
}

/* ---- fields: contacts/ID/fields/SLUG ---- */

struct value_node *value_node_of(const struct tree *t, struct node n)
{
    return map_get(&t->values, n.key);
}

static void sweep_values(struct tree *t)
{
    struct buf unused;
    buf_init(&unused, SIZE_MAX / 2);
    map_for_each(slot, &t->values)
        if (((struct value_node *)slot->value)->lookups == 0)
            buf_append(&unused, &slot->key, sizeof(slot->key));
    for (size_t i = 0; i + sizeof(uint64_t) <= unused.len; i += sizeof(uint64_t)) {
        uint64_t key;
        memcpy(&key, unused.data + i, sizeof(key));
        free(map_remove(&t->values, key));
    }
    buf_finish(&unused);
    t->values_sweep_at = MAX((size_t)1024, t->values.count * 2);
}

/* The node key of a field of a record; made from both keys, so that it is the same next time.
 * 0: no memory. */
static uint64_t value_key(struct tree *t, uint64_t owner, uint64_t field)
{
    const uint64_t mask = (UINT64_C(1) << STORE_KEY_BITS) - 1;
    const uint64_t both[2] = {owner, field};
    uint64_t key = hash_bytes(both, sizeof(both)) & mask;
    struct value_node *v;
    while (key == 0 || (v = map_get(&t->values, key))) {
        if (key && v->owner == owner && v->field == field)
            return key;
        key = (key + 1) & mask;
    }
    if (t->values.count >= t->values_sweep_at)
        sweep_values(t);
    v = malloc(sizeof(*v));
    if (!v)
        return 0;
    *v = (struct value_node){.owner = owner, .field = field};
    if (map_put(&t->values, key, v) < 0) {
        free(v);
        return 0;
    }
    return key;
}

/* The pair of that slug in a record's `fields`. */
static bool find_pair(const struct record *rec, const struct shape *shape, const char *slug,
                      struct json *ret_value)
{
    const char *id_member = resource_row(shape->res)->id_member;
    struct json list, pair, name;
    struct json_iter it;
    if (!json_member(record_json(rec), shape->member, &list))
        return false;
    json_iter_init(&it, list);
    while (json_iter_next(&it, NULL, &pair)) {
        if (!json_member(pair, id_member, &name) || !json_string_equals(name, slug))
            continue;
        if (!json_member(pair, "value", ret_value))
            *ret_value = (struct json){.p = "null", .len = 4};
        return true;
    }
    return false;
}

/* The bare value and a newline. A value that no text file could hold exactly (NUL, a lone
 * surrogate) or that is no string stays JSON. */
static int print_value(struct json value, struct buf *out)
{
    if (json_type(value) != JSON_NULL) {
        int r = json_string(value, out);
        if (r == -EILSEQ || r == -EINVAL)
            r = json_compact(value, out);
        if (r < 0)
            return r;
    }
    return buf_append_byte(out, '\n');
}

static void value_attr(const struct tree *t, struct node n, const struct record *rec,
                       struct json value, struct tree_attr *ret)
{
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, TREE_TEXT_MAX);
    print_value(value, &text);
    attr_init(t, n, ret);
    ret->size = text.len;
    ret->mtime_ns = rec->mtime_ns;
    ret->entry_valid_ms = ret->attr_valid_ms = store_record_valid_ms(t->store, rec);
}

/* The record behind a value node and the value in it; a slug that the account has and the record
 * does not name has the value null. */
static int value_of(struct tree *t, struct op *op, const struct shape *shape, uint64_t owner,
                    const char *slug, struct record **ret_rec, struct json *ret_value)
{
    int r = store_record(t->store, op, shape->owner, owner, ret_rec);
    if (r != 0 || find_pair(*ret_rec, shape, slug, ret_value))
        return r;
    struct record *field;
    uint64_t key = store_key(t->store, shape->res, slug);
    r = key ? store_record(t->store, op, shape->res, key, &field) : -ENOENT;
    *ret_value = (struct json){.p = "null", .len = 4};
    return r;
}

static int value_node_value(struct tree *t, struct op *op, struct node n, struct record **ret_rec,
                            struct json *ret_value)
{
    const struct shape *shape = shape_of(n.kind);
    const struct value_node *v = value_node_of(t, n);
    char slug[RESOURCE_ID_TEXT_MAX + 1];
    if (!v)
        return -ESTALE;
    store_id(t->store, shape->res, v->field, slug);
    return value_of(t, op, shape, v->owner, slug, ret_rec, ret_value);
}

int value_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret)
{
    struct record *rec;
    struct json value;
    int r = value_node_value(t, op, n, &rec, &value);
    if (r == 0)
        value_attr(t, n, rec, value, ret);
    return r;
}

int value_text(struct tree *t, struct op *op, struct node n, struct buf *out)
{
    struct record *rec;
    struct json value;
    int r = value_node_value(t, op, n, &rec, &value);
    return r == 0 ? print_value(value, out) : r;
}

int values_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                  struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir.kind);
    if (!resource_id_valid(resource_row(shape->res)->id_kind, name, strlen(name)))
        return -ENOENT;
    ret->entry_valid_ms = 0;
    if (name_is_probe(name))
        return -ENOENT;
    struct record *rec;
    struct json value;
    int r = value_of(t, op, shape, dir.key, name, &rec, &value);
    if (r != 0)
        return r;
    uint64_t field = store_key(t->store, shape->res, name);
    uint64_t key = field ? value_key(t, dir.key, field) : 0;
    if (!key)
        return -ENOMEM;
    value_attr(t, (struct node){.kind = shape->entry, .key = key}, rec, value, ret);
    return 0;
}

int values_owner(struct tree *t, struct op *op, struct node dir)
{
    const struct shape *shape = shape_of(dir.kind);
    struct record *rec;
    if (shape->form != FORM_VALUES)
        return 0;
    int r = store_record(t->store, op, shape->owner, dir.key, &rec);
    return r == -ENOENT && !op->failure.error
               ? op_fail(op, r, "there is no such %s any more: nothing was sent",
                         resource_row(shape->owner)->name)
               : r;
}

/* ---- lists inside a record ---- */

/* The keys of the records that the owner's array names, as a walk of their own. */
static int inner_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret)
{
    const struct shape *shape = shape_of(dir.kind);
    const struct resource_row *row = resource_row(shape->res);
    struct record *rec;
    int r = store_record(t->store, op, shape->owner, dir.key, &rec);
    if (r != 0)
        return r;

    CLEANUP(buf_cleanup) struct buf keys, id;
    buf_init(&keys, TREE_TEXT_MAX);
    buf_init(&id, RESOURCE_ID_TEXT_MAX);
    struct json list = {0}, item, v;
    struct json_iter it;
    json_member(record_json(rec), shape->member, &list);
    json_iter_init(&it, list);
    while (json_iter_next(&it, NULL, &item)) {
        buf_reset(&id);
        if (!json_member(item, row->id_member, &v))
            continue;
        if (json_string(v, &id) == -EINVAL)
            buf_append(&id, v.p, v.len);
        uint64_t key = id.data && !buf_error(&id) ? store_key(t->store, shape->res, id.data) : 0;
        if (key)
            buf_append(&keys, &key, sizeof(key));
    }
    *ret = walk_from_keys((const uint64_t *)(const void *)keys.data, keys.len / sizeof(uint64_t));
    return *ret ? 0 : -ENOMEM;
}

int values_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret)
{
    return inner_walk(t, op, dir, ret);
}

int members_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret)
{
    return inner_walk(t, op, dir, ret);
}

bool values_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                  char name[NAME_MAX + 1], struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir->node.kind);
    const struct record *rec = store_peek(t->store, shape->owner, dir->node.key);
    struct json value;
    char slug[RESOURCE_ID_TEXT_MAX + 1];
    store_id(t->store, shape->res, key, slug);
    if (second || !rec || !find_pair(rec, shape, slug, &value))
        return false;
    uint64_t node_key = value_key(t, dir->node.key, key);
    if (!node_key)
        return false;
    snprintf(name, NAME_MAX + 1, "%s", slug);
    value_attr(t, (struct node){.kind = shape->entry, .key = node_key}, rec, value, ret);
    return true;
}

int members_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                   struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir.kind);
    char stem[NAME_MAX + 1], path[64];
    if (!name_stem(name, stem) ||
        !resource_id_valid(resource_row(shape->res)->id_kind, stem, strlen(stem)))
        return -ENOENT;
    ret->entry_valid_ms = 0;

    struct record *owner, *rec;
    int r = store_record(t->store, op, shape->owner, dir.key, &owner);
    if (r != 0)
        return r;
    snprintf(path, sizeof(path), "%s[].%s", shape->member, resource_row(shape->res)->id_member);
    uint64_t key = record_names(owner, path, stem) ? store_key(t->store, shape->res, stem) : 0;
    if (!key)
        return -ENOENT;
    struct node n = {.kind = shape->entry, .key = key};
    r = store_record_of_many(t->store, op, shape->res, key, &rec);
    if (r == 0)
        record_attr(t, n, rec, ret);
    else if (r < 0 && r != -ENOENT)
        return record_unreadable(t, op, n, node_ino(dir), name, ret);
    ret->entry_valid_ms = 0; /* the owner may lose it before it changes itself */
    return r;
}

bool members_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                   char name[NAME_MAX + 1], struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir->node.kind);
    struct node n = {.kind = shape->entry, .key = key};
    char id[RESOURCE_ID_TEXT_MAX + 1];
    if (second)
        return false;
    snprintf(name, NAME_MAX + 1, "%s.json", store_id(t->store, shape->res, key, id));
    struct record *rec = store_known(t->store, shape->res, key);
    if (rec) {
        record_attr(t, n, rec, ret);
        ret->entry_valid_ms = 0;
        return true;
    }
    /* Its full record is not known yet: the name is enough for ls, and ls -l will ask. */
    attr_init(t, n, ret);
    ret->attr_valid_ms = -1;
    return true;
}
