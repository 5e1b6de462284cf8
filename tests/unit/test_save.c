/* store/save: the machine: drafts and requests in their order, three sides, queues, ends. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "save_fixture.h"

#define FRENCH "{\"locale\":\"fr\"}"
#define LINZ   "{\"fields\":[{\"slug\":\"city\",\"value\":\"Linz\"}]}"
#define DONE   "drafted planned sending settling done"
#define DRAFT  "drafts/" PATH
#define REASON DRAFT ".reason"
#define MAY    "it may have been carried out"
#define GET5   "GET /api/contacts/5\n"
#define OPTIONS                                                                                    \
    &(struct world_options)                                                                        \
    {                                                                                              \
        .ttl_ms = TTL                                                                              \
    }

static void begin_save(struct world *w, struct run *run, const struct save_order *order)
{
    *run = (struct run){.order = order};
    run_begin(w, run, run_save);
}

/* ---- one change ---- */

static void test_edit(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    assert_int_equal(save(&w, edit(FRENCH)), 0);
    check_trace(DONE);
    check_asked(&w, PATCH5 FRENCH "\n");
    check_known(&w, CONTACT("fr", "\"Graz\"", VIP));
    check_kept(&w, DRAFT, NULL);
    check_kept(&w, REASON, NULL);
    assert_int_equal(world_record(&w, RES_CONTACT, "5"), 0); /* it is fresh */
    check_asked(&w, "");
    assert_false(store_saving(w.store));
    world_finish(&w);
}

/* No change: nothing is asked, sent or kept. */
static void test_unchanged(void **state UNUSED)
{
    static const char *const texts[] = {BASE, "{}", "{\"locale\":\"en\"}",
                                        "{\"tags\":[{\"id\":1}]}"};
    struct world w;
    desk_init(&w, OPTIONS);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(save(&w, edit(texts[i])), 0);
        check_trace("drafted done");
    }
    check_asked(&w, "");
    assert_int_equal(w.disk.writes, 0);
    world_finish(&w);
}

/* It is refused before anything is asked; what was typed is a draft. */
static void test_refused_at_once(void **state UNUSED)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"locale: fr", "line 1, column 1"},
        {"{\"locale\":\"fr\"", "line 1"},
        {"[" FRENCH "]", "object"},
        {"{\"locale\":\"fr\",\"locale\":\"de\"}", "locale"},
        {"{\"email\":\"x@example.com\"}", "email"},
        {"{\"shoes\":44}", "shoes"},
        {"{\"fields\":{}}", "fields"},
    };
    struct world w;
    desk_init(&w, OPTIONS);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(save(&w, edit(rows[i].text)), -EINVAL);
        assert_non_null(strstr(w.failure_seen.message, rows[i].reason));
        check_kept(&w, DRAFT, rows[i].text);
        check_reason(&w, PATH, w.failure_seen.message);
    }
    struct save_order order = edit(FRENCH "\0{}");
    order.text_len = sizeof(FRENCH "\0{}") - 1;
    assert_int_equal(save(&w, order), -EINVAL);
    check_reason(&w, PATH, "NUL");
    /* Where the API cannot change it. */
    order = edit("{\"name\":\"x\"}");
    order.res = RES_COURSE;
    order.key = 11;
    order.base = "{\"id\":11,\"name\":\"Knots\"}";
    assert_int_equal(save(&w, order), -EPERM);
    check_asked(&w, "");
    check_trace("");
    world_finish(&w);
}

/* ---- the draft comes first ---- */

struct witness {
    struct world *w;
    const char *path, *text;
    unsigned seen;
};

static void witness(void *data)
{
    struct witness *v = data;
    check_kept(v->w, v->path, v->text);
    v->seen++;
}

static void test_draft_first(void **state UNUSED)
{
    struct world w;
    struct witness v = {.w = &w, .path = DRAFT, .text = FRENCH};
    desk_init(&w, OPTIONS);
    know(&w);
    w.watch = witness;
    w.watch_data = &v;
    assert_int_equal(save(&w, edit(FRENCH)), 0);
    assert_int_equal(v.seen, 1);
    world_finish(&w);
}

/* A disk on which any one call fails, or that is dead from then on: either nothing is sent, and the
 * errno is the disk's, or the draft was there when the request went out. */
static unsigned calls_of_a_save(void)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    unsigned before = w.disk.calls;
    assert_int_equal(save(&w, edit(FRENCH)), 0);
    unsigned calls = w.disk.calls - before;
    world_finish(&w);
    return calls;
}

