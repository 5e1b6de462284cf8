/* tree and store: what the simulation (tests/sim) has found, as short as it can be told. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = true});
    desk_fill(&g->w);
    g->caller = getpid();
}

/* The disk failed in the middle of a listing of drafts: what it did not tell was left out, and the
 * listing was taken for the whole one. */
static void test_kept_listing_fails(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_save(&g, PATH, "no JSON"), -EINVAL);
    assert_int_equal(grove_save(&g, "contacts/6.json", "no JSON"), -EINVAL);
    unsigned failures = 0, before = g.w.disk.calls;
    assert_int_equal(grove_list(&g, ".systemefs/drafts/contacts", 100), 0);
    char *whole = strdup(g.text);
    assert_non_null(strstr(whole, "5.json\n5.json.reason\n6.json\n6.json.reason\n"));
    unsigned calls = g.w.disk.calls - before;
    for (unsigned i = 1; i <= calls; i++)
        for (size_t room = 1; room < 100; room += 98) {
            g.w.disk.fail_in = i, g.w.disk.fail_with = EIO;
            int r = grove_list(&g, ".systemefs/drafts/contacts", room);
            g.w.disk.fail_in = 0;
            failures += r == -EIO;
            assert_true(r == -EIO || (r == 0 && strcmp(g.text, whole) == 0));
        }
    assert_true(failures > 0);
    free(whole);
    grove_finish(&g);
}

/* A change had a deadline of its own, from its beginning on: a request that had waited before, for
 * the record that it is a change of, could take twice the timeout. */
static void test_deadline_of_a_save(void **state UNUSED)
{
    struct grove g;
    struct grove_call call;
    init(&g);
    assert_int_equal(grove_save(&g, "contacts/.s", FRENCH), 0);
    g.w.delay_ms = WORLD_TIMEOUT_MS * 2 / 3;
    grove_begin_rename(&g, &call, "contacts/.s", PATH);
    assert_int_equal(grove_wait(&call), -ETIMEDOUT);
    assert_true(call.run.ended_ms - call.run.began_ms <= WORLD_TIMEOUT_MS);
    check_kept(&g.w, "drafts/" PATH, FRENCH);
    grove_finish(&g);
}

/* vim reads, somebody else changes the record, vim renames it away (and gets the newer content),
 * its save is refused, and it renames the old file back. That was taken for another save, of what
 * somebody else had written: it took the place of the refused text, which was lost. */
static void test_draft_after_renaming_back(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_read(&g, PATH), 0);
    world_put(&g.w, RES_CONTACT, CONTACT("de", "\"Graz\"", VIP));
    world_advance(&g.w, TTL + 1);
    assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
    assert_int_equal(grove_save(&g, PATH, FRENCH), -ESTALE);
    check_kept(&g.w, "drafts/" PATH, FRENCH);
    assert_int_equal(grove_unlink(&g, PATH), 0);
    assert_int_equal(grove_rename(&g, "contacts/5.json~", PATH), 0);
    assert_int_equal(grove_path(&g, "contacts/5.json~"), -ENOENT);
    check_sent(&g.w, "");
    check_kept(&g.w, "drafts/" PATH, FRENCH);
    /* Written in between, it is a text of its own. */
    assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
    assert_int_equal(grove_save(&g, "contacts/5.json~", FRENCH), 0);
    assert_int_equal(grove_rename(&g, "contacts/5.json~", PATH), -ESTALE);
    grove_finish(&g);
}

/* The record is gone meanwhile: the old file put back became a draft, in place of the refused text.
 */
static void test_draft_after_a_removal(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_read(&g, PATH), 0);
    assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
    world_advance(&g.w, SAVE_RECENT_MS + 1);
    world_remove(&g.w, RES_CONTACT, "5");
    assert_int_equal(grove_save(&g, PATH, FRENCH), -ENOENT);
    assert_int_equal(grove_rename(&g, "contacts/5.json~", PATH), -ENOENT);
    check_kept(&g.w, "drafts/" PATH, FRENCH);
    assert_int_equal(grove_path(&g, "contacts/5.json~"), 0);
    check_sent(&g.w, "");
    grove_finish(&g);
}

