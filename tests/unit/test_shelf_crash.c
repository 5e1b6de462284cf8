/* store/shelf: what a crash left, a disk that fails, and a crash at every moment. */
#include "shelf_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the start ---- */

static void test_interrupted(void **state UNUSED)
{
    save("contacts/5.json", VIM, "text");
    save("a/b/c/d.json", VIM, "deep");
    refuse("contacts/6.json", VIM, "refused");
    disk_memory_crash(&m);
    restart();
    check("drafts/contacts/5.json", "text");
    check("drafts/contacts/5.json.reason", INTERRUPTED);
    check("drafts/a/b/c/d.json.reason", INTERRUPTED);
    check("drafts/contacts/6.json.reason", "no\n");
    assert_int_equal(disk_memory_locked(&m), 0);
    assert_int_equal(shelf_draft_count(s), 3);
    /* No reason for a reason. */
    restart();
    check_list("drafts/contacts", "5.json 5.json.reason 6.json 6.json.reason ");
}

static void test_another_mount(void **state UNUSED)
{
    struct draft *d = save("contacts/5.json", VIM, "text");
    struct shelf *other;
    assert_int_equal(shelf_create(&m.disk, &clock_of_test.clock, &other), 0);
    check("drafts/contacts/5.json.reason", NULL);
    assert_int_equal(shelf_draft_count(other), 1);
    assert_int_equal(shelf_remove(other, "drafts/contacts/5.json"), -EBUSY);
    draft_refused(d, "no");
    assert_int_equal(shelf_remove(other, "drafts/contacts/5.json"), 0);
    check_list("drafts/contacts", "");
    shelf_destroy(other);
}

/* The next mount finds what was under way when this one went: nobody has the lock any more. */
static void test_destroyed_under_way(void **state UNUSED)
{
    save("contacts/5.json", VIM, "text");
    restart();
    check("drafts/contacts/5.json.reason", INTERRUPTED);
}

static void test_reason_alone(void **state UNUSED)
{
    put("drafts/contacts/5.json.reason", "old\n");
    put("drafts/contacts/6.json", "text");
    put("drafts/contacts/6.json.reason", "why\n");
    restart();
    check("drafts/contacts/5.json.reason", NULL);
    check("drafts/contacts/6.json.reason", "why\n");
}

static void test_start_on_a_bad_disk(void **state UNUSED)
{
    put("drafts/5.json", "text");
    m.read_only = true;
    restart();
    assert_int_equal(warnings, 1);
    assert_int_equal(shelf_draft_count(s), 1);
    m.fail_in = 1, m.fail_with = EIO;
    restart();
    assert_int_equal(warnings, 2);
}

/* "Cannot be seen" is not "is not there". */
static void test_start_keeps_a_reason(void **state UNUSED)
{
    put("drafts/5.json", "text");
    put("drafts/5.json.reason", "why\n");
    m.fail_in = 3, m.fail_with = EIO; /* list, stat of the reason, stat of its draft */
    restart();
    assert_int_equal(m.fail_in, 0);
    check("drafts/5.json.reason", "why\n");
}

/* ---- a disk that fails ---- */

static void test_full(void **state UNUSED)
{
    struct draft *d = NULL;
    refuse("5.json", VIM, "one");
    m.room = 10;
    assert_int_equal(draft_begin(s, "6.json", VIM, "twelve bytes", 12, &d), -ENOSPC);
    /* What it would have replaced is as it was. */
    assert_int_equal(draft_begin(s, "5.json", VIM, "twelve bytes", 12, &d), -ENOSPC);
    assert_null(d);
    check("drafts/5.json", "one");
    check("drafts/5.json.reason", "no\n");
    assert_int_equal(disk_memory_locked(&m), 0);
    assert_int_equal(warnings, 0);
    m.room = SIZE_MAX;
    draft_done(save("5.json", VIM, "twelve bytes"));
    check_list("drafts", "");
}

static void test_reason_cannot_be_written(void **state UNUSED)
{
    struct draft *d = save("5.json", VIM, "text");
    m.room = 4;
    draft_refused(d, "a long reason");
    assert_int_equal(warnings, 1);
    check("drafts/5.json", "text");
    check("drafts/5.json.reason", NULL);
    m.room = SIZE_MAX;
    restart();
    check("drafts/5.json.reason", INTERRUPTED);
}

