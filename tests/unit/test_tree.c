/* tree: what names mean. Every kind of node is reached, listed, read and looked at through the
 * public calls, and costs what the contract says. */
#include "systemefs/tree/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "world_tree.h"

#define TTL  60000
#define UUID "01234567-89ab-cdef-0123-456789abcdef"

static void account(struct grove *g)
{
    static const struct {
        enum resource res;
        const char *text;
    } rows[] = {
        {RES_CONTACT,
         "{\"id\":5,\"email\":\"jane@example.com\",\"registeredAt\":\"2024-01-01T00:00:00+00:00\","
         "\"locale\":\"en\",\"fields\":[{\"slug\":\"first_name\",\"value\":\"Jane\"},"
         "{\"slug\":\"city\",\"value\":null}],\"tags\":[{\"id\":1,\"name\":\"vip\"}]}"},
        {RES_CONTACT, "{\"id\":6,\"email\":\"b@example.com\",\"fields\":[],\"tags\":[]}"},
        {RES_TAG, "{\"id\":1,\"name\":\"vip\"}"},
        {RES_TAG, "{\"id\":2,\"name\":\"a/b\"}"},
        {RES_TAG, "{\"id\":3,\"name\":\"twice\"}"},
        {RES_TAG, "{\"id\":4,\"name\":\"twice\"}"},
        {RES_FIELD, "{\"slug\":\"first_name\",\"fieldName\":\"First name\"}"},
        {RES_FIELD, "{\"slug\":\"city\",\"fieldName\":\"City\"}"},
        {RES_FIELD, "{\"slug\":\"new_one\",\"fieldName\":\"New\"}"},
        {RES_COURSE, "{\"id\":11,\"name\":\"Knots\"}"},
        {RES_ENROLLMENT, "{\"id\":21,\"course\":{\"id\":11},\"contact\":{\"id\":5}}"},
        {RES_COMMUNITY, "{\"id\":31,\"name\":\"Sailors\"}"},
        {RES_MEMBERSHIP, "{\"id\":41,\"community\":{\"id\":31},\"contact\":{\"id\":5}}"},
        {RES_SUBSCRIPTION, "{\"id\":51,\"contact\":{\"id\":5}}"},
        {RES_WEBHOOK, "{\"id\":\"" UUID "\",\"name\":\"hook\"}"},
        {RES_CONNECTION, "{\"connection_id\":\"" UUID "\"}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        world_put(&g->w, rows[i].res, rows[i].text);
}

static void init(struct grove *g)
{
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .gateway = true});
    account(g);
}

static uint64_t ino(struct grove *g, const char *path)
{
    if (grove_path(g, path) != 0)
        fail_msg("%s is not there: %s", path, g->failure.message);
    return g->attr.ino;
}

/* ---- everything that is there ---- */

static const struct {
    const char *path, *names;
} directories[] = {
    {"", "README.md\ncontacts\ntags\ncontact_fields\ncourses\nenrollments\ncommunities\n"
         "memberships\nsubscriptions\nwebhooks\nconnections\n"},
    {"contacts", "by-email\n6.json\n5.json\n"},
    {"contacts/5", "fields\ntags\nenrollments\nmemberships\nsubscriptions\n"},
    {"contacts/5/fields", "first_name\ncity\n"},
    {"contacts/5/tags", "1.json\n"},
    {"contacts/5/enrollments", "21.json\n"},
    {"contacts/5/memberships", "41.json\n"},
    {"contacts/5/subscriptions", "51.json\n51\n"},
    {"contacts/5/subscriptions/51", "cancel\n"},
    {"contacts/by-email", "b@example.com.json\njane@example.com.json\n"},
    {"contacts/6/fields", ""},
    {"contacts/6/tags", ""},
    {"contacts/6/enrollments", ""},
    {"tags", "by-name\n4.json\n4\n3.json\n3\n2.json\n2\n1.json\n1\n"},
    {"tags/1", "contacts\n"},
    {"tags/1/contacts", "5.json\n"},
    {"tags/by-name", "twice (4).json\ntwice (3).json\na%2Fb.json\nvip.json\n"},
    {"contact_fields", "first_name.json\ncity.json\nnew_one.json\n"},
    {"courses", "by-name\n11.json\n11\n"},
    {"courses/11", "enrollments\n"},
    {"courses/11/enrollments", "21.json\n"},
    {"courses/by-name", "Knots.json\n"},
    {"enrollments", "21.json\n"},
    {"communities", "by-name\n31.json\n31\n"},
    {"communities/31", "memberships\n"},
    {"communities/31/memberships", "41.json\n"},
    {"communities/by-name", "Sailors.json\n"},
    {"memberships", "41.json\n"},
    {"subscriptions", "51.json\n"},
    {"webhooks", UUID ".json\n"},
    {"connections", UUID ".json\n"},
    {".systemefs", "status\nerrors\nrequests\nmetrics\nctl\ndrafts\ntrash\n"},
};

