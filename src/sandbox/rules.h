/*
 * sandbox/rules: what the API accepts in a body and in a query, as tables.
 *
 * A body passes twice: rules_types() finds what is a 400 (a wrong JSON type), before the record is
 * looked up; rules_values() finds what is a 422, after it. Business rules that need the world
 * (already used, unknown tag) are the operations' own and add to the same violations.
 *
 * Layer: over text and message; knows the lists of names.c and no record.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

enum member_kind {
    MEMBER_STRING,
    MEMBER_INT,
    MEMBER_BOOL,
    MEMBER_INTS,   /* an array of integers */
    MEMBER_PAIRS,  /* an array of {"slug":"..","value":".."|null} */
    MEMBER_EVENTS, /* an array of event names or {"event":"..","schemaVersion":N} */
};

struct member {
    const char *name; /* NULL ends a table */
    enum member_kind kind;
    bool required, nullable, not_blank;
    size_t max;                 /* characters; 0: no limit */
    const char *const *choices; /* or NULL */
};

/* Parses a body that must be a JSON object. NULL after a 400 was written to `res`. */
cJSON *rules_parse(const struct request *req, struct response *res);
/* False after a 400 was written. */
bool rules_types(const cJSON *body, const struct member *members, struct response *res);
void rules_values(const cJSON *body, const struct member *members, bool refuse_unknown,
                  struct violations *v);
/* Format only: something, '@', a domain with a dot; at most 180 characters. */
bool rules_email(const char *email);
/* True where the domain of `email` is in the comma separated list (which may be NULL). */
bool rules_domain_listed(const char *email, const char *domains);
/* `^(\w+)$`: letters, digits and underscore of any script. */
bool rules_slug(const char *slug);

#define FILTER_TAGS 32

/* A query as read: -1 and NULL mean "not given". */
struct filter {
    int64_t limit, starting_after;
    bool ascending;
    const char *email, *query;
    int64_t tags[FILTER_TAGS];
    size_t tag_count;
    int bounced, unsubscribed, needs_confirmation, active; /* -1, 0, 1 */
    int64_t registered_before, registered_after;           /* Unix seconds */
    int64_t contact, course, community;
};

enum param_kind {
    PARAM_LIMIT,
    PARAM_CURSOR,
    PARAM_ORDER,
    PARAM_ID,
    PARAM_ID_REQUIRED,
    PARAM_IDS,
    PARAM_BOOL,
    PARAM_TIME,
    PARAM_EMAIL,
    PARAM_TEXT,
};

struct param_rule {
    const char *name; /* NULL ends a table */
    enum param_kind kind;
    size_t offset; /* in struct filter */
};

/* Reads the parameters that `rules` names and ignores all others, as the API does. */
void rules_query(const struct request *req, const struct param_rule *rules, int64_t page_size,
                 struct filter *ret, struct violations *v);
