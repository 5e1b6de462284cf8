/* sandbox/operations: courses, communities, subscriptions and webhooks (see operations.h). */
#include "operations.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "names.h"
#include "text.h"

static const char *const cancel_choices[] = {"Now", "WhenBillingPeriodEnds", NULL};

const struct member members_enroll[] = {
    {.name = "contactId", .kind = MEMBER_INT, .required = true},
    {.name = "accessType",
     .kind = MEMBER_STRING,
     .required = true,
     .choices = relation_access_types},
    {.name = "modules", .kind = MEMBER_INTS, .nullable = true},
    {0},
};
const struct member members_join[] = {
    {.name = "contactId", .kind = MEMBER_INT, .required = true},
    {0},
};
const struct member members_cancel[] = {
    {.name = "cancel", .kind = MEMBER_STRING, .required = true, .choices = cancel_choices},
    {0},
};
const struct member members_webhook_create[] = {
    {.name = "name", .kind = MEMBER_STRING, .required = true, .not_blank = true, .max = 255},
    {.name = "secret", .kind = MEMBER_STRING, .required = true, .not_blank = true, .max = 255},
    {.name = "url", .kind = MEMBER_STRING, .required = true, .not_blank = true, .max = 255},
    {.name = "subscriptions", .kind = MEMBER_EVENTS, .required = true},
    {.name = "active", .kind = MEMBER_BOOL, .nullable = true},
    {0},
};
const struct member members_webhook_patch[] = {
    {.name = "name", .kind = MEMBER_STRING, .nullable = true, .not_blank = true, .max = 255},
    {.name = "secret", .kind = MEMBER_STRING, .nullable = true, .not_blank = true, .max = 255},
    {.name = "subscriptions", .kind = MEMBER_EVENTS, .nullable = true},
    {.name = "active", .kind = MEMBER_BOOL, .nullable = true},
    {0},
};

/* A record that the path names as the parent of something new. */
static bool find_parent(struct call *call, const struct rows *rows, const char *what)
{
    int64_t id;
    if (text_parse_int(call->argument[0], &id) && (call->row = rows_find(rows, id))) {
        call->pos = rows_lower(rows, id);
        return true;
    }
    call_not_found(call);
    if (call->world->settings->unknown_parent == 422)
        problem(call->res, 422, "%s not found.", what);
    return false;
}

bool find_course(struct call *call)
{
    return find_parent(call, &call->world->courses, "Course");
}

bool find_community(struct call *call)
{
    return find_parent(call, &call->world->communities, "Community");
}

bool find_subscription(struct call *call)
{
    return find_parent(call, &call->world->subscriptions, "Subscription");
}

bool find_enrollment(struct call *call)
{
    return call_find_row(call, &call->world->enrollments, call->argument[0]);
}

/* A membership that has not appeared yet cannot be named either. */
bool find_membership(struct call *call)
{
    if (!call_find_row(call, &call->world->memberships, call->argument[0]))
        return false;
    const struct membership *m = call->row;
    return m->visible_ms <= world_now_ms(call->world) || call_not_found(call);
}

bool find_webhook(struct call *call)
{
    call->row = webhook_find(call->world, call->argument[0]);
    return call->row || call_not_found(call);
}

/* The contact that a body names, or 0 and a violation. */
static int64_t contact_member(struct call *call)
{
    const cJSON *member = call_member(call, "contactId");
    size_t pos;
    if (!member)
        return 0;
    int64_t id = (int64_t)member->valuedouble;
    if (contact_find(call->world, id, &pos))
        return id;
    char message[64];
    snprintf(message, sizeof(message), "Contact with ID %lld not found.", (long long)id);
    violation(&call->violations, "contactId", CODE_NO_CHOICE, message);
    return 0;
}

static void check_modules(struct call *call, const struct course *course, const char *access)
{
    const cJSON *item, *modules = call_member(call, "modules");
    if (access && strncmp(access, "partial", 7) == 0 && cJSON_GetArraySize(modules) == 0)
        violation(&call->violations, "modules", CODE_BLANK, "This value should not be blank.");
    int index = 0;
    cJSON_ArrayForEach(item, modules)
    {
        bool known = false;
        for (size_t i = 0; i < course->module_count; i++)
            known |= course->modules[i].id == (int64_t)item->valuedouble;
        char path[32];
        snprintf(path, sizeof(path), "modules[%d]", index++);
        if (!known)
            violation(&call->violations, path, CODE_NO_CHOICE, "This value is not valid.");
    }
}

void run_enroll(struct call *call)
{
    struct world *w = call->world;
    const char *access = call_text(call, "accessType");
    int64_t contact = contact_member(call);
    check_modules(call, call->row, access);
    struct enrollment *e = contact ? enrollment_find(w, contact, call->pos) : NULL;
    if (e && w->settings->repeated_join == 422)
        violation(&call->violations, "contactId", CODE_NOT_UNIQUE, "This value is already used.");
    if (call_refused(call))
        return;
    for (const char *const *p = relation_access_types; !e && *p; p++)
        if (strcmp(*p, access) == 0)
            e = enrollment_add(w, contact, call->pos, *p);
    response_begin(call->res, 201, "application/json");
    enrollment_render(w, e, &call->res->body);
}

