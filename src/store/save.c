#include "systemefs/store/save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "save_internal.h"
#include "systemefs/base/fault.h"

#define LOG_MODULE "save"
#include "systemefs/base/log.h"

/* A new record that was accepted, but not handed over, is looked for this often. */
static const int64_t poll_ms[] = {0, 100, 250, 500, 1000};

static const char *const state_names[] = {
    [SAVE_DRAFTED] = "drafted",   [SAVE_PLANNED] = "planned", [SAVE_SENDING] = "sending",
    [SAVE_SETTLING] = "settling", [SAVE_DONE] = "done",       [SAVE_REFUSED] = "refused",
};
_Static_assert(ARRAY_SIZE(state_names) == SAVE_STATE_COUNT, "a name for each state");

/* The one door to another state. */
static void enter(struct save *job, enum save_state state)
{
    log_debug("%s: %s -> %s", job->path, state_names[job->state], state_names[state]);
    job->state = state;
}

/* ---- drafts ---- */

/* What the disk says is not about the record: "rm -f" takes ENOENT for success. */
static int disk_error(int error)
{
    return error == -ENOENT || error == -EEXIST || error == -ESTALE ? -EIO : error;
}

static int no_draft(struct op *op, int error)
{
    return op_fail(op, disk_error(error),
                   "what was saved could not be written to the state directory (%s): "
                   "nothing was sent",
                   strerror(-error));
}

/* Whether what was typed is the record's own JSON, as its draft will be. */
static bool is_document(const struct save_order *order)
{
    return order->kind == SAVE_EDIT && order->text && !order->document;
}

/* Refused before anything was begun; `base` may be NULL. */
static int keep(struct store *s, const struct save_order *order, const char *base,
                const char *reason)
{
    struct draft *draft;
    int r = draft_begin(s->shelf, order->path, order->owner, order->text, order->text_len, &draft);
    if (r < 0)
        return r;
    if (is_document(order) && base)
        draft_based_on(draft, base);
    draft_refused(draft, reason);
    return 0;
}

int save_keep(struct store *s, const struct save_order *order, const char *reason)
{
    return keep(s, order, order->base, reason);
}

static int refuse(struct store *s, struct op *op, const struct save_order *order, const char *base)
{
    int error = op->failure.error;
    int r = order->text ? keep(s, order, base, op->failure.message) : 0;
    return r < 0 ? no_draft(op, r) : error;
}

/* Whether it is a draft of the whole record: 1, 0, or -errno. */
static int is_whole_draft(const struct save *job, const struct save_order *order)
{
    struct json base, mine;
    bool whole = json_check(job->base_text, strlen(job->base_text), &base, NULL) == 0 &&
                 json_check(order->text, order->text_len, &mine, NULL) == 0 &&
                 patch_is_whole(base, mine);
    return !whole ? 0
                  : shelf_is_draft(job->store->shelf, order->path, order->text, order->text_len);
}

/* A text that was a draft before is the change that it was then; and a conflict that somebody has
 * looked at is none any more. 0; 1: it was one, and nobody knows of what; -errno. */
static int take_older_base(struct save *job, const struct save_order *order)
{
    CLEANUP(buf_cleanup) struct buf base;
    struct json v;
    buf_init(&base, SHELF_TEXT_MAX);
    if (!is_document(order) || order->has_read)
        return 0;
    /* The power may have failed while it was written. */
    if (shelf_base(job->store->shelf, order->path, order->text, order->text_len, &base) < 0 ||
        json_check(base.data, base.len, &v, NULL) < 0 || json_type(v) != JSON_OBJECT)
        return is_whole_draft(job, order);
    free(job->base_text);
    job->base_text = buf_take(&base, NULL);
    job->seen_text = order->seen ? strdup(order->seen) : NULL;
    if (job->seen_text)
        json_check(job->seen_text, strlen(job->seen_text), &job->seen, NULL);
    return 0;
}

/* ---- beginning ---- */

