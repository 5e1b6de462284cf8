/* tree: what the kernel asks for a name or an inode that is something else by now, and requests
 * that come by inode alone. */
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

#define FRENCH  "{\"locale\":\"fr\"}"
#define SCRATCH "contacts/5.json~"
#define MANY    700 /* contacts with two fields each: more than are kept without a reason */

static void init(struct grove *g, uint64_t cache_size)
{
    desk_log();
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = true, .cache_size = cache_size});
    desk_fill(&g->w);
    g->caller = getpid();
}

static void check_read(struct grove *g, const char *path, const char *text)
{
    assert_int_equal(grove_read(g, path), 0);
    assert_string_equal(g->text, text);
}

/* ---- names ---- */

/* CREATE of a name that the kernel did not know of. */
static void test_created_meanwhile(void **state UNUSED)
{
    static const char *const paths[] = {PATH, SCRATCH, "contacts/5/fields/city"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct grove g;
        struct tree_file *file = NULL;
        init(&g, 0);
        assert_int_equal(grove_save(&g, SCRATCH, "text"), 0);
        assert_int_equal(grove_read(&g, paths[i]), 0);
        char *text = strdup(g.text);
        assert_int_equal(grove_create(&g, paths[i], O_CREAT | O_WRONLY | O_EXCL, &file), -EEXIST);
        assert_null(file);
        assert_int_equal(grove_create(&g, paths[i], O_CREAT | O_RDWR, &file), 0);
        uint64_t ino = g.attr.ino;
        tree_close(g.tree, file);
        check_read(&g, paths[i], text);
        assert_int_equal(grove_path(&g, paths[i]), 0);
        assert_int_equal(g.attr.ino, ino); /* the same one, not another of that name */
        check_sent(&g.w, "");
        free(text);
        grove_finish(&g);
    }
}

/* ln, mv -n and link(2) of editors: what is there stays. */
static void test_not_replaced(void **state UNUSED)
{
    static const char *const there[] = {PATH, "contacts/old~", "contacts/6.json"};
    for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
        struct grove g;
        init(&g, 0);
        assert_int_equal(grove_save(&g, SCRATCH, FRENCH), 0);
        assert_int_equal(grove_save(&g, "contacts/old~", "old"), 0);
        assert_int_equal(grove_read(&g, there[i]), 0);
        char *text = strdup(g.text);
        assert_int_equal(grove_rename_new(&g, SCRATCH, there[i]), -EEXIST);
        check_read(&g, SCRATCH, FRENCH);
        check_read(&g, there[i], text);
        if (strcmp(there[i], "contacts/old~") == 0) /* a record, to scratch */
            assert_int_equal(grove_rename_new(&g, PATH, there[i]), -EEXIST);
        check_sent(&g.w, "");
        free(text);
        grove_finish(&g);
    }
}

/* ---- a listing that is walked ---- */

/* A record is removed, or its tag, between two pages, by somebody in this mount: who reads on
 * misses and repeats nothing else, and who begins then does not see it, though a page that was read
 * before has it. */
static void walk_and_remove(const char *place)
{
    struct grove g;
    struct tree_dir *dir;
    struct buf seen;
    char path[64], name[16];
    uint64_t cookie = 0;
    int n;
    init(&g, 0);
    for (unsigned id = 1001; id <= 1350; id++)
        world_putf(&g.w, RES_CONTACT,
                   "{\"id\":%u,\"email\":\"c%u@example.com\",\"fields\":[],\"tags\":[" VIP "]}", id,
                   id);
    buf_init(&seen, 1 << 20);
    grove_opendir(&g, place, &dir);
    do
        n = grove_readdir(&g, dir, &cookie, 50, &seen);
    while (n > 0 && !strstr(seen.data, "1280.json"));
    assert_null(strstr(seen.data, "1050.json"));
    for (unsigned id = 1300; id >= 1050; id -= 250) { /* read already; on a page to come */
        snprintf(path, sizeof(path), "%s/%u.json", place, id);
        assert_int_equal(grove_unlink(&g, path), 0);
    }
    while ((n = grove_readdir(&g, dir, &cookie, 50, &seen)) > 0)
        continue;
    assert_int_equal(n, 0);
    tree_closedir(g.tree, dir);
    for (unsigned id = 1001; id <= 1350; id++) {
        snprintf(name, sizeof(name), "\n%u.json\n", id);
        const char *at = strstr(seen.data, name);
        if (!at && id != 1050)
            fail_msg("%s: %u is not there", place, id);
        if (at && strstr(at + 1, name))
            fail_msg("%s: %u is there twice", place, id);
    }
    assert_int_equal(grove_list(&g, place, 100), 0);
    assert_null(strstr(g.text, "1300.json"));
    assert_null(strstr(g.text, "1050.json"));
    assert_non_null(strstr(g.text, "1299.json"));
    assert_non_null(strstr(g.text, "1001.json"));
    buf_finish(&seen);
    grove_finish(&g);
}

