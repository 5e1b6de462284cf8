/* codec/patch: texts of any size, and what is said about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "systemefs/codec/patch.h"

static const struct patch_member contact[] = {
    {.name = "locale", .kind = PATCH_VALUE, .create = true, .save = true},
    {.name = "fields", .kind = PATCH_PAIRS, .create = true, .save = true},
    {.name = "tags", .kind = PATCH_SET, .create = true, .save = true},
    {0},
};

static const struct patch_member webhook[] = {
    {.name = "subscriptions", .kind = PATCH_EVENTS, .create = true, .save = true},
    {0},
};

static void test_read(void **state UNUSED)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"{\"a\":1}", NULL},
        {" {} \n", NULL},
        {"{\"a\":1,\n \"b\" 2}", "line 2, column 6: expected ':'"},
        {"", "line 1, column 1: the text is empty"},
        {"[]", "a record is a JSON object, in { and }"},
        {"null", "a record is a JSON object, in { and }"},
        {"{\"a\":1,\"\\u0061\":2}", "\"a\" is there twice"},
        {"{\"a\":[{\"b\":1,\"b\":1}]}", "\"b\" is there twice"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char why[PATCH_WHY_MAX] = "";
        struct json v = {0};
        int err = patch_read(cases[i].text, strlen(cases[i].text), &v, why);
        assert_int_equal(err, cases[i].why ? -EINVAL : 0);
        assert_string_equal(why, cases[i].why ? cases[i].why : "");
        assert_int_equal(v.len > 0, !cases[i].why);
    }
}

/* As many bytes as may be, and one more. */
static void test_read_size(void **state UNUSED)
{
    char why[PATCH_WHY_MAX];
    struct json v;
    char *text = malloc(PATCH_TEXT_MAX + 1);
    assert_non_null(text);
    memset(text, ' ', PATCH_TEXT_MAX + 1);
    memcpy(text, "{}", 2);
    assert_int_equal(patch_read(text, PATCH_TEXT_MAX, &v, why), 0);
    assert_int_equal(patch_read(text, PATCH_TEXT_MAX + 1, &v, why), -EFBIG);
    assert_string_equal(why, "longer than 1048576 bytes");
    free(text);
}

/* A name of any length and content stays inside its quotes, in one line, in UTF-8. */
static void test_reasons(void **state UNUSED)
{
    static const struct {
        const char *name, *shown;
    } cases[] = {
        {"a\\\"b\\\\c\\/", "a\\\"b\\\\c/"},
        {"\\n\\u001b[31m\x7f\xc2\x9b\xc2\xa0\\u2028\\udc00\\u0000",
         "\\u000a\\u001b[31m\\u007f\\u009b\xc2\xa0\\u2028\\udc00\\u0000"},
        {"012345678901234567890123456789012345678901234567890123456789012345678901234567",
         "01234567890123456789012345678901234567890123456789012345678901234567890123..."},
        {"01234567890123456789012345678901234567890123456789012345678901234567890123456",
         "01234567890123456789012345678901234567890123456789012345678901234567890123456"},
        {"x\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
         "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
         "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
         "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac",
         "x\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
         "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
         "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
         "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac..."},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[512], why[512];
        struct json mine;
        struct patch p;
        snprintf(text, sizeof(text), "{\"%s\":1}", cases[i].name);
        snprintf(why, sizeof(why), "the API has no member \"%s\"", cases[i].shown);
        assert_int_equal(json_check(text, strlen(text), &mine, NULL), 0);
        patch_init(&p);
        assert_int_equal(patch_create(contact, mine, &p), -EINVAL);
        assert_string_equal(p.why, why);
        patch_finish(&p);
    }
}

/* The longest reason there is: two names from the text and one from the table. */
static void test_longest_reason(void **state UNUSED)
{
    struct buf text CLEANUP(buf_cleanup);
    struct json v, base;
    struct patch p;
    buf_init(&text, PATCH_TEXT_MAX);
    buf_append_str(&text, "[{\"tags\":[{\"id\":5,\"name\":\"");
    for (int i = 0; i < 400; i++)
        buf_append_str(&text, "\\u0001");
    buf_append_str(&text, "\"}]},{\"tags\":[{\"id\":5,\"name\":\"\xc3\xa9");
    for (int i = 0; i < 400; i++)
        buf_append_str(&text, "\xc3\xa9");
    buf_append_str(&text, "\"}]}]");
    assert_int_equal(json_check(text.data, text.len, &v, NULL), 0);
    struct json_iter it;
    json_iter_init(&it, v);
    assert_true(json_iter_next(&it, NULL, &base) && json_iter_next(&it, NULL, &v));
    patch_init(&p);
    assert_int_equal(patch_diff(contact, base, v, (struct json){0}, &p), -EINVAL);
    assert_non_null(strstr(p.why, "\\u0001...\", not \"\xc3\xa9"));
    assert_string_equal(p.why + strlen(p.why) - 6, "\xc3\xa9...\"");
    patch_finish(&p);
}

