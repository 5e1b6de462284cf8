/* codec/json: the examples. What must hold of any text is in test_json_random.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "systemefs/codec/json.h"

#define OUT_MAX ((size_t)16 << 20)

static struct json check(const char *text)
{
    struct json v = {0};
    struct json_error e = {0};
    if (json_check(text, strlen(text), &v, &e) != 0)
        fail_msg("%s: %s at %zu", text, e.message, e.offset);
    return v;
}

/* --- json_check ------------------------------------------------------------------------------ */

static void test_valid(void **state UNUSED)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1e999",
        "1E+5",
        "-12.50e-3",
        "123456789012345678901234567890",
        "\"\"",
        "{}",
        "[]",
        " \t\r\n[ ] \n",
        "[[],{}]",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"a\":1}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00E9\\ud83d\\ude00\"",
        "\"\\ud800\"",        /* lone, and still JSON */
        "\"\\udc00\\ud800\"", /* the wrong way round */
        "\"\x7f\"",
        "\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\"",
        "\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        check(texts[i]);
}

static const struct invalid {
    const char *text;
    size_t len; /* 0: strlen */
    const char *message;
    size_t offset;
} invalid[] = {
    {"", 0, "the text is empty", 0},
    {" \n ", 0, "the text is empty", 3},
    {"\xef\xbb\xbf{}", 0, "a byte order mark is not part of JSON", 0},
    {"{} {}", 0, "expected the end of the text", 3},
    {"1 2", 0, "expected the end of the text", 2},
    {"null\0", 5, "expected the end of the text", 4},
    {"[1\0]", 4, "expected ',' or ']'", 2},
    {"[1}", 0, "expected ',' or ']'", 2},
    {"[1 2]", 0, "expected ',' or ']'", 3},
    {"{\"a\":1]", 0, "expected ',' or '}'", 6},
    {"[1,]", 0, "expected a value (a comma or colon before it is one too many)", 3},
    {"[,1]", 0, "expected a value", 1},
    {"{\"a\":1,}", 0, "expected a member name (the comma before '}' is one too many)", 7},
    {"{\"a\":}", 0, "expected a value (a comma or colon before it is one too many)", 5},
    {"{\"a\"}", 0, "expected ':'", 4},
    {"{\"a\"", 0, "expected ':'", 4},
    {"{a:1}", 0, "expected a member name in double quotes", 1},
    {"{'a':1}", 0, "expected a member name in double quotes", 1},
    {"{,}", 0, "expected a member name in double quotes", 1},
    {"{", 0, "the text ends inside an object", 1},
    {"{\"a\":", 0, "the text ends inside an object", 5},
    {"{\"a\":1,", 0, "the text ends inside an object", 7},
    {"[[1]", 0, "the text ends inside an array", 4},
    {"]", 0, "expected a value (a comma or colon before it is one too many)", 0},
    {"tru", 0, "expected a value", 0},
    {"nulL", 0, "expected a value", 0},
    {"truex", 0, "expected the end of the text", 4},
    {"NaN", 0, "expected a value", 0},
    {"// no\n1", 0, "expected a value", 0},
    {"[1/*no*/]", 0, "expected ',' or ']'", 2},
    {"[\v1]", 0, "expected a value", 1},
    {"\xc2\xa0"
     "1",
     0, "expected a value", 0},
    /* Numbers. */
    {"01", 0, "a number does not start with 0", 0},
    {"-01", 0, "a number does not start with 0", 1},
    {"1.", 0, "expected a digit", 2},
    {".5", 0, "expected a value", 0},
    {"+1", 0, "expected a value", 0},
    {"-", 0, "expected a digit", 1},
    {"-a", 0, "expected a digit", 1},
    {"1e", 0, "expected a digit", 2},
    {"1e+", 0, "expected a digit", 3},
    {"1.e5", 0, "expected a digit", 2},
    {"0x10", 0, "expected the end of the text", 1},
    {"1.5.2", 0, "expected the end of the text", 3},
    /* Strings. */
    {"\"abc", 0, "the string is not closed", 0},
    {"[\"abcdefghijk", 0, "the string is not closed", 1},
    {"\"a\\", 0, "the text ends inside a string", 2},
    {"\"a\\u12", 0, "the text ends inside a string", 2},
    {"\"a\\\"", 0, "the string is not closed", 0},
    {"\"\\u12g4\"", 0, "expected four hex digits after '\\u'", 1},
    {"\"\\u+123\"", 0, "expected four hex digits after '\\u'", 1},
    {"\"\\x41\"", 0, "unknown escape in a string (a backslash is written '\\\\')", 1},
    {"\"\\'\"", 0, "unknown escape in a string (a backslash is written '\\\\')", 1},
    {"\"\\U0041\"", 0, "unknown escape in a string (a backslash is written '\\\\')", 1},
    {"\"a\nb\"", 0, "line break inside a string (write it as '\\n')", 2},
    {"\"abcdefgh\tb\"", 0, "control character inside a string", 9},
    {"\"\0\"", 3, "control character inside a string", 1},
    {"\"\x1f\"", 0, "control character inside a string", 1},
    /* UTF-8: overlong, surrogates, out of range, truncated, stray. */
    {"\"\xc0\xaf\"", 0, "not UTF-8", 1},
    {"\"\xc1\xbf\"", 0, "not UTF-8", 1},
    {"\"\xe0\x9f\xbf\"", 0, "not UTF-8", 1},
    {"\"\xf0\x8f\xbf\xbf\"", 0, "not UTF-8", 1},
    {"\"\xed\xa0\x80\"", 0, "not UTF-8", 1},
    {"\"\xed\xbf\xbf\"", 0, "not UTF-8", 1},
    {"\"\xf4\x90\x80\x80\"", 0, "not UTF-8", 1},
    {"\"\xf5\x80\x80\x80\"", 0, "not UTF-8", 1},
    {"\"\xff\"", 0, "not UTF-8", 1},
    {"\"\x80\"", 0, "not UTF-8", 1},
    {"\"abcdefghi\xbf\"", 0, "not UTF-8", 10},
    {"\"\xc3\"", 0, "not UTF-8", 1},
    {"\"\xe2\x82\"", 0, "not UTF-8", 1},
    {"\"\xf0\x9f\x98\"", 0, "not UTF-8", 1},
    {"\"\xe2\x28\xa1\"", 0, "not UTF-8", 1},
    {"\"\xe2\x82", 0, "not UTF-8", 1},
    {"\xc3\xa9", 0, "expected a value", 0},
};

