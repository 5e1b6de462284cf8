#include "systemefs/tree/shape.h"

#include <string.h>

#include "systemefs/base/macros.h"

#define DIR_MODE  0777
#define OPEN_MODE 0666 /* the API can change it */
#define READ_MODE 0444

/* clang-format off */
#define FIXED(up, label)      .form = FORM_FIXED, .parent = KIND_##up, .name = label, .mode = DIR_MODE
#define LIST(label, r, file)  .form = FORM_RECORDS, .parent = KIND_ROOT, .name = label, .mode = DIR_MODE, \
                              .res = RES_##r, .entry = KIND_##file
#define PART(up, label, own, r, file) .form = FORM_RECORDS, .parent = KIND_##up, .name = label, .mode = DIR_MODE, \
                              .res = RES_##r, .filtered = true, .owner = RES_##own, .entry = KIND_##file
#define RECORD(up, r, bits)   .form = FORM_RECORD, .parent = KIND_##up, .mode = bits, .res = RES_##r
#define ENTRY_DIR(up, own)    .form = FORM_FIXED, .parent = KIND_##up, .mode = DIR_MODE, .owner = RES_##own, .res = RES_##own
#define NAMES(up, label, r, link) .form = FORM_NAMES, .parent = KIND_##up, .name = label, .mode = DIR_MODE, \
                              .res = RES_##r, .entry = KIND_##link
#define LINK(up, r, says)     .form = FORM_LINK, .parent = KIND_##up, .mode = 0777, .res = RES_##r, .target = says
#define TEXT(up, label, bits, what) .form = FORM_TEXT, .parent = KIND_##up, .name = label, .mode = bits, \
                              .text = TEXT_##what

