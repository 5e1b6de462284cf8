/* tree: reading directories. Cookies stand for entries, not for places: whatever happens to the
 * account between two calls, nothing is skipped and nothing comes twice. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world_tree.h"

#define TTL 60000

static void opendir_at(struct grove *g, const char *path, struct tree_dir **ret)
{
    struct op op = {0};
    assert_int_equal(grove_path(g, path), 0);
    op_begin(g->w.store, &op);
    assert_int_equal(tree_opendir(g->tree, &op, g->attr.ino, ret), 0);
    op_end(&op);
}

/* ---- a model of one reading ---- */

enum { IDS = 200 };

struct reading {
    bool always[IDS]; /* in the account from the beginning to the end */
    unsigned json[IDS], dir[IDS];
};

static void reading_begin(struct reading *m, const struct world *w, enum resource res)
{
    *m = (struct reading){0};
    for (size_t i = 0; i < w->tables[res].count; i++)
        m->always[w->tables[res].rows[i].number] = true;
}

static void put(struct grove *g, enum resource res, unsigned id)
{
    world_putf(&g->w, res, "{\"id\":%u,\"name\":\"n%u\",\"email\":\"n%u@x.org\"}", id, id, id);
}

static void toggle(struct grove *g, struct reading *m, enum resource res, unsigned id)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", id);
    struct world_table *t = &g->w.tables[res];
    for (size_t i = 0; i < t->count; i++)
        if (t->rows[i].number == id) {
            world_remove(&g->w, res, text);
            m->always[id] = false;
            return;
        }
    put(g, res, id);
}

/* Takes in what one readdir() gave. */
static void reading_take(struct reading *m, const char *names)
{
    for (const char *p = names; *p; p = strchr(p, '\n') + 1) {
        char *end;
        unsigned long id = strtoul(p, &end, 10);
        if (end == p)
            continue; /* a fixed child, "." or ".." */
        assert_true(id < IDS);
        if (strncmp(end, ".json\n", 6) == 0)
            m->json[id]++;
        else if (*end == '\n')
            m->dir[id]++;
    }
}

static void reading_check(const struct reading *m, bool dirs, const char *what)
{
    for (unsigned id = 0; id < IDS; id++) {
        if (m->json[id] > 1 || m->dir[id] > 1)
            fail_msg("%s: %u came twice", what, id);
        if (m->always[id] && (!m->json[id] || (dirs && !m->dir[id])))
            fail_msg("%s: %u was skipped", what, id);
    }
}

/* How a reader goes on after something has happened. */
enum onward {
    SAME_HANDLE,
    NEW_HANDLE,       /* as NFS does: a cookie, and a directory opened anew */
    NEW_HANDLE_LATER, /* past the TTL, so that another walk is read */
    ONWARD_COUNT,
};

static void go_on(struct grove *g, const char *path, enum onward onward, struct tree_dir **dir)
{
    if (onward == SAME_HANDLE)
        return;
    tree_closedir(g->tree, *dir);
    if (onward == NEW_HANDLE_LATER)
        world_advance(&g->w, TTL + 1);
    opendir_at(g, path, dir);
}

static int step(struct grove *g, struct tree_dir *dir, uint64_t *cookie, size_t room,
                struct reading *m)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    int n = grove_readdir(g, dir, cookie, room, &out);
    reading_take(m, out.data ? out.data : "");
    buf_finish(&out);
    return n;
}

