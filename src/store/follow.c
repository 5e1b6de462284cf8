/* What else is true after a change that the API has carried out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "save_internal.h"

/* Records that are looked through for the name of one that has changed: some 50 milliseconds' work.
 * Where there are more, the ttl brings it. */
#define NAMING_MAX 50000

/* As of now: what was asked before the change was answered, and comes later, is older. */
uint64_t follow_record(struct store *s, enum resource res, const struct api_item *item)
{
    s->seq++;
    uint64_t key = record_put(s, res, item, s->seq, NULL, NULL);
    struct record *rec = key ? record_lookup(s, res, key) : NULL;
    if (rec)
        rec->wanted = true; /* whoever has saved it looks at it once more */
    return key;
}

static void expire(struct store *s, enum resource res, struct record *rec)
{
    rec->expired = true;
    if (s->changed)
        s->changed(s->data, res, rec->key);
}

static void expire_each(void *data, enum resource res, struct record *rec)
{
    struct store *s = data;
    if (s->changed)
        s->changed(s->data, res, rec->key);
}

static void expire_all(struct store *s, enum resource res)
{
    if (s->home[res])
        store_refresh_listing(s, s->home[res], expire_each, s);
}

/* Others show its name, or belong to it: a tag's contacts, a contact's enrollments. What is not at
 * hand is read anew before it is shown. */
static void expire_naming(struct store *s, enum resource by, uint64_t key)
{
    char id[RESOURCE_ID_TEXT_MAX + 1];
    store_id(s, by, key, id);
    for (enum resource res = 0; res < RES_COUNT; res++) {
        int filter = resource_filter_by(res, by);
        const char *member = filter >= 0 ? resource_row(res)->filters[filter].member : NULL;
        if (!member || s->records[res].count > NAMING_MAX)
            continue;
        map_for_each(slot, &s->records[res]) {
            struct record *rec = slot->value;
            if (record_names(rec, member, id))
                expire(s, res, rec);
        }
    }
}

/* The parts of its collection, and the whole, list it or not. */
static void settle_listings(struct store *s, enum resource res, uint64_t key)
{
    const struct record *rec = store_peek(s, res, key);
    char id[RESOURCE_ID_TEXT_MAX + 1];
    map_for_each(slot, &s->listings_by_id) {
        struct listing *l = slot->value;
        const char *member = l->filter >= 0 ? resource_row(res)->filters[l->filter].member : NULL;
        if (l->res != res || !rec)
            continue;
        if (l->filter < 0)
            listing_put(s, l, key);
        else if (member &&
                 record_names(rec, member,
                              store_id(s, resource_row(res)->filters[l->filter].by, l->by, id)))
            listing_put(s, l, key);
        else if (member)
            listing_drop(s, l, key);
    }
}

void follow_change(struct store *s, enum resource res, uint64_t key, enum follow what)
{
    settle_listings(s, res, key);
    if (what == FOLLOW_CONTENT)
        return;
    names_changed(s, res, key);
    if (resource_row(res)->shown_in_contacts)
        expire_all(s, RES_CONTACT);
    else if (what == FOLLOW_NAME)
        expire_naming(s, res, key);
}

void follow_removed(struct store *s, enum resource res, uint64_t key)
{
    if (resource_row(res)->shown_in_contacts)
        expire_all(s, RES_CONTACT);
    expire_naming(s, res, key);
    s->seq++;
    record_put_absent(s, res, key, s->seq);
    names_changed(s, res, key);
}

void follow_item(struct store *s, enum resource res, uint64_t owner, uint64_t item, bool in)
{
    const struct resource_set *set = &resource_row(res)->set;
    int filter = resource_filter_by(res, set->res);
    struct record *rec = store_known(s, res, owner);
    struct listing *l = filter >= 0 ? store_listing(s, res, filter, item) : NULL;
    s->refreshed = ++s->seq;
    if (rec)
        expire(s, res, rec);
    /* It is not told from the contacts' texts, which do not say so yet. */
    if (l && !l->complete)
        l->expired = true;
    if (l && in)
        listing_put(s, l, owner);
    else if (l)
        listing_drop(s, l, owner);
}
