/*
 * sandbox/world: the records of the account, in memory.
 *
 * Everything comes from (seed, sizes): the same options give the same world. Contacts are not
 * stored: number N of them is made again from the seed whenever it is read (under a microsecond),
 * and only one that was changed, created or deleted has a struct of its own (an edit). So a
 * million contacts cost eight megabytes, their ids.
 *
 * Every other kind is an array of rows in the order of their ids. Rows are never taken out, only
 * marked gone, so a position stays valid for ever and lists find a cursor by binary search.
 *
 * Locking: world_create() and world_destroy() alone; the caller holds a read lock around what
 * takes a const world and a write lock around the rest. Memory: texts given in are copied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "systemefs/base/buf.h"
#include "systemefs/base/clock.h"
#include "systemefs/base/map.h"
#include "systemefs/base/rng.h"
#include "options.h"

#define WORLD_TAGS_A_CONTACT 3 /* at most, as generated */

/* First in every kind of row. */
struct row {
    int64_t id;
    bool gone;
};

struct rows {
    void *data;
    size_t size, count, cap; /* bytes a row; rows */
};

struct tag {
    struct row row;
    int64_t created; /* Unix seconds */
    char *name;
    char *json; /* {"id":..,"name":..} as it stands in a contact */
};

enum field_kind {
    FIELD_FIRST_NAME,
    FIELD_SURNAME,
    FIELD_PHONE,
    FIELD_COUNTRY,
    FIELD_CITY,
    FIELD_COMPANY,
    FIELD_COLOUR,
    FIELD_STREET,
    FIELD_POSTCODE,
    FIELD_STATE,
    FIELD_TAX_NUMBER,
    FIELD_CUSTOM,  /* a number */
    FIELD_NOTES,   /* padding */
    FIELD_NOTHING, /* made later: unset for everybody */
};

struct field {
    struct row row; /* id: its number; the API knows it by its slug */
    enum field_kind kind;
    bool builtin;
    char *slug, *name;
    char *head; /* {"fieldName":..,"slug":..,"value": */
};

/* A contact that is no longer as the seed made it. */
struct contact_edit {
    struct row row;
    int64_t gone_ms; /* when it was deleted */
    int64_t registered;
    char *email, *source_url;
    const char *locale; /* one of names_locales */
    bool unsubscribed, bounced, needs_confirmation;
    char **values; /* by position of the field; NULL: unset */
    size_t value_count;
    int64_t *tags; /* ids */
    size_t tag_count;
};

struct module {
    int64_t id;
    const char *name;
};

struct course {
    struct row row;
    char *name, *path;
    const char *locale, *domain, *description;
    bool active;
    struct module *modules;
    size_t module_count;
};

struct community {
    struct row row;
    char *name, *path;
};

struct enrollment {
    struct row row;
    int64_t contact;
    size_t course; /* position */
    const char *access;
};

struct membership {
    struct row row;
    int64_t contact;
    size_t community;   /* position */
    int64_t visible_ms; /* mono; 0: always */
};

struct subscription {
    struct row row;
    int64_t contact;
    int64_t created, completed, cancelled;
    const char *status;
    size_t plan;  /* position in the table of plans, or past it: none */
    bool foreign; /* of another account: never listed, 403 */
};

#define UUID_TEXT 37 /* bytes, NUL included */

struct hook_event {
    char id[UUID_TEXT];
    const char *event;
    int64_t version;
    int64_t disabled; /* Unix seconds; 0: enabled */
};

struct webhook {
    struct row row;
    char uuid[UUID_TEXT];
    char *name, *url;
    bool active;
    struct hook_event *events;
    size_t event_count;
};

struct connection {
    struct row row;
    char uuid[UUID_TEXT];
    char *app;
    const char *status;
    int64_t created, updated; /* Unix seconds */
};

struct world {
    const struct settings *settings;
    const struct clock *clock;
    struct rng rng; /* for what is created later */

    int64_t *base_ids; /* ascending */
    size_t base_count;
    size_t base_tags, base_fields; /* so many existed when the contacts were made */
    struct map edits;              /* contact id -> edit */
    struct map created_by_email;   /* hash of the lower-case address -> the newest edit */
    struct contact_edit **created; /* ascending ids, all above the base */
    size_t created_count;
    char *padding; /* text of the `notes` field */

    struct rows tags, fields, courses, communities, enrollments, memberships, subscriptions,
        webhooks, connections;
};

