/*
 * world: the driver below the tree, over a small account in memory and a clock moved by hand.
 *
 * The stack is the real one (net, api, store); the transport is the scripted one, whose responder
 * is a well-behaved little server over tables of records: listings with limit, startingAfter,
 * order and filters, single records, 404; and what changes them, as the API does it: merge patches
 * with fields by their slugs, tags one by one, memberships that come later, 422 for what is used
 * already. What it knows is changed by world_put() and world_remove(), at any moment. A test that
 * wants a server that lies says so with scripted_expect() on w.server, or with the knobs below.
 * Drafts and trash are on a disk in memory (w.disk).
 *
 *     struct world w;
 *     world_init(&w, &(struct world_options){.ttl_ms = 60000});
 *     world_put(&w, RES_TAG, "{\"id\":1,\"name\":\"a\"}");
 *     assert_int_equal(world_record(&w, RES_TAG, "1"), 0);   // runs the op to its end
 *     assert_string_equal(w.text, "{\"id\":1,\"name\":\"a\"}");
 *     assert_int_equal(world_requests(&w), 1);
 *     world_finish(&w);
 *
 * Or step by step: run_begin() starts an operation whose handler is a function of the test,
 * world_turn() lets happen what happens now, world_run() moves the clock until it has ended.
 *
 * Layer: tests. Links store and below.
 */
#pragma once

#include "disk_memory.h"
#include "scripted.h"
#include "systemefs/base/log.h"
#include "systemefs/store/save.h"
#include "systemefs/store/store.h"

#define WORLD_API_URL    "https://api.test"
#define WORLD_CTRL_URL   "https://ctrl.test"
#define WORLD_TIMEOUT_MS 30000
#define WORLD_WALL_NS    (INT64_C(1767225600) * 1000000000) /* 2026-01-01T00:00:00Z */

struct world_options {
    int64_t ttl_ms;
    bool gateway;
    unsigned jobs; /* 0: 8 */
    net_observer_fn *observer;
    void *observer_data;
    void (*changed)(void *data, enum resource res, uint64_t key);
    void (*gone)(void *data, enum resource res, uint64_t key);
    void (*replacing)(void *data, enum resource res, const struct record *rec);
    void (*evicting)(void *data, enum resource res, const struct record *rec);
    void *data; /* of all four */
    uint64_t cache_size;
    bool no_disk;
    bool dry_run;
    const char *access_type; /* NULL: "full_access" */
};

/* One record of the account. */
struct world_row {
    char id[RESOURCE_ID_TEXT_MAX + 1];
    uint64_t number; /* of a numeric id */
    int64_t from_ms; /* listed from then on */
    char *text;
};

struct world_table {
    struct world_row *rows; /* numeric ids: highest first; others: as they were put */
    size_t count, cap;
};

struct world {
    struct clock_manual clock;
    struct scripted server;
    struct net *net;
    struct api *api;
    struct disk_memory disk;
    struct shelf *shelf;
    struct store *store;

    /* the account, and how its server behaves */
    struct world_table tables[RES_COUNT];
    int64_t delay_ms; /* of every answer */
    int status;       /* not 0: every answer is that, with `body` */
    const char *body;
    enum net_failure failure;   /* not NET_OK: every exchange fails so */
    const char *const *headers; /* of every answer; NULL: none */
    bool ignores_order;         /* order=asc has no effect */
    /* What it answers to a cursor that is nobody's id: as to any; nothing; the first page; what
     * comes some records further down. */
    enum { CURSOR_ANY, CURSOR_EMPTY, CURSOR_FIRST, CURSOR_SKIPS } strange_cursor;
    uint64_t strange_below;    /* only to such a cursor below this; 0: to all */
    size_t page_max;           /* records of a page at most; 0: as asked */
    unsigned lose;             /* so many changes are carried out, and their answers lost */
    int64_t later_ms;          /* until a new membership is listed */
    void (*watch)(void *data); /* called when a change has come, before it is carried out */
    void *watch_data;

    /* of the operation that world_record() and the like ran last */
    char *text;
    bool stale;
    struct api_failure failure_seen;
    uint64_t key;

    /* private */
    char *answer; /* the responder's last one */
    char *asked;
    size_t looked; /* requests that world_asked() has told */
    unsigned made; /* records by the server */
};

void world_init(struct world *w, const struct world_options *options);
/* Fails the test when an expectation was not used. */
void world_finish(struct world *w);

/* Adds or replaces a record; its id is in it. */
void world_put(struct world *w, enum resource res, const char *text);
void world_putf(struct world *w, enum resource res, const char *fmt, ...) PRINTF_LIKE(3, 4);
void world_remove(struct world *w, enum resource res, const char *id);
/* Contacts, tags, ... `first` to `last` of a numeric resource, each with a name of its own. */
void world_fill(struct world *w, enum resource res, uint64_t first, uint64_t last);

size_t world_requests(const struct world *w);
/* The requests since the last look, one a line: "PATCH /api/contacts/5 {"locale":"fr"}". Valid
 * until the next call. world_sent() leaves out those that only read. */
const char *world_asked(struct world *w);
const char *world_sent(struct world *w);
/* What a test program that makes bad saves does not want to read: the log. */
void world_no_log(void *data, enum log_level level, const char *module, const char *line);
/* Whatever the loop would do now, without moving the clock. Returns whether anything happened. */
bool world_turn(struct world *w);
void world_advance(struct world *w, int64_t ms);

/* An operation of a test. */
struct run {
    struct op op;
    struct world *w;
    int (*handler)(struct run *run); /* what a handler is to the store */
    void *arg;
    int result;
    unsigned runs, ends;
    int64_t began_ms, ended_ms;

    /* arguments and results of the handlers below */
    enum resource res;
    uint64_t key;
    struct listing *listing;
    const char *name;
    const struct save_order *order;
    struct save *job; /* of run_save(); a reference */
    char *text;
    bool stale;
};
/* Runs the handler for the first time. The struct must be zeroed but for what the test sets. */
void run_begin(struct world *w, struct run *run, int (*handler)(struct run *run));
/* Moves the clock from event to event until it has ended. Returns its result. */
int world_run(struct world *w, struct run *run);
void run_finish(struct run *run);

/* Handlers: store_record(), store_record_in(), store_walk_whole(), store_find(), and a save from
 * its beginning to its end. */
int run_save(struct run *run);
int run_record(struct run *run);
int run_stat(struct run *run); /* store_stat() */
int run_record_in(struct run *run);
int run_whole(struct run *run);
int run_find(struct run *run);

/* The same, begun and run to the end. Text, staleness, key and failure are in `w` afterwards. */
int world_record(struct world *w, enum resource res, const char *id);
int world_stat(struct world *w, enum resource res, const char *id);
int world_record_in(struct world *w, struct listing *l, enum resource res, const char *id);
/* The ids in order, separated by blanks, are in w->text. */
int world_list(struct world *w, enum resource res, struct listing *l);
int world_find(struct world *w, enum resource res, const char *name);
/* The key of what was made is in w->key. */
int world_save(struct world *w, const struct save_order *order);
struct listing *world_home(struct world *w, enum resource res);
/* The part of `res` that belongs to a record of `by`. */
struct listing *world_part(struct world *w, enum resource res, enum resource by, const char *id);

/* world.c and world_server.c only. */
void world_respond(void *data, const struct scripted_request *request,
                   struct scripted_answer *answer);
void world_account_finish(struct world *w);