static void test_invalid(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_SIZE(invalid); i++) {
        const struct invalid *t = &invalid[i];
        size_t len = t->len ? t->len : strlen(t->text);
        /* Memory of exactly that size, so that the sanitizer sees a step past the end. */
        char *text = malloc(len + !len);
        if (len)
            memcpy(text, t->text, len);
        struct json v = {.p = "untouched", .len = 9};
        struct json_error e = {0};
        if (json_check(text, len, &v, &e) != -EBADMSG || e.offset != t->offset ||
            strcmp(e.message, t->message) != 0)
            fail_msg("%s: \"%s\" at %zu", t->text, e.message ? e.message : "passed", e.offset);
        assert_int_equal(json_check(text, len, &v, NULL), -EBADMSG);
        assert_int_equal(v.len, 9);
        free(text);
    }
    /* A buffer to which nothing was appended has no bytes at all. */
    struct json_error e = {0};
    struct json v;
    assert_int_equal(json_check(NULL, 0, &v, &e), -EBADMSG);
    assert_string_equal(e.message, "the text is empty");
}

/* Every byte is allowed in a string exactly where the RFC says, at every place within a word of
 * eight: the scanner looks at eight bytes at a time. */
static void test_string_bytes(void **state UNUSED)
{
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 1; at < 20; at++) {
            char text[24];
            memset(text, 'x', sizeof(text));
            text[0] = text[21] = '"';
            text[at] = (char)byte;
            struct json v;
            bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            assert_int_equal(json_check(text, 22, &v, NULL), plain ? 0 : -EBADMSG);
        }
    }
}

