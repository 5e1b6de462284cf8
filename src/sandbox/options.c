#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "text.h"

enum option_kind {
    OPTION_HEADING,
    OPTION_FLAG,
    OPTION_NUMBER,
    OPTION_TEXT,
    OPTION_CHOICE,  /* one of `choices`; stored as the number beside it */
    OPTION_LATENCY, /* MS or MIN-MAX */
    OPTION_QUOTA,
};

struct choice {
    const char *name;
    int value;
};

struct option_row {
    enum option_kind kind;
    const char *name;
    const char *arg; /* as --help shows it */
    size_t offset;   /* in struct settings */
    int64_t min, max;
    const struct choice *choices; /* ends in a NULL name */
    const char *help;
};

static const struct choice refill_choices[] = {{"unix", REFILL_UNIX},
                                               {"ms", REFILL_MS},
                                               {"seconds", REFILL_SECONDS},
                                               {"date", REFILL_DATE},
                                               {NULL, 0}};
static const struct choice parent_choices[] = {{"404", 404}, {"422", 422}, {NULL, 0}};
static const struct choice absent_choices[] = {{"404", 404}, {"204", 204}, {NULL, 0}};
static const struct choice repeat_choices[] = {{"422", 422}, {"201", 201}, {NULL, 0}};
static const struct choice builtin_choices[] = {{"422", 422}, {"204", 204}, {NULL, 0}};

/* The world's caps: past them the start would take more memory than a laptop spares. */
#define CONTACTS_MAX  20000000
#define ROWS_MAX      20000000
#define FIELDS_MAX    200
#define PADDING_MAX   65536
#define LATENCY_MAX   600000
#define CATALOGUE_MAX 100000

#define AT(member) offsetof(struct settings, member)
#define HEADING(text)                                                                              \
    {                                                                                              \
        .kind = OPTION_HEADING, .help = text                                                       \
    }
#define FLAG(n, m, h)                                                                              \
    {                                                                                              \
        .kind = OPTION_FLAG, .name = n, .offset = AT(m), .help = h                                 \
    }
#define NUMBER(n, a, m, lo, hi, h)                                                                 \
    {                                                                                              \
        .kind = OPTION_NUMBER, .name = n, .arg = a, .offset = AT(m), .min = lo, .max = hi,         \
        .help = h                                                                                  \
    }
#define TEXT(n, a, m, h)                                                                           \
    {                                                                                              \
        .kind = OPTION_TEXT, .name = n, .arg = a, .offset = AT(m), .help = h                       \
    }
#define CHOICE(n, a, m, c, h)                                                                      \
    {                                                                                              \
        .kind = OPTION_CHOICE, .name = n, .arg = a, .offset = AT(m), .choices = c, .help = h       \
    }

