/*
 * store/store: what is known of the account, since when, and from which answer.
 *
 * Three kinds of knowledge, each asked for by a call that answers from memory or parks the
 * operation (see store/op):
 *
 *   records    the text of one record, kept compact
 *   listings   the keys of a collection, or of a part of it, in the API's own order
 *   names      which record has this human name
 *
 * FRESHNESS. A record or listing is served without asking for `ttl` after its answer came. A
 * listing counts as one answer, as old as its last page, and keeps the records that its pages
 * brought as fresh as itself: so a slow walk does not have to be repeated record by record. When
 * the API cannot be reached (api_failure.away), the older copy is served and marked stale; for
 * STORE_AWAY_MS after such a failure nothing that has an older copy is asked for again, unless
 * some answer arrives in between.
 *
 * A listing that is past its time is walked to its end again, never only down to the first record
 * that is known: a page of known records tells what is new, and what has changed of these, but not
 * what is gone or has changed further down.
 *
 * LATE ANSWERS. Each request notes when it was asked (a sequence number). An answer to an older
 * question never overwrites the answer to a newer one.
 *
 * KEYS. A record is named by (resource, key). A numeric id is its own key; a slug or UUID is
 * interned: its key is made from its hash, so that it is the same in every run.
 *
 * TEXTS. With a `cache_size`, no more than so many bytes of text are kept: at the end of each
 * store_turn() the text goes that was used least lately. Of the record everything else stays known
 * (key, size, hash, times, where it came from, which name it has), so that ls and stat cost
 * nothing; whoever wants the text has it fetched again, by the page that it stands in, with its
 * neighbours in the direction in which texts are being read. If it comes with another content than
 * it had, that is a change like any other. Only texts of a collection that is paged and whose
 * records can be read singly go (contacts, tags); the others are few. STORE_TEXTS_MIN stay in any
 * case, so that a page is not gone before it is read; and what an operation under way has had
 * fetched, or has saved, stays until it has ended, so that it gets on however small the bound is.
 *
 * The pointers that calls return live until the next call that may change the store, that is, no
 * longer than one run of a handler.
 *
 * Layer: store. Calls api, codec, base. News goes up by the callbacks in store_options.
 */
#pragma once

#include "systemefs/api/api.h"
#include "systemefs/base/clock.h"
#include "systemefs/base/map.h"
#include "systemefs/store/op.h"

#define STORE_KEY_BITS    56   /* a key fits beside a kind in an inode number */
#define STORE_AWAY_MS     3000 /* how long the API is taken to be away after a failure */
#define STORE_REPEAT_MS   1000 /* how long a failure is answered again to a follow-up */
#define STORE_UNKNOWN_MAX 8192 /* ids remembered that have no record */
#define STORE_QUICK_NS    INT64_C(10000000000) /* changes closer than this are in quick succession */
#define STORE_FINDS_MAX   4096                 /* searches by name remembered */
#define STORE_INTERN_MAX  1000000              /* slugs and UUIDs */
#define STORE_LISTING_MAX ((size_t)16 << 20)   /* records of one listing */
#define STORE_TEXTS_MIN   ((size_t)400)        /* texts that are kept whatever the bound is */

struct shelf;
struct record;

struct store_options {
    struct api *api;
    const struct clock *clock;
    int64_t ttl_ms;
    int64_t timeout_ms;
    unsigned
        jobs; /* requests that may be under way at once; 2 or less: long listings are not split */
    /* A record has another content than before, or is gone. Called in the middle of the store's
     * work: the callee only takes note. May be NULL. */
    void (*changed)(void *data, enum resource res, uint64_t key);
    void (*gone)(void *data, enum resource res, uint64_t key);
    /* Its content is about to be replaced by another one, or dropped: the last moment to look at it,
     * if its text is at hand. May be NULL. */
    void (*replacing)(void *data, enum resource res, const struct record *rec);
    /* Its text is about to go, to make room. May be NULL. */
    void (*evicting)(void *data, enum resource res, const struct record *rec);
    void *data;
    uint64_t cache_size; /* bytes of text that may be kept; 0: no bound */

    struct shelf *shelf;     /* for drafts and trash; NULL: nothing can be saved */
    const char *access_type; /* what an enrollment made by name alone grants */
    bool dry_run;            /* changes are logged, and not sent */
};

int store_create(const struct store_options *options, struct store **ret);
/* All operations must have ended and all walks been given back. Accepts NULL. */
void store_destroy(struct store *s);

/* Resumes what is ready, and what is past its deadline. */
void store_turn(struct store *s);
/* Mono time of the next deadline, now if something is ready, INT64_MAX if nothing is. */
int64_t store_next_ms(const struct store *s);