/* Two editors have the same name for their backup. That of the first is gone when the second makes
 * its own: then the first, whose save is refused, removes its new file, as it thinks, and that was
 * a removal of the record. */
static void test_same_backup(void **state UNUSED)
{
    for (int removed = 0; removed <= 1; removed++) {
        struct grove g;
        init(&g);
        int first = g.caller, second = grove_process(&g);
        assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
        g.caller = second;
        if (removed)
            assert_int_equal(grove_unlink(&g, "contacts/5.json~"), 0);
        assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
        g.caller = first;
        assert_int_equal(grove_save(&g, PATH, "no JSON"), -EINVAL);
        assert_int_equal(grove_unlink(&g, PATH), 0);
        check_sent(&g.w, "");
        /* Once it has saved, it means what it removes. */
        assert_int_equal(grove_save(&g, PATH, FRENCH), 0);
        check_sent(&g.w, PATCH5 FRENCH "\n");
        assert_int_equal(grove_unlink(&g, PATH), 0);
        check_sent(&g.w, "DELETE /api/contacts/5\n");
        grove_finish(&g);
    }
}

/* With a ttl of 0, a lookup that was refused for a moment answers so that the open can tell why.
 * The open answered from what had been known before: that there is no such record, which the kernel
 * cannot take after a lookup that has found it (ESTALE). */
static void test_refused_after_gone(void **state UNUSED)
{
    struct world w;
    desk_init(&w, &(struct world_options){.ttl_ms = 0});
    know(&w);
    world_remove(&w, RES_CONTACT, "5");
    assert_int_equal(world_record(&w, RES_CONTACT, "5"), -ENOENT);
    struct run open = {.res = RES_CONTACT, .key = 5, .op.follow_up = true};
    run_begin(&w, &open, run_record);
    assert_int_equal(world_run(&w, &open), -ENOENT);
    w.status = 403;
    w.body = "{}";
    assert_int_equal(world_record(&w, RES_CONTACT, "5"), -EACCES);
    open = (struct run){.res = RES_CONTACT, .key = 5, .op.follow_up = true};
    run_begin(&w, &open, run_record);
    assert_int_equal(world_run(&w, &open), -EACCES);
    assert_int_equal(world_requests(&w), 3);
    world_finish(&w);
}

/* Two editors have the same name for their backup: what the first puts back is the copy of the
 * second. That was a save again, and took the draft of what the first had been refused. */
static void test_put_back_of_another(void **state UNUSED)
{
    for (int saved = 0; saved <= 1; saved++) {
        struct grove g;
        init(&g);
        int first = g.caller, second = grove_process(&g);
        assert_int_equal(grove_read(&g, PATH), 0);
        assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
        world_put(&g.w, RES_CONTACT, CONTACT("de", "\"Graz\"", VIP));
        world_advance(&g.w, TTL + 1);
        g.caller = second;
        assert_int_equal(grove_read(&g, PATH), 0);
        assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
        g.caller = first;
        assert_int_equal(grove_save(&g, PATH, FRENCH), -ESTALE);
        g.caller = second;
        if (saved)
            assert_int_equal(grove_save(&g, PATH, "{\"locale\":\"it\"}"), 0);
        world_asked(&g.w);
        g.caller = first;
        assert_int_equal(grove_unlink(&g, PATH), 0);
        assert_int_equal(grove_rename(&g, "contacts/5.json~", PATH), 0);
        check_sent(&g.w, "");
        check_kept(&g.w, "drafts/" PATH, FRENCH);
        /* Now that of the second is gone, too, and it does not mean the record. The first does. */
        g.caller = second;
        assert_int_equal(grove_unlink(&g, PATH), 0);
        check_sent(&g.w, saved ? "DELETE /api/contacts/5\n" : "");
        g.caller = first;
        assert_int_equal(grove_unlink(&g, PATH), saved ? -ENOENT : 0);
        check_sent(&g.w, saved ? "" : "DELETE /api/contacts/5\n");
        grove_finish(&g);
    }
}

