/* tree: names of three kinds in a collection, what becomes of each, and every way to rename them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "save_fixture.h"
#include "world_tree.h"

#define UUID       "01234567-89ab-cdef-0123-456789abcdef"
#define FRENCH     "{\"locale\":\"fr\"}"
#define NEW        "{\"email\":\"new@example.com\"}"
#define MADE       "POST /api/contacts " NEW "\n"
#define SENT(body) PATCH5 body "\n"

static void init(struct grove *g)
{
    desk_log();
    grove_init(g, &(struct grove_options){.ttl_ms = TTL, .kernel = true, .gateway = true});
    desk_fill(&g->w);
    g->caller = getpid();
}

static void save_scratch(struct grove *g, const char *path, const char *text)
{
    if (grove_save(g, path, text) != 0)
        fail_msg("%s: %s", path, g->failure.message);
}

/* ---- three kinds of name ---- */

enum kind_of_name {
    A_RECORD,    /* becomes one when it is closed */
    AN_EDITORS,  /* stays here */
    A_REFUSED,   /* can be made, for the text's sake; closing it fails */
    NOT_TO_MAKE, /* cannot even be made */
};

static void test_names(void **state UNUSED)
{
    static const struct {
        const char *path;
        enum kind_of_name kind;
    } rows[] = {
        {"contacts/.5.json.swp", AN_EDITORS},
        {"contacts/5.json~", AN_EDITORS},
        {"contacts/4913", AN_EDITORS},
        {"contacts/#5.json#", AN_EDITORS},
        {"contacts/~5.json", AN_EDITORS},
        {"contacts/sedAbC123", AN_EDITORS},
        {"contacts/5.json.tmp.1", AN_EDITORS},
        {"contacts/.goutputstream-X", AN_EDITORS},
        {"contacts/5.json___jb_tmp___", AN_EDITORS},
        {"contacts/.json", AN_EDITORS},
        {"contacts/new", AN_EDITORS},
        {"contacts/5/.x.json", AN_EDITORS},
        {"contacts/5/tags/.9.json.swp", AN_EDITORS},
        {"contacts/5/fields/.city.swp", AN_EDITORS},
        {"contacts/5/fields/x.json", AN_EDITORS},
        {"contacts/5/fields/4913", AN_EDITORS},
        {"contacts/by-email/.x.swp", AN_EDITORS},
        {"courses/.11.json.swp", AN_EDITORS},
        {".x.swp", AN_EDITORS},
        {"x", AN_EDITORS},
        {"contacts/new.json", A_RECORD},
        {"contacts/007.json", A_RECORD},
        {"contacts/a b.json", A_RECORD},
        {"contacts/ä@example.com.json", A_RECORD},
        {"contacts/77.json", A_REFUSED},
        {"contacts/4913.json", A_REFUSED},
        {"tags/77.json", A_REFUSED},
        {"enrollments/77.json", A_REFUSED},
        {"webhooks/" UUID ".json", A_REFUSED},
        {"courses/x.json", NOT_TO_MAKE},
        {"courses/77.json", NOT_TO_MAKE},
        {"communities/x.json", NOT_TO_MAKE},
        {"subscriptions/x.json", NOT_TO_MAKE},
        {"contacts/5/subscriptions/x.json", NOT_TO_MAKE},
        {"contacts/by-email/x.json", NOT_TO_MAKE},
        {"contacts/5/x.json", NOT_TO_MAKE},
        {"connections/x.json", NOT_TO_MAKE},
        {"x.json", NOT_TO_MAKE},
        {".systemefs/x", NOT_TO_MAKE},
        {".systemefs/drafts/x", NOT_TO_MAKE},
        {".systemefs/trash/.x", NOT_TO_MAKE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        char draft[256], dir[256];
        init(&g);
        snprintf(draft, sizeof(draft), "drafts/%s", rows[i].path);
        const char *slash = strrchr(rows[i].path, '/');
        snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - rows[i].path) : 0, rows[i].path);
        int r = grove_save(&g, rows[i].path, NEW);
        if (r != (rows[i].kind == A_REFUSED || rows[i].kind == NOT_TO_MAKE ? -EPERM : 0))
            fail_msg("%s: %d, %s", rows[i].path, r, g.failure.message);
        assert_true(r == 0 || g.failure.message[0]);
        check_sent(&g.w, rows[i].kind == A_RECORD ? MADE : "");
        check_kept(&g.w, draft, rows[i].kind == A_REFUSED ? NEW : NULL);
        assert_int_equal(grove_path(&g, rows[i].path),
                         rows[i].kind == A_RECORD || rows[i].kind == AN_EDITORS ? 0 : -ENOENT);
        /* Editors' files are listed; the name under which a record was made is not. */
        assert_int_equal(grove_list(&g, dir, 100), 0);
        bool listed = strstr(g.text, slash ? slash + 1 : rows[i].path) != NULL;
        if (listed != (rows[i].kind == AN_EDITORS))
            fail_msg("%s in %s: %s", rows[i].path, dir, g.text);
        if (rows[i].kind == AN_EDITORS) {
            assert_int_equal(grove_read(&g, rows[i].path), 0);
            assert_string_equal(g.text, NEW);
            assert_int_equal(grove_unlink(&g, rows[i].path), 0);
            assert_int_equal(grove_path(&g, rows[i].path), -ENOENT);
            check_sent(&g.w, "");
        }
        grove_finish(&g);
    }
}

