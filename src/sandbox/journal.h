/*
 * sandbox/journal: what was asked: the last requests, and counts of all.
 *
 * A test asks the journal what a driver really sent. Keys are never kept, only which header
 * carried one. Safe to use from several threads.
 */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "systemefs/base/clock.h"

#define JOURNAL_ENTRIES  10000
#define JOURNAL_KINDS    64
#define JOURNAL_BODY_MAX 65536 /* bytes of a body that are kept */

struct journal_entry {
    int64_t number; /* from 1; 0: the slot is free */
    const char *method;
    char *path, *query, *content_type, *maton_connection, *accept_encoding, *body;
    const char *auth;
    bool gateway;
    int status; /* 0: not answered (yet) */
    int64_t at_ms, took_ms;
};

struct journal {
    const struct clock *clock;
    pthread_mutex_t lock;
    struct journal_entry entries[JOURNAL_ENTRIES];
    int64_t last; /* number of the newest entry */
    int64_t total, writes, by[JOURNAL_KINDS];
    int64_t concurrent, max_concurrent;
};

struct journal *journal_create(const struct clock *clock);
void journal_destroy(struct journal *j);
/* Notes a request that has been read; `kind` is counted. Returns its number. */
int64_t journal_begin(struct journal *j, const struct request *req, size_t kind);
/* Notes what was answered; 0 where nothing was. */
void journal_end(struct journal *j, int64_t number, int status);
void journal_reset(struct journal *j);
/* JSON for the control endpoint. `kind_name` writes the name of a counter. */
void journal_render(struct journal *j, struct buf *out);
void journal_render_counts(struct journal *j,
                           const char *(*kind_name)(size_t kind, char *out, size_t size),
                           struct buf *out);
