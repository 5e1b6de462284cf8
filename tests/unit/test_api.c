/* api/api: the requests that rows become, and answers that are not what the API promises. */
#include "systemefs/api/api.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scripted.h"

#define KEY  "k3y-Secret"
#define UUID "01234567-89ab-cdef-0123-456789abcdef"

struct desk {
    struct clock_manual clock;
    struct scripted server;
    struct net *net;
    struct api *api;
    /* the last answer */
    unsigned dones;
    struct api_failure failure;
    size_t count;
    bool has_more;
    char record[256];
};

static void desk_init(struct desk *d, bool gateway, const char *connection)
{
    *d = (struct desk){0};
    clock_manual_init(&d->clock, 5000, 0);
    scripted_init(&d->server, &d->clock.clock);
    const struct net_options net = {.transport = &d->server.transport,
                                    .clock = &d->clock.clock,
                                    .jobs = 4};
    assert_int_equal(net_create(&net, &d->net), 0);
    const struct api_options api = {
        .net = d->net,
        .gateway = gateway,
        .api_url = gateway ? "https://gw.test/systeme" : "https://api.test",
        .ctrl_url = gateway ? "https://ctrl.test" : NULL,
        .connection = connection,
        .key = KEY,
    };
    assert_int_equal(api_create(&api, &d->api), 0);
}

static void desk_finish(struct desk *d)
{
    net_destroy(d->net);
    api_destroy(d->api);
    scripted_finish(&d->server);
}

static void on_done(void *data, const struct api_answer *answer)
{
    struct desk *d = data;
    d->dones++;
    d->failure = answer->failure;
    d->count = answer->count;
    d->has_more = answer->has_more;
    if (!answer->failure.error && answer->record.json.p)
        snprintf(d->record, sizeof(d->record), "%.*s", (int)answer->record.json.len,
                 answer->record.json.p);
}

static void turn(struct desk *d)
{
    for (int i = 0; i < 4; i++) {
        net_turn(d->net);
        scripted_turn(&d->server);
    }
}

static const struct scripted_request *last_request(struct desk *d)
{
    assert_true(d->server.count > 0);
    return &d->server.requests[d->server.count - 1];
}

static void get_record(struct desk *d, enum resource res, const char *id, const char *body)
{
    unsigned before = d->dones;
    scripted_expect(&d->server, HTTP_GET, "", &(struct scripted_answer){.body = body});
    assert_non_null(
        api_get_record(d->api, res, id, NET_PERSON, d->clock.mono_ms + 1000, on_done, d));
    assert_int_equal(d->dones, before); /* never from inside */
    turn(d);
    assert_int_equal(d->dones, before + 1);
}

static void get_page(struct desk *d, const struct api_query *query, const char *body)
{
    unsigned before = d->dones;
    scripted_expect(&d->server, HTTP_GET, "", &(struct scripted_answer){.body = body});
    assert_non_null(api_get_page(d->api, query, NET_LISTING, d->clock.mono_ms + 1000, on_done, d));
    turn(d);
    assert_int_equal(d->dones, before + 1);
}