static void test_disk_fails(void **state UNUSED)
{
    unsigned calls = calls_of_a_save(), failed = 0;
    for (unsigned call = 1; call <= 2 * calls; call++) {
        struct world w;
        struct witness v = {.w = &w, .path = DRAFT, .text = FRENCH};
        desk_init(&w, OPTIONS);
        know(&w);
        w.watch = witness;
        w.watch_data = &v;
        w.disk.fail_in = (call + 1) / 2;
        w.disk.fail_for = call % 2 ? UINT_MAX : 1;
        w.disk.fail_with = EIO;
        int r = save(&w, edit(FRENCH));
        assert_true(r == 0 || r == -EIO);
        assert_int_equal(v.seen, r == 0);
        if (r < 0)
            assert_non_null(strstr(w.failure_seen.message, "nothing was sent"));
        failed += r < 0;
        world_finish(&w);
    }
    assert_true(failed >= 2);
}

static void test_disk_full(void **state UNUSED)
{
    static const struct {
        size_t room;
        bool read_only, none;
        int error;
    } rows[] = {{4, false, false, -ENOSPC}, {0, true, false, -EROFS}, {0, false, true, -EROFS}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, &(struct world_options){.ttl_ms = TTL, .no_disk = rows[i].none});
        know(&w);
        if (rows[i].room)
            w.disk.room = rows[i].room;
        w.disk.read_only = rows[i].read_only;
        assert_int_equal(save(&w, edit(FRENCH)), rows[i].error);
        assert_non_null(strstr(w.failure_seen.message, strerror(-rows[i].error)));
        /* Nor does it pass for an error of its own when it is refused anyhow. */
        assert_int_equal(save(&w, edit("not JSON")), rows[i].error);
        assert_int_equal(save(&w, create(RES_TAG, "tags/x.json", "{\"name\":\"x\"}")),
                         rows[i].error);
        check_asked(&w, "");
        check_trace("");
        assert_int_equal(world_record(&w, RES_CONTACT, "5"), 0); /* reading goes on */
        world_finish(&w);
    }
}

/* ---- three sides ---- */

