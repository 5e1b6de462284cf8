/* api/resource: every row of the table is whole and agrees with the others. */
#include "systemefs/api/resource.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"

static void test_rows(void **state UNUSED)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct resource_row *row = resource_row(res);
        assert_non_null(row->name); /* a missing comma compiles, a missing row too */
        assert_true(row->name[0]);
        assert_non_null(row->list_path);
        assert_int_equal(row->list_path[0], '/');
        assert_int_not_equal(row->list_path[strlen(row->list_path) - 1], '/');
        assert_null(strchr(row->list_path, '?'));
        assert_non_null(row->items_member);
        assert_non_null(row->id_member);
        assert_true(row->host == HOST_API || row->host == HOST_CTRL);
        assert_true(row->id_kind <= ID_UUID);
        /* A cursor is a number. */
        if (row->paged)
            assert_int_equal(row->id_kind, ID_NUMBER);
        /* What wraps a single answer is of no use where there is none. */
        if (row->item_member)
            assert_true(row->item_get);
        if (row->name_filter)
            assert_non_null(row->name_member);
        /* A listing that is refused without a filter needs one. */
        if (row->list_needs_filter)
            assert_non_null(row->filters[0].param);
        for (enum resource other = 0; other < res; other++) {
            assert_string_not_equal(row->name, resource_row(other)->name);
            assert_string_not_equal(row->list_path, resource_row(other)->list_path);
        }
    }
}

/* ---- what may be changed ---- */

static const struct patch_member *member_of(const struct resource_row *row, const char *name)
{
    for (const struct patch_member *m = row->members; m && m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

static void test_members(void **state UNUSED)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct resource_row *row = resource_row(res);
        unsigned sets = 0, in_path = 0, saved = 0;
        for (const struct patch_member *m = row->members; m && m->name; m++) {
            assert_ptr_equal(member_of(row, m->name), m); /* each once */
            sets += m->kind == PATCH_SET;
            in_path += m->in_path;
            saved += m->save;
            /* The server's own are sent by nobody; the others by somebody. */
            assert_int_equal(m->kind == PATCH_SERVER, !m->create && !m->save);
            assert_int_equal(m->kind == PATCH_ALIAS || m->kind == PATCH_REFERENCE, m->slug != NULL);
            if (m->kind == PATCH_REFERENCE) {
                const struct patch_member *meant = member_of(row, m->slug);
                assert_true(meant && meant->create);
            }
            if (m->in_path)
                assert_true(m->create && !m->save);
        }
        /* The id is the server's, unless a person chooses it: a slug. */
        const struct patch_member *id = member_of(row, row->id_member);
        if (row->members)
            assert_int_equal(id->kind, row->id_kind == ID_SLUG ? PATCH_VALUE : PATCH_SERVER);
        assert_int_equal(sets, row->set.member != NULL);
        if (row->set.member)
            assert_int_equal(member_of(row, row->set.member)->kind, PATCH_SET);
        assert_int_equal(saved > 0, row->can_save);
        assert_int_equal(in_path > 0, row->create_path && strstr(row->create_path, "%s"));
    }
}

static void test_changes(void **state UNUSED)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct resource_row *row = resource_row(res);
        assert_int_equal(row->create_path != NULL, row->members || row->create_body);
        if (row->can_save) /* theirs is read again before it is changed */
            assert_true((row->save == HTTP_PATCH || row->save == HTTP_PUT) && row->members);
        /* A name alone says it all, or the one name there is stands for the whole body. */
        for (int i = 0; i < 2 && row->named_by[i]; i++)
            assert_true(member_of(row, row->named_by[i])->create);
        assert_int_equal(row->make_name != NULL, row->create_body != NULL);
        if (row->make_name)
            assert_null(row->named_by[0]);
        if (row->name_member && row->named_by[0])
            assert_string_equal(row->named_by[0], row->name_member);
        if (row->grant_member)
            assert_true(member_of(row, row->grant_member)->create);
        for (int i = 0; i < RESOURCE_FILTERS; i++) {
            const struct resource_filter *f = &row->filters[i];
            if (!f->create_member)
                continue;
            assert_true(member_of(row, f->create_member)->create);
            assert_non_null(f->member); /* it must be found again */
        }
        /* What comes later is looked for by the two records that it joins. */
        if (row->create_later)
            for (int i = 0; i < RESOURCE_FILTERS; i++)
                assert_non_null(row->filters[i].create_member);
        /* The path is below the first of them. */
        if (row->create_path && strstr(row->create_path, "%s"))
            assert_true(member_of(row, row->filters[0].create_member)->in_path);
        if (row->set.member) {
            assert_true(row->set.path && row->set.add_member && row->item_get);
            assert_true(resource_filter_by(res, row->set.res) >= 0);
            assert_int_equal(resource_row(row->set.res)->id_kind, ID_NUMBER);
        }
    }
}

