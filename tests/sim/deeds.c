/* sim: the ledger: what people meant, and what became of it. Nothing else may be sent, nothing of
 * it twice, and no text may be lost. */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct deed *deed_new(struct person *p, enum deed_kind kind, enum resource res, const char *id)
{
    struct sim *s = p->sim;
    struct deed *d = calloc(1, sizeof(*d));
    s->deeds = realloc(s->deeds, (s->deed_count + 1) * sizeof(*s->deeds));
    assert_true(d && s->deeds);
    *d = (struct deed){.number = (unsigned)s->deed_count,
                       .kind = kind,
                       .process = p->number * SIM_PROCESSES + p->process,
                       .res = res};
    snprintf(d->id, sizeof(d->id), "%s", id);
    snprintf(d->token, sizeof(d->token), "zq%05uq", d->number);
    s->deeds[s->deed_count++] = d;
    return d;
}

static struct deed *next_deed(struct sim *s, const char **text)
{
    const char *at = *text ? strstr(*text, "zq") : NULL;
    if (!at)
        return NULL;
    *text = at + 2;
    size_t number = strtoul(at + 2, NULL, 10);
    return number < s->deed_count ? s->deeds[number] : NULL;
}

struct deed *deed_in(struct sim *s, const char *text)
{
    /* The base of an edit may hold older tokens: the newest is that of the text itself. */
    struct deed *found = NULL, *d;
    while ((d = next_deed(s, &text)))
        if (!found || d->number > found->number)
            found = d;
    return found;
}

void deed_asked(struct person *p, struct deed *d)
{
    struct sim *s = p->sim;
    /* Who copies a draft takes it over, if the copy gets as far as this. */
    d->process = p->number * SIM_PROCESSES + p->process;
    /* A program that saves again replaces what it has saved before. */
    for (size_t i = 0; i < s->deed_count; i++) {
        struct deed *o = s->deeds[i];
        if (o != d && o->state != DEED_BEGUN && o->process == d->process && o->text && d->text &&
            strcmp(o->path, d->path) == 0)
            o->over = true;
    }
    d->state = DEED_ASKED;
    d->attempts++;
    d->asked = ++s->tick;
    d->asked_ms = sim_now(s);
    d->excused = d->written = false;
    d->failures = s->w.disk.failures;
}

static bool disk_says_no(int result)
{
    return result == -EIO || result == -ENOSPC || result == -EROFS;
}

void deed_told(struct person *p, struct deed *d, int result)
{
    struct sim *s = p->sim;
    if (d->state != DEED_ASKED)
        return; /* the mount was gone meanwhile */
    d->state = result == -ENOTCONN ? DEED_CUT : DEED_TOLD;
    d->result = result;
    d->excused = d->excused || disk_says_no(result);
    sim_trace(s, "%s %s: told %d", d->token, d->path, result);
    struct entity *e = server_find(s, d->res, d->id);
    if (result == 0 && d->executed && e && d->kind == DEED_EDIT) {
        e->saved = ++s->tick;
        e->saved_version = MAX(e->saved_version, d->version);
    }
    check_deeds(s);
}

/* ---- the disk ---- */

static bool on_disk(const struct sim *s, const char *directory, const char *text)
{
    const struct disk_memory *m = &s->w.disk;
    for (size_t i = 0; i < m->count; i++) {
        const struct disk_memory_file *f = &m->files[i];
        if (!f->dir && !f->removed && strncmp(f->path, directory, strlen(directory)) == 0 &&
            f->bytes && strstr(f->bytes, text))
            return true;
    }
    return false;
}

static bool kept(const struct sim *s, const struct deed *d)
{
    return on_disk(s, "drafts/", d->token) || on_disk(s, "trash/", d->token);
}

/* ---- what is sent ---- */

struct target {
    enum resource res;
    char id[RESOURCE_ID_TEXT_MAX + 1], below[32], item[RESOURCE_ID_TEXT_MAX + 1];
};

