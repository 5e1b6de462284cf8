/* tree: open files that are written: when something is sent, and what it is a change of. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "save_fixture.h"
#include "world_tree.h"

#define FRENCH     "{\"locale\":\"fr\"}"
#define GERMAN     "{\"locale\":\"de\"}"
#define LINZ       "{\"fields\":[{\"slug\":\"city\",\"value\":\"Linz\"}]}"
#define BAD        "{\"email\":\"x@example.com\"}"
#define DRAFT      "drafts/" PATH
#define GET5       "GET /api/contacts/5\n"
#define WRITING    (O_WRONLY | O_TRUNC)
#define TEXT_MAX   ((size_t)64 << 20) /* of a file that is written */
#define SENT(body) PATCH5 body "\n"

static void init(struct grove *g)
{
    desk_log();
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = true});
    desk_fill(&g->w);
    g->caller = getpid();
    assert_int_equal(grove_read(g, PATH), 0);
    world_asked(&g->w);
}

static struct tree_file *open_as(struct grove *g, int caller, const char *path, int flags)
{
    struct tree_file *file = NULL;
    g->caller = caller;
    if (grove_open_path(g, path, flags, &file) != 0)
        fail_msg("%s: %s", path, g->failure.message);
    world_asked(&g->w);
    return file;
}

static struct tree_file *open_it(struct grove *g, int flags)
{
    return open_as(g, g->caller, PATH, flags);
}

/* ---- when ---- */

