/*
 * sim: the whole driver below the FUSE session, with everything around it, from one seed.
 *
 *   main    seeds, options                   plan    a seed -> a world and a list of events
 *   run     the loop; the driver's life      shrink  the shortest list that still fails
 *   wire    requests on their way, weather   server  what is executed, and the history of it
 *   long    an account of thousands          kernel  dentries, attributes, what it is told
 *   pages   reading, the page cache          dirs    listing, the kernel's cache of names
 *   syscalls, fuse   what is made of a system call
 *   person  people as coroutines             looks, acts, relate   what they do
 *   check   what people may see              deeds   what they meant, and what became of it
 *   inspect the last look, at an account that has come to rest
 *   disk    the state directory
 *
 * The driver is the real one (net, api, store, tree, shelf); the account and its honest server are
 * those of the unit tests (world.h), the disk is disk_memory. Nothing here reads a clock, and
 * every draw is a function of the seed: the trace of a run has a hash, and two runs of a seed have
 * the same one.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <limits.h>

#include <cmocka.h>

#include <sys/types.h>

#include "systemefs/base/map.h"
#include "systemefs/tree/tree.h"
#include "world.h"

#define SIM_PEOPLE    4
#define SIM_PROCESSES 3  /* of a person: the editor that stays open, a shell's programs, cp */
#define SIM_PAGE      64 /* bytes of a page: records are to have several */
#define SIM_PATH      320
#define SIM_TEXT_MAX  ((size_t)1 << 20)
#define SIM_NEVER     INT64_MAX

/* ---- the plan ---- */

enum event_kind {
    EVENT_ACT,     /* a person begins something */
    EVENT_WEATHER, /* how the server and the way to it behave from now on */
    EVENT_DISK,    /* how the disk behaves */
    EVENT_OTHER,   /* another tool changes the account */
    EVENT_SIGNAL,  /* Ctrl-C */
    EVENT_FORGET,  /* the kernel needs memory */
    EVENT_CRASH,   /* the process dies, at once or in the middle of something */
    EVENT_UNMOUNT, /* and is started again */
    EVENT_KIND_COUNT,
};

/* Everything about it comes from its own seed, so that it means the same where others are left
 * out. */
struct event {
    enum event_kind kind;
    unsigned index;  /* in the whole list */
    int64_t wait_ms; /* after the one before */
    uint64_t seed;
};

struct plan {
    uint64_t seed;
    /* the world */
    int64_t ttl_ms, timeout_ms, kernel_ms; /* kernel_ms: a notification takes so long at most */
    unsigned jobs, contacts, delete_limit;
    size_t page_max;
    int64_t quota_limit, quota_window_ms; /* 0: none */
    int64_t later_ms;
    /* how it is mounted */
    bool ro, dry_run, gateway;
    bool crowded; /* everybody looks at one record, which keeps changing */
    /* an account that is listed in parts: so many contacts more, and how its server takes that */
    unsigned bulk;
    enum id_pattern { IDS_DENSE, IDS_LOOSE, IDS_CLUSTERS, IDS_LEAP, IDS_COUNT } ids;
    bool ignores_order, cursors_must_exist;
    struct event *events;
    size_t count;
};

void plan_make(struct plan *p, uint64_t seed, size_t count);
void plan_finish(struct plan *p);
void plan_print(const struct plan *p);
const char *event_name(enum event_kind kind);

/* ---- the account's history ---- */

struct version {
    char *text;
    char *pretty;
    size_t pretty_len;
    int64_t from_ms, to_ms; /* SIM_NEVER: still so */
};

/* An answer that showed a version to this life of the driver. */
struct shown {
    size_t version;
    uint64_t sent, delivered; /* ticks */
    int64_t delivered_ms;
    bool change; /* the answer to a change: as of its delivery */
    bool listed; /* in a page */
    bool prompt; /* it was sent in the moment in which it was asked for */
};

struct entity {
    enum resource res;
    char id[RESOURCE_ID_TEXT_MAX + 1];
    bool permanent; /* nobody removes it */
    bool bulk;      /* one of thousands */
    uint64_t met;   /* the last time that the account was compared */
    int64_t born_ms, gone_ms;
    struct version *versions;
    size_t version_count;
    struct shown *shown;
    size_t shown_count;
    uint64_t saved; /* tick of the last time that a save of it was told done */
    size_t saved_version;
};

