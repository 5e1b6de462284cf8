/* tree: names made, linked and removed, and what that sends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "save_fixture.h"
#include "world_tree.h"

#define UUID    "01234567-89ab-cdef-0123-456789abcdef"
#define TAG5(n) "POST /api/contacts/5/tags {\"tagId\":" #n "}\n"

static void init_with(struct grove *g, struct grove_options options)
{
    options.ttl_ms = TTL;
    options.kernel = options.gateway = true;
    desk_log();
    grove_init(g, &options);
    desk_fill(&g->w);
    world_put(&g->w, RES_WEBHOOK, "{\"id\":\"" UUID "\",\"name\":\"hook\"}");
    world_put(&g->w, RES_MEMBERSHIP,
              "{\"id\":41,\"community\":{\"id\":31},\"contact\":{\"id\":6}}");
    world_put(&g->w, RES_CONNECTION, "{\"connection_id\":\"" UUID "\",\"status\":\"ACTIVE\"}");
    g->caller = getpid();
}

static void init(struct grove *g)
{
    init_with(g, (struct grove_options){.delete_limit = 50});
}

/* ---- mkdir ---- */

static void test_mkdir(void **state UNUSED)
{
    static const struct {
        const char *path;
        int result;
        const char *sent;
        bool stays; /* the directory is there afterwards */
    } rows[] = {
        {"contacts/x@example.com", 0, "POST /api/contacts {\"email\":\"x@example.com\"}\n", true},
        {"contacts/jane@example.com", -EEXIST, "", true},
        {"contacts/JANE@example.com", -EEXIST, "", true},
        {"contacts/nobody", -EINVAL, "", false},
        {"contacts/.git", -EINVAL, "", false},
        {"contacts/77", -EINVAL, "", false},
        {"contacts/by-email", -EEXIST, "", true},
        {"contacts/by-email/x@example.com", -EPERM, "", false},
        {"tags/Big Spender", 0, "POST /api/tags {\"name\":\"Big Spender\"}\n", true},
        {"tags/a%2Fb", 0, "POST /api/tags {\"name\":\"a/b\"}\n", true},
        {"tags/nine", -EEXIST, "", true},
        {"tags/77", -EPERM, "", false},
        {"contact_fields/size", 0,
         "POST /api/contact_fields {\"fieldName\":\"size\",\"slug\":\"size\"}\n", false},
        {"contact_fields/city", -EEXIST,
         "POST /api/contact_fields {\"fieldName\":\"city\","
         "\"slug\":\"city\"}\n",
         false},
        {"contacts/5/tags/9", 0, TAG5(9), false},
        {"contacts/5/tags/nine", 0, TAG5(9), false},
        {"contacts/5/tags/ninety", -EINVAL, "", false},
        {"contacts/5/tags/77", -EINVAL, TAG5(77), false},
        {"tags/9/contacts/5", 0, TAG5(9), false},
        {"tags/9/contacts/jane@example.com", 0, TAG5(9), false},
        {"contacts/5/enrollments/11", 0,
         "POST /api/school/courses/11/enrollments {\"contactId\":5,"
         "\"accessType\":\"full_access\"}\n",
         false},
        {"contacts/5/enrollments/Knots", 0,
         "POST /api/school/courses/11/enrollments {\"contactId\":5,"
         "\"accessType\":\"full_access\"}\n",
         false},
        {"contacts/5/enrollments/Ropes", -EINVAL, "", false},
        {"courses/11/enrollments/5", 0,
         "POST /api/school/courses/11/enrollments {\"accessType\":\"full_access\","
         "\"contactId\":5}\n",
         false},
        {"courses/11/enrollments/jane@example.com", 0,
         "POST /api/school/courses/11/enrollments {\"accessType\":\"full_access\","
         "\"contactId\":5}\n",
         false},
        {"contacts/5/memberships/31", 0,
         "POST /api/community/communities/31/memberships {\"contactId\":5}\n", false},
        {"communities/31/memberships/jane@example.com", 0,
         "POST /api/community/communities/31/memberships {\"contactId\":5}\n", false},
        {"connections/systeme", 0, "POST /connections {\"app\":\"systeme\"}\n", false},
        {"connections/other", -EINVAL, "", false},
        {"webhooks/hook2", -EPERM, "", false},
        {"courses/Ropes", -EPERM, "", false},
        {"subscriptions/x", -EPERM, "", false},
        {"contacts/5/subscriptions/x", -EPERM, "", false},
        {"contacts/5/fields/x", -EPERM, "", false},
        {"contacts/5/x", -EPERM, "", false},
        {"x", -EPERM, "", false},
        {".systemefs/x", -EPERM, "", false},
        {".systemefs/drafts/x", -EPERM, "", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        init(&g);
        int r = grove_mkdir(&g, rows[i].path);
        if (r != rows[i].result || (r < 0 && r != -EEXIST && !g.failure.message[0]))
            fail_msg("mkdir %s: %d, %s", rows[i].path, r, g.failure.message);
        if (r == 0)
            assert_true(S_ISDIR(g.attr.mode));
        if (strcmp(world_sent(&g.w), rows[i].sent) != 0)
            fail_msg("mkdir %s: sent %s", rows[i].path, g.w.asked);
        r = grove_path(&g, rows[i].path);
        if (r != (rows[i].stays ? 0 : -ENOENT) && strcmp(rows[i].path, "contact_fields/city") != 0)
            fail_msg("%s afterwards: %d", rows[i].path, r);
        assert_int_equal(g.w.disk.writes, 0); /* nothing was typed but the name */
        grove_finish(&g);
    }
}

/* What the kernel is given is the record's own directory, where it has one. */
static void test_made_directory(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_mkdir(&g, "contacts/x@example.com"), 0);
    assert_int_equal(node_from_ino(g.attr.ino).kind, KIND_CONTACT_DIR);
    assert_int_equal(node_from_ino(g.attr.ino).key, 9001);
    assert_int_equal(g.attr.entry_valid_ms, 0);
    check_asked(&g.w, "GET /api/contacts?email=x%40example.com&limit=100\n"
                      "POST /api/contacts {\"email\":\"x@example.com\"}\n");
    /* It is there at once, and in the listing, without a further request. */
    assert_int_equal(grove_read(&g, "contacts/9001.json"), 0);
    check_asked(&g.w, "");
    grove_finish(&g);
}