static const struct option_row rows[] = {
    HEADING("Server"),
    TEXT("listen", "HOST:PORT", listen, "where to listen (127.0.0.1:0; port 0: any free one)"),
    FLAG("insecure-listen", insecure_listen, "allow a HOST that is not loopback"),
    TEXT("key", "KEY", key, "the key that X-API-Key must carry (sandbox-key)"),
    TEXT("gateway-key", "KEY", gateway_key, "the gateway's Bearer key (sandbox-gateway-key)"),
    {.kind = OPTION_LATENCY,
     .name = "latency",
     .arg = "MS|MIN-MAX",
     .help = "delay every answer (0)"},
    {.kind = OPTION_QUOTA,
     .name = "quota",
     .arg = "N/SECONDS|off",
     .help = "requests a window, refilled on the window's edge (100000/60; /SECONDS left out: 60)"},
    CHOICE("quota-format", "unix|ms|seconds|date", quota_format, refill_choices,
           "form of X-RateLimit-Refill (unix)"),
    NUMBER("gateway-rate", "N", gateway_rate, 0, 1000000,
           "gateway's requests a second (0: no limit)"),
    FLAG("gzip", gzip, "compress answers for clients that accept it"),
    TEXT("faults", "FILE", faults, "rules for trouble, a JSON list"),
    NUMBER("threads", "N", threads, 1, 64, "worker threads (2)"),
    NUMBER("ready-fd", "N", ready_fd, 0, 65535,
           "write \"url key gateway-key\" there when listening"),
    FLAG("die-with-parent", die_with_parent, "end when the process that started this one ends"),
    FLAG("verbose", verbose, "one line a request on stderr"),
    FLAG("help", help, "this text"),
    FLAG("version", version, "the version"),

    HEADING("The world"),
    NUMBER("seed", "N", seed, 0, INT64_MAX, "same seed and sizes, same world (1)"),
    NUMBER("contacts", "N", contacts, 0, CONTACTS_MAX, "contacts of the account (500)"),
    NUMBER("id-gap", "N", id_gap, 1, 1000000, "largest ordinary gap between two ids (40)"),
    NUMBER("fields-per-contact", "N", fields, 0, FIELDS_MAX, "contact fields of the account (7)"),
    NUMBER("padding", "BYTES", padding, 0, PADDING_MAX, "a `notes` field of so many bytes (0)"),
    NUMBER("tags", "N", tags, 0, CATALOGUE_MAX, "tags of the account (40)"),
    NUMBER("courses", "N", courses, 0, CATALOGUE_MAX, "courses; two share a name (10)"),
    NUMBER("enrollments", "N", enrollments, 0, ROWS_MAX,
           "(two fifths of the contacts, at most 20000)"),
    NUMBER("communities", "N", communities, 0, CATALOGUE_MAX, "communities (5)"),
    NUMBER("memberships", "N", memberships, 0, ROWS_MAX,
           "(a fifth of the contacts, at most 20000)"),
    NUMBER("subscriptions", "N", subscriptions, 0, ROWS_MAX,
           "(a tenth of the contacts, at most 20000)"),
    NUMBER("webhooks", "N", webhooks, 0, 1000, "webhooks (3)"),
    NUMBER("connections", "N", connections, 0, 1000, "ACTIVE connections of the gateway (1)"),
    FLAG("nasty-names", nasty_names,
         "also names like \"..\", with line feeds, of 300 bytes, empty"),

    HEADING("What the API's documentation leaves open"),
    FLAG("filled-fields", filled_fields, "a contact shows only fields that have a value"),
    NUMBER("page-size", "N", page_size, 10, 100, "page size without `limit` (10)"),
    FLAG("order-ignored", order_ignored, "contacts always come newest first"),
    NUMBER("deleted-linger", "SECONDS", deleted_linger_s, 0, 86400,
           "lists keep a deleted contact for so long (0)"),
    FLAG("inherit-deleted", inherit_deleted,
         "a new contact with a deleted one's address takes over its fields and tags"),
    NUMBER("membership-delay", "MS", membership_delay_ms, 0, LATENCY_MAX,
           "a new membership appears so much later (1000)"),
    CHOICE("unknown-parent", "404|422", unknown_parent, parent_choices,
           "tagging, enrolling, joining, cancelling for an unknown parent (404)"),
    CHOICE("absent-tag", "404|204", absent_tag, absent_choices,
           "removing a tag that the contact does not have (404)"),
    CHOICE("repeated-join", "422|201", repeated_join, repeat_choices,
           "enrolling or joining twice (422; 201: same record again)"),
    FLAG("accept-plain-patch", accept_plain_patch, "PATCH may come as application/json (else 415)"),
    FLAG("refuse-unknown", refuse_unknown, "unknown members in bodies are a 422 (else ignored)"),
    TEXT("reject-domains", "A,B", reject_domains, "mail domains that are refused (none)"),
    FLAG("no-payments", no_payments, "listing subscriptions is a 404"),
    FLAG("all-subscriptions", all_subscriptions, "subscriptions can be listed without a contact"),
    CHOICE("builtin-delete", "422|204", builtin_delete, builtin_choices,
           "deleting a built-in contact field (422)"),
    NUMBER("max-tags", "N", max_tags, 0, CATALOGUE_MAX,
           "the plan's tags; one more is a 422 \"upgrade your plan\" (0: no limit)"),
    NUMBER("max-webhooks", "N", max_webhooks, 0, 1000, "webhooks of the account (10)"),
};

static const struct settings defaults = {
    .listen = (char *)"127.0.0.1:0",
    .key = (char *)"sandbox-key",
    .gateway_key = (char *)"sandbox-gateway-key",
    .quota_limit = 100000,
    .quota_seconds = 60,
    .threads = 2,
    .ready_fd = -1,
    .seed = 1,
    .contacts = 500,
    .id_gap = 40,
    .fields = 7,
    .tags = 40,
    .courses = 10,
    .enrollments = -1,
    .communities = 5,
    .memberships = -1,
    .subscriptions = -1,
    .webhooks = 3,
    .connections = 1,
    .page_size = 10,
    .membership_delay_ms = 1000,
    .max_webhooks = 10,
    .unknown_parent = 404,
    .absent_tag = 404,
    .repeated_join = 422,
    .builtin_delete = 422,
};

bool settings_parse_quota(const char *text, int64_t *ret_limit, int64_t *ret_seconds)
{
    if (strcmp(text, "off") == 0) {
        *ret_limit = 0;
        *ret_seconds = 60;
        return true;
    }
    char number[24];
    size_t len = strcspn(text, "/");
    if (len >= sizeof(number))
        return false;
    memcpy(number, text, len);
    number[len] = '\0';
    int64_t limit, seconds = 60;
    if (!text_parse_int(number, &limit) || limit < 1)
        return false;
    if (text[len] && (!text_parse_int(text + len + 1, &seconds) || seconds < 1))
        return false;
    *ret_limit = limit;
    *ret_seconds = seconds;
    return true;
}