static void test_directories(void **state UNUSED)
{
    bool seen[KIND_COUNT] = {0};
    for (size_t room = 1; room < 100; room *= 5) {
        struct grove g;
        init(&g);
        for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
            if (grove_list(&g, directories[i].path, room) != 0)
                fail_msg("%s: %s", directories[i].path, g.failure.message);
            assert_string_equal(g.text, directories[i].names);
        }
        grove_finish(&g);
    }

    /* What is listed is there, one by one, each in an account that nobody has looked at. */
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        const char *dir = directories[i].path;
        for (const char *p = directories[i].names; *p; p = strchr(p, '\n') + 1) {
            struct grove g;
            char path[256], shown[256];
            init(&g);
            snprintf(path, sizeof(path), "%s%s%.*s", dir, *dir ? "/" : "", (int)strcspn(p, "\n"),
                     p);
            uint64_t n = ino(&g, path);
            seen[node_from_ino(n).kind] = true;
            struct tree_attr attr = g.attr;
            assert_int_equal(grove_getattr(&g, n), 0);
            assert_int_equal(g.attr.ino, n);
            assert_int_equal(g.attr.mode, attr.mode);
            assert_int_equal(g.attr.mode & 077, S_ISLNK(g.attr.mode) ? 077 : 0);
            assert_true(g.attr.nlink >= 1);
            assert_true(g.attr.mtime_ns > 0);
            if (S_ISREG(g.attr.mode)) {
                assert_int_equal(grove_read(&g, path), 0);
                assert_true(strlen(g.text) == 0 || g.text[strlen(g.text) - 1] == '\n');
            } else if (S_ISLNK(g.attr.mode)) {
                assert_int_equal(grove_readlink(&g, n), 0);
                assert_int_equal(strlen(g.text), attr.size);
                snprintf(shown, sizeof(shown), "%.*s/%s", (int)strcspn(dir, "/"), dir, g.text + 3);
                assert_int_equal(strncmp(g.text, "../", 3), 0);
                assert_int_equal(grove_path(&g, shown), 0);
                assert_true(S_ISREG(g.attr.mode));
            } else {
                assert_int_equal(grove_list(&g, path, 10), 0);
            }
            grove_finish(&g);
        }
    }
    for (enum node_kind kind = KIND_README; kind < KIND_COUNT; kind++)
        if (!seen[kind])
            switch ((int)kind) {
            case KIND_CONTACT_DIR: /* not listed, but walked through above */
            case KIND_CONTROL:
            case KIND_CONTACT_ALIAS: /* never listed: test_human_names */
            case KIND_CONTACT_DIR_ALIAS:
            case KIND_TAG_ALIAS:
            case KIND_TAG_DIR_ALIAS:
            case KIND_COURSE_ALIAS:
            case KIND_COURSE_DIR_ALIAS:
            case KIND_COMMUNITY_ALIAS:
            case KIND_COMMUNITY_DIR_ALIAS:
            case KIND_SCRATCH: /* nothing has been made or kept: test_scratch.c, test_change.c */
            case KIND_SCRATCH_LINK:
            case KIND_MADE:
            case KIND_SHELF_DIR:
            case KIND_SHELF_FILE:
                break;
            default:
                fail_msg("kind %d was met in no directory", (int)kind);
            }
}