/* What can be said without asking: 0, or -errno with op->failure. */
static int check(struct save *job, struct op *op)
{
    char why[PATCH_WHY_MAX];
    const struct patch_member *members = resource_row(job->res)->members;
    if (job->document) {
        int r = patch_read(job->document, strlen(job->document), &job->mine, why);
        if (r < 0)
            return op_fail(op, r, "%s", why);
    }
    if (job->kind == SAVE_EDIT) {
        if (!resource_row(job->res)->can_save)
            return op_fail(op, -EPERM, "the API cannot change a %s", resource_row(job->res)->name);
        if (json_check(job->base_text, strlen(job->base_text), &job->base, NULL) < 0)
            return op_fail(op, -EINVAL, "the record as it was opened is not known");
        int r = patch_diff(members, job->base, job->mine, (struct json){0}, &job->patch);
        if (r < 0)
            return op_fail(op, r, "%s", job->patch.why);
    }
    return job->kind == SAVE_CREATE ? plan_create(job, op) : 0;
}

static bool nothing_to_do(const struct save *job)
{
    return job->kind == SAVE_EDIT && job->patch.changes == 0 && patch_item_count(&job->patch) == 0;
}

/* What is saved is so already. Where it is a draft copied onto the record, that has done its work.
 * Only a draft of these bytes: an editor that puts the old text back says nothing about the new
 * one. */
static void settle_draft(struct store *s, const struct save_order *order)
{
    CLEANUP(buf_cleanup) struct buf path;
    struct disk_info info;
    struct draft *draft;
    buf_init(&path, 8192);
    buf_printf(&path, "drafts/%s", order->path);
    if (order->text && !buf_error(&path) && shelf_stat(s->shelf, path.data, &info) == 0 &&
        draft_begin(s->shelf, order->path, 0, order->text, order->text_len, &draft) == 0)
        draft_done(draft);
}

static void on_resume(struct op *op);

int save_start(struct store *s, struct op *op, const struct save_order *order, struct save **ret)
{
    struct save *job = NULL;
    /* A NUL would end what is looked at, and not what is kept. */
    bool nul = order->text && !order->document && memchr(order->text, '\0', order->text_len);
    int r = 0, unknown = 0;
    if (nul)
        r = op_fail(op, -EINVAL, "it holds a NUL byte: that is no JSON");
    else if (!(job = save_new(s, order)))
        r = op_fail(op, -ENOMEM, "no memory");
    if (r == 0) {
        unknown = take_older_base(job, order);
        r = check(job, op);
    }
    /* Compared with the record as it is now, it would take back what others have changed. */
    if (r == 0 && unknown < 0)
        r = op_fail(op, disk_error(unknown), "the drafts cannot be read (%s): nothing was sent",
                    strerror(-unknown));
    else if (r == 0 && unknown && !nothing_to_do(job))
        r = op_fail(op, -ESTALE,
                    "it is a draft, and what it was a change of is not known any more: nothing was "
                    "sent; open the record itself, and change that");
    if (r < 0) {
        r = refuse(s, op, order, unknown ? NULL : job ? job->base_text : order->base);
        save_unref(job);
        return r;
    }
    *ret = job;
    if (nothing_to_do(job)) {
        enter(job, SAVE_DONE);
        settle_draft(s, order);
        return 0;
    }
    fault_point("save-begun");
    if (order->text) {
        r = draft_begin(s->shelf, order->path, order->owner, order->text, order->text_len,
                        &job->draft);
        if (r < 0) {
            *ret = NULL;
            save_unref(job);
            return no_draft(op, r);
        }
        if (is_document(order))
            draft_based_on(job->draft, job->base_text);
        fault_point("draft-written");
    }
    job->refs++; /* the store's */
    list_append(&s->saves, &job->all);
    job->op.resume = on_resume;
    op_begin_for(s, &job->op, op);
    on_resume(&job->op);
    return 0;
}

/* ---- running ---- */

/* Changes of one record go one after the other, in the order in which they were made. */
static struct save *earlier(struct save *job)
{
    list_for_each(it, &job->store->saves) {
        struct save *other = CONTAINER_OF(it, struct save, all);
        if (other == job)
            break;
        if (job->key && other->res == job->res && other->key == job->key)
            return other;
    }
    return NULL;
}

static void on_answer(void *data, const struct api_answer *answer)
{
    struct save *job = data;
    struct store *s = job->store;
    fault_point("answer-there");
    job->call = NULL;
    s->away_until_ms = answer->failure.away ? store_now(s) + STORE_AWAY_MS : 0;
    job->failure = answer->failure;
    /* An item that is to go and is not there: what was wanted is so. */
    if (answer->failure.status == 404 && step_takes_item(job))
        job->failure = (struct api_failure){0};
    if (!job->failure.error)
        step_taken(job, answer);
    else if (answer->failure.status == 404 && job->kind == SAVE_REMOVE)
        follow_removed(s, job->res, job->key); /* somebody else has been faster */
    fault_point("record-stored");
    wait_queue_wake(s, &job->answered);
}