/* ---- links ---- */

static void test_links(void **state UNUSED)
{
    static const struct {
        bool symbolic;
        const char *from, *to;
        int result;
        const char *sent;
    } rows[] = {
        {false, "tags/9.json", "contacts/5/tags/9.json", 0, TAG5(9)},
        {false, "tags/9.json", "contacts/5/tags/anything.json", 0, TAG5(9)},
        {false, "tags/9.json", "contacts/5/tags/anything", 0, TAG5(9)},
        /* To a program's own name: a copy, as a backup is made. */
        {false, "tags/9.json", "contacts/5/tags/1.json.orig", 0, ""},
        {false, "tags/9.json", "contacts/5/tags/9.json~", 0, ""},
        {false, "contacts/5.json", "contacts/5.json~", 0, ""},
        {false, "contacts/jane@example.com.json", "contacts/.backup", 0, ""},
        {false, "contacts/5/fields/city", "contacts/5/fields/city.bak", 0, ""},
        {false, "tags/nine.json", "contacts/5/tags/nine.json", 0, TAG5(9)},
        {false, "contacts/5.json", "tags/9/contacts/5.json", 0, TAG5(9)},
        {false, "contacts/5.json", "contacts/5/tags/5.json", -EPERM, ""},
        {false, "tags/9.json", "contacts/9.json", -EPERM, ""},
        {false, "tags/9.json", "tags/x.json", -EPERM, ""},
        {false, "courses/11.json", "contacts/5/enrollments/11.json", -EPERM, ""},
        {false, "README.md", "contacts/5/tags/9.json", -EPERM, ""},
        {true, "../../../tags/9.json", "contacts/5/tags/9.json", 0, TAG5(9)},
        {true, "9.json", "contacts/5/tags/x", 0, TAG5(9)},
        {true, "../../../tags/by-name/nine.json", "contacts/5/tags/nine.json", 0, TAG5(9)},
        {true, "/mnt/contacts/jane@example.com.json", "tags/9/contacts/x", 0, TAG5(9)},
        {true, "somewhere/else", "contacts/5/tags/nine.json", 0, TAG5(9)},
        {true, "somewhere/else", "contacts/5/tags/no-such.json", -EINVAL, ""},
        {true, "5.json", "contacts/x.json", -EPERM, ""},
        {true, "jane@host.123", "contacts/.#5.json", 0, ""},
        {true, "jane@host.123", "contacts/5/tags/.#9.json", 0, ""},
        {true, "x", ".systemefs/x", -EPERM, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        init(&g);
        int r = rows[i].symbolic ? grove_symlink(&g, rows[i].from, rows[i].to)
                                 : grove_link(&g, rows[i].from, rows[i].to);
        if (r != rows[i].result || (r < 0 && !g.failure.message[0]))
            fail_msg("%s -> %s: %d, %s", rows[i].from, rows[i].to, r, g.failure.message);
        if (strcmp(world_sent(&g.w), rows[i].sent) != 0)
            fail_msg("%s -> %s: sent %s", rows[i].from, rows[i].to, g.w.asked);
        grove_finish(&g);
    }
    struct grove g;
    init(&g);
    assert_int_equal(grove_link(&g, "contacts/5/fields/city", "contacts/5/fields/city.bak"), 0);
    assert_int_equal(grove_read(&g, "contacts/5/fields/city.bak"), 0);
    assert_string_equal(g.text, "Graz\n");
    /* An editor's lock is there, and says what it said. */
    assert_int_equal(grove_symlink(&g, "jane@host.123", "contacts/.#5.json"), 0);
    assert_int_equal(grove_symlink(&g, "other", "contacts/.#5.json"), -EEXIST);
    assert_int_equal(grove_path(&g, "contacts/.#5.json"), 0);
    assert_int_equal(grove_readlink(&g, g.attr.ino), 0);
    assert_string_equal(g.text, "jane@host.123");
    assert_int_equal(grove_unlink(&g, "contacts/.#5.json"), 0);
    assert_int_equal(grove_path(&g, "contacts/.#5.json"), -ENOENT);
    grove_finish(&g);
}

/* cp of a record's file into a relation. */
static void test_copies(void **state UNUSED)
{
    static const struct {
        const char *path, *text;
        int result;
        const char *sent;
    } rows[] = {
        {"contacts/5/tags/9.json", "{\"id\":9,\"name\":\"nine\"}", 0, TAG5(9)},
        {"contacts/5/tags/x.json", "{\"id\":9,\"name\":\"nine\"}", 0, TAG5(9)},
        {"contacts/5/tags/nine.json", "{}", 0, TAG5(9)},
        {"contacts/5/tags/8.json", "{\"id\":9,\"name\":\"nine\"}", -EINVAL, ""},
        {"contacts/5/tags/x.json", "{\"name\":\"nine\"}", -EINVAL, ""},
        {"contacts/5/tags/77.json", "{}", -EINVAL, TAG5(77)},
        {"tags/9/contacts/x.json", "{\"id\":5}", 0, TAG5(9)},
        {"contacts/5/enrollments/x.json", "{\"courseId\":11,\"accessType\":\"full_access\"}", 0,
         "POST /api/school/courses/11/enrollments {\"contactId\":5,"
         "\"accessType\":\"full_access\"}\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        char draft[128];
        init(&g);
        snprintf(draft, sizeof(draft), "drafts/%s", rows[i].path);
        int r = grove_save(&g, rows[i].path, rows[i].text);
        if (r != rows[i].result)
            fail_msg("%s: %d, %s", rows[i].path, r, g.failure.message);
        check_sent(&g.w, rows[i].sent);
        check_kept(&g.w, draft, r < 0 ? rows[i].text : NULL);
        grove_finish(&g);
    }
}

/* ---- removing ---- */

static void test_remove(void **state UNUSED)
{
    static const struct {
        bool dir;
        const char *path;
        int result;
        const char *sent, *trash; /* trash: where its content is */
    } rows[] = {
        {false, "contacts/5.json", 0, "DELETE /api/contacts/5\n", "contacts/5.json"},
        {true, "contacts/5", 0, "DELETE /api/contacts/5\n", "contacts/5.json"},
        {false, "tags/9.json", 0, "DELETE /api/tags/9\n", "tags/9.json"},
        {false, "contact_fields/city.json", 0, "DELETE /api/contact_fields/city\n",
         "contact_fields/city.json"},
        {false, "webhooks/" UUID ".json", 0, "DELETE /api/webhooks/" UUID "\n",
         "webhooks/" UUID ".json"},
        {false, "connections/" UUID ".json", 0, "DELETE /connections/" UUID "\n",
         "connections/" UUID ".json"},
        {false, "enrollments/21.json", 0, "DELETE /api/school/enrollments/21\n",
         "enrollments/21.json"},
        {false, "contacts/6/enrollments/21.json", 0, "DELETE /api/school/enrollments/21\n",
         "contacts/6/enrollments/21.json"},
        {false, "courses/11/enrollments/21.json", 0, "DELETE /api/school/enrollments/21\n",
         "courses/11/enrollments/21.json"},
        {false, "communities/31/memberships/41.json", 0, "DELETE /api/community/memberships/41\n",
         "communities/31/memberships/41.json"},
        /* Under a relation, that alone is removed. */
        {false, "contacts/5/tags/1.json", 0, "DELETE /api/contacts/5/tags/1\n", NULL},
        {false, "tags/1/contacts/5.json", 0, "DELETE /api/contacts/5/tags/1\n", NULL},
        {false, "contacts/77.json", -ENOENT, "", NULL},
        {false, "contacts/jane@example.com.json", -EPERM, "", NULL},
        {false, "contacts/by-email/jane@example.com.json", -EPERM, "", NULL},
        {false, "tags/by-name/nine.json", -EPERM, "", NULL},
        {false, "courses/11.json", -EPERM, "", NULL},
        {false, "communities/31.json", -EPERM, "", NULL},
        {false, "contacts/5/subscriptions/51.json", -EPERM, "", NULL},
        {false, "README.md", -EPERM, "", NULL},
        {false, ".systemefs/ctl", -EPERM, "", NULL},
        {false, ".systemefs/drafts", -EPERM, "", NULL},
        {false, "contacts/5", -EISDIR, "", NULL},
        {true, "contacts", -EPERM, "", NULL},
        {true, "contacts/by-email", -EPERM, "", NULL},
        {true, "contacts/5/tags", -EPERM, "", NULL},
        {true, "tags/9", -EPERM, "", NULL},
        {true, "courses/11", -EPERM, "", NULL},
        {true, "contacts/5.json", -ENOTDIR, "", NULL},
        {true, "contacts/77", -ENOENT, "", NULL},
        {true, ".systemefs/trash", -EPERM, "", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        char kept[128];
        init(&g);
        int r = rows[i].dir ? grove_rmdir(&g, rows[i].path) : grove_unlink(&g, rows[i].path);
        if (r != rows[i].result)
            fail_msg("rm %s: %d, %s", rows[i].path, r, g.failure.message);
        assert_true(r != -EPERM || g.failure.message[0]);
        if (strstr(rows[i].path, "subscriptions/51.json"))
            assert_non_null(strstr(g.failure.message, "contacts/ID/subscriptions/51/cancel"));
        if (strcmp(world_sent(&g.w), rows[i].sent) != 0)
            fail_msg("rm %s: sent %s", rows[i].path, g.w.asked);
        snprintf(kept, sizeof(kept), "trash/%s", rows[i].trash ? rows[i].trash : "");
        if (rows[i].trash && !disk_memory_text(&g.w.disk, kept))
            fail_msg("rm %s: %s is not there", rows[i].path, kept);
        if (!rows[i].trash)
            assert_int_equal(g.w.disk.writes, 0);
        if (r == 0) {
            if (grove_path(&g, rows[i].path) != -ENOENT)
                fail_msg("%s is still there", rows[i].path);
            assert_int_equal(rows[i].dir ? grove_rmdir(&g, rows[i].path)
                                         : grove_unlink(&g, rows[i].path),
                             -ENOENT);
            check_sent(&g.w, "");
        }
        grove_finish(&g);
    }
}

/* ---- the brake ---- */

static void test_brake(void **state UNUSED)
{
    struct grove g;
    init_with(&g, (struct grove_options){.delete_limit = 3});
    world_fill(&g.w, RES_TAG, 100, 120);
    assert_int_equal(grove_list(&g, "tags", 100), 0);
    world_asked(&g.w);
    char path[64];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "tags/%d.json", 100 + i);
        assert_int_equal(grove_unlink(&g, path), 0);
    }
    check_asked(&g.w, "DELETE /api/tags/100\nDELETE /api/tags/101\nDELETE /api/tags/102\n");
    /* Whatever is to be removed: also a relation, and a contact by its directory. */
    assert_int_equal(grove_unlink(&g, "tags/103.json"), -EPERM);
    assert_non_null(strstr(g.failure.message, "delete_limit"));
    assert_non_null(strstr(g.failure.message, "wait 60 seconds"));
    assert_non_null(strstr(g.failure.message, "deletes 500"));
    assert_int_equal(grove_rmdir(&g, "contacts/5"), -EPERM);
    assert_int_equal(grove_unlink(&g, "contacts/5/tags/1.json"), -EPERM);
    check_sent(&g.w, "");
    assert_null(disk_memory_text(&g.w.disk, "trash/tags/103.json"));
    /* What is only here is not counted. */
    assert_int_equal(grove_save(&g, "tags/.x", "text"), 0);
    assert_int_equal(grove_unlink(&g, "tags/.x"), 0);
    assert_int_equal(grove_unlink(&g, ".systemefs/trash/tags/100.json"), 0);

    uint64_t ctl = (grove_path(&g, ".systemefs/ctl"), g.attr.ino);
    static const char *const bad[] = {"deletes", "deletes -1", "deletes x", "deletes 1000001"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(grove_write(&g, ctl, bad[i]), -EINVAL);
    assert_int_equal(grove_unlink(&g, "tags/103.json"), -EPERM);
    assert_int_equal(grove_write(&g, ctl, "deletes 2\n"), 0);
    assert_int_equal(grove_unlink(&g, "tags/103.json"), 0);
    assert_int_equal(grove_unlink(&g, "tags/104.json"), 0);
    assert_int_equal(grove_unlink(&g, "tags/105.json"), -EPERM);
    world_advance(&g.w, 60000);
    assert_int_equal(grove_unlink(&g, "tags/105.json"), 0);
    grove_finish(&g);
}

/* ---- drafts and trash as files ---- */

static void test_kept_files(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_unlink(&g, "tags/9.json"), 0);
    assert_int_equal(grove_save(&g, PATH, "not JSON"), -EINVAL);
    assert_int_equal(grove_read(&g, ".systemefs/drafts/contacts/5.json"), 0);
    assert_string_equal(g.text, "not JSON");
    assert_int_equal(grove_read(&g, ".systemefs/drafts/contacts/5.json.reason"), 0);
    assert_non_null(strstr(g.text, "line 1, column 1"));
    assert_int_equal(grove_list(&g, ".systemefs/drafts/contacts", 10), 0);
    assert_string_equal(g.text, "5.json\n5.json.reason\n");
    assert_int_equal(grove_read(&g, ".systemefs/trash/tags/9.json"), 0);
    /* Copied back it is made again, without what is the server's. */
    char *text = strdup(g.text);
    assert_int_equal(grove_save(&g, "tags/again.json", text), 0);
    free(text);
    check_sent(&g.w, "DELETE /api/tags/9\nPOST /api/tags {\"name\":\"nine\"}\n");
    assert_int_equal(grove_unlink(&g, ".systemefs/trash/tags/9.json"), 0);
    assert_int_equal(grove_unlink(&g, ".systemefs/drafts/contacts/5.json"), 0);
    check_kept(&g.w, "trash/tags/9.json", NULL);
    check_kept(&g.w, "drafts/contacts/5.json", NULL);
    check_kept(&g.w, "drafts/contacts/5.json.reason", NULL);
    assert_int_equal(grove_path(&g, ".systemefs/drafts/contacts/5.json"), -ENOENT);
    assert_int_equal(grove_unlink(&g, ".systemefs/drafts/contacts/5.json"), -ENOENT);

    /* One that is being saved just now. */
    struct tree_file *file;
    struct grove_call call;
    assert_int_equal(grove_open_path(&g, PATH, O_WRONLY | O_TRUNC, &file), 0);
    assert_int_equal(grove_append(&g, file, "{\"locale\":\"fr\"}"), 0);
    g.w.delay_ms = 100;
    grove_begin_sync(&g, &call, file);
    assert_int_equal(grove_read(&g, ".systemefs/drafts/contacts/5.json"), 0);
    assert_int_equal(grove_unlink(&g, ".systemefs/drafts/contacts/5.json"), -EBUSY);
    assert_non_null(strstr(g.failure.message, "just now"));
    assert_int_equal(grove_wait(&call), 0);
    tree_close(g.tree, file);
    grove_finish(&g);
}

/* The action file of a subscription. */
static void test_cancel(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_path(&g, "contacts/5/subscriptions/51/cancel"), 0);
    uint64_t cancel = g.attr.ino;
    assert_int_equal(grove_write(&g, cancel, "later\n"), -EINVAL);
    assert_non_null(strstr(g.failure.message, "now or period-end"));
    assert_int_equal(grove_write(&g, cancel, "NOW"), -EINVAL);
    assert_int_equal(grove_write(&g, cancel, "\n"), 0);
    assert_int_equal(grove_write(&g, cancel, "# now\n"), 0);
    check_sent(&g.w, "");
    assert_int_equal(grove_write(&g, cancel, " period-end \n"), 0);
    check_sent(&g.w, "POST /api/payment/subscriptions/51/cancel "
                     "{\"cancel\":\"WhenBillingPeriodEnds\"}\n");
    grove_finish(&g);
}