static void test_error_place(void **state UNUSED)
{
    static const struct {
        const char *text;
        unsigned line, column;
    } cases[] = {
        {"x", 1, 1},
        {"{\n  \"a\": 1,\n  \"b\" 2\n}\n", 3, 7},
        {"{\r\n  \"a\": x}", 2, 8},
        {"[1,\n", 2, 1},
        {"[\"\xc3\xa9\", x]", 1, 8}, /* columns are bytes */
        {"\n\n\n", 4, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json v;
        struct json_error e;
        assert_int_equal(json_check(cases[i].text, strlen(cases[i].text), &v, &e), -EBADMSG);
        assert_int_equal(e.line, cases[i].line);
        assert_int_equal(e.column, cases[i].column);
    }
}

static void test_depth(void **state UNUSED)
{
    char text[2 * (JSON_DEPTH_MAX + 1)];
    struct json v;
    struct json_error e;
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_int_equal(json_check(text, 2 * JSON_DEPTH_MAX, &v, NULL), 0);

    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_int_equal(json_check(text, sizeof(text), &v, &e), -EBADMSG);
    assert_int_equal(e.offset, JSON_DEPTH_MAX);
    assert_string_equal(e.message, "more than 64 objects and arrays inside each other");

    /* Objects and arrays by turns: each level must know its own kind, the outermost too. */
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, OUT_MAX);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buf_append_str(&b, i % 2 ? "[" : "{\"a\":");
    buf_append_str(&b, "1");
    for (int i = JSON_DEPTH_MAX; i-- > 0;)
        buf_append_str(&b, i % 2 ? "]" : "}");
    assert_int_equal(json_check(b.data, b.len, &v, NULL), 0);
    b.data[b.len - 1] = ']';
    assert_int_equal(json_check(b.data, b.len, &v, NULL), -EBADMSG);
}

/* A server could answer a megabyte of '[': no stack may grow with it. */
static void test_deep_attack(void **state UNUSED)
{
    size_t len = 1 << 20;
    char *text = malloc(len);
    struct json v;
    struct json_error e;
    memset(text, '[', len);
    assert_int_equal(json_check(text, len, &v, &e), -EBADMSG);
    assert_int_equal(e.offset, JSON_DEPTH_MAX);
    free(text);
}

/* --- access ---------------------------------------------------------------------------------- */

static void assert_slice(struct json v, const char *expected)
{
    assert_int_equal(v.len, strlen(expected));
    assert_memory_equal(v.p, expected, v.len);
}

static void test_types(void **state UNUSED)
{
    static const struct {
        const char *text;
        enum json_type type;
    } cases[] = {
        {" null ", JSON_NULL}, {"true", JSON_TRUE},   {"false", JSON_FALSE}, {"-1", JSON_NUMBER},
        {"7", JSON_NUMBER},    {"\"\"", JSON_STRING}, {"[ ]", JSON_ARRAY},   {"{}", JSON_OBJECT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(json_type(check(cases[i].text)), cases[i].type);
    assert_int_equal(json_type((struct json){0}), JSON_NULL);
    assert_slice(check(" \n[1, 2] \n"), "[1, 2]");
}

static void test_member(void **state UNUSED)
{
    struct json v;
    struct json o = check("{ \"a\" : 1 , \"b\" : [ { \"x\" : \"}],\\\"\" } ] ,"
                          "\"\\u0063\":true,\"a\":{\"deep\":{\"a\":9}}, \"\": null}");
    assert_true(json_member(o, "a", &v));
    assert_slice(v, "{\"deep\":{\"a\":9}}"); /* the last one */
    assert_true(json_member(o, "b", &v));
    assert_slice(v, "[ { \"x\" : \"}],\\\"\" } ]");
    assert_true(json_member(o, "c", &v)); /* its name is written \u0063 */
    assert_slice(v, "true");
    assert_true(json_member(o, "", &v));
    assert_slice(v, "null");
    v = (struct json){.p = "kept", .len = 4};
    assert_false(json_member(o, "deep", &v));
    assert_false(json_member(o, "A", &v));
    assert_false(json_member(check("{\"ab\":1}"), "a", &v));
    assert_false(json_member(check("{\"a\":1}"), "ab", &v));
    assert_false(json_member(check("[\"a\", 1]"), "a", &v));
    assert_false(json_member(check("\"a\""), "a", &v));
    assert_false(json_member(check("{}"), "a", &v));
    assert_false(json_member((struct json){0}, "a", &v));
    assert_slice(v, "kept");
}

static void test_iter(void **state UNUSED)
{
    struct json_iter it;
    struct json name, value;
    json_iter_init(&it, check("[ -1.5e3 ,\"a,]\\\\\",{\"x\":[ ]} , [[1],2],null ]"));
    static const char *const items[] = {"-1.5e3", "\"a,]\\\\\"", "{\"x\":[ ]}", "[[1],2]", "null"};
    for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
        assert_true(json_iter_next(&it, &name, &value));
        assert_null(name.p);
        assert_slice(value, items[i]);
    }
    assert_false(json_iter_next(&it, &name, &value));
    assert_false(json_iter_next(&it, NULL, &value));

    json_iter_init(&it, check("{\"a:,\" :\n1,\"b\":{ }}"));
    assert_true(json_iter_next(&it, &name, &value));
    assert_slice(name, "\"a:,\"");
    assert_slice(value, "1");
    assert_true(json_iter_next(&it, NULL, &value));
    assert_slice(value, "{ }");
    assert_false(json_iter_next(&it, &name, &value));

    static const char *const empty[] = {"[ ]", "{\n}", "\"[1]\"", "12", "null"};
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
        json_iter_init(&it, check(empty[i]));
        assert_false(json_iter_next(&it, &name, &value));
    }
    json_iter_init(&it, (struct json){0});
    assert_false(json_iter_next(&it, &name, &value));
}

