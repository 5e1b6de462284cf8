/* tree: records whose texts have gone to make room (cache_size). */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "save_fixture.h"
#include "world_tree.h"

#define N    1000
#define HOUR INT64_C(3600000)
#define JANE "contacts/700.json"
#define PAGE "GET /api/contacts?limit=100&startingAfter=701\n"
/* The same for one that is read after others below it. */
#define UPWARDS "GET /api/contacts?limit=100&startingAfter=800\n"
#define LINES   60 /* fields of each contact */

static void contact(char *out, size_t size, uint64_t id, const char *locale, const char *city)
{
    snprintf(out, size,
             "{\"id\":%" PRIu64 ",\"email\":\"contact-%" PRIu64
             "@example.com\",\"locale\":\"%s\",\"fields\":[{\"slug\":\"city\",\"value\":\"%s\"}],"
             "\"tags\":[{\"id\":1,\"name\":\"vip\"}]}",
             id, id, locale, city);
}

/* All contacts listed; the texts of all but the oldest 400 have gone. */
static void init(struct grove *g)
{
    char text[256];
    desk_log();
    grove_init(g, &(struct grove_options){.ttl_ms = HOUR, .kernel = true, .cache_size = 1});
    world_put(&g->w, RES_FIELD, "{\"slug\":\"city\",\"fieldName\":\"City\"}");
    world_put(&g->w, RES_TAG, "{\"id\":1,\"name\":\"vip\"}");
    for (uint64_t id = 1; id <= N; id++) {
        contact(text, sizeof(text), id, "en", "Graz");
        world_put(&g->w, RES_CONTACT, text);
    }
    g->caller = getpid();
    assert_int_equal(grove_list(g, "contacts", 100), 0);
    assert_int_equal(world_requests(&g->w), N / 100);
    world_asked(&g->w);
}

static bool at_hand(const struct grove *g, uint64_t id)
{
    return store_peek(g->w.store, RES_CONTACT, id) != NULL;
}

/* Another process reads through so many others that the text of 700 goes. */
static void push_out(struct grove *g, int other)
{
    int caller = g->caller;
    char path[64];
    g->caller = other;
    for (uint64_t id = 500; at_hand(g, 700); id = id > 1 ? id - 1 : 500) {
        snprintf(path, sizeof(path), "contacts/%" PRIu64 ".json", id);
        assert_int_equal(grove_read(g, path), 0);
    }
    g->caller = caller;
    world_asked(&g->w);
}

static size_t lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* ls -l of all, and the directory once more. */
static void test_ls(void **state UNUSED)
{
    struct grove g;
    char path[64];
    init(&g);
    assert_false(at_hand(&g, 700));
    assert_int_equal(grove_list(&g, "contacts", 100), 0);
    for (uint64_t id = 1; id <= N; id++) {
        snprintf(path, sizeof(path), "contacts/%" PRIu64 ".json", id);
        assert_int_equal(grove_path(&g, path), 0);
        assert_int_equal(grove_getattr(&g, g.attr.ino), 0);
        assert_int_equal(grove_getxattr(&g, g.attr.ino, "user.systemefs.fetched"), 0);
    }
    assert_string_equal(world_asked(&g.w), "");
    assert_false(at_hand(&g, 700));
    grove_finish(&g);
}

static void test_read(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_path(&g, JANE), 0);
    uint64_t size = g.attr.size;
    assert_int_equal(grove_read(&g, JANE), 0);
    assert_int_equal(strlen(g.text), size);
    assert_string_equal(world_asked(&g.w), PAGE);
    assert_int_equal(grove_read(&g, "contacts/601.json"), 0);
    assert_string_equal(world_asked(&g.w), "");
    assert_int_equal(g.tickets, 0); /* the kernel has nothing to drop */
    grove_finish(&g);
}

/* It comes back with another content: the kernel is told, as of any change. */
static void test_read_changed(void **state UNUSED)
{
    struct grove g;
    char text[256];
    init(&g);
    assert_int_equal(grove_path(&g, JANE), 0);
    uint64_t ino = g.attr.ino;
    int64_t mtime = g.attr.mtime_ns;
    contact(text, sizeof(text), 700, "fr", "Graz");
    world_put(&g.w, RES_CONTACT, text);
    world_advance(&g.w, 60000);
    assert_int_equal(grove_read(&g, JANE), 0);
    assert_non_null(strstr(g.text, "\"fr\""));
    assert_int_equal(g.last_ino, ino);
    assert_true(g.tickets > 0);
    assert_int_equal(grove_getattr(&g, ino), 0);
    assert_int_equal(g.attr.mtime_ns, mtime + INT64_C(60000000000));
    grove_finish(&g);
}