/* Directly at the API there are no connections. */
static void test_direct(void **state UNUSED)
{
    struct grove g;
    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
    account(&g);
    assert_int_equal(grove_list(&g, "", 100), 0);
    assert_null(strstr(g.text, "connections"));
    assert_int_equal(grove_path(&g, "connections"), -ENOENT);
    assert_int_equal(world_requests(&g.w), 0);
    grove_finish(&g);
}

/* ---- records ---- */

static void test_record(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_read(&g, "contacts/5.json"), 0);
    assert_int_equal(strncmp(g.text, "{\n  \"id\": 5,\n  \"email\": \"jane@example.com\",\n", 44),
                     0);
    assert_int_equal(world_requests(&g.w), 1);
    ino(&g, "contacts/5.json");
    assert_int_equal(g.attr.mode, S_IFREG | 0600);
    assert_int_equal(g.attr.mtime_ns, INT64_C(1704067200) * 1000000000);
    assert_int_equal(g.attr.attr_valid_ms, TTL);
    assert_int_equal(g.attr.entry_valid_ms, TTL);
    /* Not the number of its names: cp -a would make links of the files that it copies back. */
    assert_int_equal(g.attr.nlink, 1);
    world_advance(&g.w, 1000);
    grove_getattr(&g, g.attr.ino);
    assert_int_equal(g.attr.attr_valid_ms, TTL - 1000);
    assert_int_equal(world_requests(&g.w), 1);
    ino(&g, "courses/11.json");
    assert_int_equal(g.attr.mode, S_IFREG | 0400);

    assert_int_equal(grove_path(&g, "contacts/7.json"), -ENOENT);
    assert_int_equal(grove_path(&g, "contacts/7"), -ENOENT);
    assert_int_equal(grove_path(&g, "contacts/5.json/x"), -ENOTDIR);
    assert_int_equal(grove_path(&g, "contacts/5/tags/2.json"), -ENOENT);
    assert_int_equal(grove_path(&g, "tags/2/contacts/5.json"), -ENOENT);
    assert_int_equal(grove_path(&g, "contacts/6/enrollments/21.json"), -ENOENT);
    assert_int_equal(grove_path(&g, "contacts/5/enrollments/21.json"), 0);
    grove_finish(&g);
}

/* A record has one inode wherever it appears. */
static void test_hard_links(void **state UNUSED)
{
    static const char *const same[][3] = {
        {"contacts/5.json", "tags/1/contacts/5.json", NULL},
        {"tags/1.json", "contacts/5/tags/1.json", NULL},
        {"enrollments/21.json", "courses/11/enrollments/21.json", "contacts/5/enrollments/21.json"},
        {"memberships/41.json", "communities/31/memberships/41.json",
         "contacts/5/memberships/41.json"},
        {"subscriptions/51.json", "contacts/5/subscriptions/51.json", NULL},
    };
    struct grove g;
    init(&g);
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        uint64_t first = ino(&g, same[i][0]);
        struct tree_attr attr = g.attr;
        for (int k = 1; k < 3 && same[i][k]; k++) {
            assert_int_equal(ino(&g, same[i][k]), first);
            assert_int_equal(g.attr.nlink, attr.nlink);
            assert_int_equal(g.attr.size, attr.size);
        }
    }
    assert_int_not_equal(ino(&g, "contacts/5"), ino(&g, "contacts/5.json"));
    /* and keeps it across remounts */
    uint64_t hook = ino(&g, "webhooks/" UUID ".json"), field = ino(&g, "contact_fields/city.json");
    uint64_t value = ino(&g, "contacts/5/fields/city");
    grove_finish(&g);
    init(&g);
    assert_int_equal(ino(&g, "contacts/5/fields/city"), value);
    assert_int_equal(ino(&g, "contact_fields/city.json"), field);
    assert_int_equal(ino(&g, "webhooks/" UUID ".json"), hook);
    grove_finish(&g);
}

