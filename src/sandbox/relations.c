/* sandbox/relations: enrollments, memberships and subscriptions (see world.h). */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "text.h"

#define ENROLLMENT_FIRST_ID   5580000
#define MEMBERSHIP_FIRST_ID   881000
#define SUBSCRIPTION_FIRST_ID 660000
#define SINCE                 1640995200 /* 2022-01-01 */
#define A_MONTH               2592000

const char *const relation_access_types[] = {
    "full_access", "partial_access", "dripping_content", "partial_dripping_access", NULL,
};

static const struct {
    int64_t id;
    const char *name, *inner, *statement, *type, *interval;
    int64_t amount;
    const char *currency;
    int64_t trial, limit; /* days; payments, 0: no limit */
} plans[] = {
    {1200345, "Monthly", "club-monthly", "BAKERS CLUB", "subscription", "month", 1900, "eur", 14,
     0},
    {1200346, "Yearly", "club-yearly", "BAKERS CLUB", "subscription", "year", 19000, "eur", 0, 0},
    {1200351, "Three parts / 3×", "course-3x", "BREAD COURSE", "limited_subscription", "month",
     4900, "usd", 0, 3},
    {1200360, "Once", "course-once", "BREAD COURSE", "one_shot", NULL, 12900, "jpy", 0, 0},
};

struct enrollment *enrollment_find(const struct world *w, int64_t contact, size_t course)
{
    for (size_t i = 0; i < w->enrollments.count; i++) {
        struct enrollment *e = rows_at(&w->enrollments, i);
        if (!e->row.gone && e->contact == contact && e->course == course)
            return e;
    }
    return NULL;
}

struct enrollment *enrollment_add(struct world *w, int64_t contact, size_t course,
                                  const char *access)
{
    struct enrollment *e =
        rows_add(w, &w->enrollments, w->enrollments.count ? 0 : ENROLLMENT_FIRST_ID);
    e->contact = contact;
    e->course = course;
    e->access = access;
    return e;
}

void enrollment_render(const struct world *w, const struct enrollment *e, struct buf *out)
{
    size_t contact;
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, e->row.id);
    text_member(out, "contact");
    if (contact_find(w, e->contact, &contact))
        contact_render(w, contact, true, out);
    else
        text_json(out, NULL);
    text_member(out, "course");
    course_render(rows_at(&w->courses, e->course), true, out);
    text_member(out, "accessType");
    text_json(out, e->access);
    text_member(out, "active");
    text_bool(out, true);
    buf_append_byte(out, '}');
}

struct membership *membership_find(const struct world *w, int64_t contact, size_t community)
{
    for (size_t i = 0; i < w->memberships.count; i++) {
        struct membership *m = rows_at(&w->memberships, i);
        if (!m->row.gone && m->contact == contact && m->community == community)
            return m;
    }
    return NULL;
}

struct membership *membership_add(struct world *w, int64_t contact, size_t community,
                                  int64_t delay_ms)
{
    struct membership *m =
        rows_add(w, &w->memberships, w->memberships.count ? 0 : MEMBERSHIP_FIRST_ID);
    m->contact = contact;
    m->community = community;
    m->visible_ms = delay_ms ? world_now_ms(w) + delay_ms : 0;
    return m;
}

void membership_render(const struct world *w, const struct membership *m, struct buf *out)
{
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, m->row.id);
    text_member(out, "community");
    community_render(rows_at(&w->communities, m->community), out);
    text_member(out, "contact");
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, m->contact);
    buf_append(out, "}}", 2);
}

static void plan_render(size_t plan, struct buf *out)
{
    if (plan >= ARRAY_SIZE(plans)) {
        text_json(out, NULL);
        return;
    }
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, plans[plan].id);
    text_member(out, "name");
    text_json(out, plans[plan].name);
    text_member(out, "innerName");
    text_json(out, plans[plan].inner);
    text_member(out, "statementDescriptor");
    text_json(out, plans[plan].statement);
    text_member(out, "amount");
    text_int(out, plans[plan].amount);
    text_member(out, "currency");
    text_json(out, plans[plan].currency);
    text_member(out, "type");
    text_json(out, plans[plan].type);
    text_member(out, "recurringOptions");
    if (!plans[plan].interval) {
        text_json(out, NULL);
        buf_append_byte(out, '}');
        return;
    }
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, plans[plan].id % 1000 + 90000);
    text_member(out, "trialPeriod");
    text_int(out, plans[plan].trial);
    text_member(out, "trialInterval");
    text_json(out, "day");
    text_member(out, "interval");
    text_json(out, plans[plan].interval);
    text_member(out, "intervalCount");
    text_int(out, 1);
    text_member(out, "limitOfPayments");
    if (plans[plan].limit)
        text_int(out, plans[plan].limit);
    else
        text_json(out, NULL);
    buf_append(out, "}}", 2);
}