struct store_stats {
    uint64_t records, bytes;      /* known, and the bytes of text that are at hand */
    uint64_t cache_size, evicted; /* the bound (0: none), and how many texts have gone for it */
    uint64_t listings;
    unsigned operations; /* under way */
    unsigned saves;      /* of them: changes of the account */
    bool away;           /* the last word of the API was that it could not be reached */
};
void store_get_stats(const struct store *s, struct store_stats *ret);
/* Whether a change is under way. */
bool store_saving(const struct store *s);

/* ---- keys ---- */

/* The key of an id of this resource; 0 when it is none, or there is no memory for it. */
uint64_t store_key(struct store *s, enum resource res, const char *id);
/* The id of a key, as text. Returns `out`. */
const char *store_id(const struct store *s, enum resource res, uint64_t key,
                     char out[RESOURCE_ID_TEXT_MAX + 1]);

/* ---- records ---- */

/* Where what is known of a record came from; shared by all that came in the same answer. */
struct origin {
    uint64_t asked, answered; /* sequence numbers */
    int64_t fetched_ms;       /* mono time of the answer */
    uint32_t listing;         /* id of the listing that it is in, 0: none */
    uint32_t walk;            /* that brought it, 0: none */
    uint32_t refs;
};

/* Small: an account may have a million. What is there for a moment only is behind `asking`. */
struct record {
    uint64_t key;
    int64_t mtime_ns;      /* when this content was first seen; at first the record's own date */
    uint64_t hash;         /* of the text */
    struct origin *origin; /* never NULL */
    char *text;            /* compact JSON, checked; NUL-terminated. NULL: not at hand */
    uint32_t len;          /* bytes of text */
    uint32_t size;         /* bytes of the file: the pretty form */
    /* For the layer above, about the kernel: the content that its pages hold (0: none), the
     * ticket of the notification that takes an older content out of its cache (0: none), whether
     * it was ever told anything, and whether the content has changed since it was last opened. */
    uint64_t pages_hash, kernel_ticket;
    bool kernel_told, kernel_behind;
    uint8_t changes; /* of its content in quick succession, the last at mtime_ns */
    bool stale : 1;  /* served past its time, because the API is away */

    /* private */
    bool present : 1;       /* it is known; otherwise absent or not yet known */
    bool absent : 1;        /* the API said that there is no such record */
    bool expired : 1;       /* by store_refresh_*() */
    bool around_failed : 1; /* asking for the page around it did not settle whether it exists */
    bool used : 1;          /* its text, since it was last looked at whether it may go */
    bool queued : 1;        /* in store.texts */
    bool wanted : 1;        /* its text, by an operation that may still be under way */
    uint64_t name_hash;     /* while its text is not at hand: of its human name, 0: it has none */
    struct asking *asking;  /* while it is asked for, has failed, or is not known; or NULL */
};

static inline struct json record_json(const struct record *rec)
{
    return (struct json){.p = rec->text, .len = rec->len};
}

/* With its text: 0, STORE_WAIT, or -errno with op->failure. -ENOENT: no such record. */
int store_record(struct store *s, struct op *op, enum resource res, uint64_t key,
                 struct record **ret);
/* The same for whom everything but the text is enough: that may not be at hand. */
int store_stat(struct store *s, struct op *op, enum resource res, uint64_t key,
               struct record **ret);
/* With the text of a record that is known, fresh or not: asks only where it is not at hand.
 * -ENOENT: it is not known. */
int store_text(struct store *s, struct op *op, enum resource res, uint64_t key,
               struct record **ret);
/* As store_stat() for one of a handful, as the tags of a contact are: what is not known is asked
 * for by a page of its collection, which will hold the others, too. */
int store_record_of_many(struct store *s, struct op *op, enum resource res, uint64_t key,
                         struct record **ret);
/* What is known, fresh or not; NULL when nothing is. Its text may not be at hand. Never asks. */
struct record *store_known(const struct store *s, enum resource res, uint64_t key);
/* The same, NULL also when its text is not at hand. */
struct record *store_peek(const struct store *s, enum resource res, uint64_t key);
/* Milliseconds for which it need not be asked for again; 0 when it is past its time. */
int64_t store_record_valid_ms(const struct store *s, const struct record *rec);
/* Both look into the text, and find nothing where it is not at hand. */
/* Whether any value at `path` ("tags[].id") of the record is that id. */
bool record_names(const struct record *rec, const char *path, const char *id);
/* Appends the decoded text of a string member; false when it has none. */
bool record_text(const struct record *rec, const char *member, struct buf *out);

/* ---- listings ---- */

struct listing; /* a collection, or the part of it that a filter leaves; lives as long as the store
                 */

