/* store/save_internal: what the files of the save machine share. */
#pragma once

#include "internal.h"
#include "systemefs/store/save.h"

struct save {
    struct store *store;
    struct list all; /* in store->saves while it runs */
    struct op op;    /* of its own */
    struct wait_queue ended;
    struct wait_queue answered; /* it waits there itself */
    unsigned refs;
    enum save_state state;

    enum save_kind kind;
    enum resource res;
    uint64_t key, by, item;
    int filter;
    bool grant;
    char *path, *document, *base_text, *seen_text, *body, *taken;
    struct json mine, base; /* in document and base_text */
    struct json seen;       /* in seen_text; zeroed: nobody has looked */

    struct draft *draft;
    char *trashed;       /* where its content was kept */
    struct buf composed; /* the body of the main call of a creation, or its document */
    struct patch patch;
    uint64_t *items; /* the keys of patch.items */

    size_t step;
    struct api_call *call;
    struct api_failure failure;
    struct buf done; /* what was carried out, for the reason of what was not */
    uint64_t made;   /* SAVE_CREATE: the record */
    uint64_t by2;    /* SAVE_CREATE with create_later: keys of the two records that it joins */
    struct fetch *looking; /* for it */
    unsigned polls;
    int64_t wake_ms;
    bool reading;
};

/* A call to be made. */
struct step {
    enum http_method method;
    struct buf path, storage;
    const char *body; /* NULL: none; in storage, or the job's */
};

/* job: with a copy of all that the order points at, and one reference; NULL: no memory. */
struct save *save_new(struct store *s, const struct save_order *order);

/* plan: what is to be sent. 0, STORE_WAIT, or -errno with the reason in the op. */
int plan_create(struct save *job, struct op *op);
int plan_edit(struct save *job);
int plan_items(struct save *job);
size_t step_count(const struct save *job);
/* Whether the call at hand takes an item out of the record's set, as a part of an edit. */
bool step_takes_item(const struct save *job);
int step_compose(const struct save *job, struct step *ret);
void step_finish(struct step *step);
/* A call was carried out: counts it, and takes in what it tells. */
void step_taken(struct save *job, const struct api_answer *answer);
/* Asks for the record that joins job->by and job->by2. */
int settle_look(struct save *job);
void settle_looked(struct save *job);

/* follow: what else is true now. */
/* The record of an answer, as of now. Its key, 0: not taken. */
uint64_t follow_record(struct store *s, enum resource res, const struct api_item *item);
/* It was changed or made: parts of collections follow; with a name, or anew, also what is known by
 * name; with another name, also the records that show it. */
enum follow { FOLLOW_CONTENT, FOLLOW_NAME, FOLLOW_NEW };
void follow_change(struct store *s, enum resource res, uint64_t key, enum follow what);
void follow_removed(struct store *s, enum resource res, uint64_t key);
/* It was put into, or taken out of, the set of `owner`. */
void follow_item(struct store *s, enum resource res, uint64_t owner, uint64_t item, bool in);
