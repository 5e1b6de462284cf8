/* Human names: by-name/, by-email/, and records called by their own name. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "systemefs/codec/name.h"

/* ---- symlinks ---- */

int link_target(const struct tree *t, struct node n, struct buf *out)
{
    const struct shape *shape = shape_of(n.kind);
    const char *hole = strstr(shape->target, "%s");
    char id[RESOURCE_ID_TEXT_MAX + 1];
    buf_append(out, shape->target, (size_t)(hole - shape->target));
    buf_append_str(out, store_id(t->store, shape->res, n.key, id));
    return buf_append_str(out, hole + 2);
}

int link_getattr(struct tree *t, struct op *op UNUSED, struct node n, struct tree_attr *ret)
{
    CLEANUP(buf_cleanup) struct buf target;
    buf_init(&target, NAME_MAX);
    link_target(t, n, &target);
    attr_init(t, n, ret);
    ret->size = target.len;
    const struct record *rec = store_known(t->store, shape_of(n.kind)->res, n.key);
    if (rec)
        ret->mtime_ns = rec->mtime_ns;
    /* What the symlink says never changes; whose name it is may. */
    ret->entry_valid_ms = 0;
    return 0;
}

static int link_found(struct tree *t, struct op *op, enum node_kind kind, uint64_t key,
                      struct tree_attr *ret)
{
    return link_getattr(t, op, (struct node){.kind = kind, .key = key}, ret);
}

/* ---- a collection's records, called by name ---- */

/* What an e-mail address of today looks like: enough to tell it from a file name that some
 * program tries. Every dot-separated part of the domain has something in it, the last one is no
 * number and not what an editor appends. */
bool name_could_be_email(const char *s, size_t len)
{
    const char *at = memchr(s, '@', len);
    if (!at || at == s || memchr(at + 1, '@', len - (size_t)(at + 1 - s)))
        return false;
    const char *domain = at + 1, *end = s + len, *part = domain;
    bool letters = false;
    for (const char *p = s; p < end; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("\"(),:;<>[\\]", *p))
            return false;
    for (const char *p = domain; p <= end; p++) {
        if (p < end && *p != '.') {
            unsigned char c = (unsigned char)*p;
            if (!isalnum(c) && c != '-' && c < 0x80)
                return false;
            letters = letters || !isdigit(c);
            continue;
        }
        if (p == part)
            return false;
        if (p < end) {
            part = p + 1;
            letters = false;
        }
    }
    /* "jane@example.com.json.bak" is a copy of a file, not somebody's address. */
    return part != domain && letters && !memmem(domain, (size_t)(end - domain), ".json", 5);
}

/* What programs look for next to every file that they open or save: vim, whether it may make a file
 * there; emacs, whether the directory is under version control. Worth no request, whatever an
 * account has. */
bool name_is_probe(const char *name)
{
    static const char *const probes[] = {"4913", "RCS", "CVS", "SCCS", "_MTN", "_darcs", "{arch}"};
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
        if (strcmp(probes[i], name) == 0)
            return true;
    return false;
}

int alias_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                 struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir.kind);
    const struct resource_row *row = resource_row(shape->res);
    char stem[NAME_MAX + 1];
    bool file = name_stem(name, stem);
    enum node_kind kind = file ? shape->alias : shape->dir_alias;
    struct name_parts parts;
    if (kind == KIND_ROOT || name_is_scratch(name) || name_is_probe(name) ||
        !name_from_file(stem, "", false, &parts) || parts.len == 0 ||
        strspn(stem, "0123456789") == strlen(stem))
        return -ENOENT;
    if (row->name_filter && !name_could_be_email(parts.name, parts.len))
        return -ENOENT;

    ret->entry_valid_ms = 0;
    uint64_t key;
    int r = store_find(t->store, op, shape->res, parts.name, parts.len, &key);
    if (r == 0 && shape->filtered) {
        struct record *rec;
        struct listing *l = dir_listing(t, dir);
        r = l ? store_record_in(t->store, op, l, key, &rec) : -ENOMEM;
    }
    return r == 0 ? link_found(t, op, kind, key, ret) : r;
}

/* ---- by-name/ and by-email/ ---- */

/* A record's own name. */
struct own_name {
    enum resource res;
    uint64_t key;
    const char *name; /* in `text` */
    size_t len;
    struct buf text;
};

/* False when it has none. Always to be finished. */
static bool own_name_init(struct own_name *own, enum resource res, const struct record *rec)
{
    *own = (struct own_name){.res = res, .key = rec->key};
    buf_init(&own->text, API_TEXT_MAX);
    bool has = record_text(rec, resource_row(res)->name_member, &own->text);
    own->name = own->text.data ? own->text.data : "";
    own->len = own->text.len;
    return has;
}

static void own_name_finish(struct own_name *own)
{
    buf_finish(&own->text);
}

/* The name of its file in the names directory; with its id where others have the same name. */
static void file_name(const struct tree *t, const struct own_name *own, bool shared,
                      char out[NAME_FILE_MAX + 1])
{
    char id[RESOURCE_ID_TEXT_MAX + 1];
    name_to_file(own->name, own->len, store_id(t->store, own->res, own->key, id), shared, ".json",
                 out);
}

/*
 * A symlink in there. Where nothing is written it is believed for as long as its record is, and the
 * kernel is told of a change of that (names_forget), but nobody waits until it has heard: telling
 * it of a name may take as long as a lookup in that directory does. So where a person may have
 * changed the name just now, each use of it is a question.
 */
