#include "faults.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "text.h"

#define FILE_MAX (4 << 20) /* bytes of a script */

struct fault_rule {
    enum fault_kind kind;
    char *method, *path, *query; /* NULL: any */
    int64_t first, last, times;  /* occurrences; times -1: no limit */
    int64_t seen, fired;
    cJSON *rule;
};

/* Which member an action cannot do without. */
static const struct {
    const char *name;
    enum fault_kind kind;
    const char *needs;
    bool executes;
} actions[] = {
    {"latency", FAULT_LATENCY, "latency", true},
    {"status", FAULT_STATUS, "status", false},
    {"body", FAULT_BODY, "body", false},
    {"redirect", FAULT_REDIRECT, "url", false},
    {"echo_key", FAULT_ECHO_KEY, NULL, false},
    {"empty_more", FAULT_EMPTY_MORE, NULL, false},
    {"no_items", FAULT_NO_ITEMS, NULL, false},
    {"huge", FAULT_HUGE, "bytes", false},
    {"hang", FAULT_HANG, NULL, false},
    {"close", FAULT_CLOSE, NULL, false},
    {"close_mid", FAULT_CLOSE_MID, NULL, true},
    {"lost", FAULT_LOST, NULL, true},
    {"has_more_forever", FAULT_HAS_MORE_FOREVER, NULL, true},
    {"wrong_ids", FAULT_WRONG_IDS, NULL, true},
    {"garbage_utf8", FAULT_GARBAGE_UTF8, NULL, true},
};

/* Everything a rule may say; another word is a mistake in the script. */
static const struct {
    const char *name;
    int types; /* of cJSON */
} rule_members[] = {
    {"method", cJSON_String},
    {"path", cJSON_String},
    {"query", cJSON_String},
    {"occurrence", cJSON_Number | cJSON_String},
    {"times", cJSON_Number},
    {"latency", cJSON_Number},
    {"action", cJSON_String},
    {"status", cJSON_Number},
    {"body", cJSON_String | cJSON_Object | cJSON_Array},
    {"headers", cJSON_Object},
    {"content_type", cJSON_String},
    {"url", cJSON_String},
    {"bytes", cJSON_Number},
};

static const cJSON *member(const cJSON *rule, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(rule, name);
}

static const char *text_of(const cJSON *rule, const char *name)
{
    return cJSON_GetStringValue(member(rule, name));
}

static int64_t number_of(const cJSON *rule, const char *name, int64_t otherwise)
{
    const cJSON *item = member(rule, name);
    return cJSON_IsNumber(item) ? text_whole(item->valuedouble) : otherwise;
}

static int check_members(const cJSON *rule, char *why, size_t size)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, rule)
    {
        size_t i = 0;
        while (i < ARRAY_SIZE(rule_members) && strcmp(rule_members[i].name, item->string) != 0)
            i++;
        if (i == ARRAY_SIZE(rule_members)) {
            snprintf(why, size, "a rule has no member '%s'", item->string);
            return -EINVAL;
        }
        if (!(item->type & rule_members[i].types) ||
            (cJSON_IsNumber(item) && item->valuedouble < 0)) {
            snprintf(why, size, "'%s' has a wrong type or value", item->string);
            return -EINVAL;
        }
    }
    return 0;
}

static int read_action(const cJSON *rule, enum fault_kind *ret, char *why, size_t size)
{
    const char *name = text_of(rule, "action");
    if (!name)
        name = member(rule, "status") ? "status" : member(rule, "latency") ? "latency" : "";
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        if (actions[i].needs && !member(rule, actions[i].needs)) {
            snprintf(why, size, "action '%s' needs '%s'", name, actions[i].needs);
            return -EINVAL;
        }
        *ret = actions[i].kind;
        return 0;
    }
    snprintf(why, size, "'%s' is no action", name);
    return -EINVAL;
}

/* 2, "2-4" or "3-". */
static bool read_occurrence(const cJSON *rule, int64_t *ret_first, int64_t *ret_last)
{
    const cJSON *item = member(rule, "occurrence");
    *ret_first = 1;
    *ret_last = INT64_MAX;
    if (!item)
        return true;
    if (cJSON_IsNumber(item)) {
        *ret_first = *ret_last = text_whole(item->valuedouble);
        return *ret_first > 0;
    }
    char first[24];
    const char *text = item->valuestring, *dash = strchr(text, '-');
    if (!dash || dash - text >= (ptrdiff_t)sizeof(first))
        return false;
    memcpy(first, text, (size_t)(dash - text));
    first[dash - text] = '\0';
    return text_parse_int(first, ret_first) && *ret_first > 0 &&
           (!dash[1] || text_parse_int(dash + 1, ret_last)) && *ret_last >= *ret_first;
}

static char *dup_or_null(const char *s)
{
    return s ? must_dup(s) : NULL;
}

