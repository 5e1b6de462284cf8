/* store/internal: what the files of the store share, and nobody else sees. */
#pragma once

#include "systemefs/base/slab.h"
#include "systemefs/store/store.h"

/* How a fetch failed, kept where its result would be. */
struct trouble {
    struct api_failure failure;
    uint64_t seq;
    int64_t at_ms;
    bool untold; /* nobody waited: it was fetched ahead of a reader, who has not heard of it yet */
};

/* A question to the API that is under way, and the operations that wait for its answer. It ends
 * in one call of `ended`, which reads the answer; then the waiting operations are woken. */
struct fetch {
    struct store *store;
    struct list all; /* in store->fetches */
    struct wait_queue waiters;
    struct api_call *call;
    enum net_priority priority;
    uint64_t asked; /* sequence number */
    void (*ended)(struct fetch *f, const struct api_answer *answer);

    enum resource res;
    uint64_t key;            /* of a record */
    struct listing *listing; /* of a page */
    struct walk *walk;       /* that the page continues; a reference */
    uint64_t after;          /* cursor of a page */
    bool ascending;
    uint64_t low, high; /* of a page that brings texts back: which ones */
    struct find *find;  /* of a search */
    struct save *save;  /* that looks for what it has made */
    struct part *part;  /* of a walk that is split */
};

/* What there is of a record only while it is asked for, or not known. */
struct asking {
    struct record *rec;
    enum resource res;
    struct fetch *fetch;     /* under way */
    struct trouble *trouble; /* how the last fetch failed */
    struct list unknown;     /* among those without a text */
};

/* The texts that may go, as resource and key, in the order in which they came: see text.c. */
struct text_queue {
    uint64_t *entries; /* a ring */
    size_t head, count, cap;
};

struct listing {
    uint32_t id;
    enum resource res;
    int filter;
    uint64_t by;
    struct walk *complete;   /* the last whole walk, or NULL */
    struct walk *growing;    /* the one under way, or NULL */
    struct trouble *trouble; /* how its last page failed */
    bool expired;
    uint64_t version; /* of `complete` */
    int64_t changed_ns;
    struct buf late; /* of struct late: what befell it while `growing` was under way */
};

/* A key that was put into a listing, or taken out of it, behind the back of a walk. */
struct late {
    uint64_t key;
    bool in;
};

/* Recognizes reading one record after the other, to turn it into reading pages. */
struct scan {
    uint64_t last;
    int direction;         /* of the ids: 1 or -1 */
    unsigned run;          /* single reads in that direction */
    uint64_t low, high;    /* what the last page covered; 0: no page yet */
    unsigned hits;         /* reads that it answered */
    bool ascending_broken; /* the API ignores order=asc here */
    uint64_t missed;       /* the text that was last fetched again */
    bool ascending_works;  /* it has been seen to honour it */
};

struct store {
    struct api *api;
    const struct clock *clock;
    int64_t ttl_ms, timeout_ms;
    unsigned jobs;
    void (*changed)(void *data, enum resource res, uint64_t key);
    void (*gone)(void *data, enum resource res, uint64_t key);
    void (*replacing)(void *data, enum resource res, const struct record *rec);
    void (*evicting)(void *data, enum resource res, const struct record *rec);
    void *data;

    uint64_t seq;
    uint64_t refreshed; /* sequence number of the last refresh: what was asked before it does not
                         * count as the answer to it */
    int64_t away_until_ms;

    struct list ops; /* all that have begun, by their deadlines */
    struct list ready;
    unsigned op_count;
    struct list fetches;
    struct list saves; /* that are under way, oldest first */
    struct shelf *shelf;
    const char *access_type;
    bool dry_run;

    struct map interned; /* key -> char * */
    struct map records[RES_COUNT];
    struct slab record_slab;
    struct origin *last_origin; /* of the record that came last; a reference */
    struct origin nowhere;      /* of a record that nothing is known of yet */
    uint64_t record_count, record_bytes;
    uint64_t cache_size, evicted;
    struct text_queue texts;
    size_t text_count;   /* texts at hand that may go */
    struct list unknown; /* records without a text, oldest first */
    size_t unknown_count;
    struct scan scans[RES_COUNT];

    struct map listings; /* hash of what it lists -> listing */
    struct map listings_by_id;
    struct listing *home[RES_COUNT];
    uint32_t next_walk;

    struct map finds; /* hash of resource and name -> find */
    struct list finds_lru;
    size_t find_count;

    struct buf scratch; /* a record in its compact form */
};

static inline int64_t store_now(const struct store *s)
{
    return clock_mono_ms(s->clock);
}

/* Fetches: start returns NULL when there is no memory. */
struct fetch *fetch_new(struct store *s, void (*ended)(struct fetch *, const struct api_answer *));
/* Sends it for `op` (NULL: nobody waits yet). On -ENOMEM it is freed. */
int fetch_record(struct fetch *f, const char *id, enum net_priority priority, const struct op *op);
int fetch_page(struct fetch *f, const struct api_query *query, enum net_priority priority,
               const struct op *op);
/* Parks an operation on it, and makes it as urgent as that. */
int fetch_wait(struct fetch *f, struct op *op, enum net_priority priority);

/* Notes a failure in `*t`, or forgets it (failure NULL). */
void trouble_set(struct store *s, struct trouble **t, const struct api_failure *failure);
/* Whether a failure is the answer to this operation; an older copy is at hand or not. */
bool trouble_applies(const struct store *s, const struct trouble *t, const struct op *op,
                     bool older_copy);