/* ---- dry_run ---- */

/* Everything returns 0, nothing is sent, and the tree is as it was. */
static void test_dry_run(void **state UNUSED)
{
    static const char *const lists[] = {"contacts",        "tags",
                                        "contacts/5/tags", "tags/9/contacts",
                                        "contact_fields",  "courses/11/enrollments"};
    struct grove g;
    char *before[ARRAY_SIZE(lists)];
    init_with(&g, (struct grove_options){.dry_run = true, .delete_limit = 50});
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        assert_int_equal(grove_list(&g, lists[i], 100), 0);
        before[i] = strdup(g.text);
    }
    assert_int_equal(grove_save(&g, PATH, "{\"locale\":\"fr\"}"), 0);
    assert_int_equal(grove_save(&g, "contacts/5/fields/city", "Linz\n"), 0);
    assert_int_equal(grove_save(&g, "tags/new.json", "{\"name\":\"new\"}"), 0);
    assert_int_equal(grove_save(&g, "contacts/.s", "{\"locale\":\"it\"}"), 0);
    assert_int_equal(grove_rename(&g, "contacts/.s", PATH), 0);
    assert_int_equal(grove_mkdir(&g, "contacts/x@example.com"), 0);
    assert_int_equal(grove_mkdir(&g, "courses/11/enrollments/5"), 0);
    assert_int_equal(grove_link(&g, "tags/9.json", "contacts/5/tags/9.json"), 0);
    assert_int_equal(grove_symlink(&g, "tags/9.json", "contacts/5/tags/9.json"), 0);
    assert_int_equal(grove_rename(&g, "tags/by-name/nine.json", "tags/by-name/neun.json"), 0);
    assert_int_equal(grove_unlink(&g, "tags/9.json"), 0);
    assert_int_equal(grove_unlink(&g, "contacts/5/tags/1.json"), 0);
    assert_int_equal(grove_rmdir(&g, "contacts/5"), 0);
    check_sent(&g.w, "");
    assert_int_equal(logged("dry run: would send "), 12);
    check_reason(&g.w, "tags/new.json", "dry run: nothing was sent");
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        assert_int_equal(grove_list(&g, lists[i], 100), 0);
        assert_string_equal(g.text, before[i]);
        free(before[i]);
    }
    assert_int_equal(grove_read(&g, PATH), 0);
    assert_non_null(strstr(g.text, "\"locale\": \"en\""));
    assert_non_null(strstr(g.text, "\"value\": \"Graz\""));
    assert_int_equal(grove_path(&g, "tags/new.json"), -ENOENT);
    grove_finish(&g);
}

