/* sandbox/catalogue: tags, contact fields, courses and communities (see world.h). */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "names.h"
#include "text.h"

#define RECORD_MAX 65536 /* bytes of one of these records */

/* Where the ids of each kind start: the sizes seen in examples. */
#define TAG_FIRST_ID       1825000
#define COURSE_FIRST_ID    310400
#define MODULE_FIRST_ID    70300
#define COMMUNITY_FIRST_ID 40900
#define TAGS_SINCE         1609459200 /* 2021-01-01 */

static const struct {
    const char *slug, *name;
    enum field_kind kind;
    bool builtin;
} field_table[] = {
    /* The first seven make a contact of about 700 bytes. */
    {"first_name", "First name", FIELD_FIRST_NAME, true},
    {"surname", "Surname", FIELD_SURNAME, true},
    {"phone_number", "Phone number", FIELD_PHONE, true},
    {"country", "Country", FIELD_COUNTRY, true},
    {"city", "City", FIELD_CITY, true},
    {"company_name", "Company name", FIELD_COMPANY, true},
    {"favourite_colour", "Favourite colour (couleur préférée)", FIELD_COLOUR, false},
    {"street_address", "Street address", FIELD_STREET, true},
    {"postcode", "Postcode", FIELD_POSTCODE, true},
    {"state", "State", FIELD_STATE, true},
    {"tax_number", "Tax number", FIELD_TAX_NUMBER, true},
};

/* The text of one JSON value made by `out`, given to the caller. */
static char *take(struct buf *out)
{
    return must(buf_take(out, NULL));
}

static void tag_refresh(struct tag *tag)
{
    struct buf out;
    buf_init(&out, RECORD_MAX);
    buf_append_byte(&out, '{');
    text_member(&out, "id");
    text_int(&out, tag->row.id);
    text_member(&out, "name");
    text_json(&out, tag->name);
    buf_append_byte(&out, '}');
    free(tag->json);
    tag->json = take(&out);
}

void tag_rename(struct tag *tag, const char *name)
{
    free(tag->name);
    tag->name = must_dup(name);
    tag_refresh(tag);
}

struct tag *tag_add(struct world *w, const char *name)
{
    struct tag *tag = rows_add(w, &w->tags, w->tags.count ? 0 : TAG_FIRST_ID);
    tag->created = world_now(w);
    tag_rename(tag, name);
    return tag;
}

struct tag *tag_find_name(const struct world *w, const char *name)
{
    for (size_t i = 0; i < w->tags.count; i++) {
        struct tag *tag = rows_at(&w->tags, i);
        if (!tag->row.gone && text_same(tag->name, name))
            return tag;
    }
    return NULL;
}

void tag_render(const struct tag *tag, struct buf *out)
{
    buf_append(out, tag->json, strlen(tag->json) - 1);
    text_member(out, "createdAt");
    text_time(out, tag->created);
    buf_append_byte(out, '}');
}

void field_rename(struct field *field, const char *name)
{
    struct buf out;
    buf_init(&out, RECORD_MAX);
    free(field->name);
    field->name = must_dup(name);
    buf_append_byte(&out, '{');
    text_member(&out, "fieldName");
    text_json(&out, name);
    text_member(&out, "slug");
    text_json(&out, field->slug);
    text_member(&out, "value");
    free(field->head);
    field->head = take(&out);
}

static struct field *field_make(struct world *w, const char *slug, const char *name,
                                enum field_kind kind, bool builtin)
{
    struct field *field = rows_add(w, &w->fields, (int64_t)w->fields.count + 1);
    field->kind = kind;
    field->builtin = builtin;
    field->slug = must_dup(slug);
    field_rename(field, name);
    return field;
}

struct field *field_add(struct world *w, const char *slug, const char *name)
{
    return field_make(w, slug, name, FIELD_NOTHING, false);
}

struct field *field_find(const struct world *w, const char *slug, size_t *ret_pos)
{
    for (size_t i = 0; i < w->fields.count; i++) {
        struct field *field = rows_at(&w->fields, i);
        if (field->row.gone || strcmp(field->slug, slug) != 0)
            continue;
        if (ret_pos)
            *ret_pos = i;
        return field;
    }
    return NULL;
}

void field_render(const struct field *field, struct buf *out)
{
    buf_append_byte(out, '{');
    text_member(out, "slug");
    text_json(out, field->slug);
    text_member(out, "fieldName");
    text_json(out, field->name);
    buf_append_byte(out, '}');
}

