/* store/save: sets, new records, records that come later, actions, removals, and dry_run. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "save_fixture.h"

#define DRAFT     "drafts/" PATH
#define GET5      "GET /api/contacts/5\n"
#define PUT_ON(n) "POST /api/contacts/5/tags {\"tagId\":" #n "}\n"
#define TAKE(n)   "DELETE /api/contacts/5/tags/" #n "\n"
#define GET_TAGS  "GET /api/tags?limit=100\n"
#define OPTIONS                                                                                    \
    &(struct world_options)                                                                        \
    {                                                                                              \
        .ttl_ms = TTL                                                                              \
    }

/* ---- the tags of a contact ---- */

/* One call each, and the record once more. */
static void test_tags(void **state UNUSED)
{
    static const struct {
        const char *text, *asked;
    } rows[] = {
        {"{\"tags\":[{\"id\":1},{\"id\":9}]}", PUT_ON(9) GET5},
        {"{\"tags\":[]}", TAKE(1) GET5},
        {"{\"tags\":null}", TAKE(1) GET5},
        {"{\"tags\":[{\"id\":8},{\"id\":9}]}", TAKE(1) PUT_ON(8) PUT_ON(9) GET5},
        {"{\"locale\":\"fr\",\"tags\":[{\"id\":9}]}",
         PATCH5 "{\"locale\":\"fr\"}\n" TAKE(1) PUT_ON(9) GET5},
        /* By name: that which the record has needs no look at the tags. */
        {"{\"tags\":[{\"name\":\"vip\"},{\"id\":9}]}", PUT_ON(9) GET5},
        {"{\"tags\":[{\"id\":1},{\"name\":\"nine\"}]}", GET_TAGS PUT_ON(9) GET5},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        know(&w);
        assert_int_equal(save(&w, edit(rows[i].text)), 0);
        check_asked(&w, rows[i].asked);
        check_trace("drafted planned sending settling done");
        check_kept(&w, DRAFT, NULL);
        assert_int_equal(world_record(&w, RES_CONTACT, "5"), 0); /* it is fresh */
        check_asked(&w, "");
        char known[1000];
        snprintf(known, sizeof(known), "%s", w.text);
        world_advance(&w, TTL);
        assert_int_equal(world_record(&w, RES_CONTACT, "5"), 0);
        assert_string_equal(w.text, known); /* and right */
        world_finish(&w);
    }
}