static void test_headers(void **state UNUSED)
{
    struct desk d;
    desk_init(&d, false, NULL);
    get_record(&d, RES_TAG, "1", "{\"id\":1}");
    assert_string_equal(scripted_header(last_request(&d), "X-API-Key"), KEY);
    assert_string_equal(scripted_header(last_request(&d), "Accept"), "application/json");
    assert_null(scripted_header(last_request(&d), "Authorization"));
    assert_null(strstr(last_request(&d)->url, KEY));
    assert_int_equal(last_request(&d)->method, HTTP_GET);
    desk_finish(&d);

    desk_init(&d, true, "c0nn");
    get_record(&d, RES_TAG, "1", "{\"id\":1}");
    assert_string_equal(last_request(&d)->url, "https://gw.test/systeme/api/tags/1");
    assert_string_equal(scripted_header(last_request(&d), "Authorization"), "Bearer " KEY);
    assert_string_equal(scripted_header(last_request(&d), "Maton-Connection"), "c0nn");
    assert_null(scripted_header(last_request(&d), "X-API-Key"));
    /* The gateway's own API is about connections, not through one. */
    get_record(&d, RES_CONNECTION, UUID, "{\"connection\":{\"connection_id\":\"" UUID "\"}}");
    assert_string_equal(last_request(&d)->url, "https://ctrl.test/connections/" UUID);
    assert_null(scripted_header(last_request(&d), "Maton-Connection"));
    assert_string_equal(scripted_header(last_request(&d), "Authorization"), "Bearer " KEY);
    /* What wraps it has been taken off. */
    assert_string_equal(d.record, "{\"connection_id\":\"" UUID "\"}");
    desk_finish(&d);
}

static void test_urls(void **state UNUSED)
{
    static const struct {
        struct api_query query;
        const char *url, *items;
    } rows[] = {
        {{.res = RES_CONTACT, .filter = -1},
         "https://gw.test/systeme/api/contacts?limit=100",
         "items"},
        {{.res = RES_CONTACT, .filter = -1, .after = 9007199254740991},
         "https://gw.test/systeme/api/contacts?limit=100&startingAfter=9007199254740991",
         "items"},
        {{.res = RES_CONTACT, .filter = -1, .after = 5, .ascending = true},
         "https://gw.test/systeme/api/contacts?limit=100&order=asc&startingAfter=5",
         "items"},
        {{.res = RES_CONTACT, .filter = 0, .by = "7"},
         "https://gw.test/systeme/api/contacts?tags=7&limit=100",
         "items"},
        {{.res = RES_CONTACT, .filter = -1, .name = "a+b&c=d@x.com"},
         "https://gw.test/systeme/api/contacts?email=a%2Bb%26c%3Dd%40x.com&limit=100",
         "items"},
        {{.res = RES_ENROLLMENT, .filter = 1, .by = "8"},
         "https://gw.test/systeme/api/school/enrollments?contact=8&limit=100",
         "items"},
        {{.res = RES_FIELD, .filter = -1}, "https://gw.test/systeme/api/contact_fields", "items"},
        {{.res = RES_CONNECTION, .filter = -1},
         "https://ctrl.test/connections?app=systeme",
         "connections"},
    };
    struct desk d;
    desk_init(&d, true, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"%s\":[],\"hasMore\":false}", rows[i].items);
        get_page(&d, &rows[i].query, body);
        assert_string_equal(last_request(&d)->url, rows[i].url);
        assert_int_equal(d.failure.error, 0);
    }
    get_record(&d, RES_FIELD, "größe", "{\"slug\":\"größe\"}");
    assert_string_equal(last_request(&d)->url,
                        "https://gw.test/systeme/api/contact_fields/gr%C3%B6%C3%9Fe");
    desk_finish(&d);
}

/* Every row can be asked for, as a listing and by each of its filters. */
static void test_rows(void **state UNUSED)
{
    struct desk d;
    desk_init(&d, true, NULL);
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct resource_row *row = resource_row(res);
        char body[256], id[8 + RESOURCE_ID_TEXT_MAX];
        assert_true(api_has(d.api, res));
        const char *text = row->id_kind == ID_UUID ? UUID : row->id_kind == ID_SLUG ? "a_b" : "12";
        snprintf(id, sizeof(id), row->id_kind == ID_NUMBER ? "%s" : "\"%s\"", text);
        snprintf(body, sizeof(body), "{\"%s\":[{\"%s\":%s}],\"hasMore\":%s}", row->items_member,
                 row->id_member, id, row->paged ? "true" : "false");
        for (int filter = -1; filter < RESOURCE_FILTERS; filter++) {
            if (filter >= 0 && !row->filters[filter].param)
                continue;
            get_page(&d, &(struct api_query){.res = res, .filter = filter, .by = "3"}, body);
            if (d.failure.error)
                fail_msg("%s: %s", row->name, d.failure.message);
            assert_int_equal(d.count, 1);
            assert_int_equal(d.has_more, row->paged);
            assert_int_equal(strstr(last_request(&d)->url, "limit=100") != NULL, row->paged);
        }
    }
    desk_finish(&d);
    desk_init(&d, false, NULL);
    for (enum resource res = 0; res < RES_COUNT; res++)
        assert_int_equal(api_has(d.api, res), resource_row(res)->host == HOST_API);
    desk_finish(&d);
}