static bool target_of(const struct flight *f, struct target *ret)
{
    static const enum resource all[] = {RES_CONTACT, RES_TAG};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        const char *path = resource_row(all[i])->list_path;
        const char *at = strstr(f->url, path);
        size_t n = strlen(path);
        if (!at || (at[n] && at[n] != '/'))
            continue;
        *ret = (struct target){.res = all[i]};
        sscanf(at + n, "/%64[^/]/%31[^/]/%64[^/]", ret->id, ret->below, ret->item);
        return true;
    }
    return false;
}

/* A relation that is made, or ended; a subscription that is cancelled: which deed it can be. */
static struct deed *relation_of(struct sim *s, const struct flight *f)
{
    static const struct {
        enum http_method method;
        enum deed_kind kind;
        enum resource res;
        const char *path, *behind; /* the id */
    } rows[] = {
        {HTTP_POST, DEED_JOIN, RES_ENROLLMENT, "/api/school/courses/", "/enrollments"},
        {HTTP_POST, DEED_JOIN, RES_MEMBERSHIP, "/api/community/communities/", "/memberships"},
        {HTTP_DELETE, DEED_LEAVE, RES_ENROLLMENT, "/api/school/enrollments/", ""},
        {HTTP_DELETE, DEED_LEAVE, RES_MEMBERSHIP, "/api/community/memberships/", ""},
        {HTTP_POST, DEED_CANCEL, RES_SUBSCRIPTION, "/api/payment/subscriptions/", "/cancel"},
    };
    struct deed *found = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char id[RESOURCE_ID_TEXT_MAX + 1] = "", contact[RESOURCE_ID_TEXT_MAX + 1] = "";
        const char *at = strstr(f->url, rows[i].path);
        const char *about = f->body ? strstr(f->body, "\"contactId\":") : NULL;
        if (f->method != rows[i].method || !at)
            continue;
        at += strlen(rows[i].path);
        snprintf(id, sizeof(id), "%.*s", (int)strcspn(at, "/"), at);
        if (strcmp(at + strlen(id), rows[i].behind) != 0)
            continue;
        if (about)
            sscanf(about, "\"contactId\":%64[0-9]", contact);
        /* Where two mean the same at once, nobody can tell whose it is: so they are counted. */
        unsigned meant = 0, reached = 0;
        for (size_t k = 0; k < s->deed_count; k++) {
            struct deed *d = s->deeds[k];
            bool join = d->kind == DEED_JOIN, cancel = d->kind == DEED_CANCEL;
            if (d->kind != rows[i].kind || d->res != rows[i].res ||
                strcmp(d->id, join ? contact : id) != 0 || (join && strcmp(d->item, id) != 0) ||
                (cancel && !strstr(f->body ? f->body : "", d->item)))
                continue;
            meant += d->attempts;
            reached += d->reached;
            found = d->state == DEED_ASKED ? d : found;
        }
        if (found && found->kind != DEED_LEAVE && reached >= meant) /* a DELETE may go out twice */
            found = NULL;
    }
    return found;
}

static void check_relation(struct sim *s, struct flight *f)
{
    struct deed *d = f->relation = relation_of(s, f);
    if (!d) {
        sim_fail(s, "%s %s %s: nobody meant that, or not so often", http_method_name(f->method),
                 f->url, f->body ? f->body : "");
        return;
    }
    d->reached++;
    const struct entity *e = server_find(s, d->res, d->id);
    bool safe = d->kind != DEED_LEAVE;
    for (size_t i = 0; e && !safe && i < e->version_count; i++)
        safe = on_disk(s, "trash/", e->versions[i].pretty);
    if (!safe)
        sim_fail(s, "DELETE %s, and its content is not in the trash", f->url);
}

