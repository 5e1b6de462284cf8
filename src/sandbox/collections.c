#include "collections.h"

#include <stddef.h>

#include "systemefs/base/macros.h"
#include "text.h"

#define AT(member) offsetof(struct filter, member)
/* clang-format off */
#define PAGING {"limit", PARAM_LIMIT, AT(limit)}, {"startingAfter", PARAM_CURSOR, AT(starting_after)}, \
               {"order", PARAM_ORDER, AT(ascending)}, {NULL, PARAM_TEXT, 0}
/* clang-format on */

static const struct param_rule contact_params[] = {
    {"email", PARAM_EMAIL, AT(email)},
    {"tags", PARAM_IDS, AT(tags)},
    {"bounced", PARAM_BOOL, AT(bounced)},
    {"unsubscribed", PARAM_BOOL, AT(unsubscribed)},
    {"needsConfirmation", PARAM_BOOL, AT(needs_confirmation)},
    {"registeredBefore", PARAM_TIME, AT(registered_before)},
    {"registeredAfter", PARAM_TIME, AT(registered_after)},
    PAGING,
};
static const struct param_rule tag_params[] = {{"query", PARAM_TEXT, AT(query)}, PAGING};
static const struct param_rule course_params[] = {{"active", PARAM_BOOL, AT(active)},
                                                  {"query", PARAM_TEXT, AT(query)},
                                                  PAGING};
static const struct param_rule enrollment_params[] = {{"course", PARAM_ID, AT(course)},
                                                      {"contact", PARAM_ID, AT(contact)},
                                                      PAGING};
static const struct param_rule membership_params[] = {{"community", PARAM_ID, AT(community)},
                                                      {"contact", PARAM_ID, AT(contact)},
                                                      PAGING};
static const struct param_rule subscription_params[] = {{"contact", PARAM_ID_REQUIRED, AT(contact)},
                                                        PAGING};
static const struct param_rule all_subscription_params[] = {{"contact", PARAM_ID, AT(contact)},
                                                            PAGING};
static const struct param_rule no_params[] = {{NULL, PARAM_TEXT, 0}};

static bool flag_matches(int wanted, bool is)
{
    return wanted < 0 || wanted == (int)is;
}

static bool contacts_match(const struct world *w, const struct filter *f, size_t pos)
{
    if (!contact_listed(w, pos))
        return false;
    for (size_t i = 0; i < f->tag_count; i++)
        if (!rows_find(&w->tags, f->tags[i]) || !contact_has_tag(w, pos, f->tags[i]))
            return false;
    if (f->bounced >= 0 || f->unsubscribed >= 0 || f->needs_confirmation >= 0) {
        bool unsubscribed, bounced, needs_confirmation;
        contact_flags(w, pos, &unsubscribed, &bounced, &needs_confirmation);
        if (!flag_matches(f->bounced, bounced) || !flag_matches(f->unsubscribed, unsubscribed) ||
            !flag_matches(f->needs_confirmation, needs_confirmation))
            return false;
    }
    /* Both ends are left out; the documentation does not say. */
    if (f->registered_before >= 0 && contact_registered(w, pos) >= f->registered_before)
        return false;
    return f->registered_after < 0 || contact_registered(w, pos) > f->registered_after;
}

static void contacts_render(const struct world *w, size_t pos, struct buf *out)
{
    contact_render(w, pos, false, out);
}

static bool contacts_pin(const struct world *w, const struct filter *f, size_t *ret_pos)
{
    return contact_find_email(w, f->email, ret_pos);
}

/* The three functions that differ only in which rows they look at. */
#define ROWS_OF(member)                                                                            \
    static size_t member##_count(const struct world *w)                                            \
    {                                                                                              \
        return w->member.count;                                                                    \
    }                                                                                              \
    static int64_t member##_id(const struct world *w, size_t pos)                                  \
    {                                                                                              \
        return ((const struct row *)rows_at(&w->member, pos))->id;                                 \
    }                                                                                              \
    static size_t member##_lower(const struct world *w, int64_t id)                                \
    {                                                                                              \
        return rows_lower(&w->member, id);                                                         \
    }

ROWS_OF(tags)
ROWS_OF(fields)
ROWS_OF(courses)
ROWS_OF(communities)
ROWS_OF(enrollments)
ROWS_OF(memberships)
ROWS_OF(subscriptions)
ROWS_OF(webhooks)

static bool tags_match(const struct world *w, const struct filter *f, size_t pos)
{
    const struct tag *tag = rows_at(&w->tags, pos);
    return !tag->row.gone && (!f->query || text_contains(tag->name, f->query));
}

static void tags_render(const struct world *w, size_t pos, struct buf *out)
{
    tag_render(rows_at(&w->tags, pos), out);
}

static bool fields_match(const struct world *w, const struct filter *f UNUSED, size_t pos)
{
    return !((const struct field *)rows_at(&w->fields, pos))->row.gone;
}

static void fields_render(const struct world *w, size_t pos, struct buf *out)
{
    field_render(rows_at(&w->fields, pos), out);
}

static bool courses_match(const struct world *w, const struct filter *f, size_t pos)
{
    const struct course *course = rows_at(&w->courses, pos);
    if (course->row.gone || !flag_matches(f->active, course->active))
        return false;
    if (!f->query || text_contains(course->name, f->query))
        return true;
    for (size_t i = 0; i < course->module_count; i++)
        if (text_contains(course->modules[i].name, f->query))
            return true;
    return false;
}

static void courses_render(const struct world *w, size_t pos, struct buf *out)
{
    course_render(rows_at(&w->courses, pos), false, out);
}