static int read_rule(const cJSON *item, struct fault_rule *ret, char *why, size_t size)
{
    if (!cJSON_IsObject(item)) {
        snprintf(why, size, "a rule must be an object");
        return -EINVAL;
    }
    struct fault_rule rule = {.times = number_of(item, "times", -1)};
    int r = check_members(item, why, size);
    if (r == 0)
        r = read_action(item, &rule.kind, why, size);
    if (r < 0)
        return r;
    int64_t status = number_of(item, "status", 200);
    if (status < 200 || status > 599) {
        snprintf(why, size, "'status' must be 200 to 599");
        return -EINVAL;
    }
    if (!read_occurrence(item, &rule.first, &rule.last)) {
        snprintf(why, size, "'occurrence' must be N, \"N-M\" or \"N-\"");
        return -EINVAL;
    }
    rule.method = dup_or_null(text_of(item, "method"));
    rule.path = dup_or_null(text_of(item, "path"));
    rule.query = dup_or_null(text_of(item, "query"));
    rule.rule = must(cJSON_Duplicate(item, true));
    *ret = rule;
    return 0;
}

static void rules_free(struct fault_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(rules[i].method);
        free(rules[i].path);
        free(rules[i].query);
        cJSON_Delete(rules[i].rule);
    }
    free(rules);
}

void faults_init(struct faults *f)
{
    *f = (struct faults){0};
    pthread_mutex_init(&f->lock, NULL);
}

void faults_finish(struct faults *f)
{
    rules_free(f->rules, f->count);
    pthread_mutex_destroy(&f->lock);
}

static void replace(struct faults *f, struct fault_rule *rules, size_t count)
{
    pthread_mutex_lock(&f->lock);
    struct fault_rule *old = f->rules;
    size_t old_count = f->count;
    f->rules = rules;
    f->count = count;
    pthread_mutex_unlock(&f->lock);
    rules_free(old, old_count);
}

int faults_set(struct faults *f, const cJSON *list, char *why, size_t why_size)
{
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > FAULTS_MAX) {
        snprintf(why, why_size, "faults are a list of at most %d rules", FAULTS_MAX);
        return -EINVAL;
    }
    size_t count = 0;
    struct fault_rule *rules = must(calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*rules)));
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        char text[200];
        if (read_rule(item, &rules[count], text, sizeof(text)) < 0) {
            snprintf(why, why_size, "rule %zu: %s", count + 1, text);
            rules_free(rules, count);
            return -EINVAL;
        }
        count++;
    }
    replace(f, rules, count);
    return 0;
}

int faults_load(struct faults *f, const char *file, char *why, size_t why_size)
{
    FILE *in = fopen(file, "re");
    if (!in) {
        int r = -errno;
        snprintf(why, why_size, "%s", strerror(-r));
        return r;
    }
    struct buf text;
    buf_init(&text, FILE_MAX);
    for (char *room; (room = buf_reserve(&text, 4096));) {
        size_t n = fread(room, 1, 4096, in);
        buf_commit(&text, n);
        if (n == 0)
            break;
    }
    fclose(in);
    cJSON *list = buf_error(&text) ? NULL : cJSON_ParseWithLength(text.data, text.len);
    int r = -EINVAL;
    if (list)
        r = faults_set(f, list, why, why_size);
    else
        snprintf(why, why_size, "not JSON");
    cJSON_Delete(list);
    buf_finish(&text);
    return r;
}

void faults_clear(struct faults *f)
{
    replace(f, NULL, 0);
}

static bool rule_fits(const struct fault_rule *rule, const struct request *req)
{
    return (!rule->method || strcmp(rule->method, req->method) == 0) &&
           (!rule->path || fnmatch(rule->path, req->path, 0) == 0) &&
           (!rule->query || fnmatch(rule->query, req->query, 0) == 0);
}

void faults_match(struct faults *f, const struct request *req, struct fault *ret)
{
    *ret = (struct fault){.kind = FAULT_NONE};
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->count; i++) {
        struct fault_rule *rule = &f->rules[i];
        if (!rule_fits(rule, req))
            continue;
        rule->seen++;
        if (ret->kind != FAULT_NONE || rule->seen < rule->first || rule->seen > rule->last ||
            (rule->times >= 0 && rule->fired >= rule->times))
            continue;
        rule->fired++;
        *ret = (struct fault){
            .kind = rule->kind,
            .latency_ms = number_of(rule->rule, "latency", 0),
            .bytes = number_of(rule->rule, "bytes", 0),
            .rule = must(cJSON_Duplicate(rule->rule, true)),
        };
    }
    pthread_mutex_unlock(&f->lock);
}

void fault_finish(struct fault *fault)
{
    cJSON_Delete(fault->rule);
    fault->rule = NULL;
}

bool fault_executes(const struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (actions[i].kind == fault->kind)
            return actions[i].executes;
    return true;
}
