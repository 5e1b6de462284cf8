/* tree: open files and the kernel's pages, attributes, the journal, and .systemefs/. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "systemefs/base/log.h"
#include "world_tree.h"

#define TTL 60000

static void init(struct grove *g, bool kernel)
{
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = kernel});
    world_put(&g->w, RES_CONTACT,
              "{\"id\":5,\"email\":\"jane@example.com\",\"locale\":\"en\","
              "\"fields\":[{\"slug\":\"city\",\"value\":\"Graz\"}],\"tags\":[{\"id\":1}]}");
    world_put(&g->w, RES_TAG, "{\"id\":1,\"name\":\"vip\"}");
    world_put(&g->w, RES_COURSE, "{\"id\":11,\"name\":\"Knots\"}");
}

static void change(struct grove *g, const char *locale)
{
    world_putf(&g->w, RES_CONTACT,
               "{\"id\":5,\"email\":\"jane@example.com\",\"locale\":\"%s\","
               "\"fields\":[{\"slug\":\"city\",\"value\":\"%s\"}],\"tags\":[{\"id\":1}]}",
               locale, locale);
    world_advance(&g->w, TTL);
}

static uint64_t ino(struct grove *g, const char *path)
{
    if (grove_path(g, path) != 0)
        fail_msg("%s is not there: %s", path, g->failure.message);
    return g->attr.ino;
}

/* ---- open files ---- */

/* The text stays what it was at open, and no page of the kernel mixes two texts. */
static void test_open_files(void **state UNUSED)
{
    struct grove g;
    struct tree_file *a, *b, *c;
    init(&g, true);
    uint64_t n = ino(&g, "contacts/5.json");
    assert_int_equal(grove_open(&g, n, O_RDONLY, &a), 0);
    assert_false(a->keep_cache); /* nothing was read into the pages yet */
    assert_false(a->direct_io);
    assert_int_equal(grove_open(&g, n, O_RDONLY, &b), 0);
    assert_true(b->keep_cache);
    tree_close(g.tree, b);

    change(&g, "fr");
    assert_int_equal(grove_open(&g, n, O_RDONLY, &b), 0);
    assert_non_null(strstr(b->text, "\"fr\""));
    assert_non_null(strstr(a->text, "\"en\""));
    assert_true(b->direct_io);
    assert_false(b->keep_cache);
    assert_true(g.tickets > 0);
    tree_close(g.tree, a);
    tree_close(g.tree, b);

    /* All closed: the pages begin anew. */
    assert_int_equal(grove_open(&g, n, O_RDONLY, &c), 0);
    assert_false(c->direct_io);
    assert_false(c->keep_cache);
    tree_close(g.tree, c);
    assert_int_equal(grove_open(&g, n, O_RDONLY, &c), 0);
    assert_true(c->keep_cache);
    tree_close(g.tree, c);
    grove_finish(&g);
}

/* A file of the old text is read while the new one is already known (somebody has looked): what
 * its reads put into the kernel's pages is not the new text, and must not be kept for it. */
static void test_old_pages(void **state UNUSED)
{
    struct grove g;
    struct tree_file *a, *b;
    for (int beside = 0; beside < 2; beside++) {
        init(&g, true);
        uint64_t n = ino(&g, "contacts/5.json");
        assert_int_equal(grove_open(&g, n, O_RDONLY, &a), 0);
        change(&g, "fr");
        ino(&g, "contacts/5.json");
        if (beside) {
            assert_int_equal(grove_open(&g, n, O_RDONLY, &b), 0);
            assert_true(b->direct_io);
            tree_close(g.tree, b);
        }
        ino(&g, "contacts/5.json");
        tree_close(g.tree, a);
        assert_int_equal(grove_open(&g, n, O_RDONLY, &b), 0);
        assert_false(b->direct_io);
        assert_false(b->keep_cache);
        tree_close(g.tree, b);
        grove_finish(&g);
    }
}

