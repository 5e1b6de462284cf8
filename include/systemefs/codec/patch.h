/*
 * codec/patch: what a person changed, as the API wants to hear it.
 *
 * Pure: texts in, texts out. What may be sent is a table of members (a resource's row has one);
 * this module compares and prints, and knows no resource.
 *
 *   patch_read()    the saved text: one JSON object, nothing doubtful in it
 *   patch_diff()    base (what was opened), mine (what was saved), theirs (what the server has now)
 *                   -> the smallest merge patch (RFC 7396) that turns theirs into mine's intent
 *   patch_create()  the body of a new record
 *
 * Comparison is by meaning: two values are equal when their compact forms are (1.0 and 1 are two
 * numbers here; the order of members inside a value does not count, that of elements does).
 *
 *   a member changed        is in the patch            a member left out     stays as it is
 *   null                    is sent as null            null, where base has none: no change
 *   PATCH_PAIRS             one pair at a time, by slug; pairs left out stay (the API departs from
 *                           RFC 7396 here); a pair's other members (fieldName) may not change
 *   PATCH_SET               the wanted set, by id or by name; what is new and what is gone come out
 *                           as items, because the API has a call for each; left out: stays; null:
 *                           the empty set. A name alone stands for what base has under it; a new
 *                           item given by id alone and by name alone as well is two additions
 *   PATCH_EVENTS            an array of names, or of objects with `event` (and `schemaVersion`):
 *                           a set; sent whole when it changed, each entry as the name alone, or as
 *                           {"event","schemaVersion"} where mine gives a version and base has not
 *                           the same entry; other members of an entry are the server's, and may
 *                           not change in one that base has; null: the empty set
 *   PATCH_ALIAS             the pair `slug` of the PATCH_PAIRS member by another name (firstName)
 *   PATCH_REFERENCE         only in new records: {"id": 5}, or 5, stands for the member `slug`
 *                           ("course" for "courseId") where that itself is absent
 *   PATCH_SERVER            the server's own: ignored in a new record, -EINVAL when changed
 *
 * THREE SIDES. Where `theirs` is given, a changed member (or pair) that theirs has as base had it
 * is sent; that theirs has as mine wants it is left out; that theirs has otherwise is a conflict
 * (-ESTALE, naming it). An item of a set can not conflict: it is in or out; one that theirs has as
 * wanted already is left out.
 *
 * A fourth, `seen`, is what theirs was when somebody looked at it after a conflict: whoever saves
 * the same text again then means it, and what theirs still has as seen has it is no conflict any
 * more. The rest of an old text is no more a change than it was at first.
 *
 * Layer: codec. Calls json and base. Slices in the results point into the texts that were given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "systemefs/base/buf.h"
#include "systemefs/codec/json.h"

#define PATCH_TEXT_MAX  ((size_t)1 << 20) /* bytes of a saved text, and of a body */
#define PATCH_ITEMS_MAX ((size_t)1 << 16) /* changes of sets in one save */
#define PATCH_WHY_MAX   384               /* bytes of a reason, with its NUL */

enum patch_kind {
    PATCH_VALUE,
    PATCH_PAIRS,
    PATCH_SET,
    PATCH_EVENTS,
    PATCH_ALIAS,
    PATCH_REFERENCE,
    PATCH_SERVER,
};

struct patch_member {
    const char *name; /* NULL ends a table */
    enum patch_kind kind;
    bool create;      /* may be sent in a new record (a set: as items) */
    bool save;        /* may be changed */
    const char *slug; /* PATCH_ALIAS: of the pair; PATCH_REFERENCE: the member it stands for */
    bool in_path;     /* in a new record: part of the path, not of the body */
};

/* One change of a set: to be called for, one after the other. */
struct patch_item {
    bool remove;
    struct json id;   /* a number or string as the record has it; zeroed: known by name only */
    struct json name; /* a JSON string; zeroed: not given */
};

struct patch {
    struct buf body;         /* one JSON object, compact; "{}" when `changes` is 0 */
    size_t changes;          /* members and pairs in it */
    struct buf items;        /* of struct patch_item: removals as base has them, then additions */
    struct json path;        /* the value of the member with in_path; zeroed when there is none */
    char why[PATCH_WHY_MAX]; /* the reason of -EINVAL and -ESTALE, for a person: names the member */
};

void patch_init(struct patch *p);
void patch_finish(struct patch *p);
static inline size_t patch_item_count(const struct patch *p)
{
    return p->items.len / sizeof(struct patch_item);
}
static inline struct patch_item patch_item_at(const struct patch *p, size_t i)
{
    return ((const struct patch_item *)(const void *)p->items.data)[i];
}

/*
 * Checks a saved text: -EFBIG over PATCH_TEXT_MAX; -EINVAL with the reason for what is not JSON
 * ("line 3, column 7: expected ','"), not an object, or holds a member twice (names it). `why`
 * holds PATCH_WHY_MAX bytes.
 */
int patch_read(const char *text, size_t len, struct json *ret, char *why);

/* Whether `mine` has all the members of `rec`: then it is the whole record, as an editor holds it.
 */
bool patch_is_whole(struct json rec, struct json mine);

/*
 * What to send. `theirs` zeroed: nobody else has changed anything. 0; -EINVAL: a read-only or
 * unknown member changed, a value of a shape that cannot be meant (fields that are no array of
 * pairs, a slug twice, an item that is neither id nor name, an id that base has under another
 * name), or a string to be sent that holds NUL or a lone surrogate; -ESTALE: a conflict; or the
 * buffer's error. A member that is unknown to the table but stands in base as it stands in mine is
 * no change. `ret` may have been used before; with an error only its `why` counts.
 */
int patch_diff(const struct patch_member *members, struct json base, struct json mine,
               struct json theirs, struct patch *ret);
/* The same with `seen`; zeroed: nobody has looked. */
int patch_diff_seen(const struct patch_member *members, struct json base, struct json mine,
                    struct json theirs, struct json seen, struct patch *ret);

/*
 * The body of a new record: what differs from a record without members, so a null is left out, and
 * an empty set too. Members of the server are left out, pairs are sent as {slug, value} and only
 * those with a value; a member that the API does not take is -EINVAL.
 */
int patch_create(const struct patch_member *members, struct json mine, struct patch *ret);
