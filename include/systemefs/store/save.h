/*
 * store/save: a change of the account, from what a person did to the server's last word.
 *
 * One machine for all of them. What differs between resources is in their rows (api/resource); what
 * differs between changes is which calls they make:
 *
 *   SAVE_EDIT     PATCH or PUT of what changed; then a call for each item of a set (tags)
 *   SAVE_CREATE   POST; then a call for each item
 *   SAVE_REMOVE   DELETE; the last known content goes to the trash first
 *   SAVE_ADD      puts an item into a set        SAVE_TAKE   takes it out
 *   SAVE_ACTION   POST of a word's body (cancel)
 *
 *   save_start() -> DRAFTED    what was typed is on disk; before that nothing is sent
 *                      |       (an earlier change of the same record is waited for)
 *                   PLANNED    base, mine and theirs compared, ids of tags found by their names.
 * Theirs |       is what is known, or read anew where that is older than SAVE_RECENT_MS
 *                      |-- nothing left to send -----------------------> DONE
 *                   SENDING    one call after the other, each once
 *                      |-- a call was refused, or its fate is unknown --> REFUSED
 *                   SETTLING   the record as the server has it now, where the answers did not bring
 * it: read |       again after items; looked for after a 202 DONE      the draft is gone, the store
 * and the kernel know
 *
 *   from every state:  REFUSED  the draft stays, with its reason
 *
 * A job is an operation of its own (store/op): its function runs again when what it waits for has
 * come. Whoever began it may go away; it is seen through. What is sent once and what may be
 * repeated is the business of api/ and net/.
 *
 * With `dry_run` everything happens but the sending: the calls are logged, and what was typed stays
 * a draft (mv takes the original away).
 *
 * Layer: store. The job belongs to the store while it runs, and to whoever holds a reference.
 */
#pragma once

#include <sys/types.h>

#include "systemefs/codec/patch.h"
#include "systemefs/store/shelf.h"
#include "systemefs/store/store.h"

#define SAVE_RECENT_MS 2000 /* what is known for longer is read again before it is changed */

enum save_kind { SAVE_EDIT, SAVE_CREATE, SAVE_REMOVE, SAVE_ADD, SAVE_TAKE, SAVE_ACTION };
enum save_state {
    SAVE_DRAFTED,
    SAVE_PLANNED,
    SAVE_SENDING,
    SAVE_SETTLING,
    SAVE_DONE,
    SAVE_REFUSED,
    SAVE_STATE_COUNT,
};

/* What is to be done. Everything is copied. */
struct save_order {
    enum save_kind kind;
    enum resource res;
    uint64_t key;     /* of the record; SAVE_CREATE: 0 */
    const char *path; /* what the person named, below the mount point: for drafts and trash */
    pid_t owner;      /* process whose text it is, 0: not known */

    /* What was typed, kept as a draft; NULL: nothing was (mkdir, rm, ln). Where it is not the
     * record's JSON itself (the value of one field), `document` is the JSON that it means. */
    const char *text;
    size_t text_len;
    const char *document;
    const char *base; /* SAVE_EDIT: the record as it was opened, JSON in one line */
    /* SAVE_EDIT: whoever saves has read the record itself. Otherwise, where `text` is that of a
     * draft, it is a change of what the draft was a change of, not of `base`; and what somebody has
     * read last (JSON; NULL: nobody has) is no conflict. */
    bool has_read;
    const char *seen;
    /* What the change takes away, for the trash; NULL: nothing, or (SAVE_REMOVE) the record. */
    const char *taken;

    /* SAVE_CREATE below another record: the filter of `res` by it, and its key; -1: none */
    int filter;
    uint64_t by;
    bool grant; /* fill in what the access_type option says */

    uint64_t item;    /* SAVE_ADD, SAVE_TAKE */
    const char *body; /* SAVE_ACTION */
};

struct save;

/*
 * Begins it: 0 and a reference, -errno with op->failure when it is refused before anything could be
 * sent. What was typed is a draft by then, unless the failure is that of the disk. An edit without
 * a change is done at once.
 */
int save_start(struct store *s, struct op *op, const struct save_order *order, struct save **ret);
/* Waits for its end: 0, STORE_WAIT, or -errno with op->failure. */
int save_wait(struct save *job, struct op *op);
enum save_state save_state(const struct save *job);
/* Whether something was sent and carried out. */
bool save_changed(const struct save *job);
/* The record: the one that was made, after SAVE_CREATE. 0 where none is known (dry_run, 202). */
uint64_t save_key(const struct save *job);
/* The JSON that it was begun with, "" where there was none. What is written to the file meanwhile
 * is not in it. Lives as long as the job. */
const char *save_document(const struct save *job);
void save_ref(struct save *job);
void save_unref(struct save *job); /* accepts NULL */

/* Keeps what was typed, when nothing is to be sent: 0 or -errno of the disk. `base` may be NULL. */
int save_keep(struct store *s, const struct save_order *order, const char *reason);
