/* store/follow: what else is true after a change, without asking: listings, parts, names, records
 * that show the name of another one; and what is under way meanwhile. */
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

#define FRENCH "{\"locale\":\"fr\"}"

static void init(struct grove *g)
{
    desk_log();
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = true, .delete_limit = 50});
    desk_fill(&g->w);
    g->caller = getpid();
}

/* That the directory lists these names, and that it costs these requests. */
static void check_list(struct grove *g, const char *path, const char *names, const char *asked)
{
    if (grove_list(g, path, 100) != 0)
        fail_msg("%s: %s", path, g->failure.message);
    if (strcmp(g->text, names) != 0)
        fail_msg("%s lists\n%snot\n%s", path, g->text, names);
    check_asked(&g->w, asked);
}

static void read_it(struct grove *g, const char *path)
{
    if (grove_read(g, path) != 0)
        fail_msg("%s: %s", path, g->failure.message);
}

/* Listed in the API's order, the newest first; the directory's time is that of the change. */
static void test_made(void **state UNUSED)
{
    struct grove g;
    init(&g);
    check_list(&g, "contacts", "by-email\n6.json\n5.json\n", "GET /api/contacts?limit=100\n");
    check_list(&g, "contacts/by-email", "b@example.com.json\njane@example.com.json\n", "");
    world_advance(&g.w, 1000);
    assert_int_equal(grove_save(&g, "contacts/x.json", "{\"email\":\"x@example.com\"}"), 0);
    world_asked(&g.w);
    check_list(&g, "contacts", "by-email\n9001.json\n6.json\n5.json\n", "");
    check_list(&g, "contacts/by-email",
               "x@example.com.json\nb@example.com.json\njane@example.com.json\n", "");
    assert_int_equal(grove_path(&g, "contacts"), 0);
    assert_true(g.attr.mtime_ns == WORLD_WALL_NS + INT64_C(1000000000));
    read_it(&g, "contacts/9001.json");
    assert_int_equal(grove_path(&g, "contacts/x@example.com.json"), 0);
    check_asked(&g.w, "");
    /* A name that was looked for, and was nobody's, is somebody's now. */
    assert_int_equal(grove_path(&g, "contacts/y@example.com.json"), -ENOENT);
    assert_int_equal(grove_mkdir(&g, "contacts/y@example.com"), 0);
    assert_int_equal(grove_path(&g, "contacts/y@example.com.json"), 0);
    grove_finish(&g);
}

static void test_removed(void **state UNUSED)
{
    struct grove g;
    init(&g);
    check_list(&g, "contacts", "by-email\n6.json\n5.json\n", "GET /api/contacts?limit=100\n");
    assert_int_equal(grove_path(&g, "contacts/jane@example.com.json"), 0);
    check_list(&g, "tags/1/contacts", "5.json\n", "GET /api/tags/1\n");
    assert_int_equal(grove_unlink(&g, PATH), 0);
    check_asked(&g.w, "DELETE /api/contacts/5\n");
    check_list(&g, "contacts", "by-email\n6.json\n", "");
    check_list(&g, "contacts/by-email", "b@example.com.json\n", "");
    check_list(&g, "tags/1/contacts", "", "");
    assert_int_equal(grove_path(&g, "contacts/jane@example.com.json"), -ENOENT);
    assert_int_equal(grove_path(&g, PATH), -ENOENT);
    assert_int_equal(grove_path(&g, "contacts/5"), -ENOENT);
    check_asked(&g.w, "");
    /* Refused: nothing has changed. */
    scripted_expect(&g.w.server, HTTP_DELETE, "", &(struct scripted_answer){.status = 403});
    assert_int_equal(grove_unlink(&g, "contacts/6.json"), -EACCES);
    world_asked(&g.w);
    check_list(&g, "contacts", "by-email\n6.json\n", "");
    grove_finish(&g);
}

