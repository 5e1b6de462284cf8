/* tree: what the kernel is told to believe and to keep, so that it need not ask. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world_tree.h"

#define TTL 60000

static void init(struct grove *g, bool no_open)
{
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = true, .no_open = no_open});
}

/* Reads the directory to its end. */
static void read_all(struct grove *g, struct tree_dir *dir)
{
    uint64_t cookie = 0;
    struct buf out;
    buf_init(&out, (size_t)1 << 20);
    while (grove_readdir(g, dir, &cookie, 10, &out) > 0)
        ;
    buf_finish(&out);
}

/* Its fixed entries, and some records. */
static void read_some(struct grove *g, struct tree_dir *dir, uint64_t *cookie, struct buf *out)
{
    for (int i = 0; i < 2; i++)
        assert_true(grove_readdir(g, dir, cookie, 10, out) > 0);
}

/* What a program gets that lists the directory: whether the kernel's names serve it. */
static bool serves(struct grove *g, const char *path)
{
    struct tree_dir *dir;
    grove_opendir(g, path, &dir);
    bool keep = tree_dir_keep_cache(dir);
    if (!keep)
        read_all(g, dir);
    tree_closedir(g->tree, dir);
    return keep;
}

/* ---- names ---- */

/* A symlink in by-name/ was looked up again by each `grep -r`, though nothing had changed: one
 * message a record. */
static void test_names_are_believed(void **state UNUSED)
{
    struct grove g;
    init(&g, true);
    world_put(&g.w, RES_TAG, "{\"id\":5,\"name\":\"old\"}");
    assert_int_equal(grove_list(&g, "tags/by-name", 10), 0);
    assert_int_equal(grove_path(&g, "tags/by-name/old.json"), 0);
    assert_int_equal(g.attr.entry_valid_ms, TTL);
    world_advance(&g.w, TTL / 2);
    assert_int_equal(grove_path(&g, "tags/by-name/old.json"), 0);
    assert_int_equal(g.attr.entry_valid_ms, TTL / 2);
    assert_string_equal(g.forgotten, "");

    /* So it must be told when the name means something else. */
    world_put(&g.w, RES_TAG, "{\"id\":5,\"name\":\"new\"}");
    world_advance(&g.w, TTL);
    assert_int_equal(grove_read(&g, "tags/5.json"), 0);
    assert_string_equal(g.forgotten, "old (5).json"); /* the plain one came before it */
    world_remove(&g.w, RES_TAG, "5");
    world_advance(&g.w, TTL);
    assert_int_equal(grove_read(&g, "tags/5.json"), -ENOENT);
    assert_string_equal(g.forgotten, "new (5).json");
    grove_finish(&g);

    /* Where it can be written, the old name must not lead anywhere the moment after. */
    init(&g, false);
    world_put(&g.w, RES_TAG, "{\"id\":5,\"name\":\"old\"}");
    assert_int_equal(grove_path(&g, "tags/by-name/old.json"), 0);
    assert_int_equal(g.attr.entry_valid_ms, 0);
    grove_finish(&g);
}

/* ---- listings ---- */

static void test_listing_is_kept(void **state UNUSED)
{
    struct grove g;
    init(&g, false);
    world_fill(&g.w, RES_TAG, 1, 30);
    assert_false(serves(&g, "tags"));
    assert_true(serves(&g, "tags"));
    assert_true(serves(&g, "tags"));
    assert_int_equal(world_requests(&g.w), 1);

    world_advance(&g.w, TTL); /* its time is over: asked again, and new for the kernel */
    assert_false(serves(&g, "tags"));
    assert_int_equal(world_requests(&g.w), 2);
    assert_true(serves(&g, "tags"));

    assert_int_equal(grove_mkdir(&g, "tags/made"), 0);
    assert_false(serves(&g, "tags"));
    assert_true(serves(&g, "tags"));
    tree_refresh_all(g.tree);
    assert_false(serves(&g, "tags"));
    grove_finish(&g);
}