static void test_bad_records(void **state UNUSED)
{
    static const char *const bad[] = {
        "",
        "not JSON",
        "{\"id\":1",
        "{\"id\":1}}",
        "[]",
        "[{\"id\":1}]",
        "\"1\"",
        "null",
        "{}",
        "{\"Id\":1}",
        "{\"id\":\"1\"}",
        "{\"id\":null}",
        "{\"id\":0}",
        "{\"id\":-1}",
        "{\"id\":1.0}",
        "{\"id\":1e2}",
        "{\"id\":[1]}",
        "{\"id\":9007199254740992}",
        "{\"id\":99999999999999999999}",
        "{\"record\":{\"id\":1}}",
        "\xef\xbb\xbf{\"id\":1}",
        "{\"id\":1,\"name\":\"\xff\"}",
    };
    struct desk d;
    desk_init(&d, false, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        get_record(&d, RES_TAG, "1", bad[i]);
        if (d.failure.error != -EBADMSG)
            fail_msg("'%s' passes for a record", bad[i]);
        assert_true(d.failure.number > 0);
        assert_false(d.failure.away);
        assert_non_null(strstr(d.failure.message, "not what the API promises"));
    }
    get_record(&d, RES_TAG, "1", " {\"id\": 9007199254740991} \n");
    assert_int_equal(d.failure.error, 0);
    desk_finish(&d);
}

static void test_bad_pages(void **state UNUSED)
{
    static const struct {
        enum resource res;
        const char *body;
    } bad[] = {
        {RES_TAG, ""},
        {RES_TAG, "[]"},
        {RES_TAG, "{}"},
        {RES_TAG, "{\"items\":null,\"hasMore\":false}"},
        {RES_TAG, "{\"items\":{},\"hasMore\":false}"},
        {RES_TAG, "{\"items\":[]}"},
        {RES_TAG, "{\"items\":[],\"hasMore\":0}"},
        {RES_TAG, "{\"items\":[],\"hasMore\":\"false\"}"},
        {RES_TAG, "{\"items\":[],\"hasMore\":true}"},
        {RES_TAG, "{\"items\":[1],\"hasMore\":false}"},
        {RES_TAG, "{\"items\":[{\"id\":1},{}],\"hasMore\":false}"},
        {RES_TAG, "{\"items\":[{\"id\":1},null],\"hasMore\":false}"},
        {RES_TAG, "{\"hydra:member\":[{\"id\":1}],\"hasMore\":false}"},
        {RES_WEBHOOK, "{\"items\":[{\"id\":1}]}"},
        {RES_WEBHOOK, "{\"items\":[],\"hasMore\":true}"},
        {RES_FIELD, "{\"items\":[{\"slug\":\"a/b\"}]}"},
        {RES_FIELD, "{\"items\":[{\"slug\":\"a\\u0000b\"}]}"},
        {RES_FIELD, "{\"items\":[{\"slug\":\"\"}]}"},
    };
    struct desk d;
    desk_init(&d, false, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        get_page(&d, &(struct api_query){.res = bad[i].res, .filter = -1}, bad[i].body);
        if (d.failure.error != -EBADMSG)
            fail_msg("'%s' passes for a page", bad[i].body);
    }
    /* hasMore means nothing where there are no pages; it may be there or not. */
    get_page(&d, &(struct api_query){.res = RES_FIELD, .filter = -1},
             "{\"items\":[{\"slug\":\"a\"}]}");
    assert_int_equal(d.failure.error, 0);
    assert_int_equal(d.count, 1);
    get_page(&d, &(struct api_query){.res = RES_FIELD, .filter = -1},
             "{\"items\":[],\"hasMore\":false}");
    assert_int_equal(d.failure.error, 0);
    desk_finish(&d);
}

