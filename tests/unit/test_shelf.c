/* store/shelf: drafts and trash, and how they are shown. */
#include "shelf_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one draft ---- */

static void test_done(void **state UNUSED)
{
    struct draft *d = save("contacts/5.json", VIM, "text");
    assert_string_equal(draft_path(d), "contacts/5.json");
    check("drafts/contacts/5.json", "text");
    assert_int_equal(disk_memory_locked(&m), 1);
    assert_int_equal(shelf_draft_count(s), 1);
    check_list("drafts/contacts", "5.json ");
    draft_done(d);
    check_list("drafts", "");
    assert_int_equal(shelf_draft_count(s), 0);
    assert_int_equal(warnings, 0);
}

static void test_refused(void **state UNUSED)
{
    struct draft *d = save("contacts/5.json", VIM, "text");
    draft_refused(d, "422: locale: This value is not valid.");
    check("drafts/contacts/5.json", "text");
    check("drafts/contacts/5.json.reason", "422: locale: This value is not valid.\n");
    assert_int_equal(disk_memory_locked(&m), 0);
    assert_int_equal(shelf_draft_count(s), 1);
    /* It keeps its reason when the program starts again. */
    restart();
    check("drafts/contacts/5.json.reason", "422: locale: This value is not valid.\n");
}