static bool communities_match(const struct world *w, const struct filter *f, size_t pos)
{
    const struct community *c = rows_at(&w->communities, pos);
    return !c->row.gone && (!f->query || text_contains(c->name, f->query));
}

static void communities_render(const struct world *w, size_t pos, struct buf *out)
{
    community_render(rows_at(&w->communities, pos), out);
}

static bool enrollments_match(const struct world *w, const struct filter *f, size_t pos)
{
    const struct enrollment *e = rows_at(&w->enrollments, pos);
    return !e->row.gone && (f->contact < 0 || f->contact == e->contact) &&
           (f->course < 0 || f->course == courses_id(w, e->course));
}

static void enrollments_render(const struct world *w, size_t pos, struct buf *out)
{
    enrollment_render(w, rows_at(&w->enrollments, pos), out);
}

static bool memberships_match(const struct world *w, const struct filter *f, size_t pos)
{
    const struct membership *m = rows_at(&w->memberships, pos);
    return !m->row.gone && (f->contact < 0 || f->contact == m->contact) &&
           (f->community < 0 || f->community == communities_id(w, m->community)) &&
           (!m->visible_ms || m->visible_ms <= world_now_ms(w));
}

static void memberships_render(const struct world *w, size_t pos, struct buf *out)
{
    membership_render(w, rows_at(&w->memberships, pos), out);
}

static bool subscriptions_match(const struct world *w, const struct filter *f, size_t pos)
{
    const struct subscription *s = rows_at(&w->subscriptions, pos);
    return !s->row.gone && !s->foreign && (f->contact < 0 || f->contact == s->contact);
}

static void subscriptions_render(const struct world *w, size_t pos, struct buf *out)
{
    subscription_render(rows_at(&w->subscriptions, pos), out);
}

static bool webhooks_match(const struct world *w, const struct filter *f UNUSED, size_t pos)
{
    return !((const struct webhook *)rows_at(&w->webhooks, pos))->row.gone;
}

static void webhooks_render(const struct world *w, size_t pos, struct buf *out)
{
    webhook_render(rows_at(&w->webhooks, pos), out);
}

#define COLLECTION(member, ...)                                                                    \
    {                                                                                              \
        .count = member##_count, .id = member##_id, .lower = member##_lower,                       \
        .match = member##_match, .render = member##_render, __VA_ARGS__                            \
    }

const struct collection collection_contacts = {
    .params = contact_params,
    .count = contact_count,
    .id = contact_id,
    .lower = contact_lower,
    .match = contacts_match,
    .render = contacts_render,
    .pin = contacts_pin,
};
const struct collection collection_tags = COLLECTION(tags, .params = tag_params);
const struct collection collection_fields =
    COLLECTION(fields, .params = no_params, .unpaged = true);
const struct collection collection_courses = COLLECTION(courses, .params = course_params);
const struct collection collection_communities = COLLECTION(communities, .params = tag_params);
const struct collection collection_enrollments =
    COLLECTION(enrollments, .params = enrollment_params);
const struct collection collection_memberships =
    COLLECTION(memberships, .params = membership_params);
const struct collection collection_subscriptions =
    COLLECTION(subscriptions, .params = subscription_params);
const struct collection collection_all_subscriptions =
    COLLECTION(subscriptions, .params = all_subscription_params);
const struct collection collection_webhooks =
    COLLECTION(webhooks, .params = no_params, .unpaged = true);

/* Adds the record and returns false once the page is full and one more is known to exist. */
struct page {
    int64_t room;
    bool more;
};

static bool page_add(const struct world *w, const struct collection *c, size_t pos,
                     struct page *page, struct buf *out)
{
    if (page->room == 0) {
        page->more = true;
        return false;
    }
    page->room--;
    if (out->data[out->len - 1] != '[')
        buf_append_byte(out, ',');
    c->render(w, pos, out);
    return true;
}

static bool after_cursor(const struct filter *f, int64_t id)
{
    return !f->starting_after || (f->ascending ? id > f->starting_after : id < f->starting_after);
}

static void walk(const struct world *w, const struct collection *c, const struct filter *f,
                 struct page *page, struct buf *out)
{
    size_t pos, count = c->count(w);
    if (c->pin && f->email) {
        if (c->pin(w, f, &pos) && after_cursor(f, c->id(w, pos)) && c->match(w, f, pos))
            page_add(w, c, pos, page, out);
        return;
    }
    if (f->ascending) {
        for (pos = f->starting_after ? c->lower(w, f->starting_after + 1) : 0; pos < count; pos++)
            if (c->match(w, f, pos) && !page_add(w, c, pos, page, out))
                return;
        return;
    }
    for (pos = f->starting_after ? c->lower(w, f->starting_after) : count; pos-- > 0;)
        if (c->match(w, f, pos) && !page_add(w, c, pos, page, out))
            return;
}

void collection_list(const struct world *w, const struct collection *c, const struct request *req,
                     struct response *res)
{
    struct filter f;
    struct violations v CLEANUP(violations_finish);
    violations_init(&v);
    rules_query(req, c->params, w->settings->page_size, &f, &v);
    if (v.count) {
        problem_violations(res, &v);
        return;
    }
    if (c->unpaged) {
        f.limit = INT64_MAX;
        f.ascending = true;
    }
    if (w->settings->order_ignored && c == &collection_contacts)
        f.ascending = false;

    struct page page = {.room = f.limit};
    response_begin(res, 200, "application/json");
    buf_append_str(&res->body, "{\"items\":[");
    walk(w, c, &f, &page, &res->body);
    buf_append_str(&res->body, "],\"hasMore\":");
    text_bool(&res->body, page.more);
    buf_append_byte(&res->body, '}');
}