/* What is known for longer than two seconds is read again, once. */
static void test_recent(void **state UNUSED)
{
    static const struct {
        int64_t age_ms;
        const char *asked;
    } rows[] = {
        {0, PATCH5 FRENCH "\n"},
        {SAVE_RECENT_MS, PATCH5 FRENCH "\n"},
        {SAVE_RECENT_MS + 1, GET5 PATCH5 FRENCH "\n"},
        {TTL + 1, GET5 PATCH5 FRENCH "\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        know(&w);
        world_advance(&w, rows[i].age_ms);
        assert_int_equal(save(&w, edit(FRENCH)), 0);
        check_asked(&w, rows[i].asked);
        world_finish(&w);
    }
}

static void test_three_sides(void **state UNUSED)
{
    static const struct {
        const char *theirs, *mine, *sent, *after; /* after: at the server; NULL: as theirs */
        const char *conflict;                     /* NULL: none */
    } rows[] = {
        /* Different members: both survive. */
        {CONTACT("de", "\"Graz\"", VIP), LINZ, PATCH5 LINZ "\n", CONTACT("de", "\"Linz\"", VIP),
         NULL},
        {CONTACT("en", "\"Wien\"", VIP), FRENCH, PATCH5 FRENCH "\n", CONTACT("fr", "\"Wien\"", VIP),
         NULL},
        /* Both made the same change: nothing is left to send. */
        {CONTACT("fr", "\"Graz\"", VIP), FRENCH, "", NULL, NULL},
        /* A member, or a pair, changed to different values. */
        {CONTACT("de", "\"Graz\"", VIP), FRENCH, "", NULL, "locale"},
        {CONTACT("en", "\"Wien\"", VIP), LINZ, "", NULL, "city"},
        {CONTACT("en", "null", VIP), LINZ, "", NULL, "city"},
        /* One conflict, and nothing of it is sent. */
        {CONTACT("de", "\"Graz\"", VIP),
         "{\"locale\":\"fr\",\"fields\":[{\"slug\":\"city\",\"value\":\"Linz\"}]}", "", NULL,
         "locale"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        know(&w);
        world_put(&w, RES_CONTACT, rows[i].theirs);
        world_advance(&w, SAVE_RECENT_MS + 1);
        assert_int_equal(save(&w, edit(rows[i].mine)), rows[i].conflict ? -ESTALE : 0);
        check_sent(&w, rows[i].sent);
        check_known(&w, rows[i].after ? rows[i].after : rows[i].theirs);
        check_kept(&w, DRAFT, rows[i].conflict ? rows[i].mine : NULL);
        if (rows[i].conflict)
            check_reason(&w, PATH, rows[i].conflict);
        check_trace(rows[i].conflict ? "drafted refused"
                    : *rows[i].sent  ? DONE
                                     : "drafted planned done");
        world_finish(&w);
    }
}

/* Theirs cannot be had: an older copy is for reading. */
static void test_theirs_unknown(void **state UNUSED)
{
    static const struct {
        struct scripted_answer answer;
        int error;
    } rows[] = {
        {{.status = 403}, -EACCES},    {{.status = 404}, -ENOENT},
        {{.status = 500}, -EREMOTEIO}, {{.failure = NET_REFUSED}, -ECONNREFUSED},
        {{.never = true}, -ETIMEDOUT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        know(&w);
        world_advance(&w, SAVE_RECENT_MS + 1);
        scripted_always(&w.server, HTTP_GET, "", &rows[i].answer);
        assert_int_equal(save(&w, edit(FRENCH)), rows[i].error);
        check_sent(&w, "");
        world_advance(&w, WORLD_TIMEOUT_MS); /* the job has a little more time than its waiter */
        check_trace("drafted refused");
        check_kept(&w, DRAFT, FRENCH);
        check_reason(&w, PATH, "");
        world_finish(&w);
    }
}

/* A reader's GET is under way when the PATCH is answered, and comes behind it with what the record
 * was before. */
static void test_late_answer(void **state UNUSED)
{
    struct world w;
    struct run reader = {.res = RES_CONTACT, .key = 5};
    desk_init(&w, &(struct world_options){.ttl_ms = 500});
    know(&w);
    world_advance(&w, 600);
    w.delay_ms = 1000;
    run_begin(&w, &reader, run_record);
    world_turn(&w);
    w.delay_ms = 10;
    assert_int_equal(save(&w, edit(FRENCH)), 0);
    check_asked(&w, GET5 PATCH5 FRENCH "\n");
    assert_int_equal(reader.ends, 0);
    world_run(&w, &reader);
    check_known(&w, CONTACT("fr", "\"Graz\"", VIP));
    assert_string_equal(reader.text, CONTACT("fr", "\"Graz\"", VIP));
    run_finish(&reader);
    world_finish(&w);
}

/* ---- how it is sent ---- */

/* A POST goes out once, whatever happens to it, and the reason says what that means. */
static void test_post_once(void **state UNUSED)
{
    static const struct {
        struct scripted_answer answer;
        int error;
        const char *may;
    } rows[] = {
        {{.failure = NET_LOST}, -EREMOTEIO, MAY}, {{.status = 500}, -EREMOTEIO, MAY},
        {{.status = 503}, -EREMOTEIO, MAY},       {{.status = 201, .body = "{"}, -EBADMSG, MAY},
        {{.never = true}, -ETIMEDOUT, MAY},       {{.status = 422}, -EINVAL, "422"},
    };
    static const char text[] = "{\"name\":\"ten\"}";
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        scripted_always(&w.server, HTTP_POST, "", &rows[i].answer);
        assert_int_equal(save(&w, create(RES_TAG, "tags/ten.json", text)), rows[i].error);
        if (!strstr(w.failure_seen.message, rows[i].may))
            fail_msg("row %zu: %s", i, w.failure_seen.message);
        world_advance(&w, 2 * WORLD_TIMEOUT_MS);
        check_sent(&w, "POST /api/tags {\"name\":\"ten\"}\n");
        check_trace("drafted planned sending refused");
        check_kept(&w, "drafts/tags/ten.json", text);
        check_reason(&w, "tags/ten.json", rows[i].may);
        world_finish(&w);
    }
}

/* A PATCH whose answer was lost is sent again. */
static void test_patch_again(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    w.lose = 2;
    assert_int_equal(save(&w, edit(FRENCH)), 0);
    check_sent(&w, PATCH5 FRENCH "\n" PATCH5 FRENCH "\n" PATCH5 FRENCH "\n");
    check_kept(&w, DRAFT, NULL);

    w.lose = UINT_MAX;
    assert_int_equal(save(&w, edit(LINZ)), -EREMOTEIO);
    check_sent(&w, PATCH5 LINZ "\n" PATCH5 LINZ "\n" PATCH5 LINZ "\n" PATCH5 LINZ "\n");
    check_reason(&w, PATH, MAY);
    world_finish(&w);
}

/* The server answers a PATCH with another record. */
static void test_wrong_record(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    scripted_expect(&w.server, HTTP_PATCH, "/api/contacts/5",
                    &(struct scripted_answer){.body = "{\"id\":6,\"email\":\"b@example.com\"}"});
    assert_int_equal(save(&w, edit(FRENCH)), -EBADMSG);
    check_reason(&w, PATH, MAY);
    check_known(&w, BASE);
    world_finish(&w);
}

/* ---- several ---- */

/* Changes of one record go one after the other; those of another one beside them. */
static void test_queue(void **state UNUSED)
{
    struct world w;
    struct run first, second, other;
    const struct save_order orders[] = {edit(FRENCH), edit(LINZ), edit("{\"locale\":\"fr\"}")};
    struct save_order six = orders[2];
    desk_init(&w, OPTIONS);
    know(&w);
    assert_int_equal(world_record(&w, RES_CONTACT, "6"), 0);
    world_asked(&w);
    w.delay_ms = 100;
    six.key = 6;
    six.path = "contacts/6.json";
    six.base = "{\"id\":6,\"email\":\"b@example.com\",\"locale\":\"de\",\"fields\":[],\"tags\":[]}";
    begin_save(&w, &first, &orders[0]);
    begin_save(&w, &second, &orders[1]);
    begin_save(&w, &other, &six);
    world_turn(&w);
    check_asked(&w, PATCH5 FRENCH "\nPATCH /api/contacts/6 " FRENCH "\n");
    check_kept(&w, DRAFT, FRENCH);
    check_kept(&w, DRAFT ".2", LINZ); /* on disk, and waiting */
    assert_int_equal(save_state(first.job), SAVE_SENDING);
    assert_int_equal(save_state(second.job), SAVE_DRAFTED);
    world_advance(&w, 100);
    assert_int_equal(first.ends, 1);
    assert_int_equal(other.ends, 1);
    assert_int_equal(second.ends, 0);
    check_asked(&w, PATCH5 LINZ "\n");
    assert_int_equal(world_run(&w, &second), 0);
    check_known(&w, CONTACT("fr", "\"Linz\"", VIP));
    check_kept(&w, DRAFT ".2", NULL);
    run_finish(&first);
    run_finish(&second);
    run_finish(&other);
    world_finish(&w);
}

/* The first fails: the second is not its affair. */
static void test_queue_goes_on(void **state UNUSED)
{
    struct world w;
    struct run first, second;
    const struct save_order orders[] = {edit(FRENCH), edit(LINZ)};
    desk_init(&w, OPTIONS);
    know(&w);
    scripted_expect(&w.server, HTTP_PATCH, "", &(struct scripted_answer){.status = 422});
    begin_save(&w, &first, &orders[0]);
    begin_save(&w, &second, &orders[1]);
    assert_int_equal(world_run(&w, &second), 0);
    assert_int_equal(first.result, -EINVAL);
    check_known(&w, CONTACT("en", "\"Linz\"", VIP));
    check_kept(&w, DRAFT, FRENCH);
    check_kept(&w, DRAFT ".2", NULL);
    run_finish(&first);
    run_finish(&second);
    world_finish(&w);
}

/* An earlier change takes all the time there is: the second has sent nothing, and is kept. */
static void test_queue_late(void **state UNUSED)
{
    static const struct scripted_answer never = {.never = true};
    struct world w;
    struct run first, second;
    const struct save_order orders[] = {edit(FRENCH), edit(LINZ)};
    desk_init(&w, OPTIONS);
    know(&w);
    scripted_always(&w.server, HTTP_PATCH, "", &never);
    scripted_always(&w.server, HTTP_GET, "", &never);
    begin_save(&w, &first, &orders[0]);
    begin_save(&w, &second, &orders[1]);
    assert_int_equal(world_run(&w, &second), -ETIMEDOUT);
    assert_int_equal(world_run(&w, &first), -ETIMEDOUT);
    world_advance(&w, WORLD_TIMEOUT_MS);
    check_sent(&w, PATCH5 FRENCH "\n");
    check_kept(&w, DRAFT, FRENCH);
    check_kept(&w, DRAFT ".2", LINZ);
    check_reason(&w, PATH, MAY);
    check_reason(&w, PATH ".2", "");
    run_finish(&first);
    run_finish(&second);
    world_finish(&w);
}

/* A save is worth a try, however lately the API was away. */
static void test_away(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    world_advance(&w, SAVE_RECENT_MS + 1);
    scripted_expect(&w.server, HTTP_GET, "", &(struct scripted_answer){.never = true});
    assert_int_equal(save(&w, edit(FRENCH)), -ETIMEDOUT);
    world_asked(&w);
    assert_int_equal(save(&w, edit(FRENCH)), 0);
    check_asked(&w, GET5 PATCH5 FRENCH "\n");
    check_kept(&w, DRAFT, NULL);
    check_kept(&w, DRAFT ".2", NULL);
    world_finish(&w);
}

/* Whoever began it goes away: it is seen through. Others may wait for it, too. */
static void test_seen_through(void **state UNUSED)
{
    struct world w;
    struct run run;
    const struct save_order order = edit(FRENCH);
    desk_init(&w, OPTIONS);
    know(&w);
    w.delay_ms = 100;
    begin_save(&w, &run, &order);
    world_turn(&w);
    op_end(&run.op);
    assert_true(store_saving(w.store));
    assert_int_equal(save_state(run.job), SAVE_SENDING);
    world_advance(&w, 200);
    assert_int_equal(save_state(run.job), SAVE_DONE);
    check_known(&w, CONTACT("fr", "\"Graz\"", VIP));
    check_kept(&w, DRAFT, NULL);
    struct op late = {0};
    op_begin(w.store, &late);
    assert_int_equal(save_wait(run.job, &late), 0);
    op_end(&late);
    run_finish(&run);
    world_finish(&w);
}

/* The store goes while changes are in every state: their drafts stay, and are explained at the next
 * start. Whoever holds a job may let it go later. */
static void test_destroyed(void **state UNUSED)
{
    struct world w;
    struct run runs[5];
    struct shelf *again;
    const struct save_order orders[] = {edit(FRENCH), edit(LINZ), edit("{\"tags\":[]}"),
                                        removal(RES_TAG, 9, "tags/9.json"),
                                        create(RES_MEMBERSHIP, "memberships/m.json",
                                               "{\"communityId\":31,\"contactId\":5}")};
    for (int held = 0; held < 2; held++) {
        desk_init(&w, OPTIONS);
        know(&w);
        assert_int_equal(world_record(&w, RES_TAG, "9"), 0);
        w.later_ms = INT64_MAX / 2;
        scripted_always(&w.server, HTTP_PATCH, "", &(struct scripted_answer){.never = true});
        scripted_always(&w.server, HTTP_DELETE, "", &(struct scripted_answer){.never = true});
        for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
            begin_save(&w, &runs[i], &orders[i]);
        world_advance(&w, 2000);
        assert_int_equal(save_state(runs[0].job), SAVE_SENDING);
        assert_int_equal(save_state(runs[1].job), SAVE_DRAFTED);
        assert_int_equal(save_state(runs[4].job), SAVE_SETTLING);
        for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
            op_end(&runs[i].op);
        for (size_t i = 0; !held && i < ARRAY_SIZE(orders); i++)
            run_finish(&runs[i]);
        store_destroy(w.store);
        shelf_destroy(w.shelf);
        w.store = NULL;
        assert_int_equal(shelf_create(&w.disk.disk, &w.clock.clock, &again), 0);
        w.shelf = again;
        check_kept(&w, DRAFT, FRENCH);
        check_kept(&w, DRAFT ".2", LINZ);
        check_reason(&w, PATH, "interrupted; it may have been sent");
        check_reason(&w, PATH ".2", "interrupted; it may have been sent");
        check_reason(&w, "memberships/m.json", "interrupted; it may have been sent");
        check_kept(&w, "trash/tags/9.json", "{\n  \"id\": 9,\n  \"name\": \"nine\"\n}\n");
        for (size_t i = 0; held && i < ARRAY_SIZE(orders); i++)
            run_finish(&runs[i]);
        world_finish(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edit),
        cmocka_unit_test(test_unchanged),
        cmocka_unit_test(test_refused_at_once),
        cmocka_unit_test(test_draft_first),
        cmocka_unit_test(test_disk_fails),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_recent),
        cmocka_unit_test(test_three_sides),
        cmocka_unit_test(test_theirs_unknown),
        cmocka_unit_test(test_late_answer),
        cmocka_unit_test(test_post_once),
        cmocka_unit_test(test_patch_again),
        cmocka_unit_test(test_wrong_record),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_queue_goes_on),
        cmocka_unit_test(test_queue_late),
        cmocka_unit_test(test_away),
        cmocka_unit_test(test_seen_through),
        cmocka_unit_test(test_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
