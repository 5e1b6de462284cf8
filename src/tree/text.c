/* Files whose text is made here: README.md, and .systemefs/. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "systemefs/codec/time.h"

#define SHOT_MS 10000

static int print_readme(struct tree *t UNUSED, struct buf *out)
{
    return buf_append_str(out, tree_readme);
}

static int print_cancel(struct tree *t UNUSED, struct buf *out)
{
    return buf_append_str(out, "# To end this subscription, write one of these words here:\n"
                               "#   now          it ends at once\n"
                               "#   period-end   it ends when the paid period does\n"
                               "# for example: echo period-end > cancel\n");
}

static int print_ctl(struct tree *t UNUSED, struct buf *out)
{
    return control_help(out);
}

static int print_errors(struct tree *t, struct buf *out)
{
    return journal_print_errors(t->journal, out);
}

static int print_requests(struct tree *t, struct buf *out)
{
    return journal_print_requests(t->journal, out);
}

/* One row a figure: `status` and `metrics` show the same ones. */
enum figure {
    QUOTA_LIMIT,
    QUOTA_LEFT,
    QUOTA_REFILL,
    RECORDS,
    RECORD_BYTES,
    CACHE_SIZE,
    TEXTS_EVICTED,
    LISTINGS,
    OPERATIONS,
    KERNEL_REQUESTS,
    REQUESTS_WAITING,
    REQUESTS_SENT,
    REQUESTS,
    BYTES_RECEIVED,
    FAILURES,
    DRAFTS,
    SAVES,
    API_AWAY,
    FIGURE_COUNT,
};

/* clang-format off */
static const struct {
    const char *label;  /* in `status` */
    const char *metric; /* in `metrics`, behind "systemefs_" */
    const char *type, *help;
} rows[] = {
    [QUOTA_LIMIT] = {"quota-limit", "quota_limit", "gauge", "Requests that the account may make in a time frame."},
    [QUOTA_LEFT] = {"quota-left", "quota_left", "gauge", "Requests that are left now."},
    [QUOTA_REFILL] = {"quota-refill-seconds", "quota_refill_seconds", "gauge", "Seconds until the quota refills."},
    [RECORDS] = {"records-cached", "records_cached", "gauge", "Records known."},
    [RECORD_BYTES] = {"bytes-cached", "record_bytes_cached", "gauge", "Bytes of their text that are held in memory."},
    [CACHE_SIZE] = {"cache-size", "cache_size_bytes", "gauge", "The most of that (cache_size); 0: no bound."},
    [TEXTS_EVICTED] = {"texts-evicted", "texts_evicted_total", "counter", "Texts that have gone to make room."},
    [LISTINGS] = {"listings-known", "listings_known", "gauge", "Collections and parts of collections looked at."},
    [OPERATIONS] = {"operations-under-way", "operations", "gauge", "File operations under way."},
    [KERNEL_REQUESTS] = {"kernel-requests", "kernel_requests_total", "counter", "Requests of the kernel: what its caches did not answer."},
    [REQUESTS_WAITING] = {"requests-waiting", "requests_waiting", "gauge", "API requests that wait to be sent."},
    [REQUESTS_SENT] = {"requests-under-way", "requests_sent", "gauge", "API requests that wait for their answer."},
    [REQUESTS] = {"requests-made", "requests_total", "counter", "API requests since the start, retries included."},
    [BYTES_RECEIVED] = {"bytes-received", "received_bytes_total", "counter", "Bytes of answers, as they came over the wire."},
    [FAILURES] = {"failures", "failures_total", "counter", "File operations that failed with a reason."},
    [DRAFTS] = {"drafts", "drafts", "gauge", "Saves that are kept because they were not taken, or are under way."},
    [SAVES] = {"saves-under-way", "saves", "gauge", "Changes of the account under way."},
    [API_AWAY] = {"api-away", "api_away", "gauge", "1 while the API cannot be reached."},
};
/* clang-format on */
_Static_assert(ARRAY_SIZE(rows) == FIGURE_COUNT, "a row for each figure");

/* Below 0: not known. */
static void get_figures(struct tree *t, int64_t v[FIGURE_COUNT], struct journal_counts *journal)
{
    struct net_stats net;
    struct store_stats store;
    net_get_stats(t->net, &net);
    store_get_stats(t->store, &store);
    journal_get_counts(t->journal, journal);

    int64_t refill_ms = net.quota.refill_ms - clock_mono_ms(t->clock);
    v[QUOTA_LIMIT] = net.quota.limit;
    v[QUOTA_LEFT] = net.quota.remaining;
    v[QUOTA_REFILL] = net.quota.refill_ms < 0 ? -1 : (MAX(INT64_C(0), refill_ms) + 999) / 1000;
    v[RECORDS] = (int64_t)store.records;
    v[RECORD_BYTES] = (int64_t)store.bytes;
    v[CACHE_SIZE] = (int64_t)store.cache_size;
    v[TEXTS_EVICTED] = (int64_t)store.evicted;
    v[LISTINGS] = (int64_t)store.listings;
    v[OPERATIONS] = store.operations;
    v[KERNEL_REQUESTS] = t->kernel && t->kernel->requests ? (int64_t)*t->kernel->requests : -1;
    v[REQUESTS_WAITING] = net.waiting;
    v[REQUESTS_SENT] = net.sent;
    v[REQUESTS] = (int64_t)journal->requests;
    v[BYTES_RECEIVED] = (int64_t)journal->bytes;
    v[FAILURES] = (int64_t)journal->failures;
    v[DRAFTS] = shelf_draft_count(t->shelf);
    v[SAVES] = store.saves;
    v[API_AWAY] = store.away;
}

