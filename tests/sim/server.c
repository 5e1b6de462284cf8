/* sim: what the server carries out, and the history of every record. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX ((size_t)8 << 20)

/* ---- records as text ---- */

static char *pretty_of(const char *text, size_t *ret_len)
{
    struct json v;
    struct buf out;
    buf_init(&out, BODY_MAX);
    assert_int_equal(json_check(text, strlen(text), &v, NULL), 0);
    json_pretty(v, &out);
    return buf_take(&out, ret_len);
}

char *record_value(const char *text, const char *member)
{
    struct json record, v, pairs, pair, slug;
    struct json_iter it;
    if (json_check(text, strlen(text), &record, NULL) < 0)
        return NULL;
    if (json_member(record, member, &v))
        return strndup(v.p, v.len);
    if (!json_member(record, "fields", &pairs))
        return NULL;
    json_iter_init(&it, pairs);
    while (json_iter_next(&it, NULL, &pair))
        if (json_member(pair, "slug", &slug) && json_string_equals(slug, member) &&
            json_member(pair, "value", &v))
            return strndup(v.p, v.len);
    return NULL;
}

/* ---- history ---- */

static uint64_t entity_key(enum resource res, const char *id)
{
    const uint64_t parts[] = {res, hash_bytes(id, strlen(id))};
    return hash_bytes(parts, sizeof(parts));
}

struct entity *server_find(struct sim *s, enum resource res, const char *id)
{
    return map_get(&s->by_id, entity_key(res, id));
}

static struct entity *entity_of(struct sim *s, enum resource res, const char *id)
{
    struct entity *e = server_find(s, res, id);
    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    if (s->entity_count % 64 == 0)
        s->entities = realloc(s->entities, (s->entity_count + 64) * sizeof(*s->entities));
    assert_true(e && s->entities);
    *e = (struct entity){.res = res, .born_ms = sim_now(s), .gone_ms = SIM_NEVER};
    e->bulk = res == RES_CONTACT && s->plan->bulk && strtoull(id, NULL, 10) > 100;
    snprintf(e->id, sizeof(e->id), "%s", id);
    assert_int_equal(map_put(&s->by_id, entity_key(res, id), e), 0);
    s->entities[s->entity_count++] = e;
    return e;
}

static void end_version(struct sim *s, struct entity *e)
{
    if (entity_now(e))
        e->versions[e->version_count - 1].to_ms = sim_now(s);
}

static void add_version(struct sim *s, struct entity *e, const char *text)
{
    end_version(s, e);
    e->versions = realloc(e->versions, (e->version_count + 1) * sizeof(*e->versions));
    assert_non_null(e->versions);
    struct version *v = &e->versions[e->version_count++];
    *v = (struct version){.text = strdup(text), .from_ms = sim_now(s), .to_ms = SIM_NEVER};
    v->pretty = pretty_of(text, &v->pretty_len);
}

void server_note(struct sim *s)
{
    s->compared++;
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const struct world_table *t = &s->w.tables[res];
        for (size_t i = 0; i < t->count; i++) {
            struct entity *e = entity_of(s, res, t->rows[i].id);
            const struct version *v = entity_now(e);
            e->met = s->compared;
            if (!v || strcmp(v->text, t->rows[i].text) != 0)
                add_version(s, e, t->rows[i].text);
        }
    }
    for (size_t i = 0; i < s->entity_count; i++) {
        struct entity *e = s->entities[i];
        if (e->met == s->compared || !entity_now(e))
            continue;
        end_version(s, e);
        e->gone_ms = sim_now(s);
    }
}

struct entity *server_any(struct sim *s, enum resource res, struct rng *rng, bool permanent)
{
    size_t count = 0;
    struct entity *found = NULL;
    for (size_t i = 0; i < s->entity_count; i++) {
        struct entity *e = s->entities[i];
        if (e->res == res && !e->bulk && entity_now(e) && e->permanent == permanent &&
            rng_below(rng, ++count) == 0)
            found = e;
    }
    return found;
}

/* ---- carrying out ---- */

