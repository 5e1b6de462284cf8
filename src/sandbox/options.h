/*
 * sandbox/options: one table that reads the command line and prints --help.
 *
 * Every question that the public material about the API leaves open is a switch here, with the
 * likeliest answer as its default, so that a client can be tested against both.
 *
 * Memory: the texts in `struct settings` point into argv or are constants; settings_finish()
 * frees what was allocated. Errors: a message on stderr and a negative errno; main() turns
 * -EINVAL into exit code 2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum refill_format {
    REFILL_UNIX,    /* a Unix time in seconds */
    REFILL_MS,      /* a Unix time in milliseconds */
    REFILL_SECONDS, /* seconds to wait */
    REFILL_DATE,    /* RFC 3339 */
};

struct settings {
    /* server */
    char *listen; /* HOST:PORT */
    bool insecure_listen;
    char *key, *gateway_key;
    int64_t latency_min_ms, latency_max_ms;
    char *faults;                       /* file, or NULL */
    int64_t quota_limit, quota_seconds; /* limit 0: no quota, no headers */
    int quota_format;                   /* enum refill_format */
    int64_t gateway_rate;               /* requests a second; 0: no limit */
    int64_t threads;
    int64_t ready_fd; /* -1: none */
    bool die_with_parent, verbose, gzip;

    /* the world; -1: made from the number of contacts */
    int64_t seed, contacts, id_gap, fields, padding, tags, courses, enrollments, communities,
        memberships, subscriptions, webhooks, connections;
    bool nasty_names;

    /* what the public material leaves open */
    bool filled_fields, order_ignored, inherit_deleted, accept_plain_patch, refuse_unknown,
        no_payments, all_subscriptions;
    int64_t page_size, deleted_linger_s, membership_delay_ms, max_tags, max_webhooks;
    int unknown_parent;   /* 404 or 422 */
    int absent_tag;       /* 404 or 204 */
    int repeated_join;    /* 422 or 201 */
    int builtin_delete;   /* 422 or 204 */
    char *reject_domains; /* a,b,c or NULL */

    bool help, version;
};

/* Fills `s` from defaults and the command line. 0, or -EINVAL after a message. */
int settings_parse(struct settings *s, int argc, char **argv);
void settings_print_help(void);
/* "N", "N/SECONDS" or "off". Also for the control endpoint. */
bool settings_parse_quota(const char *text, int64_t *ret_limit, int64_t *ret_seconds);
