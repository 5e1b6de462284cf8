/* store/save: a record that goes while its change waits, orders that name nothing, answers without
 * a record. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "save_fixture.h"

#define FRENCH "{\"locale\":\"fr\"}"
#define OPTIONS                                                                                    \
    &(struct world_options)                                                                        \
    {                                                                                              \
        .ttl_ms = TTL                                                                              \
    }

/* Removed by the change before it: nothing more is sent, and what was typed is kept. */
static void test_removed_before(void **state UNUSED)
{
    struct world w;
    struct run first = {0}, second = {0};
    const struct save_order gone = removal(RES_CONTACT, 5, PATH), late = edit(FRENCH);
    desk_init(&w, OPTIONS);
    know(&w);
    w.delay_ms = 100;
    first.order = &gone;
    second.order = &late;
    run_begin(&w, &first, run_save);
    run_begin(&w, &second, run_save);
    assert_int_equal(world_run(&w, &first), 0);
    assert_int_equal(world_run(&w, &second), -ENOENT);
    assert_non_null(strstr(second.op.failure.message, "nothing was sent"));
    check_sent(&w, "DELETE /api/contacts/5\n");
    check_kept(&w, "drafts/" PATH, FRENCH);
    check_reason(&w, PATH, "there is no such contact any more");
    run_finish(&first);
    run_finish(&second);
    world_finish(&w);
}

/* Items alone, of a record of which nothing is known: two sides are enough. */
static void test_items_of_unknown(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    assert_int_equal(save(&w, edit("{\"tags\":[]}")), 0);
    check_sent(&w, "DELETE /api/contacts/5/tags/1\n");
    check_kept(&w, "drafts/" PATH, NULL);
    world_finish(&w);
}

/* A membership that does not say whose, or of what: told before anything is sent. */
static void test_ids_missing(void **state UNUSED)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"{\"communityId\":31}", "is missing"},
        {"{\"contactId\":5}", "is missing"},
        {"{\"communityId\":31,\"contactId\":null}", "is missing"},
        {"{\"communityId\":31,\"contactId\":\"\"}", "contact"},
        {"{\"communityId\":31,\"contactId\":{}}", "contact"},
        {"{\"communityId\":\"\",\"contactId\":5}", "communityId"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        const struct save_order order = create(RES_MEMBERSHIP, "memberships/m.json", rows[i].text);
        assert_int_equal(save(&w, order), -EINVAL);
        if (!strstr(w.failure_seen.message, rows[i].reason))
            fail_msg("%s: %s", rows[i].text, w.failure_seen.message);
        check_asked(&w, "");
        check_kept(&w, "drafts/memberships/m.json", rows[i].text);
        world_finish(&w);
    }
}

/* It is taken, but not shown: nobody can know which one was made, and it is not sent again. */
static void test_made_without_record(void **state UNUSED)
{
    static const char *const bodies[] = {"", "{}", "{\"name\":\"x\"}", "null", "[]", "\"ok\""};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct world w;
        desk_init(&w, OPTIONS);
        scripted_expect(&w.server, HTTP_POST, "",
                        &(struct scripted_answer){.status = 201, .body = bodies[i]});
        const char *text = "{\"name\":\"x\"}";
        assert_int_equal(save(&w, create(RES_TAG, "tags/x.json", text)), -EBADMSG);
        check_asked(&w, "POST /api/tags {\"name\":\"x\"}\n");
        check_kept(&w, "drafts/tags/x.json", text);
        check_reason(&w, "tags/x.json", "it may have been carried out");
        world_finish(&w);
    }
}

/* An update that is answered without the record is one: it is read anew by whoever looks next. */
static void test_changed_without_record(void **state UNUSED)
{
    struct world w;
    desk_init(&w, OPTIONS);
    know(&w);
    scripted_expect(&w.server, HTTP_PATCH, "", &(struct scripted_answer){.status = 204});
    assert_int_equal(save(&w, edit(FRENCH)), 0);
    check_sent(&w, PATCH5 FRENCH "\n");
    world_put(&w, RES_CONTACT, CONTACT("fr", "\"Graz\"", VIP));
    assert_int_equal(world_record(&w, RES_CONTACT, "5"), 0);
    assert_string_equal(w.text, CONTACT("fr", "\"Graz\"", VIP));
    check_asked(&w, "GET /api/contacts/5\n");
    check_kept(&w, "drafts/" PATH, NULL);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_removed_before),
        cmocka_unit_test(test_items_of_unknown),
        cmocka_unit_test(test_ids_missing),
        cmocka_unit_test(test_made_without_record),
        cmocka_unit_test(test_changed_without_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
