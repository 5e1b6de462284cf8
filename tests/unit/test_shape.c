/* tree/shape: every row is whole, agrees with its neighbours and with the table of resources. */
#include "systemefs/tree/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"

#define EACH_KIND(kind)                                                                            \
    enum node_kind kind = KIND_ROOT + 1;                                                           \
    kind < KIND_COUNT;                                                                             \
    kind++

static const bool dir_forms[FORM_COUNT] = {
    [FORM_FIXED] = true,  [FORM_RECORDS] = true, [FORM_MEMBERS] = true,
    [FORM_VALUES] = true, [FORM_SHELF] = true,   [FORM_NAMES] = true,
};

/* Named by a person or a program, not by the tree: they are where they were made. */
static bool is_free(enum node_kind kind)
{
    return kind == KIND_SCRATCH || kind == KIND_SCRATCH_LINK || kind == KIND_MADE ||
           kind == KIND_SHELF_DIR || kind == KIND_SHELF_FILE;
}

static void test_parents(void **state UNUSED)
{
    assert_int_equal(shape_of(KIND_ROOT)->form, FORM_FIXED);
    assert_null(shape_of(KIND_ROOT)->name);
    for (EACH_KIND(kind)) {
        const struct shape *s = shape_of(kind);
        unsigned depth = 0;
        for (enum node_kind up = kind; up != KIND_ROOT; up = shape_of(up)->parent) {
            assert_true(up < KIND_COUNT && depth++ < 8);
            assert_true(shape_is_dir(shape_of(up)->parent));
        }
        assert_int_not_equal(s->mode, 0); /* a missing row has none */
        assert_true(s->mode <= 0777);
        assert_true(s->form < FORM_COUNT);
        assert_int_equal(shape_is_dir(kind), dir_forms[s->form]);
        if (shape_is_dir(kind))
            assert_int_equal(s->mode, 0777);
    }
}

/* A node has a fixed name, or it is what a directory names after a record. */
static void test_names(void **state UNUSED)
{
    for (EACH_KIND(kind)) {
        const struct shape *s = shape_of(kind), *up = shape_of(s->parent);
        bool named_by_parent = up->entry == kind || up->entry_dir == kind || up->alias == kind ||
                               up->dir_alias == kind;
        if (is_free(kind)) {
            assert_null(s->name);
            assert_int_equal(s->parent, KIND_ROOT);
            assert_false(named_by_parent);
            continue;
        }
        assert_int_equal(named_by_parent, s->name == NULL);
        if (!s->name)
            continue;
        assert_true(s->name[0] && !strchr(s->name, '/') && strlen(s->name) < 64);
        assert_int_equal(shape_child(s->parent, s->name), kind);
        /* It hides no record. */
        if (up->entry)
            assert_false(
                resource_id_valid(resource_row(up->res)->id_kind, s->name, strlen(s->name)));
        for (EACH_KIND(other))
            if (other != kind && shape_of(other)->name && shape_of(other)->parent == s->parent)
                assert_string_not_equal(shape_of(other)->name, s->name);
    }
    assert_int_equal(shape_child(KIND_ROOT, "nothing"), KIND_ROOT);
    assert_int_equal(shape_child(KIND_ROOT, ""), KIND_ROOT);
    assert_int_equal(shape_child(KIND_README, "README.md"), KIND_ROOT);
    assert_int_equal(shape_child(KIND_CONTACT_LIST, "5.json"), KIND_ROOT);
}