static void test_int64(void **state UNUSED)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"246810357", true, 246810357},
        {"-42", true, -42},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"\"12\"", false, 0},
        {"null", false, 0},
        {"[1]", false, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t n = -7;
        assert_int_equal(json_int64(check(cases[i].text), &n), cases[i].ok);
        assert_true(n == (cases[i].ok ? cases[i].value : -7));
    }
    int64_t n;
    bool b = false;
    assert_false(json_int64((struct json){0}, &n));
    assert_true(json_bool(check("true"), &b) && b);
    assert_true(json_bool(check("false"), &b) && !b);
    assert_false(json_bool(check("0"), &b));
    assert_false(json_bool((struct json){0}, &b));
}

static void test_string(void **state UNUSED)
{
    static const struct {
        const char *text, *decoded; /* NULL: -EILSEQ */
    } cases[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\\uFFFF\"", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf"},
        {"\"\\uD83D\\uDE00\\ud800\\udc00\\udbff\\udfff\"",
         "\xf0\x9f\x98\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\"raw \xc3\xa9 \\u00e9\"", "raw \xc3\xa9 \xc3\xa9"},
        {"\"a\\u0000b\"", NULL},
        {"\"\\ud800\"", NULL},
        {"\"\\udc00\"", NULL},
        {"\"\\ud800x\"", NULL},
        {"\"\\ud800\\n\"", NULL},
        {"\"\\ud800\\ud800\\udc00\"", NULL},
        {"\"\\udc00\\ud800\"", NULL},
        {"\"\\ud800\\u0041\"", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf b CLEANUP(buf_cleanup);
        buf_init(&b, 100);
        buf_append_str(&b, ">");
        struct json v = check(cases[i].text);
        assert_int_equal(json_string(v, &b), cases[i].decoded ? 0 : -EILSEQ);
        assert_string_equal(b.data + 1, cases[i].decoded ? cases[i].decoded : "");
        assert_int_equal(b.len, strlen(b.data));
        if (cases[i].decoded) {
            assert_true(json_string_equals(v, cases[i].decoded));
            assert_false(json_string_equals(v, ">"));
        }
    }
    struct buf small CLEANUP(buf_cleanup);
    buf_init(&small, 3);
    assert_int_equal(json_string(check("12"), &small), -EINVAL);
    assert_int_equal(json_string((struct json){0}, &small), -EINVAL);
    assert_int_equal(json_string(check("\"\\u0041\\u00e9\""), &small), 0); /* just fits */
    buf_reset(&small);
    assert_int_equal(json_string(check("\"four\""), &small), -EFBIG);
    assert_int_equal(json_string(check("\"\""), &small), -EFBIG); /* the error sticks */
}

static void test_string_equals(void **state UNUSED)
{
    assert_true(json_string_equals(check("\"\\u0061\\/b\""), "a/b"));
    assert_false(json_string_equals(check("\"\\u0061\""), "ab"));
    assert_false(json_string_equals(check("\"\\u0061b\""), "a"));
    assert_false(json_string_equals(check("\"a\""), "\"a\""));
    assert_false(json_string_equals(check("12"), "12"));
    assert_false(json_string_equals(check("\"\\ud800\""), "\xed\xa0\x80"));
    assert_false(json_string_equals(check("\"a\\u0000\""), "a"));
    assert_false(json_string_equals((struct json){0}, ""));
}

static void test_duplicate(void **state UNUSED)
{
    static const struct {
        const char *text, *name; /* NULL: none */
    } cases[] = {
        {"{\"a\":1,\"b\":2}", NULL},
        {"{\"a\":1,\"b\":2,\"a\":3}", "\"a\""},
        {"{\"a\":1,\"\\u0061\":2}", "\"\\u0061\""},
        {"{\"a\":{\"a\":{\"a\":1}}}", NULL},
        {"[{\"a\":1},{\"a\":2}]", NULL},
        {"[1,[{\"k\":[{\"x\":1,\"y\":0,\"x\":2}]}]]", "\"x\""},
        {"[\"a\",\"a\"]", NULL},
        {"{\"\":1,\"\":2}", "\"\""},
        {"{\"a\":1,\"A\":2,\"ab\":3}", NULL},
        {"{\"\\ud800\":1,\"\\ud801\":2}", NULL},
        {"{\"\\ud800\":1,\"\\uD800\":2}", "\"\\uD800\""},
        {"\"a\"", NULL},
    };
    struct json name;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(json_duplicate(check(cases[i].text), &name), cases[i].name != NULL);
        if (cases[i].name)
            assert_slice(name, cases[i].name);
    }
    assert_false(json_duplicate((struct json){0}, &name));
}