/* Only who has read it to its end has given the kernel all names. */
static void test_half_a_listing(void **state UNUSED)
{
    struct grove g;
    struct tree_dir *dir, *other;
    uint64_t cookie = 0;
    struct buf out;
    init(&g, false);
    buf_init(&out, 65536);
    world_fill(&g.w, RES_TAG, 1, 30);
    grove_opendir(&g, "tags", &dir);
    read_some(&g, dir, &cookie, &out);
    tree_closedir(g.tree, dir);
    assert_false(serves(&g, "tags"));

    /* Rewound, it is another reading. */
    world_advance(&g.w, TTL);
    grove_opendir(&g, "tags", &dir);
    cookie = 0;
    read_some(&g, dir, &cookie, &out);
    read_all(&g, dir);
    tree_closedir(g.tree, dir);
    assert_false(serves(&g, "tags"));

    /* Two at a time: the second one's opendir has dropped what the first had brought. */
    world_advance(&g.w, TTL);
    grove_opendir(&g, "tags", &dir);
    cookie = 0;
    read_some(&g, dir, &cookie, &out);
    grove_opendir(&g, "tags", &other);
    while (grove_readdir(&g, dir, &cookie, 10, &out) > 0)
        ;
    tree_closedir(g.tree, dir);
    grove_opendir(&g, "tags", &dir);
    assert_false(tree_dir_keep_cache(dir));
    tree_closedir(g.tree, dir);
    tree_closedir(g.tree, other);
    buf_finish(&out);
    grove_finish(&g);
}

/* Two that read different walks at the same time have filled the kernel's pages in turns. */
static void test_two_walks(void **state UNUSED)
{
    struct grove g;
    struct tree_dir *dir, *other;
    uint64_t cookie = 0;
    struct buf out;
    init(&g, false);
    buf_init(&out, 65536);
    world_fill(&g.w, RES_TAG, 1, 30);
    grove_opendir(&g, "tags", &dir);
    read_some(&g, dir, &cookie, &out);
    assert_int_equal(grove_mkdir(&g, "tags/made"), 0);
    grove_opendir(&g, "tags", &other);
    read_all(&g, other);
    tree_closedir(g.tree, other);
    grove_opendir(&g, "tags", &other);
    assert_false(tree_dir_keep_cache(other));
    tree_closedir(g.tree, other);
    tree_closedir(g.tree, dir);
    buf_finish(&out);
    assert_false(serves(&g, "tags"));
    assert_true(serves(&g, "tags"));
    grove_finish(&g);
}

/* What an editor leaves beside the records is listed while it is there. */
static void test_scratch_is_not_kept(void **state UNUSED)
{
    struct grove g;
    struct tree_file *file;
    struct tree_dir *dir;
    init(&g, false);
    world_fill(&g.w, RES_TAG, 1, 3);
    assert_false(serves(&g, "tags"));
    assert_true(serves(&g, "tags"));
    assert_int_equal(grove_open_path(&g, "tags/x~", O_WRONLY | O_CREAT, &file), 0);
    assert_int_equal(grove_sync(&g, file), 0);
    tree_close(g.tree, file);
    grove_opendir(&g, "tags", &dir);
    assert_false(tree_dir_cache(dir));
    assert_false(tree_dir_keep_cache(dir));
    tree_closedir(g.tree, dir);
    assert_false(serves(&g, "tags"));
    assert_int_equal(grove_unlink(&g, "tags/x~"), 0);
    assert_false(serves(&g, "tags"));
    assert_true(serves(&g, "tags"));
    grove_finish(&g);
}

/* The names in by-name/ are in the records: one that is called otherwise by now makes them old,
 * though the listing is the same. */
static void test_names_are_kept(void **state UNUSED)
{
    struct grove g;
    init(&g, false);
    world_fill(&g.w, RES_TAG, 1, 3);
    assert_false(serves(&g, "tags"));
    assert_false(serves(&g, "tags/by-name"));
    assert_true(serves(&g, "tags/by-name"));
    assert_int_equal(grove_save(&g, "tags/2.json", "{\"name\":\"other\"}"), 0);
    assert_false(serves(&g, "tags/by-name"));
    assert_true(serves(&g, "tags/by-name"));
    grove_finish(&g);
}

/* With a ttl of 0 nothing is kept, and a directory of which there are many neither. */
static void test_never_kept(void **state UNUSED)
{
    struct grove g;
    init(&g, false);
    world_fill(&g.w, RES_TAG, 1, 3);
    world_put(&g.w, RES_CONTACT, "{\"id\":9,\"email\":\"a@x.org\",\"tags\":[{\"id\":1}]}");
    assert_false(serves(&g, "tags/1/contacts"));
    assert_false(serves(&g, "tags/1/contacts"));
    assert_false(serves(&g, "contacts/9/tags"));
    assert_false(serves(&g, "contacts/9/tags"));
    grove_finish(&g);

    grove_init(&g, &(struct grove_options){.kernel = true});
    world_fill(&g.w, RES_TAG, 1, 3);
    for (int i = 0; i < 2; i++) {
        struct tree_dir *dir;
        grove_opendir(&g, "tags", &dir);
        assert_false(tree_dir_cache(dir));
        assert_false(tree_dir_keep_cache(dir));
        read_all(&g, dir);
        tree_closedir(g.tree, dir);
    }
    grove_finish(&g);
}