/* ---- what people did ---- */

enum deed_kind {
    DEED_EDIT,
    DEED_CREATE,
    DEED_REMOVE,
    DEED_TAG,
    DEED_UNTAG,
    DEED_JOIN,   /* a contact becomes a member of a course or community */
    DEED_LEAVE,  /* such a relation is removed */
    DEED_CANCEL, /* a subscription */
};
enum deed_state { DEED_BEGUN, DEED_ASKED, DEED_TOLD, DEED_CUT };

/* A change that a person means. What it writes has a token in it that nothing else has. */
struct deed {
    unsigned number;
    enum deed_kind kind;
    enum deed_state state;
    unsigned process;
    char path[SIM_PATH]; /* what is saved */
    char token[24];
    enum resource res;
    char id[RESOURCE_ID_TEXT_MAX + 1], item[RESOURCE_ID_TEXT_MAX + 1];
    char member[32];   /* that is changed: "locale", or the slug of a pair */
    char *base;        /* the record that the person has read, compact; NULL: none */
    bool text;         /* there is a text that can be lost */
    bool written;      /* all of it, to a file that becomes a record */
    bool excused;      /* the disk could not take it */
    unsigned failures; /* of the disk, when it was asked for */
    bool over; /* replaced by a later save of the same program, or thrown away by a person */
    int result;
    unsigned attempts, reached, executed;
    int64_t asked_ms;
    uint64_t asked;
    size_t version; /* that came of it, when it was carried out last */
};

/* ---- requests on their way ---- */

enum fate {
    FATE_FINE,
    FATE_REFUSED,     /* connection refused */
    FATE_UNREACHABLE, /* no route */
    FATE_TLS,
    FATE_LOST_BEFORE, /* the connection broke: not executed */
    FATE_LOST_AFTER,  /* executed, the answer is lost */
    FATE_HANG_BEFORE, /* no answer, not executed */
    FATE_HANG_AFTER,  /* no answer, executed at some time, maybe when nobody waits any more */
    FATE_429,         /* with Retry-After */
    FATE_429_BARE,
    FATE_500,
    FATE_503,
    FATE_504_AFTER, /* a gateway gave up; it was executed */
    FATE_GARBAGE,   /* executed, and what comes is no JSON */
    FATE_CUT,       /* executed, and only a part of the text comes */
    FATE_SHAPE,     /* executed; JSON of another shape */
    FATE_REDIRECT,
    FATE_PAGE, /* a page is asked for, and the first one comes; all else is fine */
    FATE_COUNT,
};

struct flight {
    struct list all;
    uint64_t number;
    enum http_method method;
    char *url, *body;
    char *type; /* "Content-Type: ..." or NULL */
    size_t max_body;
    uint64_t sent; /* tick */
    int64_t sent_ms, exec_ms, due_ms, end_ms;
    enum fate fate;
    bool executes, executed, cancelled, prompt, over_quota;
    unsigned life;
    int64_t told_left, told_refill_ms, window_end_ms; /* -1: it says nothing of a quota */
    int status;
    char *answer;
    struct seen {
        struct entity *entity;
        size_t version;
    } * seen;
    size_t seen_count;
    struct deed *relation; /* that it carries out */
    transport_done_fn *done;
    void *data;
};

struct weather {
    uint64_t seed;
    unsigned bad_percent;
    uint32_t fates;     /* a bit for each that may happen */
    int64_t latency_ms; /* of most answers, at most */
    unsigned slow_percent;
};

struct wire {
    struct transport transport;
    struct list flights;
    uint64_t count;
    unsigned in_flight;
    struct weather weather;
    struct map asked; /* hash of method and URL -> how often, in this weather */
    int64_t bad_ms;   /* when the last answer or failure came that is none of an API that is well */
    int64_t last_page_ms[RES_COUNT];
    unsigned strange_pages; /* first pages that came in place of others */
    /* the quota */
    int64_t left, window_end_ms;
    uint64_t window;
    bool told;       /* this life has been told of this window */
    bool told_spent; /* others have used some of it since */
    int64_t throttled_ms;
};

