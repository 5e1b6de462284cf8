/* Files whose text is made here: README.md, and .systemefs/. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "internal.h"
#include "systemefs/codec/time.h"

static int print_readme(struct tree *t UNUSED, struct buf *out)
{
    return buf_append_str(out, tree_readme);
}

static int print_cancel(struct tree *t UNUSED, struct buf *out)
{
    return buf_append_str(out, "# To end this subscription, write one of these words here:\n"
                               "#   now          it ends at once\n"
                               "#   period-end   it ends when the paid period does\n"
                               "# for example: echo period-end > cancel\n"
                               "# This version of systemefs only reads: both are refused.\n");
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
struct figures {
    struct net_stats net;
    struct store_stats store;
    struct journal_counts journal;
    int64_t now_ms;
};

static int64_t quota_limit(const struct figures *f) { return f->net.quota.limit; }
static int64_t quota_left(const struct figures *f) { return f->net.quota.remaining; }
static int64_t quota_refill(const struct figures *f)
{
    if (f->net.quota.refill_ms < 0)
        return -1;
    return MAX(INT64_C(0), f->net.quota.refill_ms - f->now_ms + 999) / 1000;
}
static int64_t records(const struct figures *f) { return (int64_t)f->store.records; }
static int64_t record_bytes(const struct figures *f) { return (int64_t)f->store.bytes; }
static int64_t listings(const struct figures *f) { return (int64_t)f->store.listings; }
static int64_t operations(const struct figures *f) { return f->store.operations; }
static int64_t waiting(const struct figures *f) { return f->net.waiting; }
static int64_t sent(const struct figures *f) { return f->net.sent; }
static int64_t requests(const struct figures *f) { return (int64_t)f->journal.requests; }
static int64_t received(const struct figures *f) { return (int64_t)f->journal.bytes; }
static int64_t failures(const struct figures *f) { return (int64_t)f->journal.failures; }
static int64_t away(const struct figures *f) { return f->store.away; }

static const struct {
    const char *label;  /* in `status` */
    const char *metric; /* in `metrics`, behind "systemefs_" */
    const char *type, *help;
    int64_t (*value)(const struct figures *f); /* below 0: not known */
} rows[] = {
    {"quota-limit", "quota_limit", "gauge", "Requests that the account may make in a time frame.", quota_limit},
    {"quota-left", "quota_left", "gauge", "Requests that are left now.", quota_left},
    {"quota-refill-seconds", "quota_refill_seconds", "gauge", "Seconds until the quota refills.", quota_refill},
    {"records-cached", "records_cached", "gauge", "Records held in memory.", records},
    {"bytes-cached", "record_bytes_cached", "gauge", "Bytes of their text.", record_bytes},
    {"listings-known", "listings_known", "gauge", "Collections and parts of collections looked at.", listings},
    {"operations-under-way", "operations", "gauge", "File operations under way.", operations},
    {"requests-waiting", "requests_waiting", "gauge", "API requests that wait to be sent.", waiting},
    {"requests-under-way", "requests_sent", "gauge", "API requests that wait for their answer.", sent},
    {"requests-made", "requests_total", "counter", "API requests since the start, retries included.", requests},
    {"bytes-received", "received_bytes_total", "counter", "Bytes of answers, as they came over the wire.", received},
    {"failures", "failures_total", "counter", "File operations that failed with a reason.", failures},
    {"api-away", "api_away", "gauge", "1 while the API cannot be reached.", away},
};

static void get_figures(struct tree *t, struct figures *f)
{
    net_get_stats(t->net, &f->net);
    store_get_stats(t->store, &f->store);
    journal_get_counts(t->journal, &f->journal);
    f->now_ms = clock_mono_ms(t->clock);
}

static int print_status(struct tree *t, struct buf *out)
{
    struct figures f;
    char when[TIME_TEXT_MAX];
    get_figures(t, &f);
    buf_printf(out, "version: %s\nmode: %s\nurl: %s\n", SYSTEMEFS_VERSION, t->mode_name, t->url);
    buf_printf(out, "connection: %s\n", t->connection ? t->connection : "-");
    buf_printf(out, "since: %s\n", time_format(t->start_ns, false, when));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t v = rows[i].value(&f);
        if (v < 0)
            buf_printf(out, "%s: unknown\n", rows[i].label);
        else
            buf_printf(out, "%s: %" PRId64 "\n", rows[i].label, v);
    }
    return buf_error(out);
}

static int print_metrics(struct tree *t, struct buf *out)
{
    struct figures f;
    get_figures(t, &f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t v = rows[i].value(&f);
        if (v >= 0)
            buf_printf(out,
                       "# HELP systemefs_%s %s\n# TYPE systemefs_%s %s\nsystemefs_%s %" PRId64 "\n",
                       rows[i].metric, rows[i].help, rows[i].metric, rows[i].type, rows[i].metric,
                       v);
    }
    buf_append_str(out, "# HELP systemefs_answers_total API answers by class of status.\n"
                        "# TYPE systemefs_answers_total counter\n");
    for (size_t i = 0; i < ARRAY_SIZE(f.journal.by_class); i++) {
        char class[8] = "none";
        if (i)
            snprintf(class, sizeof(class), "%zuxx", i);
        buf_printf(out, "systemefs_answers_total{class=\"%s\"} %" PRIu64 "\n", class,
                   f.journal.by_class[i]);
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

int text_text(struct tree *t, struct op *op UNUSED, struct node n, struct buf *out)
{
    return texts[shape_of(n.kind)->text].print(t, out);
}

int text_getattr(struct tree *t, struct op *op, struct node n, struct tree_attr *ret)
{
    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, TREE_TEXT_MAX);
    attr_init(t, n, ret);
    int r = text_text(t, op, n, &text);
    ret->size = text.len;
    if (texts[shape_of(n.kind)->text].changes) {
        ret->attr_valid_ms = 0;
        ret->mtime_ns = clock_wall_ns(t->clock);
    }
    return r;
}