static bool parse_latency(struct settings *s, const char *text)
{
    char low[24];
    const char *dash = strchr(text, '-');
    size_t len = dash ? (size_t)(dash - text) : strlen(text);
    if (len >= sizeof(low))
        return false;
    memcpy(low, text, len);
    low[len] = '\0';
    if (!text_parse_int(low, &s->latency_min_ms))
        return false;
    s->latency_max_ms = s->latency_min_ms;
    if (dash && !text_parse_int(dash + 1, &s->latency_max_ms))
        return false;
    return s->latency_min_ms >= 0 && s->latency_max_ms >= s->latency_min_ms &&
           s->latency_max_ms <= LATENCY_MAX;
}

static int refuse(const struct option_row *row, const char *value)
{
    if (row->kind == OPTION_NUMBER)
        fprintf(stderr, "systemefs-sandbox: --%s: '%s' is not a number from %lld to %lld\n",
                row->name, value, (long long)row->min, (long long)row->max);
    else
        fprintf(stderr, "systemefs-sandbox: --%s: '%s' is not %s\n", row->name, value, row->arg);
    return -EINVAL;
}

static int apply(struct settings *s, const struct option_row *row, char *value)
{
    void *field = (char *)s + row->offset;
    int64_t number;
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return 0;
    case OPTION_TEXT:
        if (!*value)
            return refuse(row, value);
        *(char **)field = value;
        return 0;
    case OPTION_NUMBER:
        if (!text_parse_int(value, &number) || number < row->min || number > row->max)
            return refuse(row, value);
        *(int64_t *)field = number;
        return 0;
    case OPTION_CHOICE:
        for (const struct choice *c = row->choices; c->name; c++)
            if (strcmp(c->name, value) == 0) {
                *(int *)field = c->value;
                return 0;
            }
        return refuse(row, value);
    case OPTION_LATENCY:
        return parse_latency(s, value) ? 0 : refuse(row, value);
    case OPTION_QUOTA:
        return settings_parse_quota(value, &s->quota_limit, &s->quota_seconds) ? 0
                                                                               : refuse(row, value);
    case OPTION_HEADING:
        break;
    }
    return -EINVAL;
}

static const struct option_row *find_row(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].name && strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
            return &rows[i];
    return NULL;
}

/* Where a size was not given it follows the number of contacts. */
static int64_t share(int64_t given, int64_t contacts, int64_t divisor)
{
    return given >= 0 ? given : MIN(contacts / divisor, 20000);
}

int settings_parse(struct settings *s, int argc, char **argv)
{
    *s = defaults;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strncmp(name, "--", 2) != 0 || !name[2]) {
            fprintf(stderr, "systemefs-sandbox: unexpected argument '%s' (see --help)\n", name);
            return -EINVAL;
        }
        name += 2;
        size_t len = strcspn(name, "=");
        const struct option_row *row = find_row(name, len);
        if (!row) {
            fprintf(stderr, "systemefs-sandbox: unknown option '--%.*s' (see --help)\n", (int)len,
                    name);
            return -EINVAL;
        }
        bool given = name[len];
        char *value = argv[i] + 2 + len + given;
        if (row->kind == OPTION_FLAG && given) {
            fprintf(stderr, "systemefs-sandbox: --%s takes no value\n", row->name);
            return -EINVAL;
        }
        if (row->kind != OPTION_FLAG && !given) {
            if (++i == argc) {
                fprintf(stderr, "systemefs-sandbox: --%s needs a value (%s)\n", row->name,
                        row->arg);
                return -EINVAL;
            }
            value = argv[i];
        }
        int r = apply(s, row, value);
        if (r < 0)
            return r;
    }
    if (s->enrollments < 0)
        s->enrollments = MIN(s->contacts * 2 / 5, 20000);
    s->memberships = share(s->memberships, s->contacts, 5);
    s->subscriptions = share(s->subscriptions, s->contacts, 10);
    return 0;
}

void settings_print_help(void)
{
    printf("systemefs-sandbox: a local stand-in for the Systeme.io API and the Maton gateway\n"
           "usage: systemefs-sandbox [options]\n");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].kind == OPTION_HEADING) {
            printf("\n%s:\n", rows[i].help);
            continue;
        }
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].arg ? " " : "",
                 rows[i].arg ? rows[i].arg : "");
        printf("  %-36s %s\n", left, rows[i].help);
    }
    printf(
        "\nIt prints its URL and keys, answers until SIGTERM or SIGINT, and forgets everything.\n"
        "Steer it under /_sandbox/ (see the man page).\n");
}
