#include "rules.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "systemefs/base/macros.h"
#include "names.h"
#include "text.h"

#define EMAIL_CHARACTERS 180

static const char *type_name(const cJSON *value)
{
    if (cJSON_IsNumber(value))
        return value->valuedouble == floor(value->valuedouble) ? "int" : "float";
    return cJSON_IsString(value)  ? "string"
           : cJSON_IsBool(value)  ? "bool"
           : cJSON_IsArray(value) ? "array"
           : cJSON_IsNull(value)  ? "null"
                                  : "object";
}

static bool is_int(const cJSON *value)
{
    return cJSON_IsNumber(value) && fabs(value->valuedouble) < 9e15 &&
           value->valuedouble == floor(value->valuedouble);
}

cJSON *rules_parse(const struct request *req, struct response *res)
{
    const char *text = req->body.data ? req->body.data : "", *end = NULL;
    if (!text_utf8_valid(text, req->body.len)) {
        problem(res, 400, "Malformed UTF-8 characters, possibly incorrectly encoded");
        return NULL;
    }
    cJSON *body = cJSON_ParseWithLengthOpts(text, req->body.len + 1, &end, true);
    if (!body) {
        problem(res, 400, "Syntax error");
        return NULL;
    }
    if (!cJSON_IsObject(body)) {
        problem(res, 400, "The body must be a JSON object, \"%s\" given.", type_name(body));
        cJSON_Delete(body);
        return NULL;
    }
    return body;
}

static bool refuse_type(struct response *res, const char *path, const char *wanted,
                        const cJSON *value)
{
    problem(res, 400, "The type of the \"%s\" attribute must be \"%s\", \"%s\" given.", path,
            wanted, type_name(value));
    return false;
}

/* The elements of the three kinds of array. */
static bool element_types(const struct member *m, const cJSON *array, struct response *res)
{
    int index = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        char path[96];
        snprintf(path, sizeof(path), "%s[%d]", m->name, index++);
        const cJSON *slug = cJSON_GetObjectItemCaseSensitive(item, "slug");
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "value");
        const cJSON *event = cJSON_GetObjectItemCaseSensitive(item, "event");
        const cJSON *version = cJSON_GetObjectItemCaseSensitive(item, "schemaVersion");
        if (m->kind == MEMBER_INTS && !is_int(item))
            return refuse_type(res, path, "int", item);
        if (m->kind == MEMBER_EVENTS && !cJSON_IsString(item) &&
            (!cJSON_IsString(event) || (version && !is_int(version))))
            return refuse_type(res, path, "string", item);
        if (m->kind != MEMBER_PAIRS)
            continue;
        if (!cJSON_IsObject(item))
            return refuse_type(res, path, "object", item);
        if (slug && !cJSON_IsString(slug)) {
            strncat(path, ".slug", sizeof(path) - strlen(path) - 1);
            return refuse_type(res, path, "string", slug);
        }
        if (value && !cJSON_IsString(value) && !cJSON_IsNull(value)) {
            strncat(path, ".value", sizeof(path) - strlen(path) - 1);
            return refuse_type(res, path, "string", value);
        }
    }
    return true;
}

bool rules_types(const cJSON *body, const struct member *members, struct response *res)
{
    for (const struct member *m = members; m->name; m++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(body, m->name);
        if (!value || (cJSON_IsNull(value) && m->nullable))
            continue;
        switch (m->kind) {
        case MEMBER_STRING:
            if (!cJSON_IsString(value))
                return refuse_type(res, m->name, "string", value);
            break;
        case MEMBER_INT:
            if (!is_int(value))
                return refuse_type(res, m->name, "int", value);
            break;
        case MEMBER_BOOL:
            if (!cJSON_IsBool(value))
                return refuse_type(res, m->name, "bool", value);
            break;
        case MEMBER_INTS:
        case MEMBER_PAIRS:
        case MEMBER_EVENTS:
            if (!cJSON_IsArray(value))
                return refuse_type(res, m->name, "array", value);
            if (!element_types(m, value, res))
                return false;
            break;
        }
    }
    return true;
}

