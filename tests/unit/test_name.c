/* codec/name: record names <-> file names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"
#include "systemefs/base/rng.h"
#include "systemefs/codec/name.h"

static void test_rules(void **state UNUSED)
{
    static const struct {
        const char *name;
        size_t len; /* 0: strlen */
        const char *file;
    } cases[] = {
        {"newsletter", 0, "newsletter.json"},
        {"ada@example.com", 0, "ada@example.com.json"},
        {"Gr\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\x98\x80",
         0,
         "Gr\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\x98\x80.json"},
        {"", 0, "%.json"},
        {".", 0, "%2E.json"},
        {"..", 0, "%2E..json"},
        {".hidden.x", 0, "%2Ehidden.x.json"},
        {"a.b", 0, "a.b.json"},
        {"a/b/", 0, "a%2Fb%2F.json"},
        {"100%", 0, "100%25.json"},
        {"%", 0, "%25.json"},
        {"%2F", 0, "%252F.json"},
        {"a\0b", 3, "a%00b.json"},
        {"\t\n\x1f\x7f ~", 0, "%09%0A%1F%7F ~.json"},
        {"\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0", 0, "%C2%80%C2%85%C2%9F\xc2\xa0.json"},
        {"not utf-8: \xff\xc3(\xe2\x82", 0, "not utf-8: %FF%C3(%E2%82.json"},
        {"\\ : * ? \" < > |", 0, "\\ : * ? \" < > |.json"},
        {" ends in blank ", 0, " ends in blank .json"},
        {"x.json", 0, "x.json.json"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t len = cases[i].len ? cases[i].len : strlen(cases[i].name);
        char file[NAME_FILE_MAX + 1];
        struct name_parts parts;
        assert_false(name_to_file(cases[i].name, len, "7", false, ".json", file));
        assert_string_equal(file, cases[i].file);
        assert_true(name_from_file(file, ".json", true, &parts));
        assert_int_equal(parts.len, len);
        assert_memory_equal(parts.name, cases[i].name, len);
        assert_string_equal(parts.id, "");
    }
    char file[NAME_FILE_MAX + 1];
    assert_false(name_to_file("a/b", 3, "7", false, "", file));
    assert_string_equal(file, "a%2Fb");
}

static void test_with_id(void **state UNUSED)
{
    static const struct {
        const char *name, *id, *file;
    } cases[] = {
        {"buyers", "17", "buyers (17).json"},
        {"", "17", "% (17).json"},
        {"a (3)", "17", "a (3) (17).json"},
        {"x", "018f-ABC_d", "x (018f-ABC_d).json"},
        {".x", "1", "%2Ex (1).json"},
        {"id of 64", "0123456789012345678901234567890123456789012345678901234567890123",
         "id of 64 (0123456789012345678901234567890123456789012345678901234567890123).json"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char file[NAME_FILE_MAX + 1];
        struct name_parts parts;
        assert_false(
            name_to_file(cases[i].name, strlen(cases[i].name), cases[i].id, true, ".json", file));
        assert_string_equal(file, cases[i].file);
        assert_true(name_from_file(file, ".json", true, &parts));
        assert_string_equal(parts.name, cases[i].name);
        assert_string_equal(parts.id, cases[i].id);
    }
}

/* A tag may itself be called "VIP (2)": both readings must be had. */
static void test_ends_like_an_id(void **state UNUSED)
{
    struct name_parts parts;
    assert_true(name_from_file("VIP (2).json", ".json", true, &parts));
    assert_string_equal(parts.name, "VIP");
    assert_string_equal(parts.id, "2");
    assert_true(name_from_file("VIP (2).json", ".json", false, &parts));
    assert_string_equal(parts.name, "VIP (2)");
    assert_string_equal(parts.id, "");

    /* No id at the end: taken as part of the name. */
    static const char *const whole[] = {
        "VIP (a b)",
        "VIP ()",
        "VIP(2)",
        "VIP (2) ",
        "VIP (2",
        "(2)",
        "x (\xc3\xa9)",
        "x (2.5)",
        "x (01234567890123456789012345678901234567890123456789012345678901234)", /* 65 */
    };
    for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
        assert_true(name_from_file(whole[i], "", true, &parts));
        assert_string_equal(parts.name, whole[i]);
        assert_string_equal(parts.id, "");
    }
    /* An empty name is written "%", so this is only the name " (2)". */
    assert_false(name_from_file(" (2)", "", true, &parts));
    assert_true(name_from_file(" (2)", "", false, &parts));
    assert_string_equal(parts.name, " (2)");
}