static void test_removed_in_a_walk(void **state UNUSED)
{
    walk_and_remove("contacts");
    walk_and_remove("tags/1/contacts");
}

/* "refresh" of a part asks for its records anew. */
static void test_refreshed_part(void **state UNUSED)
{
    struct grove g;
    init(&g, 0);
    assert_int_equal(grove_list(&g, "tags/1/contacts", 100), 0);
    assert_int_equal(grove_read(&g, PATH), 0);
    world_asked(&g.w);
    world_put(&g.w, RES_CONTACT, CONTACT("de", "\"Graz\"", VIP));
    assert_int_equal(grove_read(&g, PATH), 0);
    assert_string_equal(world_asked(&g.w), "");
    assert_int_equal(grove_path(&g, ".systemefs/ctl"), 0);
    assert_int_equal(grove_write(&g, g.attr.ino, "refresh tags/1/contacts\n"), 0);
    assert_int_equal(grove_read(&g, "tags/1/contacts/5.json"), 0);
    assert_non_null(strstr(g.text, "\"de\""));
    assert_int_equal(grove_read(&g, PATH), 0);
    assert_non_null(strstr(g.text, "\"de\""));
    grove_finish(&g);
}

/* ---- a text that has gone to make room ---- */

/* What is renamed onto a record is a change of its text, which is not at hand and cannot be had:
 * the file is as it was, the text is a draft, and nothing was sent. */
static void test_base_out_of_reach(void **state UNUSED)
{
    struct grove g;
    init(&g, 1);
    world_fill(&g.w, RES_CONTACT, 101, 1100);
    assert_int_equal(grove_list(&g, "contacts", 100), 0);
    assert_null(store_peek(g.w.store, RES_CONTACT, 1000));
    assert_int_equal(grove_save(&g, SCRATCH, FRENCH), 0);
    world_asked(&g.w);
    g.w.failure = NET_REFUSED;
    assert_int_equal(grove_rename(&g, SCRATCH, "contacts/1000.json"), -ECONNREFUSED);
    check_sent(&g.w, "");
    check_kept(&g.w, "drafts/contacts/1000.json", FRENCH);
    check_reason(&g.w, "contacts/1000.json", g.failure.message);
    check_read(&g, SCRATCH, FRENCH);
    g.w.failure = NET_OK;
    world_advance(&g.w, TTL);
    assert_int_equal(grove_rename(&g, SCRATCH, "contacts/1000.json"), 0);
    check_sent(&g.w, "PATCH /api/contacts/1000 " FRENCH "\n");
    grove_finish(&g);
}

/* ---- truncate(2), and O_APPEND ---- */

static void test_truncate(void **state UNUSED)
{
    static const struct {
        const char *path;
        uint64_t size;
        int error;
    } rows[] = {
        {PATH, 0, 0}, /* ": > FILE" */
        {PATH, 1, -EINVAL},
        {PATH, 100000, -EINVAL},
        {"contacts/5/fields/city", 0, 0},
        {"contacts/5/fields/city", sizeof("Graz\n") - 1, 0},
        {"contacts/5/fields/city", 2, -EINVAL},
        {".systemefs/ctl", 0, 0}, /* "> ctl" */
        {"contacts", 0, -EPERM},
        {SCRATCH, 0, 0},
        {SCRATCH, 2, 0},
        {SCRATCH, 4, 0},
        {SCRATCH, 6, 0},
        {SCRATCH, UINT64_MAX / 2, -EFBIG},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        char expected[8] = "";
        init(&g, 0);
        assert_int_equal(grove_save(&g, SCRATCH, "text"), 0);
        if (grove_truncate_path(&g, rows[i].path, rows[i].size) != rows[i].error)
            fail_msg("%s to %" PRIu64 ": %s", rows[i].path, rows[i].size, g.failure.message);
        check_sent(&g.w, "");
        if (rows[i].error == -EINVAL)
            assert_non_null(strstr(g.failure.message, "nothing was sent"));
        assert_int_equal(grove_path(&g, SCRATCH), 0);
        bool cut = strcmp(rows[i].path, SCRATCH) == 0 && rows[i].error == 0;
        memcpy(expected, "text", cut ? MIN(rows[i].size, (uint64_t)4) : 4);
        const uint64_t size = cut ? rows[i].size : 4;
        assert_int_equal(g.attr.size, size);
        struct tree_file *file;
        const char *text;
        size_t len;
        assert_int_equal(grove_open(&g, g.attr.ino, O_RDONLY, &file), 0);
        tree_read(file, 0, SIZE_MAX, &text, &len);
        assert_int_equal(len, size);
        assert_memory_equal(text ? text : "", expected, len); /* zeros behind it */
        tree_close(g.tree, file);
        grove_finish(&g);
    }
}

