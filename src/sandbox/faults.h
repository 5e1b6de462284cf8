/*
 * sandbox/faults: scripted trouble.
 *
 * A list of rules, from a file or from the control endpoint. Each rule says which requests it is
 * for and what happens to them:
 *
 *   method      exact; left out: any
 *   path        a glob over the path without the gateway's prefix ('*' crosses '/')
 *   query       a glob over the query
 *   occurrence  the n-th matching request (2), or a range ("2-4", "3-"); left out: every one
 *   times       at most so often
 *   latency     milliseconds before the answer (an action of its own, or beside another)
 *   action      one of the table in faults.c; left out where `status` or `latency` says enough
 *
 * and what the action needs: status, body, headers, content_type, url, bytes. The first rule
 * whose turn it is wins; each rule counts every request that fits it.
 *
 * Safe to use from several threads: a match is a copy.
 */
#pragma once

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

#define FAULTS_MAX 1000 /* rules */

enum fault_kind {
    FAULT_NONE,
    FAULT_LATENCY,
    FAULT_STATUS,
    FAULT_BODY,
    FAULT_REDIRECT,
    FAULT_ECHO_KEY,
    FAULT_EMPTY_MORE,
    FAULT_NO_ITEMS,
    FAULT_HUGE,
    FAULT_HANG,
    FAULT_CLOSE,
    FAULT_CLOSE_MID,
    FAULT_LOST,
    FAULT_HAS_MORE_FOREVER,
    FAULT_WRONG_IDS,
    FAULT_GARBAGE_UTF8,
};

/* A rule's action, copied for one request. */
struct fault {
    enum fault_kind kind;
    int64_t latency_ms;
    int64_t bytes; /* FAULT_HUGE */
    cJSON *rule;   /* owned */
};

struct fault_rule;

struct faults {
    pthread_mutex_t lock;
    struct fault_rule *rules;
    size_t count;
};

void faults_init(struct faults *f);
void faults_finish(struct faults *f);
/* Replaces all rules. -EINVAL and a text in `why` leave them as they were. */
int faults_set(struct faults *f, const cJSON *list, char *why, size_t why_size);
int faults_load(struct faults *f, const char *file, char *why, size_t why_size);
void faults_clear(struct faults *f);
/* Which trouble this request is in for; kind FAULT_NONE for none. */
void faults_match(struct faults *f, const struct request *req, struct fault *ret);
void fault_finish(struct fault *fault);

/* True where the operation is carried out all the same. */
bool fault_executes(const struct fault *fault);
/* Changes the request before it is carried out. */
void fault_prepare(const struct fault *fault, struct request *req);
/* Answers in place of the operation. */
void fault_replace(const struct fault *fault, const struct request *req, struct response *res);
/* Changes the operation's answer. */
void fault_rewrite(const struct fault *fault, struct response *res);