/* The same, where the second has written its copy, as an editor does that saves in place: the text
 * of the second took the place of the refused one of the first, and was done with as nothing new.
 */
static void test_written_by_another(void **state UNUSED)
{
    struct grove g;
    init(&g);
    int first = g.caller, second = grove_process(&g);
    assert_int_equal(grove_read(&g, PATH), 0);
    assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
    world_put(&g.w, RES_CONTACT, CONTACT("de", "\"Graz\"", VIP));
    world_advance(&g.w, TTL + 1);
    g.caller = second;
    assert_int_equal(grove_save(&g, "contacts/5.json~", CONTACT("de", "\"Graz\"", VIP)), 0);
    g.caller = first;
    assert_int_equal(grove_save(&g, PATH, FRENCH), -ESTALE);
    assert_int_equal(grove_unlink(&g, PATH), 0);
    assert_int_equal(grove_rename(&g, "contacts/5.json~", PATH), 0);
    check_sent(&g.w, "");
    check_kept(&g.w, "drafts/" PATH, FRENCH);
    grove_finish(&g);
}

/* Of two records the first is gone when the listing is read on anew: one record alone shows no
 * order, so its place behind the other was not known, and it was left out. */
static void test_the_last_record(void **state UNUSED)
{
    struct grove g;
    struct tree_dir *dir;
    struct buf out;
    uint64_t cookie = 0;
    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
    world_fill(&g.w, RES_CONTACT, 2, 3);
    buf_init(&out, 4096);
    grove_opendir(&g, "contacts", &dir);
    while (!(out.data && strstr(out.data, "3.json")))
        assert_int_equal(grove_readdir(&g, dir, &cookie, 1, &out), 1);
    tree_closedir(g.tree, dir);
    world_remove(&g.w, RES_CONTACT, "3");
    world_advance(&g.w, TTL);
    grove_opendir(&g, "contacts", &dir);
    while (grove_readdir(&g, dir, &cookie, 10, &out) > 0)
        ;
    assert_string_equal(strstr(out.data, "3.json"), "3.json\n2.json\n");
    tree_closedir(g.tree, dir);
    buf_finish(&out);
    grove_finish(&g);
}

/* A 429 that comes late, out of the window before, with a Retry-After of a second: that moment was
 * taken for the refill of the new window, and the whole limit was thought to be there again. */
static void test_late_429(void **state UNUSED)
{
    struct quota q;
    quota_init(&q, 0, 0);
    quota_sent(&q, 0);
    quota_sent(&q, 0);
    const struct http_headers now = {.ratelimit_limit = "10",
                                     .ratelimit_remaining = "1",
                                     .ratelimit_refill = "10"};
    quota_answered(&q, 200, &now, 1000, 1000, 0);
    const struct http_headers late = {.ratelimit_limit = "10",
                                      .ratelimit_remaining = "0",
                                      .ratelimit_refill = "0",
                                      .retry_after = "1"};
    quota_answered(&q, 429, &late, 3000, 3000, 0);
    assert_int_equal(quota_when(&q, NET_PERSON, 3000), 4000);
    assert_int_equal(quota_when(&q, NET_PERSON, 4000), 4000);
    quota_sent(&q, 4000);
    assert_true(quota_when(&q, NET_PERSON, 4000) > 4000);
}

/* An answer of the window before that travelled through the refill: its seconds begin where it
 * arrives, so that it seemed to tell the refill of the new window, a second too early. */