/* Whether every text that is sent is one that somebody has typed. */
static bool only_typed(struct json body)
{
    struct json name, value, pair;
    struct json_iter it, pairs;
    json_iter_init(&it, body);
    while (json_iter_next(&it, &name, &value)) {
        if (json_type(value) == JSON_STRING && !memmem(value.p, value.len, "zq", 2))
            return false;
        json_iter_init(&pairs, value);
        while (json_iter_next(&pairs, NULL, &pair)) {
            struct json v;
            if (!json_member(pair, "value", &v) || !memmem(v.p, v.len, "zq", 2))
                return false;
        }
    }
    return true;
}

/* What the driver knows of a record, where that is beyond doubt: the version that it was shown
 * last, by the answer to what it has asked last. */
static const struct shown *known(const struct entity *e)
{
    const struct shown *last = NULL;
    uint64_t sent = 0;
    for (size_t i = 0; i < e->shown_count; i++) {
        const struct shown *o = &e->shown[i];
        last = !last || o->delivered >= last->delivered ? o : last;
        sent = MAX(sent, o->change ? o->delivered : o->sent);
    }
    return last && (last->change || (last->prompt && last->sent == sent)) ? last : NULL;
}

/* Somebody else's value must not be replaced by one who has never seen it. */
static void check_conflict(struct sim *s, const struct deed *d, const struct entity *e)
{
    const struct shown *k = known(e);
    if (!d->base || !k)
        return;
    char *base = record_value(d->base, d->member);
    char *now = record_value(e->versions[k->version].text, d->member);
    if (base && now && strcmp(base, now) != 0 && !strstr(now, d->token))
        sim_fail(s,
                 "%s is sent over %s, which the person has not seen (but %s), and the driver has: "
                 "%s of %s",
                 d->token, now, base, d->member, d->path);
    free(base);
    free(now);
}

static void check_recent(struct sim *s, const struct deed *d, const struct entity *e)
{
    for (size_t i = 0; i < e->shown_count; i++)
        if (e->shown[i].delivered_ms >= d->asked_ms - 2000)
            return;
    sim_fail(s, "%s is sent, and %s was not read within two seconds before it was saved", d->token,
             d->path);
}

/* Whether somebody copies what another one throws away: then it is no draft, but any text. */
static bool is_thrown_away(const struct sim *s, const struct target *to)
{
    for (size_t i = 0; i < s->deed_count; i++) {
        const struct deed *d = s->deeds[i];
        if (d->state == DEED_ASKED && d->over && d->res == to->res && strcmp(d->id, to->id) == 0)
            return true;
    }
    return false;
}

static void check_edit(struct sim *s, struct flight *f, const struct target *to)
{
    struct json body;
    const char *text = f->body;
    unsigned tokens = 0;
    struct deed *d;
    if (!f->body || json_check(f->body, strlen(f->body), &body, NULL) < 0 ||
        !(only_typed(body) || is_thrown_away(s, to))) {
        sim_fail(s, "%s %s sends what nobody has typed: %s", http_method_name(f->method), f->url,
                 f->body);
        return;
    }
    struct entity *e = server_find(s, to->res, to->id);
    while ((d = next_deed(s, &text))) {
        tokens++;
        bool its = d->kind == DEED_EDIT && d->res == to->res && strcmp(d->id, to->id) == 0;
        if (!its || d->state != DEED_ASKED)
            sim_fail(s, "%s is sent to %s, %s", d->token, f->url,
                     !its                     ? "which it was not meant for"
                     : d->state == DEED_BEGUN ? "and nobody has saved it"
                     : d->state == DEED_CUT   ? "after a restart, by itself"
                     : d->result < 0          ? "after its failure was told"
                                              : "after its success was told");
        else if (d->text && !on_disk(s, "drafts/", d->token))
            sim_fail(s, "%s is sent, and is not on the disk", d->token);
        if (d->reached++ == 0 && d->attempts == 1 && e) {
            check_conflict(s, d, e);
            check_recent(s, d, e);
        }
    }
    if (!tokens && !is_thrown_away(s, to))
        sim_fail(s, "%s %s: nobody meant that", http_method_name(f->method), f->url);
}