void subscription_render(const struct subscription *s, struct buf *out)
{
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, s->row.id);
    text_member(out, "createdAt");
    text_time(out, s->created);
    text_member(out, "status");
    text_json(out, s->status);
    text_member(out, "completedAt");
    text_time(out, s->completed);
    text_member(out, "cancelledAt");
    text_time(out, s->cancelled);
    text_member(out, "pricePlan");
    plan_render(s->plan, out);
    buf_append_byte(out, '}');
}

void relations_drop_contact(struct world *w, int64_t contact)
{
    for (size_t i = 0; i < w->enrollments.count; i++) {
        struct enrollment *e = rows_at(&w->enrollments, i);
        e->row.gone |= e->contact == contact;
    }
    for (size_t i = 0; i < w->memberships.count; i++) {
        struct membership *m = rows_at(&w->memberships, i);
        m->row.gone |= m->contact == contact;
    }
    for (size_t i = 0; i < w->subscriptions.count; i++) {
        struct subscription *s = rows_at(&w->subscriptions, i);
        s->row.gone |= s->contact == contact;
    }
}

/* Which contact row `i` of `count` belongs to: spread over all of them. */
static int64_t contact_of_row(const struct world *w, size_t i, size_t count)
{
    size_t stride = MAX(w->base_count / MAX(count, (size_t)1), (size_t)1);
    return w->base_ids[i * stride % w->base_count];
}

/* Which of `parents` it is: another one each time the same contact comes round. */
static size_t parent_of_row(const struct world *w, size_t i, size_t parents)
{
    return (i % w->base_count + i / w->base_count) % parents;
}

static void create_subscriptions(struct world *w)
{
    static const char *const statuses[] = {"active",    "active",     "active",
                                           "cancelled", "completed",  "in_charge",
                                           "active",    "incomplete", "incomplete_expired"};
    size_t count = (size_t)w->settings->subscriptions;
    for (size_t i = 0; i < count; i++) {
        struct subscription *s =
            rows_add(w, &w->subscriptions, w->subscriptions.count ? 0 : SUBSCRIPTION_FIRST_ID);
        s->contact = contact_of_row(w, i, count);
        s->created = SINCE + (int64_t)(world_draw(w, i, 1) % (4 * 365 * 86400));
        s->status = statuses[i % ARRAY_SIZE(statuses)];
        s->plan = i % (ARRAY_SIZE(plans) + 1);
        /* Every sixth: active, and set to end with its period. */
        if (strcmp(s->status, "cancelled") == 0 || i % ARRAY_SIZE(statuses) == 6)
            s->cancelled = s->created + A_MONTH;
        if (strcmp(s->status, "completed") == 0)
            s->completed = s->created + 3 * A_MONTH;
    }
    struct subscription *foreign =
        rows_add(w, &w->subscriptions, w->subscriptions.count ? 0 : SUBSCRIPTION_FIRST_ID);
    foreign->foreign = true;
    foreign->status = "active";
}

void relations_create(struct world *w)
{
    size_t courses = w->courses.count, communities = w->communities.count;
    size_t enrollments = courses && w->base_count ? (size_t)w->settings->enrollments : 0;
    for (size_t i = 0; i < enrollments; i++)
        enrollment_add(w, contact_of_row(w, i, enrollments), parent_of_row(w, i, courses),
                       relation_access_types[i % 7 == 3    ? 1
                                             : i % 11 == 5 ? 2
                                                           : 0]);
    size_t memberships = communities && w->base_count ? (size_t)w->settings->memberships : 0;
    for (size_t i = 0; i < memberships; i++)
        membership_add(w, contact_of_row(w, i, memberships), parent_of_row(w, i, communities), 0);
    if (w->base_count)
        create_subscriptions(w);
}

void relations_destroy(struct world *w)
{
    free(w->enrollments.data);
    free(w->memberships.data);
    free(w->subscriptions.data);
}