static void test_done_cannot_remove(void **state UNUSED)
{
    struct draft *d = save("5.json", VIM, "text");
    m.fail_in = 1, m.fail_with = EIO;
    draft_done(d);
    shelf_turn(s);
    assert_int_equal(warnings, 1);
    assert_int_equal(disk_memory_locked(&m), 0);
    check("drafts/5.json", "text");
}

/* Bug guarded: a save was told only when its draft's file was closed, and closing what was removed
 * took up to eight milliseconds. */
static void test_done_and_let_go(void **state UNUSED)
{
    struct draft *d = save("5.json", VIM, "text");
    draft_done(d);
    check_list("drafts", "");
    assert_int_equal(disk_memory_locked(&m), 1);
    /* The next one of that name is another file. */
    d = save("5.json", VIM, "more");
    assert_string_equal(draft_path(d), "5.json");
    assert_int_equal(disk_memory_locked(&m), 2);
    shelf_turn(s);
    assert_int_equal(disk_memory_locked(&m), 1);
    check("drafts/5.json", "more");
    draft_done(d);
    shelf_turn(s);
    shelf_turn(s);
    assert_int_equal(disk_memory_locked(&m), 0);
    assert_int_equal(warnings, 0);
}

static void test_no_locks(void **state UNUSED)
{
    /* The last one of the calls that a save takes is the lock. */
    unsigned before = m.calls;
    struct draft *first = save("5.json", VIM, "text");
    unsigned calls = m.calls - before;
    draft_done(first);
    shelf_turn(s);
    m.fail_in = calls, m.fail_with = ENOLCK;
    struct draft *d = save("5.json", VIM, "text");
    assert_int_equal(m.fail_in, 0);
    assert_int_equal(disk_memory_locked(&m), 0);
    assert_int_equal(shelf_remove(s, "drafts/5.json"), -EBUSY);
    draft_done(d);
    check_list("drafts", "");
}

static void test_read_only(void **state UNUSED)
{
    struct draft *d;
    struct buf where;
    buf_init(&where, 100);
    m.read_only = true;
    assert_int_equal(draft_begin(s, "5.json", VIM, "text", 4, &d), -EROFS);
    assert_int_equal(trash_put(s, "5.json", "text", 4, &where), -EROFS);
    assert_int_equal(where.len, 0);
}

/* ---- a crash at every moment ---- */

/* What happens, until the process dies; the texts that are promised to be kept by then. */
static size_t live(const char *kept[])
{
    struct draft *a, *b;
    struct buf where;
    size_t n = 0;
    buf_init(&where, 1000);
    if (draft_begin(s, "contacts/5.json", VIM, "first", 5, &a) == 0) {
        kept[n++] = "first";
        draft_refused(a, "no");
    }
    if (draft_begin(s, "contacts/5.json", CP, "other", 5, &b) == 0)
        kept[n++] = "other";
    if (draft_begin(s, "contacts/5.json", VIM, "second", 6, &a) == 0) {
        for (size_t i = 0; i < n; i++) /* it stands for the first one */
            if (strcmp(kept[i], "first") == 0)
                kept[i] = "second";
        draft_refused(a, "no, again");
    }
    if (draft_begin(s, "contacts/5.json", CP, "second", 6, &a) == 0)
        draft_refused(a, "never");
    if (trash_put(s, "tags/9.json", "tag", 3, &where) == 0)
        kept[n++] = "tag";
    if (trash_put(s, "tags/9.json", "tag, later", 10, &where) == 0)
        kept[n++] = "tag, later";
    buf_finish(&where);
    return n;
}

struct search {
    char path[200];
    const char *text, *or_text;
    bool found;
};

static void search_entry(void *data, const char *name, const struct disk_info *info)
{
    struct search *look = data;
    size_t len = strlen(look->path);
    snprintf(look->path + len, sizeof(look->path) - len, "/%s", name);
    if (info->dir) {
        assert_int_equal(m.disk.list(&m.disk, look->path, search_entry, look), 0);
    } else {
        const char *text = disk_memory_text(&m, look->path);
        look->found |= look->text && strcmp(text, look->text) == 0;
        look->found |= look->or_text && strcmp(text, look->or_text) == 0;
        /* Every draft has its reason by now, and every reason a draft. */
        char other[sizeof(look->path) + 8];
        bool is_reason = strstr(name, ".reason") != NULL;
        snprintf(other, sizeof(other), "%.*s%s",
                 (int)(strlen(look->path) - (is_reason ? strlen(".reason") : 0)), look->path,
                 is_reason ? "" : ".reason");
        if (strncmp(look->path, "drafts", 6) == 0 && !disk_memory_text(&m, other))
            fail_msg("%s is there, %s is not", look->path, other);
    }
    look->path[len] = '\0';
}

