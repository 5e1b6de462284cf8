/* Extended attributes: what is known about a node besides its content. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "internal.h"
#include "systemefs/codec/time.h"

#define PREFIX "user.systemefs."

static const char *id_of(const struct tree *t, struct node n, char out[RESOURCE_ID_TEXT_MAX + 1])
{
    return store_id(t->store, shape_of(n.kind)->res, n.key, out);
}

static struct record *record_of(const struct tree *t, struct node n)
{
    const struct shape *shape = shape_of(n.kind);
    return shape->form == FORM_RECORD ? store_known(t->store, shape->res, n.key) : NULL;
}

static bool xattr_id(struct tree *t, struct node n, struct buf *out)
{
    char id[RESOURCE_ID_TEXT_MAX + 1];
    return shape_of(n.kind)->form == FORM_RECORD && buf_append_str(out, id_of(t, n, id)) == 0;
}

static bool xattr_url(struct tree *t, struct node n, struct buf *out)
{
    const struct shape *shape = shape_of(n.kind);
    const struct resource_row *row = resource_row(shape->res);
    char id[RESOURCE_ID_TEXT_MAX + 1];
    if (shape->form == FORM_RECORD)
        return api_url(t->api, shape->res, row->item_get ? id_of(t, n, id) : NULL, out) == 0;
    if (shape->form != FORM_RECORDS)
        return false;
    api_url(t->api, shape->res, NULL, out);
    if (shape->filtered)
        buf_printf(out, "?%s=%" PRIu64,
                   row->filters[resource_filter_by(shape->res, shape->owner)].param, n.key);
    return true;
}

/* A moment of the monotonic clock, as a date. */
static bool print_moment(struct tree *t, int64_t mono_ms, struct buf *out)
{
    char text[TIME_TEXT_MAX];
    int64_t ago_ms = clock_mono_ms(t->clock) - mono_ms;
    time_format(clock_wall_ns(t->clock) - ago_ms * 1000000, false, text);
    return buf_append_str(out, text) == 0;
}

static bool xattr_fetched(struct tree *t, struct node n, struct buf *out)
{
    const struct record *rec = record_of(t, n);
    return rec && print_moment(t, rec->origin->fetched_ms, out);
}

static bool xattr_expires(struct tree *t, struct node n, struct buf *out)
{
    const struct record *rec = record_of(t, n);
    return rec &&
           print_moment(t, clock_mono_ms(t->clock) + store_record_valid_ms(t->store, rec), out);
}

static bool xattr_stale(struct tree *t, struct node n, struct buf *out)
{
    const struct record *rec = record_of(t, n);
    return rec && buf_append_str(out, rec->stale ? "yes" : "no") == 0;
}

static bool xattr_error(struct tree *t, struct node n, struct buf *out)
{
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, PATH_MAX);
    tree_path(t, node_ino(n), &path);
    return journal_error_of(t->journal, node_ino(n), path.data ? path.data : "", out);
}

static const struct {
    const char *name;
    bool (*print)(struct tree *t, struct node n, struct buf *out); /* false: not here */
} xattrs[] = {
    {PREFIX "id", xattr_id},           {PREFIX "url", xattr_url},
    {PREFIX "fetched", xattr_fetched}, {PREFIX "expires", xattr_expires},
    {PREFIX "stale", xattr_stale},     {PREFIX "error", xattr_error},
};

int tree_getxattr(struct tree *t, struct op *op UNUSED, uint64_t ino, const char *name,
                  struct buf *out)
{
    struct node n = node_from_ino(ino);
    for (size_t i = 0; n.kind < KIND_COUNT && i < ARRAY_SIZE(xattrs); i++)
        if (strcmp(xattrs[i].name, name) == 0)
            return xattrs[i].print(t, n, out) ? buf_error(out) : -ENODATA;
    return -ENODATA;
}

int tree_listxattr(struct tree *t, struct op *op UNUSED, uint64_t ino, struct buf *out)
{
    struct node n = node_from_ino(ino);
    CLEANUP(buf_cleanup) struct buf value;
    buf_init(&value, TREE_TEXT_MAX);
    for (size_t i = 0; n.kind < KIND_COUNT && i < ARRAY_SIZE(xattrs); i++)
        if (xattrs[i].print(t, n, &value))
            buf_append(out, xattrs[i].name, strlen(xattrs[i].name) + 1);
    return buf_error(out);
}