static int print_status(struct tree *t, struct buf *out)
{
    int64_t v[FIGURE_COUNT];
    struct journal_counts journal;
    char when[TIME_TEXT_MAX];
    get_figures(t, v, &journal);
    buf_printf(out, "version: %s\nmode: %s\nurl: %s\n", SYSTEMEFS_VERSION, t->mode_name, t->url);
    buf_printf(out, "connection: %s\n", t->connection ? t->connection : "-");
    buf_printf(out, "since: %s\n", time_format(t->start_ns, false, when));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (v[i] < 0)
            buf_printf(out, "%s: unknown\n", rows[i].label);
        else
            buf_printf(out, "%s: %" PRId64 "\n", rows[i].label, v[i]);
    }
    return buf_error(out);
}

static int print_metrics(struct tree *t, struct buf *out)
{
    int64_t v[FIGURE_COUNT];
    struct journal_counts journal;
    get_figures(t, v, &journal);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (v[i] >= 0)
            buf_printf(out,
                       "# HELP systemefs_%s %s\n# TYPE systemefs_%s %s\nsystemefs_%s %" PRId64 "\n",
                       rows[i].metric, rows[i].help, rows[i].metric, rows[i].type, rows[i].metric,
                       v[i]);
    }
    buf_append_str(out, "# HELP systemefs_answers_total API answers by class of status.\n"
                        "# TYPE systemefs_answers_total counter\n");
    for (size_t i = 0; i < ARRAY_SIZE(journal.by_class); i++) {
        char class[8] = "none";
        if (i)
            snprintf(class, sizeof(class), "%zuxx", i);
        buf_printf(out, "systemefs_answers_total{class=\"%s\"} %" PRIu64 "\n", class,
                   journal.by_class[i]);
    }
    return buf_error(out);
}

static const struct {
    int (*print)(struct tree *t, struct buf *out);
    bool changes; /* from one moment to the next */
} texts[] = {
    [TEXT_NONE] = {0},
    [TEXT_README] = {print_readme, false},
    [TEXT_CANCEL] = {print_cancel, false},
    [TEXT_STATUS] = {print_status, true},
    [TEXT_ERRORS] = {print_errors, true},
    [TEXT_REQUESTS] = {print_requests, true},
    [TEXT_METRICS] = {print_metrics, true},
    [TEXT_CTL] = {print_ctl, false},
};
_Static_assert(ARRAY_SIZE(texts) == TEXT_COUNT, "a row for each text");

/*
 * Where files are read without being opened, the kernel asks for a text in pieces: first its size,
 * then its bytes, then whether there are more. One that changes all the time stands still
 * meanwhile: from the moment that its name is looked up, which each open does (`anew`), for a
 * while. NULL: not needed, or no memory.
 */
static const struct text_shot *shot_of(struct tree *t, struct node n, bool anew)
{
    enum node_text kind = shape_of(n.kind)->text;
    struct text_shot *shot = &t->shots[kind];
    int64_t now = clock_mono_ms(t->clock);
    if (!t->no_open || !texts[kind].changes)
        return NULL;
    if (!anew && shot->text && now - shot->taken_ms < SHOT_MS)
        return shot;
    struct buf text;
    buf_init(&text, TREE_TEXT_MAX);
    free(shot->text);
    *shot = (struct text_shot){.taken_ms = now, .mtime_ns = clock_wall_ns(t->clock)};
    if (texts[kind].print(t, &text) == 0)
        shot->text = buf_take(&text, &shot->len);
    buf_finish(&text);
    return shot->text ? shot : NULL;
}

int text_text(struct tree *t, struct op *op UNUSED, struct node n, struct buf *out)
{
    const struct text_shot *shot = shot_of(t, n, false);
    return shot ? buf_append(out, shot->text, shot->len)
                : texts[shape_of(n.kind)->text].print(t, out);
}

void text_looked_up(struct tree *t, struct node n)
{
    shot_of(t, n, true);
}

int text_getattr(struct tree *t, struct op *op UNUSED, struct node n, struct tree_attr *ret)
{
    const struct text_shot *shot = shot_of(t, n, false);
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, TREE_TEXT_MAX);
    attr_init(t, n, ret);
    int r = shot ? 0 : texts[shape_of(n.kind)->text].print(t, &text);
    ret->size = shot ? shot->len : text.len;
    if (texts[shape_of(n.kind)->text].changes) {
        ret->attr_valid_ms = 0;
        ret->entry_valid_ms = t->no_open ? 0 : ret->entry_valid_ms;
        ret->mtime_ns = shot ? shot->mtime_ns : clock_wall_ns(t->clock);
    }
    return r;
}

void text_free_all(struct tree *t)
{
    for (size_t i = 0; i < TEXT_COUNT; i++)
        free(t->shots[i].text);
}
