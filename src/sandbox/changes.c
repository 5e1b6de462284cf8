#include "changes.h"

#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "names.h"
#include "text.h"

struct change {
    struct world *world;
    const cJSON *body;
    int64_t new_id;
};

#define NO_CONTACT "no such contact"
#define NO_RECORD  "no such record"
#define NO_NAME    "a name is missing"

static const cJSON *member(const struct change *c, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(c->body, name);
}

static const char *text_of(const struct change *c, const char *name)
{
    return cJSON_GetStringValue(member(c, name));
}

static int64_t id_of(const struct change *c, const char *name)
{
    const cJSON *item = member(c, name);
    return cJSON_IsNumber(item) ? text_whole(item->valuedouble) : 0;
}

static struct contact_edit *contact_of(const struct change *c, const char *name)
{
    size_t pos;
    return contact_find(c->world, id_of(c, name), &pos) ? contact_edit(c->world, pos) : NULL;
}

static const char *locale_of(const struct change *c, const char *otherwise)
{
    const char *wanted = text_of(c, "locale");
    for (const char *const *p = names_locales; wanted && *p; p++)
        if (strcmp(*p, wanted) == 0)
            return *p;
    return otherwise;
}

/* {"slug":value}, which is shorter to write in a test than the API's pairs. */
static const char *set_fields(struct change *c, struct contact_edit *edit)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, member(c, "fields"))
    {
        size_t field;
        if (!field_find(c->world, item->string, &field))
            return "no such field";
        contact_set_value(edit, field, cJSON_GetStringValue(item));
    }
    return NULL;
}

static void set_flag(const struct change *c, const char *name, bool *flag)
{
    const cJSON *item = member(c, name);
    if (cJSON_IsBool(item))
        *flag = cJSON_IsTrue(item);
}

static const char *patch_contact(struct change *c)
{
    struct contact_edit *edit = contact_of(c, "id");
    if (!edit)
        return NO_CONTACT;
    edit->locale = locale_of(c, edit->locale);
    set_flag(c, "unsubscribed", &edit->unsubscribed);
    set_flag(c, "bounced", &edit->bounced);
    set_flag(c, "needsConfirmation", &edit->needs_confirmation);
    if (text_of(c, "sourceURL")) {
        free(edit->source_url);
        edit->source_url = must_dup(text_of(c, "sourceURL"));
    }
    return set_fields(c, edit);
}

static const char *create_contact(struct change *c)
{
    const char *email = text_of(c, "email");
    if (!email)
        return "an email is missing";
    struct contact_edit *edit = contact_add(c->world, email, locale_of(c, "en"));
    c->new_id = edit->row.id;
    return set_fields(c, edit);
}

static const char *delete_contact(struct change *c)
{
    size_t pos;
    if (!contact_find(c->world, id_of(c, "id"), &pos))
        return NO_CONTACT;
    contact_delete(c->world, pos);
    return NULL;
}

static const char *set_contact_tag(struct change *c, bool assigned)
{
    struct contact_edit *edit = contact_of(c, "id");
    if (!edit)
        return NO_CONTACT;
    if (!rows_find(&c->world->tags, id_of(c, "tag")))
        return "no such tag";
    contact_set_tag(edit, id_of(c, "tag"), assigned);
    return NULL;
}

static const char *tag_contact(struct change *c)
{
    return set_contact_tag(c, true);
}

static const char *untag_contact(struct change *c)
{
    return set_contact_tag(c, false);
}

static const char *create_tag(struct change *c)
{
    if (!text_of(c, "name"))
        return NO_NAME;
    c->new_id = tag_add(c->world, text_of(c, "name"))->row.id;
    return NULL;
}

static const char *rename_tag(struct change *c)
{
    struct tag *tag = rows_find(&c->world->tags, id_of(c, "id"));
    if (!tag || !text_of(c, "name"))
        return tag ? NO_NAME : NO_RECORD;
    tag_rename(tag, text_of(c, "name"));
    return NULL;
}

static const char *create_field(struct change *c)
{
    if (!text_of(c, "slug") || !text_of(c, "name"))
        return NO_NAME;
    field_add(c->world, text_of(c, "slug"), text_of(c, "name"));
    return NULL;
}

static struct field *field_of(const struct change *c)
{
    return text_of(c, "slug") ? field_find(c->world, text_of(c, "slug"), NULL) : NULL;
}

static const char *rename_field(struct change *c)
{
    struct field *field = field_of(c);
    if (!field || !text_of(c, "name"))
        return field ? NO_NAME : NO_RECORD;
    field_rename(field, text_of(c, "name"));
    return NULL;
}

static const char *delete_field(struct change *c)
{
    struct field *field = field_of(c);
    if (!field)
        return NO_RECORD;
    field->row.gone = true;
    return NULL;
}

static const char *rename_text(char **name, const char *to)
{
    if (!to)
        return NO_NAME;
    free(*name);
    *name = must_dup(to);
    return NULL;
}

static const char *rename_course(struct change *c)
{
    struct course *course = rows_find(&c->world->courses, id_of(c, "id"));
    return course ? rename_text(&course->name, text_of(c, "name")) : NO_RECORD;
}

static const char *rename_community(struct change *c)
{
    struct community *community = rows_find(&c->world->communities, id_of(c, "id"));
    return community ? rename_text(&community->name, text_of(c, "name")) : NO_RECORD;
}

static const char *create_enrollment(struct change *c)
{
    size_t pos;
    if (!contact_find(c->world, id_of(c, "contact"), &pos) ||
        !rows_find(&c->world->courses, id_of(c, "course")))
        return NO_RECORD;
    size_t course = rows_lower(&c->world->courses, id_of(c, "course"));
    c->new_id = enrollment_add(c->world, id_of(c, "contact"), course, "full_access")->row.id;
    return NULL;
}