static void check_records(enum node_kind kind)
{
    const struct shape *s = shape_of(kind);
    const struct resource_row *row = resource_row(s->res);
    assert_int_equal(shape_of(s->entry)->form, FORM_RECORD);
    assert_int_equal(shape_of(s->entry)->res, s->res);
    if (s->filtered) {
        assert_true(resource_filter_by(s->res, s->owner) >= 0);
        /* The key that it carries is that of the record whose directory it is in. */
        assert_int_equal(shape_of(s->parent)->owner, s->owner);
    } else {
        assert_int_equal(s->parent, KIND_ROOT);
        assert_int_equal(shape_home(s->res), kind);
        assert_int_equal(shape_of(s->entry)->parent, kind);
    }
    if (s->entry_dir) {
        const struct shape *d = shape_of(s->entry_dir);
        assert_int_equal(d->form, FORM_FIXED);
        assert_int_equal(d->parent, kind);
        assert_int_equal(d->owner, s->res);
        assert_int_equal(d->res, s->res);
    } else {
        assert_false(s->entry_dir_listed);
    }
    /* Symlinks to what stands beside them; a part shares those of the whole. */
    if (s->alias) {
        assert_non_null(row->name_member);
        assert_int_equal(shape_of(s->alias)->form, FORM_LINK);
        assert_int_equal(shape_of(s->alias)->res, s->res);
        assert_int_equal(shape_of(s->alias)->parent, shape_home(s->res));
        assert_string_equal(shape_of(s->alias)->target, "%s.json");
    }
    if (s->dir_alias) {
        assert_int_not_equal(s->alias, KIND_ROOT);
        assert_int_not_equal(s->entry_dir, KIND_ROOT);
        assert_int_equal(shape_of(s->dir_alias)->form, FORM_LINK);
        assert_int_equal(shape_of(s->dir_alias)->parent, kind);
        assert_string_equal(shape_of(s->dir_alias)->target, "%s");
    }
}

static void check_directory(enum node_kind kind)
{
    const struct shape *s = shape_of(kind), *entry = shape_of(s->entry);
    switch (s->form) {
    case FORM_FIXED:
        assert_int_equal(s->entry, KIND_ROOT);
        break;
    case FORM_RECORDS:
        check_records(kind);
        break;
    case FORM_MEMBERS:
        assert_int_equal(entry->form, FORM_RECORD);
        assert_int_equal(entry->res, s->res);
        assert_non_null(s->member);
        assert_int_equal(shape_of(s->parent)->owner, s->owner);
        break;
    case FORM_VALUES:
        assert_int_equal(entry->form, FORM_VALUE);
        assert_int_equal(entry->parent, kind);
        assert_int_equal(entry->res, s->res);
        assert_int_equal(entry->owner, s->owner);
        assert_string_equal(entry->member, s->member);
        assert_int_equal(shape_of(s->parent)->owner, s->owner);
        break;
    case FORM_NAMES:
        assert_int_equal(entry->form, FORM_LINK);
        assert_int_equal(entry->parent, kind);
        assert_int_equal(s->parent, shape_home(s->res));
        assert_non_null(resource_row(s->res)->name_member);
        assert_string_equal(entry->target, "../%s.json");
        break;
    case FORM_SHELF:
        /* What is in it is on disk. */
        assert_int_equal(s->entry, KIND_ROOT);
        break;
    case FORM_RECORD:
    case FORM_VALUE:
    case FORM_TEXT:
    case FORM_LINK:
    case FORM_SCRATCH:
    case FORM_SCRATCH_LINK:
    case FORM_SHELF_FILE:
    case FORM_COUNT:
        fail();
    }
    if (s->form != FORM_RECORDS)
        assert_false(s->filtered || s->entry_dir || s->alias || s->dir_alias || s->dir_removes);
    /* rmdir of ID/ deletes what the API can delete. */
    if (s->dir_removes)
        assert_true(s->entry_dir && resource_row(s->res)->can_remove);
}

static void test_forms(void **state UNUSED)
{
    unsigned texts[TEXT_COUNT] = {0};
    for (EACH_KIND(kind)) {
        const struct shape *s = shape_of(kind);
        if (shape_is_dir(kind)) {
            check_directory(kind);
            continue;
        }
        assert_int_equal(s->entry, KIND_ROOT);
        assert_int_equal(s->form == FORM_TEXT, s->text != TEXT_NONE);
        assert_int_equal(s->form == FORM_LINK, s->target != NULL);
        texts[s->text]++;
        if (s->form == FORM_LINK) {
            const char *hole = strstr(s->target, "%s");
            assert_non_null(hole);
            assert_null(strchr(hole + 1, '%'));
            assert_int_equal(strchr(s->target, '%'), hole);
            assert_int_equal(s->mode, 0777);
        }
        /* The permissions say whether the API can change it. */
        if (s->form == FORM_RECORD)
            assert_int_equal(s->mode, resource_row(s->res)->can_save ? 0666 : 0444);
        if (s->form == FORM_VALUE)
            assert_int_equal(s->mode, resource_row(s->owner)->can_save ? 0666 : 0444);
        if (s->form == FORM_SHELF_FILE)
            assert_int_equal(s->mode, 0444);
        if (s->form == FORM_SCRATCH)
            assert_int_equal(s->mode, 0666);
    }
    for (enum node_text text = TEXT_NONE + 1; text < TEXT_COUNT; text++)
        assert_int_equal(texts[text], 1);
}