/* ---- people, and the kernel between them and the driver ---- */

enum call_kind {
    CALL_LOOKUP,
    CALL_GETATTR,
    CALL_READLINK,
    CALL_OPEN,
    CALL_CREATE,
    CALL_WRITE,
    CALL_FLUSH,
    CALL_FSYNC,
    CALL_UNLINK,
    CALL_RMDIR,
    CALL_RENAME,
    CALL_MKDIR,
    CALL_LINK,
    CALL_SYMLINK,
    CALL_OPENDIR,
    CALL_READDIR,
    CALL_READ, /* of a file that was not opened */
    CALL_SETATTR,
    CALL_GETXATTR,
    CALL_LISTXATTR,
    CALL_KIND_COUNT,
};

struct entry {
    char name[NAME_MAX + 1];
    struct tree_attr attr;
    uint64_t cookie;
};

/* One request of the kernel: what struct request is in src/fuse. */
struct call {
    struct op op;
    struct person *person;
    enum call_kind kind;
    uint64_t ino, other;
    char name[NAME_MAX + 1], data_name[SIM_PATH];
    const char *data;
    size_t size;
    uint64_t offset;
    int flags;
    struct tree_file *file;
    struct tree_dir *dir;
    uint64_t ticket, attr_version;
    bool written, posted, waiting, sets_size;
    unsigned replies;
    int64_t began_ms;
    /* the reply */
    int result;
    bool negative;
    struct tree_attr attr;
    char target[SIM_PATH];
    char *bytes; /* of a read, or an attribute; the caller's */
    size_t len;
    struct entry *entries;
    size_t entry_count, room;
};

struct dentry {
    size_t index;         /* in kernel.dentries */
    uint64_t parent, ino; /* ino 0: there is no such name */
    char name[NAME_MAX + 1];
    int64_t until_ms;
};

/* The names of a directory, as fs/fuse/readdir.c keeps them. */
struct names_cache {
    struct cached_name {
        char *name;
        uint64_t cookie;
    } * names;
    size_t count, cap;
    uint64_t pos;      /* behind the last one */
    bool cached, lost; /* whole; its pages are gone */
    uint64_t version;
    int64_t mtime_ns; /* of the directory, when it was begun */
    uint64_t changes;
};

struct inode {
    uint64_t ino, lookups, attr_version;
    struct tree_attr attr;
    uint64_t size; /* as reading sees it */
    bool cut;      /* an O_TRUNC has made it 0, and no attributes have come since */
    int64_t attr_until_ms;
    char *pages;
    bool *have;
    size_t page_count;
    unsigned reads;   /* READs under way: its pages are locked */
    uint64_t changes; /* of names in it, by the kernel's own doing */
    struct names_cache listed;
};

struct news {
    int64_t due_ms;
    uint64_t ticket, ino;
    char name[NAME_MAX + 1]; /* in that directory; "": the inode itself */
    char *text;              /* that its pages are to hold; NULL: what they hold goes */
    size_t len;
};

/* What it is told comes in order, on two ways of their own. */
enum { LANE_INODES, LANE_NAMES, LANES };
struct lane {
    struct news *news;
    size_t count, cap;
    int64_t last_due_ms;
};

struct kernel {
    struct tree_kernel tree;
    struct wait_queue queue;
    struct dentry **dentries;
    size_t dentry_count, dentry_cap;
    struct inode **inodes;
    size_t inode_count, inode_cap;
    struct map by_name, by_ino;
    struct lane lanes[LANES];
    uint64_t tickets, done, attr_version;
    uint64_t truncated; /* tick of the last O_TRUNC */
};

struct fd {
    bool used, direct, writes;
    unsigned life;
    uint64_t ino;
    struct tree_file *file; /* NULL: it was not opened, as the mount is "ro" */
};
#define SIM_FDS  8
#define SIM_PINS 2