static void test_answer_across_a_refill(void **state UNUSED)
{
    struct quota q;
    struct http_headers h = {.ratelimit_limit = "10",
                             .ratelimit_remaining = "9",
                             .ratelimit_refill = "30"};
    quota_init(&q, 0, 0);
    quota_sent(&q, 0);
    quota_answered(&q, 200, &h, 0, 0, 0);
    quota_sent(&q, 25000);
    struct http_headers late = h;
    snprintf(late.ratelimit_refill, sizeof(late.ratelimit_refill), "5");
    quota_sent(&q, 31000);
    quota_answered(&q, 200, &h, 31000, 31000, 0);
    assert_int_equal(q.refill_ms, 62000);
    quota_answered(&q, 200, &late, 25000, 55000, 0);
    assert_int_equal(q.refill_ms, 62000);
}

static int run_create_field(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_new_file(c->g->tree, &run->op, c->ino, "city", O_WRONLY | O_TRUNC, &c->file,
                         &c->g->attr);
}

static int run_rename_field(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_rename(c->g->tree, &run->op, c->ino, ".tmp", c->ino, "city", true);
}

/* In a directory that the kernel has already. */
static int call_in(struct grove *g, uint64_t dir, int (*handler)(struct run *run))
{
    struct grove_call call = {.g = g, .ino = dir, .run = {.arg = &call, .op.caller = g->caller}};
    run_begin(&g->w, &call.run, handler);
    return grove_wait(&call);
}

/* The field of a contact that is gone was taken for a file of one's own: success was told, and the
 * text was nowhere. */
static void test_field_of_no_contact(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_path(&g, "contacts/5/fields"), 0);
    uint64_t fields = g.attr.ino;
    assert_int_equal(grove_save(&g, "contacts/5/fields/.tmp", "Linz\n"), 0);
    world_remove(&g.w, RES_CONTACT, "5");
    world_advance(&g.w, TTL + 1);
    assert_int_equal(grove_lookup(&g, fields, "city"), -ENOENT);
    assert_int_equal(call_in(&g, fields, run_create_field), -ENOENT);
    assert_non_null(strstr(g.failure.message, "no such contact any more"));
    assert_int_equal(call_in(&g, fields, run_rename_field), -ENOENT);
    assert_int_equal(grove_lookup(&g, fields, ".tmp"), 0);
    check_sent(&g.w, "");
    grove_finish(&g);
}

static int run_put_tag_on(struct run *run)
{
    struct grove_call *c = run->arg;
    return tree_mkdir(c->g->tree, &run->op, c->ino, "1", &c->g->attr);
}

/* What was known of a contact was past its TTL. Its tag was put on once more, unasked, and the
 * automations of the tag began once more (ln -sf under valgrind: it takes EEXIST for the name's,
 * and goes on with others until it is through). */
static void test_tag_on_past_the_ttl(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_path(&g, "contacts/5/tags"), 0);
    uint64_t tags = g.attr.ino;
    world_put(&g.w, RES_CONTACT, CONTACT("en", "\"Graz\"", VIP));
    world_advance(&g.w, TTL + 1);
    assert_int_equal(call_in(&g, tags, run_put_tag_on), -EEXIST);
    check_sent(&g.w, "");
    grove_finish(&g);
}

/* A script reads a record, opens it anew with "r+", writes its text over the old one and cuts off
 * the rest. That was taken for a change of what stood in the file by then: a tag that somebody had
 * put on the contact meanwhile was taken off again, and their value replaced unseen. */
