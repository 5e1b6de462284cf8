/*
 * codec/patch_list: the arrays of a record whose entries have a key. For the patch files only.
 *
 *   kind            key      value            an entry
 *   PATCH_PAIRS     slug     value            {"slug", "value"}
 *   PATCH_SET       id       name             {"id", "name"} or one of them; 5; "newsletter"
 *   PATCH_EVENTS    event    schemaVersion    {"event", "schemaVersion"}; {"event"}; "SALE_NEW"
 *
 * Entries keep the order of the text, and are found by key or by value in logarithmic time.
 */
#pragma once

#include "systemefs/codec/patch.h"

struct patch_entry {
    struct json key;   /* zeroed: none, only in a set */
    struct json value; /* zeroed: none. The null of a pair is a value, other nulls are none */
    struct json whole; /* as it stands in the text; zeroed: of an alias */
    size_t place;      /* of the member that it came from */
    bool skip;         /* the caller's */
};

/* What has to be the same for an entry to be found. */
enum patch_by {
    PATCH_BY_KEY,
    PATCH_BY_KEY_AND_VALUE,
    PATCH_BY_VALUE,
    PATCH_BY_VALUE_AND_KEY, /* also: both without a key */
};

struct patch_list {
    /* private */
    struct buf entries;
    struct patch_entry **sorted[2]; /* by key and by value */
};

/* A zeroed list is one to be finished. */
void patch_list_init(struct patch_list *l);
void patch_list_finish(struct patch_list *l);

/* Appends. 0 or the buffer's error. */
int patch_list_add(struct patch_list *l, const struct patch_entry *e);
/*
 * Appends the entries of `v`, the member `name`. `why` NULL: they are the server's, and what cannot
 * be read is left out. Otherwise -EINVAL with the reason for anything but an array of entries (or
 * null, which is a set without entries); a pair may lack its value.
 */
int patch_list_read(struct patch_list *l, enum patch_kind kind, const char *name, struct json v,
                    size_t place, char *why);
/* To be called once, behind the last entry. 0 or -ENOMEM. */
int patch_list_sort(struct patch_list *l);

size_t patch_list_count(const struct patch_list *l);
struct patch_entry *patch_list_at(const struct patch_list *l, size_t i);
/*
 * In a sorted list: the first of the entries that are as `e` is, or NULL. First is, by key, one
 * with a value, the values in their order; by value, one with a key; then the order of the text.
 */
struct patch_entry *patch_list_find(const struct patch_list *l, enum patch_by by,
                                    const struct patch_entry *e);
/* In a sorted list: the entry at place `i` of the order by key. */
struct patch_entry *patch_list_by_key(const struct patch_list *l, size_t i);

/* Whether a value can be an id: a whole number above 0, or a string that is not empty. */
bool patch_is_id(struct json v);
/* Whether `name` is read from an entry of that kind; its other members are the server's. */
bool patch_list_reads(enum patch_kind kind, struct json name);