/* An open waits until the kernel has dropped the older bytes, but not past its deadline. */
static void test_kernel(void **state UNUSED)
{
    struct grove g;
    struct tree_file *file;
    init(&g, true);
    uint64_t n = ino(&g, "contacts/5.json"), value = ino(&g, "contacts/5/fields/city");
    change(&g, "fr");
    g.tickets_done = 0;
    assert_int_equal(grove_open(&g, n, O_RDONLY, &file), 0);
    /* The record, the value that shows it, and the record again now that it is open. */
    assert_int_equal(g.tickets, 3);
    assert_true(g.last_ino == n || g.last_ino == value);
    assert_int_equal(clock_mono_ms(&g.w.clock.clock), 5000 + TTL + WORLD_TIMEOUT_MS);
    tree_close(g.tree, file);
    g.tickets_done = g.tickets;
    assert_int_equal(grove_open(&g, n, O_RDONLY, &file), 0);
    assert_int_equal(clock_mono_ms(&g.w.clock.clock), 5000 + TTL + WORLD_TIMEOUT_MS);
    tree_close(g.tree, file);

    world_remove(&g.w, RES_CONTACT, "5");
    world_advance(&g.w, TTL);
    uint64_t before = g.tickets;
    assert_int_equal(grove_path(&g, "contacts/5.json"), -ENOENT);
    assert_true(g.tickets > before);
    assert_true(grove_open(&g, n, O_RDONLY, &file) < 0);
    grove_finish(&g);
}

/* Attributes that only a getattr gave to the kernel did not count as told: the next change of the
 * record left the old size there, and a reader was cut off at it. */
static void test_told_by_getattr(void **state UNUSED)
{
    struct grove g;
    struct tree_file *file;
    init(&g, true);
    uint64_t n = ino(&g, "contacts/5.json");
    change(&g, "fr");
    assert_int_equal(grove_getattr(&g, n), 0); /* learns of it, and tells the kernel to forget */
    g.tickets_done = g.tickets;
    assert_int_equal(grove_getattr(&g, n), 0);
    uint64_t before = g.tickets;
    change(&g, "de");
    g.tickets_done = before + 2;
    assert_int_equal(grove_open(&g, n, O_RDONLY, &file), 0);
    assert_int_equal(g.tickets, before + 2); /* when it changed, and when it was opened */
    tree_close(g.tree, file);
    grove_finish(&g);
}

/* ---- attributes ---- */

static void attribute(struct grove *g, uint64_t n, const char *name, const char *expected)
{
    int r = grove_getxattr(g, n, name);
    assert_int_equal(r, expected ? 0 : -ENODATA);
    if (expected)
        assert_string_equal(g->text, expected);
}

static void test_xattrs(void **state UNUSED)
{
    struct grove g;
    init(&g, false);
    uint64_t n = ino(&g, "contacts/5.json"), course = ino(&g, "courses/11.json");
    world_advance(&g.w, 10000);
    attribute(&g, n, "user.systemefs.id", "5");
    attribute(&g, n, "user.systemefs.url", WORLD_API_URL "/api/contacts/5");
    attribute(&g, course, "user.systemefs.url", WORLD_API_URL "/api/school/courses");
    attribute(&g, ino(&g, "tags/1/contacts"), "user.systemefs.url",
              WORLD_API_URL "/api/contacts?tags=1");
    attribute(&g, n, "user.systemefs.fetched", "2026-01-01T00:00:00Z");
    attribute(&g, n, "user.systemefs.expires", "2026-01-01T00:01:00Z");
    attribute(&g, n, "user.systemefs.stale", "no");
    attribute(&g, n, "user.systemefs.error", NULL);
    attribute(&g, n, "user.systemefs.key", NULL);
    attribute(&g, n, "security.capability", NULL);
    attribute(&g, ino(&g, "README.md"), "user.systemefs.id", NULL);
    /* Looking at them asks nothing, however old the record is. */
    size_t asked = world_requests(&g.w);
    world_advance(&g.w, 10 * TTL);
    attribute(&g, n, "user.systemefs.id", "5");
    assert_int_equal(world_requests(&g.w), asked);

    g.w.failure = NET_UNREACHABLE;
    assert_int_equal(grove_read(&g, "contacts/5.json"), 0);
    attribute(&g, n, "user.systemefs.stale", "yes");

    struct op op = {0};
    struct buf names;
    buf_init(&names, 4096);
    op_begin(g.w.store, &op);
    assert_int_equal(tree_listxattr(g.tree, &op, n, &names), 0);
    op_end(&op);
    size_t listed = 0;
    for (const char *p = names.data; p < names.data + names.len; p += strlen(p) + 1, listed++)
        assert_int_equal(grove_getxattr(&g, n, p), 0);
    assert_int_equal(listed, 5); /* all but .error */
    buf_finish(&names);
    grove_finish(&g);
}