/* `count` entries, the last one first where `backward`, inside `{"name":` and `}`. */
static struct json big(struct buf *text, const char *open, const char *entry, const char *close,
                       unsigned count, bool backward)
{
    struct json v;
    buf_init(text, PATCH_TEXT_MAX);
    buf_append_str(text, open);
    for (unsigned i = 0; i < count; i++) {
        unsigned n = backward ? count - 1 - i : i;
        for (const char *p = entry; *p; p++) {
            if (*p == '#')
                buf_printf(text, "%u", n);
            else
                buf_append_byte(text, *p);
        }
        buf_append_str(text, i + 1 < count ? "," : close);
    }
    assert_int_equal(buf_error(text), 0);
    assert_int_equal(json_check(text->data, text->len, &v, NULL), 0);
    return v;
}

/* Each with each would take minutes here. */
static void test_big(void **state UNUSED)
{
    static const struct {
        const struct patch_member *members;
        const char *open, *entry, *close;
        unsigned count;
    } cases[] = {
        {contact, "{\"locale\":{", "\"n#\":#", "}}", 60000},
        {contact, "{\"locale\":[{", "\"n#\":{\"a\":#,\"b\":[]}", "}]}", 30000},
        {contact, "{\"fields\":[", "{\"slug\":\"s#\",\"value\":\"#\"}", "]}", 25000},
        {contact, "{\"tags\":[", "{\"id\":1#,\"name\":\"t#\"}", "]}", 30000},
        {contact, "{\"tags\":[", "\"t#\"", "]}", 60000},
        {webhook, "{\"subscriptions\":[", "{\"event\":\"A\",\"schemaVersion\":#}", "]}", 25000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf there CLEANUP(buf_cleanup), back CLEANUP(buf_cleanup);
        struct patch p;
        struct json base =
            big(&there, cases[i].open, cases[i].entry, cases[i].close, cases[i].count, false);
        struct json mine =
            big(&back, cases[i].open, cases[i].entry, cases[i].close, cases[i].count, true);
        patch_init(&p);
        assert_int_equal(patch_diff(cases[i].members, base, mine, base, &p), 0);
        assert_string_equal(p.body.data, "{}");
        assert_int_equal(patch_item_count(&p), 0);
        assert_int_equal(patch_create(cases[i].members, mine, &p), 0);
        assert_int_equal(p.changes + patch_item_count(&p), i < 2 || i == 5 ? 1 : cases[i].count);
        patch_finish(&p);
    }
}

/* More members than are compared one by one, and one of them by another name. */
static void test_other_name(void **state UNUSED)
{
    struct buf there CLEANUP(buf_cleanup), back CLEANUP(buf_cleanup);
    struct patch p;
    struct json base = big(&there, "{\"locale\":{", "\"n#\":0", ",\"n1x\":0}}", 40, false);
    struct json mine = big(&back, "{\"locale\":{", "\"n#\":0", ",\"n1y\":0}}", 40, true);
    patch_init(&p);
    assert_int_equal(patch_diff(contact, base, mine, (struct json){0}, &p), 0);
    assert_int_equal(p.changes, 1);
    patch_finish(&p);
}

/* What does not fit is an error, and no half of a patch. */
static void test_too_many(void **state UNUSED)
{
    struct buf text CLEANUP(buf_cleanup);
    struct patch p;
    struct json mine = big(&text, "{\"tags\":[", "1#", "]}", PATCH_ITEMS_MAX + 1, false);
    patch_init(&p);
    assert_int_equal(patch_create(contact, mine, &p), -EFBIG);
    patch_finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),       cmocka_unit_test(test_read_size),
        cmocka_unit_test(test_reasons),    cmocka_unit_test(test_longest_reason),
        cmocka_unit_test(test_big),        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_other_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