void run_join(struct call *call)
{
    struct world *w = call->world;
    int64_t contact = contact_member(call);
    struct membership *m = contact ? membership_find(w, contact, call->pos) : NULL;
    if (m && w->settings->repeated_join == 422)
        violation(&call->violations, "contactId", CODE_NOT_UNIQUE, "This value is already used.");
    if (call_refused(call))
        return;
    if (!m)
        membership_add(w, contact, call->pos, w->settings->membership_delay_ms);
    response_begin(call->res, 202, "application/json");
    buf_append_str(&call->res->body, "{}");
}

void run_subscription_list(struct call *call)
{
    if (call->world->settings->no_payments) {
        call_not_found(call);
        return;
    }
    call->collection = call->world->settings->all_subscriptions ? &collection_all_subscriptions
                                                                : &collection_subscriptions;
    run_list(call);
}

void run_cancel(struct call *call)
{
    struct subscription *s = call->row;
    if (s->foreign) {
        problem(call->res, 403, "Access Denied.");
        return;
    }
    if (call_refused(call))
        return;
    if (s->completed || strcmp(s->status, "cancelled") == 0 ||
        strcmp(s->status, "incomplete_expired") == 0) {
        problem(call->res, 422, "This subscription is already cancelled.");
        return;
    }
    s->cancelled = world_now(call->world);
    if (strcmp(call_text(call, "cancel"), "Now") == 0)
        s->status = "cancelled";
    call_no_content(call);
}

static const char *event_of(const cJSON *item)
{
    return cJSON_GetStringValue(
        cJSON_IsString(item) ? item : cJSON_GetObjectItemCaseSensitive(item, "event"));
}

/* The constant behind the name, or NULL. */
static const char *known_event(const char *name)
{
    for (const char *const *p = hook_events; *p; p++)
        if (strcmp(*p, name) == 0)
            return *p;
    return NULL;
}

static void check_webhook(struct call *call, const struct webhook *self)
{
    const char *name = call_text(call, "name"), *url = self ? NULL : call_text(call, "url");
    for (size_t i = 0; i < call->world->webhooks.count; i++) {
        const struct webhook *hook = rows_at(&call->world->webhooks, i);
        if (hook == self || hook->row.gone)
            continue;
        if (name && strcmp(hook->name, name) == 0)
            violation(&call->violations, "name", CODE_NOT_UNIQUE, "This value is already used.");
        if (url && strcmp(hook->url, url) == 0)
            violation(&call->violations, "url", CODE_NOT_UNIQUE, "This value is already used.");
    }
    if (url && *url && strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        violation(&call->violations, "url", CODE_PATTERN, "This value is not a valid URL.");

    const cJSON *item, *events = call_member(call, "subscriptions");
    unsigned seen = 0;
    bool bad = events && cJSON_GetArraySize(events) == 0;
    cJSON_ArrayForEach(item, events)
    {
        unsigned bit = 0;
        for (unsigned i = 0; hook_events[i]; i++)
            bit |= strcmp(hook_events[i], event_of(item)) == 0 ? 1U << i : 0;
        bad |= !bit || (seen & bit);
        seen |= bit;
    }
    if (bad)
        violation(&call->violations, "subscriptions", CODE_NO_CHOICE, "This value is not valid.");
}

static void set_events(struct call *call, struct webhook *hook)
{
    const cJSON *item, *events = call_member(call, "subscriptions");
    if (!events)
        return;
    webhook_clear_events(hook);
    cJSON_ArrayForEach(item, events)
    {
        const char *event = known_event(event_of(item));
        assert(event); /* check_webhook() */
        const cJSON *version = cJSON_GetObjectItemCaseSensitive(item, "schemaVersion");
        int64_t plain = strncmp(event, "SALE_", 5) == 0 && cJSON_IsString(item) ? 2 : 1;
        webhook_add_event(call->world, hook, event,
                          version ? (int64_t)version->valuedouble : plain);
    }
}

static void answer_webhook(struct call *call, int status, const struct webhook *hook)
{
    response_begin(call->res, status, "application/json");
    webhook_render(hook, &call->res->body);
}

void run_webhook_create(struct call *call)
{
    struct world *w = call->world;
    check_webhook(call, NULL);
    if (call_refused(call))
        return;
    if (rows_live(&w->webhooks) >= (size_t)w->settings->max_webhooks) {
        problem(call->res, 422, "You have reached the limit of webhooks.");
        return;
    }
    struct webhook *hook = webhook_add(w, call_text(call, "name"), call_text(call, "url"),
                                       !cJSON_IsFalse(call_member(call, "active")));
    set_events(call, hook);
    answer_webhook(call, 201, hook);
}

void run_webhook_get(struct call *call)
{
    answer_webhook(call, 200, call->row);
}

void run_webhook_patch(struct call *call)
{
    struct webhook *hook = call->row;
    check_webhook(call, hook);
    if (call_refused(call))
        return;
    const char *name = call_text(call, "name");
    const cJSON *active = call_member(call, "active");
    if (name)
        webhook_rename(hook, name);
    if (active)
        hook->active = cJSON_IsTrue(active);
    set_events(call, hook);
    answer_webhook(call, 200, hook);
}
