/* tree: two who write, and what a save is a change of. */
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
#define DRAFT      "drafts/" PATH
#define GET5       "GET /api/contacts/5\n"
#define WRITING    (O_WRONLY | O_TRUNC)
#define SENT(body) PATCH5 body "\n"

static int vim, nano; /* two processes */

static void init(struct grove *g)
{
    desk_log();
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = true});
    desk_fill(&g->w);
    vim = getpid();
    nano = grove_process(g);
    g->caller = vim;
}

static void read_as(struct grove *g, int caller)
{
    g->caller = caller;
    assert_int_equal(grove_read(g, PATH), 0);
    world_asked(&g->w);
}

static int save_as(struct grove *g, int caller, const char *text)
{
    g->caller = caller;
    return grove_save(g, PATH, text);
}

/* Somebody else changes the record, at the server. */
static void elsewhere(struct grove *g, const char *text)
{
    world_put(&g->w, RES_CONTACT, text);
    world_advance(&g->w, SAVE_RECENT_MS + 1);
}

static void check_server(struct grove *g, const char *text)
{
    world_advance(&g->w, TTL);
    assert_int_equal(world_record(&g->w, RES_CONTACT, "5"), 0);
    assert_string_equal(g->w.text, text);
    world_asked(&g->w);
}

/* Each has a text of its own, and sees nothing of the other's before it is saved. */
static void test_own_texts(void **state UNUSED)
{
    struct grove g;
    struct tree_file *a, *b, *reader;
    const char *text;
    size_t len;
    init(&g);
    assert_int_equal(grove_open_path(&g, PATH, O_RDONLY, &reader), 0);
    assert_int_equal(grove_open_path(&g, PATH, O_RDWR, &a), 0);
    assert_int_equal(grove_open_path(&g, PATH, O_RDWR, &b), 0);
    char *before = strndup(reader->text, reader->len);
    assert_int_equal(grove_truncate(&g, a, 0), 0);
    assert_int_equal(grove_append(&g, a, FRENCH), 0);
    tree_read(b, 0, SIZE_MAX, &text, &len);
    assert_true(len == strlen(before) && memcmp(text, before, len) == 0);
    assert_int_equal(grove_sync(&g, a), 0);
    /* Whoever reads it reads the old text to its end. */
    tree_read(reader, 0, SIZE_MAX, &text, &len);
    assert_true(len == strlen(before) && memcmp(text, before, len) == 0);
    tree_read(reader, len - 3, SIZE_MAX, &text, &len);
    assert_string_equal(text, before + strlen(before) - 3);
    struct tree_attr attr;
    tree_file_attr(g.tree, reader, &attr);
    assert_int_equal(attr.size, strlen(before));
    assert_int_equal(grove_read(&g, PATH), 0);
    assert_non_null(strstr(g.text, "\"fr\""));
    tree_close(g.tree, a);
    tree_close(g.tree, b);
    tree_close(g.tree, reader);
    free(before);
    grove_finish(&g);
}