const struct shape shapes[KIND_COUNT] = {
    [KIND_ROOT]   = {.form = FORM_FIXED, .mode = DIR_MODE},
    [KIND_README] = {TEXT(ROOT, "README.md", READ_MODE, README)},

    [KIND_CONTACT_LIST] = {LIST("contacts", CONTACT, CONTACT), .entry_dir = KIND_CONTACT_DIR, .dir_removes = true,
                           .alias = KIND_CONTACT_ALIAS, .dir_alias = KIND_CONTACT_DIR_ALIAS},
    [KIND_CONTACT]               = {RECORD(CONTACT_LIST, CONTACT, OPEN_MODE)},
    [KIND_CONTACT_DIR]           = {ENTRY_DIR(CONTACT_LIST, CONTACT)},
    [KIND_CONTACT_FIELDS]        = {.form = FORM_VALUES, .parent = KIND_CONTACT_DIR, .name = "fields", .mode = DIR_MODE,
                                    .owner = RES_CONTACT, .res = RES_FIELD, .member = "fields",
                                    .entry = KIND_CONTACT_FIELD},
    [KIND_CONTACT_FIELD]         = {.form = FORM_VALUE, .parent = KIND_CONTACT_FIELDS, .mode = OPEN_MODE,
                                    .owner = RES_CONTACT, .res = RES_FIELD, .member = "fields"},
    [KIND_CONTACT_TAGS]          = {.form = FORM_MEMBERS, .parent = KIND_CONTACT_DIR, .name = "tags", .mode = DIR_MODE,
                                    .owner = RES_CONTACT, .res = RES_TAG, .member = "tags", .entry = KIND_TAG},
    [KIND_CONTACT_ENROLLMENTS]   = {PART(CONTACT_DIR, "enrollments", CONTACT, ENROLLMENT, ENROLLMENT)},
    [KIND_CONTACT_MEMBERSHIPS]   = {PART(CONTACT_DIR, "memberships", CONTACT, MEMBERSHIP, MEMBERSHIP)},
    [KIND_CONTACT_SUBSCRIPTIONS] = {PART(CONTACT_DIR, "subscriptions", CONTACT, SUBSCRIPTION, SUBSCRIPTION),
                                    .entry_dir = KIND_SUBSCRIPTION_DIR, .entry_dir_listed = true},
    [KIND_SUBSCRIPTION_DIR]      = {ENTRY_DIR(CONTACT_SUBSCRIPTIONS, SUBSCRIPTION)},
    [KIND_SUBSCRIPTION_CANCEL]   = {TEXT(SUBSCRIPTION_DIR, "cancel", OPEN_MODE, CANCEL)},
    [KIND_CONTACT_NAMES]         = {NAMES(CONTACT_LIST, "by-email", CONTACT, CONTACT_LINK)},
    [KIND_CONTACT_LINK]          = {LINK(CONTACT_NAMES, CONTACT, "../%s.json")},
    [KIND_CONTACT_ALIAS]         = {LINK(CONTACT_LIST, CONTACT, "%s.json")},
    [KIND_CONTACT_DIR_ALIAS]     = {LINK(CONTACT_LIST, CONTACT, "%s")},

    [KIND_TAG_LIST] = {LIST("tags", TAG, TAG), .entry_dir = KIND_TAG_DIR, .entry_dir_listed = true,
                       .alias = KIND_TAG_ALIAS, .dir_alias = KIND_TAG_DIR_ALIAS},
    [KIND_TAG]           = {RECORD(TAG_LIST, TAG, OPEN_MODE)},
    [KIND_TAG_DIR]       = {ENTRY_DIR(TAG_LIST, TAG)},
    [KIND_TAG_CONTACTS]  = {PART(TAG_DIR, "contacts", TAG, CONTACT, CONTACT), .alias = KIND_CONTACT_ALIAS},
    [KIND_TAG_NAMES]     = {NAMES(TAG_LIST, "by-name", TAG, TAG_LINK)},
    [KIND_TAG_LINK]      = {LINK(TAG_NAMES, TAG, "../%s.json")},
    [KIND_TAG_ALIAS]     = {LINK(TAG_LIST, TAG, "%s.json")},
    [KIND_TAG_DIR_ALIAS] = {LINK(TAG_LIST, TAG, "%s")},

    [KIND_FIELD_LIST] = {LIST("contact_fields", FIELD, FIELD)},
    [KIND_FIELD]      = {RECORD(FIELD_LIST, FIELD, OPEN_MODE)},

    [KIND_COURSE_LIST] = {LIST("courses", COURSE, COURSE), .entry_dir = KIND_COURSE_DIR, .entry_dir_listed = true,
                          .alias = KIND_COURSE_ALIAS, .dir_alias = KIND_COURSE_DIR_ALIAS},
    [KIND_COURSE]             = {RECORD(COURSE_LIST, COURSE, READ_MODE)},
    [KIND_COURSE_DIR]         = {ENTRY_DIR(COURSE_LIST, COURSE)},
    [KIND_COURSE_ENROLLMENTS] = {PART(COURSE_DIR, "enrollments", COURSE, ENROLLMENT, ENROLLMENT)},
    [KIND_COURSE_NAMES]       = {NAMES(COURSE_LIST, "by-name", COURSE, COURSE_LINK)},
    [KIND_COURSE_LINK]        = {LINK(COURSE_NAMES, COURSE, "../%s.json")},
    [KIND_COURSE_ALIAS]       = {LINK(COURSE_LIST, COURSE, "%s.json")},
    [KIND_COURSE_DIR_ALIAS]   = {LINK(COURSE_LIST, COURSE, "%s")},

    [KIND_ENROLLMENT_LIST] = {LIST("enrollments", ENROLLMENT, ENROLLMENT)},
    [KIND_ENROLLMENT]      = {RECORD(ENROLLMENT_LIST, ENROLLMENT, READ_MODE)},

    [KIND_COMMUNITY_LIST] = {LIST("communities", COMMUNITY, COMMUNITY), .entry_dir = KIND_COMMUNITY_DIR,
                             .entry_dir_listed = true, .alias = KIND_COMMUNITY_ALIAS,
                             .dir_alias = KIND_COMMUNITY_DIR_ALIAS},
    [KIND_COMMUNITY]             = {RECORD(COMMUNITY_LIST, COMMUNITY, READ_MODE)},
    [KIND_COMMUNITY_DIR]         = {ENTRY_DIR(COMMUNITY_LIST, COMMUNITY)},
    [KIND_COMMUNITY_MEMBERSHIPS] = {PART(COMMUNITY_DIR, "memberships", COMMUNITY, MEMBERSHIP, MEMBERSHIP)},
    [KIND_COMMUNITY_NAMES]       = {NAMES(COMMUNITY_LIST, "by-name", COMMUNITY, COMMUNITY_LINK)},
    [KIND_COMMUNITY_LINK]        = {LINK(COMMUNITY_NAMES, COMMUNITY, "../%s.json")},
    [KIND_COMMUNITY_ALIAS]       = {LINK(COMMUNITY_LIST, COMMUNITY, "%s.json")},
    [KIND_COMMUNITY_DIR_ALIAS]   = {LINK(COMMUNITY_LIST, COMMUNITY, "%s")},

    [KIND_MEMBERSHIP_LIST] = {LIST("memberships", MEMBERSHIP, MEMBERSHIP)},
    [KIND_MEMBERSHIP]      = {RECORD(MEMBERSHIP_LIST, MEMBERSHIP, READ_MODE)},

    [KIND_SUBSCRIPTION_LIST] = {LIST("subscriptions", SUBSCRIPTION, SUBSCRIPTION)},
    [KIND_SUBSCRIPTION]      = {RECORD(SUBSCRIPTION_LIST, SUBSCRIPTION, READ_MODE)},

    [KIND_WEBHOOK_LIST] = {LIST("webhooks", WEBHOOK, WEBHOOK)},
    [KIND_WEBHOOK]      = {RECORD(WEBHOOK_LIST, WEBHOOK, OPEN_MODE)},

    [KIND_CONNECTION_LIST] = {LIST("connections", CONNECTION, CONNECTION)},
    [KIND_CONNECTION]      = {RECORD(CONNECTION_LIST, CONNECTION, READ_MODE)},

    [KIND_CONTROL]  = {FIXED(ROOT, ".systemefs"), .hidden = true},
    [KIND_STATUS]   = {TEXT(CONTROL, "status", READ_MODE, STATUS)},
    [KIND_ERRORS]   = {TEXT(CONTROL, "errors", READ_MODE, ERRORS)},
    [KIND_REQUESTS] = {TEXT(CONTROL, "requests", READ_MODE, REQUESTS)},
    [KIND_METRICS]  = {TEXT(CONTROL, "metrics", READ_MODE, METRICS)},
    [KIND_CTL]      = {TEXT(CONTROL, "ctl", OPEN_MODE, CTL)},

    [KIND_SCRATCH]      = {.form = FORM_SCRATCH, .mode = OPEN_MODE},
    [KIND_SCRATCH_LINK] = {.form = FORM_SCRATCH_LINK, .mode = 0777},
    [KIND_MADE]         = {.form = FORM_FIXED, .mode = DIR_MODE},
    [KIND_DRAFTS]       = {.form = FORM_SHELF, .parent = KIND_CONTROL, .name = "drafts", .mode = DIR_MODE},
    [KIND_TRASH]        = {.form = FORM_SHELF, .parent = KIND_CONTROL, .name = "trash", .mode = DIR_MODE},
    [KIND_SHELF_DIR]    = {.form = FORM_SHELF, .mode = DIR_MODE},
    [KIND_SHELF_FILE]   = {.form = FORM_SHELF_FILE, .mode = READ_MODE},
};
/* clang-format on */