static void log_step(const struct step *step)
{
    log_warn("dry run: would send %s %s%s%s", http_method_name(step->method), step->path.data,
             step->body ? " " : "", step->body ? step->body : "");
}

static int send(struct save *job)
{
    struct store *s = job->store;
    struct step step;
    int r = step_compose(job, &step);
    if (r == 0 && s->dry_run) {
        log_step(&step);
        job->step++;
    } else if (r == 0) {
        const struct api_change change = {.res = job->res,
                                          .method = step.method,
                                          .path = step.path.data,
                                          .body = step.body,
                                          .body_len = step.body ? strlen(step.body) : 0};
        job->call = api_change(s->api, &change, job->op.deadline_ms, on_answer, job);
        fault_point("request-queued");
        r = job->call ? 0 : op_fail(&job->op, -ENOMEM, "no memory");
    }
    step_finish(&step);
    return r;
}

/* The content of what is to go must be at hand. May wait. */
static int plan_remove(struct save *job)
{
    struct record *rec;
    int r = store_text(job->store, &job->op, job->res, job->key, &rec);
    return r == -ENOENT ? 0 : r; /* keep_in_trash() says it */
}

/* The last known content goes to the trash before the record goes. */
static int keep_in_trash(struct save *job)
{
    const struct record *rec = store_peek(job->store, job->res, job->key);
    CLEANUP(buf_cleanup) struct buf text, where;
    buf_init(&text, SHELF_TEXT_MAX);
    buf_init(&where, 8192);
    if (job->taken)
        buf_append_str(&text, job->taken);
    else if (!rec || json_pretty(record_json(rec), &text) < 0)
        return op_fail(&job->op, -EINVAL, "its content is not known, and could not be kept");
    int r = trash_put(job->store->shelf, job->path, text.data, text.len, &where);
    if (r < 0)
        return op_fail(&job->op, disk_error(r),
                       "it could not be kept in the trash (%s): nothing was sent", strerror(-r));
    job->trashed = strdup(where.data ? where.data : "");
    return 0;
}