/* What cannot be a record's name costs no request in contacts/, whatever is done with it. */
static void test_no_requests(void **state UNUSED)
{
    static const char *const names[] = {"4913",     ".5.json.swp",  "5.json~",
                                        "#5.json#", ".git",         "sedAbC123",
                                        ".#5.json", "5.json.tmp.1", ".jane@example.com.json.swp"};
    struct grove g;
    init(&g);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[64];
        snprintf(path, sizeof(path), "contacts/%s", names[i]);
        save_scratch(&g, path, "text");
        save_scratch(&g, path, "text");
        assert_int_equal(grove_rename(&g, path, "contacts/.other"), 0);
        assert_int_equal(grove_unlink(&g, "contacts/.other"), 0);
        assert_int_equal(grove_unlink(&g, path), -ENOENT);
    }
    check_asked(&g.w, "");
    grove_finish(&g);
}

/* After it is made, NAME.json is a symlink to ID.json, and a save through it is one of the record.
 */
static void test_made_name(void **state UNUSED)
{
    struct grove g;
    init(&g);
    save_scratch(&g, "contacts/new.json", NEW);
    check_sent(&g.w, MADE);
    assert_int_equal(grove_path(&g, "contacts/new.json"), 0);
    assert_true(S_ISLNK(g.attr.mode));
    assert_int_equal(grove_readlink(&g, g.attr.ino), 0);
    assert_string_equal(g.text, "9001.json");
    save_scratch(&g, "contacts/new.json", FRENCH);
    check_sent(&g.w, "PATCH /api/contacts/9001 " FRENCH "\n");
    assert_int_equal(grove_unlink(&g, "contacts/new.json"), -EPERM);
    assert_non_null(strstr(g.failure.message, "9001.json"));
    /* It goes with the record, and can be used again. */
    assert_int_equal(grove_unlink(&g, "contacts/9001.json"), 0);
    assert_int_equal(grove_path(&g, "contacts/new.json"), -ENOENT);
    save_scratch(&g, "contacts/new.json", NEW);
    check_sent(&g.w, "DELETE /api/contacts/9001\n" MADE);
    /* A slug is chosen by the person: then the name is the record's own. */
    save_scratch(&g, "contact_fields/size.json", "{\"slug\":\"size\",\"fieldName\":\"Size\"}");
    check_sent(&g.w, "POST /api/contact_fields {\"slug\":\"size\",\"fieldName\":\"Size\"}\n");
    assert_int_equal(grove_path(&g, "contact_fields/size.json"), 0);
    assert_true(S_ISREG(g.attr.mode));
    grove_finish(&g);
}

