/*
 * codec/json: what must hold of any text. Texts come from a seeded generator, so a failure can be
 * repeated; each failing check names its seed. cJSON is the second opinion.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>
#include <cjson/cJSON.h>

#include "systemefs/base/rng.h"
#include "systemefs/codec/json.h"

#define SEEDS    4000
#define TEXT_MAX ((size_t)4 << 20)
#define DEEPEST  6

/* One random text. With `oracle` nothing that cJSON treats differently on purpose: lone
 * surrogates, NUL, numbers that no double holds, names that are there twice. */
struct gen {
    struct rng rng;
    struct buf text;
    bool oracle;
    unsigned names; /* so far */
};

static void gen_space(struct gen *g)
{
    while (rng_below(&g->rng, 4) == 0)
        buf_append_byte(&g->text, " \t\r\n"[rng_below(&g->rng, 4)]);
}

static void gen_utf8(struct buf *b, uint32_t c)
{
    if (c < 0x80)
        buf_append_byte(b, (char)c);
    else if (c < 0x800)
        buf_printf(b, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
    else if (c < 0x10000)
        buf_printf(b, "%c%c%c", (int)(0xe0 | c >> 12), (int)(0x80 | (c >> 6 & 0x3f)),
                   (int)(0x80 | (c & 0x3f)));
    else
        buf_printf(b, "%c%c%c%c", (int)(0xf0 | c >> 18), (int)(0x80 | (c >> 12 & 0x3f)),
                   (int)(0x80 | (c >> 6 & 0x3f)), (int)(0x80 | (c & 0x3f)));
}

static void gen_unit(struct gen *g, uint32_t unit)
{
    buf_printf(&g->text, rng_below(&g->rng, 2) ? "\\u%04x" : "\\u%04X", unit);
}

/* Any but NUL and surrogates. */
static uint32_t gen_char(struct gen *g)
{
    static const uint32_t edges[] = {'"',   '\\',   '/',    0x1f,     0x20,    0x7f,    0x80, 0x7ff,
                                     0x800, 0xd7ff, 0xe000, 0xfffd,   0xffff,  0x10000, '\n', '\t',
                                     0x8,   0xc,    '\r',   0x10ffff, 0x1f600, 1};
    switch (rng_below(&g->rng, 8)) {
    case 0:
        return edges[rng_below(&g->rng, ARRAY_SIZE(edges))];
    case 1: {
        uint32_t c = 1 + (uint32_t)rng_below(&g->rng, 0x10ffff);
        return c >= 0xd800 && c <= 0xdfff ? 0xe9 : c;
    }
    default:
        return 'a' + (uint32_t)rng_below(&g->rng, 26);
    }
}

/* One of the spellings of the character. */
static void gen_spelling(struct gen *g, uint32_t c)
{
    static const char shorts[] = "\"\"\\\\//\bb\ff\nn\rr\tt";
    bool must = c < 0x20 || c == '"' || c == '\\';
    if (!must && rng_below(&g->rng, 4)) {
        gen_utf8(&g->text, c);
        return;
    }
    for (size_t i = 0; shorts[i]; i += 2) {
        if ((uint32_t)shorts[i] == c && rng_below(&g->rng, 2)) {
            buf_printf(&g->text, "\\%c", shorts[i + 1]);
            return;
        }
    }
    if (c >= 0x10000) {
        gen_unit(g, 0xd800 + ((c - 0x10000) >> 10));
        gen_unit(g, 0xdc00 + (c & 0x3ff));
    } else {
        gen_unit(g, c);
    }
}

static void gen_string(struct gen *g)
{
    size_t len = rng_below(&g->rng, 3) ? rng_below(&g->rng, 12) : rng_below(&g->rng, 60);
    buf_append_byte(&g->text, '"');
    for (size_t i = 0; i < len; i++) {
        if (!g->oracle && rng_below(&g->rng, 40) == 0)
            gen_unit(g, 0xd800 + (uint32_t)rng_below(&g->rng, 0x800));
        else if (!g->oracle && rng_below(&g->rng, 40) == 0)
            gen_unit(g, 0);
        else
            gen_spelling(g, gen_char(g));
    }
    buf_append_byte(&g->text, '"');
}

static void gen_number(struct gen *g)
{
    static const char *const odd[] = {
        "-0", "0", "1e999", "-1E-999", "123456789012345678901234567890", "0.1", "1.50", "5e0"};
    if (!g->oracle && rng_below(&g->rng, 3) == 0)
        buf_append_str(&g->text, odd[rng_below(&g->rng, ARRAY_SIZE(odd))]);
    else
        buf_printf(&g->text, "%s%llu%s", rng_below(&g->rng, 2) ? "-" : "",
                   (unsigned long long)rng_below(&g->rng, 1 << 30),
                   rng_below(&g->rng, 2) ? ".25e+2" : "");
}

static void gen_name(struct gen *g)
{
    if (g->oracle)
        buf_printf(&g->text, "\"n%u\\u00e9\"", g->names++);
    else
        gen_string(g);
}

static void gen_value(struct gen *g, int depth)
{
    static const char *const words[] = {"null", "true", "false"};
    uint64_t kind = rng_below(&g->rng, depth < DEEPEST ? 7 : 4);
    gen_space(g);
    if (kind == 0) {
        buf_append_str(&g->text, words[rng_below(&g->rng, 3)]);
    } else if (kind == 1) {
        gen_number(g);
    } else if (kind < 4) {
        gen_string(g);
    } else {
        bool object = kind != 4;
        size_t count = rng_below(&g->rng, 6);
        buf_append_byte(&g->text, object ? '{' : '[');
        gen_space(g);
        for (size_t i = 0; i < count; i++) {
            if (i)
                buf_append_byte(&g->text, ',');
            gen_space(g);
            if (object) {
                gen_name(g);
                gen_space(g);
                buf_append_byte(&g->text, ':');
            }
            gen_value(g, depth + 1);
        }
        buf_append_byte(&g->text, object ? '}' : ']');
    }
    gen_space(g);
}

static void gen_init(struct gen *g, uint64_t seed, bool oracle)
{
    *g = (struct gen){.rng = {.state = seed}, .oracle = oracle};
    buf_init(&g->text, TEXT_MAX);
    gen_value(g, 0);
    assert_int_equal(buf_error(&g->text), 0);
}

static void gen_finish(struct gen *g)
{
    buf_finish(&g->text);
}

#define check_that(seed, condition)                                                                \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %llu: %s", (unsigned long long)(seed), #condition);                     \
    } while (0)