/* ---- files that are not opened ---- */

static void test_read_closed(void **state UNUSED)
{
    struct grove g;
    init(&g, true);
    world_put(&g.w, RES_TAG, "{\"id\":5,\"name\":\"one\"}");
    assert_int_equal(grove_path(&g, "tags/5.json"), 0);
    uint64_t ino = g.attr.ino, size = g.attr.size;
    assert_int_equal(grove_read_closed(&g, ino), 0);
    assert_string_equal(g.text, "{\n  \"id\": 5,\n  \"name\": \"one\"\n}\n");
    assert_int_equal(strlen(g.text), size);
    assert_int_equal(world_requests(&g.w), 1);

    /* Changed elsewhere: the kernel asks when the time is over, and is told to drop its pages. */
    world_put(&g.w, RES_TAG, "{\"id\":5,\"name\":\"another\"}");
    world_advance(&g.w, TTL);
    uint64_t told = g.tickets;
    assert_int_equal(grove_getattr(&g, ino), 0);
    assert_true(g.attr.size > size);
    assert_int_equal(g.tickets, told + 1);
    assert_int_equal(g.last_ino, ino);
    /* Once more with the first read: what came by a readdir may have been on its way (the rest of
     * the story is at wait_for_kernel() in file.c). */
    assert_int_equal(grove_read_closed(&g, ino), 0);
    assert_non_null(strstr(g.text, "another"));
    assert_int_equal(g.tickets, told + 2);
    assert_int_equal(grove_read_closed(&g, ino), 0);
    assert_int_equal(g.tickets, told + 2);

    world_remove(&g.w, RES_TAG, "5");
    world_advance(&g.w, TTL);
    assert_int_equal(grove_read_closed(&g, ino), -ENOENT);
    grove_finish(&g);
}

/* A text that changes all the time has the size that was just told. */
static void test_status_stands_still(void **state UNUSED)
{
    struct grove g;
    init(&g, true);
    world_fill(&g.w, RES_TAG, 1, 300);
    assert_int_equal(grove_path(&g, ".systemefs/status"), 0);
    uint64_t ino = g.attr.ino, size = g.attr.size;
    int64_t mtime = g.attr.mtime_ns;
    assert_int_equal(grove_list(&g, "tags", 100), 0); /* "records-cached: 300" */
    assert_int_equal(grove_read_closed(&g, ino), 0);
    assert_int_equal(strlen(g.text), size);
    assert_non_null(strstr(g.text, "records-cached: 0\n"));
    assert_int_equal(grove_getattr(&g, ino), 0);
    assert_int_equal(g.attr.size, size);
    assert_int_equal(g.attr.mtime_ns, mtime);

    /* Until it is opened again. */
    world_advance(&g.w, 1);
    assert_int_equal(grove_path(&g, ".systemefs/status"), 0);
    assert_int_equal(g.attr.entry_valid_ms, 0);
    assert_true(g.attr.mtime_ns > mtime);
    size = g.attr.size;
    mtime = g.attr.mtime_ns;
    assert_int_equal(grove_read_closed(&g, ino), 0);
    assert_int_equal(strlen(g.text), size);
    assert_non_null(strstr(g.text, "records-cached: 300\n"));
    world_advance(&g.w, 20000); /* or for as long as anybody reads in one go */
    assert_int_equal(grove_getattr(&g, ino), 0);
    assert_true(g.attr.mtime_ns > mtime);
    grove_finish(&g);
}

/* ---- files that come next ---- */

static void read_tag(struct grove *g, unsigned id)
{
    const struct node n = {.kind = KIND_TAG, .key = id};
    assert_int_equal(grove_read_closed(g, node_ino(n)), 0);
}