/* What name_to_file() never writes: a second spelling of a record must not exist. */
static void test_one_spelling(void **state UNUSED)
{
    static const char *const files[] = {
        "",
        ".json",
        ".x.json",
        "x",
        "x.jso",
        "x.JSON",
        "%2.json",
        "%2",
        "a%.json",
        "%%.json",
        "a%2",
        "%2f.json",
        "%41.json",
        "a%2E.json",
        "%zz.json",
        "a\tb.json",
        "\x7f.json",
        "\xff.json",
        "\xc2\x85.json",
        "a/b.json",
        "%C3%A9.json",
        "%2E%2E.json",
        "a%C2.json\xc2",
        "\xc3.json",
        "..",
        ".",
        "%C2\x85.json",
        "%2G.json",
        "%-1.json",
    };
    struct name_parts parts = {.len = 77};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (name_from_file(files[i], ".json", false, &parts))
            fail_msg("%s was taken", files[i]);
        if (name_from_file(files[i], ".json", true, &parts))
            fail_msg("%s was taken with an id", files[i]);
    }
    assert_int_equal(parts.len, 77);

    char longer[NAME_FILE_MAX + 2];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[NAME_FILE_MAX + 1] = '\0';
    assert_false(name_from_file(longer, "", false, &parts));
    longer[NAME_FILE_MAX] = '\0';
    assert_true(name_from_file(longer, "", false, &parts));
    assert_int_equal(parts.len, NAME_FILE_MAX);

    char far[5000];
    memset(far, 'a', sizeof(far) - 1);
    far[sizeof(far) - 1] = '\0';
    assert_false(name_from_file(far, "", true, &parts));
}

static void test_cut(void **state UNUSED)
{
    static const struct {
        const char *unit; /* the name repeats it */
        size_t lead;      /* plain bytes in front */
        size_t file_len;  /* of the cut one, " (123456)" and ".json" included */
    } cases[] = {
        {"a", 0, 255},
        {"\xc3\xa9", 0, 254}, /* 241 bytes are left for the name: 120 of two */
        {"\xc3\xa9", 1, 255},
        {"\xf0\x9f\x98\x80", 0, 254}, /* 60 of four */
        {"\xf0\x9f\x98\x80", 2, 252},
        {"/", 0, 254},        /* 80 of "%2F" */
        {"\xc2\x85", 0, 254}, /* 40 of "%C2%85": never half of one */
        {"\xc2\x85", 2, 14 + 2 + 39 * 6},
        {"\xff", 2, 14 + 2 + 79 * 3},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char name[1200], file[NAME_FILE_MAX + 1];
        size_t len = cases[i].lead, unit = strlen(cases[i].unit);
        memset(name, 'x', len);
        while (len + unit <= 1000) {
            memcpy(name + len, cases[i].unit, unit);
            len += unit;
        }
        for (int with_id = 0; with_id < 2; with_id++) {
            assert_true(name_to_file(name, len, "123456", with_id, ".json", file));
            assert_int_equal(strlen(file), cases[i].file_len);
            assert_string_equal(file + strlen(file) - 14, " (123456).json");
            struct name_parts parts;
            assert_true(name_from_file(file, ".json", true, &parts));
            assert_string_equal(parts.id, "123456");
            assert_memory_equal(parts.name, name, parts.len);
            assert_int_equal((parts.len - cases[i].lead) % unit, 0);
        }
    }
}