/* Fails the operation with it. */
int trouble_fail(struct op *op, const struct trouble *t);

/* Takes in one record of an answer. Returns its key, 0: no memory. */
uint64_t record_put(struct store *s, enum resource res, const struct api_item *item, uint64_t asked,
                    const struct listing *l, const struct walk *w);
/* The API says that there is none. */
void record_put_absent(struct store *s, enum resource res, uint64_t key, uint64_t asked);
/* Takes in all records of a page that is not part of a walk. -ENOMEM, or 0. */
int record_put_page(struct store *s, enum resource res, const struct api_answer *answer,
                    uint64_t asked, const struct listing *l);
/* Forgets the records that a whole walk over the collection did not meet. */
void record_sweep(struct store *s, enum resource res, const struct walk *w);
/* Asks for the page that begins with this record, of a collection or of a part of it. */
int record_around(struct store *s, struct op *op, struct listing *l, struct record *rec,
                  bool ascending);
/* Whether the fetch under way, if any, is an answer to somebody who asks now. */
bool fetch_answers(const struct store *s, const struct record *rec);
/* The entry of a key, made when there is none. NULL: no memory. */
struct record *record_slot(struct store *s, enum resource res, uint64_t key);
struct record *record_lookup(const struct store *s, enum resource res, uint64_t key);
bool record_fresh(const struct store *s, const struct record *rec, const struct op *op);
/* The moment's state of a record, made when there is none. NULL: no memory. */
struct asking *record_asking(struct record *rec, enum resource res);
/* It goes once the record is known, and nothing is under way. */
void record_asking_ends(struct record *rec);
void record_trouble_set(struct store *s, enum resource res, struct record *rec,
                        const struct api_failure *failure);
static inline struct fetch *record_fetch(const struct record *rec)
{
    return rec->asking ? rec->asking->fetch : NULL;
}
static inline struct trouble *record_trouble(const struct record *rec)
{
    return rec->asking ? rec->asking->trouble : NULL;
}
void record_free_all(struct store *s);

/* text: see text.c. Gives the record another text. -ENOMEM, or 0. */
int text_put(struct store *s, enum resource res, struct record *rec, const struct buf *text);
void text_drop(struct store *s, enum resource res, struct record *rec);
/* Lets texts go until there are no more than cache_size. */
void texts_trim(struct store *s);
/* Of a record's human name; 0: it has none. */
uint64_t record_name_hash(enum resource res, const struct record *rec);

/* Walks. An empty one; NULL: no memory. */
struct walk *walk_new(struct listing *l, uint32_t id);
/* 1: added; 0: it was there already; or -ENOMEM. */
int walk_add(struct walk *w, uint64_t key);
/* A complete walk like `w`, with a key more or less. NULL: no memory. */
struct walk *walk_with(const struct walk *w, uint64_t key, bool in);

void page_ended(struct fetch *f, const struct api_answer *answer);

/* A part of a split walk has come up to the walk: if that has nothing under way, it takes it over.
 */
void page_caught_up(struct store *s, struct walk *w);

/* split: see split.c and part.c. */
struct part;
/* Begins parts of a walk that is long enough, and lets them go on. */
void split_turn(struct store *s, struct walk *w);
/* The part that another one (`from` NULL: the walk itself) runs into with this key; NULL: none. */
struct part *split_met(struct walk *w, struct part *from, uint64_t key);
bool part_has(const struct part *g, uint64_t key);
/* The walk has got a record that a part has, too. */
void split_twice(struct walk *w);
/* Where the walk has run into its first part (`met`), or has come to where that begins: what it
 * has, and those that it has met, becomes the walk's. -ENOMEM, or 0; `ret_ended`: the walk is at
 * its end. */
int split_join(struct walk *w, bool met, bool *ret_ended);
void split_give_up(struct walk *w);
bool split_active(const struct walk *w);
/* Whether a part has records that the walk has not come down to. */
bool split_holds(const struct walk *w);
/* The fetch is about to be freed without an answer. */
void split_forget(struct fetch *f);
void split_free(struct walk *w);

/* A record that only a listing tells of. */
int listing_record(struct store *s, struct op *op, struct listing *l, uint64_t key,
                   struct record **ret);
/* The complete walk if it is fresh for this operation, else NULL. */
struct walk *listing_fresh_whole(const struct store *s, const struct listing *l,
                                 const struct op *op);
/* The question for its first page; `by` is room for the filter's value. */
struct api_query listing_query(const struct store *s, const struct listing *l,
                               char by[RESOURCE_ID_TEXT_MAX + 1]);
struct listing *listing_by_id(const struct store *s, uint32_t id);
void listing_free_all(struct store *s);
void find_free_all(struct store *s);
/* Ends every search result. */
void find_refresh_all(struct store *s);
/* A record has another name, is new, or gone: what was known by name is brought up to date. */
void names_changed(struct store *s, enum resource res, uint64_t key);
/* The listing has this key now, or has it no more; a complete walk is followed by another one, so
 * that its readers go on undisturbed. */
void listing_put(struct store *s, struct listing *l, uint64_t key);
void listing_drop(struct store *s, struct listing *l, uint64_t key);
/* The same as store_record(), but no answer that is older than `age_ms`, and no stale one: -errno
 * of why none can be had. */
int store_record_recent(struct store *s, struct op *op, enum resource res, uint64_t key,
                        int64_t age_ms, struct record **ret);

/* The store's part in the saves: see save.c. */
void saves_turn(struct store *s);
int64_t saves_next_ms(const struct store *s);
void saves_end_all(struct store *s);