static int name_found(struct tree *t, struct op *op, enum node_kind kind, const struct record *rec,
                      struct tree_attr *ret)
{
    int r = link_found(t, op, kind, rec->key, ret);
    if (t->no_open && rec->text) { /* without its text nobody would know what to forget */
        ret->entry_valid_ms = store_record_valid_ms(t->store, rec);
        t->names_told[shape_of(kind)->res] = true;
    }
    return r;
}

/* Whether the id belongs into the record's file name: others have the same name, or it looks as
 * theirs does with an id ("x (5)", where 5 is one of two that are called "x"). */
static bool needs_id(struct tree *t, struct walk *w, const struct own_name *own)
{
    char file[NAME_FILE_MAX + 1];
    struct name_parts parts;
    if (store_name_shared(t->store, own->res, w, own->name, own->len))
        return true;
    if (!own->len || own->name[own->len - 1] != ')')
        return false;
    file_name(t, own, false, file);
    if (!name_from_file(file, ".json", true, &parts) || !parts.id[0])
        return false;
    uint64_t key = store_key(t->store, own->res, parts.id);
    const struct record *other =
        key && key != own->key ? store_known(t->store, own->res, key) : NULL;
    return other && store_has_name(own->res, other, parts.name, parts.len) &&
           store_name_shared(t->store, own->res, w, parts.name, parts.len);
}

static bool called(const struct tree *t, const struct own_name *own, bool shared, const char *name,
                   int (*compare)(const char *, const char *))
{
    char expected[NAME_FILE_MAX + 1];
    file_name(t, own, shared, expected);
    return compare(expected, name) == 0;
}

/* Whether `name` is how the record of this key is called. */
static int check_name(struct tree *t, struct op *op, struct node dir, uint64_t key,
                      const char *name, struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir.kind);
    struct record *rec;
    struct walk *w;
    struct own_name own;
    bool listed = !resource_row(shape->res)->name_filter;
    int r = store_record(t->store, op, shape->res, key, &rec);
    if (r == 0 && listed) {
        r = store_walk_whole(t->store, op, store_listing(t->store, shape->res, -1, 0), &w);
        rec = store_peek(t->store, shape->res, key);
    }
    if (r != 0 || !rec)
        return r ? r : -ENOENT;
    bool same = own_name_init(&own, shape->res, rec);
    if (same && listed)
        same = called(t, &own, needs_id(t, w, &own), name, strcmp);
    else if (same) /* Whether it shares its name only the whole listing tells: so it is found with
                    * its id and without, and one request is enough. */
        same = called(t, &own, false, name, strcasecmp) || called(t, &own, true, name, strcasecmp);
    own_name_finish(&own);
    return same ? name_found(t, op, shape->entry, rec, ret) : -ENOENT;
}

int names_lookup(struct tree *t, struct op *op, struct node dir, const char *name,
                 struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir.kind);
    struct name_parts parts;
    if (!name_from_file(name, ".json", true, &parts))
        return -ENOENT;
    bool email = resource_row(shape->res)->name_filter;
    ret->entry_valid_ms = 0;
    if (parts.id[0] && resource_id_valid(ID_NUMBER, parts.id, strlen(parts.id))) {
        int r = check_name(t, op, dir, strtoull(parts.id, NULL, 10), name, ret);
        if (r != -ENOENT)
            return r;
    }
    /* It may be a name that itself ends in something in brackets. */
    uint64_t key;
    name_from_file(name, ".json", false, &parts);
    /* Whatever an account holds stands here, quoted addresses too: what is listed must be found. */
    if (email && !memchr(parts.name, '@', parts.len))
        return -ENOENT;
    int r = store_find(t->store, op, shape->res, parts.name, parts.len, &key);
    return r == 0 ? check_name(t, op, dir, key, name, ret) : r;
}

int names_walk(struct tree *t, struct op *op, struct node dir, struct walk **ret)
{
    struct listing *home = store_listing(t->store, shape_of(dir.kind)->res, -1, 0);
    if (!home)
        return -ENOMEM;
    struct walk *w; /* lent, and only when it is whole: *ret stays NULL while this waits */
    int r = store_walk_whole(t->store, op, home, &w);
    if (r == 0) {
        walk_ref(w);
        *ret = w;
    }
    return r;
}

bool names_entry(struct tree *t, const struct tree_dir *dir, uint64_t key, bool second,
                 char name[NAME_MAX + 1], struct tree_attr *ret)
{
    const struct shape *shape = shape_of(dir->node.kind);
    const struct record *rec = store_peek(t->store, shape->res, key);
    struct own_name own;
    if (second || !rec)
        return false;
    bool has = own_name_init(&own, shape->res, rec);
    if (has) {
        file_name(t, &own, needs_id(t, dir->walk, &own), name);
        name_found(t, NULL, shape->entry, rec, ret);
    }
    own_name_finish(&own);
    return has;
}

void names_forget(const struct tree *t, enum resource res, const struct record *rec)
{
    char name[NAME_FILE_MAX + 1];
    struct own_name own;
    if (!t->names_told[res] || !t->kernel || !t->kernel->forget_name)
        return;
    bool has = own_name_init(&own, res, rec);
    for (enum node_kind kind = KIND_ROOT + 1; kind < KIND_COUNT; kind++) {
        if (!has || shape_of(kind)->form != FORM_NAMES || shape_of(kind)->res != res)
            continue;
        const struct node dir = {.kind = kind, .key = 1};
        for (int shared = 0; shared <= 1; shared++) {
            file_name(t, &own, shared, name);
            t->kernel->forget_name(t->kernel->data, node_ino(dir), name);
        }
    }
    own_name_finish(&own);
}