static void test_words(void **state UNUSED)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct resource_row *row = resource_row(res);
        assert_int_equal(row->action != NULL, row->words[0].word != NULL);
        for (int i = 0; i < RESOURCE_WORDS && row->action; i++) {
            struct json body;
            assert_true(row->words[i].word[0]);
            assert_int_equal(json_check(row->words[i].body, strlen(row->words[i].body), &body,
                                        NULL),
                             0);
            assert_int_equal(json_type(body), JSON_OBJECT);
        }
        /* What is ended by a word is not deleted. */
        if (row->action)
            assert_false(row->can_remove);
    }
}

static void test_filters(void **state UNUSED)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct resource_row *row = resource_row(res);
        bool ended = false;
        for (int i = 0; i < RESOURCE_FILTERS; i++) {
            const struct resource_filter *f = &row->filters[i];
            if (!f->param) {
                ended = true;
                assert_null(f->member);
                continue;
            }
            assert_false(ended);
            assert_true(f->param[0]);
            assert_true(f->by < RES_COUNT && f->by != res);
            /* The first filter by a resource is the one that is found. */
            assert_int_equal(resource_filter_by(res, f->by), i);
            /* api_member_each() knows names, '.' and "[]." */
            if (f->member) {
                const char *bracket = strchr(f->member, '[');
                assert_true(!bracket || strncmp(bracket, "[].", 3) == 0);
                assert_string_equal(f->member + strlen(f->member) - 3, ".id");
            }
        }
        assert_int_equal(resource_filter_by(res, res), -1);
    }
    assert_int_equal(resource_filter_by(RES_CONTACT, RES_TAG), 0);
    assert_int_equal(resource_filter_by(RES_ENROLLMENT, RES_CONTACT), 1);
    /* An unused filter is a zeroed one, and RES_CONTACT is 0: it must not be taken for a match. */
    assert_int_equal(resource_filter_by(RES_TAG, RES_CONTACT), -1);
}

static bool valid(enum id_kind kind, const char *text)
{
    return resource_id_valid(kind, text, strlen(text));
}

static void test_numbers(void **state UNUSED)
{
    static const char *const good[] = {"1", "9", "10", "4913", "9007199254740991"};
    static const char *const bad[] = {"",
                                      "0",
                                      "007",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "1e3",
                                      "0x10",
                                      "1a",
                                      "9007199254740992",
                                      "9999999999999999",
                                      "10000000000000000",
                                      "18446744073709551617",
                                      "١"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(valid(ID_NUMBER, good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (valid(ID_NUMBER, bad[i]))
            fail_msg("'%s' passes for a number", bad[i]);
    assert_true(resource_id_valid(ID_NUMBER, "12x", 2));
    assert_false(resource_id_valid(ID_NUMBER, "1\0", 2));
    assert_int_equal(RESOURCE_ID_MAX, 9007199254740991);
}

static void test_slugs(void **state UNUSED)
{
    char longest[RESOURCE_ID_TEXT_MAX + 2];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_true(valid(ID_SLUG, "first_name"));
    assert_true(valid(ID_SLUG, "_"));
    assert_true(valid(ID_SLUG, "007"));
    assert_true(valid(ID_SLUG, "größe"));
    assert_true(resource_id_valid(ID_SLUG, longest, RESOURCE_ID_TEXT_MAX));
    assert_false(resource_id_valid(ID_SLUG, longest, RESOURCE_ID_TEXT_MAX + 1));
    static const char *const bad[] = {"",    ".",   "..",   "a.b", "a-b",
                                      "a b", "a/b", ".git", "a\n", "%41"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (valid(ID_SLUG, bad[i]))
            fail_msg("'%s' passes for a slug", bad[i]);
    assert_false(resource_id_valid(ID_SLUG, "a\0b", 3));
}

static void test_uuids(void **state UNUSED)
{
    assert_true(valid(ID_UUID, "01234567-89ab-cdef-0123-456789abcdef"));
    assert_true(valid(ID_UUID, "01234567-89AB-CDEF-0123-456789ABCDEF"));
    static const char *const bad[] = {
        "",
        "0123456789abcdef0123456789abcdef",
        "01234567-89ab-cdef-0123-456789abcde",
        "01234567-89ab-cdef-0123-456789abcdef0",
        "01234567-89ab-cdef-0123-456789abcdeg",
        "0123456--89ab-cdef-0123-456789abcdef",
        "01234567_89ab_cdef_0123_456789abcdef",
        "{1234567-89ab-cdef-0123-456789abcde}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (valid(ID_UUID, bad[i]))
            fail_msg("'%s' passes for a UUID", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_filters),
        cmocka_unit_test(test_members), cmocka_unit_test(test_changes),
        cmocka_unit_test(test_words),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_slugs),   cmocka_unit_test(test_uuids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