/* At every position: the record just read, the next one, and others near go; some come. */
static void test_every_position(void **state UNUSED)
{
    static const struct {
        enum resource res;
        const char *path;
        bool dirs;
    } rows[] = {{RES_CONTACT, "contacts", false}, {RES_TAG, "tags", true}};
    enum { N = 30 };
    for (size_t row = 0; row < ARRAY_SIZE(rows); row++)
        for (enum onward onward = SAME_HANDLE; onward < ONWARD_COUNT; onward++)
            for (size_t position = 1; position < (rows[row].dirs ? 2 : 1) * N + 4; position++)
                for (int around = -2; around <= 2; around++) {
                    struct grove g;
                    struct reading m;
                    struct tree_dir *dir;
                    uint64_t cookie = 0;
                    char what[64];
                    enum resource res = rows[row].res;
                    snprintf(what, sizeof(what), "%s, way %d, position %zu, near %d",
                             rows[row].path, onward, position, around);
                    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
                    g.w.page_max = 7;
                    for (unsigned i = 1; i <= N; i++)
                        put(&g, res, i * 5);
                    reading_begin(&m, &g.w, res);
                    opendir_at(&g, rows[row].path, &dir);
                    size_t got = 0;
                    while (got < position) {
                        int n = step(&g, dir, &cookie, position - got, &m);
                        assert_true(n >= 0);
                        if (n == 0)
                            break;
                        got += (size_t)n;
                    }
                    uint64_t key = cookie >= 256 ? (cookie - 256) >> 1 : N * 5;
                    int64_t near = (int64_t)key + around * 5;
                    for (int64_t id = near; id <= near + 5; id += 5)
                        if (id > 0 && id <= N * 5)
                            toggle(&g, &m, res, (unsigned)id);
                    if (near > 2)
                        toggle(&g, &m, res, (unsigned)near - 2);
                    toggle(&g, &m, res, N * 5 + 3);
                    go_on(&g, rows[row].path, onward, &dir);
                    int n;
                    while ((n = step(&g, dir, &cookie, 4, &m)) > 0)
                        ;
                    assert_int_equal(n, 0);
                    reading_check(&m, rows[row].dirs, what);
                    tree_closedir(g.tree, dir);
                    grove_finish(&g);
                }
}

static void test_random(void **state UNUSED)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rng rng = {.state = seed};
        struct grove g;
        struct reading m;
        struct tree_dir *dir;
        uint64_t cookie = 0;
        char what[32];
        bool tags = rng_below(&rng, 2);
        enum resource res = tags ? RES_TAG : RES_CONTACT;
        const char *path = tags ? "tags" : "contacts";
        snprintf(what, sizeof(what), "seed %" PRIu64, seed);
        grove_init(&g, &(struct grove_options){.ttl_ms = rng_below(&rng, 3) ? TTL : 0});
        g.w.page_max = 1 + rng_below(&rng, 12);
        g.w.delay_ms = (int64_t)rng_below(&rng, 200);
        for (unsigned i = 1; i < IDS; i++)
            if (rng_below(&rng, 3) == 0)
                put(&g, res, i);
        reading_begin(&m, &g.w, res);
        opendir_at(&g, path, &dir);
        for (;;) {
            int n = step(&g, dir, &cookie, 1 + rng_below(&rng, 9), &m);
            assert_true(n >= 0);
            if (n == 0)
                break;
            for (uint64_t i = rng_below(&rng, 6); i > 0; i--)
                toggle(&g, &m, res, 1 + (unsigned)rng_below(&rng, IDS - 1));
            if (rng_below(&rng, 4) == 0)
                tree_refresh_all(g.tree);
            if (rng_below(&rng, 4) == 0)
                world_advance(&g.w, (int64_t)rng_below(&rng, 2 * TTL));
            if (rng_below(&rng, 4) == 0) {
                char id[16];
                snprintf(id, sizeof(id), "%" PRIu64, 1 + rng_below(&rng, IDS - 1));
                world_record(&g.w, res, id);
            }
            if (rng_below(&rng, 3) == 0) /* another reader, who may complete a walk */
                assert_int_equal(grove_list(&g, path, 50), 0);
            go_on(&g, path, (enum onward)rng_below(&rng, ONWARD_COUNT), &dir);
        }
        reading_check(&m, tags, what);
        tree_closedir(g.tree, dir);
        grove_finish(&g);
    }
}