static void check_kept(const char *text, const char *or_text)
{
    static const char *const tops[] = {"drafts", "trash"};
    struct search look = {.text = text, .or_text = or_text};
    for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
        snprintf(look.path, sizeof(look.path), "%s", tops[i]);
        int r = m.disk.list(&m.disk, tops[i], search_entry, &look);
        assert_true(r == 0 || r == -ENOENT);
    }
    if (text && !look.found)
        fail_msg("\"%s\" is lost", text);
}

static void test_crash_at_every_moment(void **state)
{
    unsigned calls = 0;
    for (unsigned n = 1; calls == 0 || n <= calls; n++)
        for (unsigned late = 0; late < 2; late++) {
            end(state);
            begin(state);
            unsigned before = m.calls;
            m.fail_in = n, m.fail_for = UINT_MAX, m.fail_with = EIO, m.fail_late = late;
            const char *kept[8];
            size_t count = live(kept);
            if (n == 1) { /* how many calls it is without a failure */
                end(state);
                begin(state);
                before = m.calls;
                live((const char *[8]){0});
                calls = m.calls - before;
                continue;
            }
            shelf_destroy(s);
            s = NULL;
            disk_memory_crash(&m);
            restart();
            check_kept(NULL, NULL);
            for (size_t i = 0; i < count; i++)
                /* Replaced by what is there, though the disk said that it failed. */
                check_kept(kept[i], late && strcmp(kept[i], "first") == 0 ? "second" : NULL);
        }
    assert_in_range(calls, 40, 1000);
}

/* ---- on a real disk ---- */

static int remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

/* A child saves, and dies without a word; who looks meanwhile sees that it is at it. */
static void save_and_die(const char *directory, int saved, int die)
{
    struct buf why;
    struct disk *disk;
    struct shelf *shelf;
    struct draft *d;
    char byte = 0;
    buf_init(&why, 1000);
    if (disk_open(directory, &disk, &why) == 0 &&
        shelf_create(disk, &clock_of_test.clock, &shelf) == 0 &&
        draft_begin(shelf, "contacts/5.json", VIM, "text", 4, &d) == 0 &&
        write(saved, &byte, 1) == 1 && read(die, &byte, 1) == 0)
        _exit(0);
    _exit(1);
}

static void look(struct disk *disk, const char *reason)
{
    struct shelf *shelf;
    struct buf text;
    buf_init(&text, 1000);
    assert_int_equal(shelf_create(disk, &clock_of_test.clock, &shelf), 0);
    assert_int_equal(shelf_read(shelf, "drafts/contacts/5.json", &text), 0);
    assert_string_equal(text.data, "text");
    buf_reset(&text);
    assert_int_equal(shelf_read(shelf, "drafts/contacts/5.json.reason", &text),
                     reason ? 0 : -ENOENT);
    if (reason)
        assert_string_equal(text.data, reason);
    buf_finish(&text);
    shelf_destroy(shelf);
}

static void test_another_process_dies(void **state UNUSED)
{
    char directory[] = "/tmp/test_shelf.XXXXXX", byte;
    struct disk *disk;
    struct buf why;
    int saved[2], die[2], status;
    buf_init(&why, 1000);
    assert_non_null(mkdtemp(directory));
    assert_int_equal(pipe(saved), 0);
    assert_int_equal(pipe(die), 0);
    pid_t child = fork();
    if (child == 0) {
        close(die[1]);
        save_and_die(directory, saved[1], die[0]);
    }
    close(saved[1]);
    close(die[0]);
    assert_int_equal(read(saved[0], &byte, 1), 1);
    assert_int_equal(disk_open(directory, &disk, &why), 0);
    look(disk, NULL);
    close(die[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    look(disk, INTERRUPTED);
    close(saved[0]);
    disk_close(disk);
    buf_finish(&why);
    assert_int_equal(nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_interrupted),
        T(test_another_mount),
        T(test_destroyed_under_way),
        T(test_reason_alone),
        T(test_start_on_a_bad_disk),
        T(test_start_keeps_a_reason),
        T(test_full),
        T(test_reason_cannot_be_written),
        T(test_done_cannot_remove),
        T(test_done_and_let_go),
        T(test_no_locks),
        T(test_read_only),
        T(test_crash_at_every_moment),
        T(test_another_process_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