static void test_reason_is_one_line(void **state UNUSED)
{
    static const struct {
        const char *reason, *line;
    } cases[] = {
        {"", "\n"},
        {"a\nb\r\tc\x1b[2J\x7f", "a b  c [2J \n"},
        {"Gr\xc3\xbc\xc3\x9f"
         "e \xc2\xa0",
         "Gr\xc3\xbc\xc3\x9f"
         "e \xc2\xa0\n"},
        {"next\xc2\x85line \xc2\x9b"
         "2J",
         "next line  2J\n"},
        {"no utf-8 \xff\xc2", "no utf-8 \xff\xc2\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        draft_refused(save("x.json", VIM, "text"), cases[i].reason);
        check("drafts/x.json.reason", cases[i].line);
    }
    /* Cut at a character. */
    char reason[5001], line[4098];
    memset(reason, 'r', sizeof(reason));
    memcpy(reason + 4095, "\xc3\xbc", 2);
    reason[5000] = '\0';
    memset(line, 'r', 4095);
    memcpy(line + 4095, "\n", 2);
    draft_refused(save("x.json", VIM, "text"), reason);
    check("drafts/x.json.reason", line);
}

static void test_no_bytes(void **state UNUSED)
{
    struct draft *d;
    assert_int_equal(draft_begin(s, "a.json", 0, NULL, 0, &d), 0);
    check("drafts/a.json", "");
    draft_refused(d, "no");
    /* The same bytes again. */
    assert_int_equal(draft_begin(s, "a.json", 0, NULL, 0, &d), 0);
    assert_string_equal(draft_path(d), "a.json");
    draft_done(d);
    assert_int_equal(draft_begin(s, "", 0, "x", 1, &d), -EINVAL);
    assert_int_equal(draft_begin(s, "//", 0, "x", 1, &d), -EINVAL);
}

/* ---- whose draft it is ---- */

static void test_same_process_tries_again(void **state UNUSED)
{
    refuse("contacts/5.json", VIM, "{broken");
    struct draft *d = save("contacts/5.json", VIM, "{}");
    assert_string_equal(draft_path(d), "contacts/5.json");
    check("drafts/contacts/5.json", "{}");
    /* The old reason was of the old text. */
    check("drafts/contacts/5.json.reason", INTERRUPTED);
    assert_int_equal(shelf_draft_count(s), 1);
    draft_done(d);
    check_list("drafts", "");
}

static void test_another_process_gets_a_number(void **state UNUSED)
{
    refuse("5.json", VIM, "one");
    refuse("5.json", CP, "two");
    refuse("5.json", 0, "three");
    refuse("5.json", 0, "four"); /* not known twice is not the same */
    check("drafts/5.json", "one");
    check("drafts/5.json.2", "two");
    check("drafts/5.json.3", "three");
    check("drafts/5.json.4", "four");
    check("drafts/5.json.4.reason", "no\n");
    assert_int_equal(shelf_draft_count(s), 4);
    /* Each finds its own. */
    refuse("5.json", CP, "two, better");
    check("drafts/5.json.2", "two, better");
    refuse("5.json", VIM, "one, better");
    check("drafts/5.json", "one, better");
    /* And only its path's. */
    refuse("5.jso", VIM, "other");
    check("drafts/5.json", "one, better");
}

static void test_numbers_of_processes_come_again(void **state UNUSED)
{
    refuse("5.json", VIM, "one");
    clock_manual_advance(&clock_of_test, 60 * 60 * 1000 - 1);
    refuse("5.json", VIM, "two");
    check("drafts/5.json", "two");
    clock_manual_advance(&clock_of_test, 60 * 60 * 1000);
    refuse("5.json", VIM, "three");
    check("drafts/5.json", "two");
    check("drafts/5.json.2", "three");
    restart();
    refuse("5.json", VIM, "four");
    check("drafts/5.json.3", "four");
}

/* The person removed it, and through another mount somebody else's text took its name. */
static void test_what_is_there_is_anothers(void **state UNUSED)
{
    refuse("5.json", VIM, "mine");
    assert_int_equal(m.disk.write(&m.disk, "drafts/5.json", "yours", 5, false), 0);
    refuse("5.json", VIM, "mine again");
    check("drafts/5.json", "yours");
    check("drafts/5.json.2", "mine again");
}

static void test_same_bytes(void **state UNUSED)
{
    refuse("5.json", VIM, "one");
    refuse("5.json", CP, "two");
    restart();
    struct draft *d = save("5.json", CP, "two");
    assert_string_equal(draft_path(d), "5.json.2");
    draft_done(d);
    check_list("drafts", "5.json 5.json.reason ");
    /* It is the last one's who saved it. */
    refuse("5.json", VIM, "one");
    refuse("5.json", CP, "one");
    check_list("drafts", "5.json 5.json.reason ");
    refuse("5.json", VIM, "eno"); /* of the same length only */
    check("drafts/5.json", "one");
    check("drafts/5.json.2", "eno");
}

static void test_under_way_is_not_replaced(void **state UNUSED)
{
    struct draft *first = save("5.json", VIM, "one");
    struct draft *second = save("5.json", VIM, "one");
    assert_string_equal(draft_path(second), "5.json.2");
    draft_done(first);
    check("drafts/5.json.2", "one");
    draft_refused(second, "no");
    check("drafts/5.json.2.reason", "no\n");

    /* Held by another mount. */
    int lock = m.disk.lock(&m.disk, "drafts/5.json.2");
    struct draft *third = save("5.json", VIM, "one");
    assert_string_equal(draft_path(third), "5.json");
    m.disk.unlock(&m.disk, lock);
    draft_done(third);
}

/* Only so many processes are remembered; the others get a number. */
static void test_many_refused(void **state UNUSED)
{
    char path[32];
    for (unsigned i = 0; i < 70; i++) {
        snprintf(path, sizeof(path), "%u.json", i);
        refuse(path, VIM, "one");
    }
    refuse("0.json", VIM, "two");
    check("drafts/0.json", "one");
    check("drafts/0.json.2", "two");
    refuse("69.json", VIM, "two");
    check("drafts/69.json", "two");
}

static void test_many_versions(void **state UNUSED)
{
    char text[32], path[64];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof(text), "text %02u", i);
        refuse("5.json", 0, text);
    }
    for (unsigned i = 1; i < 40; i++) {
        snprintf(text, sizeof(text), "text %02u", i);
        snprintf(path, sizeof(path), "drafts/5.json.%u", i + 1);
        check(path, text);
    }
}

/* A reason whose draft is gone is no place for a new draft: it would be taken for its reason. */
static void test_number_without_a_reason(void **state UNUSED)
{
    assert_int_equal(m.disk.write(&m.disk, "drafts/5.json.reason", "old\n", 4, true), 0);
    assert_int_equal(m.disk.write(&m.disk, "drafts/5.json.2/x", "dir", 3, true), 0);
    struct draft *d = save("5.json", VIM, "one");
    assert_string_equal(draft_path(d), "5.json.3");
    draft_done(d);
    check("drafts/5.json.reason", "old\n");
}

/* ---- names ---- */

