/* sim: what people may see. */
#include "sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLACK_MS 20 /* of a reply behind its deadline */

void check_call(struct sim *s, const struct call *c)
{
    int64_t took = sim_now(s) - c->began_ms;
    if (c->replies != 1)
        sim_fail(s, "a request has %u replies", c->replies);
    if (took > s->plan->timeout_ms + SLACK_MS)
        sim_fail(s, "a request took %" PRId64 " ms, the timeout is %" PRId64, took,
                 s->plan->timeout_ms);
    /* Where no answer came in time, the API is away: also if the question was never sent. */
    if (took >= s->plan->timeout_ms - SLACK_MS)
        s->wire.bad_ms = sim_now(s);
    if (c->result > 0)
        sim_fail(s, "a request was answered with %d", c->result);
}

void check_caps(struct sim *s)
{
    struct store_stats stats;
    unsigned waiting = 0;
    store_get_stats(s->store, &stats);
    for (size_t i = 0; i < SIM_PEOPLE; i++)
        waiting += s->people[i].call.waiting;
    if (stats.operations != waiting + stats.saves)
        sim_fail(s, "%u operations are under way: %u requests and %u changes", stats.operations,
                 waiting, stats.saves);
    if (stats.records > s->entity_count)
        sim_fail(s, "%" PRIu64 " records are known, there never were more than %zu", stats.records,
                 s->entity_count);
    if (s->wire.in_flight > s->plan->jobs)
        sim_fail(s, "%u requests are in flight, %u may be", s->wire.in_flight, s->plan->jobs);
}

/* ---- reading ---- */

/* Whether the driver may still show a version to one who begins to read now. Texts are compared:
 * the same one may be there twice. */
static void check_age(struct sim *s, struct entity *e, const char *text, uint64_t began,
                      int64_t began_ms, const char *what)
{
    uint64_t newer = 0, asked = 0, sent = 0;
    int64_t delivered_ms = INT64_MIN / 2;
    size_t version = 0;
    bool listed = false;
    for (size_t i = 0; i < e->version_count; i++)
        if (strcmp(e->versions[i].text, text) == 0)
            version = i;
    for (size_t i = 0; i < e->shown_count; i++) {
        const struct shown *o = &e->shown[i];
        bool same = strcmp(e->versions[o->version].text, text) == 0;
        if (same) {
            asked = MAX(asked, o->change ? o->delivered : o->sent);
            sent = MAX(sent, o->change ? o->delivered : o->sent);
            delivered_ms = MAX(delivered_ms, o->delivered_ms);
            listed = listed || o->listed;
        } else if (o->version > version && o->delivered < began &&
                   o->delivered_ms + sim_settle_ms(s) <= began_ms) {
            newer = MAX(newer, o->change ? o->delivered : o->prompt ? o->sent : 0);
        }
    }
    if (newer > asked) {
        sim_fail(s, "%s of %s is that of a version that the driver knows to be old", what, e->id);
        return;
    }
    if (version + 1 == e->version_count && entity_now(e))
        return;
    /* It is old. Nobody could have known? */
    if (s->refreshed && s->refreshed < began && sent < s->refreshed &&
        s->refreshed_ms + sim_settle_ms(s) <= began_ms &&
        e->versions[version].to_ms < s->refreshed_ms &&
        !sim_away_since(s, s->refreshed_ms - STORE_AWAY_MS)) {
        sim_fail(s, "%s of %s is older than the last refresh", what, e->id);
        return;
    }
    int64_t until = delivered_ms;
    if (listed) /* a listing is as old as its last page */
        until = MAX(until, s->wire.last_page_ms[e->res]);
    until += MAX(s->plan->ttl_ms, 1000) + SLACK_MS;
    if (began_ms > until && !sim_away_since(s, until - STORE_AWAY_MS))
        sim_fail(s, "%s of %s is %" PRId64 " ms past its time", what, e->id, began_ms - until);
}

/* A file that is not opened, as on a mount "ro", is read on in the newer text where it changes:
 * then each of its pages is of a version. */
