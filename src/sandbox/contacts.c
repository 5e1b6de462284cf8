/* sandbox/contacts: the contacts of the world (see world.h). */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "human.h"
#include "names.h"
#include "text.h"

#define CONTACT_FIRST_ID 246000000

size_t contact_count(const struct world *w)
{
    return w->base_count + w->created_count;
}

int64_t contact_id(const struct world *w, size_t pos)
{
    return pos < w->base_count ? w->base_ids[pos] : w->created[pos - w->base_count]->row.id;
}

static struct contact_edit *edit_at(const struct world *w, size_t pos)
{
    return pos < w->base_count ? map_get(&w->edits, (uint64_t)w->base_ids[pos])
                               : w->created[pos - w->base_count];
}

size_t contact_lower(const struct world *w, int64_t id)
{
    size_t low = 0, high = contact_count(w);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (contact_id(w, mid) < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool contact_find(const struct world *w, int64_t id, size_t *ret_pos)
{
    size_t pos = contact_lower(w, id);
    if (pos == contact_count(w) || contact_id(w, pos) != id)
        return false;
    const struct contact_edit *edit = edit_at(w, pos);
    if (edit && edit->row.gone)
        return false;
    *ret_pos = pos;
    return true;
}

static uint64_t email_key(const char *email)
{
    char low[512];
    size_t len = 0;
    for (; len < sizeof(low) && email[len]; len++)
        low[len] = (char)(email[len] >= 'A' && email[len] <= 'Z' ? email[len] | 0x20 : email[len]);
    return hash_bytes(low, len);
}

bool contact_find_email(const struct world *w, const char *email, size_t *ret_pos)
{
    const struct contact_edit *edit = map_get(&w->created_by_email, email_key(email));
    if (edit && text_same(edit->email, email))
        return contact_find(w, edit->row.id, ret_pos);
    size_t pos;
    return human_find_email(w, email, &pos) && contact_find(w, contact_id(w, pos), ret_pos);
}

bool contact_listed(const struct world *w, size_t pos)
{
    const struct contact_edit *edit = edit_at(w, pos);
    return !edit || !edit->row.gone ||
           world_now_ms(w) - edit->gone_ms < w->settings->deleted_linger_s * 1000;
}

bool contact_has_tag(const struct world *w, size_t pos, int64_t tag)
{
    const struct contact_edit *edit = edit_at(w, pos);
    if (edit) {
        for (size_t i = 0; i < edit->tag_count; i++)
            if (edit->tags[i] == tag)
                return true;
        return false;
    }
    size_t tags[WORLD_TAGS_A_CONTACT], count = human_tags(w, pos, tags);
    for (size_t i = 0; i < count; i++)
        if (((const struct tag *)rows_at(&w->tags, tags[i]))->row.id == tag)
            return true;
    return false;
}

int64_t contact_registered(const struct world *w, size_t pos)
{
    const struct contact_edit *edit = edit_at(w, pos);
    return edit ? edit->registered : human_registered(w, pos);
}

void contact_flags(const struct world *w, size_t pos, bool *unsubscribed, bool *bounced,
                   bool *needs_confirmation)
{
    const struct contact_edit *edit = edit_at(w, pos);
    if (!edit) {
        human_flags(w, pos, unsubscribed, bounced, needs_confirmation);
        return;
    }
    *unsubscribed = edit->unsubscribed;
    *bounced = edit->bounced;
    *needs_confirmation = edit->needs_confirmation;
}

static void render_fields(const struct world *w, const struct contact_edit *edit,
                          const struct human *h, size_t pos, struct buf *out)
{
    char scratch[HUMAN_TEXT];
    bool first = true;
    for (size_t i = 0; i < w->fields.count; i++) {
        const struct field *field = rows_at(&w->fields, i);
        if (field->row.gone)
            continue;
        const char *value = NULL;
        if (edit)
            value = i < edit->value_count ? edit->values[i] : NULL;
        else
            value = human_value(w, h, pos, i, field->kind, scratch);
        if (!value && w->settings->filled_fields)
            continue;
        if (!first)
            buf_append_byte(out, ',');
        first = false;
        buf_append_str(out, field->head);
        text_json(out, value);
        buf_append_byte(out, '}');
    }
}

static void render_tags(const struct world *w, const struct contact_edit *edit, size_t pos,
                        struct buf *out)
{
    size_t base[WORLD_TAGS_A_CONTACT];
    size_t count = edit ? edit->tag_count : human_tags(w, pos, base);
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        const struct tag *tag =
            edit ? rows_find(&w->tags, edit->tags[i]) : rows_at(&w->tags, base[i]);
        if (!tag || tag->row.gone)
            continue;
        if (!first)
            buf_append_byte(out, ',');
        first = false;
        buf_append_str(out, tag->json);
    }
}

void contact_render(const struct world *w, size_t pos, bool summary, struct buf *out)
{
    const struct contact_edit *edit = edit_at(w, pos);
    struct human h = {0};
    char email[HUMAN_TEXT], source[HUMAN_TEXT];
    if (!edit)
        h = human_at(w, pos);
    bool unsubscribed, bounced, needs_confirmation;
    contact_flags(w, pos, &unsubscribed, &bounced, &needs_confirmation);

    buf_append_byte(out, '{');
    text_member(out, "id");
    text_int(out, contact_id(w, pos));
    text_member(out, "email");
    text_json(out, edit ? edit->email : human_email(&h, pos, email));
    text_member(out, "registeredAt");
    text_time(out, contact_registered(w, pos));
    text_member(out, "locale");
    text_json(out, edit ? edit->locale : h.culture->locale);
    text_member(out, "sourceURL");
    text_json(out, edit ? edit->source_url : human_source(w, pos, source));
    text_member(out, "unsubscribed");
    text_bool(out, unsubscribed);
    text_member(out, "bounced");
    text_bool(out, bounced);
    text_member(out, "needsConfirmation");
    text_bool(out, needs_confirmation);
    if (!summary) {
        text_member(out, "fields");
        buf_append_byte(out, '[');
        render_fields(w, edit, &h, pos, out);
        buf_append_byte(out, ']');
        text_member(out, "tags");
        buf_append_byte(out, '[');
        render_tags(w, edit, pos, out);
        buf_append_byte(out, ']');
    }
    buf_append_byte(out, '}');
}

void contact_set_value(struct contact_edit *edit, size_t field, const char *value)
{
    if (field >= edit->value_count) {
        edit->values = must(realloc(edit->values, (field + 1) * sizeof(*edit->values)));
        while (edit->value_count <= field)
            edit->values[edit->value_count++] = NULL;
    }
    free(edit->values[field]);
    edit->values[field] = value ? must_dup(value) : NULL;
}

void contact_set_tag(struct contact_edit *edit, int64_t tag, bool assigned)
{
    size_t at = 0;
    while (at < edit->tag_count && edit->tags[at] < tag)
        at++;
    bool there = at < edit->tag_count && edit->tags[at] == tag;
    if (there == assigned)
        return;
    if (assigned) {
        edit->tags = must(realloc(edit->tags, (edit->tag_count + 1) * sizeof(*edit->tags)));
        memmove(edit->tags + at + 1, edit->tags + at, (edit->tag_count++ - at) * sizeof(int64_t));
        edit->tags[at] = tag;
    } else {
        memmove(edit->tags + at, edit->tags + at + 1, (--edit->tag_count - at) * sizeof(int64_t));
    }
}

struct contact_edit *contact_edit(struct world *w, size_t pos)
{
    struct contact_edit *edit = edit_at(w, pos);
    if (edit)
        return edit;
    char text[HUMAN_TEXT];
    struct human h = human_at(w, pos);
    edit = must(calloc(1, sizeof(*edit)));
    edit->row.id = contact_id(w, pos);
    edit->registered = contact_registered(w, pos);
    edit->email = must_dup(human_email(&h, pos, text));
    edit->locale = h.culture->locale;
    const char *source = human_source(w, pos, text);
    edit->source_url = source ? must_dup(source) : NULL;
    contact_flags(w, pos, &edit->unsubscribed, &edit->bounced, &edit->needs_confirmation);
    for (size_t i = 0; i < w->base_fields; i++) {
        const struct field *field = rows_at(&w->fields, i);
        contact_set_value(edit, i, human_value(w, &h, pos, i, field->kind, text));
    }
    size_t tags[WORLD_TAGS_A_CONTACT], count = human_tags(w, pos, tags);
    for (size_t i = 0; i < count; i++)
        contact_set_tag(edit, ((const struct tag *)rows_at(&w->tags, tags[i]))->row.id, true);
    if (map_put(&w->edits, (uint64_t)edit->row.id, edit) < 0)
        must(NULL);
    return edit;
}

/* What a deleted contact with the same address leaves behind. */
static void inherit(struct world *w, struct contact_edit *heir, const char *email)
{
    const struct contact_edit *old = map_get(&w->created_by_email, email_key(email));
    size_t pos;
    if (!old && human_find_email(w, email, &pos))
        old = edit_at(w, pos);
    if (!old || !old->row.gone)
        return;
    for (size_t i = 0; i < old->value_count; i++)
        contact_set_value(heir, i, old->values[i]);
    for (size_t i = 0; i < old->tag_count; i++)
        contact_set_tag(heir, old->tags[i], true);
}

struct contact_edit *contact_add(struct world *w, const char *email, const char *locale)
{
    size_t count = contact_count(w);
    struct contact_edit *edit = must(calloc(1, sizeof(*edit)));
    *edit = (struct contact_edit){
        .row.id = (count ? contact_id(w, count - 1) : CONTACT_FIRST_ID) + 1 +
                  (int64_t)rng_below(&w->rng, (uint64_t)w->settings->id_gap),
        .registered = world_now(w),
        .email = must_dup(email),
        .locale = locale,
    };
    if (w->settings->inherit_deleted)
        inherit(w, edit, email);
    w->created = must(realloc(w->created, (w->created_count + 1) * sizeof(struct contact_edit *)));
    w->created[w->created_count++] = edit;
    if (map_put(&w->edits, (uint64_t)edit->row.id, edit) < 0 ||
        map_put(&w->created_by_email, email_key(email), edit) < 0)
        must(NULL);
    return edit;
}

void contact_delete(struct world *w, size_t pos)
{
    struct contact_edit *edit = contact_edit(w, pos);
    edit->row.gone = true;
    edit->gone_ms = world_now_ms(w);
    relations_drop_contact(w, edit->row.id);
}

/* Ids come in clusters, as imports make them, with ordinary gaps between and now and then a leap.
 */
void contacts_create(struct world *w)
{
    w->base_count = (size_t)w->settings->contacts;
    w->base_ids = must(calloc(w->base_count + 1, sizeof(*w->base_ids)));
    int64_t id = CONTACT_FIRST_ID;
    uint64_t gap = (uint64_t)w->settings->id_gap, run = 0;
    for (size_t i = 0; i < w->base_count; i++) {
        if (run)
            run--, id++;
        else
            id += 1 + (int64_t)rng_below(&w->rng, gap);
        if (rng_below(&w->rng, 64) == 0)
            run = rng_below(&w->rng, 200);
        if (gap > 1 && rng_below(&w->rng, 4096) == 0)
            id += (int64_t)gap * 5000;
        w->base_ids[i] = id;
    }
    size_t padding = (size_t)w->settings->padding;
    w->padding = must(malloc(padding + 1));
    for (size_t i = 0; i < padding; i++)
        w->padding[i] = "crumb by crumb, "[i % 16];
    w->padding[padding] = '\0';
}

void contacts_destroy(struct world *w)
{
    map_for_each(slot, &w->edits) {
        struct contact_edit *edit = slot->value;
        for (size_t i = 0; i < edit->value_count; i++)
            free(edit->values[i]);
        free(edit->values);
        free(edit->tags);
        free(edit->email);
        free(edit->source_url);
        free(edit);
    }
    map_finish(&w->edits);
    map_finish(&w->created_by_email);
    free(w->created);
    free(w->base_ids);
    free(w->padding);
}
