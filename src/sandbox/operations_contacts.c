/* sandbox/operations: contacts, tags and contact fields (see operations.h). */
#include "operations.h"

#include <stdio.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "names.h"
#include "text.h"

#define VALUE_CHARACTERS 255 /* of a field; one client cuts there, so probably the limit */
#define SLUG_CHARACTERS  255

const struct member members_contact_create[] = {
    {.name = "email", .kind = MEMBER_STRING, .required = true, .not_blank = true},
    {.name = "locale", .kind = MEMBER_STRING, .nullable = true, .choices = names_locales},
    {.name = "fields", .kind = MEMBER_PAIRS},
    {0},
};
const struct member members_contact_patch[] = {
    {.name = "locale", .kind = MEMBER_STRING, .nullable = true, .choices = names_locales},
    {.name = "fields", .kind = MEMBER_PAIRS},
    {0},
};
const struct member members_tag_id[] = {
    {.name = "tagId", .kind = MEMBER_INT, .required = true},
    {0},
};
const struct member members_tag[] = {
    {.name = "name", .kind = MEMBER_STRING, .required = true, .not_blank = true, .max = 64},
    {0},
};
const struct member members_field_create[] = {
    {.name = "fieldName", .kind = MEMBER_STRING, .required = true, .not_blank = true, .max = 255},
    {.name = "slug",
     .kind = MEMBER_STRING,
     .required = true,
     .not_blank = true,
     .max = SLUG_CHARACTERS},
    {0},
};
const struct member members_field_patch[] = {
    {.name = "fieldName", .kind = MEMBER_STRING, .required = true, .not_blank = true, .max = 255},
    {0},
};

bool find_contact(struct call *call)
{
    int64_t id;
    return (text_parse_int(call->argument[0], &id) && contact_find(call->world, id, &call->pos)) ||
           call_not_found(call);
}

bool find_contact_parent(struct call *call)
{
    if (find_contact(call))
        return true;
    if (call->world->settings->unknown_parent == 422)
        problem(call->res, 422, "Contact not found.");
    return false;
}

bool find_tag(struct call *call)
{
    return call_find_row(call, &call->world->tags, call->argument[0]);
}

bool find_tag_of_contact(struct call *call)
{
    if (!find_contact(call) || !call_find_row(call, &call->world->tags, call->argument[1]))
        return false;
    const struct tag *tag = call->row;
    return contact_has_tag(call->world, call->pos, tag->row.id) ||
           call->world->settings->absent_tag == 204 || call_not_found(call);
}

bool find_field(struct call *call)
{
    call->row = field_find(call->world, call->argument[0], NULL);
    return call->row || call_not_found(call);
}

/* The pairs are applied one by one (not as RFC 7396 has it), but one bad pair refuses them all. */
static void check_pairs(struct call *call)
{
    const cJSON *pair, *pairs = call_member(call, "fields");
    size_t index = 0;
    cJSON_ArrayForEach(pair, pairs)
    {
        char path[64];
        const char *slug = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pair, "slug"));
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pair, "value"));
        if (!slug || !field_find(call->world, slug, NULL)) {
            snprintf(path, sizeof(path), "fields[%zu].slug", index);
            violation(&call->violations, path, CODE_NO_CHOICE, "This value is not valid.");
        }
        snprintf(path, sizeof(path), "fields[%zu].value", index);
        if (value && text_characters(value) > VALUE_CHARACTERS)
            violation(&call->violations, path, CODE_TOO_LONG,
                      "This value is too long. It should have 255 characters or less.");
        if (value && *value && slug && strcmp(slug, "country") == 0 &&
            !names_contain(names_countries, value))
            violation(&call->violations, path, CODE_NO_CHOICE, "This value is not valid.");
        index++;
    }
}

static void apply_pairs(struct call *call, struct contact_edit *edit)
{
    const cJSON *pair, *pairs = call_member(call, "fields");
    cJSON_ArrayForEach(pair, pairs)
    {
        size_t field;
        const char *slug = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pair, "slug"));
        if (field_find(call->world, slug, &field))
            contact_set_value(edit, field,
                              cJSON_GetStringValue(
                                  cJSON_GetObjectItemCaseSensitive(pair, "value")));
    }
}

/* The constant behind a locale that was checked. */
static const char *locale_of(const struct call *call)
{
    const char *locale = call_text(call, "locale");
    for (const char *const *p = names_locales; locale && *p; p++)
        if (strcmp(*p, locale) == 0)
            return *p;
    return "en";
}