static bool is_paged(const struct entity *e, const char *bytes, size_t len)
{
    bool fits = true;
    for (size_t at = 0; at < len && fits; at += SIM_PAGE) {
        fits = false;
        for (size_t i = 0; i < e->version_count && !fits; i++) {
            const struct version *v = &e->versions[i];
            size_t n = MIN(len - at, (size_t)SIM_PAGE),
                   has = v->pretty_len - MIN(v->pretty_len, at);
            fits = memcmp(v->pretty + MIN(v->pretty_len, at), bytes + at, MIN(n, has)) == 0;
            for (size_t k = has; k < n && fits;
                 k++) /* behind its end, by the size of another one */
                fits = bytes[at + k] == '\0';
        }
    }
    return fits;
}

static bool changed_meanwhile(const struct sim *s, const struct entity *e, int64_t began_ms)
{
    const char *first = NULL;
    for (size_t i = 0; i < e->shown_count; i++) {
        const struct shown *o = &e->shown[i];
        const char *text = e->versions[o->version].text;
        if (first && strcmp(first, text) != 0 && o->delivered_ms + sim_settle_ms(s) > began_ms)
            return true;
        first = text;
    }
    return false;
}

/* There, the size of an older text ends a newer one, until the kernel has heard of it. */
static bool is_cut_off(const struct entity *e, const char *bytes, size_t len)
{
    bool newer = false, size = false;
    for (size_t i = 0; i < e->version_count; i++) {
        const struct version *v = &e->versions[i];
        size = size || v->pretty_len == len;
        newer = newer || (v->pretty_len > len && memcmp(v->pretty, bytes, len) == 0);
    }
    return size && newer;
}

static size_t entity_longest(const struct entity *e)
{
    size_t longest = 0;
    for (size_t i = 0; i < e->version_count; i++)
        longest = MAX(longest, e->versions[i].pretty_len);
    return longest;
}

void check_read(struct sim *s, struct entity *e, const char *bytes, size_t len, uint64_t began,
                int64_t began_ms, unsigned pieces)
{
    s->reads++;
    /* The kernel itself has cut it off in the middle: for all who read, and for a moment. */
    if (s->kernel.truncated >= began && len < entity_longest(e))
        return;
    bool onward = s->plan->ro && changed_meanwhile(s, e, began_ms);
    for (size_t i = e->version_count; i-- > 0 && !(onward && pieces > 1);) {
        const struct version *v = &e->versions[i];
        if (v->pretty_len != len || memcmp(v->pretty, bytes, len) != 0)
            continue;
        check_age(s, e, v->text, began, began_ms, "the content");
        return;
    }
    if (onward && (pieces > 1 || is_paged(e, bytes, len) || is_cut_off(e, bytes, len)))
        return;
    sim_fail(s, "what was read of %s is no version of it (%zu bytes): %.*s", e->id, len,
             (int)MIN(len, (size_t)400), bytes);
}

void check_size(struct sim *s, struct entity *e, uint64_t size, uint64_t began)
{
    bool older = false;
    if (size == 1) /* the record cannot be read now: see record_unreadable() */
        return;
    for (size_t i = 0; i < e->version_count; i++) {
        /* Whoever looks after a save was told done sees nothing of before. */
        if (e->versions[i].pretty_len == size && (began <= e->saved || i >= e->saved_version))
            return;
        older = older || e->versions[i].pretty_len == size;
    }
    /* While somebody writes it, the kernel shows his size. */
    for (size_t i = 0; i < SIM_PEOPLE; i++)
        for (size_t k = 0; k < SIM_FDS; k++)
            if (s->people[i].fds[k].used && s->people[i].fds[k].writes)
                return;
    sim_fail(s, "%s has %" PRIu64 " bytes, which no version of it has%s", e->id, size,
             older ? " since it was saved" : "");
}

void check_missing(struct sim *s, struct entity *e, int result)
{
    if (result == -ENOENT && e->permanent)
        sim_fail(s, "%s is there, and was not found", e->id);
    if (result == -ESTALE)
        sim_fail(s, "reading %s fails with ESTALE", e->id);
}

void check_named(struct sim *s, const struct entity *e, const char *name, int64_t began_ms)
{
    uint64_t newer = 0, asked = 0;
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < e->version_count; i++) {
        char *value = record_value(e->versions[i].text, "name");
        if (value && strlen(value) == strlen(name) + 2 &&
            memcmp(value + 1, name, strlen(name)) == 0)
            last = i;
        free(value);
    }
    if (last == SIZE_MAX) {
        sim_fail(s, "%s was never called %s", e->id, name);
        return;
    }
    for (size_t i = 0; i < e->shown_count; i++) {
        const struct shown *o = &e->shown[i];
        uint64_t at = o->change ? o->delivered : o->sent;
        if (o->version <= last)
            asked = MAX(asked, at);
        else if ((o->change || o->prompt) && o->delivered_ms + sim_settle_ms(s) <= began_ms)
            newer = MAX(newer, at);
    }
    if (newer > asked)
        sim_fail(s, "%s is found as %s, and the driver knows that it is called otherwise", e->id,
                 name);
}