static void check_place(const char *path, const char *place)
{
    struct draft *d = save(path, 0, path);
    assert_string_equal(draft_path(d), place);
    draft_refused(d, "no");
}

static void test_names(void **state UNUSED)
{
    static const struct {
        const char *path, *place;
    } cases[] = {
        {"contacts/5.json", "contacts/5.json"},
        {"/tags//9.json", "tags/9.json"},
        {"tags/x y\n.json", "tags/x y\n.json"},
        {"a.reason.json", "a.reason.json"},
        {"v1.2.json", "v1.2.json"},
        {"2.x", "2.x"},
        {"42", "42"},
        {"drafts/reason", "drafts/reason"},
        {"x~0123456789abcde", "x~0123456789abcde"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check_place(cases[i].path, cases[i].place);
}

/* A record called "x.json.2" is not the second draft of "x.json", and so on. */
static void test_names_that_could_be_ours(void **state UNUSED)
{
    static const char *const paths[] = {
        "x.json.2",  "x.json",       "x.json.2.reason",    "x.json.reason", ".reason", ".x.json",
        "../x.json", ".writing-1-1", "x~0123456789abcdef", "dir.2/x.json",  ".2"};
    char places[ARRAY_SIZE(paths)][64];
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct draft *d = save(paths[i], VIM, "the same text");
        snprintf(places[i], sizeof(places[i]), "drafts/%s", draft_path(d));
        assert_null(strstr(places[i], "/."));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(places[i], places[k]);
        draft_refused(d, "no");
    }
    assert_int_equal(shelf_draft_count(s), ARRAY_SIZE(paths));
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        check(places[i], "the same text");
        draft_done(save(paths[i], CP, "the same text"));
        check(places[i], NULL);
        assert_int_equal(shelf_draft_count(s), ARRAY_SIZE(paths) - i - 1);
    }
    check_list("drafts", "");
}

/* Nor is one that is called as another is kept. */
static void test_name_of_a_place(void **state UNUSED)
{
    struct draft *first = save("x.json.2", VIM, "the same text");
    char place[64];
    snprintf(place, sizeof(place), "%s", draft_path(first));
    draft_refused(first, "no");
    struct draft *second = save(place, VIM, "the same text");
    assert_string_not_equal(draft_path(second), place);
    draft_done(second);
    assert_int_equal(shelf_draft_count(s), 1);
}

static void test_long_names(void **state UNUSED)
{
    char one[256] = {0}, two[256] = {0}, place[256];
    memset(one, 'n', 255);
    memset(two, 'n', 255);
    two[254] = 'm';
    /* Where the cut would be, in the middle of a character. */
    memcpy(one + 219, "\xc3\xbc", 2);
    memcpy(two + 219, "\xc3\xbc", 2);
    struct draft *d = save(one, VIM, "one");
    snprintf(place, sizeof(place), "%s", draft_path(d));
    assert_int_equal(strlen(place), 219 + 17);
    assert_memory_equal(place, one, 219);
    assert_int_equal(place[219], '~');
    assert_int_equal(strspn(place + 220, "0123456789abcdef"), 16);
    draft_refused(d, "no");
    d = save(two, VIM, "two");
    assert_string_not_equal(draft_path(d), place);
    draft_refused(d, "no");
    d = save(one, CP, "three");
    assert_int_equal(strlen(draft_path(d)), strlen(place) + 2);
    draft_refused(d, "no");
    assert_int_equal(shelf_draft_count(s), 3);

    /* The longest that stays, with the highest number and the reason behind it. */
    char longest[256] = {0};
    memset(longest, 'l', 255 - strlen(".1073741824.reason"));
    check_place(longest, longest);
}

/* ---- trash ---- */

static void test_trash(void **state UNUSED)
{
    discard("contacts/5.json", "one", "contacts/5.json");
    discard("contacts/5.json", "one", "contacts/5.json.2"); /* every version */
    discard("contacts/5.json", "two", "contacts/5.json.3");
    discard("contacts/6.json", "six", "contacts/6.json");
    check("trash/contacts/5.json", "one");
    check("trash/contacts/5.json.3", "two");
    restart();
    discard("contacts/5.json", "three", "contacts/5.json.4");
    assert_int_equal(shelf_draft_count(s), 0);
    /* A number that is free again may be used, one that is not never. */
    assert_int_equal(shelf_remove(s, "trash/contacts/5.json"), 0);
    discard("contacts/5.json", "four", "contacts/5.json");
    check("trash/contacts/5.json.2", "one");
    check("trash/contacts/5.json.3", "two");
    check("trash/contacts/5.json.4", "three");
}