static void test_resources(void **state UNUSED)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        enum node_kind home = shape_home(res), record = shape_of(home)->entry;
        assert_int_not_equal(home, KIND_ROOT);
        unsigned homes = 0, records = 0;
        for (EACH_KIND(kind)) {
            const struct shape *s = shape_of(kind);
            homes += s->form == FORM_RECORDS && !s->filtered && s->res == res;
            records += s->form == FORM_RECORD && s->res == res;
        }
        /* One file a record, wherever it appears. */
        assert_int_equal(homes, 1);
        assert_int_equal(records, 1);
        assert_int_equal(shape_of(record)->parent, home);
        /* Each part of a collection that the API can list is somewhere in the tree. */
        for (int i = 0; i < RESOURCE_FILTERS; i++) {
            const struct resource_filter *f = &resource_row(res)->filters[i];
            unsigned places = 0;
            for (EACH_KIND(kind)) {
                const struct shape *s = shape_of(kind);
                places +=
                    s->form == FORM_RECORDS && s->filtered && s->res == res && s->owner == f->by;
            }
            if (f->param)
                assert_int_equal(places, 1);
        }
        /* Human names are offered where the API has them. */
        assert_int_equal(shape_of(home)->alias != KIND_ROOT,
                         resource_row(res)->name_member != NULL);
    }
}

/* What a new name in a directory makes. Those that are not here make nothing. */
static void test_makes(void **state UNUSED)
{
    static const struct {
        enum node_kind dir;
        enum shape_makes makes;
        enum resource owner; /* of MAKES_ITEM: whose set it is; else RES_COUNT */
        bool lists_items;
    } rows[] = {
        {KIND_CONTACT_LIST, MAKES_RECORD, RES_COUNT, false},
        {KIND_CONTACT_TAGS, MAKES_ITEM, RES_CONTACT, true},
        {KIND_CONTACT_ENROLLMENTS, MAKES_RECORD, RES_COUNT, false},
        {KIND_CONTACT_MEMBERSHIPS, MAKES_RECORD, RES_COUNT, false},
        {KIND_TAG_LIST, MAKES_RECORD, RES_COUNT, false},
        {KIND_TAG_CONTACTS, MAKES_ITEM, RES_CONTACT, false},
        {KIND_FIELD_LIST, MAKES_RECORD, RES_COUNT, false},
        {KIND_COURSE_ENROLLMENTS, MAKES_RECORD, RES_COUNT, false},
        {KIND_ENROLLMENT_LIST, MAKES_RECORD, RES_COUNT, false},
        {KIND_COMMUNITY_MEMBERSHIPS, MAKES_RECORD, RES_COUNT, false},
        {KIND_MEMBERSHIP_LIST, MAKES_RECORD, RES_COUNT, false},
        {KIND_WEBHOOK_LIST, MAKES_RECORD, RES_COUNT, false},
        {KIND_CONNECTION_LIST, MAKES_RECORD, RES_COUNT, false},
    };
    for (EACH_KIND(kind)) {
        size_t i = 0;
        if (!shape_is_dir(kind))
            continue;
        while (i < ARRAY_SIZE(rows) && rows[i].dir != kind)
            i++;
        bool here = i < ARRAY_SIZE(rows);
        assert_int_equal(shape_makes(kind), here ? rows[i].makes : MAKES_NOTHING);
        enum resource owner;
        if (here && rows[i].makes == MAKES_ITEM) {
            assert_int_equal(shape_lists_items(kind, &owner), rows[i].lists_items);
            assert_int_equal(owner, rows[i].owner);
        }
    }
    assert_int_equal(shape_makes(KIND_ROOT), MAKES_NOTHING);
}

static void test_listed(void **state UNUSED)
{
    for (EACH_KIND(kind))
        assert_int_equal(shape_of(kind)->hidden, kind == KIND_CONTROL);
    /* A search through contacts/ meets each record once. */
    assert_false(shape_of(KIND_CONTACT_LIST)->entry_dir_listed);
    assert_true(shape_of(KIND_TAG_LIST)->entry_dir_listed);
    assert_true(shape_of(KIND_COURSE_LIST)->entry_dir_listed);
    assert_true(shape_of(KIND_COMMUNITY_LIST)->entry_dir_listed);
}