static const struct member *find_member(const struct member *members, const char *name)
{
    for (const struct member *m = members; m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

void rules_values(const cJSON *body, const struct member *members, bool refuse_unknown,
                  struct violations *v)
{
    for (const struct member *m = members; m->name; m++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(body, m->name);
        if (!value) {
            if (m->required)
                violation(v, m->name, m->kind == MEMBER_STRING ? CODE_BLANK : CODE_NULL,
                          m->kind == MEMBER_STRING ? "This value should not be blank."
                                                   : "This value should not be null.");
            continue;
        }
        if (!cJSON_IsString(value))
            continue;
        const char *text = value->valuestring;
        if (m->not_blank && !text[strspn(text, " \t\r\n")])
            violation(v, m->name, CODE_BLANK, "This value should not be blank.");
        if (m->max && text_characters(text) > m->max) {
            char message[96];
            snprintf(message, sizeof(message),
                     "This value is too long. It should have %zu characters or less.", m->max);
            violation(v, m->name, CODE_TOO_LONG, message);
        }
        if (m->choices && !names_contain(m->choices, text))
            violation(v, m->name, CODE_NO_CHOICE, "The value you selected is not a valid choice.");
    }
    if (!refuse_unknown)
        return;
    const cJSON *item;
    cJSON_ArrayForEach(item, body)
    {
        if (!find_member(members, item->string))
            violation(v, item->string, CODE_UNKNOWN_MEMBER, "This field was not expected.");
    }
}

bool rules_email(const char *email)
{
    const char *at = strrchr(email, '@');
    if (!at || at == email || text_characters(email) > EMAIL_CHARACTERS)
        return false;
    const char *domain = at + 1, *dot = strrchr(domain, '.');
    if (!dot || dot == domain || !dot[1] || domain[0] == '-' || strstr(domain, ".."))
        return false;
    bool quoted = email[0] == '"' && at - email > 2 && at[-1] == '"';
    for (const char *p = email; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f || (c == ' ' && !quoted))
            return false;
        if (p < at && !quoted && strchr("\"(),:;<>@[\\]", c))
            return false;
        if (p > at && c < 0x80 && !strchr("-.", c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
            !(c >= '0' && c <= '9'))
            return false;
    }
    return quoted || (email[0] != '.' && at[-1] != '.');
}

bool rules_domain_listed(const char *email, const char *domains)
{
    const char *domain = strrchr(email, '@');
    while (domain && domains && *domains) {
        size_t len = strcspn(domains, ",");
        if (len == strlen(domain + 1) && strncasecmp(domains, domain + 1, len) == 0)
            return true;
        domains += len + (domains[len] == ',');
    }
    return false;
}

bool rules_slug(const char *slug)
{
    for (const char *p = slug; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x80 && c != '_' && !(c >= '0' && c <= '9') &&
            !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
            return false;
    }
    return *slug != '\0';
}

static bool read_ids(const char *text, struct filter *f)
{
    while (*text) {
        char number[24];
        size_t len = strcspn(text, ",");
        if (len >= sizeof(number) || f->tag_count == FILTER_TAGS)
            return false;
        memcpy(number, text, len);
        number[len] = '\0';
        if (!text_parse_int(number, &f->tags[f->tag_count]) || f->tags[f->tag_count] < 1)
            return false;
        f->tag_count++;
        text += len + (text[len] == ',');
    }
    return f->tag_count > 0;
}

static bool read_bool(const char *text, int *ret)
{
    *ret = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return *ret || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

static void read_param(const struct param_rule *rule, const char *text, struct filter *f,
                       struct violations *v)
{
    void *field = (char *)f + rule->offset;
    int64_t number = 0;
    switch (rule->kind) {
    case PARAM_LIMIT:
        if (!text_parse_int(text, &number) || number < 10 || number > 100)
            violation(v, "pagination.limit", CODE_TOO_LOW,
                      "Wrong value of pagination limit parameter");
        f->limit = number;
        break;
    case PARAM_CURSOR:
        if (!text_parse_int(text, &number) || number < 1)
            violation(v, "pagination.startingAfter", CODE_TOO_LOW,
                      "This value should be positive.");
        f->starting_after = number;
        break;
    case PARAM_ORDER:
        f->ascending = strcmp(text, "asc") == 0;
        if (!f->ascending && strcmp(text, "desc") != 0)
            violation(v, "pagination.order", CODE_NO_CHOICE,
                      "The value you selected is not a valid choice.");
        break;
    case PARAM_ID:
    case PARAM_ID_REQUIRED:
        if (!text_parse_int(text, &number) || number < 1)
            violation(v, rule->name, CODE_TOO_LOW, "This value should be positive.");
        *(int64_t *)field = number;
        break;
    case PARAM_IDS:
        if (!read_ids(text, f))
            violation(v, rule->name, CODE_PATTERN, "This value is not valid.");
        break;
    case PARAM_BOOL:
        if (!read_bool(text, field))
            violation(v, rule->name, CODE_NO_CHOICE, "This value should be of type bool.");
        break;
    case PARAM_TIME:
        if (!text_parse_time(text, field))
            violation(v, rule->name, CODE_PATTERN, "This value is not a valid datetime.");
        break;
    case PARAM_EMAIL:
        if (!rules_email(text))
            violation(v, rule->name, CODE_BAD_EMAIL, "This value is not a valid email address.");
        *(const char **)field = text;
        break;
    case PARAM_TEXT:
        *(const char **)field = text;
        break;
    }
}

void rules_query(const struct request *req, const struct param_rule *rules, int64_t page_size,
                 struct filter *ret, struct violations *v)
{
    *ret = (struct filter){
        .limit = page_size,
        .bounced = -1,
        .unsubscribed = -1,
        .needs_confirmation = -1,
        .active = -1,
        .registered_before = -1,
        .registered_after = -1,
        .contact = -1,
        .course = -1,
        .community = -1,
    };
    for (const struct param_rule *rule = rules; rule->name; rule++) {
        const char *text = request_param(req, rule->name);
        if (text)
            read_param(rule, text, ret, v);
        else if (rule->kind == PARAM_ID_REQUIRED)
            violation(v, rule->name, CODE_NULL, "This value should not be null.");
    }
}