/* An assignment shows from both sides, whichever of them was known before. */
static void test_assigned(void **state UNUSED)
{
    /* bits of `known`: the contacts, the contacts of tag 9, those of tag 1, the tags, contact 5 */
    for (unsigned known = 0; known < 32; known++) {
        struct grove g;
        init(&g);
        static const char *const paths[] = {"contacts", "tags/9/contacts", "tags/1/contacts",
                                            "tags", "contacts/5/tags"};
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
            if (known & 1U << i)
                assert_int_equal(grove_list(&g, paths[i], 100), 0);
        world_asked(&g.w);
        assert_int_equal(grove_mkdir(&g, "contacts/5/tags/9"), 0);
        check_sent(&g.w, "POST /api/contacts/5/tags {\"tagId\":9}\n");
        assert_int_equal(grove_list(&g, "tags/9/contacts", 100), 0);
        if (strcmp(g.text, "5.json\n") != 0)
            fail_msg("known %u: tags/9/contacts lists %s", known, g.text);
        assert_int_equal(grove_list(&g, "contacts/5/tags", 100), 0);
        if (strcmp(g.text, "1.json\n9.json\n") != 0)
            fail_msg("known %u: contacts/5/tags lists %s", known, g.text);
        read_it(&g, PATH);
        assert_non_null(strstr(g.text, "\"nine\""));

        assert_int_equal(grove_unlink(&g, "tags/1/contacts/5.json"), 0);
        assert_int_equal(grove_list(&g, "tags/1/contacts", 100), 0);
        if (strcmp(g.text, "") != 0)
            fail_msg("known %u: tags/1/contacts lists %s", known, g.text);
        assert_int_equal(grove_list(&g, "contacts/5/tags", 100), 0);
        assert_string_equal(g.text, "9.json\n");
        assert_int_equal(grove_path(&g, "contacts/5/tags/1.json"), -ENOENT);
        assert_int_equal(grove_path(&g, "tags/1/contacts/5.json"), -ENOENT);
        assert_int_equal(grove_path(&g, "tags/9/contacts/5.json"), 0);
        grove_finish(&g);
    }
}

/* The same by the contact's own file. */
static void test_tags_saved(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_list(&g, "tags/1/contacts", 100), 0);
    assert_int_equal(grove_list(&g, "tags/9/contacts", 100), 0);
    assert_int_equal(grove_save(&g, PATH, "{\"tags\":[{\"id\":9}]}"), 0);
    world_asked(&g.w);
    check_list(&g, "tags/1/contacts", "", "");
    check_list(&g, "tags/9/contacts", "5.json\n", "");
    read_it(&g, PATH);
    check_asked(&g.w, "");
    grove_finish(&g);
}

/* A tag is called otherwise: its own names at once; the contacts that show its name are read again.
 */
static void test_renamed(void **state UNUSED)
{
    struct grove g;
    init(&g);
    check_list(&g, "tags/by-name", "nine.json\neight.json\nseven.json\nvip.json\n",
               "GET /api/tags?limit=100\n");
    read_it(&g, PATH);
    read_it(&g, "contacts/6.json");
    world_asked(&g.w);
    assert_int_equal(grove_rename(&g, "tags/by-name/vip.json", "tags/by-name/gold.json"), 0);
    check_asked(&g.w, "PUT /api/tags/1 {\"name\":\"gold\"}\n");
    check_list(&g, "tags/by-name", "nine.json\neight.json\nseven.json\ngold.json\n", "");
    assert_int_equal(grove_path(&g, "tags/vip.json"), -ENOENT);
    assert_int_equal(grove_path(&g, "tags/gold.json"), 0);
    read_it(&g, "tags/1.json");
    read_it(&g, "contacts/6.json");
    check_asked(&g.w, "");
    world_put(&g.w, RES_CONTACT, CONTACT("en", "\"Graz\"", "{\"id\":1,\"name\":\"gold\"}"));
    read_it(&g, PATH);
    assert_non_null(strstr(g.text, "\"gold\""));
    check_asked(&g.w, "GET /api/contacts/5\n");
    grove_finish(&g);
}