struct node node_parent(struct node n)
{
    struct node parent = {.kind = shapes[n.kind].parent, .key = n.key};
    /* The root and its directories belong to no record. */
    if (parent.kind == KIND_ROOT || shapes[parent.kind].parent == KIND_ROOT)
        parent.key = 1;
    return parent;
}

enum node_kind shape_child(enum node_kind parent, const char *name)
{
    for (enum node_kind kind = KIND_ROOT + 1; kind < KIND_COUNT; kind++)
        if (shapes[kind].parent == parent && shapes[kind].name &&
            strcmp(shapes[kind].name, name) == 0)
            return kind;
    return KIND_ROOT;
}

enum node_kind shape_home(enum resource res)
{
    for (enum node_kind kind = KIND_ROOT + 1; kind < KIND_COUNT; kind++)
        if (shapes[kind].form == FORM_RECORDS && !shapes[kind].filtered && shapes[kind].res == res)
            return kind;
    return KIND_ROOT;
}

bool shape_is_dir(enum node_kind kind)
{
    return shapes[kind].form <= FORM_NAMES;
}

enum shape_makes shape_makes(enum node_kind dir)
{
    const struct shape *shape = &shapes[dir];
    const struct resource_row *row = resource_row(shape->res);
    enum resource owner;
    if (shape->form == FORM_MEMBERS || (shape->form == FORM_RECORDS && shape->filtered)) {
        shape_lists_items(dir, &owner);
        if (owner < RES_COUNT)
            return MAKES_ITEM;
    }
    if (shape->form != FORM_RECORDS || !row->create_path)
        return MAKES_NOTHING;
    if (!shape->filtered)
        return MAKES_RECORD;
    const struct resource_filter *filter =
        &row->filters[resource_filter_by(shape->res, shape->owner)];
    return filter->create_member ? MAKES_RECORD : MAKES_NOTHING;
}

bool shape_lists_items(enum node_kind dir, enum resource *ret_owner)
{
    const struct shape *shape = &shapes[dir];
    const struct resource_set *mine = &resource_row(shape->owner)->set;
    const struct resource_set *theirs = &resource_row(shape->res)->set;
    bool items = mine->member && mine->res == shape->res;
    *ret_owner = items                                           ? shape->owner
                 : theirs->member && theirs->res == shape->owner ? shape->res
                                                                 : RES_COUNT;
    return items;
}