static void test_written_over(void **state UNUSED)
{
    static const char *const mine[] = {CONTACT("fr", "\"Graz\"", ""),
                                       CONTACT("fr", "\"Graz\"", VIP)};
    for (int conflict = 0; conflict <= 1; conflict++)
        for (int reads = 0; reads <= 1; reads++) {
            struct grove g;
            struct tree_file *file;
            const char *text;
            size_t len;
            init(&g);
            world_put(&g.w, RES_CONTACT, CONTACT("en", "\"Graz\"", ""));
            int first = g.caller, second = grove_process(&g);
            assert_int_equal(grove_read(&g, PATH), 0);
            world_put(&g.w, RES_CONTACT, conflict ? CONTACT("de", "\"Graz\"", VIP) : BASE);
            world_advance(&g.w, TTL + 1);
            g.caller = second;
            assert_int_equal(grove_read(&g, PATH), 0);
            g.caller = first;
            assert_int_equal(grove_open_path(&g, PATH, O_RDWR, &file), 0);
            if (reads) /* then it has seen it */
                tree_read(file, 0, SIZE_MAX, &text, &len);
            assert_int_equal(grove_write_at(&g, file, mine[reads], 0), 0);
            assert_int_equal(grove_truncate(&g, file, strlen(mine[reads])), 0);
            int r = grove_sync(&g, file);
            assert_int_equal(r, conflict && !reads ? -ESTALE : 0);
            check_sent(&g.w, r ? "" : "PATCH /api/contacts/5 {\"locale\":\"fr\"}\n");
            tree_close(g.tree, file);
            grove_finish(&g);
        }
}

/* Where files are not opened ("ro"), a record that could not be asked for just then had one byte,
 * also for whoever was reading it: the kernel ended the file there, and what was read was cut off
 * without a word. */
static void test_cut_off_by_a_refusal(void **state UNUSED)
{
    for (int no_open = 0; no_open <= 1; no_open++) {
        struct grove g;
        desk_log();
        grove_init(&g, &(struct grove_options){.ttl_ms = TTL, .kernel = true, .no_open = no_open});
        desk_fill(&g.w);
        assert_int_equal(grove_path(&g, PATH), 0);
        uint64_t ino = g.attr.ino;
        world_advance(&g.w, TTL + 1);
        g.w.status = 403, g.w.body = "{}";
        assert_int_equal(grove_getattr(&g, ino), no_open ? -EACCES : 0);
        if (!no_open)
            assert_int_equal(g.attr.size, 1);
        /* A name still has an inode, which can tell its reason. */
        assert_int_equal(grove_path(&g, PATH), 0);
        g.w.status = 0;
        grove_finish(&g);
    }
}

/* Records that are read one after the other are asked for by the page. Another page than that came,
 * the first one, as from a cache that does not look at the question: all of it lay behind the
 * record, so that was taken to be gone. */
static void test_first_page_around(void **state UNUSED)
{
    struct world w;
    world_init(&w, &(struct world_options){.ttl_ms = TTL});
    world_fill(&w, RES_CONTACT, 1, 13);
    for (const char *const *id = (const char *const[]){"1", "2", "3", NULL}; *id; id++)
        assert_int_equal(world_record(&w, RES_CONTACT, *id), 0);
    /* The fourth is asked for with its page, unless that was so for the third. */
    world_asked(&w);
    w.status = 200;
    w.body = "{\"items\":[{\"id\":13},{\"id\":12},{\"id\":11}],\"hasMore\":true}";
    world_advance(&w, TTL + 1);
    assert_int_equal(world_record(&w, RES_CONTACT, "4"), -EBADMSG);
    assert_non_null(strstr(world_asked(&w), "order=asc"));
    w.status = 0;
    world_advance(&w, STORE_REPEAT_MS + 1);
    assert_int_equal(world_record(&w, RES_CONTACT, "4"), 0);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_listing_fails),
        cmocka_unit_test(test_deadline_of_a_save),
        cmocka_unit_test(test_draft_after_renaming_back),
        cmocka_unit_test(test_draft_after_a_removal),
        cmocka_unit_test(test_same_backup),
        cmocka_unit_test(test_refused_after_gone),
        cmocka_unit_test(test_put_back_of_another),
        cmocka_unit_test(test_written_by_another),
        cmocka_unit_test(test_the_last_record),
        cmocka_unit_test(test_late_429),
        cmocka_unit_test(test_answer_across_a_refill),
        cmocka_unit_test(test_field_of_no_contact),
        cmocka_unit_test(test_tag_on_past_the_ttl),
        cmocka_unit_test(test_written_over),
        cmocka_unit_test(test_cut_off_by_a_refusal),
        cmocka_unit_test(test_first_page_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