void course_render(const struct course *course, bool summary, struct buf *out)
{
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, course->row.id);
    text_member(out, "locale");
    text_json(out, course->locale);
    if (!summary) {
        text_member(out, "domainName");
        text_json(out, course->domain);
    }
    text_member(out, "path");
    text_json(out, course->path);
    text_member(out, "active");
    text_bool(out, course->active);
    text_member(out, "name");
    text_json(out, course->name);
    if (!summary) {
        text_member(out, "description");
        text_json(out, course->description);
        text_member(out, "modules");
        buf_append_byte(out, '[');
        for (size_t i = 0; i < course->module_count; i++) {
            buf_append_str(out, i ? ",{" : "{");
            text_member(out, "id");
            text_int(out, course->modules[i].id);
            text_member(out, "name");
            text_json(out, course->modules[i].name);
            buf_append_byte(out, '}');
        }
        buf_append_byte(out, ']');
    }
    buf_append_byte(out, '}');
}

void community_render(const struct community *community, struct buf *out)
{
    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, community->row.id);
    text_member(out, "name");
    text_json(out, community->name);
    text_member(out, "domainName");
    text_json(out, "club.example.com");
    text_member(out, "path");
    text_json(out, community->path);
    buf_append_byte(out, '}');
}

/* The name of row `pos`: the nasty ones first, then the list, then numbered ones. */
static char *pick_name(const struct world *w, const char *const *list, const char *more, size_t pos)
{
    if (w->settings->nasty_names) {
        size_t nasty = names_count(names_tags_nasty);
        if (pos < nasty)
            return must_dup(names_tags_nasty[pos]);
        pos -= nasty;
    }
    size_t count = names_count(list);
    return pos < count ? must_dup(list[pos]) : must_printf("%s %03zu", more, pos - count + 1);
}

static void create_tags(struct world *w)
{
    for (size_t i = 0; i < (size_t)w->settings->tags; i++) {
        char *name = pick_name(w, names_tags, "segment", i);
        struct tag *tag = tag_add(w, name);
        tag->created =
            TAGS_SINCE + (int64_t)i * 2000000 % 150000000 + (int64_t)rng_below(&w->rng, 86400);
        free(name);
    }
    w->base_tags = w->tags.count;
}

static void create_fields(struct world *w)
{
    for (size_t i = 0; i < (size_t)w->settings->fields; i++) {
        if (i < ARRAY_SIZE(field_table)) {
            field_make(w, field_table[i].slug, field_table[i].name, field_table[i].kind,
                       field_table[i].builtin);
            continue;
        }
        char slug[32], name[48];
        snprintf(slug, sizeof(slug), "custom_%zu", i + 1 - ARRAY_SIZE(field_table));
        snprintf(name, sizeof(name), "Custom field %zu", i + 1 - ARRAY_SIZE(field_table));
        field_make(w, slug, name, FIELD_CUSTOM, false);
    }
    if (w->settings->padding > 0)
        field_make(w, "notes", "Notes", FIELD_NOTES, false);
    w->base_fields = w->fields.count;
}

static void create_courses(struct world *w)
{
    int64_t module = MODULE_FIRST_ID;
    for (size_t i = 0; i < (size_t)w->settings->courses; i++) {
        struct course *course = rows_add(w, &w->courses, i ? 0 : COURSE_FIRST_ID);
        course->name = pick_name(w, names_courses, "Course", i);
        course->path = must_printf("course-%zu", i + 1);
        course->locale = i % 3 == 1 ? "fr" : "en";
        course->domain = i % 4 == 3 ? NULL : "school.example.com";
        course->description = i % 2 ? "Step by step.\nWith \"recipes\"." : NULL;
        course->active = i % 5 != 4;
        course->module_count = i % 7;
        course->modules = must(calloc(course->module_count + 1, sizeof(*course->modules)));
        for (size_t m = 0; m < course->module_count; m++) {
            module += 1 + (int64_t)rng_below(&w->rng, 5);
            course->modules[m] = (struct module){.id = module, .name = names_modules[m]};
        }
    }
    for (size_t i = 0; i < (size_t)w->settings->communities; i++) {
        struct community *c = rows_add(w, &w->communities, i ? 0 : COMMUNITY_FIRST_ID);
        c->name = pick_name(w, names_communities, "Community", i);
        c->path = must_printf("community-%zu", i + 1);
    }
}

void catalogue_create(struct world *w)
{
    create_tags(w);
    create_fields(w);
    create_courses(w);
}

void catalogue_destroy(struct world *w)
{
    for (size_t i = 0; i < w->tags.count; i++) {
        struct tag *tag = rows_at(&w->tags, i);
        free(tag->name);
        free(tag->json);
    }
    for (size_t i = 0; i < w->fields.count; i++) {
        struct field *field = rows_at(&w->fields, i);
        free(field->slug);
        free(field->name);
        free(field->head);
    }
    for (size_t i = 0; i < w->courses.count; i++) {
        struct course *course = rows_at(&w->courses, i);
        free(course->name);
        free(course->path);
        free(course->modules);
    }
    for (size_t i = 0; i < w->communities.count; i++) {
        struct community *c = rows_at(&w->communities, i);
        free(c->name);
        free(c->path);
    }
    free(w->tags.data);
    free(w->fields.data);
    free(w->courses.data);
    free(w->communities.data);
}