static bool same(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Prints and checks again; `ret` slices `out`. */
static bool printed(struct json v, bool pretty, struct buf *out, struct json *ret)
{
    buf_init(out, TEXT_MAX);
    return (pretty ? json_pretty(v, out) : json_compact(v, out)) == 0 &&
           json_check(out->data, out->len, ret, NULL) == 0;
}

/* All that printing promises, of one value. */
static void check_printing(uint64_t seed, struct json v)
{
    struct buf compact CLEANUP(buf_cleanup), pretty CLEANUP(buf_cleanup);
    struct buf again CLEANUP(buf_cleanup), from_pretty CLEANUP(buf_cleanup);
    struct buf from_compact CLEANUP(buf_cleanup);
    struct json c, p, unused;
    check_that(seed, printed(v, false, &compact, &c));
    check_that(seed, printed(v, true, &pretty, &p));
    check_that(seed, compact.len <= v.len);
    check_that(seed, json_pretty_size(v) == pretty.len);
    check_that(seed, json_pretty_size(c) == pretty.len);
    check_that(seed, pretty.data[pretty.len - 1] == '\n');
    check_that(seed, printed(c, false, &again, &unused) && same(&again, &compact));
    check_that(seed, printed(p, false, &from_pretty, &unused) && same(&from_pretty, &compact));
    check_that(seed, printed(c, true, &from_compact, &unused) && same(&from_compact, &pretty));
}

static void test_printing(void **state UNUSED)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct gen g CLEANUP(gen_finish);
        struct json v;
        gen_init(&g, seed, false);
        check_that(seed, json_check(g.text.data, g.text.len, &v, NULL) == 0);
        check_printing(seed, v);
    }
}

