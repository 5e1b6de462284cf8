/* tree: a draft that is saved once more is the change that it was, whatever others did meanwhile.
 */
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

#define OPENED CONTACT("en", "\"Graz\"", VIP) /* as vim has opened it: desk_fill() */
#define MINE   CONTACT("fr", "\"Graz\"", VIP) /* what vim saves */
#define DRAFT  "drafts/" PATH

#define SENT(body) PATCH5 body "\n"
#define IN_FRENCH  SENT("{\"locale\":\"fr\"}")

static int vim, cp, cat;

static void init(struct grove *g)
{
    desk_log();
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = true});
    desk_fill(&g->w);
    vim = getpid();
    cp = grove_process(g);
    cat = grove_process(g);
}

/* Somebody else changes the record, at the server. */
static void elsewhere(struct grove *g, const char *text)
{
    world_put(&g->w, RES_CONTACT, text);
    world_advance(&g->w, SAVE_RECENT_MS + 1);
}

static int save_as(struct grove *g, int caller, const char *text)
{
    g->caller = caller;
    world_sent(&g->w);
    return grove_save(g, PATH, text);
}

/* vim opens the record, somebody changes it, and what vim saves is refused with `error`. */
static void refused(struct grove *g, const char *meanwhile, int error)
{
    g->caller = vim;
    assert_int_equal(grove_read(g, PATH), 0);
    elsewhere(g, meanwhile);
    if (error != -ESTALE)
        scripted_expect(&g->w.server, HTTP_PATCH, "", &(struct scripted_answer){.status = 422});
    assert_int_equal(save_as(g, vim, MINE), error);
    check_kept(&g->w, DRAFT, MINE);
}

static void append_name(void *data, const char *name, const struct disk_info *info UNUSED)
{
    buf_append_str(data, name);
}

/* Somebody reads it, in a program of his own. */
static void look(struct grove *g)
{
    g->caller = cat;
    assert_int_equal(grove_read(g, PATH), 0);
}

/* Files in bases/: each name has 32 bytes. */
static size_t bases(struct grove *g)
{
    CLEANUP(buf_cleanup) struct buf names;
    buf_init(&names, 4096);
    g->w.disk.disk.list(&g->w.disk.disk, "bases", append_name, &names);
    return names.len / 32;
}

static void check_gone(struct grove *g)
{
    check_kept(&g->w, DRAFT, NULL);
    check_kept(&g->w, DRAFT ".reason", NULL);
    assert_int_equal(bases(g), 0);
}

/* Each of these took back what others had changed: the draft was compared with what somebody had
 * read last, or with what is there now. */
static void test_retried(void **state UNUSED)
{
    static const struct {
        const char *before, *after; /* what somebody changes, and changes then */
        int first, second;          /* what the two saves say */
        const char *sent;           /* by the second */
    } rows[] = {
        /* Refused for another reason; somebody else's city stays. */
        {OPENED, CONTACT("en", "\"Linz\"", VIP), -EINVAL, 0, IN_FRENCH},
        /* A tag of theirs, too. */
        {OPENED, CONTACT("en", "\"Graz\"", VIP ",{\"id\":9,\"name\":\"nine\"}"), -EINVAL, 0,
         IN_FRENCH},
        /* They have said the same: nothing is left. */
        {OPENED, CONTACT("fr", "\"Linz\"", VIP), -EINVAL, 0, ""},
        /* Something else, which is a conflict until somebody has looked. */
        {OPENED, CONTACT("de", "\"Linz\"", VIP), -EINVAL, -ESTALE, ""},
        {CONTACT("de", "\"Linz\"", VIP), NULL, -ESTALE, -ESTALE, ""},
        {CONTACT("de", "\"Linz\"", VIP), CONTACT("it", "\"Linz\"", VIP), -ESTALE, -ESTALE, ""},
        /* They have put it back. */
        {CONTACT("de", "\"Linz\"", VIP), CONTACT("en", "\"Linz\"", VIP), -ESTALE, 0, IN_FRENCH},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        init(&g);
        refused(&g, rows[i].before, rows[i].first);
        assert_int_equal(bases(&g), 1);
        if (rows[i].after)
            elsewhere(&g, rows[i].after);
        assert_int_equal(save_as(&g, cp, MINE), rows[i].second);
        check_sent(&g.w, rows[i].sent);
        if (rows[i].second) {
            check_kept(&g.w, DRAFT, MINE);
            look(&g);
            assert_int_equal(save_as(&g, cp, MINE), 0);
            check_sent(&g.w, IN_FRENCH);
        }
        check_gone(&g);
        grove_finish(&g);
    }
}