/* A record larger than the cap is refused; one just below is taken. */
static void test_size(void **state UNUSED)
{
    struct desk d;
    desk_init(&d, false, NULL);
    for (int over = 0; over < 2; over++) {
        size_t len = API_TEXT_MAX + (size_t)over;
        char *text = malloc(len + 1);
        memset(text, 'x', len);
        text[len] = '\0';
        memcpy(text, "{\"id\":1,\"n\":\"", 13);
        memcpy(text + len - 2, "\"}", 2);
        get_record(&d, RES_TAG, "1", text);
        assert_int_equal(d.failure.error, over ? -EBADMSG : 0);
        free(text);
    }
    desk_finish(&d);
}

/* A server that repeats the key must not get it into a record, a message or a log. */
static void test_redaction(void **state UNUSED)
{
    struct desk d;
    desk_init(&d, false, NULL);
    get_record(&d, RES_TAG, "1", "{\"id\":1,\"a\":\"" KEY "\",\"b\":\"x" KEY KEY "\"}");
    assert_null(strstr(d.record, KEY));
    assert_string_equal(d.record,
                        "{\"id\":1,\"a\":\"**********\",\"b\":\"x********************\"}");
    /* Among its own beginnings and other escapes. */
    char text[256], spelled[16], start[] = {KEY[0], '\0'};
    snprintf(spelled, sizeof(spelled), "\\u%04x%s", (unsigned char)KEY[0], &KEY[1]);
    snprintf(text, sizeof(text), "{\"id\":1,\"%s\":\"\\n%s\\t\\n%s\\\\%s%s%s\"}", start, start,
             spelled, start, KEY, start);
    get_record(&d, RES_TAG, "1", text);
    snprintf(text, sizeof(text), "{\"id\":1,\"%s\":\"\\n%s\\t\\n%s\\\\%s%s%s\"}", start, start,
             "***************", start, "**********", start);
    assert_string_equal(d.record, text);

    scripted_expect(&d.server, HTTP_GET, "",
                    &(struct scripted_answer){.status = 401,
                                              .body = "{\"detail\":\"bad " KEY "\"}"});
    api_get_record(d.api, RES_TAG, "1", NET_PERSON, d.clock.mono_ms + 1000, on_done, &d);
    turn(&d);
    assert_int_equal(d.failure.error, -EKEYREJECTED);
    assert_string_equal(d.failure.message, "HTTP 401: bad **********");
    desk_finish(&d);
}

/* A 404 means no record for a record, and no such collection for a listing. */
static void test_not_found(void **state UNUSED)
{
    struct desk d;
    desk_init(&d, false, NULL);
    scripted_always(&d.server, HTTP_GET, "", &(struct scripted_answer){.status = 404});
    api_get_record(d.api, RES_TAG, "1", NET_PERSON, d.clock.mono_ms + 1000, on_done, &d);
    turn(&d);
    assert_int_equal(d.failure.error, -ENOENT);
    api_get_page(d.api, &(struct api_query){.res = RES_TAG, .filter = -1}, NET_LISTING,
                 d.clock.mono_ms + 1000, on_done, &d);
    turn(&d);
    assert_int_equal(d.failure.error, -EOPNOTSUPP);
    desk_finish(&d);
}