static void test_equal_tree(void **state UNUSED)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct gen g CLEANUP(gen_finish);
        struct buf pretty CLEANUP(buf_cleanup);
        struct json v, p;
        gen_init(&g, seed, true);
        check_that(seed, json_check(g.text.data, g.text.len, &v, NULL) == 0);
        check_that(seed, printed(v, true, &pretty, &p));
        cJSON *a = cJSON_Parse(g.text.data), *b = cJSON_Parse(pretty.data);
        check_that(seed, a && b && cJSON_Compare(a, b, true));
        cJSON_Delete(a);
        cJSON_Delete(b);
    }
}

/* Walks both trees side by side. */
static void check_walk(uint64_t seed, struct json v, const cJSON *tree)
{
    int64_t n;
    bool truth;
    check_that(seed, (json_type(v) == JSON_OBJECT) == (bool)cJSON_IsObject(tree));
    check_that(seed, (json_type(v) == JSON_ARRAY) == (bool)cJSON_IsArray(tree));
    check_that(seed, (json_type(v) == JSON_NUMBER) == (bool)cJSON_IsNumber(tree));
    check_that(seed, (json_type(v) == JSON_NULL) == (bool)cJSON_IsNull(tree));
    check_that(seed, !json_bool(v, &truth) || truth == (bool)cJSON_IsTrue(tree));
    check_that(seed, !json_int64(v, &n) || (double)n == tree->valuedouble);
    if (json_type(v) == JSON_STRING) {
        struct buf b CLEANUP(buf_cleanup);
        buf_init(&b, TEXT_MAX);
        check_that(seed, json_string(v, &b) == 0 && strcmp(b.data, tree->valuestring) == 0);
        check_that(seed, json_string_equals(v, tree->valuestring));
    }
    struct json_iter it;
    struct json name, value, found;
    const cJSON *child = tree->child;
    json_iter_init(&it, v);
    while (json_iter_next(&it, &name, &value)) {
        check_that(seed, child != NULL);
        if (json_type(v) == JSON_OBJECT) {
            check_that(seed, json_string_equals(name, child->string));
            check_that(seed, json_member(v, child->string, &found) && found.p == value.p &&
                                 found.len == value.len);
        }
        check_walk(seed, value, child);
        child = child->next;
    }
    check_that(seed, child == NULL);
}

static void test_walk(void **state UNUSED)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct gen g CLEANUP(gen_finish);
        struct json v, name;
        gen_init(&g, seed, true);
        check_that(seed, json_check(g.text.data, g.text.len, &v, NULL) == 0);
        check_that(seed, !json_duplicate(v, &name));
        cJSON *tree = cJSON_Parse(g.text.data);
        check_walk(seed, v, tree);
        cJSON_Delete(tree);
    }
}

/* Rows of tokens, most of them no JSON: both must say the same. (Only tokens on which cJSON is
 * as strict as the RFC: it takes "01", raw control characters and any byte for UTF-8.) */
static void test_validity(void **state UNUSED)
{
    static const char *const tokens[] = {"{",     "}",  "[",    "]",     ",",         ":",
                                         "\"a\"", "12", "-2.5", "true",  "null",      "\"a\":",
                                         " ",     "{}", "[1]",  "false", "{\"b\":2}", "\n",
                                         "[",     "]",  ","};
    unsigned valid = 0;
    for (uint64_t seed = 0; seed < SEEDS * 20; seed++) {
        struct rng rng = {.state = seed};
        struct buf b CLEANUP(buf_cleanup);
        struct json v;
        buf_init(&b, TEXT_MAX);
        size_t count = 1 + rng_below(&rng, 9);
        for (size_t i = 0; i < count; i++)
            buf_append_str(&b, tokens[rng_below(&rng, ARRAY_SIZE(tokens))]);
        bool ok = json_check(b.data, b.len, &v, NULL) == 0;
        cJSON *tree = cJSON_ParseWithOpts(b.data, NULL, true);
        if (ok != (tree != NULL))
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, b.data, ok ? "ok" : "refused");
        cJSON_Delete(tree);
        valid += ok;
    }
    assert_true(valid > SEEDS); /* the generator must be able to find a wrong refusal too */
}