static void check_create(struct sim *s, struct flight *f, const struct target *to)
{
    const char *text = f->body;
    struct deed *d = next_deed(s, &text);
    if (!d || d->kind != DEED_CREATE || d->res != to->res || d->state != DEED_ASKED)
        sim_fail(s, "POST %s %s: nobody meant that", f->url, f->body);
    else if (d->reached++ >= d->attempts)
        sim_fail(s, "POST %s %s goes out twice", f->url, f->body);
    else if (d->text && !on_disk(s, "drafts/", d->token))
        sim_fail(s, "%s is sent, and is not on the disk", d->token);
}

/* One of that kind for that record and item that is under way. `once`: not if all that were meant
 * have been sent; where two mean the same at once, nobody can tell whose it is. */
static struct deed *deed_for(struct sim *s, enum deed_kind kind, const struct target *to,
                             const char *item, bool once)
{
    struct deed *found = NULL;
    unsigned meant = 0, reached = 0;
    for (size_t i = 0; i < s->deed_count; i++) {
        struct deed *d = s->deeds[i];
        if (d->kind != kind || strcmp(d->id, to->id) != 0 || strcmp(d->item, item) != 0)
            continue;
        meant += d->attempts;
        reached += d->reached;
        found = d->state == DEED_ASKED ? d : found;
    }
    return once && reached >= meant ? NULL : found;
}

static void check_remove(struct sim *s, struct flight *f, const struct target *to)
{
    struct deed *d = deed_for(s, DEED_REMOVE, to, "", false);
    struct entity *e = server_find(s, to->res, to->id);
    bool safe = false;
    for (size_t i = 0; e && !safe && i < e->version_count; i++)
        safe = on_disk(s, "trash/", e->versions[i].pretty);
    if (!d)
        sim_fail(s, "DELETE %s: nobody meant that", f->url);
    else if (!safe)
        sim_fail(s, "DELETE %s, and its content is not in the trash", f->url);
    else
        d->reached++;
}

void check_sent(struct sim *s, struct flight *f)
{
    struct target to;
    struct deed *d;
    char item[RESOURCE_ID_TEXT_MAX + 1] = "";
    if (!target_of(f, &to)) {
        check_relation(s, f);
    } else if (to.below[0]) {
        bool in = f->method == HTTP_POST;
        if (in && f->body)
            sscanf(f->body, "{\"tagId\":%64[0-9]", item);
        d = deed_for(s, in ? DEED_TAG : DEED_UNTAG, &to, in ? item : to.item, in);
        if (d)
            d->reached++;
        else if (!is_thrown_away(s, &to))
            sim_fail(s, "%s %s %s: nobody meant that, or not so often", http_method_name(f->method),
                     f->url, f->body ? f->body : "");
    } else if (f->method == HTTP_DELETE) {
        check_remove(s, f, &to);
    } else if (f->method == HTTP_POST) {
        check_create(s, f, &to);
    } else {
        check_edit(s, f, &to);
    }
}

void check_executed(struct sim *s, struct flight *f, int status)
{
    struct target to;
    const char *text = f->body;
    struct deed *d;
    if (status >= 300 && status != 404)
        return;
    if (!target_of(f, &to)) {
        /* Where two mean the same at once, it is done for both. */
        for (size_t i = 0; f->relation && i < s->deed_count; i++) {
            const struct deed *r = f->relation;
            d = s->deeds[i];
            d->executed += d->kind == r->kind && d->res == r->res && strcmp(d->id, r->id) == 0 &&
                           strcmp(d->item, r->item) == 0;
        }
        return;
    }
    if (f->method == HTTP_DELETE && !to.below[0]) {
        for (size_t i = 0; i < s->deed_count; i++)
            if (s->deeds[i]->kind == DEED_REMOVE && strcmp(s->deeds[i]->id, to.id) == 0)
                s->deeds[i]->executed++;
        return;
    }
    const struct entity *e = server_find(s, to.res, to.id);
    while (status < 300 && (d = next_deed(s, &text))) {
        d->executed++;
        d->version = e ? e->version_count - 1 : 0;
    }
}