/* One pass over a listing: the keys in the API's order. It only grows, and never changes once it
 * is complete; a later pass is another walk. Whoever holds a reference can go on reading it. */
struct walk {
    const uint64_t *keys;
    size_t count;
    bool complete;

    /* private */
    unsigned refs;
    uint32_t id;
    struct listing *listing; /* NULL for walk_from_keys() */
    struct fetch *fetch;     /* its page under way */
    struct split *split;     /* parts that are fetched ahead of it, or NULL */
    bool broken;             /* an answer was not to be trusted: it will never be complete */
    unsigned readers;
    size_t read_to; /* how far the foremost reader is */
    uint64_t *keys_mut;
    size_t cap;
    enum walk_order { WALK_ANY, WALK_DESCENDING, WALK_ASCENDING } order;
    struct map *seen;    /* the keys, while their order is none */
    struct map *names;   /* hash of a human name -> key; made when first asked for */
    uint64_t asked;      /* sequence number of its first request */
    uint64_t answered;   /* of its last page */
    int64_t answered_ms; /* mono */
};
void walk_ref(struct walk *w);
void walk_unref(struct walk *w); /* accepts NULL */
/* A complete walk over the given keys, for lists that come with a record. NULL: no memory. */
struct walk *walk_from_keys(const uint64_t *keys, size_t count);
bool walk_find(const struct walk *w, uint64_t key, size_t *ret_index);
/* The index where a reader goes on that has read up to `key`, which may be gone by now. */
size_t walk_position_after(const struct walk *w, uint64_t key);
/* Whether that is also where a reader of `w` goes on in the other walk: they have one order, or a
 * walk is too short to have another. */
bool walk_goes_on_in(const struct walk *w, const struct walk *other);

/* Find or make; NULL: no memory. `filter` -1 is the whole collection; `by` is a key of the filter's
 * resource. */
struct listing *store_listing(struct store *s, enum resource res, int filter, uint64_t by);

/* The walk that an operation which begins to read should read: the complete one while it is fresh
 * (or the API is away), else the one that is growing. 0 with a reference for the caller, or
 * -errno. Asks nothing. */
int store_walk(struct store *s, struct op *op, struct listing *l, struct walk **ret);
/* Waits until `w` has more than `have` keys or is complete: 0, STORE_WAIT or -errno. */
int store_walk_more(struct store *s, struct op *op, struct walk *w, size_t have);
/* Waits for a fresh complete walk. The pointer is lent. */
int store_walk_whole(struct store *s, struct op *op, struct listing *l, struct walk **ret);
/* A reader of the directory comes (1) and goes (-1): pages are fetched a little ahead of the
 * readers, and a walk that nobody reads or waits for stands still. */
void walk_reader(struct walk *w, int change);
void store_walk_read_to(struct store *s, struct walk *w, size_t index);

/* A record as it stands in a listing: -ENOENT when it is not in there. Its text may not be at hand.
 * Costs no more than it must: it uses the listing where it is known, or what the record says of
 * itself, and reads the listing only as far as needed. */
int store_record_in(struct store *s, struct op *op, struct listing *l, uint64_t key,
                    struct record **ret);
/* Milliseconds for which a complete walk is fresh; 0 when there is none. */
int64_t store_listing_valid_ms(const struct store *s, const struct listing *l);
/* A number that is another one whenever it was walked or changed; 0 unless its complete walk is
 * fresh, and is `w` (NULL: whichever). */
uint64_t store_listing_version(const struct store *s, const struct listing *l,
                               const struct walk *w);
/* Wall time of the last change that was seen in it, 0 when none was. */
int64_t listing_changed_ns(const struct listing *l);

/* ---- human names ---- */

/* The record that has this human name: 0, STORE_WAIT, -ENOENT, or another -errno. Where two have
 * it: -ENOENT, with a reason that names the way out. */
int store_find(struct store *s, struct op *op, enum resource res, const char *name, size_t len,
               uint64_t *ret_key);
/* Whether more than one record of a complete walk has this name. */
bool store_name_shared(struct store *s, enum resource res, struct walk *w, const char *name,
                       size_t len);
/* Whether that is the name of the record. Its text need not be at hand. */
bool store_has_name(enum resource res, const struct record *rec, const char *name, size_t len);

/* ---- refresh ---- */

/* Everything is past its time: the next reader asks. `each` is told of every record. */
void store_refresh_all(struct store *s,
                       void (*each)(void *data, enum resource res, struct record *rec), void *data);
void store_refresh_listing(struct store *s, struct listing *l,
                           void (*each)(void *data, enum resource res, struct record *rec),
                           void *data);
void store_refresh_record(struct store *s, enum resource res, uint64_t key);