struct world *world_create(const struct settings *settings, const struct clock *clock);
void world_destroy(struct world *w);
int64_t world_now(const struct world *w);    /* Unix seconds */
int64_t world_now_ms(const struct world *w); /* mono */
/* A number that belongs to (seed, position, salt) and nothing else. */
uint64_t world_draw(const struct world *w, size_t pos, unsigned salt);
void world_uuid(struct rng *rng, int64_t unix_ms, char out[UUID_TEXT]);

/* Adds a zeroed row; id 0: the next one, a little above the last. */
void *rows_add(struct world *w, struct rows *rows, int64_t id);
void *rows_at(const struct rows *rows, size_t pos);
/* The first position whose id is at least `id`. */
size_t rows_lower(const struct rows *rows, int64_t id);
/* The row that is not gone, or NULL. */
void *rows_find(const struct rows *rows, int64_t id);
size_t rows_live(const struct rows *rows);

/* ---- contacts (contacts.c). A position is 0 .. contact_count()-1, oldest first. */
void contacts_create(struct world *w);
void contacts_destroy(struct world *w);
size_t contact_count(const struct world *w);
int64_t contact_id(const struct world *w, size_t pos);
size_t contact_lower(const struct world *w, int64_t id);
/* A contact that GET finds. */
bool contact_find(const struct world *w, int64_t id, size_t *ret_pos);
bool contact_find_email(const struct world *w, const char *email, size_t *ret_pos);
/* What lists show; a deleted one may linger. */
bool contact_listed(const struct world *w, size_t pos);
bool contact_has_tag(const struct world *w, size_t pos, int64_t tag);
int64_t contact_registered(const struct world *w, size_t pos);
void contact_flags(const struct world *w, size_t pos, bool *unsubscribed, bool *bounced,
                   bool *needs_confirmation);
/* `summary`: without fields and tags, as it stands in an enrollment. */
void contact_render(const struct world *w, size_t pos, bool summary, struct buf *out);
/* The edit of a contact, made from the seed at the first change. */
struct contact_edit *contact_edit(struct world *w, size_t pos);
struct contact_edit *contact_add(struct world *w, const char *email, const char *locale);
void contact_set_value(struct contact_edit *edit, size_t field, const char *value);
void contact_set_tag(struct contact_edit *edit, int64_t tag, bool assigned);
void contact_delete(struct world *w, size_t pos);

/* ---- tags, fields, courses, communities (catalogue.c) */
void catalogue_create(struct world *w);
void catalogue_destroy(struct world *w);
struct tag *tag_add(struct world *w, const char *name);
void tag_rename(struct tag *tag, const char *name);
struct tag *tag_find_name(const struct world *w, const char *name);
void tag_render(const struct tag *tag, struct buf *out);
struct field *field_add(struct world *w, const char *slug, const char *name);
void field_rename(struct field *field, const char *name);
/* By slug; the position too where it is asked for. */
struct field *field_find(const struct world *w, const char *slug, size_t *ret_pos);
void field_render(const struct field *field, struct buf *out);
void course_render(const struct course *course, bool summary, struct buf *out);
void community_render(const struct community *community, struct buf *out);

/* ---- enrollments, memberships, subscriptions (relations.c) */
void relations_create(struct world *w);
void relations_destroy(struct world *w);
extern const char *const relation_access_types[];
struct enrollment *enrollment_find(const struct world *w, int64_t contact, size_t course);
struct enrollment *enrollment_add(struct world *w, int64_t contact, size_t course,
                                  const char *access);
void enrollment_render(const struct world *w, const struct enrollment *e, struct buf *out);
struct membership *membership_find(const struct world *w, int64_t contact, size_t community);
struct membership *membership_add(struct world *w, int64_t contact, size_t community,
                                  int64_t delay_ms);
void membership_render(const struct world *w, const struct membership *m, struct buf *out);
void subscription_render(const struct subscription *s, struct buf *out);
/* What goes with a contact that is deleted. */
void relations_drop_contact(struct world *w, int64_t contact);

/* ---- webhooks and connections (hooks.c) */
void hooks_create(struct world *w);
void hooks_destroy(struct world *w);
extern const char *const hook_events[];
struct webhook *webhook_add(struct world *w, const char *name, const char *url, bool active);
struct webhook *webhook_find(const struct world *w, const char *uuid);
void webhook_rename(struct webhook *hook, const char *name);
void webhook_clear_events(struct webhook *hook);
void webhook_add_event(struct world *w, struct webhook *hook, const char *event, int64_t version);
void webhook_render(const struct webhook *hook, struct buf *out);
struct connection *connection_add(struct world *w, const char *app, const char *status);
struct connection *connection_find(const struct world *w, const char *uuid);
void connection_render(const struct connection *c, struct buf *out);