/* A record that cannot be read keeps its name, and its reason can be asked for. */
static void test_unreadable(void **state UNUSED)
{
    struct grove g;
    init(&g, false);
    g.w.status = 403;
    g.w.body = "{\"detail\":\"No such plan.\"}";
    uint64_t n = ino(&g, "contacts/5.json");
    assert_int_equal(g.attr.size, 1);
    assert_int_equal(g.attr.entry_valid_ms, 0);
    assert_int_equal(g.attr.attr_valid_ms, 0);
    struct tree_file *file;
    assert_int_equal(grove_open(&g, n, O_RDONLY, &file), -EACCES);
    assert_int_equal(grove_getxattr(&g, n, "user.systemefs.error"), 0);
    assert_non_null(strstr(g.text, "request 1: HTTP 403: No such plan."));
    /* A directory cannot be opened to tell: it fails at once. */
    assert_int_equal(grove_path(&g, "contacts/5"), -EACCES);
    g.w.status = 0;
    assert_int_equal(grove_read(&g, "contacts/5.json"), 0);
    attribute(&g, n, "user.systemefs.error", NULL);
    grove_finish(&g);
}

/* ---- the journal ---- */

static void test_journal(void **state UNUSED)
{
    struct clock_manual clock;
    clock_manual_init(&clock, 0, WORLD_WALL_NS);
    struct journal *j = journal_create(&clock.clock);
    struct api_failure f;
    struct buf out;
    struct journal_counts counts;
    buf_init(&out, 1 << 20);
    assert_false(journal_error_of(j, 7, "", &out));

    api_failure_set(&f, -EINVAL, 12, "email:\nnot\xc2\x9b good");
    f.status = 422;
    /* U+009B commanded the terminal of whoever read `errors`: only ASCII was looked at. */
    journal_failure(j, "close", "contacts/5.json", 7, 3, &f);
    journal_failure(j, "close", "contacts/5.json", 7, 3, &f); /* told twice, one line */
    assert_int_equal(journal_print_errors(j, &out), 0);
    assert_string_equal(out.data,
                        "2026-01-01T00:00:00.000Z request=12 close contacts/5.json EINVAL "
                        "http=422 email: not   good\n");
    buf_reset(&out);
    assert_true(journal_error_of(j, 7, "", &out));
    assert_string_equal(out.data, "request 12: email: not   good");
    buf_reset(&out);
    assert_true(journal_error_of(j, 3, "", &out)); /* right below that directory */
    assert_string_equal(out.data, "request 12: contacts/5.json: email: not   good");
    buf_reset(&out);
    assert_false(journal_error_of(j, 8, "", &out));
    journal_clear(j, 7, "", true);
    assert_false(journal_error_of(j, 7, "", &out));

    /* The rings keep the last ones, oldest first. */
    for (unsigned i = 1; i <= JOURNAL_ERRORS + 5; i++) {
        api_failure_set(&f, -EIO, i, "n");
        journal_failure(j, "read", "x", i, 0, &f);
    }
    for (unsigned i = 1; i <= JOURNAL_REQUESTS + 5; i++)
        journal_exchange(j, &(struct net_exchange){.number = i,
                                                   .try_ = 1,
                                                   .url = "https://h/api/tags?limit=100",
                                                   .status = i % 2 ? 200 : 0,
                                                   .failure = i % 2 ? NET_OK : NET_LOST,
                                                   .ms = 3,
                                                   .bytes = 10});
    buf_reset(&out);
    assert_int_equal(journal_print_errors(j, &out), 0);
    assert_null(strstr(out.data, "request=5 "));
    assert_non_null(strstr(out.data, "request=6 "));
    assert_non_null(strstr(out.data, "request=105 "));
    buf_reset(&out);
    assert_int_equal(journal_print_requests(j, &out), 0);
    assert_string_equal(strrchr(strndupa(out.data, out.len - 1), '\n') + 1,
                        "2026-01-01T00:00:00.000Z request=1005 try=1 GET /api/tags?limit=100 200 "
                        "3ms 10B");
    assert_null(strstr(out.data, "request=5 "));
    assert_non_null(strstr(out.data, " lost "));
    assert_null(strstr(out.data, "https"));
    journal_get_counts(j, &counts);
    assert_int_equal(counts.failures, JOURNAL_ERRORS + 6);
    assert_int_equal(counts.requests, JOURNAL_REQUESTS + 5);
    assert_int_equal(counts.bytes, 10 * (JOURNAL_REQUESTS + 5));
    assert_int_equal(counts.by_class[2], 503);
    assert_int_equal(counts.by_class[0], 502);
    buf_finish(&out);
    journal_destroy(j);
    journal_destroy(NULL);
}