static const char *create_membership(struct change *c)
{
    size_t pos;
    if (!contact_find(c->world, id_of(c, "contact"), &pos) ||
        !rows_find(&c->world->communities, id_of(c, "community")))
        return NO_RECORD;
    size_t community = rows_lower(&c->world->communities, id_of(c, "community"));
    c->new_id = membership_add(c->world, id_of(c, "contact"), community, 0)->row.id;
    return NULL;
}

static const char *set_connection(struct change *c)
{
    static const char *const statuses[] = {"ACTIVE", "PENDING", "FAILED"};
    const char *uuid = text_of(c, "id"), *status = text_of(c, "status");
    struct connection *connection = uuid ? connection_find(c->world, uuid) : NULL;
    if (!connection)
        return NO_RECORD;
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
        if (status && strcmp(statuses[i], status) == 0) {
            connection->status = statuses[i];
            connection->updated = world_now(c->world);
            return NULL;
        }
    return "status is ACTIVE, PENDING or FAILED";
}

static const char *delete_webhook(struct change *c)
{
    struct webhook *hook = text_of(c, "id") ? webhook_find(c->world, text_of(c, "id")) : NULL;
    if (!hook)
        return NO_RECORD;
    hook->row.gone = true;
    return NULL;
}

static const struct {
    const char *op;
    const char *(*run)(struct change *c); /* NULL: only marks a row as gone */
    size_t rows;                          /* which ones, as an offset in struct world */
} changes[] = {
    {"patch_contact", patch_contact, 0},
    {"create_contact", create_contact, 0},
    {"delete_contact", delete_contact, 0},
    {"tag_contact", tag_contact, 0},
    {"untag_contact", untag_contact, 0},
    {"create_tag", create_tag, 0},
    {"rename_tag", rename_tag, 0},
    {"delete_tag", NULL, offsetof(struct world, tags)},
    {"create_field", create_field, 0},
    {"rename_field", rename_field, 0},
    {"delete_field", delete_field, 0},
    {"rename_course", rename_course, 0},
    {"delete_course", NULL, offsetof(struct world, courses)},
    {"rename_community", rename_community, 0},
    {"delete_community", NULL, offsetof(struct world, communities)},
    {"create_enrollment", create_enrollment, 0},
    {"delete_enrollment", NULL, offsetof(struct world, enrollments)},
    {"create_membership", create_membership, 0},
    {"delete_membership", NULL, offsetof(struct world, memberships)},
    {"delete_subscription", NULL, offsetof(struct world, subscriptions)},
    {"delete_webhook", delete_webhook, 0},
    {"set_connection", set_connection, 0},
};

const char *changes_apply(struct world *w, const cJSON *body, int64_t *ret_id)
{
    struct change c = {.world = w, .body = body};
    const char *op = text_of(&c, "op");
    for (size_t i = 0; op && i < ARRAY_SIZE(changes); i++) {
        if (strcmp(changes[i].op, op) != 0)
            continue;
        const char *why = NULL;
        if (changes[i].run) {
            why = changes[i].run(&c);
        } else {
            void *rows = (char *)w + changes[i].rows;
            struct row *row = rows_find(rows, id_of(&c, "id"));
            if (row)
                row->gone = true;
            else
                why = NO_RECORD;
        }
        *ret_id = c.new_id;
        /* It is one of the literals above. */
        /* cppcheck-suppress returnDanglingLifetime */
        return why;
    }
    return "no such op";
}

static void describe_rows(const char *name, const struct rows *rows, struct buf *out)
{
    int64_t first = 0, last = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = rows_at(rows, i);
        if (row->gone)
            continue;
        first = first ? first : row->id;
        last = row->id;
    }
    text_member(out, name);
    buf_append_byte(out, '{');
    text_member(out, "count");
    text_int(out, (int64_t)rows_live(rows));
    text_member(out, "first");
    text_int(out, first);
    text_member(out, "last");
    text_int(out, last);
    buf_append_byte(out, '}');
}

void changes_describe(const struct world *w, struct buf *out)
{
    static const struct {
        const char *name;
        size_t rows;
    } kinds[] = {
        {"tags", offsetof(struct world, tags)},
        {"contact_fields", offsetof(struct world, fields)},
        {"courses", offsetof(struct world, courses)},
        {"enrollments", offsetof(struct world, enrollments)},
        {"communities", offsetof(struct world, communities)},
        {"memberships", offsetof(struct world, memberships)},
        {"subscriptions", offsetof(struct world, subscriptions)},
        {"webhooks", offsetof(struct world, webhooks)},
        {"connections", offsetof(struct world, connections)},
    };
    int64_t first = 0, last = 0, count = 0;
    for (size_t i = 0; i < contact_count(w); i++) {
        size_t pos;
        if (!contact_find(w, contact_id(w, i), &pos))
            continue;
        first = first ? first : contact_id(w, i);
        last = contact_id(w, i);
        count++;
    }
    buf_append_byte(out, '{');
    text_member(out, "contacts");
    buf_append_byte(out, '{');
    text_member(out, "count");
    text_int(out, count);
    text_member(out, "first");
    text_int(out, first);
    text_member(out, "last");
    text_int(out, last);
    buf_append_byte(out, '}');
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const void *rows = (const char *)w + kinds[i].rows;
        describe_rows(kinds[i].name, rows, out);
    }
    for (size_t i = 0; i < w->subscriptions.count; i++) {
        const struct subscription *s = rows_at(&w->subscriptions, i);
        if (!s->foreign)
            continue;
        text_member(out, "foreign_subscription");
        text_int(out, s->row.id);
    }
    buf_append_byte(out, '}');
}
