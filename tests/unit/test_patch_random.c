/*
 * codec/patch: what must hold of any edit. Records are numbers here (which value each member, pair
 * and tag has); they are written as texts in random spellings, and what comes out is applied with
 * cJSON and read back. Each failing check names its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>
#include <cjson/cJSON.h>

#include "systemefs/base/rng.h"
#include "systemefs/codec/patch.h"

#define SEEDS    20000
#define TEXT_MAX ((size_t)1 << 20)
#define PAIRS    4
#define TAGS     5

/* Atoms: what is changed as one. Two members, and pairs; the first pair has an alias. */
#define ATOMS (2 + PAIRS)

#define check_that(seed, condition)                                                                \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %llu: %s", (unsigned long long)(seed), #condition);                     \
    } while (0)

static const struct patch_member table[] = {
    {.name = "m0", .kind = PATCH_VALUE, .save = true},
    {.name = "m1", .kind = PATCH_VALUE, .save = true},
    {.name = "fields", .kind = PATCH_PAIRS, .save = true},
    {.name = "tags", .kind = PATCH_SET, .save = true},
    {.name = "alias", .kind = PATCH_ALIAS, .save = true, .slug = "p0"},
    {.name = "events", .kind = PATCH_EVENTS, .save = true},
    {.name = "id", .kind = PATCH_SERVER},
    {0},
};

/* Values in their spellings; the first one has no text. */
static const char *const values[][3] = {
    {NULL},
    {"null", " null", "null\n"},
    {"\"x\"", "\"\\u0078\"", " \"x\" "},
    {"\"\xc3\xa9\\n/\"", "\"\\u00E9\\u000a\\/\"", "\"\xc3\xa9\\u000A/\""},
    {"[1,2]", "[ 1,2 ]", "[1 ,\t2]"},
    {"[2,1]", "[ 2,1]", "[2,\n1]"},
    {"{\"a\":{\"b\":1,\"c\":[]},\"d\":\"e\"}", "{\"d\":\"e\",\"a\":{\"c\":[ ],\"\\u0062\":1}}",
     "{ \"d\":\"\\u0065\",\"a\":{\"b\":1,\"c\":[]}}"},
};
#define ABSENT 0
#define NONE   1

struct record {
    unsigned atom[ATOMS]; /* index of values */
    unsigned tags;        /* a bit each */
};

/* What mine says; the rest it leaves out. */
struct edit {
    struct record to;
    bool atom[ATOMS], alias, fields, tags;
};

struct parts {
    char text[16][512];
    size_t count;
};

static unsigned below(struct rng *rng, unsigned n)
{
    return (unsigned)rng_below(rng, n);
}

static const char *spelling(struct rng *rng, unsigned value)
{
    return values[value][below(rng, 3)];
}

/* "open part,part close", the parts in any order. */
static void put_shuffled(struct rng *rng, struct parts *p, const char *open, const char *close,
                         struct buf *out)
{
    buf_append_str(out, open);
    for (size_t n = p->count; n > 0; n--) {
        size_t i = rng_below(rng, n);
        buf_append_str(out, p->text[i]);
        buf_append_str(out, n > 1 ? ", " : "");
        memmove(p->text[i], p->text[n - 1], sizeof(p->text[i]));
    }
    buf_append_str(out, close);
}

#define ADD(parts, ...)                                                                            \
    snprintf((parts)->text[(parts)->count++], sizeof((parts)->text[0]), __VA_ARGS__)

static void add_list(struct rng *rng, struct parts *to, const char *name, struct parts *list)
{
    struct buf b CLEANUP(buf_cleanup);
    buf_init(&b, TEXT_MAX);
    put_shuffled(rng, list, "[", "]", &b);
    ADD(to, "\"%s\":%.480s", name, b.data);
}

static void put_record(struct rng *rng, const struct record *r, struct buf *out)
{
    struct parts all = {0}, pairs = {0}, tags = {0};
    ADD(&all, "\"id\":7");
    for (unsigned a = 0; a < ATOMS; a++) {
        if (r->atom[a] == ABSENT)
            continue;
        if (a < 2)
            ADD(&all, "\"m%u\":%s", a, spelling(rng, r->atom[a]));
        else
            ADD(&pairs, "{\"fieldName\":\"F%u\",\"slug\":\"p%u\",\"value\":%s}", a - 2, a - 2,
                spelling(rng, r->atom[a]));
    }
    for (unsigned t = 0; t < TAGS; t++)
        if (r->tags >> t & 1)
            ADD(&tags, "{\"id\":%u,\"name\":\"t%u\"}", t + 1, t);
    add_list(rng, &all, "fields", &pairs);
    add_list(rng, &all, "tags", &tags);
    put_shuffled(rng, &all, "{", "}", out);
}

