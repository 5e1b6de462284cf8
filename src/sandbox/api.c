#include "api.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "systemefs/base/macros.h"
#include "operations.h"
#include "text.h"

struct operation {
    const char *method, *pattern;
    const struct member *members; /* NULL: takes no body */
    bool (*find)(struct call *call);
    void (*run)(struct call *call);
    const struct collection *collection; /* of a list */
};

/* clang-format off */
static const struct operation operations[] = {
    {"GET", "/api/contacts", NULL, NULL, run_list, &collection_contacts},
    {"POST", "/api/contacts", members_contact_create, NULL, run_contact_create, NULL},
    {"GET", "/api/contacts/{id}", NULL, find_contact, run_contact_get, NULL},
    {"PATCH", "/api/contacts/{id}", members_contact_patch, find_contact, run_contact_patch, NULL},
    {"DELETE", "/api/contacts/{id}", NULL, find_contact, run_contact_delete, NULL},
    {"POST", "/api/contacts/{id}/tags", members_tag_id, find_contact_parent, run_tag_assign, NULL},
    {"DELETE", "/api/contacts/{id}/tags/{tagId}", NULL, find_tag_of_contact, run_tag_unassign, NULL},
    {"GET", "/api/tags", NULL, NULL, run_list, &collection_tags},
    {"POST", "/api/tags", members_tag, NULL, run_tag_create, NULL},
    {"GET", "/api/tags/{id}", NULL, find_tag, run_tag_get, NULL},
    {"PUT", "/api/tags/{id}", members_tag, find_tag, run_tag_put, NULL},
    {"DELETE", "/api/tags/{id}", NULL, find_tag, run_row_delete, NULL},
    {"GET", "/api/contact_fields", NULL, NULL, run_list, &collection_fields},
    {"POST", "/api/contact_fields", members_field_create, NULL, run_field_create, NULL},
    {"PATCH", "/api/contact_fields/{slug}", members_field_patch, find_field, run_field_patch, NULL},
    {"DELETE", "/api/contact_fields/{slug}", NULL, find_field, run_field_delete, NULL},
    {"GET", "/api/school/courses", NULL, NULL, run_list, &collection_courses},
    {"POST", "/api/school/courses/{courseId}/enrollments", members_enroll, find_course, run_enroll, NULL},
    {"GET", "/api/school/enrollments", NULL, NULL, run_list, &collection_enrollments},
    {"DELETE", "/api/school/enrollments/{id}", NULL, find_enrollment, run_row_delete, NULL},
    {"GET", "/api/community/communities", NULL, NULL, run_list, &collection_communities},
    {"POST", "/api/community/communities/{communityId}/memberships", members_join, find_community, run_join, NULL},
    {"GET", "/api/community/memberships", NULL, NULL, run_list, &collection_memberships},
    {"DELETE", "/api/community/memberships/{id}", NULL, find_membership, run_row_delete, NULL},
    {"GET", "/api/payment/subscriptions", NULL, NULL, run_subscription_list, NULL},
    {"POST", "/api/payment/subscriptions/{id}/cancel", members_cancel, find_subscription, run_cancel, NULL},
    {"GET", "/api/webhooks", NULL, NULL, run_list, &collection_webhooks},
    {"POST", "/api/webhooks", members_webhook_create, NULL, run_webhook_create, NULL},
    {"GET", "/api/webhooks/{id}", NULL, find_webhook, run_webhook_get, NULL},
    {"PATCH", "/api/webhooks/{id}", members_webhook_patch, find_webhook, run_webhook_patch, NULL},
    {"DELETE", "/api/webhooks/{id}", NULL, find_webhook, run_row_delete, NULL},
};
/* clang-format on */
_Static_assert(ARRAY_SIZE(operations) == 31, "the core operations of the API");

/* Does the path fit the pattern? Fills what stood for {..}. */
static bool fits(const struct request *req, const char *pattern, const char *argument[2])
{
    size_t arguments = 0, at = 0;
    for (pattern++; at < req->segment_count && at < MESSAGE_SEGMENTS; at++) {
        size_t len = strcspn(pattern, "/");
        if (*pattern == '{') {
            if (!*req->segment[at])
                return false;
            argument[arguments++] = req->segment[at];
        } else if (strlen(req->segment[at]) != len || memcmp(req->segment[at], pattern, len) != 0) {
            return false;
        }
        if (!pattern[len])
            return at + 1 == req->segment_count;
        pattern += len + 1;
    }
    return false;
}