/* Reading again from an earlier cookie gives the same again. */
static void test_seek(void **state UNUSED)
{
    struct grove g;
    struct tree_dir *dir;
    struct buf first, again;
    uint64_t cookies[64] = {0};
    size_t n = 0, ends[64] = {0};
    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
    g.w.page_max = 5;
    for (unsigned i = 1; i <= 12; i++)
        put(&g, RES_TAG, i);
    opendir_at(&g, "tags", &dir);
    buf_init(&first, 1 << 20);
    buf_init(&again, 1 << 20);
    for (;; n++) {
        cookies[n + 1] = cookies[n];
        if (grove_readdir(&g, dir, &cookies[n + 1], 1, &first) == 0)
            break;
        ends[n + 1] = first.len;
    }
    assert_int_equal(n, 2 + 1 + 24); /* with by-name */
    for (size_t from = n; from > 0; from--) {
        uint64_t cookie = cookies[from];
        buf_reset(&again);
        while (grove_readdir(&g, dir, &cookie, 3, &again) > 0)
            ;
        assert_string_equal(again.len ? again.data : "", first.data + ends[from]);
    }
    /* Rewound: what is true now. */
    put(&g, RES_TAG, 99);
    tree_refresh_all(g.tree);
    uint64_t cookie = 0;
    buf_reset(&again);
    while (grove_readdir(&g, dir, &cookie, 100, &again) > 0)
        ;
    assert_non_null(strstr(again.data, "99.json\n99\n"));
    tree_closedir(g.tree, dir);
    buf_finish(&first);
    buf_finish(&again);
    grove_finish(&g);
}

/* The first entries come after the first page; a search costs as many requests as pages. */
static void test_streaming(void **state UNUSED)
{
    struct grove g;
    struct tree_dir *dir;
    struct buf out;
    uint64_t cookie = 0;
    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
    world_fill(&g.w, RES_CONTACT, 1, 2000);
    opendir_at(&g, "contacts", &dir);
    buf_init(&out, 1 << 20);
    assert_int_equal(grove_readdir(&g, dir, &cookie, 3, &out), 3); /* ".", "..", by-email */
    assert_int_equal(world_requests(&g.w), 0);
    assert_int_equal(grove_readdir(&g, dir, &cookie, 1, &out), 1);
    assert_int_equal(g.runs, 2);
    buf_finish(&out);
    tree_closedir(g.tree, dir);
    assert_int_equal(grove_list(&g, "contacts", 37), 0);
    assert_int_equal(world_requests(&g.w), 20);
    assert_int_equal(grove_read(&g, "contacts/1.json"), 0);
    assert_int_equal(grove_read(&g, "contacts/2000.json"), 0);
    assert_int_equal(world_requests(&g.w), 20);
    grove_finish(&g);
}

/* A failing readdir fails: it never ends early as if the rest did not exist. */
static void test_failure(void **state UNUSED)
{
    struct grove g;
    struct tree_dir *dir;
    struct buf out;
    uint64_t cookie = 0;
    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
    world_fill(&g.w, RES_CONTACT, 1, 300);
    scripted_expect(&g.w.server, HTTP_GET, "startingAfter=201",
                    &(struct scripted_answer){.status = 403});
    opendir_at(&g, "contacts", &dir);
    buf_init(&out, 1 << 20);
    int n;
    while ((n = grove_readdir(&g, dir, &cookie, 10, &out)) > 0)
        ;
    assert_int_equal(n, -EACCES);
    /* Read on, it goes on where it was. */
    while ((n = grove_readdir(&g, dir, &cookie, 10, &out)) > 0)
        ;
    assert_int_equal(n, 0);
    unsigned lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.data[i] == '\n';
    assert_int_equal(lines, 303);
    buf_finish(&out);
    tree_closedir(g.tree, dir);
    g.w.status = 404;
    assert_int_equal(grove_list(&g, "courses", 10), -EOPNOTSUPP);
    assert_non_null(strstr(g.failure.message, "does not offer"));
    grove_finish(&g);
}