static bool resource_of(const char *url, enum resource *ret)
{
    for (enum resource res = 0; res < RES_COUNT; res++) {
        const char *path = resource_row(res)->list_path, *at = strstr(url, path);
        size_t n = strlen(path);
        if (!at || !strchr("/?", at[n]))
            continue;
        *ret = res;
        return true;
    }
    return false;
}

static void add_seen(struct sim *s, struct flight *f, enum resource res, struct json record)
{
    char id[RESOURCE_ID_TEXT_MAX + 1];
    if (!api_record_id(res, record, id))
        return;
    struct entity *e = server_find(s, res, id);
    if (!e || !entity_now(e))
        return;
    f->seen = realloc(f->seen, (f->seen_count + 1) * sizeof(*f->seen));
    assert_non_null(f->seen);
    f->seen[f->seen_count++] = (struct seen){e, e->version_count - 1};
}

/* Which records the answer shows, as they are now. */
static void note_seen(struct sim *s, struct flight *f)
{
    struct json v, items, item;
    struct json_iter it;
    enum resource res;
    if (!f->answer || f->status >= 300 || !resource_of(f->url, &res) ||
        json_check(f->answer, strlen(f->answer), &v, NULL) < 0)
        return;
    if (json_member(v, resource_row(res)->items_member, &items)) {
        json_iter_init(&it, items);
        while (json_iter_next(&it, NULL, &item))
            add_seen(s, f, res, item);
    } else {
        add_seen(s, f, res, v);
    }
}

void server_execute(struct sim *s, struct flight *f)
{
    char *headers[] = {f->type, NULL};
    const struct scripted_request request = {.method = f->method,
                                             .url = f->url,
                                             .headers = headers,
                                             .body = f->body,
                                             .body_len = f->body ? strlen(f->body) : 0};
    struct scripted_answer answer = {0};
    /* A cache on the way that does not look at what is behind the question mark. */
    char *question = f->fate == FATE_PAGE ? strchr(f->url, '?') : NULL;
    if (question)
        *question = '\0';
    world_respond(&s->w, &request, &answer);
    if (question)
        *question = '?';
    s->wire.strange_pages += question != NULL;
    f->status = answer.status ? answer.status : 200;
    f->answer = answer.body ? strdup(answer.body) : NULL;
    ++s->tick;
    sim_trace(s, "#%llu executed: %d", (unsigned long long)f->number, f->status);
    if (f->method != HTTP_GET) {
        server_note(s);
        check_executed(s, f, f->status);
    }
    note_seen(s, f);
}

/* ---- other tools ---- */

static void other_sends(struct sim *s, enum http_method method, const char *path, const char *body)
{
    char url[SIM_PATH];
    char type[] = "Content-Type: application/json", patch[] = "Content-Type: "
                                                              "application/merge-patch+json";
    char *headers[] = {!body ? NULL : method == HTTP_PATCH ? patch : type, NULL};
    char *copy = body ? strdup(body) : NULL;
    struct scripted_answer answer = {0};
    snprintf(url, sizeof(url), WORLD_API_URL "%s", path);
    const struct scripted_request request = {.method = method,
                                             .url = url,
                                             .headers = headers,
                                             .body = copy,
                                             .body_len = body ? strlen(body) : 0};
    world_respond(&s->w, &request, &answer);
    ++s->tick;
    sim_trace(s, "another tool: %s %s %s: %d", http_method_name(method), path, body ? body : "",
              answer.status);
    free(copy);
    server_note(s);
}