/* One of the ways to say that a tag is wanted, or all: its id alone and its name alone are known to
 * be one tag only where they stand together too. */
static void add_tag(struct rng *rng, struct parts *tags, unsigned t)
{
    unsigned way = below(rng, 6);
    if (way == 0 || way == 5)
        ADD(tags, "%u", t + 1);
    if (way == 1 || way == 5)
        ADD(tags, "\"\\u0074%u\"", t);
    if (way == 2)
        ADD(tags, "{\"id\":%u}", t + 1);
    if (way == 3)
        ADD(tags, "{\"name\":\"t%u\",\"id\":null}", t);
    if (way >= 4)
        ADD(tags, "{\"name\":\"t%u\",\"id\":%u,\"createdAt\":1}", t, t + 1);
}

static void put_edit(struct rng *rng, const struct edit *e, const struct record *base,
                     struct buf *out)
{
    struct parts all = {0}, pairs = {0}, tags = {0};
    if (below(rng, 2))
        ADD(&all, "\"id\":7");
    for (unsigned a = 0; a < ATOMS; a++) {
        const char *value = spelling(rng, e->to.atom[a]);
        if (a < 2 && e->atom[a])
            ADD(&all, "\"m\\u003%u\" :%s", a, value);
        else if (e->atom[a] && base->atom[a] != ABSENT && below(rng, 2))
            ADD(&pairs, "{\"slug\":\"p%u\",\"value\":%s,\"fieldName\":\"\\u0046%u\"}", a - 2, value,
                a - 2);
        else if (e->atom[a])
            ADD(&pairs, "{\"value\":%s,\"slug\":\"\\u0070%u\"}", value, a - 2);
    }
    for (unsigned t = 0; t < TAGS; t++)
        if (e->to.tags >> t & 1)
            add_tag(rng, &tags, t);
    if (e->alias)
        ADD(&all, "\"alias\":%s", spelling(rng, e->to.atom[2]));
    if (e->fields)
        add_list(rng, &all, "fields", &pairs);
    if (e->tags)
        add_list(rng, &all, "tags", &tags);
    put_shuffled(rng, &all, "{", "}", out);
}

static struct record random_record(struct rng *rng)
{
    struct record r = {.tags = below(rng, 1U << TAGS)};
    for (unsigned a = 0; a < ATOMS; a++)
        r.atom[a] = below(rng, ARRAY_SIZE(values));
    return r;
}

/* Some of it becomes something else. */
static struct record changed(struct rng *rng, struct record r)
{
    struct record other = random_record(rng);
    for (unsigned a = 0; a < ATOMS; a++)
        if (below(rng, 2))
            r.atom[a] = other.atom[a];
    if (below(rng, 3) == 0)
        r.tags = other.tags;
    return r;
}

static struct edit random_edit(struct rng *rng, const struct record *base)
{
    struct edit e = {.to = below(rng, 5) ? changed(rng, *base) : *base,
                     .fields = below(rng, 5),
                     .alias = below(rng, 3) == 0,
                     .tags = below(rng, 4)};
    for (unsigned a = 0; a < ATOMS; a++) {
        e.atom[a] = below(rng, 4) && (a < 2 || e.fields);
        if (e.to.atom[a] == ABSENT) /* left out is no wish */
            e.to.atom[a] = NONE;
    }
    return e;
}

/* ---- the other side of the API ---- */

static cJSON *pair_of(const cJSON *fields, const char *slug)
{
    cJSON *pair;
    cJSON_ArrayForEach(pair, fields) if (strcmp(cJSON_GetObjectItem(pair, "slug")->valuestring,
                                                slug) == 0) return pair;
    return NULL;
}

static void apply_pair(cJSON *record, const cJSON *change)
{
    cJSON *fields = cJSON_GetObjectItemCaseSensitive(record, "fields");
    cJSON *pair = pair_of(fields, cJSON_GetObjectItem(change, "slug")->valuestring);
    if (pair)
        cJSON_ReplaceItemInObjectCaseSensitive(pair, "value",
                                               cJSON_Duplicate(cJSON_GetObjectItem(change, "value"),
                                                               true));
    else
        cJSON_AddItemToArray(fields, cJSON_Duplicate(change, true));
}

/* RFC 7396 for the flat members, by slug for pairs. */
static void apply(cJSON *record, const cJSON *patch)
{
    const cJSON *m, *pair;
    cJSON_ArrayForEach(m, patch)
    {
        if (strcmp(m->string, "fields") == 0) {
            cJSON_ArrayForEach(pair, m) apply_pair(record, pair);
            continue;
        }
        cJSON_DeleteItemFromObjectCaseSensitive(record, m->string);
        if (!cJSON_IsNull(m))
            cJSON_AddItemToObject(record, m->string, cJSON_Duplicate(m, true));
    }
}