/* People's tools remember inode numbers (backups, file managers): no kind may ever get another
 * number. New ones are appended, and so is this list. */
static void test_numbers(void **state UNUSED)
{
    static const enum node_kind order[] = {
        KIND_ROOT,
        KIND_README,
        KIND_CONTACT_LIST,
        KIND_CONTACT,
        KIND_CONTACT_DIR,
        KIND_CONTACT_FIELDS,
        KIND_CONTACT_FIELD,
        KIND_CONTACT_TAGS,
        KIND_CONTACT_ENROLLMENTS,
        KIND_CONTACT_MEMBERSHIPS,
        KIND_CONTACT_SUBSCRIPTIONS,
        KIND_SUBSCRIPTION_DIR,
        KIND_SUBSCRIPTION_CANCEL,
        KIND_CONTACT_NAMES,
        KIND_CONTACT_LINK,
        KIND_CONTACT_ALIAS,
        KIND_CONTACT_DIR_ALIAS,
        KIND_TAG_LIST,
        KIND_TAG,
        KIND_TAG_DIR,
        KIND_TAG_CONTACTS,
        KIND_TAG_NAMES,
        KIND_TAG_LINK,
        KIND_TAG_ALIAS,
        KIND_TAG_DIR_ALIAS,
        KIND_FIELD_LIST,
        KIND_FIELD,
        KIND_COURSE_LIST,
        KIND_COURSE,
        KIND_COURSE_DIR,
        KIND_COURSE_ENROLLMENTS,
        KIND_COURSE_NAMES,
        KIND_COURSE_LINK,
        KIND_COURSE_ALIAS,
        KIND_COURSE_DIR_ALIAS,
        KIND_ENROLLMENT_LIST,
        KIND_ENROLLMENT,
        KIND_COMMUNITY_LIST,
        KIND_COMMUNITY,
        KIND_COMMUNITY_DIR,
        KIND_COMMUNITY_MEMBERSHIPS,
        KIND_COMMUNITY_NAMES,
        KIND_COMMUNITY_LINK,
        KIND_COMMUNITY_ALIAS,
        KIND_COMMUNITY_DIR_ALIAS,
        KIND_MEMBERSHIP_LIST,
        KIND_MEMBERSHIP,
        KIND_SUBSCRIPTION_LIST,
        KIND_SUBSCRIPTION,
        KIND_WEBHOOK_LIST,
        KIND_WEBHOOK,
        KIND_CONNECTION_LIST,
        KIND_CONNECTION,
        KIND_CONTROL,
        KIND_STATUS,
        KIND_ERRORS,
        KIND_REQUESTS,
        KIND_METRICS,
        KIND_CTL,
        KIND_SCRATCH,
        KIND_SCRATCH_LINK,
        KIND_MADE,
        KIND_DRAFTS,
        KIND_TRASH,
        KIND_SHELF_DIR,
        KIND_SHELF_FILE,
    };
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        assert_int_equal(order[i], i);
    assert_true(KIND_COUNT >= (int)ARRAY_SIZE(order) && KIND_COUNT <= 256);
}

static void test_inodes(void **state UNUSED)
{
    assert_int_equal(node_ino((struct node){.kind = KIND_ROOT}), NODE_ROOT_INO);
    assert_int_equal(node_from_ino(NODE_ROOT_INO).kind, KIND_ROOT);
    static const uint64_t keys[] = {1, 4913, RESOURCE_ID_MAX, (UINT64_C(1) << 56) - 1};
    for (EACH_KIND(kind))
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
            uint64_t ino = node_ino((struct node){.kind = kind, .key = keys[i]});
            assert_int_equal(node_from_ino(ino).kind, kind);
            assert_int_equal(node_from_ino(ino).key, keys[i]);
            assert_int_not_equal(ino, NODE_ROOT_INO);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parents), cmocka_unit_test(test_names),
        cmocka_unit_test(test_forms),   cmocka_unit_test(test_resources),
        cmocka_unit_test(test_listed),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_inodes),  cmocka_unit_test(test_makes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