static void test_values(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_read(&g, "contacts/5/fields/first_name"), 0);
    assert_string_equal(g.text, "Jane\n");
    assert_int_equal(world_requests(&g.w), 1);
    assert_int_equal(grove_read(&g, "contacts/5/fields/city"), 0);
    assert_string_equal(g.text, "\n");
    assert_int_equal(world_requests(&g.w), 1);
    /* A slug that the account has, and the record does not name. */
    assert_int_equal(grove_read(&g, "contacts/5/fields/new_one"), 0);
    assert_string_equal(g.text, "\n");
    assert_int_equal(grove_path(&g, "contacts/5/fields/nothing"), -ENOENT);
    size_t asked = world_requests(&g.w);
    assert_int_equal(grove_path(&g, "contacts/5/fields/.x.swp"), -ENOENT);
    assert_int_equal(grove_path(&g, "contacts/5/fields/a-b"), -ENOENT);
    assert_int_equal(world_requests(&g.w), asked);

    /* Forgotten by the kernel, its number means nothing until it is looked up again. */
    uint64_t n = ino(&g, "contacts/6/fields/city");
    tree_forget(g.tree, n, 1);
    assert_int_equal(grove_getattr(&g, n), -ESTALE);
    assert_int_equal(ino(&g, "contacts/6/fields/city"), n);
    assert_int_equal(ino(&g, "contacts/6/fields/city"), n);
    tree_forget(g.tree, n, 1);
    assert_int_equal(grove_getattr(&g, n), 0);
    tree_forget(g.tree, n, 1000);
    grove_finish(&g);
}

/* ---- human names ---- */