/* ---- .systemefs/ ---- */

static void test_texts(void **state UNUSED)
{
    struct grove g;
    init(&g, false);
    assert_int_equal(grove_read(&g, "contacts/5.json"), 0);
    assert_int_equal(grove_read(&g, ".systemefs/status"), 0);
    assert_non_null(strstr(g.text, "\nrecords-cached: 1\n"));
    assert_non_null(strstr(g.text, "\nquota-limit: unknown\n"));
    assert_non_null(strstr(g.text, "\napi-away: 0\n"));
    for (char *p = g.text; *p; p = strchr(p, '\n') + 1) /* one `name: value` a line */
        assert_non_null(memmem(p, strcspn(p, "\n"), ": ", 2));
    assert_int_equal(grove_read(&g, ".systemefs/metrics"), 0);
    assert_non_null(strstr(g.text, "# TYPE systemefs_requests_total counter\n"
                                   "systemefs_requests_total 1\n"));
    assert_int_equal(grove_read(&g, ".systemefs/requests"), 0);
    assert_non_null(strstr(g.text, " GET /api/contacts/5 200 "));
    assert_null(strstr(g.text, "a-key-of-the-test"));
    assert_int_equal(grove_read(&g, ".systemefs/errors"), 0);
    assert_string_equal(g.text, "");
    assert_int_equal(grove_read(&g, ".systemefs/ctl"), 0);
    assert_int_equal(grove_read(&g, "README.md"), 0);
    assert_int_equal(world_requests(&g.w), 1);
    grove_finish(&g);
}

static void test_ctl(void **state UNUSED)
{
    static const char *const good[] = {"",
                                       "\n\n",
                                       "# a comment\n",
                                       "refresh\n",
                                       " refresh \r\n",
                                       "refresh contacts/5.json",
                                       "refresh tags/by-name\n",
                                       "refresh /contacts/5/fields/city\n",
                                       "refresh contacts/5/\n",
                                       "refresh contacts/jane@example.com.json",
                                       "refresh README.md"};
    static const char *const bad[] = {
        "Refresh",  "refresh nowhere", "refresh contacts/7.json", "log",
        "log loud", "reboot now",      "refresh\nbogus\n"};
    struct grove g;
    init(&g, true);
    uint64_t ctl = ino(&g, ".systemefs/ctl");
    enum log_level level = log_get_level();
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (grove_write(&g, ctl, good[i]) != 0)
            fail_msg("'%s': %s", good[i], g.failure.message);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (grove_write(&g, ctl, bad[i]) != -EINVAL)
            fail_msg("'%s' passes", bad[i]);
        assert_true(g.failure.message[0]);
    }
    assert_int_equal(grove_write(&g, ctl, "log debug\nlog error\n"), 0);
    assert_int_equal(log_get_level(), LOG_LEVEL_ERROR);
    log_set_level(level);
    grove_finish(&g);
}

