#include "systemefs/api/resource.h"

#include <ctype.h>

#include "systemefs/base/macros.h"

/* clang-format off */

/* ---- what may be sent ---- */

static const struct patch_member contact_members[] = {
    {"email", PATCH_VALUE, .create = true},
    {"locale", PATCH_VALUE, .create = true, .save = true},
    {"fields", PATCH_PAIRS, .create = true, .save = true},
    {"tags", PATCH_SET, .create = true, .save = true},
    /* Where people, and much other software, look for them. The API ignores them silently. */
    {"firstName", PATCH_ALIAS, .create = true, .save = true, .slug = "first_name"},
    {"lastName", PATCH_ALIAS, .create = true, .save = true, .slug = "surname"},
    {"phoneNumber", PATCH_ALIAS, .create = true, .save = true, .slug = "phone_number"},
    {"id", PATCH_SERVER}, {"registeredAt", PATCH_SERVER}, {"sourceURL", PATCH_SERVER},
    {"unsubscribed", PATCH_SERVER}, {"bounced", PATCH_SERVER}, {"needsConfirmation", PATCH_SERVER},
    {0},
};
static const struct patch_member tag_members[] = {
    {"name", PATCH_VALUE, .create = true, .save = true},
    {"id", PATCH_SERVER}, {"createdAt", PATCH_SERVER},
    {0},
};
static const struct patch_member field_members[] = {
    {"fieldName", PATCH_VALUE, .create = true, .save = true},
    {"slug", PATCH_VALUE, .create = true},
    {0},
};
static const struct patch_member enrollment_members[] = {
    {"courseId", PATCH_VALUE, .create = true, .in_path = true},
    {"contactId", PATCH_VALUE, .create = true},
    {"accessType", PATCH_VALUE, .create = true},
    {"modules", PATCH_VALUE, .create = true},
    {"course", PATCH_REFERENCE, .create = true, .slug = "courseId"},
    {"contact", PATCH_REFERENCE, .create = true, .slug = "contactId"},
    {"id", PATCH_SERVER}, {"active", PATCH_SERVER},
    {0},
};
static const struct patch_member membership_members[] = {
    {"communityId", PATCH_VALUE, .create = true, .in_path = true},
    {"contactId", PATCH_VALUE, .create = true},
    {"community", PATCH_REFERENCE, .create = true, .slug = "communityId"},
    {"contact", PATCH_REFERENCE, .create = true, .slug = "contactId"},
    {"id", PATCH_SERVER},
    {0},
};
static const struct patch_member webhook_members[] = {
    {"name", PATCH_VALUE, .create = true, .save = true},
    {"secret", PATCH_VALUE, .create = true, .save = true}, /* never shown */
    {"url", PATCH_VALUE, .create = true},
    {"active", PATCH_VALUE, .create = true, .save = true},
    {"subscriptions", PATCH_EVENTS, .create = true, .save = true},
    {"id", PATCH_SERVER},
    {0},
};

/* ---- the collections ---- */

#define LISTED(label, path)    .name = label, .list_path = path, .items_member = "items"
#define NUMBERED               .paged = true, .id_kind = ID_NUMBER, .id_member = "id"
#define SAVED(how)             .can_save = true, .save = HTTP_##how