static void test_flushes(void **state UNUSED)
{
    struct grove g;
    init(&g);
    /* Nothing written, nothing sent. */
    struct tree_file *file = open_it(&g, O_RDWR);
    assert_int_equal(grove_sync(&g, file), 0);
    assert_int_equal(grove_sync(&g, file), 0);
    tree_close(g.tree, file);
    /* No bytes: a shell's "> file" closes once before it writes. */
    file = open_it(&g, WRITING);
    assert_int_equal(grove_sync(&g, file), 0);
    tree_close(g.tree, file);
    check_asked(&g.w, "");
    /* Sent once, however often it is closed. */
    file = open_it(&g, WRITING);
    assert_int_equal(grove_append(&g, file, "{\"locale\""), 0);
    assert_int_equal(grove_append(&g, file, ":\"fr\"}"), 0);
    check_asked(&g.w, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(grove_sync(&g, file), 0);
    check_asked(&g.w, SENT(FRENCH));
    /* What is new is sent, too. */
    assert_int_equal(grove_truncate(&g, file, 0), 0);
    assert_int_equal(grove_append(&g, file, GERMAN), 0);
    assert_int_equal(grove_sync(&g, file), 0);
    tree_close(g.tree, file);
    check_asked(&g.w, SENT(GERMAN));
    grove_finish(&g);
}

/* The verdict is repeated to all who close it; nothing is sent for that. */
static void test_verdict(void **state UNUSED)
{
    struct grove g;
    init(&g);
    struct tree_file *file = open_it(&g, WRITING);
    scripted_expect(&g.w.server, HTTP_PATCH, "",
                    &(struct scripted_answer){.status = 422, .body = "{\"detail\":\"No.\"}"});
    assert_int_equal(grove_append(&g, file, FRENCH), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(grove_sync(&g, file), -EINVAL);
        assert_string_equal(g.failure.message, "HTTP 422: No.");
    }
    check_sent(&g.w, SENT(FRENCH));
    check_kept(&g.w, DRAFT, FRENCH);
    /* Something new is a new try, of the same process: its draft takes the place of the old one. */
    assert_int_equal(grove_truncate(&g, file, 0), 0);
    assert_int_equal(grove_append(&g, file, BAD), 0);
    assert_int_equal(grove_sync(&g, file), -EINVAL);
    assert_int_equal(grove_sync(&g, file), -EINVAL);
    check_kept(&g.w, DRAFT, BAD);
    check_kept(&g.w, DRAFT ".2", NULL);
    check_reason(&g.w, PATH, "email");
    assert_int_equal(grove_truncate(&g, file, 0), 0);
    assert_int_equal(grove_append(&g, file, GERMAN), 0);
    assert_int_equal(grove_sync(&g, file), 0);
    assert_int_equal(grove_sync(&g, file), 0);
    check_kept(&g.w, DRAFT, NULL);
    tree_close(g.tree, file);
    grove_finish(&g);
}

/* Two who close at once, one of them while the save is under way: one request, one verdict. */
static void test_verdict_shared(void **state UNUSED)
{
    struct grove g;
    struct grove_call calls[2];
    init(&g);
    struct tree_file *file = open_it(&g, WRITING);
    assert_int_equal(grove_append(&g, file, FRENCH), 0);
    g.w.delay_ms = 100;
    g.w.status = 422;
    g.w.body = "{\"detail\":\"No.\"}";
    grove_begin_sync(&g, &calls[0], file);
    world_turn(&g.w);
    grove_begin_sync(&g, &calls[1], file);
    assert_int_equal(grove_wait(&calls[1]), -EINVAL);
    assert_int_equal(grove_wait(&calls[0]), -EINVAL);
    assert_string_equal(g.failure.message, "HTTP 422: No.");
    check_sent(&g.w, SENT(FRENCH));
    tree_close(g.tree, file);
    grove_finish(&g);
}

/* Something new is written while the save of the older text is under way: it is a change of its
 * own. */
static void test_written_meanwhile(void **state UNUSED)
{
    struct grove g;
    struct grove_call call;
    init(&g);
    struct tree_file *file = open_it(&g, WRITING);
    assert_int_equal(grove_append(&g, file, CONTACT("fr", "\"Graz\"", VIP)), 0);
    g.w.delay_ms = 100;
    grove_begin_sync(&g, &call, file);
    world_turn(&g.w);
    assert_int_equal(grove_truncate(&g, file, 0), 0);
    assert_int_equal(grove_append(&g, file, CONTACT("de", "\"Graz\"", VIP)), 0);
    assert_int_equal(grove_wait(&call), 0);
    check_sent(&g.w, SENT(FRENCH));
    assert_int_equal(grove_sync(&g, file), 0);
    check_sent(&g.w, SENT(GERMAN));
    tree_close(g.tree, file);
    /* Nor is it taken for what the process has before it. */
    assert_int_equal(grove_save(&g, PATH, CONTACT("fr", "\"Graz\"", VIP)), 0);
    check_sent(&g.w, SENT(FRENCH));
    grove_finish(&g);
}

/* A child of the writer that ends closes what it was lent: that is not the end of the text. */
static void test_child(void **state UNUSED)
{
    struct grove g;
    init(&g);
    pid_t child = grove_process(&g);
    struct tree_file *file = open_it(&g, WRITING);
    assert_int_equal(grove_append(&g, file, "{\"locale\":"), 0);
    g.caller = child;
    assert_int_equal(grove_sync(&g, file), 0);
    g.caller = getpid();
    assert_int_equal(grove_append(&g, file, "\"fr\"}"), 0);
    g.caller = child;
    assert_int_equal(grove_sync(&g, file), 0);
    check_asked(&g.w, "");
    g.caller = getpid();
    assert_int_equal(grove_sync(&g, file), 0);
    check_asked(&g.w, SENT(FRENCH));
    tree_close(g.tree, file);
    grove_finish(&g);
}

/* It was given to somebody else, who never closes it: sent when the last one lets it go, and a
 * refusal has a draft and a line in `errors`. */
static void test_release(void **state UNUSED)
{
    struct grove g;
    init(&g);
    struct tree_file *file = open_it(&g, WRITING);
    assert_int_equal(grove_append(&g, file, FRENCH), 0);
    tree_close(g.tree, file);
    world_advance(&g.w, 1000);
    check_asked(&g.w, SENT(FRENCH));
    check_kept(&g.w, DRAFT, NULL);

    file = open_it(&g, WRITING);
    assert_int_equal(grove_append(&g, file, BAD), 0);
    tree_close(g.tree, file);
    world_advance(&g.w, 1000);
    check_asked(&g.w, "");
    check_kept(&g.w, DRAFT, BAD);
    assert_int_equal(grove_read(&g, ".systemefs/errors"), 0);
    assert_non_null(strstr(g.text, " release contacts/5.json EINVAL "));

    /* Where the account would have to be asked first, there is nobody to wait for it. */
    file = open_as(&g, getpid(), "contacts/5/tags/nine.json", WRITING | O_CREAT);
    assert_int_equal(grove_append(&g, file, "{}"), 0);
    tree_close(g.tree, file);
    world_advance(&g.w, 1000);
    check_sent(&g.w, "");
    check_kept(&g.w, "drafts/contacts/5/tags/nine.json", "{}");
    check_reason(&g.w, "contacts/5/tags/nine.json", "nothing was sent");
    grove_finish(&g);
}

/* The mount ends while texts wait to be closed: they are drafts, and not sent. */
static void test_end_of_mount(void **state UNUSED)
{
    struct grove g;
    init(&g);
    struct tree_file *file = open_it(&g, WRITING);
    assert_int_equal(grove_append(&g, file, FRENCH), 0);
    file = open_as(&g, getpid(), "tags/new.json", WRITING | O_CREAT);
    assert_int_equal(grove_append(&g, file, "{\"name\":\"new\"}"), 0);
    file = open_as(&g, getpid(), "tags/.swp", WRITING | O_CREAT);
    assert_int_equal(grove_append(&g, file, "an editor's own"), 0);
    tree_destroy(g.tree);
    g.tree = NULL;
    world_advance(&g.w, 1000);
    check_asked(&g.w, "");
    check_kept(&g.w, DRAFT, FRENCH);
    check_reason(&g.w, PATH, "nothing was sent");
    check_kept(&g.w, "drafts/tags/new.json", "{\"name\":\"new\"}");
    check_reason(&g.w, "tags/new.json", "nothing was sent");
    check_kept(&g.w, "drafts/tags/.swp", NULL);
    check_kept(&g.w, "drafts/tags/swp", NULL);
    grove_finish(&g);
}

/* ---- a shell, which does not look at the result of close(2) ---- */

static void test_shell(void **state UNUSED)
{
    static const struct {
        const char *path, *text;
        bool early;
        int result;       /* of the write */
        const char *sent; /* by then */
    } rows[] = {
        {PATH, FRENCH "\n", true, 0, SENT(FRENCH)},
        {PATH, FRENCH, true, 0, SENT(FRENCH)},
        {PATH, "{\"locale\":\n", true, 0, ""}, /* more may follow */
        {PATH, "{\"loc", true, 0, ""},
        {PATH, "locale=fr\n", true, -EINVAL, ""},
        {PATH, BAD "\n", true, -EINVAL, ""},
        {PATH, "5\n", true, 0, ""},
        {PATH, FRENCH "\n", false, 0, ""},
        {"tags/new.json", "{\"name\":\"new\"}\n", true, 0, "POST /api/tags {\"name\":\"new\"}\n"},
        {"contacts/77.json", FRENCH "\n", true, -EPERM, ""},
        {"contacts/5/fields/city", "Linz\n", true, 0, ""},
        {".swp", "{}\n", true, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        init(&g);
        struct tree_file *file = open_as(&g, getpid(), rows[i].path, WRITING | O_CREAT);
        if (rows[i].early)
            assert_int_equal(grove_sync(&g, file), 0);
        if (grove_append(&g, file, rows[i].text) != rows[i].result)
            fail_msg("%s: %s", rows[i].text, g.failure.message);
        check_sent(&g.w, rows[i].sent);
        int r = grove_sync(&g, file);
        assert_true(rows[i].result ? r == rows[i].result : true);
        check_sent(&g.w, strcmp(rows[i].path, PATH) == 0 && !rows[i].early ? SENT(FRENCH)
                         : strstr(rows[i].path, "fields")                  ? SENT(LINZ)
                                                                           : "");
        tree_close(g.tree, file);
        grove_finish(&g);
    }
}

/* ---- what ---- */

static void test_bytes(void **state UNUSED)
{
    struct grove g;
    const char *text;
    size_t len;
    init(&g);
    /* In place: a part of it is written over. */
    struct tree_file *file = open_it(&g, O_RDWR);
    tree_read(file, 0, SIZE_MAX, &text, &len);
    const char *at = memmem(text, len, "\"en\"", 4);
    assert_non_null(at);
    size_t before = len;
    assert_int_equal(grove_write_at(&g, file, "\"fr\"", (uint64_t)(at - text)), 0);
    tree_read(file, 0, SIZE_MAX, &text, &len);
    assert_int_equal(len, before);
    struct tree_attr attr;
    tree_file_attr(g.tree, file, &attr);
    assert_int_equal(attr.size, before);
    assert_int_equal(grove_sync(&g, file), 0);
    check_asked(&g.w, SENT(FRENCH));
    /* Behind its end there are zeros, which are no JSON. */
    assert_int_equal(grove_write_at(&g, file, "}", before + 5), 0);
    assert_int_equal(grove_sync(&g, file), -EINVAL);
    check_reason(&g.w, PATH, "NUL");
    assert_int_equal(disk_memory_text(&g.w.disk, DRAFT)[before + 5], '}');
    assert_int_equal(grove_truncate(&g, file, before - 3), 0);
    assert_int_equal(grove_sync(&g, file), -EINVAL);
    tree_read(file, before - 5, 100, &text, &len);
    assert_int_equal(len, 2);
    tree_read(file, before, 100, &text, &len);
    assert_int_equal(len, 0);
    tree_close(g.tree, file);
    /* O_APPEND is behind the text, whatever the offset says. */
    file = open_it(&g, O_WRONLY | O_APPEND);
    tree_read(file, 0, SIZE_MAX, &text, &before);
    assert_int_equal(grove_write_at(&g, file, "{}", 0), 0);
    tree_read(file, before, SIZE_MAX, &text, &len);
    assert_int_equal(len, 2);
    assert_int_equal(grove_sync(&g, file), -EINVAL);
    tree_close(g.tree, file);
    check_asked(&g.w, "");
    grove_finish(&g);
}

static void test_too_large(void **state UNUSED)
{
    struct grove g;
    init(&g);
    size_t len = (size_t)1 << 20;
    char *text = malloc(len + 2);
    memset(text, ' ', len + 1);
    text[0] = '{';
    text[len] = '}';
    text[len + 1] = '\0';
    assert_int_equal(grove_save(&g, PATH, text), -EFBIG);
    check_kept(&g.w, DRAFT, text);
    free(text);
    struct tree_file *file = open_it(&g, WRITING);
    assert_int_equal(grove_write_at(&g, file, "x", TEXT_MAX), -EFBIG);
    assert_int_equal(grove_truncate(&g, file, TEXT_MAX + 1), -EFBIG);
    assert_int_equal(grove_write_at(&g, file, "x", INT64_MAX), -EFBIG);
    tree_close(g.tree, file);
    check_asked(&g.w, "");
    grove_finish(&g);
}

static void test_not_written(void **state UNUSED)
{
    static const char *const paths[] = {"README.md",
                                        "courses/11.json",
                                        "enrollments/21.json",
                                        "contacts/5/subscriptions/51.json",
                                        ".systemefs/status",
                                        ".systemefs/drafts/contacts/5.json",
                                        ".systemefs/drafts/contacts/5.json.reason"};
    struct grove g;
    struct tree_file *file;
    init(&g);
    assert_int_equal(grove_save(&g, PATH, BAD), -EINVAL);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        int r = grove_open_path(&g, paths[i], O_WRONLY, &file);
        if (r != -EPERM || !g.failure.message[0])
            fail_msg("%s: %d", paths[i], r);
    }
    /* A descriptor that only reads. */
    file = open_it(&g, O_RDONLY);
    assert_int_equal(grove_write_at(&g, file, "x", 0), -EBADF);
    assert_int_equal(grove_sync(&g, file), 0);
    tree_close(g.tree, file);
    check_sent(&g.w, "");
    grove_finish(&g);
}

/* ---- one value ---- */

static void test_values(void **state UNUSED)
{
    static const struct {
        const char *text, *sent;
    } rows[] = {
        {"Linz\n", SENT(LINZ)},
        {"Linz", SENT(LINZ)},
        {"Graz\n", ""},
        {"", ""},
        {"\n", SENT("{\"fields\":[{\"slug\":\"city\",\"value\":null}]}")},
        {"a\nb\n\n", SENT("{\"fields\":[{\"slug\":\"city\",\"value\":\"a\\nb\\n\"}]}")},
        {"\"\\", SENT("{\"fields\":[{\"slug\":\"city\",\"value\":\"\\\"\\\\\"}]}")},
        {"null\n", SENT("{\"fields\":[{\"slug\":\"city\",\"value\":\"null\"}]}")},
        {"\xff\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        init(&g);
        assert_int_equal(grove_save(&g, "contacts/5/fields/city", rows[i].text),
                         rows[i].sent ? 0 : -EINVAL);
        check_asked(&g.w, rows[i].sent ? rows[i].sent : "");
        check_kept(&g.w, "drafts/contacts/5/fields/city", rows[i].sent ? NULL : rows[i].text);
        grove_finish(&g);
    }
    struct grove g;
    init(&g);
    assert_int_equal(grove_unlink(&g, "contacts/5/fields/city"), 0);
    check_sent(&g.w, SENT("{\"fields\":[{\"slug\":\"city\",\"value\":null}]}"));
    check_kept(&g.w, "trash/contacts/5/fields/city", "Graz\n");
    check_kept(&g.w, "drafts/contacts/5/fields/city", NULL);
    assert_int_equal(grove_read(&g, "contacts/5/fields/city"), 0);
    assert_string_equal(g.text, "\n");
    /* No field of the account: a file of its own. */
    assert_int_equal(grove_save(&g, "contacts/5/fields/shoes", "44\n"), 0);
    assert_int_equal(grove_read(&g, "contacts/5/fields/shoes"), 0);
    assert_string_equal(g.text, "44\n");
    check_sent(&g.w, "");
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flushes),        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_verdict_shared), cmocka_unit_test(test_written_meanwhile),
        cmocka_unit_test(test_child),          cmocka_unit_test(test_release),
        cmocka_unit_test(test_end_of_mount),   cmocka_unit_test(test_shell),
        cmocka_unit_test(test_bytes),          cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_not_written),    cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