struct person {
    struct sim *sim;
    unsigned number;
    unsigned process; /* of what it does now */
    unsigned life;    /* of the mount that it began on: it does not see a later one */
    struct call call;
    struct fd fds[SIM_FDS];
    uint64_t pins[SIM_PINS]; /* inodes that a system call holds from one request to the next */
    struct rng rng;          /* of the act */
    struct event act;
    bool busy, inspects;
    unsigned pieces; /* in which it has read a file */
    int64_t sleeps_until_ms;
    void *coroutine;
    uint64_t cut; /* tick of the last request that a crash took its answer from */
};

/* ---- all of it ---- */

struct sim {
    const struct plan *plan;
    bool verbose;

    struct world w; /* account, honest server, clock, disk; not its driver */
    struct wire wire;
    struct kernel kernel;
    struct person people[SIM_PEOPLE];
    struct entity **entities;
    size_t entity_count;
    struct map by_id;   /* entities */
    uint64_t compared;  /* how often the account was */
    int64_t changed_ms; /* when it changed last behind the driver's back */
    struct deed **deeds;
    size_t deed_count;

    /* the driver */
    unsigned life; /* counts */
    bool alive;
    struct disk disk;
    struct net *net;
    struct api *api;
    struct shelf *shelf;
    struct store *store;
    struct journal *journal;
    struct tree *tree;
    int64_t born_ms;
    uint64_t refreshed; /* tick of the last refresh that was told to have been done */
    int64_t refreshed_ms;

    /* a death that is to come, or has come and is to be cleaned up */
    unsigned die_at_disk, die_at_send; /* so many calls from now; 0: no */
    bool die_after;                    /* it is carried out */
    bool dead;
    bool over; /* the run ends: people get no answers any more */

    uint64_t tick;
    uint64_t hash;
    char failure[1024];
    char at[128]; /* the event during which it failed */

    /* figures */
    uint64_t steps, calls, requests, changes, reads, listings, pushes, crashes;
};

/* Runs a plan. False: sim->failure says why not. The events are those of `keep` (a bit for each),
 * NULL: all. */
bool sim_run(struct sim *s, const struct plan *plan, const bool *keep, bool verbose);