/* Opened by both, saved one after the other, in place. */
static void test_both(void **state UNUSED)
{
    static const struct {
        const char *first, *second;
        int result;
        const char *after;
    } rows[] = {
        {FRENCH, LINZ, 0, CONTACT("fr", "\"Linz\"", VIP)},
        {FRENCH, FRENCH, 0, CONTACT("fr", "\"Graz\"", VIP)},
        {FRENCH, GERMAN, -ESTALE, CONTACT("fr", "\"Graz\"", VIP)},
        {FRENCH, CONTACT("en", "\"Linz\"", VIP), 0, CONTACT("fr", "\"Linz\"", VIP)},
        {CONTACT("fr", "\"Graz\"", VIP), CONTACT("de", "\"Linz\"", VIP), -ESTALE,
         CONTACT("fr", "\"Graz\"", VIP)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        struct tree_file *a, *b;
        init(&g);
        assert_int_equal(grove_open_path(&g, PATH, O_RDWR, &a), 0);
        g.caller = nano;
        assert_int_equal(grove_open_path(&g, PATH, O_RDWR, &b), 0);
        assert_int_equal(grove_truncate(&g, b, 0), 0);
        assert_int_equal(grove_append(&g, b, rows[i].second), 0);
        g.caller = vim;
        assert_int_equal(grove_truncate(&g, a, 0), 0);
        assert_int_equal(grove_append(&g, a, rows[i].first), 0);
        assert_int_equal(grove_sync(&g, a), 0);
        g.caller = nano;
        assert_int_equal(grove_sync(&g, b), rows[i].result);
        check_kept(&g.w, DRAFT, rows[i].result ? rows[i].second : NULL);
        check_server(&g, rows[i].after);
        tree_close(g.tree, a);
        tree_close(g.tree, b);
        grove_finish(&g);
    }
}

/* Two write, and close at the same moment; from then on the server takes that long. */
static void begin_both(struct grove *g, struct tree_file *files[2], struct grove_call calls[2],
                       const char *second, int64_t delay_ms)
{
    const char *const texts[] = {FRENCH, second};
    const int callers[] = {vim, nano};
    for (size_t i = 0; i < 2; i++) {
        g->caller = callers[i];
        assert_int_equal(grove_open_path(g, PATH, O_WRONLY, &files[i]), 0);
        assert_int_equal(grove_truncate(g, files[i], 0), 0);
        assert_int_equal(grove_append(g, files[i], texts[i]), 0);
    }
    world_asked(&g->w);
    g->w.delay_ms = delay_ms;
    for (size_t i = 0; i < 2; i++) {
        g->caller = callers[i];
        grove_begin_sync(g, &calls[i], files[i]);
    }
}

/* The second waits for the first, and is a change of what that has made. */
static void test_at_once(void **state UNUSED)
{
    struct grove g;
    struct tree_file *files[2];
    struct grove_call calls[2];
    init(&g);
    begin_both(&g, files, calls, "{\"tags\":[]}", 50);
    assert_int_equal(grove_wait(&calls[1]), 0);
    assert_int_equal(calls[0].run.ends, 1);
    assert_int_equal(calls[0].run.result, 0);
    check_sent(&g.w, SENT(FRENCH) "DELETE /api/contacts/5/tags/1\n");
    tree_close(g.tree, files[0]);
    tree_close(g.tree, files[1]);
    check_server(&g, CONTACT("fr", "\"Graz\"", ""));
    grove_finish(&g);
}

/* The first gets no answer, and its time is up. That of the second is, too, while it waits for the
 * record, for which somebody has asked later, and may still wait: it was told that the API cannot
 * be reached (EREMOTEIO). */
static void test_never_its_turn(void **state UNUSED)
{
    struct grove g;
    struct tree_file *files[2];
    struct grove_call calls[2];
    static const char city[] = "{\"fields\":[{\"slug\":\"city\",\"value\":\"Linz\"}]}";
    init(&g);
    struct run reader = {.res = RES_CONTACT, .key = store_key(g.w.store, RES_CONTACT, "5")};
    begin_both(&g, files, calls, city, 2 * WORLD_TIMEOUT_MS);
    world_advance(&g.w, WORLD_TIMEOUT_MS / 2);
    store_refresh_record(g.w.store, RES_CONTACT, reader.key);
    run_begin(&g.w, &reader, run_record);
    assert_int_equal(grove_wait(&calls[0]), -ETIMEDOUT);
    assert_int_equal(grove_wait(&calls[1]), -ETIMEDOUT);
    assert_non_null(strstr(g.failure.message, "within 30 seconds: nothing was sent"));
    assert_non_null(strstr(g.failure.message, "nothing was sent"));
    check_sent(&g.w, SENT(FRENCH));
    check_kept(&g.w, DRAFT ".2", city);
    assert_int_equal(world_run(&g.w, &reader), 0); /* as it was */
    run_finish(&reader);
    tree_close(g.tree, files[0]);
    tree_close(g.tree, files[1]);
    grove_finish(&g);
}

/* The editor has read it, and closed it; its save is a change of that, though others have seen a
 * newer one since, and though it opens the file anew to write it (O_TRUNC, or ftruncate). */
static void test_older_base(void **state UNUSED)
{
    static const char text[] = CONTACT("fr", "\"Graz\"", VIP);
    for (int by_truncate = 0; by_truncate < 2; by_truncate++) {
        struct grove g;
        struct tree_file *file;
        init(&g);
        read_as(&g, vim);
        elsewhere(&g, CONTACT("en", "\"Wien\"", VIP));
        world_advance(&g.w, TTL);
        read_as(&g, nano);
        /* The whole text, as an editor saves it: the city in it is not meant. */
        g.caller = vim;
        assert_int_equal(grove_open_path(&g, PATH, by_truncate ? O_WRONLY : WRITING, &file), 0);
        if (by_truncate)
            assert_int_equal(grove_truncate(&g, file, 0), 0);
        assert_int_equal(grove_append(&g, file, text), 0);
        assert_int_equal(grove_sync(&g, file), 0);
        tree_close(g.tree, file);
        check_sent(&g.w, SENT(FRENCH));
        check_server(&g, CONTACT("fr", "\"Wien\"", VIP));
        /* And nano's is a change of what nano has read. */
        assert_int_equal(save_as(&g, nano, CONTACT("en", "\"Linz\"", VIP)), 0);
        check_sent(&g.w, SENT(LINZ));
        check_server(&g, CONTACT("fr", "\"Linz\"", VIP));
        grove_finish(&g);
    }
}

/* It saves a second time and has not read it again: somebody else's change in between is not put
 * back, neither by the first save nor by the second. */
static void test_saved_twice(void **state UNUSED)
{
    for (int how = 0; how < 3; how++) {
        struct grove g;
        struct tree_file *file = NULL;
        init(&g);
        read_as(&g, vim);
        static const char *const texts[] = {CONTACT("fr", "\"Graz\"", VIP),
                                            CONTACT("de", "\"Graz\"", VIP),
                                            CONTACT("de", "\"Linz\"", VIP)};
        if (how == 2)
            assert_int_equal(grove_open_path(&g, PATH, O_WRONLY, &file), 0);
        for (int i = 0; i < 3; i++) {
            int r = 0;
            if (i == 1)
                elsewhere(&g, CONTACT("fr", "\"Wien\"", VIP));
            g.caller = vim;
            if (how == 0) { /* in place */
                r = save_as(&g, vim, texts[i]);
            } else if (how == 1) { /* beside it, and renamed over it */
                assert_int_equal(grove_save(&g, "contacts/.5.swp", texts[i]), 0);
                r = grove_rename(&g, "contacts/.5.swp", PATH);
            } else { /* through one descriptor, with fsync */
                assert_int_equal(grove_truncate(&g, file, 0), 0);
                assert_int_equal(grove_append(&g, file, texts[i]), 0);
                r = grove_sync(&g, file);
            }
            /* The city was never his affair, until he changes it himself. */
            if (r != (i == 2 ? -ESTALE : 0))
                fail_msg("way %d, save %d: %d, %s", how, i, r, g.failure.message);
            check_sent(&g.w, i == 0 ? SENT(FRENCH) : i == 1 ? SENT(GERMAN) : "");
        }
        if (file)
            tree_close(g.tree, file);
        check_server(&g, CONTACT("de", "\"Wien\"", VIP));
        grove_finish(&g);
    }
}

/* A part of a record is no base: what the editor has before it then is the record. */
static void test_part_saved(void **state UNUSED)
{
    struct grove g;
    init(&g);
    read_as(&g, vim);
    assert_int_equal(save_as(&g, vim, FRENCH), 0);
    assert_int_equal(save_as(&g, vim, CONTACT("fr", "\"Graz\"", VIP)), 0);
    elsewhere(&g, CONTACT("fr", "\"Wien\"", VIP));
    assert_int_equal(save_as(&g, vim, LINZ), -ESTALE);
    check_sent(&g.w, SENT(FRENCH));
    grove_finish(&g);
}

/* One program copies it out, another one copies it back (sudoedit): what was opened last by anybody
 * stands in. */
static void test_by_others(void **state UNUSED)
{
    struct grove g;
    init(&g);
    read_as(&g, nano);
    elsewhere(&g, CONTACT("en", "\"Wien\"", VIP));
    assert_int_equal(save_as(&g, vim, CONTACT("fr", "\"Graz\"", VIP)), 0);
    check_sent(&g.w, SENT(FRENCH));
    check_server(&g, CONTACT("fr", "\"Wien\"", VIP));
    grove_finish(&g);
}

/* Nobody has opened it: what is known now. */
static void test_unread(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(save_as(&g, vim, CONTACT("fr", "\"Graz\"", VIP)), 0);
    check_asked(&g.w, GET5 SENT(FRENCH));
    grove_finish(&g);
}

/* Deleted elsewhere while it is open: no save makes it again. */
static void test_deleted(void **state UNUSED)
{
    struct grove g;
    struct tree_file *file;
    init(&g);
    read_as(&g, vim);
    assert_int_equal(grove_open_path(&g, PATH, O_RDWR, &file), 0);
    world_remove(&g.w, RES_CONTACT, "5");
    world_advance(&g.w, SAVE_RECENT_MS + 1);
    assert_int_equal(grove_truncate(&g, file, 0), 0);
    assert_int_equal(grove_append(&g, file, FRENCH), 0);
    assert_int_equal(grove_sync(&g, file), -ENOENT);
    assert_int_equal(grove_sync(&g, file), -ENOENT);
    tree_close(g.tree, file);
    check_asked(&g.w, GET5);
    check_kept(&g.w, DRAFT, FRENCH);
    check_reason(&g.w, PATH, "");
    /* Nor does the name: ids are given by the server. */
    assert_int_equal(save_as(&g, vim, GERMAN), -EPERM);
    check_sent(&g.w, "");
    check_kept(&g.w, DRAFT, GERMAN);
    grove_finish(&g);
}

/* By a human name it is a save of the record. */
static void test_by_name(void **state UNUSED)
{
    struct grove g;
    init(&g);
    static const char *const paths[] = {"contacts/jane@example.com.json",
                                        "contacts/by-email/jane@example.com.json",
                                        "tags/1/contacts/5.json"};
    static const char *const texts[] = {FRENCH, GERMAN, "{\"locale\":\"it\"}"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        char sent[128];
        snprintf(sent, sizeof(sent), PATCH5 "%s\n", texts[i]);
        assert_int_equal(grove_save(&g, paths[i], texts[i]), 0);
        check_sent(&g.w, sent);
    }
    check_kept(&g.w, DRAFT, NULL);
    /* A refused one is a draft of the record, where the record is looked for. */
    assert_int_equal(grove_save(&g, paths[0], "{}{}"), -EINVAL);
    check_kept(&g.w, DRAFT, "{}{}");
    grove_finish(&g);
}

/* The draft, copied onto the record by another program, sends what is left, and is gone. */
static void test_draft_again(void **state UNUSED)
{
    static const char text[] = CONTACT("fr", "\"Linz\"", VIP ",{\"id\":9,\"name\":\"nine\"}");
    struct grove g;
    init(&g);
    read_as(&g, vim);
    scripted_expect(&g.w.server, HTTP_POST, "/tags", &(struct scripted_answer){.status = 422});
    assert_int_equal(save_as(&g, vim, text), -EINVAL);
    check_kept(&g.w, DRAFT, text);
    world_asked(&g.w);
    g.caller = nano;
    assert_int_equal(grove_read(&g, ".systemefs/drafts/contacts/5.json"), 0);
    assert_string_equal(g.text, text);
    assert_int_equal(save_as(&g, nano, text), 0);
    check_sent(&g.w, "POST /api/contacts/5/tags {\"tagId\":9}\n");
    check_kept(&g.w, DRAFT, NULL);
    check_kept(&g.w, DRAFT ".reason", NULL);
    grove_finish(&g);
}

/* What it says has become so meanwhile: nothing is left to send, and the draft has done its work. A
 * text that says something else leaves it alone. */
static void test_draft_is_so(void **state UNUSED)
{
    struct grove g;
    init(&g);
    read_as(&g, vim);
    scripted_expect(&g.w.server, HTTP_PATCH, "", &(struct scripted_answer){.status = 422});
    assert_int_equal(save_as(&g, vim, FRENCH), -EINVAL);
    elsewhere(&g, CONTACT("fr", "\"Graz\"", VIP));
    world_advance(&g.w, TTL);
    read_as(&g, nano);
    world_sent(&g.w);
    assert_int_equal(save_as(&g, nano, CONTACT("fr", "\"Graz\"", VIP)), 0);
    check_kept(&g.w, DRAFT, FRENCH);
    assert_int_equal(save_as(&g, nano, FRENCH), 0);
    check_sent(&g.w, "");
    check_kept(&g.w, DRAFT, NULL);
    check_kept(&g.w, DRAFT ".reason", NULL);
    grove_finish(&g);
}

/* Somebody else's draft is not overwritten. */
static void test_drafts_of_two(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(save_as(&g, vim, "vim"), -EINVAL);
    assert_int_equal(save_as(&g, nano, "nano"), -EINVAL);
    check_kept(&g.w, DRAFT, "vim");
    check_kept(&g.w, DRAFT ".2", "nano");
    assert_int_equal(save_as(&g, nano, "nano again"), -EINVAL);
    check_kept(&g.w, DRAFT, "vim");
    check_kept(&g.w, DRAFT ".2", "nano again");
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_texts),     cmocka_unit_test(test_both),
        cmocka_unit_test(test_at_once),       cmocka_unit_test(test_older_base),
        cmocka_unit_test(test_saved_twice),   cmocka_unit_test(test_part_saved),
        cmocka_unit_test(test_by_others),     cmocka_unit_test(test_unread),
        cmocka_unit_test(test_deleted),       cmocka_unit_test(test_by_name),
        cmocka_unit_test(test_draft_again),   cmocka_unit_test(test_draft_is_so),
        cmocka_unit_test(test_drafts_of_two), cmocka_unit_test(test_never_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