/* The last length that fits and the first that does not, with and without id. */
static void test_cut_edges(void **state UNUSED)
{
    char name[300], file[NAME_FILE_MAX + 1];
    memset(name, 'a', sizeof(name));
    assert_false(name_to_file(name, 250, "9", false, ".json", file));
    assert_int_equal(strlen(file), 255);
    assert_true(name_to_file(name, 251, "9", false, ".json", file));
    assert_int_equal(strlen(file), 255);
    assert_string_equal(file + 246, " (9).json");
    assert_false(name_to_file(name, 246, "9", true, ".json", file));
    assert_true(name_to_file(name, 247, "9", true, ".json", file));
    assert_int_equal(strlen(file), 255);
    assert_false(name_to_file(name, 255, "9", false, "", file));
    assert_true(name_to_file(name, 256, "9", false, "", file));
    assert_int_equal(strlen(file), 255);
}

static size_t random_name(struct rng *rng, char *out, size_t max)
{
    static const char *const units[] = {"a",  "Z",  " ",    ".",    "%",        "/",
                                        "(",  ")",  "7",    " (1)", "\xc3\xa9", "\xf0\x9f\x98\x80",
                                        "%2", "2F", "\x7f", "\n",   "\xc2\x85", ".json"};
    size_t len = 0, count = rng_below(rng, 3) ? rng_below(rng, 8) : rng_below(rng, 200);
    bool bytes = rng_below(rng, 3) == 0;
    for (size_t i = 0; i < count; i++) {
        const char *unit = units[rng_below(rng, ARRAY_SIZE(units))];
        char byte = (char)rng_below(rng, 256);
        size_t n = bytes ? 1 : strlen(unit);
        if (len + n > max)
            break;
        memcpy(out + len, bytes ? &byte : unit, n);
        len += n;
    }
    return len;
}

static void test_round_trip(void **state UNUSED)
{
    unsigned cuts = 0;
    for (uint64_t seed = 0; seed < 50000; seed++) {
        struct rng rng = {.state = seed};
        char name[900], file[NAME_FILE_MAX + 1];
        struct name_parts parts;
        size_t len = random_name(&rng, name, sizeof(name));
        bool with_id = rng_below(&rng, 2);
        const char *suffix = rng_below(&rng, 2) ? ".json" : "";
        bool cut = name_to_file(name, len, "0123-ab_Z", with_id, suffix, file);
        bool ok = strlen(file) > 0 && strlen(file) <= NAME_FILE_MAX && file[0] != '.' &&
                  !strchr(file, '/') && name_from_file(file, suffix, with_id || cut, &parts) &&
                  parts.len <= len && memcmp(parts.name, name, parts.len) == 0 &&
                  (cut || parts.len == len) &&
                  strcmp(parts.id, with_id || cut ? "0123-ab_Z" : "") == 0;
        if (!ok)
            fail_msg("seed %llu: %s", (unsigned long long)seed, file);
        cuts += cut;
    }
    assert_true(cuts > 1000);
}

/* Any file name at all: what is taken is what would be written. */
static void test_any_file(void **state UNUSED)
{
    unsigned taken = 0;
    for (uint64_t seed = 0; seed < 50000; seed++) {
        struct rng rng = {.state = seed};
        char file[NAME_FILE_MAX + 20], again[NAME_FILE_MAX + 1];
        struct name_parts parts;
        size_t len = random_name(&rng, file, sizeof(file) - 1);
        file[len] = '\0';
        if (!name_from_file(file, "", rng_below(&rng, 2), &parts))
            continue;
        taken++;
        name_to_file(parts.name, parts.len, parts.id, parts.id[0], "", again);
        assert_string_equal(again, file);
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_with_id),
        cmocka_unit_test(test_ends_like_an_id),
        cmocka_unit_test(test_one_spelling),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_cut_edges),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_any_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