/* After cancel there is no done; before, during the wait, and while it is on the wire. */
static void test_cancel(void **state UNUSED)
{
    struct desk d;
    desk_init(&d, false, NULL);
    scripted_always(&d.server, HTTP_GET, "",
                    &(struct scripted_answer){.body = "{\"id\":1}", .delay_ms = 50});
    struct api_call *c =
        api_get_record(d.api, RES_TAG, "1", NET_PERSON, d.clock.mono_ms + 1000, on_done, &d);
    api_cancel(d.api, c);
    turn(&d);
    assert_int_equal(d.server.count, 0);
    c = api_get_record(d.api, RES_TAG, "1", NET_AHEAD, d.clock.mono_ms + 1000, on_done, &d);
    turn(&d);
    assert_int_equal(d.server.count, 1);
    api_urge(d.api, c, NET_PERSON, d.clock.mono_ms + 2000);
    api_cancel(d.api, c);
    assert_true(d.server.requests[0].cancelled);
    clock_manual_advance(&d.clock, 100);
    turn(&d);
    assert_int_equal(d.dones, 0);
    desk_finish(&d);
}

static void collect(void *data, struct json value)
{
    struct buf *out = data;
    buf_append(out, value.p, value.len);
    buf_append_byte(out, ' ');
}

static void test_members(void **state UNUSED)
{
    static const char text[] = "{\"id\":4,\"course\":{\"id\":7,\"x\":{\"id\":9}},"
                               "\"tags\":[{\"id\":1},{\"name\":\"n\"},3,{\"id\":2}],\"none\":null}";
    static const struct {
        const char *path, *found;
    } rows[] = {
        {"id", "4 "},    {"course.id", "7 "}, {"course.x.id", "9 "}, {"tags[].id", "1 2 "},
        {"tags.id", ""}, {"none.id", ""},     {"none[].id", ""},     {"nowhere.id", ""},
    };
    struct json v;
    assert_int_equal(json_check(text, sizeof(text) - 1, &v, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf out;
        buf_init(&out, 100);
        buf_append_str(&out, "");
        api_member_each(v, rows[i].path, collect, &out);

        assert_string_equal(out.data ? out.data : "", rows[i].found);
        buf_finish(&out);
    }
}

static void test_ids(void **state UNUSED)
{
    static const struct {
        enum resource res;
        const char *text, *id; /* NULL: none */
    } rows[] = {
        {RES_CONTACT, "{\"id\":1}", "1"},
        {RES_CONTACT, "{\"id\":9007199254740991}", "9007199254740991"},
        {RES_CONTACT, "{\"id\":9007199254740992}", NULL},
        {RES_CONTACT, "{\"id\":\"1\"}", NULL},
        {RES_FIELD, "{\"slug\":\"first_name\",\"id\":5}", "first_name"},
        {RES_FIELD, "{\"slug\":5}", NULL},
        {RES_WEBHOOK, "{\"id\":\"" UUID "\"}", UUID},
        {RES_WEBHOOK, "{\"id\":\"x\"}", NULL},
        {RES_CONNECTION, "{\"connection_id\":\"" UUID "\"}", UUID},
        {RES_CONNECTION, "{\"id\":\"" UUID "\"}", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char id[RESOURCE_ID_TEXT_MAX + 1];
        struct json v;
        assert_int_equal(json_check(rows[i].text, strlen(rows[i].text), &v, NULL), 0);
        assert_int_equal(api_record_id(rows[i].res, v, id), rows[i].id != NULL);
        if (rows[i].id)
            assert_string_equal(id, rows[i].id);
    }
    /* Longer than any id: must not be written past the end of `out`. */
    char text[256], id[RESOURCE_ID_TEXT_MAX + 1];
    struct json v;
    snprintf(text, sizeof(text), "{\"slug\":\"%0200d\"}", 7);
    assert_int_equal(json_check(text, strlen(text), &v, NULL), 0);
    assert_false(api_record_id(RES_FIELD, v, id));
}

/* ---- changes ---- */

static void change(struct desk *d, const struct api_change *change)
{
    unsigned before = d->dones;
    d->record[0] = '\0';
    assert_non_null(api_change(d->api, change, d->clock.mono_ms + 30000, on_done, d));
    assert_int_equal(d->dones, before); /* never from inside */
    for (int i = 0; d->dones == before; i++) {
        turn(d);
        int64_t next = MIN(net_next_ms(d->net), scripted_next_ms(&d->server));
        if (d->dones == before && next > d->clock.mono_ms && next < INT64_MAX)
            clock_manual_advance(&d->clock, next - d->clock.mono_ms);
        assert_true(i < 1000);
    }
    assert_int_equal(d->dones, before + 1);
}

static void test_change(void **state UNUSED)
{
    static const struct {
        enum http_method method;
        const char *type, *answer;
        int status;
    } rows[] = {
        {HTTP_POST, "application/json", "{\"id\":5}", 201},
        {HTTP_PUT, "application/json", "{\"id\":5}", 200},
        {HTTP_PATCH, "application/merge-patch+json", "{\"id\":5}", 200},
        {HTTP_POST, "application/json", "", 204},
        {HTTP_POST, "application/json", "{\"queued\":true}", 202},
        {HTTP_DELETE, NULL, "", 204},
        {HTTP_DELETE, NULL, "not even JSON", 200},
    };
    struct desk d;
    desk_init(&d, true, "c0nn");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool record = rows[i].status <= 201 && rows[i].method != HTTP_DELETE;
        const char *body = rows[i].type ? "{\"name\":\"a\"}" : NULL;
        scripted_expect(&d.server, rows[i].method, "/systeme/api/tags/5",
                        &(struct scripted_answer){.status = rows[i].status,
                                                  .body = rows[i].answer});
        change(&d, &(struct api_change){.res = RES_TAG,
                                        .method = rows[i].method,
                                        .path = "/api/tags/5",
                                        .body = body,
                                        .body_len = body ? strlen(body) : 0});
        assert_int_equal(d.failure.error, 0);
        assert_string_equal(d.record, record ? "{\"id\":5}" : "");
        const struct scripted_request *r = last_request(&d);
        assert_string_equal(scripted_header(r, "Authorization"), "Bearer " KEY);
        assert_string_equal(scripted_header(r, "Maton-Connection"), "c0nn");
        if (!body) {
            assert_null(r->body);
            assert_null(scripted_header(r, "Content-Type"));
            continue;
        }
        assert_string_equal(r->body, body);
        assert_string_equal(scripted_header(r, "Content-Type"), rows[i].type);
    }
    /* How the gateway answers a POST of its own is documented nowhere: wrapped, or bare. */
    static const char *const made[] = {"{\"connection\":{\"connection_id\":\"" UUID "\"}}",
                                       "{\"connection_id\":\"" UUID "\"}"};
    for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
        scripted_expect(&d.server, HTTP_POST, "https://ctrl.test/connections",
                        &(struct scripted_answer){.status = 200, .body = made[i]});
        change(&d, &(struct api_change){.res = RES_CONNECTION,
                                        .method = HTTP_POST,
                                        .path = "/connections",
                                        .body = "{}",
                                        .body_len = 2});
        assert_int_equal(d.failure.error, 0);
        assert_string_equal(d.record, "{\"connection_id\":\"" UUID "\"}");
        assert_null(scripted_header(last_request(&d), "Maton-Connection"));
    }
    desk_finish(&d);
}