static void test_human_names(void **state UNUSED)
{
    static const struct {
        const char *path, *target; /* NULL: ENOENT */
    } rows[] = {
        {"contacts/jane@example.com.json", "5.json"},
        {"contacts/jane@example.com", "5"},
        {"contacts/by-email/jane@example.com.json", "../5.json"},
        {"tags/1/contacts/jane@example.com.json", "5.json"},
        {"tags/1/contacts/b@example.com.json", NULL},
        {"contacts/nobody@example.com.json", NULL},
        {"tags/vip.json", "1.json"},
        {"tags/vip", "1"},
        {"tags/a%2Fb.json", "2.json"},
        {"tags/a%2fb.json", NULL}, /* each record has one spelling */
        {"tags/twice.json", NULL},
        {"tags/by-name/twice.json", NULL},
        {"tags/by-name/twice (3).json", "../3.json"},
        {"tags/by-name/twice (2).json", NULL},
        {"tags/by-name/vip.json", "../1.json"},
        {"tags/by-name/vip", NULL},
        {"courses/Knots.json", "11.json"},
        {"courses/Knots", "11"},
        {"communities/by-name/Sailors.json", "../31.json"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        init(&g);
        int r = grove_path(&g, rows[i].path);
        if (r != (rows[i].target ? 0 : -ENOENT))
            fail_msg("%s: %d %s", rows[i].path, r, g.failure.message);
        if (rows[i].target) {
            assert_true(S_ISLNK(g.attr.mode));
            assert_int_equal(grove_readlink(&g, g.attr.ino), 0);
            assert_string_equal(g.text, rows[i].target);
        }
        grove_finish(&g);
    }

    struct grove g;
    init(&g);
    ino(&g, "contacts/jane@example.com.json");
    assert_int_equal(grove_read(&g, "contacts/5.json"), 0);
    assert_int_equal(world_requests(&g.w), 1);
    grove_finish(&g);
}

/* Names that cannot be one never cause a request. */
static void test_no_requests(void **state UNUSED)
{
    static const char *const names[] = {
        ".git",
        ".hidden",
        ".gitignore",
        "4913",
        "package.json",
        "x~",
        "#x#",
        ".#5.json",
        ".5.json.swp",
        "5.json~",
        "sedAbC123",
        "5.json.tmp.1",
        "5.json.bak",
        ".goutputstream-X1",
        "5.json___jb_tmp___",
        "0.json",
        "007.json",
        "9007199254740992.json",
        "-1.json",
        "README",
        "jane@",
        "@x.org",
        "a@b",
        "jane@example.com.json.bak.json",
        "by-name",
        "Makefile",
        "1 2.json",
        "5.JSON",
        ".json",
        "a@b@c.org.json",
        ".Trash-1000",
        "autorun.inf",
        "99999999999999999999.json",
    };
    struct grove g;
    init(&g);
    uint64_t contacts = ino(&g, "contacts");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (grove_lookup(&g, contacts, names[i]) != -ENOENT)
            fail_msg("%s is found", names[i]);
        if (world_requests(&g.w))
            fail_msg("%s costs a request", names[i]);
    }
    static const char *const anywhere[] = {".git", ".hidden", "x~", "#x#", ".#1.json", "4913"};
    static const char *const homes[] = {
        "",         "tags",        "courses",   "communities", "contact_fields",
        "webhooks", "enrollments", ".systemefs"};
    for (size_t d = 0; d < ARRAY_SIZE(homes); d++) {
        uint64_t dir = ino(&g, homes[d]);
        for (size_t i = 0; i < ARRAY_SIZE(anywhere); i++) {
            assert_int_equal(grove_lookup(&g, dir, anywhere[i]), -ENOENT);
            if (world_requests(&g.w))
                fail_msg("%s in '%s' costs a request", anywhere[i], homes[d]);
        }
    }
    char longest[NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(grove_lookup(&g, contacts, longest), -ENAMETOOLONG);
    longest[NAME_MAX] = '\0';
    assert_int_equal(grove_lookup(&g, contacts, longest), -ENOENT);
    assert_int_equal(world_requests(&g.w), 0);
    grove_finish(&g);
}

/* ---- paths, and numbers that nobody gave out ---- */

static void test_paths(void **state UNUSED)
{
    static const char *const paths[] = {"contacts",
                                        "contacts/5.json",
                                        "contacts/5",
                                        "contacts/5/fields",
                                        "contacts/5/fields/city",
                                        "contacts/by-email",
                                        "tags/1/contacts",
                                        "courses/11/enrollments",
                                        /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
                                        "webhooks/" UUID ".json",
                                        "contact_fields/city.json",
                                        ".systemefs/ctl",
                                        "README.md"};
    struct grove g;
    struct buf out;
    init(&g);
    buf_init(&out, 4096);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        buf_reset(&out);
        assert_int_equal(tree_path(g.tree, ino(&g, paths[i]), &out), 0);
        assert_string_equal(out.data, paths[i]);
    }
    buf_finish(&out);

    const uint64_t made_up[] = {(uint64_t)KIND_COUNT << 56 | 5, UINT64_MAX};
    struct op op = {0};
    struct tree_dir *dir;
    struct tree_file *file;
    for (size_t i = 0; i < ARRAY_SIZE(made_up); i++) {
        assert_int_equal(grove_getattr(&g, made_up[i]), -ESTALE);
        assert_int_equal(grove_lookup(&g, made_up[i], "x"), -ENOTDIR);
        assert_int_equal(grove_open(&g, made_up[i], O_RDONLY, &file), -ESTALE);
        assert_int_equal(grove_readlink(&g, made_up[i]), -EINVAL);
        assert_int_equal(grove_getxattr(&g, made_up[i], "user.systemefs.id"), -ENODATA);
        tree_remember(g.tree, made_up[i]);
        tree_forget(g.tree, made_up[i], 1);
        op_begin(g.w.store, &op);
        assert_int_equal(tree_opendir(g.tree, &op, made_up[i], &dir), -ENOTDIR);
        op_end(&op);
    }
    assert_int_equal(grove_open(&g, ino(&g, "contacts"), O_RDONLY, &file), -EISDIR);
    assert_int_equal(grove_readlink(&g, ino(&g, "README.md")), -EINVAL);
    op_begin(g.w.store, &op);
    assert_int_equal(tree_opendir(g.tree, &op, ino(&g, "README.md"), &dir), -ENOTDIR);
    op_end(&op);
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directories), cmocka_unit_test(test_direct),
        cmocka_unit_test(test_record),      cmocka_unit_test(test_hard_links),
        cmocka_unit_test(test_values),      cmocka_unit_test(test_human_names),
        cmocka_unit_test(test_no_requests), cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