/* The API is away: the older listing is read rather than none. */
static void test_stale(void **state UNUSED)
{
    struct grove g;
    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
    world_fill(&g.w, RES_TAG, 1, 2);
    world_put(&g.w, RES_CONTACT, "{\"id\":5,\"tags\":[{\"id\":1}],\"fields\":[]}");
    assert_int_equal(grove_list(&g, "tags", 10), 0);
    assert_int_equal(grove_list(&g, "contacts/5/tags", 10), 0);
    assert_int_equal(grove_list(&g, "tags/by-name", 10), 0);
    world_advance(&g.w, TTL);
    g.w.failure = NET_UNREACHABLE;
    assert_int_equal(grove_list(&g, "tags", 10), 0);
    assert_string_equal(g.text, "by-name\n2.json\n2\n1.json\n1\n");
    assert_int_equal(grove_list(&g, "contacts/5/tags", 10), 0);
    assert_string_equal(g.text, "1.json\n");
    world_advance(&g.w, STORE_AWAY_MS);
    assert_int_equal(grove_list(&g, "tags/by-name", 10), 0);
    assert_string_equal(g.text, "tag-2.json\ntag-1.json\n");
    world_advance(&g.w, STORE_AWAY_MS);
    assert_int_equal(grove_list(&g, "tags", 10), 0);
    assert_int_equal(grove_list(&g, "courses", 10), -EHOSTUNREACH);
    grove_finish(&g);
}

/* It goes away in the middle: the older listing is read from there on. */
static void test_stale_in_the_middle(void **state UNUSED)
{
    struct grove g;
    struct tree_dir *dir;
    struct reading m;
    uint64_t cookie = 0;
    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
    g.w.page_max = 5;
    for (unsigned i = 1; i <= 60; i++)
        put(&g, RES_CONTACT, i);
    assert_int_equal(grove_list(&g, "contacts", 10), 0);
    world_advance(&g.w, TTL);
    reading_begin(&m, &g.w, RES_CONTACT);
    toggle(&g, &m, RES_CONTACT, 58); /* goes */
    toggle(&g, &m, RES_CONTACT, 70); /* comes */
    opendir_at(&g, "contacts", &dir);
    g.w.delay_ms = 100; /* so that not all of it is fetched ahead */
    int n;
    while (!m.json[70])
        assert_true(step(&g, dir, &cookie, 3, &m) > 0);
    g.w.failure = NET_REFUSED;
    while ((n = step(&g, dir, &cookie, 4, &m)) > 0)
        ;
    assert_int_equal(n, 0);
    assert_int_equal(m.json[70], 1);
    reading_check(&m, false, "away in the middle");
    tree_closedir(g.tree, dir);
    grove_finish(&g);
}

/* A cache on the way had answered with the first page, with records that were new. Then the API
 * went away: the older listing was read on from the place of those, and nearly all came twice. */
static void test_stale_in_another_order(void **state UNUSED)
{
    struct grove g;
    struct tree_dir *dir;
    struct reading m;
    uint64_t cookie = 0;
    static const char first[] = "{\"items\":[{\"id\":71},{\"id\":70}],\"hasMore\":true}";
    grove_init(&g, &(struct grove_options){.ttl_ms = TTL});
    g.w.page_max = 5;
    for (unsigned i = 1; i <= 60; i++)
        put(&g, RES_TAG, i);
    assert_int_equal(grove_list(&g, "tags", 10), 0);
    world_advance(&g.w, TTL);
    reading_begin(&m, &g.w, RES_TAG);
    opendir_at(&g, "tags", &dir);
    scripted_expect(&g.w.server, HTTP_GET, "=41", &(struct scripted_answer){.body = first});
    scripted_always(&g.w.server, HTTP_GET, "=70",
                    &(struct scripted_answer){.failure = NET_REFUSED});
    int n;
    while ((n = step(&g, dir, &cookie, 3, &m)) > 0)
        ;
    assert_int_equal(m.json[70], 1);
    for (unsigned id = 0; id < IDS; id++)
        assert_true(m.json[id] <= 1);
    assert_int_equal(n, -ECONNREFUSED);
    tree_closedir(g.tree, dir);
    grove_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_position),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_seek),
        cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_stale_in_the_middle),
        cmocka_unit_test(test_stale_in_another_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