/* Two who have a new file open share its text; what is written after it was made is a save. */
static void test_shared(void **state UNUSED)
{
    struct grove g;
    struct tree_file *a, *b;
    const char *text;
    size_t len;
    init(&g);
    assert_int_equal(grove_open_path(&g, "contacts/new.json", O_RDWR | O_CREAT, &a), 0);
    assert_int_equal(grove_open_path(&g, "contacts/new.json", O_RDWR, &b), 0);
    assert_int_equal(grove_open_path(&g, "contacts/new.json", O_WRONLY | O_CREAT | O_EXCL, &b),
                     -EEXIST);
    assert_int_equal(grove_append(&g, a, "{\"email\":"), 0);
    tree_read(b, 0, SIZE_MAX, &text, &len);
    assert_int_equal(len, 9);
    assert_int_equal(grove_append(&g, b, "\"new@example.com\"}"), 0);
    assert_int_equal(grove_sync(&g, a), 0);
    assert_int_equal(grove_sync(&g, b), 0);
    check_sent(&g.w, MADE);
    tree_close(g.tree, a);
    assert_int_equal(grove_truncate(&g, b, 0), 0);
    assert_int_equal(grove_append(&g, b, FRENCH), 0);
    assert_int_equal(grove_sync(&g, b), 0);
    check_sent(&g.w, "PATCH /api/contacts/9001 " FRENCH "\n");
    tree_close(g.tree, b);
    grove_finish(&g);
}

/* A file that is removed before it is closed is nobody's wish for a record. */
static void test_removed_open(void **state UNUSED)
{
    for (int by_release = 0; by_release < 2; by_release++) {
        struct grove g;
        struct tree_file *file;
        init(&g);
        assert_int_equal(grove_open_path(&g, "contacts/new.json", O_RDWR | O_CREAT, &file), 0);
        assert_int_equal(grove_unlink(&g, "contacts/new.json"), 0);
        assert_int_equal(grove_append(&g, file, NEW), 0);
        if (!by_release)
            assert_int_equal(grove_sync(&g, file), 0);
        tree_close(g.tree, file);
        world_advance(&g.w, 1000);
        check_asked(&g.w, "");
        assert_int_equal(g.w.disk.writes, 0);
        grove_finish(&g);
    }
}

/* A new record that is refused is a draft, and no file beside it; it may be tried again at once. */
static void test_refused(void **state UNUSED)
{
    struct grove g;
    struct tree_file *file;
    init(&g);
    assert_int_equal(grove_save(&g, "contacts/new.json", "{\"shoes\":44}"), -EINVAL);
    assert_int_equal(grove_path(&g, "contacts/new.json"), -ENOENT);
    check_kept(&g.w, "drafts/contacts/new.json", "{\"shoes\":44}");
    /* Through the descriptor that is still open. */
    assert_int_equal(grove_open_path(&g, "contacts/new.json", O_RDWR | O_CREAT, &file), 0);
    assert_int_equal(grove_append(&g, file, "{}"), 0);
    g.w.status = 422;
    g.w.body = "{\"violations\":[{\"propertyPath\":\"email\",\"message\":\"Missing.\"}]}";
    assert_int_equal(grove_sync(&g, file), -EINVAL);
    assert_int_equal(grove_sync(&g, file), -EINVAL);
    check_reason(&g.w, "contacts/new.json", "email: Missing.");
    check_sent(&g.w, "POST /api/contacts {}\n");
    g.w.status = 0;
    assert_int_equal(grove_truncate(&g, file, 0), 0);
    assert_int_equal(grove_append(&g, file, NEW), 0);
    assert_int_equal(grove_sync(&g, file), 0);
    tree_close(g.tree, file);
    check_sent(&g.w, MADE);
    check_kept(&g.w, "drafts/contacts/new.json", NULL);
    assert_int_equal(grove_path(&g, "contacts/new.json"), 0);
    grove_finish(&g);
}

/* ---- renaming ---- */

/* Before each row: contacts/.s is scratch (with FRENCH), contacts/.t another one ("t"), contacts/.e
 * an empty one and contacts/.l a symlink; contacts/empty.json is a new record without a text yet;
 * contacts/made.json is the name of record 9001; and there is the account. */