/* What somebody has looked at is not what is there by now. */
static void test_looked_too_early(void **state UNUSED)
{
    struct grove g;
    init(&g);
    refused(&g, CONTACT("de", "\"Linz\"", VIP), -ESTALE);
    look(&g);
    elsewhere(&g, CONTACT("it", "\"Wien\"", VIP));
    assert_int_equal(save_as(&g, cp, MINE), -ESTALE);
    check_sent(&g.w, "");
    grove_finish(&g);
}

/* The next life of the program finds what the draft is a change of. */
static void test_after_a_restart(void **state UNUSED)
{
    struct grove g;
    init(&g);
    refused(&g, CONTACT("de", "\"Linz\"", VIP), -ESTALE);
    struct shelf *again;
    assert_int_equal(shelf_create(&g.w.disk.disk, &g.w.clock.clock, &again), 0);
    shelf_destroy(again);
    look(&g);
    assert_int_equal(save_as(&g, cp, MINE), 0);
    check_sent(&g.w, IN_FRENCH);
    check_gone(&g);
    grove_finish(&g);
}

/* A program that has read the record itself knows what is there, and says what it wants of it. */
static void test_who_has_read(void **state UNUSED)
{
    struct grove g;
    init(&g);
    refused(&g, CONTACT("de", "\"Linz\"", VIP), -ESTALE);
    /* The editor that was refused has not looked again: its text is what it was. */
    assert_int_equal(save_as(&g, vim, MINE), -ESTALE);
    g.caller = cp;
    assert_int_equal(grove_read(&g, PATH), 0);
    assert_int_equal(save_as(&g, cp, MINE), 0);
    check_sent(&g.w,
               SENT("{\"locale\":\"fr\",\"fields\":[{\"slug\":\"city\",\"value\":\"Graz\"}]}"));
    check_gone(&g);
    grove_finish(&g);
}

/* The power failed, and what is there now is anything. Compared with the record as it is, the draft
 * took back what others had changed: it is refused to who does not know the record. */
static void test_torn(void **state UNUSED)
{
    static const char *const left[] = {"", "{\"locale\":", "[]", "\n"};
    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        struct grove g;
        struct buf name;
        init(&g);
        refused(&g, CONTACT("en", "\"Linz\"", VIP), -EINVAL);
        buf_init(&name, 4096);
        buf_append_str(&name, "bases/");
        struct disk *disk = &g.w.disk.disk;
        disk->list(disk, "bases", append_name, &name);
        assert_int_equal(disk->write(disk, name.data, left[i], strlen(left[i]), 0), 0);
        buf_finish(&name);
        for (int tries = 0; tries < 2; tries++) {
            assert_int_equal(save_as(&g, cp, MINE), -ESTALE);
            assert_non_null(strstr(g.failure.message, "not known any more"));
            check_sent(&g.w, "");
            check_kept(&g.w, DRAFT, MINE);
        }
        elsewhere(&g, i % 2 ? MINE : CONTACT("de", "\"Wien\"", VIP));
        world_advance(&g.w, TTL);
        look(&g);
        assert_int_equal(save_as(&g, cp, MINE), i % 2 ? 0 : -ESTALE);
        check_sent(&g.w, "");
        if (i % 2) { /* it is so already */
            check_kept(&g.w, DRAFT, NULL);
        } else { /* a part of a record is a change of nothing else */
            assert_int_equal(save_as(&g, cp, "{\"locale\":\"fr\"}"), 0);
            check_sent(&g.w, IN_FRENCH);
        }
        grove_finish(&g);
    }
}

/* rm of a draft takes its base along, and so does a newer text of the same editor. */
static void test_nothing_is_left(void **state UNUSED)
{
    struct grove g;
    init(&g);
    refused(&g, OPENED, -EINVAL);
    assert_int_equal(bases(&g), 1);
    assert_int_equal(save_as(&g, vim, "{}{}"), -EINVAL);
    assert_int_equal(bases(&g), 1);
    assert_int_equal(grove_unlink(&g, ".systemefs/" DRAFT), 0);
    check_gone(&g);

    /* Of one that a crash has left, the next start takes care; of one that is needed, it does not.
     */
    refused(&g, OPENED, -EINVAL);
    struct disk *disk = &g.w.disk.disk;
    assert_int_equal(disk->write(disk, "bases/0123456789abcdef0123456789abcdef", "{}\n\n", 4, 0),
                     0);
    assert_int_equal(bases(&g), 2);
    struct shelf *again;
    assert_int_equal(shelf_create(disk, &g.w.clock.clock, &again), 0);
    shelf_destroy(again);
    assert_int_equal(bases(&g), 1);
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retried),
        cmocka_unit_test(test_looked_too_early),
        cmocka_unit_test(test_after_a_restart),
        cmocka_unit_test(test_who_has_read),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