/* A tag is gone: the contacts that had it are read again. */
static void test_tag_removed(void **state UNUSED)
{
    struct grove g;
    init(&g);
    read_it(&g, PATH);
    assert_int_equal(grove_list(&g, "contacts", 100), 0);
    assert_int_equal(grove_unlink(&g, "tags/1.json"), 0);
    world_put(&g.w, RES_CONTACT, CONTACT("en", "\"Graz\"", ""));
    world_asked(&g.w);
    read_it(&g, PATH);
    assert_null(strstr(g.text, "vip"));
    check_asked(&g.w, "GET /api/contacts/5\n");
    check_list(&g, "contacts/5/tags", "", "");
    assert_int_equal(grove_path(&g, "tags/1"), -ENOENT);
    grove_finish(&g);
}

/* A change that has nothing to do with the name costs nothing that was known by name. */
static void test_names_stay(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_path(&g, "contacts/jane@example.com.json"), 0);
    assert_int_equal(grove_path(&g, "contacts/nobody@example.com.json"), -ENOENT);
    world_asked(&g.w);
    assert_int_equal(grove_save(&g, "contacts/jane@example.com.json", FRENCH), 0);
    assert_int_equal(grove_path(&g, "contacts/jane@example.com.json"), 0);
    assert_int_equal(grove_path(&g, "contacts/nobody@example.com.json"), -ENOENT);
    check_asked(&g.w, PATCH5 FRENCH "\n");
    grove_finish(&g);
}

/* What was made below one record shows below the other, too. */
static void test_joined(void **state UNUSED)
{
    struct grove g;
    init(&g);
    check_list(&g, "contacts/5/enrollments", "",
               "GET /api/contacts/5\nGET /api/school/enrollments?contact=5&limit=100\n");
    check_list(&g, "courses/11/enrollments", "21.json\n",
               "GET /api/school/enrollments?course=11&limit=100\n");
    assert_int_equal(grove_mkdir(&g, "contacts/5/enrollments/11"), 0);
    world_asked(&g.w);
    check_list(&g, "contacts/5/enrollments", "9001.json\n", "");
    check_list(&g, "courses/11/enrollments", "9001.json\n21.json\n", "");
    assert_int_equal(grove_list(&g, "contacts/5/memberships", 100), 0);
    g.w.later_ms = 300;
    assert_int_equal(grove_mkdir(&g, "contacts/5/memberships/31"), 0);
    world_asked(&g.w);
    check_list(&g, "contacts/5/memberships", "9002.json\n", "");
    assert_int_equal(grove_unlink(&g, "contacts/5/enrollments/9001.json"), 0);
    world_asked(&g.w);
    check_list(&g, "contacts/5/enrollments", "", "");
    check_list(&g, "courses/11/enrollments", "21.json\n", "");
    grove_finish(&g);
}

/* ---- while a listing is under way ---- */

/* Contacts 1000 to 1249, of which the first page has been read. */
struct reader {
    struct grove *g;
    struct tree_dir *dir;
    uint64_t cookie;
    struct buf names;
};

static void reader_begin(struct reader *r, struct grove *g)
{
    struct op op = {0};
    *r = (struct reader){.g = g};
    buf_init(&r->names, 1 << 20);
    world_fill(&g->w, RES_CONTACT, 1000, 1249);
    assert_int_equal(grove_path(g, "contacts"), 0);
    op_begin(g->w.store, &op);
    assert_int_equal(tree_opendir(g->tree, &op, g->attr.ino, &r->dir), 0);
    op_end(&op);
    for (int i = 0; i < 3; i++) /* ".", "..", by-email; then records */
        assert_true(grove_readdir(g, r->dir, &r->cookie, 10, &r->names) > 0);
    assert_non_null(strstr(r->names.data, "\n1249.json\n"));
    assert_null(strstr(r->names.data, "\n1200.json\n"));
}

/* How often it has met a name, at its end. */
static unsigned reader_met(struct reader *r, const char *name)
{
    char line[64];
    unsigned n = 0;
    while (grove_readdir(r->g, r->dir, &r->cookie, 10, &r->names) > 0)
        ;
    snprintf(line, sizeof(line), "\n%s\n", name);
    for (const char *p = r->names.data; (p = strstr(p, line)); p++)
        n++;
    return n;
}

static void reader_end(struct reader *r)
{
    tree_closedir(r->g->tree, r->dir);
    buf_finish(&r->names);
}