/* Comparing each of these members with each other would take minutes. */
static void test_duplicate_many(void **state UNUSED)
{
    struct buf b CLEANUP(buf_cleanup);
    struct json v, name;
    buf_init(&b, OUT_MAX);
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "%s\"%d\":0", i ? "," : "{", i);
    size_t len = b.len;
    buf_append_str(&b, "}");
    assert_int_equal(json_check(b.data, b.len, &v, NULL), 0);
    assert_false(json_duplicate(v, &name));
    buf_truncate(&b, len);
    buf_append_str(&b, ",\"\\u0035\\u0030000\":1}");
    assert_int_equal(json_check(b.data, b.len, &v, NULL), 0);
    assert_true(json_duplicate(v, &name));
    assert_true(json_string_equals(name, "50000"));
}

/* --- printing -------------------------------------------------------------------------------- */

static void test_print(void **state UNUSED)
{
    static const struct {
        const char *text, *compact, *pretty;
    } cases[] = {
        {" null ", "null", "null\n"},
        {"-0.10E+5", "-0.10E+5", "-0.10E+5\n"},
        {"1e999", "1e999", "1e999\n"},
        {"12345678901234567890123", "12345678901234567890123", "12345678901234567890123\n"},
        {"[ ]", "[]", "[]\n"},
        {"{\n}", "{}", "{}\n"},
        {"[{ },[ ]]", "[{},[]]", "[\n  {},\n  []\n]\n"},
        {"{\"a\" : 1,\"b\":[true , {\"c\": \" : , [\"}]}",
         "{\"a\":1,\"b\":[true,{\"c\":\" : , [\"}]}",
         "{\n  \"a\": 1,\n  \"b\": [\n    true,\n    {\n      \"c\": \" : , [\"\n    }\n  ]\n}\n"},
        /* Strings in their shortest exact form. */
        {"\"https:\\/\\/x\\/\"", "\"https://x/\"", "\"https://x/\"\n"},
        {"\"\\u00e9\\u20ac\\ud83d\\ude00\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
         "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"\n"},
        {"\"\\b\\f\\n\\r\\t\\\"\\\\\"", "\"\\b\\f\\n\\r\\t\\\"\\\\\"",
         "\"\\b\\f\\n\\r\\t\\\"\\\\\"\n"},
        {"\"\\u0008\\u000C\\u000a\\u000d\\u0009\\u0022\\u005c\\u002f\"",
         "\"\\b\\f\\n\\r\\t\\\"\\\\/\"", "\"\\b\\f\\n\\r\\t\\\"\\\\/\"\n"},
        {"\"\\u0000\\u001F\\u007f\\u0080\"", "\"\\u0000\\u001f\x7f\xc2\x80\"",
         "\"\\u0000\\u001f\x7f\xc2\x80\"\n"},
        {"\"\\uD800\"", "\"\\ud800\"", "\"\\ud800\"\n"},
        {"\"\\uDFFFx\\uD83D\\uD83D\\uDE00\"", "\"\\udfffx\\ud83d\xf0\x9f\x98\x80\"",
         "\"\\udfffx\\ud83d\xf0\x9f\x98\x80\"\n"},
        {"{\"\\u0061\\/\":\"\\/\"}", "{\"a/\":\"/\"}", "{\n  \"a/\": \"/\"\n}\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf b CLEANUP(buf_cleanup);
        buf_init(&b, OUT_MAX);
        struct json v = check(cases[i].text);
        buf_append_str(&b, ">");
        assert_int_equal(json_compact(v, &b), 0);
        assert_string_equal(b.data + 1, cases[i].compact);
        buf_truncate(&b, 1);
        assert_int_equal(json_pretty(v, &b), 0);
        assert_string_equal(b.data + 1, cases[i].pretty);
        assert_int_equal(json_pretty_size(v), strlen(cases[i].pretty));
    }
}

static void test_print_cap(void **state UNUSED)
{
    struct json v = check("[ 1 , 2 ]");
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, 5);
    assert_int_equal(json_compact(v, &b), 0); /* "[1,2]": the blanks of the input do not count */
    assert_int_equal(json_compact(v, &b), -EFBIG);
    assert_string_equal(b.data, "[1,2]");
    buf_reset(&b);
    assert_int_equal(json_pretty(v, &b), -EFBIG);
    assert_int_equal(b.len, 0);
    buf_reset(&b);
    assert_int_equal(json_quote("four", 4, &b), -EFBIG);
    assert_int_equal(b.len, 0);
}

static void test_quote(void **state UNUSED)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *quoted; /* NULL: -EILSEQ */
    } cases[] = {
        {NULL, 0, "\"\""},
        {"plain / \x7f", 9, "\"plain / \x7f\""},
        {"\"\\\b\f\n\r\t", 7, "\"\\\"\\\\\\b\\f\\n\\r\\t\""},
        {"\0\x1f", 2, "\"\\u0000\\u001f\""},
        {"\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {"a\xff", 2, NULL},
        {"\xe2\x82", 2, NULL},
        {"\xed\xa0\x80", 3, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf b CLEANUP(buf_cleanup);
        buf_init(&b, 100);
        buf_append_str(&b, ">");
        assert_int_equal(json_quote(cases[i].bytes, cases[i].len, &b),
                         cases[i].quoted ? 0 : -EILSEQ);
        assert_string_equal(b.data + 1, cases[i].quoted ? cases[i].quoted : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_string_bytes), cmocka_unit_test(test_error_place),
        cmocka_unit_test(test_depth),        cmocka_unit_test(test_deep_attack),
        cmocka_unit_test(test_types),        cmocka_unit_test(test_member),
        cmocka_unit_test(test_iter),         cmocka_unit_test(test_int64),
        cmocka_unit_test(test_string),       cmocka_unit_test(test_string_equals),
        cmocka_unit_test(test_duplicate),    cmocka_unit_test(test_duplicate_many),
        cmocka_unit_test(test_print),        cmocka_unit_test(test_print_cap),
        cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