static int send_all(struct save *job)
{
    while (job->state == SAVE_SENDING) {
        if (job->call)
            return op_wait(&job->op, &job->answered);
        if (job->failure.error) {
            job->op.failure = job->failure;
            return job->failure.error;
        }
        if (job->step == step_count(job)) {
            enter(job, SAVE_SETTLING);
            return 0;
        }
        if (job->step && job->op.expired)
            return op_fail(&job->op, -ETIMEDOUT, "no time was left for the rest");
        int r = send(job);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What was accepted with 202 is looked for until it is there. */
static int look_for_it(struct save *job)
{
    struct store *s = job->store;
    if (job->made)
        return 0;
    if (job->op.expired)
        return op_fail(&job->op, -ETIMEDOUT,
                       "the API has accepted it, but does not show it yet: look again later");
    if (job->looking)
        return fetch_wait(job->looking, &job->op, NET_PERSON);
    if (job->wake_ms > store_now(s))
        return op_wait(&job->op, &job->answered);
    return settle_look(job) < 0 ? op_fail(&job->op, -ENOMEM, "no memory")
                                : fetch_wait(job->looking, &job->op, NET_PERSON);
}

void settle_looked(struct save *job)
{
    size_t last = ARRAY_SIZE(poll_ms) - 1;
    job->looking = NULL;
    job->polls++;
    job->wake_ms = store_now(job->store) + poll_ms[MIN((size_t)job->polls, last)];
}

/* The answers to the items brought no record: it is read once more. Whether that succeeds is no
 * matter of the change, which is made. */
static int read_again(struct save *job)
{
    struct store *s = job->store;
    uint64_t key = save_key(job);
    struct record *rec = key ? store_known(s, job->res, key) : NULL;
    if (!rec || !patch_item_count(&job->patch) || job->op.expired)
        return 0;
    if (!job->reading) {
        job->reading = true;
        rec->expired = true;
        job->op.seq = ++s->seq;
    }
    int r = store_record(s, &job->op, job->res, key, &rec);
    if (r == STORE_WAIT)
        return r;
    follow_change(s, job->res, key, FOLLOW_CONTENT);
    job->op.failure = (struct api_failure){0};
    return 0;
}

static int settle(struct save *job)
{
    if (job->store->dry_run)
        return 0;
    if (job->kind == SAVE_CREATE && resource_row(job->res)->create_later)
        return look_for_it(job);
    if (job->kind == SAVE_EDIT || job->kind == SAVE_CREATE)
        return read_again(job);
    return 0;
}

/* The function that runs again (store/op). */
static int run(struct save *job)
{
    int r = 0;
    if (job->state == SAVE_DRAFTED) {
        struct save *before = earlier(job);
        if (before)
            return job->op.expired ? op_fail(&job->op, -ETIMEDOUT,
                                             "an earlier change of it did not end in time")
                                   : op_wait(&job->op, &before->ended);
        r = job->kind == SAVE_EDIT     ? plan_edit(job)
            : job->kind == SAVE_REMOVE ? plan_remove(job)
                                       : 0;
        r = r == 0 ? plan_items(job) : r;
        if (r != 0)
            return r;
        enter(job, SAVE_PLANNED);
        if (nothing_to_do(job))
            return 0;
        if ((job->kind == SAVE_REMOVE || job->taken) && !job->store->dry_run)
            r = keep_in_trash(job);
        if (r != 0)
            return r;
        enter(job, SAVE_SENDING);
    }
    if (job->state == SAVE_SENDING)
        r = send_all(job);
    return r == 0 && job->state == SAVE_SETTLING ? settle(job) : r;
}

static void untrash(struct save *job)
{
    char *path = NULL;
    bool gone = job->failure.maybe || job->failure.status == 404;
    if (job->trashed && !gone && asprintf(&path, "trash/%s", job->trashed) >= 0)
        shelf_remove(job->store->shelf, path);
    free(path);
}

/* Why it failed, after what had been done by then. */
static void take_failure(struct save *job, int result)
{
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, 4 * API_MESSAGE_MAX);
    job->failure = job->op.failure;
    job->failure.error = result;
    if (job->done.len)
        buf_printf(&text, "%s; then: ", job->done.data);
    buf_append_str(&text, job->failure.message[0] ? job->failure.message : strerror(-result));
    size_t len = MIN(text.len, sizeof(job->failure.message) - 1);
    memcpy(job->failure.message, text.data, len);
    job->failure.message[len] = '\0';
    untrash(job);
}

/* With its reason in one line, as `errors` shows it. */
static void leave_draft(struct save *job)
{
    CLEANUP(buf_cleanup) struct buf reason;
    buf_init(&reason, 2 * API_MESSAGE_MAX);
    if (job->failure.number)
        buf_printf(&reason, "request %" PRIu64 ": ", job->failure.number);
    buf_append_str(&reason, job->failure.message);
    draft_refused(job->draft, reason.data ? reason.data : "");
}

static void finish(struct save *job, int result)
{
    struct store *s = job->store;
    /* Accepted, and only not yet to be seen: the API has it. */
    bool taken = job->state == SAVE_SETTLING;
    if (result < 0)
        take_failure(job, result);
    if (job->draft && result == 0 && s->dry_run)
        draft_refused(job->draft, "dry run: nothing was sent"); /* mv takes the original away */
    else if (job->draft && (result == 0 || taken))
        draft_done(job->draft);
    else if (job->draft)
        leave_draft(job);
    job->draft = NULL;
    enter(job, result < 0 ? SAVE_REFUSED : SAVE_DONE);
    op_end(&job->op);
    list_remove(&job->all);
    wait_queue_wake(s, &job->ended);
    save_unref(job);
}

static void on_resume(struct op *op)
{
    struct save *job = CONTAINER_OF(op, struct save, op);
    int r = run(job);
    if (r != STORE_WAIT)
        finish(job, r);
}

int save_wait(struct save *job, struct op *op)
{
    if (job->state == SAVE_DONE)
        return 0;
    if (job->state == SAVE_REFUSED) {
        op->failure = job->failure;
        return job->failure.error;
    }
    return op_wait(op, &job->ended); /* its deadline is no later */
}