/* A save is a change of what its process has opened, also when that text has gone meanwhile and
 * comes back as somebody else's. */
static void test_save(void **state UNUSED)
{
    for (int elsewhere = 0; elsewhere <= 1; elsewhere++) {
        struct grove g;
        char before[256], mine[256], after[256];
        init(&g);
        assert_int_equal(grove_read(&g, JANE), 0);
        push_out(&g, grove_process(&g));
        contact(before, sizeof(before), 700, "en", elsewhere ? "Linz" : "Graz");
        contact(mine, sizeof(mine), 700, "fr", "Graz");
        contact(after, sizeof(after), 700, "fr", elsewhere ? "Linz" : "Graz");
        world_put(&g.w, RES_CONTACT, before);
        world_advance(&g.w, 60000);
        assert_int_equal(grove_save(&g, JANE, mine), 0);
        assert_string_equal(world_asked(&g.w),
                            UPWARDS "PATCH /api/contacts/700 {\"locale\":\"fr\"}\n");
        assert_true(at_hand(&g, 700));
        assert_string_equal(store_peek(g.w.store, RES_CONTACT, 700)->text, after);

        /* Once more by the same process: a change of what it has just written. */
        push_out(&g, grove_process(&g));
        contact(mine, sizeof(mine), 700, "de", "Graz");
        assert_int_equal(grove_save(&g, JANE, mine), 0);
        assert_string_equal(world_sent(&g.w), "PATCH /api/contacts/700 {\"locale\":\"de\"}\n");
        grove_finish(&g);
    }
}

/* An editor that writes beside it and renames. */
static void test_rename_onto(void **state UNUSED)
{
    struct grove g;
    char mine[256];
    init(&g);
    assert_int_equal(grove_read(&g, JANE), 0);
    push_out(&g, grove_process(&g));
    contact(mine, sizeof(mine), 700, "fr", "Graz");
    assert_int_equal(grove_save(&g, "contacts/.700.json.swp", mine), 0);
    assert_int_equal(grove_rename(&g, "contacts/.700.json.swp", JANE), 0);
    assert_string_equal(world_sent(&g.w), "PATCH /api/contacts/700 {\"locale\":\"fr\"}\n");
    grove_finish(&g);
}

/* Never opened by anybody: the base is what is fetched for it. */
static void test_save_unread(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_save(&g, JANE, "{\"locale\":\"fr\"}"), 0);
    assert_string_equal(world_asked(&g.w), PAGE "PATCH /api/contacts/700 {\"locale\":\"fr\"}\n");
    assert_int_equal(grove_save(&g, "contacts/800.json", "{\"locale\":\"en\"}"), 0);
    assert_string_equal(world_sent(&g.w), "");
    grove_finish(&g);
}

/* The last content is in the trash before it goes. */
static void test_remove(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_unlink(&g, JANE), 0);
    assert_string_equal(world_asked(&g.w), PAGE "DELETE /api/contacts/700\n");
    const char *kept = disk_memory_text(&g.w.disk, "trash/" JANE);
    assert_non_null(kept);
    assert_non_null(strstr(kept, "contact-700@example.com"));
    assert_int_equal(grove_path(&g, JANE), -ENOENT);
    grove_finish(&g);
}

/* The same, where nobody has had it fetched before: the text may go while the removal waits for an
 * earlier change. */
static void test_remove_alone(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(save(&g.w, removal(RES_CONTACT, 700, JANE)), 0);
    assert_string_equal(world_asked(&g.w), PAGE "DELETE /api/contacts/700\n");
    assert_non_null(disk_memory_text(&g.w.disk, "trash/" JANE));
    grove_finish(&g);
}

/* A record is called by its name without its text; a directory of names is made from texts. */
static void test_by_email(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_path(&g, "contacts/contact-700@example.com.json"), 0);
    assert_string_equal(world_asked(&g.w), "");
    assert_int_equal(grove_path(&g, "contacts/by-email/contact-700@example.com.json"), 0);
    assert_int_equal(grove_readlink(&g, g.attr.ino), 0);
    assert_string_equal(g.text, "../700.json");
    assert_string_equal(world_asked(&g.w), PAGE);

    assert_int_equal(grove_list(&g, "contacts/by-email", 7), 0);
    assert_int_equal(lines(g.text), N);
    for (uint64_t id = 1; id <= N; id++) {
        char name[64];
        snprintf(name, sizeof(name), "contact-%" PRIu64 "@example.com.json\n", id);
        assert_non_null(strstr(g.text, name));
    }
    assert_true(lines(world_asked(&g.w)) <= N / 100);
    grove_finish(&g);
}