static void test_rename(void **state UNUSED)
{
    static const struct {
        const char *from, *to;
        int result;
        const char *sent;
        bool stays;       /* `from` is still there */
        const char *text; /* what `to` shows then; NULL: not looked at, "-": it is not there */
    } rows[] = {
        /* scratch -> */
        {"contacts/.s", "contacts/5.json", 0, SENT(FRENCH), false, NULL},
        {"contacts/.s", "tags/1/contacts/5.json", 0, SENT(FRENCH), false, NULL},
        {"contacts/.s", "contacts/jane@example.com.json", 0, SENT(FRENCH), false, NULL},
        {"contacts/.s", "contacts/made.json", 0, "PATCH /api/contacts/9001 " FRENCH "\n", false,
         NULL},
        {"contacts/.s", "contacts/9001.json", 0, "PATCH /api/contacts/9001 " FRENCH "\n", false,
         NULL},
        {"contacts/.s", "contacts/x.json", 0, "POST /api/contacts " FRENCH "\n", false, NULL},
        {"contacts/.s", "contacts/empty.json", 0, "POST /api/contacts " FRENCH "\n", false, NULL},
        {"contacts/.s", "contacts/77.json", -EPERM, "", true, "-"},
        {"contacts/.s", "contacts/.t", 0, "", false, FRENCH},
        {"contacts/.s", "contacts/.l", 0, "", false, FRENCH},
        {"contacts/.s", "contacts/.new", 0, "", false, FRENCH},
        {"contacts/.s", "tags/.new", 0, "", false, FRENCH},
        {"contacts/.s", "contacts/.s", 0, "", true, FRENCH},
        {"contacts/.s", "contacts/5/fields/city", 0,
         SENT("{\"fields\":[{\"slug\":\"city\",\"value\":\"{\\\"locale\\\":\\\"fr\\\"}\"}]}"),
         false, FRENCH "\n"},
        {"contacts/.s", "contacts/5/fields/shoes", 0, "", false, FRENCH},
        {"contacts/.s", "contacts/5/tags/9.json", 0, "POST /api/contacts/5/tags {\"tagId\":9}\n",
         false, NULL},
        {"contacts/.s", "contacts/5/tags/nine.json", 0, "POST /api/contacts/5/tags {\"tagId\":9}\n",
         false, "-"},
        {"contacts/.s", "tags/9/contacts/6.json", 0, "POST /api/contacts/6/tags {\"tagId\":9}\n",
         false, NULL},
        {"contacts/.s", "contacts/5/tags/no-such.json", -EINVAL, "", true, "-"},
        {"contacts/.s", "courses/11.json", -EPERM, "", true, NULL},
        {"contacts/.s", "enrollments/21.json", -EPERM, "", true, NULL},
        {"contacts/.s", "contacts/by-email/x.json", -EPERM, "", true, "-"},
        {"contacts/.s", "contacts/by-email", -EISDIR, "", true, NULL},
        {"contacts/.s", "contacts/5", -EISDIR, "", true, NULL},
        {"contacts/.s", "README.md", -EPERM, "", true, NULL},
        {"contacts/.s", ".systemefs/ctl", -EPERM, "", true, NULL},
        {"contacts/.s", ".systemefs/drafts/x", -EPERM, "", true, "-"},
        {"contacts/.s", "x.json", -EPERM, "", true, "-"},
        {"contacts/.e", "contacts/5.json", -EINVAL, "", true, NULL},
        {"contacts/.e", "contacts/x.json", -EINVAL, "", true, "-"},
        {"contacts/.e", "contacts/.t", 0, "", false, ""},
        {"contacts/.l", "contacts/5.json", -EPERM, "", true, NULL},
        {"contacts/.l", "contacts/.new", 0, "", false, NULL},
        {"contacts/empty.json", "contacts/.new", 0, "", false, ""},
        {"contacts/empty.json", "contacts/x.json", -EINVAL, "", true, "-"},
        /* record -> */
        {"contacts/5.json", "contacts/.new", 0, "", true, "5"},
        {"contacts/5.json", "contacts/5.json~", 0, "", true, "5"},
        {"contacts/5.json", "contacts/.t", 0, "", true, "5"},
        {"contacts/5.json", "tags/.new", 0, "", true, "5"},
        {"contacts/5.json", "contacts/5.json", 0, "", true, "5"},
        {"contacts/jane@example.com.json", "contacts/.new", 0, "", true, "5"},
        {"contacts/5.json", "contacts/6.json", -EPERM, "", true, NULL},
        {"contacts/5.json", "contacts/77.json", -EPERM, "", true, "-"},
        {"contacts/5.json", "contacts/x.json", -EPERM, "", true, "-"},
        {"contacts/5.json", "contacts/made.json", -EPERM, "", true, NULL},
        {"contacts/5.json", "contacts/empty.json", -EPERM, "", true, NULL},
        {"contacts/5.json", "contacts/b@example.com.json", -EPERM, "", true, NULL},
        {"contacts/5.json", "tags/x.json", -EPERM, "", true, "-"},
        {"contacts/5.json", "courses/11.json", -EPERM, "", true, NULL},
        {"contacts/5.json", "contacts/5/fields/city", -EPERM, "", true, NULL},
        {"contacts/made.json", "contacts/.new", 0, "", true, NULL},
        {"contacts/made.json", "contacts/x.json", -EPERM, "", true, "-"},
        {"courses/11.json", "courses/.new", 0, "", true, NULL},
        {"contacts/5/fields/city", "contacts/5/fields/city~", 0, "", true, "Graz\n"},
        {"contacts/5/fields/city", "contacts/5/fields/first_name", -EPERM, "", true, "\n"},
        /* the rest */
        {"contacts/5", "contacts/.new", -EPERM, "", true, "-"},
        {"contacts", "people", -EPERM, "", true, "-"},
        {"README.md", ".new", -EPERM, "", true, "-"},
        {".systemefs/ctl", ".new", -EPERM, "", true, "-"},
        /* mv within by-name/ */
        {"tags/by-name/nine.json", "tags/by-name/neun.json", 0,
         "PUT /api/tags/9 {\"name\":\"neun\"}\n", false, NULL},
        {"tags/by-name/nine.json", "tags/by-name/a%2Fb.json", 0,
         "PUT /api/tags/9 {\"name\":\"a/b\"}\n", false, NULL},
        {"tags/by-name/nine.json", "tags/by-name/eight.json", -EEXIST, "", true, NULL},
        {"tags/by-name/nine.json", "tags/by-name/neun", -EINVAL, "", true, "-"},
        {"contacts/by-email/jane@example.com.json", "contacts/by-email/x@example.com.json", -EPERM,
         "", true, "-"},
        {"courses/by-name/Knots.json", "courses/by-name/Ropes.json", -EPERM, "", true, "-"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        struct tree_file *file;
        const char *from = rows[i].from, *to = rows[i].to;
        init(&g);
        save_scratch(&g, "contacts/.s", FRENCH);
        save_scratch(&g, "contacts/.t", "t");
        save_scratch(&g, "contacts/.e", "");
        assert_int_equal(grove_symlink(&g, "somewhere", "contacts/.l"), 0);
        save_scratch(&g, "contacts/made.json", NEW);
        assert_int_equal(grove_open_path(&g, "contacts/empty.json", O_WRONLY | O_CREAT, &file), 0);
        tree_close(g.tree, file);
        world_asked(&g.w);

        int r = grove_rename(&g, from, to);
        if (r != rows[i].result || (r < 0 && r != -EISDIR && !g.failure.message[0]))
            fail_msg("%s -> %s: %d, %s", from, to, r, g.failure.message);
        if (strcmp(world_sent(&g.w), rows[i].sent) != 0)
            fail_msg("%s -> %s: sent %s", from, to, g.w.asked);
        if (grove_path(&g, from) != (rows[i].stays ? 0 : -ENOENT))
            fail_msg("%s -> %s: is %s there?", from, to, from);
        r = grove_path(&g, to);
        if (rows[i].text && strcmp(rows[i].text, "-") == 0)
            assert_int_equal(r, -ENOENT);
        else if (r != 0)
            fail_msg("%s -> %s: it is not there", from, to);
        else if (rows[i].text && strcmp(rows[i].text, "5") == 0) {
            assert_int_equal(grove_read(&g, to), 0);
            assert_non_null(strstr(g.text, "\"email\": \"jane@example.com\""));
        } else if (rows[i].text) {
            assert_int_equal(grove_read(&g, to), 0);
            if (strcmp(g.text, rows[i].text) != 0)
                fail_msg("%s -> %s: %s", from, to, g.text);
        }
        grove_finish(&g);
    }
}

/* A copy of the record took the other name: the kernel, which moves its entry, is told. */
static void test_detached(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
    assert_string_equal(g.forgotten, "5.json~");
    assert_int_equal(grove_path(&g, PATH), 0);
    uint64_t ino = g.attr.ino;
    assert_int_equal(grove_path(&g, "contacts/5.json~"), 0);
    assert_true(g.attr.ino != ino);
    /* vim with a backup: the record is moved away, and written anew under its name. */
    save_scratch(&g, PATH, CONTACT("fr", "\"Graz\"", VIP));
    check_sent(&g.w, SENT(FRENCH));
    assert_int_equal(grove_unlink(&g, "contacts/5.json~"), 0);
    check_sent(&g.w, "");
    grove_finish(&g);
}

/* An editor that has renamed the record away, and whose save is then refused, removes its new file
 * and renames the old one back: it does not mean the record. Whoever else removes it does, and the
 * editor itself does once it has saved. */
static void test_renamed_back(void **state UNUSED)
{
    enum { REFUSED, BY_OTHERS, SAVED, UNKNOWN, CASES };
    for (int how = 0; how < CASES; how++) {
        struct grove g;
        init(&g);
        if (how == UNKNOWN)
            g.caller = 0;
        assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
        if (how == REFUSED)
            assert_int_equal(grove_save(&g, PATH, "not JSON"), -EINVAL);
        if (how == SAVED)
            assert_int_equal(grove_save(&g, PATH, FRENCH), 0);
        if (how == BY_OTHERS)
            g.caller = grove_process(&g);
        world_asked(&g.w);
        assert_int_equal(grove_unlink(&g, PATH), 0);
        check_sent(&g.w, how == REFUSED ? "" : "DELETE /api/contacts/5\n");
        if (how == REFUSED) {
            assert_int_equal(grove_rename(&g, "contacts/5.json~", PATH), 0);
            check_sent(&g.w, "");
            assert_int_equal(grove_path(&g, "contacts/5.json~"), -ENOENT);
            assert_int_equal(grove_unlink(&g, PATH), 0); /* all is as before */
            check_sent(&g.w, "DELETE /api/contacts/5\n");
        }
        grove_finish(&g);
    }
}

/* truncate(2) of the file that a record was renamed to did not count as a change: renamed back, it
 * was taken for the old one, and what was left of the text was neither sent nor kept. */
static void test_cut_and_renamed_back(void **state UNUSED)
{
    struct grove g;
    init(&g);
    assert_int_equal(grove_rename(&g, PATH, "contacts/5.json~"), 0);
    world_advance(&g.w, 1000);
    assert_int_equal(grove_truncate_path(&g, "contacts/5.json~", 3), 0);
    assert_int_equal(grove_path(&g, "contacts/5.json~"), 0);
    assert_int_equal(g.attr.size, 3);
    assert_int_equal(g.attr.mtime_ns, clock_wall_ns(&g.w.clock.clock));
    assert_int_equal(grove_rename(&g, "contacts/5.json~", PATH), -EINVAL);
    check_kept(&g.w, "drafts/" PATH, "{\n ");
    check_sent(&g.w, "");
    grove_finish(&g);
}

/* What is written while the rename is under way is new. */
static void test_written_meanwhile(void **state UNUSED)
{
    struct grove g;
    struct tree_file *file;
    struct grove_call call;
    init(&g);
    assert_int_equal(grove_open_path(&g, "contacts/.s", O_WRONLY | O_CREAT, &file), 0);
    assert_int_equal(grove_append(&g, file, FRENCH), 0);
    assert_int_equal(grove_read(&g, PATH), 0);
    g.w.delay_ms = 100;
    grove_begin_rename(&g, &call, "contacts/.s", PATH);
    world_turn(&g.w);
    assert_int_equal(grove_truncate(&g, file, 0), 0);
    assert_int_equal(grove_append(&g, file, "{\"locale\":\"de\"}"), 0);
    assert_int_equal(grove_wait(&call), 0);
    check_sent(&g.w, SENT(FRENCH));
    assert_int_equal(grove_sync(&g, file), 0);
    check_sent(&g.w, SENT("{\"locale\":\"de\"}"));
    tree_close(g.tree, file);
    grove_finish(&g);
}

/* A rename that is refused leaves the text where it was, and as a draft under the name it was for.
 */
static void test_rename_refused(void **state UNUSED)
{
    struct grove g;
    init(&g);
    save_scratch(&g, "contacts/.s", "{\"email\":\"x@example.com\"}");
    assert_int_equal(grove_rename(&g, "contacts/.s", PATH), -EINVAL);
    check_sent(&g.w, "");
    check_kept(&g.w, "drafts/" PATH, "{\"email\":\"x@example.com\"}");
    assert_int_equal(grove_read(&g, "contacts/.s"), 0);
    assert_string_equal(g.text, "{\"email\":\"x@example.com\"}");
    save_scratch(&g, "contacts/.s", FRENCH);
    assert_int_equal(grove_rename(&g, "contacts/.s", PATH), 0);
    check_sent(&g.w, SENT(FRENCH));
    check_kept(&g.w, "drafts/" PATH, NULL);
    grove_finish(&g);
}

/* What is written through a descriptor that is still open after the rename is a save of what it has
 * become; nothing new is made. */
static void test_renamed_open(void **state UNUSED)
{
    static const struct {
        const char *to, *first, *second;
    } rows[] = {
        {PATH, SENT(FRENCH), SENT("{\"locale\":\"de\"}")},
        {"contacts/x.json", "POST /api/contacts " FRENCH "\n",
         "PATCH /api/contacts/9001 {\"locale\":\"de\"}\n"},
        {"contacts/5/tags/9.json", "POST /api/contacts/5/tags {\"tagId\":9}\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct grove g;
        struct tree_file *file;
        init(&g);
        assert_int_equal(grove_open_path(&g, "contacts/.s", O_WRONLY | O_CREAT, &file), 0);
        assert_int_equal(grove_append(&g, file, FRENCH), 0);
        assert_int_equal(grove_rename(&g, "contacts/.s", rows[i].to), 0);
        assert_int_equal(grove_sync(&g, file), 0);
        check_sent(&g.w, rows[i].first);
        assert_int_equal(grove_truncate(&g, file, 0), 0);
        assert_int_equal(grove_append(&g, file, "{\"locale\":\"de\"}"), 0);
        int r = grove_sync(&g, file);
        const char *sent = world_sent(&g.w);
        if (rows[i].second)
            assert_int_equal(r, 0);
        if (rows[i].second ? strcmp(sent, rows[i].second) != 0 : strstr(sent, "/api/tags") != NULL)
            fail_msg("%s: %s", rows[i].to, sent);
        tree_close(g.tree, file);
        grove_finish(&g);
    }
}

/* ---- limits ---- */

static void test_limits(void **state UNUSED)
{
    struct grove g;
    struct tree_file *file;
    char path[64];
    init(&g);
    for (unsigned i = 0; i < 4096; i++) {
        snprintf(path, sizeof(path), "contacts/.%u", i);
        assert_int_equal(grove_open_path(&g, path, O_WRONLY | O_CREAT, &file), 0);
        tree_close(g.tree, file);
    }
    assert_int_equal(grove_open_path(&g, "contacts/.more", O_WRONLY | O_CREAT, &file), -ENOSPC);
    assert_int_equal(grove_symlink(&g, "x", "contacts/.more"), -ENOSPC);
    assert_int_equal(grove_unlink(&g, "contacts/.7"), 0);
    assert_int_equal(grove_path(&g, "contacts/.7"), -ENOENT);
    assert_int_equal(grove_list(&g, "contacts", 1000), 0);
    grove_finish(&g);

    /* All files together; one alone. */
    struct tree_file *files[5];
    size_t one = (size_t)64 << 20;
    init(&g);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(path, sizeof(path), "contacts/.%u", i);
        assert_int_equal(grove_open_path(&g, path, O_WRONLY | O_CREAT, &files[i]), 0);
        assert_int_equal(grove_truncate(&g, files[i], one + 1), -EFBIG);
        assert_int_equal(grove_truncate(&g, files[i], one), i < 4 ? 0 : -ENOSPC);
    }
    assert_int_equal(grove_append(&g, files[4], "x"), -ENOSPC);
    assert_int_equal(grove_truncate(&g, files[0], one - 1), 0);
    assert_int_equal(grove_append(&g, files[4], "x"), 0);
    for (unsigned i = 0; i < 5; i++)
        tree_close(g.tree, files[i]);
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_requests),
        cmocka_unit_test(test_made_name),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_removed_open),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rename),
        cmocka_unit_test(test_detached),
        cmocka_unit_test(test_renamed_back),
        cmocka_unit_test(test_cut_and_renamed_back),
        cmocka_unit_test(test_written_meanwhile),
        cmocka_unit_test(test_rename_refused),
        cmocka_unit_test(test_renamed_open),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