static unsigned value_index(const cJSON *v)
{
    for (unsigned i = NONE; v && i < ARRAY_SIZE(values); i++) {
        cJSON *known = cJSON_Parse(values[i][0]);
        bool same = cJSON_Compare(v, known, true);
        cJSON_Delete(known);
        if (same)
            return i;
    }
    return NONE; /* what is absent is null */
}

static struct record read_back(const cJSON *record)
{
    struct record r = {0};
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(record, "fields");
    for (unsigned a = 0; a < ATOMS; a++) {
        char name[8];
        snprintf(name, sizeof(name), "%c%u", a < 2 ? 'm' : 'p', a < 2 ? a : a - 2);
        const cJSON *from = a < 2 ? record : pair_of(fields, name);
        r.atom[a] = value_index(cJSON_GetObjectItemCaseSensitive(from, a < 2 ? name : "value"));
    }
    return r;
}

/* ---- what must hold ---- */

static unsigned null_if_absent(unsigned value)
{
    return value == ABSENT ? NONE : value;
}

struct wish {
    struct record result;
    size_t changes;
    bool conflict;
};

/* The same as patch_diff(), of numbers. */
static struct wish wish_of(const struct record *base, const struct edit *e,
                           const struct record *server)
{
    struct wish wish = {.result = *server};
    for (unsigned a = 0; a < ATOMS; a++) {
        unsigned b = null_if_absent(base->atom[a]), m = e->to.atom[a];
        unsigned s = null_if_absent(server->atom[a]);
        bool given = e->atom[a] || (a == 2 && e->alias);
        wish.result.atom[a] = given && m != b ? m : s;
        wish.conflict = wish.conflict || (given && m != b && s != b && s != m);
        wish.changes += given && m != b && s == b;
    }
    if (e->tags)
        wish.result.tags =
            (server->tags & ~(base->tags & ~e->to.tags)) | (e->to.tags & ~base->tags);
    return wish;
}

static unsigned item_bit(const struct patch_item *item)
{
    int64_t id;
    for (unsigned t = 0; t < TAGS; t++) {
        char name[8];
        snprintf(name, sizeof(name), "t%u", t);
        if (item->id.len ? json_int64(item->id, &id) && id == t + 1
                         : json_string_equals(item->name, name))
            return 1U << t;
    }
    return 0;
}

/* Applies the items to the server's tags: none that changes nothing. */
static unsigned apply_items(uint64_t seed, const struct patch *p, unsigned tags)
{
    bool additions = false;
    for (size_t i = 0; i < patch_item_count(p); i++) {
        struct patch_item item = patch_item_at(p, i);
        unsigned bit = item_bit(&item);
        check_that(seed, bit && (tags & bit ? item.remove : !item.remove));
        check_that(seed, !item.remove || !additions);
        additions = !item.remove;
        tags ^= bit;
    }
    return tags;
}

static void check_patch(uint64_t seed, const struct patch *p, const struct wish *wish,
                        const char *server_text, unsigned server_tags)
{
    cJSON *server = cJSON_Parse(server_text), *body = cJSON_Parse(p->body.data);
    check_that(seed, server && body && p->changes == wish->changes);
    check_that(seed, wish->changes || strcmp(p->body.data, "{}") == 0);
    struct record before = read_back(server), after;
    apply(server, body);
    after = read_back(server);
    size_t needed = 0, there = 0;
    for (unsigned a = 0; a < ATOMS; a++) {
        check_that(seed, after.atom[a] == wish->result.atom[a]);
        needed += after.atom[a] != before.atom[a];
    }
    const cJSON *m;
    cJSON_ArrayForEach(m, body) there +=
        strcmp(m->string, "fields") == 0 ? (size_t)cJSON_GetArraySize(m) : 1;
    check_that(seed, needed == there && there == p->changes);
    check_that(seed, apply_items(seed, p, server_tags) == wish->result.tags);
    cJSON_Delete(server);
    cJSON_Delete(body);
}

static struct json checked(struct buf *text)
{
    struct json v;
    assert_int_equal(json_check(text->data, text->len, &v, NULL), 0);
    return v;
}

/* Counts, so that no kind of case is missing from the seeds. */
static struct {
    unsigned same, changed, conflicts, items;
} seen;