static void test_under_way(void **state UNUSED)
{
    struct grove g;
    struct reader r;
    init(&g);
    reader_begin(&r, &g);
    assert_int_equal(grove_save(&g, "contacts/x.json", "{\"email\":\"x@example.com\"}"), 0);
    assert_int_equal(grove_unlink(&g, "contacts/1249.json"), 0); /* met */
    assert_int_equal(grove_unlink(&g, "contacts/1010.json"), 0); /* not yet met */
    /* The reader skips and repeats nothing of what stays. */
    assert_int_equal(reader_met(&r, "1010.json"), 0);
    for (unsigned id = 1000; id < 1249; id++) {
        char name[32];
        snprintf(name, sizeof(name), "%u.json", id);
        if (reader_met(&r, name) != (id != 1010))
            fail_msg("%s was met %u times", name, reader_met(&r, name));
    }
    reader_end(&r);
    /* Whoever begins now sees what is true now. */
    assert_int_equal(grove_list(&g, "contacts", 1000), 0);
    assert_non_null(strstr(g.text, "\n9001.json\n"));
    assert_non_null(strstr(g.text, "\n1248.json\n"));
    assert_null(strstr(g.text, "\n1249.json\n"));
    assert_null(strstr(g.text, "\n1010.json\n"));
    grove_finish(&g);
}

/* A page was asked for before a change, and its answer, of what was before, comes behind it. */
static void test_late_page(void **state UNUSED)
{
    struct grove g;
    struct run list = {.res = RES_CONTACT};
    init(&g);
    read_it(&g, PATH);
    read_it(&g, "contacts/6.json");
    list.listing = world_home(&g.w, RES_CONTACT);
    g.w.delay_ms = 1000;
    run_begin(&g.w, &list, run_whole);
    world_turn(&g.w);
    g.w.delay_ms = 10;
    assert_int_equal(grove_save(&g, PATH, FRENCH), 0);
    assert_int_equal(grove_save(&g, "contacts/x.json", "{\"email\":\"x@example.com\"}"), 0);
    assert_int_equal(grove_unlink(&g, "contacts/6.json"), 0);
    assert_int_equal(list.ends, 0);
    assert_int_equal(world_run(&g.w, &list), 0);
    run_finish(&list);
    world_asked(&g.w);
    check_list(&g, "contacts", "by-email\n9001.json\n5.json\n", "");
    read_it(&g, PATH);
    assert_non_null(strstr(g.text, "\"fr\""));
    assert_int_equal(grove_path(&g, "contacts/6.json"), -ENOENT);
    check_asked(&g.w, "");
    grove_finish(&g);
}

/* The same for a part: the tag was put on, and taken off, while its contacts were asked for. */
static void test_late_part(void **state UNUSED)
{
    for (int in = 0; in < 2; in++) {
        struct grove g;
        struct run list = {.res = RES_CONTACT};
        init(&g);
        read_it(&g, PATH);
        list.listing = world_part(&g.w, RES_CONTACT, RES_TAG, in ? "9" : "1");
        g.w.delay_ms = 1000;
        run_begin(&g.w, &list, run_whole);
        world_turn(&g.w);
        g.w.delay_ms = 10;
        assert_int_equal(in ? grove_mkdir(&g, "contacts/5/tags/9")
                            : grove_unlink(&g, "contacts/5/tags/1.json"),
                         0);
        assert_int_equal(list.ends, 0);
        assert_int_equal(world_run(&g.w, &list), 0);
        run_finish(&list);
        assert_int_equal(grove_list(&g, in ? "tags/9/contacts" : "tags/1/contacts", 100), 0);
        assert_string_equal(g.text, in ? "5.json\n" : "");
        grove_finish(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made),       cmocka_unit_test(test_removed),
        cmocka_unit_test(test_assigned),   cmocka_unit_test(test_tags_saved),
        cmocka_unit_test(test_renamed),    cmocka_unit_test(test_tag_removed),
        cmocka_unit_test(test_names_stay), cmocka_unit_test(test_joined),
        cmocka_unit_test(test_under_way),  cmocka_unit_test(test_late_page),
        cmocka_unit_test(test_late_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