static void answer_contact(struct call *call, int status, size_t pos)
{
    response_begin(call->res, status, "application/json");
    contact_render(call->world, pos, false, &call->res->body);
}

void run_contact_create(struct call *call)
{
    struct world *w = call->world;
    const char *email = call_text(call, "email");
    size_t pos;
    if (email && *email) {
        if (!rules_email(email) || rules_domain_listed(email, w->settings->reject_domains))
            violation(&call->violations, "email", CODE_BAD_EMAIL,
                      "This value is not a valid email address.");
        else if (contact_find_email(w, email, &pos))
            violation(&call->violations, "email", CODE_NOT_UNIQUE, "This value is already used.");
    }
    check_pairs(call);
    if (call_refused(call))
        return;
    apply_pairs(call, contact_add(w, email, locale_of(call)));
    answer_contact(call, 201, contact_count(w) - 1);
}

void run_contact_get(struct call *call)
{
    answer_contact(call, 200, call->pos);
}

void run_contact_patch(struct call *call)
{
    check_pairs(call);
    if (call_refused(call))
        return;
    bool locale = cJSON_HasObjectItem(call->body, "locale");
    if (locale || call_member(call, "fields")) {
        struct contact_edit *edit = contact_edit(call->world, call->pos);
        if (locale)
            edit->locale = locale_of(call);
        apply_pairs(call, edit);
    }
    answer_contact(call, 200, call->pos);
}

void run_contact_delete(struct call *call)
{
    contact_delete(call->world, call->pos);
    call_no_content(call);
}

void run_tag_assign(struct call *call)
{
    const cJSON *member = call_member(call, "tagId");
    int64_t id = member ? (int64_t)member->valuedouble : 0;
    if (member && !rows_find(&call->world->tags, id)) {
        char message[64];
        snprintf(message, sizeof(message), "Tag with ID %lld not found.", (long long)id);
        violation(&call->violations, "tagId", CODE_UNKNOWN_TAG, message);
    }
    if (call_refused(call))
        return;
    contact_set_tag(contact_edit(call->world, call->pos), id, true);
    call_no_content(call);
}

void run_tag_unassign(struct call *call)
{
    const struct tag *tag = call->row;
    contact_set_tag(contact_edit(call->world, call->pos), tag->row.id, false);
    call_no_content(call);
}

static void answer_tag(struct call *call, int status, const struct tag *tag)
{
    response_begin(call->res, status, "application/json");
    tag_render(tag, &call->res->body);
}

static void check_tag_name(struct call *call, const struct tag *self)
{
    const char *name = call_text(call, "name");
    const struct tag *same = name ? tag_find_name(call->world, name) : NULL;
    if (same && same != self)
        violation(&call->violations, "name", CODE_NOT_UNIQUE, "This value is already used.");
}

void run_tag_create(struct call *call)
{
    int64_t most = call->world->settings->max_tags;
    check_tag_name(call, NULL);
    if (call_refused(call))
        return;
    if (most && rows_live(&call->world->tags) >= (size_t)most) {
        problem(call->res, 422, "You have reached the limit of tags, please upgrade your plan.");
        return;
    }
    answer_tag(call, 201, tag_add(call->world, call_text(call, "name")));
}

void run_tag_get(struct call *call)
{
    answer_tag(call, 200, call->row);
}

void run_tag_put(struct call *call)
{
    check_tag_name(call, call->row);
    if (call_refused(call))
        return;
    tag_rename(call->row, call_text(call, "name"));
    answer_tag(call, 200, call->row);
}

static void answer_field(struct call *call, int status, const struct field *field)
{
    response_begin(call->res, status, "application/json");
    field_render(field, &call->res->body);
}

void run_field_create(struct call *call)
{
    const char *slug = call_text(call, "slug");
    if (slug && *slug && !rules_slug(slug))
        violation(&call->violations, "slug", CODE_PATTERN, "This value is not valid.");
    if (slug && field_find(call->world, slug, NULL))
        violation(&call->violations, "slug", CODE_NOT_UNIQUE, "This value is already used.");
    if (call_refused(call))
        return;
    answer_field(call, 201, field_add(call->world, slug, call_text(call, "fieldName")));
}

void run_field_patch(struct call *call)
{
    if (call_refused(call))
        return;
    field_rename(call->row, call_text(call, "fieldName"));
    answer_field(call, 200, call->row);
}

void run_field_delete(struct call *call)
{
    const struct field *field = call->row;
    if (field->builtin && call->world->settings->builtin_delete == 422) {
        problem(call->res, 422, "A built-in contact field cannot be deleted.");
        return;
    }
    run_row_delete(call);
}