void api_route(const struct request *req, struct route *ret)
{
    *ret = (struct route){0};
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        const char *argument[2] = {NULL, NULL};
        if (!fits(req, operations[i].pattern, argument))
            continue;
        ret->path_known = true;
        if (strcmp(operations[i].method, req->method) != 0)
            continue;
        *ret = (struct route){
            .operation = &operations[i],
            .path_known = true,
            .argument = {argument[0], argument[1]},
        };
        return;
    }
}

size_t api_operation_count(void)
{
    return ARRAY_SIZE(operations);
}

size_t api_operation_number(const struct route *route)
{
    return route->operation ? (size_t)(route->operation - operations) : ARRAY_SIZE(operations);
}

const char *api_operation_name(size_t n, char *out, size_t size)
{
    if (n >= ARRAY_SIZE(operations))
        return NULL;
    snprintf(out, size, "%s %s", operations[n].method, operations[n].pattern);
    return out;
}

static void allow_header(const struct request *req, struct response *res)
{
    char allowed[64] = "";
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        const char *argument[2];
        if (!fits(req, operations[i].pattern, argument))
            continue;
        if (*allowed)
            strncat(allowed, ", ", sizeof(allowed) - strlen(allowed) - 1);
        strncat(allowed, operations[i].method, sizeof(allowed) - strlen(allowed) - 1);
    }
    response_header(res, "Allow", allowed);
}

static bool check_key(enum key_state key, struct response *res)
{
    if (key == KEY_MISSING)
        problem_short(res, 401, "Full authentication is required to access this resource.");
    if (key == KEY_WRONG) {
        problem_short(res, 401, "Invalid API Key.");
        response_header(res, "WWW-Authenticate", "API Key");
    }
    return key == KEY_GOOD;
}

static bool check_quota(struct api *api, struct response *res)
{
    int64_t wait;
    if (quota_take(&api->quota, res, &wait))
        return true;
    problem(res, 429, "Too many requests");
    response_header_int(res, "Retry-After", wait);
    return false;
}

static bool type_is(const char *header, const char *type)
{
    size_t len = strlen(type);
    return header && strncasecmp(header, type, len) == 0 &&
           (!header[len] || strchr("; \t", header[len]));
}

static bool check_type(const struct api *api, const struct request *req,
                       const struct operation *operation, struct response *res)
{
    if (!operation->members)
        return true;
    bool patch = strcmp(operation->method, "PATCH") == 0;
    const char *wanted = patch ? "application/merge-patch+json" : "application/json";
    if (type_is(req->content_type, wanted) || (patch && api->world->settings->accept_plain_patch &&
                                               type_is(req->content_type, "application/json")))
        return true;
    problem(res, 415, "The content-type \"%s\" is not supported. Supported MIME types are \"%s\".",
            req->content_type ? req->content_type : "", wanted);
    return false;
}

static void run(struct api *api, const struct operation *operation, struct call *call)
{
    bool read = strcmp(operation->method, "GET") == 0;
    if (read)
        pthread_rwlock_rdlock(&api->lock);
    else
        pthread_rwlock_wrlock(&api->lock);
    if (!operation->find || operation->find(call)) {
        if (operation->members)
            rules_values(call->body, operation->members, call->world->settings->refuse_unknown,
                         &call->violations);
        operation->run(call);
    }
    pthread_rwlock_unlock(&api->lock);
}

void api_answer(struct api *api, const struct request *req, const struct route *route,
                enum key_state key, struct response *res)
{
    const struct operation *operation = route->operation;
    if (!route->path_known) {
        problem(res, 404, "Not Found");
        return;
    }
    if (!operation) {
        problem(res, 405, "Method Not Allowed");
        allow_header(req, res);
        return;
    }
    if (!check_key(key, res) || !check_quota(api, res) || !check_type(api, req, operation, res))
        return;
    if (req->body_too_large) {
        problem(res, 413, "Payload Too Large");
        return;
    }

    cJSON *body = NULL;
    if (operation->members) {
        body = rules_parse(req, res);
        if (!body)
            return;
        if (!rules_types(body, operation->members, res)) {
            cJSON_Delete(body);
            return;
        }
    }
    struct call call = {
        .world = api->world,
        .req = req,
        .res = res,
        .argument = {route->argument[0], route->argument[1]},
        .collection = operation->collection,
        .body = body,
    };
    violations_init(&call.violations);
    run(api, operation, &call);
    violations_finish(&call.violations);
    cJSON_Delete(body);
}