static void test_trash_with_holes(void **state UNUSED)
{
    char path[64];
    for (unsigned i = 1; i < 100; i++)
        if (i % 7 != 3) {
            snprintf(path, sizeof(path), i > 1 ? "trash/5.json.%u" : "trash/5.json", i);
            put(path, "precious");
        }
    unsigned before = m.writes;
    for (unsigned i = 0; i < 100; i++) {
        struct buf where;
        buf_init(&where, 1000);
        assert_int_equal(trash_put(s, "5.json", "new", 3, &where), 0);
        buf_finish(&where);
    }
    assert_int_equal(m.writes - before, 100);
    for (unsigned i = 1; i < 100; i++)
        if (i % 7 != 3) {
            snprintf(path, sizeof(path), i > 1 ? "trash/5.json.%u" : "trash/5.json", i);
            check(path, "precious");
        }
}

static void test_trash_of_thousands(void **state UNUSED)
{
    char place[64];
    for (unsigned i = 1; i <= 3000; i++) {
        snprintf(place, sizeof(place), i > 1 ? "5.json.%u" : "5.json", i);
        discard("5.json", "text", place);
    }
    unsigned before = m.calls;
    discard("5.json", "text", "5.json.3001");
    assert_in_range(m.calls - before, 1, 60);
}

/* Another mount took the number between our look and our write. */
static void test_number_is_taken_meanwhile(void **state UNUSED)
{
    m.fail_in = 3, m.fail_with = EEXIST; /* stat of the text, of the reason, write */
    discard("5.json", "text", "5.json");
    assert_int_equal(m.fail_in, 0);
    /* But not for ever. */
    struct buf where;
    buf_init(&where, 100);
    m.fail_in = 3, m.fail_with = EIO;
    assert_int_equal(trash_put(s, "6.json", "text", 4, &where), -EIO);
    assert_int_equal(where.len, 0);
}

/* ---- as they are shown ---- */

static void test_no_disk(void **state UNUSED)
{
    struct shelf *none;
    struct draft *d;
    struct disk_info info;
    struct buf text;
    buf_init(&text, 100);
    assert_int_equal(shelf_create(NULL, &clock_of_test.clock, &none), 0);
    assert_int_equal(draft_begin(none, "5.json", VIM, "text", 4, &d), -EROFS);
    assert_int_equal(trash_put(none, "5.json", "text", 4, &text), -EROFS);
    assert_int_equal(shelf_draft_count(none), 0);
    assert_int_equal(shelf_stat(none, "drafts", &info), 0);
    assert_true(info.dir);
    assert_int_equal(shelf_stat(none, "drafts/5.json", &info), -ENOENT);
    assert_int_equal(shelf_read(none, "drafts/5.json", &text), -ENOENT);
    assert_int_equal(shelf_list(none, "trash", append_entry, &text), 0);
    assert_int_equal(text.len, 0);
    assert_int_equal(shelf_remove(none, "drafts/5.json"), -ENOENT);
    shelf_destroy(none);
    shelf_destroy(NULL);
}

static void test_shown(void **state UNUSED)
{
    struct disk_info info;
    struct buf text;
    buf_init(&text, 100);
    assert_int_equal(shelf_stat(s, "drafts", &info), 0);
    assert_true(info.dir);
    assert_int_equal(shelf_stat(s, "trash", &info), 0);
    check_list("drafts", "");
    check_list("trash", "");

    refuse("contacts/5.json", VIM, "text");
    check_list("drafts", "contacts/ ");
    check_list("drafts/contacts", "5.json 5.json.reason ");
    assert_int_equal(shelf_stat(s, "drafts/contacts", &info), 0);
    assert_true(info.dir);
    assert_int_equal(shelf_stat(s, "drafts/contacts/5.json", &info), 0);
    assert_int_equal(info.size, 4);
    assert_int_equal(shelf_read(s, "drafts/contacts/5.json.reason", &text), 0);
    assert_string_equal(text.data, "no\n");
    assert_int_equal(shelf_read(s, "drafts/contacts", &text), -EISDIR);
    assert_int_equal(shelf_read(s, "drafts", &text), -EISDIR);

    /* What else is on the disk is not shown, nor are names that cannot be there. */
    put("lock", "x");
    put("draftsman", "x");
    static const char *const none[] = {
        "",          "lock",           "draftsman",           "drafts/",
        "drafts/..", "drafts/../lock", "drafts/.writing-1-1", "/"};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        assert_int_equal(shelf_stat(s, none[i], &info), -ENOENT);
        assert_int_equal(shelf_read(s, none[i], &text), -ENOENT);
        assert_int_equal(shelf_list(s, none[i], append_entry, &text), -ENOENT);
        assert_int_equal(shelf_remove(s, none[i]), -ENOENT);
    }
    buf_finish(&text);
}