const struct resource_row resource_rows[RES_COUNT] = {
    [RES_CONTACT] = {
        LISTED("contact", "/api/contacts"), NUMBERED, .item_get = true,
        .name_member = "email", .name_filter = "email", .date_member = "registeredAt",
        .filters = {{.param = "tags", .by = RES_TAG, .member = "tags[].id"}},
        .members = contact_members, .create_path = "/api/contacts", .named_by = {"email"},
        SAVED(PATCH), .can_remove = true,
        .set = {.member = "tags", .path = "tags", .add_member = "tagId", .res = RES_TAG},
    },
    [RES_TAG] = {
        LISTED("tag", "/api/tags"), NUMBERED, .item_get = true,
        .name_member = "name", .date_member = "createdAt",
        .members = tag_members, .create_path = "/api/tags", .named_by = {"name"}, SAVED(PUT), .can_remove = true,
    },
    [RES_FIELD] = {
        LISTED("contact field", "/api/contact_fields"), .id_kind = ID_SLUG, .id_member = "slug",
        .members = field_members, .create_path = "/api/contact_fields",
        .named_by = {"fieldName", "slug"}, .shown_in_contacts = true, SAVED(PATCH), .can_remove = true,
    },
    [RES_COURSE] = {
        LISTED("course", "/api/school/courses"), NUMBERED, .name_member = "name",
    },
    [RES_ENROLLMENT] = {
        LISTED("enrollment", "/api/school/enrollments"), NUMBERED,
        .filters = {{.param = "course", .by = RES_COURSE, .member = "course.id", .create_member = "courseId"},
                    {.param = "contact", .by = RES_CONTACT, .member = "contact.id", .create_member = "contactId"}},
        .members = enrollment_members, .create_path = "/api/school/courses/%s/enrollments",
        .can_remove = true, .grant_member = "accessType",
    },
    [RES_COMMUNITY] = {
        LISTED("community", "/api/community/communities"), NUMBERED, .name_member = "name",
    },
    [RES_MEMBERSHIP] = {
        LISTED("membership", "/api/community/memberships"), NUMBERED,
        .filters = {{.param = "community", .by = RES_COMMUNITY, .member = "community.id", .create_member = "communityId"},
                    {.param = "contact", .by = RES_CONTACT, .member = "contact.id", .create_member = "contactId"}},
        .members = membership_members, .create_path = "/api/community/communities/%s/memberships",
        .create_later = true, .can_remove = true,
    },
    [RES_SUBSCRIPTION] = {
        LISTED("subscription", "/api/payment/subscriptions"), NUMBERED,
        .list_needs_filter = true, .date_member = "createdAt",
        .filters = {{.param = "contact", .by = RES_CONTACT}},
        .action = "cancel",
        .words = {{"now", "{\"cancel\":\"Now\"}"}, {"period-end", "{\"cancel\":\"WhenBillingPeriodEnds\"}"}},
    },
    [RES_WEBHOOK] = {
        LISTED("webhook", "/api/webhooks"), .item_get = true, .id_kind = ID_UUID, .id_member = "id",
        .members = webhook_members, .create_path = "/api/webhooks", SAVED(PATCH), .can_remove = true,
    },
    [RES_CONNECTION] = {
        .name = "connection", .host = HOST_CTRL, .list_path = "/connections", .list_query = "app=systeme",
        .items_member = "connections", .item_member = "connection", .item_get = true,
        .id_kind = ID_UUID, .id_member = "connection_id", .date_member = "creation_time",
        .create_path = "/connections", .create_body = "{\"app\":\"systeme\"}",
        .make_name = "systeme", .can_remove = true,
    },
};
/* clang-format on */

int resource_filter_by(enum resource res, enum resource by)
{
    const struct resource_row *row = resource_row(res);
    for (int i = 0; i < RESOURCE_FILTERS; i++)
        if (row->filters[i].param && row->filters[i].by == by)
            return i;
    return -1;
}

static bool number_valid(const char *text, size_t len)
{
    uint64_t n = 0;
    if (len == 0 || len > 16 || text[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text[i] - '0');
    }
    return n <= RESOURCE_ID_MAX;
}

/* The API says \w+, and does not say whether that knows Unicode: bytes above ASCII pass. */
static bool slug_valid(const char *text, size_t len)
{
    if (len == 0 || len > RESOURCE_ID_TEXT_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (!isalnum(c) && c != '_' && c < 0x80)
            return false;
    }
    return true;
}

static bool uuid_valid(const char *text, size_t len)
{
    if (len != 36)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

bool resource_id_valid(enum id_kind kind, const char *text, size_t len)
{
    static bool (*const valid[])(const char *, size_t) = {
        [ID_NUMBER] = number_valid,
        [ID_SLUG] = slug_valid,
        [ID_UUID] = uuid_valid,
    };
    return valid[kind](text, len);
}