/* A new record took up to two timeouts: one to look whether it is there, and, when that had nearly
 * used up the first, another one to make it (found by tests/fuzz, kernel). */
static void test_one_timeout(void **state UNUSED)
{
    struct grove g;
    init(&g);
    scripted_expect(&g.w.server, HTTP_GET, "/api/contacts?",
                    &(struct scripted_answer){.body = "{\"items\":[],\"hasMore\":false}",
                                              .delay_ms = WORLD_TIMEOUT_MS - 5000});
    scripted_expect(&g.w.server, HTTP_POST, "/api/contacts",
                    &(struct scripted_answer){.never = true});
    int64_t began = clock_mono_ms(&g.w.clock.clock);
    assert_int_equal(grove_mkdir(&g, "contacts/x@example.com"), -ETIMEDOUT);
    assert_true(clock_mono_ms(&g.w.clock.clock) - began <= WORLD_TIMEOUT_MS);
    grove_finish(&g);
}

static int run_symlink_twice(struct run *run)
{
    struct grove_call *c = run->arg;
    struct tree_attr first;
    int r = tree_symlink(c->g->tree, &run->op, "../../../tags/9.json", c->ino, "9.json", &first);
    if (r == 0)
        r = tree_symlink(c->g->tree, &run->op, "../../../tags/9.json", c->ino, "9.json",
                         &c->g->attr);
    if (r == 0)
        assert_int_equal(first.ino, c->g->attr.ino);
    return r;
}

/* A request runs again until the kernel has been told. `ln -s` of a tag then made a second node,
 * and nobody would ever forget the first: after 4096 of them no editor could save (found by
 * tests/fuzz, kernel). */
static void test_symlink_runs_again(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_path(&g, "contacts/5/tags"), 0);
    struct grove_call c = {.g = &g, .ino = g.attr.ino};
    c.run.arg = &c;
    run_begin(&g.w, &c.run, run_symlink_twice);
    assert_int_equal(world_run(&g.w, &c.run), 0);
    check_sent(&g.w, TAG5(9));
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mkdir),
        cmocka_unit_test(test_made_directory),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_brake),
        cmocka_unit_test(test_kept_files),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_one_timeout),
        cmocka_unit_test(test_symlink_runs_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