/* Two that append to one file of their own: each behind what is there by then. */
static void test_append(void **state UNUSED)
{
    struct grove g;
    struct tree_file *a, *b;
    init(&g, 0);
    assert_int_equal(grove_save(&g, SCRATCH, "0"), 0);
    assert_int_equal(grove_open_path(&g, SCRATCH, O_WRONLY | O_APPEND, &a), 0);
    assert_int_equal(grove_open_path(&g, SCRATCH, O_WRONLY | O_APPEND, &b), 0);
    assert_int_equal(grove_write_at(&g, a, "1", 0), 0);
    assert_int_equal(grove_write_at(&g, b, "2", 0), 0);
    assert_int_equal(grove_write_at(&g, a, "3", 1), 0);
    tree_close(g.tree, a);
    tree_close(g.tree, b);
    check_read(&g, SCRATCH, "0123");
    grove_finish(&g);
}

/* ---- inodes ---- */

static uint64_t value_ino(struct grove *g, unsigned id, const char *slug)
{
    char path[64];
    snprintf(path, sizeof(path), "contacts/%u/fields/%s", id, slug);
    if (grove_path(g, path) != 0)
        fail_msg("%s: %s", path, g->failure.message);
    return g->attr.ino;
}

/* Fields that were listed, and that nobody uses, are forgotten when there are many, and only those:
 * what the kernel knows keeps its inode, and its text. */
static void test_many_values(void **state UNUSED)
{
    static uint64_t inos[MANY];
    struct grove g;
    char path[64], expected[16];
    init(&g, 0);
    for (unsigned i = 0; i < MANY; i++)
        world_putf(&g.w, RES_CONTACT,
                   "{\"id\":%u,\"email\":\"c%u@example.com\",\"fields\":["
                   "{\"slug\":\"city\",\"value\":\"%u\"},{\"slug\":\"first_name\",\"value\":null}],"
                   "\"tags\":[]}",
                   i + 100, i, i);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(path, sizeof(path), "contacts/%u/fields", i + 100);
        assert_int_equal(grove_list(&g, path, 10), 0);
        assert_string_equal(g.text, "city\nfirst_name\n");
        if (i % 3 == 0)
            inos[i] = value_ino(&g, i + 100, "city");
    }
    for (unsigned i = 0; i < MANY; i += 3) { /* by its inode alone */
        struct tree_file *file;
        const char *text;
        size_t len;
        assert_int_equal(grove_open(&g, inos[i], O_RDONLY, &file), 0);
        tree_read(file, 0, SIZE_MAX, &text, &len);
        snprintf(expected, sizeof(expected), "%u\n", i);
        assert_int_equal(len, strlen(expected));
        assert_memory_equal(text, expected, len);
        tree_close(g.tree, file);
    }
    /* One that was forgotten is there again for whoever looks. */
    for (unsigned i = 0; i < MANY; i++) {
        uint64_t ino = value_ino(&g, i + 100, "city");
        if (i % 3 == 0)
            assert_int_equal(ino, inos[i]);
        snprintf(path, sizeof(path), "contacts/%u/fields/city", i + 100);
        snprintf(expected, sizeof(expected), "%u\n", i);
        check_read(&g, path, expected);
    }
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_created_meanwhile),
        cmocka_unit_test(test_not_replaced),
        cmocka_unit_test(test_removed_in_a_walk),
        cmocka_unit_test(test_refreshed_part),
        cmocka_unit_test(test_base_out_of_reach),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_many_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