void server_other(struct sim *s, struct rng *rng)
{
    static const char *const slugs[] = {"city", "first_name"};
    struct entity *e = server_any(s, RES_CONTACT, rng, rng_below(rng, 2));
    struct entity *tag = server_any(s, RES_TAG, rng, true);
    char path[SIM_PATH], body[256];
    /* Of one length: what belongs to another version is not told by its size. */
    unsigned long long n = 10000 + rng_below(rng, 90000);
    uint64_t what = rng_below(rng, s->plan->crowded && rng_below(rng, 4) ? 5 : 10);
    if (s->plan->crowded && rng_below(rng, 4))
        e = server_find(s, RES_CONTACT, "2");
    if (s->plan->bulk && rng_below(rng, 4)) {
        long_burst(s, rng);
        return;
    }
    if (!e || !tag)
        return;
    snprintf(path, sizeof(path), "/api/contacts/%s", e->id);
    if (what < 3) {
        snprintf(body, sizeof(body), "{\"fields\":[{\"slug\":\"%s\",\"value\":\"fo%lluo\"}]}",
                 slugs[rng_below(rng, 2)], n);
        other_sends(s, HTTP_PATCH, path, body);
    } else if (what < 5) {
        snprintf(body, sizeof(body), "{\"locale\":\"fo%lluo\"}", n);
        other_sends(s, HTTP_PATCH, path, body);
    } else if (what < 6) {
        snprintf(body, sizeof(body), "{\"email\":\"other%llu@example.org\"}", n);
        other_sends(s, HTTP_POST, "/api/contacts", body);
    } else if (what < 7 && !e->permanent && !s->plan->cursors_must_exist) {
        other_sends(s, HTTP_DELETE, path, NULL);
    } else if (what < 8) {
        snprintf(path, sizeof(path), "/api/contacts/%s/tags", e->id);
        snprintf(body, sizeof(body), "{\"tagId\":%s}", tag->id);
        other_sends(s, HTTP_POST, path, body);
    } else if (what < 9) {
        snprintf(path, sizeof(path), "/api/contacts/%s/tags/%s", e->id, tag->id);
        other_sends(s, HTTP_DELETE, path, NULL);
    } else {
        snprintf(path, sizeof(path), "/api/tags/%s", tag->id);
        snprintf(body, sizeof(body), "{\"name\":\"tag %llu\"}", n);
        other_sends(s, HTTP_PUT, path, body);
    }
    s->wire.left -= s->wire.left > 0; /* the quota is the account's */
    s->wire.told_spent = true;
}

/* ---- the account ---- */

void server_init(struct sim *s)
{
    map_init(&s->by_id);
    long_fill(s);
    for (unsigned i = 1; i <= s->plan->contacts; i++)
        world_putf(&s->w, RES_CONTACT,
                   "{\"id\":%u,\"email\":\"c%u@example.com\",\"locale\":\"en\",\"fields\":["
                   "{\"slug\":\"city\",\"value\":\"Town %u\"},{\"slug\":\"first_name\",\"value\":"
                   "null}],\"tags\":[]}",
                   i, i, i);
    for (unsigned i = 101; i <= 104; i++)
        world_putf(&s->w, RES_TAG, "{\"id\":%u,\"name\":\"tag-%u\"}", i, i);
    world_put(&s->w, RES_FIELD, "{\"slug\":\"city\",\"fieldName\":\"City\"}");
    world_put(&s->w, RES_FIELD, "{\"slug\":\"first_name\",\"fieldName\":\"First name\"}");
    world_put(&s->w, RES_COURSE, "{\"id\":11,\"name\":\"Knots\"}");
    world_put(&s->w, RES_COMMUNITY, "{\"id\":31,\"name\":\"Sailors\"}");
    world_put(&s->w, RES_SUBSCRIPTION, "{\"id\":51,\"contact\":{\"id\":2},\"status\":\"active\"}");
    s->w.page_max = s->plan->page_max;
    s->w.later_ms = s->plan->later_ms;
    server_note(s);
    for (size_t i = 0; i < s->entity_count; i++) {
        struct entity *e = s->entities[i];
        e->permanent = e->res != RES_CONTACT || (!e->bulk && strtoul(e->id, NULL, 10) % 2 == 0);
    }
}

void server_finish(struct sim *s)
{
    for (size_t i = 0; i < s->entity_count; i++) {
        struct entity *e = s->entities[i];
        for (size_t k = 0; k < e->version_count; k++) {
            free(e->versions[k].text);
            free(e->versions[k].pretty);
        }
        free(e->versions);
        free(e->shown);
        free(e);
    }
    free(s->entities);
    map_finish(&s->by_id);
    world_account_finish(&s->w);
}