/* ---- what must hold at any time ---- */

/* Whether two mean to remove the same: nobody can tell whose request it was. */
static bool is_shared(const struct sim *s, const struct deed *d)
{
    for (size_t i = 0; i < s->deed_count && d->kind == DEED_REMOVE; i++) {
        const struct deed *o = s->deeds[i];
        if (o != d && o->kind == d->kind && o->res == d->res && strcmp(o->id, d->id) == 0)
            return true;
    }
    return false;
}

static void check_deed(struct sim *s, const struct deed *d)
{
    bool needed = d->kind == DEED_EDIT || d->kind == DEED_CREATE;
    bool relation = d->kind == DEED_JOIN || d->kind == DEED_LEAVE || d->kind == DEED_CANCEL;
    if (d->state != DEED_TOLD || (d->result == 0 && s->plan->dry_run))
        return;
    if (d->result == 0 && !d->executed && relation)
        sim_fail(s, "%s: success was told, and the server has not done it", d->path);
    if (d->result == 0 && !d->executed && (needed || d->kind == DEED_REMOVE)) {
        const struct entity *e = server_find(s, d->res, d->id);
        if (needed || (e && entity_now(e)))
            sim_fail(s, "%s %s: success was told, and the server has not done it", d->token,
                     d->path);
    }
    if (d->text && d->result != 0 && !d->executed && !d->over && !d->excused && !kept(s, d))
        sim_fail(s, "%s %s: %d was told, and the text is nowhere: not sent, no draft, no trash",
                 d->token, d->path, d->result);
    if (d->excused && disk_says_no(d->result) && d->reached && d->attempts == 1 && !is_shared(s, d))
        sim_fail(s, "%s %s: %d was told, and it was sent all the same", d->token, d->path,
                 d->result);
}

/* Whether the disk has been well since it was asked for. */
static bool disk_well(const struct sim *s, const struct deed *d)
{
    const struct disk_memory *m = &s->w.disk;
    return m->failures == d->failures && !m->read_only && !m->fail_in && m->room == SIZE_MAX;
}

void check_unheard(struct sim *s, struct deed *d)
{
    d->excused = d->excused || !disk_well(s, d);
    if (d->state == DEED_ASKED && !s->dead && !d->excused && !d->executed && !d->over &&
        !kept(s, d))
        sim_fail(s, "%s %s: nobody heard what became of it, and it is nowhere", d->token, d->path);
}

void check_deeds(struct sim *s)
{
    for (size_t i = 0; i < s->deed_count && !s->failure[0]; i++)
        check_deed(s, s->deeds[i]);
}

void check_cut(struct sim *s)
{
    for (size_t i = 0; i < s->deed_count; i++)
        if (s->deeds[i]->state == DEED_ASKED)
            s->deeds[i]->state = DEED_CUT;
}

/* What was written and not closed is kept when the mount ends in good order. */
void check_unmounted(struct sim *s, bool down)
{
    for (size_t i = 0; i < s->deed_count && !s->failure[0]; i++) {
        struct deed *d = s->deeds[i];
        if (d->state != DEED_ASKED)
            continue;
        if (!down)
            continue;
        d->state = DEED_CUT;
        /* It may have died in the middle of that. */
        bool well = !s->dead && disk_well(s, d);
        if (d->written && well && !d->executed && !d->over && !d->excused && !kept(s, d))
            sim_fail(s, "%s %s was written when the mount ended, and is nowhere", d->token,
                     d->path);
    }
}

void check_free(struct sim *s)
{
    for (size_t i = 0; i < s->deed_count; i++) {
        free(s->deeds[i]->base);
        free(s->deeds[i]);
    }
    free(s->deeds);
}