void check_value(struct sim *s, struct entity *e, const char *slug, const char *text,
                 int64_t began_ms)
{
    s->reads++;
    if (s->plan->ro && changed_meanwhile(s, e, began_ms))
        return; /* see there: so short a text is cut off anywhere */
    size_t len = strlen(text);
    for (size_t i = 0; i < e->version_count; i++) {
        char *value = record_value(e->versions[i].text, slug);
        bool null = !value || strcmp(value, "null") == 0;
        size_t n = null ? 0 : strlen(value) - 2;
        bool same = len == n + 1 && text[n] == '\n' && (null || memcmp(value + 1, text, n) == 0);
        free(value);
        if (same)
            return;
    }
    sim_fail(s, "%s of %s was never '%s'", slug, e->id, text);
}

/* ---- listings ---- */

static bool is_record(const char *name)
{
    return strspn(name, "0123456789") > 0 &&
           strcmp(name + strspn(name, "0123456789"), ".json") == 0;
}

/* A directory is as old as its last page; a walk may take long. */
static void check_listed(struct sim *s, const struct entity *e, bool found, uint64_t began,
                         int64_t began_ms)
{
    /* Whoever has had everything asked for anew sees what was so by then. */
    bool renewed = s->refreshed && s->refreshed < began &&
                   s->refreshed_ms + sim_settle_ms(s) <= began_ms &&
                   !sim_away_since(s, s->refreshed_ms - STORE_AWAY_MS);
    bool always = e->gone_ms == SIM_NEVER && e->born_ms < s->born_ms;
    if (!found && always)
        sim_fail(s, "%s was there all the time, and is not listed", e->id);
    else if (!found && renewed && e->gone_ms == SIM_NEVER && e->born_ms < s->refreshed_ms)
        sim_fail(s, "%s was there when all was asked for anew, and is not listed", e->id);
    int64_t late = e->gone_ms == SIM_NEVER ? SIM_NEVER
                                           : MAX(e->gone_ms, s->wire.last_page_ms[RES_CONTACT]) +
                                                 s->plan->ttl_ms + s->plan->timeout_ms + 1000;
    if (found && began_ms > late && !sim_away_since(s, e->gone_ms - 3000))
        sim_fail(s, "%s is gone for long, and is listed", e->id);
    else if (found && renewed && e->gone_ms < s->refreshed_ms)
        sim_fail(s, "%s was gone when all was asked for anew, and is listed", e->id);
}

void check_list(struct sim *s, char (*names)[64], size_t count, uint64_t began, int64_t began_ms)
{
    struct map seen;
    map_init(&seen);
    s->listings++;
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = hash_bytes(names[i], strlen(names[i]));
        /* A file of an editor may be removed, and made again behind the place where the reader is.
         */
        if (map_get(&seen, hash) && strchr("123456789b", names[i][0]) && !strchr(names[i], '~'))
            sim_fail(s, "%s is listed twice", names[i]);
        assert_int_equal(map_put(&seen, hash, names[i]), 0);
        char id[64];
        memcpy(id, names[i], sizeof(id));
        id[strcspn(id, ".")] = '\0';
        if (is_record(names[i]) && !server_find(s, RES_CONTACT, id))
            sim_fail(s, "%s is listed, and never was", names[i]);
    }
    for (size_t i = 0; i < s->entity_count && !s->failure[0]; i++) {
        const struct entity *e = s->entities[i];
        char name[RESOURCE_ID_TEXT_MAX + 8];
        if (e->res != RES_CONTACT)
            continue;
        snprintf(name, sizeof(name), "%s.json", e->id);
        check_listed(s, e, map_get(&seen, hash_bytes(name, strlen(name))), began, began_ms);
    }
    map_finish(&seen);
}

void check_finish(struct sim *s)
{
    check_deeds(s);
    if (store_saving(s->store))
        sim_fail(s, "a change is still under way when everybody is done");
    if (s->wire.in_flight)
        sim_fail(s, "%u requests are still in flight when everybody is done", s->wire.in_flight);
}