/* A valid text, damaged at a few bytes, in memory of exactly its size. */
static void test_damage(void **state UNUSED)
{
    static const char bytes[] = "\"\\{}[],:u0d8 \n\x80\xc3\xed\xf0\xff-.e";
    unsigned refused = 0, passed = 0;
    for (uint64_t seed = 0; seed < SEEDS * 4; seed++) {
        struct gen g CLEANUP(gen_finish);
        gen_init(&g, seed, false);
        size_t len = g.text.len;
        if (rng_below(&g.rng, 3) == 0)
            len = 1 + rng_below(&g.rng, len);
        char *text = malloc(len);
        memcpy(text, g.text.data, len);
        for (uint64_t n = rng_below(&g.rng, 3); n > 0; n--)
            text[rng_below(&g.rng, len)] = bytes[rng_below(&g.rng, sizeof(bytes))];

        struct json v, name;
        struct json_error e;
        if (json_check(text, len, &v, &e) == 0) {
            passed++;
            check_printing(seed, v);
            json_duplicate(v, &name);
        } else {
            refused++;
            check_that(seed, e.offset <= len && e.line >= 1 && e.column >= 1 && e.message);
        }
        free(text);
    }
    assert_true(refused > SEEDS && passed > SEEDS);
}

/* The many ways to write one text come back as that text, and print in one way. */
static void test_spellings(void **state UNUSED)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct gen g CLEANUP(gen_finish);
        struct buf model CLEANUP(buf_cleanup), quoted CLEANUP(buf_cleanup);
        struct buf decoded CLEANUP(buf_cleanup), compact CLEANUP(buf_cleanup);
        struct json v, c;
        g = (struct gen){.rng = {.state = seed}};
        buf_init(&g.text, TEXT_MAX);
        buf_init(&model, TEXT_MAX);
        buf_init(&quoted, TEXT_MAX);
        buf_init(&decoded, TEXT_MAX);
        buf_append_byte(&g.text, '"');
        for (uint64_t n = 1 + rng_below(&g.rng, 40); n > 0; n--) {
            uint32_t ch = gen_char(&g);
            gen_utf8(&model, ch);
            gen_spelling(&g, ch);
        }
        buf_append_byte(&g.text, '"');

        check_that(seed, json_check(g.text.data, g.text.len, &v, NULL) == 0);
        check_that(seed, json_string(v, &decoded) == 0 && same(&decoded, &model));
        check_that(seed, json_string_equals(v, model.data));
        check_that(seed, printed(v, false, &compact, &c));
        check_that(seed,
                   json_quote(model.data, model.len, &quoted) == 0 && same(&quoted, &compact));
        model.data[rng_below(&g.rng, model.len)] ^= 1;
        check_that(seed, !json_string_equals(v, model.data));
    }
}

/* Objects on both sides of the size from which on members are sorted. */
static void test_duplicates(void **state UNUSED)
{
    unsigned with = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct gen g CLEANUP(gen_finish);
        g = (struct gen){.rng = {.state = seed}};
        buf_init(&g.text, TEXT_MAX);
        bool seen[2000] = {false}, twice = false;
        size_t count = rng_below(&g.rng, 40);
        for (size_t i = 0; i < count; i++) {
            size_t n = rng_below(&g.rng, ARRAY_SIZE(seen));
            twice = twice || seen[n];
            seen[n] = true;
            char name[8];
            snprintf(name, sizeof(name), "%zu", n);
            buf_append_str(&g.text, i ? ",\"" : "{\"");
            for (const char *p = name; *p; p++)
                gen_spelling(&g, (unsigned char)*p);
            buf_append_str(&g.text, "\":[]");
        }
        buf_append_str(&g.text, count ? "}" : "{}");
        struct json v, name;
        check_that(seed, json_check(g.text.data, g.text.len, &v, NULL) == 0);
        check_that(seed, json_duplicate(v, &name) == twice);
        with += twice;
    }
    assert_true(with > SEEDS / 20 && with < SEEDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printing),   cmocka_unit_test(test_equal_tree),
        cmocka_unit_test(test_walk),       cmocka_unit_test(test_validity),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_duplicates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