/* A tag that is not there, or that is meant in two ways: nothing at all is sent. */
static void test_tags_unknown(void **state UNUSED)
{
    static const struct {
        const char *tags, *reason;
    } rows[] = {
        {"[{\"id\":9},{\"name\":\"ninety\"}]", "ninety"},
        {"[{\"name\":\"Nine\"}]", "Nine"},
        {"[{\"name\":\"\"}]", "tag"},
        {"[{\"id\":0}]", "tag"},
        {"[{\"id\":9007199254740993}]", "9007199254740993"},
        {"[{}]", "tags"},
        {"[{\"id\":1,\"name\":\"nine\"}]", "tags"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        char text[256];
        desk_init(&w, OPTIONS);
        know(&w);
        snprintf(text, sizeof(text), "{\"locale\":\"fr\",\"tags\":%s}", rows[i].tags);
        int r = save(&w, edit(text));
        if (r != -EINVAL || !strstr(w.failure_seen.message, rows[i].reason))
            fail_msg("%s: %d, %s", rows[i].tags, r, w.failure_seen.message);
        check_sent(&w, "");
        check_kept(&w, DRAFT, text);
        world_finish(&w);
    }
}

/* One in the middle is refused: the reason says what was done before it; the draft, saved again,
 * sends the rest. */
static void test_tags_half(void **state UNUSED)
{
    static const char *const texts[] = {
        "{\"locale\":\"fr\",\"tags\":[{\"id\":7},{\"id\":8},{\"id\":9}]}",
        "{\"tags\":[{\"id\":7},{\"id\":8},{\"id\":9}]}"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct world w;
        bool more = i == 0;
        desk_init(&w, OPTIONS);
        know(&w);
        world_remove(&w, RES_TAG, "8");
        assert_int_equal(save(&w, edit(texts[i])), -EINVAL);
        check_sent(&w, more ? PATCH5 "{\"locale\":\"fr\"}\n" TAKE(1) PUT_ON(7) PUT_ON(8)
                            : TAKE(1) PUT_ON(7) PUT_ON(8));
        check_reason(&w, PATH,
                     more
                         ? "what else was changed is saved, tag 1 was taken off, tag 7 was put on; "
                           "then: HTTP 422: tagId: The tag does not exist."
                         : ": tag 1 was taken off, tag 7 was put on; then: HTTP 422: tagId: ");
        check_kept(&w, DRAFT, texts[i]);
        check_trace("drafted planned sending refused");

        world_put(&w, RES_TAG, "{\"id\":8,\"name\":\"eight\"}");
        assert_int_equal(save(&w, edit(texts[i])), 0);
        check_sent(&w, PUT_ON(8) PUT_ON(9));
        check_kept(&w, DRAFT, NULL);
        world_finish(&w);
    }
}

/* What somebody else has taken off is off; what cannot be put on is not on. */
static void test_tags_gone(void **state UNUSED)
{
    static const struct scripted_answer none = {.status = 404};
    static const struct {
        const char *text;
        enum http_method method;
        int result;
    } rows[] = {
        {"{\"tags\":[]}", HTTP_DELETE, 0},
        {"{\"locale\":\"fr\",\"tags\":[]}", HTTP_DELETE, 0},
        {"{\"tags\":[{\"id\":1},{\"id\":9}]}", HTTP_POST, -ENOENT},
        {"{\"locale\":\"fr\",\"tags\":[{\"id\":1},{\"id\":9}]}", HTTP_POST, -ENOENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        know(&w);
        scripted_expect(&w.server, rows[i].method, "/tags", &none);
        if (save(&w, edit(rows[i].text)) != rows[i].result)
            fail_msg("%s: %s", rows[i].text, w.failure_seen.message);
        check_kept(&w, DRAFT, rows[i].result ? rows[i].text : NULL);
        world_finish(&w);
    }
}

/* No time is left for the rest: it stops between two calls, and says how far it came. */
static void test_tags_late(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    w.delay_ms = WORLD_TIMEOUT_MS - 1000;
    assert_int_equal(save(&w, edit("{\"tags\":[{\"id\":8},{\"id\":9}]}")), -ETIMEDOUT);
    world_advance(&w, WORLD_TIMEOUT_MS);
    check_reason(&w, PATH, "tag 1 was taken off; then: ");
    check_sent(&w, TAKE(1) PUT_ON(8));
    world_finish(&w);
}

/* The calls went well; that the record cannot be read again is no failure of the change. */
static void test_tags_unread(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    scripted_always(&w.server, HTTP_GET, "", &(struct scripted_answer){.status = 500});
    assert_int_equal(save(&w, edit("{\"tags\":[]}")), 0);
    check_sent(&w, TAKE(1));
    check_kept(&w, DRAFT, NULL);
    world_finish(&w);
}

static void test_one_item(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    assert_int_equal(save(&w, tagging(SAVE_ADD, 9)), 0);
    check_asked(&w, PUT_ON(9));
    assert_int_equal(world_record(&w, RES_CONTACT, "5"), 0); /* known to have changed */
    assert_non_null(strstr(w.text, "nine"));
    check_asked(&w, GET5);
    assert_int_equal(save(&w, tagging(SAVE_TAKE, 1)), 0);
    check_asked(&w, TAKE(1));
    assert_int_equal(save(&w, tagging(SAVE_TAKE, 1)), -ENOENT);
    assert_int_equal(save(&w, tagging(SAVE_ADD, 77)), -EINVAL);
    assert_non_null(strstr(w.failure_seen.message, "tagId: The tag does not exist."));
    world_finish(&w);
}

/* ---- new records ---- */

static void test_create(void **state UNUSED)
{
    static const struct {
        enum resource res;
        int filter;
        uint64_t by;
        bool grant;
        const char *text, *sent; /* sent NULL: refused */
    } rows[] = {
        {RES_CONTACT, -1, 0, false, "{\"email\":\"x@example.com\"}",
         "POST /api/contacts {\"email\":\"x@example.com\"}\n"},
        /* A backup can be copied back: what is the server's own is left out, tags come behind. */
        {RES_CONTACT, -1, 0, false,
         "{\"id\":77,\"email\":\"x@example.com\",\"registeredAt\":\"2026\",\"bounced\":false,"
         "\"fields\":[{\"fieldName\":\"City\",\"slug\":\"city\",\"value\":\"Rom\"},"
         "{\"slug\":\"first_name\",\"value\":null}],\"tags\":[{\"id\":9},{\"name\":\"eight\"}]}",
         "POST /api/contacts {\"email\":\"x@example.com\",\"fields\":[{\"slug\":\"city\","
         "\"value\":\"Rom\"}]}\n"
         "POST /api/contacts/9001/tags {\"tagId\":9}\nPOST /api/contacts/9001/tags "
         "{\"tagId\":8}\n"},
        {RES_CONTACT, -1, 0, false, "{\"email\":\"x@example.com\",\"firstName\":\"Ada\"}",
         "POST /api/contacts {\"email\":\"x@example.com\",\"fields\":[{\"slug\":\"first_name\","
         "\"value\":\"Ada\"}]}\n"},
        {RES_CONTACT, -1, 0, false, "{\"email\":\"x@example.com\",\"shoes\":44}", NULL},
        {RES_CONTACT, -1, 0, false, "{\"email\":\"x@example.com\",\"tags\":[{\"name\":\"no\"}]}",
         NULL},
        {RES_TAG, -1, 0, false, "{\"name\":\"ten\"}", "POST /api/tags {\"name\":\"ten\"}\n"},
        {RES_FIELD, -1, 0, false, "{\"slug\":\"size\",\"fieldName\":\"Size\"}",
         "POST /api/contact_fields {\"slug\":\"size\",\"fieldName\":\"Size\"}\n"},
        {RES_WEBHOOK, -1, 0, false, "{\"name\":\"h\",\"secret\":\"s\",\"url\":\"https://h\"}",
         "POST /api/webhooks {\"name\":\"h\",\"secret\":\"s\",\"url\":\"https://h\"}\n"},
        /* What the directory says goes without saying. */
        {RES_ENROLLMENT, 0, 11, true, "{\"contactId\":5}",
         "POST /api/school/courses/11/enrollments {\"accessType\":\"dripping_content\","
         "\"contactId\":5}\n"},
        {RES_ENROLLMENT, 1, 5, false, "{\"courseId\":11,\"accessType\":\"full_access\"}",
         "POST /api/school/courses/11/enrollments "
         "{\"contactId\":5,\"accessType\":\"full_access\"}\n"},
        {RES_ENROLLMENT, 1, 5, true,
         "{\"accessType\":\"partial_access\",\"modules\":[1],\"course\":{\"id\":11}}",
         "POST /api/school/courses/11/enrollments {\"contactId\":5,"
         "\"accessType\":\"partial_access\",\"modules\":[1]}\n"},
        {RES_ENROLLMENT, 1, 5, false, "{\"contactId\":5,\"courseId\":11}",
         "POST /api/school/courses/11/enrollments {\"contactId\":5}\n"},
        {RES_ENROLLMENT, 1, 5, false, "{\"contactId\":6,\"courseId\":11}", NULL},
        {RES_ENROLLMENT, 1, 5, false, "{\"contact\":{\"id\":6},\"courseId\":11}", NULL},
        {RES_ENROLLMENT, 1, 5, false, "{}", NULL},
        {RES_ENROLLMENT, -1, 0, false, "{\"contactId\":5,\"courseId\":\"../5\"}", NULL},
        {RES_COURSE, -1, 0, false, "{\"name\":\"x\"}", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        struct save_order order = create(rows[i].res, "new/x.json", rows[i].text);
        order.filter = rows[i].filter;
        order.by = rows[i].by;
        order.grant = rows[i].grant;
        desk_init(&w, &(struct world_options){.ttl_ms = TTL, .access_type = "dripping_content"});
        int r = save(&w, order);
        assert_int_equal(r == 0, rows[i].sent != NULL);
        check_sent(&w, rows[i].sent ? rows[i].sent : "");
        check_kept(&w, "drafts/new/x.json", r == 0 ? NULL : rows[i].text);
        assert_int_equal(w.key != 0, r == 0);
        if (r == 0)
            assert_non_null(store_peek(w.store, rows[i].res, w.key));
        world_finish(&w);
    }
}

/* The record was made, and one of its tags refused: the reason says so, or it would be made twice.
 */
static void test_create_half(void **state UNUSED)
{
    static const char text[] = "{\"email\":\"x@example.com\",\"tags\":[{\"id\":9},{\"id\":77}]}";
    struct world w;
    desk_init(&w, OPTIONS);
    assert_int_equal(save(&w, create(RES_CONTACT, "contacts/x.json", text)), -EINVAL);
    check_kept(&w, "drafts/contacts/x.json", text);
    check_reason(&w, "contacts/x.json",
                 "contact 9001 was made, tag 9 was put on; then: HTTP 422: "
                 "tagId: The tag does not exist.");
    world_finish(&w);
}

/* What the gateway makes has its whole body in the table, and its answer is wrapped. */
static void test_create_connection(void **state UNUSED)
{
    struct world w;
    struct save_order order = create(RES_CONNECTION, "connections/systeme", "");
    order.text = NULL;
    desk_init(&w, &(struct world_options){.ttl_ms = TTL, .gateway = true});
    assert_int_equal(save(&w, order), 0);
    check_sent(&w, "POST /connections {\"app\":\"systeme\"}\n");
    assert_non_null(store_peek(w.store, RES_CONNECTION, w.key));
    assert_int_equal(w.disk.writes, 0);
    world_finish(&w);
}

/* ---- what comes later ---- */

#define MEMBER   "{\"communityId\":31,\"contactId\":5}"
#define LOOK_FOR "GET /api/community/memberships?community=31&contact=5&limit=100\n"

static void test_later(void **state UNUSED)
{
    static const struct {
        int64_t later_ms;
        unsigned looks;
    } rows[] = {{0, 1}, {1, 2}, {100, 2}, {101, 3}, {350, 3}, {351, 4}, {900, 5}, {5000, 9}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        /* Another membership of that community, which a server that ignores a filter shows. */
        world_put(&w, RES_MEMBERSHIP,
                  "{\"id\":41,\"community\":{\"id\":31},\"contact\":{\"id\":6}}");
        w.later_ms = rows[i].later_ms;
        assert_int_equal(save(&w, create(RES_MEMBERSHIP, "memberships/m.json", MEMBER)), 0);
        assert_int_equal(w.key, 9001);
        assert_int_equal(scripted_count(&w.server, HTTP_GET, ""), rows[i].looks);
        assert_int_equal(scripted_count(&w.server, HTTP_POST, ""), 1);
        check_kept(&w, "drafts/memberships/m.json", NULL);
        world_finish(&w);
    }
}

/* It does not show in time. The API has taken it: no draft, which would be a second try. */
static void test_never_shown(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    w.later_ms = 10 * WORLD_TIMEOUT_MS;
    assert_int_equal(save(&w, create(RES_MEMBERSHIP, "memberships/m.json", MEMBER)), -ETIMEDOUT);
    world_advance(&w, WORLD_TIMEOUT_MS);
    assert_false(store_saving(w.store));
    check_trace("drafted planned sending settling refused");
    check_kept(&w, "drafts/memberships/m.json", NULL);
    assert_int_equal(scripted_count(&w.server, HTTP_POST, ""), 1);
    assert_true(world_requests(&w) < 40);
    world_finish(&w);
}

/* Looking fails for a while, or shows only others (a server that ignores the filter): it is looked
 * for again. */
static void test_look_fails(void **state UNUSED)
{
    static const struct scripted_answer answers[] = {
        {.status = 403},
        {.body = "{\"items\":[],\"hasMore\":false}"},
        {.body =
             "{\"items\":[{\"id\":41,\"community\":{\"id\":31},\"contact\":{\"id\":6}},"
             "{\"id\":42,\"community\":{\"id\":32},\"contact\":{\"id\":5}}],\"hasMore\":false}"},
    };
    struct world w;
    desk_init(&w, OPTIONS);
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        scripted_expect(&w.server, HTTP_GET, "", &answers[i]);
    assert_int_equal(save(&w, create(RES_MEMBERSHIP, "memberships/m.json", MEMBER)), 0);
    assert_int_equal(w.key, 9001);
    check_asked(&w, "POST /api/community/communities/31/memberships {\"contactId\":5}\n" LOOK_FOR
                        LOOK_FOR LOOK_FOR LOOK_FOR);
    world_finish(&w);
}

/* ---- removing ---- */

#define TRASH  "trash/tags/9.json"
#define NINE   "{\n  \"id\": 9,\n  \"name\": \"nine\"\n}\n"
#define DELETE "DELETE /api/tags/9\n"

static void trash_witness(void *data)
{
    check_kept(data, TRASH, NINE);
}

/* What is removed is in the trash before the request goes out, and stays there unless it is sure
 * that the record is still there. */
static void test_remove(void **state UNUSED)
{
    static const struct {
        struct scripted_answer answer; /* zeroed: the server's own */
        unsigned lose;
        int result;
        bool there, trashed;
    } rows[] = {
        {{0}, 0, 0, false, true},
        {{0}, 3, 0, false, true}, /* repeated, and 404: by an earlier try */
        {{0}, UINT_MAX, -EREMOTEIO, true, true},
        {{.status = 403}, 0, -EACCES, true, false},
        {{.status = 422}, 0, -EINVAL, true, false},
        {{.failure = NET_REFUSED}, 0, -ECONNREFUSED, true, false},
        {{.status = 500}, 0, -EREMOTEIO, true, true},
        {{.never = true}, 0, -ETIMEDOUT, true, true},
        {{.status = 404}, 0, -ENOENT, false, true}, /* by somebody else */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        assert_int_equal(world_record(&w, RES_TAG, "9"), 0);
        w.lose = rows[i].lose;
        w.watch = trash_witness;
        w.watch_data = &w;
        if (rows[i].answer.status || rows[i].answer.failure || rows[i].answer.never)
            scripted_always(&w.server, HTTP_DELETE, "", &rows[i].answer);
        if (save(&w, removal(RES_TAG, 9, "tags/9.json")) != rows[i].result)
            fail_msg("row %zu: %s", i, w.failure_seen.message);
        world_advance(&w, WORLD_TIMEOUT_MS);
        assert_int_equal(store_peek(w.store, RES_TAG, 9) != NULL, rows[i].there);
        check_kept(&w, TRASH, rows[i].trashed ? NINE : NULL);
        check_kept(&w, "drafts/tags/9.json", NULL);
        world_finish(&w);
    }
}

/* What cannot be kept is not removed. */
static void test_trash_full(void **state UNUSED)
{
    for (int how = 0; how < 4; how++) {
        static const int errors[] = {-ENOSPC, -EROFS, -EROFS, -EINVAL};
        struct world w;
        desk_init(&w, &(struct world_options){.ttl_ms = TTL, .no_disk = how == 2});
        if (how != 3) /* its content is not known */
            assert_int_equal(world_record(&w, RES_TAG, "9"), 0);
        if (how == 0)
            w.disk.room = 5;
        w.disk.read_only = how == 1;
        assert_int_equal(save(&w, removal(RES_TAG, 9, "tags/9.json")), errors[how]);
        check_sent(&w, "");
        check_trace("drafted planned refused");
        w.disk.read_only = false;
        world_finish(&w);
    }
}

/* Nor is what an edit takes away (rm of one field), which is then in the trash, not the record. */
static void test_taken(void **state UNUSED)
{
    static const struct scripted_answer refused = {.status = 422};
    for (int how = 0; how < 3; how++) {
        struct world w;
        struct save_order order = edit("{\"fields\":[{\"slug\":\"city\",\"value\":null}]}");
        order.taken = "Graz\n";
        desk_init(&w, OPTIONS);
        know(&w);
        if (how == 1)
            scripted_expect(&w.server, HTTP_PATCH, "", &refused);
        if (how == 2)
            w.disk.room = order.text_len + 1;
        assert_int_equal(save(&w, order), how == 0 ? 0 : how == 1 ? -EINVAL : -ENOSPC);
        assert_int_equal(scripted_count(&w.server, HTTP_PATCH, ""), how < 2);
        check_kept(&w, "trash/" PATH, how == 0 ? "Graz\n" : NULL);
        world_finish(&w);
    }
}

static void test_trash_versions(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    for (int i = 0; i < 3; i++) {
        char text[64];
        snprintf(text, sizeof(text), "{\"id\":9,\"name\":\"nine%d\"}", i);
        world_put(&w, RES_TAG, text);
        world_advance(&w, TTL);
        assert_int_equal(world_record(&w, RES_TAG, "9"), 0);
        assert_int_equal(save(&w, removal(RES_TAG, 9, "tags/9.json")), 0);
    }
    check_kept(&w, TRASH, "{\n  \"id\": 9,\n  \"name\": \"nine0\"\n}\n");
    check_kept(&w, TRASH ".2", "{\n  \"id\": 9,\n  \"name\": \"nine1\"\n}\n");
    check_kept(&w, TRASH ".3", "{\n  \"id\": 9,\n  \"name\": \"nine2\"\n}\n");
    check_sent(&w, DELETE DELETE DELETE);
    world_finish(&w);
}

/* ---- actions ---- */

static void test_action(void **state UNUSED)
{
    struct world w;
    const struct save_order order = {.kind = SAVE_ACTION,
                                     .res = RES_SUBSCRIPTION,
                                     .key = 51,
                                     .path = "contacts/5/subscriptions/51/cancel",
                                     .filter = -1,
                                     .body = "{\"cancel\":\"Now\"}"};
    struct listing *l;
    desk_init(&w, OPTIONS);
    l = world_part(&w, RES_SUBSCRIPTION, RES_CONTACT, "5");
    assert_int_equal(world_list(&w, RES_SUBSCRIPTION, l), 0);
    world_asked(&w);
    assert_int_equal(save(&w, order), 0);
    check_asked(&w, "POST /api/payment/subscriptions/51/cancel {\"cancel\":\"Now\"}\n");
    /* It has another status now. */
    assert_int_equal(world_record_in(&w, l, RES_SUBSCRIPTION, "51"), 0);
    check_asked(&w, "GET /api/payment/subscriptions?contact=5&limit=100\n");
    scripted_expect(&w.server, HTTP_POST, "", &(struct scripted_answer){.failure = NET_LOST});
    assert_int_equal(save(&w, order), -EREMOTEIO);
    assert_true(w.failure_seen.maybe);
    check_sent(&w, "POST /api/payment/subscriptions/51/cancel {\"cancel\":\"Now\"}\n");
    world_finish(&w);
}

/* ---- dry_run ---- */

static void test_dry_run(void **state UNUSED)
{
    struct world w;
    struct save_order orders[] = {
        edit("{\"locale\":\"fr\",\"tags\":[{\"name\":\"nine\"}]}"),
        create(RES_TAG, "tags/ten.json", "{\"name\":\"ten\"}"),
        create(RES_MEMBERSHIP, "memberships/m.json", MEMBER),
        removal(RES_CONTACT, 5, PATH),
        tagging(SAVE_ADD, 9),
        tagging(SAVE_TAKE, 1),
        {.kind = SAVE_ACTION,
         .res = RES_SUBSCRIPTION,
         .key = 51,
         .path = "cancel",
         .filter = -1,
         .body = "{\"cancel\":\"Now\"}"},
    };
    static const char *const lines[] = {
        "PATCH /api/contacts/5 {\"locale\":\"fr\"}",
        "DELETE /api/contacts/5/tags/1",
        "POST /api/contacts/5/tags {\"tagId\":9}",
        "POST /api/tags {\"name\":\"ten\"}",
        "POST /api/community/communities/31/memberships {\"contactId\":5}",
        "DELETE /api/contacts/5\n",
        "POST /api/payment/subscriptions/51/cancel {\"cancel\":\"Now\"}",
    };
    desk_init(&w, &(struct world_options){.ttl_ms = TTL, .dry_run = true});
    know(&w);
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
        assert_int_equal(save(&w, orders[i]), 0);
    check_sent(&w, "");
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char line[256];
        snprintf(line, sizeof(line), "dry run: would send %s", lines[i]);
        if (!logged(line))
            fail_msg("not logged: %s", line);
    }
    assert_int_equal(logged("dry run: "), 9);
    check_known(&w, BASE);
    /* What was typed is kept: mv takes the original away. What was not, is not. */
    check_kept(&w, DRAFT, orders[0].text);
    check_reason(&w, PATH, "dry run: nothing was sent");
    check_kept(&w, "drafts/tags/ten.json", orders[1].text);
    check_kept(&w, "trash/" PATH, NULL);
    /* What would be refused is refused. */
    assert_int_equal(save(&w, edit("{\"email\":\"x@example.com\"}")), -EINVAL);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),           cmocka_unit_test(test_tags_unknown),
        cmocka_unit_test(test_tags_half),      cmocka_unit_test(test_tags_gone),
        cmocka_unit_test(test_tags_late),      cmocka_unit_test(test_tags_unread),
        cmocka_unit_test(test_one_item),       cmocka_unit_test(test_create),
        cmocka_unit_test(test_create_half),    cmocka_unit_test(test_create_connection),
        cmocka_unit_test(test_later),          cmocka_unit_test(test_never_shown),
        cmocka_unit_test(test_look_fails),     cmocka_unit_test(test_remove),
        cmocka_unit_test(test_trash_full),     cmocka_unit_test(test_taken),
        cmocka_unit_test(test_trash_versions), cmocka_unit_test(test_action),
        cmocka_unit_test(test_dry_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