void sim_fail(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sim_trace(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline int64_t sim_now(const struct sim *s)
{
    return s->w.clock.mono_ms;
}

/* run */
void driver_start(struct sim *s);
void driver_crash(struct sim *s);
void driver_stop(struct sim *s);

/* wire */
void wire_init(struct sim *s);
void wire_finish(struct sim *s);
bool wire_turn(struct sim *s);
int64_t wire_next_ms(const struct sim *s);
void wire_weather(struct sim *s, struct rng *rng);
void wire_calm(struct sim *s);
void wire_new_life(struct sim *s);

/* server */
void server_init(struct sim *s);
void server_finish(struct sim *s);
void server_execute(struct sim *s, struct flight *f);
void server_other(struct sim *s, struct rng *rng);
struct entity *server_find(struct sim *s, enum resource res, const char *id);
/* Of a contact or tag that is there now; NULL: none. */
struct entity *server_any(struct sim *s, enum resource res, struct rng *rng, bool permanent);
/* The account has changed: compares it with what was known of it. */
void server_note(struct sim *s);
static inline const struct version *entity_now(const struct entity *e)
{
    const struct version *v = e->version_count ? &e->versions[e->version_count - 1] : NULL;
    return v && v->to_ms == SIM_NEVER ? v : NULL;
}
/* The value of a member, or of a pair, as compact JSON; NULL: none. To be freed. */
char *record_value(const char *text, const char *member);

/* long */
void long_fill(struct sim *s);
/* Other tools remove, make and change many of the many. */
void long_burst(struct sim *s, struct rng *rng);
/* One of the many; NULL: there are none. */
struct entity *long_any(struct sim *s, struct rng *rng);

/* disk */
void disk_init(struct sim *s);
void disk_faults(struct sim *s, struct rng *rng);
void disk_calm(struct sim *s);

/* kernel, as people see it: 0 or more, or -errno */
void kernel_init(struct sim *s);
void kernel_finish(struct sim *s); /* the mount is gone: everything is dropped */
bool kernel_turn(struct sim *s);
int64_t kernel_next_ms(struct sim *s);
void kernel_forget(struct sim *s, struct rng *rng);
int sys_stat(struct person *p, const char *path, struct tree_attr *ret);
int sys_open(struct person *p, const char *path, int flags); /* a descriptor */
ssize_t sys_read(struct person *p, int fd, size_t offset, size_t size, char *out);
int sys_write(struct person *p, int fd, const char *text, size_t len, size_t offset);
int sys_fsync(struct person *p, int fd);
int sys_flush(struct person *p, int fd); /* close of a duplicate */
int sys_close(struct person *p, int fd);
int sys_mkdir(struct person *p, const char *path);
int sys_unlink(struct person *p, const char *path);
int sys_rmdir(struct person *p, const char *path);
int sys_rename(struct person *p, const char *from, const char *to);
int sys_link(struct person *p, const char *from, const char *to);
int sys_truncate(struct person *p, const char *path, size_t size);
int sys_ftruncate(struct person *p, int fd, size_t size);
int sys_touch(struct person *p, const char *path); /* chmod, chown, utimens */
/* Of an attribute: its value, with a NUL, to be freed; NULL: `*ret` says why not. `name` NULL: all
 * names, each with a NUL. */
char *sys_xattr(struct person *p, const char *path, const char *name, int *ret);
typedef void sys_entry_fn(void *data, const struct entry *entry);
/* All of a directory, `room` entries a request. */
int sys_list(struct person *p, const char *path, size_t room, sys_entry_fn *each, void *data);

/* fuse */
void call_start(struct call *c);
void call_interrupt(struct call *c);
void call_cut(struct call *c); /* the mount is gone */

/* person */
void people_init(struct sim *s);
void people_finish(struct sim *s);
void people_begin(struct sim *s, const struct event *event);
/* The first of them looks at everything, when the others have gone. */
void people_inspect(struct sim *s);
bool people_turn(struct sim *s);
bool people_busy(const struct sim *s);
int64_t people_next_ms(const struct sim *s);
void person_wait_call(struct person *p); /* posts p->call, returns when it is answered */
void person_sleep(struct person *p, int64_t ms);
int person_thread(const struct person *p);
/* Its process has ended, and this is another one. */
void person_renew_process(struct person *p);
void act_run(struct person *p);
void inspect_run(struct person *p);

/* check */
struct deed *deed_new(struct person *p, enum deed_kind kind, enum resource res, const char *id);
void deed_asked(struct person *p, struct deed *d);
void deed_told(struct person *p, struct deed *d, int result);
void check_call(struct sim *s, const struct call *c);
/* `pieces`: system calls that it took. */
void check_read(struct sim *s, struct entity *e, const char *bytes, size_t len, uint64_t began,
                int64_t began_ms, unsigned pieces);
void check_size(struct sim *s, struct entity *e, uint64_t size, uint64_t began);
void check_missing(struct sim *s, struct entity *e, int result);
void check_value(struct sim *s, struct entity *e, const char *slug, const char *text,
                 int64_t began_ms);
void check_list(struct sim *s, char (*names)[64], size_t count, uint64_t began, int64_t began_ms);
/* What was read by the name that the record had then. */
void check_named(struct sim *s, const struct entity *e, const char *name, int64_t began_ms);
/* The deed whose token is in the text. */
struct deed *deed_in(struct sim *s, const char *text);
void check_sent(struct sim *s, struct flight *f);
void check_executed(struct sim *s, struct flight *f, int status);
void check_deeds(struct sim *s);
/* A text that was saved, and whose verdict nobody hears. */
void check_unheard(struct sim *s, struct deed *d);
void check_caps(struct sim *s);
/* What the driver hears may take so long until the kernel has heard it, where nobody waits. */
static inline int64_t sim_settle_ms(const struct sim *s)
{
    return s->plan->ro ? s->plan->kernel_ms + 20 : 0;
}
void check_finish(struct sim *s);
void check_cut(struct sim *s); /* the process dies */
void check_unmounted(struct sim *s, bool down);
void check_free(struct sim *s);
/* Whether the API was not well at that time, or has not been since. */
bool sim_away_since(const struct sim *s, int64_t ms);