static void test_fields(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_read(&g, "contacts/700/fields/city"), 0);
    assert_string_equal(g.text, "Graz\n");
    assert_string_equal(world_asked(&g.w), PAGE);
    assert_int_equal(grove_list(&g, "contacts/699/fields", 10), 0);
    assert_string_equal(g.text, "city\n");
    assert_int_equal(grove_list(&g, "contacts/698/tags", 10), 0);
    assert_string_equal(g.text, "1.json\n");
    assert_int_equal(grove_save(&g, "contacts/700/fields/city", "Linz\n"), 0);
    assert_string_equal(world_sent(&g.w), "PATCH /api/contacts/700 {\"fields\":[{\"slug\":\"city\","
                                          "\"value\":\"Linz\"}]}\n");
    grove_finish(&g);
}

/* The text of the contact goes while its directory of fields is being read: no name is missing. */
static void test_fields_while_read(void **state UNUSED)
{
    struct grove g;
    struct buf text, names;
    struct tree_dir *dir;
    struct op op = {0};
    uint64_t cookie = 0;
    init(&g);
    buf_init(&text, 1 << 16);
    buf_init(&names, 1 << 16);
    buf_printf(&text, "{\"id\":700,\"email\":\"contact-700@example.com\",\"fields\":[");
    for (unsigned i = 0; i < LINES; i++)
        buf_printf(&text, "%s{\"slug\":\"f%u\",\"value\":\"%u\"}", i ? "," : "", i, i);
    buf_append_str(&text, "]}");
    world_put(&g.w, RES_CONTACT, text.data);
    assert_int_equal(grove_path(&g, "contacts/700/fields"), 0);
    assert_int_equal(tree_opendir(g.tree, &op, g.attr.ino, &dir), 0);
    while (grove_readdir(&g, dir, &cookie, 10, &names) > 0)
        push_out(&g, g.caller);
    tree_closedir(g.tree, dir);
    assert_int_equal(lines(names.data), LINES + 2); /* . and .. */
    buf_finish(&text);
    buf_finish(&names);
    grove_finish(&g);
}

/* Put on once more, a tag would start its automations once more. */
static void test_tag_twice(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_mkdir(&g, "contacts/700/tags/vip"), -EEXIST);
    assert_string_equal(world_sent(&g.w), "");
    grove_finish(&g);
}

/* mv in by-name/: of a tag whose text has gone. */
static void test_tag_renamed(void **state UNUSED)
{
    struct grove g;
    desk_log();
    grove_init(&g, &(struct grove_options){.ttl_ms = HOUR, .kernel = true, .cache_size = 1});
    world_fill(&g.w, RES_TAG, 1, N);
    g.caller = getpid();
    assert_int_equal(grove_list(&g, "tags", 100), 0);
    assert_null(store_peek(g.w.store, RES_TAG, 700));
    assert_int_equal(grove_rename(&g, "tags/by-name/tag-700.json", "tags/by-name/gold.json"), 0);
    assert_string_equal(world_sent(&g.w), "PUT /api/tags/700 {\"name\":\"gold\"}\n");
    assert_int_equal(grove_path(&g, "tags/by-name/gold.json"), 0);
    assert_int_equal(grove_path(&g, "tags/by-name/tag-700.json"), -ENOENT);
    grove_finish(&g);
}

static void test_status(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_read(&g, ".systemefs/status"), 0);
    assert_non_null(strstr(g.text, "\nrecords-cached: 1000\n"));
    assert_non_null(strstr(g.text, "\ncache-size: 1\n"));
    assert_non_null(strstr(g.text, "\ntexts-evicted: 600\n"));
    assert_int_equal(grove_read(&g, ".systemefs/metrics"), 0);
    assert_non_null(strstr(g.text, "\nsystemefs_texts_evicted_total 600\n"));
    assert_non_null(strstr(g.text, "\nsystemefs_cache_size_bytes 1\n"));
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ls),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_changed),
        cmocka_unit_test(test_save),
        cmocka_unit_test(test_rename_onto),
        cmocka_unit_test(test_save_unread),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_alone),
        cmocka_unit_test(test_by_email),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_fields_while_read),
        cmocka_unit_test(test_tag_twice),
        cmocka_unit_test(test_tag_renamed),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