/* How often a change is sent that fails in each way, and whether it may have been carried out. */
static void test_change_fails(void **state UNUSED)
{
    static const struct scripted_answer refused = {.status = 422, .body = "{\"detail\":\"no\"}"};
    static const struct scripted_answer failing = {.status = 500};
    static const struct scripted_answer lost = {.failure = NET_LOST};
    static const struct scripted_answer unsent = {.failure = NET_LOST, .unsent = true};
    static const struct scripted_answer down = {.failure = NET_REFUSED};
    static const struct scripted_answer silent = {.never = true};
    static const struct scripted_answer garbage = {.status = 201, .body = "{\"id\":"};
    static const struct scripted_answer moved = {.status = 301};
    static const struct {
        enum http_method method;
        const struct scripted_answer *answer;
        size_t sent;
        int error;
        bool maybe;
    } rows[] = {
        {HTTP_POST, &refused, 1, -EINVAL, false},    {HTTP_PATCH, &refused, 1, -EINVAL, false},
        {HTTP_POST, &failing, 1, -EREMOTEIO, true},  {HTTP_PATCH, &failing, 4, -EREMOTEIO, true},
        {HTTP_PUT, &failing, 4, -EREMOTEIO, true},   {HTTP_DELETE, &failing, 4, -EREMOTEIO, true},
        {HTTP_POST, &lost, 1, -EREMOTEIO, true},     {HTTP_PATCH, &lost, 4, -EREMOTEIO, true},
        {HTTP_DELETE, &lost, 4, -EREMOTEIO, true},   {HTTP_POST, &unsent, 4, -EREMOTEIO, false},
        {HTTP_POST, &down, 2, -ECONNREFUSED, false}, {HTTP_DELETE, &down, 2, -ECONNREFUSED, false},
        {HTTP_POST, &silent, 1, -ETIMEDOUT, true},   {HTTP_PATCH, &silent, 1, -ETIMEDOUT, true},
        {HTTP_POST, &garbage, 1, -EBADMSG, true},    {HTTP_PATCH, &garbage, 1, -EBADMSG, true},
        {HTTP_POST, &moved, 1, -EBADMSG, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct desk d;
        desk_init(&d, false, NULL);
        scripted_always(&d.server, rows[i].method, "", rows[i].answer);
        change(&d, &(struct api_change){.res = RES_TAG,
                                        .method = rows[i].method,
                                        .path = "/api/tags/5",
                                        .body = "{}",
                                        .body_len = 2});
        bool says = strstr(d.failure.message, "it may have been carried out") != NULL;
        if (d.server.count != rows[i].sent || d.failure.error != rows[i].error ||
            d.failure.maybe != rows[i].maybe || says != rows[i].maybe)
            fail_msg("row %zu: sent %zu times, %s", i, d.server.count, d.failure.message);
        desk_finish(&d);
    }
}

/* A DELETE whose answer was lost meets 404 when it is repeated: it has succeeded. One that meets it
 * at once has not. */
static void test_delete_again(void **state UNUSED)
{
    const struct api_change delete = {.res = RES_TAG, .method = HTTP_DELETE, .path = "/api/tags/5"};
    struct desk d;
    desk_init(&d, false, NULL);
    scripted_expect(&d.server, HTTP_DELETE, "", &(struct scripted_answer){.failure = NET_LOST});
    scripted_expect(&d.server, HTTP_DELETE, "", &(struct scripted_answer){.status = 404});
    change(&d, &delete);
    assert_int_equal(d.server.count, 2);
    assert_int_equal(d.failure.error, 0);
    assert_true(d.failure.number > 0);
    scripted_expect(&d.server, HTTP_DELETE, "", &(struct scripted_answer){.status = 404});
    change(&d, &delete);
    assert_int_equal(d.failure.error, -ENOENT);
    assert_false(d.failure.maybe);
    desk_finish(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),      cmocka_unit_test(test_urls),
        cmocka_unit_test(test_rows),         cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_bad_pages),    cmocka_unit_test(test_size),
        cmocka_unit_test(test_redaction),    cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_members),
        cmocka_unit_test(test_ids),          cmocka_unit_test(test_change),
        cmocka_unit_test(test_change_fails), cmocka_unit_test(test_delete_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