static void check_seed(uint64_t seed)
{
    struct rng rng = {.state = seed};
    struct buf base_text CLEANUP(buf_cleanup), mine_text CLEANUP(buf_cleanup);
    struct buf theirs_text CLEANUP(buf_cleanup);
    struct patch p;
    bool merge = below(&rng, 2);
    struct record base = random_record(&rng);
    struct edit edit = random_edit(&rng, &base);
    struct record server = merge ? changed(&rng, base) : base;
    struct wish wish = wish_of(&base, &edit, &server);
    buf_init(&base_text, TEXT_MAX);
    buf_init(&mine_text, TEXT_MAX);
    buf_init(&theirs_text, TEXT_MAX);
    put_record(&rng, &base, &base_text);
    put_edit(&rng, &edit, &base, &mine_text);
    put_record(&rng, &server, &theirs_text);

    patch_init(&p);
    int err = patch_diff(table, checked(&base_text), checked(&mine_text),
                         merge ? checked(&theirs_text) : (struct json){0}, &p);
    check_that(seed, err == (wish.conflict ? -ESTALE : 0));
    check_that(seed, (p.why[0] != '\0') == wish.conflict);
    if (!err)
        check_patch(seed, &p, &wish, theirs_text.data, server.tags);
    seen.conflicts += wish.conflict;
    seen.changed += !err && p.changes > 1;
    seen.items += !err && patch_item_count(&p) > 1;
    seen.same += !err && !p.changes && !patch_item_count(&p);
    patch_finish(&p);
}

static void test_edits(void **state UNUSED)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        check_seed(seed);
    assert_true(seen.same > SEEDS / 20 && seen.changed > SEEDS / 20);
    assert_true(seen.conflicts > SEEDS / 20 && seen.items > SEEDS / 20);
}

/* ---- events ---- */

#define EVENTS 4

/* Versions: 0 is any. */
#define NOT_THERE 9

static void put_events(struct rng *rng, const unsigned *version, bool server, struct buf *out)
{
    struct parts all = {0};
    for (unsigned e = 0; e < EVENTS; e++) {
        if (version[e] == NOT_THERE)
            continue;
        if (version[e] == 0 && below(rng, 2))
            ADD(&all, "\"\\u0065%u\"", e);
        else if (version[e] == 0)
            ADD(&all, "{\"event\":\"e%u\",\"schemaVersion\":null}", e);
        else
            ADD(&all, "{%s\"schemaVersion\":%u, \"event\":\"e%u\"}", server ? "\"id\":\"s\"," : "",
                version[e], e);
    }
    put_shuffled(rng, &all, "{\"events\":[", "]}", out);
}

/* The server's part: an event by its name alone keeps its version, or gets the newest. */
static void apply_events(const cJSON *body, unsigned *version)
{
    const cJSON *list = cJSON_GetObjectItem(body, "events"), *entry;
    if (!list)
        return;
    unsigned was[EVENTS];
    memcpy(was, version, sizeof(was));
    for (unsigned e = 0; e < EVENTS; e++)
        version[e] = NOT_THERE;
    cJSON_ArrayForEach(entry, list)
    {
        const cJSON *event = cJSON_GetObjectItem(entry, "event");
        unsigned e = (unsigned)((event ? event : entry)->valuestring[1] - '0');
        unsigned kept = was[e] == NOT_THERE ? 2 : was[e];
        version[e] = event ? (unsigned)cJSON_GetObjectItem(entry, "schemaVersion")->valueint : kept;
    }
}

static void test_event_sets(void **state UNUSED)
{
    unsigned same = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rng rng = {.state = seed};
        struct buf base_text CLEANUP(buf_cleanup), mine_text CLEANUP(buf_cleanup);
        struct patch p;
        unsigned base[EVENTS], mine[EVENTS], now[EVENTS];
        bool differ = false;
        for (unsigned e = 0; e < EVENTS; e++) {
            base[e] = below(&rng, 3) ? 1 + below(&rng, 2) : NOT_THERE;
            mine[e] = below(&rng, 3) ? base[e] : below(&rng, 2) ? below(&rng, 3) : NOT_THERE;
            if (mine[e] == base[e] && base[e] != NOT_THERE && below(&rng, 2))
                mine[e] = 0;
            differ = differ || (mine[e] != base[e] && (mine[e] || base[e] == NOT_THERE));
        }
        memcpy(now, base, sizeof(now));
        buf_init(&base_text, TEXT_MAX);
        buf_init(&mine_text, TEXT_MAX);
        put_events(&rng, base, true, &base_text);
        put_events(&rng, mine, false, &mine_text);
        patch_init(&p);
        check_that(seed, patch_diff(table, checked(&base_text), checked(&mine_text),
                                    (struct json){0}, &p) == 0);
        check_that(seed, (p.changes == 1) == differ && (strcmp(p.body.data, "{}") != 0) == differ);
        cJSON *body = cJSON_Parse(p.body.data);
        apply_events(body, now);
        for (unsigned e = 0; e < EVENTS; e++)
            check_that(seed, mine[e] ? now[e] == mine[e] : now[e] != NOT_THERE);
        cJSON_Delete(body);
        patch_finish(&p);
        same += !differ;
    }
    assert_true(same > SEEDS / 20 && same < SEEDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_event_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