static void test_too_long_to_be_read(void **state UNUSED)
{
    /* Bug guarded: such a text was kept, and could not be had again. */
    size_t len = SHELF_TEXT_MAX + 1;
    char *bytes = calloc(1, len);
    assert_non_null(bytes);
    struct draft *d;
    struct buf text;
    buf_init(&text, 2 * len);
    assert_int_equal(draft_begin(s, "5.json", VIM, bytes, len, &d), -EFBIG);
    assert_int_equal(shelf_read(s, "drafts/5.json", &text), -ENOENT);
    assert_int_equal(draft_begin(s, "5.json", VIM, bytes, len - 1, &d), 0);
    assert_int_equal(shelf_read(s, "drafts/5.json", &text), 0);
    assert_int_equal(text.len, SHELF_TEXT_MAX);
    draft_done(d);
    buf_finish(&text);
    free(bytes);
}

static void test_remove(void **state UNUSED)
{
    refuse("contacts/5.json", VIM, "five");
    refuse("contacts/6.json", VIM, "six");
    discard("tags/9.json", "nine", "tags/9.json");
    assert_int_equal(shelf_remove(s, "drafts"), -EBUSY);
    assert_int_equal(shelf_remove(s, "trash"), -EBUSY);
    assert_int_equal(shelf_remove(s, "drafts/contacts"), -ENOTEMPTY);
    assert_int_equal(shelf_remove(s, "drafts/contacts/7.json"), -ENOENT);
    assert_int_equal(shelf_remove(s, "drafts/contacts/5.json"), 0);
    check_list("drafts/contacts", "6.json 6.json.reason ");
    assert_int_equal(shelf_remove(s, "drafts/contacts/6.json.reason"), 0);
    check_list("drafts/contacts", "6.json ");
    assert_int_equal(shelf_remove(s, "drafts/contacts/6.json"), 0);
    assert_int_equal(shelf_remove(s, "trash/tags/9.json"), 0);
    /* Whoever empties a directory may be reading it: it stays, until it is removed itself. */
    check_list("drafts/contacts", "");
    check_list("trash/tags", "");
    assert_int_equal(shelf_remove(s, "drafts/contacts"), 0);
    assert_int_equal(shelf_remove(s, "trash/tags"), 0);
    check_list("drafts", "");
    check_list("trash", "");

    struct draft *d = save("contacts/5.json", VIM, "five");
    assert_int_equal(shelf_remove(s, "drafts/contacts/5.json"), -EBUSY);
    check("drafts/contacts/5.json", "five");
    draft_done(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_done),
        T(test_refused),
        T(test_reason_is_one_line),
        T(test_no_bytes),
        T(test_same_process_tries_again),
        T(test_another_process_gets_a_number),
        T(test_numbers_of_processes_come_again),
        T(test_what_is_there_is_anothers),
        T(test_same_bytes),
        T(test_under_way_is_not_replaced),
        T(test_many_refused),
        T(test_many_versions),
        T(test_number_without_a_reason),
        T(test_names),
        T(test_names_that_could_be_ours),
        T(test_name_of_a_place),
        T(test_long_names),
        T(test_no_disk),
        T(test_trash),
        T(test_trash_with_holes),
        T(test_trash_of_thousands),
        T(test_number_is_taken_meanwhile),
        T(test_shown),
        T(test_too_long_to_be_read),
        T(test_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
