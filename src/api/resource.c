#include "systemefs/api/resource.h"

#include <ctype.h>

#include "systemefs/base/macros.h"

const struct resource_row resource_rows[RES_COUNT] = {
    [RES_CONTACT] =
        {
            .name = "contact",
            .list_path = "/api/contacts",
            .items_member = "items",
            .paged = true,
            .item_get = true,
            .writable = true,
            .id_kind = ID_NUMBER,
            .id_member = "id",
            .name_member = "email",
            .name_filter = "email",
            .date_member = "registeredAt",
            .filters = {{.param = "tags", .by = RES_TAG, .member = "tags[].id"}},
        },
    [RES_TAG] =
        {
            .name = "tag",
            .list_path = "/api/tags",
            .items_member = "items",
            .paged = true,
            .item_get = true,
            .writable = true,
            .id_kind = ID_NUMBER,
            .id_member = "id",
            .name_member = "name",
            .date_member = "createdAt",
        },
    [RES_FIELD] =
        {
            .name = "contact field",
            .list_path = "/api/contact_fields",
            .items_member = "items",
            .writable = true,
            .id_kind = ID_SLUG,
            .id_member = "slug",
        },
    [RES_COURSE] =
        {
            .name = "course",
            .list_path = "/api/school/courses",
            .items_member = "items",
            .paged = true,
            .id_kind = ID_NUMBER,
            .id_member = "id",
            .name_member = "name",
        },
    [RES_ENROLLMENT] =
        {
            .name = "enrollment",
            .list_path = "/api/school/enrollments",
            .items_member = "items",
            .paged = true,
            .id_kind = ID_NUMBER,
            .id_member = "id",
            .filters = {{.param = "course", .by = RES_COURSE, .member = "course.id"},
                        {.param = "contact", .by = RES_CONTACT, .member = "contact.id"}},
        },
    [RES_COMMUNITY] =
        {
            .name = "community",
            .list_path = "/api/community/communities",
            .items_member = "items",
            .paged = true,
            .id_kind = ID_NUMBER,
            .id_member = "id",
            .name_member = "name",
        },
    [RES_MEMBERSHIP] =
        {
            .name = "membership",
            .list_path = "/api/community/memberships",
            .items_member = "items",
            .paged = true,
            .id_kind = ID_NUMBER,
            .id_member = "id",
            .filters = {{.param = "community", .by = RES_COMMUNITY, .member = "community.id"},
                        {.param = "contact", .by = RES_CONTACT, .member = "contact.id"}},
        },
    [RES_SUBSCRIPTION] =
        {
            .name = "subscription",
            .list_path = "/api/payment/subscriptions",
            .items_member = "items",
            .paged = true,
            .list_needs_filter = true,
            .id_kind = ID_NUMBER,
            .id_member = "id",
            .date_member = "createdAt",
            .filters = {{.param = "contact", .by = RES_CONTACT}},
        },
    [RES_WEBHOOK] =
        {
            .name = "webhook",
            .list_path = "/api/webhooks",
            .items_member = "items",
            .item_get = true,
            .writable = true,
            .id_kind = ID_UUID,
            .id_member = "id",
        },
    [RES_CONNECTION] =
        {
            .name = "connection",
            .host = HOST_CTRL,
            .list_path = "/connections",
            .list_query = "app=systeme",
            .items_member = "connections",
            .item_member = "connection",
            .item_get = true,
            .id_kind = ID_UUID,
            .id_member = "connection_id",
            .date_member = "creation_time",
        },
};

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