static void test_ahead(void **state UNUSED)
{
    struct grove g;
    init(&g, true);
    world_fill(&g.w, RES_TAG, 1, 2000);
    assert_int_equal(grove_list(&g, "tags", 1000), 0);
    read_tag(&g, 2000);
    read_tag(&g, 1999);
    assert_int_equal(g.pushed, 0);
    read_tag(&g, 1998);
    assert_int_equal(g.pushed, 32);
    assert_int_equal(node_from_ino(g.pushed_ino).key, 1966);
    read_tag(&g, 1966);
    char text[sizeof(g.pushed_text)];
    memcpy(text, g.text, strlen(g.text) + 1);
    assert_int_equal(g.pushed, 32 + 64);

    /* The kernel does not ask for what it has: the next one that it asks for lies behind it, and
     * each time twice as many follow. */
    read_tag(&g, 1901);
    assert_int_equal(g.pushed, 32 + 64 + 128);
    read_tag(&g, 1772);
    assert_int_equal(g.pushed, 32 + 64 + 128 + 256);
    read_tag(&g, 1515);
    assert_int_equal(g.pushed, 32 + 64 + 128 + 256 + 256);
    assert_int_equal(node_from_ino(g.pushed_ino).key, 1259);
    assert_int_equal(grove_path(&g, "tags/1259.json"), 0);
    assert_int_equal(strlen(g.pushed_text), g.attr.size);
    assert_int_equal(world_requests(&g.w), 20);
    grove_finish(&g);
}

/* By inode numbers, which rise as the ids do (fts(3) sorts long directories so). */
static void test_ahead_the_other_way(void **state UNUSED)
{
    struct grove g;
    init(&g, true);
    world_fill(&g.w, RES_TAG, 1, 100);
    assert_int_equal(grove_list(&g, "tags", 1000), 0);
    for (unsigned i = 1; i <= 3; i++)
        read_tag(&g, i);
    assert_int_equal(g.pushed, 32);
    assert_int_equal(node_from_ino(g.pushed_ino).key, 35);
    read_tag(&g, 36);
    assert_int_equal(g.pushed, 96); /* up to the last of them */
    read_tag(&g, 100);
    assert_int_equal(g.pushed, 96);
    grove_finish(&g);
}

static void test_nothing_ahead(void **state UNUSED)
{
    struct grove g;
    init(&g, true);
    world_fill(&g.w, RES_TAG, 1, 300);
    assert_int_equal(grove_list(&g, "tags", 1000), 0);
    static const unsigned jumps[] = {7, 200, 13, 77, 150, 3, 299, 60, 61, 30, 31, 90, 91};
    for (size_t i = 0; i < ARRAY_SIZE(jumps); i++)
        read_tag(&g, jumps[i]);
    assert_int_equal(g.pushed, 0);
    for (unsigned i = 0; i < 10; i++) /* one and the same */
        read_tag(&g, 50);
    assert_int_equal(g.pushed, 0);
    /* What is past its time would have to be asked for. */
    world_advance(&g.w, TTL);
    for (unsigned i = 101; i <= 106; i++)
        read_tag(&g, i);
    assert_int_equal(g.pushed, 0);
    grove_finish(&g);
}

/* With opens: who reads an older text goes on reading it, and its pages are left alone. */
static void test_ahead_of_opens(void **state UNUSED)
{
    struct grove g;
    struct tree_file *file, *held;
    init(&g, false);
    world_fill(&g.w, RES_TAG, 1, 100);
    assert_int_equal(grove_list(&g, "tags", 1000), 0);
    assert_int_equal(grove_open_path(&g, "tags/90.json", O_RDONLY, &held), 0);
    for (unsigned i = 100; i > 97; i--) {
        const struct node n = {.kind = KIND_TAG, .key = i};
        assert_int_equal(grove_open(&g, node_ino(n), O_RDONLY, &file), 0);
        tree_close(g.tree, file);
    }
    assert_int_equal(g.pushed, 31); /* not 90.json, which is open */
    const struct node n = {.kind = KIND_TAG, .key = 80};
    assert_int_equal(grove_open(&g, node_ino(n), O_RDONLY, &file), 0);
    assert_true(file->keep_cache); /* it has its pages already */
    tree_close(g.tree, file);

    /* Changed while it was open: its pages may be of either text, until an open drops them. */
    world_put(&g.w, RES_TAG, "{\"id\":90,\"name\":\"changed\"}");
    world_advance(&g.w, TTL);
    assert_int_equal(grove_list(&g, "tags", 1000), 0);
    tree_close(g.tree, held);
    assert_int_equal(grove_open_path(&g, "tags/90.json", O_RDONLY, &file), 0);
    assert_false(file->keep_cache);
    tree_close(g.tree, file);
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_believed),  cmocka_unit_test(test_listing_is_kept),
        cmocka_unit_test(test_half_a_listing),      cmocka_unit_test(test_two_walks),
        cmocka_unit_test(test_scratch_is_not_kept), cmocka_unit_test(test_names_are_kept),
        cmocka_unit_test(test_never_kept),          cmocka_unit_test(test_read_closed),
        cmocka_unit_test(test_status_stands_still), cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_ahead_the_other_way), cmocka_unit_test(test_nothing_ahead),
        cmocka_unit_test(test_ahead_of_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
