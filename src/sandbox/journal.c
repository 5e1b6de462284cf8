#include "journal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "systemefs/base/macros.h"
#include "text.h"

struct journal *journal_create(const struct clock *clock)
{
    struct journal *j = must(calloc(1, sizeof(*j)));
    j->clock = clock;
    pthread_mutex_init(&j->lock, NULL);
    return j;
}

static void entry_finish(struct journal_entry *e)
{
    free(e->path);
    free(e->query);
    free(e->content_type);
    free(e->maton_connection);
    free(e->accept_encoding);
    free(e->body);
    *e = (struct journal_entry){0};
}

void journal_destroy(struct journal *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < JOURNAL_ENTRIES; i++)
        entry_finish(&j->entries[i]);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static char *dup_or_null(const char *s)
{
    return s ? must_dup(s) : NULL;
}

/* Methods come from the HTTP library's buffer; only known ones are kept, as constants. */
static const char *known_method(const char *method)
{
    static const char *const methods[] = {"GET",  "POST",    "PUT",   "PATCH",
                                          "HEAD", "OPTIONS", "DELETE"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (strcmp(methods[i], method) == 0)
            return methods[i];
    return "OTHER";
}

static const char *auth_kind(const struct request *req)
{
    if (req->api_key)
        return req->authorization ? "both" : "x-api-key";
    if (!req->authorization)
        return "none";
    return strncasecmp(req->authorization, "Bearer ", 7) == 0 ? "bearer" : "other";
}

static char *body_text(const struct request *req)
{
    if (!req->body.len)
        return NULL;
    size_t len = MIN(req->body.len, (size_t)JOURNAL_BODY_MAX);
    while (len < req->body.len && len > 0 && ((unsigned char)req->body.data[len] & 0xc0) == 0x80)
        len--;
    if (!text_utf8_valid(req->body.data, len))
        return must_dup("(not UTF-8)");
    return must(strndup(req->body.data, len));
}

int64_t journal_begin(struct journal *j, const struct request *req, size_t kind)
{
    struct journal_entry fresh = {
        .method = known_method(req->method),
        .path = must_dup(req->path),
        .query = must_dup(req->query),
        .content_type = dup_or_null(req->content_type),
        .maton_connection = dup_or_null(req->maton_connection),
        .accept_encoding = dup_or_null(req->accept_encoding),
        .body = body_text(req),
        .auth = auth_kind(req),
        .gateway = req->via != VIA_DIRECT,
        .at_ms = clock_mono_ms(j->clock),
    };
    pthread_mutex_lock(&j->lock);
    fresh.number = ++j->last;
    struct journal_entry *slot = &j->entries[fresh.number % JOURNAL_ENTRIES];
    entry_finish(slot);
    *slot = fresh;
    j->total++;
    j->writes += strcmp(fresh.method, "GET") != 0 && strcmp(fresh.method, "HEAD") != 0;
    j->by[MIN(kind, (size_t)JOURNAL_KINDS - 1)]++;
    if (++j->concurrent > j->max_concurrent)
        j->max_concurrent = j->concurrent;
    pthread_mutex_unlock(&j->lock);
    return fresh.number;
}

void journal_end(struct journal *j, int64_t number, int status)
{
    pthread_mutex_lock(&j->lock);
    struct journal_entry *e = &j->entries[number % JOURNAL_ENTRIES];
    if (e->number == number) {
        e->status = status;
        e->took_ms = clock_mono_ms(j->clock) - e->at_ms;
    }
    j->concurrent--;
    pthread_mutex_unlock(&j->lock);
}

/* Numbers go on, so that an answer under way finds no stranger in its slot. */
void journal_reset(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    for (size_t i = 0; i < JOURNAL_ENTRIES; i++)
        entry_finish(&j->entries[i]);
    j->total = j->writes = 0;
    j->max_concurrent = j->concurrent;
    memset(j->by, 0, sizeof(j->by));
    pthread_mutex_unlock(&j->lock);
}

static void entry_render(const struct journal_entry *e, struct buf *out)
{
    buf_append_byte(out, '{');
    text_member(out, "number");
    text_int(out, e->number);
    text_member(out, "method");
    text_json(out, e->method);
    text_member(out, "path");
    text_json(out, e->path);
    text_member(out, "query");
    text_json(out, e->query);
    text_member(out, "gateway");
    text_bool(out, e->gateway);
    text_member(out, "status");
    text_int(out, e->status);
    text_member(out, "atMs");
    text_int(out, e->at_ms);
    text_member(out, "tookMs");
    text_int(out, e->took_ms);
    text_member(out, "auth");
    text_json(out, e->auth);
    text_member(out, "contentType");
    text_json(out, e->content_type);
    text_member(out, "matonConnection");
    text_json(out, e->maton_connection);
    text_member(out, "acceptEncoding");
    text_json(out, e->accept_encoding);
    text_member(out, "body");
    text_json(out, e->body);
    buf_append_byte(out, '}');
}

void journal_render(struct journal *j, struct buf *out)
{
    pthread_mutex_lock(&j->lock);
    buf_append_byte(out, '[');
    for (int64_t n = MAX(j->last - JOURNAL_ENTRIES + 1, 1); n <= j->last; n++) {
        const struct journal_entry *e = &j->entries[n % JOURNAL_ENTRIES];
        if (e->number != n)
            continue;
        if (out->data[out->len - 1] != '[')
            buf_append_byte(out, ',');
        entry_render(e, out);
    }
    buf_append_byte(out, ']');
    pthread_mutex_unlock(&j->lock);
}

void journal_render_counts(struct journal *j,
                           const char *(*kind_name)(size_t kind, char *out, size_t size),
                           struct buf *out)
{
    char name[128];
    pthread_mutex_lock(&j->lock);
    buf_append_byte(out, '{');
    text_member(out, "total");
    text_int(out, j->total);
    text_member(out, "writes");
    text_int(out, j->writes);
    text_member(out, "concurrent");
    text_int(out, j->concurrent);
    text_member(out, "max_concurrent");
    text_int(out, j->max_concurrent);
    text_member(out, "by");
    buf_append_byte(out, '{');
    for (size_t i = 0; i < JOURNAL_KINDS; i++) {
        if (!j->by[i] || !kind_name(i, name, sizeof(name)))
            continue;
        text_member(out, name);
        text_int(out, j->by[i]);
    }
    buf_append(out, "}}", 2);
    pthread_mutex_unlock(&j->lock);
}