/* After a refresh of a path, what it shows is asked for again, and only that. */
static void test_refresh(void **state UNUSED)
{
    static const struct {
        const char *path;  /* refreshed */
        const char *again; /* asked for again */
        const char *still; /* not asked for again */
    } rows[] = {
        {"contacts/5.json", "contacts/5.json", "tags/1.json"},
        {"contacts/5/fields/city", "contacts/5.json", "tags/1.json"},
        {"contacts/5/fields", "contacts/5.json", "tags/1.json"},
        {"contacts/5/tags", "contacts/5.json", "tags/1.json"},
        {"contacts/5", "contacts/5.json", "tags/1.json"},
        {"contacts/jane@example.com.json", "contacts/5.json", "tags/1.json"},
        {"tags/1.json", "tags/1.json", "contacts/5.json"},
        {"tags", "tags/1.json", "contacts/5.json"},
        {"tags/by-name", "tags/1.json", "contacts/5.json"},
        {"courses/11.json", "courses/11.json", "tags/1.json"},
        {"courses", "courses/11.json", "contacts/5.json"},
        {"", "courses/11.json", NULL},
        {"", "contacts/5.json", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        char line[128];
        init(&g, true);
        assert_int_equal(grove_list(&g, "tags", 10), 0);
        assert_int_equal(grove_read(&g, "courses/11.json"), 0);
        assert_int_equal(grove_read(&g, "contacts/5.json"), 0);
        assert_int_equal(grove_path(&g, "contacts/jane@example.com.json"), 0);
        snprintf(line, sizeof(line), "refresh %s\n", rows[i].path);
        assert_int_equal(grove_write(&g, ino(&g, ".systemefs/ctl"), line), 0);
        size_t asked = world_requests(&g.w);
        if (rows[i].still) {
            assert_int_equal(grove_read(&g, rows[i].still), 0);
            assert_int_equal(world_requests(&g.w), asked);
        }
        assert_int_equal(grove_read(&g, rows[i].again), 0);
        if (world_requests(&g.w) != asked + 1)
            fail_msg("refresh %s: %zu requests for %s", rows[i].path, world_requests(&g.w) - asked,
                     rows[i].again);
        assert_int_equal(grove_read(&g, rows[i].again), 0);
        assert_int_equal(world_requests(&g.w), asked + 1);
        grove_finish(&g);
    }
}

/* A line that waits runs the lines before it again: they must not undo what it waits for. */
static void test_refresh_lines(void **state UNUSED)
{
    struct grove g;
    init(&g, true);
    world_fill(&g.w, RES_TAG, 100, 600);
    uint64_t ctl = ino(&g, ".systemefs/ctl");
    assert_int_equal(grove_write(&g, ctl,
                                 "refresh\nrefresh contacts/jane@example.com.json\n"
                                 "refresh tags/tag-300.json\nrefresh tags/by-name/vip.json\n"
                                 "refresh courses/11.json\nrefresh contacts/5/fields/city"),
                     0);
    assert_true(world_requests(&g.w) < 30);
    grove_finish(&g);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, world_no_log, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_files),    cmocka_unit_test(test_old_pages),
        cmocka_unit_test(test_kernel),        cmocka_unit_test(test_told_by_getattr),
        cmocka_unit_test(test_xattrs),        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_journal),       cmocka_unit_test(test_texts),
        cmocka_unit_test(test_ctl),           cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_refresh_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
